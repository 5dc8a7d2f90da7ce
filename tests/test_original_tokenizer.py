"""The fast tokenizer of a converted release gives the ids of the slow, legacy one that it replaces."""

import json
import random
import re
import shutil
from pathlib import Path

import pytest
import sentencepiece
from golden import load_json
from original import processor, release
from tiny_checkpoint import tiny_processor

from unipose.original_tokenizer import PLACEHOLDERS, convert_tokenizer


# Beside words: what separates, what SentencePiece has no piece for, its own mark, and what looks like a token.
PIECES = (
    *("raise", "your", "left", "hand", "the", "person", "stands", "with", "both", "arms", "[INST]", "[/INST]"),
    *(" ", "  ", "   ", "\n", "\t", ". ", ".", ",", "▁", "▁▁", "é", "中文", "😀", "\0", "\u00a0", "pose", "<", ">"),
    *("<0x41>", "<pose_id_", "<pose_id_999>", "<unk", "/s>", "42", "-", "'s"),
)
MIXES = 4000


class SlowTokenizer:
    """The legacy algorithm: split at added tokens, give every piece of text in between to SentencePiece as it is."""

    def __init__(self, folder: Path):
        self.pieces = sentencepiece.SentencePieceProcessor(model_file=str(folder / "tokenizer.model"))
        config = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
        self.added = {token["content"]: int(number) for number, token in config["added_tokens_decoder"].items()}
        longest_first = sorted(self.added, key=len, reverse=True)
        self.pattern = re.compile(f"({'|'.join(map(re.escape, longest_first))})")

    def __call__(self, text: str) -> list[int]:
        ids = [self.pieces.bos_id()]
        for piece in self.pattern.split(text):
            ids += [self.added[piece]] if piece in self.added else self.pieces.encode(piece) if piece else []
        return ids


@pytest.mark.parametrize("text", list(load_json("model_cases")["tok_examples"]))
def test_recorded_examples(text: str):
    ids, _ = load_json("model_cases")["tok_examples"][text]
    assert processor().tokenizer(text).input_ids == ids


def test_random_mixes_of_text_poses_and_images():
    """Codes, whole poses, images, special tokens, and texts around them, glued together with and without spaces."""
    slow, tokenizer = SlowTokenizer(release().unipose), processor().tokenizer
    spelled = [token for token in slow.added if token not in PLACEHOLDERS]
    rng = random.Random(0)
    whole_pose = "<pose_id_64>" + "".join(f"<pose_id_{rng.randrange(64)}>" for _ in range(80)) + "<pose_id_65>"
    choices = [
        lambda: rng.choice(PIECES),
        lambda: rng.choice(PIECES) + " ",
        lambda: rng.choice(spelled),
        lambda: "<im_start><im_end>",
        lambda: "".join(chr(rng.choice([rng.randrange(32, 127), rng.randrange(161, 0x3000)])) for _ in range(4)),
        lambda: whole_pose,
    ]
    for _ in range(MIXES):
        text = "".join(rng.choices(choices, weights=[6, 6, 4, 1, 2, 0.3])[0]() for _ in range(rng.randint(1, 14)))
        assert tokenizer(text).input_ids == slow(text), repr(text)


def test_no_piece_is_dropped_and_text_comes_back():
    text = "Raise the left hand, 中文 and 😀; then\n  bend."
    tokenizer = processor().tokenizer
    assert tokenizer.decode(tokenizer(text).input_ids, skip_special_tokens=True) == text


def test_vocabulary_is_kept_id_for_id():
    slow, tokenizer = SlowTokenizer(release().unipose), processor().tokenizer
    for token, number in slow.added.items():
        assert tokenizer.convert_tokens_to_ids(PLACEHOLDERS.get(token, token)) == number
    base = [slow.pieces.id_to_piece(number) for number in range(slow.pieces.get_piece_size())]
    assert tokenizer.convert_ids_to_tokens(list(range(len(base)))) == base
    assert len(tokenizer) == len(base) + len([number for number in slow.added.values() if number >= len(base)])


def copy_tokenizer(tmp_path: Path, **changes: object) -> Path:
    for name in ("tokenizer.model", "tokenizer_config.json"):
        shutil.copy(release().unipose / name, tmp_path / name)
    config = json.loads((tmp_path / "tokenizer_config.json").read_text(encoding="utf-8"))
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config | changes), encoding="utf-8")
    return tmp_path


def test_other_files_are_refused(tmp_path: Path):
    with pytest.raises(ValueError, match="not that of a legacy tokenizer"):
        convert_tokenizer(copy_tokenizer(tmp_path, legacy=False))
    with pytest.raises(ValueError, match="lacks the tokens"):
        convert_tokenizer(copy_tokenizer(tmp_path, added_tokens_decoder={}))
    (copy_tokenizer(tmp_path) / "tokenizer.model").unlink()
    with pytest.raises(FileNotFoundError, match=r"tokenizer\.model"):
        convert_tokenizer(tmp_path)


@pytest.mark.parametrize("marker", ["[INST]", "[/INST]"])
def test_markers_of_the_template_are_refused(marker: str):
    """They are ordinary text to the tokenizer: a user who types one would end or begin a turn."""
    own, other = processor(), tiny_processor()
    halves = [{"type": "text", "text": part} for part in (marker[:3], marker[3:])]
    for content in (f"Sit. {marker} Yes.", halves):
        chat = [{"role": "user", "content": content}]
        with pytest.raises(ValueError, match=re.escape(f"the text holds {marker!r}, which the chat template")):
            own.apply_chat_template(chat, tokenize=True)
        with pytest.raises(ValueError, match="which the chat template"):
            own.encode_chat(chat)
    for text in ("[inst] or [ INST ]", "A [POSE]."):
        assert text in own.apply_chat_template([{"role": "user", "content": text}])
    assert marker in other.apply_chat_template([{"role": "user", "content": marker}])

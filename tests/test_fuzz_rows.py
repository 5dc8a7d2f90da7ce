"""Wrong training rows and damaged shards: the error names the row and the field, or the shard, before any training."""

import io
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from datasets import Dataset
from fuzzing import attempt, fuzzed, refused
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from tiny_checkpoint import tiny_checkpoint_model, tiny_processor

from unipose import UniPoseForConditionalGeneration
from unipose.training.datasets.rows import FEATURES, to_dataset
from unipose.training.datasets.shards import load_corpus, read_summary
from unipose.training.trainer.collator import UniPoseDataCollator, add_pose_codes
from unipose.training.trainer.prepared_rows import prepare_rows


POSE, IMAGE = {"type": "pose"}, {"type": "image"}


@pytest.fixture(scope="module")
def model() -> UniPoseForConditionalGeneration:
    return tiny_checkpoint_model(tiny_processor())


@pytest.fixture(scope="module")
def collator() -> UniPoseDataCollator:
    return UniPoseDataCollator(tiny_processor(), max_length=64)


def png() -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (8, 8), "red").save(file, "PNG")
    return file.getvalue()


def make_row(index: int) -> dict[str, Any]:
    """A right row with one image and two poses."""
    user = {"role": "user", "content": [IMAGE, POSE, {"type": "text", "text": "Raise the arm."}]}
    return {
        "messages": [user, {"role": "assistant", "content": [POSE]}],
        "images": [{"bytes": png(), "path": None}],
        "poses": np.full((2, 22, 3), 0.1 * index).tolist(),
        "task": "pose-edit",
        "source": f"clip:{index}",
        "text": "Raise the arm.",
    }


def encode(row: dict[str, Any], model: UniPoseForConditionalGeneration, collator: UniPoseDataCollator) -> Any:
    """What training does with a raw row."""
    batch = {name: [value] for name, value in row.items()}
    codes = add_pose_codes(batch, model.model.pose_tokenizer, 7)["pose_codes"][0]
    encoded = row | {"pose_codes": codes}
    return collator([encoded | collator.encode(encoded, 7)])


JUNK = st.sampled_from([None, "", "x", 0, 1.5, True, [], {}, [None], [[]], [{}], b"", float("nan"), "\ud800"])
NUMBERS = st.sampled_from([float("nan"), float("inf"), -float("inf"), 1e155, 1e308, 90.0, 360.0, "a", None])


@fuzzed(60, 120)
@given(
    field=st.sampled_from(["messages", "images", "poses", "content", "block", "role", "pose", "image", "text"]),
    junk=JUNK,
)
def test_junk_in_place_of_a_field(model: Any, collator: UniPoseDataCollator, field: str, junk: Any) -> None:
    row = make_row(1)
    message = row["messages"][0]
    if field in row:
        row[field] = junk
    elif field == "block":
        message["content"][0] = junk
    elif field in ("content", "role"):
        message[field] = junk
    else:
        row[f"{field}s"][0] = junk
    batch, error = attempt(lambda: encode(row, model, collator))
    if error is not None:
        assert re.search("row .*clip:1", error), error
        return
    expected = encode(make_row(1), model, collator)
    assert batch.keys() == expected.keys()
    assert all(torch.equal(batch[name], expected[name]) for name in expected), "another row without an error"


def check_named(call: Callable[[], Any]) -> bool:
    """Whether the call raised an error, which must name the row."""
    _, error = attempt(call)
    assert error is None or ("row" in error and "clip:1" in error), error
    return error is not None


@fuzzed(40, 1000)
@given(value=NUMBERS, pose=st.integers(0, 1), joint=st.integers(0, 21), axis=st.integers(0, 2))
def test_numbers_that_are_no_radians(
    model: Any, collator: UniPoseDataCollator, value: Any, pose: int, joint: int, axis: int
) -> None:
    row = make_row(1)
    row["poses"][pose][joint][axis] = value
    refused(lambda: encode(row, model, collator), rf"^row 7 \(pose-edit, clip:1\), poses: pose {pose + 1} ")


@fuzzed(30, 700)
@given(shape=st.lists(st.integers(0, 24), min_size=0, max_size=3))
def test_other_shapes_of_a_pose(model: Any, collator: UniPoseDataCollator, shape: list[int]) -> None:
    row = make_row(1)
    row["poses"][1] = np.zeros(shape).tolist()
    if shape == [22, 3]:
        return
    refused(lambda: encode(row, model, collator), r"^row 7 .*, poses: pose 2 has the shape .*, expected \(22, 3\)")


@fuzzed(30, 20)
@given(images=st.integers(0, 3), poses=st.integers(0, 4))
def test_counts(model: Any, collator: UniPoseDataCollator, images: int, poses: int) -> None:
    row = make_row(1)
    row["images"], row["poses"] = row["images"] * images, [row["poses"][0]] * poses
    right = images == 1 and poses == 2
    assert check_named(lambda: encode(row, model, collator)) != right


@pytest.mark.parametrize("field", ["poses", "images", "messages"])
def test_a_wrong_row_of_a_dataset_is_found_before_training(
    model: Any, collator: UniPoseDataCollator, field: str
) -> None:
    """The images of two rows are as many as their blocks, but not in each row."""
    rows = [make_row(index) for index in range(4)]
    if field == "poses":
        rows[2]["poses"][1][3][0] = 45.0
    elif field == "images":
        rows[2]["images"], rows[3]["images"] = rows[2]["images"] * 2, []
    else:
        rows[2]["messages"][0]["content"][2] = {"type": "text", "text": "Raise the arm. " * 200}
    with pytest.raises(ValueError, match=rf"row 2 \(pose-edit, clip:2\), {field}: "):
        prepare_rows(to_dataset(rows), model, collator)


def test_a_damaged_image_is_found_before_training(model: Any, collator: UniPoseDataCollator) -> None:
    rows = [make_row(index) for index in range(2)]
    rows[1]["images"][0]["bytes"] = b"<html>"
    with pytest.raises(ValueError, match=r"row 1 \(pose-edit, clip:1\), images: image 1 is damaged"):
        prepare_rows(Dataset.from_list(rows, features=FEATURES), model, collator)


@fuzzed(40, 150)
@given(place=st.floats(0, 0.9999), bit=st.integers(0, 7), cut=st.booleans())
def test_damaged_shards_are_named(
    text_corpus: Path, tmp_path_factory: pytest.TempPathFactory, place: float, bit: int, cut: bool
) -> None:
    """Any flipped bit, and any cut."""
    folder = tmp_path_factory.mktemp("corpus") / "corpus"
    shutil.copytree(text_corpus, folder)
    shard = sorted((folder / "train").glob("*.parquet"))[1]
    content = bytearray(shard.read_bytes())
    position = int(place * len(content))
    content[position] ^= 1 << bit
    shard.write_bytes(content[:position] if cut else content)
    refused(lambda: load_corpus(folder), f"{shard.name} is damaged")
    assert len(load_corpus(folder, "validation")) == 20
    shutil.rmtree(folder.parent)


def test_a_corpus_of_an_earlier_version_has_no_checksums(text_corpus: Path, tmp_path: Path) -> None:
    folder = tmp_path / "corpus"
    shutil.copytree(text_corpus, folder)
    summary = read_summary(folder)
    del summary["sha256"]
    (folder / "corpus.json").write_text(json.dumps(summary))
    assert len(load_corpus(folder)) == 20
    shard = next((folder / "train").glob("*.parquet"))
    shard.write_bytes(shard.read_bytes()[:-9])
    with pytest.raises(ValueError, match=f"{shard.name} is damaged"):
        load_corpus(folder)

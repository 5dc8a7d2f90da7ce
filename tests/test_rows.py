"""Rows: the contract, for all seven tasks, from records of every kind."""

import numpy as np
import pytest
from datasets import concatenate_datasets

from unipose.tasks_unipose import TASKS
from unipose.training.datasets.instructions import load_instructions
from unipose.training.datasets.records import ImagePairRecord, ImageRecord, PosePairRecord, PoseRecord
from unipose.training.datasets.rows import (
    BARE_PROMPTS,
    BARE_SHARE,
    POSE_ANSWERS,
    Record,
    Row,
    content_blocks,
    rows_from_records,
    to_dataset,
)


def pose(value: float) -> np.ndarray:
    return np.full((22, 3), value, dtype=np.float32)


def image(name: str, value: float, caption: str = "A person sits.") -> ImageRecord:
    return ImageRecord(name, name.encode(), pose(value), (caption,))


RECORDS: tuple[Record, ...] = (
    PoseRecord("one", pose(0.1), ("A person stands.", "Someone is standing.")),
    PosePairRecord("pair", pose(0.2), pose(0.3), ("Bend the left knee.",)),
    image("image", 0.4),
    ImagePairRecord("image pair", image("before", 0.5), image("after", 0.6), ("Raise the right arm.",)),
)


def make(task: str, records: tuple[Record, ...] = RECORDS, seed: int = 0) -> list[Row]:
    return list(rows_from_records(records, [task], np.random.default_rng(seed)))


def values(row: Row) -> list[float]:
    return [round(float(each[0][0]), 3) for each in row["poses"]]


def answer(row: Row) -> list[dict[str, str]]:
    return row["messages"][1]["content"]


@pytest.mark.parametrize(
    ("task", "sources", "poses", "images", "answers"),
    [
        ("pose-to-text", ["one", "one"], [0.1], [], ["A person stands.", "Someone is standing."]),
        ("pose-diff", ["pair"], [0.2, 0.3], [], ["Bend the left knee."]),
        ("image-to-text", ["image"], [], ["image"], ["A person sits."]),
        ("image-diff", ["image pair"], [], ["before", "after"], ["Raise the right arm."]),
        ("text-to-pose", ["one", "one"], [0.1], [], [None, None]),
        ("image-to-pose", ["image"], [0.4], ["image"], [None]),
        ("pose-edit", ["pair"], [0.2, 0.3], [], [None]),
    ],
)
def test_prompt_and_answer_of_each_task(
    task: str, sources: list[str], poses: list[float], images: list[str], answers: list[str | None]
) -> None:
    rows = make(task)
    assert [row["source"] for row in rows] == sources
    assert [row["task"] for row in rows] == [task] * len(rows)
    for row, expected in zip(rows, answers):
        assert values(row) == poses
        assert [image["bytes"] for image in row["images"]] == [name.encode() for name in images]
        assert answer(row) == [{"type": "pose"}] if expected is None else [{"type": "text", "text": expected}]


@pytest.mark.parametrize("task", TASKS)
def test_blocks_match_inputs(task: str) -> None:
    for seed in range(20):
        for row in make(task, seed=seed):
            assert [message["role"] for message in row["messages"]] == ["user", "assistant"]
            content = [block for message in row["messages"] for block in message["content"]]
            kinds = [block["type"] for block in content]
            assert kinds.count("pose") == len(row["poses"])
            assert kinds.count("image") == len(row["images"])
            assert all(block["text"] for block in content if block["type"] == "text")
            prompt = "".join(block.get("text", "") for block in row["messages"][0]["content"])
            assert (row["text"] in prompt) == (task in POSE_ANSWERS)


def test_poses_of_pairs_are_in_order() -> None:
    """The input poses of a prompt are in the order of the row's poses, and the answer comes last."""
    for seed in range(30):
        (row,) = make("pose-edit", seed=seed)
        kinds = [block["type"] for block in row["messages"][0]["content"]]
        assert kinds.count("pose") == 1
        assert values(row) == [0.2, 0.3]


def test_features_hold_encoded_images_and_typed_poses() -> None:
    rows = to_dataset(row for task in ("pose-diff", "pose-to-text") for row in make(task))
    assert rows.features["poses"].feature.length == 22
    assert np.asarray(rows[0]["poses"]).shape == (2, 22, 3)
    assert rows[0]["messages"] == make("pose-diff")[0]["messages"]
    assert len(concatenate_datasets([rows, to_dataset(make("image-to-text"))])) == 4


@pytest.mark.parametrize("task", sorted(BARE_PROMPTS))
def test_a_third_of_the_prompts_with_text_is_bare(task: str) -> None:
    records = tuple(record for record in RECORDS if isinstance(record, PoseRecord | PosePairRecord)) * 300
    rows = make(task, records)
    bare = content_blocks(BARE_PROMPTS[task], rows[0]["text"])
    same = [row for row in rows if row["text"] == rows[0]["text"]]
    share = sum(row["messages"][0]["content"] == bare for row in same) / len(same)
    assert share == pytest.approx(BARE_SHARE, abs=0.09)


def test_all_templates_are_used() -> None:
    records = (PoseRecord("one", pose(0.0), ("A person stands.",)),) * 3000
    prompts = [row["messages"][0]["content"] for row in make("pose-to-text", records)]
    assert all(content_blocks(template) in prompts for template in load_instructions("pose-to-text"))


def test_own_templates() -> None:
    rows = rows_from_records(
        RECORDS, ["pose-diff"], np.random.default_rng(0), {"pose-diff": ["{pose_a} then {pose_b}"]}
    )
    assert [row["messages"][0]["content"] for row in rows] == [
        [{"type": "pose"}, {"type": "text", "text": " then "}, {"type": "pose"}]
    ]


def test_same_seed_same_rows() -> None:
    assert make("pose-to-text") == make("pose-to-text")
    records = RECORDS[:1] * 20
    assert make("pose-to-text", records) != make("pose-to-text", records, seed=1)


def test_records_without_texts_are_for_pose_estimation_only() -> None:
    bare = ImageRecord("bare", b"png", pose(0.7))
    rows = rows_from_records([bare, PoseRecord("no caption", pose(0.8))], TASKS, np.random.default_rng(0))
    assert [(row["task"], row["source"]) for row in rows] == [("image-to-pose", "bare")]


def test_blocks_split_a_prompt() -> None:
    assert content_blocks("Describe {pose}.") == [
        {"type": "text", "text": "Describe "},
        {"type": "pose"},
        {"type": "text", "text": "."},
    ]
    assert content_blocks("{image_a} {image_b}") == [
        {"type": "image"},
        {"type": "text", "text": " "},
        {"type": "image"},
    ]


def test_braces_and_backslashes_of_a_text_are_kept() -> None:
    text = r"A {pose} of {caption} \1"
    assert content_blocks("Make: {caption}", text) == [{"type": "text", "text": f"Make: {text}"}]


@pytest.mark.parametrize(
    ("record", "message"),
    [
        (PoseRecord("a/1", np.zeros((24, 3), np.float32), ("Text.",)), r"'a/1'.*\(24, 3\), expected \(22, 3\)"),
        (PoseRecord("a/2", np.full((22, 3), np.nan, np.float32), ("Text.",)), "'a/2'.*NaN"),
        (PosePairRecord("a/3", pose(0.0), pose(0.0), ("Text.", " ")), "'a/3'.*empty"),
        (ImagePairRecord("a/4", image("x", np.inf), image("y", 0.0), ("Text.",)), "'a/4'.*infinite"),
    ],
)
def test_errors_name_the_record(record: Record, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        list(rows_from_records([record], TASKS, np.random.default_rng(0)))


@pytest.mark.parametrize(
    ("tasks", "templates", "message"),
    [
        (["pose-to-song"], None, "pose-to-song"),
        (["pose-to-text"], {}, "templates without any of pose-to-text"),
        (["pose-to-text"], {"pose-to-text": ["Describe {image}."]}, "expected {pose}"),
    ],
)
def test_errors_name_task_and_template(tasks: list[str], templates: dict[str, list[str]] | None, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        list(rows_from_records(RECORDS, tasks, np.random.default_rng(0), templates))


def test_every_task_has_placeholders_and_an_answer() -> None:
    assert set(BARE_PROMPTS) <= POSE_ANSWERS <= set(TASKS)
    assert all(task.placeholders for task in TASKS.values())

"""pipeline("unipose") on a random model: the seven tasks, lists and batches, chats, errors; and the stock pipeline."""

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_models import POSE_TOKENS
from transformers import pipeline

from unipose import UniPosePipeline, embedded_checkpoint
from unipose.pipeline_unipose import Conversations, Row
from unipose.tasks_unipose import TASKS


SHORT = {"max_new_tokens": 6}


@pytest.fixture(scope="module")
def pipe(tiny_checkpoint: Path) -> UniPosePipeline:
    return pipeline("unipose", model=str(tiny_checkpoint))


@pytest.fixture(scope="module")
def pipe_without_vision(text_checkpoint: Path) -> UniPosePipeline:
    return pipeline("unipose", model=str(text_checkpoint))


def random_pose(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.5, (22, 3)).astype(np.float32)


def random_image(seed: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (48, 40, 3), dtype=np.uint8))


def task_inputs(name: str, seed: int = 0) -> dict:
    task = TASKS[name]
    return {
        "text": f"A person kneels on {seed} feet." if "{text}" in task.prompt else None,
        "images": [random_image(seed + number) for number in range(task.images)],
        "poses": [random_pose(seed + number) for number in range(task.poses)],
    }


def as_rows(rows: list[dict]) -> dict:
    return {name: [row[name] for row in rows] for name in rows[0]}


def is_same(one: dict, other: dict) -> bool:
    return one["text"] == other["text"] and np.allclose(one["poses"], other["poses"], atol=1e-2)


def assert_same(one: dict, other: dict) -> None:
    assert one["text"] == other["text"]
    assert len(one["poses"]) == len(other["poses"])
    for pose, twin in zip(one["poses"], other["poses"]):
        np.testing.assert_allclose(pose, twin, atol=1e-3)


@pytest.mark.parametrize("name", TASKS)
def test_task_batched_as_single(pipe: UniPosePipeline, name: str) -> None:
    rows = [task_inputs(name, seed) for seed in (0, 10, 20)]
    generate_kwargs = SHORT if TASKS[name].answer == "text" else None
    singles = [pipe(**as_rows([row]), task=name, generate_kwargs=generate_kwargs)[0] for row in rows]
    batched = pipe(**as_rows(rows), task=name, generate_kwargs=generate_kwargs, batch_size=2)
    assert len(batched) == len(rows)
    assert not is_same(singles[0], singles[1])
    for single, answer in zip(singles, batched):
        assert_same(single, answer)
        assert set(answer) == {"text", "poses", "confidence"}
        assert answer["confidence"] == pytest.approx(single["confidence"], rel=1e-3)
        assert 0 < answer["confidence"] < 1
        assert len(answer["poses"]) == (TASKS[name].answer == "pose")
        for pose in answer["poses"]:
            assert pose.shape == (22, 3, 3)
            assert pose.dtype == np.float32
            np.testing.assert_allclose(pose @ pose.swapaxes(1, 2), np.broadcast_to(np.eye(3), (22, 3, 3)), atol=1e-4)


def test_forms_of_one_row_and_of_many(pipe: UniPosePipeline) -> None:
    poses = [random_pose(seed) for seed in range(2)]
    one = pipe(poses=poses[0], task="pose-to-text", **SHORT)
    assert isinstance(one, dict)
    assert_same(one, pipe(poses=poses[0].tolist(), task="pose-to-text", **SHORT))
    assert_same(one, pipe(poses=torch.from_numpy(poses[0]), task="pose-to-text", **SHORT))
    assert_same(one, pipe(text="Describe the pose.", poses=[poses[0]], task="pose-to-text", **SHORT))
    many = pipe(poses=poses, task="pose-to-text", **SHORT)
    stacked = pipe(poses=np.stack(poses), task="pose-to-text", **SHORT)
    assert [len(many), len(stacked)] == [2, 2]
    for answer, twin in zip(many, stacked):
        assert_same(answer, twin)
    assert_same(one, many[0])
    assert isinstance(pipe(poses=poses, task="pose-diff", **SHORT), dict)
    questions = pipe(text=["Standing?", "Sitting?"], poses=poses[0], task="pose-to-text", **SHORT)
    assert len(questions) == 2
    assert pipe(text=[], task="text-to-pose") == []
    mixed = pipe(text=["Standing?", "Sitting?"], poses=[None, poses[0]], images=[[random_image(0)], None], **SHORT)
    assert_same(mixed[0], pipe("Standing?", images=random_image(0), **SHORT))
    assert_same(mixed[1], pipe("Sitting?", poses=poses[0], **SHORT))


def test_files_as_inputs(pipe: UniPosePipeline, tmp_path: Path) -> None:
    np.save(tmp_path / "pose.npy", random_pose(0))
    random_image(0).save(tmp_path / "image.png")
    from_file = pipe(poses=str(tmp_path / "pose.npy"), task="pose-to-text", **SHORT)
    assert_same(from_file, pipe(poses=random_pose(0), task="pose-to-text", **SHORT))
    from_file = pipe(images=str(tmp_path / "image.png"), task="image-to-text", **SHORT)
    assert_same(from_file, pipe(images=random_image(0), task="image-to-text", **SHORT))


def test_placeholders_keep_their_place(pipe: UniPosePipeline) -> None:
    pose, image = random_pose(0), random_image(0)
    ids = {}
    for text in ("<pose> Compare with it.", "Compare with it.", "Compare<pose> with it."):
        conversation = pipe.build_conversation(Row(text, images=[], poses=[pose]), task=None)
        ids[text] = pipe.preprocess(Conversations([conversation]))["input_ids"][0].tolist()
    first, bare, middle = ids.values()
    assert first == bare
    starts = [row.index(pipe.processor.pose_start_token_id) for row in (first, middle)]
    assert starts[0] < starts[1]
    answer = pipe("<image> and <pose>?", images=image, poses=pose, **SHORT)
    chat = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": " and <pose>?"}]}]
    assert_same(answer, pipe(chat, images=[image], poses=[pose], **SHORT))


def test_chat(pipe: UniPosePipeline) -> None:
    chat = [
        {"role": "system", "content": "Answer briefly."},
        {"role": "user", "content": [{"type": "pose", "pose": random_pose(0)}, {"type": "text", "text": "Describe."}]},
        {"role": "assistant", "content": "A person stands."},
        {"role": "user", "content": [{"type": "image", "image": random_image(0), "text": None}]},
    ]
    before = copy.deepcopy(chat)
    answer = pipe(chat, **SHORT)
    assert set(answer) == {"text", "poses", "confidence"}
    assert repr(chat[1:]) == repr([*before[1:3], chat[3]])
    assert chat[3]["content"][0].keys() == before[3]["content"][0].keys()

    text_chat = [{"role": "user", "content": "A person kneels."}]
    pose = pipe("A person kneels.", task="text-to-pose")
    assert_same(pipe(text_chat, task="text-to-pose"), pose)
    for answer in pipe([text_chat, text_chat], task="text-to-pose", batch_size=2):
        assert_same(answer, pose)


def turned(pose: np.ndarray, yaw: float) -> np.ndarray:
    """(22, 3, 3), turned to the body's left about the vertical of the stored frame."""
    turn = np.array([[np.cos(yaw), -np.sin(yaw), 0], [np.sin(yaw), np.cos(yaw), 0], [0, 0, 1]], dtype=np.float32)
    return np.concatenate([turn @ pose[:1], pose[1:]])


@pytest.mark.parametrize("name", ["pose-to-text", "pose-diff", "pose-edit"])
@pytest.mark.parametrize(("frame", "output_frame"), [("y_up", "camera"), ("camera", "z_up"), ("z_up", "y_up")])
def test_frame_and_heading_of_poses(pipe: UniPosePipeline, name: str, frame: str, output_frame: str) -> None:
    """The same poses turned and in another frame: the same answer, turned as they are, in the wanted frame."""
    inputs = task_inputs(name) | SHORT if TASKS[name].answer == "text" else task_inputs(name)
    poses = [pipe.processor.read_pose(pose).numpy() for pose in inputs.pop("poses")]
    inputs.pop("images")
    (expected,) = pipe(poses=[poses], task=name, **inputs)
    other = [pipe.processor.to_frame(torch.from_numpy(turned(pose, 2.0)), frame) for pose in poses]
    (answer,) = pipe(poses=[other], task=name, frame=frame, output_frame=output_frame, **inputs)
    assert answer["text"] == expected["text"]
    assert len(answer["poses"]) == len(expected["poses"]) == (name == "pose-edit")
    for pose, twin in zip(answer["poses"], expected["poses"]):
        wanted = pipe.processor.to_frame(torch.from_numpy(turned(twin, 2.0)), output_frame)
        np.testing.assert_allclose(pose, wanted, atol=1e-4)


def test_a_doubtful_pose_is_warned_of_once(pipe: UniPosePipeline, caplog: pytest.LogCaptureFixture) -> None:
    backward = np.zeros((22, 3))
    backward[4, 0] = -1.0
    pose = pipe.processor.read_pose(backward, frame="y_up")
    assert not caplog.records
    pipe(poses=pose, task="pose-to-text", **SHORT)
    assert ["left_knee bends backward" in record.message for record in caplog.records] == [True]
    caplog.clear()
    pipe([{"role": "user", "content": [{"type": "pose", "pose": np.zeros((22, 3))}]}], **SHORT)
    assert ["global orientation is zero" in record.message for record in caplog.records] == [True]


def test_blocks_of_a_chat_have_frames(pipe: UniPosePipeline) -> None:
    pose = pipe.processor.read_pose(random_pose(0))
    text = {"type": "text", "text": " Describe it."}

    def ask(block: dict, **options) -> dict:
        return pipe([{"role": "user", "content": [{"type": "pose", **block}, text]}], **options, **SHORT)

    expected = ask({"pose": pose})
    y_up = pipe.processor.to_frame(pose, "y_up")
    assert_same(expected, ask({"pose": y_up, "frame": "y_up"}))
    assert_same(expected, ask({"pose": y_up, "frame": "y_up"}, frame="camera"))
    assert_same(expected, ask({"pose": y_up}, frame="y_up"))
    with pytest.raises(ValueError, match="frame of a pose block is 'up'; accepted: 'z_up', 'y_up', 'camera'"):
        ask({"pose": pose, "frame": "up"})


def test_inputs_are_not_changed(pipe: UniPosePipeline) -> None:
    poses, options = [random_pose(0), random_pose(1)], dict(SHORT)
    copies = copy.deepcopy(poses)
    pipe(poses=poses, task="pose-diff", generate_kwargs=options)
    assert len(poses) == 2
    assert options == SHORT
    for pose, original in zip(poses, copies):
        np.testing.assert_array_equal(pose, original)


def test_generation_arguments(pipe: UniPosePipeline) -> None:
    def sample(seed: int) -> np.ndarray:
        torch.manual_seed(seed)
        return pipe("Run.", task="text-to-pose", do_sample=True, temperature=3.0)["poses"][0]

    np.testing.assert_array_equal(sample(0), sample(0))
    assert np.abs(sample(0) - sample(1)).max() > 1e-3
    with pytest.raises(ValueError, match=f"at least {POSE_TOKENS + 1}"):
        pipe("Run.", task="text-to-pose", max_new_tokens=3)


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({"text": "Run.", "task": "text-to-dance"}, "unknown task 'text-to-dance'; accepted: .*pose-edit"),
        ({"task": "pose-diff", "poses": [np.zeros((22, 3))]}, "takes 2 poses per row, got 1"),
        ({"task": "pose-to-text"}, "takes 1 poses per row, got 0"),
        ({"task": "image-to-text", "images": [[random_image(0), random_image(1)]]}, "takes 1 images per row, got 2"),
        ({"task": "text-to-pose", "text": "Run.", "poses": np.zeros((22, 3))}, "takes 0 poses per row, got 1"),
        ({"task": "text-to-pose"}, "a text is needed"),
        ({"task": "text-to-pose", "text": "  "}, "the text is empty"),
        ({}, "a text is needed"),
        ({"text": 3}, "got int"),
        ({"text": "<pose> or <pose>?", "poses": [np.zeros((22, 3))]}, "places for 2 poses, but 1 were given"),
        ({"text": ["a", "b"], "poses": [[np.zeros((22, 3))]] * 3}, "2 of text, 3 of poses"),
        ({"text": [{"role": "assistant", "content": "Hi."}]}, "the last message"),
        ({"text": [{"role": "user", "content": [{"type": "video"}]}]}, "'video'"),
        ({"text": "<pose>?", "poses": np.full((22, 3), np.nan)}, "^pose 1"),
        ({"task": "pose-to-text", "poses": [[np.zeros((22, 3))], [np.full((22, 3), 9)]]}, "^row 2, pose 1: .*degrees"),
        ({"task": "pose-to-text", "poses": np.zeros((22, 3)), "frame": "up"}, "frame is 'up'; accepted: 'z_up'"),
        ({"task": "text-to-pose", "text": "Run.", "output_frame": "up"}, "output_frame is 'up'; accepted: 'z_up'"),
    ],
)
def test_errors(pipe: UniPosePipeline, inputs: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        pipe(**inputs)


def test_model_without_vision_encoders(pipe_without_vision: UniPosePipeline) -> None:
    assert len(pipe_without_vision("A person kneels.", task="text-to-pose")["poses"]) == 1
    with pytest.raises(ValueError, match="no vision encoder"):
        pipe_without_vision(images=random_image(0), task="image-to-text")


def test_free_answers_may_hold_poses(pipe: UniPosePipeline) -> None:
    """A prompt that ends in pose-start is answered with a pose, whatever the mode."""
    ids = pipe.processor(text="Run.", generation_mode="pose", return_tensors="pt")
    generated = pipe._forward(ids, max_new_tokens=POSE_TOKENS + 4)
    (answers,) = pipe.postprocess(generated)
    assert len(answers[0]["poses"]) == 1


def test_save_pretrained(pipe: UniPosePipeline, tmp_path: Path) -> None:
    pipe.save_pretrained(tmp_path)
    again = pipeline("unipose", model=str(tmp_path))
    assert_same(again("Run.", task="text-to-pose"), pipe("Run.", task="text-to-pose"))


def test_default_is_the_embedded_checkpoint(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(embedded_checkpoint, "EMBEDDED_CHECKPOINT", tmp_path)
    with pytest.raises(FileNotFoundError, match=r"config\.json"):
        pipeline("unipose")


def test_stock_pipeline_answers_in_text(pipe: UniPosePipeline, tmp_path: Path) -> None:
    pipe.save_pretrained(tmp_path)
    stock = pipeline("image-text-to-text", model=str(tmp_path))
    answer = stock(
        images=[random_image(0)], text="<image>What is this?", generate_kwargs={**SHORT, "do_sample": False}
    )
    assert isinstance(answer[0]["generated_text"], str)
    chat = [
        {
            "role": "user",
            "content": [
                {"type": "pose", "pose": random_pose(0)},
                {"type": "image", "image": random_image(0)},
                {"type": "text", "text": "Is it the same?"},
            ],
        }
    ]
    generate_kwargs = {**SHORT, "do_sample": False, "generation_mode": "text"}
    answer = stock(text=chat, generate_kwargs=generate_kwargs, return_full_text=False)
    ours = pipe(chat, task="image-to-text", **SHORT)
    assert answer[0]["generated_text"].strip() == ours["text"]

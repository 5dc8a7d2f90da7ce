"""Users' rows in every form that people have them become the same rows; errors name the line and the field."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasets import Dataset, DatasetDict, Features, List, Value
from datasets import Image as ImageFeature
from own_rows import save_image, turned, upright_rotvecs, write_csv, write_jsonl

from unipose.processing.pose_features import pose_to_rotmats
from unipose.processing.pose_io import save_pose
from unipose.tasks_unipose import TASKS
from unipose.training.datasets.read_rows import read_rows
from unipose.training.datasets.row_columns import DEFAULT_TASKS, task_columns
from unipose.training.datasets.rows import FEATURES, POSE_ANSWERS


POSES = upright_rotvecs(3)
TEXTS = ["A heron stands on one leg.", "Someone naps.", 'A person, "quoted", waits.']


def simple_rows() -> list[dict[str, Any]]:
    return [{"text": text, "pose": pose.tolist()} for text, pose in zip(TEXTS, POSES)]


def chat(question: list[Any] | str, answer: list[Any] | str) -> list[dict[str, Any]]:
    return [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]


def question_of(row: dict[str, Any]) -> str:
    """The last question, with placeholders for its images and poses."""
    blocks = row["messages"][-2]["content"]
    return "".join(block["text"] if block["type"] == "text" else f"<{block['type']}>" for block in blocks)


def check_text_to_pose(dataset: Dataset, poses: np.ndarray = POSES) -> None:
    assert dataset.features == FEATURES
    assert dataset["text"] == TEXTS
    assert dataset["task"] == ["text-to-pose"] * len(TEXTS)
    for row, text, pose in zip(dataset, TEXTS, poses):
        assert question_of(row) == text, "rows are trained as written"
        assert row["messages"][-1]["content"] == [{"type": "pose"}]
        np.testing.assert_allclose(row["poses"], [pose], atol=1e-5)


def as_jsonl(folder: Path) -> Any:
    return write_jsonl(folder / "rows.jsonl", simple_rows())


def as_folder(folder: Path) -> Any:
    write_jsonl(folder / "a.jsonl", simple_rows()[:1])
    (folder / "more").mkdir()
    write_jsonl(folder / "more" / "b.jsonl", simple_rows()[1:])
    return folder


def as_csv(folder: Path) -> Any:
    return write_csv(folder / "rows.csv", [row | {"pose": json.dumps(row["pose"])} for row in simple_rows()])


def as_csv_of_paths(folder: Path) -> Any:
    for number, pose in enumerate(POSES):
        save_pose(folder / f"{number}.npz", pose_to_rotmats(pose))
    return write_csv(folder / "rows.csv", [{"pose_path": f"{i}.npz", "caption": text} for i, text in enumerate(TEXTS)])


def as_tsv_of_frames(folder: Path) -> Any:
    np.savez(folder / "clip.npz", poses=POSES.reshape(3, 66))
    lines = [f"{text}\tclip.npz:{number}" for number, text in enumerate(["text", *TEXTS[:2]], start=-1)]
    lines[0] = "text\tpose"
    lines.append('"A person, ""quoted"", waits."\tclip.npz:2')
    (folder / "rows.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder / "rows.tsv"


def as_parquet(folder: Path) -> Any:
    Dataset.from_list(simple_rows()).to_parquet(folder / "rows.parquet")
    return str(folder / "rows.parquet")


def as_parquet_of_rows(folder: Path) -> Any:
    read_rows(simple_rows()).to_parquet(folder / "train.parquet")
    return folder


def as_saved(folder: Path) -> Any:
    Dataset.from_list(simple_rows()).save_to_disk(folder / "saved")
    return folder / "saved"


def as_saved_splits(folder: Path) -> Any:
    DatasetDict({"train": Dataset.from_list(simple_rows())}).save_to_disk(folder / "saved")
    return folder / "saved"


def as_dataset(folder: Path) -> Any:
    return Dataset.from_list(simple_rows())


def as_array_dataset(folder: Path) -> Any:
    return Dataset.from_list(simple_rows()).with_format("numpy")


def as_matrices(folder: Path) -> Any:
    return [{"text": text, "pose": pose_to_rotmats(pose).numpy()} for text, pose in zip(TEXTS, POSES)]


def as_messages(folder: Path) -> Any:
    rows = [{"messages": chat(text, [{"type": "pose", "pose": pose.tolist()}])} for text, pose in zip(TEXTS, POSES)]
    return write_jsonl(folder / "rows.jsonl", rows)


def as_messages_beside_poses(folder: Path) -> Any:
    rows = [{"messages": chat(text, "<pose>"), "poses": [pose.tolist()]} for text, pose in zip(TEXTS, POSES)]
    return write_jsonl(folder / "rows.jsonl", rows)


def as_messages_of_paths(folder: Path) -> Any:
    for number, pose in enumerate(POSES):
        save_pose(folder / f"{number}.json", pose_to_rotmats(pose))
    rows = [
        {"messages": chat([{"type": "text", "text": text}], [{"type": "pose", "path": f"{number}.json"}])}
        for number, text in enumerate(TEXTS)
    ]
    return write_jsonl(folder / "rows.jsonl", rows)


FORMS = (
    as_jsonl,
    as_folder,
    as_csv,
    as_csv_of_paths,
    as_tsv_of_frames,
    as_parquet,
    as_parquet_of_rows,
    as_saved,
    as_saved_splits,
    as_dataset,
    as_array_dataset,
    as_matrices,
    as_messages,
    as_messages_beside_poses,
    as_messages_of_paths,
)


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.__name__)
def test_every_form_gives_the_same_rows(form: Any, tmp_path: Path) -> None:
    check_text_to_pose(read_rows(form(tmp_path)))


def test_rows_that_were_read_are_read_again_unchanged() -> None:
    once = read_rows(simple_rows())
    again = read_rows(once)
    assert again["messages"] == once["messages"]
    assert again["source"] == once["source"] == ["row 0", "row 1", "row 2"]
    np.testing.assert_allclose(np.array(again["poses"]), np.array(once["poses"]), atol=1e-5)


def columns_of(task: str, folder: Path) -> dict[str, Any]:
    """A row with the columns of a task."""
    image = save_image(folder / "image.png").name
    values = {"pose": POSES[0], "second_pose": POSES[1], "image": image, "second_image": image, "text": TEXTS[0]}
    row = {name: values[name] for name in sorted(task_columns(TASKS[task]))}
    return {name: value.tolist() if isinstance(value, np.ndarray) else value for name, value in row.items()}


@pytest.mark.parametrize("task", TASKS)
def test_columns_decide_the_task_and_the_prompt_is_the_pipelines(task: str, tmp_path: Path) -> None:
    row = columns_of(task, tmp_path)
    (got,) = read_rows(write_jsonl(tmp_path / "rows.jsonl", [row | {"task": task}]))
    assert got["task"] == task
    prompt = TASKS[task].prompt.replace("{text}", TEXTS[0])
    assert question_of(got) == "<pose> " * TASKS[task].poses + "<image> " * TASKS[task].images + prompt
    assert [block["type"] for block in got["messages"][-1]["content"]] == [TASKS[task].answer]
    assert len(got["images"]) == TASKS[task].images
    assert len(got["poses"]) == TASKS[task].poses + (task in POSE_ANSWERS)
    if task in DEFAULT_TASKS:
        assert read_rows(tmp_path / "rows.jsonl")["task"] == [task]
        del row["text" if "text" in row else "pose"]
        with pytest.raises(ValueError, match="got the columns"):
            read_rows(write_jsonl(tmp_path / "rows.jsonl", [row]))


def test_questions_and_prompts_of_the_model(tmp_path: Path) -> None:
    asked = {"pose": POSES[0].tolist(), "question": "Is <pose> seated?", "text": "No."}
    (row,) = read_rows([asked])
    assert (row["task"], question_of(row), row["text"]) == ("pose-to-text", "Is <pose> seated?", "No.")
    (row,) = read_rows([asked | {"question": "Seated?"}])
    assert question_of(row) == "<pose> Seated?"
    prompts = {"text-to-pose": "Generate: {text}", "pose-to-text": "Say it."}
    rows = read_rows(simple_rows()[:1], tasks=["pose-to-text", "text-to-pose"], prompts=prompts)
    assert [question_of(row) for row in rows] == ["<pose> Say it.", f"Generate: {TEXTS[0]}"]
    assert rows["source"] == ["row 0", "row 0"]
    with pytest.raises(ValueError, match="row 0, question: text-to-pose has none"):
        read_rows([asked | {"task": "text-to-pose"}])
    with pytest.raises(ValueError, match=r"row 0, question: .*placeholders"):
        read_rows([asked | {"question": "Is <image> seated?"}])


def test_poses_face_the_front_as_in_the_pipeline() -> None:
    spun = [row | {"pose": turned(pose, 1.2).tolist()} for row, pose in zip(simple_rows(), POSES)]
    check_text_to_pose(read_rows(spun))
    check_text_to_pose(read_rows(spun, keep_heading=True), np.stack([turned(pose, 1.2) for pose in POSES]))
    edit = {"pose": turned(POSES[0], 1.2), "second_pose": turned(POSES[1], 1.7), "text": "Turn to the left."}
    (row,) = read_rows([edit])
    np.testing.assert_allclose(row["poses"], [POSES[0], turned(POSES[1], 0.5)], atol=1e-5)


def test_poses_of_images_keep_their_heading_and_frames_are_read(tmp_path: Path) -> None:
    camera = {"image": save_image(tmp_path / "a.png"), "pose": turned(POSES[0], 0.7), "frame": "z_up"}
    (row,) = read_rows([camera])
    np.testing.assert_allclose(row["poses"], [turned(POSES[0], 0.7)], atol=1e-5)
    y_up = POSES.copy()
    y_up[:, 0] = 0
    rows = [{"text": text, "pose": pose} for text, pose in zip(TEXTS, y_up)]
    check_text_to_pose(read_rows(rows, frame="y_up"))
    check_text_to_pose(read_rows([row | {"frame": "y_up"} for row in rows]))
    blocks = [
        {"messages": chat(row["text"], [{"type": "pose", "pose": row["pose"], "frame": "y_up"}])} for row in rows
    ]
    check_text_to_pose(read_rows(blocks))


def test_images_of_every_form_are_kept_byte_for_byte(tmp_path: Path) -> None:
    content = save_image(tmp_path / "a.jpg", "navy").read_bytes()
    rows = [{"image": "a.jpg", "text": "Blue."}]
    features = Features({"image": ImageFeature(), "text": Value("string")})
    many = Features({"images": List(ImageFeature()), "messages": FEATURES["messages"]})
    question = chat("<image> What color?", "Blue.")
    sources: list[Any] = [
        write_jsonl(tmp_path / "rows.jsonl", rows),
        write_csv(tmp_path / "rows.csv", [{"file_name": "a.jpg", "text": "Blue."}]),
        Dataset.from_list([{"image": {"bytes": content, "path": None}, "text": "Blue."}], features=features),
        Dataset.from_list([{"images": [{"bytes": content, "path": None}], "messages": question}], features=many),
        [{"messages": chat([{"type": "image", "path": str(tmp_path / "a.jpg")}], "Blue.")}],
        [{"image": content, "text": "Blue."}],
    ]
    for source in sources:
        dataset = read_rows(source)
        assert dataset.data.column("images")[0].as_py()[0]["bytes"] == content
        assert dataset["task"] == ["image-to-text"]


def test_chats_of_several_turns(tmp_path: Path) -> None:
    first, second, third = (pose.tolist() for pose in POSES)
    messages = [
        {"role": "system", "content": "Be brief."},
        *chat([{"type": "pose", "pose": first}, {"type": "text", "text": "Sit."}], [{"type": "pose"}]),
        *chat("Now describe <pose>.", "It sits."),
    ]
    (row,) = read_rows(write_jsonl(tmp_path / "rows.jsonl", [{"messages": messages, "poses": [second, third]}]))
    np.testing.assert_allclose(row["poses"], POSES, atol=1e-5)
    assert (row["task"], row["text"], question_of(row)) == ("chat", "It sits.", "Now describe <pose>.")
    assert row["messages"][0]["content"] == [{"type": "text", "text": "Be brief."}]


def test_names_of_columns_may_be_the_users() -> None:
    rows = [{"id": 7, "description": text, "smpl": pose.tolist()} for text, pose in zip(TEXTS, POSES)]
    check_text_to_pose(read_rows(rows, rename={"description": "text", "smpl": "pose"}, ignore=["id"]))
    with pytest.raises(ValueError, match="row 0: got the column 'id'"):
        read_rows(rows, rename={"description": "text", "smpl": "pose"})
    with pytest.raises(ValueError, match="row 0: 'id' cannot become 'smpl'"):
        read_rows(rows, rename={"id": "smpl"})


NAN = POSES[0].tolist()
NAN[3][1] = float("nan")
BAD_LINES: list[tuple[Any, str]] = [
    ("{", "it is no JSON"),
    ("[1]", r"got \[1\]; expected an object"),
    (b"\xff\xfe", "it is no JSON"),
    ({"text": "A.", "pose": NAN}, "pose: .*NaN"),
    ({"text": "A.", "pose": (90 * POSES[0]).tolist()}, "pose: .*degrees"),
    ({"text": "A.", "pose": POSES[0][:11].tolist()}, "pose: no pose has the shape"),
    ({"text": "A.", "pose": "missing.npz"}, "pose: there is no file"),
    ({"text": "A.", "pose": "[1, 2"}, "pose: .*no JSON"),
    ({"text": "A.", "pose": POSES[0].tolist(), "frame": "up"}, "pose: frame is 'up'"),
    ({"text": " ", "pose": POSES[0].tolist()}, "text: got ' '; expected words"),
    ({"text": 5, "pose": POSES[0].tolist()}, "text: got 5; expected words"),
    ({"text": "A.", "pose": POSES[0].tolist(), "pose_path": "a.npz"}, "pose_path: 'pose' is given twice"),
    ({"text": "A.", "image": "missing.png"}, "image: there is no file"),
    ({"text": "A.", "image": "https://example.org/a.png"}, "image: .*address"),
    ({"text": "A.", "image": "rows.jsonl"}, "image: "),
    ({"text": "A.", "pose": POSES[0].tolist(), "task": "dance"}, "task: .*dance"),
    (
        {"text": "A.", "pose": POSES[0].tolist(), "task": "image-to-text"},
        "got the columns pose, text for image-to-text",
    ),
    ({"text": "A."}, "got the columns text for a task"),
    ({"messages": []}, "messages: the chat has no messages|messages: .*no messages"),
    ({"messages": chat("A.", "B."), "label": 1}, "got the columns 'label' beside messages"),
    ({"messages": chat("A.", "B.")[:1]}, "messages: the last role is user"),
    ({"messages": chat("<pose> A.", "B.")}, "poses: got 0 of them, but the messages have 1 pose blocks"),
    ({"messages": chat("A.", "B."), "poses": [POSES[0].tolist()]}, "poses: got 1 of them"),
    ({"messages": chat("A.", "<pose>"), "poses": [NAN]}, "poses: pose 1: .*NaN"),
    ({"messages": chat("A.", "<pose>"), "poses": 5}, "poses: got 5, expected a list"),
    ({"messages": chat([{"type": "image", "path": "none.png"}], "B.")}, "images: image 1: there is no file"),
    ({"messages": chat([{"type": "video"}], "B.")}, "messages: message 1, part 1 has the type"),
    ({"messages": chat("A.", "\ud800")}, "messages: .*surrogate"),
]


@pytest.mark.parametrize(("line", "message"), BAD_LINES, ids=[message for _, message in BAD_LINES])
def test_errors_name_the_file_the_line_and_the_field(line: Any, message: str, tmp_path: Path) -> None:
    good = json.dumps(simple_rows()[0]).encode()
    bad = line if isinstance(line, bytes) else (line if isinstance(line, str) else json.dumps(line)).encode()
    (tmp_path / "rows.jsonl").write_bytes(good + b"\n\n" + bad + b"\n" + good + b"\n")
    with pytest.raises(ValueError, match=f"^rows.jsonl, line 3(, |: )({message})"):
        read_rows(tmp_path)


def test_errors_of_tables_name_their_line(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text('text,pose\n"two\nlines",a.npz\nA.,a.npz,3\n', encoding="utf-8")
    with pytest.raises(ValueError, match=r"rows.csv, line 3, pose: there is no file"):
        read_rows(tmp_path / "rows.csv")
    np.save(tmp_path / "a.npy", POSES[0])
    (tmp_path / "rows.csv").write_text("text,pose\nA.,a.npy\nA.,a.npy,3\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"rows.csv, line 3: got 3 cells; expected 2"):
        read_rows(tmp_path / "rows.csv")
    (tmp_path / "rows.csv").write_text("text,pose\nA.,a.npy\nB.,\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"rows.csv, line 3: got the columns text for a task"):
        read_rows(tmp_path / "rows.csv")
    (tmp_path / "rows.csv").write_text("text,text\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"rows.csv, line 1: .*different names"):
        read_rows(tmp_path / "rows.csv")
    Dataset.from_list([{"text": "A.", "pose": NAN}]).to_parquet(tmp_path / "rows.parquet")
    with pytest.raises(ValueError, match=r"rows.parquet, row 0, pose: .*NaN"):
        read_rows(tmp_path / "rows.parquet")
    (tmp_path / "rows.parquet").write_bytes(b"PAR1")
    with pytest.raises(ValueError, match=r"rows.parquet cannot be read as Parquet"):
        read_rows(tmp_path / "rows.parquet")


def test_sources_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="there is no file or folder"):
        read_rows(tmp_path / "rows.jsonl")
    with pytest.raises(FileNotFoundError, match="'nobody/nothing' is no file or folder, and loading it from the Hub"):
        read_rows("nobody/nothing")
    with pytest.raises(ValueError, match="holds no table"):
        read_rows(tmp_path)
    as_jsonl(tmp_path)
    as_parquet(tmp_path)
    with pytest.raises(ValueError, match=r"several kinds \(.jsonl, .parquet\)"):
        read_rows(tmp_path)
    (tmp_path / "rows.txt").write_text("A.")
    with pytest.raises(ValueError, match=r"rows.txt ends in '.txt'"):
        read_rows(tmp_path / "rows.txt")
    (tmp_path / "rows.jsonl").write_text("\n")
    with pytest.raises(ValueError, match="holds no rows"):
        read_rows(tmp_path / "rows.jsonl")
    with pytest.raises(ValueError, match="has no split 'test'; it has train"):
        read_rows(DatasetDict({"train": as_dataset(tmp_path)}), split="test")
    with pytest.raises(ValueError, match="got 5 as the source"):
        read_rows(5)  # type: ignore[arg-type]

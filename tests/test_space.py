"""The Space without a browser: conversations, uploads, files, and the API of a server on loopback."""

import ast
import asyncio
import base64
import io
import json
import logging
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from space_app import UPLOAD_BYTES, module, need, running_space

from unipose.processing.pose_io import load_pose, save_animation, save_pose
from unipose.processing.rendering import render_pose
from unipose.tasks_unipose import TASKS


need("gradio")

import gradio  # noqa: E402
import httpx  # noqa: E402
from gradio_client import Client  # noqa: E402
from gradio_client.exceptions import AppError  # noqa: E402


Request, Assistant = module("answering").Request, module("answering").Assistant
Session, Turn, Candidate = module("session").Session, module("session").Turn, module("session").Candidate
Limits = module("limits").Limits
read_uploads = module("uploads").read_uploads


@pytest.fixture(scope="module")
def assistant():
    return module("answering").load_assistant(None, Limits())[0]


@pytest.fixture(scope="module")
def standing() -> np.ndarray:
    return module("examples").standing_pose()


@pytest.fixture(scope="module")
def squat(assistant) -> np.ndarray:
    return assistant.answer(Session(), Request("A person squats.")).pose


def turn_with(*poses: float) -> Any:
    return Turn("request", "reply", tuple(np.full((1,), pose) for pose in poses))


# The conversation.


def test_undo_and_redo_restore_every_turn() -> None:
    states = [Session()]
    for number in range(4):
        states.append(states[-1].add(turn_with(number), 10))
    session = states[-1]
    for before in states[-2::-1]:
        session = session.undo()
        assert session.shown == before.shown
    assert session.undo().shown == ()
    for after in states[1:]:
        session = session.redo()
        assert session.shown == after.shown
    assert not session.can_redo
    assert session.redo().shown == session.shown


def test_a_new_turn_replaces_what_was_taken_back() -> None:
    session = Session().add(turn_with(1), 10).add(turn_with(2), 10).undo().add(turn_with(3), 10)
    assert [float(pose[0]) for pose in session.poses] == [1, 3]
    assert not session.can_redo


def test_a_long_conversation_forgets_turns_but_not_the_pose() -> None:
    session = Session().add(turn_with(7), 3)
    for _ in range(5):
        session = session.add(turn_with(), 3)
    assert len(session.turns) == 3
    assert session.number == 6
    assert float(session.pose[0]) == 7


def test_a_chosen_candidate_becomes_the_pose() -> None:
    candidates = tuple(Candidate(np.full((1,), value), 0.5) for value in (1.0, 2.0, 3.0))
    session = Session().add(turn_with(9), 9).add(Turn("r", "a", (candidates[0].pose,), candidates), 9)
    assert [float(session.choose(index).pose[0]) for index in (2, 0)] == [3, 1]
    assert float(session.choose(1).undo().pose[0]) == 9
    for index in (3, -1):
        with pytest.raises(ValueError, match="no pose"):
            session.choose(index)


# What a message means.


def counted(monkeypatch: pytest.MonkeyPatch, assistant: Any) -> list[str]:
    """The tasks that answers are asked for."""
    tasks: list[str] = []
    for name in ("ask", "make"):
        original = getattr(assistant, name)

        def noted(task: Any, *arguments: Any, original: Any = original) -> Any:
            tasks.append(task.name)
            return original(task, *arguments)

        monkeypatch.setattr(assistant, name, noted)
    return tasks


def test_all_seven_tasks(assistant, squat, standing, monkeypatch: pytest.MonkeyPatch) -> None:
    tasks = counted(monkeypatch, assistant)
    images = [render_pose(pose, size=128) for pose in (squat, standing)]
    session = assistant.answer(Session(), Request("A person squats."))
    assert tasks == ["text-to-pose"]
    session = assistant.answer(session, Request("Raise the left arm."))
    session = assistant.answer(session, Request("Are the knees bent?"))
    assert "bent" in session.shown[-1].reply
    session = assistant.answer(session, Request("", "compare"))
    assert "arm" in session.shown[-1].reply
    session = assistant.answer(session, Request("", images=images[:1]))
    session = assistant.answer(session, Request("", "ask", images=images[:1]))
    session = assistant.answer(session, Request("", images=images))
    assert tasks[1:] == ["pose-edit", "pose-to-text", "pose-diff", "image-to-pose", "image-to-text", "image-diff"]
    assert sorted(tasks) == sorted(TASKS)
    assert len(session.poses) == 3


def test_an_explicit_wish_comes_before_the_models_choice(assistant, squat, monkeypatch: pytest.MonkeyPatch) -> None:
    session = Session().add(Turn("r", "a", (squat,)), 9)
    tasks = counted(monkeypatch, assistant)
    assistant.answer(session, Request("A person stands.", "new"))
    assistant.answer(session, Request("Is the left arm raised?", "change"))
    assistant.answer(session, Request("Raise the left arm.", "ask"))
    assert tasks == ["text-to-pose", "pose-edit", "pose-to-text"]


def test_candidates_are_offered_the_surest_first(assistant) -> None:
    session = assistant.answer(Session(), Request("A person sits.", answers=3))
    confidences = [candidate.confidence for candidate in session.candidates]
    assert len(confidences) == 3
    assert confidences == sorted(confidences, reverse=True)
    assert np.array_equal(session.pose, session.candidates[0].pose)


def test_a_joint_turned_by_hand_gives_new_words(assistant, standing) -> None:
    raised = standing.copy()
    raised[16] = np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])
    session = assistant.move(Session().add(Turn("r", "a", (standing,)), 9), raised, "left_shoulder")
    assert np.array_equal(session.pose, raised)
    assert "left" in session.shown[-1].reply.lower()
    assert "What changed: " in session.shown[-1].reply


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (Request(""), "write a sentence"),
        (Request("x" * 501), "501 characters"),
        (Request("A person sits.", answers=5), "from 1 to 4"),
        (Request("A person sits.", answers=1.5), "from 1 to 4"),
        (Request("Raise the arm.", "change"), "there must be one"),
        (Request("", "compare"), "nothing to compare"),
        (Request("", "ask"), "no pose yet"),
        (Request("Are the knees bent?"), "no pose yet"),
        (Request("A person sits.", "draw"), "no mode"),
    ],
)
def test_what_cannot_be_done_is_said(assistant, request_, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        assistant.answer(Session(), request_)


@pytest.mark.parametrize("text", ["/etc/passwd", "http://127.0.0.1:9/x.png", "file:///etc/passwd", "../x.npz"])
def test_a_path_or_an_address_is_only_words(assistant, squat, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: Any, **options: Any) -> None:
        raise AssertionError("something was opened")

    monkeypatch.setattr("unipose.processing.image_loading.fetch", refuse)
    monkeypatch.setattr("unipose.processing.image_loading.open_image", refuse)
    monkeypatch.setattr("unipose.processing.pose_files.read_pose_file", refuse)
    for session in (Session(), Session().add(Turn("r", "a", (squat,)), 9)):
        assert assistant.answer(session, Request(text)).position == session.position + 1


def test_examples_work_in_their_order(assistant) -> None:
    examples = module("examples")
    session = Session()
    for example in examples.EXAMPLES:
        images = [examples.example_image(assistant, example.image_of)] if example.image_of else []
        session = assistant.answer(session, Request(example.text, example.mode, images))
        assert len(session.shown[-1].reply) > 15, example.label
        assert "not sure" not in session.shown[-1].reply or not session.shown[-1].poses, example.label


# Models.


def test_a_model_that_cannot_be_loaded_leaves_the_embedded_one(tmp_path: Path) -> None:
    (tmp_path / "broken").mkdir()
    for name in (str(tmp_path / "broken"), str(tmp_path / "none")):
        assistant, note = module("answering").load_assistant(name, Limits())
        assert Path(name).name in note
        assert str(tmp_path) not in note
        assert assistant.answer(Session(), Request("A person squats.")).pose.shape == (22, 3, 3)


# Errors.


def test_the_log_has_no_words_of_a_visitor(caplog: pytest.LogCaptureFixture) -> None:
    messages = module("messages")
    secret = "my secret sentence"
    with caplog.at_level(logging.DEBUG):
        assert messages.explain(RuntimeError(secret)) == messages.UNEXPECTED
    assert "RuntimeError" in caplog.text
    assert secret not in caplog.text
    assert messages.explain(ValueError("the file is damaged")) == "The file is damaged."


# Uploads.


@pytest.mark.parametrize("ending", [".npz", ".npy", ".json", ".bvh", ".smplh.npz"])
def test_pose_files_are_read(tmp_path: Path, squat, ending: str) -> None:
    path = save_pose(tmp_path / f"pose{ending}", squat)
    (found,) = read_uploads([str(path)], Limits()).poses
    np.testing.assert_allclose(found, squat, atol=1e-4)


def test_the_frame_of_an_upload_may_be_stated(tmp_path: Path, squat) -> None:
    path = tmp_path / "pose.npy"
    save_pose(path, squat, frame="y_up")
    (found,) = read_uploads([str(path)], Limits(), "y_up").poses
    np.testing.assert_allclose(found, squat, atol=1e-5)


def test_of_a_motion_the_middle_frame_is_taken(tmp_path: Path, squat, standing) -> None:
    path = save_animation(tmp_path / "clip.smplh.npz", [standing, squat], fps=10, seconds=0.5)
    found = read_uploads([str(path)], Limits())
    assert "6 frames" in found.notes[0]
    assert len(found.poses) == 1


class Opened:
    """A pickle that would leave a trace."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def hostile_files(folder: Path) -> dict[str, bytes]:
    """Files that may do no harm, by name."""
    pickled = pickle.dumps(Opened(folder / "trace"))
    objects = io.BytesIO()
    np.save(objects, np.array([Opened(folder / "trace")], dtype=object), allow_pickle=True)
    bomb = io.BytesIO()
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("poses", "trans"):
            archive.writestr(f"{name}.npy", bytes(40 * 2**20))
    svg = b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'
    return {
        "pickle.npy": pickled,
        "objects.npy": objects.getvalue(),
        "pickle.pt": pickled,
        "pickle.npz": pickled,
        "bomb.npz": bomb.getvalue(),
        "image.svg": svg,
        "svg.png": svg,
        "words.png": b"no image at all",
        "deep.json": b"[" * 50_000,
        "nan.json": b'{"rotmats": [[NaN]]}',
        "empty.bvh": b"",
        "program.exe": b"MZ",
        "large.npz": bytes(9 * 2**20),
    }


HOSTILE = (
    "pickle.npy", "objects.npy", "pickle.pt", "pickle.npz", "bomb.npz", "image.svg", "svg.png", "words.png",
    "deep.json", "nan.json", "empty.bvh", "program.exe", "large.npz",
)  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files_are_refused_by_name(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(hostile_files(tmp_path)[name])
    with pytest.raises(ValueError, match=name.replace(".", r"\.")) as caught:
        read_uploads([str(path)], Limits())
    assert str(tmp_path) not in str(caught.value)
    assert not (tmp_path / "trace").exists()


def test_a_message_has_few_files(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="3 files"):
        read_uploads([str(tmp_path / "a.png")] * 3, Limits())


# Files.


def test_every_file_of_a_pose_can_be_used(tmp_path: Path, squat) -> None:
    downloads = module("downloads")
    files = downloads.pose_files(squat)
    with zipfile.ZipFile(io.BytesIO(files["pose.zip"])) as archive:
        assert {name: archive.read(name) for name in archive.namelist()} == {
            name: content for name, content in files.items() if name != "pose.zip"
        }
    assert {f"pose{ending}" for ending in downloads.ENDINGS} | {"pose.zip"} == files.keys()
    assert len(downloads.ENDINGS) == 7
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    for name in ("pose.npz", "pose.bvh"):
        np.testing.assert_allclose(load_pose(tmp_path / name).numpy(), squat, atol=1e-4)
    assert files["pose.glb"].startswith(b"glTF")
    assert len(json.loads(files["pose.openpose.json"])["people"]) == 1
    assert "UniPoseViewer" in files["pose.html"].decode()


# The page and its API.


FUNCTIONS = ("describe", "generate", "edit", "compare", "estimate", "ask", "draw")


@pytest.fixture(scope="module")
def url():
    with running_space() as address:
        yield address


@pytest.fixture(scope="module")
def client(url):
    return Client(url, verbose=False)


@pytest.fixture(scope="module")
def axis_angle(client) -> list[list[float]]:
    answer = client.predict("A person squats.", 1, 0, api_name="/generate")
    return answer["poses"][0]["axis_angle"]


def read_vectors(vectors: list[list[float]]) -> torch.Tensor:
    return module("tools").read_pose(vectors, "pose")


def test_the_api_page_is_tidy(url, client) -> None:
    described = client.view_api(return_format="dict")
    assert set(described["named_endpoints"]) == {f"/{name}" for name in FUNCTIONS}
    assert not described["unnamed_endpoints"]
    config = httpx.get(f"{url}/config").json()
    names = [component["props"].get("elem_id") for component in config["components"] if component["type"] == "button"]
    assert all(names)
    assert str(Path(module("app").__file__).parent) not in json.dumps(config)


def test_functions_of_the_api(client, axis_angle, squat) -> None:
    np.testing.assert_allclose(read_vectors(axis_angle), squat, atol=2e-4)
    assert all(round(number, 4) == number for vector in axis_angle for number in vector)
    edited = client.predict(axis_angle, "Raise the left arm.", 2, 0, api_name="/edit")
    assert len(edited["poses"]) == 2
    assert Path(client.predict(axis_angle, api_name="/draw")).read_bytes().startswith(b"\x89PNG")
    described = client.predict(axis_angle, api_name="/describe")
    assert "squat" in described["text"]
    assert 0 <= described["confidence"] <= 1
    second = edited["poses"][0]["axis_angle"]
    assert "arm" in client.predict(axis_angle, second, api_name="/compare")["text"]
    assert "bent" in client.predict("Are the knees bent?", axis_angle, api_name="/ask")["text"]
    buffer = io.BytesIO()
    render_pose(squat, size=128).save(buffer, format="PNG")
    encoded = f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"
    estimated = client.predict(encoded, api_name="/estimate")
    assert len(estimated["poses"][0]["axis_angle"]) == 22


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("describe", ["/etc/passwd"], "22 rotation vectors"),
        ("describe", [{"path": "/etc/passwd"}], "22 rotation vectors"),
        ("describe", [[[0.0, 0.0]] * 22], "22 rotation vectors"),
        ("describe", [[[400.0, 0.0, 0.0]] * 22], "degrees"),
        ("estimate", ["http://127.0.0.1:9/a.png"], "base64"),
        ("estimate", ["/etc/passwd"], "base64"),
        ("estimate", ["data:image/svg+xml;base64,PHN2Zz4="], "image"),
        ("generate", ["", 1, 0], "empty"),
        ("generate", ["x" * 501, 1, 0], "501 characters"),
        ("generate", ["A person sits.", 9, 0], "from 1 to 4"),
    ],
)
def test_wrong_arguments_of_the_api_are_explained(client, name: str, arguments: list, message: str) -> None:
    with pytest.raises(AppError, match=message):
        client.predict(*arguments, api_name=f"/{name}")


def call(url: str, function: str, data: list) -> str:
    """The events of a call over plain HTTP."""
    started = httpx.post(f"{url}/gradio_api/call/{function}", json={"data": data}, timeout=60).json()
    return httpx.get(f"{url}/gradio_api/call/{function}/{started['event_id']}", timeout=60).text


def test_files_of_the_server_and_addresses_are_out_of_reach(url, tmp_path: Path) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("secret")
    for path in (secret, Path(module("app").__file__), Path("/etc/passwd")):
        assert httpx.get(f"{url}/gradio_api/file={path}").status_code in (403, 404)
    for path in ("http://127.0.0.1:9/pose.npz", "https://example.com/a", str(secret)):
        data = {"path": path, "meta": {"_type": "gradio.FileData"}}
        events = call(url, "describe", [data])
        assert "event: error" in events
        assert "secret" not in events.replace(str(secret), "")


def test_a_file_that_is_too_large_is_refused_before_it_is_read(url) -> None:
    for size, status in ((UPLOAD_BYTES // 2, 200), (2 * UPLOAD_BYTES, 413)):
        answer = httpx.post(f"{url}/gradio_api/upload", files={"files": ("a.npz", bytes(size))}, timeout=60)
        assert answer.status_code == status


def test_the_same_functions_are_mcp_tools(url, axis_angle) -> None:
    need("mcp")
    from mcp import ClientSession
    from mcp.client.streamable_http import streamablehttp_client

    async def use() -> tuple[list[str], Any, Any]:
        async with (
            streamablehttp_client(f"{url}/gradio_api/mcp/") as (read, write, _),
            ClientSession(read, write) as session,
        ):
            await session.initialize()
            names = [tool.name for tool in (await session.list_tools()).tools]
            made = await session.call_tool("generate", {"text": "A person squats."})
            return names, made, await session.call_tool("draw", {"pose": axis_angle})

    names, made, drawn = asyncio.run(use())
    assert sorted(names) == sorted(FUNCTIONS)
    (content,) = made.content
    assert ast.literal_eval(content.text)["poses"][0]["axis_angle"] == axis_angle
    assert len(content.text) < 1500
    image = next(content for content in drawn.content if content.type == "image")
    assert base64.b64decode(image.data).startswith(b"\x89PNG")


def test_nothing_of_a_visitor_is_sent_or_kept(url) -> None:
    config = httpx.get(f"{url}/config").json()
    assert config["analytics_enabled"] is False
    assert gradio.__version__.startswith("6.")
    assert not config.get("run_history", False)


def test_the_folder_says_what_a_space_needs() -> None:
    folder = Path(module("app").__file__).parent
    requirements = (folder / "requirements.txt").read_text("utf-8")
    assert "torch==" not in requirements
    assert "pillow" in requirements
    readme = (folder / "README.md.jinja").read_text("utf-8")
    assert f"sdk_version: {gradio.__version__}" in readme

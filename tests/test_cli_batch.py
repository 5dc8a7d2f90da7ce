"""`unipose batch` on a random model, in-process."""

import json
from pathlib import Path

import pytest
from command_line import assert_same_answer, feed, read_lines

from unipose.pipeline_unipose import UniPosePipeline


REQUESTS = [
    {"text": "Run.", "id": "first"},
    {"poses": ["squat.npy"], "frame": "y_up"},
    {"text": "Bend.", "poses": [[0.1] * 66], "task": "pose-edit"},
    {"images": "image.png"},
    {"poses": ["missing.npy"]},
    {"messages": [{"role": "user", "content": "Run."}], "task": "text-to-pose"},
    {"text": "Run.", "mood": "happy"},
    {"text": "Jump."},
    ["Run."],
    {"text": "Lie.", "poses": [[[0, 0]]]},
]
FAILED = {5: "missing.npy", 7: "mood", 9: "got list", 10: "no pose has the shape"}
SHORT = ("--max-new-tokens", "64")


@pytest.fixture
def requests(command_folder: Path) -> Path:
    """The requests, then an empty line and one that is not JSON."""
    path = command_folder / "requests.jsonl"
    path.write_text("".join(f"{json.dumps(request)}\n" for request in REQUESTS) + "\n{text}\n", encoding="utf-8")
    return path


def test_batch_answers_as_single_requests(run_command, requests: Path, tmp_path: Path) -> None:
    """Each good line as by a command of its own; each bad line is an error with its number, and the status says so."""
    status, out, err = run_command("batch", "requests.jsonl", "--out", str(tmp_path / "new" / "answers.jsonl"), *SHORT)
    assert (status, out) == (1, "")
    assert "11 requests" in err
    answers = read_lines(tmp_path / "new" / "answers.jsonl")
    assert [answer["line"] for answer in answers] == [*range(1, 11), 12]
    assert answers[0]["id"] == "first"
    errors = {answer["line"]: answer["error"] for answer in answers if "error" in answer}
    assert set(errors) == {*FAILED, 12}
    assert all(words in errors[line] for line, words in FAILED.items())
    assert "not JSON" in errors[12]
    singles = {
        1: ("Run.",),
        2: ("--pose", "squat.npy", "--frame", "y_up"),
        4: ("--image", "image.png"),
        6: ("Run.",),
        8: ("Jump.",),
    }
    for line, words in singles.items():
        assert_same_answer(json.loads(run_command(*words, "--json", *SHORT)[1]), answers[line - 1])


def test_batch_from_stdin_to_stdout(
    run_command, requests: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_command("batch", "requests.jsonl", "--out", str(tmp_path / "a.jsonl"), *SHORT)
    feed(monkeypatch, requests.read_bytes())
    status, out, err = run_command("batch", "-", "-q", *SHORT)
    assert (status, err) == (1, "")
    assert out == (tmp_path / "a.jsonl").read_text(encoding="utf-8")


def test_batch_uses_batches(
    run_command, command_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Requests of one task share a forward, also where others lie between them."""
    lines = [{"text": "Run."}, {"poses": ["squat.npy"]}] * 3
    (command_folder / "mixed.jsonl").write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    sizes: list[int] = []
    original = UniPosePipeline._forward

    def forward(self, inputs, **kwargs):
        sizes.append(len(inputs["input_ids"]))
        return original(self, inputs, **kwargs)

    monkeypatch.setattr(UniPosePipeline, "_forward", forward)
    assert run_command("batch", "mixed.jsonl", "--batch-size", "2", *SHORT)[0] == 0
    assert sorted(sizes) == [1, 1, 2, 2]


def test_an_interrupted_batch_continues(
    run_command, requests: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Answers that are there are kept, a broken last line and errors are answered again, in the order of lines."""
    path = tmp_path / "answers.jsonl"
    run_command("batch", "requests.jsonl", "--out", str(path), *SHORT)
    whole = read_lines(path)
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    marked = json.loads(lines[0]) | {"text": "as it was"}
    path.write_text(json.dumps(marked) + "\n" + "".join(lines[1:6]) + lines[6][:20], encoding="utf-8")
    asked: list = []
    original = UniPosePipeline.__call__

    def ask(self, **kwargs):
        asked.extend(kwargs["text"])
        return original(self, **kwargs)

    monkeypatch.setattr(UniPosePipeline, "__call__", ask)
    assert run_command("batch", "requests.jsonl", "--out", str(path), *SHORT)[0] == 1
    assert "Jump." in asked
    assert "Run." not in asked
    again = read_lines(path)
    assert [answer["line"] for answer in again] == [answer["line"] for answer in whole]
    assert again[0]["text"] == "as it was"
    for one, other in zip(again[1:], whole[1:]):
        assert one.get("error") == other.get("error")
        if "error" not in one:
            assert_same_answer(one, other)
    assert sorted(path.parent.iterdir()) == [path]


def test_answers_to_other_requests_are_kept_from_harm(run_command, requests: Path, tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    run_command("batch", "requests.jsonl", "--out", str(path), *SHORT)
    before = path.read_bytes()
    for words in (("batch", "requests.jsonl", "--output-frame", "y_up", *SHORT), ("batch", "requests.jsonl")):
        status, _, err = run_command(*words, "--out", str(path))
        assert status == 2
        assert "line 1 of" in err
        assert path.read_bytes() == before


def test_an_interruption_keeps_the_answers(
    run_command, requests: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "answers.jsonl"
    original = UniPosePipeline.__call__

    def interrupt(self, **kwargs):
        if "Jump." in kwargs["text"]:
            raise KeyboardInterrupt
        return original(self, **kwargs)

    with monkeypatch.context() as context:
        context.setattr(UniPosePipeline, "__call__", interrupt)
        context.setattr("unipose.cli_batch.WINDOW", 1)
        assert run_command("batch", "requests.jsonl", "--out", str(path), "--batch-size", "2", *SHORT)[0] == 130
    assert [answer["line"] for answer in read_lines(path)] == [1, 2, 3, 4, 5, 6]
    assert run_command("batch", "requests.jsonl", "--out", str(path), *SHORT)[0] == 1
    assert [answer["line"] for answer in read_lines(path)] == [*range(1, 11), 12]


def test_a_seed_gives_each_line_the_samples_of_a_command(run_command, command_folder: Path) -> None:
    (command_folder / "two.jsonl").write_text('{"text": "Run."}\n{"text": "Jump."}\n', encoding="utf-8")
    words = ("--num", "2", "--seed", "3", "--temperature", "2.0")
    answers = [json.loads(line)["answers"] for line in run_command("batch", "two.jsonl", *words)[1].splitlines()]
    for text, group in zip(("Run.", "Jump."), answers):
        singles = [json.loads(line) for line in run_command(text, *words, "--json")[1].splitlines()]
        assert len(group) == len(singles) == 2
        for one, other in zip(group, singles):
            assert_same_answer(one, other)

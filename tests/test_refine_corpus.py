"""The command: keeps faithful rewrites, retries others, keeps the automatic text in the end, and resumes."""

import json
import multiprocessing
import time
from pathlib import Path

import numpy as np
import pytest
import roma
from fake_endpoint import KEY, Endpoint, Reply, serve
from PIL import Image
from refine_examples import DIFFERENCES, REWRITES

from unipose.processing.body_model import BodyModel
from unipose.training.datasets.generation import RecordGenerator, to_rotvecs
from unipose.training.datasets.record_writer import write_records
from unipose.training.geometry import swap_sides
from unipose.training.named_poses.archetypes import archetype_poses
from unipose.training.refine.chat_models import ChatError
from unipose.training.refine.refine_corpus import Summary, check_request, main, refine
from unipose.training.refine.store import Refined, Request, Results, read_requests, read_results


pytestmark = pytest.mark.usefixtures("endpoint_key")

ANSWERS = {f"Text: {caption}": rewrite for caption, rewrite in (*REWRITES, *DIFFERENCES)}


def requested_text(body: dict) -> str:
    """The text that a request is about: the first question behind the example."""
    return body["messages"][3]["content"][-1]["text"]


def faithful(body: dict, number: int = 0) -> Reply:
    return Reply(ANSWERS[requested_text(body)])


def swapped_at_first(body: dict, number: int = 0) -> Reply:
    again = len(body["messages"]) > 4
    return faithful(body) if again else Reply(swap_sides(ANSWERS[requested_text(body)]))


@pytest.fixture
def records(tmp_path: Path) -> Path:
    """All captions, the first with an image."""
    Image.new("RGB", (8, 8)).save(tmp_path / "first.png")
    lines = [{"name": f"pose {index}", "text": caption} for index, (caption, _) in enumerate(REWRITES)]
    lines[0]["images"] = ["first.png"]
    path = tmp_path / "records.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def run(records: Path, endpoint: Endpoint, *more: str) -> list[Refined]:
    output = records.parent / "refined.jsonl"
    names = {"records": records, "output": output, "base_url": endpoint.url, "model": "fake", "attempts": 1}
    main([*(word for name, value in names.items() for word in (f"--{name}", str(value))), *more])
    return list(read_results(output))


def test_faithful_rewrites_are_kept(records: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with serve(faithful) as endpoint:
        results = run(records, endpoint)
    assert {(each.automatic, each.text) for each in results} == set(REWRITES)
    assert all(each.refined and each.rounds == 1 and each.model == "fake" for each in results)
    seen = {requested_text(body): len(body["messages"][3]["content"]) > 1 for body in endpoint.requests}
    assert seen == {f"Text: {caption}": index == 0 for index, (caption, _) in enumerate(REWRITES)}
    printed = capsys.readouterr()
    assert f"{len(REWRITES)} accepted, 0 rejected" in printed.out
    assert KEY not in printed.out + printed.err + records.with_name("refined.jsonl").read_text()


def test_the_images_can_be_left_out(records: Path) -> None:
    with serve(faithful) as endpoint:
        run(records, endpoint, "--no_images")
    assert all(len(body["messages"][3]["content"]) == 1 for body in endpoint.requests)


def test_a_swap_is_retried_with_the_reason(records: Path) -> None:
    with serve(swapped_at_first) as endpoint:
        results = run(records, endpoint)
    sided = [each for each in results if swap_sides(each.automatic) != each.automatic]
    assert all(each.refined and each.rounds == 2 for each in sided)
    assert {(each.automatic, each.text) for each in results} == set(REWRITES)
    complaints = [text for text in endpoint.texts() if not text.startswith("Text: ")]
    assert len(complaints) == len(sided)
    assert all("Left and right are exchanged" in complaint for complaint in complaints)


def test_the_automatic_text_is_kept_and_flagged(records: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def inventive(body: dict, number: int) -> Reply:
        return Reply(f"{ANSWERS[requested_text(body)]} The torso twists to the right.")

    with serve(inventive) as endpoint:
        results = run(records, endpoint, "--rounds", "2")
    assert len(endpoint.requests) == 2 * len(REWRITES)
    for each in results:
        assert (each.refined, each.text, each.rounds) == (False, each.automatic, 2)
        assert any("to the right" in reason for reason in each.reasons)
    assert f"0 accepted, {len(REWRITES)} rejected (automatic text kept)" in capsys.readouterr().out


def test_differences(tmp_path: Path) -> None:
    path = tmp_path / "pairs.jsonl"
    path.write_text("".join(json.dumps({"name": text, "text": text}) + "\n" for text, _ in DIFFERENCES))
    with serve(swapped_at_first) as endpoint:
        results = run(path, endpoint, "--task", "difference")
    assert {(each.automatic, each.text, each.rounds) for each in results} == {(*pair, 2) for pair in DIFFERENCES}


def test_a_failure_is_requested_in_the_next_run(records: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def fails_once(body: dict, number: int) -> Reply:
        return Reply(status=400, body=f"bad {KEY}".encode()) if number == 4 else faithful(body)

    with serve(fails_once) as endpoint:
        assert len(run(records, endpoint)) == len(REWRITES) - 1
        assert "1 failed" in capsys.readouterr().out
        assert len(run(records, endpoint)) == len(REWRITES)
        assert len(endpoint.requests) == len(REWRITES) + 1
        run(records, endpoint)
    printed = capsys.readouterr()
    assert f"{len(REWRITES)} were there before" in printed.out
    assert len(endpoint.requests) == len(REWRITES) + 1
    assert KEY not in printed.out + printed.err


def test_stops_when_everything_fails(records: Path) -> None:
    with (
        serve(lambda body, number: Reply(status=401, body=b"no such key")) as endpoint,
        pytest.raises(ChatError, match=r"3 requests in a row failed.*no such key"),
    ):
        run(records, endpoint, "--stop_after", "3", "--workers", "1")
    assert len(endpoint.requests) < len(REWRITES)


def test_a_killed_run_resumes(records: Path) -> None:
    """SIGKILL in mid-run; the next run requests what has no whole line, and nothing else."""

    def slow(body: dict, number: int) -> Reply:
        return Reply(ANSWERS[requested_text(body)], delay=0.0 if number <= 3 else 60.0)

    output = records.with_name("refined.jsonl")
    with serve(slow) as endpoint:
        process = multiprocessing.get_context("fork").Process(target=run, args=(records, endpoint, "--workers", "2"))
        process.start()
        deadline = time.monotonic() + 60.0
        while time.monotonic() < deadline and not (output.exists() and output.read_bytes().count(b"\n") == 3):
            time.sleep(0.02)
        process.kill()
        process.join()
    known = list(read_results(output))
    assert len(known) == 3
    # As if the kill had come in the middle of a line.
    whole = output.read_bytes()
    output.write_bytes(whole + whole.splitlines()[0][:50])
    with serve(faithful) as endpoint:
        results = run(records, endpoint)
    assert results[:3] == known
    assert {(each.automatic, each.text) for each in results} == set(REWRITES)
    assert len(endpoint.requests) == len(REWRITES) - 3


def test_another_prompt_is_requested(tmp_path: Path) -> None:
    """The same name and text are requested once; another text of the same name is another request."""
    texts: list[str] = []

    class Model:
        name = "stub"

        def answer(self, messages) -> str:
            texts.append(messages[-1]["content"][-1]["text"])
            return ANSWERS[texts[-1]]

    first, second = (caption for caption, _ in REWRITES[:2])
    requests = [Request("pose", first), Request("pose", second), Request("pose", first), Request("other", first)]
    results = Results(tmp_path / "results.jsonl")
    assert refine(requests, Model(), results) == Summary(accepted=3, known=1)
    assert len(texts) == 3
    results.close()


def test_damaged_results_are_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    path.write_text('{"name": "pose"}\nhello\n')
    with pytest.raises(ValueError, match=r"results.jsonl, line 1, is not a result"):
        Results(path)
    assert path.read_text() == '{"name": "pose"}\nhello\n'


@pytest.mark.parametrize(
    "line", ["{", '{"name": "pose"}', '["pose"]', '{"name": "a", "text": "b", "rotvecs": [[1, 2, 3]]}']
)
def test_damaged_records(tmp_path: Path, line: str) -> None:
    path = tmp_path / "records.jsonl"
    path.write_text(f'{{"name": "pose", "text": "A person stands."}}\n{line}\n')
    with pytest.raises(ValueError, match=r"records.jsonl, line 2: got .* expected"):
        list(read_requests(path))


def test_a_damaged_image_is_named(records: Path) -> None:
    (records.parent / "first.png").write_bytes(b"nothing")
    with serve(faithful) as endpoint, pytest.raises(ValueError, match="pose 0: image 1: it cannot be read"):
        run(records, endpoint)


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--task", "poem", "task is 'poem'; expected one of caption, difference"),
        ("--pipeline_task", "chat", "pipeline_task is 'chat'; expected one of image-text-to-text, text-generation"),
        ("--options", "max_tokens=3", "options: got 'max_tokens=3'; expected a JSON object"),
    ],
)
def test_bad_arguments(records: Path, option: str, value: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        run(records, Endpoint("http://127.0.0.1:9/v1"), option, value)


def test_options_go_into_each_request(records: Path) -> None:
    with serve(faithful) as endpoint:
        run(records, endpoint, "--options", '{"max_completion_tokens": 90}')
    assert all(body.keys() == {"model", "messages", "max_completion_tokens"} for body in endpoint.requests)


def test_records_with_poses(tmp_path: Path) -> None:
    """The joints of a record are those of its pose."""
    body = BodyModel.builtin()
    rotmats = archetype_poses(["kneel"])
    line = {"name": "kneel", "text": "A person kneels.", "rotvecs": to_rotvecs(rotmats[0]).tolist()}
    (tmp_path / "records.jsonl").write_text(json.dumps(line))
    (request,) = read_requests(tmp_path / "records.jsonl")
    assert request.poses is not None
    np.testing.assert_allclose(request.poses.joints, body.forward_joints(rotmats.float()).numpy(), atol=1e-5)
    np.testing.assert_allclose(request.poses.rotmats, rotmats.numpy(), atol=1e-5)


def test_records_with_pairs_of_poses(tmp_path: Path) -> None:
    """The two poses of a difference decide about what the text does not say."""
    rotmats = archetype_poses(["arms_forward", "kneel"]).float()
    rotvecs = roma.rotmat_to_rotvec(rotmats)
    for name, poses in (("there", rotvecs), ("back", rotvecs.flip(0))):
        line = {"name": name, "text": "Lower both hands.", "rotvecs": poses.tolist()}
        with (tmp_path / "pairs.jsonl").open("a") as file:
            file.write(json.dumps(line) + "\n")
    there, back = read_requests(tmp_path / "pairs.jsonl")
    rewrite = "Lower both hands and the hips."
    assert check_request("difference", there, rewrite).accepted
    assert check_request("difference", back, rewrite).invented


def test_a_saved_corpus(tmp_path: Path) -> None:
    """Described rows of a corpus are requests; rows that are answered by a pose are not."""
    generator, tasks = RecordGenerator(BodyModel.builtin()), ["text-to-pose", "pose-to-text"]
    records = generator.records("pose-to-text", 4, np.random.default_rng(0), "made")
    write_records(tmp_path / "corpus", {"train": records}, tasks, seed=0)
    requests = list(read_requests(tmp_path / "corpus"))
    assert [request.name for request in requests] == [f"pose-to-text:made:{index}" for index in range(4)]
    assert [request.text for request in requests] == [record.captions[0] for record in records]
    assert all(request.poses is not None and request.poses.joints.shape == (1, 22, 3) for request in requests)

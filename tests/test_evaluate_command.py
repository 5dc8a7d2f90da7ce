"""`unipose evaluate` from start to end on a tiny model: files, resuming, comparing, and two machines as one."""

import json
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from machines import run_on_two_machines
from PIL import Image

from unipose import UniPosePipeline
from unipose.processing.body_model import BodyModel
from unipose.processing.pose_features import rotation_6d_to_rotmat
from unipose.training.evaluation import evaluate
from unipose.training.evaluation.answers import (
    StoredPipeline,
    checkpoint_digest,
    pack_answer,
    row_key,
    start_answers,
    unpack_answer,
)
from unipose.training.evaluation.evaluation_sets import EVALUATED
from unipose.training.evaluation.metrics import mpjpe
from unipose.training.evaluation.scores import Judge, sample_statistics
from unipose.training.evaluation.task_rows import TaskRows


TEXT_TASKS = ("text-to-pose", "pose-to-text", "pose-edit", "pose-diff")
OPTIONS = ("--split", "validation", "--training_poses", "40")
# Answers with a pose take one forward pass; a random model's texts never end.
QUICK = (*OPTIONS, "--tasks", "text-to-pose", "pose-edit", "pose-tokenizer", "--batch_size", "2")


def run(*words: object) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["evaluate", *map(str, words)])
        evaluate.main()


def read(folder: Path) -> dict[str, Any]:
    """The report, without what differs from run to run."""
    report = json.loads((folder / "metrics.json").read_text("utf-8"))
    return {key: value for key, value in report.items() if key not in ("latency", "settings")}


@pytest.fixture(scope="module")
def evaluated(tiny_checkpoint: Path, tiny_corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("evaluated")
    run("--model", tiny_checkpoint, "--data", tiny_corpus, "--output", folder, *OPTIONS)
    return folder


@pytest.fixture(scope="module")
def quick(tiny_checkpoint: Path, tiny_corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("quick")
    run("--model", tiny_checkpoint, "--data", tiny_corpus, "--output", folder, *QUICK)
    return folder


@pytest.mark.slow
def test_every_task_of_a_corpus_is_evaluated(evaluated: Path) -> None:
    report = read(evaluated)
    tasks = [task for task in EVALUATED if task not in ("pose-tokenizer", "words")]
    assert report["rows"] == {"pose tokenizer": 15, **dict.fromkeys(tasks, 5)}
    for task in tasks:
        methods = report["metrics"][task]
        assert {"model", "random weights"} <= set(methods)
        metric = "mpjpe_mm" if methods["model"].get("mpjpe_mm") else "meteor"
        assert methods["model"][metric] >= 0
        for name, metrics in methods.items():
            for metric, value in metrics.items():
                low, high = report["intervals"][task][name][metric]
                assert low <= high
                if metric not in ("bleu4", "diversity"):
                    assert low - 1e-9 <= value <= high + 1e-9, (task, name, metric)
    assert report["metrics"]["pose-edit"]["input pose unchanged"]["mpjpe_mm"] > 0
    assert report["metrics"]["pose-to-text"]["reference texts"]["rouge_l"] == 1.0
    assert report["dataset"]["name"].endswith("split validation")
    latencies = json.loads((evaluated / "metrics.json").read_text("utf-8"))["latency"]
    assert all(latencies[task]["median_s"] > 0 for task in tasks)


@pytest.mark.slow
def test_pages_hold_every_task_and_need_no_other_file(evaluated: Path) -> None:
    page, markdown = ((evaluated / name).read_text("utf-8") for name in ("report.html", "report.md"))
    for task in TEXT_TASKS:
        assert f"<h2>{task} (5 rows)</h2>" in page
        assert f"## {task} (5 rows)" in markdown
    assert {rank: page.count(f"<strong>{rank}</strong>") for rank in ("best", "median", "worst")} == {
        "best": 7,
        "median": 7,
        "worst": 7,
    }
    sources = re.findall(r'(?:src|href)="([^"]{0,40})', page)
    assert len(sources) > 40
    assert all(source.startswith("data:image/png;base64,") for source in sources)
    definitions = markdown[markdown.index("## definitions") :].strip().splitlines()[2:]
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in definitions} == {3}, "each row has two cells"
    assert "tok:13a" in markdown


@pytest.mark.slow
def test_eval_results_are_those_of_a_model_card(evaluated: Path) -> None:
    index = yaml.safe_load((evaluated / "eval_results.yaml").read_text("utf-8"))["model-index"][0]
    entries = {
        (result["task"]["type"], metric["type"]): metric["value"]
        for result in index["results"]
        for metric in result["metrics"]
    }
    value = read(evaluated)["metrics"]["text-to-pose"]["model"]["mpjpe_mm"]
    assert entries["text-to-pose", "mpjpe_mm"] == round(value, 1)


def test_a_finished_evaluation_runs_again_without_the_model(
    quick: Path, tiny_checkpoint: Path, tiny_corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = read(quick)

    def fail(*args: Any, **kwargs: Any) -> None:
        raise AssertionError("the model was asked again")

    monkeypatch.setattr(UniPosePipeline, "__call__", fail)
    run("--model", tiny_checkpoint, "--data", tiny_corpus, "--output", quick, *QUICK)
    assert read(quick) == before


def test_an_interrupted_evaluation_continues(
    quick: Path, tiny_checkpoint: Path, tiny_corpus: Path, tmp_path: Path
) -> None:
    """Half of the answers are there, and the last line is torn."""
    answers = tmp_path / "answers"
    answers.mkdir()
    for file in (quick / "answers").iterdir():
        content = file.read_bytes()
        (answers / file.name).write_bytes(content[: len(content) // 2] if file.suffix == ".jsonl" else content)
    run("--model", tiny_checkpoint, "--data", tiny_corpus, "--output", tmp_path, *QUICK)
    assert read(tmp_path) == read(quick)


def test_fewer_rows_are_compared_with_the_same_rows(
    quick: Path, tiny_checkpoint: Path, tiny_corpus: Path, tmp_path: Path
) -> None:
    few = ("--tasks", "text-to-pose", "--limit", 3, "--random_model", "false")
    run("--model", tiny_checkpoint, "--data", tiny_corpus, "--output", tmp_path, *OPTIONS, *few)
    report = read(tmp_path)
    assert report["rows"] == {"text-to-pose": 3}
    assert "random weights" not in report["metrics"]["text-to-pose"]
    run("--compare", quick, tmp_path, "--output", tmp_path / "comparison")
    comparison = json.loads((tmp_path / "comparison/comparison.json").read_text("utf-8"))["tasks"]
    found = comparison["text-to-pose"]["mpjpe_mm"]
    assert (found["rows"], found["p_value"]) == (3, 1.0)
    assert found["difference"] == pytest.approx(0.0, abs=1e-3)
    assert set(comparison) == {"text-to-pose"}
    assert "Paired bootstrap" in (tmp_path / "comparison/comparison.md").read_text("utf-8")


def test_samples_give_the_multimodality_of_a_seed(tiny_checkpoint: Path, tiny_corpus: Path, tmp_path: Path) -> None:
    words = ["--model", tiny_checkpoint, "--data", tiny_corpus, *QUICK, "--random_model", "false", "--limit", 3]
    for name, more in {"plain": (), "one": ("--samples", 3), "two": ("--samples", 3), "other": ("--seed", 1)}.items():
        samples = ("--samples", 3) if name == "other" else ()
        run(*words, "--output", tmp_path / name, *more, *samples)
    plain, one, two, other = (read(tmp_path / name)["metrics"] for name in ("plain", "one", "two", "other"))
    for task in ("text-to-pose", "pose-edit"):
        assert one[task]["model"]["multimodality_mm"] > 10
        assert one[task] == two[task], "repeats by its seed"
        assert one[task]["model"]["multimodality_mm"] != other[task]["model"]["multimodality_mm"]
        assert set(one[task]["model"]) - set(plain[task]["model"]) == {"multimodality_mm"}
    assert one["pose tokenizer"] == plain["pose tokenizer"]


def test_multimodality_is_the_mean_error_between_two_samples(body: BodyModel) -> None:
    samples = rotation_6d_to_rotmat(torch.randn(2, 3, 22, 6, generator=torch.Generator().manual_seed(0)))
    rows = TaskRows("text-to-pose", "text-to-pose", {"text": ["a", "b"]})
    found = sample_statistics(rows, samples, Judge(body, body))["multimodality_mm"]
    joints = body.forward_joints(samples.flatten(0, 1)).unflatten(0, (2, 3))
    pairs = [mpjpe(joints[:, one], joints[:, other]) for one, other in ((0, 1), (0, 2), (1, 2))]
    np.testing.assert_allclose(found.values(), torch.stack(pairs).mean(dim=0), rtol=1e-4)


def test_options_are_checked(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="got unknown tasks text-to-image; expected some of pose-tokenizer, "):
        run("--tasks", "text-to-image")
    with pytest.raises(ValueError, match="compare takes the folders of two evaluations, got 1"):
        run("--compare", tmp_path)
    with pytest.raises(ValueError, match="limit must be at least 1, got 0"):
        run("--limit", 0)
    with pytest.raises(ValueError, match="samples must be 0 or at least 2, got 1"):
        run("--samples", 1)


# Stored answers.


class CountingPipeline:
    """Answers with the text's length, and counts the rows that it answers."""

    model = processor = None

    def __init__(self) -> None:
        self.asked: list[str] = []

    def __call__(self, text: list[str], **options: Any) -> list[dict[str, Any]]:
        self.asked += text
        return [{"text": str(len(each)), "poses": [np.full((22, 3, 3), 1 / 3)], "confidence": 0.5} for each in text]


def test_answers_are_stored_by_their_inputs(tmp_path: Path) -> None:
    pipe = CountingPipeline()
    stored = StoredPipeline(pipe, tmp_path)
    first = stored(text=["a", "bb"], task="text-to-pose")
    again = StoredPipeline(pipe, tmp_path)
    assert [answer["text"] for answer in again(text=["bb", "a"], task="text-to-pose")] == ["2", "1"]
    assert pipe.asked == ["a", "bb"]
    np.testing.assert_array_equal(again(text=["a", "bb"], task="text-to-pose")[0]["poses"][0], first[0]["poses"][0])
    again(text=["a", "ccc"], task="text-to-pose")
    assert pipe.asked == ["a", "bb", "a", "ccc"], "a batch is answered as a whole"
    again(text=["a"], task="pose-edit")
    assert pipe.asked[4:] == ["a"], "another task is another input"
    with pytest.raises(ValueError, match="greedy"):
        again(text=["a"], task="text-to-pose", do_sample=True)


def test_a_pose_passes_the_file_without_loss() -> None:
    pose = torch.rand(22, 3, 3).numpy()
    packed = json.loads(json.dumps(pack_answer("key", {"text": "", "poses": [pose]}, 0.1)))
    np.testing.assert_array_equal(unpack_answer(packed)["poses"][0], pose)


def test_every_part_of_an_input_counts() -> None:
    pose, image = torch.eye(3).repeat(22, 1, 1), Image.new("RGB", (4, 4), "red")
    inputs = {"text": "a", "poses": pose, "images": image}
    changed = [
        {**inputs, "text": "b"},
        {**inputs, "poses": pose * 1.0001},
        {**inputs, "poses": [pose, pose]},
        {**inputs, "images": Image.new("RGB", (4, 4), "blue")},
        {**inputs, "images": (image, image)},
        {"text": "a", "poses": pose},
    ]
    keys = {row_key("pose-edit", each) for each in (inputs, *changed)} | {row_key("text-to-pose", inputs)}
    assert len(keys) == 8
    assert row_key("pose-edit", {**inputs, "poses": pose.clone(), "images": image.copy()}) in keys


def test_answers_of_another_checkpoint_are_removed(tiny_checkpoint: Path, tmp_path: Path) -> None:
    copy = tmp_path / "model"
    copy.mkdir()
    for file in tiny_checkpoint.iterdir():
        if file.is_file():
            (copy / file.name).write_bytes(file.read_bytes())
    before = checkpoint_digest(str(copy))
    assert before == checkpoint_digest(str(tiny_checkpoint))
    weights = copy / "model.safetensors"
    content = weights.read_bytes()
    weights.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    assert checkpoint_digest(str(copy)) != before

    answers = tmp_path / "answers"
    assert not start_answers(answers, {"checkpoint": before})
    (answers / "model-00000.jsonl").write_text("{}\n")
    (answers / "notes.txt").write_text("not of an evaluation")
    assert not start_answers(answers, {"checkpoint": before})
    assert (answers / "model-00000.jsonl").exists()
    assert start_answers(answers, {"checkpoint": checkpoint_digest(str(copy))})
    assert {file.name for file in answers.iterdir()} == {"recipe.json", "notes.txt"}


@pytest.mark.slow
def test_two_machines_give_the_result_of_one(
    quick: Path, tiny_checkpoint: Path, tiny_corpus: Path, tmp_path: Path
) -> None:
    words = ["--model", tiny_checkpoint, "--data", tiny_corpus, "--output", tmp_path, *QUICK]
    run_on_two_machines("-m", "unipose.training.evaluation.evaluate", *words)
    files = sorted(path.name for path in (tmp_path / "answers").glob("*.jsonl"))
    assert files == ["model-00000.jsonl", "model-00001.jsonl", "random-00000.jsonl", "random-00001.jsonl"]
    assert all((tmp_path / "answers" / name).stat().st_size > 0 for name in files)
    assert read(tmp_path) == read(quick)

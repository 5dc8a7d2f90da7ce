"""Samples of a model during its training: an image, lines and metrics at each evaluation."""

import importlib.util
import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import roma
import torch
from PIL import Image
from stage_corpus import CAPTION, INSTRUCTION, STAGE_ARGUMENTS
from transformers import PrinterCallback
from transformers.integrations import TrackioCallback

from unipose import UniPoseVQVAE, UniPoseVQVAEConfig
from unipose.processing.body_model import BodyModel
from unipose.tasks_unipose import TASKS
from unipose.training.datasets.rows import POSE_ANSWERS
from unipose.training.datasets.shards import load_corpus
from unipose.training.evaluation.metrics import reconstruction_error
from unipose.training.sampling.poses import validation_poses
from unipose.training.trainer.callbacks import ReconstructionCallback, TimeLimitCallback, log_image
from unipose.training.trainer.config import StageConfig
from unipose.training.trainer.language import LanguageArguments, LanguageTrainer, build_trainer, subsample
from unipose.training.trainer.optimizer import OptimizerArguments
from unipose.training.trainer.pose_tokenizer import PoseDataset, PoseTokenizerTrainer, collate_poses
from unipose.training.trainer.sample_callback import AnswerSampleCallback, answer_rows, measure_answers
from unipose.training.trainer.trainable_parts import INSTRUCT, LoraArguments
from unipose.training.trainer.trainers import preserve_random_states


def language_trainer(
    model: Path, corpus: Path, folder: Path, stage: dict[str, Any], lora_rank: int | None = None, **arguments
) -> LanguageTrainer:
    config = StageConfig(
        output_dir=str(folder), **(STAGE_ARGUMENTS | {"save_strategy": "no", "max_steps": 2} | arguments)
    )
    arguments = LanguageArguments(model=str(model), corpus=str(corpus), **stage)
    return build_trainer(arguments, LoraArguments(lora_rank=lora_rank), OptimizerArguments(), config, INSTRUCT)


def entries(trainer: Any, name: str) -> dict[int, float]:
    """{step: value} of what was logged under a name."""
    return {entry["step"]: entry[name] for entry in trainer.state.log_history if name in entry}


@pytest.fixture(scope="module")
def watched(tiny_checkpoint: Path, tiny_corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> LanguageTrainer:
    """Two steps of all seven tasks through adapters, each evaluated, reported to tensorboard where it is there."""
    has_tensorboard = importlib.util.find_spec("tensorboard") is not None
    trainer = language_trainer(
        tiny_checkpoint,
        tiny_corpus,
        tmp_path_factory.mktemp("run"),
        {"samples": 1, "eval_rows": 14},
        lora_rank=2,
        eval_strategy="steps",
        eval_steps=1,
        report_to="tensorboard" if has_tensorboard else "none",
    )
    trainer.train()
    return trainer


def test_each_evaluation_writes_an_image_and_what_was_generated(watched: LanguageTrainer, tiny_corpus: Path) -> None:
    folder = Path(watched.args.output_dir) / "samples"
    assert sorted(file.name for file in folder.iterdir()) == [
        f"step-00000{step}.{kind}" for step in (1, 2) for kind in ("jsonl", "png")
    ]
    lines = [json.loads(line) for line in (folder / "step-000002.jsonl").read_text().splitlines()]
    assert [line["task"] for line in lines] == list(TASKS)
    for line in lines:
        assert line["source"] == "validation:t_pose"
        if line["task"] in POSE_ANSWERS:
            assert np.shape(line["answer"]) == np.shape(line["expected"]) == (22, 3)
        else:
            assert line["expected"] in (CAPTION, INSTRUCTION)
    questions = {line["task"]: line["question"] for line in lines}
    assert questions["pose-edit"] == f"<pose> {INSTRUCTION}"
    assert questions["image-to-text"] == "Describe this pose: <image>"
    with Image.open(folder / "step-000002.png") as sheet:
        assert sheet.height > sheet.width, "a row for each of the tasks"
        assert len(sheet.getcolors(1 << 24)) > 1000


def test_each_evaluation_logs_its_loss_and_numbers_of_each_task(watched: LanguageTrainer) -> None:
    names = {
        "eval_loss",
        "eval_pose-to-text_posecode_precision",
        "eval_image-to-text_codes_in_target",
        "eval_text-to-pose_mpjpe_mm",
        "eval_image-to-pose_pa_mpjpe_mm",
        "eval_pose-edit_mpjpe_mm",
        "eval_pose-diff_paircode_precision",
        "eval_image-diff_codes_in_target",
    }
    for name in names:
        got = entries(watched, name)
        assert list(got) == [1, 2]
        assert all(np.isfinite(value) and value >= 0 for value in got.values())
    assert len(watched.eval_dataset) == 14


def test_tensorboard_gets_numbers_and_images(watched: LanguageTrainer) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    # An evaluation after the run opens another file.
    file = min(Path(watched.args.output_dir).glob("runs/*/events*"))
    events = EventAccumulator(str(file), size_guidance={"images": 0}).Reload()
    assert [event.step for event in events.Images("samples")] == [1, 2]
    values = [(event.step, event.value) for event in events.Scalars("eval/text-to-pose_mpjpe_mm")]
    expected = entries(watched, "eval_text-to-pose_mpjpe_mm")
    assert values == [(step, pytest.approx(value, rel=1e-6)) for step, value in expected.items()]


def test_the_image_goes_to_trackio_where_that_reports(monkeypatch: pytest.MonkeyPatch) -> None:
    """By a stand-in for the package, which wants an older pillow than the tests have."""
    logged: list[dict[str, Any]] = []
    monkeypatch.setitem(sys.modules, "trackio", SimpleNamespace(log=logged.append, Image=lambda value: value))
    image = Image.new("RGB", (4, 2))
    log_image(image, 7, [PrinterCallback(), TrackioCallback.__new__(TrackioCallback)])
    assert logged == [{"samples": image, "train/global_step": 7}]


def test_samples_and_evaluations_are_left_out_where_nobody_asks(
    tiny_checkpoint: Path, tiny_corpus: Path, tmp_path: Path
) -> None:
    silent = language_trainer(
        tiny_checkpoint, tiny_corpus, tmp_path, {"tasks": ["pose-edit"], "samples": 0}, eval_strategy="epoch"
    )
    assert not any(isinstance(callback, AnswerSampleCallback) for callback in silent.callback_handler.callbacks)
    assert len(silent.eval_dataset) == 5
    (corpus_of_train := tmp_path / "corpus").mkdir()
    for name in ("corpus.json", "recipe.json", "train"):
        (corpus_of_train / name).symlink_to(tiny_corpus / name)
    blind = language_trainer(tiny_checkpoint, corpus_of_train, tmp_path, {"tasks": ["pose-edit"]})
    assert blind.eval_dataset is None
    assert not (tmp_path / "samples").exists()


def test_evaluation_rows_keep_the_shares_of_the_tasks(tiny_corpus: Path) -> None:
    rows = load_corpus(tiny_corpus, "validation")
    assert subsample(rows, 100)["source"] == rows["source"]
    assert sorted(subsample(rows, 14)["task"]) == sorted([*TASKS, *TASKS])


# The answers are the model's own, and are judged as they should be.


def test_answers_come_from_the_adapters_that_are_trained(watched: LanguageTrainer) -> None:
    """Other adapters, other answers; an evaluation leaves the random numbers where they were."""
    file = Path(watched.args.output_dir) / "samples" / "step-000002.jsonl"
    before = [json.loads(line) for line in file.read_text().splitlines()]
    adapters = [value for name, value in watched.model.named_parameters() if "lora_B" in name]
    kept = [value.detach().clone() for value in adapters]
    states = (torch.random.get_rng_state(), np.random.get_state()[1].tolist())
    with torch.no_grad():
        for value in adapters:
            value.normal_(generator=torch.Generator().manual_seed(0))
    metrics = watched.evaluate()
    with torch.no_grad():
        for value, old in zip(adapters, kept):
            value.copy_(old)
    changed = [json.loads(line) for line in file.read_text().splitlines()]
    assert torch.equal(states[0], torch.random.get_rng_state())
    assert states[1] == np.random.get_state()[1].tolist()
    assert "eval_text-to-pose_mpjpe_mm" in metrics, "numbers can decide which checkpoint is the best"
    assert [line["answer"] for line in changed] != [line["answer"] for line in before]
    assert [line["question"] for line in changed] == [line["question"] for line in before]


def test_a_look_leaves_the_model_in_its_mode(body: BodyModel, tmp_path: Path) -> None:
    trainer = pose_trainer(body, tmp_path, max_steps=1, eval_strategy="no")
    (watch,) = [each for each in trainer.callback_handler.callbacks if isinstance(each, ReconstructionCallback)]
    codebook = trainer.model.quantizer.codebook.clone()
    for training in (True, False):
        trainer.model.train(training)
        watch.on_evaluate(trainer.args, trainer.state, trainer.control, model=trainer.model, metrics={})
        assert trainer.model.training is training
    assert torch.equal(trainer.model.quantizer.codebook, codebook)


class Perfect:
    """Answers every row with the answer that the row holds."""

    def __init__(self, rows: list[dict[str, Any]]):
        self.rows = rows
        self.inputs: dict[str, Any] = {}

    def __call__(self, **inputs: Any) -> list[dict[str, Any]]:
        self.inputs = inputs
        return [
            {"text": row["text"], "poses": roma.rotvec_to_rotmat(torch.tensor(row["poses"]))[-1:].numpy()}
            if row["poses"]
            else {"text": row["text"], "poses": []}
            for row in self.rows
        ]


@pytest.mark.parametrize("task", TASKS)
def test_the_rows_own_answers_are_judged_to_be_right(tiny_corpus: Path, body: BodyModel, task: str) -> None:
    rows = [row for row in load_corpus(tiny_corpus, "validation", tasks=[task]) if row["source"] == "validation:squat"]
    pipe = Perfect(rows)
    measures = measure_answers(task, rows, answer_rows(pipe, task, rows), body)
    expected = {"mpjpe_mm": 0.0, "pa_mpjpe_mm": 0.0} if task in POSE_ANSWERS else {}
    if task in ("pose-to-text", "image-to-text", "image-diff"):
        (measure,) = measures
        expected = {measure: 1.0}
    for measure, value in expected.items():
        assert measures[measure] == pytest.approx(value, abs=1e-2)
    given = {"pose-to-text": 1, "pose-diff": 2, "pose-edit": 1}
    assert [len(poses) for poses in pipe.inputs["poses"]] == [given.get(task, 0)]
    assert [len(messages) for messages in pipe.inputs["text"]] == [1], "without the answer"


def test_wrong_answers_are_judged_to_be_wrong(tiny_corpus: Path, body: BodyModel) -> None:
    rows = [row for row in load_corpus(tiny_corpus, "validation") if row["source"] == "validation:t_pose"]
    by_task = {row["task"]: row for row in rows}
    upright = torch.eye(3).expand(1, 22, 3, 3).numpy()
    answer = {"text": f"{CAPTION} Raise the right arm.", "poses": upright}
    measured = {task: measure_answers(task, [row], [answer], body) for task, row in by_task.items()}
    assert measured["pose-to-text"] == {"posecode_precision": 0.0}, "nobody squats in a T-pose"
    assert measured["image-diff"] == {"codes_in_target": 0.0}, "the knee was to be bent"
    assert measured["text-to-pose"]["mpjpe_mm"] > 100
    silent = {"text": "", "poses": upright}
    texts = [task for task in TASKS if task not in POSE_ANSWERS]
    assert all(
        value == 0 for task in texts for value in measure_answers(task, [by_task[task]], [silent], body).values()
    )


def test_random_states_are_given_back() -> None:
    def draw() -> list[float]:
        return [np.random.random(), torch.rand(()).item()]

    with preserve_random_states(torch.device("cpu")):
        inside = draw()
    assert draw() == inside
    assert draw() != inside


# The pose tokenizer.


def pose_trainer(body: BodyModel, folder: Path, **arguments) -> PoseTokenizerTrainer:
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "codebook_size": 32, "codebook_dim": 8, "num_pose_tokens": 6}
    common = STAGE_ARGUMENTS | {"save_strategy": "no", "eval_strategy": "steps", "eval_steps": 1}
    poses = validation_poses()[:8].float()
    trainer = PoseTokenizerTrainer(
        body,
        model=UniPoseVQVAE(UniPoseVQVAEConfig(**sizes)),
        args=StageConfig(output_dir=str(folder), **(common | arguments)),
        train_dataset=PoseDataset(poses, 0),
        eval_dataset=PoseDataset(poses, None),
        data_collator=collate_poses,
    )
    trainer.add_callback(ReconstructionCallback(trainer, body, poses, samples=3))
    return trainer


def test_a_pose_tokenizer_shows_what_its_codes_decode_to(body: BodyModel, tmp_path: Path) -> None:
    trainer = pose_trainer(body, tmp_path, max_steps=2)
    trainer.train()
    error = reconstruction_error(trainer.model, validation_poses()[:8].float(), body)
    assert entries(trainer, "eval_mpjpe_mm")[2] == pytest.approx(error["mpjpe_mm"], rel=1e-5)
    assert list(entries(trainer, "eval_loss")) == [1, 2]
    lines = [json.loads(line) for line in (tmp_path / "samples" / "step-000002.jsonl").read_text().splitlines()]
    assert [line["pose"] for line in lines] == [0, 2, 5]
    assert all(len(line["pose_codes"]) == 6 for line in lines)
    with Image.open(tmp_path / "samples" / "step-000002.png") as sheet:
        assert sheet.width > 3 * 2 * 144, "three pairs in a row"


def test_a_pose_tokenizer_logs_the_share_of_codes_in_use(body: BodyModel, tmp_path: Path) -> None:
    """Counted over all steps since the last log; what an evaluation encodes does not count."""
    trainer = pose_trainer(body, tmp_path, max_steps=4, logging_steps=2)
    used: list[set[int]] = []
    forward = trainer.model.forward

    def watched_forward(**inputs: Any) -> Any:
        outputs = forward(**inputs)
        if trainer.model.training:
            used.append(set(outputs.pose_codes.flatten().tolist()))
        return outputs

    trainer.model.forward = watched_forward
    trainer.train()
    expected = [len(used[0] | used[1]) / 32, len(used[2] | used[3]) / 32]
    assert list(entries(trainer, "codebook_usage").values()) == expected
    assert entries(trainer, "codebook_usage").keys() == entries(trainer, "perplexity").keys()


def test_a_time_limit_stops_a_run_and_lowers_its_rate_by_a_cosine() -> None:
    now, rates, stops = 100.0, [], []
    limit = TimeLimitCallback(1.0, clock=lambda: now)
    for step in range(5):
        # The schedule's own rate.
        group, control = {"lr": 0.2}, SimpleNamespace(should_training_stop=False)
        limit.on_step_begin(None, None, control, optimizer=SimpleNamespace(param_groups=[group]))
        now = 100.0 + 15.0 * (step + 1)
        limit.on_step_end(None, None, control)
        rates.append(group["lr"])
        stops.append(control.should_training_stop)
    assert rates == pytest.approx([0.2, 0.2 * 0.8535534, 0.1, 0.2 * 0.1464466, 0.0])
    assert stops == [False, False, False, True, True]


def test_a_stage_stops_at_its_time(tiny_checkpoint: Path, tiny_corpus: Path, tmp_path: Path) -> None:
    options = {"tasks": ["text-to-pose"], "samples": 0}
    trainer = language_trainer(tiny_checkpoint, tiny_corpus, tmp_path, options, max_steps=100000, max_minutes=0.01)
    trainer.train()
    assert 0 < trainer.state.global_step < 10000

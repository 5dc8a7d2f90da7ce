"""Evaluates a model on all tasks, beside baselines: on held-out motion, on recorded motion, or on a dataset.

    python -m unipose.training.evaluation.evaluate --model modeling_unipose/embedded --output runs/evaluation
    python -m unipose.training.evaluation.evaluate --data rows.jsonl --tasks text-to-pose pose-to-text --limit 200
    python -m unipose.training.evaluation.evaluate --compare runs/evaluation runs/other_evaluation

It writes metrics.json, report.md, report.html and eval_results.yaml, which a model card takes. Answers are stored row
by row: the same command continues an interrupted evaluation. `accelerate launch -m` shares the rows among processes.
Millimeters on the built-in body cannot be compared with results on SMPL.
"""

import sys
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import yaml
from accelerate import PartialState
from huggingface_hub.repocard_data import eval_results_to_model_index
from transformers import pipeline
from trl import TrlParser

from unipose.processing.body_model import BodyModel, to_body_model
from unipose.training.datasets.processes import start_process
from unipose.training.evaluation.answers import PoseSampler, StoredPipeline, checkpoint_digest, row_key, start_answers
from unipose.training.evaluation.baselines import TrainingPoses, random_pipeline
from unipose.training.evaluation.compare import StoredTask, compare_evaluations, comparison_markdown, save_statistics
from unipose.training.evaluation.evaluation_sets import (
    WORDS_NAME,
    EvaluationSet,
    check_evaluated,
    data_set,
    held_out_set,
    recorded_set,
)
from unipose.training.evaluation.examples_page import render_page
from unipose.training.evaluation.human_words import confidence_aurocs, confidence_intervals, evaluate_human_words
from unipose.training.evaluation.named_wordings import evaluate_named_wordings, sample_named_wordings
from unipose.training.evaluation.report import (
    definitions,
    eval_results,
    report_markdown,
    to_intervals,
    to_metrics,
)
from unipose.training.evaluation.retrieval import RetrievalModel
from unipose.training.evaluation.scores import Judge
from unipose.training.evaluation.tasks import (
    MODEL,
    SAMPLED_TASKS,
    TaskResult,
    answer_rows,
    evaluate_pose_tokenizer,
    evaluate_task,
)
from unipose.training.evaluation.timing import latency
from unipose.training.evaluation.uncertainty import Mean
from unipose.training.io import write_json, write_text
from unipose.training.sampling.poses import sample_training_poses


@dataclass
class EvaluationArguments:
    """The model, the rows, and the size of the evaluation sets."""

    model: str = field(default="modeling_unipose/embedded", metadata={"help": "Folder or Hub id of the model."})
    output: str = field(default="runs/evaluation", metadata={"help": "Folder of the results and the stored answers."})
    data: str | None = field(
        default=None,
        metadata={
            "help": "Rows to evaluate instead of held-out motion: a .jsonl, .csv, .tsv or .parquet file, a folder, a "
            "corpus or the id of a Hub dataset."
        },
    )
    split: str = field(default="test", metadata={"help": "Split of `data`, if it has several."})
    frame: str | None = field(default=None, metadata={"help": "Frame of poses of `data` that state none."})
    tasks: list[str] = field(
        default_factory=list,
        metadata={"help": "Tasks to evaluate, also pose-tokenizer and words (people's words); default: all."},
    )
    limit: int | None = field(default=None, metadata={"help": "Maximum number of rows of a task; default: all."})
    compare: list[str] = field(
        default_factory=list,
        metadata={"help": "Folders of two finished evaluations: paired tests between them, and nothing else."},
    )
    every: int = field(default=1, metadata={"help": "Step between held-out frames; 1: all frames."})
    pairs: int = field(default=200, metadata={"help": "Number of pose pairs for pose-edit, pose-diff and image-diff."})
    training_poses: int = field(
        default=4000, metadata={"help": "Number of training poses for the mean-pose and nearest-pose baselines."}
    )
    random_model: bool = field(
        default=True, metadata={"help": "Whether a model with random weights is a further baseline."}
    )
    image_size: int = field(default=96, metadata={"help": "Pixels of the square images, as in the corpus."})
    body: str | None = field(
        default=None,
        metadata={
            "help": "SMPL, SMPL-H or SMPL-X file of the body on which errors in millimeters are measured; by default "
            "the built-in body, which is not SMPL."
        },
    )
    retrieval_model: str | None = field(
        default=None,
        metadata={"help": "Folder of a retrieval model of single poses, for R-precision, recall, FID and diversity."},
    )
    pair_retrieval_model: str | None = field(
        default=None, metadata={"help": "Folder of a retrieval model of pose pairs, for edits and differences."}
    )
    shuffles: int = field(
        default=1, metadata={"help": "Divisions into groups of 32 that R-precision is averaged over; the paper's: 1."}
    )
    samples: int = field(
        default=0,
        metadata={
            "help": "Number of sampled answers to each row of text-to-pose and pose-edit, for multimodality; 0: none."
        },
    )
    records: list[str] = field(
        default_factory=list, metadata={"help": "Folders of records by import_data, to evaluate recorded poses too."}
    )
    recorded_poses: int = field(default=400, metadata={"help": "Maximum number of recorded poses."})
    wordings: int = field(default=500, metadata={"help": "Number of altered wordings of named poses."})
    batch_size: int = field(default=32, metadata={"help": "Number of inputs per forward pass."})
    seed: int = field(default=0, metadata={"help": "Seed of the evaluation sets, the baselines and the bootstrap."})

    def __post_init__(self) -> None:
        check_evaluated(self.tasks)
        if self.compare and len(self.compare) != 2:
            raise ValueError(f"compare takes the folders of two evaluations, got {len(self.compare)}")
        if self.limit is not None and self.limit < 1:
            raise ValueError(f"limit must be at least 1, got {self.limit}")
        if self.samples < 0 or self.samples == 1:
            raise ValueError(f"samples must be 0 or at least 2, got {self.samples}")

    def wants(self, name: str) -> bool:
        """Whether a task, or people's words, is to be evaluated."""
        return not self.tasks or name in self.tasks


def make_sets(arguments: EvaluationArguments, body: BodyModel) -> dict[str, EvaluationSet]:
    """The rows of an evaluation: {"": the main set, "recorded": that of recorded motion}.

    Args:
        arguments: options.
        body: the body to measure and to render.
    """
    if arguments.data is not None:
        main_set = data_set(arguments.data, arguments.split, arguments.tasks, arguments.frame)
    else:
        main_set = held_out_set(
            body, arguments.tasks, arguments.every, arguments.pairs, arguments.image_size, arguments.seed
        )
    sets = {"": main_set}
    if arguments.records:
        sets["recorded"] = recorded_set(
            arguments.records, arguments.recorded_poses, body, arguments.image_size, arguments.seed
        )
    return {name: own.chosen(arguments.tasks, arguments.limit) for name, own in sets.items()}


class Pipelines(NamedTuple):
    """What answers the rows.

    Args:
        model: the model.
        random: a model of random weights.
        sampler: the model's `PoseSampler`.
    """

    model: StoredPipeline
    random: StoredPipeline | None
    sampler: StoredPipeline | None


def open_pipelines(arguments: EvaluationArguments, state: PartialState) -> Pipelines:
    """The pipelines with the answers that are stored already.

    Args:
        arguments: options.
        state: this process.
    """
    pipe: Any = pipeline("unipose", model=arguments.model, device=state.device)  # type: ignore[call-overload]
    folder, seed = Path(arguments.output) / "answers", arguments.seed
    if state.is_main_process:
        recipe = {
            "checkpoint": checkpoint_digest(arguments.model),
            "batch_size": arguments.batch_size,
            "seed": seed,
            "device": state.device.type,
            **{package: version(package) for package in ("unipose", "torch", "transformers")},
        }
        if start_answers(folder, recipe):
            print(f"{folder}: answers of another checkpoint or of other options were removed", file=sys.stderr)
    state.wait_for_everyone()

    def stored(answering: Any, name: str) -> StoredPipeline:
        return StoredPipeline(answering, folder, name, state.process_index)

    samples = arguments.samples
    return Pipelines(
        stored(pipe, "model"),
        stored(random_pipeline(pipe, seed), "random") if arguments.random_model else None,
        stored(PoseSampler(pipe, samples, seed), f"samples{samples}") if samples else None,
    )


def answer_all(pipes: Pipelines, sets: Mapping[str, EvaluationSet], batch_size: int, state: PartialState) -> None:
    """Answers and stores all rows, each process its share.

    Args:
        pipes: the pipelines.
        sets: the rows.
        batch_size: number of rows per forward pass.
        state: this process.
    """
    for own in sets.values():
        for rows in own.rows:
            for pipe in pipes:
                if pipe is not None and (pipe is not pipes.sampler or rows.task in SAMPLED_TASKS):
                    answer_rows(pipe, rows, batch_size, state.process_index, state.num_processes)
    state.wait_for_everyone()
    for pipe in pipes:
        if pipe is not None:
            pipe.read()


@torch.no_grad()
def evaluate_set(
    pipe: Any,
    rows: EvaluationSet,
    training: TrainingPoses,
    judge: Judge,
    batch_size: int = 32,
    seed: int = 0,
    random_pipe: Any = None,
    sampler: Any = None,
) -> list[TaskResult]:
    """All metrics of a model on a set.

    Args:
        pipe: `pipeline("unipose")` of the model.
        rows: the set.
        training: training poses for the baselines.
        judge: what answers are measured with.
        batch_size: number of inputs per forward pass.
        seed: seed of the baselines' random choices.
        random_pipe: pipeline of random weights, a further baseline.
        sampler: `PoseSampler` of the model, for multimodality.
    """
    results = [evaluate_pose_tokenizer(pipe, poses, judge, name) for name, poses in rows.tokenizer_poses.items()]
    return results + [
        evaluate_task(pipe, own, training, judge, batch_size, seed, random_pipe, sampler) for own in rows.rows
    ]


def evaluate_words(pipe: Any, body: BodyModel, arguments: EvaluationArguments) -> dict[str, Any]:
    """People's sentences, edits, chains of edits and questions, and altered wordings of named poses.

    Args:
        pipe: `pipeline("unipose")` of the model.
        body: the body to measure.
        arguments: number of wordings, batch size and seed.

    Returns:
        words: {"human words": {set: [right of each row]}, "named poses": {alteration: [right of each row]}}; the
        AUROC of the confidence of each set, and its interval.
    """
    human = evaluate_human_words(pipe, body)
    wordings = sample_named_wordings(arguments.wordings, arguments.seed)
    return {
        "words": {
            "human words": {name: [row.right for row in rows] for name, rows in human.items()},
            "named poses": evaluate_named_wordings(pipe, wordings, body, arguments.batch_size),
        },
        "confidence_auroc": confidence_aurocs(human),
        "confidence_auroc_intervals": confidence_intervals(human, arguments.seed),
    }


def measure_latency(results: list[TaskResult]) -> dict[str, dict[str, float]]:
    """Seconds of an answer within its batch, by task; not comparable between machines.

    Args:
        results: of the main set.
    """
    times = {result.rows.name: [output.get("seconds") for output in result.outputs] for result in results}
    return {name: latency(seconds) for name, seconds in times.items() if all(seconds)}


def stored_tasks(results: list[TaskResult], words: Mapping[str, Mapping[str, list[bool]]]) -> dict[str, StoredTask]:
    """What `--compare` needs of an evaluation.

    Args:
        results: of the main set.
        words: whether each answer to people's words is right; rows are known by their place in the set.
    """
    tasks = {}
    for result in results:
        inputs, seen = result.rows.inputs, Counter[str]()
        keys = []
        for row in range(len(result.rows)):
            key = row_key(result.rows.task, {name: column[row] for name, column in inputs.items()})
            # Rows with equal inputs may have different targets: their order distinguishes them.
            keys.append(f"{key} {seen[key]}")
            seen[key] += 1
        tasks[result.rows.name] = StoredTask(keys, result.scores[MODEL])
    for name, kinds in words.items():
        for kind, right in kinds.items():
            keys = [f"{name} {kind} {row}" for row in range(len(right))]
            tasks[f"{name}, {kind}"] = StoredTask(keys, {"right": Mean.of(np.array(right, dtype=np.float64))})
    return tasks


def write_report(folder: Path, report: dict[str, Any], results: list[TaskResult], body: BodyModel) -> None:
    """Writes all files of an evaluation; metrics.json last.

    Args:
        folder: the output folder.
        report: content of metrics.json.
        results: of the main set.
        body: the body to render.
    """
    save_statistics(folder, stored_tasks(results, report.get("words", {})))
    write_text(folder / "report.md", report_markdown(report))
    write_text(folder / "report.html", render_page(report, results, body))
    index = {"model-index": eval_results_to_model_index(report["settings"]["model"], eval_results(report))}
    write_text(folder / "eval_results.yaml", yaml.safe_dump(index, sort_keys=False))
    write_json(folder / "metrics.json", report)


def compare(arguments: EvaluationArguments) -> None:
    """Prints paired tests between two finished evaluations, and writes comparison.json and comparison.md.

    Args:
        arguments: options.
    """
    first, second = arguments.compare
    comparison = compare_evaluations(Path(first), Path(second), arguments.seed)
    page = comparison_markdown(comparison, first, second)
    content = {
        task: {metric: found._asdict() for metric, found in metrics.items()} for task, metrics in comparison.items()
    }
    write_text(Path(arguments.output) / "comparison.md", page)
    write_json(Path(arguments.output) / "comparison.json", {"first": first, "second": second, "tasks": content})
    print(page)


def make_judge(arguments: EvaluationArguments, body: BodyModel) -> Judge:
    """What answers are measured with.

    Args:
        arguments: options.
        body: the body on which statements are measured.
    """
    models = [
        None if folder is None else RetrievalModel.from_pretrained(folder).eval()
        for folder in (arguments.retrieval_model, arguments.pair_retrieval_model)
    ]
    return Judge(body, to_body_model(arguments.body), *models, shuffles=arguments.shuffles, seed=arguments.seed)


def main() -> None:
    (arguments,) = TrlParser((EvaluationArguments,)).parse_args_and_config()
    if arguments.compare:
        compare(arguments)
        return
    body, seed, size = BodyModel.builtin(), arguments.seed, arguments.batch_size
    judge, sets = make_judge(arguments, body), make_sets(arguments, body)
    state = start_process(cpu=not torch.cuda.is_available())
    pipe, random_pipe, sampler = pipes = open_pipelines(arguments, state)
    answer_all(pipes, sets, size, state)
    if not state.is_main_process:
        return
    training = TrainingPoses.of(sample_training_poses(arguments.training_poses, seed, body)[0].float(), body)
    results = {
        name: evaluate_set(pipe, own, training, judge, size, seed, random_pipe, sampler) for name, own in sets.items()
    }
    report: dict[str, Any] = {
        "settings": asdict(arguments),
        "dataset": {"type": sets[""].kind, "name": sets[""].name},
        "frames": sets[""].frames,
        "body": judge.error_body.title,
        "definitions": definitions(judge),
        "rows": {result.rows.name: len(result.rows) for result in results[""]},
        "metrics": to_metrics(results[""]),
        "intervals": to_intervals(results[""], seed),
        "latency": measure_latency(results[""]),
    }
    if "recorded" in results:
        report["rows"] |= {f"{own.rows.name}, recorded motion": len(own.rows) for own in results["recorded"]}
        report["recorded"] = to_metrics(results["recorded"])
        report["recorded_intervals"] = to_intervals(results["recorded"], seed)
    if arguments.data is None and arguments.wants(WORDS_NAME):
        report |= evaluate_words(pipe, body, arguments)
    write_report(Path(arguments.output), report, results[""], body)
    print(report_markdown(report))


if __name__ == "__main__":
    main()

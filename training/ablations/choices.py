"""What each choice brought: ways of decoding of a finished model, and parts of the corpus, as one table.

    python -m unipose.training.ablations.choices --config training/recipes/ablations/choices.yaml

Ways of decoding need no training. For the corpus, variants of a recipe of `build_corpus` are built with the same
numbers of rows, and the same model is trained on each for the same number of steps. Every figure has its interval.
"""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from transformers import HfArgumentParser, pipeline

from unipose.processing.body_model import BodyModel
from unipose.training.ablations.variants import Ablation, MeasureArguments, open_ablation
from unipose.training.datasets.build_corpus import BuildArguments, Recipe, build_corpus
from unipose.training.evaluation.evaluation_sets import held_out_set, recorded_set
from unipose.training.evaluation.human_words import answer_edits, answer_sentences, load_edits, load_sentences
from unipose.training.evaluation.report import METRIC_NAMES, format_interval, format_value
from unipose.training.evaluation.scores import Judge, pose_statistics
from unipose.training.evaluation.task_rows import TaskRows
from unipose.training.evaluation.tasks import answer_rows, first_poses
from unipose.training.evaluation.uncertainty import Mean, Statistic, interval, resample_counts
from unipose.training.io import markdown_table, write_json, write_text
from unipose.training.trainer.config import RecipeParser, StageConfig
from unipose.training.trainer.language import LanguageArguments
from unipose.training.trainer.optimizer import OptimizerArguments
from unipose.training.trainer.trainable_parts import INSTRUCT


DECODING, WORDS, MOTION = GROUPS = ("decoding", "words", "motion")
DECODINGS: dict[str, dict[str, Any]] = {
    f"{name}, {steps} {'step' if steps == 1 else 'steps'}": {"pose_decoding": name, "pose_refinement_steps": steps}
    for name in ("argmax", "expected")
    for steps in (1, 3)
}
WHOLE = "trained on the whole corpus"
WITHOUT_WORDS, WITHOUT_MOTION = "trained without people's words", "trained without recorded motion"
# Options of a recipe that put people's words into prompts.
WORD_SHARES = ("composed_poses", "human_wordings", "human_edits", "typed_forms")
TASKS = ("text-to-pose", "pose-edit")
METRICS = ("mpjpe_mm", "posecode_precision", "paircode_precision")

# {column: (metric, statistic)}
Row = dict[str, tuple[str, Statistic]]


@dataclass
class ChoiceArguments:
    """What is compared, and on which rows."""

    groups: list[str] = field(
        default_factory=lambda: [DECODING, WORDS],
        metadata={
            "help": "Choices to compare: decoding; words (people's words in the corpus); motion (recorded motion)."
        },
    )
    decoding_model: str = field(
        default="modeling_unipose/embedded", metadata={"help": "Folder or Hub id of the model for decoding."}
    )
    corpus_recipe: str = field(
        default="training/recipes/ablations/choices_corpus.yaml",
        metadata={"help": "Recipe of build_corpus, of which the corpora are variants."},
    )
    train_records: list[str] = field(
        default_factory=list, metadata={"help": "Folders of records by import_data for training; needed for motion."}
    )
    test_records: list[str] = field(
        default_factory=list, metadata={"help": "Folders of records of other subjects, to measure recorded poses too."}
    )
    pairs: int = field(default=100, metadata={"help": "Number of pose pairs for pose-edit."})
    recorded_poses: int = field(default=200, metadata={"help": "Maximum number of recorded poses."})

    def __post_init__(self) -> None:
        if unknown := set(self.groups) - set(GROUPS):
            raise ValueError(f"got unknown groups {', '.join(sorted(unknown))}; expected some of {', '.join(GROUPS)}")
        if MOTION in self.groups and not self.train_records:
            raise ValueError("the group motion needs train_records, folders by import_data; got none; or leave it out")


class DecodingPipeline:
    """The pipeline with other arguments of generation.

    Args:
        pipe: `pipeline("unipose")`.
        options: arguments of every call.
    """

    def __init__(self, pipe: Any, options: dict[str, Any]):
        self.pipe, self.options = pipe, options

    def __call__(self, **inputs: Any) -> Any:
        return self.pipe(**inputs, **self.options)


@dataclass(frozen=True)
class Measures:
    """What every variant is measured on.

    Args:
        rows: {suffix of the columns: the rows of each task}.
        judge: what answers are measured with.
        batch_size: number of rows per forward pass.
    """

    rows: dict[str, list[TaskRows]]
    judge: Judge
    batch_size: int

    @torch.no_grad()
    def measure(self, pipe: Any) -> Row:
        """A row of the table.

        Args:
            pipe: the variant's pipeline.
        """
        found: Row = {}
        for suffix, tasks in self.rows.items():
            for rows in tasks:
                poses = first_poses(answer_rows(pipe, rows, self.batch_size))
                statistics = pose_statistics(rows, poses, self.judge)
                found |= {
                    f"{rows.task}{suffix}, {METRIC_NAMES[metric]}": (metric, statistics[metric])
                    for metric in METRICS
                    if metric in statistics
                }
        answered = {
            "sentences": answer_sentences(pipe, load_sentences(), self.judge.body),
            "edits": answer_edits(pipe, load_edits(), self.judge.body),
        }
        for name, answers in answered.items():
            right = Mean.of([float(answer.right) for answer in answers])
            found[f"people's {name}, {METRIC_NAMES['right']}"] = ("right", right)
        return found


def make_measures(choices: ChoiceArguments, measures: MeasureArguments, config: StageConfig) -> Measures:
    """The held-out rows, and those of recorded motion; the same for the same seed.

    Args:
        choices: numbers of rows.
        measures: step between frames.
        config: seed and batch size.
    """
    body, seed, size = BodyModel.builtin(), config.seed, measures.image_size
    sets = {"": held_out_set(body, TASKS, measures.every, choices.pairs, size, seed)}
    if choices.test_records:
        sets[" (recorded)"] = recorded_set(choices.test_records, choices.recorded_poses, body, size, seed)
    rows = {name: own.chosen(TASKS, None).rows for name, own in sets.items()}
    return Measures(rows, Judge(body, body), config.per_device_eval_batch_size)


def corpus_recipes(choices: ChoiceArguments) -> dict[str, Recipe]:
    """{variant: the recipe of its corpus}, with the same numbers of rows.

    Args:
        choices: the recipe of all, and which parts to leave out.
    """
    parsed: tuple[Any, ...] = HfArgumentParser((Recipe, BuildArguments)).parse_yaml_file(choices.corpus_recipe)
    recipe: Recipe = replace(parsed[0], records=choices.train_records)
    if not choices.train_records:
        # Words for clips are words for recorded ones.
        recipe = replace(recipe, clip_poses=0.0)
    recipes = {WHOLE: recipe}
    if WORDS in choices.groups:
        recipes[WITHOUT_WORDS] = replace(recipe, **dict.fromkeys(WORD_SHARES, 0.0))
    if MOTION in choices.groups:
        recipes[WITHOUT_MOTION] = replace(recipe, records=[], clip_poses=0.0)
    return recipes


def to_markdown(table: dict[str, Row], seed: int) -> str:
    """A table with a row for each variant, every figure with its 95 % interval.

    Args:
        table: {variant: row}.
        seed: of the bootstrap; all variants are resampled alike.
    """
    headings = list(dict.fromkeys(heading for row in table.values() for heading in row))
    return markdown_table(
        ("variant", *headings),
        [(name, *(_cell(*row[heading], seed) for heading in headings)) for name, row in table.items()],
    )


def _cell(metric: str, statistic: Statistic, seed: int) -> str:
    ends = interval(statistic, resample_counts(len(statistic), seed))
    return f"{format_value(metric, statistic.score())} {format_interval(metric, ends)}"


def write_choices(table: dict[str, Row], folder: Path, seed: int) -> None:
    """Prints the table, and writes it to `table.md` and its values to `metrics.json`.

    Args:
        table: {variant: row}.
        folder: folder of the ablation.
        seed: of the bootstrap.
    """
    page = to_markdown(table, seed)
    values = {
        name: {heading: statistic.score() for heading, (_, statistic) in row.items()} for name, row in table.items()
    }
    write_text(folder / "table.md", page + "\n")
    write_json(folder / "metrics.json", values)
    print(page)


def train_variants(ablation: Ablation, recipes: dict[str, Recipe], measures: Measures) -> dict[str, Row]:
    """Builds the corpus of each variant, trains on it, and measures.

    Args:
        ablation: settings of the trainings.
        recipes: that of each variant.
        measures: the rows.
    """
    table = {}
    for name, recipe in recipes.items():
        corpus = ablation.folder / "corpora" / name
        build_corpus(recipe, corpus, ablation.stage.workers)
        table[name] = measures.measure(ablation.train(name, corpus=str(corpus)))
    return table


def main() -> None:
    parser = RecipeParser((LanguageArguments, MeasureArguments, ChoiceArguments, OptimizerArguments, StageConfig))
    stage, frames, choices, optimizer, config = parser.parse_args_and_config()
    open_ablation(config, stage, optimizer)
    measures = make_measures(choices, frames, config)
    table: dict[str, Row] = {}
    if DECODING in choices.groups:
        pipe: Any = pipeline("unipose", model=choices.decoding_model)  # type: ignore[call-overload]
        table |= {name: measures.measure(DecodingPipeline(pipe, own)) for name, own in DECODINGS.items()}
    if {WORDS, MOTION} & {*choices.groups}:
        ablation = Ablation(INSTRUCT, stage, frames, optimizer, config)
        table |= train_variants(ablation, corpus_recipes(choices), measures)
    write_choices(table, Path(config.output_dir), config.seed)


if __name__ == "__main__":
    main()

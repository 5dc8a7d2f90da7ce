"""Writes the option tables of docs/ from the dataclasses that the commands parse.

    python -m unipose.training.tools.document_options [--docs docs]

A page holds a table between `<!-- options: MODULE -->` and `<!-- end of options -->`.
"""

import argparse
import inspect
import json
import re
from collections.abc import Iterator
from dataclasses import MISSING, Field, fields
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

from unipose.serving.options import ServingOptions
from unipose.training.ablations.choices import ChoiceArguments
from unipose.training.ablations.variants import MeasureArguments
from unipose.training.datasets.build_corpus import BuildArguments, Recipe
from unipose.training.datasets.corpus_of_records import RecordsArguments
from unipose.training.datasets.import_data import ImportArguments
from unipose.training.evaluation.calibrate import CalibrationArguments
from unipose.training.evaluation.evaluate import EvaluationArguments
from unipose.training.evaluation.paper_data import PaperDataArguments
from unipose.training.evaluation.paper_tables import PaperTableArguments
from unipose.training.evaluation.zero_shot import ZeroShotArguments
from unipose.training.io import markdown_table, write_text
from unipose.training.models.build_model import ModelArguments
from unipose.training.publishing.publish import PublishArguments
from unipose.training.refine.refine_corpus import RefineArguments
from unipose.training.trainer.config import StageConfig
from unipose.training.trainer.finetune_arguments import FinetuneArguments, FinetuneConfig, FinetuneLoraArguments
from unipose.training.trainer.language import LanguageArguments
from unipose.training.trainer.optimizer import OptimizerArguments
from unipose.training.trainer.pose_tokenizer import PoseTokenizerArguments
from unipose.training.trainer.replay import ReplayArguments
from unipose.training.trainer.retrieval import RetrievalArguments
from unipose.training.trainer.schedules import StepScheduleArguments
from unipose.training.trainer.trainable_parts import LoraArguments
from unipose.training.trainer.vision_encoders import EncoderArguments


# Option dataclasses of each module; the libraries document their own training arguments.
OPTIONS: dict[str, tuple[type[Any], ...]] = {
    "unipose.training.datasets.build_corpus": (Recipe, BuildArguments),
    "unipose.training.datasets.corpus_of_records": (RecordsArguments,),
    "unipose.training.datasets.import_data": (ImportArguments,),
    "unipose.training.refine.refine_corpus": (RefineArguments,),
    "unipose.training.models.build_model": (ModelArguments,),
    "unipose.training.stages.pose_tokenizer": (PoseTokenizerArguments, StepScheduleArguments, OptimizerArguments),
    "unipose.training.stages.vision_encoders": (EncoderArguments, OptimizerArguments),
    "unipose.training.stages.retrieval": (RetrievalArguments, OptimizerArguments),
    "unipose.training.trainer.language": (LanguageArguments, LoraArguments, OptimizerArguments),
    "unipose.training.trainer.config": (StageConfig,),
    "unipose.training.stages.finetune": (
        FinetuneArguments,
        FinetuneLoraArguments,
        ReplayArguments,
        OptimizerArguments,
        FinetuneConfig,
    ),
    "unipose.training.ablations.variants": (MeasureArguments,),
    "unipose.training.publishing.publish": (PublishArguments,),
    "unipose.serving.serve": (ServingOptions,),
    "unipose.training.ablations.choices": (ChoiceArguments,),
    "unipose.training.evaluation.calibrate": (CalibrationArguments,),
    "unipose.training.evaluation.evaluate": (EvaluationArguments,),
    "unipose.training.evaluation.paper_tables": (PaperTableArguments, PaperDataArguments),
    "unipose.training.evaluation.zero_shot": (ZeroShotArguments,),
}
# Defaults that differ from machine to machine.
MACHINE_DEFAULTS = {(BuildArguments, "workers"): "the number of cores"}

BLOCK = re.compile(r"(<!-- options: (\S+) -->\n).*?(<!-- end of options -->)", re.DOTALL)


def option_table(module: str) -> str:
    """The Markdown table of a module's options."""
    rows = [row for arguments in OPTIONS[module] for row in _rows(arguments)]
    return markdown_table(("option", "type", "default", "meaning"), rows)


def _rows(arguments: type[Any]) -> Iterator[tuple[str, str, str, str]]:
    # Not `Field.type`: HfArgumentParser changes it.
    types = get_type_hints(arguments)
    own = {
        name
        for base in arguments.__mro__
        if base.__module__.startswith("unipose")
        for name in inspect.get_annotations(base)
    }
    for option in (option for option in fields(arguments) if option.name in own):
        default = MACHINE_DEFAULTS.get((arguments, option.name)) or _default(option)
        yield (
            f"`{option.name}`",
            _type(types[option.name]),
            default,
            option.metadata.get("help", "").replace("|", "\\|"),
        )


def _type(hint: Any) -> str:
    if get_origin(hint) is Literal:
        return ", ".join(f"`{value}`" for value in get_args(hint))
    name = hint.__name__ if type(hint) is type else str(hint)
    return name.replace("typing.", "").replace("|", "\\|")


def _default(option: Field) -> str:
    if option.default is MISSING and option.default_factory is MISSING:
        return "required"
    value = option.default if option.default_factory is MISSING else option.default_factory()
    return f"`{json.dumps(value)}`"


def fill_page(page: str) -> str:
    """A page with its option tables as the code has them."""
    return BLOCK.sub(lambda block: f"{block[1]}\n{option_table(block[2])}\n\n{block[3]}", page)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--docs", type=Path, default=Path("docs"), metavar="DIR", help="default: %(default)s")
    for path in sorted(parser.parse_args().docs.rglob("*.md")):
        page = path.read_text(encoding="utf-8")
        if fill_page(page) != page:
            write_text(path, fill_page(page))
            print(f"wrote {path}")


if __name__ == "__main__":
    main()

"""Draws a model's answers to people's sentences, chains of edits and questions, right and wrong ones alike.

python -m unipose.training.tools.show_words --model modeling_unipose/embedded --output docs/words.png

The rows are those of `evaluation.human_words`, which no training uses, spread evenly over each set.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from PIL import Image
from transformers import pipeline
from trl import TrlParser

from unipose.processing.body_model import BodyModel
from unipose.processing.rendering import contact_sheet, render_pose
from unipose.training.evaluation.human_words import (
    Answered,
    answer_chains,
    answer_questions,
    answer_sentences,
    load_chains,
    load_questions,
    load_sentences,
)
from unipose.training.tools.sheets import save_sheet, stack, stack_with_headings


CELL = 128  # pixels
FONT_SIZE = 12
COLUMNS = 10
CHAIN_COLUMNS = 2
COLORS = 64


@dataclass
class ShowWordsArguments:
    """Options: model, number of rows and output image."""

    model: str = field(default="modeling_unipose/embedded", metadata={"help": "Folder or Hub id of the model."})
    output: str = field(default="docs/words.png", metadata={"help": "Path of the image."})
    sentences: int = field(default=40, metadata={"help": "Number of sentences."})
    chains: int = field(default=20, metadata={"help": "Number of chains of edits."})
    questions: int = field(default=20, metadata={"help": "Number of questions."})


def spread(rows: Sequence[Any], count: int) -> list[Any]:
    """At most `count` rows at regular intervals.

    Args:
        rows: rows of a set.
        count: maximum number of rows.
    """
    count = min(count, len(rows))
    return [rows[index * len(rows) // count] for index in range(count)]


def caption_of(row: Answered) -> str:
    """The texts of a row and its answer, with a mark for right or wrong."""
    text = " > ".join(row.texts)
    return f"{'[right]' if row.right else '[WRONG]'} {text}{' - ' + row.answer if row.answer else ''}"


def draw_rows(rows: Sequence[Answered], body: BodyModel, columns: int) -> Image.Image:
    """The poses of each row side by side, above its texts.

    Args:
        rows: at least one row.
        body: the body to render.
        columns: rows side by side.
    """
    images = [
        stack([render_pose(pose, body, CELL, view="three-quarter") for pose in row.poses], horizontal=True)
        for row in rows
    ]
    return contact_sheet(images, [caption_of(row) for row in rows], columns=columns, font_size=FONT_SIZE)


def draw_words(pipe: Any, body: BodyModel, arguments: ShowWordsArguments) -> Image.Image:
    """The whole sheet.

    Args:
        pipe: `pipeline("unipose")` of the model.
        body: the body to measure and to render.
        arguments: numbers of rows.
    """
    answered = {
        "Sentences": (answer_sentences(pipe, spread(load_sentences(), arguments.sentences), body), COLUMNS),
        "Edits, one after the other": (
            answer_chains(pipe, spread(load_chains(), arguments.chains), body),
            CHAIN_COLUMNS,
        ),
        "Questions": (answer_questions(pipe, spread(load_questions(), arguments.questions)), COLUMNS),
    }
    return stack_with_headings(
        {
            f"{heading} ({sum(row.right for row in rows)} of {len(rows)} right)": draw_rows(rows, body, columns)
            for heading, (rows, columns) in answered.items()
            if rows
        }
    )


def main() -> None:
    (arguments,) = TrlParser((ShowWordsArguments,)).parse_args_and_config()
    pipe = pipeline("unipose", model=arguments.model)  # type: ignore[call-overload]
    save_sheet(draw_words(pipe, BodyModel.builtin(), arguments), arguments.output, COLORS)


if __name__ == "__main__":
    main()

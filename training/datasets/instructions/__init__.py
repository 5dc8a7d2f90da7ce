"""Instruction templates: 200 prompts for each task (paper, section 3.4, stage 4), in our own words.

`<task>.txt` holds one template per line. Names in braces are placeholders of poses, images and the input text. Of two
poses or images, `_a` is the first and always comes first.
"""

import re
from collections.abc import Iterable
from functools import cache
from importlib import resources

from unipose.tasks_unipose import TASKS


# Placeholders of input texts.
TEXTS = frozenset(task.text for task in TASKS.values() if task.text)

_PLACEHOLDER = re.compile(r"\{(\w*)\}")


@cache
def load_instructions(task: str) -> tuple[str, ...]:
    """The packaged templates of a task.

    Raises:
        ValueError: an unknown task.
    """
    check_tasks([task])
    return tuple(resources.files(__name__).joinpath(f"{task}.txt").read_text("utf-8").splitlines())


def check_tasks(tasks: Iterable[str]) -> None:
    """Checks names of tasks.

    Raises:
        ValueError: some are not in `TASKS`.
    """
    unknown = sorted(set(tasks) - set(TASKS))
    if unknown:
        raise ValueError(f"got unknown tasks {unknown}; expected some of {', '.join(TASKS)}")


def check_template(task: str, template: str) -> None:
    """Checks the placeholders of a template.

    Args:
        task: a key of `TASKS`.
        template: one of its prompts.

    Raises:
        ValueError: a placeholder is missing, unknown or repeated, or the second of a pair comes before the first.
    """
    expected, got = TASKS[task].placeholders, tuple(_PLACEHOLDER.findall(template))
    in_order = got == expected or (TASKS[task].text is not None and sorted(got) == sorted(expected))
    if not in_order:
        listed = [", ".join(f"{{{name}}}" for name in names) or "none" for names in (got, expected)]
        raise ValueError(f"template {template!r} of {task}: got the placeholders {listed[0]}; expected {listed[1]}")

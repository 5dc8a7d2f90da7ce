"""Instruction templates: 200 ways to ask for each task (paper, section 3.4, stage 4), in our own words.

One template a line in `<task>.txt`. What a template holds in braces is filled in: poses, pictures and, for the tasks
that are told something, the text. Where there are two poses (pictures), `_a` is the first one and always stands first.
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
    """Raises a ValueError that names the tasks that are none of `TASKS`."""
    unknown = sorted(set(tasks) - set(TASKS))
    if unknown:
        raise ValueError(f"unknown tasks {unknown}; accepted are {', '.join(TASKS)}")


def check_template(task: str, template: str) -> None:
    """Checks a template before it is used.

    Raises:
        ValueError: a placeholder is missing, unknown, there twice, or the second of a pair stands before the first.
    """
    wanted, found = TASKS[task].placeholders, tuple(_PLACEHOLDER.findall(template))
    in_order = found == wanted or (TASKS[task].text is not None and sorted(found) == sorted(wanted))
    if not in_order:
        shown = [", ".join(f"{{{name}}}" for name in names) or "none" for names in (found, wanted)]
        raise ValueError(f"template {template!r} of {task} holds the placeholders {shown[0]}; wanted: {shown[1]}")

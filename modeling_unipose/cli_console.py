"""What the command prints beside its answers, and how standard input and output are named."""

import json
import sys
import time
from typing import Any

from tqdm import tqdm


def is_standard(path: str) -> bool:
    """Whether a path on the command line stands for standard input or output."""
    return path == "-"


def print_json(value: Any) -> None:
    """Prints a value as one line of JSON, at once: another program may wait for it."""
    print(json.dumps(value, ensure_ascii=False), flush=True)


def first_line(error: BaseException) -> str:
    """The first line of an error's message, or its type where it has none."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


class Console:
    """Notes on standard error.

    Args:
        quiet: Whether there are none.
        verbose: Whether details are printed, with the seconds since the start.
    """

    def __init__(self, quiet: bool = False, verbose: bool = False):
        self.quiet, self.verbose = quiet, verbose
        self.start = time.monotonic()

    def note(self, text: str) -> None:
        """Prints a note, unless quiet."""
        if not self.quiet:
            tqdm.write(text, file=sys.stderr)

    def detail(self, text: str) -> None:
        """Prints a detail, if verbose."""
        if self.verbose:
            self.note(f"{time.monotonic() - self.start:.1f} s  {text}")

    def progress(self, **options: Any) -> tqdm:
        """A progress bar on a terminal, unless quiet.

        Args:
            options: Those of tqdm.
        """
        return tqdm(leave=False, disable=True if self.quiet else None, **options)

"""Entry point of the `unipose` command: answers --help, --version and wrong options before torch is imported."""

import gc
import sys

from .cli_arguments import parse_arguments


def main() -> int:
    """Runs the command; returns its exit status."""
    arguments = parse_arguments(sys.argv[1:])
    # The imports make a million objects that stay: to search them for garbage, at exit too, is a third of a short run.
    gc.disable()
    from .cli import run

    gc.freeze()
    gc.enable()
    return run(arguments)

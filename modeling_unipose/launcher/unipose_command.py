"""Entry point of the `unipose` command: answers --help, --version and wrong options before torch is imported."""

import sys
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType


def load_arguments() -> ModuleType:
    """`unipose.cli_arguments`, as a file: importing it by its name imports the package, and with it torch."""
    package = find_spec("unipose")
    assert package is not None
    assert package.origin is not None
    spec = spec_from_file_location("unipose_arguments", Path(package.origin).with_name("cli_arguments.py"))
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def main() -> int:
    """Runs the command; returns its exit status."""
    arguments = load_arguments().parse_arguments(sys.argv[1:])
    from unipose.cli import run

    return run(arguments)

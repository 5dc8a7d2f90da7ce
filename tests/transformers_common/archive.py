"""The source archive of the installed transformers: it holds the library's common tests, which no wheel does.

It comes from the package index, as pip is set up to reach it, into a folder that git ignores: nothing of it is copied
into this repository.
"""

import functools
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

import transformers
from filelock import FileLock


CACHE = Path(__file__).parents[2] / "build" / "transformers-tests" / transformers.__version__
REQUIREMENT = f"transformers=={transformers.__version__}"


@functools.cache
def fetch_tests(folder: Path) -> str:
    """Makes sure that the folder holds the first level of the archive's `tests/`; "" or why that is not possible."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    # Test processes that run side by side share the folder.
    with FileLock(folder.with_name(folder.name + ".lock")), tempfile.TemporaryDirectory() as download:
        if folder.is_dir():
            return ""
        command = [
            sys.executable,
            *["-m", "pip", "download", "--no-deps", "--no-binary", ":all:", "--no-build-isolation"],
        ]
        command += ["--retries", "1", "--timeout", "20", "--dest", download, REQUIREMENT]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            return f"the source archive of {REQUIREMENT} is out of reach: {done.stderr.strip()[-300:]}"
        extract_tests(next(Path(download).glob("transformers-*.tar.gz")), folder)
    return ""


def extract_tests(archive: Path, folder: Path) -> None:
    """Writes <top>/tests/*.py of the archive to the folder, which is complete as soon as it is there."""
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch, tarfile.open(archive) as tar:
        members = [m for m in tar if m.isfile() and Path(m.name).match("*/tests/*.py") and m.name.count("/") == 2]
        tar.extractall(scratch, members=members, filter="data")
        tests = Path(scratch, members[0].name).parent
        # The tests of configurations import the package that they are in.
        (tests / "__init__.py").touch()
        tests.rename(folder)

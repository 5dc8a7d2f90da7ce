"""Brings the common tests of the installed transformers within reach: they are in its source archive, in no wheel.

The archive comes from the package index, as pip is set up to reach it, into a folder that git ignores; nothing of it is
copied into this repository. Of the archive's `tests/` only the files on its first level are packed, so what these
import from deeper folders has a stand-in here. Import this module first, then `transformers_tests.test_...`.
"""

import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from types import ModuleType

import pytest
import transformers
from PIL import Image

from transformers_common.generation_mixin import GenerationTesterMixin


PACKAGE = "transformers_tests"
CACHE = Path(__file__).parents[2] / "build" / "transformers-tests" / transformers.__version__
PICTURE = CACHE / "picture.png"


class NoExportTests:
    """Stands in for `ExportTesterMixin`, which is not packed."""


def fetch_tests() -> Path:
    """The folder with the first level of the archive's `tests/`; fetched once.

    Raises:
        pytest.skip.Exception: The package index is out of reach.
    """
    folder = CACHE / PACKAGE
    if not folder.is_dir():
        with tempfile.TemporaryDirectory() as download:
            requirement = f"transformers=={transformers.__version__}"
            command = f"-m pip download --no-deps --no-binary :all: --no-build-isolation --retries 1 -d {download}"
            done = subprocess.run([sys.executable, *command.split(), requirement], capture_output=True, text=True)
            if done.returncode:
                pytest.skip(f"the source archive of {requirement} is out of reach: {done.stderr.strip()[-300:]}")
            extract_tests(next(Path(download).glob("transformers-*.tar.gz")), folder)
    return folder


def extract_tests(archive: Path, folder: Path) -> None:
    """Writes <top>/tests/*.py of the archive to the folder, which is complete as soon as it is there."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE) as scratch, tarfile.open(archive) as tar:
        members = [m for m in tar if m.isfile() and Path(m.name).match("*/tests/*.py") and m.name.count("/") == 2]
        tar.extractall(scratch, members=members, filter="data")
        # Part of it looks for the sources of transformers in its own folder.
        tests = Path(scratch, members[0].name).parent
        (tests / "__init__.py").touch()
        tests.rename(folder)


def url_to_local_path(url: str) -> str:
    """Stands in for the archive's fetching of example pictures: another picture will do. Others stay out of reach."""
    return str(PICTURE) if url.endswith((".png", ".jpg", ".jpeg")) else url


STAND_INS = {
    f"{PACKAGE}.exporters.test_export": {"ExportTesterMixin": NoExportTests},
    f"{PACKAGE}.generation.test_utils": {"GenerationTesterMixin": GenerationTesterMixin},
    # Values that differ from the defaults, for what every configuration takes.
    f"{PACKAGE}.utils.test_configuration_utils": {
        "config_common_kwargs": {
            "return_dict": False,
            "output_hidden_states": True,
            "output_attentions": True,
            "dtype": "float16",
            "chunk_size_feed_forward": 5,
            "architectures": ["SomeModel"],
            "id2label": {0: "sitting"},
            "label2id": {"sitting": 0},
            "problem_type": "regression",
        }
    },
    "fetch_hub_objects_for_ci": {"url_to_local_path": url_to_local_path},
}


def install(folder: Path) -> None:
    """Makes the folder importable as a package, with the stand-ins."""
    package = ModuleType(PACKAGE)
    package.__path__ = [str(folder)]
    sys.modules[PACKAGE] = package
    for name, members in STAND_INS.items():
        for parent in {name.rpartition(".")[0]} - {"", PACKAGE}:
            sys.modules[parent] = ModuleType(parent)
        sys.modules[name] = ModuleType(name)
        vars(sys.modules[name]).update(members)
    if not PICTURE.is_file():
        Image.linear_gradient("L").resize((64, 48)).convert("RGB").save(PICTURE)


install(fetch_tests())

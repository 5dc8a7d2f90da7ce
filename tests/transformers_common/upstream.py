"""The common tests of transformers, as our tests import them; without the archive, whoever imports this is skipped.

The archive packs only the first level of `tests/`: what that imports from deeper folders has a stand-in here.
"""

import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest
from PIL import Image

from transformers_common.archive import CACHE, fetch_tests
from transformers_common.generation_mixin import GenerationTesterMixin


PACKAGE = "transformers_tests"
EXAMPLE_IMAGE = CACHE / "image.png"


class NoExportTests:
    """Stands in for `ExportTesterMixin`, which is not packed."""


def url_to_local_path(url: str) -> str:
    """Stands in for the fetching of example images: another image will do. Sounds and videos stay out of reach."""
    return str(EXAMPLE_IMAGE) if url.endswith((".png", ".jpg")) else url


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
    if not EXAMPLE_IMAGE.is_file():
        Image.linear_gradient("L").resize((64, 48)).convert("RGB").save(EXAMPLE_IMAGE)


if reason := fetch_tests(CACHE / PACKAGE):
    pytest.skip(reason, allow_module_level=True)
install(CACHE / PACKAGE)
configuration, modeling, processing, image_processing = (
    import_module(f"{PACKAGE}.test_{name}_common")
    for name in ("configuration", "modeling", "processing", "image_processing")
)

"""The folders that are published, put together from a checkpoint, a corpus and the package."""

import json
import shutil
from importlib import resources
from importlib.metadata import distribution
from importlib.util import find_spec
from pathlib import Path

import jinja2

from unipose import __version__

from .card import Names, model_card


# What a published model needs beside its weights, whoever saved it.
NEEDED = ("config.json", "generation_config.json", "processor_config.json", "tokenizer_config.json")
# Of a training run: states of optimizers, intermediate checkpoints, records of this machine.
IGNORED = (".*", "checkpoint-*", "*.partial", "optimizer*", "scheduler*", "rng_state*", "training_args.bin", "runs")
NOT_PACKAGED = ("__pycache__", "*.pyc", "space")
# The code that is saved beside the weights imports nothing else.
REQUIREMENTS = ("torch>=2.6", "transformers>=5.23,<5.25", "pillow>=11.0", "numpy>=2.0")
# Parts of the package that lie in folders of their own where it is installed for development.
PARTS = ("processing", "training", "model_cards", "serving")


def check_model_folder(folder: Path) -> None:
    """Checks that a folder loads from the Hub.

    Args:
        folder: A saved model.

    Raises:
        ValueError: A file is missing, or the code that its config names.
        FileNotFoundError: There is no such folder.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"there is no model folder {folder}")
    missing = [name for name in NEEDED if not (folder / name).is_file()]
    if not any(folder.glob("*.safetensors")):
        missing.append("*.safetensors")
    if missing:
        raise ValueError(
            f"{folder} lacks {', '.join(missing)}: expected what save_pretrained of model and processor write"
        )
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    code = [*config.get("auto_map", {}).values()]
    code += [entry["impl"] for entry in config.get("custom_pipelines", {}).values()]
    files = {f"{name.split('--')[-1].split('.')[0]}.py" for name in code}
    absent = sorted(name for name in files if not (folder / name).is_file())
    if not files or absent:
        raise ValueError(
            f"{folder} lacks the code {', '.join(absent) or 'of its classes'}: save the model again with this package"
        )
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        shards = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
        if lost := sorted(shard for shard in shards if not (folder / shard).is_file()):
            raise ValueError(f"{folder} lacks the shards {', '.join(lost)} that {index.name} names")


def write_model_folder(source: Path, target: Path, names: Names) -> None:
    """The repository of a model: checkpoint, code, handler, requirements, metrics, card and licenses.

    Args:
        source: The saved model.
        target: The folder to write.
        names: Ids on the Hub.

    Raises:
        ValueError: The source does not load from the Hub.
    """
    check_model_folder(source)
    shutil.copytree(source, target, ignore=shutil.ignore_patterns(*IGNORED))
    cards = resources.files("unipose.model_cards")
    (target / "handler.py").write_text(cards.joinpath("handler.py").read_text("utf-8"), encoding="utf-8")
    (target / "requirements.txt").write_text("\n".join(REQUIREMENTS) + "\n", encoding="utf-8")
    with resources.as_file(cards.joinpath("metrics")) as metrics:
        shutil.copytree(metrics, target / "metrics", ignore=shutil.ignore_patterns("__pycache__"))
    write_licenses(target)
    model_card(source, names).save(target / "README.md")


def write_licenses(target: Path) -> None:
    """The licenses of all parts, LICENSE and NOTICE, where this installation has them.

    Args:
        target: The folder to write to.

    Raises:
        FileNotFoundError: The installation lacks them.
    """
    top = Path(package_folder("")).parent
    found = {path.name: Path(str(path.locate())) for path in distribution("unipose").files or []}
    for name in ("LICENSE", "NOTICE"):
        path = next((path for path in (top / name, found.get(name)) if path is not None and path.is_file()), None)
        if path is None:
            raise FileNotFoundError(f"this installation of unipose lacks {name}; install the package again")
        shutil.copyfile(path, target / name)


def write_dataset_folder(source: Path, target: Path) -> None:
    """The repository of a corpus.

    Args:
        source: A folder of `build_corpus`.
        target: The folder to write.

    Raises:
        ValueError: It has no rows, or no card.
    """
    if not any(source.rglob("*.parquet")) or not (source / "README.md").is_file():
        raise ValueError(f"{source} is no corpus: expected Parquet shards and README.md, as build_corpus writes them")
    shutil.copytree(source, target, ignore=shutil.ignore_patterns(*IGNORED))


def write_space_folder(target: Path, names: Names) -> None:
    """The repository of a Space: the application and a copy of the package, so that it needs no index.

    Args:
        target: The folder to write.
        names: Ids on the Hub.

    Raises:
        FileNotFoundError: This installation has no Space.
    """
    source = Path(package_folder("model_cards")) / "space"
    if not (source / "app.py").is_file():
        raise FileNotFoundError(f"this installation has no Space ({source / 'app.py'}); use --space false")
    shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__", "README.md.jinja"))
    template = jinja2.Template((source / "README.md.jinja").read_text(encoding="utf-8"))
    photos = (source / "mediapipe").is_dir()
    card = template.render(model=names.model, dataset=names.dataset, photos=photos, version=__version__)
    (target / "README.md").write_text(card + "\n", encoding="utf-8")
    write_licenses(target)
    ignore = shutil.ignore_patterns(*NOT_PACKAGED)
    for part in ("", *PARTS):
        shutil.copytree(package_folder(part), target / "unipose" / part, ignore=ignore, dirs_exist_ok=True)


def package_folder(part: str) -> str:
    """The folder of a part of the package.

    Args:
        part: "processing", ...; "": the package itself.
    """
    spec = find_spec(f"unipose.{part}" if part else "unipose")
    assert spec is not None
    assert spec.origin is not None
    return str(Path(spec.origin).parent)

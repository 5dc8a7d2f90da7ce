"""Exports a trained model as the embedded checkpoint of the package: weights in half precision, and its code.

In the package the code files are links to the package's own modules, so that they are always the same; uploads and
wheels hold their content.

python -m unipose.training.tools.export_embedded --model runs/instruct --output modeling_unipose/embedded
"""

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from transformers import AutoModelForImageTextToText, AutoProcessor, GenerationConfig
from trl import TrlParser

import unipose
from unipose import processing
from unipose.embedded_checkpoint import EMBEDDED_CHECKPOINT
from unipose.pose_decoding import PoseDecodingMode
from unipose.training.io import write_text


# How a tokenizer was loaded, which its config keeps.
LOADING_KEYS = ("dtype", "is_local", "local_files_only")


@dataclass
class ExportArguments:
    """Options: folders of the trained model and of the embedded checkpoint."""

    model: str = field(default="runs/instruct", metadata={"help": "Folder of a trained model and its processor."})
    output: str = field(default="modeling_unipose/embedded", metadata={"help": "Folder of the embedded checkpoint."})
    pose_decoding: PoseDecodingMode = field(
        default="expected", metadata={"help": "How its greedy decoding chooses codes: argmax or expected."}
    )
    pose_temperature: float = field(
        default=1.0, metadata={"help": "Temperature of the expected code, chosen on validation poses."}
    )
    texts_through_poses: bool = field(
        default=True, metadata={"help": "Whether texts about images come from the poses that it estimates in them."}
    )


def export(arguments: ExportArguments) -> None:
    """Saves a model in half precision, except its pose tokenizer; it loads in single precision.

    Args:
        arguments: folders, and how the saved model chooses codes and describes images.
    """
    output = Path(arguments.output)
    model = AutoModelForImageTextToText.from_pretrained(arguments.model)
    decoding = {"pose_decoding": arguments.pose_decoding, "pose_temperature": arguments.pose_temperature}
    model.generation_config = GenerationConfig.from_dict(model.generation_config.to_dict() | decoding)
    model.config.texts_through_poses = arguments.texts_through_poses
    model.half()
    model.model.pose_tokenizer.float()
    # What saving copies must not be written through a link.
    for code in output.glob("*.py"):
        code.unlink()
    model.save_pretrained(output)
    AutoProcessor.from_pretrained(arguments.model).save_pretrained(output)
    write_plain(output / "config.json", {"dtype": "float32"})
    write_plain(output / "tokenizer_config.json", dict.fromkeys(LOADING_KEYS))
    if output.resolve() == EMBEDDED_CHECKPOINT.resolve():
        link_code(output)


def write_plain(path: Path, changes: dict[str, Any]) -> None:
    """Rewrites a JSON file with sorted keys.

    Args:
        path: The file.
        changes: Values by key; None removes it.
    """
    content = json.loads(path.read_text(encoding="utf-8")) | changes
    kept = {key: value for key, value in content.items() if key not in changes or value is not None}
    write_text(path, json.dumps(kept, indent=2, sort_keys=True) + "\n")


def link_code(folder: Path) -> None:
    """Replaces copies of the package's modules by links to them.

    Args:
        folder: A folder inside the package.
    """
    paths = [path for package in (unipose, processing) for path in Path(package.__path__[0]).glob("*.py")]
    modules = {path.name: path for path in paths if not path.is_symlink()}
    for code in folder.glob("*.py"):
        code.unlink()
        code.symlink_to(os.path.relpath(modules[code.name], folder.resolve()))


def main() -> None:
    (arguments,) = TrlParser((ExportArguments,)).parse_args_and_config()
    export(arguments)
    for path in sorted(Path(arguments.output).iterdir()):
        print(f"{path.stat().st_size / 1e6:8.2f} MB  {path}")


if __name__ == "__main__":
    main()

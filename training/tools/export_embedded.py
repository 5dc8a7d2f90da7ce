"""Exports a trained model as the embedded checkpoint of the package: weights in half precision, without code files.

python -m unipose.training.tools.export_embedded --model runs/instruct --output modeling_unipose/embedded
"""

import json
from dataclasses import dataclass, field
from pathlib import Path

from transformers import AutoModelForImageTextToText, AutoProcessor
from trl import TrlParser

from unipose.training.io import write_json


@dataclass
class ExportArguments:
    """The trained model, and the folder of the exported one."""

    model: str = field(default="runs/instruct", metadata={"help": "Folder of a trained model and its processor."})
    output: str = field(default="modeling_unipose/embedded", metadata={"help": "Folder of the exported model."})


def export(model_folder: str, output: Path) -> None:
    """Saves the weights in half precision, except the pose tokenizer's; all are loaded in single precision.

    Args:
        model_folder: a trained model and its processor.
        output: folder of the exported model.
    """
    model = AutoModelForImageTextToText.from_pretrained(model_folder)
    model.half()
    model.model.pose_tokenizer.float()
    model.save_pretrained(output)
    AutoProcessor.from_pretrained(model_folder).save_pretrained(output)
    for code in output.glob("*.py"):
        code.unlink()
    for name in ("config.json", "processor_config.json"):
        path = output / name
        stored = json.loads(path.read_text(encoding="utf-8"))
        for key in ("auto_map", "custom_pipelines"):
            stored.pop(key, None)
        if name == "config.json":
            stored["dtype"] = "float32"
        write_json(path, dict(sorted(stored.items())))


def main() -> None:
    (arguments,) = TrlParser((ExportArguments,)).parse_args_and_config()
    output = Path(arguments.output)
    export(arguments.model, output)
    for path in sorted(output.iterdir()):
        print(f"{path.stat().st_size / 1e6:8.2f} MB  {path}")


if __name__ == "__main__":
    main()

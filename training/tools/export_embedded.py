"""Writes a trained model as the checkpoint that ships inside the package: half precision, no code beside it.

python -m unipose.training.tools.export_embedded --model runs/instruct --output modeling_unipose/embedded
"""

import json
from dataclasses import dataclass, field
from pathlib import Path

from transformers import AutoModelForImageTextToText, AutoProcessor
from trl import TrlParser


@dataclass
class ExportArguments:
    """Where from and where to."""

    model: str = field(default="runs/instruct", metadata={"help": "Folder of a trained model and its processor."})
    output: str = "modeling_unipose/embedded"


def export(model_folder: str, output: Path) -> None:
    """Saves the weights in half precision, the pose tokenizer's excepted; they are loaded in single precision."""
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
        path.write_text(json.dumps(stored, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def main() -> None:
    (arguments,) = TrlParser((ExportArguments,)).parse_args_and_config()
    output = Path(arguments.output)
    export(arguments.model, output)
    for path in sorted(output.iterdir()):
        print(f"{path.stat().st_size / 1e6:8.2f} MB  {path}")


if __name__ == "__main__":
    main()

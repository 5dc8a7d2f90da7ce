"""Exports a trained model as the embedded checkpoint of the package: weights in half precision, without code files.

python -m unipose.training.tools.export_embedded --model runs/instruct --output modeling_unipose/embedded
"""

import json
from dataclasses import dataclass, field
from pathlib import Path

from transformers import AutoModelForImageTextToText, AutoProcessor, GenerationConfig
from trl import TrlParser

from unipose.pose_decoding import PoseDecodingMode
from unipose.training.io import write_text


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
    model.save_pretrained(output)
    AutoProcessor.from_pretrained(arguments.model).save_pretrained(output)
    for code in output.glob("*.py"):
        code.unlink()
    for name in ("config.json", "processor_config.json"):
        path = output / name
        stored = json.loads(path.read_text(encoding="utf-8"))
        for key in ("auto_map", "custom_pipelines"):
            stored.pop(key, None)
        if name == "config.json":
            stored["dtype"] = "float32"
            for key in ("auto_map", "_name_or_path"):
                stored["pose_tokenizer_config"].pop(key, None)
        write_text(path, json.dumps(stored, indent=2, sort_keys=True) + "\n")


def main() -> None:
    (arguments,) = TrlParser((ExportArguments,)).parse_args_and_config()
    export(arguments)
    for path in sorted(Path(arguments.output).iterdir()):
        print(f"{path.stat().st_size / 1e6:8.2f} MB  {path}")


if __name__ == "__main__":
    main()

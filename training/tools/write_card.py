"""Writes the model card of a checkpoint from its config and the results of `evaluate`.

python -m unipose.training.tools.write_card --model modeling_unipose/embedded --metrics runs/evaluation/metrics.json
"""

import json
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

from huggingface_hub import ModelCard, ModelCardData
from transformers import AutoModelForImageTextToText
from trl import TrlParser

from unipose.training.evaluation.report import eval_results, to_markdown
from unipose.training.sampling.poses import HELD_OUT_CLIPS


@dataclass
class CardArguments:
    """The model, and its evaluation results."""

    model: str = field(default="modeling_unipose/embedded", metadata={"help": "Folder of the model."})
    metrics: str = field(default="runs/evaluation/metrics.json", metadata={"help": "Report of the evaluate command."})
    name: str = field(default="unipose-tiny", metadata={"help": "Name of the model; on the Hub: owner/name."})


def card_data(name: str, report: dict[str, Any]) -> ModelCardData:
    """The card's metadata: one evaluation result per task and metric, without the baselines.

    Args:
        name: name of the model.
        report: content of metrics.json.
    """
    return ModelCardData(
        license="apache-2.0",
        library_name="transformers",
        pipeline_tag="image-text-to-text",
        language="en",
        tags=["unipose", "pose-estimation", "text-to-pose", "smpl", "custom_code"],
        model_name=name,
        eval_results=eval_results(report),
    )


def write_card(model_folder: Path, report: dict[str, Any], name: str) -> ModelCard:
    """Renders the template and saves it as README.md in the model's folder.

    Args:
        model_folder: the saved model.
        report: content of metrics.json.
        name: name of the model.
    """
    model = AutoModelForImageTextToText.from_pretrained(model_folder)
    config = model.config
    card = ModelCard.from_template(
        card_data(name, report),
        template_str=resources.files("unipose.model_cards").joinpath("checkpoint.md.jinja").read_text("utf-8"),
        model_name=name,
        parameters=model.num_parameters(),
        text=config.text_config,
        num_pose_tokens=config.num_pose_tokens,
        codebook_size=config.pose_tokenizer_config.codebook_size,
        num_image_tokens=config.num_image_tokens,
        pose_attention=config.pose_attention,
        frames=report["frames"],
        clips=", ".join(HELD_OUT_CLIPS),
        table=to_markdown(report["metrics"], report["intervals"]),
    )
    card.save(model_folder / "README.md")
    return card


def main() -> None:
    (arguments,) = TrlParser((CardArguments,)).parse_args_and_config()
    report = json.loads(Path(arguments.metrics).read_text(encoding="utf-8"))
    write_card(Path(arguments.model), report, arguments.name)


if __name__ == "__main__":
    main()

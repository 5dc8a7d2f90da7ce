"""What a fine-tuned model was trained on, and figures of before and after on rows that it never saw."""

import hashlib
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from datasets import Dataset
from huggingface_hub import ModelCard, ModelCardData
from transformers import TrainingArguments

from unipose import UniPoseForConditionalGeneration, UniPosePipeline
from unipose.processing.body_model import BodyModel
from unipose.processing.processing_unipose import UniPoseProcessor
from unipose.training.evaluation.named_wordings import evaluate_named_wordings, sample_named_wordings
from unipose.training.evaluation.row_answers import AnsweredRows, measure_loss, measure_rows
from unipose.training.io import markdown_table
from unipose.training.trainer.collator import UniPoseDataCollator
from unipose.training.trainer.finetune_arguments import FinetuneArguments
from unipose.training.trainer.replay import ReplayArguments
from unipose.training.trainer.trainable_parts import LoraArguments


CARD_TEMPLATE = "finetuned.md.jinja"
PACKAGED_MODEL = "the packaged model"
# Figures of the card: name in the report, words, unit.
FIGURES = (
    ("loss", "loss per token", ""),
    ("token_accuracy", "token accuracy", "%"),
    ("mpjpe_mm", "MPJPE of generated poses", "mm"),
    ("pa_mpjpe_mm", "PA-MPJPE of generated poses", "mm"),
    ("rouge_l", "ROUGE-L of generated texts", "%"),
)


@dataclass(frozen=True)
class Figures:
    """What is measured of a model, before and after.

    Args:
        held_out: on the user's held-out rows.
        replay: `loss` and `token_accuracy` on replayed rows that are never trained on.
        named_poses: percentage of the wordings of named poses whose pose is right.
    """

    held_out: AnsweredRows | None
    replay: dict[str, float] | None
    named_poses: float | None


@dataclass(frozen=True)
class Measurement:
    """The rows that a model is measured on.

    Args:
        processor: the model's processor.
        collator: the model's collator.
        held_out: the user's held-out rows, and the same prepared; None without any.
        replay: prepared rows of what the model knows; None without any.
        named_poses: number of wordings of named poses.
        config: batch size and seed.
    """

    processor: UniPoseProcessor
    collator: UniPoseDataCollator
    held_out: tuple[Dataset, Dataset] | None
    replay: Dataset | None
    named_poses: int
    config: TrainingArguments

    def measure(self, model: UniPoseForConditionalGeneration) -> Figures:
        """The figures of a model, which is set to evaluation mode."""
        model = model.to(self.config.device).eval()
        body, size = BodyModel.builtin(), self.config.per_device_eval_batch_size
        held_out = None
        if self.held_out is not None:
            rows, prepared = self.held_out
            held_out = measure_rows(model, self.processor, rows, self.batches(prepared), body, size)
        named = None
        if self.named_poses:
            pipe = UniPosePipeline(model=model, processor=self.processor, device=model.device)
            wordings = sample_named_wordings(self.named_poses, self.config.seed)
            right = [each for some in evaluate_named_wordings(pipe, wordings, body, size).values() for each in some]
            named = 100 * sum(right) / len(right)
        return Figures(
            held_out, None if self.replay is None else measure_loss(model, self.batches(self.replay)), named
        )

    def batches(self, prepared: Dataset) -> list[dict[str, Any]]:
        """Prepared rows in batches of rows in their order, without their indices."""
        size = self.config.per_device_eval_batch_size
        rows = prepared.remove_columns("row")
        return [
            self.collator(list(rows.select(range(start, min(start + size, len(rows))))))
            for start in range(0, len(rows), size)
        ]


def rows_digest(rows: Dataset) -> str:
    """The SHA-256 of rows: their messages, poses and images."""
    digest = hashlib.sha256()
    for row in rows.select_columns(["messages", "poses"]):
        digest.update(json.dumps([row["messages"], row["poses"]], sort_keys=True).encode())
    for chunk in rows.data.column("images").combine_chunks().to_pylist():
        for image in chunk:
            digest.update(image["bytes"])
    return digest.hexdigest()


def shown_name(source: str) -> str:
    """The name of a file or a folder without the folders around it; the id of a Hub repository as it is."""
    return Path(source).name if Path(source).exists() else source


def make_report(
    arguments: FinetuneArguments,
    lora: LoraArguments,
    replay: ReplayArguments,
    trained: Dataset,
    steps: int,
    measurement: Measurement,
    figures: tuple[Figures, Figures],
) -> dict[str, Any]:
    """The content of finetune.json.

    Args:
        arguments: the rows and the model.
        lora: options of the adapters.
        replay: options of the replay.
        trained: the user's trained rows.
        steps: number of training steps.
        measurement: the rows of the figures, and the trainer's arguments.
        figures: before and after.
    """
    config = measurement.config
    held_out = [] if measurement.held_out is None else measurement.held_out[0]["task"]
    options: dict[str, Any] = {
        "method": arguments.method,
        **(asdict(lora) if arguments.method == "lora" else {}),
        "epochs": config.num_train_epochs,
        "steps": steps,
        "batch_size": config.per_device_train_batch_size * config.gradient_accumulation_steps * config.world_size,
        "learning_rate": config.learning_rate,
        "lr_scheduler_type": str(getattr(config.lr_scheduler_type, "value", config.lr_scheduler_type)),
        "code_smoothing": arguments.code_smoothing,
        "precision": "bf16" if config.bf16 else "fp16" if config.fp16 else "fp32",
        "seed": config.seed,
        "replay_share": replay.replay_share,
    }
    if replay.replay_share:
        corpus = replay.replay_corpus
        options["replayed_rows"] = "generated" if corpus is None else shown_name(corpus)
    before, after = figures
    return {
        "base_model": PACKAGED_MODEL if arguments.model is None else shown_name(arguments.model),
        "data": shown_name(arguments.data),
        "rows": {
            "trained": len(trained),
            "held_out": len(held_out),
            "tasks": dict(sorted(Counter([*trained["task"], *held_out]).items())),
            "sha256_of_trained_rows": rows_digest(trained),
        },
        "options": options,
        "rows_known_before": 0 if measurement.replay is None else len(measurement.replay),
        "wordings_of_named_poses": measurement.named_poses,
        "before": asdict(before),
        "after": asdict(after),
    }


def figure_table(report: Mapping[str, Any]) -> str:
    """The Markdown table of before and after."""
    before, after = report["before"], report["after"]
    lines: list[tuple[str, str, str, str, str]] = []
    if after["held_out"]:
        counts = {"mpjpe_mm": "poses", "pa_mpjpe_mm": "poses", "rouge_l": "texts"}
        for name, words, unit in FIGURES:
            old, new = (side["held_out"]["metrics"].get(name) for side in (before, after))
            if new is not None:
                count = after["held_out"][counts[name]] if name in counts else report["rows"]["held_out"]
                lines.append(("held-out rows of the data", words, *spell(old, new, unit), str(count)))
    if after["replay"]:
        for name, words, unit in FIGURES[:2]:
            values = spell(before["replay"][name], after["replay"][name], unit)
            count = str(report["rows_known_before"])
            lines.append(("held-out rows of what the base model knows", words, *values, count))
    if after["named_poses"] is not None:
        values = spell(before["named_poses"], after["named_poses"], "%")
        lines.append(("wordings of named poses", "right poses", *values, str(report["wordings_of_named_poses"])))
    return markdown_table(("rows", "figure", "before", "after", "n"), lines)


def spell(before: float, after: float, unit: str) -> tuple[str, str]:
    """Two figures with their unit.

    Args:
        before: of the base model.
        after: of the trained model.
        unit: "%", "mm" or none.
    """
    digits = 1 if unit else 3
    ending = f" {unit}" if unit else ""
    return f"{before:.{digits}f}{ending}", f"{after:.{digits}f}{ending}"


def write_finetune_card(folder: Path, name: str, report: Mapping[str, Any]) -> ModelCard:
    """Writes the model card of a fine-tuned model as README.md.

    Args:
        folder: folder of the model.
        name: name of the model.
        report: content of finetune.json.
    """
    base = report["base_model"]
    data = ModelCardData(
        library_name="transformers",
        base_model=base if "/" in base else None,
        tags=["unipose", "smpl", "text-to-pose"],
        model_name=name,
    )
    options = markdown_table(("option", "value"), [(f"`{key}`", value) for key, value in report["options"].items()])
    card = ModelCard.from_template(
        data,
        template_str=resources.files("unipose.model_cards").joinpath(CARD_TEMPLATE).read_text("utf-8"),
        model_name=name,
        report=report,
        options=options,
        table=figure_table(report),
    )
    card.save(folder / "README.md")
    return card

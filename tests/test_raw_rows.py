"""Raw rows in TRL's own trainer: the collator reads and encodes their poses and images; wrong arguments say so."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from datasets import Dataset
from own_rows import save_image, upright_rotvecs
from peft import LoraConfig
from PIL import Image
from tiny_checkpoint import save_tiny_checkpoint
from transformers import AutoModelForImageTextToText, AutoProcessor, set_seed
from trl import SFTConfig, SFTTrainer

from unipose import UniPoseForConditionalGeneration, UniPoseProcessor
from unipose.processing.pose_features import pose_to_rotmats
from unipose.processing.pose_io import save_pose
from unipose.training import UniPoseDataCollator, read_rows
from unipose.training.models.load_pose_tokenizer import load_pose_tokenizer
from unipose.training.trainer.collator import add_pose_codes


POSES = upright_rotvecs(4)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    save_tiny_checkpoint(folder)
    return folder


@pytest.fixture(scope="module")
def model(checkpoint: Path) -> UniPoseForConditionalGeneration:
    return AutoModelForImageTextToText.from_pretrained(checkpoint)


@pytest.fixture(scope="module")
def processor(checkpoint: Path) -> UniPoseProcessor:
    return AutoProcessor.from_pretrained(checkpoint)


def text(value: str) -> dict[str, str]:
    return {"type": "text", "text": value}


def make_row(question: list[dict], answer: list[dict], poses: list[Any], images: list[Any]) -> dict[str, Any]:
    messages = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    return {"messages": messages, "images": images, "poses": poses}


def raw_rows() -> list[dict[str, Any]]:
    pose, image = {"type": "pose"}, {"type": "image"}
    red = Image.new("RGB", (40, 40), "red")
    return [
        make_row([text("Stand.")], [pose], [POSES[0].tolist()], []),
        make_row([pose, text("Bend.")], [pose], [POSES[1].tolist(), POSES[2].tolist()], []),
        make_row([image, text("What?")], [text("A red square.")], [], [red]),
        make_row([text("Who?")], [text("Nobody.")], [], []),
    ]


def equal(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def test_raw_rows_are_collated_as_rows_with_codes(
    model: UniPoseForConditionalGeneration, processor: UniPoseProcessor
) -> None:
    rows = raw_rows()
    codes = add_pose_codes({"poses": [row["poses"] for row in rows]}, model.model.pose_tokenizer)["pose_codes"]
    expected = UniPoseDataCollator(processor)([row | {"pose_codes": own} for row, own in zip(rows, codes)])
    assert (expected["input_ids"] >= processor.pose_code_start_id).any()
    for collator in (
        UniPoseDataCollator(processor),
        UniPoseDataCollator(processor, pose_tokenizer=model.model.pose_tokenizer),
    ):
        assert equal(collator(rows), expected)
        single = [row | collator.encode(row) for row in rows]
        assert equal(collator(single), expected)


def test_images_and_poses_may_stand_in_blocks_in_any_form(processor: UniPoseProcessor, tmp_path: Path) -> None:
    collator = UniPoseDataCollator(processor)
    save_pose(tmp_path / "a.npz", pose_to_rotmats(POSES[0]))
    y_up = POSES[2].copy()
    y_up[0] = 0
    image = save_image(tmp_path / "a.png")
    inline = [
        make_row([text("Stand.")], [{"type": "pose", "path": str(tmp_path / "a.npz")}], [], []),
        make_row([{"type": "pose"}, text("Bend.")], [{"type": "pose", "pose": y_up, "frame": "y_up"}], [POSES[1]], []),
        make_row([{"type": "image", "path": str(image)}, text("What?")], [text("A red square.")], [], []),
    ]
    beside = raw_rows()[:3]
    beside[2]["images"] = [Image.open(image)]
    assert equal(collator(inline), collator(beside))


def test_the_pose_tokenizer_of_a_saved_model(
    checkpoint: Path, model: UniPoseForConditionalGeneration, tmp_path: Path
) -> None:
    loaded = load_pose_tokenizer(checkpoint).state_dict()
    expected = model.model.pose_tokenizer.state_dict()
    assert equal(loaded, expected)
    processor = AutoProcessor.from_pretrained(checkpoint)
    processor.tokenizer.name_or_path = ""
    with pytest.raises(OSError, match=r"pose_tokenizer=model.model.pose_tokenizer"):
        UniPoseDataCollator(processor)(raw_rows())
    model.model.language_model.save_pretrained(tmp_path)
    with pytest.raises(OSError, match="expected a folder or a Hub id of UniPose"):
        load_pose_tokenizer(tmp_path)


def config(folder: Path, **arguments: Any) -> SFTConfig:
    return SFTConfig(
        output_dir=str(folder),
        max_steps=3,
        per_device_train_batch_size=4,
        lr_scheduler_type="constant",
        use_cpu=True,
        bf16=False,
        report_to="none",
        save_strategy="no",
        logging_steps=1,
        disable_tqdm=True,
        **{"remove_unused_columns": False, "learning_rate": 1e-3, **arguments},
    )


def losses(trainer: SFTTrainer) -> list[float]:
    set_seed(0)
    trainer.train()
    return [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]


def test_a_plain_trainer_trains_on_raw_rows_by_model_and_by_path(
    checkpoint: Path, processor: UniPoseProcessor, tmp_path: Path
) -> None:
    rows, collator = read_rows(raw_rows()), UniPoseDataCollator(processor)
    model = AutoModelForImageTextToText.from_pretrained(checkpoint)
    trainer = SFTTrainer(
        model, args=config(tmp_path / "a"), train_dataset=rows, data_collator=collator, processing_class=processor
    )
    expected = AutoModelForImageTextToText.from_pretrained(checkpoint)(**collator(list(rows))).loss.item()
    by_model = losses(trainer)
    assert by_model[0] == pytest.approx(expected, rel=1e-4)
    assert by_model[-1] < by_model[0]
    trainer.save_model()
    assert not AutoModelForImageTextToText.from_pretrained(tmp_path / "a").lm_head.weight.isnan().any()
    by_path = SFTTrainer(str(checkpoint), args=config(tmp_path / "b"), train_dataset=rows, data_collator=collator)
    assert losses(by_path) == pytest.approx(by_model, rel=1e-4)
    adapted = SFTTrainer(
        str(checkpoint),
        args=config(tmp_path / "c", learning_rate=1e-2),
        train_dataset=rows,
        data_collator=collator,
        peft_config=LoraConfig(r=4, target_modules=r".*language_model\.layers\..*\.(q|v)_proj"),
    )
    by_lora = losses(adapted)
    assert by_lora[0] == pytest.approx(by_model[0], rel=1e-4)
    assert by_lora[-1] < by_lora[0]


def test_worker_processes_encode_the_same_batches(processor: UniPoseProcessor, tmp_path: Path) -> None:
    rows, collator = read_rows(raw_rows()), UniPoseDataCollator(processor)
    plain, forked = (
        torch.utils.data.DataLoader(rows, batch_size=2, collate_fn=collator, num_workers=workers) for workers in (0, 1)
    )
    for one, other in zip(plain, forked, strict=True):
        assert equal(one, other)


@pytest.mark.parametrize(
    ("rows", "columns", "arguments", "message"),
    [
        (slice(2), ["messages", "images", "poses"], {"remove_unused_columns": True}, r"columns=False\) keeps"),
        (slice(2), ["messages", "poses"], {}, "but 0 poses were given"),
        (
            slice(3, 4),
            ["messages", "poses"],
            {"remove_unused_columns": True},
            "got the columns .*input_ids.*skip_prepare",
        ),
    ],
)
def test_arguments_that_lose_poses_are_errors(
    checkpoint: Path,
    processor: UniPoseProcessor,
    tmp_path: Path,
    rows: slice,
    columns: list[str],
    arguments: dict[str, Any],
    message: str,
) -> None:
    chosen = read_rows(raw_rows()[rows]).select_columns(columns)
    with pytest.raises(ValueError, match=message):
        SFTTrainer(
            str(checkpoint),
            args=config(tmp_path, **arguments),
            train_dataset=chosen,
            data_collator=UniPoseDataCollator(processor),
        ).train()


def test_rows_without_images_need_no_column_for_them(
    checkpoint: Path, processor: UniPoseProcessor, tmp_path: Path
) -> None:
    rows = Dataset.from_list([{name: row[name] for name in ("messages", "poses")} for row in raw_rows()[:2]])
    arguments = config(tmp_path, dataset_kwargs={"skip_prepare_dataset": True})
    trainer = SFTTrainer(
        str(checkpoint), args=arguments, train_dataset=rows, data_collator=UniPoseDataCollator(processor)
    )
    assert np.isfinite(losses(trainer)).all()


def test_errors_of_raw_rows_name_the_field(processor: UniPoseProcessor) -> None:
    collator = UniPoseDataCollator(processor)
    rows = raw_rows()
    rows[1]["poses"][1][3][0] = float("nan")
    with pytest.raises(ValueError, match=r"the row, poses: pose 2: .*NaN"):
        collator(rows)
    with pytest.raises(ValueError, match=r"row 7, poses: pose 2: .*NaN"):
        collator.encode(rows[1], 7)
    rows[1]["poses"] = []
    with pytest.raises(ValueError, match="the row, poses: got 0 of them, but the messages have 2 pose blocks"):
        collator(rows)

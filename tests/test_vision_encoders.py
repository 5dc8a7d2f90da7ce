"""The stage that pretrains the vision encoders: its images, the cells of joints, and that both encoders learn."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from datasets import Dataset
from module_weights import unmoved_weights, weights_of
from stage_corpus import CPU_ARGUMENTS
from transformers import CLIPVisionModel, VitPoseBackbone

from unipose.configuration_unipose import patch_grid
from unipose.processing.body_model import BodyModel
from unipose.processing.pose_features import JOINT_NAMES
from unipose.training.models.encoder_sizes import encoder_configs, image_processor
from unipose.training.models.text_tokenizer import train_text_tokenizer
from unipose.training.stages import vision_encoders as stage
from unipose.training.trainer.config import StageConfig
from unipose.training.trainer.encoder_images import MirroredImages, render_encoder_images
from unipose.training.trainer.vision_encoders import (
    EncoderArguments,
    EncoderCollator,
    EncoderPretraining,
    EncoderTrainer,
    build_encoders,
    joint_cells,
    load_vision_encoders,
)


SIZES = {
    "vision_hidden_size": 16,
    "vision_layers": 1,
    "pose_vision_hidden_size": 24,
    "pose_vision_layers": 1,
}
NUMBER, SIZE, SEED = 12, 96, 3


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("images")


@pytest.fixture(scope="module")
def images(folder: Path) -> Dataset:
    return render_encoder_images(folder, NUMBER, SIZE, SEED)


def test_images_are_drawn_once(images: Dataset, folder: Path) -> None:
    (file,) = folder.glob("*.parquet")
    written = file.stat().st_mtime_ns
    again = render_encoder_images(folder, NUMBER, SIZE, SEED)
    assert file.stat().st_mtime_ns == written
    assert again["text"] == images["text"]
    assert len(images) == NUMBER
    assert all(image.size == (SIZE, SIZE) for image in images["image"])
    assert np.mean(images["visible"]) > 0.5
    assert all(text.endswith(".") for text in images["text"])


def test_visible_joints_are_in_the_image(images: Dataset) -> None:
    joints, visible = np.array(images["joints_2d"]), np.array(images["visible"])
    assert joints.shape == (NUMBER, 22, 2)
    assert ((joints[visible] >= 0) & (joints[visible] < 1)).all()


def test_mirrored_images_show_the_other_side(images: Dataset) -> None:
    both = MirroredImages(images)
    left, right = JOINT_NAMES.index("left_wrist"), JOINT_NAMES.index("right_wrist")
    assert len(both) == 2 * NUMBER
    for index in range(NUMBER):
        row, mirrored = both[index], both[index + NUMBER]
        assert np.array_equal(np.array(mirrored["image"]), np.array(row["image"])[:, ::-1])
        joints, others = np.array(row["joints_2d"]), mirrored["joints_2d"]
        np.testing.assert_allclose(others[right], [1.0 - joints[left, 0], joints[left, 1]], atol=1e-6)
        assert mirrored["visible"][right] == row["visible"][left]
        np.testing.assert_allclose(
            mirrored["rotvecs"][right], np.multiply(row["rotvecs"][left], (1.0, -1.0, -1.0)), atol=1e-5
        )
        assert mirrored["text"].count("left") == row["text"].count("right")


def test_cells_say_where_a_joint_is() -> None:
    _, pose_vision = encoder_configs(EncoderArguments(**SIZES))
    rows, columns = patch_grid(pose_vision)
    assert (rows, columns) == (8, 6)
    # The encoder sees the middle 72 of 96 columns: 12 pixels a patch.
    places = torch.tensor([[(12 + 12 * 2 + 6) / 96, (12 * 5 + 6) / 96], [(12 + 12 * 3) / 96, 0.5], [0.05, 0.5]])
    joints = places[torch.arange(22) % 3][None]
    visible = torch.ones(1, 22, dtype=torch.bool)
    visible[0, 21] = False
    cells = joint_cells(joints, visible, pose_vision)[0].unflatten(-1, (rows, columns))
    assert cells[0, 5, 2] == pytest.approx(1.0, abs=1e-5), "the middle of a patch"
    corner = cells[1, 3:5, 2:4]
    torch.testing.assert_close(corner, torch.full((2, 2), 0.25))
    assert cells[2].sum() == 0, "outside of the crop"
    assert cells[21].sum() == 0, "not visible"
    assert cells.sum(dim=(-2, -1)).max() == pytest.approx(1.0, abs=1e-5)


@pytest.mark.slow
def test_both_encoders_learn_and_all_of_them_moves(images: Dataset, tmp_path: Path) -> None:
    torch.manual_seed(0)
    vision, pose_vision = build_encoders(EncoderArguments(**SIZES))
    tokenizer = train_text_tokenizer(images["text"], 400)
    training = EncoderPretraining(vision, pose_vision, len(tokenizer))
    before = weights_of(training)
    trainer = EncoderTrainer(
        BodyModel.builtin(),
        model=training,
        args=StageConfig(
            output_dir=str(tmp_path),
            per_device_train_batch_size=NUMBER,
            max_steps=180,
            learning_rate=3e-3,
            seed=42,
            save_strategy="no",
            **CPU_ARGUMENTS,
        ),
        train_dataset=images,
        data_collator=EncoderCollator(
            image_processor(vision.config, pose_vision.config), tokenizer, pose_vision.config
        ),
    )
    trainer.train()
    logged = [entry for entry in trainer.state.log_history if "loss" in entry]
    for part in ("cell_loss", "joint_distance", "caption_loss"):
        first, last = (np.mean([entry[part] for entry in entries]) for entries in (logged[:3], logged[-3:]))
        assert last < 0.8 * first, part
    unmoved = unmoved_weights(training, before)
    # Only the class token passes through the last of them, and the class token is not read; ids are no weights.
    assert {name.rpartition("encoder.")[2] for name in unmoved} <= {
        "post_layernorm.weight",
        "post_layernorm.bias",
        "embeddings.position_ids",
    }


def test_the_command_writes_two_encoders_that_a_model_takes(
    images: Dataset, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = {
        **SIZES,
        "images": folder,
        "num_images": NUMBER,
        "image_seed": SEED,
        "output_dir": tmp_path,
        "max_steps": 2,
        "per_device_train_batch_size": 4,
        "save_strategy": "no",
        "precision": "fp32",
        "use_cpu": "true",
    }
    flags = [str(word) for name, value in arguments.items() for word in (f"--{name}", value)]
    monkeypatch.setattr(sys, "argv", ["vision_encoders", *flags])
    stage.main()
    vision = CLIPVisionModel.from_pretrained(tmp_path / "vision")
    pose_vision = VitPoseBackbone.from_pretrained(tmp_path / "pose_vision")
    other = build_encoders(EncoderArguments(**SIZES))

    class Model:
        """The part of a model that has the encoders."""

        class model:
            vision_tower, pose_vision_tower = other

    went_on = build_encoders(EncoderArguments(**SIZES, start=str(tmp_path)))
    load_vision_encoders(Model(), tmp_path)  # type: ignore[arg-type]
    for trained, taken, started in zip((vision, pose_vision), other, went_on):
        for name, value in trained.state_dict().items():
            assert torch.equal(taken.state_dict()[name], value)
            assert torch.equal(started.state_dict()[name], value)

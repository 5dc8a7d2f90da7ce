"""The stage that pretrains the vision encoders: its images, the cells of joints, and that both encoders learn."""

import io
import sys
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import roma
import torch
from dataset_files import random_poses
from datasets import Dataset
from module_weights import unmoved_weights, weights_of
from stage_corpus import CPU_ARGUMENTS
from transformers import CLIPVisionModel, VitPoseBackbone

from unipose.configuration_unipose import patch_grid
from unipose.processing.body_model import BodyModel
from unipose.processing.pose_features import JOINT_NAMES
from unipose.training.datasets.generation import MAX_HEADING
from unipose.training.datasets.import_data import save_records
from unipose.training.datasets.records import PoseRecord
from unipose.training.models.encoder_sizes import encoder_configs, image_processor
from unipose.training.models.text_tokenizer import train_text_tokenizer
from unipose.training.stages import vision_encoders as stage
from unipose.training.trainer import encoder_images
from unipose.training.trainer.config import StageConfig
from unipose.training.trainer.encoder_images import (
    EMPTY_TEXTS,
    FACING_SHARE,
    FEATURES,
    EncoderImages,
    encoder_headings,
    render_encoder_images,
    to_array,
)
from unipose.training.trainer.vision_encoders import (
    EncoderArguments,
    EncoderCollator,
    EncoderPretraining,
    EncoderTrainer,
    build_encoders,
    joint_cells,
    load_vision_encoders,
    mean_of_people,
    patch_centers,
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


def test_columns_become_arrays_whatever_rows_are_chosen(images: Dataset) -> None:
    numbers = images.select_columns(["joints_2d", "visible", "rotvecs", "has_person"])
    for rows in (numbers, numbers.select(range(3, 9)), numbers.select([7, 2, 2, 11]), numbers.shuffle(seed=0)):
        plain, table = rows.with_format("numpy"), rows.with_format("arrow")[:]
        for name, shape in (("joints_2d", (22, 2)), ("visible", (22,)), ("rotvecs", (22, 3)), ("has_person", ())):
            expected, found = np.stack(plain[name][:]), to_array(table[name], *shape)
            assert found.dtype == expected.dtype
            assert np.array_equal(found, expected)


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


def test_poses_come_from_the_records_too(images: Dataset, folder: Path, tmp_path: Path) -> None:
    records = tmp_path / "records"
    with pytest.raises(ValueError, match="holds no records"):
        render_encoder_images(folder, NUMBER, SIZE, SEED, records=[str(records)])
    save_records([PoseRecord("other:0", random_poses(1, 0)[0] / 4)], records, {})
    with_records = render_encoder_images(folder, NUMBER, SIZE, SEED, records=[str(records)])
    assert with_records["rotvecs"] != images["rotvecs"]
    assert len(list(folder.glob("*.parquet"))) == 2, "images of other poses are other files"


def test_most_people_face_the_camera_and_some_do_not() -> None:
    headings = encoder_headings(4000, np.random.default_rng(0)).numpy()
    facing = np.abs(headings) <= np.radians(MAX_HEADING)
    assert np.mean(facing) == pytest.approx(FACING_SHARE + (1 - FACING_SHARE) * MAX_HEADING / 180, abs=0.03)
    assert np.histogram(headings, bins=8, range=(-np.pi, np.pi))[0].min() > 50, "also from behind"


def test_images_of_nobody_have_no_pose_to_learn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoder_images, "EMPTY_SHARE", 0.5)
    rows = render_encoder_images(tmp_path, NUMBER, SIZE, SEED)
    empty = ~np.array(rows["has_person"])
    assert 0 < empty.sum() < NUMBER
    assert not np.array(rows["visible"])[empty].any()
    assert {text in EMPTY_TEXTS for text, nobody in zip(rows["text"], empty) if nobody} == {True}
    values, person = torch.rand(NUMBER, 22, 3), torch.from_numpy(~empty).float()
    torch.testing.assert_close(mean_of_people(values, person), values[~empty].mean())
    assert mean_of_people(values, torch.zeros(NUMBER)) == 0


def test_visible_joints_are_in_the_image(images: Dataset) -> None:
    joints, visible = np.array(images["joints_2d"]), np.array(images["visible"])
    assert joints.shape == (NUMBER, 22, 2)
    assert ((joints[visible] >= 0) & (joints[visible] < 1)).all()


def test_whole_images_are_unchanged(images: Dataset) -> None:
    batch = EncoderImages(images, SIZE, seed=None).__getitems__(list(range(NUMBER)))
    for pixels, image in zip(batch["images"], images["image"]):
        assert np.array_equal(pixels, np.array(image))
    np.testing.assert_array_equal(batch["joints_2d"], np.array(images["joints_2d"], dtype=np.float32))
    np.testing.assert_array_equal(batch["visible"], np.array(images["visible"]))
    assert batch["texts"] == list(images["text"])


def test_views_follow_from_seed_and_epoch(images: Dataset) -> None:
    def view(seed: int, epoch: int, rows: list[int]) -> np.ndarray:
        dataset = EncoderImages(images, SIZE, seed)
        dataset.set_epoch(epoch)
        return dataset.__getitems__(rows)["images"]

    assert np.array_equal(view(0, 1, [3, 5]), view(0, 1, [5, 3])[::-1])
    assert not np.array_equal(view(0, 1, [3, 5]), view(0, 2, [3, 5]))
    assert not np.array_equal(view(0, 1, [3, 5]), view(1, 1, [3, 5]))


def test_views_move_the_joints_with_the_pixels() -> None:
    """A red square at a joint is still at that joint, whatever the crop, the size and the side."""
    image = np.full((100, 100, 3), 90, dtype=np.uint8)
    joints = np.random.default_rng(0).uniform(0.3, 0.7, (22, 2)).astype(np.float32)
    left, right = JOINT_NAMES.index("left_wrist"), JOINT_NAMES.index("right_wrist")
    x, y = (100 * joints[left]).astype(int)
    image[y - 2 : y + 3, x - 2 : x + 3] = (250, 20, 20)
    stream = io.BytesIO()
    PIL.Image.fromarray(image).save(stream, "PNG")
    row = {
        "image": {"bytes": stream.getvalue(), "path": None},
        "joints_2d": joints,
        "visible": np.ones(22, dtype=bool),
        "rotvecs": random_poses(1, 0)[0],
        "has_person": True,
        "text": "Their left hand is raised.",
    }
    dataset = EncoderImages(Dataset.from_list([row], features=FEATURES), 80, seed=0)
    seen = set()
    for epoch in range(12):
        dataset.set_epoch(epoch)
        batch = dataset.__getitems__([0])
        mirrored = batch["texts"][0] == "Their right hand is raised."
        shown = batch["images"][0].astype(int)
        rows, columns = np.nonzero(shown[..., 0] - shown[..., 1] > 80)
        place = batch["joints_2d"][0, right if mirrored else left]
        np.testing.assert_allclose(80 * place, [columns.mean() + 0.5, rows.mean() + 0.5], atol=1.5)
        expected = row["rotvecs"][left] * ((1.0, -1.0, -1.0) if mirrored else 1.0)
        rotmat = batch["rotmats"][0, right if mirrored else left]
        np.testing.assert_allclose(rotmat, roma.rotvec_to_rotmat(torch.tensor(expected).float()), atol=1e-5)
        seen.add(mirrored)
    assert seen == {True, False}


def test_pixels_are_those_of_the_image_processor(images: Dataset) -> None:
    vision, pose_vision = encoder_configs(EncoderArguments(**SIZES))
    tokenizer = train_text_tokenizer(images["text"], 400)
    processor = image_processor(vision, pose_vision)
    batch = EncoderCollator(processor, tokenizer, pose_vision)(EncoderImages(images, SIZE, None).__getitems__([0, 1]))
    expected = processor(images["image"][:2], return_tensors="pt")
    for name, pixels in expected.items():
        torch.testing.assert_close(batch[name], pixels, atol=1e-5, rtol=0)


def test_cells_say_where_a_joint_is() -> None:
    _, pose_vision = encoder_configs(EncoderArguments(**SIZES))
    pose_vision.image_size = [96, 72]
    rows, columns = patch_grid(pose_vision)
    assert (rows, columns) == (8, 6)
    # The encoder sees the middle 72 of 96 columns: 12 pixels a patch, of which the first begins 2 pixels outside.
    places = torch.tensor(
        [[(12 + 12 * 2 + 4) / 96, (12 * 5 + 4) / 96], [(12 + 12 * 3 - 2) / 96, 46 / 96], [0.02, 0.5]]
    )
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
        train_dataset=EncoderImages(images, SIZE, seed=None),
        data_collator=EncoderCollator(
            image_processor(vision.config, pose_vision.config), tokenizer, pose_vision.config
        ),
    )
    trainer.train()
    logged = [entry for entry in trainer.state.log_history if "loss" in entry]
    for part in ("cell_loss", "place_loss", "joint_distance", "local_joint_distance", "caption_loss"):
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
        "render_size": SIZE,
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


def test_a_patch_knows_the_place_of_its_center() -> None:
    """The encoder's own convolution decides which pixels a patch sees: those around its center, and no others."""
    _, config = encoder_configs(EncoderArguments(**SIZES))
    projection = VitPoseBackbone(config).embeddings.patch_embeddings.projection
    pixels = torch.zeros(1, 3, 96, 96, requires_grad=True)
    patches = projection(pixels).flatten(2)[0]
    for patch, (right, down) in enumerate(96 * patch_centers(config)):
        (seen,) = torch.autograd.grad(patches[:, patch].sum(), pixels, retain_graph=True)
        rows, columns = seen.abs().sum(dim=(0, 1)).nonzero().T
        size_down, size_right = config.patch_size
        assert rows.max() + 1 == down + size_down / 2
        assert columns.max() + 1 == right + size_right / 2

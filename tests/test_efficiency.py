"""What a training step does not compute; and that saving memory or precision changes nothing that must stay."""

from collections.abc import Callable
from functools import wraps
from pathlib import Path

import numpy as np
import pytest
import torch
from distributed_runs import run
from stage_recipes import logged, random_records, weights, write_stages
from tiny_checkpoint import tiny_checkpoint_model, tiny_processor

from unipose import UniPoseForConditionalGeneration, UniPoseModel, UniPoseVQVAE
from unipose.processing.pose_features import rotmat_to_rotation_6d
from unipose.training.datasets.rows import rows_from_records, to_dataset
from unipose.training.sampling.poses import training_motion_poses
from unipose.training.trainer.collator import UniPoseDataCollator
from unipose.training.trainer.prepared_rows import prepare_rows
from unipose.training.trainer.trainable_parts import INSTRUCT, LoraArguments, set_trainable


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("efficiency")
    write_stages(folder)
    return folder


@pytest.fixture(scope="module")
def plain(folder: Path) -> dict[str, int]:
    """A run of the stage in full precision, and how often it has called the expensive functions."""
    calls = {"encode": 0, "get_image_features": 0}

    def counted(method: Callable) -> Callable:
        @wraps(method)
        def call(*args, **kwargs):
            calls[method.__name__] += 1
            return method(*args, **kwargs)

        return call

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(UniPoseVQVAE, "encode", counted(UniPoseVQVAE.encode))
        patch.setattr(UniPoseModel, "get_image_features", counted(UniPoseModel.get_image_features))
        run("instruct", folder, "plain", 4)
    return calls


def test_poses_are_encoded_once_before_training(plain: dict[str, int]) -> None:
    assert plain["encode"] == 1


def test_batches_without_images_do_not_reach_the_encoders(folder: Path, plain: dict[str, int]) -> None:
    """Of the four batches of an epoch two have no image (nine rows), one has four and the last is mixed."""
    assert len(logged(folder / "plain")) == 8
    assert plain["get_image_features"] == 4


def test_bf16_and_checkpointing_through_the_stage(folder: Path, plain: dict[str, int]) -> None:
    run("instruct", folder, "light", 4, "--precision", "bf16", "--activation_checkpointing", "true")
    losses, expected = logged(folder / "light"), logged(folder / "plain")
    assert losses != expected, "it is another precision"
    assert losses[0] == pytest.approx(expected[0], rel=0.02)
    assert losses[-1] < 0.7 * losses[0]
    got, before = weights(folder / "light"), weights(folder / "model")
    assert {value.dtype for name, value in got.items() if "language_model" in name} == {torch.float32}
    assert all(torch.equal(got[name], before[name]) for name in got if "pose_tokenizer" in name)


def test_pose_tokenizer_stage_in_bf16(folder: Path) -> None:
    run("pose_tokenizer", folder, "poses_light", 16, "--precision", "bf16")
    assert all(np.isfinite(logged(folder / "poses_light")))
    assert {value.dtype for value in weights(folder / "poses_light").values()} == {torch.float32, torch.bool}


@pytest.fixture
def model() -> UniPoseForConditionalGeneration:
    return tiny_checkpoint_model(tiny_processor())


def test_codes_and_poses_are_the_same_under_autocast(
    model: UniPoseForConditionalGeneration, monkeypatch: pytest.MonkeyPatch
) -> None:
    pose_tokenizer = model.model.pose_tokenizer
    values = rotmat_to_rotation_6d(training_motion_poses()[::20][:200].float())
    codes, poses = pose_tokenizer.encode(values), pose_tokenizer.decode(pose_tokenizer.encode(values))
    inside: list[torch.Tensor] = []
    encode = pose_tokenizer.encode
    monkeypatch.setattr(
        pose_tokenizer, "encode", lambda *args, **kwargs: inside.append(encode(*args, **kwargs)) or inside[-1]
    )
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        rough = pose_tokenizer.quantizer.nearest(pose_tokenizer.encode_features(values))
        model(torch.full((len(values), model.config.num_pose_tokens), model.config.pose_token_id), pose_values=values)
        decoded = model.decode_pose_codes(codes)
    assert not torch.equal(rough, codes), "features in half precision have other codes"
    assert torch.equal(inside[0], codes)
    assert torch.equal(decoded, poses)


@pytest.mark.parametrize("rank", [None, 2])
def test_activation_checkpointing_keeps_the_gradients(
    model: UniPoseForConditionalGeneration, rank: int | None
) -> None:
    rows = to_dataset(rows_from_records(random_records(), ["text-to-pose", "image-to-pose"], np.random.default_rng(0)))
    collator = UniPoseDataCollator(tiny_processor())
    batch = collator(list(prepare_rows(rows, model, collator).remove_columns("row")))
    trained = set_trainable(model, INSTRUCT, LoraArguments(lora_rank=rank, lora_dropout=0.0)).train()

    def gradients() -> dict[str, torch.Tensor]:
        trained.zero_grad()
        trained(**batch).loss.backward()
        return {name: weight.grad for name, weight in trained.named_parameters() if weight.grad is not None}

    expected = gradients()
    model.activation_checkpointing_enable()
    assert model.model.language_model.is_activation_checkpointing
    got = gradients()
    assert any("multi_modal_projector" in name for name in expected)
    assert got.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(got[name], value, msg=lambda text, name=name: f"{name}: {text}")

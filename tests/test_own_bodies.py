"""The user's own body where millimeters are measured and people are rendered; figures say on which body they are."""

import dataclasses
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from smpl_files import model_arrays, person_arrays, write_model
from test_evaluate import PerfectPipeline, metrics_of

from unipose.processing.body_model import BodyModel, load_body_model, to_body_model
from unipose.processing.rendering import render_pose
from unipose.training.datasets.generation import RecordGenerator
from unipose.training.evaluation.held_out import make_held_out_frames, make_held_out_pairs
from unipose.training.evaluation.metrics import pose_errors
from unipose.training.sampling.poses import held_out_poses, sample_training_poses
from unipose.training.stages import pose_tokenizer
from unipose.training.synthetic_images.rendering import random_image


class ShiftedPipeline(PerfectPipeline):
    """Answers with the poses of other rows."""

    def __call__(self, *args, **kwargs):
        answers = super().__call__(*args, **kwargs)
        poses = [answer["poses"] for answer in answers]
        return [answer | {"poses": other} for answer, other in zip(answers, poses[1:] + poses[:1])]


@pytest.fixture
def smpl(tmp_path: Path) -> Path:
    pytest.importorskip("smplx", reason="the user's SMPL files are posed by smplx, extra `smpl`")
    return write_model(tmp_path / "SMPL_NEUTRAL.npz", model_arrays(24))


def test_a_body_says_its_name(smpl: Path) -> None:
    assert to_body_model(None).title == "built-in body (not SMPL)"
    assert load_body_model(smpl).title == "SMPL (SMPL_NEUTRAL.npz)"
    assert to_body_model(smpl, [0.5, -1.0]).title == "SMPL (SMPL_NEUTRAL.npz), betas [0.5, -1.0]"


def test_millimeters_are_those_of_the_body(smpl: Path, body: BodyModel) -> None:
    """Errors change with the body, statements and answers do not."""
    own = load_body_model(smpl)
    frames = make_held_out_frames(held_out_poses().float()[::60], body, image_size=24, seed=0)
    pairs = make_held_out_pairs(len(frames.poses), body, seed=0)
    training = sample_training_poses(50, 0, body)[0].float()
    pipe = ShiftedPipeline(frames, pairs, body)
    builtin = metrics_of(pipe, frames, pairs, training, body)
    measured = metrics_of(pipe, frames, pairs, training, body, error_body=own)
    for task, results in builtin.items():
        for name, metrics in results.items():
            for metric, value in metrics.items():
                other = measured[task][name][metric]
                if metric.endswith("_mm") and value > 1.0:
                    assert abs(other - value) > 1e-3, (task, name, metric)
                elif not metric.endswith("_mm"):
                    assert other == value, (task, name, metric)
    mean = measured["text-to-pose"]["mean training pose"]["mpjpe_mm"]
    assert mean > 0
    first, second = frames.poses[:1], frames.poses[1:2]
    assert pose_errors(first, second, own) != pose_errors(first, second, body)


def test_a_pose_tokenizer_is_trained_on_the_body(smpl: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another body gives other losses, and the figures name it."""
    losses = {}
    for name, option in (("builtin", []), ("own", ["--body", str(smpl)])):
        arguments = {
            "num_poses": 64, "hidden_size": 16, "codebook_size": 16, "codebook_dim": 8, "num_pose_tokens": 4,
            "samples": 0, "output_dir": tmp_path / name, "max_steps": 2, "per_device_train_batch_size": 8,
            "logging_steps": 1, "report_to": "none",
        }  # fmt: skip
        words = [word for key, value in arguments.items() for word in (f"--{key}", str(value))]
        monkeypatch.setattr("sys.argv", ["pose_tokenizer", *words, *option])
        pose_tokenizer.main()
        text = (tmp_path / name / "held_out_results.json").read_text()
        losses[name] = text
    assert '"built-in body (not SMPL)"' in losses["builtin"]
    assert '"SMPL (SMPL_NEUTRAL.npz)"' in losses["own"]
    assert losses["builtin"] != losses["own"]


def image_bodies(body: BodyModel, folder: Path) -> dict[str, BodyModel]:
    """A larger body, and one in SMPL's format with the surface of the built-in body."""
    larger = BodyModel(body.v_template * 1.3, body.faces, body.joints * 1.3, body.weights)
    pytest.importorskip("smplx", reason="the user's SMPL files are posed by smplx, extra `smpl`")
    return {"larger": larger, "smpl": load_body_model(write_model(folder / "SMPL_NEUTRAL.npz", person_arrays()))}


@pytest.mark.parametrize("name", ["larger", "smpl"])
def test_images_show_the_body(body: BodyModel, tmp_path: Path, name: str) -> None:
    """The corpus's images are of the given body; its words are of the built-in one."""
    generator = RecordGenerator(body, image_size=32)
    other = dataclasses.replace(generator, image_body=image_bodies(body, tmp_path)[name])
    pair = [each.records("image-to-text", 2, np.random.default_rng(0), "a") for each in (generator, other)]
    assert [record.captions for record in pair[0]] == [record.captions for record in pair[1]]
    assert all(torch.equal(torch.tensor(a.rotvecs), torch.tensor(b.rotvecs)) for a, b in zip(*pair))
    assert any(a.image != b.image for a, b in zip(*pair))


def pixels(image: dict) -> np.ndarray:
    return np.asarray(Image.open(BytesIO(image["bytes"])).convert("RGB"), dtype=float)


def test_synthetic_people_of_an_smpl_body_look_like_the_same_surface_elsewhere(
    body: BodyModel, tmp_path: Path
) -> None:
    """Clothes, skirts, shapes and bystanders go by the parts of a body, not by the order of its vertices."""
    own = image_bodies(body, tmp_path)["smpl"]
    poses = held_out_poses().float()[::35]
    same, others = [], []
    for seed, pose in enumerate(poses):
        images = [pixels(random_image(pose, each, 48, np.random.default_rng(seed))) for each in (body, own)]
        same.append(np.abs(images[0] - images[1]).mean())
        different = pixels(random_image(poses[seed - 1], body, 48, np.random.default_rng(seed)))
        others.append(np.abs(images[0] - different).mean())
    assert len(same) > 5
    assert 0 < np.mean(same) < np.mean(others) / 2
    front = [np.asarray(render_pose(poses[0], each, size=64), dtype=float) for each in (body, own)]
    assert 0 < np.abs(front[0] - front[1]).mean() < 6

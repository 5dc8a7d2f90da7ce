"""Words that help pose estimation, and pointing at one of two people: the images, and answers that are known."""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from unipose.processing.body_model import BodyModel
from unipose.training.evaluation import zero_shot
from unipose.training.evaluation.held_out import make_held_out_frames
from unipose.training.evaluation.metrics import mpjpe
from unipose.training.evaluation.zero_shot import (
    MIN_DIFFERENCE,
    SHIRTS,
    Scene,
    evaluate_hints,
    evaluate_pointing,
    make_scenes,
    questions,
    to_markdown,
)
from unipose.training.sampling.poses import held_out_poses


@pytest.fixture(scope="module")
def scenes(body: BodyModel) -> list[Scene]:
    return make_scenes(4, held_out_poses().float(), body, 96, 0)


class Understanding:
    """A model that knows who is meant; or one that always answers with the person in the middle."""

    def __init__(self, scenes: list[Scene], reads: bool):
        self.answers: dict[tuple[int, str], torch.Tensor] = {}
        for scene in scenes:
            for index in (0, 1):
                chosen = index if reads else scene.central
                for text in questions(scene, index).values():
                    self.answers[id(scene.image), text] = scene.poses[chosen]

    def __call__(self, text: list[str], images: list[Any], **options: Any) -> list[dict[str, Any]]:
        assert options["task"] == "image-to-pose"
        return [{"poses": [self.answers[id(image), line]]} for image, line in zip(images, text)]


def columns_of(image: Image.Image, channel: int) -> np.ndarray:
    """The columns of the pixels in which one channel is far above the others."""
    pixels = np.asarray(image.convert("RGB")).astype(int)
    others = np.delete(pixels, channel, axis=-1).max(axis=-1)
    return np.nonzero(pixels[..., channel] > 1.4 * others)[1]


def test_two_people_stand_side_by_side(body: BodyModel, monkeypatch: pytest.MonkeyPatch) -> None:
    """Their shirts are found in the image in the order of the scene; the middle one is in the middle."""
    monkeypatch.setattr(zero_shot, "SHIRTS", {name: SHIRTS[name] for name in ("red", "blue")})
    made = make_scenes(4, held_out_poses().float(), body, 96, 0)
    for scene in made:
        joints = body.forward_joints(scene.poses)
        assert mpjpe(joints[:1], joints[1:], (0,)).item() >= MIN_DIFFERENCE
        columns = [columns_of(scene.image, {"red": 0, "blue": 2}[color]) for color in scene.shirts]
        assert min(len(each) for each in columns) > 30
        left, right = (float(np.median(each)) for each in columns)
        assert left < right
        middle = (left, right)[scene.central]
        assert abs(middle - 48) == min(abs(left - 48), abs(right - 48))
    assert [scene.central for scene in made] == [0, 1, 0, 1]
    again = make_scenes(1, held_out_poses().float(), body, 96, 0)[0]
    assert np.array_equal(np.asarray(again.image), np.asarray(made[0].image))


def test_pointing_counts_who_is_meant(scenes: list[Scene], body: BodyModel) -> None:
    right = evaluate_pointing(Understanding(scenes, reads=True), scenes, body, 3)
    assert {kind: {name: all(rows) for name, rows in people.items()} for kind, people in right.items()} == {
        kind: {"central person": True, "other person": True} for kind in ("position", "clothes")
    }
    ignores = evaluate_pointing(Understanding(scenes, reads=False), scenes, body, 3)
    for people in ignores.values():
        assert people == {"central person": [True] * 4, "other person": [False] * 4}
    table = to_markdown({}, ignores)
    assert "| position | both | 8 | 50.0 | 22 to 78 |" in table


def test_hints_are_added_to_the_question(body: BodyModel) -> None:
    frames = make_held_out_frames(held_out_poses()[::100].float()[:3], body, 48, 0)
    asked: list[str] = []

    def pipe(text: list[str], images: list[Any], **options: Any) -> list[dict[str, Any]]:
        asked.extend(text)
        own = [f"Estimate the pose. {caption.text}" for caption in frames.captions]
        # Right only where its own description is given.
        return [
            {"poses": [frames.camera_poses[row] if line == own[row] else frames.camera_poses[row].flip(0)]}
            for row, line in enumerate(text)
        ]

    results = evaluate_hints(pipe, frames, body, 3, 0)
    assert asked[:3] == ["Estimate the pose."] * 3
    assert results["description"]["mpjpe_mm"] == pytest.approx(0.0, abs=1e-3)
    assert results["no words"]["mpjpe_mm"] > 1
    assert results["description of another image"]["mpjpe_mm"] > 1


def test_the_command(
    tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--model", str(tiny_checkpoint), "--output", str(tmp_path), "--frames", "2", "--scenes", "2"]
    monkeypatch.setattr(sys, "argv", ["zero_shot", *options])
    zero_shot.main()
    result = json.loads((tmp_path / "zero_shot.json").read_text("utf-8"))
    assert set(result["hints"]) == {"no words", "description", "description of another image"}
    assert len(result["pointing"]["clothes"]["other person"]) == 2
    assert "| pointing by | person | questions |" in capsys.readouterr().out

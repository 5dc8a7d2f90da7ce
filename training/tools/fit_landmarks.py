"""Fits the linear map that corrects MediaPipe's landmarks, on rendered people of known pose.

    python -m unipose.training.tools.fit_landmarks [--model viewer/mediapipe/pose_landmarker_full.task]

It writes modeling_unipose/photo_correction.py and viewer/src/photo/correction.json, which are the same map for Python
and for browsers; `npm run build` in viewer/ follows. The people have poses of the training clips and of one half of
the named poses: the other half and the held-out clips are those of benchmarks/photos.py.
"""

import argparse
import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from unipose import MediapipeEstimator
from unipose.photo_landmarks import USED, join_landmarks
from unipose.processing.body_model import BodyModel
from unipose.processing.keypoint_positions import place_keypoints
from unipose.processing.keypoint_skeletons import SKELETONS
from unipose.processing.pose_frames import CAMERA_TO_Z_UP, NUM_JOINTS
from unipose.training.geometry import rotate_heading, swap_sides
from unipose.training.named_poses.archetypes import ARCHETYPES
from unipose.training.sampling.poses import (
    HELD_OUT_CLIPS,
    MotionPoses,
    PoseSampler,
    SourceShares,
    load_motion_clips,
    training_clips,
)
from unipose.training.synthetic_images.random_styles import random_style
from unipose.training.synthetic_images.rendering import pose_person, render_image
from unipose.training.synthetic_images.style import Framing, ImageStyle


VIEWS = {"front": 0.0, "three-quarter": 45.0, "side": 90.0, "back": 180.0}
# By set: the seed of its poses.
SEEDS = {"tune": 1, "test": 7}
MODEL = Path("viewer/mediapipe/pose_landmarker_full.task")
MAX_ELEVATION = 12.0
SIZE = 512
# Strength of the pull to no correction, as a share of the number of rows; points have the mean length 1.
RIDGE = 0.1
STEPS = 127
ROOT = Path(__file__).parents[2]
MIRROR = (-1.0, 1.0, 1.0)

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class RenderedPerson:
    """A person whose pose is known.

    Args:
        pose: (22, 3, 3) as the camera sees it.
        joints: (22, 3) of the rendered body in meters, y up.
        image: RGB.
    """

    pose: torch.Tensor
    joints: np.ndarray
    image: Image.Image


def sample_poses(name: str, count: int, body: BodyModel) -> torch.Tensor:
    """(count, 22, 3, 3) poses of a set, heading removed.

    Args:
        name: a key of `SEEDS`.
        count: number of poses.
        body: the body for which they must be plausible.
    """
    is_test = name == "test"
    clips = [clip for clip in load_motion_clips() if clip.name in HELD_OUT_CLIPS] if is_test else training_clips()
    sampler = PoseSampler.load(body, SEEDS[name], MotionPoses.by_variety(clips, body))
    allowed = {side for own in list(ARCHETYPES)[0 if is_test else 1 :: 2] for side in (own, swap_sides(own))}
    rows = [row for row, own in enumerate(sampler.names) if own in allowed]
    sampler = replace(sampler, names=tuple(sampler.names[row] for row in rows), named=sampler.named[rows])
    return torch.cat([sampler.draw(source, number)[0] for source, number in SourceShares().counts(count).items()])


def person_style(rng: np.random.Generator) -> ImageStyle:
    """A random style that shows the whole person, alone, from a level camera."""
    style = random_style(rng)
    right, down = style.framing.shift
    framing = Framing(fill=min(style.framing.fill, 0.95), shift=(right / 2, down / 2))
    camera = replace(style.camera, elevation=float(rng.uniform(0.0, MAX_ELEVATION)), roll=0.0)
    return replace(style, framing=framing, occluders=(), camera=camera)


def render_people(name: str, poses: torch.Tensor, view: str, body: BodyModel) -> Iterator[RenderedPerson]:
    """Renders poses from one view, from the left or from the right.

    Args:
        name: a key of `SEEDS`.
        poses: (n, 22, 3, 3), heading removed.
        view: a key of `VIEWS`.
        body: the body to reshape and pose.
    """
    for number, pose in enumerate(poses):
        rng = np.random.default_rng([number, list(VIEWS).index(view), list(SEEDS).index(name)])
        style = person_style(rng)
        yaw = np.radians(VIEWS[view]) * (1 if rng.random() < 0.5 else -1)
        seen = rotate_heading(pose[None], torch.tensor([yaw]))[0]
        image = render_image(seen, style, SIZE, body).image.convert("RGB")
        yield RenderedPerson(seen, pose_person(seen, style, body).joints, image)


def true_places(pose: torch.Tensor, body: BodyModel) -> Array:
    """(19, 3): the used keypoints of a pose on a body, from the middle of the hips, in MediaPipe's axes.

    Args:
        pose: (22, 3, 3) in the stored frame.
        body: the body.
    """
    points = place_keypoints(pose[None].double(), body.joints[:NUM_JOINTS].double(), "mediapipe")
    points = points[0, list(USED)].numpy() @ np.asarray(CAMERA_TO_Z_UP)
    hips = [USED.index(row) for row in (23, 24)]
    return points - points[hips].mean(axis=0)


def fit_correction(given: Array, true: Array) -> Array:
    """(57, 57): ridge regression of what is missing to the true places, the same for both sides of the body.

    Args:
        given: (n, 19, 3) places without a correction.
        true: (n, 19, 3).
    """
    names = [SKELETONS["mediapipe"].names[row] or "" for row in USED]
    sides = [names.index(swap_sides(own)) for own in names]
    given = given / np.linalg.norm(given, axis=-1).mean(axis=1)[:, None, None]
    rows = np.concatenate([given, given[:, sides] * MIRROR]).reshape(2 * len(given), -1)
    wanted = np.concatenate([true, true[:, sides] * MIRROR]).reshape(2 * len(true), -1)
    size = (rows * wanted).sum() / (rows * rows).sum()
    penalty = RIDGE * len(rows) * np.eye(rows.shape[1])
    return np.linalg.solve(rows.T @ rows + penalty, rows.T @ (wanted / size - rows))


def write_correction(correction: Array) -> None:
    """Writes a map in steps of one byte for Python and for browsers.

    Args:
        correction: (57, 57).
    """
    scale = float(f"{np.abs(correction).max() / STEPS:.6f}") + 1e-6
    data = base64.b64encode(np.round(correction / scale).astype(np.int8).tobytes()).decode()
    lines = "\n".join(f'    "{data[start : start + 110]}"' for start in range(0, len(data), 110))
    note = '"""The map of `photo_landmarks`; training/tools/fit_landmarks.py writes it."""'
    python = f"{note}\n\nSCALE = {scale:.6f}\nCORRECTION = (\n{lines}\n)\n"
    (ROOT / "modeling_unipose" / "photo_correction.py").write_text(python, encoding="utf-8")
    text = json.dumps({"scale": round(scale, 6), "data": data}, indent=1)
    (ROOT / "viewer" / "src" / "photo" / "correction.json").write_text(text + "\n", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=MODEL, help="default: %(default)s")
    parser.add_argument("--count", type=int, default=100, help="people of each view; default: %(default)s")
    arguments = parser.parse_args()
    body, estimator = BodyModel.builtin(), MediapipeEstimator(arguments.model)
    poses = sample_poses("tune", arguments.count, body)
    given, true = [], []
    for view in VIEWS:
        people = list(render_people("tune", poses, view, body))
        for person, found in zip(people, estimator.find([person.image for person in people])):
            if found is not None:
                given.append(join_landmarks(found.world, found.image, person.image.size)[list(USED)])
                true.append(true_places(person.pose, body))
    write_correction(fit_correction(np.stack(given), np.stack(true)))
    print(f"fitted to {len(given)} of {arguments.count * len(VIEWS)} people")


if __name__ == "__main__":
    main()

"""Fits the small network that corrects MediaPipe's landmarks, on rendered people of known pose.

    python -m unipose.training.tools.fit_landmarks [--models viewer/mediapipe] [--count 600]

It writes modeling_unipose/photo_correction.py and viewer/src/photo/correction.json, which are the same network for
Python and for browsers; `npm run build` in viewer/ follows. The people have poses of the training clips and of one
half of the named poses: the other half and the held-out clips are those of benchmarks/photos.py. They are seen from
all around. Each is looked at by the model for photos, in the image and its mirror image, and by that for webcams.
"""

import argparse
import base64
import json
from collections.abc import Iterator, Sequence
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
MODELS = Path("viewer/mediapipe")
PHOTO_MODEL, WEBCAM_MODEL = "pose_landmarker_heavy.task", "pose_landmarker_full.task"
MAX_ELEVATION = 12.0
SIZE = 512
# Half the range of views around one of `VIEWS`, in degrees, for people to whom the network is fitted.
VIEW_RANGE = 22.5
HIDDEN_UNITS = 64
# Of the linear map from which the fit starts: the pull to no correction, as a share of the number of rows, whose
# points have the mean length 1.
RIDGE = 0.1
# Of the fit: noise of the points, passes over the rows, rows of a step, learning rate and weight decay.
NOISE, EPOCHS, BATCH, LEARNING_RATE, DECAY = 0.03, 40, 256, 1e-3, 1e-2
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


def render_people(
    name: str, poses: torch.Tensor, view: str, body: BodyModel, view_range: float = 0.0
) -> Iterator[RenderedPerson]:
    """Renders poses from one view, from the left or from the right.

    Args:
        name: a key of `SEEDS`.
        poses: (n, 22, 3, 3), heading removed.
        view: a key of `VIEWS`.
        body: the body to reshape and pose.
        view_range: largest turn away from the view, in degrees.
    """
    for number, pose in enumerate(poses):
        rng = np.random.default_rng([number, list(VIEWS).index(view), list(SEEDS).index(name)])
        style = person_style(rng)
        yaw = np.radians(VIEWS[view]) * (1 if rng.random() < 0.5 else -1)
        yaw += np.radians(rng.uniform(-view_range, view_range))
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


def add_mirrored(points: Array) -> Array:
    """(2 n, 57): used keypoints and those of the mirrored people.

    Args:
        points: (n, 19, 3).
    """
    names = [SKELETONS["mediapipe"].names[row] or "" for row in USED]
    sides = [names.index(swap_sides(own)) for own in names]
    return np.concatenate([points, points[:, sides] * MIRROR]).reshape(2 * len(points), -1)


def fit_correction(given: Array, true: Array, seed: int = 0) -> tuple[Array, Array]:
    """The weights of `photo_landmarks.correction`.

    They start as ridge regression without hidden units, and are then trained to bring the points nearer.

    Args:
        given: (n, 19, 3) places without a correction.
        true: (n, 19, 3).
        seed: of the first weights, the order of the rows and the noise.
    """
    rows = add_mirrored(given / np.linalg.norm(given, axis=-1).mean(axis=1)[:, None, None])
    wanted = add_mirrored(true)
    wanted /= (rows * wanted).sum() / (rows * rows).sum()
    penalty = RIDGE * len(rows) * np.eye(rows.shape[1])
    linear = np.linalg.solve(rows.T @ rows + penalty, rows.T @ (wanted - rows))
    generator = torch.Generator().manual_seed(seed)
    hidden = torch.randn(rows.shape[1] + 1, HIDDEN_UNITS, generator=generator) * rows.shape[1] ** -0.5
    hidden[-1] = 0.0
    output = torch.zeros(HIDDEN_UNITS + rows.shape[1] + 1, rows.shape[1])
    output[HIDDEN_UNITS:-1] = torch.from_numpy(linear)
    train_correction([hidden, output], torch.from_numpy(rows).float(), torch.from_numpy(wanted).float(), generator)
    return hidden.detach().double().numpy(), output.detach().double().numpy()


def train_correction(
    weights: Sequence[torch.Tensor], rows: torch.Tensor, wanted: torch.Tensor, generator: torch.Generator
) -> None:
    """Trains weights in place.

    Args:
        weights: the hidden units' and the output's, as in `photo_landmarks.correction`.
        rows: (n, 57) places.
        wanted: (n, 57) places.
        generator: source of all randomness.
    """
    hidden, output = (weight.requires_grad_() for weight in weights)
    optimizer = torch.optim.AdamW([hidden, output], weight_decay=DECAY)
    steps = EPOCHS * len(rows) // BATCH
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, total_steps=steps)
    for _ in range(steps):
        batch = torch.randint(len(rows), (BATCH,), generator=generator)
        given = rows[batch] + NOISE * torch.randn(BATCH, rows.shape[1], generator=generator)
        seen = torch.nn.functional.pad(given, (0, 1), value=1.0)
        placed = given + torch.cat([(seen @ hidden).relu(), seen], dim=1) @ output
        loss = (placed - wanted[batch]).reshape(BATCH, -1, 3).norm(dim=-1).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()


def pack_weights(weights: Array) -> tuple[float, str]:
    """Weights in steps of one byte: the size of a step, and base64.

    Args:
        weights: any shape.
    """
    scale = float(f"{np.abs(weights).max() / STEPS:.6f}") + 1e-6
    return round(scale, 6), base64.b64encode(np.round(weights / scale).astype(np.int8).tobytes()).decode()


def write_correction(hidden: Array, output: Array) -> None:
    """Writes a network for Python and for browsers.

    Args:
        hidden: (58, h).
        output: (h + 58, 57).
    """
    packed = {"hidden": pack_weights(hidden), "output": pack_weights(output)}
    lines = ['"""The network of `photo_landmarks`; training/tools/fit_landmarks.py writes it."""', ""]
    for name, (scale, data) in packed.items():
        lines += [f"{name.upper()}_SCALE = {scale:.6f}", f"{name.upper()} = ("]
        lines += [*(f'    "{data[start : start + 110]}"' for start in range(0, len(data), 110)), ")"]
    (ROOT / "modeling_unipose" / "photo_correction.py").write_text("\n".join(lines) + "\n", encoding="utf-8")
    text = json.dumps({name: {"scale": scale, "data": data} for name, (scale, data) in packed.items()}, indent=1)
    (ROOT / "viewer" / "src" / "photo" / "correction.json").write_text(text + "\n", encoding="utf-8")


def collect_places(poses: torch.Tensor, view: str, estimators: Sequence[MediapipeEstimator]) -> tuple[Array, Array]:
    """(n, 19, 3): places that estimators give for rendered people, and (n, 19, 3): the true ones.

    Args:
        poses: (people, 22, 3, 3).
        view: a key of `VIEWS`.
        estimators: all that look at the images.
    """
    body = BodyModel.builtin()
    given, true = [], []
    people = list(render_people("tune", poses, view, body, VIEW_RANGE))
    for estimator in estimators:
        for person, found in zip(people, estimator.find([person.image for person in people])):
            if found is not None:
                given.append(join_landmarks(found.world, found.image, person.image.size)[list(USED)])
                true.append(true_places(person.pose, body))
    return np.stack(given), np.stack(true)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=Path, default=MODELS, help="folder; default: %(default)s")
    parser.add_argument("--count", type=int, default=600, help="people; default: %(default)s")
    arguments = parser.parse_args()
    estimators = [
        MediapipeEstimator(arguments.models / PHOTO_MODEL),
        MediapipeEstimator(arguments.models / WEBCAM_MODEL, mirrored=False),
    ]
    poses = sample_poses("tune", arguments.count, BodyModel.builtin())
    parts = []
    for number, view in enumerate(VIEWS):
        parts.append(collect_places(poses[number :: len(VIEWS)], view, estimators))
        print(f"{view}: landmarks of {len(parts[-1][0])} people", flush=True)
    write_correction(*fit_correction(*map(np.concatenate, zip(*parts))))


if __name__ == "__main__":
    main()

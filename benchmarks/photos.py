"""Error of poses that MediaPipe's landmarks and inverse kinematics give for rendered people of known pose.

    python benchmarks/photos.py [--model viewer/mediapipe/pose_landmarker_heavy.task] [--count 80] [--set test]

People wear clothes and stand before backgrounds as in the training images, seen whole by a camera at eye level. The
poses of the set `test` come from the held-out motion clips and one half of the named poses; those of `tune`, to which
training/tools/fit_landmarks.py fits the correction, from the training clips and the other half. "Keypoints" are
twelve joints of the limbs, against those of the rendered body, with the hips in one place and the same mean size;
"fitted" are the same joints of the fitted pose, and MPJPE and PA-MPJPE those of 22 joints, both on the built-in body.
"""

import argparse
import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from measure import print_machine, print_table

from unipose import MediapipeEstimator
from unipose.photo_landmarks import place_landmarks
from unipose.processing.body_model import BodyModel
from unipose.processing.keypoint_skeletons import SKELETONS
from unipose.processing.pose_features import pose_to_rotmats
from unipose.processing.pose_frames import JOINT_NAMES
from unipose.training.evaluation.metrics import pa_mpjpe
from unipose.training.tools.fit_landmarks import (
    MODELS,
    PHOTO_MODEL,
    SEEDS,
    VIEWS,
    RenderedPerson,
    render_people,
    sample_poses,
)


PARTS = ("hip", "knee", "ankle", "shoulder", "elbow", "wrist")
LIMBS = [f"{side}_{part}" for part in PARTS for side in ("left", "right")]
LANDMARKS = [SKELETONS["mediapipe"].names.index(name) for name in LIMBS]
JOINTS = [JOINT_NAMES.index(name) for name in LIMBS]
# Landmarks below it were left out before the correction.
MIN_VISIBILITY = 0.5
TRUNK = (11, 12, 23, 24)


def limb_errors(landmarks: np.ndarray, joints: np.ndarray) -> np.ndarray:
    """(12,) millimeters between landmarks and joints, with the hips in one place and the same mean size.

    Args:
        landmarks: (33, 3+) as MediaPipe gives them.
        joints: (22, 3) y up.
    """
    given, true = landmarks[LANDMARKS, :3] * (1, -1, -1), joints[JOINTS]
    given, true = (each - each[:2].mean(axis=0) for each in (given, true))
    size = np.linalg.norm(true, axis=-1).sum() / np.linalg.norm(given, axis=-1).sum()
    return 1000 * np.linalg.norm(size * given - true, axis=-1)


def world_keypoints(world: np.ndarray, visibility: np.ndarray) -> np.ndarray:
    """(33, 4): the world landmarks as they are, without those that are not seen.

    Args:
        world: (33, 3).
        visibility: (33,).
    """
    counts = visibility >= MIN_VISIBILITY
    counts[list(TRUNK)] = True
    return np.column_stack([world, counts])


def pose_errors(keypoints: np.ndarray, pose: torch.Tensor, body: BodyModel) -> list[float]:
    """Millimeters of the fitted pose: twelve joints with the hips in one place, MPJPE, PA-MPJPE.

    Args:
        keypoints: (33, 4).
        pose: (22, 3, 3) the true one.
        body: the body on which they are compared.
    """
    pair = torch.stack([pose_to_rotmats({"keypoints_3d": keypoints, "skeleton": "mediapipe"}), pose])
    fitted, true = body.forward_joints(pair.double())
    limbs = [each[JOINTS] - each[JOINTS[:2]].mean(dim=0) for each in (fitted, true)]
    errors = [1000 * (limbs[0] - limbs[1]).norm(dim=-1).mean(), 1000 * (fitted - true).norm(dim=-1).mean()]
    return [*map(float, errors), float(pa_mpjpe(fitted[None], true[None]).mean())]


def measure_view(
    people: Iterator[RenderedPerson], estimator: MediapipeEstimator, body: BodyModel
) -> list[list[float]]:
    """The share of people that are found, and errors in millimeters; with world landmarks alone, and with all.

    Args:
        people: the people.
        estimator: finds their landmarks.
        body: the body on which poses are compared.
    """
    everyone = list(people)
    plain, corrected = [], []
    for person, found in zip(everyone, estimator.find([person.image for person in everyone])):
        if found is not None:
            before = world_keypoints(found.world, found.visibility)
            after = place_landmarks(found.world, found.image, person.image.size)
            for keypoints, rows in ((before, plain), (after, corrected)):
                rows.append([limb_errors(keypoints, person.joints).mean(), *pose_errors(keypoints, person.pose, body)])
    return [[len(rows) / len(everyone), *np.mean(rows, axis=0)] for rows in (plain, corrected)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=MODELS / PHOTO_MODEL, help="default: %(default)s")
    parser.add_argument("--count", type=int, default=80, help="people of each view; default: %(default)s")
    parser.add_argument("--set", choices=SEEDS, default="test", help="default: %(default)s")
    arguments = parser.parse_args()
    logging.disable(logging.WARNING)
    print_machine()
    body, estimator = BodyModel.builtin(), MediapipeEstimator(arguments.model)
    poses = sample_poses(arguments.set, arguments.count, body)
    rows = []
    for view in VIEWS:
        people = render_people(arguments.set, poses, view, body)
        for name, (found, *errors) in zip(("world landmarks", "corrected"), measure_view(people, estimator, body)):
            rows.append([view, name, f"{100 * found:.0f}", *(f"{error:.0f}" for error in errors)])
    columns = ["view", "keypoints", "found, %", "keypoints, mm", "fitted, mm", "MPJPE, mm", "PA-MPJPE, mm"]
    print_table(columns, rows)


if __name__ == "__main__":
    main()

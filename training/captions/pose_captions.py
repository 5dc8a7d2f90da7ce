"""Texts straight from poses: descriptions of poses, and instructions or differences between two poses."""

import numpy as np
import numpy.typing as npt
import torch

from unipose.processing.body_model import BodyModel
from unipose.processing.pose_features import NUM_JOINTS, pose_to_rotmats
from unipose.training.captions.describe import describe
from unipose.training.captions.instruct import Style, check_style, instruct
from unipose.training.captions.paircodes import extract_paircodes
from unipose.training.captions.posecodes import extract_posecodes


SHAPE = (NUM_JOINTS, 3, 3)


def describe_poses(rotmats: npt.ArrayLike | torch.Tensor, seed: int = 0) -> list[str]:
    """Describes poses in English. All statements hold on the built-in body.

    Args:
        rotmats: (n, 22, 3, 3) rotation matrices in the stored z-up frame.
        seed: seed of the wording; a pose at the same index gets the same text for the same seed.

    Returns:
        n descriptions.

    Raises:
        ValueError: another shape, a NaN or an infinity, or a matrix that is not a rotation.
    """
    poses = _read_poses("rotmats", rotmats)
    codes = extract_posecodes(_joints(poses), rotmats=poses)
    texts = []
    for index, pose_codes in enumerate(codes):
        text = describe(pose_codes, np.random.default_rng((seed, index))).text
        # If random omission dropped every statement, all are kept.
        texts.append(text or describe(pose_codes, np.random.default_rng((seed, index)), drop=0.0).text)
    return texts


def compare_poses(
    first: npt.ArrayLike | torch.Tensor,
    second: npt.ArrayLike | torch.Tensor,
    style: Style = "instruction",
    seed: int = 0,
) -> list[str]:
    """Writes what changes from each first pose to the second one. Changes of the body's heading are left out.

    Args:
        first: (n, 22, 3, 3) rotation matrices in the stored z-up frame.
        second: (n, 22, 3, 3), as many.
        style: "instruction" addresses the person of the first pose, "difference" compares the two poses.
        seed: seed of the wording; a pair at the same index gets the same text for the same seed.

    Returns:
        n texts.

    Raises:
        ValueError: another shape or style, different numbers of poses, a NaN or an infinity, or a matrix that is not
            a rotation.
    """
    check_style(style)
    poses = _read_poses("first", first), _read_poses("second", second)
    if len(poses[0]) != len(poses[1]):
        raise ValueError(
            f"got {len(poses[0])} first and {len(poses[1])} second poses; expected one pair for each text"
        )
    codes = extract_paircodes(*map(_joints, poses), rotmats=poses)
    return [
        instruct(pair_codes, np.random.default_rng((seed, index)), style=style).text
        for index, pair_codes in enumerate(codes)
    ]


def _read_poses(name: str, rotmats: npt.ArrayLike | torch.Tensor) -> torch.Tensor:
    poses = rotmats if isinstance(rotmats, torch.Tensor) else np.asarray(rotmats)
    if poses.ndim != 4 or tuple(poses.shape[1:]) != SHAPE:
        raise ValueError(f"{name}: got the shape {tuple(poses.shape)}; expected (n, {', '.join(map(str, SHAPE))})")
    read = [pose_to_rotmats(pose, f"{name}, pose {number}", "z_up") for number, pose in enumerate(poses, start=1)]
    return torch.stack(read) if read else torch.zeros(0, *SHAPE)


def _joints(poses: torch.Tensor) -> npt.NDArray[np.float32]:
    return BodyModel.builtin().forward_joints(poses).numpy()

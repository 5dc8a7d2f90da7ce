"""What a pose must be: finite numbers, rotations, in radians, in the stated frame."""

import logging
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from .pose_frames import JOINT_NAMES, NUM_JOINTS, PARENTS, Frame
from .rotations import nearest_rotation, rotmat_to_rotvec


logger = logging.getLogger(__name__)

ACCEPTED_FORMS = (
    "rotation matrices (22, 3, 3) or SMPL's (24, 3, 3); axis-angle in radians (22, 3), (66,), SMPL (24, 3) or (72,), "
    "SMPL-H (156,), SMPL-X (165,); 6D, the first two rows, (22, 6), (132,), (24, 6) or (144,); a dict of rotmats, "
    "global_orient + body_pose, root_orient + pose_body, poses, full_pose, pose, smpl_thetas, rotation_6d, "
    "rotation_6d_columns or rotation_6d_interleaved, HMR2's or GVHMR's, or keypoints_3d + skeleton; the path of an "
    ".npz, .npy, .json, .pt or .bvh file of these, with a frame number: clip.npz:120"
)

# Rotations rounded to bfloat16 deviate by 4e-3 and are projected. A larger deviation is an error.
MAX_DEVIATION = 1e-2
# A little over a whole turn, in radians: some recordings wind up to it. In degrees most poses are beyond it.
MAX_ANGLE = 6.5

# Lengths of the bones from each joint's parent in meters, of an average body. Only their proportions are used.
_BONES = (
    *(0.11, 0.11, 0.12, 0.38, 0.38, 0.14, 0.41, 0.41, 0.06, 0.14, 0.14),
    *(0.21, 0.13, 0.13, 0.09, 0.12, 0.12, 0.26, 0.26, 0.25, 0.25),
)
_LIMBS = tuple(
    JOINT_NAMES.index(f"{side}_{joint}") - 1
    for joint in ("knee", "ankle", "elbow", "wrist")
    for side in ("left", "right")
)
# Knees bend about +x, left elbows about -y, right ones about +y.
_HINGES = {"left_knee": (0, 1), "right_knee": (0, 1), "left_elbow": (1, -1), "right_elbow": (1, 1)}
# Radians by which a hinge must bend backward, and may at most bend forward, before a pose looks transposed.
_BACKWARD, _FORWARD = math.radians(30), math.radians(15)


def to_values(data: Any, name: str) -> torch.Tensor:
    """Numbers in any container as a float64 tensor.

    Args:
        data: An array, a tensor or nested lists.
        name: Name of this input in error messages.

    Raises:
        ValueError: It does not hold real numbers.
    """
    if isinstance(data, torch.Tensor):
        values = data.detach()
        if values.layout != torch.strided or values.is_quantized or values.is_meta:
            raise ValueError(f"{name}: got a sparse, quantized or meta tensor; expected a dense one")
        values = values.cpu()
    else:
        try:
            array = np.asarray(data)
        except Exception as error:  # numpy calls methods of user objects, which may raise anything
            raise ValueError(f"{name}: this list is not an array of numbers; accepted: {ACCEPTED_FORMS}") from error
        if array.dtype.kind not in "fiu":
            got = type(data).__name__ if array.ndim == 0 else f"values of type {array.dtype}"
            raise ValueError(f"{name}: expected numbers, got {got}; accepted: {ACCEPTED_FORMS}")
        if np.ma.is_masked(data):
            raise ValueError(f"{name}: expected numbers, got masked values")
        with np.errstate(over="ignore"):
            values = torch.from_numpy(array.astype(np.float64))
    if values.is_complex() or values.dtype == torch.bool:
        raise ValueError(f"{name}: expected real numbers, got {values.dtype}")
    return values.double()


def check_finite(values: torch.Tensor, name: str) -> None:
    """Checks that there is no NaN and no infinity.

    Args:
        values: Numbers.
        name: Name of this input in error messages.

    Raises:
        ValueError: There is one.
    """
    finite = values.isfinite()
    if not finite.all():
        raise ValueError(f"{name}: it holds {int((~finite).sum())} NaN or infinite values")


def check_rotvecs(rotvecs: torch.Tensor, names: Sequence[str]) -> None:
    """Checks rotation vectors in radians.

    Args:
        rotvecs: (n, 22, 3).
        names: Name of each pose in error messages.

    Raises:
        ValueError: A NaN or an infinity, joint positions, or a vector longer than `MAX_ANGLE`.
    """
    angles = rotvecs.double().norm(dim=-1)
    good = (angles <= MAX_ANGLE).all(dim=-1) & ~are_positions(rotvecs)
    if good.all():
        return
    first = int(good.double().argmin())
    pose, name = rotvecs[first], names[first]
    check_finite(pose, name)
    if are_positions(pose):
        raise ValueError(
            f"{name}: these are joint positions (their distances are those of a body's bones); expected rotations, "
            "not positions"
        )
    raise ValueError(
        f"{name}: the axis-angle vector of {name_joint(angles[first])} is {angles[first].max():.4g} long; expected "
        f"radians, at most {MAX_ANGLE:g} (about 2 pi). Is it in degrees?"
    )


def are_positions(vectors: torch.Tensor) -> torch.Tensor:
    """Whether (..., 22, 3) vectors are positions of the joints of a body, in any unit.

    Returns:
        (...) booleans: every bone has about its length, and both sides are alike.
    """
    vectors = vectors.double()
    lengths = (vectors[..., 1:, :] - vectors[..., PARENTS[1:NUM_JOINTS], :]).norm(dim=-1)
    ratios = lengths / lengths.new_tensor(_BONES)
    scale = ratios[..., _LIMBS].median(dim=-1, keepdim=True).values
    ratios = ratios / scale.clamp_min(1e-12)
    limbs = ratios[..., _LIMBS]
    left, right = limbs[..., 0::2], limbs[..., 1::2]
    alike = ((left - right).abs() <= 0.2 * torch.maximum(left, right)).all(dim=-1)
    in_range = ((ratios >= 0.2) & (ratios <= 4.0)).all(dim=-1)
    limbs_in_range = ((limbs >= 0.6) & (limbs <= 1.6)).all(dim=-1)
    # In meters, centimeters or millimeters.
    in_a_unit = ((scale >= 0.4) & (scale <= 2.0)) | (scale >= 40.0)
    return alike & in_range & limbs_in_range & in_a_unit[..., 0]


def check_rotation_6d(rows: torch.Tensor, names: Sequence[str], order: str) -> None:
    """Checks that 6 numbers are two rows, or columns, of a rotation.

    Args:
        rows: (n, 22, 2, 3).
        names: Name of each pose in error messages.
        order: What the two vectors are: "rows" or "columns".

    Raises:
        ValueError: They deviate from two orthogonal unit vectors by more than `MAX_DEVIATION`.
    """
    deviations = _deviation(rows)
    if not (deviations > MAX_DEVIATION).any():
        return
    first = _first_bad(deviations)
    rows, deviation, name = rows[first], deviations[first], names[first]
    interleaved = rows.flatten(-2).unflatten(-1, (3, 2)).mT
    hint = ""
    if _deviation(interleaved).max() <= MAX_DEVIATION:
        hint = ". They are the first two columns, interleaved: pass {'rotation_6d_interleaved': ...}"
    raise ValueError(
        f"{name}: the 6 numbers of {name_joint(deviation)} are not the first two {order} of a rotation: they deviate "
        f"from orthogonal unit {order} by {deviation.max():.3g}, at most {MAX_DEVIATION:g} is accepted{hint}"
    )


def project_rotmats(rotmats: torch.Tensor, names: Sequence[str]) -> torch.Tensor:
    """The nearest rotations.

    Args:
        rotmats: (n, 22, 3, 3), finite.
        names: Name of each pose in error messages.

    Raises:
        ValueError: A matrix deviates from a rotation by more than `MAX_DEVIATION`, or is a reflection.
    """
    deviations = _deviation(rotmats)
    if (deviations > MAX_DEVIATION).any():
        first = _first_bad(deviations)
        deviation = deviations[first]
        raise ValueError(
            f"{names[first]}: the matrix of {name_joint(deviation)} is not a rotation: it deviates from an orthogonal "
            f"one by {deviation.max():.3g}, at most {MAX_DEVIATION:g} is accepted"
        )
    reflected = torch.linalg.det(rotmats) < 0
    if reflected.any():
        first = int(reflected.any(dim=-1).double().argmax())
        joint = name_joint(reflected[first])
        raise ValueError(f"{names[first]}: the matrix of {joint} is a reflection (determinant -1), not a rotation")
    return nearest_rotation(rotmats)


def _deviation(rows: torch.Tensor) -> torch.Tensor:
    """(..., n, 3) -> (...): how far the n rows are from orthogonal unit vectors; infinite where it overflows."""
    products = rows @ rows.mT - torch.eye(rows.shape[-2], dtype=rows.dtype)
    return products.abs().amax(dim=(-2, -1)).nan_to_num(nan=math.inf, posinf=math.inf)


def _first_bad(deviations: torch.Tensor) -> int:
    """The first of n poses, (n, 22), with a joint that deviates too much."""
    return int((deviations > MAX_DEVIATION).any(dim=-1).double().argmax())


def warn_if_other_frame(rotmats: torch.Tensor, name: str) -> None:
    """Warns where poses whose frame nobody stated are plainly not in the stored one.

    Args:
        rotmats: (n, 22, 3, 3), taken to be in the stored z-up frame.
        name: Name of this input in the warning.
    """
    standing: dict[Frame, tuple[str, tuple[float, ...]]] = {
        "y_up": ("is zero, as of a body that stands in a y-up world (smplx, WHAM, GVHMR)", (1.0, 1.0, 1.0)),
        "camera": ("is that of a body upright in a camera's frame (HMR2, ROMP, TokenHMR)", (1.0, -1.0, -1.0)),
    }
    for frame, (reason, diagonal) in standing.items():
        distances = (rotmats[:, 0] - torch.diag(rotmats.new_tensor(diagonal))).abs().amax(dim=(-2, -1))
        if (distances < 1e-5).any():
            logger.warning(
                f"{name}: the global orientation {reason}, but no frame was stated: in the z-up frame this body lies. "
                f"Pass frame={frame!r} if it stands, frame='z_up' if it lies."
            )


def warn_if_transposed(rotmats: torch.Tensor, name: str) -> None:
    """Warns where knees and elbows bend backward only: rows were perhaps taken for columns.

    Args:
        rotmats: (n, 22, 3, 3).
        name: Name of this input in the warning.
    """
    joints = [JOINT_NAMES.index(joint) for joint in _HINGES]
    rotvecs = rotmat_to_rotvec(rotmats[:, joints].double())
    signs = rotvecs.new_tensor([sign for _, sign in _HINGES.values()])
    all_bends = rotvecs[:, range(len(joints)), [axis for axis, _ in _HINGES.values()]] * signs
    bad = (all_bends.amin(dim=1) < -_BACKWARD) & (all_bends.amax(dim=1) < _FORWARD)
    if bad.any():
        bends = all_bends[int(bad.double().argmax())]
        logger.warning(
            f"{name}: {JOINT_NAMES[joints[int(bends.argmin())]]} bends backward by {-math.degrees(bends.min()):.0f} "
            "degrees and no knee or elbow bends forward: are the matrices transposed, or are 6D numbers columns? "
            "6D means the first two rows; pass {'rotation_6d_columns': ...} for columns."
        )


def name_joint(score: torch.Tensor) -> str:
    """The joint with the largest score, such as "joint 4 (left_knee)"."""
    joint = int(score.double().argmax())
    return f"joint {joint} ({JOINT_NAMES[joint]})"

"""Errors of poses: MPJPE, PA-MPJPE and PVE in millimeters (paper, section 4), joint rotations in degrees.

Also how well confidences rank answers.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import roma
import torch

from unipose import UniPoseVQVAE
from unipose.processing.body_model import BodyModel
from unipose.processing.pose_features import rotmat_to_rotation_6d


def joint_errors(joints: torch.Tensor, target: torch.Tensor, root_joints: Sequence[int] = ()) -> torch.Tensor:
    """Distance of every joint from its target.

    Args:
        joints: (poses, joints, 3) predictions in meters.
        target: (poses, joints, 3) in meters.
        root_joints: each pose is first moved so that the mean of these joints is at the origin: `(0,)` aligns the
            pelvis, `(1, 2)` the middle of the hips; empty aligns nothing.

    Returns:
        (poses, joints) in mm.

    Raises:
        ValueError: the shapes differ or are not (poses, joints, 3), or a root joint does not exist.
    """
    _check_joints(joints, target)
    if root_joints:
        roots, count = list(root_joints), joints.shape[1]
        if not all(0 <= root < count for root in roots):
            raise ValueError(f"root_joints must lie in 0..{count - 1}, got {roots}")
        joints = joints - joints[:, roots].mean(dim=1, keepdim=True)
        target = target - target[:, roots].mean(dim=1, keepdim=True)
    return (joints - target).norm(dim=-1) * 1000


def mpjpe(
    joints: torch.Tensor,
    target: torch.Tensor,
    root_joints: Sequence[int] = (),
    valid: torch.Tensor | None = None,
) -> torch.Tensor:
    """Mean per-joint position error.

    Args:
        joints: (poses, joints, 3) predictions in meters.
        target: (poses, joints, 3) in meters.
        root_joints: see `joint_errors`. The paper's text-to-pose and pose-edit tables align nothing, since both bodies
            have the pelvis at the origin; those of image-to-pose (3DPW, Human3.6M) align the pelvis.
        valid: (poses, joints) bool; joints where it is False are ignored, even with a NaN as target.

    Returns:
        (poses,) in mm.

    Raises:
        ValueError: see `joint_errors`; or `valid` has another shape or type, or is False for all joints or for a root
            joint of a pose.
    """
    errors = joint_errors(joints, target, root_joints)
    if valid is None:
        return errors.mean(dim=-1)
    _check_valid(valid, errors.shape)
    rootless = (~valid[:, list(root_joints)]).any(dim=-1).nonzero().flatten().tolist()
    if rootless:
        raise ValueError(f"valid leaves out one of root_joints {tuple(root_joints)} in the poses {rootless}")
    return errors.where(valid, 0.0).sum(dim=-1) / valid.sum(dim=-1)


def best_similarity(
    joints: torch.Tensor, target: torch.Tensor, valid: torch.Tensor | None = None
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The similarity transform of the least squared distance between joints and targets (Procrustes alignment).

    The rotation is proper (det = +1): a mirrored pose is not mirrored back.

    Args:
        joints: (poses, joints, 3) predictions.
        target: (poses, joints, 3).
        valid: (poses, joints) bool; joints where it is False are ignored.

    Returns:
        rotation (poses, 3, 3), translation (poses, 3) and scale (poses,), in double precision, so that
        `scale * rotation @ joint + translation` lies near its target.

    Raises:
        ValueError: the shapes differ or are not (poses, joints, 3); or `valid` has another shape or type, or is False
            for all joints of a pose.
    """
    _check_joints(joints, target)
    joints, target = joints.double(), target.double()
    if valid is None:
        return roma.rigid_points_registration(joints, target, compute_scaling=True)
    _check_valid(valid, joints.shape[:2])
    mask = valid[..., None]
    # A NaN times a weight of 0 is still NaN.
    return roma.rigid_points_registration(
        joints.where(mask, 0.0), target.where(mask, 0.0), weights=valid.double(), compute_scaling=True
    )


def pa_mpjpe(joints: torch.Tensor, target: torch.Tensor, valid: torch.Tensor | None = None) -> torch.Tensor:
    """MPJPE after Procrustes alignment (rotation, translation and scale).

    Args:
        joints: (poses, joints, 3) predictions in meters.
        target: (poses, joints, 3) in meters.
        valid: (poses, joints) bool; joints where it is False are ignored.

    Returns:
        (poses,) in mm.

    Raises:
        ValueError: see `best_similarity`.
    """
    rotation, translation, scale = best_similarity(joints, target, valid)
    aligned = scale[:, None, None] * (joints.double() @ rotation.mT) + translation[:, None]
    return mpjpe(aligned, target.double(), valid=valid).to(joints.dtype)


def pve(
    vertices: torch.Tensor,
    target: torch.Tensor,
    pelvis: torch.Tensor | None = None,
    target_pelvis: torch.Tensor | None = None,
) -> torch.Tensor:
    """Per-vertex error: the mean distance of the vertices of a mesh from their targets.

    Args:
        vertices: (poses, vertices, 3) predictions in meters.
        target: (poses, vertices, 3) in meters.
        pelvis: (poses, 3) in meters; if given, it is first moved to the origin, with the vertices.
        target_pelvis: (poses, 3) in meters, of the targets.

    Returns:
        (poses,) in mm.

    Raises:
        ValueError: the shapes differ or are not (poses, vertices, 3), or one of both pelvises is missing.
    """
    _check_joints(vertices, target, "vertices")
    if (pelvis is None) != (target_pelvis is None):
        raise ValueError("pelvis and target_pelvis belong together, got only one of them")
    if pelvis is not None and target_pelvis is not None:
        vertices, target = vertices - pelvis[:, None], target - target_pelvis[:, None]
    return (vertices - target).norm(dim=-1).mean(dim=-1) * 1000


def rotation_errors(rotmats: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Geodesic distance of every joint's rotation, relative to its parent, from its target.

    Args:
        rotmats: (poses, joints, 3, 3) predictions.
        target: (poses, joints, 3, 3).

    Returns:
        (poses, joints) in degrees, 0 to 180.

    Raises:
        ValueError: the shapes differ or are not (poses, joints, 3, 3).
    """
    if rotmats.ndim != 4 or rotmats.shape[-2:] != (3, 3):
        raise ValueError(f"rotmats must have the shape (poses, joints, 3, 3), got {tuple(rotmats.shape)}")
    if rotmats.shape != target.shape:
        raise ValueError(f"target must have the shape of rotmats, {tuple(rotmats.shape)}, got {tuple(target.shape)}")
    return roma.rotmat_geodesic_distance(rotmats.double(), target.double()).rad2deg()


def pose_errors(predictions: torch.Tensor, targets: torch.Tensor, body: BodyModel) -> dict[str, float]:
    """Mean errors of predicted rotations, measured on the joints of a body with its pelvis at the origin.

    Args:
        predictions: (poses, 22, 3, 3).
        targets: (poses, 22, 3, 3).
        body: the body to measure.

    Returns:
        mpjpe_mm and pa_mpjpe_mm.
    """
    joints, target = body.forward_joints(predictions), body.forward_joints(targets)
    return {"mpjpe_mm": mpjpe(joints, target).mean().item(), "pa_mpjpe_mm": pa_mpjpe(joints, target).mean().item()}


@torch.no_grad()
def reconstruction_error(model: UniPoseVQVAE, rotmats: torch.Tensor, body: BodyModel) -> dict[str, float]:
    """Mean errors of poses that the pose tokenizer encodes and decodes.

    Args:
        model: the pose tokenizer; it is set to evaluation mode.
        rotmats: (poses, 22, 3, 3) in the stored frame.
        body: the body to measure.

    Returns:
        mpjpe_mm and pa_mpjpe_mm.
    """
    model.eval()
    decoded = model.decode(model.encode(rotmat_to_rotation_6d(rotmats)))
    return pose_errors(decoded, rotmats, body)


def _check_joints(joints: torch.Tensor, target: torch.Tensor, name: str = "joints") -> None:
    if joints.ndim != 3 or joints.shape[-1] != 3:
        raise ValueError(f"{name} must have the shape (poses, {name}, 3), got {tuple(joints.shape)}")
    if joints.shape != target.shape:
        raise ValueError(f"target must have the shape of {name}, {tuple(joints.shape)}, got {tuple(target.shape)}")


def _check_valid(valid: torch.Tensor, shape: torch.Size) -> None:
    if valid.dtype != torch.bool or valid.shape != shape:
        raise ValueError(
            f"valid must be a bool mask of the shape (poses, joints), {tuple(shape)}, got {valid.dtype} of the "
            f"shape {tuple(valid.shape)}"
        )
    without_joints = (~valid.any(dim=-1)).nonzero().flatten().tolist()
    if without_joints:
        raise ValueError(f"valid must keep at least one joint of every pose, got none in the poses {without_joints}")


def auroc(scores: npt.NDArray[np.float64], right: npt.NDArray[np.bool_]) -> float:
    """The probability that a right answer has a higher score than a wrong one; a tie counts half.

    Args:
        scores: (n,).
        right: (n,) booleans.

    Returns:
        NaN if all are right or all are wrong.
    """
    good, bad = scores[right], scores[~right]
    if not len(good) or not len(bad):
        return float("nan")
    return float((good[:, None] > bad).mean() + 0.5 * (good[:, None] == bad).mean())

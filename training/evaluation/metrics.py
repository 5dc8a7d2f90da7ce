"""Distances between poses, as the paper reports them (paper, section 4; in millimetres)."""

from collections.abc import Sequence

import roma
import torch

from unipose import UniPoseVQVAE
from unipose.processing.body_model import BodyModel
from unipose.processing.pose_features import rotmat_to_rotation_6d


# The original release has no mask: where a joint has no ground truth, the x of its target is this.
ORIGINAL_MISSING_X = -2.0


def original_valid(target: torch.Tensor) -> torch.Tensor:
    """(poses, joints, 3) targets in the original release's convention -> (poses, joints) bool mask for `valid`."""
    return target[..., 0] != ORIGINAL_MISSING_X


def joint_errors(joints: torch.Tensor, target: torch.Tensor, root_joints: Sequence[int] = ()) -> torch.Tensor:
    """Distance of every joint from its target.

    Args:
        joints, target: (poses, joints, 3) in metres.
        root_joints: each pose is first moved so that the mean of these joints is at the origin: `(0,)` aligns the
            pelvis, `(1, 2)` the middle of the hips; empty leaves both where they are.

    Returns:
        (poses, joints) in mm.

    Raises:
        ValueError: the shapes differ or are not (poses, joints, 3), or there is no such root joint.
    """
    _check_joints(joints, target)
    if root_joints:
        roots, count = list(root_joints), joints.shape[1]
        if not all(0 <= root < count for root in roots):
            raise ValueError(f"root_joints must lie in 0..{count - 1}, found {roots}")
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
        joints, target: (poses, joints, 3) in metres.
        root_joints: see `joint_errors`. The paper's text-to-pose and pose-edit tables align nothing, since both bodies
            stand with the pelvis at the origin; those of pictures (3DPW, Human3.6M) align the pelvis.
        valid: (poses, joints) bool; joints where it is False are left out of the mean, whatever their target is.

    Returns:
        (poses,) in mm.

    Raises:
        ValueError: see `joint_errors`; or `valid` has another shape or type, leaves a pose no joint, or leaves out a
            root joint, without which there is nothing to align to.
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
    """The similarity transform that brings joints closest to their targets in the least squares (Procrustes).

    A mirror image stays one: the rotation is proper, det = +1.

    Args:
        joints, target: (poses, joints, 3).
        valid: (poses, joints) bool; joints where it is False have no say.

    Returns:
        rotation (poses, 3, 3), translation (poses, 3) and scale (poses,), in double precision, so that
        `scale * rotation @ joint + translation` lies near its target.

    Raises:
        ValueError: the shapes differ or are not (poses, joints, 3); or `valid` has another shape or type, or leaves a
            pose no joint.
    """
    _check_joints(joints, target)
    joints, target = joints.double(), target.double()
    if valid is None:
        return roma.rigid_points_registration(joints, target, compute_scaling=True)
    _check_valid(valid, joints.shape[:2])
    known = valid[..., None]
    # A weight of 0 does not silence a NaN.
    return roma.rigid_points_registration(
        joints.where(known, 0.0), target.where(known, 0.0), weights=valid.double(), compute_scaling=True
    )


def pa_mpjpe(joints: torch.Tensor, target: torch.Tensor, valid: torch.Tensor | None = None) -> torch.Tensor:
    """MPJPE after the best rotation, translation and scale; arguments and errors as in `best_similarity`, in metres.

    Returns:
        (poses,) in mm.
    """
    rotation, translation, scale = best_similarity(joints, target, valid)
    aligned = scale[:, None, None] * (joints.double() @ rotation.mT) + translation[:, None]
    return mpjpe(aligned, target.double(), valid=valid).to(joints.dtype)


def pose_errors(found: torch.Tensor, wanted: torch.Tensor, body: BodyModel) -> dict[str, float]:
    """Mean MPJPE (pelvis at the origin) and PA-MPJPE in mm between poses, both (poses, 22, 3, 3), on a body."""
    joints, target = body.forward_joints(found), body.forward_joints(wanted)
    return {"mpjpe_mm": mpjpe(joints, target).mean().item(), "pa_mpjpe_mm": pa_mpjpe(joints, target).mean().item()}


@torch.no_grad()
def reconstruction_error(model: UniPoseVQVAE, rotmats: torch.Tensor, body: BodyModel) -> dict[str, float]:
    """Mean MPJPE and PA-MPJPE in mm of (poses, 22, 3, 3) against what their codes decode to."""
    model.eval()
    decoded = model.decode(model.encode(rotmat_to_rotation_6d(rotmats)))
    return pose_errors(decoded, rotmats, body)


def _check_joints(joints: torch.Tensor, target: torch.Tensor) -> None:
    if joints.ndim != 3 or joints.shape[-1] != 3:
        raise ValueError(f"joints must have the shape (poses, joints, 3), found {tuple(joints.shape)}")
    if joints.shape != target.shape:
        raise ValueError(f"target must have the shape of joints, {tuple(joints.shape)}, found {tuple(target.shape)}")


def _check_valid(valid: torch.Tensor, shape: torch.Size) -> None:
    if valid.dtype != torch.bool or valid.shape != shape:
        raise ValueError(
            f"valid must be a bool mask of the shape (poses, joints), {tuple(shape)}, found {valid.dtype} of the "
            f"shape {tuple(valid.shape)}"
        )
    unknown = (~valid.any(dim=-1)).nonzero().flatten().tolist()
    if unknown:
        raise ValueError(f"valid must keep at least one joint of every pose, found none in the poses {unknown}")

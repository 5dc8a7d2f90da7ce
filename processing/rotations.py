"""Conversions of rotations on torch alone, for the files that travel to the Hub. The tests compare them with roma,
which all other files use.
"""

import math

import torch


def rotvec_to_rotmat(rotvecs: torch.Tensor) -> torch.Tensor:
    """(..., 3) axis-angle in radians -> (..., 3, 3), by Rodrigues' formula."""
    angles = torch.linalg.vector_norm(rotvecs, dim=-1)[..., None, None]
    x, y, z = rotvecs.unbind(-1)
    zero = torch.zeros_like(x)
    cross = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], dim=-1).unflatten(-1, (3, 3))
    # sin(a) / a and (1 - cos(a)) / a^2, also at 0.
    sine, cosine = torch.sinc(angles / math.pi), torch.sinc(angles / (2 * math.pi)) ** 2 / 2
    return torch.eye(3, dtype=rotvecs.dtype, device=rotvecs.device) + sine * cross + cosine * (cross @ cross)


def rotmat_to_rotvec(rotmats: torch.Tensor) -> torch.Tensor:
    """(..., 3, 3) -> (..., 3) axis-angle in radians, of at most pi; NaN where a matrix is not finite.

    The quaternion of a rotation is the main eigenvector of a symmetric matrix (Bar-Itzhack 2000): it has no special
    cases, also at half turns.
    """
    r = [[rotmats[..., row, column] for column in range(3)] for row in range(3)]
    x, y, z, w = r[2][1] - r[1][2], r[0][2] - r[2][0], r[1][0] - r[0][1], r[0][0] + r[1][1] + r[2][2]
    xy, xz, yz = r[0][1] + r[1][0], r[0][2] + r[2][0], r[1][2] + r[2][1]
    rows = [
        [2 * r[0][0] - w, xy, xz, x],
        [xy, 2 * r[1][1] - w, yz, y],
        [xz, yz, 2 * r[2][2] - w, z],
        [x, y, z, w],
    ]
    symmetric = torch.stack([torch.stack(row, dim=-1) for row in rows], dim=-2)
    is_finite = symmetric.isfinite().all(dim=-1, keepdim=True).all(dim=-2, keepdim=True)
    # eigh fails for a whole batch in which one matrix is not finite.
    quaternions = torch.linalg.eigh(torch.where(is_finite, symmetric, torch.eye(4).to(symmetric)))[1][..., -1]
    quaternions = torch.where(quaternions[..., 3:] < 0, -quaternions, quaternions)
    sines = torch.linalg.vector_norm(quaternions[..., :3], dim=-1, keepdim=True)
    angles = 2 * torch.atan2(sines, quaternions[..., 3:])
    rotvecs = quaternions[..., :3] * torch.where(sines > 0, angles / sines, 2.0)
    return torch.where(is_finite[..., 0], rotvecs, torch.nan)


def euler_to_rotmat(order: str, angles: torch.Tensor, degrees: bool = False) -> torch.Tensor:
    """Rotations about the axes one after the other, each about the axis that the earlier ones have moved.

    Args:
        order: Axes, such as "ZXY".
        angles: (..., axes) in radians.
        degrees: Whether they are in degrees.
    """
    angles = torch.deg2rad(angles) if degrees else angles
    rotmats = torch.eye(3, dtype=angles.dtype, device=angles.device).expand(*angles.shape[:-1], 3, 3)
    for axis, angle in zip(order, angles.unbind(-1)):
        unit = angles.new_tensor([float(name == axis) for name in "XYZ"])
        rotmats = rotmats @ rotvec_to_rotmat(angle[..., None] * unit)
    return rotmats


def nearest_rotation(matrices: torch.Tensor) -> torch.Tensor:
    """(..., 3, 3) -> the rotation matrices nearest to them in the Frobenius norm."""
    left, _, right = torch.linalg.svd(matrices)
    signs = torch.ones_like(matrices[..., 0])
    signs[..., 2] = torch.linalg.det(left @ right)
    return (left * signs[..., None, :]) @ right


def gram_schmidt(rows: torch.Tensor) -> torch.Tensor:
    """(..., 2, 3) -> (..., 3, 3) rotation matrices: Gram-Schmidt on the two rows, the third is their cross product."""
    first, second = rows.unbind(-2)
    x = first / torch.linalg.vector_norm(first, dim=-1, keepdim=True)
    across = second - (x * second).sum(-1, keepdim=True) * x
    y = across / torch.linalg.vector_norm(across, dim=-1, keepdim=True)
    return torch.stack([x, y, torch.linalg.cross(x, y)], dim=-2)


__all__ = ["euler_to_rotmat", "gram_schmidt", "nearest_rotation", "rotmat_to_rotvec", "rotvec_to_rotmat"]

"""The conversions of rotations that travel to the Hub are roma's."""

import math

import pytest
import roma
import torch

from unipose.body_parts import rotate_heading, rotation_6d_to_rotmat
from unipose.processing.rotations import (
    euler_to_rotmat,
    gram_schmidt,
    nearest_rotation,
    rotmat_to_rotvec,
    rotvec_to_rotmat,
)


def some_rotvecs() -> torch.Tensor:
    """(n, 3): of all sizes below pi, some tiny, zero, and half turns about each axis and between."""
    generator = torch.Generator().manual_seed(0)
    axes = torch.nn.functional.normalize(torch.randn(200, 3, generator=generator, dtype=torch.float64), dim=-1)
    angles = torch.linspace(0, math.pi, 200, dtype=torch.float64)[:, None]
    tiny = torch.tensor([1e-4, 1e-8, 1e-12, 1e-300], dtype=torch.float64)[:, None]
    half = [[math.pi, 0, 0], [0, math.pi, 0], [0, 0, math.pi], [math.pi / math.sqrt(2), -math.pi / math.sqrt(2), 0]]
    return torch.cat([axes * angles, axes[:4] * tiny, torch.tensor(half, dtype=torch.float64)])


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_rotation_vectors(dtype: torch.dtype) -> None:
    rotvecs = some_rotvecs().to(dtype)
    tolerance = 1e-9 if dtype == torch.float64 else 2e-6
    rotmats = rotvec_to_rotmat(rotvecs)
    torch.testing.assert_close(rotmats, roma.rotvec_to_rotmat(rotvecs), atol=tolerance, rtol=0)
    torch.testing.assert_close(rotvec_to_rotmat(rotvecs * 2), rotmats @ rotmats, atol=tolerance, rtol=0)
    again = rotmat_to_rotvec(rotmats)
    assert again.norm(dim=-1).max() <= math.pi + 1e-6
    torch.testing.assert_close(rotvec_to_rotmat(again), rotmats, atol=tolerance, rtol=0)
    inside = rotvecs.norm(dim=-1) < 3
    torch.testing.assert_close(again[inside], rotvecs[inside], atol=tolerance * 10, rtol=0)
    torch.testing.assert_close(
        rotvec_to_rotmat(rotvecs.unflatten(0, (2, -1))), rotmats.unflatten(0, (2, -1)), atol=0, rtol=0
    )


def test_nearest_rotations() -> None:
    generator = torch.Generator().manual_seed(1)
    matrices = torch.randn(200, 3, 3, generator=generator, dtype=torch.float64)
    torch.testing.assert_close(nearest_rotation(matrices), roma.special_procrustes(matrices))
    rotmats = rotvec_to_rotmat(some_rotvecs())
    torch.testing.assert_close(nearest_rotation(rotmats), rotmats)


@pytest.mark.parametrize("function", [gram_schmidt, lambda rows: rotation_6d_to_rotmat(rows.flatten(-2))])
def test_gram_schmidt(function) -> None:
    rows = torch.randn(7, 22, 2, 3, generator=torch.Generator().manual_seed(2))
    torch.testing.assert_close(function(rows), roma.special_gramschmidt(rows.mT).mT)


def test_rotation_of_the_heading() -> None:
    headings = torch.linspace(-7, 7, 50)
    vertical = headings[:, None] * torch.tensor([0.0, 0.0, 1.0])
    pelvis = roma.random_rotmat(50)
    torch.testing.assert_close(rotate_heading(pelvis, headings), roma.rotvec_to_rotmat(vertical) @ pelvis)
    torch.testing.assert_close(rotate_heading(pelvis, headings[3]), roma.rotvec_to_rotmat(vertical[3]) @ pelvis)


@pytest.mark.parametrize("order", ["ZXY", "XYZ", "YXZ", "Z"])
def test_euler_angles(order: str) -> None:
    angles = torch.linspace(-400, 400, 60, dtype=torch.float64).reshape(-1, 3)[:, : len(order)]
    expected = roma.euler_to_rotmat(order, angles, degrees=True)
    torch.testing.assert_close(euler_to_rotmat(order, angles, degrees=True), expected)
    torch.testing.assert_close(euler_to_rotmat(order, angles.deg2rad()), expected)


def test_a_matrix_that_is_not_finite_spoils_no_other() -> None:
    rotmats = rotvec_to_rotmat(some_rotvecs())[:4]
    broken = rotmats.clone()
    broken[1, 2, 0], broken[3, 0, 0] = torch.nan, torch.inf
    rotvecs = rotmat_to_rotvec(broken)
    assert rotvecs.isnan().all(dim=1).tolist() == [False, True, False, True]
    torch.testing.assert_close(rotvecs[::2], rotmat_to_rotvec(rotmats)[::2])

"""Posed bodies: SMPL's kinematic tree, forward kinematics and linear blend skinning.

`BodyModel.builtin()` is the free body of the package; `load_body_model` reads the user's own SMPL, SMPL-H or SMPL-X
file. Both take rotation matrices in the stored z-up frame and return meters in the y-up world, with the rest pose's
pelvis at the origin.

The built-in body is not SMPL: its hips are about 1 cm below the pelvis (SMPL's: about 9 cm), so millimeters measured
on it cannot be compared with results on SMPL.
"""

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor, nn

from .body_files import FAMILIES, check_model_arrays, find_model_file, read_model_arrays
from .pose_frames import NUM_JOINTS, PARENTS, to_y_up


# SMPL's 24 joints are the 22 of `JOINT_NAMES` and the two hands, which stay at rest.
NUM_BODY_JOINTS = 24
HEAD, LEFT_HAND, RIGHT_HAND = 15, 22, 23

# (first, end) of the joints at each depth of the tree: SMPL's order walks it breadth first.
TREE_LEVELS = ((0, 1), (1, 4), (4, 7), (7, 10), (10, 15), (15, 18), (18, 20), (20, 22), (22, 24))

# Joints of a file -> the joint of SMPL's 24 that each one moves with.
FILE_JOINTS = {
    24: tuple(range(24)),
    52: (*range(22), *([LEFT_HAND] * 15), *([RIGHT_HAND] * 15)),
    55: (*range(22), *([HEAD] * 3), *([LEFT_HAND] * 15), *([RIGHT_HAND] * 15)),
}
SMPLX_FILE_JOINTS = 55


@dataclass
class BodyOutput:
    """A posed body in the y-up world: `vertices` (batch, V, 3) and `joints` (batch, 22, 3), in meters."""

    vertices: Tensor
    joints: Tensor


def forward_kinematics(rotmats: Tensor, joints: Tensor) -> tuple[Tensor, Tensor]:
    """Walks SMPL's tree with one batched product per level.

    Args:
        rotmats: (batch, J, 3, 3) rotations relative to the parent, J = 22 or 24.
        joints: (J, 3) or (batch, J, 3) rest positions in meters.

    Returns:
        (batch, J, 3, 3) world rotations and (batch, J, 3) positions.
    """
    num_joints = rotmats.shape[1]
    rest = joints.expand(len(rotmats), -1, -1)
    rotations, positions = [rotmats[:, :1]], [rest[:, :1]]
    for (previous, _), (first, end) in pairwise(TREE_LEVELS):
        if first >= num_joints:
            break
        parents = list(PARENTS[first:end])
        siblings = [parent - previous for parent in parents]
        parent_rotations = rotations[-1][:, siblings]
        offsets = rest[:, first:end] - rest[:, parents]
        rotations.append(parent_rotations @ rotmats[:, first:end])
        positions.append(positions[-1][:, siblings] + (parent_rotations @ offsets[..., None])[..., 0])
    return torch.cat(rotations, dim=1), torch.cat(positions, dim=1)


def rest_padding(rotmats: Tensor, num_joints: int) -> Tensor:
    """Adds joints at rest.

    Args:
        rotmats: (batch, J, 3, 3).
        num_joints: Number of joints of the result, (batch, num_joints, 3, 3).
    """
    identity = torch.eye(3, dtype=rotmats.dtype, device=rotmats.device)
    return torch.cat([rotmats, identity.expand(len(rotmats), num_joints - rotmats.shape[1], 3, 3)], dim=1)


def check_rotmats(rotmats: Tensor) -> None:
    """Checks the shape of poses.

    Raises:
        ValueError: `rotmats` is not (batch, 22, 3, 3).
    """
    if rotmats.ndim != 4 or tuple(rotmats.shape[1:]) != (NUM_JOINTS, 3, 3):
        raise ValueError(f"rotmats has shape {tuple(rotmats.shape)}; expected (batch, {NUM_JOINTS}, 3, 3)")


class BodyModel(nn.Module):
    """A skinned mesh with SMPL's 24 joints.

    Args:
        v_template: (V, 3) rest vertices in meters, pelvis at the origin, T-pose, y up, facing +z.
        faces: (F, 3) vertex indices.
        joints: (24, 3) rest joints in meters.
        weights: (V, 24) skinning weights; rows are normalized to sum to one.
    """

    v_template: Tensor
    faces: Tensor
    joints: Tensor
    weights: Tensor
    # Said beside every figure in millimeters.
    title = "built-in body (not SMPL)"

    def __init__(self, v_template: Tensor, faces: Tensor, joints: Tensor, weights: Tensor) -> None:
        super().__init__()
        self.register_buffer("v_template", v_template)
        self.register_buffer("faces", faces)
        self.register_buffer("joints", joints)
        self.register_buffer("weights", weights / weights.sum(1, keepdim=True))

    @classmethod
    def builtin(cls) -> "BodyModel":
        """The free body of the package: 1,229 vertices, 1.70 m tall (see NOTICE for its sources)."""
        with resources.files(__package__).joinpath("assets", "body.npz").open("rb") as file:
            arrays = dict(np.load(file))
        return cls(
            v_template=torch.from_numpy(arrays["v_template"]),
            faces=torch.from_numpy(arrays["faces"].astype(np.int64)),
            joints=torch.from_numpy(arrays["joints"]),
            weights=torch.from_numpy(arrays["weights"].astype(np.float32)),
        )

    def forward(self, rotmats: Tensor) -> BodyOutput:
        """Poses the body.

        Args:
            rotmats: (batch, 22, 3, 3) in the stored z-up frame. The result has its dtype.

        Raises:
            ValueError: `rotmats` has another shape.
        """
        check_rotmats(rotmats)
        rest_joints = self.joints.to(rotmats)
        rotations, joints = forward_kinematics(rest_padding(to_y_up(rotmats), NUM_BODY_JOINTS), rest_joints)
        shifts = joints - (rotations @ rest_joints[..., None])[..., 0]
        transforms = torch.cat([rotations, shifts[..., None]], dim=-1)
        blended = (self.weights.to(rotmats) @ transforms.flatten(2)).unflatten(2, (3, 4))
        vertices = (blended[..., :3] @ self.v_template.to(rotmats)[..., None])[..., 0] + blended[..., 3]
        return BodyOutput(vertices=vertices, joints=joints[:, :NUM_JOINTS])

    def forward_joints(self, rotmats: Tensor) -> Tensor:
        """(batch, 22, 3) joints in meters of (batch, 22, 3, 3) poses: `forward` without vertices, much faster."""
        check_rotmats(rotmats)
        return forward_kinematics(to_y_up(rotmats), self.joints[:NUM_JOINTS].to(rotmats))[1]

    def with_betas(self, betas: Tensor | np.ndarray | Sequence[float]) -> "BodyModel":
        """This body with other proportions.

        Args:
            betas: (n,) shape coefficients.

        Raises:
            ValueError: The body has one shape only or fewer coefficients, or one is not finite.
        """
        raise ValueError("betas need an SMPL body (body=, load_body_model); this one has one shape")

    def pose_corrections(self, rotmats: Tensor) -> Tensor:
        """(batch, V, 3) meters that a pose adds to the rest vertices before skinning; none, unless it is SMPL's.

        Args:
            rotmats: (batch, 22, 3, 3) in the stored z-up frame.
        """
        return rotmats.new_zeros(len(rotmats), *self.v_template.shape)

    def rest_pelvis(self) -> Tensor:
        """(3,) meters: the pelvis of the rest pose in the coordinates of the body's file, which `trans` adds to."""
        return torch.zeros_like(self.joints[0])

    def vertex_areas(self) -> Tensor:
        """(V,) square meters of the rest surface around each vertex: a third of every triangle."""
        corners = self.v_template[self.faces]
        edges = corners[:, 1:] - corners[:, :1]
        areas = torch.linalg.cross(edges[:, 0], edges[:, 1]).norm(dim=1) / 2
        shares = (areas / 3).repeat_interleave(3)
        return torch.zeros_like(self.v_template[:, 0]).index_add(0, self.faces.flatten(), shares)

    def vertex_joints(self) -> Tensor:
        """(V,) index (0..23) of the joint that moves each vertex most."""
        return self.weights.argmax(dim=1)


class SmplxBodyModel(BodyModel):
    """The user's own SMPL, SMPL-H or SMPL-X body, with shape space and pose-dependent corrections.

    Hands are flat, face and jaw at rest. The buffers of `BodyModel` describe the mean shape; `weights` and `joints`
    are those of SMPL's 24 joints for any number of joints in the file.

    Args:
        arrays: Arrays of the file by SMPL's names.
        lbs: `smplx.lbs.lbs`.
    """

    model_weights: Tensor
    model_parents: Tensor
    model_template: Tensor
    shapedirs: Tensor
    posedirs: Tensor
    joint_regressor: Tensor

    def __init__(self, arrays: dict[str, np.ndarray], lbs: Any) -> None:
        template, regressor, weights = (
            torch.as_tensor(arrays[key], dtype=torch.float32) for key in ("v_template", "J_regressor", "weights")
        )
        file_joints = torch.tensor(FILE_JOINTS[weights.shape[1]])
        vertices, joints = centered_rest(template, regressor)
        super().__init__(
            v_template=vertices,
            faces=torch.as_tensor(arrays["f"].astype(np.int64)),
            joints=joints,
            weights=weights.new_zeros(len(weights), NUM_BODY_JOINTS).index_add(1, file_joints, weights),
        )
        parents = torch.as_tensor(arrays["kintree_table"][0].astype(np.int64))
        parents[0] = -1
        posedirs = torch.as_tensor(arrays["posedirs"], dtype=torch.float32)
        shapedirs = torch.as_tensor(arrays["shapedirs"], dtype=torch.float32)
        self.register_buffer("model_template", template)
        self.register_buffer("model_weights", weights)
        self.register_buffer("model_parents", parents)
        self.register_buffer("joint_regressor", regressor)
        self.register_buffer("shapedirs", shapedirs[..., : num_betas(shapedirs.shape[-1], weights.shape[1])])
        self.register_buffer("posedirs", posedirs.flatten(0, 1).T)
        self._lbs = lbs
        self.title = FAMILIES[weights.shape[1]]

    def forward(self, rotmats: Tensor, betas: Tensor | None = None) -> BodyOutput:
        """Poses the body.

        Args:
            rotmats: (batch, 22, 3, 3) in the stored z-up frame. The result has its dtype.
            betas: (batch, n) or (n,) shape coefficients. Default: the mean shape.

        Raises:
            ValueError: A wrong shape, or more shape coefficients than the file has.
        """
        check_rotmats(rotmats)
        betas = self._check_betas(betas, rotmats)
        vertices, joints = self._lbs(
            betas,
            rest_padding(to_y_up(rotmats), self.model_weights.shape[1]),
            self.model_template.to(rotmats),
            self.shapedirs[..., : betas.shape[1]].to(rotmats),
            self.posedirs.to(rotmats),
            self.joint_regressor.to(rotmats),
            self.model_parents,
            self.model_weights.to(rotmats),
            pose2rot=False,
        )
        pelvis = joints[:, :1]
        return BodyOutput(vertices=vertices - pelvis, joints=joints[:, :NUM_JOINTS] - pelvis)

    def with_betas(self, betas: Tensor | np.ndarray | Sequence[float]) -> "SmplxBodyModel":
        betas = self._check_betas(torch.as_tensor(betas), self.model_template[None])[0]
        if not betas.isfinite().all():
            raise ValueError(f"betas hold NaN or infinite values: {betas.tolist()}")
        # Only what changes is copied: the corrections of an SMPL-X file take 100 MB.
        shaped = copy.deepcopy(self, {id(buffer): buffer for buffer in self.buffers()})
        shaped.model_template = self.model_template + self.shapedirs[..., : len(betas)] @ betas
        shaped.v_template, shaped.joints = centered_rest(shaped.model_template, self.joint_regressor)
        shaped.title = f"{self.title}, betas {[round(float(beta), 3) for beta in betas]}"
        return shaped

    def pose_corrections(self, rotmats: Tensor) -> Tensor:
        check_rotmats(rotmats)
        bent = rest_padding(rotmats[:, 1:], self.model_weights.shape[1] - 1) - torch.eye(3).to(rotmats)
        return (bent.flatten(1) @ self.posedirs.to(rotmats)).unflatten(1, (-1, 3))

    def rest_pelvis(self) -> Tensor:
        return self.joint_regressor[0] @ self.model_template

    def forward_joints(self, rotmats: Tensor, betas: Tensor | None = None) -> Tensor:
        """Joints of a posed body: `forward` without vertices.

        Args:
            rotmats: (batch, 22, 3, 3) in the stored z-up frame.
            betas: (batch, n) or (n,) shape coefficients. Default: the mean shape.

        Returns:
            (batch, 22, 3) meters.
        """
        check_rotmats(rotmats)
        betas = self._check_betas(betas, rotmats)
        offsets = torch.einsum("bn,vcn->bvc", betas, self.shapedirs[..., : betas.shape[1]].to(rotmats))
        rest = (self.joint_regressor.to(rotmats) @ (self.model_template.to(rotmats) + offsets))[:, :NUM_JOINTS]
        return forward_kinematics(to_y_up(rotmats), rest - rest[:, :1])[1]

    def _check_betas(self, betas: Tensor | None, rotmats: Tensor) -> Tensor:
        """(batch, n) shape coefficients in the dtype of `rotmats`."""
        available = self.shapedirs.shape[-1]
        if betas is None:
            return rotmats.new_zeros(len(rotmats), available)
        if betas.ndim == 1:
            betas = betas.expand(len(rotmats), -1)
        if betas.ndim != 2 or len(betas) != len(rotmats) or betas.shape[1] > available:
            raise ValueError(
                f"betas has shape {tuple(betas.shape)}; expected ({len(rotmats)}, n) or (n,) with n up to {available}."
            )
        return betas.to(rotmats)


Body: TypeAlias = BodyModel | str | Path
Betas: TypeAlias = Tensor | np.ndarray | Sequence[float]


def centered_rest(template: Tensor, regressor: Tensor) -> tuple[Tensor, Tensor]:
    """The rest pose with its pelvis at the origin.

    Args:
        template: (V, 3) rest vertices of a file.
        regressor: (J, V) its joint regressor.

    Returns:
        (V, 3) vertices and (24, 3) joints.
    """
    joints = regressor @ template
    file_joints = FILE_JOINTS[len(joints)]
    first_of_joint = [file_joints.index(joint) for joint in range(NUM_BODY_JOINTS)]
    return template - joints[0], joints[first_of_joint] - joints[0]


def to_body_model(body: Body | None, betas: Betas | None = None) -> BodyModel:
    """The body that a user chose.

    Args:
        body: A body, the path of an SMPL, SMPL-H or SMPL-X file or folder (`load_body_model`), or None for the
            built-in one.
        betas: (n,) shape coefficients of an SMPL body. Default: the shape that it has.

    Raises:
        ValueError: Betas for the built-in body, or as `load_body_model`.
        FileNotFoundError: As `load_body_model`.
        ImportError: As `load_body_model`.
    """
    if body is None:
        body = BodyModel.builtin()
    elif not isinstance(body, BodyModel):
        body = load_body_model(body)
    return body if betas is None else body.with_betas(betas)


def num_betas(num_directions: int, num_joints: int) -> int:
    """Number of shape directions that are identity; in SMPL-X, expressions follow.

    Args:
        num_directions: Shape directions in the file.
        num_joints: Joints in the file.
    """
    if num_joints != SMPLX_FILE_JOINTS:
        return num_directions
    return 300 if num_directions >= 400 else min(num_directions, 10)


def load_body_model(path: str | Path, gender: str = "neutral") -> SmplxBodyModel:
    """Reads the user's own SMPL, SMPL-H or SMPL-X body.

    Args:
        path: A model's .npz or .pkl file, or a folder with `SMPL_NEUTRAL.pkl`, `SMPLH_NEUTRAL.npz`,
            `SMPLX_NEUTRAL.npz` or `neutral/model.npz`.
        gender: Gender of the file in a folder: "neutral", "female" or "male".

    Raises:
        ImportError: The package smplx (extra `smpl`) is not installed.
        FileNotFoundError: There is no such file, or none in the folder.
        ValueError: The file is damaged, or not an SMPL model.
    """
    try:
        from smplx.lbs import lbs
    except ImportError as error:
        raise ImportError(
            "SMPL bodies need smplx, which has its own non-commercial license: `pip install 'unipose[smpl]'` (or "
            "`pip install smplx`)."
        ) from error
    path = find_model_file(Path(path), gender)
    arrays = read_model_arrays(path)
    check_model_arrays(path, arrays)
    body = SmplxBodyModel(arrays, lbs)
    body.title += f" ({path.name})"
    return body

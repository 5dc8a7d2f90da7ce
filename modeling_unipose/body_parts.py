"""A pose tokenizer of body parts: each part has tokens of its own, and the heading has one.

The paper's convolutions mix neighboring joints. Here a token depends on one part only: an edit of an arm leaves all
other tokens as they are. Left and right limbs share their weights, mirrored.
"""

import torch
from torch import nn

from .configuration_unipose import UniPoseVQVAEConfig


# Kind of part -> joints of the part, or of its left twin; SMPL's order of 22 joints.
PART_JOINTS = {"torso": (0, 3, 6, 9), "head": (12, 15), "arm": (13, 16, 18, 20), "leg": (1, 4, 7, 10)}
RIGHT_JOINTS = {"arm": (14, 17, 19, 21), "leg": (2, 5, 8, 11)}
# (kind, joints, whether it is mirrored) in token order, behind the token of the heading.
PARTS = tuple(
    (kind, joints, mirrored)
    for kind, left in PART_JOINTS.items()
    for joints, mirrored in ((left, False), (RIGHT_JOINTS.get(kind, ()), True))
    if joints
)
# A pelvis whose up axis points down by more has no twist about the vertical: there its left axis decides.
UPSIDE_DOWN = -0.7


def body_heading(pelvis: torch.Tensor) -> torch.Tensor:
    """The heading of global orientations.

    Args:
        pelvis: (..., 3, 3) rotation matrices in the stored frame (z up).

    Returns:
        (...) radians, positive to the body's left; 0 faces -y. A rotation of the body about the vertical adds to it.
    """
    twist = torch.atan2(pelvis[..., 0, 2] + pelvis[..., 1, 0], pelvis[..., 0, 0] - pelvis[..., 1, 2])
    left_axis = torch.atan2(pelvis[..., 1, 0], pelvis[..., 0, 0])
    return torch.where(pelvis[..., 2, 1] > UPSIDE_DOWN, twist, left_axis)


def rotate_heading(pelvis: torch.Tensor, heading: torch.Tensor) -> torch.Tensor:
    """Rotates global orientations about the vertical.

    Args:
        pelvis: (..., 3, 3) in the stored frame.
        heading: (...) radians, to the body's left.
    """
    cosine, sine, zero, one = heading.cos(), heading.sin(), torch.zeros_like(heading), torch.ones_like(heading)
    turn = torch.stack([cosine, -sine, zero, sine, cosine, zero, zero, zero, one], dim=-1)
    return turn.unflatten(-1, (3, 3)) @ pelvis


def rotation_6d_to_rotmat(rotation_6d: torch.Tensor) -> torch.Tensor:
    """(..., 6) -> (..., 3, 3) rotation matrices in fp32 at least, by Gram-Schmidt on the two rows."""
    rotation_6d = rotation_6d.to(torch.promote_types(rotation_6d.dtype, torch.float32))
    first, second = rotation_6d.unflatten(-1, (2, 3)).unbind(-2)
    x = first / torch.linalg.vector_norm(first, dim=-1, keepdim=True)
    across = second - (x * second).sum(-1, keepdim=True) * x
    y = across / torch.linalg.vector_norm(across, dim=-1, keepdim=True)
    return torch.stack([x, y, torch.linalg.cross(x, y)], dim=-2)


def multilayer_perceptron(input_size: int, hidden_size: int, output_size: int) -> nn.Sequential:
    """Four linear layers with GELU between them.

    Args:
        input_size: Number of inputs.
        hidden_size: Width of the layers between.
        output_size: Number of outputs.
    """
    layers: list[nn.Module] = [nn.Linear(input_size, hidden_size), nn.GELU()]
    for _ in range(2):
        layers += [nn.Linear(hidden_size, hidden_size), nn.GELU()]
    return nn.Sequential(*layers, nn.Linear(hidden_size, output_size))


def mirror_part(rotmats: torch.Tensor) -> torch.Tensor:
    """(..., joints, 3, 3) rotations of a right limb -> those of the left limb in the mirror, and back."""
    flip = rotmats.new_tensor((-1.0, 1.0, 1.0))
    return rotmats * (flip[:, None] * flip)


class PartEncoder(nn.Module):
    """(batch, 6, 22) rotations -> (batch, codebook_dim, num_pose_tokens) features between -1 and 1."""

    def __init__(self, config: UniPoseVQVAEConfig):
        super().__init__()
        self.dim = config.codebook_dim
        tokens = config.part_tokens or {}
        self.networks = nn.ModuleDict(
            {
                kind: multilayer_perceptron(6 * len(joints), config.hidden_size, tokens[kind] * self.dim)
                for kind, joints in PART_JOINTS.items()
            }
        )

    def forward(self, rotations: torch.Tensor) -> torch.Tensor:
        rotmats = rotation_6d_to_rotmat(rotations.mT).to(rotations.dtype)
        heading = body_heading(rotmats[:, 0])
        circle = torch.stack([heading.cos(), heading.sin()], dim=-1)
        features = [nn.functional.pad(circle, (0, self.dim - 2)).unsqueeze(1)]
        pelvis = rotate_heading(rotmats[:, 0], -heading)
        rotmats = torch.cat([pelvis.unsqueeze(1), rotmats[:, 1:]], dim=1)
        for kind, joints, mirrored in PARTS:
            part = rotmats[:, joints]
            part = mirror_part(part) if mirrored else part
            features.append(torch.tanh(self.networks[kind](part[..., :2, :].flatten(1))).unflatten(1, (-1, self.dim)))
        return torch.cat(features, dim=1).mT


class PartDecoder(nn.Module):
    """(batch, codebook_dim, num_pose_tokens) features -> (batch, 6, 22) rotations."""

    def __init__(self, config: UniPoseVQVAEConfig):
        super().__init__()
        self.tokens = config.part_tokens or {}
        self.networks = nn.ModuleDict(
            {
                kind: multilayer_perceptron(
                    self.tokens[kind] * config.codebook_dim, config.hidden_size, 6 * len(joints)
                )
                for kind, joints in PART_JOINTS.items()
            }
        )

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        features = features.mT
        heading = torch.atan2(features[:, 0, 1], features[:, 0, 0])
        parts = features[:, 1:].split([self.tokens[kind] for kind, _, _ in PARTS], dim=1)
        rotations = [
            self.networks[kind](part.flatten(1)).unflatten(1, (-1, 6)) for (kind, _, _), part in zip(PARTS, parts)
        ]
        rotmats = rotation_6d_to_rotmat(torch.cat(rotations, dim=1))
        of_right = torch.tensor([mirrored for _, joints, mirrored in PARTS for _ in joints], device=features.device)
        rotmats = torch.where(of_right[:, None, None], mirror_part(rotmats), rotmats)
        order = [joint for _, joints, _ in PARTS for joint in joints]
        rotmats = rotmats[:, torch.tensor(order).argsort()]
        # The pelvis network may leave a heading of its own, which would change the code of the heading when encoded.
        pelvis = rotate_heading(rotmats[:, 0], heading - body_heading(rotmats[:, 0]))
        return torch.cat([pelvis.unsqueeze(1), rotmats[:, 1:]], dim=1)[..., :2, :].flatten(-2).mT


__all__ = ["PartDecoder", "PartEncoder", "body_heading", "rotation_6d_to_rotmat"]

"""Writes poses to files: numbers (.npz, .npy, .json), a posed mesh (.glb, .obj) or an image (.png).

`load_pose` of `pose_features` reads the numbers back. They keep the stored z-up frame; meshes and images are y up.
"""

import json
import os
import tempfile
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import roma
import torch
import trimesh
from trimesh.exchange.gltf import export_glb
from trimesh.exchange.obj import export_obj

from .body_model import BodyModel
from .clothing import Clothes, vertex_colors
from .pose_features import NUM_JOINTS
from .rendering import render_pose


NUMBER_ENDINGS = (".npz", ".npy", ".json")
MESH_ENDINGS = (".glb", ".obj")
IMAGE_ENDINGS = (".png",)
POSE_ENDINGS = NUMBER_ENDINGS + MESH_ENDINGS + IMAGE_ENDINGS


def save_pose(path: str | Path, rotmats: torch.Tensor | np.ndarray, body: BodyModel | None = None) -> Path:
    """Writes one pose in the format of the path's ending.

    Args:
        path: .npz or .json (`rotmats` and SMPL's axis-angle vectors), .npy (`rotmats` alone), .glb or .obj (the posed
            body), .png (its image). Missing folders are created; the file is written atomically.
        rotmats: (22, 3, 3) in the stored z-up frame.
        body: The body of meshes and images. Default: the built-in one.

    Returns:
        The path.

    Raises:
        ValueError: An ending that is not accepted, or a wrong shape.
    """
    path = Path(path)
    check_ending(path)
    rotmats = torch.as_tensor(rotmats).detach().cpu()
    if rotmats.shape != (NUM_JOINTS, 3, 3):
        raise ValueError(f"rotmats has shape {tuple(rotmats.shape)}; expected one pose, ({NUM_JOINTS}, 3, 3)")
    write_atomically(path, encode_pose(path.suffix.lower(), rotmats.float(), body))
    return path


def save_poses(
    path: str | Path,
    poses: Sequence[torch.Tensor | np.ndarray] | torch.Tensor | np.ndarray,
    body: BodyModel | None = None,
) -> list[Path]:
    """Writes each pose to its own file: `path` for a single one, else path_1, path_2, ...

    Args:
        path: As in `save_pose`.
        poses: (n, 22, 3, 3) in the stored z-up frame.
        body: The body of meshes and images. Default: the built-in one.

    Returns:
        The paths, in the order of the poses.

    Raises:
        ValueError: As `save_pose`.
    """
    path = Path(path)
    check_ending(path)
    if len(poses) == 1:
        return [save_pose(path, poses[0], body)]
    numbered = [path.with_stem(f"{path.stem}_{number}") for number in range(1, len(poses) + 1)]
    return [save_pose(place, pose, body) for place, pose in zip(numbered, poses)]


def check_ending(path: Path) -> None:
    """Checks the ending of a path.

    Raises:
        ValueError: It is not one of `POSE_ENDINGS`.
    """
    if path.suffix.lower() not in POSE_ENDINGS:
        raise ValueError(f"{path} ends in {path.suffix!r}; accepted: {', '.join(POSE_ENDINGS)}")


def pose_arrays(rotmats: torch.Tensor) -> dict[str, np.ndarray]:
    """One (22, 3, 3) pose as `rotmats` and, in radians, `global_orient` (3,), `body_pose` (63,) and `poses` (66,)."""
    poses = roma.rotmat_to_rotvec(rotmats).flatten().numpy()
    return {"rotmats": rotmats.numpy(), "global_orient": poses[:3], "body_pose": poses[3:], "poses": poses}


def pose_mesh(rotmats: torch.Tensor, body: BodyModel | None = None, clothes: Clothes | None = None) -> trimesh.Trimesh:
    """The posed, clothed body as a mesh: meters, y up.

    Args:
        rotmats: (22, 3, 3) in the stored z-up frame.
        body: The body to pose. Default: the built-in one.
        clothes: Clothes, skin and hair.
    """
    body = BodyModel.builtin() if body is None else body
    with torch.no_grad():
        vertices = body(rotmats[None].to(body.v_template)).vertices[0]
    return trimesh.Trimesh(
        vertices=vertices.cpu().numpy(),
        faces=body.faces.cpu().numpy(),
        vertex_colors=vertex_colors(body, clothes or Clothes()),
        process=False,
    )


def encode_pose(ending: str, rotmats: torch.Tensor, body: BodyModel | None) -> bytes:
    """The content of a pose file.

    Args:
        ending: One of `POSE_ENDINGS`.
        rotmats: (22, 3, 3) in the stored z-up frame.
        body: The body of meshes and images; None: the built-in one.
    """
    if ending in MESH_ENDINGS:
        return encode_mesh(ending, pose_mesh(rotmats, body))
    buffer = BytesIO()
    if ending in IMAGE_ENDINGS:
        render_pose(rotmats, body, size=512).save(buffer, format="PNG")
    elif ending == ".npz":
        arrays: dict[str, Any] = pose_arrays(rotmats)
        np.savez_compressed(buffer, **arrays)
    elif ending == ".npy":
        np.save(buffer, rotmats.numpy())
    else:
        lists = {key: array.tolist() for key, array in pose_arrays(rotmats).items()}
        buffer.write(json.dumps(lists).encode())
    return buffer.getvalue()


def encode_mesh(ending: str, mesh: trimesh.Trimesh) -> bytes:
    """The content of a mesh file.

    Args:
        ending: One of `MESH_ENDINGS`.
        mesh: Mesh with vertex colors.
    """
    if ending == ".glb":
        return export_glb(mesh.scene())
    return export_obj(mesh).encode()


def write_atomically(path: Path, content: bytes) -> None:
    """Writes a temporary file next to `path` and renames it, so that readers never see a part of the content.

    Args:
        path: Path of the file. Missing folders are created.
        content: Content of the file.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}-")
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        temporary.chmod(0o644)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise

"""Writes poses to files: numbers (.npz, .npy, .json), a posed mesh (.glb, .obj) or an image (.png).

`load_pose` reads the numbers back. They are in the stored z-up frame, or in another that the file then states; meshes
and images are y up.
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
from .pose_features import load_pose, pose_to_rotmats
from .pose_frames import NUM_JOINTS, Frame, check_frame, to_frame
from .rendering import render_pose


NUMBER_ENDINGS = (".npz", ".npy", ".json")
MESH_ENDINGS = (".glb", ".obj")
IMAGE_ENDINGS = (".png",)
POSE_ENDINGS = NUMBER_ENDINGS + MESH_ENDINGS + IMAGE_ENDINGS


def save_pose(
    path: str | Path,
    rotmats: torch.Tensor | np.ndarray,
    body: BodyModel | None = None,
    frame: Frame = "z_up",
    input_frame: Frame = "z_up",
) -> Path:
    """Writes one pose in the format of the path's ending, in any case.

    Args:
        path: .npz or .json (`rotmats`, SMPL's axis-angle vectors and the frame), .npy (`rotmats` alone), .glb or .obj
            (the posed body), .png (its image). Missing folders are created; the file is written atomically.
        rotmats: (22, 3, 3).
        body: The body of meshes and images. Default: the built-in one.
        frame: Frame of the numbers in the file: "z_up", "y_up" or "camera". `load_pose` reads it from .npz and .json;
            for .npy pass it there too. Meshes and images are y up in any case.
        input_frame: Frame of `rotmats`.

    Returns:
        The path.

    Raises:
        ValueError: An ending or a frame that is not accepted, or what is not a pose: a wrong shape, a NaN or an
            infinity, a matrix that is not a rotation. Nothing is written then.
    """
    path = Path(path)
    check_ending(path)
    check_frame(frame)
    rotmats = read_rotmats(rotmats, input_frame)
    write_atomically(path, encode_pose(path.suffix.lower(), rotmats, body, frame))
    return path


def save_poses(
    path: str | Path,
    poses: Sequence[torch.Tensor | np.ndarray] | torch.Tensor | np.ndarray,
    body: BodyModel | None = None,
    frame: Frame = "z_up",
    input_frame: Frame = "z_up",
) -> list[Path]:
    """Writes each pose to its own file: `path` for a single one, else path_1, path_2, ...

    Args:
        path: As in `save_pose`.
        poses: (n, 22, 3, 3).
        body: The body of meshes and images. Default: the built-in one.
        frame: Frame of the numbers in the files.
        input_frame: Frame of `poses`.

    Returns:
        The paths, in the order of the poses.

    Raises:
        ValueError: As `save_pose`.
    """
    path = Path(path)
    check_ending(path)
    checked = [read_rotmats(pose, input_frame, f"rotmats of pose {number}") for number, pose in enumerate(poses, 1)]
    if len(checked) == 1:
        return [save_pose(path, checked[0], body, frame)]
    numbered = [path.with_stem(f"{path.stem}_{number}") for number in range(1, len(checked) + 1)]
    return [save_pose(place, pose, body, frame) for place, pose in zip(numbered, checked)]


def read_rotmats(rotmats: torch.Tensor | np.ndarray, frame: Frame = "z_up", name: str = "rotmats") -> torch.Tensor:
    """A pose to write, checked as all poses are.

    Args:
        rotmats: (22, 3, 3).
        frame: Its frame.
        name: Name of this input in error messages.

    Returns:
        (22, 3, 3) float32 in the stored z-up frame.

    Raises:
        ValueError: As `save_pose`.
    """
    check_frame(frame, "input_frame")
    try:
        shape = tuple(np.shape(rotmats))
    except (ValueError, TypeError) as error:
        raise ValueError(f"{name} is no array; expected one pose, ({NUM_JOINTS}, 3, 3)") from error
    if shape != (NUM_JOINTS, 3, 3):
        raise ValueError(f"{name} has shape {shape}; expected one pose, ({NUM_JOINTS}, 3, 3)")
    return pose_to_rotmats(rotmats, name, frame)


def check_ending(path: Path) -> None:
    """Checks the ending of a path.

    Raises:
        ValueError: It is not one of `POSE_ENDINGS`.
    """
    if path.suffix.lower() not in POSE_ENDINGS:
        raise ValueError(f"{path} ends in {path.suffix!r}; accepted: {', '.join(POSE_ENDINGS)}")


def pose_arrays(rotmats: torch.Tensor, frame: Frame = "z_up") -> dict[str, np.ndarray]:
    """One pose as `rotmats`, in radians `global_orient` (3,), `body_pose` (63,) and `poses` (66,), and `frame`.

    Args:
        rotmats: (22, 3, 3) in the stored z-up frame.
        frame: Frame of the result.
    """
    rotmats = to_frame(rotmats, frame)
    poses = roma.rotmat_to_rotvec(rotmats).flatten().numpy()
    arrays = {"rotmats": rotmats.numpy(), "global_orient": poses[:3], "body_pose": poses[3:], "poses": poses}
    return arrays | {"frame": np.array(frame)}


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


def encode_pose(ending: str, rotmats: torch.Tensor, body: BodyModel | None, frame: Frame = "z_up") -> bytes:
    """The content of a pose file.

    Args:
        ending: One of `POSE_ENDINGS`.
        rotmats: (22, 3, 3) in the stored z-up frame.
        body: The body of meshes and images; None: the built-in one.
        frame: Frame of the numbers.
    """
    if ending in MESH_ENDINGS:
        return encode_mesh(ending, pose_mesh(rotmats, body))
    buffer = BytesIO()
    if ending in IMAGE_ENDINGS:
        render_pose(rotmats, body, size=512).save(buffer, format="PNG")
    elif ending == ".npz":
        arrays: dict[str, Any] = pose_arrays(rotmats, frame)
        np.savez_compressed(buffer, **arrays)
    elif ending == ".npy":
        np.save(buffer, to_frame(rotmats, frame).numpy())
    else:
        lists = {key: array.tolist() for key, array in pose_arrays(rotmats, frame).items()}
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


__all__ = [
    "IMAGE_ENDINGS",
    "MESH_ENDINGS",
    "NUMBER_ENDINGS",
    "POSE_ENDINGS",
    "check_ending",
    "encode_mesh",
    "encode_pose",
    "load_pose",
    "pose_arrays",
    "pose_mesh",
    "read_rotmats",
    "save_pose",
    "save_poses",
    "write_atomically",
]

"""Writes poses to files. `FORMATS` has a row for each ending: what a file holds, and how many poses.

`load_pose` reads numbers back. They are in the stored z-up frame, or in another that the file then states; meshes,
skeletons and images are y up.
"""

import json
import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import roma
import torch
import trimesh
from PIL import Image
from trimesh.exchange.obj import export_obj

from .body_model import Betas, Body, BodyModel, to_body_model
from .bvh_export import encode_bvh
from .clothing import Clothes, vertex_colors
from .openpose import COCO_17, draw_openpose, encode_keypoints, pose_keypoints
from .pose_features import load_pose, pose_to_rotmats
from .pose_frames import NUM_JOINTS, Frame, check_frame, to_frame
from .pose_motion import FPS, SECONDS, interpolate_poses, lowest_points
from .rendering import render_pose
from .skinned_glb import encode_glb
from .smpl_npz import encode_smpl


IMAGE_SIZE = 512

OnePose: TypeAlias = torch.Tensor | np.ndarray
Poses: TypeAlias = Sequence[OnePose] | OnePose


@dataclass(frozen=True)
class Content:
    """What a file shall hold.

    Args:
        rotmats: (frames, 22, 3, 3) in the stored z-up frame.
        body: The body of meshes, skeletons and images, with its shape.
        betas: (n,) shape coefficients that SMPL's files state; None: the mean shape.
        frame: Frame of numbers.
        heights: (frames,) meters by which the pelvis is above that of the first frame.
        fps: Frames per second.
    """

    rotmats: torch.Tensor
    body: BodyModel
    betas: np.ndarray | None
    frame: Frame
    heights: torch.Tensor
    fps: float


@dataclass(frozen=True)
class Format:
    """A kind of file.

    Args:
        ending: Ending of its name; the longest that fits is chosen.
        content: What it holds.
        encode: Gives the bytes of the file.
        animated: Whether it can hold a motion; otherwise it holds one pose.
        states_betas: Whether it holds betas, which then need no body.
    """

    ending: str
    content: str
    encode: Callable[[Content], bytes]
    animated: bool = False
    states_betas: bool = False


def save_pose(
    path: str | Path,
    rotmats: OnePose,
    body: Body | None = None,
    frame: Frame = "z_up",
    input_frame: Frame = "z_up",
    betas: Betas | None = None,
) -> Path:
    """Writes one pose in the format of the path's ending, in any case.

    Args:
        path: Its ending is one of `FORMATS`. Missing folders are created; the file is written atomically.
        rotmats: (22, 3, 3).
        body: The body of meshes, skeletons and images: a body, or the path of an SMPL, SMPL-H or SMPL-X file. Default:
            the built-in one.
        frame: Frame of the numbers in the file: "z_up", "y_up" or "camera". `load_pose` reads it from the file; for
            .npy pass it there too. Meshes, skeletons and images are y up in any case.
        input_frame: Frame of `rotmats`.
        betas: (n,) shape coefficients: of `body`, and those that SMPL's files state. Default: the mean shape.

    Returns:
        The path.

    Raises:
        ValueError: An ending or a frame that is not accepted, or what is not a pose: a wrong shape, a NaN or an
            infinity, a matrix that is not a rotation; betas without an SMPL body. Nothing is written then.
    """
    path = Path(path)
    file_format = find_format(path)
    check_frame(frame)
    pose = read_rotmats(rotmats, input_frame)
    write_pose(path, file_format, pose, *choose_body(file_format, body, betas), frame)
    return path


def save_poses(
    path: str | Path,
    poses: Poses,
    body: Body | None = None,
    frame: Frame = "z_up",
    input_frame: Frame = "z_up",
    betas: Betas | None = None,
) -> list[Path]:
    """Writes each pose to its own file: `path` for a single one, else path_1, path_2, ...

    Args:
        path: As in `save_pose`.
        poses: (n, 22, 3, 3).
        body: As in `save_pose`.
        frame: Frame of the numbers in the files.
        input_frame: Frame of `poses`.
        betas: As in `save_pose`.

    Returns:
        The paths, in the order of the poses.

    Raises:
        ValueError: As `save_pose`.
    """
    path = Path(path)
    file_format = find_format(path)
    check_frame(frame)
    checked = read_poses(poses, input_frame)
    chosen, betas = choose_body(file_format, body, betas)
    stem, ending = path.name[: -len(file_format.ending)], path.name[-len(file_format.ending) :]
    numbered = [path.with_name(f"{stem}_{number}{ending}") for number in range(1, len(checked) + 1)]
    paths = [path] if len(checked) == 1 else numbered
    for place, pose in zip(paths, checked):
        write_pose(place, file_format, pose, chosen, betas, frame)
    return paths


def save_animation(
    path: str | Path,
    poses: Poses,
    fps: float = FPS,
    seconds: float = SECONDS,
    body: Body | None = None,
    frame: Frame = "z_up",
    input_frame: Frame = "z_up",
    betas: Betas | None = None,
    keep_floor: bool = True,
) -> Path:
    """Writes a motion through several poses to one file, such as an edit from the pose before to the pose after.

    Args:
        path: Its ending is one of the animated `FORMATS`.
        poses: (n, 22, 3, 3), two or more. Between them each joint rotates at constant speed (slerp).
        fps: Frames per second.
        seconds: Time from one pose to the next. 1 / fps takes the poses as the frames of a clip.
        body: As in `save_pose`.
        frame: Frame of the numbers in the file.
        input_frame: Frame of `poses`.
        betas: As in `save_pose`.
        keep_floor: Whether the lowest point of the body stays at the height of the first frame's, so that it stands
            on one floor. Otherwise the pelvis stays.

    Returns:
        The path.

    Raises:
        ValueError: As `save_pose`; an ending that holds one pose; fewer than two poses; a rate or a time that is not
            positive.
    """
    path = Path(path)
    file_format = find_format(path, animated=True)
    check_frame(frame)
    checked = read_poses(poses, input_frame)
    if len(checked) < 2:
        raise ValueError(f"an animation needs at least 2 poses, got {len(checked)}; save_pose writes a single one")
    rotmats = interpolate_poses(torch.stack(checked), fps, seconds)
    chosen, betas = choose_body(file_format, body, betas)
    lowest = lowest_points(rotmats, chosen) if keep_floor else torch.zeros(len(rotmats))
    content = Content(rotmats, chosen, betas, frame, lowest[:1] - lowest, fps)
    write_atomically(path, file_format.encode(content))
    return path


def write_pose(
    path: Path, file_format: Format, rotmats: torch.Tensor, body: BodyModel, betas: np.ndarray | None, frame: Frame
) -> None:
    """Writes the file of one pose.

    Args:
        path: Path of the file.
        file_format: Its format.
        rotmats: (22, 3, 3) in the stored z-up frame.
        body: The body of meshes, skeletons and images, with its shape.
        betas: (n,) shape coefficients that the file states.
        frame: Frame of the numbers.
    """
    write_atomically(path, file_format.encode(Content(rotmats[None], body, betas, frame, torch.zeros(1), FPS)))


def find_format(path: Path, animated: bool = False) -> Format:
    """The format of a path's ending.

    Args:
        path: Path of a file.
        animated: Whether the file shall hold a motion.

    Raises:
        ValueError: It is not one of `FORMATS`, or holds one pose and shall hold a motion.
    """
    fitting = [
        each for each in FORMATS if path.name.lower().endswith(each.ending) and len(path.name) > len(each.ending)
    ]
    if not fitting:
        raise ValueError(f"{path} ends in {path.suffix!r}; accepted: {', '.join(POSE_ENDINGS)}")
    found = max(fitting, key=lambda each: len(each.ending))
    if animated and not found.animated:
        accepted = ", ".join(each.ending for each in FORMATS if each.animated)
        raise ValueError(f"{path}: a {found.ending} file holds one pose; accepted for an animation: {accepted}")
    return found


def check_ending(path: Path, animated: bool = False) -> None:
    """Checks the ending of a path.

    Args:
        path: Path of a file.
        animated: Whether the file shall hold a motion.

    Raises:
        ValueError: As `find_format`.
    """
    find_format(path, animated)


def choose_body(file_format: Format, body: Body | None, betas: Betas | None) -> tuple[BodyModel, np.ndarray | None]:
    """The body of a file, and the betas that it states.

    Args:
        file_format: Format of the file.
        body: A body, the path of an SMPL, SMPL-H or SMPL-X file, or None for the built-in one.
        betas: (n,) shape coefficients.

    Raises:
        ValueError: Betas that are no vector of finite numbers, or betas without an SMPL body in a format that does
            not state them.
    """
    if betas is None:
        return to_body_model(body), None
    try:
        stated = torch.as_tensor(betas).detach().cpu().numpy().astype(np.float32)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(f"betas are {type(betas).__name__} without numbers; expected (n,) finite numbers") from error
    if stated.ndim != 1 or not np.isfinite(stated).all():
        raise ValueError(f"betas have shape {stated.shape}; expected (n,) finite numbers")
    states_only = body is None and file_format.states_betas
    return to_body_model(body, None if states_only else stated), stated


def read_poses(poses: Poses, frame: Frame) -> list[torch.Tensor]:
    """Poses to write, checked as all poses are; errors name "pose 1", "pose 2", ...

    Args:
        poses: (n, 22, 3, 3).
        frame: Their frame.
    """
    return [read_rotmats(pose, frame, f"rotmats of pose {number}") for number, pose in enumerate(poses, 1)]


def read_rotmats(rotmats: OnePose, frame: Frame = "z_up", name: str = "rotmats") -> torch.Tensor:
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
        hint = "; save_poses and save_animation write several" if shape[1:] == (NUM_JOINTS, 3, 3) else ""
        raise ValueError(f"{name} has shape {shape}; expected one pose, ({NUM_JOINTS}, 3, 3){hint}")
    return pose_to_rotmats(rotmats, name, frame)


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


def pose_mesh(rotmats: torch.Tensor, body: Body | None = None, clothes: Clothes | None = None) -> trimesh.Trimesh:
    """The posed, clothed body as a mesh: meters, y up.

    Args:
        rotmats: (22, 3, 3) in the stored z-up frame.
        body: The body to pose, or the path of its file. Default: the built-in one.
        clothes: Clothes, skin and hair.
    """
    body = to_body_model(body)
    with torch.no_grad():
        vertices = body(rotmats[None].to(body.v_template)).vertices[0]
    return trimesh.Trimesh(
        vertices=vertices.cpu().numpy(),
        faces=body.faces.cpu().numpy(),
        vertex_colors=vertex_colors(body, clothes or Clothes()),
        process=False,
    )


def encode_npz(content: Content) -> bytes:
    """`pose_arrays` as an .npz file."""
    buffer = BytesIO()
    arrays: dict[str, Any] = pose_arrays(content.rotmats[0], content.frame)
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


def encode_npy(content: Content) -> bytes:
    """The rotation matrices as an .npy file."""
    buffer = BytesIO()
    np.save(buffer, to_frame(content.rotmats[0], content.frame).numpy())
    return buffer.getvalue()


def encode_json(content: Content) -> bytes:
    """`pose_arrays` as lists."""
    arrays = pose_arrays(content.rotmats[0], content.frame)
    return json.dumps({key: array.tolist() for key, array in arrays.items()}).encode()


def encode_image(image: Image.Image) -> bytes:
    """An image as a .png file."""
    buffer = BytesIO()
    image.save(buffer, format="PNG")
    return buffer.getvalue()


def content_keypoints(content: Content) -> np.ndarray:
    """(18, 3) keypoints of the pose in the image that a .png file has."""
    return pose_keypoints(content.rotmats[0], content.body, IMAGE_SIZE)


def smpl_format(model: str, content: str) -> Format:
    """The format of one of SMPL's models.

    Args:
        model: "smpl", "smplh" or "smplx".
        content: What the file holds.
    """

    def encode(written: Content) -> bytes:
        return encode_smpl(
            model, written.rotmats, written.body, written.heights, written.fps, written.betas, written.frame
        )

    return Format(f".{model}.npz", content, encode, animated=True, states_betas=True)


FORMATS = (
    Format(
        ".npz", "`rotmats`; axis-angle in radians: `global_orient`, `body_pose`, `poses` (66,); `frame`", encode_npz
    ),
    Format(".npy", "`rotmats` (22, 3, 3)", encode_npy),
    Format(".json", "as `.npz`", encode_json),
    smpl_format("smpl", "SMPL: `poses` (n, 72), `trans`, `betas`, `gender`, `mocap_framerate`, `frame`"),
    smpl_format("smplh", "SMPL-H as in AMASS: the same with `poses` (n, 156)"),
    smpl_format("smplx", "SMPL-X as in AMASS: the same with `poses` (n, 165) and its parts"),
    Format(
        ".glb",
        "skinned body with skeleton; y up, meters",
        lambda content: encode_glb(content.rotmats, content.body, content.heights, content.fps),
        animated=True,
    ),
    Format(
        ".bvh",
        "skeleton; y up, centimeters, degrees",
        lambda content: encode_bvh(content.rotmats, content.body, content.heights, content.fps),
        animated=True,
    ),
    Format(
        ".obj",
        "posed mesh; y up, meters",
        lambda content: export_obj(pose_mesh(content.rotmats[0], content.body)).encode(),
    ),
    Format(
        ".png",
        "image, 512 px",
        lambda content: encode_image(render_pose(content.rotmats[0], content.body, size=IMAGE_SIZE)),
    ),
    Format(
        ".openpose.png",
        "OpenPose skeleton of that image, for ControlNet",
        lambda content: encode_image(draw_openpose(content_keypoints(content), IMAGE_SIZE)),
    ),
    Format(
        ".openpose.json",
        "2D keypoints of that image, BODY_18",
        lambda content: encode_keypoints(content_keypoints(content), IMAGE_SIZE),
    ),
    Format(
        ".coco.json",
        "2D keypoints of that image, COCO-17",
        lambda content: encode_keypoints(content_keypoints(content)[list(COCO_17)], IMAGE_SIZE),
    ),
)
POSE_ENDINGS = tuple(each.ending for each in FORMATS)


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
    "FORMATS",
    "POSE_ENDINGS",
    "Format",
    "check_ending",
    "load_pose",
    "pose_arrays",
    "pose_mesh",
    "read_rotmats",
    "save_animation",
    "save_pose",
    "save_poses",
    "write_atomically",
]

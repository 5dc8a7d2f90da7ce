"""What files of poses hold: `FORMATS` has a row for each ending.

Numbers are in the stored z-up frame, or in another that the file then states; meshes, skeletons and images are y up.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import roma
import torch
from PIL import Image

from .body_model import Body, BodyModel, to_body_model
from .bvh_export import encode_bvh
from .clothing import Clothes, vertex_colors
from .edited_poses import Original, keep_entries
from .openpose import COCO_17, draw_openpose, encode_keypoints, pose_keypoints
from .pose_frames import Frame, to_frame
from .pose_viewer import viewer_html
from .rendering import render_pose
from .skinned_glb import encode_glb
from .smpl_npz import encode_smpl


if TYPE_CHECKING:
    from trimesh import Trimesh


IMAGE_SIZE = 512


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
        original: What the poses were edited from: the file keeps its hands, face, shape and translation.
    """

    rotmats: torch.Tensor
    body: BodyModel
    betas: np.ndarray | None
    frame: Frame
    heights: torch.Tensor
    fps: float
    original: Original | None = None


@dataclass(frozen=True)
class Format:
    """A kind of file.

    Args:
        ending: Ending of its name; the longest that fits is chosen.
        content: What it holds.
        encode: Gives the bytes of the file.
        animated: Whether it can hold a motion; otherwise it holds one pose.
        states_betas: Whether it holds betas, which then need no body.
        keeps: Whether it can hold what a pose was edited from.
    """

    ending: str
    content: str
    encode: Callable[[Content], bytes]
    animated: bool = False
    states_betas: bool = False
    keeps: bool = False


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


def pose_mesh(rotmats: torch.Tensor, body: Body | None = None, clothes: Clothes | None = None) -> "Trimesh":
    """The posed, clothed body as a mesh: meters, y up.

    Args:
        rotmats: (22, 3, 3) in the stored z-up frame.
        body: The body to pose, or the path of its file. Default: the built-in one.
        clothes: Clothes, skin and hair.
    """
    # Not at the top: its import takes as long as an answer.
    from trimesh import Trimesh

    body = to_body_model(body)
    with torch.no_grad():
        vertices = body(rotmats[None].to(body.v_template)).vertices[0]
    return Trimesh(
        vertices=vertices.cpu().numpy(),
        faces=body.faces.cpu().numpy(),
        vertex_colors=vertex_colors(body, clothes or Clothes()),
        process=False,
    )


def numbers_of(content: Content) -> dict[str, Any]:
    """`pose_arrays` of one pose, and what it was edited from."""
    arrays = pose_arrays(content.rotmats[0], content.frame)
    return arrays if content.original is None else keep_entries(arrays, content.rotmats[0], content.original)


def encode_npz(content: Content) -> bytes:
    """`numbers_of` as an .npz file."""
    buffer = BytesIO()
    np.savez_compressed(buffer, **numbers_of(content))
    return buffer.getvalue()


def encode_obj(content: Content) -> bytes:
    """A posed mesh."""
    from trimesh.exchange.obj import export_obj

    return export_obj(pose_mesh(content.rotmats[0], content.body)).encode()


def encode_npy(content: Content) -> bytes:
    """The rotation matrices as an .npy file."""
    buffer = BytesIO()
    np.save(buffer, to_frame(content.rotmats[0], content.frame).numpy())
    return buffer.getvalue()


def encode_json(content: Content) -> bytes:
    """`numbers_of` as lists."""
    return json.dumps({key: array.tolist() for key, array in numbers_of(content).items()}).encode()


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
        motion = (written.rotmats, written.body, written.heights, written.fps)
        return encode_smpl(model, *motion, written.betas, written.frame, written.original)

    return Format(f".{model}.npz", content, encode, animated=True, states_betas=True, keeps=True)


FORMATS = (
    Format(
        ".npz",
        "`rotmats`; axis-angle in radians: `global_orient`, `body_pose`, `poses` (66,); `frame`",
        encode_npz,
        keeps=True,
    ),
    Format(".npy", "`rotmats` (22, 3, 3)", encode_npy),
    Format(".json", "as `.npz`", encode_json, keeps=True),
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
        encode_obj,
    ),
    Format(
        ".html",
        "page with a 3D view of the pose, which needs no other file",
        lambda content: viewer_html([content.rotmats[0]], body=content.body).encode(),
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

"""2D keypoints of a pose, as OpenPose and COCO have them, and the skeleton image that ControlNet takes.

The camera is that of `render_pose`, so that keypoints lie on the rendered body.
"""

import json

import numpy as np
import torch
from PIL import Image, ImageDraw

from .body_model import HEAD, Body, BodyModel, forward_kinematics, to_body_model
from .clothing import EYE
from .pose_frames import NUM_JOINTS, to_y_up
from .rasterizing import Camera, Projection
from .rendering import Size, to_azimuth


# BODY_18: where each keypoint comes from, a joint (number) or the face (name).
FACE = ("nose", "right_eye", "left_eye", "right_ear", "left_ear")
BODY_18: tuple[int | str, ...] = (
    "nose", 12, 17, 19, 21, 16, 18, 20, 2, 5, 8, 1, 4, 7, "right_eye", "left_eye", "right_ear", "left_ear",
)  # fmt: skip
# The keypoints of BODY_18 in the order of COCO-17, which has no neck.
COCO_17 = (0, 15, 14, 17, 16, 5, 2, 6, 3, 7, 4, 11, 8, 12, 9, 13, 10)

# Bones in the order of their colors.
BONES = (
    (1, 2), (1, 5), (2, 3), (3, 4), (5, 6), (6, 7), (1, 8), (8, 9), (9, 10),
    (1, 11), (11, 12), (12, 13), (1, 0), (0, 14), (14, 16), (0, 15), (15, 17),
)  # fmt: skip
COLORS = (
    (255, 0, 0), (255, 85, 0), (255, 170, 0), (255, 255, 0), (170, 255, 0), (85, 255, 0), (0, 255, 0), (0, 255, 85),
    (0, 255, 170), (0, 255, 255), (0, 170, 255), (0, 85, 255), (0, 0, 255), (85, 0, 255), (170, 0, 255), (255, 0, 255),
    (255, 0, 170), (255, 0, 85),
)  # fmt: skip
BONE_BRIGHTNESS = 0.6
RADIUS = 4 / 512  # of a keypoint, and half the width of a bone, of the image's shorter side

# Vertices of the face in SMPL's and SMPL-H's mesh, and in SMPL-X's: the smplx package has the same.
FACE_VERTICES = {6890: (332, 6260, 2800, 4071, 583), 10475: (9120, 9929, 9448, 616, 6)}
# Where the parts of the face look to, with the face toward +z, and the cosine below which the head hides them.
FACE_DIRECTIONS = np.array([[0, 0, 1], [-0.45, 0, 0.89], [0.45, 0, 0.89], [-1, 0, 0], [1, 0, 0]])
HIDDEN = -0.17


def pose_keypoints(
    rotmats: torch.Tensor,
    body: Body | None = None,
    size: Size = 512,
    view: str | float = "front",
    elevation: float = 10.0,
) -> np.ndarray:
    """The keypoints BODY_18 of one pose in the image of `render_pose` with the same arguments.

    Nose, eyes and ears are vertices of the head. Those on the far side of the head are missing, as in OpenPose.

    Args:
        rotmats: (22, 3, 3) in the stored z-up frame.
        body: The body to pose, or the path of its file. Default: the built-in one.
        size: Pixels of a square, or (width, height).
        view: A name of `VIEWS` or the camera's azimuth in degrees.
        elevation: Degrees of the camera above the horizon.

    Returns:
        (18, 3): x and y in pixels and the confidence, 1; zeros for a missing keypoint.

    Raises:
        ValueError: An unknown view.
    """
    body = to_body_model(body)
    width, height = (size, size) if isinstance(size, int) else size
    with torch.no_grad():
        pose = rotmats[None].to(body.v_template)
        posed = body(pose)
        rotations, _ = forward_kinematics(to_y_up(pose), body.joints[:NUM_JOINTS])
    vertices, joints = posed.vertices[0].cpu().numpy(), posed.joints[0].cpu().numpy()
    camera = Camera(azimuth=to_azimuth(view), elevation=elevation)
    projection = Projection.fit(vertices, camera, width, height)
    face = vertices[list(face_vertices(body))]
    places = np.stack([joints[at] if isinstance(at, int) else face[FACE.index(at)] for at in BODY_18])
    keypoints = np.ones((len(BODY_18), 3))
    keypoints[:, :2] = projection.to_screen(projection.to_camera(places))
    toward = projection.position - face
    toward /= np.linalg.norm(toward, axis=1, keepdims=True)
    looks = FACE_DIRECTIONS @ rotations[0, HEAD].cpu().numpy().T
    hidden = np.array(FACE)[(looks * toward).sum(axis=1) < HIDDEN]
    keypoints[[BODY_18.index(name) for name in hidden]] = 0.0
    return keypoints


def face_vertices(body: BodyModel) -> tuple[int, ...]:
    """The vertices of `FACE`: known ones of SMPL bodies, on others those that stand out of the head.

    Args:
        body: The body. Its nose is the most forward vertex of the head, its ears are the outermost ones and its eyes
            are nearest to the painted ones.
    """
    template = body.v_template.float().cpu().numpy()
    if len(template) in FACE_VERTICES:
        return FACE_VERTICES[len(template)]
    head = np.flatnonzero(body.vertex_joints().cpu().numpy() == HEAD)
    places = template[head]
    low, high = places.min(axis=0), places.max(axis=0)
    across, up = EYE[:2]
    aside, level = across * (high[0] - low[0]) / 2, low[1] + up * (high[1] - low[1])
    eyes = [np.linalg.norm(places - (side * aside, level, high[2]), axis=1).argmin() for side in (-1, 1)]
    return tuple(int(head[at]) for at in (places[:, 2].argmax(), *eyes, places[:, 0].argmin(), places[:, 0].argmax()))


def encode_keypoints(keypoints: np.ndarray, size: int) -> bytes:
    """OpenPose's JSON of one person.

    Args:
        keypoints: (k, 3): x, y and confidence.
        size: Pixels of the square image.
    """
    person = {"pose_keypoints_2d": np.round(keypoints, 3).ravel().tolist()}
    return json.dumps({"people": [person], "canvas_width": size, "canvas_height": size}).encode()


def draw_openpose(keypoints: np.ndarray, size: Size = 512) -> Image.Image:
    """The skeleton of BODY_18 in OpenPose's colors on black, as ControlNet takes it.

    Args:
        keypoints: (18, 3) from `pose_keypoints`; bones of missing ones are left out.
        size: Pixels of a square, or (width, height).
    """
    image = Image.new("RGB", (size, size) if isinstance(size, int) else size)
    draw = ImageDraw.Draw(image)
    radius = RADIUS * min(image.size)
    seen = keypoints[:, 2] > 0
    for (first, second), color in zip(BONES, COLORS):
        if seen[first] and seen[second]:
            dimmed = tuple(int(BONE_BRIGHTNESS * value) for value in color)
            draw.polygon(bone_outline(keypoints[first, :2], keypoints[second, :2], radius), fill=dimmed)
    for (x, y, confidence), color in zip(keypoints.tolist(), COLORS):
        if confidence > 0:
            draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=color)
    return image


def bone_outline(first: np.ndarray, second: np.ndarray, radius: float) -> list[tuple[float, float]]:
    """The outline of an ellipse between two keypoints.

    Args:
        first: (2,) pixels.
        second: (2,) pixels.
        radius: Half its width in pixels.
    """
    along = (second - first) / 2
    length = max(float(np.linalg.norm(along)), 1e-6)
    across = np.array([-along[1], along[0]]) * radius / length
    angles = np.linspace(0.0, 2 * np.pi, 36, endpoint=False)[:, None]
    outline = (first + second) / 2 + np.cos(angles) * along + np.sin(angles) * across
    return [(float(x), float(y)) for x, y in outline]

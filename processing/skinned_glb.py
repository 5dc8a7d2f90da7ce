"""Binary glTF files (GLB) of a skinned body: meters, y up, posed by the rotations of its joints.

The file holds a mesh in the T-pose with four joints a vertex, normals, linear colors and a matte material; 24 nodes of
joints that an application shows as a skeleton; and, for several frames, an animation. trimesh writes no skins.
"""

import json
import struct
from typing import Any

import numpy as np
import roma
import torch

from .body_model import NUM_BODY_JOINTS, BodyModel
from .clothing import Clothes, vertex_colors
from .pose_frames import JOINT_NAMES, NUM_JOINTS, PARENTS, to_y_up
from .rasterizing import vertex_normals


NODE_NAMES = (*JOINT_NAMES, "left_hand", "right_hand")
INFLUENCES = 4  # joints a vertex, as most applications read

# Codes of the format: types of numbers, uses of buffers, chunks of the file.
COMPONENT_TYPES = {"float32": 5126, "uint8": 5121, "uint16": 5123, "uint32": 5125}
SHAPES = {1: "SCALAR", 3: "VEC3", 4: "VEC4", 16: "MAT4"}
ARRAY_BUFFER, ELEMENT_ARRAY_BUFFER = 34962, 34963
MAGIC, VERSION, JSON_CHUNK, BINARY_CHUNK = 0x46546C67, 2, 0x4E4F534A, 0x004E4942

METALLIC, ROUGHNESS = 0.0, 0.8


class Buffer:
    """The binary part of a file, and the accessors that describe it."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.views: list[dict[str, int]] = []
        self.accessors: list[dict[str, Any]] = []

    def add(self, array: np.ndarray, bounds: bool = False, target: int | None = None, normalized: bool = False) -> int:
        """Appends numbers.

        Args:
            array: (n,) or (n, components) of one of `COMPONENT_TYPES`, with rows of a multiple of four bytes or
                scalars.
            bounds: Whether the accessor states the smallest and largest values.
            target: Use by the graphics card.
            normalized: Whether integers stand for 0..1.

        Returns:
            The index of the accessor.
        """
        rows = array.reshape(len(array), -1)
        view = {"buffer": 0, "byteOffset": len(self.data), "byteLength": rows.nbytes}
        accessor = {
            "bufferView": len(self.views),
            "componentType": COMPONENT_TYPES[str(rows.dtype)],
            "count": len(rows),
            "type": SHAPES[rows.shape[1]],
        }
        if bounds:
            accessor |= {"min": rows.min(axis=0).tolist(), "max": rows.max(axis=0).tolist()}
        if normalized:
            accessor["normalized"] = True
        self.views.append(view if target is None else view | {"target": target})
        self.accessors.append(accessor)
        self.data += np.ascontiguousarray(rows).tobytes()
        self.data += bytes(-len(self.data) % 4)
        return len(self.accessors) - 1


def encode_glb(
    rotmats: torch.Tensor, body: BodyModel, heights: torch.Tensor, fps: float, clothes: Clothes | None = None
) -> bytes:
    """The content of a GLB file.

    Args:
        rotmats: (frames, 22, 3, 3) in the stored z-up frame. The body stands in the first; several are an animation.
        body: The body to skin. SMPL's corrections of the mesh are those of the first frame.
        heights: (frames,) meters by which the pelvis is above that of the rest pose.
        fps: Frames per second.
        clothes: Clothes, skin and hair.
    """
    buffer = Buffer()
    joints = body.joints.float().cpu().numpy()
    quaternions = joint_quaternions(rotmats)
    pelvis = np.tile(joints[0], (len(rotmats), 1))
    pelvis[:, 1] += heights.float().cpu().numpy()
    content: dict[str, Any] = {
        "asset": {"version": "2.0", "generator": "UniPose"},
        "scene": 0,
        "scenes": [{"nodes": [0, NUM_BODY_JOINTS]}],
        "nodes": [*joint_nodes(joints, quaternions[0], pelvis[0]), {"name": "body", "mesh": 0, "skin": 0}],
        "meshes": [{"name": "body", "primitives": [add_mesh(buffer, rotmats[:1], body, clothes or Clothes())]}],
        "skins": [add_skin(buffer, joints)],
        "materials": [
            {"name": "body", "pbrMetallicRoughness": {"metallicFactor": METALLIC, "roughnessFactor": ROUGHNESS}}
        ],
    }
    if len(rotmats) > 1:
        content["animations"] = [add_animation(buffer, quaternions, pelvis, fps)]
    content |= {
        "accessors": buffer.accessors,
        "bufferViews": buffer.views,
        "buffers": [{"byteLength": len(buffer.data)}],
    }
    return pack(content, bytes(buffer.data))


def pack(content: dict[str, Any], data: bytes) -> bytes:
    """A GLB file: a header, a chunk of JSON and a chunk of numbers.

    Args:
        content: The JSON.
        data: The numbers; a multiple of four bytes.
    """
    text = json.dumps(content, separators=(",", ":")).encode("ascii")
    text += b" " * (-len(text) % 4)
    chunks = struct.pack("<II", len(text), JSON_CHUNK) + text + struct.pack("<II", len(data), BINARY_CHUNK) + data
    return struct.pack("<III", MAGIC, VERSION, 12 + len(chunks)) + chunks


def joint_quaternions(rotmats: torch.Tensor) -> np.ndarray:
    """(frames, 22, 3, 3) in the stored frame -> (frames, 22, 4) quaternions, xyzw, each near the one of before."""
    quaternions = roma.rotmat_to_unitquat(to_y_up(rotmats.double())).cpu().numpy()
    # Of the two quaternions of a rotation, applications that interpolate numbers want the nearer one.
    flips = np.sign((quaternions[1:] * quaternions[:-1]).sum(axis=-1, keepdims=True))
    quaternions[1:] *= np.cumprod(np.where(flips == 0, 1.0, flips), axis=0)
    return quaternions.astype(np.float32)


def joint_nodes(joints: np.ndarray, quaternions: np.ndarray, pelvis: np.ndarray) -> list[dict[str, Any]]:
    """The nodes of the skeleton in one pose.

    Args:
        joints: (24, 3) rest positions in meters.
        quaternions: (22, 4) of the joints relative to their parents.
        pelvis: (3,) position of the pelvis.
    """
    nodes = []
    for joint, (name, parent) in enumerate(zip(NODE_NAMES, PARENTS)):
        offset = pelvis if parent < 0 else joints[joint] - joints[parent]
        node: dict[str, Any] = {"name": name, "translation": offset.tolist()}
        if joint < NUM_JOINTS:
            node["rotation"] = quaternions[joint].tolist()
        children = [child for child, owner in enumerate(PARENTS) if owner == joint]
        nodes.append(node | ({"children": children} if children else {}))
    return nodes


def add_mesh(buffer: Buffer, rotmats: torch.Tensor, body: BodyModel, clothes: Clothes) -> dict[str, Any]:
    """Appends the body in its rest pose.

    Args:
        buffer: Buffer of the file.
        rotmats: (1, 22, 3, 3) the pose of the corrections.
        body: The body.
        clothes: Clothes, skin and hair.

    Returns:
        The primitive of the mesh.
    """
    with torch.no_grad():
        corrected = body.v_template + body.pose_corrections(rotmats.to(body.v_template))[0]
    vertices, faces = corrected.float().cpu().numpy(), body.faces.cpu().numpy()
    normals = vertex_normals(vertices, faces)
    normals[np.linalg.norm(normals, axis=1) < 0.5] = (0.0, 1.0, 0.0)  # vertices without a face
    joints, weights = strongest_joints(body.weights.float().cpu().numpy())
    attributes = {
        "POSITION": buffer.add(vertices, bounds=True, target=ARRAY_BUFFER),
        "NORMAL": buffer.add(normals, target=ARRAY_BUFFER),
        "COLOR_0": buffer.add(linear_colors(vertex_colors(body, clothes)), target=ARRAY_BUFFER, normalized=True),
        "JOINTS_0": buffer.add(joints, target=ARRAY_BUFFER),
        "WEIGHTS_0": buffer.add(weights, target=ARRAY_BUFFER),
    }
    numbers = np.uint16 if len(vertices) < 2**16 - 1 else np.uint32
    indices = buffer.add(faces.ravel().astype(numbers), target=ELEMENT_ARRAY_BUFFER)
    return {"attributes": attributes, "indices": indices, "material": 0}


def strongest_joints(weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The joints that move each vertex most.

    Args:
        weights: (V, 24) skinning weights.

    Returns:
        (V, 4) joints, uint8, and (V, 4) their weights, which sum to one; a joint without weight is joint 0.
    """
    joints = np.argsort(-weights, axis=1, kind="stable")[:, :INFLUENCES]
    kept = np.take_along_axis(weights, joints, axis=1)
    kept = kept / kept.sum(axis=1, keepdims=True)
    return np.where(kept > 0, joints, 0).astype(np.uint8), kept.astype(np.float32)


def linear_colors(colors: np.ndarray) -> np.ndarray:
    """Opaque colors as glTF stores them.

    Args:
        colors: (V, 3) sRGB in 0..255.

    Returns:
        (V, 4) linear red, green, blue and alpha in 0..65535, uint16.
    """
    srgb = colors / 255.0
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    opaque = np.concatenate([linear, np.ones((len(linear), 1))], axis=1)
    return (opaque * 65535.0 + 0.5).astype(np.uint16)


def add_skin(buffer: Buffer, joints: np.ndarray) -> dict[str, Any]:
    """Appends the skeleton's rest pose.

    Args:
        buffer: Buffer of the file.
        joints: (24, 3) rest positions in meters.
    """
    inverse = np.tile(np.eye(4, dtype=np.float32), (len(joints), 1, 1))
    inverse[:, 3, :3] = -joints  # matrices are stored column by column
    return {
        "name": "skeleton",
        "joints": list(range(len(joints))),
        "skeleton": 0,
        "inverseBindMatrices": buffer.add(inverse.reshape(-1, 16)),
    }


def add_animation(buffer: Buffer, quaternions: np.ndarray, pelvis: np.ndarray, fps: float) -> dict[str, Any]:
    """Appends the rotations of all joints and the place of the pelvis.

    Args:
        buffer: Buffer of the file.
        quaternions: (frames, 22, 4).
        pelvis: (frames, 3) meters.
        fps: Frames per second.
    """
    times = buffer.add((np.arange(len(pelvis)) / fps).astype(np.float32), bounds=True)
    tracks = [("translation", 0, pelvis)]
    tracks += [("rotation", joint, quaternions[:, joint]) for joint in range(NUM_JOINTS)]
    channels, samplers = [], []
    for number, (kind, node, values) in enumerate(tracks):
        samplers.append({"input": times, "output": buffer.add(values), "interpolation": "LINEAR"})
        channels.append({"sampler": number, "target": {"node": node, "path": kind}})
    return {"name": "motion", "channels": channels, "samplers": samplers}

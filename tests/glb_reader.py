"""Reads GLB files as the format's specification says, one node and one vertex after the other."""

import json
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import roma
import torch


DTYPES = {5121: np.uint8, 5123: np.uint16, 5125: np.uint32, 5126: np.float32}
COMPONENTS = {"SCALAR": 1, "VEC3": 3, "VEC4": 4, "MAT4": 16}


@dataclass(frozen=True)
class Glb:
    """A file with one skinned mesh."""

    content: dict[str, Any]
    data: bytes

    @classmethod
    def read(cls, path: Path) -> "Glb":
        raw = path.read_bytes()
        magic, version, length = struct.unpack_from("<4sII", raw)
        assert (magic, version, length) == (b"glTF", 2, len(raw))
        chunks, place = {}, 12
        while place < length:
            size, kind = struct.unpack_from("<I4s", raw, place)
            chunks[kind] = raw[place + 8 : place + 8 + size]
            place += 8 + size
        return cls(json.loads(chunks[b"JSON"]), chunks[b"BIN\0"])

    @property
    def attributes(self) -> dict[str, np.ndarray]:
        """The numbers of the mesh's vertices."""
        return {name: self.array(at) for name, at in self.primitive["attributes"].items()}

    @property
    def primitive(self) -> dict[str, Any]:
        return self.content["meshes"][0]["primitives"][0]

    def array(self, accessor: int) -> np.ndarray:
        """(count, components) numbers; normalized integers as 0..1."""
        stated = self.content["accessors"][accessor]
        view = self.content["bufferViews"][stated["bufferView"]]
        dtype, components = DTYPES[stated["componentType"]], COMPONENTS[stated["type"]]
        values = np.frombuffer(self.data, dtype, stated["count"] * components, view["byteOffset"])
        values = values.reshape(-1, components).astype(np.float64)
        return values / np.iinfo(dtype).max if stated.get("normalized") else values

    def nodes_at(self, time: float) -> list[dict[str, Any]]:
        """The nodes, moved by the animation to a time that is one of its keys."""
        nodes = [dict(node) for node in self.content["nodes"]]
        (animation,) = self.content["animations"]
        for channel in animation["channels"]:
            sampler, target = animation["samplers"][channel["sampler"]], channel["target"]
            keys = self.array(sampler["input"])[:, 0]
            (at,) = np.flatnonzero(np.abs(keys - time) < 1e-6)
            nodes[target["node"]][target["path"]] = self.array(sampler["output"])[at].tolist()
        return nodes

    def world_matrices(self, nodes: list[dict[str, Any]]) -> dict[int, np.ndarray]:
        """(4, 4) of each node below the scene."""
        matrices: dict[int, np.ndarray] = {}

        def visit(number: int, above: np.ndarray) -> None:
            node = nodes[number]
            local = np.eye(4)
            local[:3, 3] = node.get("translation", (0, 0, 0))
            rotation = torch.tensor(node.get("rotation", (0, 0, 0, 1)), dtype=torch.float64)
            local[:3, :3] = roma.unitquat_to_rotmat(rotation / rotation.norm()).numpy()
            matrices[number] = above @ local
            for child in node.get("children", ()):
                visit(child, matrices[number])

        for root in self.content["scenes"][self.content["scene"]]["nodes"]:
            visit(root, np.eye(4))
        return matrices

    def skinned_vertices(self, time: float | None = None) -> np.ndarray:
        """(V, 3) vertices in the world: as the file opens, or at a time of its animation."""
        matrices = self.world_matrices(self.content["nodes"] if time is None else self.nodes_at(time))
        (skin,) = self.content["skins"]
        # The numbers of a matrix go column by column.
        inverses = self.array(skin["inverseBindMatrices"]).reshape(-1, 4, 4).transpose(0, 2, 1)
        joints = [matrices[node] @ inverse for node, inverse in zip(skin["joints"], inverses)]
        attributes = self.attributes
        vertices = []
        for place, indices, weights in zip(*(attributes[name] for name in ("POSITION", "JOINTS_0", "WEIGHTS_0"))):
            blended = sum(weight * joints[int(index)] for index, weight in zip(indices, weights))
            vertices.append((blended @ [*place, 1.0])[:3])
        return np.stack(vertices)

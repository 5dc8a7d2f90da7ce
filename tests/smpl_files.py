"""Writes small random bodies in the formats of SMPL, SMPL-H and SMPL-X."""

import pickle
from pathlib import Path

import numpy as np

from unipose.processing.body_model import PARENTS


def model_parents(num_joints: int) -> list[int]:
    """SMPL's, SMPL-H's or SMPL-X's tree: 22 body joints, then hands (and jaw and eyes before them)."""
    parents = list(PARENTS[:22])
    if num_joints == 24:
        return [*parents, 20, 21]
    parents += [15, 15, 15] if num_joints == 55 else []
    for wrist in (20, 21):
        for _ in range(5):
            first = len(parents)
            parents += [wrist, first, first + 1]
    return parents


def model_arrays(num_joints: int, num_shapes: int = 10, num_vertices: int = 60) -> dict[str, np.ndarray]:
    """A small random body with the arrays of an SMPL file."""
    rng = np.random.default_rng(num_joints)
    weights = rng.random((num_vertices, num_joints)) ** 8
    regressor = rng.random((num_joints, num_vertices)) ** 8
    parents = np.array(model_parents(num_joints), dtype=np.int64)
    parents[0] = 2**32 - 1  # as SMPL's own files have it
    return {
        "v_template": rng.normal(size=(num_vertices, 3)) * 0.3,
        "f": rng.integers(0, num_vertices, (90, 3)).astype(np.uint32),
        "shapedirs": rng.normal(size=(num_vertices, 3, num_shapes)) * 0.01,
        "posedirs": rng.normal(size=(num_vertices, 3, 9 * (num_joints - 1))) * 0.001,
        "J_regressor": regressor / regressor.sum(1, keepdims=True),
        "weights": weights / weights.sum(1, keepdims=True),
        "kintree_table": np.stack([parents, np.arange(num_joints)]),
        "hands_componentsl": np.eye(45),
        "hands_componentsr": np.eye(45),
        "hands_meanl": np.full(45, 0.1),
        "hands_meanr": np.full(45, 0.1),
    }


def write_model(path: Path, arrays: dict[str, np.ndarray]) -> Path:
    if path.suffix == ".pkl":
        path.write_bytes(pickle.dumps(arrays, protocol=2))
    else:
        np.savez(path, **arrays)  # type: ignore[arg-type]
    return path

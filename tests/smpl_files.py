"""Writes small random bodies in the formats of SMPL, SMPL-H and SMPL-X."""

import pickle
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from unipose.processing.body_model import PARENTS, BodyModel


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


def person_arrays(num_joints: int = 24) -> dict[str, np.ndarray]:
    """`model_arrays` in the shape of a person: the built-in body's surface about joints as SMPL has them.

    The hips are lower and nearer to each other than the built-in body's, the arms lean back, no side is quite like the
    other, and the vertices have another order.
    """
    builtin = BodyModel.builtin()
    arrays = model_arrays(num_joints, num_vertices=len(builtin.v_template))
    rng = np.random.default_rng(1)
    joints = builtin.joints.double().numpy()[:22] + rng.normal(scale=0.006, size=(22, 3))
    joints[[1, 2]] += [[-0.035, -0.07, 0.0], [0.035, -0.07, 0.0]]
    joints[[18, 19, 20, 21], 2] -= [0.03, 0.03, 0.05, 0.05]
    # Others are where a wrist or the head is.
    whole = list(joints)
    for parent in model_parents(num_joints)[22:]:
        whole.append(whole[parent] + [0.0, 0.0, 0.01])
    order = rng.permutation(len(builtin.v_template))
    template = builtin.v_template.double().numpy()[order]
    # The least changed regressor that has these joints.
    pseudo = np.linalg.pinv(np.c_[template, np.ones(len(template))])
    targets = np.c_[np.array(whole), np.ones(len(whole))]
    weights = np.zeros((len(template), num_joints))
    weights[:, :24] = builtin.weights.double().numpy()[order]
    return arrays | {
        "v_template": template,
        "f": np.argsort(order)[builtin.faces.numpy()].astype(np.uint32),
        "J_regressor": targets @ pseudo,
        "weights": weights,
        "shapedirs": template[:, :, None] * rng.normal(scale=0.02, size=(1, 3, arrays["shapedirs"].shape[2])),
    }


def write_model(path: Path, arrays: dict[str, np.ndarray]) -> Path:
    if path.suffix == ".pkl":
        path.write_bytes(pickle.dumps(arrays, protocol=2))
    else:
        np.savez(path, **arrays)  # type: ignore[arg-type]
    return path


@contextmanager
def fake_modules(names: dict[str, tuple[str, ...]]) -> Iterator[dict[str, type]]:
    """Empty classes in modules that are not installed, by their names, for as long as they are pickled."""
    classes = {name: type(name, (), {"__module__": module}) for module, own in names.items() for name in own}
    packages = {module.rsplit(".", depth)[0] for module in names for depth in range(3)}
    with pytest.MonkeyPatch.context() as patch:
        for package in packages:
            patch.setitem(sys.modules, package, ModuleType(package))
        for module, own in names.items():
            for name in own:
                setattr(sys.modules[module], name, classes[name])
        yield classes


def write_official(path: Path, arrays: dict[str, np.ndarray], protocol: int = 2, by_rows: bool = False) -> Path:
    """A pickle as those of SMPL's site: chumpy's arrays and sparse matrices, written by Python 2.

    Args:
        path: Path of the file.
        arrays: Arrays of the body. Its shape directions become a selection of more.
        protocol: Of the pickle, 0 to 2.
        by_rows: Whether the joint regressor is stored by rows.
    """
    sparse = "csr_matrix" if by_rows else "csc_matrix"
    modules = {
        "chumpy.ch": ("Ch", "MatVecMult"),
        "chumpy.reordering": ("Select",),
        f"scipy.sparse.{sparse[:3]}": (sparse,),
    }
    with fake_modules(modules) as classes:

        def build(name: str, **state: Any) -> Any:
            built = classes[name]()
            vars(built).update(state)
            return built

        def array(**terms: Any) -> dict[str, Any]:
            inner = {"_make_dense": False, "_make_sparse": False, "_depends_on_deps": {}, "_itr": None}
            return inner | {"_dirty_vars": set(terms), "_status": "new"} | terms

        directions = arrays["shapedirs"]
        more = np.concatenate([np.full_like(directions, 9.0), directions], axis=2)
        places = np.arange(more.size).reshape(more.shape)[..., directions.shape[2] :]
        regressor = arrays["J_regressor"]
        stored = regressor if by_rows else regressor.T
        lines, indices = np.nonzero(stored)
        matrix = {
            "_shape": regressor.shape,
            "data": stored[lines, indices],
            "indices": indices.astype(np.int32),
            "indptr": np.searchsorted(lines, np.arange(len(stored) + 1)).astype(np.int32),
            "maxprint": 50,
        }
        content = arrays | {
            "v_template": build("Ch", **array(x=arrays["v_template"])),
            "weights": build("Ch", **array(x=arrays["weights"])),
            "shapedirs": build(
                "Select",
                **array(a=build("Ch", **array(x=more)), idxs=places.ravel(), preferred_shape=directions.shape),
            ),
            "J_regressor": build(sparse, **matrix),
            "J_regressor_prior": build(sparse, **matrix),
            "J": build("MatVecMult", **array(mtx=build(sparse, **matrix), vec=build("Ch", **array(x=np.zeros(3))))),
            "bs_style": "lbs",
            "bs_type": "lrotmin",
            "pose_training_info": {"gender": "f", "scale": np.float64(1.0)},
        }
        pickled = pickle.dumps(content, protocol=protocol)
    path.write_bytes(pickled.replace(b"numpy._core.", b"numpy.core."))
    return path

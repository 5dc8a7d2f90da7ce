"""Reads the files of SMPL, SMPL-H and SMPL-X bodies: .npz archives, and pickles without running their code."""

import pickle
from pathlib import Path
from typing import Any

import numpy as np

from .pose_files import check_size


# Number of joints of a file -> its family.
FAMILIES = {24: "SMPL", 52: "SMPL-H", 55: "SMPL-X"}
MODEL_ENDINGS = (".npz", ".pkl")
MODEL_KEYS = ("v_template", "f", "shapedirs", "posedirs", "J_regressor", "weights", "kintree_table")

# SMPL-X with 400 shapes takes 140 MB an array. A small archive can unpack to gigabytes.
MAX_MODEL_BYTES = 2**30


def find_model_file(path: Path, gender: str) -> Path:
    """`path` itself, or the file of `gender` in the folder `path`.

    Args:
        path: File or folder.
        gender: "neutral", "female" or "male".

    Raises:
        ValueError: A file with another ending.
        FileNotFoundError: There is no such file, or none in the folder.
    """
    if path.is_file():
        if path.suffix.lower() not in MODEL_ENDINGS:
            raise ValueError(f"{path} ends in {path.suffix!r}; expected one of {', '.join(MODEL_ENDINGS)}.")
        return path
    if not path.is_dir():
        raise FileNotFoundError(f"there is no body model file or folder {path}")
    names = [f"{family}_{gender.upper()}{ending}" for family in ("SMPL", "SMPLH", "SMPLX") for ending in MODEL_ENDINGS]
    names.append(f"{gender}/model.npz")
    for name in names:
        if (path / name).is_file():
            return path / name
    raise FileNotFoundError(f"{path} has no {gender} body model; expected one of {', '.join(names)}.")


def read_model_arrays(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a model file, by name.

    Raises:
        ValueError: The file cannot be read.
    """
    try:
        check_size(path, MAX_MODEL_BYTES)
        if path.suffix.lower() == ".npz":
            with np.load(path) as file:
                return {key: file[key] for key in MODEL_KEYS if key in file}
        with path.open("rb") as stream:
            content = ModelUnpickler(stream, encoding="latin1").load()
        return {key: to_array(content[key]) for key in MODEL_KEYS if key in content}
    except Exception as error:  # a damaged zip or pickle raises almost anything
        raise ValueError(f"{path} cannot be read as a body model: {error}") from error


def check_model_arrays(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Checks that a file has the arrays of an SMPL, SMPL-H or SMPL-X model.

    Args:
        path: Path of the file, for errors.
        arrays: Arrays by name.

    Raises:
        ValueError: An array is missing or has another shape.
    """
    missing = [key for key in MODEL_KEYS if key not in arrays]
    if missing:
        raise ValueError(f"{path} is not an SMPL, SMPL-H or SMPL-X model: it lacks {', '.join(missing)}.")
    template, weights = (arrays[key].shape for key in ("v_template", "weights"))
    if len(template) != 2 or len(weights) != 2:
        raise ValueError(
            f"{path}: v_template has shape {template}, weights {weights}; expected (V, 3) and (V, joints)."
        )
    num_vertices, num_joints = template[0], weights[1]
    if num_joints not in FAMILIES:
        raise ValueError(
            f"{path} has {num_joints} joints; SMPL has 24, SMPL-H 52 and SMPL-X 55 (a hand or face alone is no body)"
        )
    expected = {
        "v_template": (num_vertices, 3),
        "posedirs": (num_vertices, 3, 9 * (num_joints - 1)),
        "J_regressor": (num_joints, num_vertices),
        "weights": (num_vertices, num_joints),
        "kintree_table": (2, num_joints),
    }
    for key, shape in expected.items():
        if arrays[key].shape != shape:
            raise ValueError(f"{path}: {key} has shape {arrays[key].shape}; expected {shape}.")
    if arrays["f"].ndim != 2 or arrays["f"].shape[1] != 3 or arrays["shapedirs"].shape[:2] != (num_vertices, 3):
        raise ValueError(
            f"{path}: f has shape {arrays['f'].shape} and shapedirs {arrays['shapedirs'].shape}; expected (faces, 3) "
            f"and ({num_vertices}, 3, shapes)."
        )
    check_model_numbers(path, arrays)


def check_model_numbers(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Checks that the arrays of a model, which have the right shapes, hold numbers of a body.

    Args:
        path: Path of the file, for errors.
        arrays: Arrays by name.

    Raises:
        ValueError: An array holds no finite numbers, faces without a vertex, or a joint whose parent comes after it.
    """
    for key in MODEL_KEYS:
        if arrays[key].dtype.kind not in "fiu":
            raise ValueError(f"{path}: {key} holds {arrays[key].dtype}; expected numbers.")
        if not np.isfinite(arrays[key]).all():
            raise ValueError(f"{path}: {key} holds NaN or infinite values.")
    faces, num_vertices = arrays["f"], len(arrays["v_template"])
    if faces.size and not (faces.min() >= 0 and faces.max() < num_vertices):
        raise ValueError(f"{path}: f holds vertices from {faces.min()} to {faces.max()}; there are {num_vertices}.")
    parents, joints = arrays["kintree_table"][0, 1:].astype(np.int64), np.arange(1, arrays["weights"].shape[1])
    if not ((parents >= 0) & (parents < joints)).all():
        joint = joints[((parents < 0) | (parents >= joints)).argmax()]
        raise ValueError(f"{path}: kintree_table gives joint {joint} the parent {parents[joint - 1]}; expected less.")
    if not (arrays["weights"].sum(1) > 0).all():
        raise ValueError(f"{path}: weights has a row without any weight; expected one for each vertex.")


class PickledObject:
    """Replaces the chumpy arrays and sparse matrices in SMPL's pickles; it only stores their state."""

    def __new__(cls, *args: object) -> "PickledObject":
        created = super().__new__(cls)
        created.state = {}
        return created

    state: dict[str, Any]

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.state = state


class PickledRows(PickledObject):
    """Replaces a sparse matrix that is stored by rows."""


class ModelUnpickler(pickle.Unpickler):
    """Reads SMPL's pickles without chumpy or scipy; they can build numpy arrays but run no code.

    Those of Python 2 call builtins "__builtin__", and numpy's core "numpy.core".
    """

    NUMPY_NAMES = frozenset({"_reconstruct", "ndarray", "dtype", "scalar", "_frombuffer"})
    SAFE_NAMES = frozenset(
        {
            ("_codecs", "encode"),
            ("collections", "OrderedDict"),
            *((module, "_reconstructor") for module in ("copy_reg", "copyreg")),
            *((module, name) for module in ("__builtin__", "builtins") for name in ("object", "set", "frozenset")),
        }
    )
    REPLACED_MODULES = frozenset({"chumpy", "scipy"})

    def find_class(self, module: str, name: str) -> Any:
        package = module.partition(".")[0]
        if package in self.REPLACED_MODULES:
            return PickledRows if name.startswith("csr_") else PickledObject
        if package == "numpy" and name in self.NUMPY_NAMES:
            return super().find_class(module.replace("numpy.core", "numpy._core", 1), name)
        if (module, name) in self.SAFE_NAMES:
            return super().find_class(module, name)
        raise pickle.UnpicklingError(f"it loads {module}.{name}, which no body model needs")


def to_array(value: Any) -> np.ndarray:
    """The dense array of one entry of a pickle.

    Raises:
        ValueError: An unknown kind of array.
    """
    if not isinstance(value, PickledObject):
        return np.asarray(value)
    state = value.state
    if "x" in state:
        return to_array(state["x"])
    if "idxs" in state:  # chumpy.reordering.Select
        chosen = to_array(state["a"]).ravel()[np.asarray(state["idxs"])]
        return chosen.reshape(state.get("preferred_shape", chosen.shape))
    if "newshape" in state:  # chumpy.reordering.Reshape
        return to_array(state["a"]).reshape(state["newshape"])
    if "indptr" in state:
        dense = np.zeros(state["_shape"])
        stored = dense if isinstance(value, PickledRows) else dense.T
        lines = np.repeat(np.arange(len(stored)), np.diff(state["indptr"]))
        stored[lines, state["indices"]] = state["data"]
        return dense
    raise ValueError(
        f"an array with the fields {sorted(state)} is no array of chumpy that SMPL's files have, and no CSC or CSR "
        "matrix"
    )

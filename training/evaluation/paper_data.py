"""The evaluation sets of the paper's tables, read from your copies of the datasets."""

import io
import pickle
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import roma
import torch
from PIL import Image

from unipose.training.datasets.importers import PoseFixPairs, PoseScriptPoses, ThreeDPWImages
from unipose.training.datasets.importers.errors import DatasetError
from unipose.training.datasets.importers.files import check_pickles_allowed, to_array
from unipose.training.datasets.importers.imagescript import ImageDiffPairs, ImageScriptImages
from unipose.training.datasets.importers.keypoints import MEASURED, PELVIS, KeypointImages


@dataclass
class PaperDataArguments:
    """Where the dataset of a table is, and which part of it is evaluated."""

    data: str | None = field(
        default=None,
        metadata={
            "help": "PoseScript's, PoseFix's or 3DPW's folder; the pickle of ImageScript or ImageDiff; the npz of "
            "keypoints of 3DPW or Human3.6M."
        },
    )
    amass: str = field(default="", metadata={"help": "PoseScript, PoseFix: AMASS's folder, SMPL-H layout."})
    images: str = field(default="", metadata={"help": "ImageScript, ImageDiff, npz: folder of the images."})
    pose_table: str | None = field(default=None, metadata={"help": "PoseFix: path of PoseScript's table of poses."})
    split: str = field(default="test", metadata={"help": "PoseScript, PoseFix, 3DPW: split of the dataset."})
    captions: str = field(
        default="human",
        metadata={
            "help": "Kind of texts: human or auto of PoseScript and PoseFix; refined or auto of ImageScript and "
            "ImageDiff, where human means refined."
        },
    )
    pickles_may_run_code: bool = field(
        default=False,
        metadata={"help": "Whether to read pickles (ImageScript, ImageDiff, 3DPW, regressors), which can run code."},
    )
    limit: int | None = field(default=None, metadata={"help": "Maximum number of rows, the first ones; default: all."})


@dataclass(frozen=True)
class Samples:
    """The rows of one table.

    Args:
        inputs: what the pipeline gets: lists of `text`, `poses` or `images`, one entry per row.
        texts: the first text of each row; empty for pose estimation.
        poses: (n, 22, 3, 3) the pose of each text or image in the stored frame, or (n, 2, 22, 3, 3) pairs; None where
            only keypoints are known.
        keypoints: (n, 14, 3) meters in the camera's frame, the pelvis at the origin, or None.
    """

    inputs: dict[str, list[Any]]
    texts: list[str] = field(default_factory=list)
    poses: torch.Tensor | None = None
    keypoints: torch.Tensor | None = None

    def __len__(self) -> int:
        return len(next(iter(self.inputs.values())))


def load_samples(table: str, arguments: PaperDataArguments) -> Samples:
    """The rows of a table.

    Args:
        table: a key of `PUBLISHED`.
        arguments: where the dataset is.

    Raises:
        ValueError: no path of the dataset, another kind of captions, or a limit below 1.
        DatasetError: a file is missing, damaged or in another format, or there are no rows.
    """
    if arguments.data is None:
        raise ValueError(f"the table {table} needs its dataset: give its path with --data")
    if arguments.captions not in ("human", "auto", "refined"):
        raise ValueError(f"captions is {arguments.captions!r}; expected human, refined or auto")
    if arguments.limit is not None and arguments.limit < 1:
        raise ValueError(f"limit is {arguments.limit}; expected at least 1")
    records, to_samples = _READERS[table](arguments)
    rows = list(islice(records, arguments.limit))
    if not rows:
        raise DatasetError(f"{arguments.data} has no rows of the table {table}")
    return to_samples(rows)


def _is_auto(arguments: PaperDataArguments) -> bool:
    return arguments.captions == "auto"


def _posescript(arguments: PaperDataArguments) -> Any:
    kind = "auto" if _is_auto(arguments) else "human"
    return PoseScriptPoses(str(arguments.data), arguments.amass, arguments.split, kind)


def _posefix(arguments: PaperDataArguments) -> Any:
    kind = "auto" if _is_auto(arguments) else "human"
    return PoseFixPairs(
        str(arguments.data), arguments.amass, arguments.split, (kind,), pose_table=arguments.pose_table
    )


def _annotated(kind: Callable[..., Any], arguments: PaperDataArguments) -> Any:
    captions = "auto" if _is_auto(arguments) else "refined"
    return kind(str(arguments.data), arguments.images, arguments.pickles_may_run_code, captions)


def _estimation(dataset: str, arguments: PaperDataArguments) -> tuple[Any, Callable[[list[Any]], Samples]]:
    """An npz of keypoints; for 3DPW also its own folder, whose SMPL poses are the targets."""
    if Path(str(arguments.data)).suffix == ".npz":
        return KeypointImages(str(arguments.data), arguments.images, dataset), _keypoint_samples
    if dataset == "human36m":
        raise DatasetError(f"{arguments.data}: expected the npz of Human3.6M's keypoints (SPIN's or HMR2's format)")
    folder = ThreeDPWImages(str(arguments.data), arguments.pickles_may_run_code, arguments.split)
    return folder, lambda rows: Samples({"images": _decoded(rows)}, poses=_rotmats(rows, "rotvecs"))


def _text_to_pose(rows: list[Any]) -> Samples:
    texts = [row.captions[0] for row in rows]
    return Samples({"text": texts}, texts, _rotmats(rows, "rotvecs"))


def _pose_to_text(rows: list[Any]) -> Samples:
    poses = _rotmats(rows, "rotvecs")
    return Samples({"poses": list(poses)}, [row.captions[0] for row in rows], poses)


def _pose_diff(rows: list[Any]) -> Samples:
    pairs = _rotmats(rows, "first", "second")
    return Samples({"poses": [list(pair) for pair in pairs]}, [row.texts[0] for row in rows], pairs)


def _pose_edit(rows: list[Any]) -> Samples:
    pairs, texts = _rotmats(rows, "first", "second"), [row.texts[0] for row in rows]
    return Samples({"text": texts, "poses": list(pairs[:, 0])}, texts, pairs)


def _image_to_text(rows: list[Any]) -> Samples:
    return Samples({"images": _decoded(rows)}, [row.captions[0] for row in rows], _rotmats(rows, "rotvecs"))


def _image_diff(rows: list[Any]) -> Samples:
    sides = [[row.first for row in rows], [row.second for row in rows]]
    pairs = torch.stack([_rotmats(side, "rotvecs") for side in sides], dim=1)
    images = [list(pair) for pair in zip(*(_decoded(side) for side in sides))]
    return Samples({"images": images}, [row.texts[0] for row in rows], pairs)


def _keypoint_samples(rows: list[Any]) -> Samples:
    keypoints = torch.from_numpy(np.stack([row.keypoints for row in rows]))
    return Samples({"images": _decoded(rows)}, keypoints=keypoints.float())


def _rotmats(rows: Sequence[Any], *fields: str) -> torch.Tensor:
    """(n, 22, 3, 3) of one field of records, or (n, fields, 22, 3, 3)."""
    parts = [
        roma.rotvec_to_rotmat(torch.from_numpy(np.stack([getattr(row, name) for row in rows]))) for name in fields
    ]
    return parts[0] if len(parts) == 1 else torch.stack(parts, dim=1)


def _decoded(rows: Sequence[Any]) -> list[Image.Image]:
    return [Image.open(io.BytesIO(row.image)).convert("RGB") for row in rows]


# The records of each table, and how they become samples.
_READERS: dict[str, Callable[[PaperDataArguments], tuple[Any, Callable[[list[Any]], Samples]]]] = {
    "text-to-pose": lambda a: (_posescript(a), _text_to_pose),
    "pose-to-text": lambda a: (_posescript(a), _pose_to_text),
    "pose-diff": lambda a: (_posefix(a), _pose_diff),
    "pose-edit": lambda a: (_posefix(a), _pose_edit),
    "image-to-text": lambda a: (_annotated(ImageScriptImages, a), _image_to_text),
    "image-diff": lambda a: (_annotated(ImageDiffPairs, a), _image_diff),
    "image-to-pose-3dpw": lambda a: _estimation("3dpw", a),
    "image-to-pose-human36m": lambda a: _estimation("human36m", a),
}

# Rows of Human3.6M's 17 joints that are the 14 measured keypoints in their order, and the pelvis (SPIN, constants.py).
_HUMAN36M_MEASURED = (6, 5, 4, 1, 2, 3, 16, 15, 14, 11, 12, 13, 8, 10)
_HUMAN36M_PELVIS = 0


@dataclass(frozen=True)
class KeypointRegressor:
    """The 14 keypoints of a body's vertices.

    Args:
        weights: (14, V), of the keypoints minus those of the pelvis.
    """

    weights: torch.Tensor

    @classmethod
    def load(cls, path: Path | str, num_vertices: int, pickles_may_run_code: bool = False) -> "KeypointRegressor":
        """Reads `J_regressor_h36m.npy` (17, V), or `SMPL_to_J19.pkl` (19, V) or the same as npy.

        Args:
            path: path of the file.
            num_vertices: V, the number of vertices of the body; 6,890 for SMPL and SMPL-H.
            pickles_may_run_code: must be True for a pickle, which can run any code when it is read.

        Raises:
            DatasetError: the file is missing or damaged, holds another shape, or is a pickle that is not allowed.
        """
        path = Path(path)
        if not path.is_file():
            raise DatasetError(
                f"there is no {path}; it is J_regressor_h36m.npy of SPIN's data or SMPL_to_J19.pkl of HMR2's data"
            )
        is_pickle = path.suffix == ".pkl"
        if is_pickle:
            check_pickles_allowed(pickles_may_run_code, str(path))
        try:
            content = pickle.loads(path.read_bytes(), encoding="latin1") if is_pickle else np.load(path)
        except Exception as error:  # a damaged file raises almost anything
            raise DatasetError(f"{path} cannot be read: {type(error).__name__}: {error}") from error
        rows = to_array(content, str(path), (17, num_vertices), (19, num_vertices))
        weights = torch.from_numpy(rows)
        if len(weights) == 17:
            return cls(weights[list(_HUMAN36M_MEASURED)] - weights[_HUMAN36M_PELVIS])
        return cls(weights[list(MEASURED)] - weights[PELVIS])

    def __call__(self, vertices: torch.Tensor) -> torch.Tensor:
        """(n, V, 3) y-up vertices of a posed body -> (n, 14, 3) in the camera's frame, the pelvis at the origin."""
        return (self.weights.to(vertices) @ vertices) * vertices.new_tensor([1.0, -1.0, -1.0])

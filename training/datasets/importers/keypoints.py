"""Evaluation sets of pose estimation: images with 3D keypoints, in the npz formats of SPIN and HMR2.

- SPIN (Human3.6M: `h36m_valid_protocol1.npz`, `h36m_valid_protocol2.npz`): `imgname (N,)`, `center (N, 2)` pixels,
  `scale (N,)`, the box's side divided by 200 pixels, and `S (N, 24, 4)`: meters in the camera's frame and a weight.
- HMR2 (`h36m_val_p2.npz`, `3dpw_test.npz`): the same with `extra_keypoints_3d (N, 19, 4)`, the first 19 of these
  joints, and `scale` in pixels, of one number or two.

The 19 joints: right ankle, knee and hip, left hip, knee and ankle, right wrist, elbow and shoulder, left shoulder,
elbow and wrist, neck, top of the head, pelvis, thorax, spine, jaw, head. Both projects measure 14 of them, the first
13 and the head, relative to the pelvis. (Their public code: github.com/nkolot/SPIN, `constants.py` and `eval.py`;
github.com/shubham-goel/4D-Humans, `datasets_eval.yaml`.)
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt

from unipose.training.datasets.importers.crops import Crop, open_image
from unipose.training.datasets.importers.errors import DatasetError, find_source
from unipose.training.datasets.importers.files import check_finite, list_arrays, read_arrays, require_path, to_array


NUM_KEYPOINTS = 19
# Of these joints, those that are measured, and the pelvis.
MEASURED = (*range(13), 18)
PELVIS = 14
SPIN_PIXELS = 200
NAMES = ("imgname", "center", "scale")


@dataclass(frozen=True)
class KeypointRecord:
    """An image of one person with measured 3D keypoints.

    Args:
        name: `<imgname>#<row>`.
        image: an encoded image, cropped around the person.
        keypoints: (14, 3) meters in the camera's frame (x right, y down, z away), the pelvis at the origin.
    """

    name: str
    image: bytes
    keypoints: npt.NDArray[np.float64]


@dataclass(frozen=True)
class KeypointImages:
    """The rows of an evaluation npz as `KeypointRecord`s.

    Args:
        annotations: the npz.
        images: the folder that `imgname` is relative to.
        dataset: a key of `errors.SOURCES`, for errors.
        crop: options of the crops.

    Raises:
        ValueError: an unknown `dataset`.
        DatasetError: on reading: a missing or damaged file, no keypoints, or keypoints that are not measured.
    """

    annotations: Path | str
    images: Path | str
    dataset: str
    crop: Crop = field(default_factory=Crop)

    def __post_init__(self) -> None:
        find_source(self.dataset)

    @cached_property
    def arrays(self) -> dict[str, np.ndarray]:
        """imgname, center (N, 2), side (N,) in pixels and keypoints (N, 19, 4).

        Raises:
            DatasetError: the file is missing or damaged, or lacks an array.
        """
        path, source = Path(self.annotations), find_source(self.dataset)
        read = read_arrays(path, source, (*NAMES, "S", "extra_keypoints_3d"))
        absent = [name for name in NAMES if name not in read]
        if absent or not {"S", "extra_keypoints_3d"} & set(read):
            raise DatasetError(
                f"{path} lacks {', '.join(absent) or 'S (SPIN) or extra_keypoints_3d (HMR2)'}; it holds "
                f"{', '.join(list_arrays(path, source))}. {source}."
            )
        count, is_spin = len(read["imgname"]), "extra_keypoints_3d" not in read
        shape = (count, 24, 4) if is_spin else (count, NUM_KEYPOINTS, 4)
        keypoints = to_array(read["S" if is_spin else "extra_keypoints_3d"], f"{path}, keypoints", shape)
        center = to_array(read["center"], f"{path}, center", (count, 2), (count, 1, 2)).reshape(count, 2)
        scale = to_array(read["scale"], f"{path}, scale", (count,), (count, 1), (count, 2))
        side = scale.reshape(count, -1).max(axis=1) * (SPIN_PIXELS if is_spin else 1)
        return {
            "imgname": read["imgname"],
            "center": center,
            "side": side,
            "keypoints": keypoints[:, :NUM_KEYPOINTS],
        }

    def __len__(self) -> int:
        return len(self.arrays["imgname"])

    def __iter__(self) -> Iterator[KeypointRecord]:
        arrays, source = self.arrays, find_source(self.dataset)
        folder = require_path(Path(self.images), source, f"{self.annotations} refers to images in it", folder=True)
        used = [*MEASURED, PELVIS]
        check_finite(arrays["keypoints"][:, used], str(self.annotations), "row")
        for row, name in enumerate(arrays["imgname"]):
            name = name.decode("utf-8") if isinstance(name, bytes) else str(name)
            where = f"{self.annotations}, row {row}"
            keypoints = arrays["keypoints"][row]
            if not (keypoints[used, 3] > 0).all():
                raise DatasetError(f"{where}: a keypoint has the weight 0; expected all 14 and the pelvis. {source}.")
            image = open_image(folder / name, source, f"{where} refers to it")
            crop = self.crop.cut(image, arrays["center"][row], arrays["side"][row], where)
            yield KeypointRecord(f"{name}#{row}", crop, keypoints[list(MEASURED), :3] - keypoints[PELVIS, :3])

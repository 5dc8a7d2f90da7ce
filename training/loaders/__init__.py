"""Loaders of the datasets that users bring: each reads a dataset's own files and yields records (see `records`).

All are lazy and can be iterated again: nothing is opened before the first record is asked for (only pickles are
refused at once), `len` is there where it is known without reading everything, and `files()` where a progress bar needs
a total.
"""

from .amass import AMASS_SPLITS, MOYO, AmassFrames, AmassPoses
from .crops import Crop
from .errors import SOURCES, DatasetError
from .hmr_npz import HmrPictures
from .hmr_tars import HmrTarPictures
from .mixing import POSE_ESTIMATION_WEIGHTS, WeightedMix
from .posefix import PoseFixPairs
from .posescript import PoseScriptPoses
from .threedpw import ThreeDPWPictures


__all__ = [
    "AMASS_SPLITS",
    "MOYO",
    "POSE_ESTIMATION_WEIGHTS",
    "SOURCES",
    "AmassFrames",
    "AmassPoses",
    "Crop",
    "DatasetError",
    "HmrPictures",
    "HmrTarPictures",
    "PoseFixPairs",
    "PoseScriptPoses",
    "ThreeDPWPictures",
    "WeightedMix",
]

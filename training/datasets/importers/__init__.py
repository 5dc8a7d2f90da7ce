"""Loaders of the datasets that users bring: each reads a dataset's own files and yields records (see `records`).

All are lazy and can be iterated again: nothing is opened before the first record is asked for (only pickles are
refused at once), `len` is there where it is known without reading everything, and `files()` where a progress bar needs
a total.
"""

from unipose.training.datasets.importers.amass import AMASS_SPLITS, MOYO, AmassFrames, AmassPoses
from unipose.training.datasets.importers.crops import Crop
from unipose.training.datasets.importers.errors import SOURCES, DatasetError
from unipose.training.datasets.importers.hmr_npz import HmrPictures
from unipose.training.datasets.importers.hmr_tars import HmrTarPictures
from unipose.training.datasets.importers.mixing import POSE_ESTIMATION_WEIGHTS, WeightedMix
from unipose.training.datasets.importers.posefix import PoseFixPairs
from unipose.training.datasets.importers.posescript import PoseScriptPoses
from unipose.training.datasets.importers.threedpw import ThreeDPWPictures


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

"""Importers of other datasets: each reads a dataset's own files and yields records (see `records`).

All are lazy and can be iterated several times: no file is opened before the first record (only pickles are refused at
once). They have a `len` where it is known without reading everything, and `files()` as the total of a progress bar.
"""

from unipose.training.datasets.importers.amass import AMASS_SPLITS, MOYO, AmassFrames, AmassPoses
from unipose.training.datasets.importers.asf_amc import AmcPoses
from unipose.training.datasets.importers.clips import BvhPoses, ClipChoice
from unipose.training.datasets.importers.crops import Crop
from unipose.training.datasets.importers.deepmimic import DeepMimicPoses
from unipose.training.datasets.importers.errors import SOURCES, DatasetError
from unipose.training.datasets.importers.hmr_npz import HmrImages
from unipose.training.datasets.importers.hmr_tars import HmrTarImages
from unipose.training.datasets.importers.mixing import POSE_ESTIMATION_WEIGHTS, WeightedMix
from unipose.training.datasets.importers.motion_npz import MotionArchives
from unipose.training.datasets.importers.posefix import PoseFixPairs
from unipose.training.datasets.importers.posescript import PoseScriptPoses
from unipose.training.datasets.importers.threedpw import ThreeDPWImages


__all__ = [
    "AMASS_SPLITS",
    "MOYO",
    "POSE_ESTIMATION_WEIGHTS",
    "SOURCES",
    "AmassFrames",
    "AmassPoses",
    "AmcPoses",
    "BvhPoses",
    "ClipChoice",
    "Crop",
    "DatasetError",
    "DeepMimicPoses",
    "HmrImages",
    "HmrTarImages",
    "MotionArchives",
    "PoseFixPairs",
    "PoseScriptPoses",
    "ThreeDPWImages",
    "WeightedMix",
]

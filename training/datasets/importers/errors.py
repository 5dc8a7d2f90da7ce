"""Errors of missing or damaged dataset files: they name the file, what it contains, and where to get the dataset."""

import logging
from dataclasses import dataclass
from pathlib import Path


class DatasetError(ValueError):
    """A dataset's file is missing, damaged or in another format; the message names it and where to get it."""


@dataclass(frozen=True)
class Source:
    """Where to get a dataset.

    Args:
        title: its name.
        address: its project page, which links to the download.
        license: short name of the license; the text on the project page is authoritative.
        registration: whether a download needs an account.
    """

    title: str
    address: str
    license: str
    registration: bool = False

    def __str__(self) -> str:
        account = "after registration; " if self.registration else ""
        return f"Get {self.title} from {self.address} ({account}license: {self.license})"


RESEARCH = "non-commercial scientific research"
SOURCES = {
    "amass": Source("AMASS", "https://amass.is.tue.mpg.de", RESEARCH, registration=True),
    "moyo": Source("MOYO", "https://moyo.is.tue.mpg.de", RESEARCH, registration=True),
    "posescript": Source("PoseScript", "https://github.com/naver/posescript", "CC BY-NC-SA 4.0"),
    "posefix": Source("PoseFix", "https://github.com/naver/posescript", "CC BY-NC-SA 4.0"),
    "imagescript": Source(
        "ImageScript and ImageDiff", "https://github.com/liyiheng23/UniPose", "ask the authors: not published"
    ),
    "hmr2": Source("HMR2's training data", "https://github.com/shubham-goel/4D-Humans", "those of the datasets in it"),
    "tokenhmr": Source("TokenHMR", "https://tokenhmr.is.tue.mpg.de", RESEARCH, registration=True),
    "human36m": Source("Human3.6M", "http://vision.imar.ro/human3.6m", "academic use", registration=True),
    "mpi_inf_3dhp": Source("MPI-INF-3DHP", "https://vcai.mpi-inf.mpg.de/3dhp-dataset", RESEARCH),
    "mpii": Source("MPII Human Pose", "http://human-pose.mpi-inf.mpg.de", "see its page"),
    "coco": Source("COCO", "https://cocodataset.org", "CC BY 4.0 (annotations), Flickr's terms (images)"),
    "motion": Source("motion capture", "http://mocap.cs.cmu.edu", "each source's own"),
    "3dpw": Source("3DPW", "https://virtualhumans.mpi-inf.mpg.de/3DPW", RESEARCH),
}

# First bytes of files that are not the dataset's: a failed download.
BAD_SIGNATURES = (
    (b"<!doctype html", "it is a web page: the download needs a login"),
    (b"<html", "it is a web page: the download needs a login"),
    (b"<?xml", "it is a server's XML error: the download failed"),
    (b"version https://git-lfs", "it is a Git LFS pointer: run `git lfs pull`"),
)
ARCHIVE_ENDINGS = (".tar.bz2", ".tar.xz", ".tar.gz", ".tar", ".zip")


def find_source(name: str) -> Source:
    """The entry of `SOURCES`.

    Raises:
        ValueError: there is no such entry.
    """
    if name not in SOURCES:
        raise ValueError(f"unknown dataset {name!r}; expected one of {', '.join(SOURCES)}")
    return SOURCES[name]


def log_or_raise(error: DatasetError, skip: bool) -> None:
    """Handles the error of one row.

    Args:
        error: names the file and row.
        skip: logs the error, so that the caller can skip the row.

    Raises:
        DatasetError: `error`, without `skip`.
    """
    if not skip:
        raise error
    logging.getLogger(__name__).warning("skipped: %s", error)


def missing_error(path: Path, source: Source, hint: str = "") -> DatasetError:
    """The error of a file or folder that does not exist; it names a packed archive next to it.

    Args:
        path: path of the file or folder.
        source: where to get the dataset, for the error.
        hint: why the file is needed.
    """
    archives = [path.with_name(path.name + ending) for ending in ARCHIVE_ENDINGS]
    archive = next((f"; {archive} exists: unpack it" for archive in archives if archive.is_file()), "")
    return DatasetError(f"there is no {path}{archive}{f'; {hint}' if hint else ''}. {source}.")


def damaged_error(path: Path, reason: object, source: Source) -> DatasetError:
    """The error of a file that cannot be read.

    Args:
        path: path of the file.
        reason: why not; replaced where its first bytes show a failed download.
        source: where to get the dataset, for the error.
    """
    return DatasetError(f"{path} cannot be read: {describe_bad_signature(path) or reason}. {source}.")


def describe_bad_signature(path: Path) -> str:
    """Description of an empty file or a failed download; otherwise ""."""
    try:
        with path.open("rb") as stream:
            start = stream.read(64).lstrip().lower()
    except OSError:  # no permission or a failing disk: `reason` has the cause
        return ""
    if not start:
        return "it is empty: download it again"
    return next((meaning for signature, meaning in BAD_SIGNATURES if start.startswith(signature)), "")

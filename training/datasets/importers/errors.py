"""What is said when a dataset's file is missing or damaged: which file, what was found, and where it is got."""

import logging
from dataclasses import dataclass
from pathlib import Path


class DatasetError(ValueError):
    """A dataset's file is missing, damaged or not what the loader reads; the message names it and where it is got."""


@dataclass(frozen=True)
class Source:
    """Where a dataset is got.

    Args:
        title: its name.
        address: its project's page, from which the download is reached.
        licence: in a few words; the text on the project's page is what counts.
        registration: whether an account is needed before anything can be downloaded.
    """

    title: str
    address: str
    licence: str
    registration: bool = False

    def __str__(self) -> str:
        account = "after registration; " if self.registration else ""
        return f"{self.title} is got from {self.address} ({account}licence: {self.licence})"


RESEARCH = "non-commercial scientific research"
SOURCES = {
    "amass": Source("AMASS", "https://amass.is.tue.mpg.de", RESEARCH, registration=True),
    "moyo": Source("MOYO", "https://moyo.is.tue.mpg.de", RESEARCH, registration=True),
    "posescript": Source("PoseScript", "https://github.com/naver/posescript", "CC BY-NC-SA 4.0"),
    "posefix": Source("PoseFix", "https://github.com/naver/posescript", "CC BY-NC-SA 4.0"),
    "hmr2": Source("HMR2's training data", "https://github.com/shubham-goel/4D-Humans", "those of the datasets in it"),
    "tokenhmr": Source("TokenHMR", "https://tokenhmr.is.tue.mpg.de", RESEARCH, registration=True),
    "human36m": Source("Human3.6M", "http://vision.imar.ro/human3.6m", "academic use", registration=True),
    "mpi_inf_3dhp": Source("MPI-INF-3DHP", "https://vcai.mpi-inf.mpg.de/3dhp-dataset", RESEARCH),
    "mpii": Source("MPII Human Pose", "http://human-pose.mpi-inf.mpg.de", "see its page"),
    "coco": Source("COCO", "https://cocodataset.org", "CC BY 4.0 (annotations), Flickr's terms (pictures)"),
    "3dpw": Source("3DPW", "https://virtualhumans.mpi-inf.mpg.de/3DPW", RESEARCH),
}

# How the first bytes of a file give away what was saved in its place.
IMPOSTORS = (
    (b"<!doctype html", "it is a web page: the download needs a login"),
    (b"<html", "it is a web page: the download needs a login"),
    (b"<?xml", "it is an XML answer of a server: the download failed"),
    (b"version https://git-lfs", "it is a Git LFS pointer: run `git lfs pull`"),
)
ARCHIVE_ENDINGS = (".tar.bz2", ".tar.xz", ".tar.gz", ".tar", ".zip")


def find_source(name: str) -> Source:
    """The entry of `SOURCES`.

    Raises:
        ValueError: there is no such entry.
    """
    if name not in SOURCES:
        raise ValueError(f"unknown dataset {name!r}; accepted: {', '.join(SOURCES)}")
    return SOURCES[name]


def pass_over(error: DatasetError, allowed: bool) -> None:
    """Logs an error that may be passed over; raises any other."""
    if not allowed:
        raise error
    logging.getLogger(__name__).warning("passed over: %s", error)


def missing(path: Path, source: Source, hint: str = "") -> DatasetError:
    """The error for a file or folder that is not there; an unopened archive beside it is pointed out."""
    archives = [path.with_name(path.name + ending) for ending in ARCHIVE_ENDINGS]
    found = next((f"; {archive} is there: unpack it" for archive in archives if archive.is_file()), "")
    return DatasetError(f"there is no {path}{found}{f'; {hint}' if hint else ''}. {source}.")


def damaged(path: Path, reason: object, source: Source) -> DatasetError:
    """The error for a file that cannot be read; says so where it is something else altogether."""
    return DatasetError(f"{path} cannot be read: {impostor(path) or reason}. {source}.")


def impostor(path: Path) -> str:
    """What a file is, where it is empty or an answer to a failed download; otherwise nothing."""
    try:
        with path.open("rb") as stream:
            start = stream.read(64).lstrip().lower()
    except OSError:  # no permission, a failing disk: the reader has said so
        return ""
    if not start:
        return "it is empty: download it again"
    return next((meaning for mark, meaning in IMPOSTORS if start.startswith(mark)), "")

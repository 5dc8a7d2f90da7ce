"""Files of a pose for a visitor: one of each format, and all of them in one archive."""

import zipfile
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from gradio.processing_utils import save_bytes_to_cache

from unipose.processing.pose_io import POSE_ENDINGS, save_pose


ENDINGS = tuple(
    ending
    for ending in (".glb", ".bvh", ".npz", ".openpose.json", ".openpose.png", ".png", ".html")
    if ending in POSE_ENDINGS
)


def pose_files(pose: np.ndarray) -> dict[str, bytes]:
    """The files of one pose by name; the last one, pose.zip, holds all others.

    Args:
        pose: (22, 3, 3) rotation matrices, z up.
    """
    with TemporaryDirectory() as folder:
        paths = [save_pose(Path(folder) / f"pose{ending}", pose) for ending in ENDINGS]
        files = {path.name: path.read_bytes() for path in paths}
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return files | {"pose.zip": buffer.getvalue()}


def offer_files(files: dict[str, bytes], cache: str) -> list[str]:
    """Writes files where the web framework serves them and deletes them after a while.

    Args:
        files: Contents by name.
        cache: Folder of the framework.

    Returns:
        Their paths.
    """
    return [save_bytes_to_cache(content, name, cache) for name, content in files.items()]

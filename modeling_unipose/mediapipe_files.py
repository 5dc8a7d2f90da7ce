"""`unipose get-mediapipe`: fetches the files that find people in photos, for `MediapipeEstimator` and for sites.

The files are those of two npm packages of MediaPipe (Apache-2.0), checked by their sha256 sums; npm fetches them. The
models come without the metadata that MediaPipe's task library asks for, so it is added here; the weights stay.
Version 0.10.35 is the last one that sends nothing to a server of its maker.
"""

import argparse
import hashlib
import shutil
import struct
import subprocess
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from importlib.metadata import distribution
from pathlib import Path
from typing import TypeAlias

from .photo_poses import MEDIAPIPE_MODEL


TASKS, POSE = "@mediapipe/tasks-vision@0.10.35", "@mediapipe/pose@0.5.1675469404"
# (package, file in it, name in the folder, sha256)
FILES = (
    (
        TASKS,
        "vision_bundle.mjs",
        "vision_bundle.mjs",
        "55d7ab624fbb70dcc5adc4ae6d7ea9cfcb569139d3dbfbf2b1deafcb966bc0fe",
    ),
    (
        TASKS,
        "wasm/vision_wasm_module_internal.js",
        "wasm/vision_wasm_module_internal.js",
        "1f1d6215324a1fe62f6742d49a3db911170987ca18ad8c1b75f1a1c82acf2b44",
    ),
    (
        TASKS,
        "wasm/vision_wasm_module_internal.wasm",
        "wasm/vision_wasm_module_internal.wasm",
        "617b8e0248dbd27e9d7ece4218004eae4cefb499196d1bb4fa0e3fef21708756",
    ),
)
# (file of POSE, mean and deviation of its input, sha256). The assets hold the detector alone.
DETECTOR = (
    "pose_solution_packed_assets.data",
    (127.5, 127.5),
    "a63c614bef30d35947f13be361820b1e4e3bec9cfeebf4d11216a18373108e85",
)
# By task file: the model of landmarks. "heavy" is the exact one for photos, "full" the fast one for webcams.
LANDMARKS = {
    MEDIAPIPE_MODEL.name: (
        "pose_landmark_heavy.tflite",
        (0.0, 255.0),
        "59e42d71bcd44cbdbabc419f0ff76686595fd265419566bd4009ef703ea8e1fe",
    ),
    "pose_landmarker_full.task": (
        "pose_landmark_full.tflite",
        (0.0, 255.0),
        "e9a5c5cb17f736fafd4c2ec1da3b3d331d6edbe8a0d32395855aeb2cdfd64b9f",
    ),
}
# The day of the package, so that the file is the same in each build.
TASK_DATE = (2023, 2, 4, 0, 0, 0)
NOTICE = """MediaPipe, Copyright The MediaPipe Authors, Apache License 2.0 (see LICENSE)

From the npm packages {packages}, unchanged but for {tasks}: each
holds two models of the second package, to which the metadata of their input (its normalization) was added.
Made by `unipose get-mediapipe`.
"""

# Further than any place before the old file.
FAR = 2**24

# FlatBuffers, as far as it is needed. All offsets point forward: a table can be put before the bytes that it names.
Node: TypeAlias = "int | float | str | bytes | Place | list | Mapping[int, Node]"


class Place(int):
    """Bytes that are there already: their distance from the start of the old file."""


def write_node(out: bytearray, node: Node, old_start: int) -> int:
    """Appends a table (fields by number), a list, a text or bytes.

    Args:
        out: Buffer to append to.
        node: What to append.
        old_start: Where in the result the old file begins.

    Returns:
        The place of the node.

    Raises:
        TypeError: A number, which is written where it is named.
    """
    if isinstance(node, Place):
        return old_start + node
    if isinstance(node, (str, bytes)):
        data = node.encode() if isinstance(node, str) else node
        # Contents of buffers start at a multiple of 16.
        out += bytes((-len(out) - 4) % 16)
        place = len(out)
        out += struct.pack("<I", len(data)) + data + b"\0"
        return place
    out += bytes(-len(out) % 4)
    if isinstance(node, list):
        place = len(out)
        out += struct.pack("<I", len(node))
        slots = list(enumerate(node))
        start = len(out)
        out += bytes(4 * len(node))
    elif isinstance(node, Mapping):
        count = max(node, default=-1) + 1
        fields = sorted(node)
        offsets = [4 + 4 * fields.index(number) if number in node else 0 for number in range(count)]
        table = struct.pack(f"<{2 + count}H", 4 + 2 * count, 4 + 4 * len(fields), *offsets)
        start_of_table = len(out)
        out += table + bytes(-len(table) % 4)
        place = len(out)
        out += struct.pack("<i", place - start_of_table)
        start = len(out)
        slots = [(slot, node[number]) for slot, number in enumerate(fields)]
        out += bytes(4 * len(fields))
    else:
        raise TypeError(f"expected a table, a list, a text or bytes, got {type(node).__name__}")
    for slot, value in slots:
        here = start + 4 * slot
        if isinstance(value, (str, bytes, list, Mapping, Place)):
            value = write_node(out, value, old_start) - here
        out[here : here + 4] = struct.pack("<f" if isinstance(value, float) else "<I", value)
    return place


def write_buffer(root: Node, identifier: bytes, old: bytes = b"") -> bytes:
    """A FlatBuffers file, in front of an old one that its root may name.

    Args:
        root: The root table.
        identifier: Four letters that name the kind of file.
        old: The old file.
    """
    # The first pass finds how many bytes come before the old file.
    size = FAR
    for _ in range(2):
        out = bytearray(8)
        place = write_node(out, root, size)
        out += bytes(-len(out) % 16)
        size = len(out)
    out[:8] = struct.pack("<I", place) + identifier
    return bytes(out) + old


def read_root(data: bytes) -> dict[int, int]:
    """The fields of the root table of a FlatBuffers file: their numbers and places."""
    (table,) = struct.unpack_from("<I", data)
    layout = table - struct.unpack_from("<i", data, table)[0]
    (size,) = struct.unpack_from("<H", data, layout)
    offsets = struct.unpack_from(f"<{(size - 4) // 2}H", data, layout + 4)
    return {number: table + offset for number, offset in enumerate(offsets) if offset}


def follow(data: bytes, place: int) -> Place:
    """Where the offset at a place leads.

    Args:
        data: The file.
        place: Where the offset is.
    """
    return Place(place + struct.unpack_from("<I", data, place)[0])


def read_list(data: bytes, place: int) -> list[Place]:
    """The tables of the list that the offset at a place leads to.

    Args:
        data: The file.
        place: Where the offset is.
    """
    start = follow(data, place)
    (count,) = struct.unpack_from("<I", data, start)
    return [follow(data, start + 4 + 4 * number) for number in range(count)]


def input_metadata(mean: float, deviation: float) -> bytes:
    """Metadata of a model with one image as its input, which says how its values are normalized.

    Args:
        mean: Mean of the values in 0..255.
        deviation: What the rest is divided by.
    """
    image = {0: 2, 1: {0: 1}}  # content: an image, in RGB
    normalization = {0: 1, 1: {0: [mean], 1: [deviation]}}
    tensor = {0: "image", 3: image, 4: [normalization]}
    return write_buffer({0: "pose", 3: [{2: [tensor]}], 7: "1.0.0"}, b"M001")


def add_metadata(model: bytes, metadata: bytes) -> bytes:
    """A TFLite model with metadata: a new root in front of the old file.

    Args:
        model: The model.
        metadata: The content of its buffer TFLITE_METADATA.
    """
    version, codes, graphs, description, buffers, named, signatures = 0, 1, 2, 3, 4, 6, 7
    fields = read_root(model)
    root: dict[int, Node] = {version: struct.unpack_from("<I", model, fields[version])[0]}
    root |= {
        number: follow(model, fields[number])
        for number in (codes, graphs, description, signatures)
        if number in fields
    }
    contents = read_list(model, fields[buffers])
    others = read_list(model, fields[named]) if named in fields else []
    root[buffers] = [*contents, {0: metadata}]
    root[named] = [*others, {0: "TFLITE_METADATA", 1: len(contents)}]
    return write_buffer(root, b"TFL3", model)


def unpack_packages(names: Sequence[str], folder: Path) -> dict[str, Path]:
    """The content of npm packages.

    Args:
        names: Their names with versions.
        folder: An empty folder.

    Returns:
        Folders by name.

    Raises:
        OSError: There is no npm, or it cannot fetch a package.
    """
    npm = shutil.which("npm")
    if npm is None:
        raise FileNotFoundError("npm is not installed (Node.js); it fetches MediaPipe's files by their package names")
    found = {}
    for number, name in enumerate(names):
        target = folder / str(number)
        target.mkdir()
        packed = subprocess.run([npm, "pack", name], cwd=target, capture_output=True, text=True)
        if packed.returncode != 0:
            reason = next(iter(packed.stderr.strip().splitlines()), f"it ended with {packed.returncode}")
            raise OSError(f"npm cannot fetch {name}: {reason}")
        shutil.unpack_archive(target / packed.stdout.split()[-1], target)
        found[name] = target / "package"
    return found


def read_checked(path: Path, sha256: str) -> bytes:
    """The content of a file.

    Args:
        path: The file.
        sha256: Its sum.

    Raises:
        ValueError: It has another sum.
    """
    data = path.read_bytes()
    found = hashlib.sha256(data).hexdigest()
    if found != sha256:
        raise ValueError(f"{path.name} has the sha256 sum {found}; expected {sha256}")
    return data


def read_model(folder: Path, file: str, normalization: tuple[float, float], sha256: str) -> bytes:
    """A model of a package, with the metadata of its input.

    Args:
        folder: The package.
        file: Its file.
        normalization: Mean and deviation of the input.
        sha256: Sum of the file.

    Raises:
        ValueError: The file has another sum.
    """
    return add_metadata(read_checked(folder / file, sha256), input_metadata(*normalization))


def write_mediapipe(folder: Path) -> None:
    """Writes the files, the license and a notice.

    Args:
        folder: Folder to write to.

    Raises:
        OSError: npm is missing, or cannot fetch a package.
        ValueError: A file has another sum than expected.
    """
    with tempfile.TemporaryDirectory() as temporary:
        packages = unpack_packages([TASKS, POSE], Path(temporary))
        contents = {name: read_checked(packages[package] / file, sha256) for package, file, name, sha256 in FILES}
        detector = read_model(packages[POSE], *DETECTOR)
        models = {task: read_model(packages[POSE], *row) for task, row in LANDMARKS.items()}
    for name, data in contents.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    for task, landmarks in models.items():
        # MediaPipe maps the models from the file: they must not be compressed.
        with zipfile.ZipFile(folder / task, "w", zipfile.ZIP_STORED) as archive:
            for name, data in (("pose_detector.tflite", detector), ("pose_landmarks_detector.tflite", landmarks)):
                archive.writestr(zipfile.ZipInfo(name, TASK_DATE), data)
    notice = NOTICE.format(packages=f"{TASKS} and {POSE}", tasks=" and ".join(models))
    (folder / "NOTICE").write_text(notice, encoding="utf-8")
    # The package has the same license.
    (folder / "LICENSE").write_text(read_license(), encoding="utf-8")


def read_license() -> str:
    """The text of this package's license.

    Raises:
        FileNotFoundError: The installation lacks it.
    """
    installed = [Path(str(path.locate())) for path in distribution("unipose").files or [] if path.name == "LICENSE"]
    for path in (Path(__file__).resolve().parents[1] / "LICENSE", *installed):
        if path.is_file():
            return path.read_text(encoding="utf-8")
    raise FileNotFoundError("this installation of unipose lacks LICENSE; install the package again")


def main() -> None:
    """Parses the command line and writes the files."""
    parser = argparse.ArgumentParser(
        prog="unipose get-mediapipe",
        description="Fetches the files of MediaPipe that find people in photos (52 MB, Apache-2.0): npm packages, "
        "checked by their sha256 sums. Needs npm.",
    )
    parser.add_argument(
        "folder",
        nargs="?",
        type=Path,
        default=MEDIAPIPE_MODEL.parent,
        help="folder to write to, such as that of a site; default: %(default)s, where estimator='mediapipe' looks",
    )
    folder = parser.parse_args().folder.expanduser()
    write_mediapipe(folder)
    print(f"wrote {folder}")


if __name__ == "__main__":
    main()

"""ASF/AMC: a skeleton of bones with directions and lengths in one file, the angles of each frame in others."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import roma
import torch

from unipose.processing.skeletons import BoneMap, Matrices, Recording, Skeleton
from unipose.processing.text_lines import Lines
from unipose.training.datasets.importers.clips import SkeletonFiles
from unipose.training.datasets.importers.errors import DatasetError
from unipose.training.datasets.importers.files import read_text


# ASF has no frame rate; CMU records at this one.
FRAMES_PER_SECOND = 120.0
ROTATIONS, TRANSLATIONS = ("rx", "ry", "rz"), ("tx", "ty", "tz", "l")


@dataclass(frozen=True)
class _Bone:
    """A bone: direction and length of its segment, its axes at rest (a rotation), and its degrees of freedom."""

    direction: np.ndarray
    length: float
    axes: Matrices
    freedoms: tuple[str, ...] = ()
    parent: str | None = None


@dataclass(frozen=True)
class AmcPoses(SkeletonFiles):
    """The frames of AMC files as `PoseRecord`s; see `SkeletonFiles`.

    The skeleton of `49_02.amc` is `49_02.asf`, `49.asf`, or the only one in its folder.

    Args:
        root: the folder, or one file.
        choice: which clips and frames to import.
        bone_map: JSON file with the skeleton's bones by joint; default: found by their names.
        up_axis: the world's vertical; default: found in the reference pose.
        reference_frame: number of a frame in which the body stands; default: the skeleton's own rest pose.
        source_rate: frames per second of the files.
    """

    source_rate: float = FRAMES_PER_SECOND

    ending: ClassVar[str] = ".amc"

    def bones(self) -> BoneMap:
        # CMU's wrist is the forearm's rotation; what people call the wrist is the hand's joint.
        return {"left_wrist": "lhand", "right_wrist": "rhand"} | dict(super().bones())

    def read(self, path: Path) -> Recording:
        bones, degrees = _read_skeleton(self.lines(self.find_skeleton(path)))
        names = list(bones)
        parents = [names.index(bone.parent) if bone.parent is not None else -1 for bone in bones.values()]
        positions, ends = np.zeros((len(names), 3)), np.zeros((len(names), 3))
        for index, bone in enumerate(bones.values()):
            if parents[index] >= 0:
                positions[index] = ends[parents[index]]
            ends[index] = positions[index] + bone.length * bone.direction
        rotations = _read_motion(self.lines(path), bones, degrees)
        for index, parent in enumerate(parents):
            if parent >= 0:
                rotations[:, index] = rotations[:, parent] @ rotations[:, index]
        return Recording(Skeleton(tuple(names), tuple(parents), positions, ends), rotations, self.source_rate)

    def lines(self, path: Path) -> Lines:
        """The lines of a file without comments.

        Raises:
            DatasetError: it is missing or no text.
        """
        return Lines(path, read_text(path, self.source), "#")

    def find_skeleton(self, path: Path) -> Path:
        """The ASF of an AMC.

        Raises:
            DatasetError: there is none, or several and none with the name.
        """
        named = [path.with_suffix(".asf"), path.with_name(path.stem.split("_")[0] + ".asf")]
        others = sorted(path.parent.glob("*.asf"))
        found = [each for each in named if each in others] or (others if len(others) == 1 else [])
        if not found:
            raise DatasetError(
                f"{path} has no skeleton: its folder holds {[each.name for each in others] or 'no .asf'}; expected "
                f"{named[0].name} or {named[1].name}. {self.source}."
            )
        return found[0]


def _read_skeleton(lines: Lines) -> tuple[dict[str, _Bone], bool]:
    """Bones by name, parents first, and whether angles are degrees."""
    bones: dict[str, _Bone] = {}
    parents: dict[str, str] = {}
    degrees, section = True, ""
    while lines:
        words = lines.next("a section")
        if words[0].startswith(":"):
            section = words[0]
            if section == ":root":
                bones["root"] = _read_root(lines, degrees)
        elif section == ":units" and words[0] == "angle":
            degrees = words[1:] != ["rad"]
        elif section == ":bonedata" and words == ["begin"]:
            name, bone = _read_bone(lines, degrees)
            bones[name] = bone
        elif section == ":hierarchy" and words not in (["begin"], ["end"]):
            unknown = [word for word in words if word not in bones]
            if unknown:
                raise lines.error(unknown[0], f"one of the bones {', '.join(bones)}")
            parents |= dict.fromkeys(words[1:], words[0])
    if "root" not in bones or not parents:
        raise DatasetError(f"{lines.path} holds no skeleton; expected the sections :root, :bonedata and :hierarchy")
    ordered = {"root": bones["root"]}
    while len(ordered) <= len(parents):
        new = {name: replace(bones[name], parent=parents[name]) for name in parents if parents[name] in ordered}
        new = {name: bone for name, bone in new.items() if name not in ordered}
        if not new:
            lost = ", ".join(name for name in parents if name not in ordered)
            raise DatasetError(f"{lines.path}: the bones {lost} are not below the root; expected one tree")
        ordered |= new
    return ordered, degrees


def _read_root(lines: Lines, degrees: bool) -> _Bone:
    order: list[str] = []
    while lines and not lines.peek()[0].startswith(":"):
        word, *others = lines.next("the root's entries")
        if word == "order":
            order = [other.lower() for other in others]
            unknown = [other for other in order if other not in ROTATIONS + TRANSLATIONS]
            if unknown:
                raise lines.error(unknown[0], f"some of {', '.join(ROTATIONS + TRANSLATIONS)}")
        elif word == "orientation":
            angles = lines.numbers(others, 3, "3 angles")
            if any(angles):
                raise lines.error(" ".join(others), "0 0 0: a root at rest")
    return _Bone(np.zeros(3), 0.0, np.eye(3), tuple(order))


def _read_bone(lines: Lines, degrees: bool) -> tuple[str, _Bone]:
    name, direction, length = "", np.zeros(3), 0.0
    axes: Matrices = np.eye(3)
    freedoms: tuple[str, ...] = ()
    while (words := lines.next("end"))[0] != "end":
        word, *values = words
        if word == "name":
            name = " ".join(values)
        elif word == "direction":
            direction = np.array(lines.numbers(values, 3, "direction and 3 numbers"))
        elif word == "length":
            (length,) = lines.numbers(values, 1, "length and a number")
        elif word == "axis":
            order = values[3] if len(values) == 4 else ""
            if sorted(order) != ["X", "Y", "Z"]:
                raise lines.error(" ".join(values), "axis, 3 angles and their order, such as XYZ")
            axes = _euler(np.array(lines.numbers(values[:3], 3, "3 angles"))[None], order, degrees)[0]
        elif word == "dof":
            freedoms = tuple(value.lower() for value in values)
            unknown = [value for value in freedoms if value not in ROTATIONS + TRANSLATIONS]
            if unknown:
                raise lines.error(unknown[0], f"some of {', '.join(ROTATIONS + TRANSLATIONS)}")
    if not name:
        raise lines.error("a bone without a name", "name and a word")
    return name, _Bone(direction, length, axes, freedoms)


def _euler(angles: Matrices, order: str, degrees: bool) -> Matrices:
    """(n, k) angles about fixed axes, the first applied first -> (n, 3, 3)."""
    return roma.euler_to_rotmat(order.lower(), torch.from_numpy(angles), degrees=degrees).numpy()


def _read_motion(lines: Lines, bones: dict[str, _Bone], degrees: bool) -> Matrices:
    """(frames, bones, 3, 3) rotations of each bone relative to its parent, since the rest pose."""
    names = list(bones)
    values: dict[str, list[list[float]]] = {name: [] for name in names if bones[name].freedoms}
    count = 0
    while lines:
        words = lines.next("a frame")
        if words[0].startswith(":"):
            degrees = {":DEGREES": True, ":RADIANS": False}.get(words[0].upper(), degrees)
        elif len(words) == 1 and words[0].isdigit():
            _check_whole(lines, values, count)
            count += 1
        elif words[0] in values and count and len(values[words[0]]) == count - 1:
            wanted = len(bones[words[0]].freedoms)
            values[words[0]].append(lines.numbers(words[1:], wanted, f"{wanted} numbers of {words[0]}"))
        else:
            left = [name for name, rows in values.items() if len(rows) < count]
            raise lines.error(" ".join(words[:2]), f"the number of a frame, or one of the bones {', '.join(left)}")
    _check_whole(lines, values, count)
    if not count:
        raise DatasetError(f"{lines.path} holds no frames; expected at least one")
    rotations = np.broadcast_to(np.eye(3), (count, len(names), 3, 3)).copy()
    for name, rows in values.items():
        bone = bones[name]
        turns = [index for index, freedom in enumerate(bone.freedoms) if freedom in ROTATIONS]
        if turns:
            order = "".join(bone.freedoms[index][1] for index in turns)
            own = _euler(np.array(rows)[:, turns], order, degrees)
            rotations[:, names.index(name)] = bone.axes @ own @ bone.axes.T
    return rotations


def _check_whole(lines: Lines, values: dict[str, list[list[float]]], count: int) -> None:
    """Every bone has its numbers in every frame so far."""
    missing = [name for name, rows in values.items() if len(rows) < count]
    if missing:
        raise lines.error(f"frame {count} without {', '.join(missing)}", "numbers of every bone with dof")

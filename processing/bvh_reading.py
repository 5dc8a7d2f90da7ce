"""BVH: a skeleton of joints with offsets, and the channels of each frame (degrees)."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from .rotations import euler_to_rotmat
from .skeletons import Matrices, Recording, Skeleton
from .text_lines import Lines, as_integer


CHANNELS = tuple(f"{axis}{kind}" for kind in ("position", "rotation") for axis in "XYZ")
# Far more than any body has; Python's stack holds about a thousand.
MAX_DEPTH = 100


@dataclass
class _Joints:
    """Joints in the order of the file: names, parents, offsets from the parent, channels, offsets of end sites."""

    names: list[str] = field(default_factory=list)
    parents: list[int] = field(default_factory=list)
    offsets: list[list[float]] = field(default_factory=list)
    channels: list[list[str]] = field(default_factory=list)
    ends: dict[int, list[float]] = field(default_factory=dict)


def read_bvh(path: Path, text: str) -> Recording:
    """The skeleton and the motion of a BVH file.

    Args:
        path: the file, for errors.
        text: its content.

    Raises:
        MotionError: the file is damaged.
    """
    lines = Lines(path, text)
    joints = _read_hierarchy(lines)
    _expect(lines, ["MOTION"])
    count = as_integer(lines, _labelled(lines, "Frames:"), "a number of frames of at least 1")
    (seconds,) = lines.numbers(_labelled(lines, "Frame Time:"), 1, "the seconds of a frame")
    if seconds <= 0:
        raise lines.error(seconds, "a frame time above 0")
    width = sum(map(len, joints.channels))
    values = [
        lines.numbers(lines.next(f"{count} frames"), width, f"{width} numbers, one a channel") for _ in range(count)
    ]
    if lines:
        lines.next("")
        raise lines.error("another line", f"the end after {count} frames")
    return Recording(_skeleton(joints), _global_rotations(joints, np.array(values)), 1.0 / seconds)


def _labelled(lines: Lines, label: str) -> list[str]:
    """The words after a label that begins the next line."""
    words, expected = lines.next(label), label.split()
    if words[: len(expected)] != expected:
        raise lines.error(" ".join(words), label)
    return words[len(expected) :]


def _expect(lines: Lines, words: list[str]) -> None:
    got = lines.next(" ".join(words))
    if got != words:
        raise lines.error(" ".join(got), " ".join(words))


def _read_hierarchy(lines: Lines) -> _Joints:
    _expect(lines, ["HIERARCHY"])
    joints = _Joints()
    words = lines.next("ROOT")
    if words[0] != "ROOT":
        raise lines.error(" ".join(words), "ROOT and a name")
    _read_joint(lines, joints, words)
    if lines.peek()[:1] == ["ROOT"]:
        lines.next("")
        raise lines.error("a second ROOT", "one skeleton")
    return joints


def _read_joint(lines: Lines, joints: _Joints, words: list[str], parent: int = -1, depth: int = 1) -> None:
    if len(words) < 2:
        raise lines.error(" ".join(words), "a name")
    if depth > MAX_DEPTH:
        raise lines.error(f"{depth} joints in a chain", f"at most {MAX_DEPTH}")
    own = len(joints.names)
    joints.names.append(" ".join(words[1:]))
    joints.parents.append(parent)
    _expect(lines, ["{"])
    joints.offsets.append(_read_offset(lines))
    joints.channels.append(_read_channels(lines))
    while (words := lines.next("JOINT, End Site or }")) != ["}"]:
        if words[0] == "JOINT":
            _read_joint(lines, joints, words, own, depth + 1)
        elif words[:2] == ["End", "Site"]:
            _expect(lines, ["{"])
            joints.ends[own] = _read_offset(lines)
            _expect(lines, ["}"])
        else:
            raise lines.error(" ".join(words), "JOINT, End Site or }")


def _read_offset(lines: Lines) -> list[float]:
    return lines.numbers(_labelled(lines, "OFFSET"), 3, "OFFSET and 3 numbers")


def _read_channels(lines: Lines) -> list[str]:
    """The channels of a joint; none where the line is left out."""
    if lines.peek()[:1] != ["CHANNELS"]:
        return []
    number, *channels = _labelled(lines, "CHANNELS") or [""]
    if number != str(len(channels)) or not set(channels) <= set(CHANNELS) or len(set(channels)) != len(channels):
        raise lines.error(" ".join([number, *channels]), f"the number of channels, and some of {', '.join(CHANNELS)}")
    return channels


def _skeleton(joints: _Joints) -> Skeleton:
    positions = np.array(joints.offsets)
    for joint, parent in enumerate(joints.parents):
        if parent >= 0:
            positions[joint] += positions[parent]
    ends = positions.copy()
    for joint, offset in joints.ends.items():
        ends[joint] += offset
    return Skeleton(tuple(joints.names), tuple(joints.parents), positions, ends)


def _global_rotations(joints: _Joints, values: Matrices) -> Matrices:
    """(frames, channels) values -> (frames, joints, 3, 3)."""
    rotations = np.broadcast_to(np.eye(3), (len(values), len(joints.names), 3, 3)).copy()
    column = 0
    for joint, channels in enumerate(joints.channels):
        turns = [index for index, channel in enumerate(channels) if channel.endswith("rotation")]
        if turns:
            order = "".join(channels[index][0] for index in turns)
            angles = torch.from_numpy(values[:, [column + index for index in turns]])
            rotations[:, joint] = euler_to_rotmat(order, angles, degrees=True).numpy()
        column += len(channels)
        if joints.parents[joint] >= 0:
            rotations[:, joint] = rotations[:, joints.parents[joint]] @ rotations[:, joint]
    return rotations

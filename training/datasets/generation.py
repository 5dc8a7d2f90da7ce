"""Makes the records of our own corpus: sampled poses and pairs of poses, described, compared and drawn.

Poses of the training split are sampled from its motion clips (`poses`); those of validation and test are frames of
clips that training never sees.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import roma
import torch

from unipose.processing.body_model import BodyModel
from unipose.processing.pose_features import mirror_pose
from unipose.training.captions.describe import describe
from unipose.training.captions.instruct import Style, instruct
from unipose.training.captions.paircodes import NONE, extract_paircodes
from unipose.training.captions.posecodes import Posecode, extract_posecodes
from unipose.training.captions.text import Caption
from unipose.training.datasets.instructions import check_tasks
from unipose.training.datasets.records import PicturePairRecord, PictureRecord, PosePairRecord, PoseRecord, Rotvecs
from unipose.training.datasets.rows import Record
from unipose.training.geometry import rotate_heading
from unipose.training.named_poses.archetypes import archetype_sentences
from unipose.training.sampling.pose_pairs import sample_pose_pairs
from unipose.training.sampling.poses import SPLIT_CLIPS, load_motion_clips, motion_poses, sample_training_poses
from unipose.training.synthetic_images.drawing import random_picture


SPLITS = ("train", *SPLIT_CLIPS)
# Lengths of descriptions that are told, and of those that are asked for.
MAX_WORDS = (15, 30, 45, 55)
ANSWER_MAX_WORDS = (30, 45)
# Lengths of instructions and differences.
PAIR_MAX_WORDS = (12, 20, 30, 40)
# How often a named pose is described by its plain sentence, or, in what is told, by that sentence alone.
USE_SENTENCE = 0.7
SENTENCE_ALONE = 0.3
# The body in a picture is turned away from the camera by at most this much (degrees).
LARGEST_TURN = 45.0
# Share of pairs whose second pose has nothing to do with the first.
UNRELATED = 0.2


class Pair(NamedTuple):
    """Two (22, 3, 3) poses in the stored frame, and whether they are two moments of one sequence.

    The first faces the default way; the second does too, or, in a sequence, keeps its turn from the first.
    """

    first: torch.Tensor
    second: torch.Tensor
    same: bool


class Wording(NamedTuple):
    """How poses are described: see `caption_poses`."""

    lengths: Sequence[int]
    sentence_alone: float
    variety: float


@dataclass(frozen=True)
class RecordGenerator:
    """Makes the records of each task.

    Args:
        body: whose joints are measured, and which is drawn.
        split: one of `SPLITS`: which clips poses come from.
        picture_size: pixels of the square pictures.
        variety: of the wordings of captions that are told (see `describe`).
        answer_variety: of those that are asked for.

    Raises:
        ValueError: an unknown split.
    """

    body: BodyModel
    split: str = "train"
    picture_size: int = 96
    variety: float = 1.0
    answer_variety: float = 1.0

    def __post_init__(self) -> None:
        if self.split not in SPLITS:
            raise ValueError(f"unknown split {self.split!r}; accepted are {', '.join(SPLITS)}")

    def records(self, task: str, count: int, rng: np.random.Generator, name: str) -> Sequence[Record]:
        """Makes `count` records for rows of one task, named "<name>:<number>"; the same `rng` makes the same records.

        Raises:
            ValueError: an unknown task.
        """
        check_tasks([task])
        if task == "pose-to-text":
            return self._pose_records(count, rng, name, self.asked)
        if task == "text-to-pose":
            return self._pose_records(count, rng, name, self.told)
        if task in ("image-to-text", "image-to-pose"):
            return self.picture_records(count, rng, name)
        if task == "image-diff":
            return self.picture_pair_records(count, rng, name)
        return self.pose_pair_records(count, rng, name, "instruction" if task == "pose-edit" else "difference")

    @property
    def told(self) -> Wording:
        return Wording(MAX_WORDS, SENTENCE_ALONE, self.variety)

    @property
    def asked(self) -> Wording:
        return Wording(ANSWER_MAX_WORDS, 0.0, self.answer_variety)

    def _pose_records(self, count: int, rng: np.random.Generator, name: str, wording: Wording) -> list[PoseRecord]:
        described = self._described_poses(count, rng, wording)
        return [
            PoseRecord(f"{name}:{index}", to_rotvecs(pose), (text,)) for index, (pose, text) in enumerate(described)
        ]

    def pose_pair_records(self, count: int, rng: np.random.Generator, name: str, style: Style) -> list[PosePairRecord]:
        return [
            PosePairRecord(f"{name}:{index}", to_rotvecs(pair.first), to_rotvecs(pair.second), (text,), pair.same)
            for index, (pair, text) in enumerate(self._told_pairs(count, rng, style))
        ]

    def picture_records(self, count: int, rng: np.random.Generator, name: str) -> list[PictureRecord]:
        described = self._described_poses(count, rng, self.asked)
        seen = rotate_heading(torch.stack([pose for pose, _ in described]), _camera_turns(count, rng))
        return [
            self._picture(f"{name}:{index}", pose, rng, (text,))
            for index, (pose, (_, text)) in enumerate(zip(seen, described))
        ]

    def picture_pair_records(self, count: int, rng: np.random.Generator, name: str) -> list[PicturePairRecord]:
        """Two moments of one sequence are drawn with the same clothes, ground and camera."""
        told = self._told_pairs(count, rng, "difference")
        turns, others = _camera_turns(count, rng), _camera_turns(count, rng)
        same = torch.tensor([pair.same for pair, _ in told])
        firsts = rotate_heading(torch.stack([pair.first for pair, _ in told]), turns)
        seconds = rotate_heading(torch.stack([pair.second for pair, _ in told]), torch.where(same, turns, others))
        records = []
        for index, (pair, text) in enumerate(told):
            looks = rng.integers(2**32, size=2)
            first = self._picture(f"{name}:{index}a", firsts[index], np.random.default_rng(looks[0]))
            look = np.random.default_rng(looks[0] if pair.same else looks[1])
            second = self._picture(f"{name}:{index}b", seconds[index], look)
            records.append(PicturePairRecord(f"{name}:{index}", first, second, (text,), pair.same))
        return records

    def _picture(
        self, name: str, pose: torch.Tensor, rng: np.random.Generator, captions: tuple[str, ...] = ()
    ) -> PictureRecord:
        image = random_picture(pose, self.body, self.picture_size, rng)["bytes"]
        return PictureRecord(name, image, to_rotvecs(pose), captions)

    def _described_poses(
        self, count: int, rng: np.random.Generator, wording: Wording
    ) -> list[tuple[torch.Tensor, str]]:
        """Poses that something can be said about, and what is said."""
        found: list[tuple[torch.Tensor, str]] = []
        while len(found) < count:
            rotmats, labels = draw_poses(self.split, count - len(found), rng, self.body)
            captions = caption_poses(rotmats, labels, rng, self.body, *wording)
            found += [(pose, caption.text) for pose, caption in zip(rotmats, captions) if caption.text]
        return found

    def _told_pairs(self, count: int, rng: np.random.Generator, style: Style) -> list[tuple[Pair, str]]:
        """Pairs whose difference can be said, and what is said."""
        found: list[tuple[Pair, str]] = []
        while len(found) < count:
            first, second, same = draw_pairs(self.split, count - len(found), rng, self.body)
            texts = pair_texts(first, second, rng, style, same, self.body)
            pairs = map(Pair, first, second, same.tolist())
            found += [(pair, text) for pair, text in zip(pairs, texts) if text]
        return found


def to_rotvecs(rotmats: torch.Tensor) -> Rotvecs:
    """(..., 22, 3, 3) rotation matrices -> (..., 22, 3) rotation vectors in radians."""
    return roma.rotmat_to_rotvec(rotmats).numpy().astype(np.float32)


def _camera_turns(count: int, rng: np.random.Generator) -> torch.Tensor:
    return torch.from_numpy(np.radians(rng.uniform(-LARGEST_TURN, LARGEST_TURN, count)))


def draw_poses(
    split: str, count: int, rng: np.random.Generator, body: BodyModel
) -> tuple[torch.Tensor, list[str | None]]:
    """(count, 22, 3, 3) poses of a split, heading removed, and the name of each one's archetype or None."""
    if split == "train":
        rotmats, labels = sample_training_poses(count, int(rng.integers(2**31)), body)
        return rotmats.float(), labels
    frames = motion_poses(clip for clip in load_motion_clips() if clip.name in SPLIT_CLIPS[split]).float()
    frames = torch.cat([frames, mirror_pose(frames)])
    return frames[torch.from_numpy(rng.integers(len(frames), size=count))], [None] * count


def draw_pairs(
    split: str, count: int, rng: np.random.Generator, body: BodyModel
) -> tuple[torch.Tensor, torch.Tensor, npt.NDArray[np.bool_]]:
    """Pairs of poses of a split: some changes apart, two moments of one clip, or two poses unrelated to each other.

    Returns:
        The first and the second of each pair, (count, 22, 3, 3), and (count,) whether they are of one clip.
    """
    seed = int(rng.integers(2**31))
    pairs = sample_pose_pairs(count, seed, body, clips=None if split == "train" else SPLIT_CLIPS[split])
    others, _ = draw_poses(split, count, rng, body)
    unrelated = rng.random(count) < UNRELATED
    second = torch.where(torch.from_numpy(unrelated)[:, None, None, None], others, pairs.second.float())
    return pairs.first.float(), second, pairs.same_sequence.numpy() & ~unrelated


def pair_texts(
    first: torch.Tensor,
    second: torch.Tensor,
    rng: np.random.Generator,
    style: Style,
    same_sequence: npt.NDArray[np.bool_],
    body: BodyModel,
) -> list[str]:
    """What turns each first pose into the second; "" where nothing that can be said has changed.

    Args:
        first, second: (n, 22, 3, 3) in the stored frame.
        rng: decides wording and length.
        style: "instruction" or "difference".
        same_sequence: (n,) whether a turn of the whole body means something.
        body: whose joints are measured.
    """
    joints = (body.forward_joints(poses).numpy() for poses in (first, second))
    changes = extract_paircodes(*joints, same_sequence=same_sequence, rotmats=(first, second))
    lengths = rng.choice(PAIR_MAX_WORDS, len(changes))
    return [
        "" if codes == (NONE,) else instruct(codes, rng, style=style, max_words=int(length)).text
        for codes, length in zip(changes, lengths)
    ]


def caption_poses(
    rotmats: torch.Tensor,
    labels: Sequence[str | None],
    rng: np.random.Generator,
    body: BodyModel,
    lengths: Sequence[int] = MAX_WORDS,
    sentence_alone: float = SENTENCE_ALONE,
    variety: float = 1.0,
) -> list[Caption[Posecode]]:
    """Describes poses, at various lengths; a pose with a name may be described by that name's plain sentences.

    Args:
        rotmats: (n, 22, 3, 3) in the stored frame.
        labels: for each pose the name of its archetype, or None.
        rng: decides wording and length.
        body: whose joints are measured.
        lengths: the most words of a description; one is drawn for each.
        sentence_alone: how often a plain sentence is all that is said.
        variety: of the wordings (see `describe`).

    Raises:
        ValueError: there is another number of labels than poses.
    """
    if len(labels) != len(rotmats):
        raise ValueError(f"there are {len(rotmats)} poses and {len(labels)} labels; give one label a pose")
    codes = extract_posecodes(body.forward_joints(rotmats).numpy(), rotmats=rotmats)
    return [
        _caption(pose_codes, label, rng, int(rng.choice(lengths)), sentence_alone, variety)
        for pose_codes, label in zip(codes, labels)
    ]


def _caption(
    codes: Sequence[Posecode],
    label: str | None,
    rng: np.random.Generator,
    max_words: int,
    sentence_alone: float,
    variety: float,
) -> Caption[Posecode]:
    if label is None or rng.random() >= USE_SENTENCE:
        return describe(codes, rng, max_words=max_words, variety=variety)
    sentences = archetype_sentences(label)
    lead = sentences[int(rng.integers(len(sentences)))]
    if rng.random() < sentence_alone:
        return Caption(lead, ())
    return describe(codes, rng, lead=lead, max_words=max_words, variety=variety)

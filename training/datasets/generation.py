"""Generates the records of the synthetic corpus: sampled poses and pose pairs, captioned, compared and rendered.

Poses of the training split are sampled from its motion clips and the user's records (see `sampling.poses`); those of
validation and test are frames of held-out clips.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeVar, cast

import numpy as np
import numpy.typing as npt
import roma
import torch

from unipose.processing.body_model import BodyModel
from unipose.training.captions.actions import action_sentence
from unipose.training.captions.describe import describe
from unipose.training.captions.instruct import Style, instruct
from unipose.training.captions.paircodes import NONE, extract_paircodes
from unipose.training.captions.posecodes import Posecode, extract_posecodes
from unipose.training.captions.text import Caption
from unipose.training.datasets.instructions import check_tasks
from unipose.training.datasets.records import ImagePairRecord, ImageRecord, PosePairRecord, PoseRecord, Rotvecs
from unipose.training.datasets.rows import Record
from unipose.training.geometry import add_mirrored, rotate_heading
from unipose.training.named_poses.archetypes import archetype_sentences
from unipose.training.named_poses.wordings import wordings_of
from unipose.training.sampling.named import near_named
from unipose.training.sampling.pose_pairs import sample_pose_pairs
from unipose.training.sampling.poses import (
    SPLIT_CLIPS,
    MotionPoses,
    load_motion_clips,
    motion_poses,
    sample_training_poses,
)
from unipose.training.synthetic_images.rendering import random_image
from unipose.training.synthetic_images.scenes import empty_image


SPLITS = ("train", *SPLIT_CLIPS)
# Maximum lengths of captions in words, one drawn per caption: of captions in prompts, and of those in answers.
PROMPT_MAX_WORDS = (15, 30, 45, 55)
ANSWER_MAX_WORDS = (38, 48)
# Maximum lengths of instructions and differences.
PAIR_MAX_WORDS = (12, 20, 30, 40)
# Probability that the caption of a named pose begins with its archetype's sentence, and, in prompts, ends after it.
SENTENCE_SHARE = 0.7
SENTENCE_ONLY_SHARE = 0.3
# Headings of bodies in images lie within this of the camera's direction (degrees).
MAX_HEADING = 45.0
# Share of pairs of two unrelated poses.
UNRELATED_SHARE = 0.2
# Maximum number of draws for a batch. A pose or a change without any statement is rare.
MAX_ROUNDS = 100

Item = TypeVar("Item")


class Pair(NamedTuple):
    """A pair of poses.

    Args:
        first, second: (22, 3, 3) in the stored frame. The heading of the first is 0; that of the second is relative to
            the first in a sequence, otherwise 0.
        same_sequence: whether both are frames of one clip.
    """

    first: torch.Tensor
    second: torch.Tensor
    same_sequence: bool


class Wording(NamedTuple):
    """Options of `caption_poses`."""

    lengths: Sequence[int]
    sentence_only: float
    variety: float
    actions: bool = False


@dataclass(frozen=True)
class RecordGenerator:
    """Generates the records of each task.

    Args:
        body: the body that is measured.
        split: one of `SPLITS`: decides the motion clips.
        image_size: pixels of the square images.
        variety: variety of the wording of captions in prompts, 0..1 (see `describe`).
        answer_variety: variety of the wording of captions in answers, 0..1.
        motion: recorded poses of the training split; default: those of its motion clips.
        image_body: the body that is rendered; default: the one that is measured.

    Raises:
        ValueError: an unknown split.
    """

    body: BodyModel
    split: str = "train"
    image_size: int = 96
    variety: float = 1.0
    answer_variety: float = 1.0
    motion: MotionPoses | None = None
    image_body: BodyModel | None = None

    def __post_init__(self) -> None:
        if self.split not in SPLITS:
            raise ValueError(f"split is {self.split!r}; expected one of {', '.join(SPLITS)}")

    def records(self, task: str, count: int, rng: np.random.Generator, name: str) -> Sequence[Record]:
        """Generates the records for the rows of one task.

        Args:
            task: a key of `TASKS`.
            count: number of records.
            rng: source of all randomness; the same state gives the same records.
            name: records are named "<name>:<number>".

        Raises:
            ValueError: an unknown task.
            RuntimeError: poses were rejected too often.
        """
        check_tasks([task])
        if task == "pose-to-text":
            return self._pose_records(count, rng, name, self._answer_wording)
        if task == "text-to-pose":
            return self._pose_records(count, rng, name, Wording(PROMPT_MAX_WORDS, SENTENCE_ONLY_SHARE, self.variety))
        if task in ("image-to-text", "image-to-pose"):
            return self._image_records(count, rng, name)
        if task == "image-diff":
            return self._image_pair_records(count, rng, name)
        return self._pose_pair_records(count, rng, name, "instruction" if task == "pose-edit" else "difference")

    @property
    def _answer_wording(self) -> Wording:
        return Wording(ANSWER_MAX_WORDS, 0.0, self.answer_variety, actions=True)

    def _pose_records(self, count: int, rng: np.random.Generator, name: str, wording: Wording) -> list[PoseRecord]:
        described = self._described_poses(count, rng, wording)
        rotvecs = _stack_rotvecs([pose for pose, _ in described])
        return [
            PoseRecord(f"{name}:{index}", pose, (text,))
            for index, (pose, (_, text)) in enumerate(zip(rotvecs, described))
        ]

    def _pose_pair_records(
        self, count: int, rng: np.random.Generator, name: str, style: Style
    ) -> list[PosePairRecord]:
        compared = self._compared_pairs(count, rng, style)
        firsts = _stack_rotvecs([pair.first for pair, _ in compared])
        seconds = _stack_rotvecs([pair.second for pair, _ in compared])
        return [
            PosePairRecord(f"{name}:{index}", first, second, (text,), pair.same_sequence)
            for index, (first, second, (pair, text)) in enumerate(zip(firsts, seconds, compared))
        ]

    def _image_records(self, count: int, rng: np.random.Generator, name: str) -> list[ImageRecord]:
        described = self._described_poses(count, rng, self._answer_wording)
        poses = rotate_heading(torch.stack([pose for pose, _ in described]), random_headings(count, rng))
        return [
            self._render(f"{name}:{index}", pose, rng, (text,))
            for index, (pose, (_, text)) in enumerate(zip(poses, described))
        ]

    def _image_pair_records(self, count: int, rng: np.random.Generator, name: str) -> list[ImagePairRecord]:
        """Frames of one sequence are rendered with the same clothes, background and camera."""
        compared = self._compared_pairs(count, rng, "difference")
        yaw, other_yaw = random_headings(count, rng), random_headings(count, rng)
        same = torch.tensor([pair.same_sequence for pair, _ in compared])
        firsts = rotate_heading(torch.stack([pair.first for pair, _ in compared]), yaw)
        seconds = rotate_heading(torch.stack([pair.second for pair, _ in compared]), torch.where(same, yaw, other_yaw))
        records = []
        for index, (pair, text) in enumerate(compared):
            seeds = rng.integers(2**32, size=2)
            first = self._render(f"{name}:{index}a", firsts[index], np.random.default_rng(seeds[0]))
            style = np.random.default_rng(seeds[0] if pair.same_sequence else seeds[1])
            second = self._render(f"{name}:{index}b", seconds[index], style)
            records.append(ImagePairRecord(f"{name}:{index}", first, second, (text,), pair.same_sequence))
        return records

    def render_scene(self, pose: torch.Tensor | None, rng: np.random.Generator) -> bytes:
        """An encoded image in a random style.

        Args:
            pose: (22, 3, 3) in the stored frame, heading relative to the camera; None for a scene without a person.
            rng: source of all randomness.
        """
        size, body = self.image_size, self.image_body or self.body
        image = empty_image(rng, size) if pose is None else random_image(pose, body, size, rng)
        return cast(bytes, image["bytes"])

    def _render(
        self, name: str, pose: torch.Tensor, rng: np.random.Generator, captions: tuple[str, ...] = ()
    ) -> ImageRecord:
        image = self.render_scene(pose, rng)
        return ImageRecord(name, image, to_rotvecs(pose), captions)

    def _described_poses(
        self, count: int, rng: np.random.Generator, wording: Wording
    ) -> list[tuple[torch.Tensor, str]]:
        """`count` poses with captions that are not empty."""

        def describe_batch(size: int) -> Iterable[tuple[torch.Tensor, str]]:
            rotmats, labels = draw_poses(self.split, size, rng, self.body, self.motion)
            captions = caption_poses(rotmats, labels, rng, self.body, *wording)
            return zip(rotmats, (caption.text for caption in captions))

        return collect_described(count, describe_batch)

    def _compared_pairs(self, count: int, rng: np.random.Generator, style: Style) -> list[tuple[Pair, str]]:
        """`count` pairs with texts that are not empty."""

        def compare_batch(size: int) -> Iterable[tuple[Pair, str]]:
            first, second, same = draw_pairs(self.split, size, rng, self.body, self.motion)
            return zip(map(Pair, first, second, same.tolist()), pair_texts(first, second, rng, style, same, self.body))

        return collect_described(count, compare_batch)


def collect_described(count: int, draw: Callable[[int], Iterable[tuple[Item, str]]]) -> list[tuple[Item, str]]:
    """Draws items with texts until `count` of them have one.

    Args:
        count: number of items.
        draw: function of a number that returns as many items, each with its text or "".

    Raises:
        RuntimeError: too few have a text after `MAX_ROUNDS` draws.
    """
    described: list[tuple[Item, str]] = []
    rounds = 0
    while len(described) < count:
        if rounds == MAX_ROUNDS:
            raise RuntimeError(
                f"got texts for {len(described)} of {count} poses or pairs after {rounds} draws; expected all"
            )
        described += [(item, text) for item, text in draw(count - len(described)) if text]
        rounds += 1
    return described


def to_rotvecs(rotmats: torch.Tensor) -> Rotvecs:
    """(..., 22, 3, 3) rotation matrices -> (..., 22, 3) rotation vectors in radians."""
    return roma.rotmat_to_rotvec(rotmats).numpy().astype(np.float32)


def _stack_rotvecs(poses: Sequence[torch.Tensor]) -> Rotvecs:
    """(22, 3, 3) poses -> (n, 22, 3): all at once, which is many times faster than one by one."""
    return to_rotvecs(torch.stack(list(poses))) if poses else np.zeros((0, 22, 3), dtype=np.float32)


def random_headings(count: int, rng: np.random.Generator) -> torch.Tensor:
    """Headings relative to the camera, within `MAX_HEADING`.

    Args:
        count: number of headings.
        rng: source of all randomness.

    Returns:
        (count,) radians.
    """
    return torch.from_numpy(np.radians(rng.uniform(-MAX_HEADING, MAX_HEADING, count)))


def draw_poses(
    split: str, count: int, rng: np.random.Generator, body: BodyModel, motion: MotionPoses | None = None
) -> tuple[torch.Tensor, list[str | None]]:
    """Draws poses of a split.

    Args:
        split: one of `SPLITS`.
        count: number of poses.
        rng: source of all randomness.
        body: the body for which training poses must be plausible.
        motion: recorded poses of the training split; default: those of its motion clips.

    Returns:
        (count, 22, 3, 3) poses in the stored frame, heading removed, and the name of each one's archetype or None.
    """
    if split == "train":
        rotmats, labels = sample_training_poses(count, int(rng.integers(2**31)), body, motion=motion)
        return rotmats.float(), labels
    clips = (clip for clip in load_motion_clips() if clip.name in SPLIT_CLIPS[split])
    frames = add_mirrored(motion_poses(clips).float())
    return frames[torch.from_numpy(rng.integers(len(frames), size=count))], [None] * count


def draw_pairs(
    split: str, count: int, rng: np.random.Generator, body: BodyModel, motion: MotionPoses | None = None
) -> tuple[torch.Tensor, torch.Tensor, npt.NDArray[np.bool_]]:
    """Draws pairs of poses of a split: changed poses, frames of one clip, and unrelated poses.

    Args:
        split: one of `SPLITS`.
        count: number of pairs.
        rng: source of all randomness.
        body: the body for which poses must be plausible.
        motion: recorded poses of the training split; default: those of its motion clips.

    Returns:
        First and second poses, (count, 22, 3, 3), and (count,) booleans: frames of one clip.
    """
    seed = int(rng.integers(2**31))
    pairs = sample_pose_pairs(count, seed, body, clips=SPLIT_CLIPS.get(split), motion=motion)
    unrelated = rng.random(count) < UNRELATED_SHARE
    second = pairs.second.float()
    second[torch.from_numpy(unrelated)], _ = draw_poses(split, int(unrelated.sum()), rng, body, motion)
    return pairs.first.float(), second, pairs.same_sequence.numpy() & ~unrelated


def pair_texts(
    first: torch.Tensor,
    second: torch.Tensor,
    rng: np.random.Generator,
    style: Style,
    same_sequence: npt.NDArray[np.bool_],
    body: BodyModel,
) -> list[str]:
    """Texts of how the second pose differs from the first; "" where no change can be stated.

    Args:
        first, second: (n, 22, 3, 3) in the stored frame.
        rng: source of wording and length.
        style: "instruction" or "difference".
        same_sequence: (n,) whether a change of heading is meaningful.
        body: the body that is measured.
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
    lengths: Sequence[int] = PROMPT_MAX_WORDS,
    sentence_only: float = SENTENCE_ONLY_SHARE,
    variety: float = 1.0,
    actions: bool = False,
) -> list[Caption[Posecode]]:
    """Captions poses, in various lengths; the caption of an archetype may begin with one of its sentences.

    Args:
        rotmats: (n, 22, 3, 3) in the stored frame.
        labels: for each pose the name of its archetype, or None.
        rng: source of wording and length.
        body: the body that is measured.
        lengths: maximum numbers of words; one is drawn for each caption.
        sentence_only: probability that such a caption ends after the archetype's sentence.
        variety: variety of the wording, 0..1 (see `describe`).
        actions: whether the caption of every named pose, and of one near it, begins with its action.

    Raises:
        ValueError: the numbers of labels and poses differ.
    """
    if len(labels) != len(rotmats):
        raise ValueError(f"got {len(labels)} labels for {len(rotmats)} poses; expected one for each pose")
    if actions:
        near = near_named(rotmats, body)
        names = [label or other for label, other in zip(labels, near)]
        leads = [action_sentence(wordings_of(name), rng, variety) if name else "" for name in names]
    else:
        leads = [_plain_lead(label, rng) for label in labels]
    return caption_with_leads(rotmats, leads, rng, body, lengths, sentence_only, variety)


def caption_with_leads(
    rotmats: torch.Tensor,
    leads: Sequence[str],
    rng: np.random.Generator,
    body: BodyModel,
    lengths: Sequence[int],
    sentence_only: float = 0.0,
    variety: float = 1.0,
) -> list[Caption[Posecode]]:
    """Captions poses, each after a first sentence.

    Args:
        rotmats: (n, 22, 3, 3) in the stored frame.
        leads: the first sentence of each caption; "" for the captioner's own.
        rng: source of wording and length.
        body: the body that is measured.
        lengths: maximum numbers of words; one is drawn for each caption.
        sentence_only: probability that a caption with a lead ends after it.
        variety: variety of the wording, 0..1 (see `describe`).
    """
    codes = extract_posecodes(body.forward_joints(rotmats).numpy(), rotmats=rotmats)
    return [
        _caption(pose_codes, lead, rng, int(rng.choice(lengths)), sentence_only, variety)
        for pose_codes, lead in zip(codes, leads)
    ]


def _plain_lead(label: str | None, rng: np.random.Generator) -> str:
    """One of the sentences of a named pose, or ""."""
    if label is None or rng.random() >= SENTENCE_SHARE:
        return ""
    sentences = archetype_sentences(label)
    return sentences[int(rng.integers(len(sentences)))]


def _caption(
    codes: Sequence[Posecode],
    lead: str,
    rng: np.random.Generator,
    max_words: int,
    sentence_only: float,
    variety: float,
) -> Caption[Posecode]:
    if lead and rng.random() < sentence_only:
        return Caption(lead, ())
    return describe(codes, rng, lead=lead, max_words=max_words, variety=variety)

"""Rows in people's words: named and composed poses, edits of these, and questions with answers.

A recipe says how many of a shard's rows these are; the others are those of `generation`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from unipose.processing.body_model import BodyModel
from unipose.training.captions.actions import action_sentence
from unipose.training.datasets.change_questions import ask_about_change
from unipose.training.datasets.clip_frames import ClipFrames
from unipose.training.datasets.edit_texts import edit_text, turn_text
from unipose.training.datasets.generation import (
    ANSWER_MAX_WORDS,
    PROMPT_MAX_WORDS,
    SENTENCE_ONLY_SHARE,
    caption_poses,
    caption_with_leads,
    to_rotvecs,
)
from unipose.training.datasets.pose_pool import PosePool
from unipose.training.datasets.questions import ask_questions
from unipose.training.datasets.records import ChainRecord, PosePairRecord, PoseRecord
from unipose.training.named_poses.archetypes import archetype_sentences
from unipose.training.named_poses.chance import pick
from unipose.training.named_poses.grammar import phrase
from unipose.training.named_poses.limb_grammar import composed_text
from unipose.training.named_poses.wordings import wordings_of
from unipose.training.sampling.composition import Composer
from unipose.training.sampling.edit_chains import Chain, sample_chains, sample_edits
from unipose.training.sampling.edits import Editor, Measures
from unipose.training.sampling.named import sample_named_poses
from unipose.training.sampling.poses import MotionPoses, sample_training_poses
from unipose.training.sampling.rejection import MAX_ROUNDS


# What ends the name of a record whose text is in people's words, after the name of its pose.
HUMAN = "human"
# Share of the questions that are about named poses, the others being about poses of `sample_training_poses`.
NAMED_QUESTIONS = 0.6
# Poses a question: some poses have more than one.
POSES_A_QUESTION = 0.7
# A prompt is the text alone: it holds its own request.
TEXT_PROMPT = "{caption}"
# Share of the captions of recorded activities among those that begin with the action, and of questions about changes
# where nothing changed.
CLIP_CAPTIONS, SAME_POSE = 0.25, 0.08
# Share of the edits that are in a chat of several turns, most edits of a chat, share of the chats whose first pose is
# described, and poses to edit at least.
CHATS, MAX_TURNS, WORDS_FIRST, MIN_POOL = 0.4, 4, 0.5, 64
EDIT_PROMPTS = ("{pose} {instruction}", "{pose} {instruction}", "{instruction} {pose}", "{pose}\n{instruction}")


@dataclass(frozen=True)
class HumanWords:
    """Makes the records of a shard that are in people's words, or of named poses.

    Args:
        body: the body that is measured.
        variety: variety of the captions of named poses that the captioner writes (see `describe`).
        motion: recorded poses to edit and to ask about; default: those of the motion clips.
    """

    body: BodyModel
    variety: float = 1.0
    motion: MotionPoses | None = None

    def named(self, count: int, human: float, rng: np.random.Generator, name: str) -> list[PoseRecord]:
        """Named poses for text-to-pose.

        Args:
            count: number of records.
            human: share of them whose text is a wording of the bank; the captioner writes the others.
            rng: source of all randomness.
            name: records are named "<name>:<pose>:<number>", or "<name>:<pose>:human:<number>".
        """
        poses, labels = sample_named_poses(count, rng, self.body)
        worded = rng.random(count) < human
        plain = np.flatnonzero(~worded)
        named = [labels[index] for index in plain]
        wording = PROMPT_MAX_WORDS, SENTENCE_ONLY_SHARE, self.variety
        captions = iter(caption_poses(poses[torch.from_numpy(plain)], named, rng, self.body, *wording))
        records = []
        for index, (rotvecs, label) in enumerate(zip(to_rotvecs(poses), labels)):
            if worded[index]:
                source, text, prompt = f"{label}:{HUMAN}", phrase(wordings_of(label), rng), TEXT_PROMPT
            else:
                source, text, prompt = label, next(captions).text or archetype_sentences(label)[0], ""
            records.append(PoseRecord(f"{name}:{source}:{index}", rotvecs, (text,), prompt))
        return records

    def composed(self, count: int, rng: np.random.Generator, name: str) -> list[PoseRecord]:
        """Composed poses with texts about their parts, for text-to-pose.

        Args:
            count: number of records.
            rng: source of all randomness.
            name: records are named "<name>:<states>:human:<number>", states joined by "+".
        """
        composer = Composer.load(self.body)
        poses, states = composer.draw(count, rng)
        records = []
        for index, (rotvecs, row) in enumerate(zip(to_rotvecs(poses), states)):
            composition = composer.composition(row)
            source = f"{name}:{composition.name}:{HUMAN}:{index}"
            records.append(PoseRecord(source, rotvecs, (composed_text(composition, rng),), TEXT_PROMPT))
        return records

    def clips(self, count: int, frames: ClipFrames, rng: np.random.Generator, name: str) -> list[PoseRecord]:
        """Recorded poses with words for what the person does, for text-to-pose.

        Args:
            count: number of records.
            frames: recorded poses with activities.
            rng: source of all randomness.
            name: records are named "<name>:<activity>:human:<number>".
        """
        poses, activities = frames.draw(count, rng)
        return [
            PoseRecord(
                f"{name}:{activity.name}:{HUMAN}:{index}", rotvecs, (phrase(activity.wordings, rng),), TEXT_PROMPT
            )
            for index, (rotvecs, activity) in enumerate(zip(to_rotvecs(poses), activities))
        ]

    def edits(self, count: int, rng: np.random.Generator, name: str) -> list[PosePairRecord | ChainRecord]:
        """Edits of any poses, for pose-edit: of a pose in the prompt, or in a chat of several turns.

        Args:
            count: number of records.
            rng: source of all randomness.
            name: records are named "<name>:<kind>:human:<number>".
        """
        editor, pool = self._poses_to_edit(count, rng)
        measures = editor.measure(pool.poses)
        num_chats = round(count * CHATS)
        changes, starts, second = sample_edits(count - num_chats, pool.poses, measures, rng, editor)
        first = to_rotvecs(pool.poses)
        single = [
            PosePairRecord(
                f"{name}:{change.kind}:{HUMAN}:{index}",
                first[start],
                edited,
                (edit_text(change, editor, rng),),
                prompt=pick(EDIT_PROMPTS, rng),
            )
            for index, (change, start, edited) in enumerate(zip(changes, starts, to_rotvecs(second)))
        ]
        return [*single, *self._chats(num_chats, pool, measures, rng, editor, name)]

    def _poses_to_edit(self, count: int, rng: np.random.Generator) -> tuple[Editor, PosePool]:
        """An editor, and poses to draw `count` edits from."""
        composer = Composer.load(self.body)
        return Editor.load(composer), PosePool.draw(max(MIN_POOL, count // 2), rng, composer, self.motion)

    def change_questions(self, count: int, rng: np.random.Generator, name: str) -> list[PosePairRecord]:
        """Questions about what changed between two poses, for pose-diff.

        Args:
            count: number of records.
            rng: source of all randomness.
            name: records are named "<name>:<kind>:human:<number>".
        """
        editor, pool = self._poses_to_edit(count, rng)
        changes, starts, second = sample_edits(count, pool.poses, editor.measure(pool.poses), rng, editor)
        first = pool.poses[starts]
        same = torch.from_numpy(rng.random(count) < SAME_POSE)
        second[same] = first[same]
        asked = [
            ask_about_change(one, other, None if still else change, editor, rng)
            for one, other, change, still in zip(first, second, changes, same.tolist())
        ]
        return [
            PosePairRecord(
                f"{name}:{question.kind}:{HUMAN}:{index}", one, other, (question.answer,), prompt=question.prompt
            )
            for index, (question, one, other) in enumerate(zip(asked, to_rotvecs(first), to_rotvecs(second)))
        ]

    def captions(
        self, count: int, frames: ClipFrames | None, rng: np.random.Generator, name: str, variety: float
    ) -> list[PoseRecord]:
        """Named poses and recorded activities with captions that begin with the action, for pose-to-text.

        Args:
            count: number of records.
            frames: recorded poses with activities; None: named poses only.
            rng: source of all randomness.
            name: records are named "<name>:<pose or activity>:<number>".
            variety: variety of the wording, 0..1 (see `describe`).
        """
        num_clips = 0 if frames is None else round(count * CLIP_CAPTIONS)
        poses, labels = sample_named_poses(count - num_clips, rng, self.body)
        leads = [action_sentence(wordings_of(label), rng, variety) for label in labels]
        if frames is not None:
            recorded, activities = frames.draw(num_clips, rng)
            poses = torch.cat([poses, recorded])
            leads += [action_sentence(activity.wordings, rng, variety) for activity in activities]
            labels = [*labels, *(activity.name for activity in activities)]
        captions = caption_with_leads(poses, leads, rng, self.body, ANSWER_MAX_WORDS, variety=variety)
        return [
            PoseRecord(f"{name}:{label}:{index}", rotvecs, (caption.text,))
            for index, (rotvecs, label, caption) in enumerate(zip(to_rotvecs(poses), labels, captions))
        ]

    def _chats(
        self,
        count: int,
        pool: PosePool,
        measures: Measures,
        rng: np.random.Generator,
        editor: Editor,
        name: str,
    ) -> list[ChainRecord]:
        """Chats that begin with a pose or with words for one; each turn after an edit ends a record."""
        records: list[ChainRecord] = []
        for _ in range(MAX_ROUNDS):
            if len(records) >= count:
                return [records[index] for index in rng.permutation(len(records))[:count]]
            turns = rng.integers(2, MAX_TURNS + 1, size=-(-(count - len(records)) // 2)).tolist()
            for chain in sample_chains(turns, pool.poses, measures, rng, editor):
                opening = pool.text(chain.start, rng) if rng.random() < WORDS_FIRST else ""
                records += _chat_records(chain, opening, editor, rng, name, len(records))
        raise RuntimeError(f"got {len(records)} of {count} chats after {MAX_ROUNDS} draws; expected all")

    def questions(self, count: int, rng: np.random.Generator, name: str) -> list[PoseRecord]:
        """Questions with answers, for pose-to-text; the names end as those of `named`.

        Args:
            count: number of records.
            rng: source of all randomness.
            name: records are named "<name>:<kind>:human:<number>".
        """
        num_poses = max(1, round(count * POSES_A_QUESTION))
        num_named = round(num_poses * NAMED_QUESTIONS)
        named, labels = sample_named_poses(num_named, rng, self.body)
        others, other_labels = sample_training_poses(
            num_poses - num_named, int(rng.integers(2**31)), self.body, motion=self.motion
        )
        poses = torch.cat([named, others.float()])
        asked = ask_questions(count, poses, [*labels, *other_labels], rng, self.body)
        return [
            PoseRecord(
                f"{name}:{question.kind}:{HUMAN}:{index}",
                to_rotvecs(poses[question.pose]),
                (question.answer,),
                question.prompt,
            )
            for index, question in enumerate(asked)
        ]


def _chat_records(
    chain: Chain, opening: str, editor: Editor, rng: np.random.Generator, name: str, start: int
) -> list[ChainRecord]:
    """The records of a chat, one that ends with each turn from the second one on.

    Args:
        chain: the poses and edits.
        opening: the text that the first pose answers; "": the first pose is in the prompt.
        editor: has the states.
        rng: source of all randomness.
        name: start of the names.
        start: number of the first record.
    """
    said = [turn_text(turn, editor, rng) for turn in chain.turns]
    kinds = [turn.kind for turn in chain.turns]
    if opening:
        said, kinds, shown = [opening, *said], ["text", *kinds], 0
    else:
        said[0], shown = pick(EDIT_PROMPTS, rng).replace("{instruction}", said[0]), 1
    poses = tuple(to_rotvecs(torch.stack(chain.poses)))
    return [
        ChainRecord(f"{name}:{kinds[end - 1]}:{HUMAN}:chat{start + end - 2}", poses[: end + shown], tuple(said[:end]))
        for end in range(2, len(said) + 1)
    ]


def share_of(rows: Sequence[int], total: int, part: int) -> int:
    """How many of the rows from `rows[0]` to before `rows[1]` are of a part that is spread evenly.

    Args:
        rows: the first row and the one after the last.
        total: rows of all parts.
        part: rows of the part.
    """
    return rows[1] * part // total - rows[0] * part // total

"""Questions about images in people's words, and images without a person."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import torch

from unipose.processing.body_model import BodyModel
from unipose.training.datasets.pose_pool import PosePool
from unipose.training.datasets.questions import ask_questions, question_prompt
from unipose.training.datasets.records import ImageAnswerRecord
from unipose.training.geometry import rotate_heading
from unipose.training.io import read_yaml
from unipose.training.named_poses.chance import pick
from unipose.training.sampling.composition import Composer
from unipose.training.sampling.poses import MotionPoses


# Makes an encoded image of a (22, 3, 3) pose, whose heading is relative to the camera; of None: an empty scene.
Renderer = Callable[[torch.Tensor | None, np.random.Generator], bytes]

PERSON_FILE = Path(__file__).parent.parent / "assets" / "person_questions.yaml"
# Of the questions: share about whether there is a person, share of empty scenes among these, and share of the other
# questions that are asked of an empty scene. How often an empty scene is described by the first of its sentences.
PERSON, EMPTY, ASKED_OF_NOTHING, PLAIN = 0.15, 0.5, 0.06, 0.7
# Headings of bodies in images lie within this of the camera's direction (degrees).
MAX_HEADING = 45.0


@cache
def load_person_questions() -> dict[str, list[str]]:
    """ "questions", and the answers "yes" and "no"."""
    return read_yaml(PERSON_FILE)


@dataclass(frozen=True)
class ImageWords:
    """Makes records of images with questions, and of images without a person.

    Args:
        body: the body that is measured.
        render: makes the images.
        motion: recorded poses; default: those of the motion clips.
    """

    body: BodyModel
    render: Renderer
    motion: MotionPoses | None = None

    def questions(self, count: int, rng: np.random.Generator, name: str) -> list[ImageAnswerRecord]:
        """Questions about images with answers, for image-to-text.

        Args:
            count: number of records.
            rng: source of all randomness.
            name: records are named "<name>:<kind>:human:<number>".
        """
        pool = PosePool.draw(count, rng, Composer.load(self.body), self.motion)
        asked = ask_questions(count, pool.poses, pool.labels, rng, self.body, shown="image")
        yaw = torch.from_numpy(np.radians(rng.uniform(-MAX_HEADING, MAX_HEADING, count)))
        poses = rotate_heading(pool.poses[[question.pose for question in asked]], yaw)
        records = []
        for index, (question, pose) in enumerate(zip(asked, poses)):
            kind, prompt, answer = question.kind, question.prompt, question.answer
            empty = rng.random() < ASKED_OF_NOTHING
            if rng.random() < PERSON:
                kind, empty = "person", rng.random() < EMPTY
                prompt = question_prompt(pick(load_person_questions()["questions"], rng), rng, "image")
                answer = pick(load_person_questions()["yes"], rng)
            if empty:
                answer = no_person(rng)
            image = self.render(None if empty else pose, rng)
            records.append(ImageAnswerRecord(f"{name}:{kind}:human:{index}", image, answer, prompt))
        return records

    def empty_scenes(self, count: int, rng: np.random.Generator, name: str) -> list[ImageAnswerRecord]:
        """Images without a person and a sentence that says so, for image-to-text.

        Args:
            count: number of records.
            rng: source of all randomness.
            name: records are named "<name>:empty:<number>".
        """
        return [
            ImageAnswerRecord(f"{name}:empty:{index}", self.render(None, rng), no_person(rng))
            for index in range(count)
        ]


def no_person(rng: np.random.Generator) -> str:
    """A sentence for an image without a person, mostly the plain one."""
    sentences = load_person_questions()["no"]
    return sentences[0] if rng.random() < PLAIN else pick(sentences, rng)

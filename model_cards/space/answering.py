"""What a turn of the conversation does: the pipeline decides, answers and states its confidence."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from limits import Limits
from PIL import Image
from session import Candidate, Session, Turn, before_and_after

from unipose.cli_inputs import implied_task
from unipose.tasks_unipose import TASKS, Task


# What a visitor may choose; "auto" leaves it to the model.
Mode = Literal["auto", "new", "change", "ask", "compare"]
MODES: tuple[Mode, ...] = get_args(Mode)
# Poses to choose from are sampled: low enough that most are good, high enough that they differ.
TEMPERATURE = 0.7
UNSURE = 0.5


@dataclass(frozen=True, eq=False)
class Request:
    """A message of a visitor.

    Args:
        text: Its words.
        mode: What the visitor wants.
        images: RGB images.
        image_paths: Files of the images, to be shown in the conversation.
        poses: (22, 3, 3) uploaded poses, z up.
        notes: What the visitor should know about the files.
        answers: Number of poses to choose from.
    """

    text: str = ""
    mode: Mode = "auto"
    images: Sequence[Image.Image] = ()
    image_paths: Sequence[str] = ()
    poses: Sequence[np.ndarray] = ()
    notes: Sequence[str] = ()
    answers: int = 1


class Assistant:
    """Answers visitors by means of one pipeline.

    Args:
        pipe: `pipeline("unipose")`.
        limits: Limits of the Space.
    """

    def __init__(self, pipe: Any, limits: Limits):
        self.pipe, self.limits = pipe, limits

    def answer(self, session: Session, request: Request) -> Session:
        """The conversation with one more turn.

        Args:
            session: The conversation so far.
            request: A message.

        Raises:
            ValueError: The message is empty or too long, or asks for what is not there.
        """
        self.check(request)
        text = request.text.strip() or None
        poses = [*session.poses, *request.poses]
        if request.poses and text is None and not request.images and request.mode in ("auto", "new"):
            return self.finish(session, request, "Here is your pose. Change it by words or drag a joint.", None, [])
        task = self.choose_task(text, request.mode, list(request.images), poses)
        given = before_and_after(poses) if task.poses == 2 else poses[-1:] if task.poses else []
        images = list(request.images) if task.images else []
        if task.answer == "text":
            answer = self.ask(task, text, images, given)
            reply = f"{answer['text']} {confidence_words(answer['confidence'])}"
            return self.finish(session, request, reply, None, [])
        found = self.make(task, text, images, given, request.answers, session.number)
        reply = {"text-to-pose": "Here is the pose.", "pose-edit": "Changed."}.get(task.name, "This is my estimate.")
        reply = f"{reply} {confidence_words(found[0].confidence)}"
        if len(found) > 1:
            reply += f" Choose one of {len(found)} below."
        return self.finish(session, request, reply, found[0].pose, found)

    def check(self, request: Request) -> None:
        """Checks a message.

        Args:
            request: The message.

        Raises:
            ValueError: It is empty or too long, or wants what is not offered.
        """
        check_text(request.text, self.limits)
        check_answers(request.answers, self.limits)
        if request.mode not in MODES:
            raise ValueError(f"there is no mode {request.mode!r}; accepted: {', '.join(MODES)}")
        if not (request.text.strip() or request.images or request.poses or request.mode in ("ask", "compare")):
            raise ValueError("write a sentence, or add an image or a pose file")

    def choose_task(
        self, text: str | None, mode: Mode, images: list[Image.Image], poses: Sequence[np.ndarray]
    ) -> Task:
        """The task of a message: what the visitor chose, otherwise what the model answers.

        Args:
            text: Words of the message.
            mode: What the visitor wants.
            images: Images of the message.
            poses: All poses of the conversation.

        Raises:
            ValueError: There is no pose or image for it, or no text.
        """
        pose = list(poses[-1:]) if not images else []
        if mode == "compare":
            if len(images) == 2 or (not images and len(before_and_after(poses)) == 2 if poses else False):
                return TASKS["image-diff" if images else "pose-diff"]
            raise ValueError("there is nothing to compare yet: make a second pose, or add two images or pose files")
        if mode == "ask":
            return self.task_of(text, images, pose, "text")
        if mode == "change":
            if text is None or not pose:
                raise ValueError("to change a pose, there must be one, and words that say what to change")
            return TASKS["pose-edit"]
        if mode == "new":
            return self.task_of(text, images, [], "pose")
        if len(images) == 2:
            return TASKS["image-diff"]
        if text is None:
            return self.task_of(text, images, pose, "pose")
        if not images and not pose:
            name = implied_task(text, pose, images)
            return TASKS[name] if name else self.task_of(text, images, pose, "text")
        return self.task_of(text, images, pose, self.kind_of_answer(text, images, pose))

    def kind_of_answer(self, text: str, images: list[Image.Image], poses: list[np.ndarray]) -> Literal["pose", "text"]:
        """Whether the model answers with a pose or in words, by the start of its free answer.

        Args:
            text: Words of the message.
            images: Its images.
            poses: Poses that it is about.
        """
        length = self.pipe.model.config.pose_answer_length
        answer = self.pipe(text, images=images or None, poses=poses or None, max_new_tokens=length)
        return "pose" if answer["poses"] else "text"

    def task_of(
        self, text: str | None, images: list[Image.Image], poses: list[np.ndarray], kind: Literal["pose", "text"]
    ) -> Task:
        """The task with these inputs and this kind of answer.

        Args:
            text: Words of the message.
            images: Its images.
            poses: Poses that it is about.
            kind: Kind of the answer.

        Raises:
            ValueError: There is none.
        """
        counts = (len(poses), len(images), kind)
        found = [task for task in TASKS.values() if (task.poses, task.images, task.answer) == counts]
        if not found:
            raise ValueError("there is no pose yet to talk about: describe one, or add an image or a pose file")
        if found[0].text and text is None:
            raise ValueError("write what the pose should be")
        return found[0]

    def ask(self, task: Task, text: str | None, images: list[Image.Image], poses: list[np.ndarray]) -> dict[str, Any]:
        """An answer in words.

        Args:
            task: A task whose answer is a text.
            text: The question; None for the task's own.
            images: Images that it is about.
            poses: Poses that it is about.
        """
        # A single text keeps lists of images and poses together in one row.
        text = text or self.pipe.processor.task_prompts.get(task.name, task.prompt)
        inputs = {"text": text, "images": images or None, "poses": poses or None}
        return self.pipe(**inputs, task=task.name, max_time=self.limits.seconds)

    def make(
        self,
        task: Task,
        text: str | None,
        images: list[Image.Image],
        poses: list[np.ndarray],
        answers: int,
        seed: int,
    ) -> list[Candidate]:
        """Poses that answer a request, the surest first.

        Args:
            task: A task whose answer is a pose.
            text: Description or instruction.
            images: Images that it is about.
            poses: Poses that it is about.
            answers: Number of poses; more than one are sampled.
            seed: Seed of the samples.
        """
        inputs = {"text": text, "images": images[0] if images else None, "poses": poses[0] if poses else None}
        sampling = {"num_return_sequences": answers, "temperature": TEMPERATURE, "seed": seed} if answers > 1 else {}
        found = self.pipe(**inputs, task=task.name, **sampling)
        rows = found if isinstance(found, list) else [found]
        candidates = [Candidate(row["poses"][0], row["confidence"]) for row in rows]
        return sorted(candidates, key=lambda candidate: -candidate.confidence)

    def finish(
        self, session: Session, request: Request, reply: str, pose: np.ndarray | None, candidates: list[Candidate]
    ) -> Session:
        """The conversation with a finished turn.

        Args:
            session: The conversation before.
            request: The message.
            reply: Words of the answer.
            pose: Pose of the answer.
            candidates: Poses to choose from, if there are several.
        """
        poses = (*request.poses, *([] if pose is None else [pose]))
        offered = tuple(candidates) if len(candidates) > 1 else ()
        words = " ".join([*request.notes, reply])
        shown = request.text.strip() or default_words(request)
        turn = Turn(shown, words, poses, offered, tuple(request.image_paths))
        return session.add(turn, self.limits.turns)

    def move(self, session: Session, pose: np.ndarray, joint: str) -> Session:
        """The conversation after a joint was turned by hand: the pose gets new words.

        Args:
            session: The conversation before.
            pose: (22, 3, 3) the pose now, z up.
            joint: Name of the joint.
        """
        words = self.ask(TASKS["pose-to-text"], None, [], [pose])["text"]
        before = [] if session.pose is None else before_and_after([session.pose, pose])
        changed = (
            f"\nWhat changed: {self.ask(TASKS['pose-diff'], None, [], before)['text']}" if len(before) == 2 else ""
        )
        turn = Turn(f"Turned the {joint.replace('_', ' ')} by hand.", f"{words}{changed}", (pose,), caption=words)
        return session.add(turn, self.limits.turns)

    def take_over(self, session: Session, pose: np.ndarray, origin: str) -> Session:
        """The conversation with a pose that the model did not make, in the model's words.

        Args:
            session: The conversation before.
            pose: (22, 3, 3) the pose, z up.
            origin: Where it comes from, for the visitor.
        """
        words = self.ask(TASKS["pose-to-text"], None, [], [pose])["text"]
        return session.add(Turn(origin, words, (pose,), caption=words), self.limits.turns)


def check_text(text: Any, limits: Limits) -> str:
    """Checks the length of a text.

    Args:
        text: The visitor's.
        limits: Limits of the Space.

    Raises:
        ValueError: It is no text, or too long.
    """
    if not isinstance(text, str):
        raise ValueError(f"the text is a {type(text).__name__}; expected words")
    if len(text) > limits.text_length:
        raise ValueError(f"the text has {len(text)} characters; accepted: at most {limits.text_length}")
    return text


def check_answers(answers: Any, limits: Limits) -> int:
    """Checks the number of poses to choose from.

    Args:
        answers: The visitor's.
        limits: Limits of the Space.

    Raises:
        ValueError: It is no accepted number.
    """
    if isinstance(answers, bool) or answers not in range(1, limits.answers + 1):
        raise ValueError(f"the number of poses must be from 1 to {limits.answers}")
    return int(answers)


def confidence_words(confidence: float) -> str:
    """A confidence as a visitor reads it."""
    unsure = " I am not sure about this." if confidence < UNSURE else ""
    return f"(confidence {min(confidence, 0.99):.0%}){unsure}"


def default_words(request: Request) -> str:
    """What a message without words asks for."""
    if request.mode == "compare":
        return "Compare the two images." if request.images else "Compare the last two poses."
    if request.mode == "ask":
        return "Describe the pose."
    return "Estimate the pose." if request.images else "My pose file."


def load_assistant(model: str | None, limits: Limits) -> tuple[Assistant, str]:
    """Loads a checkpoint; one that cannot be loaded leaves the embedded model in its place.

    Args:
        model: Folder or Hub id; None or "": the embedded model.
        limits: Limits of the Space.

    Returns:
        The assistant, and a message about the model for visitors, or "".
    """
    from unipose.cli import load_pipeline

    try:
        return Assistant(load_pipeline(model or None), limits), ""
    except Exception as error:  # Whatever is wrong with a checkpoint, the Space must start.
        if not model:
            raise
        name = Path(model).name
        note = f"The model {name} could not be loaded ({type(error).__name__}); the embedded model answers instead."
        return Assistant(load_pipeline(None), limits), note

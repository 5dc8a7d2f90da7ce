"""Poses -> training rows: `{"messages": [...], "images": [...], "poses": [(22, 3) rotation vectors]}`.

Content blocks refer to the row's images and poses in order; a pose in an assistant's turn is an output pose. Every row
carries its `task` too. Poses are in the stored z-up frame, upright as gravity has it: facing the default way beside a
text, turned as the camera sees them beside a picture.
"""

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import roma
import torch
from datasets import Dataset, Features, Image, Json, List, Value
from tqdm.auto import tqdm

from unipose.processing.body_model import BodyModel
from unipose.training.archetypes import archetype_sentences
from unipose.training.captions.describe import Caption, describe
from unipose.training.captions.posecodes import Posecode, extract_posecodes
from unipose.training.pictures import random_picture
from unipose.training.poses import turn


Row = dict[str, Any]
Block = dict[str, str]

TASKS = ("pose-to-text", "text-to-pose", "image-to-pose")
FEATURES = Features(
    {
        "messages": List(Json()),
        "images": List(Image()),
        "poses": List(List(List(Value("float32")))),
        "task": Value("string"),
    }
)

POSE_TO_TEXT_PROMPTS = (
    "Describe the pose {pose}.",
    "Describe this pose: {pose}",
    "What is the pose {pose}?",
    "What does the body do in {pose}?",
    "Put the pose {pose} into words.",
    "Say what this pose looks like: {pose}",
    "{pose} Describe the pose.",
    "{pose} What is the person doing?",
)
TEXT_TO_POSE_PROMPTS = (
    "Make this pose: {caption}",
    "Generate a pose: {caption}",
    "Show the pose: {caption}",
    "Give me the pose of this person. {caption}",
    "Which pose is this? {caption}",
    "Turn this description into a pose: {caption}",
    "{caption} Make the pose.",
    "{caption} Show me the pose.",
)
IMAGE_TO_POSE_PROMPTS = (
    "Estimate the pose in the picture {image}.",
    "What is the pose of the person in {image}?",
    "Give the pose of this person: {image}",
    "Estimate the pose: {image}",
    "Which pose is shown in {image}?",
    "Reconstruct the body in {image}.",
    "{image} Estimate the pose.",
    "{image} What is the pose of this person?",
)

# Share of text-to-pose prompts that are the bare description.
BARE_DESCRIPTION = 1 / 3
# Lengths of descriptions that are asked about, and of those that are asked for.
MAX_WORDS = (15, 30, 45, 55)
ANSWER_MAX_WORDS = (30, 45)
# How often a named pose is described by its plain sentence, or, in what is asked about, by that sentence alone.
USE_SENTENCE = 0.7
SENTENCE_ALONE = 0.3
# The body in a picture is turned away from the camera by at most this much (degrees).
LARGEST_TURN = 45.0


def blocks(template: str, caption: str = "") -> list[Block]:
    """A prompt's content: text around the `{pose}` and `{image}` it names, `{caption}` filled in."""
    pieces = re.split(r"\{(pose|image)\}", template.replace("{caption}", caption))
    content = [
        {"type": "text", "text": piece} if index % 2 == 0 else {"type": piece} for index, piece in enumerate(pieces)
    ]
    return [block for block in content if block != {"type": "text", "text": ""}]


def _row(task: str, question: list[Block], answer: list[Block], images: list[Any], poses: list[Any]) -> Row:
    messages = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    return {"messages": messages, "images": images, "poses": poses, "task": task}


def _pick(prompts: Sequence[str], rng: np.random.Generator) -> str:
    return prompts[int(rng.integers(len(prompts)))]


def pose_to_text_row(rotvecs: list[list[float]], caption: str, rng: np.random.Generator) -> Row:
    """A row that asks for the description of a pose, (22, 3) rotation vectors."""
    answer = [{"type": "text", "text": caption}]
    return _row("pose-to-text", blocks(_pick(POSE_TO_TEXT_PROMPTS, rng)), answer, [], [rotvecs])


def text_to_pose_row(rotvecs: list[list[float]], caption: str, rng: np.random.Generator) -> Row:
    """A row that asks for the pose, (22, 3) rotation vectors, of a description; a third of the prompts are bare."""
    prompt = "{caption}" if rng.random() < BARE_DESCRIPTION else _pick(TEXT_TO_POSE_PROMPTS, rng)
    return _row("text-to-pose", blocks(prompt, caption), [{"type": "pose"}], [], [rotvecs])


def image_to_pose_row(rotvecs: list[list[float]], image: Any, rng: np.random.Generator) -> Row:
    """A row that asks for the pose, (22, 3) rotation vectors as the camera sees it, of the person in a picture.

    `image` is a PIL picture or what `random_picture` gives.
    """
    return _row("image-to-pose", blocks(_pick(IMAGE_TO_POSE_PROMPTS, rng)), [{"type": "pose"}], [image], [rotvecs])


def caption_poses(
    rotmats: torch.Tensor,
    labels: Sequence[str | None],
    rng: np.random.Generator,
    body: BodyModel,
    lengths: Sequence[int] = MAX_WORDS,
    sentence_alone: float = SENTENCE_ALONE,
) -> list[Caption]:
    """Describes poses, at various lengths; a pose with a name may be described by that name's plain sentences.

    Args:
        rotmats: (n, 22, 3, 3) in the stored frame.
        labels: for each pose the name of its archetype, or None.
        rng: decides wording and length.
        body: whose joints are measured.
        lengths: the most words of a description; one is drawn for each.
        sentence_alone: how often a plain sentence is all that is said.
    """
    codes = extract_posecodes(body.forward_joints(rotmats).numpy())
    return [
        _caption(pose_codes, label, rng, int(rng.choice(lengths)), sentence_alone)
        for pose_codes, label in zip(codes, labels)
    ]


def _caption(
    codes: Sequence[Posecode], label: str | None, rng: np.random.Generator, max_words: int, sentence_alone: float
) -> Caption:
    if label is None or rng.random() >= USE_SENTENCE:
        return describe(codes, rng, max_words=max_words)
    lead = _pick(archetype_sentences(label), rng)
    if rng.random() < sentence_alone:
        return Caption(lead, ())
    return describe(codes, rng, lead=lead, max_words=max_words)


def build_rows(
    rotmats: torch.Tensor,
    labels: Sequence[str | None],
    tasks: Sequence[str],
    seed: int,
    picture_size: int = 64,
    body: BodyModel | None = None,
) -> Dataset:
    """One row for each task and pose, captions and pictures included.

    Args:
        rotmats: (n, 22, 3, 3) in the stored frame, heading removed, as `sample_training_poses` gives them.
        labels: for each pose the name of its archetype, or None.
        tasks: some of `TASKS`.
        seed: the same seed gives the same rows.
        picture_size: pixels of the square pictures.
        body: the built-in body where left out.

    Raises:
        ValueError: a task is unknown, or there is another number of labels than poses.
    """
    unknown = sorted(set(tasks) - set(TASKS))
    if unknown:
        raise ValueError(f"Unknown tasks {unknown}; accepted are {', '.join(TASKS)}.")
    if len(labels) != len(rotmats):
        raise ValueError(f"There are {len(rotmats)} poses and {len(labels)} labels; give one label a pose.")
    body = BodyModel.builtin() if body is None else body
    rng = np.random.default_rng(seed)
    rows: list[Row] = []
    for task in tasks:
        if task == "image-to-pose":
            rows += _picture_rows(rotmats, rng, body, picture_size)
        else:
            rows += _caption_rows(task, rotmats, labels, rng, body)
    return Dataset.from_list(rows, features=FEATURES)


def _rotvec_lists(rotmats: torch.Tensor) -> list[list[list[float]]]:
    return roma.rotmat_to_rotvec(rotmats).tolist()


def _caption_rows(
    task: str, rotmats: torch.Tensor, labels: Sequence[str | None], rng: np.random.Generator, body: BodyModel
) -> list[Row]:
    if task == "pose-to-text":
        make, captions = pose_to_text_row, caption_poses(rotmats, labels, rng, body, ANSWER_MAX_WORDS, 0.0)
    else:
        make, captions = text_to_pose_row, caption_poses(rotmats, labels, rng, body)
    return [make(pose, caption.text, rng) for pose, caption in zip(_rotvec_lists(rotmats), captions)]


def _picture_rows(rotmats: torch.Tensor, rng: np.random.Generator, body: BodyModel, size: int) -> list[Row]:
    yaw = torch.from_numpy(np.radians(rng.uniform(-LARGEST_TURN, LARGEST_TURN, len(rotmats))))
    turned = turn(rotmats, yaw)
    pairs = tqdm(zip(_rotvec_lists(turned), turned), total=len(turned), desc="pictures", leave=False)
    return [image_to_pose_row(pose, random_picture(rotmat, body, size, rng), rng) for pose, rotmat in pairs]

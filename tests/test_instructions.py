"""Instruction templates: 200 a task, each with its placeholders, all different."""

import re
from itertools import combinations

import pytest

from unipose.tasks_unipose import TASKS
from unipose.training.datasets.instructions import check_template, load_instructions


# Words that tell tasks with the same input apart: requests for rotations, and requests for text.
REQUESTS_POSE = re.compile(
    r"\b(3d|smpl|joints?|pose parameters|skeleton|mannequin|reconstruct|recover|estimat\w+|predict|regress|extract"
    r"|capture|fit)\b"
)
REQUESTS_TEXT = re.compile(
    r"\b(descri\w+|words?|english|caption\w*|tell|say|sum up|write|explain|report|list|sentences?|text|talk|walk"
    r"|summarize|mention|spell|said|doing|does|do|notice)\b"
)
# The order of a pair is stated in words, not only by position.
STATES_ORDER = re.compile(
    r"\b(first|second|before|after|earlier|later|from|to|into|in order|between .* and|start .* end|becomes?|became"
    r"|then|now|next|goal|should|(?-i:B))\b",
    re.IGNORECASE,
)


def plain(template: str) -> str:
    """A normalized template: no case, no punctuation, images and poses by kind."""
    kinds = re.sub(r"\{(pose|image)_[ab]\}", r"{\1}", template.lower())
    return " ".join(re.sub(r"[^a-z0-9{}' ]", " ", kinds).split())


@pytest.mark.parametrize("task", TASKS)
def test_200_different_templates_with_the_right_placeholders(task: str) -> None:
    templates = load_instructions(task)
    assert len(templates) == 200
    assert len({plain(template) for template in templates}) == 200
    for template in templates:
        assert template.isascii()
        assert template == " ".join(template.split())
        assert sorted(re.findall(r"\{(.*?)\}", template)) == sorted(TASKS[task].placeholders)
        assert not re.search(r"[{}]", re.sub(r"\{[a-z_]+\}", "", template))
        assert re.search(r"[a-z]", plain(re.sub(r"\{.*?\}", "", template)))


def test_no_template_belongs_to_two_tasks() -> None:
    normalized = {task: {plain(template) for template in load_instructions(task)} for task in TASKS}
    for first, second in combinations(TASKS, 2):
        assert not normalized[first] & normalized[second]


def test_templates_of_images_request_text_or_a_pose() -> None:
    for template in load_instructions("image-to-pose"):
        assert REQUESTS_POSE.search(template.lower()), template
        assert not re.search(r"\b(describe|caption|in words|sentences?)\b", template.lower()), template
    for template in load_instructions("image-to-text"):
        assert REQUESTS_TEXT.search(template.lower()), template
        assert not REQUESTS_POSE.search(template.lower()), template


@pytest.mark.parametrize("task", ["pose-diff", "image-diff"])
def test_templates_of_pairs_state_the_order(task: str) -> None:
    for template in load_instructions(task):
        first, second = TASKS[task].placeholders
        assert template.index(first) < template.index(second)
        assert STATES_ORDER.search(re.sub(r"\{.*?\}", "", template)), template


def test_pipeline_prompts_are_among_them() -> None:
    """The pipeline puts poses and images in front of its own words; the same prompts are in the training data."""
    for task, known in TASKS.items():
        if known.prompt != "{text}":
            front = "".join(f"{{{name}}} " for name in TASKS[task].placeholders)
            assert front + known.prompt in load_instructions(task)


@pytest.mark.parametrize(
    ("task", "template", "got"),
    [
        ("pose-to-text", "Describe it.", "none; expected {pose}"),
        ("pose-to-text", "{pose} {pose}", "{pose}, {pose}"),
        ("pose-to-text", "Describe {image}.", "{image}"),
        ("pose-diff", "{pose_b} after {pose_a}", "{pose_b}, {pose_a}"),
        ("pose-edit", "{pose} {caption}", "{pose}, {caption}"),
        ("text-to-pose", "Make {}: {caption}", "{}, {caption}"),
    ],
)
def test_errors_name_the_placeholders(task: str, template: str, got: str) -> None:
    with pytest.raises(ValueError, match=re.escape(got)):
        check_template(task, template)


def test_an_instruction_may_precede_its_pose() -> None:
    check_template("pose-edit", "{instruction} Start from {pose}.")


def test_unknown_task() -> None:
    with pytest.raises(ValueError, match=r"pose-to-song.*expected some of pose-to-text, pose-diff"):
        load_instructions("pose-to-song")

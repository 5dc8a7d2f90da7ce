"""The evaluation sets in people's words: every row can be judged, right poses pass and wrong ones do not."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from unipose.processing.body_model import BodyModel
from unipose.training.evaluation.human_words import (
    Chain,
    Question,
    Requirement,
    answer_chains,
    answer_questions,
    answer_sentences,
    is_right,
    keeps_joints,
    load_chains,
    load_edits,
    load_questions,
    load_sentences,
    measures_of,
)
from unipose.training.geometry import rotate_heading
from unipose.training.named_poses.archetypes import archetype_poses
from unipose.training.tools.show_words import CELL, caption_of, draw_rows, spread


@pytest.fixture(scope="module")
def body() -> BodyModel:
    return BodyModel.builtin()


def pose(name: str) -> torch.Tensor:
    return archetype_poses([name])[0]


def test_every_row_names_measures_that_exist(body: BodyModel) -> None:
    names = measures_of(pose("stand"), body)
    requirements = [item for row in (*load_sentences(), *load_edits()) for item in row.requirements]
    requirements += [item for row in load_chains() for step in row.requirements for item in step]
    assert len(requirements) > 400
    assert {item.measure for item in requirements} <= names.keys()
    assert not any(item.is_change for row in load_sentences() for item in row.requirements)
    texts = [row.text for row in (*load_sentences(), *load_edits(), *load_questions())]
    assert len({text.lower() for text in texts}) > 200


@pytest.mark.parametrize(
    ("text", "right", "wrong"),
    [
        ("a guy squatting way down", "squat", "stand"),
        ("T-pose", "t_pose", "arms_forward"),
        ("tree pose", "tree_left", "stand"),
        ("tree pose", "tree_right", "stand_on_left"),
        ("raise only the left arm as high as it goes", "hand_up_left", "hand_up_right"),
        ("student raising a hand in class", "hand_up_right", "hands_up"),
        ("sunbathing face up", "lie_back", "lie_front"),
        ("baby crawling", "crawl", "plank"),
        ("kick with the right leg", "kick_right", "kick_left"),
        ("lies on her left side", "lie_left", "lie_back"),
        ("standing at attention", "stand", "star"),
    ],
)
def test_named_poses_are_right_for_their_sentence_only(text: str, right: str, wrong: str, body: BodyModel) -> None:
    row = next(row for row in load_sentences() if row.text == text)
    assert is_right(row.requirements, pose(right), body, either=row.either)
    assert not is_right(row.requirements, pose(wrong), body, either=row.either)


def test_the_heading_does_not_matter(body: BodyModel) -> None:
    row = next(row for row in load_sentences() if row.text == "raise only the left arm as high as it goes")
    for degrees in (90.0, 180.0, -45.0):
        turned = rotate_heading(pose("hand_up_left")[None], torch.deg2rad(torch.tensor([degrees])))[0]
        assert is_right(row.requirements, turned, body)


def test_edits_are_judged_by_change_and_by_what_stays(body: BodyModel) -> None:
    deeper = next(row for row in load_edits() if row.text == "legs further apart")
    assert is_right(deeper.requirements, pose("star"), body, before=pose("stand"))
    assert not is_right(deeper.requirements, pose("stand"), body, before=pose("stand"))
    assert keeps_joints(["left_knee", "right_knee"], pose("hands_up"), pose("stand"), body)
    assert not keeps_joints(["left_wrist"], pose("hands_up"), pose("stand"), body)


@pytest.mark.parametrize(
    ("question", "answer", "right"),
    [
        (Question("stand", "", is_true=True), "Yes, she is standing.", True),
        (Question("stand", "", is_true=True), "No.", False),
        (Question("stand", "", is_true=False), "A person stands.", False),
        (Question("stand", "", any=("left",), none=("right",)), "The left arm.", True),
        (Question("stand", "", any=("left",), none=("right",)), "The left and the right arm.", False),
        (Question("stand", "", any=("squat",)), "The person is squatting.", True),
    ],
)
def test_answers_to_questions(question: Question, answer: str, right: bool) -> None:
    assert question.is_right(answer) == right


def test_every_packaged_question_can_be_answered_rightly_and_wrongly() -> None:
    for question in load_questions():
        answers = ["Yes.", "No.", *(f"It is {word}." for word in (*question.any, *question.none))]
        assert {question.is_right(answer) for answer in answers} == {True, False}, question.text


def test_requirements_of_another_form_are_refused() -> None:
    assert Requirement.parse("d(torso.pitch) > 6") == Requirement("torso.pitch", True, False, 6.0)
    with pytest.raises(ValueError, match="expected such as"):
        Requirement.parse("left_knee.angle == 3")


class NamedPipeline:
    """Knows the named pose, or the answer, of each text."""

    processor = SimpleNamespace(pose_token="<pose>")

    def __init__(self, known: dict[str, str]):
        self.known = known

    def __call__(self, text: list[str], task: str, **kwargs: Any) -> list[dict[str, Any]]:
        if task == "pose-to-text":
            return [{"text": self.known[each.removeprefix("<pose> ")], "poses": []} for each in text]
        return [{"text": "", "poses": [pose(self.known[each]).numpy()]} for each in text]


def test_a_chain_is_right_if_each_step_is_and_starts_from_the_models_own_pose(body: BodyModel) -> None:
    up = (Requirement.parse("left_hand.above_head > 0"),)
    higher = (Requirement.parse("d(left_hand.ground) > 0.3"),)
    lower = (Requirement.parse("d(left_hand.ground) < -0.3"),)
    pipe = NamedPipeline({"up": "hands_up", "squat": "squat", "down": "stand", "tree": "t_pose"})
    chains = [
        Chain("stand", ("up", "down"), (up, lower)),
        Chain("stand", ("up", "down"), (up, higher)),
        Chain("stand", ("tree",), (up,)),
    ]
    answers = answer_chains(pipe, chains, body)
    assert [answer.right for answer in answers] == [True, False, False]
    assert [len(answer.poses) for answer in answers] == [3, 3, 2]
    torch.testing.assert_close(answers[0].poses[1], pose("hands_up").float())


def test_sentences_and_questions_are_answered_in_their_order(body: BodyModel) -> None:
    sentences = [row for row in load_sentences() if row.text in ("lies on her left side", "T-pose")]
    pipe = NamedPipeline({"T-pose": "t_pose", "lies on her left side": "stand", "up?": "Yes."})
    assert {answer.texts[0]: answer.right for answer in answer_sentences(pipe, sentences, body)} == {
        "T-pose": True,
        "lies on her left side": False,
    }
    (answer,) = answer_questions(pipe, [Question("hands_up", "up?", is_true=True)])
    assert (answer.right, answer.answer) == (True, "Yes.")
    sheet = draw_rows([answer], body, columns=1)
    assert sheet.width >= CELL
    assert "[right] up? - Yes." in caption_of(answer)


def test_rows_are_spread_over_a_set() -> None:
    assert spread(list(range(10)), 4) == [0, 2, 5, 7]
    assert spread([1, 2], 5) == [1, 2]

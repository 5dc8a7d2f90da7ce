"""Altered wordings of named poses: each alteration does what its name says, and only near poses are right."""

import numpy as np
import pytest
import torch

from unipose.processing.body_model import BodyModel
from unipose.processing.pose_features import mirror_pose
from unipose.training.evaluation.named_wordings import (
    ALTERATIONS,
    NamedWording,
    altered_text,
    evaluate_named_wordings,
    is_named_pose,
    sample_named_wordings,
)
from unipose.training.evaluation.report import wilson_interval, words_to_markdown
from unipose.training.geometry import rotate_heading
from unipose.training.named_poses.archetypes import archetype_poses, archetype_sentences


def alter(alteration: str, name: str = "squat", seed: int = 0) -> str:
    return altered_text(name, alteration, np.random.default_rng(seed))


def test_all_alterations_are_drawn_alike_and_reproducibly() -> None:
    wordings = sample_named_wordings(40, 3)
    assert [wording.alteration for wording in wordings] == [*ALTERATIONS] * 4
    assert wordings == sample_named_wordings(40, 3)
    assert wordings != sample_named_wordings(40, 4)


def test_an_alteration_changes_what_it_says() -> None:
    exact = alter("exact")
    assert exact in archetype_sentences("squat")
    assert alter("without stop") == exact[:-1]
    assert alter("lower case without stop") == exact[:-1].lower()
    assert alter("UPPER CASE") == exact.upper()
    assert len(alter("a double space")) == len(exact) + 1
    assert alter("a double space").split() == exact.split()
    typo = alter("a typo")
    assert typo != exact
    assert sum(one != other for one, other in zip(typo.split(), exact.split())) == 1
    assert alter("a man").startswith("A man ")
    assert alter("generate a pose of").startswith("Generate a pose of someone who ")
    with pytest.raises(ValueError, match="got the alteration 'sideways'"):
        alter("sideways")


def test_only_near_poses_are_right_and_mirrored_ones_where_no_side_is_named(body: BodyModel) -> None:
    wordings = [NamedWording("tree_left", text, "exact") for text in ("Tree pose.", "On the left leg.")]
    exact = archetype_poses(["tree_left", "tree_left"]).float()
    assert is_named_pose(rotate_heading(exact, torch.tensor([1.0, -2.0])), wordings, body).tolist() == [True, True]
    assert is_named_pose(mirror_pose(exact), wordings, body).tolist() == [True, False]
    others = archetype_poses(["stand", "squat"]).float()
    assert is_named_pose(others, wordings, body).tolist() == [False, False]


def test_results_of_a_pipeline_that_knows_half_of_the_poses(body: BodyModel) -> None:
    wordings = [NamedWording("squat", f"text {index}", ALTERATIONS[index % 2]) for index in range(6)]

    def pipe(text: list[str], task: str, batch_size: int, do_sample: bool) -> list[dict]:
        names = ["squat" if int(each.split()[1]) % 2 == 0 else "star" for each in text]
        return [{"text": "", "poses": [pose.numpy()]} for pose in archetype_poses(names).float()]

    results = evaluate_named_wordings(pipe, wordings, body, batch_size=4)
    assert results[ALTERATIONS[0]] == [True] * 3
    assert results[ALTERATIONS[1]] == [False] * 3


def test_the_table_has_shares_with_their_intervals() -> None:
    low, high = wilson_interval(8, 10)
    # By hand: (0.8 + 0.192073) -+ 1.959964 * sqrt(0.016 + 0.00960365), over 1.384146.
    assert (low, high) == (pytest.approx(0.490162, abs=1e-5), pytest.approx(0.943318, abs=1e-5))
    assert wilson_interval(0, 0) == (0.0, 1.0)
    table = words_to_markdown({"named poses": {"exact": [True] * 8 + [False] * 2}})
    assert "| named poses | exact | 10 | 80.0 | 49 to 94 |" in table

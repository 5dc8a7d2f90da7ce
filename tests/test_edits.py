"""Edits of any pose and chats of several turns: by the joints they do what their text says, and nothing else."""

from collections import Counter
from typing import Any

import numpy as np
import pytest
import torch

from unipose.processing.body_model import BodyModel
from unipose.processing.pose_features import JOINT_NAMES
from unipose.training.datasets.edit_texts import edit_text, turn_text
from unipose.training.datasets.human_words import HumanWords
from unipose.training.datasets.pose_pool import PosePool
from unipose.training.datasets.records import ChainRecord
from unipose.training.datasets.rows import rows_from_records
from unipose.training.geometry import swap_sides
from unipose.training.named_poses.limbs import load_edit_wordings, load_limbs
from unipose.training.sampling.composition import Composer
from unipose.training.sampling.edit_chains import Chain, sample_chains, sample_edits
from unipose.training.sampling.edits import KINDS, SIDES, SMALL, Change, Editor
from unipose.training.sampling.poses import is_plausible


SAMPLES = 400


@pytest.fixture(scope="module")
def editor() -> Editor:
    return Editor.load(Composer.load(BodyModel.builtin()))


@pytest.fixture(scope="module")
def pool(editor: Editor) -> PosePool:
    return PosePool.draw(200, np.random.default_rng(0), editor.composer)


@pytest.fixture(scope="module")
def edits(editor: Editor, pool: PosePool) -> tuple[list[Change], torch.Tensor, torch.Tensor]:
    rng = np.random.default_rng(1)
    changes, rows, second = sample_edits(SAMPLES, pool.poses, editor.measure(pool.poses), rng, editor)
    return changes, pool.poses[rows], second


@pytest.fixture(scope="module")
def chains(editor: Editor, pool: PosePool) -> list[Chain]:
    return sample_chains([4] * 150, pool.poses, editor.measure(pool.poses), np.random.default_rng(2), editor)


def positions(editor: Editor, poses: torch.Tensor) -> dict[str, np.ndarray]:
    joints = editor.composer.body.forward_joints(poses).numpy()
    return {name: joints[:, index] for index, name in enumerate(JOINT_NAMES)}


def moved_joints(first: torch.Tensor, second: torch.Tensor) -> list[set[str]]:
    moved = (first - second).abs().amax(dim=(2, 3)) > 1e-4
    return [{JOINT_NAMES[index] for index in row.nonzero()[:, 0].tolist()} for row in moved]


@pytest.mark.parametrize("kind", ["legs", "trunks", "postures"])
def test_changes_have_enough_wordings(kind: str) -> None:
    for state in load_limbs(kind):
        assert len({*state.do, *state.states}) >= 12, state.name


def test_every_kind_of_edit_has_enough_wordings() -> None:
    wordings = load_edit_wordings()
    assert {*SMALL, *KINDS} - {"both_arms", "arm", "head", "leg", "trunk", "base", "posture", "named"} <= set(wordings)
    for kind, texts in wordings.items():
        assert len(set(texts)) == len(texts) >= 12, kind


def test_edits_change_only_what_they_name(
    editor: Editor, edits: tuple[list[Change], torch.Tensor, torch.Tensor]
) -> None:
    changes, first, second = edits
    for change, moved in zip(changes, moved_joints(first, second)):
        assert moved <= {JOINT_NAMES[index] for index in editor.joints(change)} or change.kind == "base", change
        other = {"left": "right_", "right": "left_"}.get(change.side)
        if change.kind in ("arm", "arm_higher", "arm_top", "elbow_bend"):
            assert not any(name.startswith(other or "none") or "hip" in name for name in moved), change
        if change.kind in ("head", "trunk", "turn_left"):
            expected = {"head": {"neck", "head"}, "trunk": {"spine1", "spine2", "spine3"}, "turn_left": {"pelvis"}}
            assert moved <= expected[change.kind]


def test_edits_do_what_they_say(editor: Editor, edits: tuple[list[Change], torch.Tensor, torch.Tensor]) -> None:
    changes, first, second = edits
    before, after = positions(editor, first), positions(editor, second)
    checked = Counter()
    for index, (kind, name, side) in enumerate(changes):
        own = side if side in SIDES else "left"
        heights = [(at[f"{own}_wrist"] - at[f"{own}_shoulder"])[index, 1] for at in (before, after)]
        rise = heights[1] - heights[0]
        lowest = min(joint[index, 1] for joint in after.values())
        if kind in ("arm_higher", "arm_top"):
            checked["up"] += 1
            assert rise > 0.04
        if kind in ("arm_lower", "arm_bottom", "arm_again_down"):
            checked["down"] += 1
            assert rise < -0.03
        if kind == "wider":
            checked[kind] += 1
            gaps = [np.linalg.norm(at["left_ankle"][index] - at["right_ankle"][index]) for at in (before, after)]
            assert gaps[1] > gaps[0] + 0.05
        if kind == "leg" and name in ("knee_up", "leg_front", "heel_up"):
            checked["leg"] += 1
            assert after[f"{side}_ankle"][index, 1] > after[f"{swap_sides(side)}_ankle"][index, 1] + 0.1
        if kind == "base" and name in ("sit", "sit_ground", "kneel", "squat"):
            checked["base"] += 1
            assert after["pelvis"][index, 1] - lowest < 0.8
        if kind == "posture" and name.startswith("lie"):
            checked["lie"] += 1
            assert after["pelvis"][index, 1] - lowest < 0.3
        if kind == "turn_around":
            checked[kind] += 1
            across = [at["left_hip"][index] - at["right_hip"][index] for at in (before, after)]
            assert across[0][[0, 2]] @ across[1][[0, 2]] < 0
    assert min(checked[kind] for kind in ("up", "down", "wider", "leg", "base", "turn_around")) >= 2


def test_results_are_plausible(editor: Editor, edits: tuple[list[Change], torch.Tensor, torch.Tensor]) -> None:
    _, _, second = edits
    assert is_plausible(second, editor.composer.body, editor.composer.capsules).all()


def test_texts_have_no_placeholder(editor: Editor, chains: list[Chain]) -> None:
    rng = np.random.default_rng(3)
    texts = [turn_text(turn, editor, rng) for chain in chains for turn in chain.turns]
    texts += [edit_text(editor.draw(rng), editor, rng) for _ in range(1000)]
    assert all(text.strip() and "{" not in text and "*" not in text for text in texts)


def test_turns_refer_to_the_one_before(chains: list[Chain]) -> None:
    seen = Counter(turn.kind for chain in chains for turn in chain.turns)
    assert set(seen) >= {
        "edit",
        "undo",
        "more",
        "less",
        "other_too",
        "other_instead",
        "head_instead",
        "arm_again_down",
    }
    for chain in chains:
        assert len(chain.turns) == len(chain.poses) - 1 == 4
        for number, turn in enumerate(chain.turns):
            before, now = chain.poses[number], chain.poses[number + 1]
            if turn.kind == "undo" and chain.turns[number - 1].kind in ("edit", "more", "other_too"):
                assert torch.equal(now, chain.poses[number - 1])
            if turn.kind == "other_instead":
                moved = moved_joints(chain.poses[number - 1][None], now[None])[0]
                assert all(name.startswith(turn.change.side) for name in moved)
            if turn.kind == "other_too":
                moved = moved_joints(before[None], now[None])[0]
                assert all(name.startswith(turn.change.side) for name in moved)
                assert turn.change.side != chain.turns[number - 1].change.side
            if turn.kind == "less":
                whole, left = ((chain.poses[number - 1] - each).abs().sum() for each in (before, now))
                assert left < 0.7 * whole


def test_chats_become_rows_whose_poses_fit() -> None:
    records = HumanWords(BodyModel.builtin()).edits(60, np.random.default_rng(0), "train/e")
    assert len(records) == len({record.name for record in records}) == 60
    rows = list(rows_from_records(records, ["pose-edit"], np.random.default_rng(0)))
    assert len(rows) == 60
    chats = [row for row, record in zip(rows, records) if isinstance(record, ChainRecord)]
    assert 15 <= len(chats) <= 35
    for row in rows:
        blocks = [block for message in row["messages"] for block in message["content"]]
        assert sum(block["type"] == "pose" for block in blocks) == len(row["poses"])
        assert [message["role"] for message in row["messages"]] == ["user", "assistant"] * (len(row["messages"]) // 2)
        assert row["messages"][-1]["content"] == [{"type": "pose"}]
    assert {len(row["messages"]) for row in chats} >= {4, 6, 8}
    assert any(not any(block["type"] == "pose" for block in row["messages"][0]["content"]) for row in chats)


def test_a_chat_with_a_wrong_number_of_poses_is_refused() -> None:
    pose = np.zeros((22, 3), dtype=np.float32)
    with pytest.raises(ValueError, match=r"'a': got 1 poses; expected 3"):
        list(
            rows_from_records(
                [ChainRecord("a", (pose,), ("{pose} up", "down"))], ["pose-edit"], np.random.default_rng(0)
            )
        )


def test_a_chain_ends_where_no_next_edit_works_out(
    editor: Editor, pool: PosePool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Among them chains whose last turn cannot be undone."""
    rng = np.random.default_rng(4)
    attempt = Editor.attempt

    def rarely(self: Editor, bases: torch.Tensor, *arguments: Any) -> Any:
        result, good = attempt(self, bases, *arguments)
        return result, good & (rng.random(len(good)) < 0.2)

    monkeypatch.setattr(Editor, "attempt", rarely)
    ended = sample_chains([6] * 40, pool.poses, editor.measure(pool.poses), rng, editor)
    assert all(1 <= len(chain.turns) <= 6 and len(chain.poses) == len(chain.turns) + 1 for chain in ended)
    assert min(len(chain.turns) for chain in ended) < 6
    assert all(not torch.equal(*chain.poses[-2:]) for chain in ended if chain.turns[-1].kind == "undo")

"""Words for recorded clips: labels, telling frames, and captions that begin with the action."""

import numpy as np
import pytest
import torch

from unipose.processing.body_model import BodyModel
from unipose.training.captions.actions import action_names, action_sentence
from unipose.training.captions.caption_reader import read_caption
from unipose.training.captions.measures import measure
from unipose.training.datasets.clip_frames import ClipFrames
from unipose.training.datasets.generation import caption_poses
from unipose.training.datasets.human_words import HumanWords
from unipose.training.geometry import rotate_heading, swap_sides
from unipose.training.named_poses.archetypes import ARCHETYPES, archetype_poses
from unipose.training.named_poses.clip_wordings import activity_of, load_activities
from unipose.training.named_poses.wordings import load_wordings, wordings_of
from unipose.training.sampling.named import near_named, sample_named_poses


@pytest.fixture(scope="module")
def body() -> BodyModel:
    return BodyModel.builtin()


def test_activities_have_wordings_of_their_own() -> None:
    owned = {text for wordings in load_wordings().values() for _, text in wordings.entries()}
    for activity in load_activities():
        texts = [text for _, text in activity.wordings.entries()]
        assert len(set(texts)) == len(texts) >= 8, activity.name
        assert not owned & set(texts), activity.name
        assert activity.wordings.do, activity.name


def test_labels_that_tell_nothing_have_no_activity() -> None:
    assert activity_of("Salsa dance").name == "salsa"
    assert activity_of("directing traffic").name == "traffic"
    for label in ("idle", "180", "interact", "", "LongSequence", "jump turn around and sit down again"):
        assert activity_of(label) is None


def test_only_telling_frames_are_drawn(body: BodyModel) -> None:
    poses = archetype_poses(["step_left", "stand", "step_left", "sit"]).float()
    frames = ClipFrames.from_labels(poses, ["walk", "walk", "idle", "salsa dance"], body)
    assert {activity.name: rows.tolist() for activity, rows in frames.rows.items()} == {"salsa": [3], "stride": [0]}
    drawn, activities = frames.draw(40, np.random.default_rng(0))
    distances = measure(body.forward_joints(drawn).numpy())["feet.distance"]
    assert all(distance > 0.35 for distance, activity in zip(distances, activities) if activity.name == "stride")
    records = HumanWords(body).clips(10, frames, np.random.default_rng(0), "train/c")
    assert {record.name.split(":")[1] for record in records} <= {"salsa", "stride"}
    with pytest.raises(ValueError, match="no frame"):
        ClipFrames.from_labels(poses, ["idle"] * 4, body).draw(1, np.random.default_rng(0))


def test_named_poses_are_recognized(body: BodyModel) -> None:
    poses, names = sample_named_poses(300, np.random.default_rng(0), body)
    turned = rotate_heading(poses, torch.linspace(-3.0, 3.0, len(poses)))
    found = near_named(turned, body)
    assert np.mean([one == other for one, other in zip(found, names)]) > 0.95
    squat = archetype_poses(["squat"]).float()
    squat[:, [16, 17]] = torch.eye(3)
    assert near_named(squat, body) == [None]


def test_captions_of_named_poses_begin_with_the_action(body: BodyModel) -> None:
    poses, names = sample_named_poses(100, np.random.default_rng(1), body)
    captions = caption_poses(poses, [None] * len(poses), np.random.default_rng(2), body, (45,), 0.0, 0.2, actions=True)
    found = 0
    for name, caption in zip(names, captions):
        first = f"{caption.text.split('. ')[0].rstrip('.')}."
        found += action_names().get(first) in (name, swap_sides(name))
        assert read_caption(caption.text).unparsable == ()
    assert found >= 95
    assert np.mean([len(read_caption(caption.text).codes) for caption in captions]) > 4


def test_every_action_sentence_is_read() -> None:
    rng = np.random.default_rng(0)
    for name in ARCHETYPES:
        for side in (name, swap_sides(name)):
            sentence = action_sentence(wordings_of(side), rng)
            assert "{" not in sentence
            assert read_caption(sentence).unparsable == ()
    assert read_caption("The person is juggling chainsaws.").unparsable
    # A sentence about either side states nothing about one side.
    assert read_caption("The person is doing butt kicks.").codes == ()

"""Named poses: each shows what it says, stands or lies on what it says, and has its mirror image."""

import pytest
import torch

from unipose.processing.body_model import BodyModel
from unipose.processing.pose_features import JOINT_NAMES, mirror_pose
from unipose.training.captions.archetype_codes import archetype_codes
from unipose.training.captions.measures import measure
from unipose.training.captions.posecodes import CODES, extract_posecodes
from unipose.training.geometry import remove_heading, swap_sides
from unipose.training.named_poses.archetypes import ARCHETYPES, archetype_poses, archetype_sentences
from unipose.training.sampling.anatomy import joints_outside
from unipose.training.sampling.collisions import TOLERANCE, body_capsules, penetration_depths
from unipose.training.tools.show_archetypes import archetype_sheet


# The lowest vertex of a part that touches the ground is this close to the lowest of all (meters).
ON_GROUND = 0.045
GROUND_PARTS = {
    "foot": ("ankle", "foot"),
    "knee": ("knee",),
    "hand": ("wrist", "hand"),
    "hips": ("pelvis", "left_hip", "right_hip"),
    "back": ("spine1", "spine2", "spine3"),
    "head": ("head",),
}
BODY_PARTS = (*JOINT_NAMES, "left_hand", "right_hand")


@pytest.fixture(scope="module")
def body() -> BodyModel:
    return BodyModel.builtin()


def part_vertices(part: str, body: BodyModel) -> torch.Tensor:
    """(V,) booleans: the vertices of "left_foot", "hips", ..."""
    side, _, kind = part.rpartition("_")
    joints = [BODY_PARTS.index(f"{side}_{name}" if side else name) for name in GROUND_PARTS[kind]]
    return torch.isin(body.vertex_joints(), torch.tensor(joints))


def test_there_are_enough_of_them() -> None:
    assert len(ARCHETYPES) >= 165
    assert all(2 <= len(archetype.sentences) <= 4 for archetype in ARCHETYPES.values())


@pytest.mark.parametrize("name", ARCHETYPES)
def test_each_shows_its_codes_on_both_sides(name: str, body: BodyModel) -> None:
    for shown in (name, swap_sides(name)):
        codes = extract_posecodes(body.forward_joints(archetype_poses([shown])).numpy())[0]
        assert set(archetype_codes(shown)) <= set(codes)
        assert set(archetype_codes(shown)) <= set(CODES)


@pytest.mark.parametrize("name", ARCHETYPES)
def test_each_rests_on_the_ground(name: str, body: BodyModel) -> None:
    heights = body(archetype_poses([name])).vertices[0, :, 1]
    for part in ARCHETYPES[name].ground:
        assert heights[part_vertices(part, body)].min() - heights.min() < ON_GROUND, part


@pytest.mark.parametrize(
    ("name", "distance", "limit"),
    [
        ("cover_ears", "left_hand.to_head", 0.2),
        ("facepalm_left", "left_hand.to_head", 0.2),
        ("headache", "right_hand.to_head", 0.2),
        ("shout", "left_hand.to_head", 0.22),
        ("clap", "hands.distance", 0.12),
        ("prayer_hands", "hands.distance", 0.12),
        ("kneel_beg", "hands.distance", 0.12),
        ("golf_address", "hands.distance", 0.15),
        ("hand_on_hip_left", "left_hand.to_left_hip", 0.2),
        ("sumo", "right_hand.to_right_knee", 0.2),
        ("tie_shoe_left", "left_hand.to_left_ankle", 0.2),
        ("windmill_left", "left_hand.to_right_ankle", 0.25),
        ("dancer_left", "left_hand.to_left_ankle", 0.2),
        ("pirouette_left", "left_foot.to_right_knee", 0.25),
    ],
)
def test_hands_and_feet_touch_what_the_name_says(name: str, distance: str, limit: float, body: BodyModel) -> None:
    assert measure(body.forward_joints(archetype_poses([name])).numpy())[distance][0] < limit


def test_all_are_plausible(body: BodyModel) -> None:
    poses = archetype_poses(list(ARCHETYPES))
    assert {name: out for name, out in zip(ARCHETYPES, joints_outside(poses)) if out} == {}
    deepest = penetration_depths(poses, body, body_capsules(body)).amax(dim=1)
    assert [name for name, depth in zip(ARCHETYPES, deepest.tolist()) if depth > TOLERANCE] == []


def test_a_mirrored_name_is_the_mirrored_pose() -> None:
    names = list(ARCHETYPES)
    sided = [name for name in names if swap_sides(name) != name]
    assert sided
    assert not any(swap_sides(name) in ARCHETYPES for name in sided)
    mirrored = archetype_poses([swap_sides(name) for name in sided])
    torch.testing.assert_close(mirrored, mirror_pose(archetype_poses(sided)))
    assert archetype_sentences("kneel_right")[0] == "A person kneels on the right knee."


def test_all_face_the_default_way() -> None:
    poses = archetype_poses(list(ARCHETYPES))
    torch.testing.assert_close(remove_heading(poses), poses, atol=2e-3, rtol=0.0)


def test_a_sentence_means_one_pose() -> None:
    """A sentence is of one name; one without a side states nothing that has a side."""
    sentences = [sentence for archetype in ARCHETYPES.values() for sentence in archetype.sentences]
    assert len(set(sentences)) == len(sentences)
    for name in ARCHETYPES:
        for sentence in archetype_sentences(name):
            assert sentence[0].isupper()
            assert sentence.index(".") == len(sentence) - 1
            if swap_sides(name) != name:
                assert swap_sides(sentence) != sentence


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(KeyError):
        archetype_poses(["no_such_pose"])


def test_sheet_has_a_cell_for_every_name(body: BodyModel) -> None:
    sheet = archetype_sheet(body, cell=24, columns=10)
    rows = -(-len(ARCHETYPES) // 10)
    assert sheet.width == 8 + 10 * (24 + 8)
    assert sheet.height > rows * 24

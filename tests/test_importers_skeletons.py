"""BVH, ASF/AMC and DeepMimic files: poses come back from any rest pose, names and axes; damage has its line named."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import roma
import torch
from motion_files import CONVENTIONS, bvh_text, joint_names, perform, save
from skeleton_files import RESTS, asf_folder, deepmimic_text, noisy_poses, play

from unipose.processing.body_model import BodyModel
from unipose.processing.pose_features import JOINT_NAMES, NUM_JOINTS, to_z_up
from unipose.processing.skeletons import plain_name
from unipose.training.datasets.import_data import ImportArguments, SavedRecords, open_source, save_records
from unipose.training.datasets.importers import AmcPoses, BvhPoses, ClipChoice, DatasetError, DeepMimicPoses
from unipose.training.named_poses.joint_angles import pose_from_angles


LIMBS = {"hip": "knee", "knee": "ankle", "shoulder": "elbow", "elbow": "wrist"}


@pytest.fixture(scope="module")
def poses() -> torch.Tensor:
    return noisy_poses()


def imported(records) -> torch.Tensor:
    return roma.rotvec_to_rotmat(torch.from_numpy(np.stack([record.rotvecs for record in records])))


def limb_angles(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """Degrees between the directions of the limbs of two sets of poses."""
    joints = [BodyModel.builtin().forward_joints(each.float()) for each in (first, second)]
    angles = []
    for side in ("left", "right"):
        for start, end in LIMBS.items():
            rows = [JOINT_NAMES.index(f"{side}_{part}") for part in (start, end)]
            bones = [torch.nn.functional.normalize(each[:, rows[1]] - each[:, rows[0]], dim=-1) for each in joints]
            angles.append(
                torch.linalg.cross(*bones).norm(dim=-1).asin().rad2deg() + 90.0 * ((bones[0] * bones[1]).sum(-1) < 0)
            )
    return torch.stack(angles)


@pytest.mark.parametrize("convention", [name for name in CONVENTIONS if name != "cmu_asf"])
def test_a_bvh_in_t_pose_gives_the_poses_back(convention: str, poses: torch.Tensor, tmp_path: Path) -> None:
    save(tmp_path / "clip.bvh", bvh_text(play(poses), joint_names(convention)))
    records = list(BvhPoses(tmp_path))
    assert [record.name for record in records] == [f"clip:{frame}" for frame in range(len(poses))]
    torch.testing.assert_close(imported(records), poses, atol=2e-3, rtol=0.0)


@pytest.mark.parametrize("rest", RESTS)
@pytest.mark.parametrize(("z_up", "yaw", "order"), [(False, 0.0, "ZXY"), (True, 0.0, "XYZ"), (False, 2.0, "ZYX")])
def test_limbs_point_where_the_source_points(
    rest: str, z_up: bool, yaw: float, order: str, poses: torch.Tensor, tmp_path: Path
) -> None:
    """For every rest pose, vertical, facing and order of channels; the trunk stays as it was."""
    save(tmp_path / "clip.bvh", bvh_text(play(poses, rest, 100.0, z_up, yaw), joint_names("mixamo"), order))
    got = imported(BvhPoses(tmp_path))
    assert limb_angles(got, poses).max() < 0.5
    trunk = [JOINT_NAMES.index(name) for name in ("pelvis", "spine1", "spine2", "spine3", "neck", "head")]
    torch.testing.assert_close(got[:, trunk], poses[:, trunk], atol=3e-3, rtol=0.0)
    assert roma.rotmat_geodesic_distance(got, poses).rad2deg().max() < 20.0


def test_the_vertical_can_be_given(poses: torch.Tensor, tmp_path: Path) -> None:
    path = save(tmp_path / "clip.bvh", bvh_text(play(poses, z_up=True), joint_names("daz")))
    torch.testing.assert_close(imported(BvhPoses(path, up_axis="z")), poses, atol=2e-3, rtol=0.0)
    with pytest.raises(
        DatasetError, match=r"clip.bvh: the trunk of the reference pose is 92 degrees from the vertical"
    ):
        list(BvhPoses(path, up_axis="y"))
    with pytest.raises(ValueError, match="up_axis is 'w'; expected x, y or z"):
        BvhPoses(path, up_axis="w")


def test_a_frame_can_be_the_reference(poses: torch.Tensor, tmp_path: Path) -> None:
    """A skeleton whose legs are raised at rest is aligned by a frame in T-pose."""
    t_pose = to_z_up(torch.eye(3).repeat(1, NUM_JOINTS, 1, 1))
    rest = to_z_up(pose_from_angles({"hip": (0, -110, 0), "shoulder": (30, -50, 20)})[None])[0]
    performance = perform(torch.cat([poses, t_pose]), rest, torch.eye(3, dtype=torch.float64), 1.0)
    path = save(tmp_path / "clip.bvh", bvh_text(performance, joint_names("smpl")))
    with pytest.raises(DatasetError, match="expected a body that stands"):
        list(BvhPoses(path))
    got = imported(BvhPoses(path, reference_frame=len(poses)))
    torch.testing.assert_close(got[:-1], poses, atol=2e-3, rtol=0.0)
    with pytest.raises(DatasetError, match=r"reference_frame is 9; expected 0 to 6"):
        list(BvhPoses(path, reference_frame=9))


def test_feet_lean_with_legs_that_are_apart_at_rest(poses: torch.Tensor, tmp_path: Path) -> None:
    """Legs of CMU's skeletons are 20 degrees apart at rest, their feet too: in other poses feet stay level."""
    apart = to_z_up(pose_from_angles({"hip": (0, 0, 20), "shoulder": (-80, 0, 0)})[None])[0]
    text = bvh_text(perform(poses, apart, torch.eye(3, dtype=torch.float64)), joint_names("mixamo"))
    got = imported(BvhPoses(save(tmp_path / "clip.bvh", text)))
    feet = [JOINT_NAMES.index(f"{side}_{part}") for side in ("left", "right") for part in ("ankle", "foot")]
    assert roma.rotmat_geodesic_distance(got, poses)[:, feet].rad2deg().max() < 2.0


def test_missing_joints_follow_their_neighbors(poses: torch.Tensor, tmp_path: Path) -> None:
    """With two joints of the spine the third lies between; without collars and feet the others stay right."""
    names = joint_names("mixamo")
    path = save(tmp_path / "clip.bvh", bvh_text(play(poses), names))
    left_out = dict.fromkeys(("left_collar", "right_collar", "left_foot", "right_foot", "neck"))
    bone_map = save(tmp_path / "bones.json", json.dumps(left_out))
    got = imported(BvhPoses(path, bone_map=bone_map))
    assert limb_angles(got, poses).max() < 0.5
    for joint in left_out:
        if joint != "neck":
            torch.testing.assert_close(
                got[:, JOINT_NAMES.index(joint)], torch.eye(3).expand(len(got), 3, 3), atol=1e-3, rtol=0
            )
    neck = [got[:, JOINT_NAMES.index(joint)] for joint in ("neck", "head")]
    torch.testing.assert_close(neck[0], neck[1], atol=1e-3, rtol=0.0)


def test_bones_can_be_given(poses: torch.Tensor, tmp_path: Path) -> None:
    strange = [f"bone{joint}" for joint in range(NUM_JOINTS)]
    path = save(tmp_path / "clip.bvh", bvh_text(play(poses), strange))
    with pytest.raises(
        DatasetError, match=r"no bone was found for pelvis, left_hip.*the bones are bone0, bone1, bone4"
    ):
        list(BvhPoses(path))
    bones = save(tmp_path / "bones.json", json.dumps(dict(zip(JOINT_NAMES, strange))))
    torch.testing.assert_close(imported(BvhPoses(path, bone_map=bones)), poses, atol=2e-3, rtol=0.0)
    save(bones, json.dumps({"tail": "bone1", "pelvis": "bone99"}))
    with pytest.raises(DatasetError, match=r"the joints \['tail'\] and the bones \['bone99'\], which do not exist"):
        list(BvhPoses(path, bone_map=bones))
    save(bones, json.dumps({"pelvis": 3}))
    with pytest.raises(DatasetError, match="expected names of bones, or null"):
        list(BvhPoses(path, bone_map=bones))


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        ("LeftUpLeg", ("left", "upleg")),
        ("LHipJoint", ("left", "hipjoint")),
        ("mixamorig5:RightToeBase", ("right", "toebase")),
        ("Character1_LeftForeArm", ("left", "forearm")),
        ("J_Bip_R_UpperArm", ("right", "upperarm")),
        ("J_Bip_C_Hips", ("", "hips")),
        ("upperarm_l", ("left", "upperarm")),
        ("rtibia", ("right", "tibia")),
        ("lowerback", ("", "lowerback")),
        ("Root|Bip001 L Calf", ("left", "calf")),
    ],
)
def test_names_without_side_and_prefix(name: str, plain: tuple[str, str]) -> None:
    assert plain_name(name) == plain


def test_clips_and_frames_are_chosen(poses: torch.Tensor, tmp_path: Path) -> None:
    (tmp_path / "05").mkdir()
    still = bvh_text(play(poses[:1].repeat(30, 1, 1, 1)), joint_names("daz"), rate=60.0)
    save(tmp_path / "05" / "a.bvh", still)
    save(tmp_path / "b.bvh", bvh_text(play(poses), joint_names("daz")))
    assert [record.name for record in BvhPoses(tmp_path, ClipChoice(skip_clips=["05/*"], frames_per_second=15.0))] == [
        "b:0", "b:2", "b:4",
    ]  # fmt: skip
    assert [record.name for record in BvhPoses(tmp_path, ClipChoice(["05/*"], min_change=0.1))] == ["05/a:0"]
    with pytest.raises(DatasetError, match="no clip"):
        list(BvhPoses(tmp_path, ClipChoice(["06/*"])))
    with pytest.raises(DatasetError, match=r"no motion files \(.amc\)"):
        list(AmcPoses(tmp_path))
    with pytest.raises(ValueError, match="frames_per_second is 0; expected a positive number"):
        ClipChoice(frames_per_second=0)


BROKEN_BVH = {
    "ROOT": ("ROOT", "line 2: got Joint mixamorig:Hips; expected ROOT and a name", "Joint"),
    "OFFSET": ("OFFSET 0", "line 4: got Offset 0", "Offset 0"),
    "number": ("OFFSET 0.00000000 ", "line 4: got 0.1e 0", "OFFSET 0.1e "),
    "channel": ("Zrotation", "line 5: got 6 Xposition Yposition Zposition Wrotation", "Wrotation"),
    "count": ("CHANNELS 6", "line 5: got 5 Xposition", "CHANNELS 5"),
    "frames": ("Frames: 6", "got x; expected a number of frames of at least 1", "Frames: x"),
    "rate": ("Frame Time: 0.033333", "got 0.0; expected a frame time above 0", "Frame Time: 0"),
    "too few": ("Frames: 6", "ends after line .*; expected 7 frames", "Frames: 7"),
    "too many": ("Frames: 6", "got another line; expected the end after 5 frames", "Frames: 5"),
    "short frame": ("\n0 0 0 ", "got 68 numbers; expected 69 numbers, one a channel", "\n0 0 "),
    "NaN": ("\n0 0 0 ", "got NaN or infinity", "\n0 nan 0 "),
}


@pytest.mark.parametrize("fault", BROKEN_BVH)
def test_damaged_bvh_files_are_named_with_their_line(fault: str, poses: torch.Tensor, tmp_path: Path) -> None:
    text = bvh_text(play(poses), joint_names("mixamo"))
    good, message, bad = BROKEN_BVH[fault]
    assert good in text
    path = save(tmp_path / "clip.bvh", text.replace(good, bad, 1))
    with pytest.raises(DatasetError, match=rf"clip.bvh.*{message}"):
        list(BvhPoses(path))


@pytest.mark.parametrize("rest", RESTS)
def test_asf_amc_with_bones_of_any_axes(rest: str, poses: torch.Tensor, tmp_path: Path) -> None:
    got = imported(AmcPoses(asf_folder(tmp_path, poses, rest)))
    assert limb_angles(got, poses).max() < 0.5
    if rest == "T":
        torch.testing.assert_close(got, poses, atol=2e-3, rtol=0.0)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"asf": ("axis", "axes")}, None),
        ({"asf": ("dof rx ry rz", "dof rx ry rw")}, r"49.asf, line \d+: got rw; expected some of rx, ry, rz"),
        ({"asf": ("direction", "direction x")}, r"49.asf, line \d+: got x"),
        ({"asf": (":hierarchy", ":bones")}, "49.asf holds no skeleton"),
        ({"asf": ("    thorax to_lowerneck", "    thorax to_tail to_lowerneck")}, r"49.asf, line \d+: got to_tail"),
        ({"amc": ("lfemur", "tail")}, r"49_02.amc, line \d+: got tail .*; expected the number of a frame, or one of"),
        ({"amc": ("\n2\n", "\n2\nroot 0 0 0 1\n")}, r"49_02.amc, line \d+: got 4 numbers; expected 6 numbers of root"),
        ({"amc": ("\nlfemur", "\n2\nlfemur")}, r"got frame 1 without .*lfemur"),
    ],
)
def test_damaged_asf_and_amc_files_are_named(
    changes: dict, message: str | None, poses: torch.Tensor, tmp_path: Path
) -> None:
    folder = asf_folder(tmp_path, poses, **changes)
    if message is not None:
        with pytest.raises(DatasetError, match=message):
            list(AmcPoses(folder))


def test_a_motion_without_its_skeleton_is_named(poses: torch.Tensor, tmp_path: Path) -> None:
    asf_folder(tmp_path, poses)
    (tmp_path / "49.asf").rename(tmp_path / "other.asf")
    assert len(list(AmcPoses(tmp_path))) == len(poses)
    save(tmp_path / "third.asf", "")
    with pytest.raises(DatasetError, match=r"\['other.asf', 'third.asf'\]; expected 49_02.asf or 49.asf"):
        list(AmcPoses(tmp_path))


def test_deepmimic(tmp_path: Path) -> None:
    path = save(tmp_path / "humanoid3d_kick.txt", deepmimic_text())
    records = list(DeepMimicPoses(path, ClipChoice(frames_per_second=15.0)))
    assert [record.name for record in records] == [f"humanoid3d_kick:{frame}" for frame in (0, 2, 4)]
    knee = [record.rotvecs[JOINT_NAMES.index("right_knee")] for record in records]
    np.testing.assert_allclose(knee, [[0, 0, 0], [0.4, 0, 0], [0.8, 0, 0]], atol=1e-6)
    hanging = roma.rotvec_to_rotmat(torch.from_numpy(records[0].rotvecs))[JOINT_NAMES.index("left_shoulder")]
    torch.testing.assert_close(hanging[:, 0], torch.tensor([0.0, -1.0, 0.0]), atol=1e-6, rtol=0.0)
    for text, message in (
        ("{", "cannot be read"),
        (json.dumps({"Loop": 1}), "holds Loop; expected Frames"),
        (deepmimic_text(Frames=[[1.0] * 43]), r"got the shape \(1, 43\); expected \(any, 44\)"),
        (deepmimic_text(Frames=[[math.nan] * 44]), "frame 0 holds NaN"),
    ):
        save(path, text)
        with pytest.raises(DatasetError, match=message):
            list(DeepMimicPoses(path))


@pytest.mark.parametrize("source", ["bvh", "amc", "deepmimic"])
def test_from_the_command_line(source: str, poses: torch.Tensor, tmp_path: Path) -> None:
    folder = tmp_path / "files"
    folder.mkdir()
    asf_folder(folder, poses)
    save(folder / "clip.bvh", bvh_text(play(poses), joint_names("mixamo")))
    save(folder / "clip.txt", deepmimic_text())
    arguments = ImportArguments(source=source, root=str(folder), output=str(tmp_path / "out"), frames_per_second=10.0)
    save_records(open_source(arguments), tmp_path / "out", {})
    saved = SavedRecords(tmp_path / "out")
    assert 1 <= len(saved) < len(poses)
    assert [record.name for record in saved] == [record.name for record in open_source(arguments)]

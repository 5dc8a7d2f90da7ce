"""PoseScript and PoseFix: texts, splits, and the headings of their poses, on small files in the exact format."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import roma
import torch
from dataset_files import POSE_TABLE, random_poses, write_json, write_posefix, write_posescript, write_smplh

from unipose.processing.pose_features import to_y_up
from unipose.training.datasets.importers import DatasetError, PoseFixPairs, PoseScriptPoses
from unipose.training.datasets.importers.orientation import remove_heading_euler
from unipose.training.geometry import heading, remove_heading


WALK, KICK = "BioMotionLab_NTroje/rub001/0001_walk_poses.npz", "CMU/02/02_01_poses.npz"
FRAMES = [(WALK, 0), (KICK, 3), (WALK, 5), (KICK, 0), (WALK, 2), (KICK, 1)]
PAIRS = [(0, 2), (1, 4), (3, 5), (5, 0)]
POSES = {WALK: random_poses(6, 1), KICK: random_poses(4, 2)}


def pelvis_matrices(rotvecs) -> torch.Tensor:
    """(3, 3) of the pelvis of a (22, 3) pose."""
    return roma.rotvec_to_rotmat(torch.as_tensor(np.asarray(rotvecs), dtype=torch.float64)[0])


def rotation_about_z(degrees: float) -> torch.Tensor:
    return roma.euler_to_rotmat("z", torch.tensor([degrees], dtype=torch.float64), degrees=True)


def euler(matrix: torch.Tensor) -> np.ndarray:
    """Angles a, b, c in degrees with matrix = Rz(c) Ry(b) Rx(a); lower case letters are rotations about fixed axes."""
    return np.array([float(angle) for angle in roma.rotmat_to_euler("xyz", matrix, degrees=True)])


@pytest.fixture
def amass(tmp_path):
    for file, poses in POSES.items():
        write_smplh(tmp_path / "AMASS" / file, poses)
    return tmp_path / "AMASS"


@pytest.fixture
def posescript(tmp_path):
    return write_posescript(tmp_path / "posescript", FRAMES, {"train": [4, 0, 1, 3], "val": [2], "test": [5]})


@pytest.fixture
def posefix(tmp_path):
    return write_posefix(tmp_path / "posefix", FRAMES, PAIRS, {"train_in": [0, 2], "train_out": [1], "test_out": [3]})


def test_posescript_gives_split_texts_and_poses(posescript, amass):
    loader = PoseScriptPoses(posescript, amass)
    records = list(loader)
    assert len(loader) == 4
    assert [record.name for record in records] == ["4", "0", "1", "3"]
    assert records[1].captions == ("auto 0 a.", "auto 0 b.")
    for record in records:
        file, frame = FRAMES[int(record.name)]
        np.testing.assert_array_equal(record.rotvecs[1:], POSES[file][frame][1:].astype(np.float32))
        angles, written = euler(pelvis_matrices(record.rotvecs)), euler(pelvis_matrices(POSES[file][frame]))
        np.testing.assert_allclose(angles, [*written[:2], 0.0], atol=1e-4)


def test_human_captions_are_a_text_or_a_list(posescript, amass):
    records = list(PoseScriptPoses(posescript, amass, captions="human"))
    assert {record.name: record.captions for record in records} == {
        "4": ("human 4.",),
        "0": ("human 0.", "again 0."),
    }
    assert [record.name for record in PoseScriptPoses(posescript, amass, split="val")] == ["2"]


def test_each_motion_is_opened_once_and_lazily(posescript, amass, monkeypatch):
    opened = []
    load = np.load
    monkeypatch.setattr(np, "load", lambda path, **options: opened.append(path.name) or load(path, **options))
    records = iter(PoseScriptPoses(posescript, amass))
    assert opened == []
    next(records)
    assert opened == ["0001_walk_poses.npz"]
    list(records)
    assert opened == ["0001_walk_poses.npz", "02_01_poses.npz"]


def test_motions_are_not_opened_again(posefix, amass, monkeypatch):
    opened = []
    load = np.load
    monkeypatch.setattr(np, "load", lambda path, **options: opened.append(path.name) or load(path, **options))
    loader = PoseFixPairs(posefix, amass)
    first, second = list(loader), list(loader)
    assert sorted(opened) == ["0001_walk_poses.npz", "02_01_poses.npz"]
    np.testing.assert_array_equal([record.second for record in first], [record.second for record in second])


def test_renamed_sub_datasets_are_read(posescript, amass):
    before = [record.rotvecs for record in PoseScriptPoses(posescript, amass)]
    (amass / "BioMotionLab_NTroje").rename(amass / "BMLrub")
    np.testing.assert_array_equal([record.rotvecs for record in PoseScriptPoses(posescript, amass)], before)


def test_euler_heading_is_a_rotation_about_the_vertical():
    """Only a rotation about z is removed; an earlier rotation about z makes no difference."""
    poses = random_poses(50, 3).astype(np.float32)
    plain = remove_heading_euler(poses)
    for pose, result in zip(poses, plain):
        removed = pelvis_matrices(pose) @ pelvis_matrices(result).T
        np.testing.assert_allclose(removed[2], [0.0, 0.0, 1.0], atol=1e-6)
        np.testing.assert_allclose(result[1:], pose[1:])
    rotated = poses.copy()
    for index, pose in enumerate(poses):
        matrix = rotation_about_z(7.0 * index) @ pelvis_matrices(pose)
        rotated[index, 0] = roma.rotmat_to_rotvec(matrix).numpy()
    for first, second in zip(remove_heading_euler(rotated), plain):
        np.testing.assert_allclose(pelvis_matrices(first), pelvis_matrices(second), atol=1e-5)


def test_euler_heading_agrees_with_heading_for_upright_bodies():
    """Bodies that do not lean sideways: equal to `geometry.remove_heading`; different for those that do."""
    yaw, bend = torch.linspace(-170, 170, 35, dtype=torch.float64), torch.linspace(40, 140, 35, dtype=torch.float64)
    pelvis = torch.stack(
        [rotation_about_z(float(a)) @ roma.euler_to_rotmat("x", b[None], degrees=True) for a, b in zip(yaw, bend)]
    )
    poses = np.zeros((35, 22, 3), dtype=np.float32)
    poses[:, 0] = roma.rotmat_to_rotvec(pelvis).numpy()
    theirs = roma.rotvec_to_rotmat(torch.from_numpy(remove_heading_euler(poses)))
    ours = remove_heading(roma.rotvec_to_rotmat(torch.from_numpy(poses)))
    torch.testing.assert_close(theirs, ours, atol=1e-5, rtol=0)
    assert np.abs(heading(to_y_up(theirs)[:, 0].numpy())).max() < 1e-5
    leaning = random_poses(20, 4).astype(np.float32)
    ours = remove_heading(roma.rotvec_to_rotmat(torch.from_numpy(leaning)))
    theirs = roma.rotvec_to_rotmat(torch.from_numpy(remove_heading_euler(leaning)))
    assert (theirs - ours).abs().amax() > 0.05


def test_posefix_pairs_and_texts(posefix, amass):
    loader = PoseFixPairs(posefix, amass, texts=["human", "paraphrases", "auto"])
    records = {record.name: record for record in loader}
    assert list(records) == ["0", "2", "1"]
    assert len(loader) == 3
    assert records["0"].texts == ("human 0.", "said again 0.", "auto 0.")
    assert records["1"].texts == ("auto 1.",)
    assert [record.same_sequence for record in records.values()] == [True, True, False]
    for name, record in records.items():
        for rotvecs, key in zip((record.first, record.second), PAIRS[int(name)]):
            file, frame = FRAMES[key]
            np.testing.assert_array_equal(rotvecs[1:], POSES[file][frame][1:].astype(np.float32))


def test_posefix_splits_and_kinds(posefix, amass):
    assert [record.name for record in PoseFixPairs(posefix, amass, kinds=["out"])] == ["1"]
    assert [record.name for record in PoseFixPairs(posefix, amass, kinds=["in"], texts=["human"])] == ["0"]
    assert [record.name for record in PoseFixPairs(posefix, amass, split="test")] == ["3"]


def test_in_sequence_pairs_keep_their_relative_heading(posefix, amass):
    """A loses its heading, and what leads from A's to B's orientation in the world is turned along, nothing more."""
    for record in PoseFixPairs(posefix, amass):
        (file_a, frame_a), (file_b, frame_b) = (FRAMES[key] for key in PAIRS[int(record.name)])
        stored_a, stored_b = pelvis_matrices(POSES[file_a][frame_a]), pelvis_matrices(POSES[file_b][frame_b])
        first, second = pelvis_matrices(record.first), pelvis_matrices(record.second)
        assert abs(euler(first)[2]) < 1e-4
        heading_a, heading_b = euler(stored_a)[2], euler(stored_b)[2]
        if record.same_sequence:
            np.testing.assert_allclose(first.T @ second, stored_a.T @ stored_b, atol=1e-5)
            difference = euler(second)[2] - (heading_b - heading_a)
            assert (difference + 180) % 360 - 180 == pytest.approx(0, abs=1e-3)
            assert abs(euler(second)[2]) > 1
        else:
            assert abs(euler(second)[2]) < 1e-4


def test_pose_table_in_the_folder_of_posescript(posefix, posescript, amass):
    before = [record.second for record in PoseFixPairs(posefix, amass)]
    (posefix / POSE_TABLE).unlink()
    with pytest.raises(DatasetError, match=f"no {posefix / POSE_TABLE}"):
        list(PoseFixPairs(posefix, amass))
    records = PoseFixPairs(posefix, amass, pose_table=posescript / POSE_TABLE)
    np.testing.assert_array_equal([record.second for record in records], before)


def entry(value):
    return lambda root: write_json(root / POSE_TABLE, {"0": value})


def overwrite(name, content):
    return lambda root: write_json(root / name, content)


def assert_damage_is_named(damage: tuple[Callable[[Path], Any], str], folder: Path, dataset: Iterable) -> None:
    """Reading a dataset after its folder was spoiled: the error names the folder, and the damage in these words."""
    spoil, words = damage
    spoil(folder)
    with pytest.raises(DatasetError, match=words) as caught:
        list(dataset)
    assert str(folder) in str(caught.value)


POSESCRIPT_DAMAGE = {
    "no split": (lambda root: (root / "train_ids_100k.json").unlink(), "train_ids_100k.json.*github.com/naver"),
    "no captions": (lambda root: (root / "posescript_auto_100k.json").unlink(), r"posescript_auto_\*.json"),
    "two files": (overwrite("posescript_auto_20k.json", {}), "expected one file"),
    "truncated": (lambda root: (root / POSE_TABLE).write_text('{"0": ["AM'), "cannot be read: Unterminated"),
    "login page": (lambda root: (root / "train_ids_100k.json").write_text("<html>"), "needs a login"),
    "a list": (overwrite(POSE_TABLE, []), "got a list, expected a dict"),
    "bad id": (overwrite("train_ids_100k.json", [1, None]), "an id is None"),
    "bad text": (overwrite("posescript_auto_100k.json", {"0": 3}), "entry of '0' is 3"),
    "unknown id": (overwrite(POSE_TABLE, {"4": ["AMASS", WALK, 2]}), "lacks 3 of 4 ids, the first is '0'"),
    "no text": (overwrite("posescript_auto_100k.json", {"77": "x"}), "none of the 4 ids of this split has a text"),
}


@pytest.mark.parametrize("damage", POSESCRIPT_DAMAGE)
def test_damaged_posescript_is_named(posescript, amass, damage):
    assert_damage_is_named(POSESCRIPT_DAMAGE[damage], posescript, PoseScriptPoses(posescript, amass))


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (["AMASS", WALK, 6], r"pose '0' is frame 6 of .*0001_walk_poses.npz, which has 6 frames \(0 to 5\)"),
        (["AMASS", WALK, -1], "pose '0' is frame -1"),
        (["AMASS", "KIT/3/walk_poses.npz", 0], r"no .*KIT/3/walk_poses.npz; .*refers to it.*amass.is.tue.mpg.de"),
        (["3DPW", WALK, 0], "entry of '0' is"),
        (["AMASS", WALK], "entry of '0' is"),
        (["AMASS", WALK, "0"], "entry of '0' is"),
    ],
)
def test_wrong_frame_is_named(posescript, amass, value, words):
    write_json(posescript / "train_ids_100k.json", [0])
    write_json(posescript / POSE_TABLE, {"0": value})
    with pytest.raises(DatasetError, match=words):
        list(PoseScriptPoses(posescript, amass))


POSEFIX_DAMAGE = {
    "no split": (
        lambda root: (root / "train_out_sequence_pair_ids.json").unlink(),
        "train_out_sequence_pair_ids.json",
    ),
    "no pairs": (lambda root: (root / "pair_id_2_pose_ids.json").unlink(), "pair_id_2_pose_ids.json"),
    "few pairs": (overwrite("pair_id_2_pose_ids.json", [[0, 2]]), "holds 1 pairs; expected one with id '2'"),
    "half a pair": (overwrite("pair_id_2_pose_ids.json", [[0], [1, 4], [3, 5]]), r"pair 0 is \[0\]"),
    "another table": (
        overwrite("pair_id_2_pose_ids.json", [[0, 1], [1, 4], [3, 5]]),
        "pair 0 is listed as in sequence, but .* has its poses in BioMotionLab_NTroje/.* and CMU/",
    ),
    "unknown pose": (overwrite("pair_id_2_pose_ids.json", [[0, 99], [1, 4], [3, 5]]), "the first is '99'"),
}


@pytest.mark.parametrize("damage", POSEFIX_DAMAGE)
def test_damaged_posefix_is_named(posefix, amass, damage):
    assert_damage_is_named(POSEFIX_DAMAGE[damage], posefix, PoseFixPairs(posefix, amass))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: PoseScriptPoses("", "", split="vald"), "split is 'vald'; expected one of train, val, test"),
        (lambda: PoseScriptPoses("", "", captions="both"), "captions is 'both'; expected one of auto, human"),
        (
            lambda: PoseFixPairs("", "", texts=["people"]),
            "texts is 'people'; expected one of auto, human",
        ),
        (lambda: PoseFixPairs("", "", texts="auto"), "expected a list of"),
        (lambda: PoseFixPairs("", "", kinds=[]), "expected a list of in, out"),
    ],
)
def test_unknown_options(make, words):
    with pytest.raises(ValueError, match=words):
        make()


def test_missing_folders_are_named(tmp_path, posescript):
    with pytest.raises(DatasetError, match=r"no .*/nowhere. Get PoseScript from"):
        list(PoseScriptPoses(tmp_path / "nowhere", tmp_path))
    with pytest.raises(DatasetError, match=r"no .*/nowhere. Get AMASS from"):
        list(PoseScriptPoses(posescript, tmp_path / "nowhere"))
    with pytest.raises(DatasetError, match=r"no .*/nowhere. Get PoseFix from"):
        len(PoseFixPairs(tmp_path / "nowhere", tmp_path))

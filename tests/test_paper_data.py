"""The evaluation sets of the paper's tables, on small files of their formats."""

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import roma
import torch
from dataset_files import (
    FACING,
    encode_image,
    gradient,
    random_poses,
    threedpw_sequence,
    to_rotmats,
    write_3dpw,
    write_hmr_npz,
    write_posefix,
    write_posescript,
    write_smplh,
)

from unipose.processing.body_model import BodyModel
from unipose.training.datasets.importers import DatasetError, PoseFixPairs, PoseScriptPoses
from unipose.training.datasets.importers.keypoints import KeypointImages
from unipose.training.datasets.importers.orientation import camera_to_stored
from unipose.training.evaluation.paper_data import KeypointRegressor, PaperDataArguments, load_samples


ROWS = 4
AMASS_FILE = "CMU/01/01_01_poses.npz"
# Of Human3.6M's 17 joints: the row of each of the 14 measured keypoints.
HUMAN36M_ROWS = [6, 5, 4, 1, 2, 3, 16, 15, 14, 11, 12, 13, 8, 10]


def write_images(folder: Path, names: list[str]) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(encode_image(gradient(100, 80)))
    return folder


def annotated_row(poses: np.ndarray, number: int, captions: int, letters: tuple[str, ...] = ("",)) -> dict[str, Any]:
    row: dict[str, Any] = {"captions": [f"text {number}, {index}." for index in range(captions)]}
    for offset, letter in enumerate(letters):
        row[f"img{letter}_path"] = f"set/{number + offset}.png"
        row[f"global_orient{letter}"] = poses[number + offset, 0]
        row[f"body_pose{letter}"] = np.concatenate([poses[number + offset, 1:].reshape(-1), np.zeros(6)])
    return row


def random_regressor(rows: int, vertices: int) -> np.ndarray:
    weights = np.random.default_rng(rows).random((rows, vertices)) ** 8
    return weights / weights.sum(axis=1, keepdims=True)


def test_posescript(tmp_path: Path) -> None:
    amass, poses = tmp_path / "amass", random_poses(ROWS, 0)
    write_smplh(amass / AMASS_FILE, poses)
    root = write_posescript(tmp_path / "posescript", [(AMASS_FILE, row) for row in range(ROWS)], {"test": [0, 1, 2]})
    arguments = PaperDataArguments(data=str(root), amass=str(amass))
    human = load_samples("text-to-pose", arguments)
    assert human.inputs == {"text": ["human 0.", "human 2."]}
    assert human.texts == human.inputs["text"]
    records = list(PoseScriptPoses(root, amass, "test", "human"))
    torch.testing.assert_close(
        human.poses.double(), torch.stack([to_rotmats(record.rotvecs) for record in records]), atol=1e-5, rtol=0
    )
    arguments.captions = "auto"
    described = load_samples("pose-to-text", arguments)
    assert described.texts == ["auto 0 a.", "auto 1 a.", "auto 2 a."]
    torch.testing.assert_close(torch.stack(described.inputs["poses"]), described.poses)
    arguments.limit = 1
    assert len(load_samples("pose-to-text", arguments)) == 1


def test_posefix(tmp_path: Path) -> None:
    amass = tmp_path / "amass"
    write_smplh(amass / AMASS_FILE, random_poses(ROWS, 0))
    root = write_posefix(
        tmp_path / "posefix", [(AMASS_FILE, row) for row in range(ROWS)], [(0, 1), (2, 3)], {"test_in": [0, 1]}
    )
    arguments = PaperDataArguments(data=str(root), amass=str(amass), captions="auto")
    edits, differences = load_samples("pose-edit", arguments), load_samples("pose-diff", arguments)
    record = list(PoseFixPairs(root, amass, "test"))[1]
    assert edits.texts == edits.inputs["text"] == ["auto 0.", "auto 1."]
    expected = torch.stack([to_rotmats(record.first), to_rotmats(record.second)])
    torch.testing.assert_close(edits.poses[1].double(), expected, atol=1e-5, rtol=0)
    torch.testing.assert_close(edits.inputs["poses"][1], edits.poses[1, 0])
    torch.testing.assert_close(torch.stack(differences.inputs["poses"][1]), edits.poses[1])


def test_imagescript_and_imagediff(tmp_path: Path) -> None:
    """Only the second row has a refined text."""
    poses = random_poses(3, 1)
    images = write_images(tmp_path / "images", [f"set/{number}.png" for number in range(3)])
    script, diff = tmp_path / "script.pkl", tmp_path / "diff.pkl"
    script.write_bytes(pickle.dumps([annotated_row(poses, 0, 3), annotated_row(poses, 1, 4)]))
    diff.write_bytes(pickle.dumps([annotated_row(poses, 0, 3, ("A", "B")), annotated_row(poses, 1, 4, ("A", "B"))]))
    arguments = PaperDataArguments(data=str(script), images=str(images), pickles_may_run_code=True)
    refined = load_samples("image-to-text", arguments)
    assert refined.texts == ["text 1, 3."]
    assert refined.inputs["images"][0].size == (100, 80)
    torch.testing.assert_close(refined.poses[0].double(), to_rotmats(poses[1]), atol=1e-5, rtol=0)
    arguments.data = str(diff)
    pair = load_samples("image-diff", arguments)
    assert pair.texts == ["text 1, 3."]
    assert len(pair.inputs["images"][0]) == 2
    torch.testing.assert_close(pair.poses[0].double(), to_rotmats(poses[1:3]), atol=1e-5, rtol=0)
    arguments.captions = "auto"
    assert load_samples("image-diff", arguments).texts == ["text 0, 0.", "text 1, 0."]


def test_3dpw_sequences(tmp_path: Path) -> None:
    """A camera that looks at upright persons: their poses are those of the file."""
    poses = random_poses(2, 2).reshape(1, 2, 22, 3)
    camera = np.eye(4)
    camera[:3, :3], camera[2, 3] = FACING, 3.0
    joints = np.random.default_rng(0).normal(scale=0.2, size=(1, 2, 24, 3))
    intrinsics = np.array([[100.0, 0, 50], [0, 100.0, 40], [0, 0, 1]])
    content = threedpw_sequence(poses, joints, np.stack([camera] * 2), intrinsics)
    write_3dpw(tmp_path, "walk", "test", content, [gradient(100, 80)] * 2)
    arguments = PaperDataArguments(data=str(tmp_path), pickles_may_run_code=True)
    samples = load_samples("image-to-pose-3dpw", arguments)
    assert samples.keypoints is None
    assert len(samples) == 2
    torch.testing.assert_close(samples.poses[:, 1:].double(), to_rotmats(poses[0, :, 1:]), atol=1e-5, rtol=0)


@pytest.mark.parametrize("spin", [True, False])
def test_keypoints_of_spin_and_hmr2(tmp_path: Path, spin: bool) -> None:
    """Both formats hold the same joints; SPIN's scale is in 200 pixels."""
    keypoints = np.random.default_rng(3).normal(size=(2, 24, 4))
    keypoints[..., 3] = 1.0
    images = write_images(tmp_path / "images", ["a.png", "b.png"])
    changes: dict[str, Any] = {"body_pose": None, "has_body_pose": None}
    changes |= {"S": keypoints, "scale": np.full(2, 0.2), "extra_keypoints_3d": None} if spin else {}
    changes |= {} if spin else {"extra_keypoints_3d": keypoints[:, :19]}
    path = write_hmr_npz(tmp_path / "eval.npz", ["a.png", "b.png"], np.zeros((2, 22, 3)), **changes)
    records = list(KeypointImages(path, images, "human36m"))
    expected = keypoints[:, [*range(13), 18], :3] - keypoints[:, 14:15, :3]
    np.testing.assert_allclose(np.stack([record.keypoints for record in records]), expected)
    arguments = PaperDataArguments(data=str(path), images=str(images))
    samples = load_samples("image-to-pose-human36m", arguments)
    assert samples.poses is None
    assert samples.inputs["images"][0].size == (40, 40)


def test_keypoints_of_a_body_as_the_camera_sees_it(body: BodyModel, tmp_path: Path) -> None:
    """Independent: vertices of the pose without a heading, rotated by the orientation that the camera sees."""
    vertices = len(body.v_template)
    weights = random_regressor(19, vertices)
    np.save(tmp_path / "j19.npy", weights)
    regressor = KeypointRegressor.load(tmp_path / "j19.npy", vertices)
    camera_pose = random_poses(1, 4)
    stored = to_rotmats(camera_to_stored(camera_pose.astype(np.float32))).float()
    found = regressor(body(stored).vertices)[0].numpy()

    upright = camera_pose.copy()
    # Facing +z with y up, as the body's own file does.
    upright[0, 0] = 0.0
    y_up_to_stored = torch.tensor([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])
    pose = to_rotmats(upright).float()
    pose[0, 0] = y_up_to_stored
    rest = body(pose).vertices[0].double().numpy()
    rotated = rest @ roma.rotvec_to_rotmat(torch.from_numpy(camera_pose[0, 0])).numpy().T
    joints = weights @ rotated
    np.testing.assert_allclose(found, joints[[*range(13), 18]] - joints[14], atol=1e-4)


def test_the_regressors_of_spin_and_hmr2_agree(tmp_path: Path) -> None:
    """The same joints in Human3.6M's order and in that of the 19 joints."""
    own = random_regressor(19, 50)
    human36m = random_regressor(17, 50)
    human36m[HUMAN36M_ROWS], human36m[0] = own[[*range(13), 18]], own[14]
    np.save(tmp_path / "h36m.npy", human36m)
    (tmp_path / "j19.pkl").write_bytes(pickle.dumps(own))
    first = KeypointRegressor.load(tmp_path / "h36m.npy", 50)
    second = KeypointRegressor.load(tmp_path / "j19.pkl", 50, pickles_may_run_code=True)
    torch.testing.assert_close(first.weights, second.weights)
    with pytest.raises(DatasetError, match="a pickle can run any code"):
        KeypointRegressor.load(tmp_path / "j19.pkl", 50)
    with pytest.raises(DatasetError, match=r"got the shape \(17, 50\); expected \(17, 6890\) or \(19, 6890\)"):
        KeypointRegressor.load(tmp_path / "h36m.npy", 6890)
    with pytest.raises(DatasetError, match="there is no"):
        KeypointRegressor.load(tmp_path / "none.npy", 50)


def test_errors_name_the_file_and_what_is_accepted(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="the table pose-diff needs its dataset: give its path with --data"):
        load_samples("pose-diff", PaperDataArguments())
    with pytest.raises(ValueError, match="captions is 'none'"):
        load_samples("pose-diff", PaperDataArguments(data=str(tmp_path), captions="none"))
    with pytest.raises(ValueError, match="limit is 0"):
        load_samples("pose-diff", PaperDataArguments(data=str(tmp_path), limit=0))
    with pytest.raises(DatasetError, match=r"there is no .*test_ids_100k\.json"):
        load_samples("text-to-pose", PaperDataArguments(data=str(tmp_path), amass=str(tmp_path)))
    with pytest.raises(DatasetError, match="a pickle can run any code"):
        load_samples("image-to-text", PaperDataArguments(data=str(tmp_path / "a.pkl")))
    with pytest.raises(DatasetError, match=r"expected the npz of Human3\.6M's keypoints"):
        load_samples("image-to-pose-human36m", PaperDataArguments(data=str(tmp_path)))
    allowed = {"images": str(tmp_path), "pickles_may_run_code": True}
    for content, message in (
        ({"a": 1}, "holds a dict; expected a list of dicts"),
        ([{"captions": []}], r"row 0: captions is \[\]; expected a list of texts"),
        ([annotated_row(random_poses(1, 0), 0, 3)], "none of its 1 rows has refined captions"),
        ([annotated_row(random_poses(1, 0), 0, 4)], r"there is no .*set/0\.png"),
        ([{"captions": ["a"] * 4, "img_path": "set/0.png"}], "row 0 lacks global_orient, body_pose"),
    ):
        path = tmp_path / "rows.pkl"
        path.write_bytes(pickle.dumps(content))
        with pytest.raises(DatasetError, match=message):
            load_samples("image-to-text", PaperDataArguments(data=str(path), **allowed))
    write_images(tmp_path, ["a.png"])
    weights = np.ones((1, 19, 4))
    weights[0, 14, 3] = 0.0
    for changes, message in (
        ({"extra_keypoints_3d": None}, "lacks S .SPIN. or extra_keypoints_3d .HMR2."),
        ({"extra_keypoints_3d": weights}, "row 0: a keypoint has the weight 0"),
        ({"extra_keypoints_3d": np.full((1, 19, 4), np.nan)}, "NaN"),
    ):
        path = write_hmr_npz(tmp_path / "eval.npz", ["a.png"], np.zeros((1, 22, 3)), **changes)
        with pytest.raises(DatasetError, match=message):
            load_samples("image-to-pose-3dpw", PaperDataArguments(data=str(path), images=str(tmp_path)))

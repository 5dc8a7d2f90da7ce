"""Photos and the webcam in the browser: landmarks become the pose that `fit_rotations` gives, and nothing leaves."""

import json
import os
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pytest
import roma
import torch
from browser import launch, open_browser, open_page
from PIL import Image

from unipose.photo_landmarks import FoundLandmarks, merge_mirrored, place_landmarks
from unipose.processing.body_model import BodyModel
from unipose.processing.inverse_kinematics import fit_rotations
from unipose.processing.keypoint_positions import place_keypoints
from unipose.processing.keypoint_skeletons import REST_POINTS, SKELETONS
from unipose.processing.pose_frames import CAMERA_TO_Z_UP, PARENTS
from unipose.processing.pose_viewer import quaternions_to_pose, viewer_script
from unipose.processing.rendering import render_pose
from unipose.training.named_poses.archetypes import archetype_poses


VIEWER = Path(__file__).parents[1] / "viewer"
MEDIAPIPE = VIEWER / "mediapipe"
POSES = archetype_poses(["stand", "crouch", "kneel", "hands_up", "lie_back", "crawl"])
TRUNK = ("left_hip", "right_hip", "left_shoulder", "right_shoulder")
# All names but the page's own address lead nowhere.
OFFLINE = "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1"


def landmarks_of(poses: torch.Tensor) -> np.ndarray:
    """(n, 33, 3) world landmarks of poses as MediaPipe gives them, 0 where the fit has no use for one."""
    points = place_keypoints(poses, BodyModel.builtin().joints[:22], "mediapipe").nan_to_num()
    return (points.double() @ torch.tensor(CAMERA_TO_Z_UP).double()).numpy()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with open_browser(OFFLINE) as found:
        yield found


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A site with the script, and with MediaPipe's files where they are there."""
    folder = tmp_path_factory.mktemp("site")
    (folder / "index.html").write_text(f"<body><script>{viewer_script()}</script></body>", encoding="utf-8")
    if MEDIAPIPE.is_dir():
        (folder / "mediapipe").symlink_to(MEDIAPIPE)

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *arguments: Any) -> None:
            """Nothing is printed."""

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder))) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/"
        server.shutdown()


@pytest.fixture
def vendored() -> None:
    if not MEDIAPIPE.is_dir() and not os.environ.get("CI"):
        pytest.skip("needs MediaPipe's files: unipose get-mediapipe viewer/mediapipe")


def test_the_skeleton_is_that_of_python() -> None:
    skeleton = json.loads((VIEWER / "src" / "photo" / "skeleton.json").read_text(encoding="utf-8"))
    assert skeleton["names"] == list(SKELETONS["mediapipe"].names)
    assert skeleton["parents"] == list(PARENTS[:22])
    for name, place in skeleton["rest"].items():
        np.testing.assert_allclose(place, REST_POINTS[name], atol=1e-8)


def test_the_fit_is_that_of_python(browser: Any, site: str) -> None:
    """Poses with noise, and points that are not seen."""
    generator = np.random.default_rng(0)
    positions = np.repeat(landmarks_of(POSES), 4, axis=0)
    positions += generator.normal(0, 0.02, positions.shape)
    visibility = generator.uniform(0.2, 1.0, positions.shape[:2])
    visibility[::4] = 1.0
    rows = np.concatenate([positions, visibility[..., None]], axis=-1)
    script = (
        "rows => rows.map(row => UniPosePhoto.fitPose(row.map(([x, y, z, visibility]) => ({x, y, z, visibility}))))"
    )
    with open_page(browser, site, "body") as page:
        fitted = torch.stack([quaternions_to_pose(pose) for pose in page.evaluate(script, rows.tolist())])
    trunk = [SKELETONS["mediapipe"].names.index(name) for name in TRUNK]
    visibility[:, trunk] = 1.0
    expected = fit_rotations(positions, "mediapipe", visibility, min_confidence=0.5).rotmats
    # Joints of limbs that are not seen rest, in a way that rounding does not change.
    assert roma.rotmat_geodesic_distance(fitted.double(), expected.double()).rad2deg().max() < 0.1


def test_landmarks_are_placed_as_in_python(browser: Any, site: str) -> None:
    """Landmarks of poses seen by a camera, with noise, some outside the image."""
    generator = np.random.default_rng(0)
    world = landmarks_of(POSES) + generator.normal(0, 0.05, (len(POSES), 33, 3))
    image = 0.5 + world[..., :2] * (0.3, 0.6) + generator.normal(0, 0.02, (len(POSES), 33, 2))
    script = """([world, image]) => world.map((row, index) => UniPosePhoto.placeLandmarks(
        row.map(([x, y, z]) => ({x, y, z})), image[index].map(([x, y]) => ({x, y})), 600, 300,
    ).map(({x, y, z, visibility}) => [x, y, z, visibility]))"""
    with open_page(browser, site, "body") as page:
        placed = page.evaluate(script, [world.tolist(), image.tolist()])
    expected = np.stack([place_landmarks(*each, (600, 300)) for each in zip(world, image)])
    np.testing.assert_allclose(placed, expected, atol=1e-9)
    assert 0.5 < expected[..., 3].mean() < 1.0


def test_an_image_and_its_mirror_image_are_merged_as_in_python(browser: Any, site: str) -> None:
    """Somebody in both, in one of them, in none."""
    generator = np.random.default_rng(0)
    people = [FoundLandmarks(*(generator.uniform(0, 1, (33, size)) for size in (3, 2, 1))) for _ in range(2)]
    pairs = [(one, other) for one in (people[0], None) for other in (people[1], None)]
    script = """pairs => {
        const points = (rows) => rows.map(([x, y, z]) => ({x, y, z}));
        const read = (person) => person && {world: points(person[0]), image: points(person[1])};
        return pairs.map((pair) => UniPosePhoto.mergeMirrored(...pair.map(read))).map((merged) => merged && [
            merged.world.map(({x, y, z}) => [x, y, z]), merged.image.map(({x, y}) => [x, y])]);
    }"""
    with open_page(browser, site, "body") as page:
        given = [[person and [person.world.tolist(), person.image.tolist()] for person in pair] for pair in pairs]
        merged = page.evaluate(script, given)
    for found, pair in zip(merged, pairs):
        expected = merge_mirrored(*pair)
        assert (found is None) == (expected is None)
        for values, others in zip(found or (), expected or ()):
            np.testing.assert_allclose(values, others, atol=1e-12)


def test_what_is_missing_is_said(browser: Any, site: str) -> None:
    with open_page(browser, site, "body") as page:
        caught = "call => call().then(() => '', error => error.message)"
        ask = f"({caught})"
        message = page.evaluate(f"{ask}(() => UniPosePhoto.fromImage(new Blob(['x'])))")
        assert 'load(folder, "photo") comes first' in message
        assert 'accepted: "photo", "webcam"' in page.evaluate(f"{ask}(() => UniPosePhoto.load('nowhere', 'video'))")
        message = page.evaluate(f"{ask}(() => UniPosePhoto.load('nowhere'))")
        assert "MediaPipe could not be loaded from" in message
        assert "/nowhere" in message
        wrong = page.evaluate("(() => { try { UniPosePhoto.fitPose([]) } catch (error) { return error.message } })()")
        assert "0 landmarks; expected 33" in wrong


def test_a_camera_that_is_refused_is_named(browser: Any, site: str) -> None:
    with open_page(browser, site, "body") as page:
        started = "UniPosePhoto.startWebcam(document.createElement('video'), () => {})"
        message = page.evaluate(f"{started}.then(() => '', error => error.message)")
    assert message.startswith(("The camera is not allowed", "No camera was found"))


@pytest.mark.slow
@pytest.mark.usefixtures("vendored")
def test_a_photo_becomes_a_pose_offline(browser: Any, site: str, tmp_path: Path) -> None:
    pose = archetype_poses(["hands_up"])[0]
    render_pose(pose, size=512, view="front").save(tmp_path / "person.png")
    Image.new("RGB", (300, 300), "gray").save(tmp_path / "nobody.png")
    with open_page(browser, site, "body") as page:
        page.evaluate("document.body.append(Object.assign(document.createElement('input'), {type: 'file'}))")
        page.evaluate("UniPosePhoto.load('mediapipe/')")
        page.set_input_files("input", tmp_path / "person.png")
        found = page.evaluate("UniPosePhoto.fromImage(document.querySelector('input').files[0])")
        page.set_input_files("input", tmp_path / "nobody.png")
        refused = "UniPosePhoto.fromImage(document.querySelector('input').files[0]).catch(error => error.message)"
        assert page.evaluate(refused) == "No person was found in the image."
        assert "no image" in page.evaluate("UniPosePhoto.fromImage(new Blob(['x'])).catch(error => error.message)")
    assert len(found["landmarks"]) == 33
    joints = [BodyModel.builtin()(each[None]).joints[0] for each in (quaternions_to_pose(found["pose"]), pose)]
    assert 1000 * (joints[0] - joints[1]).norm(dim=-1).mean() < 150


@pytest.mark.slow
@pytest.mark.usefixtures("vendored")
def test_the_webcam_gives_poses_until_it_is_stopped(browser: Any, site: str, tmp_path: Path) -> None:
    """A camera that films one pose."""
    image = render_pose(archetype_poses(["hands_up"])[0], size=480, view="front")
    image.save(tmp_path / "film.mjpeg", format="JPEG", quality=95)
    camera = ("--use-fake-device-for-media-stream", f"--use-file-for-fake-video-capture={tmp_path / 'film.mjpeg'}")
    with (
        launch(browser.browser_type, OFFLINE, *camera) as filming,
        open_page(filming, site, "body", permissions=["camera"]) as page,
    ):
        page.evaluate("UniPosePhoto.load('mediapipe', 'webcam')")
        page.evaluate(
            """async () => {
                window.found = [];
                const video = document.body.appendChild(document.createElement('video'));
                window.webcam = await UniPosePhoto.startWebcam(video, (pose) => found.push(pose));
            }"""
        )
        page.wait_for_function("found.filter(Boolean).length >= 2")
        page.evaluate("webcam.stop()")
        page.evaluate("webcam.done")
        assert page.evaluate("document.querySelector('video').srcObject") is None
        assert quaternions_to_pose(page.evaluate("found.filter(Boolean)[0].pose")).shape == (22, 3, 3)

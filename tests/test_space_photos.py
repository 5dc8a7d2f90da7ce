"""Photos and the webcam on the page of the Space: a pose comes to the conversation, no image leaves the browser."""

import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import torch
from browser import launch, open_browser, open_page
from PIL import Image
from space_app import module, need, running_space

from unipose.processing.body_model import BodyModel
from unipose.processing.pose_frames import JOINT_NAMES
from unipose.processing.pose_viewer import pose_to_quaternions, quaternions_to_pose
from unipose.processing.rendering import render_pose
from unipose.training.named_poses.archetypes import archetype_poses


need("gradio")

MEDIAPIPE = Path(__file__).parents[1] / "viewer" / "mediapipe"
POSE = archetype_poses(["hands_up"])[0]
# All names but the page's own address lead nowhere.
OFFLINE = "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1"
HIDE_PAGE = """Object.defineProperty(document, "hidden", {get: () => true});
    document.dispatchEvent(new Event("visibilitychange"))"""
NO_WEBGL = "OffscreenCanvas.prototype.getContext = () => null"
REPLIES = "#chat [data-testid=bot]"
# Whether the body has reached what the viewer shows: the webcam's pose, or that of the conversation.
ARRIVED = """followed => (viewer.followed !== null) === followed && viewer.bodies.length === 1
    && (viewer.followed ?? viewer.poses)[0].every(
        (each, at) => viewer.bodies[0].bones[at].quaternion.angleTo(each) < 0.05)"""
# 22 quaternions and the ids of the session; the smallest image of a person is larger.
POSTED_BYTES = 8000


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with open_browser(OFFLINE) as found:
        yield found


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    if not MEDIAPIPE.is_dir() and not os.environ.get("CI"):
        pytest.skip("needs MediaPipe's files: unipose get-mediapipe viewer/mediapipe")
    with running_space(MEDIAPIPE) as address:
        yield address


def open_photos(page: Any) -> None:
    """Opens the part of the page for photos."""
    page.click("#photos button")
    page.wait_for_selector("#photos-note")


def person_file() -> dict[str, Any]:
    buffer = io.BytesIO()
    render_pose(POSE, size=512, view="front").save(buffer, format="PNG")
    return {"name": "person.png", "mimeType": "image/png", "buffer": buffer.getvalue()}


def wait_status(page: Any, start: str) -> None:
    status = "document.querySelector('#photo-picker [role=status]').textContent"
    page.wait_for_function(f"start => {status}.startsWith(start)", arg=start)


def wait_pose(page: Any, origin: str) -> torch.Tensor:
    """The pose that the viewer shows once the conversation has its turn."""
    page.wait_for_selector(REPLIES)
    asked = page.locator("#chat [data-testid=user]").inner_text()
    assert asked.startswith(f"Pose of {origin}, found by landmarks in your browser")
    assert "not the model's own estimate" in asked
    assert len(page.locator(REPLIES).inner_text()) > 20
    # The viewer gets the answer's pose after its words.
    standing = pose_to_quaternions(module("examples").standing_pose())
    different = "before => viewer.getPose(0).flat().some((each, at) => Math.abs(each - before.flat()[at]) > 0.01)"
    page.wait_for_function(different, arg=standing)
    return quaternions_to_pose(page.evaluate("viewer.getPose(0)"))


def shown_pose(page: Any) -> torch.Tensor:
    """The pose of the body that is drawn."""
    return quaternions_to_pose(page.evaluate("viewer.bodies[0].bones.map(bone => bone.quaternion.toArray())"))


def check_pose(pose: torch.Tensor) -> None:
    """Checks that the hands are up, and the mean error of the joints with the pelvis in the same place."""
    joints = [BodyModel.builtin()(each[None]).joints[0, :22] for each in (pose, POSE)]
    moved = [each - each[:1] for each in joints]
    heights = dict(zip(JOINT_NAMES, joints[0][:, 2].tolist()))
    assert min(heights["left_wrist"], heights["right_wrist"]) > heights["head"]
    assert 1000 * (moved[0] - moved[1]).norm(dim=-1).mean() < 150


@pytest.mark.slow
def test_a_photo_becomes_a_pose_and_stays_in_the_browser(browser: Any, url: str) -> None:
    with open_page(browser, url, "#viewer [data-ready=true]") as page:
        sent: list[Any] = []
        page.context.on("request", lambda request: sent.append(request))
        open_photos(page)
        page.set_input_files("#photo-picker input[type=file]", [person_file()])
        check_pose(wait_pose(page, "a photo"))
        assert "stayed on your device" in page.locator("#photo-picker [role=status]").inner_text()
    assert [request.url for request in sent if request.url.startswith(f"{url}/mediapipe/")]
    for request in sent:
        assert request.url.startswith((f"{url}/", f"blob:{url}/", "data:")), request.url
        assert "/upload" not in request.url
        assert len(request.post_data_buffer or b"") < POSTED_BYTES


@pytest.mark.slow
def test_what_goes_wrong_is_said(browser: Any, url: str) -> None:
    nobody = io.BytesIO()
    render_pose(POSE, size=64, view="front").crop((0, 0, 4, 4)).resize((300, 300)).save(nobody, format="PNG")
    with open_page(browser, url, "#viewer [data-ready=true]") as page:
        open_photos(page)
        for content, said in ((nobody.getvalue(), "No person was found"), (b"words", "The file is no image")):
            file = {"name": "a.png", "mimeType": "image/png", "buffer": content}
            page.set_input_files("#photo-picker input[type=file]", [file])
            wait_status(page, said)
        for name, said in (("NotAllowedError", "The camera is not allowed"), ("NotFoundError", "No camera was found")):
            refuse = (
                "name => { navigator.mediaDevices.getUserMedia = async () => { throw new DOMException('', name) } }"
            )
            page.evaluate(refuse, name)
            page.click("#photo-picker [data-part=start]:enabled")
            wait_status(page, said)
        page.evaluate(NO_WEBGL)
        page.set_input_files("#photo-picker input[type=file]", [person_file()])
        wait_status(page, "This browser has no WebGL 2")
        assert page.locator(REPLIES).count() == 0


@pytest.mark.slow
def test_the_viewer_follows_the_webcam_until_it_stops(browser: Any, url: str, tmp_path: Path) -> None:
    """A camera that films one pose, which can be taken. The user, a closed part and a hidden page stop it."""
    person = render_pose(POSE, size=480, view="front")
    frame = Image.new("RGB", (640, 480), person.getpixel((0, 0)))
    frame.paste(person, (80, 0))
    frame.save(tmp_path / "film.mjpeg", format="JPEG", quality=95)
    camera = ("--use-fake-device-for-media-stream", f"--use-file-for-fake-video-capture={tmp_path / 'film.mjpeg'}")
    with (
        launch(browser.browser_type, OFFLINE, *camera) as filming,
        open_page(filming, url, "#viewer [data-ready=true]", permissions=["camera"]) as page,
    ):
        open_photos(page)
        before = page.evaluate("viewer.getPose(0)")
        page.click("#photo-picker [data-part=start]")
        wait_status(page, "A person is seen.")
        page.wait_for_function(ARRIVED, arg=True)
        check_pose(shown_pose(page))
        assert page.evaluate("viewer.getPose(0)") == before, "the conversation's pose waits"
        page.click("#photo-picker [data-part=take]:enabled")
        taken = wait_pose(page, "the webcam")
        check_pose(taken)
        assert page.evaluate("viewer.followed !== null")
        page.click("#photo-picker [data-part=stop]")
        wait_status(page, "The webcam is off.")
        assert page.evaluate("document.querySelector('#photo-picker video').srcObject") is None
        page.wait_for_function(ARRIVED, arg=False)
        torch.testing.assert_close(shown_pose(page), taken, atol=0.06, rtol=0)
        for stop in ("", HIDE_PAGE):
            page.click("#photo-picker [data-part=start]")
            wait_status(page, "A person is seen.")
            page.evaluate(stop) if stop else page.click("#photos button")
            wait_status(page, "The webcam is off.")
            assert page.evaluate("viewer.followed") is None
            if not stop:
                open_photos(page)


@pytest.mark.slow
def test_without_the_files_the_page_says_so(browser: Any, tmp_path: Path) -> None:
    with running_space(tmp_path / "mediapipe") as address:
        with open_page(browser, address, "#viewer [data-ready=true]") as page:
            open_photos(page)
            assert "built without its files" in page.locator("#photos-note").inner_text()
            assert page.locator("#photo-picker").count() == 0
        assert httpx.get(f"{address}/mediapipe/vision_bundle.mjs").status_code == 404


@pytest.mark.slow
def test_the_files_alone_are_served(url: str) -> None:
    answer = httpx.get(f"{url}/mediapipe/NOTICE")
    assert answer.text == (MEDIAPIPE / "NOTICE").read_text(encoding="utf-8")
    for path in ("", "..%2Fbuild.js", "%2e%2e/build.js", "/etc/passwd", "missing"):
        refused = httpx.get(f"{url}/mediapipe/{path}")
        assert refused.status_code == 404, path
        assert str(MEDIAPIPE.parent) not in refused.text


def test_an_event_is_a_pose_or_refused() -> None:
    read_photo = module("photos").read_photo
    pose = pose_to_quaternions(POSE)
    for source, words in (("photo", "a photo"), ("webcam", "the webcam")):
        found, origin = read_photo({"source": source, "pose": pose})
        torch.testing.assert_close(found, POSE.float(), atol=1e-5, rtol=0)
        assert origin.startswith(f"Pose of {words}")
    hostile = ([], {"source": [], "pose": pose}, {"source": "<b>", "pose": pose}, {"source": "photo"})
    for data in (*hostile, {"source": "photo", "pose": pose[:21]}, {"source": "photo", "pose": [[0.0] * 4] * 22}):
        with pytest.raises(ValueError):  # noqa: PT011
            read_photo(data)

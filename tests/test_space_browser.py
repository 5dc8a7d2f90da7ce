"""The Space in a browser: headless Chromium with software rendering. Its screenshots stand in docs/space.md."""

import io
import itertools
import json
import os
import pickle
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browser import PATIENCE
from PIL import Image
from space_app import UPLOAD_BYTES, need_chromium, running_space

from unipose.processing.pose_io import load_pose, save_pose
from unipose.processing.pose_viewer import quaternions_to_pose
from unipose.processing.rendering import render_pose
from unipose.training.named_poses.archetypes import archetype_poses


CHROMIUM = need_chromium()

from playwright.sync_api import Page, expect, sync_playwright  # noqa: E402


pytestmark = pytest.mark.slow

# Set to a folder, it gets the screenshots of the docs.
SCREENSHOTS = os.environ.get("UNIPOSE_SCREENSHOTS")


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with running_space() as address:
        yield address


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    expect.set_options(timeout=PATIENCE)
    with sync_playwright() as playwright:
        arguments = ["--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--no-sandbox"]
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def tab(browser, url) -> Iterator[tuple[Page, list[str]]]:
    context = browser.new_context(viewport={"width": 1280, "height": 900}, accept_downloads=True)
    page = context.new_page()
    page.set_default_timeout(PATIENCE)
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(url)
    page.wait_for_selector("#viewer [data-ready=true]")
    yield page, errors
    context.close()


@pytest.fixture
def page(tab) -> Iterator[Page]:
    """The page with a new conversation; the test fails if the page raises an error."""
    page, errors = tab
    if page.input_value("#mode input") != "Let the model decide":
        choose_mode(page, "Let the model decide")
    if replies(page).count():
        page.click("#clear")
        expect(replies(page)).to_have_count(0)
    yield page
    assert errors == []


def replies(page: Page) -> Any:
    return page.locator("#chat [data-testid=bot]")


def thumbnails(page: Page) -> Any:
    """Files that the next message will have."""
    return page.locator("#message .thumbnail-item")


def wait_reply(page: Page, count: int) -> str:
    """The words of the last answer, once there are more than `count`."""
    expect(replies(page)).to_have_count(count + 1)
    expect(page.locator("#undo")).to_be_enabled()
    return replies(page).last.inner_text()


def say(page: Page, text: str = "", files: list[Any] | None = None, mode: str | None = None) -> str:
    """Sends a message; gives the words of the answer."""
    before = replies(page).count()
    expect(thumbnails(page)).to_have_count(0)
    if mode is not None:
        choose_mode(page, mode)
    if files:
        page.set_input_files("#message input[type=file]", files)
        expect(thumbnails(page)).to_have_count(len(files))
    page.fill("#message textarea", text)
    page.click("#message .submit-button")
    return wait_reply(page, before)


def make(page: Page, text: str = "", **options: Any) -> np.ndarray:
    """Sends a message that is answered by another pose; gives the pose."""
    before = page.evaluate("window.viewer.getPose(0)")
    say(page, text, **options)
    wait_other(page, before)
    return pose_of(page)


def wait_other(page: Page, before: list[list[float]]) -> None:
    """Waits for a pose that differs by more than rounding."""
    page.wait_for_function(
        "before => window.viewer.getPose(0).flat().some((each, at) => Math.abs(each - before.flat()[at]) > 1e-3)",
        arg=before,
    )


def choose_mode(page: Page, label: str) -> None:
    page.click("#mode input")
    page.get_by_role("option", name=label).click()


def pose_of(page: Page, index: int = 0) -> np.ndarray:
    """The pose that the viewer shows, as rotation matrices."""
    return quaternions_to_pose(page.evaluate("index => window.viewer.getPose(index)", index)).numpy()


def image_file(name: str) -> dict[str, Any]:
    buffer = io.BytesIO()
    render_pose(archetype_poses([name])[0], size=160).save(buffer, format="PNG")
    return {"name": f"{name}.png", "mimeType": "image/png", "buffer": buffer.getvalue()}


def screenshot(page: Page, name: str) -> None:
    if SCREENSHOTS:
        page.wait_for_function("window.viewer.stage.motion === null && window.viewer.stage.pending === 0")
        image = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
        image.save(Path(SCREENSHOTS) / name, quality=88, optimize=True)


def test_three_edits_in_a_row_and_undo(page: Page) -> None:
    poses = [make(page, "A person squats.")]
    assert "confidence" in replies(page).last.inner_text()
    for text in ("Raise the left arm.", "Turn the head to the right.", "Lean the upper body to the left."):
        poses.append(make(page, text))
    for before, after in itertools.pairwise(poses):
        assert not np.allclose(before, after, atol=1e-2)
    assert "squat" in say(page, "Describe the pose.").lower()
    page.check("#both input")
    page.wait_for_function("window.viewer.getPoses().length == 2")
    screenshot(page, "space.jpg")
    np.testing.assert_allclose(pose_of(page, 0), poses[-2], atol=1e-5)
    page.uncheck("#both input")
    page.wait_for_function("window.viewer.getPoses().length == 1")
    shown = page.evaluate("window.viewer.getPose(0)")
    for count in (4, 3):
        page.click("#undo")
        expect(replies(page)).to_have_count(count)
    wait_other(page, shown)
    np.testing.assert_allclose(pose_of(page), poses[-2], atol=1e-5)
    shown = page.evaluate("window.viewer.getPose(0)")
    page.click("#redo")
    wait_other(page, shown)
    np.testing.assert_allclose(pose_of(page), poses[-1], atol=1e-5)


def test_a_joint_is_dragged_and_gets_new_words(page: Page) -> None:
    before = make(page, "A person is standing.")
    page.wait_for_function("window.viewer.stage.motion === null")
    place = page.evaluate("window.viewer.screen('left_shoulder')")
    reply_count = replies(page).count()
    page.mouse.move(place["x"], place["y"])
    page.mouse.down()
    page.mouse.move(place["x"] + 30, place["y"] - 60, steps=4)
    page.mouse.up()
    turned = pose_of(page)
    assert np.abs(turned - before).reshape(22, -1).max(axis=1).nonzero()[0].tolist() == [16]
    assert "What changed" in wait_reply(page, reply_count)
    np.testing.assert_allclose(pose_of(page), turned, atol=1e-5)
    assert not np.allclose(make(page, "Bend the knees."), turned, atol=1e-2)


def test_images_are_estimated_described_and_compared(page: Page) -> None:
    image = image_file("crouch")
    estimated = make(page, files=[image])
    assert "estimate" in replies(page).last.inner_text()
    assert page.locator("#chat img").count() >= 1
    assert len(say(page, files=[image], mode="Ask about it")) > 20
    np.testing.assert_allclose(pose_of(page), estimated, atol=1e-6)
    assert "confidence" in say(page, files=[image, image_file("hands_up")], mode="Let the model decide")
    make(page, "Raise both arms.", mode="Change the pose")
    assert "confidence" in say(page, mode="Compare", text="What is different?")


def test_a_pose_is_chosen_of_several(page: Page) -> None:
    page.fill("#answers input[type=number]", "3")
    page.locator("#answers input[type=number]").press("Enter")
    before = page.evaluate("window.viewer.getPose(0)")
    assert "Choose one of 3" in say(page, "A person sits on the ground.")
    wait_other(page, before)
    first = page.evaluate("window.viewer.getPose(0)")
    offered = page.locator("#candidates .thumbnail-lg")
    expect(offered).to_have_count(3)
    offered.nth(2).click()
    wait_other(page, first)
    page.fill("#answers input[type=number]", "1")
    page.locator("#answers input[type=number]").press("Enter")


def test_examples_run_with_one_click(page: Page) -> None:
    for number, label in enumerate(("A person squats.", "Are the knees bent?", "Estimate an image")):
        page.locator("#examples").get_by_text(label, exact=True).click()
        assert "confidence" in wait_reply(page, number)


@pytest.mark.parametrize("ending", [".npz", ".npy", ".json", ".bvh"])
def test_pose_files_are_uploaded(page: Page, tmp_path: Path, ending: str) -> None:
    pose = archetype_poses(["crawl"])[0]
    path = save_pose(tmp_path / f"pose{ending}", pose)
    np.testing.assert_allclose(make(page, files=[str(path)]), pose.numpy(), atol=1e-4)


def test_downloads_are_read_again(page: Page, tmp_path: Path) -> None:
    pose = make(page, "A person kneels.")
    page.click("#files-part button")
    page.click("#write")
    links = page.locator("#files a[download]")
    expect(links).to_have_count(8)
    for number in range(8):
        with page.expect_download() as started:
            links.nth(number).click()
        started.value.save_as(tmp_path / started.value.suggested_filename)
    with zipfile.ZipFile(tmp_path / "pose.zip") as archive:
        assert sorted(archive.namelist()) == sorted(
            path.name for path in tmp_path.iterdir() if path.name != "pose.zip"
        )
    for name in ("pose.npz", "pose.bvh"):
        np.testing.assert_allclose(load_pose(tmp_path / name).numpy(), pose, atol=1e-4)
    assert (tmp_path / "pose.glb").read_bytes().startswith(b"glTF")
    assert json.loads((tmp_path / "pose.openpose.json").read_text())["people"]
    for name in ("pose.png", "pose.openpose.png"):
        assert Image.open(tmp_path / name).size == (512, 512)
    viewer = page.context.new_page()
    viewer.goto((tmp_path / "pose.html").as_uri())
    viewer.wait_for_function("window.viewer && window.viewer.getPose()")
    np.testing.assert_allclose(pose_of(viewer), pose, atol=1e-5)
    viewer.close()
    page.click("#files-part button")


def test_hostile_uploads_get_an_answer_for_people(page: Page, tmp_path: Path) -> None:
    bomb = io.BytesIO()
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("poses.npy", bytes(80 * 2**20))
    files = {
        "pickle.npy": pickle.dumps({"a": 1}),
        "bomb.npz": bomb.getvalue(),
        "svg.png": b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        "words.png": b"not an image",
    }
    for name, content in files.items():
        reply = say(page, files=[{"name": name, "mimeType": "application/octet-stream", "buffer": content}])
        assert name in reply
        assert "/tmp" not in reply
    # The page itself refuses it; that the server does so too is tested without a browser.
    huge = {"name": "huge.npz", "mimeType": "application/zip", "buffer": bytes(2 * UPLOAD_BYTES)}
    page.set_input_files("#message input[type=file]", [huge])
    expect(page.locator(".toast-body")).to_have_count(1)
    page.locator(".toast-close").click()


def test_paths_and_markup_are_words(page: Page, url: str) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    for text in ("http://127.0.0.1:9/a.png", "/etc/passwd", "<img src=http://127.0.0.1:9/b.png>"):
        say(page, text)
        assert text in page.locator("#chat [data-testid=user]").last.inner_text()
    assert all(address.startswith((url, "data:", "blob:")) for address in asked if "127.0.0.1:9/" in address)


# Ratio of the luminances of an element's text and of what lies behind it, by WCAG's formula.
CONTRAST = """element => {
    const brush = new OffscreenCanvas(1, 1).getContext("2d", {willReadFrequently: true});
    const read = (color) => {
        brush.clearRect(0, 0, 1, 1);
        brush.fillStyle = color;
        brush.fillRect(0, 0, 1, 1);
        const [red, green, blue, opacity] = brush.getImageData(0, 0, 1, 1).data;
        return {rgb: [red, green, blue], opacity: opacity / 255};
    };
    const over = (above, below) => below.map((each, at) => each + (above.rgb[at] - each) * above.opacity);
    const layers = [];
    for (let at = element; at; at = at.parentElement) layers.push(read(getComputedStyle(at).backgroundColor));
    const behind = layers.reverse().reduce((below, layer) => over(layer, below), [255, 255, 255]);
    const text = over(read(getComputedStyle(element).color), behind);
    const linear = (value) => (value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4);
    const light = (rgb) => rgb.reduce((sum, each, at) => sum + [0.2126, 0.7152, 0.0722][at] * linear(each / 255), 0);
    const [less, more] = [light(behind), light(text)].sort((one, other) => one - other);
    return (more + 0.05) / (less + 0.05);
}"""
TEXTS = (
    "#page-title h1",
    "#message textarea",
    "#mode input",
    "#undo",
    "#clear",
    "#both label span",
    "#chat [data-testid=user]",
    "#chat [data-testid=bot]",
    "#examples button",
    "#photos button",
    "#photos-note p",
    "#viewer .up-tools button",
    "#viewer .up-captions p",
)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_texts_stand_out_from_what_is_behind_them(browser: Any, url: str, scheme: str) -> None:
    """The color scheme of the system is the page's; contrast of at least 4.5, as WCAG's level AA asks for."""
    context = browser.new_context(viewport={"width": 1280, "height": 900}, color_scheme=scheme)
    page = context.new_page()
    page.set_default_timeout(PATIENCE)
    page.goto(url)
    page.wait_for_selector("#viewer [data-ready=true]")
    assert page.evaluate("document.body.classList.contains('dark')") == (scheme == "dark")
    make(page, "A person squats.")
    page.click("#photos button")
    page.wait_for_selector("#photos-note p")
    contrasts = {text: page.locator(text).first.evaluate(CONTRAST) for text in TEXTS}
    screenshot(page, f"space-{scheme}.jpg")
    context.close()
    assert not {text: contrast for text, contrast in contrasts.items() if contrast < 4.5}


def test_on_a_phone_nothing_scrolls_sideways(page: Page) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    try:
        make(page, "A person does a lunge.")
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        boxes = [page.locator(name).bounding_box() for name in ("#viewer", "#message", "#chat")]
        assert all(box["x"] >= 0 and box["x"] + box["width"] <= 390 for box in boxes)
        end = boxes[1]["x"] + boxes[1]["width"]
        steps = [page.locator(name).bounding_box() for name in ("#mode", "#undo", "#redo", "#clear")]
        assert all(box["x"] + box["width"] <= end + 1 for box in steps)
        tops = [box["y"] for box in boxes]
        assert tops == sorted(tops)
        assert boxes[1]["y"] + boxes[1]["height"] <= 844, "words are seen without scrolling"
        screenshot(page, "space-phone.jpg")
    finally:
        page.set_viewport_size({"width": 1280, "height": 900})

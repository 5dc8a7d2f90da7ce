"""The 3D viewer in a browser: poses go in and come out unchanged, hands and keys turn joints within their limits."""

import base64
import os
import subprocess
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import roma
import torch
from browser import launch, open_browser, open_page
from PIL import Image

from unipose.processing.joint_limits import RANGES, viewer_limits
from unipose.processing.pose_features import JOINT_NAMES, pose_to_rotmats
from unipose.processing.pose_frames import MIRRORED_JOINTS, to_y_up
from unipose.processing.pose_io import save_pose
from unipose.processing.pose_viewer import (
    PoseView,
    pose_to_quaternions,
    quaternions_to_pose,
    show,
    viewer_html,
    viewer_options,
    viewer_script,
)
from unipose.training.geometry import add_mirrored
from unipose.training.named_poses.archetypes import archetype_poses
from unipose.training.sampling.anatomy import limit_excess


VIEWER = Path(__file__).parents[1] / "viewer"
READY = "[data-ready=true]"
SIZE = {"width": 480, "height": 400}
ELBOW = JOINT_NAMES.index("left_elbow")
STAND, CRAWL, KNEEL, REACH = archetype_poses(["stand", "crawl", "kneel", "hands_up"])


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with open_browser() as found:
        yield found


@pytest.fixture(scope="module")
def write_page(tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp("pages")

    def write(name: str, *arguments: Any, **options: Any) -> str:
        path = folder / f"{name}.html"
        path.write_text(viewer_html(*arguments, **options), encoding="utf-8")
        return path.as_uri()

    return write


@pytest.fixture(scope="module")
def single(browser: Any, write_page) -> Iterator[Any]:
    """One page for tests that put in their own poses; `viewer.edits` keeps what was turned by hand."""
    address = write_page("single", [STAND], ["A person stands."])
    with open_page(browser, address, READY, viewport=SIZE, reduced_motion="reduce") as page:
        page.evaluate("viewer.onEdit((pose, index, joint) => viewer.edits.push([pose, index, joint]))")
        yield page


@pytest.fixture
def page(single: Any) -> Any:
    """The viewer with a standing body, in its first view."""
    single.evaluate("viewer.setMirror(false); viewer.select(null); viewer.edits = []")
    single.evaluate("pose => viewer.setPoses([pose], {captions: ['A person stands.']})", pose_to_quaternions(STAND))
    single.evaluate("viewer.resetView()")
    return single


def pose_of(page: Any, index: int = 0) -> torch.Tensor:
    return quaternions_to_pose(page.evaluate(f"viewer.getPose({index})"))


def degrees_between(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    return roma.rotmat_geodesic_distance(first.double(), second.double()).rad2deg()


def drag(page: Any, joint: str, right: float, down: float) -> None:
    start = page.evaluate(f"viewer.screen('{joint}')")
    page.mouse.move(start["x"], start["y"])
    page.mouse.down()
    page.mouse.move(start["x"] + right, start["y"] + down, steps=4)
    page.mouse.up()


# The bundle.


def test_the_bundle_is_built_from_its_source(tmp_path: Path) -> None:
    """`npm ci && npm run build` in `viewer/` gives the same bytes; CI must have npm."""
    if not (VIEWER / "node_modules").is_dir() and not os.environ.get("CI"):
        pytest.skip("needs Node.js and `npm ci --prefix viewer`")
    subprocess.run(["node", VIEWER / "build.js", tmp_path / "viewer.js"], check=True, timeout=300)
    assert (tmp_path / "viewer.js").read_text(encoding="utf-8") == viewer_script()


def test_the_bundle_names_its_license_and_may_stand_in_a_page() -> None:
    script = viewer_script()
    assert script.splitlines()[0].startswith("/*! Holds three.js")
    assert "</script" not in script
    assert script.isascii()


# Numbers.


def test_quaternions_are_poses_and_back() -> None:
    poses = [*archetype_poses(["kneel", "lie_back"]), pose_to_rotmats(np.eye(66)[0].reshape(22, 3))]
    for pose in poses:
        assert degrees_between(quaternions_to_pose(pose_to_quaternions(pose)), pose).max() < 1e-3
    np.testing.assert_allclose(
        roma.unitquat_to_rotmat(torch.tensor(pose_to_quaternions(CRAWL))), to_y_up(CRAWL), atol=1e-6
    )


@pytest.mark.parametrize(
    ("quaternions", "words"),
    [
        ([[0.0, 0.0, 0.0, 1.0]] * 21, r"\(21, 4\)"),
        ([[0.0, 0.0, 0.0, 1.0]] * 21 + [[0.0, 0.0, 0.0, 2.0]], "quaternion 21 has the norm 2"),
        ([[0.0, 0.0, 0.0, 1.0]] * 21 + [[0.0, float("nan"), 0.0, 1.0]], "quaternion 21 has the norm nan"),
        ([["a", "b", "c", "d"]] * 22, "quaternions"),
    ],
)
def test_what_is_no_pose_is_refused(quaternions: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        quaternions_to_pose(quaternions)


def test_texts_belong_to_poses() -> None:
    with pytest.raises(ValueError, match="poses is empty"):
        viewer_options([])
    with pytest.raises(ValueError, match=r"captions is \['a', 'b'\].+at most 1"):
        viewer_options([STAND], ["a", "b"])
    with pytest.raises(ValueError, match="labels is 'before'"):
        viewer_options([STAND], labels="before")


def test_limits_are_those_of_both_sides() -> None:
    rows = viewer_limits()
    assert sorted(row["chain"][0] for row in rows if len(row["chain"]) == 1) == list(range(1, 22))
    assert len(rows) == 21 + sum(len(limit.chain) > 1 for limit in RANGES.values())


# Poses in the browser.


def test_poses_come_out_as_they_went_in(page: Any) -> None:
    for pose in (KNEEL, CRAWL):
        page.evaluate("pose => viewer.setPoses([pose])", pose_to_quaternions(pose))
        np.testing.assert_allclose(pose_of(page), pose, atol=1e-5)


def test_the_skeleton_shown_is_the_posed_body(page: Any, body: Any) -> None:
    """Joints are where forward kinematics puts them, and the lowest vertex is on the floor."""
    page.evaluate("pose => viewer.setPoses([pose])", pose_to_quaternions(KNEEL))
    shown = page.evaluate("viewer.bodies[0].bones.map(bone => [...bone.matrixWorld.elements.slice(12, 15)])")
    posed = body(KNEEL[None])
    expected = posed.joints[0] - torch.tensor([0.0, 1.0, 0.0]) * posed.vertices[0, :, 1].min()
    assert np.abs(np.array(shown) - expected.numpy()).max() < 4e-3


def test_bad_poses_are_refused_and_nothing_changes(page: Any) -> None:
    for poses in ("[]", "[[[0, 0, 0, 1]]]", "[Array(22).fill([0, 0, 0, 2])]"):
        script = f"try {{ viewer.setPoses({poses}); '' }} catch (error) {{ error.message }}"
        assert "poses" in page.evaluate(script)
        np.testing.assert_allclose(pose_of(page), STAND, atol=1e-5)


def test_the_page_loads_nothing_else(browser: Any, write_page) -> None:
    address = write_page("alone", [STAND], ["</script><b>A person stands.</b>"])
    with open_page(browser, "about:blank", "body", viewport=SIZE) as page:
        requests: list[str] = []
        page.on("request", lambda request: requests.append(request.url))
        page.goto(address)
        page.wait_for_selector(READY, state="attached")
        assert [url for url in requests if not url.startswith(("data:", "blob:"))] == [address]
        assert page.text_content(".up-captions") == "</script><b>A person stands.</b>"


def test_poses_glide(browser: Any, write_page) -> None:
    """Halfway the elbow is between the poses; `getPose` is the target at once; without motion it is there at once."""
    bent = STAND.clone()
    bent[ELBOW] = roma.rotvec_to_rotmat(torch.tensor([0.0, -2.0, 0.0]))
    address = write_page("glide", [STAND])
    with open_page(browser, address, READY, viewport=SIZE) as page:
        first = page.evaluate("viewer.bodies[0].bones[18].quaternion.toArray()")
        # In one call, so that no frame is drawn in between.
        begun, middle = page.evaluate(
            """pose => {
                const shown = () => viewer.bodies[0].bones[18].quaternion.toArray();
                viewer.setPoses([pose], {seconds: 0.4});
                const begun = shown();
                viewer.bodies.forEach(body => body.glide(0.5));
                return [begun, shown()];
            }""",
            pose_to_quaternions(bent),
        )
        np.testing.assert_allclose(pose_of(page), bent, atol=1e-5)
        np.testing.assert_allclose(begun, first, atol=1e-6)
        page.wait_for_function("viewer.stage.motion === null")
        shown = page.evaluate("viewer.bodies[0].bones[18].quaternion.toArray()")
    start, halfway, end = (roma.unitquat_to_rotmat(torch.tensor(each)) for each in (first, middle, shown))
    assert degrees_between(end, bent[ELBOW]) < 0.01
    assert float(degrees_between(start, halfway)) == pytest.approx(float(degrees_between(halfway, end)), abs=0.01)


def test_a_followed_pose_is_shown_in_place_of_the_poses(page: Any) -> None:
    """The poses stay what they are, also those that are set and turned meanwhile, and come back."""
    shown = "viewer.bodies.map(body => body.bones.map(bone => bone.quaternion.toArray()))"
    page.evaluate("pose => viewer.follow(pose, 'Live.')", pose_to_quaternions(KNEEL))
    np.testing.assert_allclose(quaternions_to_pose(page.evaluate(shown)[0]), KNEEL, atol=1e-5)
    assert page.text_content(".up-captions") == "Live."
    np.testing.assert_allclose(pose_of(page), STAND, atol=1e-5)
    page.evaluate("viewer.rotate('left_elbow', [0, 0, 0, 1])")
    assert page.evaluate("viewer.edits") == []
    both = [pose_to_quaternions(CRAWL), pose_to_quaternions(REACH)]
    page.evaluate("poses => viewer.setPoses(poses, {captions: ['Crawls.', 'Reaches.']})", both)
    page.evaluate("pose => viewer.follow(pose, 'Live.')", pose_to_quaternions(STAND))
    np.testing.assert_allclose(quaternions_to_pose(page.evaluate(shown)[0]), STAND, atol=1e-5)
    assert page.evaluate(shown)[1:] == []
    page.evaluate("viewer.follow(null)")
    for pose, expected in zip(page.evaluate(shown), (CRAWL, REACH), strict=True):
        np.testing.assert_allclose(quaternions_to_pose(pose), expected, atol=1e-5)
    assert page.text_content(".up-captions") == "Crawls.Reaches."
    assert "poses" not in page.evaluate("try { viewer.follow([]) } catch (error) { error.message }")


def test_nothing_is_drawn_while_nothing_changes(page: Any) -> None:
    # A new caption can change the view's size after the first frame.
    page.wait_for_function(
        """async () => {
            const frames = viewer.stage.frames;
            for (let count = 0; count < 3; count++) await new Promise(requestAnimationFrame);
            return viewer.stage.pending === 0 && viewer.stage.frames === frames;
        }"""
    )
    frames = page.evaluate("viewer.stage.frames")
    page.wait_for_timeout(400)
    assert page.evaluate("viewer.stage.frames") == frames


# Editing.


def test_dragging_a_joint_rotates_it_alone(page: Any) -> None:
    drag(page, "left_elbow", 30, -25)
    changed = degrees_between(pose_of(page), STAND)
    assert changed[ELBOW] > 5
    assert changed[torch.arange(22) != ELBOW].max() < 1e-3
    (edit,) = page.evaluate("viewer.edits")
    assert edit[1:] == [0, "left_elbow"]
    np.testing.assert_allclose(quaternions_to_pose(edit[0]), pose_of(page))


def test_dragging_beside_the_joints_turns_the_view(page: Any) -> None:
    before = page.evaluate("viewer.stage.camera.position.toArray()")
    page.mouse.move(60, 60)
    page.mouse.down()
    page.mouse.move(120, 80, steps=3)
    page.mouse.up()
    assert np.abs(np.subtract(page.evaluate("viewer.stage.camera.position.toArray()"), before)).max() > 0.1
    np.testing.assert_allclose(pose_of(page), STAND, atol=1e-5)


def test_a_joint_goes_no_further_than_its_limits(page: Any) -> None:
    for right, down in ((150, -120), (-150, 120), (0, 160)):
        drag(page, "left_knee", right, down)
        assert limit_excess(pose_of(page)[None]).max() < 0.01


def test_limits_are_the_samplers(page: Any) -> None:
    """Random rotations of each joint end at a rotation within the limits, as near as the sampler's measure says."""
    generator = torch.Generator().manual_seed(0)
    quaternions = torch.nn.functional.normalize(torch.randn(8, 21, 4, generator=generator), dim=-1)
    script = """([pose, turns]) => turns.map(row => row.map((turn, number) => {
        viewer.setPoses([pose]);
        viewer.rotate(number + 1, turn);
        return viewer.getPose();
    }))"""
    rest = torch.eye(3).repeat(22, 1, 1)
    limited = page.evaluate(script, [pose_to_quaternions(pose_to_rotmats(rest, frame="y_up")), quaternions.tolist()])
    asked = rest.repeat(8, 21, 1, 1, 1)
    asked[:, torch.arange(21), torch.arange(1, 22)] = roma.unitquat_to_rotmat(quaternions)
    got = torch.stack([torch.stack([quaternions_to_pose(pose) for pose in row]) for row in limited])
    assert limit_excess(got.flatten(0, 1)).max() < 0.02
    # Joints that are in no chain end exactly as far away as they were outside.
    free = [joint for joint in range(1, 22) if joint not in {3, 6, 9, 12, 15}]
    moved = torch.stack(
        [degrees_between(got[:, joint - 1, joint], asked[:, joint - 1, joint]) for joint in free], dim=1
    )
    excess = limit_excess(asked.flatten(0, 1)).amax(dim=1).reshape(8, 21)[:, [joint - 1 for joint in free]]
    np.testing.assert_allclose(moved, excess, atol=0.05)
    assert (excess > 1).float().mean() > 0.5


def test_a_pose_outside_the_limits_does_not_jump(page: Any) -> None:
    odd = STAND.clone()
    odd[ELBOW] = roma.rotvec_to_rotmat(torch.tensor([0.0, 1.2, 0.0]))
    page.evaluate("pose => viewer.setPoses([pose])", pose_to_quaternions(odd))
    page.evaluate("viewer.rotate('left_elbow', viewer.getPose()[18])")
    assert degrees_between(pose_of(page), odd).max() < 0.01


def test_edits_can_be_mirrored(page: Any) -> None:
    page.evaluate("viewer.setMirror(true)")
    drag(page, "left_elbow", 30, -25)
    left, right = (JOINT_NAMES.index(name) for name in ("left_elbow", "right_elbow"))
    assert MIRRORED_JOINTS[left] == right
    pose = pose_of(page)
    assert degrees_between(pose, STAND)[left] > 5
    assert degrees_between(add_mirrored(pose[None])[1], pose)[[left, right]].max() < 1e-2
    page.keyboard.press("Escape")


def test_keys_turn_joints_and_the_view(page: Any) -> None:
    page.focus("canvas")
    camera = page.evaluate("viewer.stage.camera.position.toArray()")
    page.keyboard.press("ArrowLeft")
    assert page.evaluate("viewer.stage.camera.position.toArray()") != camera
    np.testing.assert_allclose(pose_of(page), STAND, atol=1e-5)
    page.select_option("select", label="left elbow")
    page.focus("canvas")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("Shift+ArrowLeft")
    changed = degrees_between(pose_of(page), STAND)
    assert changed[ELBOW] == pytest.approx(6, abs=0.01)
    assert changed[torch.arange(22) != ELBOW].max() < 1e-3
    assert "left elbow" in page.text_content("[aria-live]")
    page.keyboard.press("n")
    assert page.evaluate("viewer.editing.chosen.joint") == ELBOW + 1
    page.keyboard.press("Escape")
    assert page.evaluate("viewer.editing.chosen") is None


def test_touch_turns_a_joint(browser: Any, write_page) -> None:
    """A finger that is 20 pixels beside a joint still finds it."""
    with open_page(browser, write_page("touch", [STAND]), READY, viewport=SIZE, has_touch=True) as page:
        place = page.evaluate("viewer.screen('left_wrist')")
        page.touchscreen.tap(place["x"] + 20, place["y"])
        assert page.evaluate("viewer.editing.chosen") == {"joint": JOINT_NAMES.index("left_wrist"), "index": 0}


# The view.


def test_the_camera_stays_between_poses(page: Any) -> None:
    page.focus("canvas")
    page.keyboard.press("ArrowRight")
    place = "[viewer.stage.camera.position.toArray(), viewer.stage.camera.quaternion.toArray()]"
    camera = page.evaluate(place)
    page.evaluate("pose => viewer.setPoses([pose])", pose_to_quaternions(CRAWL))
    assert page.evaluate(place) == camera


def test_the_camera_moves_back_from_a_pose_that_leaves_the_view(page: Any) -> None:
    page.evaluate("viewer.stage.moved = false")
    kneel, reach = pose_to_quaternions(KNEEL), pose_to_quaternions(REACH)
    page.evaluate("pose => { viewer.setPoses([pose]); viewer.resetView(); viewer.setPoses([pose]) }", kneel)
    near = page.evaluate("viewer.stage.camera.position.length()")
    page.evaluate("pose => viewer.setPoses([pose], {seconds: 0})", reach)
    top = page.evaluate("document.querySelector('canvas').getBoundingClientRect().top")
    assert page.evaluate("viewer.screen('left_wrist').y - window.scrollY") > top
    assert page.evaluate("viewer.stage.camera.position.length()") > near


def test_a_snapshot_is_an_image_of_the_body_without_handles(page: Any) -> None:
    page.evaluate("viewer.select('left_elbow')")
    address = page.evaluate("viewer.snapshot()")
    kind, _, data = address.partition(",")
    assert kind == "data:image/png;base64"
    with Image.open(BytesIO(base64.b64decode(data))) as image:
        colors = {color for _, color in image.convert("RGB").getcolors(2**20)}
    assert len(colors) > 500
    # The chosen joint's dot is pure vermilion.
    assert not any(red > 200 and green < 110 and blue < 30 for red, green, blue in colors)


def test_bodies_stand_side_by_side(browser: Any, write_page) -> None:
    address = write_page("both", [STAND, CRAWL], ["A person stands.", "A person crawls."], ["before", "after"])
    with open_page(browser, address, READY, viewport=SIZE, reduced_motion="reduce") as page:
        page.wait_for_function("viewer.stage.frames > 0")
        boxes = page.evaluate(
            "viewer.bodies.map(({bounds, x}) => [bounds.min.x + x, bounds.max.x + x, bounds.min.y, bounds.max.y])"
        )
        np.testing.assert_allclose(pose_of(page, 0), STAND, atol=1e-5)
        np.testing.assert_allclose(pose_of(page, 1), CRAWL, atol=1e-5)
        assert boxes[0][1] < boxes[1][0]
        assert [box[2] for box in boxes] == pytest.approx([0, 0], abs=1e-6)
        assert page.locator(".up-label").all_text_contents() == ["before", "after"]
        colors = page.evaluate("viewer.bodies.map(body => body.mesh.material.color.getHexString())")
        assert colors == ["0072b2", "e69f00"]
        label = page.get_attribute("canvas", "aria-label")
        assert "before: A person stands." in label
        assert "after: A person crawls." in label
        page.evaluate("pose => viewer.setPoses([pose])", pose_to_quaternions(KNEEL))
        assert page.evaluate("viewer.bodies.length") == 1
        assert page.evaluate("viewer.bodies[0].mesh.material.vertexColors")


def test_a_browser_without_webgl_says_so(browser: Any, write_page) -> None:
    with (
        launch(browser.browser_type, "--disable-3d-apis") as flat,
        open_page(flat, write_page("flat", [STAND], ["A person stands."]), READY) as page,
    ):
        assert "WebGL 2 is missing" in page.text_content(".up-message")
        assert "A person stands." in page.text_content(".up-captions")
        np.testing.assert_allclose(pose_of(page), STAND, atol=1e-5)
        assert page.evaluate("viewer.snapshot()") is None


def test_a_viewer_goes_without_a_trace(browser: Any, write_page) -> None:
    with open_page(browser, write_page("gone", [STAND]), READY) as page:
        page.evaluate("viewer.dispose()")
        assert page.evaluate("document.getElementById('view').children.length") == 0
        assert page.evaluate("window.viewer") is None


SCREENSHOT = Path(__file__).parents[1] / "docs" / "viewer.jpg"


def test_the_image_of_the_docs_is_what_the_viewer_shows(browser: Any, write_page, tmp_path: Path) -> None:
    """Without the image, this test makes it."""
    captions = ["A person kneels.", "Raise the right arm."]
    raised = KNEEL.clone()
    raised[JOINT_NAMES.index("right_shoulder")] = roma.rotvec_to_rotmat(torch.tensor([0.0, 0.0, -1.2]))
    address = write_page("docs", [KNEEL, raised], captions, ["before", "after"])
    size = {"width": 800, "height": 520}
    with open_page(browser, address, READY, viewport=size, reduced_motion="reduce") as page:
        page.evaluate("viewer.select('right_shoulder', 1)")
        page.wait_for_function("viewer.stage.frames > 0 && viewer.stage.pending === 0")
        page.screenshot(path=tmp_path / "shot.png")
    with Image.open(tmp_path / "shot.png") as shot:
        if not SCREENSHOT.exists():
            shot.convert("RGB").save(SCREENSHOT, quality=85)
        with Image.open(SCREENSHOT) as stored:
            assert np.abs(np.asarray(shot.convert("RGB"), float) - np.asarray(stored, float)).mean() < 6


# Files and notebooks.


def test_a_file_is_a_page(browser: Any, tmp_path: Path) -> None:
    path = save_pose(tmp_path / "kneel.html", KNEEL)
    with open_page(browser, path.as_uri(), READY) as page:
        np.testing.assert_allclose(pose_of(page), KNEEL, atol=1e-5)


def test_a_notebook_cell_shows_poses(browser: Any, tmp_path: Path) -> None:
    view = show([STAND.numpy(), CRAWL.numpy()], ["A person stands.", 'A person "crawls".'], ["before", "after"])
    assert type(view) is PoseView
    (tmp_path / "cell.html").write_text(f"<body>{view._repr_html_()}</body>", encoding="utf-8")
    with open_page(browser, (tmp_path / "cell.html").as_uri(), "iframe") as page:
        frame = page.frame_locator("iframe")
        frame.locator(READY).wait_for(state="attached")
        assert frame.locator(".up-captions p").all_text_contents()[1] == 'after: A person "crawls".'
    assert show(KNEEL, "A person kneels.").page == viewer_html([KNEEL], ["A person kneels."])

"""Poses in any form and file: the pose that a plain conversion gives, or an error that names the input."""

import io
import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fuzzing import attempt, fuzzed, refused
from hypothesis import assume, given
from hypothesis import strategies as st
from pose_oracle import plain_pose, reference, rodrigues

from unipose.processing.body_model import BodyModel
from unipose.processing.pose_features import FRAMES, pose_to_rotmats
from unipose.processing.pose_io import load_pose, save_pose


seeds = st.integers(0, 2**32 - 1)


@st.composite
def vectors(draw: st.DrawFn, joints: int = 55) -> np.ndarray:
    """Rotation vectors of up to pi, of many sizes; some are zero."""
    rng = np.random.default_rng(draw(seeds))
    directions = rng.normal(size=(joints, 3))
    angles = rng.uniform(0, draw(st.sampled_from([1e-9, 1e-3, 0.5, np.pi])), joints)
    angles[rng.random(joints) < draw(st.sampled_from([0.0, 0.3]))] = 0.0
    return directions / np.linalg.norm(directions, axis=1, keepdims=True) * angles[:, None]


def forms_of(vectors: np.ndarray) -> dict[str, Any]:
    """The same pose in every form."""
    rotmats, flat = rodrigues(vectors), vectors.flatten()
    forms: dict[str, Any] = {f"rotmats of {count}": rotmats[:count] for count in (22, 24, 52, 55)}
    forms |= {f"vectors of {count}": vectors[:count] for count in (22, 24, 52, 55)}
    forms |= {f"flat {count}": flat[: 3 * count] for count in (22, 24, 52, 55)}
    for count in (22, 24):
        rows = rotmats[:count, :2].reshape(count, 6)
        forms |= {
            f"6D of {count}": rows,
            f"flat 6D of {count}": rows.flatten(),
            f"6D key of {count}": {"rotation_6d": rows},
        }
        columns = rotmats[:count, :, :2]
        forms[f"columns of {count}"] = {"rotation_6d_columns": np.swapaxes(columns, 1, 2).reshape(count, 6)}
        forms[f"interleaved of {count}"] = {"rotation_6d_interleaved": columns.flatten()}
        forms[f"smplx of {count}"] = {"global_orient": flat[:3], "body_pose": flat[3 : 3 * count]}
        forms[f"HMR2 of {count}"] = {"global_orient": rotmats[:1], "body_pose": rotmats[1:count]}
    forms |= {key: {key: flat[:156], "trans": np.zeros(3)} for key in ("poses", "full_pose", "pose")}
    forms |= {"AMASS SMPL-X": {"root_orient": flat[:3], "pose_body": flat[3:66]}, "rotmats": {"rotmats": rotmats[:22]}}
    return forms


FORMS = list(forms_of(np.zeros((55, 3))))
CONTAINERS = {
    "float64": np.asarray,
    "float32": lambda array: np.asarray(array, dtype=np.float32),
    "torch": lambda array: torch.tensor(np.asarray(array)),
    "list": lambda array: np.asarray(array).tolist(),
    "batch of one": lambda array: np.asarray(array)[None],
}


def contained(form: Any, container: str) -> Any:
    convert = CONTAINERS[container]
    return {key: convert(value) for key, value in form.items()} if isinstance(form, dict) else convert(form)


def is_pose(rotmats: torch.Tensor) -> bool:
    gram = (rotmats.double() @ rotmats.double().mT - torch.eye(3)).abs().max()
    return rotmats.shape == (22, 3, 3) and bool(gram < 1e-5) and bool((torch.linalg.det(rotmats.double()) > 0).all())


def check(given: Any, expected: np.ndarray | None = None, name: str = "pose 7", **options: Any) -> None:
    """Reads a pose: the expected one where there is one, otherwise what a plain reading gives or an error.

    Args:
        given: The pose.
        expected: (22, 3, 3) that it must give.
        name: What errors must begin with.
        **options: Of `pose_to_rotmats`.
    """
    rotmats, error = attempt(lambda: pose_to_rotmats(given, "pose 7", **options))
    if error is not None:
        assert error.startswith(name), error
        assert expected is None, error
        return
    assert is_pose(rotmats)
    expected = plain_pose(given, **options) if expected is None else expected
    assert expected is not None, "accepted, but in no accepted form"
    np.testing.assert_allclose(rotmats.numpy(), expected, atol=2e-5)


@fuzzed(150, 12000)
@given(vectors(), st.sampled_from(FORMS), st.sampled_from(list(CONTAINERS)), st.sampled_from([None, *FRAMES]))
def test_every_form_is_the_reference(drawn: np.ndarray, form: str, container: str, frame: str | None) -> None:
    check(contained(forms_of(drawn)[form], container), reference(drawn, frame), frame=frame)


def spoil(array: np.ndarray, how: str, rng: np.random.Generator) -> np.ndarray:
    """The numbers of a pose, made wrong in one way."""
    array = np.array(array, dtype=np.float64)
    place = tuple(rng.integers(size) for size in array.shape)
    if how == "NaN":
        array[place] = np.nan
    elif how == "infinite":
        array[place] = -np.inf
    elif how == "huge":
        array[place] = 10.0 ** rng.integers(100, 308)
    elif how == "scaled":
        array *= rng.uniform(1.1, 100)
    elif how == "negated":
        array *= -1
    elif how == "noisy":
        array += rng.normal(0, 0.2, array.shape)
    return array


@fuzzed(150, 10000)
@given(
    vectors(22),
    st.sampled_from(["rotmats of 22", "6D of 22"]),
    seeds,
    st.sampled_from(["NaN", "infinite", "huge", "scaled", "noisy"]),
)
def test_what_is_no_rotation_is_refused(drawn: np.ndarray, form: str, seed: int, how: str) -> None:
    wrong = spoil(forms_of(np.pad(drawn, ((0, 33), (0, 0))))[form], how, np.random.default_rng(seed))
    refused(
        lambda: pose_to_rotmats(wrong),
        "NaN or infinite values|is not a rotation|a reflection|not the first two rows",
    )


@fuzzed(100, 3000)
@given(vectors(22), st.sampled_from(["flat 22", "vectors of 22", "smplx of 22"]))
def test_degrees_are_refused(drawn: np.ndarray, form: str) -> None:
    assume(np.linalg.norm(np.degrees(drawn), axis=1).max() > 6.6)
    degrees = forms_of(np.pad(np.degrees(drawn), ((0, 33), (0, 0))))[form]
    refused(lambda: pose_to_rotmats(degrees), "^pose 1", "Is it in degrees")


@fuzzed(60, 2500)
@given(vectors(22), st.sampled_from([1.0, 100.0, 1000.0]), seeds)
def test_positions_are_refused(drawn: np.ndarray, unit: float, seed: int) -> None:
    positions = BodyModel.builtin().forward_joints(torch.tensor(rodrigues(drawn)[None]).float())[0].double().numpy()
    place = np.random.default_rng(seed).normal(size=3)
    refused(lambda: pose_to_rotmats((positions + place) * unit), "^pose 1", "expected rotations, not positions")


numbers = st.one_of(st.floats(), st.integers(), st.integers(-3, 3), st.floats(-4, 4))
shapes = st.sampled_from(
    [(22, 3), (22, 6), (24, 6), (66,), (72,), (132,), (22, 3, 3), (3, 3), (0,), (), (1, 66), (5, 66)]
)


@st.composite
def arrays(draw: st.DrawFn) -> Any:
    shape = draw(st.one_of(shapes, st.tuples(st.integers(0, 25), st.integers(0, 7))))
    dtype = draw(
        st.sampled_from(["float64", "float16", "int64", "uint8", "bool", "complex64", "object", "U3", "M8[s]"])
    )
    values = draw(st.lists(numbers, min_size=1, max_size=6))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return np.resize(np.array(values, dtype=object), shape).astype(dtype)
        except (ValueError, OverflowError, TypeError):
            return np.resize(np.array([0.5, -1.0]), shape)


scalars = st.one_of(numbers, st.none(), st.booleans(), st.text(max_size=5), st.binary(max_size=5))
trees = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)
keys = st.sampled_from(
    [
        "rotmats",
        "poses",
        "pose",
        "global_orient",
        "body_pose",
        "pose_world",
        "frame",
        "rotation_6d",
        "smpl_params_global",
    ]
)


@fuzzed(200, 12000)
@given(
    st.one_of(arrays(), trees, st.dictionaries(keys, st.one_of(arrays(), trees), max_size=4)),
    st.sampled_from([None, *FRAMES]),
)
def test_anything_is_a_pose_or_an_error(value: Any, frame: str | None) -> None:
    check(value, frame=frame)


@fuzzed(60, 2500)
@given(st.one_of(trees, arrays(), st.sampled_from(FRAMES)))
def test_frames_are_known_or_refused(frame: Any) -> None:
    if frame is None or (isinstance(frame, str) and frame in FRAMES):
        check(np.zeros(66), reference(np.zeros((22, 3)), frame), frame=frame)
    else:
        refused(lambda: pose_to_rotmats(np.zeros(66), frame=frame), "frame", "accepted: 'z_up', 'y_up', 'camera'")


def file_of(form: Any, ending: str, number: int | None) -> bytes:
    """The bytes of a pose file; with a number, of a motion whose frame with this number is the pose."""

    def numbers(array: Any) -> np.ndarray:
        array = np.asarray(array)
        return array if number is None else np.stack([np.full_like(array, 0.01)] * number + [array])

    content = (
        {key: numbers(value) for key, value in form.items()} if isinstance(form, dict) else {"poses": numbers(form)}
    )
    buffer = io.BytesIO()
    if ending == ".npz":
        np.savez_compressed(buffer, **content, gender=np.array({"a": 1}, dtype=object), frame_ids=np.arange(3))
    elif ending == ".npy":
        np.save(buffer, next(iter(content.values())))
    elif ending == ".json":
        buffer.write(json.dumps({key: value.tolist() for key, value in content.items()}).encode())
    else:
        torch.save({key: torch.tensor(value) for key, value in content.items()}, buffer)
    return buffer.getvalue()


def plain_content(path: Path) -> Any:
    """The content of a file without checksums, as another reader gives it."""
    return json.loads(path.read_text()) if path.suffix.lower() == ".json" else np.load(path)


ARRAY_FORMS = [form for form in FORMS if not isinstance(forms_of(np.zeros((55, 3)))[form], dict)]
endings = st.sampled_from([".npz", ".npy", ".json", ".pt", ".pth", ".NPZ", ".Json", ".PT"])


@fuzzed(120, 5000)
@given(vectors(), st.sampled_from(FORMS), endings, st.one_of(st.none(), st.integers(0, 4)))
def test_every_file_is_the_reference(
    tmp_path_factory: pytest.TempPathFactory, drawn: np.ndarray, form: str, ending: str, number: int | None
) -> None:
    assume(ending != ".npy" or form in ARRAY_FORMS)
    path = tmp_path_factory.getbasetemp() / f"pose{ending}"
    path.write_bytes(file_of(forms_of(drawn)[form], ending.lower(), number))
    rotmats, error = attempt(lambda: load_pose(path if number is None else f"{path}:{number}"))
    assert error is None, error
    np.testing.assert_allclose(rotmats.numpy(), reference(drawn), atol=2e-5)


@fuzzed(150, 9000)
@given(vectors(), st.sampled_from(FORMS), endings, seeds)
def test_damaged_files_are_errors_or_poses(
    tmp_path_factory: pytest.TempPathFactory, drawn: np.ndarray, form: str, ending: str, seed: int
) -> None:
    """Numbers without a checksum may change unnoticed, to a pose still; those of an archive come back as they were."""
    assume(ending != ".npy" or form in ARRAY_FORMS)
    content = bytearray(file_of(forms_of(drawn)[form], ending.lower(), None))
    rng = np.random.default_rng(seed)
    if rng.random() < 0.3:
        content = content[: rng.integers(len(content))]
    for place in rng.integers(len(content), size=rng.integers(1, 4)) if content else []:
        content[place] = rng.integers(256)
    path = tmp_path_factory.getbasetemp() / f"damaged{ending}"
    path.write_bytes(bytes(content))
    rotmats, error = attempt(lambda: load_pose(path))
    if error is not None:
        assert error.startswith(f"pose ('{path}')") or error.startswith("pose: the file"), error
        assert str(path) in error
        return
    has_checksums = ending.lower() in (".npz", ".pt", ".pth")
    expected = reference(drawn) if has_checksums else plain_pose(plain_content(path))
    assert expected is not None, "accepted, but in no accepted form"
    np.testing.assert_allclose(rotmats.numpy(), expected, atol=2e-5)


@fuzzed(60, 3000)
@given(st.text(max_size=400))
def test_paths_are_errors(text: str) -> None:
    check(text)
    check(f"{text}.npz:3")


@fuzzed(80, 300)
@given(
    st.recursive(scalars, st.lists, max_leaves=4),
    vectors(22),
    st.sampled_from([".npz", ".json", ".npy"]),
    st.sampled_from(FRAMES),
    seeds,
)
def test_only_poses_are_saved_and_come_back(
    tmp_path_factory: pytest.TempPathFactory, junk: Any, drawn: np.ndarray, ending: str, frame: Any, seed: int
) -> None:
    path = tmp_path_factory.getbasetemp() / f"saved{ending}"
    expected = reference(drawn)
    save_pose(path, expected, frame=frame)
    np.testing.assert_allclose(load_pose(path, frame=frame).numpy(), expected, atol=2e-5)
    before = path.read_bytes()
    for wrong in (
        junk,
        spoil(expected, "noisy", np.random.default_rng(seed)),
        spoil(expected, "negated", np.random.default_rng(0)),
    ):
        refused(lambda wrong=wrong: save_pose(path, wrong), "^rotmats(:| has| is no)")
    assert path.read_bytes() == before

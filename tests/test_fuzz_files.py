"""Damaged files of every format that a loader of data or bodies reads: what it still says, or an error that names it.

A format with checksums (npz, records) gives the same as before or an error. In others a changed digit is another file:
what is read must be what plain code reads from the damaged bytes.
"""

import io
import json
import pickle
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dataset_files import (
    encode_image,
    gradient,
    hmr_person,
    random_poses,
    threedpw_sequence,
    write_3dpw,
    write_hmr_npz,
    write_posefix,
    write_posescript,
    write_smplh,
    write_smplx,
    write_tar,
)
from fuzzing import attempt, fuzzed
from hypothesis import given
from hypothesis import strategies as st
from motion_files import bvh_text, joint_names, save
from pose_oracle import rodrigues
from skeleton_files import asf_folder, deepmimic_text, noisy_poses, play
from smpl_files import model_arrays, write_model

from unipose.processing import body_files
from unipose.processing.body_files import check_model_arrays, read_model_arrays
from unipose.training.datasets.import_data import SavedRecords, save_records
from unipose.training.datasets.importers import (
    AmassPoses,
    AmcPoses,
    BvhPoses,
    DeepMimicPoses,
    HmrImages,
    HmrTarImages,
    MotionArchives,
    PoseFixPairs,
    PoseScriptPoses,
    ThreeDPWImages,
    files,
)
from unipose.training.datasets.records import PoseRecord


Found = dict[str, Any]
POSES = random_poses(4, 3)
CLIPS = {"CMU/01/walk.npz": random_poses(6, 1), "CMU/02/kick.npz": random_poses(4, 2)}
FRAMES = [(name, frame) for name in CLIPS for frame in (0, 3, 1)]


@dataclass(frozen=True, repr=False)
class Format:
    """A file of a format, whole, and how it is read.

    Args:
        file: The file that is damaged.
        whole: Its bytes.
        read: What the loader gives, by name.
        says: What plain code reads from damaged bytes, of the same form: every name of `read` that it holds must be
            equal. An error of it says nothing. None: as from the whole file.
    """

    file: Path
    whole: bytes
    read: Callable[[], Found]
    says: Callable[[bytes], Found] | None = None


def by_name(records: Any) -> Found:
    """Poses, as rotation matrices, and texts of records."""
    found = {}
    for record in records:
        poses = [getattr(record, name) for name in ("rotvecs", "first", "second") if hasattr(record, name)]
        texts = getattr(record, "captions", getattr(record, "texts", ()))
        found[record.name] = [rodrigues(np.concatenate(poses).astype(np.float64)), np.array(texts)]
    return found


def write_formats(root: Path) -> Iterator[tuple[str, Format]]:
    """Every format, in folders of its own."""

    def form(name: str, file: Path, read: Callable[[], Found], says: Any = None) -> tuple[str, Format]:
        return name, Format(file, file.read_bytes(), read, says)

    path = write_smplh(root / "smplh" / "CMU" / "01" / "walk_poses.npz", CLIPS["CMU/01/walk.npz"])
    yield form("amass_smplh.npz", path, lambda: by_name(AmassPoses(root / "smplh")))
    path = write_smplx(root / "smplx" / "CMU" / "01" / "walk_stageii.npz", CLIPS["CMU/01/walk.npz"])
    yield form("amass_smplx.npz", path, lambda: by_name(AmassPoses(root / "smplx")))
    (root / "motion").mkdir()
    arrays = {"poses": POSES.astype(np.float16), "clip": np.zeros(4, dtype=np.int32)}
    np.savez_compressed(root / "motion" / "a.npz", **arrays, clip_names=["1_1"], clip_labels=["walk"])
    yield form("motion.npz", root / "motion" / "a.npz", lambda: by_name(MotionArchives(root / "motion")))
    (root / "hmr").mkdir()
    (root / "hmr" / "a.jpg").write_bytes(encode_image(gradient(100, 80), "JPEG"))
    path = write_hmr_npz(root / "hmr" / "train.npz", ["a.jpg", "a.jpg"], POSES[:2])
    yield form("hmr.npz", path, lambda: by_name(HmrImages(root / "hmr" / "train.npz", root / "hmr")))
    yield from (form(*each) for each in text_formats(root))
    yield from (form(*each) for each in skeleton_formats(root))
    yield from (form(*each) for each in pickle_formats(root))
    records = [PoseRecord(f"a:{i}", pose.astype(np.float32), ("It is one.",)) for i, pose in enumerate(POSES)]
    save_records(records, root / "records", {})
    (path,) = (root / "records").rglob("*.arrow")
    yield form("records.arrow", path, lambda: by_name(SavedRecords(root / "records")))
    yield form("import.json", root / "records" / "import.json", lambda: by_name(SavedRecords(root / "records")))
    for ending in ("npz", "pkl"):
        path = write_model(root / f"SMPL_NEUTRAL.{ending}", model_arrays(24))
        says = plain_body if ending == "pkl" else None
        yield form(f"body.{ending}", path, lambda path=path: read_body(path), says)


def text_formats(root: Path) -> Iterator[tuple[Any, ...]]:
    """PoseScript's and PoseFix's JSON."""
    for name, poses in CLIPS.items():
        write_smplh(root / "AMASS" / name, poses)
    folder = write_posescript(root / "posescript", FRAMES, {"train": [4, 0, 1]})
    table = json.loads((folder / "ids_2_dataset_sequence_and_frame_index_100k.json").read_text())

    def posescript() -> Found:
        return {name: texts for name, (_, texts) in by_name(PoseScriptPoses(folder, root / "AMASS")).items()}

    def captions(content: bytes) -> Found:
        return {key: np.array(texts) for key, texts in json.loads(content).items() if isinstance(texts, list)}

    yield "posescript captions.json", folder / "posescript_auto_100k.json", posescript, captions
    whole = by_name(PoseScriptPoses(folder, root / "AMASS"))

    def frames(content: bytes) -> Found:
        """Those whose entry of the table is as before."""
        changed = json.loads(content)
        return {key: whole[key] for key in whole if changed.get(key) == table[key]}

    path = folder / "ids_2_dataset_sequence_and_frame_index_100k.json"
    yield "posescript table.json", path, lambda: by_name(PoseScriptPoses(folder, root / "AMASS")), frames

    def ids(content: bytes) -> Found:
        """A changed id is another pose of the table."""
        return {str(key): whole[str(key)] for key in json.loads(content) if str(key) in whole}

    yield (
        "posescript ids.json",
        folder / "train_ids_100k.json",
        lambda: by_name(PoseScriptPoses(folder, root / "AMASS")),
        ids,
    )
    fix = write_posefix(root / "posefix", FRAMES, [(0, 2), (1, 4)], {"train_in": [0], "train_out": [1]})
    pairs = by_name(PoseFixPairs(fix, root / "AMASS"))

    def same_pairs(content: bytes) -> Found:
        changed = json.loads(content)
        return pairs if changed == [[0, 2], [1, 4]] else {}

    yield (
        "posefix pairs.json",
        fix / "pair_id_2_pose_ids.json",
        lambda: by_name(PoseFixPairs(fix, root / "AMASS")),
        same_pairs,
    )


def skeleton_formats(root: Path) -> Iterator[tuple[Any, ...]]:
    """Motion capture as text: a frame whose numbers are as before has its pose."""
    for name in ("bvh", "amc", "deepmimic"):
        (root / name).mkdir()
    poses = noisy_poses()
    file = save(root / "bvh" / "clip.bvh", bvh_text(play(poses), joint_names("mixamo")))
    yield (
        "clip.bvh",
        file,
        lambda: by_name(BvhPoses(root / "bvh")),
        same_frames(file, "clip", by_name(BvhPoses(root / "bvh")), bvh_frames),
    )
    asf_folder(root / "amc", poses)
    file = root / "amc" / "49_02.amc"
    whole = by_name(AmcPoses(root / "amc"))
    yield "clip.amc", file, lambda: by_name(AmcPoses(root / "amc")), same_frames(file, "49_02", whole, amc_frames)
    file = root / "amc" / "49.asf"
    yield "skeleton.asf", file, lambda: by_name(AmcPoses(root / "amc")), same_frames(file, "49_02", whole, asf_frames)
    file = root / "deepmimic" / "clip.txt"
    file.write_text(deepmimic_text())
    whole = by_name(DeepMimicPoses(root / "deepmimic"))
    yield (
        "deepmimic.txt",
        file,
        lambda: by_name(DeepMimicPoses(root / "deepmimic")),
        same_frames(file, "clip", whole, deepmimic_frames),
    )


Parsed = tuple[Any, list[Any]]


def same_frames(file: Path, clip: str, whole: Found, parse: Callable[[str], Parsed]) -> Callable[[bytes], Found]:
    """What the frames say that are as in the whole file, if the rest is so too.

    Args:
        file: The whole file.
        clip: Its name in records.
        whole: Its poses.
        parse: The rest of a text, and its frames.
    """
    rest, frames = parse(file.read_text())

    def says(content: bytes) -> Found:
        got, rows = parse(content.decode())
        names = [f"{clip}:{i}" for i, (one, two) in enumerate(zip(frames, rows)) if one == two]
        return {name: whole[name] for name in names} if got == rest else {}

    return says


def bvh_frames(text: str) -> Parsed:
    head, _, motion = text.partition("MOTION")
    _, count, _, *lines = motion.split("\n")
    return (head.split(), count), [[float(word) for word in line.split()] for line in lines if line.strip()]


def amc_frames(text: str) -> Parsed:
    frames: list[dict[str, list[float]]] = []
    head = []
    for words in map(str.split, text.split("\n")):
        if len(words) == 1 and words[0].isdigit():
            frames.append({})
        elif frames and words:
            frames[-1][words[0]] = [float(word) for word in words[1:]]
        else:
            head.append(words)
    return head, frames


def asf_frames(text: str) -> Parsed:
    """Numbers of a skeleton act on all frames: they say something only if nothing else than spaces changed."""
    return text.split(), [0] * len(noisy_poses())


def deepmimic_frames(text: str) -> Parsed:
    content = json.loads(text)
    return None, [row[4:] for row in content["Frames"]]


def pickle_formats(root: Path) -> Iterator[tuple[Any, ...]]:
    """3DPW's and HMR2's, whose numbers have no checksums."""
    poses = random_poses(2, 6)[None]
    joints = np.random.default_rng(0).normal(scale=0.3, size=(1, 2, 24, 3)) + [0.0, 0.0, 4.0]
    camera = np.tile(np.eye(4), (2, 1, 1))
    intrinsics = np.array([[100.0, 0, 160], [0, 100, 120], [0, 0, 1]])
    images = [gradient(255, 240)] * 2
    path = write_3dpw(root / "3dpw", "s", "train", threedpw_sequence(poses, joints, camera, intrinsics), images)

    def bodies() -> Found:
        records = ThreeDPWImages(root / "3dpw", pickles_may_run_code=True)
        return {record.name: record.rotvecs[1:] for record in records}

    def says(content: bytes) -> Found:
        persons = pickle.loads(content, encoding="latin1")["poses"]
        rows = [np.asarray(person, dtype=np.float64) for person in persons]
        return {f"s/image_{i:05d}.jpg#{p}": row[i, 3:66].reshape(21, 3) for p, row in enumerate(rows) for i in (0, 1)}

    yield "3dpw.pkl", path, bodies, says
    image, pyd = encode_image(gradient(100, 80), "JPEG"), pickle.dumps([hmr_person(POSES[0]), hmr_person(POSES[1])])
    path = write_tar(root / "tars" / "0.tar", {"1.jpg": image, "1.data.pyd": pyd, "2.data.pyd": pyd, "2.jpg": image})
    with tarfile.open(path) as archive:
        places = {member.name: (member.offset_data, member.size) for member in archive}

    def persons() -> Found:
        records = HmrTarImages(root / "tars", pickles_may_run_code=True)
        return {record.name: record.rotvecs[1:] for record in records}

    def members(content: bytes) -> Found:
        found = {}
        for key in "12":
            start, size = places[f"{key}.data.pyd"]
            for i, person in enumerate(pickle.loads(content[start : start + size], encoding="latin1")):
                found[f"{key}#{i}"] = np.asarray(person["body_pose"], dtype=np.float64)[3:66].reshape(21, 3)
        return found

    yield "persons.tar", path, persons, members


def read_body(path: Path) -> Found:
    arrays = read_model_arrays(path)
    check_model_arrays(path, arrays)
    return {key: np.asarray(value, dtype=np.float64) for key, value in arrays.items()}


def plain_body(content: bytes) -> Found:
    return {key: np.asarray(value, dtype=np.float64) for key, value in pickle.loads(content).items()}


NAMES = (
    "amass_smplh.npz", "amass_smplx.npz", "motion.npz", "hmr.npz", "posescript captions.json", "posescript table.json",
    "posescript ids.json", "posefix pairs.json", "clip.bvh", "clip.amc", "skeleton.asf", "deepmimic.txt", "3dpw.pkl",
    "persons.tar", "records.arrow", "import.json", "body.npz", "body.pkl",
)  # fmt: skip


class Formats:
    """Every format with what its whole file gives; hypothesis prints it short."""

    def __init__(self, root: Path):
        found = dict(write_formats(root))
        assert tuple(found) == NAMES
        self.content = {name: (form, form.read()) for name, form in found.items()}

    def __getitem__(self, name: str) -> tuple[Format, Found]:
        return self.content[name]


@pytest.fixture(scope="module")
def formats(tmp_path_factory: pytest.TempPathFactory) -> Formats:
    return Formats(tmp_path_factory.mktemp("formats"))


def agree(got: Any, expected: Any) -> bool:
    if isinstance(expected, list):
        return all(agree(one, two) for one, two in zip(got, expected, strict=True))
    if expected.dtype.kind in "fiu":
        return got.shape == expected.shape and np.allclose(got, expected, atol=1e-4, equal_nan=True)
    return got.tolist() == expected.tolist()


def is_finite(value: Any) -> bool:
    if isinstance(value, list):
        return all(map(is_finite, value))
    return value.dtype.kind not in "fc" or bool(np.isfinite(value).all())


def replace_file(path: Path, content: bytes) -> None:
    """Puts a new file in place of one that may still be mapped into memory."""
    path.unlink()
    path.write_bytes(content)


def check(form: Format, whole: Found, content: bytes) -> None:
    """Reads a file with other bytes: an error that names it, or what the bytes say."""
    try:
        replace_file(form.file, content)
        got, error = attempt(form.read)
    finally:
        replace_file(form.file, form.whole)
    if error is not None:
        names = (form.file.name, form.file.parent.name, form.file.stem)
        assert any(name in error for name in names), error
        return
    assert all(map(is_finite, got.values())), "a NaN or an infinity"
    if form.says is None:
        assert got.keys() == whole.keys()
        says = whole
    else:
        try:
            says = form.says(content)
        except Exception:  # plain code reads less than a loader, which skips what it does not need
            says = {}
    for name in got.keys() & says.keys():
        assert agree(got[name], says[name]), name


cuts = st.one_of(st.just(1.0), st.just(1.0), st.floats(0, 0.999))
places = st.lists(st.tuples(st.floats(0, 0.9999), st.integers(0, 255)), max_size=4)


@fuzzed(200, 5000)
@given(name=st.sampled_from(NAMES), cut=cuts, places=places)
def test_damaged_bytes(formats: Formats, name: str, cut: float, places: list[tuple[float, int]]) -> None:
    form, whole = formats[name]
    content = bytearray(form.whole)
    for place, value in places:
        content[int(place * len(content))] = value
    check(form, whole, bytes(content[: int(len(content) * cut)]))


OTHERS = [b"", b"\0" * 600, b"<!DOCTYPE html><html></html>", b"version https://git-lfs.github.com/spec/v1\n", b"[]"]
OTHERS += [b"{}", b"null", b"1", b"[" * 100_000, b"PK\x03\x04", b"\x80\x04N.", b"HIERARCHY\n", b"\xff\xfe"]


@fuzzed(60, 500)
@given(name=st.sampled_from(NAMES), other=st.sampled_from(OTHERS) | st.binary(max_size=40), share=st.floats(0, 1))
def test_other_files(formats: Formats, name: str, other: bytes, share: float) -> None:
    """In place of the file, or in the middle of it."""
    form, whole = formats[name]
    middle = int(share * len(form.whole))
    check(form, whole, other if share < 0.5 else form.whole[:middle] + other + form.whole[middle:])


WORDS = (
    "nan",
    "inf",
    "-inf",
    "1e400",
    "-1e308",
    "1e155",
    "",
    "x",
    "²",
    "0x10",
    "1_000",
    "9" * 40,
    '"1"',
    "null",
    "{",
    "}",
)
TEXTS = tuple(name for name in NAMES if name.endswith((".json", ".bvh", ".amc", ".asf", ".txt")))


@fuzzed(120, 2000)
@given(name=st.sampled_from(TEXTS), word=st.sampled_from(WORDS) | st.floats().map(repr), place=st.floats(0, 0.9999))
def test_words_of_text_files(formats: Formats, name: str, word: str, place: float) -> None:
    """Another word in place of one."""
    form, whole = formats[name]
    words = form.whole.decode().split(" ")
    words[int(place * len(words))] = word
    check(form, whole, " ".join(words).encode())


KINDS: dict[str, Callable[[np.ndarray], Any]] = {
    "nan": lambda array: np.full(array.shape, np.nan),
    "inf": lambda array: np.full(array.shape, -np.inf),
    "degrees": lambda array: np.full(array.shape, 90.0),
    "strings": lambda array: np.full(array.shape, "a"),
    "objects": lambda array: np.array([None, {}], dtype=object),
    "complex": lambda array: np.zeros(array.shape, dtype=complex),
    "empty": lambda array: array[:0] if array.ndim else np.zeros(0),
    "flat": lambda array: array.reshape(-1),
    "more": lambda array: array[None],
    "less": lambda array: array[..., :-1] if array.ndim else np.zeros(()),
    "scalar": lambda array: np.zeros(()),
    "times": lambda array: np.zeros(array.shape, dtype="M8[s]"),
}
ARCHIVES = tuple(name for name in NAMES if name.endswith(".npz"))


@fuzzed(80, 500)
@given(name=st.sampled_from(ARCHIVES), kind=st.sampled_from(["absent", *KINDS]), which=st.integers(0, 20))
def test_arrays_of_archives(formats: Formats, name: str, kind: str, which: int) -> None:
    """Another array in place of one: what is read is as before, or an error."""
    form, whole = formats[name]
    with np.load(io.BytesIO(form.whole)) as stored:
        arrays = dict(stored)
    key = sorted(arrays)[which % len(arrays)]
    if kind == "absent":
        del arrays[key]
    else:
        arrays[key] = KINDS[kind](arrays[key])
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    changed = Format(form.file, form.whole, form.read, lambda content: says_of_arrays(form, key, arrays, whole))
    check(changed, whole, buffer.getvalue())


def says_of_arrays(form: Format, key: str, arrays: dict[str, np.ndarray], whole: Found) -> Found:
    """As before, except for a body's own arrays and the texts of clips."""
    if form.file.stem.startswith("SMPL"):
        return {name: arrays[name] for name in arrays.keys() & whole.keys() - {key}}
    return whole if key not in ("clip", "clip_names", "clip_labels") else {}


@pytest.mark.parametrize("name", [name for name in NAMES if name.endswith(".npz")])
def test_archives_are_refused_by_their_headers(formats: Formats, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An array that unpacks to more than the limit is not unpacked."""
    form, _ = formats[name]
    with np.load(io.BytesIO(form.whole)) as stored:
        key = next(iter(stored))
        arrays = dict(stored) | {key: np.zeros((300, 156))}
    monkeypatch.setattr(files, "MAX_NPZ_BYTES", 300 * 156 * 8 - 1)
    monkeypatch.setattr(body_files, "MAX_MODEL_BYTES", 300 * 156 * 8 - 1)
    monkeypatch.setattr(np, "load", lambda *args, **kwargs: pytest.fail("unpacked"))
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    replace_file(form.file, buffer.getvalue())
    with pytest.raises(ValueError, match=rf"{form.file.name} .*it takes \d+ bytes, at most \d+ are read"):
        form.read()
    replace_file(form.file, form.whole)

"""Writes small files in the exact formats of the datasets that users bring; all numbers are made up."""

import io
import json
import pickle
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import roma
import torch
from PIL import Image


def random_poses(count: int, seed: int) -> np.ndarray:
    """(count, 22, 3) rotation vectors, float64, the pelvis anywhere."""
    rng = np.random.default_rng(seed)
    poses = rng.normal(scale=0.3, size=(count, 22, 3))
    poses[:, 0] = rng.uniform(-1.7, 1.7, size=(count, 3))
    return poses


# Upright and facing the camera: the body's left is the image's right, its up is -y.
FACING = np.diag([1.0, -1.0, -1.0])


def to_rotmats(rotvecs: Any) -> torch.Tensor:
    """(..., 3) rotation vectors -> (..., 3, 3), float64."""
    return roma.rotvec_to_rotmat(torch.as_tensor(np.asarray(rotvecs), dtype=torch.float64))


def decode(image: bytes) -> np.ndarray:
    """(height, width, 3) integers of an encoded image."""
    return np.asarray(Image.open(io.BytesIO(image))).astype(int)


def write_smplh(path: Path, poses: np.ndarray, /, rate: float = 120.0, **changes: Any) -> Path:
    """AMASS, SMPL-H layout, for (T, 22, 3) poses; `changes` replace arrays, None leaves one out."""
    count = len(poses)
    rng = np.random.default_rng(1)
    arrays = {
        "trans": rng.normal(size=(count, 3)),
        "gender": np.array("female"),
        "mocap_framerate": np.array(rate),
        "betas": rng.normal(size=16),
        "dmpls": rng.normal(size=(count, 8)),
        "poses": np.concatenate([poses.reshape(count, 66), rng.normal(size=(count, 90))], axis=1),
    }
    return _write_npz(path, arrays | changes)


def write_smplx(path: Path, poses: np.ndarray, /, rate: float = 60.0, **changes: Any) -> Path:
    """AMASS, SMPL-X layout, for (T, 22, 3) poses; with `poses=None` only the parts are there."""
    count = len(poses)
    flat = poses.reshape(count, 66)
    rng = np.random.default_rng(2)
    parts = {"pose_jaw": 3, "pose_eye": 6, "pose_hand": 90}
    rest = {name: rng.normal(size=(count, width)) for name, width in parts.items()}
    arrays = {
        "gender": np.array("neutral"),
        "surface_model_type": np.array("smplx"),
        "mocap_frame_rate": np.array(rate),
        "trans": rng.normal(size=(count, 3)),
        "poses": np.concatenate([flat, *rest.values()], axis=1),
        "betas": rng.normal(size=16),
        "root_orient": flat[:, :3],
        "pose_body": flat[:, 3:],
        **rest,
    }
    return _write_npz(path, arrays | changes)


def _write_npz(path: Path, arrays: Mapping[str, Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, **{name: array for name, array in arrays.items() if array is not None})
    return path


def write_json(path: Path, content: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


POSE_TABLE = "ids_2_dataset_sequence_and_frame_index_100k.json"


def write_posescript(root: Path, frames: Sequence[tuple[str, int]], splits: Mapping[str, list[int]]) -> Path:
    """PoseScript's folder for poses (file below AMASS, frame); people wrote of every second id, and twice of 0."""
    write_json(root / POSE_TABLE, {str(key): ["AMASS", *frame] for key, frame in enumerate(frames)})
    for split in ("train", "val", "test"):
        write_json(root / f"{split}_ids_100k.json", splits.get(split, []))
    auto = {str(key): [f"auto {key} a.", f"auto {key} b."] for key in range(len(frames))}
    human = {str(key): f"human {key}." for key in range(0, len(frames), 2)}
    write_json(root / "posescript_auto_100k.json", auto)
    write_json(root / "posescript_human_6293.json", human | {"0": ["human 0.", "again 0."]})
    return root


def write_posefix(
    root: Path, frames: Sequence[tuple[str, int]], pairs: Sequence[tuple[int, int]], splits: Mapping[str, list[int]]
) -> Path:
    """PoseFix's folder; `splits` by "train_in", "train_out", ...; people wrote of pair 0, with a paraphrase."""
    write_json(root / POSE_TABLE, {str(key): ["AMASS", *frame] for key, frame in enumerate(frames)})
    write_json(root / "pair_id_2_pose_ids.json", pairs)
    for split in ("train", "val", "test"):
        for kind in ("in", "out"):
            write_json(root / f"{split}_{kind}_sequence_pair_ids.json", splits.get(f"{split}_{kind}", []))
    write_json(root / "posefix_auto_135305.json", {str(key): [f"auto {key}."] for key in range(len(pairs))})
    write_json(root / "posefix_human_6157.json", {"0": ["human 0."]})
    write_json(root / "posefix_paraphrases_4284.json", {"0": "said again 0."})
    return root


def gradient(width: int, height: int) -> Image.Image:
    """A image whose red is the column and whose green is the row; blue is 255 everywhere."""
    columns, rows = np.meshgrid(np.arange(width), np.arange(height))
    return Image.fromarray(np.stack([columns, rows, np.full_like(rows, 255)], axis=-1).astype(np.uint8))


def encode_image(image: Image.Image, kind: str = "PNG") -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **({"quality": 95} if kind == "JPEG" else {}))
    return stream.getvalue()


def write_hmr_npz(path: Path, names: Sequence[str], poses: np.ndarray, **changes: Any) -> Path:
    """HMR2's npz for (N, 22, 3) camera-frame poses: boxes of 40 pixels around (50, 40)."""
    count = len(names)
    arrays = {
        "imgname": np.array(names),
        "center": np.tile([50.0, 40.0], (count, 1)),
        "scale": np.full(count, 40.0),
        "body_pose": np.concatenate([poses.reshape(count, 66), np.zeros((count, 6))], axis=1).astype(np.float32),
        "has_body_pose": np.ones(count),
        "betas": np.zeros((count, 10)),
        "has_betas": np.ones(count),
        "body_keypoints_2d": np.zeros((count, 25, 3)),
        "extra_keypoints_2d": np.zeros((count, 19, 3)),
        "body_keypoints_3d": np.zeros((count, 25, 4)),
        "extra_keypoints_3d": np.zeros((count, 19, 4)),
        "gender": np.array(["n"] * count),
    }
    return _write_npz(path, arrays | changes)


def hmr_person(pose: np.ndarray, **changes: Any) -> dict[str, Any]:
    """A person of `<key>.data.pyd` for a (22, 3) camera-frame pose: a box of 40 pixels around (50, 40)."""
    person = {
        "center": np.array([50.0, 40.0]),
        "scale": np.array([0.1, 0.2]),
        "body_pose": np.concatenate([pose.reshape(66), np.zeros(6)]).astype(np.float32),
        "has_body_pose": np.array(1.0),
        "betas": np.zeros(10, dtype=np.float32),
        "has_betas": np.array(1.0),
        "keypoints_2d": np.zeros((44, 3), dtype=np.float32),
        "keypoints_3d": np.zeros((44, 4), dtype=np.float32),
        "extra_info": {"detection_npz_idx": 0},
    }
    return person | changes


def write_tar(path: Path, members: Mapping[str, bytes]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


def write_3dpw(root: Path, name: str, split: str, content: Mapping[str, Any], images: Sequence[Image.Image]) -> Path:
    """A sequence of 3DPW; `content` as `threedpw_sequence` gives it."""
    path = root / "sequenceFiles" / split / f"{name}.pkl"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pickle.dumps({"sequence": name, **content}, protocol=2))
    for row, image in enumerate(images):
        place = root / "imageFiles" / name / f"image_{row:05d}.jpg"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(encode_image(image, "JPEG"))
    return path


def threedpw_sequence(
    poses: np.ndarray, joints: np.ndarray, cameras: np.ndarray, intrinsics: np.ndarray, **changes: Any
) -> dict[str, Any]:
    """What a .pkl holds for (persons, T, 22, 3) world poses, (persons, T, 24, 3) joints and (T, 4, 4) cameras."""
    persons, count = poses.shape[:2]
    flat = np.concatenate([poses.reshape(persons, count, 66), np.zeros((persons, count, 6))], axis=2)
    content = {
        "poses": list(flat),
        "trans": [np.zeros((count, 3))] * persons,
        "betas": [np.zeros(300)] * persons,
        "genders": ["m"] * persons,
        "poses2d": [np.zeros((count, 3, 18))] * persons,
        "jointPositions": list(joints.reshape(persons, count, 72)),
        "img_frame_ids": np.arange(count) * 2,
        "cam_poses": cameras,
        "campose_valid": [np.ones(count, dtype=bool)] * persons,
        "cam_intrinsics": intrinsics,
        "poses_60Hz": [np.zeros((2 * count, 72))] * persons,
        "trans_60Hz": [np.zeros((2 * count, 3))] * persons,
    }
    return content | changes


class RunsCode:
    """A pickle of this makes the folder `place` when it is read."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        import os

        return os.mkdir, (str(self.place),)

"""Rows as users have them, for tests of `read_rows` and of the stage finetune."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import roma
import torch
from PIL import Image


UPRIGHT = np.array([np.pi / 2, 0, 0])


def upright_rotvecs(count: int, seed: int = 0) -> np.ndarray:
    """(count, 22, 3) poses that stand upright and face the front, with random joints."""
    rotvecs = np.random.default_rng(seed).uniform(-0.6, 0.6, (count, 22, 3))
    rotvecs[:, 0] = UPRIGHT
    return rotvecs.astype(np.float32)


def turned(rotvecs: np.ndarray, yaw: float) -> np.ndarray:
    """A pose rotated about the vertical."""
    spin = roma.rotvec_to_rotmat(torch.tensor([0.0, 0.0, yaw], dtype=torch.float64))
    root = roma.rotmat_to_rotvec(spin @ roma.rotvec_to_rotmat(torch.from_numpy(rotvecs[0].astype(np.float64))))
    return np.concatenate([root.numpy()[None], rotvecs[1:]]).astype(np.float32)


def save_image(path: Path, color: str = "red") -> Path:
    Image.new("RGB", (48, 40), color).save(path)
    return path


def write_jsonl(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def write_csv(path: Path, rows: list[dict[str, Any]]) -> Path:
    columns = list(dict.fromkeys(column for row in rows for column in row))
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(rows)
    return path

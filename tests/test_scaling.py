"""The sample of docs/scaling.md: two Ray workers write the captions of one process."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from datasets import load_dataset

from unipose.processing.body_model import BodyModel
from unipose.processing.pose_features import load_poses
from unipose.training.captions import describe_poses
from unipose.training.sampling.poses import sample_training_poses


PAGE = Path(__file__).parents[1] / "docs/scaling.md"


@pytest.fixture
def poses() -> torch.Tensor:
    return sample_training_poses(12, 0, BodyModel.builtin())[0].float()


@pytest.mark.slow
def test_two_ray_workers_write_the_captions_of_one(
    poses: torch.Tensor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ray = pytest.importorskip("ray")
    pytest.importorskip("ray.data")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "poses").mkdir()
    for number, part in enumerate(poses.split(3)):
        np.save(tmp_path / f"poses/{number}.npy", part.numpy())
    (sample,) = re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    try:
        exec(compile(sample, PAGE.name, "exec"), {"__name__": "__main__"})
    finally:
        ray.shutdown()
    rows = load_dataset("parquet", data_files="captions/*", split="train", cache_dir=str(tmp_path / "cache"))
    files = sorted((tmp_path / "poses").iterdir())
    expected = {f"poses/{file.name}": describe_poses(load_poses(file), seed=seed) for seed, file in enumerate(files)}
    assert {row["file"]: row["captions"] for row in rows} == expected
    assert {len(captions) for captions in expected.values()} == {3}

"""Recorded poses of imported datasets reach the sampler, the corpus and the pose tokenizer, by clip and by variety."""

import pickle
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import roma
import torch
from dataset_files import random_poses
from pyarrow.parquet import read_table

from unipose.processing.body_model import BodyModel
from unipose.processing.pose_features import JOINT_NAMES, to_z_up
from unipose.training.datasets import build_corpus
from unipose.training.datasets.build_corpus import Recipe
from unipose.training.datasets.import_data import SavedRecords, save_records
from unipose.training.datasets.motion_records import load_motion, recorded_clips
from unipose.training.datasets.records import PosePairRecord, PoseRecord
from unipose.training.sampling.poses import training_clips
from unipose.training.trainer.pose_tokenizer import PoseTokenizerArguments, training_poses


RECIPE = Recipe(0, 0, 0, 0, 2, 0, 2, shard_size=2, seed=3)


@pytest.fixture
def folder(tmp_path: Path) -> str:
    """Two clips of plausible poses: an arm that is raised, and a back that bends."""
    records = []
    for clip, joint, axis in (("arm", "left_shoulder", 2), ("back", "spine1", 0)):
        rotvecs = torch.zeros(6, 22, 3)
        rotvecs[:, JOINT_NAMES.index(joint), axis] = torch.linspace(-0.4, 0.9, 6)
        poses = roma.rotmat_to_rotvec(to_z_up(roma.rotvec_to_rotmat(rotvecs))).numpy()
        records += [PoseRecord(f"file/{clip}:{frame}", pose, (clip,)) for frame, pose in enumerate(poses)]
    save_records(records, tmp_path / "records", {})
    return str(tmp_path / "records")


def test_clips_are_runs_of_one_name(folder: str, tmp_path: Path) -> None:
    clips = recorded_clips(SavedRecords(folder))
    assert [(clip.name, len(clip)) for clip in clips] == [("file/arm", 6), ("file/back", 6)]
    np.testing.assert_allclose(clips[1].seconds.numpy(), np.arange(6) * 0.1, atol=1e-6)
    np.testing.assert_array_equal(torch.cat([clip.rotvecs for clip in clips]).numpy(), SavedRecords(folder).poses())
    poses = random_poses(4, 0).astype(np.float32)
    save_records([PosePairRecord("a:1", *poses[:2]), PosePairRecord("a:2", *poses[2:])], tmp_path / "pairs", {})
    assert [len(clip) for clip in recorded_clips(SavedRecords(tmp_path / "pairs"))] == [1, 1, 1, 1]


def test_recorded_poses_join_the_motion_clips(folder: str, body: BodyModel) -> None:
    assert load_motion([], body) is None
    motion = load_motion([folder], body)
    number = len(training_clips())
    assert np.bincount(motion.clips)[number:].tolist() == [6, 6]
    assert len(np.unique(motion.clips)) == number + 2


def test_columns_of_another_version_are_named(folder: str) -> None:
    rows = SavedRecords(folder).rows.remove_columns("prompt")
    rows.save_to_disk(Path(folder) / "older")
    shutil.rmtree(Path(folder) / "part-00000")
    (Path(folder) / "older").rename(Path(folder) / "part-00000")
    with pytest.raises(ValueError, match=r"have the columns captions, name, rotvecs; expected captions, name, prompt"):
        SavedRecords(folder)


def test_a_corpus_of_records_is_reproducible(folder: str, tmp_path: Path, body: BodyModel) -> None:
    """A shard is the same in another process, whose poses were sent to it, and another than without records."""
    recipe = replace(RECIPE, records=[folder])
    build_corpus.build_corpus(recipe, tmp_path / "one")
    sent = pickle.loads(pickle.dumps(load_motion([folder], body)))
    for name, motion in (("sent", sent), ("without", None)):
        for shard in recipe.shards():
            build_corpus.build_shard(tmp_path / name, recipe, shard, motion)
    files = {name: sorted((tmp_path / name).rglob("*.parquet")) for name in ("one", "sent", "without")}
    rows = {name: [read_table(path).to_pylist() for path in paths] for name, paths in files.items()}
    assert rows["one"] == rows["sent"]
    assert rows["one"] != rows["without"]


def test_the_pose_tokenizer_samples_from_records(folder: str, body: BodyModel) -> None:
    """With sampled poses, those of the records come by variety, each as it was recorded."""
    poses = training_poses(PoseTokenizerArguments(num_poses=4, records=[folder]), 0, body)
    assert poses.shape == (16, 22, 3, 3)
    recorded = roma.rotvec_to_rotmat(torch.from_numpy(SavedRecords(folder).poses()))
    distances = torch.cdist(poses.flatten(1), recorded.flatten(1)).amin(dim=1)
    assert distances[4:].max() < 1e-5
    assert distances[:4].min() > 1e-2
    assert torch.equal(training_poses(PoseTokenizerArguments(num_poses=4, records=[folder]), 0, body), poses)

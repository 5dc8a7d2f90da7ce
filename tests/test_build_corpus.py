"""A corpus on disk: the same files however it is built, resumed or read; splits; statistics, card, upload."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import psutil
import pytest
import roma
import torch
from datasets import Dataset, IterableDataset
from huggingface_hub import DatasetCard
from machines import run_on_two_machines

from unipose.processing.body_model import BodyModel
from unipose.tasks_unipose import TASKS
from unipose.training.datasets import build_corpus as building
from unipose.training.datasets import generation as generate
from unipose.training.datasets.build_corpus import Recipe, build_corpus
from unipose.training.datasets.corpus_card import push_corpus
from unipose.training.datasets.corpus_statistics import (
    corpus_statistics,
    prompt_of,
    text_statistics,
    to_markdown,
    words_of,
)
from unipose.training.datasets.generation import RecordGenerator
from unipose.training.datasets.record_writer import write_records
from unipose.training.datasets.records import PoseRecord
from unipose.training.datasets.rows import FEATURES
from unipose.training.datasets.shards import CORPUS_FILE, Shard, load_corpus, plan_shards, read_summary
from unipose.training.sampling.poses import SPLIT_CLIPS, load_motion_clips
from unipose.training.tools.show_corpus import CELL, PAIR_CELL, draw_page


RECIPE = Recipe(4, 4, 3, 2, 5, 3, 4, validation=2, test=2, image_size=24, shard_size=2, seed=3)
# Eight shards of one row: poses, pairs and images in two splits. For tests that build again.
SMALL = Recipe(2, 0, 0, 0, 0, 2, 1, validation=1, image_size=24, shard_size=1, seed=3)
ROWS = {
    "train": {
        "pose-to-text": 4,
        "pose-diff": 4,
        "image-to-text": 3,
        "image-diff": 2,
        "text-to-pose": 5,
        "image-to-pose": 3,
        "pose-edit": 4,
    },
    "validation": dict.fromkeys(TASKS, 2),
    "test": dict.fromkeys(TASKS, 2),
}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("corpus")
    assert build_corpus(RECIPE, folder)["rows"] == ROWS
    return folder


@pytest.fixture(scope="module")
def small_corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("small_corpus")
    build_corpus(SMALL, folder)
    return folder


@pytest.fixture(scope="module")
def rows(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return load_corpus(corpus, cache_dir=tmp_path_factory.mktemp("cache"))


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.glob("*/*.parquet")}


def test_rows_of_every_task(rows: Dataset) -> None:
    assert rows.features == FEATURES
    assert {task: rows["task"][:].count(task) for task in TASKS} == ROWS["train"]
    assert len(set(rows["source"])) == len(rows)
    for row in rows:
        assert all(image.size == (24, 24) for image in row["images"])
        assert bool(row["text"]) == (row["task"] != "image-to-pose")


def test_streaming_equals_loaded(corpus: Path, rows: Dataset) -> None:
    streamed = load_corpus(corpus, streaming=True)
    assert isinstance(streamed, IterableDataset)
    assert streamed.num_shards == 14
    for one, other in zip(streamed, rows, strict=True):
        assert {name: one[name] for name in one if name != "images"} == {
            name: other[name] for name in other if name != "images"
        }
        for first, second in zip(one["images"], other["images"], strict=True):
            np.testing.assert_array_equal(np.asarray(first), np.asarray(second))


def test_load_some_tasks_of_a_split(corpus: Path, tmp_path: Path) -> None:
    some = load_corpus(corpus, "test", tasks=["pose-edit", "image-diff"], cache_dir=tmp_path)
    assert sorted(some["task"]) == ["image-diff"] * 2 + ["pose-edit"] * 2


@pytest.mark.slow
def test_workers_do_not_change_a_corpus(small_corpus: Path, tmp_path: Path) -> None:
    build_corpus(SMALL, tmp_path, workers=2)
    assert files_of(tmp_path) == files_of(small_corpus)


@pytest.mark.slow
def test_two_machines_build_the_corpus_of_one(small_corpus: Path, tmp_path: Path) -> None:
    options = [
        word for name, value in asdict(SMALL).items() if isinstance(value, int) for word in (f"--{name}", value)
    ]
    printed = run_on_two_machines(
        "-m", "unipose.training.datasets.build_corpus", *options, "--workers", 1, "--output", tmp_path
    )
    assert files_of(tmp_path) == files_of(small_corpus)
    assert read_summary(tmp_path) == read_summary(small_corpus)
    assert [bool(text) for text in printed] == [True, False]


def test_processes_build_a_share_of_every_task(small_corpus: Path, tmp_path: Path) -> None:
    """One after another, as if the machines did not share the folder: the first one notices, the last one finishes."""

    def process(index: int) -> Any:
        return SimpleNamespace(
            process_index=index, num_processes=2, is_main_process=index == 0, wait_for_everyone=lambda: None
        )

    with pytest.raises(RuntimeError, match=r"lacks 4 shards .* expected a folder that all machines share"):
        building.build_shared_corpus(SMALL, tmp_path, 1, process(0))
    own = {Path(name).name.split("-0")[0] for name in files_of(tmp_path)}
    assert own == {"pose-to-text", "image-to-pose", "pose-edit"}
    with pytest.raises(FileNotFoundError, match="not complete"):
        building.build_shared_corpus(SMALL, tmp_path, 1, process(1))
    assert building.build_shared_corpus(SMALL, tmp_path, 1, process(0)) == read_summary(small_corpus)
    assert files_of(tmp_path) == files_of(small_corpus)


def test_threads_do_not_change_a_shard(corpus: Path, tmp_path: Path) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(before + 1)
    building.build_shard(tmp_path, RECIPE, RECIPE.shards()[0])
    assert torch.get_num_threads() == before + 1
    torch.set_num_threads(before)
    (name,) = files_of(tmp_path)
    assert files_of(tmp_path)[name] == files_of(corpus)[name]


def test_an_interrupted_build_resumes(small_corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Finished shards are kept, unfinished ones are built again."""
    built: list[str] = []
    whole = building.build_shard

    def stop_after_three(folder: Path, recipe: Recipe, shard: Shard, motion: None) -> Shard:
        if len(built) == 3:
            (folder / f"{shard.name}.partial").write_bytes(b"half a shard")
            raise KeyboardInterrupt
        built.append(shard.name)
        return whole(folder, recipe, shard, motion)

    monkeypatch.setattr(building, "build_shard", stop_after_three)
    with pytest.raises(KeyboardInterrupt):
        build_corpus(SMALL, tmp_path)
    with pytest.raises(FileNotFoundError, match="not complete"):
        load_corpus(tmp_path)
    kept = {name: (tmp_path / name).stat().st_mtime_ns for name in built}
    monkeypatch.setattr(building, "build_shard", whole)
    build_corpus(SMALL, tmp_path)
    assert {name: (tmp_path / name).stat().st_mtime_ns for name in built} == kept
    assert files_of(tmp_path) == files_of(small_corpus)
    assert not list(tmp_path.rglob("*.partial"))


COMMAND = f"""
import sys, time
from unipose.training.datasets import build_corpus as building
from unipose.training.datasets.build_corpus import Recipe

whole = building.build_shard

def slow_shard(folder, recipe, shard, motion):
    time.sleep(0.2)
    return whole(folder, recipe, shard, motion)

building.build_shard = slow_shard
if __name__ == "__main__":
    building.build_corpus({SMALL}, sys.argv[1], 2)
"""


@pytest.mark.slow
@pytest.mark.parametrize("victim", ["worker", "parent"])
def test_a_killed_build_resumes(victim: str, small_corpus: Path, tmp_path: Path) -> None:
    """SIGKILL to one of two workers, or to the process that gives them work, in the middle of a build."""
    script, folder = tmp_path / "slow.py", tmp_path / "corpus"
    script.write_text(COMMAND)
    process = subprocess.Popen([sys.executable, str(script), str(folder)], stderr=subprocess.PIPE, text=True)
    wait_until(lambda: files_of(folder))
    workers = [child for child in psutil.Process(process.pid).children() if "spawn_main" in " ".join(child.cmdline())]
    assert len(workers) == 2
    os.kill(workers[0].pid if victim == "worker" else process.pid, signal.SIGKILL)
    _, errors = process.communicate(timeout=300)
    assert process.returncode != 0
    if victim == "worker":
        assert "a worker process was killed" in errors
    wait_until(lambda: not any(worker.is_running() for worker in workers))
    kept = files_of(folder)
    assert 0 < len(kept) < len(files_of(small_corpus))
    assert not (folder / CORPUS_FILE).exists()
    build_corpus(SMALL, folder)
    assert files_of(folder) == files_of(small_corpus)


def wait_until(happened: Any) -> None:
    for _ in range(6000):
        if happened():
            return
        time.sleep(0.05)
    raise AssertionError("it did not happen within five minutes")


def test_another_recipe_in_the_same_folder_is_refused(corpus: Path) -> None:
    before = files_of(corpus)
    with pytest.raises(ValueError, match=r"another recipe.*image_size was 24 and is 32; seed was 3 and is 4"):
        build_corpus(replace(RECIPE, seed=4, image_size=32), corpus)
    assert files_of(corpus) == before


def test_seeds_differ_by_split_task_shard_and_corpus() -> None:
    shards = RECIPE.shards()
    seeds = {tuple(shard.seed(seed).generate_state(4)) for shard in shards for seed in (0, 1)}
    assert len(seeds) == 2 * len(shards)
    more = replace(RECIPE, pose_to_text=400).shards()
    entropies = [{shard.seed(3).entropy for shard in each} for each in (shards, more)]
    assert entropies[0] < entropies[1], "more rows leave the seeds of the others alone"


def test_shards_hold_all_rows_and_alternate() -> None:
    shards = plan_shards({"train": {"pose-to-text": 25, "pose-edit": 10}}, 5)
    assert [(shard.task, shard.index, shard.rows) for shard in shards] == [
        ("pose-to-text", 0, 5),
        ("pose-edit", 0, 5),
        ("pose-to-text", 1, 5),
        ("pose-to-text", 2, 5),
        ("pose-to-text", 3, 5),
        ("pose-edit", 1, 5),
        ("pose-to-text", 4, 5),
    ]
    assert [shard.rows for shard in plan_shards({"train": {"pose-diff": 7}}, 3)] == [3, 3, 1]


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        (Recipe(shard_size=0), "shard_size is 0"),
        (Recipe(pose_to_text=-5), "-5 rows of pose-to-text"),
        (Recipe(0, 0, 0, 0, 0, 0, 0, test=5), "corpus of no rows"),
    ],
)
def test_invalid_recipes_are_named(recipe: Recipe, message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        build_corpus(recipe, tmp_path / "corpus")
    assert not (tmp_path / "corpus").exists()


def body_rotations(poses: torch.Tensor) -> torch.Tensor:
    """(n, 21 * 9): poses without the pelvis, whose heading is removed or turned."""
    return roma.rotvec_to_rotmat(poses.double())[:, 1:].flatten(1)


@pytest.mark.parametrize("split", ["validation", "test"])
def test_held_out_rows_are_frames_of_their_own_clips(split: str, corpus: Path, tmp_path: Path) -> None:
    """Rows start at a frame of the split's clips or a mirrored one, which a pair may change; training has none."""
    clips = {clip.name: clip.rotvecs for clip in load_motion_clips()}
    own = torch.cat([clips[name] for name in SPLIT_CLIPS[split]])
    order = [0, 2, 1, 3, 5, 4, 6, 8, 7, 9, 11, 10, 12, 14, 13, 15, 17, 16, 19, 18, 21, 20]
    frames = body_rotations(torch.cat([own, own[:, order] * torch.tensor([1.0, -1.0, -1.0])]))

    def distance(name: str, poses: slice) -> torch.Tensor:
        loaded = load_corpus(corpus, name, cache_dir=tmp_path)
        chosen = torch.tensor([pose for row in loaded for pose in row["poses"][poses]])
        return torch.cdist(body_rotations(chosen), frames).amin(dim=1)

    assert distance(split, slice(1)).max() < 1e-4
    assert distance("train", slice(None)).min() > 1e-2


def test_missing_files_are_named(corpus: Path, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="holds no corpus"):
        load_corpus(tmp_path)
    with pytest.raises(ValueError, match="got split 'dev'; expected one of train, validation, test"):
        load_corpus(corpus, "dev")
    with pytest.raises(ValueError, match="pose-to-song"):
        load_corpus(corpus, tasks=["pose-to-song"])
    summary = read_summary(corpus)
    summary["shards"]["train"][0]["index"] = 9
    (tmp_path / CORPUS_FILE).write_text(json.dumps(summary))
    with pytest.raises(FileNotFoundError, match="shards are missing"):
        load_corpus(tmp_path)


# Records of other sources.


def some_records(number: int) -> Iterator[PoseRecord]:
    for index in range(number):
        yield PoseRecord(f"clip:{index}", np.full((22, 3), index / 100, np.float32), (f"Pose number {index}.",))


def test_records_become_a_corpus(tmp_path: Path) -> None:
    sources = {"train": some_records(5), "test": some_records(2)}
    tasks = ["text-to-pose", "pose-to-text", "image-to-pose"]
    summary = write_records(tmp_path / "corpus", sources, tasks, seed=0, shard_size=2)
    counts = {split: {"pose-to-text": count, "text-to-pose": count} for split, count in (("train", 5), ("test", 2))}
    assert summary["rows"] == counts
    rows = load_corpus(tmp_path / "corpus", tasks=["pose-to-text"], cache_dir=tmp_path / "cache")
    assert rows["text"][:] == [f"Pose number {index}." for index in range(5)]
    assert np.asarray(rows["poses"])[:, 0, 0, 0] == pytest.approx(np.arange(5) / 100)
    again = {"train": some_records(5), "test": some_records(2)}
    before = files_of(tmp_path / "corpus")
    write_records(tmp_path / "corpus", again, tasks, seed=0, shard_size=2)
    assert files_of(tmp_path / "corpus") == before


def test_records_without_rows_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="got no test record with rows of pose-edit"):
        write_records(tmp_path, {"test": some_records(3)}, ["pose-edit"], seed=0)
    with pytest.raises(FileNotFoundError, match="not complete"):
        load_corpus(tmp_path)


def test_card_is_refused_for_the_data_of_others(tmp_path: Path) -> None:
    write_records(tmp_path, {"train": some_records(3)}, ["pose-to-text"], seed=0)
    hub = FakeHub()
    with pytest.raises(ValueError, match="wrong source and license"):
        push_corpus(tmp_path, "somebody/poses", api=hub)
    assert hub.calls == []


# Statistics, card, upload.


def test_text_statistics_by_hand() -> None:
    got = text_statistics(["The left knee is bent.", "It's half-bent, at 90 degrees.", "The left knee is bent."])
    assert words_of("It's half-bent, at 90 degrees.") == ["it's", "half-bent", "at", "90", "degrees"]
    assert got["words"] == {"mean": 5.0, "p5": 5.0, "p50": 5.0, "p95": 5.0, "max": 5}
    assert got["vocabulary"] == 10
    assert got["distinct_texts"] == pytest.approx(2 / 3)
    assert got["most_frequent_words"][0] == ("the", 2)


def test_statistics_agree_with_the_rows(corpus: Path, rows: Dataset) -> None:
    got = corpus_statistics(corpus)
    assert {split: {task: each["rows"] for task, each in tasks.items()} for split, tasks in got.items()} == ROWS
    texts = [row["text"] for row in rows if row["task"] == "text-to-pose"]
    prompts = {prompt_of(row) for row in rows if row["task"] == "text-to-pose"}
    train = got["train"]["text-to-pose"]
    assert train["words"]["mean"] == pytest.approx(sum(len(words_of(text)) for text in texts) / len(texts))
    assert train["prompts"] == len(prompts)
    assert 0 < max(train["codes"].values()) <= 1
    assert train["codes_per_text"] == pytest.approx(sum(train["codes"].values()))
    assert train["unparsable_sentences"] == 0
    assert got["train"]["image-diff"]["images"]["pixels"] == {"24x24": 4}
    assert "words" not in got["train"]["image-to-pose"]
    table = to_markdown(got).splitlines()
    assert len({line.count("|") for line in table if line.startswith("|")}) == 1


def test_prompts_are_counted_without_their_text() -> None:
    content = [{"type": "pose"}, {"type": "text", "text": " Do this: Bend {it}."}]
    assert prompt_of({"text": "Bend {it}.", "messages": [{"content": content}]}) == "<pose> Do this: {text}"
    assert prompt_of({"text": "", "messages": [{"content": content[:1]}]}) == "<pose>"


class FakeHub:
    """Takes what `HfApi` takes, and remembers it."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, tuple, dict[str, Any]]] = []

    def create_repo(self, *args: Any, **kwargs: Any) -> None:
        self.calls.append(("create_repo", args, kwargs))

    def upload_folder(self, *args: Any, **kwargs: Any) -> Any:
        self.calls.append(("upload_folder", args, kwargs))
        return type("Commit", (), {"commit_url": "hub/commit/1"})


def test_push_uploads_the_corpus_with_its_card(corpus: Path) -> None:
    hub = FakeHub()
    assert push_corpus(corpus, "somebody/poses", private=True, api=hub) == "hub/commit/1"
    (_, args, repo), (_, _, upload) = hub.calls
    assert (args, repo) == (("somebody/poses",), {"repo_type": "dataset", "private": True, "exist_ok": True})
    assert (upload["repo_id"], upload["repo_type"], upload["folder_path"]) == (
        "somebody/poses",
        "dataset",
        str(corpus),
    )
    chosen = {str(path.relative_to(corpus)) for pattern in upload["allow_patterns"] for path in corpus.glob(pattern)}
    assert chosen == {str(path.relative_to(corpus)) for path in corpus.rglob("*") if path.is_file()}


def test_card_has_the_statistics_and_the_paths_of_the_files(corpus: Path) -> None:
    push_corpus(corpus, "somebody/poses", api=FakeHub())
    card = DatasetCard.load(corpus / "README.md")
    configs = {config["config_name"]: config["data_files"] for config in card.data.configs}
    assert set(configs) == {"default", *TASKS}
    for task in TASKS:
        for files in configs[task]:
            assert len(list(corpus.glob(files["path"]))) == -(-ROWS[files["split"]][task] // 2)
    assert card.data.size_categories == "n<1K"
    assert to_markdown(corpus_statistics(corpus)) in card.text
    assert '"image_size": 24' in card.text


def test_an_unfinished_corpus_is_not_uploaded(tmp_path: Path) -> None:
    hub = FakeHub()
    with pytest.raises(FileNotFoundError, match="holds no corpus"):
        push_corpus(tmp_path, "somebody/poses", api=hub)
    assert hub.calls == []


# The page.


def test_page_follows_from_its_seed() -> None:
    generator = RecordGenerator(BodyModel.builtin(), "test")
    page, again, other = (draw_page(generator, 2, seed) for seed in (0, 0, 1))
    assert page == again
    assert page != other
    assert page.width >= 4 * PAIR_CELL
    assert page.height >= CELL + PAIR_CELL


# The records.


def test_one_sequence_is_drawn_as_one_scene(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is drawn at random about two moments of one clip is the same; other pairs are two scenes."""

    def look_of(pose: torch.Tensor, body: BodyModel, size: int, rng: np.random.Generator) -> dict[str, bytes | None]:
        return {"bytes": str(rng.random()).encode(), "path": None}

    monkeypatch.setattr(generate, "random_image", look_of)
    generator = RecordGenerator(BodyModel.builtin(), "train")
    records = generator.records("image-diff", 12, np.random.default_rng(0), "pair")
    assert {each.same_sequence for each in records} == {True, False}
    for each in records:
        assert (each.first.image == each.second.image) == each.same_sequence
    assert len({each.first.image for each in records}) == 12


def test_unknown_splits_and_tasks_are_named() -> None:
    with pytest.raises(ValueError, match="split is 'dev'"):
        RecordGenerator(BodyModel.builtin(), "dev")
    with pytest.raises(ValueError, match="pose-to-song"):
        RecordGenerator(BodyModel.builtin()).records("pose-to-song", 1, np.random.default_rng(0), "")

"""Builds the synthetic corpus: poses, pairs, captions, differences, images and instructions as rows of seven tasks.

    python -m unipose.training.datasets.build_corpus --config training/recipes/tiny/corpus.yaml

`--workers` processes build shards in parallel, each from its own seed, so the number of workers does not change the
files; `accelerate launch -m` shares the shards among machines. Finished shards are kept: the same command resumes an
interrupted build. `--push_to_hub owner/name` uploads the complete corpus with its card.
"""

import multiprocessing
import os
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import torch
from accelerate import PartialState
from tqdm.auto import tqdm
from trl import TrlParser

from unipose.processing.body_model import BodyModel, to_body_model
from unipose.tasks_unipose import TASKS
from unipose.training.datasets.clip_frames import load_clip_frames
from unipose.training.datasets.corpus_card import push_corpus
from unipose.training.datasets.generation import RecordGenerator
from unipose.training.datasets.human_words import EDIT_PROMPTS, TEXT_PROMPT, HumanWords, share_of
from unipose.training.datasets.image_words import ImageWords
from unipose.training.datasets.instructions import load_instructions
from unipose.training.datasets.motion_records import load_motion
from unipose.training.datasets.processes import own_share, start_process
from unipose.training.datasets.records import PosePairRecord, PoseRecord
from unipose.training.datasets.rows import Record, rows_from_records
from unipose.training.datasets.shards import (
    Shard,
    create_corpus,
    finish_corpus,
    missing_shards,
    plan_shards,
    read_summary,
    write_shard,
)
from unipose.training.datasets.usual_sides import with_usual_sides
from unipose.training.named_poses.chance import pick
from unipose.training.named_poses.grammar import vary_command, vary_sentence
from unipose.training.sampling.poses import MotionPoses


# Options of a recipe that are shares.
SHARES = (
    "named_poses",
    "composed_poses",
    "clip_poses",
    "human_wordings",
    "human_edits",
    "action_captions",
    "change_questions",
    "image_questions",
    "empty_scenes",
    "typed_forms",
)


@dataclass(frozen=True)
class Recipe:
    """Options of a corpus: number of rows of each task and split, images, captions and shards."""

    pose_to_text: int = field(default=15000, metadata={"help": "Number of training rows of pose-to-text."})
    pose_diff: int = field(default=15000, metadata={"help": "Number of training rows of pose-diff."})
    image_to_text: int = field(default=15000, metadata={"help": "Number of training rows of image-to-text."})
    image_diff: int = field(default=15000, metadata={"help": "Number of training rows of image-diff."})
    text_to_pose: int = field(default=15000, metadata={"help": "Number of training rows of text-to-pose."})
    image_to_pose: int = field(default=15000, metadata={"help": "Number of training rows of image-to-pose."})
    pose_edit: int = field(default=15000, metadata={"help": "Number of training rows of pose-edit."})
    validation: int = field(default=0, metadata={"help": "Number of rows of each task from the validation clips."})
    test: int = field(default=0, metadata={"help": "Number of rows of each task from the held-out clips."})
    image_size: int = field(default=96, metadata={"help": "Width and height of the images in pixels."})
    body: str | None = field(
        default=None,
        metadata={"help": "SMPL, SMPL-H or SMPL-X file of the body in the images; by default the built-in body."},
    )
    variety: float = field(
        default=1.0, metadata={"help": "Variety of captions in prompts: 1 uses all wordings, 0 one of each."}
    )
    answer_variety: float = field(default=1.0, metadata={"help": "Variety of captions in answers."})
    questions: int = field(
        default=0,
        metadata={"help": "Training rows of pose-to-text with a question and a short answer, besides the others."},
    )
    named_poses: float = field(
        default=0.0,
        metadata={
            "help": "Share of the training rows of text-to-pose with a named pose, all names alike, nearly exact."
        },
    )
    composed_poses: float = field(
        default=0.0,
        metadata={"help": "Share of these rows with legs, arms and head of different named poses, in people's words."},
    )
    human_edits: float = field(
        default=0.0,
        metadata={"help": "Share of the training rows of pose-edit in people's words, single or in chats."},
    )
    human_wordings: float = field(
        default=0.0,
        metadata={"help": "Share of the named poses whose text is a wording of the bank, not of the captioner."},
    )
    records: list[str] = field(
        default_factory=list,
        metadata={"help": "Folders of records by import_data, whose poses the training rows are also sampled from."},
    )
    clip_poses: float = field(
        default=0.0,
        metadata={"help": "Share of the training rows of text-to-pose with frames of records and words for the clip."},
    )
    action_captions: float = field(
        default=0.0,
        metadata={"help": "Share of the training rows of pose-to-text with named poses or frames of labeled clips."},
    )
    change_questions: float = field(
        default=0.0, metadata={"help": "Share of the training rows of pose-diff that ask what changed in an edit."}
    )
    image_questions: float = field(
        default=0.0, metadata={"help": "Share of the training rows of image-to-text with a question and an answer."}
    )
    empty_scenes: float = field(
        default=0.0, metadata={"help": "Share of the training rows of image-to-text with an image without a person."}
    )
    typed_forms: float = field(
        default=0.0,
        metadata={"help": "Share of the captioner's prompts that are put as people type: case, stop, subject, typos."},
    )
    templates: int = field(default=200, metadata={"help": "Number of instruction templates of each task."})
    shard_size: int = field(default=1000, metadata={"help": "Maximum number of rows of a shard."})
    seed: int = field(default=1, metadata={"help": "Seed of the random numbers."})

    def shards(self) -> list[Shard]:
        """The shards of the corpus; validation and test have the tasks that training has.

        Raises:
            ValueError: a negative number of rows, no rows at all, a shard size below 1, or a share outside 0..1.
        """
        for name in SHARES:
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ValueError(f"{name} is {getattr(self, name)}; expected 0 to 1")
        if self.named_poses + self.composed_poses + self.clip_poses > 1.0:
            raise ValueError(
                f"got named_poses {self.named_poses}, composed_poses {self.composed_poses} and clip_poses "
                f"{self.clip_poses}; expected at most 1 together"
            )
        if self.clip_poses and not self.records:
            raise ValueError(f"got clip_poses {self.clip_poses} without records; expected folders of labeled clips")
        if self.image_questions + self.empty_scenes > 1.0:
            raise ValueError(
                f"got image_questions {self.image_questions} and empty_scenes {self.empty_scenes}; "
                "expected at most 1 together"
            )
        train = {task: getattr(self, task.replace("-", "_")) for task in TASKS}
        if self.questions < 0:
            raise ValueError(f"got {self.questions} questions; expected at least 0")
        train["pose-to-text"] += self.questions
        rows = {"train": {task: number for task, number in train.items() if number}}
        for split in ("validation", "test"):
            rows[split] = dict.fromkeys(rows["train"], getattr(self, split)) if getattr(self, split) else {}
        return plan_shards(rows, self.shard_size)


@dataclass
class BuildArguments:
    """Output, processes and upload of a build."""

    output: str = field(default="runs/corpus", metadata={"help": "Folder of the corpus."})
    workers: int = field(default=os.cpu_count() or 1, metadata={"help": "Number of processes."})
    push_to_hub: str | None = field(
        default=None, metadata={"help": "Hub dataset to upload the corpus to: owner/name."}
    )
    private: bool = field(default=False, metadata={"help": "Whether to create the Hub dataset as private."})


@contextmanager
def one_thread() -> Iterator[None]:
    """Runs torch on one thread: sums depend on the number of threads, and a shard must not depend on the machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def build_shard(folder: Path, recipe: Recipe, shard: Shard, motion: MotionPoses | None = None) -> Shard:
    """Generates and writes the rows of one shard.

    Args:
        folder: folder of the corpus.
        recipe: its options.
        shard: the shard.
        motion: the recorded poses of training rows; default: those of the motion clips.

    Returns:
        The shard.

    Raises:
        RuntimeError: poses were rejected too often.
    """
    rng = np.random.default_rng(shard.seed(recipe.seed))
    with one_thread(), torch.no_grad():
        body = BodyModel.builtin()
        wording = (recipe.variety, recipe.answer_variety)
        image_body = body if recipe.body is None else to_body_model(recipe.body)
        generator = RecordGenerator(body, shard.split, recipe.image_size, *wording, motion, image_body)
        human = human_records(recipe, shard, generator)
        name = shard.name.removesuffix(".parquet")
        records = generator.records(shard.task, shard.rows - len(human), rng, name)
        if shard.split == "train" and recipe.typed_forms:
            records = [vary_form(record, recipe.typed_forms, shard.task, rng) for record in records]
        records = mix_records(records, human, shard.seed(recipe.seed))
        if shard.split == "train" and shard.task in ("text-to-pose", "pose-edit"):
            records = with_usual_sides(records, generator.body)
        templates = {shard.task: load_instructions(shard.task)[: recipe.templates]}
        write_shard(folder, shard, rows_from_records(records, [shard.task], rng, templates))
    return shard


def human_records(recipe: Recipe, shard: Shard, generator: RecordGenerator) -> list[Record]:
    """The records of a training shard in people's words or of named poses; none by default.

    They have random numbers of their own, so that they do not change the others.

    Args:
        recipe: the shares.
        shard: the shard.
        generator: that of the other records.
    """
    if shard.split != "train":
        return []
    words = HumanWords(generator.body, recipe.variety, generator.motion)
    rng = np.random.default_rng(shard.seed(recipe.seed).spawn(1)[0])
    name = shard.name.removesuffix(".parquet")
    records: list[Record] = []
    rows, task = shard.rows, shard.task
    frames = load_clip_frames(tuple(recipe.records)) if recipe.records else None
    if task == "pose-to-text":
        start = shard.index * recipe.shard_size
        total = recipe.pose_to_text + recipe.questions
        questions = share_of((start, start + rows), total, recipe.questions)
        actions = int((rows - questions) * recipe.action_captions)
        records += words.questions(questions, rng, name) if questions else []
        records += words.captions(actions, frames, rng, name, recipe.answer_variety) if actions else []
    if task == "text-to-pose" and recipe.named_poses:
        records += words.named(int(rows * recipe.named_poses), recipe.human_wordings, rng, name)
    if task == "text-to-pose" and recipe.composed_poses:
        records += words.composed(int(rows * recipe.composed_poses), rng, name)
    if task == "text-to-pose" and recipe.clip_poses and frames is not None:
        records += words.clips(int(rows * recipe.clip_poses), frames, rng, name)
    if task == "pose-edit" and recipe.human_edits:
        records += words.edits(int(rows * recipe.human_edits), rng, name)
    if task == "pose-diff" and recipe.change_questions:
        records += words.change_questions(int(rows * recipe.change_questions), rng, name)
    if task == "image-to-text":
        images = ImageWords(generator.body, generator.render_scene, generator.motion)
        records += images.questions(int(rows * recipe.image_questions), rng, name) if recipe.image_questions else []
        records += images.empty_scenes(int(rows * recipe.empty_scenes), rng, name)
    return records


def vary_form(record: Record, share: float, task: str, rng: np.random.Generator) -> Record:
    """A record whose text is put as a person types it, in a share of the prompts of text-to-pose and pose-edit.

    Such a text has no template around it: it may hold a request of its own.

    Args:
        record: of the captioner.
        share: of the records that are changed.
        task: of its row.
        rng: source of all randomness.
    """
    if isinstance(record, PoseRecord) and task == "text-to-pose" and rng.random() < share:
        captions = tuple(vary_sentence(text, rng) for text in record.captions)
        return replace(record, captions=captions, prompt=TEXT_PROMPT)
    if isinstance(record, PosePairRecord) and task == "pose-edit" and rng.random() < share:
        texts = tuple(vary_command(text, rng) for text in record.texts)
        return replace(record, texts=texts, prompt=pick(EDIT_PROMPTS, rng))
    return record


def mix_records(records: Sequence[Record], others: Sequence[Record], seed: np.random.SeedSequence) -> Sequence[Record]:
    """The records of both kinds in random order; the first ones unchanged where there are no others.

    Args:
        records: of one kind.
        others: of the other kind.
        seed: of the order.
    """
    if not others:
        return records
    mixed = [*records, *others]
    return [mixed[index] for index in np.random.default_rng(seed.spawn(2)[1]).permutation(len(mixed))]


def _start_worker() -> None:
    datasets.disable_progress_bars()
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """Ends a worker when its parent was killed; otherwise it would wait for work forever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def build_shards(folder: Path, recipe: Recipe, shards: list[Shard], workers: int) -> Iterator[Shard]:
    """Builds shards, and yields each when it is finished.

    Args:
        folder: folder of the corpus.
        recipe: its options.
        shards: the shards to build.
        workers: number of processes.

    Raises:
        ValueError: one of the recipe's folders of records holds none.
        RuntimeError: a worker process was killed, for example by the out-of-memory killer.
    """
    motion = None
    if any(shard.split == "train" for shard in shards):
        with one_thread(), torch.no_grad():
            motion = load_motion(recipe.records, BodyModel.builtin())
    if workers <= 1 or len(shards) <= 1:
        for shard in shards:
            yield build_shard(folder, recipe, shard, motion)
        return
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(min(workers, len(shards)), context, initializer=_start_worker)
    try:
        jobs = [pool.submit(build_shard, folder, recipe, shard, motion) for shard in shards]
        for job in as_completed(jobs):
            yield job.result()
    except BrokenProcessPool as error:
        raise RuntimeError(
            "a worker process was killed (out of memory?); finished shards are kept; run the same command to resume"
        ) from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def build_corpus(recipe: Recipe, folder: str | Path, workers: int = 1) -> dict[str, Any]:
    """Builds a corpus, or resumes one that was interrupted.

    Args:
        recipe: options of the corpus.
        folder: folder of the corpus.
        workers: number of processes; does not change the result.

    Returns:
        {"rows": {split: {task: number}}, "shards": ...}.

    Raises:
        ValueError: an invalid recipe (see `Recipe.shards`), or another recipe than the folder's.
        RuntimeError: a worker was killed, or poses were rejected too often.
    """
    folder, shards = Path(folder), recipe.shards()
    create_corpus(folder, recipe_of(recipe))
    build_missing(folder, recipe, shards, workers)
    return finish_corpus(folder, shards)


def build_shared_corpus(recipe: Recipe, folder: str | Path, workers: int, state: PartialState) -> dict[str, Any]:
    """The same by all processes of `accelerate launch`, each a share of the shards. The corpus is that of one process.

    Args:
        recipe: options of the corpus.
        folder: folder of the corpus, which all machines share.
        workers: number of processes that each of these starts.
        state: this process.

    Returns:
        {"rows": {split: {task: number}}, "shards": ...}.

    Raises:
        ValueError: see `build_corpus`.
        RuntimeError: see `build_corpus`, or the machines do not share the folder.
    """
    folder, shards = Path(folder), recipe.shards()
    if state.is_main_process:
        create_corpus(folder, recipe_of(recipe))
    state.wait_for_everyone()
    # By task, so that no process gets all of the images; then built in the order of the corpus.
    own = own_share(sorted(shards, key=lambda shard: shard.task), state)
    build_missing(folder, recipe, sorted(own, key=shards.index), workers)
    state.wait_for_everyone()
    if missing := missing_shards(folder, shards):
        raise RuntimeError(
            f"{folder} lacks {len(missing)} shards that other processes have built, such as {missing[0].name}; "
            "expected a folder that all machines share; or copy their folders into one, and run the command there"
        )
    if state.is_main_process:
        finish_corpus(folder, shards)
    state.wait_for_everyone()
    return read_summary(folder)


def recipe_of(recipe: Recipe) -> dict[str, Any]:
    """What the folder of a corpus remembers of its recipe."""
    return {"maker": "build_corpus"} | asdict(recipe)


def build_missing(folder: Path, recipe: Recipe, shards: list[Shard], workers: int) -> None:
    """Builds those of the shards that are not there yet, with a progress bar.

    Args:
        folder: folder of the corpus.
        recipe: its options.
        shards: all of the corpus, or the share of this process.
        workers: number of processes.
    """
    missing = missing_shards(folder, shards)
    total = sum(shard.rows for shard in shards)
    kept = total - sum(shard.rows for shard in missing)
    with tqdm(total=total, initial=kept, desc="corpus", unit=" rows") as progress:
        for shard in build_shards(folder, recipe, missing, workers):
            progress.update(shard.rows)


def main() -> None:
    recipe, arguments = TrlParser((Recipe, BuildArguments)).parse_args_and_config()
    datasets.disable_progress_bars()
    state = start_process(cpu=True)
    summary = build_shared_corpus(recipe, arguments.output, arguments.workers, state)
    if not state.is_main_process:
        return
    for split, tasks in summary["rows"].items():
        print(f"{split}: " + ", ".join(f"{number} {task}" for task, number in tasks.items()))
    if arguments.push_to_hub:
        print(push_corpus(Path(arguments.output), arguments.push_to_hub, arguments.private))


if __name__ == "__main__":
    main()

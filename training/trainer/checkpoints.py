"""The checkpoints of a run: from which one it resumes, and which folders are its own.

A stage marks each checkpoint that it begins, and removes none without the mark. It locks its folder while it trains,
so that the marks of a folder are those of one run and of the runs that it resumed.
"""

import json
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout
from transformers import TrainingArguments
from transformers.trainer import TRAINER_STATE_NAME
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR
from transformers.utils import logging


logger = logging.get_logger(__name__)

MARK = ".begun_by_unipose"
LOCK = ".unipose_run.lock"

_NUMBERED = re.compile(rf"{PREFIX_CHECKPOINT_DIR}-(\d+)")


def checkpoints(folder: str | Path) -> list[Path]:
    """The folders checkpoint-<step> of a run, in the order of their steps."""
    folders = [path for path in Path(folder).glob(f"{PREFIX_CHECKPOINT_DIR}-*") if path.is_dir()]
    numbered = [(int(match[1]), path) for path in folders if (match := _NUMBERED.fullmatch(path.name))]
    return [path for _, path in sorted(numbered)]


def is_complete(checkpoint: Path) -> bool:
    """Whether a checkpoint is complete: the trainer writes its state last."""
    try:
        json.loads((checkpoint / TRAINER_STATE_NAME).read_text("utf-8"))
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return False
    return True


@contextmanager
def locked(folder: str | Path) -> Iterator[None]:
    """Holds the output folder of a run; a killed process holds nothing.

    Raises:
        OSError: another run holds it.
    """
    Path(folder).mkdir(parents=True, exist_ok=True)
    lock = FileLock(Path(folder) / LOCK)
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise OSError(f"another run trains in {folder}: give this one another --output_dir") from error
    try:
        yield
    finally:
        Path(lock.lock_file).unlink(missing_ok=True)
        lock.release()


def begin_checkpoint(checkpoint: Path) -> None:
    """Makes an empty folder for a checkpoint, in place of an earlier one, and removes what killed runs have begun.

    Args:
        checkpoint: the folder, in the output folder of the run.

    Raises:
        FileExistsError: a folder of that name is there, which is neither a checkpoint nor begun by a stage.
    """
    for left in checkpoints(checkpoint.parent):
        is_begun, complete = (left / MARK).exists(), is_complete(left)
        if left == checkpoint and not is_begun and not complete:
            raise FileExistsError(f"{left} is not a checkpoint of this run, which would write to it: move it away")
        if left == checkpoint or (is_begun and not complete):
            shutil.rmtree(left)
    checkpoint.mkdir(parents=True)
    (checkpoint / MARK).touch()


def remove_old_checkpoints(folder: str | Path, limit: int | None, best: str | None) -> None:
    """Removes the oldest checkpoints that stages have begun.

    Args:
        folder: output folder of the run.
        limit: how many stay; None: all.
        best: the best checkpoint, which stays, as the last one does.
    """
    marks = [path / MARK for path in checkpoints(folder) if (path / MARK).exists()]
    own = [mark.parent for mark in sorted(marks, key=lambda mark: mark.stat().st_mtime_ns)]
    if not limit or not own:
        return
    kept = {own[-1], *([] if best is None else [Path(best)])}
    others = [path for path in own if path not in kept]
    for path in others[: max(len(own) - max(limit, len(kept)), 0)]:
        shutil.rmtree(path)


def find_checkpoint(arguments: TrainingArguments) -> str | None:
    """The value for `Trainer.train(resume_from_checkpoint=)`.

    Args:
        arguments: training arguments. `resume_from_checkpoint` is a folder; or "true": the last complete checkpoint in
            `output_dir`, or the start if there is none; or None: the start.

    Raises:
        ValueError: a new run would overwrite the checkpoints in its folder; or the
            named checkpoint is not complete.
    """
    resume_from, folder = arguments.resume_from_checkpoint, arguments.output_dir
    existing = checkpoints(folder) if folder else []
    if resume_from is None or str(resume_from).lower() == "false":
        if existing:
            raise ValueError(
                f"{folder} holds checkpoints of an earlier run ({existing[-1].name}): resume it with "
                "--resume_from_checkpoint true, give another --output_dir, or remove them"
            )
        return None
    if str(resume_from).lower() != "true":
        if not is_complete(Path(resume_from)):
            raise ValueError(f"{resume_from} is not a complete checkpoint: it has no readable {TRAINER_STATE_NAME}")
        return str(resume_from)
    complete = [path for path in existing if is_complete(path)]
    for path in existing:
        if path not in complete:
            fate = "removed at the next save" if (path / MARK).exists() else "not removed: no stage began it"
            logger.warning(f"{path} is incomplete: it is ignored, and {fate}")
    return str(complete[-1]) if complete else None

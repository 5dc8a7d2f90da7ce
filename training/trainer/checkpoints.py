"""The checkpoint from which a run resumes: the last complete one."""

import json
import re
from pathlib import Path

from transformers import TrainingArguments
from transformers.trainer import TRAINER_STATE_NAME
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR
from transformers.utils import logging


logger = logging.get_logger(__name__)

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
            logger.warning(f"{path} is incomplete: it is ignored, and removed at the next save")
    return str(complete[-1]) if complete else None

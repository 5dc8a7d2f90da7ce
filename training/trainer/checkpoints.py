"""Where a run goes on: the last of its checkpoints that was written to the end."""

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
    found = [(int(match[1]), path) for path in folders if (match := _NUMBERED.fullmatch(path.name))]
    return [path for _, path in sorted(found)]


def is_complete(checkpoint: Path) -> bool:
    """Whether a checkpoint was written to its end: the trainer writes its state after all else."""
    try:
        json.loads((checkpoint / TRAINER_STATE_NAME).read_text("utf-8"))
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return False
    return True


def find_checkpoint(arguments: TrainingArguments) -> str | None:
    """What `Trainer.train(resume_from_checkpoint=)` is to be given.

    Args:
        arguments: their `resume_from_checkpoint` is a folder; or "true": the last complete checkpoint in `output_dir`,
            or the start where there is none; or None: the start.

    Raises:
        ValueError: The run is to begin at its start, but its folder holds checkpoints, which would be lost; or the
            named checkpoint is not complete.
    """
    wanted, folder = arguments.resume_from_checkpoint, arguments.output_dir
    found = checkpoints(folder) if folder else []
    if wanted is None or str(wanted).lower() == "false":
        if found:
            raise ValueError(
                f"{folder} holds checkpoints of an earlier run ({found[-1].name}): go on with it by "
                "--resume_from_checkpoint true, give another --output_dir, or remove them"
            )
        return None
    if str(wanted).lower() != "true":
        if not is_complete(Path(wanted)):
            raise ValueError(f"{wanted} is not a complete checkpoint: it has no readable {TRAINER_STATE_NAME}")
        return str(wanted)
    complete = [path for path in found if is_complete(path)]
    for path in found:
        if path not in complete:
            logger.warning(f"{path} was not written to its end: it is left out, and removed at the next save")
    return str(complete[-1]) if complete else None

"""Files of the command: its body and betas, what a pose was edited from, and the poses that it writes."""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .cli_console import Console, is_standard
from .processing.body_model import BodyModel, load_body_model, to_body_model
from .processing.edited_poses import Original, find_original
from .processing.pose_files import read_pose_file
from .processing.pose_formats import check_ending, find_format
from .processing.pose_io import choose_body, number_paths, save_animation, save_poses
from .tasks_unipose import TASKS


def check_out(arguments: argparse.Namespace, task: str | None) -> None:
    """Checks, before the model is loaded, that --out can take the answer.

    Args:
        arguments: The command line.
        task: Name of the task; None: the model chooses.

    Raises:
        ValueError: It has another ending, the task answers with text, or a motion has one pose only.
    """
    out, answer = arguments.out, TASKS[task].answer if task in TASKS else None
    if arguments.animate and (out is None or is_standard(out)):
        raise ValueError("--animate writes a file: give --out edit.glb")
    if arguments.animate and answer == "pose" and not arguments.pose:
        raise ValueError("--animate begins with an input pose: give --pose")
    if out is None:
        return
    if not is_standard(out):
        check_ending(Path(out), arguments.animate)
    if answer == "text":
        raise ValueError(f"--out takes a pose, but task {task!r} answers with text")


def load_body(arguments: argparse.Namespace) -> tuple[BodyModel | None, np.ndarray | None]:
    """The body of --body, None for the built-in one, and its shape coefficients, if any.

    Args:
        arguments: The command line.

    Raises:
        ValueError: The file is no body, or --betas do not fit it.
        OSError: It cannot be read.
        ImportError: It needs a package that is not installed.
    """
    body = None if arguments.body is None else load_body_model(arguments.body)
    betas = read_betas(arguments.betas)
    if betas is not None:
        if arguments.out is None or is_standard(arguments.out) or arguments.show:
            to_body_model(body, betas)
        else:
            choose_body(find_format(Path(arguments.out)), body, betas)
    return body, betas


def read_betas(words: str | None) -> np.ndarray | None:
    """Shape coefficients: numbers between commas, or a file of numbers or of `betas` -> (n,).

    Raises:
        ValueError: They are neither.
    """
    if words is None:
        return None
    try:
        return np.array([float(word) for word in words.split(",")], dtype=np.float32)
    except ValueError:
        content = read_pose_file(Path(words), ("betas",), "--betas")
    betas = np.asarray(content.get("betas") if isinstance(content, Mapping) else content)
    if betas.dtype.kind not in "fiu" or betas.size != max(betas.shape, default=0):
        raise ValueError(f"--betas: the file {words!r} has no vector of betas; expected (n,) numbers, or a key betas")
    return betas.reshape(-1)


def find_kept(arguments: argparse.Namespace, task: str | None, console: Console) -> Original | None:
    """What an edited pose came with, where the output can keep more of it than the body.

    Args:
        arguments: The command line.
        task: Name of the task.
        console: Where it is said what is not kept.

    Raises:
        ValueError: The input is not a pose.
    """
    if task != "pose-edit" or len(arguments.pose) != 1 or arguments.out is None or is_standard(arguments.out):
        return None
    if not find_format(Path(arguments.out)).keeps:
        return None
    original = find_original(arguments.pose[0], arguments.frame, "--pose")
    if original is None or arguments.output_frame in (None, original.frame):
        return original
    console.note(
        f"hands, face, shape and translation of --pose are not written: they are in the frame {original.frame}, "
        f"--output-frame is {arguments.output_frame}"
    )
    return None


def write_answers(
    answers: Sequence[Mapping[str, Any]],
    given: Sequence[Any],
    arguments: argparse.Namespace,
    options: Mapping[str, Any],
) -> list[Path]:
    """Writes the poses of answers to the files that --out names.

    Args:
        answers: Answers of the pipeline.
        given: The input poses in the stored z-up frame, with which a motion begins.
        arguments: The command line.
        options: Arguments of `save_poses`: body, betas, frame and like.

    Returns:
        The paths; empty where there is nothing to write.

    Raises:
        ValueError: There is no pose, and --out asks for one; or the poses make no motion.
        OSError: They cannot be written.
    """
    if arguments.out is None:
        return []
    poses = [pose for answer in answers for pose in answer["poses"]]
    if not poses:
        raise ValueError(f"the answer holds no pose: {arguments.out} was not written")
    if is_standard(arguments.out):
        return []
    out = Path(arguments.out)
    if not arguments.animate:
        return save_poses(out, poses, **options)
    return [
        save_animation(path, [*given, *answer["poses"]], **options)
        for path, answer in zip(number_paths(out, len(answers)), answers)
    ]

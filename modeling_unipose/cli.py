"""The `unipose` command: text, poses and images in; texts and poses as text, JSON or files out.

unipose "Describe the pose <pose>." --pose squat.npy
unipose "A person kneels." --out kneel.glb
unipose batch requests.jsonl --out answers.jsonl
unipose demo
"""

import argparse
import logging
import os
import runpy
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .cli_arguments import DEFAULT_COMMAND, parse_arguments
from .cli_batch import BatchRun
from .cli_console import Console, first_line, print_json
from .cli_files import check_out, find_kept, load_body, write_answers
from .cli_inputs import implied_task, read_inputs
from .cli_poses import answer_record, pose_record, show_poses
from .generation_arguments import check_batch_size
from .photo_poses import Estimator, check_one_pose, find_estimator
from .processing.pose_frames import Frame


if TYPE_CHECKING:
    from .pipeline_unipose import UniPosePipeline


SOME_FAILED = 1
USER_ERROR = 2
# As shells report them.
INTERRUPTED, BROKEN_PIPE = 130, 141


def infer_task(arguments: argparse.Namespace) -> str | None:
    """The named task, or the one that the command line implies; None lets the model choose between text and poses."""
    if arguments.task is not None:
        return arguments.task
    # A pose alone is shown as it is.
    shows_answer = arguments.show and (arguments.text is not None or bool(arguments.image))
    return implied_task(arguments.text, arguments.pose, arguments.image, arguments.out is not None or shows_answer)


def load_pipeline(model: str | None) -> "UniPosePipeline":
    """Loads the pipeline of a folder or Hub id; None is the embedded checkpoint.

    Raises:
        FileNotFoundError: There is no such folder.
    """
    if model is not None and model.startswith(("/", ".")) and not Path(model).is_dir():
        raise FileNotFoundError(f"there is no model folder {model}")
    from transformers import pipeline
    from transformers.utils import logging

    from .embedded_checkpoint import find_embedded_checkpoint
    from .modeling_unipose import UniPoseForConditionalGeneration
    from .processing.processing_unipose import UniPoseProcessor

    checkpoint = model or str(find_embedded_checkpoint())
    shows_progress = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        # Loaded here because `pipeline` turns errors into tracebacks.
        loaded = UniPoseForConditionalGeneration.from_pretrained(checkpoint)
        processor = UniPoseProcessor.from_pretrained(checkpoint)
    finally:
        if shows_progress:
            logging.enable_progress_bar()
    return pipeline("unipose", model=loaded, processor=processor)  # type: ignore[call-overload]


def build_generate_kwargs(arguments: argparse.Namespace) -> dict[str, Any]:
    """The arguments of `generate` that the command line sets."""
    sampled = arguments.sample or arguments.temperature is not None
    named = {
        "temperature": arguments.temperature,
        "max_new_tokens": arguments.max_new_tokens,
        "num_return_sequences": arguments.num,
    }
    chosen = {name: value for name, value in named.items() if value is not None}
    return {"do_sample": True, **chosen} if sampled else chosen


def run_generate(arguments: argparse.Namespace) -> int:
    """Runs `unipose generate`: one request. Returns the exit status.

    Raises:
        ValueError: Arguments that do not fit each other, or inputs that cannot be read.
        OSError: The model or the output cannot be read or written.
        ImportError: The body needs a package that is not installed.
    """
    if arguments.text is None and not arguments.pose and not arguments.image:
        raise ValueError('nothing to do: give a text, --pose or --image, or run "unipose demo"')
    if arguments.estimator is not None and not arguments.image:
        raise ValueError(f"--estimator {arguments.estimator} finds poses in images: expected --image")
    console = Console(arguments.quiet, arguments.verbose)
    arguments = read_inputs(arguments)
    task = infer_task(arguments)
    # All that can be wrong is found before the model is loaded.
    check_out(arguments, task)
    if arguments.estimator is not None and task == "image-to-pose":
        check_one_pose({"--num": arguments.num, "--best-of": arguments.best_of})
    body, betas = load_body(arguments)
    kept = find_kept(arguments, task, console)
    frame = arguments.output_frame or (kept.frame if kept else "z_up")
    estimator = None if arguments.estimator is None else find_estimator(arguments.estimator)
    answers, given = ask(arguments, task, estimator, console)
    print_answers(answers, arguments.json, frame, console)
    like = arguments.pose[0] if kept else None
    written = write_answers(answers, given, arguments, {"body": body, "betas": betas, "frame": frame, "like": like})
    for path in written:
        console.note(f"wrote {path}")
    poses = [pose for answer in answers for pose in answer["poses"]]
    if poses and not written and not arguments.json and (arguments.out is not None or not arguments.show):
        for pose in poses:
            print_json(pose_record(pose, frame))
        if arguments.out is None:
            console.note("the answer is a pose, as JSON: --out kneel.glb writes a file, --show opens a 3D view")
    if arguments.show:
        show_poses(poses or given, body, betas)
    return 0


def ask(
    arguments: argparse.Namespace, task: str | None, estimator: Estimator | None, console: Console
) -> tuple[list[dict[str, Any]], list[Any]]:
    """The answers of the model, and the input poses in the stored z-up frame.

    Args:
        arguments: The command line.
        task: Name of the task; None: the model chooses.
        estimator: What finds the poses of images in place of the model.
        console: Where progress goes.
    """
    with console.progress(total=2, desc="loading the model", bar_format="{desc} {elapsed}") as progress:
        pipe = load_pipeline(arguments.model)
        console.detail(f"{pipe.model.name_or_path} on {pipe.device}; task: {task or 'chosen by the model'}")
        progress.set_description_str("generating")
        (result,) = pipe(
            text=[arguments.text],
            images=[arguments.image],
            poses=[arguments.pose],
            task=task,
            generate_kwargs=build_generate_kwargs(arguments),
            best_of=arguments.best_of,
            seed=arguments.seed,
            frame=arguments.frame,
            estimator=estimator,
        )
    console.detail("answered")
    given = [pipe.processor.read_pose(pose, "--pose", arguments.frame) for pose in arguments.pose]
    return result if isinstance(result, list) else [result], given


def print_answers(answers: Sequence[dict[str, Any]], as_json: bool, frame: Frame, console: Console) -> None:
    """Prints answers: everything as JSON, or their texts.

    Args:
        answers: Answers of the pipeline.
        as_json: Whether everything is printed.
        frame: Frame of their poses.
        console: Where confidences go.
    """
    for answer in answers:
        if as_json:
            print_json(answer_record(answer, frame))
            continue
        if answer["text"]:
            print(answer["text"])
        console.note(f"confidence {answer['confidence']:.2f}")


def run_batch(arguments: argparse.Namespace) -> int:
    """Runs `unipose batch`; returns the exit status.

    Raises:
        ValueError: The output holds answers to other requests, or an argument is wrong.
        OSError: The model, the requests or the output cannot be read or written.
    """
    sampled = arguments.sample or arguments.temperature is not None or (arguments.num or 1) > 1 or arguments.best_of
    run = BatchRun(
        arguments.model,
        arguments.task,
        arguments.frame,
        arguments.output_frame or "z_up",
        {
            "generate_kwargs": build_generate_kwargs(arguments),
            "best_of": arguments.best_of,
            "seed": arguments.seed,
        },
        arguments.estimator,
        # A seed gives each line the samples of a command of its own.
        1 if sampled and arguments.seed is not None else check_batch_size(arguments.batch_size),
    )
    console = Console(arguments.quiet, arguments.verbose)
    failed = run.answer(arguments.requests, arguments.out, load_pipeline, console)
    return SOME_FAILED if failed else 0


def run_demo_command(arguments: argparse.Namespace) -> int:
    """Runs `unipose demo`; returns the exit status."""
    from .demo import run_demo

    run_demo(lambda: load_pipeline(arguments.model), arguments.out, arguments.tasks)
    return 0


def run_module(arguments: argparse.Namespace) -> int:
    """Runs a command that is a module with a parser of its own; returns the exit status.

    Raises:
        ImportError: It needs packages that are not installed.
    """
    sys.argv = [f"unipose {arguments.command}", *arguments.words]
    try:
        runpy.run_module(arguments.module, run_name="__main__")
    except ModuleNotFoundError as error:
        raise ImportError(
            f"unipose {arguments.command} needs {error.name}: pip install 'unipose[{arguments.extra}]'"
        ) from error
    return 0


RUN: dict[str, Callable[[argparse.Namespace], int]] = {
    DEFAULT_COMMAND: run_generate,
    "batch": run_batch,
    "demo": run_demo_command,
}


@contextmanager
def warnings_hidden(hidden: bool) -> Iterator[None]:
    """Hides the warnings of all libraries, if `hidden`."""
    before = logging.root.manager.disable
    if hidden:
        logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)


def run(arguments: argparse.Namespace) -> int:
    """Runs a parsed command; returns its exit status, see docs/cli.md."""
    try:
        with warnings_hidden(getattr(arguments, "quiet", False)):
            return RUN.get(arguments.command, run_module)(arguments)
    except (ValueError, OSError, ImportError) as error:
        if isinstance(error, BrokenPipeError):
            # The reader of stdout is gone, as in "unipose ... | head"; Python must not flush into it either.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return BROKEN_PIPE
        if getattr(arguments, "verbose", False):
            traceback.print_exc()
        print(f"unipose: {first_line(error)}", file=sys.stderr)
        return USER_ERROR
    except KeyboardInterrupt:
        return INTERRUPTED


def main(argv: Sequence[str] | None = None) -> int:
    """Parses and runs a command line; returns its exit status."""
    return run(parse_arguments(list(sys.argv[1:] if argv is None else argv)))


if __name__ == "__main__":
    sys.exit(main())

"""The `unipose` command: text, poses and images in; text on stdout, poses as files.

unipose "Describe the pose <pose>." --pose squat.npy
unipose "A person kneels." --out kneel.glb
unipose demo
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .processing.pose_files import READ_ENDINGS
from .processing.pose_frames import FRAMES
from .processing.pose_io import POSE_ENDINGS, check_ending, save_poses
from .tasks_unipose import TASKS


if TYPE_CHECKING:
    from .pipeline_unipose import UniPosePipeline


USER_ERROR = 2
DEFAULT_COMMAND = "generate"


def build_parser() -> argparse.ArgumentParser:
    """The parser of all commands; `parse_arguments` adds the default one."""
    parser = argparse.ArgumentParser(prog="unipose")
    commands = parser.add_subparsers(dest="command", required=True)
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--model", metavar="DIR_OR_ID", help="model folder or Hub id; default: the packaged model")

    generate = commands.add_parser(
        DEFAULT_COMMAND,
        prog="unipose",
        parents=[shared],
        description="Describes, compares, generates, estimates and edits 3D human poses.",
        epilog='"unipose demo" runs an example of each task; see "unipose demo --help".',
    )
    generate.set_defaults(run=run_generate)
    generate.add_argument(
        "text",
        nargs="?",
        help="description, instruction or question; <pose> and <image> mark the places of the poses and images, "
        "which otherwise precede it",
    )
    generate.add_argument(
        "--pose",
        action="append",
        default=[],
        metavar="FILE",
        help=f"input pose: {', '.join(READ_ENDINGS)}, with a frame number of a motion: clip.npz:120; repeatable",
    )
    generate.add_argument(
        "--frame",
        choices=FRAMES,
        help="frame of the input poses: z_up (AMASS), y_up (smplx, WHAM, GVHMR) or camera (HMR2, TokenHMR, ROMP); "
        "default: what a file says, otherwise z_up",
    )
    generate.add_argument(
        "--output-frame",
        choices=FRAMES,
        default="z_up",
        help="frame of the numbers in the output; default: %(default)s",
    )
    generate.add_argument("--image", action="append", default=[], metavar="FILE", help="input image; repeatable")
    generate.add_argument("--out", type=Path, metavar="FILE", help=f"output pose: {', '.join(POSE_ENDINGS)}")
    generate.add_argument(
        "--task", metavar="NAME", help=f"task: {', '.join(TASKS)}; default: inferred from the inputs"
    )
    generate.add_argument("--sample", action="store_true", help="sampling instead of greedy decoding")
    generate.add_argument("--temperature", type=float, help="temperature of sampling; implies --sample")
    generate.add_argument("--seed", type=int, help="seed of sampling")
    generate.add_argument("--num", type=int, metavar="N", help="number of sampled answers; one after another")
    generate.add_argument("--best-of", type=int, metavar="N", help="takes the best of this many sampled answers")
    generate.add_argument("--max-new-tokens", type=int, metavar="N", help="maximum length of the answer in tokens")

    demo = commands.add_parser(
        "demo",
        parents=[shared],
        description="Runs one example of each task on motion capture held out from training. Prints the answers and "
        "writes an image and a posed body for each, and a contact sheet of all.",
    )
    demo.set_defaults(run=run_demo_command)
    demo.add_argument(
        "--out", type=Path, default=Path("unipose-demo"), metavar="DIR", help="output folder; default: %(default)s"
    )
    demo.add_argument(
        "--tasks",
        nargs="+",
        metavar="NAME",
        choices=list(TASKS),
        default=list(TASKS),
        help=f"tasks to run: {', '.join(TASKS)}; default: all",
    )
    return parser


def parse_arguments(words: Sequence[str]) -> argparse.Namespace:
    """Parses a command line; without a command name it runs `unipose generate`."""
    is_command = words[:1] in (["demo"], [DEFAULT_COMMAND])
    return build_parser().parse_args(words if is_command else [DEFAULT_COMMAND, *words])


def infer_task(arguments: argparse.Namespace) -> str | None:
    """The named task, or the one that the inputs imply; None lets the model choose between text and poses."""
    if arguments.task is not None:
        return arguments.task
    inputs = (len(arguments.pose), len(arguments.image), "text" if arguments.out is None else "pose")
    return next((name for name, task in TASKS.items() if (task.poses, task.images, task.answer) == inputs), None)


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


def run_generate(arguments: argparse.Namespace) -> None:
    """Runs `unipose generate`: one request.

    Raises:
        ValueError: Arguments that do not fit each other, or inputs that cannot be read.
        OSError: The model or the output cannot be read or written.
    """
    if arguments.text is None and not arguments.pose and not arguments.image:
        raise ValueError("nothing to do: give a text, --pose or --image, or run `unipose demo`")
    from tqdm import tqdm

    task = infer_task(arguments)
    if arguments.out is not None:
        check_ending(arguments.out)
        if task in TASKS and TASKS[task].answer == "text":
            raise ValueError(f"--out takes a pose, but task {task!r} answers with text")
    with tqdm(total=2, desc="loading the model", bar_format="{desc} {elapsed}", leave=False, disable=None) as progress:
        pipe = load_pipeline(arguments.model)
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
        )
    answers = result if isinstance(result, list) else [result]
    for answer in answers:
        if answer["text"]:
            print(answer["text"])
        print(f"confidence {answer['confidence']:.2f}", file=sys.stderr)
    poses = [pose for answer in answers for pose in answer["poses"]]
    if arguments.out is None:
        if poses:
            print(f"{len(poses)} pose(s) in the answer: --out FILE writes them", file=sys.stderr)
    elif not poses:
        raise ValueError(f"the answer holds no pose: {arguments.out} was not written")
    else:
        for path in save_poses(arguments.out, poses, frame=arguments.output_frame):
            print(f"wrote {path}", file=sys.stderr)


def run_demo_command(arguments: argparse.Namespace) -> None:
    """Runs `unipose demo`."""
    from .demo import run_demo

    run_demo(lambda: load_pipeline(arguments.model), arguments.out, arguments.tasks)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit status: 0, or 2 for an error of the user."""
    arguments = parse_arguments(list(sys.argv[1:] if argv is None else argv))
    try:
        arguments.run(arguments)
    except (ValueError, OSError) as error:
        print(f"unipose: {next(iter(str(error).strip().splitlines()), type(error).__name__)}", file=sys.stderr)
        return USER_ERROR
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""The `unipose` command: text, poses and pictures in; text on stdout, poses as files.

unipose "Describe the pose <pose>." --pose squat.npy
unipose "A person kneels." --out kneel.glb
unipose demo
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .tasks_unipose import TASKS


if TYPE_CHECKING:
    from .pipeline_unipose import UniPosePipeline


USER_ERROR = 2


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="unipose",
        description="Describes, compares, generates, estimates and edits 3D human poses.",
        epilog='"unipose demo" runs an example of each task; see "unipose demo --help".',
    )
    parser.add_argument(
        "text",
        nargs="?",
        help="description, instruction or question; <pose> and <image> stand for the poses and pictures, which "
        "otherwise stand in front of it",
    )
    parser.add_argument("--pose", action="append", default=[], metavar="FILE", help="a pose: .npy, .npz or .json")
    parser.add_argument("--image", action="append", default=[], metavar="FILE", help="a picture")
    parser.add_argument(
        "--out", type=Path, metavar="FILE", help="write the pose: .npz, .npy, .json, .glb, .obj or .png"
    )
    parser.add_argument("--task", metavar="NAME", help="one of the seven tasks; otherwise it follows from the inputs")
    parser.add_argument("--sample", action="store_true", help="sample, in place of the likeliest answer")
    parser.add_argument("--temperature", type=float, help="of sampling, which it switches on")
    parser.add_argument("--seed", type=int, help="of sampling")
    parser.add_argument("--max-new-tokens", type=int, metavar="N")
    add_model_argument(parser)
    return parser


def build_demo_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="unipose demo",
        description="One example of each task on motion capture that was held out from training: prints the answers, "
        "writes a picture and a posed body for each, and one sheet of all.",
    )
    parser.add_argument("--out", type=Path, default=Path("unipose-demo"), metavar="DIR", help="default: %(default)s")
    parser.add_argument(
        "--tasks",
        nargs="+",
        choices=list(TASKS),
        default=list(TASKS),
        help="default: all seven",
    )
    add_model_argument(parser)
    return parser


def add_model_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", metavar="DIR_OR_ID", help="default: the model that ships with the package")


def infer_task(arguments: argparse.Namespace) -> str | None:
    """The named task, or the one that the inputs imply; None lets the model choose between text and poses."""
    if arguments.task is not None:
        return arguments.task
    given = (len(arguments.pose), len(arguments.image), "text" if arguments.out is None else "pose")
    return next((name for name, task in TASKS.items() if (task.poses, task.images, task.answer) == given), None)


def load_pipeline(model: str | None) -> "UniPosePipeline":
    """The pipeline of a folder or Hub id; of the embedded checkpoint where `model` is None."""
    if model is not None and model.startswith(("/", ".")) and not Path(model).is_dir():
        raise FileNotFoundError(f"there is no model folder {model}")
    from transformers import AutoModelForImageTextToText, AutoProcessor, pipeline
    from transformers.utils import logging

    from .embedded_checkpoint import find_embedded_checkpoint

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    checkpoint = model or str(find_embedded_checkpoint())
    # Loaded here, and not by `pipeline`, whose errors are tracebacks.
    loaded = AutoModelForImageTextToText.from_pretrained(checkpoint)
    processor = AutoProcessor.from_pretrained(checkpoint)
    return pipeline("unipose", model=loaded, processor=processor)  # type: ignore[call-overload]


def generate_arguments(arguments: argparse.Namespace) -> dict[str, Any]:
    sampled = arguments.sample or arguments.temperature is not None
    named = {"temperature": arguments.temperature, "max_new_tokens": arguments.max_new_tokens}
    given = {name: value for name, value in named.items() if value is not None}
    return {"do_sample": True, **given} if sampled else given


def answer(arguments: argparse.Namespace) -> None:
    """Runs one request.

    Raises:
        ValueError, OSError: With a message for the user.
    """
    if arguments.text is None and not arguments.pose and not arguments.image:
        raise ValueError("nothing to do: give a text, --pose or --image, or run `unipose demo`")
    from tqdm import tqdm
    from transformers import set_seed

    from .processing.pose_io import check_ending, save_poses

    task = infer_task(arguments)
    if arguments.out is not None:
        check_ending(arguments.out)
        if task in TASKS and TASKS[task].answer == "text":
            raise ValueError(f"--out takes a pose, but task {task!r} answers with text")
    with tqdm(total=2, desc="loading the model", bar_format="{desc} {elapsed}", leave=False, disable=None) as progress:
        pipe = load_pipeline(arguments.model)
        progress.set_description_str("thinking")
        if arguments.seed is not None:
            set_seed(arguments.seed)
        (result,) = pipe(
            text=[arguments.text],
            images=[arguments.image],
            poses=[arguments.pose],
            task=task,
            generate_kwargs=generate_arguments(arguments),
        )
    if result["text"]:
        print(result["text"])
    if arguments.out is None:
        if result["poses"]:
            print(f"{len(result['poses'])} pose(s) in the answer: --out FILE writes them", file=sys.stderr)
    elif not result["poses"]:
        raise ValueError(f"the answer holds no pose: {arguments.out} was not written")
    else:
        for path in save_poses(arguments.out, result["poses"]):
            print(f"wrote {path}", file=sys.stderr)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit status: 0, or 2 for what the user can mend."""
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        if words[:1] == ["demo"]:
            arguments = build_demo_parser().parse_args(words[1:])
            from .demo import run_demo

            run_demo(lambda: load_pipeline(arguments.model), arguments.out, arguments.tasks)
        else:
            answer(build_parser().parse_args(words))
    except (ValueError, OSError) as error:
        print(f"unipose: {next(iter(str(error).strip().splitlines()), type(error).__name__)}", file=sys.stderr)
        return USER_ERROR
    return 0


if __name__ == "__main__":
    sys.exit(main())

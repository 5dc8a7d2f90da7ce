"""Arguments of the `unipose` command.

Only the standard library is imported, so that help, version and wrong options do not wait for torch.
`tests/test_cli_entry.py` compares its names with those of the code.
"""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple


DEFAULT_COMMAND = "generate"
TASK_NAMES = (
    "pose-to-text",
    "pose-diff",
    "image-to-text",
    "image-diff",
    "text-to-pose",
    "image-to-pose",
    "pose-edit",
)
FRAME_NAMES = ("z_up", "y_up", "camera")
ESTIMATOR_NAMES = ("mediapipe",)
EXAMPLES = """examples:
  unipose "A person kneels." --out kneel.glb
  unipose --pose squat.npy
  unipose "Raise the left arm." --pose squat.npy --out raised.npz
  unipose --image person.png --task image-to-pose --show
  unipose --image photo.jpg --estimator mediapipe --out photo.glb
  unipose "A person kneels." | unipose "Raise the left arm." --pose - --show
"""


class ShowVersion(argparse.Action):
    """Prints the installed version; a call without --version does not look it up."""

    def __call__(self, parser, namespace, values, option_string=None) -> None:
        from importlib.metadata import version

        print(f"unipose {version('unipose')}")
        parser.exit()


def add_model(parser: argparse.ArgumentParser) -> None:
    """Adds the option of every command that loads a model."""
    parser.add_argument("--model", metavar="DIR_OR_ID", help="model folder or Hub id; default: the packaged model")


def add_answering(parser: argparse.ArgumentParser) -> None:
    """Adds the options of the commands that answer requests."""
    add_model(parser)
    parser.add_argument(
        "--task", metavar="NAME", help=f"task: {', '.join(TASK_NAMES)}; default: inferred from the inputs"
    )
    parser.add_argument(
        "--frame",
        choices=FRAME_NAMES,
        help="frame of the input poses: z_up (AMASS), y_up (smplx, WHAM, GVHMR) or camera (HMR2, TokenHMR, ROMP); "
        "default: what a file says, otherwise z_up",
    )
    parser.add_argument(
        "--output-frame",
        choices=FRAME_NAMES,
        help="frame of the numbers in the output; default: z_up, or that of an edited file whose hands, face or shape "
        "are kept",
    )
    parser.add_argument(
        "--estimator",
        choices=ESTIMATOR_NAMES,
        help="finds the poses of images in place of the model, for photos of people: mediapipe (needs pip install "
        "'unipose[photo]' and unipose get-mediapipe)",
    )
    parser.add_argument("--num", type=int, metavar="N", help="number of answers; more than one are sampled")
    parser.add_argument("--best-of", type=int, metavar="N", help="takes the best of this many sampled answers")
    parser.add_argument("--sample", action="store_true", help="sampling instead of greedy decoding")
    parser.add_argument("--temperature", type=float, metavar="T", help="temperature of sampling; implies --sample")
    parser.add_argument("--seed", type=int, metavar="N", help="seed of sampling")
    parser.add_argument("--max-new-tokens", type=int, metavar="N", help="maximum length of the answer in tokens")
    loudness = parser.add_mutually_exclusive_group()
    loudness.add_argument("-q", "--quiet", action="store_true", help="nothing on stderr but errors")
    loudness.add_argument(
        "-v", "--verbose", action="store_true", help="model, task and times on stderr, and tracebacks of errors"
    )


class ModuleCommand(NamedTuple):
    """A command that is a module with a parser of its own.

    Args:
        module: The module that it starts.
        text: Its line in the help.
        to_words: Turns the words of the command line into those of the module.
        extra: The extra of the package that it needs.
    """

    module: str
    text: str
    to_words: Callable[[Sequence[str]], list[str]] = list
    extra: str = "training"


def own_data_words(words: Sequence[str]) -> list[str]:
    """`train-own DATA --output DIR` as the module's options; other options are those of the module."""
    parser = argparse.ArgumentParser(
        prog="unipose train-own",
        usage="unipose train-own DATA [--output DIR] [options]",
        description="Trains a model on your own rows, and writes a folder that loads, with a card that tells before "
        "from after.",
        epilog="all options: docs/training/own-data.md, such as --model, --method, --num_train_epochs, --held_out",
    )
    parser.add_argument("data", metavar="DATA", help="a .jsonl, .csv or .parquet file, a folder, or a Hub dataset")
    parser.add_argument("--output", default="my-model", metavar="DIR", help="output folder; default: %(default)s")
    own, others = parser.parse_known_args(words)
    return ["--data", own.data, "--output_dir", own.output, *others]


def publish_words(words: Sequence[str]) -> list[str]:
    """`publish OWNER/NAME` as the module's options; other options are those of the module."""
    is_named = bool(words) and not words[0].startswith("-")
    return ["--repo", *words] if is_named else list(words)


MODULES = {
    "train-own": ModuleCommand(
        "unipose.training.stages.finetune",
        "trains the model on your own rows (needs pip install 'unipose[training]')",
        own_data_words,
    ),
    "evaluate": ModuleCommand(
        "unipose.training.evaluation.evaluate",
        "measures a model on held-out poses (needs pip install 'unipose[training]')",
    ),
    "publish": ModuleCommand(
        "unipose.training.publishing.publish",
        "pushes a model, its dataset, metrics and Space to the Hub: unipose publish OWNER/NAME",
        publish_words,
    ),
    "get-mediapipe": ModuleCommand(
        "unipose.mediapipe_files",
        "fetches the files that --estimator mediapipe needs, by npm",
        extra="photo",
    ),
    "serve": ModuleCommand(
        "unipose.serving.serve",
        "answers chats with poses over HTTP, in OpenAI's format (needs pip install 'unipose[serving]')",
        extra="serving",
    ),
}
COMMANDS = {
    "batch": "answers a .jsonl file of requests",
    "demo": "runs one example of each task",
    **{name: command.text for name, command in MODULES.items()},
}


def generate_parser() -> argparse.ArgumentParser:
    """Parser of the default command: one request."""
    listed = "\n".join(f"  unipose {name:<13} {text}" for name, text in COMMANDS.items())
    parser = argparse.ArgumentParser(
        prog="unipose",
        usage="unipose [options] [text]\n       unipose {" + ",".join(COMMANDS) + "} ...",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Describes, compares, generates, estimates and edits 3D human poses.",
        epilog=f"{EXAMPLES}\nother commands, each with its own --help:\n{listed}",
    )
    parser.add_argument("--version", action=ShowVersion, nargs=0, help="show the version and exit")
    parser.add_argument(
        "text",
        nargs="?",
        help="description, instruction or question, or - for stdin; <pose> and <image> mark the places of the poses "
        "and images, which otherwise precede it",
    )
    parser.add_argument(
        "--pose",
        action="append",
        default=[],
        metavar="FILE",
        help="input pose, or - for JSON on stdin; a frame of a motion: clip.npz:120; repeatable",
    )
    parser.add_argument(
        "--image", action="append", default=[], metavar="FILE", help="input image, or - for stdin; repeatable"
    )
    parser.add_argument(
        "--out",
        metavar="FILE",
        help="output pose, in the format of its ending: numbers (.npz, .npy, .json, .smpl.npz, .smplh.npz, "
        ".smplx.npz), a skinned body (.glb), a skeleton (.bvh), a mesh (.obj), a 3D view (.html), an image (.png) or "
        "its keypoints (.openpose.png, .openpose.json, .coco.json); - is JSON on stdout, as without --out",
    )
    parser.add_argument(
        "--body",
        type=Path,
        metavar="FILE",
        help="SMPL, SMPL-H or SMPL-X body of meshes, skeletons and images; default: built in",
    )
    parser.add_argument(
        "--betas",
        metavar="B,B,...",
        help="shape of the body: numbers, as in --betas=-1,0.5, or a file of them; with --body, or for .smpl.npz, "
        ".smplh.npz and .smplx.npz",
    )
    parser.add_argument(
        "--animate",
        action="store_true",
        help="writes a motion from the input poses through those of the answer to a .glb, .bvh, .smpl.npz, .smplh.npz "
        "or .smplx.npz file",
    )
    parser.add_argument(
        "--show", action="store_true", help="opens a 3D view of the pose in the browser, or prints the page's path"
    )
    parser.add_argument("--json", action="store_true", help="prints each answer as one line of JSON")
    add_answering(parser)
    return parser


def batch_parser() -> argparse.ArgumentParser:
    """Parser of the command of many requests."""
    parser = argparse.ArgumentParser(
        prog="unipose batch",
        usage="unipose batch [options] FILE",
        description="Answers the requests of a .jsonl file, one JSON object a line with text, poses, images, task, "
        "messages, frame and id, in order. The same command continues an interrupted run, and answers failed lines "
        "again. Exit status 1: some lines failed; their entries have an error.",
    )
    parser.add_argument("requests", metavar="FILE", help="requests, or - for stdin")
    parser.add_argument(
        "--out", default="-", metavar="FILE", help="answers, one JSON object a line; default: - for stdout"
    )
    parser.add_argument(
        "--batch-size", type=int, default=16, metavar="N", help="requests answered at once; default: %(default)s"
    )
    add_answering(parser)
    return parser


def demo_parser() -> argparse.ArgumentParser:
    """Parser of the command of examples."""
    parser = argparse.ArgumentParser(
        prog="unipose demo",
        description="Runs one example of each task on motion capture held out from training. Prints the answers and "
        "writes an image and a posed body for each, and a contact sheet of all.",
    )
    add_model(parser)
    parser.add_argument(
        "--out", type=Path, default=Path("unipose-demo"), metavar="DIR", help="output folder; default: %(default)s"
    )
    parser.add_argument(
        "--tasks",
        nargs="+",
        metavar="NAME",
        choices=TASK_NAMES,
        default=list(TASK_NAMES),
        help=f"tasks to run: {', '.join(TASK_NAMES)}; default: all",
    )
    return parser


PARSERS = {DEFAULT_COMMAND: generate_parser, "batch": batch_parser, "demo": demo_parser}


def parse_arguments(words: Sequence[str]) -> argparse.Namespace:
    """Parses a command line; without the name of a command it is that of `unipose generate`."""
    name = words[0] if words else DEFAULT_COMMAND
    if name in MODULES:
        module = MODULES[name]
        words = module.to_words(words[1:])
        return argparse.Namespace(command=name, module=module.module, extra=module.extra, words=words)
    is_command = name in PARSERS
    command = name if is_command else DEFAULT_COMMAND
    arguments = PARSERS[command]().parse_args(words[1:] if is_command and words else words)
    return argparse.Namespace(command=command, **vars(arguments))

"""Throughput of instructions, and their paircode precision and recall on their own pair and on another one.

python benchmarks/instructions.py [--repeats 5]
"""

import numpy as np
import numpy.typing as npt
import roma
import torch
from measure import parse_arguments, print_machine, print_table

from unipose.processing.body_model import BodyModel
from unipose.training.captions.instruct import STYLES, Style, instruct
from unipose.training.captions.instruction_reader import read_instruction
from unipose.training.captions.paircode_precision import score_instructions
from unipose.training.captions.paircodes import Paircode, extract_paircodes
from unipose.training.evaluation.timing import medians
from unipose.training.sampling.poses import add_noise, load_motion_clips, sample_training_poses


COUNT = 1000
SECONDS_APART = 0.4
Joints = npt.NDArray[np.float32]


def random_pairs(body: BodyModel) -> tuple[Joints, Joints]:
    """Pairs of independent training poses."""
    joints = body.forward_joints(sample_training_poses(2 * COUNT, 0, body)[0]).numpy()
    return joints[:COUNT], joints[COUNT:]


def edited_pairs(body: BodyModel) -> tuple[Joints, Joints]:
    """Pairs of a pose and the same pose with noise on every joint."""
    poses = sample_training_poses(COUNT, 1, body)[0]
    edited = add_noise(poses, np.random.default_rng(1), 3.0)
    return body.forward_joints(poses).numpy(), body.forward_joints(edited).numpy()


def motion_pairs(body: BodyModel) -> tuple[Joints, Joints]:
    """Pairs of frames of one motion clip, `SECONDS_APART` seconds apart, with their headings."""
    first, second = [], []
    for clip in load_motion_clips():
        later = torch.searchsorted(clip.seconds, clip.seconds + SECONDS_APART)
        starts = torch.nonzero(later < len(clip.seconds))[:, 0]
        first.append(clip.rotvecs[starts])
        second.append(clip.rotvecs[later[starts]])
    chosen = np.random.default_rng(2).permutation(sum(map(len, first)))[:COUNT]
    poses = (roma.rotvec_to_rotmat(torch.cat(clips)[torch.from_numpy(chosen)]) for clips in (first, second))
    before, after = (body.forward_joints(rotmats).numpy() for rotmats in poses)
    return before, after


def write_texts(paircodes: list[tuple[Paircode, ...]], style: Style) -> list[str]:
    """A text for each pair.

    Args:
        paircodes: paircodes of each pair.
        style: style of the texts.
    """
    rng = np.random.default_rng(0)
    return [instruct(codes, rng, style=style).text for codes in paircodes]


def precision_and_recall(style: Style, before: Joints, after: Joints, same_sequence: bool) -> list[str]:
    """Paircode precision and recall (%) of texts on their own pair, and on the next pair.

    Args:
        style: style of the texts.
        before: (n, 22, 3) joints of the first poses, in meters.
        after: (n, 22, 3) joints of the second poses.
        same_sequence: whether both poses are frames of one motion.
    """
    jitter = np.random.default_rng(3)
    texts = write_texts(extract_paircodes(before, after, same_sequence=same_sequence, jitter=jitter), style)
    row = []
    for shift in (0, 1):
        pairs = (np.roll(joints, shift, axis=0) for joints in (before, after))
        scores = score_instructions(texts, *pairs, same_sequence=same_sequence)
        precision = np.average([score.precision for score in scores], weights=[score.statements for score in scores])
        row += [f"{100 * precision:.1f}", f"{100 * np.mean([score.recall for score in scores]):.1f}"]
    return row


def main() -> None:
    arguments = parse_arguments(__doc__, repeats=5)
    body = BodyModel.builtin()
    sources = {
        "random pairs": (*random_pairs(body), False),
        "edited poses": (*edited_pairs(body), False),
        f"frames {SECONDS_APART} s apart": (*motion_pairs(body), True),
    }
    print(f"Paircode precision and recall (%) at tolerance 1, {COUNT} texts\n")
    header = ["pairs", "style", "precision", "recall", "precision on the next pair", "recall on the next pair"]
    rows = [(name, style, *precision_and_recall(style, *pairs)) for name, pairs in sources.items() for style in STYLES]
    print_table(header, rows)
    before, after, _ = sources["random pairs"]
    codes = extract_paircodes(before, after)
    texts = write_texts(codes, "instruction")
    seconds = medians(
        {
            "paircodes": lambda: extract_paircodes(before, after),
            "paircodes and an instruction": lambda: write_texts(extract_paircodes(before, after), "instruction"),
            "paircodes and a difference": lambda: write_texts(extract_paircodes(before, after), "difference"),
            "parsing": lambda: [read_instruction(text) for text in texts],
            "parsing and scoring": lambda: score_instructions(texts, before, after),
        },
        arguments.repeats,
    )
    print()
    print_machine()
    speeds = [(name, f"{COUNT / value:,.0f}") for name, value in seconds.items()]
    print_table([f"median of {arguments.repeats}", "per second"], speeds)


if __name__ == "__main__":
    main()

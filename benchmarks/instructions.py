"""Instructions a second, and paircode precision and recall on their own pairs and on others.

python benchmarks/instructions.py [--repeats 5]
"""

import numpy as np
import numpy.typing as npt
import roma
import torch
from measure import parse, print_machine, print_table

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
    joints = body.forward_joints(sample_training_poses(2 * COUNT, 0, body)[0]).numpy()
    return joints[:COUNT], joints[COUNT:]


def edited_pairs(body: BodyModel) -> tuple[Joints, Joints]:
    """A pose, and the same with every joint turned a little."""
    poses = sample_training_poses(COUNT, 1, body)[0]
    edited = add_noise(poses, np.random.default_rng(1), 3.0)
    return body.forward_joints(poses).numpy(), body.forward_joints(edited).numpy()


def motion_pairs(body: BodyModel) -> tuple[Joints, Joints]:
    """Frames of one motion, as they are turned."""
    first, second = [], []
    for clip in load_motion_clips():
        later = torch.searchsorted(clip.seconds, clip.seconds + SECONDS_APART)
        starts = torch.nonzero(later < len(clip.seconds))[:, 0]
        first.append(clip.rotvecs[starts])
        second.append(clip.rotvecs[later[starts]])
    chosen = np.random.default_rng(2).permutation(sum(map(len, first)))[:COUNT]
    poses = (roma.rotvec_to_rotmat(torch.cat(given)[torch.from_numpy(chosen)]) for given in (first, second))
    before, after = (body.forward_joints(given).numpy() for given in poses)
    return before, after


def texts_of(codes: list[tuple[Paircode, ...]], style: Style) -> list[str]:
    rng = np.random.default_rng(0)
    return [instruct(given, rng, style=style).text for given in codes]


def agreement(style: Style, before: Joints, after: Joints, same_sequence: bool) -> list[str]:
    """Precision and recall in percent, on the own pair and on the next."""
    jitter = np.random.default_rng(3)
    texts = texts_of(extract_paircodes(before, after, same_sequence=same_sequence, jitter=jitter), style)
    row = []
    for shift in (0, 1):
        pairs = (np.roll(joints, shift, axis=0) for joints in (before, after))
        scores = score_instructions(texts, *pairs, same_sequence=same_sequence)
        held = np.average([score.precision for score in scores], weights=[score.statements for score in scores])
        row += [f"{100 * held:.1f}", f"{100 * np.mean([score.recall for score in scores]):.1f}"]
    return row


def main() -> None:
    arguments = parse(__doc__, repeats=5)
    body = BodyModel.builtin()
    sources = {
        "random pairs": (*random_pairs(body), False),
        "edited poses": (*edited_pairs(body), False),
        f"frames {SECONDS_APART} s apart": (*motion_pairs(body), True),
    }
    print(f"Paircode precision (tolerance 1) and recall of the most salient codes in percent, {COUNT} texts\n")
    header = ["pairs", "style", "precision", "recall", "precision on the next pair", "recall on the next pair"]
    rows = [(name, style, *agreement(style, *pairs)) for name, pairs in sources.items() for style in STYLES]
    print_table(header, rows)
    before, after, _ = sources["random pairs"]
    codes = extract_paircodes(before, after)
    texts = texts_of(codes, "instruction")
    seconds = medians(
        {
            "codes of a pair": lambda: extract_paircodes(before, after),
            "codes and an instruction": lambda: texts_of(extract_paircodes(before, after), "instruction"),
            "codes and a difference": lambda: texts_of(extract_paircodes(before, after), "difference"),
            "reading": lambda: [read_instruction(text) for text in texts],
            "reading and scoring": lambda: score_instructions(texts, before, after),
        },
        arguments.repeats,
    )
    print()
    print_machine()
    speeds = [(name, f"{COUNT / value:,.0f}") for name, value in seconds.items()]
    print_table([f"median of {arguments.repeats}", "a second"], speeds)


if __name__ == "__main__":
    main()

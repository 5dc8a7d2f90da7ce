"""Throughput of captioning: from joints to texts and posecodes, with one process and with two.

python benchmarks/captions.py [--repeats 5]
"""

from concurrent.futures import ProcessPoolExecutor
from functools import partial

import numpy as np
import numpy.typing as npt
from measure import parse_arguments, print_machine, print_table

from unipose.processing.body_model import BodyModel
from unipose.training.captions.caption_reader import read_caption
from unipose.training.captions.describe import describe
from unipose.training.captions.posecode_precision import score_captions
from unipose.training.captions.posecodes import extract_posecodes
from unipose.training.evaluation.timing import medians
from unipose.training.sampling.poses import sample_training_poses


POSES, PROCESSES = 2000, 2


def caption(joints: npt.NDArray) -> list[str]:
    """A caption of each pose, given as (n, 22, 3) joints in meters."""
    rng = np.random.default_rng(0)
    return [describe(codes, rng).text for codes in extract_posecodes(joints, rng)]


def caption_in(pool: ProcessPoolExecutor, joints: npt.NDArray) -> int:
    """Captions poses with several processes, and returns the number of captions.

    Args:
        pool: pool of the processes.
        joints: (n, 22, 3) in meters.
    """
    return sum(len(texts) for texts in pool.map(caption, np.array_split(joints, PROCESSES)))


def main() -> None:
    arguments = parse_arguments(__doc__, repeats=5)
    body = BodyModel.builtin()
    joints = body.forward_joints(sample_training_poses(POSES, 0, body)[0]).numpy()
    texts = caption(joints)
    with ProcessPoolExecutor(PROCESSES) as pool:
        calls = {
            "poses to captions, one process": partial(caption, joints),
            "poses to captions, two processes": partial(caption_in, pool, joints),
            "poses to posecodes": partial(extract_posecodes, joints),
            "captions to posecodes": lambda: [read_caption(text) for text in texts],
            "precision and recall of captions": partial(score_captions, texts, joints),
        }
        seconds = medians(calls, arguments.repeats)
    print_machine()
    rows = [(name, f"{POSES / value:.0f}", f"{1000 * value / POSES:.2f}") for name, value in seconds.items()]
    print_table(["step", "per second", "ms each"], rows)


if __name__ == "__main__":
    main()

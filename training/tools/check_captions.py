"""Reads captions back: posecode precision and recall on their own poses, and on others.

    python -m unipose.training.tools.check_captions --poses 3000

Poses are sampled training poses and all held-out frames. Measurements have the noise of a corpus, so statements hold
within the tolerance.
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import torch
from transformers import HfArgumentParser

from unipose.processing.body_model import BodyModel
from unipose.training.captions.caption_reader import read_caption
from unipose.training.captions.describe import describe
from unipose.training.captions.posecode_precision import CaptionScore, score_captions
from unipose.training.captions.posecodes import CODES, RULES, Posecode, extract_posecodes
from unipose.training.captions.text import Caption
from unipose.training.sampling.poses import held_out_poses, sample_training_poses


@dataclass
class CheckArguments:
    """Options: number of poses, captions and samples."""

    poses: int = field(
        default=3000, metadata={"help": "Number of sampled training poses, in addition to the held-out frames."}
    )
    captions: int = field(default=3, metadata={"help": "Number of captions per pose."})
    samples: int = field(default=10, metadata={"help": "Number of captions to print."})
    seed: int = field(default=0, metadata={"help": "Seed of the poses, noise and wording."})


def mean_scores(scores: Sequence[CaptionScore]) -> dict[str, float]:
    """Posecode precision and recall over all statements of a set of captions."""
    stated, salient = (sum(len(codes) for codes in each) for each in zip(*((s.statements, s.salient) for s in scores)))
    return {
        "precision": sum(len(score.true) for score in scores) / max(stated, 1),
        "recall": sum(len(score.recalled) for score in scores) / max(salient, 1),
    }


def caption_all(joints: npt.NDArray, rotmats: npt.NDArray, times: int, seed: int) -> list[list[Caption[Posecode]]]:
    """Several captions of each pose, from noisy measurements.

    Args:
        joints: (n, 22, 3), meters, y up.
        rotmats: (n, 22, 3, 3), any frame.
        times: number of captions per pose.
        seed: seed of the noise and the wording.

    Returns:
        `times` lists of n captions.
    """
    rng = np.random.default_rng(seed)
    return [[describe(codes, rng) for codes in extract_posecodes(joints, rng, rotmats)] for _ in range(times)]


def main() -> None:
    (arguments,) = HfArgumentParser((CheckArguments,)).parse_args_into_dataclasses()
    body = BodyModel.builtin()
    poses = torch.cat([sample_training_poses(arguments.poses, arguments.seed, body)[0], held_out_poses()])
    joints, rotmats = body.forward_joints(poses).numpy(), poses.numpy()
    rounds = caption_all(joints, rotmats, arguments.captions, arguments.seed)
    captions = [caption for each in rounds for caption in each]
    readings = [read_caption(caption.text) for caption in captions]
    exact = np.mean(
        [reading.codes == caption.codes and not reading.unparsable for reading, caption in zip(readings, captions)]
    )
    order = np.random.default_rng(arguments.seed).permutation(len(joints))
    other = np.empty_like(order)
    other[order] = np.roll(order, 1)
    print(f"{len(joints)} poses, {len(captions)} captions, {len({caption.text for caption in captions})} different")
    print(f"read back to exactly their codes: {100 * exact:.2f} %")
    for name, index in (("their own pose", np.arange(len(joints))), ("a random other pose", other)):
        for tolerance in (0.0, 1.0):
            scores = [
                score
                for each in rounds
                for score in score_captions(
                    [caption.text for caption in each], joints[index], rotmats[index], tolerance
                )
            ]
            means = ", ".join(f"{measure} {100 * value:.2f} %" for measure, value in mean_scores(scores).items())
            print(f"posecode {means} on {name}, tolerance {tolerance:.0f}")
    _print_vocabulary(captions)
    _print_samples(captions, arguments.samples)


def _print_vocabulary(captions: Sequence[Caption[Posecode]]) -> None:
    words = Counter(word for caption in captions for word in re.findall(r"[a-z0-9'-]+", caption.text.lower()))
    lengths = [len(caption.text.split()) for caption in captions]
    statements = np.mean([len(caption.codes) for caption in captions])
    postures = np.mean([any(code.kind == "posture" for code in caption.codes) for caption in captions])
    print(f"{len(words)} different words; {np.mean(lengths):.1f} words and {statements:.1f} statements per caption")
    print(f"{100 * postures:.0f} % name a posture")
    kinds = Counter(code.kind for code in CODES)
    print(f"{len(CODES)} codes: " + ", ".join(f"{kind} {count}" for kind, count in kinds.items()))
    eligibility = Counter(rule.eligibility for rule in RULES.values())
    print("of these " + ", ".join(f"{count} {name}" for name, count in eligibility.items()))


def _print_samples(captions: Sequence[Caption[Posecode]], count: int) -> None:
    for caption in captions[:: max(len(captions) // max(count, 1), 1)][:count]:
        print(f"- {caption.text}")


if __name__ == "__main__":
    main()

"""Ambiguity of text-to-pose: what error the best possible model would have, since one description fits many poses.

    python benchmarks/text_to_pose_ambiguity.py

For each description of the evaluation, the training poses with the highest posecode precision are selected. The first
of them is the result of a model that returns any fitting pose. Their mean has a lower error, but need not fit the
description.

The lower bound does not use the right pose. If that could be any of the selected poses, no answer is nearer to
them on average than the spatial median of each joint, which no body needs to have. A single selected pose counts as
0, so the bound is low where few poses fit.
"""

import argparse

import numpy as np
import torch
from measure import print_table
from tqdm.auto import tqdm

from unipose.processing.body_model import BodyModel
from unipose.training.captions.posecodes import holding
from unipose.training.evaluation.baselines import mean_pose
from unipose.training.evaluation.held_out import make_held_out_frames
from unipose.training.evaluation.metrics import pose_errors
from unipose.training.sampling.poses import held_out_poses, sample_training_poses


# The images are not used here.
IMAGE_SIZE = 16


def spatial_median(points: torch.Tensor, steps: int = 50) -> torch.Tensor:
    """(n, joints, 3) -> (joints, 3): the points with the least mean distance to n points (Weiszfeld's algorithm).

    Args:
        points: in meters.
        steps: number of iterations.
    """
    median = points.mean(dim=0)
    for _ in range(steps):
        weights = 1 / (points - median).norm(dim=-1, keepdim=True).clamp_min(1e-6)
        median = (weights * points).sum(dim=0) / weights.sum(dim=0)
    return median


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--training-poses", type=int, default=20000, help="candidates; default: %(default)s")
    parser.add_argument("--every", type=int, default=3, help="use every n-th held-out frame; default: %(default)s")
    arguments = parser.parse_args()
    body = BodyModel.builtin()
    poses = held_out_poses()[:: arguments.every]
    captions = make_held_out_frames(poses, body, IMAGE_SIZE, seed=0).captions
    candidates, _ = sample_training_poses(arguments.training_poses, 5, body)
    joints = body.forward_joints(candidates)
    first, means, precisions, bounds, counts = [], [], [], [], []
    for caption in tqdm(captions, desc="descriptions"):
        precision = holding(caption.codes, joints.numpy(), rotmats=candidates).mean(axis=0)
        chosen = torch.from_numpy(np.flatnonzero(precision == precision.max()))
        best, fitting = candidates[chosen], joints[chosen].double()
        first.append(best[0])
        bounds.append(1000 * (fitting - spatial_median(fitting)).norm(dim=-1).mean().item())
        counts.append(len(best))
        means.append(mean_pose(best))
        precisions.append(precision.max())
    rows = [
        [name, *(f"{value:.1f}" for value in pose_errors(torch.stack(predictions), poses, body).values())]
        for name, predictions in (("first of the best", first), ("mean of the best", means))
    ]
    rows.append(["lower bound", f"{np.mean(bounds):.1f}", "-"])
    codes_per_caption = np.mean([len(caption.codes) for caption in captions])
    print(
        f"{len(captions)} descriptions, {codes_per_caption:.1f} posecodes each. Mean of the highest posecode "
        f"precision among {len(candidates)} training poses: {100 * np.mean(precisions):.1f} %, of "
        f"{np.median(counts):.0f} poses in the median; {100 * np.mean(np.array(counts) == 1):.1f} % of the "
        "descriptions have a single one."
    )
    print_table(["prediction", "MPJPE (mm)", "PA-MPJPE (mm)"], rows)


if __name__ == "__main__":
    main()

"""Ambiguity of text-to-pose: an estimate of the lowest possible error, since one description fits many poses.

    python benchmarks/text_to_pose_ambiguity.py

For each description of the evaluation, the training poses with the highest posecode precision are selected. The first
of them is the result of a model that returns any fitting pose. Their mean has a lower error, but need not fit the
description.
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--training-poses", type=int, default=20000, help="candidates; default: %(default)s")
    parser.add_argument("--every", type=int, default=3, help="use every n-th held-out frame; default: %(default)s")
    arguments = parser.parse_args()
    body = BodyModel.builtin()
    poses = held_out_poses()[:: arguments.every]
    captions = make_held_out_frames(poses, body, IMAGE_SIZE, seed=0).captions
    candidates, _ = sample_training_poses(arguments.training_poses, 5, body)
    joints = body.forward_joints(candidates).numpy()
    first, means, precisions = [], [], []
    for caption in tqdm(captions, desc="descriptions"):
        precision = holding(caption.codes, joints, rotmats=candidates).mean(axis=0)
        best = candidates[torch.from_numpy(np.flatnonzero(precision == precision.max()))]
        first.append(best[0])
        means.append(mean_pose(best))
        precisions.append(precision.max())
    rows = [
        [name, *(f"{value:.1f}" for value in pose_errors(torch.stack(predictions), poses, body).values())]
        for name, predictions in (("first of the best", first), ("mean of the best", means))
    ]
    codes_per_caption = np.mean([len(caption.codes) for caption in captions])
    print(
        f"{len(captions)} descriptions, {codes_per_caption:.1f} posecodes each. Mean of the highest posecode "
        f"precision among {len(candidates)} training poses: {100 * np.mean(precisions):.1f} %"
    )
    print_table(["prediction", "MPJPE (mm)", "PA-MPJPE (mm)"], rows)


if __name__ == "__main__":
    main()

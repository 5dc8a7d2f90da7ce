"""How far apart poses lie that the same description fits: what no model of text-to-pose can know.

    python benchmarks/what_words_leave_open.py

For the descriptions of the evaluation, the training poses are sought of which most statements hold. One of them is
what a model that answers with some fitting pose reaches; their mean is nearer than any of them, but fits none.
"""

import argparse

import numpy as np
import torch
from measure import print_table
from tqdm.auto import tqdm

from unipose.processing.body_model import BodyModel
from unipose.training.captions.posecodes import holding
from unipose.training.evaluation.evaluate import hold_out, mean_pose
from unipose.training.evaluation.metrics import pose_errors
from unipose.training.sampling.poses import held_out_poses, sample_training_poses


# Of no picture that is looked at here.
PICTURE_SIZE = 16


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--training-poses", type=int, default=20000)
    parser.add_argument("--every", type=int, default=3, help="takes every n-th held-out frame")
    arguments = parser.parse_args()
    body = BodyModel.builtin()
    poses = held_out_poses()[:: arguments.every]
    captions = hold_out(poses, body, PICTURE_SIZE, seed=0).captions
    known, _ = sample_training_poses(arguments.training_poses, 5, body)
    joints = body.forward_joints(known).numpy()
    ones, means, shares = [], [], []
    for caption in tqdm(captions, desc="descriptions"):
        share = holding(caption.codes, joints, rotmats=known).mean(axis=0)
        fitting = known[torch.from_numpy(np.flatnonzero(share == share.max()))]
        ones.append(fitting[0])
        means.append(mean_pose(fitting))
        shares.append(share.max())
    rows = [
        [name, *(f"{value:.1f}" for value in pose_errors(torch.stack(answers), poses, body).values())]
        for name, answers in (("one that fits best", ones), ("mean of those that fit best", means))
    ]
    print(
        f"{len(captions)} descriptions of {np.mean([len(caption.codes) for caption in captions]):.1f} statements, of "
        f"which {100 * np.mean(shares):.1f} % hold of the best of {len(known)} training poses"
    )
    print_table(["answer", "MPJPE (mm)", "PA-MPJPE (mm)"], rows)


if __name__ == "__main__":
    main()

"""Sampling of poses and pairs: throughput, plausibility checks on real motion, and diversity of the poses.

OMP_NUM_THREADS=1 python benchmarks/sampling.py
"""

import torch
from measure import parse_arguments, print_machine, print_table

from unipose.processing.body_model import BodyModel
from unipose.training.evaluation.timing import medians
from unipose.training.sampling.anatomy import within_limits
from unipose.training.sampling.collisions import body_capsules, self_intersects
from unipose.training.sampling.pose_pairs import sample_pose_pairs
from unipose.training.sampling.poses import (
    PoseSampler,
    SourceShares,
    held_out_poses,
    is_plausible,
    sample_training_poses,
    training_motion_poses,
)


NUM_POSES = 2000
NUM_PAIRS = 1000


def nearest_distance(poses: torch.Tensor, candidates: torch.Tensor, body: BodyModel, same: bool = False) -> float:
    """Mean distance (MPJPE, mm) of poses from their nearest neighbors.

    Args:
        poses: (n, 22, 3, 3).
        candidates: (m, 22, 3, 3), among which the neighbors are searched.
        body: the body to measure.
        same: the candidates are the poses, so that the nearest candidate is the pose and the second its neighbor.
    """
    joints = [body.forward_joints(each) for each in (poses, candidates)]
    rows = [(one - joints[1]).norm(dim=-1).mean(dim=1).topk(2, largest=False)[0][int(same)] for one in joints[0]]
    return float(torch.stack(rows).mean()) * 1000.0


def spread(poses: torch.Tensor) -> float:
    """Root mean square angle (degrees) between the rotations of the body's joints and their mean."""
    mean = torch.linalg.svd(poses[:, 1:].mean(dim=0))
    center = (
        mean.U @ torch.diag_embed(torch.stack([torch.ones(21), torch.ones(21), (mean.U @ mean.Vh).det()], 1)) @ mean.Vh
    )
    cosine = ((center * poses[:, 1:]).sum(dim=(-1, -2)) - 1.0) / 2.0
    return float(cosine.clamp(-1.0, 1.0).arccos().square().mean().sqrt().rad2deg())


def main() -> None:
    arguments = parse_arguments(__doc__, repeats=3)
    body = BodyModel.builtin()
    capsules = body_capsules(body)
    seconds = medians(
        {
            "poses": lambda: sample_training_poses(NUM_POSES, 0, body),
            "pairs": lambda: sample_pose_pairs(NUM_PAIRS, 0, body),
        },
        arguments.repeats,
    )
    print_machine()
    counts = {"poses": NUM_POSES, "pairs": NUM_PAIRS}
    print_table(("sampled", "per second"), [(name, f"{counts[name] / value:.0f}") for name, value in seconds.items()])

    rows = []
    for name, frames in (("training clips", training_motion_poses()), ("held-out clips", held_out_poses())):
        checks = (
            within_limits(frames),
            ~self_intersects(frames, body, capsules),
            is_plausible(frames, body, capsules),
        )
        rows.append((name, str(len(frames)), *(f"{100 * each.float().mean():.1f} %" for each in checks)))
    print()
    print_table(("frames", "number", "within joint limits", "no self-collision", "both"), rows)

    held_out = held_out_poses()
    sampler = PoseSampler.load(body, 0)
    samples = {source: sampler.draw(source, NUM_POSES)[0] for source in SourceShares().counts(1)}
    samples = {"all": sample_training_poses(NUM_POSES, 0, body)[0], **samples}
    rows = [
        (
            name,
            f"{nearest_distance(poses, poses, body, same=True):.0f}",
            f"{spread(poses):.1f}",
            f"{nearest_distance(held_out, poses, body):.0f}",
        )
        for name, poses in samples.items()
    ]
    print()
    print_table(("source", "nearest neighbor (mm)", "spread (degrees)", "distance of held-out frames (mm)"), rows)


if __name__ == "__main__":
    main()

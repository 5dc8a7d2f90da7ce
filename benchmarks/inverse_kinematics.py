"""Error of rotations that are fitted to joint positions, on imported motion capture.

The keypoints are those of the built-in body, or of random bodies, in the poses of the records. MPJPE and mean angle
compare the fitted pose with the true one on the built-in body, aligned at the pelvis.

    python benchmarks/inverse_kinematics.py runs/motion_test
"""

import argparse

import numpy as np
import roma
import torch

from unipose.processing.body_model import BodyModel
from unipose.processing.inverse_kinematics import fit_rotations
from unipose.processing.keypoint_positions import place_keypoints
from unipose.processing.keypoint_skeletons import SKELETONS
from unipose.processing.pose_frames import NUM_JOINTS
from unipose.training.datasets.import_data import SavedRecords
from unipose.training.synthetic_images.body_shapes import BodyShape, shape_body


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("records", help="folder by import_data")
    parser.add_argument("--samples", type=int, default=1000)
    arguments = parser.parse_args()
    records, rng = SavedRecords(arguments.records), np.random.default_rng(0)
    rows = np.linspace(0, len(records) - 1, arguments.samples).astype(int)
    rotmats = roma.rotvec_to_rotmat(torch.from_numpy(np.stack([records[int(row)].rotvecs for row in rows])))
    body = BodyModel.builtin()
    shapes = [shape_body(body, BodyShape.random(rng)).joints[:NUM_JOINTS] for _ in range(20)]
    truth = body.forward_joints(rotmats)
    print("| skeleton | exact, mm | other bodies, mm | 20 mm noise, mm | exact, degrees | reported error, mm |")
    print("|---|---|---|---|---|---|")
    for skeleton in SKELETONS:
        exact = place_keypoints(rotmats, body.joints[:NUM_JOINTS], skeleton)
        other = torch.cat([place_keypoints(rotmats[i::20], shapes[i], skeleton) for i in range(20)])
        noisy = exact + 0.02 / np.sqrt(3) * torch.from_numpy(rng.normal(size=exact.shape)).float()
        others = torch.cat([truth[i::20] for i in range(20)])
        cells = []
        for points, expected in ((exact, truth), (other, others), (noisy, truth)):
            fitted = fit_rotations(points, skeleton, frame="z_up")
            got = body.forward_joints(fitted.rotmats)
            cells.append(f"{1000 * (got - expected).norm(dim=-1).mean():.1f}")
        fitted = fit_rotations(exact, skeleton, frame="z_up")
        angles = roma.rotmat_geodesic_distance(fitted.rotmats, rotmats).rad2deg().mean()
        print(f"| {skeleton} | {' | '.join(cells)} | {angles:.1f} | {fitted.errors.nanmean():.1f} |")


if __name__ == "__main__":
    main()

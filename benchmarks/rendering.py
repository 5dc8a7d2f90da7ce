"""Throughput of `render_pose` by image size.

python benchmarks/rendering.py [--repeats 20]
"""

from functools import partial

from measure import parse_arguments, print_machine, print_table

from unipose.demo import LUNGE, load_frames
from unipose.processing.body_model import BodyModel
from unipose.processing.rendering import render_pose
from unipose.training.evaluation.timing import medians


SETTINGS = ((96, 2), (256, 1), (256, 2), (512, 2))


def main() -> None:
    arguments = parse_arguments(__doc__, repeats=20)
    body, pose = BodyModel.builtin(), load_frames()[LUNGE]
    calls = {
        f"{size} px, {supersample} x {supersample} samples": partial(
            render_pose, pose, body, size=size, supersample=supersample
        )
        for size, supersample in SETTINGS
    }
    seconds = medians(calls, arguments.repeats)
    print_machine()
    fastest = min(seconds.values())
    rows = [(name, f"{1 / value:.0f}", f"{value / fastest:.1f}") for name, value in seconds.items()]
    print_table(["image", "images per second", "relative time"], rows)


if __name__ == "__main__":
    main()

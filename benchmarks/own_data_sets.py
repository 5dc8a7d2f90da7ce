"""Writes the two example sets on which fine-tuning is measured (docs/training/own-data.md), 50 rows each.

    python benchmarks/own_data_sets.py --output runs/own_data

new_poses.jsonl: five poses of held-out motion under invented names, each in ten wordings (text-to-pose).
caption_style.jsonl: poses described in the style of a studio's notes (pose-to-text).
"""

import argparse
import json
from pathlib import Path
from typing import Any

import roma
import torch

from unipose.processing.body_model import BodyModel
from unipose.training.captions import describe_poses
from unipose.training.geometry import remove_heading
from unipose.training.io import write_text
from unipose.training.sampling.poses import held_out_poses, sample_training_poses


NAMES = {
    "the lantern": 20,
    "the drawbridge": 70,
    "the weathervane": 115,
    "the cormorant": 160,
    "the anvil": 195,
}
WORDINGS = (
    "A person does {name}.",
    "Someone holds {name} pose.",
    "{Name}.",
    "do {name}",
    "Show me {name} please.",
    "A dancer in {name}.",
    "she takes up {name} position",
    "He is doing {name} move",
    "Pose of {name}.",
    "Give me {name}, the way our studio does it.",
)
SENTENCES = 2


def to_list(pose: torch.Tensor) -> list[list[float]]:
    """(22, 3, 3) -> (22, 3) rotation vectors."""
    return roma.rotmat_to_rotvec(pose.double()).numpy().round(5).tolist()


def new_poses() -> list[dict[str, Any]]:
    """Rows of `text` and `pose`."""
    poses = remove_heading(held_out_poses().float())
    return [
        {"text": wording.format(name=name, Name=name.capitalize()), "pose": to_list(poses[frame])}
        for name, frame in NAMES.items()
        for wording in WORDINGS
    ]


def caption_style() -> list[dict[str, Any]]:
    """Rows of `pose` and `text`: the first sentences of a caption, as a note."""
    poses = remove_heading(sample_training_poses(50, 77, BodyModel.builtin())[0].float())
    rows = []
    for pose, caption in zip(poses, describe_poses(poses, seed=5)):
        sentences = [sentence.strip().lower() for sentence in caption.split(".") if sentence.strip()][:SENTENCES]
        text = f"STUDIO NOTE: {'; '.join(sentences)}; end of note."
        rows.append({"pose": to_list(pose), "text": text, "task": "pose-to-text"})
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--output", type=Path, default=Path("runs/own_data"), metavar="DIR", help="default: %(default)s"
    )
    folder = parser.parse_args().output
    for name, rows in (("new_poses", new_poses()), ("caption_style", caption_style())):
        write_text(folder / f"{name}.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
        print(f"wrote {folder / name}.jsonl")


if __name__ == "__main__":
    main()

"""Builds the corpus of a training run: poses, captions, pictures and instructions as rows, saved to disk.

python -m unipose.training.build_corpus --config training/recipes/tiny_corpus.yaml
"""

from dataclasses import dataclass, field

from datasets import concatenate_datasets
from trl import TrlParser

from unipose.processing.body_model import BodyModel

from .poses import sample_training_poses
from .rows import TASKS, build_rows


@dataclass
class CorpusArguments:
    """How many rows of each task; every task draws its own poses."""

    output: str = field(default="runs/corpus", metadata={"help": "Folder of the saved dataset."})
    pose_to_text: int = 15000
    text_to_pose: int = 35000
    image_to_pose: int = 15000
    picture_size: int = 96
    seed: int = 1


def main() -> None:
    (arguments,) = TrlParser((CorpusArguments,)).parse_args_and_config()
    body = BodyModel.builtin()
    parts = []
    for index, task in enumerate(TASKS):
        count, seed = getattr(arguments, task.replace("-", "_")), arguments.seed + index
        rotmats, labels = sample_training_poses(count, seed, body)
        parts.append(build_rows(rotmats.float(), labels, [task], seed, arguments.picture_size, body))
        print(f"{task}: {len(parts[-1])} rows")
    concatenate_datasets(parts).save_to_disk(arguments.output)


if __name__ == "__main__":
    main()

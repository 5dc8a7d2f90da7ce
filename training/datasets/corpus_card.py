"""Writes the dataset card of a corpus from its statistics, and uploads both.

python -m unipose.training.datasets.corpus_card --corpus runs/corpus --name owner/unipose-corpus --push_to_hub
"""

from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

from huggingface_hub import DatasetCard, DatasetCardData, HfApi
from transformers import HfArgumentParser

from unipose.training.datasets.corpus_statistics import to_markdown, write_statistics
from unipose.training.datasets.shards import RECIPE_FILE, read_summary
from unipose.training.io import read_json
from unipose.training.sampling.poses import SPLIT_CLIPS


# The Hub's size categories: upper limit and name.
SIZES = ((10**3, "n<1K"), (10**4, "1K<n<10K"), (10**5, "10K<n<100K"), (10**6, "100K<n<1M"), (10**7, "1M<n<10M"))
UPLOADED = ["README.md", "*.json", "statistics.md", "*/*.parquet"]


@dataclass
class CardArguments:
    """The corpus and its name."""

    corpus: str = field(default="runs/corpus", metadata={"help": "Folder of a corpus by build_corpus."})
    name: str = field(default="unipose-corpus", metadata={"help": "Name of the dataset; on the Hub: owner/name."})
    push_to_hub: bool = field(default=False, metadata={"help": "Whether to upload the corpus and the card."})
    private: bool = field(default=False, metadata={"help": "Whether to create the Hub dataset as private."})


def card_data(name: str, rows: dict[str, dict[str, int]]) -> DatasetCardData:
    """The card's metadata: all rows as the default configuration, and one configuration for each task.

    Args:
        name: name of the dataset.
        rows: {split: {task: number}}.
    """
    total = sum(number for tasks in rows.values() for number in tasks.values())
    tasks = list(next(iter(rows.values())))
    patterns = {"default": "*", **{task: f"{task}-*" for task in tasks}}
    return DatasetCardData(
        license="apache-2.0",
        language="en",
        pretty_name=name.rpartition("/")[2],
        tags=["unipose", "human-pose", "smpl", "text-to-pose", "pose-estimation", "synthetic"],
        size_categories=next((size for border, size in SIZES if total < border), "n>10M"),
        configs=[
            {
                "config_name": config,
                "data_files": [{"split": split, "path": f"{split}/{pattern}.parquet"} for split in rows],
            }
            for config, pattern in patterns.items()
        ],
    )


def write_card(folder: str | Path, name: str) -> DatasetCard:
    """Computes the statistics of a corpus and writes its card, README.md.

    Args:
        folder: folder of a complete corpus by build_corpus.
        name: name of the dataset.

    Raises:
        FileNotFoundError: the corpus is not complete.
        ValueError: it was not built by build_corpus: the card would state a wrong source and license.
    """
    folder = Path(folder)
    rows = read_summary(folder)["rows"]
    recipe = read_json(folder / RECIPE_FILE)
    maker = recipe.pop("maker")
    if maker != "build_corpus":
        raise ValueError(
            f"{folder} was made by {maker}; expected build_corpus: the card would state a wrong source and license"
        )
    card = DatasetCard.from_template(
        card_data(name, rows),
        template_str=resources.files("unipose.model_cards").joinpath("dataset.md.jinja").read_text("utf-8"),
        name=name,
        rows=rows,
        recipe=recipe,
        clips={split: ", ".join(clips) for split, clips in SPLIT_CLIPS.items() if split in rows},
        table=to_markdown(write_statistics(folder)),
    )
    card.save(folder / "README.md")
    return card


def push_corpus(folder: str | Path, name: str, private: bool = False, api: Any = None) -> str:
    """Uploads a complete corpus with its card.

    Args:
        folder: folder of the corpus.
        name: "owner/name" on the Hub; created where it does not exist.
        private: whether to create it as private.
        api: an `HfApi`, for another endpoint or token.

    Returns:
        The URL of the commit.

    Raises:
        FileNotFoundError: the corpus is not complete; nothing is uploaded.
        ValueError: see `write_card`; nothing is uploaded.
    """
    api = HfApi() if api is None else api
    write_card(folder, name)
    api.create_repo(name, repo_type="dataset", private=private, exist_ok=True)
    commit = api.upload_folder(
        repo_id=name,
        repo_type="dataset",
        folder_path=str(folder),
        allow_patterns=UPLOADED,
        commit_message="Corpus of UniPose training rows",
    )
    return commit.commit_url


def main() -> None:
    (arguments,) = HfArgumentParser((CardArguments,)).parse_args_into_dataclasses()
    if arguments.push_to_hub:
        print(push_corpus(arguments.corpus, arguments.name, arguments.private))
    else:
        write_card(arguments.corpus, arguments.name)


if __name__ == "__main__":
    main()

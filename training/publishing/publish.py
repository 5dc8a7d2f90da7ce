"""`unipose publish OWNER/NAME`: pushes a model, its dataset, its metrics and its Space to the Hub.

unipose publish OWNER/NAME --model runs/instruct --dry_run
unipose publish OWNER/NAME --model runs/instruct --dataset runs/corpus
"""

import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from huggingface_hub import HfApi
from huggingface_hub.utils import validate_repo_id
from transformers import HfArgumentParser

from unipose.embedded_checkpoint import EMBEDDED_CHECKPOINT
from unipose.training.publishing.card import Names
from unipose.training.publishing.folders import write_dataset_folder, write_model_folder, write_space_folder


MODEL_VARIABLE = "UNIPOSE_MODEL"


@dataclass
class PublishArguments:
    """What is published, and where."""

    repo: str = field(metadata={"help": "OWNER/NAME of the model on the Hub."})
    model: str | None = field(default=None, metadata={"help": "Folder of the model; default: the packaged one."})
    dataset: str | None = field(
        default=None, metadata={"help": "Folder of a corpus, published as OWNER/NAME-corpus; default: none."}
    )
    space: bool = field(default=True, metadata={"help": "Whether to publish the Space, as OWNER/NAME-space."})
    base_model: str | None = field(default=None, metadata={"help": "Hub id of the model that it was trained from."})
    private: bool = field(default=False, metadata={"help": "Whether new repositories are private."})
    dry_run: bool = field(default=False, metadata={"help": "Lists the files and prints the card; uploads nothing."})

    @property
    def names(self) -> Names:
        """Ids on the Hub."""
        dataset = f"{self.repo}-corpus" if self.dataset else None
        return Names(self.repo, dataset, f"{self.repo}-space" if self.space else None, self.base_model)


class Repository(NamedTuple):
    """A repository to push.

    Args:
        name: OWNER/NAME.
        kind: "model", "dataset" or "space".
        folder: Its content.
    """

    name: str
    kind: str
    folder: Path

    @property
    def files(self) -> list[Path]:
        """Its files, sorted."""
        return sorted(path for path in self.folder.rglob("*") if path.is_file())


def check_name(name: str) -> None:
    """Checks the id of a model.

    Raises:
        ValueError: It is not OWNER/NAME.
    """
    if name.count("/") != 1:
        raise ValueError(f"expected OWNER/NAME, got {name!r}")
    validate_repo_id(name)


def prepare(arguments: PublishArguments, folder: Path) -> list[Repository]:
    """Writes all repositories, before any is pushed.

    Args:
        arguments: The arguments.
        folder: Where they are written.

    Raises:
        ValueError: A name, the model or the corpus is not what is expected.
        OSError: A file cannot be read or written.
    """
    check_name(arguments.repo)
    names = arguments.names
    repositories = []
    if names.dataset and arguments.dataset:
        repositories.append(Repository(names.dataset, "dataset", folder / "dataset"))
        write_dataset_folder(Path(arguments.dataset), folder / "dataset")
    repositories.append(Repository(names.model, "model", folder / "model"))
    write_model_folder(Path(arguments.model or EMBEDDED_CHECKPOINT), folder / "model", names)
    if names.space:
        repositories.append(Repository(names.space, "space", folder / "space"))
        write_space_folder(folder / "space", names)
    return repositories


def push(repository: Repository, api: HfApi, private: bool) -> str:
    """Pushes a repository in one commit; unchanged files are not uploaded again.

    Args:
        repository: The repository.
        api: The Hub.
        private: Whether a new one is private.

    Returns:
        Its commit.
    """
    kind: dict[str, Any] = {"repo_type": repository.kind}
    sdk = {"space_sdk": "gradio"} if repository.kind == "space" else {}
    api.create_repo(repository.name, exist_ok=True, private=private, **kind, **sdk)
    info = api.upload_folder(
        repo_id=repository.name, folder_path=repository.folder, commit_message="Publish by unipose publish", **kind
    )
    return info.oid


def show(repositories: list[Repository]) -> None:
    """Prints the files of all repositories, and the card of the model."""
    for repository in repositories:
        print(f"{repository.kind} {repository.name}")
        for path in repository.files:
            print(f"{path.stat().st_size / 1e6:10.3f} MB  {path.relative_to(repository.folder).as_posix()}")
    (card,) = [repository.folder / "README.md" for repository in repositories if repository.kind == "model"]
    print(f"\n{card.read_text(encoding='utf-8')}")


def publish(arguments: PublishArguments) -> None:
    """Pushes the dataset, the model and the Space, in this order: what is linked is there first.

    Args:
        arguments: What is published.
    """
    with tempfile.TemporaryDirectory(prefix="unipose-publish-") as folder:
        repositories = prepare(arguments, Path(folder))
        if arguments.dry_run:
            show(repositories)
            return
        api = HfApi()
        for repository in repositories:
            commit = push(repository, api, arguments.private)
            if repository.kind == "space":
                api.add_space_variable(repository.name, MODEL_VARIABLE, arguments.repo)
            print(f"{repository.kind} {repository.name} at {commit}")


def main() -> None:
    arguments: Any = PublishArguments
    (parsed,) = HfArgumentParser(arguments, prog="unipose publish").parse_args_into_dataclasses()
    publish(parsed)


if __name__ == "__main__":
    main()

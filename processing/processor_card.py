"""The card of a processor's push to the Hub: the one of the checkpoint that it came with."""

from contextlib import suppress
from os import PathLike
from pathlib import Path
from typing import Any

from huggingface_hub import ModelCard
from transformers.utils import cached_file


# Of the card that the library writes where there is none.
PLACEHOLDER = "This model card has been automatically generated."


class ProcessorCardMixin:
    """`push_to_hub` of a processor with the card of its checkpoint, unless the repository has one."""

    tokenizer: Any

    def _upload_modified_files(self, working_dir: str | PathLike, repo_id: str, *args: Any, **kwargs: Any) -> Any:
        path = Path(working_dir) / "README.md"
        if path.is_file() and PLACEHOLDER in ModelCard.load(path).text:
            with suppress(OSError):  # The checkpoint may have none.
                own_card = cached_file(self.tokenizer.name_or_path, path.name)
                if own_card is not None:
                    ModelCard.load(own_card).save(path)
        return super()._upload_modified_files(working_dir, repo_id, *args, **kwargs)  # type: ignore[misc]


__all__ = ["ProcessorCardMixin"]

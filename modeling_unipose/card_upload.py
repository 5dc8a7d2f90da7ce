"""The card of a push to the Hub: the one that came with the checkpoint, if its figures are those of the weights.

Models and processors need it. Their folders do not import from each other: `processing/` has a link to this file.
"""

import json
import re
from os import PathLike
from pathlib import Path
from typing import Any

from huggingface_hub import ModelCard
from safetensors import safe_open
from transformers import PreTrainedModel, ProcessorMixin
from transformers.utils import SAFE_WEIGHTS_INDEX_NAME, SAFE_WEIGHTS_NAME, cached_file


# Of the card that the library writes where there is none.
PLACEHOLDER = "This model card has been automatically generated."
EVALUATION = re.compile(r"^## Evaluation\n.*?(?=^## |\Z)", re.DOTALL | re.MULTILINE)


def update_card(part: PreTrainedModel | ProcessorMixin, folder: str | PathLike, repo_id: str) -> None:
    """Replaces a placeholder card by that of the checkpoint from which a model or a processor was loaded.

    Weights that have changed since get a card without the figures. A card of the repository's own stays.

    Args:
        part: The model or the processor.
        folder: What is to be uploaded, with a card.
        repo_id: The repository.
    """
    path = Path(folder) / "README.md"
    source = (part if isinstance(part, PreTrainedModel) else part.tokenizer).name_or_path or ""
    own_card = find_file(source, path.name)
    if own_card is None or not path.is_file():
        return
    card, current = ModelCard.load(own_card), ModelCard.load(path)
    known = [card.text.strip(), rename_card(card, repo_id).text.strip()]
    is_own = PLACEHOLDER not in current.text and current.text.strip() not in known
    if is_own or PLACEHOLDER in card.text:
        return
    if isinstance(part, PreTrainedModel) and not same_weights(part, source):
        remove_figures(card, source)
    card.data.tags = list(dict.fromkeys([*(card.data.tags or []), *(current.data.tags or [])]))
    card.save(path)


def rename_card(card: ModelCard, repo_id: str) -> ModelCard:
    """A card whose model has another name.

    Args:
        card: The card; changed in place.
        repo_id: The new name.
    """
    data: Any = card.data
    if data.model_name:
        card.text = re.sub(rf"(?<![\w/.-]){re.escape(data.model_name)}(?![\w/-])", repo_id, card.text)
        data.model_name = repo_id.rpartition("/")[2]
    return card


def remove_figures(card: ModelCard, source: str) -> None:
    """Takes the results out of a card.

    Args:
        card: The card; changed in place.
        source: Folder or Hub id of the evaluated model.
    """
    name = source if not Path(source).is_dir() else Path(source).name
    note = f"## Evaluation\n\nThese weights come from {name}, were changed since, and have not been evaluated.\n\n"
    card.text = EVALUATION.sub(lambda _: note, card.text)
    data: Any = card.data
    data.eval_results = data.model_name = None
    if not Path(source).is_dir():
        data.base_model = source


def find_file(source: str, name: str) -> str | None:
    """The path of a file of a checkpoint; None: there is none.

    Args:
        source: Folder or Hub id; empty: a model that was not loaded.
        name: Name of the file.
    """
    if not source:
        return None
    try:
        return cached_file(source, name)
    except OSError:
        return None


def same_weights(model: PreTrainedModel, source: str) -> bool:
    """Whether a model has the weights of a checkpoint, up to its precision.

    Args:
        model: The model.
        source: Folder or Hub id of the checkpoint.
    """
    index = find_file(source, SAFE_WEIGHTS_INDEX_NAME)
    names = [SAFE_WEIGHTS_NAME]
    if index is not None:
        names = sorted(set(json.loads(Path(index).read_text(encoding="utf-8"))["weight_map"].values()))
    weights: dict[str, Any] = model.state_dict()
    for path in (find_file(source, name) for name in names):
        if path is None:
            return False
        with safe_open(path, framework="pt") as stored:
            for name in stored.keys():  # noqa: SIM118 - it is no dict
                weight, saved = weights.get(name), stored.get_tensor(name)
                if weight is None or weight.shape != saved.shape or weight.is_meta:
                    return False
                if not saved.to(weight.dtype).equal(weight.cpu()):
                    return False
    return True


class CardUploadMixin:
    """`push_to_hub` of a model or a processor with the card of its checkpoint."""

    def _upload_modified_files(self, working_dir: str | PathLike, repo_id: str, *args: Any, **kwargs: Any) -> Any:
        update_card(self, working_dir, repo_id)  # type: ignore[arg-type]
        return super()._upload_modified_files(working_dir, repo_id, *args, **kwargs)  # type: ignore[misc]


__all__ = ["CardUploadMixin", "update_card"]

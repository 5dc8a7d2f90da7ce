"""The card of a published model: that of its folder, renamed, rounded, linked and licensed."""

import re
from pathlib import Path
from typing import Any, NamedTuple

from huggingface_hub import ModelCard, ModelCardData

from unipose.card_upload import rename_card


DIGITS = 4
PIPELINE_TAG = "image-text-to-text"
SECTION = re.compile(r"^## Files and links\n.*?(?=^## |\Z)", re.DOTALL | re.MULTILINE)


class Names(NamedTuple):
    """Ids on the Hub; None: not published.

    Args:
        model: The model.
        dataset: Its corpus.
        space: Its Space.
        base_model: The model that it was trained from.
    """

    model: str
    dataset: str | None = None
    space: str | None = None
    base_model: str | None = None


def model_card(folder: Path, names: Names) -> ModelCard:
    """The card of a model.

    Args:
        folder: The saved model; without a card it gets one that states no results.
        names: Ids on the Hub.
    """
    path = folder / "README.md"
    card = ModelCard.load(path) if path.is_file() else empty_card(names)
    data: Any = card.data
    # A card that was published before has the new name, whose last part may be a word of its text.
    if names.model not in card.text:
        rename_card(card, names.model)
    if not data.eval_results:
        data.model_name = None
    data.library_name = data.library_name or "transformers"
    data.pipeline_tag = data.pipeline_tag or PIPELINE_TAG
    data.tags = list(dict.fromkeys([*(data.tags or []), "unipose", "custom_code", "endpoints-template"]))
    if names.base_model:
        data.base_model = names.base_model
    if names.dataset:
        data.datasets = list(dict.fromkeys([*(data.datasets or []), names.dataset]))
    for result in data.eval_results or []:
        if isinstance(result.metric_value, float):
            result.metric_value = float(f"{result.metric_value:.{DIGITS}g}")
    card.text = SECTION.sub("", card.text).rstrip() + "\n\n" + links(names)
    return card


def empty_card(names: Names) -> ModelCard:
    """A card of a model that has none: what it is, and that nothing was measured."""
    text = f"""# {names.model}

A UniPose model. It describes, compares, generates, edits and estimates 3D human poses.

```python
from transformers import pipeline

pipe = pipeline("unipose", model="{names.model}", trust_remote_code=True)
```

## Evaluation

These weights have not been evaluated.
"""
    return ModelCard(f"---\n{ModelCardData(license='other').to_yaml()}\n---\n{text}")


def links(names: Names) -> str:
    """The section of files and links, which ends with the licenses."""
    lines = [
        "- `handler.py` answers on Inference Endpoints; `metrics/` holds the metrics as modules of `evaluate`, which "
        "need the package.",
        "- Code in this repository runs with `trust_remote_code=True`: pin a commit by `revision=`.",
    ]
    if names.space:
        lines.append(f"- Space: [{names.space}](https://huggingface.co/spaces/{names.space})")
    if names.dataset:
        lines.append(f"- Dataset: [{names.dataset}](https://huggingface.co/datasets/{names.dataset})")
    lines.append(
        "- Licenses: that of the weights is in the head of this card; the code is Apache-2.0 (`LICENSE`); body and"
    )
    lines[-1] += " motion data have the sources and licenses in `NOTICE`."
    return "## Files and links\n\n" + "\n".join(lines) + "\n"

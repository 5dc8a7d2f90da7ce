"""Placeholders of images and poses in a text, and the inputs that fill them, row by row.

In a text one `<pose>` stands for one pose and one `<image>` for one image. Each is expanded to a start token,
`num_pose_tokens` (`num_image_tokens`) placeholders and an end token; the model replaces the placeholders by vectors.
The chat templates expand the blocks of a message in the same way. A placeholder with a break (see `control_tokens`)
is text.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple


class Placeholder(NamedTuple):
    """How one image or pose is written in a text.

    Args:
        kind: "image" or "pose".
        token: Placeholder of one vector; alone, it stands for the whole image or pose.
        start: Token before the placeholders.
        end: Token after the placeholders.
        length: Number of vectors.
    """

    kind: str
    token: str
    start: str
    end: str
    length: int

    @property
    def expanded(self) -> str:
        """Start token, `length` placeholders, end token."""
        return self.start + self.token * self.length + self.end

    @property
    def pattern(self) -> str:
        """Matches one image or pose: expanded already, or a bare token."""
        return f"(?:{re.escape(self.expanded)}|{re.escape(self.token)})"

    def count(self, text: str) -> int:
        """Number of images or poses in `text`."""
        return len(re.findall(self.pattern, text))


class Grouped(NamedTuple):
    """Images or poses by row.

    Args:
        rows: Items of each row; "single" and "flat" have one row.
        layout: Form of the input: at most one item, one list, or a list for each row.
    """

    rows: list[list[Any]]
    layout: Literal["single", "flat", "nested"]

    @property
    def items(self) -> list[Any]:
        """All of them, in order."""
        return [item for row in self.rows for item in row]


def group_list(items: Sequence[Any], is_row: Callable[[Any], bool]) -> Grouped:
    """Groups a flat list of images or poses, or a list of rows.

    Args:
        items: Images or poses, or rows of them, where None is an empty row.
        is_row: Whether an item is a row.
    """
    if items and all(item is None or is_row(item) for item in items):
        return Grouped([list(row or []) for row in items], "nested")
    return Grouped([list(items)], "flat")


def expand_placeholders(text: str, placeholders: Mapping[str, Placeholder]) -> tuple[str, list[dict[str, Any]]]:
    """Expands every placeholder of a text.

    Args:
        text: Text with placeholders; those that are expanded already stay unchanged.
        placeholders: Placeholders by kind.

    Returns:
        The text, and the replaced spans in the form that transformers' assistant mask reads.
    """
    pattern = "|".join(f"(?P<{kind}>{placeholder.pattern})" for kind, placeholder in placeholders.items())
    pieces, spans, last, gained = [], [], 0, 0
    for match in re.finditer(pattern, text):
        kind = str(match.lastgroup)
        full = placeholders[kind].expanded
        start, end = match.span()
        new_start = start + gained
        gained += len(full) - (end - start)
        spans.append({"type": kind, "span": (start, end), "new_span": (new_start, end + gained)})
        pieces += [text[last:start], full]
        last = end
    return "".join(pieces) + text[last:], spans


def check_counts(texts: Sequence[str], placeholder: Placeholder, inputs: Grouped) -> None:
    """Checks that there is one input for each placeholder.

    Args:
        texts: One per row.
        placeholder: Placeholder of the kind to check.
        inputs: All images, or all poses.

    Raises:
        ValueError: The numbers differ.
    """
    kind, token = placeholder.kind, placeholder.token
    expected = [placeholder.count(text) for text in texts]
    got = [len(row) for row in inputs.rows]
    if inputs.layout == "nested":
        if len(got) != len(expected):
            raise ValueError(f"there are {len(expected)} texts, but {kind}s for {len(got)} texts")
        for number, (places, count) in enumerate(zip(expected, got), start=1):
            if places != count:
                raise ValueError(f"text {number} holds {places} {token}, but {count} {kind}s were given for it")
    elif sum(expected) != sum(got):
        by_text = f" ({', '.join(map(str, expected))} by text)" if len(expected) > 1 else ""
        raise ValueError(f"the text holds {sum(expected)} {token}{by_text}, but {sum(got)} {kind}s were given")

"""Counts what a corpus says: rows, lengths, vocabulary, statements, pictures.

    python -m unipose.training.datasets.corpus_statistics --corpus runs/corpus

writes `statistics.json` and `statistics.md` into the corpus.
"""

import io
import re
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import astuple, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Image, List
from PIL import Image as PILImage
from tqdm.auto import tqdm
from transformers import HfArgumentParser

from unipose.training.captions.caption_reader import read_caption
from unipose.training.captions.instruction_reader import read_instruction
from unipose.training.captions.text import Reading
from unipose.training.datasets.shards import load_corpus, read_summary
from unipose.training.io import write_json


Statistics = dict[str, dict[str, dict[str, Any]]]

# What reads the statements back out of a task's texts.
READERS: dict[str, Callable[[str], Reading[Any]]] = {
    "pose-to-text": read_caption,
    "image-to-text": read_caption,
    "text-to-pose": read_caption,
    "pose-diff": read_instruction,
    "image-diff": read_instruction,
    "pose-edit": read_instruction,
}
COLUMNS = ("rows", "prompts", "words: mean (5 %, 95 %)", "vocabulary", "distinct texts", "statements", "pictures")
MOST_FREQUENT = 30
SHOWN = 12
PERCENTILES = (5, 50, 95)
_WORD = re.compile(r"[a-z0-9]+(?:[-'][a-z0-9]+)*")


@dataclass
class StatisticsArguments:
    """Which corpus."""

    corpus: str = field(default="runs/corpus", metadata={"help": "Folder that build_corpus has written."})


def words_of(text: str) -> list[str]:
    """The words of a text in lower case; numbers and hyphenated words count as one."""
    return _WORD.findall(text.lower())


def text_statistics(texts: list[str]) -> dict[str, Any]:
    """How long texts are and which words they use.

    Returns:
        words (mean, percentiles and the most of a text), vocabulary (distinct words), distinct_texts (their share) and
        most_frequent_words.
    """
    words = [words_of(text) for text in texts]
    lengths = np.array([len(each) for each in words])
    counts = Counter(word for each in words for word in each)
    spread = {f"p{share}": float(np.percentile(lengths, share)) for share in PERCENTILES}
    return {
        "words": {"mean": float(lengths.mean()), **spread, "max": int(lengths.max())},
        "vocabulary": len(counts),
        "distinct_texts": len(set(texts)) / len(texts),
        "most_frequent_words": counts.most_common(MOST_FREQUENT),
    }


def code_statistics(texts: list[str], read: Callable[[str], Reading[Any]]) -> dict[str, Any]:
    """The statements that can be read back out of texts.

    Returns:
        statements (mean of a text), sentences_unread (share), and codes: {"kind subject value": share of the texts}.
    """
    readings = [read(text) for text in texts]
    sentences = sum(each.sentences for each in readings)
    counts = Counter(" ".join(filter(None, astuple(code))) for each in readings for code in each.codes)
    return {
        "statements": sum(len(each.codes) for each in readings) / len(texts),
        "sentences_unread": sum(len(each.unparsable) for each in readings) / max(sentences, 1),
        "codes": {code: count / len(texts) for code, count in counts.most_common()},
    }


def picture_statistics(pictures: list[bytes]) -> dict[str, Any]:
    """{"pixels": {"96x96": number}, "formats": {"PNG": number}, "kilobytes": mean} of encoded pictures."""
    sizes: Counter[str] = Counter()
    formats: Counter[str] = Counter()
    for picture in pictures:
        with PILImage.open(io.BytesIO(picture)) as opened:
            sizes[f"{opened.width}x{opened.height}"] += 1
            formats[str(opened.format)] += 1
    kilobytes = sum(map(len, pictures)) / len(pictures) / 1000
    return {"pixels": dict(sizes), "formats": dict(formats), "kilobytes": kilobytes}


def prompt_of(row: dict[str, Any]) -> str:
    """A row's question with its pictures, poses and text left open."""
    pieces = [
        block["text"].replace(row["text"] or "\0", "{text}") if block["type"] == "text" else f"<{block['type']}>"
        for block in row["messages"][0]["content"]
    ]
    return "".join(pieces)


def task_statistics(task: str, rows: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """Everything that is counted about the rows of one task; pictures are not decoded."""
    texts: list[str] = []
    pictures: list[bytes] = []
    prompts: set[str] = set()
    number = 0
    for row in rows:
        number += 1
        prompts.add(prompt_of(row))
        texts += [row["text"]] if row["text"] else []
        pictures += [picture["bytes"] for picture in row["images"]]
    found: dict[str, Any] = {"rows": number, "prompts": len(prompts)}
    if texts:
        found |= text_statistics(texts)
    if texts and task in READERS:
        found |= code_statistics(texts, READERS[task])
    if pictures:
        found["pictures"] = picture_statistics(pictures)
    return found


def corpus_statistics(folder: str | Path) -> Statistics:
    """{split: {task: what is counted}} of a complete corpus, read shard by shard."""
    found: Statistics = {}
    for split, tasks in read_summary(folder)["rows"].items():
        for task, number in tasks.items():
            rows = load_corpus(folder, split, tasks=[task], streaming=True)
            rows = rows.cast_column("images", List(Image(decode=False)))
            counted = tqdm(rows, total=number, desc=f"{split} {task}", leave=False, disable=None)
            found.setdefault(split, {})[task] = task_statistics(task, counted)
    return found


def to_markdown(statistics: Statistics) -> str:
    """A table with a row for each split and task, then the most frequent words and statements of the first split."""
    lines = [
        f"| split | task | {' | '.join(COLUMNS)} |",
        "|---|---|" + "---|" * len(COLUMNS),
    ]
    for split, tasks in statistics.items():
        lines += [f"| {' | '.join((split, task, *_cells(found)))} |" for task, found in tasks.items()]
    lines.append("")
    for task, found in next(iter(statistics.values())).items():
        if "most_frequent_words" in found:
            lines += [f"- **{task}**, most frequent words: {_listed(found['most_frequent_words'])}."]
        if "codes" in found:
            codes = [(code, f"{100 * share:.0f} %") for code, share in found["codes"].items()]
            lines += [f"- **{task}**, most frequent statements: {_listed(codes)}."]
    return "\n".join(lines)


def _listed(counted: list[tuple[str, Any]]) -> str:
    return ", ".join(f"{name} ({number})" for name, number in counted[:SHOWN])


def _cells(found: dict[str, Any]) -> tuple[str, ...]:
    words, pictures = found.get("words"), found.get("pictures")
    return (
        f"{found['rows']:,}",
        f"{found['prompts']:,}",
        f"{words['mean']:.1f} ({words['p5']:.0f}, {words['p95']:.0f})" if words else "",
        str(found["vocabulary"]) if words else "",
        f"{100 * found['distinct_texts']:.1f} %" if words else "",
        f"{found['statements']:.1f}" if "statements" in found else "",
        f"{', '.join(pictures['pixels'])}, {pictures['kilobytes']:.1f} kB" if pictures else "",
    )


def write_statistics(folder: str | Path) -> Statistics:
    """Counts a corpus and writes `statistics.json` and `statistics.md` into its folder."""
    statistics = corpus_statistics(folder)
    write_json(Path(folder) / "statistics.json", statistics)
    (Path(folder) / "statistics.md").write_text(to_markdown(statistics) + "\n", encoding="utf-8")
    return statistics


def main() -> None:
    (arguments,) = HfArgumentParser((StatisticsArguments,)).parse_args_into_dataclasses()
    print(to_markdown(write_statistics(arguments.corpus)))


if __name__ == "__main__":
    main()

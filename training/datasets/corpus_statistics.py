"""Statistics of a corpus: rows, prompts, lengths of texts, vocabulary, posecodes, images.

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
from unipose.training.io import markdown_table, write_json, write_text


Statistics = dict[str, dict[str, dict[str, Any]]]

# Parser of the posecodes (paircodes) in a task's texts.
READERS: dict[str, Callable[[str], Reading[Any]]] = {
    "pose-to-text": read_caption,
    "image-to-text": read_caption,
    "text-to-pose": read_caption,
    "pose-diff": read_instruction,
    "image-diff": read_instruction,
    "pose-edit": read_instruction,
}
COLUMNS = ("rows", "prompts", "words: mean (5 %, 95 %)", "vocabulary", "distinct texts", "codes per text", "images")
MOST_FREQUENT = 30
NUM_LISTED = 12
PERCENTILES = (5, 50, 95)
_WORD = re.compile(r"[a-z0-9]+(?:[-'][a-z0-9]+)*")


@dataclass
class StatisticsArguments:
    """The corpus."""

    corpus: str = field(default="runs/corpus", metadata={"help": "Folder of a corpus."})


def words_of(text: str) -> list[str]:
    """The words of a text in lower case; numbers and hyphenated words count as one."""
    return _WORD.findall(text.lower())


def text_statistics(texts: list[str]) -> dict[str, Any]:
    """Statistics of lengths and words.

    Returns:
        words (mean, percentiles and maximum per text), vocabulary (number of distinct words), distinct_texts (their
        share) and most_frequent_words.
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
    """Statistics of the posecodes (paircodes) that are parsed from texts.

    Args:
        texts: captions or instructions.
        read: their parser.

    Returns:
        codes_per_text (mean), unparsable_sentences (share), and codes: {"kind subject value": share of the texts}.
    """
    readings = [read(text) for text in texts]
    sentences = sum(each.sentences for each in readings)
    counts = Counter(" ".join(filter(None, astuple(code))) for each in readings for code in each.codes)
    return {
        "codes_per_text": sum(len(each.codes) for each in readings) / len(texts),
        "unparsable_sentences": sum(len(each.unparsable) for each in readings) / max(sentences, 1),
        "codes": {code: count / len(texts) for code, count in counts.most_common()},
    }


def image_statistics(images: list[bytes]) -> dict[str, Any]:
    """{"pixels": {"96x96": number}, "formats": {"PNG": number}, "kilobytes": mean} of encoded images."""
    sizes: Counter[str] = Counter()
    formats: Counter[str] = Counter()
    for image in images:
        with PILImage.open(io.BytesIO(image)) as opened:
            sizes[f"{opened.width}x{opened.height}"] += 1
            formats[str(opened.format)] += 1
    kilobytes = sum(map(len, images)) / len(images) / 1000
    return {"pixels": dict(sizes), "formats": dict(formats), "kilobytes": kilobytes}


def prompt_of(row: dict[str, Any]) -> str:
    """The template of a row's prompt: its images, poses and text replaced by placeholders."""
    pieces = [
        block["text"].replace(row["text"] or "\0", "{text}") if block["type"] == "text" else f"<{block['type']}>"
        for block in row["messages"][0]["content"]
    ]
    return "".join(pieces)


def task_statistics(task: str, rows: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """All statistics of the rows of one task; images are not decoded.

    Args:
        task: a key of `TASKS`.
        rows: its rows, images as bytes.
    """
    texts: list[str] = []
    images: list[bytes] = []
    prompts: set[str] = set()
    number = 0
    for row in rows:
        number += 1
        prompts.add(prompt_of(row))
        texts += [row["text"]] if row["text"] else []
        images += [image["bytes"] for image in row["images"]]
    statistics: dict[str, Any] = {"rows": number, "prompts": len(prompts)}
    if texts:
        statistics |= text_statistics(texts)
    if texts and task in READERS:
        statistics |= code_statistics(texts, READERS[task])
    if images:
        statistics["images"] = image_statistics(images)
    return statistics


def corpus_statistics(folder: str | Path) -> Statistics:
    """{split: {task: statistics}} of a complete corpus, read shard by shard."""
    statistics: Statistics = {}
    for split, tasks in read_summary(folder)["rows"].items():
        for task, number in tasks.items():
            rows = load_corpus(folder, split, tasks=[task], streaming=True)
            rows = rows.cast_column("images", List(Image(decode=False)))
            progress = tqdm(rows, total=number, desc=f"{split} {task}", leave=False, disable=None)
            statistics.setdefault(split, {})[task] = task_statistics(task, progress)
    return statistics


def to_markdown(statistics: Statistics) -> str:
    """A table with a row for each split and task, then the most frequent words and codes of the first split."""
    rows = [(split, task, *_cells(counts)) for split, tasks in statistics.items() for task, counts in tasks.items()]
    lines = [markdown_table(("split", "task", *COLUMNS), rows), ""]
    for task, counts in next(iter(statistics.values())).items():
        if "most_frequent_words" in counts:
            lines += [f"- **{task}**, most frequent words: {_list(counts['most_frequent_words'])}."]
        if "codes" in counts:
            codes = [(code, f"{100 * share:.0f} %") for code, share in counts["codes"].items()]
            lines += [f"- **{task}**, most frequent codes: {_list(codes)}."]
    return "\n".join(lines)


def _list(counts: list[tuple[str, Any]]) -> str:
    return ", ".join(f"{name} ({number})" for name, number in counts[:NUM_LISTED])


def _cells(counts: dict[str, Any]) -> tuple[str, ...]:
    words, images = counts.get("words"), counts.get("images")
    return (
        f"{counts['rows']:,}",
        f"{counts['prompts']:,}",
        f"{words['mean']:.1f} ({words['p5']:.0f}, {words['p95']:.0f})" if words else "",
        str(counts["vocabulary"]) if words else "",
        f"{100 * counts['distinct_texts']:.1f} %" if words else "",
        f"{counts['codes_per_text']:.1f}" if "codes_per_text" in counts else "",
        f"{', '.join(images['pixels'])}, {images['kilobytes']:.1f} kB" if images else "",
    )


def write_statistics(folder: str | Path) -> Statistics:
    """Writes `statistics.json` and `statistics.md` into the folder of a complete corpus; returns the statistics."""
    statistics = corpus_statistics(folder)
    write_json(Path(folder) / "statistics.json", statistics)
    write_text(Path(folder) / "statistics.md", to_markdown(statistics) + "\n")
    return statistics


def main() -> None:
    (arguments,) = HfArgumentParser((StatisticsArguments,)).parse_args_into_dataclasses()
    print(to_markdown(write_statistics(arguments.corpus)))


if __name__ == "__main__":
    main()

"""Questions about images, and images without a person."""

import io
from collections import Counter

import numpy as np
import pytest
import torch
from PIL import Image

from unipose.processing.body_model import BodyModel
from unipose.training.datasets.build_corpus import Recipe, build_corpus
from unipose.training.datasets.image_words import ImageWords, load_person_questions
from unipose.training.datasets.records import ImageAnswerRecord
from unipose.training.datasets.rows import rows_from_records
from unipose.training.datasets.shards import load_corpus
from unipose.training.synthetic_images.scenes import empty_image


def render(pose: torch.Tensor | None, rng: np.random.Generator) -> bytes:
    return b"empty" if pose is None else b"person"


@pytest.fixture(scope="module")
def asked() -> list[ImageAnswerRecord]:
    return ImageWords(BodyModel.builtin(), render).questions(300, np.random.default_rng(0), "train/i")


def test_answers_fit_the_image(asked: list[ImageAnswerRecord]) -> None:
    seen = Counter()
    for record in asked:
        nobody = record.answer in load_person_questions()["no"]
        assert nobody == (record.image == b"empty"), record
        assert record.prompt.count("{image}") == 1
        assert "{pose}" not in record.prompt
        seen[record.name.split(":")[1], nobody] += 1
    assert seen["person", True] > 5
    assert seen["person", False] > 5
    assert sum(count for (kind, nobody), count in seen.items() if nobody and kind != "person") > 2


def test_rows_hold_one_image_and_the_answer(asked: list[ImageAnswerRecord]) -> None:
    words = ImageWords(BodyModel.builtin(), render)
    records = [*asked[:5], *words.empty_scenes(5, np.random.default_rng(1), "train/i")]
    rows = list(rows_from_records(records, ["image-to-text"], np.random.default_rng(0)))
    for row, record in zip(rows, records):
        kinds = [block["type"] for block in row["messages"][0]["content"]]
        assert kinds.count("image") == len(row["images"]) == 1
        assert row["poses"] == []
        assert row["text"] == record.answer == row["messages"][1]["content"][0]["text"]
    assert list(rows_from_records(records, ["image-to-pose"], np.random.default_rng(0))) == []


def test_empty_scenes_differ_and_depend_on_the_seed() -> None:
    first, again, other = (empty_image(np.random.default_rng(seed), 48)["bytes"] for seed in (0, 0, 1))
    assert first == again != other
    assert Image.open(io.BytesIO(first)).size == (48, 48)


def test_a_corpus_with_questions_about_images(tmp_path) -> None:
    recipe = Recipe(0, 0, 10, 0, 0, 0, 0, image_size=32, image_questions=0.4, empty_scenes=0.2, shard_size=10)
    build_corpus(recipe, tmp_path / "corpus")
    sources = [row["source"] for row in load_corpus(tmp_path / "corpus", cache_dir=tmp_path / "cache")]
    assert sum(":human:" in source for source in sources) == 4
    assert sum(":empty:" in source for source in sources) == 2
    with pytest.raises(ValueError, match="at most 1 together"):
        Recipe(image_questions=0.8, empty_scenes=0.3).shards()

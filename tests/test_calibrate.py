"""The fit of confidences, and the chooser that reads texts."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import pipeline

from unipose.answer_choice import FEATURES, confidence
from unipose.processing.body_model import BodyModel
from unipose.training.captions import describe_poses
from unipose.training.evaluation.calibrate import (
    TASK_FEATURES,
    CalibrationArguments,
    Examples,
    collect_examples,
    disturb_words,
    fit_confidence,
    fit_logistic,
    image_without_person,
    no_person_threshold,
    write_weights,
)
from unipose.training.evaluation.metrics import auroc
from unipose.training.evaluation.reader_chooser import ReaderChooser
from unipose.training.named_poses.archetypes import archetype_poses


def made_up_examples(rows: int = 600) -> Examples:
    """Answers that are right with a probability that follows from two features of very different units."""
    rng = np.random.default_rng(0)
    values = np.column_stack([rng.normal(-5.0, 1.0, rows), rng.normal(0.01, 0.002, rows)])
    total = 1.5 * (values[:, 0] + 5.0) - 1000.0 * (values[:, 1] - 0.01) - 0.5
    right = rng.random(rows) < 1 / (1 + np.exp(-total))
    features = [{"code_log_prob": float(a), "code_variance": float(b)} for a, b in values]
    return Examples(features, right, np.zeros(rows, dtype=bool))


def test_disturbed_texts_have_other_words_or_another_order() -> None:
    text, rng = "a man stands on his left leg", np.random.default_rng(0)
    disturbed = [disturb_words(text, rng) for _ in range(200)]
    assert all(set(each.split()) <= set(text.split()) for each in disturbed), "no new words"
    assert sum(each != text for each in disturbed) > 180
    assert {len(each.split()) for each in disturbed} >= {5, 6, 7, 8, 9}
    assert disturb_words("squat", rng).split()[0] == "squat"


def test_auroc_counts_pairs() -> None:
    right = np.array([True, False, True, False])
    assert auroc(np.array([0.9, 0.1, 0.8, 0.2]), right) == 1.0
    assert auroc(np.array([0.1, 0.9, 0.2, 0.8]), right) == 0.0
    assert auroc(np.array([0.5, 0.5, 0.7, 0.6]), right) == pytest.approx((0.5 + 0 + 1 + 1) / 4)
    assert np.isnan(auroc(np.zeros(3), np.ones(3, dtype=bool)))


def test_the_fit_finds_the_weights_that_made_the_answers() -> None:
    examples = made_up_examples(20_000)
    values = np.array([list(row.values()) for row in examples.features])
    weights = fit_logistic(values, examples.right)
    assert weights[0] == pytest.approx(1.5, rel=0.1)
    assert weights[1] == pytest.approx(-1000.0, rel=0.1)
    alone = fit_logistic(values, np.ones(len(values), dtype=bool))
    assert np.isfinite(alone).all(), "also where all answers are right"


def test_confidences_are_calibrated_and_those_of_the_pipeline() -> None:
    examples = made_up_examples()
    fit = fit_confidence(examples, ("code_log_prob", "code_variance"), seed=0)
    assert fit.auroc > 0.8
    assert fit.calibration_error < 0.08
    values = [confidence(row, fit.weights) for row in examples.features]
    assert np.corrcoef(values, fit.confidences)[0, 1] > 0.99
    assert np.mean(values) == pytest.approx(examples.right.mean(), abs=0.01)


def test_few_images_with_a_person_are_below_the_threshold() -> None:
    examples = made_up_examples()
    empty = np.arange(600) < 100
    examples = Examples(examples.features, examples.right & ~empty, empty)
    fit = fit_confidence(examples, ("code_log_prob",), seed=0)
    threshold = no_person_threshold(fit, examples)
    assert (fit.confidences[~empty] < threshold).mean() == pytest.approx(0.05, abs=0.01)


def test_images_without_a_person_differ() -> None:
    images = [np.asarray(image_without_person(np.random.default_rng(seed), 24)) for seed in range(8)]
    assert {image.shape for image in images} == {(24, 24, 3)}
    assert len({image.tobytes() for image in images}) == 8


def test_a_model_is_calibrated_and_uses_what_was_written(
    tiny_checkpoint: Path, body: BodyModel, tmp_path: Path
) -> None:
    """All tasks of a random model; their weights are taken by the pipeline of the folder."""
    pipe = pipeline("unipose", model=str(tiny_checkpoint), max_new_tokens=16)
    arguments = CalibrationArguments(every=8, wordings=6, pairs=6, empty_images=2, image_size=32)
    weights = {}
    with torch.no_grad():
        for task, examples in collect_examples(pipe, body, arguments):
            names = TASK_FEATURES[task]
            assert set(names) <= FEATURES.keys()
            assert len(examples.features) == len(examples.right) == len(examples.empty) > 5
            assert not (examples.right & examples.empty).any()
            weights[task] = fit_confidence(examples, names, 0).weights
    assert weights.keys() == TASK_FEATURES.keys()
    pipe.save_pretrained(tmp_path)
    write_weights(tmp_path, weights, 0.25)
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["confidence_weights"] == weights
    loaded = pipeline("unipose", model=str(tmp_path))
    assert loaded.model.config.no_person_below == 0.25
    answer = loaded("A person kneels.", task="text-to-pose", return_features=True)
    assert answer["confidence"] == pytest.approx(confidence(answer["features"], weights["text-to-pose"]))


def test_the_reader_chooses_what_is_true(body: BodyModel) -> None:
    chooser = ReaderChooser(body)
    poses = archetype_poses(["t_pose", "squat", "kneel_left"]).float()
    texts = describe_poses(poses, seed=0)
    shown = [{"text": "", "poses": [pose.numpy()]} for pose in poses]
    written = [{"text": text, "poses": []} for text in texts]
    for index in range(3):
        request = {"task": "text-to-pose", "text": texts[index], "poses": [], "images": []}
        assert chooser(request, shown) == index
        request = {"task": "pose-to-text", "text": None, "poses": [poses[index]], "images": []}
        assert chooser(request, written) == index
    request = {"task": "text-to-pose", "text": "Salsa!", "poses": [], "images": []}
    assert chooser(request, [shown[0], shown[1], shown[1]]) == 1, "the most central one"

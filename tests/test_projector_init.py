"""The initialization of a projector."""

from pathlib import Path

import pytest
import torch
from stage_corpus import STAGE_ARGUMENTS, write_tiny_corpus
from tiny_checkpoint import save_tiny_checkpoint
from tiny_models import random_pixels, tiny_model
from transformers import AutoProcessor

from unipose import UniPoseForConditionalGeneration, vision_unipose
from unipose.training.datasets.shards import load_corpus
from unipose.training.trainer.config import StageConfig
from unipose.training.trainer.language import LanguageArguments, build_trainer
from unipose.training.trainer.optimizer import OptimizerArguments
from unipose.training.trainer.projector_init import standardize_projector
from unipose.training.trainer.trainable_parts import PROJECT, LoraArguments
from unipose.vision_unipose import vision_encoder_features


def test_image_features_have_the_scale_of_text_embeddings() -> None:
    model = tiny_model()
    pixels = random_pixels(model.config, 6)
    model.model.multi_modal_projector.linear_1.weight.data.mul_(50)
    standardize_projector(model, pixels)
    features = model.get_image_features(**pixels).pooler_output
    torch.testing.assert_close(features.std(), model.get_input_embeddings().weight.std(), rtol=1e-4, atol=0)


def start(folder: Path, tasks: tuple[str, ...]) -> UniPoseForConditionalGeneration:
    """The model of a stage that has not begun to train."""
    save_tiny_checkpoint(folder / "model")
    write_tiny_corpus(folder / "corpus", tasks, images=True)
    stage = LanguageArguments(str(folder / "model"), str(folder / "corpus"), standardize_image_features=4)
    config = StageConfig(str(folder / "run"), **STAGE_ARGUMENTS)
    return build_trainer(stage, LoraArguments(), OptimizerArguments(), config, PROJECT).model


def test_a_stage_fits_it_to_images_of_its_corpus(tmp_path: Path) -> None:
    model = start(tmp_path, ("image-to-pose",))
    (images,) = (row["images"] for row in load_corpus(tmp_path / "corpus").select([0]))
    processor = AutoProcessor.from_pretrained(tmp_path / "model")
    features = model.get_image_features(**processor.image_processor(images, return_tensors="pt")).pooler_output
    assert 0.3 < features.std() / model.get_input_embeddings().weight.std() < 3


def test_a_corpus_without_images_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no row of these tasks has an image"):
        start(tmp_path, ("text-to-pose",))


def test_the_scale_of_an_encoder_does_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the scale of the vision encoder's features: the same after standardizing."""
    results = []
    for scale in (1.0, 1000.0):
        monkeypatch.setattr(
            vision_unipose,
            "vision_encoder_features",
            lambda outputs, config, by=scale: by * vision_encoder_features(outputs, config),
        )
        model = tiny_model()
        pixels = random_pixels(model.config, 6)
        before = model.get_image_features(**pixels).pooler_output
        standardize_projector(model, pixels)
        results.append(model.get_image_features(**pixels).pooler_output)
        assert not torch.allclose(before, results[-1])
    torch.testing.assert_close(results[0], results[1], rtol=1e-3, atol=1e-4)

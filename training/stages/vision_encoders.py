"""Pretrains the vision encoders on rendered people, only where no pretrained ones are available.

    python -m unipose.training.stages.vision_encoders --config training/recipes/tiny/vision_encoders.yaml

The option `vision_encoders` of the stage `project` loads the two folders that this stage writes. All later stages
freeze the encoders.
"""

from pathlib import Path

import torch

from unipose.processing.body_model import BodyModel
from unipose.training.models.encoder_sizes import image_processor
from unipose.training.models.text_tokenizer import train_text_tokenizer
from unipose.training.trainer.checkpoints import find_checkpoint
from unipose.training.trainer.config import RecipeParser, StageConfig
from unipose.training.trainer.encoder_images import EncoderImages, render_encoder_images
from unipose.training.trainer.encoder_init import initialize_encoders
from unipose.training.trainer.optimizer import OptimizerArguments, build_optimizer
from unipose.training.trainer.vision_encoders import (
    POSE_VISION,
    VISION,
    EncoderArguments,
    EncoderCollator,
    EncoderPretraining,
    EncoderTrainer,
    build_encoders,
)


# Vocabulary size of the descriptions.
VOCABULARY = 2000
# Number of descriptions to train their tokenizer on; others have the same phrases.
TOKENIZER_TEXTS = 20000
# Number of images whose patches are whitened.
WHITENED_IMAGES = 512


def main() -> None:
    parser = RecipeParser((EncoderArguments, OptimizerArguments, StageConfig))
    arguments, optimizer, config = parser.parse_args_and_config()
    torch.manual_seed(config.seed)
    vision, pose_vision = build_encoders(arguments)
    rows = render_encoder_images(
        arguments.images,
        arguments.num_images,
        arguments.render_size,
        arguments.image_seed,
        arguments.workers,
        arguments.records,
    )
    images = EncoderImages(rows, vision.config.image_size, config.seed)
    tokenizer = train_text_tokenizer(images.texts[:TOKENIZER_TEXTS], VOCABULARY)
    collator = EncoderCollator(image_processor(vision.config, pose_vision.config), tokenizer, pose_vision.config)
    if arguments.start is None:
        batch = collator(images.__getitems__(list(range(min(WHITENED_IMAGES, len(images))))))
        initialize_encoders(vision, pose_vision, batch["pixel_values"], batch["pose_pixel_values"])
    encoders = EncoderPretraining(vision, pose_vision, len(tokenizer))
    trainer = EncoderTrainer(
        BodyModel.builtin(),
        model=encoders,
        args=config,
        train_dataset=images,
        data_collator=collator,
        optimizers=build_optimizer(encoders, optimizer, config),
    )
    trainer.train(resume_from_checkpoint=find_checkpoint(config))
    folder = Path(config.output_dir)
    vision.save_pretrained(folder / VISION)
    pose_vision.save_pretrained(folder / POSE_VISION)


if __name__ == "__main__":
    main()

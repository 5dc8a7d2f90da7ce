"""The vision encoder alone against both encoders (paper, section 4): poses from images.

python -m unipose.training.ablations.vision_encoders --config training/recipes/ablations/vision_encoders.yaml
"""

import copy
from pathlib import Path

from transformers import AutoModelForImageTextToText, AutoProcessor

from unipose import UniPoseForConditionalGeneration
from unipose.training.ablations.table import Table, write_table
from unipose.training.ablations.variants import Ablation, add_columns
from unipose.training.trainer.trainable_parts import INSTRUCT


PROJECTOR_INPUT = "model.multi_modal_projector.linear_1.weight"


def save_without_pose_encoder(source: str, folder: Path) -> None:
    """Saves a model and its processor without the pose encoder; the projector keeps the vision encoder's columns.

    Args:
        source: folder or Hub id of the model.
        folder: where the smaller model is saved.

    Raises:
        ValueError: the model does not have both encoders.
    """
    model, processor = AutoModelForImageTextToText.from_pretrained(source), AutoProcessor.from_pretrained(source)
    if model.model.vision_tower is None or model.model.pose_vision_tower is None:
        raise ValueError(f"{source} does not have both vision encoders; expected a model with both")
    config = copy.deepcopy(model.config)
    config.pose_vision_config = None
    weights = {name: value for name, value in model.state_dict().items() if "pose_vision_tower" not in name}
    # Its channels are those of the vision encoder, then those of the pose encoder.
    weights[PROJECTOR_INPUT] = weights[PROJECTOR_INPUT][:, : config.num_image_channels]
    smaller = UniPoseForConditionalGeneration(config)
    smaller.load_state_dict(weights)
    smaller.generation_config = model.generation_config
    smaller.save_pretrained(folder)
    processor.image_processor.pose_size = None
    processor.save_pretrained(folder)


def main() -> None:
    ablation = Ablation.from_recipe(INSTRUCT)
    evaluation = ablation.evaluation()
    without = ablation.folder / "model without pose encoder"
    save_without_pose_encoder(ablation.stage.model, without)
    variants = {"vision encoder only": str(without), "both encoders": ablation.stage.model}
    table: Table = {name: {} for name in variants}
    for name, model in variants.items():
        add_columns(table, evaluation.image_to_pose(ablation.train(name, model=model), name))
    write_table(table, ablation.folder)


if __name__ == "__main__":
    main()

"""The general picture tower alone against both towers (paper, section 4): poses from pictures.

python -m unipose.training.ablations.vision_encoders --config training/recipes/ablations/vision_encoders.yaml
"""

import copy
from pathlib import Path

from transformers import AutoModelForImageTextToText, AutoProcessor

from unipose import UniPoseForConditionalGeneration
from unipose.training.ablations.table import Table, write_table
from unipose.training.ablations.variants import Ablation, fill
from unipose.training.trainer.trainable_parts import INSTRUCT


PROJECTOR_INPUT = "model.multi_modal_projector.linear_1.weight"


def save_without_pose_tower(source: str, folder: Path) -> None:
    """Saves a model and its processor without the pose tower; of the projector the general tower's columns stay.

    Args:
        source: folder or Hub id of the model.
        folder: where the smaller model is saved.

    Raises:
        ValueError: the model does not have both towers.
    """
    model, processor = AutoModelForImageTextToText.from_pretrained(source), AutoProcessor.from_pretrained(source)
    if model.model.vision_tower is None or model.model.pose_vision_tower is None:
        raise ValueError(f"{source} does not have both picture towers: there is none to leave out")
    config = copy.deepcopy(model.config)
    config.pose_vision_config = None
    weights = {name: value for name, value in model.state_dict().items() if "pose_vision_tower" not in name}
    # Its channels are those of the general tower, then those of the pose tower.
    weights[PROJECTOR_INPUT] = weights[PROJECTOR_INPUT][:, : config.num_image_channels]
    smaller = UniPoseForConditionalGeneration(config)
    smaller.load_state_dict(weights)
    smaller.generation_config = model.generation_config
    smaller.save_pretrained(folder)
    processor.image_processor.pose_size = None
    processor.save_pretrained(folder)


def main() -> None:
    ablation = Ablation.read(INSTRUCT)
    questions = ablation.questions()
    without = ablation.folder / "model without pose tower"
    save_without_pose_tower(ablation.stage.model, without)
    variants = {"general tower": str(without), "both towers": ablation.stage.model}
    table: Table = {name: {} for name in variants}
    for name, model in variants.items():
        fill(table, questions.image_to_pose(ablation.train(name, model=model), name))
    write_table(table, ablation.folder)


if __name__ == "__main__":
    main()

"""The pose tokenizer of a saved model, without the rest of it."""

from pathlib import Path

import torch
from transformers import AutoConfig

from unipose import UniPoseVQVAE


class _PartOfModel(UniPoseVQVAE):
    """Loads its weights out of a whole model's; the others are no surprise."""

    _keys_to_ignore_on_load_unexpected = {r"."}  # noqa: RUF012


def load_pose_tokenizer(model: str | Path) -> UniPoseVQVAE:
    """Loads the pose tokenizer of a model.

    Args:
        model: Folder or Hub id of the whole model.

    Raises:
        OSError: There is no such model, or it lacks weights of the pose tokenizer.
    """
    config = AutoConfig.from_pretrained(model) if str(model) else None
    if config is None or config.model_type != "unipose":
        raise OSError(
            f"got {str(model)!r} as the model of the processor, expected a folder or a Hub id of UniPose: pass "
            "UniPoseDataCollator(processor, pose_tokenizer=model.model.pose_tokenizer)"
        )
    pose_tokenizer, loading = _PartOfModel.from_pretrained(
        model,
        config=config.pose_tokenizer_config,
        key_mapping={r"^model\.pose_tokenizer\.": ""},
        output_loading_info=True,
        dtype=torch.float32,
    )
    if loading["missing_keys"]:
        raise OSError(f"{model} lacks weights of the pose tokenizer: {', '.join(sorted(loading['missing_keys'])[:5])}")
    return pose_tokenizer.eval().requires_grad_(False)

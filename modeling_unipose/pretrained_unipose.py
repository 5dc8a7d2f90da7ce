"""Base class of the models with and without head: flags, initialization, saving with code, loading."""

from os import PathLike

import torch
from torch import nn
from transformers import PreTrainedModel
from transformers import initialization as init
from transformers.dynamic_module_utils import custom_object_save

from .cache_keyword import CACHE
from .card_upload import CardUploadMixin
from .checkpoint_loading import TRAINING_BUFFERS, CompleteLoadingMixin
from .configuration_unipose import UniPoseConfig
from .output_hooks import PicklingMixin
from .vision_unipose import attention_per_part


# File and class that each Auto class loads from a saved folder.
AUTO_MAP = {
    "AutoConfig": "configuration_unipose.UniPoseConfig",
    "AutoModel": "modeling_unipose.UniPoseModel",
    "AutoModelForImageTextToText": "modeling_unipose.UniPoseForConditionalGeneration",
    "AutoModelForMultimodalLM": "modeling_unipose.UniPoseForConditionalGeneration",
}


class UniPosePreTrainedModel(CompleteLoadingMixin, CardUploadMixin, PicklingMixin, PreTrainedModel):
    """Base class of the models with and without head: flags, initialization, saving with code, loading."""

    config: UniPoseConfig
    config_class = UniPoseConfig
    base_model_prefix = "model"
    input_modalities = ["image", "text", "pose"]  # noqa: RUF012
    supports_gradient_checkpointing = True
    _skip_keys_device_placement = [CACHE]  # noqa: RUF012
    # Codes are arg-minima: rounding the encoder to half precision changes them.
    _keep_in_fp32_modules_strict = {"pose_tokenizer"}  # noqa: RUF012
    _keys_to_ignore_on_load_missing = {TRAINING_BUFFERS}  # noqa: RUF012
    _supports_sdpa = True
    _supports_flex_attn = True
    _supports_attention_backend = True
    # Flash attention takes no block mask.
    _supports_flash_attn = False
    _can_compile_fullgraph = True

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        if isinstance(module, (nn.Linear, nn.Embedding)):
            init.normal_(module.weight, std=self.config.initializer_range)
        if isinstance(module, nn.Linear) and module.bias is not None:
            init.zeros_(module.bias)

    @classmethod
    def is_custom_code(cls) -> bool:
        """False, because `_init_weights` never touches loaded weights.

        In custom code the library skips every module without parameters of its own, to be safe. CLIP initializes the
        weights of its attention and its MLP in such modules.
        """
        return False

    def set_attn_implementation(self, attn_implementation: str | dict, *args, **kwargs) -> None:
        """Sets the attention; a single name skips the parts that do not support it (see `attention_per_part`).

        Args:
            attn_implementation: A name, or names by part of the config.
            args: The library's.
            kwargs: The library's.
        """
        super().set_attn_implementation(attention_per_part(attn_implementation), *args, **kwargs)

    def save_pretrained(self, save_directory: str | PathLike, *args, **kwargs) -> None:
        """Saves the model and its code, so that the folder loads anywhere with `trust_remote_code`.

        Args:
            save_directory: The folder.
            args: The library's.
            kwargs: The library's.
        """
        self.set_auto_map()
        super().save_pretrained(save_directory, *args, **kwargs)

    def save_code(self, folder: str | PathLike) -> None:
        """Saves what `save_pretrained` saves, without the weights: the conversion writes them one by one."""
        self.set_auto_map()
        custom_object_save(self, folder, config=self.config)
        self.config.architectures = [type(self).__name__]
        self.config.save_pretrained(folder)

    def set_auto_map(self) -> None:
        """Sets the classes and files in the config that the Auto classes and the pipeline load."""
        # Saving copies all files that this file imports relatively, so that this import adds the pipeline's code.
        from .pipeline_unipose import UniPosePipeline

        self.config.auto_map = dict(AUTO_MAP)
        impl = f"pipeline_unipose.{UniPosePipeline.__name__}"
        self.config.custom_pipelines = {"unipose": {"impl": impl, "pt": ["AutoModelForImageTextToText"]}}


__all__ = ["UniPosePreTrainedModel"]

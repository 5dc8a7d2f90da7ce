"""UniPose: one language model that describes, compares, generates and edits 3D human poses.

Importing this package registers its classes with the Auto classes and the pipelines of transformers.
"""

from transformers import (
    AutoConfig,
    AutoImageProcessor,
    AutoModel,
    AutoModelForImageTextToText,
    AutoModelForMultimodalLM,
    AutoProcessor,
)
from transformers.pipelines import PIPELINE_REGISTRY

from .configuration_unipose import UniPoseConfig, UniPoseVQVAEConfig
from .embedded_checkpoint import EmbeddedDefault
from .modeling_pose_vqvae import UniPoseVQVAE
from .modeling_unipose import UniPoseForConditionalGeneration, UniPoseModel
from .pipeline_unipose import UniPosePipeline
from .processing.image_processing_unipose import UniPoseImageProcessor
from .processing.pose_viewer import show
from .processing.processing_unipose import UniPoseProcessor


AutoConfig.register("unipose", UniPoseConfig, exist_ok=True)
AutoConfig.register("unipose_vqvae", UniPoseVQVAEConfig, exist_ok=True)
AutoModel.register(UniPoseConfig, UniPoseModel, exist_ok=True)
AutoModel.register(UniPoseVQVAEConfig, UniPoseVQVAE, exist_ok=True)
AutoModelForImageTextToText.register(UniPoseConfig, UniPoseForConditionalGeneration, exist_ok=True)
AutoModelForMultimodalLM.register(UniPoseConfig, UniPoseForConditionalGeneration, exist_ok=True)
AutoImageProcessor.register(UniPoseConfig, image_processor_classes={"pil": UniPoseImageProcessor}, exist_ok=True)
AutoProcessor.register(UniPoseConfig, UniPoseProcessor, exist_ok=True)
PIPELINE_REGISTRY.register_pipeline(
    "unipose",
    pipeline_class=UniPosePipeline,
    pt_model=AutoModelForImageTextToText,
    default=EmbeddedDefault(),
    type="multimodal",
)

# Saved folders carry the code of these classes, so that they load where the package is not installed.
UniPoseConfig.register_for_auto_class()
UniPoseVQVAEConfig.register_for_auto_class()
UniPoseModel.register_for_auto_class("AutoModel")
UniPoseForConditionalGeneration.register_for_auto_class("AutoModelForImageTextToText")
UniPoseVQVAE.register_for_auto_class("AutoModel")
UniPoseImageProcessor.register_for_auto_class("AutoImageProcessor")
UniPoseProcessor.register_for_auto_class("AutoProcessor")

__version__ = "0.1.0"
__all__ = [
    "UniPoseConfig",
    "UniPoseForConditionalGeneration",
    "UniPoseImageProcessor",
    "UniPoseModel",
    "UniPosePipeline",
    "UniPoseProcessor",
    "UniPoseVQVAE",
    "UniPoseVQVAEConfig",
    "show",
]

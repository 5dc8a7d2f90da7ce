"""UniPose: one language model that describes, compares, generates and edits 3D human poses.

Importing this package registers its classes with the Auto classes of transformers.
"""

from transformers import AutoConfig, AutoModel, AutoModelForImageTextToText, AutoModelForMultimodalLM

from .configuration_unipose import UniPoseConfig, UniPoseVQVAEConfig
from .modeling_pose_vqvae import UniPoseVQVAE
from .modeling_unipose import UniPoseForConditionalGeneration, UniPoseModel


AutoConfig.register("unipose", UniPoseConfig, exist_ok=True)
AutoConfig.register("unipose_vqvae", UniPoseVQVAEConfig, exist_ok=True)
AutoModel.register(UniPoseConfig, UniPoseModel, exist_ok=True)
AutoModel.register(UniPoseVQVAEConfig, UniPoseVQVAE, exist_ok=True)
AutoModelForImageTextToText.register(UniPoseConfig, UniPoseForConditionalGeneration, exist_ok=True)
AutoModelForMultimodalLM.register(UniPoseConfig, UniPoseForConditionalGeneration, exist_ok=True)

__version__ = "0.1.0"
__all__ = ["UniPoseConfig", "UniPoseForConditionalGeneration", "UniPoseModel", "UniPoseVQVAE", "UniPoseVQVAEConfig"]

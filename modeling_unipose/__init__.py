"""UniPose: one language model that describes, compares, generates and edits 3D human poses.

After `import unipose` the Auto classes and the pipelines of transformers know its classes. The import itself takes
milliseconds: a class is imported when it is first used, and registered as soon as transformers' own class is there.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .registration import RegisteringFinder


if TYPE_CHECKING:
    from .configuration_unipose import UniPoseConfig, UniPoseVQVAEConfig
    from .modeling_pose_vqvae import UniPoseVQVAE
    from .modeling_unipose import UniPoseForConditionalGeneration, UniPoseModel
    from .photo_poses import MediapipeEstimator
    from .pipeline_unipose import UniPosePipeline
    from .processing.image_processing_unipose import UniPoseImageProcessor
    from .processing.pose_viewer import show
    from .processing.processing_unipose import UniPoseProcessor


__version__ = "0.1.0"
__all__ = [
    "MediapipeEstimator",
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

MODULE_OF = {
    "MediapipeEstimator": ".photo_poses",
    "UniPoseConfig": ".configuration_unipose",
    "UniPoseForConditionalGeneration": ".modeling_unipose",
    "UniPoseImageProcessor": ".processing.image_processing_unipose",
    "UniPoseModel": ".modeling_unipose",
    "UniPosePipeline": ".pipeline_unipose",
    "UniPoseProcessor": ".processing.processing_unipose",
    "UniPoseVQVAE": ".modeling_pose_vqvae",
    "UniPoseVQVAEConfig": ".configuration_unipose",
    "show": ".processing.pose_viewer",
}


def __getattr__(name: str) -> Any:
    if name not in MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(MODULE_OF[name], __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


RegisteringFinder().install()

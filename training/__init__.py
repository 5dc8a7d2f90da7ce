"""Training: data, captions, collator, stages and metrics. Imports the model and the processor, never the reverse."""

from typing import TYPE_CHECKING, Any


if TYPE_CHECKING:
    from unipose.training.trainer.collator import UniPoseDataCollator

__all__ = ["UniPoseDataCollator"]


def __getattr__(name: str) -> Any:
    # Not imported above: the captions alone need neither the model nor datasets.
    if name == "UniPoseDataCollator":
        from unipose.training.trainer.collator import UniPoseDataCollator

        return UniPoseDataCollator
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

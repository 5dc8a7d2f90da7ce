"""Training: data, captions, collator, stages and metrics. Imports the model and the processor, never the reverse."""

from typing import TYPE_CHECKING, Any


if TYPE_CHECKING:
    from unipose.training.datasets.read_rows import read_rows
    from unipose.training.trainer.collator import UniPoseDataCollator
    from unipose.training.trainer.config import StageConfig

__all__ = ["StageConfig", "UniPoseDataCollator", "read_rows"]


def __getattr__(name: str) -> Any:
    # Not imported above: the captions alone need neither the model nor datasets.
    if name == "UniPoseDataCollator":
        from unipose.training.trainer.collator import UniPoseDataCollator

        return UniPoseDataCollator
    if name == "read_rows":
        from unipose.training.datasets.read_rows import read_rows

        return read_rows
    if name == "StageConfig":
        from unipose.training.trainer.config import StageConfig

        return StageConfig
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

"""recall at k and mRecall, as a module of `evaluate`: `evaluate.load("model_cards/metrics/recall_at_k")`."""

from collections.abc import Sequence
from typing import Any

import evaluate
import torch
from datasets import Features, List, Value

from unipose.training.evaluation.retrieval_metrics import recall_at


INPUTS = """
predictions: (samples, dim) embeddings of texts; references: (samples, dim) embeddings of their
poses.
"""


class RecallAtK(evaluate.Metric):
    """Recall at k among all samples in both directions, and their mean."""

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description=self.__doc__,
            citation="",
            inputs_description=INPUTS,
            features=Features({"predictions": List(Value("float64")), "references": List(Value("float64"))}),
        )

    def _compute(self, predictions: Any, references: Any, top_k: Sequence[int] = (5, 10, 20)) -> dict[str, Any]:
        texts, poses = (torch.tensor(each, dtype=torch.float64) for each in (predictions, references))
        result: dict[str, Any] = {f"text_to_pose_top{k}": v for k, v in recall_at(texts, poses, top_k).items()}
        result |= {f"pose_to_text_top{k}": v for k, v in recall_at(poses, texts, top_k).items()}
        mean = sum(result.values()) / len(result)
        return result | {"mean_recall": mean, "definition": f"recall at {list(top_k)} among {len(texts)} samples"}

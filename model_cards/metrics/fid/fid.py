"""FID, as a module of `evaluate`: `evaluate.load("model_cards/metrics/fid")`."""

from typing import Any

import evaluate
import torch
from datasets import Features, List, Value

from unipose.training.evaluation.retrieval_metrics import fid


INPUTS = """
predictions: (samples, dim) embeddings of generated poses; references: (samples, dim) of true ones.
"""


class FID(evaluate.Metric):
    """Frechet distance between Gaussian fits of two sets of embeddings."""

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description=self.__doc__,
            citation="",
            inputs_description=INPUTS,
            features=Features({"predictions": List(Value("float64")), "references": List(Value("float64"))}),
        )

    def _compute(self, predictions: Any, references: Any) -> dict[str, Any]:
        embeds, other = (torch.tensor(each, dtype=torch.float64) for each in (predictions, references))
        return {
            "fid": fid(embeds, other),
            "definition": f"unbiased covariances, {len(embeds)} samples of {embeds.shape[1]} dimensions",
        }

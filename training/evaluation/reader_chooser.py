"""Chooses among answers with the readers of captions and instructions, for `pipe(..., best_of=n, chooser=...)`.

    pipe("A person squats.", task="text-to-pose", best_of=8, chooser=ReaderChooser(BodyModel.builtin()))

Poses are measured, so that statements of a text are true or false of them. Texts that the readers cannot parse fall
back on the most central answer.
"""

from collections.abc import Sequence
from typing import Any

import torch

from unipose.answer_choice import most_central
from unipose.processing.body_model import BodyModel
from unipose.processing.pose_features import pose_to_rotmats
from unipose.training.captions.caption_reader import read_caption
from unipose.training.captions.instruction_reader import read_instruction
from unipose.training.evaluation.posecode_metrics import paircode_precision, posecode_precision


class ReaderChooser:
    """The answer of whose statements the largest share holds; among equal ones that with most statements.

    Args:
        body: the body to measure.
    """

    def __init__(self, body: BodyModel):
        self.body = body

    def __call__(self, request: dict[str, Any], answers: list[dict[str, Any]]) -> int:
        """The index of the chosen answer.

        Args:
            request: "task", "text" and "poses" of the request.
            answers: "text" and "poses" of each answer.
        """
        scores = [self.score(request, answer) for answer in answers]
        best = max(scores)
        tied = [index for index, score in enumerate(scores) if score == best]
        return tied[most_central([answers[index] for index in tied])]

    def score(self, request: dict[str, Any], answer: dict[str, Any]) -> tuple[float, int]:
        """Share of true statements, and their number; 0 where the task has none to check.

        Args:
            request: see `__call__`.
            answer: "text" and "poses" of an answer.
        """
        task, text = request["task"], request["text"] if answer["poses"] else answer["text"]
        poses = [*request["poses"], *answer["poses"]]
        if task in ("text-to-pose", "pose-to-text") and poses and isinstance(text, str):
            codes = read_caption(text).codes
            return posecode_precision([codes], self.rotmats(poses[-1:]), self.body), len(codes)
        if task in ("pose-edit", "pose-diff") and len(poses) == 2 and isinstance(text, str):
            changes = read_instruction(text).codes
            first, second = (self.rotmats([pose]) for pose in poses)
            return paircode_precision([changes], first, second, self.body), len(changes)
        return 0.0, 0

    @staticmethod
    def rotmats(poses: Sequence[Any]) -> torch.Tensor:
        """Poses in any form -> (n, 22, 3, 3)."""
        return torch.stack([pose_to_rotmats(pose, frame="z_up") for pose in poses])

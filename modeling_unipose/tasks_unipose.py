"""The seven tasks: inputs, output and default prompt of each.

The pipeline, the command line, the demo and the training data derive everything else from this table.
"""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Task:
    """Inputs and output of one task.

    Args:
        name: Name of the task.
        answer: Kind of the output: "pose" or "text".
        poses: Number of input poses.
        images: Number of input images.
        text: Kind of the input text: the caption of a pose, the instruction of an edit, or None.
        prompt: Default prompt of the pipeline, which a processor's `task_prompts` overrides. Without `{text}` it is
            an instruction that the user's text replaces; with `{text}` it is put around the user's text.
    """

    name: str
    answer: Literal["pose", "text"]
    poses: int = 0
    images: int = 0
    text: Literal["caption", "instruction"] | None = None
    prompt: str = "{text}"

    @property
    def placeholders(self) -> tuple[str, ...]:
        """Placeholders of a training template, in order: ("pose", "instruction"), ("image_a", "image_b")."""
        names: list[str] = []
        for kind, count in (("pose", self.poses), ("image", self.images)):
            names += [kind] if count == 1 else [f"{kind}_{letter}" for letter in "ab"[:count]]
        return (*names, self.text) if self.text else tuple(names)

    @property
    def num_subjects(self) -> int:
        """Number of poses of a training row, including images and the answer: 2 if it compares or edits."""
        return max(self.images, self.poses + (self.answer == "pose"))


# Poses and images come first, each followed by a space: "<pose> Describe the pose." These prompts are among the
# training templates; text-to-pose takes the bare description. Shards of a corpus are numbered in this order.
TASKS = {
    task.name: task
    for task in (
        Task("pose-to-text", "text", poses=1, prompt="Describe the pose."),
        Task("pose-diff", "text", poses=2, prompt="How does the second pose differ from the first?"),
        Task("image-to-text", "text", images=1, prompt="Describe the pose."),
        Task("image-diff", "text", images=2, prompt="How does the second pose differ from the first?"),
        Task("text-to-pose", "pose", text="caption"),
        Task("image-to-pose", "pose", images=1, prompt="Estimate the pose."),
        Task("pose-edit", "pose", poses=1, text="instruction"),
    )
}

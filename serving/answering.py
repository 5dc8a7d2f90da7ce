"""Batches of requests -> answers of the pipeline."""

from collections.abc import Hashable, Sequence
from itertools import islice
from typing import Any, NamedTuple

from unipose.pipeline_unipose import UniPosePipeline
from unipose.processing.pose_frames import Frame

from .batcher import Job
from .poses import PoseFormat, pose_records
from .token_stream import TokenStream


class Prompt(NamedTuple):
    """What a request asks, read and checked.

    Args:
        text: The text, None, or a chat of several messages.
        images: Images in RGB of a text; those of a chat are in its blocks.
        poses: (22, 3, 3) each, z up and marked as read, of a text.
        task: Name of the task; None: the model chooses between text and poses.
        arguments: Arguments of `generate`.
        best_of: See the pipeline.
        seed: See the pipeline.
        output_frame: Frame of the poses of the answer.
        pose_format: Their numbers.
    """

    text: Any
    images: list[Any]
    poses: list[Any]
    task: str | None
    arguments: dict[str, Any]
    best_of: int | None = None
    seed: int | None = None
    output_frame: Frame = "z_up"
    pose_format: PoseFormat = "axis_angle"

    @property
    def form(self) -> tuple[Frame, PoseFormat]:
        """How the poses of the answer are written."""
        return self.output_frame, self.pose_format

    def key(self, marks: Sequence[str]) -> Hashable:
        """What prompts of one batch have in common; a seed is for one request alone.

        Args:
            marks: Placeholders: the pipeline answers texts with and without them differently.
        """
        form = any(mark in self.text for mark in marks) if isinstance(self.text, str | None) and self.text else None
        alone = object() if self.seed is not None else None
        is_chat = isinstance(self.text, list)
        return self.task, tuple(sorted(self.arguments.items())), self.best_of, is_chat, form, alone


class Answer(NamedTuple):
    """The answer to a request.

    Args:
        choices: Answers of the pipeline: text, poses (as JSON) and confidence.
        finish_reasons: "stop" or "length" of each.
        prompt_tokens: Tokens of the prompt.
        answer_tokens: Tokens of all choices.
    """

    choices: list[dict[str, Any]]
    finish_reasons: list[str]
    prompt_tokens: int
    answer_tokens: int


class Answerer:
    """Answers batches of jobs whose inputs are `Prompt`s.

    Args:
        pipe: The pipeline.
    """

    def __init__(self, pipe: UniPosePipeline):
        self.pipe = pipe

    def __call__(self, jobs: Sequence[Job]) -> list[Answer]:
        prompts: list[Prompt] = [job.inputs for job in jobs]
        first = prompts[0]
        replaces = first.task == "image-to-text" and self.pipe.model.config.no_person_below is not None
        stream = TokenStream(jobs, self.pipe, live=not replaces and first.best_of is None)
        results = self.pipe(
            text=[prompt.text for prompt in prompts],
            images=[prompt.images for prompt in prompts],
            poses=[prompt.poses for prompt in prompts],
            task=first.task,
            generate_kwargs={**first.arguments, "streamer": stream},
            batch_size=len(jobs),
            best_of=first.best_of,
            seed=first.seed,
        )
        groups = [result if isinstance(result, list) else [result] for result in results]
        answers = []
        for number, choices in enumerate(with_records(groups, prompts)):
            # Of several calls of `generate`, one answer was chosen; which one is not known.
            reasons = [
                "stop" if first.best_of else stream.finish_reason(number, choice) for choice in range(len(choices))
            ]
            answers.append(Answer(choices, reasons, stream.prompt_tokens[number], stream.answer_tokens[number]))
        return answers


def with_records(groups: Sequence[list[dict[str, Any]]], prompts: Sequence[Prompt]) -> list[list[dict[str, Any]]]:
    """Answers whose poses are JSON.

    Args:
        groups: Answers of the pipeline to each prompt.
        prompts: The prompts.
    """
    forms: dict[tuple[Frame, PoseFormat], list[Any]] = {}
    for prompt, choices in zip(prompts, groups):
        forms.setdefault(prompt.form, []).extend(pose for choice in choices for pose in choice["poses"])
    records = {form: iter(pose_records(poses, *form)) for form, poses in forms.items()}
    return [
        [choice | {"poses": list(islice(records[prompt.form], len(choice["poses"])))} for choice in choices]
        for prompt, choices in zip(prompts, groups)
    ]

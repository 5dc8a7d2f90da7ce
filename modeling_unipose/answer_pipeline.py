"""What the pipeline does with the answers of a row beyond decoding them: choose one, and state a confidence."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, get_args

import numpy as np
import torch
from transformers.generation.utils import GenerateDecoderOnlyOutput

from .answer_choice import (
    FEATURES,
    NO_PERSON,
    Answer,
    Chooser,
    ChooserName,
    ReverseRequest,
    confidence,
    most_central,
    reverse_request,
)
from .answer_scoring import AnswerScores, answer_features, masked_mean
from .pose_decoding import CodeChooser, PoseDecoding, options_of
from .query_runs import is_pose_code
from .single_pose import UniPoseGenerateOutput
from .tasks_unipose import TASKS, Task


# Of samples of which one is chosen: low enough that most are good, high enough that they differ.
BEST_OF_TEMPERATURE = 0.5
# Of the request given the answer, against the answer given the request.
CONSISTENCY_WEIGHT = 3.0
SAMPLING_ARGUMENTS = ("temperature", "top_k", "top_p", "min_p", "typical_p")


class Row(NamedTuple):
    """Inputs of one answer: a text or a chat, and the images and poses that belong to it."""

    text: Any
    images: list[Any]
    poses: list[Any]


@dataclass(frozen=True)
class Conversations:
    """Chats of one batch; every image and pose block has its value."""

    messages: list[list[dict[str, Any]]]


class AnswerPipelineMixin:
    """Choice and confidence of answers, for `UniPosePipeline`."""

    model: Any
    processor: Any
    build_conversation: Any
    preprocess: Any
    forward: Any

    def choose(self, row: Row, answers: list[Answer], task: Task | None, chooser: Chooser | ChooserName) -> Answer:
        """One of several answers.

        Args:
            row: Inputs of the answers.
            answers: The answers; each has its features.
            task: None where the model chose between text and poses.
            chooser: See `UniPosePipeline.__call__`.

        Raises:
            ValueError: An index that the chooser may not return.
        """
        if callable(chooser):
            request = {"text": row.text, "images": row.images, "poses": row.poses, "task": task and task.name}
            shown = [{name: answer[name] for name in ("text", "poses")} for answer in answers]
            index = chooser(request, shown)
            if isinstance(index, bool) or not isinstance(index, int | np.integer) or not 0 <= index < len(answers):
                raise ValueError(f"the chooser returned {index!r}, expected an index from 0 to {len(answers) - 1}")
            return answers[index]
        if chooser == "consistent":
            scores = self.consistencies(row, answers, task)
            if scores is not None:
                # The codes of a pose have flat distributions, and their probabilities say little about it.
                is_text = task is not None and task.answer == "text"
                own = [answer["features"]["log_prob"] if is_text else 0.0 for answer in answers]
                return answers[int(np.argmax(np.array(own) + CONSISTENCY_WEIGHT * np.array(scores)))]
        return answers[most_central(answers)]

    def consistencies(self, row: Row, answers: Sequence[Answer], task: Task | None) -> list[float] | None:
        """The mean log-probability of the request, given each answer; None where the task has no reverse.

        Args:
            row: Inputs of the answers.
            answers: The answers.
            task: Task of the answers.
        """
        scores = self.reverse_scores([row] * len(answers), answers, task, len(answers))
        return None if all(score is None for score in scores) else [-np.inf if s is None else s for s in scores]

    def reverse_scores(
        self, rows: Sequence[Row], answers: Sequence[Answer], task: Task | None, size: int
    ) -> list[float | None]:
        """The mean log-probability of each row's request, given its answer; None where the task has no reverse.

        Args:
            rows: Inputs of the answers.
            answers: An answer of each row.
            task: Task of the answers.
            size: Number of requests per batch.
        """
        requests = [
            None
            if task is None or not isinstance(row.text, str | None)
            else reverse_request(task, row.text, row.poses, one)
            for row, one in zip(rows, answers)
        ]
        known = [request for request in requests if request is not None]
        scores = [
            score for start in range(0, len(known), size) for score in self.score_requests(known[start : start + size])
        ]
        found = iter(scores)
        return [None if request is None else next(found) for request in requests]

    @torch.no_grad()
    def score_requests(self, requests: Sequence[ReverseRequest]) -> list[float]:
        """The mean log-probability of the tokens of each request's known answer; the requests have one task."""
        task = requests[0].task
        rows = [Row(request.text, [], request.poses) for request in requests]
        messages = [self.build_conversation(own, task) for own in rows]
        inputs = self.to_device(self.preprocess(Conversations(messages), task.answer))
        if task.answer == "pose":
            codes = self.encode_poses([request.answer for request in requests])
            scored = AnswerScores.of_poses(self.model.code_logits_of_pose(**inputs), codes)
            return masked_mean(scored.log_probabilities, scored.is_code).tolist()
        ids, mask = inputs.pop("input_ids"), inputs.pop("attention_mask")
        end, pattern = self.model.end_ids()[:1], self.processor.control_tokens
        texts = [self.processor.plain_text(request.answer, pattern=pattern) for request in requests]
        tokenized = self.processor(text=texts, add_special_tokens=False, padding=False)
        answers = [[*own, *end] for own in tokenized["input_ids"]]
        lengths, pad = [len(answer) for answer in answers], self.processor.tokenizer.pad_token_id
        generated = ids.new_tensor([answer + [pad] * (max(lengths) - len(answer)) for answer in answers])
        is_text = torch.arange(max(lengths), device=ids.device) < ids.new_tensor(lengths).unsqueeze(1)
        return masked_mean(self.model.score_texts(ids, generated, is_text, mask, **inputs), is_text).tolist()

    def encode_poses(self, poses: Sequence[Any]) -> torch.Tensor:
        """Poses as the model has read or written them -> (poses, num_pose_tokens) codes, counted from 0."""
        texts, marked = [self.processor.pose_token] * len(poses), [[self.processor.mark_read(pose)] for pose in poses]
        values = self.processor(text=texts, poses=marked, return_tensors="pt")["pose_values"]
        return self.model.model.pose_tokenizer.encode(values.to(self.model.device))

    def to_device(self, inputs: Any) -> dict[str, Any]:
        """A batch on the model's device, its images encoded."""
        moved = {name: value.to(self.model.device) for name, value in inputs.items()}
        return self.model.encode_images(moved)

    def features_of(
        self,
        prompt: torch.Tensor,
        output: Any,
        inputs: dict[str, Any],
        mode: Any,
        arguments: dict[str, Any],
        names: Collection[str],
    ) -> list[dict[str, float]]:
        """The features of generated answers, from the logits of generation; the answers of beams are scored again.

        Args:
            prompt: (rows, length) ids.
            output: What `generate` returned, with answers for each row in turn, and with logits.
            inputs: The other inputs of the prompts.
            mode: The generation mode.
            arguments: Arguments of `generate`.
            names: Names of the needed features.
        """
        if not names:
            return [{} for _ in output.sequences]
        config = arguments.get("generation_config") or self.model.generation_config
        sources = (options_of(config), options_of(self.model.generation_config))
        decoding = PoseDecoding.resolve(self.model.config, arguments, *sources)
        chooser = CodeChooser(self.model.config, self.model.model.pose_tokenizer, decoding)
        generated = output.sequences[:, prompt.shape[1] :]
        if isinstance(output, UniPoseGenerateOutput) and output.code_logits is not None:
            codes = generated[is_pose_code(generated, self.model.config)].view(len(generated), -1)
            scored = AnswerScores.of_poses(output.code_logits, codes - chooser.ids.start)
        elif isinstance(output, GenerateDecoderOnlyOutput) and output.logits is not None and mode == "text":
            scored = self.model.scores_of_texts(generated, output.logits)
        elif isinstance(output, GenerateDecoderOnlyOutput) and output.logits is not None:
            logits = torch.stack([*output.logits], dim=1)
            scored = self.model.answers_of_logits(output.sequences, logits, mode).of_tokens(chooser.ids)
        else:
            count = len(generated) // len(prompt)
            ids, expanded = self.model._expand_inputs_for_generation(count, input_ids=prompt, **inputs)
            mask, sampled = expanded.pop("attention_mask", None), bool(arguments.get("do_sample", config.do_sample))
            answers = self.model.score_answers(ids, generated, mask, mode, None, sampled, decoding, expanded)
            scored = answers.of_tokens(chooser.ids)
        return answer_features(scored, chooser, names)

    def needed_features(self, task: Task | None, return_features: bool, return_confidence: bool) -> set[str]:
        """The names of the features that answers are returned with, or that their confidence is made of.

        Args:
            task: None where the model chooses between text and poses.
            return_features: Whether to keep all features, also those that this confidence does not need.
            return_confidence: Whether to state the confidence.
        """
        if return_features:
            return set(FEATURES)
        if not return_confidence:
            return set()
        weights = self.confidence_weights(task)
        return {"log_prob"} if weights is None else weights.keys() - {"bias"}

    def confidence_weights(self, task: Task | None) -> dict[str, float] | None:
        """The weights of a task's confidence (see `confidence`); None: it is not calibrated."""
        return (self.model.config.confidence_weights or {}).get("free" if task is None else task.name)

    def add_confidences(
        self,
        rows: Sequence[Row],
        answers: Sequence[Answer],
        task: Task | None,
        size: int,
        return_features: bool,
        return_confidence: bool,
    ) -> list[Answer]:
        """Replaces the features of answers by their confidence; says so where an image seems to have no person.

        Args:
            rows: Inputs of the answers.
            answers: An answer of each row.
            task: None where the model chose between text and poses.
            size: Number of rows per batch.
            return_features: Whether to keep all features, also those that this confidence does not need.
            return_confidence: Whether to state it.
        """
        weights = self.confidence_weights(task)
        needed = self.needed_features(task, return_features, return_confidence)
        slow = self.slow_features(rows, answers, task, size, needed)
        threshold = self.model.config.no_person_below
        finished = []
        for answer, more in zip(answers, slow):
            features = answer["features"] | more
            own = {"text": answer["text"], "poses": answer["poses"]}
            if return_features:
                own["features"] = features
            if return_confidence:
                own["confidence"] = value = confidence(features, weights)
                if task is not None and task.name == "image-to-text" and threshold is not None and value < threshold:
                    own["text"] = NO_PERSON
            finished.append(own)
        return finished

    def slow_features(
        self, rows: Sequence[Row], answers: Sequence[Answer], task: Task | None, size: int, names: Collection[str]
    ) -> list[dict[str, float]]:
        """The features that need forwards of their own.

        Args:
            rows: Inputs of the answers.
            answers: An answer of each row.
            task: Its task.
            size: Number of rows per batch.
            names: Names of the needed features; those that a task does not have are left out.
        """
        features: list[dict[str, float]] = [{} for _ in rows]
        if "consistency" in names:
            for own, score in zip(features, self.reverse_scores(rows, answers, task, size)):
                own |= {} if score is None else {"consistency": score}
        if "image_variance" in names:
            of_one = [(own, row) for own, row in zip(features, rows) if len(row.images) == 1]
            variances = self.image_variances([row for _, row in of_one], size)
            for (own, _), variance in zip(of_one, variances):
                own |= {"image_variance": variance}
        return features

    @torch.no_grad()
    def image_variances(self, rows: Sequence[Row], size: int) -> list[float]:
        """How vague each pose is that the model estimates in a row's image, whatever the row asks for.

        Args:
            rows: Each with one image.
            size: Number of rows per batch.
        """
        task, variances = TASKS["image-to-pose"], []
        options: dict[str, Any] = {"pose_refinement_steps": 1, "do_sample": False, "features": ["code_variance"]}
        for first in range(0, len(rows), size):
            asked = [Row(None, row.images, []) for row in rows[first : first + size]]
            inputs = self.preprocess(Conversations([self.build_conversation(row, task) for row in asked]), task.answer)
            outputs = self.forward(inputs, generation_mode=task.answer, **options)
            variances += [own["code_variance"] for own in outputs["features"]]
        return variances


def check_choice(count: int, best_of: int | None, chooser: Any) -> None:
    """Checks how many answers a row has, and how one is chosen.

    Args:
        count: `num_return_sequences`.
        best_of: Number of samples of which one is chosen; None: no choice.
        chooser: See `UniPosePipeline.__call__`.

    Raises:
        ValueError: Values that are not accepted.
    """
    for name, value in (("num_return_sequences", count), ("best_of", best_of)):
        if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
            raise ValueError(f"{name} must be an integer of at least 1, got {value!r}")
    if best_of is not None and count != 1:
        raise ValueError(f"best_of gives one answer a row, got num_return_sequences={count} too")
    if not callable(chooser) and chooser not in get_args(ChooserName):
        raise ValueError(f'chooser must be "consistent", "central" or a function, got {chooser!r}')


def calls_of_generate(arguments: dict[str, Any], best_of: int | None) -> list[dict[str, Any]]:
    """The arguments of the calls of `generate` that give all answers of a row.

    Args:
        arguments: Arguments of the user.
        best_of: Number of answers of which one is chosen: the greedy one, and samples. None: no choice.
    """
    if best_of is None:
        samples = arguments.get("num_return_sequences", 1) > 1 and "num_beams" not in arguments
        return [{"do_sample": True, **arguments} if samples else arguments]
    greedy = {name: value for name, value in arguments.items() if name not in SAMPLING_ARGUMENTS}
    sampled = {"temperature": BEST_OF_TEMPERATURE, **arguments, "do_sample": True, "num_return_sequences": best_of - 1}
    return [greedy | {"do_sample": False}, *([sampled] if best_of > 1 else [])]


__all__ = ["AnswerPipelineMixin", "Conversations", "Row", "calls_of_generate", "check_choice"]

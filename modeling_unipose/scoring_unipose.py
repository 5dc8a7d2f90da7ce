"""Scores of known answers: `score_generated` and what the pipeline's confidence needs."""

import sys
from collections.abc import Sequence
from typing import Any

import torch

from .answer_scoring import AnswerLogits, AnswerScores, TeacherForcing, answer_logits, text_answer_scores
from .configuration_unipose import UniPoseConfig
from .finite_checks import check_logits
from .pose_blocks import append_queries
from .pose_decoding import CodeChooser, PoseDecoding, PoseDecodingMode, options_of
from .pose_grammar import PoseGrammar, PoseMode


class ScoringMixin:
    """What a model thinks of answers that are known."""

    config: UniPoseConfig
    model: Any
    generation_config: Any

    @torch.no_grad()
    def score_generated(
        self,
        input_ids: torch.Tensor,
        generated_ids: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        generation_mode: PoseMode | None = None,
        max_length: int | None = None,
        do_sample: bool | None = None,
        pose_decoding: PoseDecodingMode | None = None,
        pose_temperature: float | None = None,
        pose_refinement_steps: int | None = None,
        **inputs,
    ) -> torch.Tensor:
        """The log-probability of each generated token, as generation had it.

        One forward scores text and poses; each further refinement step costs one forward for each pose of a row. The
        probabilities are those of the tokens that the grammar allows, without temperature or other processors.

        Args:
            input_ids: (batch, length) prompt ids, left-padded.
            generated_ids: (batch, new tokens) what `generate` appended to them.
            attention_mask: (batch, length); default: nothing is padding.
            generation_mode: That of `generate`, as all of the following.
            max_length: Maximum length of prompt and answer; default: none. A pose that would not fit is not started.
            do_sample: Default: that of the model's generation config.
            pose_decoding: Default: that of the model's generation config, as for the next two.
            pose_temperature: Temperature of "expected".
            pose_refinement_steps: Number of forwards of each pose.
            inputs: Images and poses of the prompts, as for `generate`.

        Returns:
            (batch, new tokens); 0 at pose-end, which the grammar fixes, and behind the end of an answer.

        Raises:
            ValueError: An option of poses without an accepted value.
        """
        of_call = {
            "pose_decoding": pose_decoding,
            "pose_temperature": pose_temperature,
            "pose_refinement_steps": pose_refinement_steps,
        }
        decoding = PoseDecoding.resolve(self.config, of_call, options_of(self.generation_config))
        answers = self.score_answers(
            input_ids, generated_ids, attention_mask, generation_mode, max_length, do_sample, decoding, inputs
        )
        return answers.log_probabilities

    def score_answers(
        self,
        input_ids: torch.Tensor,
        generated_ids: torch.Tensor,
        attention_mask: torch.Tensor | None,
        generation_mode: PoseMode | None,
        max_length: int | None,
        do_sample: bool | None,
        decoding: PoseDecoding,
        inputs: dict[str, Any],
    ) -> AnswerLogits:
        """All that `score_generated` computes; gradients pass through, unless they are off.

        Args:
            input_ids: See `score_generated`.
            generated_ids: See there.
            attention_mask: See there.
            generation_mode: See there.
            max_length: See there.
            do_sample: See there.
            decoding: The options of poses.
            inputs: Images and poses of the prompts.
        """
        chooser = CodeChooser(self.config, self.model.pose_tokenizer, decoding)
        forcing = TeacherForcing(self, input_ids, generated_ids, attention_mask, inputs)
        sampled = bool(self.generation_config.do_sample if do_sample is None else do_sample)
        logits = forcing.logits(chooser, in_order=sampled)
        check_logits(self, forcing.ids, logits)
        return self.answers_of_logits(forcing.ids, logits, generation_mode, max_length)

    @torch.no_grad()
    def score_texts(
        self,
        input_ids: torch.Tensor,
        generated_ids: torch.Tensor,
        is_text: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        **inputs: Any,
    ) -> torch.Tensor:
        """`score_generated` with generation_mode="text": less work, because it keeps no logits; no gradients.

        Args:
            input_ids: See `score_generated`.
            generated_ids: (batch, new tokens) texts, right-padded.
            is_text: (batch, new tokens) bool, where the texts have tokens.
            attention_mask: See `score_generated`.
            inputs: See there.

        Returns:
            (batch, new tokens); 0 behind the end of a text.
        """
        forcing = TeacherForcing(self, input_ids, generated_ids, attention_mask, inputs)
        scores = forcing.text_log_probabilities(is_text)
        if scores.isnan().any():
            check_logits(self, forcing.ids, forcing.forward()[:, : generated_ids.shape[1]])
        return scores

    def code_logits_of_pose(self, input_ids: torch.Tensor, **inputs: Any) -> torch.Tensor:
        """The logits of the codes of the pose that each prompt starts, by one forward.

        Args:
            input_ids: (batch, length) prompts that end in pose-start.
            inputs: Mask, images and poses of the prompts.

        Returns:
            (batch, num_pose_tokens, codebook_size).
        """
        mask = inputs.get("attention_mask")
        positions = None if mask is None else (mask.cumsum(dim=1) - 1).clamp_min(0)
        prepared = {"input_ids": input_ids, "position_ids": positions, **inputs}
        append_queries(prepared, self.config, None, codes_only=True)
        forward: Any = self
        logits = forward(**prepared, use_cache=False).logits
        check_logits(self, prepared["input_ids"], logits, self.config.pose_code_start_id)
        return logits

    def answers_of_logits(
        self,
        ids: torch.Tensor,
        logits: torch.Tensor,
        generation_mode: PoseMode | None,
        max_length: int | None = None,
    ) -> AnswerLogits:
        """Scores answers whose logits are known, such as `output_logits` of `generate`.

        Args:
            ids: (batch, length) prompts with their answers.
            logits: (batch, new tokens, vocab_size), that each token of the answers was chosen from.
            generation_mode: That of `generate`.
            max_length: See `score_generated`.
        """
        prompt_length = ids.shape[1] - logits.shape[1]
        limit = max_length or ids.shape[1] + self.config.pose_answer_length
        grammar = PoseGrammar(self.config, limit, generation_mode, prompt_length)
        end_ids = self.end_ids()
        if generation_mode == "pose":
            end_ids.append(self.config.pose_end_token_id)
        return answer_logits(ids, logits, grammar, self.config, end_ids)

    def scores_of_texts(self, generated_ids: torch.Tensor, logits: Sequence[torch.Tensor]) -> AnswerScores:
        """Scores answers of generation_mode="text" whose logits are known.

        Args:
            generated_ids: (batch, new tokens) the answers.
            logits: (batch, vocab_size) of each step, `output_logits` of `generate`.
        """
        return text_answer_scores(generated_ids, logits, PoseGrammar(self.config, sys.maxsize, "text"), self.end_ids())

    def end_ids(self) -> list[int]:
        """The tokens that end an answer, by the model's generation config."""
        ends = self.generation_config.eos_token_id
        return [] if ends is None else [ends] if isinstance(ends, int) else list(ends)


__all__ = ["ScoringMixin"]

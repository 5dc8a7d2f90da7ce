"""Probabilities of given answers, as generation had them: poses in parallel, refined as often, text one by one."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from .answer_choice import FEATURES
from .configuration_unipose import UniPoseConfig
from .output_hooks import columns_of
from .pose_blocks import codes_to_queries, prompt_source_codes
from .pose_decoding import CodeChooser, revealed_counts
from .pose_grammar import PoseGrammar, TokenKinds
from .query_runs import block_index, codes_before, codes_since_start, is_pose_code


# Logits of texts are computed for this many tokens of the vocabulary at a time: they stay in the processor's caches.
COLUMNS = 2048
# Those of whole distributions over codes.
CODE_FEATURES = {"code_entropy", "code_variance", "code_agreement"}


@dataclass
class AnswerScores:
    """How probable the tokens of answers were.

    Args:
        log_probabilities: (batch, new tokens); 0 where the grammar leaves one choice, and behind the end of an answer.
        is_code: (batch, new tokens) bool, codes of output poses.
        is_text: (batch, new tokens) bool, tokens of text, and the end of the answer.
        code_scores: (codes, codebook_size) log-probabilities of all codes where `is_code` holds, row by row.
        tokens: (codes,) index of each of these codes in its pose.
    """

    log_probabilities: torch.Tensor
    is_code: torch.Tensor
    is_text: torch.Tensor
    code_scores: torch.Tensor
    tokens: torch.Tensor

    @classmethod
    def of_poses(cls, code_logits: torch.Tensor, codes: torch.Tensor) -> "AnswerScores":
        """The scores of answers that are one pose each.

        Args:
            code_logits: (batch, num_pose_tokens, codebook_size) that the codes were chosen from.
            codes: (batch, num_pose_tokens), counted from 0.
        """
        scores = code_logits.float().log_softmax(dim=-1)
        is_code = torch.ones_like(codes, dtype=torch.bool)
        tokens = torch.arange(codes.shape[1], device=codes.device).repeat(len(codes))
        chosen = scores.gather(2, codes.unsqueeze(2)).squeeze(2)
        return cls(chosen, is_code, ~is_code, scores.flatten(0, 1), tokens)


@dataclass
class AnswerLogits:
    """What each token of answers was chosen from.

    Args:
        scores: (batch, new tokens, vocab_size) log-probabilities of the tokens that the grammar allows.
        generated_ids: (batch, new tokens).
        is_code: (batch, new tokens) bool, codes of output poses.
        is_text: (batch, new tokens) bool, tokens of text, and the end of the answer.
        token_of_pose: (batch, new tokens) index of each code in its pose; of no meaning elsewhere.
    """

    scores: torch.Tensor
    generated_ids: torch.Tensor
    is_code: torch.Tensor
    is_text: torch.Tensor
    token_of_pose: torch.Tensor

    @property
    def log_probabilities(self) -> torch.Tensor:
        """(batch, new tokens); 0 where the grammar leaves one choice, and behind the end of an answer."""
        chosen = self.scores.gather(2, self.generated_ids.unsqueeze(2)).squeeze(2)
        return torch.where(self.is_code | self.is_text, chosen, 0.0)

    def of_tokens(self, codes: slice) -> AnswerScores:
        """The scores without those of the tokens that were not chosen, except at codes.

        Args:
            codes: Ids of the codes.
        """
        code_scores, tokens = self.scores[self.is_code][:, codes], self.token_of_pose[self.is_code]
        return AnswerScores(self.log_probabilities, self.is_code, self.is_text, code_scores, tokens)


class TeacherForcing:
    """One sequence of prompt and answer for each row, and the forwards that score it.

    Args:
        model: The model with its head.
        input_ids: (batch, prompt length), left-padded.
        generated_ids: (batch, new tokens), right-padded.
        attention_mask: (batch, prompt length), or None.
        inputs: The other inputs of the prompt.
    """

    def __init__(
        self,
        model: Any,
        input_ids: torch.Tensor,
        generated_ids: torch.Tensor,
        attention_mask: torch.Tensor | None,
        inputs: dict[str, Any],
    ):
        config = model.config
        self.model, self.config, self.inputs = model, config, inputs
        self.prompt_length, self.new_tokens = input_ids.shape[1], generated_ids.shape[1]
        self.ids = torch.cat([input_ids, generated_ids], dim=1)
        tokens, query = config.num_pose_tokens, config.pose_query_token_id
        is_mixed = config.pose_attention == "mixed"
        # Generation ran all queries of a pose, also where a limit cut the answer inside it.
        cut = codes_since_start(self.ids, config)
        is_open = (cut >= 0) & (self.ids[:, -1] != config.pose_end_token_id) & is_mixed
        missing = torch.where(is_open, tokens - cut, 0).unsqueeze(1)
        self.tail_length = int(missing.max())
        tail = self.ids.new_full((len(self.ids), self.tail_length), config.pose_end_token_id)
        tail = torch.where(torch.arange(self.tail_length, device=tail.device) < missing, query, tail)
        seen = codes_to_queries(self.ids, self.prompt_length, config) if is_mixed else self.ids
        self.seen = torch.cat([seen, tail], dim=1)
        self.is_query = self.seen == query
        mask = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        self.attention_mask = torch.nn.functional.pad(mask, (0, self.seen.shape[1] - self.prompt_length), value=1)
        self.position_ids = (self.attention_mask.cumsum(dim=1) - 1).clamp_min(0)

    def forward(self, revealed_pose_codes: torch.Tensor | None = None) -> torch.Tensor:
        """The logits from the last position of the prompt on.

        Args:
            revealed_pose_codes: (batch, length) known codes, -1 elsewhere.

        Returns:
            (batch, 1 + new tokens + queries behind a cut, vocab_size).
        """
        return self.model(
            **self.arguments,
            revealed_pose_codes=revealed_pose_codes,
            logits_to_keep=self.new_tokens + self.tail_length + 1,
        ).logits

    @property
    def arguments(self) -> dict[str, Any]:
        """What all forwards get."""
        own = {"input_ids": self.seen, "attention_mask": self.attention_mask, "position_ids": self.position_ids}
        return {**self.inputs, **own, "use_cache": False}

    def text_log_probabilities(self, is_text: torch.Tensor) -> torch.Tensor:
        """The log-probabilities of the tokens of answers without poses, by a forward that keeps no logits.

        Args:
            is_text: (batch, new tokens) bool, where the answers have tokens.

        Returns:
            (batch, new tokens); 0 where there are none. NaN or infinite where logits are not finite.
        """
        hidden = self.model.model(**self.arguments).last_hidden_state[:, self.prompt_length - 1 : -1]
        tokens = self.ids[:, self.prompt_length :][is_text]
        scores = text_scores(self.model.lm_head, hidden[is_text], tokens, self.config)
        return torch.zeros(is_text.shape, device=scores.device).masked_scatter(is_text, scores)

    def logits(self, chooser: CodeChooser, in_order: bool) -> torch.Tensor:
        """The logits that each generated token was chosen from.

        Args:
            chooser: Chooses the codes; it holds the number of forwards.
            in_order: Whether sampling drew the codes.

        Returns:
            (batch, new tokens, vocab_size).
        """
        logits = self.forward()
        runs = torch.where(self.is_query, block_index(self.is_query), -1)
        counts = revealed_counts(self.config.num_pose_tokens, chooser.decoding.pose_refinement_steps)
        for number in range(int(runs.max()) + 1 if counts else 0):
            self.refine(logits, runs == number, counts, chooser, in_order)
        is_own = self.is_query[:, self.prompt_length : self.prompt_length + self.new_tokens].unsqueeze(2)
        if not is_own.any():
            return logits[:, : self.new_tokens]
        return torch.where(is_own, logits[:, 1 : self.new_tokens + 1], logits[:, : self.new_tokens])

    def refine(
        self, logits: torch.Tensor, in_block: torch.Tensor, counts: list[int], chooser: CodeChooser, in_order: bool
    ) -> None:
        """Replaces the logits of one pose of each row by those of the forward in which each code was chosen.

        Args:
            logits: (batch, kept positions, vocab_size), changed in place.
            in_block: (batch, length) bool, the queries of the pose; rows may have none.
            counts: Number of known codes before each forward but the first.
            chooser: Chooses the codes.
            in_order: Whether sampling drew the codes.
        """
        rows, kept = in_block.any(dim=1), logits.shape[1]
        sources = prompt_source_codes(self.model.model, self.ids[:, : self.prompt_length], **self.inputs)
        sources = None if sources is None else sources[rows]
        tokens = self.config.num_pose_tokens
        given = torch.nn.functional.pad(self.ids, (0, self.tail_length), value=-1)[in_block].view(-1, tokens)
        given = torch.where(given >= 0, given - self.config.pose_code_start_id, given)
        codes, is_known = torch.full_like(given, -1), torch.zeros_like(given, dtype=torch.bool)
        for count in counts:
            block = logits[in_block[:, -kept:]].view(len(given), tokens, -1)
            if in_order:
                is_revealed = (torch.arange(tokens, device=given.device) < count).expand_as(is_known)
            else:
                is_revealed = chooser.surest(block[..., chooser.ids], is_known, count)
            # The codes behind a cut are those that generation would have chosen.
            known = torch.where(given >= 0, given, chooser.choose_all(block[..., chooser.ids], sources))
            codes = torch.where(is_revealed & ~is_known, known, codes)
            is_known = is_revealed
            revealed = torch.full_like(self.seen, -1).masked_scatter(in_block, codes)
            predicted = self.forward(revealed)[rows][in_block[rows][:, -kept:]].view_as(block)
            block = torch.where(is_known.unsqueeze(-1), block, predicted)
            logits[in_block[:, -kept:]] = block.flatten(0, 1)


def text_scores(head: Any, hidden: torch.Tensor, tokens: torch.Tensor, config: UniPoseConfig) -> torch.Tensor:
    """The log-probabilities of tokens of texts, among the tokens that the grammar allows there.

    Args:
        head: The language head.
        hidden: (tokens, hidden_size) that each token is predicted from.
        tokens: (tokens,) ids.
        config: Config with the token ids.

    Returns:
        (tokens,) float32; NaN if a logit is not finite.
    """
    text_config: Any = config.text_config
    size, codes = text_config.vocab_size, config.pose_code_start_id
    allowed = TokenKinds.of_vocabulary(config, size, tokens.device).text
    ranges = ((0, codes), (codes + config.num_pose_codes, size))
    parts = [slice(first, min(first + COLUMNS, end)) for start, end in ranges for first in range(start, end, COLUMNS)]
    total = chosen = torch.full(tokens.shape, -torch.inf, device=tokens.device)
    zero = torch.zeros((), device=tokens.device)
    for part, logits in zip(parts, columns_of(head, hidden, parts)):
        scores, place = logits.float(), tokens - part.start
        # Neither NaN nor infinite values of any sign get lost in this sum.
        zero = zero + scores.sum() * 0.0
        if not allowed[part].all():
            scores = torch.where(allowed[part], scores, -torch.inf)
        total = torch.logaddexp(total, scores.logsumexp(dim=1))
        own = scores.gather(1, place.clamp(0, scores.shape[1] - 1).unsqueeze(1)).squeeze(1)
        chosen = torch.where((place >= 0) & (place < scores.shape[1]), own, chosen)
    return chosen - total + zero


def answer_logits(
    ids: torch.Tensor, logits: torch.Tensor, grammar: PoseGrammar, config: UniPoseConfig, end_ids: list[int]
) -> AnswerLogits:
    """Scores the answers.

    Args:
        ids: (batch, length) prompts with their answers.
        logits: (batch, new tokens, vocab_size) of the model, that each token of the answers was chosen from.
        grammar: Bans what generation could not choose.
        config: Config with the token ids.
        end_ids: Tokens that end an answer; what follows is padding.
    """
    prompt = ids.shape[1] - logits.shape[1]
    generated = ids[:, prompt:]
    is_open = is_before_end(generated, end_ids)
    is_code = is_pose_code(generated, config)
    position = torch.arange(ids.shape[1], device=ids.device)
    # Without a pose-start before it, no token counts as one of a pose.
    start = torch.where(ids == config.pose_start_token_id, position, -1 - config.num_pose_tokens).cummax(dim=1).values
    token_of_pose = (position - start - 1)[:, prompt:]
    return AnswerLogits(
        scores=allowed_scores(ids, logits, grammar, config, is_code & (token_of_pose < config.num_pose_tokens)),
        generated_ids=generated,
        is_code=is_code & is_open,
        is_text=~is_code & is_open & (generated != config.pose_end_token_id),
        token_of_pose=token_of_pose,
    )


def is_before_end(generated: torch.Tensor, end_ids: list[int]) -> torch.Tensor:
    """The tokens of answers up to the one that ends them.

    Args:
        generated: (batch, new tokens).
        end_ids: Tokens that end an answer; what follows is padding.

    Returns:
        (batch, new tokens) bool.
    """
    ended = torch.isin(generated, generated.new_tensor(end_ids)).cumsum(dim=1)
    return torch.nn.functional.pad(ended, (1, 0))[:, :-1] == 0


def text_answer_scores(
    generated: torch.Tensor, logits: Sequence[torch.Tensor], grammar: PoseGrammar, end_ids: list[int]
) -> AnswerScores:
    """Scores answers that hold no poses, step by step: the logits of one step stay in the processor's cache.

    Args:
        generated: (batch, new tokens).
        logits: (batch, vocab_size) of each step, finite.
        grammar: Of the mode "text".
        end_ids: Tokens that end an answer; what follows is padding.
    """
    steps = [
        grammar.text_scores(scores.unsqueeze(1), [step])[:, 0].gather(1, generated[:, step, None])
        for step, scores in enumerate(logits)
    ]
    is_text = is_before_end(generated, end_ids)
    is_code, none = torch.zeros_like(is_text), generated.new_empty(0)
    log_probabilities = torch.where(is_text, torch.cat(steps, dim=1), 0.0)
    return AnswerScores(log_probabilities, is_code, is_text, log_probabilities.new_empty(0, 0), none)


def allowed_scores(
    ids: torch.Tensor, logits: torch.Tensor, grammar: PoseGrammar, config: UniPoseConfig, in_block: torch.Tensor
) -> torch.Tensor:
    """The log-probabilities of the tokens that the grammar allows.

    Args:
        ids: (batch, length) prompts with their answers.
        logits: (batch, new tokens, vocab_size) of the model, that each token of the answers was chosen from.
        grammar: Bans what generation could not choose.
        config: Config with the token ids.
        in_block: (batch, new tokens) bool, codes of poses, where the grammar allows all codes and nothing else.

    Returns:
        (batch, new tokens, vocab_size), -inf for tokens that are not allowed.
    """
    prompt = ids.shape[1] - logits.shape[1]
    is_outside = (codes_before(ids, config)[:, prompt:] < 0).all(dim=0) & (grammar.generation_mode != "pose")
    if is_outside.all():
        return grammar.text_scores(logits, list(range(prompt, ids.shape[1])))
    scores = torch.full_like(logits, -torch.inf, dtype=torch.float32)
    codes = slice(config.pose_code_start_id, config.pose_code_start_id + config.num_pose_codes)
    if in_block.any():
        scores[..., codes] = logits[..., codes].float().log_softmax(dim=-1)
    if is_outside.any():
        steps = is_outside.nonzero().flatten()
        scores[:, steps] = grammar.text_scores(logits[:, steps], [prompt + step for step in steps.tolist()])
    for step in ((~in_block).any(dim=0) & ~is_outside).nonzero().flatten().tolist():
        allowed = grammar(ids[:, : prompt + step], logits[:, step].float()).log_softmax(dim=-1)
        scores[:, step] = torch.where(in_block[:, step, None], scores[:, step], allowed)
    return scores


def masked_mean(values: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """The mean of values where a mask holds.

    Args:
        values: (batch, new tokens).
        mask: (batch, new tokens) bool.

    Returns:
        (batch,); 0 where the mask never holds.
    """
    return torch.where(mask, values, 0.0).sum(dim=1) / mask.sum(dim=1).clamp_min(1)


def answer_features(answers: AnswerScores, chooser: CodeChooser, names: Collection[str]) -> list[dict[str, float]]:
    """What tells how sure the model was of each answer; see `FEATURES`.

    Args:
        answers: The scored answers.
        chooser: Holds the codebooks.
        names: Names of the needed features.

    Returns:
        The features of each answer, in the order of `FEATURES`; no features of codes if no answer has a pose.
    """
    log_probabilities = answers.log_probabilities
    masks = {
        "log_prob": answers.is_code | answers.is_text,
        "text_log_prob": answers.is_text,
        "code_log_prob": answers.is_code,
    }
    found = {name: masked_mean(log_probabilities, mask) for name, mask in masks.items() if name in names}
    if "text_min_log_prob" in names:
        found["text_min_log_prob"] = torch.where(answers.is_text, log_probabilities, 0.0).amin(dim=1)
    if not CODE_FEATURES.isdisjoint(names) and answers.is_code.any():
        for name, values in code_features(answers, chooser).items():
            spread = torch.zeros_like(log_probabilities).masked_scatter(answers.is_code, values)
            found[name] = masked_mean(spread, answers.is_code)
    columns = {name: found[name].tolist() for name in FEATURES if name in found and name in names}
    return [{name: column[row] for name, column in columns.items()} for row in range(len(log_probabilities))]


def code_features(answers: AnswerScores, chooser: CodeChooser) -> dict[str, torch.Tensor]:
    """(codes,) of each of `CODE_FEATURES`.

    Args:
        answers: The scored answers.
        chooser: Holds the codebooks.
    """
    pose_tokenizer, tokens, scores = chooser.pose_tokenizer, answers.tokens, answers.code_scores
    probabilities = scores.softmax(dim=-1)
    means = pose_tokenizer.expected_features(probabilities, tokens)
    nearest = pose_tokenizer.nearest_codes(means, tokens)
    return {
        "code_entropy": -(probabilities * scores.clamp_min(torch.finfo(scores.dtype).min)).sum(dim=-1),
        "code_variance": pose_tokenizer.code_variance(probabilities, tokens, means),
        "code_agreement": (nearest == scores.argmax(dim=-1)).float(),
    }


__all__ = [
    "AnswerLogits",
    "AnswerScores",
    "TeacherForcing",
    "answer_features",
    "answer_logits",
    "masked_mean",
    "text_answer_scores",
]

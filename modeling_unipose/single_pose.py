"""Greedy answers that are one pose each, without the library's loop: the codes of a block are chosen at once.

The loop takes one code a step, and each step passes over the whole vocabulary several times: more work than the
forward of a small model. Where nothing looks at single steps, ids, logits and cache are the same without it.
"""

from dataclasses import dataclass
from typing import Any

import torch
from transformers import GenerationConfig
from transformers.generation import MaxLengthCriteria
from transformers.generation.streamers import BaseStreamer
from transformers.generation.utils import GenerateDecoderOnlyOutput

from .cache_keyword import CACHE
from .configuration_unipose import UniPoseConfig
from .finite_checks import FiniteLogits, NumericScores, check_logits
from .pose_blocks import PoseBlocks
from .pose_decoding import CodeChooser, ExpectedCodes
from .pose_grammar import PoseGrammar
from .query_runs import codes_since_start, is_pose_code


# They look at single steps, but the codes that are chosen at once pass them.
OWN_PROCESSORS = (FiniteLogits, PoseGrammar, ExpectedCodes, NumericScores)


@dataclass
class UniPoseGenerateOutput(GenerateDecoderOnlyOutput):
    """The library's output of `generate`, and the logits of the codes of an answer that is one pose.

    Args:
        code_logits: (batch, num_pose_tokens, codebook_size) that each code was chosen from, with
            `output_code_logits=True`.
    """

    code_logits: torch.Tensor | None = None


def can_choose_at_once(ids: torch.Tensor, model_config: UniPoseConfig, arguments: dict[str, Any]) -> bool:
    """Whether all answers of a call of `generate` are single poses that start now, and nothing looks at single steps.

    Args:
        ids: (batch, length) prompts.
        model_config: Config with the token ids.
        arguments: Those of the library's loop.
    """
    config: GenerationConfig = arguments["generation_config"]
    cache, criteria = arguments.get(CACHE), arguments["stopping_criteria"]
    ends = [criterion.eos_token_id for criterion in criteria if hasattr(criterion, "eos_token_id")]
    known = len(ends) + sum(isinstance(criterion, MaxLengthCriteria) for criterion in criteria)
    looked_at = config.output_scores or config.output_logits
    looked_at = looked_at or config.output_attentions or config.output_hidden_states
    return (
        not (config.do_sample or looked_at or config.is_assistant or config.prefill_chunk_size)
        and (cache is None or int(cache.get_seq_length()) == 0)
        and all(isinstance(processor, OWN_PROCESSORS) for processor in arguments["logits_processor"])
        and known == len(criteria)
        and any((own == model_config.pose_end_token_id).any() for own in ends)
        and bool((codes_since_start(ids, model_config) == 0).all())
    )


def generate_single_poses(
    model: Any,
    ids: torch.Tensor,
    blocks: PoseBlocks,
    chooser: CodeChooser,
    generation_config: GenerationConfig,
    streamer: BaseStreamer | None,
    inputs: dict[str, Any],
) -> Any:
    """What the library's loop returns for prompts that end in pose-start: ids, or an output with them.

    Args:
        model: The model with its head.
        ids: (batch, length) prompts.
        blocks: Unused blocks of the call, with `codes_only`.
        chooser: Chooses the codes.
        generation_config: Options of the call.
        streamer: Gets each token of all rows, as in the loop.
        inputs: The other inputs of the prompts.
    """
    prepared = model.prepare_inputs_for_generation(ids, is_first_iteration=True, pose_blocks=blocks, **inputs)
    outputs = model(**prepared, return_dict=True)
    cache = outputs.get(CACHE)
    blocks.store(outputs.logits, cache)
    logits, first = blocks.blocks[0].logits.float(), model.config.pose_code_start_id
    codes = chooser.choose_all(logits, blocks.source_codes) + first
    end = ids.new_full((len(ids), 1), model.config.pose_end_token_id)
    sequences = torch.cat([ids, codes, end], dim=1)
    check_logits(model, sequences[:, :-1], logits, first)
    if streamer is not None:
        for step in sequences[:, ids.shape[1] :].cpu().unbind(1):
            streamer.put(step)
        streamer.end()
    if not generation_config.return_dict_in_generate:
        return sequences
    output: dict[str, Any] = {"sequences": sequences, "code_logits": logits, CACHE: cache}
    return UniPoseGenerateOutput(**output)


def with_code_logits(output: Any, prompt_length: int, config: UniPoseConfig) -> Any:
    """The output of the library's loop with the logits of the codes of each answer, which is one pose.

    Args:
        output: The library's `GenerateDecoderOnlyOutput`, with the logits of each step.
        prompt_length: Number of tokens of the prompts.
        config: Config with the token ids.
    """
    logits, first = torch.stack(output.logits, dim=1), config.pose_code_start_id
    is_code = is_pose_code(output.sequences[:, prompt_length:], config)
    codes = logits[is_code][:, first : first + config.num_pose_codes]
    return UniPoseGenerateOutput(**output, code_logits=codes.view(len(logits), config.num_pose_tokens, -1).float())


__all__ = ["UniPoseGenerateOutput", "can_choose_at_once", "generate_single_poses", "with_code_logits"]

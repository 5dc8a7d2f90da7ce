"""Greedy answers that are one pose each, without the library's loop: the codes of a block are chosen at once.

The loop takes one code a step, and each step passes over the whole vocabulary several times: more work than the
forward of a small model. Where nothing looks at single steps, ids, logits and cache are the same without it.
"""

from typing import Any

import torch
from transformers import GenerationConfig
from transformers.generation import MaxLengthCriteria
from transformers.generation.utils import GenerateDecoderOnlyOutput

from .cache_keyword import CACHE
from .configuration_unipose import UniPoseConfig
from .finite_checks import FiniteLogits, NumericScores
from .pose_blocks import PoseBlocks
from .pose_decoding import CodeChooser, ExpectedCodes
from .pose_grammar import PoseGrammar
from .query_runs import codes_since_start


# They look at single steps, but the codes that are chosen at once pass them.
OWN_PROCESSORS = (FiniteLogits, PoseGrammar, ExpectedCodes, NumericScores)


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
    looked_at = config.output_scores or config.output_attentions or config.output_hidden_states
    return (
        not (config.do_sample or looked_at or config.is_assistant or config.prefill_chunk_size)
        and arguments.get("streamer") is None
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
    inputs: dict[str, Any],
) -> Any:
    """What the library's loop returns for prompts that end in pose-start: ids, or an output with them.

    Args:
        model: The model with its head.
        ids: (batch, length) prompts.
        blocks: Unused blocks of the call.
        chooser: Chooses the codes.
        generation_config: Options of the call.
        inputs: The other inputs of the prompts.
    """
    prepared = model.prepare_inputs_for_generation(ids, is_first_iteration=True, pose_blocks=blocks, **inputs)
    outputs = model(**prepared, return_dict=True)
    cache = outputs.get(CACHE)
    blocks.store(outputs.logits, cache)
    logits = blocks.blocks[0].logits.float()
    first = model.config.pose_code_start_id
    end = ids.new_full((len(ids), 1), model.config.pose_end_token_id)
    sequences = torch.cat([ids, chooser.choose_all(logits, blocks.source_codes) + first, end], dim=1)
    if not logits.isfinite().all():
        check = FiniteLogits(model)
        for index in range(logits.shape[1]):
            check(sequences[:, : ids.shape[1] + index], logits[:, index])
    if not generation_config.return_dict_in_generate:
        return sequences
    # Those of the step after the last code do not matter, as in the loop.
    steps = (*logits.unbind(1), torch.zeros_like(logits[:, 0])) if generation_config.output_logits else None
    output: dict[str, Any] = {"sequences": sequences, "logits": steps, CACHE: cache}
    return GenerateDecoderOnlyOutput(**output)


__all__ = ["can_choose_at_once", "generate_single_poses"]

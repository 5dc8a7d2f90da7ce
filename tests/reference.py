"""The slow, plain reference for generation and the mask: one row, no cache, masks written cell by cell."""

import torch

from unipose import UniPoseForConditionalGeneration


def mixed_mask(is_query: list[bool], length_before: int = 0) -> torch.Tensor:
    """(length, length) bool: causal, and open both ways inside each run of queries."""
    length = len(is_query)
    mask = torch.zeros(length, length, dtype=torch.bool)
    for query in range(length):
        for key in range(length):
            same_run = is_query[query] and is_query[key] and all(is_query[min(query, key) : max(query, key) + 1])
            mask[query, key] = key <= query or same_run
    return mask


def plain_logits(model: UniPoseForConditionalGeneration, ids: list[int], prompt_embeds: torch.Tensor) -> torch.Tensor:
    """(length, vocab_size) of one unpadded row; prompt_embeds (prompt, hidden) holds images and input poses."""
    config, base = model.config, model.model
    table, rows, run = base.get_input_embeddings().weight, list(prompt_embeds), 0
    is_query = [False] * len(rows)
    for token in ids[len(rows) :]:
        query = token == config.pose_query_token_id
        rows.append(base.pose_query_embeddings.weight[run] if query else table[token])
        run = run + 1 if query else 0
        is_query.append(query)
    mask = mixed_mask(is_query)
    if config.pose_attention == "causal":
        mask = torch.ones_like(mask).tril()
    outputs = base.language_model(
        inputs_embeds=torch.stack(rows)[None],
        attention_mask=torch.zeros(mask.shape).masked_fill(~mask, torch.finfo(torch.float32).min)[None, None],
        position_ids=torch.arange(len(rows))[None],
        use_cache=False,
    )
    hidden = outputs.last_hidden_state[0]
    logits = model.lm_head(hidden)
    if config.source_pose_pointer and config.pose_token_id in ids:
        source = source_ids(model, ids, prompt_embeds)
        run = 0
        for place, query in enumerate(is_query):
            if query:
                logits[place, source[run]] += base.source_pose_pointer(hidden[place])[0]
            run = run + 1 if query else 0
    return logits


def source_ids(model: UniPoseForConditionalGeneration, ids: list[int], prompt_embeds: torch.Tensor) -> list[int]:
    """The codes of the last input pose, read back from its embeddings."""
    config, base = model.config, model.model
    last = len(ids) - 1 - ids[::-1].index(config.pose_token_id)
    pose = prompt_embeds[last - config.num_pose_tokens + 1 : last + 1]
    if base.pose_position_embeddings is not None:
        pose = pose - base.pose_position_embeddings.weight
    return torch.cdist(pose, base.get_input_embeddings().weight).argmin(dim=1).tolist()


def prompt_embeds(model: UniPoseForConditionalGeneration, ids: list[int], poses=None, **pixels) -> torch.Tensor:
    """Embeds a prompt by hand: input poses as the embeddings of their codes, images as projected features."""
    config, base = model.config, model.model
    table = base.get_input_embeddings().weight
    codes = iter([] if poses is None else base.pose_tokenizer.encode(poses).flatten().tolist())
    features = iter(base.get_image_features(**pixels).pooler_output.flatten(0, 1) if pixels else [])
    positions = base.pose_position_embeddings
    rows, run = [], 0
    for token in ids:
        if token == config.pose_token_id:
            code = table[config.pose_code_start_id + next(codes)]
            rows.append(code if positions is None else code + positions.weight[run])
            run += 1
        elif token == config.image_token_id:
            rows.append(next(features))
        else:
            rows.append(table[token])
        run = run if token == config.pose_token_id else 0
    return torch.stack(rows)


def allowed(config, ids: list[int], max_length: int) -> list[int]:
    """Ids that may follow, by reading the row from the left."""
    tokens, codes = config.num_pose_tokens, range(config.pose_code_start_id, config.pose_code_start_id + 32)
    inside = None
    for token in ids:
        inside = 0 if token == config.pose_start_token_id else inside
        if token in codes or token == config.pose_token_id:
            inside += 1
        inside = None if token == config.pose_end_token_id else inside
    if inside is not None:
        return [config.pose_end_token_id] if inside == tokens else list(codes)
    text = list(range(config.pose_code_start_id))
    return text + ([config.pose_start_token_id] if len(ids) + tokens + 2 <= max_length else [])


@torch.no_grad()
def generate_row(model, ids: list[int], embeds: torch.Tensor, new_tokens: int, eos: int, max_length: int, bias):
    """Greedy, one token at a time; `bias(step, logits)` changes the logits as a user's processor would."""
    config = model.config
    mixed, tokens, answer, seen, codes = config.pose_attention == "mixed", config.num_pose_tokens, [], [], []
    for step in range(new_tokens):
        if codes:
            logits = codes.pop(0)
        elif mixed and (answer or ids)[-1] == config.pose_start_token_id:
            block = plain_logits(model, ids + seen + [config.pose_query_token_id] * tokens, embeds)
            logits, *codes = block[-tokens:]
        else:
            logits = plain_logits(model, ids + seen, embeds)[-1]
        scores = torch.full_like(logits, -torch.inf)
        allowed_ids = allowed(config, ids + answer, max_length)
        scores[allowed_ids] = logits[allowed_ids]
        token = int(bias(step, scores).argmax())
        is_code = config.pose_code_start_id <= token < config.pose_code_start_id + 32
        answer.append(token)
        seen.append(config.pose_query_token_id if is_code and mixed else token)
        if token == eos:
            break
    return answer

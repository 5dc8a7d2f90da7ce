"""Latency of text-to-pose: parallel pose blocks against one code per step (`pose_attention="causal"`).

    python benchmarks/parallel_vs_causal.py [--model DIR] [--repeats 7]

Weights are random, since only sizes matter: those of the embedded model, and a medium model
with the paper's 80 tokens per pose.
"""

import copy
from functools import partial
from pathlib import Path

import torch
from measure import parse_arguments, print_machine, print_table
from transformers import AutoConfig, LlamaConfig

from unipose import UniPoseConfig, UniPoseForConditionalGeneration, UniPoseVQVAEConfig
from unipose.embedded_checkpoint import find_embedded_checkpoint
from unipose.training.evaluation.timing import medians


PROMPT_TOKENS = 24
BATCH_SIZES = (1, 8)


def medium_config() -> UniPoseConfig:
    """8 layers of hidden size 512 without vision encoders; pose tokenizer and vocabulary are the paper's."""
    text = LlamaConfig(
        vocab_size=34055,
        hidden_size=512,
        intermediate_size=1408,
        num_hidden_layers=8,
        num_attention_heads=8,
        max_position_embeddings=1024,
    )
    return UniPoseConfig(
        text_config=text, vision_config=None, pose_vision_config=None, pose_tokenizer_config=UniPoseVQVAEConfig()
    )


def random_model(config: UniPoseConfig, pose_attention: str) -> UniPoseForConditionalGeneration:
    """A model with random weights, the same for the same config.

    Args:
        config: sizes of the model; not changed.
        pose_attention: "mixed" or "causal".
    """
    config = copy.deepcopy(config)
    config.pose_attention = pose_attention
    torch.manual_seed(0)
    return UniPoseForConditionalGeneration(config).eval()


def measure(name: str, config: UniPoseConfig, repeats: int) -> list[tuple[str, ...]]:
    """Rows of the table: one per batch size.

    Args:
        name: name of the model's size.
        config: config of the model.
        repeats: number of timed calls.
    """
    parallel, causal = random_model(config, "mixed"), random_model(config, "causal")
    prompt = torch.randint(3, 200, (max(BATCH_SIZES), PROMPT_TOKENS))
    prompt[:, -1] = config.pose_start_token_id
    rows = []
    for batch_size in BATCH_SIZES:
        inputs = {
            "input_ids": prompt[:batch_size],
            "attention_mask": torch.ones_like(prompt[:batch_size]),
            "generation_mode": "pose",
            "pad_token_id": 0,
        }
        models = {"parallel": parallel, "causal": causal}
        seconds = medians({kind: partial(model.generate, **inputs) for kind, model in models.items()}, repeats)
        ratio = seconds["causal"] / seconds["parallel"]
        times = [f"{1000 * seconds[kind]:.1f}" for kind in ("parallel", "causal")]
        rows.append((name, str(config.num_pose_tokens), str(batch_size), *times, f"{ratio:.1f}"))
    return rows


def main() -> None:
    arguments = parse_arguments(__doc__, model=True)
    folder = Path(arguments.model) if arguments.model else find_embedded_checkpoint()
    print_machine()
    rows = measure("embedded", AutoConfig.from_pretrained(folder), arguments.repeats)
    rows += measure("512 x 8 layers", medium_config(), arguments.repeats)
    print_table(["size", "tokens per pose", "batch", "parallel (ms)", "causal (ms)", "causal / parallel"], rows)


if __name__ == "__main__":
    main()

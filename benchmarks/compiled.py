"""Text answers and pose forwards with torch.compile against eager, on one machine in one run.

    python benchmarks/compiled.py [--repeats 5] [--sizes embedded 84m] [--tasks text pose]

Weights of the larger model are random. Seconds of compilation are those of the first call.
"""

import argparse
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from history import describe_run
from measure import median_times, print_table
from model_sizes import SIZES, load_size
from transformers import CompileConfig

from unipose import UniPoseForConditionalGeneration


PROMPT_TOKENS = 24
NEW_TOKENS = 64
TASKS = ("text", "pose")


def text_calls(model: UniPoseForConditionalGeneration, prompt: torch.Tensor) -> dict[str, Callable[[], object]]:
    """Calls that write 64 tokens: with a dynamic cache, with a static one, and with a static one compiled.

    Args:
        model: The model.
        prompt: (1, length) ids.
    """
    compile_config = CompileConfig(fullgraph=True, mode=None)
    # On a CPU the library compiles only if told to.
    compile_config._compile_all_devices = True
    settings = {
        "attention_mask": torch.ones_like(prompt),
        "generation_mode": "text",
        "min_new_tokens": NEW_TOKENS,
        "max_new_tokens": NEW_TOKENS,
        "pad_token_id": 0,
    }
    generate = partial(model.generate, prompt, **settings)
    return {
        "dynamic cache": generate,
        "static cache": partial(generate, cache_implementation="static"),
        "compiled": partial(generate, cache_implementation="static", compile_config=compile_config),
    }


def pose_calls(model: UniPoseForConditionalGeneration, prompt: torch.Tensor) -> dict[str, Callable[[], object]]:
    """The forward of one pose, eager and compiled.

    Args:
        model: The model.
        prompt: (1, length) ids.
    """
    tokens, query = model.config.num_pose_tokens, model.config.pose_query_token_id
    ids = torch.nn.functional.pad(prompt, (0, tokens), value=query)
    inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "logits_to_keep": tokens, "use_cache": False}
    compiled = torch.compile(model, fullgraph=True)
    return {"eager": partial(model, **inputs), "compiled": partial(compiled, **inputs)}


def chosen_tokens(output: Any) -> torch.Tensor:
    """(length,) tokens of an answer: ids of `generate`, or the most probable ones of a forward."""
    return output[0] if isinstance(output, torch.Tensor) else output.logits[0].argmax(dim=-1)


@torch.no_grad()
def measure(name: str, repeats: int, tasks: Sequence[str]) -> list[tuple[str, ...]]:
    """Rows of the table.

    Args:
        name: One of `SIZES`.
        repeats: Number of timed calls.
        tasks: Some of `TASKS`.
    """
    model = load_size(name).model
    prompt = torch.randint(3, 200, (1, PROMPT_TOKENS))
    rows = []
    count = {"text": NEW_TOKENS, "pose": model.config.num_pose_tokens}
    titles = {"text": f"{NEW_TOKENS} tokens of text", "pose": "pose forward"}
    for task in tasks:
        calls = (text_calls if task == "text" else pose_calls)(model, prompt)
        start = time.perf_counter()
        calls["compiled"]()
        compilation = time.perf_counter() - start
        tokens = {kind: chosen_tokens(call())[-count[task] :] for kind, call in calls.items()}
        seconds = median_times(calls, repeats)
        base = next(iter(seconds))
        for kind, value in seconds.items():
            first = f"{compilation:.0f}" if kind == "compiled" else "-"
            same = f"{int((tokens[kind] == tokens[base]).sum())} of {count[task]}"
            times = f"{1000 * value:.1f}", f"{seconds[base] / value:.2f}"
            rows.append((name, titles[task], kind, *times, first, same))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5, help="timed calls; default: %(default)s")
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=SIZES, help="default: both")
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=TASKS, help="default: both")
    arguments = parser.parse_args()
    print(f"{describe_run()}\n")
    rows = [row for size in arguments.sizes for row in measure(size, arguments.repeats, arguments.tasks)]
    print_table(["size", "task", "kind", "ms", "speed-up", "first call (s)", "tokens as eager"], rows)


if __name__ == "__main__":
    main()

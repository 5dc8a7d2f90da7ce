"""Which precision a machine multiplies matrices fastest in: bfloat16 or float32."""

import time
from functools import cache
from typing import Literal

import torch
from transformers.utils import is_torch_bf16_gpu_available, logging


logger = logging.get_logger(__name__)

Precision = Literal["auto", "bf16", "fp16", "fp32"]

PROBE_SIZE = 256
PROBE_REPEATS = 7
# bf16 also costs casts: it must be faster than fp32 by half. AMX is by three times and more; AVX-512 with bf16 takes
# twice the time of fp32 and AVX2 a hundred times, so that noise does not change the answer.
PROBE_SPEEDUP = 1.5


def fastest_dtype(device: torch.device | str) -> torch.dtype:
    """The dtype for matrix products under autocast: bfloat16 where the device is faster in it, else float32.

    An accelerator takes bfloat16 where it supports it. A CPU is measured, once a process, since the instructions that
    it lists say little about the time of bfloat16.
    """
    if torch.device(device).type != "cpu":
        return torch.bfloat16 if is_torch_bf16_gpu_available() else torch.float32
    seconds = cpu_matmul_seconds()
    is_faster = PROBE_SPEEDUP * seconds[torch.bfloat16] < seconds[torch.float32]
    return torch.bfloat16 if is_faster else torch.float32


def choose_precision(device: torch.device | str) -> Literal["bf16", "fp32"]:
    """What `precision: auto` means on a device; says so, and why, in one line of the log."""
    chosen: Literal["bf16", "fp32"] = "bf16" if fastest_dtype(device) == torch.bfloat16 else "fp32"
    if torch.device(device).type == "cpu":
        milliseconds = {dtype: 1000 * seconds for dtype, seconds in cpu_matmul_seconds().items()}
        reason = (
            f"this CPU multiplies matrices in {milliseconds[torch.bfloat16]:.2f} ms in bf16, "
            f"{milliseconds[torch.float32]:.2f} ms in fp32"
        )
    else:
        reason = f"this {device} {'supports' if chosen == 'bf16' else 'does not support'} bf16"
    logger.warning(f"precision {chosen}: {reason}")
    return chosen


@cache
def cpu_matmul_seconds() -> dict[torch.dtype, float]:
    """The shortest of some products of two square matrices, in each dtype; the dtypes take turns."""
    matrices = {dtype: torch.ones(PROBE_SIZE, PROBE_SIZE, dtype=dtype) for dtype in (torch.bfloat16, torch.float32)}
    seconds = dict.fromkeys(matrices, float("inf"))
    with torch.no_grad():
        for _ in range(PROBE_REPEATS):
            for dtype, matrix in matrices.items():
                start = time.perf_counter()
                matrix @ matrix
                seconds[dtype] = min(seconds[dtype], time.perf_counter() - start)
    return seconds

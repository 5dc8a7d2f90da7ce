"""Choice of the fastest precision of a machine: bfloat16 or float32."""

import time
from functools import cache
from typing import Literal

import torch
from transformers.utils import is_torch_bf16_gpu_available, logging


logger = logging.get_logger(__name__)

Precision = Literal["auto", "bf16", "fp16", "fp32"]

PROBE_SIZE = 256
PROBE_REPEATS = 7
# bf16 needs casts, so it must be 1.5 times as fast as fp32. With AMX it is three times as fast or more. With AVX-512
# it takes twice the time of fp32, with AVX2 a hundred times. So noise does not change the choice.
PROBE_SPEEDUP = 1.5


def fastest_dtype(device: torch.device | str) -> torch.dtype:
    """The dtype for matrix products under autocast: bfloat16 where the device is faster in it, else float32.

    An accelerator uses bfloat16 if it supports it. A CPU is measured once per process, because its list of
    instructions does not predict the speed of bfloat16.
    """
    if torch.device(device).type != "cpu":
        return torch.bfloat16 if is_torch_bf16_gpu_available() else torch.float32
    seconds = cpu_matmul_seconds()
    is_faster = PROBE_SPEEDUP * seconds[torch.bfloat16] < seconds[torch.float32]
    return torch.bfloat16 if is_faster else torch.float32


def choose_precision(device: torch.device | str) -> Literal["bf16", "fp32"]:
    """Resolves `precision: auto` on a device, and logs the choice with its reason."""
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
    """The shortest time of several matrix products in each dtype; the dtypes alternate."""
    matrices = {dtype: torch.ones(PROBE_SIZE, PROBE_SIZE, dtype=dtype) for dtype in (torch.bfloat16, torch.float32)}
    seconds = dict.fromkeys(matrices, float("inf"))
    with torch.no_grad():
        for _ in range(PROBE_REPEATS):
            for dtype, matrix in matrices.items():
                start = time.perf_counter()
                matrix @ matrix
                seconds[dtype] = min(seconds[dtype], time.perf_counter() - start)
    return seconds

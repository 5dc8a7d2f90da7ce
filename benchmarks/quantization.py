"""Size on disk, load and speed with weights in 8 and 4 bits, against float.

    python benchmarks/quantization.py [--repeats 5] [--sizes embedded 84m]

Weights of the larger model are random. Needs `pip install 'unipose[quantization]'`.
"""

import argparse
import tempfile
import time
from functools import partial
from pathlib import Path

import torch
from measure import print_machine, print_table
from model_sizes import SIZES, load_size
from torchao.quantization import Int8WeightOnlyConfig
from transformers import BitsAndBytesConfig, TorchAoConfig

from unipose import UniPoseForConditionalGeneration
from unipose.embedded_checkpoint import find_embedded_checkpoint
from unipose.training.evaluation.timing import medians


PROMPT_TOKENS = 24
NEW_TOKENS = 32
CONFIGS = {
    "float": lambda: None,
    "int8": lambda: TorchAoConfig(Int8WeightOnlyConfig()),
    "nf4": lambda: BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=torch.float32
    ),
}


def megabytes_on_disk(folder: Path, kind: str, dtype: torch.dtype) -> float:
    """Size of the saved weights.

    Args:
        folder: Folder of the float model.
        kind: Key of `CONFIGS`.
        dtype: Type of the weights that are not quantized.
    """
    with tempfile.TemporaryDirectory() as saved:
        load(folder, kind, dtype).save_pretrained(saved)
        return sum(path.stat().st_size for path in Path(saved).glob("*.safetensors")) / 1e6


def load(folder: Path, kind: str, dtype: torch.dtype = torch.float32) -> UniPoseForConditionalGeneration:
    """A model with quantized weights.

    Args:
        folder: Folder of the float model.
        kind: Key of `CONFIGS`.
        dtype: Type of the weights that are not quantized.
    """
    config = CONFIGS[kind]()
    options = {} if config is None else {"quantization_config": config}
    return UniPoseForConditionalGeneration.from_pretrained(folder, dtype=dtype, **options).eval()


def measure(name: str, folder: Path, repeats: int) -> list[tuple[str, ...]]:
    """Rows of the table: one for each form.

    Args:
        name: Name of the model's size.
        folder: Folder of the float model.
        repeats: Number of timed calls.
    """
    prompt = torch.randint(3, 200, (1, PROMPT_TOKENS))
    mask = torch.ones_like(prompt)
    models, loading = {}, {}
    for kind in CONFIGS:
        start = time.perf_counter()
        models[kind] = load(folder, kind)
        loading[kind] = time.perf_counter() - start
    start_of_pose = torch.tensor([[models["float"].config.pose_start_token_id]])
    pose_prompt = torch.cat([prompt, start_of_pose], dim=1)
    poses = {
        kind: partial(
            model.generate,
            pose_prompt,
            attention_mask=torch.ones_like(pose_prompt),
            generation_mode="pose",
            pad_token_id=0,
        )
        for kind, model in models.items()
    }
    texts = {
        kind: partial(
            model.generate,
            prompt,
            attention_mask=mask,
            generation_mode="text",
            min_new_tokens=NEW_TOKENS,
            max_new_tokens=NEW_TOKENS,
            pad_token_id=0,
        )
        for kind, model in models.items()
    }
    pose_seconds, text_seconds = medians(poses, repeats), medians(texts, repeats)
    rows = []
    for kind in models:
        sizes = [megabytes_on_disk(folder, kind, dtype) for dtype in (torch.float32, torch.float16)]
        ratios = [seconds[kind] / seconds["float"] for seconds in (pose_seconds, text_seconds)]
        rows.append(
            (
                name,
                kind,
                *(f"{size:.1f}" for size in sizes),
                f"{loading[kind]:.1f}",
                *(f"{ratio:.2f}" for ratio in ratios),
            )
        )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5, help="timed calls; default: %(default)s")
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=SIZES)
    arguments = parser.parse_args()
    print_machine()
    rows = []
    if "embedded" in arguments.sizes:
        rows += measure("embedded", find_embedded_checkpoint(), arguments.repeats)
    if "84m" in arguments.sizes:
        with tempfile.TemporaryDirectory() as folder:
            load_size("84m").model.save_pretrained(folder)
            rows += measure("84m", Path(folder), arguments.repeats)
    header = ["size", "weights", "disk (MB)", "disk, rest in float16 (MB)", "load (s)"]
    print_table([*header, "time of a pose / float", f"time of {NEW_TOKENS} tokens / float"], rows)


if __name__ == "__main__":
    main()

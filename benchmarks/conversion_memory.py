"""Peak memory of the conversion, on a synthetic release with random weights and scaled-down sizes.

PYTHONPATH=tests python benchmarks/conversion_memory.py

The components have the 7B release's proportions: 90 % language model, 2 % CLIP, 8 % pose encoder. Tensor names,
tokenizer and configs are those of the recorded tiny release. The peak is that of the whole process, including the
interpreter, libraries and mapped files.
"""

import argparse
import json
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
from golden import find
from measure import print_table
from safetensors.torch import load_file, save_file


# Hidden sizes and layers; those of the 7B release are 4096 x 32, 1024 x 24 and 1280 x 32.
TEXT, CLIP, POSE = {"width": 1536, "layers": 24}, {"width": 320, "layers": 16}, {"width": 512, "layers": 20}
MLP_RATIO = 3.5
LORA_RANK = 64
# VmHWM in /proc is the kernel's record of the peak memory (Linux).
CONVERT = """
import sys
from unipose.convert_unipose_weights_to_hf import main
status = main(sys.argv[1:])
print(open("/proc/self/status").read())
sys.exit(status)
"""


def shape(key: str, tensor: torch.Tensor) -> tuple[int, ...]:
    """The shape of an enlarged tensor.

    Args:
        key: its name.
        tensor: the tiny release's tensor, whose hidden and intermediate sizes (64 and 128, 32 and 64, 32 and 128) are
            replaced.
    """
    if "vision_model" in key:
        sizes = {32: CLIP["width"], 64: 4 * CLIP["width"]}
    elif "backbone" in key:
        sizes = {32: POSE["width"], 96: 3 * POSE["width"], 128: 4 * POSE["width"]}
    elif "mm_projector.0" in key and "weight" in key:
        return (TEXT["width"], CLIP["width"] + POSE["width"])
    elif "lora" in key or "model." in key or "lm_head" in key:
        inner = int(MLP_RATIO * TEXT["width"])
        sizes = {64: TEXT["width"], 128: inner, 32: TEXT["width"] // 2, 8: LORA_RANK}
    else:
        sizes = {}
    return tuple(sizes.get(size, size) for size in tensor.shape)


def enlarge(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Random tensors: layer 0 of the tiny release, repeated for every layer of the enlarged one."""
    result = {}
    for key, tensor in tensors.items():
        layer = re.search(r"(?:layers|blocks)\.(\d+)\.", key)
        if layer and layer[1] != "0":
            continue
        part = CLIP if "vision_model" in key else POSE if "backbone" in key else TEXT
        for number in range(part["layers"] if layer else 1):
            name = re.sub(r"(layers|blocks)\.0\.", rf"\1.{number}.", key)
            result[name] = torch.rand(shape(key, tensor)).half() if tensor.is_floating_point() else tensor
    return result


def make_release(folder: Path) -> None:
    """Writes the files of a release into `folder`, named as in the authors' release."""
    tiny = find("cache")
    for name in ("unipose", "clip-vit-large-patch14-336", "pose_vqvae"):
        shutil.copytree(tiny / name, folder / name, copy_function=shutil.copyfile)
    config = json.loads((folder / "unipose" / "config.json").read_text())
    config |= {"hidden_size": TEXT["width"], "intermediate_size": int(MLP_RATIO * TEXT["width"])}
    config |= {"num_hidden_layers": TEXT["layers"], "num_attention_heads": 16, "num_key_value_heads": 8}
    (folder / "unipose" / "config.json").write_text(json.dumps(config))
    clip = json.loads((folder / "clip-vit-large-patch14-336" / "config.json").read_text())
    clip |= {"hidden_size": CLIP["width"], "intermediate_size": 4 * CLIP["width"], "num_hidden_layers": CLIP["layers"]}
    (folder / "clip-vit-large-patch14-336" / "config.json").write_text(json.dumps(clip))
    adapter = json.loads((folder / "unipose" / "adapter_config.json").read_text())
    (folder / "unipose" / "adapter_config.json").write_text(json.dumps(adapter | {"r": LORA_RANK}))

    llava = enlarge(load_file(tiny / "llava-v1.6-mistral-7b" / "model.safetensors"))
    (folder / "llava").mkdir()
    names = sorted(llava)
    # In four files, like the release's.
    for part in range(4):
        tensors = {name: llava[name] for name in names[part::4]}
        save_file(tensors, folder / "llava" / f"model-{part}.safetensors")
    save_file(
        enlarge(load_file(tiny / "unipose" / "adapter_model.safetensors")),
        folder / "unipose" / "adapter_model.safetensors",
    )
    trained = torch.load(tiny / "unipose" / "non_lora_trainables.bin", weights_only=True)
    torch.save(enlarge(trained), folder / "unipose" / "non_lora_trainables.bin")
    hmr = torch.load(tiny / "tokenhmr_model.ckpt", weights_only=True)["state_dict"]
    torch.save({"state_dict": enlarge(hmr)}, folder / "tokenhmr_model.ckpt")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--max-shard-size", default="160MB", help="2 GB, scaled like the release; default: %(default)s"
    )
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        make_release(folder)
        command = [sys.executable, "-c", CONVERT, "--dtype", "float16"]
        options = {"llava": "llava", "unipose": "unipose", "clip": "clip-vit-large-patch14-336"}
        options |= {"pose-vqvae": "pose_vqvae", "tokenhmr": "tokenhmr_model.ckpt", "output": "out"}
        for name, value in options.items():
            command += [f"--{name}", str(folder / value)]
        start = time.perf_counter()
        command += ["--max-shard-size", arguments.max_shard_size]
        printed = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
        seconds = time.perf_counter() - start
        peak = int(re.search(r"VmHWM:\s+(\d+) kB", printed)[1]) * 1024
        size = sum(path.stat().st_size for path in (folder / "out").glob("*.safetensors"))
    figures = [f"{size / 1e9:.2f}", f"{peak / 1e9:.2f}", f"{peak / size:.2f}", f"{seconds:.0f}"]
    print_table(["fp16 size (GB)", "peak memory (GB)", "peak / size", "seconds"], [figures])


if __name__ == "__main__":
    main()

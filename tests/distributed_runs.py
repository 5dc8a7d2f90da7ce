"""What `test_distributed` starts under `accelerate launch`: all its trainings in one start, as imports take longest.

accelerate launch --config_file training/recipes/distributed/ddp_cpu.yaml tests/distributed_runs.py FOLDER
"""

import json
import sys
from pathlib import Path
from unittest import mock

import torch
from torch import distributed
from torch.distributed.fsdp import fully_shard
from transformers import AutoModelForImageTextToText, AutoProcessor

from unipose.training.datasets.shards import load_corpus
from unipose.training.stages import instruct, pose_tokenizer
from unipose.training.trainer.collator import UniPoseDataCollator
from unipose.training.trainer.language import LanguageArguments, gather_full_weights
from unipose.training.trainer.prepared_rows import prepare_rows
from unipose.training.trainer.trainable_parts import INSTRUCT, LoraArguments, set_trainable
from unipose.vector_quantizer import VectorQuantizer


STAGES = {"instruct": instruct.main, "pose_tokenizer": pose_tokenizer.main}
LORA = ("--lora_rank", "2", "--lora_dropout", "0.0")


def run(stage: str, folder: Path, output: str, batch_size: int, *options: str) -> None:
    """A stage's command, by its recipe in `folder`."""
    command = [stage, "--config", str(folder / f"{stage}.yaml"), "--output_dir", str(folder / output)]
    command += ["--per_device_train_batch_size", str(batch_size), *options]
    with mock.patch.object(sys, "argv", command):
        STAGES[stage]()


def quantizer_after_steps(rank: int, processes: int) -> VectorQuantizer:
    """A codebook of 16 that has met 6 batches of 24 vectors, shared out; some codes die."""
    quantizer = VectorQuantizer(16, 4, decay=0.5, dead_code_threshold=0.8).train()
    batches = torch.randn(6, 4, 6, 4, generator=torch.Generator().manual_seed(0))
    # The first process draws as one alone does; the others must not count.
    torch.manual_seed(rank)
    for batch in batches:
        quantizer(batch.chunk(processes)[rank])
    return quantizer


def one_step(folder: Path, rank: int, processes: int, lora: LoraArguments) -> tuple[float, torch.nn.Module]:
    """One step of plain gradient descent on four rows, of which the first half has no images.

    Returns:
        the loss of all rows, and the model with whole weights in the first process.
    """
    torch.manual_seed(0)
    model = AutoModelForImageTextToText.from_pretrained(folder / "model")
    collator = UniPoseDataCollator(AutoProcessor.from_pretrained(folder / "model"))
    rows = prepare_rows(load_corpus(folder / "corpus"), model, collator).remove_columns("row").sort("has_image")
    batch = [rows[index] for index in (0, 1, -2, -1)]
    labels = sum(label != -100 for row in batch for label in row["shift_labels"])
    model = set_trainable(model, INSTRUCT, lora).train()
    if processes > 1:
        for layer in model.get_submodule("base_model.model" if lora.lora_rank else "").model.language_model.layers:
            fully_shard(layer)
        fully_shard(model)
    own = batch[rank * len(batch) // processes : (rank + 1) * len(batch) // processes]
    loss = model(**collator(own), num_items_in_batch=torch.tensor(labels)).loss
    (loss * processes).backward()
    torch.optim.SGD([weight for weight in model.parameters() if weight.requires_grad], 0.1).step()
    total = loss.detach().clone()
    if processes > 1:
        distributed.all_reduce(total)
    return total.item(), gather_full_weights(model, LanguageArguments(str(folder / "model")), lora, INSTRUCT)


def main(folder: Path) -> None:
    run("pose_tokenizer", folder, "poses_of_two", 8)
    rank = distributed.get_rank()
    torch.save(quantizer_after_steps(rank, 2).state_dict(), folder / f"quantizer_{rank}.pt")
    run("instruct", folder, "two", 2)
    run("instruct", folder, "lora_of_two", 2, *LORA)
    resumed = ("--resume_from_checkpoint", str(folder / "two/checkpoint-6"), "--activation_checkpointing", "true")
    run("instruct", folder, "resumed_by_two", 2, *resumed)
    for name, lora in {"whole": LoraArguments(), "lora": LoraArguments(lora_rank=2, lora_dropout=0.0)}.items():
        loss, model = one_step(folder, rank, 2, lora)
        if rank == 0:
            (folder / f"sharded_{name}.json").write_text(json.dumps(loss))
            torch.save(model.state_dict(), folder / f"sharded_{name}.pt")


if __name__ == "__main__":
    main(Path(sys.argv[1]))

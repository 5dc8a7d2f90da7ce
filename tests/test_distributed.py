"""Two processes with half a batch each do what one process does with all of it: every stage, every way to spread.

The language model is trained in float64. In float32 the order in which a batch's gradients are summed, which differs
between one process and two and between CPUs, changes their last bits; Adam divides by the gradient's own size, and
eight steps of a random model enlarge that to 1e-4 and more.
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from accelerate.commands.config.config_args import load_config_from_file
from accelerate.utils import DistributedType
from distributed_runs import LORA, one_step, quantizer_after_steps, run
from stage_recipes import logged, weights, write_stages

from unipose.training.trainer.trainable_parts import LoraArguments


pytestmark = pytest.mark.slow

CONFIGS = Path(__file__).parent.parent / "training/recipes/distributed"
# The pose tokenizer is float32 throughout.
TOLERANCES = {torch.float32: 1e-4, torch.float64: 1e-9}
MOVED = 2e-3


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Holds what one process has trained, and what two have."""
    folder = tmp_path_factory.mktemp("distributed")
    write_stages(folder, torch.float64)
    launch = [sys.executable, "-m", "accelerate.commands.launch", "--config_file", str(CONFIGS / "ddp_cpu.yaml")]
    script = str(Path(__file__).with_name("distributed_runs.py"))
    with subprocess.Popen([*launch, script, str(folder)], stderr=subprocess.PIPE, text=True) as process:
        # While the two processes start, which takes longest.
        run("instruct", folder, "one", 4)
        run("instruct", folder, "lora_of_one", 4, *LORA)
        run("pose_tokenizer", folder, "poses_of_one", 16)
        _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    return folder


def assert_same_weights(got: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> None:
    assert got.keys() == expected.keys()
    for name, value in expected.items():
        bound = TOLERANCES.get(value.dtype, 0.0)
        torch.testing.assert_close(
            got[name], value, atol=bound, rtol=bound, msg=lambda text, name=name: f"{name}: {text}"
        )


@pytest.mark.parametrize("runs", [("one", "two"), ("lora_of_one", "lora_of_two"), ("poses_of_one", "poses_of_two")])
def test_two_processes_equal_one(folder: Path, runs: tuple[str, str]) -> None:
    one, two = (folder / name for name in runs)
    assert logged(two) == pytest.approx(logged(one), rel=1e-4)
    assert_same_weights(weights(two), weights(one))
    assert {path.name for path in two.glob("*")} == {path.name for path in one.glob("*")}


def test_training_updates_the_projector_and_not_the_encoders(folder: Path) -> None:
    before, after = weights(folder / "model"), weights(folder / "two")
    moved = {name for name, value in after.items() if (value.double() - before[name].double()).abs().max() > MOVED}
    assert {name for name in after if "multi_modal_projector" in name} <= moved
    assert not any("tower" in name or "pose_tokenizer" in name for name in moved)


def test_two_processes_resume_in_the_order_of_the_second_epoch(folder: Path) -> None:
    """With activation checkpointing, which must change nothing."""
    assert logged(folder / "resumed_by_two") == pytest.approx(logged(folder / "two"), rel=1e-4)
    assert_same_weights(weights(folder / "resumed_by_two"), weights(folder / "two"))


@pytest.mark.parametrize("name", ["rotation_loss", "joint_loss", "vertex_loss", "commitment_loss", "perplexity"])
def test_loss_parts_are_those_of_all_processes(folder: Path, name: str) -> None:
    got, expected = (logged(folder / run, name) for run in ("poses_of_two", "poses_of_one"))
    assert len(got) == 4
    assert got == pytest.approx(expected, rel=1e-4)


def test_processes_share_one_codebook(folder: Path) -> None:
    """Its start, its moving averages and its dead codes are those of one process with all vectors."""
    first, second = (torch.load(folder / f"quantizer_{rank}.pt") for rank in (0, 1))
    alone = quantizer_after_steps(0, 1).state_dict()
    assert (alone["ema_count"] < 0.8).any(), "some codes have died"
    for name, value in alone.items():
        assert torch.equal(first[name], second[name])
        torch.testing.assert_close(first[name], value)


@pytest.mark.parametrize("name", ["whole", "lora"])
def test_shards_of_weights_learn_as_whole_weights(folder: Path, name: str) -> None:
    """torch's fully_shard, as fsdp2.yaml asks for, in a step where one process has images and one has none."""
    lora = LoraArguments(lora_rank=2, lora_dropout=0.0) if name == "lora" else LoraArguments()
    loss, model = one_step(folder, 0, 1, lora)
    assert json.loads((folder / f"sharded_{name}.json").read_text()) == pytest.approx(loss, rel=1e-5)
    assert_same_weights(torch.load(folder / f"sharded_{name}.pt"), model.state_dict())


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("ddp_cpu", DistributedType.MULTI_GPU),
        ("two_machines", DistributedType.MULTI_GPU),
        ("fsdp2", DistributedType.FSDP),
        ("zero2", DistributedType.DEEPSPEED),
    ],
)
def test_accelerate_reads_the_configs(name: str, kind: DistributedType) -> None:
    config = load_config_from_file(str(CONFIGS / f"{name}.yaml"))
    assert config.distributed_type == kind
    assert config.num_processes > 1

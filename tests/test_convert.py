"""The conversion command: every key is accounted for, faults are named, the result loads everywhere."""

import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from golden import load
from huggingface_hub import HfApi, ModelCard
from original import case_inputs, converted, load_converted, processor, release
from safetensors.torch import load_file, save_file
from transformers import AutoModel, AutoModelForImageTextToText, pipeline

from unipose.cli import main as unipose
from unipose.convert_unipose_weights_to_hf import TASK_PROMPTS, OriginalRelease, build_parser, convert, main
from unipose.original_weights import ASSUMED_CODE_COUNT
from unipose.tasks_unipose import TASKS


State = dict[str, torch.Tensor]


def arguments(parts: OriginalRelease, output: Path, *more: str) -> list[str]:
    named = {
        "--llava": parts.llava,
        "--unipose": parts.unipose,
        "--clip": parts.clip,
        "--pose-vqvae": parts.pose_vqvae,
        "--tokenhmr": parts.tokenhmr,
        "--output": output,
    }
    return [text for name, value in named.items() for text in (name, str(value))] + list(more)


@pytest.fixture
def copied(tmp_path: Path) -> OriginalRelease:
    """The recorded release, to be damaged."""
    parts, folder = release(), tmp_path / "release"
    shutil.copytree(parts.llava, folder / "llava", copy_function=shutil.copyfile)
    shutil.copytree(parts.unipose, folder / "unipose", copy_function=shutil.copyfile)
    shutil.copytree(parts.pose_vqvae, folder / "pose_vqvae", copy_function=shutil.copyfile)
    shutil.copyfile(parts.tokenhmr, folder / "tokenhmr.ckpt")
    return replace(
        parts,
        llava=folder / "llava",
        unipose=folder / "unipose",
        pose_vqvae=folder / "pose_vqvae",
        tokenhmr=folder / "tokenhmr.ckpt",
    )


def change_tensors(path: Path, change: Callable[[State], object]) -> None:
    """Rewrites the tensors of a file in its own format."""
    if path.suffix == ".safetensors":
        tensors = load_file(path)
        change(tensors)
        save_file(tensors, path)
    else:
        content = torch.load(path, weights_only=True)
        change(content.get("state_dict", content))
        torch.save(content, path)


# What is written.


def test_command_writes_a_complete_repository(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert main(arguments(release(), tmp_path, "--dtype", "float32")) == 0
    printed = capsys.readouterr().out
    assert "not used: 28 tensors of adapter: merged into the language model's weights" in printed
    files = {path.name for path in tmp_path.iterdir()}
    assert files >= {"config.json", "generation_config.json", "model.safetensors", "tokenizer.json", "README.md"}
    assert files >= {"processor_config.json", "chat_template.jinja", "modeling_unipose.py", "pipeline_unipose.py"}
    expected = load_converted().state_dict()
    got = load_file(tmp_path / "model.safetensors")
    assert {name: value.tolist() for name, value in got.items()} == {
        name: value.tolist() for name, value in expected.items()
    }


def test_every_weight_is_loaded_and_none_is_left():
    _, got = AutoModelForImageTextToText.from_pretrained(converted(), output_loading_info=True)
    assert not any(got[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    _, got = AutoModel.from_pretrained(converted(), output_loading_info=True)
    assert not got["missing_keys"]


def test_queries_are_the_last_rows_of_the_embedding():
    model = load_converted()
    table = model.get_input_embeddings().weight
    assert torch.equal(model.model.pose_query_embeddings.weight, table[-80:])


def test_codebook_sums_let_training_continue():
    """The original stores no sums and draws a new codebook in its first step."""
    tokenizer = load_converted().model.pose_tokenizer.train()
    before = tokenizer.quantizer.codebook.clone()
    torch.testing.assert_close(tokenizer.quantizer.ema_sum, before * ASSUMED_CODE_COUNT)
    with torch.no_grad():
        tokenizer(torch.randn(4, 22, 6, generator=torch.Generator().manual_seed(0)))
    assert (tokenizer.quantizer.codebook - before).abs().max() < 0.2 * before.abs().max()


def test_shards_hold_the_same_weights(tmp_path: Path):
    convert(release(), tmp_path, torch.float32, max_shard_size="300KB")
    index = json.loads((tmp_path / "model.safetensors.index.json").read_text())
    shards = sorted(set(index["weight_map"].values()))
    assert len(shards) > 3
    got = {name: tensor for shard in shards for name, tensor in load_file(tmp_path / shard).items()}
    expected = load_file(converted() / "model.safetensors")
    assert got.keys() == expected.keys()
    assert all(torch.equal(got[name], expected[name]) for name in expected)


def test_half_precision_keeps_the_pose_tokenizer_in_fp32(tmp_path: Path):
    convert(release(), tmp_path)
    model = pipeline("unipose", model=str(tmp_path)).model
    assert model.dtype == torch.bfloat16
    expected = load_converted().model.pose_tokenizer.state_dict()
    for name, tensor in model.model.pose_tokenizer.state_dict().items():
        assert torch.equal(tensor, expected[name])


def test_older_forms_of_the_files_give_the_same(copied: OriginalRelease, tmp_path: Path):
    """Pickles in place of safetensors, LLaVA in shards, CLIP's config as a whole, a checkpoint named as a file."""
    llava = load_file(copied.llava / "model.safetensors")
    names = sorted(llava)
    (copied.llava / "model.safetensors").unlink()
    for number, part in enumerate((names[::2], names[1::2])):
        torch.save({name: llava[name] for name in part}, copied.llava / f"pytorch_model-{number}.bin")
    adapter = copied.unipose / "adapter_model.safetensors"
    torch.save(load_file(adapter), adapter.with_suffix(".bin"), _use_new_zipfile_serialization=False)
    adapter.unlink()
    clip = tmp_path / "clip"
    shutil.copytree(copied.clip, clip, copy_function=shutil.copyfile)
    tower = json.loads((clip / "config.json").read_text())
    (clip / "config.json").write_text(json.dumps({"model_type": "clip", "vision_config": tower}))
    parts = replace(copied, clip=clip, pose_vqvae=copied.pose_vqvae / "best_MPJPE.ckpt")
    convert(parts, tmp_path / "out", torch.float32)
    got, expected = (load_file(folder / "model.safetensors") for folder in (tmp_path / "out", converted()))
    assert all(torch.equal(got[name], expected[name]) for name in expected)


def test_card_states_the_licenses():
    card = ModelCard.load(converted() / "README.md")
    assert card.data.license == "other"
    assert "non-commercial" in card.text
    assert "mistral, 2 layers" in card.text


def test_task_prompts_name_all_tasks_and_their_inputs():
    assert TASK_PROMPTS.keys() == TASKS.keys()
    for name, prompt in TASK_PROMPTS.items():
        assert prompt.count("<pose>") == TASKS[name].poses
        assert prompt.count("<image>") == TASKS[name].images
        assert ("{text}" in prompt) == ("{text}" in TASKS[name].prompt)


def test_push_uploads_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    calls: list[tuple] = []
    monkeypatch.setattr(
        HfApi, "create_repo", lambda self, repo_id, private, exist_ok: calls.append((repo_id, private)) or "there"
    )
    monkeypatch.setattr(
        HfApi,
        "upload_folder",
        lambda self, folder_path, repo_id, commit_message: calls.append((Path(folder_path), repo_id)),
    )
    assert main(arguments(release(), tmp_path, "--push-to-hub", "somebody/unipose-7b", "--private")) == 0
    assert calls == [("somebody/unipose-7b", True), (tmp_path, "somebody/unipose-7b")]
    assert "pushed to there" in capsys.readouterr().out


def test_remote_code_loads_it_without_the_package(tmp_path: Path):
    """The folder alone, in a process that cannot import `unipose`."""
    code = f"""
import sys
sys.modules["unipose"] = None
from transformers import pipeline
pipe = pipeline("unipose", model={str(converted())!r}, trust_remote_code=True)
answer = pipe("A person squats.", task="text-to-pose")
assert answer["poses"][0].shape == (22, 3, 3), answer
"""
    home = {"HF_HOME": str(tmp_path), "HF_MODULES_CACHE": str(tmp_path / "modules")}
    subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ, **home})


def test_the_docs_show_this_command():
    page = (Path(__file__).parents[1] / "docs" / "models" / "convert.md").read_text(encoding="utf-8")
    command = next(line for line in page.splitlines() if line.startswith("python -m unipose.convert_unipose"))
    parsed = build_parser().parse_args(shlex.split(command)[3:])
    assert parsed.output == Path("unipose-7b")


# Errors.


@pytest.mark.parametrize(
    ("file", "change", "message"),
    [
        ("llava/model.safetensors", lambda t: t.pop("model.norm.weight"), "no tensor for 'model.language_model.norm"),
        (
            "llava/model.safetensors",
            lambda t: t.update({"model.surprise": torch.zeros(1)}),
            "unknown key 'model.surprise' in .*model.safetensors",
        ),
        (
            "llava/model.safetensors",
            lambda t: t.update({"model.norm.weight": torch.zeros(7)}),
            r"'model.norm.weight' of .* has the shape \(7,\); the config expects \(64,\)",
        ),
        (
            "unipose/adapter_model.safetensors",
            lambda t: t.pop("base_model.model.model.layers.0.mlp.up_proj.lora_B.weight"),
            "the adapter changes 'model.layers.0.mlp.up_proj.weight', but there is no .*lora_B",
        ),
        (
            "unipose/adapter_model.safetensors",
            lambda t: t.update({"base_model.model.model.layers.0.mlp.up_proj.lora_B.weight": torch.zeros(3, 8)}),
            r"the adapter adds \(3, 8\) @ \(8, 64\) to 'model.layers.0.mlp.up_proj.weight'",
        ),
        (
            "unipose/non_lora_trainables.bin",
            lambda t: t.pop("base_model.model.lm_head.weight"),
            "no tensor for 'lm_head.weight'",
        ),
        ("pose_vqvae/best_MPJPE.ckpt", lambda t: t.pop("quantizer.codebook"), "has no weights 'quantizer.codebook'"),
        (
            "pose_vqvae/best_MPJPE.ckpt",
            lambda t: t.pop("decoder.decoder.15.weight"),
            "no tensor for 'model.pose_tokenizer.decoder.hidden_projection.weight'",
        ),
        (
            "tokenhmr.ckpt",
            lambda t: t.update({"backbone.blocks.0.attn.qkv.weight": torch.zeros(90, 32)}),
            r"'backbone.blocks.0.attn.qkv.weight' of .* has the shape \(90, 32\); the config expects \(96, 32\)",
        ),
        ("tokenhmr.ckpt", lambda t: t.update({"backbone.extra": torch.zeros(1)}), "unknown key 'backbone.extra'"),
    ],
)
def test_each_error_is_named(
    file: str, change: Callable[[State], object], message: str, copied: OriginalRelease, tmp_path: Path
):
    change_tensors(copied.llava.parent / file, change)
    with pytest.raises(ValueError, match=message):
        convert(copied, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ("llava/model.safetensors", r"there is no \*.safetensors and no pytorch_model\*.bin in"),
        ("unipose/non_lora_trainables.bin", "there is no non_lora_trainables.bin in"),
        ("unipose/config.json", "there is no .*config.json"),
        ("pose_vqvae/best_MPJPE.ckpt", "there is no best_MPJPE.ckpt in"),
        ("tokenhmr.ckpt", "there is no tokenhmr.ckpt in"),
    ],
)
def test_missing_files_are_named(file: str, message: str, copied: OriginalRelease, tmp_path: Path):
    (copied.llava.parent / file).unlink()
    with pytest.raises(FileNotFoundError, match=message):
        convert(copied, tmp_path / "out")


class RunsCode:
    """A pickle that writes a file when it is loaded without care."""

    def __init__(self, target: Path):
        self.target = target

    def __reduce__(self):
        return (Path.write_text, (self.target, "owned"))


def test_a_pickle_with_code_is_refused_and_not_run(
    copied: OriginalRelease, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    target = tmp_path / "owned.txt"
    torch.save({"state_dict": RunsCode(target)}, copied.tokenhmr)
    assert main(arguments(copied, tmp_path / "out")) == 2
    assert "tokenhmr.ckpt cannot be read as a file of tensors" in capsys.readouterr().err
    assert not target.exists()


def test_a_cut_pickle_is_named(copied: OriginalRelease, tmp_path: Path):
    content = copied.tokenhmr.read_bytes()
    copied.tokenhmr.write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match=r"tokenhmr\.ckpt cannot be read"):
        convert(copied, tmp_path / "out")


def test_other_kinds_of_lora_are_refused(copied: OriginalRelease, tmp_path: Path):
    path = copied.unipose / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"use_dora": True}))
    with pytest.raises(ValueError, match="use_dora is True; accepted: False"):
        convert(copied, tmp_path / "out")


def test_attention_heads_follow_from_the_width_or_are_assumed(
    copied: OriginalRelease, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    assert load_converted().config.pose_vision_config.num_attention_heads == 2
    convert(copied, tmp_path / "assumed")
    assert "no ViTPose has width 32: assuming 2 attention heads (--pose-heads)" in capsys.readouterr().err
    convert(replace(copied, pose_heads=4), tmp_path / "four_heads")
    assert "assumed" not in capsys.readouterr().err
    assert (
        json.loads((tmp_path / "four_heads" / "config.json").read_text())["pose_vision_config"]["num_attention_heads"]
        == 4
    )


def test_heads_that_do_not_divide_the_width(copied: OriginalRelease, tmp_path: Path):
    with pytest.raises(ValueError, match="--pose-heads is 5, which does not divide the pose encoder's width 32"):
        convert(replace(copied, pose_heads=5), tmp_path / "out")


# An answer that opens with a word-start mark, as the trained original's does.


@pytest.fixture(scope="module")
def space_then_pose(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The recorded variant of the model that generates a word-start mark, a pose, text and the end."""
    folder = tmp_path_factory.mktemp("variant")
    load_converted(load("case_variant_space_then_pose")).save_pretrained(folder)
    processor().save_pretrained(folder)
    return folder


def test_generation_modes_follow_the_free_answer():
    """With `generation_mode="pose"` on the bare prompt, and with the prompt that the processor ends in pose-start."""
    recorded = load("case_variant_space_then_pose")
    model = load_converted(recorded)
    expected = recorded["generated_ids"][0, 1:].tolist()
    inputs = case_inputs("variant_space_then_pose")
    length = inputs["input_ids"].shape[1]
    free = model.generate(**inputs, max_new_tokens=len(expected), do_sample=False)[0, length:].tolist()
    assert free[:83] == expected[:83]
    forced = model.generate(**inputs, generation_mode="pose", do_sample=False)[0, length:].tolist()
    assert forced == expected[:83]
    text = processor().decode(inputs["input_ids"][0]).removeprefix("<s>").strip()
    ended = processor()(text=text, generation_mode="pose", return_tensors="pt")
    assert ended["input_ids"][0, length:].tolist() == expected[:2]
    rest = model.generate(**ended, generation_mode="pose", do_sample=False)[0, length + 2 :].tolist()
    assert rest == expected[2:83]


def test_pipeline_and_command_line_read_the_pose(space_then_pose: Path, tmp_path: Path):
    pipe = pipeline("unipose", model=str(space_then_pose))
    description = "the person stands with both arms raised, left knee bent."
    given = pipe(description, task="text-to-pose")
    free = pipe("[no task] " + description)
    assert len(given["poses"]) == 1
    assert given["text"] == ""
    assert set(free) == {"text", "poses", "confidence"}
    out = tmp_path / "pose.npy"
    assert unipose([description, "--model", str(space_then_pose), "--out", str(out)]) == 0
    np.testing.assert_allclose(np.load(out), given["poses"][0], atol=1e-6)

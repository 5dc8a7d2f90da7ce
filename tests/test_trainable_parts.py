"""Each stage moves what it trains and nothing else: every name of the state dict is accounted for.

The pose tokenizer's own stage is in `test_training`: all of it moves.
"""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from module_weights import unmoved_weights, weights_of
from peft import PeftModel
from stage_corpus import CPU_ARGUMENTS
from tiny_checkpoint import tiny_checkpoint_model, tiny_processor

from unipose import UniPoseForConditionalGeneration
from unipose.processing.body_model import BodyModel
from unipose.processing.processing_unipose import UniPoseProcessor
from unipose.tasks_unipose import TASKS
from unipose.training.datasets.generation import to_rotvecs
from unipose.training.datasets.record_writer import write_records
from unipose.training.datasets.records import ImagePairRecord, ImageRecord, PosePairRecord, PoseRecord
from unipose.training.named_poses.archetypes import archetype_poses
from unipose.training.synthetic_images.rendering import random_image
from unipose.training.trainer.config import StageConfig
from unipose.training.trainer.language import LanguageArguments, LanguageTrainer, build_trainer, save_merged
from unipose.training.trainer.optimizer import OptimizerArguments
from unipose.training.trainer.trainable_parts import ALIGN, INSTRUCT, PROJECT, LoraArguments, new_token_ids


POSE_TASKS = ["pose-to-text", "pose-diff", "text-to-pose", "pose-edit"]
IMAGE_TASKS = ["image-to-text", "image-diff", "image-to-pose"]
ALL_TASKS = [*POSE_TASKS, *IMAGE_TASKS]
# Of the language model's own weights, those that adapters are added to.
ADAPTED = r"model\.language_model\.layers\.\d\.(self_attn|mlp)\..*_proj\.weight"
TABLES = r"model\.language_model\.embed_tokens\.weight|lm_head\.weight"
QUERIES = r"model\.(pose_(query|position)_embeddings|source_pose_pointer)\.(weight|bias)"
PROJECTOR = r"model\.multi_modal_projector\..*"
LANGUAGE_MODEL = r"model\.language_model\..*|lm_head\.weight"
LORA = LoraArguments(lora_rank=4, lora_alpha=8)
LORA_NEW_ROWS = LoraArguments(lora_rank=4, lora_alpha=8, train_full_embeddings=False)
WHOLE = LoraArguments()


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A few rows of each task."""
    folder, rng, body = tmp_path_factory.mktemp("corpus"), np.random.default_rng(0), BodyModel.builtin()
    poses = archetype_poses(["t_pose", "squat", "sit"]).float()
    texts = ("Someone stands with arms out.", "Someone squats.", "Someone sits.")
    images = [random_image(pose, body, 48, rng)["bytes"] for pose in poses]
    rotvecs = list(to_rotvecs(poses))
    named = list(zip(("one", "two", "three"), rotvecs, images, texts))
    seen = [ImageRecord(name, image, pose, (text,)) for name, pose, image, text in named]
    records = [PoseRecord(name, pose, (text,)) for name, pose, _, text in named]
    records += [PosePairRecord("pair", rotvecs[0], rotvecs[1], ("Bend both knees.",))]
    records += [*seen, ImagePairRecord("both", seen[0], seen[2], ("The knees are bent.",))]
    write_records(folder, {"train": records}, list(TASKS), seed=0)
    return folder


def start_model(tied: bool = False) -> tuple[UniPoseForConditionalGeneration, UniPoseProcessor]:
    """A tiny model with dropout in its vision encoders; the tied one has positions of codes and a pointer."""
    processor = tiny_processor()
    model = tiny_checkpoint_model(processor)
    config = model.config
    config.vision_config.attention_dropout = 0.5
    config.pose_vision_config.hidden_dropout_prob = 0.5
    config.tie_word_embeddings = config.text_config.tie_word_embeddings = tied
    config.pose_position_embeddings = config.source_pose_pointer = tied
    remade = UniPoseForConditionalGeneration(config).eval()
    remade.model.pose_tokenizer.load_state_dict(model.model.pose_tokenizer.state_dict())
    return remade, processor


@pytest.fixture(scope="module", params=[False, True], ids=["untied", "tied"])
def start(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("start")
    for part in start_model(request.param):
        part.save_pretrained(folder)
    return folder


def arguments(folder: Path, **changed) -> StageConfig:
    return StageConfig(
        **{
            "output_dir": str(folder),
            "per_device_train_batch_size": 3,
            "max_steps": 3,
            "learning_rate": 1e-2,
            "save_strategy": "no",
            **CPU_ARGUMENTS,
        }
        | changed
    )


def make_trainer(
    start: Path, corpus: Path, folder: Path, parts, lora: LoraArguments, tasks: list[str], **changed
) -> LanguageTrainer:
    stage = LanguageArguments(model=str(start), corpus=str(corpus), tasks=tasks)
    return build_trainer(stage, lora, OptimizerArguments(), arguments(folder, **changed), parts)


def load_whole(folder: Path) -> UniPoseForConditionalGeneration:
    """A saved model that has exactly the weights that it should."""
    model, info = UniPoseForConditionalGeneration.from_pretrained(folder, output_loading_info=True)
    assert not any(info[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    return model


STAGES = {
    "align": (ALIGN, WHOLE, POSE_TASKS, f"{LANGUAGE_MODEL}|{QUERIES}"),
    "align_lora": (ALIGN, LORA, POSE_TASKS, f"{ADAPTED}|{TABLES}|{QUERIES}"),
    "align_lora_new_rows": (ALIGN, LORA_NEW_ROWS, POSE_TASKS, f"{ADAPTED}|{TABLES}|{QUERIES}"),
    "project": (PROJECT, WHOLE, IMAGE_TASKS, PROJECTOR),
    "instruct": (INSTRUCT, WHOLE, ALL_TASKS, f"{LANGUAGE_MODEL}|{QUERIES}|{PROJECTOR}"),
    "instruct_lora": (INSTRUCT, LORA, ALL_TASKS, f"{ADAPTED}|{TABLES}|{QUERIES}|{PROJECTOR}"),
    "instruct_lora_new_rows": (INSTRUCT, LORA_NEW_ROWS, ALL_TASKS, f"{ADAPTED}|{TABLES}|{QUERIES}|{PROJECTOR}"),
}


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_updates_its_trainable_parts_only(stage: str, start: Path, corpus: Path, tmp_path: Path) -> None:
    parts, lora, tasks, moving = STAGES[stage]
    before = weights_of(load_whole(start))
    trainer = make_trainer(start, corpus, tmp_path, parts, lora, tasks)
    trainer.train()
    save_merged(trainer.model, trainer.processing_class, trainer.args.output_dir)
    after = load_whole(tmp_path)
    assert after.state_dict().keys() == before.keys()
    expected = {name for name in before if re.fullmatch(moving, name)}
    assert expected
    assert set(before) - unmoved_weights(after, before) == expected
    head, table = after.lm_head.weight, after.get_input_embeddings().weight
    assert (head is table) == after.config.tie_word_embeddings
    if not lora.train_full_embeddings:
        first, *_ = new_token_ids(after)
        for name in ("model.language_model.embed_tokens.weight", "lm_head.weight"):
            assert torch.equal(after.state_dict()[name][:first], before[name][:first])
    for file in ("tokenizer.json", "chat_template.jinja", "processor_config.json"):
        assert (tmp_path / file).read_bytes() == (start / file).read_bytes()


def test_new_token_ids_are_the_tokens_of_poses_images_and_roles() -> None:
    model, processor = start_model()
    tokens = processor.tokenizer.convert_ids_to_tokens(new_token_ids(model))
    assert tokens[:2] == ["<pose_0>", "<pose_1>"]
    assert {"<pose_31>", "<pose_start>", "<pose_end>", "<image_start>", "<image_end>", "<|user|>"} < set(tokens)
    assert processor.tokenizer.eos_token not in tokens
    assert all(token.startswith("<") for token in tokens)


def test_adapters_are_in_the_language_model_alone(start: Path, corpus: Path, tmp_path: Path) -> None:
    trainer = make_trainer(start, corpus, tmp_path, INSTRUCT, LORA, ALL_TASKS)
    adapted = {name for name, _ in trainer.model.named_modules() if name.endswith(".lora_A")}
    assert len(adapted) == 2 * 7
    assert all(".language_model.layers." in name for name in adapted)


@pytest.mark.parametrize("lora", [LORA, LORA_NEW_ROWS], ids=["all_rows", "new_rows"])
def test_merged_adapters_answer_as_they_did_unmerged(
    lora: LoraArguments, start: Path, corpus: Path, tmp_path: Path
) -> None:
    trainer = make_trainer(start, corpus, tmp_path, INSTRUCT, lora, ALL_TASKS)
    trainer.train()
    model = trainer.model.eval()
    assert isinstance(model, PeftModel)
    batch = trainer.data_collator(list(trainer.train_dataset.remove_columns("row")))
    prompt = trainer.processing_class("Sit down.", generation_mode="pose", return_tensors="pt")
    with torch.no_grad():
        unmerged = model(**batch).logits
        codes = model.generate(**prompt, max_new_tokens=12, do_sample=False)
    save_merged(trainer.model, trainer.processing_class, trainer.args.output_dir)
    merged = load_whole(tmp_path).eval()
    with torch.no_grad():
        assert (merged(**batch).logits - unmerged).abs().max() < 5e-5 * unmerged.abs().max()
    assert torch.equal(merged.generate(**prompt, max_new_tokens=12, do_sample=False), codes)
    assert codes.shape[1] > prompt["input_ids"].shape[1] + 5


@pytest.mark.parametrize("lora", [LORA, LORA_NEW_ROWS], ids=["all_rows", "new_rows"])
def test_a_run_of_adapters_resumes_as_if_uninterrupted(
    lora: LoraArguments, start: Path, corpus: Path, tmp_path: Path
) -> None:
    straight = make_trainer(
        start, corpus, tmp_path, INSTRUCT, lora, ALL_TASKS, max_steps=4, save_strategy="steps", save_steps=2
    )
    straight.train()
    resumed = make_trainer(start, corpus, tmp_path / "resumed", INSTRUCT, lora, ALL_TASKS, max_steps=4)
    resumed.train(resume_from_checkpoint=str(tmp_path / "checkpoint-2"))
    assert resumed.state.global_step == 4
    assert unmoved_weights(resumed.model, weights_of(straight.model)) == set(straight.model.state_dict())


# Frozen vision encoders, and gradients through a frozen language model.


def image_features(model: UniPoseForConditionalGeneration) -> torch.Tensor:
    torch.manual_seed(1)
    pixels = torch.rand(2, 3, 32, 32), torch.rand(2, 3, 32, 16)
    outputs = [model.get_image_features(*pixels, return_dict=True).pooler_output for _ in range(2)]
    assert outputs[0].shape == outputs[1].shape
    return torch.stack(outputs)


@pytest.mark.parametrize("stage", ["project", "instruct", "instruct_lora"])
def test_frozen_encoders_drop_nothing_out(stage: str, corpus: Path, start: Path, tmp_path: Path) -> None:
    parts, lora, tasks, _ = STAGES[stage]
    trainer = make_trainer(start, corpus, tmp_path, parts, lora, tasks, max_steps=6)
    plain = trainer.accelerator.unwrap_model(trainer.model)
    base = plain.get_base_model() if isinstance(plain, PeftModel) else plain
    seen: list[bool] = []
    frozen = (base.model.vision_tower, base.model.pose_vision_tower, base.model.pose_tokenizer)
    for part in frozen[:2]:
        for module in part.modules():
            module.register_forward_hook(lambda module, *_: seen.append(module.training))
    trainer.train()
    assert seen
    assert not any(seen)
    assert trainer.model.training
    assert base.model.language_model.training
    first, second = image_features(base)
    assert torch.equal(first, second)


def test_trained_encoders_do_drop_out() -> None:
    model, _ = start_model()
    model.train()
    first, second = image_features(model)
    assert not torch.equal(first, second)


@pytest.mark.parametrize("stage", ["project", "align_lora", "instruct_lora_new_rows"])
def test_activation_checkpointing_changes_nothing(stage: str, corpus: Path, start: Path, tmp_path: Path) -> None:
    """Under checkpoints gradients still reach the projector through frozen layers, and the adapters behind them."""
    parts, lora, tasks, _ = STAGES[stage]
    results = []
    for checkpointing in (False, True):
        torch.manual_seed(0)
        trainer = make_trainer(
            start, corpus, tmp_path, parts, lora, tasks, max_steps=2, activation_checkpointing=checkpointing
        )
        trainer.train()
        results.append({name: weight for name, weight in trainer.model.named_parameters() if weight.requires_grad})
    assert results[0].keys() == results[1].keys()
    for name, weight in results[0].items():
        torch.testing.assert_close(results[1][name], weight, msg=lambda text, name=name: f"{name}: {text}")


def test_trained_weights_are_held_in_float32_and_saved_as_they_came(corpus: Path, tmp_path: Path) -> None:
    """A bfloat16 checkpoint: steps far smaller than its rounding add up, and what is frozen stays as it was."""
    model, processor = start_model()
    for part in (*model.model.children(), model.lm_head):
        if part is not model.model.pose_tokenizer:
            part.to(torch.bfloat16)
    model.config.dtype = torch.bfloat16
    model.save_pretrained(tmp_path / "start")
    processor.save_pretrained(tmp_path / "start")
    before = weights_of(load_whole(tmp_path / "start"))
    trainer = make_trainer(tmp_path / "start", corpus, tmp_path / "end", INSTRUCT, LORA, ALL_TASKS, precision="bf16")
    trained = {name: weight.dtype for name, weight in trainer.model.named_parameters() if weight.requires_grad}
    assert set(trained.values()) == {torch.float32}
    trainer.train()
    save_merged(trainer.model, trainer.processing_class, trainer.args.output_dir)
    after = load_whole(tmp_path / "end")
    assert {name: weight.dtype for name, weight in after.state_dict().items()} == {
        name: weight.dtype for name, weight in before.items()
    }
    moved = set(before) - unmoved_weights(after, before)
    assert moved == {name for name in before if re.fullmatch(STAGES["instruct_lora"][3], name)}


def test_a_model_without_encoders_has_no_projector_to_train(corpus: Path, tmp_path: Path) -> None:
    processor = tiny_processor(vision=False)
    tiny_checkpoint_model(processor, vision=False).save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="no vision encoders"):
        make_trainer(tmp_path, corpus, tmp_path / "end", PROJECT, WHOLE, POSE_TASKS)

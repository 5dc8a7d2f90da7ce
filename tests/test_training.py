"""Training for real, on a few poses: the pose tokenizer, the text tokenizer and model, and TRL's SFT."""

from pathlib import Path

import numpy as np
import pytest
import roma
import torch
from datasets import Dataset
from module_weights import unmoved_weights, weights_of
from stage_corpus import CPU_ARGUMENTS
from tiny_models import POSE_TOKENIZER_SIZES
from torch.utils.data import DataLoader
from transformers import PreTrainedTokenizerFast

from unipose import UniPoseForConditionalGeneration, UniPoseProcessor, UniPoseVQVAE, UniPoseVQVAEConfig
from unipose.modeling_unipose import shift_pose_labels
from unipose.processing.body_model import BodyModel
from unipose.processing.pose_features import rotmat_to_rotation_6d
from unipose.processing.processing_unipose import SPECIAL_TOKENS, add_pose_tokens
from unipose.tasks_unipose import TASKS
from unipose.training.datasets.generation import ANSWER_MAX_WORDS, RecordGenerator, caption_poses, to_rotvecs
from unipose.training.datasets.records import ImageRecord, PoseRecord
from unipose.training.datasets.rows import POSE_ANSWERS, rows_from_records, to_dataset
from unipose.training.evaluation.metrics import reconstruction_error
from unipose.training.models.build_model import (
    ModelArguments,
    build_config,
    build_processor,
    corpus_texts,
    spread_pose_codes,
)
from unipose.training.models.text_tokenizer import train_text_tokenizer
from unipose.training.named_poses.archetypes import archetype_poses
from unipose.training.sampling.poses import training_motion_poses
from unipose.training.synthetic_images.rendering import random_image
from unipose.training.trainer.collator import UniPoseDataCollator
from unipose.training.trainer.config import StageConfig
from unipose.training.trainer.language import LanguageTrainer
from unipose.training.trainer.losses import body_loss
from unipose.training.trainer.pose_tokenizer import PoseDataset, PoseTokenizerTrainer, collate_poses
from unipose.training.trainer.prepared_rows import prepare_rows


NAMES: list[str | None] = ["t_pose", "squat", "kneel_left", "sit"]
# Few, so that a small corpus repeats them.
PROMPTS = {
    "pose-to-text": ["Describe the pose {pose}.", "What is the pose {pose}?"],
    "text-to-pose": ["Make this pose: {caption}", "{caption} Show me the pose."],
}


# The pose tokenizer.


def new_pose_tokenizer(seed: int = 0) -> UniPoseVQVAE:
    torch.manual_seed(seed)
    return UniPoseVQVAE(UniPoseVQVAEConfig(**POSE_TOKENIZER_SIZES))


def pose_trainer(model: UniPoseVQVAE, body: BodyModel, folder: Path, steps: int, **arguments) -> PoseTokenizerTrainer:
    """40 frames of the packaged clips, 5 steps an epoch."""
    return PoseTokenizerTrainer(
        body,
        model=model,
        args=StageConfig(
            output_dir=str(folder),
            per_device_train_batch_size=8,
            max_steps=steps,
            learning_rate=3e-3,
            seed=42,
            **(CPU_ARGUMENTS | {"save_strategy": "no"} | arguments),
        ),
        train_dataset=PoseDataset(training_motion_poses()[::37][:40].float(), 0),
        data_collator=collate_poses,
    )


def test_pose_tokenizer_learns_and_every_weight_is_updated(body: BodyModel, tmp_path: Path) -> None:
    model, poses = new_pose_tokenizer(seed=2), training_motion_poses()[::37][:40].float()
    before, error_before = weights_of(model), reconstruction_error(model, poses, body)["mpjpe_mm"]
    trainer = pose_trainer(model, body, tmp_path, steps=30)
    trainer.train()
    assert unmoved_weights(model, before) == set()
    logged = [entry for entry in trainer.state.log_history if "joint_loss" in entry]
    losses = torch.tensor([entry["loss"] for entry in logged])
    assert losses[-5:].mean() < 0.7 * losses[:5].mean()
    assert reconstruction_error(model, poses, body)["mpjpe_mm"] < 0.7 * error_before
    for entry in logged:
        parts = 20 * entry["rotation_loss"] + entry["commitment_loss"]
        parts += 100 * entry["joint_loss"] + 100 * entry["vertex_loss"]
        assert entry["loss"] == pytest.approx(parts, rel=1e-3)
        assert 1 <= entry["perplexity"] <= POSE_TOKENIZER_SIZES["codebook_size"]


def test_resumed_training_equals_uninterrupted(body: BodyModel, tmp_path: Path) -> None:
    """Stopped within an epoch and resumed with another start: the same weights, codebook and moving sums."""
    straight = new_pose_tokenizer()
    pose_trainer(straight, body, tmp_path, steps=14, save_strategy="steps", save_steps=7).train()
    resumed = new_pose_tokenizer(seed=1)
    trainer = pose_trainer(resumed, body, tmp_path / "resumed", steps=14)
    trainer.train(resume_from_checkpoint=str(tmp_path / "checkpoint-7"))
    assert trainer.state.global_step == 14
    assert unmoved_weights(resumed, weights_of(straight)) == set(straight.state_dict())


def test_jitter_changes_the_orientation_only_and_follows_from_the_epoch() -> None:
    poses = training_motion_poses()[:6].float()

    def batch(seed: int | None, rows: list[int], epoch: int = 0) -> torch.Tensor:
        dataset = PoseDataset(poses, seed)
        dataset.set_epoch(epoch)
        got = dataset.__getitems__(rows)
        assert got["row"].tolist() == rows
        return got["pose_values"]

    plain, one = batch(None, [4, 1]), batch(0, [4, 1])
    assert torch.equal(plain, rotmat_to_rotation_6d(poses[[4, 1]]))
    assert torch.equal(one[:, 1:], plain[:, 1:])
    assert not torch.isclose(one[:, 0], plain[:, 0]).all(dim=1).any()
    assert torch.equal(one, batch(0, [4, 1]))
    assert torch.equal(one[:1], batch(0, [4])), "whatever batch a pose is in"
    assert not torch.isclose(one[:, 0], batch(0, [4, 1], epoch=1)[:, 0]).all(dim=1).any()
    assert not torch.equal(one, batch(1, [4, 1]))


def test_persistent_workers_take_the_jitter_of_their_epoch() -> None:
    dataset, rows = PoseDataset(training_motion_poses()[:4].float(), 0), [[0, 1, 2, 3]]
    loader = DataLoader(dataset, batch_sampler=rows, collate_fn=collate_poses, num_workers=1, persistent_workers=True)
    for epoch in (0, 1):
        dataset.set_epoch(epoch)
        (batch,) = loader
        assert torch.equal(batch["pose_values"], dataset.__getitems__(rows[0])["pose_values"])
        if epoch == 0:
            first = batch["pose_values"]
    assert not torch.equal(batch["pose_values"], first)


def two_triangles() -> BodyModel:
    """A small triangle (2 cm^2) on the pelvis and a large one (200 cm^2) on the left wrist."""
    builtin = BodyModel.builtin()
    corners = torch.tensor([[0.0, 0.0, 0.0], [0.02, 0.0, 0.0], [0.0, 0.02, 0.0]])
    weights = torch.zeros(6, 24)
    weights[:3, 0] = weights[3:, 20] = 1.0
    vertices = torch.cat([corners, 10 * corners + builtin.joints[20]])
    return BodyModel(vertices, torch.tensor([[0, 1, 2], [3, 4, 5]]), builtin.joints, weights)


def test_body_loss_equals_its_parts_by_hand() -> None:
    body, poses = two_triangles(), archetype_poses(["t_pose", "squat"]).float()
    moved = poses.clone()
    moved[:, 18] = roma.rotvec_to_rotmat(torch.tensor([0.0, -1.0, 0.0])) @ moved[:, 18]
    parts = body_loss(body, moved, poses)
    joints = body(moved).joints - body(poses).joints
    squares = (body(moved).vertices - body(poses).vertices).square().mean(dim=-1)
    assert (squares[:, :3] == 0).all()
    assert (squares[:, 3:] > 0).all()
    torch.testing.assert_close(parts["joint_loss"], joints.square().sum() / joints.numel())
    # The large triangle has 100 of 101 parts of the surface; plain averages would give it a half.
    torch.testing.assert_close(parts["vertex_loss"], squares[:, 3:].mean() * 100 / 101)
    assert {name: float(value) for name, value in body_loss(body, poses, poses).items()} == {
        "joint_loss": 0.0,
        "vertex_loss": 0.0,
    }


# The text tokenizer and the untrained model.


@pytest.fixture(scope="module")
def rows(body: BodyModel) -> Dataset:
    """Four named poses in three tasks."""
    poses, rng = archetype_poses(NAMES).float(), np.random.default_rng(0)
    captions = caption_poses(poses, NAMES, rng, body)
    records: list[PoseRecord | ImageRecord] = [
        PoseRecord(str(name), pose, (caption.text,)) for name, pose, caption in zip(NAMES, to_rotvecs(poses), captions)
    ]
    for name, pose in zip(NAMES, poses):
        image = random_image(pose, body, 96, rng)["bytes"]
        records.append(ImageRecord(str(name), image, to_rotvecs(pose)))
    return to_dataset(rows_from_records(records, ["pose-to-text", "text-to-pose", "image-to-pose"], rng))


@pytest.fixture(scope="module")
def corpus(body: BodyModel) -> list[str]:
    poses, rng = training_motion_poses()[::9][:150].float(), np.random.default_rng(1)
    captions = caption_poses(poses, [None] * len(poses), rng, body, ANSWER_MAX_WORDS)
    records = [PoseRecord("", pose, (caption.text,)) for pose, caption in zip(to_rotvecs(poses), captions)]
    return list(corpus_texts(to_dataset(rows_from_records(records, list(PROMPTS), rng, PROMPTS))))


@pytest.fixture(scope="module")
def tokenizer(corpus: list[str], rows: Dataset) -> PreTrainedTokenizerFast:
    tokenizer = train_text_tokenizer([*corpus, *corpus_texts(rows)], vocab_size=900)
    add_pose_tokens(tokenizer, POSE_TOKENIZER_SIZES["codebook_size"])
    return tokenizer


def test_corpus_texts_are_the_words_of_questions_and_answers(rows: Dataset) -> None:
    texts = list(corpus_texts(rows))
    blocks = [block for row in rows for message in row["messages"] for block in message["content"]]
    assert texts == [block["text"] for block in blocks if block["type"] == "text"]
    assert rows[0]["messages"][1]["content"][0]["text"] in texts


@pytest.mark.parametrize(
    "text",
    ["1.5 m:a,b", "Why?!", "two  spaces\n\ttab ", "ünï ½ 姿勢 🤸\u200d♀️ \u200f\u0000", "andy\u0301", "...", "\n  a"],
)
def test_any_text_survives_the_tokenizer(tokenizer: PreTrainedTokenizerFast, text: str) -> None:
    assert tokenizer.decode(tokenizer(text).input_ids) == text
    assert tokenizer(" " + text).input_ids == tokenizer(text).input_ids, "one space in front makes no difference"


def test_corpus_survives_the_tokenizer_in_few_tokens(tokenizer: PreTrainedTokenizerFast, corpus: list[str]) -> None:
    ids = tokenizer(corpus).input_ids
    assert tokenizer.batch_decode(ids) == [text.removeprefix(" ") for text in corpus]
    assert sum(map(len, ids)) < 0.9 * sum(len(text.split()) for text in corpus), "phrases are tokens, even of 900"
    prompts = tokenizer(["Describe the pose ", "What is the pose "]).input_ids
    assert [len(prompt) for prompt in prompts] == [1, 1]


@pytest.fixture(scope="module")
def pose_tokenizer() -> UniPoseVQVAE:
    """Untrained, but with a codebook that tells poses apart."""
    model = new_pose_tokenizer()
    features = model.encode_features(rotmat_to_rotation_6d(archetype_poses(NAMES * 2).float()))
    with torch.no_grad():
        model.quantizer.initialize(features.flatten(0, 1))
    return model.eval()


def build(tokenizer: PreTrainedTokenizerFast, pose_tokenizer: UniPoseVQVAE) -> UniPoseForConditionalGeneration:
    arguments = ModelArguments(
        hidden_size=64,
        intermediate_size=96,
        num_hidden_layers=2,
        num_attention_heads=4,
        vision_hidden_size=16,
        vision_layers=1,
        pose_vision_hidden_size=24,
        pose_vision_layers=1,
        max_position_embeddings=256,
    )
    torch.manual_seed(0)
    model = UniPoseForConditionalGeneration(build_config(arguments, tokenizer, pose_tokenizer))
    model.model.pose_tokenizer.load_state_dict(pose_tokenizer.state_dict())
    return model


def test_code_embeddings_start_as_far_apart_as_their_codes(
    tokenizer: PreTrainedTokenizerFast, pose_tokenizer: UniPoseVQVAE
) -> None:
    model = UniPoseForConditionalGeneration(build_config(ModelArguments(), tokenizer, pose_tokenizer))
    model.model.pose_tokenizer.load_state_dict(pose_tokenizer.state_dict())
    before = model.get_input_embeddings().weight.detach().clone()
    spread_pose_codes(model)
    codebook, first = pose_tokenizer.quantizer.codebook, model.config.pose_code_start_id
    table = model.get_input_embeddings().weight.detach()
    rows = table[first : first + len(codebook)]
    far, apart = torch.pdist(codebook), torch.pdist(rows)
    assert far.max() > 0
    torch.testing.assert_close(apart, far * (apart.max() / far.max()), rtol=1e-3, atol=1e-5)
    assert rows.std() == pytest.approx(model.config.initializer_range, rel=0.05)
    assert torch.equal(table[:first], before[:first])
    assert torch.equal(table[first + len(codebook) :], before[first + len(codebook) :])


def test_config_and_processor_agree_with_the_tokenizer(
    tokenizer: PreTrainedTokenizerFast, pose_tokenizer: UniPoseVQVAE
) -> None:
    config = build_config(ModelArguments(), tokenizer, pose_tokenizer)
    processor = build_processor(config, tokenizer)
    for name, token in SPECIAL_TOKENS.items():
        assert tokenizer.convert_ids_to_tokens(getattr(config, f"{name}_id")) == token
        assert getattr(processor, f"{name}_id") == getattr(config, f"{name}_id")
    codes = range(config.pose_code_start_id, config.pose_code_start_id + POSE_TOKENIZER_SIZES["codebook_size"])
    assert tokenizer.convert_ids_to_tokens(list(codes)) == [f"<pose_{code}>" for code in range(len(codes))]
    text = config.text_config
    assert text.vocab_size == len(tokenizer)
    ends = (text.bos_token_id, text.eos_token_id, text.pad_token_id)
    assert ends == (tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id)
    assert len(set(ends)) == 3
    sizes = (processor.num_pose_tokens, processor.num_image_tokens, processor.codebook_size)
    assert sizes == (
        POSE_TOKENIZER_SIZES["num_pose_tokens"],
        config.num_image_tokens,
        POSE_TOKENIZER_SIZES["codebook_size"],
    )


# Instruction tuning.

# Parts that no loss can reach, each for its own reason.
UNREACHED = {
    # Only the class token passes through it, and the class token is dropped.
    "model.vision_tower.post_layernorm.weight",
    "model.vision_tower.post_layernorm.bias",
}


def batch_of(collator: UniPoseDataCollator, rows: Dataset) -> dict[str, torch.Tensor]:
    """All rows in one batch, without their numbers, which are for the trainer."""
    return collator(list(rows.remove_columns("row")))


class Run:
    """One small SFT run on the same rows in every step."""

    def __init__(
        self, rows: Dataset, model: UniPoseForConditionalGeneration, processor: UniPoseProcessor, folder: Path
    ):
        self.model, self.processor = model, processor
        self.collator = UniPoseDataCollator(processor)
        model.model.pose_tokenizer.requires_grad_(False).eval()
        self.rows = prepare_rows(rows, model, self.collator)
        self.before = weights_of(model)
        with torch.no_grad():
            self.first_loss = float(model.eval()(**batch_of(self.collator, self.rows)).loss)
        self.trainer = LanguageTrainer(
            model=model,
            args=StageConfig(
                output_dir=str(folder),
                per_device_train_batch_size=len(rows),
                per_device_eval_batch_size=len(rows),
                max_steps=100,
                learning_rate=4e-3,
                warmup_steps=10,
                lr_scheduler_type="cosine",
                logging_steps=1,
                precision="fp32",
                seed=42,
                use_cpu=True,
                save_strategy="no",
                disable_tqdm=True,
            ),
            train_dataset=self.rows,
            data_collator=self.collator,
            processing_class=processor,
        )
        self.trainer.train()
        self.losses = [entry["loss"] for entry in self.trainer.state.log_history if "loss" in entry]
        model.eval()


@pytest.fixture(scope="module")
def run(
    rows: Dataset,
    tokenizer: PreTrainedTokenizerFast,
    pose_tokenizer: UniPoseVQVAE,
    tmp_path_factory: pytest.TempPathFactory,
) -> Run:
    model = build(tokenizer, pose_tokenizer)
    return Run(rows, model, build_processor(model.config, tokenizer), tmp_path_factory.mktemp("sft"))


def test_prepared_rows_keep_images_and_carry_their_length(run: Run, rows: Dataset) -> None:
    made = {"input_ids", "labels", "shift_labels", "length", "has_image", "row"}
    assert set(run.rows.column_names) == {"images", "task", "source"} | made
    assert run.rows["length"][:] == [len(ids) for ids in run.rows["input_ids"]]
    assert [len(images) for images in run.rows["images"]] == [len(images) for images in rows["images"]]


def test_poses_may_come_after_many_rows_without_one(run: Run, body: BodyModel) -> None:
    """A corpus' rows are sorted by task: whole batches of the preparation are without poses."""
    rng, generator = np.random.default_rng(0), RecordGenerator(body)
    tasks = ("image-to-text", "text-to-pose")
    none, one = (next(rows_from_records(generator.records(task, 1, rng, task), [task], rng)) for task in tasks)
    assert not none["poses"] and one["poses"]
    alone = prepare_rows(to_dataset([one]), run.model, run.collator)
    rows = prepare_rows(to_dataset([none] * 520 + [one]), run.model, run.collator)
    assert rows["input_ids"][-1] == alone["input_ids"][0]


def test_a_batch_holds_rows_of_all_seven_tasks(
    body: BodyModel, tokenizer: PreTrainedTokenizerFast, pose_tokenizer: UniPoseVQVAE
) -> None:
    """From generated records to a loss: two poses or two images a row, beside rows with none."""
    rng, generator = np.random.default_rng(0), RecordGenerator(body)
    rows = [row for task in TASKS for row in rows_from_records(generator.records(task, 2, rng, task), [task], rng)]
    model = build(tokenizer, pose_tokenizer).eval()
    collator = UniPoseDataCollator(build_processor(model.config, tokenizer))
    batch = batch_of(collator, prepare_rows(to_dataset(rows), model, collator))
    queries = (batch["input_ids"] == model.config.pose_query_token_id).sum(dim=1)
    room = POSE_TOKENIZER_SIZES["num_pose_tokens"]
    assert queries.tolist() == [room if task in POSE_ANSWERS else 0 for task in TASKS for _ in range(2)]
    assert len(batch["pixel_values"]) == 2 * (1 + 2 + 1)
    with torch.no_grad():
        assert torch.isfinite(model(**batch).loss)


def test_sft_updates_every_weight_except_the_pose_tokenizer(run: Run) -> None:
    frozen = {name for name in run.before if name.startswith("model.pose_tokenizer.")}
    assert frozen
    assert unmoved_weights(run.model, run.before) == frozen | UNREACHED


def test_training_mode_does_not_update_the_frozen_codebook(run: Run) -> None:
    """The trainer's `train()` reaches the pose tokenizer too: reading poses must not start its moving averages."""
    codebook = weights_of(run.model.model.pose_tokenizer)
    values = rotmat_to_rotation_6d(archetype_poses(["bow"]).float())
    ids = torch.full((1, POSE_TOKENIZER_SIZES["num_pose_tokens"]), run.model.config.pose_token_id)
    run.model.train()
    run.model(ids, pose_values=values).logits.sum().backward()
    run.model.eval()
    assert unmoved_weights(run.model.model.pose_tokenizer, codebook) == set(codebook)


def test_trl_logs_the_papers_loss(run: Run) -> None:
    """Before the first step all rows are one batch: the logged loss is that batch's, computed by hand."""
    assert run.losses[0] == pytest.approx(run.first_loss, rel=1e-4)
    batch = batch_of(run.collator, run.rows)
    queries = batch["input_ids"] == run.model.config.pose_query_token_id
    assert torch.equal(shift_pose_labels(queries, batch["labels"]), batch["shift_labels"])
    with torch.no_grad():
        scores = run.model(**{name: batch[name] for name in batch if not name.endswith("labels")}).logits.log_softmax(
            -1
        )
        total, count = torch.zeros(()), 0
        for row, place in (batch["labels"] != -100).nonzero().tolist():
            position = place if queries[row, place] else place - 1
            total, count = total - scores[row, position, batch["labels"][row, place]], count + 1
    assert run.trainer.evaluate(run.rows)["eval_loss"] == pytest.approx(float(total / count), rel=1e-3, abs=1e-5)


def test_repeated_rows_are_learned_to_near_zero(run: Run) -> None:
    assert run.losses[0] > 4
    assert max(run.losses[-5:]) < 0.05


def test_what_was_learned_is_generated(run: Run, rows: Dataset) -> None:
    """Each row's question gets exactly its text, or exactly the codes of its pose."""
    first_code = run.model.config.pose_code_start_id
    code_ids = range(first_code, first_code + POSE_TOKENIZER_SIZES["codebook_size"])
    for row, prepared in zip(rows, run.rows):
        asks_for_text = row["task"] == "pose-to-text"
        inputs = run.processor.apply_chat_template(
            row["messages"][:1],
            add_generation_prompt=True,
            tokenize=True,
            return_dict=True,
            processor_kwargs={
                "images": row["images"] or None,
                "poses": row["poses"] if asks_for_text else None,
                "return_tensors": "pt",
            },
        )
        ids = run.model.generate(**inputs, max_new_tokens=80)[:, inputs["input_ids"].shape[1] :]
        (answer,) = run.processor.post_process_generation(ids)
        if asks_for_text:
            assert answer["text"] == row["messages"][1]["content"][0]["text"]
            assert len(answer["pose_codes"]) == 0
        else:
            codes = [label - first_code for label in prepared["labels"] if label in code_ids]
            assert answer["pose_codes"].tolist() == [codes]
            assert answer["text"] == ""

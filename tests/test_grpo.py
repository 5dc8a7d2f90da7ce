"""GRPO on poses: its log-probabilities are those of generation, and it improves a reward of poses."""

from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset
from tiny_checkpoint import tiny_checkpoint_model, tiny_processor
from trl import DPOConfig, DPOTrainer, GRPOConfig

from unipose.training.trainer.grpo import UniPoseGRPOTrainer


ASK = [{"role": "user", "content": "A person kneels."}]


def make_trainer(folder: Path, **arguments: Any) -> tuple[UniPoseGRPOTrainer, list[float]]:
    """A trainer whose reward is how far the pelvis of a pose is turned to one side, and the rewards so far."""
    processor = tiny_processor(vision=False)
    model = tiny_checkpoint_model(processor, vision=False)
    rewards: list[float] = []

    def reward(completion_ids: list[list[int]], **kwargs: Any) -> list[float]:
        codes = torch.cat([processor.post_process_generation([ids])[0]["pose_codes"] for ids in completion_ids])
        assert len(codes) == len(completion_ids)
        values = model.decode_pose_codes(codes)[:, 0, 0, 1].tolist()
        rewards.append(sum(values) / len(values))
        return values

    own = {"max_steps": 12, "learning_rate": 3e-3, "lr_scheduler_type": "constant", **arguments}
    config = GRPOConfig(
        output_dir=str(folder),
        per_device_train_batch_size=16,
        num_generations=16,
        max_completion_length=model.config.num_pose_tokens + 1,
        beta=0.0,
        report_to="none",
        save_strategy="no",
        use_cpu=True,
        bf16=False,
        gradient_checkpointing=False,
        disable_tqdm=True,
        seed=0,
        **own,
    )
    rows = Dataset.from_list([{"prompt": ASK}] * 8)
    trainer = UniPoseGRPOTrainer(model, reward, args=config, train_dataset=rows, processing_class=processor)
    return trainer, rewards


def test_a_reward_of_poses_improves(tmp_path: Path) -> None:
    trainer, rewards = make_trainer(tmp_path)
    trainer.train()
    assert sum(rewards[-3:]) / 3 > sum(rewards[:3]) / 3 + 0.15


def test_log_probabilities_are_those_of_generation(tmp_path: Path) -> None:
    trainer, _ = make_trainer(tmp_path)
    model = trainer.accelerator.unwrap_model(trainer.model).eval()
    prompts, _, _ = trainer._tokenize_prompts([ASK] * 3)
    ids = torch.tensor(prompts)
    torch.manual_seed(0)
    config = trainer.generation_config
    output = model.generate(input_ids=ids, generation_config=config, return_dict_in_generate=True, output_scores=True)
    expected = torch.stack(output.scores, dim=1).log_softmax(dim=-1)
    new = output.sequences[:, ids.shape[1] :]
    expected = expected.gather(2, new.unsqueeze(2)).squeeze(2)
    got, entropies, _ = trainer._get_per_token_logps_and_entropies(
        model, output.sequences, torch.ones_like(output.sequences), new.shape[1], compute_entropy=True
    )
    torch.testing.assert_close(got, expected, atol=1e-4, rtol=0)
    assert got.requires_grad
    assert entropies is not None
    assert entropies[:, :-1].min() > 0


@pytest.mark.parametrize("options", [{"temperature": 0.7}, {"top_k": 5}, {"top_p": 0.9}, {"repetition_penalty": 1.1}])
def test_other_distributions_are_refused(tmp_path: Path, options: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="log-probabilities are those of sampling with temperature 1"):
        make_trainer(tmp_path, **options)


def test_dpo_refuses_answers_with_poses(tmp_path: Path) -> None:
    """TRL's collator carries no poses: it would score placeholders."""
    processor = tiny_processor(vision=False)
    model = tiny_checkpoint_model(processor, vision=False)
    answer = [{"role": "assistant", "content": [{"type": "pose"}]}]
    question = [{"role": "user", "content": [{"type": "text", "text": "A person kneels."}]}]
    rows = Dataset.from_list([{"prompt": question, "chosen": answer, "rejected": answer}] * 2)
    config = DPOConfig(output_dir=str(tmp_path), report_to="none", use_cpu=True, bf16=False, max_steps=1)
    with pytest.raises(ValueError, match="the text holds 1 <pose>, but 0 poses were given"):
        DPOTrainer(model, args=config, train_dataset=rows, processing_class=processor).train()

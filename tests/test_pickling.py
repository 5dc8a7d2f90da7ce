"""Whole models survive pickling and torch.save, before and after their first forward; adapters find their model."""

import copy
import io
import pickle
from pathlib import Path

import pytest
import torch
from peft import AutoPeftModel, LoraConfig, get_peft_model
from tiny_models import image_block, pad_left, random_pixels, tiny_model

from unipose import UniPoseForConditionalGeneration


def through_torch(model: torch.nn.Module) -> torch.nn.Module:
    buffer = io.BytesIO()
    torch.save(model, buffer)
    return torch.load(io.BytesIO(buffer.getvalue()), weights_only=False)


def count_hooks(model: torch.nn.Module) -> int:
    return sum(len(module._forward_hooks) for module in model.modules())


@pytest.mark.parametrize("way", [through_torch, lambda model: pickle.loads(pickle.dumps(model)), copy.deepcopy])
@pytest.mark.parametrize("used", [False, True])
def test_a_model_computes_the_same_after_pickling(way, used: bool) -> None:
    model = tiny_model()
    inputs = pad_left([image_block(model.config) + [3, 4, 5]]) | random_pixels(model.config, 1)
    expected = model(**inputs).logits
    model = model if used else tiny_model()
    hooks = count_hooks(model)
    again = way(model)
    assert type(again) is UniPoseForConditionalGeneration
    assert count_hooks(model) == hooks > 0
    torch.testing.assert_close(again(**inputs).logits, expected)
    torch.testing.assert_close(model(**inputs).logits, expected)
    assert count_hooks(again.model.vision_tower) == count_hooks(model.model.vision_tower) > 0
    assert again.lm_head.weight.data_ptr() != model.lm_head.weight.data_ptr()


def test_tied_weights_stay_tied(tiny_checkpoint: Path) -> None:
    model = tiny_model(tie_word_embeddings=True)
    again = through_torch(model)
    assert again.lm_head.weight is again.model.language_model.embed_tokens.weight


def test_auto_peft_model_loads_an_adapter(tiny_checkpoint: Path, tmp_path: Path) -> None:
    model = UniPoseForConditionalGeneration.from_pretrained(tiny_checkpoint)
    adapted = get_peft_model(model, LoraConfig(target_modules=r".*language_model.*(q_proj|v_proj)"))
    with torch.no_grad():
        for name, weight in adapted.named_parameters():
            if "lora_B" in name:
                weight.normal_(generator=torch.Generator().manual_seed(0))
    adapted.save_pretrained(tmp_path)
    again = AutoPeftModel.from_pretrained(tmp_path, import_allowlist=["unipose"])
    inputs = pad_left([[3, 4, 5]])
    expected = adapted.eval()(**inputs).logits
    torch.testing.assert_close(again(**inputs).logits, expected)
    with adapted.disable_adapter():
        assert (adapted(**inputs).logits - expected).abs().max() > 1e-3

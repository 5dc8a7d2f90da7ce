"""Loading: a checkpoint is whole, and its files agree, or the error names what does not."""

import json
from pathlib import Path

import pytest
import torch
from damage import HTML, POINTER, change_json, change_weights, copy_model
from huggingface_hub.errors import StrictDataclassError
from transformers import AutoConfig, AutoModel, AutoModelForImageTextToText, AutoProcessor, pipeline
from transformers.dynamic_module_utils import get_class_from_dynamic_module
from transformers.utils import logging

from unipose import UniPoseConfig, UniPoseForConditionalGeneration, UniPoseProcessor, UniPoseVQVAE
from unipose.cli import main


HEAD = "lm_head.weight"
CODEBOOK = "model.pose_tokenizer.quantizer.codebook"


@pytest.fixture
def folder(tiny_checkpoint: Path, tmp_path: Path) -> Path:
    """A copy of a whole model, to be damaged."""
    return copy_model(tiny_checkpoint, tmp_path / "model")


def remove(weights: dict[str, torch.Tensor]) -> None:
    weights.pop(CODEBOOK)


def rename(weights: dict[str, torch.Tensor]) -> None:
    weights["model.codes"] = weights.pop(CODEBOOK)


def reshape(weights: dict[str, torch.Tensor]) -> None:
    weights[HEAD] = weights[HEAD][:-1].clone()


def add(weights: dict[str, torch.Tensor]) -> None:
    weights["model.language_model.layers.2.mlp.up_proj.weight"] = torch.zeros(48, 32)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (remove, rf"1 missing \({CODEBOOK}\)"),
        (rename, rf"1 missing \({CODEBOOK}\); 1 unexpected \(model.codes\)"),
        (reshape, rf"1 of another shape \({HEAD} \(361, 32\), expected \(362, 32\)\)"),
        (add, r"1 unexpected \(model.language_model.layers.2.mlp.up_proj.weight\)"),
    ],
)
def test_weights_that_do_not_fit_are_named(folder: Path, change, message: str) -> None:
    change_weights(folder, change)
    with pytest.raises(OSError, match=message):
        AutoModelForImageTextToText.from_pretrained(folder)


def test_a_model_that_grows_says_so(folder: Path) -> None:
    change_weights(folder, reshape)
    for option in ("allow_incomplete", "ignore_mismatched_sizes"):
        model = AutoModelForImageTextToText.from_pretrained(folder, **{option: True})
        assert model.lm_head.weight.isfinite().all()


def test_who_asks_for_the_account_gets_it(folder: Path) -> None:
    """As with the library: the caller has the names; shapes that differ are still an error."""
    change_weights(folder, rename)
    _, info = AutoModelForImageTextToText.from_pretrained(folder, output_loading_info=True)
    assert (info["missing_keys"], info["unexpected_keys"]) == ({CODEBOOK}, {"model.codes"})
    change_weights(folder, reshape)
    with pytest.raises(OSError, match=rf"1 of another shape \({HEAD}"):
        AutoModelForImageTextToText.from_pretrained(folder, output_loading_info=True)


def test_a_state_dict_is_whole_or_empty(tiny_checkpoint: Path) -> None:
    model = AutoModelForImageTextToText.from_pretrained(tiny_checkpoint)
    weights = model.state_dict()
    assert type(model).from_pretrained(None, config=model.config, state_dict={}).lm_head.weight.isfinite().all()
    again = type(model).from_pretrained(None, config=model.config, state_dict=dict(weights))
    assert torch.equal(again.lm_head.weight, weights[HEAD])
    del weights[CODEBOOK]
    with pytest.raises(OSError, match=rf"the weights of the state dict.*1 missing \({CODEBOOK}\)"):
        type(model).from_pretrained(None, config=model.config, state_dict=dict(weights))


def test_errors_of_arguments_are_the_librarys(folder: Path) -> None:
    with pytest.raises(TypeError, match="no_such_argument"):
        AutoModelForImageTextToText.from_pretrained(folder, no_such_argument=1)
    with torch.device("meta"), pytest.raises(RuntimeError, match="meta device context manager"):
        AutoModelForImageTextToText.from_pretrained(folder)
    with pytest.raises(StrictDataclassError, match="pose_attention"):
        AutoConfig.from_pretrained(folder, pose_attention="none")


def test_a_config_that_builds_no_model_is_named(folder: Path) -> None:
    change_json(folder, "config.json", lambda content: content["text_config"].update(num_key_value_heads=0))
    with pytest.raises(OSError, match=r"config.json.*describe"):
        AutoModelForImageTextToText.from_pretrained(folder)


def test_a_generation_config_of_wrong_types_is_named(folder: Path) -> None:
    change_json(folder, "generation_config.json", lambda content: content.update(max_new_tokens=[1, 2]))
    with pytest.raises(OSError, match=r"generation_config.json is damaged: max_new_tokens must be an integer"):
        AutoModelForImageTextToText.from_pretrained(folder)


def test_only_buffers_of_training_may_be_absent(folder: Path) -> None:
    def remove_averages(weights: dict[str, torch.Tensor]) -> None:
        for name in ("ema_sum", "ema_count", "initialized"):
            del weights[f"model.pose_tokenizer.quantizer.{name}"]

    change_weights(folder, remove_averages)
    quantizer = AutoModelForImageTextToText.from_pretrained(folder).model.pose_tokenizer.quantizer
    # Training goes on from the codes of the checkpoint, not from new ones.
    assert quantizer.initialized
    assert torch.equal(quantizer.ema_sum, quantizer.codebook)
    assert quantizer.codebook.any()


def test_the_same_holds_for_the_code_that_a_folder_carries(tiny_checkpoint: Path, folder: Path) -> None:
    change_weights(folder, remove)
    loaded = get_class_from_dynamic_module("modeling_unipose.UniPoseForConditionalGeneration", str(tiny_checkpoint))
    assert "transformers_modules" in loaded.__module__
    with pytest.raises(OSError, match=CODEBOOK):
        loaded.from_pretrained(folder)


def test_a_headless_model_takes_a_whole_checkpoint_and_a_pose_tokenizer_does_not(tiny_checkpoint: Path) -> None:
    assert type(AutoModel.from_pretrained(tiny_checkpoint)).__name__ == "UniPoseModel"
    config = AutoConfig.from_pretrained(tiny_checkpoint).pose_tokenizer_config
    with pytest.raises(OSError, match="missing"):
        UniPoseVQVAE.from_pretrained(tiny_checkpoint, config=config)


@pytest.mark.parametrize("part", ["text_config", "pose_tokenizer_config"])
def test_a_config_without_a_part_builds_no_model_of_the_releases_size(folder: Path, part: str) -> None:
    change_json(folder, "config.json", lambda content: content.pop(part))
    for load in (AutoConfig, AutoModelForImageTextToText, UniPoseConfig):
        with pytest.raises(OSError, match=part):
            load.from_pretrained(folder)


def test_default_sizes_of_a_part_allocate_nothing(folder: Path) -> None:
    """Without its sizes the language model is one of seven billion weights, which are missing in the checkpoint."""

    def forget(content: dict) -> None:
        content["text_config"] = {name: content["text_config"][name] for name in ("model_type", "vocab_size")}

    change_json(folder, "config.json", forget)
    with pytest.raises(OSError, match=r"model.language_model.layers.10.*of another shape"):
        AutoModelForImageTextToText.from_pretrained(folder)


@pytest.mark.parametrize("name", ["config.json", "processor_config.json", "tokenizer.json", "generation_config.json"])
def test_a_page_in_place_of_a_file_is_an_error(folder: Path, name: str) -> None:
    (folder / name).write_text(HTML)
    with pytest.raises(OSError):  # noqa: PT011 - some are the library's own, with messages of its own
        AutoModelForImageTextToText.from_pretrained(folder), AutoProcessor.from_pretrained(folder)


@pytest.mark.parametrize("content", [HTML, POINTER, "{% for", "{{ messages[0].content[0].text }}"])
def test_a_chat_template_writes_every_block(folder: Path, content: str) -> None:
    (folder / "chat_template.jinja").write_text(content)
    with pytest.raises(OSError, match="the default chat template"):
        AutoProcessor.from_pretrained(folder)
    # Without a model it is anyone's: what it lacks is an error where it is used.
    (folder / "config.json").unlink()
    processor = UniPoseProcessor.from_pretrained(folder)
    assert processor.chat_template == content
    chat = [{"role": "user", "content": "Who?"}, {"role": "assistant", "content": "A person."}]
    for use in (processor.apply_chat_template, processor.encode_chat):
        with pytest.raises(ValueError, match="the default chat template"):
            use(chat)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("num_pose_tokens", 7, "num_pose_tokens is 7 in the processor and 6 in the model"),
        ("num_image_tokens", 9, "num_image_tokens is 9 in the processor and 16 in the model"),
        ("codebook_size", 31, "codebook_size is 31 in the processor and 32 in the model"),
        ("codebook_size", 33, "must hold 33 consecutive pose codes"),
        ("pose_opening", "a", r"pose_opening_ids is \[\d+\] in the processor and \[\] in the model"),
    ],
)
def test_counts_of_the_processor_are_the_models(folder: Path, name: str, value: object, message: str) -> None:
    change_json(folder, "processor_config.json", lambda content: content.update({name: value}))
    with pytest.raises(OSError, match=message):
        AutoProcessor.from_pretrained(folder)


@pytest.mark.parametrize("kind", ["size", "pose_size"])
def test_image_sizes_of_the_processor_are_the_models(folder: Path, kind: str) -> None:
    sides = {"height": 64, "width": 64}
    change_json(folder, "processor_config.json", lambda content: content["image_processor"].update({kind: sides}))
    with pytest.raises(OSError, match=rf"{kind} is \[64, 64\] in the processor"):
        AutoProcessor.from_pretrained(folder)


@pytest.mark.parametrize(("one", "other"), [("pose_start_token", "pose_end_token"), ("bos_token", "eos_token")])
def test_swapped_special_tokens_are_named(folder: Path, one: str, other: str) -> None:
    def swap(content: dict) -> None:
        own = content.get("model_specific_special_tokens", {})
        for tokens in (content, own):
            if one in tokens:
                tokens[one], tokens[other] = tokens[other], tokens[one]

    change_json(folder, "tokenizer_config.json", swap)
    with pytest.raises(OSError, match=f"{one}_id is .* in the processor and .* in the model"):
        AutoProcessor.from_pretrained(folder)


def test_a_pipeline_of_two_models_says_so(tiny_checkpoint: Path, text_checkpoint: Path) -> None:
    model = AutoModelForImageTextToText.from_pretrained(text_checkpoint)
    processor = AutoProcessor.from_pretrained(tiny_checkpoint)
    with pytest.raises(ValueError, match="num_image_tokens is 16 in the processor and 0 in the model"):
        pipeline("unipose", model=model, processor=processor)


def test_the_command_says_so_and_changes_no_logging(folder: Path, capsys: pytest.CaptureFixture) -> None:
    change_weights(folder, remove)
    before = logging.get_verbosity(), logging.is_progress_bar_enabled()
    assert main(["A person kneels.", "--model", str(folder)]) == 2
    captured = capsys.readouterr()
    assert CODEBOOK in captured.err
    assert captured.out == ""
    assert (logging.get_verbosity(), logging.is_progress_bar_enabled()) == before


def test_a_config_of_wrong_types_is_named(folder: Path) -> None:
    change_json(folder, "config.json", lambda content: content["text_config"].update(hidden_size="large"))
    with pytest.raises(OSError, match=r"config.json does not describe a UniPoseConfig.*hidden_size"):
        AutoConfig.from_pretrained(folder)
    (folder / "config.json").write_text(json.dumps({"model_type": "unipose"}))
    with pytest.raises(OSError, match="its text_config is None"):
        AutoConfig.from_pretrained(folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda content: content.update(model_type=[1, 2]), r"its model_type is \[1, 2\], expected a string"),
        (lambda content: content["pose_tokenizer_config"].update(num_joints=0), "num_joints must be 22"),
    ],
)
def test_a_config_of_no_model_of_ours_is_named(folder: Path, change, message: str) -> None:
    change_json(folder, "config.json", change)
    with pytest.raises((OSError, ValueError), match=message):
        UniPoseForConditionalGeneration.from_pretrained(folder)


@pytest.mark.parametrize(("name", "value"), [("output_attentions", {"a": 1}), ("pad_token_id", [])])
def test_values_of_a_generation_config_are_checked(folder: Path, name: str, value: object) -> None:
    change_json(folder, "generation_config.json", lambda content: content.update({name: value}))
    with pytest.raises(OSError, match=rf"generation_config.json is damaged: {name} must be"):
        AutoModelForImageTextToText.from_pretrained(folder)

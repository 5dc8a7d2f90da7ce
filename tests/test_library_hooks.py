"""Every hook into a private part of a library exists, with the form relied on, and stands in docs/library-hooks.md."""

import inspect
import re
from pathlib import Path

import pytest
import torch
from transformers import (
    DynamicCache,
    GenerationConfig,
    GenerationMixin,
    Pipeline,
    PreTrainedModel,
    StaticCache,
    processing_utils,
)
from transformers import pipeline as make_pipeline
from transformers.cache_utils import Cache, DynamicLayer, StaticLayer
from transformers.dynamic_module_utils import custom_object_save
from transformers.generation.utils import MULTIMODAL_INPUTS_TO_DROP_OUTSIDE_PREFILL
from transformers.image_processing_backends import PilBackend
from transformers.masking_utils import create_causal_mask
from transformers.modeling_utils import slice_logits_to_keep
from transformers.pipelines import PIPELINE_REGISTRY
from transformers.processing_utils import ProcessorMixin
from transformers.tokenization_utils_base import PreTrainedTokenizerBase
from transformers.utils import PushToHubMixin, is_tracing, torch_compilable_check
from transformers.utils.chat_template_utils import _CONTROL_TOKEN_END, _CONTROL_TOKEN_START, render_jinja_template
from transformers.utils.deprecation import deprecate_kwarg
from transformers.utils.output_capturing import maybe_install_capturing_hooks, select_hidden_states

from unipose import UniPoseConfig
from unipose.cache_keyword import CACHE
from unipose.processing.control_tokens import BREAK, PRIVATE


ROOT = Path(__file__).parents[1]
TABLE = ROOT / "docs" / "library-hooks.md"

# Functions and methods: the parameters that are passed, by name, or taken.
FUNCTIONS = {
    "create_causal_mask(block_sequence_ids=)": (
        create_causal_mask,
        {"config", "inputs_embeds", "attention_mask", CACHE, "position_ids", "block_sequence_ids"},
    ),
    "Cache.get_mask_sizes": (Cache.get_mask_sizes, {"query_length", "layer_idx"}),
    "deprecate_kwarg": (deprecate_kwarg, {"old_name", "version", "new_name", "raise_if_both_names"}),
    "torch_compilable_check": (torch_compilable_check, {"cond", "msg"}),
    "is_tracing": (is_tracing, set()),
    "maybe_install_capturing_hooks": (maybe_install_capturing_hooks, {"model"}),
    "select_hidden_states": (select_hidden_states, {"selection"}),
    "slice_logits_to_keep": (slice_logits_to_keep, {"hidden_states", "logits_to_keep"}),
    "PreTrainedModel._init_weights": (PreTrainedModel._init_weights, {"module"}),
    "PreTrainedModel.is_custom_code": (PreTrainedModel.is_custom_code, set()),
    "PreTrainedModel._finalize_model_loading": (
        PreTrainedModel._finalize_model_loading,
        {"model", "load_config", "loading_info"},
    ),
    "PreTrainedModel._adjust_missing_and_unexpected_keys": (
        PreTrainedModel._adjust_missing_and_unexpected_keys,
        {"loading_info"},
    ),
    "PreTrainedModel._from_config": (PreTrainedModel._from_config, {"config"}),
    "PushToHubMixin._upload_modified_files": (PushToHubMixin._upload_modified_files, {"working_dir", "repo_id"}),
    "custom_object_save": (custom_object_save, {"obj", "folder", "config"}),
    "GenerationMixin._sample": (
        GenerationMixin._sample,
        {"input_ids", "logits_processor", "stopping_criteria", "generation_config", "synced_gpus", "model_kwargs"},
    ),
    "GenerationMixin._get_logits_processor": (
        GenerationMixin._get_logits_processor,
        {"generation_config", "logits_processor", "model_kwargs"},
    ),
    "GenerationMixin._get_candidate_generator": (GenerationMixin._get_candidate_generator, {"logits_processor"}),
    "GenerationMixin._update_model_kwargs_for_generation": (
        GenerationMixin._update_model_kwargs_for_generation,
        {"outputs", "model_kwargs", "is_encoder_decoder", "num_new_tokens"},
    ),
    "GenerationMixin._expand_inputs_for_generation": (
        GenerationMixin._expand_inputs_for_generation,
        {"expand_size", "is_encoder_decoder", "input_ids", "model_kwargs"},
    ),
    "GenerationMixin._prepare_generated_length": (
        GenerationMixin._prepare_generated_length,
        {"generation_config", "has_default_max_length", "input_ids_length", "inputs_tensor"},
    ),
    "ProcessorMixin._adjust_assistant_masks_indices": (
        ProcessorMixin._adjust_assistant_masks_indices,
        {"processed_dict", "generation_indices"},
    ),
    "render_jinja_template": (
        render_jinja_template,
        {"conversations", "chat_template", "return_assistant_tokens_mask"},
    ),
    "ProcessorMixin._merge_kwargs": (ProcessorMixin._merge_kwargs, {"tokenizer_init_kwargs", "kwargs"}),
    "ProcessorMixin._resolve_chat_template": (ProcessorMixin._resolve_chat_template, {"chat_template"}),
    "ProcessorMixin._multimodal_inputs_from_conversations": (
        ProcessorMixin._multimodal_inputs_from_conversations,
        {"conversations"},
    ),
    "PreTrainedTokenizerBase._set_model_specific_special_tokens": (
        PreTrainedTokenizerBase._set_model_specific_special_tokens,
        {"special_tokens"},
    ),
    "PilBackend._preprocess": (
        PilBackend._preprocess,
        {"images", "size", "resample", "do_rescale", "rescale_factor", "do_normalize", "image_mean", "image_std"},
    ),
    "PilBackend._prepare_image_like_inputs": (PilBackend._prepare_image_like_inputs, {"images", "kwargs"}),
    "PilBackend._validate_preprocess_kwargs": (PilBackend._validate_preprocess_kwargs, {"size", "kwargs"}),
    "Pipeline._sanitize_parameters": (Pipeline._sanitize_parameters, set()),
    "Pipeline._get_set_generation_params": (Pipeline._get_set_generation_params, {"generate_kwargs"}),
    "Pipeline._prepare_generate_kwargs": (Pipeline._prepare_generate_kwargs, {"generate_kwargs", "overrides"}),
}
# Attributes of classes and objects.
ATTRIBUTES = {
    "config._attn_implementation": (UniPoseConfig, "_attn_implementation"),
    "PreTrainedModel._keep_in_fp32_modules_strict": (PreTrainedModel, "_keep_in_fp32_modules_strict"),
    "PreTrainedModel._keep_in_fp32_modules": (PreTrainedModel, "_keep_in_fp32_modules"),
    "PreTrainedModel._skip_keys_device_placement": (PreTrainedModel, "_skip_keys_device_placement"),
    "PreTrainedModel._can_compile_fullgraph": (PreTrainedModel, "_can_compile_fullgraph"),
    "PIPELINE_REGISTRY.supported_tasks": (PIPELINE_REGISTRY, "supported_tasks"),
    "generation_config.disable_compile": (GenerationConfig(), "disable_compile"),
    "ProcessorMixin.skip_tensor_conversion": (ProcessorMixin, "skip_tensor_conversion"),
    "Pipeline._load_processor": (Pipeline, "_load_processor"),
}
# Hooks whose behavior has a test below.
BEHAVIOUR = {
    "mm_encoder_outputs",
    "DynamicLayer.keys / values / crop",
    "DynamicLayer.update, DynamicCache.layers",
    "StaticLayer.keys / values / cumulative_length",
    "text_replacement_offsets",
    "_CONTROL_TOKEN_START / _CONTROL_TOKEN_END",
    "Pipeline._batch_size",
    "Pipeline._generate_kwargs",
    "transformers.models.auto",
}


def table_rows() -> dict[str, list[str]]:
    """The rows by hook: [why, versions, guard]; those of training have a test of their own."""
    text = TABLE.read_text(encoding="utf-8").partition("## Training")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line[:3] == "| `"]
    return {cells[0].strip("`"): cells[1:] for cells in rows}


def test_the_table_is_complete():
    assert set(table_rows()) == {*FUNCTIONS, *ATTRIBUTES, *BEHAVIOUR}


@pytest.mark.parametrize("hook", table_rows())
def test_the_guard_exists(hook):
    file, _, name = table_rows()[hook][2].strip("`").partition("::")
    source = (ROOT / "tests" / file).read_text(encoding="utf-8")
    assert not name or re.search(rf"def {name}\(", source)


@pytest.mark.parametrize("hook", FUNCTIONS)
def test_a_function_takes_what_is_passed(hook):
    function, parameters = FUNCTIONS[hook]
    assert parameters <= set(inspect.signature(function).parameters)


@pytest.mark.parametrize("hook", ATTRIBUTES)
def test_an_attribute_exists(hook):
    owner, name = ATTRIBUTES[hook]
    assert hasattr(owner, name)


def test_layers_of_a_dynamic_cache():
    cache = DynamicCache()
    cache.update(torch.ones(2, 3, 5, 4), torch.ones(2, 3, 5, 4), 0)
    layer = cache.layers[0]
    assert type(layer) is DynamicLayer
    layer.crop(-2)
    assert layer.keys.shape == layer.values.shape == (2, 3, 3, 4)
    assert cache.get_seq_length() == 3
    layer.keys = torch.nn.functional.pad(layer.keys, (0, 0, 0, 1))
    assert cache.get_seq_length() == 4


def test_layers_of_a_static_cache():
    config = UniPoseConfig(text_config={"num_hidden_layers": 1, "vocab_size": 35000, "sliding_window": None})
    cache = StaticCache(config=config.text_config, max_cache_len=8)
    cache.update(torch.ones(2, 3, 5, 4), torch.ones(2, 3, 5, 4), 0)
    layer = cache.layers[0]
    assert type(layer) is StaticLayer
    assert layer.keys.shape == layer.values.shape == (2, 3, 8, 4)
    layer.cumulative_length.add_(-2)
    assert int(cache.get_seq_length()) == 3
    assert cache.get_mask_sizes(2, 0) == (8, 0)


def test_encoded_images_are_dropped_after_the_prefill():
    assert "mm_encoder_outputs" in MULTIMODAL_INPUTS_TO_DROP_OUTSIDE_PREFILL


def test_the_mask_of_assistants_reads_our_offsets():
    assert "text_replacement_offsets" in ProcessorMixin.skip_tensor_conversion
    assert 'pop("text_replacement_offsets"' in inspect.getsource(processing_utils)


def test_the_marks_of_typed_tokens():
    assert BREAK == _CONTROL_TOKEN_END
    assert {ord(_CONTROL_TOKEN_START), ord(_CONTROL_TOKEN_END)} == PRIVATE.keys()


def test_arguments_of_a_pipeline(tiny_checkpoint):
    pipe = make_pipeline("unipose", model=str(tiny_checkpoint), batch_size=3, max_new_tokens=7)
    assert pipe._batch_size == 3
    assert pipe._generate_kwargs == {"max_new_tokens": 7}

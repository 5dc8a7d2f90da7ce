"""transformers' ModelTesterMixin on the whole model."""

import tempfile
import unittest
from unittest import mock

import torch
from tiny_models import tiny_pose_encoder_config
from transformers import CLIPVisionConfig, LlamaConfig
from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES, MODEL_MAPPING_NAMES

from transformers_common import upstream
from transformers_common.excluded import skip_excluded
from transformers_common.generation_mixin import GenerationTesterMixin
from unipose import UniPoseConfig, UniPoseForConditionalGeneration, UniPoseModel, UniPoseVQVAEConfig


# Words come last: resizing tests clamp the ids, and placeholders must survive.
CODES, POSE_TOKENS, IMAGE_TOKENS = 16, 4, 4
SPECIAL = (
    *("pose_token_id", "pose_start_token_id", "pose_end_token_id", "pose_query_token_id"),
    *("image_token_id", "image_start_token_id", "image_end_token_id"),
)
FIRST_CODE = 2 + len(SPECIAL)
FIRST_WORD = FIRST_CODE + CODES
VOCABULARY = FIRST_WORD + 40


def random_words(shape: list[int], vocab_size: int) -> torch.Tensor:
    return torch.randint(FIRST_WORD, vocab_size, shape)


class UniPoseModelTester:
    """Rows of one image, one input pose, one output pose and words."""

    # Tests that need another number make up rows, whose images and poses do not fit.
    batch_size = 7
    num_hidden_layers = 2
    num_attention_heads = 4
    hidden_size = 32
    is_training = True
    seq_length = IMAGE_TOKENS + 2 * POSE_TOKENS + 6 + 4

    def __init__(self, parent):
        self.parent = parent

    def get_config(self) -> UniPoseConfig:
        sizes = {
            "hidden_size": self.hidden_size,
            "intermediate_size": 48,
            "num_hidden_layers": self.num_hidden_layers,
            "num_attention_heads": self.num_attention_heads,
        }
        return UniPoseConfig(
            text_config=LlamaConfig(
                **sizes,
                num_key_value_heads=2,
                vocab_size=VOCABULARY,
                max_position_embeddings=128,
                pad_token_id=0,
                eos_token_id=1,
                bos_token_id=None,
            ),
            vision_config=CLIPVisionConfig(**sizes, image_size=16, patch_size=8),
            pose_vision_config=tiny_pose_encoder_config(),
            pose_tokenizer_config=UniPoseVQVAEConfig(
                hidden_size=16, codebook_size=CODES, codebook_dim=8, num_pose_tokens=POSE_TOKENS
            ),
            source_pose_pointer=True,
            pose_code_start_id=FIRST_CODE,
            **{name: number for number, name in enumerate(SPECIAL, start=2)},
        )

    def prepare_config_and_inputs_for_common(self) -> tuple[UniPoseConfig, dict[str, torch.Tensor]]:
        config = self.get_config()
        head = [config.image_start_token_id, *[config.image_token_id] * IMAGE_TOKENS, config.image_end_token_id]
        for token_id in (config.pose_token_id, config.pose_query_token_id):
            head += [config.pose_start_token_id, *[token_id] * POSE_TOKENS, config.pose_end_token_id]
        words = random_words([self.batch_size, self.seq_length - len(head)], VOCABULARY)
        ids = torch.cat([torch.tensor(head).expand(self.batch_size, -1), words], dim=1)
        return config, {
            "input_ids": ids,
            "attention_mask": torch.ones_like(ids),
            "pixel_values": torch.randn(self.batch_size, 3, 16, 16),
            "pose_pixel_values": torch.randn(self.batch_size, 3, 32, 16),
            "pose_values": torch.randn(self.batch_size, 22, 6),
        }


@skip_excluded
class UniPoseModelTest(upstream.modeling.ModelTesterMixin, GenerationTesterMixin, unittest.TestCase):
    all_model_classes = (UniPoseModel, UniPoseForConditionalGeneration)
    additional_model_inputs = ("pixel_values", "pose_pixel_values", "pose_values")
    _is_composite = True
    # The vision encoder's features are taken before its last layer.
    test_all_params_have_gradient = False
    test_can_init_all_missing_weights_before_2023 = True

    def setUp(self):
        self.model_tester = UniPoseModelTester(self)
        self.config_tester = upstream.configuration.ConfigTester(
            self, config_class=UniPoseConfig, has_text_modality=False
        )
        for changed in (
            # The library's tests know what a class is for by its name in these tables.
            mock.patch.dict(MODEL_MAPPING_NAMES, {"unipose": "UniPoseModel"}),
            mock.patch.dict(
                MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES, {"unipose": "UniPoseForConditionalGeneration"}
            ),
            # Random ids without placeholders, for which there would be no images and poses.
            mock.patch.object(upstream.modeling, "ids_tensor", random_words),
        ):
            changed.start()
            self.addCleanup(changed.stop)

    def test_config(self):
        self.config_tester.run_common_tests()

    def test_the_pose_tokenizer_is_frozen(self):
        for model_class in self.all_model_classes:
            model = model_class(self.model_tester.get_config())
            with tempfile.TemporaryDirectory() as folder:
                model.save_pretrained(folder)
                loaded = model_class.from_pretrained(folder).train()
            for frozen in (model, loaded):
                trained = {name for name, weight in frozen.named_parameters() if weight.requires_grad}
                assert trained == {name for name, _ in model.named_parameters() if "pose_tokenizer." not in name}

    def test_a_pose_is_the_same_from_inputs_embeds(self):
        for model, inputs in self.generative_models():
            embeds = {**inputs, "inputs_embeds": model.get_input_embeddings()(inputs["input_ids"])}
            del embeds["input_ids"]
            for kwargs in ({}, {"cache_implementation": "static"}):
                kwargs |= {"generation_mode": "pose", "max_new_tokens": POSE_TOKENS + 2}
                expected = self.generate(model, inputs, **kwargs)
                assert (expected.sequences[:, -1] == model.config.pose_end_token_id).all()
                output = self.generate(model, embeds, **kwargs)
                self.assert_same(output, expected, prompt=inputs["input_ids"].shape[1])

    def test_parts_on_disk_compute_the_same(self):
        """The mixin's tests of offloading ask for an accelerator; this one does without."""
        config, inputs = self.model_tester.prepare_config_and_inputs_for_common()
        codes = torch.arange(CODES).view(-1, POSE_TOKENS)
        device_map = {f"model.{name}": "disk" for name in ("vision_tower", "pose_vision_tower", "pose_tokenizer")}
        device_map |= {f"model.{name}": "cpu" for name in ("language_model", "multi_modal_projector")}
        names = ("model.pose_query_embeddings", "model.source_pose_pointer", "lm_head")
        device_map |= dict.fromkeys(names, "cpu")
        model = UniPoseForConditionalGeneration(config).eval()
        model.model.pose_tokenizer.quantizer.initialize(torch.randn(100, 8))
        with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as offload, torch.no_grad():
            model.save_pretrained(folder)
            parts = UniPoseForConditionalGeneration.from_pretrained(
                folder, device_map=device_map, offload_folder=offload
            )
            assert parts.model.pose_tokenizer.device.type == "meta"
            torch.testing.assert_close(parts(**inputs).logits, model(**inputs).logits)
            torch.testing.assert_close(parts.decode_pose_codes(codes), model.decode_pose_codes(codes))

"""transformers' ModelTesterMixin and ConfigTester on the pose tokenizer."""

import unittest

import torch

from transformers_common import upstream
from transformers_common.excluded import skip_excluded
from unipose import UniPoseVQVAE, UniPoseVQVAEConfig


class UniPoseVQVAETester:
    batch_size = 3
    is_training = True

    def get_config(self) -> UniPoseVQVAEConfig:
        return UniPoseVQVAEConfig(hidden_size=16, codebook_size=16, codebook_dim=8, num_pose_tokens=4)

    def prepare_config_and_inputs_for_common(self) -> tuple[UniPoseVQVAEConfig, dict[str, torch.Tensor]]:
        return self.get_config(), {"pose_values": torch.randn(self.batch_size, 22, 6)}


@skip_excluded
class UniPoseVQVAETest(upstream.modeling.ModelTesterMixin, unittest.TestCase):
    all_model_classes = (UniPoseVQVAE,)
    has_attentions = False
    test_resize_embeddings = False
    test_can_init_all_missing_weights_before_2023 = True

    def setUp(self):
        self.model_tester = UniPoseVQVAETester()
        self.config_tester = upstream.configuration.ConfigTester(
            self, config_class=UniPoseVQVAEConfig, has_text_modality=False, common_properties=["hidden_size"]
        )

    def test_config(self):
        self.config_tester.run_common_tests()

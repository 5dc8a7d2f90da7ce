"""transformers' ProcessorTesterMixin on the processor."""

import unittest

from tiny_tokenizer import tiny_tokenizer
from transformers_common import upstream  # noqa: F401 - fetches what follows, or skips this file
from transformers_common.excluded import skip_excluded
from transformers_tests.test_processing_common import ProcessorTesterMixin

from unipose import UniPoseImageProcessor, UniPoseProcessor


CODES, POSE_TOKENS, IMAGE_TOKENS = 16, 4, 4


@skip_excluded
class UniPoseProcessorTest(ProcessorTesterMixin, unittest.TestCase):
    processor_class = UniPoseProcessor

    @classmethod
    def _setup_tokenizer(cls):
        return tiny_tokenizer(CODES)

    @classmethod
    def _setup_image_processor(cls):
        return UniPoseImageProcessor(size={"height": 16, "width": 16}, pose_size={"height": 32, "width": 16})

    @staticmethod
    def prepare_processor_dict():
        return {"num_pose_tokens": POSE_TOKENS, "num_image_tokens": IMAGE_TOKENS, "codebook_size": CODES}

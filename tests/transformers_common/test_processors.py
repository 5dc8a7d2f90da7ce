"""transformers' ProcessorTesterMixin on the processor, ImageProcessingTestMixin on the image processor."""

import unittest

import torch
from tiny_tokenizer import tiny_tokenizer

from transformers_common import upstream
from transformers_common.excluded import skip_excluded
from unipose import UniPoseImageProcessor, UniPoseProcessor


@skip_excluded
class UniPoseProcessorTest(upstream.processing.ProcessorTesterMixin, unittest.TestCase):
    processor_class = UniPoseProcessor

    @classmethod
    def _setup_tokenizer(cls):
        # The default number of codes: a test makes a processor of its parts alone.
        return tiny_tokenizer(2048)

    @classmethod
    def _setup_image_processor(cls):
        return UniPoseImageProcessor(size={"height": 16, "width": 16}, pose_size={"height": 32, "width": 16})

    @staticmethod
    def prepare_processor_dict():
        return {"num_pose_tokens": 4, "num_image_tokens": 4}

    def get_processor(self, *args, **kwargs):
        """The images of the tests' chats are local files, which no chat of a stranger may read."""
        processor = super().get_processor(*args, **kwargs)
        processor.allow_local_files = True
        return processor

    def test_model_input_names(self):
        """As the mixin's, which knows of no poses, with a pose."""
        processor = self.get_processor()
        text = self.prepare_text_inputs(modalities="image") + processor.pose_token
        pose = torch.eye(3).expand(22, 3, 3)
        inputs = processor(text=text, images=self.prepare_images_inputs(), poses=pose, return_tensors="pt")
        assert set(inputs) == set(processor.model_input_names)


class UniPoseImageProcessorTester(upstream.image_processing.ImageProcessingTester):
    def __init__(self, parent, **kwargs):
        super().__init__(parent, **kwargs)
        self.size = {"height": 16, "width": 16}
        self.pose_size = {"height": 32, "width": 16}

    def _get_image_processing_classes(self):
        return {"pil": UniPoseImageProcessor}


@skip_excluded
class UniPoseImageProcessorTest(upstream.image_processing.ImageProcessingTestMixin, unittest.TestCase):
    image_processor_tester_class = UniPoseImageProcessorTester

"""The one table of common tests that cannot apply to our classes as they are, each with its reason.

`test_excluded.py` runs what is excluded: a test that has come to pass must leave the table. What the library's tests
skip by themselves (no accelerator, no Flash Attention, ...) is not repeated: `pytest -rs tests/transformers_common`
lists it. The mixins' own switches (`has_attentions`, `test_resize_embeddings`, ...) stand with our classes.
"""

import unittest


EXCLUDED = {
    "UniPoseModelTest": {
        "test_torch_save_load": "the test calls a state dict like a function where a buffer is boolean",
    },
    "UniPoseVQVAETest": {
        "test_hidden_states_output": "a convolutional autoencoder has no layers whose states it could return",
        "test_retain_grad_hidden_states_attentions": "it returns neither hidden states nor attentions",
        "test_model_get_set_embeddings": "it takes rotations and has no vocabulary",
    },
    "UniPoseProcessorTest": {},
    "UniPoseImageProcessorTest": {
        "test_call_numpy_4_channels": "both vision encoders take three channels, whatever do_convert_rgb says",
        "test_new_models_require_torchvision_backend": "it resizes with Pillow alone: torchvision is no requirement",
    },
}
# Our own test of the same name and purpose runs in their place.
REPLACED = {
    "UniPoseProcessorTest": {
        "test_model_input_names": "the mixin knows no poses, and expects every input in one batch",
    },
}


def skip_excluded(test_class: type[unittest.TestCase]) -> type[unittest.TestCase]:
    """Marks the tests of the table as skipped, with their reason; one that does not exist is an AttributeError."""
    for name, reason in EXCLUDED[test_class.__name__].items():
        setattr(test_class, name, unittest.skip(reason)(getattr(test_class, name)))
    return test_class

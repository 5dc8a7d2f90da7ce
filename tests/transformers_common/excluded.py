"""The one table of common tests that cannot apply to our classes, each with its reason.

`test_excluded.py` runs each of them: one that has come to pass must leave the table. What the library's tests skip by
themselves (no accelerator, no Flash Attention, ...) is not repeated here: `pytest -rs tests/transformers_common` lists it.
"""

import unittest


EXCLUDED = {
    "UniPoseModelTest": {
        "test_torch_save_load": "the test calls a state dict as a function wherever a buffer is boolean, as `initialized`",
    },
    "UniPoseVQVAETest": {
        "test_hidden_states_output": "a convolutional autoencoder has no layers whose states it could return",
        "test_retain_grad_hidden_states_attentions": "it returns neither hidden states nor attentions",
        "test_model_get_set_embeddings": "it takes rotations and has no vocabulary",
    },
    "UniPoseProcessorTest": {},
    "UniPoseImageProcessorTest": {},
}


def skip_excluded(test_class: type[unittest.TestCase]) -> type[unittest.TestCase]:
    """Marks the tests of the table as skipped, with their reason; one that does not exist is an AttributeError."""
    for name, reason in EXCLUDED[test_class.__name__].items():
        setattr(test_class, name, unittest.skip(reason)(getattr(test_class, name)))
    return test_class

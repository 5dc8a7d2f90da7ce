"""The mean of models' weights: by hand, with a part that only one has, and what cannot be averaged."""

import pytest
import torch
from tiny_models import tiny_model

from unipose.training.tools.average_models import average_models


SIZES = {"vision": None, "pose_vision": False}


def test_the_mean_is_weighted_and_parts_of_one_model_stay() -> None:
    first, second = tiny_model(seed=1, **SIZES), tiny_model(seed=2, source_pose_pointer=True, **SIZES)
    before = [{name: value.clone() for name, value in model.state_dict().items()} for model in (first, second)]
    after = average_models([first, second], [1.0, 3.0]).state_dict()
    assert after.keys() == before[1].keys()
    added = after.keys() - before[0].keys()
    assert {name.split(".")[1] for name in added} == {"source_pose_pointer"}
    for name, value in after.items():
        expected = before[1][name]
        if name not in added and value.is_floating_point():
            expected = 0.25 * before[0][name] + 0.75 * before[1][name]
        torch.testing.assert_close(value, expected)
    assert not torch.equal(after["lm_head.weight"], before[1]["lm_head.weight"])


def test_what_cannot_be_averaged_says_so() -> None:
    model = tiny_model(**SIZES)
    with pytest.raises(ValueError, match=r"expected at least two models and a positive weight for each, got 1 models"):
        average_models([model], [1.0])
    with pytest.raises(ValueError, match=r"got 2 models and weights \[1.0\]"):
        average_models([model, model], [1.0])
    other = tiny_model(**SIZES)
    other.resize_token_embeddings(len(other.get_input_embeddings().weight) + 1)
    with pytest.raises(ValueError, match=r"has the shapes .* in these models: expected one"):
        average_models([model, other], [1.0, 1.0])

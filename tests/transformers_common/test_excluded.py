"""The table of exclusions is true: what it names exists, and fails."""

import inspect
import unittest
from types import MethodType

import pytest

from transformers_common.excluded import EXCLUDED, REPLACED
from transformers_common.test_models import UniPoseModelTest
from transformers_common.test_pose_tokenizer import UniPoseVQVAETest
from transformers_common.test_processors import UniPoseImageProcessorTest, UniPoseProcessorTest


CLASSES = {
    test_class.__name__: test_class
    for test_class in (UniPoseModelTest, UniPoseVQVAETest, UniPoseProcessorTest, UniPoseImageProcessorTest)
}
# Imported for the table alone: pytest must not run them twice.
del UniPoseModelTest, UniPoseVQVAETest, UniPoseImageProcessorTest, UniPoseProcessorTest


@pytest.mark.parametrize(("class_name", "name"), [(c, name) for c, names in EXCLUDED.items() for name in names])
def test_an_excluded_test_would_fail(class_name, name):
    case = CLASSES[class_name](name)
    setattr(case, name, MethodType(getattr(type(case), name).__wrapped__, case))
    result = unittest.TestResult()
    case.run(result)
    assert result.testsRun == 1
    assert result.failures or result.errors, f"{class_name}.{name} passes, or skips itself: take it out of the table"


@pytest.mark.parametrize(("class_name", "name"), [(c, name) for c, names in REPLACED.items() for name in names])
def test_a_replaced_test_exists_on_both_sides(class_name, name):
    test_class = CLASSES[class_name]
    assert name in vars(test_class)
    assert any(name in vars(base) for base in test_class.__mro__[1:])


@pytest.mark.parametrize("test_class", CLASSES.values(), ids=CLASSES)
def test_nothing_else_of_the_mixins_is_overridden(test_class):
    inherited = {name for base in test_class.__mro__[1:] for name in vars(base) if name.startswith("test_")}
    functions = {name: inspect.unwrap(getattr(test_class, name)) for name in inherited if name in vars(test_class)}
    own = {
        name
        for name, value in functions.items()
        if inspect.isfunction(value) and value.__module__ == test_class.__module__
    }
    assert own == set(REPLACED.get(test_class.__name__, {}))

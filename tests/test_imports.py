"""What `import unipose` imports, and that transformers knows its classes whatever is imported first."""

import subprocess
import sys

import pytest

import unipose


HEAVY = ("torch", "transformers", "huggingface_hub", "numpy", "PIL", "tqdm")
# After imports in some order, transformers has every class, and each class knows the Auto class that it is saved for.
REGISTERED = """
from transformers import AutoConfig
assert type(AutoConfig.for_model("unipose_vqvae")) is unipose.UniPoseVQVAEConfig
from transformers.models.auto import image_processing_auto, modeling_auto, processing_auto
config = unipose.UniPoseConfig
assert modeling_auto.MODEL_MAPPING[config] is unipose.UniPoseModel
assert modeling_auto.MODEL_MAPPING[unipose.UniPoseVQVAEConfig] is unipose.UniPoseVQVAE
for mapping in (modeling_auto.MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING, modeling_auto.MODEL_FOR_MULTIMODAL_LM_MAPPING):
    assert mapping[config] is unipose.UniPoseForConditionalGeneration
assert image_processing_auto.IMAGE_PROCESSOR_MAPPING[config]["pil"] is unipose.UniPoseImageProcessor
assert processing_auto.PROCESSOR_MAPPING[config] is unipose.UniPoseProcessor
from transformers.pipelines import PIPELINE_REGISTRY
assert PIPELINE_REGISTRY.check_task("unipose")[1]["impl"] is unipose.UniPosePipeline
classes = (config, unipose.UniPoseModel, unipose.UniPoseForConditionalGeneration, unipose.UniPoseImageProcessor,
    unipose.UniPoseProcessor, unipose.UniPoseVQVAE, unipose.UniPoseVQVAEConfig)
print(*(each._auto_class for each in classes))
"""
AUTO_CLASSES = (
    "AutoConfig AutoModel AutoModelForImageTextToText AutoImageProcessor AutoProcessor AutoModel AutoConfig\n"
)


def run_fresh(code: str) -> str:
    """The output of Python code in a process of its own."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("module", ["unipose", "unipose.cli_entry", "unipose.processing", "unipose.serving.options"])
def test_the_package_imports_nothing_heavy(module: str) -> None:
    assert run_fresh(f"import sys, {module}; print(sorted({set(HEAVY)!r} & sys.modules.keys()))") == "[]\n"


def test_a_name_imports_what_it_needs() -> None:
    """A config needs no model, and `show` needs no transformers."""
    code = "import sys, unipose; unipose.{}; print(sorted({!r} & sys.modules.keys()))"
    modules = {"unipose.modeling_unipose", "unipose.pipeline_unipose", "transformers.modeling_utils"}
    assert run_fresh(code.format("UniPoseConfig", modules)) == "[]\n"
    assert run_fresh(code.format("show", {"transformers"})) == "[]\n"


def test_every_name_is_there() -> None:
    assert set(unipose.__all__) == set(unipose.MODULE_OF)
    assert set(unipose.__all__) <= set(dir(unipose))
    for name in unipose.__all__:
        assert getattr(unipose, name).__name__ == name
    with pytest.raises(AttributeError, match="module 'unipose' has no attribute 'UniPoseTokenizer'"):
        unipose.UniPoseTokenizer  # noqa: B018


@pytest.mark.parametrize(
    "imports",
    [
        "import unipose\nfrom transformers import pipeline",
        "from transformers import pipeline\nimport unipose",
        "import unipose\nfrom transformers import PreTrainedModel, ProcessorMixin",
        "import unipose\nfrom unipose.pipeline_unipose import UniPosePipeline",
        "import unipose\nfrom unipose.processing.image_processing_unipose import UniPoseImageProcessor",
        # They import transformers, which would import the models, which need them, before they are complete.
        "import unipose.answer_scoring",
        "import unipose.whole_poses",
    ],
    ids=["package first", "transformers first", "base classes first", "own pipeline", "own image processor"]
    + ["part of the pipeline", "part of the model"],
)
def test_transformers_knows_the_classes_in_any_order(imports: str) -> None:
    assert run_fresh(imports + REGISTERED) == AUTO_CLASSES

"""Auto classes in-process, and saved folders that load where `unipose` cannot be imported."""

import ast
import json
import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from remote_code import run_elsewhere
from transformers import (
    AutoConfig,
    AutoImageProcessor,
    AutoModel,
    AutoModelForImageTextToText,
    AutoModelForMultimodalLM,
    AutoProcessor,
    pipeline,
)

import unipose


REPOSITORY = Path(__file__).parent.parent

# Runs with `unipose` blocked: answers from a saved folder, saves it again twice, and answers from the copy.
REMOTE_SCRIPT = """
import json, sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("unipose", "modeling_unipose", "processing"):
            raise ImportError(name + " is blocked")

sys.meta_path.insert(0, Blocker())
import numpy as np
import torch
from PIL import Image
from transformers import (AutoConfig, AutoImageProcessor, AutoModel, AutoModelForImageTextToText,
    AutoModelForMultimodalLM, AutoProcessor, pipeline)

folder, vqvae, copy = sys.argv[1:]
remote = {"trust_remote_code": True}

def answers(folder):
    model = AutoModelForImageTextToText.from_pretrained(folder, **remote)
    processor = AutoProcessor.from_pretrained(folder, **remote)
    image = Image.new("RGB", (40, 50), "red")
    inputs = processor(text="Compare <pose> and <image>.", images=[image], poses=[np.zeros((22, 3))],
                       return_tensors="pt")
    return model, processor, model.generate(**inputs, max_new_tokens=20, do_sample=False)[0].tolist()

model, processor, ids = answers(folder)
with torch.no_grad():
    model.lm_head.weight.mul_(1.0)
model.save_pretrained(copy)
processor.save_pretrained(copy)
model.save_pretrained(copy)
pipe = pipeline("unipose", model=copy, **remote)
pipe.save_pretrained(copy)
tokenizer_model = AutoModel.from_pretrained(vqvae, **remote)
result = {
    "ids": ids,
    "copy_ids": answers(copy)[2],
    "classes": [type(cls.from_pretrained(folder, **remote)).__name__ for cls in (AutoConfig, AutoModel,
        AutoModelForImageTextToText, AutoModelForMultimodalLM, AutoImageProcessor, AutoProcessor)],
    "modules": sorted(name for name in sys.modules if name.partition(".")[0] == "unipose"),
    "pipeline": type(pipe).__module__.rpartition(".")[2],
    "pose": pipe("A person kneels.", task="text-to-pose")["poses"][0].tolist(),
    "vqvae": tokenizer_model.encode(torch.eye(3)[:2].flatten().expand(1, 22, 6)).tolist(),
}
print(json.dumps(result))
"""

CLASS_NAMES = [
    "UniPoseConfig",
    "UniPoseModel",
    "UniPoseForConditionalGeneration",
    "UniPoseForConditionalGeneration",
    "UniPoseImageProcessor",
    "UniPoseProcessor",
]


def test_auto_classes_find_the_installed_classes(tiny_checkpoint: Path) -> None:
    auto_classes = (
        AutoConfig,
        AutoModel,
        AutoModelForImageTextToText,
        AutoModelForMultimodalLM,
        AutoImageProcessor,
        AutoProcessor,
    )
    for auto_class, name in zip(auto_classes, CLASS_NAMES):
        assert type(auto_class.from_pretrained(tiny_checkpoint)) is getattr(unipose, name)


def test_folder_loads_without_the_package(tiny_checkpoint: Path, tmp_path: Path) -> None:
    model = AutoModelForImageTextToText.from_pretrained(tiny_checkpoint)
    processor = AutoProcessor.from_pretrained(tiny_checkpoint)
    model.model.pose_tokenizer.save_pretrained(tmp_path / "vqvae")
    result = run_elsewhere(REMOTE_SCRIPT, [tiny_checkpoint, tmp_path / "vqvae", tmp_path / "copy"], tmp_path)

    image = Image.new("RGB", (40, 50), "red")
    inputs = processor(
        text="Compare <pose> and <image>.", images=[image], poses=[np.zeros((22, 3))], return_tensors="pt"
    )
    expected = model.generate(**inputs, max_new_tokens=20, do_sample=False)[0].tolist()
    assert result["modules"] == []
    assert result["classes"] == CLASS_NAMES
    assert result["pipeline"] == "pipeline_unipose"
    assert result["ids"] == expected
    assert result["copy_ids"] == expected
    pose = pipeline("unipose", model=str(tiny_checkpoint))("A person kneels.", task="text-to-pose")["poses"][0]
    np.testing.assert_allclose(result["pose"], pose, atol=1e-3)
    codes = model.model.pose_tokenizer.encode(torch.eye(3)[:2].flatten().expand(1, 22, 6))
    assert result["vqvae"] == codes.tolist()

    # What the remote classes saved is an ordinary folder for the installed package.
    again = AutoModelForImageTextToText.from_pretrained(tmp_path / "copy")
    assert type(again) is unipose.UniPoseForConditionalGeneration
    assert pipeline("unipose", model=str(tmp_path / "copy")).__class__ is unipose.UniPosePipeline


def test_train_save_load_cycles(tiny_checkpoint: Path, tmp_path: Path) -> None:
    model = unipose.UniPoseForConditionalGeneration.from_pretrained(tiny_checkpoint)
    for step in range(2):
        with torch.no_grad():
            model.lm_head.weight += 1
        saved = model.lm_head.weight.clone()
        model.save_pretrained(tmp_path / str(step))
        model = AutoModelForImageTextToText.from_pretrained(tmp_path / str(step))
        torch.testing.assert_close(model.lm_head.weight, saved)
    first, last = ((tmp_path / name / "config.json").read_text() for name in ("0", "1"))
    assert first == last


def test_saved_folder_refers_to_its_own_code(tiny_checkpoint: Path, tmp_path: Path) -> None:
    """A config that came from the Hub names the repository its code came from; the copy has its own."""
    model = unipose.UniPoseForConditionalGeneration.from_pretrained(tiny_checkpoint)
    model.config.auto_map = {"AutoModel": "someone/else--modeling_unipose.UniPoseModel"}
    model.save_pretrained(tmp_path)
    saved, original = (json.loads((path / "config.json").read_text()) for path in (tmp_path, tiny_checkpoint))
    assert saved["auto_map"] == original["auto_map"]
    assert saved["custom_pipelines"] == original["custom_pipelines"]
    model.model.save_pretrained(tmp_path / "base")
    assert type(AutoModel.from_pretrained(tmp_path / "base")) is unipose.UniPoseModel


def test_pose_tokenizer_alone(tiny_checkpoint: Path, tmp_path: Path) -> None:
    tokenizer = unipose.UniPoseForConditionalGeneration.from_pretrained(tiny_checkpoint).model.pose_tokenizer
    tokenizer.save_pretrained(tmp_path)
    again = AutoModel.from_pretrained(tmp_path)
    assert type(again) is unipose.UniPoseVQVAE
    for name, value in tokenizer.state_dict().items():
        torch.testing.assert_close(again.state_dict()[name], value)


def test_saved_code_is_flat(tiny_checkpoint: Path) -> None:
    sources = {path.name: path.read_text(encoding="utf-8") for path in tiny_checkpoint.glob("*.py")}
    assert set(sources) == {
        "answer_choice.py",
        "answer_pipeline.py",
        "answer_scoring.py",
        "body_parts.py",
        "bvh_reading.py",
        "cache_keyword.py",
        "card_upload.py",
        "chat_schema.py",
        "chat_templating.py",
        "checkpoint_loading.py",
        "configuration_unipose.py",
        "control_tokens.py",
        "finite_checks.py",
        "generation_arguments.py",
        "generation_unipose.py",
        "growing_cache.py",
        "image_loading.py",
        "image_processing_unipose.py",
        "image_texts.py",
        "inverse_kinematics.py",
        "keypoint_skeletons.py",
        "mixed_attention.py",
        "modeling_pose_vqvae.py",
        "modeling_unipose.py",
        "output_hooks.py",
        "photo_correction.py",
        "photo_landmarks.py",
        "photo_poses.py",
        "pipeline_rows.py",
        "pipeline_streams.py",
        "pipeline_unipose.py",
        "placeholders.py",
        "pose_blocks.py",
        "pose_checks.py",
        "pose_decoding.py",
        "pose_features.py",
        "pose_files.py",
        "pose_forms.py",
        "pose_frames.py",
        "pose_grammar.py",
        "pose_vocabulary.py",
        "pretrained_unipose.py",
        "processing_unipose.py",
        "processor_checks.py",
        "query_runs.py",
        "rest_joints.py",
        "retargeting.py",
        "rotations.py",
        "seeded_sampling.py",
        "scoring_unipose.py",
        "single_pose.py",
        "skeletons.py",
        "tasks_unipose.py",
        "text_lines.py",
        "vector_quantizer.py",
        "vision_unipose.py",
        "whole_poses.py",
    }
    for name, source in sources.items():
        assert imported_packages(source) <= PACKAGES_OF_CODE | sys.stdlib_module_names, name


# What saved code may import: torch, transformers, pillow and numpy, and what these require themselves.
PACKAGES_OF_CODE = {"torch", "transformers", "PIL", "numpy", "tokenizers", "huggingface_hub", "safetensors", "jinja2"}


def imported_packages(source: str) -> set[str]:
    """Top-level names of the absolute imports of a module, inside functions too."""
    nodes = list(ast.walk(ast.parse(source)))
    modules = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    modules += [node.module or "" for node in nodes if isinstance(node, ast.ImportFrom) and not node.level]
    return {module.partition(".")[0] for module in modules}


def test_nothing_imports_the_source_folder_by_its_name() -> None:
    folders = ("modeling_unipose", "processing", "training", "model_cards", "tests", "benchmarks")
    forbidden = [f"{start} {folder}" for start in ("import", "from") for folder in folders[:2]]
    for path in (path for folder in folders for path in (REPOSITORY / folder).rglob("*.py")):
        lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
        assert not [line for line in lines if line.startswith(tuple(forbidden))], path
    for name in unipose.__all__:
        assert getattr(unipose, name).__module__.startswith("unipose.")

"""The packaged checkpoint is ready for the Hub: complete, as exported, and enough by itself."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from datasets import Dataset
from huggingface_hub import ModelCard
from PIL import Image
from remote_code import run_elsewhere
from safetensors.torch import load_file
from transformers import AutoTokenizer, pipeline
from trl import SFTConfig, SFTTrainer

import unipose
from unipose.embedded_checkpoint import EMBEDDED_CHECKPOINT
from unipose.tasks_unipose import TASKS
from unipose.training import UniPoseDataCollator
from unipose.training.tools.export_embedded import ExportArguments, export, link_code
from unipose.training.tools.write_card import card_data


# Answers the seven tasks where only torch, transformers, pillow and numpy, and what they require, are installed.
ALONE = """
import json, re, sys
from importlib.metadata import PackageNotFoundError, packages_distributions, requires

def plain(name):
    return re.sub(r"[-_.]+", "-", re.match(r"[\\w.-]+", name)[0]).lower()

needed, waiting = set(), ["torch", "transformers", "pillow", "numpy"]
while waiting:
    name = plain(waiting.pop())
    if name not in needed:
        needed.add(name)
        try:
            waiting += [line for line in requires(name) or [] if "extra ==" not in line]
        except PackageNotFoundError:
            pass
installed = packages_distributions()
hidden = {module for module, packages in installed.items() if not needed & set(map(plain, packages))} | {"unipose"}
assert {"roma", "trimesh", "peft", "unipose"} <= hidden and not {"torch", "transformers", "PIL", "numpy"} & hidden

class Hiding:
    def __init__(self, finder):
        self.finder = finder

    def find_spec(self, name, path=None, target=None):
        return None if name.partition(".")[0] in hidden else self.finder.find_spec(name, path, target)

    def __getattr__(self, name):
        return getattr(self.finder, name)

sys.meta_path[:] = map(Hiding, sys.meta_path)
from transformers import pipeline

folder, calls = sys.argv[1], json.load(sys.stdin)
pipe = pipeline(model=folder, trust_remote_code=True)
answers = [pipe(**call) for call in calls]
print(json.dumps([{"text": answer["text"], "poses": [pose.tolist() for pose in answer["poses"]],
    "confidence": answer["confidence"]} for answer in answers]))
"""


def call_of(name: str, image: Path) -> dict:
    """Arguments of the pipeline that JSON can hold."""
    task = TASKS[name]
    poses = (np.random.default_rng(0).normal(0, 0.2, (2, 66)) + np.eye(1, 66) * np.pi / 2).tolist()
    text = {"caption": "A person kneels.", "instruction": "Raise the left arm.", None: None}[task.text]
    inputs = {"poses": poses[: task.poses], "images": [str(image)] * task.images}
    # A list of one would be one row of many.
    single = {kind: values[0] if len(values) == 1 else values for kind, values in inputs.items()}
    return {"task": name, "text": text, **single}


def test_the_folder_alone_answers_all_tasks(tmp_path: Path) -> None:
    """A copy, as a download has it, without a task, in a process without the package and its other requirements."""
    folder = shutil.copytree(EMBEDDED_CHECKPOINT, tmp_path / "unipose-tiny")
    Image.effect_noise((90, 120), 60).convert("RGB").save(tmp_path / "image.png")
    calls = [call_of(name, tmp_path / "image.png") for name in TASKS]
    answers = run_elsewhere(ALONE, [folder], tmp_path, calls)
    pipe = pipeline("unipose")
    for call, answer in zip(calls, answers):
        expected = pipe(**call)
        assert answer["text"] == expected["text"]
        assert answer["confidence"] == pytest.approx(expected["confidence"], rel=1e-3)
        assert len(answer["poses"]) == len(expected["poses"]) == (TASKS[call["task"]].answer == "pose")
        for pose, twin in zip(answer["poses"], expected["poses"]):
            np.testing.assert_allclose(pose, twin, atol=1e-3)


def test_no_task_is_needed_where_the_package_is_installed() -> None:
    pipe = pipeline(model=str(EMBEDDED_CHECKPOINT))
    assert type(pipe) is unipose.UniPosePipeline
    assert type(pipe.model) is unipose.UniPoseForConditionalGeneration
    assert pipe.task == "unipose"


def content_of(file: Path) -> object:
    """What a file says, whichever version of transformers wrote it."""
    if file.suffix == ".safetensors":
        return {name: tensor.tolist() for name, tensor in load_file(file).items() if tensor.numel() < 10_000}
    text = file.read_text(encoding="utf-8")
    if file.suffix != ".json" or file.name == "tokenizer.json":
        return text
    return {name: value for name, value in json.loads(text).items() if name != "transformers_version"}


def test_the_folder_is_what_export_writes(tmp_path: Path) -> None:
    config = json.loads((EMBEDDED_CHECKPOINT / "config.json").read_text(encoding="utf-8"))
    generation = json.loads((EMBEDDED_CHECKPOINT / "generation_config.json").read_text(encoding="utf-8"))
    export(
        ExportArguments(
            model=str(EMBEDDED_CHECKPOINT),
            output=str(tmp_path),
            pose_decoding=generation["pose_decoding"],
            pose_temperature=generation["pose_temperature"],
            texts_through_poses=config["texts_through_poses"],
        )
    )
    shipped = {file.name: file for file in EMBEDDED_CHECKPOINT.iterdir() if file.name != "README.md"}
    written = {file.name: file for file in tmp_path.iterdir()}
    assert shipped.keys() == written.keys()
    for name, file in shipped.items():
        assert content_of(file) == content_of(written[name]), name


def test_code_is_linked_not_copied(tmp_path: Path) -> None:
    """The links are relative, so that they hold in every clone; outside the package there are none."""
    code = sorted(EMBEDDED_CHECKPOINT.glob("*.py"))
    assert len(code) > 30
    assert all(not os.path.isabs(os.readlink(file)) and file.is_file() for file in code)
    (tmp_path / "tasks_unipose.py").write_text("", encoding="utf-8")
    link_code(tmp_path)
    assert (tmp_path / "tasks_unipose.py").read_text(encoding="utf-8").startswith('"""The seven tasks')


def test_card_of_the_folder() -> None:
    card = ModelCard.load(EMBEDDED_CHECKPOINT / "README.md")
    expected = card_data("unipose-tiny", {"metrics": {}}).to_dict()
    assert {**card.data.to_dict(), "model-index": None} == {**expected, "model-index": None}
    assert len(card.data.eval_results) > 10
    assert card.data.pipeline_tag == "image-text-to-text"


def test_the_tokenizer_alone_pads_left(tmp_path: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(EMBEDDED_CHECKPOINT)
    assert tokenizer.padding_side == "left"
    tokenizer.save_pretrained(tmp_path)
    again = AutoTokenizer.from_pretrained(tmp_path)
    assert again.padding_side == "left"
    rows = again(["A person kneels on the floor.", "Run."], padding=True)["attention_mask"]
    assert rows[1][0] == 0


def test_a_trainer_takes_the_folder_by_its_name(tmp_path: Path) -> None:
    processor = unipose.UniPoseProcessor.from_pretrained(EMBEDDED_CHECKPOINT)
    messages = [
        {"role": "user", "content": [{"type": "text", "text": "Hello."}]},
        {"role": "assistant", "content": [{"type": "text", "text": "A person stands."}]},
    ]
    trainer = SFTTrainer(
        model=str(EMBEDDED_CHECKPOINT),
        args=SFTConfig(
            output_dir=str(tmp_path),
            max_steps=1,
            per_device_train_batch_size=1,
            use_cpu=True,
            bf16=False,
            report_to=[],
            remove_unused_columns=False,
            dataset_kwargs={"skip_prepare_dataset": True},
            max_length=None,
        ),
        processing_class=processor,
        data_collator=UniPoseDataCollator(processor),
        train_dataset=Dataset.from_list([{"messages": messages, "images": [], "poses": [], "pose_codes": []}]),
    )
    assert type(trainer.model) is unipose.UniPoseForConditionalGeneration
    assert np.isfinite(trainer.train().training_loss)

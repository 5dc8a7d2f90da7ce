"""`unipose publish` against a Hub on this machine, each command and each reader in a process of its own."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from fake_hub import Hub, serve_hub
from huggingface_hub import ModelCard
from transformers import pipeline

from unipose.embedded_checkpoint import EMBEDDED_CHECKPOINT
from unipose.training.publishing import folders
from unipose.training.publishing.card import Names, model_card
from unipose.training.publishing.folders import check_model_folder, write_space_folder


SPACE = Path(__file__).parents[1] / "model_cards" / "space"

# Without the package: its finder is taken away first.
READ = """
import json, sys
sys.meta_path = [finder for finder in sys.meta_path if "editable" not in repr(finder).lower()]
sys.path_hooks = [hook for hook in sys.path_hooks if "editable" not in repr(hook).lower()]
sys.modules["unipose"] = None
import torch
from transformers import AutoModel, AutoProcessor, pipeline
name, revision = sys.argv[1:]
options = {"trust_remote_code": True, "revision": revision}
model = AutoModel.from_pretrained(name, **options)
processor = AutoProcessor.from_pretrained(name, **options)
pipe = pipeline("unipose", model=name, **options)
answer = pipe("A person kneels.", task="text-to-pose")
print(json.dumps([type(model).__name__, type(processor).__name__, answer["poses"][0].tolist()]))
"""
HANDLE = """
import json, sys
sys.modules["unipose"] = None
sys.path.insert(0, sys.argv[1])
from handler import EndpointHandler
handler = EndpointHandler(sys.argv[1])
refused = []
for bad in ({"images": ["http://127.0.0.1/x.png"]}, {"poses": ["/etc/passwd"]}, {"nonsense": 1}, {"poses": [[[1], 2]]},
            {"images": ["/etc/passwd"]}, {"poses": [{"poses": "/etc/passwd"}]}):
    try:
        handler({"parameters": {"task": "pose-to-text"}, **bad})
    except ValueError as error:
        refused.append(str(error))
answer = handler({"inputs": "A person kneels.", "parameters": {"task": "text-to-pose"}})
text = handler({"poses": answer["poses"], "parameters": {"task": "pose-to-text"}})
print(json.dumps([refused, answer, text]))
"""


@pytest.fixture
def hub():
    with serve_hub() as running:
        yield running


def run(words: list[str], hub: Hub, folder: Path) -> subprocess.CompletedProcess:
    environment = {
        **os.environ,
        "HF_ENDPOINT": hub.url,
        "HF_HUB_OFFLINE": "0",
        "HF_HUB_DISABLE_XET": "1",
        "HF_TOKEN": "hf_test",
        "HF_HOME": str(folder / "home"),
        "HF_MODULES_CACHE": str(folder / "modules"),
        "NO_PROXY": "127.0.0.1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    }
    environment.pop("PYTHONPATH", None)
    return subprocess.run([sys.executable, *words], cwd=folder, env=environment, capture_output=True, text=True)


def publish(hub: Hub, folder: Path, *words: str) -> subprocess.CompletedProcess:
    return run(["-m", "unipose.cli", "publish", "me/pose", *words], hub, folder)


def read(hub: Hub, folder: Path, revision: str) -> Any:
    done = run(["-c", READ, "me/pose", revision], hub, folder)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.slow
def test_a_published_model_loads_without_the_package(hub: Hub, tmp_path: Path) -> None:
    """By id and by revision, also after a second push; an unchanged push changes nothing."""
    done = publish(hub, tmp_path, "--space", "false")
    assert done.returncode == 0, done.stderr
    first = hub.repos["models/me/pose"].last
    files = hub.files("model", "me/pose")
    shipped = {path.name for path in EMBEDDED_CHECKPOINT.iterdir() if path.is_file()}
    assert shipped | {"handler.py", "requirements.txt", "LICENSE", "NOTICE"} <= files.keys()
    assert "metrics/mpjpe/mpjpe.py" in files
    assert len(hub.uploads) == len(set(hub.uploads)) > 0

    expected = pipeline("unipose")("A person kneels.", task="text-to-pose")["poses"][0]
    kinds = ["UniPoseModel", "UniPoseProcessor"]
    *found, pose = read(hub, tmp_path, "main")
    assert found == kinds
    assert abs(expected - pose).max() < 1e-5

    uploads = list(hub.uploads)
    assert publish(hub, tmp_path, "--space", "false").returncode == 0
    assert (hub.uploads, hub.repos["models/me/pose"].last) == (uploads, first)

    assert publish(hub, tmp_path, "--space", "false", "--base_model", "me/base").returncode == 0
    assert hub.uploads == uploads
    assert hub.repos["models/me/pose"].last != first
    assert ModelCard(files["README.md"].decode()).data.base_model is None
    assert ModelCard(hub.files("model", "me/pose")["README.md"].decode()).data.base_model == "me/base"
    assert read(hub, tmp_path, first)[:2] == kinds


@pytest.mark.slow
def test_an_interrupted_push_is_repeated(hub: Hub, tmp_path: Path, tiny_checkpoint: Path) -> None:
    """Nothing is published half; the same command goes on."""
    words = ("--model", str(tiny_checkpoint), "--space", "false")
    hub.fail_uploads = 1
    assert publish(hub, tmp_path, *words).returncode != 0
    assert hub.repos["models/me/pose"].files == {}
    done = publish(hub, tmp_path, *words)
    assert done.returncode == 0, done.stderr
    assert "model.safetensors" in hub.files("model", "me/pose")
    assert len(hub.uploads) == len(set(hub.uploads))


@pytest.mark.slow
def test_the_dataset_is_published_and_linked(
    hub: Hub, tmp_path: Path, tiny_checkpoint: Path, tiny_corpus: Path
) -> None:
    corpus = tmp_path / "corpus"
    shutil.copytree(tiny_corpus, corpus)
    (corpus / "README.md").write_text("---\nlicense: apache-2.0\n---\n# A corpus\n")
    words = ("--model", str(tiny_checkpoint), "--dataset", str(corpus), "--space", "false")
    done = publish(hub, tmp_path, *words)
    assert done.returncode == 0, done.stderr
    files = hub.files("dataset", "me/pose-corpus")
    assert any(path.endswith(".parquet") for path in files)
    card = ModelCard(hub.files("model", "me/pose")["README.md"].decode())
    assert card.data.datasets == ["me/pose-corpus"]
    assert "https://huggingface.co/datasets/me/pose-corpus" in card.text


@pytest.mark.slow
def test_a_dry_run_uploads_nothing(hub: Hub, tmp_path: Path) -> None:
    done = publish(hub, tmp_path, "--space", "false", "--dry_run")
    assert done.returncode == 0, done.stderr
    assert hub.repos == {}
    assert "model me/pose" in done.stdout
    assert "model.safetensors" in done.stdout
    assert 'model="me/pose"' in done.stdout


def test_the_card_is_rounded_renamed_and_linked() -> None:
    names = Names("me/pose", "me/pose-corpus", "me/pose-space", "me/base")
    card, original = model_card(EMBEDDED_CHECKPOINT, names), ModelCard.load(EMBEDDED_CHECKPOINT / "README.md")
    assert len(card.data.eval_results) == len(original.data.eval_results)
    for result, before in zip(card.data.eval_results, original.data.eval_results):
        assert result.metric_value == pytest.approx(before.metric_value, rel=1e-3)
        assert len(f"{result.metric_value}".replace(".", "").lstrip("0")) <= 5
    assert "unipose-tiny" not in card.text
    assert (card.data.pipeline_tag, card.data.base_model) == ("image-text-to-text", "me/base")
    for link in ("spaces/me/pose-space", "datasets/me/pose-corpus"):
        assert f"https://huggingface.co/{link}" in card.text
    assert "NOTICE" in card.text
    assert model_card(EMBEDDED_CHECKPOINT, names).text == card.text


def test_a_card_that_was_published_is_published_again_alike(tmp_path: Path) -> None:
    names = Names("me/pose", space="me/pose-space")
    card = model_card(EMBEDDED_CHECKPOINT, names)
    card.save(tmp_path / "README.md")
    assert model_card(tmp_path, names).content.strip() == card.content.strip()


def test_incomplete_folders_are_refused(tiny_checkpoint: Path, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="there is no model folder"):
        check_model_folder(tmp_path / "none")
    for name, expected in (
        ("model.safetensors", r"lacks \*.safetensors"),
        ("processor_config.json", "lacks processor_config.json"),
        ("modeling_unipose.py", "lacks the code modeling_unipose.py"),
        ("pipeline_unipose.py", "lacks the code pipeline_unipose.py"),
    ):
        folder = tmp_path / name
        shutil.copytree(tiny_checkpoint, folder)
        (folder / name).unlink()
        with pytest.raises(ValueError, match=expected):
            check_model_folder(folder)
    folder = tmp_path / "shards"
    shutil.copytree(tiny_checkpoint, folder)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": "model-2.safetensors"}}))
    with pytest.raises(ValueError, match=r"lacks the shards model-2\.safetensors"):
        check_model_folder(folder)


@pytest.mark.parametrize("name", ["pose", "a/b/c", "me/po se"])
def test_a_wrong_name_is_refused(hub: Hub, tmp_path: Path, name: str) -> None:
    done = run(["-m", "unipose.cli", "publish", name], hub, tmp_path)
    assert done.returncode == 2
    assert name in done.stderr
    assert hub.repos == {}


def test_the_space_has_all_that_it_imports(tmp_path: Path) -> None:
    """Its own files and the package beside them; the package is imported from there."""
    write_space_folder(tmp_path / "space", Names("me/pose", space="me/pose-space"))
    files = {path.relative_to(tmp_path / "space").as_posix() for path in (tmp_path / "space").rglob("*")}
    assert {path.name for path in SPACE.iterdir() if path.suffix in (".py", ".js")} <= files
    assert {"requirements.txt", "README.md", "unipose/embedded/model.safetensors", "LICENSE", "NOTICE"} <= files
    head = yaml.safe_load((tmp_path / "space" / "README.md").read_text(encoding="utf-8").split("---")[1])
    assert head["models"] == ["me/pose"]
    assert head["app_file"] == "app.py"
    code = "import unipose.pipeline_unipose, unipose.processing.rendering; print(unipose.__file__)"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path / "space", capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(str(tmp_path))


@pytest.mark.parametrize("there", [False, True])
def test_the_space_takes_the_files_for_photos_along(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, there: bool
) -> None:
    cards, package_folder = tmp_path / "model_cards", folders.package_folder
    shutil.copytree(SPACE, cards / "space", ignore=shutil.ignore_patterns("mediapipe"))
    if there:
        (cards / "space" / "mediapipe" / "wasm").mkdir(parents=True)
        (cards / "space" / "mediapipe" / "wasm" / "a.wasm").write_bytes(b"wasm")
    find = {"model_cards": str(cards)}
    monkeypatch.setattr(folders, "package_folder", lambda part: find.get(part) or package_folder(part))
    write_space_folder(tmp_path / "written", Names("me/pose", space="me/pose-space"))
    found = [path.relative_to(tmp_path / "written").as_posix() for path in (tmp_path / "written").rglob("*.wasm")]
    assert found == (["mediapipe/wasm/a.wasm"] if there else [])
    card = (tmp_path / "written" / "README.md").read_text(encoding="utf-8")
    assert ("mediapipe/NOTICE" in card) == there
    assert ("which is not here" in card) != there


@pytest.mark.slow
def test_the_handler_answers_beside_the_weights(hub: Hub, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(EMBEDDED_CHECKPOINT, folder)
    shutil.copyfile(SPACE.parent / "handler.py", folder / "handler.py")
    done = run(["-c", HANDLE, str(folder)], hub, tmp_path)
    assert done.returncode == 0, done.stderr
    refused, answer, text = json.loads(done.stdout.splitlines()[-1])
    assert len(refused) == 6
    expected = pipeline("unipose")("A person kneels.", task="text-to-pose")
    assert abs(expected["poses"][0] - answer["poses"][0]).max() < 1e-5
    assert text["text"] == pipeline("unipose")(poses=expected["poses"][0], task="pose-to-text")["text"]

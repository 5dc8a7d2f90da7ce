"""ONNX files of the embedded model: the codes of `generate`, the poses of the tokenizer, a sample without torch."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import roma
import torch
from browser import open_browser, open_page
from onnx import numpy_helper
from tiny_models import tiny_model
from tokenizers import Tokenizer
from transformers import AutoModelForImageTextToText, AutoProcessor

from unipose.embedded_checkpoint import find_embedded_checkpoint
from unipose.processing.pose_features import poses_to_pose_values
from unipose.training.evaluation.human_words import load_edits, load_sentences
from unipose.training.named_poses.archetypes import archetype_poses
from unipose.training.tools.export_onnx import ExportOnnxArguments, GeneratePose, export, halve_weights


pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "models" / "onnx.md"
# What viewer/vendor_onnxruntime.py writes.
RUNTIME = ROOT / "viewer" / "onnxruntime"
# Radians and unitless: both sides compute in single precision.
TOLERANCE = 1e-5


@pytest.fixture(scope="module")
def model():
    return AutoModelForImageTextToText.from_pretrained(find_embedded_checkpoint()).eval()


@pytest.fixture(scope="module")
def processor():
    return AutoProcessor.from_pretrained(find_embedded_checkpoint())


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("exported") / "onnx"
    export(ExportOnnxArguments(str(find_embedded_checkpoint()), str(path)))
    return path


def run(folder: Path, name: str, **inputs: torch.Tensor) -> torch.Tensor:
    session = onnxruntime.InferenceSession(folder / f"{name}.onnx", providers=["CPUExecutionProvider"])
    (output,) = session.run(None, {key: value.numpy() for key, value in inputs.items()})
    return torch.from_numpy(output)


def prompts_of(processor, contents: list, **kwargs) -> dict[str, torch.Tensor]:
    chats = [[{"role": "user", "content": content}] for content in contents]
    return processor.apply_chat_template(
        chats, tokenize=True, return_dict=True, return_tensors="pt", generation_mode="pose", **kwargs
    )


def generated_codes(model, prompts: dict[str, torch.Tensor]) -> torch.Tensor:
    ids = model.generate(**prompts, generation_mode="pose")
    return ids[:, prompts["input_ids"].shape[1] : -1] - model.config.pose_code_start_id


def test_descriptions_have_the_codes_of_generate(folder, model, processor) -> None:
    """Batches of rows of many lengths, and a single row."""
    texts = [sentence.text for sentence in load_sentences()]
    for rows in (texts[:1], texts[1:25], texts[25:]):
        prompts = prompts_of(processor, rows)
        if len(rows) > 1:
            assert not prompts["attention_mask"].all(), "the shorter rows must have padding"
        inputs = {name: prompts[name] for name in ("input_ids", "attention_mask")}
        assert torch.equal(run(folder, "generate_pose", **inputs), generated_codes(model, prompts))


def test_edits_have_the_codes_of_generate(folder, model, processor) -> None:
    """The codes of the source pose stand in the prompt as text, as in prompts.json."""
    edits = load_edits()[:16]
    poses = list(archetype_poses([edit.pose for edit in edits]))
    texts = [edit.text for edit in edits]
    blocks = [
        [{"type": "pose", "pose": pose}, {"type": "text", "text": f" {text}"}] for pose, text in zip(poses, texts)
    ]
    expected = generated_codes(model, prompts_of(processor, blocks))

    codes = run(folder, "encode_pose", pose_values=poses_to_pose_values(poses))
    settings = json.loads((folder / "prompts.json").read_text("utf-8"))
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    for row, text, wanted in zip(codes, texts, expected):
        spelled = "".join(settings["pose_code"].replace("{code}", str(code)) for code in row.tolist())
        prompt = settings["prompts"]["pose-edit"].replace("{codes}", spelled).replace("{text}", text)
        ids = torch.tensor([tokenizer.encode(prompt, add_special_tokens=False).ids])
        got = run(folder, "generate_pose", input_ids=ids, attention_mask=torch.ones_like(ids))
        assert torch.equal(got[0], wanted)
        assert (got[0] == row).any(), "an edit keeps codes of its source"


def test_the_pose_tokenizer_has_the_same_numbers(folder, model) -> None:
    codes = torch.randint(0, 2048, (40, 24), generator=torch.Generator().manual_seed(0))
    decoded = run(folder, "decode_pose", pose_codes=codes)
    torch.testing.assert_close(decoded, model.decode_pose_codes(codes), atol=TOLERANCE, rtol=0)
    torch.manual_seed(0)
    values = roma.random_rotmat(200 * 22).view(200, 22, 3, 3)[..., :2, :].flatten(-2)
    encoded = run(folder, "encode_pose", pose_values=values)
    # A feature halfway between two codes may be rounded either way.
    assert (encoded == model.model.pose_tokenizer.encode(values)).float().mean() > 0.999
    for name, inputs in (("decode_pose", {"pose_codes": codes[:1]}), ("encode_pose", {"pose_values": values[:1]})):
        assert len(run(folder, name, **inputs)) == 1


def test_files_are_half_as_large_as_single_precision(folder, model) -> None:
    """The embedded weights come from half precision: all but the pose tokenizer's are stored so."""
    weights = onnx.load(folder / "generate_pose.onnx").graph.initializer
    language = sum(weight.numel() for weight in model.model.language_model.parameters())
    halved = sum(np.prod(weight.dims) for weight in weights if weight.data_type == onnx.TensorProto.FLOAT16)
    assert halved >= language
    assert (folder / "generate_pose.onnx").stat().st_size < 2.5 * language


def test_halving_changes_no_number() -> None:
    exact, inexact = np.arange(2048, dtype=np.float32), np.full(2048, 0.1, dtype=np.float32)
    too_large = np.full(2048, 1e6, dtype=np.float32)
    named = {"exact": exact, "inexact": inexact, "too_large": too_large}
    nodes = [
        onnx.helper.make_node("Add", ["exact", "inexact"], ["sum"]),
        onnx.helper.make_node("Add", ["sum", "too_large"], ["total"]),
    ]
    output = onnx.helper.make_tensor_value_info("total", onnx.TensorProto.FLOAT, [2048])
    initializers = [numpy_helper.from_array(values, name) for name, values in named.items()]
    graph = onnx.helper.make_graph(nodes, "sum", [], [output], initializers)
    opset = onnx.helper.make_opsetid("", 20)
    halved = halve_weights(onnx.helper.make_model(graph, opset_imports=[opset], ir_version=10))
    session = onnxruntime.InferenceSession(halved.SerializeToString(), providers=["CPUExecutionProvider"])
    assert (session.run(None, {})[0] == exact + inexact + too_large).all()
    kinds = {weight.name: weight.data_type for weight in halved.graph.initializer}
    assert kinds.pop("exact_half") == onnx.TensorProto.FLOAT16
    assert set(kinds.values()) == {onnx.TensorProto.FLOAT}
    assert len(kinds) == 2


@pytest.mark.parametrize("change", [{"pose_refinement_steps": 2}, {"pose_attention": "causal"}])
def test_a_model_of_several_forwards_is_refused(change) -> None:
    model = tiny_model(vision=None, pose_vision=False)
    for name, value in change.items():
        setattr(model.config if name == "pose_attention" else model.generation_config, name, value)
    with pytest.raises(ValueError, match="one graph is one forward"):
        GeneratePose(model)


def test_the_sample_of_the_docs_runs_without_torch(folder, model, processor, tmp_path) -> None:
    """In a process of its own; its poses are the model's."""
    (code,) = re.findall(r"```python\n(.+?)```", PAGE.read_text("utf-8"), re.DOTALL)
    (tmp_path / "onnx").symlink_to(folder)
    script = tmp_path / "sample.py"
    script.write_text(f"{code}\nimport sys\nprint(sorted(sys.modules))\n", encoding="utf-8")
    done = subprocess.run([sys.executable, script.name], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    imported = {name.partition(".")[0] for name in re.findall(r"'([\w.]+)'", done.stdout.splitlines()[-1])}
    assert {"onnxruntime", "tokenizers", "numpy"} <= imported
    assert not {"torch", "transformers", "unipose", "onnx"} & imported
    texts = re.findall(r'"(A person [^"]+)"', code)
    poses = np.load(tmp_path / "poses.npy")
    expected = model.decode_pose_codes(generated_codes(model, prompts_of(processor, texts)))
    np.testing.assert_allclose(poses, expected.numpy(), atol=TOLERANCE)
    assert len(texts) == 2


@contextmanager
def served(path: Path) -> Iterator[str]:
    """The address of a folder's files."""

    class Quiet(SimpleHTTPRequestHandler):
        extensions_map = {**SimpleHTTPRequestHandler.extensions_map, ".mjs": "text/javascript"}  # noqa: RUF012

        def log_message(self, *arguments: Any) -> None:
            """Nothing is printed."""

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(path))) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/"
        server.shutdown()


BROWSER_PAGE = """<body><script type="module">
import { loadTextToPose } from "./onnxruntime/text_to_pose.mjs";
window.loadTextToPose = loadTextToPose;
window.answer = await loadTextToPose("onnx");
document.body.dataset.ready = "true";
</script></body>"""


def test_a_browser_gives_the_same_poses(folder, model, processor, tmp_path) -> None:
    """Offline, in headless Chromium."""
    if not RUNTIME.is_dir() and not os.environ.get("CI"):
        pytest.skip("needs onnxruntime-web: python viewer/vendor_onnxruntime.py viewer/onnxruntime")
    (tmp_path / "onnx").symlink_to(folder)
    (tmp_path / "onnxruntime").symlink_to(RUNTIME)
    (tmp_path / "index.html").write_text(BROWSER_PAGE, encoding="utf-8")
    texts = [sentence.text for sentence in load_sentences()[:20]]
    offline = "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1"
    caught = "call => call().then(() => '', error => error.message)"
    with (
        served(tmp_path) as address,
        open_browser("--no-sandbox", offline) as browser,
        open_page(browser, address, "body[data-ready=true]") as page,
    ):
        poses = [page.evaluate("text => answer(text).then(pose => [...pose])", text) for text in texts]
        typed = page.evaluate("text => answer(text).then(pose => [...pose])", f"<pose_end>{texts[0]}")
        assert "404" in page.evaluate(f"({caught})(() => loadTextToPose('nowhere'))")
        assert "empty" in page.evaluate(f"({caught})(() => answer(' '))")
    rows = [generated_codes(model, prompts_of(processor, [text]))[0] for text in texts]
    expected = model.decode_pose_codes(torch.stack(rows))
    got = torch.tensor(poses).view(-1, 22, 3, 3)
    torch.testing.assert_close(got, expected, atol=TOLERANCE, rtol=0)
    assert typed != poses[0], "the rest of a typed control token is text"
    assert np.isfinite(typed).all()

"""What a push uploads, with the Hub's interface replaced: the card of the checkpoint, and all files."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from huggingface_hub import HfApi, ModelCard
from transformers import pipeline

import unipose
from unipose import UniPoseForConditionalGeneration, UniPoseProcessor
from unipose.embedded_checkpoint import EMBEDDED_CHECKPOINT


MEASURED = ModelCard.load(EMBEDDED_CHECKPOINT / "README.md")
MEASURED_ROW = next(line for line in MEASURED.text.splitlines() if line.startswith("| pose tokenizer | MPJPE"))


class FakeHub(dict):
    """Files of repositories by name: {repo_id: {path: content}}."""

    def create_repo(self, repo_id: str, **_: object) -> SimpleNamespace:
        self.setdefault(repo_id, {})
        return SimpleNamespace(repo_id=repo_id)

    def create_commit(self, repo_id: str, operations: list, **_: object) -> str:
        for operation in operations:
            self[repo_id][operation.path_in_repo] = Path(operation.path_or_fileobj).read_bytes()
        return repo_id

    def card(self, repo_id: str) -> ModelCard:
        return ModelCard(self[repo_id]["README.md"].decode())


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> FakeHub:
    fake = FakeHub()
    monkeypatch.setattr(HfApi, "create_repo", lambda _, *args, **kwargs: fake.create_repo(*args, **kwargs))
    monkeypatch.setattr(HfApi, "create_commit", lambda _, *args, **kwargs: fake.create_commit(*args, **kwargs))
    load = ModelCard.load

    def load_pushed(name: object, **kwargs: object) -> ModelCard:
        pushed = fake.get(str(name), {}).get("README.md")
        return load(name, **kwargs) if pushed is None else ModelCard(pushed.decode())

    monkeypatch.setattr(ModelCard, "load", load_pushed)
    return fake


@pytest.fixture(scope="module")
def embedded() -> UniPoseForConditionalGeneration:
    return UniPoseForConditionalGeneration.from_pretrained(EMBEDDED_CHECKPOINT)


@pytest.fixture(scope="module")
def processor() -> UniPoseProcessor:
    return UniPoseProcessor.from_pretrained(EMBEDDED_CHECKPOINT)


def test_a_push_carries_the_measured_card(hub: FakeHub, embedded, processor) -> None:
    """By the model, the processor and the pipeline; and the three together upload a whole checkpoint."""
    embedded.push_to_hub("me/model", tags=["mine"])
    processor.push_to_hub("me/processor")
    pipeline("unipose", model=embedded, processor=processor).push_to_hub("me/pipeline")
    for name in ("me/model", "me/processor", "me/pipeline"):
        card = hub.card(name)
        assert MEASURED_ROW in card.text
        assert len(card.data.eval_results) == len(MEASURED.data.eval_results)
        assert card.data.pipeline_tag == "image-text-to-text"
    assert 'model="me/model"' in hub.card("me/model").text
    assert "unipose-tiny" not in hub["me/model"]["README.md"].decode()
    assert hub.card("me/model").data.tags == [*MEASURED.data.tags, "mine"]
    shipped = {file.name for file in EMBEDDED_CHECKPOINT.iterdir()}
    assert set(hub["me/pipeline"]) == shipped
    assert set(hub["me/model"]) | set(hub["me/processor"]) == shipped


def test_what_was_pushed_loads(hub: FakeHub, embedded, processor, tmp_path: Path) -> None:
    pipe = pipeline("unipose", model=embedded, processor=processor)
    pipe.push_to_hub("me/pipeline")
    for name, content in hub["me/pipeline"].items():
        (tmp_path / name).write_bytes(content)
    again = pipeline(model=str(tmp_path))
    assert type(again) is unipose.UniPosePipeline
    question = {"text": "A person kneels.", "task": "text-to-pose"}
    assert abs(again(**question)["poses"][0] - pipe(**question)["poses"][0]).max() < 1e-4


def test_figures_of_other_weights_are_not_uploaded(hub: FakeHub, processor) -> None:
    """Weights that were trained further have no figures, whatever the order of the pushes."""
    model = UniPoseForConditionalGeneration.from_pretrained(EMBEDDED_CHECKPOINT)
    with torch.no_grad():
        model.model.pose_query_embeddings.weight[0, 0] += 1.0
    processor.push_to_hub("me/first")
    model.push_to_hub("me/first")
    model.push_to_hub("me/second")
    processor.push_to_hub("me/second")
    for name in ("me/first", "me/second"):
        card = hub.card(name)
        assert MEASURED_ROW not in card.text
        assert "have not been evaluated" in card.text
        assert "## Limitations" in card.text
        assert card.data.eval_results is None
        assert card.data.license == "apache-2.0"


def test_precision_does_not_change_the_figures(hub: FakeHub) -> None:
    model = UniPoseForConditionalGeneration.from_pretrained(EMBEDDED_CHECKPOINT, dtype=torch.bfloat16)
    model.push_to_hub("me/half")
    assert MEASURED_ROW in hub.card("me/half").text


def test_a_card_of_the_repository_stays(hub: FakeHub, embedded, processor) -> None:
    hub["me/own"] = {"README.md": b"---\nlicense: mit\n---\n# Mine\n"}
    embedded.push_to_hub("me/own")
    processor.push_to_hub("me/own")
    assert "# Mine" in hub.card("me/own").text
    assert MEASURED_ROW not in hub.card("me/own").text


def test_models_without_a_card_get_the_placeholder(hub: FakeHub, tiny_checkpoint: Path) -> None:
    UniPoseForConditionalGeneration.from_pretrained(tiny_checkpoint).push_to_hub("me/tiny")
    UniPoseProcessor.from_pretrained(tiny_checkpoint).push_to_hub("me/tiny")
    assert "automatically generated" in hub.card("me/tiny").text

"""The model card holds the results and can be loaded from its file."""

from huggingface_hub import ModelCard
from tiny_checkpoint import save_tiny_checkpoint

from unipose.training.tools.write_card import write_card


REPORT = {
    "frames": 7,
    "dataset": {"type": "held-out", "name": "held-out clips"},
    "metrics": {
        "text-to-pose": {
            "model": {"mpjpe_mm": 123.4, "posecode_precision": 0.51234},
            "mean training pose": {"mpjpe_mm": 222.2},
        }
    },
    "intervals": {"text-to-pose": {"model": {"mpjpe_mm": [100.0, 140.0], "posecode_precision": [0.4, 0.6]}}},
}


def test_card_holds_the_results(tmp_path):
    save_tiny_checkpoint(tmp_path)
    write_card(tmp_path, REPORT, "somebody/unipose-tiny")
    card = ModelCard.load(tmp_path / "README.md")
    assert "123.4 [100.0, 140.0]" in card.text
    assert "mean training pose 222.2" in card.text
    assert "7 frames" in card.text
    results = {result.metric_type: result.metric_value for result in card.data.eval_results}
    assert results == {"mpjpe_mm": 123.4, "posecode_precision": 51.2}, "as printed"
    assert card.data.license == "apache-2.0"

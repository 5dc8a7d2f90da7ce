"""Training follows the authors' code: the pose tokenizer's codebook and gradients, the model's loss and gradients."""

import re

import pytest
import torch
from golden import load, load_json
from original import load_converted, processor, recorded_calls, recorded_pixels
from torch import nn

from unipose import UniPoseVQVAE
from unipose.processing.pose_features import rotmat_to_rotation_6d
from unipose.training.trainer.collator import UniPoseDataCollator
from unipose.vector_quantizer import VectorQuantizer


CLOSE = {"atol": 1e-4, "rtol": 0}
# What the recorded training step weighs: mean squared rotation error, and the commitment.
RECORDED_COMMITMENT_WEIGHT = 0.02
TRAINING_CASES = ("text_and_pose_out", "edit_and_difference", "image2pose_and_text2pose")


@pytest.fixture
def pose_tokenizer() -> UniPoseVQVAE:
    return load_converted().model.pose_tokenizer


# The pose tokenizer.


@torch.no_grad()
def test_encoder_codes_and_decoder(pose_tokenizer: UniPoseVQVAE):
    recorded = load("vq_tiny_io")
    values = rotmat_to_rotation_6d(recorded["body_pose_rotmat"])
    torch.testing.assert_close(values, recorded["pose_6d"])
    torch.testing.assert_close(pose_tokenizer.encode_features(values).mT, recorded["encoder_out"], **CLOSE)
    assert torch.equal(pose_tokenizer.encode(values), recorded["ids"])
    for ids, rotmats in (("ids", "decode_rotmat"), ("rand_ids", "rand_decode_rotmat")):
        torch.testing.assert_close(pose_tokenizer.decode(recorded[ids]), recorded[rotmats], **CLOSE)
    decoded = pose_tokenizer.decoder(pose_tokenizer.quantizer.codes_to_features(recorded["ids"]).mT).mT
    torch.testing.assert_close(decoded, recorded["decode_6d"], **CLOSE)


@torch.no_grad()
def test_zeros_in_place_of_a_pose(pose_tokenizer: UniPoseVQVAE):
    """What the original's command line encodes where there is no pose."""
    recorded = load("vq_tiny_io")
    values = torch.zeros(1, 22, 6)
    torch.testing.assert_close(pose_tokenizer.encode_features(values).mT, recorded["zero_encoder_out"], **CLOSE)
    assert torch.equal(pose_tokenizer.encode(values), recorded["zero_pose_ids"])


@torch.no_grad()
def test_forward_in_evaluation_mode(pose_tokenizer: UniPoseVQVAE):
    recorded = load("vq_tiny_train")
    values = rotmat_to_rotation_6d(recorded["A.input"])
    output = pose_tokenizer.eval()(values)
    torch.testing.assert_close(output.commitment_loss, recorded["A.commit_loss"], **CLOSE)
    torch.testing.assert_close(output.perplexity, recorded["A.perplexity"], **CLOSE)
    torch.testing.assert_close(output.reconstruction, recorded["A.pred_rotmat"], **CLOSE)
    quantized = pose_tokenizer.quantizer(pose_tokenizer.encode_features(values)).quantized
    torch.testing.assert_close(quantized.mT, recorded["A.quantized"], **CLOSE)


def first_rows(self: VectorQuantizer, rows: torch.Tensor) -> torch.Tensor:
    """The recordings were made with the batch in order, where training takes rows at random."""
    return rows[: self.codebook_size]


def test_training_steps(pose_tokenizer: UniPoseVQVAE, monkeypatch: pytest.MonkeyPatch):
    """Three steps: loss, gradients and codebook. The original starts with a new codebook, and so does this test."""
    monkeypatch.setattr(VectorQuantizer, "random_rows", first_rows)
    recorded, quantizer = load("vq_tiny_train"), pose_tokenizer.quantizer
    quantizer.initialized.fill_(False)
    pose_tokenizer.requires_grad_(True).train()
    for step in ("C0", "C1", "C2"):
        pose_tokenizer.zero_grad()
        features = pose_tokenizer.encode_features(rotmat_to_rotation_6d(recorded[f"{step}.input"]))
        quantized = quantizer(features)
        reconstruction = pose_tokenizer.decode_features(quantized.quantized)
        error = nn.functional.mse_loss(reconstruction, recorded[f"{step}.target"])
        loss = error + RECORDED_COMMITMENT_WEIGHT * quantized.commitment_loss
        loss.backward()
        encoder, decoder = pose_tokenizer.encoder, pose_tokenizer.decoder
        got = {
            "loss": loss,
            "commit_loss": quantized.commitment_loss,
            "perplexity": quantized.perplexity,
            "quantized": quantized.quantized.mT,
            "pred_rotmat": reconstruction,
            "codebook_after": quantizer.codebook,
            "code_sum": quantizer.ema_sum,
            "code_count": quantizer.ema_count,
            "grad.enc0": encoder.input_projection.weight.grad,
            "grad.dec0": decoder.input_projection.weight.grad,
            "grad.declast_bias": decoder.output_projection.bias.grad,
        }
        for name, value in got.items():
            torch.testing.assert_close(value, recorded[f"{step}.{name}"], msg=lambda m, n=name: f"{n}: {m}", **CLOSE)


def make_quantizer(recorded: dict[str, torch.Tensor], case: str) -> VectorQuantizer:
    quantizer = VectorQuantizer(64, 16, decay=0.99, dead_code_threshold=1.0)
    if f"{case}.codebook_before" in recorded:
        quantizer.codebook.copy_(recorded[f"{case}.codebook_before"])
        quantizer.ema_sum.copy_(recorded[f"{case}.code_sum_before"])
        quantizer.ema_count.copy_(recorded[f"{case}.code_count_before"])
        quantizer.initialized.fill_(True)
    return quantizer.train()


@pytest.mark.parametrize("case", ["D", "E", "F"])
def test_codebook_updates(case: str, monkeypatch: pytest.MonkeyPatch):
    """D: dead codes become rows of the batch; E: of a batch with too few rows, which are repeated and moved apart; F:
    the first step of all. The noise of E and F is the recorded one."""
    recorded = load("vq_tiny_train")
    names = {"E": ["randn"], "F": ["randn_init", "randn_update"]}.get(case, [])
    noise = iter([recorded[f"{case}.{name}"] for name in names])
    monkeypatch.setattr(torch, "randn_like", lambda rows: next(noise))
    monkeypatch.setattr(torch, "randperm", lambda count, device=None: torch.arange(count))
    quantizer = make_quantizer(recorded, case)
    output = quantizer(recorded[f"{case}.x"].mT)
    got = {
        "quantized": output.quantized.mT,
        "commit_loss": output.commitment_loss,
        "perplexity": output.perplexity,
        "codebook_after": quantizer.codebook,
        "code_sum_after": quantizer.ema_sum,
        "code_count_after": quantizer.ema_count,
    }
    for name, value in got.items():
        torch.testing.assert_close(value, recorded[f"{case}.{name}"], msg=lambda m, n=name: f"{n}: {m}", **CLOSE)
    if f"{case}.ids" in recorded:
        assert torch.equal(output.pose_codes.flatten(), recorded[f"{case}.ids"])


# The language model.


def blocks(text: str) -> list[dict[str, str]]:
    kinds = {"<image>": "image", "<pose>": "pose", "<poseA>": "pose", "<poseB>": "pose"}
    return [
        {"type": kinds[piece]} if piece in kinds else {"type": "text", "text": piece}
        for piece in re.split("(<image>|<pose[AB]?>)", text)
        if piece
    ]


def training_batch(name: str, pose_tokenizer: UniPoseVQVAE) -> dict[str, torch.Tensor]:
    """The recorded rows by our collator, with the recorded pixels; `<pose>` is pose A, as in the original."""
    poses = load("model_poses")
    case = load_json("train_cases")["cases"][name]
    rows = []
    for index, (task, caption) in enumerate(zip(case["tasks"], case["captions"])):
        question, answer = (task[side].replace("<caption>", caption) for side in ("input", "output"))
        letters = ["B" if tag == "<poseB>" else "A" for tag in re.findall("<pose[AB]?>", question + answer)]
        rotmats = torch.stack([poses[f"pose{letter}_rotmat"][index] for letter in letters])
        messages = [{"role": "user", "content": blocks(question)}, {"role": "assistant", "content": blocks(answer)}]
        codes = pose_tokenizer.encode(rotmat_to_rotation_6d(rotmats)).tolist()
        rows.append({"messages": messages, "pose_codes": codes, "images": []})
    batch = UniPoseDataCollator(processor())(rows)
    images = sum(task["input"].count("<image>") for task in case["tasks"])
    return batch | (recorded_pixels(images) if images else {})


@pytest.mark.parametrize("name", TRAINING_CASES)
def test_loss_logits_and_gradients(name: str):
    """The recorded labels ask for pose-end too: it is never scored, but it counts in the divisor."""
    recorded, model = load(f"train_{name}"), load_converted()
    config = model.config
    batch = training_batch(name, model.model.pose_tokenizer)
    is_query = batch["input_ids"] == config.pose_query_token_id
    expected = recorded["labels"].masked_fill(recorded["labels"] == config.pose_end_token_id, -100)
    assert torch.equal(batch["labels"], expected)
    del batch["shift_labels"]
    batch["labels"] = recorded["labels"]
    with recorded_calls(model) as calls:
        loss = model(**batch).loss
    loss.backward()

    torch.testing.assert_close(loss, recorded["loss"], **CLOSE)
    attended = batch["attention_mask"].bool()
    (call,) = calls
    torch.testing.assert_close(call.inputs_embeds[attended], recorded["inputs_embeds"][attended], **CLOSE)
    rows = recorded["mask4d_allowed"] if "mask4d_allowed" in recorded else recorded["mask4d_allowed_lastrows"]
    assert call.attention_mask is not None
    last = call.attention_mask[:, :, -rows.shape[2] :]
    asking = attended[:, -rows.shape[2] :]
    assert torch.equal(last.bool().squeeze(1)[asking], rows.bool().squeeze(1)[asking])
    for row in is_query.any(dim=1).nonzero().flatten().tolist():
        first = int(is_query[row].nonzero()[0])
        step = call.logits[row, first - 1 : first + config.num_pose_tokens + 1]
        torch.testing.assert_close(step, recorded[f"pose_logits_{row}"], **CLOSE)
    torch.testing.assert_close(model.lm_head.weight.grad, recorded["grad_lm_head"], **CLOSE)
    if "grad_embed_tokens" in recorded:
        # In the original the queries are the last rows of the embedding.
        got = model.get_input_embeddings().weight.grad.clone()
        got[-config.num_pose_tokens :] += model.model.pose_query_embeddings.weight.grad
        torch.testing.assert_close(got, recorded["grad_embed_tokens"], **CLOSE)

"""The pose tokenizer: shapes, quantization, the moving codebook, save and resume."""

import pytest
import roma
import torch
from transformers import AutoModel

from unipose import UniPoseVQVAE, UniPoseVQVAEConfig
from unipose.vector_quantizer import VectorQuantizer


def tiny_vqvae(num_pose_tokens=8, **kwargs) -> UniPoseVQVAE:
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "codebook_size": 32, "codebook_dim": 8} | kwargs
    return UniPoseVQVAE(UniPoseVQVAEConfig(num_pose_tokens=num_pose_tokens, **sizes))


def random_poses(count, seed=0):
    torch.manual_seed(seed)
    return roma.random_rotmat((count, 22))[..., :2, :].flatten(-2)


@pytest.mark.parametrize("num_pose_tokens", [8, 20, 80])
def test_shapes_follow_the_config_and_outputs_are_rotations(num_pose_tokens):
    model, poses = tiny_vqvae(num_pose_tokens).eval(), random_poses(5)
    codes = model.encode(poses)
    assert codes.shape == (5, num_pose_tokens)
    rotmats = model.decode(codes)
    assert rotmats.shape == (5, 22, 3, 3)
    torch.testing.assert_close(rotmats @ rotmats.mT, torch.eye(3).expand(5, 22, 3, 3), atol=1e-5, rtol=0)
    torch.testing.assert_close(torch.linalg.det(rotmats), torch.ones(5, 22), atol=1e-5, rtol=0)
    assert torch.equal(model(poses).pose_codes, codes)


def test_release_lengths_are_the_papers():
    config = UniPoseVQVAEConfig()
    assert config.encoder_lengths == [40, 80, 160]
    assert config.decoder_lengths == [65, 51, 36, 22]


def test_every_joint_reaches_the_codes_of_a_short_tokenizer():
    model = tiny_vqvae(8).eval()
    poses = random_poses(1).requires_grad_()
    model.encode_features(poses).square().sum().backward()
    assert (poses.grad.abs().sum(dim=-1) > 0).all()


def test_nearest_equals_a_plain_search():
    quantizer = VectorQuantizer(32, 8, 0.99, 1.0)
    quantizer.codebook.normal_()
    features = torch.randn(3, 5, 8)
    plain = [
        [min(range(32), key=lambda k: float((x - quantizer.codebook[k]).square().sum())) for x in r] for r in features
    ]
    assert quantizer.nearest(features).tolist() == plain


def test_update_equals_the_moving_average_by_hand():
    torch.manual_seed(0)
    quantizer = VectorQuantizer(4, 2, 0.9, 0.5).train()
    quantizer.initialize(torch.randn(20, 2))
    codebook, total, count = quantizer.codebook.clone(), quantizer.ema_sum.clone(), quantizer.ema_count.clone()
    features = torch.randn(1, 30, 2)
    codes = quantizer.nearest(features)[0]
    quantizer(features)
    for code in range(4):
        rows = features[0][codes == code]
        total[code] = 0.9 * total[code] + 0.1 * rows.sum(0)
        count[code] = 0.9 * count[code] + 0.1 * len(rows)
        codebook[code] = total[code] / count[code]
    alive = count >= 0.5
    assert alive.any()
    torch.testing.assert_close(quantizer.codebook[alive], codebook[alive])
    torch.testing.assert_close(quantizer.ema_count, count)


def test_dead_codes_become_rows_of_the_batch():
    quantizer = VectorQuantizer(8, 2, 0.5, 1.0)
    quantizer.initialize(torch.randn(20, 2) + 100)
    rows = torch.randn(40, 2)
    quantizer.update(rows, torch.zeros(40, dtype=torch.long))
    assert torch.equal(quantizer.ema_count, torch.tensor([20.5] + [0.5] * 7))
    assert all((rows == code).all(dim=1).any() for code in quantizer.codebook[1:])


def test_evaluation_moves_nothing():
    model = tiny_vqvae().eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    model(random_poses(4))
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def train_steps(model, optimizer, steps):
    model.train()
    for seed in steps:
        torch.manual_seed(seed)
        optimizer.zero_grad()
        model(random_poses(16, seed)).loss.backward()
        optimizer.step()


def test_saved_and_resumed_training_gives_the_same_codebook(tmp_path):
    """The original loses its sums and starts its codebook again after loading."""
    straight = tiny_vqvae()
    train_steps(straight, torch.optim.SGD(straight.parameters(), 0.01), range(6))
    first = tiny_vqvae()
    train_steps(first, torch.optim.SGD(first.parameters(), 0.01), range(3))
    first.save_pretrained(tmp_path)
    resumed = AutoModel.from_pretrained(tmp_path)
    train_steps(resumed, torch.optim.SGD(resumed.parameters(), 0.01), range(3, 6))
    for name, value in straight.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name


@pytest.mark.parametrize(
    ("codes", "message"),
    [
        (torch.zeros(1, 7, dtype=torch.long), r"shape \(batch, 8\), got \(1, 7\)"),
        (torch.full((1, 8), 32), r"0\.\.31"),
    ],
)
def test_wrong_codes_say_so(codes, message):
    with pytest.raises(ValueError, match=message):
        tiny_vqvae().decode(codes)


def test_odd_number_of_tokens_says_so():
    with pytest.raises(ValueError, match="even and at least 2, got 7"):
        UniPoseVQVAEConfig(num_pose_tokens=7)

"""The pose tokenizer of body parts: a token a heading, tokens of one part each, a fixed grid."""

import math

import pytest
import roma
import torch

from unipose import UniPoseVQVAE, UniPoseVQVAEConfig
from unipose.body_parts import PARTS, body_heading
from unipose.processing.pose_features import mirror_pose, rotmat_to_rotation_6d, to_y_up
from unipose.training.geometry import heading, rotate_heading


SIZES = {
    "architecture": "body_parts",
    "hidden_size": 16,
    "codebook_size": 64,
    "codebook_dim": 3,
    "scalar_levels": [4, 4, 4],
    "part_tokens": {"torso": 2, "head": 1, "arm": 2, "leg": 1},
    "num_pose_tokens": 10,
}


def tokenizer(**changes) -> UniPoseVQVAE:
    torch.manual_seed(0)
    return UniPoseVQVAE(UniPoseVQVAEConfig(**(SIZES | changes))).eval()


def random_poses(count: int) -> torch.Tensor:
    torch.manual_seed(1)
    return roma.random_rotmat((count, 22))


def encode(model: UniPoseVQVAE, rotmats: torch.Tensor) -> torch.Tensor:
    return model.encode(rotmat_to_rotation_6d(rotmats))


def test_codes_and_rotations_have_the_shapes_of_the_papers_tokenizer() -> None:
    model, poses = tokenizer(), random_poses(5)
    codes = encode(model, poses)
    assert codes.shape == (5, 10)
    assert codes.min() >= 0
    assert codes.max() < 64
    rotmats = model.decode(codes)
    torch.testing.assert_close(rotmats @ rotmats.mT, torch.eye(3).expand(5, 22, 3, 3), atol=1e-5, rtol=0)
    assert torch.equal(model(rotmat_to_rotation_6d(poses)).pose_codes, codes)


def test_the_heading_is_that_of_training() -> None:
    poses = random_poses(200)
    expected = torch.from_numpy(heading(to_y_up(poses)[:, 0].double().numpy())).float()
    torch.testing.assert_close(body_heading(poses[:, 0]).sin(), expected.sin(), atol=1e-4, rtol=0)
    torch.testing.assert_close(body_heading(poses[:, 0]).cos(), expected.cos(), atol=1e-4, rtol=0)


def test_another_heading_changes_the_first_code_alone() -> None:
    model, poses = tokenizer(), random_poses(20)
    # A whole number of steps, so that rounding is the same.
    steps = torch.randint(1, 64, (20,))
    codes = encode(model, poses.double().float())
    turned = encode(model, rotate_heading(poses, steps * (2 * math.pi / 64)))
    assert torch.equal(turned[:, 1:], codes[:, 1:])
    assert torch.equal((turned[:, 0] - codes[:, 0]) % 64, steps % 64)
    first, second = model.decode(codes), model.decode(turned)
    torch.testing.assert_close(rotate_heading(first, steps * (2 * math.pi / 64)), second, atol=1e-4, rtol=0)


def test_an_encoded_decoded_pose_has_the_same_heading() -> None:
    model, poses = tokenizer(), random_poses(50)
    codes = encode(model, poses)
    assert torch.equal(encode(model, model.decode(codes))[:, 0], codes[:, 0])


def test_a_token_depends_on_its_part_alone() -> None:
    model, poses = tokenizer(), random_poses(8)
    codes, other = encode(model, poses), encode(model, random_poses(16)[8:])
    changed = model.decode(codes.clone().index_copy(1, torch.tensor([4, 5]), other[:, 4:6]))
    joints = list(PARTS[2][1])
    assert PARTS[2][0] == "arm"
    rest = [joint for joint in range(22) if joint not in joints]
    assert torch.equal(changed[:, rest], model.decode(codes)[:, rest])
    torch.testing.assert_close(changed[:, joints], model.decode(other)[:, joints])


def test_a_mirrored_pose_has_the_limbs_codes_exchanged() -> None:
    model, poses = tokenizer(), random_poses(8)
    codes, mirrored = encode(model, poses), encode(model, mirror_pose(poses))
    arms, legs = (slice(4, 6), slice(6, 8)), (slice(8, 9), slice(9, 10))
    for left, right in (arms, legs):
        assert torch.equal(mirrored[:, left], codes[:, right])
        assert torch.equal(mirrored[:, right], codes[:, left])


def test_every_code_of_the_grid_is_its_own_nearest() -> None:
    quantizer = tokenizer().quantizer
    codes = torch.arange(64).unsqueeze(1).expand(64, 10)
    assert torch.equal(quantizer.nearest(quantizer.codes_to_features(codes)), codes)


def test_the_nearest_code_of_a_token_is_that_of_least_distance() -> None:
    """Features of headings and of the grid in any order, outside of the grid too."""
    quantizer = tokenizer().quantizer
    features = 1.5 * torch.randn(500, quantizer.codebook.shape[1], generator=torch.Generator().manual_seed(0))
    tokens = torch.arange(500) % 3
    codebooks = quantizer.codebooks()[quantizer.codebook_of_token(3)[tokens]]
    # Only the direction of a heading counts.
    direction = torch.nn.functional.normalize(features[:, :2], dim=1)
    on_circle = torch.nn.functional.pad(direction, (0, features.shape[1] - 2))
    placed = torch.where((tokens == 0).unsqueeze(1), on_circle, features)
    distances = (codebooks - placed.unsqueeze(1)).norm(dim=2)
    assert torch.equal(quantizer.nearest_of_tokens(features, tokens), distances.argmin(dim=1))


def test_saved_and_loaded_it_is_the_same(tmp_path) -> None:
    model, poses = tokenizer(), random_poses(4)
    model.save_pretrained(tmp_path)
    loaded = UniPoseVQVAE.from_pretrained(tmp_path)
    assert torch.equal(encode(loaded, poses), encode(model, poses))
    assert torch.equal(loaded.quantizer.codebook, model.quantizer.codebook)


def test_training_lowers_the_loss_and_moves_every_weight() -> None:
    model, values = tokenizer().train(), rotmat_to_rotation_6d(random_poses(64))
    before = {name: weight.clone() for name, weight in model.named_parameters()}
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    losses = []
    for _ in range(30):
        loss = model(values).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    assert losses[-1] < 0.8 * losses[0]
    assert all(not torch.equal(weight, before[name]) for name, weight in model.named_parameters())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"scalar_levels": [4, 4]}, "expected codebook_size 64 and codebook_dim 3"),
        ({"scalar_levels": None}, "needs scalar_levels and part_tokens"),
        ({"num_pose_tokens": 12}, "make 10 tokens, expected 12"),
        ({"part_tokens": {"torso": 2}}, "expected torso, head, arm and leg"),
    ],
)
def test_sizes_that_contradict_each_other_are_refused(changes: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        tokenizer(**changes)

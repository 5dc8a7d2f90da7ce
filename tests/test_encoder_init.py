"""The initialization of new vision encoders: whitened patches, and positions."""

import torch
from torch import nn
from transformers import CLIPVisionModel, VitPoseBackbone

from unipose.configuration_unipose import patch_grid
from unipose.training.models.encoder_sizes import EncoderSizes, encoder_configs
from unipose.training.trainer.encoder_init import initialize_encoders, waves, whiten_patches


SIZES = EncoderSizes(vision_hidden_size=32, vision_layers=1, pose_vision_hidden_size=48, pose_vision_layers=1)


def smooth_images(count: int) -> torch.Tensor:
    """(count, 3, 96, 96) images with more low than high frequencies, as photographs have."""
    generator = torch.Generator().manual_seed(0)
    octaves = [torch.randn(count, 3, side, side, generator=generator) for side in (3, 6, 12, 24, 48, 96)]
    return sum(nn.functional.interpolate(octave, size=96) for octave in octaves)


def correlations(channels: torch.Tensor) -> torch.Tensor:
    """(images, width, rows, columns) -> (width, width) covariances over all patches."""
    return channels.transpose(0, 1).flatten(1).cov()


def test_channels_of_patches_are_uncorrelated_and_of_one_size() -> None:
    images = smooth_images(64)
    projection = nn.Conv2d(3, 24, 12, 12)
    before = correlations(projection(images))
    whiten_patches(projection, images)
    after = correlations(projection(images))
    torch.testing.assert_close(after, torch.eye(24), atol=0.05, rtol=0)
    assert (before - torch.eye(24)).abs().max() > 0.5, "before, it is otherwise"
    assert projection(images).mean(dim=(0, 2, 3)).abs().max() < 1e-3


def test_channels_beyond_the_pixels_of_a_patch_stay() -> None:
    projection = nn.Conv2d(3, 20, 2, 2, bias=False)
    before = projection.weight.detach().clone()
    whiten_patches(projection, smooth_images(8))
    changed = (projection.weight != before).flatten(1).any(dim=1)
    assert changed.tolist() == [True] * 12 + [False] * 8


def test_positions_tell_patches_apart() -> None:
    positions = waves(8, 6, 48)
    assert positions.shape == (48, 48)
    distances = torch.cdist(positions, positions) + 10 * torch.eye(48)
    assert distances.min() > 0.5
    # Neighbors are nearest: a smooth code of places, not a random one.
    row, column = distances[3 * 6 + 2].argmin() // 6, distances[3 * 6 + 2].argmin() % 6
    assert (row - 3).abs() + (column - 2).abs() == 1
    assert waves(2, 2, 6)[:, 4:].eq(0).all()


def test_both_encoders_are_initialized_in_place() -> None:
    vision_config, pose_config = encoder_configs(SIZES)
    vision, pose_vision = CLIPVisionModel(vision_config), VitPoseBackbone(pose_config)
    images = smooth_images(16)
    initialize_encoders(vision, pose_vision, images, images)
    patches = vision.get_input_embeddings()(images)
    torch.testing.assert_close(correlations(patches), torch.eye(32), atol=0.05, rtol=0)
    embeddings = pose_vision.embeddings
    rows, columns = patch_grid(pose_config)
    torch.testing.assert_close(embeddings.position_embeddings[0, 1:], waves(rows, columns, 48))
    patches = embeddings.patch_embeddings.projection(images)
    covariances = correlations(patches)
    assert (covariances - covariances.diagonal().diag()).abs().max() < 0.05

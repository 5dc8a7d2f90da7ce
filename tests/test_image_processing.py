"""Inputs of both vision encoders, every accepted kind of image, and errors that name the image."""

import io
import re
import zlib

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import CLIPImageProcessorPil

from unipose.processing.image_loading import ACCEPTED_IMAGES
from unipose.processing.image_processing_unipose import UniPoseImageProcessor, group_images


SMALL = {"size": {"height": 32, "width": 32}, "pose_size": {"height": 64, "width": 48}}


def noise(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.fixture
def processor() -> UniPoseImageProcessor:
    return UniPoseImageProcessor(**SMALL)


def test_release_sizes():
    batch = UniPoseImageProcessor()([noise(300, 500), noise(64, 80)], return_tensors="pt")
    assert batch["pixel_values"].shape == (2, 3, 336, 336)
    assert batch["pose_pixel_values"].shape == (2, 3, 256, 192)
    assert batch["pixel_values"].dtype == batch["pose_pixel_values"].dtype == torch.float32


def test_pixel_values_equal_clips(processor):
    image = Image.fromarray(noise(50, 81))
    clip = CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
    expected = clip(image, return_tensors="pt")["pixel_values"]
    torch.testing.assert_close(processor(image, return_tensors="pt")["pixel_values"], expected, atol=1e-6, rtol=0)


def test_pose_pixel_values_by_hand(processor):
    pixels = noise(64, 64)
    mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    expected = ((pixels[:, 8:56] / 255 - mean) / std).transpose(2, 0, 1)
    got = processor(pixels, return_tensors="np")["pose_pixel_values"][0]
    np.testing.assert_allclose(got, expected, atol=1e-5)


@pytest.mark.parametrize(("off", "left"), [("size", "pose_pixel_values"), ("pose_size", "pixel_values")])
def test_one_encoder_off(tmp_path, off, left):
    processor = UniPoseImageProcessor(**{**SMALL, off: None})
    assert list(processor(noise(9, 9), return_tensors="pt")) == [left]
    processor.save_pretrained(tmp_path)
    assert list(UniPoseImageProcessor.from_pretrained(tmp_path)(noise(9, 9), return_tensors="pt")) == [left]


def test_save_and_load(tmp_path):
    processor = UniPoseImageProcessor(**SMALL, image_mean=[0.5, 0.5, 0.5], max_pixels=10_000)
    processor.save_pretrained(tmp_path)
    loaded = UniPoseImageProcessor.from_pretrained(tmp_path)
    assert loaded.to_dict() == processor.to_dict()
    for name, values in processor(noise(20, 30), return_tensors="pt").items():
        assert torch.equal(values, loaded(noise(20, 30), return_tensors="pt")[name])


def same_image(tmp_path) -> dict[str, object]:
    pixels = noise(40, 60)
    image = Image.fromarray(pixels)
    image.save(tmp_path / "image.png")
    data = (tmp_path / "image.png").read_bytes()
    return {
        "path": tmp_path / "image.png",
        "string": str(tmp_path / "image.png"),
        "bytes": data,
        "dict of bytes": {"bytes": data, "path": None},
        "dict of path": {"bytes": None, "path": str(tmp_path / "image.png")},
        "numpy": pixels,
        "channels first": torch.from_numpy(pixels).movedim(-1, 0),
        "floats": torch.from_numpy(pixels) / 255,
        "RGBA": image.convert("RGBA"),
        "list": [image],
        "list of lists": [[image]],
        "4-D": pixels[None],
    }


def test_every_kind_of_image(processor, tmp_path):
    expected = processor(Image.fromarray(noise(40, 60)), return_tensors="pt")
    for kind, image in same_image(tmp_path).items():
        got = processor(image, return_tensors="pt")
        for name in expected:
            assert torch.equal(got[name], expected[name]), (kind, name)


@pytest.mark.parametrize("mode", ["L", "1", "P", "LA", "CMYK", "I;16", "F", "RGBA"])
def test_modes(processor, mode):
    image = Image.new("I;16", (20, 30)) if mode == "I;16" else Image.fromarray(noise(30, 20)).convert(mode)
    assert processor(image, return_tensors="pt")["pixel_values"].shape == (1, 3, 32, 32)


def test_greyscale_has_equal_channels(processor):
    values = processor(noise(30, 30)[..., 0], return_tensors="pt", image_mean=[0.5] * 3, image_std=[0.5] * 3)
    assert torch.equal(values["pixel_values"][0, 0], values["pixel_values"][0, 2])


def test_transparent_is_white(processor):
    got = processor(Image.new("RGBA", (20, 20), (0, 0, 0, 0)), return_tensors="pt")["pixel_values"]
    assert torch.equal(got, processor(Image.new("RGB", (20, 20), "white"), return_tensors="pt")["pixel_values"])


def test_exif_rotation_is_applied(processor):
    pixels = noise(40, 60)
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: show it 90 degrees clockwise
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "png", exif=exif)
    got = processor(file.getvalue(), return_tensors="pt")["pixel_values"]
    expected = processor(np.rot90(pixels, -1).copy(), return_tensors="pt")["pixel_values"]
    assert torch.equal(got, expected)


def test_batch_equals_single(processor):
    images = [noise(30, 50), noise(64, 32, seed=1)]
    batch = processor(images, return_tensors="pt")
    for row, image in enumerate(images):
        for name, values in processor(image, return_tensors="pt").items():
            assert torch.equal(batch[name][row : row + 1], values)


def bomb() -> bytes:
    """A PNG whose header promises 40,000 x 40,000 pixels."""
    file = io.BytesIO()
    Image.new("1", (1, 1)).save(file, "png")
    header = bytearray(file.getvalue())
    header[16:24] = (40_000).to_bytes(4, "big") * 2
    header[29:33] = zlib.crc32(header[12:29]).to_bytes(4, "big")
    return bytes(header)


REFUSED = {
    "missing file": ("nowhere.png", "[Errno 2] No such file or directory: "),
    "bytes": (b"no image", "cannot identify image file "),
    "bomb": (bomb(), "Image size (1600000000 pixels) exceeds limit of "),
    "too large": (Image.new("1", (200, 101)), "200 x 101 pixels are more than max_pixels (20000)"),
    "elongated": (
        Image.new("1", (1000, 1)),
        "1000 x 1 pixels are too elongated: the longer side may have at most 100",
    ),
    "empty": (np.zeros((0, 4, 3), np.uint8), "it has no pixels (4 x 0)"),
    "empty PIL": (Image.new("RGB", (0, 4)), "it has no pixels (0 x 4)"),
    "shape": (
        np.zeros((5, 4, 5), np.uint8),
        f"an array of shape (5, 4, 5) is not an image; accepted: {ACCEPTED_IMAGES}",
    ),
    "dtype": (np.zeros((4, 4), np.int64), f"an array of int64 is not an image; accepted: {ACCEPTED_IMAGES}"),
    "NaN": (np.full((4, 4), np.nan), "it holds NaN or infinite values"),
    "range": (np.full((4, 4), 2.5), "floats must be from 0 to 1, but go from 2.5 to 2.5"),
    "kind": (3, f"int is not an image; accepted: {ACCEPTED_IMAGES}"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case):
    image, message = REFUSED[case]
    processor = UniPoseImageProcessor(**SMALL, max_pixels=20_000)
    with pytest.raises(ValueError, match=f"^image 2: {re.escape(message)}"):
        processor([noise(8, 8), image])


def test_truncated_file(processor):
    file = io.BytesIO()
    Image.fromarray(noise(100, 100)).save(file, "jpeg")
    with pytest.raises(ValueError, match=r"^image 1: "):
        processor(file.getvalue()[:1500])


def test_no_encoder_takes_no_image():
    with pytest.raises(ValueError, match="takes no images"):
        UniPoseImageProcessor(size=None, pose_size=None)(noise(8, 8))


def test_grouping():
    image = noise(4, 4)
    assert group_images(image) == ([[image]], "single")
    assert group_images([["a"], []]) == ([["a"], []], "nested")
    assert len(group_images(np.stack([image, image]))[0][0]) == 2

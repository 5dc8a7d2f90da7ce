"""Images -> the inputs of the two vision encoders.

`pixel_values` is for the vision encoder (CLIP): shorter side to `size`, center crop, CLIP's mean and deviation.
`pose_pixel_values` is for the pose encoder (ViTPose): shorter side to the height of `pose_size`, center crop to a
square of that height, ImageNet's mean and deviation, then the central columns (256 x 256 -> 256 x 192 at release
size). Both come from the same image with bicubic resizing. Either is off if its size is None.
"""

import io
import os
from collections.abc import Mapping
from typing import Any, TypedDict

import numpy as np
import torch
from PIL import Image, ImageOps
from transformers.image_processing_backends import PilBackend
from transformers.image_processing_utils import BatchFeature
from transformers.image_utils import (
    IMAGENET_DEFAULT_MEAN,
    IMAGENET_DEFAULT_STD,
    OPENAI_CLIP_MEAN,
    OPENAI_CLIP_STD,
    PILImageResampling,
    SizeDict,
    load_image,
)
from transformers.processing_utils import ImagesKwargs, Unpack

from .placeholders import Grouped, group_list


ACCEPTED_IMAGES = (
    "a PIL image, a path or URL, bytes, a dict of bytes or path, an array (height, width[, 1, 3 or 4 channels]) or "
    "(1, 3 or 4 channels, height, width) of uint8 or of floats from 0 to 1"
)


class PoseEncoderSize(TypedDict):
    """Image size of the pose encoder in pixels."""

    height: int
    width: int


class UniPoseImageProcessorKwargs(ImagesKwargs, total=False):
    """Arguments of `UniPoseImageProcessor` beyond the library's."""

    pose_size: PoseEncoderSize | None
    pose_image_mean: list[float] | tuple[float, ...]
    pose_image_std: list[float] | tuple[float, ...]
    max_pixels: int


class UniPoseImageProcessor(PilBackend):
    """Computes `pixel_values` and `pose_pixel_values` of the same images, in the same order.

    Args:
        size: {"height", "width"} of the vision encoder's image in pixels; None: there is no vision encoder.
        pose_size: {"height", "width"} of the pose encoder's image in pixels; None: there is no pose encoder.
        image_mean: Mean of the vision encoder's normalization, three numbers.
        image_std: Standard deviation of the vision encoder's normalization, three numbers.
        pose_image_mean: Mean of the pose encoder's normalization, three numbers.
        pose_image_std: Standard deviation of the pose encoder's normalization, three numbers.
        max_pixels: Largest accepted number of pixels.
    """

    valid_kwargs = UniPoseImageProcessorKwargs
    model_input_names = ["pixel_values", "pose_pixel_values"]  # noqa: RUF012 (the library's own form)
    do_rescale = True
    do_normalize = True
    resample = PILImageResampling.BICUBIC
    size = {"height": 336, "width": 336}  # noqa: RUF012
    image_mean = OPENAI_CLIP_MEAN
    image_std = OPENAI_CLIP_STD
    pose_size = {"height": 256, "width": 192}  # noqa: RUF012
    pose_image_mean = IMAGENET_DEFAULT_MEAN
    pose_image_std = IMAGENET_DEFAULT_STD
    max_pixels = 178_956_970

    def __init__(self, **kwargs: Unpack[UniPoseImageProcessorKwargs]):
        super().__init__(**kwargs)  # type: ignore[misc]
        # The base class ignores None: here it switches an encoder off.
        for name in ("size", "pose_size"):
            if name in kwargs and kwargs[name] is None:
                setattr(self, name, None)

    def preprocess(self, images: Any, *args: Any, **kwargs: Any) -> BatchFeature:
        """Processes images.

        Args:
            images: One image, a list of them, or a list of lists (read row by row).
            args: The library's.
            kwargs: Other values of the constructor's arguments, and `return_tensors`.

        Returns:
            `pixel_values` (images, 3, size) and `pose_pixel_values` (images, 3, pose_size), float32; without the entry
            of an encoder that is off.

        Raises:
            ValueError: An unreadable, empty, too large or too elongated image, a wrong array, a NaN; both encoders are
                off.
        """
        return super().preprocess(images, *args, **kwargs)

    def _validate_preprocess_kwargs(self, size: SizeDict | None = None, **kwargs: Any) -> None:  # type: ignore[override]
        pose_size = kwargs["pose_size"]
        if size is None and pose_size is None:
            raise ValueError("this processor takes no images: its size and its pose_size are None")
        if size is not None and (size.height is None or size.width is None):
            raise ValueError(f"size must have 'height' and 'width', but is {dict(size)}")
        if pose_size is not None and pose_size["width"] > pose_size["height"]:
            raise ValueError(f"pose_size must not be wider than high, but is {pose_size}")

    def _prepare_image_like_inputs(self, images: Any, *args: Any, **kwargs: Any) -> list[np.ndarray]:
        """Any images -> (3, height, width) uint8 arrays."""
        max_pixels = kwargs["max_pixels"]
        flat = group_images(images).items
        images = [image_to_rgb(image, f"image {number}", max_pixels) for number, image in enumerate(flat, 1)]
        longest = max([kwargs["size"][side] for side in ("height", "width")] if kwargs["size"] else [0])
        if kwargs["pose_size"]:
            longest = max(longest, kwargs["pose_size"]["height"])
        for number, image in enumerate(images, start=1):
            if longest**2 * max(image.size) > max_pixels * min(image.size):
                got = f"{image.width} x {image.height} pixels"
                raise ValueError(f"image {number}: {got} are too elongated to be resized within max_pixels")
        return [np.moveaxis(np.asarray(image), -1, 0) for image in images]

    def _preprocess(self, images: list[np.ndarray], *args: Any, **kwargs: Any) -> BatchFeature:
        data: dict[str, list[np.ndarray]] = {}
        if (size := kwargs["size"]) is not None:
            crops = [self._resize_and_crop(image, size, kwargs["resample"]) for image in images]
            mean, std = kwargs["image_mean"], kwargs["image_std"]
            data["pixel_values"] = [self._to_pixel_values(crop, mean, std, **kwargs) for crop in crops]
        if (pose_size := kwargs["pose_size"]) is not None:
            square = SizeDict(height=pose_size["height"], width=pose_size["height"])
            left = (pose_size["height"] - pose_size["width"]) // 2
            columns = slice(left, left + pose_size["width"])
            crops = [self._resize_and_crop(image, square, kwargs["resample"])[:, :, columns] for image in images]
            mean, std = kwargs["pose_image_mean"], kwargs["pose_image_std"]
            data["pose_pixel_values"] = [self._to_pixel_values(crop, mean, std, **kwargs) for crop in crops]
        return BatchFeature(data=data, tensor_type=kwargs["return_tensors"])

    def _resize_and_crop(self, image: np.ndarray, size: SizeDict, resample: Any) -> np.ndarray:
        shorter = SizeDict(shortest_edge=max(size["height"], size["width"]))
        return self.center_crop(self.resize(image, shorter, resample=resample), size)

    def _to_pixel_values(
        self,
        image: np.ndarray,
        mean: Any,
        std: Any,
        do_rescale: bool,
        rescale_factor: float,
        do_normalize: bool,
        **kwargs: Any,
    ) -> np.ndarray:
        if do_rescale:
            image = self.rescale(image, rescale_factor)
        if do_normalize:
            image = self.normalize(image, mean, std)
        return image.astype(np.float32)


def group_images(images: Any) -> Grouped:
    """Groups one image, a flat list (or 4-D array) of images, or a list of images for each row."""
    if isinstance(images, np.ndarray | torch.Tensor) and images.ndim == 4:
        return Grouped([list(images)], "flat")
    if not isinstance(images, list | tuple):
        return Grouped([[images]], "single")
    return group_list(images, lambda image: isinstance(image, list | tuple))


def image_to_rgb(image: Any, name: str, max_pixels: int) -> Image.Image:
    """Reads an image, applies its EXIF orientation and makes it RGB (transparent parts on white).

    Args:
        image: Any accepted form.
        name: Name of the image in errors.
        max_pixels: Largest accepted number of pixels.

    Raises:
        ValueError: It is unreadable, empty, larger than `max_pixels` or of an unknown kind.
    """
    try:
        image = _read_image(image)
        width, height = image.size
        if width * height > max_pixels:
            raise ValueError(f"{width} x {height} pixels are more than max_pixels ({max_pixels})")
        if width * height == 0:
            raise ValueError(f"it has no pixels ({width} x {height})")
        return _to_rgb(ImageOps.exif_transpose(image))
    except Exception as error:  # Pillow's decoders raise nearly anything on a damaged file.
        raise ValueError(f"{name}: {error}") from error


def _read_image(image: Any) -> Image.Image:
    if isinstance(image, Mapping):
        image = image.get("bytes") or image.get("path")
    if isinstance(image, Image.Image):
        return image
    if isinstance(image, torch.Tensor):
        image = image.detach().cpu()
        image = (image.float() if image.is_floating_point() else image).numpy()
    if isinstance(image, np.ndarray):
        return _array_to_image(image)
    if isinstance(image, bytes):
        return Image.open(io.BytesIO(image))
    if isinstance(image, str) and image.startswith(("http://", "https://", "data:")):
        return load_image(image)
    if isinstance(image, str | os.PathLike):
        return Image.open(image)
    raise ValueError(f"{type(image).__name__} is not an image; accepted: {ACCEPTED_IMAGES}")


def _array_to_image(array: np.ndarray) -> Image.Image:
    if array.ndim == 3 and array.shape[-1] not in (1, 3, 4) and array.shape[0] in (1, 3, 4):
        array = np.moveaxis(array, 0, -1)
    if array.ndim != 2 and (array.ndim != 3 or array.shape[-1] not in (1, 3, 4)):
        raise ValueError(f"an array of shape {array.shape} is not an image; accepted: {ACCEPTED_IMAGES}")
    if 0 in array.shape:
        raise ValueError(f"it has no pixels ({array.shape[1]} x {array.shape[0]})")
    if array.dtype.kind == "f":
        array = _floats_to_uint8(array)
    if array.dtype != np.uint8:
        raise ValueError(f"an array of {array.dtype} is not an image; accepted: {ACCEPTED_IMAGES}")
    return Image.fromarray(np.ascontiguousarray(array[..., 0] if array.shape[2:] == (1,) else array))


def _floats_to_uint8(array: np.ndarray) -> np.ndarray:
    if not np.isfinite(array).all():
        raise ValueError("it holds NaN or infinite values")
    if array.min() < 0 or array.max() > 1:
        raise ValueError(f"floats must be from 0 to 1, but go from {array.min():g} to {array.max():g}")
    return np.rint(array * 255).astype(np.uint8)


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode in ("I", "I;16", "I;16B", "I;16L"):
        image = Image.fromarray((np.asarray(image, dtype=np.int64).clip(0, 65535) // 257).astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("RGB")


__all__ = ["UniPoseImageProcessor"]

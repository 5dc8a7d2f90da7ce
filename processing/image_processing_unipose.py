"""Images -> the inputs of the two vision encoders.

`pixel_values` is for the vision encoder (CLIP): shorter side to `size`, center crop, CLIP's mean and deviation.
`pose_pixel_values` is for the pose encoder (ViTPose): shorter side to the height of `pose_size`, center crop to a
square of that height, ImageNet's mean and deviation, then the central columns (256 x 256 -> 256 x 192 at release
size). Both come from the same image with bicubic resizing. Either is off if its size is None.
"""

from typing import Any, TypedDict

import numpy as np
import torch
from transformers.image_processing_backends import PilBackend
from transformers.image_processing_utils import BatchFeature
from transformers.image_utils import (
    IMAGENET_DEFAULT_MEAN,
    IMAGENET_DEFAULT_STD,
    OPENAI_CLIP_MEAN,
    OPENAI_CLIP_STD,
    PILImageResampling,
    SizeDict,
)
from transformers.processing_utils import ImagesKwargs, Unpack

from .image_loading import image_to_rgb
from .placeholders import Grouped, group_list


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
        max_pixels: Largest accepted number of pixels; the default is the one above which Pillow warns.
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
    max_pixels = 89_478_485

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


__all__ = ["UniPoseImageProcessor"]

"""Reads an image in any accepted form and makes it RGB; nothing is decoded before its header is checked.

A string is, in this order: an http address; a data: URI or bare base64 of an image file; the path of a file.
"""

import base64
import binascii
import io
import ipaddress
import os
import re
import socket
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from huggingface_hub import is_offline_mode
from PIL import Image, ImageOps


ACCEPTED_IMAGES = (
    "a PIL image, a path or URL, base64 or a data: URI, bytes, a dict of bytes or path, an array (height, width[, 1, "
    "3 or 4 channels]) or (1, 3 or 4 channels, height, width) of uint8 or of floats from 0 to 1"
)
# Others start programs (EPS), or have decoders that are seldom used.
FORMATS = ("AVIF", "BMP", "GIF", "HEIF", "JPEG", "JPEG2000", "MPO", "PNG", "PPM", "TIFF", "WEBP")
# First bytes of image files, which tell base64 from a path.
SIGNATURES = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF8", b"RIFF", b"BM", b"II*\x00", b"MM\x00*", b"\x00\x00\x00")
MAX_ASPECT = 100
MAX_BYTES = 64 * 2**20
MAX_SECONDS = 20.0
MAX_REDIRECTS = 3
# Characters of an error of Pillow or of the file system, which may hold a whole string that is no path.
MAX_ERROR = 500
# Modes that Pillow converts to RGB without loss; others are read here, or refused.
COLOR_MODES = ("1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr", "HSV")
WIDE_MODES = ("I;16", "I;16L", "I;16B", "I;16N")


class ImageURL(str):
    """An http address of an image."""

    __slots__ = ()


def image_reference(text: str) -> "bytes | ImageURL | Path":
    """What a string stands for: the content of an image file, an address, or a path.

    Raises:
        ValueError: A data: URI that is not base64.
    """
    if text.lower().startswith(("http://", "https://")):
        return ImageURL(text)
    if text.lower().startswith("data:"):
        return decode_base64(text)
    if re.fullmatch(r"[A-Za-z0-9+/\s]+={0,2}\s*", text[:4096] if len(text) > 4096 else text):
        try:
            content = base64.b64decode("".join(text.split()), validate=True)
        except binascii.Error:
            return Path(text)
        if content.startswith(SIGNATURES):
            return content
    return Path(text)


def decode_base64(text: str) -> bytes:
    """The bytes of a base64 string or a base64 data: URI.

    Raises:
        ValueError: It is not base64.
    """
    head, comma, body = text.partition(",")
    if text.lower().startswith("data:"):
        if not comma or not head.lower().endswith(";base64"):
            raise ValueError("a data: URI without base64; accepted: data:image/png;base64,...")
        text = body
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except ValueError as error:
        raise ValueError(f"it is not base64: {error}") from error


def image_to_rgb(image: Any, name: str, max_pixels: int) -> Image.Image:
    """Reads an image, applies its EXIF orientation and makes it RGB (transparent parts on white).

    Args:
        image: Any accepted form.
        name: Name of the image in errors.
        max_pixels: Largest accepted number of pixels.

    Raises:
        ValueError: It is unreadable, empty, larger than `max_pixels`, longer than `MAX_ASPECT` times its width, or of
            an unknown kind.
    """
    try:
        image = read_image(image)
        width, height = image.size
        if width * height > max_pixels:
            raise ValueError(f"{width} x {height} pixels are more than max_pixels ({max_pixels})")
        if width * height == 0:
            raise ValueError(f"it has no pixels ({width} x {height})")
        if max(width, height) > MAX_ASPECT * min(width, height):
            raise ValueError(
                f"{width} x {height} pixels are too elongated: the longer side may have at most {MAX_ASPECT} times as "
                "many pixels as the shorter one"
            )
        return to_rgb(ImageOps.exif_transpose(image))
    except Exception as error:  # Pillow's decoders raise nearly anything on a damaged file.
        raise ValueError(f"{name}: {str(error)[:MAX_ERROR]}") from error


def read_image(image: Any) -> Image.Image:
    """Opens an image; files are not decoded yet.

    Raises:
        ValueError: It is of an unknown kind, or its address cannot be read.
        OSError: Its file cannot be read.
    """
    if isinstance(image, Mapping):
        image = image.get("bytes") or image.get("path")
    if isinstance(image, Image.Image):
        return image
    if isinstance(image, torch.Tensor):
        image = image.detach().cpu()
        image = (image.float() if image.is_floating_point() else image).numpy()
    if isinstance(image, np.ndarray):
        return array_to_image(image)
    if isinstance(image, str):
        image = image_reference(image)
    if isinstance(image, ImageURL):
        image = fetch(image)
    if isinstance(image, bytes):
        return open_image(io.BytesIO(image))
    if isinstance(image, os.PathLike):
        # A pipe or a device would block.
        if Path(image).exists() and not Path(image).is_file():
            raise ValueError(f"{str(image)!r} is not a file")
        return open_image(image)
    raise ValueError(f"{type(image).__name__} is not an image; accepted: {ACCEPTED_IMAGES}")


def open_image(file: Any) -> Image.Image:
    """Opens an image file of one of the accepted `FORMATS` that this Pillow has.

    Raises:
        OSError: It is missing, or no such image.
    """
    Image.init()
    return Image.open(file, formats=[name for name in FORMATS if name in Image.OPEN])


def array_to_image(array: np.ndarray) -> Image.Image:
    """An array of uint8, or of floats from 0 to 1 -> an image.

    Raises:
        ValueError: Another shape or type, a NaN, no pixels.
    """
    if array.ndim == 3 and array.shape[-1] not in (1, 3, 4) and array.shape[0] in (1, 3, 4):
        array = np.moveaxis(array, 0, -1)
    if array.ndim != 2 and (array.ndim != 3 or array.shape[-1] not in (1, 3, 4)):
        raise ValueError(f"an array of shape {array.shape} is not an image; accepted: {ACCEPTED_IMAGES}")
    if 0 in array.shape:
        raise ValueError(f"it has no pixels ({array.shape[1]} x {array.shape[0]})")
    if array.dtype.kind == "f":
        check_finite(array)
        if array.min() < 0 or array.max() > 1:
            raise ValueError(f"floats must be from 0 to 1, but go from {array.min():g} to {array.max():g}")
        array = np.rint(array.astype(np.float64) * 255).astype(np.uint8)
    if array.dtype != np.uint8:
        raise ValueError(f"an array of {array.dtype} is not an image; accepted: {ACCEPTED_IMAGES}")
    return Image.fromarray(np.ascontiguousarray(array[..., 0] if array.shape[2:] == (1,) else array))


def check_finite(values: np.ndarray) -> None:
    """Checks the values of an image.

    Raises:
        ValueError: A NaN or an infinity.
    """
    if not np.isfinite(values).all():
        raise ValueError("it holds NaN or infinite values")


def to_rgb(image: Image.Image) -> Image.Image:
    """An image of any accepted mode in RGB, transparent parts on white.

    Raises:
        ValueError: A mode, or a range of values, whose colors are not known.
    """
    if image.mode in WIDE_MODES:
        image = Image.fromarray((np.asarray(image).astype(np.int64) // 257).astype(np.uint8))
    elif image.mode in ("I", "F"):
        image = _numbers_to_grey(np.asarray(image), image.mode)
    if image.mode not in COLOR_MODES:
        raise ValueError(
            f"images of mode {image.mode} are not accepted; accepted: {', '.join(COLOR_MODES)}, I;16, I, F"
        )
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("RGB")


def _numbers_to_grey(values: np.ndarray, mode: str) -> Image.Image:
    """Modes without a fixed range: it follows from the largest value."""
    check_finite(values)
    low, high = float(values.min()), float(values.max())
    ranges = (255.0, 65535.0) if mode == "I" else (1.0, 255.0)
    if low < 0 or high > ranges[1]:
        accepted = " or ".join(f"from 0 to {top:g}" for top in ranges)
        raise ValueError(f"the values of mode {mode} must go {accepted}, but go from {low:g} to {high:g}")
    top = ranges[0] if high <= ranges[0] else ranges[1]
    return Image.fromarray(np.rint(values.astype(np.float64) * (255.0 / top)).astype(np.uint8))


class _CheckedRedirects(urllib.request.HTTPRedirectHandler):
    """Few redirects, never into the own network or another scheme."""

    max_redirections = MAX_REDIRECTS
    max_repeats = 1

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        address = urllib.parse.urlsplit(newurl)
        if address.scheme not in ("http", "https") or not address.hostname or is_private(address.hostname):
            raise ValueError(f"it redirects to {newurl[:200]!r}, which is not a public http address")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def is_private(host: str) -> bool:
    """Whether a host is this machine or one of its own network.

    Args:
        host: A name or an address.
    """
    try:
        found = {entry[4][0] for entry in socket.getaddrinfo(host, None)}
    except OSError:
        return True
    return not all(ipaddress.ip_address(str(address).partition("%")[0]).is_global for address in found)


def is_loopback(host: str) -> bool:
    """Whether a host name or address is this machine's, by its spelling."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def fetch(url: str) -> bytes:
    """The content of an http address: at most `MAX_BYTES` in `MAX_SECONDS`, and `MAX_REDIRECTS`.

    Raises:
        ValueError: It cannot be read within these limits, or the Hub's offline mode is on and it is another machine's.
    """
    shown = url[:200]
    try:
        host = urllib.parse.urlsplit(url).hostname
        if not host:
            raise ValueError("it has no host")
        if is_offline_mode() and not is_loopback(host):
            raise ValueError("offline mode is on (HF_HUB_OFFLINE)")
        deadline = time.monotonic() + MAX_SECONDS
        # Other handlers of urllib's default opener read files and ftp.
        opener = urllib.request.OpenerDirector()
        for handler in (
            urllib.request.ProxyHandler,
            urllib.request.HTTPHandler,
            urllib.request.HTTPSHandler,
            urllib.request.HTTPDefaultErrorHandler,
            urllib.request.HTTPErrorProcessor,
            _CheckedRedirects,
        ):
            opener.add_handler(handler())
        with opener.open(
            urllib.request.Request(url, headers={"User-Agent": "unipose"}), timeout=MAX_SECONDS
        ) as answer:
            return _read_limited(answer, deadline)
    except (OSError, ValueError, UnicodeError, urllib.error.URLError) as error:
        raise ValueError(f"{shown!r} could not be read: {error}") from error


def _read_limited(answer: Any, deadline: float) -> bytes:
    length = answer.headers.get("Content-Length") or "0"
    content = bytearray()
    while int(length) <= MAX_BYTES and len(content) <= MAX_BYTES:
        if time.monotonic() > deadline:
            raise ValueError(f"it took more than {MAX_SECONDS:g} seconds")
        block = answer.read1(2**16)
        if not block:
            return bytes(content)
        content += block
    raise ValueError(f"it has more than {MAX_BYTES} bytes")


__all__ = [
    "ACCEPTED_IMAGES",
    "ImageURL",
    "decode_base64",
    "fetch",
    "image_reference",
    "image_to_rgb",
    "read_image",
    "to_rgb",
]

"""Images of any form: the right pixels, or an error that names the image; and what a URL may cost."""

import base64
import io
import re
import socket
import threading
import time
import warnings
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
import pytest
from fuzzing import attempt, fuzzed, refused
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageOps

from unipose.processing import image_loading
from unipose.processing.image_loading import image_to_rgb
from unipose.processing.image_processing_unipose import UniPoseImageProcessor


LIMIT = 10_000
FORMATS = ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM")
sizes = st.integers(1, 12)
pixels = st.tuples(sizes, sizes, st.integers(0, 2**32 - 1)).map(
    lambda drawn: np.random.default_rng(drawn[2]).integers(0, 256, (drawn[0], drawn[1], 3), dtype=np.uint8)
)


def rgb(image: Any) -> np.ndarray:
    return np.asarray(image_to_rgb(image, "image 1", LIMIT))


def encoded(array: np.ndarray, name: str = "PNG") -> bytes:
    file = io.BytesIO()
    Image.fromarray(array).save(file, name)
    return file.getvalue()


def grey(array: np.ndarray) -> np.ndarray:
    return np.asarray(Image.fromarray(array).convert("L"))


def in_mode(array: np.ndarray, mode: str) -> tuple[Any, np.ndarray]:
    """An image of a mode, and the grey levels or colors that it must have."""
    level = grey(array)
    numbers = level.astype(np.float32)
    images = {
        "I;16": lambda: Image.fromarray(level.astype(np.uint16) * 257),
        "I": lambda: Image.fromarray(level.astype(np.int32)),
        "I of 16 bits": lambda: Image.fromarray(np.maximum(level, 2).astype(np.int32) * 257),
        "F to 255": lambda: Image.fromarray(np.maximum(numbers, 2)),
        "F to 1": lambda: Image.fromarray(numbers / 255),
        "L": lambda: Image.fromarray(level),
        "LA": lambda: Image.merge("LA", [Image.fromarray(level), Image.new("L", level.shape[::-1], 255)]),
        "float16": lambda: (level / 255).astype(np.float16),
        "float64": lambda: level / 255,
    }
    if mode in images:
        floor = 2 if mode in ("I of 16 bits", "F to 255") else 0
        return images[mode](), np.repeat(np.maximum(level, floor)[..., None], 3, axis=2)
    image = Image.fromarray(array)
    colors = {"RGB": image, "RGBA": image.convert("RGBA"), "CMYK": image.convert("CMYK"), "P": image.quantize(16)}
    return colors[mode], np.asarray(colors[mode].convert("RGB"))


MODES = (
    "I;16",
    "I",
    "I of 16 bits",
    "F to 255",
    "F to 1",
    "L",
    "LA",
    "float16",
    "float64",
    "RGB",
    "RGBA",
    "CMYK",
    "P",
)


@fuzzed(250, 2500)
@given(array=pixels, mode=st.sampled_from(MODES))
def test_modes_are_right(array: np.ndarray, mode: str) -> None:
    image, expected = in_mode(array, mode)
    np.testing.assert_array_equal(rgb(image), expected)


@fuzzed(200, 2500)
@given(array=pixels, name=st.sampled_from(FORMATS), form=st.sampled_from(["bytes", "base64", "data", "lines", "dict"]))
def test_files_in_strings_are_right(array: np.ndarray, name: str, form: str) -> None:
    content = encoded(array, name)
    text = base64.b64encode(content).decode()
    forms = {
        "bytes": content,
        "base64": text,
        "data": f"data:image/{name.lower()};base64,{text}",
        "lines": re.sub("(.{76})", r"\1\n", text),
        "dict": {"bytes": content, "path": None},
    }
    expected = np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))
    if name == "PPM" and form in ("base64", "lines"):
        # Its signature is too short to tell it from a path.
        refused(lambda: rgb(forms[form]), "^image 1: ")
        return
    np.testing.assert_array_equal(rgb(forms[form]), expected)


def plain_rgb(content: bytes) -> np.ndarray:
    """What Pillow alone makes of the bytes of a file."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        image = Image.open(io.BytesIO(content))
        image.load()
        return np.asarray(ImageOps.exif_transpose(image).convert("RGB"))


@fuzzed(250, 3500)
@given(
    array=pixels,
    name=st.sampled_from(FORMATS),
    cut=st.floats(0, 1),
    places=st.lists(st.tuples(st.floats(0, 0.999), st.integers(0, 255)), max_size=4),
)
def test_damaged_files(array: np.ndarray, name: str, cut: float, places: list[tuple[float, int]]) -> None:
    content = bytearray(encoded(array, name))
    for place, value in places:
        content[int(place * len(content))] = value
    found, error = attempt(lambda: rgb(bytes(content[: int(len(content) * cut)])))
    if error is None:
        assert found.dtype == np.uint8
        assert found.shape[0] * found.shape[1] <= LIMIT
        np.testing.assert_array_equal(found, plain_rgb(bytes(content[: int(len(content) * cut)])))
    else:
        assert error.startswith("image 1: "), error


numbers = st.sampled_from([np.nan, np.inf, -np.inf, -0.01, 1.01, 255.0, 256.0, 1e30, -1.0])


@fuzzed(200, 1500)
@given(
    array=pixels, value=numbers, dtype=st.sampled_from([np.float32, np.float64]), form=st.sampled_from(["array", "F"])
)
def test_numbers_out_of_range(array: np.ndarray, value: float, dtype: Any, form: str) -> None:
    """One wrong number makes an image wrong; mode F may go to 255."""
    values = (array[..., 0] / 255).astype(dtype)
    values[-1, -1] = value
    image = values if form == "array" else Image.fromarray(values.astype(np.float32))
    if form == "F" and 0 <= value <= 255:
        assert rgb(image)[-1, -1, 0] == round(value)
        return
    refused(lambda: rgb(image), "^image 1: (it holds NaN|floats must|the values of mode F)")


odd_values = st.one_of(
    st.none(), st.integers(), st.floats(), st.text(max_size=300), st.binary(max_size=60), st.just("x" * 5000),
    st.sampled_from(["\x00", "/dev/zero", "/", ".", "ftp://a/b.png", "file:///etc/a", "data:,x", "data:x;base64,?"]),
    st.dictionaries(st.sampled_from(["bytes", "path", "x"]), st.none() | st.text(max_size=9) | st.binary(max_size=9)),
    st.sampled_from([np.zeros((0, 3)), np.zeros((3, 3, 3, 3), np.uint8), np.zeros((3, 3), bool), np.array("a")]),
)  # fmt: skip


@fuzzed(200, 1500)
@given(value=odd_values)
def test_what_is_no_image(value: Any) -> None:
    assert len(refused(lambda: rgb(value), "^image 1: ")) < 700


@fuzzed(60, 700)
@given(short=st.integers(1, 3), factor=st.integers(2, 300), upright=st.booleans())
def test_long_images(short: int, factor: int, upright: bool) -> None:
    size = (short, short * factor) if upright else (short * factor, short)
    processor = UniPoseImageProcessor(size={"height": 32, "width": 32}, pose_size=None)
    if factor > image_loading.MAX_ASPECT:
        refused(lambda: processor(Image.new("L", size)), f"^image 1: {size[0]} x {size[1]} pixels are too elongated")
    else:
        assert processor(Image.new("L", size), return_tensors="np")["pixel_values"].shape == (1, 3, 32, 32)


def test_a_header_of_many_pixels_costs_nothing() -> None:
    content = bytearray(encoded(np.zeros((1, 1, 3), np.uint8), "BMP"))
    content[18:26] = (9_000).to_bytes(4, "little") * 2
    with pytest.raises(ValueError, match="9000 x 9000 pixels are more than max_pixels"):
        image_to_rgb(bytes(content), "image 1", LIMIT)


class Handler(BaseHTTPRequestHandler):
    """Serves an image, and what a hostile server serves."""

    def do_GET(self) -> None:
        content = encoded(np.full((4, 4, 3), 7, np.uint8))
        if self.path == "/slow":
            time.sleep(2)
        if self.path.startswith("/to/"):
            self.send_response(302)
            self.send_header("Location", self.path[4:])
            self.end_headers()
            return
        self.send_response(200)
        if self.path == "/promised":
            self.send_header("Content-Length", str(2**40))
        self.end_headers()
        try:
            for _ in range(1 if self.path == "/image" else 40):
                self.wfile.write(content)
                if self.path == "/drip":
                    time.sleep(0.1)
        except OSError:
            pass

    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as found:
        threading.Thread(target=found.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{found.server_address[1]}"
        found.shutdown()


def test_a_url_is_read(server: str) -> None:
    assert (rgb(f"{server}/image") == 7).all()


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("/promised", "more than 2000 bytes"),
        ("/long", "more than 2000 bytes"),
        ("/drip", "took more than 1 seconds"),
        ("/slow", "timed out"),
        ("/to/http://169.254.169.254/latest", "redirects to .* not a public http address"),
        ("/to/http://localhost/image", "redirects to .* not a public http address"),
        ("/to/file:///etc/passwd", "edirection to .* is not allowed"),
    ],
)
def test_urls_have_limits(server: str, path: str, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image_loading, "MAX_BYTES", 2000)
    monkeypatch.setattr(image_loading, "MAX_SECONDS", 1.0)
    started = time.monotonic()
    with pytest.raises(ValueError, match=f"^image 1: .* could not be read: .*{message}"):
        rgb(server + path)
    assert time.monotonic() - started < 5


def test_other_machines_are_not_asked_offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args: pytest.fail("asked"))
    with pytest.raises(ValueError, match=r"offline mode is on \(HF_HUB_OFFLINE\)"):
        rgb("http://example.com/image.png")

"""Writes what text-to-pose in a browser needs beside a model, into a folder that a site serves.

    python viewer/vendor_onnxruntime.py FOLDER

The files are those of two npm packages, onnxruntime-web (MIT) and @huggingface/tokenizers (Apache-2.0), checked by
their sha256 sums; npm fetches them. `text_to_pose.mjs` is our own and imports them.
"""

import argparse
import shutil
import tempfile
from pathlib import Path

from unipose.mediapipe_files import read_checked, unpack_packages


RUNTIME, TOKENIZERS = "onnxruntime-web@1.30.0", "@huggingface/tokenizers@0.2.0"
# (package, file in it, sha256)
FILES = (
    (RUNTIME, "ort.wasm.min.mjs", "219e6a1fc8a9938268d18efca3c91d310bd2f4a59bbd13744df5b2b7fc6cee3b"),
    (RUNTIME, "ort-wasm-simd-threaded.mjs", "e13f7f94fc51b4ca72b12faeb1ee95f4ace6dfbc8939bc718aabdc0a27c4299b"),
    (RUNTIME, "ort-wasm-simd-threaded.wasm", "3398c10d07d229bd91b364548e130e0e51a8e5704b88c7c083ebbeb78842dee2"),
    (TOKENIZERS, "tokenizers.min.mjs", "258e46332101335ce8d95aed7745b19ac3b46d37f3e159a89cf894c2ea9b1d3a"),
)
MODULE = Path(__file__).with_name("text_to_pose.mjs")
NOTICE = """{tokenizers}, Copyright Hugging Face, Apache License 2.0 (see LICENSE)

{runtime}, MIT License

Copyright (c) Microsoft Corporation

Permission is hereby granted, free of charge, to any person obtaining a copy of this software and associated
documentation files (the "Software"), to deal in the Software without restriction, including without limitation the
rights to use, copy, modify, merge, publish, distribute, sublicense, and/or sell copies of the Software, and to permit
persons to whom the Software is furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all copies or substantial portions of the
Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT NOT LIMITED TO THE
WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR
COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR
OTHERWISE, ARISING FROM, OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE.
"""


def vendor(folder: Path) -> None:
    """Writes the files.

    Args:
        folder: Folder to write to.
    """
    with tempfile.TemporaryDirectory() as temporary:
        packages = unpack_packages([RUNTIME, TOKENIZERS], Path(temporary))
        contents = {name: read_checked(packages[package] / "dist" / name, sha256) for package, name, sha256 in FILES}
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in contents.items():
        (folder / name).write_bytes(data)
    shutil.copy(MODULE, folder / MODULE.name)
    (folder / "NOTICE").write_text(NOTICE.format(runtime=RUNTIME, tokenizers=TOKENIZERS), encoding="utf-8")
    shutil.copy(Path(__file__).parents[1] / "LICENSE", folder / "LICENSE")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    vendor(parser.parse_args().folder)

"""Size of the wheel, built in a temporary folder, and its target.

python benchmarks/wheel_size.py
"""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from measure import print_table


ROOT = Path(__file__).parents[1]
TARGET_MB = 40
# Not needed for a build.
IGNORED = shutil.ignore_patterns(
    ".*", "runs", "build", "dist", "*.egg-info", "__pycache__", "demo_out", "node_modules", "mediapipe"
)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        # Built from a copy, because setuptools writes next to setup.py.
        shutil.copytree(ROOT, Path(folder) / "source", ignore=IGNORED)
        command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", folder]
        subprocess.run([*command, str(Path(folder) / "source")], check=True, capture_output=True)
        (wheel,) = Path(folder).glob("*.whl")
        megabytes = wheel.stat().st_size / 1e6
    print_table(["wheel", "MB", "target (below)"], [(wheel.name, f"{megabytes:.2f}", f"{TARGET_MB}")])


if __name__ == "__main__":
    main()

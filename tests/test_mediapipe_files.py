"""`unipose get-mediapipe`: what npm fetches is checked, and what goes wrong is said in one line."""

import zipfile
from pathlib import Path

import pytest

from unipose import mediapipe_files
from unipose.cli import main
from unipose.mediapipe_files import DETECTOR, FILES, LANDMARKS, POSE, TASKS, read_license, write_mediapipe


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Path]:
    """The unpacked packages, with other files."""
    folders = {TASKS: tmp_path / "tasks", POSE: tmp_path / "pose"}
    models = [(POSE, row[0]) for row in (DETECTOR, *LANDMARKS.values())]
    for package, file in [*((package, file) for package, file, _, _ in FILES), *models]:
        path = folders[package] / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(file.encode())
    monkeypatch.setattr(mediapipe_files, "unpack_packages", lambda names, folder: folders)
    return folders


def fake_npm(folder: Path, script: str) -> None:
    (folder / "npm").write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    (folder / "npm").chmod(0o755)


def test_files_with_other_sums_are_refused(packages: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"vision_bundle\.mjs has the sha256 sum [0-9a-f]{64}; expected 55d7ab62"):
        write_mediapipe(tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_all_files_are_written_with_license_and_notice(
    packages: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mediapipe_files, "read_checked", lambda path, sha256: path.read_bytes())
    monkeypatch.setattr(mediapipe_files, "add_metadata", lambda model, metadata: metadata + model)
    write_mediapipe(tmp_path / "out")
    assert {name for _, _, name, _ in FILES} <= {
        path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*") if path.is_file()
    }
    for kind in ("heavy", "full"):
        with zipfile.ZipFile(tmp_path / "out" / f"pose_landmarker_{kind}.task") as archive:
            assert archive.namelist() == ["pose_detector.tflite", "pose_landmarks_detector.tflite"]
            assert archive.read("pose_landmarks_detector.tflite").endswith(f"pose_landmark_{kind}.tflite".encode())
            assert all(info.compress_type == zipfile.ZIP_STORED for info in archive.infolist())
    assert "Apache License" in (tmp_path / "out" / "LICENSE").read_text(encoding="utf-8") == read_license()
    assert POSE in (tmp_path / "out" / "NOTICE").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("script", "words"),
    [
        (None, "npm is not installed"),
        ("echo 'npm error code ENOTFOUND' >&2; exit 1", "npm cannot fetch @mediapipe/tasks-vision@0.10.35: npm error"),
        ("exit 3", "it ended with 3"),
    ],
)
def test_npm_that_fails_is_named(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
    script: str | None,
    words: str,
) -> None:
    if script is not None:
        fake_npm(tmp_path, script)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert main(["get-mediapipe", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert words in error
    assert len(error.strip().splitlines()) == 1
    assert not (tmp_path / "out").exists()

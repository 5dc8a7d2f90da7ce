"""Imports: saved records equal the imported ones, an interrupted import resumes, folders are not mixed up."""

import pickle

import numpy as np
import pytest
from dataset_files import encode_image, gradient, hmr_person, random_poses, write_posefix, write_smplh, write_tar

from unipose.training.datasets.import_data import (
    ImportArguments,
    SavedRecords,
    main,
    open_source,
    save_records,
)
from unipose.training.datasets.importers import AmassPoses
from unipose.training.datasets.records import ImageRecord, PosePairRecord, PoseRecord


def equal(first, second) -> bool:
    """Records of the same kind with the same values and types."""
    return type(first) is type(second) and all(
        type(a) is type(b) and np.array_equal(a, b)
        for a, b in zip(vars(first).values(), vars(second).values(), strict=True)
    )


@pytest.fixture
def amass(tmp_path):
    for number in range(3):
        write_smplh(tmp_path / "AMASS" / "CMU" / f"{number}_poses.npz", random_poses(8, number))
    write_smplh(tmp_path / "AMASS" / "KIT" / "3_poses.npz", random_poses(8, 3))
    return tmp_path / "AMASS"


def run(monkeypatch, *arguments) -> None:
    monkeypatch.setattr("sys.argv", ["import_data", *map(str, arguments)])
    main()


def test_amass_from_the_command_line(amass, tmp_path, monkeypatch, capsys):
    output = tmp_path / "records"
    run(monkeypatch, "--source", "amass", "--root", amass, "--output", output, "--stride", 2, "--limit", 7)
    assert "7 records" in capsys.readouterr().out
    saved = SavedRecords(output)
    loaded = list(AmassPoses(amass, stride=2, seed=0))[:7]
    assert all(equal(*pair) for pair in zip(saved, loaded, strict=True))
    assert equal(saved[-1], loaded[-1])
    assert [record.name for record in saved[2:4]] == [record.name for record in loaded[2:4]]
    assert isinstance(saved[0], PoseRecord)


def test_weights_draw_sub_datasets(amass, tmp_path):
    arguments = ImportArguments("amass", str(amass), "", weights={"CMU": 1.0, "KIT": 3.0}, limit=400)
    names = [record.name for record in open_source(arguments)]
    assert len(names) == 400
    assert sum(name.startswith("KIT") for name in names) / 400 == pytest.approx(0.75, abs=0.06)
    with pytest.raises(ValueError, match="expected a limit"):
        open_source(ImportArguments("amass", str(amass), "", weights={"CMU": 1.0}))


def test_pairs_and_images_are_saved(amass, tmp_path):
    frames = [("CMU/0_poses.npz", 0), ("CMU/0_poses.npz", 3), ("CMU/1_poses.npz", 2)]
    posefix = write_posefix(tmp_path / "posefix", frames, [(0, 1), (1, 2)], {"train_in": [0], "train_out": [1]})
    members = {"a.jpg": encode_image(gradient(100, 80), "JPEG")}
    members["a.data.pyd"] = pickle.dumps([hmr_person(random_poses(1, 9)[0])])
    tars = write_tar(tmp_path / "0.tar", members)
    for arguments, kind in (
        (ImportArguments("posefix", str(posefix), "", amass=str(amass)), PosePairRecord),
        (ImportArguments("hmr_tars", str(tars), "", pickles_may_run_code=True), ImageRecord),
    ):
        output = tmp_path / f"records-{arguments.source}"
        save_records(open_source(arguments), output, {})
        saved, loaded = list(SavedRecords(output)), list(open_source(arguments))
        assert saved
        assert all(isinstance(record, kind) for record in saved)
        assert all(equal(*pair) for pair in zip(saved, loaded, strict=True))


def test_an_interrupted_import_resumes(amass, tmp_path):
    output, loader = tmp_path / "records", AmassPoses(amass)

    def interrupted():
        for number, record in enumerate(loader):
            if number == 13:
                raise KeyboardInterrupt
            yield record

    with pytest.raises(KeyboardInterrupt):
        save_records(interrupted(), output, {"a": 1}, part=5)
    with pytest.raises(ValueError, match="was interrupted"):
        SavedRecords(output)
    kept = {path: path.stat().st_mtime_ns for path in output.glob("part-*/*")}
    assert len({path.parent for path in kept}) == 2
    save_records(loader, output, {"a": 1}, part=5)
    assert all(path.stat().st_mtime_ns == written for path, written in kept.items())
    assert all(equal(*pair) for pair in zip(SavedRecords(output), loader, strict=True))
    save_records(iter(()), output, {"a": 1}, part=5)
    assert len(SavedRecords(output)) == 32


def test_folders_are_not_mixed_up(amass, tmp_path):
    output = tmp_path / "records"
    save_records(AmassPoses(amass, ["KIT"]), output, {"seed": 0})
    with pytest.raises(ValueError, match=r"was made from .*'seed': 0.*; expected .*'seed': 1"):
        save_records(AmassPoses(amass), output, {"seed": 1})
    with pytest.raises(ValueError, match="holds other files"):
        save_records(AmassPoses(amass), amass, {})
    with pytest.raises(ValueError, match=r"holds no records: there is no .*import.json"):
        SavedRecords(tmp_path)
    with pytest.raises(ValueError, match="source without records"):
        save_records([], tmp_path / "empty", {})
    with pytest.raises(ValueError, match="unknown source 'imagenet'; expected one of amass, posescript"):
        open_source(ImportArguments("imagenet", "", ""))


@pytest.fixture
def saved(tmp_path):
    records = [PoseRecord(f"a:{index}", pose.astype(np.float32)) for index, pose in enumerate(random_poses(3, 0))]
    save_records(records, tmp_path / "records", {})
    return tmp_path / "records"


@pytest.mark.parametrize("place", [0.3, 0.6, 0.9])
def test_a_flipped_bit_of_records_is_named(saved, place):
    """Without checksums it would be another pose, or end the process."""
    (path,) = saved.rglob("*.arrow")
    content = bytearray(path.read_bytes())
    content[int(place * len(content))] ^= 1
    path.unlink()
    path.write_bytes(content)
    with pytest.raises(ValueError, match=rf"{path.name} is damaged: its SHA-256 is"):
        SavedRecords(saved)
    path.unlink()
    with pytest.raises(ValueError, match=rf"{path.name} is damaged: its SHA-256 is None"):
        SavedRecords(saved)


def test_records_of_an_earlier_version_have_no_checksums(saved):
    next(saved.rglob("sha256.json")).unlink()
    assert len(SavedRecords(saved)) == 3
    next(saved.rglob("state.json")).write_text("{}")
    with pytest.raises(ValueError, match=r"part-00000 is damaged: .*import the dataset again"):
        SavedRecords(saved)


def test_a_lost_part_of_records_is_an_error(saved):
    state = saved / "import.json"
    state.write_text(state.read_text().replace('"records": 3', '"records": 4'))
    with pytest.raises(ValueError, match=r"holds 3 records, .*import.json says 4"):
        SavedRecords(saved)
    for content in ("<html>", "[]", "{}"):
        state.write_text(content)
        with pytest.raises(ValueError, match=r"import.json is damaged"):
            SavedRecords(saved)

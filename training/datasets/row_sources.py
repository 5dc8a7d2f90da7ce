"""Where users' rows come from: files, folders, datasets and the Hub -> plain dicts, each with its place."""

import csv
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeAlias

from datasets import Dataset, DatasetDict, Features, Image, List, load_dataset, load_from_disk
from datasets.config import DATASET_STATE_JSON_FILENAME, DATASETDICT_JSON_FILENAME

from unipose.configuration_unipose import shorten
from unipose.processing.pose_features import Frame
from unipose.training.datasets.row_values import Place
from unipose.training.datasets.shards import CORPUS_FILE, load_corpus


Source: TypeAlias = str | Path | Dataset | DatasetDict | Iterable[Mapping[str, Any]]

TABLE_ENDINGS = (".jsonl", ".csv", ".tsv", ".parquet")
ACCEPTED_SOURCES = (
    f"a {', '.join(TABLE_ENDINGS)} file, a folder of them, a folder by save_to_disk, a Dataset, a list of dicts, or "
    "the id of a Hub dataset (owner/name)"
)
# csv's own limit is 128 kB; a pose may be JSON in a cell.
MAX_CELL = 2**24

_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")


def open_rows(
    source: Source, split: str = "train", frame: Frame | None = None
) -> Iterator[tuple[Mapping[str, Any], Place]]:
    """The rows of a source as they are, each with its place.

    Args:
        source: `ACCEPTED_SOURCES`.
        split: Split of a DatasetDict, of a corpus or of a Hub dataset.
        frame: Frame of poses that state none.

    Raises:
        ValueError: It is none of these, or a row cannot be read; the message names the file and the line.
        FileNotFoundError: There is no such file, folder or dataset.
    """
    if isinstance(source, Dataset | DatasetDict):
        yield from dataset_rows(choose_split(source, split, "the DatasetDict"), "row", Path(), frame)
    elif isinstance(source, str | Path):
        yield from path_rows(source, split, frame)
    elif isinstance(source, Iterable) and not isinstance(source, Mapping | bytes):
        for number, row in enumerate(source):
            yield check_mapping(row, f"row {number}"), Place(f"row {number}", Path(), frame)
    else:
        raise ValueError(f"got {shorten(source)} as the source of rows; expected {ACCEPTED_SOURCES}")


def path_rows(source: str | Path, split: str, frame: Frame | None) -> Iterator[tuple[Mapping[str, Any], Place]]:
    """The rows of a file, a folder or a Hub dataset.

    Args:
        source: A path, or the id of a Hub dataset.
        split: See `open_rows`.
        frame: See `open_rows`.

    Raises:
        ValueError: See `open_rows`.
        FileNotFoundError: See `open_rows`.
    """
    path = Path(source)
    if path.is_file():
        yield from file_rows(path, path.name, frame)
    elif (path / CORPUS_FILE).exists():
        yield from dataset_rows(load_corpus(path, split), f"{path.name}/{split}, row", path, frame)
    elif (path / DATASET_STATE_JSON_FILENAME).exists() or (path / DATASETDICT_JSON_FILENAME).exists():
        dataset = choose_split(load_from_disk(path), split, str(path))
        yield from dataset_rows(dataset, f"{path.name}, row", path, frame)
    elif path.is_dir():
        for file in table_files(path):
            yield from file_rows(file, file.relative_to(path).as_posix(), frame)
    elif _HUB_ID.fullmatch(str(source)) and not path.parent.exists():
        yield from dataset_rows(load_hub_dataset(str(source), split), f"{source}, row", None, frame)
    else:
        raise FileNotFoundError(f"there is no file or folder {str(source)!r}; expected {ACCEPTED_SOURCES}")


def load_hub_dataset(name: str, split: str) -> Dataset:
    """A dataset of the Hub.

    Args:
        name: owner/name.
        split: Its split.

    Raises:
        FileNotFoundError: It cannot be loaded.
    """
    try:
        return load_dataset(name, split=split)
    except Exception as error:  # Builders, the network and the file system raise nearly anything.
        raise FileNotFoundError(
            f"{name!r} is no file or folder, and loading it from the Hub failed: {str(error).splitlines()[0]}"
        ) from error


def choose_split(dataset: Dataset | DatasetDict, split: str, name: str) -> Dataset:
    """The named split of a DatasetDict; a Dataset as it is.

    Args:
        dataset: Either.
        split: Name of the split.
        name: Name of the dataset in errors.

    Raises:
        ValueError: There is no such split.
    """
    if isinstance(dataset, Dataset):
        return dataset
    if split not in dataset:
        raise ValueError(f"{name} has no split {split!r}; it has {', '.join(map(str, dataset))}")
    return dataset[split]


def table_files(folder: Path) -> list[Path]:
    """The tables of a folder and its subfolders, all of one kind, in the order of their names.

    Raises:
        ValueError: There is none, or there are several kinds.
    """
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in TABLE_ENDINGS and path.is_file())
    kinds = sorted({path.suffix.lower() for path in files})
    if len(kinds) != 1:
        got = f"tables of several kinds ({', '.join(kinds)})" if kinds else "no table"
        raise ValueError(f"{folder} holds {got}; expected one kind of {', '.join(TABLE_ENDINGS)}, or name one file")
    return files


def file_rows(path: Path, name: str, frame: Frame | None) -> Iterator[tuple[Mapping[str, Any], Place]]:
    """The rows of one table; its paths are relative to its folder.

    Args:
        path: The file.
        name: How errors name it.
        frame: Frame of poses that state none.

    Raises:
        ValueError: Another ending, or a row that cannot be read.
    """
    ending = path.suffix.lower()
    if ending not in TABLE_ENDINGS:
        raise ValueError(f"{path} ends in {path.suffix!r}; expected {', '.join(TABLE_ENDINGS)}")
    if ending == ".parquet":
        try:
            dataset = Dataset.from_parquet(str(path), keep_in_memory=True)
        except Exception as error:  # pyarrow and the cache of datasets raise nearly anything.
            raise ValueError(f"{path} cannot be read as Parquet: {error}") from error
        yield from dataset_rows(dataset, f"{name}, row", path.parent, frame)
        return
    lines = json_lines(path, name) if ending == ".jsonl" else cells(path, name, "\t" if ending == ".tsv" else ",")
    for line, row in lines:
        yield row, Place(f"{name}, line {line}", path.parent, frame)


def json_lines(path: Path, name: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """Numbers and objects of a .jsonl file's lines; empty lines are none.

    Args:
        path: The file.
        name: How errors name it.

    Raises:
        ValueError: A line is no JSON object, or no UTF-8.
    """
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            place = f"{name}, line {number}"
            try:
                text = line.decode("utf-8-sig" if number == 1 else "utf-8").strip()
                row = json.loads(text) if text else None
            except (ValueError, RecursionError) as error:
                raise ValueError(f"{place}: it is no JSON: {error}; got {shorten(line)}") from error
            if text:
                yield number, check_mapping(row, place)


def cells(path: Path, name: str, delimiter: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """Numbers of the last lines, and rows, of a table with a header; empty cells are None.

    Args:
        path: The file.
        name: How errors name it.
        delimiter: Between the cells.

    Raises:
        ValueError: No header, a column twice, or a row with another number of cells.
    """
    csv.field_size_limit(MAX_CELL)
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file, delimiter=delimiter, strict=True)
        try:
            header = [column.strip() for column in next(reader, [])]
            if not header or len(set(header)) < len(header):
                raise ValueError(f"{name}, line 1: got the columns {shorten(header)}; expected different names")
            for values in reader:
                if not values:
                    continue
                place = f"{name}, line {reader.line_num}"
                if len(values) != len(header):
                    raise ValueError(f"{place}: got {len(values)} cells; expected {len(header)}, one per column")
                yield reader.line_num, {column: value or None for column, value in zip(header, values)}
        except (csv.Error, UnicodeError) as error:
            raise ValueError(f"{name}, line {reader.line_num}: it is no table of UTF-8 text: {error}") from error


def dataset_rows(
    dataset: Dataset, name: str, folder: Path | None, frame: Frame | None
) -> Iterator[tuple[Mapping[str, Any], Place]]:
    """The rows of a dataset; its images stay encoded.

    Args:
        dataset: The dataset.
        name: How errors name a row, before its number.
        folder: Folder to which paths are relative; None: they are refused.
        frame: Frame of poses that state none.
    """
    encoded = dataset.with_format(None).cast(keep_images_encoded(dataset.features))
    for number, row in enumerate(encoded):
        yield row, Place(f"{name} {number}", folder, frame)


def keep_images_encoded(features: Features) -> Features:
    """The features of a dataset whose images are not decoded."""

    def encoded(feature: Any) -> Any:
        if isinstance(feature, Image):
            return Image(decode=False)
        if isinstance(feature, List):
            return List(encoded(feature.feature), length=feature.length)
        if isinstance(feature, dict):
            return {name: encoded(part) for name, part in feature.items()}
        return feature

    return Features({name: encoded(feature) for name, feature in features.items()})


def check_mapping(row: Any, name: str) -> Mapping[str, Any]:
    """A row that is a dict.

    Args:
        row: A row.
        name: How errors name it.

    Raises:
        ValueError: It is none.
    """
    if not isinstance(row, Mapping):
        raise ValueError(f"{name}: got {shorten(row)}; expected an object with the columns of a row")
    return row

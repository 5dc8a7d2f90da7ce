"""`unipose batch`: requests from a .jsonl file, answers to another; it continues where it was interrupted."""

import hashlib
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from .cli_console import Console, first_line, is_standard, print_json
from .cli_inputs import implied_task
from .cli_poses import answer_record
from .photo_poses import ESTIMATED_TASKS
from .pipeline_unipose import UniPosePipeline
from .processing.pose_frames import Frame
from .processing.pose_io import write_atomically
from .processing.processing_unipose import UniPoseProcessor


REQUEST_KEYS = ("text", "messages", "poses", "images", "task", "frame", "id")
# Requests of one task share a batch although others lie between them, within this number of batches.
WINDOW = 8


class Request(NamedTuple):
    """One line of the requests.

    Args:
        line: Its number, from 1.
        key: Fingerprint of the line and of the command's options: an answer that is there already must have it.
        id: The user's name of the request, or None.
        inputs: Arguments of the pipeline: text, images, poses, task and frame.
        error: What is wrong with the line; then there are no inputs.
    """

    line: int
    key: str
    id: Any
    inputs: dict[str, Any]
    error: str | None = None


@dataclass(frozen=True)
class BatchRun:
    """How requests are answered.

    Args:
        model: Folder or Hub id; None: the packaged model.
        task: Task of requests that name none; None: it follows from their inputs.
        frame: Frame of the poses of requests that name none.
        output_frame: Frame of the poses of the answers.
        options: More arguments of the pipeline.
        estimator: What finds the poses of images in place of the model; None: nothing.
        size: Number of requests of a batch.
    """

    model: str | None
    task: str | None
    frame: Frame | None
    output_frame: Frame
    options: dict[str, Any]
    estimator: str | None
    size: int

    def answer(self, source: str, target: str, load: Callable[[str | None], UniPosePipeline], console: Console) -> int:
        """Answers all requests that have no answer yet.

        Args:
            source: Path of the requests; "-": standard input.
            target: Path of the answers; "-": standard output.
            load: Loads the pipeline of a model.
            console: Where progress and notes go.

        Returns:
            The number of failed requests.

        Raises:
            ValueError: The target holds something else than answers to these requests.
            OSError: The model or a file cannot be read or written.
        """
        requests = [self.read(line, number) for number, line in enumerate(read_lines(source), 1) if line.strip()]
        kept = set() if is_standard(target) else read_answers(Path(target), requests)
        waiting = [request for request in requests if request.line not in kept]
        failed = 0
        if waiting:
            pipe = load(self.model)
            console.detail(f"{pipe.model.name_or_path} on {pipe.device}; {len(kept)} answers are there already")
            bar = console.progress(total=len(requests), initial=len(kept), unit=" requests")
            with open_answers(target) as write, bar:
                for start in range(0, len(waiting), self.size * WINDOW):
                    for record in self.answer_window(pipe, waiting[start : start + self.size * WINDOW]):
                        write(record)
                        failed += "error" in record
                        bar.update()
        if not is_standard(target):
            sort_answers(Path(target))
        console.note(f"{len(requests)} requests: {len(kept)} answered before, {len(waiting)} now, {failed} failed")
        return failed

    def read(self, line: str, number: int) -> Request:
        """Reads a request.

        Args:
            line: The line.
            number: Its number, from 1.
        """
        settings = [self.model, self.task, self.frame, self.output_frame, self.options, self.estimator]
        key = hashlib.sha256(json.dumps([line.strip(), settings]).encode()).hexdigest()[:16]
        try:
            return Request(number, key, *self.read_content(json.loads(line)))
        except json.JSONDecodeError as error:
            return Request(number, key, None, {}, f"the line is not JSON: {first_line(error)}")
        except (ValueError, RecursionError) as error:
            return Request(number, key, None, {}, first_line(error))

    def read_content(self, content: Any) -> tuple[Any, dict[str, Any]]:
        """The id of a request, and its arguments of the pipeline.

        Raises:
            ValueError: It has another form.
        """
        if not isinstance(content, dict):
            raise ValueError(f"a request is a JSON object, got {type(content).__name__}")
        if unknown := content.keys() - set(REQUEST_KEYS):
            raise ValueError(f"a request has the keys {sorted(unknown)}; accepted: {', '.join(REQUEST_KEYS)}")
        if content.get("text") is not None and content.get("messages") is not None:
            raise ValueError("a request has a text or messages, got both")
        images = UniPoseProcessor.group_images(content.get("images")).items
        poses = UniPoseProcessor.group_poses(content.get("poses")).items
        # A pose as lists of numbers would be taken for several.
        poses = [np.array(pose) if isinstance(pose, list) else pose for pose in poses]
        task = content.get("task") or self.task
        if task is None and content.get("messages") is None:
            task = implied_task(content.get("text"), poses, images)
        return content.get("id"), {
            "text": content.get("text") if content.get("messages") is None else content["messages"],
            "images": images,
            "poses": poses,
            "task": task,
            "frame": content.get("frame") or self.frame,
        }

    def answer_window(self, pipe: UniPosePipeline, requests: Sequence[Request]) -> Iterator[dict[str, Any]]:
        """The records of requests, in order; those of one task and frame are answered together.

        Args:
            pipe: The pipeline.
            requests: The requests.
        """
        groups: dict[str, list[Request]] = {}
        for request in requests:
            if request.error is None:
                shared = json.dumps([request.inputs["task"], request.inputs["frame"]])
                groups.setdefault(shared, []).append(request)
        records: dict[int, dict[str, Any]] = {}
        for group in groups.values():
            for start in range(0, len(group), self.size):
                rows = group[start : start + self.size]
                records |= zip((request.line for request in rows), self.answer_rows(pipe, rows))
        for request in requests:
            entry = {"line": request.line, "request": request.key}
            entry |= {} if request.id is None else {"id": request.id}
            yield entry | ({"error": request.error} if request.error else records[request.line])

    def answer_rows(self, pipe: UniPosePipeline, requests: Sequence[Request]) -> list[dict[str, Any]]:
        """Answers requests of one task at once; where one of them fails, each by itself.

        Args:
            pipe: The pipeline.
            requests: The requests.
        """
        columns: dict[str, Any] = {
            name: [request.inputs[name] for request in requests] for name in ("text", "images", "poses")
        }
        shared = {name: requests[0].inputs[name] for name in ("task", "frame")}
        if shared["task"] in ESTIMATED_TASKS:
            shared["estimator"] = self.estimator
        try:
            results = pipe(**columns, **shared, **self.options, batch_size=self.size)
        except Exception as error:  # whatever a request causes, the others have their answers
            if len(requests) == 1:
                name = "" if isinstance(error, ValueError | OSError) else f"{type(error).__name__}: "
                return [{"error": name + first_line(error).removeprefix("row 1, ")}]
            return [record for request in requests for record in self.answer_rows(pipe, [request])]
        return [self.to_record(result) for result in results]

    def to_record(self, result: Any) -> dict[str, Any]:
        """The answer of a request, or all of several, as JSON."""
        if isinstance(result, list):
            return {"answers": [answer_record(answer, self.output_frame) for answer in result]}
        return answer_record(result, self.output_frame)


def read_lines(source: str) -> list[str]:
    """The lines of a UTF-8 file.

    Args:
        source: Its path; "-": standard input.

    Raises:
        ValueError: It is not UTF-8.
        OSError: It cannot be read.
    """
    content = sys.stdin.buffer.read() if is_standard(source) else Path(source).read_bytes()
    try:
        return content.decode("utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        raise ValueError(f"the requests in {source} are not UTF-8: {error}") from error


def read_answers(path: Path, requests: Sequence[Request]) -> set[int]:
    """The lines whose requests have answers; an incomplete last line, of an interruption, is removed from the file.

    Args:
        path: The answers; there may be no such file.
        requests: All requests.

    Raises:
        ValueError: The file holds something else than answers to these requests.
        OSError: It cannot be read or written.
    """
    if not path.exists():
        return set()
    content = path.read_bytes()
    complete = content[: content.rfind(b"\n") + 1]
    keys = {request.line: request.key for request in requests}
    kept = set()
    for number, line in enumerate(complete.splitlines(), start=1):
        try:
            record = json.loads(line)
            known = keys[record["line"]] == record["request"]
        except (ValueError, TypeError, KeyError):
            known = False
        if not known:
            raise ValueError(
                f"line {number} of {path} does not answer one of these requests with these options: delete the file, "
                "or write to another one"
            )
        if "error" not in record:
            kept.add(record["line"])
    if complete != content:
        write_atomically(path, complete)
    return kept


@contextmanager
def open_answers(target: str) -> Iterator[Callable[[Any], None]]:
    """Opens the answers for more of them -> a function that writes one, at once.

    Args:
        target: Path of the answers, whose folder is created; "-": standard output.
    """
    if is_standard(target):
        yield print_json
        return
    Path(target).parent.mkdir(parents=True, exist_ok=True)
    with Path(target).open("a", encoding="utf-8") as file:

        def write(record: Any) -> None:
            file.write(json.dumps(record, ensure_ascii=False) + "\n")
            file.flush()

        yield write


def sort_answers(path: Path) -> None:
    """Sorts answers by line; of a line with several, as after an error, the last remains."""
    content = path.read_bytes()
    records = {json.loads(line)["line"]: line for line in content.splitlines(keepends=True)}
    in_order = b"".join(records[line] for line in sorted(records))
    if in_order != content:
        write_atomically(path, in_order)

"""Rewrites automatic captions with a chat model and keeps the faithful rewrites (ImageScript, ImageDiff).

python -m unipose.training.refine.refine_corpus --config training/recipes/refine_captions.yaml

Records are lines of JSON: {"name": str, "text": str, "images": [path, ...], "rotvecs": (22, 3)}, the last two
optional; paths are relative to the file. "rotvecs" are rotation vectors of the stored pose in radians, (2, 22, 3) of
the two poses of a difference: with them statements can be checked against the poses themselves. A folder that
`build_corpus` has written is accepted too. Results are lines of JSON, see `Refined`; the same command resumes a
stopped run.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import asdict, dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path
from typing import cast, get_args

from tqdm.auto import tqdm
from trl import TrlParser

from unipose.training.refine.chat_models import (
    ChatError,
    ChatModel,
    OpenAIChatModel,
    PipelineChatModel,
    PipelineTask,
)
from unipose.training.refine.checks import Verdict, check_caption, check_difference
from unipose.training.refine.prompts import Task, refine_messages, retry_messages
from unipose.training.refine.store import Refined, Request, Results, read_requests


Check = Callable[[Request, str], Verdict]


@dataclass
class RefineArguments:
    """The texts to rewrite, and the model."""

    records: str = field(metadata={"help": "JSONL file of records, or folder of a corpus by build_corpus."})
    model: str = field(metadata={"help": "Name of the model at the endpoint, or folder or Hub id of a local model."})
    output: str = field(
        default="runs/refined.jsonl", metadata={"help": "JSONL file of the results; new ones are appended."}
    )
    task: str = field(default="caption", metadata={"help": "Kind of the texts: caption or difference."})
    base_url: str = field(
        default="", metadata={"help": "Address of the endpoint, such as http://localhost:8000/v1; empty: local model."}
    )
    key_variable: str = field(default="OPENAI_API_KEY", metadata={"help": "Environment variable that holds the key."})
    pipeline_task: str = field(
        default="image-text-to-text", metadata={"help": "Task of the pipeline of a local model."}
    )
    images: bool = field(default=True, metadata={"help": "Whether to send the images to the model."})
    rounds: int = field(default=3, metadata={"help": "Maximum number of rewrites requested per text."})
    options: str = field(
        default='{"max_tokens": 400, "temperature": 0.3}', metadata={"help": "JSON object of options of each request."}
    )
    workers: int = field(default=8, metadata={"help": "Number of parallel requests."})
    attempts: int = field(default=6, metadata={"help": "Maximum number of attempts per request."})
    timeout: float = field(
        default=120.0, metadata={"help": "Seconds without data from the endpoint after which a request fails."}
    )
    stop_after: int = field(default=20, metadata={"help": "Number of failures in a row after which the run stops."})


@dataclass
class Summary:
    """Number of texts with a faithful rewrite, with the automatic text kept, without an answer, and with a result."""

    accepted: int = 0
    rejected: int = 0
    failed: int = 0
    known: int = 0

    def __str__(self) -> str:
        return (
            f"{self.accepted} accepted, {self.rejected} rejected (automatic text kept), {self.failed} failed "
            f"(run again to retry), {self.known} were there before"
        )


def check_request(task: Task, request: Request, rewrite: str) -> Verdict:
    """The usual check of a task.

    Args:
        task: the task.
        request: the automatic text, with its poses if known.
        rewrite: the model's rewrite.
    """
    poses = request.poses
    if task == "difference":
        pair = poses if poses is not None and len(poses.joints) == 2 else None
        return check_difference(request.text, rewrite, pair and pair.joints, rotmats=pair and pair.rotmats)
    one = poses if poses is not None and len(poses.joints) == 1 else None
    return check_caption(request.text, rewrite, one and one.joints[0], rotmats=one and one.rotmats[0])


def refine_one(request: Request, model: ChatModel, task: Task, check: Check, rounds: int, prompt: str) -> Refined:
    """Requests rewrites until one is faithful; after `rounds` of them the automatic text stays.

    Args:
        request: the text.
        model: the chat model.
        task: the task.
        check: checks a rewrite.
        rounds: maximum number of requested rewrites.
        prompt: the hash of the request, from `hash_prompt`.

    Raises:
        ChatError: the model gave no answer.
    """
    messages = refine_messages(task, request.text, request.images)
    reasons: tuple[str, ...] = ()
    for number in range(1, rounds + 1):
        rewrite = model.answer(messages).strip('"\u201c\u201d \n')
        verdict = check(request, rewrite)
        if verdict.accepted:
            return Refined(request.name, prompt, rewrite, True, request.text, model.name, number)
        reasons = verdict.reasons
        messages = retry_messages(messages, rewrite, reasons)
    return Refined(request.name, prompt, request.text, False, request.text, model.name, rounds, reasons)


def hash_prompt(task: Task, request: Request) -> str:
    """A hash of the messages with their images.

    Args:
        task: the task.
        request: the text.
    """
    messages = refine_messages(task, request.text, request.images)
    return hashlib.sha256(json.dumps(messages).encode()).hexdigest()[:16]


def refine(
    requests: Iterable[Request],
    model: ChatModel,
    results: Results,
    task: Task = "caption",
    check: Check | None = None,
    rounds: int = 3,
    workers: int = 8,
    stop_after: int = 20,
) -> Summary:
    """Rewrites texts, several at a time, and adds each to the results when it is done.

    Args:
        requests: the texts, read only as fast as they are rewritten.
        model: the chat model.
        results: the file of results; texts with a result are not requested again.
        task: kind of the texts.
        check: checks a rewrite; default: `check_request`.
        rounds: maximum number of rewrites requested per text.
        workers: number of parallel requests.
        stop_after: number of failures in a row after which the run stops, because the endpoint or the key fails.

    Raises:
        ChatError: `stop_after` requests in a row got no answer.
        ValueError: the images of a request do not fit the task.
    """
    check = partial(check_request, task) if check is None else check
    summary, in_a_row = Summary(), 0
    todo = _not_yet_known(requests, task, results.keys, summary)
    with ThreadPoolExecutor(workers) as pool, tqdm(desc="rewrites", unit="text") as progress:
        running: dict[Future[Refined], None] = {}
        try:
            while True:
                for request, prompt in islice(todo, 2 * workers - len(running)):
                    running[pool.submit(refine_one, request, model, task, check, rounds, prompt)] = None
                if not running:
                    return summary
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    del running[future]
                    in_a_row = _store(future, results, summary, in_a_row, stop_after)
                    progress.update()
                    progress.set_postfix(asdict(summary))
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _not_yet_known(
    requests: Iterable[Request], task: Task, known: set[tuple[str, str]], summary: Summary
) -> Iterator[tuple[Request, str]]:
    seen = set(known)
    for request in requests:
        try:
            key = (request.name, hash_prompt(task, request))
        except ValueError as error:
            raise ValueError(f"{request.name}: {error}") from error
        if key in seen:
            summary.known += 1
            continue
        seen.add(key)
        yield request, key[1]


def _store(future: Future[Refined], results: Results, summary: Summary, in_a_row: int, stop_after: int) -> int:
    """Stores a result; returns how many requests in a row have failed."""
    try:
        refined = future.result()
    except ChatError as error:
        summary.failed += 1
        tqdm.write(f"failed: {error}")
        if in_a_row + 1 >= stop_after:
            raise ChatError(f"{in_a_row + 1} requests in a row failed; the last: {error}") from None
        return in_a_row + 1
    results.add(refined)
    summary.accepted += refined.refined
    summary.rejected += not refined.refined
    return 0


def build_chat_model(arguments: RefineArguments) -> ChatModel:
    """The model that the arguments name.

    Raises:
        ValueError: `options` is not a JSON object, or `base_url` is not a plain address.
    """
    if not arguments.base_url:
        return PipelineChatModel(arguments.model, cast(PipelineTask, arguments.pipeline_task))
    try:
        options = dict(json.loads(arguments.options))
    except (ValueError, TypeError) as error:
        raise ValueError(f"options: got {arguments.options!r}; expected a JSON object ({error}).") from error
    return OpenAIChatModel(
        arguments.base_url,
        arguments.model,
        arguments.key_variable,
        arguments.timeout,
        options,
        arguments.attempts,
    )


def main(command: Sequence[str] | None = None) -> None:
    (arguments,) = TrlParser((RefineArguments,)).parse_args_and_config(command)
    for name, value, accepted in (
        ("task", arguments.task, get_args(Task)),
        ("pipeline_task", arguments.pipeline_task, get_args(PipelineTask)),
    ):
        if value not in accepted:
            raise ValueError(f"{name} is {value!r}; expected one of {', '.join(accepted)}.")
    results = Results(Path(arguments.output))
    try:
        summary = refine(
            read_requests(Path(arguments.records), arguments.images),
            build_chat_model(arguments),
            results,
            cast(Task, arguments.task),
            rounds=arguments.rounds,
            workers=arguments.workers,
            stop_after=arguments.stop_after,
        )
    finally:
        results.close()
    print(f"{arguments.output}: {summary}.")


if __name__ == "__main__":
    main()

"""Answers waiting requests together, in a thread beside the event loop.

While a batch is computed, new requests wait; the next batch takes all of them that have the same arguments. A request
that finds nothing waiting, nothing running and no other request being read starts at once.

The clients of a batch get their answers together, and most of them ask again within milliseconds. A batch that started
at once would leave them behind, and they would leave the others behind after it: many small batches in place of few
full ones. So the batcher waits a moment for as many as it has just answered.
"""

import asyncio
import contextlib
import math
import time
from collections.abc import Callable, Hashable, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import Any

from .metrics import Metrics


# How long to wait for the clients of the last batch: in all, and after the last of them that came. Shares of that
# batch's time, and limits in seconds.
LINGER_SHARE, LINGER_SECONDS = 0.1, 2.0
GAP_SHARE, GAP_SECONDS = 0.03, 0.5
# How long to wait, on an idle server, for requests that are being read.
READING_SECONDS = 0.01


class QueueFull(Exception):
    """Too many requests wait.

    Args:
        retry_after: Seconds after which a new request has a chance.
    """

    def __init__(self, retry_after: int):
        super().__init__(f"retry after {retry_after} s")
        self.retry_after = retry_after


class Closing(Exception):
    """The batcher accepts no more requests."""


class Dropped(Exception):
    """Nobody waits for the answers of a running batch any more."""


class Job:
    """One request that waits for its answer.

    Args:
        inputs: What is answered.
        key: Requests of equal keys share a batch.
        emit: Called in the batch's thread with (choice, text so far) while a text is generated; None: not needed.
    """

    def __init__(self, inputs: Any, key: Hashable, emit: Callable[[int, str], None] | None = None):
        self.inputs, self.key, self.emit = inputs, key, emit
        self.dropped = False
        self.submitted = -math.inf
        self.future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    def finish(self, result: Any) -> None:
        """Hands over an answer, or the exception in its place."""
        if self.future.done():
            return
        if isinstance(result, Exception):
            self.future.set_exception(result)
        else:
            self.future.set_result(result)


class Batcher:
    """The queue of requests, and the loop that empties it.

    Args:
        answer: Answers jobs of one key, in a thread; an exception fails those that cause it, and no others.
        max_batch_size: Largest number of jobs of a batch.
        queue_size: Largest number of waiting jobs.
        metrics: Where batches are counted.
        executor: Where batches run, one at a time. Default: a thread.
        clock: The time in seconds.
    """

    def __init__(
        self,
        answer: Callable[[Sequence[Job]], list[Any]],
        max_batch_size: int,
        queue_size: int,
        metrics: Metrics,
        executor: Executor | None = None,
        clock: Callable[[], float] = time.monotonic,
    ):
        self.answer, self.max_batch_size, self.queue_size = answer, max_batch_size, queue_size
        self.metrics, self.clock = metrics, clock
        self.executor = executor or ThreadPoolExecutor(1, thread_name_prefix="unipose-batch")
        self.waiting: list[Job] = []
        self.reading = 0
        self.changed = asyncio.Event()
        self.closing = False
        # Of the last batch; the last event is its end, or a job that came later.
        self.last_key: Hashable = None
        self.last_seconds, self.last_end, self.last_event = 0.0, -math.inf, -math.inf
        # How many jobs of its key may share the next one.
        self.wanted = 0

    def check_open(self) -> None:
        """Checks that another job would be accepted.

        Raises:
            Closing: The server stops.
            QueueFull: Too many jobs wait.
        """
        if self.closing:
            raise Closing
        if len(self.waiting) >= self.queue_size:
            batches = math.ceil(len(self.waiting) / self.max_batch_size)
            raise QueueFull(max(1, math.ceil(batches * self.last_seconds)))

    def submit(self, job: Job) -> None:
        """Queues a job.

        Raises:
            Closing: The server stops.
            QueueFull: Too many jobs wait.
        """
        self.check_open()
        self.waiting.append(job)
        job.submitted = self.last_event = self.clock()
        self.metrics.waiting.set(len(self.waiting))
        self.changed.set()

    @contextlib.contextmanager
    def while_reading(self) -> Iterator[None]:
        """Says that a request is being read, and will soon be submitted."""
        self.reading += 1
        try:
            yield
        finally:
            self.reading -= 1
            self.changed.set()

    def drop(self, job: Job) -> None:
        """Gives up a job whose client has gone, wherever it is."""
        if job.dropped or job.future.done():
            return
        job.dropped = True
        job.future.cancel()
        self.metrics.dropped.inc()
        if job in self.waiting:
            self.waiting.remove(job)
            self.metrics.waiting.set(len(self.waiting))

    async def run(self) -> None:
        """Answers jobs until the batcher is closed and none waits."""
        while not (self.closing and not self.waiting):
            self.changed.clear()
            left = self.patience() if self.waiting else None
            if left is None or left > 0:
                with contextlib.suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(self.changed.wait(), left)
            else:
                await self.run_batch(self.take())

    def ready(self) -> list[Job]:
        """The jobs of the next batch, so far: the first job that waits, and others of its key, in order."""
        return [job for job in self.waiting if job.key == self.waiting[0].key][: self.max_batch_size]

    def patience(self) -> float:
        """For how many seconds to wait for more jobs of the next batch, unless one comes; 0: it starts."""
        now, rows = self.clock(), len(self.ready())
        if self.closing or rows == self.max_batch_size:
            return 0.0
        until = self.waiting[0].submitted + READING_SECONDS if self.reading else -math.inf
        if self.waiting[0].key == self.last_key and rows < self.wanted:
            gap = min(GAP_SHARE * self.last_seconds, GAP_SECONDS)
            end = self.last_end + min(LINGER_SHARE * self.last_seconds, LINGER_SECONDS)
            quiet = math.inf if self.reading else self.last_event + gap
            until = max(until, min(end, quiet))
        return max(0.0, until - now)

    def take(self) -> list[Job]:
        """The next batch."""
        jobs = self.ready()
        taken = set(map(id, jobs))
        self.waiting = [job for job in self.waiting if id(job) not in taken]
        self.metrics.waiting.set(len(self.waiting))
        return jobs

    async def run_batch(self, jobs: list[Job]) -> None:
        """Answers a batch."""
        start = self.clock()
        results = await asyncio.get_running_loop().run_in_executor(self.executor, self.answer_each, jobs)
        self.last_end = self.last_event = self.clock()
        self.last_seconds = self.last_end - start
        # Those who have got their answers, and those who have waited meanwhile, may share the next batch.
        self.last_key = jobs[0].key
        self.wanted = len(jobs) + sum(job.key == self.last_key for job in self.waiting)
        self.metrics.batch_rows.observe(len(jobs))
        self.metrics.batch_seconds.observe(self.last_seconds)
        for job, result in zip(jobs, results):
            job.finish(result)

    def answer_each(self, jobs: Sequence[Job]) -> list[Any]:
        """The answer of each job, or its exception; runs in the thread.

        A batch that fails is answered again in halves, down to the jobs that fail by themselves.
        """
        if all(job.dropped for job in jobs):
            return [Dropped()] * len(jobs)
        try:
            return self.answer(jobs)
        except Dropped as error:
            return [error] * len(jobs)
        except Exception as error:
            if len(jobs) == 1:
                return [error]
            self.metrics.retries.inc()
            half = len(jobs) // 2
            return [*self.answer_each(jobs[:half]), *self.answer_each(jobs[half:])]

    def close(self) -> None:
        """Accepts no more jobs; `run` ends when those that wait have their answers."""
        self.closing = True
        self.changed.set()

"""When a batch of the server starts: at once for a lone request, with all clients of the last batch otherwise."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import Executor, Future
from typing import Any

import pytest

from unipose.serving.batcher import READING_SECONDS, Batcher, Job
from unipose.serving.metrics import Metrics


SECONDS = 2.0  # of a batch


class Inline(Executor):
    """Runs a call at once."""

    def submit(self, call: Callable[..., Any], /, *arguments: Any, **keywords: Any) -> Future[Any]:
        done: Future[Any] = Future()
        done.set_result(call(*arguments, **keywords))
        return done


class Bench:
    """A batcher whose batches take two seconds of a clock that the test moves."""

    def __init__(self, max_batch_size: int = 4):
        self.now = 100.0
        self.batches: list[list[Any]] = []
        clock, executor = lambda: self.now, Inline()
        self.batcher = Batcher(self.answer, max_batch_size, 100, Metrics(), executor, clock)

    def answer(self, jobs: Sequence[Job]) -> list[Any]:
        self.now += SECONDS
        self.batches.append([job.inputs for job in jobs])
        return [job.inputs for job in jobs]

    def ask(self, *inputs: Any, key: str = "key") -> None:
        for each in inputs:
            self.batcher.submit(Job(each, key))

    async def run_batch(self) -> None:
        await self.batcher.run_batch(self.batcher.take())

    @property
    def patience(self) -> float:
        return self.batcher.patience()


def runs(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[[], None]:
    def run() -> None:
        asyncio.run(test())

    run.__name__, run.__doc__ = test.__name__, test.__doc__
    return run


@runs
async def test_a_lone_request_never_waits() -> None:
    bench = Bench()
    for number in range(3):
        bench.ask(number)
        assert bench.patience == 0
        await bench.run_batch()
    bench.now += 1000
    bench.ask(3)
    assert bench.patience == 0


@runs
async def test_the_clients_of_a_batch_share_the_next_one() -> None:
    bench = Bench()
    bench.ask(1, 2, 3)
    await bench.run_batch()
    for number in (1, 2):
        bench.now += 0.01
        bench.ask(number)
        assert 0 < bench.patience < 0.1 * SECONDS
    bench.ask(3)
    assert bench.patience == 0
    assert bench.batcher.ready()[-1].inputs == 3


@runs
async def test_a_client_that_does_not_come_back_costs_a_small_share_of_a_batch() -> None:
    bench = Bench()
    bench.ask(1, 2, 3)
    await bench.run_batch()
    bench.ask(1)
    bench.now += 0.05 * SECONDS
    assert bench.patience == 0
    bench.ask(2)
    assert bench.patience > 0
    bench.now += 0.06 * SECONDS
    assert bench.patience == 0, "a tenth of the batch's time is over, whoever comes"


@runs
async def test_requests_that_waited_and_those_just_answered_come_together() -> None:
    """Otherwise two clients would take turns for ever, in batches of one."""
    bench = Bench()
    bench.ask(1)
    jobs = bench.batcher.take()
    bench.ask(2)
    await bench.batcher.run_batch(jobs)
    assert bench.patience > 0
    bench.ask(1)
    await bench.run_batch()
    assert bench.batches == [[1], [2, 1]]


@runs
async def test_requests_of_another_key_are_not_waited_for() -> None:
    bench = Bench()
    bench.ask(1, 2)
    jobs = bench.batcher.take()
    bench.ask(3, key="other")
    await bench.batcher.run_batch(jobs)
    assert bench.patience == 0
    assert [job.inputs for job in bench.batcher.ready()] == [3]


@runs
async def test_a_full_batch_does_not_wait() -> None:
    bench = Bench(max_batch_size=2)
    bench.ask(1, 2)
    await bench.run_batch()
    bench.ask(1, 2, 3)
    assert bench.patience == 0
    assert len(bench.batcher.ready()) == 2


@runs
async def test_requests_that_are_being_read_are_waited_for_a_moment() -> None:
    bench = Bench()
    with bench.batcher.while_reading():
        bench.ask(1)
        assert bench.patience == pytest.approx(READING_SECONDS)
        bench.now += 1.1 * READING_SECONDS
        assert bench.patience == 0
        bench.ask(2)
    assert bench.patience == 0


@runs
async def test_a_closed_batcher_does_not_wait() -> None:
    bench = Bench()
    bench.ask(1, 2)
    await bench.run_batch()
    bench.ask(1)
    bench.batcher.close()
    assert bench.patience == 0
    await bench.batcher.run()
    assert bench.batches == [[1, 2], [1]]


@runs
async def test_clients_that_ask_again_and_again_get_full_batches() -> None:
    sizes: list[int] = []

    async def client(batcher: Batcher, number: int) -> None:
        for _ in range(4):
            job = Job(number, "key")
            batcher.submit(job)
            assert await job.future == number
            await asyncio.sleep(0.0005 * number)

    def answer(jobs: Sequence[Job]) -> list[Any]:
        sizes.append(len(jobs))
        return [job.inputs for job in jobs]

    def clock() -> float:
        """Each batch seems to take ten seconds."""
        return asyncio.get_running_loop().time() + 10 * len(sizes)

    batcher = Batcher(answer, 16, 16, Metrics(), Inline(), clock)
    running = asyncio.create_task(batcher.run())
    await asyncio.gather(*(client(batcher, number) for number in range(8)))
    batcher.close()
    await running
    assert sizes == [8, 8, 8, 8]

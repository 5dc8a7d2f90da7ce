"""The queue of the server, with a clock and a thread that the tests control."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future
from typing import Any

import pytest

from unipose.serving.batcher import Batcher, Closing, Dropped, Job, QueueFull
from unipose.serving.metrics import Metrics


class ManualThread(Executor):
    """Runs nothing by itself: a test runs the batch that is there."""

    def __init__(self) -> None:
        self.batches: list[tuple[Future, Callable, Sequence[Job]]] = []

    def submit(self, fn: Callable, /, *args: Any, **_: Any) -> Future:
        future: Future = Future()
        self.batches.append((future, fn, args[0]))
        return future

    @property
    def inputs(self) -> list[list[Any]]:
        return [[job.inputs for job in jobs] for _, _, jobs in self.batches]

    def finish(self, number: int = -1) -> None:
        future, answer, jobs = self.batches[number]
        future.set_result(answer(jobs))


class Setup:
    def __init__(self, answer: Callable = lambda jobs: [job.inputs for job in jobs], size: int = 4, queue: int = 8):
        self.now = 0.0
        self.thread, self.metrics = ManualThread(), Metrics()
        self.batcher = Batcher(answer, size, queue, self.metrics, self.thread, lambda: self.now)
        self.task = asyncio.create_task(self.batcher.run())

    def ask(self, inputs: Any, key: Any = None) -> Job:
        job = Job(inputs, key)
        self.batcher.submit(job)
        return job

    async def settle(self) -> None:
        for _ in range(10):
            await asyncio.sleep(0)

    async def finish(self) -> None:
        self.thread.finish()
        await self.settle()


def run(test: Callable[[], Any]) -> None:
    asyncio.run(asyncio.wait_for(test(), 20))


def test_a_lone_request_starts_at_once() -> None:
    """Without a step of the clock, also after a batch of many."""

    async def test() -> None:
        setup = Setup()
        first = setup.ask("first")
        await setup.settle()
        assert setup.thread.inputs == [["first"]]
        await setup.finish()
        assert await first.future == "first"
        setup.ask("a")
        await setup.settle()
        for name in "bcd":
            setup.ask(name)
        await setup.finish()
        setup.now += 1.0
        await setup.settle()
        await setup.finish()
        assert setup.thread.inputs[1:] == [["a"], ["b", "c", "d"]]
        setup.now += 1.0
        setup.ask("late")
        await setup.settle()
        assert setup.thread.inputs[-1] == ["late"]

    run(test)


def test_after_a_batch_its_clients_are_waited_for_a_moment() -> None:
    async def test() -> None:
        setup = Setup()
        setup.ask(0)
        await setup.settle()
        for number in (1, 2, 3):
            setup.ask(number)
        await setup.finish()
        setup.now += 1.0
        await setup.finish()
        setup.ask(4)
        await setup.settle()
        # The clock stands still: two more may come.
        assert len(setup.thread.batches) == 2
        setup.ask(5)
        setup.ask(6)
        await setup.settle()
        assert setup.thread.inputs[-1] == [4, 5, 6]

    run(test)


def test_requests_of_one_key_share_a_batch_in_order_and_within_its_size() -> None:
    async def test() -> None:
        setup = Setup()
        setup.ask("first", "x")
        await setup.settle()
        for number in range(6):
            setup.ask(number, "even" if number % 2 == 0 else "odd")
        await setup.finish()
        await setup.finish()
        assert setup.thread.inputs == [["first"], [0, 2, 4], [1, 3, 5]]

    run(test)


def test_a_full_queue_refuses_and_says_when_to_come_back() -> None:
    async def test() -> None:
        setup = Setup(queue=8)
        jobs = [setup.ask(0)]
        await setup.settle()
        setup.now += 3.0
        await setup.finish()
        jobs.append(setup.ask(1))
        await setup.settle()
        jobs += [setup.ask(number) for number in range(2, 10)]
        with pytest.raises(QueueFull) as caught:
            setup.ask("too many")
        assert caught.value.retry_after == 6  # two batches of four, three seconds each
        for _ in range(3):
            setup.now += 1.0
            await setup.finish()
        assert [job.future.result() for job in jobs] == list(range(10))

    run(test)


@pytest.mark.parametrize("bad", [0, 2, 3])
def test_a_bad_request_fails_alone(bad: int) -> None:
    async def test() -> None:
        calls = []

        def answer(jobs: Sequence[Job]) -> list[Any]:
            calls.append(len(jobs))
            if any(job.inputs == bad for job in jobs):
                raise ValueError("bad row")
            return [job.inputs for job in jobs]

        setup = Setup(answer)
        setup.ask("first")
        await setup.settle()
        jobs = [setup.ask(number) for number in range(4)]
        await setup.finish()
        await setup.finish()
        for number, job in enumerate(jobs):
            if number == bad:
                with pytest.raises(ValueError, match="bad row"):
                    job.future.result()
            else:
                assert job.future.result() == number
        assert calls[1:] in ([4, 2, 1, 1, 2], [4, 2, 2, 1, 1])

    run(test)


def test_a_dropped_request_is_not_computed() -> None:
    async def test() -> None:
        setup = Setup()
        setup.ask("first")
        await setup.settle()
        jobs = [setup.ask(number) for number in range(3)]
        setup.batcher.drop(jobs[1])
        await setup.finish()
        assert setup.thread.inputs == [["first"], [0, 2]]
        assert jobs[1].future.cancelled()
        for job in (jobs[0], jobs[2]):
            setup.batcher.drop(job)
        _, answer, running = setup.thread.batches[-1]
        assert all(isinstance(result, Dropped) for result in answer(running))
        await setup.finish()
        assert setup.metrics.registry.get_sample_value("unipose_dropped_requests_total") == 3

    run(test)


def test_a_closed_batcher_answers_what_it_has_and_takes_no_more() -> None:
    async def test() -> None:
        setup = Setup()
        jobs = [setup.ask(0)]
        await setup.settle()
        jobs += [setup.ask(number) for number in range(1, 7)]
        setup.batcher.close()
        with pytest.raises(Closing):
            setup.ask("late")
        for _ in range(3):
            assert not setup.task.done()
            await setup.finish()
        assert [job.future.result() for job in jobs] == list(range(7))
        await setup.task

    run(test)

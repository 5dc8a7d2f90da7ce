"""Load test of `unipose serve` on loopback: answers a second at 1 to 64 requests at once, with and without batches.

Both servers take turns, each first in every other round, so that other work on the machine touches them alike.
Server and clients share the CPU: the CPU time of each is stated. The clients are one process that writes prepared
bytes to open connections. Then a server with a short queue gets more than it
can hold: every request must be answered, or get 429.

python benchmarks/serving.py [--repeats 5] [--seconds 4] [--clients 1 16] [--tasks text-to-pose]
"""

import argparse
import asyncio
import contextlib
import itertools
import json
import re
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import psutil
from measure import print_machine, print_table


TASKS = ("text-to-pose", "pose-to-text")
# A busy machine takes longer than the default limit allows.
TIMEOUT = ("--timeout", "600")
SENTENCES = (
    "A person kneels on the left knee with both arms raised.",
    "A person squats deeply.",
    "A person stands on the right leg with the arms stretched to the sides.",
    "A person sits on a chair with crossed arms.",
    "Someone lunges forward with the right leg, the left hand on the hip.",
)


class Server(NamedTuple):
    """A running server.

    Args:
        port: Its port.
        process: Its process.
    """

    port: int
    process: psutil.Process

    @property
    def cpu_seconds(self) -> Counter[int]:
        """CPU time of each of its threads so far."""
        return Counter({thread.id: thread.user_time + thread.system_time for thread in self.process.threads()})


class Load(NamedTuple):
    """What came of a number of clients that ask again and again.

    Args:
        statuses: Number of answers by HTTP status.
        seconds: Time of each request.
        wall: Time of the whole.
        server_cpu: CPU time of the server.
        batch_cpu: That of its busiest thread, which computes the batches; the others read and write requests.
        client_cpu: CPU time of the clients.
        rows: Requests of a batch, in the mean.
    """

    statuses: Counter[int]
    seconds: list[float]
    wall: float
    server_cpu: float
    batch_cpu: float
    client_cpu: float
    rows: float

    @property
    def latency(self) -> float:
        """Median time of a request in ms."""
        return statistics.median(self.seconds) * 1e3

    @property
    def rate(self) -> float:
        """Answers with a pose or a text a second."""
        return self.statuses[200] / self.wall


@contextlib.contextmanager
def start_server(*words: str) -> Iterator[Server]:
    """Starts a server; the words are its options."""
    command = [sys.executable, "-m", "unipose.serving.serve", "--port", "0", *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        try:
            yield Server(int(re.findall(r":(\d+)/v1", line)[0]), psutil.Process(process.pid))
        finally:
            process.terminate()


def chat(content: Any, **fields: Any) -> bytes:
    """A request as its body."""
    return json.dumps({"messages": [{"role": "user", "content": content}], **fields}).encode()


async def ask(port: int, body: bytes, streams: Any) -> tuple[int, bytes]:
    """Sends a request over an open connection.

    Args:
        port: That of the server.
        body: The request.
        streams: Reader and writer.

    Returns:
        The status and the body of the answer.
    """
    reader, writer = streams
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\n"
    writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
    answer = (await reader.readuntil(b"\r\n\r\n")).decode()
    length = int(re.findall(r"content-length: (\d+)", answer, re.IGNORECASE)[0])
    return int(answer.split()[1]), await reader.readexactly(length)


async def count_batches(port: int) -> tuple[float, float]:
    """The batches of a server so far, and the requests in them."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
    text = (await reader.read()).decode()
    writer.close()
    count, total = (float(re.findall(rf"unipose_batch_rows_{name} (\S+)", text)[0]) for name in ("count", "sum"))
    return count, total


async def run_load(server: Server, bodies: Sequence[bytes], clients: int, seconds: float) -> Load:
    """Clients that each ask one request after the other; the count starts when each has got a first answer.

    Args:
        server: The server.
        bodies: The requests, in turn.
        clients: Number of requests at once.
        seconds: Time after which no new request starts.
    """
    statuses: Counter[int] = Counter()
    times: list[float] = []
    waiting = itertools.cycle(bodies)
    starts: list[tuple[float, ...]] = []
    threads: list[Counter[int]] = []
    warm = 0

    async def now() -> tuple[float, ...]:
        batches = await count_batches(server.port)
        threads.append(server.cpu_seconds)
        return time.perf_counter(), time.process_time(), *batches

    async def client() -> None:
        nonlocal warm
        streams = await asyncio.open_connection("127.0.0.1", server.port)
        await ask(server.port, next(waiting), streams)
        warm += 1
        if warm == clients:
            starts.append(await now())
        while not starts or time.perf_counter() - starts[0][0] < seconds:
            before = time.perf_counter()
            status, _ = await ask(server.port, next(waiting), streams)
            if starts:
                times.append(time.perf_counter() - before)
                statuses[status] += 1
        streams[1].close()

    await asyncio.gather(*(client() for _ in range(clients)))
    wall, client_cpu, batches, rows = (after - before for after, before in zip(await now(), starts[0]))
    threads[1].subtract(threads[0])
    server_cpu, batch_cpu = sum(threads[1].values()), max(threads[1].values())
    return Load(statuses, times, wall, server_cpu, batch_cpu, client_cpu, rows / max(batches, 1))


async def first_pose(port: int) -> Any:
    """A pose for the requests that describe one."""
    streams = await asyncio.open_connection("127.0.0.1", port)
    _, answer = await ask(port, chat("A person squats."), streams)
    streams[1].close()
    return json.loads(answer)["choices"][0]["message"]["poses"][0]


def compare(bodies: Sequence[bytes], servers: tuple[Server, Server], arguments: argparse.Namespace) -> list[list[str]]:
    """Rows of the table: each figure is the median of the rounds.

    Args:
        bodies: The requests.
        servers: The server with batches, and the one without.
        arguments: Repeats, seconds and numbers of clients.
    """
    rows = []
    for clients in arguments.clients:
        loads: list[tuple[Load, Load]] = []
        for number in range(arguments.repeats):
            order = (0, 1) if number % 2 == 0 else (1, 0)
            done = {each: asyncio.run(run_load(servers[each], bodies, clients, arguments.seconds)) for each in order}
            loads.append((done[0], done[1]))
        for load in itertools.chain(*loads):
            assert set(load.statuses) == {200}, load.statuses
        ratio = statistics.median(batched.rate / single.rate for batched, single in loads)
        rows.append([str(clients), f"{ratio:.2f}", *figures([batched for batched, _ in loads])])
        rows[-1] += figures([single for _, single in loads])
        print(f"  {clients}: {ratio:.2f}", file=sys.stderr)
    return rows


def figures(loads: Sequence[Load]) -> list[str]:
    """Medians of loads: answers a second, ms of a request, CPU ms an answer by its place, rows of a batch."""
    values = [
        (
            load.rate,
            load.latency,
            load.batch_cpu * 1e3 / load.statuses[200],
            (load.server_cpu - load.batch_cpu) * 1e3 / load.statuses[200],
            load.client_cpu * 1e3 / load.statuses[200],
            load.rows,
        )
        for load in loads
    ]
    forms = (".1f", ".0f", ".1f", ".1f", ".2f", ".1f")
    return [format(statistics.median(column), form) for column, form in zip(zip(*values), forms)]


def overload(bodies: Sequence[bytes], arguments: argparse.Namespace) -> Counter[int]:
    """The statuses of 64 clients that ask a server whose queue holds 8.

    Args:
        bodies: The requests.
        arguments: Repeats and seconds.
    """
    with start_server("--queue_size", "8", "--max_batch_size", "4", *TIMEOUT) as server:
        return asyncio.run(run_load(server, bodies, 64, arguments.seconds)).statuses


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5, help="rounds; default: %(default)s")
    parser.add_argument("--seconds", type=float, default=4.0, help="length of a round; default: %(default)s")
    parser.add_argument(
        "--clients", type=int, nargs="+", default=(1, 4, 16, 64), help="requests at once; default: 1 4 16 64"
    )
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=TASKS, help="default: %(default)s")
    arguments = parser.parse_args()
    print_machine()
    header = ["requests at once", "ratio"]
    for name in ("batches", "one by one"):
        header += [
            f"{name}: answers/s",
            "ms",
            "batches' CPU ms",
            "HTTP's CPU ms",
            "clients' CPU ms",
            "rows of a batch",
        ]
    with start_server(*TIMEOUT) as batched, start_server("--max_batch_size", "1", *TIMEOUT) as single:
        pose = asyncio.run(first_pose(batched.port))
        loads = {
            "text-to-pose": [chat(sentence) for sentence in SENTENCES],
            "pose-to-text": [chat([{"type": "pose", "pose": pose}])],
        }
        for name in arguments.tasks:
            print(f"\n{name}\n")
            print_table(header, compare(loads[name], (batched, single), arguments))
    statuses = overload(loads["text-to-pose"], arguments)
    print(
        f"\n64 clients, a queue of 8: {statuses[200]} answered, {statuses[429]} with 429, others: {sorted(statuses)}"
    )
    assert set(statuses) <= {200, 429}


if __name__ == "__main__":
    main()

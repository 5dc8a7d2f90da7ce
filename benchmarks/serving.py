"""Load test of `unipose serve` on loopback: answers a second at 1 to 64 requests at once, with and without batches.

Both servers take turns, so that other work on the machine touches them alike; server and clients share the CPU. Then a
server with a short queue gets more than it can hold: every request must be answered, or get 429.

python benchmarks/serving.py [--repeats 5] [--seconds 4]
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

from measure import print_machine, print_table


CONCURRENCIES = (1, 4, 16, 64)
SENTENCES = (
    "A person kneels on the left knee with both arms raised.",
    "A person squats deeply.",
    "A person stands on the right leg with the arms stretched to the sides.",
    "A person sits on a chair with crossed arms.",
    "Someone lunges forward with the right leg, the left hand on the hip.",
)


class Load(NamedTuple):
    """What came of a number of clients that ask again and again.

    Args:
        statuses: Number of answers by HTTP status.
        seconds: Time of each request.
        wall: Time of the whole.
    """

    statuses: Counter[int]
    seconds: list[float]
    wall: float

    @property
    def rate(self) -> float:
        """Answers with a pose or a text a second."""
        return self.statuses[200] / self.wall


@contextlib.contextmanager
def server(*words: str) -> Iterator[int]:
    """Starts a server -> its port; other words are its options."""
    command = [sys.executable, "-m", "unipose.serving.serve", "--port", "0", *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        try:
            yield int(re.findall(r":(\d+)/v1", line)[0])
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


async def run_load(port: int, bodies: Sequence[bytes], clients: int, seconds: float) -> Load:
    """Clients that each ask one request after the other.

    Args:
        port: That of the server.
        bodies: The requests, in turn.
        clients: Number of requests at once.
        seconds: Time after which no new request starts.
    """
    statuses: Counter[int] = Counter()
    times: list[float] = []
    waiting = itertools.cycle(bodies)
    start = time.perf_counter()

    async def client() -> None:
        streams = await asyncio.open_connection("127.0.0.1", port)
        while time.perf_counter() - start < seconds:
            before = time.perf_counter()
            status, _ = await ask(port, next(waiting), streams)
            times.append(time.perf_counter() - before)
            statuses[status] += 1
        streams[1].close()

    await asyncio.gather(*(client() for _ in range(clients)))
    return Load(statuses, times, time.perf_counter() - start)


async def first_pose(port: int) -> Any:
    """A pose for the requests that describe one."""
    streams = await asyncio.open_connection("127.0.0.1", port)
    _, answer = await ask(port, chat("A person squats."), streams)
    streams[1].close()
    return json.loads(answer)["choices"][0]["message"]["poses"][0]


def compare(bodies: Sequence[bytes], ports: tuple[int, int], arguments: argparse.Namespace) -> list[list[str]]:
    """Rows of a table: requests at once, answers a second of both servers, their ratio, median times.

    Args:
        bodies: The requests.
        ports: Those of the server with batches, and of the one without.
        arguments: Repeats and seconds.
    """
    rows = []
    for clients in CONCURRENCIES:
        loads = [
            [asyncio.run(run_load(port, bodies, clients, arguments.seconds)) for port in ports]
            for _ in range(arguments.repeats)
        ]
        for load in itertools.chain(*loads):
            assert set(load.statuses) == {200}, load.statuses
        batched, single = (statistics.median(load.rate for load in column) for column in zip(*loads))
        ratio = statistics.median(first.rate / second.rate for first, second in loads)
        latency = [
            statistics.median(statistics.median(load.seconds) for load in column) * 1e3 for column in zip(*loads)
        ]
        rows.append(
            [str(clients), f"{batched:.1f}", f"{single:.1f}", f"{ratio:.2f}", f"{latency[0]:.0f}", f"{latency[1]:.0f}"]
        )
        print(f"  {clients}: {ratio:.2f}", file=sys.stderr)
    return rows


def overload(bodies: Sequence[bytes], arguments: argparse.Namespace) -> Counter[int]:
    """The statuses of 64 clients that ask a server whose queue holds 8.

    Args:
        bodies: The requests.
        arguments: Repeats and seconds.
    """
    with server("--queue_size", "8", "--max_batch_size", "4") as port:
        return asyncio.run(run_load(port, bodies, 64, arguments.seconds)).statuses


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5, help="rounds; default: %(default)s")
    parser.add_argument("--seconds", type=float, default=4.0, help="length of a round; default: %(default)s")
    arguments = parser.parse_args()
    print_machine()
    header = ["requests at once", "batches: answers/s", "one by one: answers/s", "ratio", "batches: median ms"]
    header.append("one by one: median ms")
    with server() as batched, server("--max_batch_size", "1") as single:
        pose = asyncio.run(first_pose(batched))
        loads = {
            "text-to-pose": [chat(sentence) for sentence in SENTENCES],
            "pose-to-text": [chat([{"type": "pose", "pose": pose}])],
        }
        for name, bodies in loads.items():
            print(f"\n{name}\n")
            print_table(header, compare(bodies, (batched, single), arguments))
    statuses = overload(loads["text-to-pose"], arguments)
    print(
        f"\n64 clients, a queue of 8: {statuses[200]} answered, {statuses[429]} with 429, others: {sorted(statuses)}"
    )
    assert set(statuses) <= {200, 429}


if __name__ == "__main__":
    main()

"""`unipose serve`: an HTTP server for chats with poses, in OpenAI's format.

unipose serve --port 8000
UNIPOSE_API_KEY=secret unipose serve --host 0.0.0.0
"""

import asyncio
import contextlib
import logging
import signal
import sys
from collections.abc import Iterator
from typing import Any

import uvicorn
from transformers import HfArgumentParser

from unipose.cli import load_pipeline

from .app import Service, build_app
from .memory import keep_freed_memory
from .options import KEY_VARIABLE, ServingOptions, read_key


class Server(uvicorn.Server):
    """uvicorn that answers what it has accepted before it stops, and then returns.

    Args:
        config: uvicorn's.
        service: The service, which is told to accept no more.
    """

    def __init__(self, config: uvicorn.Config, service: Service):
        super().__init__(config)
        self.service = service

    def stop(self) -> None:
        """Stops as soon as the accepted requests are answered."""
        self.service.close()
        self.should_exit = True

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """uvicorn would raise the signal again in the end, so that a clean stop looked like a crash."""
        loop = asyncio.get_running_loop()
        signals = (signal.SIGINT, signal.SIGTERM)
        for number in signals:
            loop.add_signal_handler(number, self.stop)
        try:
            yield
        finally:
            for number in signals:
                loop.remove_signal_handler(number)


def load_service(options: ServingOptions, key: str | None) -> Service:
    """Loads the model of a server, and answers a first request, which is slower than others.

    Args:
        options: The options.
        key: See `Service`.
    """
    keep_freed_memory()
    pipe = load_pipeline(options.model)
    pipe("A person stands.", task="text-to-pose")
    return Service(pipe, options, key)


def serve(options: ServingOptions) -> None:
    """Runs the server until it gets SIGINT or SIGTERM.

    Args:
        options: The options.
    """
    key = read_key()
    if key is None and not options.is_local:
        print(f"unipose serve: anyone who reaches {options.host} may ask: {KEY_VARIABLE} sets a key", file=sys.stderr)
    service = load_service(options, key)
    config = uvicorn.Config(
        build_app(service),
        host=options.host,
        port=options.port,
        log_level="warning",
        timeout_graceful_shutdown=max(1, round(options.shutdown_timeout)),
        server_header=False,
    )
    server = Server(config, service)
    asyncio.run(announce(server, options))


async def announce(server: Server, options: ServingOptions) -> None:
    """Runs a server and prints its address when it listens.

    Args:
        server: The server.
        options: Its options.
    """
    running = asyncio.create_task(server.serve())
    while not server.started and not running.done():
        await asyncio.sleep(0.01)
    if server.started:
        port = server.servers[0].sockets[0].getsockname()[1]
        print(f"{options.model_name} answers at http://{options.host}:{port}/v1", flush=True)
    await running


def main() -> None:
    arguments: Any = ServingOptions
    (options,) = HfArgumentParser(arguments, prog="unipose serve").parse_args_into_dataclasses()
    logging.basicConfig(level=logging.WARNING)
    serve(options)


if __name__ == "__main__":
    main()

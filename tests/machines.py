"""Starts a command as on two machines: two `accelerate launch`, each with one process, that meet at an address."""

import socket
import subprocess
import sys
from pathlib import Path


CONFIG = Path(__file__).parent.parent / "training/recipes/distributed/two_machines.yaml"


def free_port() -> int:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return server.getsockname()[1]


def run_on_two_machines(*words: object) -> list[str]:
    """Runs `-m MODULE ...` on both; what each printed.

    Raises:
        AssertionError: one has failed; with its errors.
    """
    port = str(free_port())
    launch = [sys.executable, "-m", "accelerate.commands.launch", "--config_file", str(CONFIG)]
    processes = [
        subprocess.Popen(
            [*launch, "--machine_rank", str(rank), "--main_process_port", port, *map(str, words)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in (0, 1)
    ]
    printed = []
    try:
        for process in processes:
            output, errors = process.communicate(timeout=600)
            assert process.returncode == 0, errors
            printed.append(output)
    finally:
        for process in processes:
            process.kill()
    return printed

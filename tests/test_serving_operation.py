"""The server as a process: options, metrics, time limits, memory, a clean stop."""

import re
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from serving_client import Client, HeldPipe, error_of, serving, wait_until
from transformers import pipeline

from unipose.serving.options import ServingOptions


@pytest.fixture(scope="module")
def pipe() -> Any:
    return pipeline("unipose")


def test_options_are_checked() -> None:
    with pytest.raises(ValueError, match="port must be from 0 to 65535, got 70000"):
        ServingOptions(port=70_000)
    with pytest.raises(ValueError, match="max_batch_size must be above 0, got 0"):
        ServingOptions(max_batch_size=0)
    assert not ServingOptions(host="0.0.0.0").is_local
    assert ServingOptions(host="::1").is_local


def test_metrics_count(pipe) -> None:
    with serving(pipe) as client:
        client.chat("A person kneels.")
        client.chat("A person kneels.", n=0)
        text = client.get("/metrics").body
    assert 'unipose_requests_total{path="/v1/chat/completions",status="200"} 1.0' in text
    assert 'unipose_requests_total{path="/v1/chat/completions",status="400"} 1.0' in text
    assert "unipose_poses_total 1.0" in text
    assert 'unipose_tokens_total{kind="answer"} 25.0' in text
    assert "unipose_request_seconds_count 2.0" in text


@pytest.mark.slow
def test_a_stopping_server_answers_what_it_has_accepted(tmp_path: Path) -> None:
    """The command itself: SIGTERM among twelve requests."""
    command = [sys.executable, "-m", "unipose.serving.serve", "--port", "0", "--max_batch_size", "2"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            port = int(re.findall(r":(\d+)/v1", process.stdout.readline())[0])
            client = Client(port, None, None)  # type: ignore[arg-type]
            with ThreadPoolExecutor(12) as threads:
                replies = [threads.submit(client.chat, "A person kneels.") for _ in range(12)]
                wait_until(lambda: "unipose_waiting_requests 0.0" not in client.get("/metrics").body)
                wait_until(lambda: client.get("/metrics").body.count("unipose_batch_rows_count 0.0") == 0)
                process.send_signal(signal.SIGTERM)
                statuses = {reply.result().status for reply in replies}
            assert statuses == {200}
            assert process.wait(60) == 0
            with pytest.raises(OSError, match="refused"):
                client.get("/health")
        finally:
            process.kill()


def test_a_stopping_server_is_not_ready(pipe) -> None:
    with serving(pipe) as client:
        assert client.get("/ready").status == 200
        client.service.close()
        assert client.get("/ready").status == 503
        reply = client.chat("A person kneels.")
        assert reply.status == 503
        assert "stopping" in error_of(reply)


def test_the_time_limit(pipe) -> None:
    held = HeldPipe(pipe)
    with serving(held, timeout=0.3) as client:
        reply = client.chat("A person kneels.")
        assert reply.status == 504
        assert error_of(reply) == "no answer within 0.3 seconds"
        held.go.set()


@pytest.mark.skipif(sys.platform != "linux", reason="the allocator of glibc")
def test_freed_memory_is_kept_for_the_next_batch() -> None:
    """Tensors that come again take no new pages of the system; without the call they do, in most processes."""
    code = """if True:
        import resource, torch
        from unipose.serving.memory import keep_freed_memory

        def count_new_pages():
            before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
            [torch.ones(5 * 2**20) for _ in range(3)]
            return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

        keep_freed_memory()
        print([count_new_pages() for _ in range(12)][-1])
    """
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 100

"""What the server counts, in Prometheus' format."""

from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest


ROWS = (1, 2, 4, 8, 16, 32, 64)
SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class Metrics:
    """Counters of one server, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        own: dict[str, Any] = {"registry": self.registry, "namespace": "unipose"}
        self.requests = Counter("requests", "Answered HTTP requests.", ("path", "status"), **own)
        self.request_seconds = Histogram("request_seconds", "Time of a chat request.", buckets=SECONDS, **own)
        self.waiting = Gauge("waiting_requests", "Requests that wait for a batch.", **own)
        self.batch_rows = Histogram("batch_rows", "Requests of a batch.", buckets=ROWS, **own)
        self.batch_seconds = Histogram("batch_seconds", "Time of a batch.", buckets=SECONDS, **own)
        self.retries = Counter("batch_retries", "Batches that failed and were answered in halves.", **own)
        self.dropped = Counter("dropped_requests", "Requests given up: the client left, or the time was over.", **own)
        self.tokens = Counter("tokens", "Tokens of prompts and of answers.", ("kind",), **own)
        self.poses = Counter("poses", "Poses in answers.", **own)

    def text(self) -> bytes:
        """All counts, as Prometheus reads them."""
        return generate_latest(self.registry)

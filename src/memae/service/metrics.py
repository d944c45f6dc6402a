"""Metrics of the service for Prometheus."""

from collections.abc import Callable, Iterable
from functools import partial

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
)

from memae.service.served import Served

SECONDS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0)
SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)


class Metrics:
    """Counters and histograms of one service, in their own registry.

    Args:
        inside: returns the number of requests being answered.
    """

    def __init__(self, inside: Callable[[], float]) -> None:
        self._registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)  # memory, CPU seconds, open files
        self.requests = Counter("memae_requests", "Requests answered.", ["path", "status"], registry=registry)
        self.seconds = Histogram(
            "memae_request_seconds",
            "From a request's first byte to its answer.",
            ["path"],
            buckets=SECONDS,
            registry=registry,
        )
        self.samples = Counter("memae_samples_scored", "Samples scored.", ["model"], registry=registry)
        self.batches = Histogram(
            "memae_batch_samples", "Samples scored together.", ["model"], buckets=SIZES, registry=registry
        )
        self._waiting = Gauge("memae_queue_requests", "Requests waiting for a model.", ["model"], registry=registry)
        self._about = Gauge(
            "memae_model", "1 for each model.", ["model", "kind", "data_sha256", "version"], registry=registry
        )
        Gauge("memae_requests_inside", "Requests being answered.", registry=registry).set_function(inside)

    def watch(self, models: Iterable[Served]) -> None:
        """Adds metrics of these models."""
        for served in models:
            about = served.described()
            labels = (served.name, about["kind"], about["data_sha256"], about["versions"]["memae"])
            self._about.labels(*labels).set(1)
            self._waiting.labels(served.name).set_function(partial(len, served.worker))

    def observer(self, model: str) -> Callable[[float], None]:
        """A function that records the size of each batch of a model."""
        batches, samples = self.batches.labels(model), self.samples.labels(model)

        def observe(size: float) -> None:
            batches.observe(size)
            samples.inc(size)

        return observe

    def told(self) -> bytes:
        """All metrics in Prometheus's text format."""
        return generate_latest(self._registry)

"""Figures of a running server, for Prometheus (``/metrics``) and as plain values (``/stats``)."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from m.generation.worker import EngineWorker, Ticket

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class ServerMetrics:
    """Figures of one server; they have a registry of their own, so that a process may hold several servers.

    Args:
        worker: whose engine is asked when the figures are.
    """

    def __init__(self, worker: EngineWorker) -> None:
        self.registry = CollectorRegistry()
        self._worker = worker
        self.requests = Counter(
            "m_requests",
            "HTTP requests by route, method and status.",
            ("route", "method", "status"),
            registry=self.registry,
        )
        self.request_seconds = Histogram(
            "m_request_seconds",
            "From the first byte of an HTTP request to the last of its answer.",
            ("route",),
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._forecasts = Counter(
            "m_forecasts",
            "Forecasts by outcome: ok, or the status refused with.",
            ("outcome",),
            registry=self.registry,
        )
        self._seconds = self._histogram("m_forecast_seconds", "From a forecast's arrival to its result.")
        self._queue = self._histogram("m_queue_seconds", "Until the engine took a forecast up.")
        self._first = self._histogram(
            "m_first_step_seconds", "Until the first points of a forecast were known."
        )
        self.registry.register(_EngineFigures(worker))

    def served(self, ticket: Ticket) -> None:
        """Count a forecast that was made."""
        self._forecasts.labels("ok").inc()
        self._seconds.observe(ticket.seconds)
        self._queue.observe(ticket.queue_seconds)
        self._first.observe(ticket.first_step_seconds)

    def refused(self, status: int) -> None:
        """Count a forecast that was not."""
        self._forecasts.labels(str(status)).inc()

    def exposition(self) -> bytes:
        """All figures in Prometheus' text format."""
        return generate_latest(self.registry)

    def figures(self) -> dict[str, Any]:
        """The main ones as plain values."""
        outcomes = {
            sample.labels["outcome"]: int(sample.value)
            for family in self._forecasts.collect()
            for sample in family.samples
            if sample.name.endswith("_total")
        }
        engine, counts = self._worker.engine, self._worker.engine.counts
        prefixes, tokens = engine.prefixes, counts.expert_tokens
        return {
            "forecasts": outcomes.get("ok", 0),
            "refused": {name: count for name, count in outcomes.items() if name != "ok"},
            "mean_seconds": _mean(self._seconds),
            "mean_queue_seconds": _mean(self._queue),
            "waiting": self._worker.waiting,
            "steps": counts.steps,
            "mean_batch_size": counts.rows / counts.steps if counts.steps else 0.0,
            "context_points_read": counts.points_read,
            "context_points_reused": counts.points_reused,
            "cache_hit_rate": counts.hit_rate,
            "prefix_cache_bytes": prefixes.bytes if prefixes is not None else 0,
            "prefix_cache_blocks": len(prefixes) if prefixes is not None else 0,
            "sessions": len(engine.sessions),
            "sessions_reanchored": engine.sessions.reanchored,
            "expert_tokens": [] if tokens is None else [[int(n) for n in layer] for layer in tokens.tolist()],
        }

    def _histogram(self, name: str, text: str) -> Histogram:
        return Histogram(name, text, buckets=_SECONDS, registry=self.registry)


class _EngineFigures(Collector):
    """Asks the engine when it is asked itself."""

    def __init__(self, worker: EngineWorker) -> None:
        self._worker = worker

    def collect(self) -> Iterator[Metric]:
        engine, counts = self._worker.engine, self._worker.engine.counts
        yield _gauge("m_waiting", "Forecasts that wait or run.", self._worker.waiting)
        yield _gauge("m_sessions", "Open sessions.", len(engine.sessions))
        yield _counter(
            "m_sessions_reanchored", "Times that a session took a new anchor.", engine.sessions.reanchored
        )
        points = CounterMetricFamily("m_context_points", "Points of contexts.", labels=("source",))
        points.add_metric(("read",), counts.points_read)
        points.add_metric(("reused",), counts.points_reused)
        yield points
        prefixes = engine.prefixes
        if prefixes is not None:
            yield _gauge("m_prefix_cache_bytes", "Memory of contexts read before.", prefixes.bytes)
            yield _gauge("m_prefix_cache_capacity_bytes", "Memory it may take.", prefixes.most_bytes)
            yield _gauge("m_prefix_cache_blocks", "Blocks of contexts read before.", len(prefixes))
        yield _batch_sizes(dict(counts.by_rows))
        if counts.expert_tokens is not None:
            yield _expert_tokens(counts.expert_tokens.tolist())


def _batch_sizes(by_rows: dict[int, int]) -> HistogramMetricFamily:
    held = [0] * (len(_ROWS) + 1)
    for rows, steps in by_rows.items():
        held[bisect_left(_ROWS, rows)] += steps
    total, buckets = 0, []
    for bound, steps in zip((*map(str, _ROWS), "+Inf"), held, strict=True):
        total += steps
        buckets.append((bound, total))
    found = HistogramMetricFamily("m_batch_rows", "Sequences in a step of the model.")
    found.add_metric((), buckets, sum(rows * steps for rows, steps in by_rows.items()))
    return found


def _expert_tokens(layers: Iterable[Iterable[float]]) -> CounterMetricFamily:
    found = CounterMetricFamily(
        "m_expert_tokens", "Tokens of contexts that an expert served.", labels=("layer", "expert")
    )
    for layer, experts in enumerate(layers):
        for expert, tokens in enumerate(experts):
            found.add_metric((str(layer), str(expert)), tokens)
    return found


def _gauge(name: str, text: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, text, value=value)


def _counter(name: str, text: str, value: float) -> CounterMetricFamily:
    return CounterMetricFamily(name, text, value=value)


def _mean(histogram: Histogram) -> float:
    values = {sample.name: sample.value for family in histogram.collect() for sample in family.samples}
    count = next((value for name, value in values.items() if name.endswith("_count")), 0.0)
    total = next((value for name, value in values.items() if name.endswith("_sum")), 0.0)
    return total / count if count else 0.0

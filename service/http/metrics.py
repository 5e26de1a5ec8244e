"""What is counted and timed, for Prometheus and for people. Each service has its own figures, so that two can live in one process."""

import resource
import threading
import time
from bisect import bisect_left
from collections import deque
from collections.abc import Iterator, Mapping
from itertools import accumulate

import msgspec
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from decision_dna.ledger.ledger import Ledger
from decision_dna.ledger.writer import Appended, Placed
from decision_dna.schemas.errors import LedgerError

RECENT_APPENDS = 1024
METHODS = ("GET", "HEAD", "POST", "OPTIONS")
_BUCKETS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)


class SystemView(msgspec.Struct, frozen=True):
    """The process and its disk: bytes, seconds, counts."""

    uptime_seconds: float
    cpu_seconds: float
    memory_bytes_max: int
    threads: int
    store_bytes: int
    log_size: int


class PerformanceView(msgspec.Struct, frozen=True):
    """How it runs: latencies of the newest requests that append, in seconds, and what waits."""

    appended_events: int
    append_seconds_p50: float
    append_seconds_p99: float
    queued_events: int
    requests_in_hand: int
    followers_lag_events: int
    subscribers: int


class Metrics:
    """The figures of one service: plain numbers while it runs, families when somebody reads them. Used from its event loop."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._outcomes = {"new": 0, "duplicate": 0, "refused": 0}
        self._requests: dict[tuple[str, int], int] = {}
        self._buckets = [0] * (len(_BUCKETS) + 1)
        self._append_seconds = 0.0
        self._sent = 0
        self._recent: deque[float] = deque(maxlen=RECENT_APPENDS)
        self._started = time.monotonic()

    def appended(self, answer: Appended, seconds: float) -> None:
        """A request was answered."""
        outcomes = answer.outcomes
        refused = sum([isinstance(outcome, LedgerError) for outcome in outcomes])
        duplicates = sum([isinstance(outcome, Placed) and outcome.duplicate for outcome in outcomes])
        self._outcomes["refused"] += refused
        self._outcomes["duplicate"] += duplicates
        self._outcomes["new"] += len(outcomes) - refused - duplicates
        self._buckets[bisect_left(_BUCKETS, seconds)] += 1
        self._append_seconds += seconds
        self._recent.append(seconds)

    def requested(self, method: str, status: int) -> None:
        """A request was answered, whatever it was. Methods that nobody knows are one label."""
        key = (method if method in METHODS else "other", status)
        self._requests[key] = self._requests.get(key, 0) + 1

    def sent(self, events: int) -> None:
        """A subscriber got so many."""
        self._sent += events

    def exposition(self, lag: int, subscribers: int, failed: Mapping[str, bool]) -> bytes:
        """The text that Prometheus reads. `failed`: for each follower, whether it has failed."""
        registry = CollectorRegistry(auto_describe=False)
        registry.register(
            _Families([*self._counters(), self._histogram(), *self._gauges(lag, subscribers), _followers(failed)])
        )
        return generate_latest(registry)

    def _counters(self) -> Iterator[Metric]:
        operations = CounterMetricFamily(
            "defensive_dna_operations", "Submissions by what became of them", labels=["operation", "outcome"]
        )
        for outcome, count in self._outcomes.items():
            operations.add_metric(["append", outcome], count)
        yield operations
        requests = CounterMetricFamily(
            "dna_http_requests", "Requests by method and status", labels=["method", "status"]
        )
        for (method, status), count in sorted(self._requests.items()):
            requests.add_metric([method, str(status)], count)
        yield requests
        yield CounterMetricFamily("dna_stream_events", "Events sent to subscribers", value=self._sent)

    def _histogram(self) -> Metric:
        name, text = "dna_append_duration_seconds", "From the request to its durable answer"
        bounds = [*map(str, _BUCKETS), "+Inf"]
        cumulative = list(zip(bounds, map(float, accumulate(self._buckets)), strict=True))
        return HistogramMetricFamily(name, text, buckets=cumulative, sum_value=self._append_seconds)

    def _gauges(self, lag: int, subscribers: int) -> Iterator[Metric]:
        writer = self._ledger.writer
        for name, text, value in (
            ("dna_log_size", "Entries in the visible log", self._ledger.reader.size),
            ("dna_queued_events", "Events that wait for their commit", writer.queued),
            ("dna_followers_lag_events", "Events that the slowest follower has yet to fold", lag),
            ("dna_subscribers", "Open subscriptions", subscribers),
            ("dna_writer_stopped", "1 where the writer takes no more", int(writer.stopped is not None)),
        ):
            yield GaugeMetricFamily(name, text, value=value)

    def system(self) -> SystemView:
        """The process as it is."""
        usage = resource.getrusage(resource.RUSAGE_SELF)
        return SystemView(
            time.monotonic() - self._started,
            usage.ru_utime + usage.ru_stime,
            usage.ru_maxrss * 1024,
            threading.active_count(),
            self._ledger.store.size_bytes(),
            self._ledger.reader.size,
        )

    def performance(self, in_hand: int, lag: int, subscribers: int) -> PerformanceView:
        """The newest requests, sorted."""
        recent = sorted(self._recent) or [0.0]
        p50, p99 = recent[len(recent) // 2], recent[len(recent) * 99 // 100]
        return PerformanceView(self._outcomes["new"], p50, p99, self._ledger.writer.queued, in_hand, lag, subscribers)


def _followers(failed: Mapping[str, bool]) -> Metric:
    gauge = GaugeMetricFamily("dna_follower_failed", "1 where a follower has stopped at an event", labels=["name"])
    for name, has_failed in sorted(failed.items()):
        gauge.add_metric([name], int(has_failed))
    return gauge


class _Families(Collector):
    """What was counted, at the moment of asking."""

    def __init__(self, families: list[Metric]) -> None:
        self._families = families

    def collect(self) -> list[Metric]:
        """All of it."""
        return self._families

"""What is counted and timed, for Prometheus and for people. One registry for each service, so that two can live in one process."""

import resource
import threading
import time
from collections import deque

import msgspec
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from decision_dna.ledger.ledger import Ledger
from decision_dna.ledger.writer import Appended, Placed

RECENT_APPENDS = 1024
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
    """The figures of one service. Used from its event loop."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._append_seconds = Histogram(
            "dna_append_duration_seconds",
            "From the request to its durable answer",
            registry=self.registry,
            buckets=_BUCKETS,
        )
        self._operations = Counter(
            "defensive_dna_operations_total",
            "Submissions by what became of them",
            ["operation", "outcome"],
            registry=self.registry,
        )
        self._requests = Counter(
            "dna_http_requests_total", "Requests by method and status", ["method", "status"], registry=self.registry
        )
        self._sent = Counter("dna_stream_events_total", "Events sent to subscribers", registry=self.registry)
        self._gauges = {
            name: Gauge(f"dna_{name}", text, registry=self.registry)
            for name, text in (
                ("log_size", "Entries in the visible log"),
                ("queued_events", "Events that wait for their commit"),
                ("followers_lag_events", "Events that the slowest follower has yet to fold"),
                ("subscribers", "Open subscriptions"),
                ("writer_stopped", "1 where the writer takes no more"),
            )
        }
        self._outcomes = {
            outcome: self._operations.labels("append", outcome) for outcome in ("new", "duplicate", "refused")
        }
        self._recent: deque[float] = deque(maxlen=RECENT_APPENDS)
        self._started = time.monotonic()
        self._appended = 0

    def appended(self, answer: Appended, seconds: float) -> None:
        """A request was answered."""
        placed = [outcome for outcome in answer.outcomes if isinstance(outcome, Placed)]
        duplicates = sum(outcome.duplicate for outcome in placed)
        self._append_seconds.observe(seconds)
        self._recent.append(seconds)
        self._appended += len(placed) - duplicates
        self._outcomes["new"].inc(len(placed) - duplicates)
        self._outcomes["duplicate"].inc(duplicates)
        self._outcomes["refused"].inc(len(answer.outcomes) - len(placed))

    def requested(self, method: str, status: int) -> None:
        """A request was answered, whatever it was. Methods that nobody knows are one label."""
        known = method if method in ("GET", "HEAD", "POST", "OPTIONS") else "other"
        self._requests.labels(known, str(status)).inc()

    def sent(self, events: int) -> None:
        """A subscriber got so many."""
        self._sent.inc(events)

    def exposition(self, ledger: Ledger, lag: int, subscribers: int) -> bytes:
        """The text that Prometheus reads."""
        self._gauges["log_size"].set(ledger.reader.size)
        self._gauges["queued_events"].set(ledger.writer.queued)
        self._gauges["followers_lag_events"].set(lag)
        self._gauges["subscribers"].set(subscribers)
        self._gauges["writer_stopped"].set(ledger.writer.stopped is not None)
        return generate_latest(self.registry)

    def system(self, ledger: Ledger) -> SystemView:
        """The process as it is."""
        usage = resource.getrusage(resource.RUSAGE_SELF)
        return SystemView(
            time.monotonic() - self._started,
            usage.ru_utime + usage.ru_stime,
            usage.ru_maxrss * 1024,
            threading.active_count(),
            ledger.store.size_bytes(),
            ledger.reader.size,
        )

    def performance(self, ledger: Ledger, in_hand: int, lag: int, subscribers: int) -> PerformanceView:
        """The newest requests, sorted."""
        recent = sorted(self._recent) or [0.0]
        p50, p99 = recent[len(recent) // 2], recent[len(recent) * 99 // 100]
        return PerformanceView(self._appended, p50, p99, ledger.writer.queued, in_hand, lag, subscribers)

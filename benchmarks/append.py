"""How fast a ledger appends, durable before the answer: batches of 1,024, alone and with every index caught up, and single events."""

import tempfile
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.load import (
    BATCH,
    TYPE,
    decode_request,
    decode_signed,
    new_ledger,
    payload_json,
    requests,
    several,
    signed_requests,
)
from decision_dna.ledger.followers import Followers
from decision_dna.ledger.indexes import IndexFollower
from decision_dna.ledger.ledger import Ledger
from decision_dna.ledger.plan import Draft
from decision_dna.ledger.preparing import Decode, Preparers
from decision_dna.ledger.writer import Placed
from decision_dna.schemas.payloads import payload_from_json

Measure = Callable[[Ledger, Preparers, Decode, list[bytes]], float]
"""Events a second over bodies that workers decode and prepare."""


def rate(ledger: Ledger, preparers: Preparers, decode: Decode, bodies: list[bytes]) -> float:
    """Events a second over whole batches, all of them placed."""
    start = time.perf_counter()
    events = 0
    for appended in ledger.ingest(preparers, decode, bodies):
        events += Counter(map(type, appended.outcomes))[Placed]
    seconds = time.perf_counter() - start
    if events != len(bodies) * BATCH:
        raise SystemExit(f"{len(bodies) * BATCH - events} events were refused: no figure")
    return events / seconds


def singles(ledger: Ledger, count: int) -> dict[str, float]:
    """Milliseconds to append one event, p50 and p99."""
    times = []
    for number in range(count):
        draft = Draft(TYPE, 1, "raw", payload_from_json(TYPE, 1, payload_json(number)))
        start = time.perf_counter()
        ledger.append([draft])
        times.append((time.perf_counter() - start) * 1e3)
    times.sort()
    return {"p50_ms": times[count // 2], "p99_ms": times[count * 99 // 100]}


def indexed_rate(ledger: Ledger, preparers: Preparers, decode: Decode, bodies: list[bytes]) -> float:
    """As `rate`, until every index has caught up with the last event."""
    followers = Followers(ledger.store, ledger.reader, [IndexFollower()])
    followers.catch_up()
    ledger.writer.on_commit(followers.wake)
    followers.start()
    start = time.perf_counter()
    rate(ledger, preparers, decode, bodies)
    followers.wait_until(ledger.reader.size, 600)
    seconds = time.perf_counter() - start
    followers.close()
    return len(bodies) * BATCH / seconds


def once(measure: Measure, processes: int, decode: Decode, bodies: list[bytes]) -> float:
    """A rate on a ledger of its own, the workers up."""
    with tempfile.TemporaryDirectory() as folder, new_ledger(Path(folder) / "d") as ledger:
        preparers = ledger.preparers(processes)
        try:
            rate(ledger, preparers, decode_request, requests(5, "engine"))
            return measure(ledger, preparers, decode, bodies)
        finally:
            preparers.close()


def run(batches: int = 200, times: int = 5) -> dict[str, Any]:
    """All rows of appending in process, each `times` times. Unsigned events are prepared in one process, signed ones in two."""
    result: dict[str, Any] = {}
    kinds = {
        "none": (1, decode_request, requests(batches, "raw")),
        "notary": (2, decode_request, requests(batches // 2, "engine")),
        "author": (2, decode_signed, signed_requests(batches // 4)),
    }
    for name, (processes, decode, bodies) in kinds.items():
        result[name] = several(times, partial(once, rate, processes, decode, bodies))
        result[f"{name}_indexed"] = several(times, partial(once, indexed_rate, processes, decode, bodies))
    with tempfile.TemporaryDirectory() as folder, new_ledger(Path(folder) / "d") as ledger:
        result["single"] = singles(ledger, 3000)
    return result


if __name__ == "__main__":
    print(run())

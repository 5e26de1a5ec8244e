"""The big ledger: ten million events, every index caught up; built once, then asked, verified, opened and measured.

Every million its own rate, so that growth shows; the queries are those of `benchmarks.queries`, on its traffic.
"""

import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

import msgspec

from benchmarks.queries import ORIGIN, Traffic, cold, filters, questions, warm
from benchmarks.verify import opened, verified
from decision_dna.ledger.followers import Followers
from decision_dna.ledger.indexes import IndexFollower
from decision_dna.ledger.ledger import Ledger
from decision_dna.ledger.opening import DEFAULT_POLICY, create, open_ledger
from decision_dna.ledger.plan import AuthorDraft, Draft
from decision_dna.ledger.store import FAMILIES
from decision_dna.schemas.errors import LedgerError

BATCH = 1024
WINDOW = 1_000_000
BODIES = 96
_drafts = msgspec.msgpack.Decoder(list[Draft])


def decode_drafts(data: bytes) -> list[Draft | AuthorDraft | LedgerError]:
    """Drafts as they are."""
    return list(_drafts.decode(data))


def build(ledger: Ledger, traffic: Traffic, events: int, *, indexed: bool = True) -> list[float]:
    """Append `events` in batches, indexes following beside; events a second in each window, the indexes caught up at its end."""
    bodies = []
    for _ in range(BODIES):
        drafts = traffic.batch(BATCH)
        bodies.append(msgspec.msgpack.encode(drafts))
        traffic.seen(ledger.append(drafts).outcomes)
    followers = Followers(ledger.store, ledger.reader, [IndexFollower()] if indexed else [])
    ledger.writer.on_commit(followers.wake)
    followers.start()
    followers.wait_until(ledger.reader.size if indexed else 0, 600)
    preparers, rates = ledger.preparers(1), []
    try:
        for start in range(0, events, WINDOW):
            batches = -(-min(WINDOW, events - start) // BATCH)
            begun = time.perf_counter()
            for _ in ledger.ingest(preparers, decode_drafts, (bodies[n % BODIES] for n in range(batches))):
                pass
            if indexed:
                followers.wait_until(ledger.reader.size, 600)
            rates.append(round(batches * BATCH / (time.perf_counter() - begun)))
            print(f"{ledger.reader.size:>12,} events, {rates[-1]:,}/s", flush=True)
    finally:
        preparers.close()
        followers.close()
    return rates


def run(events: int, folder: Path | None) -> dict[str, Any]:
    """Build and measure; the ledger is left where a folder was given, and the next run that is given it measures it as it is."""
    place = folder or Path(tempfile.mkdtemp(prefix="dna-big-"))
    path = place / "d"
    is_new = not path.exists()
    if is_new:
        create(path, ORIGIN, policy=msgspec.structs.replace(DEFAULT_POLICY, default_attestation="none"))
    result: dict[str, Any] = {}
    with open_ledger(path) as ledger:
        traffic = Traffic(1)
        if is_new:
            rates = build(ledger, traffic, events)
            result["append_per_window"] = rates
            result["growth_last_against_first"] = round(rates[-1] / rates[0], 3)
        else:
            Followers(ledger.store, ledger.reader, [IndexFollower()]).catch_up()
        result["events"] = events = ledger.reader.size
        result["warm_ms"] = {name: warm(ask) for name, ask in questions(ledger, traffic).items()}
        names = filters(ledger, traffic)
    result["cold_ms"] = {name: cold(path, wanted) for name, wanted in names.items()}
    result["open_s"] = opened(path)
    result["verify_events_per_s"] = round(verified(path, events))
    with open_ledger(path) as ledger:
        for family in FAMILIES:
            ledger.store.compact(family)
        files = sum(file.stat().st_size for file in (path / "db").rglob("*.sst"))
        result["disk_bytes_per_event"] = round(files / ledger.reader.size, 1)
    if folder is None:
        shutil.rmtree(place)
    return result

"""Indexes and queries: what it costs to keep the indexes, and to ask them.

    python -m benchmarks.queries --events 200000

Builds a ledger of detections (payloads of about 300 bytes, 1,000 pools as subjects, 50 sources, a trace on one event in ten,
a cause on one in five, attestation `none`) in batches of 1,024, with the followers running beside the writer. Costs are
given as wall time and as processor time of the process, which other programs on the machine disturb less. Cold
queries run each in a process of its own, after the store's files were dropped from the system's cache.
"""

import argparse
import json
import multiprocessing
import os
import random
import statistics
import tempfile
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

import msgspec

from decision_dna.engine.projections import DETECTIONS, ProjectionFollower
from decision_dna.engine.replay import replay_log
from decision_dna.ledger.followers import Follower, Followers, stretches
from decision_dna.ledger.indexes import BLOCK_EVENTS, Indexes, IndexFollower, rebuild
from decision_dna.ledger.ledger import Ledger
from decision_dna.ledger.lock import Lock
from decision_dna.ledger.opening import DEFAULT_POLICY, create, open_ledger
from decision_dna.ledger.plan import Draft
from decision_dna.ledger.queries import EventFilter, lineage, query, stream_run
from decision_dna.ledger.reader import LogReader
from decision_dna.ledger.rocks import RocksStore
from decision_dna.ledger.writer import Placed
from decision_dna.schemas import codec
from decision_dna.schemas.market import Arbitrage, Hop

BATCH = 1024
POOLS, SOURCES = 1000, 50
KINDS = ("detection.arbitrage", "x.swap", "x.quote", "x.note", "route.choice")
ORIGIN = "example.org/benchmark"
COLD_SAMPLES, WARM_SAMPLES = 12, 200
PORTION, ROUNDS = 16, 4

Result = dict[str, object]


class Traffic:
    """Seeded drafts."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.pools = [self.word(44) + "/" + self.word(44) for _ in range(POOLS)]
        self.ids: list[bytes] = []

    def word(self, length: int) -> str:
        """As keys on the chain look."""
        return "".join(self.chance.choices("123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz", k=length))

    def batch(self, count: int) -> list[Draft]:
        """Some more."""
        chance, drafts = self.chance, []
        for _ in range(count):
            pool = chance.choice(self.pools)
            cause = (chance.choice(self.ids),) if self.ids and chance.random() < 0.2 else ()
            trace = f"00-{chance.getrandbits(128) | 1:032x}-{1:016x}-01" if chance.random() < 0.1 else ""
            kind = chance.choice(KINDS[:4])
            payload = self.arbitrage(pool) if kind == KINDS[0] else codec.encode({"data": chance.randbytes(280)})
            source = f"source-{chance.randrange(SOURCES)}"
            drafts.append(Draft(kind, 1, source, payload, subject=pool, causes=cause, trace=trace))
        return drafts

    def arbitrage(self, pool: str) -> bytes:
        """A detection as the engine writes it."""
        hop = Hop(amount_in=10**9, amount_out=10**8, mint_in=pool[:44], mint_out=pool[-44:], pool=pool)
        return codec.encode(
            Arbitrage(
                confidence_ppm=900_000,
                fee=5000,
                gains=(),
                hops=(hop,),
                net_lamports=self.chance.randrange(10**7),
                owner=pool[:44],
                position=3,
                rule="arbitrage",
                rule_version=1,
                signature=pool[:64],
                signer=pool[:44],
                slot=1,
                tip=0,
                value_lamports=1,
            )
        )

    def seen(self, placed: list[object]) -> None:
        """Ids that may be causes, the newest."""
        self.ids = (self.ids + [each.id for each in placed if isinstance(each, Placed)])[-5000:]


def run(events: int, path: Path) -> Result:
    """Build the ledger in `path`, which must not exist, and measure."""
    create(path, ORIGIN, policy=msgspec.structs.replace(DEFAULT_POLICY, default_attestation="none"))
    traffic = Traffic(1)
    with open_ledger(path) as ledger:
        append_rates(ledger, traffic, 20 * BATCH, [])  # warm
        result: Result = {
            "events": events,
            **compared(ledger, traffic, min(events // 2, 4 * 64 * BATCH)),
            "growing": growing(append_rates(ledger, traffic, events, [IndexFollower()])),
            "fold us": fold_costs(ledger),
            "bytes per event": round(ledger.store.size_bytes() / ledger.reader.size),
        }
        asked = questions(ledger, traffic)
        result["warm ms"] = {name: warm(ask) for name, ask in asked.items()}
        wanted = filters(ledger, traffic)
    result["cold ms"] = {name: cold(path, each) for name, each in wanted.items()}
    return result


Rate = tuple[float, float]
"""Wall and processor time for each event, in us."""


def compared(ledger: Ledger, traffic: Traffic, events: int) -> Result:
    """The log alone, with its indexes, and with a projection too: in turns, so that noise falls on all alike; medians."""
    kinds: dict[str, list[Follower]] = {
        "alone": [],
        "with indexes": [IndexFollower()],
        "with indexes and detections": [IndexFollower(), ProjectionFollower(DETECTIONS)],
    }
    rates: dict[str, list[Rate]] = {name: [] for name in kinds}
    for _ in range(ROUNDS):
        for name, followers in kinds.items():
            rates[name] += append_rates(ledger, traffic, events // ROUNDS, followers)
    return {
        name: {
            "events/s": round(1e6 / statistics.median(wall for wall, _ in found)),
            "processor us/event": round(statistics.median(used for _, used in found), 2),
        }
        for name, found in rates.items()
    }


def growing(rates: list[Rate]) -> Result:
    """The first tenth against the last."""
    tenth = max(1, len(rates) // 10)
    first, last = (1e6 / statistics.median(wall for wall, _ in part) for part in (rates[:tenth], rates[-tenth:]))
    return {"first events/s": round(first), "last events/s": round(last), "ratio": round(last / first, 3)}


def append_rates(ledger: Ledger, traffic: Traffic, events: int, kinds: list[Follower]) -> list[Rate]:
    """Append in batches, portion by portion, with followers beside it, until they have caught up.

    Claims are prepared before the clock runs: that is work for other processes (`ledger.preparing`).
    """
    followers = Followers(ledger.store, ledger.reader, kinds)
    followers.catch_up()
    ledger.writer.on_commit(followers.wake)
    followers.start()
    rates: list[Rate] = []
    for _ in range(-(-events // (BATCH * PORTION))):
        portion = [ledger.prepare(traffic.batch(BATCH), "local") for _ in range(PORTION)]
        started, used = time.perf_counter(), time.process_time()
        placed = [ledger.writer.append(rows).outcomes for rows in portion]
        if kinds:
            followers.wait_until(ledger.reader.size, 600)
        count = PORTION * BATCH / 1e6
        rates.append(((time.perf_counter() - started) / count, (time.process_time() - used) / count))
        traffic.seen([each for outcomes in placed for each in outcomes])
    followers.close()
    return rates


def fold_costs(ledger: Ledger) -> Result:
    """Processor time for each event, in us: decoding, the rows of the indexes, and a replay."""
    size = min(ledger.reader.size, 200_000)
    costs: Result = {}
    costs["decode"] = _cost(lambda: deque(stretches(ledger.store, 0, size), 0), size)
    blocks = range(size // BLOCK_EVENTS)
    costs["decode and make rows"] = _cost(lambda: deque(rebuild(ledger.store, blocks), 0), len(blocks) * BLOCK_EVENTS)
    rows = sum(len(rows) for _, rows in rebuild(ledger.store, blocks))
    costs["rows for each event"] = round(rows / max(1, len(blocks) * BLOCK_EVENTS), 3)
    costs["replay"] = _cost(lambda: replay_log(ledger.store, ledger.reader, DETECTIONS, size), size)
    return costs


def _cost(work: Callable[[], object], events: int) -> float:
    used = time.process_time()
    work()
    return round((time.process_time() - used) / max(1, events) * 1e6, 2)


def filters(ledger: Ledger, traffic: Traffic) -> dict[str, EventFilter]:
    """One question for each index, and some for several at once."""
    middle = ledger.reader.event(ledger.reader.size // 2).entry.recorded_at
    pool, source = traffic.pools[7], "source-7"
    found = query(
        ledger.reader, Indexes(ledger.store), EventFilter(from_seq=ledger.reader.size // 2), limit=1000
    ).events
    cause = next(event.claim.causes[0] for event in found if event.claim.causes)
    trace = next(event.claim.correlation for event in found if event.claim.trace)
    return {
        "type": EventFilter(type="x.swap"),
        "family": EventFilter(type="detection.*"),
        "source": EventFilter(source=source),
        "subject": EventFilter(subject=pool),
        "stream": EventFilter(stream=f"x/{source}"),
        "correlation": EventFilter(correlation=trace),
        "cause": EventFilter(cause=cause),
        "time": EventFilter(time_from=middle),
        "subject and source": EventFilter(subject=found[0].claim.subject, source=found[0].claim.source),
        "type and subject since": EventFilter(type="x.swap", subject=pool, time_from=middle),
        "everything": EventFilter(),
    }


def questions(ledger: Ledger, traffic: Traffic) -> dict[str, Callable[[random.Random], object]]:
    """The same as calls, each with chance for the order."""
    indexes, reader = Indexes(ledger.store), ledger.reader

    def page(wanted: EventFilter) -> Callable[[random.Random], object]:
        return lambda chance: query(
            reader, indexes, wanted, order="asc" if chance.random() < 0.5 else "desc", limit=100
        )

    asked = {name: page(wanted) for name, wanted in filters(ledger, traffic).items()}
    asked["any subject"] = lambda chance: page(EventFilter(subject=chance.choice(traffic.pools)))(chance)
    asked["any subject and source"] = lambda chance: page(any_two(traffic, chance))(chance)
    asked["run of a stream"] = lambda chance: stream_run(reader, indexes, "x/source-7", chance.randrange(500), 100)
    asked["lineage"] = lambda chance: lineage(reader, indexes, chance.randrange(reader.size), depth=4, limit=50)
    return asked


def any_two(traffic: Traffic, chance: random.Random) -> EventFilter:
    """Two words that were hardly asked for together before: nothing that was kept helps."""
    return EventFilter(subject=chance.choice(traffic.pools), source=f"source-{chance.randrange(SOURCES)}")


def warm(ask: Callable[[random.Random], object]) -> Result:
    """p50 and p99 of the wall time, in ms, after one call."""
    chance = random.Random(2)
    ask(chance)
    return _percentiles([_elapsed_ms(lambda: ask(chance)) for _ in range(WARM_SAMPLES)])


def cold(path: Path, wanted: EventFilter) -> Result:
    """The first page in fresh processes."""
    context = multiprocessing.get_context("spawn")
    times: list[float] = []
    for at in range(COLD_SAMPLES):
        drop_caches(path / "db")
        with context.Pool(1) as pool:
            times.append(pool.apply(first_page_ms, (str(path), msgspec.msgpack.encode(wanted), at % 2 == 0)))
    return _percentiles(times)


def drop_caches(folder: Path) -> None:
    """Ask the system to forget the files' pages: as far as a program without privileges can."""
    for file in folder.iterdir():
        handle = os.open(file, os.O_RDONLY)
        os.fsync(handle)
        os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(handle)


def first_page_ms(path: str, wanted: bytes, ascending: bool) -> float:
    """In a process of its own: the store is opened, and one query timed."""
    lock = Lock.open(str(Path(path) / "lock" / "head.sqlite"), read_only=True)
    with RocksStore.open_read_only(str(Path(path) / "db")) as store:
        head = lock.read()
        reader, indexes = LogReader(store, lambda: head), Indexes(store)
        asked = msgspec.msgpack.decode(wanted, type=EventFilter)
        elapsed = _elapsed_ms(lambda: query(reader, indexes, asked, order="asc" if ascending else "desc", limit=100))
    lock.close()
    return elapsed


def _elapsed_ms(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return (time.perf_counter() - started) * 1000


def _percentiles(times: list[float]) -> Result:
    cuts = statistics.quantiles(times, n=100, method="inclusive")
    return {"p50": round(cuts[49], 3), "p99": round(cuts[98], 3)}


def main() -> None:
    """As a command: the result as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=200_000)
    parser.add_argument("--path", type=Path, help="a folder that does not exist; default: a temporary one")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps(run(options.events, options.path or Path(folder) / "ledger"), indent=2))


if __name__ == "__main__":
    main()

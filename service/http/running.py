"""The running service without its HTTP: one task group owns every loop, and ends them in order.

followers       a thread that keeps indexes and projections
committer       a thread that commits what is queued
heartbeats      a timer, so that the log is never silent for longer than its policy says
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import msgspec

from decision_dna.engine.projections import ProjectionFollower
from decision_dna.ledger.followers import Followers
from decision_dna.ledger.indexes import Indexes, IndexFollower
from decision_dna.ledger.ledger import Ledger
from decision_dna.ledger.queries import EventFilter, query
from decision_dna.schemas.errors import ClockWrong, Unavailable, WriterStopped
from decision_dna.schemas.ledgering import HEARTBEAT
from decision_dna.service.http.beside import LongReads
from decision_dna.service.http.metrics import Metrics
from decision_dna.service.http.states import States
from decision_dna.service.http.stream import Tail
from decision_dna.service.ingest import Ingest
from decision_dna.service.settings import Settings

COMMITTERS = 2


class Running(msgspec.Struct, frozen=True):
    """What the routes work with."""

    ledger: Ledger
    indexes: Indexes
    followers: Followers
    ingest: Ingest
    tail: Tail
    metrics: Metrics
    settings: Settings
    projections: tuple[ProjectionFollower, ...]
    states: States
    long_reads: LongReads


@contextlib.asynccontextmanager
async def running(
    ledger: Ledger, settings: Settings, projections: Sequence[ProjectionFollower] = ()
) -> AsyncIterator[Running]:
    """Everything in motion around an open ledger, which stays the caller's to close. At the end: subscriptions end, what
    was taken is answered, loops stop. Raises what made a loop fail."""
    indexes, metrics = Indexes(ledger.store), Metrics(ledger)
    followers = Followers(ledger.store, ledger.reader, [IndexFollower(), *projections])
    ingest = Ingest(
        ledger,
        window_seconds=settings.batch_window_ms / 1000,
        batch_events_max=settings.batch_max_size,
        threads=settings.prepare_threads,
        processes=settings.prepare_processes,
    )
    tail = Tail(
        ledger.reader,
        indexes,
        ingest,
        metrics,
        ping_seconds=settings.ping_seconds,
        subscribers_max=settings.subscribers_max,
    )
    ledger.writer.on_commit(followers.wake)
    ledger.writer.on_commit(tail.wake)
    long_reads = LongReads(settings.long_reads_max)
    closing = asyncio.Event()
    followers.start()
    try:
        async with asyncio.TaskGroup() as loops:
            for number in range(COMMITTERS):
                loops.create_task(_commit(ingest), name=f"committer-{number}")
            loops.create_task(_heartbeats(ledger, indexes, closing), name="heartbeats")
            try:
                yield Running(
                    ledger,
                    indexes,
                    followers,
                    ingest,
                    tail,
                    metrics,
                    settings,
                    tuple(projections),
                    States(ledger, projections),
                    long_reads,
                )
            finally:
                closing.set()
                tail.close()
                await ingest.close()
    finally:
        long_reads.close()
        followers.close()


async def _commit(ingest: Ingest) -> None:
    with ThreadPoolExecutor(1, thread_name_prefix="committer") as thread:
        try:
            await asyncio.get_running_loop().run_in_executor(thread, ingest.commit_until_closed)
        except WriterStopped as stopped:
            ingest.fail(stopped)
            raise
        except BaseException:
            ingest.fail(Unavailable("the committing thread has failed"))
            raise


async def _heartbeats(ledger: Ledger, indexes: Indexes, closing: asyncio.Event) -> None:
    """At once if the last one is too old, then at half the longest silence that the policy allows."""
    wait = await asyncio.to_thread(_seconds_until_due, ledger, indexes)
    while True:
        try:
            await asyncio.wait_for(closing.wait(), wait)
        except TimeoutError:
            pass
        else:
            return
        try:
            await asyncio.to_thread(ledger.heartbeat)
        except WriterStopped:  # it ends the service: a new start finds out what is stored
            raise
        except ClockWrong:  # heartbeats wait, as appends do, until it has passed or an operator vouches for it
            wait = 1.0
            continue
        except Unavailable:  # the ledger was closed
            return
        wait = _period_seconds(ledger)


def _period_seconds(ledger: Ledger) -> float:
    return ledger.writer.authority.policy.heartbeat_seconds_max / 2


def _seconds_until_due(ledger: Ledger, indexes: Indexes) -> float:
    """Zero where no heartbeat stands within the last period."""
    now, period = ledger.clock.now_ns(), _period_seconds(ledger)
    recent = EventFilter(type=HEARTBEAT, time_from=max(0, now - int(period * 10**9)))
    found = query(ledger.reader, indexes, recent, order="desc", limit=1).events
    return max(0.0, period - (now - found[0].entry.recorded_at) / 10**9) if found else 0.0

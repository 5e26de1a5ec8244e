"""The main job in one process:

    source ─ watch ─ detect ─ append ─ follow (indexes, projection) ─ commit state ─ heartbeat ─ anchor ─ verify
                                 └ serve over HTTP, from the beginning to the end

One task group owns every loop: the server with its own, and the watching. Whichever fails ends all.
"""

import asyncio
import signal
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import uvloop

from decision_dna.engine.projections import DETECTIONS, Projection, ProjectionFollower, commit_state
from decision_dna.engine.scenarios import write_blocks
from decision_dna.engine.watch import blocks_from, follow
from decision_dna.ledger.audit import Report
from decision_dna.ledger.audit import verify as verify_source
from decision_dna.ledger.followers import Stretch
from decision_dna.ledger.freshness import freshness
from decision_dna.ledger.ledger import Ledger
from decision_dna.ledger.sources import StoreSource
from decision_dna.ledger.store import Batch
from decision_dna.schemas.anchoring import AnchorConfirmed
from decision_dna.schemas.errors import Refused, Unavailable
from decision_dna.service.anchoring import anchor_once, local_chain
from decision_dna.service.http.server import serve
from decision_dna.service.settings import Settings
from decision_dna.service.steps import NOTE_TYPES, checks_of
from decision_dna.service.watching import Seen, append_block

FOLDED_SECONDS_MAX = 120.0
LOOK_SECONDS = 0.5
"""Between two looks at a folder that is followed."""
MADE_BLOCKS, MADE_SEED = 8, 7


T = TypeVar("T")


class Told(NamedTuple):
    """Who is told what happens, as it happens."""

    address: Callable[[str], None]
    seen: Callable[[Seen], None]
    state: Callable[[str, int], None]
    state_missing: Callable[[str, str], None]
    anchor: Callable[[int, AnchorConfirmed], None]
    report: Callable[[Report], None]


class Followed(ProjectionFollower):
    """A projection that can be waited for."""

    def __init__(self, projection: Projection) -> None:
        super().__init__(projection)
        self._folded = threading.Condition()
        self._end = 0

    def fold(self, stretch: Stretch, batch: Batch) -> int:
        """Fold, and say so; also that it failed."""
        try:
            saved = super().fold(stretch, batch)
        finally:
            with self._folded:
                self._end = stretch.end
                self._folded.notify_all()
        return saved

    def wait_until(self, seq: int) -> None:
        """Return once everything before `seq` is folded, by this process or an earlier one, or the fold has failed. Raises
        Unavailable."""
        with self._folded:
            done = self._folded.wait_for(lambda: self.failed or max(self._end, self._cursor) >= seq, FOLDED_SECONDS_MAX)
        if not done:
            raise Unavailable(f"the projection did not come to {seq} in {FOLDED_SECONDS_MAX:.0f} s")


def source_of(blocks: Path | None, data: Path, made: Path, *, may_make: bool) -> tuple[Path, str]:
    """Where blocks come from, and what they are: `given`, `recorded`, or `made` where there are no others.

    Raises CannotOpen where blocks must be made and solders is not installed, Refused where none may be made: what is invented
    does not go into a log that is about something else.
    """
    if blocks is not None:
        return blocks, "given"
    recorded = data / "data" / "blocks"
    if recorded.is_dir():
        return recorded, "recorded"
    if not made.exists() and not may_make:
        raise Refused(
            f"there are no recorded blocks in {recorded}: give --blocks. Made ones only begin a ledger of their own"
        )
    if not made.exists():
        write_blocks(made, MADE_BLOCKS, MADE_SEED)
    return made, "made"


def run(
    ledger: Ledger, source: Path, settings: Settings, told: Told, *, once: bool, projection: Projection = DETECTIONS
) -> Report:
    """Do the main job until a signal; with `once`, until the first verification. Returns that. Raises LedgerError, KeyboardInterrupt.

    Where the projection cannot be folded, recording goes on; its commitment is missing, and `told` says why.
    """
    return run_loop(_Job(ledger, source, settings, told, projection).run(once=once))


def run_loop(main: Coroutine[Any, Any, T]) -> T:
    """Run a main coroutine to its end. What a task group collected leaves as the first error in it; SIGTERM ends it as SIGINT does."""

    async def politely() -> T:
        # The server lets a signal through once it has ended, to whoever handled it before: that must not be sudden death.
        signal.signal(signal.SIGTERM, signal.getsignal(signal.SIGINT))
        return await main

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        try:
            return runner.run(politely())
        except BaseExceptionGroup as group:
            error: BaseException = group
            while isinstance(error, BaseExceptionGroup):
                error = error.exceptions[0]
            raise error from None


class _Job:
    """One run of the main job."""

    def __init__(self, ledger: Ledger, source: Path, settings: Settings, told: Told, projection: Projection) -> None:
        self._ledger, self._source, self._settings, self._told = ledger, source, settings, told
        self._projection = Followed(projection)
        self._halt = threading.Event()
        self._read: set[str] = set()

    async def run(self, *, once: bool) -> Report:
        """Everything, in its order."""
        ready, stop = asyncio.Event(), Future[None]()

        def say(address: str) -> None:
            self._told.address(address)
            ready.set()

        async with asyncio.TaskGroup() as loops:
            server = loops.create_task(
                serve(self._ledger, self._settings, ready=say, stop=stop, projections=[self._projection]),
                name="server",
            )
            server.add_done_callback(lambda _: self._halt.set())
            await ready.wait()
            await asyncio.to_thread(self._read_all)
            report = await self._settle()
            if once:
                stop.set_result(None)
            else:
                loops.create_task(asyncio.to_thread(self._follow), name="watching")
        return report

    def _read_all(self) -> None:
        for item in blocks_from(self._source):
            if self._halt.is_set():
                return
            self._told.seen(append_block(self._ledger, item))
            self._read.add(item.name)

    async def _settle(self) -> Report:
        """After what there was to read: state, heartbeat, anchor, verification."""
        await asyncio.to_thread(self._commit_state)
        await asyncio.to_thread(self._ledger.heartbeat)
        self._told.anchor(*await anchor_once(self._ledger, local_chain(self._ledger)))
        report = await asyncio.to_thread(self._verify)
        self._told.report(report)
        return report

    def _commit_state(self) -> None:
        try:
            self._projection.wait_until(self._ledger.reader.size)
            placed = commit_state(self._ledger, self._projection)
        except Unavailable as error:
            self._told.state_missing(self._projection.name, str(error))
        else:
            self._told.state(self._projection.name, placed.seq)

    def _verify(self) -> Report:
        source = StoreSource(self._ledger.store, self._ledger.reader.head())
        report = verify_source(source, self._ledger.vkey, note_types=NOTE_TYPES, checks=checks_of(source, source.store))
        report.verdicts["freshness"] = freshness(report.newest, self._ledger.clock.now_ns())
        return report

    def _follow(self) -> None:
        """What appears later, until the server ends."""
        for item in follow(self._source, lambda: not self._halt.wait(LOOK_SECONDS)):
            if item.name not in self._read:
                self._told.seen(append_block(self._ledger, item))

"""The same events, from many threads at once: each has one place, and everybody is told that one.

Also while a batch is linked behind one that is not stored yet.
"""

import sys
import threading
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

from decision_dna.ledger.folder import verify_folder
from decision_dna.ledger.memory import MemoryLock, MemoryStore
from decision_dna.ledger.opening import resume, write_genesis
from decision_dna.ledger.store import Batch
from decision_dna.ledger.writer import AHEAD_EVENTS_MIN, Placed
from decision_dna.schemas.errors import IdConflict
from tests.ledger.samples import ORIGIN, POLICY, draft, new_ledger
from tests.simulation.world import World
from tests.torture.appending import drafts_of

THREADS = 6
BATCH = AHEAD_EVENTS_MIN // 3
"""So that some batches are linked while the one before is committed, and some are not."""
BATCHES = 12
OFTEN_SECONDS = 1e-5


@pytest.fixture
def often() -> Iterator[None]:
    """Threads change places a thousand times as often as usual."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(OFTEN_SECONDS)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("often")
def test_the_same_events_from_many_threads_have_one_place_each(tmp_path: Path) -> None:
    ledger, _ = new_ledger(tmp_path / "d")
    told = defaultdict[bytes, list[Placed]](list)
    refused: list[object] = []

    def append() -> None:
        for first in range(0, BATCHES * BATCH, BATCH):
            for outcome in ledger.append(drafts_of("raw", range(first, first + BATCH))).outcomes:
                (told[outcome.id] if isinstance(outcome, Placed) else refused).append(outcome)  # type: ignore[arg-type]

    with ledger:
        threads = [threading.Thread(target=append) for _ in range(THREADS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert refused == []
        assert {len(answers) for answers in told.values()} == {THREADS}
        assert {len({(placed.seq, placed.hash) for placed in answers}) for answers in told.values()} == {1}
        assert sorted(answers[0].seq for answers in told.values()) == list(range(1, BATCHES * BATCH + 1))
        assert all(ledger.reader.event(answers[0].seq).claim.id == event_id for event_id, answers in told.items())
    assert verify_folder(tmp_path / "d", ledger.vkey).findings == []


class GatedStore(MemoryStore):
    """A store whose writes wait, once it is told so."""

    def __init__(self) -> None:
        super().__init__()
        self.gate, self.entered = threading.Event(), threading.Event()
        self.gate.set()

    def write(self, batch: Batch, *, durable: bool) -> None:
        """As soon as the gate is open."""
        self.entered.set()
        self.gate.wait()
        super().write(batch, durable=durable)


def test_what_is_being_stored_is_known_to_the_batch_that_is_linked_behind_it() -> None:
    world, store = World(0), GatedStore()
    locked = write_genesis(store, world.keys, ORIGIN, POLICY, None, world.clock)
    ledger = resume(None, store, MemoryLock(locked), world.keys, world.clock)
    writer, drafts = ledger.writer, drafts_of("raw", range(AHEAD_EVENTS_MIN))
    cause = drafts_of("later", [0])[0].id or b""
    later = [drafts[3], draft(1, "last", causes=(cause,)), draft(2, "raw", id=drafts[4].id), draft(3, "sign")]
    store.gate.clear()
    store.entered.clear()
    first = writer.enqueue(ledger.prepare([*drafts, *drafts_of("later", [0])], "p"))
    threads = [threading.Thread(target=writer.commit_queued) for _ in range(2)]
    threads[0].start()
    store.entered.wait()
    second = writer.enqueue(ledger.prepare([*drafts, *later], "p"))
    threads[1].start()
    while writer.stream_next("x/sign") == 0:  # until it is linked
        pass
    assert ledger.reader.size == 1
    store.gate.set()
    for thread in threads:
        thread.join()
    places = [placed.seq for placed in first.result(0).outcomes if isinstance(placed, Placed)]
    assert places == list(range(1, len(drafts) + 2))
    outcomes = second.result(0).outcomes
    again = [(placed.seq, placed.duplicate) for placed in outcomes[: len(drafts) + 1] if isinstance(placed, Placed)]
    assert again == [(seq, True) for seq in [*places[:-1], places[3]]]
    last, conflict, sign = outcomes[len(drafts) + 1 :]
    assert isinstance(conflict, IdConflict)
    assert isinstance(last, Placed)
    assert isinstance(sign, Placed)
    assert (last.seq, sign.seq) == (places[-1] + 1, places[-1] + 2)

"""The same events, from many threads at once: each has one place, and everybody is told that one."""

import sys
import threading
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

from decision_dna.ledger.folder import verify_folder
from decision_dna.ledger.writer import AHEAD_EVENTS_MIN, Placed
from tests.ledger.samples import new_ledger
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

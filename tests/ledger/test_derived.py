"""Verification covers derived rows: an index row that is not what the log gives fails step 6, and what was not compared is said."""

from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest

from decision_dna.ledger.audit import Report, verify
from decision_dna.ledger.entrance import enter
from decision_dna.ledger.entrance_store import EnterableStore
from decision_dna.ledger.folder import verify_folder
from decision_dna.ledger.followers import START, Cursor, Followers, cursor_key
from decision_dna.ledger.indexes import BLOCK_EVENTS, VERSION, Indexes, IndexFollower
from decision_dna.ledger.ledger import Ledger
from decision_dna.ledger.lock import Locked
from decision_dna.ledger.memory import MemoryStore
from decision_dna.ledger.notes import note_of
from decision_dna.ledger.opening import open_ledger
from decision_dna.ledger.queries import EventFilter, query
from decision_dna.ledger.rocks import RocksStore
from decision_dna.ledger.sources import StoreSource
from decision_dna.ledger.store import Store
from decision_dna.ledger.verification import SEGMENT_EVENTS, Step
from decision_dna.schemas import codec
from tests.ledger.memory_log import Events, new_log
from tests.ledger.samples import draft, new_ledger

CURSOR = cursor_key("indexes")
EVENTS = 2 * BLOCK_EVENTS + 500


@pytest.fixture(scope="module")
def log() -> tuple[Ledger, MemoryStore]:
    """Two complete blocks and a bit, indexed. Not to be changed."""
    ledger, store, clock = new_log()
    events = Events(3)
    for count in (5000, EVENTS - 5000):
        events.append(ledger, clock, count)
    Followers(store, ledger.reader, [IndexFollower()]).catch_up()
    return ledger, store


def verified(ledger: Ledger, store: MemoryStore) -> Report:
    return verify(StoreSource(store, ledger.reader.head()), ledger.vkey)


def put(store: Store, family: str, key: bytes, value: bytes | None) -> None:
    """Set a row; None removes it."""
    batch = store.batch()
    if value is None:
        batch.delete(family, key)
    else:
        batch.put(family, key, value)
    store.write(batch, durable=False)


def failed(report: Report) -> set[int]:
    return {step.step for step in report.steps if step.status == "fail"}


def row_of(store: Store) -> tuple[bytes, bytes]:
    """A row that has places."""
    return next((key, value) for key, value in store.scan("index", b"t") if value)


def test_verify_says_how_far_the_indexes_were_compared(log: tuple[Ledger, MemoryStore]) -> None:
    """Indexes that are what the log gives pass, with their position in the line of step 6."""
    ledger, store = log
    report = verified(ledger, store)
    assert (report.findings, report.unverified) == ([], [])
    assert f"indexes to seq {2 * BLOCK_EVENTS}" in report.steps[Step.TREE - 1].text


def test_verify_names_a_removed_index_row_that_hides_events(log: tuple[Ledger, MemoryStore]) -> None:
    """One deleted row makes a query omit events; verification fails step 6 and names the row. The log itself stays pinned."""
    ledger, honest = log
    store = honest.kill()
    key, _ = row_of(store)
    wanted = EventFilter(type=key[1:].partition(b"\0")[0].decode())
    before = query(ledger.reader, Indexes(store), wanted).events
    put(store, "index", key, None)
    assert query(ledger.reader, Indexes(store), wanted).events != before
    report = verified(ledger, store)
    assert failed(report) == {Step.TREE}
    assert f"index row {key.hex()} is missing" in report.findings[0].text
    assert (report.pinned, report.holds) == (True, False)


LIES: dict[str, Callable[[Store], None]] = {
    "a row is changed": lambda store: put(store, "index", row_of(store)[0], row_of(store)[1][:-1] + b"\xff"),
    "a row is added": lambda store: put(store, "index", b"x" + bytes(4), b""),
    "a row is added past the cursor": lambda store: put(store, "index", b"x" + (9).to_bytes(4), b""),
    "a row has no block": lambda store: put(store, "index", b"x", b""),
    "the cursor is removed": lambda store: put(store, "views", CURSOR, None),
    "the cursor is of another history": lambda store: put(
        store, "views", CURSOR, codec.encode(Cursor(VERSION, BLOCK_EVENTS, START))
    ),
    "the cursor is past the log": lambda store: put(
        store, "views", CURSOR, codec.encode(Cursor(VERSION, 100 * BLOCK_EVENTS, START))
    ),
    "the cursor is damaged": lambda store: put(store, "views", CURSOR, b"\xc1"),
    "the cursor is of a version to come": lambda store: put(
        store, "views", CURSOR, codec.encode(Cursor(VERSION + 1, BLOCK_EVENTS, START))
    ),
}


@pytest.mark.parametrize("name", LIES)
def test_verify_names_whatever_is_wrong_with_the_index(name: str, log: tuple[Ledger, MemoryStore]) -> None:
    """A changed, added or misplaced row, and a cursor that is none of this log, fail step 6."""
    ledger, honest = log
    store = honest.kill()
    LIES[name](store)
    assert failed(verified(ledger, store)) == {Step.TREE}


def test_verify_names_every_single_removed_row(log: tuple[Ledger, MemoryStore]) -> None:
    """Of any family of terms."""
    ledger, honest = log
    rows = [key for key, _ in honest.scan("index")]
    assert {key[:1] for key in rows} == {b"c", b"j", b"m", b"p", b"r", b"s", b"t", b"w"}
    for tag in b"cjmprstw":
        store, key = honest.kill(), Random(tag).choice([key for key in rows if key[0] == tag])
        put(store, "index", key, None)
        report = verified(ledger, store)
        assert any(key.hex() in finding.text for finding in report.findings), key


def test_verify_leaves_out_an_index_of_an_earlier_version_and_says_so(log: tuple[Ledger, MemoryStore]) -> None:
    """No query reads it, so nothing fails."""
    ledger, honest = log
    store = honest.kill()
    put(store, "views", CURSOR, codec.encode(Cursor(VERSION - 1, BLOCK_EVENTS, START)))
    report = verified(ledger, store)
    assert report.holds
    assert [sentence for sentence in report.unverified if f"version {VERSION - 1}" in sentence]


def test_verify_names_the_log_and_leaves_out_the_index_of_damaged_entries(log: tuple[Ledger, MemoryStore]) -> None:
    """Where entries do not hold there is nothing to compare their rows with."""
    ledger, honest = log
    store = honest.kill()
    key, run = store.last("entries", (5000).to_bytes(8)) or (b"", b"")
    put(store, "entries", key, run[:-1] + bytes([run[-1] ^ 1]))
    report = verified(ledger, store)
    assert not report.holds
    assert [sentence for sentence in report.unverified if "2 blocks" in sentence]


def test_verify_at_an_earlier_head_leaves_out_the_rows_past_it(log: tuple[Ledger, MemoryStore]) -> None:
    """A follower may be ahead of the head that a verifier beside it read: that is no failure, and is said."""
    ledger, honest = log
    note = ledger.reader.note_of(5001)
    source = StoreSource(honest, Locked(ledger.origin, 5001, note_of(note).root, note.decode()))
    report = verify(source, ledger.vkey)
    assert report.findings == []
    assert [sentence for sentence in report.unverified if f"from seq {BLOCK_EVENTS} on" in sentence]
    assert f"indexes to seq {BLOCK_EVENTS}" in report.steps[Step.TREE - 1].text


def test_verify_from_a_place_says_that_indexes_were_not_compared(log: tuple[Ledger, MemoryStore]) -> None:
    """With --from-seq derived rows are left out."""
    ledger, honest = log
    store = honest.kill()
    put(store, "index", b"x" + bytes(4), b"")
    source = EnterableStore(store, ledger.reader.head())
    report = verify(source, ledger.vkey, entrance=enter(source, 4096, []))
    assert report.holds
    assert [sentence for sentence in report.unverified if "stored indexes and views were not compared" in sentence]


def test_verify_on_two_processes_names_a_removed_index_row(tmp_path: Path) -> None:
    """The segments' digests come from the workers."""
    path = tmp_path / "d"
    ledger, clock = new_ledger(path)
    with ledger:
        while ledger.reader.size <= SEGMENT_EVENTS:
            clock.advance(10**9)
            ledger.append([draft(1, "raw") for _ in range(8192)])
        Followers(ledger.store, ledger.reader, [IndexFollower()]).catch_up()
        vkey = ledger.vkey
    report = verify_folder(path, vkey, processes=2)
    assert (report.findings, f"indexes to seq {16 * BLOCK_EVENTS}" in report.steps[Step.TREE - 1].text) == ([], True)
    with RocksStore.open(str(path / "db"), create=False) as store:
        key, _ = row_of(store)
        put(store, "index", key, None)
    report = verify_folder(path, vkey, processes=2)
    assert [finding.text for finding in report.findings if key.hex() in finding.text]
    open_ledger(path, clock=clock).close()

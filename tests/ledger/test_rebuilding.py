"""Rebuilding derived rows from the log: the same rows, whatever was there before and however often it was interrupted."""

from collections.abc import Callable

import pytest

from decision_dna.engine.projections import DETECTIONS, ProjectionFollower, commit_state
from decision_dna.engine.replay import check_views, drop_strays, start_from_snapshot
from decision_dna.ledger.audit import verify
from decision_dna.ledger.clock import ManualClock
from decision_dna.ledger.followers import REBUILD_KEY, Follower, Followers, cursor_key, read_cursor
from decision_dna.ledger.indexes import BLOCK_EVENTS, Indexes, IndexFollower, check_indexes
from decision_dna.ledger.ledger import Ledger
from decision_dna.ledger.memory import MemoryStore
from decision_dna.ledger.plan import Draft
from decision_dna.ledger.queries import EventFilter, query
from decision_dna.ledger.reader import LogReader
from decision_dna.ledger.rebuilding import Progress, read_pending, rebuild_followers
from decision_dna.ledger.sources import StoreSource
from decision_dna.ledger.store import Store
from decision_dna.schemas import codec
from tests.ledger.memory_log import Events, new_log

BLOCKS = 3


class Interrupted(Exception):
    """As a signal ends it."""


class Case:
    """A log with indexes and a projection. `read` gives a reader of a copy of its store."""

    def __init__(self) -> None:
        self.ledger, self.store, self.clock = _filled()

    def reader(self, store: Store) -> LogReader:
        return LogReader(store, self.ledger.reader.head)

    def derived(self, store: Store) -> dict[tuple[str, bytes], bytes]:
        return {(family, key): value for family in ("index", "views") for key, value in store.scan(family)}


def _filled() -> tuple[Ledger, MemoryStore, ManualClock]:
    ledger, store, clock = new_log()
    events, seen = Events(5), codec.encode({"n": 1})
    for _ in range(BLOCKS):
        events.append(ledger, clock, BLOCK_EVENTS - 3)
        ledger.append_system(
            [Draft(type="detection.unheard_of", schema=1, source="engine", payload=seen) for _ in range(3)]
        )
    Followers(store, ledger.reader, [IndexFollower(), ProjectionFollower(DETECTIONS, save_events=1)]).catch_up()
    return ledger, store, clock


@pytest.fixture(scope="module")
def case() -> Case:
    return Case()


def followers() -> list[Follower]:
    return [IndexFollower(), ProjectionFollower(DETECTIONS, save_events=1)]


def rebuild(case: Case, store: Store, progress: Progress = lambda _name, _done, _size: None) -> bool:
    return rebuild_followers(store, case.reader(store), followers(), progress=progress)


def put(store: Store, family: str, key: bytes, value: bytes | None) -> None:
    batch = store.batch()
    if value is None:
        batch.delete(family, key)
    else:
        batch.put(family, key, value)
    store.write(batch, durable=False)


DAMAGE: dict[str, Callable[[Store], None]] = {
    "nothing": lambda _: None,
    "a row is removed": lambda store: put(store, "index", next(store.scan("index", b"t"))[0], None),
    "a row is added": lambda store: put(store, "index", b"x" + bytes(4), b""),
    "the cursor is removed": lambda store: put(store, "views", cursor_key("indexes"), None),
    "a state is changed": lambda store: put(store, "views", next(store.scan("views", b"state/"))[0], b"\x93\1\1\1"),
    "a state is added": lambda store: put(store, "views", b"state/detections/x", b"\x93\1\1\1"),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_rebuild_gives_the_rows_that_the_log_gives(name: str, case: Case) -> None:
    """Whatever was wrong with derived rows, they are as before, and verification passes."""
    store = case.store.kill()
    DAMAGE[name](store)
    assert (name == "nothing") == verify(StoreSource(store, case.ledger.reader.head()), None).holds or "state" in name
    assert rebuild(case, store) is False
    assert case.derived(store) == case.derived(case.store)
    assert verify(StoreSource(store, case.ledger.reader.head()), None).findings == []


def stop_at(name: str, done: int) -> Progress:
    def progress(follower: str, at: int, _size: int) -> None:
        if (follower, at) == (name, done):
            raise Interrupted

    return progress


@pytest.mark.parametrize(
    "at", [("indexes", 0), ("indexes", 2 * BLOCK_EVENTS), ("detections", 512), ("detections", 9216)]
)
def test_rebuild_goes_on_where_it_was_interrupted(at: tuple[str, int], case: Case) -> None:
    """The next call starts at the cursor of the follower that was under way, and leaves those that were done."""
    store = case.store.kill()
    with pytest.raises(Interrupted):
        rebuild(case, store, stop_at(*at))
    store, seen = store.kill(), list[tuple[str, int]]()
    assert read_pending(store) is not None
    assert rebuild(case, store, lambda name, done, _: seen.append((name, done))) is True
    assert seen[0] == at
    assert case.derived(store) == case.derived(case.store)


def test_rebuild_killed_between_any_two_writes_ends_with_the_same_rows(case: Case) -> None:
    """After each write of a rebuild the power may be lost: the next call brings the same rows."""
    store = case.store.kill()
    put(store, "index", b"x" + bytes(4), b"")
    before = store.writes
    with pytest.raises(Interrupted):
        rebuild(case, store, stop_at("detections", 1024))
    for keep in range(store.writes - before):
        crashed = store.crash(keep)
        rebuild(case, crashed)
        assert case.derived(crashed) == case.derived(case.store), keep


def test_queries_beside_an_unfinished_rebuild_omit_nothing_and_say_how_far_rows_go(case: Case) -> None:
    """The cursor marks what is there; the rest is read from the log."""
    store, wanted = case.store.kill(), EventFilter(type="detection.*")
    whole = query(case.reader(store), Indexes(store), wanted)
    with pytest.raises(Interrupted):
        rebuild(case, store, stop_at("indexes", BLOCK_EVENTS))
    part = query(case.reader(store), Indexes(store), wanted)
    assert [event.raw for event in part.events] == [event.raw for event in whole.events]
    assert (whole.indexed_to, part.indexed_to) == (BLOCKS * BLOCK_EVENTS, BLOCK_EVENTS)


def test_verification_beside_an_unfinished_rebuild_says_what_it_left_out(case: Case) -> None:
    """While rows are cleared there is a marker and no cursor: that is no failure."""
    store = case.store.kill()
    with pytest.raises(Interrupted):
        rebuild(case, store, stop_at("indexes", 0))
    put(store, "index", b"x" + bytes(4), b"")  # one that is not cleared yet
    report = verify(StoreSource(store, case.ledger.reader.head()), None)
    assert report.holds
    assert [sentence for sentence in report.unverified if "being rebuilt" in sentence]


@pytest.mark.parametrize("row", [b"", b"\xc1", codec.encode([["nobody"], True]), codec.encode([[], False])])
def test_a_marker_that_is_none_begins_a_new_rebuild(row: bytes, case: Case) -> None:
    """Whoever has the disk can't have it leave something out by a marker that names nothing that is known."""
    store = case.store.kill()
    put(store, "views", REBUILD_KEY, row)
    put(store, "index", b"x" + bytes(4), b"")
    assert rebuild(case, store) is False
    assert case.derived(store) == case.derived(case.store)


def test_a_projection_starts_from_the_snapshot_that_the_log_committed_to() -> None:
    """What an erased payload said before it is kept; snapshots that the log did not commit to are dropped."""
    ledger, store, _ = _filled()
    kept = ProjectionFollower(DETECTIONS, save_events=1)
    Followers(store, ledger.reader, [kept]).catch_up()
    commit_state(ledger, kept)
    as_of = kept.commitment()[0].as_of
    put(store, "views", b"snapshot/detections/" + (7).to_bytes(8), b"\x92\1\x90")
    put(store, "views", b"nobody's", b"")
    started: list[int] = []

    def begin(follower: Follower) -> None:
        if follower.name == DETECTIONS.name:
            started.append(start_from_snapshot(store, ledger.reader, DETECTIONS))

    rebuild_followers(store, ledger.reader, followers(), begin=begin)
    assert started == [as_of]
    assert drop_strays(store, ledger.reader, [DETECTIONS]) == 2
    assert check_indexes(store, ledger.reader) + check_views(store, ledger.reader, [DETECTIONS]) == []
    cursor = read_cursor(store, DETECTIONS.name)
    assert cursor is not None
    assert cursor.seq == ledger.reader.size

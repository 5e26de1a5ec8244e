"""Followers: every event once and in order, whatever dies in between; and nothing kept that is of another history."""

import threading

import pytest

from decision_dna.ledger.clock import ManualClock
from decision_dna.ledger.followers import (
    CLEARED_ROWS,
    STRETCH_EVENTS,
    Followers,
    Stretch,
    clear,
    cursor_key,
    fits,
    read_cursor,
    read_stretch,
    stretches,
)
from decision_dna.ledger.indexes import Indexes, IndexFollower, check_indexes
from decision_dna.ledger.memory import Faults, MemoryStore
from decision_dna.ledger.opening import create, open_ledger
from decision_dna.ledger.queries import EventFilter, query
from decision_dna.ledger.store import Batch, Store
from decision_dna.schemas.errors import InvariantBroken, Malformed, StoreFailed, Unavailable
from tests.ledger.memory_log import ORIGIN, POLICY, START, Events, new_log, reopened

WAIT_SECONDS_MAX = 30.0


class Diary:
    """A follower that keeps one row for each event: a gap or a repeat shows."""

    name, version, rows = "diary", 1, ("views", b"diary/")

    def __init__(self) -> None:
        self.next = 0

    def load(self, store: Store, cursor: int) -> None:
        self.next = cursor
        assert [int.from_bytes(key[6:]) for key, _ in store.scan("views", b"diary/", b"diary0")] == list(range(cursor))

    def fold(self, stretch: Stretch, batch: Batch) -> int:
        assert stretch.first == self.next, f"expected {self.next}, was handed {stretch.first}"
        rows = [(b"diary/" + entry.seq.to_bytes(8), b"") for entry in stretch.entries]
        batch.put_many("views", rows)
        self.next = stretch.end
        return self.next


def test_a_stretch_is_what_the_log_says():
    ledger, store, clock = new_log()
    Events(1).append(ledger, clock, 100)
    Events(2).append(ledger, clock, 1)
    clock.advance(1)
    ledger.heartbeat()
    ledger.erase(7, "the operator", "asked to")
    for start, end in ((0, 104), (5, 6), (33, 101), (104, 104)):
        stretch = read_stretch(store, start, end)
        events = [ledger.reader.event(seq) for seq in range(start, end)]
        assert (stretch.first, stretch.end, stretch.raws) == (start, end, [event.raw for event in events])
        assert [entry.stream_seq for entry in stretch.entries] == [event.entry.stream_seq for event in events]
        assert [claim.id for claim in stretch.claims] == [event.claim.id for event in events]
        assert [stretch.payload(at) for at in range(end - start)] == [event.payload for event in events]
    with pytest.raises(InvariantBroken):
        read_stretch(store, 0, 105)


def test_stretches_cross_no_multiple_of_their_size():
    ledger, store, clock = new_log()
    Events(1).append(ledger, clock, STRETCH_EVENTS + 10)
    parts = list(stretches(store, 3, ledger.reader.size))
    assert [(part.first, part.end) for part in parts] == [(3, STRETCH_EVENTS), (STRETCH_EVENTS, STRETCH_EVENTS + 11)]


def test_an_entry_that_is_none_is_malformed():
    ledger, store, clock = new_log()
    Events(1).append(ledger, clock, 3)
    batch = store.batch()
    batch.put("entries", (1).to_bytes(8), b"\x00\x02\x93\x01")
    store.write(batch, durable=True)
    with pytest.raises(Malformed):
        read_stretch(store, 1, 2)


def test_killed_at_any_write_they_resume_without_gap_or_repeat():
    """The store is reopened from every state that a kill or a loss of power can leave behind."""
    ledger, store, clock = new_log()
    events = Events(3)
    followers = Followers(store, ledger.reader, [IndexFollower(), Diary()])
    found: list[MemoryStore] = []
    for count in (1, 30, 3000, 1200, 5, 4000):
        events.append(ledger, clock, count)
        followers.catch_up()
        found += [store.kill(), *(store.crash(keep) for keep in range(2))]
    events.append(ledger, clock, 1)
    head = ledger.reader.head()
    for at in range(len(found)):
        twin, log = found[at], reopened(store.crash(), head, clock)
        for family in ("index", "views"):  # the followers' rows of then, beside the whole log
            copy_family(twin, log.store, family)
        Followers(log.store, log.reader, [IndexFollower(), Diary()]).catch_up()
        assert len(list(log.store.scan("views", b"diary/", b"diary0"))) == head.size
        assert check_indexes(log.store, log.reader) == []
        assert read_cursor(log.store, "diary").seq == head.size


def copy_family(source: Store, target: Store, family: str) -> None:
    batch = target.batch()
    for key, _ in target.scan(family):
        batch.delete(family, key)
    batch.put_many(family, list(source.scan(family)))
    target.write(batch, durable=False)


@pytest.mark.parametrize("stored", ["never", "later"])
def test_a_write_that_fails_ends_the_thread_and_is_folded_again(stored):
    ledger, store, clock = new_log()
    Events(4).append(ledger, clock, 50)
    followers = Followers(store, ledger.reader, [Diary()])
    followers.load()
    store.faults = Faults(store.writes + 1, stored)
    with pytest.raises(StoreFailed):
        followers.step()
    log = reopened(store.kill(), ledger.reader.head(), clock)
    Followers(log.store, log.reader, [Diary()]).catch_up()
    assert len(list(log.store.scan("views", b"diary/", b"diary0"))) == 51


@pytest.mark.parametrize("change", ["version", "ahead", "history", "bytes"])
def test_a_cursor_that_does_not_fit_means_rebuild(change):
    ledger, store, clock = new_log()
    Events(5).append(ledger, clock, 40)
    Followers(store, ledger.reader, [Diary()]).catch_up()
    diary, log = Diary(), ledger
    if change == "version":
        diary.version = 2
    elif change == "ahead":
        other, _, _ = new_log(shorter := MemoryStore())
        copy_family(store, shorter, "views")
        log = other
    elif change == "history":
        other, second, clock2 = new_log()
        Events(6).append(other, clock2, 40)
        copy_family(store, second, "views")
        log = other
    else:
        batch = store.batch()
        batch.put("views", cursor_key("diary"), b"\x93")
        batch.put("views", b"diary/stray", b"")
        store.write(batch, durable=False)
    assert (found := read_cursor(log.store, "diary")) is None or not fits(found, diary.version, log.reader)
    followers = Followers(log.store, log.reader, [diary])
    followers.load()
    assert followers.positions == {"diary": 0}
    assert list(log.store.scan("views")) == []
    followers.catch_up()
    assert diary.next == log.reader.size


def test_clearing_leaves_other_rows_alone():
    _, store, _ = new_log()
    batch = store.batch()
    batch.put_many("views", [(b"diary.", b""), (b"diary/1", b""), (b"diary0", b"")])
    store.write(batch, durable=False)
    clear(store, Diary())
    assert [key for key, _ in store.scan("views")] == [b"diary.", b"diary0"]


class Scanned(MemoryStore):
    """Keeps where scans began."""

    def __init__(self) -> None:
        super().__init__()
        self.starts: list[bytes] = []

    def scan(self, family, start=b"", end=None, *, reverse=False):
        self.starts.append(start)
        return super().scan(family, start, end, reverse=reverse)


def test_what_is_cleared_is_not_stepped_over_again():
    """A store on disk steps over each deleted key, so clearing would take a time that grows with the square of the rows."""
    store = Scanned()
    keys = [b"diary/" + number.to_bytes(8) for number in range(2 * CLEARED_ROWS + 5)]
    batch = store.batch()
    batch.put_many("views", [(key, b"") for key in keys])
    store.write(batch, durable=False)
    clear(store, Diary())
    assert list(MemoryStore.scan(store, "views")) == []
    lasts = [keys[CLEARED_ROWS - 1], keys[2 * CLEARED_ROWS - 1], keys[-1]]
    assert store.starts[:4] == [b"diary/", *lasts]


def test_the_thread_is_woken_by_commits_and_stops():
    ledger, store, clock = new_log()
    followers = Followers(store, ledger.reader, [Diary(), IndexFollower()])
    ledger.writer.on_commit(followers.wake)
    followers.start()
    events = Events(7)
    for count in (1, 200, 5000):
        events.append(ledger, clock, count)
        followers.wait_until(ledger.reader.size, WAIT_SECONDS_MAX)
        assert followers.lag == 0
        assert set(followers.positions.values()) == {ledger.reader.size}
    followers.close()
    events.append(ledger, clock, 3)
    assert followers.lag == 3
    with pytest.raises(Unavailable):
        followers.wait_until(ledger.reader.size, WAIT_SECONDS_MAX)
    followers.close()


def test_without_followers_nothing_is_to_be_done():
    ledger, store, clock = new_log()
    waited = threading.Semaphore(0)
    go_on = threading.Semaphore(0)

    def wait() -> None:
        waited.release()
        go_on.acquire()

    followers = Followers(store, ledger.reader, [], wait=wait)
    followers.start()
    assert waited.acquire(timeout=WAIT_SECONDS_MAX)
    Events(1).append(ledger, clock, 5)
    assert (followers.lag, followers.step()) == (0, False)
    go_on.release(2)
    followers.close()


def test_an_injected_wait_is_how_a_process_polls_that_is_told_nothing():
    ledger, store, clock = new_log()
    asked, go_on = threading.Semaphore(0), threading.Semaphore(0)

    def wait() -> None:
        asked.release()
        go_on.acquire()

    followers = Followers(store, ledger.reader, [Diary()], wait=wait)
    followers.start()
    assert asked.acquire(timeout=WAIT_SECONDS_MAX)
    Events(8).append(ledger, clock, 9)
    assert followers.lag == 9
    go_on.release()
    followers.wait_until(10, WAIT_SECONDS_MAX)
    go_on.release()
    followers.close()


def test_the_thread_keeps_why_it_ended():
    ledger, store, clock = new_log()
    followers = Followers(store, ledger.reader, [Diary()])
    ledger.writer.on_commit(followers.wake)
    followers.start()
    followers.wait_until(1, WAIT_SECONDS_MAX)
    store.faults = Faults(store.writes + 2, "never")  # the commit's write is the next, the follower's the one after
    Events(9).append(ledger, clock, 2)
    with pytest.raises(StoreFailed):
        followers.wait_until(3, WAIT_SECONDS_MAX)
    assert isinstance(followers.failed, StoreFailed)
    followers.close()


def test_on_disk_they_go_on_where_they_were(tmp_path):
    clock, source = ManualClock(START), Events(10)
    create(tmp_path / "ledger", ORIGIN, policy=POLICY, clock=clock)
    for count in (4000, 4200):
        with open_ledger(tmp_path / "ledger", clock=clock) as ledger:
            followers = Followers(ledger.store, ledger.reader, [IndexFollower(), Diary()])
            ledger.writer.on_commit(followers.wake)
            followers.start()
            source.append(ledger, clock, count)
            followers.wait_until(ledger.reader.size, WAIT_SECONDS_MAX)
            followers.close()
            assert check_indexes(ledger.store, ledger.reader) == []
            assert read_cursor(ledger.store, "diary").seq == ledger.reader.size
            page = query(ledger.reader, Indexes(ledger.store), EventFilter(source="dex"), order="desc", limit=1000)
            assert [event.claim.source for event in page.events] == ["dex"] * len(page.events)
            assert len(page.events) > 900
    assert len(source.ids) == 8200

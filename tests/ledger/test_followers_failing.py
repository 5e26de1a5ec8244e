"""A follower that raises stops alone, is named with the event, and is tried again by the next process."""

import threading

import pytest

from decision_dna.engine.projections import Projection, ProjectionFollower, commit_state
from decision_dna.engine.replay import NOTE_TYPES, check_views, follower_state, replay_log, state_check
from decision_dna.ledger.audit import verify
from decision_dna.ledger.followers import Followers, Stretch, read_cursor
from decision_dna.ledger.indexes import IndexFollower, check_indexes
from decision_dna.ledger.ledger import Ledger
from decision_dna.ledger.memory import MemoryStore
from decision_dna.ledger.plan import Draft
from decision_dna.ledger.sources import StoreSource
from decision_dna.ledger.store import Batch, Store
from decision_dna.schemas import codec
from decision_dna.schemas.errors import FoldFailed, InvariantBroken, Unavailable
from decision_dna.schemas.texts import id_text
from tests.ledger.memory_log import Events, new_log, reopened
from tests.ledger.test_followers import Diary

WAIT_SECONDS_MAX = 30.0


def fold_counting(get, claim, payload):
    """Count the events of each type; for `x.poison`, after half of its rows."""
    count = codec.decode(get(claim.type.encode()) or b"\x00")
    yield claim.type.encode(), codec.encode(count + 1)
    if claim.type == "x.poison":
        raise OverflowError(f"the payload says {payload!r}")


COUNTING = Projection("counting", 1, "x.", fold_counting)


def poison(ledger: Ledger) -> tuple[int, str]:
    """Append the event. Returns its seq and id."""
    placed = ledger.append([Draft(type="x.poison", schema=1, source="dex", payload=b"\x80")]).outcomes[0]
    return placed.seq, id_text(placed.id)  # type: ignore[union-attr]  # nothing here is refused


class Poisoned:
    """A follower that puts a row and then raises at the stretch that holds a seq."""

    name, version, rows = "poisoned", 1, ("views", b"poisoned/")

    def __init__(self, at: int) -> None:
        self.at, self.calls = at, 0

    def load(self, store: Store, cursor: int) -> None:
        if self.at < 0:
            raise ZeroDivisionError("at the loading")

    def fold(self, stretch: Stretch, batch: Batch) -> int:
        self.calls += 1
        batch.put("views", b"poisoned/" + stretch.first.to_bytes(8), b"")
        if stretch.first <= self.at < stretch.end:
            raise ZeroDivisionError("a bug")
        return stretch.end


def test_followers_failing_alone():
    """The others go on past the event, in the same thread; of the stretch that failed nothing is saved."""
    ledger, store, clock = new_log()
    poisoned = Poisoned(700)
    followers = Followers(store, ledger.reader, [poisoned, IndexFollower(), Diary()])
    ledger.writer.on_commit(followers.wake)
    events = Events(1)
    events.append(ledger, clock, 4600)
    followers.start()
    events.append(ledger, clock, 3000)
    with pytest.raises(FoldFailed, match=r"poisoned cannot be folded past seq 512 .*: ZeroDivisionError$"):
        followers.wait_until(ledger.reader.size, WAIT_SECONDS_MAX)
    assert followers.failed is None
    assert followers.positions == {"poisoned": 512, "indexes": 7601, "diary": 7601}
    assert followers.lag == 7601 - 512
    assert set(followers.failures) == {"poisoned"}
    assert poisoned.calls == 2, "it is not asked again"
    followers.close()
    assert check_indexes(store, ledger.reader) == []
    assert read_cursor(store, "diary").seq == 7601
    assert read_cursor(store, "poisoned").seq == 512
    assert [key for key, _ in store.scan("views", b"poisoned/", b"poisoned0")] == [b"poisoned/" + bytes(8)]


def test_followers_failing_at_load():
    """A follower that cannot be taken up stops alone too."""
    ledger, store, clock = new_log()
    Events(1).append(ledger, clock, 30)
    followers = Followers(store, ledger.reader, [Poisoned(-1), Diary()])
    followers.catch_up()
    assert followers.failures["poisoned"].detail.endswith("seq 0: ZeroDivisionError: at the loading")
    assert followers.positions == {"poisoned": 0, "diary": 31}


def test_followers_failing_all():
    """Where every follower has failed, nothing is left to be done, and the thread waits instead of spinning."""
    ledger, store, clock = new_log()
    waited = threading.Semaphore(0)
    go_on = threading.Semaphore(0)

    def wait() -> None:
        waited.release()
        go_on.acquire()

    followers = Followers(store, ledger.reader, [Poisoned(0)], wait=wait)
    followers.start()
    assert waited.acquire(timeout=WAIT_SECONDS_MAX)
    Events(1).append(ledger, clock, 5)
    assert (followers.step(), followers.lag) == (False, 6)
    go_on.release(2)
    followers.close()


def test_followers_thread_bug():
    """What is no error of ours ends the thread with a reason, and not in silence."""
    ledger, store, _ = new_log()

    def wait() -> None:
        raise ZeroDivisionError("a bug in waiting")

    followers = Followers(store, ledger.reader, [Diary()], wait=wait)
    followers.start()
    followers.close()
    assert isinstance(followers.failed, InvariantBroken)
    assert "a bug in waiting" in str(followers.failed)


def counted(
    store: MemoryStore, ledger: Ledger, projection: Projection = COUNTING
) -> tuple[Followers, ProjectionFollower]:
    follower = ProjectionFollower(projection, save_events=1)
    followers = Followers(store, ledger.reader, [follower, IndexFollower()])
    followers.catch_up()
    return followers, follower


def test_projection_failing_names_the_event():
    """The failure has the seq and id of the event; its public text has no word of the payload."""
    ledger, store, clock = new_log()
    Events(2).append(ledger, clock, 600)
    seq, event_id = poison(ledger)
    Events(3).append(ledger, clock, 600)
    followers, follower = counted(store, ledger)
    failure = followers.failures["counting"]
    assert (failure.name, failure.seq, failure.event_id) == ("counting", seq, event_id)
    assert str(failure) == f"counting cannot be folded past seq {seq} (event {event_id}): OverflowError"
    assert failure.detail == f"{failure}: the payload says b'\\x80'"
    assert followers.positions == {"counting": seq, "indexes": ledger.reader.size}
    for asking in (follower.commitment, lambda: follower.get(b"x.seen"), lambda: commit_state(ledger, follower)):
        with pytest.raises(Unavailable, match=f"counting is not kept any more: .* past seq {seq} "):
            asking()
    assert ledger.reader.size == 1202, "no commitment was appended"


def test_projection_failing_is_tried_again():
    """The next process goes on from what was saved; where its code is right, nothing is missing or twice."""
    ledger, store, clock = new_log()
    Events(2).append(ledger, clock, 600)
    poison(ledger)
    Events(3).append(ledger, clock, 600)
    counted(store, ledger)
    log = reopened(store.kill(), ledger.reader.head(), clock)
    followers, _ = counted(log.store, log)
    assert set(followers.failures) == {"counting"}, "not skipped"
    log = reopened(store.kill(), ledger.reader.head(), clock)
    mended = Projection("counting", 1, "x.", fold_mended)
    followers, follower = counted(log.store, log, mended)
    assert followers.failures == {}
    assert follower.commitment()[0].root == replay_log(log.store, log.reader, mended).root


def test_replay_failing_names_the_event():
    """A replay compares what lies before the event, has no state, and says where it failed; step 10 cannot tell."""
    ledger, store, clock = new_log()
    Events(2).append(ledger, clock, 100)
    _, follower = counted(store, ledger)
    commit_state(ledger, follower)
    seq, event_id = poison(ledger)
    Events(3).append(ledger, clock, 100)
    replayed = replay_log(store, ledger.reader, COUNTING)
    assert [each.outcome for each in replayed.compared] == ["equal"]
    assert (replayed.failed.seq, replayed.failed.event_id) == (seq, event_id)
    assert (replayed.as_of, replayed.root, replayed.rows) == (seq, b"", [])
    source = StoreSource(store, ledger.reader.head())
    report = verify(source, ledger.vkey, note_types=NOTE_TYPES, checks=(state_check(source, [COUNTING]),))
    assert report.holds
    step = next(step for step in report.steps if step.step == 10)
    assert step.status == "pass", "no commitment goes past the event"


def test_step_ten_after_a_failure():
    """A commitment to a state past the event is neither right nor wrong, and the report names the event."""
    ledger, store, clock = new_log()
    Events(2).append(ledger, clock, 100)
    seq, _ = poison(ledger)
    mended = Projection("counting", 1, "x.", fold_mended)
    _, follower = counted(store, ledger, mended)
    commit_state(ledger, follower)
    source = StoreSource(store, ledger.reader.head())
    report = verify(source, ledger.vkey, note_types=NOTE_TYPES, checks=(state_check(source, [COUNTING]),))
    step = next(step for step in report.steps if step.step == 10)
    assert (step.status, report.findings) == ("inconclusive", [])
    assert f"counting cannot be folded past seq {seq} " in step.text
    assert any("not all compared" in text for text in check_views(store, ledger.reader, [COUNTING]))
    assert check_views(store, ledger.reader, [mended]) == []


@pytest.mark.parametrize("saved", [False, True])
def test_follower_state_of_a_folder(saved):
    """Whoever reads the folder finds the event too, from the rows and the cursor that were saved."""
    ledger, store, clock = new_log()
    Events(2).append(ledger, clock, 600)
    if saved:
        counted(store, ledger)
    seq, _ = poison(ledger)
    at, failure = follower_state(store, ledger.reader, COUNTING)
    assert (at, failure.seq) == (601 if saved else 0, seq)
    assert follower_state(store, ledger.reader, Projection("counting", 1, "x.", fold_mended)) == (at, None)


def fold_mended(get, claim, payload):
    """As `fold_counting`, for every event."""
    del payload
    count = codec.decode(get(claim.type.encode()) or b"\x00")
    return [(claim.type.encode(), codec.encode(count + 1))]

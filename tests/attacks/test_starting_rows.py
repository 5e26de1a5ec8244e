"""What a start makes of rows that the writer goes on from, where someone with the disk changed one: streams, authors, ids."""

from collections.abc import Callable
from copy import copy

import msgspec
import pytest

from decision_dna.ledger import layout
from decision_dna.ledger.accounting import ACCOUNTED_EVENTS, is_due
from decision_dna.ledger.audit import verify
from decision_dna.ledger.clock import ManualClock
from decision_dna.ledger.ids import new_ids
from decision_dna.ledger.ledger import Ledger
from decision_dna.ledger.lock import Locked
from decision_dna.ledger.memory import MemoryLock, MemoryStore
from decision_dna.ledger.opening import resume
from decision_dna.ledger.plan import AuthorDraft, Draft
from decision_dna.ledger.sources import StoreSource
from decision_dna.ledger.store import Store
from decision_dna.ledger.writer import Placed
from decision_dna.schemas import codec
from decision_dna.schemas.errors import CannotOpen, InvariantBroken, LedgerError, Malformed
from tests.attacks.test_starting import put, vouch
from tests.ledger.memory_log import keyring, new_log
from tests.ledger.samples import AUTHOR, Author, draft, register

EARLY = 10
BATCH = 512


class Rest(msgspec.Struct, frozen=True):
    """A ledger at rest, with a statement of the log key before its last commits; `early` are drafts of before, `late` of after."""

    store: MemoryStore
    head: Locked
    now: int
    early: list[Draft]
    late: list[Draft]
    author: Author
    old_stream: bytes

    def opened(self, store: MemoryStore) -> Ledger:
        """The next process, on what the attacker left."""
        return resume(None, store, MemoryLock(self.head), keyring(), ManualClock(self.now))


def named_drafts(now: int, count: int, subject: str) -> list[Draft]:
    """Events that are submitted again later: each has its id, and all one content."""
    return [msgspec.structs.replace(draft(1, "raw"), id=name, subject=subject) for name in new_ids(count, now)]


@pytest.fixture(scope="module")
def rest() -> Rest:
    ledger, store, clock = new_log()
    author = Author(origin=ledger.origin)
    register(ledger)
    ledger.append([author.say(1, clock.now_ns())])
    early = named_drafts(clock.now_ns(), EARLY, "early")
    ledger.append(early)
    clock.advance(10**9)
    ledger.append([draft(number, "raw") for number in range(BATCH)])
    old_stream = store.get("streams", b"x/raw") or b""
    ledger.append([draft(2, "quiet")])
    vouch(ledger, 0, 1)
    clock.advance(10**9)
    late = named_drafts(clock.now_ns(), EARLY, "late")
    ledger.append(late)
    ledger.append([author.say(2, clock.now_ns())])
    clock.advance(10**9)
    return Rest(store.kill(), ledger.reader.head(), clock.now_ns(), early, late, author, old_stream)


def id_key(said: Draft) -> bytes:
    assert said.id is not None
    return layout.id_key(said.id, said.source)


Attack = Callable[[Rest, Store], None]
QUIET, RAW = b"x/quiet", b"x/raw"

ATTACKS: dict[str, Attack] = {
    "a stream that was silent is changed": lambda _, store: put(store, "streams", QUIET, codec.encode((7, bytes(32)))),
    "a stream that was silent is removed": lambda _, store: put(store, "streams", QUIET, None),
    "a stream is put back": lambda rest, store: put(store, "streams", RAW, rest.old_stream),
    "a stream is removed": lambda _, store: put(store, "streams", RAW, None),
    "a stream is invented": lambda _, store: put(store, "streams", b"x/none", codec.encode((3, bytes(32)))),
    "a stream is invented, empty": lambda _, store: put(store, "streams", b"x/none", codec.encode((0, b"\1" * 32))),
    "a stream has no name": lambda _, store: put(store, "streams", b"\xff", codec.encode((1, bytes(32)))),
    "an author's counter is changed": lambda _, store: put(
        store, "authors", AUTHOR.key_id, codec.encode((9, bytes(32)))
    ),
    "an author's counter is removed": lambda _, store: put(store, "authors", AUTHOR.key_id, None),
    "an author is invented": lambda _, store: put(store, "authors", bytes(8), codec.encode((9, bytes(32)))),
    "a late id is removed": lambda rest, store: put(store, "ids", id_key(rest.late[3]), None),
    "a late id is moved": lambda rest, store: put(store, "ids", id_key(rest.late[3]), bytes(8)),
    "an id above all is invented": lambda rest, store: put(
        store, "ids", new_ids(1, rest.now + 30 * 10**9)[0] + b"raw", bytes(8)
    ),
}


@pytest.mark.parametrize("stated", [True, False], ids=["stated", "unstated"])
@pytest.mark.parametrize("name", ATTACKS)
def test_a_start_refuses_a_row_that_the_entries_do_not_give(name: str, stated: bool, rest: Rest) -> None:
    """Whatever row of streams, authors or late ids is changed, the next start names it and appends nothing."""
    store = rest.store.kill()
    if not stated:
        put(store, "meta", layout.ACCOUNTED_KEY, None)
    ATTACKS[name](rest, store)
    with pytest.raises(CannotOpen, match=r"row|highest id"):
        rest.opened(store)


@pytest.mark.parametrize("stated", [True, False], ids=["stated", "unstated"])
def test_a_start_goes_on_from_true_rows(stated: bool, rest: Rest) -> None:
    """What is appended after such a start verifies."""
    store = rest.store.kill()
    if not stated:
        put(store, "meta", layout.ACCOUNTED_KEY, None)
    ledger = rest.opened(store)
    again = copy(rest.author)
    rows: list[Draft | AuthorDraft | LedgerError] = [draft(3, "raw"), draft(3, "quiet"), again.say(3, rest.now)]
    assert all(isinstance(outcome, Placed) for outcome in ledger.append(rows).outcomes)
    assert verify(StoreSource(store, ledger.reader.head()), ledger.vkey).findings == []


def test_a_start_names_the_row_of_a_silent_stream(rest: Rest) -> None:
    """The statement covers all streams by one root: the entries are read to say which row it is."""
    store = rest.store.kill()
    put(store, "streams", QUIET, codec.encode((7, bytes(32))))
    with pytest.raises(CannotOpen, match="the row of stream x/quiet"):
        rest.opened(store)


def test_a_retry_is_not_answered_with_the_place_of_another_event(rest: Rest) -> None:
    """An early id's row names an event with the same content and another id: its submitter gets an error and no false place."""
    store = rest.store.kill()
    seq_of_other = store.get("ids", id_key(rest.early[5]))
    put(store, "ids", id_key(rest.early[4]), seq_of_other)
    ledger = rest.opened(store)
    outcome = ledger.append([rest.early[4]]).outcomes[0]
    assert isinstance(outcome, InvariantBroken)
    other = ledger.append([rest.early[5]]).outcomes[0]
    assert isinstance(other, Placed)
    assert other.duplicate


def test_a_cause_needs_an_entry_and_not_only_a_row(rest: Rest) -> None:
    """A planted row of `ids` makes no event: who names it as a cause is refused, and the log stays whole."""
    store, invented = rest.store.kill(), new_ids(1, rest.now - 2 * 10**9)[0]
    put(store, "ids", invented + b"raw", bytes(8))
    ledger = rest.opened(store)
    outcome = ledger.append([msgspec.structs.replace(draft(4, "raw"), causes=(invented,))]).outcomes[0]
    assert isinstance(outcome, Malformed)
    real = rest.early[0].id
    assert real is not None
    outcome = ledger.append([msgspec.structs.replace(draft(4, "raw"), causes=(real,))]).outcomes[0]
    assert isinstance(outcome, Placed)


def test_a_writer_states_positions_seldom_where_streams_are_many() -> None:
    """A statement lists all streams, so its interval grows with their number."""
    ledger, _, _ = new_log()
    authority, interval = ledger.writer.authority, ACCOUNTED_EVENTS
    assert is_due(authority, interval - 1, interval, 10)
    assert not is_due(authority, interval - 1, interval, interval)
    assert is_due(authority, 9 * interval - 1, 9 * interval, interval)

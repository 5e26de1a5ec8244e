"""What must not get into a log, and what a writer must not sign."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from decision_dna.ledger.folder import verify_folder
from decision_dna.ledger.hashing import key_id
from decision_dna.ledger.ids import new_ids
from decision_dna.ledger.lock import Locked
from decision_dna.ledger.memory import MemoryBatch, MemoryStore
from decision_dna.ledger.opening import open_ledger
from decision_dna.ledger.signatures import SigningKey
from decision_dna.schemas.errors import ClockWrong, LedgerError, StoreFailed
from tests.attacks.samples import honest, vkey_of
from tests.ledger.memory_log import new_log
from tests.ledger.samples import SECOND, SHORT_PAUSES, START, change_key, draft, new_ledger


def test_control_characters_in_an_erasure_do_not_spoil_the_log(tmp_path: Path) -> None:
    path = honest(tmp_path / "d")
    with open_ledger(path) as ledger, pytest.raises(LedgerError):
        ledger.erase(4, "the\noperator", "asked to")
    assert verify_folder(path, vkey_of(path)).holds


def test_control_characters_in_a_reason_do_not_spoil_the_log(tmp_path: Path) -> None:
    path = honest(tmp_path / "d")
    with open_ledger(path) as ledger, pytest.raises(LedgerError):
        ledger.accept_clock(ledger.keys.of_purpose("root")[0], "two\nlines")
    assert verify_folder(path, vkey_of(path)).holds


@pytest.mark.parametrize("principal", ["", "a\nb", "a" * 129])
def test_no_principal_spoils_the_log(principal: str, tmp_path: Path) -> None:
    ledger, _ = new_ledger(tmp_path / "d")
    with ledger:
        try:
            outcomes = ledger.append([draft(1)], principal).outcomes
        except LedgerError as error:
            outcomes = [error]
    assert isinstance(outcomes[0], LedgerError)
    assert verify_folder(tmp_path / "d", vkey_of(tmp_path / "d")).holds


def test_no_time_before_1970_spoils_the_log(tmp_path: Path) -> None:
    ledger, _ = new_ledger(tmp_path / "d")
    with ledger:
        assert isinstance(ledger.append([draft(1, occurred_at=-1)]).outcomes[0], LedgerError)


def test_nothing_but_a_signed_clock_entry_is_recorded_after_a_clock_step(tmp_path: Path) -> None:
    """A heartbeat at a wrong time can't be taken back: all later entries stay at that time, and no restart succeeds."""
    ledger, clock = new_ledger(tmp_path / "d", policy=SHORT_PAUSES)
    with ledger:
        clock.wall += 10 * 365 * 86_400 * SECOND
        with pytest.raises(LedgerError):
            ledger.append([draft(1)])
        with pytest.raises(LedgerError):
            ledger.heartbeat()
        clock.wall -= 10 * 365 * 86_400 * SECOND
    open_ledger(tmp_path / "d", clock=clock).close()


def test_a_listener_that_fails_does_not_make_a_fork(tmp_path: Path) -> None:
    """`append_own` publishes its head before it moves its own tip."""
    ledger, clock = new_ledger(tmp_path / "d")
    failing = [True]

    def listen(_: Locked) -> None:
        if failing.pop() if failing else False:
            raise RuntimeError("nobody is left to wake")

    with ledger:
        ledger.writer.on_commit(listen)
        with suppress(RuntimeError):
            ledger.heartbeat()
        before = ledger.reader.head()
        clock.advance(SECOND)
        try:
            ledger.heartbeat()
        except LedgerError:
            return
        after = ledger.reader.head()
        assert after.size > before.size or after.root == before.root


class Hesitant(MemoryStore):
    """A store that once has no batch to give."""

    failing = False

    def batch(self) -> MemoryBatch:
        """A batch, or StoreFailed."""
        if self.failing:
            self.failing = False
            raise StoreFailed("for a moment")
        return super().batch()


def test_a_batch_that_can_t_be_begun_stops_the_writer() -> None:
    """The tip has moved on by then: what comes next would be linked to entries that nobody stored, and signed."""
    store = Hesitant()
    ledger, _, _ = new_log(store)
    store.failing = True
    with pytest.raises(LedgerError):
        ledger.append([draft(1)])
    with pytest.raises(LedgerError):
        ledger.append([draft(2)])


class Counting(MemoryStore):
    """A store that counts the rows that are scanned."""

    rows = 0

    def scan(
        self, family: str, start: bytes = b"", end: bytes | None = None, *, reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        """As ever."""
        for pair in super().scan(family, start, end, reverse=reverse):
            self.rows += 1
            yield pair


def test_one_id_of_many_sources_does_not_stall_the_writer() -> None:
    """Each event that names it as a cause would read all its rows, while the turn is held: 10,000 events, two minutes."""
    store = Counting()
    ledger, _, clock = new_log(store)
    shared = new_ids(1, clock.now_ns())[0]
    ledger.append([draft(number, f"s{number}", id=shared) for number in range(500)])
    before = store.rows
    ledger.append([draft(number, causes=(shared,)) for number in range(50)])
    assert store.rows - before < 500


def test_a_log_key_that_is_not_here_is_not_rotated_to(tmp_path: Path) -> None:
    """The entry would be durable before anyone sees that its head can't be signed: writer and every later start stop there."""
    ledger, clock = new_ledger(tmp_path / "d")
    with ledger:
        replaced = key_id(ledger.writer.authority.log[-1].key)
        with pytest.raises(LedgerError):
            change_key(ledger, "rotate", "log", SigningKey(b"\x55" * 32).public, replaces=replaced)
    open_ledger(tmp_path / "d", clock=clock).close()


def test_the_clock_is_not_walked_away_in_small_steps(tmp_path: Path) -> None:
    """Each step by itself is allowed; their sum since start is not, past what policy allows without a witness."""
    ledger, clock = new_ledger(tmp_path / "d", policy=SHORT_PAUSES)
    with ledger, pytest.raises(ClockWrong, match="since start"):
        for number in range(20):
            clock.advance(SECOND // 100)
            clock.wall += 86_400 * SECOND
            ledger.append([draft(number)])
    assert 7 * 86_400 * SECOND < clock.wall - START < 9 * 86_400 * SECOND

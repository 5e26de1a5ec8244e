"""Clocks that sleep, lag, leap and are set: what is recorded meanwhile, and what lets appends go on (docs/format.md, section 6)."""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import msgspec
import pytest

from decision_dna.ledger import hashing
from decision_dna.ledger.clock import ManualClock
from decision_dna.ledger.folder import verify_folder
from decision_dna.ledger.hashing import author_message
from decision_dna.ledger.ids import new_ids
from decision_dna.ledger.ledger import Ledger
from decision_dna.ledger.notes import Vkey
from decision_dna.ledger.opening import open_ledger
from decision_dna.ledger.plan import AuthorDraft
from decision_dna.ledger.signatures import SigningKey
from decision_dna.ledger.writer import Placed
from decision_dna.schemas import codec
from decision_dna.schemas.claims import decode_claim
from decision_dna.schemas.errors import ClockWrong, Refused, TooLarge
from decision_dna.schemas.ledgering import CLOCK, HEARTBEAT, KEY, POLICY, Beacon, ClockStep
from tests.ledger.samples import SECOND, SHORT_PAUSES, START, change_key, draft, new_ledger, root_of

DAY = 86_400 * SECOND
OPERATOR = SigningKey(b"an operator".ljust(32))


@pytest.fixture
def ledger(tmp_path: Path):
    ledger, clock = new_ledger(tmp_path / "d", policy=SHORT_PAUSES)
    with ledger:
        change_key(ledger, "register", "author", OPERATOR.public, operator="ops", roles=("clock",))
        ledger.append([draft(0)])
        yield ledger, clock
        assert holds(tmp_path / "d")


def holds(path: Path) -> bool:
    report = verify_folder(path, Vkey.parse(path.with_name(path.name + ".vkey").read_text()))
    assert report.findings == []
    return report.pinned


def types(ledger: Ledger, start: int) -> list[str]:
    return [ledger.reader.event(seq).claim.type for seq in range(start, ledger.reader.size)]


def beacon(clock: ManualClock, off_seconds: int = 0, kind: str = "finalized") -> Beacon:
    return Beacon(block_time=clock.wall // SECOND + off_seconds, blockhash="1" * 32, kind=kind, slot=1)  # type: ignore[arg-type]


def test_clock_idle_weekend(ledger) -> None:
    """After an idle weekend a heartbeat comes first, nothing else is needed."""
    log, clock = ledger
    size = log.reader.size
    clock.advance(3 * DAY)
    assert isinstance(log.append([draft(1)]).outcomes[0], Placed)
    assert types(log, size) == [HEARTBEAT, "x.seen"]


def test_clock_heartbeat_and_batch_have_one_time(ledger) -> None:
    """What happens between a due heartbeat and its batch can't make the batch late."""
    log, clock = ledger
    clock.advance(61 * SECOND)
    log.append([draft(1)])
    times = [log.reader.event(seq).entry.recorded_at for seq in (log.reader.size - 2, log.reader.size - 1)]
    assert times[0] == times[1]


def test_clock_sleep_counts_as_time(ledger) -> None:
    """A laptop that sleeps has a steady clock that goes on: no step, and a heartbeat after the gap."""
    log, clock = ledger
    size = log.reader.size
    clock.advance(8 * 3600 * SECOND)
    log.append([draft(1)])
    assert types(log, size) == [HEARTBEAT, "x.seen"]


def test_clock_set_forward_by_seconds(ledger) -> None:
    """A step forward under a running service is a heartbeat first, and nothing else, also after a restart."""
    log, clock = ledger
    size = log.reader.size
    clock.wall += 5 * SECOND
    log.append([draft(1)])
    log.append([draft(2)])
    assert types(log, size) == [HEARTBEAT, "x.seen", "x.seen"]


def test_clock_behind_waits(tmp_path: Path) -> None:
    """A clock behind the log, as before NTP has set it after boot, opens and waits; once it has passed, appends go on."""
    ledger, clock = new_ledger(tmp_path / "d", policy=SHORT_PAUSES)
    with ledger:
        clock.advance(SECOND)
        ledger.append([draft(1)])
    early = ManualClock(clock.wall - 3600 * SECOND)
    with open_ledger(tmp_path / "d", clock=early) as again:
        assert "before the last entry" in str(again.writer.clock_error())
        for refused in (lambda: again.append([draft(2)]), again.heartbeat):
            with pytest.raises(ClockWrong, match="appends wait"):
                refused()
        assert again.reader.size == ledger.reader.size
        early.wall = clock.wall + SECOND
        assert again.writer.clock_error() is None
        assert isinstance(again.append([draft(2)]).outcomes[0], Placed)
    assert holds(tmp_path / "d")


@pytest.mark.parametrize("restart", [False, True])
def test_clock_ten_years_ahead(tmp_path: Path, restart: bool) -> None:
    """A start, or a running service, with a clock ten years ahead records nothing; with the right time it goes on as before."""
    ledger, clock = new_ledger(tmp_path / "d", policy=SHORT_PAUSES)
    size = ledger.reader.size
    right = clock.wall
    clock.wall += 3650 * DAY
    if restart:
        ledger.close()
        ledger = open_ledger(tmp_path / "d", clock=clock)
    with ledger:
        for refused in (
            lambda: ledger.append([draft(1)]),
            ledger.heartbeat,
            lambda: ledger.heartbeat(beacon(clock)),
            lambda: change_key(ledger, "register", "author", OPERATOR.public, sources=("bot",)),
        ):
            with pytest.raises(ClockWrong, match="signed by root"):
                refused()
        assert ledger.reader.size == size
        clock.wall = right + SECOND
        assert isinstance(ledger.append([draft(1)]).outcomes[0], Placed)
    assert holds(tmp_path / "d")


def test_clock_long_pause_needs_a_beacon_or_a_signature(ledger) -> None:
    """After more than a week a plain heartbeat is no witness; a finalized block of that time is."""
    log, clock = ledger
    clock.advance(8 * DAY)
    for refused in (
        lambda: log.append([draft(1)]),
        log.heartbeat,
        lambda: log.heartbeat(beacon(clock, kind="recorded")),
        lambda: log.heartbeat(beacon(clock, 121)),
        lambda: log.heartbeat(beacon(clock, -121)),
    ):
        with pytest.raises(ClockWrong):
            refused()
    log.heartbeat(beacon(clock, 120))
    assert isinstance(log.append([draft(1)]).outcomes[0], Placed)


def test_clock_long_pause_vouched_by_an_operator(ledger) -> None:
    """An operator with role `clock` may vouch for a pause; past jump_seconds_max only root may."""
    log, clock = ledger
    clock.advance(8 * DAY)
    log.accept_clock(OPERATOR, "switched off over the holidays")
    assert isinstance(log.append([draft(1)]).outcomes[0], Placed)
    clock.advance(401 * DAY)
    with pytest.raises(ClockWrong, match="signed by root"):
        log.accept_clock(OPERATOR, "switched off for a year")
    log.accept_clock(root_of(log), "switched off for a year")
    assert isinstance(log.append([draft(2)]).outcomes[0], Placed)


@pytest.mark.parametrize(
    ("from_off", "to_off", "error"),
    [(1, 0, ClockWrong), (-1, 0, ClockWrong), (0, 60 * SECOND + 1, Refused), (0, -7 * DAY - 1, Refused)],
)
def test_clock_entry_names_its_place(ledger, from_off: int, to_off: int, error: type[Exception]) -> None:
    """`from` is the last recorded_at, `to` about the time of recording; else nothing is written."""
    log, clock = ledger
    clock.advance(8 * DAY)
    size = log.reader.size
    step = ClockStep(from_ns=log.writer.recorded_at + from_off, reason="so it is", to_ns=clock.wall + to_off)
    with pytest.raises(error):
        log.append_signed(log.sign_own(root_of(log), CLOCK, step))
    assert log.reader.size == size


def test_clock_vouched_step_is_not_vouched_twice(ledger) -> None:
    """A `ledger.clock` that was held back, or replayed, names a `from` that is past."""
    log, clock = ledger
    clock.advance(8 * DAY)
    step = ClockStep(from_ns=log.writer.recorded_at, reason="so it is", to_ns=clock.wall)
    held = log.sign_own(root_of(log), CLOCK, step)
    log.append_signed(held)
    clock.advance(8 * DAY)
    with pytest.raises((Refused, ClockWrong)):
        log.append_signed(log.sign_own(root_of(log), CLOCK, step))
    log.accept_clock(OPERATOR, "again")


def test_clock_vouched_half_a_second_behind(ledger) -> None:
    """A clock that lies as little before the last entry as appends allow can be vouched for; further behind it waits, as all do."""
    log, clock = ledger
    clock.wall -= SECOND // 2
    log.accept_clock(root_of(log), "it is as it is")
    clock.wall -= 3600 * SECOND
    with pytest.raises(ClockWrong, match="appends wait"):
        log.accept_clock(root_of(log), "an hour behind")


def test_clock_batch_queued_before_a_policy_for_smaller_ones(ledger) -> None:
    """A request that fits between two heartbeats when it is queued, and not when its turn comes, is refused."""
    log, _ = ledger
    answer = log.writer.enqueue(log.prepare([draft(number) for number in range(9)], "p"))
    fits = log.writer.enqueue(log.prepare([draft(number) for number in range(8)], "p"))
    policy = msgspec.structs.replace(SHORT_PAUSES, heartbeat_events_max=8)
    log.append_signed(log.sign_own(root_of(log), POLICY, log.policy_change(policy)))
    while not fits.done():
        log.writer.commit_queued()
    assert isinstance(answer.exception(0), TooLarge)
    assert all(isinstance(placed, Placed) for placed in fits.result(0).outcomes)


class NudgedClock(ManualClock):
    """A clock that goes on by a nanosecond whenever it is read."""

    def now_ns(self) -> int:
        """A nanosecond later than before."""
        self.advance(1)
        return super().now_ns()


def test_clock_beacon_is_as_old_as_its_heartbeat(tmp_path: Path) -> None:
    """Whether a block is near enough is asked of the time that is recorded, and of no earlier reading."""
    new_ledger(tmp_path / "d", policy=SHORT_PAUSES)[0].close()
    clock = NudgedClock(START + 8 * DAY)
    with open_ledger(tmp_path / "d", clock=clock) as ledger:
        clock.wall = START + 8 * DAY + 120 * SECOND - 1
        with suppress(ClockWrong):
            ledger.heartbeat(Beacon(block_time=(START + 8 * DAY) // SECOND, blockhash="1", kind="finalized", slot=1))
    assert holds(tmp_path / "d")


def renumbered(log: Ledger) -> AuthorDraft:
    """A policy under a number that is not root's next."""
    key = root_of(log)
    signed = log.sign_own(key, POLICY, log.policy_change(SHORT_PAUSES))
    claim = codec.encode(msgspec.structs.replace(decode_claim(signed.claim), author_seq=99))
    return msgspec.structs.replace(signed, claim=claim, signature=key.sign(author_message(claim)))


def without_private_key(log: Ledger) -> AuthorDraft:
    """A notary key that is not in the key folder."""
    replaces = hashing.key_id(log.writer.authority.notary)
    change = log.key_change("rotate", "notary", SigningKey(bytes(32)).public, replaces=replaces)
    return log.sign_own(root_of(log), KEY, change)


def too_late(log: Ledger) -> AuthorDraft:
    """A policy that was good until just before the last entry."""
    change = msgspec.structs.replace(log.policy_change(SHORT_PAUSES), not_after=log.writer.recorded_at - 1)
    return log.sign_own(root_of(log), POLICY, change)


@pytest.mark.parametrize("wrong", [renumbered, without_private_key, too_late])
def test_clock_no_heartbeat_before_what_is_refused(ledger, wrong: Callable[[Ledger], AuthorDraft]) -> None:
    """An entry that is refused leaves nothing, not even the heartbeat that was due before it."""
    log, clock = ledger
    policy = msgspec.structs.replace(SHORT_PAUSES, heartbeat_events_max=1)
    log.append_signed(log.sign_own(root_of(log), POLICY, log.policy_change(policy)))
    size = log.reader.size
    clock.wall -= SECOND // 2
    with pytest.raises(Refused):
        log.append_signed(wrong(log))
    assert log.reader.size == size


def test_clock_answers_without_entries_leave_the_time(ledger) -> None:
    """A batch of nothing but retries appends nothing, so the last entry's time is what it was."""
    log, clock = ledger
    said = draft(1, id=new_ids(1, clock.wall)[0])
    log.append([said])
    before = log.writer.recorded_at
    clock.advance(30 * SECOND)
    assert log.append([said]).outcomes[0].duplicate
    assert log.writer.recorded_at == before
    log.accept_clock(root_of(log), "as it is")


def test_ids_made_while_the_clock_was_ahead_are_not_recorded_after_it_was_set_back(tmp_path: Path) -> None:
    """A fresh id has the time at which it was prepared: more than 60 s past recorded_at it fails step 1 for ever."""
    ledger, clock = new_ledger(tmp_path / "d")
    with ledger:
        clock.wall += 3600 * SECOND
        rows = ledger.prepare([draft(1, occurred_at=clock.wall - 3600 * SECOND)], "local")
        clock.wall -= 3600 * SECOND
        with pytest.raises(ClockWrong, match="submit them again"):
            ledger.writer.append(rows)
        assert isinstance(ledger.append([draft(1)]).outcomes[0], Placed)
    assert holds(tmp_path / "d")

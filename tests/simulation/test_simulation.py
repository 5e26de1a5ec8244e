"""The simulation, under seeds drawn anew in each run: a failure prints the one that it was."""

import os

import msgspec
import pytest

from decision_dna.ledger.hashing import author_message
from decision_dna.ledger.lock import Locked
from decision_dna.ledger.memory import MemoryLock
from decision_dna.ledger.opening import resume
from decision_dna.schemas import codec
from decision_dna.schemas.claims import decode_claim
from decision_dna.schemas.errors import ClockWrong, LedgerError, Malformed, Refused, Unavailable
from decision_dna.schemas.ledgering import CLOCK, POLICY, ClockStep, PolicyChange
from tests.ledger import samples
from tests.ledger.samples import SECOND, SHORT_PAUSES, START
from tests.simulation.actors import ACTORS, simulate
from tests.simulation.world import World

DAY = 86_400 * SECOND
PARTS = 4
SEEDS_PER_PART = 5
STEPS = 60
RICH = (10, 41, 31, 46, 57)
"""Seeds under which all of it happens, until an actor is changed; then it takes more of them."""
SEEDS_MAX = 80
FAULTS = ("[store fails", "[lock fails", "power lost", "killed", "at start")
HAPPENINGS = (
    "New(",
    "Same(",
    "Refused",
    "Malformed",
    "Conflict",
    "IdConflict",
    "StreamMoved",
    "TooLarge",
    "ClockWrong",
    "after a heartbeat",
    "set vouched for by",
    "pause vouched for by block",
    "pause vouched for by operator",
    "pause vouched for by root",
    "jump vouched for by root",
    "set, by nobody:",
    "pause, by nobody:",
    "jump, by nobody:",
    "jump, by operator:",
    "jump, by block:",
    "behind, by root:",
    "by operator at",
    "not by this one:",
    "named as it was at",
    "just in time at",
    "another history:",
    "past its own place:",
    "too late:",
    " itself",
    " other roles",
    "for another time:",
    "for about this time at",
)
"""What the steps must say, each at least once."""


def drawn(count: int) -> list[int]:
    """Seeds of this run."""
    return [int.from_bytes(os.urandom(4)) for _ in range(count)]


@pytest.mark.parametrize("part", range(PARTS))
def test_a_ledger_does_what_the_model_says_whatever_fails(part: int) -> None:
    worlds = [simulate(seed, STEPS) for seed in drawn(SEEDS_PER_PART)]
    assert max(world.model.size for world in worlds) > 1


def test_every_actor_acts_and_every_fault_happens() -> None:
    """Under as many seeds as it takes: rare is who vouches for a jump, or for a clock that was set in many steps."""
    missing = {*(actor.__name__ for actor in ACTORS), *FAULTS, *HAPPENINGS}
    for seed in (*RICH, *range(SEEDS_MAX)):
        said = "\n".join(simulate(seed, STEPS).steps)
        missing = {word for word in missing if word not in said}
        if not missing:
            break
    assert missing == set()


class InterruptedLock(MemoryLock):
    """A lock during whose advance the process is interrupted, as by Ctrl-C."""

    def advance(self, expected: Locked, new: Locked) -> None:
        """It is advanced, and then nobody hears of it."""
        super().advance(expected, new)
        raise KeyboardInterrupt


def test_an_interrupt_during_a_commit_stops_the_writer() -> None:
    """Else the next commit would overwrite what readers already see."""
    world = World(0)
    lock = InterruptedLock(world.lock.read())
    ledger = resume(None, world.store, lock, world.keys, world.clock)
    with pytest.raises(KeyboardInterrupt):
        ledger.heartbeat()
    seen, before = lock.read(), dict(world.store.scan("entries"))
    with pytest.raises(Unavailable):
        ledger.heartbeat()
    assert dict(world.store.scan("entries")) == before
    assert resume(None, world.store.kill(), lock.restart(), world.keys, world.clock).reader.head() == seen


Change = ClockStep | PolicyChange
WRONG: dict[str, tuple[dict[str, object], type[LedgerError]]] = {
    "a cause that is not there": ({"causes": (bytes(6) + b"\x70\0\x80" + bytes(7),)}, Malformed),
    "a time to come": ({"occurred_at": START + 8 * DAY + 61 * SECOND}, Malformed),
    "a number that is not root's next": ({"author_seq": 3}, Refused),
    "no number": ({"author_seq": 0, "author_prev": bytes(32)}, Refused),
    "another claim before": ({"author_prev": bytes(32)}, Refused),
    "another log": ({"origin": "example.org/other"}, Refused),
    "another schema": ({"schema": 2}, LedgerError),
}


@pytest.mark.parametrize("wrong", WRONG)
@pytest.mark.parametrize("type_name", [CLOCK, POLICY])
def test_an_own_entry_that_verification_would_reject_is_not_appended(type_name: str, wrong: str) -> None:
    """Nor is the heartbeat that would have come before a policy; and what a `ledger.clock` would have vouched for waits still."""
    world = World(0)
    fields, error = WRONG[wrong]
    ledger, root = world.ledger, world.root
    world.clock.wall += 8 * DAY if type_name == CLOCK else 61 * SECOND
    changes: dict[str, Change] = {
        CLOCK: ClockStep(from_ns=START, reason="it is so", to_ns=world.clock.wall),
        POLICY: ledger.policy_change(SHORT_PAUSES),
    }
    signed = ledger.sign_own(root, type_name, changes[type_name])
    claim = codec.encode(msgspec.structs.replace(decode_claim(signed.claim), **fields))
    draft = msgspec.structs.replace(signed, claim=claim, signature=root.sign(author_message(claim)))
    with pytest.raises(error):
        ledger.append_signed(draft)
    assert ledger.reader.size == 1
    if type_name == CLOCK:
        with pytest.raises(ClockWrong, match=r"needs .* a ledger\.clock"):
            ledger.append([samples.draft(1)])
    ledger.append_signed(signed)


@pytest.mark.torture
@pytest.mark.parametrize("part", range(8))
def test_thousands_of_seeds(part: int) -> None:
    """DNA_SEEDS of them."""
    for seed in drawn(int(os.environ.get("DNA_SEEDS", "1000")) // 8):
        simulate(seed, STEPS)

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
from decision_dna.schemas.errors import LedgerError, Malformed, Refused, Unavailable
from decision_dna.schemas.ledgering import CLOCK, ClockStep
from tests.ledger import samples
from tests.ledger.samples import SECOND, START
from tests.simulation.actors import ACTORS, simulate
from tests.simulation.world import World

PARTS = 4
SEEDS_PER_PART = 5
STEPS = 60


def drawn(count: int) -> list[int]:
    """Seeds of this run."""
    return [int.from_bytes(os.urandom(4)) for _ in range(count)]


@pytest.mark.parametrize("part", range(PARTS))
def test_a_ledger_does_what_the_model_says_whatever_fails(part: int) -> None:
    worlds = [simulate(seed, STEPS) for seed in drawn(SEEDS_PER_PART)]
    assert max(len(world.model.said) for world in worlds) > 1


def test_every_actor_acts_and_every_fault_happens() -> None:
    """Under some seeds that stay."""
    steps = [step for seed in range(6) for step in simulate(seed, STEPS).steps]
    words = [actor.__name__ for actor in ACTORS] + [
        "[store fails",
        "[lock fails",
        "power lost",
        "killed",
        "at start",
        "refused",
    ]
    assert [word for word in words if not any(word in step for step in steps)] == []


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


WRONG: dict[str, tuple[dict[str, object], type[LedgerError]]] = {
    "a cause that is not there": ({"causes": (bytes(6) + b"\x70\0\x80" + bytes(7),)}, Malformed),
    "a time to come": ({"occurred_at": START + 66 * SECOND}, Malformed),
    "a number, of a key that keeps none": ({"author_seq": 1}, Refused),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_an_own_entry_that_verification_would_reject_is_not_appended(wrong: str) -> None:
    world = World(0)
    fields, error = WRONG[wrong]
    ledger, root = world.ledger, world.root
    world.clock.wall += 5 * SECOND
    signed = ledger.sign_own(root, CLOCK, ClockStep(reason="it is so", step=5 * SECOND))
    claim = codec.encode(msgspec.structs.replace(decode_claim(signed.claim), **fields))
    draft = msgspec.structs.replace(signed, claim=claim, signature=root.sign(author_message(claim)))
    with pytest.raises(error):
        ledger.append_signed(draft)
    assert ledger.reader.size == 1
    with pytest.raises(Refused, match="stepped"):  # the clock that it would have vouched for waits still
        ledger.append([samples.draft(1)])


@pytest.mark.torture
@pytest.mark.parametrize("part", range(8))
def test_thousands_of_seeds(part: int) -> None:
    """DNA_SEEDS of them."""
    for seed in drawn(int(os.environ.get("DNA_SEEDS", "1000")) // 8):
        simulate(seed, STEPS)

"""Logs in memory, for tests of what is folded from them: a ledger over a `MemoryStore`, and random events to append."""

from random import Random

from decision_dna.ledger.clock import ManualClock
from decision_dna.ledger.ids import new_ids
from decision_dna.ledger.keyring import Keyring
from decision_dna.ledger.ledger import Ledger
from decision_dna.ledger.lock import Locked
from decision_dna.ledger.memory import MemoryLock, MemoryStore
from decision_dna.ledger.opening import resume, write_genesis
from decision_dna.ledger.plan import Draft
from decision_dna.ledger.signatures import SigningKey
from decision_dna.ledger.writer import Placed
from decision_dna.schemas import codec
from decision_dna.schemas.ledgering import Policy, SourceRule

START = 1_790_000_000 * 10**9
SECOND = 10**9
ORIGIN = "example.org/memory"
POLICY = Policy(
    anchor_events_max=1000,
    anchor_seconds_max=3600,
    default_attestation="none",
    heartbeat_events_max=1_000_000,
    heartbeat_seconds_max=60,
    jump_seconds_max=20 * 365 * 86_400,
    pause_seconds_max=10 * 365 * 86_400,
    sources=(SourceRule("notary", (), "system", "engine"),),
    sources_per_principal_max=100,
)
TYPES = ("x.seen", "x.seen.twice", "x.seenless", "x.a.b.c", "y")
SOURCES = ("dex", "dex-2", "de", "bot")
SUBJECTS = ("", "pool-1", "pool-2", "größe", "z" * 100)
TRACES = ("", *(f"00-{n:032x}-{n:016x}-01" for n in (1, 2, 255)))


def keyring() -> Keyring:
    """Fixed keys."""
    keys = Keyring({}, bytes(32))
    for at, purpose in enumerate(("root", "log", "notary", "anchor"), 1):
        keys.add(purpose, SigningKey(bytes([at]) * 32))
    return keys


def new_log(store: MemoryStore | None = None) -> tuple[Ledger, MemoryStore, ManualClock]:
    """A ledger with its genesis alone."""
    store = store or MemoryStore()
    clock = ManualClock(START)
    locked = write_genesis(store, keyring(), ORIGIN, POLICY, None, clock)
    return resume(None, store, MemoryLock(locked), keyring(), clock), store, clock


def reopened(store: MemoryStore, head: Locked, clock: ManualClock) -> Ledger:
    """The ledger that the next process finds in a store."""
    return resume(None, store, MemoryLock(head), keyring(), clock)


class Events:
    """Random foreign events: few types, sources, subjects and traces, and causes among those before."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.ids: list[bytes] = []

    def draft(self, now: int) -> Draft:
        """One more."""
        chance = self.random
        causes = chance.sample(self.ids[-50:], min(len(self.ids), 50, chance.choice((0, 0, 0, 1, 2))))
        type_name = chance.choice(TYPES[:4])
        return Draft(
            type=type_name,
            schema=1,
            source=chance.choice(SOURCES),
            payload=codec.encode({"n": chance.randrange(1000)}),
            id=new_ids(1, now)[0],
            subject=chance.choice(SUBJECTS),
            causes=tuple(causes),
            trace=chance.choice(TRACES),
        )

    def append(self, ledger: Ledger, clock: ManualClock, count: int) -> None:
        """A commit of so many, a little later."""
        clock.advance(self.random.choice((0, 1, SECOND)))
        drafts = [self.draft(clock.now_ns()) for _ in range(count)]
        outcomes = ledger.append(drafts).outcomes
        self.ids += [placed.id for placed in outcomes if isinstance(placed, Placed)]
        assert all(isinstance(placed, Placed) for placed in outcomes), outcomes

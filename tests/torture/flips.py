"""One bit of one byte, anywhere in what a ledger keeps: who names it?

Ledgers in memory with every kind of entry, and for each bit of each key and value of a family a `Flip`, put in and taken
out again in place. What must answer is what everybody uses: the whole verification with the pinned key, start-up, and
for what followers keep the rebuilding checks.
"""

from collections.abc import Callable, Iterator
from random import Random

import msgspec

from decision_dna.engine.projections import DETECTIONS, ProjectionFollower, commit_state
from decision_dna.engine.replay import check_views
from decision_dna.ledger.audit import verify
from decision_dna.ledger.clock import ManualClock
from decision_dna.ledger.followers import Followers
from decision_dna.ledger.hashing import key_id
from decision_dna.ledger.indexes import BLOCK_EVENTS, IndexFollower, check_indexes
from decision_dna.ledger.keyring import Keyring
from decision_dna.ledger.ledger import Ledger
from decision_dna.ledger.lock import Locked
from decision_dna.ledger.memory import MemoryLock, MemoryStore
from decision_dna.ledger.notes import Vkey
from decision_dna.ledger.opening import resume, write_genesis
from decision_dna.ledger.plan import Draft
from decision_dna.ledger.reader import LogReader
from decision_dna.ledger.signatures import SigningKey
from decision_dna.ledger.sources import StoreSource
from decision_dna.schemas import codec
from decision_dna.schemas.errors import CannotOpen
from decision_dna.schemas.ledgering import POLICY, Beacon, Policy
from decision_dna.schemas.market import Arbitrage, Hop
from tests.ledger import samples
from tests.ledger.memory_log import keyring
from tests.ledger.samples import ORIGIN, SECOND, SHORT_PAUSES, change_key, draft, fill, root_of

NODE_EVENTS = 256
DAY = 86_400 * SECOND
OPERATOR = SigningKey(b"operator".ljust(32))
ERASED = 4
"""Of the events of `fill`, one that it does not erase."""
LOCK_PARTS = ("origin", "size", "root", "note")


class Flip(msgspec.Struct, frozen=True):
    """Bit `bit` of byte `at` of a row's key, or of its value."""

    family: str
    key: bytes
    in_key: bool
    at: int
    bit: int

    def __str__(self) -> str:
        return f"{self.family}/{self.key.hex()}: bit {self.bit} of byte {self.at} of its {'key' if self.in_key else 'value'}"


class Held(msgspec.Struct):
    """A ledger at rest: what is stored, the head in the lock, and the key that a verifier pins."""

    store: MemoryStore
    head: Locked
    vkey: Vkey
    now: int

    def report_of(self, head: Locked) -> str:
        """What the verification finds; empty where it holds."""
        report = verify(StoreSource(self.store, head), self.vkey)
        return "" if report.holds else "; ".join(finding.text for finding in report.findings) or "a step failed"

    def refusal_of(self, head: Locked) -> str:
        """Why start-up refuses; empty where it does not."""
        try:
            resume(None, self.store.kill(), MemoryLock(head), _keys(), ManualClock(self.now))
        except CannotOpen as refused:
            return f"{refused.reason}: {refused}"
        return ""

    def named_in_log(self) -> str:
        """What the verification finds in the log's own families."""
        return self.report_of(self.head)

    def named_in_meta(self) -> str:
        """Of a tip that lies past the lock the next start decides: the verification leaves it to that."""
        return self.report_of(self.head) or self.refusal_of(self.head)

    def named_in_views(self) -> str:
        """What is said of what followers keep."""
        reader = LogReader(self.store, lambda: self.head)
        return "; ".join(check_indexes(self.store, reader) + check_views(self.store, reader, [DETECTIONS]))


def flips(store: MemoryStore, family: str, bits: Callable[[], list[int]]) -> Iterator[Flip]:
    """For every byte of every key and value of a family, the bits that `bits` says."""
    for key, value in list(store.scan(family)):
        for in_key, data in ((True, key), (False, value)):
            for at in range(len(data)):
                yield from (Flip(family, key, in_key, at, bit) for bit in bits())


def flipped(data: bytes, at: int, bit: int) -> bytes:
    """With that one bit of that byte turned."""
    return data[:at] + bytes([data[at] ^ 1 << bit]) + data[at + 1 :]


def unnamed(held: Held, wanted: Iterator[Flip], named: Callable[[], str]) -> list[Flip]:
    """The flips that nobody names. The store is as before when it returns."""
    silent = []
    for flip in wanted:
        value = held.store.get(flip.family, flip.key)
        assert value is not None
        key = flipped(flip.key, flip.at, flip.bit) if flip.in_key else flip.key
        beneath = held.store.get(flip.family, key)
        put(
            held.store,
            flip.family,
            {flip.key: None} | {key: value if flip.in_key else flipped(value, flip.at, flip.bit)},
        )
        if not named():
            silent.append(flip)
        put(held.store, flip.family, {key: beneath} | {flip.key: value})
    return silent


def put(store: MemoryStore, family: str, rows: dict[bytes, bytes | None]) -> None:
    """Set rows; None removes one."""
    batch = store.batch()
    for key, value in rows.items():
        if value is None:
            batch.delete(family, key)
        else:
            batch.put(family, key, value)
    store.write(batch, durable=True)


def flipped_heads(head: Locked, part: str, chance: Random, *, all_bits: bool) -> Iterator[Locked]:
    """The lock's row with a bit of one of its columns turned; texts stay UTF-8, for SQLite itself refuses others."""
    value = getattr(head, part)
    data = value.to_bytes(8) if part == "size" else value.encode() if isinstance(value, str) else value
    for at in range(len(data)):
        bits = chance.sample(range(8), 8)
        read = [_column(part, flipped(data, at, bit)) for bit in bits]
        found = [column for column in read if column is not None]
        for column in found if all_bits else found[:1]:
            yield msgspec.structs.replace(head, **{part: column})


def _column(part: str, data: bytes) -> str | int | bytes | None:
    if part == "root":
        return data
    if part == "size":
        size = int.from_bytes(data)
        return size if size < 2**63 else None
    try:
        return data.decode()
    except UnicodeDecodeError:
        return None


# --- the ledgers -----------------------------------------------------------------------------------------------------


def every_kind() -> Held:
    """Few entries, one of every kind, and heads of every kind: signed by one log key, by two, and by the next.

    Root, an operator and a finalized block each vouch for a gap.
    """
    ledger, clock = _new(SHORT_PAUSES)
    fill(ledger, clock)
    root = root_of(ledger)
    for purpose, overlap in (("log", 1), ("notary", 0)):
        live = ledger.writer.authority.log[-1].key if purpose == "log" else ledger.writer.authority.notary
        change_key(ledger, "rotate", purpose, _next_key(purpose).public, replaces=key_id(live), overlap=overlap)
    change_key(ledger, "register", "author", OPERATOR.public, operator="ops", roles=("clock", "erasure"))
    ledger.erase(ERASED, "ops", "asked to", OPERATOR)
    clock.advance(8 * DAY)
    block_time = clock.wall // SECOND
    ledger.heartbeat(Beacon(block_time=block_time, blockhash="1" * 44, kind="finalized", slot=block_time))
    clock.advance(8 * DAY)
    ledger.accept_clock(OPERATOR, "switched off over the holidays")
    clock.wall += 401 * DAY
    ledger.accept_clock(root, "it was a year behind")
    policy = msgspec.structs.replace(SHORT_PAUSES, default_attestation="none")
    ledger.append_signed(ledger.sign_own(root, POLICY, ledger.policy_change(policy)))
    ledger.append([draft(995)])
    return _held(ledger, clock)


def with_nodes() -> Held:
    """As many entries as it takes to have a stored tree node; most of them unsigned, and so verified quickly."""
    ledger, clock = _new()
    ledger.append([draft(number, "raw") for number in range(NODE_EVENTS)])
    return _held(ledger, clock)


def with_views() -> Held:
    """As many as it takes to have rows of indexes; a committed state of detections, and a snapshot of it."""
    ledger, clock = _new()
    follower = ProjectionFollower(DETECTIONS)
    followers = Followers(ledger.store, ledger.reader, [IndexFollower(), follower])
    ledger.append([_arbitrage(f"pool-{number}") for number in range(2)])
    followers.catch_up()
    commit_state(ledger, follower)
    ledger.append([_arbitrage("pool-1")])
    for _ in range(BLOCK_EVENTS // 1024):
        ledger.append([draft(number, "raw") for number in range(1024)])
    followers.catch_up()
    return _held(ledger, clock)


def _keys() -> Keyring:
    keys = keyring()
    for purpose in ("log", "notary"):
        keys.add(purpose, _next_key(purpose))
    return keys


def _next_key(purpose: str) -> SigningKey:
    return SigningKey(purpose.encode().ljust(32))


def _new(policy: Policy = samples.POLICY) -> tuple[Ledger, ManualClock]:
    store, clock, keys = MemoryStore(), ManualClock(samples.START), _keys()
    locked = write_genesis(store, keys, ORIGIN, policy, None, clock)
    return resume(None, store, MemoryLock(locked), keys, clock), clock


def _held(ledger: Ledger, clock: ManualClock) -> Held:
    assert isinstance(ledger.store, MemoryStore)
    clock.advance(10 * SECOND)
    held = Held(ledger.store.kill(), ledger.reader.head(), ledger.vkey, clock.now_ns())
    assert held.named_in_log() == ""
    assert held.named_in_views() == ""
    return held


def _arbitrage(pool: str) -> Draft:
    key = pool + "1" * (44 - len(pool))
    found = Arbitrage(
        confidence_ppm=1,
        fee=0,
        gains=(),
        hops=(Hop(amount_in=1, amount_out=1, mint_in="a", mint_out="b", pool=f"{key}/{key}"),),
        net_lamports=1,
        owner=key,
        position=1,
        rule="r",
        rule_version=1,
        signature="5" * 88,
        signer=key,
        slot=1,
        tip=0,
        value_lamports=1,
    )
    return Draft(type="detection.arbitrage", schema=1, source="dex", payload=codec.encode(found))

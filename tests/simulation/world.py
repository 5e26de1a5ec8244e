"""A whole ledger in one process and one thread: its store, lock and clock in memory, with faults and crashes by a seed.

A step is one act of one actor (`tests.simulation.actors`), perhaps with a fault in it. After each step everything that
must always hold is checked. What a failure prints, the seed and the steps, is enough to see it again:
`python -m tests.simulation --start SEED --seeds 1`. (Ids and salts that the ledger itself draws are not of the seed; no
answer depends on them.)
"""

from collections.abc import Callable
from hashlib import sha256
from random import Random

import msgspec

from decision_dna.ledger import hashing, layout
from decision_dna.ledger.accounting import MESSAGE
from decision_dna.ledger.audit import verify
from decision_dna.ledger.clock import ManualClock
from decision_dna.ledger.followers import Followers, Stretch
from decision_dna.ledger.indexes import IndexFollower
from decision_dna.ledger.keyring import Keyring
from decision_dna.ledger.ledger import Ledger
from decision_dna.ledger.memory import Faults, MemoryLock, MemoryStore
from decision_dna.ledger.notes import Vkey, parse_checkpoint, parse_note
from decision_dna.ledger.opening import resume, write_genesis
from decision_dna.ledger.signatures import SigningKey
from decision_dna.ledger.sources import StoreSource
from decision_dna.ledger.store import Batch, Store
from decision_dna.ledger.writer import CLOCK_STEP_NS_MAX, Appended, Placed
from decision_dna.schemas.claims import decode_entry
from decision_dna.schemas.errors import CannotOpen, LedgerError, Refused, StoreFailed, Unavailable
from tests.ledger.samples import ORIGIN, POLICY, START
from tests.simulation.model import Expected, Item, Model, New, Same

FAULT_CHANCE = 0.15
OUTCOMES = ("never", "later", "now")


class HeadKey(SigningKey):
    """A log key that remembers what it signed."""

    __slots__ = ("signed",)

    def __init__(self, seed: bytes, signed: list[bytes]) -> None:
        super().__init__(seed)
        self.signed = signed

    def sign(self, message: bytes) -> bytes:
        """As every key does."""
        self.signed.append(message)
        return super().sign(message)


class Chain:
    """A follower whose state shows that it has seen each event once, in order: SHA-256 over all entries so far."""

    name, version, rows = "chain", 1, ("views", b"chain/")

    def __init__(self) -> None:
        self.state, self.next = bytes(32), 0

    def load(self, store: Store, cursor: int) -> None:
        """As saved."""
        self.state = (store.get("views", b"chain/") or bytes(32)) if cursor else bytes(32)
        self.next = cursor

    def fold(self, stretch: Stretch, batch: Batch) -> int:
        """The next events."""
        assert stretch.first == self.next, f"folded up to {self.next}, then from {stretch.first}"
        for raw in stretch.raws:
            self.state = sha256(self.state + raw).digest()
        self.next = stretch.end
        batch.put("views", b"chain/", self.state)
        return self.next


class World:
    """What the actors act on, and what is known of it."""

    def __init__(self, seed: int) -> None:
        self.chance = Random(seed)
        self.clock = ManualClock(START)
        self.signed: list[bytes] = []
        self.keys = self._first_keys()
        self.root = self.keys.of_purpose("root")[0]
        self.store = MemoryStore()
        locked = write_genesis(self.store, self.keys, ORIGIN, POLICY, None, self.clock)
        self.lock = MemoryLock(locked)
        self.model = Model([None], {}, {}, {}, set(), "notary", 0)
        self.in_doubt: list[Model] = []
        self.hashes: list[bytes] = []
        self.heads: dict[int, str] = {}
        self.speakers: list[SigningKey] = []
        self.steps: list[str] = []
        self._resume()

    def _first_keys(self) -> Keyring:
        keys = Keyring({}, bytes(32))
        for purpose in ("root", "log", "notary", "anchor"):
            keys.add(purpose, self.new_key(purpose))
        return keys

    def new_key(self, purpose: str) -> SigningKey:
        """One that never was."""
        seed = self.chance.randbytes(32)
        return HeadKey(seed, self.signed) if purpose == "log" else SigningKey(seed)

    def new_id(self) -> bytes:
        """A UUIDv7 of now."""
        tail = self.chance.randbytes(10)
        stamp = (self.clock.now_ns() // 1_000_000).to_bytes(6)
        return stamp + bytes((0x70 | tail[0] & 0x0F, tail[1], 0x80 | tail[2] & 0x3F)) + tail[3:]

    def step(self, actor: "Callable[[World], str]") -> None:
        """Let one act, perhaps while something fails; then look at everything."""
        fault = self._arm() if self.chance.random() < FAULT_CHANCE else ""
        self.steps.append(f"{len(self.steps)} {actor.__name__} {fault}")
        try:
            self.steps[-1] += actor(self)
        except (Unavailable, StoreFailed) as failed:
            assert fault, f"failed without a fault: {failed}"
            self.steps[-1] += f": {failed}"
            self._check_stopped()
        self.store.faults = self.lock.faults = Faults()
        if self.ledger.writer.stopped is not None or fault:
            self._check_visible()  # whatever is stored, nobody sees more than was there
            self.reopen()
        self.check()

    def _arm(self) -> str:
        stored = self.chance.choice(OUTCOMES)
        if self.chance.random() < 0.5:
            self.store.faults = Faults(self.store.writes + self.chance.randint(1, 2), stored)  # type: ignore[arg-type]
            return f"[store fails, stored {stored}]"
        self.lock.faults = Faults(self.lock.advances + 1, stored)  # type: ignore[arg-type]
        return f"[lock fails, stored {stored}]"

    # --- what actors do to the ledger ------------------------------------------------------------------------------

    def append(self, requests: list[tuple[list[Item], bool]]) -> str:
        """Requests (items, atomic) that become one batch; each answer must be the predicted one."""
        expected: list[list[Expected]] = []
        after, first = self.model, len(self.model.said)
        for items, atomic in requests:
            answers, after = after.predict(items, atomic=atomic, first=first)
            expected.append(answers)
        refused = self._clock_refuses()
        self.in_doubt = [self.model if refused else after]
        writer = self.ledger.writer
        futures = [writer.enqueue(self.ledger.prepare(items, "p"), atomic=atomic) for items, atomic in requests]
        writer.commit_queued()
        for future, answers in zip(futures, expected, strict=True):
            if refused:
                assert isinstance(future.exception(0), Refused)
            else:
                self._compare(future.result(0), answers)
        self._settle()
        return f" {[[_word(each) for each in answers] for answers in expected]}{' refused' * refused}"

    def _compare(self, appended: Appended, expected: list[Expected]) -> None:
        for outcome, wanted in zip(appended.outcomes, expected, strict=True):
            if isinstance(outcome, Placed):
                assert isinstance(wanted, New | Same), f"{outcome} where {wanted} was due"
                assert (outcome.seq, outcome.duplicate) == (wanted.seq, isinstance(wanted, Same))
                assert hashing.entry_hash(self.ledger.reader.raw(outcome.seq)) == outcome.hash
            else:
                assert isinstance(wanted, type), f"{outcome!r} where {wanted} was due"
                assert isinstance(outcome, wanted), f"{outcome!r} where {wanted} was due"

    def append_own(
        self,
        act: Callable[[], Appended],
        change: Callable[[Model], object] = lambda _: None,
        *,
        vouching: bool = False,
    ) -> str:
        """An entry of the ledger's own, and what it changes in the model. While the clock is in doubt, none but one that vouches for it."""
        if self._clock_refuses() and not vouching:
            return self.refused(act, Refused)
        after = self.model.copy()
        after.put(None)
        change(after)
        self.in_doubt = [after]
        (placed,) = act().outcomes
        assert isinstance(placed, Placed)
        assert placed.seq == len(self.model.said)
        self._settle()
        return f" at {placed.seq}"

    def refused(self, act: Callable[[], object], error: type[LedgerError]) -> str:
        """What must not be done."""
        try:
            act()
        except error as refused:
            return f" refused: {refused}"
        raise AssertionError(f"not refused: {error}")

    def _clock_refuses(self) -> bool:
        """Steps of the wall clock add up until somebody vouches for them."""
        return abs(self.model.clock_step) > CLOCK_STEP_NS_MAX

    def _settle(self) -> None:
        (self.model,), self.in_doubt = self.in_doubt, []

    # --- dying and coming back -------------------------------------------------------------------------------------

    def reopen(self) -> None:
        """The process dies, or the power goes; perhaps again while starting."""
        self._die()
        self._wait_for_clock()
        while self.chance.random() < 0.3:
            fault = self._arm()
            try:
                self._resume()
            except (StoreFailed, Unavailable):
                self.steps[-1] += f"; {fault} at start"
            self._die()
        self._resume()
        size, allowed = self.ledger.reader.size, {len(model.said): model for model in [self.model, *self.in_doubt]}
        assert size in allowed, f"size {size} after a start, allowed are {list(allowed)}"
        self.model, self.in_doubt = allowed[size], []
        self.model.clock_step = 0
        self.steps[-1] += f"; opened at {size}"

    def _die(self) -> None:
        kept = self.chance.choice((0, 1, 2, None))
        self.steps[-1] += "; killed" if kept is None else f"; power lost, {kept} later writes kept"
        self.store = self.store.kill() if kept is None else self.store.crash(kept)
        self.lock = self.lock.restart()

    def _wait_for_clock(self) -> None:
        """A clock that is behind the log is refused."""
        behind = layout.decode_tip(self.store.get("meta", layout.TIP_KEY) or b"").recorded_at - self.clock.now_ns()
        if behind > 0:
            try:
                self._resume()
            except CannotOpen as refused:
                assert refused.reason == "clock-behind"
            else:
                raise AssertionError("opened with a clock behind the log")
            self.clock.advance(behind)

    def _resume(self) -> None:
        self.ledger: Ledger = resume(None, self.store, self.lock, self.keys, self.clock)
        self.chain = Chain()
        self.followers = Followers(self.store, self.ledger.reader, [self.chain, IndexFollower()])

    # --- what always holds -----------------------------------------------------------------------------------------

    def check(self) -> None:
        """All invariants."""
        self._check_visible()
        reader, size = self.ledger.reader, self.ledger.reader.size
        raws = [reader.raw(seq) for seq in range(size)]
        hashes = [hashing.entry_hash(raw) for raw in raws]
        assert hashes[: len(self.hashes)] == self.hashes, "history was rewritten"
        assert [decode_entry(raw).seq for raw in raws] == list(range(size))
        self.hashes = hashes
        for (event_id, source), seq in self.model.places.items():
            assert reader.seq_of_id(event_id, source) == seq
        for seq, item in enumerate(self.model.said):
            if item is not None:
                assert (reader.event(seq).payload is None) == (seq in self.model.erased)
        self._check_heads()
        report = verify(StoreSource(self.store, reader.head()), Vkey(ORIGIN, self.root.public), earlier=self._notes())
        assert report.findings == []
        assert report.holds
        assert report.pinned

    def _check_stopped(self) -> None:
        """After a failed write nothing is appended: what would be might stand where something else was signed."""
        self.store.faults = self.lock.faults = Faults()
        try:
            self.ledger.accept_clock(self.root, "even so")
        except Unavailable:
            return
        raise AssertionError("appended after a failure")

    def _check_visible(self) -> None:
        """Exactly what the model has is visible."""
        assert self.ledger.reader.size == len(self.model.said)

    def _check_heads(self) -> None:
        """One root for each size, in all that was ever signed; and what was given out is kept as it was."""
        head = self.ledger.reader.head()
        assert self.heads.setdefault(head.size, head.note) == head.note
        roots: dict[int, bytes] = {}
        for text in [*self.signed, *(parse_note(note).text for note in self._notes())]:
            size, root = _signed_about(text)
            assert roots.setdefault(size, root) == root, "two roots of one size"
        for size, note in self.heads.items():
            assert self.ledger.reader.note_of(size).decode() == note

    def _notes(self) -> list[bytes]:
        return [note.encode() for note in self.heads.values()]

    def follow(self) -> str:
        """Every follower has seen every event once."""
        self.followers.catch_up()
        state = bytes(32)
        for raw in self.ledger.reader.raws(0, self.ledger.reader.size):
            state = sha256(state + raw).digest()
        assert (self.chain.state, self.chain.next) == (state, self.ledger.reader.size)
        assert self.store.get("views", b"chain/") == state
        return f" to {self.chain.next}"


def _signed_about(text: bytes) -> tuple[int, bytes]:
    """Size and root of the tree that a log key signed: in a head, or in what the next start is told."""
    if text.startswith(MESSAGE):
        _, size, root, *_ = msgspec.msgpack.decode(text.removeprefix(MESSAGE))
        return size, root
    checkpoint = parse_checkpoint(text)
    return checkpoint.size, checkpoint.root


def _word(expected: Expected) -> str:
    return expected.__name__ if isinstance(expected, type) else str(expected)

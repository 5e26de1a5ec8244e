"""A whole ledger in one process and one thread: its store, lock and clock in memory, with faults and crashes by a seed.

A step is one act of one actor (`tests.simulation.actors`), perhaps with a fault in it. After each step everything that
must always hold is checked. What a failure prints, the seed and the steps, is enough to see it again:
`python -m tests.simulation --start SEED --seeds 1`. (Ids and salts that the ledger itself draws are not of the seed; no
answer depends on them.)
"""

from collections.abc import Callable, Sequence
from hashlib import sha256
from random import Random

import msgspec

from decision_dna.ledger import hashing
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
from decision_dna.ledger.writer import Appended, Placed
from decision_dna.schemas.claims import decode_claim, decode_entry
from decision_dna.schemas.errors import ClockWrong, LedgerError, StoreFailed, TooLarge, Unavailable, WriterStopped
from decision_dna.schemas.ledgering import CLOCK, GENESIS, HEARTBEAT
from tests.ledger.samples import ORIGIN, SHORT_PAUSES, START
from tests.simulation.model import Author, Expected, Model, New, Place, Request, Same, Witness

FAULT_CHANCE = 0.15
POLICY = msgspec.structs.replace(SHORT_PAUSES, heartbeat_events_max=16)
OUTCOMES = ("never", "later", "now")
EXEMPT = (HEARTBEAT, CLOCK)
"""Before these no heartbeat is due."""


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
        live = {purpose: self.keys.of_purpose(purpose)[0].public for purpose in ("log", "notary", "anchor")}
        self.model = Model([Place(None, GENESIS, "author", START)], POLICY, live)
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
            assert not isinstance(failed, ClockWrong), f"waits for the clock, unlike the model: {failed}"
            self.steps[-1] += f": {failed}"
            self._check_stopped()
        self.store.faults = self.lock.faults = Faults()
        if self.ledger.writer.stopped is not None or fault:
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

    def append(self, requests: list[Request]) -> str:
        """Requests of callers, handed in before any is committed; each answer must be the predicted one."""
        expected = self._expect(requests)
        writer, futures = self.ledger.writer, []
        for request, answer in zip(requests, expected, strict=True):
            rows = self.ledger.prepare(request.items, "p")
            if answer is TooLarge:
                self.refused(lambda rows=rows: writer.enqueue(rows), TooLarge)  # type: ignore[misc]
            else:
                futures.append((writer.enqueue(rows, atomic=request.atomic), answer))
        while not all(future.done() for future, _ in futures):
            writer.commit_queued()
        for future, answer in futures:
            if isinstance(answer, list):
                self._compare(future.result(0), answer)
            else:
                self.refused(lambda future=future: future.result(0), answer)  # type: ignore[misc]
        return self._settle(expected)

    def append_system(self, request: Request) -> str:
        """The same, of one request of the system's."""
        expected = self._expect([request])
        (answer,) = expected
        if isinstance(answer, list):
            self._compare(self.ledger.append_system(request.items, atomic=request.atomic), answer)  # type: ignore[arg-type]
        else:
            self.refused(lambda: self.ledger.append_system(request.items, atomic=request.atomic), answer)  # type: ignore[arg-type]
        return self._settle(expected)

    def _expect(self, requests: list[Request]) -> list[list[Expected] | type[LedgerError]]:
        """The answer to each request: together they become batches that fit between two heartbeats, in their order. The log after
        each commit is in doubt until all have answered."""
        events_max, answers = self.model.policy.heartbeat_events_max, list[list[Expected] | type[LedgerError]]()
        batches = list[list[Request]]()
        for request in requests:
            if len(request.items) > events_max:
                continue
            if not batches or sum(len(each.items) for each in [*batches[-1], request]) > events_max:
                batches.append([])
            batches[-1].append(request)
        told = [each for batch in batches for each in self._expect_batch(batch)]
        for request in requests:
            answers.append(TooLarge if len(request.items) > events_max else told.pop(0))
        return answers

    def _expect_batch(self, batch: list[Request]) -> Sequence[list[Expected] | type[LedgerError]]:
        wall, count = self.clock.wall, sum(len(request.items) for request in batch)
        after = self.newest.copy()
        if after.waits(wall):
            return [ClockWrong] * len(batch)
        if after.beats_first(count, wall):
            after.put_beat(wall)
            self.in_doubt.append(after)
        answers, first = [], after.size
        for request in batch:
            answer, after = after.predict(request, first, wall)
            answers.append(answer)
        if after.size > first:
            self.in_doubt.append(after)
        return answers

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
        type_name: str,
        change: Callable[[Model], object] = lambda _: None,
        *,
        signer: SigningKey | None = None,
        witness: Witness = "nobody",
    ) -> str:
        """An entry of the ledger's own, and what it changes in the model; `witness` is what it says for the clock."""
        wall = self.clock.wall
        doubt = self.model.doubt(wall)
        if self.model.waits(wall, witness):
            return f" {doubt}, by {witness}:{self.refused(act, ClockWrong)}"
        after, attestation = self.model.copy(), "notary" if signer is None else "author"
        if type_name not in EXEMPT and after.beats_first(1, wall):
            after.put_beat(wall)
            self.in_doubt.append(after)
            after = after.copy()
        if type_name == HEARTBEAT:
            after.put_beat(wall)
        else:
            after.put(None, type_name, attestation, wall)
        if signer is not None and signer.key_id in after.authors:
            after.count(signer.key_id, after.size - 1)
        change(after)
        self.in_doubt.append(after)
        (placed,) = act().outcomes
        assert isinstance(placed, Placed)
        assert placed.seq == after.size - 1
        vouched = f", {doubt} vouched for by {witness}" if doubt != "none" else ""
        return f" at {placed.seq}{vouched}{self._settle()}"

    def refused(self, act: Callable[[], object], error: type[LedgerError]) -> str:
        """What must not be done, and must leave no trace."""
        before = self.ledger.reader.size
        try:
            act()
        except error as refused:
            assert self.ledger.reader.size == before
            return f" {type(refused).__name__}: {refused}"
        raise AssertionError(f"not refused: {error}")

    @property
    def newest(self) -> Model:
        """The log as it should be after what is under way."""
        return self.in_doubt[-1] if self.in_doubt else self.model

    def _settle(self, expected: Sequence[list[Expected] | type[LedgerError]] = ()) -> str:
        beats = self.newest.beat != self.model.beat and any(
            model.size - 1 == model.beat for model in self.in_doubt[:-1]
        )
        self.model, self.in_doubt = self.newest, []
        words = [each.__name__ if isinstance(each, type) else [_word(one) for one in each] for each in expected]
        return f" {words if words else ''}{', after a heartbeat' * beats}"

    def prev_of(self, author: Author) -> bytes:
        """What its next claim names."""
        if author.last is None:
            return hashing.ZEROS
        return hashing.claim_hash(decode_entry(self.ledger.reader.raw(author.last)).claim)

    # --- dying and coming back -------------------------------------------------------------------------------------

    def reopen(self) -> None:
        """The process dies, or the power goes; perhaps again while starting. Of what was under way the commits that were seen are
        there, and perhaps the one after them."""
        seen, commits = self.ledger.reader.size, [self.model, *self.in_doubt]
        at = [model.size for model in commits].index(seen)
        assert not self.in_doubt or at < len(commits) - 1, "seen before it was answered"
        self._die()
        while self.chance.random() < 0.3:
            fault = self._arm()
            try:
                self._resume()
            except (StoreFailed, Unavailable):
                self.steps[-1] += f"; {fault} at start"
            self._die()
        self._resume()
        size, allowed = self.ledger.reader.size, {model.size: model for model in commits[at : at + 2]}
        assert size in allowed, f"size {size} after a start, allowed are {list(allowed)}"
        self.model, self.in_doubt = allowed[size], []
        self.model.step = self.model.step_at_beat = 0
        self.steps[-1] += f"; opened at {size}"

    def _die(self) -> None:
        kept = self.chance.choice((0, 1, 2, None))
        self.steps[-1] += "; killed" if kept is None else f"; power lost, {kept} later writes kept"
        self.store = self.store.kill() if kept is None else self.store.crash(kept)
        self.lock = self.lock.restart()

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
        self.hashes = hashes
        for seq, (raw, place) in enumerate(zip(raws, self.model.places, strict=True)):
            entry = decode_entry(raw)
            found = entry.seq, decode_claim(entry.claim).type, entry.attestation, entry.recorded_at
            assert found == (seq, place.type, place.attestation, place.recorded_at)
            if place.item is not None:
                assert (reader.event(seq).payload is None) == (seq in self.model.erased)
        for (event_id, source), seq in self.model.seqs.items():
            assert reader.seq_of_id(event_id, source) == seq
        assert (self.ledger.writer.clock_error() is not None) == self.model.waits(self.clock.wall)
        self._check_heads()
        report = verify(StoreSource(self.store, reader.head()), Vkey(ORIGIN, self.root.public), earlier=self._notes())
        assert report.findings == []
        assert report.holds
        assert report.pinned

    def _check_stopped(self) -> None:
        """After a failed write nothing is appended: what would be might stand where something else was signed."""
        self.store.faults = self.lock.faults = Faults()
        self.clock.wall = max(self.clock.wall, self.model.last)  # so that it is not for the clock
        try:
            self.ledger.accept_clock(self.root, "even so")
        except WriterStopped:
            return
        raise AssertionError("appended after a failure")

    def _check_visible(self) -> None:
        """Exactly what the model has is visible."""
        assert self.ledger.reader.size == self.model.size

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

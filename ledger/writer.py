"""The one writer: whatever queued during the last commit is the next batch, and no answer comes before durability.

A commit (docs/format.md, section 11), with what is lost if the process dies at each point:

    link the batch            nothing happened
 1  one synced write          the tail is not visible; at the next start it is checked, signed and locked; nobody was told
 2  sign the head             the same bytes are signed again (Ed25519 is deterministic)
 3  compare-and-set the lock  visible; a retry by id gets its receipt
 4  answer

An error in 1–3 stops the writer for good: what is stored is then for the next start to find out. The writer never
retries, and never signs a second head of one size.

Two batches may be under way, one being linked while the one before it is being written: commits still happen one after
the other, in order, and each answers only after its own. `_turn` is held while linking, `_committing` while committing.
"""

import threading
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from functools import cached_property
from operator import attrgetter

import msgspec

from decision_dna.ledger import hashing, layout, merkle, pace, streams
from decision_dna.ledger.accounting import is_due, sign_accounted
from decision_dna.ledger.admission import Admission, Allowed, Duplicate, Verdict, says_the_same
from decision_dna.ledger.authority import AuthorCounter, Authority, counter_after
from decision_dna.ledger.clock import Clock
from decision_dna.ledger.keyring import Keyring
from decision_dna.ledger.lock import HeadLock, Locked
from decision_dna.ledger.notes import Checkpoint, sign_checkpoint
from decision_dna.ledger.own_claims import heartbeat_claim
from decision_dna.ledger.pace import NO_VOUCH, Beat, Limits, Vouch
from decision_dna.ledger.plan import SALT_BYTES, Plan, Prepared, Tip, link, retry_content, same_content
from decision_dna.ledger.positions import ID_KEY_MAX, read_positions
from decision_dna.ledger.reader import LogReader
from decision_dna.ledger.store import Batch, Store
from decision_dna.ledger.streams import StreamHead
from decision_dna.schemas import codec
from decision_dna.schemas.claims import AHEAD_NS_MAX, BATCH_EVENTS_MAX, decode_claim
from decision_dna.schemas.errors import (
    Busy,
    ClockWrong,
    IdConflict,
    InvariantBroken,
    LedgerError,
    TooLarge,
    Unavailable,
    WriterStopped,
)
from decision_dna.schemas.ledgering import NO_BEACON, Beacon, Heartbeat
from decision_dna.schemas.texts import id_text

QUEUE_EVENTS_MAX = 50_000
AHEAD_EVENTS_MIN = 256
"""So many queued events are linked while the last commit still runs; fewer wait for it, and grow into a larger batch."""
CLOCK_STEP_NS_MAX = 10**9
"""The wall clock may part so far from the steady one, or lie so far before the last entry, without a word."""
STREAMS_CACHED = 200_000
PRINCIPALS_CACHED = 1_000
_key = attrgetter("key")


class Placed(msgspec.Struct, frozen=True, gc=False):
    """Where an event stands, and as what. `duplicate`: it stood there before. `salted` begins with the payload's salt; it is
    empty where the payload was erased."""

    seq: int
    id: bytes
    hash: bytes
    duplicate: bool
    entry: bytes
    salted: bytes


class Appended(msgspec.Struct, frozen=True):
    """The answer to a request, in its order, with the head that was signed over it and what proves its new entries in that head."""

    outcomes: list[Placed | LedgerError]
    head: Locked
    read: merkle.NodeReader
    first: int


class Request(msgspec.Struct, frozen=True):
    """Claims handed in together, and who waits for them."""

    rows: Sequence[Prepared | LedgerError]
    atomic: bool
    answer: Future[Appended]


class Planned(msgspec.Struct, frozen=True):
    """A batch that has its place and is not yet committed."""

    requests: list[Request]
    verdicts: list[Sequence[Verdict]]
    rows: list[Prepared]
    plan: Plan
    counters: dict[bytes, AuthorCounter]
    authority: Authority
    authority_seqs: list[int]
    sources: set[tuple[str, str]] = set()


class Writer:
    """Appends to one log. Thread-safe; made by `opening.resume`, which knows that the tail is whole."""

    def __init__(
        self,
        store: Store,
        lock: HeadLock,
        reader: LogReader,
        keys: Keyring,
        clock: Clock,
        tip: Tip,
        authority: Authority,
        authority_seqs: list[int],
        beat: Beat | None,
    ) -> None:
        self._store, self._lock, self._reader, self._keys, self._clock = store, lock, reader, keys, clock
        self._tip, self._authority, self._authority_seqs = tip, authority, authority_seqs
        self._locked = lock.read()
        self._streams: dict[str, StreamHead] = {}
        self._streams_count = 0  # held by the committing thread: as of the last statement
        self._highest_id = self._inherited_id = (store.last("ids", ID_KEY_MAX) or (b"",))[0][:16]
        self._queue: deque[Request] = deque()
        self._queued = 0
        self._queue_lock = threading.Lock()
        self._turn = threading.RLock()
        self._committing = threading.RLock()
        self._pending: list[Prepared] = []
        self._counters: dict[bytes, AuthorCounter] = {}
        self._sources: dict[str, set[str]] = {}
        self._allowed: tuple[Authority, Allowed] = authority, set()
        self._limits_of = authority.policy, Limits.of(authority.policy)
        self._stopped: LedgerError | None = None
        self._beat = beat
        self._wall, self._steady = clock.now_ns(), clock.monotonic_ns()
        self._step = (
            0  # how far the wall clock was set since it was vouched for, in ns: slewing moves both clocks alike
        )
        self._step_seen = 0  # the step of the wall clock that the newest heartbeat came after
        self._listeners: list[Callable[[Locked], None]] = []

    @property
    def authority(self) -> Authority:
        """Keys and policy as of the newest entry."""
        return self._authority

    @property
    def head(self) -> Locked:
        """The newest signed and locked head."""
        return self._locked

    @property
    def stopped(self) -> LedgerError | None:
        """Why the writer takes no more, if so."""
        return self._stopped

    @property
    def recorded_at(self) -> int:
        """When the newest entry was recorded."""
        return self._tip.recorded_at

    @property
    def queued(self) -> int:
        """Events that wait for their commit."""
        return self._queued

    def on_commit(self, listener: Callable[[Locked], None]) -> None:
        """Have `listener` called after each commit, in the committing thread: it must only wake others."""
        self._listeners.append(listener)

    def append(self, rows: Sequence[Prepared | LedgerError], *, atomic: bool = False) -> Appended:
        """Append and wait. Durable and locked when it returns. Raises Busy, TooLarge, Unavailable."""
        answer = self.enqueue(rows, atomic=atomic)
        while not answer.done():
            self.commit_queued()
        return answer.result()

    def enqueue(self, rows: Sequence[Prepared | LedgerError], *, atomic: bool = False) -> Future[Appended]:
        """Queue a request; somebody has to call `commit_queued`. Raises Busy, TooLarge, Unavailable."""
        self._check_fits(len(rows))
        self._check_running()
        request = Request(rows, atomic, Future())
        with self._queue_lock:
            if self._queued + len(rows) > QUEUE_EVENTS_MAX:
                raise Busy(f"{self._queued} events wait already: try again in a moment")
            self._queue.append(request)
            self._queued += len(rows)
        return request.answer

    def commit_queued(self) -> None:
        """Commit what is queued, as one batch. Does nothing where another thread just did. Each answer tells of its own errors."""
        with suppress(LedgerError):
            self._commit_next()

    def _commit_next(self) -> None:
        with self._turn:
            if self._queued < AHEAD_EVENTS_MIN:
                with self._committing:
                    pass
            requests = self._take()
            if not requests:
                return
            with self._failing(requests):
                count = sum(len(request.rows) for request in requests)
                self._check_fits(count)  # a policy for smaller batches may have come since this one was queued
                now = self.next_time()
                self.beat_before(count, now)
                planned = self._plan(requests, now)
                self._committing.acquire()  # while the turn is held: commits keep the order of their links
                self._pending = planned.rows
        try:
            with self._failing(requests):
                self._commit_planned(planned)
        finally:
            self._committing.release()

    @contextmanager
    def _failing(self, requests: list[Request]) -> Iterator[None]:
        """Whatever goes wrong, those who wait are told; what is not a LedgerError stops the writer and goes on up."""
        try:
            yield
        except LedgerError as error:
            self._refuse(requests, error)
            raise
        except BaseException as error:
            self._stopped = self._stopped or WriterStopped(f"the writer has stopped: {error!r}")
            self._refuse(requests, self._stopped)
            raise

    @staticmethod
    def _refuse(requests: Iterable[Request], error: LedgerError) -> None:
        for request in requests:
            if not request.answer.done():
                request.answer.set_exception(error)

    def append_own(
        self,
        row: Prepared,
        *,
        recorded_at: int,
        authority: Authority | None = None,
        touch: Callable[[Batch], None] | None = None,
    ) -> Appended:
        """Append one entry of the ledger's own as a commit of its own: after it, `authority` holds. `touch` adds to its write.

        The caller has the `turn()`, has `recorded_at` from `next_time` in it, and has checked that the entry may stand there.
        """
        with self.turn():
            self._check_running()
            plan = link(self._tip, [row], self._stream_head, recorded_at)
            seqs = [*self._authority_seqs, plan.before.size] if authority is not None else self._authority_seqs
            own = Planned([], [], [row], plan, self.own_counter(row), authority or self._authority, seqs)
            self._take_place(own)  # before the commit, as in `_plan`: if that fails, the writer stops
            self._commit(own, touch)
            placed = Placed(plan.before.size, row.id, plan.hashes[0], False, plan.entries[0], row.salted)
            read = merkle.reader_after(plan.before.frontier, plan.rows)
            return Appended([placed], self._locked, read, plan.before.size)

    @contextmanager
    def turn(self) -> Iterator[None]:
        """While this is held, nothing is linked or committed: for what reads the log and depends on it. May be nested."""
        with self._turn, self._committing:
            yield

    def next_time(self, vouch: Vouch = NO_VOUCH) -> int:
        """Return the time at which the next entry is recorded. The caller has the `turn()`, or commits next. Raises ClockWrong unless
        the entry vouches for the time; Unavailable."""
        return self._time_at(self._clock.now_ns(), vouch)

    def _time_at(self, wall: int, vouch: Vouch) -> int:
        self._check_running()
        self._step = self._check_clock(wall, vouch)
        return max(wall, self._tip.recorded_at)

    def beat_before(self, count: int, now: int) -> None:
        """Append a heartbeat if one is due before `count` entries, recorded as they will be: so nothing that happens between the two
        makes them late. The caller has `now` from `next_time`, and what is refused was refused before."""
        last = self._tip.size + count - 1
        beat = self._beat
        late = beat is None or pace.overdue(self._limits, beat, last, now)
        if count and (late or self._step - self._step_seen > CLOCK_STEP_NS_MAX):
            with self._committing:
                self._append_heartbeat(now)

    def heartbeat(self, beacon: Beacon = NO_BEACON) -> Appended:
        """Append a heartbeat over everything before it. Raises ClockWrong, Unavailable."""
        with self.turn():
            wall = self._clock.now_ns()
            vouch = Vouch(self._limits.jump_ns, None) if pace.is_witness(beacon, wall) else NO_VOUCH
            return self._append_heartbeat(self._time_at(wall, vouch), beacon)

    def _append_heartbeat(self, now: int, beacon: Beacon = NO_BEACON) -> Appended:
        """The caller has the turn; the batch before is committed, since its streams are listed."""
        leaves = streams.list_leaves(self.stream_heads())
        payload = Heartbeat(
            beacon=beacon,
            last=self._tip.prev,
            root=self._tip.frontier.root(),
            size=self._tip.size,
            streams_count=len(leaves),
            streams_root=streams.list_root(leaves),
        )
        notary = self._keys.get(self._authority.notary, "notary")
        row = heartbeat_claim(self._authority.origin, notary, payload, now)
        appended = self.append_own(row, recorded_at=now)
        self._beat, self._step_seen = Beat(payload.size, now), self._step
        return appended

    @property
    def batch_events_max(self) -> int:
        """The most events of one batch: it fits between two heartbeats."""
        return min(BATCH_EVENTS_MAX, self._authority.policy.heartbeat_events_max)

    def _check_fits(self, count: int) -> None:
        if count > self.batch_events_max:
            raise TooLarge(f"{count} events at once, at most {self.batch_events_max}")

    def accept_clock(self) -> None:
        """Count steps of the wall clock from here on: somebody vouched for it."""
        self._wall, self._steady, self._step_seen = self._clock.now_ns(), self._clock.monotonic_ns(), 0
        self._step = 0

    def _take(self) -> list[Request]:
        taken: list[Request] = []
        with self._queue_lock:
            events = 0
            while self._queue and (not taken or events + len(self._queue[0].rows) <= self.batch_events_max):
                request = self._queue.popleft()
                taken.append(request)
                events += len(request.rows)
            self._queued -= events
        return taken

    def _plan(self, requests: list[Request], recorded_at: int) -> Planned:
        """Who gets in, and where: from here on the next batch links behind this one."""
        self._check_running()
        if self._allowed[0] is not self._authority:
            self._allowed = self._authority, set()
        allowed = self._allowed[1]
        admission = Admission(
            self._known(), self._authority, first_seq=self._tip.size, recorded_at=recorded_at, allowed=allowed
        )
        verdicts = [admission.admit(request.rows, atomic=request.atomic) for request in requests]
        plan = link(self._tip, admission.rows, self._stream_head, recorded_at)
        seqs = self._authority_seqs
        planned = Planned(
            requests, verdicts, admission.rows, plan, admission.counters, self._authority, seqs, admission.sources
        )
        self._take_place(planned)
        return planned

    def _take_place(self, planned: Planned) -> None:
        """What the next batch builds on. If this one is never committed, the writer stops, and it never mattered.

        Raises ClockWrong for ids that were made while the clock was ahead: the submitters' own were judged one by one.
        """
        highest = max(map(_key, planned.rows), default=b"")[:16]
        if int.from_bytes(highest[:6]) > (planned.plan.tip.recorded_at + AHEAD_NS_MAX) // 1_000_000:
            self._allowed[1].clear()  # what this batch opened is not open
            raise ClockWrong("the clock was set back since these events got their ids: submit them again")
        self._tip, self._authority, self._authority_seqs = planned.plan.tip, planned.authority, planned.authority_seqs
        self._highest_id = max(self._highest_id, highest)
        self._remember(planned.plan.streams)
        self._counters.update(planned.counters)
        for principal, source in planned.sources:
            self._sources_of(principal).add(source)

    def _known(self) -> "KnownLog":
        locked = self._locked.size  # read once: the commit under way may end at any moment
        pending = Pending(self._pending, locked) if self._tip.size > locked else None
        return KnownLog(self, self._store, self._reader, self._keys, pending)

    def _commit_planned(self, planned: Planned) -> None:
        self._check_running()
        plan, first = planned.plan, planned.plan.before.size
        if planned.rows:
            self._commit(planned, None)
        read = merkle.reader_after(plan.before.frontier, plan.rows)
        placed = [
            Placed(seq, row.key[:16], digest, False, entry, row.salted)
            for seq, (row, digest, entry) in enumerate(zip(planned.rows, plan.hashes, plan.entries, strict=True), first)
        ]
        for request, judged in zip(planned.requests, planned.verdicts, strict=True):
            if isinstance(judged, range):
                outcomes: list[Placed | LedgerError] = [*placed[judged.start : judged.stop]]
            else:
                outcomes = [
                    placed[verdict] if isinstance(verdict, int) else self._outcome(verdict) for verdict in judged
                ]
            request.answer.set_result(Appended(outcomes, self._locked, read, first))

    def _outcome(self, verdict: Duplicate | LedgerError) -> Placed | LedgerError:
        if isinstance(verdict, LedgerError):
            return verdict
        event = self._reader.event(verdict.seq)
        digest = hashing.entry_hash(event.raw)
        return Placed(verdict.seq, event.claim.id, digest, True, event.raw, event.salt or b"")

    def _commit(self, planned: Planned, touch: Callable[[Batch], None] | None) -> None:
        """Steps 1 to 3, and publish. Any error stops the writer."""
        try:
            if planned.plan.before.size != self._locked.size:
                raise InvariantBroken("a commit that does not follow on the locked head")
            batch, root = self._store.batch(), planned.plan.tip.frontier.root()
            self._fill(batch, planned, root)
            batch.put("heads", layout.seq_key(self._locked.size), self._locked.note.encode())
            if is_due(planned.authority, self._locked.size, planned.plan.tip.size, self._streams_count):
                batch.put("meta", layout.ACCOUNTED_KEY, self._account(planned))
            if touch is not None:
                touch(batch)
            self._store.write(batch, durable=True)
            locked = sign_head(self._keys, planned.authority, planned.plan.tip.size, root)
            self._lock.advance(self._locked, locked)
            self._locked = locked
            for listener in self._listeners:
                listener(locked)
        except LedgerError as error:
            self._stopped = WriterStopped(f"the writer has stopped: {error}")
            raise self._stopped from error
        except BaseException as error:  # an interrupt too leaves unknown what is stored and locked
            self._stopped = WriterStopped(f"the writer has stopped: {error!r}")
            raise

    def _account(self, planned: Planned) -> bytes:
        """What the log key states of the locked head. The rows are still those of its size: this batch is not written yet."""
        positions = read_positions(self._store)
        self._streams_count = positions.streams_count
        return sign_accounted(self._keys, planned.authority, self._locked, planned.authority_seqs, positions)

    @staticmethod
    def _fill(batch: Batch, planned: Planned, root: bytes) -> None:
        """All rows of one commit (docs/format.md, section 11)."""
        plan, first = planned.plan, planned.plan.before.size
        batch.put_many("entries", layout.entry_rows(first, plan.entries))
        batch.put_many("payloads", layout.payload_rows(first, plan.payloads))
        batch.put_many("ids", sorted([(row.key, seq.to_bytes(8)) for seq, row in enumerate(planned.rows, first)]))
        made = merkle.made_for_tiles(plan.before.frontier, plan.rows)
        batch.put_many("nodes", [(layout.node_key(*node), value) for node, value in made.items()])
        batch.put_many("streams", [(name.encode(), codec.encode(head)) for name, head in plan.streams.items()])
        batch.put_many("authors", [(key, codec.encode(counter)) for key, counter in planned.counters.items()])
        if planned.sources:
            batch.put_many("sources", sorted((layout.source_key(*pair), b"") for pair in planned.sources))
        tip = layout.TipRecord(planned.authority.origin, plan.tip.size, root, plan.tip.prev, plan.tip.recorded_at)
        batch.put("meta", layout.TIP_KEY, codec.encode(tip))
        batch.put("meta", layout.AUTHORITY_KEY, codec.encode(planned.authority_seqs))

    def _remember(self, streams: dict[str, StreamHead]) -> None:
        if len(self._streams) + len(streams) > STREAMS_CACHED:
            self._streams.clear()
        self._streams.update(streams)

    def sources_of(self, principal: str) -> Collection[str]:
        """The sources that a principal spoke as without being their author, as of the newest linked entry."""
        return self._sources_of(principal)

    def _sources_of(self, principal: str) -> set[str]:
        if principal not in self._sources:
            if len(self._sources) >= PRINCIPALS_CACHED:
                self._sources.clear()
            first, end = layout.source_key(principal, ""), principal.encode() + b"\x01"
            rows = self._store.scan("sources", first, end)
            self._sources[principal] = {key[len(first) :].decode() for key, _ in rows}
        return self._sources[principal]

    def author_counter(self, key_id: bytes) -> AuthorCounter | None:
        """The counter of an author key as of the newest linked entry."""
        counter = self._counters.get(key_id)
        if counter is None and (stored := self._store.get("authors", key_id)) is not None:
            counter = self._counters[key_id] = layout.decode_head(stored)
        return counter

    @property
    def highest_id(self) -> bytes:
        """The greatest id that any event ever had."""
        return self._highest_id

    @property
    def inherited_id(self) -> bytes:
        """The greatest id when this process started: rows above it are its own."""
        return self._inherited_id

    def stream_next(self, stream: str) -> int:
        """The next stream_seq behind the newest linked entry."""
        head = self._stream_head(stream)
        return head[0] if head else 0

    def _stream_head(self, stream: str) -> StreamHead | None:
        head = self._streams.get(stream)
        if head is None and (stored := self._store.get("streams", stream.encode())) is not None:
            head = self._streams[stream] = layout.decode_head(stored)
        return head

    def stream_heads(self) -> dict[str, StreamHead]:
        """All stream heads as of the newest entry."""
        return {name.decode(): layout.decode_head(value) for name, value in self._store.scan("streams")}

    def own_counter(self, row: Prepared) -> dict[bytes, AuthorCounter]:
        """Return the counter of an own entry's signer after it. Raises Refused if the claim does not follow the signer's last."""
        if row.attestation != "author":
            return {}
        claim, before = decode_claim(row.claim), self.author_counter(row.key_id)
        digest = hashing.claim_hash(row.claim)
        return {row.key_id: counter_after(before, claim.author_seq, claim.author_prev, digest)}

    def clock_error(self) -> ClockWrong | None:
        """Why appends wait for the clock, if they do."""
        try:
            self._check_clock(self._clock.now_ns(), NO_VOUCH)
        except ClockWrong as error:
            return error
        return None

    def _check_clock(self, wall: int, vouch: Vouch) -> int:
        """Return how far the wall clock was set since it was vouched for. Raise ClockWrong where it lies before the last entry, or
        further after it, or further from the steady clock, than policy lets pass (docs/format.md, section 6)."""
        last, limits = self._tip.recorded_at, self._limits
        step = (wall - self._wall) - (self._clock.monotonic_ns() - self._steady)
        if wall < last - CLOCK_STEP_NS_MAX:
            raise ClockWrong(
                f"the clock is {(last - wall) / 1e9:.3f} s before the last entry's recorded_at: appends wait until it has passed"
            )
        if (wrong := pace.stepped(limits, vouch, last, wall)) is not None:
            raise ClockWrong(f"{wrong} (dna clock)")
        if vouch == NO_VOUCH and step > limits.pause_ns:
            raise ClockWrong(
                f"the wall clock stepped by {step / 1e9:+.3f} s since start: appends wait for a signed ledger.clock (dna clock)"
            )
        return step

    @property
    def _limits(self) -> Limits:
        """The maxima of the policy in force."""
        policy = self._authority.policy
        if self._limits_of[0] is not policy:
            self._limits_of = policy, Limits.of(policy)
        return self._limits_of[1]

    def _check_running(self) -> None:
        if self._stopped is not None:
            raise self._stopped

    def stop(self, reason: str) -> None:
        """Take no more; those who wait are told."""
        with self.turn():
            self._stopped = self._stopped or Unavailable(reason)
            self._refuse(self._take_all(), self._stopped)

    def _take_all(self) -> Iterable[Request]:
        with self._queue_lock:
            requests, self._queued = list(self._queue), 0
            self._queue.clear()
        return requests


def sign_head(keys: Keyring, authority: Authority, size: int, root: bytes) -> Locked:
    """The head of a size, signed by every log key that must. Raises Unavailable where one is missing."""
    checkpoint = Checkpoint(authority.origin, size, root)
    note = sign_checkpoint(checkpoint, [keys.get(public, "log") for public in authority.log_keys_at(size)])
    return Locked(authority.origin, size, root, note.decode())


class Pending:
    """The batch that is being committed while the next one is linked: not in the store yet, but placed."""

    def __init__(self, rows: list[Prepared], first: int) -> None:
        self.rows, self.first = rows, first

    @cached_property
    def seqs(self) -> dict[bytes, int]:
        """By key (id ‖ source)."""
        return {row.key: seq for seq, row in enumerate(self.rows, self.first)}

    @cached_property
    def ids(self) -> set[bytes]:
        """All its ids."""
        return {row.key[:16] for row in self.rows}


class KnownLog:
    """What admission asks, answered from the store and the batch on its way there."""

    def __init__(self, writer: Writer, store: Store, reader: LogReader, keys: Keyring, pending: Pending | None) -> None:
        self._writer, self._store, self._reader, self._keys, self._pending = writer, store, reader, keys, pending
        self._highest_id = writer.highest_id
        self.stream_next = writer.stream_next
        self.author_counter = writer.author_counter
        self.sources_of = writer.sources_of

    def find(self, key: bytes) -> int | None:
        """An id above all that ever were is new without a look: ids are time-ordered, so most are."""
        if key[:16] > self._highest_id:
            return None
        if self._pending is not None and key in self._pending.seqs:
            return self._pending.seqs[key]
        found = self._store.get("ids", key)
        return None if found is None else int.from_bytes(found)

    def has_id(self, event_id: bytes) -> bool:
        """By a look at the first source that used it. A row from before this process is proved at its entry."""
        if self._pending is not None and event_id in self._pending.ids:
            return True
        if event_id > self._writer.inherited_id:
            return self._reader.has_id(event_id)
        return self._reader.proves_id(event_id)

    def check_same(self, row: Prepared, seq: int) -> None:
        """Compare with what stands there; where its payload was erased, by the tag that was kept."""
        if not self._is_same(row, seq):
            raise IdConflict(f"id {id_text(row.id)} of {row.source} stands at seq {seq} with other content")

    def _is_same(self, row: Prepared, seq: int) -> bool:
        if self._pending is not None and seq >= self._pending.first:
            return says_the_same(row, self._pending.rows[seq - self._pending.first])
        event = self._reader.event(seq)
        if (event.claim.id, event.claim.source) != (row.id, row.source):
            raise InvariantBroken(
                f"the row of id {id_text(row.id)} names entry {seq}, which has id {id_text(event.claim.id)}: verify the ledger"
            )
        if row.attestation == "author":
            return row.claim == event.entry.claim
        if event.payload is not None:
            return same_content(row, event.claim, event.payload)
        stored = self._reader.stored_payload(seq)
        content = retry_content(decode_claim(row.claim), row.salted[SALT_BYTES:])
        return isinstance(stored, tuple) and stored[0] == hashing.retry_tag(self._keys.retry, content)

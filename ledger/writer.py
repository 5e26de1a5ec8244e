"""The one writer: whatever queued during the last commit is the next batch, and no answer comes before durability.

A commit (docs/format.md, section 11), with what is lost if the process dies at each point:

    link the batch            nothing happened
 1  one synced write          the tail is not visible; at the next start it is checked, signed and locked; nobody was told
 2  sign the head             the same bytes are signed again (Ed25519 is deterministic)
 3  compare-and-set the lock  visible; a retry by id gets its receipt
 4  answer

An error in 1–3 stops the writer for good: what is stored is then for the next start to find out. The writer never
retries, and never signs a second head of one size.
"""

import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future

import msgspec

from decision_dna.ledger import hashing, layout, merkle
from decision_dna.ledger.admission import Accepted, Admission, Duplicate, Verdict
from decision_dna.ledger.authority import AuthorCounter, Authority
from decision_dna.ledger.clock import Clock
from decision_dna.ledger.keyring import Keyring
from decision_dna.ledger.lock import HeadLock, Locked
from decision_dna.ledger.notes import Checkpoint, sign_checkpoint
from decision_dna.ledger.plan import SALT_BYTES, Plan, Prepared, Tip, link, retry_content, same_content
from decision_dna.ledger.reader import LogReader
from decision_dna.ledger.store import Batch, Store
from decision_dna.ledger.streams import StreamHead
from decision_dna.schemas import codec
from decision_dna.schemas.claims import BATCH_EVENTS_MAX, decode_claim
from decision_dna.schemas.errors import Busy, IdConflict, LedgerError, Refused, TooLarge, Unavailable

QUEUE_EVENTS_MAX = 50_000
CLOCK_STEP_NS_MAX = 10**9
STREAMS_CACHED = 200_000


class Placed(msgspec.Struct, frozen=True, gc=False):
    """Where an event stands. `duplicate`: it stood there before."""

    seq: int
    id: bytes
    hash: bytes
    duplicate: bool


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


class Writer:
    """Appends to one log. Thread-safe; made by `ledger.opening`, which knows that the tail is whole."""

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
    ) -> None:
        self._store, self._lock, self._reader, self._keys, self._clock = store, lock, reader, keys, clock
        self._tip, self._authority, self._authority_seqs = tip, authority, authority_seqs
        self._locked = lock.read()
        self._streams: dict[str, StreamHead] = {}
        self._highest_id = (store.last("ids", b"\xff" * 81) or (b"",))[0][:16]
        self._queue: deque[Request] = deque()
        self._queued = 0
        self._queue_lock = threading.Lock()
        self._turn = threading.RLock()
        self._stopped: LedgerError | None = None
        self._wall, self._steady = clock.now_ns(), clock.monotonic_ns()
        self._clock_step = 0
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
        if len(rows) > BATCH_EVENTS_MAX:
            raise TooLarge(f"{len(rows)} events at once, at most {BATCH_EVENTS_MAX}")
        self._check_running()
        request = Request(rows, atomic, Future())
        with self._queue_lock:
            if self._queued + len(rows) > QUEUE_EVENTS_MAX:
                raise Busy(f"{self._queued} events wait already: try again in a moment")
            self._queue.append(request)
            self._queued += len(rows)
        return request.answer

    def commit_queued(self) -> None:
        """Commit what is queued, as one batch. Does nothing where another thread just did."""
        with self._turn:
            requests = self._take()
            if not requests:
                return
            try:
                self._commit_requests(requests)
            except LedgerError as error:
                for request in requests:
                    if not request.answer.done():
                        request.answer.set_exception(error)

    def append_own(
        self, row: Prepared, *, authority: Authority | None = None, touch: Callable[[Batch], None] | None = None
    ) -> Appended:
        """Append one entry of the ledger's own as a commit of its own: after it, `authority` holds. `touch` adds to its write.

        The caller holds `turn()` and has checked that it may stand there.
        """
        with self._turn:
            self._check_running()
            plan = link(self._tip, [row], self._stream_head, self._recorded_at(may_step=True))
            counters = self._own_counter(row)
            seqs = [*self._authority_seqs, plan.before.size] if authority is not None else self._authority_seqs
            self._commit(plan, [row], counters, authority or self._authority, seqs, touch)
            placed = Placed(plan.before.size, row.id, plan.hashes[0], False)
            return Appended(
                [placed], self._locked, merkle.reader_after(plan.before.frontier, plan.rows), plan.before.size
            )

    def turn(self) -> threading.RLock:
        """Held while something is read that the next commit depends on."""
        return self._turn

    def clock_step(self) -> int:
        """The step of the wall clock that stopped appends, in ns; 0 where there was none."""
        return self._clock_step

    def accept_clock(self) -> None:
        """From here on the wall clock counts again."""
        self._clock_step = 0
        self._wall, self._steady = self._clock.now_ns(), self._clock.monotonic_ns()

    def _take(self) -> list[Request]:
        taken: list[Request] = []
        with self._queue_lock:
            events = 0
            while self._queue and (not taken or events + len(self._queue[0].rows) <= BATCH_EVENTS_MAX):
                request = self._queue.popleft()
                taken.append(request)
                events += len(request.rows)
            self._queued -= events
        return taken

    def _commit_requests(self, requests: list[Request]) -> None:
        self._check_running()
        recorded_at = self._recorded_at()
        known = KnownLog(self._store, self._reader, self._keys, self._highest_id, self._stream_head)
        admission = Admission(known, self._authority, first_seq=self._tip.size, recorded_at=recorded_at)
        verdicts = [admission.admit(request.rows, atomic=request.atomic) for request in requests]
        plan = link(self._tip, admission.rows, self._stream_head, recorded_at)
        if admission.rows:
            self._commit(plan, admission.rows, admission.counters, self._authority, self._authority_seqs, None)
        read = merkle.reader_after(plan.before.frontier, plan.rows)
        for request, judged in zip(requests, verdicts, strict=True):
            outcomes = [self._outcome(verdict, plan, admission.rows) for verdict in judged]
            request.answer.set_result(Appended(outcomes, self._locked, read, plan.before.size))

    def _outcome(self, verdict: Verdict, plan: Plan, rows: list[Prepared]) -> Placed | LedgerError:
        if isinstance(verdict, Accepted):
            return Placed(plan.before.size + verdict.at, rows[verdict.at].id, plan.hashes[verdict.at], False)
        if isinstance(verdict, Duplicate):
            raw = self._reader.raw(verdict.seq)
            event = self._reader.event(verdict.seq)
            return Placed(verdict.seq, event.claim.id, hashing.entry_hash(raw), True)
        return verdict

    def _commit(
        self,
        plan: Plan,
        rows: list[Prepared],
        counters: dict[bytes, AuthorCounter],
        authority: Authority,
        authority_seqs: list[int],
        touch: Callable[[Batch], None] | None,
    ) -> None:
        """Steps 1 to 3, and publish. Any error stops the writer."""
        batch, first = self._store.batch(), plan.before.size
        batch.put_many("entries", layout.entry_rows(first, plan.entries))
        batch.put_many("payloads", layout.payload_rows(first, plan.payloads))
        ids = sorted([(row.id + row.source.encode(), seq.to_bytes(8)) for seq, row in enumerate(rows, first)])
        batch.put_many("ids", ids)
        made = merkle.made_for_tiles(plan.before.frontier, plan.rows)
        batch.put_many("nodes", [(layout.node_key(*node), value) for node, value in made.items()])
        batch.put_many("streams", [(name.encode(), codec.encode(head)) for name, head in plan.streams.items()])
        batch.put_many("authors", [(key, codec.encode(counter)) for key, counter in counters.items()])
        root = plan.tip.frontier.root()
        tip = layout.TipRecord(authority.origin, plan.tip.size, root, plan.tip.prev, plan.tip.recorded_at)
        batch.put("meta", layout.TIP_KEY, codec.encode(tip))
        if authority_seqs is not self._authority_seqs:
            batch.put("meta", layout.AUTHORITY_KEY, codec.encode(authority_seqs))
        batch.put("heads", layout.seq_key(self._locked.size), self._locked.note.encode())
        if touch is not None:
            touch(batch)
        try:
            self._store.write(batch, durable=True)
            locked = sign_head(self._keys, authority, plan.tip.size, root)
            self._lock.advance(self._locked, locked)
        except LedgerError as error:
            self._stopped = Unavailable(f"the writer has stopped: {error}")
            raise self._stopped from error
        self._tip, self._authority, self._authority_seqs = plan.tip, authority, authority_seqs
        self._highest_id = max(self._highest_id, ids[-1][0][:16])
        self._remember(plan.streams)
        self._locked = locked
        for listener in self._listeners:
            listener(locked)

    def _remember(self, streams: dict[str, StreamHead]) -> None:
        if len(self._streams) + len(streams) > STREAMS_CACHED:
            self._streams.clear()
        self._streams.update(streams)

    def _stream_head(self, stream: str) -> StreamHead | None:
        head = self._streams.get(stream)
        if head is None and (stored := self._store.get("streams", stream.encode())) is not None:
            head = self._streams[stream] = layout.decode_head(stored)
        return head

    def stream_heads(self) -> dict[str, StreamHead]:
        """All stream heads as of the newest entry."""
        return {name.decode(): layout.decode_head(value) for name, value in self._store.scan("streams")}

    def _own_counter(self, row: Prepared) -> dict[bytes, AuthorCounter]:
        """The root key (and keys that sign their own rotation) keep no counter, and that is noted too."""
        return {row.key_id: (0, hashing.ZEROS)} if row.attestation == "author" else {}

    def _recorded_at(self, *, may_step: bool = False) -> int:
        """Now; never before the last. A step of the wall clock against the steady one stops appends until it is accepted."""
        wall, steady = self._clock.now_ns(), self._clock.monotonic_ns()
        self._clock_step += (wall - self._wall) - (steady - self._steady)
        self._wall, self._steady = wall, steady
        if abs(self._clock_step) <= CLOCK_STEP_NS_MAX:
            self._clock_step = 0
        elif not may_step:
            raise Refused(
                f"the wall clock stepped by {self._clock_step / 1e9:+.3f} s: appends wait for a signed ledger.clock (dna clock)"
            )
        return max(wall, self._tip.recorded_at)

    def _check_running(self) -> None:
        if self._stopped is not None:
            raise self._stopped

    def stop(self, reason: str) -> None:
        """Take no more; those who wait are told."""
        with self._turn:
            self._stopped = self._stopped or Unavailable(reason)
            for request in self._take_all():
                request.answer.set_exception(self._stopped)

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


class KnownLog:
    """What admission asks, answered from the store."""

    def __init__(
        self,
        store: Store,
        reader: LogReader,
        keys: Keyring,
        highest_id: bytes,
        stream_head: Callable[[str], StreamHead | None],
    ) -> None:
        self._store, self._reader, self._keys = store, reader, keys
        self._highest_id, self._stream_head = highest_id, stream_head

    def find(self, event_id: bytes, source: str) -> int | None:
        """An id above all that ever were is new without a look: ids are time-ordered, so most are."""
        if event_id > self._highest_id:
            return None
        found = self._store.get("ids", layout.id_key(event_id, source))
        return None if found is None else int.from_bytes(found)

    def has_id(self, event_id: bytes) -> bool:
        """By a look at the first source that used it."""
        return self._reader.seq_of_id(event_id) is not None

    def check_same(self, row: Prepared, seq: int) -> None:
        """Compare with what stands there; where its payload was erased, by the tag that was kept."""
        event = self._reader.event(seq)
        if row.attestation == "author" or event.payload is not None:
            same = (
                row.claim == event.entry.claim
                if row.attestation == "author"
                else same_content(row, event.claim, event.payload or b"")
            )
        else:
            same = self._same_as_erased(row, seq)
        if not same:
            raise IdConflict(f"id {row.id.hex()} of {row.source} stands at seq {seq} with other content")

    def _same_as_erased(self, row: Prepared, seq: int) -> bool:
        stored = self._reader.stored_payload(seq)
        content = retry_content(decode_claim(row.claim), row.salted[SALT_BYTES:])
        return isinstance(stored, tuple) and stored[0] == hashing.retry_tag(self._keys.retry, content)

    def stream_next(self, stream: str) -> int:
        """Zero where it has none."""
        head = self._stream_head(stream)
        return head[0] if head else 0

    def author_counter(self, key_id: bytes) -> AuthorCounter | None:
        """As stored."""
        stored = self._store.get("authors", key_id)
        return None if stored is None else layout.decode_head(stored)

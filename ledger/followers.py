"""Followers: whatever is folded from the log and can be rebuilt from it, kept up to date by one thread for each ledger.

A follower folds events in their order and saves what changed together with its *cursor*, the seq up to which its saved
rows go, in one write of the store. Such writes are not synced: after a loss of power the last of them may be missing,
but never a cursor without its rows, or the other way round. What was lost is folded again.

    views    "follower/" ‖ name     array [version, cursor, H_entry of the entry before the cursor (zeros at 0)]

A cursor that does not fit (of another version, past the visible log, or with the hash of another history, as after a
restore) means: drop the follower's rows, and start at 0.

Reading and decoding costs more than most folds, so it is done once, in *stretches* of at most `STRETCH_EVENTS` that
never cross a multiple of it, and every follower folds the same stretch: few enough to be still in the processor's cache.

A follower that raises stops alone: `failures` names it and the event, nothing of that stretch is saved for it, and the
others go on. The next process tries it again from its cursor: its code may be newer. An error of the store, or an entry
that is not one, stops all of them (`failed`).
"""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from itertools import islice
from typing import Protocol, TypeVar

import msgspec

from decision_dna.ledger import hashing, layout
from decision_dna.ledger.plan import SALT_BYTES
from decision_dna.ledger.reader import LogReader
from decision_dna.ledger.store import Batch, Store
from decision_dna.schemas import codec
from decision_dna.schemas.claims import Hash, Natural, decode_entry
from decision_dna.schemas.errors import FoldFailed, InvariantBroken, LedgerError, Malformed, StoreFailed, Unavailable
from decision_dna.schemas.payloads import is_open
from decision_dna.schemas.texts import id_text

STRETCH_EVENTS = 512
CLEARED_ROWS = 10_000
_CURSORS = b"follower/"
REBUILD_KEY = b"rebuild"
"""In `views`: a rebuild is under way, or was interrupted (`ledger.rebuilding`)."""


class EntryFacts(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The first eight fields of an entry. Decoded without the checks of `decode_entry`: the log is verified elsewhere."""

    version: int
    seq: int
    prev: bytes
    stream: str
    stream_seq: int
    stream_prev: bytes
    recorded_at: int
    claim: bytes


class ClaimFacts(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The first ten fields of a claim, decoded likewise."""

    version: int
    origin: str
    id: bytes
    type: str
    schema: int
    source: str
    subject: str
    occurred_at: int
    causes: tuple[bytes, ...]
    trace: str


_decode_entry = msgspec.msgpack.Decoder(EntryFacts).decode
_decode_claim = msgspec.msgpack.Decoder(ClaimFacts).decode


PayloadReader = Callable[[int, int], Sequence[bytes | tuple[bytes] | None]]
"""What is stored for the payloads of [start, end): salt ‖ payload bytes, where there is one."""


class Stretch:
    """Consecutive events from `first` on: three lists of one length, and the payloads when they are asked for."""

    def __init__(
        self,
        first: int,
        raws: list[bytes],
        entries: list[EntryFacts],
        claims: list[ClaimFacts],
        read_payloads: PayloadReader,
    ) -> None:
        self.first, self.raws, self.entries, self.claims = first, raws, entries, claims
        self._read_payloads = read_payloads

    @property
    def end(self) -> int:
        """One past its last seq."""
        return self.first + len(self.raws)

    def between(self, start: int, end: int) -> "Stretch":
        """What of it lies in [start, end)."""
        if start <= self.first and end >= self.end:
            return self
        first = max(start, self.first)
        part = slice(first - self.first, max(end, first) - self.first)
        return Stretch(first, self.raws[part], self.entries[part], self.claims[part], self._read_payloads)

    def joined(self, more: "Stretch") -> "Stretch":
        """This and the one that follows on it."""
        return Stretch(
            self.first,
            self.raws + more.raws,
            self.entries + more.entries,
            self.claims + more.claims,
            more._read_payloads,
        )

    def payload(self, at: int) -> bytes | None:
        """The payload bytes of the event at `first` + `at`; None where it was erased. The first call reads those of all."""
        if is_open(self.claims[at].type):
            return decode_entry(self.raws[at]).open
        stored = self._payloads[at]
        return stored[SALT_BYTES:] if isinstance(stored, bytes) else None

    @cached_property
    def _payloads(self) -> Sequence[bytes | tuple[bytes] | None]:
        return self._read_payloads(self.first, self.end)


def stretch_of(first: int, raws: list[bytes], read_payloads: PayloadReader) -> Stretch:
    """The events of these entries. Raises Malformed."""
    try:
        entries = [_decode_entry(raw) for raw in raws]
        claims = [_decode_claim(entry.claim) for entry in entries]
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise Malformed(f"an entry of [{first}, {first + len(raws)}) is not one: {error}") from None
    return Stretch(first, raws, entries, claims, read_payloads)


def read_stretch(store: Store, start: int, end: int) -> Stretch:
    """The events [start, end), which must be in the store. Raises Malformed, InvariantBroken, StoreFailed."""
    raws = _read(store, "entries", start, end, layout.split_entries) if start < end else []
    return stretch_of(start, raws, lambda first, last: _read(store, "payloads", first, last, layout.split_payloads))


def stretches(store: Store, start: int, end: int) -> Iterator[Stretch]:
    """[start, end), one aligned stretch after the other."""
    while start < end:
        cut = min(end, start - start % STRETCH_EVENTS + STRETCH_EVENTS)
        yield read_stretch(store, start, cut)
        start = cut


T = TypeVar("T")


def _read(store: Store, family: str, start: int, end: int, split: Callable[[bytes], list[T]]) -> list[T]:
    """What runs hold for [start, end). Most stretches begin where a run does: that is tried first."""
    key = layout.seq_key(start)
    if store.get(family, key) is None:
        key = (store.last(family, key) or (key,))[0]
    skip, found = start - int.from_bytes(key), list[T]()
    for at, run in store.scan(family, key, layout.seq_key(end)):
        if int.from_bytes(at) != start - skip + len(found):
            break
        found += split(run)
    if len(found) < skip + end - start:
        raise InvariantBroken(f"{family} [{start}, {end}) are not in the store without a gap")
    return found[skip : skip + end - start]


# --- followers -----------------------------------------------------------------------------------------------------


class Follower(Protocol):
    """What is folded from the log. Driven by one thread; its rows lie below `rows`, and nobody else's do."""

    @property
    def name(self) -> str:
        """Unique in a ledger."""
        ...

    @property
    def version(self) -> int:
        """Raised whenever the same log gives other rows."""
        ...

    @property
    def rows(self) -> tuple[str, bytes]:
        """Family and key prefix of its rows."""
        ...

    def load(self, store: Store, cursor: int) -> None:
        """Take up the state whose rows were saved with this cursor; with 0, the empty state."""
        ...

    def fold(self, stretch: Stretch, batch: Batch) -> int:
        """Fold the events that follow on those folded before; put changed rows. Returns the seq up to which the rows now go,
        which may lie before the stretch's end (then what is after it is folded again after a restart). After it raised it is
        not called again."""
        ...


STORE_ERRORS = (StoreFailed, Unavailable)
"""What no follower is to blame for: they stop all."""


def fold_failed(name: str, stretch: Stretch, at: int, error: Exception) -> FoldFailed:
    """Return the failure of a fold at `first` + `at`; a failure that has its place already stays as it is."""
    if isinstance(error, FoldFailed):
        return error
    seq, event_id = stretch.first + at, id_text(stretch.claims[at].id)
    message = f"{name} cannot be folded past seq {seq} (event {event_id}): {type(error).__name__}"
    return FoldFailed(message, name=name, seq=seq, event_id=event_id, detail=f"{message}: {error}")


class Cursor(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """A follower's saved place: its rows are those of the entries with seq < `seq`."""

    version: Natural
    seq: Natural
    hash: Hash


START = bytes(32)
_cursors = msgspec.msgpack.Decoder(Cursor)


def cursor_key(name: str) -> bytes:
    """Where in `views` a follower's cursor lies."""
    return _CURSORS + name.encode()


def read_cursor(store: Store, name: str) -> Cursor | None:
    """As saved; None where there is none or it can't be read, for then there is nothing to go on from."""
    stored = store.get("views", cursor_key(name))
    try:
        return None if stored is None else codec.decode_as(_cursors, stored)
    except Malformed:
        return None


def fits(cursor: Cursor, version: int, reader: LogReader) -> bool:
    """Whether a cursor is of this version and of this log, as far as it is visible."""
    if cursor.version != version or cursor.seq > reader.size:
        return False
    return cursor.hash == (hashing.entry_hash(reader.raw(cursor.seq - 1)) if cursor.seq else START)


class Followers:
    """One thread that drives all followers of a ledger. Close it before the ledger.

        followers = Followers(store, reader, [IndexFollower(), …])
        writer.on_commit(followers.wake)
        followers.start()

    `wait` is how it waits for more: by default until `wake` is called, so nothing polls beside a writer; a process that is
    told nothing injects a wait of its own, which returns when it is worth looking again.
    """

    def __init__(
        self,
        store: Store,
        reader: LogReader,
        followers: Sequence[Follower],
        *,
        wait: Callable[[], None] | None = None,
    ) -> None:
        self._store, self._reader, self._followers = store, reader, list(followers)
        self._wait = wait or self._wait_for_wake
        self._changed = threading.Condition()
        self._positions: dict[str, int] = {}
        self._saved: dict[str, int] = {}
        self._stopping = False
        self._failures: dict[str, FoldFailed] = {}
        self._failed: LedgerError | None = None
        self._thread: threading.Thread | None = None

    @property
    def positions(self) -> Mapping[str, int]:
        """For each follower, the next seq it folds."""
        return dict(self._positions)

    @property
    def lag(self) -> int:
        """How many visible events the slowest has yet to fold; one that has failed counts on."""
        return self._reader.size - min(self._positions.values(), default=self._reader.size)

    @property
    def failed(self) -> LedgerError | None:
        """Why the thread ended by itself, if so."""
        return self._failed

    @property
    def failures(self) -> Mapping[str, FoldFailed]:
        """The followers that have failed, by name."""
        return dict(self._failures)

    def load(self) -> None:
        """Take up every follower where its cursor is; those whose cursor does not fit begin anew."""
        for follower in self._followers:
            cursor = read_cursor(self._store, follower.name)
            if cursor is None or not fits(cursor, follower.version, self._reader):
                clear(self._store, follower)
                cursor = Cursor(follower.version, 0, START)
            self._positions[follower.name] = self._saved[follower.name] = cursor.seq
            try:
                follower.load(self._store, cursor.seq)
            except STORE_ERRORS:
                raise
            except Exception as error:  # noqa: BLE001  # whatever a follower raises is reported under its name
                message = f"{follower.name} cannot be taken up at seq {cursor.seq}: {type(error).__name__}"
                self._stop(
                    follower, FoldFailed(message, name=follower.name, seq=cursor.seq, detail=f"{message}: {error}")
                )

    def step(self) -> bool:
        """Fold one stretch into all that have not seen it and have not failed, and save. False where there is nothing to fold."""
        size = self._reader.size
        start = min(self._folded(), size)
        if start >= size:
            return False
        stretch = read_stretch(self._store, start, min(size, start - start % STRETCH_EVENTS + STRETCH_EVENTS))
        for follower in self._followers:
            unseen = stretch.between(self._positions[follower.name], stretch.end)
            if unseen.raws and follower.name not in self._failures:
                self._fold(follower, unseen)
        with self._changed:
            ahead = {name: max(at, stretch.end) for name, at in self._positions.items() if name not in self._failures}
            self._positions.update(ahead)
            self._changed.notify_all()
        return True

    def _fold(self, follower: Follower, unseen: Stretch) -> None:
        batch = self._store.batch()  # its own: what a follower put before it failed is in nobody's write
        try:
            saved = follower.fold(unseen, batch)
        except STORE_ERRORS:
            raise
        except Exception as error:  # noqa: BLE001  # whatever a follower raises is reported under its name
            self._stop(follower, fold_failed(follower.name, unseen, 0, error))
            return
        if saved == self._saved[follower.name]:
            return
        last = hashing.entry_hash(unseen.raws[saved - 1 - unseen.first])
        batch.put("views", cursor_key(follower.name), codec.encode(Cursor(follower.version, saved, last)))
        # Lost with the power, it is folded again from the cursor that was there before: rows and cursor go together.
        self._store.write(batch, durable=False)
        self._saved[follower.name] = saved

    def _stop(self, follower: Follower, failure: FoldFailed) -> None:
        with self._changed:
            self._failures[follower.name] = failure
            self._positions[follower.name] = failure.seq
            self._changed.notify_all()

    def catch_up(self) -> None:
        """Fold all that is visible, in this thread; for use without `start`."""
        if not self._positions:
            self.load()
        while self.step():
            pass

    def start(self) -> None:
        """Load, and follow in a thread until `close`."""
        self.load()
        self._thread = threading.Thread(target=self._follow, name="followers", daemon=True)
        self._thread.start()

    def wake(self, _head: object = None) -> None:
        """There is more to fold: for `Writer.on_commit`."""
        with self._changed:
            self._changed.notify_all()

    def wait_until(self, seq: int, timeout_seconds: float) -> None:
        """Return once everything before `seq` is folded. Raises Unavailable after the timeout, what made the thread end, or,
        once the others are there, why a follower failed."""
        with self._changed:
            done = self._changed.wait_for(lambda: self._ended() or self._folded() >= seq, timeout_seconds)
        if self._failed is not None:
            raise self._failed
        for failure in self.failures.values():
            raise failure
        if not done or self._folded() < seq:
            raise Unavailable(f"the followers are at {self._folded()}, not at {seq}")

    def close(self) -> None:
        """Stop after the stretch in hand; a second call does nothing."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join()

    def _folded(self) -> int:
        """Where the slowest is that has not failed; without any nothing waits to be folded."""
        live = [at for name, at in self._positions.items() if name not in self._failures]
        return min(live, default=self._reader.size)

    def _ended(self) -> bool:
        return self._stopping or self._failed is not None

    def _follow(self) -> None:
        try:
            while not self._stopping:
                if not self.step():
                    self._wait()
        except LedgerError as error:
            self._end(error)
        except Exception as error:  # noqa: BLE001  # a bug of ours must be told too, not end a thread in silence
            self._end(InvariantBroken(f"the followers' thread has failed: {error!r}"))

    def _end(self, error: LedgerError) -> None:
        with self._changed:
            self._failed = error
            self._changed.notify_all()

    def _wait_for_wake(self) -> None:
        with self._changed:
            # The size is read under the lock that `wake` takes, so a commit between `step` and here is not missed.
            self._changed.wait_for(lambda: self._stopping or self._folded() < self._reader.size)


def clear(store: Store, follower: Follower) -> None:
    """Remove a follower's cursor, then its rows: what is left half removed is without a cursor, and removed again."""
    batch = store.batch()
    batch.delete("views", cursor_key(follower.name))
    store.write(batch, durable=False)
    family, prefix = follower.rows
    start = prefix
    while keys := [key for key, _ in islice(store.scan(family, start, after_prefix(prefix)), CLEARED_ROWS)]:
        batch = store.batch()
        for key in keys:
            batch.delete(family, key)
        store.write(batch, durable=False)
        # Not from the beginning again: a store on disk steps over what was deleted, for minutes at ten million events.
        start = keys[-1]


def after_prefix(prefix: bytes) -> bytes | None:
    """The end of the keys that begin with a prefix that has no FF; None, all keys, for the empty one."""
    return prefix[:-1] + bytes([prefix[-1] + 1]) if prefix else None

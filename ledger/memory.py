"""The store and the lock in memory: for tests and simulation, with the promises of the real ones and faults on demand.

Faults are data, decided from outside; there is no clock and no chance in here. What a write leaves behind when its
process or its machine dies is modelled by two states: `live`, what readers see, and `durable`, what the last durable
write made safe, with the writes since then in order behind it:

    store.write(a, durable=True)
    store.write(b, durable=False)
    store.write(c, durable=False)
    store.kill()      holds a, b, c     the process died: the kernel has every write
    store.crash(1)    holds a, b        power was lost: of the later writes the first ones may be kept, without a hole
"""

import threading
from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Iterator, Sequence
from types import TracebackType
from typing import Literal, Self, TypeVar, cast

import msgspec

from decision_dna.ledger.lock import Locked
from decision_dna.ledger.store import FAMILIES, Batch
from decision_dna.schemas.errors import Conflict, HeadMoved, InvariantBroken, StoreFailed, Unavailable

T = TypeVar("T")

Change = tuple[str, bytes, bytes | None]
"""Family, key, and the new value: None removes the key."""


class Faults(msgspec.Struct, frozen=True):
    """Which write fails, and what becomes of it.

    `write` counts the store's writes from 1; 0 fails none. `stored` says where the failed write is found:
    `never`; `later`, by who opens the store again, but not before (its bytes reached the disk, the error came after);
    `now`, at once.
    """

    write: int = 0
    stored: Literal["never", "later", "now"] = "never"


class MemoryBatch:
    """Changes in their order, for `MemoryStore.write`."""

    def __init__(self) -> None:
        self.changes: list[Change] = []
        self.used = False

    def put(self, family: str, key: bytes, value: bytes) -> None:
        """Set a key."""
        self.put_many(family, [(key, value)])

    def put_many(self, family: str, pairs: Sequence[tuple[bytes, bytes]]) -> None:
        """Set many keys."""
        self._extend(family, pairs)

    def delete(self, family: str, key: bytes) -> None:
        """Remove a key; nothing happens where there is none."""
        self._extend(family, [(key, None)])

    def _extend(self, family: str, pairs: Sequence[tuple[bytes, bytes | None]]) -> None:
        if family not in FAMILIES:
            raise InvariantBroken(f"there is no family {family!r}")
        if self.used:
            raise InvariantBroken("a batch is written once")
        self.changes.extend((family, key, value) for key, value in pairs)


class _State:
    """The families: a dict each, and beside it its keys in order."""

    def __init__(self) -> None:
        self.values: dict[str, dict[bytes, bytes]] = {family: {} for family in FAMILIES}
        self.keys: dict[str, list[bytes]] = {family: [] for family in FAMILIES}

    def apply(self, changes: Sequence[Change]) -> None:
        for family, key, value in changes:
            values, keys = self.values[family], self.keys[family]
            if value is None:
                if values.pop(key, None) is not None:
                    del keys[bisect_left(keys, key)]
            else:
                if key not in values:
                    insort(keys, key)
                values[key] = value

    def copy(self) -> "_State":
        twin = _State()
        twin.values = {family: dict(values) for family, values in self.values.items()}
        twin.keys = {family: list(keys) for family, keys in self.keys.items()}
        return twin


class MemoryStore:
    """A `Store` in memory. Safe to read from any thread, also while one thread writes.

    `faults` may be replaced at any time; `writes` counts the writes tried so far, failed ones included; `checkpoints`
    holds the copies made, by path.
    """

    def __init__(self, faults: Faults | None = None) -> None:
        self.faults = faults or Faults()
        self.writes = 0
        self.checkpoints: dict[str, MemoryStore] = {}
        self._live = _State()
        self._durable = _State()
        self._unsynced: list[list[Change]] = []  # writes after the last durable one, oldest first
        self._closed = False
        self._failed = False
        self._written_by: MemoryStore | None = None
        self._lock = threading.Lock()

    # --- what the tests decide -------------------------------------------------------------------------------------

    def kill(self) -> "MemoryStore":
        """The store that the next process finds after the death of this one: all that was written."""
        return self.crash(keep=len(self._unsynced))

    def crash(self, keep: int = 0) -> "MemoryStore":
        """The store as found after a loss of power: all up to the last durable write, and the first `keep` after it.

        This one is left as it is, so that one run can be continued from each of its crashes.
        """
        with self._lock:
            state = self._durable.copy()
            for changes in self._unsynced[:keep]:
                state.apply(changes)
        return _holding(state)

    def beside(self) -> "MemoryStore":
        """A reader as from another process: it sees what was written up to its opening, or to its last `refresh`."""
        reader = MemoryStore()
        reader._written_by = self
        reader.refresh()
        return reader

    # --- the promises of ledger.store ------------------------------------------------------------------------------

    def batch(self) -> MemoryBatch:
        """A new, empty batch."""
        return MemoryBatch()

    def write(self, batch: Batch, *, durable: bool) -> None:
        """All of the batch, or none of it. Raises StoreFailed where the faults say so, and from then on Unavailable."""
        batch = cast(MemoryBatch, batch)
        with self._lock:
            self._check_writable()
            if batch.used:
                raise InvariantBroken("a batch is written once")
            batch.used = True
            self.writes += 1
            if self.writes == self.faults.write:
                self._fail(batch.changes)
            self._live.apply(batch.changes)
            self._unsynced.append(batch.changes)
            if durable:
                for changes in self._unsynced:
                    self._durable.apply(changes)
                self._unsynced = []

    def _fail(self, changes: list[Change]) -> None:
        self._failed = True
        if self.faults.stored == "now":
            self._live.apply(changes)
        if self.faults.stored != "never":
            self._unsynced.append(changes)
        raise StoreFailed(f"write {self.writes} failed, as the faults demand")

    def _check_writable(self) -> None:
        if self._closed or self._written_by:
            raise Unavailable("the store is closed" if self._closed else "the store is open for reading only")
        if self._failed:
            raise Unavailable("the store takes no more writes: an earlier one failed")

    def get(self, family: str, key: bytes) -> bytes | None:
        """The value, or None."""
        return self._read(lambda state: state.values[family].get(key))

    def get_many(self, family: str, keys: Sequence[bytes]) -> list[bytes | None]:
        """The values of the keys in their order, None where there is none."""
        return self._read(lambda state: [state.values[family].get(key) for key in keys])

    def scan(
        self, family: str, start: bytes = b"", end: bytes | None = None, *, reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        """Pairs with start <= key < end as they are at the call, ascending, or descending with `reverse`."""

        def pairs(state: _State) -> list[tuple[bytes, bytes]]:
            keys, values = state.keys[family], state.values[family]
            stop = len(keys) if end is None else bisect_left(keys, end)
            return [(key, values[key]) for key in keys[bisect_left(keys, start) : stop]]

        found = self._read(pairs)
        return self._until_closed(reversed(found) if reverse else iter(found))

    def _until_closed(self, pairs: Iterator[tuple[bytes, bytes]]) -> Iterator[tuple[bytes, bytes]]:
        for pair in pairs:
            if self._closed:
                raise Unavailable("the store is closed")
            yield pair

    def last(self, family: str, at_most: bytes) -> tuple[bytes, bytes] | None:
        """The pair with the greatest key <= `at_most`, or None."""

        def pair(state: _State) -> tuple[bytes, bytes] | None:
            keys = state.keys[family]
            place = bisect_right(keys, at_most)
            return (keys[place - 1], state.values[family][keys[place - 1]]) if place else None

        return self._read(pair)

    def compact(self, family: str, start: bytes | None = None, end: bytes | None = None) -> None:
        """Nothing stays of what was deleted or overwritten, so there is nothing to rewrite."""
        del start, end
        self._read(lambda state: state.keys[family])

    def count(self, family: str) -> int:
        """How many keys there are."""
        return self._read(lambda state: len(state.keys[family]))

    def checkpoint(self, path: str) -> None:
        """A consistent copy of the whole store, in `checkpoints` by its path. Raises Conflict where there is one."""
        if path in self.checkpoints:
            raise Conflict(f"{path} exists already")
        self.checkpoints[path] = _holding(self._read(_State.copy))

    def refresh(self) -> None:
        """A reader beside a writer: see what it has written since. Otherwise nothing happens."""
        if self._closed:
            raise Unavailable("the store is closed")
        if self._written_by:
            with self._written_by._lock:  # also where the writer is closed: what it wrote is still there
                self._live = self._written_by._live.copy()

    def size_bytes(self) -> int:
        """The bytes of all keys and values."""
        return self._read(
            lambda state: sum(
                len(key) + len(value) for values in state.values.values() for key, value in values.items()
            )
        )

    def close(self) -> None:
        """Reads and writes raise Unavailable from now on; a second call does nothing."""
        self._closed = True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _read(self, question: Callable[[_State], T]) -> T:
        with self._lock:
            if self._closed:
                raise Unavailable("the store is closed")
            try:
                return question(self._live)
            except KeyError as missing:
                raise InvariantBroken(f"there is no family {missing}") from None


def _holding(state: _State) -> MemoryStore:
    """A new store without faults, all of whose contents are durable. The state is given up to it."""
    store = MemoryStore()
    store._live = state
    store._durable = state.copy()
    return store


class MemoryLock:
    """A `HeadLock` in memory, for simulation. `faults` counts advances as `MemoryStore` counts writes."""

    def __init__(self, head: Locked, faults: Faults | None = None) -> None:
        self.faults = faults or Faults()
        self.advances = 0
        self._head = head
        self._found_later = head
        self._failed = False
        self._closed = False
        self._mutex = threading.Lock()

    def restart(self) -> "MemoryLock":
        """The lock as the next process finds it, after the death of this one or a loss of power."""
        return MemoryLock(self._found_later)

    def read(self) -> Locked:
        """The head that stands. Raises Unavailable once closed."""
        if self._closed:
            raise Unavailable("the lock is closed")
        return self._head

    def advance(self, expected: Locked, new: Locked) -> None:
        """Put `new` in the place of `expected`. Raises as `HeadLock.advance` says; StoreFailed as the faults demand."""
        with self._mutex:
            if self._closed or self._failed:
                raise Unavailable("the lock is closed, or an earlier advance failed")
            if expected != self._head:
                raise HeadMoved(f"the lock does not stand at size {expected.size} as expected")
            self.advances += 1
            self._failed = self.advances == self.faults.write
            if not self._failed or self.faults.stored == "now":
                self._head = new
            if not self._failed or self.faults.stored != "never":
                self._found_later = new
            if self._failed:
                raise StoreFailed(f"advance {self.advances} failed, as the faults demand")

    def close(self) -> None:
        """Reads and advances raise Unavailable from now on; a second call does nothing."""
        self._closed = True

"""The seam to storage, stated as promises. Two adapters keep them: `ledger.rocks` (RocksDB) and `ledger.memory`
(for tests and simulation, with faults on demand); one contract suite (tests/ledger/test_store_contract.py) holds both to them.

A store is a set of named families, each an ordered map from bytes to bytes.
"""

from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Protocol, Self

LOG_FAMILIES = ("meta", "entries", "payloads", "nodes", "heads", "ids", "streams", "authors", "sources")
VIEW_FAMILIES = ("index", "views")
FAMILIES = LOG_FAMILIES + VIEW_FAMILIES


class Batch(Protocol):
    """Changes that become visible together or not at all. Later changes of one key win. Used once."""

    def put(self, family: str, key: bytes, value: bytes) -> None:
        """Set a key."""
        ...

    def put_many(self, family: str, pairs: Sequence[tuple[bytes, bytes]]) -> None:
        """Set many keys; cheapest where the pairs are sorted by key."""
        ...

    def delete(self, family: str, key: bytes) -> None:
        """Remove a key; nothing happens where there is none."""
        ...


class Store(Protocol):
    """Ordered families with atomic writes. Safe to read from any thread, also while one thread writes."""

    def batch(self) -> Batch:
        """A new, empty batch for this store."""
        ...

    def write(self, batch: Batch, *, durable: bool) -> None:
        """All of the batch, or none of it. With `durable`, it survives the loss of power once this returns; without, it survives the death of the process, and
        is never kept while an earlier write is lost.

        Raises StoreFailed; whether the batch is stored is then unknown until the store is opened again, and it takes no more
        writes (Unavailable). InvariantBroken for a batch that was written before.
        """
        ...

    def get(self, family: str, key: bytes) -> bytes | None:
        """The value, or None."""
        ...

    def get_many(self, family: str, keys: Sequence[bytes]) -> list[bytes | None]:
        """The values of the keys in their order, None where there is none."""
        ...

    def scan(
        self, family: str, start: bytes = b"", end: bytes | None = None, *, reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        """Pairs with start <= key < end, ascending, or descending with `reverse`. Sees at least what was written before the call."""
        ...

    def last(self, family: str, at_most: bytes) -> tuple[bytes, bytes] | None:
        """The pair with the greatest key <= `at_most`, or None."""
        ...

    def count(self, family: str) -> int:
        """How many keys there are, by walking over all of them."""
        ...

    def compact(self, family: str, start: bytes | None = None, end: bytes | None = None) -> None:
        """Rewrite the files under a range, so that what was deleted or overwritten there is gone from them."""
        ...

    def checkpoint(self, path: str) -> None:
        """A consistent copy of the whole store in a new folder `path`."""
        ...

    def refresh(self) -> None:
        """Readers beside a writing process: see what it has written since. Nothing happens in the writing process itself."""
        ...

    def size_bytes(self) -> int:
        """Bytes on disk (or held), about."""
        ...

    def close(self) -> None:
        """Release everything; a second call does nothing."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

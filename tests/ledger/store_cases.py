"""What the store suites share: the two adapters in one shape, and a model of what a store holds."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from decision_dna.ledger.memory import MemoryStore
from decision_dna.ledger.rocks import RocksStore
from decision_dna.ledger.store import FAMILIES, Store

Contents = dict[str, dict[bytes, bytes]]


class MemoryPlace:
    """Where a memory store lives."""

    def __init__(self, folder: Path) -> None:
        self.store: Store = MemoryStore()

    def reopen(self) -> Store:
        """Close, and open again."""
        assert isinstance(self.store, MemoryStore)
        self.store.close()
        self.store = self.store.kill()
        return self.store

    def beside(self) -> Store:
        """A reader beside the store."""
        assert isinstance(self.store, MemoryStore)
        return self.store.beside()

    def copy(self, path: str) -> Store:
        """The checkpoint made at `path`."""
        assert isinstance(self.store, MemoryStore)
        return self.store.checkpoints[path]


class RocksPlace:
    """Where a store on disk lives."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store: Store = RocksStore.open(str(folder / "store"), create=True)

    def reopen(self) -> Store:
        """Close, and open again."""
        self.store.close()
        self.store = RocksStore.open(str(self.folder / "store"), create=False)
        return self.store

    def beside(self) -> Store:
        """A reader beside the store."""
        return RocksStore.open_beside(str(self.folder / "store"), str(self.folder / "scratch"))

    def copy(self, path: str) -> Store:
        """The checkpoint made at `path`."""
        return RocksStore.open_read_only(path)


class SlowRocksPlace(RocksPlace):
    """The same, as where every read takes long: many at a time are asked for side by side."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.slowed()

    def reopen(self) -> Store:
        """Close, and open again."""
        super().reopen()
        return self.slowed()

    def slowed(self) -> Store:
        """The store; no read is quick enough for it."""
        assert isinstance(self.store, RocksStore)
        self.store.slow_read_seconds = -1.0
        return self.store


PLACES = {"memory": MemoryPlace, "rocks": RocksPlace, "rocks on a slow disk": SlowRocksPlace}


def put(store: Store, family: str, pairs: Mapping[bytes, bytes], *, durable: bool = False) -> None:
    """One write of these pairs."""
    batch = store.batch()
    batch.put_many(family, list(pairs.items()))
    store.write(batch, durable=durable)


def keys(store: Store, family: str, start: bytes = b"", end: bytes | None = None) -> list[bytes]:
    """The keys of a range."""
    return [key for key, _ in store.scan(family, start, end)]


def contents(store: Store) -> Contents:
    """Everything that a store holds."""
    return {family: dict(store.scan(family)) for family in FAMILIES}


def numbered(number: int, size: int = 100) -> Sequence[tuple[str, bytes, bytes]]:
    """The changes of the write of that number: over four families, each value telling the number."""
    key, value = number.to_bytes(8, "big"), number.to_bytes(8, "big") * (size // 8)
    return [("entries", key, value), ("ids", key[::-1], key), ("index", b"n" + key, key), ("meta", b"tip", key)]


def write_numbered(store: Store, number: int, *, durable: bool, size: int = 100) -> None:
    """Write `numbered(number)` as one batch."""
    batch = store.batch()
    for family, key, value in numbered(number, size):
        batch.put(family, key, value)
    store.write(batch, durable=durable)


def check_numbered(store: Store) -> int:
    """Assert that the store holds the writes 0, 1, … without a gap, each as a whole and nothing else; how many."""
    tip = store.get("meta", b"tip")
    count = 0 if tip is None else int.from_bytes(tip, "big") + 1
    expected = [number.to_bytes(8, "big") for number in range(count)]
    assert keys(store, "entries") == expected
    assert all(value == key * (len(value) // 8) for key, value in store.scan("entries"))
    assert {key[::-1]: value for key, value in store.scan("ids")} == dict(zip(expected, expected, strict=True))
    assert [(key[1:], value) for key, value in store.scan("index")] == list(zip(expected, expected, strict=True))
    return count

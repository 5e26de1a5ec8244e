"""Every promise of ledger/store.py, for every adapter; then what each adapter promises beyond them."""

import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from random import Random

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from decision_dna.ledger.memory import Faults, MemoryStore
from decision_dna.ledger.rocks import RocksStore
from decision_dna.ledger.store import FAMILIES, Store
from decision_dna.schemas.errors import CannotOpen, Conflict, InvariantBroken, StoreFailed, Unavailable
from tests.ledger.store_cases import (
    PLACES,
    Contents,
    MemoryPlace,
    RocksPlace,
    check_numbered,
    contents,
    keys,
    put,
    write_numbered,
)

Place = MemoryPlace | RocksPlace

LETTERS = {bytes([letter]): bytes([letter]) * 3 for letter in b"bdfh"}


@pytest.fixture(params=PLACES)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    place = PLACES[request.param](tmp_path)
    yield place
    place.store.close()


@pytest.fixture
def store(place: Place) -> Store:
    return place.store


# --- batches and writes --------------------------------------------------------------------------------------------


def test_later_changes_of_one_key_win(store: Store) -> None:
    batch = store.batch()
    batch.put("meta", b"put twice", b"1")
    batch.put("meta", b"put twice", b"2")
    batch.put("meta", b"put, deleted", b"1")
    batch.delete("meta", b"put, deleted")
    batch.delete("meta", b"deleted, put")
    batch.put_many("meta", [(b"deleted, put", b"1")])
    store.write(batch, durable=True)
    assert dict(store.scan("meta")) == {b"put twice": b"2", b"deleted, put": b"1"}


def test_nothing_of_a_batch_is_there_before_it_is_written(store: Store) -> None:
    batch = store.batch()
    batch.put("meta", b"k", b"v")
    assert store.get("meta", b"k") is None
    store.write(batch, durable=False)
    assert store.get("meta", b"k") == b"v"


def test_a_batch_is_used_once(store: Store) -> None:
    batch = store.batch()
    store.write(batch, durable=False)
    with pytest.raises(InvariantBroken):
        store.write(batch, durable=False)
    with pytest.raises(InvariantBroken):
        batch.put("meta", b"k", b"v")
    put(store, "meta", {b"k": b"v"})
    assert store.get("meta", b"k") == b"v"


def test_deleting_what_is_not_there_does_nothing(store: Store) -> None:
    put(store, "meta", {b"k": b"v"})
    batch = store.batch()
    batch.delete("meta", b"other")
    store.write(batch, durable=False)
    assert dict(store.scan("meta")) == {b"k": b"v"}


def test_families_are_apart(store: Store) -> None:
    for family in FAMILIES:
        put(store, family, {b"k": family.encode()})
    assert contents(store) == {family: {b"k": family.encode()} for family in FAMILIES}


def test_readers_see_a_batch_as_a_whole(store: Store) -> None:
    rows = [number.to_bytes(2, "big") for number in range(50)]
    put(store, "index", dict.fromkeys(rows, b"0"))
    done, torn = threading.Event(), []

    def read() -> None:
        while not done.is_set():
            values = {value for _, value in store.scan("index")}
            torn.extend([values] if len(values) != 1 else [])

    reader = threading.Thread(target=read)
    reader.start()
    for number in range(1, 200):
        put(store, "index", dict.fromkeys(rows, str(number).encode()), durable=number % 50 == 0)
    done.set()
    reader.join()
    assert torn == []


# --- reading -------------------------------------------------------------------------------------------------------


def test_get_and_get_many(store: Store) -> None:
    put(store, "ids", {b"a": b"1", b"b": b"", b"": b"empty key"})
    assert [store.get("ids", key) for key in (b"a", b"b", b"c", b"")] == [b"1", b"", None, b"empty key"]
    assert store.get_many("ids", [b"c", b"b", b"a", b"a", b""]) == [None, b"", b"1", b"1", b"empty key"]
    assert store.get_many("ids", []) == []


def test_get_many_gives_hundreds_in_their_order(store: Store) -> None:
    rows = {number.to_bytes(2): str(number).encode() for number in range(0, 600, 2)}
    put(store, "ids", rows)
    for count in (7, 8, 9, 16, 17, 500):
        wanted = [(number * 7 % 600).to_bytes(2) for number in range(count)]
        assert store.get_many("ids", wanted) == [rows.get(key) for key in wanted]


@pytest.mark.parametrize(
    ("start", "end", "found"),
    [
        (b"", None, b"bdfh"),
        (b"d", None, b"dfh"),
        (b"c", None, b"dfh"),
        (b"d\x00", None, b"fh"),
        (b"i", None, b""),
        (b"", b"d", b"b"),
        (b"", b"d\x00", b"bd"),
        (b"b", b"h", b"bdf"),
        (b"c", b"g", b"df"),
        (b"d", b"d", b""),
        (b"f", b"d", b""),
        (b"", b"", b""),
        (b"", b"\xff\xff", b"bdfh"),
        (b"\xff", b"\xff\xff", b""),
    ],
)
def test_scan(store: Store, start: bytes, end: bytes | None, found: bytes) -> None:
    put(store, "index", LETTERS)
    put(store, "heads", {b"c": b"of another family"})
    pairs = [(bytes([letter]), bytes([letter]) * 3) for letter in found]
    assert list(store.scan("index", start, end)) == pairs
    assert list(store.scan("index", start, end, reverse=True)) == pairs[::-1]


@pytest.mark.parametrize(
    ("at_most", "found"), [(b"", None), (b"a", None), (b"b", b"b"), (b"c", b"b"), (b"h", b"h"), (b"\xff", b"h")]
)
def test_last(store: Store, at_most: bytes, found: bytes | None) -> None:
    assert store.last("index", at_most) is None
    put(store, "index", LETTERS)
    assert store.last("index", at_most) == (None if found is None else (found, found * 3))


def test_count(store: Store) -> None:
    assert store.count("index") == 0
    put(store, "index", LETTERS)
    put(store, "heads", {b"c": b"of another family"})
    batch = store.batch()
    batch.delete("index", b"d")
    batch.put("index", b"b", b"again")
    store.write(batch, durable=False)
    assert (store.count("index"), store.count("heads")) == (len(LETTERS) - 1, 1)


def test_a_scan_sees_what_was_written_before_it_and_is_not_disturbed_by_what_comes_after(store: Store) -> None:
    put(store, "index", LETTERS)
    scan = store.scan("index")
    assert next(scan) == (b"b", b"bbb")
    batch = store.batch()
    batch.delete("index", b"d")
    batch.put("index", b"f", b"new")
    store.write(batch, durable=False)
    assert set(LETTERS.items()) == {(b"b", b"bbb"), *scan}
    assert dict(store.scan("index")) == {b"b": b"bbb", b"f": b"new", b"h": b"hhh"}


# --- keeping -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("durable", [True, False])
def test_opened_again_it_holds_the_same(place: Place, durable: bool) -> None:
    for number in range(20):
        write_numbered(place.store, number, durable=durable)
    assert check_numbered(place.reopen()) == 20
    write_numbered(place.store, 20, durable=durable)
    assert check_numbered(place.reopen()) == 21


def test_compacting_changes_nothing_that_is_read(store: Store) -> None:
    put(store, "index", LETTERS)
    batch = store.batch()
    batch.delete("index", b"d")
    batch.put("index", b"f", b"new")
    store.write(batch, durable=True)
    before = contents(store)
    store.compact("index", b"c", b"g")
    store.compact("index")
    assert contents(store) == before


def test_a_checkpoint_is_a_copy_on_its_own(place: Place, tmp_path: Path) -> None:
    put(place.store, "index", LETTERS)
    before = contents(place.store)
    place.store.checkpoint(str(tmp_path / "copy"))
    put(place.store, "index", {b"z": b"later"})
    with place.copy(str(tmp_path / "copy")) as copy:
        assert contents(copy) == before
    with pytest.raises(Conflict):
        place.store.checkpoint(str(tmp_path / "copy"))


def test_a_reader_beside_sees_whole_batches_up_to_its_last_refresh(place: Place) -> None:
    write_numbered(place.store, 0, durable=True)
    with place.beside() as reader:
        assert check_numbered(reader) == 1
        for number in range(1, 30):
            write_numbered(place.store, number, durable=number % 3 == 0)
            assert check_numbered(reader) == number
            reader.refresh()
            assert check_numbered(reader) == number + 1


def test_a_reader_beside_writes_nothing(place: Place) -> None:
    with place.beside() as reader, pytest.raises(Unavailable):
        write_numbered(reader, 0, durable=False)
    assert check_numbered(place.store) == 0


def test_a_reader_beside_follows_flushes_and_compactions(place: Place) -> None:
    with place.beside() as reader:
        for number in range(12):
            write_numbered(place.store, number, durable=True, size=20_000)
            place.store.compact("entries")
            reader.refresh()
            assert check_numbered(reader) == number + 1


def test_refresh_in_the_writer_does_nothing(store: Store) -> None:
    put(store, "index", LETTERS)
    store.refresh()
    assert dict(store.scan("index")) == LETTERS


def test_its_size_grows_with_what_it_holds(store: Store) -> None:
    before = store.size_bytes()
    put(store, "entries", {number.to_bytes(8, "big"): bytes(10_000) for number in range(50)}, durable=True)
    assert store.size_bytes() - before >= 500_000


# --- errors and the end --------------------------------------------------------------------------------------------

CALLS: dict[str, Callable[[Store], object]] = {
    "write": lambda store: store.write(store.batch(), durable=False),
    "get": lambda store: store.get("meta", b"k"),
    "get_many": lambda store: store.get_many("meta", [b"k"]),
    "scan": lambda store: list(store.scan("meta")),
    "last": lambda store: store.last("meta", b"k"),
    "compact": lambda store: store.compact("meta"),
    "checkpoint": lambda store: store.checkpoint("nowhere"),
}


@pytest.mark.parametrize("call", CALLS)
def test_closed_it_is_unavailable(store: Store, call: str) -> None:
    store.close()
    store.close()
    with pytest.raises(Unavailable):
        CALLS[call](store)


@pytest.mark.parametrize("reverse", [False, True])
def test_closing_ends_scans_with_an_error_and_not_as_if_they_were_complete(place: Place, reverse: bool) -> None:
    put(place.store, "index", LETTERS)
    scan, batch = place.store.scan("index", reverse=reverse), place.store.batch()
    next(scan)
    assert dict(place.reopen().scan("index")) == LETTERS  # nothing that is left over keeps the folder locked
    with pytest.raises(Unavailable):
        next(scan)
    del batch


@pytest.mark.parametrize("call", ["put", "put_many", "delete", "get", "get_many", "scan", "last"])
def test_a_family_that_there_is_not_is_our_own_fault(store: Store, call: str) -> None:
    batch, family = store.batch(), "nothing"
    with pytest.raises(InvariantBroken):
        {
            "put": lambda: batch.put(family, b"k", b"v"),
            "put_many": lambda: batch.put_many(family, [(b"k", b"v")]),
            "delete": lambda: batch.delete(family, b"k"),
            "get": lambda: store.get(family, b"k"),
            "get_many": lambda: store.get_many(family, [b"k"]),
            "scan": lambda: list(store.scan(family)),
            "last": lambda: store.last(family, b"k"),
        }[call]()


# --- against a model -----------------------------------------------------------------------------------------------

KEYS = st.binary(max_size=3) | st.sampled_from([b"", b"\x00", b"\xff", b"\xff\xff", b"k"])
VALUES = st.binary(max_size=20)
SOME_FAMILIES = st.sampled_from(["meta", "ids", "entries", "index"])
CHANGES = st.lists(st.tuples(SOME_FAMILIES, KEYS, st.none() | VALUES), max_size=12)


class StoreMachine(RuleBasedStateMachine):
    """A store beside plain dicts: whatever is done to both, they hold the same."""

    place_type: type[MemoryPlace] | type[RocksPlace]

    @initialize()
    def start(self) -> None:
        self.folder = Path(tempfile.mkdtemp())
        self.place = self.place_type(self.folder)
        self.model: Contents = {family: {} for family in FAMILIES}
        self.copies = 0

    @rule(changes=CHANGES, durable=st.booleans())
    def write(self, changes: list[tuple[str, bytes, bytes | None]], durable: bool) -> None:
        batch = self.place.store.batch()
        for family, key, value in changes:
            if value is None:
                batch.delete(family, key)
                self.model[family].pop(key, None)
            else:
                batch.put(family, key, value)
                self.model[family][key] = value
        self.place.store.write(batch, durable=durable)

    @rule(family=SOME_FAMILIES, start=KEYS, end=st.none() | KEYS, reverse=st.booleans())
    def scan(self, family: str, start: bytes, end: bytes | None, reverse: bool) -> None:
        pairs = sorted(self.model[family].items(), reverse=reverse)
        expected = [(key, value) for key, value in pairs if start <= key and (end is None or key < end)]
        assert list(self.place.store.scan(family, start, end, reverse=reverse)) == expected

    @rule(family=SOME_FAMILIES, wanted=st.lists(KEYS, max_size=6))
    def read(self, family: str, wanted: list[bytes]) -> None:
        assert self.place.store.get_many(family, wanted) == [self.model[family].get(key) for key in wanted]

    @rule(family=SOME_FAMILIES, at_most=KEYS)
    def last(self, family: str, at_most: bytes) -> None:
        before = [pair for pair in self.model[family].items() if pair[0] <= at_most]
        assert self.place.store.last(family, at_most) == max(before, default=None)

    @rule(family=SOME_FAMILIES, start=st.none() | KEYS, end=st.none() | KEYS)
    def compact(self, family: str, start: bytes | None, end: bytes | None) -> None:
        self.place.store.compact(family, start, end)

    @rule()
    def reopen(self) -> None:
        self.place.reopen()

    @rule()
    def checkpoint(self) -> None:
        self.copies += 1
        path = str(self.folder / f"copy-{self.copies}")
        self.place.store.checkpoint(path)
        with self.place.copy(path) as copy:
            assert contents(copy) == self.model

    @rule()
    def read_beside(self) -> None:
        with self.place.beside() as reader:
            assert contents(reader) == self.model

    @invariant()
    def holds_the_same(self) -> None:
        if hasattr(self, "place"):
            assert contents(self.place.store) == self.model

    def teardown(self) -> None:
        if hasattr(self, "place"):
            self.place.store.close()
            shutil.rmtree(self.folder)


QUICK = settings(
    max_examples=20, stateful_step_count=25, deadline=None, suppress_health_check=[HealthCheck.too_slow], database=None
)


class _MemoryMachine(StoreMachine):
    place_type = MemoryPlace


class _RocksMachine(StoreMachine):
    place_type = RocksPlace


TestMemoryAgainstDicts = _MemoryMachine.TestCase
TestMemoryAgainstDicts.settings = settings(QUICK, max_examples=100)
TestRocksAgainstDicts = _RocksMachine.TestCase
TestRocksAgainstDicts.settings = QUICK


# --- memory: what is left after a death ----------------------------------------------------------------------------


def test_memory_keeps_a_prefix_of_what_was_not_durable() -> None:
    store = MemoryStore()
    for number in range(6):
        write_numbered(store, number, durable=number == 2)
    assert check_numbered(store.kill()) == 6
    assert [check_numbered(store.crash(keep)) for keep in (0, 1, 2, 3, 9)] == [3, 4, 5, 6, 6]
    assert check_numbered(store) == 6


def test_memory_holds_as_durable_what_a_new_process_finds() -> None:
    store = MemoryStore()
    write_numbered(store, 0, durable=False)
    assert check_numbered(store.kill().crash()) == 1


@pytest.mark.parametrize(
    ("stored", "seen_at_once", "after_kill", "after_power_loss"),
    [("never", 2, 2, [2, 2]), ("later", 2, 3, [2, 3]), ("now", 3, 3, [2, 3])],
)
def test_memory_fails_the_write_that_the_faults_name(
    stored: str, seen_at_once: int, after_kill: int, after_power_loss: list[int]
) -> None:
    store = MemoryStore(Faults(write=3, stored=stored))  # type: ignore[arg-type]
    for number in range(2):
        write_numbered(store, number, durable=True)
    with pytest.raises(StoreFailed):
        write_numbered(store, 2, durable=True)
    with pytest.raises(Unavailable):
        write_numbered(store, 3, durable=True)
    assert check_numbered(store) == seen_at_once
    assert check_numbered(store.kill()) == after_kill
    assert [check_numbered(store.crash(keep)) for keep in (0, 1)] == after_power_loss


# --- rocks: opening ------------------------------------------------------------------------------------------------


def made(folder: Path, count: int = 10) -> Path:
    """A store of so many numbered writes whose WAL is not yet flushed into tables: a copy taken while it was open."""
    with RocksStore.open(str(folder / "first"), create=True) as store:
        for number in range(count):
            write_numbered(store, number, durable=True)
        shutil.copytree(folder / "first", folder / "store")
    return folder / "store"


def flushed(folder: Path) -> Path:
    """A store whose contents are all in tables."""
    with RocksStore.open(str(folder / "store"), create=True) as store:
        for number in range(10):
            write_numbered(store, number, durable=True, size=4000)
    return folder / "store"


def reason(open_it: Callable[[], object]) -> str:
    with pytest.raises(CannotOpen) as caught:
        open_it()
    return caught.value.reason


def newest_wal(place: Path) -> Path:
    return max(place.glob("*.log"), key=lambda file: file.stat().st_size)


def flip(file: Path, at: int) -> None:
    data = bytearray(file.read_bytes())
    data[at] ^= 0x10
    file.write_bytes(data)


def test_a_missing_store_is_made_only_if_asked_for(tmp_path: Path) -> None:
    path = str(tmp_path / "store")
    assert reason(lambda: RocksStore.open(path, create=False)) == "store-missing"
    assert reason(lambda: RocksStore.open_read_only(path)) == "store-missing"
    assert reason(lambda: RocksStore.open_beside(path, str(tmp_path / "scratch"))) == "store-missing"
    assert list(tmp_path.iterdir()) == []
    RocksStore.open(path, create=True).close()
    RocksStore.open(path, create=False).close()


def test_one_writer_at_a_time(tmp_path: Path) -> None:
    path = str(tmp_path / "store")
    with RocksStore.open(path, create=True):
        assert reason(lambda: RocksStore.open(path, create=False)) == "store-in-use"
    RocksStore.open(path, create=False).close()


@pytest.mark.parametrize("name", ["CURRENT", "MANIFEST-*"])
@pytest.mark.parametrize("where", ["in tables", "in the WAL"])
def test_a_store_without_its_manifest_is_not_taken_for_a_new_one(tmp_path: Path, name: str, where: str) -> None:
    path = flushed(tmp_path) if where == "in tables" else made(tmp_path)
    next(path.glob(name)).unlink()
    before = {file.name for file in path.iterdir() if not file.name.startswith("LOG")}
    for _ in range(2):
        assert reason(lambda: RocksStore.open(str(path), create=True)) in {"store-corrupt", "store-unreadable"}
        assert {file.name for file in path.iterdir() if not file.name.startswith("LOG")} == before


def test_a_missing_table_refuses_to_open(tmp_path: Path) -> None:
    path = flushed(tmp_path)
    next(path.glob("*.sst")).unlink()
    assert reason(lambda: RocksStore.open(str(path), create=False)) == "store-corrupt"


def test_a_damaged_table_is_an_error_of_reading_and_never_an_end(tmp_path: Path) -> None:
    path = flushed(tmp_path)
    flip(max(path.glob("*.sst"), key=lambda file: file.stat().st_size), 100)  # the first block of the entries
    with RocksStore.open(str(path), create=False) as store:
        with pytest.raises(StoreFailed):
            list(store.scan("entries"))
        with pytest.raises(StoreFailed):
            store.get("entries", bytes(8))
        with pytest.raises(StoreFailed):
            store.get_many("entries", [bytes(8)])
        with pytest.raises(StoreFailed):
            store.last("entries", bytes(8))
        assert len(keys(store, "ids")) == 10


def test_a_store_whose_side_by_side_reads_failed_closes_like_any_other(tmp_path: Path) -> None:
    """A read that still ran would keep it open, and its folder locked for ever."""
    path, chance = tmp_path / "store", Random(1)
    rows = {number.to_bytes(4): chance.randbytes(1000) for number in range(20_000)}
    with RocksStore.open(str(path), create=True) as store:
        put(store, "ids", rows)
        store.compact("ids")
    table = max(path.glob("*.sst"), key=lambda file: file.stat().st_size)
    for at in range(100_000, table.stat().st_size - 300_000, 200_000):
        flip(table, at)
    for _ in range(10):
        with RocksStore.open(str(path), create=False, cache_bytes=1 << 20) as store:
            store.slow_read_seconds = -1.0
            with pytest.raises(StoreFailed):
                store.get_many("ids", chance.sample(sorted(rows), 4000))


def test_a_torn_end_of_the_wal_is_dropped(tmp_path: Path) -> None:
    wal = newest_wal(made(tmp_path))
    with wal.open("rb+") as file:
        file.truncate(wal.stat().st_size - 20)
    with RocksStore.open(str(wal.parent), create=False) as store:
        assert check_numbered(store) == 9


@pytest.mark.parametrize("part", [0.0, 0.3, 0.6, 0.9])
def test_a_damaged_wal_leaves_a_prefix_and_no_hole(tmp_path: Path, part: float) -> None:
    wal = newest_wal(made(tmp_path))
    flip(wal, int(wal.stat().st_size * part))
    with RocksStore.open(str(wal.parent), create=False) as store:
        assert check_numbered(store) == int(10 * part)


def test_read_only_changes_nothing(tmp_path: Path) -> None:
    path = made(tmp_path)
    before = {file.name: file.read_bytes() for file in path.iterdir() if not file.name.startswith("LOG")}
    with RocksStore.open_read_only(str(path)) as store:
        assert check_numbered(store) == 10
        with pytest.raises(Unavailable):
            write_numbered(store, 10, durable=True)
        store.refresh()
    assert {file.name: file.read_bytes() for file in path.iterdir() if not file.name.startswith("LOG")} == before


def test_what_was_overwritten_and_deleted_is_gone_from_every_file_after_compacting(tmp_path: Path) -> None:
    deleted, overwritten = sha256(b"alice").digest() * 2, sha256(b"bob").digest() * 2
    with RocksStore.open(str(tmp_path / "store"), create=True) as store:
        put(store, "payloads", {b"1": deleted, b"2": overwritten, b"3": b"stays"}, durable=True)
        assert endings(found_in(tmp_path, deleted[:32])) == {".log"}
        store.compact("payloads")
        assert endings(found_in(tmp_path, deleted[:32])) == {".sst"}
        scan = store.scan("payloads")  # keeps old versions alive, so that the first rewriting has to leave them
        batch = store.batch()
        batch.delete("payloads", b"1")
        batch.put("payloads", b"2", b"erased")
        store.write(batch, durable=True)
        store.compact("payloads", b"1", b"3")
        assert found_in(tmp_path, deleted[:32])
        del scan
        write_numbered(store, 0, durable=True)  # other families, which need the WAL too
        store.compact("payloads", b"1", b"3")
        assert found_in(tmp_path, deleted[:32]) == found_in(tmp_path, overwritten[:32]) == []
        assert dict(store.scan("payloads")) == {b"2": b"erased", b"3": b"stays"}


def test_compacting_leaves_nothing_in_the_wal_that_other_families_still_need(tmp_path: Path) -> None:
    deleted = sha256(b"carol").digest()
    with RocksStore.open(str(tmp_path / "store"), create=True) as store:
        write_numbered(store, 0, durable=True)
        put(store, "payloads", {b"1": deleted}, durable=True)
        batch = store.batch()
        batch.delete("payloads", b"1")
        store.write(batch, durable=True)
        store.compact("payloads")
        assert found_in(tmp_path, deleted) == []
        assert check_numbered(store) == 1


def endings(files: list[Path]) -> set[str]:
    return {file.suffix for file in files}


def found_in(folder: Path, words: bytes) -> list[Path]:
    return [file for file in folder.rglob("*") if file.is_file() and words in file.read_bytes()]

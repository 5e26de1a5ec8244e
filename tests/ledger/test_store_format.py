"""The store's format version: a store of another version is refused by writers and readers; a store without one is version 1."""

from pathlib import Path

import pytest
import rocksdict

from decision_dna.ledger import layout
from decision_dna.ledger.folder import read_folder
from decision_dna.ledger.lock import Lock, Locked
from decision_dna.ledger.opening import lock_file, open_ledger
from decision_dna.ledger.rocks import RocksStore
from decision_dna.ledger.store import FAMILIES
from decision_dna.schemas import codec
from decision_dna.schemas.errors import CannotOpen
from tests.cli.calling import dna, is_one_sentence
from tests.ledger.samples import fill, new_ledger

OTHERS = {
    "newer": codec.encode(3),
    "older": codec.encode(1),
    "missing, as in older ones": None,
    "not a number": b"\xa11",
    "two numbers": b"\x01\x01",
    "empty": b"",
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    ledger, clock = new_ledger(tmp_path / "d")
    with ledger:
        fill(ledger, clock)
    return tmp_path / "d"


def put_format(path: Path, row: bytes | None) -> None:
    with RocksStore.open(str(path / "db"), create=False) as store:
        batch = store.batch()
        if row is None:
            batch.delete("meta", layout.FORMAT_KEY)
        else:
            batch.put("meta", layout.FORMAT_KEY, row)
        store.write(batch, durable=True)


def everything(path: Path, scratch: Path) -> tuple[Locked, dict[str, list[tuple[bytes, bytes]]]]:
    """The lock's head and every row."""
    with RocksStore.open_beside(str(path / "db"), str(scratch)) as store:
        rows = {family: list(store.scan(family)) for family in FAMILIES}
    return Lock.open(str(lock_file(path)), read_only=True).read(), rows


def stored_format(path: Path, scratch: Path) -> bytes | None:
    with RocksStore.open_beside(str(path / "db"), str(scratch)) as store:
        return store.get("meta", layout.FORMAT_KEY)


def test_store_format_is_written_with_genesis(path: Path, tmp_path: Path) -> None:
    """A new store states its format version."""
    assert stored_format(path, tmp_path / "scratch") == codec.encode(layout.STORE_FORMAT)


@pytest.mark.parametrize("case", OTHERS)
def test_store_format_of_another_version_is_refused(case: str, path: Path, tmp_path: Path) -> None:
    """Neither the writer nor a reader opens a store whose format row is not ours, and nothing is written."""
    put_format(path, OTHERS[case])
    before = everything(path, tmp_path / "one")
    with pytest.raises(CannotOpen, match="format") as writer:
        open_ledger(path)
    with pytest.raises(CannotOpen, match="format") as reader, read_folder(path):
        pass
    assert (writer.value.reason, reader.value.reason) == ("other-format", "other-format")
    for command in (["verify", path], ["status", path], ["heartbeat", path], ["backup", path, tmp_path / "b"]):
        said = dna(*command)
        assert (said.code, is_one_sentence(said.err)) == (3, True), said
        assert "format" in said.err
    assert everything(path, tmp_path / "two") == before


def test_store_format_names_the_number_that_it_found(path: Path) -> None:
    """The refusal states both numbers."""
    put_format(path, codec.encode(7))
    with pytest.raises(CannotOpen, match="format 7, this program reads format 2"):
        open_ledger(path)


def test_store_format_of_a_store_without_a_table(path: Path) -> None:
    """A store that lacks a table of ours is of another format, and not damaged."""
    options = rocksdict.Options(raw_mode=True)
    families = dict.fromkeys(rocksdict.Rdict.list_cf(str(path / "db"), options), options)
    store = rocksdict.Rdict(str(path / "db"), options, column_families=families)
    store.drop_column_family("sources")
    store.close()
    said = dna("verify", path)
    assert (said.code, is_one_sentence(said.err)) == (3, True)
    assert "of another format" in said.err

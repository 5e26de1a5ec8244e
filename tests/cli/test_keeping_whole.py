"""`dna backup` and `restore`: there as a whole or not at all, whatever the backup holds and whoever writes beside them."""

import os
import shutil
import tarfile
from pathlib import Path
from random import Random

import pytest

from decision_dna.schemas.errors import Conflict
from decision_dna.service.commands.keeping import made_at
from tests.cli.calling import dna, done, is_one_sentence, new_ledger, vkey_of
from tests.ledger.samples import adopt


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ledger `d` and its backups `b` and `b.tar`."""
    folder = tmp_path_factory.mktemp("made")
    ledger = new_ledger(folder, 3)
    done("backup", ledger, folder / "b")
    done("backup", ledger, folder / "b.tar")
    return folder


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    """The same, its database lost."""
    place = shutil.copytree(made, tmp_path / "copy")
    adopt(place / "d")
    shutil.rmtree(place / "d" / "db")
    return place


def left(ledger: Path) -> list[str]:
    return sorted(path.name for path in ledger.iterdir())


def packed(folder: Path, mode: str) -> bytes:
    with tarfile.open(folder / "packed", mode) as tar:  # type: ignore[call-overload]
        tar.add(folder / "b", arcname=".")
    data: bytes = (folder / "packed").read_bytes()
    return data


@pytest.mark.parametrize("mode", ["w:gz", "w:bz2"])
def test_a_packed_backup_goes_back_and_half_of_one_does_not(mode: str, folder: Path) -> None:
    data = packed(folder, mode)
    garbled = data[: len(data) // 2] + bytes(64) + data[len(data) // 2 + 64 :]
    for bad in (data[: len(data) // 2], data[:40], garbled):
        (folder / "packed").write_bytes(bad)
        said = dna("restore", folder / "packed", folder / "d")
        assert (said.code, is_one_sentence(said.err)) == (2, True), said
        assert left(folder / "d") == ["keys", "lock"]
    (folder / "packed").write_bytes(data)
    done("restore", folder / "packed", folder / "d")
    done("verify", folder / "d", "--key", vkey_of(folder / "d"))


@pytest.mark.parametrize("adopt", [True, False])
@pytest.mark.parametrize("head", [b"\xff\n", b"", b"no\n"])
def test_a_head_that_is_none_is_refused(head: bytes, adopt: bool, folder: Path) -> None:
    (folder / "b" / "head").write_bytes(head)
    if adopt:
        shutil.rmtree(folder / "d" / "lock")
    before = left(folder / "d")
    said = dna("restore", folder / "b", folder / "d", *["--adopt"] * adopt)
    assert (said.code, is_one_sentence(said.err)) == (2, True), said
    assert left(folder / "d") == before


@pytest.mark.parametrize("where", ["db", "db/CURRENT", "head", "db/fifo"])
@pytest.mark.parametrize("as_tar", [True, False])
def test_what_is_neither_file_nor_folder_is_refused(where: str, as_tar: bool, folder: Path) -> None:
    place = folder / "b" / where
    if where == "db/fifo":
        os.mkfifo(place)
    else:
        place.rename(folder / "elsewhere")
        place.symlink_to(folder / "elsewhere")
    if as_tar:
        packed(folder, "w")
    said = dna("restore", folder / ("packed" if as_tar else "b"), folder / "d")
    assert (said.code, is_one_sentence(said.err)) == (2, True), said
    assert left(folder / "d") == ["keys", "lock"]


def test_a_damaged_backup_is_not_back(folder: Path) -> None:
    """Many a damage lets the store be opened: only reading all of it tells."""
    chance, refused = Random(1), 0
    tables = sorted((folder / "b" / "db").glob("*.sst"))
    for table in tables * 3:
        whole = table.read_bytes()
        at = chance.randrange(len(whole) // 2)  # where the data is
        table.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        said = dna("restore", folder / "b", folder / "d")
        if said.code:
            assert (said.code in (1, 3), is_one_sentence(said.err)) == (True, True)
            assert not (folder / "d" / "db").exists()
            refused += 1
        else:
            assert dna("verify", folder / "d").code == 0
            shutil.rmtree(folder / "d" / "db")
        table.write_bytes(whole)
    assert refused > len(tables)
    done("restore", folder / "b", folder / "d")


def test_what_a_killed_restore_left_is_in_nobodys_way(folder: Path) -> None:
    (folder / "d" / ".dna-restore-killed" / "db").mkdir(parents=True)
    done("restore", folder / "b.tar", folder / "d")
    done("verify", folder / "d", "--key", vkey_of(folder / "d"))


def test_a_restore_that_fails_makes_no_folder(folder: Path) -> None:
    said = dna("restore", folder / "b", folder / "new" / "d", "--adopt")  # no keys there
    assert (said.code, is_one_sentence(said.err)) == (3, True), said
    assert not (folder / "new").exists()


@pytest.mark.parametrize("name", ["t.tar", "t"])
def test_a_target_that_appears_meanwhile_is_not_replaced(name: str, tmp_path: Path) -> None:
    target = tmp_path / name
    with pytest.raises(Conflict), made_at(target) as scratch:
        (scratch / "head").write_text("ours")
        if target.suffix:
            target.write_text("theirs")
        else:
            target.mkdir()
    assert target.read_text() == "theirs" if target.suffix else not any(target.iterdir())
    assert left(tmp_path) == [name]

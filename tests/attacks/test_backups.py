"""Backups that somebody bent: refused before anything is written, whatever their headers say."""

import io
import json
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from decision_dna.schemas.errors import Malformed, Unavailable
from decision_dna.service.commands.archives import unpack
from tests.cli.calling import dna, done, is_one_sentence, new_ledger

BOMB_BYTES = 200 * 1024 * 1024


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ledger `d` without its database, and its backup `b`."""
    folder = tmp_path_factory.mktemp("made")
    ledger = new_ledger(folder, 3)
    done("backup", ledger, folder / "b")
    shutil.rmtree(ledger / "db")
    return folder


class Zeros(io.RawIOBase):
    """So many bytes that nobody has to hold."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self._left = size

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        taken = self._left if size < 0 else min(size, self._left)
        self._left -= taken
        return bytes(taken)


def add(tar: tarfile.TarFile, name: str, data: bytes = b"", **fields: object) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(data)
    for field, value in fields.items():
        setattr(member, field, value)
    tar.addfile(member, io.BytesIO(data))


def add_link(kind: bytes) -> Callable[[tarfile.TarFile], None]:
    return lambda tar: add(tar, "./db/link", type=kind, linkname="../../../keys/root.key")


def add_sparse(tar: tarfile.TarFile) -> None:
    """Few bytes in the archive, a terabyte once unpacked."""
    fields = {
        "GNU.sparse.major": "1",
        "GNU.sparse.minor": "0",
        "GNU.sparse.name": "db/s",
        "GNU.sparse.realsize": "1099511627776",
    }
    add(tar, "./db/s", b"0\n".ljust(512, b"\0"), pax_headers=fields)


def add_bomb(tar: tarfile.TarFile) -> None:
    member = tarfile.TarInfo("./db/000099.sst")
    member.size = BOMB_BYTES
    tar.addfile(member, Zeros(BOMB_BYTES))  # type: ignore[arg-type]  # a file to read, to tarfile


def add_long_header(tar: tarfile.TarFile) -> None:
    add(tar, "./db/x", pax_headers={"comment": "x" * 2_000_000})


def add_many_headers(tar: tarfile.TarFile) -> None:
    """Each header belongs to the next one: read by recursion."""
    header = tarfile.TarInfo("././@PaxHeader")
    header.type, header.size = tarfile.XHDTYPE, 0
    for _ in range(5_000):
        tar.fileobj.write(header.tobuf(tarfile.USTAR_FORMAT))  # type: ignore[union-attr]
    tar.offset = tar.fileobj.tell()  # type: ignore[union-attr]
    add(tar, "./db/x")


ADDED: dict[str, Callable[[tarfile.TarFile], None]] = {
    "a bomb": add_bomb,
    "a sparse file": add_sparse,
    "a symbolic link": add_link(tarfile.SYMTYPE),
    "a hard link": add_link(tarfile.LNKTYPE),
    "a character device": add_link(tarfile.CHRTYPE),
    "a block device": add_link(tarfile.BLKTYPE),
    "a pipe": add_link(tarfile.FIFOTYPE),
    "an absolute name": lambda tar: add(tar, "/db/x", b"x"),
    "a name outside": lambda tar: add(tar, "./db/../../x", b"x"),
    "a name outside from the start": lambda tar: add(tar, "../x", b"x"),
    "another name": lambda tar: add(tar, "./keys/root.key", b"x"),
    "another folder": lambda tar: add(tar, "./db/inner", type=tarfile.DIRTYPE),
    "a nested name": lambda tar: add(tar, "./db/inner/x", b"x"),
    "a name of control characters": lambda tar: add(tar, "./db/x\n", b"x"),
    "a file twice": lambda tar: add(tar, "./head", b"x"),
    "a file that the manifest lacks": lambda tar: add(tar, "./db/x", b"x"),
    "a header of two megabytes": add_long_header,
    "five thousand headers in one": add_many_headers,
}
"""What is added to a backup that was whole."""


def compact(value: object) -> str:
    """The one form of JSON that a manifest has."""
    return json.dumps(value, separators=(",", ":"))


def packed(made: Path, target: Path, change: Callable[[tarfile.TarFile], None], mode: str = "w:gz") -> Path:
    with tarfile.open(target, mode, format=tarfile.PAX_FORMAT) as tar:  # type: ignore[call-overload]
        tar.add(made / "b", arcname=".")
        change(tar)
    return target


@pytest.mark.parametrize("case", ADDED)
def test_restore_refuses_an_archive_with(case: str, made: Path, tmp_path: Path) -> None:
    """One sentence, exit code 2, and not a byte is written: neither by the command nor by what it unpacks with."""
    archive = packed(made, tmp_path / "b.tar.gz", ADDED[case])
    assert archive.stat().st_size < 2 * 1024 * 1024
    with pytest.raises(Malformed):
        unpack(archive, tmp_path / "unpacked")
    assert not (tmp_path / "unpacked").exists()
    said = dna("restore", archive, made / "d")
    assert (said.code, is_one_sentence(said.err)) == (2, True), said
    assert sorted(path.name for path in (made / "d").iterdir()) == ["keys", "lock"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b.tar.gz"]


def test_restore_takes_the_same_archive_without_the_addition(made: Path, tmp_path: Path) -> None:
    """The archives above are refused for what was added."""
    for mode in ("w", "w:gz", "w:bz2"):
        unpack(packed(made, tmp_path / "b.tar", lambda _: None, mode), tmp_path / mode.replace(":", "-"))
        assert (tmp_path / mode.replace(":", "-") / "db" / "CURRENT").is_file()


MANIFESTS: dict[str, Callable[[dict[str, object]], object]] = {
    "another format": lambda manifest: manifest | {"format": "decision-dna/backup@v2"},
    "another size": lambda manifest: manifest | {"files": manifest["files"] | {"head": 1}},  # type: ignore[operator]
    "a file that is not there": lambda manifest: manifest | {"files": manifest["files"] | {"db/x": 1}},  # type: ignore[operator]
    "one more field": lambda manifest: manifest | {"more": 1},
    "no files": lambda manifest: manifest | {"files": {}},
    "no object": lambda _: [],
}


@pytest.mark.parametrize("as_tar", [True, False])
@pytest.mark.parametrize("case", MANIFESTS)
def test_restore_refuses_a_manifest_with(case: str, as_tar: bool, made: Path, tmp_path: Path) -> None:
    """Names and sizes must be those of the manifest, in a tar file and in a folder."""
    shutil.copytree(made / "b", tmp_path / "b")
    manifest = tmp_path / "b" / "manifest.json"
    manifest.write_text(compact(MANIFESTS[case](json.loads(manifest.read_text()))))
    backup = packed(tmp_path, tmp_path / "b.tar", lambda _: None, "w") if as_tar else tmp_path / "b"
    said = dna("restore", backup, made / "d")
    assert (said.code, is_one_sentence(said.err)) == (2, True), said
    assert "manifest" in said.err or "format" in said.err
    assert "another form" not in said.err


def test_restore_needs_a_manifest_in_an_archive_only(made: Path, tmp_path: Path) -> None:
    """An archive of an older version is unpacked by hand; its folder goes back as it is."""
    shutil.copytree(made / "b", tmp_path / "b")
    (tmp_path / "b" / "manifest.json").unlink()
    said = dna("restore", packed(tmp_path, tmp_path / "b.tar", lambda _: None, "w"), made / "d")
    assert (said.code, is_one_sentence(said.err)) == (2, True), said
    assert "unpack it yourself" in said.err
    shutil.copytree(made / "d", tmp_path / "d")
    done("restore", tmp_path / "b", tmp_path / "d", "--adopt")


def test_restore_beside_a_copied_lock_needs_adopt(made: Path, tmp_path: Path) -> None:
    """A lock whose home is elsewhere refuses the database too: this may be the second of two."""
    copy = shutil.copytree(made / "d", tmp_path / "d")
    said = dna("restore", made / "b", copy)
    assert (said.code, is_one_sentence(said.err)) == (3, True)
    assert "--adopt" in said.err
    assert sorted(path.name for path in copy.iterdir()) == ["keys", "lock"]
    done("restore", made / "b", copy, "--adopt")
    done("heartbeat", copy)


def test_restore_looks_at_the_free_disk_first(made: Path, tmp_path: Path) -> None:
    """An archive that is larger than the disk is refused, though it is whole: most of it is a hole in its own file."""
    huge = 2 * shutil.disk_usage(tmp_path).total
    manifest = json.loads((made / "b" / "manifest.json").read_text())
    manifest["files"] = {"db/x": huge, "head": 1}
    with tarfile.open(tmp_path / "b.tar", "w") as tar:
        add(tar, "./manifest.json", compact(manifest).encode())
        add(tar, "./head", b"x")
        member = tarfile.TarInfo("./db/x")
        member.size = huge
        at = tar.offset
        header = member.tobuf(tarfile.GNU_FORMAT)
    with (tmp_path / "b.tar").open("r+b") as file:
        file.seek(at)
        file.write(header)
        file.truncate(at + 512 + huge + 10_240)
    with pytest.raises(Unavailable, match="free"):
        unpack(tmp_path / "b.tar", tmp_path / "unpacked")
    assert not (tmp_path / "unpacked").exists()

"""`dna backup`, `restore`, `export`: copies of a ledger, and what each is good for.

A backup is the database with the newest head that it covers, without keys and without the lock:

    db/            the store            head           that checkpoint, signed
    DIR.vkey is beside the ledger, not in it.

The lock stays where it is, for it is what a restored, old copy is noticed by.
"""

import shutil
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Annotated

import typer

from decision_dna.ledger.audit import Progress, verify
from decision_dna.ledger.exports import export_lines
from decision_dna.ledger.folder import newest_head
from decision_dna.ledger.lock import Lock, Locked
from decision_dna.ledger.notes import note_of
from decision_dna.ledger.opening import lock_file, open_ledger
from decision_dna.ledger.rocks import RocksStore
from decision_dna.ledger.sources import StoreSource
from decision_dna.ledger.store import LOG_FAMILIES, Store
from decision_dna.schemas.errors import CannotOpen, Conflict, LedgerError, Malformed, ProofRejected, Refused
from decision_dna.service.commands.outputs import check_folder, output
from decision_dna.service.commands.places import fixed_view, folder_view
from decision_dna.service.commands.terminal import Dir, Json, progress, write, write_json

ROWS_AT_ONCE = 10_000


def backup(
    directory: Dir,
    target: Annotated[Path, typer.Argument(metavar="FILE.tar|FOLDER", help="Where to; must not exist.")],
    json: Json = False,
) -> None:
    """Copy the database with its newest head, also while a service writes.

    The copy is verified, as `dna verify` does it (steps 1 to 7), before it is there: what does not hold is refused, and
    nothing is left behind. Keys and the lock are not copied: keep the keys apart, and the lock is what a restored old
    copy is noticed by. Indexes are left out: they are made anew from the log.
    """
    if target.exists():
        raise Conflict(f"{target} exists: a backup is made anew")
    check_folder(target)
    with _folder_for(target) as folder, progress("verify the copy", shown=not json) as bar:
        with folder_view(directory) as log:
            head = newest_head(log)
            _copy(log.store, folder / "db")
        _check_copy(folder / "db", head, directory, bar)
        (folder / "head").write_text(head.note)
        size = head.size
    if json:
        write_json({"backup": str(target), "size": size})
    else:
        write(f"{target}: {size} entries, verified; without keys and lock")


@contextmanager
def _folder_for(target: Path) -> Iterator[Path]:
    """The folder itself, or one that becomes a tar file. Appears whole or not at all."""
    parent = target.absolute().parent
    with tempfile.TemporaryDirectory(prefix=".dna-backup-", dir=parent) as scratch:
        folder = Path(scratch) / "backup"
        folder.mkdir(mode=0o700)
        yield folder
        if target.suffix != ".tar":
            folder.rename(target)
            return
        packed = Path(scratch) / "backup.tar"
        with tarfile.open(packed, "w") as tar:
            tar.add(folder, arcname=".")
        packed.chmod(0o600)
        packed.rename(target)


def _copy(source: Store, path: Path) -> None:
    """All rows of the log. Reading beside a writer sees one moment, whatever is written meanwhile."""
    with RocksStore.open(str(path), create=True) as copy:
        for family in LOG_FAMILIES:
            rows = source.scan(family)
            while some := list(islice(rows, ROWS_AT_ONCE)):
                batch = copy.batch()
                batch.put_many(family, some)
                copy.write(batch, durable=False)
        copy.write(copy.batch(), durable=True)


def _check_copy(path: Path, head: Locked, directory: Path, bar: Progress) -> None:
    """Raise Refused unless the log in the copy holds: reading a store whose files are incomplete raises nothing by itself."""
    with RocksStore.open(str(path), create=False) as copy:
        report = verify(StoreSource(copy, head), None, progress=bar)
    if not report.holds:
        named = report.findings[0] if report.findings else None
        why = (
            ""
            if named is None
            else f" (step {named.step}{'' if named.seq is None else f', seq {named.seq}'}: {named.text})"
        )
        raise Refused(f"no backup was made, for the log does not hold{why}: `dna verify {directory}` names all")


def restore(
    backup_at: Annotated[Path, typer.Argument(metavar="BACKUP", exists=True, help="What `dna backup` made.")],
    directory: Dir,
    adopt: Annotated[
        bool, typer.Option("--adopt", help="Where the lock is lost too: make one at the backup's head.")
    ] = False,
    json: Json = False,
) -> None:
    """Put a backup's database back beside its lock.

    DIR keeps its keys and its lock. A backup that is not as far as the lock is refused: entries that others have seen
    would be gone. Then, or with the lock lost, go on with `dna init NEW --successor`; --adopt makes a lock at the
    backup's head instead, and forks the log if anyone ever saw a later one.
    """
    if (directory / "db").exists():
        raise Conflict(f"{directory} has a database: move it away first")
    with _opened(backup_at) as folder:
        note, lock_is_new = (folder / "head").read_text(), not lock_file(directory).exists()
        if lock_is_new and not adopt:
            raise CannotOpen("lock-missing", f"{directory} has no lock: see `dna restore --help` for --adopt")
        shutil.copytree(folder / "db", directory / "db")
    try:
        if lock_is_new:
            _make_lock(directory, note)
        with open_ledger(directory) as ledger:
            size = ledger.reader.size
    except LedgerError:
        shutil.rmtree(directory / "db")
        if lock_is_new:
            shutil.rmtree(lock_file(directory).parent, ignore_errors=True)
        raise
    if json:
        write_json({"ledger": str(directory), "size": size})
    else:
        write(f"{directory}: {size} entries are back; verify them with: dna verify {directory}")


@contextmanager
def _opened(backup_at: Path) -> Iterator[Path]:
    """A backup's folder. Raises Malformed for what is none."""
    with tempfile.TemporaryDirectory(prefix="dna-restore-") as scratch:
        folder = backup_at
        if backup_at.is_file():
            folder = Path(scratch)
            try:
                with tarfile.open(backup_at) as tar:
                    tar.extractall(folder, filter="data")
            except tarfile.TarError:
                raise Malformed(f"{backup_at} is no backup: it is neither a folder nor a tar file") from None
        if not (folder / "db").is_dir() or not (folder / "head").is_file():
            raise Malformed(f"{backup_at} is no backup: it has no db and head")
        yield folder


def _make_lock(directory: Path, note: str) -> None:
    try:
        head = note_of(note.encode())
    except ProofRejected as error:
        raise Malformed(f"the backup's head can't be read: {error}") from None
    lock_file(directory).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    Lock.create(str(lock_file(directory)), head.origin, head.size, head.root, note).close()


def export(
    directory: Dir,
    to: Annotated[Path, typer.Option("-o", "--output", metavar="FILE", dir_okay=False, help="Where to write it.")],
    json: Json = False,
) -> None:
    """Write the whole log as one NDJSON file that anyone can verify.

    It holds all payloads that are not erased, and no keys.
    """
    with output(to) as file, fixed_view(directory) as log, progress("export", shown=not json) as bar:
        for at, line in enumerate(export_lines(log.source)):
            file.write(line)
            bar(min(at, log.head.size), log.head.size)
        size = log.head.size
    if json:
        write_json({"file": str(to), "size": size})
    else:
        write(f"{to}: {size} entries; verify them with: dna verify {to} --key VKEY")

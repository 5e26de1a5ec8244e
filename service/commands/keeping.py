"""`dna backup`, `restore`, `export`: copies of a ledger, and what each is good for.

A backup is the database with the newest head that it covers, without keys and without the lock:

    db/              the store            head           that checkpoint, signed
    manifest.json    the size of each file (`service.commands.archives`)
    DIR.vkey is beside the ledger, not in it.

The lock stays where it is, for it is what a restored, old copy is noticed by. Both ways, what is copied takes its name at the
end: until then it lies beside it, in a folder `.dna-backup-…` or `DIR/.dna-restore-…`, which whoever was killed leaves behind.
"""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path
from typing import Annotated

import typer

from decision_dna.ledger.audit import Progress, Report, verify
from decision_dna.ledger.exports import export_lines
from decision_dna.ledger.folder import newest_head
from decision_dna.ledger.lock import Lock, Locked
from decision_dna.ledger.notes import note_of
from decision_dna.ledger.opening import lock_file, open_ledger
from decision_dna.ledger.rocks import RocksStore
from decision_dna.ledger.sources import StoreSource
from decision_dna.ledger.store import LOG_FAMILIES, Store
from decision_dna.schemas.errors import CannotOpen, Conflict, Malformed, ProofRejected, Refused, Unavailable
from decision_dna.service.commands.archives import check_folder_is_whole, pack, unpack, write_manifest
from decision_dna.service.commands.outputs import PRIVATE, check_folder, output
from decision_dna.service.commands.places import ReadOnly, folder_view, said_view
from decision_dna.service.commands.terminal import Dir, Json, progress, write, write_json
from decision_dna.service.commands.tiles import export_tiles

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
    check_folder(target)
    with made_at(target) as folder, progress("verify the copy", shown=not json) as bar:
        with folder_view(directory) as log:
            head = newest_head(log)
            _copy(log.store, folder / "db")
        _check_copy(folder / "db", head, bar, f"no backup was made of {directory}")
        (folder / "head").write_text(head.note)
        write_manifest(folder)
        size = head.size
    if json:
        write_json({"backup": str(target), "size": size})
    else:
        write(f"{target}: {size} entries, verified; without keys and lock")


@contextmanager
def made_at(target: Path) -> Iterator[Path]:
    """The folder itself, or one that becomes a tar file. Appears whole or not at all. Raises Conflict for a target that is there,
    also where it appeared meanwhile."""
    if os.path.lexists(target):
        raise Conflict(f"{target} exists: a backup is made anew")
    with tempfile.TemporaryDirectory(prefix=".dna-backup-", dir=target.absolute().parent) as scratch:
        folder = Path(scratch) / "backup"
        folder.mkdir(mode=0o700)
        yield folder
        made = folder if target.suffix != ".tar" else pack(folder)
        try:
            target.touch(exist_ok=False) if made.is_file() else target.mkdir()
        except FileExistsError:
            raise Conflict(f"{target} appeared while the backup was made, and is not replaced") from None
        made.replace(target)  # if the process dies before it, an empty one is left, which `restore` refuses


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


def _check_copy(path: Path, head: Locked, bar: Progress, refusal: str) -> None:
    """Raise Refused unless the log in the copy holds: reading a store whose files are incomplete raises nothing by itself."""
    with RocksStore.open(str(path), create=False) as copy:
        report = verify(StoreSource(copy, head), None, progress=bar)
    if not report.holds:
        raise Refused(f"{refusal}, for the log in it does not hold{_first(report)}")


def _first(report: Report) -> str:
    if not report.findings:
        return ""
    named = report.findings[0]
    return f" (step {named.step}{'' if named.seq is None else f', seq {named.seq}'}: {named.text})"


def restore(
    backup_at: Annotated[Path, typer.Argument(metavar="BACKUP", exists=True, help="What `dna backup` made.")],
    directory: Dir,
    adopt: Annotated[
        bool,
        typer.Option(
            "--adopt", help="If the lock is lost too, make one at the backup's head; take over a lock that was copied."
        ),
    ] = False,
    json: Json = False,
) -> None:
    """Put a backup's database back beside its lock.

    It is verified before it is there, as `dna verify` does it (steps 1 to 7).

    DIR keeps its keys and its lock. A backup that is not as far as the lock is refused: entries that others have seen
    would be gone. Then, or with the lock lost, go on with `dna init NEW --successor`; --adopt makes a lock at the
    backup's head instead, and forks the log if anyone ever saw a later one.
    """
    if (directory / "db").exists():
        raise Conflict(f"{directory} has a database: move it away first")
    lock_is_new = not lock_file(directory).exists()
    if lock_is_new and not adopt:
        raise CannotOpen("lock-missing", f"{directory} has no lock: see `dna restore --help` for --adopt")
    with _scratch_in(directory) as scratch:
        head = _copied(backup_at, scratch)
        with progress("verify the backup", shown=not json) as bar:
            _check_copy(scratch / "db", head, bar, f"{backup_at} was not restored")
        if lock_is_new:
            _make_lock(lock_file(scratch), head)
        # Opened where it is not yet in force: with the keys of its place, and against the lock of its place.
        (scratch / "keys").symlink_to((directory / "keys").absolute())
        lock_at = lock_file(scratch if lock_is_new else directory)
        with open_ledger(scratch, lock_path=lock_at, adopt=adopt) as ledger:
            size = ledger.reader.size
        if lock_is_new:  # if the process dies after it, a restore goes on from a lock without a database
            _move_lock(lock_file(scratch).parent, lock_file(directory).parent)
            Lock.open(str(lock_file(directory)), adopt=True).close()  # on another volume it is another file now
        (scratch / "db").rename(directory / "db")
    if json:
        write_json({"ledger": str(directory), "size": size})
    else:
        write(f"{directory}: {size} entries are back, verified (whose they are: dna verify {directory} --key VKEY)")


@contextmanager
def _scratch_in(directory: Path) -> Iterator[Path]:
    """A folder on the ledger's own disk. Folders that are made for it are gone with it, where nothing is in them."""
    missing = [path for path in (directory, *directory.parents) if not path.exists()]
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        with tempfile.TemporaryDirectory(prefix=".dna-restore-", dir=directory) as scratch:
            yield Path(scratch)
    finally:
        for path in missing:
            with suppress(OSError):
                path.rmdir()


def _copied(backup_at: Path, scratch: Path) -> Locked:
    """Copy a backup's database into the folder; the backup's head. Raises Malformed for what is no backup."""
    folder = backup_at
    if backup_at.is_file():
        folder = scratch / "unpacked"
        unpack(backup_at, folder)
    if not (folder / "db").is_dir() or not (folder / "head").is_file():
        raise Malformed(f"{backup_at} is no backup: it has no db and head")
    for path in (folder / "head", folder / "db", *(folder / "db").rglob("*")):
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            raise Malformed(
                f"{backup_at} is no backup: {path.relative_to(folder)} in it is neither a file nor a folder"
            )
    try:
        note = (folder / "head").read_bytes()
        head = note_of(note)
    except ProofRejected as error:
        raise Malformed(f"the backup's head can't be read: {error}") from None
    check_folder_is_whole(folder, scratch)
    try:
        if folder == backup_at:
            shutil.copytree(folder / "db", scratch / "db", symlinks=True)
        else:
            (folder / "db").rename(scratch / "db")
    except shutil.Error as error:
        raise Unavailable(f"{backup_at} cannot be copied: {error.args[0][0][2]}") from None
    return Locked(head.origin, head.size, head.root, note.decode())


def _make_lock(file: Path, head: Locked) -> None:
    file.parent.mkdir(mode=0o700)
    Lock.create(str(file), head.origin, head.size, head.root, head.note).close()


def _move_lock(made: Path, place: Path) -> None:
    place.mkdir(mode=0o700, exist_ok=True)
    for file in made.iterdir():
        shutil.move(file, place / file.name)


def export(
    directory: Dir,
    to: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="FILE", dir_okay=False, help="Where to write the one file.")
    ] = None,
    tiles: Annotated[
        Path | None,
        typer.Option(
            "--tiles", metavar="FOLDER", file_okay=False, help="Where to write the public log as a static site."
        ),
    ] = None,
    read_only: ReadOnly = False,
    json: Json = False,
) -> None:
    """Write the whole log as one NDJSON file that anyone can verify, or as a static site.

    The file (-o) holds all payloads that are not erased, and no keys.

    The site (--tiles) is the log as any C2SP tlog-tiles client reads it: checkpoint, tiles and entries, without payloads. Any
    web server can serve the folder. Written again, it gets what is new since; a folder with anything else in it, a longer log
    or a fork is refused. Who reads it needs the log's key from elsewhere: log.vkey beside the tiles proves nothing.
    """
    if (to is None) == (tiles is None):
        raise typer.BadParameter("give -o FILE, or --tiles FOLDER")
    if tiles is not None:
        with said_view(directory, read_only=read_only) as log, progress("export", shown=not json) as bar:
            done = export_tiles(log, tiles, bar)
        if json:
            write_json(done)
        else:
            write(f"{tiles}: {done.size} entries, {done.size - done.before} of them new, {done.files} files written")
    elif to is not None:
        _export_file(directory, to, read_only=read_only, json=json)


def _export_file(directory: Path, to: Path, *, read_only: bool, json: bool) -> None:
    with (
        output(to, mode=PRIVATE) as file,
        said_view(directory, read_only=read_only) as log,
        progress("export", shown=not json) as bar,
    ):
        for at, line in enumerate(export_lines(log.source)):
            file.write(line)
            bar(min(at, log.head.size), log.head.size)
        size = log.head.size
    if json:
        write_json({"file": str(to), "size": size})
    else:
        write(f"{to}: {size} entries; verify them with: dna verify {to} --key VKEY")

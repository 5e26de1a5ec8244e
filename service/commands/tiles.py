"""`dna export --tiles`: the public log as files that any web server serves and any tile client reads (C2SP tlog-tiles).

    FOLDER/tile/entries/<N>[.p/<W>]     entries, without payloads
    FOLDER/tile/<L>/<N>[.p/<W>]         hashes of the tree
    FOLDER/log.vkey                     the key that signs the checkpoint; who trusts it got it from elsewhere
    FOLDER/checkpoint                   the newest head, written last

Each file is written whole or not at all, and what is published is never changed: a later export adds tiles and replaces the
checkpoint. If the process dies in between, the checkpoint is still the one before, all of whose tiles are there, and the next
export goes on. Partial tiles are removed once their full tile is published, as tlog-tiles allows.
"""

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from decision_dna.ledger import merkle
from decision_dna.ledger.audit import Progress
from decision_dna.ledger.notes import NOTE_BYTES_MAX, Vkey, open_head
from decision_dna.ledger.reader import LogReader
from decision_dna.ledger.tilepath import TilePath, new_tiles
from decision_dna.schemas.errors import Busy, Conflict, ProofRejected, Refused
from decision_dna.service.commands.outputs import check_folder, output
from decision_dna.service.commands.places import View

VKEY_FILE = "log.vkey"


class Published(msgspec.Struct, frozen=True):
    """What an export did: from the size that was there (0: none) to the size that is there now, with so many new files."""

    folder: str
    size: int
    before: int
    files: int


def export_tiles(log: View, folder: Path, progress: Progress) -> Published:
    """Publish the log as of its head. Raises Conflict for a folder with anything else in it, Refused for a tree without that head's
    root, Busy while another export writes there."""
    size = log.head.size
    with _held(folder):
        before = _published(log, folder)
        if log.reader.frontier(size).root() != log.head.root:
            raise Refused(f"the tree of {log.path} has not the root of its head: see `dna verify {log.path}`")
        _write(folder / VKEY_FILE, f"{Vkey(log.head.origin, log.authority().log_keys_at(size)[-1])}\n".encode())
        tiles = list(new_tiles(size, before))
        for done, path in enumerate(tiles):
            progress(done, len(tiles))
            _write(folder / str(path), _checked(log.reader, path))
        _write(folder / "checkpoint", log.head.note.encode())
        for path in tiles:
            if path.width == merkle.TILE_WIDTH:
                shutil.rmtree(folder / f"{path}.p", ignore_errors=True)
    return Published(str(folder), size, before, len(tiles))


@contextmanager
def _held(folder: Path) -> Iterator[None]:
    """The folder, made if it is missing, for one export at a time: of two, the smaller head could come last."""
    check_folder(folder)
    folder.mkdir(exist_ok=True)
    held = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise Busy(f"another export writes to {folder}") from None
    finally:
        os.close(held)


def _published(log: View, folder: Path) -> int:
    """The size of the checkpoint in the folder, 0 if it is empty or an export of this log began there. Raises Conflict."""
    try:
        with (folder / "checkpoint").open("rb") as file:
            note = file.read(NOTE_BYTES_MAX + 1)
    except FileNotFoundError:
        _check_begun(log, folder)
        return 0
    try:
        there = open_head(note, log.head.origin, log.authority().log_keys_at)
    except ProofRejected as error:
        raise Conflict(f"{folder} holds something other than this log, and is left as it is: {error}") from None
    if there.size > log.head.size:
        raise Conflict(f"{folder} holds {there.size} entries of this log, {log.path} has only {log.head.size}")
    root = log.reader.frontier(there.size).root()
    if root != there.root:
        raise Conflict(
            f"{folder} holds a fork: its head of size {there.size} has root {there.root.hex()}, {log.path} gives {root.hex()}"
        )
    return there.size


def _check_begun(log: View, folder: Path) -> None:
    """Raise Conflict for a folder that holds files, unless an export of this log began there. Hidden files do not count."""
    names = {path.name for path in folder.iterdir() if not path.name.startswith(".")}
    if not names:
        return
    try:
        begun = Vkey.parse((folder / VKEY_FILE).read_text()).name == log.head.origin
    except (FileNotFoundError, UnicodeDecodeError, ProofRejected):
        begun = False
    if not begun:
        raise Conflict(f"{folder} is not empty, and holds no checkpoint of this log: give a folder of its own")


def _checked(reader: LogReader, path: TilePath) -> bytes:
    """The bytes of a tile. A full tile must have the root that its parent says: Refused else."""
    if path.level is None:
        return reader.bundle(path.index, path.width)
    data = reader.tile(path.level, path.index, path.width)
    if path.width == merkle.TILE_WIDTH:
        hashes = [data[at : at + merkle.HASH_BYTES] for at in range(0, len(data), merkle.HASH_BYTES)]
        (above,) = reader.hashes(path.level + 1, path.index, path.index + 1)
        if merkle.tree_root(hashes) != above:
            raise Refused(f"{path} is not under the signed head: the database is damaged, see `dna verify`")
    return data


def _write(path: Path, data: bytes) -> None:
    """Write a file whole, unless these very bytes are there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_file() and path.stat().st_size == len(data) and path.read_bytes() == data:
        return
    with output(path) as file:
        file.write(data)

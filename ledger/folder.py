"""A ledger's folder, read beside whoever writes it: never past the lock, and never in the writer's way.

`verify_folder` walks it on all cores: each worker process opens the folder by itself and sends back what its segments say.
"""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import msgspec

from decision_dna.ledger import layout
from decision_dna.ledger.audit import Check, Progress, Report, Work, do_work, verify
from decision_dna.ledger.entrance import enter
from decision_dna.ledger.entrance_store import EnterableStore
from decision_dna.ledger.lock import HeadLock, Lock, Locked
from decision_dna.ledger.notes import Vkey, note_of
from decision_dna.ledger.opening import lock_file
from decision_dna.ledger.reader import LogReader
from decision_dna.ledger.rocks import RocksStore
from decision_dna.ledger.sources import StoreSource
from decision_dna.ledger.verification import SEGMENT_EVENTS, Segment
from decision_dna.ledger.workers import Workers
from decision_dna.schemas.errors import CannotOpen, LedgerError


class FolderView(msgspec.Struct, frozen=True):
    """A folder open for reading."""

    path: Path
    store: RocksStore
    lock: HeadLock
    reader: LogReader


@contextmanager
def read_folder(path: Path) -> Iterator[FolderView]:
    """The visible log of a folder, also while another process writes it. Raises CannotOpen."""
    if not (path / "db").exists():
        raise CannotOpen("no-ledger", f"no ledger in {path}")
    lock = Lock.open(str(lock_file(path)), read_only=True)
    try:
        with (
            tempfile.TemporaryDirectory(prefix="dna-read-") as scratch,
            RocksStore.open_beside(str(path / "db"), scratch) as store,
        ):
            layout.check_format(store.get("meta", layout.FORMAT_KEY))
            yield FolderView(path, store, lock, LogReader(store, lock.read))
    finally:
        lock.close()


def newest_head(view: FolderView) -> Locked:
    """What to verify: the newest head that the store, as this reader sees it, is known to hold.

    A commit is in the store before its head is in the lock, so the lock is read first. Where more than one was made meanwhile,
    the store has their heads too: each commit writes down the one before it.
    """
    head = view.lock.read()
    view.store.refresh()
    kept = view.store.last("heads", b"\xff" * 8)
    if kept is None or len(kept[0]) != 8 or int.from_bytes(kept[0]) <= head.size:
        return head
    try:
        checkpoint = note_of(kept[1])
    except LedgerError:
        return head  # no head at all: verification names it
    if checkpoint.size != int.from_bytes(kept[0]) or checkpoint.origin != head.origin:
        return head  # one that stands where it does not belong: likewise
    return Locked(checkpoint.origin, checkpoint.size, checkpoint.root, kept[1].decode())


def verify_folder(
    path: Path,
    vkey: Vkey | None,
    *,
    processes: int = 2,
    progress: Progress | None = None,
    note_types: frozenset[str] = frozenset(),
    checks: tuple[Check, ...] = (),
    earlier: Sequence[bytes] = (),
    from_seq: int = 0,
) -> Report:
    """The verification of a ledger on disk up to its lock; from a place on with `from_seq` (`ledger.entrance`).

    Raises CannotOpen where there is nothing to verify, and as `enter` does.
    """
    with read_folder(path) as view:
        source = (
            EnterableStore(view.store, newest_head(view)) if from_seq else StoreSource(view.store, newest_head(view))
        )
        check = partial(
            verify,
            source,
            vkey,
            progress=progress,
            note_types=note_types,
            checks=checks,
            earlier=earlier,
            entrance=enter(source, from_seq, earlier) if isinstance(source, EnterableStore) else None,
        )
        if processes < 2 or source.size - from_seq <= SEGMENT_EVENTS:
            return check()
        with (
            tempfile.TemporaryDirectory(prefix="dna-verify-") as scratch,
            Workers(_open_in_worker, (str(path), source.head, scratch), processes) as workers,
        ):
            return check(executor=workers, remote_work=_work_there)


_source: StoreSource | None = None
"""The worker process's own view of the folder."""


def _open_in_worker(path: str, head: Locked, scratch: str) -> None:
    global _source  # noqa: PLW0603  # a process pool's initializer has no other place to leave it
    _source = StoreSource(RocksStore.open_beside(f"{path}/db", tempfile.mkdtemp(dir=scratch)), head)


def _work_there(work: Work) -> Segment:
    if _source is None:
        raise CannotOpen("no-worker", "a worker that never opened its folder")
    return do_work(_source, work)

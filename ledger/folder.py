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
from decision_dna.ledger.indexes import Extent
from decision_dna.ledger.lock import HeadLock, Lock, Locked
from decision_dna.ledger.notes import Vkey, note_of
from decision_dna.ledger.opening import lock_file
from decision_dna.ledger.reader import LogReader
from decision_dna.ledger.rocks import RocksStore
from decision_dna.ledger.sources import StoreSource
from decision_dna.ledger.unlocked import Unlocked, mark_report, without_lock
from decision_dna.ledger.verification import SEGMENT_EVENTS, Segment
from decision_dna.ledger.workers import Workers
from decision_dna.schemas.errors import CannotOpen, LedgerError


class FolderView(msgspec.Struct, frozen=True):
    """A folder open for reading."""

    path: Path
    store: RocksStore
    lock: HeadLock
    reader: LogReader

    @property
    def caveat(self) -> str:
        """What can no longer be known if the lock was not read; empty if it was."""
        return self.lock.caveat if isinstance(self.lock, Unlocked) else ""


@contextmanager
def read_folder(path: Path, *, read_only: bool = False, known: Sequence[bytes] = ()) -> Iterator[FolderView]:
    """The visible log of a folder, also while another process writes it. Raises CannotOpen.

    With `read_only`, the lock is not read: the view ends at the newest head that the database shows to be signed, of its own
    and those that are `known` from elsewhere.
    """
    if not (path / "db").exists():
        raise CannotOpen("no-ledger", f"no ledger in {path}")
    lock = None if read_only else _lock_of(path)
    try:
        with (
            tempfile.TemporaryDirectory(prefix="dna-read-") as scratch,
            _open_store(path, scratch, read_only=read_only) as store,
        ):
            layout.check_format(store.get("meta", layout.FORMAT_KEY))
            seen = lock or without_lock(store, known)
            yield FolderView(path, store, seen, LogReader(store, seen.read))
    finally:
        if lock is not None:
            lock.close()


def _open_store(path: Path, scratch: str, *, read_only: bool) -> RocksStore:
    opened = RocksStore.open_unchanged if read_only else RocksStore.open_beside
    return opened(str(path / "db"), scratch)


def _lock_of(path: Path) -> Lock:
    try:
        return Lock.open(str(lock_file(path)), read_only=True)
    except CannotOpen as error:
        advice = f"`dna verify {path} --read-only` reads the database without it"
        raise CannotOpen(error.reason, f"{error} ({advice})") from error


def newest_head(view: FolderView) -> Locked:
    """What to verify: the newest head that the store, as this reader sees it, is known to hold.

    A commit is in the store before its head is in the lock, so the lock is read first. Where more than one was made meanwhile,
    the store has their heads too: each commit writes down the one before it.
    """
    head = view.lock.read()
    if isinstance(view.lock, Unlocked):
        return head
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
    read_only: bool = False,
) -> Report:
    """The verification of a ledger on disk up to its lock; from a place on with `from_seq` (`ledger.entrance`).

    With `read_only`, up to the newest head that the database shows to be signed: the report's `unlocked` says what that leaves open.

    Raises CannotOpen where there is nothing to verify, and as `enter` does.
    """
    with read_folder(path, read_only=read_only, known=earlier) as view:
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
            return _marked(check(), view)
        with (
            tempfile.TemporaryDirectory(prefix="dna-verify-") as scratch,
            Workers(_open_in_worker, (str(path), source.head, scratch, read_only, source.extent), processes) as workers,
        ):
            return _marked(check(executor=workers, remote_work=_work_there), view)


def _marked(report: Report, view: FolderView) -> Report:
    if view.caveat:
        mark_report(report, view.caveat)
    return report


_source: StoreSource | None = None
"""The worker process's own view of the folder."""


def _open_in_worker(path: str, head: Locked, scratch: str, read_only: bool, extent: Extent) -> None:
    global _source  # noqa: PLW0603  # a process pool's initializer has no other place to leave it
    _source = StoreSource(_open_store(Path(path), tempfile.mkdtemp(dir=scratch), read_only=read_only), head, extent)


def _work_there(work: Work) -> Segment:
    if _source is None:
        raise CannotOpen("no-worker", "a worker that never opened its folder")
    return do_work(_source, work)

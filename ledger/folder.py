"""A ledger's folder, read beside whoever writes it: never past the lock, and never in the writer's way.

`verify_folder` walks it on all cores: each worker process opens the folder by itself and sends back what its segments say.
"""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec

from decision_dna.ledger.audit import Check, Progress, Report, Work, do_work, verify
from decision_dna.ledger.lock import Lock, Locked
from decision_dna.ledger.notes import Vkey
from decision_dna.ledger.opening import lock_file
from decision_dna.ledger.reader import LogReader
from decision_dna.ledger.rocks import RocksStore
from decision_dna.ledger.sources import StoreSource
from decision_dna.ledger.verification import SEGMENT_EVENTS, Segment
from decision_dna.ledger.workers import Workers
from decision_dna.schemas.errors import CannotOpen


class FolderView(msgspec.Struct, frozen=True):
    """A folder open for reading."""

    path: Path
    store: RocksStore
    lock: Lock
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
            yield FolderView(path, store, lock, LogReader(store, lock.read))
    finally:
        lock.close()


def verify_folder(
    path: Path,
    vkey: Vkey | None,
    *,
    processes: int = 2,
    progress: Progress | None = None,
    note_types: frozenset[str] = frozenset(),
    checks: tuple[Check, ...] = (),
    earlier: Sequence[bytes] = (),
) -> Report:
    """The whole verification of a ledger on disk, up to its lock. Raises CannotOpen where there is nothing to verify."""
    with read_folder(path) as view:
        head = view.lock.read()
        view.store.refresh()  # after the lock, so that all that it covers is seen
        source = StoreSource(view.store, head)
        if processes < 2 or source.size <= SEGMENT_EVENTS:
            return verify(source, vkey, progress=progress, note_types=note_types, checks=checks, earlier=earlier)
        with (
            tempfile.TemporaryDirectory(prefix="dna-verify-") as scratch,
            Workers(_open_in_worker, (str(path), source.head, scratch), processes) as workers,
        ):
            return verify(
                source,
                vkey,
                executor=workers,
                remote_work=_work_there,
                progress=progress,
                note_types=note_types,
                checks=checks,
                earlier=earlier,
            )


_source: StoreSource | None = None
"""The worker process's own view of the folder."""


def _open_in_worker(path: str, head: Locked, scratch: str) -> None:
    global _source  # noqa: PLW0603  # a process pool's initializer has no other place to leave it
    _source = StoreSource(RocksStore.open_beside(f"{path}/db", tempfile.mkdtemp(dir=scratch)), head)


def _work_there(work: Work) -> Segment:
    if _source is None:
        raise CannotOpen("no-worker", "a worker that never opened its folder")
    return do_work(_source, work)

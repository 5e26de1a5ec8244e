"""What runs in processes of its own for the store suites: `python -m tests.ledger.store_processes NAME ARGUMENTS`."""

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

from decision_dna.ledger.lock import Lock, Locked
from decision_dna.ledger.rocks import RocksStore
from decision_dna.schemas.errors import LedgerError, Unavailable
from tests.faults.shim import Shim
from tests.ledger.store_cases import check_numbered, write_numbered

ROOT_BEFORE, ROOT_AFTER = b"\x01" * 32, b"\x02" * 32
BEFORE = Locked("example.org/log", 1, ROOT_BEFORE, "note 1\n")
AFTER = Locked("example.org/log", 2, ROOT_AFTER, "note 2\n")


def say(**words: object) -> None:
    """One line of JSON to the test."""
    sys.stdout.write(json.dumps(words) + "\n")
    sys.stdout.flush()


def write_for_ever(path: str, size: str) -> None:
    """Write numbered batches, every third durable, and acknowledge each, until killed."""
    store = RocksStore.open(path, create=True)
    number = 0
    while True:
        write_numbered(store, number, durable=number % 3 == 0, size=int(size))
        say(written=number)
        number += 1


def read_beside(path: str, scratch: str) -> None:
    """At each line of the test: catch up, and say how much is there."""
    with RocksStore.open_beside(path, scratch) as store:
        for _ in sys.stdin:
            store.refresh()
            say(count=check_numbered(store))


def open_writing(path: str) -> None:
    """Try to open a store for writing."""
    try:
        RocksStore.open(path, create=False).close()
        say(reason="")
    except LedgerError as error:
        say(reason=getattr(error, "reason", repr(error)))


def fail_write(path: str, nth: str, action: str, error: str) -> None:
    """Write 0 without a fault, write 1 with one, then 2."""
    store = RocksStore.open(path, create=True)
    write_numbered(store, 0, durable=True)
    shim = Shim()
    shim.arm(int(nth), int(action), int(error))
    outcomes = [_outcome(lambda number=number: write_numbered(store, number, durable=True)) for number in (1, 2)]
    say(outcomes=outcomes, count=shim.count(), name=shim.name(), held=check_numbered(store))


def fail_advance(path: str, nth: str, action: str, error: str) -> None:
    """Advance from BEFORE to AFTER with a fault, then back."""
    lock = Lock.create(path, BEFORE.origin, BEFORE.size, BEFORE.root, BEFORE.note)
    shim = Shim()
    shim.arm(int(nth), int(action), int(error))
    outcomes = [_outcome(lambda: lock.advance(BEFORE, AFTER)), _outcome(lambda: lock.advance(AFTER, BEFORE))]
    say(outcomes=outcomes, count=shim.count(), name=shim.name())


def fail_create(folder: str, action: str, error: str, first: str, last: str) -> None:
    """Fail each of the calls first…last of creating a lock, each in a folder and a process of its own; 0 fails none."""
    for nth in range(int(first), int(last) + 1):
        if child := os.fork():
            os.waitpid(child, 0)
            continue
        place = Path(folder) / action / str(nth)
        place.mkdir(parents=True)
        shim = Shim()
        shim.arm(nth, int(action), int(error))
        outcome = _outcome(lambda: Lock.create(f"{place}/lock", BEFORE.origin, BEFORE.size, BEFORE.root, BEFORE.note))  # noqa: B023
        say(outcome=outcome, count=shim.count(), name=shim.name())
        os._exit(0)


def fail_around(folder: str, step: str, error: str, first: str, last: str) -> None:
    """Fail each of the calls first…last of a step once, each in a store and a process of its own; 0 fails none.

    All at once, since RocksDB waits a second for a disk to recover before it closes.
    """
    children = []
    for nth in range(int(first), int(last) + 1):
        children.append(os.fork())
        if children[-1]:
            continue
        store = _prepared(f"{folder}/{nth}", step)
        shim = Shim()
        shim.arm(nth, error=int(error))
        outcome = _outcome(lambda store=store, nth=nth: _STEPS[step](store, f"{folder}/{nth}"))
        say(nth=nth, name=shim.name(), outcome=outcome, count=shim.count())
        os._exit(0)
    for child in children:
        os.waitpid(child, 0)


def _prepared(path: str, step: str) -> RocksStore:
    """A store of ten writes in tables and ten in the WAL; closed, where the step is to open it."""
    store = RocksStore.open(path, create=True)
    for number in range(20):
        write_numbered(store, number, durable=True, size=2000)
        if number == 9:
            store.compact("entries")
    if step == "open":
        store.close()
    return store


_STEPS: dict[str, Callable[[RocksStore, str], object]] = {
    "close": lambda store, path: store.close(),
    "open": lambda store, path: RocksStore.open(path, create=False).close(),
    "compact": lambda store, path: store.compact("entries"),
    "checkpoint": lambda store, path: store.checkpoint(path + "-copy"),
}


def _outcome(act: Callable[[], object]) -> str:
    try:
        act()
    except LedgerError as error:
        return type(error).__name__
    return "done"


def limit_files(path: str, most: str) -> None:
    """Write until no file may grow any more (RLIMIT_FSIZE), then twice more."""
    import resource
    import signal

    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    store = RocksStore.open(path, create=True)
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(most), resource.RLIM_INFINITY))
    outcomes = ["done"]
    while outcomes[-1] == "done":
        outcomes.append(_outcome(lambda: write_numbered(store, len(outcomes) - 1, durable=True, size=4000)))
    say(written=len(outcomes) - 2, outcome=outcomes[-1], held=check_numbered(store))
    try:
        write_numbered(store, len(outcomes) - 2, durable=True)
    except Unavailable:
        say(refused=True)


def read_lock_unprivileged(path: str) -> None:
    """Give up the right to write everywhere (as root has it), then read the lock beside its writer."""
    _give_up_privileges()
    try:
        (Path(path).parent / "probe").touch()
        say(writable=True)
    except PermissionError:
        try:
            say(writable=False, size=Lock.open(path, read_only=True).read().size)
        except LedgerError as error:
            say(writable=False, error=repr(error))


def _give_up_privileges() -> None:
    """Drop all capabilities (Linux capset, version 3): root then obeys the permission bits like anyone."""
    import ctypes

    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    ctypes.CDLL(None).capset(header, (ctypes.c_uint32 * 6)())


def read_lock(path: str) -> None:
    """At each line of the test: read the lock, and say its size."""
    lock = Lock.open(path, read_only=True)
    for _ in sys.stdin:
        say(size=lock.read().size)


def hold_lock(path: str) -> None:
    """Try to be the writer of a lock; stay it until the test closes its end."""
    try:
        with_lock = Lock.open(path)
    except LedgerError as error:
        say(reason=getattr(error, "reason", repr(error)))
        return
    say(reason="", size=with_lock.read().size)
    sys.stdin.read()


def advance_for_ever(path: str) -> None:
    """Advance the lock and acknowledge each head, until killed."""
    lock = Lock.open(path)
    head = lock.read()
    while True:
        new = Locked(head.origin, head.size + 1, head.size.to_bytes(32, "big"), f"note {head.size + 1}\n")
        lock.advance(head, new)
        say(size=new.size)
        head = new


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])

"""The lock: the newest signed head, kept apart from the store; nothing past it may be seen (docs/format.md, 11).

    lock = Lock.create("ledger/lock", "example.org/log", 0, root, "")
    lock.read()                        Locked(origin="example.org/log", size=0, root=…, note="")
    lock.advance(before, after)        one transaction, durable when it returns; HeadMoved if other than `before` stands

The file is SQLite: a table `head` with one row, and a table `home` with a row for each home that the lock was adopted
in (`ledger.home`; decision 27), the newest last; in WAL mode with `synchronous=FULL`. It is small enough to lie on
another volume and outside of backups: that is how a restored, truncated or cloned store is noticed. Beside it lie
SQLite's `-wal` and `-shm` and an empty file `.held`, on which the one writer holds an advisory lock of the operating
system. (Not on the SQLite file: closing a second descriptor of it would drop SQLite's own locks.)

Readers in other processes open it for each read and hold nothing in between, so they cannot block the writer for
longer than one read of a row, nor keep its WAL from being reset. They need no right to write the folder while a writer
runs, nor after it closed; after a writer died and until the next one opens, the first to read must have it.
"""

import fcntl
import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Protocol, Self

import msgspec

from decision_dna.ledger.home import Home, home_of
from decision_dna.schemas.errors import CannotOpen, Conflict, HeadMoved, StoreFailed, Unavailable

# The WAL is overwritten from its start after so many pages of 1 KiB, one or two a commit: small enough to be read at
# once, large enough that the two more syncs of a reset fall on fewer than one commit in a hundred.
WAL_PAGES_MAX = 256
BUSY_SECONDS_MAX = 10.0

_CREATE = "CREATE TABLE head (origin TEXT NOT NULL, size INTEGER NOT NULL, root BLOB NOT NULL, note TEXT NOT NULL)"
_CREATE_HOME = """CREATE TABLE IF NOT EXISTS home
    (machine TEXT NOT NULL, inode TEXT NOT NULL, born INTEGER NOT NULL, size INTEGER NOT NULL)"""
_READ_HOMES = "SELECT machine, inode, born, size FROM home ORDER BY rowid"
_HAS_HOMES = "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = 'home'"
_ADOPT = "INSERT INTO home VALUES (?, ?, ?, ?)"
_READ = "SELECT origin, size, root, note FROM head LIMIT 2"
_ADVANCE = """UPDATE head SET origin = ?, size = ?, root = ?, note = ?
    WHERE origin = ? AND size = ? AND root = ? AND note = ?"""


class Locked(msgspec.Struct, frozen=True):
    """The head that stands: origin, tree size, root (32 bytes), and the signed checkpoint as text."""

    origin: str
    size: int
    root: bytes
    note: str


class Adoption(msgspec.Struct, frozen=True):
    """A home that the lock was given, and the size of the head at that time."""

    home: Home
    size: int


class HeadLock(Protocol):
    """The seam to the lock. One contract suite (tests/ledger/test_lock.py) holds `Lock` and `ledger.memory.MemoryLock` to it."""

    def read(self) -> Locked:
        """The head that stands. Raises StoreFailed where it cannot be read, Unavailable once closed."""
        ...

    def advance(self, expected: Locked, new: Locked) -> None:
        """Put `new` in the place of `expected`: durable when it returns.

        Raises HeadMoved if anything else stands, and then nothing has changed. Raises StoreFailed; which of the two
        stands is then unknown until the lock is opened again, and it takes no more advances (Unavailable).
        """
        ...

    def close(self) -> None:
        """Release everything; a second call does nothing."""
        ...


class Lock:
    """A `HeadLock` in a file, for one writer, or for any number of readers beside it. Safe to use from any thread."""

    def __init__(self, path: Path, connection: sqlite3.Connection | None, held: int | None) -> None:
        """Not for callers: `create` and `open` choose the arguments."""
        self._path = path
        self._connection = connection
        self._held = held
        self._failed = False
        self._closed = False
        self._mutex = threading.Lock()

    @classmethod
    def create(cls, path: str, origin: str, size: int, root: bytes, note: str, *, machine: str | None = None) -> Self:
        """A new lock, of mode 0600, that appears whole or not at all; and its writer. Its home is here.

        Raises Conflict where the file exists, CannotOpen `in-use` or `lock-unwritable`, StoreFailed.
        """
        place = Path(path)
        lock = cls(place, None, _hold(place))
        try:
            _check_absent(place)
            with _store_failed("the lock could not be created"):
                _make(place, Locked(origin, size, root, note), machine)
                lock._connection = _connected(place)
            lock._settle()
        except BaseException:
            lock.close()
            raise
        return lock

    @classmethod
    def open(cls, path: str, *, read_only: bool = False, adopt: bool = False, machine: str | None = None) -> Self:
        """The lock's writer, or a reader beside it. With `adopt`, a lock whose home is elsewhere is given this one.

        `machine` replaces this machine's identity. Raises CannotOpen: `lock-missing`, `lock-corrupt`, and for the writer
        `in-use`, `lock-unwritable`, `other-home`.
        """
        place = Path(path)
        if not place.is_file():
            raise CannotOpen("lock-missing", f"there is no lock at {path}")
        lock = cls(place, None, None if read_only else _hold(place))
        try:
            lock._connection = None if read_only else _connected(place)
            lock._check_whole()
            lock._settle()
            if not read_only:
                lock._settle_home(home_of(place, machine), adopt=adopt)
        except CannotOpen:
            lock.close()
            raise
        except (sqlite3.Error, OSError, StoreFailed) as error:
            lock.close()
            raise CannotOpen("lock-corrupt", f"the lock at {path} cannot be read: {error}") from error
        return lock

    def read(self) -> Locked:
        """The head that stands. Raises StoreFailed where it cannot be read, Unavailable once closed."""
        with self._mutex, _store_failed("the lock could not be read"):
            self._check_open()
            if self._connection:
                return _row(self._connection)
            with closing(_connected_beside(self._path)) as connection:
                return _row(connection)

    def homes(self) -> list[Adoption]:
        """The homes that the lock was given, the present one last; empty for a lock that was made before homes were kept.

        Raises StoreFailed, Unavailable.
        """
        with self._mutex, _store_failed("the lock could not be read"):
            self._check_open()
            if self._connection:
                return _homes(self._connection)
            with closing(_connected_beside(self._path)) as connection:
                return _homes(connection)

    def advance(self, expected: Locked, new: Locked) -> None:
        """Put `new` in the place of `expected`: durable when it returns. Raises as `HeadLock.advance` says."""
        with self._mutex:
            self._check_open()
            if self._connection is None or self._failed:
                raise Unavailable("the lock is open for reading only, or an earlier advance failed")
            try:
                done = self._connection.execute(_ADVANCE, (*_values(new), *_values(expected)))
            except sqlite3.Error as error:
                self._failed = True
                raise StoreFailed(f"the lock could not be advanced: {error}") from error
        if done.rowcount != 1:
            raise HeadMoved(f"the lock does not stand at size {expected.size} as expected")

    def close(self) -> None:
        """Release everything; a second call does nothing."""
        with self._mutex:
            self._closed = True
            if self._connection:
                self._connection.close()
                self._connection = None
            if self._held is not None:
                os.close(self._held)
                self._held = None

    def _check_open(self) -> None:
        if self._closed:
            raise Unavailable("the lock is closed")

    def _settle(self) -> None:
        """Read once, which makes the `-wal` of a writer, and make its name durable: SQLite ignores an error of that."""
        self.read()
        if self._held is not None:
            with _store_failed("the folder of the lock could not be synced"):
                _sync(self._path.parent)

    def _settle_home(self, here: Home, *, adopt: bool) -> None:
        """Give the lock this home if it has none, or less is known of it, or with `adopt`. Raises CannotOpen `other-home`."""
        homes = self.homes()
        differs = homes[-1].home.differs_from(here) if homes else ""
        if differs and not adopt:
            raise CannotOpen("other-home", f"{_ELSEWHERE[differs].format(self._path)} {_IF_THE_ONLY_ONE}")
        if not homes or differs or here.knows_more_than(homes[-1].home):
            size = self.read().size
            try:
                with self._mutex:
                    self._record(here, size)
            except sqlite3.Error as error:
                raise CannotOpen("lock-unwritable", f"the lock at {self._path} cannot be adopted: {error}") from error

    def _record(self, here: Home, size: int) -> None:
        """In one transaction, since an older lock has no table for it."""
        if self._connection is not None:
            self._connection.execute("BEGIN IMMEDIATE")
            self._connection.execute(_CREATE_HOME)
            self._connection.execute(_ADOPT, (here.machine, here.inode, here.born, size))
            self._connection.execute("COMMIT")

    def _check_whole(self) -> None:
        with self._mutex, closing(_connected_beside(self._path)) as connection:
            found = connection.execute("PRAGMA integrity_check").fetchone()[0]
        if found != "ok":
            raise StoreFailed(f"integrity check: {found}")


_ELSEWHERE = {
    "machine": "the lock {} was last used on another machine: this is a copy, or its disk was moved.",
    "file": "the lock {} is not the file that its last writer used: the ledger was copied, or the lock was restored.",
}
_IF_THE_ONLY_ONE = (
    "Two copies that are both written to fork the log. If no other copy will be written to again, "
    "and this one has all that was acknowledged, give --adopt once, as in `dna heartbeat DIR --adopt`"
)


# --- the file ------------------------------------------------------------------------------------------------------


def _hold(place: Path) -> int:
    """The descriptor by which this process is the writer, until it is closed or the process dies."""
    try:
        held = os.open(f"{place}.held", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise CannotOpen("lock-unwritable", f"the lock at {place} cannot be held: {error}") from error
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(held)
        raise CannotOpen("in-use", f"another writer holds the lock at {place}") from error
    return held


def _check_absent(place: Path) -> None:
    if place.exists():
        raise Conflict(f"{place} exists already")


def _make(place: Path, head: Locked, machine: str | None) -> None:
    """Build the file under another name, synced, and give it its own: a death in between leaves no half of a lock."""
    unborn = Path(f"{place}.new")
    unborn.unlink(missing_ok=True)
    os.close(os.open(unborn, os.O_CREAT | os.O_EXCL, 0o600))  # -wal and -shm take their mode from it
    with closing(sqlite3.connect(unborn, isolation_level=None)) as connection:
        connection.execute("PRAGMA page_size = 1024")  # a head fits in one
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute(_CREATE)
        connection.execute("INSERT INTO head VALUES (?, ?, ?, ?)", _values(head))
        home = home_of(unborn, machine)  # renamed, it stays the same file
        connection.execute(_CREATE_HOME)
        connection.execute(_ADOPT, (home.machine, home.inode, home.born, head.size))
        connection.execute("PRAGMA journal_mode = WAL")
    unborn.rename(place)
    _sync(place.parent)


def _sync(folder: Path) -> None:
    opened = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def _connected(place: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(
        f"{place.absolute().as_uri()}?mode=rw",
        uri=True,
        isolation_level=None,
        timeout=BUSY_SECONDS_MAX,
        check_same_thread=False,
    )
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute(f"PRAGMA wal_autocheckpoint = {WAL_PAGES_MAX}")
    return connection


def _connected_beside(place: Path) -> sqlite3.Connection:
    """Read only. In a folder that may not be written, a file without a WAL is read as one that nobody changes."""
    log = Path(f"{place}-wal")
    fixed = not os.access(place.parent, os.W_OK) and not log.exists()
    address = f"{place.absolute().as_uri()}?mode=ro" + ("&immutable=1" if fixed else "")
    return sqlite3.connect(address, uri=True, isolation_level=None, timeout=BUSY_SECONDS_MAX)


def _row(connection: sqlite3.Connection) -> Locked:
    rows = connection.execute(_READ).fetchall()
    if len(rows) != 1:
        raise StoreFailed("the lock does not hold one head")
    match rows[0]:  # SQLite lets any column hold any type
        case (str(origin), int(size), bytes(root), str(note)) if size >= 0 and len(root) == 32:
            return Locked(origin, size, root, note)
    raise StoreFailed("the lock does not hold a head")


def _homes(connection: sqlite3.Connection) -> list[Adoption]:
    if connection.execute(_HAS_HOMES).fetchone()[0] == 0:
        return []
    return [_adoption(row) for row in connection.execute(_READ_HOMES)]


def _adoption(row: tuple[object, ...]) -> Adoption:
    match row:
        case (str(machine), str(inode), int(born), int(size)):
            return Adoption(Home(machine, inode, born), size)
    raise StoreFailed("the lock does not hold a home")


def _values(head: Locked) -> tuple[str, int, bytes, str]:
    return head.origin, head.size, head.root, head.note


@contextmanager
def _store_failed(what: str) -> Iterator[None]:
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise StoreFailed(f"{what}: {error}") from error

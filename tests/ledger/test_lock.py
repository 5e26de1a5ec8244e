"""Every promise of the lock, for the file and for the one in memory; then what the file promises to other processes."""

import errno
import json
import signal
import sqlite3
import stat
import subprocess
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from decision_dna.ledger.lock import HeadLock, Lock, Locked
from decision_dna.ledger.memory import Faults, MemoryLock
from decision_dna.schemas.errors import CannotOpen, Conflict, HeadMoved, StoreFailed, Unavailable
from tests.faults import shim
from tests.faults.shim import FAIL_ON, FAIL_ONCE, KILL_AFTER, KILL_BEFORE, TORN
from tests.ledger.store_processes import AFTER, BEFORE
from tests.ledger.test_store_faults import MODULE, ask, said, start

OTHERS = {
    "origin": Locked("example.org/other", BEFORE.size, BEFORE.root, BEFORE.note),
    "size": Locked(BEFORE.origin, 0, BEFORE.root, BEFORE.note),
    "root": Locked(BEFORE.origin, BEFORE.size, AFTER.root, BEFORE.note),
    "note": Locked(BEFORE.origin, BEFORE.size, BEFORE.root, "note 1, signed anew\n"),
}


def created(path: Path) -> Lock:
    return Lock.create(str(path), BEFORE.origin, BEFORE.size, BEFORE.root, BEFORE.note)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "lock"


@pytest.fixture(params=["file", "memory"])
def lock(request: pytest.FixtureRequest, path: Path) -> Iterator[HeadLock]:
    lock = created(path) if request.param == "file" else MemoryLock(BEFORE)
    yield lock
    lock.close()


def opened_again(lock: HeadLock, path: Path) -> HeadLock:
    lock.close()
    return lock.restart() if isinstance(lock, MemoryLock) else Lock.open(str(path))


# --- the contract --------------------------------------------------------------------------------------------------


def test_it_holds_the_head_that_it_was_given(lock: HeadLock) -> None:
    assert lock.read() == BEFORE


def test_it_advances_from_what_stands(lock: HeadLock, path: Path) -> None:
    lock.advance(BEFORE, AFTER)
    assert lock.read() == AFTER
    with closing(opened_again(lock, path)) as again:
        assert again.read() == AFTER


@pytest.mark.parametrize("field", OTHERS)
def test_it_does_not_advance_from_anything_else(lock: HeadLock, path: Path, field: str) -> None:
    with pytest.raises(HeadMoved):
        lock.advance(OTHERS[field], AFTER)
    assert lock.read() == BEFORE
    lock.advance(BEFORE, AFTER)
    assert lock.read() == AFTER


def test_of_many_threads_that_advance_one_head_one_succeeds(lock: HeadLock) -> None:
    outcomes = []

    def advance(number: int) -> None:
        try:
            lock.advance(BEFORE, Locked(BEFORE.origin, 2, bytes([number]) * 32, f"note of {number}\n"))
            outcomes.append(number)
        except HeadMoved:
            pass

    threads = [threading.Thread(target=advance, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [lock.read().note] == [f"note of {number}\n" for number in outcomes]


def test_closed_it_is_unavailable(lock: HeadLock) -> None:
    lock.close()
    lock.close()
    with pytest.raises(Unavailable):
        lock.read()
    with pytest.raises(Unavailable):
        lock.advance(BEFORE, AFTER)


def test_it_holds_any_note(lock: HeadLock, path: Path) -> None:
    long = Locked(BEFORE.origin, 2**62, b"\x00\xff" * 16, "— ünïcode '\"; DROP TABLE head\n" * 1000)
    lock.advance(BEFORE, long)
    with closing(opened_again(lock, path)) as again:
        assert again.read() == long
        again.advance(long, AFTER)


@pytest.mark.parametrize(
    ("stored", "seen_at_once", "found_later"),
    [("never", BEFORE, BEFORE), ("later", BEFORE, AFTER), ("now", AFTER, AFTER)],
)
def test_memory_fails_the_advance_that_the_faults_name(stored: Any, seen_at_once: Locked, found_later: Locked) -> None:
    lock = MemoryLock(BEFORE, Faults(write=1, stored=stored))
    with pytest.raises(StoreFailed):
        lock.advance(BEFORE, AFTER)
    with pytest.raises(Unavailable):
        lock.advance(lock.read(), AFTER)
    assert (lock.read(), lock.restart().read()) == (seen_at_once, found_later)


# --- the file ------------------------------------------------------------------------------------------------------


def reason(path: Path, *, read_only: bool = False) -> str:
    with pytest.raises(CannotOpen) as caught:
        Lock.open(str(path), read_only=read_only)
    return caught.value.reason


def test_creating_refuses_an_existing_file_and_leaves_it_alone(path: Path) -> None:
    with closing(created(path)) as lock:
        lock.advance(BEFORE, AFTER)
    with pytest.raises(Conflict):
        created(path)
    with closing(Lock.open(str(path))) as lock:
        assert lock.read() == AFTER


@pytest.mark.parametrize("read_only", [False, True])
def test_a_missing_lock_is_named(path: Path, read_only: bool) -> None:
    assert reason(path, read_only=read_only) == "lock-missing"
    assert list(path.parent.iterdir()) == []


def test_nobody_else_may_read_its_files(path: Path) -> None:
    with closing(created(path)) as lock:
        lock.advance(BEFORE, AFTER)
        modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
    assert modes == dict.fromkeys(("lock", "lock-wal", "lock-shm", "lock.held"), 0o600)


def test_a_folder_that_is_not_there_is_an_error_of_ours(tmp_path: Path) -> None:
    with pytest.raises(CannotOpen):
        created(tmp_path / "nowhere" / "lock")


def test_one_writer_in_a_process_and_in_all(path: Path) -> None:
    with closing(created(path)):
        assert reason(path) == "in-use"
        with start("hold_lock", str(path)) as other:
            assert next(said(other)) == {"reason": "in-use"}
    with start("hold_lock", str(path)) as other:
        assert next(said(other)) == {"reason": "", "size": BEFORE.size}
        assert reason(path) == "in-use"
    Lock.open(str(path)).close()


def test_readers_in_other_processes_see_each_advance_and_stop_nobody(path: Path) -> None:
    with (
        closing(created(path)) as lock,
        start("read_lock", str(path)) as first,
        start("read_lock", str(path)) as second,
    ):
        head = BEFORE
        for size in range(2, 400):  # past a reset of SQLite's WAL
            new = Locked(head.origin, size, size.to_bytes(32, "big"), f"note {size}\n")
            lock.advance(head, new)
            head = new
            if size % 20 == 0:
                assert ask(first) == ask(second) == {"size": size}
        for reader in (first, second):
            reader.stdin.close()  # type: ignore[union-attr]
        assert (path.parent / "lock-wal").stat().st_size < 500_000


def test_a_reader_advances_nothing(path: Path) -> None:
    with closing(created(path)), closing(Lock.open(str(path), read_only=True)) as reader:
        with pytest.raises(Unavailable):
            reader.advance(BEFORE, AFTER)
        assert reader.read() == BEFORE


@pytest.mark.parametrize("writer_runs", [True, False])
def test_a_reader_needs_no_right_to_write_the_folder(path: Path, writer_runs: bool) -> None:
    lock = created(path)
    lock.advance(BEFORE, AFTER)
    if not writer_runs:
        lock.close()
    path.parent.chmod(0o555)
    try:
        with start("read_lock_unprivileged", str(path)) as reader:
            assert next(said(reader)) == {"writable": False, "size": AFTER.size}
    finally:
        path.parent.chmod(0o700)
    lock.close()


def test_killed_while_advancing_what_was_acknowledged_stands(path: Path) -> None:
    created(path).close()
    for _ in range(3):
        with start("advance_for_ever", str(path)) as writer:
            sizes = [words["size"] for words, _ in zip(said(writer), range(40), strict=False)]
            writer.kill()
        with closing(Lock.open(str(path))) as lock:
            head = lock.read()
        assert head.size >= sizes[-1]
        assert (head.root, head.note) == ((head.size - 1).to_bytes(32, "big"), f"note {head.size}\n")


# --- damage --------------------------------------------------------------------------------------------------------


def rewritten(path: Path, *statements: str) -> None:
    created(path).close()
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for statement in statements:
            connection.execute(statement)


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM head",
        "INSERT INTO head SELECT * FROM head",
        "UPDATE head SET root = x'00'",
        "UPDATE head SET root = 'text'",
        "UPDATE head SET size = -1",
        "UPDATE head SET size = 'many'",
        "UPDATE head SET note = x'ff'",
        "UPDATE head SET note = CAST(x'ff' AS TEXT)",
        "UPDATE head SET origin = 7.5e300",
        "DROP TABLE head",
        "ALTER TABLE head RENAME COLUMN root TO r00t",
    ],
)
@pytest.mark.parametrize("read_only", [False, True])
def test_a_row_that_is_no_head_is_named(path: Path, statement: str, read_only: bool) -> None:
    rewritten(path, statement)
    if statement == "UPDATE head SET origin = 7.5e300":  # a TEXT column makes text of it, which the ledger compares
        assert Lock.open(str(path), read_only=True).read().origin != BEFORE.origin
    else:
        assert reason(path, read_only=read_only) == "lock-corrupt"


@pytest.mark.parametrize("content", [b"", b"not SQLite at all, but long enough to be looked at by it" * 100])
def test_a_file_that_is_no_lock_is_named(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    assert reason(path) == "lock-corrupt"
    assert path.read_bytes() == content


def test_each_byte_of_the_file_flipped_is_named_or_seen_in_the_head_or_changes_nothing(path: Path) -> None:
    created(path).close()
    whole = path.read_bytes()
    seen = {"lock-corrupt": 0, "other head": 0, "same head": 0}
    for at in range(len(whole)):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 0x01]) + whole[at + 1 :])
        try:
            with closing(Lock.open(str(path), read_only=True)) as lock:
                seen["same head" if lock.read() == BEFORE else "other head"] += 1
        except CannotOpen as error:
            seen[error.reason] += 1
    assert sum(seen.values()) == len(whole)
    values = len(BEFORE.origin) + len(BEFORE.root) + len(BEFORE.note)
    assert seen["other head"] >= values - 1  # (a size of 1 takes no byte of its own)
    assert seen["lock-corrupt"] > 50


# --- failing calls -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return shim.build(tmp_path_factory.mktemp("shim"))


def told(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    assert done.returncode == 0, done.stderr
    words: dict[str, Any] = json.loads(done.stdout)
    return words


ADVANCE_CALLS = 6
"""The first advance after opening: header and frame of the WAL with their syncs; those that follow make fewer."""
FOLDER_CALL = 3
"""SQLite syncs the folder of a new WAL and ignores an error of that. The lock did it before, and does not."""


def test_an_advance_makes_as_many_calls_as_are_failed_below(library: Path, path: Path) -> None:
    words = told(shim.run(library, path.parent, MODULE, "fail_advance", str(path), "0", "0", "0"))
    assert words["outcomes"] == ["done", "done"]
    assert ADVANCE_CALLS < words["count"] <= 2 * ADVANCE_CALLS


@pytest.mark.parametrize("error", [errno.EIO, errno.ENOSPC])
@pytest.mark.parametrize("action", [FAIL_ONCE, FAIL_ON])
@pytest.mark.parametrize("nth", range(1, ADVANCE_CALLS + 1))
def test_a_call_of_an_advance_fails(library: Path, path: Path, nth: int, action: int, error: int) -> None:
    arguments = (str(path), str(nth), str(action), str(error))
    words = told(shim.run(library, path.parent, MODULE, "fail_advance", *arguments))
    if nth == FOLDER_CALL and action == FAIL_ONCE:
        assert words["outcomes"] == ["done", "done"], words
    else:
        assert words["outcomes"] == ["StoreFailed", "Unavailable"], words
    with closing(Lock.open(str(path))) as lock:
        assert lock.read() in (BEFORE, AFTER)


@pytest.mark.parametrize("action", [KILL_BEFORE, KILL_AFTER, TORN])
@pytest.mark.parametrize("nth", range(1, ADVANCE_CALLS + 1))
def test_the_process_dies_at_a_call_of_an_advance(library: Path, path: Path, nth: int, action: int) -> None:
    done = shim.run(library, path.parent, MODULE, "fail_advance", str(path), str(nth), str(action), "0")
    assert done.returncode == -signal.SIGKILL, done.stderr
    with closing(Lock.open(str(path))) as lock:
        head = lock.read()
        assert head in (BEFORE, AFTER)
        lock.advance(head, OTHERS["note"])


@pytest.mark.parametrize("action", [FAIL_ONCE, FAIL_ON, KILL_BEFORE, KILL_AFTER, TORN])
def test_each_call_of_creating_failed_or_fatal_leaves_a_whole_lock_or_none(
    library: Path, tmp_path: Path, action: int
) -> None:
    def fail(first: int, last: int) -> subprocess.CompletedProcess[str]:
        arguments = (str(tmp_path), str(action), str(errno.EIO), str(first), str(last))
        return shim.run(library, tmp_path, MODULE, "fail_create", *arguments)

    calls = told(fail(0, 0))["count"]
    assert calls > 5
    assert fail(1, calls).returncode == 0
    for nth in range(1, calls + 1):
        path = tmp_path / str(action) / str(nth) / "lock"
        with closing(Lock.open(str(path)) if path.exists() else created(path)) as lock:
            assert lock.read() == BEFORE

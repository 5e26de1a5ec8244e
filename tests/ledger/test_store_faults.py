"""The real store when its process is killed, its disk fails, and other processes look at it meanwhile."""

import errno
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from decision_dna.ledger.rocks import RocksStore
from tests.data import ROOT
from tests.faults import shim
from tests.faults.shim import FAIL_ON, FAIL_ONCE, KILL_AFTER, KILL_BEFORE, TORN
from tests.ledger.store_cases import check_numbered, write_numbered

MODULE = "tests.ledger.store_processes"
DEATHS = (KILL_BEFORE, KILL_AFTER, TORN)
COMMIT_CALLS = 2
"""One durable write of a small batch: a write of the WAL and its fdatasync."""


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return shim.build(tmp_path_factory.mktemp("shim"))


def start(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", MODULE, *arguments],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def said(process: subprocess.Popen[str]) -> Iterator[dict[str, Any]]:
    assert process.stdout is not None
    return map(json.loads, process.stdout)


def ask(process: subprocess.Popen[str]) -> dict[str, Any]:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()
    return next(said(process))


def lines(done: subprocess.CompletedProcess[str]) -> list[dict[str, Any]]:
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


# --- killed --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("acknowledged", "size"),
    [(1, 100), (17, 100), (200, 20_000), pytest.param(900, 80_000, id="after flushes: 72 MB, the WAL is at most 48")],
)
def test_killed_while_writing_all_that_was_acknowledged_is_there_and_each_batch_is_whole(
    tmp_path: Path, acknowledged: int, size: int
) -> None:
    with start("write_for_ever", str(tmp_path / "store"), str(size)) as process:
        for words in said(process):
            if words["written"] == acknowledged - 1:
                break
        process.kill()
    with RocksStore.open(str(tmp_path / "store"), create=False) as store:
        count = check_numbered(store)
        assert count >= acknowledged
        write_numbered(store, count, durable=True)
        assert check_numbered(store) == count + 1


# --- other processes -----------------------------------------------------------------------------------------------


def test_a_reader_in_another_process_catches_up_when_it_refreshes(tmp_path: Path) -> None:
    path, scratch = str(tmp_path / "store"), str(tmp_path / "scratch")
    with RocksStore.open(path, create=True) as store, start("read_beside", path, scratch) as reader:
        for number in range(20):
            write_numbered(store, number, durable=number % 2 == 0, size=5000)
            if number % 5 == 4:
                store.compact("entries")
            assert ask(reader) == {"count": number + 1}
        reader.stdin.close()  # type: ignore[union-attr]
    assert reader.returncode == 0


def test_another_process_cannot_write_the_same_store(tmp_path: Path) -> None:
    path = str(tmp_path / "store")
    with RocksStore.open(path, create=True), start("open_writing", path) as other:
        assert next(said(other)) == {"reason": "store-in-use"}
    with start("open_writing", path) as other:
        assert next(said(other)) == {"reason": ""}


# --- failing calls -------------------------------------------------------------------------------------------------


def test_a_commit_makes_as_many_calls_as_are_failed_below(library: Path, tmp_path: Path) -> None:
    done = shim.run(library, tmp_path, MODULE, "fail_write", str(tmp_path / "store"), "0", "0", "0")
    assert lines(done) == [{"outcomes": ["done", "done"], "count": 2 * COMMIT_CALLS, "name": "", "held": 3}]


@pytest.mark.parametrize("error", [errno.EIO, errno.ENOSPC])
@pytest.mark.parametrize("action", [FAIL_ONCE, FAIL_ON])
@pytest.mark.parametrize("nth", range(1, COMMIT_CALLS + 1))
def test_a_call_of_a_commit_fails(library: Path, tmp_path: Path, nth: int, action: int, error: int) -> None:
    arguments = (str(tmp_path / "store"), str(nth), str(action), str(error))
    (told,) = lines(shim.run(library, tmp_path, MODULE, "fail_write", *arguments))
    assert told["outcomes"] == ["StoreFailed", "Unavailable"], told["name"]
    with RocksStore.open(str(tmp_path / "store"), create=False) as store:
        assert check_numbered(store) in (1, 2)


@pytest.mark.parametrize("action", DEATHS)
@pytest.mark.parametrize("nth", range(1, COMMIT_CALLS + 1))
def test_the_process_dies_at_a_call_of_a_commit(library: Path, tmp_path: Path, nth: int, action: int) -> None:
    done = shim.run(library, tmp_path, MODULE, "fail_write", str(tmp_path / "store"), str(nth), str(action), "0")
    assert done.returncode == -signal.SIGKILL, done.stderr
    written = nth > 1 or action == KILL_AFTER
    with RocksStore.open(str(tmp_path / "store"), create=False) as store:
        assert check_numbered(store) == (2 if written else 1)


@pytest.mark.parametrize("error", [errno.EIO, errno.ENOSPC])
@pytest.mark.parametrize("step", ["close", "open", "compact", "checkpoint"])
def test_each_call_of_the_other_steps_failed_once_loses_nothing(
    library: Path, tmp_path: Path, step: str, error: int
) -> None:
    def told(first: int, last: int) -> list[dict[str, Any]]:
        arguments = (str(tmp_path), step, str(error), str(first), str(last))
        return lines(shim.run(library, tmp_path, MODULE, "fail_around", *arguments))

    (faultless,) = told(0, 0)
    assert faultless["outcome"] == "done"
    assert faultless["count"] >= 5
    failed = told(1, faultless["count"])
    assert len(failed) == faultless["count"]
    for words in failed:
        assert words["outcome"] in {"done", "StoreFailed", "CannotOpen"}, words
        with RocksStore.open(str(tmp_path / str(words["nth"])), create=False) as store:
            assert check_numbered(store) == 20, words


def test_a_full_disk_stops_the_writer_and_loses_nothing(tmp_path: Path) -> None:
    with start("limit_files", str(tmp_path / "store"), "100000") as process:
        stopped, refused = list(said(process))
    assert stopped["outcome"] == "StoreFailed"
    assert refused == {"refused": True}
    assert stopped["written"] > 10
    with RocksStore.open(str(tmp_path / "store"), create=False) as store:
        assert check_numbered(store) in (stopped["written"], stopped["written"] + 1)

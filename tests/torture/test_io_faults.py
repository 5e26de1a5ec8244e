"""Each write and sync of a step fails once, or is the last thing that the process does: what was acknowledged stays.

The steps are those of `tests.torture.appending`: a commit, an erasure with its compaction, and an opening that has to bring
the lock up to the store. Afterwards, without a fault, the ledger opens and verifies, or says why it does not.
"""

import errno
import json
import shutil
from collections import defaultdict
from collections.abc import Callable
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import pytest

from decision_dna.ledger.clock import ManualClock
from decision_dna.ledger.folder import verify_folder
from decision_dna.ledger.hashing import entry_hash
from decision_dna.ledger.opening import open_ledger
from decision_dna.ledger.writer import Placed
from decision_dna.schemas.errors import CannotOpen
from tests.faults import shim
from tests.faults.shim import FAIL_ON, FAIL_ONCE, KILL_AFTER, KILL_BEFORE, NEVER, TORN
from tests.ledger.samples import copy_ledger, draft, fill, new_ledger
from tests.torture.appending import ERASED, FAULTY, LATER, SOURCES, drafts_of

MODULE = "tests.torture.appending"
FAULTS = {
    "EIO": (FAIL_ONCE, errno.EIO),
    "EIO from then on": (FAIL_ON, errno.EIO),
    "ENOSPC": (FAIL_ONCE, errno.ENOSPC),
    "ENOSPC from then on": (FAIL_ON, errno.ENOSPC),
    "killed before": (KILL_BEFORE, 0),
    "killed after": (KILL_AFTER, 0),
    "killed half-way": (TORN, 0),
}
COMMIT_CALLS = 5
"""Write and sync of the store's WAL; two writes and a sync of the lock's."""

CALLS_MIN = 20
"""Of the other steps, at least: they make files too."""

SAMPLED = 6

Lines = dict[int, list[dict[str, Any]]]
Counted = Callable[[str], int]


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return shim.build(tmp_path_factory.mktemp("shim"))


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small ledger whose last commit is not locked: as a process leaves it that died in between."""
    path = tmp_path_factory.mktemp("ledger") / "d"
    ledger, clock = new_ledger(path)
    with ledger:
        fill(ledger, clock)
        before = shutil.copytree(path / "lock", path.parent / "lock-before")
        ledger.append([draft(number) for number in range(3)])
    shutil.rmtree(path / "lock")
    shutil.copytree(before, path / "lock")
    return path


def failed(library: Path, original: Path, folder: Path, step: str, fault: str, first: int, last: int) -> Lines:
    """What is said in the processes that meet the fault at call first…last."""
    for nth in range(first, last + 1):
        copy_ledger(original, folder / str(nth))
        if step != "open":
            open_ledger(folder / str(nth), clock=ManualClock(LATER)).close()
    action, error = FAULTS[fault]
    done = shim.run(library, folder, MODULE, "fail", str(folder), step, str(action), str(error), str(first), str(last))
    assert done.returncode == 0, done.stderr
    said: Lines = defaultdict(list)
    for line in done.stdout.splitlines():
        words = json.loads(line)
        said[words["nth"]].append(words)
    return said


@pytest.fixture(scope="module")
def calls(library: Path, original: Path, tmp_path_factory: pytest.TempPathFactory) -> Counted:
    """How many calls a step makes where none fails."""

    @cache
    def count(step: str) -> int:
        said = failed(library, original, tmp_path_factory.mktemp(step), step, "EIO", NEVER, NEVER)[0]
        return int(next(words["count"] for words in said if "count" in words))

    return count


def check_after(path: Path, said: list[dict[str, Any]]) -> str:
    """Opened without a fault, everything that was said holds; or it is refused. Returns the reason of the refusal."""
    try:
        ledger = open_ledger(path, clock=ManualClock(LATER))
    except CannotOpen as refused:
        return refused.reason
    with ledger:
        answers = [words for words in said if words.get("source") == FAULTY]
        told = {n: placed for words in answers for n, placed in enumerate(words["placed"], words["first"])}
        outcomes = ledger.append(drafts_of(FAULTY, range(3 * SOURCES[FAULTY]))).outcomes
        for number, placed in enumerate(outcomes):
            assert isinstance(placed, Placed), placed
            if number in told:
                assert [placed.seq, placed.hash.hex(), placed.duplicate] == [*told[number], True]
            assert entry_hash(ledger.reader.raw(placed.seq)) == placed.hash
        if any("erased" in words for words in said):
            assert ledger.reader.event(ERASED).payload is None
        given = [words["note"].encode() for words in said if "note" in words]
        kept = [ledger.reader.note_of(size) for size in ledger.reader.heads()]
        signed = [words["signed"] for words in said if "signed" in words]
        check_one_root_for_a_size(signed + [note.decode() for note in [*given, *kept]])
    report = verify_folder(path, ledger.vkey, earlier=given)
    assert report.findings == []
    return ""


def check_one_root_for_a_size(texts: list[str]) -> None:
    """Of heads that were signed: no two of one size have different roots."""
    roots = defaultdict[int, set[str]](set)
    for text in texts:
        _, size, root, *_ = text.split("\n")
        roots[int(size)].add(root)
    assert {size for size, found in roots.items() if len(found) > 1} == set()


def check_calls(library: Path, original: Path, folder: Path, step: str, fault: str, first: int, last: int) -> None:
    """Let each of the calls first…last of a step meet the fault, and look at what is left."""
    said = failed(library, original, folder, step, fault, first, last)
    for nth in range(first, last + 1):
        assert check_after(folder / str(nth), said[nth]) == "", (nth, said[nth])


@pytest.mark.parametrize("fault", FAULTS)
def test_every_call_of_a_commit_meets_a_fault(
    library: Path, original: Path, calls: Counted, tmp_path: Path, fault: str
) -> None:
    assert calls("commit") == COMMIT_CALLS
    check_calls(library, original, tmp_path, "commit", fault, 1, COMMIT_CALLS)


@pytest.mark.parametrize(
    ("step", "fault"), [("erase", "EIO"), ("erase", "killed half-way"), ("open", "ENOSPC"), ("open", "killed after")]
)
def test_some_calls_of_an_erasure_and_of_an_opening_meet_a_fault(
    library: Path, original: Path, calls: Counted, tmp_path: Path, step: str, fault: str
) -> None:
    assert calls(step) >= CALLS_MIN
    first = Random().randint(1, calls(step) - SAMPLED)  # the folders are named in what fails
    check_calls(library, original, tmp_path, step, fault, first, first + SAMPLED)


@pytest.mark.torture
@pytest.mark.parametrize("step", ["erase", "open"])
@pytest.mark.parametrize("fault", FAULTS)
def test_every_call_of_an_erasure_and_of_an_opening_meets_a_fault(
    library: Path, original: Path, calls: Counted, tmp_path: Path, step: str, fault: str
) -> None:
    check_calls(library, original, tmp_path, step, fault, 1, calls(step))

"""The home in the lock: which starts of a moved, copied or restored ledger open, and which refuse without --adopt."""

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from decision_dna.ledger.home import Home, home_of, machine_identity
from decision_dna.ledger.lock import Adoption, Lock
from decision_dna.ledger.opening import lock_file, open_ledger
from decision_dna.schemas.errors import CannotOpen
from tests.ledger.samples import draft, new_ledger
from tests.ledger.store_processes import AFTER, BEFORE

HERE, ELSEWHERE, NO_ID = "a" * 32, "b" * 32, ""


def created(path: Path, machine: str = HERE) -> Path:
    path.parent.mkdir(exist_ok=True)
    Lock.create(str(path), BEFORE.origin, BEFORE.size, BEFORE.root, BEFORE.note, machine=machine).close()
    return path


def refusal(path: Path, machine: str = HERE, *, adopt: bool = False) -> str:
    """The reason, or nothing."""
    try:
        Lock.open(str(path), machine=machine, adopt=adopt).close()
    except CannotOpen as error:
        return error.reason
    return ""


def homes(path: Path) -> list[Adoption]:
    with closing(Lock.open(str(path), read_only=True)) as lock:
        return lock.homes()


# --- what happened to the folder: the table of decision 27 -------------------------------------------------------------


def stays(folder: Path) -> Path:
    return folder


def is_moved(folder: Path) -> Path:
    return folder.rename(folder.with_name("moved"))


def is_copied(folder: Path) -> Path:
    return shutil.copytree(folder, folder.with_name("copy"))


def has_its_lock_restored(folder: Path) -> Path:
    saved = shutil.copy2(folder / "lock", folder / "saved")
    (folder / "lock").unlink()
    shutil.move(saved, folder / "lock")
    return folder


WHAT_HAPPENED = {
    "started again": (stays, HERE, HERE, ""),
    "moved in its file system": (is_moved, HERE, HERE, ""),
    "copied on this machine": (is_copied, HERE, HERE, "other-home"),
    "copied to another machine": (is_copied, HERE, ELSEWHERE, "other-home"),
    "its disk attached to another machine": (stays, HERE, ELSEWHERE, "other-home"),
    "its lock restored from a backup": (has_its_lock_restored, HERE, HERE, "other-home"),
    "a new container without an id": (stays, NO_ID, NO_ID, ""),
    "a copy in a container without an id": (is_copied, NO_ID, NO_ID, "other-home"),
    "from a machine into a container without an id": (stays, HERE, NO_ID, ""),
    "from a container without an id to a machine": (stays, NO_ID, HERE, ""),
}
"""(what happens to the folder, the machine before, the machine then, the refusal)"""


@pytest.mark.parametrize("case", WHAT_HAPPENED)
def test_home_of_a_folder_to_which_something_happened(case: str, tmp_path: Path) -> None:
    """A second start of a copy refuses; a restart or a move within a file system does not."""
    happens, before, then, reason = WHAT_HAPPENED[case]
    path = happens(created(tmp_path / "folder" / "lock", before).parent) / "lock"
    held = homes(path)
    assert refusal(path, then) == reason
    if reason:
        assert homes(path) == held


@pytest.mark.parametrize("machine", [HERE, ELSEWHERE])
def test_home_adopted_is_recorded_and_stays(machine: str, tmp_path: Path) -> None:
    """--adopt is needed once: the lock keeps both homes, with the size at which the new one began."""
    path = is_copied(created(tmp_path / "folder" / "lock").parent) / "lock"
    assert refusal(path, machine) == "other-home"
    assert refusal(path, machine, adopt=True) == ""
    assert refusal(path, machine) == ""
    assert refusal(path, machine, adopt=True) == ""
    assert [(each.home.machine, each.size) for each in homes(path)] == [(HERE, BEFORE.size), (machine, BEFORE.size)]
    assert homes(path)[-1].home == home_of(path, machine)


def test_home_of_a_container_is_completed_by_the_machine_that_knows_more(tmp_path: Path) -> None:
    """Once a machine id is known, a disk that is moved to another machine is noticed."""
    path = created(tmp_path / "folder" / "lock", NO_ID)
    assert [refusal(path, HERE), refusal(path, ELSEWHERE), refusal(path, NO_ID)] == ["", "other-home", ""]


def test_home_is_added_to_a_lock_that_was_made_before_homes_were_kept(tmp_path: Path) -> None:
    """An older lock takes the home of its next writer, and refuses others from then on; its head is what it was."""
    path = created(tmp_path / "folder" / "lock")
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("DROP TABLE home")
    assert homes(path) == []
    assert refusal(path) == ""
    assert homes(path) == [Adoption(home_of(path, HERE), BEFORE.size)]
    assert refusal(path, ELSEWHERE) == "other-home"
    with closing(Lock.open(str(path), machine=HERE)) as lock:
        lock.advance(BEFORE, AFTER)
        assert lock.read() == AFTER


def test_home_does_not_concern_readers(tmp_path: Path) -> None:
    """A copy is read as it is."""
    path = is_copied(created(tmp_path / "folder" / "lock").parent) / "lock"
    with closing(Lock.open(str(path), read_only=True)) as lock:
        assert lock.read() == BEFORE


@pytest.mark.parametrize(
    "statement", ["UPDATE home SET machine = x'ff'", "ALTER TABLE home RENAME COLUMN born TO b0rn"]
)
def test_home_that_is_damaged_is_named(statement: str, tmp_path: Path) -> None:
    """A row that is no home is a damaged lock."""
    path = created(tmp_path / "folder" / "lock")
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute(statement)
    assert refusal(path) == "lock-corrupt"


def test_machine_identity_is_of_the_first_file_with_an_id(tmp_path: Path) -> None:
    """The id is hashed, and a file without one counts as no id."""
    texts = {"uninitialized": "uninitialized\n", "empty": "", "zeros": "0" * 32, "id": "0123456789abcdef" * 2 + "\n"}
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
    files = tuple(tmp_path / name for name in ("absent", *texts))
    assert machine_identity(files[:-1]) == ""
    identity = machine_identity(files)
    assert len(identity) == 32
    assert identity not in texts["id"]
    assert machine_identity(files[-1:]) == identity


def test_homes_differ_only_by_what_both_know() -> None:
    """An unknown machine or birth is not compared."""
    known = Home(HERE, "7", 9)
    assert known.differs_from(Home(NO_ID, "7", 0)) == ""
    assert known.differs_from(Home(NO_ID, "8", 0)) == "file"
    assert known.differs_from(Home(NO_ID, "7", 8)) == "file"
    assert known.differs_from(Home(ELSEWHERE, "7", 9)) == "machine"


def test_copied_ledger_does_not_open_twice(tmp_path: Path) -> None:
    """The original goes on; the copy refuses, and appends nothing, until it is adopted."""
    ledger, clock = new_ledger(tmp_path / "d")
    ledger.close()
    copy = shutil.copytree(tmp_path / "d", tmp_path / "copy")
    open_ledger(tmp_path / "d", clock=clock).close()
    with pytest.raises(CannotOpen, match="--adopt") as refused:
        open_ledger(copy, clock=clock)
    assert refused.value.reason == "other-home"
    with open_ledger(copy, clock=clock, adopt=True) as adopted:
        adopted.append([draft(1)])
        size = adopted.reader.size
    with open_ledger(copy, clock=clock) as again:
        assert again.reader.size == size
    assert len(homes(lock_file(copy))) == 2

"""A ledger whose lock is lost, read with `--read-only`: what is shown, what is said to be unknown, and that nothing is written."""

import os
import shutil
from pathlib import Path

import pytest

from decision_dna.ledger import layout
from decision_dna.ledger.rocks import RocksStore
from tests.cli.calling import dna, done, is_one_sentence, new_ledger, submission, vkey_of, write_lines

HEADS = (1, 4, 5, 6)
"""Genesis, three events, a heartbeat, one event: the last head was in the lock alone."""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    path = new_ledger(folder, 3)
    done("heartbeat", path)
    done("append", path, write_lines(folder / "more.ndjson", submission(9)))
    done("verify", path, "--key", vkey_of(path), "--keep", folder / "seen.head")
    return folder


@pytest.fixture
def path(made: Path, tmp_path: Path) -> Path:
    """Its lock is lost."""
    shutil.copytree(made, tmp_path / "made")
    shutil.rmtree(tmp_path / "made" / "d" / "lock")
    return tmp_path / "made" / "d"


def reading(path: Path) -> dict[str, list[object]]:
    """Every command that takes --read-only, with its arguments."""
    out = path.parent
    return {
        "show": [path, 1],
        "query": [path],
        "lineage": [path, 1],
        "tail": [path],
        "status": [path],
        "export": [path, "-o", out / "x.ndjson"],
        "prove": [path, 1, "-o", out / "e.json"],
        "verify": [path, "--key", vkey_of(path)],
    }


COMMANDS = ("show", "query", "lineage", "tail", "status", "export", "prove", "verify")


def contents(path: Path) -> dict[str, tuple[int, bytes]]:
    """Every file of a folder: when it was written, and what is in it."""
    return {
        str(file.relative_to(path)): (file.stat().st_mtime_ns, file.read_bytes() if file.is_file() else b"")
        for file in sorted(path.rglob("*"))
    }


@pytest.mark.parametrize("command", COMMANDS)
def test_a_lost_lock_is_named_with_advice_that_exists(command: str, path: Path) -> None:
    """Without --read-only every command refuses, and names the command that reads without the lock."""
    said = dna(command, *reading(path)[command])
    assert (said.code, is_one_sentence(said.err)) == (3, True), said
    assert f"`dna verify {path} --read-only`" in said.err


@pytest.mark.parametrize("command", COMMANDS)
def test_read_only_reads_without_the_lock_and_says_what_is_unknown(command: str, path: Path) -> None:
    """Every reading command reads up to the newest signed head in the database, says what is open, and writes nothing."""
    before = contents(path)
    said = dna(command, *reading(path)[command], "--read-only")
    assert contents(path) == before
    assert said.code == 0, said
    sentence = said.out + said.err
    assert "up to size 5" in sentence
    assert "that nothing after it was signed and published" in sentence
    assert "that the database is not older than the lock was" in sentence
    assert "1 later entry is unproven" in sentence
    assert is_one_sentence(said.err) or command in ("verify", "status")


@pytest.mark.parametrize("state", ["missing", "empty", "damaged"])
def test_read_only_does_not_depend_on_the_state_of_the_lock(state: str, path: Path, made: Path) -> None:
    """A lock that is missing, empty or damaged keeps nobody from reading."""
    if state != "missing":
        shutil.copytree(made / "d" / "lock", path / "lock")
        (path / "lock" / "head.sqlite").write_bytes(b"" if state == "empty" else b"not SQLite" * 100)
        assert dna("verify", path).code == 3
    assert done("verify", path, "--read-only", "--json").json["size"] == 5


def test_read_only_shows_only_what_is_proven(path: Path) -> None:
    """The entry of the last commit, whose head was in the lock alone, is not shown as if it were signed."""
    assert [line["seq"] for line in dna("tail", path, "--read-only", "--json").lines] == [0, 1, 2, 3, 4]
    said = dna("show", path, 5, "--read-only")
    assert said.code == 1


def test_verify_read_only_is_not_a_plain_pass(path: Path) -> None:
    """Step 7, completeness and freshness are inconclusive, the last line names the lock, and --strict ends with 3."""
    key = ["--key", vkey_of(path), "--read-only"]
    said = done("verify", path, *key, "--json").json
    assert said["holds"]
    assert [step["status"] for step in said["steps"] if step["step"] == 7] == ["inconclusive"]
    assert said["verdicts"]["completeness"] == "inconclusive: the lock was not read"
    assert said["verdicts"]["freshness"] == "inconclusive: the lock was not read"
    assert (said["verdicts"]["integrity"], said["verdicts"]["authenticity"]) == ("pass", "pass")
    last = done("verify", path, *key).out.splitlines()[-1]
    assert "the lock was not read" in last
    assert "after size 5 is not known" in last
    strict = dna("verify", path, *key, "--strict")
    assert strict.code == 3
    assert "the lock was not read" in strict.out.splitlines()[-1]


def test_verify_read_only_goes_as_far_as_a_head_that_was_kept(path: Path) -> None:
    """A head kept from outside proves what the lock no longer can: the last commit too."""
    head = path.parent / "seen.head"
    said = done("verify", path, "--key", vkey_of(path), "--read-only", "--head", head, "--json").json
    assert (said["size"], said["holds"]) == (6, True)
    assert "0 later entries are unproven" in said["unlocked"]


def test_verify_read_only_finds_a_database_older_than_a_kept_head(path: Path, made: Path) -> None:
    """Against a head from outside an old copy does not hold, with or without its lock."""
    done("heartbeat", shutil.copytree(made / "d", made.parent / f"on-{os.getpid()}"), "--adopt")
    newer = made.parent / f"on-{os.getpid()}"
    done("verify", newer, "--key", vkey_of(path), "--keep", path.parent / "newer.head")
    said = dna("verify", path, "--key", vkey_of(path), "--read-only", "--head", path.parent / "newer.head")
    assert said.code == 1, said


def test_a_successor_goes_on_from_a_ledger_whose_lock_is_lost(path: Path) -> None:
    """The way on: keep the newest head that the database shows, and found a successor on it."""
    head, successor = path.parent / "last.head", path.parent / "next"
    done("verify", path, "--key", vkey_of(path), "--read-only", "--keep", head)
    done("init", successor, "--origin", "example.org/next", "--successor", head)
    assert "example.org/demo" in done("show", successor, 0, "--json").out


def put_head(path: Path, size: int, note: bytes) -> None:
    with RocksStore.open(str(path / "db"), create=False) as store:
        batch = store.batch()
        batch.put("heads", layout.seq_key(size), note)
        store.write(batch, durable=True)


def test_verify_read_only_finds_a_changed_tail_and_a_changed_head(path: Path) -> None:
    """What lies past the proven head is judged too, and a head that nobody signed is named, not believed."""
    put_head(path, 5, b"example.org/demo\n5\nAAAA\n\nno signature\n")
    said = dna("verify", path, "--key", vkey_of(path), "--read-only")
    assert said.code == 1
    assert "the head of size" in said.out or "heads has the key" in said.out
    with RocksStore.open(str(path / "db"), create=False) as store:
        batch = store.batch()
        batch.delete("entries", layout.seq_key(5))
        store.write(batch, durable=True)
    assert dna("verify", path, "--key", vkey_of(path), "--read-only").code == 1


def test_read_only_refuses_a_database_that_shows_no_signed_head(tmp_path: Path) -> None:
    """A ledger with genesis alone has its only head in the lock: nothing can be shown without it."""
    path = new_ledger(tmp_path)
    shutil.rmtree(path / "lock")
    said = dna("verify", path, "--read-only")
    assert (said.code, is_one_sentence(said.err)) == (3, True)
    assert "no signed head" in said.err


@pytest.mark.parametrize("command", COMMANDS)
def test_read_only_is_not_for_an_address(command: str, path: Path) -> None:
    """A service has its lock: the option is wrong usage there."""
    arguments = ["http://127.0.0.1:9" if each == path else each for each in reading(path)[command]]
    assert dna(command, *arguments, "--read-only").code == 2


def test_prove_read_only_appends_no_heartbeat(path: Path) -> None:
    """A run that no heartbeat covers is refused: `prove` writes none without the lock."""
    before = contents(path)
    done_ = dna("prove", path, "--stream", "x/bot", "-o", path.parent / "run.json", "--read-only")
    assert done_.code == 0, done_
    said = dna(
        "prove", path, "--stream", "x/bot", "--to", "2026-01-01T00:00:00Z", "-o", path.parent / "r", "--read-only"
    )
    assert said.code in (0, 3)
    assert contents(path) == before

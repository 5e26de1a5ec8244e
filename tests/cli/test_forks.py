"""A copied ledger that runs in two places: each verifies alone, and `dna check --fork` proves the fork from the two heads."""

import json
import shutil
from pathlib import Path

import pytest

from decision_dna.schemas.evidence import EVIDENCE_BYTES_MAX
from tests.cli.calling import dna, done, is_one_sentence, new_ledger, submission, vkey_of, write_lines
from tests.second_verifier.both import ask_second


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two copies, `d` and `copy`, that were both appended to; heads of both, before and after."""
    folder = tmp_path_factory.mktemp("made")
    path = new_ledger(folder, 3)
    keep(path, vkey_of(path), folder / "before.head")
    shutil.copytree(path, folder / "copy")
    for number, (name, adopt) in enumerate({"d": [], "copy": ["--adopt"]}.items()):
        done("append", folder / name, write_lines(folder / "more.ndjson", submission(10 + number)), *adopt)
        keep(folder / name, vkey_of(path), folder / f"{name}.head")
    return folder


def keep(path: Path, key: str, head: Path) -> None:
    done("verify", path, "--key", key, "--keep", head)


def test_check_fork_proves_a_fork_from_two_heads(made: Path, tmp_path: Path) -> None:
    """Both copies hold alone; their two heads and the key are evidence that anyone checks, also by the second verifier."""
    key = vkey_of(made / "d")
    evidence = tmp_path / "fork.json"
    said = done("check", made / "d.head", "--fork", made / "copy.head", "--key", key, "-o", evidence)
    assert "FORK: example.org/demo has two histories" in said.out
    assert "signed two heads of size 5" in said.out
    assert "evidence of kind fork" in done("check", evidence, "--key", key).out
    assert ask_second(evidence.read_bytes(), key, evidence=True).accepted
    assert done("check", made / "d.head", "--fork", made / "copy.head", "--key", key, "--json").json["fork"]


def test_check_fork_of_one_head_finds_none(made: Path, tmp_path: Path) -> None:
    """One head twice is no fork: exit code 1, and no evidence."""
    said = dna("check", made / "d.head", "--fork", made / "d.head", "--key", vkey_of(made / "d"), "-o", tmp_path / "x")
    assert (said.code, is_one_sentence(said.err)) == (1, True)
    assert "no fork" in said.err
    assert not (tmp_path / "x").exists()


def test_check_fork_of_two_sizes_cannot_tell(made: Path) -> None:
    """Heads of two sizes can both be true: exit code 3, with the command that tells."""
    said = dna("check", made / "before.head", "--fork", made / "d.head", "--key", vkey_of(made / "d"))
    assert (said.code, is_one_sentence(said.err)) == (3, True)
    assert "dna verify LEDGER --head FILE" in said.err


def test_check_fork_needs_both_signatures(made: Path, tmp_path: Path) -> None:
    """A head that the key did not sign convicts nobody: anyone can write one."""
    forged = tmp_path / "forged.head"
    lines = (made / "copy.head").read_text().splitlines(keepends=True)
    forged.write_text("".join([lines[0], lines[1], "A" * 43 + "=\n", *lines[3:]]))
    other = new_ledger(tmp_path, 3)
    done("append", other, write_lines(tmp_path / "more.ndjson", submission(10)))
    keep(other, vkey_of(other), tmp_path / "other.head")
    (tmp_path / "none").write_bytes(b"no\n")
    for head in (forged, tmp_path / "other.head", tmp_path / "none"):
        said = dna("check", made / "d.head", "--fork", head, "--key", vkey_of(made / "d"), "-o", tmp_path / "x")
        assert (said.code, is_one_sentence(said.err)) == (1, True), said
        assert not (tmp_path / "x").exists()
    assert dna("check", made / "d.head", "--key", vkey_of(made / "d"), "-o", tmp_path / "x").code == 2


def test_check_fork_reads_no_more_than_a_note(made: Path, tmp_path: Path) -> None:
    """A file of any size is refused by its first bytes."""
    (tmp_path / "large").write_bytes(b"x" * EVIDENCE_BYTES_MAX)
    assert dna("check", tmp_path / "large", "--fork", made / "d.head", "--key", vkey_of(made / "d")).code == 1


def test_cheat_split_verifies_alone_and_is_convicted_by_two_heads(made: Path, tmp_path: Path) -> None:
    """The shipped lie: no step names it, and the one command that `dna cheat` prints proves it."""
    said = done("cheat", "split", made / "d", tmp_path / "copy", "--json").json
    assert said["steps"] == []
    done("verify", tmp_path / "copy", "--key", vkey_of(made / "d"))
    heads = [tmp_path / "copy.head", "--fork", tmp_path / "copy.other.head"]
    assert str(heads[2]) in said["verify"]
    assert json.loads(done("check", *heads, "--key", vkey_of(made / "d"), "--json").out)["fork"]

"""What a stranger does by mistake: is it said in a sentence, and is nothing left in the way?"""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.calling import (
    CODE,
    ORIGIN,
    dna,
    done,
    is_one_sentence,
    new_ledger,
    size_of,
    submission,
    vkey_of,
    write_lines,
)


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    return new_ledger(tmp_path, 2)


def test_append_says_nothing_that_a_rejected_receipt_said(ledger: Path, tmp_path: Path) -> None:
    done("init", tmp_path / "other", "--origin", ORIGIN)
    lines = write_lines(tmp_path / "m.ndjson", submission(20), submission(21))
    said = dna("append", ledger, lines, "--key", vkey_of(tmp_path / "other"))
    assert (said.code, is_one_sentence(said.err)) == (1, True)
    assert "not signed by" in said.err
    assert "whether they were appended is not known" in said.err
    assert "lines 1 to 2" in said.err
    assert size_of(ledger) == 5


@pytest.mark.parametrize(
    "command",
    [["erase", 1, "--who", "", "--why", "x"], ["erase", 1, "--who", "x", "--why", " "], ["clock", "--reason", ""]],
)
def test_what_stays_in_the_log_for_good_says_something(command: list[object], ledger: Path) -> None:
    before = size_of(ledger)
    said = dna(command[0], ledger, *command[1:])
    assert (said.code, is_one_sentence(said.err)) == (2, True), said
    assert size_of(ledger) == before


def test_settings_that_are_named_must_be_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = dna("config", "--toml", tmp_path / "absent")
    assert (said.code, is_one_sentence(said.err)) == (2, True)
    monkeypatch.chdir(tmp_path)
    assert "8420" in done("config").out
    Path("dna.toml").write_text("[service]\nport = 8421\n")
    assert "8421" in done("config").out


def test_an_init_that_fails_leaves_nothing_in_its_own_way(tmp_path: Path) -> None:
    place = tmp_path / "new" / "d"
    for origin in ("example.org/a+b", "a b", "x" * 100_000):
        said = dna("init", place, "--origin", origin)
        assert said.code in (1, 2, 3), origin[:20]
        assert is_one_sentence(said.err)
        assert [*tmp_path.iterdir()] == []
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "d.vkey").symlink_to(tmp_path / "absent" / "vkey")  # the last that is written
    said = dna("init", place, "--origin", ORIGIN)
    assert (said.code, is_one_sentence(said.err)) == (3, True), said
    assert not place.exists()
    (tmp_path / "new" / "d.vkey").unlink()
    place.mkdir()
    done("init", place, "--origin", ORIGIN)
    assert sorted(path.name for path in place.parent.iterdir()) == ["d", "d.vkey"]


def test_the_folder_that_one_is_in_is_a_folder_like_any_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "d").mkdir()
    monkeypatch.chdir(tmp_path / "d")
    done("init", ".", "--origin", ORIGIN)
    old = vkey_of(tmp_path / "d")
    done("keys", "rotate", ".", "log")
    assert vkey_of(tmp_path / "d") != old
    done("append", ".", write_lines(tmp_path / "m.ndjson", submission(1)))
    done("cheat", "flip", ".")
    assert sorted(path.name for path in tmp_path.glob("d*")) == ["d", "d-flip", "d.vkey"]


@pytest.mark.parametrize("has_keys", [True, False])
def test_what_an_interrupted_init_left_is_named(has_keys: bool, tmp_path: Path) -> None:
    place = tmp_path / "d"
    marker = tmp_path / ".d.dna-init"
    marker.touch()
    if has_keys:
        (place / "keys").mkdir(parents=True)
        (place / "keys" / "root.key").touch()
    said = dna("init", place, "--origin", ORIGIN)
    assert (said.code, is_one_sentence(said.err)) == (1, True)
    assert "interrupted" in said.err
    assert f"left {f'{place} and ' if has_keys else ''}{marker}: remove it" in said.err
    shutil.rmtree(place, ignore_errors=True)
    marker.unlink()
    done("init", place, "--origin", ORIGIN)


def test_init_writes_its_output_beside_the_ledger(tmp_path: Path) -> None:
    """`dna init X > X.init` works: the shell's file is not the marker of an interrupted init."""
    with (tmp_path / "d.init").open("wb") as out:
        command = [sys.executable, "-c", CODE, "init", str(tmp_path / "d"), "--origin", ORIGIN]
        ended = subprocess.run(command, stdout=out, stderr=subprocess.PIPE, check=False)
    assert (ended.returncode, ended.stderr) == (0, b"")
    assert "vkey" in (tmp_path / "d.init").read_text()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["d", "d.init", "d.vkey"]


def test_a_ledger_that_is_whole_is_never_called_the_leftover_of_an_init(ledger: Path) -> None:
    ledger.with_name(".d.dna-init").touch()
    said = dna("init", ledger, "--origin", ORIGIN)
    assert said.code == 1
    assert "not empty" in said.err
    assert "remove" not in said.err


def test_a_key_that_was_not_registered_is_not_left_behind(ledger: Path, tmp_path: Path) -> None:
    for source in ("x" * 100_000, "no source"):
        said = dna("keys", "register", ledger, "--source", source, "--new", tmp_path / "q.key")
        assert (said.code in (1, 2), is_one_sentence(said.err)) == (True, True)
        assert not (tmp_path / "q.key").exists()
    done("keys", "register", ledger, "--source", "bot", "--new", tmp_path / "q.key")
    kept = (tmp_path / "q.key").read_bytes()
    assert dna("keys", "register", ledger, "--source", "bot", "--new", tmp_path / "q.key").code == 3
    assert (tmp_path / "q.key").read_bytes() == kept


def test_strict_says_in_its_last_line_why_a_log_that_holds_is_not_enough(tmp_path: Path) -> None:
    (tmp_path / "policy.json").write_text('{"anchor_events_max": 2}')
    path = new_ledger(tmp_path, policy=tmp_path / "policy.json")
    done(
        "append",
        path,
        write_lines(tmp_path / "m.ndjson", *[{"type": "x.seen", "source": "bot", "payload": {}} for _ in range(600)]),
    )
    key = ["--key", vkey_of(path)]
    done("verify", path, "--from-seq", 512, *key)
    late = dna("verify", path, "--strict", *key)
    assert (late.code, late.out.splitlines()[-1]) == (
        1,
        "--strict: exit code 1, for the log is not fresh: 601 entries are not anchored, policy promises at most 2",
    )
    done("anchor", "once", path)
    done("heartbeat", path)
    unpinned = dna("verify", path, "--strict")
    assert (unpinned.code, unpinned.out.splitlines()[-1]) == (
        3,
        "--strict: exit code 3, for nothing says whose log it is: give --key",
    )
    untied = dna("verify", path, "--strict", "--from-seq", 512, *key)
    assert (untied.code, untied.out.splitlines()[-1]) == (
        3,
        "--strict: exit code 3, for nothing ties what came before seq 512: give --head with a head of at least that size",
    )
    assert done("verify", path, "--strict", *key).out.splitlines()[-1].startswith("IT HOLDS")

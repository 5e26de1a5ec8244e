"""`dna keys`, `backup`, `restore`, `export`."""

import os
import shutil
import stat
from pathlib import Path

import pytest

from decision_dna.ledger.keyring import read_key
from decision_dna.ledger.opening import open_ledger
from tests.cli.calling import dna, done, is_one_sentence, new_ledger, size_of, submission, vkey_of, write_lines
from tests.ledger.test_signatures import UNFIT_KEYS


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    return new_ledger(tmp_path, 4)


def keys_of(path: Path) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for row in done("keys", "show", path, "--json").json["keys"]:
        found.setdefault(row["purpose"], []).append(row["key_id"])
    return found


def holds(path: Path, key: str) -> bool:
    return dna("verify", path, "--key", key).code == 0


def test_every_key_is_shown_with_where_its_private_half_is(ledger: Path, tmp_path: Path) -> None:
    shutil.move(ledger / "keys" / "root.key", tmp_path / "root.key")
    rows = done("keys", "show", ledger, "--json").json["keys"]
    assert [(row["purpose"], row["private_here"]) for row in rows] == [
        ("root", False),
        ("log", True),
        ("notary", True),
        ("anchor", True),
    ]
    assert "elsewhere" in done("keys", "show", ledger).out


@pytest.mark.parametrize("purpose", ["log", "notary", "anchor"])
def test_a_rotated_key_is_used_from_then_on(purpose: str, ledger: Path, tmp_path: Path) -> None:
    before, old = keys_of(ledger)[purpose], vkey_of(ledger)
    said = done("keys", "rotate", ledger, purpose, "--json").json
    assert keys_of(ledger)[purpose][0] == said["key_id"] != before[0]
    assert read_key(Path(said["file"]))[0] == purpose
    done("append", ledger, write_lines(tmp_path / "m.ndjson", submission(20)))
    assert holds(ledger, vkey_of(ledger))
    assert holds(ledger, old)
    assert (vkey_of(ledger) != old) == (purpose == "log")


def test_evidence_from_around_a_rotation_holds_under_the_root_key(ledger: Path, tmp_path: Path) -> None:
    root = done("keys", "show", ledger, "--json").json["root_vkey"]
    before, after, old = tmp_path / "before.json", tmp_path / "after.json", vkey_of(ledger)
    done("prove", ledger, 1, "-o", before)
    done("keys", "rotate", ledger, "log")
    done("append", ledger, write_lines(tmp_path / "m.ndjson", submission(20)))
    done("prove", ledger, 1, "-o", after)
    new = vkey_of(ledger)
    codes = {
        (file.stem, key): dna("check", file, "--key", key).code for file in (before, after) for key in (old, new, root)
    }
    assert [key for key, code in codes.items() if code] == [("before", new), ("after", old)]
    assert holds(ledger, root)
    assert f"root vkey  {root}" in done("keys", "show", ledger).out


def test_an_overlap_has_both_keys_sign(ledger: Path) -> None:
    done("keys", "rotate", ledger, "log", "--overlap", 10)
    assert len(keys_of(ledger)["log"]) == 2
    files = sorted((ledger / "keys").iterdir())
    assert dna("keys", "rotate", ledger, "notary", "--overlap", 10).code == 1
    assert sorted((ledger / "keys").iterdir()) == files
    assert holds(ledger, vkey_of(ledger))


def test_keys_rotate_without_root(ledger: Path, tmp_path: Path) -> None:
    """A key does not sign its own rotation: a thief of it could rotate its owner out."""
    root = shutil.move(ledger / "keys" / "root.key", tmp_path / "root.key")
    for purpose in ("log", "notary", "anchor"):
        said = dna("keys", "rotate", ledger, purpose)
        assert (said.code, is_one_sentence(said.err)) == (3, True)
    done("keys", "rotate", ledger, "log", "--root", root)
    said = dna("keys", "register", ledger, "--source", "bot", "--new", tmp_path / "bot.key")
    assert (said.code, is_one_sentence(said.err)) == (3, True)
    assert not (tmp_path / "bot.key").exists()
    assert holds(ledger, vkey_of(ledger))


def test_an_authors_key_is_registered_once_and_revoked(ledger: Path, tmp_path: Path) -> None:
    key_id = done("keys", "register", ledger, "--source", "bot", "--new", tmp_path / "b.key", "--json").json["key_id"]
    assert keys_of(ledger)["author"] == [key_id]
    size = size_of(ledger)
    assert dna("keys", "register", ledger, "--source", "no source", "--new", tmp_path / "c.key").code == 1
    assert not (tmp_path / "c.key").exists()
    assert dna("keys", "register", ledger, "--source", "bot").code == 2
    assert dna("keys", "register", ledger, "--source", "bot", "--public", "zz").code == 2
    assert dna("keys", "register", ledger, "--source", "bot", "--new", tmp_path / "b.pem").code == 2
    assert size_of(ledger) == size
    done("keys", "revoke", ledger, key_id, "--suspect-from", 3)
    assert "author" not in keys_of(ledger)
    assert dna("keys", "revoke", ledger, key_id).code == 1
    assert holds(ledger, vkey_of(ledger))


@pytest.mark.parametrize("case", ["small order", "not canonical", "off the curve", "mixed order"])
def test_keys_register_refuses_points_that_no_key_has(case: str, ledger: Path) -> None:
    """A point that is not of prime order is refused before anything is written."""
    size = size_of(ledger)
    for key in UNFIT_KEYS[case][:4]:
        said = dna("keys", "register", ledger, "--source", "bot", "--public", key.hex())
        assert (said.code, is_one_sentence(said.err)) == (2, True), said
        assert "no private key has it" in said.err
    assert size_of(ledger) == size


@pytest.mark.parametrize("name", ["backup.tar", "backup"])
def test_a_backup_goes_back_beside_its_lock(name: str, ledger: Path, tmp_path: Path) -> None:
    done("backup", ledger, tmp_path / name)
    shutil.rmtree(ledger / "db")
    assert done("restore", tmp_path / name, ledger, "--json").json["size"] == 5
    assert holds(ledger, vkey_of(ledger))
    assert dna("restore", tmp_path / name, ledger).code == 1
    assert dna("backup", ledger, tmp_path / name).code == 1


def test_a_backup_holds_no_private_key(ledger: Path, tmp_path: Path) -> None:
    done("backup", ledger, tmp_path / "b")
    names = {path.name for path in (tmp_path / "b").rglob("*")}
    assert not [name for name in names if name.endswith(".key") or "sqlite" in name]
    seeds = [read_key(key)[1] for key in (ledger / "keys").glob("*.key")]
    held = b"".join(path.read_bytes() for path in (tmp_path / "b").rglob("*") if path.is_file())
    assert not [seed for seed in seeds if seed in held or seed.hex().encode() in held]


def test_a_backup_is_made_beside_a_writer(ledger: Path, tmp_path: Path) -> None:
    with open_ledger(ledger) as opened:
        done("backup", ledger, tmp_path / "b")
        opened.heartbeat()
    moved = shutil.move(ledger, tmp_path / "was")
    ledger.mkdir()
    shutil.copytree(Path(moved) / "keys", ledger / "keys")
    assert done("restore", tmp_path / "b", ledger, "--adopt", "--json").json["size"] == 5
    assert holds(ledger, vkey_of(ledger))


def test_an_old_backup_is_refused_by_the_lock(ledger: Path, tmp_path: Path) -> None:
    done("backup", ledger, tmp_path / "b.tar")
    done("heartbeat", ledger)
    shutil.rmtree(ledger / "db")
    said = dna("restore", tmp_path / "b.tar", ledger)
    assert (said.code, is_one_sentence(said.err)) == (3, True)
    assert "the lock says 6" in said.err
    assert not (ledger / "db").exists()


def test_without_a_lock_a_backup_must_be_adopted(ledger: Path, tmp_path: Path) -> None:
    done("backup", ledger, tmp_path / "b")
    shutil.copytree(ledger / "keys", tmp_path / "with keys" / "keys")
    for target in ("new", "with keys"):
        said = dna("restore", tmp_path / "b", tmp_path / target)
        assert (said.code, is_one_sentence(said.err)) == (3, True)
        assert "--adopt" in said.err
    no_keys = dna("restore", tmp_path / "b", tmp_path / "new", "--adopt")
    assert (no_keys.code, is_one_sentence(no_keys.err)) == (3, True)
    assert not (tmp_path / "new" / "db").exists()
    assert not (tmp_path / "new" / "lock").exists()


@pytest.mark.parametrize("what", ["a file", "a folder"])
def test_what_is_no_backup_is_refused(what: str, ledger: Path, tmp_path: Path) -> None:
    (tmp_path / "a file").write_text("no")
    (tmp_path / "a folder").mkdir()
    said = dna("restore", tmp_path / what, tmp_path / "new", "--adopt")
    assert (said.code, is_one_sentence(said.err)) == (2, True)


def test_an_export_is_whole_or_not_there(ledger: Path, tmp_path: Path) -> None:
    assert done("export", ledger, "-o", tmp_path / "x.ndjson", "--json").json["size"] == 5
    assert [path.name for path in tmp_path.glob("x.ndjson*")] == ["x.ndjson"]
    said = dna("export", ledger, "-o", tmp_path / "absent" / "x.ndjson")
    assert (said.code, is_one_sentence(said.err)) == (3, True)


@pytest.mark.parametrize(
    "command", [["export", "-o"], ["prove", 1, "-o"], ["backup"]], ids=["export", "evidence", "backup"]
)
def test_files_with_payloads_are_their_owners_alone(command: list[object], ledger: Path, tmp_path: Path) -> None:
    """An export, evidence and a backup hold payloads: they get mode 0600 whatever the umask. A mode set by hand stays."""
    file = tmp_path / "made.tar"
    old = os.umask(0o022)
    try:
        done(command[0], ledger, *command[1:], file)
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        if command[0] != "backup":
            file.chmod(0o640)
            done(command[0], ledger, *command[1:], file)
            assert stat.S_IMODE(file.stat().st_mode) == 0o640
    finally:
        os.umask(old)


def test_a_backup_of_a_ledger_that_lost_a_table_is_refused(ledger: Path, tmp_path: Path) -> None:
    found = 0
    for at, table in enumerate(sorted((ledger / "db").glob("*.sst"))):
        lost = shutil.copytree(ledger, tmp_path / str(at))
        (lost / "db" / table.name).unlink()
        before = sorted(tmp_path.iterdir())
        said = dna("backup", lost, tmp_path / "b.tar")
        holds = dna("verify", lost).code == 0  # where the table held nothing but indexes, which no backup has
        if not holds:
            found += 1
            assert is_one_sentence(said.err)
            no_format = "the database has format 1" in said.err  # the table held the row that says which it has
            assert said.code == (3 if no_format else 1), said
            assert no_format or "no backup was made" in said.err
            assert sorted(tmp_path.iterdir()) == before
        else:
            assert said.code == 0, said
        (tmp_path / "b.tar").unlink(missing_ok=True)
    assert found >= 5


@pytest.mark.parametrize("command", ["export", "prove", "verify", "backup"])
@pytest.mark.parametrize("place", ["absent/x", "a file/x"])
def test_a_place_that_cannot_be_written_is_said_before_anything_is_read(
    command: str, place: str, tmp_path: Path
) -> None:
    (tmp_path / "a file").write_text("")
    rest = {
        "export": ["-o", tmp_path / place],
        "prove": [1, "-o", tmp_path / place],
        "verify": ["--keep", tmp_path / place],
        "backup": [tmp_path / place],
    }[command]
    said = dna(command, tmp_path / "no ledger", *rest)
    assert (said.code, said.out, is_one_sentence(said.err)) == (3, "", True)
    assert f"{tmp_path / place} cannot be written" in said.err
    assert [path.name for path in tmp_path.iterdir()] == ["a file"]


def test_what_was_kept_before_stands_until_there_is_more_to_keep(ledger: Path, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    kept.write_text("from before")
    assert dna("verify", ledger, "--keep", kept).code == 3  # not pinned
    assert dna("export", tmp_path / "absent", "-o", kept).code == 3
    assert kept.read_text() == "from before"
    (tmp_path / "link").symlink_to(kept)
    done("verify", ledger, "--key", vkey_of(ledger), "--keep", tmp_path / "link")
    assert kept.read_text().startswith("example.org/demo\n5\n")
    assert (tmp_path / "link").is_symlink()
    assert not [*tmp_path.glob("*.part")]


def test_what_is_no_file_is_written_as_it_is(ledger: Path) -> None:
    assert done("prove", ledger, 1, "-o", "/dev/null", "--json").json["bytes"] > 0
    assert not Path("/dev/null").is_file()
    assert Path("/dev/null").exists()

"""What a command must not do to a ledger that somebody relies on."""

from pathlib import Path

import pytest

from decision_dna.ledger.folder import read_folder
from tests.cli.calling import Said, dna, done, is_one_sentence, new_ledger, submission, vkey_of, write_lines


def size_of(path: Path) -> int:
    with read_folder(path) as view:
        return view.reader.size


def test_made_blocks_do_not_go_into_a_ledger_that_is_there(tmp_path: Path) -> None:
    path = new_ledger(tmp_path, 1)
    before = size_of(path)
    said = dna("run", path, "--once", "--data", tmp_path / "nowhere")
    assert (said.code, is_one_sentence(said.err)) == (1, True)
    assert size_of(path) == before
    assert not (tmp_path / "blocks").exists()


def test_no_heartbeat_is_appended_for_a_stream_that_cannot_be(tmp_path: Path) -> None:
    path = new_ledger(tmp_path, 1)
    before = size_of(path)
    said = dna("prove", path, "--stream", "bot", "-o", tmp_path / "e.json")
    assert (said.code, is_one_sentence(said.err)) == (2, True)
    assert size_of(path) == before


@pytest.mark.parametrize("command", ["heartbeat", "replay"])
def test_an_address_is_no_folder(command: str) -> None:
    said = dna(command, "http://127.0.0.1:9")
    assert (said.code, is_one_sentence(said.err)) == (2, True)
    assert "own folder" in said.err


def refused(path: Path, *arguments: object) -> Said:
    """Call a command that must end with one sentence and append nothing."""
    before = size_of(path)
    said = dna(*arguments)
    assert (is_one_sentence(said.err), size_of(path)) == (True, before), said
    return said


def test_erase_key_file_that_is_not_text(tmp_path: Path) -> None:
    """A key file of arbitrary bytes is refused with one sentence and exit code 3."""
    path, file = new_ledger(tmp_path, 1), tmp_path / "ops.key"
    file.write_bytes(bytes(range(128, 256)))
    file.chmod(0o600)
    said = refused(path, "erase", path, 1, "--who", "ops", "--why", "asked", "--operator", file)
    assert (said.code, "is not a key file" in said.err) == (3, True)


@pytest.mark.parametrize(
    "options",
    [("--operator", "ops", "--role", "erasures"), ("--operator", "ops"), ("--source", "bot", "--role", "clock")],
)
def test_keys_register_role_that_means_nothing(options: tuple[str, ...], tmp_path: Path) -> None:
    """A role that is misspelt, missing or nobody's is wrong usage, and makes no key file."""
    path, file = new_ledger(tmp_path), tmp_path / "ops.key"
    said = refused(path, "keys", "register", path, *options, "--new", file)
    assert (said.code, "role" in said.err, file.exists()) == (2, True, False)


def test_erase_signed_by_no_operator(tmp_path: Path) -> None:
    """An erasure with a key that is not an operator's is told who may sign it."""
    path = new_ledger(tmp_path, 1)
    said = refused(path, "erase", path, 1, "--who", "a", "--why", "b", "--operator", path / "keys" / "log.key")
    assert (said.code, "operator with role 'erasure'" in said.err) == (1, True)


@pytest.mark.parametrize(("option", "chars"), [("--who", 129), ("--why", 501)])
def test_erase_text_too_long(option: str, chars: int, tmp_path: Path) -> None:
    """A text past its field's length is named by its option."""
    path = new_ledger(tmp_path, 1)
    texts = {"--who": "a", "--why": "b", option: "x" * chars}
    said = refused(path, "erase", path, 1, *[part for pair in texts.items() for part in pair])
    assert (said.code, option in said.err, f"at most {chars - 1}" in said.err) == (2, True, True)


@pytest.mark.parametrize("cursor", ["zzz", "!", "gA"])
def test_query_cursor_that_is_not_a_cursor(cursor: str, tmp_path: Path) -> None:
    """Arbitrary text given as a cursor is called that, whatever bytes it decodes to."""
    path = new_ledger(tmp_path, 1)
    said = refused(path, "query", path, "--cursor", cursor)
    assert (said.code, "not a cursor" in said.err) == (2, True)


@pytest.mark.parametrize("command", ["verify", "status", "heartbeat"])
def test_address_of_another_scheme(command: str) -> None:
    """An address that is not HTTP is wrong usage, not a missing folder."""
    said = dna(command, "ftp://127.0.0.1/log")
    assert (said.code, is_one_sentence(said.err), "http://" in said.err) == (2, True, True)


def test_check_tlog_proof_says_what_it_relies_on(tmp_path: Path) -> None:
    """The sentence after "relies on" names what the proof leaves open."""
    path, file = new_ledger(tmp_path, 1), tmp_path / "1.tlog-proof"
    done("prove", path, 1, "--tlog-proof", "-o", file)
    assert "\nrelies on evidence (" in done("check", file, "--key", vkey_of(path)).out


@pytest.mark.parametrize(
    ("lie", "needed"),
    [
        ("withhold", "an author's key signed"),
        ("unrevoke", "dna keys register"),
        ("heartbeat", "dna heartbeat"),
        ("rewind", "heartbeat before its newest entry"),
    ],
)
def test_cheat_says_what_a_lie_needs(lie: str, needed: str, tmp_path: Path) -> None:
    """A lie that a ledger has no entry for names the entry that it needs, and makes no copy."""
    path = new_ledger(tmp_path, 1)
    said = refused(path, "cheat", lie, path)
    assert (said.code, needed in said.err, (tmp_path / f"d-{lie}").exists()) == (1, True, False)


@pytest.mark.parametrize(("events", "where"), [(1, "dna: line 1: "), (2, "dna: lines 1 to 2: ")])
def test_append_names_the_lines_of_a_refused_batch(events: int, where: str, tmp_path: Path) -> None:
    """A batch of one line is called a line."""
    path, file = new_ledger(tmp_path), write_lines(tmp_path / "e.ndjson", *map(submission, range(events)))
    said = refused(path, "append", path, file, "--principal", "engine")
    assert (said.code, said.err.startswith(where)) == (1, True)

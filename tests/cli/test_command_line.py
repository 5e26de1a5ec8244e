"""The command line as a whole: help, what is loaded, usage errors."""

import inspect
import os
import pty
import shutil
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from decision_dna.ledger.signatures import SigningKey
from decision_dna.schemas import errors
from decision_dna.service.cli import COMMANDS, Command, commands, exit_code
from tests.cli.calling import CODE, Said, dna, done, is_one_sentence, new_ledger, submission, write_lines
from tests.ledger.samples import copy_ledger

ALL = dict(commands())


def modules_loaded_by(*arguments: str) -> set[str]:
    """The top names in sys.modules after a command, in a fresh process."""
    code = (
        "import sys; from decision_dna.service.cli import main; main(sys.argv[1:]);"
        "sys.stderr.write(' '.join(sorted(sys.modules)))"
    )
    ran = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True)
    return set(ran.stderr.rpartition("\n")[2].split())


def test_help_lists_every_command_and_loads_none() -> None:
    listed = done("--help").out
    assert [name for name in COMMANDS if f"\n  {name} " not in listed] == []
    loaded = modules_loaded_by("--help")
    assert not loaded & {"msgspec", "rich", "rocksdict", "litestar", "solders", "httpx", "decision_dna.ledger"}


@pytest.mark.parametrize("name", ALL)
def test_every_command_explains_itself_with_an_example(name: str) -> None:
    said = done(*name.split(), "--help").out
    command = ALL[name]
    assert f"Example:\n    {command.example}\n" in said
    assert command.example.startswith(f"dna {name}")
    assert "--json" in said


@pytest.mark.parametrize("name", ALL)
def test_the_overview_says_what_the_command_says_of_itself(name: str) -> None:
    module, _, function = ALL[name].target.partition(":")
    documented = inspect.getdoc(getattr(import_module(module), function)) or ""
    assert documented.splitlines()[0] == ALL[name].summary


@pytest.mark.parametrize(
    "wrong",
    [
        ("nonsense",),
        ("show",),
        ("show", "d"),
        ("query", "d", "--order", "sideways"),
        ("query", "d", "--from", "yesterday"),
        ("query", "d", "--cause", "no-id"),
        ("check", "nowhere.json", "--key", "x"),
        ("verify", "d", "--key", "not+a+key"),
        ("tail", "d", "--from-seq", "-1"),
        ("init", "d"),
        ("cheat", "flip"),
        ("keys", "rotate", "d", "root"),
        ("prove", "d", "-o", "e.json"),
        ("append", "d"),
        ("--frobnicate",),
    ],
)
def test_wrong_usage_is_one_sentence_and_two(wrong: tuple[str, ...]) -> None:
    said = dna(*wrong)
    assert (said.code, said.out) == (2, "")
    assert is_one_sentence(said.err)
    assert "--help" in said.err


@pytest.mark.parametrize("group", [(), ("keys",), ("anchor",)])
def test_a_group_without_a_command_shows_its_help(group: tuple[str, ...]) -> None:
    said = dna(*group)
    assert said.code == 2
    assert "Commands:" in said.err


def test_the_version_is_told() -> None:
    assert done("--version").out.startswith("dna ")


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.Malformed("x"), 2),
        (errors.Refused("x"), 1),
        (errors.NotFound("x"), 1),
        (errors.IdConflict("x"), 1),
        (errors.ProofRejected("x"), 1),
        (errors.CannotOpen("x", "x"), 3),
        (errors.InvariantBroken("x"), 3),
        (errors.Unavailable("x"), 3),
        (errors.Busy("x"), 3),
        (errors.StoreFailed("x"), 3),
    ],
)
def test_errors_have_their_codes(error: errors.LedgerError, code: int) -> None:
    assert exit_code(error) == code


@pytest.mark.parametrize("name", [name for name in ALL if name not in ("config", "check", "run", "restore", "cheat")])
def test_where_there_is_no_ledger_every_command_says_so(name: str, tmp_path) -> None:
    (tmp_path / "blocks").mkdir()
    (tmp_path / "e.ndjson").write_text("")
    rest = {
        "init": ["--successor", tmp_path / "nowhere", "--origin", "example.org/x"],
        "append": [tmp_path / "e.ndjson"],
        "show": ["1"],
        "lineage": ["1"],
        "prove": ["1", "-o", tmp_path / "e"],
        "erase": ["1", "--who", "x", "--why", "x"],
        "clock": ["--reason", "x"],
        "keys rotate": ["notary"],
        "keys register": ["--source", "bot", "--public", SigningKey(bytes(32)).public.hex()],
        "keys revoke": ["00" * 8],
        "watch": [tmp_path / "blocks"],
        "backup": [tmp_path / "b.tar"],
        "export": ["-o", tmp_path / "x"],
    }.get(name, [])
    said = dna(*name.split(), tmp_path / "absent", *rest)
    assert said.code == (2 if name == "init" else 3)
    assert is_one_sentence(said.err)
    assert not (tmp_path / "absent").exists()


NO_WRITER = {
    "show": [1],
    "query": [],
    "lineage": [1],
    "tail": [],
    "prove": [1, "-o", "e.json"],
    "verify": [],
    "replay": [],
    "keys show": [],
    "anchor list": [],
    "anchor verify": [],
    "export": ["-o", "x.ndjson"],
    "status": [],
    "backup": ["b.tar"],
}
WRITER = {"append": ["events.ndjson"], "heartbeat": [], "serve": ["--port", 0], "watch": ["events.ndjson"]}
EITHER = NO_WRITER | WRITER


def called(name: str, path: Path) -> Said:
    """A command on a ledger, with what else it needs, beside that."""
    rest = [path.parent / part if isinstance(part, str) and "." in part else part for part in EITHER[name]]
    return dna(*name.split(), path, *rest)


@pytest.mark.parametrize("name", EITHER)
@pytest.mark.parametrize("missing", ["lock/head.sqlite", "db/CURRENT", "db"])
def test_what_cannot_be_opened_is_three_from_every_command(name: str, missing: str, tmp_path: Path) -> None:
    path = new_ledger(tmp_path, 1)
    part = path / missing
    shutil.rmtree(part) if part.is_dir() else part.unlink()
    said = called(name, path)
    assert (said.code, is_one_sentence(said.err), said.out) == (3, True, "")


@pytest.mark.parametrize("name", EITHER)
def test_a_damaged_block_is_three_from_every_command_that_meets_it(name: str, tmp_path: Path) -> None:
    path = new_ledger(tmp_path, 40)
    table = max((path / "db").glob("*.sst"), key=lambda table: table.stat().st_size)  # of entries
    data = table.read_bytes()
    table.write_bytes(data[:10] + bytes([data[10] ^ 1]) + data[11:])
    said = called(name, path)
    assert (said.code, is_one_sentence(said.err)) == (3, True)


def test_what_a_damaged_block_keeps_from_being_appended_is_no_refusal_of_a_line(tmp_path: Path) -> None:
    path = new_ledger(tmp_path, 40)
    opened = 0
    for at, table in enumerate(sorted((path / "db").glob("*.sst"))):
        (tmp_path / f"{at}").mkdir()
        write_lines(tmp_path / f"{at}" / "events.ndjson", submission(1), submission(50))
        damaged = copy_ledger(path, tmp_path / f"{at}" / "d")
        data = table.read_bytes()
        (damaged / "db" / table.name).write_bytes(data[:10] + bytes([data[10] ^ 1]) + data[11:])
        said = called("append", damaged)
        assert said.code in (0, 3), said
        assert "line 1" not in said.err
        opened += said.code == 3 and "database" not in said.err  # not at start-up: at the look-up of a line's id
    assert opened


def test_whoever_stops_reading_is_told_nothing(tmp_path: Path) -> None:
    path = new_ledger(tmp_path, 3)
    for command in (["tail", path], ["query", path], ["show", path, 1], ["verify", path, "--json"], ["--help"]):
        nobody, ours = os.pipe()
        os.close(nobody)
        ran = subprocess.run(
            [sys.executable, "-c", CODE, *map(str, command)],
            stdout=ours,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
        os.close(ours)
        assert (ran.returncode, ran.stderr) == (141, ""), command


@pytest.mark.parametrize("command", ["heartbeat", "replay", "export", "backup"])
def test_no_command_says_one_for_an_address_where_it_needs_a_folder(command: str, tmp_path: Path) -> None:
    rest = {"export": ["-o", tmp_path / "x"], "backup": [tmp_path / "b"]}.get(command, [])
    said = dna(command, "http://127.0.0.1:9", *rest)
    assert (said.code, is_one_sentence(said.err)) == (2, True)
    assert list(tmp_path.iterdir()) == []


def test_the_table_is_of_commands() -> None:
    assert all(isinstance(command, Command) for command in ALL.values())
    assert len(ALL) >= 25


def test_on_a_terminal_there_are_tables_and_elsewhere_plain_text(tmp_path: Path) -> None:
    path = new_ledger(tmp_path, 1)
    assert "┃" not in done("query", path).out
    ours, theirs = pty.openpty()
    with subprocess.Popen([sys.executable, "-c", CODE, "query", str(path)], stdout=theirs, stderr=theirs) as query:
        os.close(theirs)
        seen = b""
        while chunk := read_or_end(ours):
            seen += chunk
    os.close(ours)
    assert query.returncode == 0
    assert "┃" in seen.decode()


def read_or_end(terminal: int) -> bytes:
    """A terminal whose other side is closed ends with an error."""
    try:
        return os.read(terminal, 4096)
    except OSError:
        return b""


def test_what_others_wrote_does_not_steer_the_terminal(tmp_path: Path) -> None:
    path = new_ledger(tmp_path)
    done("append", path, write_lines(tmp_path / "e.ndjson", submission(1, subject="a\u009b2Jb\u202ec")))
    for command in (("show", path, 1), ("query", path), ("tail", path), ("lineage", path, 1)):
        said = done(*command).out
        assert "a\\x9b2Jb\\u202ec" in said
        assert said.replace("\n", "").isprintable()

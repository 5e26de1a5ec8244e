"""What no honest caller does: numbers past every end, bytes that are no text, a stdout that is closed, a kill in the middle."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.calling import CODE, dna, done, is_one_sentence, new_ledger, size_of, started

LARGE = "9" * 23
NO_TEXT = os.fsdecode(b"\xff")


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return new_ledger(tmp_path_factory.mktemp("hostile"), 3)


@pytest.mark.parametrize(
    "command",
    [
        f"query L --from-seq {LARGE}",
        f"query L --to-seq {LARGE}",
        f"query L --from {'0' * 5000}",
        f"tail L --from-seq {LARGE}",
        f"keys rotate L log --overlap {LARGE}",
        f"keys rotate L log --overlap {2**63}",
        f"keys revoke L 1f0e2d3c4b5a6978 --suspect-from {LARGE}",
        f"verify L --from-seq {LARGE}",
        f"verify L --processes {LARGE}",
        f"show L {'9' * 5000}",
        f"lineage L {'9' * 5000}",
        f"prove L {'9' * 5000} -o /dev/null",
        f"erase L {'9' * 5000} --who a --why b",
        f"replay L --to {'9' * 5000}",
    ],
)
def test_a_number_past_every_end_is_wrong_usage(command: str, ledger: Path) -> None:
    before = size_of(ledger)
    said = dna(*[ledger if word == "L" else word for word in command.split()])
    assert (said.code, is_one_sentence(said.err)) == (2, True), said
    assert size_of(ledger) == before


def test_the_largest_numbers_are_taken(ledger: Path) -> None:
    largest = 2**63 - 1
    done("query", ledger, "--from-seq", largest, "--to-seq", largest)
    done("tail", ledger, "--from-seq", largest)


@pytest.mark.parametrize(
    "command",
    [
        "query L --source X",
        "query http://127.0.0.1:9 --source X",
        "erase L 1 --who X --why x",
        "keys register L --source X --new K",
        "show http://127.0.0.1:9 X",
        "show L X",
        "init L2 --origin X",
        "query L --X",
        "X",
    ],
)
def test_bytes_that_are_no_text_are_wrong_usage(command: str, ledger: Path, tmp_path: Path) -> None:
    before, key = size_of(ledger), tmp_path / "q.key"
    names = {"L": str(ledger), "K": str(key), "L2": str(tmp_path / "new")}
    said = dna(*[names.get(word, word.replace("X", NO_TEXT)) for word in command.split()])
    assert (said.code, is_one_sentence(said.err)) == (2, True), said
    assert said.err.encode()  # and says it in text
    assert (size_of(ledger), [*tmp_path.iterdir()]) == (before, [])


def test_a_file_may_have_a_name_that_is_no_text(ledger: Path, tmp_path: Path) -> None:
    place = tmp_path / f"{NO_TEXT}.ndjson"
    assert done("export", ledger, "-o", place, "--json").json["file"] == str(place)
    assert done("verify", place).code == 0


def test_where_stdout_is_closed_a_command_ends_quietly(ledger: Path) -> None:
    before = size_of(ledger)
    for command in (["status", ledger], ["heartbeat", ledger], ["--help"]):
        shell = ["sh", "-c", 'exec "$@" >&-', "sh", sys.executable, "-c", CODE, *map(str, command)]
        ran = subprocess.run(shell, stderr=subprocess.PIPE, text=True, check=False)
        assert (ran.returncode, ran.stderr) == (141, ""), command
    assert size_of(ledger) == before


def test_where_stdin_is_closed_there_is_nothing_to_append(ledger: Path) -> None:
    shell = ["sh", "-c", 'exec "$@" <&-', "sh", sys.executable, "-c", CODE, "append", str(ledger), "-"]
    ran = subprocess.run(shell, capture_output=True, text=True, check=False)
    assert (ran.returncode, is_one_sentence(ran.stderr)) == (2, True), ran.stderr


def test_a_link_to_itself_cannot_be_written(ledger: Path, tmp_path: Path) -> None:
    loop = tmp_path / "loop"
    loop.symlink_to("loop")
    said = dna("export", ledger, "-o", loop)
    assert (said.code, is_one_sentence(said.err)) == (3, True)
    assert "cannot be written" in said.err


@pytest.mark.parametrize(
    ("number", "ended"),
    [(signal.SIGINT, (130, "dna: interrupted\n")), (signal.SIGTERM, (143, "dna: ended by SIGTERM\n"))],
)
def test_what_is_ended_in_the_middle_leaves_nothing_behind(number: int, ended: tuple[int, str], tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with started("verify", address, "--keep", tmp_path / "kept") as verifying:
            asking, _ = silent.accept()
            with asking:
                assert len([*tmp_path.iterdir()]) == 1  # the part
                assert verifying.ends(number) == ended
    assert [*tmp_path.iterdir()] == []

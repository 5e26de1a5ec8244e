"""README holds: its tour runs as it stands, its tables are what the code says, its links lead somewhere.

python -m tests.test_readme        writes the table of lies into README anew
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from decision_dna.ledger.verification import Step
from decision_dna.service import cli
from decision_dna.service.cli import COMMANDS
from decision_dna.service.commands.cheating import AT_START, BY_EARLIER_HEAD, BY_OTHER_HEAD, lies, steps_of, what
from tests.data import ROOT

README = ROOT / "README.md"
EXACTLY = (
    'dna init d --origin example.org/demo && dna append d events.ndjson && dna verify d --key "$(cat d.vkey)" && '
    'dna prove d ID -o e.json && rm -r d && dna check e.json --key "$(cat d.vkey)"'
)
SEQ = "2"


def readme() -> str:
    return README.read_text()


def tour(*, base: bool = False) -> list[str]:
    """Return the commands, block by block; with `base`, only those that need no extra (docs/decisions, 1)."""
    blocks = re.findall(r"<!-- tour(: solana)? -->\n```sh\n(.*?)```", readme(), re.DOTALL)
    return [commands for extra, commands in blocks if not (base and extra)]


def block(name: str) -> str:
    """What stands between two markers."""
    found = re.search(rf"<!-- {name} -->\n(.*?)<!-- /{name} -->", readme(), re.DOTALL)
    assert found is not None, f"README has no block {name}"
    return found[1]


def lies_table() -> str:
    """The threat table, from the attacker and the steps that tests/cli/test_verifying.py holds it to."""
    lines = ["| lie | what the attacker does | named by |", "|---|---|---|"]
    for lie in lies():
        by = ", ".join(f"{step} {Step(step).name.lower()}" for step in steps_of(lie))
        by = "`dna check --fork`, from a head of each copy" if lie in BY_OTHER_HEAD else by
        by += " (against a head kept from before)" if lie in BY_EARLIER_HEAD else ""
        by += " (and refused at start-up)" if lie in AT_START else ""
        lines.append(f"| `{lie}` | {what(lie)} | {by} |")
    return "\n".join(lines) + "\n"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the tour is walked from, as often as anybody likes."""
    return tmp_path_factory.mktemp("tour")


@pytest.mark.parametrize("time", ["first", "second"])
def test_the_tour_runs_as_it_stands(time: str, place: Path) -> None:
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    environment = {name: value for name, value in os.environ.items() if not name.startswith("DNA_")}
    ran = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", "\n".join(tour())],
        cwd=place,
        env=environment | {"PATH": path, "TMPDIR": str(place)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ran.returncode, ran.stderr) == (0, ""), ran.stdout
    for promised in (
        "HOLDS: evidence of kind event for example.org/demo",
        "0 appended, 2 were there already, 0 refused",
        "HOLDS: evidence of kind run",
        "HOLDS: evidence of kind absence",
        "seen.head: the head of size 4",
        "detection.",
    ):
        assert promised in ran.stdout
    assert ran.stdout.count("found: exit code 1") == 2
    assert ran.stdout.count("\nIT HOLDS\n") == 4


def test_the_exit_codes_are_those_of_the_code() -> None:
    rows = re.findall(r"^\| ([\d, ]+) \| (.*) \|$", readme().partition("| code | means |")[2], re.MULTILINE)[:7]
    documented = " ".join((cli.__doc__ or "").split())
    assert [code for code, _ in rows] == ["0", "1", "2", "3", "75", "130, 143", "141"]
    for code, means in rows[:5]:
        assert f"{code} {means}" in documented.replace("`", "")
    assert (cli.WRITER_STOPPED, cli.INTERRUPTED, cli.TERMINATED, cli.NOBODY_READS) == (75, 130, 143, 141)


def test_the_tour_has_the_walk_that_matters() -> None:
    assert EXACTLY.replace(" ID ", f" {SEQ} ") in "\n".join(tour())


def test_the_table_of_lies_is_the_attackers() -> None:
    assert block("lies") == lies_table(), "run `python -m tests.test_readme`"


def test_the_steps_are_those_of_the_code() -> None:
    rows = re.findall(r"^\| (\d+) \| (\w+) \|", block("steps"), re.MULTILINE)
    assert rows == [(str(int(step)), step.name.lower()) for step in Step]


def test_every_command_that_is_mentioned_exists() -> None:
    mentioned = set(re.findall(r"(?<![\w/])dna ([a-z]+)", readme()))
    assert mentioned
    assert mentioned <= set(COMMANDS)


@pytest.mark.parametrize("link", re.findall(r"\]\(([^)#:]+)\)", README.read_text()))
def test_every_link_leads_somewhere(link: str) -> None:
    assert (ROOT / link).exists()


def test_every_room_is_there() -> None:
    rooms = re.findall(r"^\| `(\w+)/` \|", readme(), re.MULTILINE)
    assert rooms == ["service", "anchors", "engine", "ledger", "schemas"]
    assert all((ROOT / room).is_dir() for room in rooms)


if __name__ == "__main__":
    README.write_text(readme().replace(block("lies") + "<!-- /lies -->", lies_table() + "<!-- /lies -->"))

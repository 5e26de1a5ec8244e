"""A copied ledger at the command line: every command that writes refuses it until `--adopt`, in both places it says so."""

import json
import shutil
import signal
from pathlib import Path

import pytest

from tests.cli.calling import dna, done, is_one_sentence, new_ledger, size_of, started, submission, vkey_of, write_lines


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of a ledger, keys and lock and all."""
    return shutil.copytree(new_ledger(tmp_path, 2), tmp_path / "copy")


def writing(folder: Path) -> dict[str, list[object]]:
    """Every command that writes to a ledger, and its arguments after the ledger's folder."""
    (folder / "blocks").mkdir()
    return {
        "append": [write_lines(folder / "more.ndjson", submission(9))],
        "heartbeat": [],
        "erase": [1, "--who", "x", "--why", "x"],
        "keys rotate": ["notary"],
        "keys register": ["--source", "bot", "--new", folder / "bot.key"],
        "keys revoke": ["00" * 8],
        "anchor once": [],
        "anchor run": [],
        "watch": [folder / "blocks"],
        "serve": ["--port", 0],
        "run": ["--blocks", folder / "blocks", "--once"],
    }


def test_a_copied_ledger_is_refused_by_every_command_that_writes(copy: Path, tmp_path: Path) -> None:
    """The refusal is one sentence that names --adopt, exit code 3, and nothing is written; reading goes on."""
    size = size_of(copy)
    for name, rest in writing(tmp_path).items():
        said = dna(*name.split(), copy, *rest)
        assert (said.code, is_one_sentence(said.err)) == (3, True), (name, said)
        assert "--adopt" in said.err
    assert size_of(copy) == size
    assert done("status", copy, "--json").json["home"].startswith("elsewhere")
    done("verify", copy, "--key", vkey_of(tmp_path / "d"))


def test_every_command_that_writes_can_adopt(tmp_path: Path) -> None:
    """`--adopt` is an option wherever the refusal may come."""
    for name in writing(tmp_path):
        assert "--adopt" in done(*name.split(), "--help").out, name


def test_an_adopted_ledger_goes_on(copy: Path) -> None:
    """Adopted once, the copy is a ledger like any other; status says where its home is."""
    done("heartbeat", copy, "--adopt")
    done("heartbeat", copy)
    assert size_of(copy) == 5
    home = done("status", copy, "--json").json["home"]
    assert home.startswith("here")
    assert "since size 3" in home


def test_a_service_adopts_a_copy(copy: Path) -> None:
    """`dna serve --adopt` serves the copy; the original's lock is not touched."""
    with started("serve", copy, "--port", 0, "--adopt", "--json") as service:
        assert "http" in json.loads(service.says("address"))["address"]
        assert service.ends(signal.SIGTERM) == (0, "")
    done("heartbeat", copy)

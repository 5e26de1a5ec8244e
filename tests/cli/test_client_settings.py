"""Commands that take an address: where their key goes, how long they wait, and what they do without memory."""

import subprocess
import sys
from pathlib import Path

import pytest

from decision_dna.ledger.opening import open_ledger
from decision_dna.service.http.server import serving
from decision_dna.service.settings import Secret, Settings
from tests.cli.calling import dna, done, is_one_sentence, new_ledger, submission, vkey_of, write_lines


def test_append_sends_a_key_where_its_origin_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A service that wants a key gets it when DNA_API_ORIGIN names it; else the refusal says why not."""
    path, file = new_ledger(tmp_path, 1), write_lines(tmp_path / "more.ndjson", submission(1))
    settings = Settings(port=0, master_api_key=Secret("very-secret"))
    monkeypatch.setenv("MASTER_API_KEY", "very-secret")
    with open_ledger(path) as ledger, serving(ledger, settings) as address:
        command = ["append", address, file, "--key", vkey_of(path)]
        said = dna(*command)
        assert (said.code, is_one_sentence(said.err)) == (1, True)
        assert f"MASTER_API_KEY was not sent: DNA_API_ORIGIN does not name {address}" in said.err
        monkeypatch.setenv("DNA_API_ORIGIN", f"{address}/")
        assert done(*command).out.startswith("1 appended")


@pytest.mark.parametrize("command", [["show", "1"], ["verify"], ["append", __file__], ["status"]])
def test_a_key_for_an_unencrypted_address_is_not_sent(command: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond loopback a key needs https: the command does not begin."""
    monkeypatch.setenv("MASTER_API_KEY", "very-secret")
    monkeypatch.setenv("DNA_API_ORIGIN", "http://ledger.example.org")
    said = dna(command[0], "http://ledger.example.org", *command[1:])
    assert (said.code, said.out, "unencrypted" in said.err) == (2, "", True)
    assert "very-secret" not in said.err


def test_config_names_whom_the_key_is_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """The settings of commands that take an address are printed with the others, the key hidden."""
    monkeypatch.setenv("MASTER_API_KEY", "very-secret")
    assert done("config", "--json").json["client_key_for"] == "(no service)"
    monkeypatch.setenv("DNA_API_ORIGIN", "https://ledger.example.org/x")
    monkeypatch.setenv("DNA_DEADLINE_SECONDS", "5")
    said = done("config", "--json")
    assert said.json["client_key_for"] == "https://ledger.example.org"
    assert said.json["client_deadline_seconds"] == "5"
    assert "very-secret" not in said.out
    monkeypatch.setenv("DNA_DEADLINE_SECONDS", "soon")
    assert dna("config").code == 2


WITHOUT_MEMORY = """
import resource, sys
from pathlib import Path
import decision_dna.service.commands.checking
from decision_dna.service.cli import main
used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 12 * 2**20,) * 2)
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is limited by Linux's own means")
def test_too_little_memory_is_not_an_answer(tmp_path: Path) -> None:
    """A command without enough memory ends with 3: nothing was found false."""
    (tmp_path / "e.json").write_bytes(bytes(2**24))
    command = [
        sys.executable,
        "-c",
        WITHOUT_MEMORY,
        "check",
        str(tmp_path / "e.json"),
        "--key",
        vkey_of(new_ledger(tmp_path)),
    ]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stdout, ran.stderr) == (3, "", "dna: there is not enough memory for this\n")

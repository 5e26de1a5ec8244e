"""`dna prove` and `dna check`: one file, checked with nothing of the ledger at hand."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from decision_dna.ledger.opening import open_ledger
from decision_dna.schemas.texts import time_text
from decision_dna.service.http.server import serving
from decision_dna.service.settings import Settings
from tests.cli.calling import dna, done, is_one_sentence, new_ledger, size_of, submission, vkey_of, write_lines


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    path = new_ledger(tmp_path, 5)
    done("heartbeat", path)
    return path


def check(file: Path, key: str) -> dict[str, object]:
    said: dict[str, object] = done("check", file, "--key", key, "--json").json
    return said


def test_an_event_is_proved_and_checked_without_its_ledger(ledger: Path, tmp_path: Path) -> None:
    key, file = vkey_of(ledger), tmp_path / "e.json"
    done("prove", ledger, 3, "-o", file)
    shutil.rmtree(ledger)
    said = check(file, key)
    assert (said["holds"], said["kind"], said["size"]) == (True, "event", 7)
    assert [(event["seq"], event["payload"]) for event in said["events"]] == [(3, {"number": 2})]
    assert [(beat["role"], beat["seq"]) for beat in said["heartbeats"]] == [("heartbeat_after", 6)]
    people = done("check", file, "--key", key).out
    assert 'payload      {"number":2}\n' in people
    assert "heartbeat_after  seq 6" in people
    assert "relies on a whole verification" in people


def test_the_payload_may_be_left_out(ledger: Path, tmp_path: Path) -> None:
    done("prove", ledger, 3, "-o", tmp_path / "e.json", "--no-payload")
    assert check(tmp_path / "e.json", vkey_of(ledger))["events"][0]["payload"] is None


def test_every_bent_byte_of_a_proof_is_noticed(ledger: Path, tmp_path: Path) -> None:
    done("prove", ledger, 3, "-o", tmp_path / "e.json")
    data = (tmp_path / "e.json").read_bytes()
    for at in range(0, len(data), 37):
        (tmp_path / "bent.json").write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
        said = dna("check", tmp_path / "bent.json", "--key", vkey_of(ledger))
        assert said.code == 1, at
        assert said.out.startswith("DOES NOT HOLD"), at


def test_another_key_does_not_hold(ledger: Path, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    done("prove", ledger, 3, "-o", tmp_path / "e.json")
    said = dna("check", tmp_path / "e.json", "--key", vkey_of(new_ledger(tmp_path / "other")), "--json")
    assert (said.code, said.json["holds"], said.json["facts"]) == (1, False, [])


@pytest.mark.parametrize("text", ["", "{}\n", "\0", "[1,2]\n", "x" * 100])
def test_what_is_no_evidence_does_not_hold(ledger: Path, tmp_path: Path, text: str) -> None:
    (tmp_path / "e.json").write_text(text)
    said = dna("check", tmp_path / "e.json", "--key", vkey_of(ledger))
    assert said.code == 1
    assert "step 1: " in said.out


def test_a_run_is_complete_up_to_the_next_heartbeat(ledger: Path, tmp_path: Path) -> None:
    beat = done("show", ledger, 6, "--json").json["recorded_at"]
    before = time_text(open_ledger_time(ledger, 6) - 1)
    done("prove", ledger, "--stream", "x/bot", "--to", before, "-o", tmp_path / "r.json")
    said = check(tmp_path / "r.json", vkey_of(ledger))
    assert (said["kind"], [event["seq"] for event in said["events"]]) == ("run", [1, 2, 3, 4, 5])
    assert said["heartbeats"][-1]["recorded_at"] == beat
    assert done("status", ledger, "--json").json["size"] == 7


def open_ledger_time(path: Path, seq: int) -> int:
    with open_ledger(path) as ledger:
        return ledger.reader.event(seq).entry.recorded_at


def test_a_run_from_a_time_on_begins_with_the_entry_before_it(ledger: Path, tmp_path: Path) -> None:
    at = open_ledger_time(ledger, 1)
    done("prove", ledger, "--stream", "x/bot", "--from", at, "--to", at + 1, "-o", tmp_path / "r.json")
    said = check(tmp_path / "r.json", vkey_of(ledger))
    assert [event["seq"] for event in said["events"]] == [5]
    fact = f"0 of these entries are all of x/bot recorded after {time_text(at)} up to {time_text(at + 1)}"
    assert f"{fact}; 1 around them, to tie them to what comes before and after" in said["facts"]
    done("prove", ledger, "--stream", "x/bot", "-o", tmp_path / "whole.json")
    (fact,) = (fact for fact in check(tmp_path / "whole.json", vkey_of(ledger))["facts"] if "are all of" in fact)
    assert fact.startswith("5 of these entries are all of x/bot recorded up to ")
    assert "other" not in fact


def test_without_a_heartbeat_after_it_one_is_appended(ledger: Path, tmp_path: Path) -> None:
    done("append", ledger, write_lines(tmp_path / "more.ndjson", submission(50)))
    done("prove", ledger, "--stream", "x/nobody", "-o", tmp_path / "a.json")
    said = check(tmp_path / "a.json", vkey_of(ledger))
    assert (said["kind"], said["events"]) == ("absence", [])
    assert size_of(ledger) == 8  # the newest heartbeat commits to all that there is of it: nothing
    done("prove", ledger, "--stream", "x/bot", "-o", tmp_path / "r.json")
    assert [event["seq"] for event in check(tmp_path / "r.json", vkey_of(ledger))["events"]] == [1, 2, 3, 4, 5, 7]
    assert size_of(ledger) == 9


def test_where_no_heartbeat_can_be_appended_nobody_can_tell(ledger: Path, tmp_path: Path) -> None:
    with open_ledger(ledger) as opened:
        to = opened.reader.event(6).entry.recorded_at
        said = dna("prove", ledger, "--stream", "x/bot", "--to", to, "-o", tmp_path / "r.json")
    assert said.code == 3
    assert is_one_sentence(said.err)
    assert "no heartbeat was recorded after" in said.err
    assert not (tmp_path / "r.json").exists()


def test_a_time_that_is_not_over_can_not_be_complete(ledger: Path, tmp_path: Path) -> None:
    said = dna("prove", ledger, "--stream", "x/bot", "--to", "2200-01-01T00:00:00Z", "-o", tmp_path / "r.json")
    assert (said.code, is_one_sentence(said.err)) == (3, True)
    backwards = ("--from", "2026-01-02T00:00:00Z", "--to", "2026-01-01T00:00:00Z")
    assert dna("prove", ledger, "--stream", "x/bot", *backwards, "-o", tmp_path / "r.json").code == 2
    assert dna("prove", ledger, 99, "-o", tmp_path / "r.json").code == 1


def test_a_running_service_proves_too(ledger: Path, tmp_path: Path) -> None:
    at, key = open_ledger_time(ledger, 6), vkey_of(ledger)
    with open_ledger(ledger) as opened, serving(opened, Settings(port=0)) as address:
        done("prove", address, 3, "-o", tmp_path / "e.json")
        done("prove", address, "--stream", "x/bot", "--to", at - 1, "-o", tmp_path / "r.json")
        done("prove", ledger, 4, "-o", tmp_path / "beside.json")
        newest = done("prove", address, "--stream", "x/bot", "-o", tmp_path / "newest.json").out
        late = dna("prove", address, "--stream", "x/bot", "--to", at, "-o", tmp_path / "late.json")
        later = dna("prove", address, "--stream", "x/bot", "--from", at, "-o", tmp_path / "late.json")
    assert f"complete up to {time_text(at - 1)}" in newest
    assert (tmp_path / "newest.json").read_bytes() == (tmp_path / "r.json").read_bytes()
    done("prove", ledger, "--stream", "x/bot", "-o", tmp_path / "folder.json")
    assert len(check(tmp_path / "folder.json", key)["events"]) == 5
    assert (later.code, is_one_sentence(later.err)) == (3, True)
    assert check(tmp_path / "e.json", key)["holds"]
    assert check(tmp_path / "beside.json", key)["holds"]
    assert len(check(tmp_path / "r.json", key)["events"]) == 5
    assert (late.code, is_one_sentence(late.err)) == (3, True)


OUTSIDE_PACKAGES = ("litestar", "uvicorn", "uvloop", "httptools", "httpx", "rocksdict", "solana", "solders", "rich")
OUTSIDE_MODULES = ("sqlite3", "ssl", "asyncio")
BY_TYPER = ("typer", "subprocess", "fcntl", "socket")
"""What typer loads by itself: only the command may load it."""
CHECK_AS_LIBRARY = """
from pathlib import Path
from decision_dna.anchors.beside import check_anchor_beside
from decision_dna.ledger.evidence import check_evidence
from decision_dna.ledger.notes import Vkey

report = check_evidence(Path(sys.argv[1]).read_bytes(), Vkey.parse(sys.argv[2]))
check_anchor_beside(report)
code = 0 if report.holds else 1
"""
CHECK_AS_COMMAND = """
from decision_dna.service.cli import main

code = main(["check", sys.argv[1], "--key", sys.argv[2]])
"""


@pytest.mark.parametrize(
    ("check_code", "outside"),
    [
        (CHECK_AS_LIBRARY, (*OUTSIDE_PACKAGES, *OUTSIDE_MODULES, *BY_TYPER)),
        (CHECK_AS_COMMAND, (*OUTSIDE_PACKAGES, *OUTSIDE_MODULES)),
    ],
    ids=["library", "command"],
)
def test_check_loads_no_server_store_lock_or_chain(
    ledger: Path, tmp_path: Path, check_code: str, outside: tuple[str, ...]
) -> None:
    """Evidence with an anchor is checked without loading a server, a store, SQLite, file locks, sockets or a chain."""
    done("anchor", "once", ledger)
    done("prove", ledger, 3, "--anchored", "-o", tmp_path / "e.json")
    code = f"import sys\n{check_code}\nprint(*sys.modules, file=sys.stderr)\nsys.exit(code)"
    command = [sys.executable, "-c", code, str(tmp_path / "e.json"), vkey_of(ledger)]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    loaded = set(ran.stderr.split())
    assert "decision_dna.ledger.evidence" in loaded
    assert loaded & set(outside) == set()


def test_an_event_is_proved_under_an_anchored_head(ledger: Path, tmp_path: Path) -> None:
    file, key = tmp_path / "e.json", vkey_of(ledger)
    none = dna("prove", ledger, 3, "--anchored", "-o", file)
    assert (none.code, is_one_sentence(none.err), file.exists()) == (3, True, False)
    done("anchor", "once", ledger)
    done("heartbeat", ledger)
    done("prove", ledger, 3, "--anchored", "-o", file)
    said = check(file, key)
    assert (said["holds"], said["size"], said["anchor"]["cluster"]) == (True, 7, "local")
    assert said["facts"][-1].endswith("the very checkpoint that all of this is proved in")
    people = done("check", file, "--key", key).out
    assert "relies on the chain: that local finalised" in people
    assert "- the anchor key signed anchor 0" in people
    assert dna("prove", ledger, 7, "--anchored", "-o", file).code == 3
    assert dna("prove", ledger, "--stream", "x/bot", "--anchored", "-o", file).code == 2


def test_a_lie_in_an_anchor_is_named_by_check(ledger: Path, tmp_path: Path) -> None:
    done("anchor", "once", ledger)
    done("prove", ledger, 3, "--anchored", "-o", tmp_path / "e.json")
    value = json.loads((tmp_path / "e.json").read_bytes())
    value["anchor"]["memo"] = value["anchor"]["memo"].replace("v1 0 ", "v1 1 ")
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False) + "\n"
    (tmp_path / "bent.json").write_text(text)
    said = dna("check", tmp_path / "bent.json", "--key", vkey_of(ledger))
    assert said.code == 1
    assert "step 9: the anchor beside it: the memo" in said.out

"""`dna init` and `dna append`: what may be said, and what is refused before anything is written."""

import base64
import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from decision_dna.ledger import hashing
from decision_dna.ledger.keyring import read_key
from decision_dna.ledger.notes import Vkey
from decision_dna.ledger.receipts import check_batch_receipt
from decision_dna.ledger.signatures import SigningKey
from decision_dna.schemas import codec
from decision_dna.schemas.claims import VERSION, ZEROS, Claim
from decision_dna.schemas.payloads import PAYLOAD_BYTES_MAX, payload_from_json
from decision_dna.schemas.receipts import BatchReceipt
from decision_dna.schemas.texts import id_bytes
from tests.cli.calling import (
    CODE,
    IDS,
    ORIGIN,
    dna,
    done,
    is_one_sentence,
    new_ledger,
    size_of,
    started,
    submission,
    vkey_of,
    write_lines,
)


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    return new_ledger(tmp_path, 3)


def signed(key_file: Path, number: int, origin: str = ORIGIN, **bend: str) -> dict[str, object]:
    """A claim that its author signed."""
    key = SigningKey(read_key(key_file)[1])
    payload = payload_from_json("x.said", 1, b'{"n":1}')
    commitment = hashing.payload_commitment(bytes(16) + payload)
    claim = codec.encode(
        Claim(VERSION, origin, id_bytes(IDS[number]), "x.said", 1, "author", "", 1, (), "", 0, ZEROS, commitment)
    )
    said = {
        "claim": base64.b64encode(claim).decode(),
        "salt": "00" * 16,
        "signature": key.sign(hashing.author_message(claim)).hex(),
        "key_id": hashing.key_id(key.public).hex(),
        "payload": {"n": 1},
    }
    return {**said, **bend}


def test_init_says_what_it_made(tmp_path: Path) -> None:
    said = done("init", tmp_path / "d", "--origin", ORIGIN, "--json").json
    assert said["vkey"] == Path(said["vkey_file"]).read_text().strip()
    assert Path(said["root_key_file"]).stat().st_mode & 0o777 == 0o600
    people = done("init", tmp_path / "e", "--origin", ORIGIN).out
    assert "root.key offline" in people


def test_init_refuses_a_folder_that_has_something(ledger: Path) -> None:
    said = dna("init", ledger, "--origin", ORIGIN)
    assert said.code == 1
    assert is_one_sentence(said.err)
    assert size_of(ledger) == 4


def test_init_does_not_overwrite_what_verifiers_pinned(ledger: Path) -> None:
    key = vkey_of(ledger)
    shutil.rmtree(ledger)
    said = dna("init", ledger, "--origin", ORIGIN)
    assert (said.code, is_one_sentence(said.err)) == (1, True)
    assert vkey_of(ledger) == key
    assert not ledger.exists()


POLICIES = [
    ("p.toml", 'heartbeat_seconds_max = 7\n[[sources]]\nsource = "bot"\nattestation = "none"\n', "none"),
    ("p.json", '{"heartbeat_seconds_max": 7, "default_attestation": "none"}', "none"),
    ("p.json", '{"heartbeat_seconds_max": 7}', "notary"),
]


@pytest.mark.parametrize(("name", "text", "attestation"), POLICIES)
def test_init_takes_a_policy(tmp_path: Path, name: str, text: str, attestation: str) -> None:
    (tmp_path / name).write_text(text)
    path = new_ledger(tmp_path, 1, policy=tmp_path / name)
    assert done("status", path, "--json").json["heartbeat_seconds_max"] == 7
    assert done("show", path, 1, "--json").json["attestation"] == attestation


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        '{"what": 1}',
        '{"heartbeat_seconds_max": 0}',
        '{"default_attestation": "god"}',
        '{"sources": [{"source": "a", "attestation": "none"}, {"source": "a", "attestation": "none"}]}',
        '{"sources": [{"source": "a", "attestation": "author", "keys": ["zz"]}]}',
        '{"sources": [{"source": "ledger", "attestation": "none"}]}',
    ],
)
def test_init_refuses_what_is_no_policy_and_makes_nothing(tmp_path: Path, text: str) -> None:
    (tmp_path / "p.json").write_text(text)
    said = dna("init", tmp_path / "d", "--origin", ORIGIN, "--policy", tmp_path / "p.json")
    assert said.code == 2
    assert is_one_sentence(said.err)
    assert not (tmp_path / "d").exists()


def test_init_policy_toml_with_a_number_too_long_to_read(tmp_path: Path) -> None:
    """Python reads no number of more than 4,300 digits, and tomllib lets that error through."""
    (tmp_path / "p.toml").write_text(f"heartbeat_seconds_max = {'9' * 4301}\n")
    said = dna("init", tmp_path / "d", "--origin", ORIGIN, "--policy", tmp_path / "p.toml")
    assert (said.code, is_one_sentence(said.err), (tmp_path / "d").exists()) == (2, True, False)


def test_a_successor_names_the_head_that_it_goes_on_from(ledger: Path, tmp_path: Path) -> None:
    done("init", tmp_path / "next", "--origin", "example.org/next", "--successor", ledger)
    said = done("show", tmp_path / "next", 0, "--json").json["payload"]["successor_of"]
    old = done("status", ledger, "--json").json
    assert said == {"origin": ORIGIN, "size": 4, "root": old["root"]}


def test_append_acknowledges_with_receipts_that_hold(ledger: Path, tmp_path: Path) -> None:
    file = write_lines(tmp_path / "more.ndjson", *map(submission, range(2, 7)))
    receipts = done("append", ledger, file, "--json").out.splitlines()
    receipt = msgspec.json.decode(receipts[0], type=BatchReceipt)
    assert (len(receipts), receipt.first, receipt.count, receipt.outcomes) == (1, 4, 4, [3, 4, 5, 6, 7])
    assert check_batch_receipt(receipt, [Vkey.parse(vkey_of(ledger))]).size == 8


def test_append_cuts_its_batches_to_the_policy(tmp_path: Path) -> None:
    """A batch fits between two heartbeats: a file of more lines than heartbeat_events_max was refused as a whole, for ever."""
    (tmp_path / "policy.json").write_text('{"heartbeat_events_max":3}')
    done("init", tmp_path / "d", "--origin", ORIGIN, "--policy", tmp_path / "policy.json")
    file = write_lines(tmp_path / "many.ndjson", *map(submission, range(8)))
    assert done("append", tmp_path / "d", file).out == "8 appended, 0 were there already, 0 refused\n"
    done("verify", tmp_path / "d", "--key", vkey_of(tmp_path / "d"))


def test_append_again_appends_nothing(ledger: Path, tmp_path: Path) -> None:
    said = done("append", ledger, tmp_path / "events.ndjson")
    assert said.out == "0 appended, 3 were there already, 0 refused\n"
    assert size_of(ledger) == 4


def test_append_reads_standard_input(ledger: Path) -> None:
    line = json.dumps(submission(50)) + "\n\n"
    command = [sys.executable, "-c", CODE, "append", str(ledger), "-"]
    ran = subprocess.run(command, input=line, capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout == "1 appended, 0 were there already, 0 refused\n"


def test_an_interrupted_append_keeps_what_it_acknowledged(ledger: Path) -> None:
    with started("append", ledger, "-", "--json") as appending:
        appending.hears('{"type": "x.seen", "source": "many", "payload": {}}\n' * 1001)
        assert msgspec.json.decode(appending.says("receipt"), type=BatchReceipt).count == 1000
        assert appending.ends(signal.SIGINT) == (130, "dna: interrupted\n")
    assert size_of(ledger) == 1004


def test_append_names_whom_the_notary_speaks_for(ledger: Path, tmp_path: Path) -> None:
    done("append", ledger, write_lines(tmp_path / "a.ndjson", submission(9)), "--principal", "alice")
    assert done("show", ledger, IDS[9], "--json").json["principal"] == "alice"


BAD_LINES = {
    "not JSON": b"{",
    "not an object": b"[]",
    "no type": {"source": "bot", "payload": {}},
    "a type of the wrong kind": submission(8, type=7),
    "a payload of the wrong kind": submission(8, payload=[1]),
    "an unknown field": submission(8, colour="red"),
    "an unknown type": submission(8, type="detection.teapot"),
    "a payload with unknown fields": submission(8, type="detection.sandwich", payload={"what": 1}),
    "an id that is no UUIDv7": submission(8, id="00000000-0000-4000-8000-000000000000"),
    "an id that is no id": submission(8, id="eight"),
    "a source that may not be called so": submission(8, source="bo t"),
    "a source that is the ledger's own": submission(8, type="ledger.heartbeat", source="ledger", payload={}),
    "a cause that nobody knows": submission(8, causes=[IDS[99]]),
    "a trace that is none": submission(8, trace="abc"),
    "a subject that is too long": submission(8, subject="s" * 129),
    "a payload that is too large": submission(8, payload={"text": "t" * PAYLOAD_BYTES_MAX}),
    "a time that is none": submission(8, occurred_at="today"),
    "a time far ahead": submission(8, occurred_at="2200-01-01T00:00:00Z"),
    "an id from far ahead": submission(8, id="07000000-0000-7000-8000-000000000000"),
    "an id with other content": submission(1, payload={"number": 77}),
    "a stream that moved": submission(8, expected_stream_seq=9),
}


@pytest.mark.parametrize("what", BAD_LINES)
def test_a_bad_line_is_one_error_and_nothing_is_written(what: str, ledger: Path, tmp_path: Path) -> None:
    file = write_lines(tmp_path / "bad.ndjson", submission(5), BAD_LINES[what], submission(6))
    said = dna("append", ledger, file)
    assert said.code == 1
    assert is_one_sentence(said.err)
    assert said.err.startswith("dna: line 2: ")
    assert size_of(ledger) == 4


@pytest.mark.parametrize("what", BAD_LINES)
def test_with_skip_bad_the_others_are_appended(what: str, ledger: Path, tmp_path: Path) -> None:
    file = write_lines(tmp_path / "bad.ndjson", submission(5), BAD_LINES[what], submission(6))
    said = dna("append", ledger, file, "--skip-bad")
    assert (said.code, said.out) == (1, "2 appended, 0 were there already, 1 refused\n")
    assert said.err.startswith("dna: line 2: ")
    assert size_of(ledger) == 6


def test_a_batch_before_the_bad_one_stays(ledger: Path, tmp_path: Path) -> None:
    many = [{"type": "x.seen", "source": "many", "payload": {"n": number}} for number in range(1001)]
    said = dna("append", ledger, write_lines(tmp_path / "m.ndjson", *many, b"{"))
    assert (said.code, said.out) == (1, "1000 appended, 0 were there already, 1 refused\n")
    assert "line 1002" in said.err
    assert size_of(ledger) == 1004


def test_what_an_author_signed_is_taken_and_what_is_bent_is_not(ledger: Path, tmp_path: Path) -> None:
    key, other = tmp_path / "author.key", tmp_path / "other.key"
    done("keys", "register", ledger, "--source", "author", "--new", key)
    done("keys", "register", ledger, "--source", "someone", "--new", other)
    done("append", ledger, write_lines(tmp_path / "ok.ndjson", signed(key, 10)))
    assert done("show", ledger, IDS[10], "--json").json["attestation"] == "author"
    size = size_of(ledger)
    bent = {
        "for another log": signed(key, 11, origin="example.org/other"),
        "by another's key": signed(other, 11),
        "with a bad signature": signed(key, 11, signature="00" * 64),
        "with another payload": signed(key, 11) | {"payload": {"n": 2}},
        "with another salt": signed(key, 11, salt="11" * 16),
        "by a key that nobody knows": signed(key, 11, key_id="11" * 8),
        "and says it twice": signed(key, 11, type="x.said"),
        "without its salt": {name: value for name, value in signed(key, 11).items() if name != "salt"},
    }
    for what, line in bent.items():
        said = dna("append", ledger, write_lines(tmp_path / "bent.ndjson", line))
        assert (what, said.code, size_of(ledger)) == (what, 1, size), said
        assert is_one_sentence(said.err), what


def test_a_missing_file_is_wrong_usage(ledger: Path, tmp_path: Path) -> None:
    assert dna("append", ledger, tmp_path / "absent").code == 2


def test_heartbeat_erase_and_clock_are_entries(ledger: Path) -> None:
    assert done("heartbeat", ledger, "--json").json["seq"] == 4
    assert done("erase", ledger, 2, "--who", "me", "--why", "asked", "--json").json == {"erased": 2, "seq": 5}
    assert done("clock", ledger, "--reason", "test", "--json").json == {"seq": 6}
    gone = done("show", ledger, 2, "--json").json
    assert (gone["payload"], gone["redacted"]) == (None, True)
    assert dna("erase", ledger, 2, "--who", "me", "--why", "again").code == 1
    assert dna("erase", ledger, 0, "--who", "me", "--why", "genesis").code == 1
    assert done("verify", ledger, "--key", vkey_of(ledger)).out.endswith("IT HOLDS\n")


def test_without_the_root_key_nobody_vouches_for_the_clock(ledger: Path, tmp_path: Path) -> None:
    root = (ledger / "keys" / "root.key").rename(tmp_path / "root.key")
    said = dna("clock", ledger, "--reason", "test")
    assert said.code == 3
    assert is_one_sentence(said.err)
    assert done("clock", ledger, "--reason", "test", "--root", root, "--json").json == {"seq": 4}
    assert dna("clock", ledger, "--reason", "test", "--root", ledger / "keys" / "log.key").code == 3

"""`dna prove --tlog-proof` and `dna check` of such a file, and of those that others made."""

import base64
from hashlib import sha256
from pathlib import Path

import pytest
from nacl.signing import SigningKey as Ed25519

from decision_dna.ledger.cosignatures import ED25519, ML_DSA_44, Cosigner
from decision_dna.ledger.notes import Checkpoint, Vkey, sign_checkpoint
from decision_dna.ledger.signatures import SigningKey
from decision_dna.ledger.tlogproof import format_proof
from tests.cli.calling import dna, done, is_one_sentence, new_ledger, vkey_of
from tests.foreign.tile_client import check_proof, leaf_hash, node_hash, read_proof

WITNESS = Ed25519(bytes(31) + b"\x03")
COSIGNER = Cosigner("witness.example/w", ED25519, bytes(WITNESS.verify_key))


@pytest.fixture
def proved(tmp_path: Path) -> tuple[Path, Path]:
    """A ledger of six entries, and the proof of entry 2."""
    ledger, file = new_ledger(tmp_path, 5), tmp_path / "2.tlog-proof"
    done("prove", ledger, 2, "--tlog-proof", "-o", file, "--key", vkey_of(ledger))
    return ledger, file


def cosigned(data: bytes, time: int) -> bytes:
    text = data.partition(b"\n\n")[2].rpartition(b"\n\n")[0] + b"\n"
    signature = WITNESS.sign(f"cosignature/v1\ntime {time}\n".encode() + text).signature
    encoded = base64.b64encode(COSIGNER.key_id + time.to_bytes(8) + signature).decode()
    return data + f"— {COSIGNER.name} {encoded}\n".encode()


def test_prove_writes_a_tlog_proof_that_any_client_reads(proved: tuple[Path, Path]) -> None:
    """A client of the specifications alone finds the entry in it, and dna check says what it shows and what it does not."""
    ledger, file = proved
    proof = read_proof(file.read_bytes())
    assert proof.extra is not None
    assert check_proof(file.read_bytes(), proof.extra, vkey_of(ledger)).size == 6
    said = done("check", file, "--key", vkey_of(ledger), "--json").json
    assert (said["holds"], said["kind"], said["size"], said["events"][0]["seq"]) == (True, "tlog-proof", 6, 2)
    assert said["events"][0]["payload"] is None
    people = done("check", file, "--key", vkey_of(ledger)).out
    assert people.startswith("HOLDS: evidence of kind tlog-proof for example.org/demo\n")
    assert "is in its tree, at index 2" in people
    assert "who attested it" in people


def test_check_of_a_tlog_proof_takes_the_entry_from_a_file(proved: tuple[Path, Path], tmp_path: Path) -> None:
    """Where the extra line is missing, as in proofs of others, --entry gives the bytes; without any it is wrong usage."""
    ledger, file = proved
    data = file.read_bytes()
    entry = read_proof(data).extra or b""
    bare, given = tmp_path / "bare.tlog-proof", tmp_path / "entry"
    bare.write_bytes(b"".join(one for one in data.splitlines(True) if not one.startswith(b"extra ")))
    given.write_bytes(entry)
    assert dna("check", bare, "--key", vkey_of(ledger), "--entry", given).code == 0
    assert dna("check", bare, "--key", vkey_of(ledger)).code == 2
    given.write_bytes(entry + b"x")
    assert dna("check", file, "--key", vkey_of(ledger), "--entry", given).code == 1
    done("prove", ledger, 2, "-o", tmp_path / "e.json")
    assert dna("check", tmp_path / "e.json", "--key", vkey_of(ledger), "--entry", given).code == 2


def test_check_of_a_tlog_proof_asks_for_its_witnesses(proved: tuple[Path, Path], tmp_path: Path) -> None:
    """A witness that is asked for must have cosigned the head; one whose signature nobody here can check is 3."""
    ledger, file = proved
    asked = ("--key", vkey_of(ledger), "--witness", COSIGNER)
    alone = dna("check", file, *asked, "--json")
    assert (alone.code, alone.json["findings"][0]["step"]) == (1, 8)
    seen = tmp_path / "seen.tlog-proof"
    seen.write_bytes(cosigned(file.read_bytes(), 1_790_000_000))
    assert "the witness witness.example/w cosigned it at 2026-09-21T" in done("check", seen, *asked).out
    seen.write_bytes(cosigned(file.read_bytes(), 2**63 - 1))
    assert f"cosigned it at {2**63 - 1} s since 1970" in done("check", seen, *asked).out
    seen.write_bytes(cosigned(file.read_bytes(), 7)[:-9] + b"AAAAAAA=\n")
    assert dna("check", seen, *asked).code == 1
    later = Cosigner("pq.example/w", ML_DSA_44, bytes(1312))
    encoded = base64.b64encode(later.key_id + bytes(2428)).decode()
    seen.write_bytes(file.read_bytes() + f"— {later.name} {encoded}\n".encode())
    said = dna("check", seen, "--key", vkey_of(ledger), "--witness", later)
    assert (said.code, is_one_sentence(said.err)) == (3, True)
    assert dna("check", seen, "--key", vkey_of(ledger), "--witness", vkey_of(ledger)).code == 2


def bent(data: bytes, old: bytes, new: bytes) -> bytes:
    assert old in data
    return data.replace(old, new, 1)


WRONG: dict[str, tuple[bytes, bytes]] = {
    "another index": (b"index 2\n", b"index 3\n"),
    "an index of 5,000 digits": (b"index 2\n", b"index " + b"9" * 5000 + b"\n"),
    "another version": (b"tlog-proof@v1\n", b"tlog-proof@v1\n\n"),
    "an extra line that is no base64": (b"extra ", b"extra !"),
    "another origin": (b"\nexample.org/demo\n", b"\nexample.org/other\n"),
    "another size": (b"\n6\n", b"\n7\n"),
    "bytes that are no UTF-8": (b"index 2\n", b"index 2\n\xff\n"),
}


@pytest.mark.parametrize("name", WRONG)
def test_check_of_a_bent_tlog_proof_does_not_hold(proved: tuple[Path, Path], name: str) -> None:
    """Whatever is changed in it, it does not hold, and nothing of it is repeated as a fact."""
    ledger, file = proved
    file.write_bytes(bent(file.read_bytes(), *WRONG[name]))
    said = dna("check", file, "--key", vkey_of(ledger), "--json")
    assert (said.code, said.json["holds"], said.json["facts"]) == (1, False, [])
    assert dna("check", file, "--key", vkey_of(ledger)).out.startswith("DOES NOT HOLD")


def test_check_of_a_tlog_proof_wants_the_key_that_signed(proved: tuple[Path, Path], tmp_path: Path) -> None:
    """Another log's key does not hold, however right the tree."""
    (tmp_path / "other").mkdir()
    assert dna("check", proved[1], "--key", vkey_of(new_ledger(tmp_path / "other"))).code == 1
    other = tmp_path / "other.tlog-proof"
    key = ("--key", vkey_of(tmp_path / "other" / "d"))
    assert dna("prove", proved[0], 2, "--tlog-proof", "-o", other, *key).code == 1
    assert not other.exists()


def test_check_of_a_tlog_proof_of_any_log(tmp_path: Path) -> None:
    """Logs with entries of their own: the proof holds, and what the entry means is not said. An entry of ours out of place fails."""
    key = SigningKey(bytes(32))
    vkey = Vkey("example.org/foreign", key.public)
    leaves = [leaf_hash(b"one"), leaf_hash(b"two")]
    note = sign_checkpoint(Checkpoint(vkey.name, 2, node_hash(*leaves)), [key])
    file, entry = tmp_path / "p.tlog-proof", tmp_path / "entry"
    file.write_text(format_proof(1, leaves[:1], note))
    entry.write_bytes(b"two")
    said = done("check", file, "--key", vkey, "--entry", entry, "--json").json
    assert (said["holds"], said["events"], said["freshness"]) == (True, [], "pass")

    ledger = new_ledger(tmp_path, 1)
    done("prove", ledger, 1, "--tlog-proof", "-o", tmp_path / "ours")
    ours = read_proof((tmp_path / "ours").read_bytes()).extra or b""
    note = sign_checkpoint(Checkpoint(vkey.name, 1, sha256(b"\x00" + ours).digest()), [key])
    file.write_text(format_proof(0, [], note, ours))
    said = dna("check", file, "--key", vkey, "--json")
    assert (said.code, said.json["findings"][0]["step"]) == (1, 1)


def test_prove_of_a_tlog_proof_is_for_an_event_in_a_folder(proved: tuple[Path, Path], tmp_path: Path) -> None:
    """Streams, addresses and anchors are wrong usage; an event that is not there is not found."""
    ledger, file = proved
    for wrong in (["--stream", "x/bot"], [2, "--anchored"]):
        assert dna("prove", ledger, *wrong, "--tlog-proof", "-o", file).code == 2
    assert dna("prove", "http://127.0.0.1:9", 2, "--tlog-proof", "-o", file).code == 2
    assert dna("prove", ledger, 99, "--tlog-proof", "-o", tmp_path / "none").code == 1
    assert not (tmp_path / "none").exists()

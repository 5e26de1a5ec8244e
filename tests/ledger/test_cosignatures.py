"""Cosignatures under a checkpoint, against messages that these tests put together from tlog-cosignature."""

import base64
from hashlib import sha256

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nacl.signing import SigningKey as Ed25519

from decision_dna.ledger.cosignatures import ED25519, ML_DSA_44, Cosigner, cosigned_at
from decision_dna.ledger.notes import Checkpoint, Vkey, open_checkpoint, sign_checkpoint
from decision_dna.ledger.signatures import SigningKey
from decision_dna.ledger.tlogproof import format_proof, parse_proof_file
from decision_dna.schemas.errors import ProofRejected, Unavailable

LOG, WITNESS = SigningKey(bytes(32)), Ed25519(bytes(31) + b"\x02")
NAME = "witness.example/w1"
HEAD = Checkpoint("example.org/log", 3, b"\x07" * 32)
NOTE = sign_checkpoint(HEAD, [LOG])
COSIGNER = Cosigner(NAME, ED25519, bytes(WITNESS.verify_key))
MLDSA = Cosigner(NAME, ML_DSA_44, bytes(1312))


def line(time: int, signed_time: int | None = None, name: str = NAME, type_byte: int = 4) -> bytes:
    text = NOTE.rpartition(b"\n\n")[0] + b"\n"
    message = f"cosignature/v1\ntime {time if signed_time is None else signed_time}\n".encode() + text
    key_id = sha256(name.encode() + b"\n" + bytes([type_byte]) + bytes(WITNESS.verify_key)).digest()[:4]
    data = key_id + (time % 2**64).to_bytes(8) + WITNESS.sign(message).signature
    return f"— {name} {base64.b64encode(data).decode()}\n".encode()


def test_cosigned_at_reads_the_time_that_the_witness_signed() -> None:
    """The latest of its lines counts, all of them verify, and the log's own signature is not disturbed."""
    assert cosigned_at(NOTE + line(1_679_315_147), COSIGNER) == 1_679_315_147
    note = NOTE + line(7) + line(9) + line(8)
    assert cosigned_at(note, COSIGNER) == 9
    assert open_checkpoint(note, [Vkey(HEAD.origin, LOG.public)]) == HEAD


FALSE: dict[str, bytes] = {
    "not cosigned": b"",
    "a time that was not signed": line(8, 7),
    "one of two does not verify": line(7) + line(8, 7),
    "another witness": line(7, name="witness.example/w2"),
    "as an ordinary signature": line(7, type_byte=1),
    "a time past 63 bits": line(2**63),
}


@pytest.mark.parametrize("name", FALSE)
def test_cosigned_at_rejects_what_the_witness_did_not_sign(name: str) -> None:
    """No line, another name, another type, another time, and one false line beside a true one."""
    with pytest.raises(ProofRejected):
        cosigned_at(NOTE + FALSE[name], COSIGNER)


def test_cosigned_at_cannot_tell_for_ml_dsa() -> None:
    """A line of a type 06 key is recognised, and never called verified."""
    theirs = f"— {NAME} {base64.b64encode(MLDSA.key_id + bytes(8 + 2420)).decode()}\n".encode()
    with pytest.raises(Unavailable, match="ML-DSA-44"):
        cosigned_at(NOTE + theirs, MLDSA)
    with pytest.raises(ProofRejected, match="not cosigned"):
        cosigned_at(NOTE, MLDSA)


PROOF = format_proof(2, [b"\x08" * 32, b"\x09" * 32], NOTE + line(7), b"entry").encode()


@given(st.integers(0, len(PROOF) - 1), st.integers(0, len(PROOF)), st.binary(max_size=3))
@settings(max_examples=300, deadline=None)
def test_only_proof_rejected_leaves_what_reads_a_proof(start: int, length: int, put: bytes) -> None:
    """However a tlog-proof is bent, it is read or rejected: no other error leaves, and no other entry or head is proved."""
    bent = PROOF[:start] + put + PROOF[start + length :]
    try:
        proof = parse_proof_file(bent.decode())
        cosigned_at(proof.checkpoint, COSIGNER)
        opened = open_checkpoint(proof.checkpoint, [Vkey(HEAD.origin, LOG.public)])
    except (ProofRejected, UnicodeDecodeError):
        return
    assert opened == HEAD


def test_cosigner_keys_have_one_form() -> None:
    """Types 04 and 06 with keys of their length, under their own key id."""
    for cosigner in (COSIGNER, MLDSA):
        assert Cosigner.parse(str(cosigner)) == cosigner
    name, key_id, encoded = str(COSIGNER).split("+", 2)
    wrong = [f"{name}+00000000+{encoded}", f"+{key_id}+{encoded}", f"{name}+{key_id}", f"{name}+{key_id}+BA=="]
    wrong += [str(Vkey(NAME, COSIGNER.key)), str(Cosigner(NAME, ML_DSA_44, COSIGNER.key))]
    for text in wrong:
        with pytest.raises(ProofRejected):
            Cosigner.parse(text)

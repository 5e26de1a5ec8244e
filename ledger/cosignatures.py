"""Cosignatures of witnesses under a checkpoint (C2SP tlog-cosignature; docs/format.md, section 8).

    type 04   Ed25519     u64 time ‖ 64 bytes       over cosignature/v1, LF, time <decimal>, LF ‖ the text of the note
    type 06   ML-DSA-44   u64 time ‖ 2,420 bytes    recognised by its key, and not verified: nothing here knows ML-DSA

A witness says: at that time this was the largest head of the log that I saw, and it goes on from those before.
"""

import base64
from hashlib import sha256

import msgspec

from decision_dna.ledger.notes import check_name, decode_base64, parse_note
from decision_dna.ledger.signatures import is_signed
from decision_dna.schemas.errors import ProofRejected, Unavailable

ED25519, ML_DSA_44 = 0x04, 0x06
KEY_BYTES = {ED25519: 32, ML_DSA_44: 1312}
TIME_BYTES = 8
TIME_MAX = 2**63 - 1


class Cosigner(msgspec.Struct, frozen=True):
    """A witness's verifier key: `name+hex(keyID)+base64(type ‖ key)`, type 04 or 06."""

    name: str
    type: int
    key: bytes

    @property
    def key_id(self) -> bytes:
        """4 bytes: SHA-256(name ‖ 0A ‖ type ‖ key)[:4]."""
        return sha256(self.name.encode() + b"\n" + bytes([self.type]) + self.key).digest()[:4]

    def __str__(self) -> str:
        return f"{self.name}+{self.key_id.hex()}+{base64.b64encode(bytes([self.type]) + self.key).decode()}"

    @classmethod
    def parse(cls, text: str) -> "Cosigner":
        """Parse a witness's vkey. Raises ProofRejected."""
        parts = text.strip().split("+", 2)
        if len(parts) != 3:
            raise ProofRejected("a witness's key looks like name+hex+base64")
        name, key_id, encoded = parts
        check_name(name)
        data = decode_base64(encoded, "witness key")
        if not data or KEY_BYTES.get(data[0]) != len(data) - 1:
            raise ProofRejected(
                "a witness's key is base64 of 04 and 32 bytes (Ed25519), or of 06 and 1,312 (ML-DSA-44)"
            )
        cosigner = cls(name, data[0], data[1:])
        if cosigner.key_id.hex() != key_id:
            raise ProofRejected(f"witness key: its id is {cosigner.key_id.hex()}, it says {key_id}")
        return cosigner


def cosigned_at(note: bytes, cosigner: Cosigner) -> int:
    """Return the latest time (s since 1970) at which the witness cosigned the note.

    Raises ProofRejected if it did not, or if a line of its key does not verify, and Unavailable for a key of type 06.
    """
    parsed = parse_note(note)
    lines = [line for line in parsed.signatures if (line.name, line.key_id) == (cosigner.name, cosigner.key_id)]
    if not lines:
        raise ProofRejected(f"the checkpoint is not cosigned by {cosigner.name}+{cosigner.key_id.hex()}")
    if cosigner.type != ED25519:
        raise Unavailable(f"whether the cosignature of {cosigner.name} (ML-DSA-44) verifies cannot be told here")
    times: list[int] = []
    for line in lines:
        time = int.from_bytes(line.signature[:TIME_BYTES])
        message = f"cosignature/v1\ntime {time}\n".encode() + parsed.text
        if time > TIME_MAX or not is_signed(cosigner.key, message, line.signature[TIME_BYTES:]):
            raise ProofRejected(f"the cosignature of {cosigner.name}+{cosigner.key_id.hex()} does not verify")
        times.append(time)
    return max(times)

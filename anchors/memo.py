"""The memo of an anchor (docs/format.md, section 12): a numbered, linked line, then the signed checkpoint as it is.

    decision-dna-anchor/v1 1 5f2c…64 hex…9a        number, SHA-256 of memo 0 (zeros in memo 0)
    example.org/log                                  the checkpoint: origin,
    118                                              size,
    9kK0Yk0sV0p0y1Fv9cGZqZlWb1kQZyBf3i3T7k6H1rE=     root
                                                     an empty line
    — example.org/log 1fRk0W…                        the log's signature

Whoever finds two memos of one origin with one size and two roots holds a proof that the log's key signed a fork: the
note is whole in each of them. The numbers and links show that no anchor was left out between two others.
"""

import re
from hashlib import sha256

import msgspec

from decision_dna.ledger.notes import UnverifiedCheckpoint, note_of
from decision_dna.schemas.errors import ProofRejected, TooLarge

MEMO_BYTES_MAX = 895
"""What a legacy transaction of 1,232 bytes leaves beside one signature, two compute-budget instructions and the
transfer with its references (337 bytes together); with nothing to find it by, a transaction would hold 1,010."""

FIRST_PREVIOUS = bytes(32)
N_MAX = 2**63 - 1

_PREFIX = "decision-dna-anchor/v1"
_HEAD = re.compile(rb"decision-dna-anchor/v1 (0|[1-9][0-9]{0,18}) ([0-9a-f]{64})")
_REFERENCE = b"decision-dna/v1/anchor\n"


class Memo(msgspec.Struct, frozen=True):
    """A parsed memo: its number, the hash of the memo before, and the note whose signatures nobody has checked yet."""

    n: int
    previous: bytes
    note: bytes
    checkpoint: UnverifiedCheckpoint


def build_memo(n: int, previous: bytes, note: bytes) -> bytes:
    """The memo's bytes. `previous` is `memo_hash` of memo n − 1 (`FIRST_PREVIOUS` for 0), `note` a signed checkpoint.

    Raises TooLarge where no anchor transaction can hold it, ProofRejected where `parse_memo` would not read it.
    """
    memo = f"{_PREFIX} {n} {previous.hex()}\n".encode() + note
    if len(memo) > MEMO_BYTES_MAX:
        raise TooLarge(f"an anchor's memo of {len(memo)} bytes, at most {MEMO_BYTES_MAX} fit into a transaction")
    parse_memo(memo)
    return memo


def parse_memo(data: bytes) -> Memo:
    """The parts of a memo in its exact form. Raises ProofRejected."""
    head, _, note = data.partition(b"\n")
    match = _HEAD.fullmatch(head)
    if match is None:
        raise ProofRejected(f"an anchor's memo begins with `{_PREFIX} <n> <64 hex>`, this one with {head[:100]!r}")
    n, previous = int(match[1]), bytes.fromhex(match[2].decode())
    if n > N_MAX:
        raise ProofRejected(f"an anchor's number is at most {N_MAX}, this one is {n}")
    if (n == 0) != (previous == FIRST_PREVIOUS):
        raise ProofRejected(f"anchor {n}: only the first one, and always that one, names zeros as the memo before")
    return Memo(n, previous, note, note_of(note))


def memo_hash(memo: bytes) -> bytes:
    """32 bytes: what the next memo names as the one before."""
    return sha256(memo).digest()


def reference_keys(checkpoint: UnverifiedCheckpoint) -> tuple[bytes, bytes]:
    """Two keys of 32 bytes that the transaction lists, so that anyone finds it by address: one for all anchors of the
    origin, one (the root itself) for this head. Nobody holds their private halves."""
    return sha256(_REFERENCE + checkpoint.origin.encode()).digest(), checkpoint.root

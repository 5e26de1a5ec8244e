"""Proofs of inclusion as text: `c2sp.org/tlog-proof@v1` (docs/format.md, section 9).

c2sp.org/tlog-proof@v1
extra AAEC…                                       optional: bytes of the application, vouched for by nobody
index 5
kQZyBf3i3T7k6H1rE9kK0Yk0sV0p0y1Fv9cGZqZlWb1=      from the leaf upward
                                                  an empty line
example.org/log                                   a checkpoint, to its end
…
"""

import base64
from collections.abc import Sequence

import msgspec

from decision_dna.ledger.notes import decode_base64
from decision_dna.schemas.errors import ProofRejected

HEADER = "c2sp.org/tlog-proof@v1"
HASHES_MAX = 63


class TlogProof(msgspec.Struct, frozen=True):
    """The leaf at `index` is in the tree of `checkpoint` (a signed note). `extra` is for the application, and not vouched for."""

    index: int
    hashes: tuple[bytes, ...]
    checkpoint: bytes
    extra: bytes | None = None


def format_proof(index: int, hashes: Sequence[bytes], checkpoint: bytes, extra: bytes | None = None) -> str:
    """Return the text of a proof."""
    told = [] if extra is None else [f"extra {base64.b64encode(extra).decode()}"]
    lines = [HEADER, *told, f"index {index}", *(base64.b64encode(value).decode() for value in hashes), "", ""]
    return "\n".join(lines) + checkpoint.decode()


def is_proof(data: bytes) -> bool:
    """Return whether a file says that it is a tlog-proof."""
    return data.startswith(HEADER.encode() + b"\n")


def parse_proof(text: str) -> TlogProof:
    """Parse a proof of evidence and receipts, which has no `extra` line. Raises ProofRejected."""
    proof = parse_proof_file(text)
    if proof.extra is not None:
        raise ProofRejected("a proof with an extra line, which evidence and receipts have not")
    return proof


def parse_proof_file(text: str) -> TlogProof:
    """Parse any tlog-proof. Raises ProofRejected."""
    head, gap, checkpoint = text.partition("\n\n")
    lines, extra = head.split("\n"), None
    if lines[1:] and lines[1].startswith("extra "):
        extra = decode_base64(lines.pop(1).removeprefix("extra "), "a proof's extra line")
    if not gap or lines[0] != HEADER or len(lines) < 2 or not lines[1].startswith("index "):
        raise ProofRejected(f"not a proof of the form {HEADER}")
    index = lines[1].removeprefix("index ")
    if not (index.isascii() and index.isdigit()) or str(int(index[:20])) != index:
        raise ProofRejected(f"a proof's index is a plain decimal number, not {index[:40]!r}")
    if len(lines) - 2 > HASHES_MAX:
        raise ProofRejected(f"a proof of {len(lines) - 2} hashes, at most {HASHES_MAX}")
    hashes = tuple(decode_base64(line, "proof hash") for line in lines[2:])
    return TlogProof(int(index), hashes, checkpoint.encode(), extra)

"""Two heads of one size with two roots, both signed by one key: evidence that the log was forked (docs/format.md, section 10).

One signature binds a key to one history up to a size. So no more is needed than the two notes and the key: no entry, no ledger.
Heads of different sizes may both be true; `dna verify LEDGER --head FILE` compares one with the entries under the other.
"""

import msgspec

from decision_dna.ledger.evidence import check_evidence
from decision_dna.ledger.notes import Vkey, open_checkpoint
from decision_dna.schemas.errors import ProofRejected, Refused, Unavailable
from decision_dna.schemas.evidence import EVIDENCE_FORMAT, Evidence, ForkGiven


def prove_fork(first: bytes, second: bytes, vkey: Vkey) -> bytes:
    """Evidence of a fork from two signed notes.

    Raises ProofRejected if the key signed not both, Refused if they are one head, Unavailable if their sizes differ.
    """
    one, other = (open_checkpoint(note, [vkey]) for note in (first, second))
    if one == other:
        raise Refused(f"no fork: both are the head of size {one.size} with root {one.root.hex()}")
    if one.size != other.size:
        raise Unavailable(
            f"heads of sizes {one.size} and {other.size} can both be true: compare one with the ledger of the other, "
            "by `dna verify LEDGER --head FILE`"
        )
    given = ForkGiven(first.decode(), second.decode())
    evidence = Evidence(EVIDENCE_FORMAT, "fork", vkey.name, [], None, None, None, None, given)
    data = msgspec.json.encode(evidence) + b"\n"
    report = check_evidence(data, vkey)
    if not report.holds:
        raise ProofRejected(report.findings[0].text)
    return data

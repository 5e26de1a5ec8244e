"""Check a `c2sp.org/tlog-proof@v1` file: an entry is in a log, and which witnesses saw its head (docs/format.md, section 9).

Less than evidence, and any C2SP client can check it too: who attested the entry, and with which right, is not in it. The entry
itself is no part of the format. `dna prove --tlog-proof` puts it into `extra`; the proof says whether it is the right one.
"""

from collections.abc import Sequence

from decision_dna.ledger import merkle
from decision_dna.ledger.cosignatures import Cosigner, cosigned_at
from decision_dna.ledger.evidence import EvidenceReport, Shown
from decision_dna.ledger.notes import Checkpoint, Vkey, open_checkpoint
from decision_dna.ledger.tlogproof import TlogProof
from decision_dna.ledger.verification import Finding, Step
from decision_dna.schemas.claims import decode_claim, decode_entry
from decision_dna.schemas.errors import LedgerError, ProofRejected
from decision_dna.schemas.texts import time_text

KIND = "tlog-proof"
RELIES_ON = (
    "evidence (`dna prove` without --tlog-proof) for who attested it, and with which right; and on witnesses and a whole "
    "verification to show that history was not rewritten"
)


def check_proof(proof: TlogProof, raw: bytes, vkey: Vkey, witnesses: Sequence[Cosigner] = ()) -> EvidenceReport:
    """Check that the entry is in the tree whose head the key and every witness signed. Raises Unavailable as `cosigned_at`."""
    report = EvidenceReport(kind=KIND, origin=vkey.name)
    step = Step.CHECKPOINTS
    try:
        checkpoint = open_checkpoint(proof.checkpoint, [vkey])
        step = Step.WITNESSES
        seen = [(witness.name, cosigned_at(proof.checkpoint, witness)) for witness in witnesses]
        step = Step.TREE
        merkle.check_inclusion(proof.index, checkpoint.size, merkle.leaf_hash(raw), proof.hashes, checkpoint.root)
        step = Step.ENCODING
        report.shown += _shown(raw, proof.index, checkpoint)
    except ProofRejected as error:
        report.findings.append(Finding(step, proof.index, str(error)))
        return report
    report.checkpoint = checkpoint
    report.facts.append(f"the checkpoint of {checkpoint.origin} at size {checkpoint.size} is signed by {vkey}")
    report.facts.append(f"the entry of {len(raw)} bytes is in its tree, at index {proof.index}")
    report.facts += [f"the witness {name} cosigned it at {_when(at)}" for name, at in seen]
    report.relies_on.append(RELIES_ON)
    return report


def _when(seconds: int) -> str:
    """A witness's time is its own word, and may be past every calendar."""
    return time_text(seconds * 10**9) if seconds < 2**33 else f"{seconds} s since 1970"


def _shown(raw: bytes, index: int, checkpoint: Checkpoint) -> list[Shown]:
    """The entry, decoded; nothing for entries of logs of other formats. Raises ProofRejected for one that is out of its place."""
    try:
        entry = decode_entry(raw)
        claim = decode_claim(entry.claim)
    except LedgerError:
        return []
    if (claim.origin, entry.seq) != (checkpoint.origin, index):
        raise ProofRejected(f"the entry at index {index} of {checkpoint.origin} says seq {entry.seq} of {claim.origin}")
    return [Shown("event", raw, entry, claim)]

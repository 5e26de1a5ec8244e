"""Step 9 of evidence, offline: what the bytes of an anchor beside it prove (docs/format.md, sections 10 and 12).

    the transaction   signed by an anchor key that the evidence's own key entries name, and of the one form
    the memo          the one in that transaction
    the checkpoint    signed by the log keys of its size
    the size          that of the evidence's checkpoint: then the roots must be equal, and all that was proved is anchored

An anchor of another size is no lie, but nothing in evidence ties two sizes together: what it shows then is only that it
is an anchor of this log. That a chain holds the transaction, in which slot and when, is in no byte of the file.
"""

from decision_dna.anchors.transaction import AnchorProof, check_anchor_transaction
from decision_dna.ledger.authority import Authority, authority_after
from decision_dna.ledger.evidence import ANCHOR_NOT_CHECKED, EvidenceReport
from decision_dna.ledger.notes import Checkpoint, decode_base64, open_head
from decision_dna.ledger.verification import Finding, Step
from decision_dna.schemas.errors import LedgerError, ProofRejected
from decision_dna.schemas.evidence import AnchorGiven


def check_anchor_beside(report: EvidenceReport) -> None:
    """Add step 9 to the report of evidence that holds: facts and what stays unproved, or a finding. Does nothing where there
    is no anchor. Never raises for what the bytes say."""
    given, checkpoint = report.anchor, report.checkpoint
    if not report.holds or given is None or checkpoint is None:
        return
    report.relies_on.remove(ANCHOR_NOT_CHECKED)
    try:
        proof = _checked(given, checkpoint, _states(report))
    except LedgerError as error:
        report.findings.append(Finding(Step.ANCHORS, None, f"the anchor beside it: {error}"))
        return
    _say(report, given, checkpoint, proof)


def _states(report: EvidenceReport) -> list[tuple[int, Authority]]:
    """Keys and policy from each seq on, as the entries shown give them."""
    entries = {shown.entry.seq: shown for shown in report.shown}
    states: list[tuple[int, Authority]] = []
    authority: Authority | None = None
    for seq in sorted(entries):
        after = authority_after(authority, entries[seq].entry, entries[seq].claim)
        if after is not None and after is not authority:
            states.append((seq + 1, after))
        authority = after
    return states


def _checked(given: AnchorGiven, checkpoint: Checkpoint, states: list[tuple[int, Authority]]) -> AnchorProof:
    proof = _proof(decode_base64(given.transaction, "transaction"), checkpoint.origin, states)
    if proof.memo != given.memo.encode():
        raise ProofRejected(f"the memo beside its transaction is not the memo in it, which is {proof.memo!r}")
    anchored = proof.checkpoint
    open_head(proof.note, checkpoint.origin, states[-1][1].log_keys_at)
    if anchored.size == checkpoint.size and anchored.root != checkpoint.root:
        raise ProofRejected(
            f"at size {anchored.size} the anchored root is {anchored.root.hex()}, the checkpoint's is {checkpoint.root.hex()}: "
            "the log key signed both"
        )
    return proof


def _proof(raw: bytes, origin: str, states: list[tuple[int, Authority]]) -> AnchorProof:
    """Under any anchor key that was live once the anchored head was signed: which of them, the entry that reports the anchor
    would tell, and evidence has no place for it."""
    live_from: dict[bytes, int] = {}
    for first, authority in states:
        live_from.setdefault(authority.anchor, first)
    keys = list(live_from)
    signer = next((key for key in keys[1:] if key in raw), keys[0])
    proof = check_anchor_transaction(raw, signer, origin)
    for later in keys[keys.index(signer) + 1 :][:1]:
        if live_from[later] <= proof.checkpoint.size:
            raise ProofRejected(
                f"its key was replaced at entry {live_from[later] - 1}, before there was a head of size {proof.checkpoint.size}"
            )
    return proof


def _say(report: EvidenceReport, given: AnchorGiven, checkpoint: Checkpoint, proof: AnchorProof) -> None:
    anchored = proof.checkpoint
    signed = f"the anchor key signed anchor {proof.n}, whose memo holds the log's signed head of size {anchored.size}"
    if anchored.size == checkpoint.size:
        report.facts.append(f"{signed}: the very checkpoint that all of this is proved in")
    else:
        report.facts.append(f"{signed}; it is not the checkpoint of this evidence, which has size {checkpoint.size}")
        report.relies_on.append(
            f"a consistency proof between the sizes {anchored.size} and {checkpoint.size}: evidence carries none, so that the "
            "anchor covers this is unverified"
        )
    report.relies_on.append(
        f"the chain: that {given.cluster} finalised the anchor's transaction, in slot {given.slot}, at {given.block_time} s "
        "since 1970, is unverified"
    )
    report.relies_on.append("a whole verification for the anchor's number and its link to the one before (step 9)")

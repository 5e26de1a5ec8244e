"""Step 9, offline: what the bytes of a log's anchors prove (docs/format.md, sections 12 and 15).

For each `anchor.confirmed` entry, in log order:

    the transaction   signed by the anchor key that is live at the entry's seq, and of the one form
    the numbers       0, 1, 2, … without gaps
    the links         each memo names the SHA-256 of the memo before
    the checkpoint    signed by the log, of at most the entry's seq, with the root of the log's first `size` entries
    the payload       signature, n, size and root are what the transaction says

That a chain holds the transactions, and in which slot, is in no byte of the log. So the best verdict here is
`inconclusive`: the bytes hold, the chain was not asked.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Literal

import msgspec

from decision_dna.anchors.memo import FIRST_PREVIOUS
from decision_dna.anchors.transaction import AnchorProof, check_anchor_transaction
from decision_dna.ledger.verification import Finding, Step
from decision_dna.schemas.anchoring import AnchorConfirmed
from decision_dna.schemas.errors import ProofRejected


class AnchorEntry(msgspec.Struct, frozen=True):
    """An `anchor.confirmed` payload with the seq of its entry."""

    seq: int
    payload: AnchorConfirmed


class AnchorReport(msgspec.Struct, frozen=True):
    """The findings, and one sentence for each anchor whose bytes hold."""

    findings: tuple[Finding, ...]
    shown: tuple[str, ...]

    @property
    def status(self) -> Literal["fail", "inconclusive"]:
        """`fail` on any finding. Never `pass`: that the chain has these transactions was not asked."""
        return "fail" if self.findings else "inconclusive"


def verify_anchors(
    entries: Iterable[AnchorEntry],
    origin: str,
    anchor_key_at: Callable[[int], bytes],
    root_at: Callable[[int], bytes | None],
    check_head: Callable[[bytes], object],
) -> AnchorReport:
    """Step 9 over all anchors of a log, ascending by seq.

    `anchor_key_at(seq)`: the anchor key (32 bytes) that is live there. `root_at(size)`: the recomputed root of the
    first `size` entries, None where the log has not so many. `check_head(note)` raises ProofRejected unless the
    note is signed by the log key(s) that sign a head of this size.
    """
    findings: list[Finding] = []
    shown: list[str] = []
    n = 0
    previous: bytes | None = FIRST_PREVIOUS
    for entry in entries:
        try:
            proof = check_anchor_transaction(entry.payload.transaction, anchor_key_at(entry.seq), origin)
        except ProofRejected as error:
            # What this one was is unknown, so the next one cannot be held against it: it names its own place.
            findings.append(Finding(Step.ANCHORS, entry.seq, f"anchor {entry.payload.n}: {error}"))
            n, previous = n + 1, None
            continue
        wrong = [
            *_misplaced(proof, n, previous),
            *_untrue(proof, entry, root_at, check_head),
            *_misquoted(proof, entry.payload),
        ]
        findings += [Finding(Step.ANCHORS, entry.seq, f"anchor {proof.n}: {sentence}") for sentence in wrong]
        if not wrong:
            shown.append(_shown(proof, entry))
        n, previous = proof.n + 1, proof.memo_hash
    return AnchorReport(tuple(findings), tuple(shown))


def _misplaced(proof: AnchorProof, n: int, previous: bytes | None) -> Iterator[str]:
    if proof.n != n:
        yield f"the number {n} was due, the memo says {proof.n}"
    if previous is not None and proof.previous != previous:
        yield f"the memo before hashes to {previous.hex()}, this one names {proof.previous.hex()}"


def _untrue(
    proof: AnchorProof,
    entry: AnchorEntry,
    root_at: Callable[[int], bytes | None],
    check_head: Callable[[bytes], object],
) -> Iterator[str]:
    size, root = proof.checkpoint.size, proof.checkpoint.root
    if size > entry.seq:
        yield f"its checkpoint has size {size}, but the entry that reports it is number {entry.seq}"
    actual = root_at(size)
    if actual is None:
        yield f"its checkpoint has size {size}, of which this log has no root"
    elif actual != root:
        yield f"the first {size} entries of this log have the root {actual.hex()}, the anchored one is {root.hex()}"
    try:
        check_head(proof.note)
    except ProofRejected as error:
        yield str(error)


def _misquoted(proof: AnchorProof, payload: AnchorConfirmed) -> Iterator[str]:
    """Fields of the payload that are not what the transaction's bytes say."""
    quoted = (
        ("n", proof.n),
        ("size", proof.checkpoint.size),
        ("root", proof.checkpoint.root),
        ("signature", proof.signature),
    )
    for name, said in quoted:
        written = getattr(payload, name)
        if written != said:
            yield f"the entry gives {name} {_plain(written)}, the transaction {_plain(said)}"


def _plain(value: int | bytes) -> str:
    return value.hex() if isinstance(value, bytes) else str(value)


def _shown(proof: AnchorProof, entry: AnchorEntry) -> str:
    payload = entry.payload
    return (
        f"anchor {proof.n} (entry {entry.seq}): the anchor key signed the log's head of size {proof.checkpoint.size}; "
        f"the bytes hold; that {payload.cluster} has them in slot {payload.slot} was not asked"
    )

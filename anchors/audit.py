"""Step 9 in the verification of a whole log:

    ledger.audit.verify(source, vkey, note_types=NOTE_TYPES, checks=(anchor_check(source),))

The walk notes the anchors' entries and the roots of the kept heads. An anchored head that was not kept needs its root
from the entries: they are read once more, and count only if they lead to the root that the walk found.
"""

from decision_dna.anchors.verify import AnchorEntry, AnchorReport, verify_anchors
from decision_dna.ledger import merkle
from decision_dna.ledger.audit import Check, Extra
from decision_dna.ledger.notes import open_head
from decision_dna.ledger.sources import Source
from decision_dna.ledger.verification import SEGMENT_EVENTS, AuthorityEntry, Finding, Joint, Step
from decision_dna.schemas import codec
from decision_dna.schemas.anchoring import CONFIRMED, AnchorConfirmed
from decision_dna.schemas.claims import decode_claim, decode_entry
from decision_dna.schemas.errors import BadInput, Malformed, ProofRejected
from decision_dna.schemas.payloads import kind_of

NOTE_TYPES = frozenset({CONFIRMED})


def anchor_check(source: Source) -> Check:
    """The check of step 9 over `source`, offline: its best result is `inconclusive`."""

    def check(joint: Joint, _heads: list[tuple[int, bytes]]) -> Extra:
        findings: list[Finding] = []
        entries: list[AnchorEntry] = []
        for noted in joint.noted:
            try:
                entries += _anchor_entries(noted)
            except BadInput as error:
                findings.append(Finding(Step.ANCHORS, noted.seq, f"anchor: {error}"))
        if not joint.schedule:
            return Extra(Step.ANCHORS, "inconclusive", "no keys to check anchors with: genesis is unreadable", findings)
        report = _verified(source, joint, entries)
        findings += report.findings
        return Extra(Step.ANCHORS, "fail" if findings else report.status, _text(report), findings)

    return check


def _anchor_entries(noted: AuthorityEntry) -> list[AnchorEntry]:
    entry = decode_entry(noted.raw)
    claim = decode_claim(entry.claim)
    if claim.type != CONFIRMED:
        return []
    payload = codec.decode_as(kind_of(CONFIRMED, claim.schema).from_msgpack, entry.open)
    if not isinstance(payload, AnchorConfirmed):
        raise Malformed(f"schema {claim.schema} of {CONFIRMED} is not known here")
    return [AnchorEntry(noted.seq, payload)]


def _verified(source: Source, joint: Joint, entries: list[AnchorEntry]) -> AnchorReport:
    newest = joint.schedule[-1][1]
    roots = joint.roots | _roots_not_kept(source, joint, entries)

    def anchor_key_at(seq: int) -> bytes:
        live = [authority.anchor for first, authority in joint.schedule if first <= seq]
        if not live:
            raise ProofRejected("no anchor key is known at this entry")
        return live[-1]

    def check_head(note: bytes) -> None:
        open_head(note, joint.origin, newest.log_keys_at)

    return verify_anchors(entries, joint.origin, anchor_key_at, roots.get, check_head)


def _roots_not_kept(source: Source, joint: Joint, entries: list[AnchorEntry]) -> dict[int, bytes]:
    """The roots at anchored sizes that no kept head has; nothing where the source now gives other entries than before."""
    said = {entry.payload.size for entry in entries}
    missing = sorted(size for size in said - joint.roots.keys() if size <= joint.size)
    if not missing:
        return {}
    roots: dict[int, bytes] = {}
    frontier = merkle.Frontier()
    for end in _steps(missing, joint.size):
        rows, _ = source.rows(frontier.size, end)
        frontier = merkle.extend(frontier, [merkle.leaf_hash(entry) for entry, _ in rows])
        roots[frontier.size] = frontier.root()
    return roots if frontier == joint.frontier else {}


def _steps(sizes: list[int], last: int) -> list[int]:
    """Where to stop on the way to `last`: at each of the sizes, and after each segment."""
    return sorted({*sizes, *range(SEGMENT_EVENTS, last, SEGMENT_EVENTS), last})


def _text(report: AnchorReport) -> str:
    if not report.shown:
        return "no anchors" if not report.findings else "no anchor holds"
    return f"{len(report.shown)} anchors hold in their bytes; that the chain has them was not asked"

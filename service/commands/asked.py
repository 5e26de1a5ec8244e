"""Evidence that somebody else made, checked before a word of it is repeated: that it holds, and that it is about what was asked."""

from typing import NamedTuple

import msgspec

from decision_dna.ledger.authority import decode_ledger_payload
from decision_dna.ledger.evidence import EvidenceReport, check_evidence
from decision_dna.ledger.fingerprint import fingerprint
from decision_dna.ledger.notes import Vkey, decode_base64
from decision_dna.schemas.claims import decode_claim, decode_entry
from decision_dna.schemas.errors import LedgerError, ProofRejected, Unavailable
from decision_dna.schemas.evidence import Evidence, evidence_decoder
from decision_dna.schemas.ledgering import Genesis
from decision_dna.schemas.payloads import is_open
from decision_dna.schemas.texts import id_text


class AskedEvent(NamedTuple):
    """An event by its seq, id or fingerprint, with its payload or without."""

    name: str
    payload: bool


class AskedRun(NamedTuple):
    """All of a stream over (from, to], in ns."""

    stream: str
    from_ns: int
    to_ns: int


class Accepted(NamedTuple):
    """Evidence that holds. `pinned`: under the key that was given; else only under the root key that it names itself."""

    pinned: bool
    lacks_payload: bool


def accept(data: bytes, asked: AskedEvent | AskedRun, vkey: Vkey | None) -> Accepted:
    """Check evidence against a key, or in itself without one. Raises ProofRejected where it does not hold, Unavailable where it
    is not evidence, or not of what was asked."""
    evidence = _decoded(data)
    report = check_evidence(data, vkey or _own_root(evidence))
    if not report.holds:
        finding = report.findings[0]
        raise ProofRejected(f"the evidence does not hold: step {finding.step}: {finding.text}")
    if evidence.anchor is not None:
        raise Unavailable("the evidence brings an anchor, which was not asked for")
    if isinstance(asked, AskedRun):
        run = evidence.run
        if run is None or (run.stream, run.from_ns, run.to_ns) != asked:
            raise Unavailable(f"the evidence is not of {asked.stream} between the times that were asked for")
        return Accepted(vkey is not None, lacks_payload=False)
    return Accepted(vkey is not None, lacks_payload=_check_event(report, evidence, asked))


def _decoded(data: bytes) -> Evidence:
    try:
        return evidence_decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Unavailable(f"the answer is not evidence: {error}") from None


def _own_root(evidence: Evidence) -> Vkey:
    """Return the root key that the evidence's own genesis names: pinned to it, all is checked but whose log it is."""
    try:
        raw = decode_base64(evidence.items[0].entry, "genesis") if evidence.items else b""
        entry = decode_entry(raw)
        genesis = decode_ledger_payload(decode_claim(entry.claim), entry.open)
    except LedgerError as error:
        raise ProofRejected(f"the evidence has no genesis that can be read: {error}") from None
    if not isinstance(genesis, Genesis):
        raise ProofRejected("the evidence does not begin with the genesis of its log")
    return Vkey(evidence.origin, genesis.root_key)


def _check_event(report: EvidenceReport, evidence: Evidence, asked: AskedEvent) -> bool:
    """Raise Unavailable where it is another event, or shows a payload that was not asked for; whether one is missing."""
    shown = next((shown for shown in report.shown if shown.role == "event"), None)
    if shown is None:
        raise Unavailable(f"the evidence is of kind {evidence.kind!r}, and not of an event")
    seq = shown.entry.seq
    if asked.name.lower() not in (str(seq), id_text(shown.claim.id), str(fingerprint(seq, shown.raw))):
        raise Unavailable(f"the evidence is of event {seq}, {id_text(shown.claim.id)}, and not of {asked.name}")
    if evidence.payload is not None and not asked.payload:
        raise Unavailable("the evidence shows the payload, which was to be left out")
    return asked.payload and evidence.payload is None and not is_open(shown.claim.type)

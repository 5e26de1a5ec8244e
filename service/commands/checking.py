"""`dna check`: evidence from its bytes and a pinned key alone. No ledger, server or chain is loaded for it."""

import time
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from decision_dna.anchors.beside import check_anchor_beside
from decision_dna.ledger.cosignatures import Cosigner
from decision_dna.ledger.evidence import EvidenceReport, check_evidence
from decision_dna.ledger.inclusion import KIND, check_proof
from decision_dna.ledger.notes import Vkey
from decision_dna.ledger.tlogproof import is_proof, parse_proof_file
from decision_dna.ledger.verification import Finding, Step
from decision_dna.schemas.claims import ENTRY_BYTES_MAX
from decision_dna.schemas.errors import BadInput, ProofRejected
from decision_dna.schemas.evidence import EVIDENCE_BYTES_MAX, AnchorGiven
from decision_dna.schemas.texts import id_text, time_text
from decision_dna.schemas.views import payload_view
from decision_dna.service.commands.forking import Fork, ForkOutput, check_fork
from decision_dna.service.commands.terminal import Json, Key, write, write_facts, write_json


def parse_cosigner(text: str) -> Cosigner:
    """Parse a witness's key as typed. Raises BadParameter."""
    try:
        return Cosigner.parse(text)
    except ProofRejected as error:
        raise typer.BadParameter(str(error)) from None


def check(
    file: Annotated[Path, typer.Argument(metavar="FILE", exists=True, dir_okay=False, help="What `dna prove` wrote.")],
    key: Key,
    entry: Annotated[
        Path | None,
        typer.Option(
            "--entry",
            metavar="FILE",
            exists=True,
            dir_okay=False,
            help="The entry that a tlog-proof is about; what its extra line holds, if not given.",
        ),
    ] = None,
    witness: Annotated[
        list[Cosigner] | None,
        typer.Option(
            "--witness",
            metavar="VKEY",
            parser=parse_cosigner,
            help="A witness that must have cosigned the head of a tlog-proof; may be repeated.",
        ),
    ] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="1 if an entry lies more than 60 s in the future of this clock.")
    ] = False,
    fork: Fork = None,
    to: ForkOutput = None,
    json: Json = False,
) -> int:
    """Check evidence, or a C2SP tlog-proof, against a pinned key, offline.

    Prints what then is true, the payload, between which heartbeats it was recorded, what the bytes of an anchor beside it
    prove, and what is left to a whole verification of the log and to the chain.

    A tlog-proof shows that the log of the key has an entry, and no more. The entry is in the proof's extra line, where
    `dna prove --tlog-proof` puts it, or in a file (--entry). Any C2SP log will do.

    With --fork, FILE and HEAD are heads (`dna verify --keep`). If the key signed both, for one size with two roots, the log
    was forked: 0. It is 1 if they are one head, or not signed by the key, and 3 if their sizes differ.
    """
    if fork is not None:
        return check_fork(file, fork, key, to, json=json)
    if to is not None:
        raise typer.BadParameter("-o is for --fork")
    with file.open("rb") as opened:
        data = opened.read(EVIDENCE_BYTES_MAX + 1)
    if is_proof(data):
        report = _check_tlog_proof(data, entry, key, witness or [])
    elif entry or witness:
        raise typer.BadParameter("--entry and --witness are for a tlog-proof")
    else:
        report = check_evidence(data, key)
        check_anchor_beside(report)
    fresh = report.freshness(time.time_ns())
    view = {**report_view(report), "freshness": fresh}
    if json:
        write_json(view)
    else:
        _write_report(report, view)
    return 1 if not report.holds or (strict and fresh != "pass") else 0


def _check_tlog_proof(data: bytes, entry: Path | None, key: Vkey, witnesses: list[Cosigner]) -> EvidenceReport:
    """Raises BadParameter if nobody gives the entry, and Unavailable for a witness whose key cannot be used here."""
    try:
        proof = parse_proof_file(data.decode())
    except (ProofRejected, UnicodeDecodeError) as error:
        return EvidenceReport(kind=KIND, origin=key.name, findings=[Finding(Step.ENCODING, None, str(error))])
    raw = proof.extra
    if entry is not None:
        with entry.open("rb") as opened:
            raw = opened.read(ENTRY_BYTES_MAX + 1)
    if raw is None:
        raise typer.BadParameter("the proof does not hold its entry: give it with --entry")
    return check_proof(proof, raw, key, witnesses)


def report_view(report: EvidenceReport) -> dict[str, object]:
    """What a check found, for JSON: without the items' bytes."""
    return {
        "holds": report.holds,
        "kind": report.kind,
        "origin": report.origin,
        "size": None if report.checkpoint is None else report.checkpoint.size,
        "findings": report.findings,
        "facts": report.facts if report.holds else [],
        "events": [_shown(report, at) for at, shown in enumerate(report.shown) if shown.role in ("event", "run")],
        "heartbeats": [
            {"role": shown.role, "seq": shown.entry.seq, "recorded_at": time_text(shown.entry.recorded_at)}
            for shown in report.shown
            if shown.role.startswith("heartbeat")
        ],
        "anchor": None if report.anchor is None else _anchor(report.anchor),
        "relies_on": report.relies_on,
    }


def _anchor(given: AnchorGiven) -> dict[str, object]:
    """What is only said: where the chain is to be asked."""
    return {"cluster": given.cluster, "slot": given.slot, "block_time": given.block_time, "memo": given.memo}


def _shown(report: EvidenceReport, at: int) -> dict[str, object]:
    entry, claim = report.shown[at].entry, report.shown[at].claim
    payload = entry.open or (report.payload if report.shown[at].role == "event" else None)
    return {
        "seq": entry.seq,
        "id": id_text(claim.id),
        "type": claim.type,
        "source": claim.source,
        "subject": claim.subject,
        "occurred_at": time_text(claim.occurred_at),
        "recorded_at": time_text(entry.recorded_at),
        "attestation": entry.attestation,
        "principal": entry.principal,
        "payload": None if not payload else _payload(claim.type, claim.schema, payload),
    }


def _payload(type_name: str, schema: int, data: bytes) -> object:
    """The bytes are what was committed to; whether they are canonical is the ledger's business, not this check's."""
    try:
        return payload_view(type_name, schema, data)
    except BadInput:
        return data.hex()


def _write_report(report: EvidenceReport, view: dict[str, object]) -> None:
    if not report.holds:
        write(f"DOES NOT HOLD: evidence of kind {report.kind or '?'} for {report.origin or '?'}")
        for finding in report.findings:
            write(f"step {finding.step}{'' if finding.seq is None else f', seq {finding.seq}'}: {finding.text}")
        return
    write(f"HOLDS: evidence of kind {report.kind} for {report.origin}")
    for fact in report.facts:
        write(f"- {fact}")
    events, heartbeats = view["events"], view["heartbeats"]
    for event in events if isinstance(events, list) else []:
        write("")
        shown = {**event, "payload": msgspec.json.encode(event["payload"]).decode()} if event["payload"] else event
        write_facts([(name, value) for name, value in shown.items() if value not in ("", None)])
    if isinstance(heartbeats, list) and heartbeats:
        write("")
        write_facts([(beat["role"], f"seq {beat['seq']}, recorded {beat['recorded_at']}") for beat in heartbeats])
    for relied in report.relies_on:
        write(f"relies on {relied}")
    if view["freshness"] != "pass":
        write(f"freshness: {view['freshness']}")

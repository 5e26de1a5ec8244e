"""`dna verify`: the numbered verification of a whole log, from a folder, an export or a running service."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from decision_dna.ledger.audit import Check, Extra, Progress, Report, freshness
from decision_dna.ledger.audit import verify as verify_source
from decision_dna.ledger.folder import verify_folder
from decision_dna.ledger.lock import Locked
from decision_dna.ledger.notes import Vkey, note_of
from decision_dna.ledger.sources import ExportSource, Source, StoreSource
from decision_dna.ledger.verification import Joint
from decision_dna.schemas.errors import BadInput, Refused
from decision_dna.schemas.texts import time_text
from decision_dna.service.commands.places import View, fixed_view, is_address
from decision_dna.service.commands.remote import Service
from decision_dna.service.commands.remote_source import RemoteSource
from decision_dna.service.commands.terminal import Json, parse_vkey, progress, write, write_json, write_table
from decision_dna.service.steps import NOTE_TYPES, checks_of


def verify(
    place: Annotated[str, typer.Argument(metavar="DIR", help="A ledger's folder, an export, or a service's address.")],
    key: Annotated[
        Vkey | None,
        typer.Option("--key", metavar="VKEY", parser=parse_vkey, help="The key to trust, got from outside."),
    ] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="3 where authenticity is not pinned, 1 where the log is not fresh.")
    ] = False,
    head: Annotated[
        list[Path] | None,
        typer.Option("--head", exists=True, dir_okay=False, help="A checkpoint kept from before, or got from others."),
    ] = None,
    processes: Annotated[int, typer.Option("--processes", min=1, help="How many to walk with.")] = 2,
    json: Json = False,
) -> int:
    """Verify a whole log, step by numbered step.

    Without --key nothing says whose log it is: authenticity is "not pinned". With --head, the log must still begin as
    that checkpoint says: only this (or a witness, or an anchor) shows a history that was written anew with every key.
    """
    earlier = [path.read_bytes() for path in head or []]
    with progress("verify", shown=not json) as bar:
        report = _verified(place, key, earlier, processes, bar)
    report.verdicts["freshness"] = freshness(report.heartbeat_at, report.heartbeat_seconds_max, time.time_ns())
    if json:
        write_json({"holds": report.holds, **_fields(report)})
    else:
        write_report(report)
    return code_of(report, strict=strict)


def code_of(report: Report, *, strict: bool) -> int:
    """0 it holds, 1 it does not, 3 nobody can tell whose it is."""
    if not report.holds or (strict and report.verdicts["freshness"].startswith("fail")):
        return 1
    return 3 if strict and not report.pinned else 0


def _verified(place: str, key: Vkey | None, earlier: Sequence[bytes], processes: int, bar: Progress) -> Report:
    if is_address(place):
        with Service.at(place) as service:
            return _walked(RemoteSource(service), key, earlier, bar)
    path = Path(place)
    if path.is_file():
        return _walked(_export(path), key, earlier, bar)
    with fixed_view(path) as view:
        return verify_folder(
            path,
            key,
            # `verify_folder` hands earlier heads on in one process only.
            processes=1 if earlier else processes,
            progress=bar,
            note_types=NOTE_TYPES,
            checks=tuple(_as_walked(view, at) for at in range(len(checks_of(view.source)))),
            earlier=earlier,
        )


def _walked(source: Source, key: Vkey | None, earlier: Sequence[bytes], bar: Progress) -> Report:
    """In this process."""
    return verify_source(source, key, progress=bar, note_types=NOTE_TYPES, checks=checks_of(source), earlier=earlier)


def _as_walked(view: View, at: int) -> Check:
    """A check over the very log that was walked: of the size of its newest head, however much was appended since."""

    def check(joint: Joint, heads: list[tuple[int, bytes]]) -> Extra:
        note = heads[-1][1] if heads else view.head.note.encode()
        checkpoint = note_of(note)
        view.store.refresh()
        source = StoreSource(view.store, Locked(checkpoint.origin, checkpoint.size, checkpoint.root, note.decode()))
        return checks_of(source)[at](joint, heads)

    return check


def _export(path: Path) -> ExportSource:
    try:
        return ExportSource(path.read_bytes())
    except BadInput as error:
        raise Refused(f"{path} does not hold: {error}") from None


def _fields(report: Report) -> dict[str, object]:
    return {name: getattr(report, name) for name in report.__struct_fields__}


def write_report(report: Report) -> None:
    """The numbered steps, the findings, the verdicts."""
    write(f"{report.origin}: {report.size} entries, root {report.root}")
    write(f"recorded {time_text(report.recorded[0])} to {time_text(report.recorded[1])}")
    write_table(("step", "name", "result", "what"), [(s.step, s.name, s.status, s.text) for s in report.steps])
    if report.findings:
        write_table(
            ("step", "seq", "finding"), [(f.step, "" if f.seq is None else f.seq, f.text) for f in report.findings]
        )
    write_table(("verdict", "result"), sorted(report.verdicts.items()))
    whose = "" if report.pinned else ", but nothing says whose log it is: give --key"
    write(f"IT HOLDS{whose}" if report.holds else "IT DOES NOT HOLD")

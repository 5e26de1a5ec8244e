"""`dna verify`: the numbered verification of a whole log, from a folder, an export or a running service."""

import time
from collections.abc import Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from decision_dna.ledger.audit import Check, Extra, Progress, Report
from decision_dna.ledger.audit import verify as verify_source
from decision_dna.ledger.entrance import enter
from decision_dna.ledger.exports import ExportSource, verify_export
from decision_dna.ledger.folder import verify_folder
from decision_dna.ledger.freshness import freshness
from decision_dna.ledger.lock import Locked
from decision_dna.ledger.merkle import TILE_WIDTH
from decision_dna.ledger.notes import Vkey, note_of
from decision_dna.ledger.sources import Source, StoreSource
from decision_dna.ledger.store import Store
from decision_dna.ledger.unlocked import unless_failed
from decision_dna.ledger.verification import SEGMENT_EVENTS, Joint, Step
from decision_dna.ledger.workers import Workers
from decision_dna.schemas.errors import BadInput, ProofRejected, Refused
from decision_dna.schemas.texts import time_text
from decision_dna.service.commands.outputs import output
from decision_dna.service.commands.places import ReadOnly, View, check_place, fixed_view, is_address
from decision_dna.service.commands.remote import Service
from decision_dna.service.commands.remote_source import RemoteSource, ask_in_worker, work_there
from decision_dna.service.commands.terminal import SEQ_MAX, Json, parse_vkey, progress, write, write_json, write_table
from decision_dna.service.steps import NOTE_TYPES, checks_of

PROCESSES_MAX = 256

Heads = Annotated[
    list[Path] | None,
    typer.Option(
        "--head",
        metavar="FILE",
        exists=True,
        dir_okay=False,
        help="A checkpoint kept from before, or got from others; may be repeated.",
    ),
]


def verify(
    place: Annotated[str, typer.Argument(metavar="DIR", help="A ledger's folder, an export, or a service's address.")],
    key: Annotated[
        Vkey | None,
        typer.Option("--key", metavar="VKEY", parser=parse_vkey, help="The key to trust, got from outside."),
    ] = None,
    strict: Annotated[
        bool,
        typer.Option(
            "--strict",
            help="1 if the log is not fresh; 3 if that, whose log it is, or what was left out, cannot be told.",
        ),
    ] = False,
    head: Heads = None,
    from_seq: Annotated[
        int,
        typer.Option(
            "--from-seq",
            min=0,
            max=SEQ_MAX,
            metavar="SEQ",
            help="From this entry on; what came before stays as --head says.",
        ),
    ] = 0,
    processes: Annotated[int, typer.Option("--processes", min=1, max=PROCESSES_MAX, help="How many to walk with.")] = 2,
    keep: Annotated[
        Path | None,
        typer.Option(
            "--keep",
            metavar="FILE",
            dir_okay=False,
            help="Where to write the newest head, if it holds: for --head, later.",
        ),
    ] = None,
    read_only: ReadOnly = False,
    json: Json = False,
) -> int:
    """Verify a whole log, step by numbered step.

    Without --key nothing says whose log it is: authenticity is "not pinned". With --head, the log must still begin as
    that checkpoint says: only this (or a witness, or an anchor) shows a history that was written anew with every key.
    --keep writes one, where the log holds, is pinned, and nothing was left out that no --head covers; else 3.

    With --from-seq, entries before it are not verified again, and the report says what that leaves open. Give --head with
    a checkpoint of at least that size which you verified then: it ties what came before to what you saw. Anchors and
    states are left to a verification of the whole log. It begins at a multiple of 256.

    With --read-only, a folder whose lock is lost is verified up to the newest head that its database, or a --head, shows to
    be signed. What only the lock could tell stays open: step 7, completeness and freshness are inconclusive, and --strict
    ends with 3 (1 if it is not fresh).
    """
    check_place(place, read_only=read_only)
    earlier = [_kept(path) for path in head or []]
    with nullcontext() if keep is None else output(keep) as kept_head:
        with progress("verify", shown=not json) as bar:
            report = _verified(Asked(place, key, earlier, from_seq, bar, read_only), processes)
        if kept := kept_head is not None and report.holds and report.pinned and report.tied:
            kept_head.write(report.checkpoint.encode())
    report.verdicts["freshness"] = freshness(report.newest, time.time_ns())
    if report.unlocked:
        report.verdicts["freshness"] = unless_failed(report.verdicts["freshness"])
    code = code_of(report, strict=strict)
    if json:
        write_json({"holds": report.holds, "kept": kept, **_fields(report)})
    else:
        _say(report, keep, code, kept=kept)
    return code or (3 if keep is not None and not kept else 0)


def _kept(path: Path) -> bytes:
    """A checkpoint from a file. Raises BadParameter for what is none: nothing could be said against a log by it."""
    note = path.read_bytes()
    try:
        note_of(note)
    except ProofRejected as error:
        raise typer.BadParameter(f"{path} is no checkpoint: {error}", param_hint="--head") from None
    return note


def code_of(report: Report, *, strict: bool) -> int:
    """Return 0 if it holds and 1 if it does not. Strictly also 1 if it is not fresh, and 3 if that cannot be told, or whose it is,
    or what came before the place that it was verified from."""
    fresh = report.verdicts["freshness"]
    if not report.holds or (strict and fresh.startswith("fail")):
        return 1
    return 3 if strict and not (report.pinned and report.tied and fresh == "pass") else 0


def _say(report: Report, keep: Path | None, code: int, *, kept: bool) -> None:
    write_report(report)
    if keep is not None:
        write(f"{keep}: the head of size {report.size}" if kept else "no head was kept")
    if code and report.holds:
        write(f"--strict: exit code {code}, for {_why_not(report)}")


def _why_not(report: Report) -> str:
    """Why a log that holds is not enough for --strict."""
    fresh = report.verdicts["freshness"]
    if fresh.startswith("fail"):
        return f"the log is not fresh: {fresh.removeprefix('fail: ')}"
    if not report.pinned:
        return "nothing says whose log it is: give --key"
    if not report.tied:
        return f"nothing ties what came before seq {report.from_seq}: give --head with a head of at least that size"
    return f"whether the log is fresh cannot be told: {fresh.removeprefix('inconclusive: ')}"


class Asked(msgspec.Struct, frozen=True):
    """What is to be verified, against what, from where on."""

    place: str
    key: Vkey | None
    earlier: Sequence[bytes]
    from_seq: int
    bar: Progress
    read_only: bool = False


def _verified(asked: Asked, processes: int) -> Report:
    if is_address(asked.place):
        with Service.at(asked.place) as service:
            source = RemoteSource(service)
            source.check_head(asked.key)
            return _of_service(source, asked, processes)
    path = Path(asked.place)
    if path.is_file():
        if asked.from_seq:
            raise typer.BadParameter("an export is read as a whole: verify it without --from-seq")
        return _of_export(path, asked, processes)
    with (
        fixed_view(path, read_only=asked.read_only, known=asked.earlier) as view,
        fixed_view(path, read_only=asked.read_only, known=asked.earlier) as kept,
    ):  # `kept` stays as it is: its cursors lie in what is verified
        begin = _begin(view.source, asked)
        return verify_folder(
            path,
            asked.key,
            processes=processes,
            progress=asked.bar,
            note_types=NOTE_TYPES,
            checks=()
            if begin
            else tuple(_as_walked(view, kept.store, at) for at in range(len(checks_of(view.source)))),
            earlier=asked.earlier,
            from_seq=begin,
            read_only=asked.read_only,
        )


def _begin(source: Source, asked: Asked) -> int:
    """Where to begin: 0 where no whole tile lies before the place, so that there is nothing to leave out.

    Raises Refused past the end, where no head is given that the log's own could be held against.
    """
    if asked.from_seq > source.size and not asked.earlier:
        raise Refused(f"the log has {source.size} entries: there is none from seq {asked.from_seq} on")
    begin = min(asked.from_seq, source.size)
    return begin if begin >= TILE_WIDTH else 0


def _of_service(source: RemoteSource, asked: Asked, processes: int) -> Report:
    begin = _begin(source, asked)
    check = partial(
        verify_source,
        source,
        asked.key,
        progress=asked.bar,
        note_types=NOTE_TYPES,
        checks=() if begin else checks_of(source),
        earlier=asked.earlier,
        entrance=enter(source, begin, asked.earlier) if begin else None,
    )
    if processes < 2 or source.size - begin <= SEGMENT_EVENTS:
        return check()
    with Workers(ask_in_worker, (asked.place, source.note), processes) as workers:
        return check(executor=workers, remote_work=work_there)


def _of_export(path: Path, asked: Asked, processes: int) -> Report:
    with path.open("rb") as file:
        try:
            source = ExportSource(file)
            source.read(asked.bar)
        except BadInput as error:
            raise Refused(f"{path} does not hold: {error}") from None
        return verify_export(
            source,
            path,
            asked.key,
            processes=processes,
            progress=asked.bar,
            note_types=NOTE_TYPES,
            checks=checks_of(source),
            earlier=asked.earlier,
        )


def _as_walked(view: View, kept: Store, at: int) -> Check:
    """A check over the very log that was walked: of the size of its newest head, however much was appended since."""

    def check(joint: Joint, heads: list[tuple[int, bytes]]) -> Extra:
        note = heads[-1][1] if heads else view.head.note.encode()
        checkpoint = note_of(note)
        view.store.refresh()
        source = StoreSource(view.store, Locked(checkpoint.origin, checkpoint.size, checkpoint.root, note.decode()))
        return checks_of(source, kept)[at](joint, heads)

    return check


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
    for sentence in report.notes:
        write(f"note: {sentence}")
    for sentence in report.unverified:
        write(f"unverified: {sentence}")
    where = f" from seq {report.from_seq} on" if report.from_seq else ""
    write(f"IT HOLDS{where}{_but(report)}" if report.holds else "IT DOES NOT HOLD")


def _but(report: Report) -> str:
    """What a log that holds leaves open, for the last line."""
    open_points = [] if report.pinned else ["nothing says whose log it is: give --key"]
    if any(step.step == Step.PAYLOADS and step.status == "inconclusive" for step in report.steps):
        open_points.append("only open payloads were checked, as a service publishes no others")
    if report.unlocked:
        open_points.append(f"the lock was not read: what was signed after size {report.size} is not known")
    return f", but {'; '.join(open_points)}" if open_points else ""

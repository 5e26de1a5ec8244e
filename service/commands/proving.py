"""`dna prove`: evidence in one file, made from a ledger's folder or by a running service."""

import base64
import time
from pathlib import Path
from typing import Annotated, NamedTuple

import msgspec
import typer

from decision_dna.anchors.entries import anchors_of
from decision_dna.anchors.transaction import anchor_memo
from decision_dna.ledger.inclusion import check_proof
from decision_dna.ledger.lock import Locked
from decision_dna.ledger.notes import Vkey, note_of
from decision_dna.ledger.proving import Around, prove_event, prove_run
from decision_dna.ledger.queries import EventFilter, find, heads_before
from decision_dna.ledger.reader import LogReader
from decision_dna.ledger.streams import list_leaves
from decision_dna.ledger.tlogproof import format_proof, parse_proof_file
from decision_dna.schemas.claims import check_stream
from decision_dna.schemas.errors import LedgerError, Malformed, NotFound, ProofRejected, Unavailable
from decision_dna.schemas.evidence import AnchorGiven
from decision_dna.schemas.ledgering import HEARTBEAT
from decision_dna.schemas.texts import time_ns, time_text
from decision_dna.service.commands.asked import Accepted, AskedEvent, AskedRun, accept
from decision_dna.service.commands.outputs import PRIVATE, output
from decision_dna.service.commands.places import ReadOnly, View, check_place, fixed_view, is_address, said_view, written
from decision_dna.service.commands.remote import Service
from decision_dna.service.commands.terminal import Json, Place, parse_event, parse_vkey, write, write_json
from decision_dna.service.commands.views import parse_time

Output = Annotated[Path, typer.Option("-o", "--output", metavar="FILE", dir_okay=False, help="Where to write it.")]


def prove(
    place: Place,
    file: Output,
    event: Annotated[
        str | None, typer.Argument(metavar="ID", parser=parse_event, help="A seq, an event id, or a fingerprint.")
    ] = None,
    stream: Annotated[
        str | None, typer.Option("--stream", help="family/source, such as x/bot: all of it between two times.")
    ] = None,
    time_from: Annotated[
        int | None, typer.Option("--from", parser=parse_time, metavar="TIME", help="After this time: RFC 3339, or ns.")
    ] = None,
    time_to: Annotated[
        int | None,
        typer.Option(
            "--to", parser=parse_time, metavar="TIME", help="Up to this time; up to the newest heartbeat, if not given."
        ),
    ] = None,
    payload: Annotated[bool, typer.Option("--payload/--no-payload", help="Whether to show an event's payload.")] = True,
    anchored: Annotated[
        bool,
        typer.Option("--anchored", help="An event under the first head after it that was anchored, with the anchor."),
    ] = False,
    key: Annotated[
        Vkey | None,
        typer.Option(
            "--key", metavar="VKEY", parser=parse_vkey, help="Check it against this key before it is written."
        ),
    ] = None,
    tlog_proof: Annotated[
        bool,
        typer.Option(
            "--tlog-proof", help="An event's inclusion alone, with its entry, for any C2SP tlog-proof client."
        ),
    ] = False,
    read_only: ReadOnly = False,
    json: Json = False,
) -> None:
    """Write evidence: of an event, of a complete run of a stream, or of its absence.

    Give an ID, or a --stream. A run is complete from --from up to --to because a heartbeat recorded after --to commits
    to the stream's head. In a folder, where there is none yet, one is appended, which nobody else must be writing for; a
    service writes its own. Without --to a run goes up to the newest heartbeat: of a folder to one that commits to all of
    the stream.

    What a service answers is checked before it is written: that it holds, and that it is about what was asked. Whose log it
    is only --key tells.
    """
    check_place(place, read_only=read_only)
    if (event is None) == (stream is None):
        raise typer.BadParameter("give an ID, or --stream")
    if stream is not None:
        check_stream(stream)  # before a heartbeat is appended for it
    if (anchored or tlog_proof) and (event is None or is_address(place) or anchored == tlog_proof):
        raise typer.BadParameter("--anchored and --tlog-proof are each for an ID in a ledger's folder")
    if time_to is not None and (time_from or 0) > time_to:
        raise typer.BadParameter("--from lies after --to")
    if tlog_proof:
        return _write_tlog_proof(Path(place), event or "", file, key, read_only=read_only, json=json)
    with output(file, mode=PRIVATE) as out:
        made = _made(
            place, event, stream, (time_from or 0, time_to), payload=payload, anchored=anchored, read_only=read_only
        )
        accepted = None
        if is_address(place) or (key is not None and not anchored):
            accepted = accept(made.data, made.asked, key)
        out.write(made.data)
    return _say(file, made, accepted, json=json)


def _write_tlog_proof(path: Path, event: str, file: Path, key: Vkey | None, *, read_only: bool, json: bool) -> None:
    """Write an event's inclusion under the newest head, the entry in the extra line. Raises ProofRejected, for a key."""
    with output(file) as out, said_view(path, read_only=read_only) as log:
        seq = log.reader.resolve(event)
        raw, proof = log.reader.raw(seq), log.reader.prove_inclusion(seq, log.head.size)
        text = format_proof(seq, proof, log.head.note.encode(), raw)
        if key is not None and (found := check_proof(parse_proof_file(text), raw, key).findings):
            raise ProofRejected(found[0].text)
        out.write(text.encode())
    if json:
        write_json({"file": str(file), "bytes": len(text.encode()), "seq": seq})
    else:
        write(f"{file}: {len(text.encode())} bytes; check it with: dna check {file} --key VKEY")


class _Made(NamedTuple):
    """Evidence, and what it was asked to be of."""

    data: bytes
    asked: AskedEvent | AskedRun


def _made(
    place: str,
    event: str | None,
    stream: str | None,
    times: tuple[int, int | None],
    *,
    payload: bool,
    anchored: bool,
    read_only: bool,
) -> _Made:
    if stream is None:
        data = _of_event(place, event or "", payload=payload, anchored=anchored, read_only=read_only)
        return _Made(data, AskedEvent(event or "", payload))
    data, to_ns = _asked_run(place, stream, *times, read_only=read_only)
    return _Made(data, AskedRun(stream, times[0], to_ns))


def _say(file: Path, made: _Made, accepted: Accepted | None, *, json: bool) -> None:
    until = time_text(made.asked.to_ns) if isinstance(made.asked, AskedRun) else None
    if json:
        pinned = None if accepted is None else accepted.pinned
        write_json({"file": str(file), "bytes": len(made.data), "complete_to": until, "pinned": pinned})
        return
    said = f"{file}: {len(made.data)} bytes"
    if until is not None:
        said += f", complete up to {until}"
    if accepted is not None:
        said += ", without its payload" if accepted.lacks_payload else ""
        said += (
            "; it holds under the key"
            if accepted.pinned
            else "; it holds, but nothing says whose log it is: give --key"
        )
    write(f"{said}; check it with: dna check {file} --key VKEY")


def _of_event(place: str, event: str, *, payload: bool, anchored: bool, read_only: bool) -> bytes:
    if is_address(place):
        with Service.at(place) as service:
            return service.event_evidence(event, payload=payload)
    with said_view(Path(place), read_only=read_only) as log:
        seq = log.reader.resolve(event)
        if anchored:
            return _prove_anchored(log, seq, payload=payload)
        return prove_event(log.reader, seq, _around(log, seq, seq), with_payload=payload)


class _Run(NamedTuple):
    """Evidence of a run, and the time (ns) up to which it is complete."""

    data: bytes
    to_ns: int


def _asked_run(place: str, stream: str, from_ns: int, to_ns: int | None, *, read_only: bool) -> _Run:
    if is_address(place):
        with Service.at(place) as service:
            return _ask(service, stream, from_ns, to_ns)
    return _prove_stream(Path(place), stream, from_ns, to_ns, read_only=read_only)


def _ask(service: Service, stream: str, from_ns: int, to_ns: int | None) -> _Run:
    """The evidence that a service makes. It writes its heartbeats by itself: there may be none after a time just over."""
    if to_ns is None:
        beats = service.events({"type": HEARTBEAT, "order": "desc", "limit": "1"}).events
        if not beats:
            raise Unavailable("the service has recorded no heartbeat yet, which is what shows that a run is complete")
        try:
            to_ns = time_ns(beats[0].recorded_at) - 1
        except Malformed as error:
            raise Unavailable(f"the service does not say when its newest heartbeat was recorded: {error}") from None
        if from_ns > to_ns:
            raise Unavailable(f"no heartbeat was recorded after {time_text(from_ns)} yet: try again later")
    try:
        return _Run(service.run_evidence(stream, time_text(from_ns), time_text(to_ns)), to_ns)
    except NotFound as error:
        raise Unavailable(str(error)) from None


def _prove_anchored(log: View, seq: int, *, payload: bool) -> bytes:
    """An event as of the smallest anchored head that has it, so that the anchor's checkpoint is the evidence's own."""
    covering = [anchor for _, anchor in anchors_of(log.reader, log.indexes) if seq < anchor.size]
    if not covering:
        raise Unavailable(f"no anchor covers event {seq} yet: `dna anchor once` makes one")
    anchor = min(covering, key=lambda anchor: anchor.size)
    note = log.reader.note_of(anchor.size)
    head = Locked(log.head.origin, anchor.size, note_of(note).root, note.decode())
    then = msgspec.structs.replace(log, head=head, reader=LogReader(log.store, lambda: head))
    memo = anchor_memo(anchor.transaction)
    given = AnchorGiven(
        memo.decode(), anchor.cluster, anchor.slot, anchor.block_time, base64.b64encode(anchor.transaction).decode()
    )
    return prove_event(then.reader, seq, _around(then, seq, seq), with_payload=payload, anchor=given)


def _around(log: View, first: int, last: int) -> Around:
    """What evidence about the entries first…last brings along."""
    beats, size = EventFilter(type=HEARTBEAT), log.head.size
    before = next(find(log.indexes, beats, 0, first, reverse=True), None)
    after = next(find(log.indexes, beats, last + 1, size), None)
    return Around(_authority_seqs(log), before, after)


def _authority_seqs(log: View) -> tuple[int, ...]:
    return tuple(entry.seq for entry in log.authority_entries())


def _prove_stream(path: Path, stream: str, from_ns: int, to_ns: int | None, *, read_only: bool) -> _Run:
    if to_ns is not None and to_ns >= time.time_ns():
        raise Unavailable(f"{time_text(to_ns)} is not over: nothing can be complete up to then yet")
    with said_view(path, read_only=read_only) as log:
        until = _newest_heartbeat_for(log, stream, from_ns) if to_ns is None else to_ns
        if until is not None and (beat := _heartbeat_after(log, until)) is not None:
            return _run_of(log, stream, from_ns, until, beat)
    if read_only:
        raise Unavailable("no heartbeat shows that the run is complete, and none can be appended without the lock")
    until = time.time_ns() - 1 if to_ns is None else to_ns
    if from_ns > until:
        raise Unavailable(f"{time_text(from_ns)} is not over: nothing can be complete after it yet")
    _write_heartbeat(path, until)
    with fixed_view(path) as log:
        beat = _heartbeat_after(log, until)
        if beat is None:
            raise Unavailable("the heartbeat that was just appended is not visible yet: try again")
        return _run_of(log, stream, from_ns, until, beat)


def _newest_heartbeat_for(log: View, stream: str, from_ns: int) -> int | None:
    """The last ns before the newest heartbeat, where it commits to all that the stream has; else None."""
    size = log.head.size
    beat = next(find(log.indexes, EventFilter(type=HEARTBEAT), 0, size, reverse=True), None)
    if beat is None or next(find(log.indexes, EventFilter(stream=stream), beat + 1, size), None) is not None:
        return None
    until = log.reader.event(beat).entry.recorded_at - 1
    return until if from_ns <= until else None


def _write_heartbeat(path: Path, to_ns: int) -> None:
    try:
        with written(path) as ledger:
            ledger.heartbeat()
    except LedgerError as error:
        reason = f"no heartbeat was recorded after {time_text(to_ns)}, and none can be appended now: {error}"
        raise Unavailable(reason) from error


def _heartbeat_after(log: View, to_ns: int) -> int | None:
    return next(find(log.indexes, EventFilter(type=HEARTBEAT), log.reader.seq_after(to_ns), log.head.size), None)


def _run_of(log: View, stream: str, from_ns: int, to_ns: int, beat: int) -> _Run:
    """The run from the last entry recorded at or before `from_ns` (the stream's first, where there is none) to the heartbeat."""
    wanted = EventFilter(stream=stream)
    start = next(find(log.indexes, wanted, 0, log.reader.seq_after(from_ns), reverse=True), 0)
    seqs = list(find(log.indexes, wanted, start, beat))
    before = next(find(log.indexes, EventFilter(type=HEARTBEAT), 0, seqs[0], reverse=True), None) if seqs else None
    around = Around(_authority_seqs(log), before, beat)
    leaves = list_leaves(heads_before(log.reader, log.store, log.indexes, beat))
    return _Run(prove_run(log.reader, stream, seqs, from_ns, to_ns, around, leaves), to_ns)

"""`dna show`, `query`, `lineage`, `tail`: what is in a log, from its folder or from a running service."""

import time
from pathlib import Path
from typing import Annotated, Literal

import typer

from decision_dna.ledger import queries
from decision_dna.ledger.notes import note_of
from decision_dna.ledger.queries import PAGE_EVENTS_MAX, EventFilter
from decision_dna.ledger.views import event_view
from decision_dna.schemas.texts import id_text, time_text
from decision_dna.schemas.views import LineageView, PageView
from decision_dna.service.commands.answers import check_lineage, check_page, write_source
from decision_dna.service.commands.places import ReadOnly, View, check_place, fixed_view, is_address, said_view
from decision_dna.service.commands.remote import Service
from decision_dna.service.commands.terminal import (
    SEQ_MAX,
    EventName,
    Json,
    Place,
    write,
    write_facts,
    write_json,
    write_table,
)
from decision_dna.service.commands.views import EVENT_COLUMNS, event_facts, event_row, parse_id, parse_time

FOLLOW_SECONDS = 0.25

Order = Literal["asc", "desc"]
Direction = Literal["causes", "effects", "both"]


def show(place: Place, event: EventName, read_only: ReadOnly = False, json: Json = False) -> None:
    """Show one event, by seq, id or fingerprint."""
    check_place(place, read_only=read_only)
    if is_address(place):
        with Service.at(place) as service:
            view = service.event(event)
    else:
        with said_view(Path(place), read_only=read_only) as log:
            view = event_view(log.reader.event(log.reader.resolve(event)))
    if json:
        write_json(view)
    else:
        write_facts(event_facts(view))
        write_source(place)


def query(
    place: Place,
    type_name: Annotated[str, typer.Option("--type", help="A type, or a family: 'detection.*'.")] = "",
    source: Annotated[str, typer.Option("--source", help="Who said it.")] = "",
    subject: Annotated[str, typer.Option("--subject", help="What it is about.")] = "",
    stream: Annotated[str, typer.Option("--stream", help="family/source, such as x/bot.")] = "",
    correlation: Annotated[str, typer.Option("--correlation", help="A trace id: 32 hex digits.")] = "",
    cause: Annotated[bytes | None, typer.Option("--cause", parser=parse_id, metavar="ID", help="A cause's id.")] = None,
    time_from: Annotated[
        int | None,
        typer.Option("--from", parser=parse_time, metavar="TIME", help="Recorded at or after: RFC 3339, or ns."),
    ] = None,
    time_to: Annotated[
        int | None, typer.Option("--to", parser=parse_time, metavar="TIME", help="Recorded before: RFC 3339, or ns.")
    ] = None,
    from_seq: Annotated[int, typer.Option("--from-seq", min=0, max=SEQ_MAX, help="The first seq.")] = 0,
    to_seq: Annotated[
        int,
        typer.Option(
            "--to-seq", min=0, max=SEQ_MAX, show_default=False, help="One past the last seq; the end, if not given."
        ),
    ] = queries.NO_END,
    order: Annotated[Order, typer.Option("--order", help="By seq.")] = "asc",
    limit: Annotated[int, typer.Option("--limit", min=1, max=PAGE_EVENTS_MAX, help="Events on a page.")] = 100,
    cursor: Annotated[str | None, typer.Option("--cursor", help="Go on where the last page ended.")] = None,
    read_only: ReadOnly = False,
    json: Json = False,
) -> None:
    """Find events by type, source, subject, stream, trace, cause, time or seq.

    Filters are joined by "and". A page that is not the last names the cursor of the next one. The last lines say under which
    checkpoint the page was read, and up to which seq index rows were used: `dna verify` compares these with the log.
    """
    check_place(place, read_only=read_only)
    time_to = queries.NO_END if time_to is None else time_to
    wanted = EventFilter(
        type_name, source, subject, stream, correlation, cause or b"", time_from or 0, time_to, from_seq, to_seq
    )
    page = _page(place, wanted, order, limit, cursor, read_only=read_only)
    if json:
        write_json(page)
        return
    write_table(EVENT_COLUMNS, [event_row(view) for view in page.events])
    write(_basis(page))
    if page.next_cursor is not None:
        write(f"more: --cursor {page.next_cursor}")
    write_source(place)


def _page(
    place: str,
    wanted: EventFilter,
    order: Order,
    limit: int,
    cursor: str | None,
    *,
    read_only: bool = False,
    is_first: bool = True,
) -> PageView:
    if is_address(place):
        return _remote_page(place, wanted, order, limit, cursor)
    view = said_view if is_first else fixed_view
    with view(Path(place), read_only=read_only) as log:
        page = queries.query(log.reader, log.indexes, wanted, order=order, limit=limit, cursor=cursor)
        views = [event_view(event) for event in page.events]
        return PageView(views, page.next_cursor, page.checkpoint.note, page.indexed_to)


def _basis(answer: PageView | LineageView) -> str:
    """What an answer rests on. Raises ProofRejected where its checkpoint is none."""
    size = note_of(answer.checkpoint.encode()).size
    rest = "; events from there on were read from the log" if answer.indexed_to < size else ""
    return f"as of the checkpoint of size {size}, by index rows to seq {answer.indexed_to}{rest}"


def _remote_page(place: str, wanted: EventFilter, order: Order, limit: int, cursor: str | None) -> PageView:
    asked = {
        "type": wanted.type,
        "source": wanted.source,
        "subject": wanted.subject,
        "stream": wanted.stream,
        "correlation": wanted.correlation,
        "cause": id_text(wanted.cause) if wanted.cause else "",
        "from": time_text(wanted.time_from) if wanted.time_from else "",
        "to": time_text(wanted.time_to) if wanted.time_to != queries.NO_END else "",
        "from_seq": wanted.from_seq or "",
        "to_seq": wanted.to_seq if wanted.to_seq != queries.NO_END else "",
        "order": order,
        "limit": limit,
        "cursor": cursor,
    }
    with Service.at(place) as service:
        page = service.events({name: str(value) for name, value in asked.items() if value})
    check_page(page, wanted, order, limit, is_first=cursor is None)
    return page


def lineage(
    place: Place,
    event: EventName,
    direction: Annotated[Direction, typer.Option("--direction", help="Which way to go.")] = "both",
    depth: Annotated[int, typer.Option("--depth", min=0, max=PAGE_EVENTS_MAX, help="Steps away from it.")] = 8,
    limit: Annotated[int, typer.Option("--limit", min=1, max=PAGE_EVENTS_MAX, help="Events at most.")] = 200,
    read_only: ReadOnly = False,
    json: Json = False,
) -> None:
    """Show what led to an event, and what it led to."""
    check_place(place, read_only=read_only)
    if is_address(place):
        with Service.at(place) as service:
            graph = service.lineage(event, {"direction": direction, "depth": str(depth), "limit": str(limit)})
        check_lineage(graph, event, limit)
    else:
        with said_view(Path(place), read_only=read_only) as log:
            graph = _graph(log, event, direction, depth, limit)
    if json:
        write_json(graph)
        return
    causes: dict[int, list[str]] = {}
    for cause, effect in graph.edges:
        causes.setdefault(effect, []).append(str(cause))
    rows = [(*event_row(view), " ".join(causes.get(view.seq, []))) for view in graph.nodes]
    write_table((*EVENT_COLUMNS, "caused by"), rows)
    write(_basis(graph))
    if graph.truncated:
        write("and more: raise --depth or --limit")
    write_source(place)


def _graph(log: View, event: str, direction: Direction, depth: int, limit: int) -> LineageView:
    seq = log.reader.resolve(event)
    found = queries.lineage(log.reader, log.indexes, seq, direction, depth=depth, limit=limit)
    nodes = [event_view(node) for node in found.nodes]
    return LineageView(nodes, found.edges, found.truncated, found.checkpoint.note, found.indexed_to)


def tail(
    place: Place,
    from_seq: Annotated[int, typer.Option("--from-seq", min=0, max=SEQ_MAX, help="Where to begin.")] = 0,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what is appended, until Ctrl-C.")] = False,
    read_only: ReadOnly = False,
    json: Json = False,
) -> None:
    """Print events from a seq on, and with --follow those that come later."""
    check_place(place, read_only=read_only)
    at, end = from_seq, 0
    try:
        while True:
            seen = at
            at, size = _print_from(place, at, read_only=read_only, is_first=not end, json=json)
            end = end or size
            if not follow and (at == seen or at >= end):
                break
            if at == seen:
                time.sleep(FOLLOW_SECONDS)
    except KeyboardInterrupt:
        if not follow:
            raise
    if not json:
        write_source(place)


def _print_from(place: str, at: int, *, read_only: bool, is_first: bool, json: bool) -> tuple[int, int]:
    """Print a page. Returns the seq after it, and the size of the log that it was read under."""
    wanted = EventFilter(from_seq=at)
    page = _page(place, wanted, "asc", PAGE_EVENTS_MAX, None, read_only=read_only, is_first=is_first)
    for view in page.events:
        if json:
            write_json(view)
        else:
            write("  ".join(str(cell) for cell in event_row(view)))
        at = view.seq + 1
    return at, note_of(page.checkpoint.encode()).size

"""The routes that read: events, streams, lineage, the public log, state, anchors, health. What takes long runs beside the loop."""

import base64
from collections.abc import Iterable
from heapq import nsmallest
from typing import Any, cast, get_args

import msgspec
from litestar import Request, Response, get
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath

from decision_dna.ledger.queries import (
    PAGE_EVENTS_MAX,
    Direction,
    EventFilter,
    Order,
    Page,
    lineage,
    query,
    stream_heads,
    stream_run,
)
from decision_dna.ledger.reader import Event
from decision_dna.ledger.tlogproof import format_proof
from decision_dna.ledger.views import event_view
from decision_dna.schemas.anchoring import CONFIRMED
from decision_dna.schemas.errors import FoldFailed, Malformed, NotFound, Unavailable
from decision_dna.schemas.texts import time_ns
from decision_dna.schemas.views import (
    ConsistencyView,
    EventView,
    FailureView,
    FollowerHealth,
    HealthView,
    LineageView,
    PageView,
    RunView,
    StreamsView,
    StreamView,
)
from decision_dna.service.http import operations
from decision_dna.service.http.asking import (
    RANGES,
    SELECTING,
    cursor_key,
    event_filter,
    key_cursor,
    number,
    parameters,
    truth,
)
from decision_dna.service.http.operations import JSON, TEXT, Operation
from decision_dna.service.http.proving import event_evidence, pinned, run_evidence
from decision_dna.service.http.running import Running

Asked = Request[Any, Any, Any]
MAY_READ = "decision_dna.may_read"
"""In a request's scope: whether it comes from this machine or brings the key."""


def parts_of(request: Asked) -> Running:
    """What the application was made with."""
    parts: Running = request.app.state.parts
    return parts


def may_read(request: Asked) -> bool:
    """Whether the asker may read what is private, which most calls demand before they come here."""
    return bool(request.scope[MAY_READ])  # type: ignore[literal-required]  # a key of ours


def asked_of(request: Asked, operation: Operation) -> dict[str, str]:
    """The parameters of a request, if they are the operation's. Raises Malformed."""
    asked = parameters(request.scope["query_string"], operation.names)
    missing = [each.name for each in operation.query if each.required and each.name not in asked]
    if missing:
        raise Malformed(f"{', '.join(missing)} is missing")
    return asked


def json(value: Any) -> Response[bytes]:
    """A JSON answer."""
    return Response(msgspec.json.encode(value), media_type=JSON)


def page_view(page: Page) -> PageView:
    """A page as JSON has it."""
    return PageView(encoded(page.events), page.next_cursor, page.checkpoint.note, page.indexed_to)


def encoded(events: Iterable[Event]) -> list[EventView]:
    """Return the views of events as the JSON that they become: the objects of one payload at a time are held, which can take
    a hundred times its bytes."""
    return cast("list[EventView]", [msgspec.Raw(msgspec.json.encode(event_view(event))) for event in events])


# --- events --------------------------------------------------------------------------------------------------------


@get(operations.LIST_EVENTS.path, sync_to_thread=True)
def list_events(request: Asked) -> Response[bytes]:
    """A page by filter."""
    asked = asked_of(request, operations.LIST_EVENTS)
    wanted = event_filter({name: asked[name] for name in (*SELECTING, *RANGES) if name in asked})
    return json(page_view(_page(parts_of(request), asked, wanted, _choice(asked, "order", Order, "asc"))))


def _page(parts: Running, asked: dict[str, str], wanted: EventFilter, order: Order) -> Page:
    limit = number(asked.get("limit", "100"), "limit")
    return query(parts.ledger.reader, parts.indexes, wanted, order=order, limit=limit, cursor=asked.get("cursor"))


def _choice(asked: dict[str, str], name: str, choices: Any, default: str) -> Any:
    given, known = asked.get(name, default), get_args(choices)
    if given not in known:
        raise Malformed(f"{name} is {' or '.join(known)}, not {given[:40]!r}")
    return given


@get("/api/events/{name:str}/proof", sync_to_thread=True)
def show_proof(request: Asked, name: FromPath[str]) -> Response[bytes]:
    """Its tlog-proof, in the newest head or in one that was signed before."""
    asked = asked_of(request, operations.PROOF)
    reader = pinned(parts_of(request).ledger)
    size = number(asked["size"], "size") if "size" in asked else reader.size
    note, seq = reader.note_of(size), reader.resolve(name)
    return Response(format_proof(seq, reader.prove_inclusion(seq, size), note).encode(), media_type=TEXT)


@get("/api/events/{name:str}/evidence")
async def show_evidence(request: Asked, name: FromPath[str]) -> Response[bytes]:
    """Its evidence file."""
    asked = asked_of(request, operations.EVIDENCE)
    parts = parts_of(request)
    with_payload = truth(asked.get("payload", "true"), "payload")

    def prove() -> bytes:
        seq = parts.ledger.reader.resolve(name)
        return event_evidence(parts.ledger, parts.indexes, seq, with_payload=with_payload)

    return Response(await parts.long_reads.run(prove), media_type=JSON)


@get("/api/events/{name:str}/lineage")
async def show_lineage(request: Asked, name: FromPath[str]) -> Response[bytes]:
    """Causes and effects."""
    asked = asked_of(request, operations.LINEAGE)
    parts, direction = parts_of(request), _choice(asked, "direction", Direction, "both")
    depth, limit = number(asked.get("depth", "8"), "depth"), number(asked.get("limit", "200"), "limit")

    def walk() -> Response[bytes]:
        reader = parts.ledger.reader
        found = lineage(reader, parts.indexes, reader.resolve(name), direction, depth=depth, limit=limit)
        nodes, note = encoded(found.nodes), found.checkpoint.note
        return json(LineageView(nodes, found.edges, found.truncated, note, found.indexed_to))

    return await parts.long_reads.run(walk)


# --- streams -------------------------------------------------------------------------------------------------------


@get(operations.STREAMS.path)
async def list_streams(request: Asked) -> Response[bytes]:
    """A page of heads."""
    asked = asked_of(request, operations.STREAMS)
    ledger, after = parts_of(request).ledger, cursor_key(asked)
    limit = number(asked.get("limit", "1000"), "limit")
    if not 1 <= limit <= PAGE_EVENTS_MAX:
        raise Malformed(f"a page has 1 to {PAGE_EVENTS_MAX} streams, not {limit}")

    def read() -> Response[bytes]:
        reader = pinned(ledger)
        heads = stream_heads(reader, ledger.store)
        names = nsmallest(limit + 1, (name for name in heads if after is None or name.encode() > after))
        views = [StreamView(name, heads[name][0], heads[name][1].hex()) for name in names[:limit]]
        following = key_cursor(names[limit - 1].encode()) if len(names) > limit else None
        return json(StreamsView(views, following, reader.head().note))

    return await parts_of(request).long_reads.run(read)


@get("/api/streams/{family:str}/{source:str}", sync_to_thread=True)
def show_stream(request: Asked, family: FromPath[str], source: FromPath[str]) -> Response[bytes]:
    """A run."""
    asked = asked_of(request, operations.STREAM)
    parts, stream = parts_of(request), f"{family}/{source}"
    start, limit = (
        number(asked.get("from_stream_seq", "0"), "from_stream_seq"),
        number(asked.get("limit", "100"), "limit"),
    )
    reader = pinned(parts.ledger)
    found, more = stream_run(reader, parts.indexes, stream, start, limit)
    if not found and start == 0:
        raise NotFound(f"no stream is called {stream[:140]!r}")
    following = start + len(found) if more else None
    return json(RunView(stream, encoded(found), following, f"/api/streams/{stream}/evidence", reader.head().note))


@get("/api/streams/{family:str}/{source:str}/evidence")
async def show_stream_evidence(request: Asked, family: FromPath[str], source: FromPath[str]) -> Response[bytes]:
    """That a run is complete."""
    asked = asked_of(request, operations.STREAM_EVIDENCE)
    parts, from_ns, to_ns = parts_of(request), time_ns(asked["from"]), time_ns(asked["to"])
    if from_ns > to_ns:
        raise Malformed("from is after to")

    def prove() -> bytes:
        return run_evidence(parts.ledger, parts.indexes, f"{family}/{source}", from_ns, to_ns)

    return Response(await parts.long_reads.run(prove), media_type=JSON)


@get(operations.CONSISTENCY.path, sync_to_thread=True)
def show_consistency(request: Asked) -> Response[bytes]:
    """Between two sizes."""
    asked = asked_of(request, operations.CONSISTENCY)
    reader = pinned(parts_of(request).ledger)
    start = number(asked["from"], "from")
    end = number(asked["to"], "to") if "to" in asked else reader.size
    proof = reader.prove_consistency(start, end)
    return json(ConsistencyView(start, end, [base64.b64encode(value).decode() for value in proof]))


# --- state and anchors ---------------------------------------------------------------------------------------------


@get("/api/state/{projection:str}")
async def show_state(request: Asked, projection: FromPath[str]) -> Response[bytes]:
    """A page of a projection's state, as it is followed, or folded anew up to a seq."""
    asked = asked_of(request, operations.STATE)
    parts, after = parts_of(request), cursor_key(asked)
    at = number(asked["at"], "at") if "at" in asked else None
    limit = number(asked.get("limit", "100"), "limit")
    return await parts.long_reads.run(lambda: json(parts.states.page(projection, at, after, limit)))


@get(operations.ANCHORS.path, sync_to_thread=True)
def list_anchors(request: Asked) -> Response[bytes]:
    """Newest first."""
    asked = asked_of(request, operations.ANCHORS)
    return json(page_view(_page(parts_of(request), asked, EventFilter(type=CONFIRMED), "desc")))


@get("/api/anchors/{number_text:str}")
async def show_anchor(request: Asked, number_text: FromPath[str]) -> Response[bytes]:
    """By its number."""
    asked_of(request, operations.ANCHOR)
    parts, wanted = parts_of(request), number(number_text, "the number of an anchor")
    return await parts.long_reads.run(lambda: _anchor(parts, wanted))


def _anchor(parts: Running, wanted: int) -> Response[bytes]:
    cursor: str | None = None
    while True:
        page = query(parts.ledger.reader, parts.indexes, EventFilter(type=CONFIRMED), limit=1000, cursor=cursor)
        for view in map(event_view, page.events):
            if isinstance(view.payload, dict) and view.payload.get("n") == wanted:
                return json(view)
        cursor = page.next_cursor
        if cursor is None:
            raise NotFound(f"no anchor has the number {wanted}")


# --- health --------------------------------------------------------------------------------------------------------


@get(operations.HEALTH.path, sync_to_thread=False)
def show_health(request: Asked) -> Response[bytes]:
    """Answer that the process runs, and say of each part how it is: 200 also where one has failed.

    Without the key other machines learn only whether it is ready: reasons may quote what is private.
    """
    asked_of(request, operations.HEALTH)
    parts = parts_of(request)
    if not may_read(request):
        return json(HealthView("up", parts.ledger.origin, not _reasons(parts), [], {}))
    failures = parts.followers.failures
    followers = {
        name: FollowerHealth(at, _failure_view(failures.get(name))) for name, at in parts.followers.positions.items()
    }
    return json(HealthView("up", parts.ledger.origin, not _reasons(parts), _reasons(parts), followers))


def _failure_view(failure: FoldFailed | None) -> FailureView | None:
    return None if failure is None else FailureView(failure.seq, failure.event_id, str(failure))


def _reasons(parts: Running) -> list[str]:
    """Return why the service is not ready: that of the writer, of its clock, of the thread of followers, and of each that failed alone."""
    writer = parts.ledger.writer
    errors = (writer.stopped, writer.clock_error(), parts.followers.failed, *parts.followers.failures.values())
    return [str(error) for error in errors if error is not None]


@get(operations.READY.path, sync_to_thread=False)
def show_readiness(request: Asked) -> Response[bytes]:
    """Whether it appends and follows."""
    asked_of(request, operations.READY)
    parts = parts_of(request)
    if reasons := _reasons(parts):
        raise Unavailable(f"not ready: {'; '.join(reasons)}" if may_read(request) else "not ready")
    return json({"status": "ready", "origin": parts.ledger.origin})


@get(operations.SYSTEM.path, sync_to_thread=True)
def show_system(request: Asked) -> Response[bytes]:
    """Process and disk."""
    asked_of(request, operations.SYSTEM)
    parts = parts_of(request)
    return json(parts.metrics.system())


@get(operations.PERFORMANCE.path, sync_to_thread=False)
def show_performance(request: Asked) -> Response[bytes]:
    """Latencies and queues."""
    asked_of(request, operations.PERFORMANCE)
    parts = parts_of(request)
    lag, subscribers = parts.followers.lag, parts.tail.subscribers
    return json(parts.metrics.performance(parts.ingest.in_hand, lag, subscribers))


@get(operations.METRICS.path, sync_to_thread=False)
def show_metrics(request: Asked) -> Response[bytes]:
    """For Prometheus."""
    asked_of(request, operations.METRICS)
    parts = parts_of(request)
    failed = {name: name in parts.followers.failures for name in parts.followers.positions}
    text = parts.metrics.exposition(parts.followers.lag, parts.tail.subscribers, failed)
    return Response(text, media_type=operations.METRICS.media)


@get(operations.SCHEMA.path, sync_to_thread=False)
def show_schema(request: Asked) -> Response[bytes]:
    """OpenAPI 3.1."""
    asked_of(request, operations.SCHEMA)
    return json(operations.openapi())


ROUTES: list[HTTPRouteHandler] = [
    list_events, show_proof, show_evidence, show_lineage, list_streams, show_stream, show_stream_evidence,
    show_consistency, show_state, list_anchors, show_anchor, show_health, show_readiness,
    show_system, show_performance, show_metrics, show_schema,
]  # fmt: skip

"""Every operation of the API as data: what routes accept, and what `/schema` (OpenAPI 3.1) says of them, are this one table."""

from typing import Any, Literal

import msgspec

from decision_dna import __version__
from decision_dna.schemas.receipts import BatchReceipt, EventReceipt, Problem
from decision_dna.schemas.views import (
    ConsistencyView,
    EventView,
    HealthView,
    LineageView,
    PageView,
    RunView,
    StateView,
    StreamsView,
)
from decision_dna.service.http.metrics import PerformanceView, SystemView

Kind = Literal["string", "integer", "boolean"]

JSON, TEXT, BYTES = "application/json", "text/plain", "application/octet-stream"


class Parameter(msgspec.Struct, frozen=True):
    """A parameter of a query string."""

    name: str
    text: str
    kind: Kind = "string"
    required: bool = False


class Operation(msgspec.Struct, frozen=True):
    """One call. `answer` is the type of a JSON answer, None for what is not of one JSON shape. An `open` one never needs the key."""

    method: Literal["get", "post"]
    path: str
    text: str
    query: tuple[Parameter, ...] = ()
    answer: Any = None
    media: str = JSON
    open: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        """The names of its parameters."""
        return tuple(parameter.name for parameter in self.query)


_SELECTING = (
    Parameter("type", "a type, or a family of types as detection.*"),
    Parameter("source", "who said it"),
    Parameter("subject", "what it is about"),
    Parameter("stream", "family/source"),
    Parameter("correlation", "a trace id, 32 hex digits"),
    Parameter("cause", "the id of an event among the causes"),
)
_RANGES = (
    Parameter("from", "recorded at or after this RFC 3339 time"),
    Parameter("to", "recorded before this RFC 3339 time"),
    Parameter("from_seq", "from this seq on", "integer"),
    Parameter("to_seq", "before this seq", "integer"),
)
_CURSOR = Parameter("cursor", "next_cursor of the page before")
_PAGING = (Parameter("limit", "events in a page: 1 to 1,000, else 100", "integer"), _CURSOR)
_RUN = (Parameter("from", "after this time", required=True), Parameter("to", "up to this time", required=True))

SUBMIT = Operation(
    "post",
    "/api/events",
    "Append one submission, or several; durable, signed and published when it answers",
    (
        Parameter("atomic", "true: all of them stand, or none", "boolean"),
        Parameter("wait", "durable or published, which are the same here"),
    ),
    EventReceipt | BatchReceipt,
)
SUBSCRIBE = Operation(
    "get",
    "/api/stream",
    "The log from a seq on as server-sent events, then whatever comes",
    (*_SELECTING, Parameter("from_seq", "where to begin; without it, now", "integer")),
    media="text/event-stream",
)
LIST_EVENTS = Operation(
    "get",
    "/api/events",
    "A page of events by any filter, under a signed checkpoint",
    (*_SELECTING, *_RANGES, Parameter("order", "asc or desc"), *_PAGING),
    PageView,
)
EVENT = Operation("get", "/api/events/{name}", "An event by its seq, id or fingerprint", (), EventView)
PROOF = Operation(
    "get",
    "/api/events/{name}/proof",
    "Its tlog-proof",
    (Parameter("size", "in the tree of this signed size; else the newest", "integer"),),
    media=TEXT,
)
EVIDENCE = Operation(
    "get",
    "/api/events/{name}/evidence",
    "Its evidence file, to be checked offline",
    (Parameter("payload", "false: without the payload", "boolean"),),
)
LINEAGE = Operation(
    "get",
    "/api/events/{name}/lineage",
    "What led to it, and what it led to",
    (
        Parameter("direction", "causes, effects or both"),
        Parameter("depth", "how far: up to 1,000, else 8", "integer"),
        Parameter("limit", "how many events: 1 to 1,000, else 200", "integer"),
    ),
    LineageView,
)
STREAMS = Operation(
    "get",
    "/api/streams",
    "The heads of all streams, by name",
    (Parameter("limit", "streams in a page: 1 to 1,000, else 1,000", "integer"), _CURSOR),
    StreamsView,
)
STREAM = Operation(
    "get",
    "/api/streams/{family}/{source}",
    "A gapless run of one stream",
    (
        Parameter("from_stream_seq", "the first, by its place in the stream; else 0", "integer"),
        Parameter("limit", "1 to 1,000, else 100", "integer"),
    ),
    RunView,
)
STREAM_EVIDENCE = Operation(
    "get",
    "/api/streams/{family}/{source}/evidence",
    "The evidence file that a run is complete, or that there was none",
    _RUN,
)
CHECKPOINT = Operation("get", "/checkpoint", "The newest signed head (tlog-tiles)", media=TEXT, open=True)
TILE = Operation("get", "/tile/{tile}", "A tile of hashes or entries (tlog-tiles)", media=BYTES, open=True)
CONSISTENCY = Operation(
    "get",
    "/api/consistency",
    "That one size is the beginning of another",
    (
        Parameter("from", "the smaller size", "integer", required=True),
        Parameter("to", "the larger size; else the newest", "integer"),
    ),
    ConsistencyView,
)
STATE = Operation(
    "get",
    "/api/state/{projection}",
    "A page of engine state folded from the log, by key, with the hash of the whole",
    (
        Parameter("at", "folded over the entries before this seq; else all", "integer"),
        Parameter("limit", "rows in a page: 1 to 1,000, else 100", "integer"),
        _CURSOR,
    ),
    StateView,
)
ANCHORS = Operation("get", "/api/anchors", "The confirmed anchors, newest first", _PAGING, PageView)
ANCHOR = Operation("get", "/api/anchors/{number}", "The anchor of a number", (), EventView)
HEALTH = Operation("get", "/api/health", "It answers; how each part is", (), HealthView, open=True)
READY = Operation(
    "get", "/api/health/ready", "It can append and read; 503 where it cannot", (), dict[str, str], open=True
)
SYSTEM = Operation("get", "/api/health/metrics/system", "Process and disk", (), SystemView)
PERFORMANCE = Operation("get", "/api/health/metrics/performance", "Latencies and queues", (), PerformanceView)
METRICS = Operation("get", "/metrics", "For Prometheus", media="text/plain; version=0.0.4")
SCHEMA = Operation("get", "/schema", "This document")

OPERATIONS = (
    SUBMIT, LIST_EVENTS, EVENT, PROOF, EVIDENCE, LINEAGE, STREAMS, STREAM, STREAM_EVIDENCE, CHECKPOINT, TILE,
    CONSISTENCY, SUBSCRIBE, STATE, ANCHORS, ANCHOR, HEALTH, READY, SYSTEM, PERFORMANCE, METRICS, SCHEMA,
)  # fmt: skip


OPEN_PATHS = frozenset({HEALTH.path, f"{HEALTH.path}/", READY.path})
"""Whose answers need no key, beside those of the public log."""


def allowed_methods(path: str) -> str:
    """Return the methods of a path as the header Allow lists them; empty if nothing is there. Not for the public log."""
    words = path.split("/")
    methods = {each.method.upper() for each in OPERATIONS if _is_at(each.path.split("/"), words)}
    return ", ".join(sorted(methods | {"HEAD"} if "GET" in methods else methods))


def _is_at(pattern: list[str], words: list[str]) -> bool:
    return len(pattern) == len(words) and all(p == w or p.startswith("{") for p, w in zip(pattern, words, strict=True))


def openapi() -> dict[str, Any]:
    """The OpenAPI 3.1 document."""
    answering = [operation for operation in OPERATIONS if operation.answer is not None]
    types = [operation.answer for operation in answering]
    found, components = msgspec.json.schema_components([*types, Problem], ref_template="#/components/schemas/{name}")
    shapes = {id(operation): shape for operation, shape in zip(answering, found, strict=False)}
    paths: dict[str, dict[str, Any]] = {}
    for operation in OPERATIONS:
        paths.setdefault(operation.path, {})[operation.method] = _described(operation, shapes.get(id(operation), {}))
    return {
        "openapi": "3.1.0",
        "info": {"title": "Decision DNA", "version": __version__, "description": _ABOUT},
        "paths": paths,
        "components": {"schemas": {**components, "Submission": SUBMISSION}, "securitySchemes": _KEYS},
    }


def _described(operation: Operation, shape: dict[str, Any]) -> dict[str, Any]:
    in_path = [word[1:-1] for word in operation.path.split("/") if word.startswith("{")]
    parameters = [{"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in in_path]
    parameters += [
        {
            "name": parameter.name,
            "in": "query",
            "required": parameter.required,
            "description": parameter.text,
            "schema": {"type": parameter.kind},
        }
        for parameter in operation.query
    ]
    problem = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    done = {"description": "Done", "content": {operation.media.partition(";")[0]: {"schema": shape}}}
    answers = {"200": done, "default": {"description": "A problem (RFC 9457)", "content": problem}}
    if operation.method == "post":
        answers = {**answers, "201": done, "207": {**done, "description": "Some were refused"}}
    described = {
        "operationId": f"{operation.method}{operation.path}".replace("/", "_").replace("{", "").replace("}", ""),
        "summary": operation.text,
        "parameters": parameters,
        "responses": answers,
        "security": [] if operation.open else [{"key": []}, {"bearer": []}],
    }
    return {**described, "requestBody": _BODY} if operation.method == "post" else described


_ABOUT = (
    "Each path answers HEAD as it answers GET. A service that other machines can reach needs the key for every call whose "
    "security is not empty; a service on loopback needs it to submit only, if a key is set."
)
_KEYS = {
    "key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
    "bearer": {"type": "http", "scheme": "bearer"},
}
_ONE = {"$ref": "#/components/schemas/Submission"}
_MANY = {"type": "array", "items": _ONE, "minItems": 1, "maxItems": 10_000}
_BODY = {
    "required": True,
    "content": {
        "application/json": {"schema": {"oneOf": [_ONE, _MANY]}},
        "application/x-ndjson": {"schema": {"description": "a submission on each line"}},
        "application/msgpack": {"schema": {"description": "the same as map or array; bytes as bytes, times in ns"}},
    },
}
_TEXT = {"type": "string"}
_ID = {"type": "string", "format": "uuid"}
_ANY_SUBMISSION: dict[str, Any] = {
    "payload": {"type": "object"},
    "expected_stream_seq": {"type": "integer", "minimum": 0},
}

SUBMISSION: dict[str, Any] = {
    "oneOf": [
        {
            "type": "object",
            "additionalProperties": False,
            "required": ["type", "source", "payload"],
            "properties": {
                **_ANY_SUBMISSION,
                "type": {"type": "string", "maxLength": 64},
                "source": {"type": "string", "maxLength": 64},
                "schema": {"type": "integer", "minimum": 1, "maximum": 65_535},
                "id": _ID,
                "subject": {"type": "string", "maxLength": 128},
                "occurred_at": {"type": "string", "format": "date-time"},
                "causes": {"type": "array", "items": _ID, "maxItems": 64},
                "trace": _TEXT,
            },
        },
        {
            "type": "object",
            "additionalProperties": False,
            "required": ["claim", "salt", "signature", "key_id", "payload"],
            "properties": {
                **_ANY_SUBMISSION,
                "claim": {"type": "string", "contentEncoding": "base64"},
                "salt": {"type": "string", "pattern": "^[0-9a-f]{32}$"},
                "signature": {"type": "string", "pattern": "^[0-9a-f]{128}$"},
                "key_id": {"type": "string", "pattern": "^[0-9a-f]{16}$"},
            },
        },
    ]
}
"""What may be submitted: with the ledger's claim, or with its author's."""

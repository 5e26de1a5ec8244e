"""The routes that stand in front of the framework, because they carry the load: submissions in, an event by its name, the stream out.

The public log is in `public`; everything else goes on to the framework. Here too: who may ask at all (host and key), which
paths and methods there are, and the headers of every answer.
`wire` takes the commonest requests past ASGI too, and gives the answers that are made here.
"""

import asyncio
import hmac
import time
from collections.abc import Callable
from functools import lru_cache
from http import HTTPStatus
from typing import cast
from urllib.parse import urlsplit

from litestar import Litestar
from litestar.types import HTTPScope, Message, Receive, Scope, Send

from decision_dna.ledger.views import event_view
from decision_dna.ledger.writer import Appended, Placed
from decision_dna.schemas.errors import LedgerError, Malformed, NotFound, TooLarge
from decision_dna.schemas.submissions import BODY_BYTES_MAX, MEDIA_TYPES, Media, is_single
from decision_dna.service.http.answers import ALWAYS, JSON, Whole, encode_json, refusal
from decision_dna.service.http.asking import SELECTING, event_filter, number, parameters, truth
from decision_dna.service.http.backlog import Backlog
from decision_dna.service.http.operations import OPEN_PATHS, allowed_methods
from decision_dna.service.http.problems import RequestRefused, problem_of
from decision_dna.service.http.public import PublicLog, is_public
from decision_dna.service.http.routes import MAY_READ
from decision_dna.service.http.running import Running
from decision_dna.service.receipts import CommitReceipts, batch_receipt, event_receipt
from decision_dna.service.settings import is_loopback

LOCAL = "local"
MASTER = "master"
LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")
SUBMIT_PATH = "/api/events"
STREAM_PATH = "/api/stream"
EVENT_PATH = "/api/events/"


class Front:
    """The ASGI application: bare routes, then `rest`."""

    def __init__(self, parts: Running, rest: Litestar) -> None:
        self.parts, self._rest = parts, rest
        settings = parts.settings
        self._local_hosts = {*LOOPBACK_NAMES, settings.host} if is_loopback(settings.host) else set()
        self._hosts = {name.strip("[]") for name in (*LOOPBACK_NAMES, *settings.hosts, settings.host)}
        self._public = PublicLog(parts.ledger.reader)
        self._key = settings.master_api_key.reveal().encode()
        self._receipts: CommitReceipts | None = None
        self.backlog = Backlog(settings.held_bytes_max)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        answer = _Answer(send)
        http = cast("HTTPScope", scope)  # the server speaks nothing else: no web sockets, no lifespan
        try:
            await self._route(http, receive, answer)
        except (LedgerError, RequestRefused) as error:
            await answer.refuse(error)
        except Exception as error:
            await answer.refuse(error)
            raise
        finally:
            self.parts.metrics.requested(http["method"], answer.status)

    async def _route(self, scope: HTTPScope, receive: Receive, answer: "_Answer") -> None:
        headers = dict(scope["headers"])
        is_local = self.is_local(scope["server"], headers)
        path, method = scope["path"], scope["method"]
        if is_public(path):
            await answer.whole(await self._public.answer(scope, headers))
        elif path == SUBMIT_PATH and method == "POST":
            await self._submit(scope, headers, receive, answer, is_local=is_local)
        elif method not in ("GET", "HEAD"):
            raise _refused_method(path)
        else:
            may_read = is_local or self._has_key(headers)
            if path not in OPEN_PATHS:
                self.check_reader(headers, is_local=is_local)
            await self._read(scope, headers, receive, answer, may_read=may_read)

    async def _read(
        self, scope: HTTPScope, headers: dict[bytes, bytes], receive: Receive, answer: "_Answer", *, may_read: bool
    ) -> None:
        path = scope["path"]
        if name := event_name(path):
            await answer.whole(self.event(name, scope["query_string"]))
        elif path == STREAM_PATH:
            await self._subscribe(scope, headers, receive, answer)
        elif path.endswith("/") and path not in OPEN_PATHS:
            raise NotFound("nothing is here: no path ends in a slash")
        else:  # the framework answers GET, and the server leaves the body out of answers to HEAD
            asked = {**scope, "method": "GET", MAY_READ: may_read}
            await self._rest(cast("Scope", asked), receive, answer.send)

    def is_local(self, here: tuple[str, int | None] | None, headers: dict[bytes, bytes]) -> bool:
        """Reject an unknown Host header (defence against DNS rebinding). Return whether only this machine can have sent the
        request: the service listens on loopback, was reached there (`here`), and under a name of loopback. Raises RequestRefused.

        (A proxy on this machine that passes the names of others on makes their requests those of other machines.)
        """
        name = _host_name(headers.get(b"host", b""))
        if name not in self._hosts:
            raise RequestRefused(HTTPStatus.MISDIRECTED_REQUEST, "this service has another host name")
        return here is not None and name in self._local_hosts and _is_loopback(here[0])

    def check_reader(self, headers: dict[bytes, bytes], *, is_local: bool) -> None:
        """Reading from another machine needs the key. Raises RequestRefused."""
        if not is_local:
            self._check_key(headers, "reading from another machine")

    def principal(self, headers: dict[bytes, bytes], *, is_local: bool) -> str:
        """Return who submits: whoever has the key, or this machine if there is none. Raises RequestRefused."""
        if is_local and not self._key:
            return LOCAL
        self._check_key(headers, "submitting")
        return MASTER

    def _has_key(self, headers: dict[bytes, bytes]) -> bool:
        given = headers.get(b"x-api-key") or headers.get(b"authorization", b"").removeprefix(b"Bearer ")
        return bool(self._key) and hmac.compare_digest(given, self._key)

    def _check_key(self, headers: dict[bytes, bytes], doing: str) -> None:
        if not self._has_key(headers):
            raise RequestRefused(HTTPStatus.UNAUTHORIZED, f"{doing} needs the key: X-API-Key, or Authorization: Bearer")

    # --- events in -------------------------------------------------------------------------------------------------

    async def _submit(
        self, scope: HTTPScope, headers: dict[bytes, bytes], receive: Receive, answer: "_Answer", *, is_local: bool
    ) -> None:
        started = time.perf_counter()
        check_body_comes(headers)
        principal, media = self.principal(headers, is_local=is_local), media_of(headers)
        atomic = asked_atomic(scope["query_string"])
        body = await read_body(receive, headers, self.parts.ingest.hold)
        appended = await self.parts.ingest.submit(body, media, principal, atomic=atomic)
        self.parts.metrics.appended(appended, time.perf_counter() - started)
        if atomic:
            check_whole(appended)
        await answer.whole(self.appended(appended, single=is_single(body, media)))

    def appended(self, appended: Appended, *, single: bool) -> Whole:
        """The answer to a request that was committed. Raises what a submission that was sent by itself was refused for."""
        if not single:
            receipt = batch_receipt(appended, self.parts.ledger.reader.nodes, problem_of)
            return Whole(status_of(appended), JSON, encode_json(receipt))
        placed = appended.outcomes[0]
        if not isinstance(placed, Placed):
            raise placed
        location = [(b"location", b"/api/events/%d" % placed.seq)]
        if placed.duplicate:
            read = self.parts.ledger.reader.nodes
            one = event_receipt(placed, appended.head.size, appended.head.note.encode(), read)
            return Whole(HTTPStatus.OK, JSON, encode_json(one), location)
        if self._receipts is None or self._receipts.read is not appended.read:
            self._receipts = CommitReceipts(appended)  # the answers of one commit come one after the other
        return Whole(HTTPStatus.CREATED, JSON, encode_json(self._receipts.receipt(placed)), location)

    # --- events out ------------------------------------------------------------------------------------------------

    def event(self, name: str, query: bytes) -> Whole:
        """An event by its seq, id or fingerprint. Raises NotFound, Malformed."""
        parameters(query, ())
        reader = self.parts.ledger.reader
        return Whole(HTTPStatus.OK, JSON, encode_json(event_view(reader.event(reader.resolve(name)))))

    async def _subscribe(
        self, scope: HTTPScope, headers: dict[bytes, bytes], receive: Receive, answer: "_Answer"
    ) -> None:
        asked = parameters(scope["query_string"], (*SELECTING, "from_seq"))
        last_seen, from_seq = headers.get(b"last-event-id"), asked.pop("from_seq", None)
        start = None if from_seq is None else number(from_seq, "from_seq")
        if last_seen:  # a browser that comes back repeats its address, and says in the header how far it got
            start = number(last_seen.decode("latin-1"), "Last-Event-ID") + 1
        wanted = event_filter(asked)
        if scope["method"] == "HEAD":
            await answer.part(b"")
            await answer.end()
            return
        gone = asyncio.ensure_future(_until_gone(receive))
        try:
            async for frames in self.parts.tail.follow(wanted, start, gone):
                await answer.part(frames)
        finally:
            gone.cancel()
        await answer.end()


class _Answer:
    """One answer on its way: knows whether it has begun, and adds the headers that every answer has."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.status = 0

    async def send(self, message: Message) -> None:
        """Pass on what the framework sends."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = list(message["headers"])
            names = {name.lower() for name, _ in headers}
            message["headers"] = headers + [pair for pair in ALWAYS if pair[0] not in names]
        await self._send(message)

    async def whole(self, said: Whole) -> None:
        """A complete answer."""
        self.status = said.status
        headers = [*said.always, *said.more]
        if said.status not in (HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED):
            headers[:0] = [(b"content-type", said.media), (b"content-length", b"%d" % len(said.body))]
        await self._send({"type": "http.response.start", "status": said.status, "headers": headers})
        await self._send({"type": "http.response.body", "body": said.body, "more_body": False})

    async def part(self, data: bytes) -> None:
        """A part of the stream; the first one begins the answer."""
        if not self.status:
            self.status = 200
            headers = [(b"content-type", b"text/event-stream; charset=utf-8"), *ALWAYS]
            await self._send({"type": "http.response.start", "status": 200, "headers": headers})
        await self._send({"type": "http.response.body", "body": data, "more_body": True})

    async def end(self) -> None:
        """The end of the stream."""
        if self.status:
            await self._send({"type": "http.response.body", "body": b"", "more_body": False})

    async def refuse(self, error: Exception) -> None:
        """A problem, where nothing was said yet."""
        if not self.status:
            await self.whole(refusal(error))


def event_name(path: str) -> str:
    """The name in the path of an event; empty for every other path."""
    name = path[len(EVENT_PATH) :] if path.startswith(EVENT_PATH) else ""
    return "" if "/" in name else name


def _refused_method(path: str) -> LedgerError | RequestRefused:
    allowed = allowed_methods(path)
    if not allowed:
        return NotFound("nothing is here")
    return RequestRefused(HTTPStatus.METHOD_NOT_ALLOWED, f"this is asked for by {allowed}", allow=allowed)


@lru_cache(maxsize=64)
def _is_loopback(address: str) -> bool:
    return is_loopback(address)


@lru_cache(maxsize=64)
def _host_name(host: bytes) -> str:
    """The name in a Host header; empty where there is none."""
    try:
        return urlsplit(f"//{host.decode('ascii')}").hostname or ""
    except ValueError:
        return ""


def check_body_comes(headers: dict[bytes, bytes]) -> None:
    """Whoever asks for another protocol sends the body in it, and it is not read. Raises RequestRefused."""
    if b"upgrade" in headers and b"upgrade" in headers.get(b"connection", b"").lower():
        raise RequestRefused(
            HTTPStatus.BAD_REQUEST, "this service speaks HTTP/1.1: submit without asking for an upgrade"
        )


def media_of(headers: dict[bytes, bytes]) -> Media:
    """The media type of a body. Raises RequestRefused."""
    given = headers.get(b"content-type", b"").decode("latin-1")
    media = MEDIA_TYPES.get(given.partition(";")[0].strip().lower())
    if media is None:
        known = "application/json, application/x-ndjson or application/msgpack"
        raise RequestRefused(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"a submission is {known}, not {given[:80]!r}")
    return media


def asked_atomic(query: bytes) -> bool:
    """Whether all is to stand or nothing; `wait` may be said, and changes nothing: every head is published before the answer. Raises Malformed."""
    if not query:
        return False
    asked = parameters(query, ("atomic", "wait"))
    if asked.get("wait", "durable") not in ("durable", "published"):
        raise Malformed("wait is durable or published")
    return truth(asked.get("atomic", "false"), "atomic")


async def read_body(receive: Receive, headers: dict[bytes, bytes], hold: Callable[[int], None]) -> bytes:
    """All of a request's body; `hold` is told what it takes meanwhile. Raises TooLarge as soon as that is known, Busy where
    all bodies together take too much, RequestRefused where the client went away."""
    length = headers.get(b"content-length", b"0").lstrip(b"0")  # the parser takes any number of zeros, and 20 digits
    if length.isdigit() and int(length) > BODY_BYTES_MAX:
        raise TooLarge(f"a body of {int(length)} bytes, at most {BODY_BYTES_MAX}")
    parts: list[bytes] = []
    size, more = 0, True
    try:
        while more:
            message = await receive()
            if message["type"] != "http.request":
                raise RequestRefused(HTTPStatus.BAD_REQUEST, "the client went away before its request was complete")
            part: bytes = message["body"]
            if size + len(part) > BODY_BYTES_MAX:
                raise TooLarge(f"a body of more than {BODY_BYTES_MAX} bytes")
            hold(len(part))
            size += len(part)
            parts.append(part)
            more = message["more_body"]
    finally:
        hold(-size)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def status_of(appended: Appended) -> int:
    """201 where something is new and nothing refused, 200 where all stood there before, 207 where the outcomes differ."""
    if any(isinstance(outcome, LedgerError) for outcome in appended.outcomes):
        return HTTPStatus.MULTI_STATUS
    new = any(isinstance(outcome, Placed) and not outcome.duplicate for outcome in appended.outcomes)
    return HTTPStatus.CREATED if new else HTTPStatus.OK


def check_whole(appended: Appended) -> None:
    """Raise what an atomic request was refused for: then all of its outcomes are errors, and the first says why."""
    first = appended.outcomes[0]
    if isinstance(first, LedgerError):
        raise first


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass

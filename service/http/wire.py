"""uvicorn's HTTP protocol, with a short way for the two requests that carry the load: one event in, one event out.

    long     headers, a task, the application, its messages, two writes
    short    headers, body, the front's own functions, one write

The short way is taken where nothing is out of the ordinary: exactly these two paths, no query, a small body of known
length, a client that reads its answers. Whatever else comes goes the long way, and gets the same answers.
`tests/service/test_wire.py` sends every request both ways.

One request of a connection is in hand at a time. What its client sends meanwhile stays as it came, at most one read of the
socket, and no more is read: so a client that asks on and reads nothing costs what it was answered last, and that.

What it knows of uvicorn: `_start_asgi_task` begins a request (from `on_headers_complete`, or once the one before it on
its connection was answered), and a cycle whose `response_complete` is set is over. `cycle` is the newest, `pipeline` has
those that wait, the newest at its left; its parser's errors and upgrades come to `send_400_response` and
`_unsupported_upgrade_warning`.
"""

import asyncio
import time
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from decision_dna.ledger.writer import Appended
from decision_dna.schemas.errors import Busy, LedgerError
from decision_dna.schemas.submissions import is_single
from decision_dna.service.http.answers import ALWAYS, Headers, Whole, refusal
from decision_dna.service.http.backlog import Backlog
from decision_dna.service.http.bare import SUBMIT_PATH, Front, check_body_comes, event_name, media_of
from decision_dna.service.http.problems import RequestRefused
from decision_dna.service.ingest import BYTES_ON_LOOP_MAX

CONNECTION_CLOSE = (b"connection", b"close")
HEAD_END = b"\r\n\r\n"
HEAD_BYTES_MAX = 32 * 1024
"""Also of the trailers of a body, and of what stands beside the length of a chunk."""
PIECE_BYTES = 4096
"""What is no body is parsed in pieces of at most so many bytes, each with one end of a head."""
CHUNKS_PIECE_BYTES = 1024
"""A body in chunks is parsed in pieces of at least so many: there are ends of heads in it that are none."""
BODY_PATIENCES = 10
"""So many times as long as for a head, or for any more of a body, all of a request may take."""
_PLAIN_LENGTH_MAX = len(str(BYTES_ON_LOOP_MAX))


def _lines(headers: Headers) -> bytes:
    return b"".join(b"%b: %b\r\n" % pair for pair in headers)


_ALWAYS = _lines(ALWAYS)


class Wire(HttpToolsProtocol):
    """One connection."""

    _running: RequestResponseCycle | None = None
    """The request in hand. (`cycle` is the newest that was read, which may wait behind it.)"""
    _short: RequestResponseCycle | None = None
    """The request that goes the short way, and whose body is still to come."""
    _rest: bytes = b""
    _at = 0
    """What came behind the request in hand, from `_at` on: not parsed yet."""
    _quiet = 0
    """How many bytes were parsed since the last of a head, body or chunk was complete."""
    _in_body = False
    _body_seen = 0
    """Whether the parser is behind a head and not at the end of its request; how many bytes of that body it has seen."""
    _deaf = False
    """What still comes is of another protocol, or of nobody."""
    _last_word: RequestRefused | None = None
    """To be said when what was taken is answered."""
    _begun: float
    _head_since: float | None
    _heard: float
    """When the newest request began to come; likewise its head, if that is not complete; when anything came last."""
    _unread, _unread_since = 0, 0.0
    """How many bytes of answers its client leaves unread, and since when it is that many."""
    _watch: asyncio.TimerHandle | None = None

    if TYPE_CHECKING:
        cycle: RequestResponseCycle

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Too many are told so, and go."""
        super().connection_made(transport)
        self._begun = self._head_since = self._heard = self.loop.time()
        self._look_again(self._patience)
        front: Front = self.app
        if len(self.connections) > front.parts.settings.connections_max:
            self._end_with(Busy("too many connections are open: try again in a moment"))

    def connection_lost(self, exc: Exception | None) -> None:
        """Nobody is waited for any more, and the request in hand hears of it: uvicorn tells the newest alone."""
        if self._watch is not None:
            self._watch.cancel()
        if (running := self._running) is not None and not running.response_complete:
            running.disconnected = True
            running.message_event.set()
        super().connection_lost(exc)
        self._rest = b""
        self._backlog.hold(self, 0)

    def drop(self) -> None:
        """End at once."""
        self.transport.abort()

    # --- requests ------------------------------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        """Take bytes of requests: parse them as far as they belong to the request in hand or begin the next, and keep the rest."""
        self._heard = self.loop.time()
        if self._deaf:
            return
        if self._rest:  # read before reading stopped
            self._rest, self._at = self._rest[self._at :] + data, 0
        elif len(data) <= PIECE_BYTES and self._takes_more and data.count(HEAD_END) < 2:
            self._parse(data)
            return
        else:
            self._rest, self._at = data, 0
        self._parse_rest()

    @property
    def _takes_more(self) -> bool:
        """Whether the parser may have more bytes: no request is in hand, or a part of its body is missing."""
        cycle = self.cycle
        return cycle is None or cycle.response_complete or cycle.more_body

    def _parse(self, piece: bytes | memoryview) -> None:
        self._quiet += len(piece)
        super().data_received(piece)  # type: ignore[arg-type]  # the parser takes any buffer
        if self._quiet > HEAD_BYTES_MAX and not self._deaf:
            self._stop_listening(
                RequestRefused(
                    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, f"a head or trailer of more than {HEAD_BYTES_MAX} bytes"
                )
            )

    def _parse_rest(self) -> None:
        """Parse until a request is complete. While something is left, no more is read."""
        while self._rest and self._takes_more and not self.transport.is_closing():
            self._parse(self._next_piece())
        if self.transport.is_closing():
            self._rest = b""
        if self._rest:
            self.flow.pause_reading()
        self._count_held()

    def _next_piece(self) -> memoryview:
        """A piece of what is left: with no more than one end of a head, but for those within a body."""
        rest, at = self._rest, self._at
        length = self._body_length()
        if length is not None and length > self._body_seen:
            end = at + length - self._body_seen
        else:
            shortest = CHUNKS_PIECE_BYTES if self._in_body else 0
            found = rest.find(HEAD_END, at + shortest, at + PIECE_BYTES)
            end = at + PIECE_BYTES if found < 0 else found + len(HEAD_END)
        if end < len(rest):
            self._at = end
        else:
            self._rest, self._at = b"", 0
        return memoryview(rest)[at:end]

    def _body_length(self) -> int | None:
        """The length of the body that is coming, if its head says it. The parser has refused malformed lengths."""
        if not self._in_body:
            return None
        lengths = [value for name, value in self.headers if name == b"content-length"]
        return int(lengths[0].lstrip(b"0") or b"0") if lengths else None

    def _count_held(self) -> None:
        unread = self.transport.get_write_buffer_size() if self.flow.write_paused else 0
        self._backlog.hold(self, unread + len(self._rest) - self._at)

    def on_message_begin(self) -> None:
        """The first byte of one."""
        self._begun = self._head_since = self.loop.time()
        self._body_seen = 0
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        """One of its head. Those behind a body in chunks say nothing that anybody was asked about: they are left out."""
        if self._head_since is not None:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """What comes now is a body."""
        self._head_since = None
        self._quiet, self._in_body = 0, True
        super().on_headers_complete()

    def on_chunk_header(self) -> None:
        """The length of a chunk; behind the last chunk come trailers."""
        self._quiet = 0

    def on_body(self, body: bytes) -> None:
        """A part of a body."""
        self._quiet = 0
        self._body_seen += len(body)
        super().on_body(body)

    def _unsupported_upgrade_warning(self) -> None:
        # The parser takes nothing behind the head of a request for another protocol, its body neither: it is answered as a
        # request like others, and nothing that follows is taken for one.
        self._deaf, self.cycle.keep_alive = True, False
        self._rest = b""

    def send_400_response(self, msg: str) -> None:
        """Bytes that are no request: what was taken before them is answered first, for it was done."""
        self._stop_listening(RequestRefused(HTTPStatus.BAD_REQUEST, msg))

    def _stop_listening(self, why: RequestRefused) -> None:
        self._deaf, self._last_word, self._rest = True, why, b""
        if self.pipeline and self.cycle.more_body:
            self.pipeline.popleft()  # the newest: its body will not come
        if self._is_idle or (self._running is self.cycle and self.cycle.more_body):
            self._end_with(self._last_word)

    # --- patience ------------------------------------------------------------------------------------------------------

    @property
    def _backlog(self) -> Backlog:
        front: Front = self.app
        return front.backlog

    @property
    def _patience(self) -> float:
        front: Front = self.app
        return front.parts.settings.request_seconds

    @property
    def _is_idle(self) -> bool:
        return self._running is None or (self._running.response_complete and not self.pipeline)

    def _look_again(self, seconds: float) -> None:
        if self._watch is not None:
            self._watch.cancel()
        self._watch = self.loop.call_later(seconds, self._look)

    def _look(self) -> None:
        """Let go whoever keeps us waiting: for the rest of a request, or for room for our answers."""
        now, unread = self.loop.time(), self.transport.get_write_buffer_size()
        if self.transport.is_closing() and not unread:
            return  # nobody is waited for: it was only to be seen that it closes
        if unread != self._unread:
            self._unread, self._unread_since = unread, now
        since = self._unread_since if unread else self._awaited_since(now)
        if now - since < self._patience:
            self._look_again(self._patience - (now - since))
        elif unread:
            self.transport.abort()  # `close` would wait for what is never taken
        elif self._is_idle:
            said = f"no whole request came in {self._patience:g} s"
            self._end_with(RequestRefused(HTTPStatus.REQUEST_TIMEOUT, said))
        else:
            self.transport.close()

    def _awaited_since(self, now: float) -> float:
        """Since when the client owes us a part of a request; now, where it is our turn. While we do not read, nobody owes."""
        if self.flow.read_paused:
            self._begun = self._heard = now
            self._head_since = None if self._head_since is None else now
        if self._head_since is not None:
            return self._head_since
        if self.cycle is not None and self.cycle.more_body:
            return min(self._heard, self._begun + (BODY_PATIENCES - 1) * self._patience)
        return self._heard if self._is_idle else now

    def _end_with(self, error: LedgerError | RequestRefused) -> None:
        self.transport.write(_answer(refusal(error), keep_alive=False))
        self.transport.close()
        self._look_again(self._patience)

    # --- answers -------------------------------------------------------------------------------------------------------

    def on_response_complete(self) -> None:
        """Take the next request; no more are read while some wait."""
        super().on_response_complete()
        if self.transport.is_closing():
            return
        if self.pipeline:
            self.flow.pause_reading()
        elif self._rest:
            self._parse_rest()
        elif self._last_word is not None and self._is_idle:
            self._end_with(self._last_word)

    def pause_writing(self) -> None:
        """The client leaves answers unread."""
        super().pause_writing()
        self._count_held()

    def resume_writing(self) -> None:
        """It has read them."""
        super().resume_writing()
        self._count_held()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        # A request that waited for another one may have its body already: then nothing would call us again. And one whose
        # client leaves answers unread goes the way that waits for it.
        self._running = cycle
        if cycle.more_body and not self.flow.write_paused and _is_short(cycle):
            self._short = cycle
        else:
            super()._start_asgi_task(cycle, app)

    def on_message_complete(self) -> None:
        """The body is here."""
        self._quiet, self._in_body = 0, False
        super().on_message_complete()
        if (cycle := self._short) is not None and cycle is self.cycle:
            self._short = None
            self.loop.call_soon(self._take, cycle)  # not from within the parser: to it, a bug of ours is a bad request

    def _take(self, cycle: RequestResponseCycle) -> None:
        try:
            said = self._answer_at_once(cycle)
        except (LedgerError, RequestRefused) as error:
            said = refusal(error)
        except Exception as error:
            self._say(cycle, refusal(error))
            raise
        if said is not None:
            self._say(cycle, said)

    def _answer_at_once(self, cycle: RequestResponseCycle) -> Whole | None:
        """The answer; None where it comes with a commit. Raises LedgerError, RequestRefused."""
        front: Front = self.app  # what the server was made with
        scope, started = cycle.scope, time.perf_counter()
        headers = dict(scope["headers"])
        is_local = front.is_local(scope["server"], headers)
        if scope["method"] == "GET":
            front.check_reader(headers, is_local=is_local)
            return front.event(event_name(scope["path"]), b"")
        check_body_comes(headers)
        principal, media, body = front.principal(headers, is_local=is_local), media_of(headers), bytes(cycle.body)
        answer = front.parts.ingest.offer(body, media, principal, atomic=False)
        answer.add_done_callback(partial(self._committed, cycle, started, is_single(body, media)))
        return None

    def _committed(
        self, cycle: RequestResponseCycle, started: float, single: bool, answer: asyncio.Future[Appended]
    ) -> None:
        front: Front = self.app
        try:
            appended = answer.result()
            front.parts.metrics.appended(appended, time.perf_counter() - started)
            said = front.appended(appended, single=single)
        except LedgerError as error:
            said = refusal(error)
        except Exception as error:
            self._say(cycle, refusal(error))
            raise
        self._say(cycle, said)

    def _say(self, cycle: RequestResponseCycle, said: Whole) -> None:
        """Answer, and be ready for the next request."""
        front: Front = self.app
        front.parts.metrics.requested(cycle.scope["method"], said.status)
        cycle.response_started = cycle.response_complete = True
        if cycle.disconnected or self.transport.is_closing():
            return
        if CONNECTION_CLOSE in said.more:
            cycle.keep_alive = False
        self.transport.write(_answer(said, keep_alive=cycle.keep_alive))
        if not cycle.keep_alive:
            self.transport.close()
        self.on_response_complete()


def _is_short(cycle: RequestResponseCycle) -> bool:
    scope = cycle.scope
    if scope["query_string"] or cycle.waiting_for_100_continue:
        return False
    if scope["method"] == "GET":
        return bool(event_name(scope["path"])) and not any(
            name in (b"content-length", b"transfer-encoding") for name, _ in scope["headers"]
        )
    if scope["method"] != "POST" or scope["path"] != SUBMIT_PATH:
        return False
    # uvicorn stops reading at 64 KiB until somebody takes them: only bodies that will be there at once are waited for.
    lengths = [value for name, value in scope["headers"] if name == b"content-length"]
    return len(lengths) == 1 and len(lengths[0]) <= _PLAIN_LENGTH_MAX and int(lengths[0]) <= BYTES_ON_LOOP_MAX


def _answer(said: Whole, *, keep_alive: bool) -> bytes:
    """All bytes of an answer, in the order that the long way has them in."""
    more = list(said.more)
    if not keep_alive and CONNECTION_CLOSE not in more:
        more.append(CONNECTION_CLOSE)
    return b"%bcontent-type: %b\r\ncontent-length: %d\r\n%b%b\r\n%b" % (
        STATUS_LINE[said.status],
        said.media,
        len(said.body),
        _ALWAYS,
        _lines(more) if more else b"",
        said.body,
    )

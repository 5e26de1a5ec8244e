"""One connection, without a network: which requests go the short way, that both ways say the same, and what a connection may cost."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, cast

import msgspec
import pytest
from litestar.types import Receive, Scope, Send
from uvicorn.server import ServerState

from decision_dna.ledger.ledger import Ledger
from decision_dna.ledger.views import event_view
from decision_dna.ledger.writer import QUEUE_EVENTS_MAX, Appended
from decision_dna.schemas.claims import BATCH_EVENTS_MAX
from decision_dna.schemas.receipts import Problem
from decision_dna.schemas.submissions import BODY_BYTES_MAX
from decision_dna.service.http.app import application
from decision_dna.service.http.bare import Front, Whole
from decision_dna.service.http.running import running
from decision_dna.service.http.server import config_of
from decision_dna.service.http.wire import HEAD_BYTES_MAX, PIECE_BYTES, Wire
from decision_dna.service.ingest import BYTES_IN_HAND_MAX, BYTES_ON_LOOP_MAX
from decision_dna.service.settings import Secret, Settings
from tests.ledger.memory_log import new_log
from tests.ledger.samples import draft
from tests.service.serving import PROBLEM, event, new_id

SECONDS_MAX = 30
WRITE_BYTES_MAX = 64 * 1024
"""From so many unread bytes on a transport asks for no more, as uvloop's does."""


class Answer(msgspec.Struct):
    """An answer, taken apart."""

    status: int
    headers: dict[str, str]
    body: bytes


class Line(asyncio.Transport):
    """A transport whose other end reads nothing, until `read` does; the service was reached at `address`."""

    def __init__(self, address: str = "127.0.0.1") -> None:
        super().__init__()
        self.address = address
        self.wire: Wire | None = None
        self.sent = bytearray()
        self.closed, self.aborted, self.reading = False, False, True
        self._moved = asyncio.Event()

    def write(self, data: Any) -> None:
        self.sent += data
        self._moved.set()
        if len(self.sent) > WRITE_BYTES_MAX and self.wire is not None:
            self.wire.pause_writing()

    def close(self) -> None:
        self.closed = True
        self._moved.set()

    def abort(self) -> None:
        self.aborted = True
        self.close()

    def get_write_buffer_size(self) -> int:
        return len(self.sent)

    def is_closing(self) -> bool:
        return self.closed

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return (self.address, 8420) if name == "sockname" else default

    async def answers(self, count: int) -> list[Answer]:
        """The next so many answers; waits for them."""
        found: list[Answer] = []
        while len(found) < count:
            answer = self._whole()
            if answer is not None:
                found.append(answer)
                continue
            if self.wire is not None:
                self.wire.resume_writing()  # what was there is read
            await self.moved()
        return found

    async def end(self) -> None:
        """Wait until the connection is closed."""
        while not self.closed:
            await self.moved()

    async def moved(self) -> None:
        """Wait until something happens."""
        await asyncio.wait_for(self._moved.wait(), SECONDS_MAX)
        self._moved.clear()

    def _whole(self) -> Answer | None:
        head, gap, rest = bytes(self.sent).partition(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        headers = dict(line.split(": ", 1) for line in lines)
        length = int(headers.get("content-length", 0))
        if not gap or len(rest) < length:
            return None
        self.sent = self.sent[len(head) + 4 + length :]
        status = int(first.split()[1])
        if status == 100:
            return self._whole()
        return Answer(status, headers, rest[:length])


class Noting(Front):
    """A front that notes what came to it the long way."""

    def __init__(self, front: Front) -> None:
        self.__dict__.update(front.__dict__)
        self.long = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.long += 1
        await super().__call__(scope, receive, send)


class House:
    """A running service, and as many connections to it as a test wants."""

    def __init__(self, ledger: Ledger, front: Noting, settings: Settings) -> None:
        self.ledger, self.front = ledger, front
        self.config, self.state = config_of(front, settings), ServerState()
        self.config.load()

    def connect(self, address: str = "127.0.0.1") -> Line:
        """A new connection."""
        line = Line(address)
        line.wire = Wire(self.config, self.state, {})
        line.wire.connection_made(line)
        return line

    async def ask(self, request: bytes, address: str = "127.0.0.1") -> Answer:
        """One request on a connection of its own."""
        line = self.connect(address)
        cast(Wire, line.wire).data_received(request)
        (answer,) = await line.answers(1)
        cast(Wire, line.wire).connection_lost(None)
        return answer


@asynccontextmanager
async def house(**chosen: Any) -> AsyncIterator[House]:
    settings = Settings(port=0, **chosen)
    ledger, _, _ = new_log()
    with ledger:
        ledger.heartbeat()
        async with running(ledger, settings) as parts:
            here = House(ledger, Noting(application(parts)), settings)
            try:
                yield here
            finally:  # a task that waits for its client to read can't be cancelled
                for wire in list(here.state.connections):
                    wire.connection_lost(None)


def post(said: Any, *lines: str, path: str = "/api/events", media: str = "application/json") -> bytes:
    body = said if isinstance(said, bytes) else msgspec.json.encode(said)
    return asked("POST", path, f"content-type: {media}", f"content-length: {len(body)}", *lines) + body


def asked(method: str, path: str, *lines: str) -> bytes:
    return "\r\n".join([f"{method} {path} HTTP/1.1", "host: localhost", *lines, "", ""]).encode()


def problem_of(answer: Answer) -> Problem:
    assert answer.headers["content-type"] == PROBLEM
    return msgspec.json.decode(answer.body, type=Problem)


# --- which way ---------------------------------------------------------------------------------------------------------

ID = new_id()
KNOWN = event(1, id=ID)  # said before each test: saying it again moves no head
KEY = "x-api-key: secret"
CHUNKED = asked("POST", "/api/events", "content-type: application/json", KEY, "transfer-encoding: chunked")
SHORT: list[tuple[str, bytes, int]] = [
    ("an event by its seq", asked("GET", "/api/events/2"), 200),
    ("an event by its id", asked("GET", f"/api/events/{ID}"), 200),
    ("no such event", asked("GET", "/api/events/999"), 404),
    ("no name at all", asked("GET", "/api/events/%20"), 404),
    ("a number of more digits than Python reads", asked("GET", f"/api/events/{'9' * 4301}"), 404),
    ("for another host", asked("GET", "/api/events/2").replace(b"localhost", b"evil.example"), 421),
    ("for the last time", asked("GET", "/api/events/2", "connection: close"), 200),
    (
        "by who would rather speak another protocol",
        asked("GET", "/api/events/2", "connection: Upgrade", "upgrade: h2c"),
        200,
    ),
    ("said again", post(KNOWN, KEY), 200),
    ("said again in a list", post([KNOWN, KNOWN], KEY), 200),
    ("partly refused", post([KNOWN, {"type": "x.seen"}], KEY), 207),
    ("refused", post({**KNOWN, "payload": {}}, KEY), 409),
    ("not JSON", post(b"{oops", KEY), 400),
    ("no media type of ours", post(KNOWN, KEY, media="text/plain"), 415),
    ("without the key", post(KNOWN), 401),
    (
        "by who would rather send its body in another protocol",
        post(KNOWN, KEY, "connection: keep-alive, Upgrade", "upgrade: h2c"),
        400,
    ),
    ("a list in MessagePack", post(msgspec.msgpack.encode([1]), KEY, media="application/msgpack"), 207),
]
LONG: list[tuple[str, bytes, int]] = [
    ("a page", asked("GET", "/api/events"), 200),
    ("a proof", asked("GET", "/api/events/2/proof"), 200),
    ("a question about an event", asked("GET", "/api/events/2?size=1"), 400),
    ("with a body", asked("GET", "/api/events/2", "content-length: 2") + b"{}", 200),
    ("of another method", asked("DELETE", "/api/events/2"), 405),
    ("with a query", post(KNOWN, KEY, path="/api/events?atomic=true"), 200),
    ("who waits to be asked for it", post(KNOWN, KEY, "expect: 100-continue"), 200),
    ("in chunks", CHUNKED + b"2\r\n[]\r\n0\r\n\r\n", 400),
    (
        "too large in chunks, and not at its end",
        CHUNKED + b"%x\r\n%b\r\n" % (BODY_BYTES_MAX + 1, bytes(BODY_BYTES_MAX + 1)),
        413,
    ),
    (
        "of a length with more digits than Python reads",
        asked("POST", "/api/events", "content-type: application/json", KEY, f"content-length: {'0' * 4301}1") + b"1",
        400,
    ),
    ("too large for the loop", post(b" " * BYTES_ON_LOOP_MAX + msgspec.json.encode(KNOWN), KEY), 200),
]


@pytest.mark.parametrize(("request_", "status"), [case[1:] for case in SHORT], ids=[case[0] for case in SHORT])
async def test_what_goes_the_short_way_gets_the_answer_of_the_long_way(request_: bytes, status: int) -> None:
    async with house(master_api_key=Secret("secret")) as here:
        await here.ask(post(KNOWN, KEY))
        assert here.front.long == 0
        short = await here.ask(request_)
        assert (short.status, here.front.long) == (status, 0)
        long = await here.ask(request_.replace(b"\r\n", b"\r\nexpect: 100-continue\r\n", 1))
        assert here.front.long == 1
        assert (short.status, list(short.headers.items()), short.body) == (
            long.status,
            list(long.headers.items()),
            long.body,
        )


@pytest.mark.parametrize(("request_", "status"), [case[1:] for case in LONG], ids=[case[0] for case in LONG])
async def test_what_is_out_of_the_ordinary_goes_the_long_way(request_: bytes, status: int) -> None:
    async with house(master_api_key=Secret("secret")) as here:
        await here.ask(post(KNOWN, KEY))
        answer = await here.ask(request_)
        assert (answer.status, here.front.long) == (status, 1)


def ways(request: bytes) -> list[bytes]:
    """A request as the short way takes it, and as it does not."""
    return [request, request.replace(b"\r\n", b"\r\nexpect: 100-continue\r\n", 1)]


BEYOND: list[tuple[str, str]] = [
    ("localhost", "192.0.2.1"),  # reached where others can reach it
    ("dna.example", "127.0.0.1"),  # under a name that others use: a proxy passed it on
    ("dna.example", "192.0.2.1"),
]


@pytest.mark.parametrize(("name", "address"), BEYOND)
async def test_reading_an_event_from_another_machine_needs_the_key(name: str, address: str) -> None:
    """Both ways alike, also where no key is set: then nobody has it."""
    for key in ("secret", ""):
        async with house(master_api_key=Secret(key), hosts=("dna.example",)) as here:
            for request in ways(asked("GET", "/api/events/1").replace(b"localhost", name.encode())):
                refused = await here.ask(request, address)
                assert (refused.status, refused.headers["www-authenticate"]) == (401, "Bearer")
                right = request.replace(b"\r\n", b"\r\nx-api-key: secret\r\n", 1)
                assert (await here.ask(right, address)).status == (200 if key else 401)
                wrong = request.replace(b"\r\n", b"\r\nx-api-key: other\r\n", 1)
                assert (await here.ask(wrong, address)).status == 401
                local = request.replace(name.encode(), b"localhost")
                assert (await here.ask(local)).status == 200
            assert here.front.long > 0


@pytest.mark.parametrize("name_address", BEYOND)
async def test_submitting_from_another_machine_needs_a_key_even_where_none_is_set(
    name_address: tuple[str, str],
) -> None:
    async with house(hosts=("dna.example",)) as here:
        size = here.ledger.reader.size
        for request in ways(post(event(1)).replace(b"localhost", name_address[0].encode())):
            assert (await here.ask(request, name_address[1])).status == 401
        assert here.ledger.reader.size == size


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/api/events/1", 200),
        ("/api/events/999", 404),
        ("/api/events?limit=1", 200),
        ("/api/events?limit=0", 400),
        ("/api/stream?from_seq=0", 200),
        ("/api/health", 200),
        ("/schema", 200),
        ("/checkpoint", 200),
        ("/tile/entries/000.p/1", 200),
        ("/tile/0/001", 404),
        ("/nowhere", 404),
    ],
)
async def test_head_is_answered_as_get_and_without_a_body(path: str, status: int) -> None:
    """By the bare routes and the framework alike: what follows the head on the connection is the next answer."""
    async with house() as here:
        line = here.connect()
        cast(Wire, line.wire).data_received(asked("HEAD", path) + asked("GET", "/checkpoint"))
        while line.sent.count(b"HTTP/1.1 ") < 2:
            await line.moved()
        head, following = bytes(line.sent).split(b"\r\n\r\n", 1)
        assert following.startswith(b"HTTP/1.1 200 OK\r\n")
        words = head.decode().split("\r\n")
        assert int(words[0].split()[1]) == status
        if path.startswith("/api/stream"):
            assert "content-type: text/event-stream; charset=utf-8" in words
            return
        got = await here.ask(asked("GET", path))
        assert words[1:] == [f"{name}: {value}" for name, value in got.headers.items()]


@pytest.mark.parametrize("path", ["/api/events/1/", "/api/events/", "/api/streams/", "/checkpoint/", "/nowhere/"])
async def test_no_path_ends_in_a_slash(path: str) -> None:
    async with house() as here:
        assert (await here.ask(asked("GET", path))).status == 404


async def test_both_ways_are_counted() -> None:
    async with house() as here:
        await here.ask(post(event(1)))
        await here.ask(asked("GET", "/api/events/1"))
        await here.ask(ways(asked("GET", "/api/events/1"))[1])
        parts = here.front.parts
        assert parts.metrics.performance(0, 0, 0).appended_events == 1
        text = parts.metrics.exposition(0, 0, {}).decode()
        assert 'dna_http_requests_total{method="GET",status="200"} 2.0' in text
        assert 'dna_http_requests_total{method="POST",status="201"} 1.0' in text


# --- one connection ----------------------------------------------------------------------------------------------------


async def test_requests_in_one_packet_are_answered_in_their_order() -> None:
    """Five hundred behind one that waits for its commit: more than could be answered from within each other."""
    async with house() as here:
        line = here.connect()
        many = [post(event(1)), *[asked("GET", f"/api/events/{at % 3}") for at in range(500)], post(event(2))]
        cast(Wire, line.wire).data_received(b"".join(many))
        answers = await line.answers(502)
        assert [answer.status for answer in answers] == [201, *[200] * 500, 201]
        assert [msgspec.json.decode(answer.body)["seq"] for answer in answers] == [2, *[n % 3 for n in range(500)], 3]


async def test_a_request_may_come_byte_by_byte() -> None:
    async with house() as here:
        line = here.connect()
        for byte in post(event(1)) + asked("GET", "/api/events/1"):
            cast(Wire, line.wire).data_received(bytes([byte]))
        assert [answer.status for answer in await line.answers(2)] == [201, 200]


async def test_whoever_reads_no_answers_is_given_no_more_of_them() -> None:
    async with house() as here:
        seq = here.ledger.append([draft(1)]).outcomes[0].seq  # type: ignore[union-attr]
        line, sent = here.connect(), 0
        while line.reading and sent < 1000:
            cast(Wire, line.wire).data_received(asked("GET", f"/api/events/{seq}"))
            sent += 1
            await asyncio.sleep(0)  # a turn of the loop
        one = len(msgspec.json.encode(event_view(here.ledger.reader.event(seq)))) + 1000
        assert len(line.sent) < WRITE_BYTES_MAX + one
        assert not line.reading
        assert [answer.status for answer in await line.answers(sent)] == [200] * sent  # now it reads, and gets them all


async def test_whoever_asks_on_and_reads_no_answers_is_read_no_further() -> None:
    """Each packet is far more requests than their answers have room for, and comes only while somebody reads."""
    async with house() as here:
        seq = here.ledger.append([draft(1)]).outcomes[0].seq  # type: ignore[union-attr]
        line, packets = here.connect(), 0
        for _ in range(5000):
            if line.reading and packets < 10:
                cast(Wire, line.wire).data_received(asked("GET", f"/api/events/{seq}") * 500)
                packets += 1
            await asyncio.sleep(0)  # a turn of the loop
        assert (packets, line.reading) == (1, False)
        assert [answer.status for answer in await line.answers(500)] == [200] * 500
        assert line.reading


async def test_wire_parses_one_request_ahead_of_its_answers() -> None:
    """A read of the socket full of requests is kept as the bytes that it is: parsed, they would take a hundred times as much."""
    async with house() as here:
        line = here.connect()
        wire, count = cast(Wire, line.wire), 4000
        wire.data_received(asked("GET", "/api/events/1") * count)
        assert (len(wire.pipeline), line.reading) == (0, False)
        assert 0 < here.front.backlog.bytes < count * len(asked("GET", "/api/events/1"))
        assert [answer.status for answer in await line.answers(count)] == [200] * count
        assert (here.front.backlog.bytes, line.reading) == (0, True)


CHUNK = asked("POST", "/api/events", "content-type: application/json", "transfer-encoding: chunked")
MIXED = [
    post(event(1)),
    asked("GET", "/api/events/1"),
    CHUNK + b"b\r\n\r\n\r\n \r\n\r\n \t\r\n2\r\n[]\r\n0\r\nx: y\r\n\r\n",
    post(b"\r\n\r\n" * 3000 + msgspec.json.encode(event(2))),
    post(b" " * 70_000 + msgspec.json.encode(event(3))),
    asked("GET", "/api/events/999", f"x-long: {'y' * 9000}"),
    post(event(4), path="/api/events?wait=durable"),
    asked("GET", "/api/events?limit=1"),
]
SAID = [201, 200, 400, 201, 201, 404, 201, 200]


@pytest.mark.parametrize("seed", range(20))
async def test_wire_answers_are_the_same_however_the_bytes_are_cut(seed: int) -> None:
    """The pieces that the parser is given depend on how the network cuts a stream of requests; the answers do not."""
    draw = random.Random(seed)
    async with house() as here:
        line, stream, answers = here.connect(), b"".join(MIXED), list[Answer]()
        at = 0
        while at < len(stream):
            while not line.reading:
                answers += await line.answers(1)
            end = at + draw.choice([1, 3, 50, 500, 5000, 300_000])
            cast(Wire, line.wire).data_received(stream[at:end])
            at = end
        answers += await line.answers(len(MIXED) - len(answers))
        assert [answer.status for answer in answers] == SAID


LONG_LINE = b"x" * (HEAD_BYTES_MAX + PIECE_BYTES)


@pytest.mark.parametrize(
    "request_",
    [
        b"GET /" + LONG_LINE,
        b"GET / HTTP/1.1\r\nhost: localhost\r\nx: " + LONG_LINE,
        b"GET / HTTP/1.1\r\nhost: localhost\r\n" + b"x: y\r\n" * HEAD_BYTES_MAX,
        b"\r\n" * HEAD_BYTES_MAX,
        CHUNK + b"2\r\n[]\r\n0\r\nx: " + LONG_LINE,
        CHUNK + b"2;" + LONG_LINE,
    ],
    ids=["path", "header", "headers", "empty lines", "trailer", "chunk"],
)
async def test_wire_refuses_a_head_that_does_not_end(request_: bytes) -> None:
    """The parser keeps a head, or a line of a trailer, until it is complete, however long it grows."""
    async with house() as here:
        line = here.connect()
        cast(Wire, line.wire).data_received(request_)
        (answer,) = await line.answers(1)
        assert (answer.status, answer.headers["connection"], line.closed) == (431, "close", True)


async def test_backlog_ends_the_connection_that_is_unread_for_longest() -> None:
    """What all connections hold together has a limit, and who reads is not ended for it."""
    async with house(held_bytes_max=3 * WRITE_BYTES_MAX) as here:
        seq = here.ledger.append([draft(1)]).outcomes[0].seq  # type: ignore[union-attr]
        ask, lines = asked("GET", f"/api/events/{seq}") * 200, list[Line]()
        for _ in range(4):
            lines.append(here.connect())
            cast(Wire, lines[-1].wire).data_received(ask)
            while len(lines[-1].sent) <= WRITE_BYTES_MAX and not lines[-1].closed:
                await lines[-1].moved()
        assert [line.aborted for line in lines] == [True, True, False, False]
        assert here.front.backlog.bytes <= 3 * WRITE_BYTES_MAX
        for line in lines[2:]:
            assert [answer.status for answer in await line.answers(200)] == [200] * 200
        assert here.front.backlog.bytes == 0


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_what_follows_a_request_for_another_protocol_is_no_request(method: str) -> None:
    """A body that was not read could otherwise be made to look like one."""
    async with house() as here:
        size, line = here.ledger.reader.size, here.connect()
        upgrade = post(
            post(event(1)),
            "connection: Upgrade",
            "upgrade: h2c",
            path="/api/events" if method == "POST" else "/checkpoint",
        )
        cast(Wire, line.wire).data_received(upgrade.replace(b"POST", method.encode(), 1))
        for rest in (post(event(2)), b"\x16\x03\x01 and no HTTP at all"):
            cast(Wire, line.wire).data_received(rest)
        (answer,) = await line.answers(1)
        assert (answer.status, answer.headers["connection"]) == (400 if method == "POST" else 200, "close")
        assert (here.ledger.reader.size, bytes(line.sent), line.closed) == (size, b"", True)


@pytest.mark.parametrize(
    ("taken", "garbage", "told", "appended"),
    [
        ([], b"no HTTP at all\r\n\r\n", [400], 0),
        ([post(event(1))], b"no HTTP at all\r\n\r\n", [201, 400], 1),
        ([post(event(1)), post(event(2))], b"\x16\x03\x01", [201, 201, 400], 2),
        ([asked("GET", "/api/events?limit=1")], b"G\x00\r\n\r\n", [200, 400], 0),
        ([asked("GET", "/api/events/1"), post(event(1))], b"\x00", [200, 201, 400], 1),
        ([post(event(1))], CHUNK + b"zz\r\n", [201, 400], 1),
        ([], CHUNK + b"zz\r\n", [400], 0),
        ([], CHUNK + b"2\r\n[]zz", [400], 0),
    ],
)
@pytest.mark.parametrize("at_once", [True, False])
async def test_what_was_taken_is_answered_before_what_is_no_request(
    taken: list[bytes], garbage: bytes, told: list[int], appended: int, at_once: bool
) -> None:
    """It was done, and whoever asked for it must hear so."""
    async with house() as here:
        size, line = here.ledger.reader.size, here.connect()
        packets = [b"".join([*taken, garbage])] if at_once else [*taken, garbage]
        for packet in packets:
            cast(Wire, line.wire).data_received(packet)
        answers = await line.answers(len(told))
        assert [answer.status for answer in answers] == told
        await line.end()
        cast(Wire, line.wire).connection_lost(None)
        assert (bytes(line.sent), here.ledger.reader.size) == (b"", size + appended)
        assert problem_of(answers[-1]).status == 400


async def test_nothing_is_said_into_a_stream_that_is_open() -> None:
    async with house() as here:
        line = here.connect()
        cast(Wire, line.wire).data_received(asked("GET", "/api/stream?from_seq=0"))
        while b"id: 1" not in line.sent:
            await line.moved()
        cast(Wire, line.wire).data_received(b"no HTTP at all\r\n\r\n")
        here.ledger.append([draft(1)])
        while b"id: 2" not in line.sent:
            await line.moved()
        assert line.sent.count(b"HTTP/1.1") == 1
        cast(Wire, line.wire).connection_lost(None)


async def test_a_subscriber_that_goes_is_gone_also_where_it_asked_on() -> None:
    async with house(subscribers_max=1) as here:
        first, second = here.connect(), here.connect()
        cast(Wire, first.wire).data_received(asked("GET", "/api/stream?from_seq=0") + asked("GET", "/api/events/1"))
        while b"id: 1" not in first.sent:
            await first.moved()
        cast(Wire, first.wire).connection_lost(None)
        while here.front.parts.tail.subscribers:
            await asyncio.sleep(0)  # a turn of the loop
        cast(Wire, second.wire).data_received(asked("GET", "/api/stream?from_seq=0"))
        while b"id: 1" not in second.sent:
            await second.moved()


async def test_what_stands_behind_a_body_in_chunks_is_no_header() -> None:
    async with house() as here:
        body = msgspec.json.encode(event(1))
        wrong = CHUNK.replace(b"localhost", b"evil.example") + b"%x\r\n%b\r\n0\r\nhost: localhost\r\n\r\n" % (
            len(body),
            body,
        )
        assert (await here.ask(wrong)).status == 421
        right = CHUNK + b"%x\r\n%b\r\n0\r\nhost: evil.example\r\n\r\n" % (len(body), body)
        assert (await here.ask(right)).status == 201


async def test_a_client_that_goes_away_leaves_its_event() -> None:
    async with house() as here:
        line = here.connect()
        cast(Wire, line.wire).data_received(post(event(1)))
        cast(Wire, line.wire).connection_lost(None)
        assert (await here.ask(post(event(2)))).status == 201
        assert (here.ledger.reader.size, bytes(line.sent)) == (4, b"")


async def test_what_was_taken_is_answered_before_a_connection_ends() -> None:
    async with house() as here:
        line, idle = here.connect(), here.connect()
        cast(Wire, line.wire).data_received(post(event(1)))
        for each in (line, idle):
            cast(Wire, each.wire).shutdown()
        assert (line.closed, idle.closed) == (False, True)
        (answer,) = await line.answers(1)
        assert (answer.status, answer.headers["connection"], line.closed) == (201, "close", True)


class Broken(Noting):
    """A front with a bug."""

    def event(self, name: str, query: bytes) -> Whole:
        raise ZeroDivisionError(name)

    def appended(self, appended: Appended, *, single: bool) -> Whole:
        raise ZeroDivisionError(single)


async def test_a_bug_is_told_without_its_details_and_does_not_pass_in_silence() -> None:
    async with house() as here:
        here.config.loaded_app = Broken(here.front)
        line, heard = here.connect(), list[BaseException]()
        asyncio.get_running_loop().set_exception_handler(lambda _, said: heard.append(said["exception"]))
        cast(Wire, line.wire).data_received(post(event(1)))
        answers = await line.answers(1)
        cast(Wire, line.wire).data_received(asked("GET", "/api/events/1"))
        answers += await line.answers(1)
        assert [type(each) for each in heard] == [ZeroDivisionError] * 2
        assert [(answer.status, "Zero" in str(answer.body)) for answer in answers] == [(500, False)] * 2


# --- limits ------------------------------------------------------------------------------------------------------------


async def test_one_connection_too_many_is_told_so() -> None:
    async with house(connections_max=2) as here:
        lines = [here.connect() for _ in range(3)]
        (answer,) = await lines[2].answers(1)
        assert (answer.status, problem_of(answer).title, answer.headers["retry-after"]) == (503, "Busy", "1")
        assert [line.closed for line in lines] == [False, False, True]
        for line in lines[1:]:
            cast(Wire, line.wire).connection_lost(None)
        assert (await here.ask(asked("GET", "/api/events/1"))).status == 200


@pytest.mark.parametrize(
    ("begun", "told"),
    [
        (b"", [408]),
        (b"\r\n", [408]),
        (b"GET /api/ev", [408]),
        (asked("GET", "/api/events/1") + b"GET /", [200, 408]),
        (post(event(1))[:-1], []),
        (post(event(1), path="/api/events?wait=durable")[:-1], []),
        (post(event(1))[:-1].replace(b"content-length", b"expect: 100-continue\r\ncontent-length"), []),
    ],
)
async def test_whoever_never_ends_a_request_is_let_go(begun: bytes, told: list[int]) -> None:
    async with house(request_seconds=0.05) as here:
        line = here.connect()
        cast(Wire, line.wire).data_received(begun)
        assert [answer.status for answer in await line.answers(len(told))] == told
        await line.end()
        cast(Wire, line.wire).connection_lost(None)
        assert here.ledger.reader.size == 2


@pytest.mark.parametrize("path", ["/api/events/1", "/api/stream?from_seq=0", "/checkpoint"])
async def test_whoever_reads_nothing_is_let_go(path: str) -> None:
    """Its answers wait, and so it is not read either."""
    async with house(request_seconds=0.05) as here:
        line = here.connect()
        cast(Wire, line.wire).data_received(asked("GET", path) * 500)
        await line.end()
        assert line.aborted


async def test_a_connection_that_is_closed_does_not_wait_for_its_last_answer_to_be_read() -> None:
    async with house(request_seconds=0.05) as here:
        line = here.connect()
        cast(Wire, line.wire).data_received(asked("GET", "/api/events/1", "connection: close"))
        await line.end()
        while not line.aborted:
            await line.moved()
        assert [answer.status for answer in await line.answers(1)] == [200]


async def test_a_connection_that_was_ended_is_told_nothing_more() -> None:
    async with house(request_seconds=0.05) as here:
        line = here.connect()
        await line.end()
        assert [answer.status for answer in await line.answers(1)] == [408]
        for _ in range(2):
            await here.connect().end()  # so a patience is over
        assert bytes(line.sent) == b""


async def test_whoever_reads_slowly_is_waited_for() -> None:
    async with house(request_seconds=0.05) as here:
        line = here.connect()
        cast(Wire, line.wire).data_received(asked("GET", "/api/stream?from_seq=0"))
        line.sent += bytes(10_000_000)
        for _ in range(3):
            late = here.connect()
            while not late.closed:  # so a patience is over
                del line.sent[0]  # a byte was read
                await asyncio.sleep(0)
            assert not line.closed
        assert line.sent


async def test_a_body_that_drips_is_waited_for_and_not_for_ever() -> None:
    async with house(request_seconds=0.05) as here:
        line, patiences = here.connect(), 0
        cast(Wire, line.wire).data_received(
            asked("POST", "/api/events", "content-type: application/json", "content-length: 10000000")
        )
        while not line.closed:
            late = here.connect()
            while not late.closed and not line.closed:
                cast(Wire, line.wire).data_received(b" ")
                await asyncio.sleep(0)
            patiences += late.closed
        assert 1 <= patiences <= 11


async def test_whoever_is_answered_keeps_nobody_waiting() -> None:
    """A subscriber says nothing for as long as it listens, and a client that is not read can't go on."""
    async with house(request_seconds=0.05) as here:
        listening, waiting = here.connect(), here.connect()
        cast(Wire, listening.wire).data_received(asked("GET", "/api/stream"))
        with here.ledger.writer.turn():  # nothing is committed meanwhile
            cast(Wire, waiting.wire).data_received(post(event(1)) + post(event(2)) + b"GET /")
            late = here.connect()
            await late.end()  # so a patience is over
            assert (listening.closed, waiting.closed, waiting.reading) == (False, False, False)
        assert [answer.status for answer in await waiting.answers(2)] == [201, 201]
        for line in (listening, waiting):
            cast(Wire, line.wire).connection_lost(None)


async def test_bodies_that_arrive_take_no_more_than_there_is_for_all() -> None:
    async with house() as here:
        large, ingest = post(b" " * BYTES_ON_LOOP_MAX + msgspec.json.encode(event(1))), here.front.parts.ingest
        for _ in range(2):  # what was refused is let go: the second time it is no worse
            ingest.hold(BYTES_IN_HAND_MAX - BYTES_ON_LOOP_MAX)
            answer = await here.ask(large)
            assert (answer.status, problem_of(answer).title, answer.headers["retry-after"]) == (503, "Busy", "1")
            ingest.hold(BYTES_ON_LOOP_MAX - BYTES_IN_HAND_MAX)
            assert (await here.ask(large)).status == 201


def fill_queue(here: House) -> None:
    rows = here.ledger.prepare([draft(1)], "local") * BATCH_EVENTS_MAX
    for _ in range(QUEUE_EVENTS_MAX // BATCH_EVENTS_MAX):
        here.ledger.writer.enqueue(rows)


@pytest.mark.parametrize(
    "made", [post, lambda said: post(said, path="/api/events?wait=durable")], ids=["short", "long"]
)
async def test_a_full_queue_says_when_to_come_again(made: Callable[[Any], bytes]) -> None:
    async with house() as here:
        with here.ledger.writer.turn():  # nothing is committed meanwhile
            fill_queue(here)
            answer = await here.ask(made(event(1)))
            assert (answer.status, problem_of(answer).title, answer.headers["retry-after"]) == (503, "Busy", "1")
            assert here.front.parts.ingest.in_hand == 0
        assert (await here.ask(asked("GET", "/api/events/1"))).status == 200

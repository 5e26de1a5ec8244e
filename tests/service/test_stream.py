"""Server-sent events from a real server: everything once, in order, whatever a subscriber does."""

import http.client
import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import pytest

from decision_dna.ledger.notes import open_checkpoint
from decision_dna.service.settings import Settings
from tests.ledger.samples import fill
from tests.service.serving import Service, event, service

SECONDS_MAX = 60


class Frame(NamedTuple):
    """One event of a stream, as the standard has it; `kind` is `message` where none is said."""

    kind: str
    id: str
    data: Any


class Subscriber:
    """Reads a stream frame by frame; comments are counted, not returned."""

    def __init__(self, response: http.client.HTTPResponse) -> None:
        self.response = response
        self.comments = 0

    def next(self) -> Frame:
        """The next frame; waits for it."""
        fields: dict[str, str] = {}
        while True:
            line = self.response.readline().decode().rstrip("\n")
            if line.startswith(":"):
                self.comments += 1
            elif line:
                name, _, value = line.partition(": ")
                fields[name] = value
            elif fields:
                return Frame(fields.get("event", "message"), fields.get("id", ""), json.loads(fields["data"]))
            elif self.response.closed or self.response.isclosed():
                raise EOFError

    def events(self, count: int) -> list[int]:
        """The seqs of the next so many events, whatever stands between them."""
        seqs: list[int] = []
        while len(seqs) < count:
            frame = self.next()
            if frame.kind == "message":
                assert frame.id == str(frame.data["seq"])
                seqs.append(frame.data["seq"])
        return seqs

    def until(self, kind: str) -> tuple[list[int], Frame]:
        """The seqs up to the next frame of a kind, and that frame."""
        seqs: list[int] = []
        while (frame := self.next()).kind != kind:
            if frame.kind == "message":
                seqs.append(frame.data["seq"])
        return seqs, frame


@contextmanager
def subscribed(address: str, query: str = "", **headers: str) -> Iterator[Subscriber]:
    where = urlsplit(address)
    connection = http.client.HTTPConnection(where.hostname, where.port, timeout=SECONDS_MAX)
    connection.request("GET", f"/api/stream{query}", headers=headers)
    response = connection.getresponse()
    assert response.status == 200, response.read()
    assert response.getheader("content-type") == "text/event-stream; charset=utf-8"
    try:
        yield Subscriber(response)
    finally:
        response.close()
        connection.close()


@pytest.fixture
def served(tmp_path):
    with service(tmp_path) as running:
        yield running


def test_what_stands_comes_first_then_what_comes_without_gap_or_repeat(served: Service) -> None:
    served.post([event(n) for n in range(700)])
    size = served.ledger.reader.size
    with subscribed(served.address, "?from_seq=0") as subscriber:
        seqs, frame = subscriber.until("caught_up")
        assert seqs == list(range(size))
        assert (frame.id, frame.data) == (str(size - 1), {"size": size})
        checkpoint = open_checkpoint(
            subscriber.until("checkpoint")[1].data["checkpoint"].encode(), [served.ledger.vkey]
        )
        assert checkpoint.size == size
        for number in range(20):
            served.post([event(number), event(number)])
        assert subscriber.events(40) == list(range(size, size + 40))


def test_an_event_in_the_stream_is_the_one_that_is_asked_for(served: Service) -> None:
    served.post(event(1))
    with subscribed(served.address, "?from_seq=2") as subscriber:
        assert subscriber.next().data == served.get("/api/events/2").json()


def test_without_a_seq_it_begins_now(served: Service) -> None:
    served.post(event(1))
    with subscribed(served.address) as subscriber:
        seqs, frame = subscriber.until("caught_up")
        assert seqs == []
        served.post(event(2))
        assert subscriber.events(1) == [frame.data["size"]]


def test_who_comes_back_goes_on_where_it_was(served: Service) -> None:
    """Each subscription reads a few, breaks off, and resumes: together they see everything once."""
    served.post([event(n) for n in range(600)])
    seen: list[int] = []
    last = ""
    while len(seen) < 600:
        headers = {"Last-Event-ID": last} if last else {}
        with subscribed(served.address, "?from_seq=2", **headers) as subscriber:
            seen += subscriber.events(100)
        last = str(seen[-1])
        served.post(event(0))
    assert seen == list(range(2, 602))


@pytest.mark.parametrize("query", ["type=x.*", "source=bot", "stream=x/raw", "subject=pool-1", "type=ledger.heartbeat"])
def test_a_filter_gives_what_the_query_gives(served: Service, query: str) -> None:
    fill(served.ledger, served.clock, rounds=3)
    expected = [view["seq"] for view in served.get(f"/api/events?limit=1000&{query}").json()["events"]]
    with subscribed(served.address, f"?from_seq=0&{query}") as subscriber:
        seqs, frame = subscriber.until("caught_up")
        assert seqs == expected != []
        assert frame.id == str(served.ledger.reader.size - 1)
    with subscribed(served.address, f"?{query}", **{"Last-Event-ID": frame.id}) as subscriber:
        assert subscriber.until("caught_up")[0] == []


def test_many_subscribers_each_see_everything(served: Service) -> None:
    first = served.ledger.reader.size
    with (
        subscribed(served.address, f"?from_seq={first}") as one,
        subscribed(served.address, f"?from_seq={first}") as two,
        subscribed(served.address, f"?from_seq={first}&source=dex") as three,
    ):
        for number in range(30):
            served.post([event(number), event(number, source="raw")])
        assert one.events(60) == two.events(60) == list(range(first, first + 60))
        assert three.events(30) == list(range(first, first + 60, 2))


def test_a_slow_reader_falls_behind_in_the_log_and_holds_nobody_up(served: Service) -> None:
    """It asks, reads nothing while far more than any buffer holds is appended, and then still gets all of it."""
    first, text = served.ledger.reader.size, "x" * 20_000
    with subscribed(served.address, f"?from_seq={first}") as slow:
        for number in range(10):
            answer = served.post([event(number, payload={"text": text}) for _ in range(100)])
            assert answer.status_code == 201
        with subscribed(served.address, f"?from_seq={first}") as quick:
            assert quick.events(1000) == list(range(first, first + 1000))
        assert slow.events(1000) == list(range(first, first + 1000))


def test_silence_is_broken_by_comments(tmp_path) -> None:
    with service(tmp_path, ping_seconds=0.05) as served, subscribed(served.address) as subscriber:
        subscriber.until("checkpoint")
        line = subscriber.response.readline()
        assert line == b": still here\n"
        served.post(event(1))
        assert len(subscriber.events(1)) == 1


def test_a_subscriber_that_went_away_is_forgotten(tmp_path) -> None:
    with service(tmp_path, subscribers_max=1) as served:
        with subscribed(served.address) as subscriber:
            subscriber.until("caught_up")
            problem = served.problem(served.get("/api/stream"), 503)
            assert "subscriptions" in problem.detail
            subscriber.response.close()
        figures = served.get("/api/health/metrics/performance").json()
        while figures["subscribers"]:  # the server hears of it in its own time
            figures = served.get("/api/health/metrics/performance").json()
        with subscribed(served.address) as subscriber:
            subscriber.until("caught_up")


@pytest.mark.parametrize("query", ["?from_seq=x", "?from_seq=-1", "?colour=1", "?type=a*b", "?cause=1", "?from=2020"])
def test_a_subscription_that_is_none(served: Service, query: str) -> None:
    served.problem(served.get(f"/api/stream{query}"), 400)
    served.problem(served.get("/api/stream", **{"Last-Event-ID": "abc"}), 400)


def test_the_end_of_the_service_ends_every_stream(tmp_path) -> None:
    with service(tmp_path, shutdown_seconds=Settings().shutdown_seconds) as served:
        where = urlsplit(served.address)
        connection = socket.create_connection((where.hostname, where.port), timeout=SECONDS_MAX)
        connection.sendall(b"GET /api/stream?from_seq=0 HTTP/1.1\r\nhost: localhost\r\n\r\n")
        assert connection.recv(15) == b"HTTP/1.1 200 OK"
    said = b""
    while part := connection.recv(65_536):
        said += part
    connection.close()
    assert said.endswith(b"0\r\n\r\n")  # ended, not broken off

"""One HTTP exchange: connections that are kept, closed, or say more than they were asked."""

import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pytest

from decision_dna.ledger.exchange import Answer, Connection, Deadline, parse_address
from decision_dna.schemas.errors import Unavailable

ONE = b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\none"
TWO = b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\ntwo"
LAST = b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\nconnection: close\r\n\r\nlast"


@contextmanager
def scripted(*connections: Sequence[bytes]) -> Iterator[tuple[Connection, list[bytes]]]:
    """A server that answers the requests of each connection from a list, and closes it at the end of the list (b"": at once)."""
    requests: list[bytes] = []

    def serve(listening: socket.socket) -> None:
        for answers in connections:
            accepted, _ = listening.accept()
            with accepted:
                for answer in answers:
                    requests.append(accepted.recv(65_536))
                    if answer:
                        accepted.sendall(answer)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=serve, args=(listening,))
        thread.start()
        connection = Connection(parse_address(f"http://127.0.0.1:{listening.getsockname()[1]}"))
        try:
            yield connection, requests
        finally:
            connection.close()
            thread.join()


def ask(connection: Connection, method: str = "GET", seconds: float = 30.0, bytes_max: int = 100) -> Answer:
    return connection.exchange(method, "/x", Deadline(seconds), bytes_max=bytes_max)


def test_a_connection_is_kept_between_exchanges() -> None:
    """The second request goes over the connection of the first."""
    with scripted([ONE, TWO]) as (connection, requests):
        assert [ask(connection).body, ask(connection).body] == [b"one", b"two"]
        assert requests[0].startswith(b"GET /x HTTP/1.1\r\nhost: 127.0.0.1:")
        assert b"accept-encoding: identity\r\n" in requests[0].lower()


def test_a_kept_connection_that_was_closed_is_made_anew_for_a_question() -> None:
    """A connection that ends before a byte of its answer says nothing: a GET is asked once more, and only once."""
    with scripted([ONE, b""], [TWO]) as (connection, _):
        assert [ask(connection).body, ask(connection).body] == [b"one", b"two"]
    with scripted([ONE, b""], [b""]) as (connection, _):
        assert ask(connection).body == b"one"
        with pytest.raises(Unavailable, match="without an answer"):
            ask(connection)


def test_a_submission_is_not_sent_twice_by_the_connection() -> None:
    """Whether a POST arrived is not known: whoever asked decides whether to send it again."""
    with scripted([ONE, b""]) as (connection, requests):
        assert ask(connection).body == b"one"
        with pytest.raises(Unavailable):
            ask(connection, "POST")
        assert len(requests) <= 2


def test_an_answer_that_nobody_asked_for_is_nobodys() -> None:
    """What follows an answer, or comes before a question, is not the next answer."""
    with scripted([ONE + TWO], [LAST]) as (connection, _):
        assert [ask(connection).body, ask(connection).body] == [b"one", b"last"]


def test_bytes_are_counted_as_they_come() -> None:
    """A body past its limit ends the exchange, whether its length was said or not."""
    chunked = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\none\r\n0\r\n\r\n"
    for answer in (ONE, chunked):
        with scripted([answer]) as (connection, _), pytest.raises(Unavailable, match="2"):
            ask(connection, bytes_max=2)
        with scripted([answer]) as (connection, _):
            assert ask(connection, bytes_max=3).body == b"one"


def test_a_deadline_that_has_passed_asks_nothing() -> None:
    """No time, no exchange."""
    connection = Connection(parse_address("http://127.0.0.1:9"))
    with pytest.raises(Unavailable, match="within 0 s"):
        ask(connection, seconds=0)

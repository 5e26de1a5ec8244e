"""A server on loopback that stands in front of a real service and lies, stalls or floods as a fault says.

    with proxied(upstream, fault) as address:
        dna("show", address, 2)

A fault is a function (proxy, what was asked) -> the raw bytes of an answer, piece by piece, for ever if it likes.
"""

import http.client
import socketserver
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import NamedTuple
from urllib.parse import urlsplit

PACE_SECONDS = 0.02


class Asked(NamedTuple):
    """A request, as it came."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes


class Good(NamedTuple):
    """What the real service answers."""

    status: int
    body: bytes


Fault = Callable[["Proxy", Asked], Iterator[bytes]]


class Proxy(socketserver.ThreadingTCPServer):
    """Answers each request by its fault, and closes the connection."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, upstream: str, fault: Fault) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.upstream, self.fault = upstream, fault
        self.asked: list[Asked] = []
        self.kept: dict[str, Good] = {}
        self.stopping = threading.Event()

    @property
    def address(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self.server_address[1]}"

    def fetch(self, asked: Asked, upstream: str = "") -> Good:
        """Ask the real service, or another one."""
        where = urlsplit(upstream or self.upstream)
        connection = http.client.HTTPConnection(where.hostname or "", where.port, timeout=60)
        names = ("content-type", "accept-encoding")
        headers = {name: value for name, value in asked.headers.items() if name in names}
        try:
            connection.request(asked.method, asked.target, asked.body or None, headers)
            answer = connection.getresponse()
            return Good(answer.status, answer.read())
        finally:
            connection.close()

    def pause(self) -> bool:
        """Wait a moment; False when it is time to end."""
        return not self.stopping.wait(PACE_SECONDS)


class _Handler(socketserver.StreamRequestHandler):
    server: Proxy

    def handle(self) -> None:
        """One request, one answer."""
        with suppress(OSError):
            asked = self._read()
            if asked is not None:
                self.server.asked.append(asked)
                for piece in self.server.fault(self.server, asked):
                    if self.server.stopping.is_set():
                        return
                    self.wfile.write(piece)

    def _read(self) -> Asked | None:
        line = self.rfile.readline(65_536).decode("latin-1").split()
        headers: dict[str, str] = {}
        while (header := self.rfile.readline(65_536).decode("latin-1").strip()) != "":
            name, _, value = header.partition(":")
            headers[name.lower()] = value.strip()
        body = self.rfile.read(int(headers.get("content-length", "0")))
        return Asked(line[0], line[1], headers, body) if len(line) == 3 else None


@contextmanager
def proxied(upstream: str, fault: Fault) -> Iterator[Proxy]:
    """The proxy, for as long as it is needed."""
    with Proxy(upstream, fault) as proxy:
        thread = threading.Thread(target=proxy.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield proxy
        finally:
            proxy.stopping.set()
            proxy.shutdown()
            thread.join()


def answered(body: bytes, status: int = 200, *headers: str, length: int | None = None) -> bytes:
    """The bytes of an answer."""
    lines = [f"HTTP/1.1 {status} X", f"content-length: {len(body) if length is None else length}", "connection: close"]
    return "\r\n".join([*lines, *headers, "", ""]).encode() + body


def honest(proxy: Proxy, asked: Asked) -> Iterator[bytes]:
    """No fault: what the real service answers."""
    good = proxy.fetch(asked)
    yield answered(good.body, good.status)

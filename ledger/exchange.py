"""One HTTP/1.1 exchange at a time, under a budget that the other side cannot stretch.

    connection = Connection(parse_address("https://example.org/log"))
    answer = connection.exchange("GET", "/checkpoint", Deadline(30.0), bytes_max=65_536)

    time        one deadline covers name lookup, connecting, TLS, sending, informational answers, headers and body
    bytes       the body has at most `bytes_max`, everything received at most twice that and `HEAD_BYTES_MAX`
    encodings   `identity` is asked for; an answer with any other Content-Encoding is refused before its body is read
    redirects   are never followed: every status is the caller's to judge, and headers go to one address only

h11 parses; sockets are used directly, because every received byte must be counted and every wait bounded (decision 20).
"""

import ipaddress
import re
import select
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

from decision_dna.schemas.errors import Malformed, Unavailable

if TYPE_CHECKING:
    import h11

HEAD_BYTES_MAX = 64 * 1024
INFORMATIONAL_MAX = 16
RECEIVE_BYTES = 256 * 1024
SEND_BYTES = 64 * 1024

Headers = Sequence[tuple[str, str]]

_PORTS = {"http": 80, "https": 443}
_HOST = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9._-]{0,252}[A-Za-z0-9_])?", re.ASCII)
_PREFIX = re.compile(r"[A-Za-z0-9._~!$&'()*+,;=:@%/-]*", re.ASCII)


class Address(NamedTuple):
    """Where a service answers. `prefix` is the path that all of its paths are under, without a slash at its end."""

    scheme: str
    host: str
    port: int
    prefix: str

    @property
    def origin(self) -> str:
        """Scheme, host and port: two addresses of one origin reach the same server."""
        return f"{self.scheme}://{self.authority}"

    @property
    def authority(self) -> str:
        """Host and port as a Host header has them."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def is_loopback(self) -> bool:
        """Whether it can only be this machine. `localhost` is never looked up: it is 127.0.0.1 or ::1."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    @property
    def keeps_secrets(self) -> bool:
        """Whether a credential may be sent there: nobody on the way can read it."""
        return self.scheme == "https" or self.is_loopback


def parse_address(text: str) -> Address:
    """Return the address that a URL names. Raises Malformed for other schemes, credentials in it, a query or a fragment."""
    try:
        parts = urlsplit(text)
        host, port = (parts.hostname or "").lower(), parts.port
    except ValueError as error:
        raise Malformed(f"not the address of a service: {text[:200]!r}: {error}") from None
    if not host.isascii():
        with suppress(UnicodeError):
            host = host.encode("idna").decode()
    known_host = _is_ip(host) or _HOST.fullmatch(host) is not None
    other = "@" in parts.netloc or any(char in "?#" or char <= " " or char == "\x7f" for char in text)
    if parts.scheme not in _PORTS or not known_host or other or not _PREFIX.fullmatch(parts.path) or port == 0:
        raise Malformed(f"not the address of a service, such as https://example.org/log: {text[:200]!r}")
    return Address(parts.scheme, host, port or _PORTS[parts.scheme], parts.path.rstrip("/"))


def _is_ip(host: str) -> bool:
    try:
        return not getattr(ipaddress.ip_address(host), "scope_id", None)
    except ValueError:
        return False


class Deadline:
    """A moment after which nobody waits any more, `seconds` from now."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._until = time.monotonic() + seconds

    def left(self) -> float:
        """Return the seconds that are left. Raises Unavailable where none are."""
        left = self._until - time.monotonic()
        if left <= 0:
            raise Unavailable(f"no complete answer within {self.seconds:g} s")
        return left


class Answer(NamedTuple):
    """A complete answer."""

    status: int
    body: bytes


class Connection:
    """A connection to one address, kept open between exchanges. Not for several threads at once; close it when done."""

    def __init__(self, address: Address) -> None:
        self.address = address
        self._socket: socket.socket | None = None
        self._http: h11.Connection | None = None

    def exchange(
        self, method: str, target: str, deadline: Deadline, *, bytes_max: int, headers: Headers = (), body: bytes = b""
    ) -> Answer:
        """Send a request and return the answer. Raises Unavailable, with the reason, for everything but a complete answer."""
        kept = self._is_usable()
        try:
            return self._exchange(method, target, deadline, bytes_max, headers, body)
        except _ClosedAtOnceError as error:
            if not kept or method != "GET":
                raise self._failure(str(error)) from None
        try:  # a kept connection may be closed at any moment: a new one tells
            return self._exchange(method, target, deadline, bytes_max, headers, body)
        except _ClosedAtOnceError as error:
            raise self._failure(str(error)) from None

    def close(self) -> None:
        """Close the connection."""
        if self._socket is not None:
            self._socket.close()
        self._socket = self._http = None

    def _failure(self, reason: str) -> Unavailable:
        return Unavailable(f"{self.address.origin}: {reason}")

    def _exchange(
        self, method: str, target: str, deadline: Deadline, bytes_max: int, headers: Headers, body: bytes
    ) -> Answer:
        import h11

        try:
            if self._socket is None:
                self._socket = _connected(self.address, deadline)
                self._http = h11.Connection(h11.CLIENT, max_incomplete_event_size=HEAD_BYTES_MAX)
            assert self._http is not None
            self._send(self._http, method, target, deadline, headers, body)
            answer = self._receive(self._http, deadline, bytes_max)
        except (h11.RemoteProtocolError, h11.LocalProtocolError) as error:
            self.close()
            raise self._failure(f"it does not speak HTTP: {error}") from None
        except Unavailable as error:
            self.close()
            raise self._failure(str(error)) from None
        except TimeoutError:
            self.close()
            raise self._failure(f"no complete answer within {deadline.seconds:g} s") from None
        except OSError as error:
            self.close()
            raise self._failure(f"no connection: {error.strerror or error}") from None
        except BaseException:
            self.close()  # what was half read is nobody's next answer
            raise
        if self._http.our_state is h11.DONE and self._http.their_state is h11.DONE and not self._http.trailing_data[0]:
            self._http.start_next_cycle()
        else:
            self.close()
        return answer

    def _send(
        self, http: "h11.Connection", method: str, target: str, deadline: Deadline, headers: Headers, body: bytes
    ) -> None:
        import h11

        lines = [("host", self.address.authority), ("accept-encoding", "identity"), *headers]
        if method != "GET":
            lines.append(("content-length", str(len(body))))
        request = h11.Request(method=method, target=self.address.prefix + target, headers=lines)
        data = (http.send(request) or b"") + (http.send(h11.Data(data=body)) or b"")
        data += http.send(h11.EndOfMessage()) or b""
        connected, rest = self._connected(), memoryview(data)
        try:
            while rest:
                connected.settimeout(deadline.left())
                rest = rest[connected.send(rest[:SEND_BYTES]) :]
        except (BrokenPipeError, ConnectionResetError):
            pass  # it may have refused the request before its end, and said why

    def _receive(self, http: "h11.Connection", deadline: Deadline, bytes_max: int) -> Answer:
        import h11

        status, informational, received = 0, 0, 0
        body = bytearray()
        while True:
            deadline.left()
            event = http.next_event()
            if event is h11.NEED_DATA:
                data = self._received(deadline, began=bool(received))
                received += len(data)
                if received > 2 * bytes_max + HEAD_BYTES_MAX:
                    raise Unavailable(f"it sends more than {2 * bytes_max + HEAD_BYTES_MAX} bytes for one answer")
                http.receive_data(data)
            elif isinstance(event, h11.InformationalResponse):
                informational += 1
                if informational > INFORMATIONAL_MAX:
                    raise Unavailable(f"more than {INFORMATIONAL_MAX} informational answers to one request")
            elif isinstance(event, h11.Response):
                status = event.status_code
                _check_head(event, bytes_max)
            elif isinstance(event, h11.Data):
                body += event.data
                if len(body) > bytes_max:
                    raise Unavailable(f"an answer of more than {bytes_max} bytes")
            elif isinstance(event, h11.EndOfMessage):
                return Answer(status, bytes(body))
            else:
                raise Unavailable("the connection was closed in the middle of an answer")

    def _received(self, deadline: Deadline, *, began: bool) -> bytes:
        """Return what came next, empty at the end. Raises _ClosedAtOnceError where nothing came at all."""
        connected = self._connected()
        connected.settimeout(deadline.left())
        try:
            data = connected.recv(RECEIVE_BYTES)
        except ConnectionError:
            if began:
                raise
            data = b""
        if not data and not began:
            self.close()
            raise _ClosedAtOnceError("the connection was closed without an answer")
        return data

    def _connected(self) -> socket.socket:
        if self._socket is None:
            raise Unavailable("the connection is closed")
        return self._socket

    def _is_usable(self) -> bool:
        """Return whether a kept connection still stands; what comes before a request was sent is nobody's answer."""
        if self._socket is None:
            return False
        waiting = select.poll()
        waiting.register(self._socket, select.POLLIN)
        if waiting.poll(0):
            self.close()
        return self._socket is not None


class _ClosedAtOnceError(Exception):
    """The other side closed before a byte of its answer came."""


def _check_head(head: "h11.Response", bytes_max: int) -> None:
    """Raise Unavailable where the body must not be read."""
    for name, value in head.headers:
        if name == b"content-encoding" and value.strip().lower() not in (b"", b"identity"):
            raise Unavailable(f"an answer in the encoding {value[:40].decode('latin-1')!r}, which was not asked for")
        if name == b"content-length" and int(value) > bytes_max:
            raise Unavailable(f"an answer of {int(value)} bytes, at most {bytes_max} are taken")


def _connected(address: Address, deadline: Deadline) -> socket.socket:
    """Return a connected socket, behind TLS for https. Raises OSError, Unavailable."""
    found = list(_looked_up(address, deadline))
    failed: OSError = OSError(f"no address is known for {address.host}")
    for at, (family, where) in enumerate(found):
        connected = socket.socket(family, socket.SOCK_STREAM)
        try:
            connected.settimeout(deadline.left() / (len(found) - at))
            connected.connect(where)
            connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if address.scheme == "https":
                connected = _secured(connected, address.host, deadline)
        except OSError as error:
            connected.close()
            failed = error
        except BaseException:
            connected.close()
            raise
        else:
            return connected
    raise failed


def _secured(connected: socket.socket, host: str, deadline: Deadline) -> socket.socket:
    import ssl

    connected.settimeout(deadline.left())
    return ssl.create_default_context().wrap_socket(connected, server_hostname=host)


def _looked_up(address: Address, deadline: Deadline) -> Iterator[tuple[socket.AddressFamily, Any]]:
    """Yield where to connect. Only names of other machines are looked up, in a thread: the resolver knows no deadline."""
    if address.host == "localhost":
        yield socket.AF_INET, ("127.0.0.1", address.port)
        yield socket.AF_INET6, ("::1", address.port)
        return
    if _is_ip(address.host):
        yield socket.AF_INET6 if ":" in address.host else socket.AF_INET, (address.host, address.port)
        return
    results: SimpleQueue[list[Any] | OSError] = SimpleQueue()

    def look_up() -> None:
        try:
            results.put(socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM))
        except OSError as error:
            results.put(error)

    threading.Thread(target=look_up, daemon=True).start()
    try:
        found = results.get(timeout=deadline.left())
    except Empty:
        raise TimeoutError from None
    if isinstance(found, OSError):
        raise found
    yield from ((family, where) for family, _, _, _, where in found)

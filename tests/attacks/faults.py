"""What a server can do to whoever asks it, as a table: name -> fault (`tests.attacks.proxy`).

`TRANSPORT` breaks HTTP itself, `STATUS` answers with other statuses, `SHAPES` with other things than were asked for.
Every command that takes an address must end with exit code 3 and the reason, within its deadline and 300 MB.
"""

import gzip
from collections.abc import Callable, Iterator
from functools import cache
from itertools import repeat

from tests.attacks.proxy import Asked, Fault, Proxy, answered

HEAD = b"HTTP/1.1 200 OK\r\n"
MANY = 64 * 1024


@cache
def bomb(layers: int) -> bytes:
    """100 MB of zeros, compressed so often."""
    data = bytes(100_000_000)
    for _ in range(layers):
        data = gzip.compress(data, 9)
    return data


def flood(*begin: bytes, then: bytes) -> Fault:
    """A beginning, and then one thing for ever, as fast as it is taken."""

    def fault(proxy: Proxy, asked: Asked) -> Iterator[bytes]:
        yield from begin
        yield from repeat(then * (1 + MANY // len(then)))

    return fault


def drip(begin: bytes, then: bytes) -> Fault:
    """A beginning, and then a little at a time, for ever."""

    def fault(proxy: Proxy, asked: Asked) -> Iterator[bytes]:
        yield begin
        while proxy.pause():
            yield then

    return fault


def changed(path: str, change: Callable[[bytes], bytes]) -> Fault:
    """The real answers, but for those under a path."""

    def fault(proxy: Proxy, asked: Asked) -> Iterator[bytes]:
        good = proxy.fetch(asked)
        body = change(good.body) if asked.target.startswith(path) and good.status < 300 else good.body
        yield answered(body, good.status)

    return fault


def replaced(path: str, target: str) -> Fault:
    """The real answers, but for one path, which is answered as another one."""

    def fault(proxy: Proxy, asked: Asked) -> Iterator[bytes]:
        good = proxy.fetch(asked._replace(target=target) if asked.target.startswith(path) else asked)
        yield answered(good.body, good.status)

    return fault


def elsewhere(upstream: str, path: str = "/") -> Fault:
    """Another service's answers, under a path."""

    def fault(proxy: Proxy, asked: Asked) -> Iterator[bytes]:
        good = proxy.fetch(asked, upstream if asked.target.startswith(path) else "")
        yield answered(good.body, good.status)

    return fault


def fixed(*pieces: bytes) -> Fault:
    """These bytes, and the end of the connection."""
    return lambda proxy, asked: iter(pieces)


def silent(proxy: Proxy, asked: Asked) -> Iterator[bytes]:
    """Nothing, for ever."""
    while proxy.pause():
        yield b""


CHUNKED = HEAD + b"transfer-encoding: chunked\r\n\r\n"
LONG = HEAD + b"content-length: 60000\r\n\r\n"

TRANSPORT: dict[str, Fault] = {
    "silence": silent,
    "a body that drips": drip(LONG, b" "),
    "a head that drips": drip(b"", b"H"),
    "headers that drip": drip(HEAD, b"x-a: b\r\n"),
    "informational answers that drip": drip(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "chunks that drip": drip(CHUNKED, b"1\r\n \r\n"),
    "chunk extensions that drip": drip(CHUNKED + b"1;x=", b"x"),
    "endless informational answers": flood(then=b"HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n"),
    "endless headers": flood(HEAD, then=b"x-a: b\r\n"),
    "one endless header": flood(HEAD + b"x-a: ", then=b"b"),
    "endless status line": flood(b"HTTP/1.1 200 ", then=b"O"),
    "endless chunks of one byte": flood(CHUNKED, then=b"1\r\n \r\n"),
    "an endless chunk size": flood(CHUNKED, then=b"0"),
    "endless trailers": flood(CHUNKED + b"0\r\n", then=b"x-a: b\r\n"),
    "an endless body": flood(HEAD + b"connection: close\r\n\r\n", then=b"["),
    "a huge length": fixed(HEAD + b"content-length: 9000000000000000000\r\n\r\n"),
    "a length past every integer": fixed(HEAD + b"content-length: " + b"9" * 5000 + b"\r\n\r\n"),
    "two lengths": fixed(HEAD + b"content-length: 1\r\ncontent-length: 2\r\n\r\n[]"),
    "a gzip bomb": lambda proxy, asked: iter([answered(bomb(1), 200, "content-encoding: gzip")]),
    "stacked encodings": lambda proxy, asked: iter([answered(bomb(2), 200, "content-encoding: gzip, gzip")]),
    "an encoding nobody knows": fixed(answered(b"x", 200, "content-encoding: zstd")),
    "an end before the first byte": fixed(),
    "an end in the head": fixed(b"HTTP/1.1 200 OK\r\ncontent-le"),
    "an end in the body": fixed(answered(b"{", length=100)),
    "an end in a chunk": fixed(CHUNKED + b"5\r\nab"),
    "another protocol": fixed(b"SSH-2.0-OpenSSH_9.9\r\n"),
    "a switch of protocols": fixed(b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\n\r\n"),
    "null bytes": flood(then=b"\0"),
}

STATUS: dict[str, Fault] = {
    **{
        f"status {status}": fixed(answered(b"<p>sorry</p>", status))
        for status in (
            204,
            206,
            300,
            304,
            400,
            401,
            403,
            404,
            405,
            407,
            409,
            410,
            418,
            422,
            429,
            451,
            500,
            502,
            503,
            599,
        )
    },
    "a redirect": fixed(answered(b"", 302, "location: http://127.0.0.1:9/elsewhere")),
    "a redirect to itself": fixed(answered(b"", 307, "location: /")),
    "a redirect to a file": fixed(answered(b"", 301, "location: file:///etc/passwd")),
    "a problem of another status": fixed(
        answered(b'{"type":"","title":"NotFound","status":404,"detail":"no event"}', 500)
    ),
}

SHAPES: dict[str, Fault] = {
    "nothing": fixed(answered(b"")),
    "null": fixed(answered(b"null")),
    "a number": fixed(answered(b"1")),
    "a list": fixed(answered(b"[]")),
    "an object": fixed(answered(b"{}")),
    "a page of HTML": fixed(answered(b"<html><body>Welcome to the hotel</body></html>")),
    "bytes": fixed(answered(bytes(range(256)) * 32)),
    "zeros": fixed(answered(bytes(8192))),
    "deep lists": fixed(answered(b"[" * 1_000_000)),
    "many empty lists": lambda proxy, asked: iter([answered(b"[" + b"[]," * 3_900_000 + b"[]]")]),
    "many empty lists in an event": lambda proxy, asked: iter(
        [answered(b'{"seq":2,"payload":[' + b"[]," * 3_900_000 + b"[]]}")]
    ),
    "many short texts": lambda proxy, asked: iter([answered(b'{"causes":[' + b'"ab",' * 2_300_000 + b'"ab"]}')]),
    "fifteen million commas": lambda proxy, asked: iter([answered(b"," * 15_000_000)]),
}

"""The public log (c2sp.org/tlog-tiles) over HTTP: a checkpoint, tiles of hashes, and bundles of entries.

    GET /tile/entries/000            200   content-encoding: gzip
    accept-encoding: gzip                  vary: accept-encoding
                                           etag: "0f1e2d3c4b5a69788796a5b4c3d2e1f0"
                                           cache-control: public, max-age=31536000, immutable

Each resource has one address: another spelling of it is 404, a query is 400. Tiles and bundles never change, partial ones
neither. Pages of any origin may read all of it (CORS), without credentials. Bundles are compressed for those who ask;
tiles of hashes are random bytes, so they are not.
"""

import asyncio
import gzip
import hashlib
from collections import OrderedDict
from http import HTTPStatus
from typing import NamedTuple

from litestar.types import HTTPScope

from decision_dna.ledger.reader import LogReader
from decision_dna.ledger.tilepath import TilePath, parse_tile_path
from decision_dna.schemas.errors import LedgerError, NotFound
from decision_dna.service.http.answers import NO_STORE, PUBLIC, Whole, refusal
from decision_dna.service.http.asking import parameters
from decision_dna.service.http.problems import RequestRefused

CHECKPOINT_PATH = "/checkpoint"
TILE_PREFIX = "/tile/"
METHODS = "GET, HEAD, OPTIONS"
FOREVER = (b"cache-control", b"public, max-age=31536000, immutable")
FOR_SECONDS = (b"cache-control", b"public, max-age=2")
VARY = (b"vary", b"accept-encoding")
GZIP = (b"content-encoding", b"gzip")
PREFLIGHT = [
    (b"access-control-allow-methods", METHODS.encode()),
    (b"access-control-allow-headers", b"*"),
    (b"access-control-max-age", b"86400"),
]
TEXT, BYTES = b"text/plain; charset=utf-8", b"application/octet-stream"

GZIP_LEVEL = 6
GZIP_BYTES_KEPT = 32 * 1024 * 1024
GZIP_WAITING_MAX = 16
"""Bundles are compressed one after the other. While so many wait for that, others are answered without compression."""


class Stored(NamedTuple):
    """The bytes of a resource in one encoding, and their strong validator."""

    body: bytes
    etag: bytes


class PublicLog:
    """The answers of the public log. Lives on one event loop."""

    def __init__(self, reader: LogReader) -> None:
        self._reader = reader
        self._compressed: OrderedDict[TilePath, Stored] = OrderedDict()  # the one that was asked for last is at the end
        self._compressed_bytes = 0
        self._turn = asyncio.Lock()
        self._waiting = 0

    async def answer(self, scope: HTTPScope, headers: dict[bytes, bytes]) -> Whole:
        """The answer to a request for a path of which `is_public` holds."""
        try:
            if scope["method"] == "OPTIONS":
                return Whole(HTTPStatus.NO_CONTENT, b"", b"", PREFLIGHT, PUBLIC)
            if scope["method"] not in ("GET", "HEAD"):
                raise RequestRefused(HTTPStatus.METHOD_NOT_ALLOWED, "the public log is read only", allow=METHODS)
            path = tile_of(scope)
            parameters(scope["query_string"], ())
            if path is None:
                note = stored(self._reader.head().note.encode())
                return _found(note, TEXT, [FOR_SECONDS], headers)
            return await self._tile(path, headers)
        except (LedgerError, RequestRefused) as error:
            refused = refusal(error)
            return refused._replace(more=[*refused.more, NO_STORE], always=PUBLIC)

    async def _tile(self, path: TilePath, headers: dict[bytes, bytes]) -> Whole:
        if path.level is not None:
            return _found(await asyncio.to_thread(self._read, path), BYTES, [FOREVER], headers)
        if wants_gzip(headers.get(b"accept-encoding", b"")) and (found := await self._gzipped(path)) is not None:
            return _found(found, BYTES, [FOREVER, VARY, GZIP], headers)
        return _found(await asyncio.to_thread(self._read, path), BYTES, [FOREVER, VARY], headers)

    async def _gzipped(self, path: TilePath) -> Stored | None:
        """A compressed bundle; None where too many wait for one. Raises NotFound."""
        if path not in self._compressed:
            if self._waiting >= GZIP_WAITING_MAX:
                return None
            self._waiting += 1
            try:
                async with self._turn:
                    if path not in self._compressed:
                        self._keep(path, await asyncio.to_thread(self._compress, path))
            finally:
                self._waiting -= 1
        self._compressed.move_to_end(path)
        return self._compressed[path]

    def _keep(self, path: TilePath, made: Stored) -> None:
        self._compressed[path] = made
        self._compressed_bytes += len(made.body)
        while self._compressed_bytes > GZIP_BYTES_KEPT and len(self._compressed) > 1:
            _, oldest = self._compressed.popitem(last=False)
            self._compressed_bytes -= len(oldest.body)

    def _read(self, path: TilePath) -> Stored:
        if path.level is None:
            return stored(self._reader.bundle(path.index, path.width))
        return stored(self._reader.tile(path.level, path.index, path.width))

    def _compress(self, path: TilePath) -> Stored:
        return stored(gzip.compress(self._reader.bundle(path.index, path.width), GZIP_LEVEL, mtime=0))


def is_public(path: str) -> bool:
    """Whether a decoded path is one of the public log, or another spelling of one."""
    return path == CHECKPOINT_PATH or path.startswith((f"{CHECKPOINT_PATH}/", TILE_PREFIX))


def tile_of(scope: HTTPScope) -> TilePath | None:
    """The tile that a request names; None: the checkpoint. Raises NotFound for whatever is not spelled as it should be."""
    path = scope["raw_path"].decode("latin-1")
    if path == CHECKPOINT_PATH:
        return None
    if not path.startswith(TILE_PREFIX):
        raise NotFound(f"nothing is at {path[:80]!r}")
    return parse_tile_path(path[1:])


def stored(body: bytes) -> Stored:
    """With the validator of its bytes."""
    return Stored(body, b'"%b"' % hashlib.sha256(body).hexdigest()[:32].encode())


def wants_gzip(accepted: bytes) -> bool:
    """Whether an Accept-Encoding header prefers gzip to the plain bytes (RFC 9110, section 12.5.3)."""
    weights = {"gzip": 0.0, "identity": 0.0}
    for item in accepted.decode("latin-1").lower().split(","):
        coding, *parameters_of = [part.strip() for part in item.split(";")]
        weight = 1.0
        for each in parameters_of:
            name, _, value = each.partition("=")
            if name.strip() == "q":
                weight = _weight(value.strip())
        if coding in weights:
            weights[coding] = weight
    return weights["gzip"] > 0 and weights["gzip"] >= weights["identity"]


def _weight(text: str) -> float:
    """0 to 1, with at most three decimals; what is no weight is 0: without compression everyone can read."""
    plain = text.replace(".", "", 1)
    return min(1.0, float(text)) if len(text) <= 5 and plain.isascii() and plain.isdigit() else 0.0


def _found(what: Stored, media: bytes, more: list[tuple[bytes, bytes]], headers: dict[bytes, bytes]) -> Whole:
    more = [*more, (b"etag", what.etag)]
    if _is_known(headers.get(b"if-none-match", b""), what.etag):
        return Whole(HTTPStatus.NOT_MODIFIED, media, b"", more, PUBLIC)
    return Whole(HTTPStatus.OK, media, what.body, more, PUBLIC)


def _is_known(known: bytes, etag: bytes) -> bool:
    """By weak comparison (RFC 9110, section 13.1.2)."""
    return known.strip() == b"*" or etag in [each.strip().removeprefix(b"W/") for each in known.split(b",")]

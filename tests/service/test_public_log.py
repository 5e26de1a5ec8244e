"""The public log as a stranger reads it: a small C2SP client of its own (hashlib, base64, PyNaCl), that knows nothing of ours."""

import base64
import gzip
import hashlib
import urllib.request

import nacl.signing
import pytest

from decision_dna.service.http.public import wants_gzip
from tests.service.serving import event, service


class Stranger:
    """Reads `tlog-tiles`, and believes only what a vkey signed."""

    def __init__(self, address: str, vkey: str) -> None:
        self.address = address
        self.name, self.key_id, encoded = vkey.split("+", 2)
        self.key = base64.b64decode(encoded)[1:]

    def fetch(self, path: str) -> bytes:
        with urllib.request.urlopen(f"{self.address}/{path}") as answer:
            return answer.read()

    def checkpoint(self) -> tuple[int, bytes]:
        """Size and root, once the log's own signature holds."""
        text, _, signatures = self.fetch("checkpoint").decode().rpartition("\n\n")
        text += "\n"
        signed = {}
        for line in signatures.splitlines():
            dash, name, encoded = line.split(" ")
            data = base64.b64decode(encoded)
            assert dash == "\u2014"
            signed[name, data[:4].hex()] = data[4:]
        nacl.signing.VerifyKey(self.key).verify(text.encode(), signed[self.name, self.key_id])
        origin, size, root, end = text.split("\n")
        assert (origin, end) == (self.name, "")
        return int(size), base64.b64decode(root)

    def entries(self, size: int) -> list[bytes]:
        found = []
        for index in range(-(-size // 256)):
            width = min(256, size - 256 * index)
            data, at = self.fetch(tile("entries", index, width)), 0
            for _ in range(width):
                length = int.from_bytes(data[at : at + 2], "big")
                found.append(data[at + 2 : at + 2 + length])
                at += 2 + length
            assert at == len(data)
        return found

    def hashes(self, level: int, index: int, width: int) -> list[bytes]:
        data = self.fetch(tile(str(level), index, width))
        assert len(data) == 32 * width
        return [data[at : at + 32] for at in range(0, len(data), 32)]


def tile(level: str, index: int, width: int) -> str:
    digits = f"{index:03d}"
    assert len(digits) == 3
    return f"tile/{level}/{digits}" + (f".p/{width}" if width < 256 else "")


def root_of(leaves: list[bytes]) -> bytes:
    """RFC 6962 §2.1, as it is written there."""
    if len(leaves) == 1:
        return leaves[0]
    middle = 1 << ((len(leaves) - 1).bit_length() - 1)
    return hashlib.sha256(b"\x01" + root_of(leaves[:middle]) + root_of(leaves[middle:])).digest()


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    with service(tmp_path_factory.mktemp("public")) as running:
        assert running.post([event(n) for n in range(520)]).status_code == 201
        assert running.post(event(520)).status_code == 201
        yield running


@pytest.fixture(scope="module")
def stranger(served):
    return Stranger(served.address, str(served.ledger.vkey))


def test_entries_tiles_and_root_are_of_one_tree(stranger) -> None:
    size, root = stranger.checkpoint()
    leaves = [hashlib.sha256(b"\x00" + entry).digest() for entry in stranger.entries(size)]
    assert len(leaves) == size > 512
    assert root_of(leaves) == root
    rows = [stranger.hashes(0, index, min(256, size - 256 * index)) for index in range(3)]
    assert [leaf for row in rows for leaf in row] == leaves
    assert stranger.hashes(1, 0, 2) == [root_of(leaves[:256]), root_of(leaves[256:512])]


def test_a_proof_leads_from_the_entry_to_the_signed_root(served, stranger) -> None:
    text = stranger.fetch("api/events/300/proof").decode()
    head, _, note = text.partition("\n\n")
    first, index, *hashes = head.split("\n")
    size = int(note.split("\n")[1])
    assert (first, index) == ("c2sp.org/tlog-proof@v1", "index 300")
    value, at, last = hashlib.sha256(b"\x00" + served.ledger.reader.raw(300)).digest(), 300, size - 1
    for sibling in map(base64.b64decode, hashes):
        left_of = at % 2 == 1 or at == last
        value = hashlib.sha256(b"\x01" + (sibling + value if left_of else value + sibling)).digest()
        if left_of:
            while at % 2 == 0 and at:
                at, last = at >> 1, last >> 1
        at, last = at >> 1, last >> 1
    assert value == base64.b64decode(note.split("\n")[2])


@pytest.mark.parametrize(
    ("path", "cache"),
    [
        ("/checkpoint", "public, max-age=2"),
        ("/tile/0/000", "public, max-age=31536000, immutable"),
        ("/tile/entries/001", "public, max-age=31536000, immutable"),
        ("/tile/0/002.p/1", "public, max-age=31536000, immutable"),
        ("/tile/entries/001.p/7", "public, max-age=31536000, immutable"),
    ],
)
def test_how_long_it_may_be_kept(served, path: str, cache: str) -> None:
    """A partial tile never changes either: when the tree grows, the tile that is wider has another path."""
    answer = served.get(path)
    assert (answer.status_code, answer.headers["cache-control"]) == (200, cache)


@pytest.mark.parametrize(
    "path",
    [
        "/tile/0/2",  # three digits
        "/tile/0/x000/000",  # no leading group
        "/tile/0/0002.p/1",
        "/tile/00/000",
        "/tile/0/000.p/256",  # that is the full one
        "/tile/0/000.p/0",
        "/tile/0/000.p/01",
        "/tile/0/002",  # past the size
        "/tile/0/002.p/200",
        "/tile/64/000",
        "/tile/9/000.p/1",
        "/tile/entries/9999",
        "/tile/0/x999/x999/x999/x999/x999/999",
        "/tile/",
        "/tile/0",
        "/tile/0/000/",
        "/tile/0/00%30",
        "/tile//0/000",
        "/%74ile/0/000",
        "/checkpoint/",
        "/%63heckpoint",
    ],
)
def test_there_is_one_path_for_each_tile_and_none_for_others(served, path: str) -> None:
    answer = served.get(path)
    served.problem(answer, 404)
    assert (answer.headers["access-control-allow-origin"], answer.headers["cache-control"]) == ("*", "no-store")


@pytest.mark.parametrize("path", ["/checkpoint?a=1", "/tile/0/000?v=2", "/tile/entries/000?", "/checkpoint?a"])
def test_public_log_takes_no_query(served, path: str) -> None:
    """Caches would keep each spelling as a resource of its own."""
    answer = served.get(path)
    assert answer.status_code == (200 if path.endswith("?") else 400)
    assert answer.headers["access-control-allow-origin"] == "*"


RESOURCES = ["/checkpoint", "/tile/0/000", "/tile/0/002.p/1", "/tile/entries/000", "/tile/entries/002.p/3"]


@pytest.mark.parametrize("path", RESOURCES)
def test_public_log_answers_head_as_get(served, path: str) -> None:
    for coding in ("identity", "gzip"):
        head = served.client.head(path, headers={"accept-encoding": coding})
        got = served.get(path, **{"accept-encoding": coding})
        assert (head.status_code, head.content) == (200, b"")
        assert dict(head.headers) == dict(got.headers)


@pytest.mark.parametrize("path", RESOURCES)
def test_public_log_may_be_read_by_pages_of_any_origin(served, path: str) -> None:
    answer = served.get(path, origin="https://monitor.example")
    assert (answer.headers["access-control-allow-origin"], answer.headers["cross-origin-resource-policy"]) == (
        "*",
        "cross-origin",
    )
    asked = {"origin": "https://monitor.example", "access-control-request-method": "GET"}
    preflight = served.client.options(path, headers=asked)
    assert (preflight.status_code, preflight.content) == (204, b"")
    assert preflight.headers["access-control-allow-methods"] == "GET, HEAD, OPTIONS"
    assert "access-control-allow-credentials" not in preflight.headers
    refused = served.client.post(path)
    served.problem(refused, 405)
    assert refused.headers["allow"] == "GET, HEAD, OPTIONS"


@pytest.mark.parametrize("path", ["/api/events/1", "/api/events", "/api/consistency?from=1", "/api/health", "/metrics"])
def test_no_other_path_may_be_read_by_pages_of_other_origins(served, path: str) -> None:
    for answer in (served.get(path, origin="https://a.example"), served.client.options(path)):
        assert not [name for name in answer.headers if name.startswith("access-control")]
        assert answer.headers["cross-origin-resource-policy"] == "same-origin"


def raw(served, path: str, **headers: str) -> tuple[dict[str, str], bytes]:
    """The answer's body as it was sent, in its coding."""
    with served.client.stream("GET", path, headers=headers) as answer:
        return dict(answer.headers), b"".join(answer.iter_raw())


@pytest.mark.parametrize("path", ["/tile/entries/000", "/tile/entries/001", "/tile/entries/002.p/3"])
def test_bundles_are_compressed_for_who_asks(served, path: str) -> None:
    plain, data = raw(served, path, **{"accept-encoding": "identity"})
    for _ in range(2):  # made, and kept
        packed, body = raw(served, path, **{"accept-encoding": "br, gzip;q=0.9"})
        assert (gzip.decompress(body), packed["content-encoding"]) == (data, "gzip")
        assert int(packed["content-length"]) == len(body) < len(data)
    assert "content-encoding" not in plain
    assert packed["etag"] != plain["etag"]
    assert (packed["vary"], plain["vary"]) == ("accept-encoding", "accept-encoding")


def test_tiles_of_hashes_are_not_compressed(served) -> None:
    """They are random bytes: compression would make them longer."""
    headers, data = raw(served, "/tile/0/000", **{"accept-encoding": "gzip"})
    assert ("content-encoding" in headers, len(data)) == (False, 8192)


@pytest.mark.parametrize(
    ("accepted", "packed"),
    [
        ("gzip", True),
        ("GZIP", True),
        ("gzip, identity", True),
        ("deflate, gzip;q=1.0, *;q=0.5", True),
        ("gzip;q=0.5, identity;q=0.4", True),
        ("", False),
        ("*", False),
        ("identity", False),
        ("gzip;q=0", False),
        ("gzip;q=0.000", False),
        ("gzip;q=0.5, identity", False),
        ("gzip;q=nan", False),
        ("gzip;q=1e9", False),
        ("br, deflate", False),
        ("xgzip", False),
    ],
)
def test_accept_encoding_says_whether_gzip_is_wanted(accepted: str, packed: bool) -> None:
    assert wants_gzip(accepted.encode()) is packed


@pytest.mark.parametrize("path", RESOURCES)
def test_public_log_says_what_its_reader_has_already(served, path: str) -> None:
    got = served.get(path)
    etag = got.headers["etag"]
    for known in (etag, f"W/{etag}", f'"other", {etag}', "*"):
        again = served.get(path, **{"if-none-match": known})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", etag)
        assert again.headers["cache-control"] == got.headers["cache-control"]
    assert served.get(path, **{"if-none-match": '"other"'}).status_code == 200

"""`dna verify ADDRESS` against tiles and checkpoints that lie: no size is believed before it is shown, and no tile is left unread."""

import base64
import json
import struct
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest

from decision_dna.ledger import audit, merkle
from decision_dna.ledger.exchange import Answer, Deadline
from decision_dna.ledger.notes import Checkpoint, Vkey, sign_checkpoint
from decision_dna.ledger.opening import open_ledger
from decision_dna.ledger.remote import RemoteLog
from decision_dna.ledger.signatures import SigningKey
from decision_dna.ledger.tilepath import parse_tile_path
from decision_dna.ledger.verification import SEGMENT_EVENTS, Joint
from decision_dna.schemas.errors import ProofRejected, Unavailable
from decision_dna.service.commands.remote_source import RemoteSource
from decision_dna.service.http.server import serving
from decision_dna.service.settings import Settings
from tests.attacks.faults import changed, elsewhere
from tests.attacks.proxy import Asked, Fault, Proxy, answered, honest, proxied
from tests.attacks.test_hostile_proxy import check_measured
from tests.cli.calling import ORIGIN, dna, done, new_ledger, vkey_of, write_lines


class Log(NamedTuple):
    """A service and its key."""

    address: str
    key: str


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Log]:
    """Of 600 entries: two full tiles and a partial one."""
    folder = tmp_path_factory.mktemp("large")
    path = new_ledger(folder)
    many = [{"type": "x.seen", "source": "bot", "payload": {"n": number}} for number in range(598)]
    done("append", path, write_lines(folder / "many.ndjson", *many))
    done("heartbeat", path)
    with open_ledger(path) as ledger, serving(ledger, Settings(port=0)) as address:
        yield Log(address, vkey_of(path))


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Log]:
    """Of five entries: nothing but one partial tile, and its bundle."""
    path = new_ledger(tmp_path_factory.mktemp("small"), 3)
    done("heartbeat", path)
    with open_ledger(path) as ledger, serving(ledger, Settings(port=0)) as address:
        yield Log(address, vkey_of(path))


def flipped(data: bytes) -> bytes:
    """With another byte in the middle."""
    at = len(data) // 2
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


def missing(path: str) -> Fault:
    """Not found, under a path."""

    def fault(proxy: Proxy, asked: Asked) -> Iterator[bytes]:
        if asked.target.startswith(path):
            yield answered(b"gone", 404)
        else:
            yield from honest(proxy, asked)

    return fault


TILES = {
    "large": ["/tile/0/000", "/tile/0/001", "/tile/0/002.p/88", "/tile/1/000.p/2", "/tile/entries/000", "/tile/entries/002.p/88"],
    "small": ["/tile/0/000.p/5", "/tile/entries/000.p/5"],
}  # fmt: skip
PATHS = [(size, path) for size, paths in TILES.items() for path in paths]


@pytest.mark.parametrize("key", [True, False])
@pytest.mark.parametrize(("size", "path"), PATHS)
def test_every_tile_is_read_and_compared(
    size: str, path: str, key: bool, large: Log, small: Log, request: pytest.FixtureRequest
) -> None:
    """A tile of hashes or entries that was flipped or cut is exit code 1, also of a log that has no full tile; a missing one is 3."""
    log = large if size == "large" else small
    options = ["--key", log.key] if key else []
    for bend, code in ((changed(path, flipped), 1), (changed(path, lambda data: data[:-32]), 1), (missing(path), 3)):
        with proxied(log.address, bend) as proxy:
            said = dna("verify", proxy.address, "--processes", 1, *options)
            assert any(asked.target == path for asked in proxy.asked), path
        assert said.code == code, (path, said)
        assert "IT HOLDS" not in said.out
        assert "Traceback" not in said.err
        if code == 3:
            assert (said.out, "is missing" in said.err) == ("", True), said


def resized(size: int) -> Callable[[bytes], bytes]:
    """A checkpoint of another size, with the signature that it had."""

    def change(note: bytes) -> bytes:
        origin, _, rest = note.split(b"\n", 2)
        return b"\n".join([origin, str(size).encode(), rest])

    return change


def signed(size: int, origin: str = ORIGIN, root: bytes = bytes(32)) -> bytes:
    """A checkpoint that a stranger signed."""
    return sign_checkpoint(Checkpoint(origin, size, root), [SigningKey(bytes(32))])


SIZES = [1, 599, 601, 2**16, 2**40, 2**62, 2**63 - 1]


@pytest.mark.parametrize("size", SIZES)
def test_a_size_that_nobody_signed_is_not_walked(size: int, large: Log) -> None:
    """With a key that signs checkpoints its signature is looked at first; without one, the tiles at the end of the log are."""
    for change in (resized(size), lambda _: signed(size)):
        with proxied(large.address, changed("/checkpoint", change)) as proxy:
            said = dna("verify", proxy.address, "--processes", 1)
            assert (said.code in (1, 3), said.out) == (True, ""), said
            assert len(proxy.asked) < 30
    with proxied(large.address, changed("/checkpoint", resized(size))) as proxy:
        said = dna("verify", proxy.address, "--key", large.key)
        assert (said.code, said.out, "does not verify" in said.err) == (1, "", True), said
        assert [asked.target for asked in proxy.asked] == ["/checkpoint"]


def test_a_size_past_every_integer_is_no_checkpoint(large: Log) -> None:
    """A size of thousands of digits is no checkpoint, and no traceback."""
    for text in ("9" * 5000, "0", "-1", "1e9", "٣", "01"):
        change = lambda note, text=text: note.replace(b"\n600\n", f"\n{text}\n".encode())  # noqa: E731
        with proxied(large.address, changed("/checkpoint", change)) as proxy:
            said = dna("verify", proxy.address, "--key", large.key)
        assert (said.code, said.out, "no checkpoint" in said.err) == (3, "", True), said


def test_another_log_is_named_before_it_is_walked(large: Log, small: Log) -> None:
    """Another log's answers, whole or in part, never verify under this log's key."""
    for path in ("/", "/checkpoint", "/tile/"):
        with proxied(large.address, elsewhere(small.address, path)) as proxy:
            said = dna("verify", proxy.address, "--key", large.key, "--processes", 1)
        assert said.code in (1, 3), said
        assert "IT HOLDS" not in said.out
    with proxied(large.address, changed("/checkpoint", lambda _: signed(600, "example.org/elsewhere"))) as proxy:
        said = dna("verify", proxy.address, "--key", large.key)
        assert (said.code, said.out, "example.org/elsewhere" in said.err) == (1, "", True)


def pages(bend: Callable[[int], dict[str, Any]]) -> Fault:
    """The list of the ledger's own entries, made up: what the nth page has."""

    def fault(proxy: Proxy, asked: Asked) -> Iterator[bytes]:
        if "stream=ledger" not in asked.target:
            yield from honest(proxy, asked)
            return
        number = sum("stream=ledger" in each.target for each in proxy.asked)
        good = proxy.fetch(asked._replace(target="/api/events?stream=ledger/ledger"))
        page = json.loads(good.body)
        first = page["events"][0]
        made = bend(number)
        page["events"] = [{**first, **fields} for fields in made.pop("events", [])]
        yield answered(json.dumps({**page, **made}).encode())

    return fault


ENDLESS = {
    "empty pages": lambda n: {"events": [], "next_cursor": "x"},
    "the same page": lambda n: {"events": [{"seq": 0}] * 1000, "next_cursor": "x"},
    "pages of one": lambda n: {"events": [{"seq": n}], "next_cursor": "x"},
    "entries of the future": lambda n: {"events": [{"seq": 600 + n}], "next_cursor": "x"},
    "entries of another stream": lambda n: {"events": [{"seq": 1, "stream": "x/bot"}], "next_cursor": None},
}


@pytest.mark.parametrize("what", ENDLESS)
def test_pages_that_never_end_are_not_followed(what: str, large: Log) -> None:
    """A list of the ledger's own entries that does not ascend, or goes on in tiny pages, is given up."""
    with proxied(large.address, pages(ENDLESS[what])) as proxy:
        said = dna("verify", proxy.address, "--key", large.key, "--from-seq", 512)
        assert len(proxy.asked) < 50
    assert (said.code, said.out) == (3, ""), said


# --- logs that nobody has room for ----------------------------------------------------------------------------------------


class Repeated:
    """A transport: a log of one and the same entry again and again, of any size, all of whose tiles agree."""

    def __init__(
        self,
        size: int,
        bend: Callable[[int, int, bytes], bytes] = lambda level, index, data: data,
        entry: bytes = b"\x01",
    ) -> None:
        self.size, self.bend, self.entry, self.asked = size, bend, entry, 0
        self.full = [merkle.leaf_hash(self.entry)]
        for _ in range(64):
            self.full.append(merkle.node_hash(self.full[-1], self.full[-1]))
        self.key = SigningKey(bytes(range(32)))
        nodes = [self.full[height] for height, _ in merkle.cover(0, size)]
        head = Checkpoint(ORIGIN, size, merkle.Frontier.of(size, nodes).root())
        self.note = sign_checkpoint(head, [self.key])

    def exchange(self, method: str, target: str, deadline: Deadline, **options: Any) -> Answer:
        """As a service answers."""
        self.asked += 1
        if target == "/checkpoint":
            return Answer(200, self.note)
        tile = parse_tile_path(target[1:])
        if tile.level is None:
            return Answer(200, (struct.pack(">H", len(self.entry)) + self.entry) * tile.width)
        return Answer(200, self.bend(tile.level, tile.index, self.full[8 * tile.level] * tile.width))

    def close(self) -> None:
        """Nothing is open."""


@pytest.mark.parametrize("size", [2**40, 2**62 + 12345])
def test_a_log_without_end_is_left_when_nothing_in_it_holds(size: int) -> None:
    """Tiles that agree with each other lead to any size: a segment that does not hold ends the walk."""
    transport = Repeated(size)
    with RemoteLog("http://log", transport=transport) as log:
        source = RemoteSource(log)
        source.check_head(Vkey(ORIGIN, transport.key.public))
        with pytest.raises(ProofRejected, match=f"was not read past seq {SEGMENT_EVENTS}"):
            audit.verify(source, None)
    assert transport.asked < 1000


def test_a_log_of_nothing_but_keys_is_not_held_in_memory() -> None:
    """What a verification keeps until its end is bounded: 65,536 of the largest entries would be 4 GB."""
    transport = Repeated(2**40, entry=b"ledger.key" * 6553)
    with RemoteLog("http://log", transport=transport) as log:
        source = RemoteSource(log)
        with pytest.raises(Unavailable, match="verify a copy"):
            audit.verify(source, None)
    assert transport.asked < 20


@pytest.mark.torture
def test_the_largest_entries_take_bounded_memory(large: Log) -> None:
    """A log of the largest entries is walked a piece at a time: in a process of its own, below 300 MB."""
    transport = Repeated(2**40, entry=b"\x01" * 65_535)

    def fault(proxy: Proxy, asked: Asked) -> Iterator[bytes]:
        yield answered(transport.exchange(asked.method, asked.target, Deadline(60)).body)

    with proxied(large.address, fault) as proxy:
        check_measured(["verify", proxy.address, "--processes", "1"], deadline_seconds=60, code=1)


def test_tiles_above_those_of_a_segment_are_compared_with_the_ones_below() -> None:
    """A tile of level 3, which no segment gives, is what the tiles of level 2 give."""
    size = 3 * 2**24 + 5
    for bent, found in ((False, 0), (True, 1)):
        bend = (lambda level, index, data: data[:32] + bytes(32) + data[64:] if level == 3 else data) if bent else None
        with RemoteLog("http://log", transport=Repeated(size, *([bend] if bend else []))) as log:
            findings = RemoteSource(log).judge(Joint(ORIGIN, []))
        assert len(findings) == found
        if bent:
            with RemoteLog("http://log", transport=Repeated(size, bend)) as log, pytest.raises(ProofRejected):
                RemoteSource(log).check_head(None)


def test_a_note_that_is_too_long_is_not_taken() -> None:
    """A checkpoint is bounded, whatever stands in it."""

    class Long(Repeated):
        def exchange(self, method: str, target: str, deadline: Deadline, **options: Any) -> Answer:
            return Answer(200, self.note + "".join(f"— {ORIGIN} {line}\n" for line in LINES).encode())

    with RemoteLog("http://log", transport=Long(5)) as log, pytest.raises(Unavailable, match="signature lines"):
        log.checkpoint()


LINES = [base64.b64encode(bytes([number % 256]) * 68).decode() for number in range(500)]

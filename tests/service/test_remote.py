"""The HTTP client against a real server, and against answers that no such server gives."""

import base64

import msgspec
import pytest

from decision_dna.ledger import merkle
from decision_dna.ledger.evidence import check_evidence
from decision_dna.ledger.exchange import Answer, Deadline, parse_address
from decision_dna.ledger.notes import Vkey, note_of, open_checkpoint
from decision_dna.ledger.remote import TRIES_MAX, RemoteLog
from decision_dna.ledger.tilepath import TilePath, parse_tile_path
from decision_dna.ledger.tlogproof import parse_proof
from decision_dna.schemas.errors import (
    BadInput,
    Busy,
    IdConflict,
    LedgerError,
    Malformed,
    NotFound,
    ProofRejected,
    Refused,
    Unavailable,
)
from decision_dna.schemas.receipts import BatchReceipt, Problem
from decision_dna.service.commands.remote import read_client_settings
from decision_dna.service.settings import Secret
from tests.service.serving import event, new_id, service


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    with service(tmp_path_factory.mktemp("remote")) as running:
        assert running.post([event(n) for n in range(300)]).status_code == 201
        yield running


def test_a_whole_log_is_read_and_verified_from_afar(served) -> None:
    with RemoteLog(served.address) as log:
        head = open_checkpoint(log.checkpoint(), [served.ledger.vkey])
        entries = log.entries(0, 256) + log.entries(1, head.size - 256)
        assert merkle.tree_root([merkle.leaf_hash(entry) for entry in entries]) == head.root
        assert log.hashes(0, 0, 256) == [merkle.leaf_hash(entry) for entry in entries[:256]]
        assert log.hashes(1, 0, 1) == [merkle.tree_root(log.hashes(0, 0, 256))]
        old = note_of(served.ledger.reader.note_of(2))
        merkle.check_consistency(2, head.size, old.root, head.root, log.consistency(2, head.size))
        assert log.event("5").seq == 5
        assert [view.seq for view in log.events({"from_seq": "5", "limit": "2"}).events] == [5, 6]
        assert parse_proof(log.proof("5")).index == 5
        assert check_evidence(log.evidence("5"), served.ledger.vkey).holds


def test_a_partial_tile_is_found_in_the_full_one(served) -> None:
    class OnlyFull(Flaky):
        def exchange(self, method: str, target: str, deadline: Deadline, **options) -> Answer:
            if ".p/" in target:
                return Answer(404, b"")
            return Answer(200, served.get(target).content)

    with RemoteLog("http://log", transport=OnlyFull()) as log:
        whole = [served.ledger.reader.raw(seq) for seq in range(7)]
        assert log.entries(0, 7) == whole
        assert log.hashes(0, 0, 7) == [merkle.leaf_hash(entry) for entry in whole]


def test_submitting_and_the_errors_of_the_service(served) -> None:
    with RemoteLog(served.address, now=served.clock.now_ns) as log:
        said = event(1, id=new_id())
        batch = log.submit([said, event(2)], vkeys=[served.ledger.vkey])
        size = served.ledger.reader.size
        with pytest.raises(ProofRejected):
            log.submit([event(3)], vkeys=[Vkey(served.ledger.origin, bytes(32))])
        assert log.submit([said], vkeys=[served.ledger.vkey]).outcomes == [batch.first]
        with pytest.raises(IdConflict):
            log.submit([{**said, "subject": "another"}], atomic=True)
        with pytest.raises(NotFound):
            log.event("99999")
        with pytest.raises(Malformed, match="colour"):
            log.events({"colour": "red"})
        with pytest.raises(Unavailable, match="tile/0/009 is missing"):
            log.hashes(0, 9, 256)
    with RemoteLog(served.address) as log, pytest.raises(ProofRejected):
        log.submit([event(3)], vkeys=[Vkey(served.ledger.origin, bytes(32))])
    assert served.ledger.reader.size == size + 1  # with a key that is not this log's, a new client submits nothing


def test_a_key_is_sent_along(tmp_path) -> None:
    with service(tmp_path, master_api_key=Secret("k")) as served:
        with RemoteLog(served.address, key="k") as log:
            assert log.submit([event(1)]).count == 1
        with RemoteLog(served.address, key="x") as log, pytest.raises(Refused):
            log.submit([event(1)])


# --- tries -------------------------------------------------------------------------------------------------------------

REFUSED = Problem("about:blank", "Refused", 403, "no")
HEAD = f"log\n1\n{'A' * 43}=\n\n— log AAAAAAA=\n"
RECEIPT = BatchReceipt(0, 0, [], [], [], [], HEAD, [], [REFUSED], [])
PROBLEM = {"type": "", "title": "Busy", "status": 503, "detail": "full"}
BUSY, GOOD = Answer(503, msgspec.json.encode(PROBLEM)), Answer(201, msgspec.json.encode(RECEIPT))
SILENT = Unavailable("no complete answer")


class Flaky:
    """A transport that answers from a list; an error in it is raised, the last one is repeated."""

    def __init__(self, *answers: Answer | LedgerError) -> None:
        self.answers = list(answers)
        self.asked = 0
        self.sent: list[tuple[str, str, dict[str, str]]] = []

    def exchange(self, method: str, target: str, deadline: Deadline, *, headers=(), **options) -> Answer:
        answer = self.answers[min(self.asked, len(self.answers) - 1)]
        self.asked += 1
        self.sent.append((method, target, dict(headers)))
        if isinstance(answer, LedgerError):
            raise answer
        return answer

    def close(self) -> None:
        """Nothing is open."""


SAFE, UNSAFE = event(1, id="01a0c450-6c00-74df-8f56-ea384d7610d9"), event(1)


@pytest.mark.parametrize(
    ("submission", "answers", "asked", "ends"),
    [
        (SAFE, [BUSY, SILENT, GOOD], 3, None),
        (SAFE, [BUSY], TRIES_MAX, Busy),
        (SAFE, [SILENT], TRIES_MAX, Unavailable),
        ({"claim": "", "payload": {}}, [BUSY, GOOD], 2, None),
        (UNSAFE, [BUSY, GOOD], 1, Busy),
        (UNSAFE, [SILENT, GOOD], 1, Unavailable),
        (SAFE, [Answer(403, b"")], TRIES_MAX, Unavailable),
    ],
)
def test_it_tries_again_only_where_nothing_can_stand_twice(submission, answers, asked, ends) -> None:
    transport, pauses = Flaky(*answers), []
    with RemoteLog("http://log", transport=transport, pause=pauses.append) as log:
        if ends is None:
            assert log.submit([submission]) == RECEIPT
        else:
            with pytest.raises(ends):
                log.submit([submission])
    assert transport.asked == asked
    assert pauses == [0.25 * 2**n for n in range(asked - 1)]


@pytest.mark.parametrize(
    ("body", "ask", "kind"),
    [
        (b"\0" * 31, lambda log: log.hashes(0, 0, 1), ProofRejected),
        (b"\0" * 33, lambda log: log.hashes(0, 0, 1), ProofRejected),
        (b"\0" * 64, lambda log: log.hashes(0, 0, 1), ProofRejected),
        (b"\0\5abc", lambda log: log.entries(0, 1), Malformed),
        (b"\0\1a\0\1b", lambda log: log.entries(0, 1), ProofRejected),
        (b"", lambda log: log.entries(0, 1), ProofRejected),
        (b"{}", lambda log: log.event("1"), Unavailable),
        (b'{"seq":"\xff"}', lambda log: log.event("1"), Unavailable),
        (b"[" * 100_000, lambda log: log.event("1"), Unavailable),
        (b"[" + b"[]," * 2_000_000, lambda log: log.event("1"), Unavailable),
        (b'{"from":1,"to":2,"proof":["?"]}', lambda log: log.consistency(1, 2), Malformed),
    ],
)
def test_what_no_log_answers_is_an_error_of_ours(body: bytes, ask, kind: type[LedgerError]) -> None:
    with RemoteLog("http://log", transport=Flaky(Answer(200, body))) as log, pytest.raises(kind):
        ask(log)


def test_an_event_that_was_not_asked_for_is_refused(served) -> None:
    """A service that answers with another event than the one asked for is not believed."""
    answer = Answer(200, served.get("/api/events/6").content)
    with RemoteLog("http://log", transport=Flaky(answer)) as log:
        view = log.event("6")
        assert [log.event(name).seq for name in (view.id.upper(), view.fingerprint)] == [6, 6]
        with pytest.raises(Unavailable, match="asked for event 5"):
            log.event("5")


@pytest.mark.parametrize("status", [204, 206, 301, 302, 304, 307, 401, 403, 404, 418, 500, 502, 503])
def test_a_status_without_a_problem_is_unavailable(status: int) -> None:
    """Whatever is not a good answer, and not a problem that the service states, says nothing of the log: with its reason."""
    for body in (b"", b"<p>", b"{}", msgspec.json.encode({**PROBLEM, "status": 599})):
        with (
            RemoteLog("http://log", transport=Flaky(Answer(status, body))) as log,
            pytest.raises(Unavailable, match=str(status)),
        ):
            log.event("1")


def test_a_problem_is_stated_by_the_service(served) -> None:
    """The error of a problem says that the service says so, cut to a bounded length."""
    problem = {"type": "", "title": "NotFound", "status": 404, "detail": "x" * 10_000}
    with RemoteLog("http://log", transport=Flaky(Answer(404, msgspec.json.encode(problem)))) as log:
        with pytest.raises(NotFound, match="http://log says: xxx") as caught:
            log.event("1")
        assert len(str(caught.value)) < 600
    for title in ("ProofRejected", "InvariantBroken", "CannotOpen"):
        problem = {"type": "", "title": title, "status": 400, "detail": "so"}
        with (
            RemoteLog("http://log", transport=Flaky(Answer(400, msgspec.json.encode(problem)))) as log,
            pytest.raises(BadInput),
        ):
            log.event("1")


# --- credentials -------------------------------------------------------------------------------------------------------


def asked_with_key(address: str, key: str = "k") -> list[tuple[str, str, dict[str, str]]]:
    """What is sent by a call of each kind."""
    transport = Flaky(Answer(404, b""))
    with RemoteLog(address, key=key, transport=transport, pause=lambda _: None) as log:
        for call in (
            log.checkpoint,
            lambda: log.hashes(0, 0, 1),
            lambda: log.entries(0, 1),
            lambda: log.consistency(1, 2),
            lambda: log.proof("1"),
            lambda: log.event("1"),
            lambda: log.evidence("1"),
            lambda: log.submit([event(1)]),
        ):
            with pytest.raises(Unavailable):
                call()
    return transport.sent


def test_a_key_is_not_sent_for_the_public_log() -> None:
    """Checkpoint and tiles are everyone's: the credential goes along to submit and to read what is private."""
    plain = [target for _, target, headers in asked_with_key("https://log") if "x-api-key" not in headers]
    keyed = [target for _, target, headers in asked_with_key("https://log") if "x-api-key" in headers]
    assert plain == ["/checkpoint", "/tile/0/000.p/1", "/tile/0/000", "/tile/entries/000.p/1", "/tile/entries/000"]
    assert [target.partition("?")[0] for target in keyed] == [
        "/api/consistency",
        "/api/events/1/proof",
        "/api/events/1",
        "/api/events/1/evidence",
        "/api/events",
    ]


@pytest.mark.parametrize("address", ["http://log", "http://10.0.0.1:8420", "http://127.0.0.1.example.org"])
def test_a_key_is_never_sent_unencrypted_beyond_loopback(address: str) -> None:
    """A client with a key for an http address of another machine is not made."""
    with pytest.raises(Malformed, match="unencrypted"):
        RemoteLog(address, key="k")


@pytest.mark.parametrize(
    ("address", "named", "given"),
    [
        ("https://log.example.org", "", False),
        ("http://127.0.0.1:8420", "", False),
        ("https://log.example.org", "https://log.example.org", True),
        ("https://log.example.org/prefix", "https://LOG.example.org:443/", True),
        ("https://log.example.org:444", "https://log.example.org", False),
        ("http://log.example.org", "https://log.example.org", False),
        ("https://example.org", "https://log.example.org", False),
        ("https://log.example.org.evil.org", "https://log.example.org", False),
        ("http://127.0.0.1:8420", "http://127.0.0.1:8420", True),
        ("http://localhost:8420", "http://127.0.0.1:8420", False),
    ],
)
def test_a_key_goes_only_to_the_origin_that_it_was_given_for(address: str, named: str, given: bool) -> None:
    """MASTER_API_KEY alone is for no service: DNA_API_ORIGIN names the one that it is for."""
    settings = read_client_settings({"MASTER_API_KEY": "k", "DNA_API_ORIGIN": named})
    assert settings.key_for(address) == ("k" if given else "")


@pytest.mark.parametrize("text", ["0", "-1", "nan", "inf", "x", "1e9"])
def test_a_deadline_that_is_none_is_refused(text: str) -> None:
    """A deadline is a number of seconds above 0, and at most a day."""
    with pytest.raises(Malformed, match="DNA_DEADLINE_SECONDS"):
        read_client_settings({"DNA_DEADLINE_SECONDS": text})
    assert read_client_settings({"DNA_DEADLINE_SECONDS": "2.5"}).deadline_seconds == 2.5


@pytest.mark.parametrize(
    ("text", "origin", "prefix"),
    [
        ("http://127.0.0.1:8420", "http://127.0.0.1:8420", ""),
        ("https://Example.org", "https://example.org", ""),
        ("https://example.org:443/log/", "https://example.org", "/log"),
        ("http://[::1]:80", "http://[::1]", ""),
        ("https://bücher.example", "https://xn--bcher-kva.example", ""),
    ],
)
def test_addresses_have_one_origin(text: str, origin: str, prefix: str) -> None:
    """An address is an origin and a prefix of paths."""
    assert (parse_address(text).origin, parse_address(text).prefix) == (origin, prefix)


@pytest.mark.parametrize(
    "text",
    ["http://[", "ftp://log", "http://", "http://a b", "http://u:p@log", "http://log?x=1", "http://log#f", "http://log?",
     "http://log:0", "http://log:99999", "http://log/\r\nx: y", "http://lo\ng", "http://-log-", "http://[fe80::1%25eth0]"],
)  # fmt: skip
def test_what_is_no_address_is_malformed(text: str) -> None:
    """Nothing but http and https, a host, a port and a path."""
    with pytest.raises(Malformed):
        parse_address(text)


@pytest.mark.parametrize(
    ("tile", "path"),
    [
        (TilePath(0, 1_234_067, 256), "tile/0/x001/x234/067"),
        (TilePath(None, 5, 17), "tile/entries/005.p/17"),
        (TilePath(63, 0, 256), "tile/63/000"),
        (TilePath(1, 999, 1), "tile/1/999.p/1"),
        (TilePath(1, 1000, 255), "tile/1/x001/000.p/255"),
    ],
)
def test_tile_paths(tile: TilePath, path: str) -> None:
    assert (str(tile), parse_tile_path(path)) == (path, tile)


def test_the_client_loads_no_server_and_no_store() -> None:
    import subprocess
    import sys

    code = (
        "import sys, decision_dna.ledger.remote, decision_dna.ledger.receipts;"
        "print([m for m in ('litestar', 'uvicorn', 'rocksdict', 'solana', 'sqlite3', 'httpx', 'ssl') if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_a_receipt_survives_its_json(served) -> None:
    data = served.post([event(1), event(2)]).content
    batch = msgspec.json.decode(data, type=BatchReceipt)
    assert msgspec.json.encode(batch) == data
    assert base64.b64decode(batch.proof[0])

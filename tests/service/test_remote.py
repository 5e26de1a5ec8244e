"""The HTTP client against a real server, and against answers that no such server gives."""

import base64

import httpx
import msgspec
import pytest

from decision_dna.ledger import merkle
from decision_dna.ledger.evidence import check_evidence
from decision_dna.ledger.notes import Vkey, note_of, open_checkpoint
from decision_dna.ledger.remote import TRIES_MAX, RemoteLog
from decision_dna.ledger.tilepath import TilePath, parse_tile_path
from decision_dna.ledger.tlogproof import parse_proof
from decision_dna.schemas.errors import (
    Busy,
    IdConflict,
    LedgerError,
    Malformed,
    NotFound,
    ProofRejected,
    Refused,
    Unavailable,
)
from decision_dna.schemas.receipts import BatchReceipt
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
    def only_full(request: httpx.Request) -> httpx.Response:
        if ".p/" in request.url.path:
            return httpx.Response(404)
        return httpx.Response(200, content=served.get(request.url.path).content)

    with RemoteLog("http://log", transport=httpx.MockTransport(only_full)) as log:
        whole = [served.ledger.reader.raw(seq) for seq in range(7)]
        assert log.entries(0, 7) == whole
        assert log.hashes(0, 0, 7) == [merkle.leaf_hash(entry) for entry in whole]


def test_submitting_and_the_errors_of_the_service(served) -> None:
    with RemoteLog(served.address) as log:
        said = event(1, id=new_id())
        batch = log.submit([said, event(2)], vkeys=[served.ledger.vkey])
        with pytest.raises(ProofRejected):
            log.submit([said], vkeys=[Vkey(served.ledger.origin, bytes(32))])
        assert log.submit([said]).outcomes == [batch.first]
        with pytest.raises(IdConflict):
            log.submit([{**said, "subject": "another"}], atomic=True)
        with pytest.raises(NotFound):
            log.event("99999")
        with pytest.raises(Malformed, match="colour"):
            log.events({"colour": "red"})
        with pytest.raises(NotFound):
            log.hashes(0, 9, 256)


def test_a_key_is_sent_along(tmp_path) -> None:
    with service(tmp_path, master_api_key=Secret("k")) as served:
        with RemoteLog(served.address, key="k") as log:
            assert log.submit([event(1)]).count == 1
        with RemoteLog(served.address, key="x") as log, pytest.raises(Refused):
            log.submit([event(1)])


# --- tries -------------------------------------------------------------------------------------------------------------

RECEIPT = BatchReceipt(0, 0, [], [], [], "", [], [], [])
BUSY = httpx.Response(503, json={"type": "", "title": "Busy", "status": 503, "detail": "full"})


class Flaky(httpx.BaseTransport):
    """Answers from a list; an error in it is raised, the last one is repeated."""

    def __init__(self, *answers: httpx.Response | Exception) -> None:
        self.answers = list(answers)
        self.asked = 0

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        answer = self.answers[min(self.asked, len(self.answers) - 1)]
        self.asked += 1
        if isinstance(answer, Exception):
            raise answer
        return httpx.Response(answer.status_code, content=answer.content)


GOOD = httpx.Response(201, content=msgspec.json.encode(RECEIPT))
SAFE, UNSAFE = event(1, id="01a0c450-6c00-74df-8f56-ea384d7610d9"), event(1)


@pytest.mark.parametrize(
    ("submission", "answers", "asked", "ends"),
    [
        (SAFE, [BUSY, httpx.ReadTimeout("slow"), GOOD], 3, None),
        (SAFE, [BUSY], TRIES_MAX, Busy),
        (SAFE, [httpx.ConnectError("gone")], TRIES_MAX, Unavailable),
        ({"claim": "", "payload": {}}, [BUSY, GOOD], 2, None),
        (UNSAFE, [BUSY, GOOD], 1, Busy),
        (UNSAFE, [httpx.ReadTimeout("slow"), GOOD], 1, Unavailable),
        (SAFE, [httpx.Response(403, content=b"")], 1, LedgerError),
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
        (b"\0\5abc", lambda log: log.entries(0, 1), Malformed),
        (b"", lambda log: log.entries(0, 1), ProofRejected),
        (b"x" * 70_000, lambda log: log.checkpoint(), Unavailable),
        (b"{}", lambda log: log.event("1"), Unavailable),
        (b"[" * 100_000, lambda log: log.event("1"), Unavailable),
        (b'{"from":1,"to":2,"proof":["?"]}', lambda log: log.consistency(1, 2), Malformed),
    ],
)
def test_what_no_log_answers_is_an_error_of_ours(body: bytes, ask, kind: type[LedgerError]) -> None:
    with RemoteLog("http://log", transport=Flaky(httpx.Response(200, content=body))) as log, pytest.raises(kind):
        ask(log)


def test_errors_of_strangers() -> None:
    for status, kind in ((404, NotFound), (500, Unavailable), (418, LedgerError)):
        with (
            RemoteLog("http://log", transport=Flaky(httpx.Response(status, content=b"<p>"))) as log,
            pytest.raises(kind),
        ):
            log.event("1")
    with pytest.raises(LedgerError):
        RemoteLog("http://[").checkpoint()


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
        "print([m for m in ('litestar', 'uvicorn', 'rocksdict', 'solana', 'sqlite3') if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_a_receipt_survives_its_json(served) -> None:
    data = served.post([event(1), event(2)]).content
    batch = msgspec.json.decode(data, type=BatchReceipt)
    assert msgspec.json.encode(batch) == data
    assert base64.b64decode(batch.proof[0])

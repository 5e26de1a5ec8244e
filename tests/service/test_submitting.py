"""POST /api/events against a real server: what is acknowledged stands, and what is refused left nothing behind."""

import base64
import http.client
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import msgspec
import pytest

from decision_dna.ledger.fingerprint import fingerprint
from decision_dna.ledger.receipts import check_batch_receipt, check_receipt, derive
from decision_dna.schemas.errors import NotFound, ProofRejected
from decision_dna.schemas.receipts import BatchReceipt, EventReceipt, Problem
from decision_dna.schemas.submissions import BODY_BYTES_MAX, decode_json
from decision_dna.service.settings import Secret
from tests.ledger.samples import SECOND, Author, register
from tests.service.serving import TRACE, Service, event, new_id, service, signed


@pytest.fixture
def served(tmp_path):
    with service(tmp_path) as running:
        yield running


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """For what is refused: nothing of it stays."""
    with service(tmp_path_factory.mktemp("shared")) as running:
        register(running.ledger)
        yield running


def receipt_of(answer) -> EventReceipt:
    return msgspec.json.decode(answer.content, type=EventReceipt)


def batch_of(answer) -> BatchReceipt:
    return msgspec.json.decode(answer.content, type=BatchReceipt)


def test_a_receipt_holds_offline_and_names_the_event_that_stands(served: Service) -> None:
    answer = served.post(event(7, id=new_id(), subject="pool-1", trace=TRACE, occurred_at="2026-01-01T00:00:00.5Z"))
    receipt = receipt_of(answer)
    assert (answer.status_code, answer.headers["location"]) == (201, f"/api/events/{receipt.seq}")
    raw = served.ledger.reader.raw(receipt.seq)
    checkpoint = check_receipt(receipt, [served.ledger.vkey])
    assert (checkpoint.size, receipt.entry) == (receipt.seq + 1, raw)
    assert receipt.fingerprint == str(fingerprint(receipt.seq, raw))
    stands = served.ledger.reader.event(receipt.seq)
    assert (stands.claim.subject, stands.claim.trace, stands.claim.occurred_at) == (
        "pool-1",
        TRACE,
        1_767_225_600_500_000_000,
    )
    assert (stands.entry.attestation, stands.entry.principal) == ("notary", "local")


@pytest.mark.parametrize("field", ["hash", "entry", "fingerprint", "seq", "id"])
def test_a_receipt_that_was_touched_does_not_hold(served: Service, field: str) -> None:
    receipt = receipt_of(served.post(event()))
    lies = {"seq": receipt.seq + 1, "fingerprint": str(fingerprint(1, b"")), "entry": receipt.entry[:-1] + b"x"}
    bent = msgspec.structs.replace(receipt, **{field: lies.get(field, "0" * 64)})
    with pytest.raises(ProofRejected):
        check_receipt(bent, [served.ledger.vkey])


def test_a_batch_is_answered_in_order_and_every_receipt_follows_from_one_proof(served: Service) -> None:
    known = event(1, id=new_id())
    first = receipt_of(served.post(known))
    answer = served.post([event(2), known, {"type": "x.seen"}, event(3), event(4, causes=[new_id(9)])])
    batch, vkeys = batch_of(answer), [served.ledger.vkey]
    assert answer.status_code == 207
    assert batch.outcomes[:2] == [batch.first, first.seq]
    assert [type(outcome) for outcome in batch.outcomes] == [int, int, Problem, int, Problem]
    assert (batch.count, [receipt.seq for receipt in batch.elsewhere]) == (2, [first.seq])
    check_batch_receipt(batch, vkeys)
    for place in (0, 1, 3):
        receipt = derive(batch, place)
        check_receipt(receipt, vkeys)
        assert receipt.entry == served.ledger.reader.raw(receipt.seq)
        assert receipt.duplicate == (place == 1)
    with pytest.raises(NotFound, match="missing required field"):
        derive(batch, 2)


@pytest.mark.parametrize("column", ["entries", "proof"])
def test_a_batch_receipt_that_was_touched_does_not_hold(served: Service, column: str) -> None:
    batch = batch_of(served.post([event(n) for n in range(5)]))
    other = "A" * 43 + "=" if column == "proof" else b"0" * 64
    bent = msgspec.structs.replace(batch, **{column: [other, *getattr(batch, column)[1:]]})
    for check in (lambda: check_batch_receipt(bent, [served.ledger.vkey]), lambda: derive(bent, 0)):
        with pytest.raises(ProofRejected):
            check()


def test_every_media_type_says_the_same(served: Service) -> None:
    events = [event(n) for n in range(3)]
    ndjson = b"\n".join(map(msgspec.json.encode, events))
    for body, media in (
        (events, "application/json; charset=utf-8"),
        (ndjson, "application/x-ndjson"),
        (msgspec.msgpack.encode(events), "application/msgpack"),
    ):
        answer = served.post(body, media)
        assert (answer.status_code, batch_of(answer).count) == (201, 3), answer.text
    assert served.post(msgspec.msgpack.encode(event()), "application/msgpack").status_code == 201


def test_a_retry_gets_its_first_place(served: Service) -> None:
    said = event(1, id=new_id())
    first, size = receipt_of(served.post(said)), served.ledger.reader.size
    served.clock.advance(SECOND)
    again = served.post(said)
    assert (again.status_code, receipt_of(again).seq, receipt_of(again).duplicate) == (200, first.seq, True)
    check_receipt(receipt_of(again), [served.ledger.vkey], decode_json(msgspec.json.encode(said)))
    assert served.ledger.reader.size == size


def test_an_author_speaks_for_itself(served: Service) -> None:
    register(served.ledger)
    author = Author()
    answer = served.post([signed(author.say(n, served.clock.now_ns())) for n in range(2)])
    seqs = batch_of(answer).outcomes
    assert [served.ledger.reader.event(seq).entry.attestation for seq in seqs] == ["author", "author"]


def test_wait_published_and_an_expected_position(served: Service) -> None:
    assert served.post(event(1, expected_stream_seq=0), query="?wait=published").status_code == 201
    problem = served.problem(served.post(event(2, expected_stream_seq=0)), 409)
    assert (problem.title, problem.type) == ("StreamMoved", "urn:decision-dna:problem:stream-moved")


# --- refused, and nothing written --------------------------------------------------------------------------------------

JSON = "application/json"


def claimed(served: Service, **bent: str) -> dict:
    return {**signed(Author().say(1, served.clock.now_ns())), **bent}


def of_other_origin(served: Service) -> dict:
    return signed(Author(origin="example.org/other").say(1, served.clock.now_ns()))


def with_long_form(served: Service) -> dict:
    said = claimed(served)
    claim = base64.b64decode(said["claim"])
    return {**said, "claim": base64.b64encode(claim[:1] + b"\xcc" + claim[1:]).decode()}


def twice(served: Service) -> dict:
    said = event(1, id=new_id())
    assert served.post(said).status_code == 201
    return {**said, "payload": {"number": 2}}


REFUSED = [
    ("not JSON", lambda s: b"{oops", JSON, 400),
    ("an unknown field", lambda s: event(colour=1), JSON, 400),
    ("an unknown type", lambda s: event(type="nobody.said"), JSON, 422),
    ("a wrong media type", lambda s: event(), "text/plain", 415),
    ("no media type", lambda s: event(), "", 415),
    ("an empty body", lambda s: b"", JSON, 400),
    ("too large", lambda s: b" " * (BODY_BYTES_MAX + 1), JSON, 413),
    ("a payload too large", lambda s: event(payload={"a": "x" * 262_144}), JSON, 413),
    ("too many", lambda s: b"{}\n" * 10_001, "application/x-ndjson", 413),
    ("time far ahead", lambda s: event(occurred_at="2100-01-01T00:00:00Z"), JSON, 400),
    ("an id from far ahead", lambda s: event(id=new_id(3_600_000)), JSON, 400),
    ("an id of another version", lambda s: event(id="0192aaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee"), JSON, 400),
    ("a subject with control characters", lambda s: event(subject="a\nb"), JSON, 400),
    ("no traceparent", lambda s: event(trace="abc"), JSON, 400),
    ("a cause that never was", lambda s: event(causes=[new_id(5)]), JSON, 400),
    ("the ledger's own type", lambda s: event(type="ledger.heartbeat", source="ledger", payload={}), JSON, 400),
    ("an anchor", lambda s: event(type="anchor.note", source="anchor"), JSON, 422),
    ("a source that needs its author", lambda s: event(source="bot"), JSON, 403),
    ("the same id with other content", twice, JSON, 409),
    ("a claim for another origin", of_other_origin, JSON, 403),
    ("a claim in another encoding", with_long_form, JSON, 400),
    ("a bad signature", lambda s: claimed(s, signature="0" * 128), JSON, 403),
    ("another salt", lambda s: claimed(s, salt="0" * 32), JSON, 400),
    ("a key that nobody registered", lambda s: claimed(s, key_id="0" * 16), JSON, 403),
]


@pytest.mark.parametrize(("made", "media", "status"), [c[1:] for c in REFUSED], ids=[c[0] for c in REFUSED])
def test_what_is_refused_leaves_nothing(shared: Service, made, media: str, status: int) -> None:
    content = made(shared)
    before = shared.ledger.reader.head()
    shared.problem(shared.post(content, media), status)
    assert shared.ledger.reader.head() == before


def test_an_atomic_request_stands_whole_or_not_at_all(served: Service) -> None:
    before = served.ledger.reader.size
    problem = served.problem(served.post([event(1), event(2, causes=[new_id(5)])], query="?atomic=true"), 409)
    assert "is no earlier event" in problem.detail
    assert served.ledger.reader.size == before
    assert batch_of(served.post([event(1), event(2)], query="?atomic=true")).count == 2


@pytest.mark.parametrize("query", ["?atomic=yes", "?wait=never", "?atom=true", "?atomic=true&atomic=true", "?%ff"])
def test_a_query_that_is_none(shared: Service, query: str) -> None:
    before = shared.ledger.reader.size
    shared.problem(shared.post(event(), query=query), 400)
    assert shared.ledger.reader.size == before


def test_a_body_that_ends_early_writes_nothing(served: Service) -> None:
    where = urlsplit(served.address)
    connection = http.client.HTTPConnection(where.hostname, where.port)
    connection.putrequest("POST", "/api/events")
    connection.putheader("content-type", "application/json")
    connection.putheader("content-length", "500")
    connection.endheaders(msgspec.json.encode(event()))
    before = served.ledger.reader.size
    connection.close()
    assert served.post(event()).status_code == 201  # the server has gone on
    assert served.ledger.reader.size == before + 1


def test_many_at_once_all_stand_once_and_in_one_chain(served: Service) -> None:
    """Ten callers, each with its own events and one that all of them say."""
    shared = event(0, id=new_id())

    def call(caller: int) -> list[int]:
        answers = [served.post([event(100 * caller + n), shared]) for n in range(5)]
        singles = [receipt_of(served.post(event(1000 + caller))).seq]
        return singles + [seq for answer in answers for seq in batch_of(answer).outcomes]

    before = served.ledger.reader.size
    with ThreadPoolExecutor(10) as callers:
        seqs = [seq for found in callers.map(call, range(10)) for seq in found]
    assert served.ledger.reader.size == before + 61
    assert set(seqs) == set(range(before, before + 61))


def test_large_requests_prepared_in_other_processes_say_the_same(tmp_path) -> None:
    events = [event(n, **({"colour": 1} if n == 7 else {})) for n in range(400)]
    with service(tmp_path, prepare_processes=1) as served:
        answer = served.post(events)
        batch = batch_of(answer)
        assert (answer.status_code, batch.count) == (207, 399)
        check_batch_receipt(batch, [served.ledger.vkey])
        assert "unknown field" in batch.outcomes[7].detail  # type: ignore[union-attr]
        served.problem(served.post(b"[" + b" " * 20_000), 400)


def test_a_batch_window_only_delays(tmp_path) -> None:
    with service(tmp_path, batch_window_ms=20.0, batch_max_size=2) as served:
        assert [served.post(event(n)).status_code for n in range(3)] == [201] * 3
        assert batch_of(served.post([event(n) for n in range(5)])).count == 5


def test_the_master_key_opens_the_way_in(tmp_path) -> None:
    with service(tmp_path, master_api_key=Secret("a secret")) as served:
        before = served.ledger.reader.size
        served.problem(served.post(event()), 401)
        served.problem(served.post(event(), **{"X-API-Key": "another"}), 401)
        assert served.ledger.reader.size == before
        for headers in ({"X-API-Key": "a secret"}, {"Authorization": "Bearer a secret"}):
            seq = receipt_of(served.post(event(), **headers)).seq
            assert served.ledger.reader.event(seq).entry.principal == "master"


def test_what_a_stopped_writer_says(tmp_path) -> None:
    with service(tmp_path) as served:
        served.ledger.writer.stop("the disk is gone")
        problem = served.problem(served.post(event()), 503)
        assert "the disk is gone" in problem.detail
        assert "the disk is gone" in served.problem(served.get("/api/health/ready"), 503).detail
        assert served.get("/api/health").status_code == 200

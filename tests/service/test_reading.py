"""The routes that read, each with what it answers and what it refuses."""

import base64
from collections.abc import Callable

import httpx
import msgspec
import pytest

from decision_dna.engine.projections import DETECTIONS, Changes, Projection, ProjectionFollower
from decision_dna.engine.replay import replay_log
from decision_dna.ledger import merkle
from decision_dna.ledger.evidence import check_evidence
from decision_dna.ledger.fingerprint import fingerprint
from decision_dna.ledger.followers import ClaimFacts
from decision_dna.ledger.indexes import Indexes
from decision_dna.ledger.notes import note_of, open_checkpoint
from decision_dna.ledger.plan import Draft
from decision_dna.ledger.queries import PAGE_BYTES_MAX, EventFilter
from decision_dna.ledger.tlogproof import parse_proof
from decision_dna.ledger.views import event_view
from decision_dna.schemas import codec
from decision_dna.schemas.anchoring import CONFIRMED, AnchorConfirmed
from decision_dna.schemas.texts import time_text
from decision_dna.service.http import operations
from decision_dna.service.http.server import serving
from decision_dna.service.http.stream import CHUNK_BYTES_MAX, read_chunk
from decision_dna.service.settings import Settings
from tests.ledger.samples import SECOND, START, fill, new_ledger
from tests.service.serving import Service, event, new_id, service

ANCHOR = AnchorConfirmed(
    block_time=1, cluster="local", n=0, root=bytes(32), signature=bytes(64), size=1, slot=2, transaction=b"raw"
)
FIELDS = """
    seq id fingerprint type schema stream stream_seq source subject occurred_at recorded_at causes trace payload hash
    prev stream_prev attestation principal key_id signature author_seq payload_commitment salt
"""


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """Every kind of entry, an anchor, and a heartbeat at the end."""
    with service(tmp_path_factory.mktemp("reading")) as running:
        fill(running.ledger, running.clock, rounds=3)
        running.ledger.append_anchor(CONFIRMED, ANCHOR)
        running.clock.advance(SECOND)
        running.ledger.heartbeat()
        yield running


def json_of(answer):
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/json"
    return msgspec.json.decode(answer.content)


def test_an_event_by_each_of_its_names(served: Service) -> None:
    view = json_of(served.get("/api/events/3"))
    assert list(view) == [*FIELDS.split(), "redacted"]
    assert (view["payload"], view["redacted"], view["salt"]) == (None, True, None)
    view = json_of(served.get("/api/events/4"))
    assert list(view) == FIELDS.split()
    assert (view["seq"], view["source"], view["payload"]["what"]) == (4, "engine-1", "a thing")
    for name in (view["id"], view["fingerprint"], "4"):
        assert json_of(served.get(f"/api/events/{name}")) == view
    assert view["fingerprint"] == str(fingerprint(4, served.ledger.reader.raw(4)))
    assert view["recorded_at"] == time_text(served.ledger.reader.event(4).entry.recorded_at)


def test_an_open_payload_shows_bytes_as_hex(served: Service) -> None:
    payload = json_of(served.get("/api/events/0"))["payload"]
    assert payload["log_key"] == served.ledger.vkey.key.hex()


@pytest.mark.parametrize(
    "name",
    ["99999", "-1", "abc", "01a0c450-6c00-74df-8f56-ea384d7610d9", "00000000-0000-8000-8000-000000000000", "9" * 30,
     "9" * 4301],
)  # fmt: skip
def test_no_such_event(served: Service, name: str) -> None:
    for rest in ("", "/proof", "/evidence", "/lineage"):
        served.problem(served.get(f"/api/events/{name}{rest}"), 404)


def test_pages_cover_the_log_and_carry_their_checkpoint(served: Service) -> None:
    seqs, cursor = [], ""
    while cursor is not None:
        page = json_of(served.get(f"/api/events?limit=7&order=desc{cursor and '&cursor=' + cursor}"))
        open_checkpoint(page["checkpoint"].encode(), [served.ledger.vkey])
        seqs += [view["seq"] for view in page["events"]]
        cursor = page["next_cursor"]
    assert seqs == list(range(served.ledger.reader.size))[::-1]


@pytest.mark.parametrize(
    ("query", "matches"),
    [
        ("type=x.*", lambda view: view["type"].startswith("x.")),
        ("type=ledger.heartbeat", lambda view: view["type"] == "ledger.heartbeat"),
        ("source=bot", lambda view: view["source"] == "bot"),
        ("subject=pool-1", lambda view: view["subject"] == "pool-1"),
        ("stream=x/raw", lambda view: view["stream"] == "x/raw"),
        ("from_seq=5&to_seq=9", lambda view: 5 <= view["seq"] < 9),
        (f"from={time_text(START + 3 * SECOND)}", lambda view: view["recorded_at"] >= time_text(START + 3 * SECOND)),
        (f"to={time_text(START + 3 * SECOND)}", lambda view: view["recorded_at"] < time_text(START + 3 * SECOND)),
    ],
)
def test_a_filter_finds_what_it_names_and_nothing_else(served: Service, query: str, matches) -> None:
    everything = json_of(served.get("/api/events?limit=1000"))["events"]
    expected = [view for view in everything if matches(view)]
    assert json_of(served.get(f"/api/events?limit=1000&{query}"))["events"] == expected
    assert 0 < len(expected) < len(everything)


@pytest.mark.parametrize(
    "query",
    ["limit=0", "limit=1001", "limit=x", "limit=-1", "order=up", "cursor=zzz", "typ=x", "type=a*b", "cause=7",
     "correlation=7", "from=yesterday", "from_seq=1e3", "type=a&type=b", "=", "a", "subject=%00", "subject=%ff"],
)  # fmt: skip
def test_a_question_that_is_none(served: Service, query: str) -> None:
    served.problem(served.get(f"/api/events?{query}"), 400)


def test_a_proof_in_the_newest_head_and_in_an_older_one(served: Service) -> None:
    reader = served.ledger.reader
    for size in (reader.size, reader.heads()[-3]):
        answer = served.get(f"/api/events/2/proof?size={size}")
        assert answer.headers["content-type"] == "text/plain; charset=utf-8"
        proof = parse_proof(answer.text)
        checkpoint = open_checkpoint(proof.checkpoint, [served.ledger.vkey])
        leaf = merkle.leaf_hash(reader.raw(2))
        assert checkpoint.size == size
        merkle.check_inclusion(2, size, leaf, proof.hashes, checkpoint.root)
    served.problem(served.get("/api/events/2/proof?size=99999"), 404)
    served.problem(served.get("/api/events/2/proof?size=1"), 404)


def test_evidence_of_an_event_holds_offline(served: Service) -> None:
    for name, query in (("4", ""), ("2", "?payload=false"), ("3", ""), ("0", ""), ("1", "")):
        data = served.get(f"/api/events/{name}/evidence{query}").content
        report = check_evidence(data, served.ledger.vkey)
        assert report.holds, report.findings
    served.problem(served.get("/api/events/4/evidence?payload=maybe"), 400)


def test_a_run_of_a_stream_is_gapless_and_its_evidence_complete(served: Service) -> None:
    whole = json_of(served.get("/api/streams/x/engine-1"))
    assert [view["stream_seq"] for view in whole["events"]] == list(range(len(whole["events"])))
    part = json_of(served.get("/api/streams/x/engine-1?from_stream_seq=2&limit=3"))
    assert (part["events"], part["next"]) == (whole["events"][2:5], 5)
    assert [view["stream_prev"] for view in part["events"]] == [view["hash"] for view in whole["events"][1:4]]
    until = time_text(START + 4 * SECOND)
    for stream, kind in (("x/engine-1", "run"), ("x/nobody", "absence"), ("ledger/ledger", "run")):
        data = served.get(f"/api/streams/{stream}/evidence?from=2020-01-01T00:00:00Z&to={until}").content
        assert msgspec.json.decode(data)["kind"] == kind
        report = check_evidence(data, served.ledger.vkey)
        assert report.holds, report.findings
    served.problem(served.get("/api/streams/x/nobody"), 404)
    served.problem(served.get("/api/streams/x/engine-1/evidence"), 400)
    later = "from=2020-01-01T00:00:00Z&to=2100-01-01T00:00:00Z"
    served.problem(served.get(f"/api/streams/x/engine-1/evidence?{later}"), 404)


def test_the_heads_of_streams(served: Service) -> None:
    views = json_of(served.get("/api/streams"))["streams"]
    assert [view["stream"] for view in views] == sorted(view["stream"] for view in views)
    heads = {view["stream"]: (view["count"], view["hash"]) for view in views}
    last = json_of(served.get("/api/streams/x/raw"))["events"][-1]
    assert heads["x/raw"] == (last["stream_seq"] + 1, last["hash"])


def test_lineage_goes_both_ways(served: Service) -> None:
    effect = json_of(served.get("/api/events?subject=pool-1"))["events"][0]
    graph = json_of(served.get(f"/api/events/{effect['id']}/lineage?direction=causes"))
    cause = graph["nodes"][0]
    assert graph["edges"] == [[cause["seq"], effect["seq"]]]
    assert effect["causes"] == [cause["id"]]
    back = json_of(served.get(f"/api/events/{cause['seq']}/lineage"))
    assert (back["edges"], back["truncated"]) == (graph["edges"], False)
    assert json_of(served.get(f"/api/events/{cause['seq']}/lineage?depth=0"))["truncated"] is True
    served.problem(served.get("/api/events/4/lineage?direction=up"), 400)


def test_one_size_is_the_beginning_of_another(served: Service) -> None:
    reader = served.ledger.reader
    old, new = reader.heads()[2], reader.size
    view = json_of(served.get(f"/api/consistency?from={old}"))
    roots = [note_of(reader.note_of(size)).root for size in (old, new)]
    merkle.check_consistency(old, new, roots[0], roots[1], [base64.b64decode(value) for value in view["proof"]])
    served.problem(served.get("/api/consistency?from=0"), 404)
    served.problem(served.get(f"/api/consistency?from={new + 1}"), 404)
    served.problem(served.get("/api/consistency"), 400)


def test_anchors_are_listed_and_named_by_number(served: Service) -> None:
    (listed,) = json_of(served.get("/api/anchors"))["events"]
    assert (listed["type"], listed["payload"]["transaction"]) == (CONFIRMED, b"raw".hex())
    assert json_of(served.get("/api/anchors/0")) == listed
    served.problem(served.get("/api/anchors/1"), 404)
    served.problem(served.get("/api/anchors/first"), 400)


def test_nobody_submits_an_anchor_but_the_ledger(served: Service) -> None:
    size = served.ledger.reader.size
    said = {"type": CONFIRMED, "source": "anchor", "payload": msgspec.to_builtins(ANCHOR)}
    served.problem(served.post(said), 403)
    assert served.ledger.reader.size == size


def test_state_is_what_a_replay_gives(served: Service) -> None:
    size = served.ledger.reader.size
    view = json_of(served.get(f"/api/state/{DETECTIONS.name}?at={size}"))
    assert (view["as_of"], len(view["root"]), view["rows"]) == (size, 64, [])
    served.problem(served.get("/api/state/nothing"), 404)
    served.problem(served.get(f"/api/state/{DETECTIONS.name}?at={size + 1}"), 400)


def pages_of(served: Service, path: str, rows: str) -> tuple[list, list[dict]]:
    """All rows, page by page, and the pages without them."""
    found, pages, cursor = [], [], ""
    while cursor is not None:
        page = json_of(served.get(f"{path}{cursor and '&cursor=' + cursor}"))
        found += page.pop(rows)
        cursor = page.pop("next_cursor")
        pages.append(page)
    return found, pages


def fold_subject(get: Callable[[bytes], bytes | None], claim: ClaimFacts, payload: bytes | None) -> Changes:
    """The id of the newest event of a subject."""
    return [(claim.subject.encode(), codec.encode(claim.id))]


SUBJECTS = Projection("subjects", 1, "x.", fold_subject)


@pytest.fixture(scope="module")
def stated(tmp_path_factory):
    """A service that follows a state of 120 rows, all folded."""
    ledger, clock = new_ledger(tmp_path_factory.mktemp("stated") / "d")
    with (
        ledger,
        serving(ledger, Settings(port=0), [ProjectionFollower(SUBJECTS)]) as address,
        httpx.Client(base_url=address, timeout=30) as client,
    ):
        running = Service(ledger, clock, address, client)
        assert running.post([event(n, subject=f"s{n * 7 % 120}") for n in range(150)]).status_code == 201
        while json_of(running.get("/api/state/subjects"))["as_of"] < ledger.reader.size:
            pass
        yield running


@pytest.mark.parametrize("limit", [1, 3, 7, 1000])
def test_state_pages_cover_the_state_and_name_the_whole(stated: Service, limit: int) -> None:
    """Each page has its rows by key, and root and number of the entries of the whole state."""
    size = stated.ledger.reader.size
    folded = replay_log(stated.ledger.store, stated.ledger.reader, SUBJECTS, size)
    keys = [key.decode() for key, _ in folded.rows]
    assert len(keys) == 120
    for path in (f"?limit={limit}", f"?limit={limit}&at={size}"):
        rows, pages = pages_of(stated, f"/api/state/subjects{path}", "rows")
        assert [row["key"] for row in rows] == keys == sorted(keys)
        assert len(pages) == -(-len(keys) // limit)
        for page in pages:
            assert (page["as_of"], page["entries"], page["root"]) == (size, len(keys), folded.root.hex())


def test_state_page_without_a_limit_has_a_hundred_rows(stated: Service) -> None:
    page = json_of(stated.get("/api/state/subjects"))
    assert (len(page["rows"]), page["entries"] > 100, page["next_cursor"] is not None) == (100, True, True)


@pytest.mark.parametrize("query", ["limit=0", "limit=1001", "cursor=!", "cursor=YQ==", "cursor=a", "at=-1", "after=1"])
def test_state_page_that_is_none(stated: Service, query: str) -> None:
    stated.problem(stated.get(f"/api/state/subjects?{query}"), 400)


def test_stream_heads_come_in_pages(served: Service) -> None:
    whole = json_of(served.get("/api/streams"))
    assert whole["next_cursor"] is None
    heads, pages = pages_of(served, "/api/streams?limit=1", "streams")
    assert (heads, len(pages)) == (whole["streams"], len(heads))
    for query in ("limit=0", "limit=1001", "cursor=!"):
        served.problem(served.get(f"/api/streams?{query}"), 400)


LARGEST = {"type": "x.large", "source": "large", "payload": {"text": "a" * 250_000}}


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """Sixty of the largest events, each caused by the one before."""
    with service(tmp_path_factory.mktemp("large")) as running:
        for number in range(60):
            ids = {"id": LARGE_IDS[number], "causes": [LARGE_IDS[number - 1]] if number else []}
            assert running.post({**LARGEST, **ids}).status_code == 201
        running.clock.advance(SECOND)
        running.ledger.heartbeat()
        yield running


LARGE_IDS = [new_id(number) for number in range(60)]


def test_stream_run_ends_after_eight_mebibytes(large: Service) -> None:
    """And says where to go on, until all of it was read."""
    first = large.get("/api/streams/x/large?limit=1000")
    assert len(first.content) < PAGE_BYTES_MAX + 1_000_000
    page, seqs = json_of(first), []
    while True:
        seqs += [view["stream_seq"] for view in page["events"]]
        if page["next"] is None:
            break
        page = json_of(large.get(f"/api/streams/x/large?limit=1000&from_stream_seq={page['next']}"))
    assert seqs == list(range(60))


def test_lineage_ends_after_eight_mebibytes(large: Service) -> None:
    answer = large.get(f"/api/events/{LARGE_IDS[-1]}/lineage?direction=causes&depth=1000&limit=1000")
    assert (len(answer.content) < PAGE_BYTES_MAX + 1_000_000, json_of(answer)["truncated"]) == (True, True)


def test_chunk_of_the_live_stream_ends_after_256_kib(large: Service) -> None:
    """Thousands of subscribers may each hold one that they do not read."""
    indexes, size, at, seen = Indexes(large.ledger.store), large.ledger.reader.size, 0, 0
    while at < size:
        chunk = read_chunk(indexes, EventFilter(), at, size)
        assert len(chunk.frames) < CHUNK_BYTES_MAX + 300_000
        assert at < chunk.following <= size
        at, seen = chunk.following, seen + chunk.events
    assert seen == size


def test_stream_evidence_that_would_be_too_large_is_refused(large: Service) -> None:
    until = time_text(START)
    problem = large.problem(large.get(f"/api/streams/x/large/evidence?from=2020-01-01T00:00:00Z&to={until}"), 413)
    assert "more than" in problem.detail


def test_health_and_figures(served: Service) -> None:
    assert json_of(served.get("/api/health/"))["status"] == "up"
    assert json_of(served.get("/api/health/ready"))["status"] == "ready"
    assert json_of(served.get("/api/health/metrics/system"))["log_size"] == served.ledger.reader.size
    before = json_of(served.get("/api/health/metrics/performance"))["appended_events"]
    assert served.post([event(n) for n in range(3)]).status_code == 201
    assert json_of(served.get("/api/health/metrics/performance"))["appended_events"] == before + 3
    text = served.get("/metrics").text
    for name in (
        'dna_append_duration_seconds_bucket{le="+Inf"}',
        'defensive_dna_operations_total{operation="append",outcome="new"}',
        'dna_http_requests_total{method="POST",status="201"}',
        f"dna_log_size {float(served.ledger.reader.size)}",
    ):
        assert name in text


def test_every_answer_has_its_headers(served: Service) -> None:
    for path in ("/api/events/1", "/checkpoint", "/nowhere", "/api/events?limit=0"):
        headers = served.get(path).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["content-security-policy"].startswith("default-src 'none'")
        assert "server" not in headers


def test_wrong_paths_methods_and_hosts(served: Service) -> None:
    served.problem(served.get("/nowhere"), 404)
    answer = served.client.delete("/api/events")
    served.problem(answer, 405)
    assert answer.headers["allow"] == "GET, HEAD, POST"
    for method, path, allow in (("POST", "/api/events/1", "GET, HEAD"), ("OPTIONS", "/api/health", "GET, HEAD")):
        answer = served.client.request(method, path)
        served.problem(answer, 405)
        assert answer.headers["allow"] == allow
    served.problem(served.client.request("DELETE", "/nowhere"), 404)
    for host in ("evil.example", "localhost.evil.example", ""):
        served.problem(served.get("/api/events/1", host=host), 421)
    assert served.get("/api/events/1", host="localhost:1234").status_code == 200


def test_the_schema_lists_exactly_what_is_routed(served: Service) -> None:
    document = json_of(served.get("/schema"))
    assert document["openapi"].startswith("3.1")
    for operation in operations.OPERATIONS:
        described = document["paths"][operation.path][operation.method]
        assert [p["name"] for p in described["parameters"] if p["in"] == "query"] == list(operation.names)
        path = operation.path.replace("{tile}", "0/000.p/1").replace("{family}/{source}", "x/raw")
        path = path.replace("{name}", "1").replace("{projection}", DETECTIONS.name).replace("{number}", "0")
        if operation.method == "get" and operation is not operations.SUBSCRIBE:
            answer = served.get(path)
            assert answer.status_code in (200, 400), path  # 400: a parameter that it needs


def test_a_view_keeps_every_kind_of_value(served: Service) -> None:
    payload = {"f": 1.5, "i": -(2**63), "l": [b"\xff", None, True], "m": {"t": "\u2028"}, "u": 2**64 - 1}
    seq = served.ledger.append([Draft("x.kinds", 1, "raw", codec.encode(payload))]).outcomes[0].seq  # type: ignore[union-attr]
    shown = event_view(served.ledger.reader.event(seq)).payload
    assert shown == {**payload, "l": ["ff", None, True]}
    assert json_of(served.get(f"/api/events/{seq}"))["payload"] == shown

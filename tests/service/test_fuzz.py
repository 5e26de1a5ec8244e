"""Whatever is asked, the service answers, and bad requests with problems of the 400s: driven by its own OpenAPI document."""

import json
from typing import Any
from urllib.parse import quote

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from decision_dna.engine.projections import DETECTIONS
from decision_dna.schemas.receipts import Problem
from decision_dna.service.http.operations import OPERATIONS, SUBSCRIBE, openapi
from tests.service.serving import PROBLEM, Service, event, service

DOCUMENT = openapi()
READING = [operation for operation in OPERATIONS if operation.method == "get" and operation is not SUBSCRIBE]
MEDIA = list(DOCUMENT["paths"]["/api/events"]["post"]["requestBody"]["content"])
BEND = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

WORDS = st.sampled_from(
    ["0", "1", "3", "-1", "99999", "9" * 25, "true", "x/raw", "x.*", "desc", "asc", "effects", "raw", DETECTIONS.name,
     "2026-01-01T00:00:00Z", "2100-01-01T00:00:00Z", "00000000-0000-7000-8000-000000000000", "000.p/1", "entries", "é"]
)  # fmt: skip
TEXTS = WORDS | st.text(max_size=12)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)


def of_schema(schema: dict[str, Any]) -> st.SearchStrategy[Any]:
    """Values that mostly fit a JSON schema, and sometimes do not."""
    if "oneOf" in schema:
        return st.one_of(*map(of_schema, schema["oneOf"]))
    if "$ref" in schema:
        return of_schema(DOCUMENT["components"]["schemas"][schema["$ref"].rpartition("/")[2]])
    match schema.get("type"):
        case "object" if "properties" in schema:
            required = {name: of_schema(schema["properties"][name]) for name in schema["required"]}
            optional = {name: of_schema(each) for name, each in schema["properties"].items() if name not in required}
            return st.fixed_dictionaries(required, optional=optional) | JSON
        case "object":
            return st.dictionaries(st.text(max_size=4), JSON, max_size=3)
        case "array":
            return st.lists(of_schema(schema["items"]), max_size=3)
        case "integer":
            return st.integers(schema.get("minimum", -5), schema.get("maximum", 2**64)) | JSON
        case "string" if "pattern" in schema:
            return st.from_regex(schema["pattern"], fullmatch=True) | TEXTS
        case "string":
            return st.sampled_from(["x.seen", "observation.skip", "ledger.key", "raw", "dex", "bot"]) | TEXTS
    return JSON


BODIES = of_schema(DOCUMENT["paths"]["/api/events"]["post"]["requestBody"]["content"]["application/json"]["schema"])


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    with service(tmp_path_factory.mktemp("fuzz")) as running:
        running.post([event(n) for n in range(5)])
        yield running


def check(answer) -> None:
    """Good, or a problem of the caller's."""
    assert answer.status_code < 500, answer.text
    if answer.status_code >= 400:
        assert answer.headers["content-type"] == PROBLEM
        assert msgspec.json.decode(answer.content, type=Problem).status == answer.status_code


@BEND
@given(data=st.data())
def test_every_question_is_answered(served: Service, data: st.DataObject) -> None:
    operation = data.draw(st.sampled_from(READING))
    words = [data.draw(TEXTS) if word.startswith("{") else word for word in operation.path.split("/")]
    names = [parameter.name for parameter in operation.query]
    asked = data.draw(st.dictionaries(st.sampled_from([*names, "colour"]), TEXTS, max_size=3))
    query = "&".join(f"{quote(name)}={quote(text)}" for name, text in asked.items())
    check(served.get("/".join(quote(word, safe="/.") for word in words) + (query and f"?{query}")))


@BEND
@given(body=BODIES, media=st.sampled_from(MEDIA), atomic=st.booleans())
def test_every_submission_is_answered(served: Service, body: Any, media: str, atomic: bool) -> None:
    try:
        data = msgspec.msgpack.encode(body) if media == "application/msgpack" else json.dumps(body).encode()
    except (OverflowError, UnicodeEncodeError):
        data = repr(body).encode(errors="replace")
    before = served.ledger.reader.size
    answer = served.post(data, media, "?atomic=true" if atomic else "")
    check(answer)
    if answer.status_code >= 400:
        assert served.ledger.reader.size == before


@BEND
@given(body=st.binary(max_size=80), media=st.sampled_from([*MEDIA, "text/plain", "application/json; x=\u00fc", ""]))
def test_every_byte_string_is_answered(served: Service, body: bytes, media: str) -> None:
    check(served.client.post("/api/events", content=body, headers=[(b"content-type", media.encode("latin-1"))]))


@BEND
@given(
    method=st.sampled_from(["PUT", "DELETE", "PATCH", "OPTIONS", "HEAD", "POST"]),
    path=st.sampled_from([operation.path for operation in OPERATIONS if operation.method != "post"]),
)
def test_every_method_is_answered(served: Service, method: str, path: str) -> None:
    answer = served.client.request(method, path)
    assert answer.status_code < 500

"""A key that stands twice in one object: refused by name, from a file and over HTTP, in JSON, NDJSON and MessagePack."""

import json
from pathlib import Path

import httpx
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from decision_dna.ledger.opening import open_ledger
from decision_dna.schemas import market as _market  # noqa: F401  # declares a typed payload
from decision_dna.schemas.errors import Malformed
from decision_dna.schemas.submissions import decode_json, decode_msgpack
from decision_dna.service.http.server import serving
from decision_dna.service.settings import Settings
from tests.cli.calling import IDS, dna, done, is_one_sentence, new_ledger, size_of, submission, write_lines

TWICE = [
    ("in the payload", '{"type":"x.a","source":"s","payload":{"price":1,"price":2}}', "price"),
    ("the same value", '{"type":"x.a","source":"s","payload":{"price":1,"price":1}}', "price"),
    ("deep inside", '{"type":"x.a","source":"s","payload":{"legs":[{"in":1},{"in":1,"out":2,"in":3}]}}', "in"),
    ("around it", '{"type":"x.a","source":"s","type":"x.b","payload":{}}', "type"),
    ("the payload", '{"type":"x.a","source":"s","payload":{"a":1},"payload":{}}', "payload"),
    ("spelled in another way", '{"type":"x.a","source":"s","payload":{"a":1,"\\u0061":2}}', "a"),
    ("with blanks", '{"type":"x.a","source":"s","payload":{"a":1,"a"\t :2}}', "a"),
    ("with colons in texts", '{"type":"x.a","source":"s","payload":{"a":"12:30","b":": \\":","a":"x :y"}}', "a"),
    ("beside a null", '{"type":"x.a","source":"s","id":null,"payload":{"a":1,"a":2}}', "a"),
    (
        "of a declared type",
        '{"type":"observation.skip","source":"s","payload":{"reason":"r","slot":1,"slot":2}}',
        "slot",
    ),
    ("of an author", '{"claim":"AAAA","claim":"AAAA","payload":{}}', None),
]


@pytest.mark.parametrize(("text", "key"), [case[1:] for case in TWICE], ids=[case[0] for case in TWICE])
def test_a_key_that_stands_twice_is_named(text: str, key: str | None) -> None:
    with pytest.raises(Malformed) as raised:
        decode_json(text.encode())
    assert key is None or str(raised.value) == f"the key {key!r} stands twice in one object"


def packed_map(*pairs: tuple[object, bytes]) -> bytes:
    return bytes([0x80 | len(pairs)]) + b"".join(msgspec.msgpack.encode(key) + value for key, value in pairs)


ONE, TWO = b"\x01", b"\x02"


@pytest.mark.parametrize("opening", [b"\x81\xa1a", b"\x91"])
@pytest.mark.parametrize("depth", [40, 450, 900])
def test_what_is_nested_too_deep_is_said_before_the_stack_ends(opening: bytes, depth: int) -> None:
    kind, source = msgspec.msgpack.encode("x.a"), msgspec.msgpack.encode("s")
    deep = packed_map(("a", opening * depth + b"\xc0"))
    with pytest.raises(Malformed, match="nested deeper than 32"):
        decode_msgpack(packed_map(("type", kind), ("source", source), ("payload", deep), ("type", kind)))


NO_TEXT = [
    b"\x91\x01",
    b"\x80",
    b"\xd4\x05\x01",
    b"\xd4\xff\x01",
    b"\xc0",
    b"\xa1\xff",
]  # a list, a map, extensions, nothing, no UTF-8


@pytest.mark.parametrize("key", NO_TEXT)
@pytest.mark.parametrize("null", [(), (("subject", b"\xc0"),)])
def test_a_key_that_is_no_text_is_malformed_wherever_it_is_met(
    key: bytes, null: tuple[tuple[object, bytes], ...]
) -> None:
    around = [("source", b"\xa1s"), *null]
    nested = packed_map(("a", b"\x81" + key + ONE))
    unknown = packed_map(("slot", ONE), ("reason", b"\xa1r"), ("u", b"\x81" + key + ONE))
    for kind, payload in (("x.a", b"\x81" + key + ONE), ("x.a", nested), ("observation.skip", unknown)):
        with pytest.raises(Malformed):
            decode_msgpack(packed_map(("type", msgspec.msgpack.encode(kind)), *around, ("payload", payload)))


@pytest.mark.parametrize(
    "lost",
    [b'"\xff"', b"[" * 5000 + b"]" * 5000, b"[" * 970 + b"]" * 970, b'{"a":' * 970 + b"1" + b"}" * 970, b'"\\ud800"'],
)
def test_a_value_that_another_one_replaced_is_looked_at_too(lost: bytes) -> None:
    for first, second in ((lost, b"{}"), (b"{}", lost)):
        text = b'{"type":"x.a","source":"s","payload":%b,"payload":%b}' % (first, second)
        with pytest.raises(Malformed):
            decode_json(text)


PACKED_TWICE = [
    ("in the payload", packed_map(("a", ONE), ("a", TWO)), "a"),
    ("spelled in another way", b"\x82\xa1a\x01\xd9\x01a\x02", "a"),
    ("deep inside", packed_map(("m", b"\x92\xc0" + packed_map(("q", ONE), ("z", TWO), ("q", ONE)))), "q"),
    ("made up for by a short float", packed_map(("a", ONE), ("f", b"\xca\x3f\xc0\x00\x00"), ("aa", ONE), ("aa", ONE)), "aa"),
    ("behind everything", packed_map(*[(f"k{at}", value) for at, value in enumerate(
        (b"\xc3", b"\xd9\x01x", b"\xc4\x02xx", b"\xcd\x00\x01", b"\xd3" + bytes(8), b"\xcb" + bytes(8), b"\xdc\x00\x01\x05", b"\xde\x00\x00")
    )], ("z", ONE), ("z", ONE)), "z"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("payload", "key"), [case[1:] for case in PACKED_TWICE], ids=[case[0] for case in PACKED_TWICE]
)
def test_in_messagepack_too(payload: bytes, key: str) -> None:
    type_name, source = msgspec.msgpack.encode("x.a"), msgspec.msgpack.encode("s")
    with pytest.raises(Malformed, match=f"the key '{key}' stands twice"):
        decode_msgpack(packed_map(("type", type_name), ("source", source), ("payload", payload)))
    with pytest.raises(Malformed, match="the key 'source' stands twice"):
        decode_msgpack(packed_map(("source", source), ("type", type_name), ("source", source), ("payload", b"\x80")))


def test_of_a_declared_type_in_messagepack_too() -> None:
    payload = packed_map(("slot", ONE), ("reason", b"\xa1r"), ("slot", TWO))
    type_name, source = msgspec.msgpack.encode("observation.skip"), msgspec.msgpack.encode("s")
    with pytest.raises(Malformed, match="the key 'slot' stands twice"):
        decode_msgpack(packed_map(("type", type_name), ("source", source), ("payload", payload)))


def test_texts_that_look_like_keys_are_none() -> None:
    payload = {"note": 'a": 1, "note": 2', "at": "12:30:01", ":": " :", "nested": [{"note": {}}, {"note": [":"]}]}
    for text in (json.dumps(payload), json.dumps(payload, indent=2), json.dumps(payload, separators=(",", "\t: "))):
        said = decode_json(f'{{"type":"x.a","source":"s","subject":null,"payload":{text}}}'.encode())
        assert msgspec.msgpack.decode(said.payload) == payload


KEYS = st.sampled_from(["a", "b", ":", '"', "é", '":'])
TREES = st.recursive(
    st.none() | st.integers(-5, 5) | st.text(':", a', max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.lists(st.tuples(KEYS, inner), max_size=3).map(tuple),
    max_leaves=8,
)
SPACES = st.sampled_from(["", " ", "\n", "\t", "\r\n"])


def has_doubles(tree: object) -> bool:
    """The slow reference: an object is a tuple of pairs."""
    if isinstance(tree, list):
        return any(map(has_doubles, tree))
    if not isinstance(tree, tuple):
        return False
    keys = [key for key, _ in tree]
    return len(set(keys)) != len(keys) or any(has_doubles(value) for _, value in tree)


def as_json(tree: object, space: str, ascii_only: bool) -> str:
    if isinstance(tree, list):
        return f"[{f',{space}'.join(as_json(each, space, ascii_only) for each in tree)}]"
    if not isinstance(tree, tuple):
        return json.dumps(tree, ensure_ascii=ascii_only)
    pairs = [
        f"{json.dumps(key, ensure_ascii=ascii_only)}{space}:{as_json(value, space, ascii_only)}" for key, value in tree
    ]
    return f"{{{f'{space},'.join(pairs)}}}"


def as_msgpack(tree: object) -> bytes:
    if isinstance(tree, list):
        return bytes([0x90 | len(tree)]) + b"".join(map(as_msgpack, tree))
    if not isinstance(tree, tuple):
        return msgspec.msgpack.encode(tree)
    return packed_map(*[(key, as_msgpack(value)) for key, value in tree])


@given(st.lists(st.tuples(KEYS, TREES), max_size=4).map(tuple), SPACES, st.booleans())
def test_exactly_those_that_have_one_are_refused(tree: tuple[object, ...], space: str, ascii_only: bool) -> None:
    whole = (("type", "x.a"), ("payload", tree), ("source", "s"))
    taken = []
    for decode, data in (
        (decode_json, as_json(whole, space, ascii_only).encode()),
        (decode_msgpack, as_msgpack(whole)),
    ):
        try:
            decode(data)
        except Malformed:
            taken.append(False)
        else:
            taken.append(True)
    assert taken == [not has_doubles(tree)] * 2


def test_a_line_with_one_is_refused_by_append(tmp_path: Path) -> None:
    path = new_ledger(tmp_path, 1)
    line = json.dumps(submission(2)).replace('{"number": 2}', '{"number": 2, "number": 3}').encode()
    said = dna("append", path, write_lines(tmp_path / "twice.ndjson", submission(1), line))
    assert (said.code, is_one_sentence(said.err)) == (1, True)
    assert "line 2: the key 'number' stands twice in one object" in said.err
    assert size_of(path) == 2
    skipping = dna("append", path, tmp_path / "twice.ndjson", "--skip-bad")
    assert (skipping.code, size_of(path)) == (1, 3)
    assert done("show", path, IDS[1], "--json").json["payload"] == {"number": 1}


def test_a_body_with_one_is_refused_over_http(tmp_path: Path) -> None:
    path = new_ledger(tmp_path)
    twice = b'{"type":"x.a","source":"s","payload":{"price":1,"price":2}}'
    fine = json.dumps(submission(1)).encode()
    packed = packed_map(
        ("type", msgspec.msgpack.encode("x.a")),
        ("source", msgspec.msgpack.encode("s")),
        ("payload", packed_map(("price", ONE), ("price", TWO))),
    )
    bodies = {"application/json": twice, "application/x-ndjson": fine + b"\n" + twice, "application/msgpack": packed}
    with open_ledger(path) as ledger, serving(ledger, Settings(port=0)) as address:
        for media, body in bodies.items():
            answer = httpx.post(
                f"{address}/api/events", params={"atomic": "true"}, content=body, headers={"content-type": media}
            )
            assert "the key 'price' stands twice in one object" in answer.text
            with_the_rest = media == "application/x-ndjson"
            assert answer.status_code == (409 if with_the_rest else 400)
    assert done("query", path, "--type", "x.*", "--json").json["events"] == []

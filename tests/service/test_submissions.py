"""Submissions from their bytes: what is read, and the one error for everything else."""

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from decision_dna.schemas import market as _market  # noqa: F401  # declares a typed payload
from decision_dna.schemas.errors import BadInput, Malformed, TooLarge, UnknownType
from decision_dna.schemas.submissions import (
    Submission,
    decode_body,
    decode_json,
    decode_msgpack,
)
from decision_dna.schemas.texts import id_bytes, id_text, time_ns, time_text

ID = "0192aaaa-bbbb-7ccc-8ddd-eeeeeeeeeeee"
WHOLE = {
    "type": "x.seen",
    "schema": 1,
    "source": "dex",
    "payload": {"b": 1, "a": [None, True, 1.5]},
    "id": ID,
    "subject": "pool-1",
    "occurred_at": "2026-01-31T12:00:00.000000001Z",
    "causes": [ID],
    "trace": "",
    "expected_stream_seq": 7,
}
SKIP = {"reason": "gone", "slot": 3}


def as_json(value: object) -> bytes:
    return msgspec.json.encode(value)


def test_every_field_is_read() -> None:
    canonical = msgspec.msgpack.encode({"a": [None, True, 1.5], "b": 1})
    identity = id_bytes(ID)
    assert decode_json(as_json(WHOLE)) == Submission(
        "x.seen", 1, "dex", canonical, identity, "pool-1", 1_769_860_800_000_000_001, (identity,), "", 7
    )


def test_messagepack_says_the_same_with_bytes_and_integers() -> None:
    packed = {**WHOLE, "id": id_bytes(ID), "causes": [id_bytes(ID)], "occurred_at": 1_769_860_800_000_000_001}
    assert decode_msgpack(msgspec.msgpack.encode(packed)) == decode_json(as_json(WHOLE))


def test_what_is_left_out_the_ledger_fills_in() -> None:
    said = decode_json(as_json({"type": "observation.skip", "source": "engine", "payload": SKIP}))
    assert (said.schema, said.id, said.occurred_at, said.expected_stream_seq) == (1, None, None, None)


REFUSED = [
    ("no JSON", b"{", "not a submission"),
    ("no object", b"3", "not a submission"),
    ("not UTF-8", b'{"type":"\xff"}', "not a submission"),
    ("an unknown field", as_json({**WHOLE, "colour": 1}), "unknown field `colour`"),
    ("no payload", as_json({"type": "x.seen", "source": "dex"}), "missing required field `payload`"),
    ("no source", as_json({"type": "x.seen", "payload": {}}), "needs type, source and payload"),
    ("a payload that is a list", as_json({**WHOLE, "payload": []}), "payload of x.seen"),
    ("a huge integer", json.dumps({**WHOLE, "payload": {"n": 2**64}}).encode(), "an integer of more than 64 bits"),
    ("an id that is none", as_json({**WHOLE, "id": "7"}), "Invalid UUID"),
    ("a local time", as_json({**WHOLE, "occurred_at": "2026-01-31T12:00:00+01:00"}), "not an RFC 3339 time in UTC"),
    ("no such day", as_json({**WHOLE, "occurred_at": "2026-02-30T12:00:00Z"}), "no such time"),
    ("before 1970", as_json({**WHOLE, "occurred_at": "1969-12-31T23:59:59Z"}), "before 1970"),
    ("ten digits", as_json({**WHOLE, "occurred_at": "2026-01-31T12:00:00.0123456789Z"}), "not an RFC 3339"),
    ("time as a number", as_json({**WHOLE, "occurred_at": 5}), "Expected `str"),
    ("a negative position", as_json({**WHOLE, "expected_stream_seq": -1}), ">= 0"),
    ("a schema of nothing", as_json({**WHOLE, "type": "observation.skip", "schema": 9}), "with schema 9"),
    ("a type of nobody", as_json({**WHOLE, "type": "nobody.said"}), "no payload type 'nobody.said'"),
    ("a field too few", as_json({"type": "observation.skip", "source": "e", "payload": {"slot": 1}}), "`reason`"),
    ("both kinds", as_json({**WHOLE, "claim": ""}), "a signed claim says type"),
    ("half signed", as_json({"claim": "", "payload": {}}), "needs claim, salt, signature and key_id"),
    (
        "a claim that is none",
        as_json({"claim": "AAAA", "salt": "0" * 32, "signature": "0" * 128, "key_id": "0" * 16, "payload": {}}),
        "not MessagePack",
    ),
]


@pytest.mark.parametrize(("data", "says"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED])
def test_anything_else_is_one_clear_error(data: bytes, says: str) -> None:
    with pytest.raises(BadInput, match=r".") as raised:
        decode_json(data)
    assert says in str(raised.value)


def test_bodies_of_every_kind_hold_the_same() -> None:
    two = [WHOLE, {"type": "x.b", "source": "dex", "payload": {}}]
    packed = [
        {**WHOLE, "id": id_bytes(ID), "causes": [id_bytes(ID)], "occurred_at": time_ns(str(WHOLE["occurred_at"]))},
        two[1],
    ]
    ndjson = b"\n".join(map(as_json, two)) + b"\r\n\n"
    assert decode_body(as_json(two), "json") == decode_body(ndjson, "ndjson")
    assert decode_body(as_json(two), "json") == decode_body(msgspec.msgpack.encode(packed), "msgpack")
    assert [decode_body(as_json(WHOLE), media).single for media in ("json", "ndjson")] == [True, False]  # type: ignore[arg-type]


def test_a_bad_line_is_an_error_at_its_own_place() -> None:
    items = decode_body(as_json(WHOLE) + b"\n{oops\n" + as_json(WHOLE), "ndjson").items
    assert [type(item) for item in items] == [Submission, Malformed, Submission]


@pytest.mark.parametrize(
    ("data", "media", "kind"),
    [
        (b"", "ndjson", Malformed),
        (b"[]", "json", Malformed),
        (b"[", "json", Malformed),
        (b"\x91", "msgpack", Malformed),
        (b"{}\n" * 10_001, "ndjson", TooLarge),
        (b" " * (16 * 1024 * 1024 + 1), "json", TooLarge),
        (b" " * (2 * 1024 * 1024) + b"{}", "json", TooLarge),
        (b"\x81\xa1a\xc6" + (2 * 1024 * 1024).to_bytes(4) + bytes(2 * 1024 * 1024), "msgpack", TooLarge),
    ],
)
def test_bodies_that_are_none(data: bytes, media: str, kind: type[BadInput]) -> None:
    with pytest.raises(kind):
        decode_body(data, media)  # type: ignore[arg-type]


def test_a_payload_in_messagepack_is_written_again_in_the_one_encoding() -> None:
    unsorted_with_long_forms = b"\x82\xa1b\xcd\x00\x01\xa1a\xca\x3f\xc0\x00\x00"
    data = b"\x83\xa4type\xa3x.a\xa6source\xa1d\xa7payload" + unsorted_with_long_forms
    said = decode_msgpack(data)
    assert said.payload == msgspec.msgpack.encode({"a": 1.5, "b": 1})


def test_an_unknown_type_is_told_apart() -> None:
    with pytest.raises(UnknownType):
        decode_json(as_json({"type": "nobody.said", "source": "e", "payload": {}}))


FIELDS = st.sampled_from([*WHOLE, "claim", "salt", "signature", "key_id", "colour"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)
BENT = st.dictionaries(FIELDS, VALUES, max_size=4).map(lambda bent: json.dumps({**WHOLE, **bent}).encode())


@given(st.binary(max_size=60) | BENT)
def test_only_bad_input_leaves_a_decoder(data: bytes) -> None:
    for decode in (decode_json, decode_msgpack):
        try:
            assert decode(data) is not None
        except BadInput as error:
            assert str(error)


@given(st.integers(0, 2**63 - 1), st.binary(min_size=16, max_size=16))
def test_times_and_ids_come_back(ns: int, identity: bytes) -> None:
    assert time_ns(time_text(ns)) == ns
    assert id_bytes(id_text(identity)) == identity

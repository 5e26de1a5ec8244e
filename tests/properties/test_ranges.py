"""Every field of every payload has a range, and what is past it is refused wherever payloads are decoded."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from decision_dna.schemas import codec
from decision_dna.schemas.errors import BadInput
from decision_dna.schemas.payloads import (
    check_payload,
    decode_payload,
    kind_of,
    payload_from_json,
)
from tests.properties.payloads import edges, every_type, payloads, unbounded

TYPES = every_type()


@pytest.mark.parametrize(("name", "schema"), TYPES)
def test_range_every_field(name, schema):
    """Every integer, text, bytes and array of a payload type has both its ends declared, at every depth."""
    assert unbounded(kind_of(name, schema).struct) == []


def test_range_missing():
    """A field without a range is found, at whatever depth it lies."""

    class Inner(msgspec.Struct):
        amount: int

    class Outer(msgspec.Struct):
        blob: bytes
        inner: tuple[Inner, ...]
        maybe: str | None
        pair: tuple[int, str]
        share: float
        table: dict[str, int]

    assert unbounded(Outer) == [
        "blob", "inner", "inner[].amount", "maybe", "pair[0]", "pair[1]", "share", "table",
    ]  # fmt: skip


@pytest.mark.parametrize(("name", "schema"), TYPES)
def test_range_ends(name, schema):
    """A payload at either end of each range is taken, in MessagePack and JSON, and reads back as what it was."""
    kind = kind_of(name, schema)
    assert edges(name, schema)
    for data in edges(name, schema):
        check_payload(name, schema, data)
        value = decode_payload(name, schema, data)
        assert codec.encode(value) == data
        again = msgspec.json.decode(msgspec.json.encode(value), type=kind.struct)
        assert payload_from_json(name, schema, msgspec.json.encode(value)) == codec.encode(again) == data


@pytest.mark.parametrize(("name", "schema"), TYPES)
@settings(max_examples=25)
@given(data=st.data())
def test_range_random(name, schema, data):
    """Random payloads of a type are taken by the one function that admission asks."""
    payload = data.draw(payloads(name, schema))
    check_payload(name, schema, payload)
    assert codec.encode(decode_payload(name, schema, payload)) == payload


def past(name: str, **changes: object) -> bytes:
    """An ordinary payload of a type, with fields that its ranges do not allow."""
    fields = msgspec.msgpack.decode(edges(name, 1)[0])
    assert set(changes) <= set(fields)
    return codec.encode({**fields, **changes})


PAST = [
    ("detection.sandwich", {"victims_count": -1}),
    ("detection.sandwich", {"victims_count": 2**63}),
    ("detection.sandwich", {"profit_lamports": 2**63}),
    ("detection.sandwich", {"confidence_ppm": 1_000_001}),
    ("detection.sandwich", {"rule_version": 0}),
    ("detection.sandwich", {"rule": "r" * 65}),
    ("detection.sandwich", {"link": "other"}),
    ("detection.sandwich", {"pool": "pool-1"}),
    ("detection.sandwich", {"attackers": ["1" * 31]}),
    ("detection.sandwich", {"attackers": ["1" * 32] * 129}),
    ("detection.sandwich", {"passes": ["z" * 89]}),
    ("detection.sandwich", {"tips": -1}),
    ("detection.sandwich_pattern", {"victims_count": -(2**63)}),
    ("detection.arbitrage", {"position": -1}),
    ("detection.arbitrage", {"signature": "z" * 44}),
    ("detection.arbitrage", {"owner": "1" * 45}),
    ("detection.arbitrage", {"slot": -1}),
    ("observation.block", {"slot": -1}),
    ("observation.block", {"digest": "f" * 63}),
    ("observation.block", {"blockhash": "1" * 45}),
    ("observation.block", {"block_time": 2**63 // 10**9 + 1}),
    ("observation.skip", {"reason": "x" * 501}),
    ("observation.skip", {"reason": "a\nb"}),
    ("engine.state", {"projection": "p" * 65}),
    ("engine.state", {"projection": "Any projection"}),
    ("engine.state", {"version": 65_536}),
    ("anchor.confirmed", {"cluster": "c" * 65}),
    ("anchor.confirmed", {"transaction": bytes(1_233)}),
]


@pytest.mark.parametrize(("name", "changes"), PAST, ids=[f"{name}-{next(iter(changes))}" for name, changes in PAST])
def test_range_past_its_end(name, changes):
    """A value past the end of its range is refused at admission, and is no payload to those who read."""
    data = past(name, **changes)
    for refusing in (check_payload, decode_payload):
        with pytest.raises(BadInput):
            refusing(name, 1, data)


def test_range_integers_past_64_bits():
    """JSON can say integers that MessagePack cannot: they are refused, not clipped."""
    text = msgspec.json.encode(
        msgspec.to_builtins(decode_payload("detection.arbitrage", 1, edges("detection.arbitrage", 1)[0]))
    )
    hop = b'"hops":[{"amount_in":%d,"amount_out":0,"mint_in":"","mint_out":"","pool":"' + b"1" * 32 + b"/" + b"1" * 32
    for amount in (2**64 - 1, 2**64, 10**40):
        said = text.replace(b'"hops":[', hop % amount + b'"},').replace(b'"},]', b'"}]')
        if amount < 2**64:
            payload_from_json("detection.arbitrage", 1, said)
        else:
            with pytest.raises(BadInput):
                payload_from_json("detection.arbitrage", 1, said)

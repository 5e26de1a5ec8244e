"""Payloads as JSON: old schemas raised, bytes as hex, and types that nobody knows any more."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from decision_dna.schemas import codec
from decision_dna.schemas.payloads import Payload, payload_type, upcaster
from decision_dna.schemas.views import payload_view


@payload_type("tested.pair", schema=1)
class Old(Payload, frozen=True):
    """As it was."""

    key: bytes


@payload_type("tested.pair", schema=2)
class New(Payload, frozen=True):
    """As it is."""

    count: int
    key: bytes


@upcaster("tested.pair", from_schema=1)
def count_one(fields: dict) -> dict:
    return {**fields, "count": 1}


@pytest.mark.parametrize(
    ("type_name", "schema", "payload", "shown"),
    [
        ("tested.pair", 2, {"count": 5, "key": b"\xff"}, {"count": 5, "key": "ff"}),
        ("tested.pair", 1, {"key": b"\xff"}, {"count": 1, "key": "ff"}),
        ("nobody.knows", 3, {"key": b"\xff", "n": [1, b""]}, {"key": "ff", "n": [1, ""]}),
        ("x.foreign", 1, {"a": {"b": b"\x00"}}, {"a": {"b": "00"}}),
        ("x.foreign", 1, {}, {}),
    ],
)
def test_a_payload_at_its_newest_schema(type_name: str, schema: int, payload: dict, shown: dict) -> None:
    assert payload_view(type_name, schema, codec.encode(payload)) == shown


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


def slowly(value: object) -> object:
    """The reference: every value looked at."""
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, list):
        return [slowly(item) for item in value]
    return {key: slowly(item) for key, item in value.items()} if isinstance(value, dict) else value


@given(
    st.dictionaries(st.text(max_size=4), PLAIN | st.binary(max_size=6) | st.lists(st.binary(max_size=3)), max_size=4)
)
def test_the_fast_way_says_what_the_slow_one_says(payload: dict) -> None:
    assert payload_view("x.any", 1, codec.encode(payload)) == slowly(payload)

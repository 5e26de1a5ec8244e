"""The one codec: MessagePack in exactly one encoding (docs/format.md, section 1).

    encode({"b": 1, "a": [True, None]})  ->  82 a1 61 92 c3 c0 a1 62 01

Decoding accepts bytes only if they are what encoding the result gives: `msgspec` reads leniently (long forms of
integers, unsorted maps, doubled keys), so what was read is written again and compared.
"""

import math
from typing import Any, TypeVar

import msgspec

from decision_dna.schemas.errors import Malformed

T = TypeVar("T")

DEPTH_MAX = 32
NOT_DECODED = (msgspec.DecodeError, ValueError, RecursionError, OverflowError)
"""What msgspec may raise for bytes that it cannot read."""

_encoder = msgspec.msgpack.Encoder(order="deterministic")
_any = msgspec.msgpack.Decoder()

encode = _encoder.encode
"""Canonical bytes of a value whose Structs declare their fields in canonical order (payload types are checked for it)."""


def decode(data: bytes) -> Any:
    """Any canonical value: nil, bool, int, finite double, text, bytes, list, dict with text keys.

    Raises Malformed for everything else.
    """
    value = decode_as(_any, data)
    check_plain(value)
    return value


def decode_as(decoder: "msgspec.msgpack.Decoder[T]", data: bytes) -> T:
    """A typed value, canonical and exact. Raises Malformed."""
    try:
        value = decoder.decode(data)
    except NOT_DECODED as error:
        raise Malformed(f"not MessagePack of the expected shape: {error}") from None
    try:
        again = encode(value)
    except TypeError as error:  # a key that is not text
        raise Malformed(f"not a canonical value: {error}") from None
    if again != data:
        raise Malformed("not in the one encoding: encoding it again gives other bytes")
    return value


def decode_json(decoder: "msgspec.json.Decoder[T]", data: bytes) -> T:
    """A typed JSON object in its one form (docs/format.md, section 10). Raises Malformed."""
    try:
        value = decoder.decode(data)
        again = msgspec.json.encode(value)
    except NOT_DECODED as error:
        raise Malformed(f"not the JSON that belongs here: {error}") from None
    if again != data:
        raise Malformed("JSON in another form than the one that its content has")
    return value


def check_plain(value: Any, depth: int = DEPTH_MAX) -> None:
    """Raise Malformed unless the value has a canonical form: finite doubles, text keys, integers of 64 bits, at most `DEPTH_MAX`
    arrays and maps one in another."""
    kind = type(value)
    if kind is str:
        check_text(value)
    elif kind is int:
        if not -(2**63) <= value < 2**64:
            raise Malformed("an integer of more than 64 bits")
    elif kind is float:
        if not math.isfinite(value):
            raise Malformed("a double that is not finite")
    elif kind is list:
        _check_depth(depth)
        for item in value:
            check_plain(item, depth - 1)
    elif kind is dict:
        _check_depth(depth)
        for key, item in value.items():
            if type(key) is not str:
                raise Malformed("a map key that is not text")
            check_text(key)
            check_plain(item, depth - 1)
    elif value is not None and kind is not bool and kind is not bytes:
        raise Malformed(f"a {kind.__name__} has no canonical form")


def _check_depth(left: int) -> None:
    if left <= 0:
        raise Malformed(f"nested deeper than {DEPTH_MAX}")


def check_text(text: str) -> None:
    """Raise Malformed for a text with lone surrogates, which UTF-8 cannot hold."""
    if text.isascii():
        return
    try:
        text.encode()
    except UnicodeEncodeError:
        raise Malformed("text that is not valid Unicode") from None

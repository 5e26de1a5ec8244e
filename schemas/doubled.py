"""Keys that stand twice in one object: refused by name, for a decoder keeps one of the two values and says nothing.

    {"price": 1, "price": 2}  ->  Malformed: the key 'price' stands twice in one object

Looking at every key costs more than decoding. But where keys stand twice, fewer come out than went in, and how many went in is
bounded by what is cheap to count: in JSON the colons that follow a quote or a blank, in MessagePack the bytes. Only where that
bound is not met, keys are looked at one by one. So the answer is exact, and the usual event pays a microsecond for it.
"""

import json
from collections.abc import Iterable
from typing import Any

import msgspec

from decision_dna.schemas.codec import DEPTH_MAX, NOT_DECODED
from decision_dna.schemas.errors import Malformed

_PLAIN = frozenset((str, int, float, bool, bytes, type(None)))
_NOTHING: Iterable[object] = ()
_key = msgspec.msgpack.Decoder(str).decode


def keys_in(value: object) -> int:
    """How many keys a decoded value has, in all its objects together."""
    count, inside = 0, _NOTHING
    if isinstance(value, dict):
        count, inside = len(value), value.values()
    elif isinstance(value, msgspec.Struct):
        count, inside = len(value.__struct_fields__), msgspec.structs.astuple(value)
    elif isinstance(value, list | tuple):
        inside = value
    for item in inside:
        if type(item) not in _PLAIN:
            count += keys_in(item)
    return count


def check_json(text: bytes, keys: int) -> None:
    """Raise Malformed where JSON, from which so many keys were decoded, has one of them twice."""
    # Every key is followed by a colon of its own: right after its quote, or after blanks. Others may stand in texts.
    if text.count(b":") == keys:
        return
    bound = text.count(b'":') + text.count(b" :")
    if b"\t" in text or b"\r" in text or b"\n" in text:
        bound += text.count(b"\t:") + text.count(b"\r:") + text.count(b"\n:")
    if bound != keys:
        try:
            json.loads(text.decode(), object_pairs_hook=_each_once, parse_int=str, parse_float=str, parse_constant=str)
        except NOT_DECODED as error:  # in a value that was lost, which nobody looked at before
            raise Malformed(f"not JSON: {error}") from None


def _each_once(pairs: list[tuple[str, Any]]) -> None:
    if len({key for key, _ in pairs}) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise _twice(key)
            seen.add(key)


def check_msgpack(data: bytes, canonical: bytes, *, lengths_tell: bool) -> None:
    """Raise Malformed where a MessagePack map, of which these are the canonical bytes, has a key twice.

    `lengths_tell`: every value in it was written again as what it was.
    """
    # Then none has a shorter form than its canonical one, but for floats of 32 bits (0xca): as many bytes, so nothing was lost.
    if canonical == data or (lengths_tell and len(canonical) == len(data) and b"\xca" not in data):
        return
    _end_of(data, 0, DEPTH_MAX)


def check_msgpack_map(data: bytes, keys: int) -> None:
    """Raise Malformed where the outer map of MessagePack, from which so many keys were decoded, has one of them twice."""
    count, at = _head(data, 0)
    if count != keys:
        _end_of_map(data, at, count, DEPTH_MAX + 1)  # with a payload inside


_FIXED = {
    0xC0: 0,
    0xC2: 0,
    0xC3: 0,
    0xCA: 4,
    0xCB: 8,
    0xCC: 1,
    0xCD: 2,
    0xCE: 4,
    0xCF: 8,
    0xD0: 1,
    0xD1: 2,
    0xD2: 4,
    0xD3: 8,
}
_FIXED |= {0xD4: 2, 0xD5: 3, 0xD6: 5, 0xD7: 9, 0xD8: 17}
_SIZED = {0xC4: 1, 0xC5: 2, 0xC6: 4, 0xD9: 1, 0xDA: 2, 0xDB: 4, 0xC7: 1, 0xC8: 2, 0xC9: 4}
_COUNTED = {0xDC: 2, 0xDD: 4, 0xDE: 2, 0xDF: 4}


def _head(data: bytes, at: int) -> tuple[int, int]:
    """How many items a list or map has, and where they begin."""
    kind = data[at]
    if kind not in _COUNTED:
        return kind & 0x0F, at + 1
    begin = at + 1 + _COUNTED[kind]
    return int.from_bytes(data[at + 1 : begin]), begin


def _end_of(data: bytes, at: int, depth: int) -> int:
    """Where the value that begins at `at` ends, in bytes that are MessagePack. Raises Malformed for a key that stands twice, and
    for what is nested deeper than `depth`."""
    kind = data[at]
    if kind < 0x80 or kind >= 0xE0:
        return at + 1
    if kind < 0x90 or kind in (0xDE, 0xDF):
        count, begin = _head(data, at)
        return _end_of_map(data, begin, count, depth)
    if kind < 0xA0 or kind in (0xDC, 0xDD):
        _check_depth(depth)
        count, end = _head(data, at)
        for _ in range(count):
            end = _end_of(data, end, depth - 1)
        return end
    if kind < 0xC0:
        return at + 1 + (kind & 0x1F)
    if kind in _FIXED:
        return at + 1 + _FIXED[kind]
    begin = at + 1 + _SIZED[kind]
    return begin + int.from_bytes(data[at + 1 : begin]) + (kind in (0xC7, 0xC8, 0xC9))


def _end_of_map(data: bytes, at: int, count: int, depth: int) -> int:
    _check_depth(depth)
    seen: set[str] = set()
    for _ in range(count):
        end = _end_of(data, at, depth - 1)
        key = _text(data[at:end])
        if key in seen:
            raise _twice(key)
        seen.add(key)
        at = _end_of(data, end, depth - 1)
    return at


def _text(data: bytes) -> str:
    try:
        return _key(data)
    except NOT_DECODED:
        raise Malformed("a map key that is not text") from None


def _check_depth(depth: int) -> None:
    if depth < 0:
        raise Malformed(f"nested deeper than {DEPTH_MAX}")


def _twice(key: str) -> Malformed:
    return Malformed(f"the key {key[:60]!r} stands twice in one object")

"""Payload types: the registry in which each family declares its words, once.

    @payload_type("detection.sandwich", schema=1)
    class Sandwich(Payload, frozen=True): ...

A payload is a map with exactly the declared fields (docs/format.md, section 1); fields stand in alphabetical order,
so that writing a Struct gives the canonical bytes without sorting. Types whose first word is `x` are foreign: any
JSON object. Strict at append, tolerant in time: an older schema is raised to the newest on reading by pure upcasters.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Any, TypeVar

import msgspec

from decision_dna.schemas import codec, doubled
from decision_dna.schemas.errors import InvariantBroken, Malformed, TooLarge, UnknownType

PAYLOAD_BYTES_MAX = 262_144
OPEN_FAMILIES = frozenset({"ledger", "anchor", "observation", "route", "control", "engine"})
FOREIGN_FAMILY = "x"

Upcaster = Callable[[dict[str, Any]], dict[str, Any]]


class Payload(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Base of every payload and of every record inside one: exact fields, no defaults."""


P = TypeVar("P", bound=type[Payload])


class PayloadKind:
    """One (type, schema): its Struct with the decoders made once."""

    def __init__(self, name: str, schema: int, struct: type[Payload]) -> None:
        self.name, self.schema, self.struct = name, schema, struct
        self.from_json = msgspec.json.Decoder(struct)
        self.from_msgpack = msgspec.msgpack.Decoder(struct)


_kinds: dict[tuple[str, int], PayloadKind] = {}
_newest: dict[str, int] = {}
_upcasters: dict[tuple[str, int], Upcaster] = {}
_foreign = msgspec.json.Decoder(dict[str, Any]).decode


def payload_type(name: str, *, schema: int) -> Callable[[P], P]:
    """Class decorator: register a Struct as the payload of `name` at `schema`. Fields must stand in alphabetical order."""

    def register(struct: P) -> P:
        check_canonical_fields(struct)
        if (name, schema) in _kinds:
            raise InvariantBroken(f"{name} schema {schema} is declared twice")
        _kinds[name, schema] = PayloadKind(name, schema, struct)
        _newest[name] = max(schema, _newest.get(name, 0))
        return struct

    return register


def upcaster(name: str, *, from_schema: int) -> Callable[[Upcaster], Upcaster]:
    """Decorator: a pure function from the fields of `from_schema` to those of the next schema."""

    def register(function: Upcaster) -> Upcaster:
        _upcasters[name, from_schema] = function
        return function

    return register


def check_canonical_fields(struct: type[Payload]) -> None:
    """Raise InvariantBroken unless every field name stands in alphabetical order and none has a default."""
    names = struct.__struct_encode_fields__
    if list(names) != sorted(names):
        raise InvariantBroken(f"{struct.__name__}: fields must stand in alphabetical order, have {names}")
    if struct.__struct_defaults__:
        raise InvariantBroken(f"{struct.__name__}: a payload field has no default")


@lru_cache(maxsize=4096)
def is_open(type_name: str) -> bool:
    """Whether the payload stands in the entry itself, readable by everyone and never erasable."""
    return type_name.partition(".")[0] in OPEN_FAMILIES


def is_foreign(type_name: str) -> bool:
    """Whether the type belongs to someone else: `x.…`, any JSON object."""
    return type_name.partition(".")[0] == FOREIGN_FAMILY


def known_types() -> list[tuple[str, int]]:
    """Every declared (type, schema), sorted."""
    return sorted(_kinds)


def newest_schema(type_name: str) -> int:
    """The schema that a submission without one means. Raises UnknownType."""
    if is_foreign(type_name):
        return 1
    if type_name not in _newest:
        raise UnknownType(f"no payload type {type_name!r} (foreign events are named x.…)")
    return _newest[type_name]


def kind_of(type_name: str, schema: int) -> PayloadKind:
    """The declared type. Raises UnknownType."""
    kind = _kinds.get((type_name, schema))
    if kind is None:
        raise _unknown(type_name, schema)
    return kind


def _unknown(type_name: str, schema: int) -> UnknownType:
    return UnknownType(f"no payload type {type_name!r} with schema {schema} (foreign events are named x.…)")


def payload_from_json(type_name: str, schema: int, text: bytes) -> bytes:
    """Canonical payload bytes of a JSON object, checked against its type. Raises Malformed, TooLarge, UnknownType."""
    data, keys = counted_payload(type_name, schema, text)
    doubled.check_json(text, keys)
    return data


def counted_payload(type_name: str, schema: int, text: bytes) -> tuple[bytes, int]:
    """As `payload_from_json`, and how many keys it has: whether one stands twice in the text is left to the caller."""
    kind = _kinds.get((type_name, schema))
    try:
        if kind is not None:
            value: Any = kind.from_json.decode(text)
        elif is_foreign(type_name):
            value = _foreign(text)
            codec.check_plain(value)
        else:
            raise _unknown(type_name, schema)
        data = codec.encode(value)
    except codec.NOT_DECODED as error:
        raise Malformed(f"payload of {type_name}: {error}") from None
    if len(data) > PAYLOAD_BYTES_MAX:
        raise TooLarge(f"payload of {len(data)} bytes, at most {PAYLOAD_BYTES_MAX}")
    return data, doubled.keys_in(value)


def check_payload(type_name: str, schema: int, data: bytes) -> None:
    """Raise Malformed, TooLarge or UnknownType unless the bytes are a canonical payload of the type."""
    if len(data) > PAYLOAD_BYTES_MAX:
        raise TooLarge(f"payload of {len(data)} bytes, at most {PAYLOAD_BYTES_MAX}")
    if is_foreign(type_name):
        if not isinstance(codec.decode(data), dict):
            raise Malformed(f"payload of {type_name}: a foreign payload is an object")
    else:
        codec.decode_as(kind_of(type_name, schema).from_msgpack, data)


def decode_payload(type_name: str, schema: int, data: bytes) -> Payload | dict[str, Any]:
    """The payload at the newest schema of its type, raised by upcasters where it is older; foreign ones as a dict."""
    if is_foreign(type_name):
        value: dict[str, Any] = codec.decode(data)
        return value
    written = codec.decode_as(kind_of(type_name, schema).from_msgpack, data)
    if schema == newest_schema(type_name):
        return written
    fields = msgspec.structs.asdict(written)
    for older in range(schema, _newest[type_name]):
        fields = _upcasters[type_name, older](fields)
    try:
        return msgspec.convert(fields, kind_of(type_name, _newest[type_name]).struct)
    except msgspec.ValidationError as error:
        raise InvariantBroken(
            f"the upcasters of {type_name} from schema {schema} do not lead to the newest: {error}"
        ) from None

"""Random payloads of every declared type, made from nothing but the types' own ranges.

random_payload("detection.sandwich", 1, Random(7))    canonical payload bytes
payloads("detection.sandwich", 1)      a strategy of them
edges("detection.sandwich", 1)         payloads with one field at an end of its range, all others ordinary
unbounded(struct)                      the fields without a range
every_type()                           the declared (type, schema), ledger's own included
"""

import importlib
import pkgutil
import re
from collections.abc import Iterator
from functools import cache
from random import Random
from re import _constants, _parser  # type: ignore[attr-defined]  # how a pattern is read, to write texts that match it
from typing import Any

import msgspec
from hypothesis import strategies as st
from msgspec import inspect

from decision_dna import schemas
from decision_dna.schemas import codec
from decision_dna.schemas.payloads import PAYLOAD_BYTES_MAX, Payload, kind_of, known_types

ITEMS_LIKELY = 4
"""Arrays are mostly this short."""
LONGEST_SHARE = 0.02
"""Some are as long as they may be."""
LETTERS = "".join(map(chr, range(32, 127))) + "\u00e9\u2028\ufffd\U0001f9ec\U0010ffff"


@cache
def every_type() -> tuple[tuple[str, int], ...]:
    """Every declared (type, schema): all modules of schemas are loaded first, so that none is missed."""
    for module in pkgutil.iter_modules(schemas.__path__):
        importlib.import_module(f"{schemas.__name__}.{module.name}")
    return tuple(known_types())


def random_payload(type_name: str, schema: int, chance: Random) -> bytes:
    """Canonical bytes of a random payload of a declared type."""
    node = _node(_struct(type_name, schema))
    while len(data := codec.encode(random_value(node, chance))) > PAYLOAD_BYTES_MAX:
        continue  # arrays of arrays, all of them as long as they may be, make a payload that is too large as a whole
    return data


def payloads(type_name: str, schema: int) -> st.SearchStrategy[bytes]:
    """A strategy of `random_payload`: what hypothesis varies is the seed, since drawing thousands of texts is slow."""
    seeds = st.integers(0, 2**63 - 1)
    return seeds.map(lambda seed: random_payload(type_name, schema, Random(seed)))


@cache
def edges(type_name: str, schema: int) -> tuple[bytes, ...]:
    """Payloads of a declared type, one for each end of the range of each field, at every depth."""
    node = _node(_struct(type_name, schema))
    found = dict.fromkeys(codec.encode(value) for value in _edges(node))
    return tuple(data for data in found if len(data) <= PAYLOAD_BYTES_MAX)


def unbounded(struct: type[Payload]) -> list[str]:
    """The paths of the fields of a payload type that have no range."""
    return list(_unbounded(_node(struct), ""))


# --- the nodes of a type ---------------------------------------------------------------------------------------------

Node = Any
"""An `inspect.Type`, with its `extra` bounds written into it."""


class Integer(msgspec.Struct, frozen=True):
    """An integer with both its ends, None where it has none."""

    low: int | None
    high: int | None


def _struct(type_name: str, schema: int) -> type[Payload]:
    every_type()
    return kind_of(type_name, schema).struct


@cache
def _node(struct: Any) -> Node:
    return inspect.type_info(struct)


def _integer(node: Node) -> Integer | None:
    extra: dict[str, Any] = {}
    if isinstance(node, inspect.Metadata):
        extra, node = node.extra or {}, node.type
    if not isinstance(node, inspect.IntType):
        return None
    return Integer(
        node.ge if node.ge is not None else extra.get("ge"), node.le if node.le is not None else extra.get("le")
    )


def _unbounded(node: Node, path: str) -> Iterator[str]:
    integer = _integer(node)
    match node:
        case _ if integer is not None:
            if integer.low is None or integer.high is None:
                yield path
        case inspect.StrType() | inspect.BytesType():
            if node.max_length is None:
                yield path
        case inspect.StructType():
            for field in node.fields:
                yield from _unbounded(field.type, f"{path}.{field.name}".lstrip("."))
        case inspect.VarTupleType():
            if node.max_length is None:
                yield path
            yield from _unbounded(node.item_type, f"{path}[]")
        case inspect.TupleType():
            for at, item in enumerate(node.item_types):
                yield from _unbounded(item, f"{path}[{at}]")
        case inspect.UnionType():
            for each in node.types:
                yield from _unbounded(each, path)
        case inspect.LiteralType() | inspect.NoneType() | inspect.BoolType():
            return
        case _:  # a float, a dict, anything: no range is declared for it
            yield path


# --- random values ---------------------------------------------------------------------------------------------------


def random_value(node: Node, chance: Random) -> Any:
    """A value of a node, within its range, often at an end of it."""
    integer = _integer(node)
    if integer is not None:
        low = -(2**63) if integer.low is None else integer.low
        high = 2**64 - 1 if integer.high is None else integer.high
        return chance.choice(_ends(low, high)) if chance.random() < 0.5 else chance.randint(low, high)
    match node:
        case inspect.StrType():
            return _random_text(node, chance)
        case inspect.BytesType():
            return chance.randbytes(chance.choice((node.min_length or 0, _most(node, 200))))
        case inspect.StructType():
            return node.cls(**{field.name: random_value(field.type, chance) for field in node.fields})
        case inspect.VarTupleType():
            least, most = node.min_length or 0, _most(node, ITEMS_LIKELY)
            count = most if chance.random() < LONGEST_SHARE else chance.randint(least, min(most, least + ITEMS_LIKELY))
            return tuple([random_value(node.item_type, chance) for _ in range(count)])
        case inspect.TupleType():
            return tuple([random_value(item, chance) for item in node.item_types])
        case inspect.UnionType():
            return random_value(chance.choice(node.types), chance)
        case inspect.LiteralType():
            return chance.choice(node.values)
        case inspect.NoneType():
            return None
        case inspect.BoolType():
            return chance.random() < 0.5
    raise TypeError(f"no values are known for {node}")


def _most(node: Any, otherwise: int) -> int:
    return otherwise if node.max_length is None else int(node.max_length)


def _random_text(node: inspect.StrType, chance: Random) -> str:
    least, most = node.min_length or 0, _most(node, 200)
    if node.pattern is None:
        return "".join(chance.choices(LETTERS, k=chance.randint(least, most)))
    return _matching(_parsed(node.pattern), chance, most)[:most]


@cache
def _parsed(pattern: str) -> Any:
    return _parser.parse(pattern)


def _matching(parts: Any, chance: Random, most: int) -> str:
    """A text of a parsed pattern: of its literals, sets, groups, branches and repeats."""
    text = ""
    for kind, content in parts:
        match kind:
            case _constants.LITERAL:
                text += chr(content)
            case _constants.IN:
                text += chance.choice(_letters(tuple(content)))
            case _constants.MAX_REPEAT:
                low, high, inner = content
                high = min(int(high), max(most, low))
                count = chance.choice((low, high, chance.randint(low, high)))
                if len(inner) == 1 and inner[0][0] is _constants.IN:
                    text += "".join(chance.choices(_letters(tuple(inner[0][1])), k=count))
                else:
                    text += "".join([_matching(inner, chance, most) for _ in range(count)])
            case _constants.SUBPATTERN:
                text += _matching(content[-1], chance, most)
            case _constants.BRANCH:
                text += _matching(chance.choice(content[1]), chance, most)
            case _constants.AT:
                continue
            case _:
                raise TypeError(f"no text is known for {kind} in a pattern")
    return text


@cache
def _letters(members: tuple[Any, ...]) -> str:
    negated = members[0][0] is _constants.NEGATE
    found = set[str]()
    for kind, content in members[negated:]:
        low, high = content if kind is _constants.RANGE else (content, content)
        found.update(map(chr, range(low, high + 1)))
    return "".join(sorted(set(LETTERS) - found if negated else found))


# --- the ends of ranges ----------------------------------------------------------------------------------------------


def _ends(low: int, high: int) -> list[int]:
    return sorted({end for end in (low, low + 1, -1, 0, 1, high - 1, high) if low <= end <= high})


def _edges(node: Node) -> Iterator[Any]:
    """Values of a node, each with one place at an end of its range."""
    integer = _integer(node)
    if integer is not None:
        yield from _ends(
            -(2**63) if integer.low is None else integer.low, 2**64 - 1 if integer.high is None else integer.high
        )
        return
    match node:
        case inspect.StructType():
            ordinary = {field.name: _ordinary(field.type) for field in node.fields}
            for field in node.fields:
                for value in _edges(field.type):
                    yield node.cls(**{**ordinary, field.name: value})
        case inspect.VarTupleType():
            least, most = node.min_length or 0, ITEMS_LIKELY if node.max_length is None else node.max_length
            yield (_ordinary(node.item_type),) * least
            yield (_ordinary(node.item_type),) * most
            if most:
                yield from ((value,) * max(least, 1) for value in _edges(node.item_type))
        case inspect.TupleType():
            items = [_ordinary(item) for item in node.item_types]
            for at, item in enumerate(node.item_types):
                yield from ((*items[:at], value, *items[at + 1 :]) for value in _edges(item))
        case inspect.UnionType():
            for each in node.types:
                yield from _edges(each)
        case inspect.LiteralType():
            yield from node.values
        case inspect.NoneType():
            yield None
        case inspect.BoolType():
            yield from (False, True)
        case inspect.BytesType():
            least, most = node.min_length or 0, 200 if node.max_length is None else node.max_length
            yield from (bytes(least), b"\xff" * most)
        case inspect.StrType():
            yield from _text_ends(node)


def _text_ends(node: inspect.StrType) -> Iterator[str]:
    """The shortest and the longest texts of one character that the pattern has, and of the widest character."""
    least, most = node.min_length or 0, 200 if node.max_length is None else node.max_length
    half = (most - 1) // 2
    candidates = [letter * size for letter in ("1", "z", "a", "f", "\U0010ffff") for size in {least, 32, 64, most}]
    candidates += ["", "1" * 32 + "/" + "z" * 32, "z" * half + "/" + "1" * half]
    pattern = re.compile(node.pattern or "")
    fitting = [text for text in candidates if least <= len(text) <= most and pattern.search(text)]
    yield from dict.fromkeys(fitting)


def _ordinary(node: Node) -> Any:
    """One value of a node, the first of its edges that is of no length or size to speak of."""
    integer = _integer(node)
    if integer is not None:
        return integer.low if integer.low is not None and integer.low > 0 else 0
    match node:
        case inspect.StructType():
            return node.cls(**{field.name: _ordinary(field.type) for field in node.fields})
        case inspect.VarTupleType():
            return (_ordinary(node.item_type),) * (node.min_length or 0)
        case inspect.TupleType():
            return tuple(map(_ordinary, node.item_types))
        case inspect.UnionType():
            return _ordinary(node.types[0])
    return next(_edges(node))

"""Random submissions of every declared type, honest and not, in each of the forms in which they arrive."""

from random import Random
from typing import Any
from uuid import UUID

import msgspec

from decision_dna.ledger.ids import new_ids
from decision_dna.schemas.texts import id_text, time_text
from tests.properties.payloads import LETTERS, every_type, random_payload

Fields = dict[str, Any]

SOURCES = ("dex", "dex", "bot-2", "engine", "raw", "ops", "ledger", "anchor", "Z" * 64, "", "no/source", "a" * 65)
PAST_RANGES = (
    -1,
    -(2**63),
    2**63,
    2**64 - 1,
    "",
    "x" * 1_000,
    "\x00",
    None,
    [],
    ["1" * 44] * 200,
    {"a": 1},
    b"",
    bytes(2_000),
)
UNKNOWN = ("detection.unheard_of", "x", "X.seen", "x.", "engine.session", "control.command", "a" * 65)


class Submitter:
    """Says anything: mostly what its types allow, sometimes what they do not, and sometimes the same again."""

    def __init__(self, chance: Random, skipped: frozenset[str] = frozenset()) -> None:
        self.chance = chance
        self.ids: list[bytes] = []
        self._types = [each for each in every_type() if each[0] not in skipped]
        self._said: list[Fields] = []

    def submission(self, now: int) -> Fields:
        """One more, as MessagePack has it: ids and hashes are bytes, times are ns."""
        chance = self.chance
        if self._said and chance.random() < 0.1:
            again = dict(chance.choice(self._said[-50:]))
            if chance.random() < 0.5:
                again["subject"] = "another"
            return again
        name, schema = self._type()
        family = name.partition(".")[0]
        fields: Fields = {"type": name, "payload": self._payload(name, schema)}
        own = family if family in ("ledger", "anchor") else "dex"
        fields["source"] = own if chance.random() < 0.85 else chance.choice(SOURCES)
        for field, share, value in (
            ("schema", 0.3, schema if chance.random() < 0.9 else chance.choice((2, 65_535))),
            ("id", 0.6, new_ids(1, now)[0]),
            ("subject", 0.4, "".join(chance.choices(LETTERS, k=chance.choice((1, 20, 31, 31, 31, 128))))),
            ("occurred_at", 0.3, now + chance.choice((-now, -1, 0, 1, 59 * 10**9, 61 * 10**9))),
            ("causes", 0.3, self._causes(now)),
            ("trace", 0.3, "00-0-0-00" if chance.random() < 0.1 else f"00-{chance.getrandbits(128):032x}-{1:016x}-01"),
            ("expected_stream_seq", 0.05, chance.choice((0, 1, 2**63 - 1))),
        ):
            if chance.random() < share:
                fields[field] = value
        if "id" in fields:
            self.ids.append(fields["id"])
            self._said.append(fields)
        return self._bent(fields) if chance.random() < 0.1 else fields

    def _type(self) -> tuple[str, int]:
        """Mostly what a stranger may say, and at times the ledger's own words too."""
        share = self.chance.random()
        if share < 0.35:
            return "x.seen", 1
        own = ("ledger", "anchor") if share < 0.85 else ()
        return self.chance.choice([each for each in self._types if each[0].partition(".")[0] not in own])

    def _payload(self, name: str, schema: int) -> Any:
        """A payload of the type; one in ten has a field that its ranges do not allow, one too many, or one too few."""
        chance = self.chance
        if name == "x.seen":
            return self._anything(3)
        fields = msgspec.msgpack.decode(random_payload(name, schema, chance))
        if chance.random() < 0.1:
            field = chance.choice(list(fields))
            match chance.randrange(3):
                case 0:
                    fields[field] = chance.choice(PAST_RANGES)
                case 1:
                    del fields[field]
                case _:
                    fields["more"] = 1
        return fields

    def _anything(self, depth: int) -> Fields:
        chance = self.chance
        leaves = (0, -(2**63), 2**64 - 1, 1.5, True, None, "größe", "", [1, "a", None])
        return {
            f"field {number}": self._anything(depth - 1) if depth and chance.random() < 0.2 else chance.choice(leaves)
            for number in range(chance.randrange(5))
        }

    def _causes(self, now: int) -> list[bytes]:
        known = self.ids[-30:]
        some = self.chance.sample(known, min(len(known), self.chance.randrange(4)))
        return some if self.chance.random() < 0.8 else [*some, new_ids(1, now)[0]]

    def _bent(self, fields: Fields) -> Fields:
        """What is wrong outside the payload."""
        chance = self.chance
        match chance.randrange(4):
            case 0:
                return {**fields, "type": chance.choice(UNKNOWN)}
            case 1:
                return {**fields, "unknown": 1}
            case 2:
                return {name: value for name, value in fields.items() if name != chance.choice(list(fields))}
            case _:
                return {**fields, chance.choice(list(fields)): chance.choice(PAST_RANGES)}


def as_msgpack(submissions: list[Fields]) -> bytes:
    """A body in MessagePack."""
    return msgspec.msgpack.encode(submissions)


def as_json(submissions: list[Fields]) -> bytes:
    """A body in JSON."""
    return msgspec.json.encode([_json(each) for each in submissions])


def as_ndjson(submissions: list[Fields]) -> bytes:
    """A body in NDJSON, or the lines of a file."""
    return b"\n".join(msgspec.json.encode(_json(each)) for each in submissions)


def _json(fields: Fields) -> Fields:
    """Ids as text and times as RFC 3339, where they are what they should be."""
    said = dict(fields)
    if isinstance(said.get("id"), bytes) and len(said["id"]) == 16:
        said["id"] = id_text(said["id"])
    if isinstance(said.get("causes"), list):
        said["causes"] = [str(UUID(bytes=each)) if isinstance(each, bytes) else each for each in said["causes"]]
    if isinstance(said.get("occurred_at"), int) and 0 <= said["occurred_at"] < 2**62:
        said["occurred_at"] = time_text(said["occurred_at"])
    return said

"""The ranges of payload fields: every integer, text, bytes and array of a payload type has one.

A payload is decoded strictly against them, at admission and whenever it is read, so a fold never meets a value past
them. `tests/properties` fails for a field without a range.
"""

from typing import Annotated

from msgspec import Meta

from decision_dna.schemas.claims import Natural

I64_MAX, U64_MAX = 2**63 - 1, 2**64 - 1

Signed = Annotated[int, Meta(ge=-(2**63), le=I64_MAX)]
Unsigned = Annotated[int, Meta(ge=0, extra={"le": U64_MAX})]
"""0…2⁶⁴ − 1. msgspec takes no bound past 63 bits: the codec itself holds no greater integer."""
Seconds = Annotated[int, Meta(ge=0, le=I64_MAX // 10**9)]
"""Seconds since 1970 whose nanoseconds fit 63 bits."""
Ppm = Annotated[int, Meta(ge=0, le=1_000_000)]
RuleVersion = Annotated[int, Meta(ge=1, le=65_535)]

Key = Annotated[str, Meta(min_length=32, max_length=44)]
"""32 bytes in base58. Of texts in events that come by the thousand the length alone is checked: a pattern costs as much as
decoding all the rest. Who reads keys from a node checks their digits (`engine.answers`)."""
KeyOrEmpty = Annotated[str, Meta(max_length=44)]
Pool = Annotated[str, Meta(min_length=65, max_length=89)]
"""Two keys, joined by a slash."""
Signature = Annotated[str, Meta(min_length=64, max_length=88)]
"""64 bytes in base58."""
Digest = Annotated[str, Meta(min_length=64, max_length=64)]
"""32 bytes in hex."""
Rule = Annotated[str, Meta(min_length=1, max_length=64)]
"""The name of a rule."""
Name = Annotated[str, Meta(max_length=64, pattern=r"\A[a-z0-9][a-z0-9._-]{0,63}\Z")]
"""The name of a projection."""
Line = Annotated[str, Meta(max_length=500, pattern=r"\A[^\x00-\x1f\x7f]*\Z")]
"""A sentence for a person."""

__all__ = [
    "I64_MAX", "U64_MAX", "Digest", "Key", "KeyOrEmpty", "Line", "Name", "Natural", "Pool", "Ppm", "Rule",
    "RuleVersion", "Seconds", "Signature", "Signed", "Unsigned",
]  # fmt: skip

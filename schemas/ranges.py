"""The ranges of payload fields: every integer, text, bytes and array of a payload type has one.

A payload is decoded strictly against them, at admission and whenever it is read, so a fold never meets a value past
them. `tests/properties` fails for a field without a range.
"""

from typing import Annotated

from msgspec import Meta

from decision_dna.schemas.claims import Natural

BASE58 = "[1-9A-HJ-NP-Za-km-z]"
I64_MAX, U64_MAX = 2**63 - 1, 2**64 - 1

Signed = Annotated[int, Meta(ge=-(2**63), le=I64_MAX)]
Unsigned = Annotated[int, Meta(ge=0, extra={"le": U64_MAX})]
"""0…2⁶⁴ − 1. msgspec takes no bound past 63 bits: the codec itself holds no greater integer."""
Seconds = Annotated[int, Meta(ge=0, le=I64_MAX // 10**9)]
"""Seconds since 1970 whose nanoseconds fit 63 bits."""
Ppm = Annotated[int, Meta(ge=0, le=1_000_000)]
RuleVersion = Annotated[int, Meta(ge=1, le=65_535)]

Key = Annotated[str, Meta(max_length=44, pattern=rf"\A{BASE58}{{32,44}}\Z")]
"""32 bytes in base58."""
KeyOrEmpty = Annotated[str, Meta(max_length=44, pattern=rf"\A(?:{BASE58}{{32,44}})?\Z")]
Pool = Annotated[str, Meta(max_length=89, pattern=rf"\A{BASE58}{{32,44}}/{BASE58}{{32,44}}\Z")]
Signature = Annotated[str, Meta(max_length=88, pattern=rf"\A{BASE58}{{64,88}}\Z")]
"""64 bytes in base58."""
Digest = Annotated[str, Meta(max_length=64, pattern=r"\A[0-9a-f]{64}\Z")]
"""32 bytes in hex."""
Name = Annotated[str, Meta(max_length=64, pattern=r"\A[a-z0-9][a-z0-9._-]{0,63}\Z")]
"""A short name that code gives: of a rule, a projection."""
Line = Annotated[str, Meta(max_length=500, pattern=r"\A[^\x00-\x1f\x7f]*\Z")]
"""A sentence for a person."""

__all__ = [
    "BASE58", "I64_MAX", "U64_MAX", "Digest", "Key", "KeyOrEmpty", "Line", "Name", "Natural", "Pool", "Ppm",
    "RuleVersion", "Seconds", "Signature", "Signed", "Unsigned",
]  # fmt: skip

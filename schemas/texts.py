"""How times, ids and bytes are written in JSON, and read back: exactly one reading, or Malformed.

time_text(1_790_000_000_000_000_001)  ->  "2026-09-21T14:13:20.000000001Z"
"""

import base64
import binascii
import re
from datetime import UTC, datetime
from functools import lru_cache

from decision_dna.schemas.errors import Malformed

SECOND_NS = 10**9
_TIME = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(?:Z|\+00:00)", re.ASCII)


def time_text(ns: int) -> str:
    """RFC 3339 in UTC with nine digits, of ns since 1970 (0…2⁶³−1)."""
    seconds, rest = divmod(ns, SECOND_NS)
    return f"{_second_text(seconds)}.{rest:09d}Z"


def time_ns(text: str) -> int:
    """ns since 1970 of an RFC 3339 time in UTC, with up to nine digits. Raises Malformed."""
    match = _TIME.fullmatch(text)
    if match is None:
        raise Malformed(f"not an RFC 3339 time in UTC, such as 2026-01-31T12:00:00.000000001Z: {text[:60]!r}")
    ns = _second(match[1]) * SECOND_NS + int((match[2] or "").ljust(9, "0"))
    if not 0 <= ns < 2**63:
        raise Malformed(f"a time before 1970 or after 2262: {text}")
    return ns


# Events of one moment share their second: looking it up is cheaper than a calendar.
@lru_cache(maxsize=4096)
def _second_text(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")


@lru_cache(maxsize=4096)
def _second(text: str) -> int:
    try:
        return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp())
    except ValueError:
        raise Malformed(f"no such time: {text}") from None


def id_text(event_id: bytes) -> str:
    """The 16 bytes of an id as 8-4-4-4-12 hex digits."""
    digits = event_id.hex()
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def id_bytes(text: str) -> bytes:
    """The 16 bytes of an id as text. Raises Malformed."""
    try:
        found = bytes.fromhex(text.replace("-", ""))
    except ValueError:
        found = b""
    if len(found) != 16 or id_text(found) != text.lower():
        raise Malformed(f"not an id of 8-4-4-4-12 hex digits: {text[:60]!r}")
    return found


def hex_bytes(text: str, size: int, what: str) -> bytes:
    """Bytes of so many pairs of lowercase hex digits. Raises Malformed."""
    try:
        found = bytes.fromhex(text)
    except ValueError:
        found = b""
    if len(found) != size or found.hex() != text:
        raise Malformed(f"{what}: not {size} bytes in lowercase hex")
    return found


def base64_bytes(text: str, what: str) -> bytes:
    """Bytes of base64 in its one form. Raises Malformed."""
    try:
        found = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise Malformed(f"{what}: not base64") from None
    if base64.b64encode(found).decode() != text:
        raise Malformed(f"{what}: not the one base64 form of its bytes")
    return found

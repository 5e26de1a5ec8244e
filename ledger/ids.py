"""New event ids: UUIDv7 (RFC 9562, section 5.7), so that ids sort by time."""

import os
from uuid import UUID

_VERSION = bytes(0x70 | byte & 0x0F for byte in range(256))
_VARIANT = bytes(0x80 | byte & 0x3F for byte in range(256))


def new_ids(count: int, now_ns: int) -> list[bytes]:
    """`count` fresh ids of one moment: 48 bits of milliseconds, 74 random bits, in ascending order."""
    stamp, random = (now_ns // 1_000_000).to_bytes(6), os.urandom(10 * count)
    joined = bytearray(b"".join([stamp + random[at : at + 10] for at in range(0, 10 * count, 10)]))
    joined[6::16] = joined[6::16].translate(_VERSION)
    joined[8::16] = joined[8::16].translate(_VARIANT)
    ids = bytes(joined)
    return sorted([ids[at : at + 16] for at in range(0, 16 * count, 16)])


def id_text(event_id: bytes) -> str:
    """As people read it: 8-4-4-4-12 hex digits."""
    return str(UUID(bytes=event_id))

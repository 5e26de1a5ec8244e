"""New event ids: UUIDv7 (RFC 9562, section 5.7), so that ids sort by time."""

import os
from uuid import UUID


def new_ids(count: int, now_ns: int) -> list[bytes]:
    """`count` fresh ids of one moment: 48 bits of milliseconds, 74 random bits, in ascending order."""
    stamp = (now_ns // 1_000_000).to_bytes(6)
    random = os.urandom(10 * count)
    return sorted([_shape(stamp, random[at : at + 10]) for at in range(0, 10 * count, 10)])


def _shape(stamp: bytes, random: bytes) -> bytes:
    return stamp + bytes((0x70 | random[0] & 0x0F, random[1], 0x80 | random[2] & 0x3F)) + random[3:]


def id_text(event_id: bytes) -> str:
    """As people read it: 8-4-4-4-12 hex digits."""
    return str(UUID(bytes=event_id))

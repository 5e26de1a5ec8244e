"""The "decision DNA" of an event: a UUIDv8 made of its place and the beginning of its hash. A name, and not a proof.

seq (40 bits) ‖ first 82 bits of H_entry = 122 bits, laid from the left into what RFC 9562, section 5.8, leaves free.
"""

from uuid import UUID

from decision_dna.ledger.hashing import entry_hash

_SEQ_BITS, _HASH_BITS = 40, 82


def fingerprint(seq: int, entry: bytes) -> UUID:
    """The fingerprint of an entry's bytes at a place below 2⁴⁰."""
    return fingerprint_of_hash(seq, entry_hash(entry))


def fingerprint_of_hash(seq: int, hashed: bytes) -> UUID:
    """The same, from H_entry."""
    bits = (seq & ((1 << _SEQ_BITS) - 1)) << _HASH_BITS | int.from_bytes(hashed[:11]) >> (88 - _HASH_BITS)
    custom_a, custom_b, custom_c = bits >> 74, bits >> 62 & 0xFFF, bits & ((1 << 62) - 1)
    return UUID(int=custom_a << 80 | 8 << 76 | custom_b << 64 | 2 << 62 | custom_c)


def fingerprint_seq(value: UUID) -> int:
    """The place that a fingerprint names."""
    custom_a, custom_b = value.int >> 80, value.int >> 64 & 0xFFF
    bits_above = custom_a << 12 | custom_b
    return bits_above >> (60 - _SEQ_BITS)

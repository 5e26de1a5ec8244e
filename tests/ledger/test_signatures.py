"""Public keys as points of the curve: what a key can be, and every way not to be one."""

import random

import pytest

from decision_dna.ledger.signatures import SigningKey, is_prime_order_point
from tests.second_verifier.test_primitives import BASE, TORSION, L, P, add, encode, multiply, small_order_encodings
from tests.second_verifier.test_primitives import sv as second

_RANDOM = random.Random(25519)

UNFIT_KEYS: dict[str, list[bytes]] = {
    "empty": [b""],
    "short": [SigningKey(bytes(32)).public[:31]],
    "long": [SigningKey(bytes(32)).public + b"\x00"],
    "small order": small_order_encodings(),
    "not canonical": [(y | sign << 255).to_bytes(32, "little") for y in range(P, 2**255) for sign in (0, 1)],
    "off the curve": [key for key in (_RANDOM.randbytes(32) for _ in range(64)) if second._decode_point(key) is None],
    "mixed order": [encode(add(multiply(_RANDOM.randrange(1, L), BASE), torsion)) for torsion in TORSION[1:]],
}
"""Bytes that no private key has as its public half, by what is wrong with them."""


@pytest.mark.parametrize("case", UNFIT_KEYS)
def test_is_prime_order_point_rejects(case: str) -> None:
    """Bytes that no seed yields are not a public key."""
    assert UNFIT_KEYS[case]
    assert [key.hex() for key in UNFIT_KEYS[case] if is_prime_order_point(key)] == []


def test_is_prime_order_point_accepts_every_derived_key() -> None:
    """The public half of any seed is a point of prime order."""
    assert all(is_prime_order_point(SigningKey(_RANDOM.randbytes(32)).public) for _ in range(200))
    assert is_prime_order_point(encode(multiply(_RANDOM.randrange(1, L), BASE)))

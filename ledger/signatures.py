"""Ed25519 as libsodium does it: one acceptance rule for the whole system (docs/format.md, section 2)."""

import nacl.bindings as sodium
from nacl.exceptions import BadSignatureError

from decision_dna.ledger.hashing import key_id
from decision_dna.schemas.errors import ProofRejected


class SigningKey:
    """A private key in libsodium's expanded form (seed ‖ public key), made once. Its repr shows the public half only."""

    __slots__ = ("_secret", "key_id", "public")

    def __init__(self, seed: bytes) -> None:
        self.public, self._secret = sodium.crypto_sign_seed_keypair(seed)
        self.key_id = key_id(self.public)

    def sign(self, message: bytes) -> bytes:
        """64 bytes, deterministic (RFC 8032)."""
        return sodium.crypto_sign(message, self._secret)[:64]

    def seed(self) -> bytes:
        """The 32 bytes to keep in a key file of mode 0600."""
        return self._secret[:32]

    def __repr__(self) -> str:
        return f"SigningKey(public={self.public.hex()})"


def is_prime_order_point(key: bytes) -> bool:
    """Report whether `key` can be a public key: 32 canonical bytes of a curve point of prime order.

    A seed always yields such a point. Points of small order, points with a small-order component, encodings that are
    not canonical and bytes that are not on the curve are rejected: nobody holds a private key for them.
    """
    return len(key) == sodium.crypto_sign_PUBLICKEYBYTES and sodium.crypto_core_ed25519_is_valid_point(key)


def is_signed(public_key: bytes, message: bytes, signature: bytes) -> bool:
    """Whether the signature holds."""
    try:
        sodium.crypto_sign_open(signature + message, public_key)
    except (BadSignatureError, ValueError):
        return False
    return len(signature) == 64


def check_signature(public_key: bytes, message: bytes, signature: bytes, what: str) -> None:
    """Raise ProofRejected unless the signature holds."""
    if not is_signed(public_key, message, signature):
        raise ProofRejected(f"{what}: the Ed25519 signature does not verify under key {public_key.hex()}")

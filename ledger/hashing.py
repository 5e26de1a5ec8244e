"""Every hash of the format, by name (docs/format.md, section 2).

BLAKE3 in derive_key mode separates what is hashed for what; SHA-256 is the tree's, since every public client and
witness fixes it. The hashers with their context already absorbed are made once and copied: cheaper than deriving anew.
Whoever hashes many things of one kind asks for a hasher of its own (`entry_hasher`), which is set back instead of copied.
"""

from collections.abc import Callable
from hashlib import sha256

from blake3 import blake3

ZEROS = bytes(32)

_claim = blake3(derive_key_context="decision-dna v1 claim")
_notary = blake3(derive_key_context="decision-dna v1 notary")
_entry = blake3(derive_key_context="decision-dna v1 entry")
_payload = blake3(derive_key_context="decision-dna v1 payload")
_state = blake3(derive_key_context="decision-dna v1 state")

CLAIM_MESSAGE = b"decision-dna/claim/v1\n"
NOTARY_MESSAGE = b"decision-dna/notary/v1\n"


def claim_hash(claim: bytes) -> bytes:
    """H_claim, 32 bytes."""
    hasher = _claim.copy()
    hasher.update(claim)
    return hasher.digest()


def notary_hash(claim: bytes) -> bytes:
    """H_notary, 32 bytes: of the claim as the notary saw it."""
    hasher = _notary.copy()
    hasher.update(claim)
    return hasher.digest()


def entry_hash(entry: bytes) -> bytes:
    """H_entry, 32 bytes: the next entry's `prev`."""
    hasher = _entry.copy()
    hasher.update(entry)
    return hasher.digest()


def payload_commitment(salted: bytes) -> bytes:
    """H_payload, 32 bytes, over salt ‖ payload bytes."""
    hasher = _payload.copy()
    hasher.update(salted)
    return hasher.digest()


def entry_hasher() -> Callable[[bytes], bytes]:
    """H_entry for one thread to use many times: two thirds of what `entry_hash` costs."""
    return _hasher(_entry.copy())


def payload_hasher() -> Callable[[bytes], bytes]:
    """H_payload for one thread to use many times."""
    return _hasher(_payload.copy())


def _hasher(own: blake3) -> Callable[[bytes], bytes]:
    reset, update, digest = own.reset, own.update, own.digest

    def hash_of(data: bytes) -> bytes:
        reset()
        update(data)
        return digest()

    return hash_of


def state_hash(data: bytes) -> bytes:
    """H_state, 32 bytes."""
    hasher = _state.copy()
    hasher.update(data)
    return hasher.digest()


def retry_tag(key: bytes, content: bytes) -> bytes:
    """32 bytes that let the ledger, and nobody without its key, recognise an erased submission (section 14).

    Nothing in the log says what a tag should be (it would outlive the erasure), so its last 4 bytes are over the others:
    damage to it is seen.
    """
    tag = blake3(content, key=key).digest(28)
    return tag + sha256(tag).digest()[:4]


def is_retry_tag(tag: bytes) -> bool:
    """Whether it is whole."""
    return len(tag) == 32 and sha256(tag[:28]).digest()[:4] == tag[28:]


def key_id(public_key: bytes) -> bytes:
    """8 bytes that name an Ed25519 key."""
    return sha256(b"ed25519" + public_key).digest()[:8]


def author_message(claim: bytes) -> bytes:
    """What an author signs."""
    return CLAIM_MESSAGE + claim_hash(claim)


def notary_message(claim: bytes, principal: str) -> bytes:
    """What the notary signs: the claim, and who handed it in."""
    return NOTARY_MESSAGE + notary_hash(claim) + principal.encode()

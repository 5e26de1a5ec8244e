"""Private keys on disk: one small file each, mode 0600, one purpose each.

    keys/log.key      log 5f0c…64 hex digits of the seed…

The root key signs only genesis, key and policy changes: keep its file somewhere else, and bring it for those. The `retry`
secret recognises retries of erased events (docs/format.md, section 14) and signs nothing.
"""

import os
import re
from collections.abc import Mapping
from pathlib import Path

from decision_dna.ledger.hashing import key_id
from decision_dna.ledger.signatures import SigningKey
from decision_dna.schemas.errors import CannotOpen, Unavailable

PURPOSES = ("root", "log", "notary", "anchor", "author", "retry")
_FORM = re.compile(r"(root|log|notary|anchor|author|retry) ([0-9a-f]{64})\n")


class Keyring:
    """Keys by their public half. Says nothing of them but public keys."""

    def __init__(self, keys: Mapping[bytes, tuple[str, SigningKey]], retry: bytes) -> None:
        self._keys = dict(keys)
        self.retry = retry

    def get(self, public: bytes, purpose: str) -> SigningKey:
        """The private key of a public one. Raises Unavailable where it is not here."""
        found = self._keys.get(public)
        if found is None or found[0] != purpose:
            raise Unavailable(f"the private {purpose} key {key_id(public).hex()} is not in the key folder")
        return found[1]

    def has(self, public: bytes) -> bool:
        """Whether the private half is here."""
        return public in self._keys

    def add(self, purpose: str, key: SigningKey) -> None:
        """Hold one more key."""
        self._keys[key.public] = (purpose, key)

    def of_purpose(self, purpose: str) -> list[SigningKey]:
        """All keys held for a purpose."""
        return [key for held, key in self._keys.values() if held == purpose]

    def __repr__(self) -> str:
        return f"Keyring({len(self._keys)} keys)"


def write_key(folder: Path, name: str, purpose: str, seed: bytes) -> Path:
    """A new key file of mode 0600; never overwrites one."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = folder / f"{name}.key"
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w") as file:
        file.write(f"{purpose} {seed.hex()}\n")
        file.flush()
        os.fsync(file.fileno())
    return path


def read_key(path: Path) -> tuple[str, bytes]:
    """(purpose, seed). Raises CannotOpen for other forms, and for files that others may read."""
    if path.stat().st_mode & 0o077:
        raise CannotOpen("key-permissions", f"{path} may be read by others: chmod 600 {path}")
    match = _FORM.fullmatch(path.read_text("ascii", errors="replace"))
    if match is None:
        raise CannotOpen("key-form", f"{path} is not a key file: one line, purpose and 64 hex digits")
    return match[1], bytes.fromhex(match[2])


def read_keyring(folder: Path) -> Keyring:
    """All key files of a folder. Raises CannotOpen."""
    keys: dict[bytes, tuple[str, SigningKey]] = {}
    retry = b""
    for path in sorted(folder.glob("*.key")):
        purpose, seed = read_key(path)
        if purpose == "retry":
            retry = seed
        else:
            key = SigningKey(seed)
            keys[key.public] = (purpose, key)
    return Keyring(keys, retry)

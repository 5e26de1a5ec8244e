"""Committed state (docs/format.md, section 13): a map of bytes to bytes whose root can be kept up to date cheaply, and proved key by key.

A key's bucket is the first 10 bits of H_state(key). A bucket's hash is zeros if it is empty, else H_state over the array
`[[key, value], …]` sorted by key; the root is the RFC 6962 root over the 1,024 bucket hashes as leaves. A change
rehashes its bucket and the ten nodes above it.

    state = StateMap()
    state.put(b"kind/sandwich", value)
    state.root()
"""

from collections.abc import Iterable
from heapq import nsmallest
from typing import Annotated

import msgspec
from msgspec import Meta

from decision_dna.ledger import merkle
from decision_dna.ledger.hashing import ZEROS, state_hash
from decision_dna.schemas import codec
from decision_dna.schemas.claims import Hash
from decision_dna.schemas.errors import ProofRejected

BUCKETS = 1024
_DEPTH = BUCKETS.bit_length() - 1


def bucket_of(key: bytes) -> int:
    """The first 10 bits of H_state(key)."""
    return int.from_bytes(state_hash(key)[:2]) >> 6


def bucket_hash(rows: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Of the rows of one bucket, in any order."""
    ordered = sorted(rows)
    return state_hash(codec.encode(ordered)) if ordered else ZEROS


class StateMap:
    """The map, and its root. Not thread-safe: one fold owns it."""

    def __init__(self, rows: Iterable[tuple[bytes, bytes]] = ()) -> None:
        self._values: dict[bytes, bytes] = dict(rows)
        self._changed: set[bytes] = set(self._values)
        self._buckets: list[set[bytes]] = [set() for _ in range(BUCKETS)]
        self._levels = [level.copy() for level in _EMPTY_LEVELS]

    def __len__(self) -> int:
        return len(self._values)

    def get(self, key: bytes) -> bytes | None:
        """The value, or None."""
        return self._values.get(key)

    def items(self) -> list[tuple[bytes, bytes]]:
        """All rows, ascending by key."""
        return sorted(self._values.items())

    def rows_after(self, key: bytes | None, limit: int) -> list[tuple[bytes, bytes]]:
        """Return the rows behind a key (None: from the first on), ascending, at most `limit`; without sorting the others."""
        keys = self._values if key is None else (each for each in self._values if each > key)
        return [(each, self._values[each]) for each in nsmallest(limit, keys)]

    def put(self, key: bytes, value: bytes) -> None:
        """Set a key."""
        self._values[key] = value
        self._changed.add(key)

    def delete(self, key: bytes) -> None:
        """Remove a key; nothing happens where there is none."""
        if self._values.pop(key, None) is not None:
            self._changed.add(key)

    def root(self) -> bytes:
        """The root over all buckets: hashes those with keys that changed since the last call, and what is above them."""
        touched = self._sort_into_buckets()
        for bucket in touched:
            self._levels[0][bucket] = merkle.leaf_hash(bucket_hash(self._rows(bucket)))
        for height in range(1, _DEPTH + 1):
            touched = {index >> 1 for index in touched}
            below, level = self._levels[height - 1], self._levels[height]
            for index in touched:
                level[index] = merkle.node_hash(below[2 * index], below[2 * index + 1])
        return self._levels[_DEPTH][0]

    def _sort_into_buckets(self) -> set[int]:
        """Keys are hashed here and not at each `put`: a fold changes few of them very often."""
        touched: set[int] = set()
        for key in self._changed:
            bucket = bucket_of(key)
            touched.add(bucket)
            if key in self._values:
                self._buckets[bucket].add(key)
            else:
                self._buckets[bucket].discard(key)
        self._changed = set()
        return touched

    def prove_key(self, key: bytes) -> "KeyProof":
        """What shows the value of a key, or that there is none, under `root()`."""
        self.root()
        bucket = bucket_of(key)
        path = tuple(self._levels[height][(bucket >> height) ^ 1] for height in range(_DEPTH))
        return KeyProof(tuple(sorted(self._rows(bucket))), path)

    def _rows(self, bucket: int) -> list[tuple[bytes, bytes]]:
        return [(key, self._values[key]) for key in self._buckets[bucket]]


class KeyProof(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """The whole bucket of a key, and the RFC 6962 inclusion proof of its hash."""

    bucket: tuple[tuple[bytes, bytes], ...]
    path: Annotated[tuple[Hash, ...], Meta(max_length=_DEPTH)]


_proofs = msgspec.msgpack.Decoder(KeyProof)


def decode_key_proof(data: bytes) -> KeyProof:
    """Raises Malformed."""
    return codec.decode_as(_proofs, data)


def check_key(key: bytes, value: bytes | None, proof: KeyProof, root: bytes) -> None:
    """Raise ProofRejected unless the state of this root has that value for the key; None: unless it has no such key."""
    keys = [held for held, _ in proof.bucket]
    if keys != sorted(set(keys)):
        raise ProofRejected("the keys of a bucket are ascending, each once")
    bucket = bucket_of(key)
    if any(bucket_of(held) != bucket for held in keys):
        raise ProofRejected(f"a key that does not belong in bucket {bucket}")
    merkle.check_inclusion(bucket, BUCKETS, merkle.leaf_hash(bucket_hash(proof.bucket)), proof.path, root)
    found = dict(proof.bucket).get(key)
    if found != value:
        raise ProofRejected(f"key {key.hex()} has the value {found.hex() if found is not None else None} in this state")


def _empty_levels() -> list[list[bytes]]:
    """By height, the nodes of the tree over 1,024 empty buckets."""
    levels = [[merkle.leaf_hash(ZEROS)] * BUCKETS]
    for _ in range(_DEPTH):
        node = merkle.node_hash(levels[-1][0], levels[-1][0])
        levels.append([node] * (len(levels[-1]) // 2))
    return levels


_EMPTY_LEVELS = _empty_levels()
"""Made once: an empty map copies it."""

"""Streams: numbered, linked runs of one family and source; and the list of all their heads that a heartbeat commits to
(docs/format.md, section 6). Leaves of the list are `[stream, next stream_seq, H_entry of its last entry]`, sorted by name.
"""

from bisect import bisect_left
from collections.abc import Mapping, Sequence

import msgspec

from decision_dna.ledger import merkle
from decision_dna.schemas import codec
from decision_dna.schemas.claims import Hash, Natural
from decision_dna.schemas.errors import ProofRejected

StreamHead = tuple[int, bytes]
"""(next stream_seq, H_entry of the stream's last entry)"""


class HeadLeaf(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """One leaf of a heartbeat's list."""

    stream: str
    next_seq: Natural
    head: Hash


class LeafProof(msgspec.Struct, frozen=True):
    """A leaf of the list, its place, and its RFC 6962 inclusion proof."""

    index: int
    leaf: bytes
    proof: tuple[bytes, ...]


_leaves = msgspec.msgpack.Decoder(HeadLeaf)


def list_leaves(heads: Mapping[str, StreamHead]) -> list[bytes]:
    """The leaves of the list, in order."""
    names = sorted(heads, key=str.encode)
    return [codec.encode((name, *heads[name])) for name in names]


def list_root(leaves: Sequence[bytes]) -> bytes:
    """The RFC 6962 root over the list."""
    return merkle.tree_root([merkle.leaf_hash(leaf) for leaf in leaves])


def decode_leaf(leaf: bytes) -> HeadLeaf:
    """Raises Malformed."""
    return codec.decode_as(_leaves, leaf)


def prove_leaves(leaves: Sequence[bytes], stream: str) -> list[LeafProof]:
    """The stream's own leaf; or, where it has none, the neighbours around its name (one at the edges, none in an empty list)."""
    names = [decode_leaf(leaf).stream.encode() for leaf in leaves]
    at = bisect_left(names, stream.encode())
    neighbours = [place for place in (at - 1, at) if 0 <= place < len(names)]
    places = [at] if names[at : at + 1] == [stream.encode()] else neighbours
    hashes = [merkle.leaf_hash(leaf) for leaf in leaves]

    def read(nodes: list[merkle.Node]) -> list[bytes]:
        return [merkle.tree_root(hashes[index << height : (index + 1) << height]) for height, index in nodes]

    return [
        LeafProof(place, leaves[place], tuple(merkle.prove_inclusion(place, len(leaves), read))) for place in places
    ]


def check_present(stream: str, count: int, root: bytes, proofs: Sequence[LeafProof]) -> HeadLeaf:
    """The stream's head as the list has it. Raises ProofRejected, Malformed."""
    if len(proofs) != 1:
        raise ProofRejected(f"one leaf shows stream {stream}, not {len(proofs)}")
    leaf = _checked(count, root, proofs[0])
    if leaf.stream != stream:
        raise ProofRejected(f"the leaf is of stream {leaf.stream}, not {stream}")
    return leaf


def check_absent(stream: str, count: int, root: bytes, proofs: Sequence[LeafProof]) -> None:
    """Raise ProofRejected or Malformed unless the list has no leaf of that stream."""
    if count == 0:
        if proofs or root != merkle.EMPTY_ROOT:
            raise ProofRejected("an empty list has the empty root and no leaves")
        return
    leaves = [_checked(count, root, proof) for proof in proofs]
    name = stream.encode()
    places = [proof.index for proof in proofs]
    below = [leaf.stream.encode() < name for leaf in leaves]
    above = [leaf.stream.encode() > name for leaf in leaves]
    between = len(places) == 2 and places[1] == places[0] + 1 and below[0] and above[1]
    first = places == [0] and above == [True]
    last = places == [count - 1] and below == [True]
    if not (between or first or last):
        raise ProofRejected(f"these leaves do not show that stream {stream} is absent")


def _checked(count: int, root: bytes, proof: LeafProof) -> HeadLeaf:
    merkle.check_inclusion(proof.index, count, merkle.leaf_hash(proof.leaf), proof.proof, root)
    return decode_leaf(proof.leaf)

"""The tree over the entries: RFC 6962 with SHA-256 (docs/format.md, section 7), as functions on hashes.

A *node* (height, index) is the root of the full subtree over the leaves [index·2^height, (index+1)·2^height). A tree of
any size is a row of full subtrees, its *frontier*. Of five leaves a…e:

                root = H(H(H(a,b),H(c,d)), e)
                 /          \\
           node (2,0)      node (0,4)          frontier: (2,0), (0,4)

Proofs come as twins: `prove_*` first says which nodes it needs, the caller fetches them, `check_*` returns nothing and
raises. Heights that are multiples of eight are what tiles hold and what the store keeps.
"""

from collections.abc import Callable, Iterator, Sequence
from hashlib import sha256

import msgspec

from decision_dna.schemas.errors import InvariantBroken, ProofRejected

HASH_BYTES = 32
EMPTY_ROOT = sha256(b"").digest()
TILE_HEIGHT = 8
TILE_WIDTH = 256

Node = tuple[int, int]
"""(height, index)"""


def leaf_hash(entry: bytes) -> bytes:
    """SHA-256(00 ‖ entry)."""
    return sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """SHA-256(01 ‖ left ‖ right)."""
    return sha256(b"\x01" + left + right).digest()


class Frontier(msgspec.Struct, frozen=True):
    """The full subtrees that a tree of `size` leaves consists of, by height: `nodes[h]` is set where bit h of the size is."""

    size: int = 0
    nodes: tuple[bytes | None, ...] = ()

    def root(self) -> bytes:
        """The root of the whole tree."""
        root: bytes | None = None
        for node in self.nodes:
            if node is not None:
                root = node if root is None else node_hash(node, root)
        return EMPTY_ROOT if root is None else root

    def coordinates(self) -> list[Node]:
        """Where its nodes lie in the tree, largest first."""
        return cover(0, self.size)

    @classmethod
    def of(cls, size: int, hashes: Sequence[bytes]) -> "Frontier":
        """From the hashes of `coordinates()`, in that order."""
        heights = [height for height, _ in cover(0, size)]
        if len(heights) != len(hashes):
            raise InvariantBroken(f"a frontier of size {size} has {len(heights)} nodes, not {len(hashes)}")
        nodes: list[bytes | None] = [None] * size.bit_length()
        for height, value in zip(heights, hashes, strict=True):
            nodes[height] = value
        return cls(size, tuple(nodes))


Rows = list[tuple[int, list[bytes]]]
"""By height: the index of a row's first node, and its nodes."""


def extend(frontier: Frontier, leaves: Sequence[bytes], rows: Rows | None = None) -> Frontier:
    """The frontier after more leaf hashes. If `rows` is given, every node that was made or joined goes there, height by height.

    Works level by level: each level pairs what the level below completed, so that a batch costs one hash a leaf.
    """
    size = frontier.size + len(leaves)
    nodes = list(frontier.nodes) + [None] * (size.bit_length() - len(frontier.nodes))
    row, start, height = list(leaves), frontier.size, 0
    while row:
        if start & 1:  # an odd start has its left neighbour waiting in the frontier
            waiting = nodes[height]
            if waiting is None:
                raise InvariantBroken(f"frontier of size {frontier.size} lacks its node at height {height}")
            row.insert(0, waiting)
            nodes[height] = None
            start -= 1
        if rows is not None:
            rows.append((start, row.copy()))
        if len(row) & 1:
            nodes[height] = row.pop()
        pairs = iter(row)
        row = [sha256(b"\x01" + left + right).digest() for left, right in zip(pairs, pairs, strict=True)]
        start >>= 1
        height += 1
    return Frontier(size, tuple(nodes))


def made_for_tiles(before: Frontier, rows: Rows) -> dict[Node, bytes]:
    """Of the rows of an `extend`, the new nodes at heights 8, 16, …: what the store keeps."""
    made: dict[Node, bytes] = {}
    for height in range(TILE_HEIGHT, len(rows), TILE_HEIGHT):
        start, row = rows[height]
        first = before.size >> height
        made.update(((height, start + at), value) for at, value in enumerate(row) if start + at >= first)
    return made


def reader_after(before: Frontier, rows: Rows) -> "NodeReader":
    """Reads the nodes that proofs for the leaves of one `extend` need: all lie in its rows or in the frontier before it."""
    old = dict(zip(before.coordinates(), [node for node in reversed(before.nodes) if node is not None], strict=True))

    def read(nodes: list[Node]) -> list[bytes]:
        return [_row_node(rows, node) or old[node] for node in nodes]

    return read


def _row_node(rows: Rows, node: Node) -> bytes | None:
    height, index = node
    if height >= len(rows):
        return None
    start, row = rows[height]
    return row[index - start] if 0 <= index - start < len(row) else None


def tree_root(leaves: Sequence[bytes]) -> bytes:
    """The root over leaf hashes."""
    return extend(Frontier(), leaves).root()


def cover(start: int, end: int) -> list[Node]:
    """The largest aligned subtrees that make up [start, end), left to right."""
    nodes: list[Node] = []
    while start < end:
        span = end - start
        largest = 1 << (span.bit_length() - 1)
        width = min(largest, start & -start) if start else largest
        height = width.bit_length() - 1
        nodes.append((height, start >> height))
        start += width
    return nodes


def _fold(hashes: Sequence[bytes]) -> bytes:
    """The root over the subtrees of one RFC 6962 range, given left to right."""
    root = hashes[-1]
    for left in reversed(hashes[:-1]):
        root = node_hash(left, root)
    return root


NodeReader = Callable[[list[Node]], list[bytes]]
"""Fetches the hashes of full subtrees, all at once."""


def _hashes(ranges: list[tuple[int, int]], read: NodeReader) -> list[bytes]:
    """One hash for each range of leaves: every node is asked for first, in one call, and then folded."""
    covers = [cover(start, end) for start, end in ranges]
    fetched = iter(read([node for nodes in covers for node in nodes]))
    return [_fold([next(fetched) for _ in nodes]) for nodes in covers]


def prove_inclusion(index: int, size: int, read: NodeReader) -> list[bytes]:
    """Hashes from the leaf upward that lead to the root of the first `size` leaves (RFC 6962, 2.1.1)."""
    if not 0 <= index < size:
        raise InvariantBroken(f"no leaf {index} in a tree of size {size}")
    ranges: list[tuple[int, int]] = []
    start, end = 0, size
    while end - start > 1:
        middle = start + (1 << ((end - start - 1).bit_length() - 1))
        if index < middle:
            ranges.append((middle, end))
            end = middle
        else:
            ranges.append((start, middle))
            start = middle
    return _hashes(ranges[::-1], read)


def check_inclusion(index: int, size: int, leaf: bytes, proof: Sequence[bytes], root: bytes) -> None:
    """Raise ProofRejected unless `leaf` is the leaf at `index` in the tree of `size` and `root` (RFC 9162, 2.1.3.2)."""
    _check_hashes([leaf, root, *proof])
    if not 0 <= index < size:
        raise ProofRejected(f"no leaf {index} in a tree of size {size}")
    value, at, last = leaf, index, size - 1
    for sibling in proof:
        if last == 0:
            raise ProofRejected(f"inclusion proof too long: {len(proof)} hashes for leaf {index} of {size}")
        if at & 1 or at == last:
            value = node_hash(sibling, value)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            value = node_hash(value, sibling)
        at, last = at >> 1, last >> 1
    if last != 0:
        raise ProofRejected(f"inclusion proof too short: {len(proof)} hashes for leaf {index} of {size}")
    _check_root(value, root, f"leaf {index} of {size}")


def prove_consistency(size1: int, size2: int, read: NodeReader) -> list[bytes]:
    """Hashes that show the tree of `size1` to be the beginning of that of `size2` (RFC 6962, 2.1.2)."""
    if not 0 < size1 <= size2:
        raise InvariantBroken(f"no consistency from size {size1} to {size2}")
    ranges: list[tuple[int, int]] = []
    start, end, whole = 0, size2, True
    while size1 != end:
        middle = start + (1 << ((end - start - 1).bit_length() - 1))
        if size1 <= middle:
            ranges.append((middle, end))
            end = middle
        else:
            ranges.append((start, middle))
            start, whole = middle, False
    if not whole:
        ranges.append((start, end))
    return _hashes(ranges[::-1], read)


def check_consistency(size1: int, size2: int, root1: bytes, root2: bytes, proof: Sequence[bytes]) -> None:
    """Raise ProofRejected unless the tree (size1, root1) is the beginning of (size2, root2) (RFC 9162, 2.1.4.2)."""
    _check_hashes(proof)
    if not root1 or not root2:
        raise ProofRejected("a consistency proof needs both roots")
    if not 0 < size1 <= size2:
        raise ProofRejected(f"no consistency from size {size1} to {size2}")
    if size1 == size2:
        if proof:
            raise ProofRejected("a consistency proof between equal sizes is empty")
        _check_root(root1, root2, f"size {size1}")
        return
    if not proof:
        raise ProofRejected(f"an empty consistency proof from size {size1} to {size2}")
    _check_hashes([root1, root2])
    path = list(proof) if size1 & (size1 - 1) else [root1, *proof]
    at, last = size1 - 1, size2 - 1
    while at & 1:
        at, last = at >> 1, last >> 1
    old = new = path[0]
    for sibling in path[1:]:
        if last == 0:
            raise ProofRejected(f"consistency proof too long from size {size1} to {size2}")
        if at & 1 or at == last:
            old, new = node_hash(sibling, old), node_hash(sibling, new)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            new = node_hash(new, sibling)
        at, last = at >> 1, last >> 1
    if last != 0:
        raise ProofRejected(f"consistency proof too short from size {size1} to {size2}")
    _check_root(old, root1, f"size {size1}")
    _check_root(new, root2, f"size {size2}")


def prove_range(start: int, end: int, size: int, read: NodeReader) -> list[bytes]:
    """What is left and right of the leaves [start, end) in a tree of `size` (docs/format.md, section 7)."""
    if not 0 <= start < end <= size:
        raise InvariantBroken(f"no range [{start}, {end}) in a tree of size {size}")
    return read(cover(0, start) + cover(end, size))


def check_range(start: int, end: int, size: int, leaves: Sequence[bytes], proof: Sequence[bytes], root: bytes) -> None:
    """Raise ProofRejected unless `leaves` are the leaves [start, end) of the tree of `size` and `root`."""
    _check_hashes([root, *leaves, *proof])
    if not 0 <= start < end <= size or len(leaves) != end - start:
        raise ProofRejected(f"no range [{start}, {end}) of {len(leaves)} leaves in a tree of size {size}")
    left, right = cover(0, start), cover(end, size)
    if len(proof) != len(left) + len(right):
        raise ProofRejected(f"a range proof of {len(proof)} hashes, {len(left) + len(right)} are needed")
    frontier = extend(Frontier.of(start, proof[: len(left)]), leaves)
    for (height, _), value in zip(right, proof[len(left) :], strict=True):
        frontier = push(frontier, height, value)
    _check_root(frontier.root(), root, f"range [{start}, {end}) of {size}")


def push(frontier: Frontier, height: int, value: bytes) -> Frontier:
    """The frontier after one more full subtree of 2^height leaves; its size must be a multiple of that."""
    if frontier.size & ((1 << height) - 1):
        raise InvariantBroken(f"a subtree of height {height} does not follow on size {frontier.size}")
    size = frontier.size + (1 << height)
    nodes = list(frontier.nodes) + [None] * (size.bit_length() - len(frontier.nodes))
    while (left := nodes[height]) is not None:
        nodes[height], value = None, node_hash(left, value)
        height += 1
    nodes[height] = value
    return Frontier(size, tuple(nodes))


def _check_hashes(hashes: Sequence[bytes]) -> None:
    if any(len(value) != HASH_BYTES for value in hashes):
        raise ProofRejected(f"a hash in a proof that is not {HASH_BYTES} bytes")


def _check_root(computed: bytes, root: bytes, what: str) -> None:
    if computed != root:
        raise ProofRejected(f"{what}: the proof gives root {computed.hex()}, the checkpoint says {root.hex()}")


def tile_rows(size: int) -> Iterator[tuple[int, int, int]]:
    """All tiles of a tree: (level, tile index, width), full ones and the last partial of each level."""
    level = 0
    while (width := size >> (TILE_HEIGHT * level)) > 0:
        for index in range(width // TILE_WIDTH):
            yield level, index, TILE_WIDTH
        if width % TILE_WIDTH:
            yield level, width // TILE_WIDTH, width % TILE_WIDTH
        level += 1

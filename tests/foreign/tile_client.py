"""A client of transparency logs, written from C2SP's signed-note, tlog-checkpoint, tlog-tiles and tlog-proof and from RFC 6962
alone. It knows nothing of Decision DNA, and imports nothing of it.

    client = TileClient(fetch, "example.org/log+1a2b3c4d+AT...")     fetch(path) -> bytes
    head = client.head()                                             verified
    client.check_all(head)                                           every tile and entry that a tree of this size has
"""

import base64
import hashlib
from collections.abc import Callable
from dataclasses import dataclass

from nacl.exceptions import BadSignatureError
from nacl.signing import VerifyKey

WIDTH, HASH_BYTES = 256, 32


class NotALog(Exception):
    """The bytes are not what the specifications ask for."""


def demand(condition: bool, sentence: str) -> None:
    if not condition:
        raise NotALog(sentence)


@dataclass(frozen=True)
class Head:
    origin: str
    size: int
    root: bytes
    note: bytes


# --- signed-note, tlog-checkpoint ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Key:
    """A vkey of type 01."""

    name: str
    id: bytes
    key: bytes


def read_vkey(text: str) -> Key:
    name, key_id, encoded = text.strip().split("+", 2)
    data = base64.b64decode(encoded, validate=True)
    demand(data[0] == 1 and len(data) == 33, "not an Ed25519 vkey")
    expected = hashlib.sha256(name.encode() + b"\n" + data).digest()[:4]
    demand(expected.hex() == key_id, "the key id of the vkey is not that of its key")
    return Key(name, expected, data[1:])


def open_note(note: bytes, key: Key) -> str:
    """The text of a note that the key signed."""
    demand(all(byte >= 0x20 or byte == 0x0A for byte in note), "a control character in a note")
    text, gap, lines = note.decode().rpartition("\n\n")
    demand(gap == "\n\n" and lines.endswith("\n"), "a note has text, an empty line and signature lines")
    signed = 0
    for line in lines[:-1].split("\n"):
        dash, name, encoded = line.split(" ")
        data = base64.b64decode(encoded, validate=True)
        demand(dash == "\N{EM DASH}" and len(data) > 4, "not a signature line")
        if (name, data[:4]) == (key.name, key.id):
            try:
                VerifyKey(key.key).verify(f"{text}\n".encode(), data[4:])
            except BadSignatureError:
                raise NotALog("the signature does not verify") from None
            signed += 1
    demand(signed > 0, "the note is not signed by the key")
    return f"{text}\n"


def read_head(note: bytes, key: Key) -> Head:
    origin, size, root, *more, end = open_note(note, key).split("\n")
    demand(end == "" and all(more), "the text of a checkpoint is lines that are not empty")
    demand(size.isdecimal() and str(int(size)) == size, "the size is not a plain number")
    decoded = base64.b64decode(root, validate=True)
    demand(len(decoded) == HASH_BYTES, "the root is not a SHA-256")
    return Head(origin, int(size), decoded, note)


# --- RFC 6962 ------------------------------------------------------------------------------------------------------------


def leaf_hash(data: bytes) -> bytes:
    return hashlib.sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


def split(size: int) -> int:
    """The largest power of two below the size."""
    return 1 << (size - 1).bit_length() - 1


def check_inclusion(leaf: bytes, index: int, size: int, proof: list[bytes], root: bytes) -> None:
    """By the definition of the audit path, section 2.1.1."""

    def up(index: int, size: int, path: list[bytes]) -> bytes:
        if size == 1:
            demand(not path, "the proof is too long")
            return leaf
        demand(bool(path), "the proof is too short")
        half = split(size)
        if index < half:
            return node_hash(up(index, half, path[:-1]), path[-1])
        return node_hash(path[-1], up(index - half, size - half, path[:-1]))

    demand(0 <= index < size, "the index is not in the tree")
    demand(up(index, size, proof) == root, "the proof does not lead to the root")


# --- tlog-tiles ----------------------------------------------------------------------------------------------------------


def tile_path(level: int | str, index: int, width: int) -> str:
    groups = [f"{index % 1000:03}"]
    while index := index // 1000:
        groups.insert(0, f"x{index % 1000:03}")
    return f"tile/{level}/{'/'.join(groups)}" + ("" if width == WIDTH else f".p/{width}")


class TileClient:
    """Reads a log through `fetch(path)`, and believes nothing but the key."""

    def __init__(self, fetch: Callable[[str], bytes], vkey: str) -> None:
        self.fetch, self.key = fetch, read_vkey(vkey)

    def head(self) -> Head:
        return read_head(self.fetch("checkpoint"), self.key)

    def tile(self, level: int, index: int, size: int) -> list[bytes]:
        width = min(WIDTH, (size >> 8 * level) - index * WIDTH)
        data = self.fetch(tile_path(level, index, width))
        demand(len(data) == width * HASH_BYTES, "a tile has not its width")
        return [data[at : at + HASH_BYTES] for at in range(0, len(data), HASH_BYTES)]

    def entries(self, index: int, size: int) -> list[bytes]:
        width = min(WIDTH, size - index * WIDTH)
        data, found = self.fetch(tile_path("entries", index, width)), []
        while data:
            length = int.from_bytes(data[:2])
            demand(len(data) >= 2 + length, "an entry bundle is cut off")
            found.append(data[2 : 2 + length])
            data = data[2 + length :]
        demand(len(found) == width, "an entry bundle has not its width")
        return found

    def subtree(self, start: int, end: int, size: int) -> bytes:
        """MTH(D[start:end]), from the highest tiles that show it."""
        count = end - start
        if count & (count - 1) == 0 and start % count == 0:  # a full subtree: some tile has its parts
            level = (count.bit_length() - 1) // 8
            row = [self.hash(level, at, size) for at in range(start >> 8 * level, end >> 8 * level)]
            while len(row) > 1:
                row = [node_hash(row[at], row[at + 1]) for at in range(0, len(row), 2)]
            return row[0]
        half = split(count)
        return node_hash(self.subtree(start, start + half, size), self.subtree(start + half, end, size))

    def hash(self, level: int, at: int, size: int) -> bytes:
        return self.tile(level, at // WIDTH, size)[at % WIDTH]

    def inclusion(self, index: int, size: int) -> list[bytes]:
        """The audit path, section 2.1.1."""

        def path(index: int, start: int, end: int) -> list[bytes]:
            if end - start == 1:
                return []
            middle = start + split(end - start)
            if index < middle:
                return [*path(index, start, middle), self.subtree(middle, end, size)]
            return [*path(index, middle, end), self.subtree(start, middle, size)]

        return path(index, 0, size)

    def check_all(self, head: Head) -> list[bytes]:
        """Check every tile and entry of the tree against the signed root; return the entries."""
        demand(self.subtree(0, head.size, head.size) == head.root, "the tiles have another root")
        level, entries = 0, list[bytes]()
        while count := head.size >> 8 * level:
            for index in range(-(-count // WIDTH)):
                row = self.tile(level, index, head.size)
                if level == 0:
                    bundle = self.entries(index, head.size)
                    demand([leaf_hash(entry) for entry in bundle] == row, "entries are not the leaves of their tile")
                    entries += bundle
                start, end = index * WIDTH << 8 * level, (index * WIDTH + len(row)) << 8 * level
                if len(row) == WIDTH:
                    demand(self.hash(level + 1, index, head.size) == self.subtree(start, end, head.size), "no parent")
            level += 1
        return entries

    def check_consistent(self, old: Head, new: Head) -> None:
        """The new tree begins with the old one: its tiles give the old root."""
        demand(old.origin == new.origin and old.size <= new.size, "not a later head of the log")
        demand(self.subtree(0, old.size, new.size) == old.root, "history was rewritten")


# --- tlog-proof ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Proof:
    index: int
    hashes: list[bytes]
    extra: bytes | None
    checkpoint: bytes


def read_proof(data: bytes) -> Proof:
    text, gap, checkpoint = data.decode().partition("\n\n")
    first, *lines = text.split("\n")
    demand(first == "c2sp.org/tlog-proof@v1" and gap != "", "not a tlog-proof")
    extra = base64.b64decode(lines.pop(0)[6:], validate=True) if lines[0].startswith("extra ") else None
    demand(lines[0].startswith("index "), "no index")
    index = int(lines.pop(0)[6:])
    return Proof(index, [base64.b64decode(line, validate=True) for line in lines], extra, checkpoint.encode())


def check_proof(data: bytes, entry: bytes, vkey: str) -> Head:
    """The head under which the proof shows the entry."""
    proof = read_proof(data)
    head = read_head(proof.checkpoint, read_vkey(vkey))
    check_inclusion(leaf_hash(entry), proof.index, head.size, proof.hashes, head.root)
    return head

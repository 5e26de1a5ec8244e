"""A second verifier of Decision DNA, written from `docs/format.md` alone, without a look at the first one.

It needs Python 3.11 and nothing else. It reads one file, offline, and says what the file proves:

    python second_verifier.py log.export --key 'example.org/log+1a2b3c4d+AT...'
    python second_verifier.py event.evidence --key 'example.org/log+1a2b3c4d+AT...'

An *export* is a whole log: every entry, the payloads that were not erased, and the heads that the log has signed.
*Evidence* is a part of a log with proofs that it belongs there: one event, a run of a stream, an absence, or a fork.
The key is what you know from elsewhere about whose log this is. Without it an export can be whole, but not pinned.

The checks have the numbers of section 15 of the document, and each ends in pass, fail or inconclusive:

     1  encoding, sizes, unique ids, causes         7  checkpoints, consistent, signed by the right key
     2  the chain: each entry hashes the one before 8  witnesses                    (not checked here)
     3  streams and heartbeats                      9  anchors                      (not checked here)
     4  attestations and keys                      10  state commitments            (not checked here)
     5  payload commitments and erasures           11  decisions re-executed        (not checked here)
     6  the tree: entries and newest head agree

How to read this file, top to bottom:

    primitives   BLAKE3 and Ed25519, from their papers
    codec        MessagePack, JSON and base64, each in its one form: decode, encode again, compare
    notes        signed notes, checkpoints, vkeys, tlog-proofs
    tree         Merkle roots and proofs of RFC 6962
    entries      claims and entries, and the rules that need nothing but the entry itself
    keys         the ledger's own payloads; which key may say what at which place in the log
    export       steps 1-7 over a whole log
    evidence     steps 1-7 as far as the file reaches
    command      the table that is printed

Two habits hold everywhere. A function that reads or checks raises `Rejected` with one sentence; whoever called it
knows which step that is. Pure functions remember their answers (`lru_cache`), because logs repeat themselves.
"""

import argparse
import base64
import hashlib
import itertools
import json
import math
import re
import struct
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property, lru_cache
from pathlib import Path

INT_MAX = 2**63 - 1
ZEROS = bytes(32)


class Rejected(Exception):
    """The bytes are not what the document asks for; the message says why."""


def demand(condition: bool, sentence: str) -> None:
    """Raise `Rejected` unless the condition holds."""
    if not condition:
        raise Rejected(sentence)


# ---------------------------------------------------------------------------------------------------------------------
# Primitives: BLAKE3 (github.com/BLAKE3-team/BLAKE3-specs)
# ---------------------------------------------------------------------------------------------------------------------

CHUNK_START, CHUNK_END, PARENT, ROOT, DERIVE_KEY_CONTEXT, DERIVE_KEY_MATERIAL = 1, 2, 4, 8, 32, 64
CHUNK_BYTES, BLOCK_BYTES = 1024, 64
WORD = 0xFFFFFFFF

Words = tuple[int, ...]  # eight of 32 bits: a chaining value, or a key

BLAKE3_IV: Words = struct.unpack(
    ">8I", bytes.fromhex("6a09e667 bb67ae85 3c6ef372 a54ff53a 510e527f 9b05688c 1f83d9ab 5be0cd19")
)


def _quarter_rounds() -> tuple[tuple[int, ...], ...]:
    """The 7 x 8 applications of the mixing function G: four places in the state, two in the message."""
    columns = ((0, 4, 8, 12), (1, 5, 9, 13), (2, 6, 10, 14), (3, 7, 11, 15))
    diagonals = ((0, 5, 10, 15), (1, 6, 11, 12), (2, 7, 8, 13), (3, 4, 9, 14))
    permutation = (2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8)
    words, steps = tuple(range(16)), []
    for _ in range(7):
        for number, places in enumerate(columns + diagonals):
            steps.append((*places, words[2 * number], words[2 * number + 1]))
        words = tuple(words[source] for source in permutation)
    return tuple(steps)


QUARTER_ROUNDS = _quarter_rounds()


def _compress(chaining: Words, block: bytes, counter: int, flags: int) -> Words:
    """The compression function, cut to the eight words that are a chaining value or a hash of 32 bytes."""
    message = struct.unpack("<16I", block.ljust(BLOCK_BYTES, b"\0"))
    v = [*chaining, *BLAKE3_IV[:4], counter & WORD, counter >> 32, len(block), flags]
    for a, b, c, d, x, y in QUARTER_ROUNDS:
        va = (v[a] + v[b] + message[x]) & WORD
        vd = v[d] ^ va
        vd = (vd >> 16 | vd << 16) & WORD
        vc = (v[c] + vd) & WORD
        vb = v[b] ^ vc
        vb = (vb >> 12 | vb << 20) & WORD
        va = (va + vb + message[y]) & WORD
        vd ^= va
        vd = (vd >> 8 | vd << 24) & WORD
        vc = (vc + vd) & WORD
        vb ^= vc
        v[a], v[b], v[c], v[d] = va, (vb >> 7 | vb << 25) & WORD, vc, vd
    return tuple(v[word] ^ v[word + 8] for word in range(8))


def _chunk(data: bytes, number: int, key: Words, flags: int, root: int) -> Words:
    """The chaining value of one chunk of at most 1,024 bytes; `root` is ROOT where it is the whole input."""
    chaining = key
    blocks = [data[at : at + BLOCK_BYTES] for at in range(0, len(data), BLOCK_BYTES)] or [b""]
    for place, block in enumerate(blocks):
        start = CHUNK_START if place == 0 else 0
        end = CHUNK_END | root if place == len(blocks) - 1 else 0
        chaining = _compress(chaining, block, number, flags | start | end)
    return chaining


def _subtree(data: bytes, number: int, key: Words, flags: int, root: int) -> Words:
    """The chaining value of the chunks from `number` on: the left side is the largest full tree with a rest."""
    if len(data) <= CHUNK_BYTES:
        return _chunk(data, number, key, flags, root)
    left_chunks = 1 << ((len(data) - 1) // CHUNK_BYTES).bit_length() - 1
    left = _subtree(data[: left_chunks * CHUNK_BYTES], number, key, flags, 0)
    right = _subtree(data[left_chunks * CHUNK_BYTES :], number + left_chunks, key, flags, 0)
    return _compress(key, struct.pack("<16I", *left, *right), 0, flags | PARENT | root)


def blake3(data: bytes) -> bytes:
    """BLAKE3, 32 bytes."""
    return struct.pack("<8I", *_subtree(data, 0, BLAKE3_IV, 0, ROOT))


@cache
def _context_key(context: str) -> Words:
    return _subtree(context.encode(), 0, BLAKE3_IV, DERIVE_KEY_CONTEXT, ROOT)


@lru_cache(maxsize=1 << 16)
def blake3_derive_key(context: str, data: bytes) -> bytes:
    """BLAKE3 in derive_key mode, 32 bytes."""
    return struct.pack("<8I", *_subtree(data, 0, _context_key(context), DERIVE_KEY_MATERIAL, ROOT))


def hash_claim(data: bytes) -> bytes:
    return blake3_derive_key("decision-dna v1 claim", data)


def hash_entry(data: bytes) -> bytes:
    return blake3_derive_key("decision-dna v1 entry", data)


def hash_payload(data: bytes) -> bytes:
    return blake3_derive_key("decision-dna v1 payload", data)


def hash_notary(data: bytes) -> bytes:
    return blake3_derive_key("decision-dna v1 notary", data)


# ---------------------------------------------------------------------------------------------------------------------
# Primitives: Ed25519 (RFC 8032), with the one acceptance rule of section 2
# ---------------------------------------------------------------------------------------------------------------------

P = 2**255 - 19  # the field
L = 2**252 + 27742317777372353535851937790883648493  # the order of the base point
D = -121665 * pow(121666, -1, P) % P  # the curve: -x^2 + y^2 = 1 + D x^2 y^2
SQRT_MINUS_ONE = pow(2, (P - 1) // 4, P)

Point = tuple[int, int, int, int]  # extended coordinates X, Y, Z, T: x = X/Z, y = Y/Z, xy = T/Z

# The y of the eight torsion points: order 4 (0), 1 (1), 2 (-1), and the two y of order 8.
Y_OF_ORDER_8 = 0x05FC536D880238B13933C6D305ACDFD5F098EFF289F4C345B027B2C28F95E826
SMALL_ORDER_Y = frozenset({0, 1, P - 1, Y_OF_ORDER_8, P - Y_OF_ORDER_8})


def _add(p: Point, q: Point) -> Point:
    a = (p[1] - p[0]) * (q[1] - q[0]) % P
    b = (p[1] + p[0]) * (q[1] + q[0]) % P
    c = 2 * D * p[3] * q[3] % P
    d = 2 * p[2] * q[2] % P
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % P, g * h % P, f * g % P, e * h % P


def _double(p: Point) -> Point:
    a = p[0] * p[0] % P
    b = p[1] * p[1] % P
    h = a + b
    e = h - (p[0] + p[1]) * (p[0] + p[1]) % P
    g = a - b
    f = 2 * p[2] * p[2] % P + g
    return e * f % P, g * h % P, f * g % P, e * h % P


def _decode_point(encoded: bytes) -> Point | None:
    """The point of a canonical encoding; None where it is none or not canonical."""
    number = int.from_bytes(encoded, "little")
    sign, y = number >> 255, number & (2**255 - 1)
    if y >= P:
        return None
    u, v = (y * y - 1) % P, (D * y * y + 1) % P  # x^2 = u / v
    x = u * pow(v, 3, P) * pow(u * pow(v, 7, P), (P - 5) // 8, P) % P
    if v * x * x % P != u:
        x = x * SQRT_MINUS_ONE % P
    if v * x * x % P != u or (x == 0 and sign == 1):
        return None
    if x & 1 != sign:
        x = P - x
    return x, y, 1, x * y % P


def _encode_point(p: Point) -> bytes:
    inverse = pow(p[2], -1, P)
    x, y = p[0] * inverse % P, p[1] * inverse % P
    return (y | (x & 1) << 255).to_bytes(32, "little")


def _is_small_order(encoded: bytes) -> bool:
    """Whether the bytes spell one of the eight torsion points, canonical or not, the sign of x ignored."""
    return (int.from_bytes(encoded, "little") & (2**255 - 1)) % P in SMALL_ORDER_Y


IDENTITY: Point = (0, 1, 1, 0)
BASE_X = 15112221349535400772501151409588531511454012693041857206046113283949847762202
BASE_Y = 4 * pow(5, -1, P) % P
BASE: Point = (BASE_X, BASE_Y, 1, BASE_X * BASE_Y % P)


def _sum_of_multiples(s: int, k: int, q: Point) -> Point:
    """[s]B + [k]Q, both scalars walked together, bit by bit."""
    both, result = _add(BASE, q), IDENTITY
    for bit in range(max(s.bit_length(), k.bit_length()) - 1, -1, -1):
        result = _double(result)
        s_bit, k_bit = s >> bit & 1, k >> bit & 1
        if s_bit and k_bit:
            result = _add(result, both)
        elif s_bit:
            result = _add(result, BASE)
        elif k_bit:
            result = _add(result, q)
    return result


@lru_cache(maxsize=1 << 16)
def ed25519_verifies(key: bytes, message: bytes, signature: bytes) -> bool:
    """Whether the signature is accepted by the rule of section 2; wrong lengths are not."""
    if len(key) != 32 or len(signature) != 64:
        return False
    r, s = signature[:32], int.from_bytes(signature[32:], "little")
    if s >= L or _is_small_order(key) or _is_small_order(r):
        return False
    point = _decode_point(key)
    if point is None:
        return False
    k = int.from_bytes(hashlib.sha512(r + key + message).digest(), "little") % L
    minus_key = (P - point[0], point[1], point[2], P - point[3])
    return _encode_point(_sum_of_multiples(s, k, minus_key)) == r


@lru_cache(maxsize=1 << 12)
def is_prime_order(key: bytes) -> bool:
    """Whether the bytes are the canonical encoding of a point of order L: what every key of a log is (section 5)."""
    point = _decode_point(key)
    if point is None or _is_small_order(key):
        return False
    x, y, z, _ = _sum_of_multiples(0, L, point)
    return x == 0 and y == z  # [L]A is the identity


def key_id_of(key: bytes) -> bytes:
    """The eight bytes by which an entry names a key."""
    return hashlib.sha256(b"ed25519" + key).digest()[:8]


# ---------------------------------------------------------------------------------------------------------------------
# Codec: MessagePack in exactly one encoding (section 1)
# ---------------------------------------------------------------------------------------------------------------------

Value = None | bool | int | float | str | bytes | tuple["Value", ...] | dict[str, "Value"]

DEPTH_MAX = 32
TEXT_TAGS = ((1, 0xD9), (2, 0xDA), (4, 0xDB))
BYTES_TAGS = ((1, 0xC4), (2, 0xC5), (4, 0xC6))
ARRAY_TAGS = ((2, 0xDC), (4, 0xDD))
MAP_TAGS = ((2, 0xDE), (4, 0xDF))
TEXT_WIDTHS, BYTES_WIDTHS, ARRAY_WIDTHS, MAP_WIDTHS = (
    {tag: width for width, tag in tags} for tags in (TEXT_TAGS, BYTES_TAGS, ARRAY_TAGS, MAP_TAGS)
)


def _length(length: int, short_tag: int, short_limit: int, tags: Sequence[tuple[int, int]]) -> bytes:
    """The head of a value that has a length: in the tag where it fits, else in the fewest bytes."""
    if length < short_limit:
        return bytes([short_tag | length])
    for width, tag in tags:
        if length < 256**width:
            return bytes([tag]) + length.to_bytes(width, "big")
    raise Rejected("a value is too long for MessagePack")


def _pack_int(value: int) -> bytes:
    if -32 <= value <= 127:
        return bytes([value & 0xFF])
    for width, unsigned_tag, signed_tag in ((1, 0xCC, 0xD0), (2, 0xCD, 0xD1), (4, 0xCE, 0xD2), (8, 0xCF, 0xD3)):
        if 0 <= value < 256**width:
            return bytes([unsigned_tag]) + value.to_bytes(width, "big")
        if -(256**width) // 2 <= value < 0:
            return bytes([signed_tag]) + value.to_bytes(width, "big", signed=True)
    raise Rejected("an integer is too large for MessagePack")


def pack(value: Value) -> bytes:
    """The one encoding of a value."""
    if value is None:
        return b"\xc0"
    if isinstance(value, bool):
        return b"\xc3" if value else b"\xc2"
    if isinstance(value, int):
        return _pack_int(value)
    if isinstance(value, float):
        demand(math.isfinite(value), "a double is not finite")
        return b"\xcb" + struct.pack(">d", value)
    if isinstance(value, str):
        encoded = value.encode()
        return _length(len(encoded), 0xA0, 32, TEXT_TAGS) + encoded
    if isinstance(value, bytes):
        return _length(len(value), 0, 0, BYTES_TAGS) + value
    if isinstance(value, tuple):
        return _length(len(value), 0x90, 16, ARRAY_TAGS) + b"".join(pack(item) for item in value)
    pairs = sorted((key.encode(), item) for key, item in value.items())
    return _length(len(pairs), 0x80, 16, MAP_TAGS) + b"".join(pack(key.decode()) + pack(item) for key, item in pairs)


class _Reader:
    """Walks over MessagePack. It need not be strict about lengths and order: `unpack` compares afterwards."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def take(self, count: int) -> bytes:
        taken = self.data[self.at : self.at + count]
        demand(len(taken) == count, "MessagePack ends too early")
        self.at += count
        return taken

    def number(self, width: int, signed: bool = False) -> int:
        return int.from_bytes(self.take(width), "big", signed=signed)

    def text(self, length: int) -> str:
        try:
            return self.take(length).decode()
        except UnicodeDecodeError:
            raise Rejected("a text is not UTF-8") from None

    def array(self, count: int, depth: int) -> Value:
        demand(depth <= DEPTH_MAX, "MessagePack is nested too deep")
        return tuple(self.value(depth) for _ in range(count))

    def map(self, count: int, depth: int) -> Value:
        demand(depth <= DEPTH_MAX, "MessagePack is nested too deep")
        result: dict[str, Value] = {}
        for _ in range(count):
            key = self.value(depth)
            demand(isinstance(key, str), "a key is not text")
            result[str(key)] = self.value(depth)
        return result

    def value(self, depth: int) -> Value:
        """The next value; `depth` is the number of arrays and maps around it."""
        tag = self.number(1)
        if tag <= 0x7F or tag >= 0xE0:
            return tag if tag <= 0x7F else tag - 256
        if tag <= 0x8F:
            return self.map(tag & 0x0F, depth + 1)
        if tag <= 0x9F:
            return self.array(tag & 0x0F, depth + 1)
        if tag <= 0xBF:
            return self.text(tag & 0x1F)
        if tag in TEXT_WIDTHS:
            return self.text(self.number(TEXT_WIDTHS[tag]))
        if tag in BYTES_WIDTHS:
            return self.take(self.number(BYTES_WIDTHS[tag]))
        if tag in ARRAY_WIDTHS:
            return self.array(self.number(ARRAY_WIDTHS[tag]), depth + 1)
        if tag in MAP_WIDTHS:
            return self.map(self.number(MAP_WIDTHS[tag]), depth + 1)
        if 0xCC <= tag <= 0xCF:
            return self.number(1 << tag - 0xCC)
        if 0xD0 <= tag <= 0xD3:
            return self.number(1 << tag - 0xD0, signed=True)
        if tag == 0xCB:
            (double,) = struct.unpack(">d", self.take(8))
            return float(double)
        constants: dict[int, Value] = {0xC0: None, 0xC2: False, 0xC3: True}
        demand(tag in constants, f"tag {tag:02x} is not used")
        return constants[tag]


@lru_cache(maxsize=1 << 16)
def unpack(data: bytes) -> Value:
    """The value of these bytes, if they are its one encoding."""
    reader = _Reader(data)
    value = reader.value(0)
    demand(reader.at == len(data), "bytes follow the MessagePack value")
    demand(pack(value) == data, "MessagePack is not in its one encoding")
    return value


# What a field holds. bool is not int here, and text is free of control characters.


def as_int(value: Value, low: int = 0, high: int = INT_MAX) -> int:
    if type(value) is not int or not low <= value <= high:
        raise Rejected(f"not an integer of {low} to {high}")
    return value


def as_text(value: Value) -> str:
    if not isinstance(value, str) or not re.fullmatch(r"[^\x00-\x1f\x7f]*", value):
        raise Rejected("not a text")
    return value


def as_bytes(value: Value, length: int | None = None) -> bytes:
    if not isinstance(value, bytes) or length not in (None, len(value)):
        raise Rejected(f"not bytes of length {length}" if length is not None else "not bytes")
    return value


def as_array(value: Value, length: int | None = None) -> tuple[Value, ...]:
    if not isinstance(value, tuple) or length not in (None, len(value)):
        raise Rejected(f"not an array of {length}" if length is not None else "not an array")
    return value


def as_map(value: Value, *names: str) -> list[Value]:
    """The values of a map that has exactly these fields, in the order asked for."""
    if not isinstance(value, dict) or value.keys() != set(names):
        raise Rejected(f"not a map of {', '.join(names)}")
    return [value[name] for name in names]


def byte_length(text: str) -> int:
    return len(text.encode())


# ---------------------------------------------------------------------------------------------------------------------
# Codec: JSON in exactly one form, and base64 (section 10)
# ---------------------------------------------------------------------------------------------------------------------

Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]


def read_json(line: bytes) -> Json:
    """The value of one line without its LF, if it is spelled in the one form; callers check the order of keys."""
    try:
        text = line.decode()
        value: Json = json.loads(text)
        # Python's own writer, told not to escape and not to space, is the form of section 10. Doubled keys vanish in
        # reading and other spellings in writing, so both show in the comparison.
        same = json.dumps(value, ensure_ascii=False, separators=(",", ":")) == text
    except (ValueError, RecursionError):
        raise Rejected("not JSON") from None
    demand(same, "JSON is not in its one form")
    return value


def json_object(value: Json, *names: str) -> list[Json]:
    """The values of an object that has exactly these keys, in this order."""
    if not isinstance(value, dict) or list(value) != list(names):
        raise Rejected(f"not an object of {', '.join(names)}")
    return list(value.values())


def json_text(value: Json) -> str:
    if not isinstance(value, str):
        raise Rejected("not a string")
    return value


def json_int(value: Json) -> int:
    if type(value) is not int or not 0 <= value <= INT_MAX:
        raise Rejected("not an integer of 0 to 2^63 - 1")
    return value


def json_list(value: Json) -> list[Json]:
    if not isinstance(value, list):
        raise Rejected("not a list")
    return value


def json_bytes(value: Json) -> bytes:
    return read_base64(json_text(value))


@lru_cache(maxsize=1 << 16)
def read_base64(text: str) -> bytes:
    """The bytes of standard base64 in its one form."""
    try:
        data = base64.b64decode(text, validate=True)
    except ValueError:
        raise Rejected("not base64") from None
    demand(base64.b64encode(data).decode() == text, "base64 is not in its one form")
    return data


def read_decimal(text: str) -> int:
    """A decimal number without leading zeros, up to 2^63 - 1."""
    demand(re.fullmatch(r"0|[1-9][0-9]{0,18}", text) is not None, "not a decimal number")
    number = int(text)
    demand(number <= INT_MAX, "a decimal number is too large")
    return number


# ---------------------------------------------------------------------------------------------------------------------
# Notes: C2SP signed-note, tlog-checkpoint, tlog-proof (sections 8 and 9)
# ---------------------------------------------------------------------------------------------------------------------

NOTE_BYTES_MAX, SIGNATURE_LINES_MAX = 131_072, 100
ED25519_TYPE = b"\x01"
UNICODE_SPACES = "\t\n\v\f\r \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
NOTE_NAME = re.compile(rf"[^+{UNICODE_SPACES}]+")


@dataclass(frozen=True)
class Signature:
    """One signature line."""

    name: str
    key_id: bytes
    signature: bytes


@dataclass(frozen=True)
class Checkpoint:
    """A head of the log: the text that was signed, what it says, and the lines below it."""

    text: str
    signatures: tuple[Signature, ...]
    origin: str
    size: int
    root: bytes


def note_key_id(name: str, key: bytes) -> bytes:
    """The four bytes by which a note names an Ed25519 key."""
    return hashlib.sha256(name.encode() + b"\n" + ED25519_TYPE + key).digest()[:4]


def _read_signature(line: str) -> Signature:
    dash, _, rest = line.partition(" ")
    name, _, encoded = rest.partition(" ")
    demand(dash == "\N{EM DASH}", "a signature line does not begin with an em dash")
    demand(NOTE_NAME.fullmatch(name) is not None, "a name in a note is empty, or has a space or plus")
    data = read_base64(encoded)
    demand(len(data) > 4, "a signature line holds no signature")
    return Signature(name, data[:4], data[4:])


def read_note(note: str) -> tuple[str, tuple[Signature, ...]]:
    """Text and signature lines of a signed note; nothing is verified yet."""
    demand(byte_length(note) <= NOTE_BYTES_MAX, "a note is longer than 128 KiB")
    demand(re.search(r"[\x00-\x09\x0b-\x1f]", note) is None, "a note has a control character")
    body, blank_line, lines = note.rpartition("\n\n")
    demand(blank_line != "", "a note has no blank line")
    demand(lines.endswith("\n"), "a note does not end in a signature line")
    signatures = tuple(_read_signature(line) for line in lines[:-1].split("\n"))
    demand(len(signatures) <= SIGNATURE_LINES_MAX, "a note has more than 100 signature lines")
    return body + "\n", signatures


@lru_cache(maxsize=1 << 14)
def read_checkpoint(note: str) -> Checkpoint:
    """The checkpoint in a note, not verified yet. A tree of size zero is no checkpoint: nothing could have signed it."""
    text, signatures = read_note(note)
    lines = text.split("\n")
    demand(len(lines) == 4, "a checkpoint has not three lines")
    origin, size, root = lines[0], read_decimal(lines[1]), read_base64(lines[2])
    demand(size > 0, "a checkpoint has size zero")
    demand(len(root) == 32, "the root in a checkpoint has not 32 bytes")
    return Checkpoint(text, signatures, origin, size, root)


def check_signed(checkpoint: Checkpoint, key: bytes) -> None:
    """The checkpoint carries a line of this log key, and every such line verifies. Lines of other keys are ignored."""
    name = checkpoint.origin, note_key_id(checkpoint.origin, key)
    own = [line for line in checkpoint.signatures if (line.name, line.key_id) == name]
    demand(len(own) > 0, f"log key {name[1].hex()} has not signed")
    for line in own:
        verifies = ed25519_verifies(key, checkpoint.text.encode(), line.signature)
        demand(verifies, f"the signature of log key {name[1].hex()} does not verify")


@dataclass(frozen=True)
class VKey:
    """A key that the verifier has from outside, with the name that it signs under."""

    name: str
    key: bytes


@lru_cache(maxsize=1 << 10)
def read_vkey(text: str) -> VKey:
    """`name+hex(keyID)+base64(01 || key)`."""
    parts = text.split("+", 2)  # base64 may contain a plus, the other two may not
    demand(len(parts) == 3 and text.isascii(), "a vkey is not three parts of ASCII")  # an origin is ASCII too
    name, key_id, encoded = parts
    demand(NOTE_NAME.fullmatch(name) is not None, "the name in a vkey is empty or has a space")
    data = read_base64(encoded)
    demand(len(data) == 33 and data[:1] == ED25519_TYPE, "a vkey does not hold an Ed25519 key")
    demand(key_id == note_key_id(name, data[1:]).hex(), "the key id of a vkey does not fit its key")
    return VKey(name, data[1:])


@dataclass(frozen=True)
class InclusionProof:
    """A tlog-proof; the checkpoint is still text."""

    index: int
    hashes: tuple[bytes, ...]
    checkpoint: str


@lru_cache(maxsize=1 << 14)
def read_tlog_proof(text: str) -> InclusionProof:
    """`c2sp.org/tlog-proof@v1` without an `extra` line."""
    head, blank_line, checkpoint = text.partition("\n\n")
    lines = head.split("\n")
    demand(blank_line != "", "a tlog-proof has no empty line")
    demand(len(lines) >= 2 and lines[0] == "c2sp.org/tlog-proof@v1", "not a tlog-proof")
    demand(lines[1].startswith("index "), "a tlog-proof has no index line")
    index = read_decimal(lines[1].removeprefix("index "))
    return InclusionProof(index, tuple(read_base64(line) for line in lines[2:]), checkpoint)


# ---------------------------------------------------------------------------------------------------------------------
# Tree: RFC 6962 section 2.1, checked as in RFC 9162 section 2.1.3.2 and 2.1.4.2 (section 7)
# ---------------------------------------------------------------------------------------------------------------------

EMPTY_TREE = hashlib.sha256(b"").digest()


def leaf_hash(leaf: bytes) -> bytes:
    return hashlib.sha256(b"\x00" + leaf).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


@dataclass
class Tree:
    """The roots of the full subtrees of a growing tree, largest first: all that its root depends on."""

    peaks: list[tuple[int, bytes]] = field(default_factory=list)  # (number of leaves, root)

    def push(self, root: bytes, leaves: int = 1) -> None:
        """Add a full subtree at the end; two neighbours of one size become one."""
        self.peaks.append((leaves, root))
        while len(self.peaks) >= 2 and self.peaks[-2][0] == self.peaks[-1][0]:
            (size, left), (_, right) = self.peaks[-2:]
            self.peaks[-2:] = [(2 * size, node_hash(left, right))]

    def root(self) -> bytes:
        if not self.peaks:
            return EMPTY_TREE
        result = self.peaks[-1][1]
        for _, left in reversed(self.peaks[:-1]):
            result = node_hash(left, result)
        return result


def root_of(leaves: Sequence[bytes]) -> bytes:
    """The root over these leaves."""
    tree = Tree()
    for leaf in leaves:
        tree.push(leaf_hash(leaf))
    return tree.root()


def _demand_hashes(hashes: Sequence[bytes]) -> None:
    demand(all(len(value) == 32 for value in hashes), "a hash has not 32 bytes")


def check_inclusion(index: int, size: int, leaf: bytes, proof: Sequence[bytes], root: bytes) -> None:
    """`leaf` is the hash of the leaf at `index` in the tree of this size and root."""
    _demand_hashes([leaf, root, *proof])
    demand(0 <= index < size, "the index is not in the tree")
    place, last, result = index, size - 1, leaf
    for step in proof:
        demand(last > 0, "the inclusion proof is too long")
        if place & 1 or place == last:
            result = node_hash(step, result)
            while place & 1 == 0 and place:
                place, last = place >> 1, last >> 1
        else:
            result = node_hash(result, step)
        place, last = place >> 1, last >> 1
    demand(last == 0, "the inclusion proof is too short")
    demand(result == root, f"the inclusion proof leads to root {result.hex()}, not {root.hex()}")


def check_consistency(size1: int, size2: int, root1: bytes, root2: bytes, proof: Sequence[bytes]) -> None:
    """The tree of size1 and root1 is the beginning of the tree of size2 and root2."""
    demand(0 < size1 <= size2, "the sizes are zero or in the wrong order")
    if size1 == size2:
        demand(len(proof) == 0, "a proof is given for trees of one size")
        demand(root1 == root2 != b"", "trees of one size have different roots, or none")
        return
    _demand_hashes([root1, root2, *proof])
    demand(len(proof) > 0, "the consistency proof is empty")
    path = list(proof) if size1 & (size1 - 1) else [root1, *proof]  # a full tree is its own first step
    place, last = size1 - 1, size2 - 1
    while place & 1:
        place, last = place >> 1, last >> 1
    old = new = path[0]
    for step in path[1:]:
        demand(last > 0, "the consistency proof is too long")
        if place & 1 or place == last:
            old, new = node_hash(step, old), node_hash(step, new)
            while place & 1 == 0 and place:
                place, last = place >> 1, last >> 1
        else:
            new = node_hash(new, step)
        place, last = place >> 1, last >> 1
    demand(last == 0, "the consistency proof is too short")
    demand(old == root1 and new == root2, "the consistency proof does not lead to the roots")


def _subtree_sizes(start: int, end: int) -> list[int]:
    """The sizes of the maximal aligned subtrees of [start, end)."""
    sizes: list[int] = []
    while start < end:
        size = 1 << (end - start).bit_length() - 1
        if start:
            size = min(size, start & -start)
        sizes.append(size)
        start += size
    return sizes


def check_range(a: int, b: int, size: int, leaves: Sequence[bytes], proof: Sequence[bytes], root: bytes) -> None:
    """`leaves` are the hashes of the leaves [a, b) in the tree of this size and root."""
    _demand_hashes([root, *leaves, *proof])
    demand(0 <= a < b <= size, "the range is empty or not in the tree")
    demand(len(leaves) == b - a, "the number of leaves does not fit the range")
    before, after = _subtree_sizes(0, a), _subtree_sizes(b, size)
    demand(len(proof) == len(before) + len(after), "the number of hashes does not fit the range")
    tree, hashes = Tree(), iter(proof)
    for count in before:
        tree.push(next(hashes), count)
    for leaf in leaves:
        tree.push(leaf)
    for count in after:
        tree.push(next(hashes), count)
    demand(tree.root() == root, "the range proof does not lead to the root")


def tile_path(level: int | None, index: int, width: int = 0) -> str:
    """Where a tile of the public log lies; `level` None: a bundle of entries; `width` 0: a full one (section 9)."""
    groups = f"{index:03d}" if index < 1000 else f"{index:,d}".replace(",", "/").zfill(-(-len(str(index)) // 3) * 4 - 1)
    *above, last = groups.split("/")
    place = "/".join([*(f"x{group}" for group in above), last])
    return f"/tile/{'entries' if level is None else level}/{place}" + (f".p/{width}" if width else "")


# ---------------------------------------------------------------------------------------------------------------------
# Entries: claims and entries, alone (sections 3 and 4)
# ---------------------------------------------------------------------------------------------------------------------

ENTRY_BYTES_MAX, PAYLOAD_BYTES_MAX, SALT_BYTES, CAUSES_MAX = 65_535, 262_144, 16, 64
MINUTE = 60 * 10**9
RANKS = {"none": 0, "notary": 1, "author": 2}
OWN_WORDS = ("ledger", "anchor")
OPEN_WORDS = (*OWN_WORDS, "observation", "route", "control", "engine")

ORIGIN = re.compile(r"[!-*,-~]{1,128}")  # visible ASCII without plus
TYPE = re.compile(r"[a-z][a-z0-9_]*(\.[a-z0-9_]+)*")
SOURCE = re.compile(r"[A-Za-z0-9._-]{1,64}")
STREAM = re.compile(r"[a-z][a-z0-9_]{0,63}/[A-Za-z0-9._-]{1,64}")
TRACE = re.compile(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")


@dataclass(frozen=True)
class Claim:
    """What a speaker says."""

    version: int
    origin: str
    id: bytes
    type: str
    schema: int
    source: str
    subject: str
    occurred_at: int
    causes: tuple[bytes, ...]
    trace: str
    author_seq: int
    author_prev: bytes
    payload_commitment: bytes

    @property
    def first_word(self) -> str:
        return self.type.partition(".")[0]

    @property
    def is_open(self) -> bool:
        return self.first_word in OPEN_WORDS


@dataclass(frozen=True)
class Entry:
    """A claim with its place in the log."""

    raw: bytes
    version: int
    seq: int
    prev: bytes
    stream: str
    stream_seq: int
    stream_prev: bytes
    recorded_at: int
    claim: Claim
    claim_raw: bytes
    attestation: str
    principal: str
    key_id: bytes
    signature: bytes
    open: bytes

    @property
    def hash(self) -> bytes:
        return hash_entry(self.raw)

    @cached_property
    def faults(self) -> tuple[str, ...]:
        """What is wrong with the entry alone [1]."""
        return (*_claim_faults(self.claim, self.recorded_at), *_entry_faults(self))


def _read_claim(raw: bytes) -> Claim:
    a = as_array(unpack(raw), 13)
    return Claim(
        version=as_int(a[0]),
        origin=as_text(a[1]),
        id=as_bytes(a[2], 16),
        type=as_text(a[3]),
        schema=as_int(a[4]),
        source=as_text(a[5]),
        subject=as_text(a[6]),
        occurred_at=as_int(a[7]),
        causes=tuple(as_bytes(cause, 16) for cause in as_array(a[8])),
        trace=as_text(a[9]),
        author_seq=as_int(a[10]),
        author_prev=as_bytes(a[11], 32),
        payload_commitment=as_bytes(a[12], 32),
    )


@lru_cache(maxsize=1 << 16)
def read_entry(raw: bytes) -> Entry:
    """An entry whose fields have their types; what its values break is in `faults`."""
    demand(len(raw) <= ENTRY_BYTES_MAX, "the entry is longer than 65,535 bytes")
    a = as_array(unpack(raw), 13)
    claim_raw = as_bytes(a[7])
    return Entry(
        raw=raw,
        version=as_int(a[0]),
        seq=as_int(a[1]),
        prev=as_bytes(a[2], 32),
        stream=as_text(a[3]),
        stream_seq=as_int(a[4]),
        stream_prev=as_bytes(a[5], 32),
        recorded_at=as_int(a[6]),
        claim=_read_claim(claim_raw),
        claim_raw=claim_raw,
        attestation=as_text(a[8]),
        principal=as_text(a[9]),
        key_id=as_bytes(a[10]),
        signature=as_bytes(a[11]),
        open=as_bytes(a[12]),
    )


def _claim_faults(claim: Claim, recorded_at: int) -> Iterator[str]:
    id_milliseconds = int.from_bytes(claim.id[:6], "big")
    rules = (
        (claim.version == 1, "the claim's version is not 1"),
        (ORIGIN.fullmatch(claim.origin), "the origin is not 1 to 128 visible ASCII characters without plus"),
        (claim.id[6] >> 4 == 7 and claim.id[8] >> 6 == 0b10, "the id is not a UUIDv7"),
        (id_milliseconds * 10**6 <= recorded_at + MINUTE, "the id's time is more than 60 s after recording"),
        (TYPE.fullmatch(claim.type) and len(claim.type) <= 64, "the type is not lowercase words with dots"),
        (1 <= claim.schema <= 65_535, "the schema is not 1 to 65,535"),
        (SOURCE.fullmatch(claim.source), "the source is not 1 to 64 of A-Z a-z 0-9 . _ -"),
        (byte_length(claim.subject) <= 128, "the subject is longer than 128 bytes"),
        (claim.occurred_at <= recorded_at + MINUTE, "it occurred more than 60 s after recording"),
        (len(claim.causes) <= CAUSES_MAX, "there are more than 64 causes"),
        (len(set(claim.causes)) == len(claim.causes), "a cause is named twice"),
        (claim.trace == "" or TRACE.fullmatch(claim.trace), "the trace is not a traceparent"),
        (claim.author_seq > 1 or claim.author_prev == ZEROS, "author_prev is not zeros"),
    )
    return (sentence for holds, sentence in rules if not holds)


def _entry_faults(entry: Entry) -> Iterator[str]:
    claim = entry.claim
    key_id_length, signature_length = (0, 0) if entry.attestation == "none" else (8, 64)
    notary = entry.attestation == "notary"
    principal_fits = 1 <= byte_length(entry.principal) <= 128 if notary else entry.principal == ""
    own_words = [word for word in OWN_WORDS if word in (claim.first_word, claim.source)]
    rules = (
        (entry.version == 1, "the entry's version is not 1"),
        (
            entry.stream == f"{claim.first_word}/{claim.source}",
            "the stream is not the type's first word and the source",
        ),
        (entry.attestation in RANKS, "the attestation is not author, notary or none"),
        (principal_fits, "the principal does not fit the attestation"),
        (len(entry.key_id) == key_id_length, "the key_id does not fit the attestation"),
        (len(entry.signature) == signature_length, "the signature does not fit the attestation"),
        (all(claim.first_word == claim.source for _ in own_words), "ledger and anchor speak for themselves only"),
    )
    return (sentence for holds, sentence in rules if not holds)


def fingerprint(entry: Entry) -> str:
    """The name of an entry: a UUIDv8 of its seq and the beginning of its hash (section 4)."""
    bits = (entry.seq % 2**40) << 82 | int.from_bytes(entry.hash, "big") >> 256 - 82
    custom_a, custom_b, custom_c = bits >> 74, bits >> 62 & 0xFFF, bits & 2**62 - 1
    digits = f"{custom_a << 80 | 0x8 << 76 | custom_b << 64 | 0b10 << 62 | custom_c:032x}"
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


def check_payload(claim: Claim, salted: bytes) -> None:
    """The claim commits to this salt and payload [5]. What the payload means is nobody's business here."""
    fits = SALT_BYTES <= len(salted) <= SALT_BYTES + PAYLOAD_BYTES_MAX
    demand(fits, "salt and payload are shorter than a salt or longer than a salt and 262,144 bytes")
    found = hash_payload(salted)
    expected = claim.payload_commitment
    demand(found == expected, f"the payload hashes to {found.hex()}, not to {expected.hex()}")


def check_open_field(entry: Entry) -> None:
    """The payload of an open type stands in the entry; any other entry's field is empty [5]."""
    if entry.claim.is_open:
        check_payload(entry.claim, bytes(SALT_BYTES) + entry.open)
    else:
        demand(entry.open == b"", "a payload stands open in an entry whose type is not open")


def check_given_payload(entry: Entry, salted: bytes) -> None:
    """A payload that is given beside its entry [5]."""
    demand(not entry.claim.is_open, "a payload is given for an open type")
    check_payload(entry.claim, salted)


# ---------------------------------------------------------------------------------------------------------------------
# Keys: the ledger's own payloads, and who may attest what (section 5)
# ---------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class SourceRule:
    """What one source needs: at least this attestation, and by these author keys, if any are named; or the system."""

    attestation: str
    key_ids: tuple[bytes, ...]
    role: str
    source: str


@dataclass(frozen=True)
class Policy:
    """What sources need, and how far apart heartbeats and times may lie.

    The maxima of anchors are for freshness, and that of sources binds the ledger: both are read and not kept.
    """

    default_attestation: str
    heartbeat_events_max: int
    heartbeat_seconds_max: int
    jump_seconds_max: int
    pause_seconds_max: int
    rules: tuple[SourceRule, ...]

    def rule_for(self, source: str) -> SourceRule | None:
        return next((rule for rule in self.rules if rule.source == source), None)

    def is_system(self, source: str) -> bool:
        rule = self.rule_for(source)
        return rule is not None and rule.role == "system"


@dataclass(frozen=True)
class Genesis:
    """Entry 0: the four keys of a log and its first policy."""

    anchor_key: bytes
    log_key: bytes
    notary_key: bytes
    root_key: bytes
    origin: str
    policy: Policy


@dataclass(frozen=True)
class Named:
    """What root names when it signs a change: the history that it has seen, and until when it may be recorded."""

    root: bytes
    size: int
    not_after: int


@dataclass(frozen=True)
class KeyChange:
    """A key that comes, takes another's place, or ends."""

    action: str
    key: bytes
    named: Named
    operator: str
    overlap: int
    purpose: str
    replaces: bytes
    roles: tuple[str, ...]
    sources: tuple[str, ...]
    suspect_from: int | None


@dataclass(frozen=True)
class PolicyChange:
    """A policy that takes the place of the one before."""

    named: Named
    policy: Policy


@dataclass(frozen=True)
class Clock:
    """Somebody vouches for a jump of the log's time."""

    start: int
    end: int


@dataclass(frozen=True)
class Beacon:
    """A block of a public chain that was there when the heartbeat was made."""

    block_time: int
    kind: str


@dataclass(frozen=True)
class Heartbeat:
    """What the log says about its place, the entries before it, and its streams."""

    beacon: Beacon
    last: bytes
    root: bytes
    size: int
    streams_count: int
    streams_root: bytes


@dataclass(frozen=True)
class Erasure:
    """The entry whose payload was erased."""

    id: bytes
    seq: int


KEYS_PER_RULE_MAX, RULES_MAX, SOURCES_MAX, ROLES_MAX = 64, 1024, 1024, 16
SECONDS_MAX = 2**31 - 1
ROLE = re.compile(r"[a-z][a-z-]{0,31}")
BEACON_KINDS = ("finalized", "recorded", "none")


def _ascending(values: Sequence[bytes]) -> bool:
    return all(left < right for left, right in itertools.pairwise(values))


def _as_attestation(value: Value) -> str:
    text = as_text(value)
    demand(text in RANKS, "an attestation is not author, notary or none")
    return text


def _as_foreign_source(value: Value) -> str:
    """A source that rules and author keys may name: the ledger and its anchors follow rules of their own."""
    name = as_text(value)
    demand(SOURCE.fullmatch(name) is not None, "a source is not 1 to 64 of A-Z a-z 0-9 . _ -")
    demand(name not in OWN_WORDS, f"the name {name} is kept for the log itself")
    return name


def _as_key(value: Value) -> bytes:
    key = as_bytes(value, 32)
    demand(is_prime_order(key), f"{key.hex()} is not the encoding of a point of prime order")
    return key


def _as_short_text(value: Value, characters: int) -> str:
    text = as_text(value)
    demand(len(text) <= characters, f"a text is longer than {characters} characters")
    return text


def _as_source_rule(value: Value) -> SourceRule:
    attestation, keys, role, source = as_map(value, "attestation", "keys", "role", "source")
    key_ids = tuple(as_bytes(key_id, 8) for key_id in as_array(keys))
    demand(len(key_ids) <= KEYS_PER_RULE_MAX, "a source rule names more than 64 keys")
    demand(_ascending(key_ids), "the keys of a source rule are not ascending")
    rule = SourceRule(_as_attestation(attestation), key_ids, as_text(role), _as_foreign_source(source))
    demand(rule.role in ("", "system"), "a role in the policy is neither empty nor system")
    plain = rule.attestation == "notary" and rule.key_ids == ()
    demand(rule.role == "" or plain, "a source of the system is not notarised, or names keys")
    return rule


def _as_policy(value: Value) -> Policy:
    seconds = ("anchor_seconds_max", "heartbeat_seconds_max", "jump_seconds_max", "pause_seconds_max")
    counts = ("anchor_events_max", "heartbeat_events_max", "sources_per_principal_max")
    default, sources, *maxima = as_map(value, "default_attestation", "sources", *seconds, *counts)
    highs = [SECONDS_MAX] * len(seconds) + [INT_MAX] * len(counts)
    numbers = [as_int(maximum, low=1, high=high) for maximum, high in zip(maxima, highs, strict=True)]
    _, heartbeat_seconds_max, jump_seconds_max, pause_seconds_max, _, heartbeat_events_max, _ = numbers
    demand(pause_seconds_max <= jump_seconds_max, "pause_seconds_max is above jump_seconds_max")
    rules = tuple(_as_source_rule(rule) for rule in as_array(sources))
    demand(len(rules) <= RULES_MAX, "the policy has more than 1,024 source rules")
    demand(_ascending([rule.source.encode() for rule in rules]), "the source rules are not ascending")
    return Policy(
        default_attestation=_as_attestation(default),
        heartbeat_events_max=heartbeat_events_max,
        heartbeat_seconds_max=heartbeat_seconds_max,
        jump_seconds_max=jump_seconds_max,
        pause_seconds_max=pause_seconds_max,
        rules=rules,
    )


def _as_named(checkpoint: Value, not_after: Value) -> Named:
    root, size = as_map(checkpoint, "root", "size")
    return Named(as_bytes(root, 32), as_int(size, low=1), as_int(not_after))


def _as_origin(value: Value) -> str:
    text = as_text(value)
    demand(ORIGIN.fullmatch(text) is not None, "an origin is not 1 to 128 visible ASCII characters without plus")
    return text


@lru_cache(maxsize=1 << 12)
def read_genesis(payload: bytes) -> Genesis:
    names = ("anchor_key", "log_key", "notary_key", "root_key")
    fields = as_map(unpack(payload), *names, "format_version", "origin", "policy", "successor_of")
    anchor_key, log_key, notary_key, root_key = keys = [_as_key(key) for key in fields[:4]]
    format_version, origin, policy, successor_of = fields[4:]
    demand(len(set(keys)) == 4, "the four keys of genesis do not all differ")
    as_int(format_version, low=1, high=1)
    if successor_of is not None:
        old_origin, old_root, old_size = as_map(successor_of, "origin", "root", "size")
        _as_origin(old_origin)
        as_bytes(old_root, 32)
        as_int(old_size, low=1)
    return Genesis(anchor_key, log_key, notary_key, root_key, _as_origin(origin), _as_policy(policy))


@lru_cache(maxsize=1 << 12)
def read_key_change(payload: bytes) -> KeyChange:
    """A `ledger.key` payload; the rules that need the keys before it are in `Keys`."""
    texts = ("action", "operator", "purpose")
    others = ("checkpoint", "key", "not_after", "overlap", "replaces", "roles", "sources", "suspect_from")
    fields = as_map(unpack(payload), *texts, *others)
    action, operator, purpose = (as_text(field) for field in fields[:3])
    checkpoint, key, not_after, overlap, replaces, roles, sources, suspect_from = fields[3:]
    change = KeyChange(
        action=action,
        key=_as_key(key),
        named=_as_named(checkpoint, not_after),
        operator=operator,
        overlap=as_int(overlap),
        purpose=purpose,
        replaces=as_bytes(replaces),
        roles=tuple(as_text(role) for role in as_array(roles)),
        sources=tuple(as_text(source) for source in as_array(sources)),
        suspect_from=None if suspect_from is None else as_int(suspect_from),
    )
    purposes = {"register": ("author",), "rotate": ("log", "notary", "anchor", "author"), "revoke": ("author",)}
    demand(change.purpose in purposes.get(change.action, ()), "no such action for such a purpose")
    demand(change.action == "revoke" or change.suspect_from is None, "suspect_from is for revoke only")
    demand(change.purpose == "log" or change.overlap == 0, "overlap is for the log key only")
    if change.action == "register":
        _check_registered(change)
    if change.action == "revoke" or change.purpose != "author":
        rights = (change.sources, change.operator, change.roles)
        demand(rights == ((), "", ()), "sources, operator or roles are named where no key may have them")
    return change


def _check_registered(change: KeyChange) -> None:
    """What a new author key may be: of a plain author, or of an operator with roles."""
    demand(change.replaces == b"", "register replaces no key")
    demand(len(change.sources) <= SOURCES_MAX, "register names more than 1,024 sources")
    demand(_ascending([_as_foreign_source(source).encode() for source in change.sources]), "sources do not ascend")
    if change.operator == "":
        demand(change.roles == (), "roles are given to a key of no operator")
        demand(len(change.sources) > 0, "register names neither a source nor a role")
        return
    _as_foreign_source(change.operator)  # an operator is named as a source is
    demand(1 <= len(change.roles) <= ROLES_MAX, "an operator has not 1 to 16 roles")
    demand(all(ROLE.fullmatch(role) for role in change.roles), "a role is not 1 to 32 of a-z and -")
    demand(_ascending([role.encode() for role in change.roles]), "the roles do not ascend")


@lru_cache(maxsize=1 << 12)
def read_policy_change(payload: bytes) -> PolicyChange:
    checkpoint, not_after, policy = as_map(unpack(payload), "checkpoint", "not_after", "policy")
    return PolicyChange(_as_named(checkpoint, not_after), _as_policy(policy))


@lru_cache(maxsize=1 << 12)
def read_clock(payload: bytes) -> Clock:
    start, reason, end = as_map(unpack(payload), "from", "reason", "to")
    _as_short_text(reason, 500)
    clock = Clock(as_int(start), as_int(end))
    demand(clock.start <= clock.end, "the clock goes back")
    return clock


def _as_beacon(value: Value) -> Beacon:
    block_time, blockhash, kind, slot = as_map(value, "block_time", "blockhash", "kind", "slot")
    beacon = Beacon(as_int(block_time), as_text(kind))
    demand(beacon.kind in BEACON_KINDS, "the kind of a beacon is not finalized, recorded or none")
    said = (beacon.block_time, _as_short_text(blockhash, 64), as_int(slot))
    demand(beacon.kind != "none" or said == (0, "", 0), "there is no beacon, and yet its block is named")
    return beacon


@lru_cache(maxsize=1 << 14)
def read_heartbeat(payload: bytes) -> Heartbeat:
    names = ("beacon", "last", "root", "size", "streams_count", "streams_root")
    beacon, last, root, size, count, streams_root = as_map(unpack(payload), *names)
    return Heartbeat(
        beacon=_as_beacon(beacon),
        last=as_bytes(last, 32),
        root=as_bytes(root, 32),
        size=as_int(size),
        streams_count=as_int(count),
        streams_root=as_bytes(streams_root, 32),
    )


@lru_cache(maxsize=1 << 14)
def read_erasure(payload: bytes) -> Erasure:
    claim_id, seq, who, why = as_map(unpack(payload), "id", "seq", "who", "why")
    _as_short_text(who, 128)
    _as_short_text(why, 500)
    return Erasure(as_bytes(claim_id, 16), as_int(seq))


READERS: dict[str, Callable[[bytes], object]] = {
    "ledger.genesis": read_genesis,
    "ledger.key": read_key_change,
    "ledger.policy": read_policy_change,
    "ledger.clock": read_clock,
    "ledger.heartbeat": read_heartbeat,
    "ledger.erasure": read_erasure,
}


def read_ledger_payload(entry: Entry) -> object:
    """The payload of one of the ledger's own types [4]."""
    reader = READERS.get(entry.claim.type)
    if reader is None or entry.claim.schema != 1:
        raise Rejected(f"there is no {entry.claim.type} of schema {entry.claim.schema}")
    return reader(entry.open)


@dataclass(frozen=True)
class Author:
    """A live author key and the sources that it may speak for; an operator's has roles too."""

    key: bytes
    sources: tuple[str, ...]
    operator: str
    roles: tuple[str, ...]


def author_of(change: KeyChange) -> Author:
    """The author key that a registration or rotation brings."""
    return Author(change.key, change.sources, change.operator, change.roles)


@dataclass(frozen=True)
class LogRotation:
    """From the entry `seq` on another key signs the heads, and the old one too for a while."""

    seq: int
    old: bytes
    new: bytes
    overlap: int


def check_signature(entry: Entry, attestation: str, key: bytes) -> None:
    """The entry is attested in this way, by this key."""
    demand(entry.attestation == attestation, f"it is attested by {entry.attestation}, not by {attestation}")
    demand(entry.key_id == key_id_of(key), f"key_id is {entry.key_id.hex()}, not {key_id_of(key).hex()}")
    if attestation == "author":
        message = b"decision-dna/claim/v1\n" + hash_claim(entry.claim_raw)
    else:
        message = b"decision-dna/notary/v1\n" + hash_notary(entry.claim_raw) + entry.principal.encode()
    demand(ed25519_verifies(key, message, entry.signature), "the signature does not verify")


def check_author_seq_kept(entry: Entry) -> None:
    """Only authors count what they say."""
    kept = entry.claim.author_seq > 0
    demand(not kept or entry.attestation == "author", "author_seq is kept, but no author attests the entry")


def take_key_id(used: dict[bytes, bytes], key_id: bytes, key: bytes) -> None:
    """One more key of the log: its key_id stands for no key that there was before, itself included."""
    other = used.get(key_id)
    demand(other != key, "a key is used twice in the log")
    demand(other is None, f"key_id {key_id.hex()} stands for two keys of the log")
    used[key_id] = key


# Who speaks for a type, by its first word (section 5).
SYSTEM_WORDS = ("engine", "route", "observation", "detection", "market")
SYSTEM_TYPES = ("control.ack", "control.refused")
RESERVED_PRINCIPALS = ("ledger", "anchor", "engine")
ROLE_FOR = {"ledger.clock": "clock", "ledger.erasure": "erasure"}  # what an operator may sign beside the root key


class Keys:
    """The keys and the policy before some entry. Ask `check` of the entry first, then `fold` it in."""

    def __init__(self, entry: Entry) -> None:
        """Begin with entry 0, which names the keys and is signed by one of them."""
        demand(entry.claim.type == "ledger.genesis", "entry 0 is not ledger.genesis")
        read_ledger_payload(entry)
        genesis = read_genesis(entry.open)
        demand(genesis.origin == entry.claim.origin, "the origin of genesis is not the claim's")
        check_signature(entry, "author", genesis.root_key)
        demand(entry.claim.author_seq > 0, "the root key does not count what it signs")
        self.root = genesis.root_key
        self.live = {"log": genesis.log_key, "notary": genesis.notary_key, "anchor": genesis.anchor_key}
        self.first_log_key = genesis.log_key
        self.log_rotations: list[LogRotation] = []
        self.authors: dict[bytes, Author] = {}  # by key_id
        self.used: dict[bytes, bytes] = {}  # every key there ever was, by key_id
        for key in (self.root, *self.live.values()):
            take_key_id(self.used, key_id_of(key), key)
        self.policies = [(0, genesis.policy)]  # each with the seq of its entry
        self.suspects: list[str] = []  # what revocations say: reported, not failed

    @property
    def policy(self) -> Policy:
        return self.policies[-1][1]

    def policy_before(self, seq: int) -> Policy:
        """The policy in force at an entry after genesis: what the entries before it say."""
        return next(policy for place, policy in reversed(self.policies) if place < seq)

    def log_keys_at(self, size: int) -> list[bytes]:
        """The log keys that must sign the head of this size (section 8)."""
        before = [rotation for rotation in self.log_rotations if rotation.seq < size]
        if not before:
            return [self.first_log_key]
        last = before[-1]
        return [last.new, last.old] if size <= last.seq + 1 + last.overlap else [last.new]

    def live_key(self, purpose: str, key_id: bytes) -> bytes | None:
        """The key of this id, if it is live for this purpose."""
        if purpose == "author":
            author = self.authors.get(key_id)
            return author.key if author else None
        key = self.live[purpose]
        return key if key_id_of(key) == key_id else None

    def check(self, entry: Entry) -> None:
        """The entry is attested by one who may, and a payload of the ledger's own is well formed."""
        if entry.claim.first_word == "ledger":
            self._check_ledger(entry)
        else:
            self._check_other(entry)

    def _check_ledger(self, entry: Entry) -> None:
        payload = read_ledger_payload(entry)
        if isinstance(payload, Genesis):
            raise Rejected("ledger.genesis stands at entry 0 only")
        if isinstance(payload, Heartbeat):
            check_signature(entry, "notary", self.live["notary"])
            demand(entry.principal == "ledger", "the principal of a heartbeat is not ledger")
            return
        author = self.authors.get(entry.key_id)
        role = ROLE_FOR.get(entry.claim.type)
        if author is not None and author.operator and role in author.roles:
            check_signature(entry, "author", author.key)
            return
        check_signature(entry, "author", self.root)
        demand(entry.claim.author_seq > 0, "the root key does not count what it signs")
        if isinstance(payload, KeyChange | PolicyChange):
            demand(payload.named.size <= entry.seq, "the checkpoint that it names is not of entries before it")
            demand(entry.recorded_at <= payload.named.not_after, "it was recorded after its not_after")

    def _check_other(self, entry: Entry) -> None:
        claim = entry.claim
        self._check_speaker(entry)
        rule = self.policy.rule_for(claim.source)
        if claim.first_word == "x":  # what others need, `_check_speaker` has seen
            required = rule.attestation if rule else self.policy.default_attestation
            rank = RANKS.get(entry.attestation, -1)
            demand(rank >= RANKS[required], f"the attestation is {entry.attestation}, but {required} is required")
        if entry.attestation == "notary":
            check_signature(entry, "notary", self.live["notary"])
        if entry.attestation == "author":
            author = self.authors.get(entry.key_id)
            if author is None or claim.source not in author.sources:
                raise Rejected(f"no live author key {entry.key_id.hex()} speaks for {claim.source}")
            if rule and rule.key_ids:
                demand(entry.key_id in rule.key_ids, f"the policy names other keys for {claim.source}")
            check_signature(entry, "author", author.key)

    def _check_speaker(self, entry: Entry) -> None:
        """The second table of section 5: whether this type is spoken by this attestation and principal at all."""
        claim, word = entry.claim, entry.claim.first_word
        is_system = self.policy.is_system(claim.source)
        for_system = word in SYSTEM_WORDS or claim.type in SYSTEM_TYPES
        spoken_as = (entry.attestation, entry.principal)
        if for_system or is_system:
            demand(is_system, f"{claim.type} is the system's, and no rule makes {claim.source} a source of the system")
            demand(for_system or word == "x", f"no system speaks {claim.type}")
            demand(spoken_as == ("notary", "engine"), f"only principal engine speaks for {claim.source}")
        elif word == "anchor":
            demand(spoken_as == ("notary", "anchor"), f"only principal anchor speaks {claim.type}")
        elif word == "control":
            author = self.authors.get(entry.key_id) if entry.attestation == "author" else None
            demand(author is not None and author.operator != "", f"only operators speak {claim.type}")
        else:
            demand(word == "x", f"nobody speaks {claim.type}")
            demand(entry.principal not in RESERVED_PRINCIPALS, f"principal {entry.principal} speaks no {claim.type}")

    def fold(self, entry: Entry) -> None:
        """Take in what an entry changes for the entries after it."""
        if entry.claim.type == "ledger.policy":
            self.policies.append((entry.seq, read_policy_change(entry.open).policy))
        if entry.claim.type == "ledger.key":
            change = read_key_change(entry.open)
            if change.action == "register":
                self._register(change)
            elif change.action == "rotate":
                self._rotate(change, entry.seq)
            else:
                self._revoke(change)

    def _register(self, change: KeyChange) -> None:
        take_key_id(self.used, key_id_of(change.key), change.key)
        self.authors[key_id_of(change.key)] = author_of(change)

    def _rotate(self, change: KeyChange, seq: int) -> None:
        replaced = self.live_key(change.purpose, change.replaces)
        if replaced is None:
            raise Rejected(f"rotate replaces no live {change.purpose} key")
        if change.purpose == "author":
            before, after = self.authors[change.replaces], author_of(change)
            kept = (after.sources, after.operator, after.roles) == (before.sources, before.operator, before.roles)
            demand(kept, "rotate changes sources, operator or roles")
        if change.purpose == "log" and self.log_rotations:
            last = self.log_rotations[-1]
            demand(seq > last.seq + last.overlap, "the log key is rotated while an overlap runs")
        take_key_id(self.used, key_id_of(change.key), change.key)
        if change.purpose == "author":
            del self.authors[change.replaces]
            self.authors[key_id_of(change.key)] = author_of(change)
            return
        self.live[change.purpose] = change.key
        if change.purpose == "log":
            self.log_rotations.append(LogRotation(seq, replaced, change.key, change.overlap))

    def _revoke(self, change: KeyChange) -> None:
        ended = self.live_key("author", change.replaces)
        demand(ended is not None and ended == change.key, "revoke names no live author key")
        del self.authors[change.replaces]
        if change.suspect_from is not None:
            name = change.replaces.hex()
            self.suspects.append(f"entries of author key {name} from seq {change.suspect_from} on are suspect")


# ---------------------------------------------------------------------------------------------------------------------
# Time: how late a heartbeat may be, and who vouches for a jump (section 6)
# ---------------------------------------------------------------------------------------------------------------------

SECOND = 10**9
BEACON_SECONDS_MAX = 120
HEARTBEAT, CLOCK = "ledger.heartbeat", "ledger.clock"


def check_maxima(entry: Entry, heartbeat: Entry, policy: Policy) -> None:
    """The newest heartbeat before (or genesis) is not too many entries, and not too long ago."""
    if entry.claim.type in (HEARTBEAT, CLOCK):
        return
    events = entry.seq - heartbeat.seq
    demand(events <= policy.heartbeat_events_max, f"the heartbeat before it is {events} entries back")
    late = entry.recorded_at - heartbeat.recorded_at
    demand(late <= policy.heartbeat_seconds_max * SECOND, f"the heartbeat before it is {late} ns back")


def check_gap(entry: Entry, before: Entry, policy: Policy, root_key: bytes) -> None:
    """A long pause is vouched for by a public chain or an operator, a longer one by the root key alone."""
    gap = entry.recorded_at - before.recorded_at
    if gap <= policy.pause_seconds_max * SECOND:
        return
    is_clock = entry.claim.type == CLOCK
    demand(is_clock or _has_fresh_beacon(entry), f"nobody vouches for a gap of {gap} ns")
    if gap > policy.jump_seconds_max * SECOND:
        by_root = entry.attestation == "author" and entry.key_id == key_id_of(root_key)
        demand(is_clock and by_root, f"the root key does not vouch for a gap of {gap} ns")


def _has_fresh_beacon(entry: Entry) -> bool:
    """Whether it is a heartbeat with a finalized block of its time. One that can't be read is none: step 4 says so too."""
    if entry.claim.type != HEARTBEAT:
        return False
    try:
        beacon = read_heartbeat(entry.open).beacon
    except Rejected:
        return False
    away = abs(beacon.block_time * SECOND - entry.recorded_at)
    return beacon.kind == "finalized" and away <= BEACON_SECONDS_MAX * SECOND


def check_clock(entry: Entry, before: Entry, policy: Policy) -> None:
    """A `ledger.clock` says where the jump begins, at the entry before it, and about where it ends, at its own."""
    if entry.claim.type != CLOCK:
        return
    try:
        clock = read_clock(entry.open)
    except Rejected:
        return  # step 4 says so
    demand(clock.start == before.recorded_at, f"the clock begins at {clock.start}, not at {before.recorded_at}")
    fits = clock.end - MINUTE <= entry.recorded_at <= clock.end + policy.pause_seconds_max * SECOND
    demand(fits, f"the clock says {clock.end}, it was recorded at {entry.recorded_at}")


def check_heartbeat_place(entry: Entry) -> Heartbeat | None:
    """A heartbeat says its own seq and prev. None where it is no heartbeat that can be read: step 4 says so."""
    if entry.claim.type != HEARTBEAT:
        return None
    try:
        heartbeat = read_heartbeat(entry.open)
    except Rejected:
        return None
    demand(heartbeat.size == entry.seq, f"the heartbeat says size {heartbeat.size}, its seq is {entry.seq}")
    demand(heartbeat.last == entry.prev, "the heartbeat's last is not its prev")
    return heartbeat


# ---------------------------------------------------------------------------------------------------------------------
# The report
# ---------------------------------------------------------------------------------------------------------------------

STEPS = {
    1: "encoding, sizes, unique ids, causes",
    2: "chain",
    3: "streams and heartbeats",
    4: "attestations and keys",
    5: "payload commitments and erasures",
    6: "tree",
    7: "checkpoints, consistent",
    8: "witnesses",
    9: "anchors",
    10: "state commitments",
    11: "decisions re-executed",
}


@dataclass(frozen=True)
class Report:
    """What was found: a verdict for each step, a sentence for each thing that is wrong, and what else to know."""

    steps: dict[int, str]
    findings: list[tuple[int, str]]
    accepted: bool
    pinned: bool
    notes: list[str]


@dataclass
class Findings:
    """Collects what is wrong, which steps were taken at all, and notes, which fail nothing."""

    found: list[tuple[int, str]] = field(default_factory=list)
    taken: set[int] = field(default_factory=set)
    notes: list[str] = field(default_factory=list)

    def add(self, step: int, sentence: str) -> None:
        self.found.append((step, sentence))

    def attempt(self, step: int, where: str, check: Callable[..., object], *arguments: object) -> bool:
        """Run one check; a rejection is a finding of this step."""
        try:
            check(*arguments)
        except Rejected as reason:
            self.add(step, f"{where}: {reason}")
            return False
        return True

    def report(self, key_given: bool, pinned: bool) -> Report:
        failed = {step for step, _ in self.found}
        steps = {step: "pass" if step in self.taken else "inconclusive" for step in STEPS}
        steps.update(dict.fromkeys(failed, "fail"))
        pinned = pinned and not failed & {1, 4, 6, 7}  # else anyone may have named these keys
        return Report(steps, self.found, not failed and (pinned or not key_given), pinned, self.notes)


# ---------------------------------------------------------------------------------------------------------------------
# Export: a whole log (sections 10 and 15)
# ---------------------------------------------------------------------------------------------------------------------

EXPORT_FORMAT = "decision-dna/export@v1"


@dataclass(frozen=True)
class Line:
    """One entry of the log, and its salt and payload if they are there."""

    raw: bytes
    payload: bytes | None


@dataclass(frozen=True)
class Export:
    """A log as it stands in its file; `entries` has None where the bytes are no entry."""

    origin: str
    lines: list[Line]
    heads: list[str]
    entries: list[Entry | None]

    def decoded(self) -> Iterator[tuple[int, Entry]]:
        return ((seq, entry) for seq, entry in enumerate(self.entries) if entry is not None)


@lru_cache(maxsize=1 << 16)
def _read_line(data: bytes) -> Line:
    entry, payload = json_object(read_json(data), "entry", "payload")
    return Line(json_bytes(entry), None if payload is None else json_bytes(payload))


@lru_cache(maxsize=1 << 14)
def _read_head_line(data: bytes) -> str:
    (head,) = json_object(read_json(data), "head")
    return json_text(head)


def read_export(data: bytes, findings: Findings) -> Export:
    """The three kinds of lines in their order; entries that do not decode are findings, not an end."""
    demand(data.endswith(b"\n"), "the file does not end in LF")
    rows = data[:-1].split(b"\n")
    format_name, origin, size = json_object(read_json(rows[0]), "format", "origin", "size")
    demand(format_name == EXPORT_FORMAT, f"the format is not {EXPORT_FORMAT}")
    count = json_int(size)
    demand(ORIGIN.fullmatch(json_text(origin)) is not None, "the origin is not 1 to 128 visible ASCII without plus")
    demand(count > 0, "the log has no entry")
    demand(len(rows) >= 1 + count + 1, "lines are missing")
    lines = [_read_line(row) for row in rows[1 : 1 + count]]
    heads = [_read_head_line(row) for row in rows[1 + count :]]
    entries: list[Entry | None] = []
    for seq, line in enumerate(lines):
        entry = None
        try:
            entry = read_entry(line.raw)
        except Rejected as reason:
            findings.add(1, f"entry {seq}: {reason}")
        entries.append(entry)
    return Export(json_text(origin), lines, heads, entries)


def _check_encoding(export: Export, findings: Findings) -> None:
    """Step 1: every entry alone, and what they share: order, time, origin, ids, causes."""
    recorded_at = 0
    names, ids = set[tuple[str, bytes]](), set[bytes]()
    for seq, entry in export.decoded():
        claim = entry.claim
        for fault in entry.faults:
            findings.add(1, f"entry {seq}: {fault}")
        if entry.seq != seq:
            findings.add(1, f"entry {seq}: its seq is {entry.seq}")
        if claim.origin != export.origin:
            findings.add(1, f"entry {seq}: its origin is not the log's")
        if entry.recorded_at < recorded_at:
            findings.add(1, f"entry {seq}: recorded before the entry before it")
        if (claim.source, claim.id) in names:
            findings.add(1, f"entry {seq}: its source and id are those of an earlier entry")
        if not ids.issuperset(claim.causes):
            findings.add(1, f"entry {seq}: a cause is not the id of an earlier entry")
        recorded_at = max(recorded_at, entry.recorded_at)
        names.add((claim.source, claim.id))
        ids.add(claim.id)


def _check_chain(export: Export, findings: Findings) -> None:
    """Step 2: each entry carries the hash of the bytes before it."""
    for seq, entry in export.decoded():
        expected = hash_entry(export.lines[seq - 1].raw) if seq else ZEROS
        if entry.prev != expected:
            findings.add(2, f"entry {seq}: prev is {entry.prev.hex()}, the entry before hashes to {expected.hex()}")


def stream_leaf(stream: str, next_seq: int, head: bytes) -> bytes:
    """A leaf of the list that heartbeats commit to."""
    return pack((stream, next_seq, head))


def _check_streams(export: Export, roots: list[bytes], findings: Findings) -> None:
    """Step 3: each stream is a chain of its own, and heartbeats commit to all before them."""
    streams: dict[str, tuple[int, bytes]] = {}
    for seq, entry in export.decoded():
        findings.attempt(3, f"entry {seq}", _check_heartbeat, entry, streams, roots[seq])
        next_seq, head = streams.get(entry.stream, (0, ZEROS))
        if entry.stream_seq != next_seq:
            findings.add(3, f"entry {seq}: stream_seq is {entry.stream_seq}, not {next_seq}")
        if entry.stream_prev != head:
            findings.add(3, f"entry {seq}: stream_prev is not the hash of the stream's entry before")
        streams[entry.stream] = (next_seq + 1, entry.hash)


def _check_heartbeat(entry: Entry, streams: dict[str, tuple[int, bytes]], root_before: bytes) -> None:
    """Its place, the tree before it, and the list of all streams."""
    heartbeat = check_heartbeat_place(entry)
    if heartbeat is None:
        return
    demand(heartbeat.root == root_before, "its root is not that of the entries before it")
    names = sorted(streams, key=str.encode)
    demand(heartbeat.streams_count == len(names), f"it counts {heartbeat.streams_count} streams, not {len(names)}")
    root = root_of([stream_leaf(name, *streams[name]) for name in names])
    demand(heartbeat.streams_root == root, "its streams_root is not that of the streams before it")


def _check_times(export: Export, keys: Keys, findings: Findings) -> None:
    """Step 3: heartbeats are never overdue, and somebody vouches for every gap in time."""
    heartbeat = export.entries[0]  # or the newest
    for seq, entry in export.decoded():
        if seq == 0 or heartbeat is None:
            continue
        policy, where, before = keys.policy_before(seq), f"entry {seq}", export.entries[seq - 1]
        findings.attempt(3, where, check_maxima, entry, heartbeat, policy)
        if before is not None:
            findings.attempt(3, where, check_gap, entry, before, policy, keys.root)
            findings.attempt(3, where, check_clock, entry, before, policy)
        heartbeat = entry if entry.claim.type == HEARTBEAT else heartbeat


def _check_keys(export: Export, roots: list[bytes], findings: Findings) -> Keys | None:
    """Step 4: fold keys and policies over the log; every entry is attested by one who may at its place."""
    keys: Keys | None = None
    author_chains: dict[bytes, tuple[int, bytes]] = {}
    for seq, entry in export.decoded():
        try:
            _check_author_seq(entry, author_chains)
            if seq == 0:
                keys = Keys(entry)
            elif keys is not None:
                keys.check(entry)
                _check_named(seq, entry, roots)
                keys.fold(entry)
        except Rejected as reason:
            findings.add(4, f"entry {seq}: {reason}")
    if keys is None:
        findings.add(4, "without a genesis no attestation can be checked")
    else:
        findings.notes += keys.suspects
    return keys


def _check_named(seq: int, entry: Entry, roots: list[bytes]) -> None:
    """A change by root is for this history: the checkpoint that it names is one of the log's."""
    payload = read_ledger_payload(entry) if entry.claim.first_word == "ledger" else None
    if isinstance(payload, KeyChange | PolicyChange):
        demand(payload.named.size <= seq, "the checkpoint that it names is not of entries before it")
        expected = roots[payload.named.size]
        demand(payload.named.root == expected, f"it names the root {payload.named.root.hex()}, not {expected.hex()}")


def _check_author_seq(entry: Entry, chains: dict[bytes, tuple[int, bytes]]) -> None:
    """Rule 4 of section 5. `chains` holds author_seq and H_claim of each key's entry before."""
    claim = entry.claim
    check_author_seq_kept(entry)
    if entry.attestation != "author":
        return
    before = chains.get(entry.key_id)
    chains[entry.key_id] = (claim.author_seq, hash_claim(entry.claim_raw))
    if before is None:
        demand(claim.author_seq <= 1, f"the first author_seq of its key is {claim.author_seq}")
    elif before[0] == 0:
        demand(claim.author_seq == 0, "author_seq begins after entries of its key without it")
    else:
        demand(claim.author_seq == before[0] + 1, f"author_seq is {claim.author_seq}, not {before[0] + 1}")
        demand(claim.author_prev == before[1], "author_prev is not the hash of its key's claim before")


def _check_payloads(export: Export, findings: Findings) -> None:
    """Step 5: payloads are those that were committed to; only what an erasure names may be missing."""
    erased = _erased(export, findings)
    for seq, entry in export.decoded():
        where, salted = f"entry {seq}", export.lines[seq].payload
        findings.attempt(5, where, check_open_field, entry)
        if salted is not None:
            findings.attempt(5, where, check_given_payload, entry, salted)
        elif not entry.claim.is_open and seq not in erased:
            findings.add(5, f"{where}: the payload is missing, and no erasure names it")


def _erased(export: Export, findings: Findings) -> set[int]:
    """The seqs whose payload an erasure names; each must be an earlier entry that is not open."""
    erased: set[int] = set()
    for seq, entry in export.decoded():
        if entry.claim.type != "ledger.erasure":
            continue
        try:
            erasure = read_erasure(entry.open)
        except Rejected:
            continue  # step 4 says so
        named = export.entries[erasure.seq] if erasure.seq < seq else None
        if named is None or named.claim.id != erasure.id or named.claim.is_open:
            findings.add(5, f"entry {seq}: it erases no earlier entry that can be erased")
        else:
            erased.add(erasure.seq)
    return erased


def _roots(export: Export) -> list[bytes]:
    """The root of the first n entries at place n."""
    tree = Tree()
    roots = [tree.root()]
    for line in export.lines:
        tree.push(leaf_hash(line.raw))
        roots.append(tree.root())
    return roots


def _check_heads(export: Export, roots: list[bytes], keys: Keys | None, findings: Findings) -> set[bytes]:
    """Steps 6 and 7: each head is signed by the right keys over the right root. Returns the keys that have signed."""
    signers: set[bytes] = set()
    size_before, newest = 0, None
    if keys is None:
        findings.add(7, "without a genesis no log key is known")
    for number, text in enumerate(export.heads):
        where = f"head {number}"
        try:
            newest = None
            newest = head = read_checkpoint(text)
            demand(head.origin == export.origin, "its origin is not the log's")
            demand(size_before < head.size <= len(export.lines), f"its size {head.size} is out of order")
            size_before = head.size
            earlier = head.size < len(export.lines)  # step 6 looks at the root of the newest
            demand(
                not earlier or head.root == roots[head.size], f"its root is not that of the first {head.size} entries"
            )
            for key in keys.log_keys_at(head.size) if keys else []:
                check_signed(head, key)
                signers.add(key)
        except Rejected as reason:
            findings.add(7, f"{where}: {reason}")
    if newest is None:
        return signers  # the last head is no checkpoint, which was just said
    findings.taken.add(6)
    if newest.size != len(export.lines):
        findings.add(7, f"the newest head has size {newest.size}, the log {len(export.lines)}")
    if newest.root != roots[-1]:
        findings.add(6, f"the entries have root {roots[-1].hex()}, the newest head {newest.root.hex()}")
    return signers


def check_pinned(vkey: str, origin: str, keys: Keys | None, signers: set[bytes]) -> None:
    """The key from outside is this log's root key, or a log key that has signed."""
    pinned = read_vkey(vkey)
    demand(pinned.name == origin, f"its name is not the origin {origin}")
    root = {keys.root} if keys else set()
    demand(pinned.key in root | signers, "it is neither the root key nor a log key that has signed")


def verify_export(data: bytes, vkey: str | None) -> Report:
    """Check a whole log. With a vkey, the log must be its owner's too."""
    findings = Findings(taken={1})
    try:
        export = read_export(data, findings)
    except Rejected as reason:
        findings.add(1, f"the file: {reason}")
        return findings.report(vkey is not None, pinned=False)
    findings.taken.update({2, 3, 4, 5, 7})
    roots = _roots(export)
    _check_encoding(export, findings)
    _check_chain(export, findings)
    _check_streams(export, roots, findings)
    keys = _check_keys(export, roots, findings)
    if keys is not None:
        _check_times(export, keys, findings)
    _check_payloads(export, findings)
    signers = _check_heads(export, roots, keys, findings)
    pinned = False
    if vkey is not None:
        pinned = findings.attempt(7, "the given key", check_pinned, vkey, export.origin, keys, signers)
    return findings.report(vkey is not None, pinned)


# ---------------------------------------------------------------------------------------------------------------------
# Evidence: a part of a log (section 10)
# ---------------------------------------------------------------------------------------------------------------------

EVIDENCE_FORMAT = "decision-dna/evidence@v1"
EVIDENCE_BYTES_MAX = 16 * 1024 * 1024

# The roles in the order they stand, each after a space.
ROLE_ORDERS = {
    "event": re.compile(r" genesis( key)*( policy)*( heartbeat_before)? event( heartbeat_after)?"),
    "run": re.compile(r" genesis( key)*( policy)*( heartbeat_before)? heartbeat_after"),
    "absence": re.compile(r" genesis( key)*( policy)*( heartbeat_before)? heartbeat_after"),
    "fork": re.compile(r""),
}
ROLE_TYPES = {
    "genesis": "ledger.genesis",
    "key": "ledger.key",
    "policy": "ledger.policy",
    "heartbeat_before": "ledger.heartbeat",
    "heartbeat_after": "ledger.heartbeat",
    "event": None,  # any
}


@dataclass(frozen=True)
class Item:
    """An entry in its role, with its proof."""

    role: str
    raw: bytes
    proof: InclusionProof


@dataclass(frozen=True)
class ListLeaf:
    """One leaf of the list of streams, with its proof."""

    index: int
    raw: bytes
    proof: list[bytes]


@dataclass(frozen=True)
class StreamList:
    """As much of a heartbeat's list of streams as the evidence needs."""

    count: int
    leaves: list[ListLeaf]


@dataclass(frozen=True)
class Run:
    """A stretch of one stream, or where `lines` is empty the name that is absent; times in ns."""

    stream: str
    start: int
    end: int
    lines: list[Line]


@dataclass(frozen=True)
class Evidence:
    """The file, its form checked; what a kind does not have is None or empty."""

    kind: str
    origin: str
    items: list[Item]
    payload: bytes | None  # salt and payload, as in an export
    streams: StreamList | None
    run: Run | None
    anchored: bool
    fork: tuple[str, str] | None


def _read_item(value: Json) -> Item:
    role, entry, proof = json_object(value, "role", "entry", "proof")
    demand(json_text(role) in ROLE_TYPES, "an item has no such role")
    return Item(json_text(role), json_bytes(entry), read_tlog_proof(json_text(proof)))


def _read_event_payload(value: Json) -> bytes:
    salt, payload = json_object(value, "salt", "bytes")
    demand(re.fullmatch(r"[0-9a-f]{32}", json_text(salt)) is not None, "a salt is not 16 bytes in hex")
    return bytes.fromhex(json_text(salt)) + json_bytes(payload)


def _read_list_leaf(value: Json) -> ListLeaf:
    index, leaf, proof = json_object(value, "index", "leaf", "proof")
    return ListLeaf(json_int(index), json_bytes(leaf), [json_bytes(step) for step in json_list(proof)])


def _read_stream_list(value: Json) -> StreamList:
    count, leaves = json_object(value, "count", "leaves")
    return StreamList(json_int(count), [_read_list_leaf(leaf) for leaf in json_list(leaves)])


def _read_run_line(value: Json) -> Line:
    entry, payload = json_object(value, "entry", "payload")
    return Line(json_bytes(entry), None if payload is None else json_bytes(payload))


def _read_run(value: Json) -> Run:
    stream, start, end, entries = json_object(value, "stream", "from", "to", "entries")
    name = json_text(stream)
    demand(STREAM.fullmatch(name) is not None, "a stream is a type's first word, a slash and a source")
    run = Run(name, json_int(start), json_int(end), [_read_run_line(entry) for entry in json_list(entries)])
    demand(run.start <= run.end, "the run ends before it begins")
    return run


def _check_anchor_form(value: Json) -> None:
    memo, cluster, slot, block_time, transaction = json_object(
        value, "memo", "cluster", "slot", "block_time", "transaction"
    )
    json_text(memo)
    json_text(cluster)
    json_int(slot)
    json_int(block_time)
    json_bytes(transaction)


def _read_fork(value: Json) -> tuple[str, str]:
    first, second = json_object(value, "first", "second")
    return json_text(first), json_text(second)


def read_evidence(data: bytes) -> Evidence:
    """The one JSON object of an evidence file; what each kind must have and must not have."""
    demand(len(data) <= EVIDENCE_BYTES_MAX, "the file is longer than 16 MiB")
    demand(data.endswith(b"\n"), "the file does not end in LF")
    names = ("format", "kind", "origin", "items", "payload", "streams", "run", "anchor", "fork")
    values = json_object(read_json(data[:-1]), *names)
    format_name, kind, origin, items, payload, streams, run, anchor, fork = values
    demand(format_name == EVIDENCE_FORMAT, f"the format is not {EVIDENCE_FORMAT}")
    if anchor is not None:
        _check_anchor_form(anchor)
    evidence = Evidence(
        kind=json_text(kind),
        origin=json_text(origin),
        items=[_read_item(item) for item in json_list(items)],
        payload=None if payload is None else _read_event_payload(payload),
        streams=None if streams is None else _read_stream_list(streams),
        run=None if run is None else _read_run(run),
        anchored=anchor is not None,
        fork=None if fork is None else _read_fork(fork),
    )
    _check_kind(evidence)
    return evidence


def _check_kind(evidence: Evidence) -> None:
    kind = evidence.kind
    demand(kind in ROLE_ORDERS, "there is no such kind of evidence")
    demand(ORIGIN.fullmatch(evidence.origin) is not None, "the origin is not 1 to 128 visible ASCII without plus")
    roles = "".join(f" {item.role}" for item in evidence.items)
    demand(ROLE_ORDERS[kind].fullmatch(roles) is not None, f"the roles are not those of {kind} evidence, in order")
    checkpoints = {item.proof.checkpoint for item in evidence.items}
    demand(len(checkpoints) <= 1, "the items have different checkpoints")
    demand(evidence.payload is None or kind == "event", "payload belongs to event evidence")
    for part in (evidence.streams, evidence.run):
        demand((part is not None) == (kind in ("run", "absence")), "streams and run belong to run and absence evidence")
    demand((evidence.fork is not None) == (kind == "fork"), "fork belongs to fork evidence")
    demand(not evidence.anchored or kind != "fork", "fork evidence has no anchor")
    if evidence.run is not None:
        demand((len(evidence.run.lines) > 0) == (kind == "run"), "run evidence has entries, absence evidence none")


@dataclass
class Part:
    """The entries of evidence, decoded: by role, in the run, and all of them once in the order of the log."""

    by_role: dict[str, list[Entry]]
    run: list[Entry]
    ordered: list[Entry]

    def first(self, role: str) -> Entry | None:
        return next(iter(self.by_role.get(role, [])), None)


def _decode_part(evidence: Evidence, findings: Findings) -> Part | None:
    """Step 1 for each entry alone; None where one does not decode."""
    places = [(item.role, item.raw) for item in evidence.items]
    places += [("run", line.raw) for line in evidence.run.lines] if evidence.run else []
    part, by_seq = Part({}, [], []), dict[int, Entry]()
    complete = True
    for number, (role, raw) in enumerate(places):
        where = f"{role} (entry {number} of the file)"
        try:
            entry = read_entry(raw)
        except Rejected as reason:
            findings.add(1, f"{where}: {reason}")
            complete = False
            continue
        for fault in entry.faults:
            findings.add(1, f"{where}: {fault}")
        if entry.claim.origin != evidence.origin:
            findings.add(1, f"{where}: its origin is not that of the evidence")
        if by_seq.setdefault(entry.seq, entry).raw != raw:
            findings.add(1, f"{where}: another entry of the file has its seq")
        if role == "run":
            part.run.append(entry)
        else:
            part.by_role.setdefault(role, []).append(entry)
    part.ordered = [by_seq[seq] for seq in sorted(by_seq)]
    return part if complete else None


def _check_roles(part: Part, findings: Findings) -> None:
    """Each role has its type; keys and policies ascend; the heartbeats stand before and after what is shown."""
    for role, entries in part.by_role.items():
        for entry in entries:
            if ROLE_TYPES[role] not in (None, entry.claim.type):
                findings.add(1, f"{role}: its type is {entry.claim.type}")
        seqs = [entry.seq for entry in entries]
        if any(left >= right for left, right in itertools.pairwise(seqs)):
            findings.add(1, f"{role}: the entries are not in ascending order")
    genesis, before, after = part.first("genesis"), part.first("heartbeat_before"), part.first("heartbeat_after")
    if genesis is not None and genesis.seq != 0:
        findings.add(1, "genesis: its seq is not 0")
    shown = part.run or part.by_role.get("event", [])
    if shown and before is not None and before.seq >= shown[0].seq:
        findings.add(1, "heartbeat_before does not come before what is shown")
    if shown and after is not None and after.seq <= shown[-1].seq:
        findings.add(1, "heartbeat_after does not come after what is shown")


def _check_together(part: Part, findings: Findings) -> None:
    """The rules between entries, as far as both are in the file: time, ids, the chain, the streams."""
    names: set[tuple[str, bytes]] = set()
    before: Entry | None = None
    last_of: dict[str, Entry] = {}
    for entry in part.ordered:
        where, name = f"entry {entry.seq}", (entry.claim.source, entry.claim.id)
        if name in names:
            findings.add(1, f"{where}: its source and id are those of an earlier entry")
        if before is not None and entry.recorded_at < before.recorded_at:
            findings.add(1, f"{where}: recorded before an earlier entry")
        if entry.seq == 0 and entry.prev != ZEROS:
            findings.add(2, f"{where}: prev is not zeros")
        if before is not None and before.seq == entry.seq - 1 and entry.prev != before.hash:
            findings.add(2, f"{where}: prev is not the hash of the entry before")
        last = last_of.get(entry.stream)
        if entry.stream_seq == 0 and entry.stream_prev != ZEROS:
            findings.add(3, f"{where}: stream_prev is not zeros")
        if last is not None and entry.stream_seq <= last.stream_seq:
            findings.add(3, f"{where}: stream_seq does not ascend")
        if last is not None and entry.stream_seq == last.stream_seq + 1 and entry.stream_prev != last.hash:
            findings.add(3, f"{where}: stream_prev is not the hash of the stream's entry before")
        names.add(name)
        before = last_of[entry.stream] = entry


def _fold_part(part: Part, findings: Findings) -> Keys | None:
    """Step 4: the attestation of every entry at its place, by the keys and policies of the entries before it."""
    keys: Keys | None = None
    for entry in part.ordered:
        try:
            check_author_seq_kept(entry)
            if entry.seq == 0:
                keys = Keys(entry)
            elif keys is not None:
                keys.check(entry)
                keys.fold(entry)
        except Rejected as reason:
            findings.add(4, f"entry {entry.seq}: {reason}")
    if keys is None:
        findings.add(4, "without a genesis no attestation can be checked")
    else:
        findings.notes += keys.suspects
    return keys


def _check_part_heartbeats(part: Part, findings: Findings) -> None:
    """Step 3, what one entry shows of it: each heartbeat says its own place."""
    for entry in part.ordered:
        findings.attempt(3, f"entry {entry.seq}", check_heartbeat_place, entry)


def _check_part_payloads(evidence: Evidence, part: Part, findings: Findings) -> None:
    """Step 5: open payloads always, others where they are given."""
    for entry in part.ordered:
        findings.attempt(5, f"entry {entry.seq}", check_open_field, entry)
    given = [(entry, evidence.payload) for entry in part.by_role.get("event", [])]
    if evidence.run is not None:
        given += [(entry, line.payload) for entry, line in zip(part.run, evidence.run.lines, strict=True)]
    for entry, salted in given:
        if salted is not None:
            findings.attempt(5, f"entry {entry.seq}", check_given_payload, entry, salted)


def _check_inclusions(evidence: Evidence, checkpoint: Checkpoint, part: Part | None, findings: Findings) -> None:
    """Step 6: each item is in the tree of the checkpoint, at the place that it says."""
    for item in evidence.items:
        arguments = (item.proof.index, checkpoint.size, leaf_hash(item.raw), item.proof.hashes, checkpoint.root)
        findings.attempt(6, item.role, check_inclusion, *arguments)
    roles = [entry for entries in part.by_role.values() for entry in entries] if part else []
    for item, entry in zip(evidence.items, roles, strict=False):  # items stand in the order of their roles
        if item.proof.index != entry.seq:
            findings.add(1, f"{item.role}: the proof is for index {item.proof.index}, its seq is {entry.seq}")


@dataclass(frozen=True)
class StreamHead:
    """A leaf of the list of streams, decoded."""

    stream: str
    next_seq: int
    hash: bytes


def _read_stream_head(raw: bytes) -> StreamHead:
    stream, next_seq, entry_hash = as_array(unpack(raw), 3)
    return StreamHead(as_text(stream), as_int(next_seq), as_bytes(entry_hash, 32))


def _check_stream_list(streams: StreamList, heartbeat: Heartbeat) -> list[StreamHead]:
    """The leaves are in the list that the heartbeat commits to."""
    demand(streams.count == heartbeat.streams_count, "the count is not that of heartbeat_after")
    for leaf in streams.leaves:
        check_inclusion(leaf.index, streams.count, leaf_hash(leaf.raw), leaf.proof, heartbeat.streams_root)
    return [_read_stream_head(leaf.raw) for leaf in streams.leaves]


def _check_run(run: Run, entries: list[Entry], heads: list[StreamHead]) -> None:
    """The entries are all of the stream from `start` to `end`, up to the head in the list."""
    demand(len(heads) == 1 and heads[0].stream == run.stream, "the list does not show the one leaf of the stream")
    first, last = entries[0], entries[-1]
    demand(all(entry.stream == run.stream for entry in entries), "an entry is of another stream")
    demand(first.stream_seq == 0 or first.recorded_at <= run.start, "the run begins too late")
    for left, right in itertools.pairwise(entries):
        demand(left.seq < right.seq, "the run is not in the order of the log")
        demand(right.stream_seq == left.stream_seq + 1, "the run has a gap")
        demand(right.stream_prev == left.hash, "the run is not linked")
    at_head = (last.stream_seq + 1, last.hash) == (heads[0].next_seq, heads[0].hash)
    demand(at_head, "the run does not end with the head of its stream")


def _check_absence(run: Run, streams: StreamList, heads: list[StreamHead], root: bytes) -> None:
    """The name has no leaf: the leaves around the place where it would stand are neighbours."""
    name = run.stream.encode()
    names = [head.stream.encode() for head in heads]
    places = [leaf.index for leaf in streams.leaves]
    if not places:
        demand(streams.count == 0 and root == EMPTY_TREE, "no leaf is shown, but there are some")
    elif len(places) == 1:
        before_first = places[0] == 0 and name < names[0]
        after_last = places[0] == streams.count - 1 and names[0] < name
        demand(before_first or after_last, "the one leaf is not the first after, or the last before the name")
    else:
        demand(len(places) == 2 and places[1] == places[0] + 1, "the leaves are not two neighbours")
        demand(names[0] < name < names[1], "the name does not lie between the leaves")


def _check_part_streams(evidence: Evidence, part: Part) -> None:
    """Step 3: what the evidence says of its stream is what heartbeat_after commits to."""
    after, run, streams = part.first("heartbeat_after"), evidence.run, evidence.streams
    if run is None or streams is None or after is None:
        return  # event evidence says nothing of streams
    heartbeat = read_heartbeat(after.open)
    demand(after.recorded_at > run.end, "heartbeat_after was not recorded after the end of the run")
    heads = _check_stream_list(streams, heartbeat)
    if evidence.kind == "run":
        _check_run(run, part.run, heads)
    else:
        _check_absence(run, streams, heads, heartbeat.streams_root)


def _check_signers(checkpoint: Checkpoint, keys: Keys) -> set[bytes]:
    """The log keys of its size have signed the checkpoint; these are they."""
    signers = keys.log_keys_at(checkpoint.size)
    for key in signers:
        check_signed(checkpoint, key)
    return set(signers)


def _check_head(checkpoint: Checkpoint, origin: str, keys: Keys | None, vkey: str, findings: Findings) -> bool:
    """Step 7: the checkpoint is this log's, signed by its keys, and the given key is one of them."""
    signers: set[bytes] = set()
    try:
        demand(checkpoint.origin == origin, "its origin is not that of the evidence")
        if keys is None:
            raise Rejected("without a genesis no log key is known")
        signers = _check_signers(checkpoint, keys)
    except Rejected as reason:
        findings.add(7, f"the checkpoint: {reason}")
    return findings.attempt(7, "the given key", check_pinned, vkey, origin, keys, signers)


def _verify_part(evidence: Evidence, vkey: str, findings: Findings) -> bool:
    """All kinds but fork. Returns whether the given key is the log's."""
    part = _decode_part(evidence, findings)
    checkpoint: Checkpoint | None = None
    try:
        checkpoint = read_checkpoint(evidence.items[0].proof.checkpoint)
        findings.taken.add(6)
        _check_inclusions(evidence, checkpoint, part, findings)
    except Rejected as reason:
        findings.add(7, f"the checkpoint: {reason}")
    if part is None:
        return False
    findings.taken.update({4, 5})
    if evidence.anchored:
        findings.notes.append("the anchor was not checked: this verifier does not read the chain's transactions")
    findings.notes.append("keys and policies are those in the file: that none was left out, only the whole log shows")
    _check_roles(part, findings)
    _check_together(part, findings)
    keys = _fold_part(part, findings)
    _check_part_heartbeats(part, findings)
    _check_part_payloads(evidence, part, findings)
    if evidence.run is not None:
        findings.taken.add(3)
        findings.attempt(3, "the streams", _check_part_streams, evidence, part)
    if checkpoint is None:
        return False
    findings.taken.add(7)
    return _check_head(checkpoint, evidence.origin, keys, vkey, findings)


def _check_fork(origin: str, fork: tuple[str, str], vkey: str) -> None:
    """Two heads of one size, both signed by the given key, that cannot both be true."""
    pinned = read_vkey(vkey)
    demand(pinned.name == origin, f"the name of the given key is not the origin {origin}")
    first, second = (read_checkpoint(text) for text in fork)
    for checkpoint in (first, second):
        demand(checkpoint.origin == origin, "the origin of a checkpoint is not that of the evidence")
        check_signed(checkpoint, pinned.key)
    demand(first.size == second.size, "the checkpoints have different sizes")
    demand(first.root != second.root, "the checkpoints have one root")


def verify_evidence(data: bytes, vkey: str) -> Report:
    """Check a part of a log, for one who knows a key of that log."""
    findings = Findings(taken={1})
    try:
        evidence = read_evidence(data)
    except Rejected as reason:
        findings.add(1, f"the file: {reason}")
        return findings.report(key_given=True, pinned=False)
    if evidence.fork is not None:
        findings.taken.add(7)
        pinned = findings.attempt(7, "the fork", _check_fork, evidence.origin, evidence.fork, vkey)
    else:
        pinned = _verify_part(evidence, vkey, findings)
    return findings.report(key_given=True, pinned=pinned)


# ---------------------------------------------------------------------------------------------------------------------
# Command
# ---------------------------------------------------------------------------------------------------------------------


def print_report(report: Report) -> None:
    for step, name in STEPS.items():
        print(f"{step:>3}  {name:<40} {report.steps[step]}")
    for step, sentence in report.findings:
        print(f"({step}) {sentence}")
    for note in report.notes:
        print(f"note: {note}")
    print(f"{'accepted' if report.accepted else 'rejected'}, {'pinned' if report.pinned else 'not pinned'}")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Check an export or evidence of a Decision DNA log, offline.")
    parser.add_argument("file", type=Path, help="an export (NDJSON) or evidence (JSON)")
    parser.add_argument("--key", metavar="VKEY", help="whose log it is: name+keyid+base64; evidence needs it")
    options = parser.parse_args(arguments)
    try:
        data = options.file.read_bytes()
        if options.key is not None:
            read_vkey(options.key)
    except (OSError, Rejected) as reason:
        parser.error(str(reason))  # leaves with 2
    is_evidence = data.startswith(b'{"format":"' + EVIDENCE_FORMAT.encode() + b'"')
    if is_evidence and options.key is None:
        parser.error("evidence needs --key")
    report = verify_evidence(data, options.key) if is_evidence else verify_export(data, options.key)
    print_report(report)
    return 0 if report.accepted else 1


if __name__ == "__main__":
    sys.exit(main())

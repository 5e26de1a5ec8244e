"""The parts of `docs/second_verifier.py`, each against something that it was not written from.

BLAKE3 against the `blake3` package, Ed25519 against libsodium, trees against the vectors of transparency-dev and against
eight recursive lines, notes against the example of Go's `sumdb/note`. The strict codecs against tables of spellings.
"""

import base64
import hashlib
import itertools
import json
import os
import random
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import blake3
import pytest
from nacl.bindings import crypto_core_ed25519_is_valid_point, crypto_sign_open
from nacl.exceptions import BadSignatureError
from nacl.signing import SigningKey

from decision_dna.schemas import codec
from decision_dna.schemas.errors import Malformed
from tests.second_verifier.both import second as sv

ROOT = Path(__file__).parents[2]
DATA = Path(os.environ.get("DNA_DATA", ROOT.parent / "shared"))
MERKLE_VECTORS = 196


def accepts(check: Callable[..., object], *arguments: object) -> bool:
    try:
        check(*arguments)
    except (sv.Rejected, Malformed):
        return False
    return True


# --- BLAKE3 -----------------------------------------------------------------------------------------------------------

LENGTHS = (0, 1, 63, 64, 65, 1023, 1024, 1025, 2048, 2049, 3072, 5000, 8192, 8193, 31744, 102400)


@pytest.mark.parametrize("length", LENGTHS)
def test_blake3_equals_the_package(length: int) -> None:
    data = random.Random(length).randbytes(length)
    assert sv.blake3(data) == blake3.blake3(data).digest()
    for context in ("decision-dna v1 entry", "decision-dna v1 " + "long" * 400):
        assert sv.blake3_derive_key(context, data) == blake3.blake3(data, derive_key_context=context).digest()


def test_blake3_of_the_longest_payload_and_its_salt() -> None:
    data = random.Random(0).randbytes(262_160)
    expected = blake3.blake3(data, derive_key_context="decision-dna v1 payload").digest()
    assert sv.hash_payload(data) == expected


@pytest.mark.parametrize("word", ["claim", "entry", "payload", "notary"])
def test_each_hash_has_its_own_context(word: str) -> None:
    expected = blake3.blake3(b"abc", derive_key_context=f"decision-dna v1 {word}").digest()
    assert getattr(sv, f"hash_{word}")(b"abc") == expected


# --- Ed25519: affine arithmetic, slow and plain, makes signatures that no signer would make ----------------------------

P, L = sv.P, 2**252 + 27742317777372353535851937790883648493
Affine = tuple[int, int]


def add(p: Affine, q: Affine) -> Affine:
    t = sv.D * p[0] * q[0] * p[1] * q[1] % P
    x = (p[0] * q[1] + p[1] * q[0]) * pow(1 + t, -1, P) % P
    return x, (p[1] * q[1] + p[0] * q[0]) * pow(1 - t, -1, P) % P


def multiply(k: int, p: Affine) -> Affine:
    result = (0, 1)
    while k:
        result = add(result, p) if k & 1 else result
        p, k = add(p, p), k >> 1
    return result


def encode(p: Affine) -> bytes:
    return (p[1] | (p[0] & 1) << 255).to_bytes(32, "little")


def find_torsion() -> list[Affine]:
    """The eight points of small order: multiples of what is left of any point after its large part is removed."""
    for y in itertools.count(2):
        point = sv._decode_point(y.to_bytes(32, "little"))
        if point is not None:
            generator = multiply(L, point[:2])
            if multiply(4, generator) != (0, 1):
                return [multiply(k, generator) for k in range(8)]
    raise AssertionError


BASE: Affine = sv.BASE[:2]
TORSION = find_torsion()


def small_order_encodings() -> list[bytes]:
    """Every 32 bytes that decode to a torsion point, canonical or not, with either sign bit."""
    ys = {y for _, point_y in TORSION for y in (point_y, point_y + P) if y < 2**255}
    return [(y | sign << 255).to_bytes(32, "little") for y in sorted(ys) for sign in (0, 1)]


def challenge(r: bytes, key: bytes, message: bytes) -> int:
    return int.from_bytes(hashlib.sha512(r + key + message).digest(), "little") % L


def libsodium_accepts(key: bytes, message: bytes, signature: bytes) -> bool:
    try:
        crypto_sign_open(signature + message, key)
    except BadSignatureError:
        return False
    return True


def agreed(key: bytes, message: bytes, signature: bytes) -> bool:
    """The answer, which must be libsodium's."""
    answer: bool = sv.ed25519_verifies(key, message, signature)
    assert answer == libsodium_accepts(key, message, signature), (key.hex(), message.hex(), signature.hex())
    return answer


def signed(seed: int) -> tuple[bytes, bytes, bytes]:
    rng = random.Random(seed)
    signer, message = SigningKey(rng.randbytes(32)), rng.randbytes(rng.randrange(200))
    return bytes(signer.verify_key), message, signer.sign(message).signature


def test_ed25519_accepts_what_was_signed() -> None:
    assert all(agreed(*signed(seed)) for seed in range(100))


def test_ed25519_rejects_any_flipped_bit() -> None:
    key, message, signature = signed(7)
    whole = key + signature + message
    for bit in range(0, 8 * len(whole), 5):
        flipped = bytearray(whole)
        flipped[bit // 8] ^= 1 << bit % 8
        assert not agreed(bytes(flipped[:32]), bytes(flipped[96:]), bytes(flipped[32:96]))


def test_ed25519_keys_are_canonical_points_of_prime_order() -> None:
    """What may be a key of a log: libsodium has the same rule for points."""
    keys = [signed(seed)[0] for seed in range(20)]
    points = [sv._decode_point(key)[:2] for key in keys]
    mixed = [encode(add(point, torsion)) for point, torsion in zip(points, itertools.cycle(TORSION[1:]))]
    noncanonical = [(y + P | sign << 255).to_bytes(32, "little") for y in range(19) for sign in (0, 1)]
    spelled = [bytes([number]) + bytes(31) for number in range(40)]
    for key in (*keys, *mixed, *noncanonical, *spelled, *small_order_encodings(), bytes(31), bytes(33)):
        assert sv.is_prime_order(key) == (len(key) == 32 and crypto_core_ed25519_is_valid_point(key)), key.hex()
    assert all(map(sv.is_prime_order, keys))
    assert not any(map(sv.is_prime_order, (*mixed, *noncanonical, *small_order_encodings())))


def test_ed25519_rejects_s_that_is_not_reduced() -> None:
    key, message, signature = signed(8)
    s = int.from_bytes(signature[32:], "little")
    for other in (s + L, s + 2 * L, s + 15 * L, L, L + 1, 2**253, 2**255, 2**256 - 1):
        assert not agreed(key, message, signature[:32] + other.to_bytes(32, "little"))


def test_ed25519_rejects_keys_that_are_no_points_or_not_canonical() -> None:
    _, message, signature = signed(9)
    rng = random.Random(9)
    not_canonical = [(y | sign << 255).to_bytes(32, "little") for y in range(P, 2**255) for sign in (0, 1)]
    assert len(not_canonical) == 38
    assert {sv._decode_point(key) for key in not_canonical} == {None}
    assert any(sv._decode_point(y.to_bytes(32, "little")) for y in range(2, 19))  # and yet these y are on the curve
    for key in not_canonical + [rng.randbytes(32) for _ in range(60)]:
        assert not agreed(key, message, signature)
        assert not agreed(key, message, key + bytes(32))


def test_small_order_has_fourteen_encodings() -> None:
    encodings = small_order_encodings()
    assert len(set(encodings)) == 14
    assert all(sv._is_small_order(encoding) for encoding in encodings)
    assert {y for _, y in TORSION} == sv.SMALL_ORDER_Y


def test_ed25519_rejects_small_order_keys() -> None:
    """With S = 0 many of these fulfil the equation; none may pass."""
    for key, r in itertools.product(small_order_encodings(), repeat=2):
        for number in range(3):
            assert not agreed(key, b"message %d" % number, r + bytes(32))


def test_ed25519_rejects_small_order_keys_where_the_equation_holds() -> None:
    """R is an ordinary point here, [S]B - [k]A, so that only the rule for keys can reject."""
    s, rejected = 12345, 0
    for torsion, part, number in itertools.product(TORSION, range(8), range(8)):
        key, message = encode(torsion), b"message %d" % number
        r = encode(add(multiply(s, BASE), multiply(part, torsion)))
        if multiply(-challenge(r, key, message) % 8, torsion) == multiply(part, torsion):
            assert not agreed(key, message, r + s.to_bytes(32, "little"))
            rejected += 1
    assert rejected >= 64  # all of the identity's at least


def test_ed25519_rejects_small_order_r_where_the_equation_holds() -> None:
    a, message = 12345, b"message"
    for torsion in TORSION:
        key = encode(add(multiply(a, BASE), torsion))
        for r in small_order_encodings():
            s = challenge(r, key, message) * a % L  # [S]B - [k]A is of small order then, and R may be it
            assert not agreed(key, message, r + s.to_bytes(32, "little"))


def test_ed25519_is_not_cofactored() -> None:
    """Keys and R with a torsion part: only where the parts cancel exactly is a signature accepted."""
    a, r, answers = 54321, 98765, []
    for key_part, r_part in itertools.product(TORSION, repeat=2):
        key, r_encoded = encode(add(multiply(a, BASE), key_part)), encode(add(multiply(r, BASE), r_part))
        for number in range(2):
            message = b"message %d" % number
            k = challenge(r_encoded, key, message)
            s = (r + k * a) % L
            cancels = add(multiply(k % 8, key_part), r_part) == (0, 1)
            answers.append(agreed(key, message, r_encoded + s.to_bytes(32, "little")))
            assert answers[-1] == cancels
    assert {True, False} == set(answers)


@pytest.mark.parametrize(("key_length", "signature_length"), [(31, 64), (33, 64), (32, 63), (32, 65), (0, 0)])
def test_ed25519_rejects_wrong_lengths(key_length: int, signature_length: int) -> None:
    assert not sv.ed25519_verifies(bytes(key_length), b"", bytes(signature_length))


# --- MessagePack ------------------------------------------------------------------------------------------------------

ONE_ENCODING: list[tuple[str, Any]] = [
    ("00", 0),
    ("7f", 127),
    ("cc80", 128),
    ("ccff", 255),
    ("cd0100", 256),
    ("cdffff", 65_535),
    ("ce00010000", 65_536),
    ("ceffffffff", 2**32 - 1),
    ("cf0000000100000000", 2**32),
    ("cfffffffffffffffff", 2**64 - 1),
    ("ff", -1),
    ("e0", -32),
    ("d0df", -33),
    ("d080", -128),
    ("d1ff7f", -129),
    ("d18000", -32_768),
    ("d2ffff7fff", -32_769),
    ("d280000000", -(2**31)),
    ("d3ffffffff7fffffff", -(2**31) - 1),
    ("d38000000000000000", -(2**63)),
    ("a0", ""),
    ("bf" + "61" * 31, "a" * 31),
    ("d920" + "61" * 32, "a" * 32),
    ("d9ff" + "61" * 255, "a" * 255),
    ("da0100" + "61" * 256, "a" * 256),
    ("db00010000" + "61" * 65_536, "a" * 65_536),
    ("a100", "\0"),
    ("a4f09f9880", "\N{GRINNING FACE}"),
    ("c400", b""),
    ("c4ff" + "00" * 255, bytes(255)),
    ("c50100" + "00" * 256, bytes(256)),
    ("c600010000" + "00" * 65_536, bytes(65_536)),
    ("90", ()),
    ("9f" + "00" * 15, (0,) * 15),
    ("dc0010" + "00" * 16, (0,) * 16),
    ("dd00010000" + "00" * 65_536, (0,) * 65_536),
    ("80", {}),
    ("82a16101a2616102", {"a": 1, "aa": 2}),
    ("82a15a01a16102", {"Z": 1, "a": 2}),
    ("82a3efbfbf01a4f09080800c", {"\uffff": 1, "\U00010000": 12}),  # by UTF-8, not by UTF-16
    ("de0010" + "".join(f"a1{letter:02x}00" for letter in range(97, 113)), {chr(n): 0 for n in range(97, 113)}),
    ("c0", None),
    ("c2", False),
    ("c3", True),
    ("cb3ff8000000000000", 1.5),
    ("cb8000000000000000", -0.0),
    ("cb7fefffffffffffff", sys.float_info.max),
]


@pytest.mark.parametrize(("encoded", "value"), ONE_ENCODING, ids=[encoded[:18] for encoded, _ in ONE_ENCODING])
def test_messagepack_reads_and_writes_the_one_encoding(encoded: str, value: Any) -> None:
    data = bytes.fromhex(encoded)
    read = sv.unpack(data)
    assert (type(read), repr(read)) == (type(value), repr(value))  # 1 is not True, and -0.0 is not 0.0
    assert sv.pack(value) == data


OTHER_ENCODINGS = {
    "nothing": "",
    "something after the value": "0000",
    "cc where fixint holds it": "cc7f",
    "cd where cc holds it": "cd00ff",
    "ce where cd holds it": "ce0000ffff",
    "cf where ce holds it": "cf00000000ffffffff",
    "d0 for a positive": "d001",
    "d0 where fixint holds it": "d0e0",
    "d1 where d0 holds it": "d1ff80",
    "d2 where d1 holds it": "d2ffff8000",
    "d3 where d2 holds it": "d3ffffffff80000000",
    "d3 for a large positive": "d37fffffffffffffff",
    "d9 where fixstr holds it": "d901" + "61",
    "da where d9 holds it": "da0020" + "61" * 32,
    "db where da holds it": "db00000100" + "61" * 256,
    "c5 where c4 holds it": "c50001" + "00",
    "c6 where c5 holds it": "c600000100" + "00" * 256,
    "dc where fixarray holds it": "dc000100",
    "dd where dc holds it": "dd00000010" + "00" * 16,
    "de where fixmap holds it": "de0001a16100",
    "df where de holds it": "df00000010" + "".join(f"a1{letter:02x}00" for letter in range(97, 113)),
    "keys out of order": "82a16101a15a02",
    "a doubled key": "82a16101a16101",
    "a key that is bytes": "81c4016100",
    "a key that is an integer": "810000",
    "float": "ca3fc00000",
    "not a number": "cb7ff8000000000000",
    "infinity": "cb7ff0000000000000",
    "c1": "c1",
    "fixext": "d40000",
    "ext": "c7010000",
    "timestamp": "d6ff00000000",
    "text that is not UTF-8": "a1ff",
    "text with a surrogate": "a3eda080",
    "text in an overlong form": "a2c080",
    "text cut off": "a261",
    "bytes cut off": "c40200",
    "an integer cut off": "cd00",
    "a length cut off": "d9",
    "an array cut off": "9200",
    "an array of four billion": "ddffffffff",
    "a map cut off": "81a161",
}


@pytest.mark.parametrize("encoded", OTHER_ENCODINGS.values(), ids=OTHER_ENCODINGS.keys())
def test_messagepack_rejects_every_other_encoding(encoded: str) -> None:
    assert not accepts(sv.unpack, bytes.fromhex(encoded))


@pytest.mark.parametrize(("around", "inner"), [(b"\x91", b"\x90"), (b"\x81\xa1a", b"\x80")])
def test_messagepack_nests_32_deep_and_no_deeper(around: bytes, inner: bytes) -> None:
    assert accepts(sv.unpack, around * 31 + inner)
    assert accepts(sv.unpack, around * 31 + around + b"\x00")  # a scalar inside of 32
    assert not accepts(sv.unpack, around * 32 + inner)


@pytest.mark.parametrize(("around", "inner"), [(b"\x91", b"\x90"), (b"\x81\xa1a", b"\x80")])
def test_codec_counts_depth_as_the_second_verifier_does(around: bytes, inner: bytes) -> None:
    """At most 32 arrays and maps, one in another; an empty one counts too."""
    for data in (around * 31 + inner, around * 32 + b"\x00", around * 32 + inner, around * 33 + b"\x00"):
        assert accepts(codec.decode, data) == accepts(sv.unpack, data)


@pytest.mark.parametrize("key", [b"\x01", b"\xc4\x01a", b"\xc0", b"\xc3", b"\x90", b"\xcb" + bytes(8)])
def test_codec_rejects_keys_that_are_not_text(key: bytes) -> None:
    """As the second verifier does: no other error comes out, however deep the map lies."""
    for data in (b"\x81" + key + b"\x01", b"\x91\x81\xa1a\x81" + key + b"\xc0"):
        assert not accepts(codec.decode, data)
        assert not accepts(sv.unpack, data)


@pytest.mark.parametrize(
    ("check", "value", "holds"),
    [
        (sv.as_int, 0, True),
        (sv.as_int, 2**63 - 1, True),
        (sv.as_int, 2**63, False),
        (sv.as_int, -1, False),
        (sv.as_int, True, False),
        (sv.as_int, 1.0, False),
        (sv.as_int, None, False),
        (sv.as_text, "", True),
        (sv.as_text, " é\u0080\u2028~", True),
        (sv.as_text, "a\n", False),
        (sv.as_text, "\x1f", False),
        (sv.as_text, "\x7f", False),
        (sv.as_text, b"a", False),
        (sv.as_bytes, b"", True),
        (sv.as_bytes, "", False),
        (sv.as_array, (), True),
        (sv.as_array, {}, False),
    ],
)
def test_fields_have_exactly_their_types(check: Callable[[Any], object], value: Any, holds: bool) -> None:
    assert accepts(check, value) == holds


# --- JSON and base64 --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "holds"),
    [
        ('{"a":1,"b":[]}', True),
        ('{"b":1,"a":{}}', True),  # the order of keys is the caller's: see json_object below
        ('"\\"\\\\\\b\\f\\n\\r\\t\\u0000\\u001f/\x7f\u2028é\N{GRINNING FACE}"', True),
        ("-1", True),
        ("0", True),
        ("null", True),
        ("", False),
        (" 1", False),
        ("1 ", False),
        ("1\r", False),
        ('{"a": 1}', False),
        ('{"a":1,}', False),
        ('{"a":1,"a":1}', False),
        ('{"a":1,"a":2}', False),
        ('{"a":{"b":1,"b":1}}', False),
        ('"\\/"', False),
        ('"\\u0061"', False),
        ('"\\u000a"', False),
        ('"\\u001F"', False),
        ('"\\u007f"', False),
        ('"\\u00e9"', False),
        ('"\\ud83d\\ude00"', False),
        ('"\\ud800"', False),
        ('"\t"', False),
        ('"\x00"', False),
        ("01", False),
        ("-0", False),
        ("+1", False),
        ("1e0", False),
        ("1.00", False),
        ("'a'", False),
        ("\ufeff1", False),
        ("{}{}", False),
        ("9" * 5000, False),
        ("[" * 100_000, False),
    ],
)
def test_json_has_one_form(line: str, holds: bool) -> None:
    assert accepts(sv.read_json, line.encode()) == holds


@pytest.mark.parametrize("line", [b'"\xff"', b'"\xed\xa0\x80"', b'"\xc0\x80"', "1".encode("utf-16")])
def test_json_is_utf8(line: bytes) -> None:
    assert not accepts(sv.read_json, line)


@pytest.mark.parametrize(
    ("line", "holds"),
    [
        ('{"a":1,"b":2}', True),
        ('{"b":2,"a":1}', False),
        ('{"a":1}', False),
        ('{"a":1,"b":2,"c":3}', False),
        ('["a","b"]', False),
        ("null", False),
    ],
)
def test_json_objects_have_exactly_their_keys_in_order(line: str, holds: bool) -> None:
    assert accepts(lambda: sv.json_object(sv.read_json(line.encode()), "a", "b")) == holds


@pytest.mark.parametrize("line", ["true", "1.0", "1e3", '"1"', "-1", str(2**63), "NaN", "Infinity", "null"])
def test_json_integers_are_integers(line: str) -> None:
    assert sv.json_int(sv.read_json(str(2**63 - 1).encode())) == 2**63 - 1
    assert not accepts(lambda: sv.json_int(sv.read_json(line.encode())))


@pytest.mark.parametrize(
    ("text", "data"),
    [
        ("", b""),
        ("AA==", b"\0"),
        ("AAA=", b"\0\0"),
        ("AAAA", b"\0\0\0"),
        ("+/+/", b"\xfb\xff\xbf"),
        ("AB==", None),  # bits left over are not zero
        ("AAB=", None),
        ("AA", None),
        ("AA=", None),
        ("AA===", None),
        ("AAAA=", None),
        ("AAAA====", None),
        ("=AAA", None),
        ("AA==AA==", None),
        ("A", None),
        ("-_-_", None),
        ("AA==\n", None),
        ("AA AA", None),
        (" AAAA", None),
        ("AÄ==", None),
        ("====", None),
    ],
)
def test_base64_has_one_form(text: str, data: bytes | None) -> None:
    if data is None:
        assert not accepts(sv.read_base64, text)
    else:
        assert sv.read_base64(text) == data


@pytest.mark.parametrize(
    "text", ["", "00", "01", "-1", "+1", " 1", "1\n", "1_0", "٣", "1.0", "0x1", str(2**63), "9" * 99]
)
def test_decimals_have_one_form(text: str) -> None:
    assert [sv.read_decimal(good) for good in ("0", "10", str(2**63 - 1))] == [0, 10, 2**63 - 1]
    assert not accepts(sv.read_decimal, text)


# --- Notes ------------------------------------------------------------------------------------------------------------

# The example in the documentation of golang.org/x/mod/sumdb/note.
GO_VKEY = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
GO_NOTE = (
    "If you think cryptography is the answer to your problem,\n"
    "then you don't know what your problem is.\n"
    "\n"
    "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
)


def test_notes_are_those_of_go() -> None:
    text, (line,) = sv.read_note(GO_NOTE)
    vkey = sv.read_vkey(GO_VKEY)
    assert (line.name, line.key_id) == (vkey.name, sv.note_key_id(vkey.name, vkey.key))
    assert sv.ed25519_verifies(vkey.key, text.encode(), line.signature)


LINE = "— w " + base64.b64encode(bytes(68)).decode() + "\n"


def many(count: int) -> str:
    return "".join(f"— w{number} AAAAAAA=\n" for number in range(count))


@pytest.mark.parametrize(
    ("note", "holds"),
    [
        ("text\n\n" + LINE, True),
        ("text\n\nmore\n\n" + LINE, True),  # split at the last blank line
        ("\n\n" + LINE, True),
        ("té\x7ft\n\n" + LINE, True),
        ("text\n\n— wé.x/y AAAAAAA=\n", True),
        ("text\n\n— w AAAAAAA=\n— w AAAAAQA=\n", True),  # one name, two keys
        ("text\n\n— w AAAAAAA=\n— x AAAAAAA=\n", True),  # one key id, two names
        ("text\n\n— w AAAAAAA=\n— w AAAAAAE=\n", True),  # one key, twice: ignored where it is unknown
        ("text\n\n" + many(100), True),
        ("text\n\n" + many(101), False),
        ("text\n\n", False),
        ("text\n" + LINE, False),
        ("text\n\n" + LINE[:-1], False),
        ("text\n\n" + LINE + "\n", False),
        ("text\n\n" + LINE + "\n" + LINE, True),  # the first line is text then
        ("te\txt\n\n" + LINE, False),
        ("te\rxt\n\n" + LINE, False),
        ("te\0xt\n\n" + LINE, False),
        ("text\n\n- w AAAAAAA=\n", False),
        ("text\n\n—w AAAAAAA=\n", False),
        ("text\n\n—  w AAAAAAA=\n", False),
        ("text\n\n—  AAAAAAA=\n", False),
        ("text\n\n— w  AAAAAAA=\n", False),
        ("text\n\n— w AAAAAAA= \n", False),
        ("text\n\n— w+ AAAAAAA=\n", False),
        ("text\n\n— w\u00a0 AAAAAAA=\n", False),
        ("text\n\n— w\u2028 AAAAAAA=\n", False),
        ("text\n\n— w\u3000 AAAAAAA=\n", False),
        ("text\n\n— w\u0085 AAAAAAA=\n", False),
        ("text\n\n— w\u200b AAAAAAA=\n", True),  # zero width, but not white space
        ("text\n\n— w AAAAAA==\n", False),  # a key id and no signature
        ("text\n\n— w AAAAAAB=\n", False),
        ("text\n\n— w AAAAAAA\n", False),
        ("a" * (131_072 - len(LINE.encode()) - 2) + "\n\n" + LINE, True),
        ("a" * (131_073 - len(LINE.encode()) - 2) + "\n\n" + LINE, False),
        ("", False),
    ],
)
def test_notes_have_one_form(note: str, holds: bool) -> None:
    assert accepts(sv.read_note, note) == holds


ORIGIN = "example.com/behind-the-sofa"
CHECKPOINT_ROOT = "CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I="


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        (f"{ORIGIN}\n20852163\n{CHECKPOINT_ROOT}\n", True),
        (f"{ORIGIN}\n0\n{CHECKPOINT_ROOT}\n", False),
        (f"{ORIGIN}\n020852163\n{CHECKPOINT_ROOT}\n", False),
        (f"{ORIGIN}\n+1\n{CHECKPOINT_ROOT}\n", False),
        (f"{ORIGIN}\n{2**63}\n{CHECKPOINT_ROOT}\n", False),
        (f"{ORIGIN}\n20852163\n{CHECKPOINT_ROOT}\nextension\n", False),
        (f"{ORIGIN}\n20852163\n\n{CHECKPOINT_ROOT}\n", False),
        (f"{ORIGIN}\n20852163\nAAAA\n", False),
        (f"{ORIGIN}\n20852163\n{CHECKPOINT_ROOT[:-2]}J=\n", False),
        (f"{ORIGIN}\n20852163\n", False),
    ],
)
def test_checkpoints_have_three_lines(text: str, holds: bool) -> None:
    assert accepts(sv.read_checkpoint, f"{text}\n{LINE}") == holds


def test_a_checkpoint_must_be_signed_by_the_key_asked_for() -> None:
    signer, other = SigningKey(bytes(32)), SigningKey(bytes([1]) * 32)
    key = bytes(signer.verify_key)
    text = f"{ORIGIN}\n1\n{CHECKPOINT_ROOT}\n"

    def line(name: str, named: bytes, signing: SigningKey) -> str:
        data = sv.note_key_id(name, named) + signing.sign(text.encode()).signature
        return f"— {name} {base64.b64encode(data).decode()}\n"

    def signs(*lines: str) -> bool:
        return accepts(sv.check_signed, sv.read_checkpoint(text + "\n" + "".join(lines)), key)

    good = line(ORIGIN, key, signer)
    stranger = line(ORIGIN, bytes(other.verify_key), signer)  # does not verify, but nobody knows this key
    assert signs(good)
    assert signs(stranger, good)
    assert signs(good, LINE)
    assert not signs(stranger)
    assert not signs(line(ORIGIN, key, other))
    assert not signs(line("example.com/other", key, signer))
    assert signs(good, good)
    assert not signs(good, line(ORIGIN, key, other))
    assert not signs(line(ORIGIN, key, other), good)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "name",
        GO_VKEY.replace("c74f20a3", "c74f20a4"),
        GO_VKEY.replace("c74f20a3", "C74F20A3"),
        GO_VKEY.replace("PeterNeumann", "PeterNeuman"),
        GO_VKEY.replace("+AR", "+BB"),
        GO_VKEY[:-4],
        GO_VKEY + "=",
        GO_VKEY + "\n",
        " " + GO_VKEY,
        "+" + GO_VKEY,
        "\udc80" + GO_VKEY,
    ],
)
def test_vkeys_have_one_form(text: str) -> None:
    assert not accepts(sv.read_vkey, text)


HASH = base64.b64encode(bytes(32)).decode()


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        (f"c2sp.org/tlog-proof@v1\nindex 0\n\n{GO_NOTE}", True),
        (f"c2sp.org/tlog-proof@v1\nindex 7\n{HASH}\n{HASH}\n\n{GO_NOTE}", True),
        (f"c2sp.org/tlog-proof@v1\nextra AAAA\nindex 7\n{HASH}\n\n{GO_NOTE}", False),
        (f"c2sp.org/tlog-proof@v2\nindex 7\n{HASH}\n\n{GO_NOTE}", False),
        (f"c2sp.org/tlog-proof@v1\nindex 07\n{HASH}\n\n{GO_NOTE}", False),
        (f"c2sp.org/tlog-proof@v1\nindex  7\n{HASH}\n\n{GO_NOTE}", False),
        (f"c2sp.org/tlog-proof@v1\n{HASH}\n\n{GO_NOTE}", False),
        (f"c2sp.org/tlog-proof@v1\nindex 7\n{HASH} \n\n{GO_NOTE}", False),
        (f"c2sp.org/tlog-proof@v1\nindex 7\r\n{HASH}\n\n{GO_NOTE}", False),
        (f"c2sp.org/tlog-proof@v1\nindex 7\n{HASH}\n", False),
        ("c2sp.org/tlog-proof@v1", False),
        ("", False),
    ],
)
def test_tlog_proofs_have_one_form(text: str, holds: bool) -> None:
    assert accepts(sv.read_tlog_proof, text) == holds
    if holds:
        assert sv.read_tlog_proof(text).checkpoint == GO_NOTE


# --- Tree -------------------------------------------------------------------------------------------------------------


def tree_root(leaves: list[bytes]) -> bytes:
    """RFC 6962 section 2.1, as it is written there."""
    if len(leaves) <= 1:
        return hashlib.sha256(b"\x00" + leaves[0] if leaves else b"").digest()
    k = 1 << (len(leaves) - 1).bit_length() - 1
    return hashlib.sha256(b"\x01" + tree_root(leaves[:k]) + tree_root(leaves[k:])).digest()


def inclusion(m: int, leaves: list[bytes]) -> list[bytes]:
    if len(leaves) == 1:
        return []
    k = 1 << (len(leaves) - 1).bit_length() - 1
    if m < k:
        return [*inclusion(m, leaves[:k]), tree_root(leaves[k:])]
    return [*inclusion(m - k, leaves[k:]), tree_root(leaves[:k])]


def consistency(m: int, leaves: list[bytes], whole: bool = True) -> list[bytes]:
    if m == len(leaves):
        return [] if whole else [tree_root(leaves)]
    k = 1 << (len(leaves) - 1).bit_length() - 1
    if m <= k:
        return [*consistency(m, leaves[:k], whole), tree_root(leaves[k:])]
    return [*consistency(m - k, leaves[k:], False), tree_root(leaves[:k])]


def changed(proof: list[bytes]) -> Iterator[list[bytes]]:
    """Proofs that are not this one."""
    yield [*proof, bytes(32)]
    for place in range(len(proof)):
        yield proof[:place] + proof[place + 1 :]
        yield [*proof[:place], bytes(32), *proof[place + 1 :]]


LEAVES = [b"leaf %d" % number for number in range(70)]


def test_roots_are_those_of_the_rfc() -> None:
    for size in range(len(LEAVES) + 1):
        assert sv.root_of(LEAVES[:size]) == tree_root(LEAVES[:size])


@pytest.mark.parametrize("size", range(1, 20))
def test_proofs_of_the_rfc_are_accepted_and_no_others(size: int) -> None:
    leaves = LEAVES[:size]
    root = tree_root(leaves)
    for index in range(size):
        leaf, proof = sv.leaf_hash(leaves[index]), inclusion(index, leaves)
        sv.check_inclusion(index, size, leaf, proof, root)
        assert not any(accepts(sv.check_inclusion, index, size, leaf, other, root) for other in changed(proof))
        assert not accepts(sv.check_inclusion, index + size, size, leaf, proof, root)
    for old in range(1, size + 1):
        old_root, proof = tree_root(leaves[:old]), consistency(old, leaves)
        sv.check_consistency(old, size, old_root, root, proof)
        others = [other for other in changed(proof) if other != proof]
        assert not any(accepts(sv.check_consistency, old, size, old_root, root, other) for other in others)


@pytest.mark.parametrize("size", range(1, 18))
def test_range_proofs_are_roots_of_aligned_subtrees(size: int) -> None:
    leaves = LEAVES[:size]
    root, hashes = tree_root(leaves), [sv.leaf_hash(leaf) for leaf in leaves]
    for a, b in itertools.combinations(range(size + 1), 2):
        proof, place = [], 0
        while place < size:
            if a <= place < b:
                place = b
                continue
            end = a if place < a else size
            count = max(2**n for n in range(6) if place % 2**n == 0 and place + 2**n <= end)
            proof.append(tree_root(leaves[place : place + count]))
            place += count
        sv.check_range(a, b, size, hashes[a:b], proof, root)
        assert not any(accepts(sv.check_range, a, b, size, hashes[a:b], other, root) for other in changed(proof))
        assert not accepts(sv.check_range, a, b, size, [*hashes[a : b - 1], bytes(32)], proof, root)
        assert not accepts(sv.check_range, a, b, size, hashes[a : b - 1], proof, root)


def test_an_empty_range_is_no_range() -> None:
    assert not accepts(sv.check_range, 1, 1, 1, [], [sv.leaf_hash(LEAVES[0])], tree_root(LEAVES[:1]))


def merkle_vectors() -> list[Path]:
    folder = DATA / "vectors" / "merkle"
    if not folder.is_dir():
        sentence = f"the vectors of transparency-dev are not at {folder} (set DNA_DATA)"
        if os.environ.get("DNA_REQUIRE_DATA") == "1":
            pytest.fail(sentence)
        pytest.skip(sentence)
    return sorted(folder.rglob("*.json"))


def vector_accepted(path: Path) -> bool:
    vector = json.loads(path.read_text())

    def decoded(name: str) -> bytes:
        return base64.b64decode(vector[name] or "")

    proof = [base64.b64decode(step) for step in vector["proof"] or []]
    if "leafIdx" in vector:
        index, size = vector["leafIdx"], vector["treeSize"]
        return accepts(sv.check_inclusion, index, size, decoded("leafHash"), proof, decoded("root"))
    sizes = vector["size1"], vector["size2"]
    return accepts(sv.check_consistency, *sizes, decoded("root1"), decoded("root2"), proof)


def test_every_merkle_vector_has_its_answer() -> None:
    paths = merkle_vectors()
    wrong = [str(path) for path in paths if vector_accepted(path) == json.loads(path.read_text())["wantErr"]]
    assert len(paths) == MERKLE_VECTORS
    assert wrong == []


# --- The whole: any bytes get a report --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\n",
        b"\xff\n",
        b"[" * 100_000 + b"\n",
        b'{"format":"decision-dna/export@v1","origin":"o","size":0}\n',
        b'{"format":"decision-dna/export@v1","origin":"o","size":1}\n',
        b'{"format":"decision-dna/export@v1","origin":"o","size":1}\n{"entry":"","payload":null}\n{"head":""}\n',
        b'{"format":"decision-dna/evidence@v1"}\n',
        *(random.Random(seed).randbytes(100) + b"\n" for seed in range(20)),
    ],
)
def test_bytes_that_are_no_file_are_rejected_in_step_1(data: bytes) -> None:
    for report in (sv.verify_export(data, None), sv.verify_export(data, ""), sv.verify_evidence(data, GO_VKEY)):
        assert report.steps[1] == "fail"
        assert sorted(report.steps) == list(range(1, 12))
        assert any(step == 1 for step, _ in report.findings)
        assert not report.accepted and not report.pinned


@pytest.mark.parametrize(("content", "arguments"), [(b"", []), (b"\n", ["--key", GO_VKEY])])
def test_the_command_leaves_with_1_where_a_file_is_rejected(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes, arguments: list[str]
) -> None:
    file = tmp_path / "file"
    file.write_bytes(content)
    assert sv.main([str(file), *arguments]) == 1
    assert "rejected" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [[], ["missing"], ["{file}", "--key", "no vkey"], ["{file}"]])
def test_the_command_leaves_with_2_where_it_is_used_wrongly(tmp_path: Path, arguments: list[str]) -> None:
    file = tmp_path / "file"
    file.write_bytes(b'{"format":"decision-dna/evidence@v1"}\n')  # evidence needs a key
    with pytest.raises(SystemExit) as left:
        sv.main([argument.replace("{file}", str(file)) for argument in arguments])
    assert left.value.code == 2

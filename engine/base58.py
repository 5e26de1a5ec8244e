"""Base58 as Solana writes keys, signatures and instruction data: no checksum, one leading `1` for each leading zero byte.

    encode(bytes(32))  ->  "11111111111111111111111111111111"
    decode("2g")       ->  b"a"

Two digits are handled at a time and ten at a time become one machine-sized integer: a block has thousands of keys.
"""

from functools import lru_cache

from decision_dna.schemas.errors import Malformed

ALPHABET = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"

_PAIRS = [high + low for high in ALPHABET for low in ALPHABET]
_VALUES = {pair: value for value, pair in enumerate(_PAIRS)} | {digit: value for value, digit in enumerate(ALPHABET)}
_TEN = 58**10
_NOT_DIGITS = ALPHABET.encode()


def encode(data: bytes) -> str:
    """The one text of some bytes."""
    number = int.from_bytes(data, "big")
    pairs: list[str] = []
    while number:
        number, ten = divmod(number, _TEN)
        for _ in range(5):
            ten, pair = divmod(ten, 3364)
            pairs.append(_PAIRS[pair])
    zeros = len(data) - len(data.lstrip(b"\0"))
    return "1" * zeros + "".join(reversed(pairs)).lstrip("1")


def decode(text: str) -> bytes:
    """The bytes of a text. Raises Malformed at a character outside the alphabet."""
    odd = len(text) & 1
    try:
        number = _VALUES[text[0]] if odd else 0
        for start in range(odd, len(text), 2):
            number = number * 3364 + _VALUES[text[start : start + 2]]
    except KeyError:
        raise Malformed(f"not base58: {text[:80]!r}") from None
    zeros = len(text) - len(text.lstrip("1"))
    return bytes(zeros) + number.to_bytes((number.bit_length() + 7) // 8, "big")


def check_digits(text: str) -> None:
    """Raise Malformed unless every character is a base58 digit: cheap for very long texts, decodes nothing."""
    if not text.isascii() or text.encode().translate(None, _NOT_DIGITS):
        raise Malformed("not base58")


@lru_cache(maxsize=65_536)
def encode_key(key: bytes) -> str:
    """The text of a key of 32 bytes; the same few thousand keys come back in every block, so they are remembered."""
    return encode(key)


@lru_cache(maxsize=65_536)
def check_key(text: str) -> None:
    """Raise Malformed unless the text is that of 32 bytes."""
    if len(text) > 44 or len(decode(text)) != 32:
        raise Malformed(f"not a key of 32 bytes in base58: {text[:80]!r}")

"""Base58 as Solana writes keys, signatures and instruction data: no checksum, one leading `1` for each leading zero byte.

    encode(bytes(32))  ->  "11111111111111111111111111111111"
    decode("2g")       ->  b"a"

Encoding takes ten digits at a time off the number, which then fit a machine word, and two at a time off these: a block
has thousands of keys.
"""

from functools import lru_cache

from decision_dna.schemas.errors import Malformed

ALPHABET = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"

_PAIRS = [high + low for high in ALPHABET for low in ALPHABET]
_TWO, _FOUR, _TEN = 58**2, 58**4, 58**10
_NO_DIGIT = 255
_DIGITS = bytes(ALPHABET.find(chr(code)) & _NO_DIGIT for code in range(256))


def encode(data: bytes) -> str:
    """The one text of some bytes."""
    number = int.from_bytes(data, "big")
    tens: list[str] = []
    while number:
        number, ten = divmod(number, _TEN)
        high, low = divmod(ten, _FOUR)
        high, middle = divmod(high, _TWO)
        first, second = divmod(high, _TWO)
        third, fourth = divmod(low, _TWO)
        tens.append(_PAIRS[first] + _PAIRS[second] + _PAIRS[middle] + _PAIRS[third] + _PAIRS[fourth])
    zeros = len(data) - len(data.lstrip(b"\0"))
    return "1" * zeros + "".join(reversed(tens)).lstrip("1")


def decode(text: str) -> bytes:
    """The bytes of a text. Raises Malformed at a character outside the alphabet."""
    number = 0
    for digit in _digits(text):
        number = number * 58 + digit
    zeros = len(text) - len(text.lstrip("1"))
    return bytes(zeros) + number.to_bytes((number.bit_length() + 7) // 8, "big")


def check_digits(text: str) -> None:
    """Raise Malformed unless every character is a base58 digit; decodes nothing."""
    _digits(text)


def _digits(text: str) -> bytes:
    digits = text.encode(errors="replace").translate(_DIGITS)
    if _NO_DIGIT in digits:
        raise Malformed(f"not base58: {text[:80]!r}")
    return digits


@lru_cache(maxsize=65_536)
def encode_key(key: bytes) -> str:
    """The text of a key of 32 bytes; the same few thousand keys come back in every block, so they are remembered."""
    return encode(key)

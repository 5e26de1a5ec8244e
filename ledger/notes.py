"""Signed notes, checkpoints and verifier keys, as C2SP publishes them (signed-note, tlog-checkpoint); docs/format.md, section 8.

    example.org/log                                  the origin
    3                                                tree size
    9kK0Yk0sV0p0y1Fv9cGZqZlWb1kQZyBf3i3T7k6H1rE=     root, base64
                                                     an empty line
    — example.org/log 1fRk0W…                        name, base64(keyID[4] ‖ signature)

The text ends with the LF before the empty line; that text is what is signed. Lines of unknown keys are ignored, however many
there are and whatever they say. Every line of a known key must verify.
"""

import base64
import binascii
from collections.abc import Callable, Sequence
from hashlib import sha256

import msgspec

from decision_dna.ledger.signatures import SigningKey, is_signed
from decision_dna.schemas.errors import InvariantBroken, ProofRejected

NOTE_BYTES_MAX = 131_072
"""Enough for 16 signatures of 5 kB, which signed-note asks every verifier to take."""
SIGNATURES_MAX = 100
"""As many as Go's note package reads."""
ED25519 = 1
_DASH = "— "


class NoteSignature(msgspec.Struct, frozen=True):
    """One signature line: who claims to sign, under which key (4 bytes), and the bytes."""

    name: str
    key_id: bytes
    signature: bytes


class Note(msgspec.Struct, frozen=True):
    """A parsed note. Nothing is verified yet."""

    text: bytes
    signatures: tuple[NoteSignature, ...]


class UnverifiedCheckpoint(msgspec.Struct, frozen=True):
    """What the text of a note says: the first `size` entries of a log have this Merkle root. Anyone may have written it."""

    origin: str
    size: int
    root: bytes


class Checkpoint(UnverifiedCheckpoint, frozen=True):
    """The head of a log, vouched for: `open_checkpoint` verified its signatures, or the writer is about to sign it."""


class Vkey(msgspec.Struct, frozen=True):
    """A verifier key: `name+hex(keyID)+base64(01 ‖ key)`."""

    name: str
    key: bytes

    @property
    def key_id(self) -> bytes:
        """4 bytes: SHA-256(name ‖ 0A ‖ 01 ‖ key)[:4]."""
        return sha256(self.name.encode() + b"\n" + bytes([ED25519]) + self.key).digest()[:4]

    def __str__(self) -> str:
        return f"{self.name}+{self.key_id.hex()}+{base64.b64encode(bytes([ED25519]) + self.key).decode()}"

    @classmethod
    def parse(cls, text: str) -> "Vkey":
        """Raises ProofRejected for anything but the one form of an Ed25519 vkey."""
        parts = text.strip().split("+", 2)
        if len(parts) != 3:
            raise ProofRejected("a verifier key looks like name+hex+base64")
        name, key_id, encoded = parts
        check_name(name)
        data = decode_base64(encoded, "verifier key")
        if len(data) != 33 or data[0] != ED25519:
            raise ProofRejected("a verifier key of this log is Ed25519: base64 of 01 and 32 bytes")
        vkey = cls(name, data[1:])
        if vkey.key_id.hex() != key_id:
            raise ProofRejected(f"verifier key: its id is {vkey.key_id.hex()}, it says {key_id}")
        return vkey


def check_name(name: str) -> None:
    """Raise ProofRejected unless a signer may be called so: not empty, no white space, no plus."""
    if not name or "+" in name or any(c.isspace() for c in name):
        raise ProofRejected(f"not a signer's name: {name!r}")


def decode_base64(text: str, what: str) -> bytes:
    """Bytes of canonical base64. Raises ProofRejected."""
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise ProofRejected(f"{what}: not base64") from None
    if base64.b64encode(data).decode() != text:
        raise ProofRejected(f"{what}: not the one base64 form of its bytes")
    return data


def parse_note(data: bytes) -> Note:
    """Split a note at its last empty line. Raises ProofRejected."""
    if len(data) > NOTE_BYTES_MAX:
        raise ProofRejected(f"a note of {len(data)} bytes, at most {NOTE_BYTES_MAX}")
    try:
        whole = data.decode()
    except UnicodeDecodeError:
        raise ProofRejected("a note that is not UTF-8") from None
    if any(byte < 0x20 and byte != 0x0A for byte in data):
        raise ProofRejected("a note with control characters")
    text, gap, tail = whole.rpartition("\n\n")
    if not gap or not tail.endswith("\n"):
        raise ProofRejected("a note needs text, an empty line, and signature lines each ended by LF")
    lines = tail[:-1].split("\n")
    if len(lines) > SIGNATURES_MAX:
        raise ProofRejected(f"a note with {len(lines)} signature lines, at most {SIGNATURES_MAX}")
    return Note((text + "\n").encode(), tuple(_signature_line(line) for line in lines))


def _signature_line(line: str) -> NoteSignature:
    if not line.startswith(_DASH):
        raise ProofRejected(f"not a signature line: {line!r}")
    name, space, encoded = line.removeprefix(_DASH).partition(" ")
    check_name(name)
    data = decode_base64(encoded, f"signature of {name}") if space else b""
    if len(data) < 5:
        raise ProofRejected(f"signature of {name}: too short")
    return NoteSignature(name, data[:4], data[4:])


def format_checkpoint(checkpoint: Checkpoint) -> bytes:
    """The text that is signed."""
    root = base64.b64encode(checkpoint.root).decode()
    return f"{checkpoint.origin}\n{checkpoint.size}\n{root}\n".encode()


def parse_checkpoint(text: bytes) -> UnverifiedCheckpoint:
    """Parse the text of a checkpoint without extension lines. Raises ProofRejected."""
    lines = text.decode().split("\n")
    if len(lines) != 4 or lines[3]:
        raise ProofRejected("a checkpoint has three lines: origin, size, root")
    origin, size, root = lines[:3]
    check_name(origin)
    if not (size.isascii() and size.isdigit()) or str(int(size[:20])) != size or not 1 <= int(size) < 2**63:
        raise ProofRejected(f"a checkpoint's size is a plain decimal number from 1 on, not {size[:40]!r}")
    decoded = decode_base64(root, "checkpoint root")
    if len(decoded) != 32:
        raise ProofRejected(f"a checkpoint's root has 32 bytes, this one {len(decoded)}")
    return UnverifiedCheckpoint(origin, int(size), decoded)


def note_of(data: bytes) -> UnverifiedCheckpoint:
    """Parse the checkpoint in a note and verify nothing. Raises ProofRejected."""
    return parse_checkpoint(parse_note(data).text)


def sign_checkpoint(checkpoint: Checkpoint, keys: Sequence[SigningKey]) -> bytes:
    """The signed note: one line for each key, all under the origin's name."""
    text = format_checkpoint(checkpoint)
    lines = []
    for key in keys:
        vkey = Vkey(checkpoint.origin, key.public)
        encoded = base64.b64encode(vkey.key_id + key.sign(text)).decode()
        lines.append(f"{_DASH}{checkpoint.origin} {encoded}\n")
    return text + b"\n" + "".join(lines).encode()


def verified_signers(note: Note, vkeys: Sequence[Vkey]) -> list[Vkey]:
    """Return the vkeys that signed, once for each line. Raises ProofRejected if a line of one of them does not verify."""
    known = {(vkey.name, vkey.key_id): vkey for vkey in vkeys}
    signers: list[Vkey] = []
    for line in note.signatures:
        vkey = known.get((line.name, line.key_id))
        if vkey is None:
            continue
        if not is_signed(vkey.key, note.text, line.signature):
            raise ProofRejected(f"a note's signature by {vkey.name}+{vkey.key_id.hex()} does not verify")
        signers.append(vkey)
    return signers


def open_checkpoint(data: bytes, vkeys: Sequence[Vkey]) -> Checkpoint:
    """Return the checkpoint in a note that *every* vkey signed under the origin's own name. Raises ProofRejected.

    There is at least one vkey, else nothing would be verified: InvariantBroken. For the keys of a log by size see `open_head`.
    """
    note = parse_note(data)
    return _opened(note, parse_checkpoint(note.text), vkeys)


def open_head(data: bytes, origin: str, log_keys_at: Callable[[int], Sequence[bytes]]) -> Checkpoint:
    """Return the checkpoint in a note that all log keys of its size signed. Raises ProofRejected, also if no key signs that size.

    `log_keys_at` is `Authority.log_keys_at`.
    """
    note = parse_note(data)
    said = parse_checkpoint(note.text)
    vkeys = [Vkey(origin, key) for key in log_keys_at(said.size)]
    if not vkeys:
        raise ProofRejected(f"no log key signs a head of size {said.size}")
    return _opened(note, said, vkeys)


def _opened(note: Note, said: UnverifiedCheckpoint, vkeys: Sequence[Vkey]) -> Checkpoint:
    if not vkeys:
        raise InvariantBroken("a checkpoint is opened without any key to verify it with")
    signers = verified_signers(note, vkeys)
    for vkey in vkeys:
        if vkey not in signers:
            raise ProofRejected(f"the checkpoint of size {said.size} is not signed by {vkey}")
        if vkey.name != said.origin:
            raise ProofRejected(f"the checkpoint is of {said.origin!r}, its signer is {vkey.name!r}")
    return Checkpoint(said.origin, said.size, said.root)

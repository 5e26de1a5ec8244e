"""Signed notes as C2SP's signed-note and tlog-checkpoint have them: which lines count, and that nothing is opened without a key."""

import base64

import pytest

from decision_dna.ledger.notes import (
    Checkpoint,
    UnverifiedCheckpoint,
    Vkey,
    note_of,
    open_checkpoint,
    open_head,
    sign_checkpoint,
)
from decision_dna.ledger.signatures import SigningKey
from decision_dna.schemas.errors import InvariantBroken, ProofRejected

ORIGIN = "example.org/log"
KEY, OTHER = SigningKey(bytes(32)), SigningKey(bytes(31) + b"\x01")
VKEY, OTHER_VKEY = Vkey(ORIGIN, KEY.public), Vkey(ORIGIN, OTHER.public)
HEAD = Checkpoint(ORIGIN, 3, b"\x07" * 32)
NOTE = sign_checkpoint(HEAD, [KEY])


def line(key_id: bytes = b"\x01\x02\x03\x04", signature: bytes = bytes(64), name: str = "witness.example/w") -> bytes:
    return f"— {name} {base64.b64encode(key_id + signature).decode()}\n".encode()


UNKNOWN: dict[str, bytes] = {
    "one": line(),
    "the same one twice": line() * 2,
    "two signatures of one key": line() + line(signature=bytes(72)),
    "in the name of the log": line(name=ORIGIN) * 2,
    "under the key id of the log": line(key_id=VKEY.key_id) * 2,
    "the log's own line in another name": NOTE.rpartition(b"\n\n")[2].replace(ORIGIN.encode(), b"a", 1) * 2,
    "99 of them": b"".join(line(bytes([number] * 4)) for number in range(99)),
    "15 of 5 kB each": b"".join(line(bytes([number] * 4), bytes(5000)) for number in range(15)),
}


@pytest.mark.parametrize("name", UNKNOWN)
def test_open_checkpoint_ignores_lines_of_unknown_keys(name: str) -> None:
    """Lines of unknown keys are ignored: how many there are, and whether one stands twice, does not matter."""
    assert open_checkpoint(NOTE + UNKNOWN[name], [VKEY]) == HEAD
    before = NOTE.replace(b"\n\n", b"\n\n" + UNKNOWN[name], 1)
    assert open_checkpoint(before, [VKEY]) == HEAD


def test_open_checkpoint_counts_a_repeated_line_of_a_known_key_once() -> None:
    """A known key's line that stands twice verifies twice and signs once."""
    twice = NOTE + NOTE.rpartition(b"\n\n")[2]
    assert open_checkpoint(twice, [VKEY]) == HEAD
    with pytest.raises(ProofRejected, match="not signed by"):
        open_checkpoint(twice, [VKEY, OTHER_VKEY])


@pytest.mark.parametrize("where", ["before", "after"])
def test_open_checkpoint_rejects_any_false_line_of_a_known_key(where: str) -> None:
    """A line of a known key that does not verify rejects the note, also beside one that does."""
    false = line(VKEY.key_id, bytes(64), ORIGIN)
    note = NOTE + false if where == "after" else NOTE.replace(b"\n\n", b"\n\n" + false, 1)
    with pytest.raises(ProofRejected, match="does not verify"):
        open_checkpoint(note, [VKEY])


def test_open_checkpoint_without_a_key_is_our_own_mistake() -> None:
    """An empty list of keys raises: nothing that was not verified leaves as a Checkpoint."""
    with pytest.raises(InvariantBroken, match="without any key"):
        open_checkpoint(NOTE, [])


def test_open_head_without_a_key_for_that_size_is_rejected() -> None:
    """A size that no log key signs is the note's fault, and said so."""
    with pytest.raises(ProofRejected, match="no log key signs a head of size 3"):
        open_head(NOTE, ORIGIN, lambda size: [])
    assert open_head(NOTE, ORIGIN, lambda size: [KEY.public] if size == 3 else []) == HEAD
    with pytest.raises(ProofRejected, match="not signed by"):
        open_head(NOTE, "example.org/other", lambda size: [KEY.public])


def test_note_of_returns_what_nobody_verified() -> None:
    """What is only parsed has another type than what was verified."""
    said = note_of(NOTE)
    assert type(said) is UnverifiedCheckpoint
    assert (said.origin, said.size, said.root) == (HEAD.origin, HEAD.size, HEAD.root)


@pytest.mark.parametrize("more", [line() * 100, line(signature=bytes(98_304))])
def test_parse_note_bounds_lines_and_bytes(more: bytes) -> None:
    """A note has at most 100 signature lines and 128 KiB."""
    with pytest.raises(ProofRejected, match="at most"):
        note_of(NOTE + more)

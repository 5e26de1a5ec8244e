"""A log in one NDJSON file (docs/format.md, section 10), written from a store, and as a source for verification.

The file is not held in memory, only where its lines begin. `verify_export` walks it on all cores.
"""

import base64
from array import array
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO

import msgspec

from decision_dna.ledger.accounting import MARK
from decision_dna.ledger.audit import Check, Progress, Report, Work, do_work, verify
from decision_dna.ledger.notes import Vkey, decode_base64, note_of
from decision_dna.ledger.sources import Derived, Rows, StoreSource
from decision_dna.ledger.verification import SEGMENT_EVENTS, AuthorityEntry, Finding, Joint, Row, Segment
from decision_dna.ledger.workers import Workers
from decision_dna.schemas.claims import decode_claim, decode_entry
from decision_dna.schemas.codec import decode_json
from decision_dna.schemas.errors import CannotOpen, InvariantBroken, LedgerError, Malformed, ProofRejected
from decision_dna.schemas.ledgering import AUTHORITY_TYPES

FORMAT = "decision-dna/export@v1"
PIECE_EVENTS = 4096
"""Entries that are read or written at a time."""


class Header(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The first line."""

    format: str
    origin: str
    size: int


class ExportRow(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The line of an entry; base64."""

    entry: str
    payload: str | None


class Head(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The line of a kept head."""

    head: str


_headers, _rows, _heads = msgspec.json.Decoder(Header), msgspec.json.Decoder(ExportRow), msgspec.json.Decoder(Head)


# --- writing -----------------------------------------------------------------------------------------------------------


def export_lines(source: StoreSource) -> Iterator[bytes]:
    """The log of a store as an export, line by line. Raises InvariantBroken where it can't be read."""
    yield _line(Header(FORMAT, source.origin, source.size))
    for start in range(0, source.size, PIECE_EVENTS):
        rows, findings = source.rows(start, min(start + PIECE_EVENTS, source.size))
        if findings:
            raise InvariantBroken(f"the store can't be exported: {findings[0].text}")
        for entry, payload in rows:
            yield _line(ExportRow(_text(entry), None if payload is None else _text(payload)))
    for _, note in source.heads():
        yield _line(Head(note.decode()))


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _line(row: msgspec.Struct) -> bytes:
    return msgspec.json.encode(row) + b"\n"


# --- reading -----------------------------------------------------------------------------------------------------------


class ExportSource:
    """A log in an export. `read` looks at every line once, and knows then which entries change keys and policy."""

    payloads_known = True

    def __init__(self, file: BinaryIO) -> None:
        """Raises Malformed where it is not an export, as far as its first line and the number of its lines tell."""
        self._file, self._starts = file, _line_starts(file)
        lines = len(self._starts) - 1
        if lines < 1:
            raise Malformed("an export has a first line")
        header = decode_json(_headers, self._lines(0, 1)[0])
        if header.format != FORMAT or not 1 <= header.size <= lines - 2:
            raise Malformed(f"not an export of {header.size} entries with a head")
        self.origin, self.size = header.origin, header.size
        self._changes: list[AuthorityEntry] = []

    def read(self, progress: Progress | None = None) -> None:
        """Every line. Raises Malformed where one is none of an export."""
        changes: list[AuthorityEntry] = []
        for start in range(0, self.size, PIECE_EVENTS):
            rows, _ = self.rows(start, start + PIECE_EVENTS)
            changes += [
                AuthorityEntry(seq, raw) for seq, (raw, _) in enumerate(rows, start) if MARK in raw and _is_change(raw)
            ]
            if progress is not None:
                progress(start + len(rows), self.size)
        self._notes()
        self._changes = changes

    def _lines(self, first: int, end: int) -> list[bytes]:
        """Some lines, without their ends."""
        begin = self._starts[first]
        self._file.seek(begin)
        block = self._file.read(self._starts[end] - begin)
        cuts = [start - begin for start in self._starts[first : end + 1]]
        return [block[start : following - 1] for start, following in pairwise(cuts)]

    def rows(self, start: int, end: int) -> tuple[Rows, list[Finding]]:
        """As they stand in the file. Raises Malformed, of a file that was not read before."""
        return [_decode_row(line) for line in self._lines(1 + start, 1 + min(end, self.size))], []

    def _notes(self) -> list[bytes]:
        return [decode_json(_heads, line).head.encode() for line in self._lines(1 + self.size, len(self._starts) - 1)]

    def heads(self) -> list[tuple[int, bytes]]:
        """With the sizes that they state; raises ProofRejected where one can't be read or they don't ascend."""
        heads = [(note_of(note).size, note) for note in self._notes()]
        sizes = [size for size, _ in heads]
        if sizes != sorted(set(sizes)):
            raise ProofRejected("the heads of an export ascend")
        return heads

    def authority_hint(self) -> list[AuthorityEntry]:
        """What `read` found; without it the first walk finds them."""
        return list(self._changes)

    def settle(self, segment: Segment) -> None:
        """Nothing: left to the join."""
        segment.tile_nodes = {}

    def judge(self, joint: Joint) -> list[Finding]:  # noqa: ARG002  # the seam's signature
        """The file holds nothing else."""
        return []

    def judge_derived(self, joint: Joint) -> Derived:  # noqa: ARG002  # the seam's signature
        """Nothing: it holds no derived rows."""
        return Derived()

    def erased_past_lock(self) -> dict[int, bytes]:
        """None: a file has no lock."""
        return {}


def _line_starts(file: BinaryIO) -> "array[int]":
    """Where each line begins, and where the next one would. Raises Malformed where the last has no end."""
    starts, at, line = array("Q", [0]), 0, b"\n"
    file.seek(0)
    for line in file:
        at += len(line)
        starts.append(at)
    if not line.endswith(b"\n"):
        raise Malformed("an export's lines each end with LF")
    return starts


def _decode_row(line: bytes) -> Row:
    row = decode_json(_rows, line)
    try:
        payload = None if row.payload is None else decode_base64(row.payload, "payload")
        return decode_base64(row.entry, "entry"), payload
    except ProofRejected as error:
        raise Malformed(str(error)) from None


def _is_change(raw: bytes) -> bool:
    with suppress(LedgerError):  # the walk names it
        claim = decode_claim(decode_entry(raw).claim)
        return claim.type in AUTHORITY_TYPES and claim.source == "ledger"
    return False


# --- verifying ---------------------------------------------------------------------------------------------------------


def verify_export(
    source: ExportSource,
    path: Path,
    vkey: Vkey | None,
    *,
    processes: int = 2,
    progress: Progress | None = None,
    note_types: frozenset[str] = frozenset(),
    checks: tuple[Check, ...] = (),
    earlier: Sequence[bytes] = (),
) -> Report:
    """The verification of an export, on all cores where it is long: each worker opens it again at `path`.

    `read` finds a line that is none of an export; without it, Malformed may be raised on the way.
    """
    if processes < 2 or source.size <= SEGMENT_EVENTS:
        return verify(source, vkey, progress=progress, note_types=note_types, checks=checks, earlier=earlier)
    with Workers(_open_in_worker, (str(path),), processes) as workers:
        return verify(
            source,
            vkey,
            executor=workers,
            remote_work=_work_there,
            progress=progress,
            note_types=note_types,
            checks=checks,
            earlier=earlier,
        )


_source: ExportSource | None = None
"""The worker process's own view of the file."""


def _open_in_worker(path: str) -> None:
    global _source  # noqa: PLW0603  # a worker's first function has no other place to leave it
    _source = ExportSource(Path(path).open("rb"))  # noqa: SIM115  # open as long as the worker is


def _work_there(work: Work) -> Segment:
    if _source is None:
        raise CannotOpen("no-worker", "a worker that never opened its file")
    return do_work(_source, work)

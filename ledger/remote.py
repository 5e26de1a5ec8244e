"""A log somewhere else, over HTTP: its public tiles, its events, and submitting to it. The one HTTP client of the house.

    log = RemoteLog("http://127.0.0.1:8420")
    note = log.checkpoint()                  signed bytes: verify them before believing anything
    entries = log.entries(0, 256)            a bundle of exactly so many, or an error

What comes back has the shape asked for and a bounded size; whether it is true is for the caller to verify. A problem that the
service states comes out as the error that it was there, with the words that the service says so. Everything else that is no
good answer is Unavailable: a redirect, a missing tile, an answer that takes too long, is too long or is encoded
(`ledger.exchange` has the budget).
"""

import time
from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Any, Protocol, Self, TypeVar
from urllib.parse import quote, urlencode

import msgspec

from decision_dna.ledger import layout
from decision_dna.ledger.exchange import Answer, Connection, Deadline, Headers, parse_address
from decision_dna.ledger.ids import new_ids
from decision_dna.ledger.merkle import HASH_BYTES, TILE_WIDTH
from decision_dna.ledger.notes import NOTE_BYTES_MAX, Checkpoint, Vkey, note_of, open_checkpoint
from decision_dna.ledger.receipts import Before, Said, check_answer, compare_answer
from decision_dna.ledger.tilepath import TilePath
from decision_dna.schemas import errors
from decision_dna.schemas.claims import ENTRY_BYTES_MAX
from decision_dna.schemas.errors import BadInput, Busy, LedgerError, Malformed, ProofRejected, Unavailable
from decision_dna.schemas.evidence import EVIDENCE_BYTES_MAX
from decision_dna.schemas.receipts import BatchReceipt, Problem
from decision_dna.schemas.submissions import decode_json
from decision_dna.schemas.texts import base64_bytes, id_text
from decision_dna.schemas.views import ConsistencyView, EventView, PageView

ANSWER_BYTES_MAX = 12 * 1024 * 1024
ANSWER_VALUES_MAX = 1_000_000
"""JSON values in an answer, by its commas and brackets: `[],` is three bytes, and 64 when it is decoded."""
RECEIPT_BYTES_MAX = 64 * 1024 * 1024
RECEIPT_EVENT_BYTES = 4096
"""Of a receipt, for each event, beside what it repeats of the submission."""
DETAIL_CHARS_MAX = 500
DEADLINE_SECONDS = 30.0
TRIES_MAX = 4
FIRST_PAUSE_SECONDS = 0.25

T = TypeVar("T")

_SAID: dict[str, type[LedgerError]] = {
    branch.__name__: branch
    for branch in (
        errors.Malformed,
        errors.TooLarge,
        errors.UnknownType,
        errors.Refused,
        errors.NotFound,
        errors.Conflict,
        errors.IdConflict,
        errors.StreamMoved,
        errors.Busy,
        errors.StoreFailed,
    )
}
"""Errors that a service may state, by the title of its problem."""
_BY_STATUS: dict[int, type[LedgerError]] = {
    400: errors.BadInput,
    401: errors.Refused,
    403: errors.Refused,
    404: errors.NotFound,
    409: errors.Conflict,
    413: errors.TooLarge,
    422: errors.BadInput,
}


class Transport(Protocol):
    """How bytes travel: `ledger.exchange.Connection`."""

    def exchange(
        self, method: str, target: str, deadline: Deadline, *, bytes_max: int, headers: Headers = (), body: bytes = b""
    ) -> Answer:
        """Raises Unavailable."""
        ...

    def close(self) -> None:
        """Close what is open."""
        ...


class _MissingError(Unavailable):
    """There is nothing under that path: which only says that it is not shown."""


class RemoteLog:
    """A running service. Close it when done, or use it as a context. Not for several threads at once.

    `key` is the credential of this very address. It goes along where the service may demand it, to submit and to read what is
    private, never with requests for the public log, and never unencrypted beyond loopback (Malformed). Each call has
    `deadline_seconds`, with all its tries. `transport`, `pause` and `now` are seams: how bytes travel, how it waits between
    tries, and its clock (ns).
    """

    def __init__(
        self,
        address: str,
        *,
        key: str = "",
        deadline_seconds: float = DEADLINE_SECONDS,
        transport: Transport | None = None,
        pause: Callable[[float], None] = time.sleep,
        now: Callable[[], int] = time.time_ns,
    ) -> None:
        where = parse_address(address)
        if key and not where.keeps_secrets:
            raise Malformed(f"a key is not sent unencrypted to {where.origin}: use https, or a tunnel to this machine")
        self._address, self._key, self._seconds, self._pause = where.origin + where.prefix, key, deadline_seconds, pause
        self._transport, self._now = transport or Connection(where), now
        self._seen: Checkpoint | None = None
        self.hint = ""
        """What a caller should know who is told that a key is needed."""

    # --- the public log --------------------------------------------------------------------------------------------

    def checkpoint(self) -> bytes:
        """Return the newest head, a checkpoint in its form; no signature is verified. Raises Unavailable."""
        note = self._public("/checkpoint", NOTE_BYTES_MAX)
        try:
            note_of(note)
        except ProofRejected as error:
            raise Unavailable(f"{self._address} shows no checkpoint: {error}") from None
        return note

    def hashes(self, level: int, index: int, width: int) -> list[bytes]:
        """Return a tile of exactly `width` hashes. Raises ProofRejected, Unavailable."""
        tile = TilePath(level, index, width)
        data, have = self._tile(tile)
        if len(data) != have * HASH_BYTES:
            raise ProofRejected(f"{tile} has {len(data)} bytes, not {have} hashes of {HASH_BYTES}")
        return [data[at : at + HASH_BYTES] for at in range(0, width * HASH_BYTES, HASH_BYTES)]

    def entries(self, index: int, width: int) -> list[bytes]:
        """Return a bundle of exactly `width` entries. Raises ProofRejected, Malformed, Unavailable."""
        tile = TilePath(None, index, width)
        data, have = self._tile(tile)
        entries = layout.split_entries(data)
        if len(entries) != have:
            raise ProofRejected(f"{tile} has {len(entries)} entries, not {have}")
        return entries[:width]

    def consistency(self, size1: int, size2: int) -> list[bytes]:
        """Return the hashes of a consistency proof, for `merkle.check_consistency`. Raises NotFound, Unavailable."""
        view = self._ask(ConsistencyView, "/api/consistency", {"from": str(size1), "to": str(size2)})
        return [base64_bytes(value, "proof hash") for value in view.proof]

    def _tile(self, path: TilePath) -> tuple[bytes, int]:
        """Return a tile and its width: a partial one that is gone was completed meanwhile, and begins the full one."""
        bytes_max = TILE_WIDTH * (2 + ENTRY_BYTES_MAX if path.level is None else HASH_BYTES)
        try:
            return self._public(f"/{path}", bytes_max), path.width
        except (_MissingError, errors.NotFound) as error:
            if path.width == TILE_WIDTH:
                raise Unavailable(f"{path} is missing: {error}") from None
        full = TilePath(path.level, path.index, TILE_WIDTH)
        try:
            return self._public(f"/{full}", bytes_max), TILE_WIDTH
        except (_MissingError, errors.NotFound) as error:
            raise Unavailable(f"{path} is missing: {error}") from None

    # --- events ----------------------------------------------------------------------------------------------------

    def event(self, name: str) -> EventView:
        """Return an event by its seq, id or fingerprint. Raises NotFound, Unavailable."""
        view = self._ask(EventView, f"/api/events/{quote(name, safe='')}")
        if name.lower() not in (str(view.seq), view.id, view.fingerprint):
            raise Unavailable(
                f"{self._address} was asked for event {name}, and answers with event {view.seq}, {view.id}"
            )
        return view

    def events(self, parameters: Mapping[str, str]) -> PageView:
        """Return a page (parameters as of `GET /api/events`). Raises Malformed, Unavailable."""
        return self._ask(PageView, "/api/events", parameters)

    def proof(self, name: str) -> str:
        """Return the tlog-proof of an event, in the newest head. Raises NotFound, Unavailable."""
        return self._private(f"/api/events/{quote(name, safe='')}/proof", NOTE_BYTES_MAX).decode(errors="replace")

    def evidence(self, name: str) -> bytes:
        """Return the evidence file of an event, for `evidence.check_evidence`. Raises NotFound, Unavailable."""
        return self._private(f"/api/events/{quote(name, safe='')}/evidence", EVIDENCE_BYTES_MAX)

    def submit(
        self, submissions: Sequence[Mapping[str, Any]], *, atomic: bool = False, vkeys: Sequence[Vkey] = ()
    ) -> BatchReceipt:
        """Append submissions (as JSON has them), with their receipt; refused ones are problems in their places.

        The receipt is held against the submissions (ProofRejected); with `vkeys` its checkpoint must be signed by all of them too,
        and come after every other that this client saw: one is asked for before anything is submitted. Submissions without an
        id then get one here, so that no receipt of other events can be theirs.

        Tried again, after a pause, where the service is busy or does not answer; but only if each one has an id or is a
        signed claim: then a second arrival is recognised, and nothing stands twice. Raises the service's error, Unavailable.
        """
        before = None
        if vkeys:
            submissions = _named(submissions, self._now())
            before = Before(self._now(), self._seen or self.see(vkeys))
        safe = all("id" in each or "claim" in each for each in submissions)
        parts = [msgspec.json.encode(each) for each in submissions]
        path, tries = "/api/events?atomic=true" if atomic else "/api/events", TRIES_MAX if safe else 1
        answer = self._post(path, b"[" + b",".join(parts) + b"]", len(parts), tries)
        receipt, said = self._decoded(BatchReceipt, answer), [_said(part) for part in parts]
        try:
            if vkeys:
                self._newest(check_answer(receipt, said, vkeys, before))
            else:
                compare_answer(receipt, said)
        except ProofRejected as error:
            raise ProofRejected(f"the receipt of {self._address} does not hold: {error}") from None
        return receipt

    def see(self, vkeys: Sequence[Vkey]) -> Checkpoint:
        """Return the newest head, signed by all of `vkeys`, and remember it: receipts must come after it. Raises ProofRejected,
        Unavailable."""
        return self._newest(open_checkpoint(self.checkpoint(), vkeys))

    def _newest(self, checkpoint: Checkpoint) -> Checkpoint:
        """Remember a verified checkpoint; the newest of all. Raises ProofRejected for two of one size with different roots."""
        seen = self._seen
        if seen is not None and seen.size == checkpoint.size and seen.root != checkpoint.root:
            raise ProofRejected(f"two heads of size {seen.size}: {seen.root.hex()} and {checkpoint.root.hex()}")
        if seen is None or seen.size < checkpoint.size:
            self._seen = seen = checkpoint
        return seen

    # --- asking ----------------------------------------------------------------------------------------------------

    def _ask(self, kind: type[T], path: str, parameters: Mapping[str, str] | None = None) -> T:
        return self._decoded(kind, self._private(path, ANSWER_BYTES_MAX, parameters))

    def _decoded(self, kind: type[T], data: bytes) -> T:
        self._check_values(data)
        try:
            return msgspec.json.decode(data, type=kind)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise Unavailable(f"{self._address} does not answer like a ledger's service: {error}") from None

    def _check_values(self, data: bytes) -> None:
        """Raise Unavailable for JSON that would take much more memory than it has bytes."""
        if sum(data.count(sign) for sign in (b",", b"[", b"{")) > ANSWER_VALUES_MAX:
            raise Unavailable(f"{self._address} answers with more than {ANSWER_VALUES_MAX} values: ask for fewer")

    def _public(self, path: str, bytes_max: int) -> bytes:
        """Return what everyone may read: no credential goes along."""
        return self._exchanged("GET", path, Deadline(self._seconds), bytes_max)

    def _private(self, path: str, bytes_max: int, parameters: Mapping[str, str] | None = None) -> bytes:
        target = f"{path}?{urlencode(parameters)}" if parameters else path
        return self._exchanged("GET", target, Deadline(self._seconds), bytes_max, self._credential())

    def _post(self, path: str, body: bytes, count: int, tries: int) -> bytes:
        """Return the answer to a submission, tried again within one deadline."""
        deadline, pause = Deadline(self._seconds), FIRST_PAUSE_SECONDS
        headers = (*self._credential(), ("content-type", "application/json"))
        bytes_max = min(RECEIPT_BYTES_MAX, ANSWER_BYTES_MAX + RECEIPT_EVENT_BYTES * count + 4 * len(body))
        while True:
            try:
                return self._exchanged("POST", path, deadline, bytes_max, headers, body)
            except (Busy, Unavailable):
                tries -= 1
                if tries == 0 or deadline.left() <= pause:
                    raise
            self._pause(pause)
            pause *= 2

    def _credential(self) -> Headers:
        return (("x-api-key", self._key),) if self._key else ()

    def _exchanged(
        self, method: str, target: str, deadline: Deadline, bytes_max: int, headers: Headers = (), body: bytes = b""
    ) -> bytes:
        """Return the body of a good answer. Raises what the service states, Unavailable for everything else."""
        answer = self._transport.exchange(method, target, deadline, bytes_max=bytes_max, headers=headers, body=body)
        if answer.status in (HTTPStatus.OK, HTTPStatus.CREATED, HTTPStatus.MULTI_STATUS):
            return answer.body
        raise self._error_of(answer, target)

    def _error_of(self, answer: Answer, target: str) -> LedgerError:
        """Map a problem to the error that it states. What is not a problem states nothing: Unavailable."""
        try:
            problem = msgspec.json.decode(answer.body, type=Problem)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            problem = None
        if problem is None or problem.status != answer.status or answer.status < HTTPStatus.BAD_REQUEST:
            kind = _MissingError if answer.status == HTTPStatus.NOT_FOUND else Unavailable
            path = target.partition("?")[0][:200]
            return kind(f"{self._address} answers {_status_text(answer.status)} to {path}{_why(answer.status)}")
        branch = _SAID.get(problem.title, _BY_STATUS.get(problem.status, Unavailable))
        hint = f"; {self.hint}" if self.hint and problem.status == HTTPStatus.UNAUTHORIZED else ""
        return branch(f"{self._address} says: {problem.detail[:DETAIL_CHARS_MAX]}{hint}")

    def close(self) -> None:
        """Close its connections."""
        self._transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _named(submissions: Sequence[Mapping[str, Any]], now: int) -> list[Mapping[str, Any]]:
    """Give an id to each submission that has none and is not a signed claim."""
    fresh = new_ids(len(submissions), now)
    return [
        each if each.get("id") is not None or "claim" in each else {**each, "id": id_text(event_id)}
        for each, event_id in zip(submissions, fresh, strict=True)
    ]


def _said(data: bytes) -> Said | BadInput:
    try:
        return decode_json(data)
    except BadInput as error:
        return error


def _status_text(status: int) -> str:
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return str(status)


def _why(status: int) -> str:
    redirects = HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.BAD_REQUEST
    return ", and redirects are not followed" if redirects else ""

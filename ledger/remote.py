"""A log somewhere else, over HTTP: its public tiles, its events, and submitting to it. The one HTTP client of the house.

    log = RemoteLog("http://127.0.0.1:8420")
    note = log.checkpoint()                  signed bytes: verify them before believing anything
    entries = log.entries(0, 256)            a bundle of exactly so many, or an error

What comes back has the shape asked for and a bounded size; whether it is true is for the caller to verify. Errors of the
service come out as the errors that they were there.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self, TypeVar
from urllib.parse import quote

import httpx
import msgspec

from decision_dna.ledger import layout
from decision_dna.ledger.merkle import HASH_BYTES, TILE_WIDTH
from decision_dna.ledger.notes import Vkey
from decision_dna.ledger.receipts import check_batch_receipt
from decision_dna.ledger.tilepath import TilePath
from decision_dna.schemas import errors
from decision_dna.schemas.claims import ENTRY_BYTES_MAX
from decision_dna.schemas.errors import Busy, LedgerError, NotFound, ProofRejected, Unavailable
from decision_dna.schemas.evidence import EVIDENCE_BYTES_MAX
from decision_dna.schemas.receipts import BatchReceipt, Problem
from decision_dna.schemas.texts import base64_bytes
from decision_dna.schemas.views import ConsistencyView, EventView, PageView

NOTE_BYTES_MAX = 65_536
ANSWER_BYTES_MAX = 64 * 1024 * 1024
SECONDS_MAX = 30.0
TRIES_MAX = 4
FIRST_PAUSE_SECONDS = 0.25

T = TypeVar("T")

_BRANCHES = {
    name: branch
    for name, branch in vars(errors).items()
    if isinstance(branch, type) and issubclass(branch, LedgerError) and branch is not errors.CannotOpen
}


class RemoteLog:
    """A running service. Close it when done, or use it as a context. Not for several threads at once.

    `transport` and `pause` are seams: how bytes travel, and how it waits between tries.
    """

    def __init__(
        self,
        address: str,
        *,
        key: str = "",
        transport: httpx.BaseTransport | None = None,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        headers = {"x-api-key": key} if key else {}
        try:
            self._client = httpx.Client(base_url=address, headers=headers, timeout=SECONDS_MAX, transport=transport)
        except httpx.InvalidURL as error:
            raise errors.Malformed(f"not an address: {address!r}: {error}") from None
        self._address, self._pause = address, pause

    # --- the public log --------------------------------------------------------------------------------------------

    def checkpoint(self) -> bytes:
        """The newest signed head, as it stands; nothing in it is verified. Raises Unavailable."""
        return self._get("/checkpoint", NOTE_BYTES_MAX)

    def hashes(self, level: int, index: int, width: int) -> list[bytes]:
        """A tile of exactly `width` hashes. Raises NotFound, ProofRejected, Unavailable."""
        data = self._tile(TilePath(level, index, width))
        if len(data) % HASH_BYTES or len(data) < width * HASH_BYTES:
            raise ProofRejected(f"tile {level}/{index} has {len(data)} bytes, not {width} hashes of {HASH_BYTES}")
        return [data[at : at + HASH_BYTES] for at in range(0, width * HASH_BYTES, HASH_BYTES)]

    def entries(self, index: int, width: int) -> list[bytes]:
        """A bundle of exactly `width` entries. Raises NotFound, ProofRejected, Malformed, Unavailable."""
        entries = layout.split_entries(self._tile(TilePath(None, index, width)))
        if len(entries) < width:
            raise ProofRejected(f"entry bundle {index} has {len(entries)} entries, not {width}")
        return entries[:width]

    def consistency(self, size1: int, size2: int) -> list[bytes]:
        """The hashes of a consistency proof, for `merkle.check_consistency`. Raises NotFound, Unavailable."""
        view = self._ask(ConsistencyView, "/api/consistency", {"from": str(size1), "to": str(size2)})
        return [base64_bytes(value, "proof hash") for value in view.proof]

    def _tile(self, path: TilePath) -> bytes:
        """A partial tile that is gone was completed meanwhile: then the full one begins with it."""
        bytes_max = TILE_WIDTH * (2 + ENTRY_BYTES_MAX if path.level is None else HASH_BYTES)
        try:
            return self._get(f"/{path}", bytes_max)
        except NotFound:
            if path.width == TILE_WIDTH:
                raise
            return self._get(f"/{TilePath(path.level, path.index, TILE_WIDTH)}", bytes_max)

    # --- events ----------------------------------------------------------------------------------------------------

    def event(self, name: str) -> EventView:
        """An event by its seq, id or fingerprint. Raises NotFound, Unavailable."""
        return self._ask(EventView, f"/api/events/{quote(name, safe='')}")

    def events(self, parameters: Mapping[str, str]) -> PageView:
        """A page (parameters as of `GET /api/events`). Raises Malformed, Unavailable."""
        return self._ask(PageView, "/api/events", parameters)

    def proof(self, name: str) -> str:
        """The tlog-proof of an event, in the newest head. Raises NotFound, Unavailable."""
        return self._get(f"/api/events/{quote(name, safe='')}/proof", NOTE_BYTES_MAX).decode(errors="replace")

    def evidence(self, name: str) -> bytes:
        """The evidence file of an event, for `evidence.check_evidence`. Raises NotFound, Unavailable."""
        return self._get(f"/api/events/{quote(name, safe='')}/evidence", EVIDENCE_BYTES_MAX)

    def submit(
        self, submissions: Sequence[Mapping[str, Any]], *, atomic: bool = False, vkeys: Sequence[Vkey] = ()
    ) -> BatchReceipt:
        """Append submissions (as JSON has them), with their receipt; refused ones are problems in their places. With `vkeys`,
        the receipt is checked before it is given (ProofRejected).

        Tried again, after a pause, where the service is busy or does not answer; but only if each one has an id or is a
        signed claim: then a second arrival is recognised, and nothing stands twice. Raises the service's error, Unavailable.
        """
        body = msgspec.json.encode(list(submissions))
        safe = all("id" in each or "claim" in each for each in submissions)
        path = "/api/events?atomic=true" if atomic else "/api/events"
        headers = {"content-type": "application/json"}
        tries, pause = TRIES_MAX if safe else 1, FIRST_PAUSE_SECONDS
        while True:
            try:
                answer = self._request("POST", path, ANSWER_BYTES_MAX, content=body, headers=headers)
                break
            except (Busy, Unavailable):
                tries -= 1
                if tries == 0:
                    raise
            self._pause(pause)
            pause *= 2
        receipt = self._decoded(BatchReceipt, answer)
        if vkeys:
            check_batch_receipt(receipt, vkeys)
        return receipt

    # --- asking ----------------------------------------------------------------------------------------------------

    def _ask(self, kind: type[T], path: str, parameters: Mapping[str, str] | None = None) -> T:
        return self._decoded(kind, self._get(path, ANSWER_BYTES_MAX, parameters))

    def _decoded(self, kind: type[T], data: bytes) -> T:
        try:
            return msgspec.json.decode(data, type=kind)
        except (msgspec.DecodeError, RecursionError) as error:
            raise Unavailable(f"{self._address} does not answer like a ledger's service: {error}") from None

    def _get(self, path: str, bytes_max: int, parameters: Mapping[str, str] | None = None) -> bytes:
        return self._request("GET", path, bytes_max, params=parameters)

    def _request(self, method: str, path: str, bytes_max: int, **options: Any) -> bytes:
        """The body of a good answer. Raises what the service's problem says, Unavailable where there is no answer."""
        try:
            with self._client.stream(method, path, **options) as answer:
                body = _read(answer, bytes_max)
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError) as error:
            raise Unavailable(f"{self._address} does not answer: {error or type(error).__name__}") from None
        if answer.is_success:
            return body
        raise _error_of(answer.status_code, body)

    def close(self) -> None:
        """Close its connections."""
        self._client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _read(answer: httpx.Response, bytes_max: int) -> bytes:
    parts: list[bytes] = []
    size = 0
    for part in answer.iter_bytes():
        size += len(part)
        if size > bytes_max:
            raise Unavailable(f"an answer of more than {bytes_max} bytes to {answer.request.url}")
        parts.append(part)
    return b"".join(parts)


def _error_of(status: int, body: bytes) -> LedgerError:
    """The error that a problem is; where it is none of ours, by its status."""
    try:
        problem = msgspec.json.decode(body, type=Problem)
    except msgspec.DecodeError:
        problem = Problem("", "", status, f"the service answered {status}")
    by_status = {404: errors.NotFound, 409: errors.Conflict, 413: errors.TooLarge, 401: errors.Refused}
    other = by_status.get(status, Unavailable if status >= 500 else errors.BadInput)
    return _BRANCHES.get(problem.title, other)(problem.detail)

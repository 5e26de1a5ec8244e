"""A running service, asked over HTTP: what it answers, or our own errors."""

import os
from collections.abc import Callable
from typing import TypeVar

import httpx
import msgspec

from decision_dna.schemas.errors import Conflict, LedgerError, Malformed, NotFound, Refused, Unavailable
from decision_dna.schemas.receipts import BatchReceipt, Problem

SECONDS_MAX = 30.0
_BY_STATUS: dict[int, type[LedgerError]] = {400: Malformed, 401: Refused, 403: Refused, 404: NotFound, 409: Conflict}

T = TypeVar("T")
Parameters = dict[str, str | int]
Request = Callable[[httpx.Client], httpx.Response]


def ask(address: str, path: str, parameters: Parameters | None = None) -> bytes:
    """The body of an answer. Raises Unavailable where nobody answers, and what the service's problem says."""
    return _answered(lambda client: client.get(path, params=parameters), address)


def ask_for(kind: type[T], address: str, path: str, parameters: Parameters | None = None) -> T:
    """The same, decoded. Raises Unavailable for what no such service answers."""
    body = ask(address, path, parameters)
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.DecodeError as error:
        raise Unavailable(f"{address} does not answer like a ledger's service: {error}") from None


def submit(address: str, lines: bytes, *, atomic: bool) -> BatchReceipt:
    """Submissions as NDJSON, acknowledged. Raises Unavailable, and what the service refuses as a whole.

    A service beyond this machine wants its key: MASTER_API_KEY in the environment.
    """
    key = os.environ.get("MASTER_API_KEY")
    headers = {"content-type": "application/x-ndjson", **({"x-api-key": key} if key else {})}
    parameters = {"atomic": "true" if atomic else "false"}
    body = _answered(
        lambda client: client.post("/api/events", content=lines, params=parameters, headers=headers), address
    )
    try:
        return msgspec.json.decode(body, type=BatchReceipt)
    except msgspec.DecodeError as error:
        raise Unavailable(f"{address} does not answer like a ledger's service: {error}") from None


def _answered(request: Request, address: str) -> bytes:
    try:
        with httpx.Client(base_url=address, timeout=SECONDS_MAX) as client:
            answer = request(client)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise Unavailable(f"{address} does not answer: {error}") from None
    if answer.is_success:
        return answer.content
    raise _BY_STATUS.get(answer.status_code, Unavailable)(_detail(answer))


def _detail(answer: httpx.Response) -> str:
    try:
        return msgspec.json.decode(answer.content, type=Problem).detail
    except msgspec.DecodeError:
        return f"the service answered {answer.status_code}"

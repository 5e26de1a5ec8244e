"""Every error as a problem (RFC 9457), by one table: the status of a `LedgerError` is that of `schemas.errors.http_status`.

{"type":"urn:decision-dna:problem:id-conflict","title":"IdConflict","status":409,"detail":"id … stands at seq 7 …"}
"""

import logging
import re
from http import HTTPStatus
from typing import Any

import msgspec
from litestar import Request, Response
from litestar.exceptions import HTTPException, ValidationException

from decision_dna.schemas.errors import Busy, LedgerError, http_status
from decision_dna.schemas.receipts import Problem

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER_SECONDS = 1

_log = logging.getLogger(__name__)
_WORD = re.compile(r"(?<!^)(?=[A-Z])")


class RequestRefused(Exception):
    """What HTTP itself refuses, before the ledger has a say: method, media type, host, key."""

    def __init__(self, status: HTTPStatus, detail: str, allow: str = "") -> None:
        super().__init__(detail)
        self.status = status
        self.allow = allow


def problem_of(error: LedgerError) -> Problem:
    """The problem that an error of ours is."""
    name = type(error).__name__
    return Problem(_type(name), name, http_status(error), str(error))


def plain_problem(status: int, detail: str) -> Problem:
    """A problem that HTTP has a name for."""
    title = HTTPStatus(status).phrase
    return Problem(_type(title.title().replace(" ", "").replace("-", "")), title, status, detail)


def headers_of(error: Exception) -> dict[str, str]:
    """Return the headers that a refusal has beside its problem."""
    match error:
        case Busy():
            return {"retry-after": str(RETRY_AFTER_SECONDS)}
        case RequestRefused(status=HTTPStatus.UNAUTHORIZED):
            return {"www-authenticate": "Bearer"}
        case RequestRefused(status=HTTPStatus.METHOD_NOT_ALLOWED):
            return {"allow": error.allow}
    return {}


def problem_for(error: Exception) -> Problem:
    """The problem for anything that was raised; what nobody foresaw is logged, and told without its details."""
    match error:
        case LedgerError():
            return problem_of(error)
        case RequestRefused():
            return plain_problem(error.status, str(error))
        case ValidationException():
            return plain_problem(400, _validation(error))
        case HTTPException():
            return plain_problem(error.status_code, error.detail)
    _log.error("a request failed in a way that nobody foresaw", exc_info=error)
    return plain_problem(500, "the service failed: its log says why")


def respond(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """The handler of every exception of the application."""
    problem = problem_for(error)
    del request
    body = msgspec.json.encode(problem)
    return Response(body, status_code=problem.status, media_type=MEDIA_TYPE, headers=headers_of(error))


def _type(name: str) -> str:
    return f"urn:decision-dna:problem:{_WORD.sub('-', name).lower()}"


def _validation(error: ValidationException) -> str:
    """One sentence out of the framework's list."""
    found = error.extra if isinstance(error.extra, list) else []
    said = [f"{item.get('key', 'value')}: {item.get('message')}" for item in found if isinstance(item, dict)]
    return "; ".join(said) or error.detail

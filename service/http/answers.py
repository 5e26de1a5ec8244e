"""Complete answers of the routes in front of the framework, with the headers that every answer has."""

from collections.abc import Sequence
from http import HTTPStatus
from typing import NamedTuple

import msgspec

from decision_dna.service.http.problems import MEDIA_TYPE as PROBLEM
from decision_dna.service.http.problems import headers_of, problem_for

Headers = list[tuple[bytes, bytes]]
JSON = b"application/json"
NO_STORE = (b"cache-control", b"no-store")
SECURITY: Headers = [
    (b"x-content-type-options", b"nosniff"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"referrer-policy", b"no-referrer"),
]
ALWAYS: Headers = [*SECURITY, (b"cross-origin-resource-policy", b"same-origin"), NO_STORE]
"""Of every answer but those of the public log."""
PUBLIC: Headers = [
    *SECURITY,
    (b"cross-origin-resource-policy", b"cross-origin"),
    (b"access-control-allow-origin", b"*"),
]
"""Of every answer of the public log: pages of any origin may read it."""

encode_json = msgspec.json.Encoder().encode


class Whole(NamedTuple):
    """A complete answer: its own headers follow those that all answers of its kind have (`always`)."""

    status: int
    media: bytes
    body: bytes
    more: Sequence[tuple[bytes, bytes]] = ()
    always: Headers = ALWAYS


def refusal(error: Exception) -> Whole:
    """The answer to what was refused or failed. After a body that was too large the connection ends: the rest of it was not read."""
    problem = problem_for(error)
    more = [(name.encode(), value.encode()) for name, value in headers_of(error).items()]
    if problem.status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        more.append((b"connection", b"close"))
    return Whole(problem.status, PROBLEM.encode(), encode_json(problem), more)

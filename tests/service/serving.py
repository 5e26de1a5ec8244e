"""A real server over a real ledger, on loopback, for as long as a test lasts; and what tests send to it."""

import base64
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import msgspec

from decision_dna.engine.projections import PROJECTIONS, ProjectionFollower
from decision_dna.ledger.clock import ManualClock
from decision_dna.ledger.ids import new_ids
from decision_dna.ledger.ledger import Ledger
from decision_dna.ledger.plan import AuthorDraft
from decision_dna.schemas.receipts import Problem
from decision_dna.schemas.texts import id_text
from decision_dna.service.http.server import serving
from decision_dna.service.settings import Settings
from tests.ledger.samples import START, new_ledger

PROBLEM = "application/problem+json"
TRACE = "00-" + "a" * 32 + "-" + "b" * 16 + "-01"


class Service:
    """A server with its ledger and a client."""

    def __init__(self, ledger: Ledger, clock: ManualClock, address: str, client: httpx.Client) -> None:
        self.ledger, self.clock, self.address, self.client = ledger, clock, address, client

    def post(self, content: Any, media: str = "application/json", query: str = "", **headers: str) -> httpx.Response:
        """Submit; what is no bytes is sent as JSON."""
        body = content if isinstance(content, bytes) else msgspec.json.encode(content)
        return self.client.post(f"/api/events{query}", content=body, headers={"content-type": media, **headers})

    def get(self, path: str, **headers: str) -> httpx.Response:
        """Ask."""
        return self.client.get(path, headers=headers)

    def problem(self, answer: httpx.Response, status: int) -> Problem:
        """The problem that an answer is; nothing but a problem will do."""
        assert answer.status_code == status, answer.text
        assert answer.headers["content-type"] == PROBLEM
        problem = msgspec.json.decode(answer.content, type=Problem)
        assert problem.status == status
        assert problem.detail
        assert "Traceback" not in answer.text
        return problem


@contextmanager
def service(path: Path, **settings: Any) -> Iterator[Service]:
    """Under the policy of `tests.ledger.samples`: source `bot` needs its author, `raw` nobody, all others the notary.

    Genesis and a heartbeat stand already, so that the server adds none of its own.
    """
    ledger, clock = new_ledger(path / "d")
    ledger.heartbeat()
    projections = [ProjectionFollower(projection) for projection in PROJECTIONS]
    with (
        ledger,
        serving(ledger, Settings(port=0, **settings), projections) as address,
        httpx.Client(base_url=address, timeout=30) as client,
    ):
        yield Service(ledger, clock, address, client)


def event(number: int = 1, **fields: Any) -> dict[str, Any]:
    """A submission of a foreign type."""
    return {"type": "x.seen", "source": "dex", "payload": {"number": number, "what": "a thing"}, **fields}


def new_id(ms_after_start: int = 0) -> str:
    """A fresh id of that moment, as text."""
    return id_text(new_ids(1, START + ms_after_start * 1_000_000)[0])


def signed(draft: AuthorDraft) -> dict[str, Any]:
    """An author's claim, as JSON has it."""
    return {
        "claim": base64.b64encode(draft.claim).decode(),
        "salt": draft.salt.hex(),
        "signature": draft.signature.hex(),
        "key_id": draft.key_id.hex(),
        "payload": msgspec.msgpack.decode(draft.payload),
    }

"""A running service at the command line: the house's one HTTP client, with what only commands ask."""

import os
from collections.abc import Mapping
from typing import Any, Self
from urllib.parse import quote

from decision_dna.ledger.remote import RemoteLog
from decision_dna.schemas.evidence import EVIDENCE_BYTES_MAX
from decision_dna.schemas.views import LineageView


class Service(RemoteLog):
    """A service that may be asked as a person asks."""

    @classmethod
    def at(cls, address: str) -> Self:
        """With the key that a service beyond this machine wants, from MASTER_API_KEY. Raises Malformed."""
        return cls(address, key=os.environ.get("MASTER_API_KEY", ""))

    def lineage(self, name: str, parameters: Mapping[str, str]) -> LineageView:
        """Causes and effects of an event. Raises NotFound, Unavailable."""
        return self._ask(LineageView, f"/api/events/{quote(name, safe='')}/lineage", parameters)

    def event_evidence(self, name: str, *, payload: bool) -> bytes:
        """As `evidence`, with or without the payload. Raises NotFound, Unavailable."""
        path = f"/api/events/{quote(name, safe='')}/evidence"
        return self._get(path, EVIDENCE_BYTES_MAX, {"payload": "true" if payload else "false"})

    def run_evidence(self, stream: str, time_from: str, time_to: str) -> bytes:
        """That a run of a stream is complete, or that there was none. Raises NotFound, Unavailable."""
        path = f"/api/streams/{quote(stream, safe='/')}/evidence"
        return self._get(path, EVIDENCE_BYTES_MAX, {"from": time_from, "to": time_to})

    def health(self) -> dict[str, Any]:
        """Whether it is ready, and how process and disk are. Raises Unavailable."""
        return {
            **self._ask(dict[str, str], "/api/health/ready"),
            **self._ask(dict[str, Any], "/api/health/metrics/system"),
        }

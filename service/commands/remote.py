"""A running service at the command line: the house's one HTTP client, with what only commands ask.

Settings of the client, from the environment alone: no file in a folder may say where a key goes.

    DNA_DEADLINE_SECONDS    30    how long one call may take, with all its tries
    MASTER_API_KEY                the key of a service
    DNA_API_ORIGIN                the service that the key is for, such as https://ledger.example.org: it goes nowhere else
"""

import os
from collections.abc import Mapping
from typing import Any, NamedTuple, Self
from urllib.parse import quote

from decision_dna.ledger.exchange import parse_address
from decision_dna.ledger.remote import DEADLINE_SECONDS, RemoteLog
from decision_dna.schemas.errors import Malformed, Refused
from decision_dna.schemas.evidence import EVIDENCE_BYTES_MAX
from decision_dna.schemas.views import HealthView, LineageView

DEADLINE = "DNA_DEADLINE_SECONDS"
KEY = "MASTER_API_KEY"
KEY_ORIGIN = "DNA_API_ORIGIN"
DEADLINE_SECONDS_MAX = 86_400.0


class ClientSettings(NamedTuple):
    """What is in force: `key` is for the service at `key_origin` alone, and for none where that is empty."""

    deadline_seconds: float
    key: str
    key_origin: str

    def key_for(self, address: str) -> str:
        """Return the key where the address is of the service that it is for, else nothing. Raises Malformed."""
        return self.key if self.key_origin and parse_address(address).origin == self.key_origin else ""


def read_client_settings(environment: Mapping[str, str]) -> ClientSettings:
    """Return the client's settings. Raises Malformed."""
    text, origin = environment.get(DEADLINE, ""), environment.get(KEY_ORIGIN, "")
    try:
        seconds = float(text) if text else DEADLINE_SECONDS
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= DEADLINE_SECONDS_MAX:
        raise Malformed(f"{DEADLINE} is a number of seconds above 0, at most {DEADLINE_SECONDS_MAX:g}, not {text!r}")
    return ClientSettings(seconds, environment.get(KEY, ""), parse_address(origin).origin if origin else "")


def described_client(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the client's settings as text, the key hidden."""
    settings = read_client_settings(environment)
    key_for = settings.key_origin or "(no service)"
    return {"client_deadline_seconds": f"{settings.deadline_seconds:g}", "client_key_for": key_for}


class Service(RemoteLog):
    """A service that may be asked as a person asks."""

    @classmethod
    def at(cls, address: str) -> Self:
        """Return the client of an address, with the settings in force. Raises Malformed."""
        settings = read_client_settings(os.environ)
        service = cls(address, key=settings.key_for(address), deadline_seconds=settings.deadline_seconds)
        if settings.key and not settings.key_for(address):
            service.hint = f"{KEY} was not sent: {KEY_ORIGIN} does not name {parse_address(address).origin}"
        return service

    def lineage(self, name: str, parameters: Mapping[str, str]) -> LineageView:
        """Return causes and effects of an event. Raises NotFound, Unavailable."""
        return self._ask(LineageView, f"/api/events/{quote(name, safe='')}/lineage", parameters)

    def event_evidence(self, name: str, *, payload: bool) -> bytes:
        """Return evidence of an event, with or without its payload. Raises NotFound, Unavailable."""
        path = f"/api/events/{quote(name, safe='')}/evidence"
        return self._evidence(path, {"payload": "true" if payload else "false"})

    def run_evidence(self, stream: str, time_from: str, time_to: str) -> bytes:
        """Return evidence that a run of a stream is complete, or that there was none. Raises NotFound, Unavailable."""
        path = f"/api/streams/{quote(stream, safe='/')}/evidence"
        return self._evidence(path, {"from": time_from, "to": time_to})

    def _evidence(self, path: str, parameters: Mapping[str, str]) -> bytes:
        data = self._private(path, EVIDENCE_BYTES_MAX, parameters)
        self._check_values(data)
        return data

    def health(self) -> HealthView:
        """Return how each of its parts is. Raises Unavailable."""
        return self._ask(HealthView, "/api/health")

    def system(self) -> dict[str, Any]:
        """Return how process and disk are, if its metrics may be read. Raises Unavailable."""
        try:
            return self._ask(dict[str, Any], "/api/health/metrics/system")
        except Refused as error:
            return {"process": f"not shown: {error}"}

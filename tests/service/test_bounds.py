"""What clients can make a service's process spend, measured at a process of its own by real clients on real sockets.

The loads are bounded and end by themselves. The peak of the process's memory before and after one is compared.
"""

import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest

from decision_dna.ledger.opening import create, open_ledger
from decision_dna.ledger.plan import Draft
from decision_dna.schemas import codec
from decision_dna.schemas.texts import time_text
from tests.service.serving import event

MB = 1_000_000
PROCESS = """
import resource
import sys
from pathlib import Path

if files := int(sys.argv[2]):
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))
from decision_dna.ledger.opening import open_ledger
from decision_dna.service.http.server import run
from decision_dna.service.settings import Settings

with open_ledger(Path(sys.argv[1])) as ledger:
    run(ledger, Settings(port=0), ready=lambda address: print(address, flush=True))
"""
STILL_TURNS = 50
"""After so many answers to another client without a byte taken, a service has stopped reading."""


class Served(NamedTuple):
    """A service in a process of its own, and a client of it."""

    client: httpx.Client
    process: int

    def peak_bytes(self) -> int:
        """The most memory that the process has had. What it says itself counts the process that started it too, on Linux."""
        status = Path(f"/proc/{self.process}/status")
        if status.exists():
            return next(int(line.split()[1]) * 1024 for line in status.read_text().splitlines() if "VmHWM" in line)
        return int(self.client.get("/api/health/metrics/system").json()["memory_bytes_max"])


@contextmanager
def served(path: Path, files: int = 0) -> Iterator[Served]:
    """Until the context ends; the process may open so many files, if a number is given."""
    if not (path / "d").exists():
        create(path / "d", "example.org/bounds")
    command = [sys.executable, "-c", PROCESS, str(path / "d"), str(files)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            with httpx.Client(base_url=process.stdout.readline().strip(), timeout=60) as client:
                yield Served(client, process.pid)
        finally:
            process.terminate()


def connected(client: httpx.Client) -> socket.socket:
    url = client.base_url
    assert url.port is not None
    made = socket.create_connection((url.host, url.port))
    made.setblocking(False)
    return made


def send_unread(client: httpx.Client, data: bytes, connections: int) -> int:
    """Send `data` on so many connections that read nothing, until all is sent or no more is taken. Returns how much was."""
    with ExitStack() as stack:
        left = {stack.enter_context(connected(client)): memoryview(data) for _ in range(connections)}
        sent, still = 0, 0
        while any(left.values()) and still < STILL_TURNS:
            still += 1
            for each, rest in left.items():
                try:
                    taken = each.send(rest)
                except BlockingIOError:
                    continue
                left[each], sent, still = rest[taken:], sent + taken, 0
            assert client.get("/api/health").status_code == 200  # it serves others meanwhile
        return sent


@pytest.mark.parametrize("path", ["/api/events/1", "/api/events?limit=1", "/checkpoint"])
def test_server_memory_under_pipelined_requests_whose_answers_are_not_read(tmp_path: Path, path: str) -> None:
    """Six megabytes of requests on each of eight connections, and nobody reads: it cost 50 MB."""
    with served(tmp_path) as service:
        client = service.client
        assert client.post("/api/events", json=event()).status_code == 201
        request = f"GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n".encode()
        send_unread(client, request * 100, 1)
        before = service.peak_bytes()
        sent = send_unread(client, request * (6 * MB // len(request)), 8)
        assert sent > 8 * 256 * 1024
        assert service.peak_bytes() - before < 6 * MB


def test_server_memory_under_evidence_asked_for_by_many_at_once(tmp_path: Path) -> None:
    """Six runs of 4,000 events at once, 13 MB of evidence each, cost 190 MB; two at a time cost half of it."""
    create(tmp_path / "d", "example.org/bounds")
    with open_ledger(tmp_path / "d") as ledger:
        payload = codec.encode({"text": "a" * 1800})
        for _ in range(8):
            ledger.append([Draft("x.seen", 1, "dex", payload)] * 500)
        until = time_text(ledger.reader.event(4000).entry.recorded_at)
        ledger.heartbeat()
    with served(tmp_path) as service:
        client = service.client
        path = f"/api/streams/x/dex/evidence?from=2020-01-01T00:00:00Z&to={until}"
        before = service.peak_bytes()
        with ThreadPoolExecutor(6) as askers:
            answers = list(askers.map(lambda _: client.get(path), range(6)))
        assert {answer.status_code for answer in answers} <= {200, 404, 503}
        assert (answers[0].status_code, len(answers[0].content) > 10 * MB) == (200, True)
        assert service.peak_bytes() - before < 120 * MB


def test_server_that_may_open_few_files_serves_those_who_are_connected(tmp_path: Path) -> None:
    """Connections never take the last files: without those the store would fail, and the writer stop."""
    with served(tmp_path, files=200) as service, ExitStack() as stack:
        url = service.client.base_url
        assert url.port is not None
        told = 0
        for _ in range(250):
            each = stack.enter_context(socket.create_connection((url.host, url.port), timeout=30))
            each.sendall(b"GET /checkpoint HTTP/1.1\r\nhost: localhost\r\n\r\n")
            status = int(each.recv(65_536).split()[1])
            assert status in (200, 503)
            told += status == 503
        assert 100 <= told < 250
        assert service.client.post("/api/events", json=event()).status_code in (201, 503)

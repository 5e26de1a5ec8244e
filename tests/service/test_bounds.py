"""What clients can make a service's process spend, measured at a process of its own by real clients on real sockets.

The loads are bounded and end by themselves. The peak of the process's memory before and after one is compared.
"""

import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest

from decision_dna.ledger.opening import create
from tests.service.serving import event

MB = 1_000_000
PROCESS = """
import sys
from pathlib import Path
from typing import NamedTuple
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
def served(path: Path) -> Iterator[Served]:
    """Until the context ends."""
    create(path / "d", "example.org/bounds")
    with subprocess.Popen(
        [sys.executable, "-c", PROCESS, str(path / "d")], stdout=subprocess.PIPE, text=True
    ) as process:
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

"""The image's health check, as the Dockerfile has it, against a service of which something is true."""

import json
import os
import re
import subprocess
import sys

import pytest

from decision_dna.service.settings import Secret
from tests.data import ROOT
from tests.ledger.samples import SECOND
from tests.service.serving import event, service


def check_health(port: int | str) -> int:
    """The exit code of what HEALTHCHECK runs."""
    match = re.search(r"^HEALTHCHECK .*?CMD (\[.*\])$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    assert match is not None
    program, *arguments = json.loads(match[1])
    assert program == "python"
    environment = {**os.environ, "DNA_PORT": str(port), "http_proxy": "http://127.0.0.1:9"}
    done = subprocess.run([sys.executable, *arguments], env=environment, capture_output=True, timeout=60, check=False)
    return done.returncode


def port_of(address: str) -> str:
    return address.rpartition(":")[2]


def test_health_check_long_after_the_last_anchor_and_heartbeat(tmp_path) -> None:
    """An hour after the one anchor of `dna run` every container became unhealthy, though it served and appended."""
    with service(tmp_path) as served:
        served.clock.advance(86_400 * SECOND)
        assert served.post(event()).status_code in (201, 403, 503)
        assert check_health(port_of(served.address)) == 0
        port = port_of(served.address)
    assert check_health(port) == 1


@pytest.mark.parametrize("name", ["0.0.0.0"])
def test_health_check_needs_no_key(tmp_path, name: str) -> None:
    with service(tmp_path, host=name, beyond_loopback=True, master_api_key=Secret("k")) as served:
        assert check_health(port_of(served.address)) == 0


def test_image_sets_the_port_that_is_checked() -> None:
    assert "DNA_PORT=8420" in (ROOT / "Dockerfile").read_text()

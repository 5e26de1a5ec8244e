"""A disk that fills up under a service: callers are told, the process leaves with a code to start it again on, and it starts."""

import errno
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.cli.calling import done, is_one_sentence, new_ledger, submission, vkey_of
from tests.data import ROOT
from tests.faults import shim

WRITER_STOPPED = 75


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return shim.build(tmp_path_factory.mktemp("shim"))


@contextmanager
def started(library: Path, folder: Path, error: int, *arguments: object) -> Iterator["subprocess.Popen[str]"]:
    """A command whose disk below `folder` fails when it is told a line."""
    environment = os.environ | {"LD_PRELOAD": str(library), "DNA_FAULT_DIR": os.path.realpath(folder)}
    command = [sys.executable, "-m", "tests.service.failing_service", str(error), *map(str, arguments)]
    pipe = subprocess.PIPE
    with subprocess.Popen(
        command, stdin=pipe, stdout=pipe, stderr=pipe, text=True, cwd=ROOT, env=environment
    ) as process:
        watchdog = threading.Timer(120, process.kill)
        watchdog.start()
        try:
            yield process
        finally:
            watchdog.cancel()
            process.kill()


def said(process: "subprocess.Popen[str]", wanted: str) -> str:
    assert process.stdout is not None
    for line in process.stdout:
        if wanted in line:
            return line
    raise AssertionError(process.communicate()[1])


def fill_the_disk(process: "subprocess.Popen[str]") -> None:
    assert process.stdin is not None
    process.stdin.write("fail\n")
    process.stdin.flush()
    said(process, "armed")


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EIO])
def test_a_full_disk_ends_the_service_with_a_code_to_restart_on(error: int, library: Path, tmp_path: Path) -> None:
    """ENOSPC under `dna serve`: the caller gets 503, the process exits with 75, and the next start serves what was acknowledged."""
    path = new_ledger(tmp_path, 2)
    with started(library, path, error, "serve", path, "--port", 0, "--json") as service:
        address = json.loads(said(service, "address"))["address"]
        with httpx.Client(base_url=address, timeout=60) as client:
            acknowledged = client.post("/api/events", json=submission(10))
            assert acknowledged.status_code == 201
            fill_the_disk(service)
            refused = client.post("/api/events", json=submission(11))
            assert refused.status_code == 503
            assert "the writer has stopped" in refused.json()["detail"]
        _, err = service.communicate()
    assert (service.returncode, is_one_sentence(err)) == (WRITER_STOPPED, True), err
    assert "the writer has stopped" in err
    size = done("status", path, "--json").json["size"]
    assert size > acknowledged.json()["seq"]
    done("heartbeat", path)
    done("verify", path, "--key", vkey_of(path))


def test_a_full_disk_ends_an_idle_service_at_its_next_heartbeat(library: Path, tmp_path: Path) -> None:
    """Nobody appends: the service's own heartbeat meets the full disk, and it leaves with the same code."""
    (tmp_path / "policy.json").write_text('{"heartbeat_seconds_max": 2}')
    path = new_ledger(tmp_path, policy=tmp_path / "policy.json")
    with started(library, path, errno.ENOSPC, "serve", path, "--port", 0, "--json") as service:
        said(service, "address")
        fill_the_disk(service)
        _, err = service.communicate()
    assert (service.returncode, is_one_sentence(err)) == (WRITER_STOPPED, True), err
    done("heartbeat", path)


def test_a_full_disk_ends_the_main_job_with_a_code_to_restart_on(library: Path, tmp_path: Path) -> None:
    """The same under `dna run`, which serves while it watches."""
    path = new_ledger(tmp_path)
    (tmp_path / "blocks").mkdir()
    arguments = ("run", path, "--blocks", tmp_path / "blocks", "--json")
    with started(library, path, errno.ENOSPC, *arguments) as service:
        address = json.loads(said(service, "address"))["address"]
        said(service, "holds")
        fill_the_disk(service)
        refused = httpx.post(f"{address}/api/events", json=submission(11), timeout=60)
        assert refused.status_code == 503
        _, err = service.communicate()
    assert (service.returncode, is_one_sentence(err)) == (WRITER_STOPPED, True), err
    done("heartbeat", path)
    done("verify", path, "--key", vkey_of(path))

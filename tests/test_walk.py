"""One event's walk through every room, by the installed command, with a kill in between:

block file → observation → detection → entry → index, projection and live tail → state → heartbeat → checkpoint → anchor →
evidence → `dna check` in another folder; `dna replay` is the same before and after `kill -9`.
"""

import http.client
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from decision_dna.engine.scenarios import write_blocks
from tests.data import shared

DNA = [str(Path(sys.executable).parent / "dna")]


def dna(folder: Path, *words: str) -> str:
    done = subprocess.run([*DNA, *words], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, (words, done.stdout, done.stderr)
    return done.stdout


def dna_json(folder: Path, *words: str) -> Any:
    return json.loads(dna(folder, *words, "--json"))


@contextmanager
def running(folder: Path, blocks: Path) -> Iterator[tuple[subprocess.Popen[str], http.client.HTTPConnection]]:
    """The main job, serving; its first line is its address. Killed at the end, without a word."""
    command = [*DNA, "run", "d", "--blocks", str(blocks), "--json"]
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True) as job:
        try:
            assert job.stdout is not None
            address = json.loads(job.stdout.readline())["address"]
            with closing(http.client.HTTPConnection(urlsplit(address).netloc, timeout=60)) as connection:
                yield job, connection
        finally:
            job.kill()


def until_verified(job: subprocess.Popen[str]) -> dict[str, Any]:
    assert job.stdout is not None
    for line in job.stdout:
        said = json.loads(line)
        if "holds" in said:
            return said
    raise AssertionError("the job ended without verifying")


def live_types(connection: http.client.HTTPConnection, from_seq: int, count: int) -> list[str]:
    """The types of the next `count` events on the live stream."""
    connection.request("GET", f"/api/stream?from_seq={from_seq}")
    types: list[str] = []
    with connection.getresponse() as answer:
        assert answer.status == 200
        while len(types) < count:
            line = answer.readline().decode()
            assert line, "the stream ended"
            if (
                line.startswith("data:")
                and (event := json.loads(line[5:])).get("type", "").partition(".")[0] in FAMILIES
            ):
                types.append(event["type"])
    return types


FAMILIES = ("ledger", "observation", "detection", "engine", "anchor", "x")


def test_the_walk(tmp_path: Path) -> None:
    recorded = shared("data/sandwiches")
    blocks = write_blocks(tmp_path / "made", 1, seed=11)[0].parent
    dna(tmp_path, "init", "d", "--origin", "example.org/walk")
    with running(tmp_path, recorded) as (job, connection):
        assert until_verified(job)["holds"]
        types = live_types(connection, 0, 4)
        assert types[0] == "ledger.genesis"
        assert {"observation.block", "detection.sandwich"} <= set(types)
        # killed here, with kill -9
    before = dna_json(tmp_path, "replay", "d")
    assert [each["outcome"] for each in before["compared"]] == ["equal"]
    with running(tmp_path, blocks) as (job, _):
        assert until_verified(job)["holds"]
    after = dna_json(tmp_path, "replay", "d", "--to", str(before["as_of"]))
    assert (after["root"], after["entries"]) == (before["root"], before["entries"])
    whole = dna_json(tmp_path, "replay", "d")
    assert [each["outcome"] for each in whole["compared"]] == ["equal", "equal"]

    found = dna_json(tmp_path, "query", "d", "--type", "detection.sandwich", "--subject", SANDWICHED)
    (event,) = found["events"]
    assert event["payload"]["profit_lamports"] == 6_304_978
    key = (tmp_path / "d.vkey").read_text().strip()
    anchors = dna_json(tmp_path, "anchor", "list", "d")
    assert len(anchors["anchors"] if isinstance(anchors, dict) else anchors) == 2
    report = dna_json(tmp_path, "verify", "d", "--key", key)
    statuses = {step["step"]: step["status"] for step in report["steps"]}
    assert [statuses[step] for step in (1, 2, 3, 4, 5, 6, 7, 10)] == ["pass"] * 8
    assert statuses[9] == "inconclusive"  # the bytes hold; the chain was not asked

    dna(tmp_path, "prove", "d", str(event["seq"]), "-o", "e.json")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    shutil.move(tmp_path / "e.json", elsewhere / "e.json")
    shutil.rmtree(tmp_path / "d")
    assert "HOLDS" in dna(elsewhere, "check", "e.json", "--key", key)


SANDWICHED = "8wYJxhwgCr98ghpEyUrTzAL2BhpENSr5NNrtdPULDUk8/CydQJK7dLeDxYh24J3ZwBzDq1N9taEfMgwQsu7BzLpbJ"
"""The pool of the recorded sandwich."""

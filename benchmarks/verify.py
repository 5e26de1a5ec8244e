"""How fast a ledger is verified and opened, and what it takes on disk."""

import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.append import rate
from benchmarks.load import BATCH, decode_request, decode_signed, new_ledger, requests, several, signed_requests
from decision_dna.ledger.folder import verify_folder
from decision_dna.ledger.followers import Followers
from decision_dna.ledger.indexes import IndexFollower
from decision_dna.ledger.ledger import Ledger
from decision_dna.ledger.opening import open_ledger
from decision_dna.ledger.store import FAMILIES


def verified(ledger_path: Path, events: int) -> float:
    """Events a second of the whole verification, on both cores."""
    start = time.perf_counter()
    report = verify_folder(ledger_path, None, processes=2)
    seconds = time.perf_counter() - start
    if not report.holds or report.size < events:
        raise SystemExit(f"the ledger does not hold: {report.findings[:3]}")
    return report.size / seconds


def opened(path: Path) -> float:
    """Seconds to open for writing."""
    start = time.perf_counter()
    with open_ledger(path):
        return time.perf_counter() - start


def compacted_bytes(ledger: Ledger, path: Path) -> float:
    """Bytes on disk for each event, all indexes built, every family compacted."""
    Followers(ledger.store, ledger.reader, [IndexFollower()]).catch_up()
    for family in FAMILIES:
        ledger.store.compact(family)
    return sum(file.stat().st_size for file in (path / "db").rglob("*.sst")) / ledger.reader.size


def run(batches: int = 1500, times: int = 3) -> dict[str, Any]:
    """Verification of unsigned and signed logs, each `times` times, and disk for notarised events."""
    result: dict[str, Any] = {}
    kinds = {
        "none": (decode_request, requests(batches, "raw")),
        "notary": (decode_request, requests(batches // 5, "engine", kinds=batches)),
        "author": (decode_signed, signed_requests(batches // 5)),
    }
    for name, (decode, bodies) in kinds.items():
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "d"
            with new_ledger(path) as ledger:
                preparers = ledger.preparers(1)
                rate(ledger, preparers, decode, bodies)
                preparers.close()
                if name == "notary":
                    result["disk_bytes_per_notarised_event"] = compacted_bytes(ledger, path)
            result[f"verify_{name}"] = several(times, partial(verified, path, len(bodies) * BATCH))
            result[f"open_{name}_s"] = several(times, partial(opened, path))
    return result


if __name__ == "__main__":
    print(run())

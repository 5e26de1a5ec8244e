"""`make bench`: the rows of the targets that were asked for, printed, and kept as JSON with the machine that made them.

    python -m benchmarks                   all rows but the big ledger
    python -m benchmarks append detect     some of them
    python -m benchmarks big --events N    ten million events unless said otherwise: append, growth, queries, verify, open, disk

Each run writes benchmarks/results/<UTC time>-<rows>.json.
"""

import argparse
import importlib
import json
import os
import platform
import subprocess
import tempfile
import time
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
ROWS = ("append", "verify", "detect", "http")
PACKAGES = ("rocksdict", "blake3", "msgspec", "pynacl", "litestar", "uvicorn")


def machine() -> dict[str, Any]:
    """What the figures were made on, with a probe of what a durable write costs there."""
    cpu = next(
        (line.split(":")[1].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")), "unknown"
    )
    memory = next((line.split()[1] for line in _lines("/proc/meminfo") if line.startswith("MemTotal")), "0")
    return {
        "cpu": cpu,
        "cores": os.cpu_count(),
        "memory_gib": round(int(memory) / 2**20, 1),
        "python": platform.python_version(),
        "kernel": platform.release(),
        "load_before": os.getloadavg()[0],
        "packages": {name: version(name) for name in PACKAGES},
        "fsync_4k_ms": fsync_probe(),
    }


def _lines(path: str) -> list[str]:
    return Path(path).read_text().splitlines() if Path(path).exists() else []


def fsync_probe(count: int = 200) -> dict[str, float]:
    """Milliseconds to append 4 KiB to a file and sync it."""
    times = []
    with tempfile.NamedTemporaryFile() as file:
        for _ in range(count):
            start = time.perf_counter()
            file.write(bytes(4096))
            file.flush()
            os.fdatasync(file.fileno())
            times.append((time.perf_counter() - start) * 1e3)
    times.sort()
    return {"p50": round(times[count // 2], 3), "p99": round(times[count * 99 // 100], 3)}


def commit() -> str:
    """What was measured."""
    described = subprocess.run(["git", "describe", "--always", "--dirty"], capture_output=True, text=True, check=False)
    return described.stdout.strip() or "unknown"


def main() -> None:
    """Run rows, print and keep them."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__.partition("\n")[0])
    parser.add_argument("rows", nargs="*", choices=[*ROWS, "big", []], default=list(ROWS))
    parser.add_argument("--events", type=int, default=10_000_000, help="size of the big ledger")
    parser.add_argument("--folder", type=Path, help="where the big ledger is built (default: a temporary folder)")
    given = parser.parse_args()
    result: dict[str, Any] = {
        "commit": commit(),
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine(),
    }
    for row in given.rows:
        module = importlib.import_module(f"benchmarks.{row}")
        result[row] = module.run(given.events, given.folder) if row == "big" else module.run()
        print(row, json.dumps(result[row], indent=2), flush=True)
    name = f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{'-'.join(given.rows)}.json"
    (RESULTS / name).write_text(json.dumps(result, indent=2) + "\n")
    print(f"kept as benchmarks/results/{name}")


if __name__ == "__main__":
    main()

"""How long a block takes, from a node's answer to what is found in it: parse, detect, both, and the digest.

    python -m benchmarks.detect

Milliseconds of process time (other jobs on the machine count less that way), median and least over repeats, on the two
real blocks where they are at hand, and on a made block of 1,500 transactions where solders is. `untyped_json_ms`, the
plain decoding of the same text by msgspec, tells how fast the machine was meanwhile: compare as ratios.
"""

import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import msgspec

from decision_dna.engine.answers import read_block
from decision_dna.engine.blocks import digest
from decision_dna.engine.detection import detect
from decision_dna.engine.watch import decide

REPEATS = 30
DATA = Path(os.environ.get("DNA_DATA", Path(__file__).resolve().parent.parent.parent / "shared"))


def run() -> dict[str, dict[str, Any]]:
    """By block: its encoding's bytes, transactions, and `{median, least}` in milliseconds of each step."""
    return {name: _measure(text) for name, text in _answers().items()}


def _answers() -> dict[str, bytes]:
    answers = {}
    for slot in (285_000_037, 254_170_887):
        path = DATA / "data" / "blocks" / f"slot_{slot}.json"
        if path.exists():
            answers[f"slot {slot}"] = path.read_bytes()
    if find_spec("solders") is not None:
        from decision_dna.engine.scenarios import make_block

        for encoding in ("json", "base64"):
            answers[f"made, {encoding}"] = make_block(1, transactions_count=1_500, encoding=encoding).answer
    return answers


def _measure(text: bytes) -> dict[str, Any]:
    block = read_block(text)
    return {
        "bytes": len(text),
        "transactions": len(block.transactions),
        "untyped_json_ms": _times(lambda: msgspec.json.decode(text)),
        "parse_ms": _times(lambda: read_block(text)),
        "detect_ms": _times(lambda: detect(block)),
        "parse_and_detect_ms": _times(lambda: detect(read_block(text))),
        "digest_ms": _times(lambda: digest(block)),
        "decide_ms": _times(lambda: decide(block)),
    }


def _times(step: Callable[[], object]) -> dict[str, float]:
    times = []
    for _ in range(REPEATS):
        start = time.process_time_ns()
        step()
        times.append((time.process_time_ns() - start) / 1e6)
    return {"median": round(statistics.median(times), 2), "least": round(min(times), 2)}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(run(), indent=1) + "\n")

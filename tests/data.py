"""Where the real data lie: beside the repository, or where DNA_DATA says. Read from there, never copied."""

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


def shared(relative: str) -> Path:
    """A path below the shared data; skips where it is absent, fails where DNA_REQUIRE_DATA=1."""
    path = Path(os.environ.get("DNA_DATA", ROOT.parent / "shared")) / relative
    if path.exists():
        return path
    if os.environ.get("DNA_REQUIRE_DATA") == "1":
        pytest.fail(f"real data required, but {relative} is absent (DNA_DATA says where it lies)")
    return pytest.skip(f"real data absent: {relative} (DNA_DATA says where it lies)")

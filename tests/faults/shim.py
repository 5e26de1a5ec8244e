"""The disk that fails on demand (failing_io.c): building it, starting a process on it, and arming it from inside.

library = build(folder)
run(library, folder_of_the_files, "tests.ledger.store_processes", "one-commit", ...)   in the test
Shim().arm(2, FAIL_ONCE, errno.EIO)                                                    in the process it starts
"""

import ctypes
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.data import ROOT

FAIL_ONCE, FAIL_ON, KILL_BEFORE, KILL_AFTER, TORN = range(5)
"""What happens to the call: an error once, an error from then on, death before it, after it, or half-way through."""

NEVER = 0
SECONDS_MAX = 120


def build(folder: Path) -> Path:
    """The library, compiled into `folder`. Skips the test where there is no C compiler."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None or not sys.platform.startswith("linux"):
        pytest.skip("failing disk calls need Linux and a C compiler")
    library = folder / "failing_io.so"
    source = Path(__file__).with_name("failing_io.c")
    subprocess.run(
        [compiler, "-Wall", "-Wextra", "-Werror", "-O1", "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True
    )
    return library


def run(library: Path, folder: Path, module: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a module of the tests in a process of its own whose calls on files below `folder` can fail."""
    environment = os.environ | {"LD_PRELOAD": str(library), "DNA_FAULT_DIR": os.path.realpath(folder)}
    return subprocess.run(
        [sys.executable, "-m", module, *arguments],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=SECONDS_MAX,
        check=False,
    )


class Shim:
    """The library inside the process that it is preloaded into."""

    def __init__(self) -> None:
        self._library = ctypes.CDLL(None)
        self._library.dna_fault_arm.argtypes = [ctypes.c_long, ctypes.c_int, ctypes.c_int]
        self._library.dna_fault_count.restype = ctypes.c_long

    def arm(self, nth: int, action: int = FAIL_ONCE, error: int = 0) -> None:
        """Count from here on, and let `action` happen to the `nth` call; NEVER only counts."""
        self._library.dna_fault_arm(nth, action, error)

    def count(self) -> int:
        """Calls since `arm`."""
        return int(self._library.dna_fault_count())

    def name(self) -> str:
        """The call that failed, and its file; empty where none has."""
        buffer = ctypes.create_string_buffer(4096)
        self._library.dna_fault_name(buffer, ctypes.c_size_t(len(buffer)))
        return buffer.value.decode()

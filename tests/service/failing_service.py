"""A command in a process whose disk fails on demand: `python -m tests.service.failing_service ERRNO ARGUMENTS…`.

At the first line on standard input every write and sync below DNA_FAULT_DIR fails with ERRNO, from then on.
"""

import sys
import threading

from decision_dna.service.cli import main
from tests.faults.shim import FAIL_ON, Shim


def fail_at_a_line(error: int) -> None:
    """Arm the fault when the test says so."""
    if sys.stdin.readline():
        Shim().arm(1, FAIL_ON, error)
        sys.stdout.write("armed\n")
        sys.stdout.flush()


if __name__ == "__main__":
    threading.Thread(target=fail_at_a_line, args=(int(sys.argv[1]),), daemon=True).start()
    sys.exit(main(sys.argv[2:]))

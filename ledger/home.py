"""The home of a lock: the machine and the file that the last writer used, so that a second start of a copied ledger is noticed.

    home_of(Path("ledger/lock/head.sqlite"))     Home(machine="3f0c…", inode="262151", born=1790000000000000000)

A copy is another file: its inode and its time of birth differ. Both stay when the folder is moved within a file system.
The machine tells a copied disk. What is not known ("" or 0) is not compared. This guards against accidents: whoever can
write the lock can write its home too.
"""

import ctypes
import hashlib
import hmac
import os
import struct
import sys
from pathlib import Path

import msgspec

MACHINE_ID_FILES = (Path("/etc/machine-id"), Path("/var/lib/dbus/machine-id"))
_CONTEXT = b"decision-dna/v1/host"
_AT_FDCWD, _STATX_BTIME, _BTIME_AT, _STATX_BYTES = -100, 0x800, 80, 256


class Home(msgspec.Struct, frozen=True):
    """Machine (a keyed hash of its id; "" if it has none), inode, and birth of the file in ns (0 if unknown)."""

    machine: str
    inode: str
    born: int

    def differs_from(self, other: "Home") -> str:
        """What tells the two apart: "machine", "file", or "" for one home."""
        if self.machine and other.machine and self.machine != other.machine:
            return "machine"
        is_reborn = self.born and other.born and self.born != other.born
        return "file" if self.inode != other.inode or is_reborn else ""

    def knows_more_than(self, other: "Home") -> bool:
        """Whether it has a machine or a birth that the other lacks."""
        return bool(self.machine and not other.machine) or bool(self.born and not other.born)


def home_of(file: Path, machine: str | None = None) -> Home:
    """The home that a lock file has now, on this machine or on the one given. Raises OSError."""
    return Home(machine_identity() if machine is None else machine, str(file.stat().st_ino), _born(file))


def machine_identity(files: tuple[Path, ...] = MACHINE_ID_FILES) -> str:
    """32 hex digits of HMAC-SHA-256 under the machine's id, which itself is confidential; "" if the machine has no id."""
    for file in files:
        try:
            text = file.read_text().strip()
            machine_id = bytes.fromhex(text)
        except (OSError, ValueError):
            continue
        if len(machine_id) == 16 and any(machine_id):
            return hmac.new(machine_id, _CONTEXT, hashlib.sha256).hexdigest()[:32]
    return ""


def _born(file: Path) -> int:
    """When the file was made, in ns; 0 if the system does not tell."""
    told = getattr(file.stat(), "st_birthtime", None)  # macOS and the BSDs
    if told is not None:
        return int(told * 10**9)
    try:
        statx = ctypes.CDLL(None).statx
    except (OSError, AttributeError):
        return 0
    answer = ctypes.create_string_buffer(_STATX_BYTES)
    if statx(_AT_FDCWD, os.fsencode(file), 0, _STATX_BTIME, answer) != 0:
        return 0
    if not int.from_bytes(answer.raw[:4], sys.byteorder) & _STATX_BTIME:
        return 0
    seconds, nanoseconds = struct.unpack_from("=qI", answer, _BTIME_AT)
    return int(seconds) * 10**9 + int(nanoseconds)

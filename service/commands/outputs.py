"""Files that commands write: there as a whole or not at all, and a place that cannot be written is said before the work begins.

The bytes go into a file of their own beside it (`NAME.<random>.part`), which takes the name at the end: of two writers the last
one wins, whole. If the process dies in between, what stood under the name still stands, and the part is left behind. What is no
file (a terminal, a pipe) is written as it is.
"""

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Literal

from decision_dna.schemas.errors import Unavailable

PRIVATE = 0o600
"""The mode of files that hold payloads: payloads are private."""


@contextmanager
def output(path: Path, *, mode: int = 0o666) -> Iterator[BinaryIO]:
    """A file to be written; where nothing was written to it, the place stays as it was. Raises Unavailable for a place that cannot be written.

    A new file gets `mode`, less the umask: `PRIVATE` for what holds payloads. A file that is replaced keeps its own.
    """
    try:
        if path.exists() and not path.is_file():
            with _opened(path, path, "wb", mode) as file:
                yield file
        else:
            yield from _beside(path, mode)
    except OSError as error:
        if error.filename is not None:
            raise
        raise Unavailable(f"{path} cannot be written: {error.strerror}") from None  # only a handle has no name


def _beside(path: Path, mode: int) -> Iterator[BinaryIO]:
    try:
        place = path.resolve()
    except RuntimeError:  # as Python before 3.13 calls it
        raise Unavailable(f"{path} cannot be written: it is a link to itself") from None
    part = place.with_name(f"{place.name}.{secrets.token_hex(4)}.part")
    file = _opened(part, path, "xb", mode)
    try:
        with file:
            if place.exists():
                shutil.copymode(place, part)  # a file that others could not read stays one
            yield file
            written = file.tell()
            file.flush()
            os.fsync(file.fileno())
        if written:
            part.replace(place)
    finally:
        part.unlink(missing_ok=True)


def check_folder(path: Path) -> None:
    """Raise Unavailable where there is no folder in which `path` could be made."""
    if not path.absolute().parent.is_dir():
        raise Unavailable(f"{path} cannot be written: {path.absolute().parent} is no folder")


def _opened(path: Path, said: Path, how: Literal["wb", "xb"], mode: int) -> BinaryIO:
    try:
        return open(path, how, opener=lambda name, flags: os.open(name, flags, mode))  # Path.open takes no opener
    except OSError as error:
        raise Unavailable(f"{said} cannot be written: {error.strerror}") from None

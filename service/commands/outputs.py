"""Files that commands write: there as a whole or not at all, and a place that cannot be written is said before the work begins.

The bytes go into `NAME.part` beside the file, which takes its name at the end. If the process dies in between, what stood under
the name still stands. What is no file (a terminal, a pipe) is written as it is.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from decision_dna.schemas.errors import Unavailable


@contextmanager
def output(path: Path) -> Iterator[BinaryIO]:
    """A file to be written; where nothing was written to it, the place stays as it was. Raises Unavailable for a place that cannot be written."""
    if path.exists() and not path.is_file():
        with _opened(path, path) as direct:
            yield direct
        return
    place = path.resolve()
    part = place.with_name(place.name + ".part")
    opened = _opened(part, path)
    try:
        with opened as file:
            yield file
            written = file.tell()
        if written:
            part.replace(place)
    finally:
        part.unlink(missing_ok=True)


def check_folder(path: Path) -> None:
    """Raise Unavailable where there is no folder in which `path` could be made."""
    if not path.absolute().parent.is_dir():
        raise Unavailable(f"{path} cannot be written: {path.absolute().parent} is no folder")


def _opened(path: Path, said: Path) -> BinaryIO:
    try:
        return path.open("wb")
    except OSError as error:
        raise Unavailable(f"{said} cannot be written: {error.strerror}") from None

"""The tar file of a backup: packed with a manifest, and unpacked only if it is what the manifest says.

    manifest.json    {"files":{"db/000012.sst":1741,…,"head":182},"format":"decision-dna/backup@v1"}
    head             the newest head that the database covers
    db/…             the database, flat

Everything is checked before a byte is written: the headers alone tell names, kinds and sizes. Names are a whitelist, so no
member can lie outside; links, devices and sparse files are refused. A compressed archive (gzip or bzip2) declares at most
`RATIO_MAX` times its own size.
"""

import bz2
import gzip
import os
import re
import shutil
import tarfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, cast

import msgspec

from decision_dna.schemas.codec import decode_json
from decision_dna.schemas.errors import BadInput, Malformed, Unavailable

FORMAT = "decision-dna/backup@v1"
MANIFEST = "manifest.json"
MEMBERS_MAX = 100_000
HEAD_BYTES_MAX = 65_536
MANIFEST_BYTES_MAX = 16 * 1024 * 1024
RATIO_MAX = 64
SLACK_BYTES = 16 * 1024 * 1024
"""An archive of a few kilobytes may still declare so much; and so much of the disk stays free."""
PIECE_BYTES = 256 * 1024
"""The most that is read at once: a header that says more is refused before it is held in memory."""
_NAME = re.compile(r"head|manifest\.json|db/[A-Za-z0-9._-]{1,128}")

Sizes = dict[str, int]
"""path below the backup → bytes"""


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a backup holds, but for the manifest itself."""

    files: Sizes
    format: str


_manifests = msgspec.json.Decoder(Manifest)


def pack(folder: Path) -> Path:
    """A tar file beside a folder with the same contents, of mode 0600."""
    packed = folder.with_suffix(".tar")
    with tarfile.open(packed, "w") as tar:
        tar.add(folder, arcname=".")
    packed.chmod(0o600)
    return packed


def write_manifest(folder: Path) -> None:
    """Write the manifest of what lies in a folder now."""
    manifest = Manifest(dict(sorted(_sizes_in(folder).items())), FORMAT)
    (folder / MANIFEST).write_bytes(msgspec.json.encode(manifest))


def check_folder_is_whole(folder: Path, needed_in: Path) -> None:
    """Raise Malformed unless a backup's folder is what its manifest says (older ones have none); Unavailable if the disk is too full."""
    sizes = _sizes_in(folder)
    if MANIFEST in sizes:
        if sizes[MANIFEST] > MANIFEST_BYTES_MAX:
            raise Malformed(f"{folder} is no backup: its manifest has {sizes[MANIFEST]} bytes")
        _check_manifest((folder / MANIFEST).read_bytes(), sizes, folder)
    _check_room(sum(sizes.values()), needed_in)


def unpack(packed: Path, folder: Path) -> None:
    """Unpack a backup into a new folder, after a look at all of it. Raises Malformed, Unavailable; nothing is written then."""
    try:
        sizes, manifest = _declared(packed)
        if manifest is None:
            raise Malformed(
                f"{packed} is no backup: it has no {MANIFEST} (one of an older version: unpack it yourself)"
            )
        _check_manifest(manifest, sizes, packed)
        _check_room(sum(sizes.values()), folder.parent)
        (folder / "db").mkdir(mode=0o700, parents=True)
        with _opened(packed) as tar:
            for member, name in _members(tar, packed):
                if name and sizes.get(name) != member.size:
                    raise Malformed(f"{packed} changed while it was read")
                if name:
                    _write(tar, member, folder / name)
    except (tarfile.TarError, EOFError, zlib.error, RecursionError, ValueError) as error:
        raise Malformed(f"{packed} is no backup: it is neither a folder nor a whole tar file ({error})") from None
    except OSError as error:
        if error.errno is not None:
            raise
        raise Malformed(f"{packed} is no backup: {error}") from None  # as gzip and bzip2 call what they cannot unpack


def _declared(packed: Path) -> tuple[Sizes, bytes | None]:
    """Every member's size by its name, and the manifest. Nothing is written, and no member is read but the manifest."""
    left, sizes, manifest = _bytes_max(packed), Sizes(), None
    with _opened(packed) as tar:
        for member, name in _members(tar, packed):
            if not name:
                continue
            if name in sizes:
                raise Malformed(f"{packed} is no backup: {name} is in it twice")
            sizes[name] = member.size
            left -= member.size
            if left < 0:
                raise Malformed(f"{packed} is no backup: it declares more than {_bytes_max(packed)} bytes in its files")
            if name == MANIFEST:
                manifest = b"".join(_pieces(tar, member))
    return sizes, manifest


def _members(tar: tarfile.TarFile, packed: Path) -> Iterator[tuple[tarfile.TarInfo, str]]:
    """Members with their names below the backup; "" for its folders. Raises Malformed for any that a backup cannot have."""
    limits = {"head": HEAD_BYTES_MAX, MANIFEST: MANIFEST_BYTES_MAX}
    for count, member in enumerate(tar):
        name = member.name.removeprefix("./")
        if count >= MEMBERS_MAX:
            raise Malformed(f"{packed} is no backup: it has more than {MEMBERS_MAX} members")
        if member.isdir() and name in (".", "", "db"):
            yield member, ""
        elif not member.isreg() or member.issparse():
            raise Malformed(f"{packed} is no backup: {name} in it is neither a file nor a folder")
        elif not _NAME.fullmatch(name) or not 0 <= member.size <= limits.get(name, member.size):
            raise Malformed(f"{packed} is no backup: it holds {name} of {member.size} bytes")
        else:
            yield member, name


def _check_manifest(data: bytes, sizes: Sizes, place: Path) -> None:
    try:
        manifest = decode_json(_manifests, data)
    except BadInput as error:
        raise Malformed(f"{place} is no backup: its {MANIFEST}: {error}") from None
    if manifest.format != FORMAT:
        raise Malformed(f"{place} is a backup of format {manifest.format!r}, expected {FORMAT!r}")
    found = {name: size for name, size in sizes.items() if name != MANIFEST}
    for name in sorted(found.keys() | manifest.files.keys()):
        if found.get(name) != manifest.files.get(name):
            raise Malformed(
                f"{place} is no backup: {name} has {found.get(name, 'no')} bytes, "
                f"its manifest says {manifest.files.get(name, 'none')}"
            )


def _check_room(needed: int, place: Path) -> None:
    free = shutil.disk_usage(place).free
    if needed + SLACK_BYTES > free:
        raise Unavailable(f"the backup needs {needed} bytes, the disk of {place} has {free} free")


def _sizes_in(folder: Path) -> Sizes:
    return {
        path.relative_to(folder).as_posix(): path.stat().st_size
        for path in (folder / "head", folder / MANIFEST, *(folder / "db").iterdir())
        if path.is_file()
    }


def _bytes_max(packed: Path) -> int:
    size = packed.stat().st_size
    return size if _compression(packed) == "" else RATIO_MAX * size + SLACK_BYTES


def _compression(packed: Path) -> str:
    """By the first bytes. Raises Malformed for xz: how much memory it takes is for the archive to say."""
    with packed.open("rb") as file:
        begin = file.read(6)
    if begin == b"\xfd7zXZ\x00":
        raise Malformed(f"{packed} is packed with xz: unpack it with `xz -d` first")
    return "gzip" if begin[:2] == b"\x1f\x8b" else "bzip2" if begin[:3] == b"BZh" else ""


@contextmanager
def _opened(packed: Path) -> Iterator[tarfile.TarFile]:
    kind = _compression(packed)
    with packed.open("rb") as raw:
        file = gzip.GzipFile(fileobj=raw) if kind == "gzip" else bz2.BZ2File(raw) if kind == "bzip2" else raw
        bounded = cast("IO[bytes]", _Bounded(cast("IO[bytes]", file)))
        with tarfile.open(fileobj=bounded, mode="r:") as tar:
            yield tar


class _Bounded:
    """A file of which nobody reads much at once: the names and attributes in a tar file are read whole."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.seek, self.tell = file.seek, file.tell

    def read(self, size: int = -1) -> bytes:
        """At most `size` bytes. Raises Malformed for more than `PIECE_BYTES`."""
        if not 0 <= size <= PIECE_BYTES:
            raise Malformed(f"no backup: a header of {size} bytes")
        return self._file.read(size)


def _write(tar: tarfile.TarFile, member: tarfile.TarInfo, place: Path) -> None:
    with open(place, "xb", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
        for piece in _pieces(tar, member):
            file.write(piece)


def _pieces(tar: tarfile.TarFile, member: tarfile.TarInfo) -> Iterator[bytes]:
    """All bytes of a member, as many as its header says. Raises Malformed."""
    source, left = cast("IO[bytes]", tar.extractfile(member)), member.size
    while left:
        piece = source.read(min(PIECE_BYTES, left))
        if not piece:
            raise Malformed(f"no backup: {member.name} ends {left} bytes early")
        left -= len(piece)
        yield piece

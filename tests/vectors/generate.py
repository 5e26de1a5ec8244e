"""Makes every vector anew, the same bytes each time: `python -m tests.vectors.generate`.

    tests/vectors/<what>/<the lie>.export.ndjson      a whole log
    tests/vectors/<what>/<the lie>.evidence.json      a part of one
    tests/vectors/manifest.json                       for each file: the key, accepted or not, and the steps that must fail
    tests/vectors/primitives.json                     the smallest vectors: hashes, names, claims, notes, proofs, paths

A file may stand in the manifest several times, with different keys. `fails` names steps that every verifier must name;
it may name others too. `pinned` is as section 8 of docs/format.md has it.
"""

import base64
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tests.vectors.honest import LOGS, rotations
from tests.vectors.lies import LIES, stranger_line
from tests.vectors.log import Log, vkey
from tests.vectors.primitives import primitives
from tests.vectors.shown import FALSE, SHOWN

FOLDER = Path(__file__).parent
Row = dict[str, Any]

PINS: dict[str, tuple[str, ...]] = {"plain": ("log", "notary"), "rotations": ("log", "log-2", "log-3", "author")}
"""Which keys a log is checked with, besides the root key and none at all."""
OWN = ("root", "log", "log-2", "log-3")


def heads_cut(log: Log) -> Log:
    """The newest head alone."""
    log.heads = log.heads[-1:]
    return log


def witnessed(log: Log) -> Log:
    """Fifteen lines by others under each head, which every reader of notes takes; one of them in the log's own name."""
    names = [(number, "witness.example/w") for number in range(14)]
    others = b"".join(stranger_line(number, name) for number, name in [*names, (99, log.origin)])
    log.heads = [head + others for head in log.heads]
    return log


def first_line_by_others(log: Log) -> Log:
    """Somebody else's line stands first."""
    log.heads = [head.replace(b"\n\n", b"\n\n" + stranger_line(), 1) for head in log.heads]
    return log


def newest_with(lines: Callable[[bytes], bytes]) -> Log:
    """More lines under the newest head."""
    log = LOGS["plain"]()
    log.heads[-1] += lines(log.heads[-1])
    return log


def own_line(head: bytes) -> bytes:
    """The one line under a head that the log key alone signed."""
    return head.rpartition(b"\n\n")[2]


def cosignatures() -> bytes:
    """Lines as long as those of witnesses are: type 04 (time and Ed25519), type 06 (time and ML-DSA-44)."""
    lines = [(f"ed.example/w{number}", 8 + 64) for number in range(4)]
    lines += [(f"pq.example/w{number}", 8 + 2420) for number in range(11)]
    return b"".join(
        f"— {name} {base64.b64encode(bytes([number] * 4) + bytes(size)).decode()}\n".encode()
        for number, (name, size) in enumerate(lines)
    )


VARIANTS: dict[str, Callable[[], Log]] = {
    "newest-head-alone": lambda: heads_cut(LOGS["plain"]()),
    "lines-by-witnesses": lambda: witnessed(LOGS["plain"]()),
    "line-by-a-witness-first": lambda: first_line_by_others(LOGS["plain"]()),
    "line-of-a-witness-twice": lambda: newest_with(lambda head: stranger_line() * 2),
    "two-signatures-of-one-witness": lambda: newest_with(
        lambda head: stranger_line() + stranger_line().replace(b"AAAAAA", b"AAAAAB", 1)
    ),
    "line-of-the-log-key-twice": lambda: newest_with(own_line),
    "100-lines": lambda: newest_with(lambda head: b"".join(stranger_line(number) for number in range(99))),
    "lines-of-cosigners": lambda: newest_with(lambda head: cosignatures()),
    "rotations-newest-head-alone": lambda: heads_cut(rotations()),
}
"""Logs that differ from an honest one and are honest still."""


def exports() -> Iterator[tuple[str, bytes, list[Row]]]:
    """(path, bytes, manifest rows) of every export."""
    for name, make in {**LOGS, **VARIANTS}.items():
        log = make()
        keys = ("root", *PINS.get(name, ()))
        rows = [_row(str(vkey(key, log.origin)), [] if key in OWN else [7], pinned=key in OWN) for key in keys]
        renamed = _row(str(vkey("root", "elsewhere.example/log")), [7], pinned=False)
        yield f"honest/{name}.export.ndjson", log.export(), [*rows, renamed, _row(None, [], pinned=False)]
    old = str(vkey("log"))
    yield (
        "honest/rotations-without-old-heads.export.ndjson",
        heads_cut(rotations()).export(),
        [_row(old, [7], pinned=False)],
    )
    for name, (fails, made) in LIES.items():
        known = not {1, 4, 6, 7} & set(fails) and name not in ALSO_UNKNOWN
        yield f"{name}.export.ndjson", made(), [_row(str(vkey("root")), list(fails), pinned=known)]


ALSO_UNKNOWN = ("chain/entry-4-removed", "chain/entries-4-and-5-swapped")
"""Lies that name step 2 or 3 first, and whose authors' counters or times fall over as well."""


def evidence() -> Iterator[tuple[str, bytes, list[Row]]]:
    """(path, bytes, manifest rows) of every piece of evidence."""
    for name, (key, made) in SHOWN.items():
        data = made()
        origin = json.loads(data)["origin"]
        renamed = _row(str(vkey(key, "elsewhere.example/log")), [7], pinned=False)
        yield f"evidence/{name}.evidence.json", data, [_row(str(vkey(key, origin)), [], pinned=True), renamed]
    for name, (fails, key, made) in FALSE.items():
        yield f"evidence/{name}.evidence.json", made(), [_row(str(vkey(key)), list(fails), pinned=False)]


def _row(key: str | None, fails: list[int], *, pinned: bool) -> Row:
    return {"key": key, "accepted": not fails, "fails": fails, "pinned": pinned}


def made() -> dict[str, bytes]:
    """All files: path below `tests/vectors` → bytes."""
    files: dict[str, bytes] = {}
    manifest: list[Row] = []
    for path, data, rows in (*exports(), *evidence()):
        assert path not in files, path
        files[path] = data
        manifest += [{"file": path, **row} for row in rows]
    files["manifest.json"] = _readable(manifest)
    files["primitives.json"] = _lines(primitives())
    return files


def _readable(rows: list[Row]) -> bytes:
    """One row a line."""
    return ("[\n" + ",\n".join(json.dumps(row) for row in rows) + "\n]\n").encode()


def _lines(kinds: dict[str, list[Row]]) -> bytes:
    """One vector a line."""
    parts = [f"{json.dumps(kind)}: " + _readable(rows).decode().rstrip() for kind, rows in kinds.items()]
    return ("{\n" + ",\n".join(parts) + "\n}\n").encode()


def stored(folder: Path = FOLDER) -> dict[str, bytes]:
    """The files as they lie there."""
    suffixes = (".export.ndjson", ".evidence.json", "manifest.json", "primitives.json")
    found = [path for path in sorted(folder.rglob("*")) if path.name.endswith(suffixes)]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}


def write(folder: Path = FOLDER) -> None:
    """Write what differs, and remove what is made no more."""
    new, old = made(), stored(folder)
    for path in sorted(old.keys() - new.keys()):
        (folder / path).unlink()
    for path, data in new.items():
        if old.get(path) != data:
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(data)


if __name__ == "__main__":
    write()

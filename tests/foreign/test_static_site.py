"""`dna export --tiles`: a static site that a client written from the specifications alone takes for a C2SP log."""

import ast
import fcntl
import os
import shutil
import threading
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from decision_dna.ledger.merkle import TILE_WIDTH
from decision_dna.ledger.tilepath import new_tiles
from tests.cli.calling import dna, done, is_one_sentence, new_ledger, vkey_of, write_lines
from tests.data import ROOT
from tests.foreign import tile_client
from tests.foreign.tile_client import NotALog, TileClient, check_inclusion, leaf_hash

Fetch = Callable[[str], bytes]


class Quiet(SimpleHTTPRequestHandler):
    """Says nothing of each request."""

    def log_message(self, *arguments: object) -> None: ...


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """The address of a plain web server on loopback."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()


def get_from(address: str) -> Fetch:
    def fetch(path: str) -> bytes:
        with urllib.request.urlopen(f"{address}/{path}") as answer:
            data: bytes = answer.read()
        return data

    return fetch


def read_from(folder: Path) -> Fetch:
    return lambda path: (folder / path).read_bytes()


def grow(ledger: Path, count: int) -> None:
    events = [{"type": "x.seen", "source": "bot", "payload": {"n": n}} for n in range(count)]
    done("append", ledger, write_lines(ledger.parent / "more.ndjson", *events))


def files_of(folder: Path) -> dict[str, tuple[int, int]]:
    """Path -> what shows whether it was written again."""
    return {
        str(path.relative_to(folder)): (path.stat().st_ino, path.stat().st_mtime_ns)
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A ledger of 601 entries and its site."""
    folder = tmp_path_factory.mktemp("site")
    ledger = new_ledger(folder)
    grow(ledger, 600)
    done("export", ledger, "--tiles", folder / "site")
    return ledger, folder / "site"


def test_the_client_knows_nothing_of_decision_dna() -> None:
    """It imports the standard library and an Ed25519, and none of this project."""
    tree = ast.parse((ROOT / "tests/foreign/tile_client.py").read_text())
    names = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    names |= {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    assert {str(name).partition(".")[0] for name in names} == {
        "base64",
        "hashlib",
        "collections",
        "dataclasses",
        "nacl",
    }
    assert tile_client.__name__ == "tests.foreign.tile_client"


def test_static_export_is_a_log_for_a_foreign_client(site: tuple[Path, Path]) -> None:
    """Read from the folder and over a plain web server: all tiles, all entries and proofs lead to the signed root."""
    ledger, folder = site
    with served(folder) as address:
        for fetch in (read_from(folder), get_from(address)):
            client = TileClient(fetch, vkey_of(ledger))
            head = client.head()
            assert (head.origin, head.size) == ("example.org/demo", 601)
            entries = client.check_all(head)
            for index in (0, 255, 256, 600):
                proof = client.inclusion(index, head.size)
                check_inclusion(leaf_hash(entries[index]), index, head.size, proof, head.root)
    shown = {path for path in files_of(folder) if not path.startswith("tile/")}
    assert shown == {"checkpoint", "log.vkey"}
    assert (folder / "log.vkey").read_text().strip() == vkey_of(ledger)


def test_verify_takes_a_static_site_for_a_log(site: tuple[Path, Path], tmp_path: Path) -> None:
    """`dna verify` of the address of a plain web server: it holds, and a changed entry is found."""
    ledger, folder = site
    with served(folder) as address:
        said = done("verify", address, "--key", vkey_of(ledger), "--json").json
    assert (said["holds"], said["pinned"], said["size"]) == (True, True, 601)
    shutil.copytree(folder, tmp_path / "bent")
    data = bytearray((tmp_path / "bent/tile/entries/001").read_bytes())
    data[-1] ^= 1
    (tmp_path / "bent/tile/entries/001").write_bytes(data)
    with served(tmp_path / "bent") as address:
        assert dna("verify", address, "--key", vkey_of(ledger)).code == 1


def test_static_export_goes_on_after_a_rotation(tmp_path: Path) -> None:
    """The head that was published under the old log key is known for this log's, and log.vkey becomes the new key's."""
    ledger, site = new_ledger(tmp_path), tmp_path / "site"
    done("export", ledger, "--tiles", site)
    old = TileClient(read_from(site), vkey_of(ledger)).head()
    done("keys", "rotate", ledger, "log", "--overlap", 1)
    for _ in range(2):
        done("export", ledger, "--tiles", site)
        client = TileClient(read_from(site), (site / "log.vkey").read_text())
        client.check_all(client.head())
        client.check_consistent(old, client.head())
        assert (site / "log.vkey").read_text().strip() == vkey_of(ledger)
        grow(ledger, 3)


@pytest.mark.parametrize("path", ["tile/0/001", "tile/entries/000", "tile/1/000.p/2", "tile/0/002.p/89", "checkpoint"])
def test_foreign_client_sees_one_changed_byte(site: tuple[Path, Path], path: str) -> None:
    """The client of these tests would notice: each kind of file, with one bit of it flipped."""
    ledger, folder = site

    def bent(asked: str) -> bytes:
        data = bytearray((folder / asked).read_bytes())
        if asked == path:
            data[len(data) // 2] ^= 1
        return bytes(data)

    client = TileClient(bent, vkey_of(ledger))
    with pytest.raises((NotALog, ValueError)):
        client.check_all(client.head())


def test_export_tiles_again_adds_only_what_is_new(tmp_path: Path) -> None:
    """Full tiles stay as they are, a partial one gives way to its full tile, and the later tree begins with the earlier."""
    ledger, site = new_ledger(tmp_path), tmp_path / "site"
    client = TileClient(read_from(site), vkey_of(ledger))
    heads = []
    for events in (0, 254, 1, 1, 300, 1):
        if events:
            grow(ledger, events)
        before = files_of(site) if site.exists() else {}
        done("export", ledger, "--tiles", site)
        heads.append(client.head())
        client.check_all(heads[-1])
        after = files_of(site)
        assert [
            path for path in before if "." not in path and path != "checkpoint" and before[path] != after[path]
        ] == []
    assert [head.size for head in heads] == [1, 255, 256, 257, 557, 558]
    for old in heads:
        client.check_consistent(old, heads[-1])
    assert not (site / "tile/0/000.p").exists()
    assert sorted(path.name for path in (site / "tile/0/002.p").iterdir()) == ["45", "46"]
    unchanged = files_of(site)
    assert done("export", ledger, "--tiles", site, "--json").json == {
        "folder": str(site), "size": 558, "before": 558, "files": 0
    }  # fmt: skip
    assert files_of(site) == unchanged


def test_export_tiles_goes_on_where_it_was_interrupted(site: tuple[Path, Path], tmp_path: Path) -> None:
    """The checkpoint is written last: without it the export begins again, over what is there."""
    ledger, whole = site
    shutil.copytree(whole, tmp_path / "site")
    (tmp_path / "site/checkpoint").unlink()
    (tmp_path / "site/tile/0/001").unlink()
    (tmp_path / "site/tile/0/000").write_bytes(b"torn")
    done("export", ledger, "--tiles", tmp_path / "site")
    client = TileClient(read_from(tmp_path / "site"), vkey_of(ledger))
    client.check_all(client.head())
    assert list((tmp_path / "site").rglob("*.part")) == []


def refused(ledger: Path, site: Path, *, code: int = 1) -> str:
    before = files_of(site)
    said = dna("export", ledger, "--tiles", site)
    assert (said.code, is_one_sentence(said.err)) == (code, True), said
    assert files_of(site) == before
    return said.err


def test_export_tiles_refuses_a_folder_of_another_log(site: tuple[Path, Path], tmp_path: Path) -> None:
    """Another log under the same origin, whose keys are others."""
    assert "something other than this log" in refused(new_ledger(tmp_path), site[1])


def test_export_tiles_refuses_a_fork_and_a_shorter_copy(site: tuple[Path, Path], tmp_path: Path) -> None:
    """An attacker with every key, and a copy from before, publish nothing over what was published."""
    ledger, folder = site
    shutil.copytree(ledger, tmp_path / "d")
    done("cheat", "rewrite", tmp_path / "d")
    assert "holds a fork" in refused(tmp_path / "d-rewrite", folder)
    (tmp_path / "own").mkdir()
    later = new_ledger(tmp_path / "own")
    shutil.copytree(later, tmp_path / "earlier")
    grow(later, 1)
    done("export", later, "--tiles", tmp_path / "site")
    assert "has only 1" in refused(tmp_path / "earlier", tmp_path / "site")


def test_export_tiles_refuses_a_folder_with_other_files(site: tuple[Path, Path], tmp_path: Path) -> None:
    """What holds something, and no log, is somebody's; what is no folder is wrong usage; without a parent there is no place."""
    ledger, _ = site
    (tmp_path / "full").mkdir()
    (tmp_path / "full/thesis.txt").write_text("mine")
    assert "is not empty" in refused(ledger, tmp_path / "full")
    assert dna("export", ledger, "--tiles", tmp_path / "full/thesis.txt").code == 2
    assert dna("export", ledger, "--tiles", tmp_path / "absent/site").code == 3
    assert dna("export", ledger, "--tiles", tmp_path / "s", "-o", tmp_path / "f").code == 2
    assert dna("export", ledger).code == 2


def test_export_tiles_publishes_no_damaged_tree(site: tuple[Path, Path], tmp_path: Path) -> None:
    """An entry that was changed on the disk leads to no signed root: no checkpoint is written."""
    shutil.copytree(site[0], tmp_path / "d")
    done("cheat", "flip", tmp_path / "d")
    said = dna("export", tmp_path / "d-flip", "--tiles", tmp_path / "site")
    assert (said.code, "dna verify" in said.err) == (1, True)
    assert not (tmp_path / "site/checkpoint").exists()


def test_export_tiles_lets_one_write_at_a_time(site: tuple[Path, Path]) -> None:
    """Of two exports into one folder the second is refused, so that the smaller head never comes last."""
    held = os.open(site[1], os.O_RDONLY)
    try:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert "another export writes" in refused(*site, code=3)
    finally:
        os.close(held)


SIZES = {  # size: for each level the full tiles, and the width of the partial one
    1: {0: (0, 1)},
    256: {0: (1, 0), 1: (0, 1)},
    70_000: {0: (273, 112), 1: (1, 17), 2: (0, 1)},
}


@pytest.mark.parametrize("size", SIZES)
def test_new_tiles_are_those_of_the_specification(size: int) -> None:
    """Full tiles and the partial one of each level, as in the example of tlog-tiles; bundles as the tiles of level 0."""
    expected = SIZES[size]
    tiles = list(new_tiles(size))
    for level in (None, *expected):
        full, width = expected[level or 0]
        found = [tile for tile in tiles if tile.level == level]
        assert [tile.index for tile in found] == list(range(full + bool(width)))
        assert [tile.width for tile in found] == [TILE_WIDTH] * full + [width] * bool(width)
    assert {tile.level for tile in tiles} == {None, *expected}


@pytest.mark.parametrize(
    ("before", "size"), [(0, 1), (1, 255), (255, 256), (256, 257), (300, 70_000), (65_535, 65_536), (9, 9)]
)
def test_new_tiles_are_the_difference_of_two_trees(before: int, size: int) -> None:
    """What the larger tree has and the smaller has not."""
    assert set(map(str, new_tiles(size, before))) == set(map(str, new_tiles(size))) - set(map(str, new_tiles(before)))

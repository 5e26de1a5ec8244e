"""The paths of the public log (`c2sp.org/tlog-tiles`, docs/format.md, section 9): one path for each tile, and no other spelling.

TilePath(0, 1234067, 256)      ->  tile/0/x001/x234/067
TilePath(None, 5, 17)          ->  tile/entries/005.p/17
"""

import re
from collections.abc import Iterator

import msgspec

from decision_dna.ledger.merkle import TILE_HEIGHT, TILE_WIDTH
from decision_dna.schemas.errors import NotFound

LEVEL_MAX = 63
_PATH = re.compile(r"tile/(entries|\d|[1-9]\d)/((?:x\d{3}/){0,5}\d{3})(?:\.p/([1-9]\d{0,2}))?", re.ASCII)


class TilePath(msgspec.Struct, frozen=True):
    """A tile of hashes of a level, or (level None) a bundle of entries; 256 wide where it is full."""

    level: int | None
    index: int
    width: int

    def __str__(self) -> str:
        digits = str(self.index)
        digits = digits.zfill(-(-len(digits) // 3) * 3)
        groups = [digits[at : at + 3] for at in range(0, len(digits), 3)]
        name = "/".join([*(f"x{group}" for group in groups[:-1]), groups[-1]])
        level = "entries" if self.level is None else self.level
        return f"tile/{level}/{name}" + ("" if self.width == TILE_WIDTH else f".p/{self.width}")


def parse_tile_path(path: str) -> TilePath:
    """Raises NotFound for every path that is not exactly what a tile is called."""
    match = _PATH.fullmatch(path)
    if match is not None:
        level = None if match[1] == "entries" else int(match[1])
        index, width = int(match[2].replace("x", "").replace("/", "")), int(match[3] or TILE_WIDTH)
        tile = TilePath(level, index, width)
        if str(tile) == path and width <= TILE_WIDTH and (level or 0) <= LEVEL_MAX:
            return tile
    raise NotFound(f"no tile is called {path[:80]!r}")


def new_tiles(size: int, before: int = 0) -> Iterator[TilePath]:
    """Yield the tiles and bundles of a tree of `size` leaves that a tree of `before` leaves has not, level by level."""
    level = 0
    while count := size >> (level * TILE_HEIGHT):
        had = before >> (level * TILE_HEIGHT)
        for index in range(had // TILE_WIDTH, -(-count // TILE_WIDTH)) if count > had else ():
            width = min(TILE_WIDTH, count - index * TILE_WIDTH)
            if level == 0:
                yield TilePath(None, index, width)
            yield TilePath(level, index, width)
        level += 1

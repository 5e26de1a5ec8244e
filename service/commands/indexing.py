"""`dna index rebuild`: indexes and projections, made again from the log alone."""

from typing import Annotated

import typer

from decision_dna.engine.projections import PROJECTIONS, ProjectionFollower
from decision_dna.engine.replay import compare_views, drop_strays, start_from_snapshot
from decision_dna.ledger.followers import Follower, read_cursor
from decision_dna.ledger.indexes import IndexFollower, compare_indexes
from decision_dna.ledger.ledger import Ledger
from decision_dna.ledger.rebuilding import rebuild_followers
from decision_dna.service.commands.places import fixed_view, opened
from decision_dna.service.commands.terminal import Dir, Json, progress, write, write_facts, write_json

DIFFERENCES_SHOWN = 50


def rebuild(
    directory: Dir,
    check: Annotated[
        bool, typer.Option("--check", help="Only compare, also beside a running service; 1 if a row differs.")
    ] = False,
    json: Json = False,
) -> int:
    """Rebuild indexes and projections from the log.

    Needs the ledger for itself: stop its service first. Until it is done, queries read what has no rows yet from the log. If
    it is interrupted, the next call continues it. A projection starts from its newest snapshot that the log committed to.
    """
    return _check(directory, json=json) if check else _rebuild(directory, json=json)


def _check(directory: Dir, *, json: bool) -> int:
    with fixed_view(directory) as view, progress("compare", shown=not json) as bar:
        indexes = compare_indexes(view.store, view.reader, bar)
        of_views, views_left_out = compare_views(view.store, view.reader, PROJECTIONS)
    differences, left_out = indexes.differences + of_views, indexes.left_out + views_left_out
    if json:
        write_json(
            {"differences": len(differences), "named": differences[:DIFFERENCES_SHOWN], "not_compared": left_out}
        )
        return 1 if differences else 0
    for text in differences[:DIFFERENCES_SHOWN]:
        write(text)
    for sentence in left_out:
        write(f"not compared: {sentence}")
    if not differences:
        write("derived rows are what the log gives")
        return 0
    write(f"{len(differences)} differences: `dna index rebuild {directory}` makes the rows again")
    return 1


def _rebuild(directory: Dir, *, json: bool) -> int:
    projections = [ProjectionFollower(projection) for projection in PROJECTIONS]
    followers: list[Follower] = [IndexFollower(), *projections]
    with opened(directory) as ledger, progress("rebuild", shown=not json) as bar:

        def begin(follower: Follower) -> None:
            if isinstance(follower, ProjectionFollower):
                start_from_snapshot(ledger.store, ledger.reader, follower.projection)

        continued = rebuild_followers(
            ledger.store, ledger.reader, followers, begin=begin, progress=lambda _name, done, size: bar(done, size)
        )
        removed = drop_strays(ledger.store, ledger.reader, PROJECTIONS)
        rows = [(follower.name, _position(ledger, follower)) for follower in followers]
    if json:
        write_json({"continued": continued, "removed": removed, "positions": dict(rows)})
        return 0
    if continued:
        write("an interrupted rebuild was continued")
    write_facts([(name, f"rows to seq {seq}") for name, seq in rows])
    if removed:
        write(f"{removed} rows that the log does not give were removed")
    return 0


def _position(ledger: Ledger, follower: Follower) -> int:
    cursor = read_cursor(ledger.store, follower.name)
    return 0 if cursor is None else cursor.seq

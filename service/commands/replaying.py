"""`dna replay`: engine state rebuilt from the log alone, held against every commitment to it."""

from collections.abc import Mapping
from typing import Annotated

import typer

from decision_dna.engine.projections import PROJECTIONS, Projection
from decision_dna.engine.replay import Replayed, replay_log
from decision_dna.service.commands.places import View, fixed_view
from decision_dna.service.commands.terminal import Dir, Json, complain, write, write_facts, write_json, write_table
from decision_dna.service.commands.views import parse_time


def replay(
    directory: Dir,
    to: Annotated[
        str | None,
        typer.Option("--to", metavar="SEQ-or-TIME", help="Fold what is before this seq, or recorded before it."),
    ] = None,
    projection: Annotated[str | None, typer.Option("--projection", help="Only this one.")] = None,
    rows: Annotated[bool, typer.Option("--rows", help="Print the state too.")] = False,
    json: Json = False,
) -> int:
    """Rebuild engine state from the log and compare it with the committed one.

    Exit code 1 where a committed state is not what the log gives, 3 where erased payloads leave it unknown, or where it
    cannot be folded past an event, which is named.
    """
    with fixed_view(directory) as log:
        end = None if to is None else _end(log, to)
        replayed = {each.name: replay_log(log.store, log.reader, each, end) for each in _chosen(projection)}
    return write_replayed(replayed, rows=rows, json=json)


def write_replayed(replayed: Mapping[str, Replayed], *, rows: bool, json: bool) -> int:
    """Print what replays came to, by projection. Returns the exit code."""
    outcomes = {compared.outcome for each in replayed.values() for compared in each.compared}
    for name, result in replayed.items():
        if json:
            write_json(_view(name, result, rows=rows))
        else:
            _write(name, result, rows=rows)
    failures = [each.failed for each in replayed.values() if each.failed is not None]
    for failure in failures:
        complain(failure.detail)
    return 1 if "different" in outcomes else 3 if failures or "unknown" in outcomes else 0


def _chosen(name: str | None) -> list[Projection]:
    found = [projection for projection in PROJECTIONS if name in (None, projection.name)]
    if not found:
        known = ", ".join(projection.name for projection in PROJECTIONS)
        raise typer.BadParameter(f"no projection {name!r}; there are: {known}", param_hint="--projection")
    return found


def _end(log: View, to: str) -> int:
    """A number below the log's size is a seq; larger ones are ns, as times are."""
    if to.isascii() and to.isdigit() and len(to) < 20 and int(to) <= log.head.size:
        return int(to)
    return log.reader.seq_after(parse_time(to) - 1)


def _view(name: str, replayed: Replayed, *, rows: bool) -> dict[str, object]:
    compared = [
        {
            "seq": each.commitment.seq,
            "as_of": each.commitment.said.as_of,
            "committed": each.commitment.said.root.hex(),
            "replayed": each.root.hex(),
            "outcome": each.outcome,
        }
        for each in replayed.compared
    ]
    view: dict[str, object] = {
        "projection": name,
        "as_of": replayed.as_of,
        "entries": replayed.entries,
        "root": replayed.root.hex(),
    }
    if replayed.failed is not None:
        view["failed"] = {"seq": replayed.failed.seq, "id": replayed.failed.event_id, "error": replayed.failed.detail}
    state = {"rows": {key.decode(errors="replace"): value.hex() for key, value in replayed.rows}} if rows else {}
    return {**view, "erased": replayed.erased, "compared": compared, **state}


def _write(name: str, replayed: Replayed, *, rows: bool) -> None:
    write_facts(
        [
            ("projection", name),
            ("entries folded", f"{replayed.as_of}: those before seq {replayed.as_of}"),
            ("rows of state", replayed.entries),
            ("state root", "none: the fold failed" if replayed.failed is not None else replayed.root.hex()),
            ("erased payloads", replayed.erased),
        ]
    )
    if replayed.compared:
        columns = ("committed at", "as of", "root committed", "root replayed", "outcome")
        write_table(
            columns,
            [
                (c.commitment.seq, c.commitment.said.as_of, c.commitment.said.root.hex(), c.root.hex(), c.outcome)
                for c in replayed.compared
            ],
        )
    else:
        write("no state was committed for it: nothing to compare with")
    if rows:
        write_table(("key", "value"), [(key.decode(errors="replace"), value.hex()) for key, value in replayed.rows])

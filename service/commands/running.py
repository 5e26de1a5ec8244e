"""`dna serve` and `dna run`: a ledger in service."""

import os
from pathlib import Path
from typing import Annotated

import typer

from decision_dna.engine.extras import require_solana
from decision_dna.engine.projections import PROJECTIONS, ProjectionFollower
from decision_dna.ledger.audit import Report
from decision_dna.ledger.opening import open_ledger
from decision_dna.schemas.anchoring import AnchorConfirmed
from decision_dna.service import run as main_job
from decision_dna.service.anchoring import LOCAL_CHAIN
from decision_dna.service.commands.making import made
from decision_dna.service.commands.places import Adopt
from decision_dna.service.commands.terminal import Dir, Json, complain, write, write_json
from decision_dna.service.commands.verifying import write_report
from decision_dna.service.commands.watching import Tally, write_seen
from decision_dna.service.http.server import serve as serve_ledger
from decision_dna.service.settings import read_settings
from decision_dna.service.watching import Seen

SETTINGS_FILE = Path("dna.toml")

Port = Annotated[int | None, typer.Option("--port", min=0, max=65_535, help="0: any that is free.")]
Host = Annotated[str | None, typer.Option("--host", help="Loopback, unless settings say that more is meant.")]


def serve(directory: Dir, port: Port = None, host: Host = None, adopt: Adopt = False, json: Json = False) -> None:
    """Serve a ledger over HTTP, until Ctrl-C.

    On loopback, this machine reads without a key. Beyond it (`beyond_loopback`), a key must be set (MASTER_API_KEY), and every
    call needs it but those of the public log and bare health.
    """
    settings = read_settings({"port": port, "host": host}, os.environ, SETTINGS_FILE)

    followers = [ProjectionFollower(projection) for projection in PROJECTIONS]
    with open_ledger(directory, adopt=adopt) as ledger:
        try:
            main_job.run_loop(
                serve_ledger(
                    ledger, settings, ready=lambda address: _say_address(address, json=json), projections=followers
                )
            )
        except KeyboardInterrupt:
            return


def run(
    directory: Annotated[
        Path, typer.Argument(metavar="DIR", help="The ledger's folder; made where there is none.")
    ] = Path("run/ledger"),
    blocks: Annotated[
        Path | None,
        typer.Option(
            "--blocks",
            metavar="FILE|FOLDER",
            envvar="DNA_BLOCKS",
            exists=True,
            help="A block's file, or a folder of them.",
        ),
    ] = None,
    data: Annotated[
        Path,
        typer.Option("--data", metavar="FOLDER", envvar="DNA_DATA", help="Where recorded blocks lie, in data/blocks."),
    ] = Path("../shared"),
    origin: Annotated[
        str | None, typer.Option("--origin", metavar="NAME", help="The name of a log that is made.")
    ] = None,
    port: Annotated[int, typer.Option("--port", envvar="DNA_PORT", min=0, max=65_535, help="0: any that is free.")] = 0,
    once: Annotated[bool, typer.Option("--once", help="End after the verification.")] = False,
    adopt: Adopt = False,
    json: Json = False,
) -> int:
    """Do the main job in one process: watch, detect, append, anchor, serve, verify.

    Blocks come from --blocks, else recorded ones, else, for a ledger that is new, made ones whose truth is known.
    Everything found is appended; the state that follows from it is committed; a heartbeat and an anchor (on a local chain)
    close it; then the whole log is verified. It goes on watching and serving on loopback until Ctrl-C.

    Exit code 1 where the log does not hold, or (with --once) an event was refused; 2 (likewise) where none of the files was a
    block; 3 (likewise) where a state could not be committed. Needs the extra `solana`.
    """
    require_solana("`dna run`")
    settings = read_settings({"port": port}, os.environ, SETTINGS_FILE)
    is_new = not (directory / "db").exists()
    source, what = main_job.source_of(blocks, data, directory.parent / "blocks", may_make=is_new)
    if is_new:
        # The name says where the blocks came from: what was found in made ones is nobody's attack.
        made(directory, origin or f"local/{what}-blocks")
    if not json:
        write(f"ledger {directory}, {what} blocks: {source}")
    tally, missing = Tally(), list[str]()
    try:
        with open_ledger(directory, adopt=adopt) as ledger:
            report = main_job.run(ledger, source, settings, _told(tally, missing, json=json), once=once)
    except KeyboardInterrupt:
        return 0
    if not report.holds:
        return 1
    return tally.code() or (3 if missing else 0)


def _told(tally: Tally, missing: list[str], *, json: bool) -> main_job.Told:
    def state(projection: str, seq: int) -> None:
        if not json:
            write(tally.sentence())
            write(f"state of {projection} committed by entry {seq}")

    def state_missing(projection: str, why: str) -> None:
        missing.append(projection)
        complain(f"the state of {projection} is not committed: {why}")

    def anchor(seq: int, anchor: AnchorConfirmed) -> None:
        if not json:
            write(f"anchor {anchor.n} of size {anchor.size}, entry {seq}, on {LOCAL_CHAIN}")

    def report(found: Report) -> None:
        if json:
            write_json({"holds": found.holds, "size": found.size, "root": found.root, "verdicts": found.verdicts})
        else:
            write_report(found)

    def seen(found: Seen) -> None:
        tally.add(found)
        write_seen(found, json=json)

    return main_job.Told(lambda address: _say_address(address, json=json), seen, state, state_missing, anchor, report)


def _say_address(address: str, *, json: bool) -> None:
    if json:
        write_json({"address": address})
    else:
        write(f"serving at {address}")

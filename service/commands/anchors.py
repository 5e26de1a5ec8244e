"""`dna anchor`: the newest head onto a chain, and what the log's anchors prove."""

import asyncio
from typing import Annotated, Literal

import typer

from decision_dna.anchors.audit import NOTE_TYPES, anchor_check
from decision_dna.anchors.entries import anchors_of
from decision_dna.engine.extras import require_solana
from decision_dna.ledger.audit import verify as verify_source
from decision_dna.ledger.verification import Step
from decision_dna.schemas.anchoring import AnchorConfirmed
from decision_dna.service.anchoring import LOCAL_CHAIN, anchor_once, is_due, local_chain
from decision_dna.service.commands.places import Adopt, fixed_view, written
from decision_dna.service.commands.terminal import Dir, Json, progress, write, write_json, write_table

Cluster = Annotated[
    Literal["local"],
    typer.Option("--chain", help="Where to. Only `local` so far: a chain in this process, for trying."),
]
DUE_SECONDS = 5.0
"""Between two looks whether an anchor is due."""


def once(directory: Dir, chain: Cluster = "local", adopt: Adopt = False, json: Json = False) -> None:
    """Anchor the newest head now.

    So far on a local chain only: it runs the real programs in this process, ends with it, and proves nothing to others.
    Needs the extra `solana`.
    """
    del chain  # one choice
    require_solana("`dna anchor once`")
    with written(directory, adopt=adopt) as ledger:
        seq, anchor = asyncio.run(anchor_once(ledger, local_chain(ledger)))
    _say(seq, anchor, json=json)


def run(directory: Dir, chain: Cluster = "local", adopt: Adopt = False, json: Json = False) -> None:
    """Anchor whenever the policy's deadline asks for it, until Ctrl-C.

    Needs the ledger for itself: `dna run` anchors beside a service. So far on a local chain only, as `dna anchor once`.
    Needs the extra `solana`.
    """
    del chain
    require_solana("`dna anchor run`")
    with written(directory, adopt=adopt) as ledger:

        async def until_interrupted() -> None:
            local = local_chain(ledger)
            while True:
                if is_due(ledger):
                    _say(*await anchor_once(ledger, local), json=json)
                await asyncio.sleep(DUE_SECONDS)

        try:
            asyncio.run(until_interrupted())
        except KeyboardInterrupt:
            return


def list_anchors(directory: Dir, json: Json = False) -> None:
    """List the anchors in the log."""
    with fixed_view(directory) as log:
        views = [_view(seq, anchor) for seq, anchor in anchors_of(log.reader, log.indexes)][::-1]
    if json:
        write_json(views)
        return
    write_table(
        ("n", "seq", "size", "root", "cluster", "slot"),
        [(view["n"], view["seq"], view["size"], view["root"], view["cluster"], view["slot"]) for view in views],
    )


def verify(directory: Dir, json: Json = False) -> int:
    """Check what the bytes of the anchors prove (step 9).

    Whether a chain holds the transactions is in no byte of the log: exit code 3 where all bytes hold, as nobody asked.
    """
    with fixed_view(directory) as log, progress("verify", shown=not json) as bar:
        check = anchor_check(log.source)
        report = verify_source(log.source, None, progress=bar, note_types=NOTE_TYPES, checks=(check,))
    step = next(step for step in report.steps if step.step == Step.ANCHORS)
    findings = [finding for finding in report.findings if finding.step == Step.ANCHORS]
    if json:
        write_json({"status": step.status, "text": step.text, "findings": findings})
    else:
        write(f"step {step.step}, {step.name}: {step.status}: {step.text}")
        for finding in findings:
            write(finding.text if finding.seq is None else f"seq {finding.seq}: {finding.text}")
    return 1 if step.status == "fail" else 3 if step.status == "inconclusive" else 0


def _view(seq: int, anchor: AnchorConfirmed) -> dict[str, object]:
    return {
        "n": anchor.n,
        "seq": seq,
        "size": anchor.size,
        "root": anchor.root.hex(),
        "cluster": anchor.cluster,
        "slot": anchor.slot,
        "block_time": anchor.block_time,
        "signature": anchor.signature.hex(),
    }


def _say(seq: int, anchor: AnchorConfirmed, *, json: bool) -> None:
    if json:
        write_json(_view(seq, anchor))
        return
    write(f"anchor {anchor.n} of size {anchor.size}, reported by entry {seq}, on {LOCAL_CHAIN}")

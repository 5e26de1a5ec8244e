"""`dna check A.head --fork B.head`: whether two heads convict the log of a fork."""

from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import typer

from decision_dna.ledger.evidence import check_evidence
from decision_dna.ledger.forks import prove_fork
from decision_dna.ledger.notes import NOTE_BYTES_MAX, Vkey
from decision_dna.service.commands.outputs import output
from decision_dna.service.commands.terminal import write, write_json

Fork = Annotated[
    Path | None,
    typer.Option(
        "--fork",
        metavar="HEAD",
        exists=True,
        dir_okay=False,
        help="Another head: FILE is a head too, and the two are to show that the log was forked.",
    ),
]
ForkOutput = Annotated[
    Path | None,
    typer.Option(
        "-o", "--output", metavar="FILE", dir_okay=False, help="With --fork: where to write evidence of the fork."
    ),
]


def check_fork(file: Path, other: Path, key: Vkey, to: Path | None, *, json: bool) -> int:
    """Prove a fork from two heads, and write the evidence. Raises ProofRejected, Refused, Unavailable."""
    with nullcontext() if to is None else output(to) as out:
        data = prove_fork(_note(file), _note(other), key)
        if out is not None:
            out.write(data)
    facts = check_evidence(data, key).facts
    if json:
        write_json({"fork": True, "origin": key.name, "facts": facts, "evidence": None if to is None else str(to)})
        return 0
    write(f"FORK: {key.name} has two histories")
    for fact in facts:
        write(f"- {fact}")
    if to is not None:
        write(f"{to}: evidence; check it with: dna check {to} --key VKEY")
    return 0


def _note(file: Path) -> bytes:
    with file.open("rb") as opened:
        return opened.read(NOTE_BYTES_MAX + 1)

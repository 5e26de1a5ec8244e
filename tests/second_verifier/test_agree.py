"""Both verifiers on mutants that nobody wrote down: what one accepts the other accepts, and nothing but a report comes out."""

from collections.abc import Callable
from pathlib import Path
from random import Random, SystemRandom
from typing import Any

import pytest

from decision_dna.ledger.exports import export_lines
from decision_dna.ledger.forks import prove_fork
from decision_dna.ledger.ledger import Ledger
from decision_dna.ledger.notes import Checkpoint, sign_checkpoint
from decision_dna.ledger.proving import Around, leaves_before, prove_event, prove_run
from decision_dna.ledger.sources import StoreSource
from tests.ledger.samples import fill, new_ledger
from tests.second_verifier.agree import compare, main, run, table
from tests.second_verifier.both import Answer, ask_first, ask_second
from tests.second_verifier.mutants import OPERATORS, Mutant, mutant
from tests.vectors import showing
from tests.vectors.honest import genesis_alone, plain
from tests.vectors.lies import many_causes
from tests.vectors.log import line, vkey

ACCEPTED_AT_LEAST = 0.05


def agree_on(seed: int, count: int) -> None:
    found = list(run(seed, count))
    wrong = [f"{one.number} {one.operator}\n{one.text}" for one in found if not one.agreed]
    again = f"python -m tests.second_verifier.agree --mutants {count} --seed {seed}"
    assert not wrong, "\n".join([again, table(found), *wrong[:5]])
    assert sum(one.accepted for one in found) >= ACCEPTED_AT_LEAST * count, f"{again}\n{table(found)}"


@pytest.mark.parametrize("part", range(3))
def test_both_verifiers_agree_on_mutants(part: int) -> None:
    agree_on(SystemRandom().randrange(2**31), 500)


@pytest.mark.torture
@pytest.mark.parametrize("part", range(10))
def test_both_verifiers_agree_on_many_mutants(part: int) -> None:
    agree_on(SystemRandom().randrange(2**31), 10_000)


@pytest.mark.parametrize("operator", OPERATORS)
def test_every_operator_makes_mutants(operator: str) -> None:
    made = [OPERATORS[operator](Random(seed)) for seed in range(5)]
    assert {one.operator for one in made} == {operator}
    assert len({one.data for one in made}) > 1


def test_a_mutant_is_known_by_its_seed_and_number() -> None:
    assert mutant(5, 7) == mutant(5, 7) != mutant(5, 8)


def test_a_verifier_that_raises_or_says_otherwise_is_named() -> None:
    broken = Mutant("broken", b"", "no vkey", evidence=False)
    assert not compare(broken).agreed
    fine = Mutant("fine", plain().export(), str(vkey("root")), evidence=False)
    assert (compare(fine).agreed, compare(fine).accepted) == (True, True)


def test_the_command_prints_a_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--mutants", "20", "--seed", "3", "--dump", str(tmp_path)]) == 0
    assert "seed 3" in capsys.readouterr().out


# --- what the ledger itself writes ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Any:
    made, clock = new_ledger(tmp_path_factory.mktemp("agree") / "d")
    with made:
        fill(made, clock, 2)
        yield made


def both_accept(data: bytes, key: str, *, evidence: bool) -> None:
    for ask in (ask_first, ask_second):
        answer: Answer = ask(data, key, evidence=evidence)
        assert (answer.accepted, answer.pinned) == (True, True), answer


def around(ledger: Ledger) -> tuple[tuple[int, ...], list[int]]:
    kinds = [ledger.reader.event(seq).claim.type for seq in range(ledger.reader.size)]
    own = tuple(seq for seq, kind in enumerate(kinds) if kind in ("ledger.genesis", "ledger.key", "ledger.policy"))
    return own, [seq for seq, kind in enumerate(kinds) if kind == "ledger.heartbeat"]


def test_what_a_ledger_exports_is_accepted_by_both(ledger: Ledger) -> None:
    both_accept(
        b"".join(export_lines(StoreSource(ledger.store, ledger.reader.head()))), str(ledger.vkey), evidence=False
    )


def test_what_a_ledger_proves_is_accepted_by_both(ledger: Ledger) -> None:
    own, beats = around(ledger)
    key, last = str(ledger.vkey), beats[-1]
    for seq in range(ledger.reader.size):
        after = min((beat for beat in beats if beat > seq), default=None)
        both_accept(prove_event(ledger.reader, seq, Around(own, None, after)), key, evidence=True)
    leaves = leaves_before(ledger.reader, last)
    end = ledger.reader.event(last).entry.recorded_at - 1
    for stream in ("x/engine-1", "x/bot", "x/raw", "a/a", "x/nobody", "zz/zz"):
        seqs = [seq for seq in range(last) if ledger.reader.event(seq).entry.stream == stream]
        both_accept(prove_run(ledger.reader, stream, seqs, 0, end, Around(own, None, last), leaves), key, evidence=True)
    head = ledger.reader.head()
    other = sign_checkpoint(Checkpoint(head.origin, head.size, bytes(32)), ledger.keys.of_purpose("log"))
    both_accept(prove_fork(head.note.encode(), other, ledger.vkey), key, evidence=True)


# --- at the limits ----------------------------------------------------------------------------------------------------------


def salted(size: int) -> bytes:
    log = genesis_alone()
    log.say("x.seen", "engine-1", bytes(size))
    log.sign_heads()
    return log.export()


def deep(depth: int) -> bytes:
    log = genesis_alone()
    log.own("clock", b"\x91" * depth + b"\xc0")
    log.sign_heads()
    return log.export()


def evidence_of_size(size: int) -> bytes:
    value = showing.event(plain(), 2) | {
        "anchor": {"memo": "", "cluster": "", "slot": 0, "block_time": 0, "transaction": ""}
    }
    value["anchor"]["memo"] = "m" * (size - len(line(value)))
    return line(value)


@pytest.mark.parametrize(
    ("make", "size", "evidence", "holds"),
    [
        (salted, 262_144, False, True),
        (salted, 262_145, False, False),
        (many_causes, 64, False, True),
        (many_causes, 65, False, False),
        (deep, 32, False, False),
        (deep, 40_000, False, False),
        (evidence_of_size, 16 * 1024 * 1024, True, True),
        (evidence_of_size, 16 * 1024 * 1024 + 1, True, False),
    ],
)
def test_both_have_the_same_limits(make: Callable[[int], bytes], size: int, evidence: bool, holds: bool) -> None:
    data = make(size)
    answers = [ask(data, str(vkey("root")), evidence=evidence) for ask in (ask_first, ask_second)]
    assert [answer.accepted for answer in answers] == [holds, holds], answers

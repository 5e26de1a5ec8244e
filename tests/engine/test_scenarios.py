"""Made blocks: one seed makes one block, the truth in it is found, and nothing else is."""

import base64
import json
import os
import random
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from decision_dna.engine.answers import read_block
from decision_dna.engine.blocks import digest
from decision_dna.engine.detection import detect
from decision_dna.engine.scenarios import SCENES, make_block, write_blocks
from decision_dna.engine.scenarios.decoys import failed_victim
from decision_dna.engine.watch import SourceBlock, blocks_from
from decision_dna.schemas.market import Arbitrage, Sandwich, SandwichPattern
from tests.engine.recall import recall_table, render

needs_solders = pytest.mark.skipif(find_spec("solders") is None, reason="solders is in the extra `solana`")


@needs_solders
def test_what_is_made_is_found_and_nothing_else() -> None:
    first = random.SystemRandom().randrange(2**40)
    seeds = range(first, first + int(os.environ.get("DNA_SEEDS", "40")))
    table, wrong = recall_table(seeds)
    assert not wrong, f"seeds {seeds.start}…{seeds.stop - 1}\n{render(table)}\n" + "\n".join(wrong[:5])


@needs_solders
def test_honest_traders_make_no_attack_of_a_decoy() -> None:
    """Many of them trade in its own pool between its two legs; together they must not move a price by more than its fees."""
    for seed in range(20):
        scenario = make_block(seed, transactions_count=600, scenes=[failed_victim])
        found = [each for each in detect(read_block(scenario.answer)) if isinstance(each, Sandwich | Arbitrage)]
        assert not found, f"seed {seed}: {found}"


@needs_solders
@pytest.mark.parametrize("index", range(len(SCENES)))
def test_every_scene_is_played_and_told_true(index: int) -> None:
    for seed in range(3):
        scenario = make_block(seed, transactions_count=30, scenes=[SCENES[index]])
        (truth,) = scenario.truths
        block = read_block(scenario.answer)
        assert all(place < len(block.transactions) for place in truth.fronts + truth.victims + truth.backs)
        if truth.is_a == "nothing":
            assert truth.kind.startswith("decoy-")
        else:
            assert truth.profit_lamports > 0 or any(amount > 0 for amount in truth.profit_tokens.values())
        if truth.is_a == "sandwich":
            assert truth.victims


@needs_solders
def test_a_structure_without_profit_is_told_as_structure() -> None:
    loss = next(scene for scene in SCENES if getattr(scene, "__name__", "") == "at_a_loss")
    block = read_block(make_block(5, transactions_count=20, scenes=[loss]).answer)
    found = [each for each in detect(block) if isinstance(each, Sandwich | SandwichPattern)]
    assert [type(each) for each in found] == [SandwichPattern]
    assert found[0].profit_lamports < 0


@needs_solders
def test_one_seed_is_one_block_in_both_encodings() -> None:
    assert make_block(11) == make_block(11)
    assert make_block(11).answer != make_block(12).answer
    plain, packed = (read_block(make_block(11, encoding=encoding).answer) for encoding in ("json", "base64"))
    assert digest(plain) == digest(packed)


@needs_solders
def test_made_blocks_conserve_lamports_and_verify() -> None:
    from solders.transaction import VersionedTransaction

    scenario = make_block(3, encoding="base64")
    block = read_block(scenario.answer)
    for tx in block.transactions:
        # A curve's lamports and the token programs' own are all accounts of the transaction: nothing is lost.
        assert sum(tx.pre_lamports) - sum(tx.post_lamports) == tx.fee, tx.position
    for each in json.loads(scenario.answer)["transactions"]:
        VersionedTransaction.from_bytes(base64.b64decode(each["transaction"][0])).verify_and_hash_message()


@needs_solders
def test_a_folder_of_made_blocks_is_read_back_with_its_truth_beside(tmp_path: Path) -> None:
    paths = write_blocks(tmp_path, 3, seed=1, first_slot=400)
    assert [path.name for path in paths] == ["slot_400.json", "slot_401.json", "slot_402.json"]
    read = list(blocks_from(tmp_path))
    assert [each.block.slot for each in read if isinstance(each, SourceBlock)] == [400, 401, 402]
    assert len(read) == 3
    truths = json.loads((tmp_path / "truth_401.json").read_text())
    assert [truth["kind"] for truth in truths] == [truth.kind for truth in make_block(2, slot=401).truths]


WITHOUT_SOLDERS = """
import sys
sys.modules["solders"] = None
from decision_dna.engine.scenarios import make_block
from decision_dna.schemas.errors import CannotOpen
try:
    make_block(1)
except CannotOpen as error:
    print(error)
"""


def test_without_solders_there_is_one_clear_error() -> None:
    done = subprocess.run([sys.executable, "-c", WITHOUT_SOLDERS], capture_output=True, text=True, check=True)
    assert "decision-dna[solana]" in done.stdout

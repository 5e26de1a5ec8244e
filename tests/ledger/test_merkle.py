"""The fast tree against a slow recursive reference (RFC 6962, 2.1) and against the published vectors."""

import base64
import json
from hashlib import sha256
from pathlib import Path

import pytest

from decision_dna.ledger import merkle
from decision_dna.schemas.errors import ProofRejected
from tests.data import shared

LEAVES = [sha256(bytes([0]) + str(at).encode()).digest() for at in range(601)]


def reference_root(leaves: list[bytes]) -> bytes:
    if len(leaves) < 2:
        return leaves[0] if leaves else sha256(b"").digest()
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    return sha256(b"\x01" + reference_root(leaves[:split]) + reference_root(leaves[split:])).digest()


def reference_path(index: int, leaves: list[bytes]) -> list[bytes]:
    if len(leaves) == 1:
        return []
    split = 1 << (len(leaves) - 1).bit_length() - 1
    if index < split:
        return [*reference_path(index, leaves[:split]), reference_root(leaves[split:])]
    return [*reference_path(index - split, leaves[split:]), reference_root(leaves[:split])]


def reader(nodes: list[merkle.Node]) -> list[bytes]:
    return [reference_root(LEAVES[index << height : (index + 1) << height]) for height, index in nodes]


def test_root_equals_reference_at_every_size_to_600() -> None:
    frontier = merkle.Frontier()
    for size in range(1, 601):
        frontier = merkle.extend(frontier, [LEAVES[size - 1]])
        assert frontier.root() == reference_root(LEAVES[:size]) == merkle.tree_root(LEAVES[:size])
        assert frontier == merkle.Frontier.of(size, reader(frontier.coordinates()))


@pytest.mark.parametrize("step", [1, 2, 3, 7, 31, 32, 33, 255, 256, 257, 600])
def test_batches_of_any_size_give_one_tree(step: int) -> None:
    frontier, made = merkle.Frontier(), {}
    for start in range(0, 600, step):
        end, before, rows = min(start + step, 600), frontier, []
        frontier = merkle.extend(before, LEAVES[start:end], rows)
        made |= merkle.made_for_tiles(before, rows)
        read = merkle.reader_after(before, rows)
        for index in {start, (start + end) // 2, end - 1}:
            assert merkle.prove_inclusion(index, end, read) == reference_path(index, LEAVES[:end])
        assert merkle.prove_range(start, end, end, read) == merkle.prove_range(start, end, end, reader)
    assert frontier.root() == reference_root(LEAVES[:600])
    assert made == {(8, at): reader([(8, at)])[0] for at in (0, 1)}


@pytest.mark.parametrize("size", [*range(1, 40), 127, 128, 129, 255, 256, 257, 600])
def test_inclusion_proofs_equal_reference_and_hold(size: int) -> None:
    root = reference_root(LEAVES[:size])
    for index in range(0, size, 1 + size // 40):
        proof = merkle.prove_inclusion(index, size, reader)
        assert proof == reference_path(index, LEAVES[:size])
        merkle.check_inclusion(index, size, LEAVES[index], proof, root)
        with pytest.raises(ProofRejected):
            merkle.check_inclusion(index, size, LEAVES[index], [*proof, root], root)


@pytest.mark.parametrize("size", [*range(1, 40), 127, 128, 129, 256, 600])
def test_consistency_proofs_hold_and_no_other_root_does(size: int) -> None:
    root = reference_root(LEAVES[:size])
    for old in range(1, size + 1, 1 + size // 40):
        proof = merkle.prove_consistency(old, size, reader)
        merkle.check_consistency(old, size, reference_root(LEAVES[:old]), root, proof)
        with pytest.raises(ProofRejected):
            merkle.check_consistency(old, size, LEAVES[600], root, proof)


@pytest.mark.parametrize("size", [1, 2, 3, 5, 8, 31, 64, 100, 600])
def test_range_proofs_hold_and_no_other_leaves_do(size: int) -> None:
    root = reference_root(LEAVES[:size])
    for start in range(0, size, 1 + size // 9):
        for end in range(start + 1, size + 1, 1 + size // 9):
            proof = merkle.prove_range(start, end, size, reader)
            merkle.check_range(start, end, size, LEAVES[start:end], proof, root)
            with pytest.raises(ProofRejected):
                merkle.check_range(start, end, size, [*LEAVES[start : end - 1], LEAVES[600]], proof, root)


def decode(text: str | None) -> bytes:
    return base64.b64decode(text or "")


def run_inclusion(case: dict) -> None:
    proof = [decode(item) for item in case["proof"] or []]
    merkle.check_inclusion(case["leafIdx"], case["treeSize"], decode(case["leafHash"]), proof, decode(case["root"]))


def run_consistency(case: dict) -> None:
    proof = [decode(item) for item in case["proof"] or []]
    merkle.check_consistency(case["size1"], case["size2"], decode(case["root1"]), decode(case["root2"]), proof)


def test_all_196_published_vectors() -> None:
    folder = shared("vectors/merkle")
    wrong: list[str] = []
    paths = sorted(Path(folder).rglob("*.json"))
    for path in paths:
        case = json.loads(path.read_text())
        run = run_inclusion if "leafIdx" in case else run_consistency
        try:
            run(case)
            accepted = True
        except ProofRejected:
            accepted = False
        if accepted == case["wantErr"]:
            wrong.append(f"{path.relative_to(folder)}: accepted={accepted}")
    assert (len(paths), wrong) == (196, []), "\n".join(wrong)

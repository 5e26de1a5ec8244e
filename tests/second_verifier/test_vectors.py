"""Every vector is what it was made as, and both verifiers judge it as the manifest says."""

import json
from collections.abc import Callable
from functools import cache, partial
from typing import Any

import pytest

from decision_dna.ledger import hashing, merkle
from decision_dna.ledger.cosignatures import Cosigner, cosigned_at
from decision_dna.ledger.fingerprint import fingerprint
from decision_dna.ledger.notes import Vkey, open_checkpoint
from decision_dna.ledger.tilepath import parse_tile_path
from decision_dna.ledger.tlogproof import parse_proof
from decision_dna.schemas.claims import decode_claim, decode_entry
from decision_dna.schemas.errors import LedgerError
from tests.second_verifier.both import Answer, ask_first, ask_second, second
from tests.vectors import generate

VERIFIERS: dict[str, Callable[..., Answer]] = {
    "first": ask_first,
    "first in pieces": partial(ask_first, pieces=1),
    "second": ask_second,
}
BYTES_MAX = 5_000_000


@cache
def stored() -> dict[str, bytes]:
    return generate.stored()


def manifest() -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads(stored()["manifest.json"])
    return rows


def vectors(kind: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads(stored()["primitives.json"])[kind]
    return rows


def test_the_vectors_are_made_the_same_again() -> None:
    made = generate.made()
    assert made.keys() == stored().keys(), "run `python -m tests.vectors.generate`"
    assert [path for path in made if made[path] != stored()[path]] == []
    assert sum(map(len, made.values())) < BYTES_MAX


def test_the_manifest_names_every_file() -> None:
    listed = {row["file"] for row in manifest()}
    assert listed == stored().keys() - {"manifest.json", "primitives.json"}
    assert sum(row["accepted"] for row in manifest()) > 40


@pytest.mark.parametrize("name", VERIFIERS)
@pytest.mark.parametrize("folder", sorted({row["file"].partition("/")[0] for row in manifest()}))
def test_both_verifiers_say_what_the_manifest_says(folder: str, name: str) -> None:
    for row in manifest():
        if row["file"].startswith(f"{folder}/"):
            evidence = row["file"].endswith(".evidence.json")
            answer = VERIFIERS[name](stored()[row["file"]], row["key"], evidence=evidence)
            said = (answer.accepted, answer.pinned, set(row["fails"]) <= answer.steps)
            assert said == (row["accepted"], row["pinned"], True), (row, answer)


def accepts(check: Any, *arguments: Any) -> bool:
    try:
        check(*arguments)
    except (LedgerError, second.Rejected):
        return False
    return True


@pytest.mark.parametrize("row", vectors("hashes"), ids=lambda row: f"{row['context'][16:]}-{len(row['input']) // 2}")
def test_hashes(row: dict[str, Any]) -> None:
    assert second.blake3_derive_key(row["context"], bytes.fromhex(row["input"])).hex() == row["hash"]


def test_names_of_keys() -> None:
    for row in vectors("names"):
        key = bytes.fromhex(row["key"])
        assert second.key_id_of(key).hex() == hashing.key_id(key).hex() == row["key_id"]
        assert second.read_vkey(row["vkey"]).key == Vkey.parse(row["vkey"]).key == key


def test_vkeys_have_one_form() -> None:
    for row in vectors("vkeys"):
        assert accepts(Vkey.parse, row["text"]) == accepts(second.read_vkey, row["text"]) == row["accepted"], row


def test_claims() -> None:
    for row in vectors("claims"):
        claim = bytes.fromhex(row["claim"])
        assert hashing.claim_hash(claim).hex() == second.hash_claim(claim).hex() == row["hash"]
        assert accepts(decode_claim, claim) == row["accepted"], row


def test_entries() -> None:
    for row in vectors("entries"):
        raw = bytes.fromhex(row["entry"])
        entry = second.read_entry(raw)
        assert entry.hash.hex() == hashing.entry_hash(raw).hex() == row["hash"]
        assert second.leaf_hash(raw).hex() == merkle.leaf_hash(raw).hex() == row["leaf"]
        assert second.fingerprint(entry) == str(fingerprint(decode_entry(raw).seq, raw)) == row["fingerprint"]


def test_trees() -> None:
    for row in vectors("trees"):
        size, leaves, root = row["size"], [bytes.fromhex(leaf) for leaf in row["leaves"]], bytes.fromhex(row["root"])
        tree = second.Tree()
        for leaf in leaves:
            tree.push(leaf)
        assert merkle.tree_root(leaves) == tree.root() == root
        for check in (merkle, second):
            for proof in row["inclusion"]:
                steps = [bytes.fromhex(step) for step in proof["proof"]]
                check.check_inclusion(proof["index"], size, leaves[proof["index"]], steps, root)
                assert not accepts(check.check_inclusion, proof["index"], size, bytes(32), steps, root)
            for proof in row["consistency"]:
                steps = [bytes.fromhex(step) for step in proof["proof"]]
                check.check_consistency(proof["size"], size, bytes.fromhex(proof["root"]), root, steps)
                assert not accepts(check.check_consistency, proof["size"], size, bytes(32), root, steps)
            for proof in row["ranges"]:
                steps = [bytes.fromhex(step) for step in proof["proof"]]
                shown = leaves[proof["start"] : proof["end"]]
                check.check_range(proof["start"], proof["end"], size, shown, steps, root)
                assert not accepts(check.check_range, proof["start"], proof["end"], size, shown, steps, bytes(32))


def test_notes() -> None:
    for row in vectors("notes"):
        if "note" in row:
            head = second.read_checkpoint(row["note"])
            first = open_checkpoint(row["note"].encode(), [Vkey.parse(text) for text in row["signed_by"]])
            assert (head.origin, head.size, head.root) == (first.origin, first.size, first.root)
            for text in row["signed_by"]:
                second.check_signed(head, second.read_vkey(text).key)
        else:
            proof, mine = second.read_tlog_proof(row["proof"]), parse_proof(row["proof"])
            assert (proof.index, proof.hashes, proof.checkpoint.encode()) == (mine.index, mine.hashes, mine.checkpoint)
            head = second.read_checkpoint(proof.checkpoint)
            second.check_inclusion(proof.index, head.size, bytes.fromhex(row["leaf"]), proof.hashes, head.root)


def test_cosignatures() -> None:
    """Each head is the log's, whatever its witness did; the witness's own time counts only where it signed it."""
    for row in vectors("cosignatures"):
        note, log = row["note"].encode(), Vkey.parse(row["log"])
        assert open_checkpoint(note, [log]).size == second.read_checkpoint(row["note"]).size
        second.check_signed(second.read_checkpoint(row["note"]), log.key)
        if row["time"] is None:
            assert not accepts(cosigned_at, note, Cosigner.parse(row["witness"]))
        else:
            assert cosigned_at(note, Cosigner.parse(row["witness"])) == row["time"]


@pytest.mark.parametrize("row", vectors("paths"), ids=lambda row: row["path"])
def test_paths_of_tiles(row: dict[str, Any]) -> None:
    assert second.tile_path(row["level"], row["index"], row["width"] % 256) == row["path"]
    tile = parse_tile_path(row["path"].removeprefix("/"))
    assert (tile.level, tile.index, tile.width) == (row["level"], row["index"], row["width"])


def test_second_verifier_says_that_an_anchor_was_not_checked() -> None:
    """Evidence with an anchor holds for steps 1 to 7, and the report says that the anchor was not looked at (section 10)."""
    rows = {row["file"]: row["key"] for row in manifest() if row["accepted"]}
    for name, said in (("with-an-anchor", True), ("notarised", False)):
        path = f"evidence/event/{name}.evidence.json"
        report = second.verify_evidence(stored()[path], rows[path])
        assert report.accepted
        assert any("anchor was not checked" in note for note in report.notes) == said

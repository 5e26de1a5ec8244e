"""`dna index rebuild`, and what `dna query` says of the rows that it used."""

from pathlib import Path

import pytest

from decision_dna.ledger.indexes import BLOCK_EVENTS
from decision_dna.ledger.opening import open_ledger
from decision_dna.ledger.plan import Draft
from decision_dna.ledger.rocks import RocksStore
from decision_dna.schemas import codec
from tests.cli.calling import dna, done, is_one_sentence


@pytest.fixture
def indexed(tmp_path: Path) -> Path:
    """A ledger with one block of index rows, and some events after it."""
    path = tmp_path / "ledger"
    done("init", path, "--origin", "example.org/demo")
    seen = codec.encode({"n": 1})
    with open_ledger(path) as ledger:
        for size in (BLOCK_EVENTS, 100):
            ledger.append([Draft(type="x.seen", schema=1, source="bot", payload=seen) for _ in range(size)])
    done("heartbeat", path)  # catches up
    return path


def remove_row(path: Path) -> None:
    """As someone with the disk does."""
    with RocksStore.open(str(path / "db"), create=False) as store:
        batch = store.batch()
        batch.delete("index", next(key for key, _ in store.scan("index", b"sbot")))
        store.write(batch, durable=True)


def test_a_removed_row_is_named_rebuilt_and_verified(indexed: Path) -> None:
    """Verification and --check name it; after a rebuild both pass and the query is whole again."""
    wanted = ("query", indexed, "--source", "bot", "--to-seq", 9, "--json")
    before = done(*wanted).json["events"]
    remove_row(indexed)
    assert done(*wanted).json["events"] != before
    failed = dna("verify", indexed, "--json")
    assert failed.code == 1
    assert [step["step"] for step in failed.json["steps"] if step["status"] == "fail"] == [6]
    checked = dna("index", "rebuild", indexed, "--check", "--json")
    assert (checked.code, checked.json["differences"]) == (1, 1)
    assert done("index", "rebuild", indexed, "--json").json["positions"]["indexes"] == BLOCK_EVENTS
    assert done("index", "rebuild", indexed, "--check", "--json").json == {
        "differences": 0,
        "named": [],
        "not_compared": [],
    }
    assert done("verify", indexed, "--json").json["holds"]
    assert done(*wanted).json["events"] == before


def test_people_are_told_what_a_rebuild_did(indexed: Path) -> None:
    """In plain sentences."""
    remove_row(indexed)
    said = dna("index", "rebuild", indexed, "--check")
    assert said.code == 1
    assert "is missing" in said.out
    assert "1 differences" in said.out
    assert f"rows to seq {BLOCK_EVENTS}" in done("index", "rebuild", indexed).out
    assert done("index", "rebuild", indexed, "--check").out == "derived rows are what the log gives\n"


def test_a_rebuild_refuses_beside_a_writer_and_a_check_does_not(indexed: Path) -> None:
    """The database has one writer: a rebuild waits for no one."""
    with open_ledger(indexed):
        said = dna("index", "rebuild", indexed)
        assert (said.code, is_one_sentence(said.err)) == (3, True)
        done("index", "rebuild", indexed, "--check")


def test_a_query_names_its_checkpoint_and_how_far_index_rows_went(indexed: Path) -> None:
    """What has no rows yet is read from the log, and the answer says from where on."""
    people = done("query", indexed, "--limit", 1).out
    size = done("status", indexed, "--json").json["size"]
    assert f"as of the checkpoint of size {size}, by index rows to seq {BLOCK_EVENTS}; events from there on" in people
    page = done("query", indexed, "--limit", 1, "--json").json
    assert (page["indexed_to"], page["checkpoint"].split("\n")[1]) == (BLOCK_EVENTS, str(size))
    assert done("lineage", indexed, 3, "--json").json["indexed_to"] == BLOCK_EVENTS


def test_a_lie_about_an_index_needs_a_block(tmp_path: Path) -> None:
    """A ledger below 4,096 entries has no index rows to remove."""
    done("init", tmp_path / "small", "--origin", "example.org/small")
    said = dna("cheat", "unindex", tmp_path / "small")
    assert (said.code, is_one_sentence(said.err)) == (1, True)
    assert sorted(found.name for found in tmp_path.iterdir()) == ["small", "small.vkey"]

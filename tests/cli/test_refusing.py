"""What a command must not do to a ledger that somebody relies on."""

from pathlib import Path

import pytest

from decision_dna.ledger.folder import read_folder
from tests.cli.calling import dna, is_one_sentence, new_ledger


def size_of(path: Path) -> int:
    with read_folder(path) as view:
        return view.reader.size


def test_made_blocks_do_not_go_into_a_ledger_that_is_there(tmp_path: Path) -> None:
    path = new_ledger(tmp_path, 1)
    before = size_of(path)
    said = dna("run", path, "--once", "--data", tmp_path / "nowhere")
    assert (said.code, is_one_sentence(said.err)) == (1, True)
    assert size_of(path) == before
    assert not (tmp_path / "blocks").exists()


def test_no_heartbeat_is_appended_for_a_stream_that_cannot_be(tmp_path: Path) -> None:
    path = new_ledger(tmp_path, 1)
    before = size_of(path)
    said = dna("prove", path, "--stream", "bot", "-o", tmp_path / "e.json")
    assert (said.code, is_one_sentence(said.err)) == (2, True)
    assert size_of(path) == before


@pytest.mark.parametrize("command", ["heartbeat", "replay"])
def test_an_address_is_no_folder(command: str) -> None:
    said = dna(command, "http://127.0.0.1:9")
    assert (said.code, is_one_sentence(said.err)) == (2, True)
    assert "own folder" in said.err

"""`dna watch`, `replay`, `anchor`, `serve`, `run`: from blocks to a verified, anchored log."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from decision_dna.engine.scenarios import make_block, write_blocks
from decision_dna.service.run import MADE_BLOCKS
from tests.cli.calling import CODE, dna, done, is_one_sentence, new_ledger, size_of, started, vkey_of
from tests.data import shared


@pytest.fixture(scope="module")
def blocks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("blocks")
    write_blocks(folder, 2, 7)
    return folder


@pytest.fixture
def watched(tmp_path: Path, blocks: Path) -> Path:
    path = new_ledger(tmp_path)
    done("watch", path, blocks)
    return path


def test_watch_appends_what_it_finds_once(tmp_path: Path, blocks: Path) -> None:
    path = new_ledger(tmp_path)
    first = done("watch", path, blocks, "--json").lines
    assert [seen["slot"] for seen in first] == [300_000_000, 300_000_001]
    assert all(seen["new"] and seen["events"][0]["type"] == "observation.block" for seen in first)
    assert any(event["type"].startswith("detection.") for seen in first for event in seen["events"])
    size = size_of(path)
    again = done("watch", path, blocks, "--json").lines
    assert [seen["new"] for seen in again] == [False, False]
    assert [event["seq"] for seen in again for event in seen["events"]] == list(range(1, size))
    assert size_of(path) == size
    assert "(in the log already)" in done("watch", path, blocks).out


def test_a_detection_is_caused_by_its_block(watched: Path) -> None:
    found = done("query", watched, "--type", "detection.*", "--limit", 1, "--json").json["events"][0]
    graph = done("lineage", watched, found["seq"], "--direction", "causes", "--json").json
    assert [node["type"] for node in graph["nodes"]] == ["observation.block", found["type"]]


def test_a_file_that_is_no_block_is_said_in_the_log(tmp_path: Path) -> None:
    path = new_ledger(tmp_path)
    (tmp_path / "slot_5.json").write_text("nothing")
    said = dna("watch", path, tmp_path / "slot_5.json")
    assert "slot 5: no block: slot_5.json" in said.out
    assert said.out.endswith("0 blocks read; 1 file is no block: slot_5.json\n")
    assert (said.code, is_one_sentence(said.err)) == (2, True)
    assert said.err.startswith("dna: slot_5.json is no block: ")
    assert done("show", path, 1, "--json").json["type"] == "observation.skip"
    assert dna("watch", path, tmp_path / "slot_5.json", "--json").code == 2  # nothing is appended, and it is no better
    assert size_of(path) == 2
    assert dna("watch", path, tmp_path / "absent").code == 2


def test_of_a_folder_the_closing_line_names_the_files_that_are_no_block(tmp_path: Path) -> None:
    path, folder = new_ledger(tmp_path), tmp_path / "blocks"
    folder.mkdir()
    for slot in range(1, 13):
        (folder / f"slot_{slot}.json").write_text("nothing")
    none = dna("watch", path, folder)
    assert none.code == 2
    assert none.out.endswith("slot_9.json, slot_10.json and 2 more\n")
    (folder / "slot_20.json").write_bytes(make_block(1, slot=20).answer)
    some = dna("watch", path, folder)
    assert some.code == 0
    assert some.out.splitlines()[-1].startswith("1 block read; 12 files are no block: slot_1.json, slot_2.json, ")
    assert some.err.count(" is no block: ") == 12


def test_run_on_a_file_that_is_no_block_ends_with_two(tmp_path: Path) -> None:
    (tmp_path / "slot_5.json").write_text("nothing")
    ran = run_once(tmp_path, "--blocks", str(tmp_path / "slot_5.json"))
    assert (ran.returncode, is_one_sentence(ran.stderr)) == (2, True)
    assert "0 blocks read; 1 file is no block: slot_5.json\n" in ran.stdout
    assert ran.stdout.endswith("IT HOLDS\n")


def test_watch_follows_a_folder(tmp_path: Path) -> None:
    path, folder = new_ledger(tmp_path), tmp_path / "blocks"
    folder.mkdir()
    (folder / "slot_1.json").write_bytes(make_block(1, slot=1).answer)
    with started("watch", path, folder, "--follow", "--json") as watch:
        watch.says('"slot":1,')
        (folder / "part").write_bytes(make_block(2, slot=2).answer)
        (folder / "part").rename(folder / "slot_2.json")
        watch.says('"slot":2,')
        assert watch.ends(signal.SIGINT) == (0, "")


def test_the_recorded_block_gives_its_three_arbitrages(tmp_path: Path) -> None:
    block = shared("data/blocks/slot_285000037.json")
    path = new_ledger(tmp_path)
    done("watch", path, block)
    found = done("query", path, "--type", "detection.arbitrage", "--json").json["events"]
    assert sorted(event["payload"]["net_lamports"] for event in found) == [47512, 75540, 99569]
    assert done("query", path, "--type", "detection.sandwich", "--json").json["events"] == []


def test_replay_folds_up_to_a_seq_or_a_time(watched: Path) -> None:
    whole = done("replay", watched, "--json").json
    assert (whole["projection"], whole["as_of"], whole["compared"]) == ("detections", size_of(watched), [])
    empty = done("replay", watched, "--to", 1, "--json").json
    assert (empty["as_of"], empty["entries"]) == (1, 0)
    at = done("show", watched, 2, "--json").json["recorded_at"]
    assert done("replay", watched, "--to", at, "--json").json["as_of"] == 1
    rows = done("replay", watched, "--rows", "--json").json["rows"]
    assert len(rows) == whole["entries"]
    assert f"state root       {whole['root']}" in done("replay", watched, "--projection", "detections").out
    assert dna("replay", watched, "--projection", "nonsense").code == 2
    assert dna("replay", watched, "--to", "nonsense").code == 2


def test_anchors_are_numbered_listed_and_hold_in_their_bytes(watched: Path) -> None:
    first = done("anchor", "once", watched, "--json").json
    assert "a local chain in this process" in done("anchor", "once", watched, "--chain", "local").out
    done("keys", "rotate", watched, "anchor")
    third = done("anchor", "once", watched, "--json").json
    assert [first["n"], third["n"]] == [0, 2]
    listed = done("anchor", "list", watched, "--json").json
    assert [anchor["n"] for anchor in listed] == [0, 1, 2]
    assert (listed[0], listed[2]) == (first, third)
    said = dna("anchor", "verify", watched)
    assert (said.code, said.out[:28]) == (3, "step 9, anchors: inconclusive"[:28])
    assert done("verify", watched, "--key", vkey_of(watched), "--json").json["verdicts"]["anchoring"] == "inconclusive"
    assert dna("anchor", "once", watched, "--chain", "mainnet").code == 2


def test_without_the_anchor_key_nothing_is_anchored(watched: Path, tmp_path: Path) -> None:
    shutil.move(watched / "keys" / "anchor.key", tmp_path / "anchor.key")
    said = dna("anchor", "once", watched)
    assert (said.code, is_one_sentence(said.err)) == (3, True)


def test_anchor_run_anchors_what_is_due(watched: Path) -> None:
    with started("anchor", "run", watched, "--json") as anchoring:
        anchoring.says('"n":0,')
        assert anchoring.ends(signal.SIGINT) == (0, "")
    assert len(done("anchor", "list", watched, "--json").json) == 1


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_serve_answers_until_it_is_told_to_stop(stop: signal.Signals, watched: Path) -> None:
    with started("serve", watched, "--port", 0) as server:
        said = server.says("serving at http://127.0.0.1:")
        assert done("status", said.split()[-1], "--json").json["status"] == "ready"
        assert server.ends(stop) == (0, "")
    assert done("verify", watched, "--key", vkey_of(watched)).out.endswith("IT HOLDS\n")


def test_serve_stays_at_home_unless_told(watched: Path) -> None:
    said = dna("serve", watched, "--host", "0.0.0.0")
    assert (said.code, is_one_sentence(said.err)) == (3, True)


def run_once(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", CODE, "run", str(folder / "run" / "ledger"), "--once", *arguments]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("DNA_")}
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder, env=environment)


def test_run_does_the_main_job_with_made_blocks(tmp_path: Path) -> None:
    ran = run_once(tmp_path)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert "made blocks" in ran.stdout.splitlines()[0]
    assert "serving at http://127.0.0.1:" in ran.stdout
    assert ran.stdout.count(" transactions (") == MADE_BLOCKS
    assert "sandwich in " in ran.stdout
    assert "10    state         pass          1 of 1" in ran.stdout
    assert "1 anchors hold in their bytes" in ran.stdout
    assert ran.stdout.endswith("IT HOLDS\n")
    path = tmp_path / "run" / "ledger"
    assert done("status", path, "--json").json["origin"] == "local/made-blocks"
    assert done("replay", path, "--json").json["compared"][0]["outcome"] == "equal"
    again = run_once(tmp_path)
    assert (again.returncode, again.stdout.count("(in the log already)")) == (0, MADE_BLOCKS)
    assert "2 anchors hold in their bytes" in again.stdout


def test_run_takes_the_blocks_that_it_is_given(tmp_path: Path, blocks: Path) -> None:
    ran = run_once(tmp_path, "--blocks", str(blocks), "--json")
    assert (ran.returncode, ran.stderr) == (0, "")
    assert '"slot":300000001,' in ran.stdout
    assert '"holds":true' in ran.stdout.splitlines()[-1]


def test_run_goes_on_until_it_is_told_to_stop(tmp_path: Path, blocks: Path) -> None:
    mine = tmp_path / "blocks"
    shutil.copytree(blocks, mine)
    with started("run", tmp_path / "l", "--blocks", mine, "--json") as running:
        running.says('"holds":true')
        (mine / "slot_9.json").write_bytes(make_block(9, slot=9).answer)
        running.says('"slot":9,')
        assert running.ends(signal.SIGTERM) == (0, "")
    assert done("verify", tmp_path / "l", "--key", vkey_of(tmp_path / "l")).out.endswith("IT HOLDS\n")


def test_run_says_why_it_can_not(tmp_path: Path, blocks: Path) -> None:
    done("init", tmp_path / "run" / "ledger", "--origin", "example.org/x")
    shutil.rmtree(tmp_path / "run" / "ledger" / "lock")
    ran = run_once(tmp_path, "--blocks", str(blocks))
    assert (ran.returncode, is_one_sentence(ran.stderr)) == (3, True)

"""`dna verify` and `dna cheat`: every lie is named by the step that the list promises."""

import shutil
from pathlib import Path
from typing import Any

import msgspec
import pytest

from decision_dna.engine.projections import DETECTIONS, ProjectionFollower
from decision_dna.ledger import audit
from decision_dna.ledger.cheat import LIES
from decision_dna.ledger.exchange import Answer, Connection, Deadline, parse_address
from decision_dna.ledger.followers import Follower, Followers
from decision_dna.ledger.indexes import IndexFollower
from decision_dna.ledger.notes import Vkey
from decision_dna.ledger.opening import create, open_ledger
from decision_dna.ledger.plan import Draft
from decision_dna.ledger.remote import RemoteLog
from decision_dna.ledger.verification import SEGMENT_EVENTS
from decision_dna.schemas.claims import BATCH_EVENTS_MAX
from decision_dna.schemas.payloads import payload_from_json
from decision_dna.service.commands.cheating import AT_START, BY_EARLIER_HEAD, BY_OTHER_HEAD, lies, steps_of
from decision_dna.service.commands.remote_source import RemoteSource
from decision_dna.service.http.server import serving
from decision_dna.service.settings import Settings
from tests.cli.calling import Said, dna, done, is_one_sentence, new_ledger, submission, vkey_of, write_lines
from tests.ledger.samples import ORIGIN, POLICY, SECOND, draft, fill
from tests.ledger.samples import new_ledger as new_sample


@pytest.fixture(scope="module")
def honest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With something for every lie to be about."""
    path = tmp_path_factory.mktemp("honest") / "d"
    ledger, clock = new_sample(path)
    with ledger:
        fill(ledger, clock, 2)
        for number in range(4):  # so long that a heartbeat that is taken out is missed
            clock.advance(40 * SECOND)
            ledger.append([draft(number)])
        ledger.heartbeat()
        ledger.append([draft(990, "raw")])
    return path


def failed_steps(said: Said) -> list[int]:
    return [step["step"] for step in said.json["steps"] if step["status"] == "fail"]


def test_an_honest_log_holds(honest: Path) -> None:
    said = dna("verify", honest, "--key", vkey_of(honest), "--json")
    assert (said.code, said.json["holds"], said.json["findings"]) == (0, True, [])
    assert said.json["verdicts"]["authenticity"] == "pass"
    assert [step["step"] for step in said.json["steps"]] == list(range(1, 12))
    people = done("verify", honest, "--key", vkey_of(honest)).out
    assert "4     attestations  pass" in people
    assert people.endswith("IT HOLDS\n")


def test_without_a_key_nothing_says_whose_log_it_is(honest: Path) -> None:
    said = dna("verify", honest, "--json")
    assert (said.code, said.json["verdicts"]["authenticity"]) == (0, "not pinned")
    assert done("verify", honest).out.endswith("IT HOLDS, but nothing says whose log it is: give --key\n")


def test_strict_tells_three_from_one_from_zero(tmp_path: Path) -> None:
    path = new_ledger(tmp_path, 1)
    assert dna("verify", path, "--strict").code == 3
    done("heartbeat", path)
    assert dna("verify", path, "--strict").code == 3
    assert dna("verify", path, "--strict", "--key", vkey_of(path)).code == 3
    done("anchor", "once", path)
    assert dna("verify", path, "--strict").code == 3
    assert dna("verify", path, "--strict", "--key", vkey_of(path)).code == 0


def test_strict_wants_a_fresh_heartbeat(honest: Path) -> None:
    said = dna("verify", honest, "--strict", "--key", vkey_of(honest), "--json")
    assert said.json["holds"]
    assert said.json["verdicts"]["freshness"].startswith("fail: ")
    assert said.code == 1


def test_another_key_does_not_hold(honest: Path, tmp_path: Path) -> None:
    said = dna("verify", honest, "--key", vkey_of(new_ledger(tmp_path)), "--json")
    assert (said.code, failed_steps(said)) == (1, [7])


@pytest.mark.parametrize(
    "lie", sorted({*lies()} - {*BY_OTHER_HEAD, "unindex"})
)  # an index needs 4,096 entries: test_cheat
def test_every_lie_is_made_and_named(lie: str, honest: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    made = done("cheat", lie, honest, copy, "--json").json
    assert made["steps"] == steps_of(lie)
    head = ["--head", tmp_path / "copy.head"] if lie in BY_EARLIER_HEAD else []
    said = dna("verify", copy, "--key", vkey_of(honest), *head, "--json")
    assert said.code == 1
    assert set(made["steps"]) <= set(failed_steps(said)), said.json["findings"]


def test_only_an_earlier_head_shows_a_history_written_anew(honest: Path, tmp_path: Path) -> None:
    people = done("cheat", "reroll", honest, tmp_path / "copy").out
    assert f"--head {tmp_path / 'copy.head'}" in people
    assert dna("verify", tmp_path / "copy", "--key", vkey_of(honest)).code == 0


def test_start_up_refuses_a_restored_old_copy(honest: Path, tmp_path: Path) -> None:
    done("cheat", *AT_START, honest, tmp_path / "copy")
    said = dna("heartbeat", tmp_path / "copy")
    assert (said.code, is_one_sentence(said.err)) == (3, True)


def test_the_list_has_every_lie_with_a_sentence() -> None:
    rows = done("cheat", "--list", "--json").json
    assert {row["lie"] for row in rows} == {*LIES, *BY_OTHER_HEAD, *AT_START}
    assert all(row["what"].endswith(".") and (row["steps"] or row["lie"] in BY_OTHER_HEAD) for row in rows)
    assert "flip" in done("cheat", "--list").out


def test_a_lie_needs_a_name_and_a_new_folder(honest: Path, tmp_path: Path) -> None:
    assert dna("cheat", "whatever", honest, tmp_path / "copy").code == 2
    assert dna("cheat", "flip", honest, tmp_path).code == 1
    assert dna("cheat", "flip", tmp_path / "absent", tmp_path / "copy").code == 3


def test_an_export_is_verified_as_the_folder_is(honest: Path, tmp_path: Path) -> None:
    file = tmp_path / "x.ndjson"
    done("export", honest, "-o", file)
    whole = dna("verify", honest, "--key", vkey_of(honest), "--json").json
    said = dna("verify", file, "--key", vkey_of(honest), "--json").json
    for report in (whole, said):
        del report["verdicts"]["freshness"]
    assert said == whole
    lines = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(b"".join(lines[:3] + lines[4:]))
    assert dna("verify", file, "--key", vkey_of(honest)).code == 1
    file.write_text("not an export")
    broken = dna("verify", file, "--key", vkey_of(honest))
    assert (broken.code, is_one_sentence(broken.err)) == (1, True)


def test_a_folder_beside_its_writer_and_over_http(tmp_path: Path) -> None:
    path = new_ledger(tmp_path)
    many = [submission(0, id=None, payload={"n": number}) for number in range(600)]
    for line in many:
        del line["id"]
    done("append", path, write_lines(tmp_path / "many.ndjson", *many))
    key = vkey_of(path)
    with open_ledger(path) as ledger, serving(ledger, Settings(port=0)) as address:
        assert done("verify", path, "--key", key).out.endswith("IT HOLDS\n")
        said = dna("verify", address, "--key", key, "--json")
    assert (said.code, said.json["findings"], said.json["pinned"]) == (0, [], True)
    status = {step["step"]: step["status"] for step in said.json["steps"]}
    assert (status[2], status[5], status[6], status[7]) == ("pass", "inconclusive", "pass", "pass")


def test_a_lie_is_named_over_http_too(honest: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    done("cheat", "rewrite", honest, copy)
    with open_ledger(copy) as ledger, serving(ledger, Settings(port=0)) as address:
        said = dna("verify", address, "--key", vkey_of(honest), "--json")
    assert (said.code, 4 in failed_steps(said)) == (1, True)


class Bending(Connection):
    """The real transport, but for one byte in each answer under a path; it stays a letter that base64 knows."""

    def __init__(self, address: str, path: str) -> None:
        super().__init__(parse_address(address))
        self.path = path

    def exchange(self, method: str, target: str, deadline: Deadline, **options: Any) -> Answer:
        answer = super().exchange(method, target, deadline, **options)
        if not target.startswith(self.path):
            return answer
        body = bytearray(answer.body)
        body[40] = ord("B") if body[40] == ord("A") else ord("A")
        return Answer(answer.status, bytes(body))


@pytest.mark.parametrize(
    ("path", "step"), [("/tile/1/", 6), ("/tile/entries/", 2), ("/checkpoint", 7), ("/none", None)]
)
def test_whatever_a_service_bends_is_named(path: str, step: int | None, tmp_path: Path) -> None:
    ledger_at = new_ledger(tmp_path)
    many = [{"type": "x.seen", "source": "bot", "payload": {"n": number}} for number in range(600)]
    done("append", ledger_at, write_lines(tmp_path / "many.ndjson", *many))
    with (
        open_ledger(ledger_at) as ledger,
        serving(ledger, Settings(port=0)) as address,
        RemoteLog(address, transport=Bending(address, path)) as log,
    ):
        report = audit.verify(RemoteSource(log), Vkey.parse(vkey_of(ledger_at)))
    named = {result.step for result in report.steps if result.status == "fail"}
    assert (step in named) if step else not named, report.findings


def test_where_nobody_answers_nobody_can_tell(tmp_path: Path) -> None:
    said = dna("verify", "http://127.0.0.1:1")
    assert (said.code, is_one_sentence(said.err)) == (3, True)
    shutil.copy(__file__, tmp_path / "x")
    assert dna("verify", tmp_path / "x").code == 1


def test_on_both_cores_the_same_is_found_in_a_folder_and_over_http(tmp_path: Path) -> None:
    """More entries than one segment has: each worker opens the folder, or asks the service, by itself."""
    path, events = tmp_path / "d", SEGMENT_EVENTS + 2000
    create(path, ORIGIN, policy=msgspec.structs.replace(POLICY, heartbeat_seconds_max=10**6))
    payload = payload_from_json("x.seen", 1, b'{"number":1}')
    drafts = [Draft(type="x.seen", schema=1, source="raw", payload=payload)] * BATCH_EVENTS_MAX
    with open_ledger(path) as ledger:
        for first in range(0, events, BATCH_EVENTS_MAX):
            ledger.append(drafts[: events - first])
        ledger.heartbeat()
        followers: list[Follower] = [IndexFollower(), ProjectionFollower(DETECTIONS)]
        Followers(ledger.store, ledger.reader, followers).catch_up()  # so that no report meets rows on their way
    with open_ledger(path) as ledger, serving(ledger, Settings(port=0)) as address:
        for begin in (0, SEGMENT_EVENTS // 2):
            options = ("--key", str(ledger.vkey), "--json", "--from-seq", str(begin))
            reports = [
                [{**dna("verify", place, *options, "--processes", count).json, "verdicts": 0} for count in "12"]
                for place in (path, address)
            ]
            for one, two in reports:
                assert one == two
                assert one["holds"]
            assert reports[0][0]["root"] == reports[1][0]["root"]

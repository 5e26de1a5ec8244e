"""Whatever a server does, no command that takes an address says what is false, hangs, or takes more than its share of memory."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from decision_dna.ledger.opening import open_ledger
from decision_dna.service.http.server import serving
from decision_dna.service.settings import Settings
from tests.attacks.faults import SHAPES, STATUS, TRANSPORT, changed, elsewhere, replaced
from tests.attacks.proxy import Asked, Fault, Proxy, answered, honest, proxied
from tests.cli.calling import (
    CODE,
    HANGS_SECONDS,
    Said,
    dna,
    done,
    is_one_sentence,
    new_ledger,
    submission,
    vkey_of,
    write_lines,
)

EVENTS = 300
MEMORY_BYTES_MAX = 300 * 1024 * 1024


class Scene(NamedTuple):
    """A real service, its key, and a folder with a file of submissions."""

    address: str
    key: str
    folder: Path

    def command(self, name: str, address: str, out: Path) -> list[str]:
        """The arguments of a command of the table below."""
        words = {"{key}": self.key, "{file}": str(self.folder / "more.ndjson"), "{out}": str(out), "{address}": address}
        return [words.get(word, word) for word in COMMANDS[name].split()]


COMMANDS = {
    "show": "show {address} 2",
    "query": "query {address} --type x.* --limit 5",
    "lineage": "lineage {address} 2",
    "tail": "tail {address} --from-seq 290",
    "status": "status {address}",
    "append": "append {address} {file}",
    "append with a key": "append {address} {file} --key {key}",
    "prove": "prove {address} 2 -o {out}",
    "prove a stream": "prove {address} --stream x/bot -o {out}",
    "verify": "verify {address} --processes 1",
    "verify with a key": "verify {address} --key {key}",
    "verify from a place": "verify {address} --key {key} --from-seq 256",
}
"""Every command that takes an address."""


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    folder = tmp_path_factory.mktemp("scene")
    path = new_ledger(folder, 3)
    many = [{"type": "x.seen", "source": "bot", "payload": {"n": number}} for number in range(EVENTS)]
    done("append", path, write_lines(folder / "many.ndjson", *many))
    done("heartbeat", path)
    write_lines(folder / "more.ndjson", submission(1), submission(2))
    with open_ledger(path) as ledger, serving(ledger, Settings(port=0)) as address:
        yield Scene(address, vkey_of(path), folder)


@pytest.fixture(scope="module")
def strangers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The service of another log of the same origin, with other keys."""
    path = new_ledger(tmp_path_factory.mktemp("strangers"), 5)
    done("heartbeat", path)
    with open_ledger(path) as ledger, serving(ledger, Settings(port=0)) as address:
        yield address


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """A deadline that tests can wait for."""
    monkeypatch.setenv("DNA_DEADLINE_SECONDS", "0.5")


def check_refused(said: Said, out: Path) -> None:
    """Exit code 3, with one sentence that says why; nothing was printed or written."""
    assert (said.code, said.out) == (3, ""), said
    assert said.err.startswith("dna: ")
    assert said.err.count("\n") == 1
    assert len(said.err) < 2000
    assert "Traceback" not in said.err
    assert not out.exists()


def cases(faults: dict[str, Fault], commands: tuple[str, ...]) -> list[tuple[str, str]]:
    """Each fault against one command, in turns, so that a short form meets all of both."""
    return [(fault, commands[at % len(commands)]) for at, fault in enumerate(faults)]


@pytest.mark.parametrize("name", COMMANDS)
def test_a_proxy_without_a_fault_changes_nothing(name: str, scene: Scene, tmp_path: Path) -> None:
    """Every command works through the proxy as long as it is honest."""
    with proxied(scene.address, honest) as proxy:
        said = dna(*scene.command(name, proxy.address, tmp_path / "out"))
    assert (said.code, said.err) == (0, ""), said


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize(("fault", "name"), cases(TRANSPORT, tuple(COMMANDS)))
def test_broken_http_ends_within_the_deadline(fault: str, name: str, scene: Scene, tmp_path: Path) -> None:
    """What is no complete HTTP answer within the budget is exit code 3, with the reason."""
    with proxied(scene.address, TRANSPORT[fault]) as proxy:
        check_refused(dna(*scene.command(name, proxy.address, tmp_path / "out")), tmp_path / "out")


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize(("fault", "name"), cases(STATUS | SHAPES, tuple(COMMANDS)))
def test_other_answers_than_asked_for_say_nothing(fault: str, name: str, scene: Scene, tmp_path: Path) -> None:
    """Another status, or another shape, is exit code 3, with the reason."""
    with proxied(scene.address, (STATUS | SHAPES)[fault]) as proxy:
        check_refused(dna(*scene.command(name, proxy.address, tmp_path / "out")), tmp_path / "out")


def test_a_redirect_is_not_followed_and_takes_no_key_along(
    scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever is pointed elsewhere asks nobody there."""
    monkeypatch.setenv("MASTER_API_KEY", "very-secret")

    def elsewhere(proxy: Proxy, asked: Asked) -> Iterator[bytes]:
        yield answered(b"", 302, f"location: {target.address}/api/events")

    with proxied(scene.address, honest) as target, proxied(scene.address, elsewhere) as proxy:
        monkeypatch.setenv("DNA_API_ORIGIN", proxy.address)
        for name in COMMANDS:
            said = dna(*scene.command(name, proxy.address, tmp_path / "out"))
            assert (said.code, "302" in said.err) == (3, True), (name, said)
        assert target.asked == []
        assert {asked.headers.get("x-api-key") for asked in proxy.asked if asked.method == "POST"} == {"very-secret"}


def test_a_key_that_is_for_another_service_is_not_sent(
    scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MASTER_API_KEY is sent to no address but the one that DNA_API_ORIGIN names, whichever command asks."""
    monkeypatch.setenv("MASTER_API_KEY", "very-secret")
    for origin in ("", "https://ledger.example.org"):
        monkeypatch.setenv("DNA_API_ORIGIN", origin)
        with proxied(scene.address, honest) as proxy:
            for name in COMMANDS:
                assert dna(*scene.command(name, proxy.address, tmp_path / "out")).code == 0
        assert "very-secret" not in str(proxy.asked)


# --- evidence ----------------------------------------------------------------------------------------------------------


def bent(data: bytes) -> bytes:
    """Evidence with another byte in the middle of an entry, still base64."""
    at = data.index(b'"role":"event","entry":"') + 200
    return data[:at] + (b"B" if data[at : at + 1] == b"A" else b"A") + data[at + 1 :]


EVENT, RUN = "/api/events/2/evidence", "/api/streams/x/bot/evidence"
WRONG_EVIDENCE: dict[str, tuple[str, Fault, int]] = {
    "of another event": ("prove {address} 2 -o {out}", replaced(EVENT, "/api/events/3/evidence"), 3),
    "with a payload that was to be left out": (
        "prove {address} 2 --no-payload -o {out}",
        replaced(EVENT, "/api/events/2/evidence?payload=true"),
        3,
    ),
    "with an entry that was changed": ("prove {address} 2 -o {out}", changed(EVENT, bent), 1),
    "cut in the middle": ("prove {address} 2 -o {out}", changed(EVENT, lambda data: data[: len(data) // 2]), 3),
    "of a run instead of an event": (
        "prove {address} 2 -o {out}",
        replaced(EVENT, "/api/streams/x/bot/evidence?from=1970-01-01T00:00:00Z&to=2001-01-01T00:00:00Z"),
        3,
    ),
    "of another time": (
        "prove {address} --stream x/bot -o {out}",
        replaced(RUN, "/api/streams/x/bot/evidence?from=1970-01-01T00:00:00Z&to=2001-01-01T00:00:00Z"),
        3,
    ),
    "of another stream": (
        "prove {address} --stream x/bot --to 978307200000000000 -o {out}",
        replaced(RUN, "/api/streams/x/nobody/evidence?from=1970-01-01T00:00:00Z&to=2001-01-01T00:00:00Z"),
        3,
    ),
    "after a heartbeat without a time": (
        "prove {address} --stream x/bot -o {out}",
        changed("/api/events", lambda data: data.replace(b'"recorded_at":"2', b'"recorded_at":"x')),
        3,
    ),
}


@pytest.mark.parametrize("what", WRONG_EVIDENCE)
def test_prove_writes_no_evidence_that_was_not_asked_for(what: str, scene: Scene, tmp_path: Path) -> None:
    """Evidence that does not hold, or is of something else, is refused before a word is printed or a file is written."""
    command, fault, code = WRONG_EVIDENCE[what]
    words = {"{out}": str(tmp_path / "out")}
    with proxied(scene.address, fault) as proxy:
        words["{address}"] = proxy.address
        said = dna(*[words.get(word, word) for word in command.split()])
    assert (said.code, said.out) == (code, ""), said
    assert [*tmp_path.iterdir()] == []


def test_prove_says_whose_log_it_is_only_with_a_key(scene: Scene, strangers: str, tmp_path: Path) -> None:
    """Another log's evidence holds in itself: without a key that is said, with one it is refused."""
    with proxied(scene.address, elsewhere(strangers)) as proxy:
        command = ["prove", proxy.address, 2, "-o", tmp_path / "out"]
        said = dna(*command, "--key", scene.key)
        assert (said.code, said.out, [*tmp_path.iterdir()]) == (1, "", [])
        assert "nothing says whose log it is: give --key" in done(*command).out
        assert done(*command, "--json").json["pinned"] is False
    said = done("prove", scene.address, 2, "-o", tmp_path / "out", "--key", scene.key)
    assert "it holds under the key" in said.out


def test_prove_says_where_a_payload_is_missing(scene: Scene, tmp_path: Path) -> None:
    """Evidence without the payload that was asked for is good, and its lack is said."""
    with proxied(scene.address, replaced(EVENT, "/api/events/2/evidence?payload=false")) as proxy:
        assert "without its payload" in done("prove", proxy.address, 2, "-o", tmp_path / "out").out


# --- what is read ------------------------------------------------------------------------------------------------------


def events(change: Callable[[dict[str, Any]], None]) -> Fault:
    """The real pages, events and graphs, but for what a function changes in them."""

    def bend(data: bytes) -> bytes:
        value = json.loads(data)
        change(value)
        return json.dumps(value).encode()

    return changed("/api/", bend)


def endless(proxy: Proxy, asked: Asked) -> Iterator[bytes]:
    """Pages that go on for ever: every event after the ones before, whatever the log has."""
    good = json.loads(proxy.fetch(asked._replace(target="/api/events?limit=1")).body)
    first = int(asked.target.partition("from_seq=")[2].partition("&")[0] or 0)
    good["events"] = [{**good["events"][0], "seq": first + at} for at in range(10)]
    yield answered(json.dumps({**good, "next_cursor": "x"}).encode())


WRONG_ANSWERS: dict[str, tuple[str, Fault]] = {
    "another event": ("show {address} 2", replaced("/api/events/2", "/api/events/3")),
    "an event of another source": (
        "query {address} --source bot",
        events(lambda page: page["events"][0].update(source="other")),
    ),
    "an event of another type": ("query {address} --type x.*", replaced("/api/events", "/api/events?type=ledger.*")),
    "an event of another time": ("query {address} --to 2001-01-01T00:00:00Z", replaced("/api/events", "/api/events")),
    "events without a time": (
        "query {address} --from 2001-01-01T00:00:00Z",
        events(lambda page: page["events"][0].update(recorded_at="soon")),
    ),
    "more events than asked for": ("query {address} --limit 2", replaced("/api/events", "/api/events?limit=9")),
    "events in another order": ("query {address}", replaced("/api/events", "/api/events?order=desc")),
    "events with a gap": ("tail {address}", events(lambda page: page["events"].pop(3))),
    "events past the checkpoint": ("query {address}", events(lambda page: page["events"][-1].update(seq=10**6))),
    "events from another place on": ("tail {address}", replaced("/api/events", "/api/events?from_seq=2")),
    "no checkpoint": ("query {address}", events(lambda page: page.update(checkpoint="x"))),
    "a graph of another event": ("lineage {address} 2", replaced("/api/events/2", "/api/events/3/lineage")),
    "a graph with edges to nowhere": ("lineage {address} 2", events(lambda graph: graph.update(edges=[[1, 99]]))),
    "effects before their causes": ("lineage {address} 2", events(lambda graph: graph.update(edges=[[2, 2]]))),
}


@pytest.mark.parametrize("what", WRONG_ANSWERS)
def test_what_was_not_asked_for_is_not_shown(what: str, scene: Scene, tmp_path: Path) -> None:
    """Events that do not fit the question are refused as a whole page."""
    command, fault = WRONG_ANSWERS[what]
    with proxied(scene.address, fault) as proxy:
        check_refused(dna(*command.replace("{address}", proxy.address).split()), tmp_path / "out")


@pytest.mark.parametrize("name", ["show", "query", "lineage", "tail", "status"])
def test_what_a_service_says_is_called_its_word(name: str, scene: Scene, strangers: str, tmp_path: Path) -> None:
    """What no key verifies is said to be the service's word: it may be another log's."""
    with proxied(scene.address, elsewhere(strangers)) as proxy:
        said = done(*scene.command(name, proxy.address, tmp_path / "out"))
    assert said.out.splitlines()[-1].startswith(f"as {proxy.address} says: nothing of this was verified")


def test_tail_does_not_follow_pages_that_never_end(scene: Scene) -> None:
    """Pages go on for ever, and the first page's checkpoint does not: nothing past it is printed."""
    size = json.loads(done("status", scene.address, "--json").out)["size"]
    with proxied(scene.address, endless) as proxy:
        said = dna("tail", proxy.address, "--json")
    assert (said.code, is_one_sentence(said.err)) == (3, True)
    assert [event["seq"] for event in said.lines] == [*range(len(said.lines))]
    assert len(said.lines) <= size


def test_tail_ends_where_the_log_did_when_it_began(scene: Scene) -> None:
    """Without --follow the first page's checkpoint says where the end is."""
    size = json.loads(done("status", scene.address, "--json").out)["size"]
    assert [event["seq"] for event in done("tail", scene.address, "--json").lines] == [*range(size)]


# --- receipts ----------------------------------------------------------------------------------------------------------


def receipts(change: Callable[[dict[str, Any]], dict[str, Any]]) -> Fault:
    """The real answers, but for receipts."""

    def bend(data: bytes) -> bytes:
        value = json.loads(data)
        return json.dumps(change(value)).encode() if "outcomes" in value else data

    return changed("/api/events", bend)


def replaying(proxy: Proxy, asked: Asked) -> Iterator[bytes]:
    """Every submission is answered with the receipt of the first one, and never reaches the service."""
    if asked.method == "POST" and "receipt" in proxy.kept:
        good = proxy.kept["receipt"]
    else:
        good = proxy.fetch(asked)
        if asked.method == "POST":
            proxy.kept["receipt"] = good
    yield answered(good.body, good.status)


WRONG_RECEIPTS: dict[str, Fault] = {
    "with outcomes of other lines": receipts(lambda r: {**r, "outcomes": r["outcomes"][::-1]}),
    "with an outcome too few": receipts(lambda r: {**r, "outcomes": r["outcomes"][:-1]}),
    "with an outcome elsewhere": receipts(lambda r: {**r, "outcomes": [1, *r["outcomes"][1:]]}),
    "with another salt": receipts(lambda r: {**r, "salts": ["00" * 16 for _ in r["salts"]]}),
    "with other ids": receipts(lambda r: {**r, "ids": r["ids"][::-1]}),
    "with another entry": receipts(lambda r: {**r, "entries": r["entries"][::-1]}),
    "that says that nothing is new": receipts(
        lambda r: {**r, "first": 0, "count": 0, "ids": [], "hashes": [], "entries": [], "salts": [], "proof": []}
    ),
}


@pytest.mark.parametrize("key", [True, False])
@pytest.mark.parametrize("what", WRONG_RECEIPTS)
def test_append_repeats_nothing_of_a_receipt_that_does_not_hold(
    what: str, key: bool, scene: Scene, tmp_path: Path
) -> None:
    """A receipt that does not say what was submitted is exit code 1, and no word of it is printed."""
    lines = [{"type": "x.seen", "source": "bot", "payload": {"n": number, "what": what}} for number in range(2)]
    file = write_lines(tmp_path / "lines.ndjson", *lines)
    options = ["--key", scene.key] if key else []
    with proxied(scene.address, WRONG_RECEIPTS[what]) as proxy:
        for form in ([], ["--json"]):
            said = dna("append", proxy.address, file, *options, *form)
            assert (said.code, said.out) == (1, ""), said
            assert said.err.startswith("dna: lines 1 to 2: the receipt of http://127.0.0.1")
            assert said.err.endswith("whether they were appended is not known\n")


def test_append_refuses_a_replayed_receipt(scene: Scene, tmp_path: Path) -> None:
    """A receipt of before is no answer to the same lines, with ids or without, nor to others."""
    plain = {"type": "x.seen", "source": "bot", "payload": {"n": 1}}
    file = write_lines(tmp_path / "lines.ndjson", submission(40), plain)
    others = write_lines(tmp_path / "others.ndjson", submission(41), plain)
    with proxied(scene.address, replaying) as proxy:
        assert done("append", proxy.address, file, "--key", scene.key).out.startswith("2 appended")
        for again in (file, others):
            said = dna("append", proxy.address, again, "--key", scene.key)
            assert (said.code, said.out) == (1, ""), said
            assert "does not hold" in said.err


def test_append_submits_nothing_to_another_log(scene: Scene, strangers: str) -> None:
    """With a key that did not sign the newest head, nothing is submitted; an answer of another log is refused."""
    command = ["append", scene.folder / "more.ndjson", "--key", scene.key]
    with proxied(scene.address, elsewhere(strangers)) as proxy:
        said = dna(command[0], proxy.address, *command[1:])
        assert (said.code, said.out, "is not signed by" in said.err) == (1, "", True), said
        assert [asked.target for asked in proxy.asked] == ["/checkpoint"]
    with proxied(scene.address, elsewhere(strangers, "/api/events")) as proxy:
        said = dna(command[0], proxy.address, *command[1:])
        assert (said.code, said.out, "does not hold" in said.err) == (1, "", True), said


def test_append_without_a_key_says_that_nothing_was_verified(scene: Scene) -> None:
    """What a service answers is its word alone, and that is said, on stderr where stdout is for machines."""
    said = done("append", scene.address, scene.folder / "more.ndjson")
    assert said.out.endswith("nothing of this was verified: that is what the service says, and --key checks it\n")
    said = dna("append", scene.address, scene.folder / "more.ndjson", "--json")
    assert (said.code, len(said.lines), "nothing of this was verified" in said.err) == (0, 1, True)
    said = done("append", scene.address, scene.folder / "more.ndjson", "--key", scene.key)
    assert said.out == "0 appended, 2 were there already, 0 refused\n"


def test_what_a_service_refuses_is_its_word(scene: Scene, tmp_path: Path) -> None:
    """Nobody can prove that a line was refused: the sentence says who says so."""
    file = write_lines(tmp_path / "bad.ndjson", submission(1, payload={"n": 77}), submission(42))
    for flags in ([], ["--skip-bad"]):
        said = dna("append", scene.address, file, "--key", scene.key, *flags)
        assert (said.code, f": {scene.address} says: id " in said.err) == (1, True), said


# --- in a process of its own, measured ---------------------------------------------------------------------------------


def check_measured(arguments: list[str], deadline_seconds: float = 1.0, code: int = 3) -> None:
    """An exit code in bounded memory, and nothing printed. A command that hangs is ended, and fails the test."""
    environment = {**os.environ, "DNA_DEADLINE_SECONDS": str(deadline_seconds)}
    command = [sys.executable, "-c", MEASURED, *arguments]
    ran = subprocess.run(
        command, capture_output=True, text=True, check=False, env=environment, timeout=HANGS_SECONDS, input=""
    )
    *said, used = ran.stderr.splitlines()
    assert (ran.returncode, ran.stdout) == (code, ""), ran
    assert len(said) == 1, ran.stderr
    assert int(used) * 1024 < MEMORY_BYTES_MAX, f"{used} KB"


MEASURED = f"""
import atexit
def peak():  # of this program alone: ru_maxrss begins with what the parent had when it forked
    with open("/proc/self/status") as status:
        return next(line.split()[1] for line in status if line.startswith("VmHWM:"))
atexit.register(lambda: sys.stderr.write(peak() + "\\n"))
{CODE}
""".replace("import atexit", "import sys, atexit", 1)

FLOODS = [
    ("stacked encodings", "status"),
    ("endless chunks of one byte", "verify"),
    ("an endless body", "query"),
    ("many empty lists in an event", "show"),
    ("many short texts", "lineage"),
]


@pytest.mark.parametrize(("fault", "name"), FLOODS)
def test_a_flood_takes_bounded_memory(fault: str, name: str, scene: Scene, tmp_path: Path) -> None:
    """The worst of them stay below 300 MB."""
    with proxied(scene.address, (TRANSPORT | SHAPES)[fault]) as proxy:
        check_measured(scene.command(name, proxy.address, tmp_path / "out"))


@pytest.mark.torture
@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize("fault", [*TRANSPORT, *STATUS, *SHAPES])
def test_every_command_against_every_fault(fault: str, name: str, scene: Scene, tmp_path: Path) -> None:
    """Each in a process of its own: exit code 3, within its deadline and memory, and nothing written."""
    with proxied(scene.address, (TRANSPORT | STATUS | SHAPES)[fault]) as proxy:
        check_measured(scene.command(name, proxy.address, tmp_path / "out"))
    assert not (tmp_path / "out").exists()

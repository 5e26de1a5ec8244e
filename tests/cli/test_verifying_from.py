"""`dna verify --from-seq`: lies after the place are named by their steps, lies before it are not, and the report says so."""

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from decision_dna.ledger import audit, hashing, layout, merkle
from decision_dna.ledger.cheat import LIES, Copy, Row
from decision_dna.ledger.entrance import enter
from decision_dna.ledger.entrance_store import EnterableStore
from decision_dna.ledger.folder import read_folder
from decision_dna.ledger.keyring import read_keyring
from decision_dna.ledger.lock import Locked
from decision_dna.ledger.notes import Vkey, note_of, sign_checkpoint
from decision_dna.ledger.opening import open_ledger
from decision_dna.ledger.rocks import RocksStore
from decision_dna.ledger.signatures import SigningKey
from decision_dna.ledger.store import Store
from decision_dna.ledger.streams import StreamHead
from decision_dna.ledger.verification import SEGMENT_EVENTS
from decision_dna.schemas import codec
from decision_dna.schemas.errors import ProofRejected, Refused, Unavailable
from decision_dna.schemas.ledgering import HEARTBEAT, KEY
from decision_dna.service.http.server import serving
from decision_dna.service.settings import Settings
from tests.cli.calling import Said, dna, done, is_one_sentence, new_ledger, submission, vkey_of, write_lines
from tests.ledger.samples import SECOND, Author, draft, fill, register
from tests.ledger.samples import new_ledger as new_sample

PLACE = 768
"""Where it begins, the fourth tile: the one before holds the newest heartbeat, the first the keys, the second nothing that is read."""


@pytest.fixture(scope="module")
def honest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Some 800 entries of every kind, with the head of the size `kept` beside it."""
    path = tmp_path_factory.mktemp("from") / "d"
    ledger, clock = new_sample(path)
    with ledger:
        ledger.append([draft(1, "early")])  # a stream that nobody speaks in after the place
        fill(ledger, clock, 100)
        for number in range(4):  # so long that a heartbeat that is taken out is missed
            clock.advance(40 * SECOND)
            ledger.append([draft(number)])
        ledger.heartbeat()
        ledger.append([draft(990, "raw")])
    return path


def head_of(path: Path, least: int) -> tuple[int, bytes]:
    """The smallest kept head of at least that size."""
    with read_folder(path) as view:
        size = next(size for size in view.reader.heads() if size >= least)
        return size, view.reader.note_of(size)


def kept(path: Path, folder: Path, least: int = PLACE + 10) -> Path:
    file = folder / f"{least}.head"
    file.write_bytes(head_of(path, least)[1])
    return file


def verify(path: object, key: str, *more: object) -> Said:
    return dna("verify", path, "--key", key, "--from-seq", PLACE + 5, "--json", *more)


def failed_steps(said: Said) -> set[int]:
    return {step["step"] for step in said.json["steps"] if step["status"] == "fail"}


# --- what holds ----------------------------------------------------------------------------------------------------


def test_from_a_place_on_it_holds_and_what_is_left_open_is_said(honest: Path, tmp_path: Path) -> None:
    size, _ = head_of(honest, PLACE + 10)
    said = verify(honest, vkey_of(honest), "--head", kept(honest, tmp_path))
    assert (said.code, said.json["findings"], said.json["pinned"], said.json["tied"]) == (0, [], True, True)
    assert [step["status"] for step in said.json["steps"][:7]] == ["pass"] * 7
    assert (said.json["from_seq"], said.json["steps"][0]["text"]) == (
        PLACE,
        f"from seq {PLACE} on: {said.json['size'] - PLACE} entries",
    )
    assert said.json["verdicts"]["integrity"] == said.json["verdicts"]["completeness"] == f"pass from seq {PLACE} on"
    assert f"they are the entries under your head of size {size}" in " ".join(said.json["unverified"])
    assert "newest anchor" not in said.json["verdicts"]["freshness"]
    assert said.json["unverified"][0].startswith(f"entries 0 to {PLACE - 1} were not verified")


def test_people_read_the_same(honest: Path, tmp_path: Path) -> None:
    said = done("verify", honest, "--key", vkey_of(honest), "--from-seq", PLACE).out
    assert f"\nunverified: entries 0 to {PLACE - 1} were not verified" in said
    assert said.endswith(f"IT HOLDS from seq {PLACE} on\n")


def test_the_whole_log_gives_the_same_root_and_head(honest: Path) -> None:
    whole = dna("verify", honest, "--key", vkey_of(honest), "--json").json
    said = verify(honest, vkey_of(honest)).json
    assert (said["root"], said["size"], said["heartbeat_at"]) == (whole["root"], whole["size"], whole["heartbeat_at"])
    assert (whole["from_seq"], whole["unverified"], whole["tied"]) == (0, [], True)


def test_nothing_ties_it_without_a_head_that_reaches_so_far(tmp_path: Path) -> None:
    path = new_ledger(tmp_path)
    events = [{**submission(0), "payload": {"n": n}} for n in range(900)]
    for event in events:
        del event["id"]
    done("append", path, write_lines(tmp_path / "e.ndjson", *events[:300]))
    short = kept(path, tmp_path, 300)
    done("append", path, write_lines(tmp_path / "e.ndjson", *events[300:]))
    done("heartbeat", path)
    done("anchor", "once", path)
    whole = kept(path, tmp_path, 901)
    place = ("--from-seq", PLACE, "--key", vkey_of(path), "--strict", "--json")
    alone = dna("verify", path, *place)
    assert (alone.code, alone.json["holds"], alone.json["tied"]) == (3, True, False)
    assert "give --head" in " ".join(alone.json["unverified"])
    gap = dna("verify", path, *place, "--head", short)
    assert (gap.code, gap.json["tied"]) == (3, False)
    size = note_of(short.read_bytes()).size
    assert f"entries {size} to {PLACE - 1} were verified neither now nor" in " ".join(gap.json["unverified"])
    assert dna("verify", path, *place, "--head", whole).code == 0


def test_what_is_kept_today_ties_what_is_verified_tomorrow(tmp_path: Path) -> None:
    path, seen = new_ledger(tmp_path), tmp_path / "seen.head"
    events = write_lines(
        tmp_path / "e.ndjson", *({"type": "x.seen", "source": "bot", "payload": {}} for _ in range(400))
    )
    done("append", path, events)
    done("verify", path, "--key", vkey_of(path), "--keep", seen)
    size = note_of(seen.read_bytes()).size
    done("append", path, events)
    said = done(
        "verify", path, "--key", vkey_of(path), "--head", seen, "--from-seq", size, "--keep", seen, "--json"
    ).json
    assert (said["from_seq"], said["tied"], note_of(seen.read_bytes()).size) == (256, True, 801)
    (tmp_path / "other").mkdir()
    other = new_ledger(tmp_path / "other")
    assert dna("verify", path, "--key", vkey_of(other), "--keep", tmp_path / "none").code == 1
    unpinned = dna("verify", path, "--keep", tmp_path / "none")
    untied = dna("verify", path, "--key", vkey_of(path), "--from-seq", 300, "--keep", tmp_path / "none")
    assert (unpinned.code, untied.code) == (3, 3)
    assert untied.out.endswith("no head was kept\n")
    done("cheat", "payload", path, tmp_path / "lie")
    assert dna("verify", tmp_path / "lie", "--key", vkey_of(path), "--keep", tmp_path / "none").code == 1
    assert not (tmp_path / "none").exists()


def test_an_earlier_head_is_held_against_a_long_log_in_two_processes(tmp_path: Path) -> None:
    ledger, _ = new_sample(tmp_path / "d")
    with ledger:
        for first in range(0, SEGMENT_EVENTS + 10, 10_000):
            ledger.append([draft(number, "raw") for number in range(first, first + 10_000)])
    head = kept(tmp_path / "d", tmp_path, 20_000)
    said = dna("verify", tmp_path / "d", "--key", vkey_of(tmp_path / "d"), "--head", head, "--json")
    assert (said.code, said.json["findings"]) == (0, [])
    file = tmp_path / "x.ndjson"
    done("export", tmp_path / "d", "-o", file)
    exported = dna("verify", file, "--key", vkey_of(tmp_path / "d"), "--head", head, "--json")
    reports = exported.json, said.json
    for report in reports:
        del report["verdicts"]["freshness"]
    assert (exported.code, reports[0]) == (0, reports[1])
    lines = file.read_bytes().splitlines(keepends=True)
    for at, bent in (
        (30_000, lines[30_001]),
        (SEGMENT_EVENTS + 5, lines[-1]),
    ):  # an entry twice; a head among the entries
        file.write_bytes(b"".join([*lines[:at], bent, *lines[at + 1 :]]))
        assert dna("verify", file, "--key", vkey_of(tmp_path / "d")).code == 1
    another = msgspec.structs.replace(note_of(head.read_bytes()), root=b"\x07" * 32)
    head.write_bytes(sign_checkpoint(another, read_keyring(tmp_path / "d" / "keys").of_purpose("log")))
    lie = dna("verify", tmp_path / "d", "--key", vkey_of(tmp_path / "d"), "--head", head, "--json")
    assert (lie.code, failed_steps(lie)) == (1, {7})


@pytest.mark.parametrize("first", [256, 512, 768, 256 * 255, 256 * 257, 65_536, 3 * 65_536 + 256])
def test_segments_are_whole_subtrees_wherever_it_begins(first: int) -> None:
    class Long:
        origin, size, payloads_known = "example.org/long", 5 * SEGMENT_EVENTS + 7, True

    works = list(audit._work(Long(), [], [first, first + 1, 4 * SEGMENT_EVENTS], frozenset(), first))  # type: ignore[arg-type]
    assert [work.end for work in works] == [*[work.start for work in works[1:]], Long.size]
    assert works[0].start == first
    assert all(work.start % min(work.end - work.start, SEGMENT_EVENTS) == 0 for work in works[:-1])
    assert [size for work in works for size in work.sizes] == [first + 1, 4 * SEGMENT_EVENTS]


# --- lies after the place ------------------------------------------------------------------------------------------


class Later(Copy):
    """A copy whose lies are about what comes after the place."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.heads = [head for head in self.heads if head[0] > PLACE]

    def first(self, wanted: Callable[[Row], bool]) -> int:
        return next(at for at, row in enumerate(self.rows) if at > PLACE + 2 and wanted(row))


ABOUT_ALL_OF_IT = ("reroll", "rewind", "unrevoke", "unindex")
"""Shown by an earlier head, by a change of keys, or by indexes, of which there are none here."""


@pytest.mark.parametrize("lie", [name for name in LIES if name not in ABOUT_ALL_OF_IT])
def test_every_lie_after_the_place_is_named_by_its_step(lie: str, honest: Path, tmp_path: Path) -> None:
    copy = Later(honest)
    LIES[lie][0](copy)
    copy.write(honest, tmp_path / "lie")
    said = verify(tmp_path / "lie", vkey_of(honest))
    assert said.code == 1
    assert set(LIES[lie][1]) <= failed_steps(said), said.json["findings"]


def test_a_history_written_anew_after_the_place_contradicts_an_earlier_head(honest: Path, tmp_path: Path) -> None:
    with read_folder(honest) as view:
        newest = kept(honest, tmp_path, view.reader.size)
    copy = Later(honest)
    LIES["reroll"][0](copy)
    copy.write(honest, tmp_path / "lie")
    assert verify(tmp_path / "lie", vkey_of(honest)).code == 0
    assert failed_steps(verify(tmp_path / "lie", vkey_of(honest), "--head", newest)) == {7}


def test_another_key_does_not_hold(honest: Path, tmp_path: Path) -> None:
    said = verify(honest, vkey_of(new_ledger(tmp_path)))
    assert (said.code, failed_steps(said)) == (1, {7})


# --- lies before it ------------------------------------------------------------------------------------------------

RESIGNED = ("backdate", "alter", "transplant")
"""Lies of an operator that leave as many entries as there were: tree, links and heads are made to fit."""


class Earlier(Copy):
    """A copy whose lies are about what comes before the place, and after the last change of keys before it."""

    def first(self, wanted: Callable[[Row], bool]) -> int:
        return next(at for at, row in enumerate(self.rows) if at > 10 and wanted(row))


@pytest.mark.parametrize("lie", ["rewrite", "weaken", "reorder", "retime"])
def test_a_thief_before_the_place_contradicts_the_next_heartbeat(lie: str, honest: Path, tmp_path: Path) -> None:
    """Without the notary's key a history can't be written anew under a heartbeat, also one that stands after the place."""
    copy = Earlier(honest)
    LIES[lie][0](copy)
    copy.write(honest, tmp_path / "lie")
    assert 3 in failed_steps(verify(tmp_path / "lie", vkey_of(honest)))


@pytest.mark.parametrize("lie", ["rewrite", "weaken", "transplant"])
def test_a_lie_before_a_change_of_keys_contradicts_what_root_named(lie: str, honest: Path, tmp_path: Path) -> None:
    """Root named the log before it; so a history that was written anew under a key change is found, also from a place after both."""
    copy = Copy(honest)
    copy.first = lambda wanted: 1  # type: ignore[method-assign]  # the event before the first change of keys
    LIES[lie][0](copy)
    copy.write(honest, tmp_path / "lie")
    said = verify(tmp_path / "lie", vkey_of(honest))
    assert (said.code, is_one_sentence(said.err)) == (1, True)
    assert "names another root" in said.err


@pytest.mark.parametrize("lie", RESIGNED)
def test_a_lie_before_the_place_is_not_found_and_that_is_said(lie: str, honest: Path, tmp_path: Path) -> None:
    copy = Earlier(honest)
    LIES[lie][0](copy)
    copy.write(honest, tmp_path / "lie")
    said = verify(tmp_path / "lie", vkey_of(honest))
    assert (said.code, said.json["tied"]) == (0, False)
    assert f"nothing but this log's own signature says that entries 0 to {PLACE - 1}" in said.json["unverified"][1]


@pytest.mark.parametrize("lie", [*RESIGNED, "reroll"])
@pytest.mark.parametrize("least", [20, PLACE - 20, PLACE + 10])
def test_a_head_from_before_shows_a_lie_under_it(lie: str, least: int, honest: Path, tmp_path: Path) -> None:
    copy = Earlier(honest)
    if lie == "reroll":  # which drops the last event; here the first
        del copy.rows[copy.first(lambda row: row.entry.attestation == "notary" and isinstance(row.payload, bytes))]
        copy.relink(1)
        copy.sign_heads()
    else:
        LIES[lie][0](copy)
    copy.write(honest, tmp_path / "lie")
    said = verify(tmp_path / "lie", vkey_of(honest), "--head", kept(honest, tmp_path, least))
    assert not said.json["tied"]
    assert (said.code, failed_steps(said) - {5}) == (1, {7})  # 5: an erasure names its event by a seq that has moved
    assert "history was rewritten" in str(said.json["findings"])


def put(store: RocksStore, family: str, key: bytes, value: bytes | None) -> None:
    batch = store.batch()
    if value is None:
        batch.delete(family, key)
    else:
        batch.put(family, key, value)
    store.write(batch, durable=True)


def moved(store: RocksStore, family: str, key: bytes) -> None:
    put(store, family, key, (store.get(family, key) or b"")[:-1] + b"\x07")


STORED: dict[str, tuple[Callable[[RocksStore], None], set[int]]] = {
    "another tip": (lambda store: moved(store, "meta", layout.TIP_KEY), {6}),
    "other entries that change keys": (lambda store: put(store, "meta", layout.AUTHORITY_KEY, b"\x91\x00"), {6}),
    "a statement about them that nobody signed": (lambda store: moved(store, "meta", layout.ACCOUNTED_KEY), {4}),
    "a row that nobody knows": (lambda store: put(store, "meta", b"more", b""), {6}),
    "a stream that stands elsewhere": (lambda store: moved(store, "streams", b"x/raw"), {3}),
    "a stream without its row": (lambda store: put(store, "streams", b"x/raw", None), {3}),
    "a kept head past the end": (lambda store: put(store, "heads", layout.seq_key(10**6), b""), {7}),
    "a node past the end": (lambda store: put(store, "nodes", layout.node_key(8, 77), bytes(32)), {6}),
    "an entry past the end": (lambda store: put(store, "entries", layout.seq_key(10**6), b"\x91\xc4\x00"), {1}),
    "an entry before the beginning": (lambda store: put(store, "entries", b"\x00", b"\x91\xc4\x00"), {1}),
    "a payload past the end": (lambda store: put(store, "payloads", layout.seq_key(10**6), b"\x91\xc0"), {5}),
}
"""What is stored beside the entries from the place on, and the step that names it."""


@pytest.mark.parametrize("what", STORED)
def test_what_is_stored_beside_the_entries_is_compared(what: str, honest: Path, tmp_path: Path) -> None:
    lie, steps = STORED[what]
    Copy(honest).write(honest, tmp_path / "lie")
    with RocksStore.open(str(tmp_path / "lie" / "db"), create=False) as store:
        lie(store)
    said = verify(tmp_path / "lie", vkey_of(honest))
    assert (said.code, failed_steps(said)) == (1, steps), said.json["findings"]


def bend(path: Path, copy: Path, at: int) -> None:
    """A copy with one byte of an entry changed on disk; nothing else is made to fit."""
    Copy(path).write(path, copy)
    with RocksStore.open(str(copy / "db"), create=False) as store:
        first, run = store.last("entries", layout.seq_key(at)) or (b"", b"")
        entries = layout.split_entries(run)
        bent = bytearray(entries[at - int.from_bytes(first)])
        bent[-5] ^= 1
        entries[at - int.from_bytes(first)] = bytes(bent)
        batch = store.batch()
        batch.put("entries", first, layout.join_entries(entries))
        store.write(batch, durable=True)


def places(path: Path, wanted: Callable[[Row], bool]) -> list[int]:
    return [at for at, row in enumerate(Copy(path).rows) if wanted(row)]


def test_a_byte_on_disk_before_the_place_is_not_looked_at(honest: Path, tmp_path: Path) -> None:
    at = next(at for at in places(honest, lambda row: isinstance(row.payload, bytes)) if at > 300)
    bend(honest, tmp_path / "lie", at)
    said = verify(tmp_path / "lie", vkey_of(honest), "--head", kept(honest, tmp_path))
    assert (said.code, said.json["findings"]) == (0, [])
    assert dna("verify", tmp_path / "lie", "--key", vkey_of(honest)).code == 1


@pytest.mark.parametrize(
    ("kind", "which", "step"), [(KEY, 0, "step 3"), (HEARTBEAT, 2, "step 3"), (HEARTBEAT, -1, "step 6")]
)
def test_what_the_keys_rest_on_is_looked_at_wherever_it_stands(
    kind: str, which: int, step: str, honest: Path, tmp_path: Path
) -> None:
    at = [at for at in places(honest, lambda row: row.claim.type == kind) if at < PLACE][which]
    bend(honest, tmp_path / "lie", at)
    said = verify(tmp_path / "lie", vkey_of(honest))
    assert (said.code, is_one_sentence(said.err)) == (1, True)
    assert step in said.err


def by_root(copy: Copy, **fields: object) -> None:
    """The first key entry says something else, signed as it must be."""
    at = copy.first(lambda row: row.claim.type == KEY)
    copy.change_claim(at, **fields)
    entry = copy.rows[at].entry
    signature = copy.keys.of_purpose("root")[0].sign(hashing.author_message(entry.claim))
    copy.rows[at].entry = msgspec.structs.replace(entry, signature=signature)


def unsigned(copy: Copy) -> None:
    copy.change_claim(copy.first(lambda row: row.claim.type == KEY), subject="another")


def misnumbered(copy: Copy) -> None:
    row = copy.rows[copy.first(lambda row: row.claim.type == KEY)]
    row.raw = codec.encode(msgspec.structs.replace(row.entry, seq=7))


BENT_KEYS: dict[str, tuple[Callable[[Copy], None], str]] = {
    "not signed by the root key": (unsigned, "step 4"),
    "of another log": (lambda copy: by_root(copy, origin="elsewhere.example/log"), "step 1"),
    "of another place": (misnumbered, "step 1"),
}


@pytest.mark.parametrize("name", BENT_KEYS)
def test_keys_from_before_the_place_are_judged(name: str, honest: Path, tmp_path: Path) -> None:
    lie, step = BENT_KEYS[name]
    copy = Copy(honest)
    lie(copy)
    copy.relink(copy.first(lambda row: row.claim.type == KEY) + 1)
    copy.sign_heads()
    copy.write(honest, tmp_path / "lie")
    said = verify(tmp_path / "lie", vkey_of(honest))
    assert (said.code, is_one_sentence(said.err), step in said.err) == (1, True, True), said


def test_a_key_that_began_after_the_place_counts_from_its_beginning(tmp_path: Path) -> None:
    """Of one that was live before nobody can know where it stood; of this one its first claim was withheld."""
    ledger, clock = new_sample(tmp_path / "d")
    key = SigningKey(b"\x21" * 32)
    author = Author(key, "late")
    with ledger:
        fill(ledger, clock, 100)
        register(ledger, key, ("late",))
        for number in range(3):
            ledger.append([author.say(number, clock.now_ns())])
    assert verify(tmp_path / "d", vkey_of(tmp_path / "d")).code == 0
    copy = Copy(tmp_path / "d")
    del copy.rows[-3]
    copy.relink(PLACE + 5)
    copy.sign_heads()
    copy.write(tmp_path / "d", tmp_path / "lie")
    said = verify(tmp_path / "lie", vkey_of(tmp_path / "d"))
    assert (said.code, failed_steps(said)) == (1, {4})


# --- a source that says something else -----------------------------------------------------------------------------


class Listing(EnterableStore):
    """A store whose index lists other places."""

    def __init__(self, store: Store, head: Locked, listed: list[int]) -> None:
        super().__init__(store, head)
        self.listed = listed

    def own_seqs(self, end: int) -> list[int]:
        return self.listed


@pytest.mark.parametrize("listed", [[], [-1], [0, PLACE], [0, PLACE + 1]])
def test_places_that_can_not_be_are_not_believed(listed: list[int], honest: Path) -> None:
    with read_folder(honest) as view, pytest.raises(Unavailable):
        enter(Listing(view.store, view.lock.read(), listed), PLACE, [])


class Bent(EnterableStore):
    """A store whose indexes leave something out, or whose nodes are others."""

    def __init__(
        self, store: Store, head: Locked, *, lost: int = -1, list_lost: bool = False, node: bool = False
    ) -> None:
        super().__init__(store, head)
        self.lost, self.list_lost, self.node = lost, list_lost, node

    def own_seqs(self, end: int) -> list[int]:
        return [seq for at, seq in enumerate(super().own_seqs(end)) if at != self.lost]

    def stream_heads_at(self, seq: int) -> dict[str, StreamHead] | None:
        heads = super().stream_heads_at(seq) or {}
        return dict(list(heads.items())[1:]) if self.list_lost else heads

    def nodes(self, nodes):
        found = super().nodes(nodes)
        return [b"\x07" * 32, *found[1:]] if self.node else found


def test_a_list_of_key_entries_with_a_gap_can_not_be_told(honest: Path) -> None:
    with read_folder(honest) as view:
        for lost in (0, 1, 2):
            with pytest.raises(Unavailable):
                enter(Bent(view.store, view.lock.read(), lost=lost), PLACE, [])


def test_the_last_of_them_left_out_is_seen_by_reading_on(honest: Path) -> None:
    """It lies in the stretch that is read anyway: the list before the place ends with the heartbeat before it."""
    with read_folder(honest) as view:
        listed = EnterableStore(view.store, view.lock.read()).own_seqs(PLACE)
        whole = enter(EnterableStore(view.store, view.lock.read()), PLACE, [])
        bent = enter(Bent(view.store, view.lock.read(), lost=len(listed) - 1), PLACE, [])
    assert (bent.own, bent.streams, bent.last_hash) == (whole.own, whole.streams, whole.last_hash)


def test_without_the_heartbeats_list_streams_begin_where_they_say(honest: Path) -> None:
    with read_folder(honest) as view:
        source = Bent(view.store, view.lock.read(), list_lost=True)
        entrance = enter(source, PLACE, [])
        report = audit.verify(source, Vkey.parse(vkey_of(honest)), entrance=entrance)
    assert (entrance.streams, report.findings, report.holds) == (None, [], True)
    assert (report.steps[2].status, report.verdicts["completeness"]) == ("inconclusive", "inconclusive")
    assert report.heartbeat_at is not None
    assert "where streams stood before" in report.unverified[-1]


def test_other_nodes_are_not_believed(honest: Path) -> None:
    with read_folder(honest) as view, pytest.raises(ProofRejected):
        enter(Bent(view.store, view.lock.read(), node=True), PLACE, [])


class TwoFaced(EnterableStore):
    """A log that was written anew, and answers for the old head's own subtrees from the log as it was."""

    def __init__(self, store: Store, head: Locked, old: EnterableStore, size: int) -> None:
        super().__init__(store, head)
        self.old, self.covering = old, merkle.cover(0, size)

    def nodes(self, nodes: list[merkle.Node]) -> list[bytes]:
        return self.old.nodes(nodes) if nodes == self.covering else super().nodes(nodes)


@pytest.mark.parametrize("least", [20, PLACE - 20])
def test_an_old_root_counts_only_with_a_proof_that_the_log_goes_on_from_it(
    least: int, honest: Path, tmp_path: Path
) -> None:
    size, note = head_of(honest, least)
    done("cheat", "rewrite", honest, tmp_path / "lie")
    with read_folder(honest) as view, read_folder(tmp_path / "lie") as lying:
        old = EnterableStore(view.store, view.lock.read())
        assert enter(old, PLACE, [note]).roots == {size: note_of(note).root}
        with pytest.raises(ProofRejected):
            enter(TwoFaced(lying.store, lying.lock.read(), old, size), PLACE, [note])


def test_the_locks_own_root_is_compared(honest: Path) -> None:
    with read_folder(honest) as view:
        head = msgspec.structs.replace(view.lock.read(), root=b"\x07" * 32)
        source = EnterableStore(view.store, head)
        report = audit.verify(source, Vkey.parse(vkey_of(honest)), entrance=enter(source, PLACE, []))
    assert [finding.step for finding in report.findings] == [6]


def test_there_is_nothing_past_the_end(honest: Path) -> None:
    with read_folder(honest) as view:
        source = EnterableStore(view.store, view.lock.read())
        for place in (0, 255, source.size + 1):
            with pytest.raises(Refused):
                enter(source, place, [])


def test_a_log_that_became_shorter_than_an_earlier_head_is_found(honest: Path, tmp_path: Path) -> None:
    with read_folder(honest) as view:
        newest = kept(honest, tmp_path, view.reader.size)
    copy = Copy(honest)
    del copy.rows[-3:]
    copy.sign_heads()
    copy.write(honest, tmp_path / "lie")
    said = dna("verify", tmp_path / "lie", "--key", vkey_of(honest), "--from-seq", 806, "--head", newest, "--json")
    assert (said.code, failed_steps(said)) == (1, {7})
    assert "its tail was dropped" in str(said.json["findings"])
    alone = dna("verify", tmp_path / "lie", "--from-seq", 1000)
    assert (alone.code, is_one_sentence(alone.err)) == (1, True)
    del copy.rows[200:]
    copy.sign_heads()
    copy.write(honest, tmp_path / "stump")
    stump = dna("verify", tmp_path / "stump", "--key", vkey_of(honest), "--from-seq", 806, "--head", newest, "--json")
    assert (stump.code, 7 in failed_steps(stump)) == (1, True)


def test_an_export_is_read_as_a_whole_and_a_little_log_too(honest: Path, tmp_path: Path) -> None:
    done("export", honest, "-o", tmp_path / "x.ndjson")
    assert dna("verify", tmp_path / "x.ndjson", "--from-seq", PLACE).code == 2
    said = dna("verify", honest, "--from-seq", 200, "--json")
    assert (said.code, said.json["from_seq"], said.json["unverified"]) == (0, 0, [])


# --- over HTTP -----------------------------------------------------------------------------------------------------


def test_over_http_from_a_place_on(honest: Path, tmp_path: Path) -> None:
    head, copy = kept(honest, tmp_path), tmp_path / "copy"
    Copy(honest).write(honest, copy)
    with open_ledger(copy) as ledger:
        ledger.append([draft(1, causes=(ledger.reader.event(5).claim.id,))])  # its cause lies before the place
        with serving(ledger, Settings(port=0)) as address:
            said = verify(address, vkey_of(honest), "--head", head)
    assert (said.code, said.json["findings"], said.json["tied"]) == (0, [], True)
    status = {step["step"]: step["status"] for step in said.json["steps"]}
    assert [status[step] for step in range(1, 8)] == [
        *["pass"] * 2,
        "inconclusive",
        "pass",
        "inconclusive",
        *["pass"] * 2,
    ]
    assert f"where streams stood before seq {PLACE} is unknown" in " ".join(said.json["unverified"])


@pytest.mark.parametrize(("lie", "step"), [("rewrite", 4), ("backdate", 1), ("withhold", 4)])
def test_a_lie_after_the_place_is_named_over_http_too(lie: str, step: int, honest: Path, tmp_path: Path) -> None:
    copy = Later(honest)
    LIES[lie][0](copy)
    copy.write(honest, tmp_path / "lie")
    with open_ledger(tmp_path / "lie") as ledger, serving(ledger, Settings(port=0)) as address:
        said = verify(address, vkey_of(honest))
    assert (said.code, step in failed_steps(said)) == (1, True)

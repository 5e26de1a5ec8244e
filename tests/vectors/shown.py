"""Evidence of each kind that holds, and broken pieces of it: `SHOWN` and `FALSE` map a file's name to what it is made of."""

from collections.abc import Callable
from typing import Any

from decision_dna.ledger import merkle
from decision_dna.ledger.notes import Checkpoint, sign_checkpoint
from decision_dna.ledger.streams import list_leaves, list_root
from decision_dna.schemas import codec
from decision_dna.schemas.claims import ZEROS
from tests.vectors import showing
from tests.vectors.honest import (
    at_the_limits,
    extremes,
    little,
    many_streams,
    open_types,
    operators,
    plain,
    policies,
    rotations,
    seen,
    speakers,
    weekend,
)
from tests.vectors.lies import false_line
from tests.vectors.log import DAY, KEYS, ORIGIN, PAUSE, SECOND, Log, event_id, key_id, line, text
from tests.vectors.showing import Json

Made = Callable[[], bytes]
Act = Callable[[Json], object]


def written(make: Callable[[], Json]) -> Made:
    """As a file."""
    return lambda: line(make())


def event(at: int = 2, *, log: Callable[[], Log] = plain, after: int | None = 8, **around: Any) -> Callable[[], Json]:
    """An event of a log."""
    return lambda: showing.event(log(), at, after=after, **around)


def run(stream: str, *, log: Callable[[], Log] = plain, after: int = 8, **times: Any) -> Callable[[], Json]:
    """A run of a stream, or its absence."""
    return lambda: showing.run(log(), stream, after, **times)


def prefix(size: int, log: Callable[[], Log]) -> Log:
    """The first entries of a log, with the head that it had then."""
    cut = log()
    del cut.rows[size:]
    cut.sign_heads()
    return cut


def fork(log: Callable[[], Log] = little, size: int = 6, **other: Any) -> Callable[[], Json]:
    """Two heads of one size."""
    return lambda: showing.fork(log(), log().head_note(size), log().head_note(size, **{"root": ZEROS, **other}))


def anchored() -> Json:
    """An event with an anchor: steps 1 to 7 look at its form alone."""
    memo = "".join(map(chr, range(32))) + '\x7f\x80\u2028"\\/\U0001f9ec'
    anchor = {
        "memo": memo,
        "cluster": "",
        "slot": 2**63 - 1,
        "block_time": 0,
        "transaction": text(b"raw"),
    }
    return event()() | {"anchor": anchor}


# --- what is false ---------------------------------------------------------------------------------------------------------


def but(act: Act, make: Callable[[], Json] = event()) -> Made:  # noqa: B008  # a function that makes it, not the thing
    """Evidence with one thing changed."""

    def made() -> bytes:
        value = make()
        act(value)
        return line(value)

    return made


def spelled(old: bytes, new: bytes, make: Callable[[], Json] = event()) -> Made:  # noqa: B008
    """Evidence in another spelling."""

    def made() -> bytes:
        data = line(make())
        assert old in data
        return data.replace(old, new, 1)

    return made


def of(bend: Callable[[Log], object], at: int = 2, *, log: Callable[[], Log] = plain, after: int | None = 8) -> Made:
    """An event of a log that was bent, under a head that fits."""

    def made() -> bytes:
        bent = log()
        bend(bent)
        return line(showing.event(bent, at, after=after))

    return made


def every_proof(change: Callable[[str], str]) -> Act:
    """The same change in the proofs of all items."""

    def act(value: Json) -> None:
        for item in value["items"]:
            item["proof"] = change(item["proof"])

    return act


def under(**head: Any) -> Made:
    """Under another newest head."""
    return lambda: line(showing.event(plain(), 2, after=8, note=plain().head_note(10, **head)))


def first_proof(change: Callable[[list[str]], list[str]]) -> Act:
    """Another proof for the event, line by line."""

    def act(value: Json) -> None:
        item = next(item for item in value["items"] if item["role"] == "event")
        head, _, note = item["proof"].partition("\n\n")
        item["proof"] = "\n".join(change(head.split("\n"))) + "\n\n" + note

    return act


def leaf(change: Callable[[Json], object], which: int = 0) -> Act:
    """Another leaf of the list of streams."""
    return lambda value: change(value["streams"]["leaves"][which])


def unlinked(at: int, field: str, value: Any) -> Callable[[Log], None]:
    def bend(log: Log) -> None:
        log.rows[at].entry[field] = value
        log.relink(at + 1)

    return bend


def recorded_backwards(log: Log) -> None:
    """Before genesis was; what the claim says of its own times agrees."""
    log.rows[2].claim.update(occurred_at=0, id=event_id(77, 0))
    log.rows[2].seal()
    log.rows[2].attest()
    log.rows[2].entry["recorded_at"] = log.rows[0].entry["recorded_at"] - 1
    log.relink(3)


def erased_for_a_line_feed(log: Log) -> None:
    log.rows[7].reopen({**log.rows[7].opened(), "why": "\n"})
    log.rows[7].attest()
    log.relink(7)


def leave_out(role: str) -> Act:
    return lambda value: value.update(items=[item for item in value["items"] if item["role"] != role])


def twice(role: str) -> Act:
    def act(value: Json) -> None:
        at = next(at for at, item in enumerate(value["items"]) if item["role"] == role)
        value["items"].insert(at, value["items"][at])

    return act


def swapped(value: Json) -> None:
    value["items"][1], value["items"][2] = value["items"][2], value["items"][1]


def claimed(at: int, **fields: Any) -> Callable[[Log], None]:
    def bend(log: Log) -> None:
        log.rows[at].claim.update(fields)
        log.rows[at].seal()
        log.rows[at].attest()
        log.relink(at)

    return bend


def listed(streams: dict[str, tuple[int, bytes]], show: list[int], *, root: bytes | None = None) -> Callable[[], Json]:
    """Absence of `x/nobody` from a list that a heartbeat commits to, true or false: that only the whole log shows."""

    def make() -> Json:
        log, leaves = little(), list_leaves(streams)
        committed = {"streams_count": len(leaves), "streams_root": root or list_root(leaves)}
        log.rows[4].reopen({**log.rows[4].opened(), **committed})
        log.rows[4].attest()
        log.relink(5, beats=False)
        made = showing.run(log, "x/nobody", 4, seqs=[])
        proofs = {0: leaves[1:], 1: leaves[:1]} if len(leaves) == 2 else {0: []}
        made["streams"] = {
            "count": len(leaves),
            "leaves": [
                {"index": at, "leaf": text(leaves[at]), "proof": [text(list_root([other])) for other in proofs[at]]}
                for at in show
            ],
        }
        return made

    return make


def twice_said() -> Json:
    """The event has the id of the heartbeat's... of another entry of its source: the erasure of the key."""
    log = plain()
    log.rows[7].claim["id"] = log.rows[1].claim["id"]
    log.rows[7].seal()
    log.rows[7].attest()
    log.relink(7)
    return showing.event(log, 7, after=8)


def bent_event(bend: Callable[[Log], object], at: int, *, log: Callable[[], Log], **around: Any) -> Json:
    """As `of`, between heartbeats."""
    bent = log()
    bend(bent)
    return showing.event(bent, at, **around)


def heartbeat_in_a_run() -> Json:
    """The first of two heartbeats lies, in a run of the ledger's own entries up to the second."""
    log = many_streams()
    opened(1, last=ZEROS)(log)
    log.relink(2)
    return showing.run(log, "ledger/ledger", 11)


def stranger_in_run() -> Log:
    log = plain()
    log.rows[4].attest("stranger")
    log.relink(4)
    return log


def stranger_notarised() -> Log:
    """The same log, but the event was handed in by somebody else."""
    log = plain()
    log.rows[2].attest(principal="mallory")
    return log


def counted_raw() -> Log:
    log = plain()
    claimed(3, author_seq=1)(log)
    return log


def changed(at: int = 2) -> Log:
    """The same log with another entry at a place."""
    log = plain()
    claimed(at, subject="another")(log)
    return log


def under_a_root(root: bytes, size: int, *hashes: bytes) -> Json:
    """Genesis alone under a head that the log key did sign, with a proof that leads to its root, but not at that size."""
    log = prefix(1, plain)
    value = showing.event(log, 0)
    note = log.head_note(size, root=root).decode()
    proof = "\n".join(["c2sp.org/tlog-proof@v1", "index 0", *map(text, hashes)]) + "\n\n" + note
    value["items"] = [{**item, "proof": proof} for item in value["items"]]
    return value


def with_item(role: str, seq: int) -> Callable[[], Json]:
    """An event by bot, and an item more in a role."""

    def make() -> Json:
        log = plain()
        value = showing.event(log, 4, after=8)
        value["items"][2:2] = showing.items(log, [(role, seq)])
        return value

    return make


def with_genesis_role() -> Json:
    """The key in the role of genesis, behind it."""
    value = event(4)()
    value["items"][1]["role"] = "genesis"
    return value


def too_short() -> Json:
    return under_a_root(merkle.leaf_hash(prefix(1, plain).raws()[0]), 2)


def too_long() -> Json:
    return under_a_root(merkle.node_hash(ZEROS, merkle.leaf_hash(prefix(1, plain).raws()[0])), 1, ZEROS)


def past_its_size() -> Json:
    """Entry 3 as the second of a tree of two: the fold leads to the root all the same."""
    log = plain()
    leaves = [merkle.leaf_hash(log.rows[seq].bytes_of()) for seq in (0, 3)]
    note = log.head_note(2, root=merkle.tree_root(leaves)).decode()
    value = showing.empty(log, "event")
    for role, seq, step in (("genesis", 0, leaves[1]), ("event", 3, leaves[0])):
        proof = f"c2sp.org/tlog-proof@v1\nindex {seq}\n{text(step)}\n\n{note}"
        value["items"].append({"role": role, "entry": text(log.rows[seq].bytes_of()), "proof": proof})
    return value


def opened(at: int, **fields: Any) -> Callable[[Log], None]:
    """Another payload in an open entry, committed to and signed; nothing else is made to fit."""

    def bend(log: Log) -> None:
        log.rows[at].reopen({**log.rows[at].opened(), **fields})
        log.rows[at].attest()
        log.relink(at + 1)

    return bend


def idle(log: Log) -> None:
    """Nothing for three days, and then an event."""
    log.now += 3 * DAY
    log.say("x.seen", "engine-1", seen(9))


def leap(log: Log) -> None:
    """Nothing for ten years, and then a heartbeat."""
    log.beat(3650 * DAY)


UNSEEN: tuple[tuple[str, int, Callable[[], Log], int | None, Callable[[Log], object]], ...] = (
    ("root-that-a-key-names", 2, plain, 8, opened(1, checkpoint={"root": ZEROS, "size": 1})),
    ("root-that-a-heartbeat-says", 2, plain, 8, opened(8, root=ZEROS)),
    ("from-of-a-clock", 8, policies, None, opened(8, **{"from": 0})),
    ("to-of-a-clock-far-ahead", 10, plain, None, lambda log: log.clock(to=log.now + 61 * SECOND + 1)),
    ("to-of-a-clock-long-ago", 10, plain, None, lambda log: log.clock(PAUSE - SECOND + 1, to=log.now)),
    ("maxima", 10, plain, None, idle),
    ("gaps", 10, plain, None, leap),
)
"""What the whole log shows, and evidence does not: name, event, log, heartbeat_after, and what is false."""

SHOWN: dict[str, tuple[str, Made]] = {
    "event/genesis": ("log", written(event(0))),
    "event/notarised": ("log", written(event(2))),
    "event/erased": ("log", written(event(3))),
    "event/by-its-author": ("log", written(event(4))),
    "event/erasure": ("log", written(event(7))),
    "event/heartbeat": ("log", written(event(8, after=None))),
    "event/newest": ("root", written(event(9, after=None))),
    "event/between-heartbeats": ("log", written(event(5, log=many_streams, before=1, after=11))),
    "event/policy": ("log", written(event(3, log=policies, after=9))),
    "event/command": ("log", written(event(5, log=policies, after=9))),
    "event/rotation": ("root", written(event(4, log=rotations, after=11))),
    "event/after-all-rotations": ("log-3", written(event(7, log=rotations, after=11))),
    "event/in-overlap-old-key": ("log", written(lambda: showing.event(prefix(5, rotations), 2))),
    "event/in-overlap-new-key": ("log-2", written(lambda: showing.event(prefix(5, rotations), 2))),
    "event/open-that-is-no-messagepack": ("log", written(event(2, log=open_types, after=5))),
    "event/of-the-longest-values": ("log", written(event(5, log=extremes, after=10))),
    "event/with-an-anchor": ("log", written(anchored)),
    "event/by-the-system": ("log", written(event(4, log=speakers, after=15))),
    "event/command-by-an-operator": ("log", written(event(10, log=speakers, after=15))),
    "event/anchor": ("log", written(event(11, log=speakers, after=15))),
    "event/erasure-by-an-operator": ("log", written(event(4, log=operators, after=7))),
    "event/clock-by-an-operator": ("log", written(event(6, log=operators, after=7, before=None))),
    "event/clock-at-its-limit-ahead": ("log", written(event(14, log=at_the_limits, before=13, after=16))),
    "event/clock-at-its-limit-behind": ("log", written(event(15, log=at_the_limits, before=13, after=16))),
    "event/after-a-jump": ("log", written(event(10, log=weekend, before=9, after=12))),
    **{
        f"event/not-followed-{name}": ("log", of(bend, at, log=log, after=after))
        for name, at, log, after, bend in UNSEEN
    },
    "run/of-the-system": ("log", written(run("control/sys", log=speakers, after=15))),
    "run/of-the-ledger-with-operators": ("log", written(run("ledger/ledger", log=operators, after=13))),
    "event/alone": ("log", written(lambda: showing.event(prefix(1, plain), 0))),
    "run/notarised": ("log", written(run("x/engine-1"))),
    "run/by-an-author": ("root", written(run("x/bot"))),
    "run/erased": ("log", written(run("x/raw"))),
    "run/of-the-ledger-itself": ("log", written(run("ledger/ledger"))),
    "run/from-a-time": ("log", written(run("x/bot", seqs=[5], start=plain().rows[5].entry["recorded_at"]))),
    "absence/before-the-first": ("log", written(run("a/first"))),
    "absence/between-two": ("log", written(run("x/cow", log=many_streams, after=11))),
    "absence/after-the-last": ("root", written(run("zz/last"))),
    "absence/before-the-only-one": ("log", written(run("a/first", log=many_streams, after=1))),
    "absence/after-the-only-one": ("log", written(run("x/bee", log=many_streams, after=1))),
    "absence/in-an-empty-list": ("log", lambda: line(listed({}, [])())),
    "absence/in-a-list-of-one": ("log", lambda: line(listed({"a/a": (0, ZEROS)}, [0])())),
    "fork/of-the-log-key": ("log", written(fork())),
    "fork/of-another-key": (
        "anchor",
        written(
            lambda: showing.fork(
                little(), *(little().head_note(3, root=root, keys=["anchor"]) for root in (ZEROS, bytes(31) + b"\x01"))
            )
        ),
    ),
}


RUN, BOT = run("x/engine-1"), run("x/bot")
ABSENT, FORK = run("x/cow", log=many_streams, after=11), fork()
NOW = plain().rows[8].entry["recorded_at"]

FORM: dict[str, tuple[tuple[int, ...], str, Made]] = {
    "form/no-line-feed-at-the-end": ((1,), "log", lambda: line(event()())[:-1]),
    "form/space-for-the-last-line-feed": ((1,), "log", lambda: line(event()())[:-1] + b" "),
    "form/two-line-feeds": ((1,), "log", lambda: line(event()()) + b"\n"),
    "form/white-space": ((1,), "log", spelled(b'"items":', b'"items": ')),
    "form/format-of-an-export": ((1,), "log", but(lambda value: value.update(format="decision-dna/export@v1"))),
    "form/kind-unknown": ((1,), "log", but(lambda value: value.update(kind="story"))),
    "form/kind-of-another-shape": ((1,), "log", but(lambda value: value.update(kind="run"))),
    "form/origin-with-a-space": ((1,), "log", but(lambda value: value.update(origin="a b"))),
    "form/key-missing": ((1,), "log", but(lambda value: value.pop("anchor"))),
    "form/key-unknown": ((1,), "log", but(lambda value: value.update(more=None))),
    "form/keys-in-another-order": ((1,), "log", but(lambda value: value.update(kind=value.pop("kind")))),
    "form/key-doubled": ((1,), "log", spelled(b'"anchor":null', b'"anchor":null,"anchor":null')),
    "form/items-null": ((1,), "log", but(lambda value: value.update(items=None))),
    "form/no-items": ((1,), "log", but(lambda value: value.update(items=[]))),
    "form/role-unknown": ((1,), "log", but(lambda value: value["items"][1].update(role="witness"))),
    "form/roles-out-of-order": ((1,), "log", but(swapped)),
    "form/genesis-missing": ((1,), "log", but(leave_out("genesis"))),
    "form/genesis-twice": ((1,), "log", but(twice("genesis"))),
    "form/key-twice": ((1,), "log", but(twice("key"))),
    "form/event-missing": ((1,), "log", but(leave_out("event"))),
    "form/event-twice": ((1,), "log", but(twice("event"))),
    "form/heartbeat-after-twice": ((1,), "log", but(twice("heartbeat_after"))),
    "form/heartbeat-after-missing-in-a-run": ((1,), "log", but(leave_out("heartbeat_after"), RUN)),
    "form/heartbeat-after-comes-before": ((1,), "log", written(event(9, after=8))),
    "form/heartbeat-before-comes-after": ((1,), "log", written(event(2, before=8, after=None))),
    "form/heartbeat-after-a-run-comes-before": ((1,), "log", written(run("ledger/ledger", seqs=[0, 1, 7, 8]))),
    "form/key-that-is-no-key": ((1,), "log", written(with_item("key", 2))),
    "form/policy-that-is-no-policy": ((1,), "log", written(with_item("policy", 2))),
    "form/heartbeat-before-that-is-none": ((1,), "log", written(with_item("heartbeat_before", 2))),
    "form/heartbeat-after-that-is-none": ((1,), "log", written(event(2, after=9))),
    "form/genesis-that-is-none": ((1,), "log", but(lambda value: value["items"].pop(0), with_genesis_role)),
    "form/event-in-a-run": ((1,), "log", but(lambda value: value["items"].insert(2, event()()["items"][2]), RUN)),
    "form/payload-in-a-run": ((1,), "log", but(lambda value: value.update(payload=event()()["payload"]), RUN)),
    "form/streams-missing-in-a-run": ((1,), "log", but(lambda value: value.update(streams=None), RUN)),
    "form/run-missing-in-a-run": ((1,), "log", but(lambda value: value.update(run=None), RUN)),
    "form/streams-in-an-event": ((1,), "log", but(lambda value: value.update(streams=RUN()["streams"]))),
    "form/run-without-entries": ((1,), "log", but(lambda value: value["run"].update(entries=[]), RUN)),
    "form/absence-with-entries": ((1,), "log", but(lambda value: value.update(kind="absence"), RUN)),
    "form/run-ends-before-it-begins": ((1,), "log", but(lambda value: value["run"].update({"from": 2, "to": 1}), RUN)),
    "form/run-from-before-1970": ((1,), "log", but(lambda value: value["run"].update({"from": -1}), RUN)),
    "form/run-to-after-63-bits": ((1,), "log", but(lambda value: value["run"].update(to=2**63), RUN)),
    "form/run-from-is-double": ((1,), "log", but(lambda value: value["run"].update({"from": 0.0}), RUN)),
    "form/stream-with-a-control-character": (
        (1,),
        "log",
        but(lambda value: value["run"].update(stream="x/a\n"), ABSENT),
    ),
    "form/count-is-true": ((1,), "log", but(lambda value: value["streams"].update(count=True), RUN)),
    "form/salt-in-capitals": (
        (1,),
        "log",
        but(lambda value: value["payload"].update(salt=value["payload"]["salt"].upper())),
    ),
    "form/salt-of-15-bytes": ((1,), "log", but(lambda value: value["payload"].update(salt="00" * 15))),
    "form/salt-with-spaces": (
        (1,),
        "log",
        but(lambda value: value["payload"].update(salt=f" {value['payload']['salt']}")),
    ),
    "form/payload-is-not-base64": ((1,), "log", but(lambda value: value["payload"].update(bytes="_"))),
    "form/proof-with-extra": ((1,), "log", but(first_proof(lambda lines: [lines[0], "extra AA==", *lines[1:]]))),
    "form/proof-of-another-version": (
        (1,),
        "log",
        but(first_proof(lambda lines: [lines[0].replace("v1", "v2"), *lines[1:]])),
    ),
    "form/proof-for-another-index": ((1,), "log", but(first_proof(lambda lines: [lines[0], "index 3", *lines[2:]]))),
    "form/proof-index-with-a-zero": ((1,), "log", but(first_proof(lambda lines: [lines[0], "index 02", *lines[2:]]))),
    "form/proof-index-without-its-word": ((1,), "log", but(first_proof(lambda lines: [lines[0], "2", *lines[2:]]))),
    "form/proof-hash-is-not-base64": (
        (1,),
        "log",
        but(first_proof(lambda lines: [*lines[:2], lines[2].rstrip("="), *lines[3:]])),
    ),
    "form/proof-without-checkpoint": (
        (1,),
        "log",
        but(lambda value: value["items"][2].update(proof="c2sp.org/tlog-proof@v1\nindex 2")),
    ),
    "form/proofs-under-two-checkpoints": (
        (1,),
        "log",
        but(lambda value: value["items"].__setitem__(2, showing.items(prefix(8, plain), [("event", 2)])[0])),
    ),
    "form/anchor-transaction-is-not-base64": (
        (1,),
        "log",
        but(lambda value: value["anchor"].update(transaction="raw"), anchored),
    ),
    "form/anchor-slot-negative": ((1,), "log", but(lambda value: value["anchor"].update(slot=-1), anchored)),
    "form/anchor-without-memo": ((1,), "log", but(lambda value: value["anchor"].pop("memo"), anchored)),
    "form/fork-with-items": ((1,), "log", but(lambda value: value.update(items=event()()["items"]), FORK)),
    "form/fork-with-an-anchor": ((1,), "log", but(lambda value: value.update(anchor=anchored()["anchor"]), FORK)),
    "form/fork-in-an-event": ((1,), "log", but(lambda value: value.update(fork=FORK()["fork"]))),
    "form/fork-missing": ((1,), "log", but(lambda value: value.update(fork=None), FORK)),
    "form/two-entries-of-one-seq": (
        (1,),
        "log",
        but(
            lambda value: value["items"].__setitem__(2, showing.event(changed(), 2)["items"][2]),
            lambda: showing.event(plain(), 2) | {"items": [*showing.event(plain(), 2)["items"]]},
        ),
    ),
    "form/run-entry-of-a-seq-that-an-item-has": (
        (1,),
        "log",
        but(
            lambda value: value["run"]["entries"][0].update(
                entry=showing.run(changed(1), "ledger/ledger", 8)["run"]["entries"][1]["entry"]
            ),
            run("ledger/ledger"),
        ),
    ),
}


ENTRIES: dict[str, tuple[tuple[int, ...], str, Made]] = {
    "entries/of-another-origin": ((1,), "log", of(claimed(2, origin="elsewhere.example/log"))),
    "entries/from-the-future": ((1,), "log", of(claimed(2, occurred_at=2**62))),
    "entries/stream-of-another-source": ((1,), "log", of(unlinked(2, "stream", "x/engine-2"))),
    "entries/not-in-the-one-encoding": (
        (1,),
        "log",
        of(lambda log: setattr(log.rows[2], "raw", log.rows[2].bytes_of() + b"\x00")),
    ),
    "entries/one-id-twice": ((1,), "log", written(twice_said)),
    "entries/recorded-backwards": (
        (1,),
        "log",
        of(recorded_backwards),
    ),
    "entries/neighbour-leads-elsewhere": ((2,), "log", of(unlinked(2, "prev", ZEROS))),
    "entries/genesis-leads-somewhere": ((2,), "log", of(unlinked(0, "prev", b"\x01" * 32))),
    "entries/stream-begins-somewhere": ((3,), "log", of(unlinked(2, "stream_prev", b"\x01" * 32))),
    "entries/stream-goes-backwards": ((3,), "log", of(unlinked(8, "stream_seq", 1))),
    "entries/stream-neighbour-leads-elsewhere": ((3,), "log", of(unlinked(1, "stream_prev", ZEROS))),
    "attested/event-signature-of-zeros": ((4,), "log", of(unlinked(2, "signature", bytes(64)))),
    "attested/genesis-signature-of-zeros": ((4,), "log", of(unlinked(0, "signature", bytes(64)))),
    "attested/heartbeat-signature-of-zeros": ((4,), "log", of(unlinked(8, "signature", bytes(64)))),
    "attested/key-signature-of-zeros": ((4,), "log", of(unlinked(1, "signature", bytes(64)))),
    "attested/key-left-out": ((4,), "log", but(leave_out("key"), event(4))),
    "attested/policy-left-out": ((4,), "log", but(leave_out("policy"), event(7, log=policies, after=9))),
    "attested/rotation-left-out": (
        (4,),
        "log-3",
        but(lambda value: value["items"].pop(4), event(7, log=rotations, after=11)),
    ),
    "attested/run-entry-by-a-stranger": ((4,), "log", written(lambda: showing.run(stranger_in_run(), "x/bot", 8))),
    "attested/author-seq-without-author": ((4,), "log", of(claimed(2, author_seq=1))),
    "attested/author-seq-in-a-run-without-author": (
        (4,),
        "log",
        written(lambda: showing.run(counted_raw(), "x/raw", 8)),
    ),
    "attested/erasure-why-with-a-line-feed": (
        (4,),
        "log",
        of(erased_for_a_line_feed, 7),
    ),
    "heartbeat/says-another-size": ((3,), "log", of(opened(8, size=7))),
    "heartbeat/says-another-last": ((3,), "log", of(opened(8, last=ZEROS))),
    "heartbeat/before-says-another-size": (
        (3,),
        "log",
        written(lambda: bent_event(opened(1, size=0), 5, log=many_streams, before=1, after=11)),
    ),
    "heartbeat/as-event-says-another-size": ((3,), "log", of(opened(8, size=9), 8, after=None)),
    "heartbeat/in-a-run-says-another-last": ((3,), "log", written(heartbeat_in_a_run)),
    "attested/root-does-not-count": ((4,), "log", of(claimed(1, author_seq=0, author_prev=ZEROS))),
    "attested/root-does-not-count-genesis": ((4,), "log", of(claimed(0, author_seq=0, author_prev=ZEROS))),
    "attested/key-recorded-after-not-after": (
        (4,),
        "log",
        of(opened(1, not_after=plain().rows[1].entry["recorded_at"] - 1)),
    ),
    "attested/key-names-a-later-size": ((4,), "log", of(opened(1, checkpoint={"root": ZEROS, "size": 2}))),
    "attested/engine-by-a-stranger": (
        (4,),
        "log",
        of(lambda log: log.say("engine.state", "engine-1", {}), 10, after=None),
    ),
    "attested/system-by-alice": (
        (4,),
        "log",
        of(lambda log: log.say("x.seen", "sys", {}, principal="alice"), 10, after=None),
    ),
    "attested/command-by-an-author": (
        (4,),
        "log",
        of(lambda log: log.count("author", "control.pause", "bot", {}), 10, after=None),
    ),
    "attested/clock-by-an-author": ((4,), "log", of(lambda log: log.clock(by="author"), 10, after=None)),
    "attested/log-key-rotates-itself": (
        (4,),
        "log",
        of(lambda log: log.change_key("rotate", "log", "log-2", by="log", replaces=key_id("log"), overlap=9), 2),
    ),
    "payload/changed": ((5,), "log", but(lambda value: value["payload"].update(bytes=text(b"another")))),
    "payload/salt-changed": ((5,), "log", but(lambda value: value["payload"].update(salt="00" * 16))),
    "payload/for-an-open-type": (
        (5,),
        "log",
        but(
            lambda value: value.update(payload={"salt": "00" * 16, "bytes": text(plain().rows[7].entry["open"])}),
            event(7),
        ),
    ),
    "payload/of-a-run-changed": (
        (5,),
        "log",
        but(lambda value: value["run"]["entries"][1].update(payload=text(bytes(20))), RUN),
    ),
    "payload/of-a-run-shorter-than-a-salt": (
        (5,),
        "log",
        but(lambda value: value["run"]["entries"][1].update(payload=""), RUN),
    ),
    "payload/open-not-committed-to": ((5,), "log", of(unlinked(2, "open", b"another"), log=open_types, after=5)),
    "payload/in-an-entry-that-is-not-open": ((5,), "log", of(unlinked(2, "open", codec.encode(seen(1))))),
    "tree/hash-changed": ((6,), "log", but(first_proof(lambda lines: [*lines[:2], text(ZEROS), *lines[3:]]))),
    "tree/hash-missing": ((6,), "log", but(first_proof(lambda lines: lines[:-1]))),
    "tree/hash-more": ((6,), "log", but(first_proof(lambda lines: [*lines, text(ZEROS)]))),
    "tree/hash-of-31-bytes": ((6,), "log", but(first_proof(lambda lines: [*lines[:-1], text(bytes(31))]))),
    "tree/proof-too-short-for-its-size": ((6,), "log", written(too_short)),
    "tree/proof-too-long-for-its-size": ((6,), "log", written(too_long)),
    "tree/index-past-its-size": ((6,), "log", written(past_its_size)),
    "tree/of-another-log": (
        (6,),
        "log",
        but(lambda value: value["items"][2].update(entry=showing.event(stranger_notarised(), 2)["items"][2]["entry"])),
    ),
    "tree/root-of-another-log": ((6,), "log", under(root=ZEROS)),
    "head/by-a-stranger": ((7,), "log", under(keys=["stranger"])),
    "head/by-the-root-key": ((7,), "root", under(keys=["root"])),
    "head/signature-changed": (
        (7,),
        "log",
        but(every_proof(lambda proof: proof[:-8] + ("A" if proof[-8] != "A" else "B") + proof[-7:])),
    ),
    "head/without-line": ((7,), "log", but(every_proof(lambda proof: proof.rpartition("\n\n")[0] + "\n\n"))),
    "head/second-line-of-the-log-key-is-false": (
        (7,),
        "log",
        but(every_proof(lambda proof: proof + false_line(proof.encode()).decode())),
    ),
    "head/old-key-missing-in-overlap": (
        (7,),
        "log-2",
        written(lambda: showing.event(prefix(5, rotations), 2, note=prefix(5, rotations).head_note(5, keys=["log-2"]))),
    ),
    "head/pinned-key-of-nobody": ((7,), "stranger", written(event())),
    "head/pinned-key-is-the-notary": ((7,), "notary", written(event())),
    "head/pinned-key-no-longer-signs": ((7,), "log", written(event(7, log=rotations, after=11))),
    "head/pinned-key-does-not-sign-yet": ((7,), "log-2", written(event())),
}


STREAMS: dict[str, tuple[tuple[int, ...], str, Made]] = {
    "streams/run-with-a-gap": ((3,), "log", written(run("ledger/ledger", seqs=[0, 1]))),
    "streams/run-with-an-entry-of-another-stream-in-its-gap": (
        (3,),
        "log",
        written(run("ledger/ledger", seqs=[0, 2, 7])),
    ),
    "streams/run-without-its-first": ((3,), "log", written(run("x/bot", seqs=[5]))),
    "streams/run-begins-after-its-time": (
        (3,),
        "log",
        written(run("x/bot", seqs=[5], start=plain().rows[5].entry["recorded_at"] - 1)),
    ),
    "streams/run-without-its-last": ((3,), "log", written(run("x/bot", seqs=[4]))),
    "streams/run-out-of-order": ((3,), "log", written(run("x/bot", seqs=[5, 4]))),
    "streams/run-with-one-twice": ((3,), "log", written(run("x/bot", seqs=[4, 4, 5]))),
    "streams/run-of-another-stream": ((3,), "log", but(lambda value: value["run"].update(stream="x/raw"), BOT)),
    "streams/heartbeat-not-after-the-time": ((3,), "log", written(run("x/bot", end=NOW))),
    "streams/leaf-of-another-stream": (
        (3,),
        "log",
        but(lambda value: value.update(streams=run("x/raw")()["streams"]), BOT),
    ),
    "streams/leaf-missing": ((3,), "log", but(lambda value: value["streams"].update(leaves=[]), BOT)),
    "streams/leaf-twice": (
        (3,),
        "log",
        but(lambda value: value["streams"]["leaves"].append(value["streams"]["leaves"][0]), BOT),
    ),
    "streams/leaf-changed": (
        (3,),
        "log",
        but(leaf(lambda one: one.update(leaf=text(codec.encode(["x/bot", 2, ZEROS])))), BOT),
    ),
    "streams/leaf-proof-changed": ((3,), "log", but(leaf(lambda one: one["proof"].__setitem__(0, text(ZEROS))), BOT)),
    "streams/leaf-proof-is-not-base64": ((1,), "log", but(leaf(lambda one: one["proof"].__setitem__(0, "_")), BOT)),
    "streams/leaf-at-another-place": ((3,), "log", but(leaf(lambda one: one.update(index=2)), BOT)),
    "streams/leaf-past-the-end": ((3,), "log", but(leaf(lambda one: one.update(index=2**63 - 1)), BOT)),
    "streams/count-of-another-list": ((3,), "log", but(lambda value: value["streams"].update(count=5), BOT)),
    "streams/count-of-another-list-and-the-same-proof": (
        (3,),
        "log",
        but(lambda value: value["streams"].update(count=3), run("ledger/ledger")),
    ),
    "streams/absence-of-what-is-there": ((3,), "log", but(lambda value: value["run"].update(stream="x/cat"), ABSENT)),
    "streams/absence-between-others": ((3,), "log", but(lambda value: value["run"].update(stream="x/dot"), ABSENT)),
    "streams/absence-with-one-neighbour": ((3,), "log", but(lambda value: value["streams"]["leaves"].pop(), ABSENT)),
    "streams/absence-with-neighbours-swapped": (
        (3,),
        "log",
        but(lambda value: value["streams"]["leaves"].reverse(), ABSENT),
    ),
    "streams/absence-with-three-leaves": (
        (3,),
        "log",
        but(lambda value: value["streams"]["leaves"].append(value["streams"]["leaves"][1]), ABSENT),
    ),
    "streams/absence-without-leaves": ((3,), "log", but(lambda value: value["streams"].update(leaves=[]), ABSENT)),
    "streams/absence-with-first-that-sorts-before": (
        (3,),
        "log",
        but(lambda value: value["run"].update(stream="zz/last"), run("a/first")),
    ),
    "streams/absence-with-last-that-sorts-after": (
        (3,),
        "log",
        but(lambda value: value["run"].update(stream="a/first"), run("zz/last")),
    ),
    "streams/absence-in-a-list-with-control-characters": ((3,), "log", written(listed({"a\x00/a": (1, ZEROS)}, [0]))),
    "streams/absence-in-an-empty-list-of-another-root": ((3,), "log", written(listed({}, [], root=ZEROS))),
    "streams/absence-in-a-list-of-two-out-of-three": (
        (3,),
        "log",
        but(leaf(lambda one: one.update(index=0), 1), ABSENT),
    ),
    "fork/of-two-sizes": (
        (7,),
        "log",
        written(lambda: showing.fork(little(), little().head_note(5), little().head_note(6))),
    ),
    "fork/of-one-root": (
        (7,),
        "log",
        written(lambda: showing.fork(little(), little().head_note(6), little().head_note(6))),
    ),
    "fork/by-two-keys": ((7,), "log", written(fork(keys=["log-2"]))),
    "fork/by-another-key": ((7,), "root", written(fork())),
    "fork/of-another-origin": ((7,), "log", written(fork(origin="elsewhere.example/log"))),
    "fork/in-the-name-of-another": ((7,), "log", but(lambda value: value.update(origin="elsewhere.example/log"), FORK)),
    "fork/signature-changed": (
        (7,),
        "log",
        but(lambda value: value["fork"].update(second=value["fork"]["second"].replace("\n6\n", "\n7\n")), FORK),
    ),
    "fork/not-a-note": ((7,), "log", but(lambda value: value["fork"].update(second=""), FORK)),
    "fork/of-size-0": (
        (7,),
        "log",
        written(
            lambda: showing.fork(
                little(),
                *(sign_checkpoint(Checkpoint(ORIGIN, 0, root), [KEYS["log"]]) for root in (ZEROS, bytes(31) + b"\x01")),
            )
        ),
    ),
}

FALSE = {**FORM, **ENTRIES, **STREAMS}

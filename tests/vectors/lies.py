"""One broken export for each rule of docs/format.md: everything around the lie is mended, so that the lie itself must be seen.

`LIES` maps a file's name to the steps that must name it and the bytes. Most are bent from `little` (0 genesis, 1 key,
2 notarised, 3 by bot, 4 heartbeat, 5 not attested) or `plain` (see `honest`).
"""

import base64
from collections.abc import Callable, Sequence
from typing import Any

from decision_dna.ledger import hashing
from decision_dna.ledger.notes import Checkpoint, sign_checkpoint
from decision_dna.schemas import codec
from decision_dna.schemas.claims import ZEROS
from tests.vectors.bending import (
    ROTATE_LOG,
    ROTATE_NOTARY,
    Lies,
    Made,
    attested,
    bent,
    claim,
    entry,
    genesis,
    key,
    more,
    opened,
    reopened,
    rules,
    said,
)
from tests.vectors.honest import (
    TRACE,
    little,
    open_types,
    plain,
    policies,
    rotations,
    seen,
    with_entry_of,
)
from tests.vectors.lies_of_rights import RIGHTS
from tests.vectors.lies_of_time import TIME
from tests.vectors.log import (
    KEYS,
    NO_BEACON,
    ORIGIN,
    POLICY,
    SECOND,
    START,
    Log,
    Row,
    event_id,
    finalized,
    genesis_payload,
    key_id,
    line,
    public,
)

ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
GROUP_ORDER = 2**252 + 27742317777372353535851937790883648493


# --- ways to lie about files and notes ------------------------------------------------------------


def unsigned_text(text: str) -> bytes:
    """A note that the log key did sign, with any text."""
    vkey_line = sign_checkpoint(Checkpoint(ORIGIN, 6, ZEROS), [KEYS["log"]]).rpartition(b" ")[2]
    key_id_bytes = base64.b64decode(vkey_line)[:4]
    signature = base64.b64encode(key_id_bytes + KEYS["log"].sign(text.encode())).decode()
    return f"{text}\n— {ORIGIN} {signature}\n".encode()


def retold(change: Callable[[list[str]], Sequence[str]]) -> Made:
    """A newest head whose text is another, signed all the same."""

    def changed(head: bytes) -> bytes:
        text = head.decode().partition("\n\n")[0].split("\n")
        return unsigned_text("".join(f"{each}\n" for each in change(text)))

    return note(changed)


def note(change: Callable[[bytes], bytes], at: int = -1, log: Callable[[], Log] = little) -> Made:
    """Another note for a head."""

    def act(one: Log) -> None:
        one.heads[at] = change(one.heads[at])

    return bent(act, log)


def erasure(seq: int, **fields: Any) -> Callable[[Log], Row]:
    """An erasure of an entry that has its payload still: what it names is all that is judged."""
    said_of_it = {"id": little().rows[2].claim["id"], "seq": seq, "who": "", "why": "", **fields}
    return lambda log: log.own("erasure", said_of_it)


def lines(act: Callable[[list[bytes]], object], log: Callable[[], Log] = little) -> Made:
    """Whatever the act does to the lines of a file."""

    def made() -> bytes:
        written = log().export_lines()
        act(written)
        return b"".join(written)

    return made


def replaced(at: int, old: bytes, new: bytes) -> Made:
    """One spelling for another, in one line."""

    def act(written: list[bytes]) -> None:
        assert old in written[at]
        written[at] = written[at].replace(old, new, 1)

    return lines(act)


def bytes_of_entry(change: Callable[[bytes], bytes], at: int = 2) -> Made:
    """Other bytes for an entry, linked to."""

    def made() -> bytes:
        bent = little()
        bent.rows[at].raw = change(bent.rows[at].bytes_of())
        bent.relink(at + 1)
        bent.sign_heads()
        return bent.export()

    return made


def bytes_of_claim(change: Callable[[bytes], bytes], at: int = 2) -> Made:
    """Other bytes for a claim, signed."""

    def made() -> bytes:
        bent = little()
        bent.rows[at].entry["claim"] = change(bent.rows[at].entry["claim"])
        bent.rows[at].attest()
        bent.relink(at)
        bent.sign_heads()
        return bent.export()

    return made


def stranger_line(number: int = 0, name: str = "witness.example/w") -> bytes:
    """A line by somebody unknown."""
    signature = base64.b64encode(number.to_bytes(4) + bytes(range(64))).decode()
    return f"— {name} {signature}\n".encode()


def false_line(head: bytes) -> bytes:
    """A line in the name and key id of the one that signed a head, with another signature."""
    name, _, encoded = head.rpartition(b"\n\n")[2].rpartition(b" ")
    return name + b" " + base64.b64encode(base64.b64decode(encoded)[:4] + bytes(64)) + b"\n"


# --- the acts that need more than a line -----------------------------------------------------------------------------------


def remove_and_close(log: Log) -> None:
    del log.rows[4]
    for seq, row in enumerate(log.rows):
        row.entry["seq"] = seq
    log.sign_heads()


def swap_neighbours(log: Log) -> None:
    log.rows[4], log.rows[5] = log.rows[5], log.rows[4]
    for seq in (4, 5):
        log.rows[seq].entry["seq"] = seq
    log.sign_heads()


def omit_before_heartbeat(log: Log) -> None:
    del log.rows[6]
    log.rows[6].reopen({**log.rows[6].opened(), "seq": 3})
    log.rows[6].attest()
    log.relink(beats=False)
    log.sign_heads()


def heartbeat_replayed(log: Log) -> None:
    """The heartbeat stands a second time, later."""
    log.rows.append(log.copy().rows[8])
    log.rows[-1].entry["recorded_at"] = log.rows[-2].entry["recorded_at"]
    log.relink(10, beats=False)
    log.sign_heads()


def enter_twice(log: Log) -> None:
    first = log.rows[2]
    log.say("x.seen", "engine-1", seen(7), id=first.claim["id"])
    log.sign_heads()


def cause_comes_later(log: Log) -> None:
    log.rows[2].claim["causes"] = [log.rows[5].claim["id"]]
    log.rows[2].seal()
    log.rows[2].attest()
    log.mend()


def record_backwards(log: Log) -> None:
    log.rows[5].entry["recorded_at"] = log.rows[4].entry["recorded_at"] - 1
    log.relink(6)
    log.sign_heads()


def payload_of(at: int, change: Callable[[bytes], bytes | None], *, commit: bool = False) -> Callable[[Log], None]:
    """Another payload beside an entry; with `commit`, the claim says so."""

    def act(log: Log) -> None:
        row = log.rows[at]
        row.payload = change(row.payload or b"")
        if commit:
            row.commit()
            row.attest()
            log.mend()

    return act


def open_in_private(log: Log) -> None:
    row = log.rows[2]
    row.entry["open"] = (row.payload or b"")[16:]
    log.relink(3)
    log.sign_heads()


def open_not_committed(log: Log) -> None:
    log.rows[4].entry["open"] += b"\x00"
    log.relink(5, beats=False)
    log.sign_heads()


def erased_and_back(log: Log) -> None:
    log.rows[3].payload = bytes(20)


def genesis_second(log: Log) -> None:
    log.own("genesis", genesis_payload())
    log.sign_heads()


def genesis_missing(log: Log) -> None:
    del log.rows[0]
    log.mend()


def unlinked(at: int, field: str, value: Any) -> Callable[[Log], None]:
    """A link that leads elsewhere; what comes after leads back to it."""

    def act(log: Log) -> None:
        log.rows[at].entry[field] = value
        log.relink(at + 1)
        log.sign_heads()

    return act


def passed_off(log: Log) -> None:
    log.rows[3].attest("notary", "notary", "alice")
    log.mend()


def claim_changed_unsigned(log: Log) -> None:
    log.rows[3].claim.update(subject="another")
    log.rows[3].seal()
    log.mend()


def signed_as_author_would(log: Log) -> None:
    entry = log.rows[2].entry
    entry["signature"] = KEYS["notary"].sign(hashing.author_message(entry["claim"]))
    log.mend()


def signed_again_modulo_l(log: Log) -> None:
    """The other S that satisfies the same equation: whoever accepts it lets entries be changed without a key."""
    entry = log.rows[2].entry
    r, s = entry["signature"][:32], int.from_bytes(entry["signature"][32:], "little")
    entry["signature"] = r + (s + GROUP_ORDER).to_bytes(32, "little")
    log.mend()


def changed_under_its_head(log: Log) -> None:
    row = log.rows[9]
    row.claim.update(subject="another")
    row.seal()
    row.attest()


def stripped(log: Log) -> None:
    log.rows[2].entry.update(attestation="none", principal="", key_id=b"", signature=b"")
    log.mend()


def wrong_head(size: int, **fields: Any) -> Callable[[Log], None]:
    """A kept head of that size, signed otherwise."""

    def act(log: Log) -> None:
        log.heads[log.sizes().index(size)] = log.head_note(size, **fields)

    return act


def gap_in_count(log: Log) -> None:
    del log.rows[4]
    log.rows[6].reopen({**log.rows[6].opened(), "seq": 3})
    log.rows[6].attest()
    log.mend()


def counted(number: int, before: bytes = ZEROS) -> Callable[[Log], Row]:
    """What bot says next, with these numbers."""
    return lambda log: log.say("x.said", "bot", seen(8), by="author", author_seq=number, author_prev=before)


def _with_third() -> Log:
    log = little()
    log.change_key("register", "author", "author-3", sources=["c"])
    return log


def _headless() -> bytes:
    log = little()
    log.heads[-1] = b"\n\n" + stranger_line()
    return log.export()


def _uncounted() -> Log:
    """Bot does not count at first, and then begins to."""
    log = Log()
    log.begin()
    log.change_key("register", "author", "author", sources=["bot"])
    log.say("x.said", "bot", seen(1), by="author")
    log.say("x.said", "bot", seen(2), by="author", author_seq=1)
    log.head()
    return log


def _uncounted_root() -> Log:
    """Genesis alone, and root did not count it."""
    log = Log()
    log.own("genesis", genesis_payload(), author_seq=0)
    log.head()
    return log


def uncounted_by_root(log: Log) -> None:
    log.own("clock", {"from": log.now, "reason": "", "to": log.now}, author_seq=0)


def erased_by_the_notary(log: Log) -> None:
    """As before root or an operator had to sign it."""
    row = log.rows[7]
    row.claim.update(author_seq=0, author_prev=ZEROS)
    row.seal()
    row.attest("notary", "notary", "ledger")
    log.mend()


def _unsorted(value: dict[str, Any]) -> bytes:
    """A map whose keys descend."""
    pairs = [codec.encode(name) + codec.encode(item) for name, item in sorted(value.items(), reverse=True)]
    return bytes([0x80 | len(pairs)]) + b"".join(pairs)


def many_causes(count: int) -> bytes:
    """An entry with so many causes, all of them there: at most 64 are allowed."""
    log = Log()
    log.begin()
    causes = [log.say("x", "a", b"").claim["id"] for _ in range(count)]
    log.say("x", "a", b"", causes=causes)
    log.sign_heads()
    return log.export()


def key_id_of_another(log: Log) -> None:
    """The notary signs, and the entry names another key."""
    log.rows[2].entry["key_id"] = key_id("stranger")
    log.mend()


def called_notarised(log: Log) -> None:
    """The root key signs as an author does, and the entry calls it notarised."""
    log.rows[1].entry.update(attestation="notary", principal="ledger")
    log.mend()


def left_over(written: list[bytes]) -> None:
    """The unused bits of a payload's base64 are not zero."""
    at = next(at for at, one in enumerate(written) if one.endswith(b'="}\n') and b'=="}' not in one)
    end = written[at].rindex(b'="}')
    last = ALPHABET.index(written[at][end - 1 : end])
    written[at] = written[at][: end - 1] + ALPHABET[last + 1 : last + 2] + written[at][end:]


# --- the lies ---------------------------------------------------------------------------------------------------------------

FILE: Lies = {
    "file/no-line-feed-at-the-end": ((1,), lambda: little().export()[:-1]),
    "file/space-for-the-last-line-feed": ((1,), lambda: little().export()[:-1] + b" "),
    "file/base64-of-a-payload-with-bits-left-over": ((1,), lines(left_over, plain)),
    "file/empty": ((1,), lambda: b""),
    "file/one-line-feed": ((1,), lambda: b"\n"),
    "file/header-missing": ((1,), lines(lambda one: one.pop(0))),
    "file/no-head": ((1,), lines(lambda one: [one.pop(), one.pop()])),
    "file/size-0": (
        (1,),
        lines(
            lambda one: one.__setitem__(
                slice(0, 7), [line({"format": "decision-dna/export@v1", "origin": ORIGIN, "size": 0})]
            )
        ),
    ),
    "file/size-too-large": ((1,), replaced(0, b":6}", b":9}")),
    "file/size-too-small": ((1,), replaced(0, b":6}", b":5}")),
    "file/size-is-text": ((1,), replaced(0, b":6}", b':"6"}')),
    "file/size-is-double": ((1,), replaced(0, b":6}", b":6.0}")),
    "file/origin-of-another-log": ((1,), replaced(0, b"vectors", b"another")),
    "file/origin-empty": ((1,), replaced(0, ORIGIN.encode(), b"")),
    "file/format-of-evidence": ((1,), replaced(0, b"export", b"evidence")),
    "file/key-unknown": ((1,), replaced(1, b'"payload"', b'"more":1,"payload"')),
    "file/key-missing": ((1,), replaced(1, b',"payload":null', b"")),
    "file/key-doubled": ((1,), replaced(1, b',"payload":null', b',"payload":null,"payload":null')),
    "file/keys-in-another-order": (
        (1,),
        replaced(0, b'{"format":"decision-dna/export@v1",', b'{"size":6,"format":"decision-dna/export@v1",'),
    ),
    "file/white-space": ((1,), replaced(1, b'"entry":', b'"entry": ')),
    "file/carriage-return": ((1,), replaced(1, b"}\n", b"}\r\n")),
    "file/byte-order-mark": ((1,), replaced(0, b"{", b"\xef\xbb\xbf{")),
    "file/escape-that-is-not-needed": ((1,), replaced(0, b"example/", b"example\\/")),
    "file/escape-of-a-letter": ((1,), replaced(0, b"vectors", b"\\u0076ectors")),
    "file/lone-surrogate": ((1,), replaced(0, b"vectors", b"\\ud800")),
    "file/not-utf-8": ((1,), replaced(0, b"vectors", b"\xff")),
    "file/empty-line": ((1,), lines(lambda one: one.insert(1, b"\n"))),
    "file/entry-is-null": ((1,), lines(lambda one: one.__setitem__(1, b'{"entry":null,"payload":null}\n'))),
    "file/base64-without-padding": (
        (1,),
        lines(lambda one: one.__setitem__(3, line({"entry": "kQ", "payload": None}))),
    ),
    "file/base64-with-bits-left-over": (
        (1,),
        lines(lambda one: one.__setitem__(3, line({"entry": "kR==", "payload": None}))),
    ),
    "file/base64-for-addresses": (
        (1,),
        lines(lambda one: one.__setitem__(3, line({"entry": "_-8=", "payload": None}))),
    ),
    "file/base64-with-a-line-feed": (
        (1,),
        lines(lambda one: one.__setitem__(3, line({"entry": "kQ==\n", "payload": None}))),
    ),
    "file/nested-too-deep-to-read": ((1,), lines(lambda one: one.__setitem__(1, b"[" * 5000 + b"\n"))),
}

ENCODING: Lies = {
    "encoding/entry-is-nothing": ((1,), bytes_of_entry(lambda _: b"")),
    "encoding/entry-with-a-byte-more": ((1,), bytes_of_entry(lambda raw: raw + b"\x00")),
    "encoding/entry-with-a-byte-less": ((1,), bytes_of_entry(lambda raw: raw[:-1])),
    "encoding/entry-version-as-u8": ((1,), bytes_of_entry(lambda raw: raw[:1] + b"\xcc" + raw[1:])),
    "encoding/entry-as-array16": ((1,), bytes_of_entry(lambda raw: b"\xdc\x00\x0d" + raw[1:])),
    "encoding/entry-of-12-fields": ((1,), bytes_of_entry(lambda raw: b"\x9c" + raw[1:-2])),
    "encoding/entry-of-14-fields": ((1,), bytes_of_entry(lambda raw: b"\x9e" + raw[1:] + b"\xc0")),
    "encoding/entry-is-a-map": ((1,), bytes_of_entry(lambda raw: b"\x8d" + raw[1:])),
    "encoding/entry-stream-not-utf-8": (
        (1,),
        bytes_of_entry(lambda raw: raw.replace(b"x/engine-1", b"x/engine-\xff", 1)),
    ),
    "encoding/entry-of-an-extension-type": ((1,), bytes_of_entry(lambda raw: b"\xd4\x01\x00")),
    "encoding/claim-with-a-byte-more": ((1,), bytes_of_claim(lambda raw: raw + b"\xc0")),
    "encoding/claim-schema-as-u16": (
        (1,),
        bytes_of_claim(lambda raw: raw.replace(b"x.seen\x01", b"x.seen\xcd\x00\x01", 1)),
    ),
    "encoding/claim-text-as-str8": ((1,), bytes_of_claim(lambda raw: raw.replace(b"\xa6x.seen", b"\xd9\x06x.seen", 1))),
    "encoding/claim-text-as-bytes": (
        (1,),
        bytes_of_claim(lambda raw: raw.replace(b"\xa6x.seen", b"\xc4\x06x.seen", 1)),
    ),
    "encoding/claim-empty": ((1,), bytes_of_claim(lambda _: b"")),
    "encoding/claim-version-true": ((1,), claim(version=True)),
    "encoding/claim-version-double": ((1,), claim(version=1.0)),
    "encoding/entry-too-long": ((1,), lambda: with_entry_of(65_536).export()),
}

CLAIM: Lies = {
    "claim/version-2": ((1,), claim(version=2)),
    "claim/origin-of-another-log": ((1,), claim(origin="elsewhere.example/log")),
    "claim/origin-with-plus": ((1,), claim(origin=ORIGIN + "+")),
    "claim/id-of-version-4": ((1,), claim(id=bytes(6) + b"\x40" + bytes(1) + b"\x80" + bytes(7))),
    "claim/id-of-another-variant": ((1,), claim(id=bytes(6) + b"\x70" + bytes(1) + b"\xc0" + bytes(7))),
    "claim/id-of-15-bytes": ((1,), claim(id=event_id(1, 0)[:15])),
    "claim/id-from-the-future": ((1,), claim(id=event_id(1, little().rows[2].entry["recorded_at"] + 61 * SECOND))),
    "claim/id-twice": ((1,), bent(enter_twice)),
    "claim/type-with-capitals": ((1,), claim(type="x.Seen")),
    "claim/type-with-an-empty-word": ((1,), claim(type="x..seen")),
    "claim/type-that-begins-with-a-digit": ((1,), claim(type="2x")),
    "claim/type-with-a-line-feed": ((1,), claim(type="x.seen\n")),
    "claim/type-of-65-bytes": ((1,), claim(type="x." + "a" * 63)),
    "claim/schema-0": ((1,), claim(schema=0)),
    "claim/schema-65536": ((1,), claim(schema=65_536)),
    "claim/source-empty": (
        (1,),
        entry(5, stream="x/", claim=codec.encode(list({**little().rows[5].claim, "source": ""}.values()))),
    ),
    "claim/source-with-a-slash": ((1,), claim(source="a/b")),
    "claim/source-of-65-bytes": ((1,), claim(source="a" * 65)),
    "claim/source-not-ascii": ((1,), claim(source="motör")),
    "claim/subject-of-129-bytes": ((1,), claim(subject="ü" * 64 + "a")),
    "claim/subject-with-a-control-character": ((1,), claim(subject="a\x1b[2J")),
    "claim/subject-with-delete": ((1,), claim(subject="a\x7f")),
    "claim/occurred-in-the-future": ((1,), claim(occurred_at=little().rows[2].entry["recorded_at"] + 60 * SECOND + 1)),
    "claim/occurred-before-1970": ((1,), claim(occurred_at=-1)),
    "claim/occurred-after-63-bits": ((1,), claim(occurred_at=2**63)),
    "claim/cause-twice": ((1,), claim(5, causes=[little().rows[2].claim["id"]] * 2)),
    "claim/cause-unknown": ((1,), claim(causes=[event_id(99, 0)])),
    "claim/cause-comes-later": ((1,), bent(cause_comes_later, little)),
    "claim/cause-is-itself": ((1,), claim(causes=[little().rows[2].claim["id"]])),
    "claim/causes-65": ((1,), claim(causes=[event_id(number, 0) for number in range(65)])),
    "claim/trace-with-capitals": ((1,), claim(trace=TRACE.upper())),
    "claim/trace-of-another-version": ((1,), claim(trace="01" + TRACE[2:])),
    "claim/trace-id-of-zeros": ((1,), claim(trace=f"00-{'0' * 32}-{'1' * 16}-00")),
    "claim/trace-span-of-zeros": ((1,), claim(trace=f"00-{'1' * 32}-{'0' * 16}-00")),
    "claim/author-seq-negative": ((1,), claim(author_seq=-1)),
    "claim/author-prev-where-none-is-kept": ((1,), claim(author_prev=bytes(31) + b"\x01")),
    "claim/author-prev-of-31-bytes": ((1,), claim(author_prev=bytes(31))),
    "claim/commitment-of-33-bytes": ((1,), claim(payload_commitment=bytes(33))),
}

ENTRY: Lies = {
    "entry/version-2": ((1,), entry(version=2)),
    "entry/seq-skips": ((1,), bent(unlinked(5, "seq", 6))),
    "entry/seq-negative": ((1,), entry(seq=-1)),
    "entry/prev-of-31-bytes": ((1,), entry(prev=bytes(31))),
    "entry/stream-of-another-source": ((1,), entry(5, stream="x/raw-2")),
    "entry/recorded-backwards": ((1,), bent(record_backwards)),
    "entry/recorded-after-63-bits": ((1,), entry(5, recorded_at=2**63)),
    "entry/attestation-unknown": ((1,), entry(attestation="Notary")),
    "entry/notary-without-principal": ((1,), entry(principal="")),
    "entry/principal-without-notary": ((1,), entry(5, principal="alice")),
    "entry/author-with-principal": ((1,), entry(3, principal="alice")),
    "entry/principal-of-129-bytes": ((1,), entry(principal="ü" * 64 + "a")),
    "entry/principal-with-a-control-character": ((1,), entry(principal="a\nb")),
    "entry/key-id-of-7-bytes": ((1,), entry(key_id=key_id("notary")[:7])),
    "entry/key-id-where-none-attests": ((1,), entry(5, key_id=key_id("notary"), attest=False)),
    "entry/signature-of-63-bytes": ((1,), entry(signature=bytes(63))),
    "entry/signature-where-none-attests": ((1,), entry(5, signature=bytes(64))),
    "entry/ledger-type-of-another-source": (
        (1,),
        more(
            lambda log: log.count(
                "root", "ledger.clock", "clock", {"from": log.now, "reason": "", "to": log.now + SECOND}
            )
        ),
    ),
    "entry/another-type-of-source-ledger": ((1,), more(lambda log: log.say("x.seen", "ledger", {}))),
    "entry/anchor-type-of-another-source": ((1,), more(lambda log: log.say("anchor.confirmed", "engine-1", {}))),
    "entry/another-type-of-source-anchor": ((1,), more(lambda log: log.say("x.seen", "anchor", {}))),
}

CHAIN: Lies = {
    "chain/entry-4-removed": ((2, 3), bent(remove_and_close)),
    "chain/entries-4-and-5-swapped": ((2, 3), bent(swap_neighbours)),
    "chain/entry-4-leads-elsewhere": ((2,), bent(unlinked(4, "prev", bytes(32)))),
    "chain/genesis-leads-somewhere": ((2,), bent(unlinked(0, "prev", bytes(31) + b"\x01"))),
}

STREAMS: Lies = {
    "streams/entry-5-skips": ((3,), bent(unlinked(5, "stream_seq", 2))),
    "streams/entry-5-leads-elsewhere": ((3,), bent(unlinked(5, "stream_prev", bytes(32)))),
    "streams/first-entry-is-1": ((3,), bent(unlinked(3, "stream_seq", 1))),
    "streams/first-entry-leads-somewhere": ((3,), bent(unlinked(3, "stream_prev", bytes(31) + b"\x01"))),
    "streams/event-omitted-before-heartbeat": ((3,), bent(omit_before_heartbeat)),
    "streams/heartbeat-counts-one-less": ((3,), opened(8, log=plain, mend=False, streams_count=3)),
    "streams/heartbeat-of-another-list": ((3,), opened(8, log=plain, mend=False, streams_root=bytes(32))),
    "streams/heartbeat-says-one-less": ((3,), opened(8, log=plain, mend=False, size=7)),
    "streams/heartbeat-says-one-more": ((3,), opened(8, log=plain, mend=False, size=9)),
    "streams/heartbeat-says-another-last": ((3,), opened(8, log=plain, mend=False, last=bytes(32))),
    "streams/heartbeat-says-the-last-before": (
        (3,),
        opened(8, log=plain, mend=False, last=plain().rows[7].entry["prev"]),
    ),
    "streams/heartbeat-of-another-root": ((3,), opened(8, log=plain, mend=False, root=bytes(32))),
    "streams/heartbeat-of-the-root-before": ((3,), opened(8, log=plain, mend=False, root=plain().root(7))),
    "streams/heartbeat-replayed": ((1, 3), bent(heartbeat_replayed)),
}


ATTESTATION: Lies = {
    "attestation/author-signature-of-zeros": ((4,), entry(3, signature=bytes(64))),
    "attestation/notary-signature-of-zeros": ((4,), entry(2, signature=bytes(64))),
    "attestation/key-id-of-another": ((4,), bent(key_id_of_another, little)),
    "attestation/signed-as-author-and-called-notarised": ((4,), bent(called_notarised, little)),
    "attestation/signature-with-s-past-the-group-order": ((4,), bent(signed_again_modulo_l, little)),
    "attestation/genesis-signature-of-zeros": ((4,), entry(0, signature=bytes(64))),
    "attestation/heartbeat-signature-of-zeros": ((4,), entry(4, signature=bytes(64))),
    "attestation/claim-changed-after-signing": (
        (4,),
        bent(claim_changed_unsigned, little),
    ),
    "attestation/principal-changed-after-signing": ((4,), entry(principal="mallory", attest=False)),
    "attestation/notary-signs-as-author-would": (
        (4,),
        bent(signed_as_author_would, little),
    ),
    "attestation/author-passed-off-as-notarised": ((4,), bent(passed_off, little)),
    "attestation/notary-stripped": ((4,), bent(stripped, little)),
    "attestation/by-a-stranger": ((4,), more(said("stranger", source="bot"))),
    "attestation/by-an-author-of-another-source": (
        (4,),
        more(lambda log: log.count("author", "x.said", "engine-1", seen(8))),
    ),
    "attestation/notarised-by-a-stranger": (
        (4,),
        attested(2, "stranger"),
    ),
    "attestation/notarised-by-the-log-key": ((4,), attested(2, "log")),
    "attestation/command-notarised": ((4,), more(lambda log: log.say("control.pause", "ops", {}))),
    "attestation/anchor-not-attested": (
        (4,),
        more(lambda log: log.say("anchor.confirmed", "anchor", {}, by="none"), log=policies),
    ),
    "attestation/policy-names-another-key": (
        (4,),
        attested(4, "author", log=policies),
    ),
    "attestation/by-the-root-key": ((4,), more(said("root", source="bot"))),
    "attestation/by-a-revoked-key": ((4,), more(said("author-2", source="bot"), log=rotations)),
    "attestation/by-a-rotated-key": (
        (4,),
        more(lambda log: log.count("author", "x.said", "bot", seen(8)), log=rotations),
    ),
    "attestation/by-a-rotated-notary": ((4,), attested(7, "notary", log=rotations)),
    "attestation/heartbeat-for-alice": (
        (4,),
        attested(4, principal="alice"),
    ),
    "attestation/heartbeat-by-the-root-key": (
        (4,),
        attested(4, "root", "author", ""),
    ),
    "attestation/erasure-by-the-notary": (
        (4,),
        bent(erased_by_the_notary),
    ),
    "attestation/key-notarised-by-the-root-key": ((4,), attested(1, "root", "notary", "ledger")),
    "attestation/key-notarised": (
        (4,),
        attested(1, "notary", "notary", "ledger"),
    ),
    "attestation/policy-by-the-log-key": ((4,), more(lambda log: log.change_policy(by="log"))),
    "attestation/clock-by-the-notary-key": (
        (4,),
        more(
            lambda log: log.own(
                "clock", {"from": log.now, "reason": "", "to": log.now}, by="notary", attestation="author"
            )
        ),
    ),
    "attestation/author-seq-begins-at-2": ((4,), claim(3, author_seq=2)),
    "attestation/author-seq-skips": ((4,), more(counted(3))),
    "attestation/author-seq-stops": ((4,), more(counted(0))),
    "attestation/author-seq-repeats": ((4,), more(counted(1))),
    "attestation/author-seq-begins-late": ((4,), lambda: _uncounted().export()),
    "attestation/author-claim-withheld": ((4,), bent(gap_in_count)),
    "attestation/author-prev-leads-elsewhere": ((4,), more(counted(2, bytes(32)))),
    "attestation/author-seq-without-author": ((4,), claim(2, author_seq=1)),
    "attestation/author-seq-where-none-attests": ((4,), claim(5, author_seq=1)),
    "attestation/root-does-not-count-genesis": ((4,), lambda: _uncounted_root().export()),
    "attestation/root-does-not-count-a-key": ((4,), claim(1, author_seq=0, author_prev=ZEROS)),
    "attestation/root-stops-counting": ((4,), more(uncounted_by_root)),
    "attestation/root-skips-one": ((4,), claim(7, log=plain, author_seq=4)),
}


KEYS_AND_POLICY: Lies = {
    "keys/genesis-missing": ((4,), bent(genesis_missing)),
    "keys/genesis-twice": ((4,), bent(genesis_second)),
    "keys/genesis-by-its-log-key": ((4,), attested(0, "log")),
    "keys/genesis-with-one-key-in-two-roles": ((4,), genesis(anchor_key=public("notary"))),
    "keys/genesis-of-format-2": ((4,), genesis(format_version=2)),
    "keys/genesis-of-another-origin": ((4,), genesis(origin="elsewhere.example/log")),
    "keys/genesis-without-successor": ((4,), genesis(successor_of=...)),
    "keys/genesis-with-a-field-more": ((4,), genesis(more=1)),
    "keys/genesis-after-an-empty-log": ((4,), genesis(successor_of={"origin": "a", "root": bytes(32), "size": 0})),
    "keys/genesis-after-a-log-without-name": ((4,), genesis(successor_of={"origin": "", "root": bytes(32), "size": 1})),
    "keys/genesis-key-of-31-bytes": ((4,), genesis(anchor_key=bytes(31))),
    "keys/policy-with-a-maximum-of-0": ((4,), genesis(policy={**POLICY, "heartbeat_seconds_max": 0})),
    "keys/policy-with-an-unknown-default": ((4,), genesis(policy={**POLICY, "default_attestation": "witness"})),
    "keys/policy-out-of-order": ((4,), genesis(policy={**POLICY, "sources": POLICY["sources"][::-1]})),
    "keys/policy-changed-out-of-order": (
        (4,),
        more(lambda log: log.change_policy(sources=POLICY["sources"][::-1])),
    ),
    "keys/policy-with-a-source-twice": ((4,), genesis(policy={**POLICY, "sources": POLICY["sources"][:1] * 2})),
    "keys/policy-for-the-ledger": (
        (4,),
        genesis(policy=rules({"attestation": "none", "keys": [], "role": "", "source": "ledger"})),
    ),
    "keys/policy-for-anchors": (
        (4,),
        genesis(policy=rules({"attestation": "none", "keys": [], "role": "", "source": "anchor"})),
    ),
    "keys/policy-for-no-source": (
        (4,),
        genesis(policy=rules({"attestation": "none", "keys": [], "role": "", "source": "a b"})),
    ),
    "keys/policy-with-keys-out-of-order": (
        (4,),
        genesis(policy=rules({"attestation": "none", "keys": [b"b" * 8, b"a" * 8], "role": "", "source": "a"})),
    ),
    "keys/policy-with-a-key-of-9-bytes": (
        (4,),
        genesis(policy=rules({"attestation": "none", "keys": [bytes(9)], "role": "", "source": "a"})),
    ),
    "keys/registered-twice": ((4,), more(key("register", "author", "author", sources=["bot"]))),
    "keys/registered-is-the-root-key": ((4,), more(key("register", "author", "root", sources=["bot-2"]))),
    "keys/registered-after-revocation": (
        (4,),
        more(key("register", "author", "author-2", sources=["bot"]), log=rotations),
    ),
    "keys/registered-in-place-of-another": (
        (4,),
        more(key("register", "author", "author-2", sources=["b"], replaces=key_id("author"))),
    ),
    "keys/registered-with-overlap": ((4,), more(key("register", "author", "author-2", sources=["b"], overlap=1))),
    "keys/registered-as-suspect": ((4,), more(key("register", "author", "author-2", sources=["b"], suspect_from=1))),
    "keys/registered-as-notary": ((4,), more(key("register", "notary", "notary-2"))),
    "keys/registered-without-sources": ((4,), more(key("register", "author", "author-2"))),
    "keys/registered-with-sources-out-of-order": (
        (4,),
        more(key("register", "author", "author-2", sources=["b", "a"])),
    ),
    "keys/registered-with-a-source-twice": ((4,), more(key("register", "author", "author-2", sources=["a", "a"]))),
    "keys/registered-for-the-ledger": ((4,), more(key("register", "author", "author-2", sources=["ledger"]))),
    "keys/registered-for-anchors": ((4,), more(key("register", "author", "author-2", sources=["anchor"]))),
    "keys/registered-for-no-source": ((4,), more(key("register", "author", "author-2", sources=["a/b"]))),
    "keys/registered-by-itself": ((4,), more(key("register", "author", "author-2", sources=["b"], by="author-2"))),
    "keys/action-unknown": ((4,), more(key("borrow", "author", "author-2", sources=["b"]))),
    "keys/purpose-unknown": ((4,), more(key("rotate", "root", "author-2", replaces=key_id("root")))),
    "keys/rotation-of-no-live-notary": ((4,), more(key("rotate", "notary", "notary-2", replaces=key_id("log")))),
    "keys/rotation-of-no-live-log-key": ((4,), more(key("rotate", "log", "log-2", replaces=key_id("notary")))),
    "keys/rotation-of-no-live-anchor": ((4,), more(key("rotate", "anchor", "anchor-2", replaces=key_id("notary")))),
    "keys/rotation-of-no-live-author": (
        (4,),
        more(key("rotate", "author", "author-3", replaces=key_id("author-2"), sources=["b"])),
    ),
    "keys/rotation-to-a-used-key": ((4,), more(key("rotate", "notary", "anchor", **ROTATE_NOTARY))),
    "keys/rotation-with-sources": ((4,), more(key("rotate", "notary", "notary-2", sources=["a"], **ROTATE_NOTARY))),
    "keys/rotation-with-other-sources": (
        (4,),
        more(key("rotate", "author", "author-2", replaces=key_id("author"), sources=["bot", "raw"])),
    ),
    "keys/rotation-of-notary-with-overlap": (
        (4,),
        more(key("rotate", "notary", "notary-2", overlap=1, **ROTATE_NOTARY)),
    ),
    "keys/rotation-as-suspect": ((4,), more(key("rotate", "notary", "notary-2", suspect_from=1, **ROTATE_NOTARY))),
    "keys/rotation-while-an-overlap-runs": (
        (4,),
        more(
            key("rotate", "log", "log-2", overlap=2, **ROTATE_LOG),
            said(),
            key("rotate", "log", "log-3", replaces=key_id("log-2")),
        ),
    ),
    "keys/rotation-with-an-overlap-without-end": (
        (4,),
        more(
            key("rotate", "log", "log-2", overlap=2**63 - 1, **ROTATE_LOG),
            said(),
            key("rotate", "log", "log-3", replaces=key_id("log-2")),
        ),
    ),
    "keys/revocation-of-no-live-key": ((4,), more(key("revoke", "author", "author-2", replaces=key_id("author-2")))),
    "keys/revocation-of-another-key": ((4,), more(key("revoke", "author", "author-2", replaces=key_id("author")))),
    "keys/revocation-with-sources": (
        (4,),
        more(key("revoke", "author", "author", replaces=key_id("author"), sources=["bot"])),
    ),
    "keys/revocation-of-the-notary": ((4,), more(key("revoke", "notary", "notary", **ROTATE_NOTARY))),
    "keys/revocation-by-itself": (
        (4,),
        more(key("revoke", "author", "author-3", by="author-3", replaces=key_id("author-3")), log=_with_third),
    ),
    "keys/type-unknown": ((4,), more(lambda log: log.own("note", {}))),
    "keys/schema-2": (
        (4,),
        more(lambda log: log.own("clock", {"from": log.now, "reason": "", "to": log.now}, schema=2)),
    ),
    "keys/clock-to-a-time-of-65-bits": ((4,), more(lambda log: log.clock(to=2**63))),
    "keys/clock-that-goes-back": ((4,), more(lambda log: log.clock(to=log.now - 1))),
    "keys/clock-reason-with-a-control-character": ((4,), more(lambda log: log.clock(reason="\x1b[2J"))),
    "keys/clock-reason-of-501-characters": ((4,), more(lambda log: log.clock(reason="r" * 501))),
    "keys/erasure-why-with-a-line-feed": ((4,), opened(7, log=plain, why="asked to\nand done")),
    "keys/erasure-who-with-delete": ((4,), opened(7, log=plain, who="\x7f")),
    "keys/erasure-why-of-501-characters": ((4,), opened(7, log=plain, why="w" * 501)),
    "keys/erasure-who-of-129-characters": ((4,), opened(7, log=plain, who="w" * 129)),
    "keys/beacon-with-a-control-character": ((4,), opened(4, beacon={**finalized(1), "blockhash": "\x00"})),
    "keys/beacon-blockhash-of-65-characters": ((4,), opened(4, beacon={**finalized(1), "blockhash": "b" * 65})),
    "keys/beacon-slot-negative": ((4,), opened(4, beacon={**finalized(1), "slot": -1})),
    "keys/beacon-kind-unknown": ((4,), opened(4, beacon=finalized(1, "confirmed"))),
    "keys/beacon-without-a-time": ((4,), opened(4, beacon={"blockhash": "", "kind": "none", "slot": 0})),
    "keys/beacon-none-with-a-time": ((4,), opened(4, beacon={**NO_BEACON, "block_time": 1})),
    "keys/beacon-none-with-a-slot": ((4,), opened(4, beacon={**NO_BEACON, "slot": 1})),
    "keys/beacon-none-with-a-blockhash": ((4,), opened(4, beacon={**NO_BEACON, "blockhash": "b"})),
    "keys/heartbeat-without-its-size": ((4,), opened(4, mend=False, size=...)),
    "keys/heartbeat-last-of-31-bytes": ((4,), opened(4, mend=False, last=bytes(31))),
    "keys/payload-with-keys-out-of-order": (
        (4,),
        reopened(1, lambda row: _unsorted(row.opened())),
    ),
    "keys/payload-with-a-byte-more": (
        (4,),
        reopened(1, lambda row: row.entry["open"] + b"\xc0"),
    ),
    "keys/payload-is-nothing": ((4,), more(lambda log: log.own("clock", b""))),
}


PAYLOADS: Lies = {
    "payloads/changed": ((5,), bent(payload_of(2, lambda old: old[:-1] + bytes([old[-1] ^ 1])))),
    "payloads/salt-changed": ((5,), bent(payload_of(2, lambda old: bytes(16) + old[16:]))),
    "payloads/lost": ((5,), bent(payload_of(2, lambda _: None))),
    "payloads/empty": ((5,), bent(payload_of(2, lambda _: b""))),
    "payloads/of-15-bytes": ((5,), bent(payload_of(2, lambda _: bytes(15), commit=True))),
    "payloads/beside-an-open-entry": (
        (5,),
        bent(lambda log: setattr(log.rows[8], "payload", bytes(16) + log.rows[8].entry["open"])),
    ),
    "payloads/in-an-entry-that-is-not-open": ((5,), bent(open_in_private)),
    "payloads/open-not-committed-to": ((4, 5), bent(open_not_committed, little)),
    "payloads/open-of-another-type-not-committed-to": ((5,), entry(2, log=open_types, open=b"other")),
    "payloads/erased-and-another-in-its-place": ((5,), bent(erased_and_back)),
    "payloads/erasure-with-another-id": ((5,), more(erasure(2, id=event_id(99, 0)))),
    "payloads/erasure-of-a-later-entry": ((5,), more(erasure(7, id=event_id(8, START + 8 * SECOND)), said())),
    "payloads/erasure-of-itself": ((5,), more(erasure(6, id=event_id(7, START + 7 * SECOND)))),
    "payloads/erasure-past-the-end": ((5,), more(erasure(2**63 - 1))),
    "payloads/erasure-of-an-open-entry": ((5,), more(erasure(1, id=little().rows[1].claim["id"]))),
    "payloads/lost-and-another-erased": ((5,), bent(payload_of(2, lambda _: None))),
    "payloads/lost-and-erased-under-another-id": ((5,), opened(7, log=plain, id=event_id(99, 0))),
}

TREE: Lies = {
    "tree/newest-head-of-another-root": ((6,), bent(wrong_head(10, root=bytes(32)))),
    "tree/entry-changed-under-its-head": (
        (6,),
        bent(changed_under_its_head),
    ),
}

HEADS: Lies = {
    "heads/earlier-head-of-another-root": ((7,), bent(wrong_head(6, root=bytes(32)))),
    "heads/earlier-head-by-a-stranger": ((7,), bent(wrong_head(6, keys=["stranger"]))),
    "heads/newest-head-by-a-stranger": ((7,), bent(wrong_head(10, keys=["stranger"]))),
    "heads/newest-head-by-the-root-key": ((7,), bent(wrong_head(10, keys=["root"]))),
    "heads/newest-head-missing": ((7,), bent(lambda log: log.heads.pop())),
    "heads/newest-entries-missing": ((7,), bent(lambda log: log.rows.pop())),
    "heads/out-of-order": ((7,), bent(lambda log: log.heads.insert(0, log.heads.pop(1)))),
    "heads/one-twice": ((7,), bent(lambda log: log.heads.insert(0, log.heads[0]))),
    "heads/of-another-origin": ((7,), bent(wrong_head(6, origin="elsewhere.example/log"))),
    "heads/new-key-missing-in-overlap": ((7,), bent(wrong_head(5, keys=["log"]), rotations)),
    "heads/old-key-missing-in-overlap": ((7,), bent(wrong_head(6, keys=["log-2"]), rotations)),
    "heads/old-key-after-overlap": ((7,), bent(wrong_head(7, keys=["log"]), rotations)),
    "heads/new-key-before-rotation": ((7,), bent(wrong_head(3, keys=["log-2"]), rotations)),
    "heads/old-key-line-is-false-in-overlap": (
        (7,),
        bent(
            lambda log: log.heads.__setitem__(
                4,
                log.head_note(5, keys=["log-2"])
                + log.head_note(5, keys=["log"], root=bytes(32)).rpartition(b"\n\n")[2],
            ),
            rotations,
        ),
    ),
    "heads/signature-of-another-head": ((7,), note(lambda head: head.replace(b"\n6\n", b"\n7\n", 1))),
    "heads/second-line-of-the-log-key-is-false": ((7,), note(lambda head: head + false_line(head))),
    "heads/first-line-of-the-log-key-is-false": (
        (7,),
        note(lambda head: head.replace(b"\n\n", b"\n\n" + false_line(head), 1)),
    ),
    "heads/101-lines": ((7,), note(lambda head: head + b"".join(stranger_line(number) for number in range(100)))),
    "heads/line-without-a-signature": ((7,), note(lambda head: head + "— witness AAAAAA==\n".encode())),
    "heads/line-with-a-hyphen": ((7,), note(lambda head: head + stranger_line().replace("—".encode(), b"-"))),
    "heads/line-without-a-dash": ((7,), note(lambda head: head + stranger_line().removeprefix("— ".encode()))),
    "heads/line-by-nobody": ((7,), note(lambda head: head + stranger_line(name=""))),
    "heads/line-by-a-name-with-plus": ((7,), note(lambda head: head + stranger_line(name="a+b"))),
    "heads/line-by-a-name-with-a-wide-space": ((7,), note(lambda head: head + stranger_line(name="a\u2003b"))),
    "heads/line-ended-by-a-space": ((7,), note(lambda head: head[:-1] + b" ")),
    "heads/line-by-a-name-with-a-control-character": ((7,), note(lambda head: head + stranger_line(name="a\x01b"))),
    "heads/line-not-ended": ((7,), note(lambda head: head[:-1])),
    "heads/no-lines": ((7,), note(lambda head: head.partition(b"\n\n")[0] + b"\n\n")),
    "heads/no-empty-line": ((7,), note(lambda head: head.replace(b"\n\n", b"\n"))),
    "heads/carriage-returns": ((7,), note(lambda head: head.replace(b"\n", b"\r\n"))),
    "heads/longer-than-128-kib": (
        (7,),
        note(lambda head: head + f"— w {base64.b64encode(bytes(98_304)).decode()}\n".encode()),
    ),
    "heads/text-of-another-origin": ((7,), retold(lambda text: ["elsewhere.example/log", text[1], text[2]])),
    "heads/with-an-extension": ((7,), retold(lambda text: [*text, "more"])),
    "heads/size-with-a-leading-zero": ((7,), retold(lambda text: [text[0], "06", text[2]])),
    "heads/size-0": ((7,), retold(lambda text: [text[0], "0", text[2]])),
    "heads/size-with-a-sign": ((7,), retold(lambda text: [text[0], "+6", text[2]])),
    "heads/size-in-other-digits": ((7,), retold(lambda text: [text[0], "٦", text[2]])),
    "heads/size-after-63-bits": ((7,), retold(lambda text: [text[0], str(2**63), text[2]])),
    "heads/size-of-5000-digits": ((7,), retold(lambda text: [text[0], "9" * 5000, text[2]])),
    "heads/root-of-31-bytes": ((7,), retold(lambda text: [text[0], text[1], base64.b64encode(bytes(31)).decode()])),
    "heads/root-in-hex": ((7,), retold(lambda text: [text[0], text[1], bytes(32).hex()])),
    "heads/empty-text": ((7,), _headless),
}


LIES: Lies = {
    **FILE,
    **ENCODING,
    **CLAIM,
    **ENTRY,
    **CHAIN,
    **STREAMS,
    **TIME,
    **RIGHTS,
    **ATTESTATION,
    **KEYS_AND_POLICY,
    **PAYLOADS,
    **TREE,
    **HEADS,
}

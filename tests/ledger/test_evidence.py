"""Evidence made from a real ledger holds by itself, and every bit of it matters."""

from pathlib import Path

import pytest

from decision_dna.ledger.evidence import check_evidence
from decision_dna.ledger.forks import prove_fork
from decision_dna.ledger.ledger import Ledger
from decision_dna.ledger.notes import Checkpoint, Vkey, sign_checkpoint
from decision_dna.ledger.proving import Around, leaves_before, prove_event, prove_run
from decision_dna.schemas.claims import decode_entry
from tests.ledger.samples import fill, new_ledger


@pytest.fixture
def ledger(tmp_path: Path):
    made, clock = new_ledger(tmp_path / "d")
    with made:
        fill(made, clock, 2)
        yield made


def authority_seqs(ledger: Ledger) -> tuple[int, ...]:
    events = (ledger.reader.event(seq) for seq in range(ledger.reader.size))
    return tuple(e.seq for e in events if e.claim.type in ("ledger.genesis", "ledger.key", "ledger.policy"))


def heartbeats(ledger: Ledger) -> list[int]:
    return [seq for seq in range(ledger.reader.size) if ledger.reader.event(seq).claim.type == "ledger.heartbeat"]


def around(ledger: Ledger, seq: int) -> Around:
    beats = heartbeats(ledger)
    before = max((beat for beat in beats if beat < seq), default=None)
    return Around(authority_seqs(ledger), before, min((beat for beat in beats if beat > seq), default=None))


def test_every_event_can_be_proved(ledger: Ledger) -> None:
    for seq in range(ledger.reader.size):
        report = check_evidence(prove_event(ledger.reader, seq, around(ledger, seq)), ledger.vkey)
        assert report.holds, report.findings


def test_another_key_or_another_payload_does_not_hold(ledger: Ledger) -> None:
    data = prove_event(ledger.reader, 2, around(ledger, 2))
    other = Vkey(ledger.origin, ledger.writer.authority.notary)
    assert [f.step for f in check_evidence(data, other).findings] == [7]
    payload = ledger.reader.event(2).payload or b""
    import base64

    changed = base64.b64encode(payload[:-1] + bytes([payload[-1] ^ 1]))
    bent = data.replace(base64.b64encode(payload), changed)
    assert bent != data
    assert [f.step for f in check_evidence(bent, ledger.vkey).findings] == [5]


def run_of(ledger: Ledger, stream: str) -> tuple[list[int], int]:
    entries = [decode_entry(ledger.reader.raw(seq)) for seq in range(ledger.reader.size)]
    last = heartbeats(ledger)[-1]
    return [e.seq for e in entries if e.stream == stream and e.seq < last], last


@pytest.mark.parametrize("stream", ["x/engine-1", "x/bot", "x/raw"])
def test_a_complete_run_of_a_stream(ledger: Ledger, stream: str) -> None:
    seqs, beat = run_of(ledger, stream)
    to = decode_entry(ledger.reader.raw(beat)).recorded_at - 1
    leaves = leaves_before(ledger.reader, beat)
    whole = prove_run(ledger.reader, stream, seqs, 0, to, Around(authority_seqs(ledger), None, beat), leaves)
    assert check_evidence(whole, ledger.vkey).holds
    for left_out in seqs:
        rest = [seq for seq in seqs if seq != left_out]
        data = prove_run(ledger.reader, stream, rest, 0, to, Around(authority_seqs(ledger), None, beat), leaves)
        assert 3 in {f.step for f in check_evidence(data, ledger.vkey).findings}


@pytest.mark.parametrize("stream", ["x/nobody", "a/first", "zz/last", "control/ops"])
def test_absence(ledger: Ledger, stream: str) -> None:
    _, beat = run_of(ledger, stream)
    to = decode_entry(ledger.reader.raw(beat)).recorded_at - 1
    data = prove_run(
        ledger.reader, stream, [], 0, to, Around(authority_seqs(ledger), None, beat), leaves_before(ledger.reader, beat)
    )
    report = check_evidence(data, ledger.vkey)
    assert (report.kind, report.holds) == ("absence", True)
    there = data.replace(f'"stream":"{stream}"'.encode(), b'"stream":"x/bot"')
    assert [f.step for f in check_evidence(there, ledger.vkey).findings] == [3]


def test_two_heads_of_one_size_convict(ledger: Ledger) -> None:
    head = ledger.reader.head()
    other = sign_checkpoint(Checkpoint(head.origin, head.size, bytes(32)), ledger.keys.of_purpose("log"))
    data = prove_fork(head.note.encode(), other, ledger.vkey)
    assert check_evidence(data, ledger.vkey).holds


def test_no_bit_of_evidence_is_free(ledger: Ledger) -> None:
    data = prove_event(ledger.reader, 2, around(ledger, 2))
    held = []
    for at in range(0, len(data), 3):
        bent = bytearray(data)
        bent[at] ^= 1 << at % 8
        if check_evidence(bytes(bent), ledger.vkey).holds:
            held.append(at)
    assert held == []

"""Step 9 within the verification of a whole ledger: anchors on the way from the writer to the chain, into the log, and out."""

from pathlib import Path

import msgspec
import pytest

from decision_dna.anchors.audit import NOTE_TYPES, anchor_check
from decision_dna.anchors.local_chain import LocalChain
from decision_dna.anchors.memo import FIRST_PREVIOUS
from decision_dna.anchors.send import confirmed_anchor, prepare_anchor
from decision_dna.anchors.transaction import check_anchor_transaction
from decision_dna.ledger.audit import Report, verify
from decision_dna.ledger.hashing import key_id
from decision_dna.ledger.ledger import Ledger
from decision_dna.ledger.notes import Checkpoint, sign_checkpoint
from decision_dna.ledger.opening import create, open_ledger
from decision_dna.ledger.sources import StoreSource
from decision_dna.ledger.verification import AuthorityEntry, Joint, Step, fold_schedule
from decision_dna.schemas.anchoring import CONFIRMED, AnchorConfirmed
from tests.anchors.samples import OTHER_KEY
from tests.ledger.samples import change_key

ORIGIN = "example.org/log"


async def anchored(ledger: Ledger, chain: LocalChain, n: int, previous: bytes) -> AnchorConfirmed:
    """Anchor the newest head on the chain; the payload to keep."""
    key, head = ledger.keys.of_purpose("anchor")[0], ledger.reader.head()
    raw = await prepare_anchor(chain, key, n, previous, head.note.encode())
    return confirmed_anchor(raw, key.public, ORIGIN, chain.cluster, await chain.send(raw))


def verified(ledger: Ledger) -> Report:
    source = StoreSource(ledger.store, ledger.reader.head())
    return verify(source, ledger.vkey, note_types=NOTE_TYPES, checks=(anchor_check(source),))


def step_nine(report: Report) -> tuple[str, str]:
    result = report.steps[Step.ANCHORS - 1]
    return result.status, result.text


@pytest.fixture
def ledger(tmp_path: Path):
    create(tmp_path / "ledger", ORIGIN)
    with open_ledger(tmp_path / "ledger") as opened:
        yield opened


@pytest.fixture
def chain(ledger: Ledger) -> LocalChain:
    made = LocalChain(slot=300_000_000, block_time=1_700_000_000)
    made.fund(ledger.keys.of_purpose("anchor")[0].public, 10**9)
    return made


async def two_anchors(ledger: Ledger, chain: LocalChain) -> list[AnchorConfirmed]:
    previous, made = FIRST_PREVIOUS, []
    for n in range(2):
        ledger.heartbeat()
        payload = await anchored(ledger, chain, n, previous)
        previous = check_anchor_transaction(
            payload.transaction, ledger.keys.of_purpose("anchor")[0].public, ORIGIN
        ).memo_hash
        ledger.append_anchor(CONFIRMED, payload)
        made.append(payload)
    return made


async def test_anchors_of_a_real_ledger_hold_offline_and_the_rest_of_it_passes(ledger, chain):
    assert step_nine(verified(ledger)) == ("inconclusive", "no anchors")
    await two_anchors(ledger, chain)
    report = verified(ledger)
    assert report.findings == []
    assert step_nine(report) == ("inconclusive", "2 anchors hold in their bytes; that the chain has them was not asked")
    assert report.verdicts["anchoring"] == "inconclusive"


async def test_a_misquoted_anchor_fails_step_nine_and_no_other(ledger, chain):
    ledger.heartbeat()
    payload = await anchored(ledger, chain, 0, FIRST_PREVIOUS)
    ledger.append_anchor(CONFIRMED, msgspec.structs.replace(payload, size=1))
    report = verified(ledger)
    assert [(finding.step, finding.seq) for finding in report.findings] == [(9, 2)]
    assert "gives size 1, the transaction 2" in report.findings[0].text
    assert step_nine(report) == ("fail", "no anchor holds")


class NewestHeadOnly(StoreSource):
    """A log whose older heads were not kept, as in a small export; optionally it gives another entry when read again."""

    def __init__(self, ledger: Ledger, *, changes: bool = False) -> None:
        super().__init__(ledger.store, ledger.reader.head())
        self.changes, self.reads = changes, 0

    def heads(self):
        return super().heads()[-1:]

    def judge(self, joint):
        return []  # what a store says of its older heads has none of them here

    def rows(self, start, end):
        assert end <= self.size
        rows, findings = super().rows(start, end)
        self.reads += 1
        if self.changes and self.reads > 1:
            rows[0] = (b"another entry", None)
        return rows, findings


async def test_a_size_past_the_log_is_not_read_for(ledger, chain):
    ledger.heartbeat()
    payload = await anchored(ledger, chain, 0, FIRST_PREVIOUS)
    ledger.append_anchor(CONFIRMED, msgspec.structs.replace(payload, size=2**63 - 1))
    source = NewestHeadOnly(ledger)
    report = verify(source, ledger.vkey, note_types=NOTE_TYPES, checks=(anchor_check(source),))
    assert [finding.step for finding in report.findings] == [9, 9]


async def test_an_anchored_head_that_the_log_key_did_not_sign_is_named(ledger, chain):
    ledger.heartbeat()
    head, key = ledger.reader.head(), ledger.keys.of_purpose("anchor")[0]
    forged = sign_checkpoint(Checkpoint(ORIGIN, head.size, head.root), [OTHER_KEY])
    raw = await prepare_anchor(chain, key, 0, FIRST_PREVIOUS, forged)
    payload = confirmed_anchor(raw, key.public, ORIGIN, chain.cluster, await chain.send(raw))
    ledger.append_anchor(CONFIRMED, payload)
    assert ["is not signed by" in finding.text for finding in verified(ledger).findings] == [True]


async def test_an_anchor_stands_under_the_key_of_its_time(ledger, chain):
    await two_anchors(ledger, chain)
    old = ledger.keys.of_purpose("anchor")[0]
    change_key(ledger, "rotate", "anchor", OTHER_KEY.public, replaces=key_id(old.public))
    assert verified(ledger).findings == []
    late = await anchored(ledger, chain, 2, b"\x01" * 32)
    ledger.append_anchor(CONFIRMED, late)
    findings = verified(ledger).findings
    assert len(findings) == 1
    assert f"the anchor key {OTHER_KEY.public.hex()} signs alone" in findings[0].text


def test_an_entry_that_cannot_be_read_fails_the_step(ledger):
    source = StoreSource(ledger.store, ledger.reader.head())
    joint = Joint(ORIGIN, fold_schedule(source.authority_hint()))
    joint.noted.append(AuthorityEntry(5, b"no entry"))
    extra = anchor_check(source)(joint, [])
    assert (extra.step, extra.status, [finding.seq for finding in extra.findings]) == (9, "fail", [5])


async def test_heads_that_were_not_kept_are_recomputed_from_the_entries(ledger, chain):
    await two_anchors(ledger, chain)
    source = NewestHeadOnly(ledger)
    report = verify(source, ledger.vkey, note_types=NOTE_TYPES, checks=(anchor_check(source),))
    assert report.findings == []
    assert step_nine(report)[0] == "inconclusive"


async def test_entries_that_change_when_read_again_count_for_nothing(ledger, chain):
    await two_anchors(ledger, chain)
    source = NewestHeadOnly(ledger, changes=True)
    report = verify(source, ledger.vkey, note_types=NOTE_TYPES, checks=(anchor_check(source),))
    assert step_nine(report)[0] == "fail"
    assert all("has no root" in finding.text for finding in report.findings)
    assert len(report.findings) == 2

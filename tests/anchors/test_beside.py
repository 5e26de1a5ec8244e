"""An anchor beside evidence: what its bytes prove is a fact, what is bent is step 9's, what only a chain knows is said."""

import base64
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from decision_dna.anchors.beside import check_anchor_beside
from decision_dna.anchors.build import build_anchor_transaction
from decision_dna.anchors.local_chain import LocalChain
from decision_dna.anchors.memo import build_memo, parse_memo
from decision_dna.anchors.transaction import anchor_memo
from decision_dna.ledger.evidence import EvidenceReport, check_evidence
from decision_dna.ledger.hashing import key_id
from decision_dna.ledger.ledger import Ledger
from decision_dna.ledger.lock import Locked
from decision_dna.ledger.notes import Checkpoint, sign_checkpoint
from decision_dna.ledger.opening import create, open_ledger
from decision_dna.ledger.proving import Around, prove_event
from decision_dna.ledger.reader import LogReader
from decision_dna.ledger.signatures import SigningKey
from decision_dna.schemas.anchoring import AnchorConfirmed
from decision_dna.schemas.evidence import AnchorGiven
from decision_dna.service.anchoring import anchor_once
from tests.anchors.samples import BLOCKHASH, OTHER_KEY
from tests.ledger.samples import change_key

ORIGIN = "example.org/log"


@pytest.fixture
def ledger(tmp_path: Path):
    create(tmp_path / "ledger", ORIGIN)
    with open_ledger(tmp_path / "ledger") as opened:
        opened.heartbeat()
        yield opened


@pytest.fixture
def chain(ledger: Ledger) -> LocalChain:
    made = LocalChain(slot=300_000_000, block_time=1_700_000_000)
    for key in (ledger.keys.of_purpose("anchor")[0], OTHER_KEY):
        made.fund(key.public, 10**9)
    return made


def given(anchor: AnchorConfirmed) -> AnchorGiven:
    memo = anchor_memo(anchor.transaction).decode()
    return AnchorGiven(
        memo, anchor.cluster, anchor.slot, anchor.block_time, base64.b64encode(anchor.transaction).decode()
    )


def checked(ledger: Ledger, size: int, anchor: AnchorGiven, keys: tuple[int, ...] = (0,)) -> EvidenceReport:
    """Evidence of entry 1 under the head of a size, with an anchor beside it; `keys` are the entries that change keys."""
    note = ledger.reader.note_of(size)
    head = Locked(ORIGIN, size, ledger.reader.frontier(size).root(), note.decode())
    reader = LogReader(ledger.store, lambda: head)
    data = prove_event(reader, 1, Around(keys, None, None), anchor=anchor)
    report = check_evidence(data, ledger.vkey)
    assert report.holds, report.findings
    check_anchor_beside(report)
    return report


async def test_an_anchor_of_the_evidences_checkpoint_is_a_fact_and_the_chain_is_not(ledger, chain):
    _, anchor = await anchor_once(ledger, chain)
    report = checked(ledger, anchor.size, given(anchor))
    assert report.holds
    assert report.facts[-1] == (
        f"the anchor key signed anchor 0, whose memo holds the log's signed head of size {anchor.size}: "
        "the very checkpoint that all of this is proved in"
    )
    chain_said, link_said = report.relies_on[-2:]
    assert chain_said.startswith("the chain: that local finalised the anchor's transaction, in slot 300000000,")
    assert chain_said.endswith("is unverified")
    assert "link to the one before" in link_said
    assert not any("was not checked here" in text for text in report.relies_on)


async def test_an_anchor_of_another_size_holds_and_ties_nothing(ledger, chain):
    _, anchor = await anchor_once(ledger, chain)
    report = checked(ledger, ledger.reader.size, given(anchor))
    assert report.holds
    assert "it is not the checkpoint of this evidence, which has size 3" in report.facts[-1]
    assert any("consistency proof between the sizes 2 and 3" in text for text in report.relies_on)


def resigned(anchor: AnchorConfirmed, memo: bytes, key: SigningKey) -> AnchorConfirmed:
    return msgspec.structs.replace(anchor, transaction=build_anchor_transaction(memo, key, BLOCKHASH))


def headed(ledger: Ledger, anchor: AnchorConfirmed, checkpoint: Checkpoint, by: SigningKey) -> AnchorGiven:
    memo = build_memo(0, parse_memo(anchor_memo(anchor.transaction)).previous, sign_checkpoint(checkpoint, [by]))
    return given(resigned(anchor, memo, ledger.keys.of_purpose("anchor")[0]))


def bent_transaction(ledger: Ledger, anchor: AnchorConfirmed) -> AnchorGiven:
    raw = anchor.transaction[:30] + bytes([anchor.transaction[30] ^ 1]) + anchor.transaction[31:]
    return given(msgspec.structs.replace(anchor, transaction=raw))


LIES: dict[str, tuple[Callable[[Ledger, AnchorConfirmed], AnchorGiven], str]] = {
    "another memo beside it": (
        lambda ledger, anchor: msgspec.structs.replace(given(anchor), memo="decision-dna-anchor/v1 0 "),
        "is not the memo in it",
    ),
    "signature bent": (bent_transaction, "anchor transaction"),
    "no transaction": (
        lambda ledger, anchor: msgspec.structs.replace(given(anchor), transaction=""),
        "not a transaction",
    ),
    "by another key": (
        lambda ledger, anchor: given(resigned(anchor, anchor_memo(anchor.transaction), OTHER_KEY)),
        "signs alone",
    ),
    "a head of another log": (
        lambda ledger, anchor: headed(
            ledger, anchor, Checkpoint("example.org/b", anchor.size, anchor.root), ledger.keys.of_purpose("log")[0]
        ),
        "of the log 'example.org/b'",
    ),
    "a head that the log key did not sign": (
        lambda ledger, anchor: headed(ledger, anchor, Checkpoint(ORIGIN, anchor.size, anchor.root), OTHER_KEY),
        "is not signed by",
    ),
    "a fork": (
        lambda ledger, anchor: headed(
            ledger, anchor, Checkpoint(ORIGIN, anchor.size, b"\x07" * 32), ledger.keys.of_purpose("log")[0]
        ),
        "the log key signed both",
    ),
}


@pytest.mark.parametrize("name", LIES)
async def test_every_lie_beside_evidence_is_step_nines(name, ledger, chain):
    lie, sentence = LIES[name]
    _, anchor = await anchor_once(ledger, chain)
    report = checked(ledger, anchor.size, lie(ledger, anchor))
    assert not report.holds
    assert [(finding.step, sentence in finding.text) for finding in report.findings] == [(9, True)], report.findings


async def test_a_key_that_was_replaced_anchors_no_later_head(ledger, chain):
    old = ledger.keys.of_purpose("anchor")[0]
    _, before = await anchor_once(ledger, chain)
    placed = change_key(ledger, "rotate", "anchor", OTHER_KEY.public, replaces=key_id(old.public)).outcomes[0]
    size = ledger.reader.size
    assert checked(ledger, size, given(before), (0, placed.seq)).holds
    memo = build_memo(0, bytes(32), ledger.reader.note_of(size))
    late = checked(ledger, size, given(resigned(before, memo, old)), (0, placed.seq))
    assert [finding.text for finding in late.findings] == [
        f"the anchor beside it: its key was replaced at entry {placed.seq}, before there was a head of size {size}"
    ]
    assert checked(ledger, size, given(resigned(before, memo, OTHER_KEY)), (0, placed.seq)).holds


def test_evidence_without_an_anchor_stays_as_it_is(ledger):
    data = prove_event(ledger.reader, 1, Around((0,), None, None))
    report = check_evidence(data, ledger.vkey)
    facts, relies_on = list(report.facts), list(report.relies_on)
    check_anchor_beside(report)
    assert (report.facts, report.relies_on) == (facts, relies_on)

"""What arrives together is one request of the writer's, and each caller still gets its own answer; and receipts of one commit."""

import asyncio
import multiprocessing
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec
import pytest

from decision_dna.ledger.ledger import Ledger
from decision_dna.ledger.receipts import check_receipt
from decision_dna.ledger.writer import QUEUE_EVENTS_MAX, Appended, Placed
from decision_dna.schemas.claims import BATCH_EVENTS_MAX
from decision_dna.schemas.errors import Busy, LedgerError, Malformed, Unavailable
from decision_dna.schemas.ledgering import POLICY
from decision_dna.service.http.running import running
from decision_dna.service.ingest import BYTES_IN_HAND_MAX, BYTES_ON_LOOP_MAX, JOINED_EVENTS_MAX, Ingest
from decision_dna.service.receipts import CommitReceipts, event_receipt
from decision_dna.service.settings import Settings
from tests.ledger.memory_log import new_log
from tests.ledger.samples import draft, root_of
from tests.service.serving import event, new_id


@asynccontextmanager
async def ingesting() -> AsyncIterator[tuple[Ingest, Ledger]]:
    ledger, _, _ = new_log()
    with ledger:
        ledger.heartbeat()
        async with running(ledger, Settings(port=0)) as parts:
            yield parts.ingest, ledger


def offered(ingest: Ingest, *events: object, atomic: bool = False) -> asyncio.Future[Appended]:
    return ingest.offer(msgspec.json.encode(events), "json", "local", atomic=atomic)


def places(appended: Appended) -> list[int | str]:
    """Where each event stands, or what it was refused for."""
    return [each.seq if isinstance(each, Placed) else type(each).__name__ for each in appended.outcomes]


async def test_callers_of_one_turn_share_a_commit_and_get_their_own_answers() -> None:
    async with ingesting() as (ingest, ledger):
        said, lost = event(1, id=new_id()), event(9, causes=[new_id(7)])
        asked = [
            offered(ingest, event(2), said),
            offered(ingest, lost),
            offered(ingest, said, {"type": "x.seen"}, event(3)),
            offered(ingest, event(4), lost, atomic=True),
            offered(ingest, event(5), atomic=True),
        ]
        assert ingest.in_hand == 5
        answers = await asyncio.gather(*asked)
        # Atomic requests are the writer's own, and were queued at once; the others at the end of the turn.
        assert [places(answer) for answer in answers] == [
            [3, 4], ["Malformed"], [4, "Malformed", 5], ["Conflict", "Malformed"], [2],
        ]  # fmt: skip
        assert {answer.head.size for answer in answers} == {6} == {ledger.reader.size}
        assert ingest.in_hand == 0


async def test_a_turn_may_bring_more_than_a_commit_can_hold() -> None:
    async with ingesting() as (ingest, ledger):
        several, requests = [event(n) for n in range(JOINED_EVENTS_MAX - 1)], BATCH_EVENTS_MAX // JOINED_EVENTS_MAX + 2
        answers = await asyncio.gather(*[offered(ingest, *several) for _ in range(requests)])
        seqs = [seq for answer in answers for seq in places(answer)]
        assert seqs == list(range(2, 2 + requests * len(several)))
        assert ledger.reader.size == 2 + len(seqs) > BATCH_EVENTS_MAX


async def test_callers_of_one_turn_do_not_outgrow_the_policy_together() -> None:
    """Each request fits between two heartbeats: joined, they must not be refused as one that does not."""
    async with ingesting() as (ingest, ledger):
        policy = msgspec.structs.replace(ledger.writer.authority.policy, heartbeat_events_max=3)
        ledger.append_signed(ledger.sign_own(root_of(ledger), POLICY, ledger.policy_change(policy)))
        answers = await asyncio.gather(*[offered(ingest, event(n), event(n)) for n in range(5)])
        assert all(isinstance(seq, int) for answer in answers for seq in places(answer))


async def test_a_caller_that_goes_away_takes_nobody_with_it() -> None:
    async with ingesting() as (ingest, ledger):
        gone, stays = offered(ingest, event(1)), offered(ingest, event(2))
        gone.cancel()
        assert places(await stays) == [3]
        assert (ledger.reader.size, ingest.in_hand) == (4, 0)


async def test_what_can_not_be_read_is_in_nobodys_hand() -> None:
    async with ingesting() as (ingest, _):
        for body in (b"[", b"[" + b" " * BYTES_ON_LOOP_MAX):
            with pytest.raises(Malformed):
                await ingest.submit(body, "json", "local", atomic=False)
        assert ingest.in_hand == 0


async def test_a_queue_that_is_full_or_about_to_be_takes_no_more() -> None:
    async with ingesting() as (ingest, ledger):
        with ledger.writer.turn():  # nothing is committed meanwhile
            rows = ledger.prepare([draft(1)], "local") * BATCH_EVENTS_MAX
            for _ in range(QUEUE_EVENTS_MAX // BATCH_EVENTS_MAX - 1):
                ledger.writer.enqueue(rows)
            ledger.writer.enqueue(rows[1:])
            with pytest.raises(Busy, match="49999 events wait already"):
                await offered(ingest, event(1), event(2))
            last = offered(ingest, event(3), atomic=True)
            with pytest.raises(Busy, match="the queue is full"):
                offered(ingest, event(4))
            assert ingest.in_hand == 1
        assert places(await last) == [QUEUE_EVENTS_MAX + 1]


async def test_more_bytes_than_may_be_in_hand_are_refused_before_they_are_read() -> None:
    async with ingesting() as (ingest, _):
        with pytest.raises(Busy, match="too much is being read"):
            ingest.offer(bytes(BYTES_IN_HAND_MAX + 1), "json", "local", atomic=False)
        assert places(await offered(ingest, event(1))) == [2]


async def test_all_who_wait_are_told_when_nobody_commits_any_more() -> None:
    async with ingesting() as (ingest, ledger):
        with ledger.writer.turn():
            queued, arrived = offered(ingest, event(1), atomic=True), offered(ingest, event(2))
            ingest.fail(Unavailable("the committing thread has failed"))
            for each in (queued, arrived):
                with pytest.raises(Unavailable, match="has failed"):
                    await each
            with pytest.raises(Unavailable, match="shutting down"):
                offered(ingest, event(3))
        assert ingest.in_hand == 0


@pytest.mark.parametrize("processes", [0, 1])
async def test_a_preparing_process_starts_with_the_first_large_request_and_ends_with_the_service(
    processes: int,
) -> None:
    ledger, _, _ = new_log()
    before, many = set(multiprocessing.active_children()), msgspec.json.encode([event(n) for n in range(400)])
    with ledger:
        ledger.heartbeat()
        async with running(ledger, Settings(port=0, prepare_processes=processes)) as parts:
            await offered(parts.ingest, event(1))
            assert set(multiprocessing.active_children()) == before
            answer = await parts.ingest.submit(many, "json", "local", atomic=False)
            assert places(answer) == list(range(3, 403))
            assert len(set(multiprocessing.active_children()) - before) == processes
    assert set(multiprocessing.active_children()) <= before


@pytest.mark.parametrize("before", [0, 1, 2, 5, 30, 254, 255, 256])
def test_receipts_of_one_commit_are_those_of_each_event(before: int) -> None:
    """Commits of one event to forty, behind trees of every shape."""
    ledger, _, _ = new_log()
    with ledger:
        for size in (before, 1, 2, 3, 8, 40):
            appended = ledger.append([draft(n) for n in range(size)]) if size else ledger.heartbeat()
            receipts, note = CommitReceipts(appended), appended.head.note.encode()
            for placed in appended.outcomes:
                assert not isinstance(placed, LedgerError)
                receipt = receipts.receipt(placed)
                assert receipt == event_receipt(placed, appended.head.size, note, appended.read)
                check_receipt(receipt, [ledger.vkey])
                assert receipt.entry == ledger.reader.raw(placed.seq)

"""Ingest: submissions in, durable answers out, for any number of concurrent callers on one event loop.

    decode, prepare          on the loop where there are few; where there are many, in a process or threads beside it
    enqueue                  on the loop, at the end of its turn: what arrived in one turn is one request of the writer's
    commit                   in threads of their own; whatever queued during a commit is the next batch
    answer                   back on the loop, all of a commit at once

Nothing is answered before it is durable, signed and locked. If the process dies in between, the caller does not know,
and a retry by id finds out.
"""

import asyncio
import importlib
import pkgutil
import threading
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from queue import SimpleQueue
from typing import NamedTuple, TypeVar

from decision_dna import schemas
from decision_dna.ledger.ledger import Ledger
from decision_dna.ledger.plan import SALT_BYTES, AuthorDraft, Draft, Prepared
from decision_dna.ledger.preparing import Decode, Preparers, prepared_of
from decision_dna.ledger.writer import QUEUE_EVENTS_MAX, Appended
from decision_dna.schemas.errors import BadInput, Busy, LedgerError, Refused, Unavailable, WriterStopped
from decision_dna.schemas.ledgering import CLOCK
from decision_dna.schemas.submissions import Body, Media, SignedSubmission, Submission, decode_body, is_single

BYTES_ON_LOOP_MAX = 16 * 1024
BYTES_IN_HAND_MAX = 256 * 1024 * 1024
JOINED_EVENTS_MAX = 256
"""Up to so many events of several requests are handed to the writer as one: each request that it sees has its price."""

# Every family of payload types declares its words when it is imported: a submission may be of any of them.
for _module in pkgutil.iter_modules(schemas.__path__):
    importlib.import_module(f"decision_dna.schemas.{_module.name}")

T = TypeVar("T")
Rows = list[Prepared | LedgerError]


class _Asked(NamedTuple):
    """One request that waits: its claims, the bytes that it holds, and its answer."""

    rows: Rows
    size: int
    answer: asyncio.Future[Appended]


class Ingest:
    """The way into a ledger. Made on the event loop that asks it; `commit_until_closed` runs in one or two threads of its own."""

    def __init__(
        self,
        ledger: Ledger,
        *,
        window_seconds: float = 0.0,
        batch_events_max: int = 1024,
        threads: int = 2,
        processes: int = 0,
    ) -> None:
        self._ledger, self._window, self._batch_max = ledger, window_seconds, batch_events_max
        self._loop = asyncio.get_running_loop()
        self._workers = ThreadPoolExecutor(threads, thread_name_prefix="prepare")
        self._processes = processes
        self._preparers: Preparers | None = None
        self._arrived: list[_Asked] = []
        self._arrived_events = 0
        self._waiting: dict[Future[Appended], list[_Asked]] = {}
        self._committed: deque[Future[Appended]] = deque()
        self._work: SimpleQueue[None] = SimpleQueue()
        self._full = threading.Event()
        self._in_hand = 0
        self._requests = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self._closing = self._ended = self._waking = self._answering = False

    @property
    def in_hand(self) -> int:
        """Requests that have no answer yet."""
        return self._requests

    def hold(self, size: int) -> None:
        """Count bytes that arrive, or with a negative size those that are let go or handed in. Raises Busy where they are too many."""
        if size > 0 and self._in_hand + size > BYTES_IN_HAND_MAX:
            raise Busy("too much is being read already: try again in a moment")
        self._in_hand += size

    def offer(self, data: bytes, media: Media, principal: str, *, atomic: bool) -> asyncio.Future[Appended]:
        """Append the submissions of a small body: the future is done once they are durable, or refused together.

        Raises BadInput for the body as a whole, Busy, Unavailable; errors of single submissions are outcomes.
        """
        self._enter(len(data))
        try:
            rows = self._prepare(data, media, principal)
        except BaseException:
            self._leave(len(data))
            raise
        return self._append(rows, len(data), atomic=atomic)

    async def submit(self, data: bytes, media: Media, principal: str, *, atomic: bool) -> Appended:
        """The same for a body of any size: durable when it returns."""
        if len(data) <= BYTES_ON_LOOP_MAX:
            return await self.offer(data, media, principal, atomic=atomic)
        self._enter(len(data))
        try:
            rows = await self._prepared_beside(data, media, principal)
        except BaseException:
            self._leave(len(data))
            raise
        return await self._append(rows, len(data), atomic=atomic)

    async def in_thread(self, work: Callable[[], T]) -> T:
        """Run what takes long beside the loop."""
        return await self._loop.run_in_executor(self._workers, work)

    def commit_until_closed(self) -> None:
        """Commit whatever is queued, again and again: the body of the committing threads. Returns once closed and drained.

        Raises WriterStopped once the writer met an error: the process is to leave, for only a new start can write again.

        With two of them, one links a large batch while the other's is being written.
        """
        writer = self._ledger.writer
        while True:
            self._work.get()
            if self._window and not self._closing and 0 < writer.queued < self._batch_max:
                self._full.clear()
                self._full.wait(self._window)
            while writer.queued:
                writer.commit_queued()
            if self._ended:
                self._work.put(None)  # for the other one
                return
            if isinstance(writer.stopped, WriterStopped):
                raise writer.stopped

    async def close(self) -> None:
        """Take no more, and return once everything taken is answered; the committing threads then end."""
        self._closing = True
        await self._idle.wait()
        self._end()
        self._workers.shutdown()
        if self._preparers is not None:
            self._preparers.close()

    def fail(self, error: LedgerError) -> None:
        """Tell all who wait: nobody commits any more, and whether their events are stored the next start finds out."""
        self._closing = True
        self._end()
        for asked in [*self._waiting.values(), self._arrived]:
            self._refuse(asked, error)
        self._waiting, self._arrived, self._arrived_events = {}, [], 0

    def _end(self) -> None:
        """Committing threads return when they next look."""
        self._ended = True
        self._work.put(None)
        self._full.set()

    # --- in ------------------------------------------------------------------------------------------------------------

    async def _prepared_beside(self, data: bytes, media: Media, principal: str) -> Rows:
        if not self._processes or is_single(data, media):
            return await self.in_thread(lambda: self._prepare(data, media, principal))
        if self._preparers is None:  # not before somebody needs it: it takes a while to start, and memory
            self._preparers = self._ledger.preparers(self._processes)
        authority, now = self._ledger.writer.authority, self._ledger.clock.now_ns()
        answer = self._preparers.submit(DECODERS[media], data, authority, principal, now)
        return prepared_of(await asyncio.wrap_future(answer))

    def _prepare(self, data: bytes, media: Media, principal: str) -> Rows:
        return self._ledger.prepare(DECODERS[media](data), principal)

    def _append(self, rows: Rows, size: int, *, atomic: bool) -> asyncio.Future[Appended]:
        if len(rows) == 1 and isinstance(row := rows[0], Prepared) and row.type == CLOCK:
            return self._vouch(row, size)
        asked = _Asked(rows, size, self._loop.create_future())
        if atomic:
            self._enqueue([asked], atomic=True)
        else:
            if self._arrived_events + len(rows) > min(JOINED_EVENTS_MAX, self._ledger.writer.batch_events_max):
                self._enqueue_arrived()
            self._arrived.append(asked)
            self._arrived_events += len(rows)
        if not self._waking:
            # At the end of this turn of the loop: whatever else has arrived by then is in the same batch.
            self._waking = True
            self._loop.call_soon(self._wake)
        return asked.answer

    def _vouch(self, row: Prepared, size: int) -> asyncio.Future[Appended]:
        """Append what an operator says of the clock, by itself: while appends wait for the clock it is the one that goes on."""
        salt, payload = row.salted[:SALT_BYTES], row.salted[SALT_BYTES:]
        draft = AuthorDraft(row.claim, salt, payload, row.key_id, row.signature)
        answer = self._loop.run_in_executor(self._workers, self._ledger.append_signed, draft)
        answer.add_done_callback(lambda _: self._leave(size))
        return answer

    def _wake(self) -> None:
        self._waking = False
        self._enqueue_arrived()
        self._work.put(None)
        if self._window and self._ledger.writer.queued >= self._batch_max:
            self._full.set()

    def _enqueue_arrived(self) -> None:
        if self._arrived:
            arrived, self._arrived, self._arrived_events = self._arrived, [], 0
            self._enqueue(arrived, atomic=False)

    def _enqueue(self, asked: list[_Asked], *, atomic: bool) -> None:
        """Hand requests to the writer as one. That changes no outcome: but for atomic ones, it judges each claim by itself."""
        rows = asked[0].rows if len(asked) == 1 else [row for each in asked for row in each.rows]
        try:
            answer = self._ledger.writer.enqueue(rows, atomic=atomic)
        except LedgerError as error:
            self._refuse(asked, error)
            return
        self._waiting[answer] = asked
        answer.add_done_callback(self._wake_loop)

    # --- out -----------------------------------------------------------------------------------------------------------

    def _wake_loop(self, answer: Future[Appended]) -> None:
        """In the thread that committed: the first answer wakes the loop, which finds those that follow it too."""
        self._committed.append(answer)
        if not self._answering:
            self._answering = True
            with suppress(RuntimeError):  # the loop is closed: nobody is left to wake
                self._loop.call_soon_threadsafe(self._answer)

    def _answer(self) -> None:
        self._answering = False  # before the look: what is committed after it wakes again
        while self._committed:
            answer = self._committed.popleft()
            asked = self._waiting.pop(answer, [])  # none: they were told that the committing thread has failed
            error = answer.exception()
            if error is not None:
                self._refuse(asked, error)
                continue
            appended, at = answer.result(), 0
            for rows, size, waiter in asked:
                self._leave(size)
                part = appended
                if len(asked) > 1:
                    outcomes = appended.outcomes[at : at + len(rows)]
                    part = Appended(outcomes, appended.head, appended.read, appended.first)
                    at += len(rows)
                if not waiter.done():  # the caller went away; its events stand all the same
                    waiter.set_result(part)

    def _refuse(self, asked: Iterable[_Asked], error: BaseException) -> None:
        for each in asked:
            self._leave(each.size)
            if not each.answer.done():
                each.answer.set_exception(error)

    def _enter(self, size: int) -> None:
        if self._closing:
            raise Unavailable("the service is shutting down")
        if self._ledger.writer.queued >= QUEUE_EVENTS_MAX:  # before anything is decoded and signed for nothing
            raise Busy("the queue is full: try again in a moment")
        self.hold(size)
        self._requests += 1
        self._idle.clear()

    def _leave(self, size: int) -> None:
        self._in_hand -= size
        self._requests -= 1
        if self._requests == 0:
            self._idle.set()


def drafts_of_json(data: bytes) -> list[Draft | AuthorDraft | LedgerError]:
    """Of a JSON body. Raises BadInput for the body as a whole."""
    return drafts_of(decode_body(data, "json"))


def drafts_of_ndjson(data: bytes) -> list[Draft | AuthorDraft | LedgerError]:
    """Of an NDJSON body, likewise."""
    return drafts_of(decode_body(data, "ndjson"))


def drafts_of_msgpack(data: bytes) -> list[Draft | AuthorDraft | LedgerError]:
    """Of a MessagePack body, likewise."""
    return drafts_of(decode_body(data, "msgpack"))


DECODERS: dict[Media, Decode] = {"json": drafts_of_json, "ndjson": drafts_of_ndjson, "msgpack": drafts_of_msgpack}
"""By media type; functions with names, so that a preparing process finds them."""


def drafts_of(body: Body) -> list[Draft | AuthorDraft | LedgerError]:
    """What the ledger takes; what nobody may submit is refused in its place."""
    drafts: list[Draft | AuthorDraft | LedgerError] = []
    for item in body.items:
        if isinstance(item, BadInput):
            if body.single:
                raise item
            drafts.append(item)
        elif isinstance(item, SignedSubmission):
            drafts.append(_author_draft(item))
        elif item.source in ("ledger", "anchor"):
            drafts.append(Refused(f"the entries of source {item.source} are the ledger's own: they are not submitted"))
        else:
            drafts.append(_draft(item))
    return drafts


def _draft(said: Submission) -> Draft:
    return Draft(
        said.type,
        said.schema,
        said.source,
        said.payload,
        said.id,
        said.subject,
        said.occurred_at,
        said.causes,
        said.trace,
        said.expected_stream_seq,
    )


def _author_draft(said: SignedSubmission) -> AuthorDraft:
    return AuthorDraft(said.claim, said.salt, said.payload, said.key_id, said.signature, said.expected_stream_seq)

"""Ingest: submissions in, durable answers out, for any number of concurrent callers on one event loop.

    decode, prepare          on the loop where there are few, in worker threads where there are many (signing releases the GIL)
    enqueue                  on the loop: so that answers come in the order of the queue
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
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from decision_dna import schemas
from decision_dna.ledger.ledger import Ledger
from decision_dna.ledger.plan import AuthorDraft, Draft, Prepared
from decision_dna.ledger.preparing import Decode, prepared_of
from decision_dna.ledger.writer import QUEUE_EVENTS_MAX, Appended
from decision_dna.schemas.errors import BadInput, Busy, LedgerError, Refused, Unavailable
from decision_dna.schemas.submissions import Body, Media, SignedSubmission, Submission, decode_body, is_single

BYTES_ON_LOOP_MAX = 16 * 1024
BYTES_IN_HAND_MAX = 256 * 1024 * 1024

# Every family of payload types declares its words when it is imported: a submission may be of any of them.
for _module in pkgutil.iter_modules(schemas.__path__):
    importlib.import_module(f"decision_dna.schemas.{_module.name}")

T = TypeVar("T")
Rows = list[Prepared | LedgerError]


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
        self._preparers = ledger.preparers(processes) if processes else None
        self._waiting: deque[tuple[Future[Appended], asyncio.Future[Appended]]] = deque()
        self._work = threading.Event()
        self._full = threading.Event()
        self._in_hand = 0
        self._requests = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self._closing = self._ended = self._waking = False

    @property
    def in_hand(self) -> int:
        """Requests that have no answer yet."""
        return self._requests

    async def submit(self, data: bytes, media: Media, principal: str, *, atomic: bool) -> tuple[Appended, bool]:
        """Append the submissions of a body: durable when it returns; with it, whether one was sent by itself.

        Raises BadInput for the body as a whole, Busy, Unavailable; errors of single submissions are outcomes.
        """
        self._enter(len(data))
        try:
            rows, single = await self._prepared(data, media, principal)
            return await self._append(rows, atomic), single
        finally:
            self._leave(len(data))

    async def append(self, drafts: Sequence[Draft | AuthorDraft], principal: str, *, atomic: bool = False) -> Appended:
        """The same for drafts made in this process."""
        self._enter(0)
        try:
            return await self._append(self._ledger.prepare(drafts, principal), atomic)
        finally:
            self._leave(0)

    async def in_thread(self, work: Callable[[], T]) -> T:
        """Run what takes long beside the loop."""
        return await self._loop.run_in_executor(self._workers, work)

    def commit_until_closed(self) -> None:
        """Commit whatever is queued, again and again: the body of the committing threads. Returns once closed and drained.

        With two of them, one links a large batch while the other's is being written.
        """
        writer = self._ledger.writer
        while True:
            self._work.wait()
            self._work.clear()  # before the look at the queue: what is queued after it wakes again
            if self._window and not self._closing and writer.queued < self._batch_max:
                self._full.clear()
                self._full.wait(self._window)
            while writer.queued:
                writer.commit_queued()
                self._loop.call_soon_threadsafe(self._answer)
            # Somebody else in this process may have committed what was queued here: those answers are due too.
            self._loop.call_soon_threadsafe(self._answer)
            if self._ended:
                self._work.set()  # for the other one
                return

    async def close(self) -> None:
        """Take no more, and return once everything taken is answered; the committing thread then ends."""
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
        while self._waiting:
            _, waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_exception(error)

    def _end(self) -> None:
        """Committing threads return when they next look."""
        self._ended = True
        self._work.set()
        self._full.set()

    async def _prepared(self, data: bytes, media: Media, principal: str) -> tuple[Rows, bool]:
        if len(data) <= BYTES_ON_LOOP_MAX:
            return self._prepare(data, media, principal)
        if self._preparers is None or is_single(data, media):
            return await self.in_thread(lambda: self._prepare(data, media, principal))
        authority, now = self._ledger.writer.authority, self._ledger.clock.now_ns()
        answer = self._preparers.submit(DECODERS[media], data, authority, principal, now)
        return prepared_of(await asyncio.wrap_future(answer)), False

    def _prepare(self, data: bytes, media: Media, principal: str) -> tuple[Rows, bool]:
        drafts = DECODERS[media](data)
        return self._ledger.prepare(drafts, principal), is_single(data, media)

    async def _append(self, rows: Rows, atomic: bool) -> Appended:
        waiter: asyncio.Future[Appended] = self._loop.create_future()
        self._waiting.append((self._ledger.writer.enqueue(rows, atomic=atomic), waiter))
        if not self._waking:
            # At the end of this turn of the loop: whatever else has arrived by then is in the same batch.
            self._waking = True
            self._loop.call_soon(self._wake)
        return await waiter

    def _wake(self) -> None:
        self._waking = False
        self._work.set()
        if self._window and self._ledger.writer.queued >= self._batch_max:
            self._full.set()

    def _answer(self) -> None:
        """The writer answers in the order of its queue, which is that of `_waiting`."""
        while self._waiting and self._waiting[0][0].done():
            answer, waiter = self._waiting.popleft()
            if waiter.done():  # the caller went away; its events stand all the same
                continue
            error = answer.exception()
            if error is None:
                waiter.set_result(answer.result())
            else:
                waiter.set_exception(error)

    def _enter(self, size: int) -> None:
        if self._closing:
            raise Unavailable("the service is shutting down")
        if self._in_hand + size > BYTES_IN_HAND_MAX or self._ledger.writer.queued > QUEUE_EVENTS_MAX:
            raise Busy("too much is being read already: try again in a moment")
        self._in_hand += size
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

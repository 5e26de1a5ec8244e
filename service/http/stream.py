"""The live stream, as server-sent events: the log from any seq on, first what stands, then what comes, without gap or repeat.

    id: 12                                              an event: its seq, and its view
    data: {"seq":12,…}

    event: caught_up                                    all that was visible has been sent; every event before id was considered
    id: 17
    data: {"size":18}

    event: checkpoint                                   now and then: the head that covers what was sent
    data: {"size":18,"checkpoint":"example.org/log\\n18\\n…"}

The log is the buffer: a subscriber is a position in it, and a commit only wakes those who wait. Whoever reads slowly falls
behind in the log and costs nothing. Frames are made once for each chunk, and shared by all who are at the same place.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from itertools import islice

import msgspec

from decision_dna.ledger.indexes import Indexes
from decision_dna.ledger.lock import Locked
from decision_dna.ledger.queries import EventFilter, filter_tests, find, read_events
from decision_dna.ledger.reader import LogReader
from decision_dna.ledger.views import event_view
from decision_dna.schemas.errors import Busy
from decision_dna.service.http.metrics import Metrics
from decision_dna.service.ingest import Ingest

CHUNK_EVENTS = 256
CHUNK_BYTES_MAX = 256 * 1024
"""From so many bytes on a chunk ends, with the event that reached them."""
CHUNKS_CACHED = 32
READ_EVENTS = 32
ON_LOOP_EVENTS = 8
CHECKPOINT_SECONDS_MIN = 1.0
PING = b": still here\n\n"

_encode = msgspec.json.Encoder().encode


class Chunk(msgspec.Struct, frozen=True):
    """Frames of the matching events in [start, `following`)."""

    frames: bytes
    events: int
    following: int


def read_chunk(indexes: Indexes, wanted: EventFilter, start: int, end: int) -> Chunk:
    """Return the frames of the next matching events: `CHUNK_EVENTS` at most, and no more once they have `CHUNK_BYTES_MAX`."""
    tests = filter_tests(wanted)
    seqs = find(indexes, wanted, start, end)
    frames: list[bytes] = []
    looked, length, following = 0, 0, start
    while looked < CHUNK_EVENTS:
        some = list(islice(seqs, READ_EVENTS))
        if not some:
            return Chunk(b"".join(frames), len(frames), end)
        for event in read_events(indexes.store, some):
            if all(test(event.entry, event.claim) for test in tests):
                frames.append(b"id: %d\ndata: %b\n\n" % (event.seq, _encode(event_view(event))))
                length += len(frames[-1])
                if length >= CHUNK_BYTES_MAX:
                    return Chunk(b"".join(frames), len(frames), event.seq + 1)
        looked, following = looked + len(some), some[-1] + 1
    return Chunk(b"".join(frames), len(frames), following)


def caught_up_frame(size: int) -> bytes:
    """Says that the events before `size` were considered; who resumes from its id reads none of them again."""
    return b'event: caught_up\nid: %d\ndata: {"size":%d}\n\n' % (size - 1, size)


def checkpoint_frame(head: Locked) -> bytes:
    """The signed head."""
    return b"event: checkpoint\ndata: %b\n\n" % _encode({"size": head.size, "checkpoint": head.note})


class Tail:
    """The end of a log, for all who follow it. Lives on one event loop; only `wake` may be called from other threads."""

    def __init__(
        self,
        reader: LogReader,
        indexes: Indexes,
        ingest: Ingest,
        metrics: Metrics,
        *,
        ping_seconds: float,
        subscribers_max: int,
    ) -> None:
        self._reader, self._indexes, self._ingest, self._metrics = reader, indexes, ingest, metrics
        self._ping_seconds, self._subscribers_max = ping_seconds, subscribers_max
        self._loop = asyncio.get_running_loop()
        self._moved: asyncio.Future[None] = self._loop.create_future()
        self._chunks: dict[tuple[EventFilter, int, int], asyncio.Future[Chunk]] = {}
        self._closing = False
        self.subscribers = 0

    def wake(self, _head: Locked) -> None:
        """There is more: for `Writer.on_commit`, in the committing thread."""
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody is left to wake
            self._loop.call_soon_threadsafe(self._move)

    def close(self) -> None:
        """End every subscription."""
        self._closing = True
        self._move()

    async def follow(self, wanted: EventFilter, start: int | None, gone: asyncio.Future[None]) -> AsyncIterator[bytes]:
        """Frames from `start` on (None: from now on), until the subscriber is gone or the service ends. Raises Busy."""
        if self.subscribers >= self._subscribers_max:
            raise Busy(f"{self.subscribers} subscriptions are open already")
        self.subscribers += 1
        try:
            position = self._reader.size if start is None else start
            async for frames in self._frames(wanted, position, gone):
                yield frames
        finally:
            self.subscribers -= 1

    async def _frames(self, wanted: EventFilter, position: int, gone: asyncio.Future[None]) -> AsyncIterator[bytes]:
        caught_up, said_size, due = False, 0, 0.0
        while not (self._closing or gone.done()):
            head, now = self._reader.head(), self._loop.time()
            if position < head.size:
                chunk = await self._chunk(wanted, position, head.size)
                position = chunk.following
                self._metrics.sent(chunk.events)
                if chunk.frames:
                    yield chunk.frames
            elif not caught_up:
                caught_up = True
                yield caught_up_frame(position)
            elif head.size > said_size and now >= due:
                said_size, due = head.size, now + CHECKPOINT_SECONDS_MIN
                yield checkpoint_frame(head)
            else:
                owed = head.size > said_size
                moved = await self._wait(head.size, gone, due - now if owed else self._ping_seconds)
                if not moved and not owed:
                    yield PING

    async def _wait(self, size: int, gone: asyncio.Future[None], seconds: float) -> bool:
        """Whether there is something to do before the time is over."""
        moved = self._moved
        if self._closing or self._reader.size > size:
            return True
        done, _ = await asyncio.wait((moved, gone), timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        return bool(done)

    async def _chunk(self, wanted: EventFilter, start: int, size: int) -> Chunk:
        # Unfiltered chunks end at multiples of their size, so that those who catch up at different times share them too.
        end = size if wanted != EventFilter() else min(size, start - start % CHUNK_EVENTS + CHUNK_EVENTS)
        key = (wanted, start, end)
        made = self._chunks.pop(key, None)
        if made is None or (made.done() and made.exception() is not None):
            made = self._make(wanted, start, end)
        while len(self._chunks) >= CHUNKS_CACHED:
            del self._chunks[next(iter(self._chunks))]  # the one longest unused
        self._chunks[key] = made
        return await asyncio.shield(made)

    def _make(self, wanted: EventFilter, start: int, end: int) -> asyncio.Future[Chunk]:
        if end - start > ON_LOOP_EVENTS:
            return asyncio.ensure_future(self._ingest.in_thread(lambda: read_chunk(self._indexes, wanted, start, end)))
        made: asyncio.Future[Chunk] = self._loop.create_future()
        made.set_result(read_chunk(self._indexes, wanted, start, end))  # so few cost less than a thread
        return made

    def _move(self) -> None:
        moved, self._moved = self._moved, self._loop.create_future()
        if not moved.done():
            moved.set_result(None)

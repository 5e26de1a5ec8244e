"""Worker processes for requests and answers of hundreds of kilobytes each, beside a busy interpreter.

    with Workers(begin, (seeds,), processes=2) as workers:
        future = workers.submit(function, data)        # function and what it returns are pickled

A `ProcessPoolExecutor` moves each request through three threads and pipes of 64 KiB, and every chunk waits for the
interpreter's lock, which the linking thread holds: its workers then stand still for half of the time. Here a message
is one system call on a socket, whatever its size, and a worker reads the next request while it works on one.
"""

import pickle
import signal
import socket
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from contextlib import suppress
from multiprocessing import get_context
from multiprocessing.process import BaseProcess
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import Any, NamedTuple, Self, TypeVar

from decision_dna.schemas.errors import Unavailable

AHEAD = 2
"""Requests that one worker has at a time: one in work, one read already."""

_LENGTH_BYTES = 8

A = TypeVar("A")
T = TypeVar("T")


class Job(NamedTuple):
    """A request, pickled, and who waits for its answer."""

    request: bytes
    answer: Future[Any]


class Workers:
    """Processes that run `begin(*args)` once and then one function after the other. Close it when done."""

    def __init__(self, begin: Callable[..., None], args: tuple[Any, ...], processes: int) -> None:
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()
        self._closed, self._closing = False, threading.Lock()
        self._threads = [
            threading.Thread(target=self._drive, args=(begin, args), name="workers", daemon=True)
            for _ in range(processes)
        ]
        for thread in self._threads:
            thread.start()

    def submit(self, function: Callable[..., T], *args: Any) -> Future[T]:
        """Have a worker call it; what it raises comes back. Raises Unavailable once closed, or where the worker ended on it."""
        answer: Future[T] = Future()
        job = Job(pickle.dumps((function, args), pickle.HIGHEST_PROTOCOL), answer)
        with self._closing:
            if self._closed:
                raise Unavailable("the workers are closed")
            self._jobs.put(job)
        return answer

    def map(self, function: Callable[[A], T], items: Iterable[A], /) -> Iterator[T]:
        """`function` of each item, in order, with as many on their way as keep the workers busy."""
        ahead = 2 * AHEAD * len(self._threads)
        waiting: deque[Future[T]] = deque()
        for item in items:
            waiting.append(self.submit(function, item))
            if len(waiting) > ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()

    def close(self) -> None:
        """End the workers once they have answered what they hold; what no worker has begun is told so."""
        with self._closing:
            self._closed = True
        with suppress(Empty):
            while (job := self._jobs.get_nowait()) is not None:
                if job.answer.set_running_or_notify_cancel():
                    _fail(job, "the workers were closed")
        for _ in self._threads:
            self._jobs.put(None)
        for thread in self._threads:
            thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _drive(self, begin: Callable[..., None], args: tuple[Any, ...]) -> None:
        """One worker's thread: hands it jobs and brings back answers; one that died is replaced, and its jobs are told."""
        held: deque[Job] = deque()
        while not self._closed:
            process: BaseProcess | None = None
            try:
                process, ours = _start(begin, args)
                with ours:
                    self._serve(ours, held)
            except Exception as error:  # noqa: BLE001  # whatever it was, those who wait are told, and others are served
                if process is None:  # somebody has to be told, and not as often as starting fails
                    self._take(held, wait=True)
                while held:
                    _fail(held.popleft(), f"a worker process ended: {error}")
            if process is not None:
                process.join()

    def _serve(self, ours: socket.socket, held: deque[Job]) -> None:
        """Until closed. Raises OSError, EOFError where the worker is gone."""
        more = True
        while more or held:
            while more and len(held) < AHEAD:
                before = len(held)
                try:
                    more = self._take(held, wait=not held)
                except Empty:
                    break
                if len(held) > before:
                    _send(ours, held[-1].request)
            if held:
                result, error = pickle.loads(_receive(ours))  # noqa: S301  # of our own child, by a socket that nobody else has
                answer = held.popleft().answer
                if error is None:
                    answer.set_result(result)
                else:
                    answer.set_exception(error)

    def _take(self, held: deque[Job], *, wait: bool) -> bool:
        """Hold one more job, unless its caller no longer waits for it. False: there will be no more. Raises Empty."""
        job = self._jobs.get(block=wait)
        if job is not None and job.answer.set_running_or_notify_cancel():
            held.append(job)
        return job is not None


def _fail(job: Job, why: str) -> None:
    job.answer.set_exception(Unavailable(why))


def _start(begin: Callable[..., None], args: tuple[Any, ...]) -> tuple[BaseProcess, socket.socket]:
    ours, theirs = socket.socketpair()
    try:
        with theirs:
            process = get_context("spawn").Process(target=_work, args=(theirs, begin, args), daemon=True)
            process.start()
    except BaseException:
        ours.close()
        raise
    return process, ours


# --- in the worker -----------------------------------------------------------------------------------------------------


def _work(theirs: socket.socket, begin: Callable[..., None], args: tuple[Any, ...]) -> None:
    """Answer until the other end is closed, by whatever ended it: a killed parent closes it too."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # an interrupt is for the parent, which ends us when it is done
    begin(*args)
    requests: SimpleQueue[bytes | None] = SimpleQueue()
    threading.Thread(target=_read, args=(theirs, requests), daemon=True).start()
    while (request := requests.get()) is not None:
        try:
            function, arguments = pickle.loads(request)  # noqa: S301  # of our parent
            answer = pickle.dumps((function(*arguments), None), pickle.HIGHEST_PROTOCOL)
        except Exception as error:  # noqa: BLE001  # whatever it is, it is for the one who asked
            answer = _error(error)
        try:
            _send(theirs, answer)
        except OSError:
            return


def _error(error: Exception) -> bytes:
    """As it is, where it can be moved from one process to another: not all can."""
    try:
        answer = pickle.dumps((None, error), pickle.HIGHEST_PROTOCOL)
        pickle.loads(answer)  # noqa: S301  # our own
    except Exception:  # noqa: BLE001  # an exception may be made of anything
        answer = pickle.dumps((None, Unavailable(f"{type(error).__name__} in a worker: {error}")))
    return answer


def _read(theirs: socket.socket, requests: "SimpleQueue[bytes | None]") -> None:
    with suppress(OSError, EOFError):
        while True:
            requests.put(_receive(theirs))
    requests.put(None)


# --- messages ----------------------------------------------------------------------------------------------------------


def _send(to: socket.socket, data: bytes) -> None:
    to.sendall(len(data).to_bytes(_LENGTH_BYTES))
    to.sendall(data)


def _receive(sender: socket.socket) -> bytes:
    """One message. Raises EOFError where the other end closed."""
    return _exactly(sender, int.from_bytes(_exactly(sender, _LENGTH_BYTES)))


def _exactly(sender: socket.socket, size: int) -> bytes:
    data = sender.recv(size, socket.MSG_WAITALL) if size else b""
    while len(data) < size:  # a signal came between, or the end
        more = sender.recv(size - len(data), socket.MSG_WAITALL)
        if not more:
            raise EOFError("the other end of the socket is closed")
        data += more
    return data

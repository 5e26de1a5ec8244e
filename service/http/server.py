"""The server: an open ledger behind a socket, in this thread, until it is told to stop.

    await serve(ledger, Settings(port=0), ready=print)        http://127.0.0.1:40123

Stopping (SIGINT, SIGTERM, or `stop`): subscriptions end, requests in hand are answered, what is queued is committed.
"""

import asyncio
import contextlib
import gc
import resource
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, InvalidStateError, ThreadPoolExecutor, wait
from typing import Any

import msgspec
import uvicorn

from decision_dna.engine.projections import ProjectionFollower
from decision_dna.ledger.ledger import Ledger
from decision_dna.schemas.errors import CannotOpen
from decision_dna.service.http.app import application
from decision_dna.service.http.running import running
from decision_dna.service.http.wire import Wire
from decision_dna.service.settings import Settings, check_settings, is_loopback

BACKLOG = 2048
FILES_RESERVED = 1024
"""Open files that are not connections: those of the store, nearly all of them. A small limit is halved instead."""
# A commit needs the interpreter several times for a moment: with the default of 5 ms it would wait for it longest of all.
SWITCH_SECONDS = 0.001


class _Server(uvicorn.Server):
    """Ends subscriptions before it waits for its connections: they would never end by themselves."""

    def __init__(self, config: uvicorn.Config, end_subscriptions: Callable[[], None]) -> None:
        super().__init__(config)
        self._end_subscriptions = end_subscriptions

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Not here: what it caught it would raise again after its own shutdown, and kill the process before ours."""
        yield

    def end(self, _: object = None) -> None:
        """Have it shut down soon; from any thread."""
        self.should_exit = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Graceful."""
        self._end_subscriptions()
        await super().shutdown(sockets)


async def serve(
    ledger: Ledger,
    settings: Settings,
    *,
    ready: Callable[[str], None],
    stop: Future[None] | None = None,
    projections: Sequence[ProjectionFollower] = (),
) -> None:
    """Serve until a signal, or until `stop` is done; `ready` is told the address. Raises CannotOpen where it can't be bound."""
    check_settings(settings)
    if settings.clock_sync == "require" and ledger.clock.is_synchronised() is False:
        raise CannotOpen("clock-unsynchronised", "nothing keeps this machine's clock right: start a time daemon first")
    settings = msgspec.structs.replace(settings, connections_max=_connections_max(settings.connections_max))
    listener = _listen(settings)
    sys.setswitchinterval(SWITCH_SECONDS)
    with listener:
        async with running(ledger, settings, projections) as parts:
            server = _Server(config_of(application(parts), settings), parts.tail.close)
            if stop is not None:
                stop.add_done_callback(server.end)
            host, port = listener.getsockname()[:2]
            _freeze_what_stays()
            serving_all = asyncio.ensure_future(server.serve([listener]))
            ready(f"http://{f'[{host}]' if ':' in host else host}:{port}")
            try:
                with _signals(server.end):
                    await asyncio.shield(serving_all)
            finally:  # where a loop has failed and ends everything: those who wait still hear of it
                server.end()
                await serving_all


def _connections_max(wanted: int) -> int:
    """Raise the process's limit of open files as far as it may go, and return how many connections leave the store its files.

    A store that can open no file stops the writer, so connections must never take the last ones.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = wanted + FILES_RESERVED
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return wanted
    raised = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
    with contextlib.suppress(ValueError, OSError):  # some systems allow less than they say
        resource.setrlimit(resource.RLIMIT_NOFILE, (raised, hard))
        soft = raised
    return min(wanted, max(1, soft - min(FILES_RESERVED, soft // 2)))


def _freeze_what_stays() -> None:
    """Take what was made until now out of later collections of garbage: modules and routes are most of what a server holds.

    A full collection otherwise stops everything for 30 ms and more, every few thousand requests. Not where the process
    has a life of its own beside us: what is frozen is never collected.
    """
    if threading.current_thread() is threading.main_thread():
        gc.collect()
        gc.freeze()


@contextlib.contextmanager
def _signals(end: Callable[[], None]) -> Iterator[None]:
    """SIGINT and SIGTERM end the server; only a process's main thread hears them."""
    heard = (signal.SIGINT, signal.SIGTERM) if threading.current_thread() is threading.main_thread() else ()
    loop = asyncio.get_running_loop()
    for number in heard:
        loop.add_signal_handler(number, end)
    try:
        yield
    finally:
        for number in heard:
            loop.remove_signal_handler(number)


def config_of(app: object, settings: Settings) -> uvicorn.Config:
    """What uvicorn is told: one connection is a `Wire`, and `app` is what it asks."""
    return uvicorn.Config(
        app,  # type: ignore[arg-type]  # ASGI, as the framework types it
        interface="asgi3",
        loop="uvloop",
        http=Wire,
        ws="none",
        lifespan="off",
        access_log=False,
        log_config=None,
        server_header=False,
        date_header=False,
        proxy_headers=False,
        backlog=BACKLOG,
        timeout_graceful_shutdown=settings.shutdown_seconds,
    )


def _listen(settings: Settings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        listener = socket.create_server((settings.host, settings.port), family=family, backlog=BACKLOG)
    except OSError as error:
        raise CannotOpen("address", f"cannot listen on {settings.host}:{settings.port}: {error.strerror}") from None
    if is_loopback(settings.host) and not is_loopback(
        listener.getsockname()[0]
    ):  # what a name resolves to may be anything
        listener.close()
        raise CannotOpen("beyond-loopback", f"{settings.host} is not on loopback here: give the address itself")
    return listener


def run(
    ledger: Ledger,
    settings: Settings,
    *,
    ready: Callable[[str], None],
    stop: Future[None] | None = None,
    projections: Sequence[ProjectionFollower] = (),
) -> None:
    """Serve in this thread, on a loop of its own: what a command does."""
    with asyncio.Runner(loop_factory=_new_loop) as runner:
        runner.run(serve(ledger, settings, ready=ready, stop=stop, projections=projections))


@contextlib.contextmanager
def serving(ledger: Ledger, settings: Settings, projections: Sequence[ProjectionFollower] = ()) -> Iterator[str]:
    """A server in a thread of its own, for as long as the context lasts; gives its address. For programs that have other
    things to do. Raises what made it fail."""
    address: Future[str] = Future()
    stop: Future[None] = Future()
    with ThreadPoolExecutor(1, thread_name_prefix="server") as thread:
        ended = thread.submit(run, ledger, settings, ready=address.set_result, stop=stop, projections=projections)
        either: list[Future[Any]] = [address, ended]
        wait(either, return_when=FIRST_COMPLETED)
        try:
            if address.done():
                yield address.result()
        finally:
            with contextlib.suppress(InvalidStateError):  # it ended by itself
                stop.set_result(None)
            ended.result()


def _new_loop() -> asyncio.AbstractEventLoop:
    import uvloop

    return uvloop.new_event_loop()

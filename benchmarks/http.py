"""How fast the service takes events over HTTP, and gives them back: server and load tool as two processes on one machine.

The load tool keeps connections alive and sends requests that were made before; it reads answers by their length, so that
little of the machine goes into it. Each row sends a fixed number of requests.

Half load is half of the rate that the row before it reached, asked for at regular moments whether the server keeps up or
not. A request that finds every connection waiting still counts from the moment it was due: else a server that stands
still for a while would be asked less, and look quick. What the timer of the load tool is late by is not the server's.
"""

import asyncio
import gc
import multiprocessing
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import cycle, islice, pairwise
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit
from urllib.request import urlopen

import msgspec
import uvloop

from benchmarks.load import TYPE, new_ledger, payload_json, probe_us, several, spread
from decision_dna.ledger.opening import open_ledger
from decision_dna.service.http.server import run as run_server
from decision_dna.service.settings import Settings

BULK_EVENTS = 1000
TIMES = 5
_HEAD_END = b"\r\n\r\n"


class Load(NamedTuple):
    """Requests for `connections` that each wait for an answer before the next; `rate` a second over all, 0: as fast as it goes."""

    requests: list[bytes]
    connections: int
    count: int
    rate: float = 0.0


class Sent(NamedTuple):
    """What came of a load: seconds for all, milliseconds for each, and how many answers had each status."""

    seconds: float
    latencies_ms: list[float]
    statuses: dict[int, int]


# --- the load tool, in a process of its own ----------------------------------------------------------------------------


async def send_all(address: str, load: Load) -> Sent:
    """Send a load."""
    where = urlsplit(address)
    turns = enumerate(islice(cycle(load.requests), load.count))
    latencies: list[float] = []
    statuses: dict[int, int] = {}
    streams = [await asyncio.open_connection(where.hostname, where.port) for _ in range(load.connections)]
    start = time.perf_counter()

    async def keep_sending(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for number, request in turns:
            began = time.perf_counter()
            if load.rate:
                due = start + number / load.rate
                if due > began:
                    await asyncio.sleep(due - began)
                    due = time.perf_counter()
                began = due
            writer.write(request)
            status = await read_answer(reader)
            latencies.append((time.perf_counter() - began) * 1e3)
            statuses[status] = statuses.get(status, 0) + 1
        writer.close()

    async with asyncio.TaskGroup() as connections:
        for stream in streams:
            connections.create_task(keep_sending(*stream))
    return Sent(time.perf_counter() - start, latencies, statuses)


async def read_answer(reader: asyncio.StreamReader) -> int:
    """The status; the body is read and dropped."""
    head = await reader.readuntil(_HEAD_END)
    at = head.index(b"content-length: ") + 16
    await reader.readexactly(int(head[at : head.index(b"\r\n", at)]))
    return int(head[9:12])


def _send(address: str, load: Load, cores: set[int] | None, answer: Connection) -> None:
    if cores:
        os.sched_setaffinity(0, cores)
    gc.disable()  # one collection of all that was imported takes 30 ms, in which requests wait for the load tool
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        answer.send(runner.run(send_all(address, load)))


def sent(address: str, load: Load, cores: set[int] | None = None) -> Sent:
    """Have a load sent from another process."""
    here, there = multiprocessing.Pipe()
    process = _started(_send, address, load, cores, there)
    there.close()  # so that a process that dies says nothing instead of being waited for
    result: Sent = here.recv()
    process.join()
    return result


# --- the server, likewise ----------------------------------------------------------------------------------------------


def _serve(path: Path, settings: Settings, cores: set[int] | None, address: Connection) -> None:
    if cores:
        os.sched_setaffinity(0, cores)
    with open_ledger(path) as ledger:
        run_server(ledger, settings, ready=address.send)


@contextmanager
def server(path: Path, cores: set[int] | None = None, **settings: Any) -> Iterator[str]:
    """The address of a server over a ledger in a folder."""
    here, there = multiprocessing.Pipe()
    process = _started(_serve, path, Settings(port=0, **settings), cores, there)
    there.close()
    try:
        yield here.recv()
    finally:
        process.terminate()
        process.join()


def _started(target: Callable[..., None], *arguments: object) -> Any:
    process = multiprocessing.get_context("spawn").Process(target=target, args=arguments)
    process.start()
    return process


# --- requests ------------------------------------------------------------------------------------------------------


def _request(method: str, path: str, body: bytes = b"", media: str = "") -> bytes:
    kind = f"content-type: {media}\r\ncontent-length: {len(body)}\r\n" if body else ""
    return f"{method} {path} HTTP/1.1\r\nhost: localhost\r\n{kind}\r\n".encode() + body


def _submission(source: str, slot: int) -> dict[str, Any]:
    return {"type": TYPE, "source": source, "payload": msgspec.json.decode(payload_json(slot))}


def ndjson(source: str, kinds: int = 12) -> list[bytes]:
    """Bulk requests as NDJSON."""
    encode = msgspec.json.encode
    return [
        _request(
            "POST",
            "/api/events",
            b"\n".join(encode(_submission(source, kind * BULK_EVENTS + n)) for n in range(BULK_EVENTS)),
            "application/x-ndjson",
        )
        for kind in range(kinds)
    ]


def packed(source: str, kinds: int = 12) -> list[bytes]:
    """Bulk requests as MessagePack."""
    return [
        _request(
            "POST",
            "/api/events",
            msgspec.msgpack.encode([_submission(source, kind * BULK_EVENTS + n) for n in range(BULK_EVENTS)]),
            "application/msgpack",
        )
        for kind in range(kinds)
    ]


def singles(source: str, kinds: int = 500) -> list[bytes]:
    """Requests of one event."""
    return [
        _request("POST", "/api/events", msgspec.json.encode(_submission(source, n)), "application/json")
        for n in range(kinds)
    ]


# --- rows ----------------------------------------------------------------------------------------------------------


def rate(address: str, load: Load, expected: int, cores: set[int] | None = None) -> float:
    """Requests a second, all answered as expected."""
    result = sent(address, load, cores)
    if result.statuses != {expected: load.count}:
        raise SystemExit(f"answers other than {expected}: {result.statuses}: no figure")
    return load.count / result.seconds


def percentiles(latencies_ms: Sequence[float]) -> dict[str, float]:
    """p50 and p99."""
    ordered = sorted(latencies_ms)
    return {"p50_ms": round(ordered[len(ordered) // 2], 3), "p99_ms": round(ordered[len(ordered) * 99 // 100], 3)}


def bulk(folder: Path, requests: int, **settings: Any) -> dict[str, Any]:
    """Events a second in requests of 1,000."""
    rows: dict[str, Any] = {}
    with server(folder, **settings) as address:
        rate(address, Load(ndjson("raw", 2), 2, 6), 201)
        for name, made, source in (
            ("ndjson_notary", ndjson, "engine"),
            ("ndjson_none", ndjson, "raw"),
            ("msgpack_notary", packed, "engine"),
            ("msgpack_none", packed, "raw"),
        ):
            load = Load(made(source), 4, requests)
            rows[name] = several(TIMES, partial(_bulk_rate, address, load))
    return rows


def _bulk_rate(address: str, load: Load) -> float:
    return round(BULK_EVENTS * rate(address, load, 201))


def cpu_seconds(address: str) -> float:
    """What the server's process has used so far, of all cores, as it says itself."""
    with urlopen(f"{address}/api/health/metrics/system") as answer:  # our own server, on loopback
        used: float = msgspec.json.decode(answer.read())["cpu_seconds"]
    return used


def event_id(address: str, seq: int) -> str:
    """Of the event at a seq."""
    with urlopen(f"{address}/api/events/{seq}") as answer:
        name: str = msgspec.json.decode(answer.read())["id"]
    return name


def one_by_one(folder: Path, count: int) -> dict[str, Any]:
    """Single events, notarised, over 32 connections: the server on one core, the load tool on another where there is one."""
    cores = sorted(os.sched_getaffinity(0))
    rows: dict[str, list[float]] = {}
    with server(folder, {cores[0]}) as address:
        rate(address, Load(singles("engine"), 32, 500), 201, {cores[-1]})
        ids = [_request("GET", f"/api/events/{event_id(address, seq)}") for seq in range(2, 502)]
        for _ in range(TIMES):
            used = [cpu_seconds(address)]
            posts = rate(address, Load(singles("engine"), 32, count), 201, {cores[-1]})
            used.append(cpu_seconds(address))
            gets = rate(address, Load(ids, 32, count), 200, {cores[-1]})
            used.append(cpu_seconds(address))
            calm = percentiles(sent(address, Load(ids, 32, count, gets / 2), {cores[-1]}).latencies_ms)
            post_us, get_us = [(after - before) / count * 1e6 for before, after in pairwise(used)]
            found = {
                "probe_us": probe_us(),
                "single_post": posts,
                "single_post_cpu_us": post_us,
                "get_by_id": gets,
                "get_by_id_cpu_us": get_us,
                "get_by_id_half_load_p50_ms": calm["p50_ms"],
                "get_by_id_half_load_p99_ms": calm["p99_ms"],
            }
            for name, value in found.items():
                rows.setdefault(name, []).append(value)
    return {name: spread(values) for name, values in rows.items()}


def run(requests: int = 60, singles_count: int = 10_000) -> dict[str, Any]:
    """All rows of HTTP: events a second, milliseconds, and what a request costs the server's process in µs of a core."""
    with tempfile.TemporaryDirectory() as folder:
        for name in ("bulk", "threads", "singles"):
            new_ledger(Path(folder) / name).close()
        return {
            "bulk": bulk(Path(folder) / "bulk", requests),
            "bulk_without_a_preparing_process": bulk(Path(folder) / "threads", requests, prepare_processes=0),
            **one_by_one(Path(folder) / "singles", singles_count),
        }


if __name__ == "__main__":
    print(run())

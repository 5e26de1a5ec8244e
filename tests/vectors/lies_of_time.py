"""Lies about time, one export each: heartbeats that come late, pauses and jumps that nobody vouches for."""

from collections.abc import Callable
from typing import Any

from tests.vectors.bending import Lies, Made, key, more, said, with_operator
from tests.vectors.log import JUMP, PAUSE, POLICY, SECOND, START, Log, Row, finalized


def limited(*acts: Callable[[Log], object], events: int = 100, seconds: int = 600) -> Made:
    """Genesis alone, with other maxima, and what follows."""
    policy = {**POLICY, "heartbeat_events_max": events, "heartbeat_seconds_max": seconds}

    def start() -> Log:
        log = Log()
        log.begin(policy=policy)
        return log

    return more(*acts, log=start)


def idle(nanoseconds: int) -> Callable[[Log], None]:
    """Nothing happens for so long."""

    def act(log: Log) -> None:
        log.now += nanoseconds

    return act


def beat(pause: int = 0, **fields: Any) -> Callable[[Log], Row]:
    """A heartbeat after so long and a second."""
    return lambda log: log.beat(pause, **fields)


def clock(pause: int = 0, **fields: Any) -> Callable[[Log], Row]:
    """Root's clock, or another's, after so long and a second."""
    return lambda log: log.clock(pause, **fields)


def around(pause: int, seconds: int, kind: str = "finalized") -> Callable[[Log], Row]:
    """A heartbeat after so long and a second, with a block so many seconds after it."""
    return lambda log: log.beat(pause, beacon=finalized((log.now + pause) // SECOND + 1 + seconds, kind))


TIME: Lies = {
    "time/heartbeat-missing-by-events": ((3,), limited(said(), said(), said(), events=2)),
    "time/heartbeat-missing-by-events-after-another": ((3,), limited(said(), beat(), said(), said(), events=1)),
    "time/heartbeat-missing-before-a-key": (
        (3,),
        limited(said(), key("register", "author", "author", sources=["bot"]), events=1),
    ),
    "time/heartbeat-missing-before-an-erasure": ((3,), limited(said(), lambda log: log.erase(1), events=1)),
    "time/heartbeat-missing-by-events-after-a-clock": ((3,), limited(said(), clock(), said(), events=2)),
    "time/heartbeat-missing-by-a-nanosecond": ((3,), limited(idle(9 * SECOND + 1), said(), seconds=10)),
    "time/heartbeat-missing-by-seconds-after-another": (
        (3,),
        limited(beat(), said(), idle(9 * SECOND), said(), seconds=10),
    ),
    "time/heartbeat-missing-after-a-weekend": ((3,), more(idle(2 * 86_400 * SECOND), said())),
    "time/heartbeat-missing-after-a-clock": ((3,), more(clock(PAUSE), said())),
    "time/policy-for-fewer-events": (
        (3,),
        limited(said(), said(), lambda log: log.change_policy(heartbeat_events_max=3), said()),
    ),
    "time/policy-for-more-events-comes-late": (
        (3,),
        limited(said(), lambda log: log.change_policy(heartbeat_events_max=100), said(), events=1),
    ),
    "time/pause-before-an-event": ((3,), more(idle(PAUSE), said())),
    "time/pause-without-a-beacon": ((3,), more(beat(PAUSE))),
    "time/pause-past-by-a-nanosecond": ((3,), more(beat(PAUSE - SECOND + 1))),
    "time/pause-with-a-recorded-beacon": ((3,), more(around(PAUSE, 0, "recorded"))),
    "time/pause-with-a-block-121-seconds-old": ((3,), more(around(PAUSE, -121))),
    "time/pause-with-a-block-121-seconds-ahead": ((3,), more(around(PAUSE, 121))),
    "time/pause-with-a-block-a-nanosecond-too-old": ((3,), more(idle(1), around(PAUSE, -120))),
    "time/pause-with-a-block-of-before": ((3,), more(beat(PAUSE, beacon=finalized(START // SECOND)))),
    "time/jump-with-a-finalized-block": ((3,), more(around(JUMP, 0))),
    "time/jump-past-by-a-nanosecond": ((3,), more(idle(1 - SECOND), around(JUMP, 0))),
    "time/jump-by-an-operator": ((3,), more(clock(JUMP, by="operator"), log=with_operator())),
    "time/clock-from-a-nanosecond-later": ((3,), more(lambda log: log.clock(**{"from": log.now + 1}))),
    "time/clock-from-a-nanosecond-earlier": ((3,), more(lambda log: log.clock(**{"from": log.now - 1}))),
    "time/clock-from-1970": ((3,), more(clock(**{"from": 0}))),
    "time/clock-to-a-nanosecond-too-far-ahead": ((3,), more(lambda log: log.clock(to=log.now + 61 * SECOND + 1))),
    "time/clock-to-a-nanosecond-too-long-ago": ((3,), more(lambda log: log.clock(PAUSE - SECOND + 1, to=log.now))),
    "time/clock-of-a-shorter-pause": (
        (3,),
        more(
            lambda log: log.change_policy(pause_seconds_max=1),
            lambda log: log.clock(2 * SECOND, to=log.now + SECOND),
        ),
    ),
}

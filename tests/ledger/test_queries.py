"""Queries against a scan that looks at every event: all filters, orders, page sizes and lags of the indexes, also while the log grows."""

from random import Random

import msgspec
import pytest

from decision_dna.ledger.followers import Cursor, Followers, cursor_key
from decision_dna.ledger.indexes import BLOCK_EVENTS, Indexes, IndexFollower
from decision_dna.ledger.layout import seq_key
from decision_dna.ledger.ledger import Ledger
from decision_dna.ledger.lock import Locked
from decision_dna.ledger.memory import MemoryStore
from decision_dna.ledger.plan import Draft
from decision_dna.ledger.queries import (
    NO_END,
    EventFilter,
    Order,
    lineage,
    query,
    read_events,
    stream_heads,
    stream_run,
)
from decision_dna.ledger.reader import Event, LogReader
from decision_dna.ledger.writer import Placed
from decision_dna.schemas import codec
from decision_dna.schemas.errors import InvariantBroken, LedgerError, Malformed, NotFound
from tests.ledger.memory_log import ORIGIN, SOURCES, SUBJECTS, TRACES, Events, new_log

COMMITS = (1, 40, 2000, 7, 3000, 3500, 31, 1, 1)


class Log(msgspec.Struct):
    """A ledger whose indexes follow it up to some place, and all of its events."""

    ledger: Ledger
    store: MemoryStore
    events: list[Event]

    @property
    def reader(self) -> LogReader:
        return self.ledger.reader


@pytest.fixture(scope="module", params=["indexed", "half", "not"])
def log(request) -> Log:
    """Not to be changed. Two blocks are in the rows, or one, or none."""
    ledger, store, clock = new_log()
    source = Events(1)
    followers = Followers(store, ledger.reader, [IndexFollower()])
    for at, count in enumerate(COMMITS):
        source.append(ledger, clock, count)
        if request.param == "indexed" or (request.param == "half" and at < 5):
            followers.catch_up()
    assert Indexes(store).saved() == {"indexed": 2, "half": 1, "not": 0}[request.param] * BLOCK_EVENTS
    return Log(ledger, store, [ledger.reader.event(seq) for seq in range(ledger.reader.size)])


def wants(wanted: EventFilter, event: Event) -> bool:
    """The slow reference."""
    claim, entry = event.claim, event.entry
    is_type = wanted.type in ("", claim.type) or (wanted.type[-1] == "*" and claim.type.startswith(wanted.type[:-1]))
    return (
        is_type
        and wanted.source in ("", claim.source)
        and wanted.subject in ("", claim.subject)
        and wanted.stream in ("", entry.stream)
        and wanted.correlation in ("", claim.correlation)
        and (wanted.cause == b"" or wanted.cause in claim.causes)
        and wanted.time_from <= entry.recorded_at < wanted.time_to
        and wanted.from_seq <= entry.seq < wanted.to_seq
    )


def random_filter(chance: Random, events: list[Event]) -> EventFilter:
    """Up to six words and a range, of things that mostly exist."""
    some = chance.choice(events)
    words = {
        "type": chance.choice(("x.*", "x.seen", "x.seen.*", "x.a.*", "x.a.b.*", "x.a.b.c", "ledger.*", "y.*", "x")),
        "source": chance.choice((*SOURCES, "nobody")),
        "subject": chance.choice((*SUBJECTS, "pool-3")),
        "stream": chance.choice((some.entry.stream, "x/dex", "ledger/ledger", "none/none")),
        "correlation": chance.choice((some.claim.correlation, TRACES[1][3:35], "f" * 32)),
        "cause": chance.choice((some.claim.id, *some.claim.causes)),
    }
    if chance.random() < 0.3:  # words of one event, so that several together find something
        own = {"type": some.claim.type, "source": some.claim.source, "subject": some.claim.subject}
        own |= {"stream": some.entry.stream, "correlation": some.claim.correlation}
        words |= own | {"cause": chance.choice((*some.claim.causes, b""))}
    times = sorted(chance.choice(events).entry.recorded_at + chance.choice((-1, 0, 1)) for _ in range(2))
    seqs = sorted(chance.randrange(len(events) + 10) for _ in range(2))
    ranges = {
        "time": {"time_from": times[0], "time_to": times[1]},
        "since": {"time_from": times[0]},
        "seq": {"from_seq": seqs[0], "to_seq": seqs[1]},
        "none": {},
    }
    chosen = chance.sample(sorted(words), chance.choice((0, 1, 1, 2, 2, 3, 6)))
    return EventFilter(**{name: words[name] for name in chosen}, **ranges[chance.choice(sorted(ranges))])


@pytest.mark.parametrize("seed", range(150))
def test_pages_are_what_a_scan_of_everything_finds(log, seed):
    chance = Random(seed)
    wanted, order = random_filter(chance, log.events), chance.choice(("asc", "desc"))
    expected = [event for event in log.events if wants(wanted, event)][:: 1 if order == "asc" else -1]
    indexes, cursor, found = Indexes(log.store), None, []
    limits = chance.choice(((1, 2, 3), (100,), (1000,), (7, 1000)))
    for page_number in range(12):
        limit = limits[page_number % len(limits)]
        page = query(log.reader, indexes, wanted, order=order, limit=limit, cursor=cursor)
        found += page.events
        assert page.checkpoint == log.reader.head()
        cursor = page.next_cursor
        assert (cursor is not None) == (len(found) < len(expected))
        assert cursor is None or len(page.events) == limit
        if cursor is None:
            break
    assert found == expected[: len(found)]


@pytest.mark.parametrize("order", ["asc", "desc"])
def test_a_walk_is_stable_while_the_log_grows_and_is_indexed(order):
    ledger, store, clock = new_log()
    source, chance = Events(2), Random(2)
    followers = Followers(store, ledger.reader, [IndexFollower()])
    source.append(ledger, clock, 4000)
    indexes, wanted = Indexes(store), EventFilter(type="x.seen.*", source="dex")
    before = [ledger.reader.event(seq) for seq in range(ledger.reader.size)]
    expected = [event for event in before if wants(wanted, event)][:: 1 if order == "asc" else -1]
    first = page = query(ledger.reader, indexes, wanted, order=order, limit=20)
    found = list(page.events)
    while page.next_cursor is not None:
        source.append(ledger, clock, chance.choice((1, 300, 700)))
        if chance.random() < 0.5:
            followers.catch_up()
        page = query(ledger.reader, indexes, wanted, order=order, limit=20, cursor=page.next_cursor)
        assert page.checkpoint == first.checkpoint
        found += page.events
    assert found == expected
    assert ledger.reader.size > BLOCK_EVENTS
    assert indexes.saved() > 0


@pytest.mark.parametrize("order", ["asc", "desc"])
def test_a_page_of_large_events_is_a_shorter_one(order: Order) -> None:
    ledger, store, _ = new_log()
    payload = codec.encode({"data": bytes(250_000)})
    placed = ledger.append([Draft("x.large", 1, "dex", payload) for _ in range(40)]).outcomes
    seqs = [one.seq for one in placed if isinstance(one, Placed)]
    cursor, walked = None, list[int]()
    for count in (34, 6):
        page = query(ledger.reader, Indexes(store), EventFilter(type="x.large"), order=order, cursor=cursor)
        assert len(page.events) == count
        walked += [event.seq for event in page.events]
        cursor = page.next_cursor
    assert cursor is None
    assert walked == (seqs if order == "asc" else seqs[::-1])


def test_what_was_just_appended_is_seen_at_once():
    ledger, store, clock = new_log()
    source, indexes = Events(3), Indexes(store)
    followers = Followers(store, ledger.reader, [IndexFollower()])
    for count in [1] * 30 + [4090, 1, 1, 1]:
        source.append(ledger, clock, count)
        newest = query(ledger.reader, indexes, EventFilter(type="x.*"), order="desc", limit=1).events[0]
        assert newest.seq == ledger.reader.size - 1
        by_source = query(ledger.reader, indexes, EventFilter(source=newest.claim.source), order="desc", limit=1)
        assert by_source.events == [newest]
        followers.catch_up()


def test_a_cursor_that_is_not_of_this_log_hides_nothing():
    ledger, store, clock = new_log()
    source, wanted = Events(5), EventFilter(type="x.seen.*")
    source.append(ledger, clock, 5000)
    Followers(store, ledger.reader, [IndexFollower()]).catch_up()
    expected = query(ledger.reader, Indexes(store), wanted, limit=1000).events
    for seq in (2 * BLOCK_EVENTS, 10 * BLOCK_EVENTS):
        source.append(ledger, clock, 4000)
        batch = store.batch()
        batch.put("views", cursor_key("indexes"), codec.encode(Cursor(1, seq, bytes(32))))
        store.write(batch, durable=False)
        newest = query(ledger.reader, Indexes(store), EventFilter(type="x.*"), order="desc", limit=1).events[0]
        assert newest.seq == ledger.reader.size - 1
        assert query(ledger.reader, Indexes(store), wanted, limit=1000).events == expected


def test_nothing_past_the_visible_size_is_seen(log):
    short = LogReader(log.store, lambda: Locked(ORIGIN, 4300, bytes(32), ""))
    page = query(short, Indexes(log.store), EventFilter(type="x.*"), order="desc", limit=1)
    assert page.events[0].seq == 4299
    seqs = [event.seq for event in stream_run(short, Indexes(log.store), "x/dex", 0, 1000)[0]]
    assert seqs == [event.seq for event in log.events[:4300] if event.entry.stream == "x/dex"][:1000]


REFUSED = [
    ({"wanted": EventFilter(source="dex-2")}, "another query"),
    ({"wanted": EventFilter(source="dex", time_from=1)}, "another query"),
    ({"order": "desc"}, "another query"),
    ({"limit": 0}, "1 to 1000"),
    ({"limit": 1001}, "1 to 1000"),
    ({"cursor": ""}, "not a cursor"),
    ({"cursor": "ü"}, "not a cursor"),
    ({"cursor": "A"}, "not a cursor"),
    ({"wanted": EventFilter(type="x*")}, "family"),
    ({"wanted": EventFilter(type="*.x")}, "family"),
    ({"wanted": EventFilter(cause=b"short")}, "16 bytes"),
    ({"wanted": EventFilter(correlation="XYZ")}, "32 hex digits"),
    ({"wanted": EventFilter(subject="a\0b")}, "control"),
    ({"wanted": EventFilter(subject="\ud800")}, "Unicode"),
]


@pytest.mark.parametrize(("change", "reason"), REFUSED)
def test_what_can_not_be_asked_is_refused(log, change, reason):
    indexes, asked = Indexes(log.store), {"wanted": EventFilter(source="dex"), "order": "asc", "limit": 2}
    asked["cursor"] = query(log.reader, indexes, **asked).next_cursor
    asked = {**asked, **change}
    with pytest.raises(Malformed, match=reason):
        query(log.reader, indexes, **asked)


def test_a_cursor_of_another_log_is_refused(log):
    other, store, clock = new_log()
    Events(9).append(other, clock, 5)
    cursor = query(log.reader, Indexes(log.store), EventFilter(), limit=1).next_cursor
    with pytest.raises(Malformed, match="another log"):
        query(other.reader, Indexes(store), EventFilter(), limit=1, cursor=cursor)


def test_only_our_errors_leave_a_bent_cursor(log):
    cursor = query(log.reader, Indexes(log.store), EventFilter(), limit=1).next_cursor
    chance, refused = Random(5), 0
    for _ in range(300):
        at = chance.randrange(len(cursor))
        bent = cursor[:at] + chance.choice("ABCxyz019-_=.~") + cursor[at + 1 :]
        try:
            query(log.reader, Indexes(log.store), EventFilter(), limit=1, cursor=bent)
        except LedgerError:
            refused += 1
    assert refused > 150


def test_events_read_together_are_those_read_one_by_one():
    ledger, store, clock = new_log()
    source, chance = Events(4), Random(4)
    for count in (1, 1, 70, 5, 33, 1, 200):
        source.append(ledger, clock, count)
    clock.advance(1)
    ledger.heartbeat()
    ledger.erase(9, "the operator", "asked to")
    for _ in range(50):
        seqs = [chance.randrange(ledger.reader.size) for _ in range(chance.randrange(40))]
        assert read_events(store, seqs) == [ledger.reader.event(seq) for seq in seqs]
    batch = store.batch()
    batch.delete("entries", seq_key(0))
    store.write(batch, durable=True)
    with pytest.raises(InvariantBroken):
        read_events(store, [0])


@pytest.mark.parametrize("seed", range(40))
def test_a_run_of_a_stream_is_gapless_from_any_place(log, seed):
    chance = Random(seed)
    stream = chance.choice(("x/dex", "x/dex-2", "x/de", "ledger/ledger", "x/nobody"))
    events = [event for event in log.events if event.entry.stream == stream]
    start, limit = chance.randrange(len(events) + 3), chance.choice((1, 10, 1000))
    found, more = stream_run(log.reader, Indexes(log.store), stream, start, limit)
    assert (found, more) == (events[start : start + limit], start + limit < len(events))


def test_stream_heads_are_those_of_the_visible_size(log):
    indexes = Indexes(log.store)
    assert stream_heads(log.reader, indexes.store) == dict(log.ledger.writer.stream_heads())
    for size in (1, 30, 8500, len(log.events) - 1):
        short = LogReader(log.store, lambda size=size: Locked(ORIGIN, size, bytes(32), ""))
        counts: dict[str, int] = {}
        for event in log.events[:size]:
            counts[event.entry.stream] = event.entry.stream_seq + 1
        assert {name: head[0] for name, head in stream_heads(short, indexes.store).items()} == counts


def slow_lineage(events: list[Event], seq: int, direction: str, depth: int) -> tuple[set[int], set[tuple[int, int]]]:
    """All that is near enough, by edges followed one level at a time."""
    by_id = {event.claim.id: event.seq for event in reversed(events)}
    edges = {(by_id[cause], event.seq) for event in events for cause in event.claim.causes}
    nodes, used = {seq}, set()
    for way in ("causes", "effects") if direction == "both" else (direction,):
        level = {seq}
        for _ in range(depth):
            near = {edge for edge in edges if edge[way == "causes"] in level}
            used |= near
            level = {edge[way == "effects"] for edge in near}
            nodes |= level
    return nodes, used


@pytest.mark.parametrize("seed", range(25))
def test_lineage_is_every_cause_and_effect_within_the_depth(log, seed):
    chance = Random(seed)
    seq, direction = chance.randrange(len(log.events)), chance.choice(("causes", "effects", "both"))
    depth = chance.choice((0, 1, 2, 3))
    nodes, edges = slow_lineage(log.events, seq, direction, depth)
    graph = lineage(log.reader, Indexes(log.store), seq, direction, depth=depth, limit=1000)
    assert [event.seq for event in graph.nodes] == sorted(nodes)
    assert set(graph.edges) >= edges
    assert all(cause in nodes and effect in nodes for cause, effect in graph.edges)
    deeper, _ = slow_lineage(log.events, seq, direction, depth + 1)
    assert graph.truncated == (deeper != nodes)


def test_a_lineage_past_its_limit_says_so(log):
    whole = lineage(log.reader, Indexes(log.store), 2045, depth=4, limit=1000)
    assert len(whole.nodes) > 10
    part = lineage(log.reader, Indexes(log.store), 2045, depth=4, limit=10)
    assert (len(part.nodes), part.truncated) == (10, True)
    assert set(part.edges) <= set(whole.edges)
    with pytest.raises(NotFound):
        lineage(log.reader, Indexes(log.store), len(log.events))
    with pytest.raises(Malformed):
        lineage(log.reader, Indexes(log.store), 0, limit=0)


def test_ranges_include_their_beginning_and_not_their_end(log):
    indexes, event = Indexes(log.store), log.events[5000]
    same_time = [e.seq for e in log.events if e.entry.recorded_at == event.entry.recorded_at]
    at = event.entry.recorded_at
    page = query(log.reader, indexes, EventFilter(time_from=at, time_to=at + 1), limit=1000)
    assert page.events[0].seq == same_time[0]
    assert query(log.reader, indexes, EventFilter(time_from=at, time_to=at)).events == []
    assert [e.seq for e in query(log.reader, indexes, EventFilter(from_seq=7, to_seq=9)).events] == [7, 8]
    assert query(log.reader, indexes, EventFilter(to_seq=NO_END), limit=1).events == log.events[:1]

"""Committed states: what followers keep, what the log commits to, and what a replay gives are one and the same, or it is said."""

from collections import defaultdict
from random import Random

import pytest

from decision_dna.engine.projections import (
    DETECTIONS,
    SNAPSHOTS_KEPT,
    SUM_MAX,
    ProjectionFollower,
    Tally,
    commit_state,
    decode_tally,
    fold_detection,
    read_rows,
    snapshot_prefix,
    state_prefix,
)
from decision_dna.engine.replay import (
    NOTE_TYPES,
    check_views,
    log_commitments,
    replay_log,
    state_check,
)
from decision_dna.ledger import merkle
from decision_dna.ledger.audit import verify
from decision_dna.ledger.followers import ClaimFacts, Followers, cursor_key
from decision_dna.ledger.hashing import ZEROS, state_hash
from decision_dna.ledger.indexes import IndexFollower
from decision_dna.ledger.ledger import Ledger
from decision_dna.ledger.memory import MemoryStore
from decision_dna.ledger.plan import Draft
from decision_dna.ledger.sources import StoreSource
from decision_dna.ledger.state import BUCKETS, StateMap, check_key, decode_key_proof
from decision_dna.schemas import codec
from decision_dna.schemas.errors import LedgerError, ProofRejected
from decision_dna.schemas.market import Arbitrage, Hop, Sandwich
from decision_dna.schemas.stating import STATE, StateCommitted
from tests.ledger.memory_log import Events, new_log, reopened

DIGITS = "23456789ABCDEFGHJKLM"


def key(name: str) -> str:
    """A key that begins with a name, of the letters that base58 has."""
    return name + "1" * (44 - len(name))


def pool_of(name: str) -> str:
    return f"{key(name)}/{key(name)}"


def sandwich(pool: str, attackers: tuple[str, ...], profit: int, victims: int) -> Sandwich:
    return Sandwich(
        attackers=tuple(map(key, attackers)),
        backs=(),
        confidence_ppm=1,
        fees=0,
        fronts=(),
        link="signer",
        mints=(key("a"), key("b")),
        passes=(),
        payments=0,
        pool=pool_of(pool),
        profit_lamports=profit,
        profit_tokens=(),
        realized_lamports=0,
        rule="r",
        rule_version=1,
        slot=1,
        tips=0,
        victims=(),
        victims_count=victims,
    )


def arbitrage(pools: tuple[str, ...], owner: str, net: int) -> Arbitrage:
    return Arbitrage(
        confidence_ppm=1,
        fee=0,
        gains=(),
        hops=tuple(Hop(amount_in=1, amount_out=1, mint_in="", mint_out="", pool=pool_of(pool)) for pool in pools),
        net_lamports=net,
        owner=key(owner),
        position=1,
        rule="r",
        rule_version=1,
        signature="5" * 88,
        signer=key(owner),
        slot=1,
        tip=0,
        value_lamports=net,
    )


def random_detections(chance: Random, count: int) -> list[Draft]:
    """Sandwiches, arbitrages, and others that the projection does not look into."""
    drafts = []
    for _ in range(count):
        pool, wallet = f"pooL{chance.choice(DIGITS)}", f"waLLet{chance.choice(DIGITS)}"
        kind = chance.choice(("detection.sandwich", "detection.arbitrage", "x.other", "detection.unheard_of"))
        if kind == "detection.sandwich":
            found = sandwich(pool, (wallet, "w"), chance.randrange(-5, 100), chance.randrange(3))
        elif kind == "detection.arbitrage":
            found = arbitrage((pool, "p", pool), wallet, chance.randrange(100))
        else:
            found = {"n": 1}
        drafts.append(Draft(type=kind, schema=1, source="engine", payload=codec.encode(found)))
    return drafts


def slow_tallies(ledger: Ledger, end: int) -> dict[bytes, Tally]:
    """From the events as they are read, one by one."""
    sums: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0])
    for seq in range(end):
        event = ledger.reader.event(seq)
        kind = event.claim.type
        if not kind.startswith("detection."):
            continue
        fields = codec.decode(event.payload)
        if kind == "detection.sandwich":
            added = (1, fields["profit_lamports"], fields["victims_count"])
            names = {"all", f"pool/{fields['pool']}", *(f"wallet/{name}" for name in fields["attackers"])}
        elif kind == "detection.arbitrage":
            added = (1, fields["net_lamports"], 0)
            names = {"all", f"wallet/{fields['owner']}", *(f"pool/{hop['pool']}" for hop in fields["hops"])}
        else:
            added, names = (1, 0, 0), {"all"}
        for name in names:
            sums[f"{kind}/{name}"] = [a + b for a, b in zip(sums[f"{kind}/{name}"], added, strict=True)]
    return {key.encode(): Tally(*values) for key, values in sums.items()}


def slow_root(rows: dict[bytes, bytes]) -> bytes:
    """Section 13, word by word."""
    buckets: list[list[list[bytes]]] = [[] for _ in range(BUCKETS)]
    for key in sorted(rows):
        buckets[int.from_bytes(state_hash(key)) >> 246].append([key, rows[key]])
    hashes = [state_hash(codec.encode(bucket)) if bucket else ZEROS for bucket in buckets]

    def root(leaves: list[bytes]) -> bytes:
        half = len(leaves) // 2
        return merkle.leaf_hash(leaves[0]) if half == 0 else merkle.node_hash(root(leaves[:half]), root(leaves[half:]))

    return root(hashes)


class Engine:
    """A ledger with its followers, driven by hand, that commits to its state now and then."""

    def __init__(self, seed: int, save_events: int = 1) -> None:
        self.ledger, self.store, self.clock = new_log()
        self.chance = Random(seed)
        self.follower = ProjectionFollower(DETECTIONS, save_events=save_events)
        self.followers = Followers(self.store, self.ledger.reader, [IndexFollower(), self.follower])

    def run(self, counts: tuple[int, ...]) -> "Engine":
        for count in counts:
            self.clock.advance(1)
            self.ledger.append_system(random_detections(self.chance, count))
            self.followers.catch_up()
            commit_state(self.ledger, self.follower)
        self.followers.catch_up()
        return self


@pytest.fixture(scope="module")
def engine() -> Engine:
    """Not to be changed."""
    return Engine(1).run((3, 400, 1, 4000, 700))


# --- the map -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(5))
def test_the_root_kept_is_the_root_of_everything(seed):
    chance, state, model = Random(seed), StateMap(), {}
    for _ in range(12):
        for _ in range(chance.choice((0, 1, 50, 700))):
            key = b"key-%d" % chance.randrange(900)
            if chance.random() < 0.3:
                state.delete(key)
                model.pop(key, None)
            else:
                model[key] = codec.encode(chance.randrange(10**6))
                state.put(key, model[key])
        assert (state.root(), len(state), dict(state.items())) == (slow_root(model), len(model), model)
    assert StateMap(model.items()).root() == state.root()


def test_a_key_is_proved_present_or_absent_and_nothing_else():
    state = StateMap((b"key-%d" % at, codec.encode(at)) for at in range(3000))
    root = state.root()
    for key in (b"key-7", b"key-2999", b"no such key", b""):
        proof = decode_key_proof(codec.encode(state.prove_key(key)))
        value = state.get(key)
        check_key(key, value, proof, root)
        for lie in (b"\x2a", None if value else b""):
            with pytest.raises(ProofRejected):
                check_key(key, lie, proof, root)
        with pytest.raises(ProofRejected):
            check_key(key, value, proof, bytes(32))
        other = state.prove_key(b"key-8")
        with pytest.raises(ProofRejected):
            check_key(key, value, other, root)


def test_no_bent_byte_of_a_proof_is_accepted():
    state = StateMap((b"key-%d" % at, codec.encode(at)) for at in range(500))
    proof = codec.encode(state.prove_key(b"key-7"))
    for at in range(len(proof)):
        bent = proof[:at] + bytes([proof[at] ^ 1]) + proof[at + 1 :]
        with pytest.raises(LedgerError):
            check_key(b"key-7", codec.encode(7), decode_key_proof(bent), state.root())


# --- the fold ------------------------------------------------------------------------------------------------------


def test_tallies_are_what_the_events_say(engine):
    kept = {key: decode_tally(value) for key, value in read_rows(engine.store, state_prefix(DETECTIONS))}
    assert kept == slow_tallies(engine.ledger, engine.ledger.reader.size)
    assert kept[f"detection.sandwich/wallet/{key('w')}".encode()] == kept[b"detection.sandwich/all"]
    assert kept[b"detection.unheard_of/all"].count > 100
    assert (
        decode_tally(engine.follower.get(f"detection.arbitrage/pool/{pool_of('p')}".encode()))
        == kept[b"detection.arbitrage/all"]
    )


@pytest.mark.parametrize("sign", [1, -1])
def test_sums_stop_at_their_greatest(sign):
    claim = ClaimFacts(1, "o", b"", "detection.arbitrage", 1, "s", "", 0, (), "")
    payload = codec.encode(arbitrage(("p",), "w", sign * SUM_MAX))
    rows: dict[bytes, bytes] = {}
    for _ in range(2):
        rows |= dict(fold_detection(rows.get, claim, payload))
    assert decode_tally(rows[b"detection.arbitrage/all"]) == Tally(2, sign * SUM_MAX, 0)


def test_a_payload_that_is_gone_or_of_an_unknown_schema_counts_for_its_kind():
    for claim_schema, payload in ((1, None), (99, codec.encode(arbitrage(("p",), "w", 5))), (1, b"\x80")):
        claim = ClaimFacts(1, "o", b"", "detection.arbitrage", claim_schema, "s", "", 0, (), "")
        assert dict(fold_detection({}.get, claim, payload)) == {
            b"detection.arbitrage/all": codec.encode(Tally(1, 0, 0))
        }


# --- commitments and replay ----------------------------------------------------------------------------------------


def test_a_replay_gives_what_the_follower_kept_and_what_was_committed(engine):
    replayed = replay_log(engine.store, engine.ledger.reader, DETECTIONS)
    committed, rows = engine.follower.commitment()
    assert (replayed.root, replayed.as_of, replayed.entries) == (committed.root, committed.as_of, committed.entries)
    assert replayed.rows == rows
    assert [each.outcome for each in replayed.compared] == ["equal"] * 5
    assert [each.commitment for each in replayed.compared] == log_commitments(engine.store, engine.ledger.reader)
    assert replayed.root == slow_root(dict(rows))


@pytest.mark.parametrize("to_seq", [0, 1, 4, 5, 404, 2000, 4096, 4406, 10**6])
def test_a_replay_to_a_seq_is_the_state_of_then(engine, to_seq):
    reader = engine.ledger.reader
    replayed = replay_log(engine.store, reader, DETECTIONS, to_seq)
    assert {key: decode_tally(value) for key, value in replayed.rows} == slow_tallies(
        engine.ledger, min(to_seq, reader.size)
    )
    assert [each.commitment.said.as_of for each in replayed.compared] == [
        each.said.as_of for each in log_commitments(engine.store, reader) if each.said.as_of <= to_seq
    ]
    quick = replay_log(engine.store, reader, DETECTIONS, to_seq, from_snapshot=True)
    assert (quick.root, quick.as_of, quick.rows) == (replayed.root, replayed.as_of, replayed.rows)
    assert len(quick.compared) <= len(replayed.compared)


def test_a_snapshot_is_believed_only_where_its_root_was_committed(engine):
    changed = engine.store.kill()
    prefix = snapshot_prefix(DETECTIONS)
    snapshots = read_rows(changed, prefix)
    assert len(snapshots) == SNAPSHOTS_KEPT
    batch = changed.batch()
    for at, value in snapshots:
        batch.put("views", prefix + at, value[:-1] + bytes([value[-1] ^ 1]))
    changed.write(batch, durable=False)
    quick = replay_log(changed, engine.ledger.reader, DETECTIONS, from_snapshot=True)
    assert len(quick.compared) == 5, "from the beginning"
    assert quick.root == engine.follower.commitment()[0].root


@pytest.mark.parametrize("save_events", [1, 700, 10**6])
def test_killed_between_any_two_writes_the_state_is_that_of_its_cursor(save_events):
    running = Engine(2, save_events)
    for count in (1, 30, 4100):
        running.run((count,))
        for keep in range(4):
            store = running.store.crash(keep)
            log = reopened(store, running.ledger.reader.head(), running.clock)
            assert check_views(store, log.reader, [DETECTIONS]) == []
            again = ProjectionFollower(DETECTIONS)
            Followers(store, log.reader, [again]).catch_up()
            assert again.commitment() == running.follower.commitment()


def test_a_row_that_changed_long_before_the_save_is_saved():
    engine = Engine(7, save_events=1000)
    rare = codec.encode(arbitrage(("seLdom",), "w", 5))
    engine.ledger.append_system([Draft(type="detection.arbitrage", schema=1, source="engine", payload=rare)])
    engine.followers.catch_up()
    assert read_rows(engine.store, state_prefix(DETECTIONS)) == []
    engine.run((1100,))
    kept = dict(read_rows(engine.store, state_prefix(DETECTIONS)))
    assert decode_tally(kept[f"detection.arbitrage/pool/{pool_of('seLdom')}".encode()]) == Tally(1, 5, 0)
    assert check_views(engine.store, engine.ledger.reader, [DETECTIONS]) == []


# --- what is found -------------------------------------------------------------------------------------------------


def verified(engine: Engine, store: MemoryStore | None = None):
    source = StoreSource(store or engine.store, engine.ledger.reader.head())
    report = verify(source, engine.ledger.vkey, note_types=NOTE_TYPES, checks=(state_check(source, [DETECTIONS]),))
    return next(step for step in report.steps if step.step == 10), report


def test_step_ten_passes_for_an_honest_log(engine):
    step, _ = verified(engine)
    assert (step.status, step.text) == ("pass", "5 of 5 state commitments are what the log gives")


def append_state(engine: Engine, **changes: object) -> None:
    """A commitment that says something else than the truth."""
    said, _ = engine.follower.commitment()
    fields = {name: getattr(said, name) for name in said.__struct_fields__} | changes
    payload = codec.encode(StateCommitted(**fields))
    engine.ledger.append_system([Draft(type=STATE, schema=1, source="engine", payload=payload)])


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"root": bytes(32)}, "fail"),
        ({"entries": 1}, "fail"),
        ({"as_of": 3}, "fail"),
        ({"as_of": 10**6}, "fail"),
        ({"version": 9}, "inconclusive"),
        ({"projection": "another"}, "inconclusive"),
        ({}, "pass"),
    ],
)
def test_a_commitment_to_another_state_is_found(changes, status):
    engine = Engine(3).run((10, 20))
    append_state(engine, **changes)
    step, report = verified(engine)
    assert step.status == status
    assert sum(finding.step == 10 for finding in report.findings) == (status == "fail")
    engine.followers.catch_up()
    outcomes = [each.outcome for each in replay_log(engine.store, engine.ledger.reader, DETECTIONS).compared]
    assert outcomes.count("different") == (status == "fail" and changes != {"as_of": 10**6})


def test_after_an_erasure_a_difference_is_unknown_and_not_wrong():
    engine = Engine(4).run((30, 10))
    kinds = [engine.ledger.reader.event(seq).claim.type for seq in range(30)]
    engine.ledger.erase(kinds.index("detection.sandwich"), "the operator", "asked to")
    replayed = replay_log(engine.store, engine.ledger.reader, DETECTIONS)
    assert [each.outcome for each in replayed.compared] == ["unknown", "unknown"]
    assert replayed.erased == 1
    assert verified(engine)[0].status == "inconclusive"
    assert all(
        "1 payloads are erased" in text for text in check_views(engine.store, engine.ledger.reader, [DETECTIONS])
    )


def test_every_flipped_byte_of_the_views_is_named():
    engine = Engine(5).run((12, 5))
    reader = engine.ledger.reader
    assert check_views(engine.store, reader, [DETECTIONS]) == []
    named = 0
    for key, value in engine.store.scan("views"):
        for place in range(len(key) + len(value)):
            changed = engine.store.kill()
            batch = changed.batch()
            data = bytearray(key + value)
            data[place] ^= 1 << place % 8
            batch.delete("views", key)
            batch.put("views", bytes(data[: len(key)]), bytes(data[len(key) :]))
            changed.write(batch, durable=False)
            assert check_views(changed, reader, [DETECTIONS]), (key, place)
            named += 1
    assert named > 1000


def test_a_cursor_without_rows_and_rows_without_a_cursor_are_named(engine):
    for lost in (state_prefix(DETECTIONS), cursor_key(DETECTIONS.name)):
        changed = engine.store.kill()
        batch = changed.batch()
        for key, _ in changed.scan("views"):
            if key.startswith(lost):
                batch.delete("views", key)
        changed.write(batch, durable=False)
        assert check_views(changed, engine.ledger.reader, [DETECTIONS])


def test_random_other_events_change_no_state():
    engine = Engine(6).run((20,))
    before = engine.follower.commitment()[0].root
    Events(6).append(engine.ledger, engine.clock, 100)
    engine.followers.catch_up()
    assert engine.follower.commitment()[0].root == before


# --- rows, in step 10 ----------------------------------------------------------------------------------------------


def verified_with_rows(engine: Engine, store: MemoryStore):
    """Step 10 and the report, with the rows of projections compared."""
    source = StoreSource(store, engine.ledger.reader.head())
    check = state_check(source, [DETECTIONS], store)
    report = verify(source, engine.ledger.vkey, note_types=NOTE_TYPES, checks=(check,))
    return next(step for step in report.steps if step.step == 10), report


def test_verify_says_how_far_rows_of_projections_were_compared(engine):
    """Rows that are what the log gives pass, with their position in the line of step 10."""
    step, report = verified_with_rows(engine, engine.store)
    assert (step.status, report.unverified, report.findings) == ("pass", [], [])
    assert "rows of detections to seq" in step.text


@pytest.mark.parametrize("lie", ["changed", "removed", "added", "snapshot", "cursor", "cursor gone", "nobody's"])
def test_verify_names_a_row_of_a_projection_that_the_log_does_not_give(lie, engine):
    """Step 10 fails for a changed, removed or added row, snapshot or cursor."""
    store, prefix = engine.store.kill(), state_prefix(DETECTIONS)
    key, value = next(store.scan("views", prefix))
    snapshot, _ = next(store.scan("views", snapshot_prefix(DETECTIONS)))
    cursor = cursor_key(DETECTIONS.name)
    changes = {
        "changed": (key, value[:-1] + bytes([value[-1] ^ 1])),
        "removed": (key, None),
        "added": (prefix + b"another", value),
        "snapshot": (snapshot, b"\x92\x01\x90"),
        "cursor": (cursor, codec.encode((DETECTIONS.version, 1, bytes(32)))),
        "cursor gone": (cursor, None),
        "nobody's": (b"whose", b""),
    }
    name, new = changes[lie]
    batch = store.batch()
    if new is None:
        batch.delete("views", name)
    else:
        batch.put("views", name, new)
    store.write(batch, durable=False)
    step, report = verified_with_rows(engine, store)
    assert step.status == "fail"
    shown = key if lie == "cursor gone" else name
    assert repr(shown) in " ".join(finding.text for finding in report.findings if finding.step == 10)


def test_verify_leaves_out_rows_past_the_log_that_was_verified(engine):
    """A follower that went on while the log was verified is no failure, and is said."""
    store = engine.store.kill()
    batch = store.batch()
    batch.put("views", cursor_key(DETECTIONS.name), codec.encode((DETECTIONS.version, 10**6, bytes(32))))
    store.write(batch, durable=False)
    step, report = verified_with_rows(engine, store)
    assert step.status == "pass"
    assert [sentence for sentence in report.unverified if "past the log" in sentence]


def test_verify_does_not_tell_damage_from_erasure_and_says_so():
    """Rows that differ after an erasure are inconclusive, and named."""
    engine = Engine(8).run((30, 10))
    kinds = [engine.ledger.reader.event(seq).claim.type for seq in range(30)]
    engine.ledger.erase(kinds.index("detection.sandwich"), "the operator", "asked to")
    step, report = verified_with_rows(engine, engine.store)
    assert step.status == "inconclusive"
    assert [sentence for sentence in report.unverified if "1 payloads are erased" in sentence]

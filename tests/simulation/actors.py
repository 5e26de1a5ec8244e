"""Who acts in the simulation: each a function from the world to a word of what it did, all chance from the world's seed.

An actor of a later part (a network, a chain, producers over HTTP) is one more function in `ACTORS`.
"""

from collections.abc import Callable
from typing import Literal

import msgspec

from decision_dna.ledger import hashing
from decision_dna.ledger.merkle import check_consistency, check_inclusion, leaf_hash
from decision_dna.ledger.notes import note_of
from decision_dna.ledger.plan import AuthorDraft, Draft
from decision_dna.ledger.signatures import SigningKey
from decision_dna.schemas import codec
from decision_dna.schemas.claims import VERSION, Claim
from decision_dna.schemas.errors import ClockWrong, Conflict, Refused
from decision_dna.schemas.ledgering import (
    CLOCK,
    ERASURE,
    HEARTBEAT,
    KEY,
    NO_BEACON,
    POLICY,
    Beacon,
    ClockStep,
    KeyChange,
    NamedCheckpoint,
    PolicyChange,
)
from decision_dna.schemas.payloads import is_open
from tests.ledger.samples import ORIGIN, SECOND
from tests.simulation import world as worlds
from tests.simulation.model import NOBODY, SYSTEM, Author, Item, Model, Request, Witness
from tests.simulation.world import World

SOURCES = (*["raw", "raw-2"] * 5, SYSTEM, "bot")
TYPES = (*["x.seen"] * 40, "observation.skip", "control.stop", "y.seen")
ROLES = ((), (), ("clock",), ("clock", "erasure"), ("clock", "erasure"), ("erasure",), ("watch",))
AUTHORS_MAX = 6
DAY = 86_400 * SECOND

# --- what producers say --------------------------------------------------------------------------------------------


def fresh(world: World, sources: tuple[str, ...] = SOURCES, types: tuple[str, ...] = TYPES) -> Draft:
    """Something new, perhaps with causes, perhaps with a place that it wants, perhaps what nobody or somebody else may say."""
    chance, known = world.chance, sorted({event_id for event_id, _ in world.model.seqs})
    source, type_name = chance.choice(sources), chance.choice(types)
    causes = chance.sample(known, min(len(known), chance.choice((0, 0, 1, 2))))
    if chance.random() < 0.05:
        causes.append(world.new_id())
    position = world.model.streams.get(f"{type_name.partition('.')[0]}/{source}", 0) + chance.choice((-1, 0, 0, 0, 1))
    return Draft(
        type=type_name,
        schema=1,
        source=source,
        payload=codec.encode(
            {"reason": "", "slot": 1} if type_name.startswith("obs") else {"n": chance.randrange(1000)}
        ),
        id=world.new_id(),
        subject=chance.choice(("", "pool-1", "größe")),
        occurred_at=chance.choice((None, world.clock.now_ns())),
        causes=tuple(causes),
        expected_stream_seq=position if position >= 0 and chance.random() < 0.2 else None,
    )


def again(world: World) -> Item | None:
    """What was said before; a claim of the ledger's making perhaps with another content. None where nothing was said."""
    items = [place.item for place in world.model.places if place.item is not None]
    if not items:
        return None
    item = world.chance.choice(items)
    if isinstance(item, Draft) and world.chance.random() < 0.3:
        return msgspec.structs.replace(item, payload=codec.encode({"n": -1}))
    return item


def request(world: World) -> Request:
    """Some of both, perhaps one of them twice, perhaps atomic."""
    chance = world.chance
    items: list[Item] = []
    for _ in range(chance.choice((1, 1, 2, 3, 8))):
        items.append((again(world) if chance.random() < 0.25 else None) or fresh(world))
    if chance.random() < 0.1:
        items.append(chance.choice(items))
    return Request(items, chance.random() < 0.3)


def produces(world: World) -> str:
    """One request, or several that become one batch, or two."""
    return world.append([request(world) for _ in range(world.chance.choice((1, 1, 3)))])


def observes(world: World) -> str:
    """The system says something, now and then for a source that is not its own."""
    sources, types = (*[SYSTEM] * 9, "raw"), ("observation.skip", "observation.skip", "x.seen")
    items: list[Item] = [fresh(world, sources, types) for _ in range(world.chance.choice((1, 2, 5)))]
    return world.append_system(Request(items, world.chance.random() < 0.3, system=True))


def speaks(world: World) -> str:
    """An author says the next thing, or skips one, or is forged, or speaks with a key that may not."""
    chance, items = world.chance, list[Item]()
    keys = [key for key in world.speakers if chance.random() < 0.8]
    if not keys:
        return " nothing"
    key = chance.choice(keys)
    author = world.model.authors.get(key.key_id, NOBODY)
    number, prev = author.next, world.prev_of(author)
    for _ in range(chance.choice((1, 2, 3))):
        number += chance.random() < 0.1
        payload, salt = codec.encode({"n": number}), chance.randbytes(16)
        commitment = hashing.payload_commitment(salt + payload)
        source = chance.choice((*(author.sources or ("bot",)) * 8, "raw-2", SYSTEM))
        fields = (VERSION, ORIGIN, world.new_id(), "x.said", 1, source, "", world.clock.now_ns(), (), "")
        claim = codec.encode(Claim(*fields, number, prev if number > 1 else hashing.ZEROS, commitment))
        signature = bytes(64) if chance.random() < 0.1 else key.sign(hashing.author_message(claim))
        items.append(AuthorDraft(claim, salt, payload, key.key_id, signature))
        number, prev = number + 1, hashing.claim_hash(claim)
    return world.append([Request(items, chance.random() < 0.3)])


# --- what the ledger's own people do --------------------------------------------------------------------------------


def beats(world: World) -> str:
    """A heartbeat, perhaps with a block in it, which vouches for the clock if it is finalized, and not two minutes off."""
    chance = world.chance
    kind: Literal["none", "finalized", "recorded"] = chance.choice(("none", *["finalized"] * 3, "recorded"))
    if kind == "none":
        return world.append_own(lambda: world.ledger.heartbeat(NO_BEACON), HEARTBEAT)
    off = chance.choice((0, 0, 0, -120, 120, -121, 121))
    block = Beacon(block_time=world.clock.wall // SECOND + off, blockhash="1" * 32, kind=kind, slot=1)
    near = abs(block.block_time * SECOND - world.clock.wall) <= 120 * SECOND
    witness: Witness = "block" if kind == "finalized" and near else "nobody"
    return f" {kind}" + world.append_own(lambda: world.ledger.heartbeat(block), HEARTBEAT, witness=witness)


def someone(world: World, role: str) -> tuple[SigningKey, Witness | None]:
    """Root, or a speaker; and as what it may sign in root's place, if it may."""
    known = world.model.authors
    able = [key for key in world.speakers if role in known.get(key.key_id, NOBODY).roles]
    key = world.chance.choice((*[world.root] * 3, *world.speakers[-2:], *able[-3:]))
    if key is world.root:
        return key, "root"
    author = known.get(key.key_id, NOBODY)
    return key, "operator" if author.live and role in author.roles else None


def erases(world: World) -> str:
    """Any entry: what is open, or gone already, is refused; and whoever may not."""
    seq = world.chance.randrange(world.model.size)
    key, signer = someone(world, "erasure")

    def erase():  # type: ignore[no-untyped-def]
        return world.ledger.erase(seq, "eraser", "asked to", key)

    if is_open(world.model.places[seq].type):
        return world.refused(erase, Refused)
    if seq in world.model.erased:
        return world.refused(erase, Conflict)
    if signer is None:
        return f" not by this one:{world.refused(erase, Refused)}"
    return f" by {signer}" + world.append_own(erase, ERASURE, lambda model: model.erased.add(seq), signer=key)


def signs(
    world: World,
    change: KeyChange | PolicyChange,
    then: Callable[[Model], object] | None,
    signer: SigningKey | None = None,
) -> str:
    """A change by the root key, now and then of another history, or too late. None for `then`: it is refused in any case."""
    type_name, key = POLICY if isinstance(change, PolicyChange) else KEY, signer or world.root
    named, word = world.chance.choice(NAMED)(world, change)
    draft = world.ledger.sign_own(key, type_name, named)

    def append():  # type: ignore[no-untyped-def]
        return world.ledger.append_signed(draft)

    if then is None or key is not world.root or word in REFUSED:
        return f" {word}:{world.refused(append, Refused)}"
    return f" {word}" + world.append_own(append, type_name, then, signer=key)


Named = tuple[KeyChange | PolicyChange, str]
REFUSED = {"another history", "past its own place", "too late"}


def _as_it_is(_: World, change: KeyChange | PolicyChange) -> Named:
    return change, "named as it is"


def _earlier(world: World, change: KeyChange | PolicyChange) -> Named:
    size = world.chance.choice(sorted(world.heads))
    checkpoint = NamedCheckpoint(root=note_of(world.heads[size].encode()).root, size=size)
    return msgspec.structs.replace(change, checkpoint=checkpoint), "named as it was"


def _another(world: World, change: KeyChange | PolicyChange) -> Named:
    checkpoint = NamedCheckpoint(root=world.chance.randbytes(32), size=world.chance.randint(1, world.model.size))
    return msgspec.structs.replace(change, checkpoint=checkpoint), "another history"


def _past(world: World, change: KeyChange | PolicyChange) -> Named:
    checkpoint = msgspec.structs.replace(change.checkpoint, size=world.model.size + 1)
    return msgspec.structs.replace(change, checkpoint=checkpoint), "past its own place"


def _just_in_time(world: World, change: KeyChange | PolicyChange) -> Named:
    not_after = max(world.clock.wall, world.model.last)
    return msgspec.structs.replace(change, not_after=not_after), "just in time"


def _late(world: World, change: KeyChange | PolicyChange) -> Named:
    return msgspec.structs.replace(change, not_after=world.clock.wall - 1), "too late"


NAMED = (*[_as_it_is] * 4, *[_earlier] * 2, _just_in_time, _another, _past, _late)


def registers(world: World) -> str:
    """A new author, perhaps an operator; or one that was there before, which is refused."""
    chance, known = world.chance, [key for key in world.speakers if key.key_id in world.model.authors]
    if len(known) >= AUTHORS_MAX:
        change = world.ledger.key_change("register", "author", chance.choice(known).public, sources=("bot",))
        return signs(world, change, None)
    key, roles = world.new_key("author"), chance.choice(ROLES)
    sources = chance.choice((("bot",), ("bot", "raw-2"), *[()] * bool(roles)))
    world.speakers.append(key)

    def register(model: Model) -> None:
        model.authors[key.key_id] = Author(True, sources, roles)

    operator = "ops" if roles else ""
    change = world.ledger.key_change("register", "author", key.public, sources=sources, operator=operator, roles=roles)
    return f" {roles}" + signs(world, change, register)


def living(world: World) -> SigningKey | None:
    """A live author's key."""
    live = [key for key in world.speakers if world.model.authors.get(key.key_id, NOBODY).live]
    return world.chance.choice(live) if live else None


def revokes(world: World) -> str:
    """A live author's key."""
    key = living(world)
    if key is None:
        return " nobody"

    def revoke(model: Model) -> None:
        model.authors[key.key_id].live = False

    change = world.ledger.key_change("revoke", "author", key.public, replaces=key.key_id)
    return signs(world, change, revoke)


def rotates(world: World) -> str:
    """The log's key, with some overlap, the notary's, or the anchor's. Refused while an earlier overlap runs, for a key that was
    there before, and where the private half is not."""
    chance, model = world.chance, world.model
    purpose: Literal["log", "notary", "anchor"] = chance.choice(("log", "notary", "anchor"))
    key, here, used = world.new_key(purpose), chance.random() < 0.8, chance.random() < 0.1
    if here:
        world.keys.add(purpose, key)
    overlap = chance.choice((0, 0, 3)) if purpose == "log" else 0
    public = chance.choice((world.root.public, *model.live.values())) if used else key.public
    replaces = hashing.key_id(model.live[purpose])
    change = world.ledger.key_change("rotate", purpose, public, replaces=replaces, overlap=overlap)

    def rotate(model: Model) -> None:
        model.live[purpose] = public
        if purpose == "log":
            model.overlaps_until = model.size - 1 + overlap

    overlapping = purpose == "log" and model.size <= model.overlaps_until
    if used or overlapping or (not here and purpose != "anchor"):
        return signs(world, change, None)
    return f" {purpose}" + signs(world, change, rotate)


def renews(world: World) -> str:
    """A new key in the place of an author's, by root: it takes over sources and roles, and no others. The author itself is refused."""
    key, new = living(world), world.new_key("author")
    if key is None:
        return " nobody"
    author = world.model.authors[key.key_id]
    roles = world.chance.choice((author.roles, author.roles, ("clock", "erasure", "watch")))
    change = world.ledger.key_change(
        "rotate",
        "author",
        new.public,
        replaces=key.key_id,
        sources=author.sources,
        operator="ops" if roles else "",
        roles=roles,
    )

    def renew(model: Model) -> None:
        model.authors[key.key_id].live = False
        model.authors[new.key_id] = Author(True, author.sources, author.roles)

    if world.chance.random() < 0.3:
        return " itself" + signs(world, change, renew, key)
    if roles != author.roles:
        return " other roles" + signs(world, change, None)
    world.speakers.append(new)
    return signs(world, change, renew)


def decides(world: World) -> str:
    """A policy: for other sources, for other maxima. One that lets longer gaps pass without a witness than with one is refused."""
    chance = world.chance
    policy = msgspec.structs.replace(
        worlds.POLICY,
        default_attestation=chance.choice(("notary", "none")),
        heartbeat_events_max=chance.choice((1, 4, 16, 16, 1000)),
        heartbeat_seconds_max=chance.choice((60, 60, 3600)),
        pause_seconds_max=chance.choice((3600, 3600, 7 * 86_400, 7 * 86_400, 30 * 86_400)),
        jump_seconds_max=chance.choice((8 * 86_400, 400 * 86_400)),
    )

    def decide(model: Model) -> None:
        model.policy = policy

    good = policy.pause_seconds_max <= policy.jump_seconds_max
    return signs(world, world.ledger.policy_change(policy), decide if good else None)


# --- time, followers, readers --------------------------------------------------------------------------------------


def sets(world: World, step: int) -> None:
    """Somebody sets the wall clock."""
    world.clock.wall += step
    world.model.step += step


def ticks(world: World) -> str:
    """Time goes on, and the wall clock is set a little, or an hour."""
    world.clock.advance(world.chance.choice((0, SECOND // 1000, SECOND, 60 * SECOND)))
    small = (SECOND // 4, -SECOND // 4, SECOND, SECOND + 1, -SECOND, 5 * SECOND, -5 * SECOND)
    step = world.chance.choice((0, 0, *small, 3600 * SECOND, -3600 * SECOND))
    sets(world, step)
    return f" {step / SECOND:+} s"


def leaps(world: World) -> str:
    """The log has been idle up to one of its maxima, or a nanosecond longer; or the clock was set so far."""
    chance, model = world.chance, world.model
    beat, policy = model.places[model.beat].recorded_at, model.policy
    pause, jump = policy.pause_seconds_max * SECOND, policy.jump_seconds_max * SECOND
    pauses, silence = [model.last + pause] * 3, beat + policy.heartbeat_seconds_max * SECOND
    target = chance.choice((*pauses, model.last + jump, silence))
    forward = target + chance.choice((0, 1, 1)) - world.clock.wall
    if forward > 0 and chance.random() < 0.5:
        world.clock.advance(forward)
        return f" {forward / SECOND:+} s, idle"
    sets(world, forward)
    return f" {forward / SECOND:+} s, set"


def returns(world: World) -> str:
    """A clock that is far off is set by the log: to its last entry, or as little before it as is let pass, or a nanosecond less; one
    that is behind may also just go on until it has passed."""
    chance, target = world.chance, world.model.last
    behind = target - world.clock.wall
    if behind > 0 and chance.random() < 0.5:
        world.clock.advance(behind)
        return f" waited {behind / SECOND} s"
    step = target - chance.choice((0, 0, SECOND, SECOND + 1)) - world.clock.wall
    sets(world, step)
    return f" {step / SECOND:+} s"


def vouches(world: World) -> str:
    """Root or an operator vouches for the clock as it is; somebody else, or for another time, is refused."""
    chance, clock, last = world.chance, world.clock, world.model.last
    key, witness = someone(world, "clock")

    def vouched(model: Model) -> None:
        model.step = model.step_at_beat = 0

    def accept():  # type: ignore[no-untyped-def]
        return world.ledger.accept_clock(key, "as it is")

    if witness is None:
        return f" not by this one:{world.refused(accept, Refused)}"
    if chance.random() < 0.7 or clock.wall < last:
        return world.append_own(accept, CLOCK, vouched, signer=key, witness=witness)
    pause = world.model.policy.pause_seconds_max * SECOND
    from_off, to_off = chance.choice(
        ((0, -pause), (0, 60 * SECOND), (1, 0), (-1, 0), (0, -pause - 1), (0, 60 * SECOND + 1))
    )
    step = ClockStep(from_ns=last + from_off, reason="so it is", to_ns=max(clock.wall + to_off, last + from_off))
    draft = world.ledger.sign_own(key, CLOCK, step)

    def append():  # type: ignore[no-untyped-def]
        return world.ledger.append_signed(draft)

    near = step.to_ns - 60 * SECOND <= clock.wall <= step.to_ns + pause
    if from_off or not near:
        wrong = ClockWrong if from_off or world.model.waits(clock.wall, witness) else Refused
        return f" for another time:{world.refused(append, wrong)}"
    return " for about this time" + world.append_own(append, CLOCK, vouched, signer=key, witness=witness)


def follows(world: World) -> str:
    """The followers catch up."""
    return world.follow()


def proves(world: World) -> str:
    """An entry in a head that was given out, and two such heads in one log."""
    sizes = sorted(world.heads)
    first, second = sorted(world.chance.choices(sizes, k=2))
    roots = [note_of(world.heads[size].encode()).root for size in (first, second)]
    reader = world.ledger.reader
    check_consistency(first, second, roots[0], roots[1], reader.prove_consistency(first, second))
    seq = world.chance.randrange(second)
    check_inclusion(seq, second, leaf_hash(reader.raw(seq)), reader.prove_inclusion(seq, second), roots[1])
    return f" {seq} in {second}, after {first}"


def dies(world: World) -> str:
    """Between two acts."""
    world.reopen()
    return ""


Actor = Callable[[World], str]

ACTORS: dict[Actor, int] = {
    produces: 12,
    observes: 2,
    speaks: 5,
    beats: 4,
    erases: 3,
    registers: 4,
    revokes: 1,
    renews: 1,
    rotates: 2,
    decides: 2,
    ticks: 3,
    leaps: 3,
    returns: 3,
    vouches: 4,
    follows: 2,
    proves: 1,
    dies: 1,
}
"""With how often each has its turn."""
CLOCK_ACTORS = {beats, registers, leaps, returns, vouches}
CLOCK_BUSY = 4
"""In every third world those who have to do with the clock have their turn so much more often."""


def simulate(seed: int, steps: int) -> World:
    """A world after so many steps. What fails says the seed and the steps."""
    world = World(seed)
    try:
        world.check()
        weights = [
            often * (CLOCK_BUSY if seed % 3 == 0 and actor in CLOCK_ACTORS else 1) for actor, often in ACTORS.items()
        ]
        for actor in world.chance.choices(list(ACTORS), weights, k=steps):
            world.step(actor)
        world.steps.append("the end: followers")
        world.follow()
    except BaseException as error:
        error.add_note(
            f"python -m tests.simulation --start {seed} --seeds 1 --steps {steps}\n" + "\n".join(world.steps[-12:])
        )
        raise
    return world

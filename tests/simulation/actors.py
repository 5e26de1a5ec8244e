"""Who acts in the simulation: each a function from the world to a word of what it did, all chance from the world's seed.

An actor of a later part (a network, a chain, producers over HTTP) is one more function in `ACTORS`.
"""

from collections.abc import Callable

import msgspec

from decision_dna.ledger import hashing
from decision_dna.ledger.merkle import check_consistency, check_inclusion, leaf_hash
from decision_dna.ledger.notes import note_of
from decision_dna.ledger.plan import NO_SALT, AuthorDraft, Draft
from decision_dna.schemas import codec
from decision_dna.schemas.claims import VERSION, Claim
from decision_dna.schemas.errors import Conflict, Refused
from decision_dna.schemas.ledgering import KEY, POLICY, KeyChange, PolicyChange
from tests.ledger import samples
from tests.ledger.samples import ORIGIN, SECOND
from tests.simulation.model import Author, Item, Model
from tests.simulation.world import World

SOURCES = ("engine", "raw", "raw", "raw-2", "bot")
AUTHORS_MAX = 4

# --- what producers say --------------------------------------------------------------------------------------------


def fresh(world: World) -> Draft:
    """Something new, perhaps with causes, perhaps with a place that it wants."""
    chance, known = world.chance, sorted({event_id for event_id, _ in world.model.places})
    source = chance.choice(SOURCES)
    causes = chance.sample(known, min(len(known), chance.choice((0, 0, 1, 2))))
    if chance.random() < 0.05:
        causes.append(world.new_id())
    position = world.model.streams.get(f"x/{source}", 0) + chance.choice((-1, 0, 0, 0, 1))
    return Draft(
        type="x.seen",
        schema=1,
        source=source,
        payload=codec.encode({"n": chance.randrange(1000)}),
        id=world.new_id(),
        subject=chance.choice(("", "pool-1", "größe")),
        occurred_at=chance.choice((None, world.clock.now_ns())),
        causes=tuple(causes),
        expected_stream_seq=position if position >= 0 and chance.random() < 0.2 else None,
    )


def again(world: World) -> Item | None:
    """What was said before; a claim of the ledger's making perhaps with another content. None where nothing was said."""
    items = [item for item in world.model.said if item is not None]
    if not items:
        return None
    item = world.chance.choice(items)
    if isinstance(item, Draft) and world.chance.random() < 0.3:
        return msgspec.structs.replace(item, payload=codec.encode({"n": -1}))
    return item


def request(world: World) -> tuple[list[Item], bool]:
    """Some of both, perhaps one of them twice, perhaps atomic."""
    chance = world.chance
    items: list[Item] = []
    for _ in range(chance.choice((1, 1, 2, 3, 8))):
        items.append((again(world) if chance.random() < 0.25 else None) or fresh(world))
    if chance.random() < 0.1:
        items.append(chance.choice(items))
    return items, chance.random() < 0.3


def produces(world: World) -> str:
    """One request, or several that become one batch."""
    return world.append([request(world) for _ in range(world.chance.choice((1, 1, 3)))])


def speaks(world: World) -> str:
    """An author says the next thing, or skips one, or is forged, or speaks with a key that may not."""
    chance, items = world.chance, list[Item]()
    keys = [key for key in world.speakers if chance.random() < 0.8]
    if not keys:
        return " nothing"
    key = chance.choice(keys)
    key_id = hashing.key_id(key.public)
    author = world.model.authors.get(key_id, Author(False, 1, hashing.ZEROS))
    number, prev = author.next, author.prev
    for _ in range(chance.choice((1, 2, 3))):
        number += chance.random() < 0.1
        payload, salt = codec.encode({"n": number}), chance.randbytes(16)
        commitment = hashing.payload_commitment(salt + payload)
        fields = (VERSION, ORIGIN, world.new_id(), "x.said", 1, "bot", "", world.clock.now_ns(), (), "")
        claim = codec.encode(Claim(*fields, number, prev if number > 1 else hashing.ZEROS, commitment))
        signature = bytes(64) if chance.random() < 0.1 else key.sign(hashing.author_message(claim))
        items.append(AuthorDraft(claim, salt, payload, key_id, signature))
        number, prev = number + 1, hashing.claim_hash(claim)
    return world.append([(items, chance.random() < 0.3)])


# --- what the ledger's own people do --------------------------------------------------------------------------------


def beats(world: World) -> str:
    """A heartbeat."""
    return world.append_own(world.ledger.heartbeat)


def erases(world: World) -> str:
    """Any entry: what is open, or gone already, is refused."""
    seq = world.chance.randrange(len(world.model.said))

    def erase():  # type: ignore[no-untyped-def]
        return world.ledger.erase(seq, "eraser", "asked to")

    if world.model.said[seq] is None:
        return world.refused(erase, Refused)
    if seq in world.model.erased:
        return world.refused(erase, Conflict)
    return world.append_own(erase, lambda model: model.erased.add(seq))


def signs(world: World, change: KeyChange | PolicyChange, then: Callable[[Model], object]) -> str:
    """An entry by the root key."""
    type_name = POLICY if isinstance(change, PolicyChange) else KEY
    draft = world.ledger.sign_own(world.root, type_name, change)
    return world.append_own(lambda: world.ledger.append_signed(draft), then)


def registers(world: World) -> str:
    """A new author; or one that was there before, which is refused."""
    known = [key for key in world.speakers if hashing.key_id(key.public) in world.model.authors]
    if len(known) >= AUTHORS_MAX:
        draft = world.ledger.sign_own(world.root, KEY, key_change("register", "author", known[0].public))
        return world.refused(lambda: world.ledger.append_signed(draft), Refused)
    key = world.new_key("author")
    world.speakers.append(key)

    def register(model: Model) -> None:
        model.authors[hashing.key_id(key.public)] = Author(True, 1, hashing.ZEROS)

    return signs(world, key_change("register", "author", key.public), register)


def revokes(world: World) -> str:
    """A live author's key."""
    live = [key for key in world.speakers if world.model.authors.get(hashing.key_id(key.public), _NOBODY).live]
    if not live:
        return " nobody"
    key = world.chance.choice(live)
    key_id = hashing.key_id(key.public)

    def revoke(model: Model) -> None:
        model.authors[key_id].live = False

    return signs(world, key_change("revoke", "author", key.public, key_id), revoke)


def rotates(world: World) -> str:
    """The log's key, with some overlap, or the notary's; refused while an earlier overlap runs."""
    purpose, authority = world.chance.choice(("log", "notary")), world.ledger.writer.authority
    live = authority.log[-1].key if purpose == "log" else authority.notary
    key = world.new_key(purpose)
    world.keys.add(purpose, key)
    overlap = world.chance.choice((0, 0, 3)) if purpose == "log" else 0
    change = key_change("rotate", purpose, key.public, hashing.key_id(live), overlap)
    if purpose == "log" and any(
        known.last is not None and known.last > len(world.model.said) for known in authority.log
    ):
        draft = world.ledger.sign_own(world.root, KEY, change)
        return world.refused(lambda: world.ledger.append_signed(draft), Refused)
    return signs(world, change, lambda _: None)


def renews(world: World) -> str:
    """An author puts a new key in the place of its own, and goes on with its numbers; where it does not, it is refused."""
    chance = world.chance
    live = [key for key in world.speakers if world.model.authors.get(hashing.key_id(key.public), _NOBODY).live]
    if not live:
        return " nobody"
    key, new = chance.choice(live), world.new_key("author")
    key_id = hashing.key_id(key.public)
    author = world.model.authors[key_id]
    number = chance.choice((author.next, author.next, 0))
    payload = codec.encode(
        msgspec.structs.replace(key_change("rotate", "author", new.public, key_id), sources=("bot",))
    )
    prev = author.prev if number > 1 else hashing.ZEROS
    fields = (VERSION, ORIGIN, world.new_id(), KEY, 1, "ledger", "", world.clock.now_ns(), (), "")
    claim = codec.encode(Claim(*fields, number, prev, hashing.payload_commitment(NO_SALT + payload)))
    draft = AuthorDraft(claim, NO_SALT, payload, key_id, key.sign(hashing.author_message(claim)))
    if number != author.next and author.next > 1:
        return world.refused(lambda: world.ledger.append_signed(draft), Refused)

    def renew(model: Model) -> None:
        model.authors[key_id].live = False
        model.authors[hashing.key_id(new.public)] = Author(True, 1, hashing.ZEROS)

    world.speakers.append(new)
    return world.append_own(lambda: world.ledger.append_signed(draft), renew)


def decides(world: World) -> str:
    """A policy by which all other sources are notarised, or none."""
    default = world.chance.choice(("notary", "none"))
    policy = msgspec.structs.replace(samples.POLICY, default_attestation=default)
    return signs(world, PolicyChange(policy=policy), lambda _: None)


def key_change(action: str, purpose: str, key: bytes, replaces: bytes = b"", overlap: int = 0) -> KeyChange:
    """Of an author for the source `bot`; of another purpose for none."""
    sources = ("bot",) if action == "register" else ()
    return KeyChange(
        action=action,  # type: ignore[arg-type]
        key=key,
        overlap=overlap,
        purpose=purpose,  # type: ignore[arg-type]
        replaces=replaces,
        sources=sources,
        suspect_from=None,
    )


_NOBODY = Author(False, 1, hashing.ZEROS)

# --- time, followers, readers --------------------------------------------------------------------------------------


def ticks(world: World) -> str:
    """Time goes on, and the wall clock is set a little, or a lot."""
    world.clock.advance(world.chance.choice((0, SECOND // 1000, SECOND, 60 * SECOND)))
    step = world.chance.choice(
        (0, 0, SECOND // 4, -SECOND // 4, 5 * SECOND, -5 * SECOND, 3600 * SECOND, -3600 * SECOND)
    )
    world.clock.wall += step
    world.model.clock_step += step
    return f" {step / SECOND:+} s"


def vouches(world: World) -> str:
    """The root key vouches for the clock as it is."""

    def vouched(model: Model) -> None:
        model.clock_step = 0

    return world.append_own(lambda: world.ledger.accept_clock(world.root, "as it is"), vouched, vouching=True)


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
    speaks: 5,
    beats: 2,
    erases: 2,
    registers: 1,
    revokes: 1,
    renews: 1,
    rotates: 1,
    decides: 1,
    ticks: 3,
    vouches: 2,
    follows: 2,
    proves: 1,
    dies: 1,
}
"""With how often each has its turn."""


def simulate(seed: int, steps: int) -> World:
    """A world after so many steps. What fails says the seed and the steps."""
    world = World(seed)
    try:
        world.check()
        for actor in world.chance.choices(list(ACTORS), list(ACTORS.values()), k=steps):
            world.step(actor)
        world.steps.append("the end: followers")
        world.follow()
    except BaseException as error:
        error.add_note(
            f"python -m tests.simulation --start {seed} --seeds 1 --steps {steps}\n" + "\n".join(world.steps[-12:])
        )
        raise
    return world

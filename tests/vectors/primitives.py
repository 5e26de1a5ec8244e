"""The smallest vectors: hashes, names, claims and entries alone, notes, proofs, paths. One JSON object, a list for each kind."""

from typing import Any

from blake3 import blake3

from decision_dna.ledger import hashing, merkle
from decision_dna.ledger.cosignatures import Cosigner
from decision_dna.ledger.fingerprint import fingerprint
from decision_dna.ledger.tilepath import TilePath
from decision_dna.ledger.tlogproof import format_proof
from decision_dna.schemas import codec
from tests.vectors.honest import extremes, little, plain, rotations
from tests.vectors.log import KEYS, key_id, public, text, vkey

WORDS = ("claim", "entry", "payload", "state", "notary", "draw")
SIZES = (1, 2, 3, 7, 8, 12)
PLACES = (
    (0, 0, 256),
    (0, 0, 1),
    (0, 999, 255),
    (1, 1000, 256),
    (0, 1_234_067, 256),
    (2, 12_345, 16),
    (None, 0, 256),
    (None, 1_000_000, 3),
)


def hashes() -> list[dict[str, Any]]:
    """BLAKE3 in derive_key mode, around the edges of blocks and chunks."""
    inputs = [bytes(number % 251 for number in range(size)) for size in (0, 1, 64, 65, 1024, 1025, 3000)]
    contexts = [f"decision-dna v1 {word}" for word in WORDS]
    return [
        {"context": context, "input": data.hex(), "hash": blake3(data, derive_key_context=context).hexdigest()}
        for context in contexts
        for data in inputs
    ]


def names() -> list[dict[str, Any]]:
    """Keys under all their names."""
    return [{"key": public(name).hex(), "key_id": key_id(name).hex(), "vkey": str(vkey(name))} for name in sorted(KEYS)]


def vkeys() -> list[dict[str, Any]]:
    """vkeys in their one form, and in others."""
    good = str(vkey("log"))
    name, short, encoded = good.split("+", 2)
    others = [
        f"{name}+{short.upper()}+{encoded}" if short.upper() != short else f"{name}+{short}x+{encoded}",
        f"{name}+{'0' * 8}+{encoded}",
        f"other+{short}+{encoded}",
        f"{name}+{short}",
        f"+{short}+{encoded}",
        f"{name}+{short}+{encoded.rstrip('=')}x",
        f"{name}+{short}+{text(bytes([4]) + public('log'))}",
        f"{name}+{short}+{text(public('log'))}",
    ]
    return [{"text": good, "accepted": True}, *({"text": other, "accepted": False} for other in others)]


UNFIT: tuple[dict[str, Any], ...] = (
    {"version": 2},
    {"version": True},
    {"origin": "a+b"},
    {"id": bytes(16)},
    {"type": "X"},
    {"schema": 0},
    {"source": ""},
    {"source": "ledger"},
    {"subject": "\n"},
    {"subject": "ü" * 65},
    {"occurred_at": -1},
    {"causes": [bytes(16)] * 2},
    {"trace": "00"},
    {"author_seq": 2**63},
    {"author_prev": bytes(31) + b"\x01"},
    {"payload_commitment": b""},
)
"""What makes a claim no claim."""


def claims() -> list[dict[str, Any]]:
    """Claims by themselves, good ones and unfit ones."""
    good = sorted({row.entry["claim"] for make in (little, extremes, rotations) for row in make().rows})
    fields = little().rows[2].claim
    unfit = [codec.encode(list({**fields, **change}.values())) for change in UNFIT]
    spelled = codec.encode(list(fields.values()))
    unfit += [b"", spelled[:-1], spelled + b"\x00", b"\xdc\x00\x0d" + spelled[1:], b"\x9d\xcc" + spelled[1:]]
    return [
        {"claim": claim.hex(), "hash": hashing.claim_hash(claim).hex(), "accepted": accepted}
        for accepted, kind in ((True, good), (False, unfit))
        for claim in kind
    ]


def entries() -> list[dict[str, Any]]:
    """Entries by themselves, with their hashes and names."""
    honest = [(seq, raw) for make in (plain, extremes) for seq, raw in enumerate(make().raws())]
    return [
        {
            "entry": raw.hex(),
            "hash": hashing.entry_hash(raw).hex(),
            "leaf": merkle.leaf_hash(raw).hex(),
            "fingerprint": str(fingerprint(seq, raw)),
        }
        for seq, raw in honest
    ]


def _read(leaves: list[bytes]) -> merkle.NodeReader:
    return lambda nodes: [merkle.tree_root(leaves[index << height : (index + 1) << height]) for height, index in nodes]


def trees() -> list[dict[str, Any]]:
    """Roots, and proofs of inclusion and consistency, over the first leaves of one log."""
    leaves = [merkle.leaf_hash(raw) for raw in rotations().raws()]
    made = []
    for size in SIZES:
        read = _read(leaves)
        inclusion = {
            at: [value.hex() for value in merkle.prove_inclusion(at, size, read)] for at in (0, size // 2, size - 1)
        }
        older = {
            old: [value.hex() for value in merkle.prove_consistency(old, size, read)] for old in (1, (size + 1) // 2)
        }
        made.append(
            {
                "size": size,
                "leaves": [leaf.hex() for leaf in leaves[:size]],
                "root": merkle.tree_root(leaves[:size]).hex(),
                "inclusion": [{"index": at, "proof": proof} for at, proof in inclusion.items()],
                "consistency": [
                    {"size": old, "root": merkle.tree_root(leaves[:old]).hex(), "proof": proof}
                    for old, proof in older.items()
                ],
                "ranges": [
                    {
                        "start": start,
                        "end": end,
                        "proof": [value.hex() for value in merkle.prove_range(start, end, size, read)],
                    }
                    for start, end in {(0, size), (size // 2, size // 2 + 1), (size // 3, size)}
                    if start < end
                ],
            }
        )
    return made


def notes() -> list[dict[str, Any]]:
    """Heads and who signed them; a proof as text."""
    log = rotations()
    heads = [
        {"note": log.head_note(size).decode(), "signed_by": [str(vkey(name)) for name in names]}
        for size, names in ((1, ["log"]), (4, ["log", "log-2"]), (6, ["log", "log-2"]), (7, ["log-2"]), (12, ["log-3"]))
    ]
    leaves = [merkle.leaf_hash(raw) for raw in log.raws()]
    hashes_up = merkle.prove_inclusion(5, 12, _read(leaves))
    return [*heads, {"proof": format_proof(5, hashes_up, log.head_note(12)), "leaf": leaves[5].hex()}]


def cosignatures() -> list[dict[str, Any]]:
    """Heads with a witness's cosignature of type 04; time null where it does not verify."""
    head = little().head_note(10)
    witness = Cosigner("witness.example/w", 4, public("stranger"))

    def line(time: int, signed_time: int) -> str:
        message = f"cosignature/v1\ntime {signed_time}\n".encode() + head.partition(b"\n\n")[0] + b"\n"
        return f"— {witness.name} {text(witness.key_id + time.to_bytes(8) + KEYS['stranger'].sign(message))}\n"

    times = ((1_679_315_147, 1_679_315_147), (0, 0), (2**63 - 1, 2**63 - 1), (2**63, 2**63), (8, 7))
    rows = [(line(*pair), pair[0] if pair[0] == pair[1] < 2**63 else None) for pair in times]
    rows += [("", None), (line(7, 7) + line(9, 9), 9), (line(7, 7) + line(8, 7), None)]
    return [
        {"note": head.decode() + lines, "witness": str(witness), "time": time, "log": str(vkey("log"))}
        for lines, time in rows
    ]


def paths() -> list[dict[str, Any]]:
    """Where tiles lie."""
    return [
        {"level": level, "index": index, "width": width, "path": f"/{TilePath(level, index, width)}"}
        for level, index, width in PLACES
    ]


def primitives() -> dict[str, list[dict[str, Any]]]:
    """All of them."""
    return {
        "hashes": hashes(),
        "names": names(),
        "vkeys": vkeys(),
        "claims": claims(),
        "entries": entries(),
        "trees": trees(),
        "notes": notes(),
        "cosignatures": cosignatures(),
        "paths": paths(),
    }

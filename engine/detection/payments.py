"""What a transaction paid for its place in the block."""

from decision_dna.engine.blocks import Transaction

# The eight tip payment accounts of the Jito block engine. Source: Jito's documentation, "Tip accounts".
TIP_ACCOUNTS = frozenset(
    {
        "96gYZGLnJYVFmbjzopPSU6QiEV5fGqZNyN9nmNhvrZU5",
        "HFqU5x63VTqvQss8hp11i4wVV8bD44PvwucfZ2bU7gRe",
        "Cw8CFyM9FkoMi7K7Crf6HNQqf4uEMzpKw6QNghXLvLkY",
        "ADaUMid9yfUytqMBgopwjb2DTLSokTSzL1zt6iGPaS49",
        "DfXygSm4jCyNCybVYYK6DwvWqjKee8pbDmJGcLWNDXjh",
        "ADuUkR4vqLUMWXxW9gh6D6L8pMSawimctcNZ5pGwDcEt",
        "DttWaMuVvTiduZRnguLF7jNxTgiMBZ1hyAumKUiL2KRL",
        "3AVi9Tg9Uo68tJfuvoKvqKNWKkC5wPdSSdeBnizKZ6jT",
    }
)


def tips_of(tx: Transaction) -> int:
    """Lamports that its transfers brought to tip accounts."""
    return sum(
        move.amount for move in tx.moves if move.kind == "lamports" and tx.keys[move.destination] in TIP_ACCOUNTS
    )

"""Outside testimony: Solana memos and their verification."""

"""The words: claims, entries, payload types, proofs, views, errors and the one codec. Imports nothing of ours from above."""

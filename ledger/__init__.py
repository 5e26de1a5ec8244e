"""The log: chain, tree, checkpoints, append plan, store, writer, followers, queries, verification, evidence."""

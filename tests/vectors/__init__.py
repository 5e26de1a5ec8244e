"""Files that every verifier must judge alike, and what they are made with."""

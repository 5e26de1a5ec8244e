"""What holds `docs/second_verifier.py` and the project's own verifier together."""

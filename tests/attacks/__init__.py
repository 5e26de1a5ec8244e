"""Holes that a hostile review found: each test passes once its hole is closed."""

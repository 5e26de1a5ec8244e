"""Decision DNA: a tamper-evident ledger for automated decisions.

The rooms live in folders of their own at the top of the repository and are linked in here, so that
what is installed is one name (`decision_dna.ledger`, `decision_dna.engine`, …) and collides with nobody's.
See docs/decisions/0001-one-name-on-the-machine.md.
"""

__version__ = "0.1.0"

"""The two verifiers side by side: one question, two answers. Neither may answer with anything but a report."""

import importlib.util
import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor
from functools import partial
from io import BytesIO
from types import ModuleType
from typing import Any

import msgspec

from decision_dna.ledger.audit import Work, do_work, verify
from decision_dna.ledger.evidence import check_evidence
from decision_dna.ledger.exports import ExportSource
from decision_dna.ledger.notes import Vkey
from decision_dna.schemas.errors import LedgerError
from tests.data import ROOT

STEPS_SHARED = range(1, 8)
EVIDENCE_BEGINS = b'{"format":"decision-dna/evidence@v1"'


def _load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("second_verifier", ROOT / "docs" / "second_verifier.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["second_verifier"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


second: Any = _load()


class Answer(msgspec.Struct, frozen=True):
    """What one verifier says: accepted by steps 1–7 or not, the steps that failed, and whether the key is the log's."""

    accepted: bool
    steps: frozenset[int]
    pinned: bool
    text: str = ""


def is_evidence(data: bytes) -> bool:
    """Which of the two kinds of files it begins as."""
    return data.startswith(EVIDENCE_BEGINS)


class Pieces(Executor):
    """Cuts work into segments of a few entries, so that small logs have joints too."""

    def __init__(self, entries: int) -> None:
        self.entries = entries  # a power of two, as segments are

    def map(self, fn: Callable[..., Any], *iterables: Iterable[Any], **_: Any) -> Iterator[Any]:
        """Each piece in its order."""
        for work in iterables[0]:
            for start in range(work.start, work.end, self.entries):
                end = min(start + self.entries, work.end)
                inside = [size for size in work.sizes if start < size <= end]
                yield fn(Work(start, end, work.schedule, inside, work.note_types))


def ask_first(data: bytes, vkey: str | None, *, evidence: bool, pieces: int = 0) -> Answer:
    """The project's own verifier; with `pieces`, over segments of so many entries."""
    pinned_key = None if vkey is None else Vkey.parse(vkey)
    if evidence:
        assert pinned_key is not None
        found = check_evidence(data, pinned_key)
        steps = frozenset(finding.step for finding in found.findings)
        return Answer(found.holds, steps, found.holds, "; ".join(finding.text for finding in found.findings))
    try:
        source = ExportSource(BytesIO(data))
        source.read()
    except LedgerError as error:
        return Answer(False, frozenset({1}), False, str(error))
    report = (
        verify(source, pinned_key, executor=Pieces(pieces), remote_work=partial(do_work, source))
        if pieces
        else verify(source, pinned_key)
    )
    steps = frozenset(step.step for step in report.steps if step.status == "fail")
    assert steps <= set(STEPS_SHARED), "a step past 7 was not asked for"
    return Answer(not steps, steps, report.pinned, "; ".join(finding.text for finding in report.findings))


def ask_second(data: bytes, vkey: str | None, *, evidence: bool) -> Answer:
    """The one that was written from the document."""
    report = second.verify_evidence(data, vkey) if evidence else second.verify_export(data, vkey)
    steps = frozenset(step for step, _ in report.findings)
    pinned = report.accepted if evidence else report.pinned  # evidence that holds is the key's, all other is nobody's
    return Answer(report.accepted, steps, pinned, "; ".join(sentence for _, sentence in report.findings))

"""What a service answers to a question, held against the question. Whether it is true only `dna prove` and `dna verify` tell."""

from itertools import pairwise

from decision_dna.ledger.notes import note_of
from decision_dna.ledger.queries import NO_END, EventFilter
from decision_dna.schemas.errors import Malformed, ProofRejected, Unavailable
from decision_dna.schemas.texts import id_text, time_ns
from decision_dna.schemas.views import EventView, LineageView, PageView
from decision_dna.service.commands.places import is_address
from decision_dna.service.commands.terminal import write


def write_source(place: str) -> None:
    """Say whose word the lines above are, where they are a service's."""
    if is_address(place):
        write(f"as {place} says: nothing of this was verified (`dna prove` and `dna verify` do)")


def check_page(page: PageView, wanted: EventFilter, order: str, limit: int, *, is_first: bool) -> None:
    """Raise Unavailable for a page with other events than were asked for, or in another order. `is_first`: no cursor was given."""
    seqs = [view.seq for view in page.events]
    if order == "desc":
        seqs.reverse()
    size = _size(page.checkpoint)
    if len(seqs) > limit or any(one >= two for one, two in pairwise(seqs)) or (seqs and seqs[-1] >= size):
        raise Unavailable("the service answers with a page that is not in order, too long, or past its own checkpoint")
    for view in page.events:
        if not _matches(view, wanted):
            raise Unavailable(f"the service answers with event {view.seq}, which was not asked for")
    if seqs and wanted == EventFilter(from_seq=wanted.from_seq):
        first = wanted.from_seq if is_first and order == "asc" else seqs[0]
        if seqs != [*range(first, seqs[-1] + 1)]:
            raise Unavailable(f"the service leaves out events between {first} and {seqs[-1]}")


def _matches(view: EventView, wanted: EventFilter) -> bool:
    try:
        recorded_at = time_ns(view.recorded_at)
    except Malformed:
        return False
    family = wanted.type.removesuffix("*") if wanted.type.endswith(".*") else ""
    return all(
        (
            not wanted.type or view.type == wanted.type or (bool(family) and view.type.startswith(family)),
            wanted.source in ("", view.source),
            wanted.subject in ("", view.subject),
            wanted.stream in ("", view.stream),
            wanted.correlation in ("", view.trace[3:35]),
            not wanted.cause or id_text(wanted.cause) in view.causes,
            wanted.time_from <= recorded_at and (wanted.time_to == NO_END or recorded_at < wanted.time_to),
            wanted.from_seq <= view.seq < wanted.to_seq,
        )
    )


def check_lineage(graph: LineageView, name: str, limit: int) -> None:
    """Raise Unavailable for a graph without the event that was asked for, too large, or with edges to nowhere."""
    seqs, size = {view.seq for view in graph.nodes}, _size(graph.checkpoint)
    names = {text for view in graph.nodes for text in (str(view.seq), view.id, view.fingerprint)}
    loose = any(cause not in seqs or effect not in seqs or cause >= effect for cause, effect in graph.edges)
    if name.lower() not in names or loose or len(graph.nodes) > limit or max(seqs) >= size:
        raise Unavailable(f"the service answers with a graph that is not of event {name}")


def _size(checkpoint: str) -> int:
    try:
        return note_of(checkpoint.encode()).size
    except (ProofRejected, UnicodeEncodeError) as error:
        raise Unavailable(f"the service names no checkpoint that it answered under: {error}") from None

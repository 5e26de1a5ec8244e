"""The commitment to a state that followers folded from the log (docs/format.md, section 13). Open: it stands in its entry."""

from decision_dna.schemas.claims import Hash, Natural
from decision_dna.schemas.payloads import Payload, payload_type
from decision_dna.schemas.ranges import Name, RuleVersion

STATE = "engine.state"


@payload_type(STATE, schema=1)
class StateCommitted(Payload, frozen=True):
    """The state of a projection, folded over all entries with seq < `as_of`, has so many entries and this root."""

    as_of: Natural
    entries: Natural
    projection: Name
    root: Hash
    version: RuleVersion

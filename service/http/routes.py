"""The routes that read: events, streams, lineage, the public log, anchors, health."""

import base64
from collections.abc import Callable
from typing import Annotated, Any

import msgspec
from litestar import Controller, Request, Response, get
from litestar.params import Parameter

from decision_dna.ledger import layout
from decision_dna.ledger.evidence import Around, leaves_before, prove_event, prove_run
from decision_dna.ledger.queries import (
    Direction,
    EventFilter,
    Order,
    Page,
    find,
    lineage,
    query,
    stream_heads,
    stream_run,
)
from decision_dna.ledger.reader import LogReader
from decision_dna.ledger.tilepath import parse_tile_path
from decision_dna.ledger.tlogproof import format_proof
from decision_dna.ledger.views import event_view
from decision_dna.schemas.anchoring import CONFIRMED
from decision_dna.schemas.errors import Malformed, NotFound, Unavailable
from decision_dna.schemas.ledgering import HEARTBEAT
from decision_dna.schemas.texts import time_ns
from decision_dna.schemas.views import (
    ConsistencyView,
    EventView,
    LineageView,
    PageView,
    RunView,
    StreamsView,
    StreamView,
)
from decision_dna.service.http.asking import RANGES, SELECTING, event_filter, number, parameters
from decision_dna.service.http.metrics import PerformanceView, SystemView
from decision_dna.service.http.running import Running

"""The application: the bare routes in front, the framework behind them, and one table that turns every error into a problem."""

from litestar import Litestar
from litestar.datastructures import State

from decision_dna.service.http.bare import Front
from decision_dna.service.http.problems import respond
from decision_dna.service.http.routes import ROUTES
from decision_dna.service.http.running import Running


def application(parts: Running) -> Front:
    """The ASGI application over what is running."""
    rest = Litestar(
        route_handlers=ROUTES,
        exception_handlers={Exception: respond},
        openapi_config=None,
        logging_config=None,
        state=State({"parts": parts}, deep_copy=False),
    )
    return Front(parts, rest)

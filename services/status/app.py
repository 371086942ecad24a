"""
The HTTP side: a report over a board that somebody else keeps up to date, and the way in for acts (`request_paths.py`).

Each answer is made from one look at the state, inside one turn of the event loop, so no answer mixes two states.
"""

from collections.abc import Awaitable, Callable
from importlib.metadata import version
from typing import Annotated, Literal

import msgspec
from fastapi import Depends, FastAPI, HTTPException, Request, Response
from fastapi import Query as Parameter
from fastapi.responses import HTMLResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from services.status import listing, openapi
from services.status.html import HEADERS
from services.status.metrics import registry_of
from services.status.page_list import list_page
from services.status.page_server import not_found_page, server_page
from services.status.publisher import Publisher
from services.status.readiness import Readiness, readiness
from services.status.report import ServerReport, report_on
from services.status.request_paths import Door, add_requests
from services.status.settings import StatusSettings
from services.status.tokens import Token
from services.status.view import Board, View
from shared.domain.answer import Answer
from shared.domain.catalogue import BuildCatalogue
from shared.domain.explanation import ServerState
from shared.domain.policy import Policy
from shared.domain.state import Law
from shared.runtime.clock import Clock

ID_MAX = 400
"""Longest server id that is looked up: a name of 255, an address, and room to spare."""


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """The process lives and its event loop turns, or this could not have been sent."""

    alive: bool
    version: str


def ask(
    request: Request,
    state: Annotated[Literal[ServerState, ""], Parameter(description="only servers in this state")] = "",
    product: Annotated[str, Parameter(max_length=100, description="only this product")] = "",
    connector: Annotated[str, Parameter(max_length=40, description="only this connector")] = "",
    q: Annotated[str, Parameter(max_length=200, description="a part of the server's id, in any case")] = "",
    sort: Annotated[listing.SortKey, Parameter(description="what to sort by; equals by id")] = "state",
    order: Annotated[listing.Order, Parameter(description="state: mildest first is asc")] = "desc",
    limit: Annotated[int, Parameter(ge=1, le=listing.LIMIT_MAX, description="servers a page")] = 50,
    page: Annotated[int, Parameter(ge=1, le=listing.PAGE_MAX, description="from 1 on; beyond the last: empty")] = 1,
) -> listing.Query:
    """Read what to list; a parameter that is not known is refused, for it would silently list everything."""
    unknown = sorted(set(request.query_params) - set(listing.Query.__struct_fields__))
    if unknown:
        allowed = ", ".join(listing.Query.__struct_fields__)
        raise HTTPException(422, f"unknown parameter {unknown[0][:40]!r}; known are {allowed}")
    return listing.Query(
        state=state, product=product, connector=connector, q=q, sort=sort, order=order, limit=limit, page=page
    )


Asked = Annotated[listing.Query, Depends(ask)]


def build_app(
    board: Board, settings: StatusSettings, catalogue: BuildCatalogue, *, clock: Clock, publisher: Publisher
) -> FastAPI:
    """The application over *board*; acts go out by *publisher*. No built-in docs pages: they would load scripts from elsewhere."""
    app = FastAPI(
        title="patchgate status",
        version=version("patchgate"),
        description="Which mail servers are out of date, what happens to their mail, why, and what comes next; and the way in for acts.",
        docs_url=None,
        redoc_url=None,
    )
    door = Door(board, settings, clock, publisher)
    pages = _Pages(board, settings, catalogue, clock, door)
    _add_api(app, pages)
    _add_health(app, pages)
    _add_html(app, pages)
    add_requests(app, door)
    app.middleware("http")(_with_headers)
    openapi.describe_with(app, [listing.ServerList, ServerReport, Readiness, Health, Answer, openapi.Problem])
    return app


class _Pages:
    """What every path needs."""

    def __init__(
        self, board: Board, settings: StatusSettings, catalogue: BuildCatalogue, clock: Clock, door: Door
    ) -> None:
        self.board, self.settings, self.catalogue, self.clock, self.door = board, settings, catalogue, clock, door
        self.registry = registry_of(board, settings, clock)

    def shown(self) -> tuple[View, Law, Policy]:
        """
        The state on show.

        Raises:
            HTTPException: 503, nothing has been read yet.
        """
        view = self.board.view
        if view is None or view.position is None or view.table.policy is None:
            why = self.board.reader.trouble or "the enforcer has written nothing yet"
            raise HTTPException(503, f"there is no state to show yet: {why}; see /readyz")
        return view, view.position.law, view.table.policy

    def listed(self, request: Request, query: listing.Query) -> listing.ServerList:
        """The list; for an owner's token, of his own servers only."""
        view, law, policy = self.shown()
        reader = self.door.reader(request)
        return listing.list_servers(listing.shown_to(view, policy, _owner(reader)), law, policy, query)

    def report(self, request: Request, server: str) -> ServerReport | None:
        """The report; None where the server is not known, or is none of the owner's whose token this is."""
        view, law, policy = self.shown()
        reader = self.door.reader(request)
        if server not in listing.shown_to(view, policy, _owner(reader)):
            return None
        return report_on(server[:ID_MAX], view, law, policy, self.catalogue, now=self.clock.now())

    def readiness(self) -> Readiness:
        return readiness(self.board, self.settings, self.clock)


def _owner(reader: Token | None) -> str:
    """Whose servers only *reader* sees; "" for all."""
    return reader.owner if reader is not None and reader.role == "owner" else ""


def _json(answer: msgspec.Struct, status: int = 200) -> Response:
    return Response(msgspec.json.encode(answer), status, media_type="application/json")


async def _with_headers(request: Request, go_on: Callable[[Request], Awaitable[Response]]) -> Response:
    response = await go_on(request)
    response.headers.update(HEADERS)
    return response


def _add_api(app: FastAPI, pages: _Pages) -> None:
    listed = openapi.answers(listing.ServerList, "one page of the list", status_503="nothing has been read yet")
    one = openapi.answers(
        ServerReport, "the report", status_404="no such server", status_503="nothing has been read yet"
    )

    @app.get("/servers", responses=listed, response_class=Response, summary="List servers: filter, sort, page")
    async def servers(request: Request, query: Asked) -> Response:
        return _json(pages.listed(request, query))

    @app.get("/servers/{server:path}", responses=one, response_class=Response, summary="Explain one server, by its id")
    async def server(request: Request, server: str) -> Response:
        report = pages.report(request, server)
        if report is None:
            raise HTTPException(404, f"no server {server[:ID_MAX]!r} is known; ids are listed by GET /servers?q=PART")
        return _json(report)


def _add_health(app: FastAPI, pages: _Pages) -> None:
    alive = openapi.answers(Health, "the process lives and its event loop turns")
    ready = openapi.also(openapi.answers(Readiness, "ready"), 503, Readiness, "not ready; `reasons` says why")

    @app.get("/healthz", responses=alive, response_class=Response, summary="Is the process alive")
    async def healthz() -> Response:
        return _json(Health(alive=True, version=app.version))

    @app.get(
        "/readyz", responses=ready, response_class=Response, summary="Is the report moving, and what keeps the law back"
    )
    async def readyz() -> Response:
        answer = pages.readiness()
        return _json(answer, 200 if answer.ready else 503)

    @app.get("/metrics", response_class=Response, summary="Metrics for Prometheus")
    async def metrics() -> Response:
        return Response(generate_latest(pages.registry), media_type=CONTENT_TYPE_LATEST)


def _add_html(app: FastAPI, pages: _Pages) -> None:
    @app.get("/", response_class=HTMLResponse, include_in_schema=False)
    async def index(request: Request, query: Asked) -> Response:
        return HTMLResponse(list_page(pages.listed(request, query), query, pages.readiness()))

    @app.get("/s/{server:path}", response_class=HTMLResponse, include_in_schema=False)
    async def server(request: Request, server: str) -> Response:
        report = pages.report(request, server)
        if report is None:
            return HTMLResponse(not_found_page(server[:ID_MAX], pages.readiness()), 404)
        return HTMLResponse(server_page(report, pages.readiness()))

"""
`POST /requests` and `GET /requests/{id}`: the way in for acts. No rule of the law is here; the enforcer decides and says why.

Nobody asks without a token, which only the header `Authorization: Bearer` carries: a page in a browser cannot send it unasked,
so no other site can ask in somebody's name.
"""

from datetime import datetime
from typing import Annotated

import msgspec
import structlog
from fastapi import FastAPI, Header, HTTPException, Request, Response

from services.status import openapi
from services.status.decided import Decided, digest_of
from services.status.publisher import NotAskedError, Publisher, UnsureError
from services.status.rate import Buckets
from services.status.request_body import request_from
from services.status.settings import StatusSettings
from services.status.tokens import Token, Tokens
from services.status.view import Board
from shared.domain.answer import Answer, AnyRequest
from shared.domain.errors import ConfigError
from shared.domain.records import SetFreeze
from shared.messaging.asking import outgoing
from shared.runtime.clock import Clock

BODY_MAX = 16_384
"""Bytes of a body; the longest request has a tenth of it."""

_BEARER = {"WWW-Authenticate": "Bearer"}
_AGAIN_S = "5"
_STATUS = {"done": 200, "no effect": 200, "refused": 409, "none yet": 202}


class Door:
    """What stands between a caller and the bus."""

    def __init__(self, board: Board, settings: StatusSettings, clock: Clock, publisher: Publisher) -> None:
        self._board = board
        self._clock = clock
        self._publisher = publisher
        self._wait_s = settings.status_wait_s
        self._tokens = Tokens(settings.status_tokens) if settings.status_tokens else None
        self._buckets = Buckets()
        self._log = structlog.stdlib.get_logger("status")

    def now(self) -> datetime:
        """The instant at which something is asked."""
        return self._clock.now()

    @property
    def decided(self) -> Decided:
        """What the log says of requests."""
        return self._board.decided

    def reader(self, request: Request) -> Token | None:
        """
        Whose token a reader shows; None without one: reading is open to all whom the address is.

        Raises:
            HTTPException: 401 it is nobody's, 503 the file cannot be used.
        """
        return self._known(request) if self._tokens is not None and _bearer(request) is not None else None

    def writer(self, request: Request) -> Token:
        """
        Whose token this is, if it may ask now.

        Raises:
            HTTPException: 403 nobody may here, or not this one; 401 no token, or nobody's; 429 too often; 503 the file cannot be used.
        """
        if self._tokens is None:
            raise HTTPException(
                403,
                "nobody may ask here: PATCHGATE_STATUS_TOKENS names no file of tokens; `patchgate token new` makes its entries",
            )
        if _bearer(request) is None:
            raise HTTPException(401, "say who asks: the header is Authorization: Bearer TOKEN", _BEARER)
        token = self._known(request)
        if token.role == "viewer":
            raise HTTPException(403, f"token {token.name} is a viewer's, which only reads")
        wait_s = self._buckets.take(token.name, self._clock.real_now())
        if wait_s:
            seconds = int(wait_s) + 1
            raise HTTPException(
                429, f"token {token.name} asks too often; try again in {seconds} s", {"Retry-After": str(seconds)}
            )
        return token

    def _known(self, request: Request) -> Token:
        try:
            token = self._tokens.find(_bearer(request) or "") if self._tokens is not None else None
        except ConfigError as error:
            self._log.error("tokens-unusable", cause=str(error)[:300])
            raise HTTPException(503, f"{str(error)[:300]}; nothing was asked") from error
        if token is None:
            raise HTTPException(401, "this token is not known here", _BEARER)
        return token

    async def ask(self, request: AnyRequest) -> Answer:
        """
        Publish, if this is not the same once more, and wait for the log.

        Raises:
            HTTPException: 422 the id was used for something else; 503 the bus is away.
        """
        known = self.decided.of(request.id)
        if known is None:
            await self._publish(request)
            self.decided.expect(request)
            self._log.info("asked", id=request.id, type=str(request.__struct_config__.tag), who=request.who)
        elif known.digest != digest_of(request):
            raise HTTPException(422, f"field id: {request.id} was used for another request; choose another")
        return await self.decided.wait(request.id, self._wait_s)

    async def _publish(self, request: AnyRequest) -> None:
        trouble = self._board.reader.trouble or ("" if self._board.view else "the topics are being read")
        if trouble and not isinstance(request, SetFreeze):  # which goes out whatever we can read: edges obey on sight
            raise _not_asked(f"the bus cannot be used ({trouble})")
        try:
            await self._publisher.publish(outgoing(request))
        except NotAskedError as error:
            raise _not_asked(str(error)) from error
        except UnsureError as error:
            self._log.warning("unsure", id=request.id, cause=str(error))
            raise HTTPException(
                503,
                f"{error}; ask again with the id {request.id} (it is decided once), or see GET /requests/{request.id}",
                {"Retry-After": _AGAIN_S, "Location": f"/requests/{request.id}"},
            ) from error

    def may_read(self, request_id: str, reader: Token | None) -> Answer:
        """
        What is known of a request. An owner's token sees what it asked itself.

        Raises:
            HTTPException: 404.
        """
        known = self.decided.of(request_id)
        if known is None or (reader is not None and reader.role == "owner" and known.who != reader.name):
            raise HTTPException(
                404,
                f"no request {request_id[:64]!r} was decided lately, or asked here; `patchgate request ID` looks through the whole log",
            )
        return known.answer


def add_requests(app: FastAPI, door: Door) -> None:
    """Add both paths."""

    @app.post(
        "/requests",
        responses=openapi.request_answers(),
        response_class=Response,
        summary="Ask for an act, and wait for what the law says",
        openapi_extra=openapi.request_body(),
    )
    async def ask(request: Request, idempotency_key: Annotated[str, Header()] = "") -> Response:
        caller = door.writer(request)
        raw = await _body(request)
        asked = request_from(raw, caller, key=idempotency_key.strip('"'), now=door.now())
        return _answer(await door.ask(asked))

    @app.get(
        "/requests/{request_id}",
        responses=openapi.request_known(),
        response_class=Response,
        summary="What became of a request",
    )
    async def became(request: Request, request_id: str) -> Response:
        return _answer(door.may_read(request_id, door.reader(request)), refused=200)


def _not_asked(why: str) -> HTTPException:
    return HTTPException(503, f"{why}; nothing was asked, try again later", {"Retry-After": _AGAIN_S})


def _answer(answer: Answer, *, refused: int = 409) -> Response:
    status = refused if answer.outcome == "refused" else _STATUS[answer.outcome]
    headers = {}
    if answer.outcome == "none yet":
        headers = {"Location": f"/requests/{answer.id}", "Retry-After": _AGAIN_S}
        answer = msgspec.structs.replace(
            answer, reason="not decided yet: the enforcer has not answered; the request stands and counts for 24 hours"
        )
    return Response(msgspec.json.encode(answer), status, headers, media_type="application/json")


def _bearer(request: Request) -> str | None:
    """The token of the header; None where there is none, or it is of another scheme."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None


async def _body(request: Request) -> bytes:
    """
    The body.

    Raises:
        HTTPException: 413, as soon as it is too long.
    """
    raw = b""
    async for chunk in request.stream():
        raw += chunk
        if len(raw) > BODY_MAX:
            raise HTTPException(413, f"the body is longer than {BODY_MAX} bytes")
    return raw

"""The schemas of the answers in the OpenAPI document: made from the very Structs that are encoded."""

from collections.abc import Sequence
from typing import Any

import msgspec
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from services.status.request_body import FILLED, KINDS
from shared.domain.answer import Answer

_REF = "#/components/schemas/{name}"

Answers = dict[int | str, dict[str, Any]]


def answers(kind: type[msgspec.Struct], description: str, **others: str) -> Answers:
    """The `responses` of a path that answers with *kind*; others: `status_404="why"` answer with a Problem."""
    told: Answers = {200: _answer(kind, description)}
    for key, why in others.items():
        told[int(key.removeprefix("status_"))] = _answer(Problem, why)
    return told


def also(told: Answers, status: int, kind: type[msgspec.Struct], description: str) -> Answers:
    """*told* with one more answer."""
    return {**told, status: _answer(kind, description)}


def request_answers() -> Answers:
    """The `responses` of asking for an act."""
    told = answers(
        Answer,
        "done, or no effect",
        status_400="no JSON object",
        status_401="no token, or nobody's",
        status_403="not for this token, or nobody may here",
        status_413="the body is too long",
        status_422="a field is wrong, missing or unknown, or the id was used for something else",
        status_429="too often; Retry-After says when",
        status_503="the bus is away, or the tokens cannot be read; Retry-After says when",
    )
    told = also(told, 202, Answer, "not decided yet; Location says where it will be told")
    return also(told, 409, Answer, "refused; `reason` says why")


def request_known() -> Answers:
    """The `responses` of asking what became of a request."""
    told = answers(
        Answer, "decided: done, no effect or refused", status_401="nobody's token", status_404="not known here"
    )
    return also(told, 202, Answer, "not decided yet")


def request_body() -> dict[str, Any]:
    """The body of asking for an act, and what it needs."""
    one_of = [{"$ref": _REF.format(name=kind.__name__)} for kind in KINDS.values()]
    mapping = {tag: _REF.format(name=kind.__name__) for tag, kind in KINDS.items()}
    schema = {"oneOf": one_of, "discriminator": {"propertyName": "type", "mapping": mapping}}
    return {
        "requestBody": {"required": True, "content": {"application/json": {"schema": schema}}},
        "security": [{"token": []}],
    }


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """What is wrong with a request, and what to do."""

    detail: str


def describe_with(app: FastAPI, kinds: Sequence[type[msgspec.Struct]]) -> None:
    """Let *app* publish the schemas of *kinds* beside those that FastAPI knows itself."""
    _, components = msgspec.json.schema_components([*kinds, *KINDS.values()], ref_template=_REF)
    for kind in KINDS.values():  # in a body, the server fills these
        schema = components[kind.__name__]
        schema["required"] = [name for name in schema["required"] if name not in FILLED]

    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            made = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
            found = made.setdefault("components", {})
            found.setdefault("schemas", {}).update(components)
            found["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
            app.openapi_schema = made
        return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign]  # FastAPI's documented way to change the document


def _answer(kind: type[msgspec.Struct], description: str) -> dict[str, Any]:
    schema = {"$ref": _REF.format(name=kind.__name__)}
    return {"description": description, "content": {"application/json": {"schema": schema}}}

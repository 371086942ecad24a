"""The schemas of the answers in the OpenAPI document: made from the very Structs that are encoded."""

from collections.abc import Sequence
from typing import Any

import msgspec
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

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


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """What is wrong with a request, and what to do."""

    detail: str


def describe_with(app: FastAPI, kinds: Sequence[type[msgspec.Struct]]) -> None:
    """Let *app* publish the schemas of *kinds* beside those that FastAPI knows itself."""
    _, components = msgspec.json.schema_components(kinds, ref_template=_REF)

    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            made = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
            made.setdefault("components", {}).setdefault("schemas", {}).update(components)
            app.openapi_schema = made
        return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign]  # FastAPI's documented way to change the document


def _answer(kind: type[msgspec.Struct], description: str) -> dict[str, Any]:
    schema = {"$ref": _REF.format(name=kind.__name__)}
    return {"description": description, "content": {"application/json": {"schema": schema}}}

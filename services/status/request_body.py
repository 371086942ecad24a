"""The body of `POST /requests`: JSON of one act, to the request it is. What is wrong with it is one sentence."""

import difflib
import re
import uuid
from datetime import datetime, timedelta
from typing import Any, get_args

import msgspec
from fastapi import HTTPException

from services.status.tokens import Token
from shared.domain.answer import AnyRequest
from shared.domain.records import Act, SetFreeze

KINDS: dict[str, type[msgspec.Struct]] = {str(kind.__struct_config__.tag): kind for kind in (*get_args(Act), SetFreeze)}
"""What may be asked, by its tag. No policy (`patchgate policy adopt` checks it first), and no report of a notice: that is the notifier's."""

FILLED = ("id", "who", "why", "made_at")
"""Fields that need not stand in a body."""

_AHEAD_MAX = timedelta(minutes=1)


def request_from(raw: bytes, caller: Token, *, key: str, now: datetime) -> AnyRequest:
    """
    The request that *raw* asks for. key: the header Idempotency-Key, "" if there was none; now: when it came.

    Raises:
        HTTPException: 400 no JSON object, 403 not for this token, 422 a field is wrong, missing or unknown.
    """
    fields = _object(raw)
    kind = _kind(fields)
    _only_known(fields, kind)
    request: AnyRequest = _converted({"why": "", "made_at": now, **fields, **_own(fields, caller, key)}, kind)
    if request.made_at > now + _AHEAD_MAX:
        raise HTTPException(
            422, f"field made_at: {request.made_at.isoformat()} is still to come; leave it out, the server fills it"
        )
    return request


def _object(raw: bytes) -> dict[str, Any]:
    try:
        found = msgspec.json.decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise HTTPException(400, f"the body is no JSON: {str(error)[:200]}") from error
    if not isinstance(found, dict):
        raise HTTPException(400, "the body is no JSON object; it takes the fields of one request")
    return found


def _kind(fields: dict[str, Any]) -> type[msgspec.Struct]:
    tag = fields.get("type")
    if isinstance(tag, str) and tag in KINDS:
        return KINDS[tag]
    if tag == "adopt-policy.v1":
        raise HTTPException(
            422,
            "field type: a policy is handed in by `patchgate policy adopt`, which checks it and shows what it changes",
        )
    what = f"{str(tag)[:40]!r} cannot be asked for" if tag is not None else "it is missing"
    raise HTTPException(422, f"field type: {what}; it takes one of {', '.join(KINDS)}")


def _only_known(fields: dict[str, Any], kind: type[msgspec.Struct]) -> None:
    """A misspelt as_owner would let an owner's wish pass for an operator's."""
    known = ("type", *kind.__struct_fields__)
    for name in fields:
        if name not in known:
            nearest = difflib.get_close_matches(name[:40], known, n=1)
            hint = f"; do you mean {nearest[0]}?" if nearest else f"; it takes {', '.join(known)}"
            raise HTTPException(422, f"field {name[:40]}: {fields['type']} has none such{hint}")


def _own(fields: dict[str, Any], caller: Token, key: str) -> dict[str, Any]:
    """The fields that the token and the header decide."""
    if fields.get("who", caller.name) != caller.name:
        raise HTTPException(422, f"field who: it is the name of the token, {caller.name}; leave it out")
    if key and fields.get("id", key) != key:
        raise HTTPException(422, "field id: the header Idempotency-Key names another one; leave one of them out")
    own = {"who": caller.name, "id": key or fields.get("id") or str(uuid.uuid4())}
    if caller.role == "owner":
        if fields["type"] == str(SetFreeze.__struct_config__.tag):
            raise HTTPException(403, "only an operator freezes; this token is an owner's")
        if fields.get("as_owner", caller.owner) != caller.owner:
            raise HTTPException(403, f"field as_owner: this token asks for {caller.owner} only; leave it out")
        own["as_owner"] = caller.owner
    return own


def _converted(fields: dict[str, Any], kind: type[msgspec.Struct]) -> Any:  # noqa: ANN401  (the type hangs on the tag)
    try:
        return msgspec.convert(fields, kind)
    except msgspec.ValidationError as error:
        raise HTTPException(422, _in_words(str(error))) from error


def _in_words(error: str) -> str:
    """Msgspec's sentence, the field in front."""
    if missing := re.fullmatch(r"Object missing required field `(\w+)`", error):
        return f"field {missing[1]}: it is missing"
    what, _, path = error.partition(" - at `$.")
    return f"field {path.rstrip('`')}: {what}" if path else what

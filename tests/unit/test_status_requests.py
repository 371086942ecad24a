"""Asking for acts over HTTP: who may, what is taken, what is answered; the bus and the law are below the port."""

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from services.status.rate import BURST
from services.status.request_body import KINDS
from services.status.settings import StatusSettings
from shared.domain.answer import Answer
from shared.domain.records import PauseAccount, ResumeAccount
from shared.messaging import topics as t
from tests.support.scenario import SERVER, START
from tests.support.status_place import PAUSE, Place, detail


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    """Lend one."""
    made = Place(tmp_path)
    async with made.client:
        yield made


# --- who may -------------------------------------------------------------------------------------------------------


async def test_an_operators_act_is_published_and_answered_with_the_logs_record(place: Place) -> None:
    """Who is the token's name, the clock is the server's, the id is made."""
    answer = await place.post({"type": "set-freeze.v1", "frozen": True, "why": "test"})
    [request] = place.asked()
    assert (request.who, request.why, request.made_at) == ("anna", "test", place.world.now)
    assert len(request.id) >= 8
    assert answer.status_code == 200
    told = msgspec.json.decode(answer.content, type=Answer)
    assert (told.id, told.outcome, told.seq) == (request.id, "done", place.world.fold.law.seq - 1)
    again = await place.post({"type": "set-freeze.v1", "frozen": True})
    assert (again.status_code, again.json()["outcome"]) == (200, "no effect")


async def test_what_the_law_refuses_is_409_with_its_reason(place: Place) -> None:
    """And with the record that says so."""
    answer = await place.post({"type": "resolve.v1", "server": SERVER, "case": 6, "outcome": "upheld"}, "olga")
    assert answer.status_code == 409
    told = msgspec.json.decode(answer.content, type=Answer)
    assert told.outcome == "refused"
    assert told.reason
    assert told.seq == place.world.fold.law.seq


@pytest.mark.parametrize(
    ("kind", "topic", "key"),
    [(PAUSE, t.REQUESTS, None), ({"type": "set-freeze.v1", "frozen": False}, t.CONTROL, t.KEY_FREEZE)],
)
async def test_a_freeze_goes_to_control_and_all_else_to_requests(
    place: Place, kind: dict[str, Any], topic: str, key: bytes | None
) -> None:
    """The edges read `control` by its one key."""
    await place.post(kind)
    [record] = place.bus.published
    assert (record.topic, record.key) == (topic, key)


async def test_without_a_tokens_file_nobody_may(place: Place) -> None:
    """403, and the sentence names the setting and the command."""
    async with place.client_of(StatusSettings()) as client:
        answer = await client.post("/requests", json=PAUSE, headers=place.bearer("anna"))
    said = detail(answer, 403)
    assert "PATCHGATE_STATUS_TOKENS" in said
    assert "patchgate token new" in said
    assert not place.asked()


@pytest.mark.parametrize(
    ("header", "told"),
    [
        (None, "Authorization: Bearer TOKEN"),
        ("Basic YTpi", "Authorization: Bearer TOKEN"),
        ("Bearer", "not known here"),
        ("Bearer pg_nobody", "not known here"),
    ],
)
async def test_without_a_token_that_is_known_nobody_may(place: Place, header: str | None, told: str) -> None:
    """401, and how to say who asks; a cookie or a field of the body is no token."""
    headers = {"Authorization": header} if header else {}
    body = {**PAUSE, "token": place.tokens["anna"].token}
    cookies = {"token": place.tokens["anna"].token, "Authorization": f"Bearer {place.tokens['anna'].token}"}
    place.client.cookies.update(cookies)
    answer = await place.client.post("/requests", json=body, headers=headers)
    assert told in detail(answer, 401)
    assert answer.headers["www-authenticate"] == "Bearer"
    assert not place.asked()


async def test_a_viewer_only_reads(place: Place) -> None:
    """403 for any act; the list is his."""
    assert "token vera is a viewer's" in detail(await place.post(PAUSE, "vera"), 403)
    assert (await place.client.get("/servers", headers=place.bearer("vera"))).json()["total"] == 2
    assert not place.asked()


async def test_an_owner_asks_as_his_owner_only(place: Place) -> None:
    """as_owner is forced; another one, or a freeze, is refused before the bus."""
    await place.post({"type": "resume.v1", "account": "it"}, "olga")
    await place.post({"type": "resume.v1", "account": "it", "as_owner": "it"}, "olga")
    assert [(type(one), one.as_owner, one.who) for one in place.asked()] == [(ResumeAccount, "it", "olga")] * 2
    for owner in ("", "postmaster"):
        answer = await place.post({"type": "resume.v1", "account": "it", "as_owner": owner}, "olga")
        assert "asks for it only" in detail(answer, 403)
    assert "only an operator freezes" in detail(
        await place.post({"type": "set-freeze.v1", "frozen": True}, "olga"), 403
    )
    assert len(place.asked()) == 2


async def test_an_owner_is_answered_by_the_law(place: Place) -> None:
    """His own account is paused; another's is refused, on record."""
    done = await place.post({"type": "pause.v1", "account": "it", "days": 2}, "olga")
    assert (done.status_code, done.json()["outcome"]) == (200, "done")
    refused = await place.post(PAUSE, "olga")
    assert refused.status_code == 409
    assert "own account only" in refused.json()["reason"]
    assert refused.json()["seq"] == place.world.fold.law.seq


@pytest.mark.parametrize(
    "body",
    [
        {"type": "exempt.v1", "kind": "server", "target": SERVER, "owner": "it", "until": None},
        {"type": "mode.v1", "connector": "branch", "mode": "observe"},
        {"type": "resolve.v1", "server": SERVER, "case": 6, "outcome": "upheld"},
        {"type": "sign.v1", "server": SERVER, "case": 6, "stage": 5},
        {"type": "correct.v1", "server": SERVER, "case": 6},
        {"type": "lift-struck.v1", "server": SERVER},
    ],
)
async def test_an_owner_is_refused_an_operators_acts(place: Place, body: dict[str, object]) -> None:
    """On record, by his own token, and by an operator's in his name."""
    for who, more in (("olga", {}), ("anna", {"as_owner": "it"})):
        refused = await place.post({**body, **more}, who)
        assert (refused.status_code, refused.json()["outcome"]) == (409, "refused"), refused.text
        assert refused.json()["reason"] == "this is for an operator to ask for"
        assert refused.json()["seq"] == place.world.fold.law.seq


async def test_an_operator_may_ask_in_an_owners_name(place: Place) -> None:
    """The log says both."""
    await place.post({**PAUSE, "as_owner": "it"})
    [request] = place.asked()
    assert (request.who, request.as_owner) == ("anna", "it")


async def test_a_tokens_file_that_breaks_lets_nobody_in(place: Place) -> None:
    """503 with what is wrong, for reading with a token, too; mended, all goes on."""
    good = place.file.read_text()
    place.file.write_text(good + "oops")
    assert "nothing was asked" in detail(await place.post(PAUSE), 503)
    assert "cannot be used" in detail(await place.client.get("/servers", headers=place.bearer("anna")), 503)
    assert (await place.client.get("/servers")).status_code == 200
    assert not place.asked()
    place.file.write_text(good)
    await place.post(PAUSE)
    assert len(place.asked()) == 1


async def test_a_token_asks_so_often(place: Place) -> None:
    """429 says when; another token is not held up by it."""
    for _ in range(BURST):
        await place.post(b"no JSON")
    answer = await place.post(PAUSE)
    assert "token anna asks too often; try again in 3 s" in detail(answer, 429)
    assert answer.headers["retry-after"] == "3"
    assert (await place.post({"type": "resume.v1", "account": "it"}, "olga")).status_code in {200, 409}
    assert len(place.asked()) == 1


# --- what is taken -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "status", "told"),
    [
        (b"", 400, "no JSON"),
        (b"{", 400, "no JSON"),
        (b"\xff", 400, "no JSON"),
        (b"[" * 10_000, 400, "no JSON"),
        (b"[]", 400, "no JSON object"),
        (b'"pause"', 400, "no JSON object"),
        ({}, 422, "field type: it is missing; it takes one of pause.v1, resume.v1"),
        ({"type": None}, 422, "field type: it is missing"),
        ({"type": ["pause.v1"]}, 422, "cannot be asked for"),
        ({"type": "pause"}, 422, "field type: 'pause' cannot be asked for"),
        ({"type": "adopt-policy.v1"}, 422, "patchgate policy adopt"),
        (
            {"type": "report-notice.v1", "notice": "6-1", "server": SERVER, "outcome": "delivered"},
            422,
            "cannot be asked",
        ),
        ({"type": "pause.v1", "days": 3}, 422, "field account: it is missing"),
        ({**PAUSE, "days": 0}, 422, "field days: Expected `int` >= 1"),
        ({**PAUSE, "days": "3"}, 422, "field days: Expected `int`"),
        ({**PAUSE, "why": "w" * 501}, 422, "field why: Expected `str` of length <= 500"),
        ({**PAUSE, "as_ovner": "it"}, 422, "field as_ovner: pause.v1 has none such; do you mean as_owner?"),
        ({**PAUSE, "zzz": 1}, 422, "field zzz: pause.v1 has none such; it takes type, id"),
        ({**PAUSE, "who": "ben"}, 422, "field who: it is the name of the token, anna"),
        ({**PAUSE, "id": "short"}, 422, "field id: Expected `str` matching"),
        ({**PAUSE, "id": 7}, 422, "field id: Expected `str`"),
        ({**PAUSE, "made_at": "2026-11-24T11:00:00"}, 422, "field made_at: Expected `datetime` with a timezone"),
        (
            {**PAUSE, "made_at": "2027-11-24T11:00:00Z"},
            422,
            "field made_at: 2027-11-24T11:00:00+00:00 is still to come",
        ),
        (
            {"type": "exempt.v1", "kind": "host", "target": "x", "owner": "o", "until": None},
            422,
            "field kind: Invalid enum value 'host'",
        ),
        (
            {"type": "exempt.v1", "kind": "peer", "target": "192.0.2.1", "owner": "o", "until": "2026-12-24T18:00:00"},
            422,
            "field until: Expected `datetime` with a timezone",
        ),
        (b" " * 16_385, 413, "longer than 16384 bytes"),
    ],
)
async def test_a_body_that_is_wrong_is_one_sentence_with_the_field(
    place: Place, body: object, status: int, told: str
) -> None:
    """And nothing is asked."""
    assert told in detail(await place.post(body), status)
    assert not place.asked()


async def test_the_longest_body_is_read(place: Place) -> None:
    """Blanks up to the bound are no harm; one more is."""
    body = msgspec.json.encode(PAUSE)
    await place.post(body + b" " * (16_384 - len(body)))
    assert len(place.asked()) == 1


async def test_a_body_in_pieces_is_bounded_as_well(place: Place) -> None:
    """Without a length in the header."""
    sent = 0

    async def pieces() -> AsyncIterator[bytes]:
        nonlocal sent
        while True:
            sent += 1
            yield b" " * 1024

    answer = await place.client.post("/requests", content=pieces(), headers=place.bearer("anna"))
    assert "longer than" in detail(answer, 413)
    assert sent < 40


async def test_fields_that_a_caller_may_fill_are_taken(place: Place) -> None:
    """An instant of his own in the past, his own name, his own id."""
    made = {**PAUSE, "who": "anna", "id": "my-own-id", "made_at": START.isoformat()}
    await place.post(made)
    assert place.asked() == [
        PauseAccount(id="my-own-id", who="anna", why="holidays", made_at=START, account=SERVER, days=3)
    ]


# --- the document --------------------------------------------------------------------------------------------------


async def test_the_document_tells_how_to_ask(place: Place) -> None:
    """Every act, what the server fills is not required, the token, every answer; each reference leads somewhere."""
    document: dict[str, Any] = (await place.client.get("/openapi.json")).json()
    schemas = document["components"]["schemas"]
    references = re.findall(r'"#/components/schemas/([^"]+)"', msgspec.json.encode(document).decode())
    assert set(references) <= set(schemas)
    post = document["paths"]["/requests"]["post"]
    body = post["requestBody"]["content"]["application/json"]["schema"]
    assert {one["$ref"].rsplit("/", 1)[1] for one in body["oneOf"]} == {kind.__name__ for kind in KINDS.values()}
    assert set(schemas["PauseAccount"]["required"]) == {"type", "account", "days"}
    assert post["security"] == [{"token": []}]
    assert document["components"]["securitySchemes"]["token"]["scheme"] == "bearer"
    assert set(post["responses"]) >= {"200", "202", "400", "401", "403", "409", "413", "422", "429", "503"}
    assert post["responses"]["409"]["content"]["application/json"]["schema"]["$ref"].endswith("/Answer")
    assert "reports" not in str(body)


@pytest.mark.parametrize("tag", list(KINDS))
async def test_every_act_that_the_document_names_is_taken(place: Place, tag: str) -> None:
    """Made from its schema's own required fields."""
    given: dict[str, Any] = {
        "account": SERVER, "days": 1, "kind": "server", "target": SERVER, "owner": "o", "until": None, "server": SERVER,
        "case": 6, "outcome": "upheld", "stage": 5, "connector": "branch", "mode": "observe", "frozen": False,
    }  # fmt: skip
    document: dict[str, Any] = (await place.client.get("/openapi.json")).json()
    schema = document["components"]["schemas"][KINDS[tag].__name__]
    body = {name: given[name] for name in schema["required"] if name != "type"}
    answer = await place.post({"type": tag, **body})
    assert answer.status_code in {200, 409}, answer.text
    assert [type(one) for one in place.asked()] == [KINDS[tag]]

"""Asking for acts over HTTP: who may, what is taken, what is answered; the bus and the law are below the port."""

import asyncio
import re
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from services.cli.token import new_token
from services.status.app import build_app
from services.status.decided import Decided
from services.status.publisher import NotAskedError, UnsureError
from services.status.rate import BURST
from services.status.request_body import KINDS
from services.status.settings import StatusSettings
from services.status.view import Board
from shared.domain.answer import Answer
from shared.domain.catalogue import load_catalogue
from shared.domain.records import PauseAccount, ResumeAccount, SetFreeze
from shared.messaging import topics as t
from shared.messaging.asking import Outgoing
from shared.messaging.codec import decode
from tests.support.scenario import NAME, SERVER, START, World
from tests.support.status_state import Bus, StillClock, view_of

PAUSE: dict[str, Any] = {"type": "pause.v1", "account": SERVER, "days": 3, "why": "holidays"}
ROLES = {"anna": "operator", "vera": "viewer", "olga": "owner"}
BRANCH = f"{NAME}@branch"


class Lawful(Bus):
    """A bus with a law behind it: what is published is decided at once, unless nobody is there."""

    def __init__(self, world: World, board: Board) -> None:
        super().__init__()
        self.world, self.board, self.away = world, board, False
        self.came = asyncio.Event()

    async def publish(self, record: Outgoing) -> None:
        """Keep it, and decide it."""
        await super().publish(record)
        self.came.set()
        if not self.away:
            self.decide(record)

    def decide(self, record: Outgoing) -> None:
        """As the enforcer would, and as the reader of the log would take it up."""
        before = len(self.world.log)
        self.world.take(decode(record.topic, record.value))
        for written, _ in self.world.log[before:]:
            self.board.decided.note(written)


class Place:
    """The application with its tokens, its bus and its law."""

    def __init__(self, directory: Path) -> None:
        self.world = World()
        self.world.open_case()
        self.world.open_case(peer="198.51.100.7")
        self.tokens = {name: new_token(name, role, "it" if role == "owner" else "") for name, role in ROLES.items()}
        self.file = directory / "tokens.toml"
        self.file.write_text("".join(made.entry for made in self.tokens.values()))
        self.board = Board()
        self.board.view = view_of(self.world)
        self.board.reader.trouble, self.board.reader.progress = "", self.world.now
        self.bus = Lawful(self.world, self.board)
        self.clock = StillClock(self.world.now)
        settings = StatusSettings(status_tokens=str(self.file), status_wait_s=0.05)
        self.client = self.client_of(settings)

    def client_of(self, settings: StatusSettings) -> httpx.AsyncClient:
        """A client of the application with these settings."""
        app = build_app(self.board, settings, load_catalogue(), clock=self.clock, publisher=self.bus)
        return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://status")

    def bearer(self, who: str) -> dict[str, str]:
        """The header of somebody's token."""
        return {"Authorization": f"Bearer {self.tokens[who].token}"}

    async def post(self, body: object, who: str = "anna", **headers: str) -> httpx.Response:
        """Ask."""
        content = body if isinstance(body, bytes) else msgspec.json.encode(body)
        return await self.client.post("/requests", content=content, headers={**self.bearer(who), **headers})

    def asked(self) -> list[Any]:
        """What was published."""
        return [decode(record.topic, record.value) for record in self.bus.published]


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    """Lend one."""
    made = Place(tmp_path)
    async with made.client:
        yield made


def detail(answer: httpx.Response, status: int) -> str:
    """The one sentence of an answer that is a problem."""
    assert answer.status_code == status, answer.text
    found = answer.json()
    assert list(found) == ["detail"]
    assert isinstance(found["detail"], str)
    assert "\n" not in found["detail"]
    return str(found["detail"])


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


# --- once only -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["my-key-0001", '"my-key-0001"'])
async def test_the_same_once_more_is_published_once_and_answered_alike(place: Place, key: str) -> None:
    """Idempotency-Key is the id; quotes, which some clients write, are not part of it."""
    first = await place.post(PAUSE, **{"Idempotency-Key": key})
    place.clock.at += timedelta(hours=1)  # the same asked later is the same
    again = await place.post({**PAUSE, "id": "my-key-0001"}, **{"Idempotency-Key": key})
    assert (first.status_code, first.content) == (again.status_code, again.content)
    assert [one.id for one in place.asked()] == ["my-key-0001"]


async def test_another_act_under_the_same_id_is_refused(place: Place) -> None:
    """By somebody else, too, who does not learn what became of the first."""
    await place.post(PAUSE, **{"Idempotency-Key": "my-key-0001"})
    for body, who in (({**PAUSE, "days": 4}, "anna"), (PAUSE, "olga")):
        answer = await place.post(body, who, **{"Idempotency-Key": "my-key-0001"})
        assert "field id: my-key-0001 was used for another request" in detail(answer, 422)
    assert "field id: Expected" in detail(await place.post(PAUSE, **{"Idempotency-Key": "k" * 100}), 422)
    answer = await place.post({**PAUSE, "id": "other-id-1"}, **{"Idempotency-Key": "my-key-0001"})
    assert "names another one" in detail(answer, 422)
    assert len(place.asked()) == 1


# --- the answer ----------------------------------------------------------------------------------------------------


async def test_what_nobody_decides_is_202_and_told_later(place: Place) -> None:
    """Location leads to it; asked once more it is not published again; decided, both ways tell."""
    place.bus.away = True
    answer = await place.post(PAUSE, **{"Idempotency-Key": "my-key-0001"})
    assert answer.status_code == 202
    assert answer.headers["location"] == "/requests/my-key-0001"
    assert "counts for 24 hours" in answer.json()["reason"]
    assert (answer.json()["outcome"], answer.json()["seq"]) == ("none yet", None)
    assert (await place.client.get("/requests/my-key-0001")).status_code == 202
    assert (await place.post(PAUSE, **{"Idempotency-Key": "my-key-0001"})).status_code == 202
    [record] = place.bus.published
    place.bus.decide(record)
    told = await place.client.get("/requests/my-key-0001")
    assert told.status_code == 200
    assert told.json()["seq"] is not None
    assert (await place.post(PAUSE, **{"Idempotency-Key": "my-key-0001"})).json() == told.json()


async def test_an_act_waits_until_the_log_has_it(place: Place) -> None:
    """The answer comes with the record, not at the end of the wait."""
    place.bus.away = True
    async with place.client_of(StatusSettings(status_tokens=str(place.file), status_wait_s=60)) as client:
        asking = asyncio.create_task(client.post("/requests", json=PAUSE, headers=place.bearer("anna")))
        async with asyncio.timeout(10):
            await place.bus.came.wait()
            place.bus.decide(place.bus.published[0])
            answer = await asking
    assert answer.json()["seq"] is not None


async def test_an_unknown_request_is_404_with_where_to_look(place: Place) -> None:
    """The whole log is the command's."""
    assert "`patchgate request ID`" in detail(await place.client.get("/requests/nobody-asked-this"), 404)


async def test_an_owner_sees_the_requests_that_he_made_himself(place: Place) -> None:
    """Another's id is as unknown as one that nobody used."""
    await place.post({"type": "resume.v1", "account": "it"}, "olga", **{"Idempotency-Key": "of-olga-1"})
    await place.post(PAUSE, **{"Idempotency-Key": "of-anna-1"})
    olga = place.bearer("olga")
    assert (await place.client.get("/requests/of-olga-1", headers=olga)).status_code == 200
    hidden = await place.client.get("/requests/of-anna-1", headers=olga)
    assert "no request 'of-anna-1'" in detail(hidden, 404)
    assert (await place.client.get("/requests/of-anna-1", headers=place.bearer("vera"))).status_code == 200
    assert "not known here" in detail(
        await place.client.get("/requests/of-anna-1", headers={"Authorization": "Bearer x"}), 401
    )


@pytest.mark.parametrize(
    ("trouble", "fails", "told"),
    [
        ("KafkaConnectionError: away", None, "nothing was asked"),
        ("", NotAskedError("the bus cannot be reached"), "nothing was asked"),
        ("", UnsureError("the bus did not say whether it took it"), "ask again with the id my-key-0001"),
    ],
)
async def test_without_the_bus_it_is_503_and_says_what_was_asked(
    place: Place, trouble: str, fails: Exception | None, told: str
) -> None:
    """Nothing, surely; or that it is not sure, and the id with which to ask again. Then it goes through."""
    place.board.reader.trouble, place.bus.fails = trouble, fails
    answer = await place.post(PAUSE, **{"Idempotency-Key": "my-key-0001"})
    assert told in detail(answer, 503)
    assert answer.headers["retry-after"] == "5"
    assert not place.bus.published
    place.board.reader.trouble, place.bus.fails = "", None
    await place.post(PAUSE, **{"Idempotency-Key": "my-key-0001"})
    assert len(place.bus.published) == 1


async def test_a_freeze_goes_out_while_the_log_cannot_be_read(place: Place) -> None:
    """The edges obey it on sight; nothing else goes out then."""
    place.board.reader.trouble = "reading everything anew"
    place.bus.away = True
    assert (await place.post({"type": "set-freeze.v1", "frozen": True})).status_code == 202
    assert [type(one) for one in place.asked()] == [SetFreeze]
    place.board.view = None
    place.board.reader.trouble = ""
    assert "nothing was asked" in detail(await place.post(PAUSE), 503)


async def test_only_so_many_requests_are_remembered(place: Place) -> None:
    """The oldest is forgotten first; reports of notices take no place."""
    decided = Decided(kept=2)
    for number in range(3):
        place.world.freeze(f"freeze-{number}", frozen=number != 1)
    place.world.settle()
    for record, _ in place.world.log:
        decided.note(record)
    assert [decided.of(f"freeze-{number}") is not None for number in range(3)] == [False, True, True]


async def test_an_answer_stays_when_the_log_is_read_anew(place: Place) -> None:
    """The first record of an id is its answer; that it came once more is none."""
    place.world.freeze("freeze-once", frozen=True)
    place.world.freeze("freeze-once", frozen=True)
    decided = Decided()
    for record, _ in place.world.log * 2:
        decided.note(record)
    known = decided.of("freeze-once")
    assert known is not None
    assert known.answer.outcome == "done"


# --- reading with a token ------------------------------------------------------------------------------------------


async def test_an_owner_reads_his_own_servers_only(place: Place) -> None:
    """List, counts, report and pages; without a token reading stays as it was."""
    olga = place.bearer("olga")
    found = (await place.client.get("/servers", headers=olga)).json()
    assert [row["server"] for row in found["servers"]] == [BRANCH]
    assert (found["total"], sum(found["counts"].values()), found["connectors"]) == (1, 1, ["branch"])
    assert (await place.client.get("/servers")).json()["total"] == 2
    for path, status in (
        (f"/servers/{SERVER}", 404),
        (f"/servers/{BRANCH}", 200),
        (f"/s/{SERVER}", 404),
        (f"/s/{BRANCH}", 200),
    ):
        assert (await place.client.get(path, headers=olga)).status_code == status
        assert (await place.client.get(path)).status_code == 200
    page = (await place.client.get("/", headers=olga)).text
    assert BRANCH in page
    assert SERVER not in page
    basic = {"Authorization": "Basic YTpi"}  # some proxy's business
    assert (await place.client.get("/servers", headers=basic)).json()["total"] == 2
    assert (await place.client.get("/servers", headers={"Authorization": "Bearer x"})).status_code == 401


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

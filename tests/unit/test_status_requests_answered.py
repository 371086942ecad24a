"""`POST /requests` and what becomes of it: asked once, answered from the log, and told to who may know it."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from services.status.decided import Decided
from services.status.publisher import NotAskedError, UnsureError
from services.status.settings import StatusSettings
from shared.domain.records import SetFreeze
from tests.support.scenario import SERVER
from tests.support.status_place import BRANCH, PAUSE, Place, detail


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    """Lend one."""
    made = Place(tmp_path)
    async with made.client:
        yield made


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

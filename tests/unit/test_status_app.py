"""The HTTP side over a hand-filled state: answers, errors, the document, pages, and hostile text on them."""

import base64
import re
from collections.abc import AsyncIterator
from datetime import timedelta
from hashlib import sha256
from html.parser import HTMLParser
from typing import Any
from urllib.parse import quote

import httpx
import msgspec
import pytest

from services.status.app import build_app
from services.status.html import tag
from services.status.listing import ServerList
from services.status.readiness import Readiness
from services.status.report import ServerReport
from services.status.settings import StatusSettings
from services.status.view import Board
from shared.domain.catalogue import load_catalogue
from shared.domain.records import SetExemption
from tests.support.scenario import E2007, FLOOR_2016, SERVER, World, policy_for, reading
from tests.support.status_state import Bus, StillClock, edge_report, view_of

DAY = timedelta(days=1)
EVIL = "<script>alert(1)</script>.example"
EVIL_LINE = "from <img src=x onerror=alert(2)> \u202e\x07\"' by evil with Microsoft SMTP Server id 15.1.2507.39"
IPV6 = "dag.example@2001:db8:12:34::/64"


def world_of_all() -> World:
    """Blocked in part after a hold; one with hostile text; one released behind IPv6."""
    world = World()
    world.open_case(reading(E2007, None))
    world.freeze("freeze-0001", frozen=True)
    world.pass_time(30 * timedelta(hours=1))
    world.freeze("freeze-0002", frozen=False)
    for _ in range(72):
        world.pass_time(DAY)
        world.see(reading(E2007, None))
        world.settle()
    world.open_case(name="dag.example", peer="2001:db8:12:34::/64", helo="dag.example")
    world.see(reading(build=FLOOR_2016), name="dag.example", peer="2001:db8:12:34::/64", helo="dag.example")
    world.see(name=EVIL, peer="203.0.113.66", helo=EVIL, own_lines=(EVIL_LINE,))
    return world


WORLD = world_of_all()


def board_of(world: World) -> Board:
    """A board that is up to date."""
    board = Board()
    board.view = view_of(world, edge_report(world, observing='<b>"odd"</b>'))
    board.reader.trouble, board.reader.progress = "", world.now
    return board


def client_of(board: Board, world: World, *, later: timedelta = timedelta()) -> httpx.AsyncClient:
    """A client of the application over *board*."""
    app = build_app(board, StatusSettings(), load_catalogue(), clock=StillClock(world.now + later), publisher=Bus())
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://status")


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    """Over the whole world."""
    async with client_of(board_of(WORLD), WORLD) as made:
        yield made


# --- API -----------------------------------------------------------------------------------------------------------


async def test_the_list_is_what_its_schema_says(client: httpx.AsyncClient) -> None:
    """Read back as the Struct, with the filter applied."""
    answer = await client.get("/servers", params={"state": "blocked-partly", "limit": 1})
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    found = msgspec.json.decode(answer.content, type=ServerList)
    assert [row.server for row in found.servers] == [SERVER]


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ("state=nonsense", ["no-case", "blocked-partly", "released"]),
        ("sort=colour", ["last_seen", "next_at"]),
        ("order=up", ["asc", "desc"]),
        ("limit=0", ["greater than or equal to 1"]),
        ("limit=501", ["less than or equal to 500"]),
        ("limit=all", ["valid integer"]),
        ("page=0", ["greater than or equal to 1"]),
        ("sate=blocked", ["sate", "state", "connector", "page"]),
        ("q=" + "x" * 201, ["at most 200"]),
    ],
)
@pytest.mark.parametrize("path", ["/servers", "/"])
async def test_an_unknown_value_is_refused_with_those_that_are_known(
    client: httpx.AsyncClient, path: str, query: str, named: list[str]
) -> None:
    """422, and the answer names what is allowed."""
    answer = await client.get(f"{path}?{query}")
    assert answer.status_code == 422
    assert all(word in answer.text for word in named)


async def test_empty_values_of_a_form_mean_all(client: httpx.AsyncClient) -> None:
    """A form sends empty fields."""
    answer = await client.get("/servers?state=&product=&connector=&q=")
    assert msgspec.json.decode(answer.content, type=ServerList).total == 3


@pytest.mark.parametrize("server", [SERVER, IPV6, f"{EVIL}@203.0.113.66"])
async def test_a_server_is_explained_by_its_id(client: httpx.AsyncClient, server: str) -> None:
    """Ids with an @, a slash, or markup in them are found, encoded."""
    answer = await client.get("/servers/" + quote(server, safe=""))
    report = msgspec.json.decode(answer.content, type=ServerReport)
    assert report.explanation.server == server
    assert report.plain
    assert report.timeline


async def test_an_id_may_stand_unencoded(client: httpx.AsyncClient) -> None:
    """What people type: `@`, `:` and `/` as they are."""
    answer = await client.get(f"/servers/{IPV6}")
    assert answer.status_code == 200


async def test_an_unknown_server_is_404_with_what_to_do(client: httpx.AsyncClient) -> None:
    """The text names the id, shortened, and where ids are listed."""
    answer = await client.get("/servers/" + "n" * 5000)
    assert answer.status_code == 404
    assert "GET /servers?q=PART" in answer.json()["detail"]
    assert len(answer.text) < 600


async def test_past_rows_are_dated_by_the_log(client: httpx.AsyncClient) -> None:
    """After a hold, what had begun before keeps its date: opening and stages as the log has them."""
    answer = await client.get(f"/servers/{SERVER}")
    report = msgspec.json.decode(answer.content, type=ServerReport)
    (case,) = report.explanation.cases
    assert case.rows[0].since == case.opened_at
    assert all(row.exact for row in case.rows)
    entered = {event.stage: event.due for event in report.timeline if event.kind == "stage-entered.v1"}
    assert {row.stage: row.since for row in case.rows[1:] if row.begun} == entered
    assert case.row == next(row for row in case.rows if row.in_force)
    assert case.notices.delivered_at == [event.at for event in report.timeline if event.delivered][-1]


async def test_a_new_case_has_nothing_of_the_one_before_it() -> None:
    """The notice delivered in an ended case is none of the next one about the same product."""
    world = World()
    world.open_case()
    world.settle()
    world.see(reading(build=FLOOR_2016))
    world.pass_time(2 * DAY)
    world.open_case()
    async with client_of(board_of(world), world) as client:
        report = msgspec.json.decode((await client.get(f"/servers/{SERVER}")).content, type=ServerReport)
    (case,) = report.explanation.cases
    assert any(event.delivered for event in report.timeline)
    assert case.notices.delivered_at is None


@pytest.mark.parametrize("path", ["/servers", f"/servers/{SERVER}", "/", f"/s/{SERVER}"])
async def test_without_a_state_the_answer_says_why(path: str) -> None:
    """503, with what the reader is waiting for."""
    board = Board()
    board.reader.trouble = "KafkaConnectionError: nobody there"
    async with client_of(board, WORLD) as client:
        answer = await client.get(path)
    assert answer.status_code == 503
    assert "nobody there" in answer.text


async def test_alive_is_not_ready() -> None:
    """With nothing read, healthz is 200 and readyz 503 with a reason; both as their schemas say."""
    async with client_of(Board(), WORLD) as client:
        alive, ready = await client.get("/healthz"), await client.get("/readyz")
    assert (alive.status_code, alive.json()["alive"]) == (200, True)
    assert ready.status_code == 503
    assert msgspec.json.decode(ready.content, type=Readiness).reasons


async def test_readyz_turns_when_nothing_moves() -> None:
    """Ready now, and 503 a minute later without any more news."""
    board = board_of(WORLD)
    async with client_of(board, WORLD) as client:
        assert (await client.get("/readyz")).status_code == 200
    async with client_of(board, WORLD, later=timedelta(minutes=1, seconds=1)) as client:
        answer = await client.get("/readyz")
        page = await client.get("/")
    assert answer.status_code == 503
    assert len(msgspec.json.decode(answer.content, type=Readiness).reasons) == 2
    assert "Not up to date: the last heartbeat is 61 s old" in page.text


async def test_metrics_tell_the_state(client: httpx.AsyncClient) -> None:
    """Counts by state, ages, seq, and the edges' own counts, with labels escaped."""
    answer = await client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    lines = answer.text.splitlines()
    for line in (
        "patchgate_ready 1.0",
        'patchgate_servers{state="blocked-partly"} 1.0',
        "patchgate_h_age_seconds 0.0",
        "patchgate_held_seconds 108000.0",
        f"patchgate_log_seq {float(WORLD.fold.law.seq)}",
        'patchgate_edge_count{edge="mx1",name="asked"} 12.0',
        'patchgate_edge_observing{edge="mx1"} 1.0',
        'patchgate_edge_report_age_seconds{edge="mx1"} 0.0',
        'patchgate_enforcer_inputs{kind="no news"} 7.0',
    ):
        assert line in lines


async def test_metrics_work_before_anything_was_read() -> None:
    """What is not known yet is left out."""
    async with client_of(Board(), WORLD) as client:
        text = (await client.get("/metrics")).text
    assert "patchgate_ready 0.0" in text
    assert "patchgate_h_age_seconds" not in text


# --- the document --------------------------------------------------------------------------------------------------


async def test_the_document_describes_every_answer(client: httpx.AsyncClient) -> None:
    """Each path of the API says what it answers, and every reference leads somewhere."""
    document: dict[str, Any] = (await client.get("/openapi.json")).json()
    schemas = document["components"]["schemas"]
    references = re.findall(r'"#/components/schemas/([^"]+)"', msgspec.json.encode(document).decode())
    assert set(references) <= set(schemas)
    for path, kind in (("/servers", "ServerList"), ("/servers/{server}", "ServerReport"), ("/readyz", "Readiness")):
        answer = document["paths"][path]["get"]["responses"]["200"]["content"]["application/json"]
        assert answer["schema"]["$ref"].endswith(f"/{kind}")
    assert set(document["paths"]["/readyz"]["get"]["responses"]) >= {"200", "503"}
    assert "blocked-partly" in str(document["paths"]["/servers"]["get"]["parameters"])


async def test_no_page_loads_from_elsewhere(client: httpx.AsyncClient) -> None:
    """No built-in docs pages, no address of another host on ours."""
    assert (await client.get("/docs")).status_code == 404
    assert (await client.get("/redoc")).status_code == 404
    for path in ("/", f"/s/{SERVER}"):
        assert "http" not in re.sub(r"\d{4}-\d\d-\d\dT", "", (await client.get(path)).text)


# --- pages ---------------------------------------------------------------------------------------------------------


def test_attributes_of_0_stay_and_those_of_nothing_go() -> None:
    """A coordinate of 0 is a value; None and False leave the attribute out."""
    assert tag("rect", x=0, y=None, hidden=False, class_="a") == '<rect x="0" class="a"></rect>'


class Parsed(HTMLParser):
    """The elements and texts of a page; unclosed or crossed ones are an error."""

    VOID = frozenset({"meta", "input"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[tuple[str, str]] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note it."""
        self.elements.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        """It must close the one that is open."""
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        """Note it with its element."""
        if self._open:
            self.texts.append((self._open[-1], data))

    def of(self, kind: str) -> list[dict[str, str | None]]:
        """The attributes of all elements of one kind."""
        return [attributes for name, attributes in self.elements if name == kind]


@pytest.mark.parametrize(
    "path",
    [
        "/",
        f"/s/{SERVER}",
        f"/s/{IPV6}",
        "/s/nobody",
        "/s/%3Cscript%3Ealert(1)%3C%2Fscript%3E.example%40203.0.113.66",
        "/?q=%22%3E%3Cscript%3E&product=%3Cb%3E",
    ],
)
async def test_hostile_text_stays_text(client: httpx.AsyncClient, path: str) -> None:
    """One script, ours; no element or attribute that a name, a line, an edge or a query brought along."""
    page = Parsed((await client.get(path)).text)
    assert len(page.of("script")) == 1
    assert not page.of("img")
    assert not [name for _, attributes in page.elements for name in attributes if name.startswith("on")]


async def test_hostile_text_is_shown_as_it_was(client: httpx.AsyncClient) -> None:
    """The line can be read, and characters that hide or turn text are spelled out."""
    page = Parsed((await client.get("/s/%3Cscript%3Ealert(1)%3C%2Fscript%3E.example%40203.0.113.66")).text)
    shown = [text for kind, text in page.texts if kind == "pre"]
    assert EVIL_LINE.replace("\u202e", "\\u202e").replace("\x07", "\\x07") in shown
    assert any(text == f"{EVIL}@203.0.113.66" for _, text in page.texts)


@pytest.mark.parametrize("path", ["/", f"/s/{SERVER}", "/servers", "/healthz", "/nowhere"])
async def test_every_answer_carries_the_guards(client: httpx.AsyncClient, path: str) -> None:
    """No scripts but our own, no frames, no guessing of types, no copy kept."""
    headers = (await client.get(path)).headers
    assert headers["content-security-policy"].startswith("default-src 'none'; style-src 'sha256-")
    assert "unsafe" not in headers["content-security-policy"]
    assert (headers["x-content-type-options"], headers["referrer-policy"]) == ("nosniff", "no-referrer")


async def test_the_guard_lets_in_exactly_what_stands_on_the_page(client: httpx.AsyncClient) -> None:
    """The hashes are those of the page's own style and script, byte for byte."""
    answer = await client.get("/")
    for kind in ("style", "script"):
        found = re.search(f"<{kind}>(.*?)</{kind}>", answer.text, re.DOTALL)
        assert found is not None
        digest = base64.b64encode(sha256(found[1].encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}'" in answer.headers["content-security-policy"]


async def test_the_list_leads_to_each_server(client: httpx.AsyncClient) -> None:
    """Each link of the list is a page."""
    page = Parsed((await client.get("/")).text)
    links = [str(a["href"]) for a in page.of("a") if str(a.get("href")).startswith("/s/")]
    assert len(links) == 3
    for link in links:
        assert (await client.get(link)).status_code == 200


async def test_links_of_the_list_keep_the_filter(client: httpx.AsyncClient) -> None:
    """Sorting keeps what was asked; choosing the same column again turns it round; paging goes on."""
    page = Parsed((await client.get("/?q=example&sort=server&order=desc&limit=2")).text)
    links = {str(a["href"]) for a in page.of("a")}
    assert "/?q=example&sort=server&order=asc&limit=2" in links
    assert "/?q=example&sort=server&limit=2&page=2" in links
    assert [a.get("aria-sort") for a in page.of("th") if a.get("aria-sort")] == ["descending"]


async def test_the_page_of_a_server_is_drawn_and_told(client: httpx.AsyncClient) -> None:
    """A chart with title and description, now, steps and dots; the same as a table; times that a script can localise."""
    text = (await client.get(f"/s/{SERVER}")).text
    page = Parsed(text)
    assert len(page.of("svg")) == 1
    classes = [str(a.get("class")) for a in page.of("rect")]
    assert len([name for name in classes if "bar throttle" in name]) == 4
    assert len([name for name in classes if "bar block" in name]) == 4
    assert len([a for a in page.of("line") if a.get("class") == "now"]) == 1
    kinds = {str(a.get("class")) for a in page.of("circle")}
    assert {"dot opened", "dot step", "dot notice", "dot seen", "dot all"} <= kinds
    assert any(kind == "desc" and "stage 8 from" in told for kind, told in page.texts)
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", str(a["datetime"])) for a in page.of("time"))
    assert "550 5.7.230" in text or "In this hour: " in text


async def test_the_page_of_an_exempt_server_says_until_when() -> None:
    """And who answers for that, in the answer for programs, too."""
    world = World()
    world.open_case()
    world.ask(SetExemption, kind="server", target=SERVER, owner="ben", until=world.now + DAY)
    async with client_of(board_of(world), world) as client:
        page = await client.get(f"/s/{SERVER}")
        report = await client.get(f"/servers/{SERVER}")
    assert f"server {SERVER}, ben answers for that" in page.text
    assert [one["owner"] for one in report.json()["explanation"]["exempt"]] == ["ben"]


@pytest.mark.parametrize(
    ("mode", "frozen", "words"),
    [
        ("observe", False, "Observe mode"),
        ("enforce", True, "Frozen by an operator"),
    ],
)
async def test_a_banner_says_what_to_know(mode: str, frozen: bool, words: str) -> None:
    """Observe mode and a freeze stand on top of each page."""
    world = World(policy_for(mode))
    world.see()
    if frozen:
        world.freeze("freeze-0001", frozen=True)
    async with client_of(board_of(world), world) as client:
        for path in ("/", f"/s/{SERVER}", "/s/nobody"):
            assert words in (await client.get(path)).text


async def test_a_blind_hold_and_a_scaled_clock_are_told() -> None:
    """Nobody looked for hours: the banner says so; and that dates are not real."""
    world = World()
    world.see()
    world.pass_time(timedelta(hours=3), watched=False)
    clock = StillClock(world.now)
    clock.scaled = True
    app = build_app(board_of(world), StatusSettings(), load_catalogue(), clock=clock, publisher=Bus())
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://status") as client:
        text = (await client.get("/")).text
    assert "The law stands still" in text
    assert "the dates are not real" in text

"""Status with tokens of three roles, over a bus with a law behind it: what is asked over HTTP is decided at once."""

import asyncio
from pathlib import Path
from typing import Any

import httpx
import msgspec

from services.cli.token import new_token
from services.status.app import build_app
from services.status.settings import StatusSettings
from services.status.view import Board
from shared.domain.catalogue import load_catalogue
from shared.messaging.asking import Outgoing
from shared.messaging.codec import decode
from tests.support.scenario import NAME, SERVER, World
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


def detail(answer: httpx.Response, status: int) -> str:
    """The one sentence of an answer that is a problem."""
    assert answer.status_code == status, answer.text
    found = answer.json()
    assert list(found) == ["detail"]
    assert isinstance(found["detail"], str)
    assert "\n" not in found["detail"]
    return str(found["detail"])

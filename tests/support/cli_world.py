"""The commands over a world in memory: what stands below the port (state, log, answers) is a fold; all above is the real thing."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from shared.domain import events as e
from shared.domain.answer import AnyRequest, request_in
from shared.domain.records import PolicyRecord
from shared.messaging import topics as t
from shared.messaging.asking import outgoing
from shared.messaging.codec import encode
from shared.runtime.settings import CommonSettings
from tests.support.scenario import World
from tests.support.status_state import records_of

_READERS = ("act_targets", "live_state", "explain", "explain_case", "request")


class CliWorld:
    """A bus of one world. away: no enforcer answers; what is published waits. asked: what was published."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.away = False
        self.asked: list[AnyRequest] = []
        self._waiting: dict[str, list[bytes]] = {t.REQUESTS: [], t.CONTROL: []}

    async def ask_all(
        self, _: CommonSettings, requests: Sequence[AnyRequest], *, wait_s: float
    ) -> dict[str, e.LogRecord]:
        """As `bus.ask_all`: published, and decided by the law unless nobody is there."""
        del wait_s
        self.asked += requests
        if self.away:
            for topic, _key, value in map(outgoing, requests):
                self._waiting[topic].append(value)
            return {}
        answers: dict[str, e.LogRecord] = {}
        for request in requests:
            before = len(self.world.log)
            self.world.take(request)
            for record, _stored in self.world.log[before:]:
                asked = request_in(record.event)
                if asked is not None:
                    answers.setdefault(asked.id, record)
        return answers

    async def ask(self, settings: CommonSettings, request: AnyRequest, *, wait_s: float) -> e.LogRecord | None:
        """As `bus.ask`."""
        return (await self.ask_all(settings, [request], wait_s=wait_s)).get(request.id)

    async def each(
        self, _: CommonSettings, __: object, topic: str, *, start: int | None = None
    ) -> AsyncGenerator[SimpleNamespace, None]:
        """As `bus.each`, of what the enforcer would have written."""
        del start
        # As the enforcer keeps them beside its servers.
        policy = encode(PolicyRecord(policy=self.world.fold.policy, exemptions=self.world.fold.reprieves.in_force()))
        accounts = self.world.fold.reprieves.accounts.items()
        records = [
            (t.ENFORCER_STATE, t.KEY_POLICY, policy),
            *((t.ENFORCER_STATE, t.KEY_ACCOUNT_PREFIX + of.encode(), msgspec.json.encode(one)) for of, one in accounts),
            *records_of(self.world),
            *((topic_of, None, one) for topic_of, kept in self._waiting.items() for one in kept),
        ]
        for name, key, value in records:
            if name == topic:
                yield SimpleNamespace(key=key, value=value, offset=0)

    async def from_seq(self, settings: CommonSettings, seq: int) -> AsyncGenerator[bytes, None]:
        """As `log_lookup.from_seq`."""
        del settings
        for record, stored in self.world.log:
            if record.seq >= seq:
                yield stored

    async def table(
        self, settings: CommonSettings, topic: str, *, wanted: Callable[[bytes, bytes], bool] | None = None
    ) -> dict[bytes, bytes]:
        """As `bus.table`."""
        return {
            record.key: record.value if wanted is None or wanted(record.key, record.value) else b""
            async for record in self.each(settings, None, topic)
        }


@asynccontextmanager
async def _reading(_: CommonSettings) -> AsyncIterator[None]:
    yield None


def put_below(monkeypatch: pytest.MonkeyPatch, bus: CliWorld) -> None:
    """Let every command speak to *bus*."""
    fakes: dict[str, Callable[..., Any]] = {
        "reading": _reading,
        "each": bus.each,
        "from_seq": bus.from_seq,
        "table": bus.table,
        "ask": bus.ask,
        "ask_all": bus.ask_all,
    }
    for module in ("act_asking", "freeze", *_READERS):
        for name, fake in fakes.items():
            monkeypatch.setattr(f"services.cli.{module}.{name}", fake, raising=False)

"""What a test writes to the topics of one enforcer's setup, and reads there."""

import msgspec

from services.enforcer.setup import Setup
from shared.domain.events import LogRecord
from shared.domain.records import DeadLetter, Heartbeat
from shared.domain.state import Position
from shared.messaging import topics as t
from tests.support import enforcers, law
from tests.support.law_check import Checked, check_law


async def position(setup: Setup) -> Position | None:
    """How far its enforcer has come; None before it wrote anything."""
    table = await law.read_table(setup.settings.bootstrap, setup.prefix, t.ENFORCER_STATE)
    value = table.get(t.KEY_POSITION)
    return msgspec.json.decode(value, type=Position) if value else None


async def heartbeat(setup: Setup) -> Heartbeat:
    """The newest one, once there is one."""
    table: dict[bytes, bytes] = {}

    async def there() -> bool:  # a commit is answered before its marks stand in every topic
        table.update(await law.read_table(setup.settings.bootstrap, setup.prefix, t.DECISIONS))
        return t.KEY_HEARTBEAT in table

    await law.eventually(there, "a heartbeat")
    return msgspec.json.decode(table[t.KEY_HEARTBEAT], type=Heartbeat)


async def read_up_to(setup: Setup, **offsets: int) -> None:
    """Wait until the position of each topic named has come so far."""

    async def there() -> bool:
        found = await position(setup)
        return found is not None and all(found.offsets[topic] >= offset for topic, offset in offsets.items())

    await law.eventually(there, f"position at {offsets}")


async def feed(setup: Setup, *inputs: msgspec.Struct) -> None:
    """Write inputs to their topics."""
    async with law.feeder(setup.settings.bootstrap, setup.prefix) as feeder:
        await feeder.feed(inputs)


async def feed_raw(setup: Setup, *values: tuple[str, bytes | None]) -> None:
    """Write bytes to topics."""
    async with law.feeder(setup.settings.bootstrap, setup.prefix) as feeder:
        await feeder.feed_raw(values)


async def checked(setup: Setup) -> Checked:
    """The log, checked whole."""
    return await check_law(setup.settings.bootstrap, setup.prefix)


async def letters(setup: Setup) -> list[DeadLetter]:
    """All dead letters."""
    records = await law.read_topic(setup.settings.bootstrap, setup.prefix, t.DEAD_LETTERS)
    return [msgspec.json.decode(record.value, type=DeadLetter) for record in records]


async def recreate(setup: Setup, topic: str) -> None:
    """Delete a topic and make it anew, as an operator might by mistake."""
    await enforcers.recreate(setup.settings.bootstrap, setup.prefix, topic)


def kinds(log: list[LogRecord]) -> list[str]:
    """What happened, by the names of the events."""
    return [type(record.event).__name__ for record in log]


async def open_case(setup: Setup) -> None:
    """An enforced case for SERVER: 1 request, 3 sightings, 2 marks are read."""
    async with enforcers.enforcer(setup):
        await feed(setup, law.adopt(law.enforced(), law.utc_now()))
        await read_up_to(setup, requests=1)
        now = law.utc_now()
        await feed(setup, *law.three_hours(now), *law.marks(now))
        await read_up_to(setup, sightings=5)

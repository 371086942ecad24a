"""The enforcer's wiring: topics as they must be, an election, and a leader for as long as this process is elected."""

import asyncio

from services.enforcer.election import Election
from services.enforcer.follow import Follower
from services.enforcer.leader import lead
from services.enforcer.setup import Setup
from shared.domain.errors import ConfigError
from shared.messaging import admin
from shared.messaging.kafka import await_broker
from shared.runtime.settings import shown


async def run(setup: Setup, stop: asyncio.Event) -> None:
    """
    Run until *stop* is set.

    Raises:
        ConfigError: settings, topics, clock or position cannot be used.
        PatchgateError, KafkaError: the process must end, and may be started again.
    """
    setup.log.info(
        "started",
        instance=setup.instance,
        version=setup.version,
        scaled_clock=setup.clock.scaled,
        **shown(setup.settings),
    )
    setup.progress.clear()
    if not await await_broker(
        setup.settings.bootstrap, stop, lambda why: setup.log.warning("waiting_for_broker", why=why)
    ):
        return
    await _check_topics(setup)
    follower = Follower(setup)

    async def lead_on(over: asyncio.Event) -> None:
        await lead(setup, follower, over)

    follower.start()  # beside the election: reading is what a start waits for
    try:
        await Election(setup, lead_on, follower.tell).run(stop)
    finally:
        await follower.stop()
    setup.log.info("stopped")


async def _check_topics(setup: Setup) -> None:
    differences = await admin.check(setup.settings.bootstrap, setup.prefix)
    if differences:
        more = f" (and {len(differences) - 1} more: `patchgate topics check`)" if len(differences) > 1 else ""
        raise ConfigError(f"{differences[0]}{more}")

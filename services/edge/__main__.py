"""`python -m services.edge`: environment, settings, clock, and the edge until SIGTERM or SIGINT."""

import asyncio
import os
import signal
import sys

from services.edge.app import EdgeApp
from services.edge.settings import EdgeSettings
from shared.domain.errors import ConfigError
from shared.runtime.clock import open_clock
from shared.runtime.logging import set_up_logging
from shared.runtime.settings import from_env, shown


async def _serve(settings: EdgeSettings) -> None:
    log = set_up_logging("edge", as_json=settings.log_json)
    clock = open_clock(settings.clock_file)
    log.info("started", pid=os.getpid(), **shown(settings))
    if clock.scaled:
        log.warning("scaled-clock", file=settings.clock_file)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await EdgeApp(settings, clock).run(stop)
    log.info("stopped")


def main() -> int:
    """Run one edge; the exit code is 1 with one line on stderr where the settings cannot be used."""
    try:
        import uvloop  # noqa: PLC0415  (optional: half the CPU a message where it is installed)
    except ImportError:
        run = asyncio.run
    else:
        run = uvloop.run
    try:
        run(_serve(from_env(EdgeSettings, os.environ)))
    except ConfigError as error:
        sys.stderr.write(f"edge: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""`python -m services.notifier`: environment → settings → run. Exit code 1 and one line where it cannot go on."""

import asyncio
import os
import signal
import sys

from services.notifier.app import Notifier
from services.notifier.settings import NotifierSettings, check
from shared.domain.errors import PatchgateError
from shared.runtime.clock import open_clock
from shared.runtime.logging import set_up_logging
from shared.runtime.settings import from_env, shown


async def _run(settings: NotifierSettings) -> None:
    log = set_up_logging("notifier", as_json=settings.log_json)
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    log.info("started", **shown(settings))
    await Notifier(settings, open_clock(settings.clock_file), log).run(stopping)


def main() -> int:
    """Run the notifier; returns the exit code."""
    try:
        settings = from_env(NotifierSettings, os.environ)
        check(settings)
        asyncio.run(_run(settings))
    except PatchgateError as error:
        print(f"patchgate notifier: {error}", file=sys.stderr)  # noqa: T201  (the one line a supervisor shows)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

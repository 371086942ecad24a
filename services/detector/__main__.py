"""`python -m services.detector`: environment → settings → run. Exit code 1 and one line where it cannot go on."""

import asyncio
import os
import signal
import sys

from services.detector.app import run
from services.detector.settings import DetectorSettings
from shared.domain.errors import PatchgateError
from shared.runtime.logging import set_up_logging
from shared.runtime.settings import from_env, shown


async def _run(settings: DetectorSettings) -> None:
    log = set_up_logging("detector", as_json=settings.log_json)
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    log.info("started", **shown(settings))
    await run(settings, log=log, stopping=stopping)


def main() -> int:
    """Run the detector; returns the exit code."""
    try:
        asyncio.run(_run(from_env(DetectorSettings, os.environ)))
    except PatchgateError as error:
        print(f"patchgate detector: {error}", file=sys.stderr)  # noqa: T201  (the one line a supervisor shows)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

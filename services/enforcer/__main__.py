"""`python -m services.enforcer`: the environment in, adapters built, run. Exit code 1 and one line when it cannot go on."""

import asyncio
import os
import signal
import sys
from importlib.metadata import version

import uvloop
from aiokafka.errors import KafkaError

from services.enforcer.app import run
from services.enforcer.progress import Progress
from services.enforcer.settings import EnforcerSettings, instance_of
from services.enforcer.setup import Setup, Steps, no_steps
from shared.domain.errors import PatchgateError
from shared.runtime.clock import open_clock
from shared.runtime.logging import set_up_logging
from shared.runtime.settings import from_env


def main(steps: Steps = no_steps) -> int:
    """Run until SIGTERM or SIGINT; the exit code. steps: for crash tests."""
    try:
        settings = from_env(EnforcerSettings, os.environ)
        setup = Setup(
            settings=settings,
            instance=(instance := instance_of(settings)),
            clock=open_clock(settings.clock_file),
            version=version("patchgate"),
            log=set_up_logging("enforcer", as_json=settings.log_json),
            progress=Progress(settings.state_dir, instance),
            steps=steps,
        )
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_until_told(setup))
    except PatchgateError as error:
        return _failed(str(error))
    except KafkaError as error:
        return _failed(f"the broker failed: {error!r}; look at its log, then start again: nothing is lost")
    return 0


async def _until_told(setup: Setup) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await run(setup, stop)


def _failed(text: str) -> int:
    sys.stderr.write(f"patchgate enforcer: {text}\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())

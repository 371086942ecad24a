"""`python -m services.status`: the environment, the adapters, and one loop for the reader and the pages."""

import asyncio
import os
import signal
import socket
import sys
from contextlib import suppress

import structlog
import uvicorn

from services.status.app import build_app
from services.status.publisher import KafkaPublisher, NotAskedError
from services.status.reader import Reader
from services.status.settings import StatusSettings
from services.status.standbys import watch
from services.status.tokens import Tokens
from services.status.view import Board
from shared.domain.errors import ConfigError, PatchgateError
from shared.runtime.catalogue_files import load_catalogue_of
from shared.runtime.clock import Clock, open_clock
from shared.runtime.logging import set_up_logging
from shared.runtime.settings import from_env, shown

_GRACE_S = 5  # open requests may finish for so long


def listening(settings: StatusSettings) -> socket.socket:
    """
    A bound socket, so that a taken port is one clear line and a free one is known before anybody asks.

    Raises:
        ConfigError: the address cannot be bound.
    """
    family = socket.AF_INET6 if ":" in settings.status_host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((settings.status_host, settings.status_port))
    except OSError as error:
        bound.close()
        raise ConfigError(
            f"status cannot listen on {settings.status_host} port {settings.status_port}: {error.strerror}; "
            "set PATCHGATE_STATUS_HOST and PATCHGATE_STATUS_PORT (0 takes any free port)"
        ) from error
    return bound


async def run(settings: StatusSettings, clock: Clock, log: structlog.stdlib.BoundLogger, bound: socket.socket) -> None:
    """Serve until a signal; what ends the reader otherwise is a fault and ends the process with it."""
    board = Board()
    publisher = KafkaPublisher(settings.bootstrap, settings.topic_prefix)
    app = build_app(board, settings, load_catalogue_of(settings.state_dir), clock=clock, publisher=publisher)
    server = uvicorn.Server(
        uvicorn.Config(app, log_config=None, access_log=False, server_header=False, timeout_graceful_shutdown=_GRACE_S)
    )
    # Uvicorn raises the signal once more when it has ended; with a handler of ours in place that ends nothing, and we end with 0.
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, setattr, server, "should_exit", True)  # noqa: FBT003  (setattr takes no keyword)
    asking = asyncio.create_task(_reach(publisher, wanted=bool(settings.status_tokens)))
    reading = asyncio.create_task(Reader(settings, clock, board, log).run())
    watching = asyncio.create_task(watch(settings, log, lambda found: setattr(board, "standbys", found)))
    serving = asyncio.create_task(server.serve(sockets=[bound]))
    await asyncio.wait({reading, watching, serving}, return_when=asyncio.FIRST_COMPLETED)
    server.should_exit = True
    await serving
    for task in (reading, watching):
        if task.done():
            task.result()
        task.cancel()
    asking.cancel()
    await asyncio.gather(reading, watching, asking, return_exceptions=True)
    await publisher.stop()


async def _reach(publisher: KafkaPublisher, *, wanted: bool) -> None:
    """Make the producer before somebody asks; where the bus is away, the first who asks makes it, or is told."""
    with suppress(NotAskedError):
        if wanted:
            await publisher.start()


def main() -> int:
    """Run status; the exit code."""
    try:
        settings = from_env(StatusSettings, os.environ)
        log = set_up_logging("status", as_json=settings.log_json)
        clock = open_clock(settings.clock_file)
        if settings.status_tokens:
            Tokens(settings.status_tokens).refresh()
        bound = listening(settings)
    except ConfigError as error:
        sys.stderr.write(f"patchgate status: {error}\n")
        return 1
    host, port = bound.getsockname()[:2]
    log.info(
        "started",
        address=f"http://{f'[{host}]' if ':' in host else host}:{port}/",
        scaled_clock=clock.scaled,
        **shown(settings),
    )
    if not settings.is_local:
        log.warning(
            "open-to-others", host=host, cause="the pages ask nobody who he is; put them behind something that does"
        )
    try:
        asyncio.run(run(settings, clock, log, bound))
    except PatchgateError as error:
        sys.stderr.write(f"patchgate status: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

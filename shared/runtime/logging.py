"""Logging: structlog, one line an event; JSON where nobody watches a terminal. Event names are fixed, values are fields."""

import logging
import sys
import time

import structlog

_REPEATS_S = 10.0
_REPEATS_KEPT = 200


class RepeatFilter(logging.Filter):
    """
    Lets one line of a kind through every 10 s; the next one says how many were held back.

    A client library without its broker writes a hundred lines a second. Kinds: the unformatted message; at 200 of them the
    table is dropped and all may speak again.
    """

    def __init__(self) -> None:
        super().__init__()
        self._told: dict[str, tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether *record* is written."""
        kind, moment = str(record.msg), time.monotonic()
        at, held_back = self._told.get(kind, (float("-inf"), 0))
        if moment - at < _REPEATS_S:
            self._told[kind] = (at, held_back + 1)
            return False
        if len(self._told) >= _REPEATS_KEPT:
            self._told.clear()
        self._told[kind] = (moment, 0)
        if held_back:
            record.msg = f"{record.getMessage()} (and {held_back} more like it in the {moment - at:.0f} s before)"
            record.args = None
        return True


def set_up_logging(service: str, *, as_json: bool) -> structlog.stdlib.BoundLogger:
    """Configure logging for this process, once, and return its logger with the service's name bound."""
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(name)s %(levelname)s %(message)s")
    for handler in logging.getLogger().handlers:
        handler.addFilter(RepeatFilter())
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer() if as_json else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    logger: structlog.stdlib.BoundLogger = structlog.get_logger(service=service)
    return logger

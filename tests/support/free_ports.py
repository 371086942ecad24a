"""Ports in a row that are free now, for what takes several."""

import random

from shared.domain.errors import ConfigError
from shared.messaging import probe

_TRIES = 200


def free_row(count: int) -> int:
    """The first of *count* loopback ports in a row, below those that the system hands out by itself."""
    for _ in range(_TRIES):
        first = random.randrange(20_000, 32_000)  # noqa: S311 - nobody is to be kept from guessing it
        try:
            for port in range(first, first + count):
                probe.check_free("127.0.0.1", port)
        except ConfigError:
            continue
        return first
    raise AssertionError(f"no {count} free ports in a row")

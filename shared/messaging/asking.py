"""Where a request goes: its topic, its key, its bytes. The same for the command line and for HTTP."""

from typing import NamedTuple

from shared.domain.answer import AnyRequest
from shared.domain.records import SetFreeze
from shared.messaging import topics as t
from shared.messaging.codec import encode


class Outgoing(NamedTuple):
    """One record to publish. topic: without the prefix."""

    topic: str
    key: bytes | None
    value: bytes


def outgoing(request: AnyRequest) -> Outgoing:
    """
    The record of *request*: a freeze goes to `control`, which the edges read; all else to `requests`.

    Raises:
        RecordSchemaError: it is too large for the bus.
    """
    if isinstance(request, SetFreeze):
        return Outgoing(t.CONTROL, t.KEY_FREEZE, encode(request))
    return Outgoing(t.REQUESTS, None, encode(request))

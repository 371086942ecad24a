"""A mail as a log or a history tells it: who handed it over is known from the server itself, and not from a line on top."""

from typing import NamedTuple

from shared.domain.evidence import ClientResolve


class Logged(NamedTuple):
    """
    One mail. name, resolve: of the client, as its server looked it up; helo: "" where it is not told.

    auth: a user who logged in. received: the sender's lines, top first, from their last `by` on; None where no line is told.
    own_on_top: lines of one's own servers may stand above them. own: the line that the server itself wrote, empty where it
    is not told. seconds: since 1970 UTC, None without a readable time.
    """

    address: str
    name: str
    resolve: ClientResolve
    helo: str
    auth: bool
    received: tuple[bytes, ...] | None
    seconds: int | None
    own: bytes = b""
    own_on_top: bool = False

"""The consumer groups by which services find one another, for what two of them must spell alike."""

import msgspec


def enforcers(prefix: str) -> str:
    """The group in which enforcers elect who leads; its members' client ids are their instance names."""
    return f"{prefix}enforcer"


def standby(prefix: str, instance: str) -> str:
    """The group under which a standby commits how far it has followed `enforcer-state`: for displays, nothing starts there."""
    return f"{prefix}enforcer-standby.{instance}"


class StandbySays(msgspec.Struct, frozen=True, kw_only=True):
    """
    The metadata of that offset. warm: it has come to the end once, and follows since.

    seq: the newest record of the log that its state holds. behind: offsets that it had still to read.
    """

    warm: bool
    seq: int
    behind: int

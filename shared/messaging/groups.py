"""The consumer groups by which services find one another: names that two of them must spell alike."""


def enforcers(prefix: str) -> str:
    """The group in which enforcers elect who leads; its members' client ids are their instance names."""
    return f"{prefix}enforcer"


def standby(prefix: str, instance: str) -> str:
    """The group under which a standby commits how far it has followed `enforcer-state`: for displays only, nothing starts there."""
    return f"{prefix}enforcer-standby.{instance}"


WARM, READING = "warm", "reading"
"""The metadata of that offset: the standby has come to the topic's end once, or is still on its way."""

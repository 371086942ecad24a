"""The topics: names, partitions, what they keep. `patchgate topics apply` creates them; nothing relies on automatic creation."""

import msgspec

_DAY_MS = 24 * 3600 * 1000

MAIL_EVIDENCE = "mail-evidence"
SIGHTINGS = "sightings"
REQUESTS = "requests"
CONTROL = "control"
LOG = "log"
DECISIONS = "decisions"
ENFORCER_STATE = "enforcer-state"
CONTACTS = "contacts"
VERDICTS = "verdicts"
EDGE_REPORTS = "edge-reports"
DEAD_LETTERS = "dead-letters"

# One partition: their order is part of their meaning. Reserved keys of `decisions` and `enforcer-state` hold no dot and no
# "@", and every server id holds one of the two; what follows one of the two prefixes may be anything.
KEY_HEARTBEAT = b"heartbeat"
KEY_POLICY = b"policy"
KEY_POSITION = b"position"
KEY_FREEZE = b"freeze"
KEY_REQUEST_PREFIX = b"request "
KEY_ACCOUNT_PREFIX = b"account "

_COMPACTED = {
    "cleanup.policy": "compact",
    "segment.bytes": str(16 * 1024 * 1024),
    "segment.ms": str(3600 * 1000),
    "min.cleanable.dirty.ratio": "0.1",
}


def _kept(days: int) -> dict[str, str]:
    return {"cleanup.policy": "delete", "retention.ms": str(days * _DAY_MS)}


_APPEND_TIME = {"message.timestamp.type": "LogAppendTime"}


class Topic(msgspec.Struct, frozen=True, kw_only=True):
    """One topic as it must be. spread: its partition count is a setting."""

    name: str
    config: dict[str, str]
    spread: bool = False


TOPICS: tuple[Topic, ...] = (
    Topic(name=MAIL_EVIDENCE, config=_kept(14), spread=True),
    Topic(name=SIGHTINGS, config=_kept(14)),
    Topic(name=REQUESTS, config=_kept(14) | _APPEND_TIME),
    Topic(name=CONTROL, config=_COMPACTED),
    Topic(name=LOG, config={"cleanup.policy": "delete", "retention.ms": "-1", "retention.bytes": "-1"}),
    Topic(name=DECISIONS, config=_COMPACTED | _APPEND_TIME),
    Topic(name=ENFORCER_STATE, config=_COMPACTED),
    Topic(name=CONTACTS, config=_COMPACTED),
    Topic(name=VERDICTS, config=_kept(14), spread=True),
    Topic(name=EDGE_REPORTS, config=_COMPACTED | _APPEND_TIME),
    Topic(name=DEAD_LETTERS, config=_kept(30)),
)
"""All topics, in the order in which they are created."""

INPUTS = (SIGHTINGS, REQUESTS, CONTROL)
"""What the enforcer reads; `position` holds an offset of each."""

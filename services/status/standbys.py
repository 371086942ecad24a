"""
Which enforcers stand by, and how far each has followed: asked of the broker's groups, for displays only.

A live enforcer is a member of the group of enforcers; its client id is its name. A standby commits how far it is under a
group of its own. What cannot be learned is shown as unknown, and makes no report wrong.
"""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import msgspec
import structlog
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment
from aiokafka.errors import KafkaError

from services.status.settings import StatusSettings
from shared.messaging import groups
from shared.messaging import topics as t

_ASK_S = 2.0
_ANSWER_S = 5.0
_AGAIN_S = 5.0
SHOWN_MAX = 20
"""Enforcers that are asked after; more than two or three are of no use, and those beyond the bound are not shown."""


class Standby(msgspec.Struct, frozen=True, kw_only=True):
    """
    An enforcer that lives and does not lead. warm: it has read the state to its end, and follows since.

    seq: the newest record of the log that its state holds; behind: records of the bus that it had still to read. None: it
    has not said yet.
    """

    instance: str
    warm: bool
    seq: int | None
    behind: int | None


Standbys = tuple[Standby, ...]


async def watch(
    settings: StatusSettings, log: structlog.stdlib.BoundLogger, show: Callable[[Standbys | None], None]
) -> None:
    """Ask now and then, until cancelled; *show* gets what was found, None while nothing is known."""
    while True:
        admin = AIOKafkaAdminClient(
            bootstrap_servers=settings.bootstrap, request_timeout_ms=int(_ANSWER_S * 1000), client_id="patchgate-status"
        )
        try:
            await admin.start()
            while True:
                async with asyncio.timeout(_ANSWER_S):
                    found = await find(admin, settings.topic_prefix)
                show(found)
                await asyncio.sleep(_ASK_S)
        except (KafkaError, OSError, TimeoutError) as error:
            log.warning("standbys-unknown", cause=f"{type(error).__name__}: {error}"[:300], again_in_s=_AGAIN_S)
            show(None)
        finally:
            with suppress(KafkaError, OSError, TimeoutError):
                async with asyncio.timeout(_ANSWER_S):
                    await admin.close()
        await asyncio.sleep(_AGAIN_S)


async def find(admin: AIOKafkaAdminClient, prefix: str) -> Standbys:
    """The standbys that live, by name. Raises KafkaError."""
    answers = await admin.describe_consumer_groups([groups.enforcers(prefix)])
    names = sorted({name for answer in answers for name in waiting(answer.groups)})[:SHOWN_MAX]
    return tuple([await _standby(admin, prefix, name) for name in names])


def waiting(described: list[tuple[Any, ...]]) -> Iterator[str]:
    """Of a description of groups the client ids of members to whom nothing is assigned."""
    for group in described:
        for _, client_id, _, _, assignment in group[5]:
            if not assignment or not ConsumerProtocolMemberAssignment.decode(assignment).partitions():
                yield client_id


async def _standby(admin: AIOKafkaAdminClient, prefix: str, instance: str) -> Standby:
    partition = TopicPartition(prefix + t.ENFORCER_STATE, 0)
    found = await admin.list_consumer_group_offsets(groups.standby(prefix, instance), partitions=[partition])
    told = found[partition].metadata if partition in found else ""
    try:
        says = msgspec.json.decode(told, type=groups.StandbySays)
    except msgspec.MsgspecError:  # it has said nothing yet, or is of another version
        return Standby(instance=instance, warm=False, seq=None, behind=None)
    return Standby(instance=instance, warm=says.warm, seq=says.seq, behind=says.behind)

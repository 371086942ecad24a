"""
Creating the topics, and telling where they differ from what they must be. Nothing is ever altered or deleted.

`apply` looks first and creates only if nothing differs, so that a refusal leaves everything as it was.

Copies are looked at apart: too few endanger what is kept, but make nothing wrong, so `check` tells of them when it is asked,
and nobody refuses to work.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import msgspec
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import (
    KafkaError,
    NodeNotReadyError,
    TopicAlreadyExistsError,
    UnknownTopicOrPartitionError,
    for_code,
)

from shared.domain.errors import ConfigError, TransientError
from shared.messaging.topics import TOPICS, Topic

DEFAULT_PARTITIONS = 4
"""Of the topics that spread: two detectors on two cores each, and room; it can be raised in Kafka, never lowered."""

COPIES, MIN_IN_SYNC = 3, 2
"""Where there are three brokers: a record is on all three, and acknowledged when two have it. One may die, and all goes on."""

_INTERNAL = ("__consumer_offsets", "__transaction_state")  # Kafka's own, made at first use
_CREATE_TIMEOUT_MS = 20_000
_SEEN_WITHIN_S = 20.0
_LOOK_EVERY_S = 0.05
_AWAY_S, _ASK_AGAIN_S = 45.0, 0.5  # a broker that died is missed after 6 s; a question to it takes up to 20 s

T = TypeVar("T")


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """What `apply` did with one topic (full name)."""

    topic: str
    created: bool


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that is not as it must be. setting: a Kafka setting, `partitions`, or `topic` where there is none."""

    topic: str
    setting: str
    expected: str
    found: str
    remedy: str

    def __str__(self) -> str:
        """One line: what, where, what to do."""
        return f"topic {self.topic}: {self.setting} is {self.found}, and must be {self.expected}; {self.remedy}"


async def apply(
    bootstrap: str, prefix: str, partitions: int = DEFAULT_PARTITIONS, replication: int | None = None
) -> list[Change]:
    """
    Create the topics that are missing.

    Args:
        bootstrap: host:port of the broker, several with commas.
        prefix: put before each name.
        partitions: of the topics that spread; the others have one, since their order is part of their meaning.
        replication: copies of each new topic; None: 3 where there are three brokers, else what the broker's own default is.

    Raises:
        ConfigError: a topic that exists differs (one line for each difference), or the broker refuses to create one.
        TransientError: the broker does not answer.
    """
    created: set[str] = set()

    async def make(admin: AIOKafkaAdminClient) -> None:
        found = await _differences(admin, prefix, partitions)
        wrong = [difference for difference in found if difference.setting != "topic"]
        if wrong:
            raise ConfigError("\n".join(str(difference) for difference in wrong))
        missing = {difference.topic for difference in found}
        if missing:
            new = [topic for topic in TOPICS if prefix + topic.name in missing]
            await _create(admin, new, prefix, partitions, replication or await _copies(admin))
            created.update(missing)
            await _await_all(admin, prefix, partitions)

    await _asked(bootstrap, make)
    return [Change(topic=prefix + topic.name, created=prefix + topic.name in created) for topic in TOPICS]


async def check(
    bootstrap: str, prefix: str, partitions: int | None = None, *, copies: bool = False
) -> list[Difference]:
    """
    Tell every difference; empty where all is well.

    Args:
        bootstrap: host:port of the broker, several with commas.
        prefix: put before each name.
        partitions: of the topics that spread; None: any number will do.
        copies: tell as well where there are fewer copies than the brokers allow, of Kafka's own topics too.

    Raises:
        TransientError: the broker does not answer.
    """

    async def told(admin: AIOKafkaAdminClient) -> list[Difference]:
        found = await _differences(admin, prefix, partitions)
        return found + (await _copy_differences(admin, prefix) if copies else [])

    return await _asked(bootstrap, told)


async def _asked(bootstrap: str, question: Callable[[AIOKafkaAdminClient], Awaitable[T]]) -> T:
    """
    The answer to a question that may be put again from its beginning.

    One broker of several may be away, and be named for some seconds (`broker.session.timeout.ms`) as one to be asked.
    """
    deadline = time.monotonic() + _AWAY_S
    while True:
        try:
            async with _admin(bootstrap) as admin:
                return await question(admin)
        except _AwayError:
            if time.monotonic() > deadline:
                raise
        await asyncio.sleep(_ASK_AGAIN_S)


class _AwayError(TransientError):
    """The broker that was asked is away."""


def _silent(bootstrap: str, error: Exception) -> str:
    return f"the broker at {bootstrap} does not answer as it should ({error!r}); is it running?"


@asynccontextmanager
async def _admin(bootstrap: str) -> AsyncIterator[AIOKafkaAdminClient]:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap, request_timeout_ms=_CREATE_TIMEOUT_MS)
    try:
        await admin.start()
        yield admin
    except (NodeNotReadyError, TimeoutError) as error:  # not there, or there and silent
        raise _AwayError(_silent(bootstrap, error)) from error
    except KafkaError as error:
        raise TransientError(_silent(bootstrap, error)) from error
    finally:
        await admin.close()


async def _create(
    admin: AIOKafkaAdminClient, topics: list[Topic], prefix: str, partitions: int, replication: int
) -> None:
    safe = {"min.insync.replicas": str(MIN_IN_SYNC)} if replication >= COPIES else {}
    new = [
        NewTopic(prefix + topic.name, partitions if topic.spread else 1, replication, topic_configs=topic.config | safe)
        for topic in topics
    ]
    response = await admin.create_topics(new, timeout_ms=_CREATE_TIMEOUT_MS)
    refused = []
    # The call raises nothing: each topic has its code. One that somebody else made meanwhile is checked next time.
    for name, code, *text in response.topic_errors:
        if code and for_code(code) is not TopicAlreadyExistsError:
            refused.append(
                f"topic {name} cannot be created: {for_code(code).__name__}: {text[0] if text else ''}".rstrip(": ")
            )
    if refused:
        raise ConfigError("\n".join(refused))


async def _await_all(admin: AIOKafkaAdminClient, prefix: str, partitions: int) -> None:
    """
    A broker tells of a new topic a moment after it was created; who starts behind `apply` must find it.

    Raises:
        ConfigError: all are there, and one differs.
        TransientError: one is not told of.
    """
    deadline = time.monotonic() + _SEEN_WITHIN_S
    while found := await _differences(admin, prefix, partitions):
        if all(
            difference.setting != "topic" for difference in found
        ):  # somebody else made one meanwhile, and otherwise
            raise ConfigError("\n".join(str(difference) for difference in found))
        if time.monotonic() > deadline:
            raise TransientError(f"created, but after {_SEEN_WITHIN_S:.0f} s still: {found[0]}")
        await asyncio.sleep(_LOOK_EVERY_S)


async def _differences(admin: AIOKafkaAdminClient, prefix: str, partitions: int | None) -> list[Difference]:
    existing = {entry["topic"]: len(entry["partitions"]) for entry in await admin.describe_topics()}
    names = [prefix + topic.name for topic in TOPICS]
    configs = await _configs(admin, [name for name in names if name in existing])
    found = []
    for topic, name in zip(TOPICS, names, strict=True):
        if name not in configs:
            remedy = "run `patchgate topics apply`"
            found.append(_difference(name, "topic", "there", "missing", remedy))
            continue
        found += _count_difference(topic, name, existing[name], partitions)
        found += _config_differences(topic, name, configs[name])
    return found


def _count_difference(topic: Topic, name: str, count: int, partitions: int | None) -> list[Difference]:
    expected = (partitions or count) if topic.spread else 1
    if count == expected:
        return []
    remedy = (
        f"name that number: `patchgate topics apply --partitions {count}`"
        if topic.spread
        else "partitions cannot be taken away: move to another PATCHGATE_TOPIC_PREFIX"
    )
    return [_difference(name, "partitions", str(expected), str(count), remedy)]


def _config_differences(topic: Topic, name: str, config: dict[str, str]) -> list[Difference]:
    return [
        _setting_difference(name, key, value, config.get(key, "unknown to the broker"))
        for key, value in topic.config.items()
        if config.get(key) != value
    ]


async def _copies(admin: AIOKafkaAdminClient) -> int:
    """
    How many copies a topic shall have.

    The brokers' own default counts too: with one of three away only two are seen, and theirs says that there are three.
    """
    brokers = [broker["node_id"] for broker in (await admin.describe_cluster())["brokers"]]
    configs = await _described(admin, [ConfigResource(ConfigResourceType.BROKER, str(brokers[0]))])
    default = configs[str(brokers[0])].get("default.replication.factor") or "1"
    return max(int(default), COPIES if len(brokers) >= COPIES else 1)


async def _copy_differences(admin: AIOKafkaAdminClient, prefix: str) -> list[Difference]:
    expected = await _copies(admin)
    if expected < COPIES:
        return []
    ours = {prefix + topic.name for topic in TOPICS} | set(_INTERNAL)
    copies = {
        entry["topic"]: min(len(partition["replicas"]) for partition in entry["partitions"])
        for entry in await admin.describe_topics()
        if entry["topic"] in ours and entry["partitions"]
    }
    configs = await _configs(admin, sorted(copies))
    found = []
    for name in sorted(configs):
        if copies[name] < COPIES:
            remedy = "add copies with Kafka's own tool kafka-reassign-partitions.sh"
            found.append(_difference(name, "replication", str(COPIES), str(copies[name]), remedy))
        least = configs[name].get("min.insync.replicas", "1")
        if int(least) < MIN_IN_SYNC:
            found.append(_setting_difference(name, "min.insync.replicas", str(MIN_IN_SYNC), least))
    return found


def _setting_difference(topic: str, key: str, value: str, found: str) -> Difference:
    remedy = f"set it with Kafka's own tool: kafka-configs.sh --alter --topic {topic} --add-config {key}={value}"
    return _difference(topic, key, value, found, remedy)


def _difference(topic: str, setting: str, expected: str, found: str, remedy: str) -> Difference:
    return Difference(topic=topic, setting=setting, expected=expected, found=found, remedy=remedy)


async def _configs(admin: AIOKafkaAdminClient, names: list[str]) -> dict[str, dict[str, str]]:
    """The settings in force of each topic, defaults included."""
    return await _described(admin, [ConfigResource(ConfigResourceType.TOPIC, name) for name in names])


async def _described(admin: AIOKafkaAdminClient, resources: list[ConfigResource]) -> dict[str, dict[str, str]]:
    if not resources:
        return {}
    found: dict[str, dict[str, str]] = {}
    for response in await admin.describe_configs(resources):
        for code, text, _kind, name, entries in response.resources:
            if code == UnknownTopicOrPartitionError.errno:
                continue  # deleted since it was listed
            if code:
                raise TransientError(f"the settings of {name} cannot be read: {for_code(code).__name__} {text or ''}")
            found[name] = {entry[0]: _text(entry[1]) for entry in entries}
    return found


def _text(value: Any) -> str:  # noqa: ANN401  (Kafka leaves the values of secrets out)
    return "" if value is None else str(value)

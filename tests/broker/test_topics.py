"""The topics on a real Kafka: made as they must be, refused where they differ, never altered."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from typer.testing import CliRunner

from services.cli.topics import app
from shared.domain.errors import ConfigError, TransientError
from shared.messaging import admin, probe
from shared.messaging import topics as t
from tests.support.law import eventually

pytestmark = pytest.mark.broker


@pytest.fixture
async def kafka(broker_bootstrap: str) -> AsyncIterator[AIOKafkaAdminClient]:
    """Lend an admin client of the test's own."""
    client = AIOKafkaAdminClient(bootstrap_servers=broker_bootstrap)
    await client.start()
    yield client
    await client.close()


async def test_apply_makes_every_topic_and_a_second_time_nothing(broker_bootstrap: str, prefix: str) -> None:
    """All are there with their settings and partitions afterwards; again changes nothing."""
    missing = await admin.check(broker_bootstrap, prefix)
    assert [(one.topic, one.setting) for one in missing] == [(prefix + topic.name, "topic") for topic in t.TOPICS]
    first = await admin.apply(broker_bootstrap, prefix, partitions=3)
    again = await admin.apply(broker_bootstrap, prefix, partitions=3)
    assert [change.created for change in first] == [True] * len(t.TOPICS)
    assert [change.created for change in again] == [False] * len(t.TOPICS)
    assert await admin.check(broker_bootstrap, prefix, 3) == []
    assert await admin.check(broker_bootstrap, prefix, copies=True) == []


async def test_only_topics_that_spread_have_more_than_one_partition(
    broker_bootstrap: str, prefix: str, kafka: AIOKafkaAdminClient
) -> None:
    """The number given is that of the topics that spread; order is part of the meaning of all others."""
    await admin.apply(broker_bootstrap, prefix, partitions=3)
    described = await kafka.describe_topics([prefix + topic.name for topic in t.TOPICS])
    counts = {entry["topic"].removeprefix(prefix): len(entry["partitions"]) for entry in described}
    assert counts == {topic.name: 3 if topic.spread else 1 for topic in t.TOPICS}
    assert counts[t.MAIL_EVIDENCE] == 3


async def test_apply_makes_what_is_missing_beside_what_is_there(
    broker_bootstrap: str, prefix: str, kafka: AIOKafkaAdminClient
) -> None:
    """A deleted topic is made again, and only that."""
    await admin.apply(broker_bootstrap, prefix)
    await kafka.delete_topics([prefix + t.VERDICTS])

    async def gone() -> bool:
        return [one.topic for one in await admin.check(broker_bootstrap, prefix)] == [prefix + t.VERDICTS]

    await eventually(gone, "verdicts is deleted")  # which the broker does a moment after its answer
    changes = await admin.apply(broker_bootstrap, prefix)
    assert [change.topic for change in changes if change.created] == [prefix + t.VERDICTS]


async def test_what_differs_is_refused_and_nothing_is_changed(
    broker_bootstrap: str, prefix: str, kafka: AIOKafkaAdminClient
) -> None:
    """A line for each difference with what to do; no topic is made beside a wrong one."""
    wrong = {"cleanup.policy": "delete", "segment.ms": "3600000", "segment.bytes": "16777216"}
    await kafka.create_topics(
        [
            NewTopic(prefix + t.DECISIONS, 1, 1, topic_configs=wrong),
            NewTopic(prefix + t.MAIL_EVIDENCE, 5, 1, topic_configs={"retention.ms": "1209600000"}),
            NewTopic(prefix + t.SIGHTINGS, 2, 1, topic_configs={"retention.ms": "1209600000"}),
        ]
    )

    async def told() -> bool:
        return sum(str(one["topic"]).startswith(prefix) for one in await kafka.describe_topics()) == 3

    await eventually(told, "the three are told of")  # which the broker does a moment after its answer
    with pytest.raises(ConfigError) as error:
        await admin.apply(broker_bootstrap, prefix)
    lines = str(error.value).splitlines()
    assert [line.split("; ")[0] for line in lines] == [
        f"topic {prefix}mail-evidence: partitions is 5, and must be 4",
        f"topic {prefix}sightings: partitions is 2, and must be 1",
        f"topic {prefix}decisions: cleanup.policy is delete, and must be compact",
        f"topic {prefix}decisions: min.cleanable.dirty.ratio is 0.5, and must be 0.1",
        f"topic {prefix}decisions: message.timestamp.type is CreateTime, and must be LogAppendTime",
    ]
    assert "--partitions 5" in lines[0]
    assert "PATCHGATE_TOPIC_PREFIX" in lines[1]
    assert "--add-config cleanup.policy=compact" in lines[2]
    assert len([one for one in await admin.check(broker_bootstrap, prefix) if one.setting == "topic"]) == 8
    # Any number of partitions will do for who does not name one.
    assert "mail-evidence" not in " ".join(map(str, await admin.check(broker_bootstrap, prefix)))


async def test_a_wrong_topic_that_is_told_of_only_after_the_first_look_is_refused_at_once(
    broker_bootstrap: str, prefix: str, kafka: AIOKafkaAdminClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As if somebody else had made it in that moment; it is no passing trouble."""
    await kafka.create_topics([NewTopic(prefix + t.SIGHTINGS, 2, 1)])
    look, looks = admin._differences, iter([True])

    async def late(*asked: Any) -> list[admin.Difference]:
        found = await look(*asked)
        return [one for one in found if one.setting == "topic"] if next(looks, False) else found

    monkeypatch.setattr(admin, "_differences", late)
    with pytest.raises(ConfigError, match=f"topic {prefix}sightings: partitions is 2, and must be 1"):
        await admin.apply(broker_bootstrap, prefix)


async def test_what_the_broker_refuses_is_told(broker_bootstrap: str, prefix: str) -> None:
    """More copies than brokers: the error code of each topic is looked at."""
    with pytest.raises(ConfigError, match=f"topic {prefix}log cannot be created: InvalidReplicationFactorError"):
        await admin.apply(broker_bootstrap, prefix, replication=3)


async def test_no_broker_is_one_line() -> None:
    """Nobody listens: the line names the address."""
    bootstrap = f"127.0.0.1:{probe.free_port()}"
    with pytest.raises(TransientError, match=bootstrap) as error:
        await admin.check(bootstrap, "p.")
    assert "\n" not in str(error.value)


def test_the_command_line_tells_and_exits_as_scripts_need_it(broker_bootstrap: str, prefix: str) -> None:
    """`check` fails before `apply` and passes after it; JSON for scripts; errors on stderr with exit code 1."""
    runner = CliRunner()
    common = ["--bootstrap", broker_bootstrap, "--prefix", prefix]
    before = runner.invoke(app, ["check", *common])
    assert before.exit_code == 1
    assert f"topic {prefix}log: topic is missing, and must be there; run `patchgate topics apply`" in before.stdout
    made = runner.invoke(app, ["apply", *common, "--partitions", "2", "--json"])
    assert made.exit_code == 0
    assert {one["topic"] for one in json.loads(made.stdout)} == {prefix + topic.name for topic in t.TOPICS}
    after = runner.invoke(app, ["check", *common, "--json"])
    assert (after.exit_code, json.loads(after.stdout)) == (0, [])
    assert "0 of them new" in runner.invoke(app, ["apply", *common, "--partitions", "2"]).stdout
    refused = runner.invoke(app, ["apply", *common])
    assert refused.exit_code == 1
    assert refused.stderr.count("patchgate: topic ") == 2
    assert "Traceback" not in refused.output

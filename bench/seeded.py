"""A fold of many servers with a case each, written to the topics as an enforcer would have left them."""

from datetime import UTC, datetime

from bench.stack import Place, apply_topics, as_written, write
from bench.world import opening, policy
from shared.domain.fold import Fold
from shared.domain.records import Origin


def folded(servers: int, at: datetime) -> tuple[Fold, bytes]:
    """*servers* with a case at day 0 each, and the newest record of the log."""
    fold = Fold(policy())
    written = fold.begin(at=at, version="bench")
    cause = Origin(topic="sightings", partition=0, offset=0)
    for number in range(servers):
        for sighting in opening(number, at):
            written += [*fold.tick(at=at, blind=False), *fold.take(sighting, cause, at=at)]
            del written[:-1]
    written += fold.tick(at=at, blind=False)
    return fold, written[-1][1]


async def seed(where: Place, servers: int) -> datetime:
    """Make the topics and write that state into them; the instant at which all of it was seen."""
    at = datetime.now(UTC)
    await apply_topics(where)
    fold, tip = folded(servers, at)
    await write(where, as_written(fold, tip))
    return at

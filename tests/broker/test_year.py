"""Two months of a small population through real Kafka, the enforcer killed and stopped on the way; `python -m tests.year` is the whole year."""

from pathlib import Path

import pytest

from tests.year.year import Options, Year

pytestmark = [pytest.mark.broker, pytest.mark.crash]


async def test_what_an_enforcer_writes_in_a_season_is_what_its_inputs_fold_to_byte_for_byte(
    broker_bootstrap: str, prefix: str, tmp_path: Path
) -> None:
    """Each server once a day; SIGKILL twice and SIGTERM once in the middle of a day: the same state, decisions and log."""
    told: list[str] = []
    options = Options(
        bootstrap=broker_bootstrap, prefix=prefix, directory=tmp_path, servers=200, days=60, restarts=3, seed=1
    )
    outcome = await Year(options, told.append).run()
    assert outcome.differences == ()
    assert outcome.sightings == 201 * 60
    assert outcome.servers == 200
    assert outcome.cases > 40
    assert outcome.records > 2_000
    assert told[-1].startswith("day 60 of 60, ")

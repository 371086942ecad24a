"""The verdict on one message."""

from datetime import UTC, datetime, timedelta

import pytest

from shared.domain.build import Build
from shared.domain.floors import Floor
from shared.domain.records import CaseSchedule, Decision, Row
from shared.domain.verdict import action_in, judge, row_at, window_start
from tests.support.scenario import E2007, E2016, FLOOR_2016, SERVER, START, policy_for, reading

POLICY = policy_for()
HOUR = datetime(2026, 11, 24, 11, 0, tzinfo=UTC)


def row(throttle: int, block: int, *, since: datetime = START, stage: int = 5) -> Row:
    """A row of a schedule."""
    return Row(since=since, stage=stage, throttle_minutes_per_hour=throttle, block_minutes_per_hour=block)


def decision(*rows: Row, enforced: bool = True, server: str = SERVER, floor: Floor | None = None) -> Decision:
    """One case."""
    accused = floor or Floor(product=E2016, builds=(FLOOR_2016,))
    case = CaseSchedule(product=accused.product, floor=accused, opened_at=START, enforced=enforced, rows=rows)
    return Decision(server=server, seq=7, policy_version=1, cases=(case,))


def test_the_window_of_the_design_page() -> None:
    """Salt k7, this server, this hour: minute 46."""
    assert window_start("k7", "ex07.alt.example@192.0.2.7", HOUR.replace(minute=59)) == 46


def test_block_minutes_come_first_then_throttle_minutes_and_they_wrap() -> None:
    """5 block and 30 throttle minutes from minute 46 on."""
    minutes = [action_in(row(30, 5), 46, minute) for minute in range(60)]
    assert [m for m in range(60) if minutes[m] == "reject"] == [46, 47, 48, 49, 50]
    assert minutes.count("defer") == 30
    assert minutes[51] == minutes[20] == "defer"
    assert minutes[21] == minutes[45] == "accept"


def test_the_replies_are_the_seeds_byte_for_byte() -> None:
    """With Exchange and Exchange Online as values."""
    full = judge(reading(), [decision(row(0, 60))], POLICY, law_now=START, now=HOUR)
    assert str(full.reply) == (
        "550 5.7.230 Connecting Exchange server version is out-of-date; "
        "connection to Exchange Online blocked for 60 mins/hr."
    )
    slow = judge(reading(), [decision(row(60, 0))], POLICY, law_now=START, now=HOUR)
    assert str(slow.reply) == (
        "450 4.7.230 Connecting Exchange server version is out-of-date; "
        "connection to Exchange Online throttled for 60 mins/hr."
    )
    assert (slow.action, full.action) == ("defer", "reject")


@pytest.mark.parametrize(
    "what",
    [
        None,
        reading(build=FLOOR_2016),
        reading(build=Build(15, 1, 2600, 1)),
        reading(build=Build(15, 1, 2507, 6), high=FLOOR_2016),
        reading(E2007, None),
        reading(build=None),
    ],
)
def test_a_message_that_does_not_prove_the_accusation_passes(what: object) -> None:
    """Patched, newer, a range that reaches the floor, another product, no product, no build: all pass at full block."""
    found = judge(what, [decision(row(0, 60))], POLICY, law_now=START, now=HOUR)  # type: ignore[arg-type]
    assert found.action == "accept"
    assert found.reply is None


def test_of_several_cases_the_mildest_row_holds() -> None:
    """Two ids match; the one that blocks less decides."""
    harsh, mild = decision(row(0, 60)), decision(row(5, 0, stage=2), server="ex07.alt.example")
    found = judge(reading(), [harsh, mild], POLICY, law_now=START, now=HOUR)
    assert found.decision is mild
    observed = decision(row(0, 60), enforced=False, server="other.example")
    assert judge(reading(), [mild, observed], POLICY, law_now=START, now=HOUR).why == "observed only"


def test_the_row_in_force_is_the_one_of_law_time() -> None:
    """Before the first row nothing is in force; at its instant a row is."""
    rows = (row(0, 0, stage=1), row(60, 0, since=START + timedelta(days=30), stage=2))
    case = decision(*rows).cases[0]
    assert row_at(case, START - timedelta(microseconds=1)) is None
    assert row_at(case, START + timedelta(days=30)) == rows[1]
    assert row_at(case, START + timedelta(days=30, microseconds=-1)) == rows[0]
    early = judge(reading(), [decision(*rows)], POLICY, law_now=START - timedelta(days=1), now=HOUR)
    assert early.action == "accept"


def test_observe_accepts_whatever_the_row() -> None:
    """A case of a connector that is only observed harms nobody."""
    found = judge(reading(), [decision(row(0, 60), enforced=False)], POLICY, law_now=START, now=HOUR)
    assert (found.action, found.reply) == ("accept", None)


@pytest.mark.parametrize(
    ("connector", "changes", "refused"),
    [
        ("internet", {}, True),
        ("branch", {}, True),
        (None, {"mode": "observe"}, True),
        ("internet", {"mode": "observe"}, False),
        ("branch", {"connectors": POLICY.connectors[:1]}, False),
        ("", {}, False),
    ],
)
def test_a_connector_that_the_policy_in_force_does_not_enforce_is_not_refused(
    connector: str | None, changes: dict[str, object], refused: bool
) -> None:
    """A case that still says enforced, from the policy before, refuses nobody; without a message the case alone says."""
    found = judge(
        reading(),
        [decision(row(0, 60))],
        policy_for(**changes),  # type: ignore[arg-type]  # any field of the policy
        law_now=START,
        now=HOUR,
        connector=connector,
    )
    assert (found.reply is not None, found.enforced) == (refused, refused)
    assert found.why == ("inside the server's block minutes" if refused else "observed only")

"""The model of the campaign, and its draw: without a broker. A check that finds nothing must be able to find something."""

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from shared.domain.floors import Floor
from shared.domain.records import CaseSchedule, Decision, Row
from shared.domain.verdict import window_start
from shared.runtime.clock import Segment
from tests.faults import checks
from tests.faults.campaign import Options, drawable, draws, rng_of
from tests.faults.senders import PRODUCT, Population
from tests.faults.table import TABLE
from tests.faults.traffic import PostfixLane, Traffic
from tests.faults.truth import STALE_AFTER_S, Answer, Beat, Mail, Truth

UTC0 = datetime(2026, 11, 24, 8, 0, tzinfo=UTC)
REAL0 = 1_800_000_000.0
SERVER = "ex1.alt.example"
OLD_MAIL = Mail(SERVER, PRODUCT, "own line")
PAGE = Path(__file__).parents[2] / "docs" / "architecture" / "faults.md"


def truth(
    *, throttle: int = 0, block: int = 60, rate: float = 1.0, frozen: bool = False, beat_at: float = 100.0
) -> Truth:
    """One server with one row since ever, and one heartbeat *beat_at* seconds in, H as old as itself."""
    one = Truth(Segment(real=datetime.fromtimestamp(REAL0, UTC), utc=UTC0, rate=rate), "k7")
    row = Row(since=UTC0, stage=8, throttle_minutes_per_hour=throttle, block_minutes_per_hour=block)
    case = CaseSchedule(product=PRODUCT, floor=Floor(product=PRODUCT), opened_at=UTC0, enforced=True, rows=(row,))
    one.note_decision(5, Decision(server=SERVER, seq=5, policy_version=1, cases=(case,)))
    at = REAL0 + beat_at
    one.note_beat(Beat(at=at, h_at=at, seq=5, law_now=one.utc(at), frozen=frozen))
    return one


def answer(outcome: str, at: float = 101.0, mail: Mail = OLD_MAIL) -> Answer:
    """A reply of edge-a, *at* seconds in."""
    return Answer(mail, "edge-a", REAL0 + at, REAL0 + at + 0.01, outcome, "550 5.7.230 blocked")


def test_a_refusal_that_the_law_gives_is_right_and_a_harsher_one_is_not() -> None:
    """Blocked all the time: a reject is the law's own; throttled all the time: a reject is harsher, a defer is not."""
    assert not truth(block=60).complaint(answer("reject"))
    assert truth(block=0, throttle=60).complaint(answer("reject"))
    assert not truth(block=0, throttle=60).complaint(answer("defer"))


def test_a_mail_that_proves_nothing_is_never_to_be_refused() -> None:
    """Whatever the row says."""
    assert "proves nothing" in truth().complaint(answer("defer", mail=Mail(SERVER, "", "null sender")))


def test_an_unknown_server_and_a_freeze_allow_nothing() -> None:
    """No decision in the refolded log, or a heartbeat that says frozen: no refusal."""
    assert truth().complaint(answer("reject", mail=Mail("ex2.alt.example", PRODUCT, "own line")))
    assert truth(frozen=True).complaint(answer("reject"))


def test_a_refusal_by_a_stale_heartbeat_is_too_harsh() -> None:
    """H is older than stale_after, with a moment's grace: the edge had to observe."""
    assert not truth().complaint(answer("reject", at=100 + STALE_AFTER_S))
    assert truth().complaint(answer("reject", at=100 + STALE_AFTER_S + 1.5))


def test_a_decision_of_later_than_all_heartbeats_allows_nothing() -> None:
    """What stands in the log behind the newest heartbeat cannot be obeyed yet."""
    one = truth()
    assert one.newest is not None
    one.note_beat(one.newest._replace(at=REAL0 + 100.2, seq=9))
    later = Decision(server=SERVER, seq=8, policy_version=1, cases=())
    one.note_decision(8, later)
    assert one.must_be(answer("accept", at=103.0)) == "accept"
    assert not one.complaint(answer("reject", at=101.0)), "within the last stale_after it was the law"


def test_minutes_are_those_of_the_servers_window() -> None:
    """Twenty block minutes: a reject inside them is right, half an hour later it is not, unless the edge's clock was off."""
    one = truth(block=20)
    start = window_start("k7", SERVER, UTC0)
    inside, outside = 60.0 * ((start + 5) % 60), 60.0 * ((start + 40) % 60)
    for at, right in ((inside, True), (outside, False)):
        fresh = truth(block=20, beat_at=at)
        assert bool(fresh.complaint(answer("reject", at=at + 0.1))) is not right
        assert not fresh.complaint(answer("reject", at=at + 0.1), any_minute=True)
    assert one.must_be(answer("accept", at=100.0)) in {"accept", "reject"}


def test_errors_of_the_milter_are_complaints_and_fail_open_is_not() -> None:
    """A temporary failure is no reply of ours; an edge that is away or late lets mail pass."""
    assert truth().complaint(answer("'t'"))
    assert not truth().complaint(answer("away"))
    assert not truth().complaint(answer("late"))


def test_an_edge_that_lets_all_pass_is_found_in_calm() -> None:
    """An accept where the law rejects is milder than the law, and a reject where it accepts is harsher."""
    (milder,) = checks.not_as_the_law_says(truth(), [answer("accept")])
    assert "milder" in milder
    assert not [*checks.not_as_the_law_says(truth(), [answer("reject")])]
    (harsher,) = checks.not_as_the_law_says(truth(block=0), [answer("reject")])
    assert "harsher" in harsher


def test_an_edge_whose_clock_is_off_may_not_refuse_for_long() -> None:
    """Until the next heartbeat it cannot know; after that a refusal is a complaint, even one that the law gives."""
    span = [("edge-a", REAL0 + 100, REAL0 + 120)]
    assert not [*checks.too_harsh(truth(), [answer("reject", at=101.0)], span)]
    assert [*checks.too_harsh(truth(), [answer("reject", at=104.0)], span)]
    assert not [*checks.too_harsh(truth(), [answer("reject", at=104.0)], [("edge-b", REAL0 + 100, REAL0 + 120)])]


def test_an_edge_whose_clock_is_set_right_may_refuse_at_once() -> None:
    """A mail that came while it was off, and is answered after that; of the minute it is not held to then."""
    span = [("edge-a", REAL0 + 90, REAL0 + 104.005)]
    assert not [*checks.too_harsh(truth(), [answer("reject", at=104.0)], span)]
    assert [*checks.too_harsh(truth(), [answer("reject", at=103.0)], span)]


def test_forgetting_changes_no_answer_to_come() -> None:
    """Heartbeats that nobody can obey any more are dropped, and the decision that holds stays."""
    one = truth()
    for number in range(200):
        at = REAL0 + 100 + number
        one.note_beat(Beat(at=at, h_at=at, seq=5, law_now=one.utc(at), frozen=False))
    one.forget(REAL0 + 300)
    assert len(one._beats) < 30
    assert not one.complaint(answer("reject", at=299.5))


def test_a_campaign_is_drawn_again_by_its_seed_and_one_fault_by_its_own() -> None:
    """The fault of number i is the first one of a campaign whose seed is i - 1 higher."""
    faults, _ = drawable()
    many = [*draws(Options(count=40, seed=7, base=Path()), faults)]
    assert many == [*draws(Options(count=40, seed=7, base=Path()), faults)]
    assert many[20] == next(draws(Options(count=1, seed=27, base=Path()), faults))
    assert len({fault.name for _, fault in many}) > 10


def test_each_fault_comes_once_before_any_comes_twice() -> None:
    """With `each`, so that a campaign of few faults still shows the whole table."""
    faults, _ = drawable()
    first = [fault.name for _, fault in draws(Options(count=len(faults), seed=3, base=Path(), each=True), faults)]
    assert sorted(first) == sorted(fault.name for fault in faults)


def test_every_fault_stands_on_the_page_with_its_meaning() -> None:
    """The page's table is the table."""
    page = PAGE.read_text()
    for fault in TABLE:
        assert f"| `{fault.name}` | {fault.meaning} | {fault.holds} |" in page


def test_names_are_one_each() -> None:
    """A name is how a fault is run again."""
    assert len({fault.name for fault in TABLE}) == len(TABLE)


class _Box:
    """Where mail lands, as a Postfix would have it."""

    def __init__(self, mailbox: Path) -> None:
        self.mailbox = mailbox

    def arrives(self, name: str) -> None:
        """One mail."""
        (self.mailbox / f"{name}-{time.monotonic_ns()}").write_text(f"Subject: {name}\n\nhello\n")


def test_mail_that_is_lost_refused_or_doubled_is_told(tmp_path: Path) -> None:
    """Taken and arrived is fine; taken only stays open; arrived though refused, and arrived twice, are strays."""
    box, population = _Box(tmp_path), Population(rng_of(1))
    lane = PostfixLane(box, population, Traffic(population, {}), "edge-a")  # type: ignore[arg-type]  # its mailbox is all that counts
    lane.taken |= {"mail-1", "mail-2"}
    lane._refused.add("mail-3")
    box.arrives("mail-1")
    lane.collect()
    assert (lane.taken, lane.strays) == ({"mail-2"}, [])
    box.arrives("mail-1")
    box.arrives("mail-3")
    lane.collect()
    assert sorted(lane.strays) == ["mail-1 arrived, and was not taken, or twice", "mail-3 arrived, and was refused"]


@pytest.mark.parametrize("seed", range(3))
def test_senders_are_bounded_and_their_mail_is_what_it_says(seed: int) -> None:
    """However many come, so many send; a patched server's mail proves nothing."""
    population = Population(rng_of(seed))
    for _ in range(40):
        population.newcomer()
        population.live_on()
        letter = population.letter()
        assert not (letter.mail.product and letter.sender.patched)
    assert len(population.live) <= 14


def test_time_there_and_back() -> None:
    """The campaign's clock and real time, either from the other."""
    one = truth(rate=8640.0)
    assert one.utc(REAL0 + 10) == UTC0 + timedelta(days=1)
    assert one.real(UTC0 + timedelta(days=1)) == REAL0 + 10

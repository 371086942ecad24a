"""The cap on newly blocked cases a UTC day, and the queue of those that wait: a table of cases, and the whole way."""

from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from shared.domain import caps
from shared.domain import events as e
from shared.domain.ahead import ahead_of
from shared.domain.catalogue import load_catalogue
from shared.domain.explain import explain
from shared.domain.fold import Fold
from shared.domain.policy import Caps, Notices, Policy, Protected
from shared.domain.records import Row
from shared.domain.state import Law
from shared.domain.verify import Audit
from tests.support.scenario import FLOOR_2016, START, World, policy_for, reading, refold, stored_servers

DAY, HOUR = timedelta(days=1), timedelta(hours=1)
PRODUCT = "Microsoft Exchange 2016"


def capped(per_day: int = 2, percent: int = 0, version: int = 1, **changes: Any) -> Policy:
    """Enforced, with a cap."""
    cap = Caps(newly_blocked_per_day=per_day, newly_blocked_percent_of_open_cases=percent)
    return policy_for(version=version, caps=cap, **changes)


def no_notice() -> Notices:
    """Blocking without a notice."""
    return msgspec.structs.replace(policy_for().notices, needed_for_blocking=False)


def fleet(count: int, policy: Policy, *, days: float = 58) -> World:
    """So many servers whose cases opened in the same hours, day 60 ahead; each is seen daily."""
    world = World(policy)
    for _ in range(3):
        see_all(world, count)
        world.pass_time(HOUR, step=HOUR)
    world.settle()
    for _ in range(int(days)):
        live_a_day(world, count)
    return world


def never_told(count: int, policy: Policy) -> World:
    """So many cases past day 60 of which no notice was delivered."""
    world = World(policy)
    for _ in range(3):
        see_all(world, count)
        world.pass_time(HOUR)
    for _ in range(70):
        see_all(world, count)
        world.pass_time(DAY, step=DAY)
    return world


def see_all(world: World, count: int) -> None:
    """Each of them once."""
    for number in range(count):
        world.see(name=f"ex{number:02}.alt.example", helo=f"ex{number:02}.alt.example")


def live_a_day(world: World, count: int, *, step: timedelta = DAY / 4) -> list[e.Event]:
    """All are seen, notices are delivered, and the day passes."""
    before = len(world.log)
    see_all(world, count)
    world.settle()
    world.pass_time(DAY, step=step)
    return world.events(before)


def granted_by_day(world: World) -> dict[str, int]:
    """Newly blocked cases by the UTC day on which that was written."""
    return dict(
        Counter(
            record.at.date().isoformat()
            for record, _ in world.log
            if isinstance(record.event, e.BlockingGranted) and record.event.newly
        )
    )


def numbers(events: Iterable[e.Event], kind: type) -> list[int]:
    """Of the servers that the events of one kind speak of."""
    return [int(event.server[2:4]) for event in events if isinstance(event, kind)]  # type: ignore[union-attr]


# --- one decision ----------------------------------------------------------------------------------------------------


def grant(name: str = "ex00", *, newly: bool = True) -> e.BlockingGranted:
    """What fell due."""
    row = Row(since=START, stage=5, throttle_minutes_per_hour=30, block_minutes_per_hour=5)
    return e.BlockingGranted(server=name, product=PRODUCT, rows=(row,), notices=(), newly=newly)


def queue(waiting: int, open_cases: int) -> caps.Queue:
    """So many wait, from START on, an hour apart; all later than what is asked for here."""
    found = caps.Queue()
    found.open_cases = open_cases
    found.move((), [caps.Waiter(START + number * HOUR, f"w{number:02}", number) for number in reversed(range(waiting))])
    return found


def law(blocked: int, *, days_ago: int = 0) -> Law:
    """At START, with so many blocked newly on a day."""
    day = (START - days_ago * DAY).date()
    return Law(seq=9, head="", at=START, h=START - HOUR, newly_blocked_on=day, newly_blocked=blocked)


@pytest.mark.parametrize(
    ("per_day", "percent", "open_cases", "blocked", "days_ago", "waiting", "days", "place"),
    [
        (2, 0, 10, 0, 0, 0, 0, 1),
        (2, 0, 10, 1, 0, 0, 0, 1),
        (2, 0, 10, 2, 0, 0, 1, 1),  # the day is full
        (2, 0, 10, 3, 0, 0, 1, 1),  # and was fuller, before a policy asked for less
        (2, 0, 10, 7, 0, 0, 1, 1),
        (2, 0, 10, 2, 1, 0, 0, 1),  # yesterday's do not count
        (2, 0, 10, 0, 0, 1, 0, 2),
        (2, 0, 10, 0, 0, 2, 1, 3),  # who waits is granted first
        (2, 0, 10, 2, 0, 1, 1, 2),
        (2, 0, 10, 2, 0, 2, 2, 3),
        (2, 0, 10, 1, 0, 5, 3, 6),
        (2, 1, 200, 2, 0, 0, 1, 1),  # 1 % of 200 is no more than 2
        (2, 1, 299, 2, 0, 0, 1, 1),  # rounded down
        (2, 1, 300, 2, 0, 0, 0, 1),
        (1, 100, 3, 2, 0, 0, 0, 1),
        (1, 0, 10, 1, 0, 5000, 3650, 5001),  # farther ahead nothing is told
    ],
)
def test_the_cap_grants_or_tells_day_and_place(
    per_day: int,
    percent: int,
    open_cases: int,
    blocked: int,
    days_ago: int,
    waiting: int,
    days: int,
    place: int,
) -> None:
    """The larger of both numbers, the room that is left today, and the place behind those that wait."""
    found = caps.in_turn(
        grant(),
        caps.Waiter(START + 9000 * HOUR, "ex00", 9000),
        queue=queue(waiting, open_cases),
        law=law(blocked, days_ago=days_ago),
        policy=capped(per_day, percent),
    )
    if not days:
        assert found == grant()
        return
    assert isinstance(found, e.BlockingWaits)
    assert (found.day, found.place) == ((START + days * DAY).date(), place)
    assert found.until == datetime.combine(found.day, datetime.min.time(), UTC)


def test_who_waits_longest_comes_first_whoever_is_asked_first() -> None:
    """Places go by when a case fell due first, not by when it is asked again."""
    waiting, full = queue(4, 10), law(1)
    asked = [
        caps.in_turn(
            grant(f"w{n:02}"), caps.Waiter(START + n * HOUR, f"w{n:02}", n), queue=waiting, law=full, policy=capped(2)
        )
        for n in (3, 0, 1)
    ]
    assert isinstance(asked[0], e.BlockingWaits)
    assert asked[0].place == 4
    assert isinstance(asked[1], e.BlockingGranted)
    assert isinstance(asked[2], e.BlockingWaits)


def test_without_a_cap_and_for_further_rows_nobody_waits() -> None:
    """The cap is of the first blocking row; a policy without the table has none."""
    for policy, newly in ((policy_for(caps=None), True), (capped(1), False)):
        found = caps.in_turn(
            grant(newly=newly), caps.Waiter(START, "ex00", 1), queue=queue(9, 99), law=law(9), policy=policy
        )
        assert isinstance(found, e.BlockingGranted)


def test_time_that_was_held_is_in_the_day_that_is_told() -> None:
    """Law time is behind UTC by what was held; the day is one of UTC."""
    held = msgspec.structs.replace(law(2), held=5 * HOUR)
    found = caps.in_turn(grant(), caps.Waiter(START, "ex00", 1), queue=queue(0, 9), law=held, policy=capped(2))
    assert isinstance(found, e.BlockingWaits)
    assert held.utc_of(found.until) == datetime(2026, 11, 25, tzinfo=UTC)


# --- the whole way ---------------------------------------------------------------------------------------------------


def test_nine_servers_that_are_due_at_once_are_blocked_two_a_day() -> None:
    """In the order of their ids, for they fell due in the same second; each is told once that it waits, and its day holds."""
    world = fleet(9, capped(2))
    events = [event for _ in range(7) for event in live_a_day(world, 9)]
    assert list(granted_by_day(world).values()) == [2, 2, 2, 2, 1]
    assert numbers(events, e.BlockingGranted) == list(range(9))
    told = [event for event in events if isinstance(event, e.BlockingWaits)]
    assert [int(event.server[2:4]) for event in told] == list(range(2, 9))
    granted = {record.event.server: record for record, _ in world.log if isinstance(record.event, e.BlockingGranted)}
    for event in told:
        record = granted[event.server]
        assert record.due == datetime.combine(event.day, datetime.min.time(), UTC)
        assert record.at.date() == event.day


def test_two_cases_of_one_server_that_wait_since_one_instant_have_each_a_place() -> None:
    """Whatever their products are called: the one that is asked first comes first."""
    world = World(capped(1))
    products = (reading(), reading("Microsoft Exchange 2007", None))
    for _ in range(3):
        see_all(world, 1)
        for one in products:
            world.see(one)
        world.pass_time(HOUR, step=HOUR)
    waits: list[e.BlockingWaits] = []
    while not waits:
        for one in products:
            world.see(one)
        waits = [event for event in live_a_day(world, 1) if isinstance(event, e.BlockingWaits)]
    assert [event.place for event in waits] == [1, 2]
    assert [event.since for event in waits] == [waits[0].since] * 2


def test_the_rows_keep_their_distances_behind_the_day_of_the_grant() -> None:
    """Who is blocked later is blocked longer ago later, too."""
    world = fleet(3, capped(1))
    for _ in range(6):
        live_a_day(world, 3)
    rows = world.fold.servers["ex02.alt.example@192.0.2.7"].cases[0].rows
    assert [row.since - rows[4].since for row in rows[4:]] == [days * DAY for days in (0, 10, 20, 30)]
    assert rows[4].since.time() == datetime.min.time()


def test_after_an_outage_all_that_is_due_at_once_obeys_the_cap_of_that_day() -> None:
    """Nine came due on five different days in which no enforcer ran: two are granted when it is back."""
    world = World(capped(2))
    for number in range(9):
        name = f"ex{number:02}.alt.example"
        world.open_case(name=name, helo=name)
        world.pass_time(10 * HOUR)
    world.settle()
    for _ in range(55):
        live_a_day(world, 9)
    world.settle()
    see_all(world, 9)
    world.now += 7 * DAY
    world.fold.advance(world.now, at=world.now)  # marks went on all the time
    written = world.fold.tick(at=world.now, blind=False)
    world.log += written
    events = [record.event for record, _ in written]
    assert numbers(events, e.BlockingGranted) == [0, 1]
    assert numbers(events, e.BlockingWaits) == list(range(2, 9))
    for _ in range(5):
        live_a_day(world, 9)
    assert list(granted_by_day(world).values()) == [2, 2, 2, 2, 1]


@pytest.mark.parametrize(
    ("event", "rest"),
    [("cured", [3, 4]), ("observed", [])],
)
def test_who_needs_no_turn_any_more_gives_it_up(event: str, rest: list[int]) -> None:
    """A cured case leaves the queue, and the next keeps the day that it was told; all leave it where nothing is enforced."""
    world = fleet(5, capped(1), days=60)
    assert len(world.fold.queue) > 2
    if event == "cured":
        for number in (1, 2):
            name = f"ex{number:02}.alt.example"
            world.see(reading(build=FLOOR_2016), name=name, helo=name)
        assert (len(world.fold.queue), world.fold.queue.open_cases) == (2, 3)
        events = [one for _ in range(5) for one in live_a_day(world, 0)]
        assert numbers(events, e.BlockingGranted) == rest
    else:
        world.adopt(policy_for("observe", version=2), "to-observe")
        assert (len(world.fold.queue), world.fold.queue.open_cases) == (0, 0)


def test_a_cap_that_shrinks_makes_few_wait_once_more_and_in_order() -> None:
    """Ten a day, then three: those whose day has come and is full go on waiting before those that come later."""
    world = fleet(40, capped(10), days=58)
    events: list[e.Event] = []
    while not numbers(events, e.BlockingGranted):
        events += live_a_day(world, 40)
    world.adopt(capped(3, version=2), "smaller")
    for _ in range(14):
        events += live_a_day(world, 40)
    assert numbers(events, e.BlockingGranted) == list(range(40))
    assert list(granted_by_day(world).values()) == [10, *[3] * 10]
    assert len(numbers(events, e.BlockingWaits)) < 30 + 60  # told once, and once or twice more


def test_a_policy_with_more_room_grants_at_once_those_for_whom_there_is_room() -> None:
    """First due, first granted, and not backwards."""
    world = fleet(9, capped(2), days=60)
    assert len(world.fold.queue) > 4
    before = len(world.fold.queue)
    events = world.adopt(capped(4, version=2), "larger")
    granted = [event for event in events if isinstance(event, e.BlockingGranted)]
    assert [int(event.server[2:4]) for event in granted] == [9 - before, 10 - before]
    assert all(event.rows[0].since > world.fold.law.now for event in granted)
    assert world.kinds(world.adopt(capped(4, version=3), "the-same-cap")) == ["PolicyAdopted"]  # who waits was told
    freed = world.adopt(policy_for(version=4, caps=None), "no-cap")
    assert len(numbers(freed, e.BlockingGranted)) == before - 2
    assert len(world.fold.queue) == 0


def test_a_policy_that_asks_less_for_blocking_obeys_the_cap() -> None:
    """Eight cases had waited for a notice that came never; the policy asks for none any more."""
    world = never_told(8, capped(3))
    events = world.adopt(capped(3, version=2, notices=no_notice()), "no-notice")
    assert numbers(events, e.BlockingGranted) == [0, 1, 2]
    assert [(event.place, event.day.day) for event in events if isinstance(event, e.BlockingWaits)] == [
        (place, (world.now + days * DAY).day) for place, days in ((4, 1), (5, 1), (6, 1), (7, 2), (8, 2))
    ]
    for _ in range(4):
        live_a_day(world, 8)
    assert list(granted_by_day(world).values()) == [3, 3, 2]


def test_who_newly_asks_overtakes_nobody_who_waits_since_that_instant() -> None:
    """Two policies in one second: no law time went by, and the second lets one more ask, whose name comes first."""
    names = ("ex00.alt.example",)
    guarded = (Protected(title="t", domains=names, connectors=()),)
    world = never_told(3, capped(1))
    world.adopt(capped(1, version=2, notices=no_notice(), protected=guarded), "guarded")
    events = world.adopt(capped(2, version=3, notices=no_notice()), "all")
    granted = [event.server for event in events if isinstance(event, e.BlockingGranted)]
    assert [name.partition(".")[0] for name in granted] == ["ex02"]
    assert world.fold.law.newly_blocked == 2


def test_count_and_queue_are_the_same_in_the_fold_after_a_restart_and_in_a_replay() -> None:
    """They are worked out of the servers' states, however those came to be known."""
    world = fleet(9, capped(2), days=60)
    again = refold([stored for _, stored in world.log], policy_for())
    taken_up = Fold(world.fold.policy, world.fold.law)
    taken_up.restore(stored_servers(world.fold.servers), {})
    for fold in (again, taken_up):
        assert fold.queue.open_cases == world.fold.queue.open_cases == 9
        assert fold.queue._in_order() == world.fold.queue._in_order() != []
        assert (fold.law.newly_blocked_on, fold.law.newly_blocked) == (
            world.fold.law.newly_blocked_on,
            world.fold.law.newly_blocked,
        )
    audit = Audit()
    for _, stored in world.log:
        audit.take(stored)
    assert audit.report().what == ""


def test_a_server_that_is_forgotten_is_counted_no_more() -> None:
    """As when a standby reads a deletion."""
    world = fleet(3, capped(1), days=60)
    servers = stored_servers(world.fold.servers)
    for name in list(servers):
        servers.put_stored(name, servers.stored(name))  # once more changes nothing
    assert servers.queue.open_cases == 3
    for name in list(servers):
        servers.remove(name)
    assert (servers.queue.open_cases, len(servers.queue)) == (0, 0)


def test_it_is_told_that_a_case_waits_its_place_and_its_day() -> None:
    """In the explanation, and in what lies ahead."""
    world = fleet(4, capped(1), days=60)
    server = world.fold.servers["ex03.alt.example@192.0.2.7"]
    waits = server.cases[0].waits
    assert waits is not None
    day = world.fold.law.utc_of(waits.until)
    shown = explain(server, world.fold.law, world.fold.policy, load_catalogue(), now=world.now).cases[0]
    assert "place 3 in the queue" in shown.blocking_waits_for
    assert day.date().isoformat() in shown.blocking_waits_for
    assert shown.next_row is not None
    assert shown.next_row.since == day
    steps = [
        step
        for step in ahead_of(server, world.fold.law, world.fold.policy, until=world.now + 9 * DAY)
        if step.event == "blocking-granted.v1"
    ]
    assert [(step.not_before, step.blocked_by) for step in steps] == [(day, "cap of the day")]


def test_a_notice_that_is_repeated_promises_no_day_before_its_turn() -> None:
    """What waits in the queue is told as not before the day of its turn."""
    world = fleet(2, capped(1), days=60)
    server = world.fold.servers["ex01.alt.example@192.0.2.7"]
    case = server.cases[0]
    assert case.waits is not None
    from shared.domain.schedule import notice_due  # noqa: PLC0415  (only here)

    planned = e.PlannedNotice(kind="before-blocking", since=world.fold.law.now, stage=5)
    told = notice_due(server, case, world.fold.law, world.fold.policy, planned)
    assert told.blocking[0].since == world.fold.law.utc_of(case.waits.until)

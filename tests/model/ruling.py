"""What the second law knows, what it says at the end of a turn, and the harshest verdict that it allows."""

from dataclasses import dataclass, field
from typing import NamedTuple

from shared.domain.evidence import Facts, Reading
from shared.domain.policy import Policy
from tests.model.words import MILDNESS, Action, Builds, Span, action_at, floor_on, ids_of, is_below, utc_day


@dataclass(eq=False)
class Case:
    """
    clock: how often it was started or stopped. waiting: rows that need a grant. ends: set by a release.

    stood: the law time that it had stood when its rows began; slowed: of that, in rows that slow mail and block none. left: what it leaves to a relapse, once released. mixed: it was
    opened again. held: since and until when it is held as mixed, with its rows of before. held_until: while it stands, too.
    """

    product: str
    floor: Builds
    enforced: bool
    rows: list[Span]
    waiting: list[Span]
    delivered: int | None = None
    ends: int | None = None
    clock: int = 0
    stood: int = 0
    slowed: int = 0
    left: "Left | None" = None
    mixed: bool = False
    held: "Held | None" = None
    held_until: int = 0

    def stood_at(self, law_now: int) -> int:
        """How long it has stood on its clock, what it inherited and what it was held considered."""
        began, until = (self.held.rows[0].since, self.held.since) if self.held else (self.rows[0].since, law_now)
        return self.stood + max(0, until - began)

    def slowed_at(self, law_now: int) -> int:
        """How much of that was in rows that slow mail and block none."""
        rows, until = (self.held.rows, self.held.since) if self.held else (self.rows, law_now)
        ends = [*(row.since for row in rows[1:]), until]
        spans = [
            (row.since, min(end, until)) for row, end in zip(rows, ends, strict=True) if row.throttle and not row.block
        ]
        return self.slowed + sum(max(0, end - begin) for begin, end in spans)


class Left(NamedTuple):
    """What a released case leaves behind: its floor, how long it had stood, of that slowed, the law time of its release, when the cure was seen."""

    floor: Builds
    stood: int
    slowed: int
    released: int
    cured: int


class Held(NamedTuple):
    """A hold of law time, and the rows that come after it."""

    since: int
    until: int
    rows: list[Span]
    waiting: list[Span]


@dataclass
class Server:
    """
    What is on record. hours: (UTC hour, product) below the floor. below: product -> (seen, law time it counts at, what it showed).

    cured: product -> what was seen up to then accuses nobody.
    """

    connector: str
    tie: str
    seen: int
    reading: Reading
    matches: tuple[str, ...]
    hours: list[tuple[int, str]] = field(default_factory=list)
    below: dict[str, tuple[int, int, Reading]] = field(default_factory=dict)
    cured: dict[str, int] = field(default_factory=dict)
    cases: list[Case] = field(default_factory=list)
    left: dict[str, Left] = field(default_factory=dict)
    news_hour: int = -1
    news: int = 0

    def clear(self, product: str, seen: int) -> None:
        """What was seen of the product up to then accuses it of nothing."""
        self.cured[product] = max(seen, self.cured.get(product, seen))

    def is_first_cure(self, product: str, seen: int) -> bool:
        """No patched reading is on record, or only an older one though newer things are."""
        return product not in self.cured or self.cured[product] < seen < self.seen

    def is_first_since_a_cure(self, product: str) -> bool:
        """A reading below the floor that comes now; what was seen before it was perhaps seen before a patched one that was no news."""
        return product in self.cured and (product not in self.below or self.below[product][0] < self.cured[product])

    def case_of(self, product: str) -> Case | None:
        """The case about *product*."""
        return next((case for case in self.cases if case.product == product), None)


class Accusation(NamedTuple):
    """A case as it stands at a turn."""

    product: str
    floor: Builds
    enforced: bool
    rows: tuple[Span, ...]


class Ruling(NamedTuple):
    """What the law says at the end of one turn."""

    h: int
    law_now: int
    frozen: bool
    policy: Policy
    cases: dict[str, tuple[Accusation, ...]]


def verdict_of(ruling: Ruling, facts: Facts, reading: Reading | None, instant: int) -> Action:
    """
    The harshest that *ruling* allows for a message in the minute of *instant* (the edge's own clock).

    Refused is only what proves what its case accuses, by the floor of the case and by the policy in force. Of several
    cases the mildest row holds: fewer block minutes, then fewer throttle minutes; of equal ones any.
    """
    if reading is None or ruling.frozen or facts.client_resolve == "tempfail":
        return "pass"
    if not is_below(reading, floor_on(ruling.policy, reading.product, utc_day(instant))):
        return "pass"
    found: list[tuple[Span, str]] = []
    for _, name in ids_of(facts, ruling.policy)[1]:
        for case in ruling.cases.get(name, ()):
            row = [span for span in case.rows if span.since <= ruling.law_now]
            if case.product == reading.product and is_below(reading, case.floor) and row:
                if not case.enforced:
                    return "pass"
                found.append((row[-1], name))
    if not found:
        return "pass"
    mildest = min((row.block, row.throttle) for row, _ in found)
    equal = [(row, name) for row, name in found if (row.block, row.throttle) == mildest]
    return max((action_at(row, ruling.policy.salt, name, instant) for row, name in equal), key=MILDNESS.__getitem__)

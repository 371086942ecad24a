"""A life is bytes: four of them are one step of it. So a machine draws it, a seed makes it, and a failure is one line of hex."""

import random
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from typing import Any

import msgspec
from msgspec import UNSET
from msgspec.structs import replace

from shared.domain import events as e
from shared.domain.build import Build
from shared.domain.evidence import Facts, Reading
from shared.domain.floors import FloorWave
from shared.domain.fold import Fold
from shared.domain.policy import Connector, Policy, parse_policy, shipped_policy_text
from shared.domain.records import AdoptPolicy, Origin, ReportNotice, ServerSeen, SetFreeze
from tests.second_law.always import Always
from tests.second_law.draw import draw_act
from tests.second_law.harsher import delayed, plain, without_help
from tests.second_law.pair import Pair
from tests.second_law.twins import replayed, same
from tests.second_law.words import DAY, HOUR, SECOND

START = datetime(2026, 12, 3, 8, 0, tzinfo=UTC)
STEP_BYTES = 4
HAS_SIGNATURES = hasattr(e, "BlockingSigned")
E2016, E2007 = "Microsoft Exchange 2016", "Microsoft Exchange 2007"
SHIPPED = parse_policy(shipped_policy_text())


def _reading(product: str, low: Build | None, high: Build | None = None) -> Reading:
    return Reading(product=product, shown=low, low=low, high=high or low, form="smtp", reason="exact")


def _b(revision: int) -> Build:
    return Build(15, 1, 2507, revision)


OLD = _reading(E2016, _b(39))
PATCHED = _reading(E2016, Build(15, 1, 9999, 0))
READINGS: tuple[Reading | None, ...] = (
    OLD,
    OLD,
    _reading(E2016, _b(61)),
    _reading(E2007, None),
    _reading(E2016, _b(6), _b(61)),
    _reading(E2016, _b(45)),
    _reading(E2016, _b(75)),
    _reading("Exim", None),
    None,
)


def _introduced(name: str, peer: str, **more: str) -> dict[str, str]:
    plain = {"peer": peer, "helo": name, "client_name": "", "client_resolve": "failed", "tls_name": "", "name": name}
    return {**plain, **more}


A, B, C = "a.alt.example", "b.alt.example", "c.alt.example"
SENDERS: tuple[dict[str, str], ...] = (
    _introduced(A, "192.0.2.7"),
    _introduced(A, "192.0.2.7", client_name=A, client_resolve="ok"),
    _introduced(A, "198.51.100.5"),
    _introduced(B, "198.51.100.5"),
    _introduced(B, "198.51.100.9", client_name=B, client_resolve="ok"),
    _introduced(B, "203.0.113.4", tls_name="b.partner.example"),
    _introduced(C, "203.0.113.8"),
    _introduced(C, "192.0.2.7", helo="other.example"),
    _introduced(C, "192.0.2.7", client_resolve="tempfail"),
    _introduced("d.acme.com", "192.0.2.9", helo="mail.acme.com"),
    _introduced("d.acme.com", "192.0.2.9"),
    _introduced("srv", "203.0.113.8", client_name="srv", client_resolve="ok"),
)

BURST = 187
DAILY, SEEN, TOLD, ACT = 250, 251, 252, 255
TEMPERS: tuple[tuple[int, ...], ...] = (
    (),
    (0, 0, 0, DAILY, 100, SEEN, SEEN, SEEN, SEEN, TOLD, TOLD, TOLD, 190, ACT, ACT, 236),
    (0, 0, DAILY, DAILY, DAILY, SEEN, SEEN, SEEN, SEEN, SEEN, TOLD, TOLD, TOLD, ACT, 100, 228),
    (0, 0, DAILY, 100, SEEN, SEEN, SEEN, TOLD, TOLD, ACT, ACT, ACT, ACT, 228, 236, 100),
)
"""What sixteen kinds of steps are in a life: (none) as drawn; else mostly days of old servers that are seen and told, and acts."""
SHORT = ((0, 0, 0), (3, 5, 0), (5, 20, 0), (8, 30, 5), (10, 0, 20), (12, 0, 60))
BARE = ((0, 0, 0), (2, 0, 30))
SLOW = ((0, 0, 0), (4, 10, 0), (33, 20, 0))
TABLES = (SHORT, SHORT, SHORT, BARE, SLOW)


def _stages(table: tuple[tuple[int, int, int], ...]) -> list[dict[str, int]]:
    keys = ("from_day", "throttle_minutes_per_hour", "block_minutes_per_hour")
    return [dict(zip(keys, row, strict=True)) for row in table]


def _floors(lowest: int, kind: int) -> list[FloorWave]:
    waves = [FloorWave(product=E2016, effective=date(2026, 9, 8), builds=(_b(lowest),), source="test")]
    if kind != 1:
        waves.append(FloorWave(product=E2007, effective=date(2023, 8, 1), source="test"))
    if kind == 2:
        waves.append(FloorWave(product=E2016, effective=START.date() + 30 * DAY, builds=(_b(75),), source="test"))
    return waves


def policy_of(version: int, a: int, b: int, c: int) -> Policy:
    """A policy of three bytes; all zero is the plain one: everything enforced, short stages."""
    mode = "observe" if a % 16 == 15 else "enforce"
    branch = "observe" if a // 16 % 8 == 7 else "enforce"
    internet = "observe" if a // 128 and b % 4 == 3 else "enforce"
    connectors = [
        Connector(name="internet", kind="internet", owner="postmaster", mode=internet),  # type: ignore[arg-type]
        Connector(name="branch", kind="on-premises", owner="it", ranges=("198.51.100.0/24",), mode=branch),  # type: ignore[arg-type]
        Connector(name="partner", kind="partner", owner="it", tls_names=("b.partner.example",), mode="enforce"),
    ]
    if c % 8 == 7:
        connectors[1] = replace(connectors[1], name="office", formerly=("branch",) if b % 2 else UNSET)
    if c % 8 == 6:
        connectors.append(
            Connector(name="plant", kind="on-premises", owner="works", ranges=("192.0.2.0/25",), mode=branch)  # type: ignore[arg-type]
        )
    if c % 8 == 5:
        del connectors[1]
        if b % 2:
            connectors[1] = replace(connectors[1], formerly=("branch", "office"))
    ties = (("connector", "verified", "helo"), ("connector", "verified"), ("connector", "verified", "helo", "domain"))
    notices = replace(
        SHIPPED.notices,
        needed_for_blocking=b % 8 != 5,
        hours_before_blocking=(24, 24, 0, 100)[b // 8 % 4],
        before_throttling_days=(1, 7)[b // 32 % 2],
        before_blocking_days=(2, 30)[b // 64 % 2],
        repeat_days=(1, 7)[b // 128],
    )
    changes: dict[str, Any] = {
        "version": version,
        "mode": mode,
        "connectors": connectors,
        "notices": notices,
        "stages": _stages(TABLES[c // 8 % 5]),
        "floors": _floors(40 if b % 8 == 6 else 61, a % 5),
        "open_ties": ties[(0, 0, 0, 1, 2)[c // 5 % 5]],
        "expire_days": (60, 20, 60)[c % 3],
        "opening_hours": (3, 1, 2, 3)[a // 4 % 4],
        "release_hours": 24,
        "new_names_per_day": 1 if a % 4 == 3 else 100,
        "caps": ({"newly_blocked_per_day": (1, 2)[b % 2], "newly_blocked_percent_of_open_cases": 40}, None, None)[
            a % 3
        ],
        "pauses": {"days_per_year": (90, 5)[c % 2]},
        "disputes": {"days": (14, 2)[a % 2]},
        "relapses": {"days": (30, 0, 5)[b % 3], "mixed_days": (14, 2)[c % 2]},
    }
    if a % 6 == 5 and HAS_SIGNATURES:
        changes["protected"] = [{"title": "t", "domains": ["b.alt.example"], "connectors": [connectors[-1].name]}]
    return msgspec.convert({**msgspec.structs.asdict(SHIPPED), **changes}, Policy)


class Life:
    """Both laws, and the steps that bytes say. told: the last steps in words; counts: what happened, and how often."""

    def __init__(self, shape: bytes) -> None:
        self.policy, self.temper = policy_of(1, *shape[:3]), shape[3] % len(TEMPERS)
        self.pair = Pair(self.policy, START)
        self.always = Always(self.pair.fold)
        self.steps = 0
        self.words: list[str] = []
        self.counts: Counter[str] = Counter()
        self._asked = 0

    def live(self, steps: bytes) -> None:
        """All steps of it."""
        for at in range(0, len(steps) - STEP_BYTES + 1, STEP_BYTES):
            self.step(*steps[at : at + STEP_BYTES])

    def step(self, kind: int, a: int, b: int, c: int) -> None:
        """One step: time passes, somebody is seen, or something is asked."""
        self.steps += 1
        kind = TEMPERS[self.temper][kind // 16] if self.temper else kind
        if self.temper and kind in (DAILY, SEEN, TOLD):
            self._plain(kind, a)
        else:
            ends = (90, BURST, 190, 225, 235, 240, 256)
            does = (self._passes, self._sees, self._bursts, self._reports, self._freezes, self._adopts, self._acts)
            next(do for end, do in zip(ends, does, strict=True) if kind < end)(a, b, c)
        whole = self.steps % 64 == 0
        if whole:
            self.pair.compare_all()
        self.always.step(self.pair.written, PATCHED, OLD, at=self.pair.at, whole=whole)
        self.pair.written = []

    def twin(self, drawn: random.Random) -> None:
        """The same life, ticked and cut elsewhere, ends the same."""
        first = Fold(self.policy)
        first.begin(at=START, version="second law")
        same(self.pair.fold, replayed(first, self.pair.moves, drawn))

    def helped(self, drawn: random.Random) -> None:
        """Nobody is harsher off by an act meant to help, by an outage, or by a delay."""
        moves, policy = self.pair.moves, plain(self.policy)
        self.counts["without " + without_help(policy, moves, self.pair.numbers, drawn)] += 1
        self.counts["in order " + delayed(policy, moves, self.pair.numbers, drawn)] += 1

    def say(self, what: str) -> None:
        """Note a step for whoever reads of a failure."""
        self.counts[what.split(" ", 1)[0]] += 1
        self.words = [*self.words[-40:], f"{self.pair.at:%m-%d %H:%M} {what}"]

    def _passes(self, a: int, b: int, c: int) -> None:
        hours = (1, 1, 1, 3, 6, 12, 24, 24, 24, 48, 72, 240)[a % 12]
        delta = timedelta(hours=hours, minutes=(0, 0, 0, 20, 40)[b % 5], seconds=(0, 0, 1, 30)[b // 5 % 4])
        watched = c % 8 != 0
        self.say(f"pass {delta} {'' if watched else 'unwatched'}")
        self.pair.passes(delta, watched=watched)

    def _sees(self, a: int, b: int, c: int) -> None:
        what = READINGS[(0, 0, 0, 0, 0, 0, 1, 2, 3, 3, 4, 5, 6, 7, 8, 0)[a % 16]]
        number = (0, 0, 0, 1, 1, 2, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11)[a // 16]
        self.pair.at += SECOND  # no two are seen at one instant: which of them was the first would be anybody's guess
        back = (0, 0, 0, 0, 0, 1, 2, 5, 30, 700, -2)[b % 11]
        seen = self.pair.at - timedelta(hours=back, minutes=c % 60 if back else 0)
        facts = msgspec.convert(
            {**SENDERS[number], "own_lines": ("line",), "seen_at": seen, "edge": "mx1", "imported": b // 11 % 12 == 11},
            Facts,
        )
        show = f"{what.product[-4:]} {what.low or ''} to {what.high or ''}" if what else "nothing"
        who = f"{facts.name} {facts.peer} {facts.client_resolve} (sender {number})"
        self.say(f"see {who}: {show}, seen {seen:%m-%d %H:%M}{' imported' * facts.imported}")
        origin = Origin(topic="mail-evidence", partition=0, offset=self.pair.offset)
        self.pair.takes(ServerSeen(facts=facts, reading=what, origin=origin))

    def _base(self, b: int) -> dict[str, Any]:
        """What every request has; now and then an id that was used, or a time long ago."""
        if b % 32 != 31:
            self._asked += 1
        made = self.pair.at - (25 * HOUR if b % 32 == 30 else timedelta())
        return {"id": f"request-{self._asked}", "who": "ops", "why": "test", "made_at": made}

    def _plain(self, kind: int, a: int) -> None:
        """A day, an old server, or a notice delivered."""
        if kind == DAILY:
            self._passes(6, 0, 1)
        elif kind == SEEN:
            self._sees(a // 16 * 16 + (8 if a % 8 == 0 else 0), 0, 0)
        else:
            self._reports(a % 4, 0, 0)

    def _bursts(self, a: int, _: int, c: int) -> None:
        """More news of one server in an hour than is kept."""
        for what in range(6):
            self._sees(a // 16 * 16 + (0, 11, 8, 0, 10, 0)[(what + c) % 6], 0, 0)

    def _reports(self, a: int, b: int, _: int) -> None:
        if not self.pair.notices:
            return
        notice, server = self.pair.notices[-1 - a % len(self.pair.notices)]
        outcome = ("delivered", "delivered", "failed", "lapsed", "no-contact")[b // 32 % 5]
        self.say(f"report {notice} {server} {outcome}")
        base = self._base(b)
        self.pair.takes(ReportNotice(**base, notice=notice, server=server, outcome=outcome))  # type: ignore[arg-type]

    def _freezes(self, a: int, b: int, _: int) -> None:
        self.say(f"freeze {a % 2}")
        self.pair.takes(SetFreeze(**self._base(b), frozen=bool(a % 2)))

    def _acts(self, a: int, b: int, c: int) -> None:
        """An act of any kind on something that is there, mostly."""
        act = draw_act(self._base(b), a, b, c, self.pair.law)
        self.say(f"{type(act).__name__} {act}")
        self.pair.takes(act)

    def _adopts(self, a: int, b: int, c: int) -> None:
        version = self.pair.law.policy.version + (0 if a == 255 else 1)
        policy = policy_of(version, a, b, c)
        if c == 255:
            policy = replace(policy, stages=(*policy.stages, policy.stages[0]))
        self.say(f"adopt {version} of {a, b, c}")
        self.pair.takes(AdoptPolicy(**self._base(a // 2), policy=policy))

"""
A golden log: what this code's law makes of a scripted world, kept so that every later code must read, verify and continue it.

    python tests/data/golden/make.py [DIRECTORY]

writes `rules-N.jsonl.zst` (an export with its seal) and `rules-N.end.json.zst` (state and decisions at its end), N the number of
the rules. Nothing in it is drawn or timed, so the same code writes the same bytes. Make one before `RULES` is raised, by the
code whose rules it shall keep; an older code's is made from a checkout of it: `PYTHONPATH=CHECKOUT python tests/data/golden/make.py`.
It uses nothing but the fold and the records, so that it runs with the code of any rules; acts of people are left out where the code knows none.
"""

import argparse
import sys
from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import zstandard

from shared.domain import records
from shared.domain.build import Build
from shared.domain.evidence import Facts, Reading
from shared.domain.floors import FloorWave
from shared.domain.fold import RULES, Fold, Input
from shared.domain.policy import Connector, Policy, parse_policy, shipped_policy_text
from shared.domain.records import AdoptPolicy, Decision, Origin, ReportNotice, ServerSeen, SetFreeze
from shared.domain.state import decision_of
from shared.domain.verify import seal

BEGIN = datetime(2026, 11, 24, 8, 0, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
E2007, E2010, E2016 = "Microsoft Exchange 2007", "Microsoft Exchange 2010", "Microsoft Exchange 2016"
OLD, FLOOR, NEW = Build(15, 1, 2507, 39), Build(15, 1, 2507, 61), Build(15, 1, 2507, 66)
_LEVEL = 19


class End(msgspec.Struct, frozen=True, kw_only=True):
    """What the log folds to, by the code that wrote it. decisions: of all servers that have one, by id."""

    rules: int
    records: int
    head: str
    digest: str
    servers: int
    policy_version: int
    decisions: dict[str, Decision]


class Scripted:
    """A fold whose clock the script moves; each server is seen in the hours that it names."""

    def __init__(self) -> None:
        self.now = BEGIN
        self.policy = parse_policy(shipped_policy_text())
        self.fold = Fold(self.policy)
        self.stored = [stored for _, stored in self.fold.begin(at=self.now, version="golden")]
        self._offsets = {"sightings": 0, "requests": 0, "control": 0}

    def wait(self, until: timedelta, *, watched: bool = True) -> None:
        """Let time pass in steps of six hours, with what falls due; unwatched, H stays behind, and the law with it."""
        end = self.now + until
        while self.now < end:
            self.now = min(end, self.now + 6 * HOUR)
            if watched:
                self.fold.advance(self.now, at=self.now)
            self._tick()

    def see(self, name: str, what: Reading, *, back: timedelta = timedelta(), **of_facts: Any) -> None:
        """A message of *name*, as by HELO unless told otherwise, seen *back* ago."""
        shown = what.shown or Build(8, 3, 83, 6)
        plain = {
            "peer": "192.0.2.7",
            "helo": name,
            "client_name": "",
            "client_resolve": "failed",
            "tls_name": "",
            "name": name,
            "own_lines": (f"from pc ([10.0.0.5]) by {name} ([10.0.0.2]) with Microsoft SMTP Server id {shown}",),
            "seen_at": self.now - back,
            "edge": "mx1",
        }
        facts = msgspec.convert({**plain, **of_facts}, Facts)
        place = Origin(topic="mail-evidence", partition=0, offset=self._offsets["sightings"])
        self._take("sightings", ServerSeen(facts=facts, reading=what, origin=place))

    def adopt(self, request_id: str, policy: Policy, *, ago: timedelta = timedelta()) -> None:
        """Somebody hands in a policy."""
        made_at = self.now - ago
        self._take("requests", AdoptPolicy(id=request_id, who="ops", why="golden", made_at=made_at, policy=policy))

    def freeze(self, request_id: str, *, frozen: bool) -> None:
        """Somebody freezes, or lifts it."""
        self._take("control", SetFreeze(id=request_id, who="ops", why="golden", made_at=self.now, frozen=frozen))

    def ask(self, act: str, **fields: str | int | datetime | None) -> None:
        """Somebody asks for an act, by its tag; about a case where *fields* name a server and the act wants its number."""
        plain = {
            "type": act,
            "id": f"golden-{len(self.stored)}",
            "who": "ops",
            "why": "golden",
            "made_at": self.now,
            **fields,
        }
        self._take("requests", msgspec.convert(plain, records.Act))

    def case(self, server: str) -> int:
        """The number of its case."""
        return self.fold.servers[server].cases[0].opened_seq

    def settle(self, outcome: Callable[[str], str]) -> None:
        """The notifier tells of all that is pending; *outcome* by the server's id, "" where it stays silent."""
        for name in sorted(self.fold.servers):
            for case in self.fold.servers[name].cases:
                for pending in case.pending:
                    if told := outcome(name):
                        self._report(pending.notice, name, told)

    def _report(self, notice: str, server: str, outcome: str) -> None:
        plain = {
            "type": "report-notice.v1",
            "id": f"notice-{notice}-{outcome}",
            "who": "notifier",
            "why": "",
            "made_at": self.now,
            "notice": notice,
            "server": server,
            "outcome": outcome,
        }
        self._take("requests", msgspec.convert(plain, ReportNotice))

    def _take(self, topic: str, message: Input) -> None:
        self._tick()
        self._offsets[topic] += 1
        cause = Origin(topic=topic, partition=0, offset=self._offsets[topic])
        self.stored += [stored for _, stored in self.fold.take(message, cause, at=self.now)]

    def _tick(self) -> None:
        blind = self.now - self.fold.law.h > HOUR
        self.stored += [stored for _, stored in self.fold.tick(at=self.now, blind=blind)]

    def end(self) -> End:
        """What it came to."""
        law, servers = self.fold.law, self.fold.servers
        made = {name: decision_of(servers[name]) for name in sorted(servers)}
        return End(
            rules=law.rules,
            records=law.seq,
            head=law.head,
            digest=self.fold.digest(),
            servers=len(servers),
            policy_version=law.policy_version,
            decisions={name: decision for name, decision in made.items() if decision is not None},
        )


def reading(build: Build | None = OLD, product: str = E2016, high: Build | None = None) -> Reading:
    """What the lines say; *high*: up to which build the installed one may be."""
    return Reading(product=product, shown=build, low=build, high=high or build, form="smtp", reason="exact")


def outcome_of(server: str) -> str:
    """What becomes of notices to *server*: most arrive, one kind of server has nobody, one bounces, one lapses."""
    told = {"silent": "", "bounces": "failed", "lapses": "lapsed", "nobody": "no-contact"}
    return next((outcome for name, outcome in told.items() if name in server), "delivered")


def policies(shipped: Policy) -> dict[int, Policy]:
    """By version: 2 enforces, 3 only observes the branch, 4 enforces it again and asks for no notice, 5 names no 2010 any more."""
    internet = Connector(name="internet", kind="internet", owner="postmaster", mode="enforce")
    branch = Connector(
        name="branch", kind="on-premises", owner="it", ranges=("198.51.100.0/24", "2001:db8::/32"), mode="enforce"
    )
    of = msgspec.structs.replace
    two = of(shipped, version=2, title="golden 2", mode="enforce", connectors=(internet, branch))
    three = of(two, version=3, title="golden 3", connectors=(internet, of(branch, mode="observe")))
    four = of(two, version=4, title="golden 4", notices=of(two.notices, needed_for_blocking=False))
    five = of(four, version=5, title="golden 5", floors=tuple(w for w in four.floors if w.product != E2010))
    wave = FloorWave(product=E2016, effective=date(2027, 3, 1), builds=(NEW,), source="golden")
    return {2: two, 3: three, 4: four, 5: of(five, floors=(*five.floors, wave))}


def opens(world: Scripted, names: Iterable[str], what: Reading, **of_facts: Any) -> None:
    """Each of *names* is seen in three hours."""
    for _ in range(3):
        for name in names:
            world.see(name, what, **of_facts)
        world.wait(HOUR)


def live(world: Scripted) -> None:
    """The script."""
    adopted = policies(world.policy)
    opens(world, ("early.alt.example", "gone.alt.example"), reading())  # in observe: at day 0
    world.adopt("golden-same", msgspec.structs.replace(adopted[2], version=1))  # refused: not above
    world.adopt("golden-late", adopted[2], ago=25 * HOUR)  # refused: too old
    world.adopt("golden-v2", adopted[2])
    world.adopt("golden-v2", adopted[2])  # no effect: decided before
    opens(world, ("ex07.alt.example", "silent.alt.example", "bounces.alt.example"), reading(None, E2007))
    opens(world, ("b1.branch.example", "b2.branch.example", "nobody.branch.example"), reading(), peer="198.51.100.9")
    opens(world, ("v6.branch.example",), reading(), peer="2001:db8:0:1::/64")
    for name in ("mx.verified.example", "lapses.verified.example"):
        opens(world, (name,), reading(), client_name=name, client_resolve="ok")
    opens(world, ("ten.alt.example", "ten2.alt.example"), reading(None, E2010))
    world.see("range.alt.example", reading(high=NEW))  # cannot tell
    world.see("domain.alt.example", reading(), helo="other.alt.example")  # the domain alone ties nobody
    world.see("shaky.alt.example", reading(), client_resolve="tempfail")
    world.see("old.alt.example", reading(), imported=True)
    # Counts in two hours, then a message that another id of it sent proves itself patched.
    for _ in range(2):
        world.see("two.alt.example", reading())
        world.wait(HOUR)
    world.see("two.alt.example", reading(FLOOR), client_name="two.alt.example", client_resolve="ok")
    world.settle(outcome_of)
    _first_months(world, adopted)
    _later_months(world, adopted)


def _first_months(world: Scripted, adopted: dict[int, Policy]) -> None:
    """Throttling, a hold of both kinds, a release with a relapse, a product that changes."""
    for day in range(40):
        world.wait(DAY)
        _mails(world, day)
        world.settle(outcome_of)
        if day == 20:
            world.wait(5 * HOUR, watched=False)  # nobody could have seen a cure
        if day == 25:
            world.freeze("golden-frozen", frozen=True)
            world.freeze("golden-frozen2", frozen=True)  # no effect
            world.wait(2 * DAY)
            world.freeze("golden-thawed", frozen=False)
        if day == 30:
            world.adopt("golden-v3", adopted[3])
        if day == 36:
            world.see("ex07.alt.example", reading(FLOOR))  # another product under the same name
    world.see("b1.branch.example", reading(FLOOR), peer="198.51.100.9")  # patched
    world.see("b1.branch.example", reading(), peer="198.51.100.9", back=3 * DAY)  # late: accuses nobody
    world.see("mx.verified.example", reading(FLOOR), client_name="mx.verified.example", client_resolve="ok")
    world.wait(2 * DAY)
    opens(world, ("b1.branch.example",), reading(), peer="198.51.100.9")  # relapsed


def _later_months(world: Scripted, adopted: dict[int, Policy]) -> None:
    """Blocking, late where a notice came late; expiry, a floor that rises and one that is dropped."""
    for day in range(60):
        world.wait(DAY)
        _mails(world, day)
        world.settle(outcome_of)
        if day == 35:
            world.settle(lambda name: "delivered" if "silent" in name else "")
        if day == 40:
            world.adopt("golden-v4", adopted[4])
        if day == 50:
            world.adopt("golden-v5", adopted[5])
    opens(world, ("high.alt.example",), reading(FLOOR))  # enough once, below the floor of March
    world.wait(40 * DAY)
    world.settle(outcome_of)
    if hasattr(records, "Act"):
        _acts(world)


def _acts(world: Scripted) -> None:
    """What people ask for; a relapse, and a server that is seen below and at the floor by turns."""
    names = [f"{what}.acts.example" for what in ("paused", "exempt", "disputed", "rejected", "wrong", "told", "mixed")]
    ids = {name.partition(".")[0]: f"{name}@192.0.2.7" for name in names}
    opens(world, names, reading())
    world.ask("pause.v1", account=ids["paused"], days=20)
    world.ask("pause.v1", account=ids["paused"], days=366)  # refused: so many are not left
    world.ask("exempt.v1", kind="server", target=ids["exempt"], owner="it", until=world.now + 30 * DAY)
    for name in ("disputed", "rejected"):
        world.ask("dispute.v1", server=ids[name], case=world.case(ids[name]))
    world.ask("resolve.v1", server=ids["disputed"], case=world.case(ids["disputed"]), outcome="upheld")
    world.ask("resolve.v1", server=ids["rejected"], case=world.case(ids["rejected"]), outcome="rejected")
    world.ask("correct.v1", server=ids["wrong"], case=world.case(ids["wrong"]))
    world.ask("acknowledge.v1", server=ids["told"], case=world.case(ids["told"]))
    world.ask("sign.v1", server=ids["told"], case=world.case(ids["told"]), stage=5)
    world.ask("mode.v1", connector="branch", mode="observe")
    world.see("mixed.acts.example", reading(NEW))
    for day in range(40):
        world.wait(DAY)
        world.settle(outcome_of)
        if day % 4 == 0:
            for name in names:
                world.see(name, reading())
        if day == 5:
            world.ask("resume.v1", account=ids["paused"])
            world.ask("lift-struck.v1", server=ids["wrong"])
            world.ask("exempt.v1", kind="server", target=ids["exempt"], owner="it", until=None)


def _mails(world: Scripted, day: int) -> None:
    """Whoever still writes: so that cases go on, and do not expire."""
    if day % 4 == 0:
        for name in ("ex07.alt.example", "silent.alt.example", "bounces.alt.example"):
            world.see(name, reading(None, E2007))
        for name in ("b2.branch.example", "nobody.branch.example"):
            world.see(name, reading(), peer="198.51.100.9")
        world.see("ten.alt.example", reading(None, E2010))
        world.see("lapses.verified.example", reading(), client_name="lapses.verified.example", client_resolve="ok")
    for number in range(6):  # patched ones: many, so that a checkpoint falls due
        world.see(f"p{day * 6 + number}.many.example", reading(NEW))


def write(directory: Path) -> list[Path]:
    """Let the world live, and write it down; the files."""
    world = Scripted()
    live(world)
    end = world.end()
    lines = [*world.stored, seal(end.records, end.head)]
    files = {
        directory / f"rules-{RULES}.jsonl.zst": b"".join(line + b"\n" for line in lines),
        directory / f"rules-{RULES}.end.json.zst": msgspec.json.encode(end) + b"\n",
    }
    directory.mkdir(parents=True, exist_ok=True)
    for path, content in files.items():
        path.write_bytes(zstandard.ZstdCompressor(level=_LEVEL).compress(content))
    return list(files)


def main() -> int:
    """Write the log of this code's rules."""
    parser = argparse.ArgumentParser(description="Write the golden log of this code's rules.")
    parser.add_argument("directory", nargs="?", type=Path, default=Path(__file__).parent)
    for path in write(parser.parse_args().directory):
        sys.stdout.write(f"{path}: {path.stat().st_size} bytes\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())

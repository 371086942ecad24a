"""The demo's scenes, in order. Each checks what it expects; the story goes on, and a broken expectation ends in exit code 1."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from time import monotonic

from rich.console import Console
from rich.panel import Panel
from rich.table import Table

from services.cli.demo_senders import Answer, MailServer
from services.cli.demo_time import StoryClock
from services.cli.demo_watch import DemoFailed, Relay, Watcher
from shared.domain import events as e
from shared.domain.build import Build
from shared.domain.policy import Policy
from shared.domain.verdict import window_start

OK, DEFERRED, REFUSED = 250, 450, 550
HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)
QUEUE_TRIES = 10
HOURS_TRIED = 6
RETRY = 4 * MINUTE  # how often the sender's queue tries again
PATCHED = Build(15, 1, 2507, 61)
SEED_STAGE = 6
CONNECTOR = "branch-office"
SEED_LINE = (
    "550 5.7.230 Connecting Exchange server version is out-of-date; "
    "connection to Exchange Online blocked for 10 mins/hr."
)
_NOTICE_LINES_SHOWN = 30


@dataclass
class Stage:
    """What the scenes share: the three servers, the clock, and what is watched. run: a `patchgate` command -> (exit code, output)."""

    console: Console
    clock: StoryClock
    watcher: Watcher
    relay: Relay
    policy: Policy
    old: MailServer
    patchable: MailServer
    modern: MailServer
    run: Callable[..., Awaitable[tuple[int, str]]]
    stop_broker: Callable[[], Awaitable[None]]
    start_broker: Callable[[], Awaitable[None]]
    work_dir: Path
    checks: int = 0
    failed: list[str] = field(default_factory=list)

    def title(self, text: str) -> None:
        """Begin a scene."""
        self.console.print()
        self.console.rule(f"[bold]{text}[/bold]  {self.clock.now():%d %b %Y %H:%M} UTC", align="left")

    def check(self, text: str, ok: object, seen: object = "") -> None:
        """One expectation."""
        self.checks += 1
        mark = "[green]✓[/green]" if ok else "[red]✗[/red]"
        self.console.print(f" {mark} {text}", highlight=False)
        if not ok:
            self.failed.append(text)
            self.console.print(f"   seen: {seen}", style="red", highlight=False)

    def say(self, text: str) -> None:
        """Tell what happens."""
        self.console.print(f"   {text}", highlight=False)

    def id_of(self, server: MailServer) -> str:
        """A server's id: all three come over one connector."""
        return f"{server.name}@{CONNECTOR}"

    @property
    def day0(self) -> datetime:
        """When the old server's case opened, in law time; nothing is held in the demo, so it is UTC."""
        return self.watcher.events(e.CaseOpened, self.id_of(self.old))[0].plan.rows[0].since

    async def to_day(self, day: int) -> None:
        """Jump to *day* days of the case, and wait until the law is there and the edges were told."""
        instant = self.day0 + timedelta(days=day)
        await self.clock.jump(instant)
        await self.watcher.folded_to(instant)

    def next_hour(self) -> datetime:
        """The next full hour of the story."""
        return self.clock.now().replace(minute=0, second=0, microsecond=0) + HOUR


async def first_mails(stage: Stage) -> None:
    """Three servers behind one address are seen in three hours; two are out of date, and their admins are told."""
    stage.title("1  First mails pass")
    everyone = (stage.old, stage.patchable, stage.modern)
    for server in everyone:
        stage.say(f"{server.name:22} {server.title}, from {server.own_address}")
    hour = stage.clock.now().replace(minute=0, second=0, microsecond=0)
    answers: list[Answer] = []
    for number in range(3):
        await stage.clock.jump(hour + number * HOUR + MINUTE)
        answers += [await server.send(at=stage.clock.now()) for server in everyone]
    stage.check("nine mails in three hours: nine times 250", all(a.code == OK for a in answers), answers)
    old = [stage.id_of(stage.old), stage.id_of(stage.patchable)]

    def opened() -> set[str]:
        return {case.server for case in stage.watcher.events(e.CaseOpened)}

    await stage.watcher.until("two cases", lambda: len(opened()) >= len(old))
    stage.check("after the third hour two cases open, none for the modern neighbour", opened() == set(old), opened())
    await stage.watcher.until("two notices mailed", lambda: len(stage.relay.mails) >= len(old))
    await stage.watcher.until("both settled", lambda: len(stage.watcher.events(e.NoticeSettled)) >= len(old))
    mail = next(m for m in stage.relay.mails if stage.old.name in str(m["Subject"]))
    shown = mail.get_content().splitlines()
    more = f"\n[dim]… {len(shown) - _NOTICE_LINES_SHOWN} more lines[/dim]" if len(shown) > _NOTICE_LINES_SHOWN else ""
    text = "\n".join(shown[:_NOTICE_LINES_SHOWN]).replace("[", "\\[")
    stage.console.print(Panel(text + more, title=" ".join(f"To {mail['To']}: {mail['Subject']}".split()), width=100))
    words = " ".join(" ".join(shown).split())
    told = all(fact in words for fact in (stage.old.name, str(stage.old.build), f"Server id {stage.old.build}"))
    stage.check("the notice names the server, its build and the line that was seen", told, words)


async def throttled(stage: Stage) -> None:
    """Stage 2: 450 inside the server's minutes; the sender's queue tries again, and the mail arrives."""
    await stage.to_day(31)
    hour = stage.next_hour()
    stage.title("2  Day 31: slowed, 5 minutes an hour")
    start = window_start(stage.policy.salt, stage.id_of(stage.old), hour)
    began = hour + start * MINUTE + MINUTE / 2
    await stage.clock.reach(began)
    answers = [await stage.old.send(at=stage.clock.now())]
    await stage.patchable.send(at=stage.clock.now())  # it goes on sending: who is not seen for 60 days expires
    stage.say(answers[0].line)
    stage.check(
        f"inside its minutes ({start} to {(start + 5) % 60} of this hour) the mail is deferred",
        answers[0].code == DEFERRED,
        answers,
    )
    while answers[-1].code != OK and len(answers) < QUEUE_TRIES:
        await stage.clock.reach(began + len(answers) * RETRY)
        answers.append(await stage.old.send(at=stage.clock.now()))
    delay = stage.clock.now() - began
    stage.check(
        f"the queue tries again every {RETRY // MINUTE} minutes: delivered at try {len(answers)}, {delay // MINUTE} minutes late",
        answers[-1].code == OK,
        answers,
    )


async def blocked_in_part(stage: Stage) -> None:
    """Stages 5 to 7: a mail a minute for an hour, and what became of it beside what the policy promises."""
    table = Table(title="A mail a minute for one hour, from the old server", title_justify="left")
    for column in (
        "day",
        "stage",
        "passed",
        "delayed (450)",
        "bounced (550)",
        "promised 450 / 550",
        "neighbour passed",
    ):
        table.add_column(column, justify="right")
    stage.title("3  Days 61, 71, 81: refused for some minutes of each hour")
    await _told_before_blocking(stage)
    seed = ""
    promised_kept = neighbour_unharmed = True
    for day, number in ((61, 5), (71, 6), (81, 7)):
        await stage.to_day(day)
        row = stage.policy.stages[number - 1]
        old, modern = await _hour_of_mail(stage)
        codes = Counter(answer.code for answer in old)
        seed = next((a.line for a in old if number == SEED_STAGE and a.code == REFUSED), seed)
        got = (codes[DEFERRED], codes[REFUSED])
        promised = (row.throttle_minutes_per_hour, row.block_minutes_per_hour)
        promised_kept &= got == promised
        passed = sum(answer.code == OK for answer in modern)
        neighbour_unharmed &= passed == len(modern)
        cells = (day, number, codes[OK], *got, f"{promised[0]} / {promised[1]}", f"{passed} of {len(modern)}")
        table.add_row(*map(str, cells))
        stage.say(f"day {day}: an hour with a mail a minute from each")
    stage.console.print(table)
    stage.check("minutes refused are the policy's", promised_kept)
    stage.check("the modern neighbour behind the same address lost nothing", neighbour_unharmed)
    stage.say(seed)
    stage.check("stage 6 answers with the very line that started us, byte for byte", seed == SEED_LINE, seed)


async def _told_before_blocking(stage: Stage) -> None:
    """Blocking waits for this notice, and days fly past while a busy machine mails it: so the story halts until it is delivered."""
    first = next(row.from_day for row in stage.policy.stages if row.block_minutes_per_hour)
    await stage.to_day(first - stage.policy.notices.before_blocking_days + 1)
    blocked = [stage.id_of(stage.old), stage.id_of(stage.patchable)]
    await stage.watcher.until("notices before blocking settled", lambda: all(_told(stage, name) for name in blocked))


def _told(stage: Stage, server: str) -> bool:
    due = {event.notice for event in stage.watcher.events(e.NoticeDue, server) if event.kind == "before-blocking"}
    return any(event.notice in due for event in stage.watcher.events(e.NoticeSettled, server))


async def _hour_of_mail(stage: Stage) -> tuple[list[Answer], list[Answer]]:
    """A mail in each minute of one hour; an hour in which this machine was too slow for that is done again."""
    for _ in range(HOURS_TRIED):
        hour = stage.next_hour()
        old: list[Answer] = []
        modern: list[Answer] = []
        for minute in range(60):
            await stage.clock.reach(hour + minute * MINUTE + MINUTE / 4)
            now = stage.clock.now()
            one, other = await asyncio.gather(stage.old.send(at=now), stage.modern.send(at=now))
            if stage.clock.now() >= hour + (minute + 1) * MINUTE:
                break
            old.append(one)
            modern.append(other)
        else:
            await stage.patchable.send(at=stage.clock.now())  # it goes on sending: who is not seen for 60 days expires
            return old, modern
        slower = await stage.clock.slow_down()
        stage.say(f"the machine was busy; once more in the next hour{', at half the pace' if slower else ''}")
    raise DemoFailed(f"this machine cannot send a mail every {MINUTE.total_seconds() / stage.clock.rate:g} s")


async def fully_blocked(stage: Stage) -> None:
    """Stage 8, and Kafka away: the edge goes on judging by what it holds."""
    await stage.to_day(91)
    stage.title("4  Day 91: blocked, all 60 minutes")
    old, patchable, modern = [await s.send(at=stage.clock.now()) for s in (stage.old, stage.patchable, stage.modern)]
    stage.say(old.line)
    stage.check("both old servers are refused", (old.code, patchable.code) == (REFUSED, REFUSED), (old, patchable))
    stage.check("the neighbour behind the same address gets 250", modern.code == OK, modern)
    stage.title("5  Kafka is stopped for a moment")
    await stage.stop_broker()
    old, modern = [await s.send(at=stage.clock.now()) for s in (stage.old, stage.modern)]
    stage.check(
        f"mail is still judged: {old.code} in {old.took_s * 1000:.0f} ms for the old server, {modern.code} in {modern.took_s * 1000:.0f} ms for the modern one",
        (old.code, modern.code) == (REFUSED, OK),
        (old, modern),
    )
    stopped_at = stage.clock.now()
    await stage.start_broker()
    await stage.watcher.folded_to(stopped_at)
    holds = stage.watcher.events(e.HoldBegan)
    stage.check("Kafka is back, and the law has gone on without a hold", not holds, holds)


async def patched(stage: Stage) -> None:
    """The patched server's own line lets its first mail pass; the case is lifted everywhere."""
    stage.title("6  The Exchange 2016 is patched")
    name = stage.id_of(stage.patchable)
    stage.patchable.build = PATCHED
    began = monotonic()
    answer = await stage.patchable.send(at=stage.clock.now())
    accepted_s = monotonic() - began
    stage.check(
        f"its first mail shows {PATCHED} and is accepted: 250 after {accepted_s * 1000:.0f} ms",
        answer.code == OK,
        answer,
    )
    await stage.watcher.until("its case is released", lambda: stage.watcher.events(e.CaseReleased, name), within_s=60)
    await stage.watcher.until("its decision is lifted", lambda: not stage.watcher.decisions[name].cases)
    lifted_s = monotonic() - began
    released = stage.watcher.events(e.CaseReleased, name)
    stage.check(
        f"its case is released everywhere {lifted_s:.1f} s after that mail was handed over",
        len(released) == 1,
        released,
    )
    await stage.watcher.until(
        "a release notice", lambda: any(event.kind == "release" for event in stage.watcher.events(e.NoticeDue, name))
    )
    still = await stage.old.send(at=stage.clock.now())
    stage.check("the Exchange 2007 that never changes stays refused", still.code == REFUSED, still)


async def explained_and_verified(stage: Stage) -> None:
    """Anybody can ask why, and compute the log again."""
    stage.title("7  Why? And is it true?")
    code, text = await stage.run("explain", stage.id_of(stage.old))
    stage.console.print(
        Panel(text.strip().replace("[", "\\["), title=f"patchgate explain {stage.id_of(stage.old)}", width=110)
    )
    stage.check("explain tells what was seen, what holds and what ends it", code == 0, text)
    export = stage.work_dir / "log.jsonl"
    code, text = await stage.run("audit", "export", str(export))
    stage.check(f"audit export: {' '.join(text.split())}", code == 0, text)
    code, text = await stage.run("audit", "verify", str(export))
    stage.console.print(text.strip(), style="green", markup=False)
    stage.check("audit verify: the log proves itself", code == 0, text)
    changed = stage.work_dir / "changed.jsonl"
    stored = bytearray(export.read_bytes())
    stored[len(stored) // 2] ^= 1
    changed.write_bytes(stored)
    code, text = await stage.run("audit", "verify", str(changed))
    stage.console.print(text.strip(), style="red", markup=False)
    stage.check("with one byte changed it does not, and says where", code == 1, text)


SCENES = (first_mails, throttled, blocked_in_part, fully_blocked, patched, explained_and_verified)


async def play(stage: Stage) -> int:
    """All scenes; returns the exit code."""
    try:
        for scene in SCENES:
            await scene(stage)
    except DemoFailed as error:
        stage.check(str(error), ok=False)
    return 1 if stage.failed else 0

"""The campaign: fault after fault, each drawn by its own seed, each followed by all checks."""

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from statistics import median

import msgspec

from tests.faults import checks
from tests.faults.fault import Fault, FaultError
from tests.faults.processes import LOOK_EVERY_S
from tests.faults.table import BY_NAME, TABLE
from tests.faults.truth import Answer
from tests.faults.world import EDGES, World, until, world

RECOVERS_S = 120.0
"""Real seconds within which all must be well again after any fault; a machine that is busy with others takes its time."""
ARRIVES_S = 30.0

Tell = Callable[[str], None]


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """count: faults. seed: of the first; the next has the next number. only: faults to take in turn; none: any is drawn."""

    count: int
    seed: int
    base: Path
    only: tuple[str, ...] = ()
    each: bool = False
    enforcers: int = 2


class Result(msgspec.Struct, kw_only=True):
    """One fault that was injected: how long it took to recover, and what was wrong."""

    number: int
    seed: int
    fault: str
    drawn: str = ""
    recovery_s: float = 0.0
    violations: list[str] = []

    @property
    def again(self) -> str:
        """How to run it again."""
        return f"make faults N=1 SEED={self.seed} ONLY={self.fault}"


class Report(msgspec.Struct, kw_only=True):
    """All results. not_drawn: faults that cannot be injected here, and why. after: what was wrong at the end of all."""

    results: list[Result] = []
    not_drawn: dict[str, str] = {}
    after: list[str] = []
    counts: dict[str, int] = {}
    seconds: float = 0.0

    @property
    def violations(self) -> list[str]:
        """Everything wrong."""
        return [
            f"fault {r.number} ({r.fault}, {r.drawn}): {v}" for r in self.results for v in r.violations
        ] + self.after


def drawable(*, enforcers: int = 2) -> tuple[list[Fault], dict[str, str]]:
    """The faults that can be injected here, and why the others cannot."""
    why = {fault.name: fault.needs() for fault in TABLE}
    if enforcers < 2:
        why["standby-killed"] = "there is no standby"
    return [fault for fault in TABLE if not why[fault.name]], {name: text for name, text in why.items() if text}


def draws(options: Options, faults: list[Fault]) -> Iterator[tuple[int, Fault]]:
    """Seed and fault of each number. The parameters hang on seed and name alone, so that one fault can be run again."""
    first = rng_of(options.seed).sample(faults, len(faults)) if options.each else []
    weights = [fault.weight for fault in faults]
    for number in range(options.count):
        seed = options.seed + number
        if options.only:
            yield seed, BY_NAME[options.only[number % len(options.only)]]
        elif number < len(first):
            yield seed, first[number]
        else:
            yield seed, rng_of(seed).choices(faults, weights)[0]


def rng_of(seed: int | str) -> Random:
    """A draw of its own."""
    return Random(seed)  # noqa: S311  (a draw that can be made again, no secret)


async def run(options: Options, tell: Tell) -> Report:
    """The whole campaign; it ends at the first fault after which something is wrong, for the next would only hide it."""
    faults, not_drawn = drawable(enforcers=options.enforcers)
    report, began = Report(not_drawn=not_drawn), time.monotonic()
    for name, why in not_drawn.items():
        tell(f"not drawn here: {name}: {why}")
    async with world(options.base, enforcers=options.enforcers, rng=rng_of(options.seed)) as one:
        if one.lane is None:
            tell("no Postfix here: mail goes to the edges by the milter protocol alone")
        await _settle(one, time.time(), "the start")
        for number, (seed, fault) in enumerate(draws(options, faults), start=1):
            result = Result(number=number, seed=seed, fault=fault.name)
            report.results.append(result)
            await _one(one, fault, result)
            tell(_line(result, options.count))
            if result.violations:
                break
        report.after += await _end(one)
        report.counts = _counts(one)
    report.seconds = time.monotonic() - began
    return report


async def _one(one: World, fault: Fault, result: Result) -> None:
    one.told = ""
    try:
        await fault.inject(one, rng_of(f"{result.seed}:{fault.name}"))
        over = time.time()
        await _settle(one, over, "the fault")
        result.recovery_s = time.time() - over
        result.violations += await _look(one)
    except (FaultError, TimeoutError) as error:
        result.violations.append(str(error))
    except Exception as error:  # noqa: BLE001  (a campaign of hours must say where it ended, whatever ended it)
        result.violations.append(f"the fault could not be done: {type(error).__name__}: {error}")
    result.drawn = one.told
    result.violations += _found(one)
    one.population.live_on()


async def _settle(one: World, since: float, what: str) -> None:
    """Wait until all is well: one leads, H follows, the tables are what the log folds to, each edge holds the enforcer's."""
    began = time.monotonic()
    while complaints := [*_not_well(one, since)]:
        waited_s = time.monotonic() - began
        if one.watch.violations or waited_s > RECOVERS_S:  # what is wrong for good need not be waited for
            raise FaultError(f"not well {waited_s:.0f} s after {what}: {'; '.join(complaints)}")
        await asyncio.sleep(LOOK_EVERY_S)


def _not_well(one: World, since: float) -> Iterator[str]:
    if len(one.leading()) != 1:
        yield f"{len(one.leading())} enforcers lead"
    yield from (f"{service.name} is not ready" for service in one.services if not service.ready_since(since))
    yield from checks.not_fresh(one.watch, one.truth, since)
    yield from checks.law_differs(one.watch)
    yield from checks.edges_differ(one.watch, one.truth, EDGES, since)


async def _look(one: World) -> list[str]:
    """A newcomer is heard of, mail gets the law's own replies, and what Postfix took arrives."""
    edge = EDGES[len(one.population.live) % 2]
    newcomer = one.population.newcomer()
    await one.traffic.ask(edge, one.population.letter(newcomer, plain=True))
    key = newcomer.server
    await until(lambda: key in one.watch.audit.fold.servers, f"the law hears by {edge} of {key}", ARRIVES_S)
    answers = await _probe(one)
    asked = time.time()
    await until(lambda: one.truth.newest is not None and one.truth.newest.at > asked, "one more heartbeat", ARRIVES_S)
    one.outcomes["in calm, to be refused"] += sum(
        one.truth.must_be(one_of) in {"defer", "reject"} for one_of in answers
    )
    return [*checks.not_as_the_law_says(one.truth, answers), *await _postfix(one)]


async def _probe(one: World) -> list[Answer]:
    return [
        await one.traffic.ask(edge, one.population.letter(sender, plain=True))
        for edge in EDGES
        for sender in one.population.live[-6:]
    ]


async def _postfix(one: World) -> list[str]:
    lane = one.lane
    if lane is None:
        return []
    taken = set(lane.taken)

    def arrived() -> bool:
        lane.collect()
        return not taken & lane.taken

    try:
        await until(arrived, "what Postfix took arrives", ARRIVES_S)
    except TimeoutError:
        return [f"lost at the MTA: {sorted(taken & lane.taken)}"]
    strays, lane.strays = lane.strays, []
    return strays


def _found(one: World) -> list[str]:
    """What was found wrong meanwhile, by whoever looks all the time."""
    found = one.watch.take_violations()
    answers = one.traffic.take_answers()
    one.outcomes.update(answer.outcome for answer in answers)
    found += [*checks.too_harsh(one.truth, answers, one.skewed)]
    for service in one.services:
        deaths, service.deaths = service.deaths, []
        found += [death for death in deaths if death.startswith("UNTOLD") or service.kind == "edge"]
    for flow in (one.traffic, one.lane):
        failed = flow.failed() if flow is not None else None
        found += [f"mail no longer flows: {failed!r}"] if failed else []
    one.sink.mails.clear()
    one.skewed = [span for span in one.skewed if span[2] > time.time() - 60]
    one.truth.forget(time.time())
    return found


async def _end(one: World) -> list[str]:
    await one.traffic.stop()
    if one.lane is not None:
        await one.lane.stop()
    return [*await one.stop_services(), *_found(one)]


def _counts(one: World) -> dict[str, int]:
    """How much happened: a campaign in which nothing is refused would prove nothing."""
    lane = one.lane
    return {
        "log records": one.watch.audit.fold.law.seq,
        "servers": len(one.watch.audit.fold.servers),
        "mails by milter": one.traffic.sent,
        "mails by Postfix": lane.delivered + lane.refused if lane else 0,
        **dict(sorted(one.watch.events.items())),
        **{f"replies: {outcome}": count for outcome, count in sorted(one.outcomes.items())},
    }


def _line(result: Result, count: int) -> str:
    drawn = f" ({result.drawn})" if result.drawn else ""
    head = f"{result.number:>5}/{count}  {result.fault:<26}"
    if not result.violations:
        return f"{head} {result.recovery_s:6.1f} s{drawn}"
    return "\n".join(
        [f"{head} VIOLATED{drawn}", *(f"        {v}" for v in result.violations), f"        again: {result.again}"]
    )


def summary(report: Report) -> list[str]:
    """The table at the end: each kind of fault, how often, and how long it took to recover."""
    times: dict[str, list[float]] = defaultdict(list)
    for result in report.results:
        times[result.fault].append(result.recovery_s)
    lines = [f"{'fault':<26} {'times':>5} {'median s':>9} {'max s':>7}"]
    lines += [
        f"{name:<26} {len(took):>5} {median(took):>9.1f} {max(took):>7.1f}" for name, took in sorted(times.items())
    ]
    lines += [f"{name:<26} {'-':>5}  not drawn here: {why}" for name, why in sorted(report.not_drawn.items())]
    lines.append(f"{len(report.results)} faults in {report.seconds:.0f} s; {len(report.violations)} violations")
    lines.append("; ".join(f"{name} {count}" for name, count in report.counts.items()))
    return lines

"""An explanation in plain words, one line a thought: for `patchgate explain` and for the page of a server."""

from collections.abc import Iterator
from datetime import datetime

from shared.domain.explanation import CaseShown, Explanation, HeldShown, RowShown, Window

_STATE_WORDS = {
    "observed": "is only observed, by the policy's word or because it is exempt: its mail is neither slowed nor refused",
    "held": "is held: its mail passes, and its clock stands",
    "reported": "is reported only: its mail still passes",
    "throttled": "is throttled",
    "blocked-partly": "is blocked for a part of each hour",
    "blocked": "is blocked in every minute",
    "released": "is released: all of its mail passes",
}
_STILL_WORDS = {
    "freeze": "An operator has frozen everything: nothing is slowed or refused, and no case ages.",
    "blind": "The law stands still: for too long nobody could have seen a cure, so no case ages.",
}
# Every product that is judged so far is an Exchange.
_HOW_TO_CHECK = (
    "on the server, `Get-Command ExSetup.exe | ForEach-Object { $_.FileVersionInfo }` shows the installed build; "
    "Get-ExchangeServer shows the cumulative update only."
)
_DAY_S = 86_400
_ACTION_WORDS = {"accept": "accepted", "defer": "deferred", "reject": "refused"}


def plain(explanation: Explanation) -> list[str]:
    """*explanation* as lines of plain words, most important first. Dates are UTC."""
    return [*_who(explanation), *_verdict(explanation), *_cases(explanation), *_what_next(explanation)]


def minutes_of(window: Window) -> str:
    """This hour's minutes in words, such as `refused 11:46-11:56 (10 min)`; the last minute is not included."""
    parts = []
    for span in window.spans:
        hour = window.hour.hour
        until = f"{hour:02}:{span.until_minute:02}" if span.until_minute < 60 else f"{(hour + 1) % 24:02}:00"  # noqa: PLR2004  (minutes of an hour)
        length = span.until_minute - span.from_minute
        parts.append(f"{_ACTION_WORDS[span.action]} {hour:02}:{span.from_minute:02}-{until} ({length} min)")
    return ", ".join(parts)


def _when(instant: datetime) -> str:
    return f"{instant:%Y-%m-%d %H:%M} UTC"


def _who(x: Explanation) -> Iterator[str]:
    scope = f"connector {x.connector}" if x.connector else "no connector"
    yield f"{x.server} ({scope}), first seen {_when(x.first_seen)}, last news {_when(x.last_seen)}."
    yield f"Known by its {x.tie} tie: {x.tie_means}."
    reading = x.reading
    if not reading.shown:
        yield f"Its newest reading: {reading.product}, no build shown: {reading.because}."
    else:
        called = f" ({reading.update})" if reading.update else ""
        yield f"Its newest reading: {reading.product}, lines show build {reading.shown}{called}."
        if reading.low == reading.high:
            yield f"So build {reading.low} is installed: {reading.because}."
        else:
            yield f"So a build from {reading.low} to {reading.high} is installed: {reading.because}."
    if x.lacks.security_updates or x.lacks.holes:
        updates = "update rollups" if x.lacks.rollups else "security updates"
        yield (
            f"It lacks {x.lacks.security_updates} {updates} for sure; {x.lacks.holes} known holes are open, "
            f"{x.lacks.holes_exploited} of them known to be exploited."
        )
    if x.lacks.support_ended:
        yield f"Public support of {reading.product} ended on {x.lacks.support_ended}."
    if x.evidence is not None:
        yield f"Newest evidence below the floor, seen {_when(x.evidence.seen_at)} by edge {x.evidence.edge} (log seq {x.evidence.seq}):"
        yield f"    {x.evidence.line or '(no line was kept)'}"


def _verdict(x: Explanation) -> Iterator[str]:
    for one in x.exempt:
        yield f"Exempt, until {_when(one.until)}: {one.kind} {one.target}; {one.owner} answers for that."
    if x.law.standing_still:
        yield _STILL_WORDS[x.law.standing_still]
    yield f"A message like its newest one is now {_ACTION_WORDS[x.verdict.action]}: {x.verdict.why}."
    if x.verdict.reply:
        yield f"    {x.verdict.reply}"


def _cases(x: Explanation) -> Iterator[str]:
    for count in x.counting:
        yield (
            f"No case yet about {count.product}: readings below the floor in {count.hours} of {count.needed} distinct hours "
            f"(log seq {_seqs(count.seqs)})."
        )
    if not x.cases and not x.counting:
        yield "There is no case: nothing is held against it."
    for case in x.cases:
        yield from _case(case)


def _case(case: CaseShown) -> Iterator[str]:
    yield f"Case {case.opened_seq} about {case.product}: it {_STATE_WORDS[case.state]}."
    yield f"It is accused of this: {case.accuses}."
    yield f"Opened {_when(case.opened_at)} (log seq {case.opened_seq}, evidence {_seqs(case.evidence_seqs)})."
    if case.inherited_s:
        yield _inherited(case)
    if case.released_at is not None:
        yield f"Released {_when(case.released_at)}."
        return
    yield from (_held(one) for one in case.held)
    if case.row is not None:
        yield f"Stage {case.stage} of {case.stages}: {_minutes(case.row)}."
    if case.window is not None:
        yield f"In this hour: {minutes_of(case.window)}."
    if case.next_row is not None:
        yield _next_row(case.next_row)
    if case.blocking_waits_for:
        yield f"Blocking waits for {case.blocking_waits_for}."
    yield _notices(case)
    yield f"What ends it: {case.remedy}."
    if case.patch_exists:
        yield f"How to check: {_HOW_TO_CHECK}"


def _inherited(case: CaseShown) -> str:
    days = f"{(case.inherited_s or 0) / _DAY_S:.1f} days"
    if case.mixed:
        return f"It had been released, and was then seen below its floor again: its clock went on at {days}."
    return f"An earlier case had been released, and the old software came back: its clock of {days} counts."


def _held(one: HeldShown) -> str:
    since, until = _when(one.since), _when(one.until) if one.until else ""
    if one.reason == "pause":
        return f"Its account is paused, since {since}, until {until}."
    why = "Its admin disputes it" if one.reason == "dispute" else "Two machines seem to speak under its server's name"
    return f"{why}, since {since}; it waits for an operator, until {until} at the latest."


def _minutes(row: RowShown) -> str:
    parts = []
    if row.throttle_minutes_per_hour:
        parts.append(f"{row.throttle_minutes_per_hour} minutes an hour deferred")
    if row.block_minutes_per_hour:
        parts.append(f"{row.block_minutes_per_hour} minutes an hour refused")
    return ", ".join(parts) or "no minutes, all mail passes"


def _next_row(row: RowShown) -> str:
    when = _when(row.since) if row.granted else f"not before {_when(row.since)}"
    return f"Next: stage {row.stage}, {when}: {_minutes(row)}."


def _notices(case: CaseShown) -> str:
    notices = case.notices
    delivered = (
        f"the last one delivered {_when(notices.delivered_at)}" if notices.delivered_at else "none was delivered"
    )
    pending = sum(one.pending for one in notices.open)
    return f"Notices: {notices.fell_due} fell due, {delivered}, {pending} on the way."


def _what_next(x: Explanation) -> Iterator[str]:
    if x.next_step is not None:
        yield f"By itself, next, {_when(x.next_step.at)}: {x.next_step.what}."


def _seqs(seqs: tuple[int, ...]) -> str:
    return ", ".join(str(seq) for seq in seqs)

"""
The pause account: whose days a pause uses, and how many are left. Pure.

Days are whole UTC days of the calendar year in which they lie. A day on which an account was paused is used once, however often
it paused and resumed on it; an early end gives back all days after that day.
"""

from datetime import UTC, date, datetime, time, timedelta

import msgspec

from shared.domain.policy import Policy

_DAY = timedelta(days=1)


class Pause(msgspec.Struct, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """One pause. first, last: the UTC days that were asked for, both included. used_to: the last that it used, if it ended early."""

    first: date
    last: date
    used_to: date | None = None

    @property
    def end(self) -> date:
        """The last day that it uses."""
        return self.used_to or self.last


class Account(msgspec.Struct, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """The pauses of one account, oldest first, of this year and the last. running: whether the last of them is in force."""

    account: str
    pauses: tuple[Pause, ...] = ()
    running: bool = False


class YearShown(msgspec.Struct, frozen=True, kw_only=True):
    """Days of one calendar year: what the policy grants, what was used (with those of a running pause), what is left."""

    year: int
    granted: int
    used: int
    left: int


class PauseShown(msgspec.Struct, frozen=True, kw_only=True):
    """One pause of a statement. days: that it uses; came_back: that were asked for and not used."""

    first: date
    last: date
    days: int
    came_back: int
    running: bool


class Statement(msgspec.Struct, frozen=True, kw_only=True):
    """An account as its owner is shown it. paused_until: the midnight (UTC) at which the running pause ends."""

    account: str
    paused_until: datetime | None
    pauses: tuple[PauseShown, ...]
    years: tuple[YearShown, ...]


def account_of(policy: Policy, server_id: str, connector: str) -> str:
    """Whose days a pause of the server uses: its connector's owner, or, on the internet, it is an account itself."""
    found = policy.connector_named(connector)
    return (found.owner if found and found.kind != "internet" else "") or server_id


def midnight_after(day: date) -> datetime:
    """The instant at which a UTC day is over."""
    return datetime.combine(day + _DAY, time(), UTC)


def lacking(account: Account | None, first: date, last: date, per_year: int) -> str:
    """Of which year too few days are left for a pause from *first* to *last*; "" if there are enough."""
    used = _used(account)
    asked = {first + _DAY * number for number in range((last - first).days + 1)} - used
    for year in range(first.year, last.year + 1):
        wanted, left = _of_year(asked, year), per_year - _of_year(used, year)
        if wanted and wanted > left:  # a day that is used already asks for none
            return f"of {year} {max(0, left)} of {per_year} days are left, and {wanted} are asked for"
    return ""


def statement(account: Account | None, name: str, per_year: int, today: date) -> Statement:
    """The statement of an account; None: it never paused."""
    pauses = account.pauses if account else ()
    running = account is not None and account.running
    used = _used(account)
    return Statement(
        account=name,
        paused_until=midnight_after(pauses[-1].end) if running else None,
        pauses=tuple(
            PauseShown(
                first=one.first,
                last=one.last,
                days=(one.end - one.first).days + 1,
                came_back=(one.last - one.end).days,
                running=running and one is pauses[-1],
            )
            for one in pauses
        ),
        years=tuple(
            YearShown(year=year, granted=per_year, used=count, left=max(0, per_year - count))
            for year in (today.year, today.year + 1)
            for count in (_of_year(used, year),)
        ),
    )


def _used(account: Account | None) -> set[date]:
    pauses = account.pauses if account else ()
    return {one.first + _DAY * number for one in pauses for number in range((one.end - one.first).days + 1)}


def _of_year(days: set[date], year: int) -> int:
    return sum(day.year == year for day in days)


# --- evolving ----------------------------------------------------------------------------------------------------------


def paused(account: Account | None, name: str, pause: Pause) -> Account:
    """With one more pause, in force. One that began and ended on its first day is taken up by it, so that a day has two at most."""
    before = account.pauses if account else ()
    if before and before[-1].first == before[-1].end == pause.first:
        before = before[:-1]
    return Account(account=name, pauses=(*_kept(before, pause.first.year), pause), running=True)


def ended(account: Account, used_to: date) -> Account:
    """Its pause is over; *used_to*: the last day that it used."""
    *before, last = account.pauses
    over = msgspec.structs.replace(last, used_to=used_to if used_to < last.last else None)
    return msgspec.structs.replace(account, pauses=(*before, over), running=False)


def _kept(pauses: tuple[Pause, ...], year: int) -> tuple[Pause, ...]:
    return tuple(one for one in pauses if one.end.year >= year - 1)


def is_old(account: Account, year: int) -> bool:
    """Whether nothing of it is of that year or the last: it is forgotten then."""
    return not account.running and not _kept(account.pauses, year)

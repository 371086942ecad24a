"""
The model that replies are held against: what the refolded log and the heartbeats allow, at each instant.

It knows which mail was sent, so it reads no `Received` line and asks no edge. A reply may be as harsh as a heartbeat makes
it whose H was younger than `stale_after` when the mail was sent, and which an edge could have had by the time of the reply.
"""

from bisect import bisect_right
from collections import deque
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Literal, NamedTuple

from shared.domain.records import Decision, Row
from shared.domain.verdict import action_in, row_at, window_start
from shared.runtime.clock import Segment

Outcome = Literal["accept", "defer", "reject"]

STALE_AFTER_S = 15
SLACK_S = 0.03
"""Of the minutes: a mail is asked about a moment before or after the client looked at its clock."""
CALM_S = 2.5
"""A reply in calm must be what all heartbeats of so long before it say."""

HARSHNESS: dict[str, int] = {"accept": 0, "defer": 1, "reject": 2}


class Beat(NamedTuple):
    """A heartbeat. at: when the broker took it; h_at: the real instant of its H; both Unix seconds."""

    at: float
    h_at: float
    seq: int
    law_now: datetime
    frozen: bool


class Mail(NamedTuple):
    """A mail as the sender knows it. product: what its own lines prove to be too old; "" where they prove nothing."""

    server: str
    product: str
    kind: str


class Answer(NamedTuple):
    """What became of a mail. outcome: of the milter; `away` and `late` are what a Postfix passes by its default action."""

    mail: Mail
    edge: str
    began: float
    ended: float
    outcome: str
    text: str = ""


class Truth:
    """Bounded by `forget`: what is older than any answer to come is dropped."""

    def __init__(self, segment: Segment, salt: str) -> None:
        self._segment = segment
        self._salt = salt
        self._beats: deque[Beat] = deque()
        self._history: dict[str, list[tuple[int, Decision]]] = {}

    # -- time ---------------------------------------------------------------------------------------------------------

    def real(self, utc: datetime) -> float:
        """The real instant at which the campaign's clock shows *utc*."""
        return self._segment.real.timestamp() + (utc - self._segment.utc).total_seconds() / self._segment.rate

    def utc(self, real: float) -> datetime:
        """What the campaign's clock shows at a real instant."""
        return self._segment.utc + timedelta(seconds=(real - self._segment.real.timestamp()) * self._segment.rate)

    # -- what it learns -----------------------------------------------------------------------------------------------

    def note_decision(self, seq: int, decision: Decision) -> None:
        """From record *seq* of the log on, this is the decision."""
        history = self._history.setdefault(decision.server, [])
        if history and history[-1][0] == seq:
            history.pop()
        history.append((seq, decision))

    def note_beat(self, beat: Beat) -> None:
        """One more heartbeat, in the order of the topic."""
        self._beats.append(beat)

    @property
    def newest(self) -> Beat | None:
        """The last heartbeat that was seen."""
        return self._beats[-1] if self._beats else None

    def first_since(self, since: float) -> Beat | None:
        """The first heartbeat that the broker took at *since* (Unix seconds) or later."""
        return next((beat for beat in self._beats if beat.at >= since), None)

    def forget(self, before: float) -> None:
        """Drop heartbeats that nobody obeys any more at *before*, and decisions that were followed by others then."""
        while len(self._beats) > 1 and self._beats[1].at < before - STALE_AFTER_S - CALM_S:
            self._beats.popleft()
        oldest = self._beats[0].seq if self._beats else 0
        for history in self._history.values():
            while len(history) > 1 and history[1][0] <= oldest:
                history.pop(0)

    # -- what it says -------------------------------------------------------------------------------------------------

    def complaint(self, answer: Answer, *, any_minute: bool = False) -> str:
        """What is too harsh about *answer*; "" if nothing is. any_minute: the edge's clock was off, so no minute is its own."""
        if answer.outcome in {"accept", "away", "late"}:
            return ""
        if answer.outcome not in HARSHNESS:
            return f"the milter answered {answer.outcome} {answer.text!r}"
        if not answer.mail.product:
            return f"a mail that proves nothing ({answer.mail.kind}) was refused: {answer.text}"
        allowed = set(self._allowed(answer, any_minute=any_minute))
        if HARSHNESS[answer.outcome] <= max((HARSHNESS[one] for one in allowed), default=0):
            return ""
        return f"{answer.text} where the law allows {sorted(allowed) or ['accept']}"

    def must_be(self, answer: Answer) -> Outcome | None:
        """The one reply that the law gives in calm; None where it is about to change."""
        if not answer.mail.product:
            return "accept"
        said = {
            action
            for beat in self._between(answer.began - CALM_S, answer.ended)
            for action in self._actions(beat, answer, any_minute=False)
        }
        return said.pop() if len(said) == 1 else None

    def _allowed(self, answer: Answer, *, any_minute: bool) -> Iterator[Outcome]:
        for beat in self._between(answer.began - STALE_AFTER_S, answer.ended):
            if beat.h_at >= answer.began - STALE_AFTER_S - 1:
                yield from self._actions(beat, answer, any_minute=any_minute)

    def _between(self, first: float, last: float) -> Iterator[Beat]:
        """Every heartbeat that was the newest at some instant of the span, and the next one, which may have been on its way."""
        beats = list(self._beats)
        start = max(0, bisect_right(beats, first, key=lambda beat: beat.at) - 1)
        end = bisect_right(beats, last, key=lambda beat: beat.at) + 1
        yield from beats[start:end]

    def _actions(self, beat: Beat, answer: Answer, *, any_minute: bool) -> Iterator[Outcome]:
        row = self._mildest_row(answer.mail, beat)
        if row is None or beat.frozen:
            yield "accept"
            return
        for instant in self._minutes(answer, any_minute=any_minute):
            start = window_start(self._salt, answer.mail.server, instant)
            yield action_in(row, start, instant.minute)

    def _minutes(self, answer: Answer, *, any_minute: bool) -> Iterator[datetime]:
        first, last = self.utc(answer.began - SLACK_S), self.utc(answer.ended + SLACK_S)
        if any_minute:
            first, last = self.utc(answer.began), self.utc(answer.began) + timedelta(hours=1)
        last = min(last, first + timedelta(hours=2))  # more minutes than there are say nothing more
        instant = first
        while instant <= last + timedelta(minutes=1):
            yield min(instant, last)
            instant += timedelta(minutes=1)

    def _mildest_row(self, mail: Mail, beat: Beat) -> Row | None:
        history = self._history.get(mail.server, [])
        index = bisect_right(history, beat.seq, key=lambda entry: entry[0])
        if not index:
            return None
        rows = [
            row_at(case, beat.law_now)
            for case in history[index - 1][1].cases
            if case.product == mail.product and case.enforced
        ]
        found = [row for row in rows if row is not None]
        return min(found, key=lambda row: (row.block_minutes_per_hour, row.throttle_minutes_per_hour), default=None)

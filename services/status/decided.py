"""What became of requests, from the tail of the log: the newest of them, and those that were asked here and wait."""

import asyncio
from collections import OrderedDict
from contextlib import suppress
from datetime import UTC, datetime
from hashlib import sha256

import msgspec

from shared.domain.answer import Answer, AnyRequest, request_in
from shared.domain.events import LogRecord
from shared.domain.records import ReportNotice

KEPT = 20_000
"""Requests that are remembered, about 15 MB. At the bound the oldest is forgotten; the log has it for ever."""

_ENCODER = msgspec.json.Encoder()
_NO_TIME = datetime(1970, 1, 1, tzinfo=UTC)


class Known(msgspec.Struct, frozen=True, kw_only=True):
    """One request. who: who asked. digest: of what was asked, so that another one under the same id is told from the same once more."""

    answer: Answer
    who: str
    digest: bytes


class Decided:
    """Requests by id; the first record of an id is its answer, as later ones only say that it was decided before."""

    def __init__(self, *, kept: int = KEPT) -> None:
        self._kept = kept
        self._known: OrderedDict[str, Known] = OrderedDict()
        self._news = asyncio.Event()

    def note(self, record: LogRecord) -> None:
        """One record of the log; again, after everything was read anew, it changes nothing. Reports of notices are nobody's act."""
        request = request_in(record.event)
        if request is None or isinstance(request, ReportNotice):
            return
        known = self._known.get(request.id)
        if known is None or known.answer.seq is None:
            self._put(request, Answer.of(request.id, record))
            news, self._news = self._news, asyncio.Event()
            news.set()

    def expect(self, request: AnyRequest) -> None:
        """It was published here, and is not decided yet."""
        if request.id not in self._known:
            self._put(request, Answer(id=request.id))

    def of(self, request_id: str) -> Known | None:
        """What is known of it; None where nothing is."""
        return self._known.get(request_id)

    async def wait(self, request_id: str, wait_s: float) -> Answer:
        """Its answer; after *wait_s* at the latest, and then `none yet`."""
        with suppress(TimeoutError):
            async with asyncio.timeout(wait_s):
                while (known := self._known.get(request_id)) is None or known.answer.seq is None:
                    await self._news.wait()
                return known.answer
        return Answer(id=request_id)

    def _put(self, request: AnyRequest, answer: Answer) -> None:
        self._known[request.id] = Known(answer=answer, who=request.who, digest=digest_of(request))
        self._known.move_to_end(request.id)
        if len(self._known) > self._kept:
            self._known.popitem(last=False)


def digest_of(request: AnyRequest) -> bytes:
    """Of what is asked, by whom and why, but not when: the same asked once more has the same."""
    return sha256(_ENCODER.encode(msgspec.structs.replace(request, made_at=_NO_TIME))).digest()

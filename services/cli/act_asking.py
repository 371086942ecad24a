"""How every act is asked: one request for each thing that was named, and one sentence, or one line of JSON, for each answer."""

import asyncio
import re
import uuid
from collections.abc import Sequence
from typing import Annotated, NamedTuple

import msgspec
import typer

from services.cli import common
from services.cli.bus import ask_all
from shared.domain.answer import Answer
from shared.domain.records import Act
from shared.runtime.clock import open_clock
from shared.runtime.settings import CommonSettings

WAIT_S = 10.0
"""A living enforcer answers in under a second; a restart takes seconds."""
MOST = 100
"""Acts of one call; more are refused, for nobody would read the answers."""

_OWN_ID = re.compile(r"[A-Za-z0-9._:-]{8,64}")  # as the record has it

Why = Annotated[str, typer.Option("--why", help="The reason, for those who read the log.")]
OwnId = Annotated[
    str, typer.Option("--id", help="An id of your own, 8 to 64 of A-Z a-z 0-9 . _ : -; it is decided once.")
]
AsOwner = Annotated[
    str,
    typer.Option(
        "--as-owner",
        metavar="OWNER",
        help="In the name of this owner of a connector, for his own account and servers only.",
    ),
]
Product = Annotated[
    str, typer.Option("--product", metavar="NAME", help="Of several cases of a server, the one about this.")
]


class How(msgspec.Struct, frozen=True, kw_only=True):
    """What all acts share. as_owner: only the acts that the law grants an owner have an option for it."""

    who: str
    why: str
    own_id: str
    as_owner: str = ""
    as_json: bool
    wait_s: float

    def fields(self, settings: CommonSettings) -> dict[str, object]:
        """The fields of a request that are no act's own; each call makes another id unless one was given."""
        return {
            "id": self.own_id or str(uuid.uuid4()),
            "who": self.who,
            "why": self.why,
            "as_owner": self.as_owner,
            "made_at": open_clock(settings.clock_file).now(),
        }


class Asked(NamedTuple):
    """One act, and what it is in words: `Pause of ACME for 5 days`."""

    what: str
    request: Act


class ActAnswer(Answer, frozen=True, kw_only=True):
    """What became of one act. act: tag of the request; what: in words."""

    act: str
    what: str


def check(how: How, targets: Sequence[str]) -> None:
    """
    Refuse what cannot be asked before anything is read.

    Raises:
        CommandError: an id that is none, several acts under one id, the same thing twice, or too many.
    """
    if how.own_id and not _OWN_ID.fullmatch(how.own_id):
        raise common.CommandError("--id takes 8 to 64 of A-Z a-z 0-9 . _ : -; leave it out to have one made")
    if how.own_id and len(targets) != 1:
        raise common.CommandError(f"--id is of one request, and {len(targets)} things are named: call once for each")
    if len(set(targets)) != len(targets):
        raise common.CommandError("the same thing is named twice; name it once")
    if len(targets) > MOST:
        raise common.CommandError(f"{len(targets)} things are named, and one call takes {MOST}: call several times")


def ask_and_tell(settings: CommonSettings, how: How, asked: Sequence[Asked]) -> None:
    """
    Publish, wait for the log, and tell what it says.

    Raises:
        CommandError: one was refused, or not decided in time.
        TransientError: the broker is not there; nothing was asked.
    """
    records = asyncio.run(ask_all(settings, [one.request for one in asked], wait_s=how.wait_s))
    answers = [answer_of(one, Answer.of(one.request.id, records.get(one.request.id))) for one in asked]
    good = [answer for answer in answers if answer.outcome in {"done", "no effect"}]
    for answer in answers if how.as_json else good:
        common.echo_json(answer) if how.as_json else typer.echo(f"{sentence(answer, how.wait_s)}.")
    bad = [sentence(answer, how.wait_s) for answer in answers if answer not in good]
    if bad:
        raise common.CommandError("; ".join(bad))


def answer_of(one: Asked, answer: Answer) -> ActAnswer:
    """*answer*, with what was asked."""
    tag = str(one.request.__struct_config__.tag)
    return ActAnswer(act=tag, what=one.what, **msgspec.structs.asdict(answer))


def sentence(answer: ActAnswer, wait_s: float) -> str:
    """One answer in words, without the last stop."""
    if answer.seq is None:
        return (
            f"{answer.what}: not decided within {wait_s:g} s, so the enforcer does not answer; the request stands, counts for "
            f"24 hours, and will be decided when it is back: `patchgate request {answer.id}` tells"
        )
    reason = f": {answer.reason}" if answer.reason else ""
    return f"{answer.what}: {answer.outcome} (log record {answer.seq}){reason}"

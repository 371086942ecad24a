"""What an act lets begin, in plain words, before anybody is asked whether it is meant. It reads; the act itself is the enforcer's."""

import asyncio
from collections import Counter
from collections.abc import Iterator

from services.cli import common
from services.cli.live_state import Live, live, newest
from services.cli.policy_diff import diff
from shared.domain.acts import with_mode
from shared.domain.ahead import case_rows
from shared.domain.errors import RecordSchemaError
from shared.domain.explanation import CaseState
from shared.domain.policy import Policy
from shared.domain.state import Server
from shared.runtime.settings import CommonSettings

_NAMED = 10


def by_enforcing(settings: CommonSettings, connector: str) -> Iterator[str]:
    """
    Where `mode enforce` would begin to be enforced, how many cases begin with it, and what becomes of their mail.

    connector: "" for the whole policy.

    Raises:
        CommandError: no enforcer has written its state yet.
        TransientError: the broker is not there.
    """
    now = asyncio.run(live(settings))
    new = with_mode(now.policy, connector, "enforce")
    names = [one.name for one in new.connectors if new.enforced(one.name) and not now.policy.enforced(one.name)]
    if not names:
        yield _why_nothing(now.policy, new, connector)
        return
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    yield f"Enforced from then on: {', '.join(names[:_NAMED])}{more}."
    starts = asyncio.run(diff(settings, now, now.policy, new)).counts.get("starts", 0)
    yield f"Open cases that begin at day 0: {starts}, and so does every case that opens there later."
    yield _of_stages(new)


def _why_nothing(old: Policy, new: Policy, connector: str) -> str:
    if connector and connector not in {one.name for one in old.connectors}:
        return f"Nothing begins: the policy names no connector {connector!r}."
    if new.mode == "observe":
        return (
            "Nothing begins yet: the mode of the whole policy is observe; `patchgate mode enforce` alone changes that."
        )
    if all(one.mode == "observe" for one in new.connectors):
        return "Nothing begins yet: the mode of every connector is observe; `--connector NAME` changes that of one."
    return "Nothing begins: that is enforced already."


def _of_stages(policy: Policy) -> str:
    slows = next((one.from_day for one in policy.stages if one.throttle_minutes_per_hour), None)
    refuses = next((one.from_day for one in policy.stages if one.block_minutes_per_hour), None)
    words = [f"slowed from day {slows} on"] if slows is not None else []
    words += [f"refused from day {refuses} on at the earliest"] if refuses is not None else []
    return f"Their mail is {', and '.join(words)}." if words else "No stage of the policy slows or refuses mail."


def by_unfreezing(settings: CommonSettings) -> Iterator[str]:
    """
    How many cases are slowed and refused again; also where that cannot be told, for edges obey without an enforcer.

    Raises:
        TransientError: the broker is not there.
    """
    yield "Every edge slows and refuses again at once, and every case ages again."
    try:
        states = asyncio.run(_states(settings))
    except (common.CommandError, RecordSchemaError) as error:
        yield f"How many cases that meets is not known: {error}."
        return
    slowed, partly, always = (states[one] for one in ("throttled", "blocked-partly", "blocked"))
    yield f"Cases whose mail is slowed: {slowed}; refused in a part of each hour: {partly}; refused always: {always}."


async def _states(settings: CommonSettings) -> Counter[CaseState]:
    now = await live(settings)
    found, _ = await newest(settings, lambda server: _states_of(server, now))
    return Counter(state for states in found for state in states)


def _states_of(server: Server, now: Live) -> tuple[CaseState, ...]:
    return tuple(row.state for row in case_rows(server, now.law, now.policy))

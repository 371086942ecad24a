"""What `patchgate policy check` finds, and how it is told: findings with their lines, and what each stage costs."""

from collections.abc import Iterator

import msgspec

from services.cli import common
from shared.domain.policy import Caps, Disputes, Pauses, Policy, Protected, Relapses
from shared.domain.policy_check import Finding, check_policy
from shared.domain.retries import RETRY_MINUTES, StageCost, costs_of
from shared.runtime.catalogue_files import load_catalogue_of

_LISTED = 5  # names of a protected entry, so that a line stays a line


class Checked(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """
    What is wrong with a policy file, and, where it can be used, what it holds in brief and what its stages cost the mail.

    mail: shares by simulated senders, see `retries.py`.
    """

    ok: bool
    findings: tuple[Finding, ...]
    version: int = 0
    title: str = ""
    mode: str = ""
    enforced_connectors: tuple[str, ...] = ()
    stages: int = 0
    floors: int = 0
    digest: str = ""
    caps: Caps | None = None
    pauses: Pauses | None = None
    disputes: Disputes | None = None
    relapses: Relapses | None = None
    protected: tuple[Protected, ...] = ()
    mail: tuple[StageCost, ...] = ()


def read_policy(path: str) -> tuple[Policy | None, tuple[Finding, ...]]:
    """The policy of a file, None where it has errors, and all findings."""
    checked = check_policy(common.read_text(path), load_catalogue_of(common.settings().state_dir))
    return checked.policy, checked.findings


def usable_policy(path: str) -> Policy:
    """
    The policy of a file.

    Raises:
        CommandError: it has errors; the first is told.
    """
    policy, findings = read_policy(path)
    if policy is None:
        raise common.CommandError(refusal(path, findings))
    return policy


def refusal(path: str, findings: tuple[Finding, ...]) -> str:
    """Why a file cannot be used, in one sentence."""
    errors = [found for found in findings if found.severity == "error"]
    more = f" (and {len(errors) - 1} more: `patchgate policy check` lists them)" if len(errors) > 1 else ""
    return f"{path}:{errors[0].line}: {errors[0].text}{more}"


def checked_of(policy: Policy | None, findings: tuple[Finding, ...]) -> Checked:
    """The whole answer."""
    if policy is None:
        return Checked(ok=False, findings=findings)
    return Checked(
        ok=True,
        findings=findings,
        version=policy.version,
        title=policy.title,
        mode=policy.mode,
        enforced_connectors=tuple(c.name for c in policy.connectors if policy.enforced(c.name)),
        stages=len(policy.stages),
        floors=len(policy.floors),
        digest=policy.digest,
        caps=policy.caps,
        pauses=policy.pauses,
        disputes=policy.disputes,
        relapses=policy.relapses,
        protected=policy.protected,
        mail=costs_of(policy),
    )


def sentence(policy: Policy) -> str:
    """What a policy holds, in brief."""
    enforced = ", ".join(c.name for c in policy.connectors if policy.enforced(c.name))
    return (
        f'Policy version {policy.version}, "{policy.title}": mode {policy.mode}, {len(policy.stages)} stages, '
        f"{len(policy.floors)} floors; enforced for {enforced or 'no connector: nobody is warned, slowed or refused'}. "
        f"It can be used (digest {policy.digest[:16]})."
    )


def rules_text(policy: Policy) -> Iterator[str]:
    """In plain words: how fast, what owners may do, who is spared."""
    caps, protected = policy.caps, policy.protected
    if caps is None:
        yield "Caps: none; on one day as many cases may begin to be refused as fall due."
    else:
        share, per_day = caps.newly_blocked_percent_of_open_cases, caps.newly_blocked_per_day
        more = f", or {share} in 100 of the open ones where that is more," if share else ""
        yield f"Caps: on one UTC day at most {per_day} cases{more} begin to be refused; the others wait, first due first."
    days = policy.pauses.days_per_year
    yield f"Pauses: {f'each owner has {_days(days)} a calendar year' if days else 'nobody may pause'}."
    yield f"Disputes: a case stands at most {_days(policy.disputes.days)} while no operator decides."
    inherits = (
        f"below the floor again within {_days(policy.relapses.days)} after a release, a case goes on where it stood"
        if policy.relapses.days
        else "each new case begins at day 0"
    )
    yield f"Relapses: {inherits}; seen below and at the floor by turns, it stands at most {_days(policy.relapses.mixed_days)}."
    listed = "; ".join(f"{one.title} ({_names((*one.domains, *one.connectors))})" for one in protected)
    yield f"Protected: {listed + ': each blocking step needs the signature of an operator' if listed else 'nobody'}."


def _names(names: tuple[str, ...]) -> str:
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return ", ".join(names[:_LISTED]) + more


def _days(count: int) -> str:
    return "1 day" if count == 1 else f"{count} days"


def findings_text(path: str, findings: tuple[Finding, ...]) -> Iterator[str]:
    """A line each, as compilers have it, so that editors can jump there."""
    for found in findings:
        yield f"{path}:{found.line}: {found.severity}: {found.text}"


def mail_text(mail: tuple[StageCost, ...]) -> Iterator[str]:
    """The table of what each stage costs."""
    yield "Of 100 mails to each stage: how many come late / bounce, if their sender tries again every (where a stage has minutes"
    yield "of both kinds, by senders that were simulated: right to about 2)"
    yield f"{'stage':>5} {'from day':>9} {'throttle':>9} {'block':>6}" + "".join(f"{n:>12} min" for n in RETRY_MINUTES)
    for stage in mail:
        cells = "".join(f"{cost.delayed_percent:>8.1f} /{cost.bounced_percent:>6.1f}" for cost in stage.costs)
        yield (
            f"{stage.stage:>5} {stage.from_day:>9} {stage.throttle_minutes_per_hour:>9} "
            f"{stage.block_minutes_per_hour:>6}{cells}"
        )

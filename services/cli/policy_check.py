"""What `patchgate policy check` finds, and how it is told: findings with their lines, and what each stage costs."""

from collections.abc import Iterator

import msgspec

from services.cli import common
from shared.domain.policy import Policy
from shared.domain.policy_check import Finding, check_policy
from shared.domain.retries import RETRY_MINUTES, StageCost, costs_of
from shared.runtime.catalogue_files import load_catalogue_of


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


def findings_text(path: str, findings: tuple[Finding, ...]) -> Iterator[str]:
    """A line each, as compilers have it, so that editors can jump there."""
    for found in findings:
        yield f"{path}:{found.line}: {found.severity}: {found.text}"


def mail_text(mail: tuple[StageCost, ...]) -> Iterator[str]:
    """The table of what each stage costs."""
    yield "Of 100 mails to each stage: how many come late / bounce, if their sender tries again every"
    yield f"{'stage':>5} {'from day':>9} {'throttle':>9} {'block':>6}" + "".join(f"{n:>12} min" for n in RETRY_MINUTES)
    for stage in mail:
        cells = "".join(f"{cost.delayed_percent:>8.1f} /{cost.bounced_percent:>6.1f}" for cost in stage.costs)
        yield (
            f"{stage.stage:>5} {stage.from_day:>9} {stage.throttle_minutes_per_hour:>9} "
            f"{stage.block_minutes_per_hour:>6}{cells}"
        )

"""Acts of every kind, with good and bad arguments, made of three bytes."""

from datetime import timedelta
from typing import Any

from shared.domain import records as r
from tests.second_law.law import SecondLaw
from tests.second_law.words import DAY

KINDS = 12


def draw_act(base: dict[str, Any], a: int, b: int, c: int, law: SecondLaw) -> r.Act:
    """An act on a case that is open, if one is; now and then on nobody, by an owner, or without a reason."""
    owner = ("", "", "", "", "", "it", "postmaster", "works")[b % 8] if c % 3 else ""
    base = {**base, "as_owner": owner}
    kind = a % KINDS
    if kind < 3:
        return _of_account(base, kind, b, c, law)
    if kind == 3:
        return _exemption(base, b, c, law)
    if kind == 4:
        connector = ("", "internet", "branch", "partner", "nobody")[c % 5]
        return r.SetMode(**base, connector=connector, mode=("enforce", "observe")[b // 8 % 2])
    if kind == 5:
        return r.LiftStruck(**base, server=_server(c, law))
    return _of_case(base, kind, a // KINDS, c, law)


def _server(c: int, law: SecondLaw) -> str:
    names = sorted(law.servers)
    return names[c // 8 % len(names)] if names and c % 8 else "nobody@192.0.2.1"


def _of_account(base: dict[str, Any], kind: int, b: int, c: int, law: SecondLaw) -> r.Act:
    account = ("it", "it", "works", "postmaster", "nobody", _server(c, law), _server(c, law))[c % 7]
    if kind == 2:
        return r.ResumeAccount(**base, account=account)
    return r.PauseAccount(**base, account=account, days=(1, 2, 4, 5, 30, 91, 366, 3)[b // 8 % 8])


def _exemption(base: dict[str, Any], b: int, c: int, law: SecondLaw) -> r.Act:
    until = (None, None, 1, 2, 5, 5, 30, 366, 367, 0, -1)[b // 8 % 11]
    target = (
        ("server", _server(c, law)),
        ("connector", ("internet", "branch", "nobody")[c // 8 % 3]),
        ("peer", ("192.0.2.7", "198.51.100.5", "none", "203.0.113.0/24", "198.51.100.9")[c // 8 % 5]),
        ("server", _server(c, law)),
    )[c % 4]
    if b == 255:
        base = {**base, "why": " "}
    when = None if until is None else law.at.replace(minute=0, second=0) + until * DAY + timedelta(seconds=0)
    return r.SetExemption(**base, kind=target[0], target=target[1], owner="ops", until=when)  # type: ignore[arg-type]


def _of_case(base: dict[str, Any], kind: int, stage: int, c: int, law: SecondLaw) -> r.Act:
    cases = [case for server in law.servers.values() for case in server.cases]
    case = cases[c % len(cases)] if cases else None
    named = {**base, "server": case.server if case else "nobody", "case": case.number or 1 if case else 1}
    if kind == 6 and c % 16 == 15:
        named["case"] += 1
    if kind < 8:
        return r.DisputeCase(**named)
    if kind == 8:
        return r.ResolveCase(**named, outcome=("upheld", "rejected", "runs-on")[stage % 3])
    if kind == 9:
        return r.SignBlocking(**named, stage=stage % 8 + 1)
    if kind == 10:
        return r.AcknowledgeNotice(**named)
    return r.CorrectCase(**named) if stage % 4 == 0 else r.ResolveCase(**named, outcome="rejected")

"""Which clocks run: modes, exemptions, pauses and the other holds of a case."""

from collections.abc import Callable, Container
from datetime import date, datetime

from shared.domain.evidence import Reading
from tests.second_law.case import Case
from tests.second_law.law import EPOCH, SecondLaw, Server
from tests.second_law.words import DAY, floor_on, names_of, stands


def exempt(law: SecondLaw, ids: tuple[str, ...], connector: str, peer: str) -> bool:
    """Whether an act exempts one of the ids, the connector, or the peer."""
    names = names_of(law.policy, connector)
    spared = [("connector", name) for name in names]
    spared += [("peer", peer), *(("server", one) for one in ids)]
    return any(key in law.exempt for key in spared)


def enforces(
    law: SecondLaw, product: str, connector: str, tie: str, accused: Reading | None, day: date | None = None
) -> bool:
    """Its connector is enforced, its tie opens, and its product has a floor today (*day*) that what accused last is below."""
    policy = law.policy
    present = names_of(policy, connector)[0]
    by_connector = any(c.name == present and c.mode == "enforce" for c in policy.connectors)
    floor = floor_on(policy, product, day or law.at.date())
    has_floor = floor is not None and (accused is None or stands(floor, accused) == "below")
    return policy.mode == "enforce" and by_connector and tie in policy.open_ties and has_floor


def clocks(
    law: SecondLaw,
    at: datetime | None = None,
    of: Callable[[Server], bool] = lambda _: True,
    due: datetime | None = None,
    *,
    starts: bool = True,
    lets_go: Container[Case] = (),
) -> None:
    """Every case starts or stands, as the policy and the exemptions in force say; a pause holds for whose account it is now."""
    day = due.date() if due else None  # what falls due does so on its own day, whenever it is looked at
    for server in sorted(law.servers.values(), key=lambda one: one.id):
        for case in server.cases if of(server) else ():
            accused = server.below[case.product].reading
            wanted = enforces(law, case.product, server.connector, server.tie, accused, day)
            wanted = wanted and not exempt(law, server.ids, server.connector, case.exempt_peer)
            if wanted is not case.enforced and not case.released and (starts or not wanted):
                (start if wanted else stop)(law, case, at or law.now)
            follows_account(law, server, case, at or law.now, due, over=case in lets_go)


def follows_account(
    law: SecondLaw, server: Server, case: Case, at: datetime, due: datetime | None, *, over: bool = False
) -> None:
    """It is held as long as its account is paused; a case that came from another one to the end of that pause, as it was told."""
    paused = law.pause_of(account_of(law, server)) is not None
    if "pause" in case.holds and not paused:
        if over or (case.paused_to is not None and law.h >= case.paused_to):
            goes_on(law, case, "pause", at, due)
    elif not case.released:
        pauses(law, case, at)


def start(law: SecondLaw, case: Case, at: datetime) -> None:
    """From observe to enforce; held at once while there is a reason."""
    case.start(law.policy, at)
    case.exempt_peer = ""
    law.told.append(("started", case.server, case.product))
    before, case.holds = case.holds, {}
    for reason, until in before.items():
        holds(law, case, reason, until, at)
    pauses(law, case, at)


def stop(law: SecondLaw, case: Case, at: datetime) -> None:
    """From enforce to observe."""
    case.stand(at)
    case.holds.pop("pause", None)  # an observed case is not paused; enforced again, it is held anew
    law.told.append(("stopped", case.server, case.product))


def account_of(law: SecondLaw, server: Server) -> str:
    """Whose days a pause of it uses: the owner's of its connector, but everybody's own on the internet."""
    present = names_of(law.policy, server.connector)[0]
    owners = [c.owner for c in law.policy.connectors if c.name == present and c.kind != "internet"]
    return owners[0] if owners else server.id


def pauses(law: SecondLaw, case: Case, at: datetime | None = None) -> None:
    """A case that is enforced while its account is paused is held."""
    pause = law.pause_of(account_of(law, law.servers[case.server]))
    if pause is not None and case.enforced and "pause" not in case.holds:
        case.paused_to = datetime.combine(pause.last + DAY, EPOCH.timetz())
        holds(law, case, "pause", None, at)


def holds(law: SecondLaw, case: Case, reason: str, until: datetime | None, at: datetime | None = None) -> None:
    """Its clock stands, its mail passes."""
    if case.enforced and not case.holds:
        case.stop(at or law.now)
    case.holds[reason] = until
    law.told.append(("held", case.server, case.product, reason, until))


def goes_on(law: SecondLaw, case: Case, reason: str, at: datetime, due: datetime | None) -> None:
    """A reason is gone; it goes on when that was the last."""
    del case.holds[reason]
    if case.enforced and not case.holds:
        case.go_on(at)
    law.told.append(("went on", case.server, case.product, reason, case.enforced and not case.holds, due))


def end_pause(law: SecondLaw, account: str, used_to: date, at: datetime, due: datetime | None) -> None:
    """Cases go on; days after the last that it used come back."""
    pause = law.pause_of(account)
    assert pause is not None
    pause.over = used_to
    law.told.append(("pause over", account, used_to, due))
    # And the server that is named so, though by now it may be another's.
    mine = [server for server in law.servers.values() if account in (account_of(law, server), server.id)]
    cases = [case for server in mine for case in server.cases]
    clocks(law, at, lambda server: server in mine, due, starts=False, lets_go=cases)


def end_exemption(law: SecondLaw, kind: str, target: str, at: datetime, due: datetime | None) -> None:
    """What it exempted begins at day 0."""
    del law.exempt[kind, target]
    law.told.append(("exempt over", kind, target, due))
    clocks(law, at, exempted_by(law, kind, target), due)


def exempted_by(law: SecondLaw, kind: str, target: str) -> Callable[[Server], bool]:
    """Whose cases an exemption and its end reach at once."""
    if kind == "connector":
        now = names_of(law.policy, target)[0]
        return lambda server: names_of(law.policy, server.connector)[0] == now
    return lambda server: kind == "server" and target in server.ids

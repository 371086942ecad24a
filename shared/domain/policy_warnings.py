"""
What a policy that can be read says and does not do: floors that no known build reaches, and rules that can never hold. Pure.

A floor above everything that is known is an error: a server could do nothing to meet it. The rest is told and can be adopted.
"""

import difflib
import ipaddress
from collections.abc import Callable, Iterable, Iterator
from datetime import timedelta
from itertools import pairwise

from shared.domain.build import Build
from shared.domain.catalogue import BuildCatalogue, branch_of
from shared.domain.catalogue_rows import Branch
from shared.domain.floors import FloorWave
from shared.domain.policy import Connector, Policy, Stage
from shared.domain.policy_scopes import spelled
from shared.domain.policy_shape import Told

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_WARNED_BEFORE_BLOCKING = timedelta(days=30)  # as long as the scheme that we follow slows mail before it refuses any


# --- floors ----------------------------------------------------------------------------------------------------------


def floor_errors(policy: Policy, catalogue: BuildCatalogue) -> Iterator[Told]:
    """
    Each floor with builds that no known build of its product meets, or that names a build of an unknown branch.

    A branch that is written wrongly leaves out the right one, and what a floor leaves out lies below it, however new it is.
    """
    for number, wave in enumerate(policy.floors):
        known = [row.build for row in catalogue.builds_of_product(wave.product)]
        place, of = ("floors", number, "builds"), f"floors: {wave.product} of {wave.effective}"
        strange = [build for build in wave.builds if known and not _is_of(wave.product, build, catalogue)]
        yield from ((place, f"{of}: {_strange(wave.product, build, catalogue)}") for build in strange)
        if wave.builds and known and not strange and not any(wave.floor.accepts(build) for build in known):
            yield (
                place,
                f"{of}: no known build reaches it (the newest is {known[-1]}), so no admin could meet it; if a newer one is out, import a newer catalogue first",
            )


def _is_of(product: str, build: Build, catalogue: BuildCatalogue) -> bool:
    return any(row.product == product for row in catalogue.builds_of_branch(branch_of(build)))


def _strange(product: str, build: Build, catalogue: BuildCatalogue) -> str:
    """Why *build* belongs in no floor of *product*."""
    branch = _spelled(branch_of(build))
    others = {row.product for row in catalogue.builds_of_branch(branch_of(build))}
    if others:
        return f"{build} is a build of {', '.join(sorted(others))}"
    known = list(dict.fromkeys(_spelled(branch_of(row.build)) for row in catalogue.builds_of_product(product)))
    near = difflib.get_close_matches(branch, known, n=1, cutoff=0.8)
    hint = f"did you mean {near[0]}?" if near else f"the newest known are {', '.join(known[-3:])}."
    return f"no known build lies in branch {branch}, of which it names {build}; {hint} If it is new, import a newer catalogue first"


def _spelled(branch: Branch) -> str:
    return ".".join(map(str, branch))


def _floor_warnings(policy: Policy, catalogue: BuildCatalogue) -> Iterator[Told]:
    products = catalogue.products
    for number, wave in enumerate(policy.floors):
        place = ("floors", number)
        if wave.product not in products:
            near = difflib.get_close_matches(wave.product, products, n=1)
            hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(products)}"
            yield (*place, "product"), f"floors: the catalogue knows no {wave.product!r}, so it accuses nobody; {hint}"
        known = catalogue.builds_of_product(wave.product)
        accepted = [row for row in known if wave.floor.accepts(row.build)]
        if known and len(accepted) == len(known):
            yield (
                (*place, "builds"),
                f"floors: {wave.product} of {wave.effective} accuses nobody: every known build reaches it",
            )
        if accepted and not any(row.is_public for row in accepted):
            yield (
                (*place, "builds"),
                f"floors: {wave.product} of {wave.effective}: no public update reaches it, only the paid programme's ({accepted[0].build}): whoever is not in that can only replace the server",
            )
        for build in wave.builds:
            rows = catalogue.builds_of_branch(branch_of(build))
            if rows and build > rows[-1].build:
                yield (
                    (*place, "builds"),
                    f"floors: {wave.product} of {wave.effective}: no known build of its branch reaches {build} (the newest is {rows[-1].build})",
                )
    in_order = sorted(enumerate(policy.floors), key=lambda found: (found[1].product, found[1].effective))
    for (_, before), (number, wave) in pairwise(in_order):
        if before.product == wave.product:
            yield from _after(before, number, wave, catalogue)


def _after(before: FloorWave, number: int, wave: FloorWave, catalogue: BuildCatalogue) -> Iterator[Told]:
    """A wave that changes nothing, or takes back what an earlier one asked for."""
    known = [row.build for row in catalogue.builds_of_product(wave.product)]
    again = [build for build in known if wave.floor.accepts(build) and not before.floor.accepts(build)]
    if before.floor == wave.floor:
        yield (
            ("floors", number),
            f"floors: {wave.product} of {wave.effective} changes nothing: that floor holds since {before.effective}",
        )
    elif again:
        yield (
            ("floors", number),
            f"floors: {wave.product} of {wave.effective} is lower than that of {before.effective}, which is never reached again: {again[0]} is accepted once more",
        )


# --- connectors ------------------------------------------------------------------------------------------------------


def _connector_warnings(policy: Policy, _: BuildCatalogue) -> Iterator[Told]:
    ranges = [(number, one, network) for number, one in enumerate(policy.connectors) for network in _networks_of(one)]
    yield from _twice(policy.connectors)
    yield from _never_shown(policy.connectors)
    # In order of their first address, the wider first, a range can only lie within those that are still open.
    open_ranges: list[tuple[Connector, Network]] = []
    inner: dict[int, list[Network]] = {}
    by_place = sorted(
        enumerate(ranges), key=lambda found: (found[1][2].version, int(found[1][2][0]), found[1][2].prefixlen)
    )
    holders: list[int] = []
    for index, (number, one, network) in by_place:
        while open_ranges and not _within(network, open_ranges[-1][1]):
            open_ranges.pop()
            holders.pop()
        for holder, (outer, wide) in zip(holders, open_ranges, strict=True):
            inner.setdefault(holder, []).append(network)
            if outer is not one and holder == holders[-1]:
                yield (
                    ("connectors", number),
                    f"connectors: {one.name}: range {network} lies in {wide} of {outer.name}: the narrower holds, so {_of(one, outer)}",
                )
        open_ranges.append((one, network))
        holders.append(index)
    for index, networks in inner.items():
        number, one, network = ranges[index]
        if _covered(network, networks):
            yield (
                ("connectors", number),
                f"connectors: {one.name}: range {network} is never reached: narrower ranges cover all of it",
            )


def _networks_of(connector: Connector) -> list[Network]:
    return list(dict.fromkeys(ipaddress.ip_network(text) for text in connector.ranges))


def _twice(connectors: tuple[Connector, ...]) -> Iterator[Told]:
    for number, one in enumerate(connectors):
        written = [spelled(text) for text in one.ranges]
        for text in sorted({text for text in written if written.count(text) > 1}):
            yield (
                ("connectors", number, "ranges"),
                f"connectors: {one.name}: range {text} is there twice; once is enough",
            )


def _never_shown(connectors: tuple[Connector, ...]) -> Iterator[Told]:
    """TLS names are compared whole, as the certificate spells them but for case."""
    for number, one in enumerate(connectors):
        for text in one.tls_names:
            if "*" in text or text.endswith("."):
                yield (
                    ("connectors", number, "tls_names"),
                    f"connectors: {one.name}: TLS name {text!r} stands for itself only: nothing is filled in for a star, and no certificate's name ends with a dot; list each name",
                )


def _of(connector: Connector, outer: Connector) -> str:
    mode = f"mode {connector.mode}" + (f" and not {outer.mode}" if connector.mode != outer.mode else "")
    return f"it is {connector.name}'s, with {mode}"


def _within(inner: Network, outer: Network) -> bool:
    return inner.version == outer.version and int(outer[0]) <= int(inner[0]) and int(inner[-1]) <= int(outer[-1])


def _covered(outer: Network, inner: Iterable[Network]) -> bool:
    return list(ipaddress.collapse_addresses(inner)) == [outer]  # type: ignore[type-var]  # all of one version


# --- stages, notices, mode -------------------------------------------------------------------------------------------


def _stage_warnings(policy: Policy, _: BuildCatalogue) -> Iterator[Told]:
    for number, (before, after) in enumerate(pairwise(policy.stages), start=2):
        if _minutes(before) == _minutes(after):
            yield (
                ("stages", number - 1),
                f"stages: stage {number} changes nothing: it has the minutes of the one before",
            )
        elif _harshness(after) < _harshness(before):
            yield (
                ("stages", number - 1),
                f"stages: stage {number} is milder than the one before it: from day {after.from_day} on who does not patch is better off",
            )
    slowed = next((stage for stage in policy.stages if any(_minutes(stage))), None)
    for number, stage in enumerate(policy.stages, start=1):
        if stage.block_minutes_per_hour and slowed is not None:
            if timedelta(days=stage.from_day - slowed.from_day) < _WARNED_BEFORE_BLOCKING:
                days = stage.from_day - slowed.from_day
                yield (
                    ("stages", number - 1),
                    f"stages: stage {number} refuses mail {days} days after mail is first slowed; {_WARNED_BEFORE_BLOCKING.days} days are usual",
                )
            return


def _minutes(stage: Stage) -> tuple[int, int]:
    return stage.throttle_minutes_per_hour, stage.block_minutes_per_hour


def _harshness(stage: Stage) -> tuple[int, int]:
    return stage.block_minutes_per_hour, stage.throttle_minutes_per_hour


def _notice_warnings(policy: Policy, _: BuildCatalogue) -> Iterator[Told]:
    notices = policy.notices
    if not notices.needed_for_blocking:
        yield (
            ("notices", "needed_for_blocking"),
            "notices: mail is refused even where no notice was delivered; hours_before_blocking and repeat_days do nothing",
        )
    elif notices.before_blocking_days * 24 < notices.hours_before_blocking:
        yield (
            ("notices", "hours_before_blocking"),
            f"notices: blocking needs a notice {notices.hours_before_blocking} hours old, and it is sent {notices.before_blocking_days} days before: unless an earlier one arrives, blocking is always late",
        )
    yield from _told_with_the_opening(policy)


def _told_with_the_opening(policy: Policy) -> Iterator[Told]:
    """A notice is never due before the opening: what would be is sent together with the first one."""
    slowed = [stage.from_day for stage in policy.stages if any(_minutes(stage))]
    refused = [stage.from_day for stage in policy.stages if stage.block_minutes_per_hour]
    for key, days, begins, what in (
        ("before_throttling_days", policy.notices.before_throttling_days, slowed, "slowed"),
        ("before_blocking_days", policy.notices.before_blocking_days, refused, "refused"),
    ):
        if begins and days >= begins[0]:
            yield (
                ("notices", key),
                f"notices: {key} is {days}, but mail is {what} {begins[0]} days after the opening: both notices go out at once",
            )


def _mode_warnings(policy: Policy, _: BuildCatalogue) -> Iterator[Told]:
    enforcing = [(number, one) for number, one in enumerate(policy.connectors) if one.mode == "enforce"]
    if policy.mode == "enforce" and not enforcing:
        yield ("mode",), "mode: enforce, but no connector says so: nobody is warned, slowed or refused"
    if policy.mode == "observe":
        for number, one in enforcing:
            yield (
                ("connectors", number, "mode"),
                f"connectors: {one.name}: its mode enforce does nothing while the policy's mode is observe",
            )
    if not policy.open_ties:
        yield ("open_ties",), "open_ties: empty, so no case ever opens, and no floor or stage is ever reached"
    if "untied" in policy.open_ties:
        yield (
            ("open_ties",),
            "open_ties: untied opens nothing: who is not tied to its lines has no name to open a case of",
        )


# --- caps, relapses, protected servers -------------------------------------------------------------------------------


def _cap_warnings(policy: Policy, _: BuildCatalogue) -> Iterator[Told]:
    if policy.caps is not None and policy.caps.newly_blocked_percent_of_open_cases == 100:  # noqa: PLR2004  (all)
        yield (
            ("caps", "newly_blocked_percent_of_open_cases"),
            "caps: 100 percent of the open cases is all of them, so nobody ever waits; leave [caps] out if that is meant",
        )


def _relapse_warnings(policy: Policy, _: BuildCatalogue) -> Iterator[Told]:
    if 0 < policy.relapses.days * 24 <= policy.release_hours:
        yield (
            ("relapses", "days"),
            f"relapses: days is {policy.relapses.days}, but a released case is kept {policy.release_hours} hours: when a new one can open that time is over, so no clock is ever inherited",
        )


def _protected_warnings(policy: Policy, _: BuildCatalogue) -> Iterator[Told]:
    for number, one in enumerate(policy.protected):
        for before in policy.protected[:number]:
            shadowed = [name for name in one.domains if before.covers(name, "")]
            shadowed += [name for name in one.connectors if name in before.connectors]
            for name in shadowed:
                yield (
                    ("protected", number),
                    f"protected: {name} of {one.title!r} is never reached: {before.title!r} stands before it and covers it",
                )


_CHECKS: tuple[Callable[[Policy, BuildCatalogue], Iterator[Told]], ...] = (
    _mode_warnings,
    _notice_warnings,
    _stage_warnings,
    _floor_warnings,
    _connector_warnings,
    _cap_warnings,
    _relapse_warnings,
    _protected_warnings,
)


def warnings_of(policy: Policy, catalogue: BuildCatalogue) -> Iterator[Told]:
    """Each rule of *policy*, which `parse_policy` takes, that can never hold, or holds otherwise than it looks."""
    for check in _CHECKS:
        yield from check(policy, catalogue)

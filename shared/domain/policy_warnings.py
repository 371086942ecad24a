"""
What a policy that can be read says and does not do: floors that no known build reaches, and rules that can never hold. Pure.

A floor above everything that is known is an error: a server could do nothing to meet it. The rest is told and can be adopted.
"""

import difflib
import ipaddress
from collections.abc import Callable, Iterable, Iterator
from datetime import timedelta
from itertools import pairwise

from shared.domain.catalogue import BuildCatalogue, branch_of
from shared.domain.policy import Connector, FloorWave, Policy, Stage
from shared.domain.policy_shape import Told

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_WARNED_BEFORE_BLOCKING = timedelta(days=30)  # as long as the scheme that we follow slows mail before it refuses any


# --- floors ----------------------------------------------------------------------------------------------------------


def floor_errors(policy: Policy, catalogue: BuildCatalogue) -> Iterator[Told]:
    """Each floor with builds that no known build of its product meets."""
    for number, wave in enumerate(policy.floors):
        known = [row.build for row in catalogue.builds_of_product(wave.product)]
        if wave.builds and known and not any(wave.floor.accepts(build) for build in known):
            yield (
                ("floors", number, "builds"),
                f"floors: {wave.product} of {wave.effective}: no known build reaches it (the newest is {known[-1]}), so no admin could meet it; if a newer one is out, import a newer catalogue first",
            )


def _floor_warnings(policy: Policy, catalogue: BuildCatalogue) -> Iterator[Told]:
    products = catalogue.products
    for number, wave in enumerate(policy.floors):
        place = ("floors", number)
        if wave.product not in products:
            near = difflib.get_close_matches(wave.product, products, n=1)
            hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(products)}"
            yield (*place, "product"), f"floors: the catalogue knows no {wave.product!r}, so it accuses nobody; {hint}"
        for build in wave.builds:
            rows = catalogue.builds_of_branch(branch_of(build))
            if rows and build > rows[-1].build:
                yield (
                    (*place, "builds"),
                    f"floors: {wave.product} of {wave.effective}: no known build of its branch reaches {build} (the newest is {rows[-1].build})",
                )
    yield from _same_again(policy.floors)


def _same_again(floors: tuple[FloorWave, ...]) -> Iterator[Told]:
    in_order = sorted(enumerate(floors), key=lambda found: (found[1].product, found[1].effective))
    for (_, before), (number, wave) in pairwise(in_order):
        if before.floor == wave.floor:
            yield (
                ("floors", number),
                f"floors: {wave.product} of {wave.effective} changes nothing: that floor holds since {before.effective}",
            )


# --- connectors ------------------------------------------------------------------------------------------------------


def _connector_warnings(policy: Policy, _: BuildCatalogue) -> Iterator[Told]:
    ranges = [
        (number, one, ipaddress.ip_network(text)) for number, one in enumerate(policy.connectors) for text in one.ranges
    ]
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
                    f"connectors: {one.name}: range {network} lies in {wide} of {outer.name}: the narrower holds, so {_of(one)}",
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


def _of(connector: Connector) -> str:
    return f"it is {connector.name}'s, with mode {connector.mode}"


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


_CHECKS: tuple[Callable[[Policy, BuildCatalogue], Iterator[Told]], ...] = (
    _mode_warnings,
    _notice_warnings,
    _stage_warnings,
    _floor_warnings,
    _connector_warnings,
)


def warnings_of(policy: Policy, catalogue: BuildCatalogue) -> Iterator[Told]:
    """Each rule of *policy*, which `parse_policy` takes, that can never hold, or holds otherwise than it looks."""
    for check in _CHECKS:
        yield from check(policy, catalogue)

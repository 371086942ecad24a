"""
The policy is a document: stages, floors, connectors, ties, notices, reply texts, caps and the like, versioned.

It decides nothing by itself; `decide.py` and `verdict.py` read it. `parse_policy` tells every error at once.
"""

import difflib
import tomllib
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from functools import lru_cache
from hashlib import sha256
from importlib import resources
from typing import Annotated, Any, Literal

import msgspec

from shared.domain.build import parse_build
from shared.domain.errors import BuildSyntaxError, ConfigError
from shared.domain.floors import Floor, FloorWave
from shared.domain.policy_lines import name_of
from shared.domain.policy_readers import reader_errors
from shared.domain.policy_scopes import complaint_of_domain, complaint_of_range, spelled
from shared.smtp.errors import ReplyTextError
from shared.smtp.replies import check_reply_template

Tie = Literal["connector", "verified", "helo", "domain", "untied"]
Mode = Literal["observe", "enforce"]
ConnectorName = Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9][a-z0-9-]{0,39}$(?!\n)")]
Minutes = Annotated[int, msgspec.Meta(ge=0, le=60)]


class PolicyError(ConfigError):
    """A policy cannot be used; the text names each key and what it takes. Nothing of it is adopted."""


class Stage(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True, kw_only=True):
    """One row of the policy's table: from day (law time since opening), minutes of each clock hour."""

    from_day: Annotated[int, msgspec.Meta(ge=0, le=3650)]
    throttle_minutes_per_hour: Minutes
    block_minutes_per_hour: Minutes


class Connector(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True, kw_only=True):
    """
    A named scope: who connects from these ranges or with these verified TLS names, and whether it is enforced.

    formerly: names that it had, or of removed connectors whose servers it takes over; not written where there are none.
    """

    name: ConnectorName
    kind: Literal["on-premises", "partner", "internet"]
    ranges: tuple[str, ...] = ()
    tls_names: tuple[str, ...] = ()
    owner: str
    mode: Mode = "observe"
    formerly: Annotated[tuple[ConnectorName, ...], msgspec.Meta(max_length=100)] | msgspec.UnsetType = msgspec.UNSET

    @property
    def names(self) -> tuple[str, ...]:
        """Its name, and those that it had."""
        return (self.name, *(self.formerly or ()))

    @property
    def scopes(self) -> frozenset[str]:
        """Its ranges and TLS names, each in one spelling."""
        return frozenset(spelled(text) for text in (*self.ranges, *self.tls_names))


class Replies(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True, kw_only=True):
    """The two reply texts, with {product}, {receiver} and {minutes}."""

    throttle: str
    block: str


class Notices(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True, kw_only=True):
    """The notice ladder, and what blocking asks of it."""

    needed_for_blocking: bool
    hours_before_blocking: Annotated[int, msgspec.Meta(ge=0, le=2400)]
    before_throttling_days: Annotated[int, msgspec.Meta(ge=0, le=365)]
    before_blocking_days: Annotated[int, msgspec.Meta(ge=0, le=365)]
    repeat_days: Annotated[int, msgspec.Meta(ge=1, le=365)]


class Caps(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True, kw_only=True):
    """How many cases may get their first blocking row on one UTC day: the larger of the two. The others wait."""

    newly_blocked_per_day: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)]
    newly_blocked_percent_of_open_cases: Annotated[int, msgspec.Meta(ge=0, le=100)]


class Pauses(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True, kw_only=True):
    """How many whole UTC days of a calendar year an owner may pause."""

    days_per_year: Annotated[int, msgspec.Meta(ge=0, le=366)] = 90


class Disputes(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True, kw_only=True):
    """How many days a dispute holds a case while no operator decides it."""

    days: Annotated[int, msgspec.Meta(ge=1, le=90)] = 14


class Relapses(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True, kw_only=True):
    """
    What counts of an earlier case.

    days: so long after a release a new case inherits its clock; 0: never. mixed_days: so long the clock stands where a
    server is seen below and above its floor by turns, and no operator decides.
    """

    days: Annotated[int, msgspec.Meta(ge=0, le=365)] = 30
    mixed_days: Annotated[int, msgspec.Meta(ge=1, le=90)] = 14


class Protected(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True, kw_only=True):
    """
    Servers for which each blocking step needs an operator's signature, and who they are.

    domains: host names of servers, and all below them. connectors: names of the policy's connectors, and all seen there.
    """

    title: Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
    domains: Annotated[tuple[str, ...], msgspec.Meta(max_length=1000)] = ()
    connectors: Annotated[tuple[str, ...], msgspec.Meta(max_length=1000)] = ()

    def covers(self, host: str, connector: str) -> bool:
        """Whether a server with this *host* name, seen in *connector*, is meant."""
        return connector in self.connectors or any(f".{host}".endswith(f".{domain}") for domain in self.domains)


class Policy(
    msgspec.Struct, frozen=True, cache_hash=True, gc=False, forbid_unknown_fields=True, omit_defaults=True, kw_only=True
):
    """
    The whole document; see the comments of the shipped `policy.toml` for each key.

    A key that came later has a default that is what its absence meant, and is not written where it is absent: so the
    digest of an older document stays what it was. caps None: no cap.
    """

    version: Annotated[int, msgspec.Meta(ge=1)]
    title: str
    mode: Mode
    receiver: Annotated[str, msgspec.Meta(min_length=1, max_length=60)]
    product: Annotated[str, msgspec.Meta(min_length=1, max_length=40)]
    salt: Annotated[str, msgspec.Meta(min_length=1, max_length=60)]
    open_ties: tuple[Tie, ...]
    opening_hours: Annotated[int, msgspec.Meta(ge=1, le=24)]
    expire_days: Annotated[int, msgspec.Meta(ge=1, le=3650)]
    release_hours: Annotated[int, msgspec.Meta(ge=1, le=720)]
    new_names_per_day: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)]
    replies: Replies
    notices: Notices
    stages: Annotated[tuple[Stage, ...], msgspec.Meta(min_length=1, max_length=50)]
    floors: Annotated[tuple[FloorWave, ...], msgspec.Meta(max_length=200)]
    connectors: Annotated[tuple[Connector, ...], msgspec.Meta(max_length=1000)]
    caps: Caps | None = None
    pauses: Pauses = Pauses()
    disputes: Disputes = Disputes()
    relapses: Relapses = Relapses()
    protected: Annotated[tuple[Protected, ...], msgspec.Meta(max_length=200)] = ()

    def floor_for(self, product: str, on: date) -> Floor | None:
        """The floor of *product* in force on the UTC day *on*: the newest wave by then; None where there is none."""
        return _floor_for(self, product, on)

    def enforced(self, connector: str) -> bool:
        """Whether cases of *connector* are enforced; a connector that the policy no longer names is only observed."""
        found = self.connector_named(connector)
        return self.mode == "enforce" and found is not None and found.mode == "enforce"

    def connector_named(self, name: str) -> Connector | None:
        """The connector that has this name, or had it; None where there is none."""
        return _connector_named(self, name)

    def present_name(self, connector: str) -> str:
        """The name that a connector has now; as it is where the policy knows none of that name."""
        found = self.connector_named(connector)
        return found.name if found else connector

    def names_of(self, connector: str) -> tuple[str, ...]:
        """All names that a connector has or had; the one name where the policy does not know it."""
        found = self.connector_named(connector)
        return found.names if found else (connector,)

    @property
    def expire_after(self) -> timedelta:
        """Law time without a reading below the floor after which a case expires."""
        return timedelta(days=self.expire_days)

    @property
    def digest(self) -> str:
        """SHA-256 of the document as canonical JSON, hex."""
        return sha256(_ENCODER.encode(self)).hexdigest()


_ENCODER = msgspec.json.Encoder()


@lru_cache(4096)
def _connector_named(policy: Policy, name: str) -> Connector | None:
    """Asked several times for each sighting, and the same for all of a connector."""
    return next((c for c in policy.connectors if name == c.name or name in c.names), None)


@lru_cache(4096)
def _floor_for(policy: Policy, product: str, on: date) -> Floor | None:
    """Asked for each sighting, and the same for all of a day."""
    waves = [wave for wave in policy.floors if wave.product == product and wave.effective <= on]
    return max(waves, key=lambda wave: wave.effective).floor if waves else None


def protected_by(policy: Policy, server_id: str, connector: str) -> Protected | None:
    """The first entry of *policy* that protects the server, seen in *connector*; None where none does."""
    host = server_id.partition("@")[0].lower()
    return next((one for one in policy.protected if one.covers(host, connector)), None)


def shipped_policy_text() -> str:
    """The TOML text that ships with patchgate (package data)."""
    return resources.files("shared.domain").joinpath("data/policy.toml").read_text(encoding="utf-8")


def parse_policy(text: str) -> Policy:
    """
    Read a policy from TOML.

    Raises:
        PolicyError: syntax, an unknown key, a number out of range, or a contradiction; all of the last kind at once.
    """
    try:
        raw = tomllib.loads(text)
        policy = msgspec.convert(_with_builds(raw), Policy)
    except tomllib.TOMLDecodeError as error:
        raise PolicyError(f"the policy is not TOML: {error}") from error
    except RecursionError as error:
        raise PolicyError("the policy is nested too deeply; none needs more than three levels") from error
    except (msgspec.ValidationError, BuildSyntaxError) as error:
        raise PolicyError(f"the policy cannot be read: {error}") from error
    complaints = [*complaints_of(policy), *(f"{name_of(path)}: {what}" for path, what in reader_errors(policy))]
    if complaints:
        raise PolicyError("the policy cannot be used: " + "; ".join(complaints))
    return policy


def _with_builds(raw: dict[str, Any]) -> dict[str, Any]:
    """The document with its builds as numbers, for TOML writes them as texts."""
    floors = raw.get("floors")
    if not isinstance(floors, list):
        return raw
    read = [
        {**wave, "builds": [parse_build(str(text)) for text in wave["builds"]]}
        if isinstance(wave, dict) and isinstance(wave.get("builds"), list)
        else wave
        for wave in floors
    ]
    return {**raw, "floors": read}


def complaints_of(policy: Policy) -> Iterator[str]:
    """Each contradiction in *policy*, as a sentence that names the key."""
    checks: tuple[Callable[[Policy], Iterator[str]], ...] = (
        _check_stages,
        _check_floors,
        _check_connectors,
        _check_scopes,
        _check_replies,
        _check_protected,
    )
    for check in checks:
        yield from check(policy)


def _check_stages(policy: Policy) -> Iterator[str]:
    days = [stage.from_day for stage in policy.stages]
    if days[0] != 0 or policy.stages[0].throttle_minutes_per_hour or policy.stages[0].block_minutes_per_hour:
        yield "stages: the first must begin on day 0 with no minutes, so that every admin is told first"
    if days != sorted(set(days)):
        yield f"stages: from_day must rise from stage to stage, and reads {days}"
    for number, stage in enumerate(policy.stages, start=1):
        if stage.throttle_minutes_per_hour + stage.block_minutes_per_hour > 60:  # noqa: PLR2004  (minutes of an hour)
            yield f"stages: stage {number} has more than 60 minutes of an hour"
    blocking = [bool(stage.block_minutes_per_hour) for stage in policy.stages]
    if blocking != sorted(blocking):
        yield "stages: once blocking has begun, each later stage must block too"


def _check_floors(policy: Policy) -> Iterator[str]:
    for wave in policy.floors:
        if list(wave.builds) != sorted({build.branch: build for build in wave.builds}.values()):
            yield f"floors: {wave.product} of {wave.effective}: one build a branch, oldest first"
    keys = [(wave.product, wave.effective) for wave in policy.floors]
    for product, effective in sorted({key for key in keys if keys.count(key) > 1}):
        yield f"floors: {product} has two waves on {effective}"


def _check_connectors(policy: Policy) -> Iterator[str]:
    names = [connector.name for connector in policy.connectors]
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield f"connectors: the name {name} is used twice"
    former = [name for connector in policy.connectors for name in connector.names[1:]]
    for name in sorted({name for name in former if former.count(name) > 1 or name in names}):
        held = "a connector has it now" if name in names else "it is named twice"
        yield f"connectors: formerly: {name}: {held}, so whose servers they are could not be said"
    if [connector.kind for connector in policy.connectors].count("internet") > 1:
        yield "connectors: only one may be of kind internet"


def _check_scopes(policy: Policy) -> Iterator[str]:
    for connector in policy.connectors:
        if connector.kind == "internet" and (connector.ranges or connector.tls_names):
            yield f"connectors: {connector.name} is of kind internet: it is everybody else and names no ranges or TLS names"
        if connector.kind != "internet" and not (connector.ranges or connector.tls_names):
            yield f"connectors: {connector.name} names neither ranges nor TLS names, so nobody can match it"
        for text in connector.tls_names:
            if not text or text != text.strip():
                yield f"connectors: {connector.name}: TLS name {text!r} is blank, or begins or ends with a space: no certificate's does"
        for text in connector.ranges:
            if complaint := complaint_of_range(text):
                yield f"connectors: {connector.name}: range {text!r}: {complaint}"
    scopes = [text for connector in policy.connectors for text in connector.scopes]
    for text in sorted({text for text in scopes if scopes.count(text) > 1}):
        yield f"connectors: {text!r} is named by two of them, so whose mode would hold could not be said"


def _check_replies(policy: Policy) -> Iterator[str]:
    for key, text, code_class in (("throttle", policy.replies.throttle, "4"), ("block", policy.replies.block, "5")):
        if not text.startswith(code_class):
            yield f"replies.{key}: the reply must begin with a {code_class}xx code, and reads {text[:20]!r}"
            continue
        try:
            check_reply_template(text, products=[policy.product], receiver=policy.receiver)
        except ReplyTextError as error:
            yield f"replies.{key}: {error}"


def _check_protected(policy: Policy) -> Iterator[str]:
    names = [connector.name for connector in policy.connectors]
    for number, one in enumerate(policy.protected, start=1):
        where = f"protected: entry {number}, {one.title!r}"
        if not (one.domains or one.connectors):
            yield f"{where}: names neither domains nor connectors, so it protects nobody"
        for domain in one.domains:
            if complaint := complaint_of_domain(domain):
                yield f"{where}: domain {domain!r}: {complaint}"
        for name in one.connectors:
            if name not in names:
                near = difflib.get_close_matches(name, names, n=1)
                hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(names) or 'none'}"
                yield f"{where}: no connector is named {name!r}; {hint}"

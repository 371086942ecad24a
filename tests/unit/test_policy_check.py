"""Everything that is wrong with a policy at once, each with its line."""

from datetime import date
from typing import Any

import msgspec
import pytest

from services.cli.policy_text import policy_text
from shared.domain.build import Build
from shared.domain.catalogue import load_catalogue
from shared.domain.floors import FloorWave
from shared.domain.policy import (
    Caps,
    Connector,
    Notices,
    Policy,
    PolicyError,
    Protected,
    Relapses,
    Stage,
    parse_policy,
    shipped_policy_text,
)
from shared.domain.policy_check import Finding, check_policy
from tests.support.scenario import E2007, E2016, FLOOR_2016, policy_for

SHIPPED = shipped_policy_text()
_BUILDS_2016 = load_catalogue().builds_of_branch(FLOOR_2016.branch)
PUBLIC_2016 = max(row.build for row in _BUILDS_2016 if row.is_public)
PAID_2016 = min(row.build for row in _BUILDS_2016 if row.build > PUBLIC_2016)
OLDEST_2016 = load_catalogue().builds_of_product(E2016)[0].build
NEWEST_2016 = load_catalogue().builds_of_branch(FLOOR_2016.branch)[-1].build


def found_in(text: str) -> list[Finding]:
    """All findings."""
    return list(check_policy(text, load_catalogue()).findings)


def changed(*changes: tuple[str, str]) -> str:
    """The shipped text with changes, each of which must fit."""
    text = SHIPPED
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new, 1)
    return text


def line_with(text: str, what: str) -> int:
    """The first line that holds *what*."""
    return next(number for number, line in enumerate(text.splitlines(), start=1) if what in line)


def partner(name: str, *ranges: str, tls: str = "") -> str:
    """A connector as text."""
    names = f'tls_names = ["{tls}"]\n' if tls else ""
    listed = ", ".join(f'"{text}"' for text in ranges)
    return f'\n[[connectors]]\nname = "{name}"\nkind = "partner"\nowner = "x"\nranges = [{listed}]\n{names}'


def test_the_shipped_policy_has_nothing_wrong_or_odd() -> None:
    """Who changes it sees only what he did."""
    checked = check_policy(SHIPPED, load_catalogue())
    assert checked.findings == ()
    assert checked.policy == parse_policy(SHIPPED)


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ('mode = "observe"', 'mode = "enforced"', "must be one of observe, enforce (did you mean enforce?)"),
        ('open_ties = ["connector"', 'open_ties = ["conector"', "must be each of connector, verified"),
    ],
)
def test_a_word_that_is_no_choice_is_told_with_the_choices(old: str, new: str, told: str) -> None:
    """And with the near one."""
    checked = check_policy(changed((old, new)), load_catalogue())
    assert [told in one.text for one in checked.errors] == [True]


def test_a_document_that_is_nested_without_end_is_one_error() -> None:
    """No traceback, whoever reads it."""
    text = "title = " + "[" * 5000 + "]" * 5000
    (found,) = check_policy(text, load_catalogue()).errors
    assert "nested too deeply" in found.text
    with pytest.raises(PolicyError, match="nested too deeply"):
        parse_policy(text)


@pytest.mark.parametrize(
    ("name", "error", "warning"),
    [
        ("", "is blank", ""),
        (" mx.acme.example", "begins or ends with a space", ""),
        ("*.acme.example", "", "stands for itself only"),
        ("mx.acme.example.", "", "stands for itself only"),
        ("Mail Gateway 7", "", ""),
    ],
)
def test_tls_names_that_no_certificate_has_are_told(name: str, error: str, warning: str) -> None:
    """A common name may be anything else."""
    text = SHIPPED + f'\n[[connectors]]\nname = "acme"\nkind = "partner"\nowner = "x"\ntls_names = ["{name}"]\n'
    checked = check_policy(text, load_catalogue())
    assert [error in one.text for one in checked.errors] == [True] * bool(error)
    told = [one.text for one in checked.findings if one.severity == "warning"]
    assert [one for one in told if "TLS name" in one and warning in one] == [one for one in told if "TLS name" in one]
    assert any("TLS name" in one for one in told) == bool(warning)


@pytest.mark.parametrize(
    ("product", "builds", "told"),
    [
        (
            E2016,
            ("15.1.2570.61",),
            "no known build lies in branch 15.1.2570, of which it names 15.1.2570.61; did you mean 15.1.2507?",
        ),
        (E2016, ("15.1.2507.61", "15.1.9999.1"), "no known build lies in branch 15.1.9999"),
        ("Microsoft Exchange 2019", ("15.1.2507.61",), "15.1.2507.61 is a build of Microsoft Exchange 2016"),
        ("Microsoft Exchange 2019", ("0.0.0.0",), "no known build lies in branch 0.0,"),
        (E2007, ("8.4.83.6",), "the newest known are 8.1, 8.2, 8.3."),
        (E2016, ("15.1.2507.999",), "no known build reaches it"),
    ],
)
def test_a_floor_names_builds_of_known_branches_of_its_product(
    product: str, builds: tuple[str, ...], told: str
) -> None:
    """One digit that is wrong would leave the right branch out, and accuse every patched server of it."""
    listed = ", ".join(f'"{build}"' for build in builds)
    text = (
        f'{SHIPPED}\n[[floors]]\nproduct = "{product}"\neffective = 2027-06-01\nbuilds = [{listed}]\nsource = "test"\n'
    )
    checked = check_policy(text, load_catalogue())
    assert [told in one.text for one in checked.errors] == [True]
    assert checked.errors[0].line == text.count("\n") - 1  # the last line but one


def test_errors_of_every_kind_are_told_at_once_each_with_its_line() -> None:
    """An unknown key, a missing one, wrong types, a range, contradictions and a floor that nobody can meet, in one round."""
    text = changed(
        ('salt = "k7"', 'sallt = "k7"'),
        ("opening_hours = 3", 'opening_hours = "three"'),
        ("repeat_days = 7", "repeat_days = 0"),
        ("from_day = 40", "from_day = 30"),
        ('throttle = "450', 'throttle = "421'),
        ('builds = ["15.1.2507.61"]', 'builds = ["15.1.2507.99"]'),
        ('builds = ["15.2.1544.36", "15.2.1748.39"]', 'builds = ["15.2.1544"]'),
    ) + partner("a", "10.0.0.0/33")
    checked = check_policy(text, load_catalogue())
    assert checked.policy is None
    assert [(one.line, one.text.split(":")[0]) for one in checked.errors] == [
        (1, "salt"),
        (line_with(text, "sallt"), "sallt"),
        (line_with(text, "opening_hours"), "opening_hours"),
        (line_with(text, "throttle ="), "replies.throttle"),
        (line_with(text, "repeat_days = 0"), "notices.repeat_days"),
        (line_with(text, "from_day = 30") + 5 - 1, "stages"),
        (line_with(text, "15.1.2507.99"), "floors"),
        (line_with(text, '"15.2.1544"'), "floors[5].builds"),
        (line_with(text, 'name = "a"') - 1, "connectors"),
    ]
    told = " ".join(one.text for one in checked.errors)
    assert "did you mean salt?" in told
    assert "no admin could meet it" in told


@pytest.mark.parametrize(
    ("old", "new", "at", "told"),
    [
        ("from_day = 0\nth", "from_day = 1\nth", "[[stages]]", "the first must begin on day 0"),
        ("throttle_minutes_per_hour = 30", "throttle_minutes_per_hour = 58", "from_day = 60", "more than 60 minutes"),
        ("block_minutes_per_hour = 20", "block_minutes_per_hour = 0", "from_day = 80", "each later stage must block"),
        ("block_minutes_per_hour = 60", "block_minutes_per_hour = 61", "block_minutes_per_hour = 61", "<= 60"),
        ('mins/hr."\nblock = "550', 'mins/hr."\nblock = "450', "block =", "must begin with a 5xx"),
        ('"15.2.1544.36", "15.2.1748.39"', '"15.2.1748.39", "15.2.1544.36"', "Exchange 2019", "oldest first"),
        ("2023-09-01", "2023-09-01T00:00:00", "2023-09-01T00", "without its zone: write 2023-09-01, or the day"),
        ("2023-09-01", "2023-09-01T01:00:00+02:00", "2023-09-01T01", "write 2023-08-31, its day in UTC"),
        ("2023-09-01", "2023-09-01T23:00:00Z", "2023-09-01T23", "write 2023-09-01, its day in UTC"),
        ("2023-09-01", "0001-01-01T00:00:00+02:00", "0001-01-01T", "is a time: write a day that a calendar has in UTC"),
        ("2023-09-01", "07:30:00", "07:30", "floors[2].effective: a whole day is wanted, counted in UTC, such as"),
        ("2023-09-01", '"2023-09-01T00:00:00+02:00"', '"2023-09-01T', "a whole day is wanted"),
        ("2023-09-01", '"soon"', '"soon"', "and it reads 'soon'"),
        ('kind = "internet"', 'kind = "internett"', "internett", "connectors[1].kind"),
        ('mode = "observe"\n\n', "mode = true\n\n", "mode = true", "mode"),
        ("[notices]", "[[notices]]", "[[notices]]", "must be a table"),
        ('product = "Exchange"', 'product = "Exchange"\nsoon = 1', "soon", "written for a newer patchgate?"),
        (
            "newly_blocked_per_day = 5",
            "newly_blocked_per_day = 0",
            "per_day = 0",
            "caps.newly_blocked_per_day: Expected",
        ),
        ("open_cases = 1\n", "open_cases = 101\n", "open_cases = 101", "<= 100"),
        ("newly_blocked_per_day = 5\n", "", "[caps]", "caps.newly_blocked_per_day: is missing"),
        ("[caps]\n", "[caps]\nper_week = 9\n", "per_week", "caps.per_week: no such key; known here"),
        ("[caps]", "[cap]", "[cap]", "did you mean caps?"),
        ("days_per_year = 90", "days_per_year = 367", "days_per_year = 367", "<= 366"),
        ("[disputes]", "[disputes]\ndas = 1", "das = 1", "did you mean days?"),
        ("days = 14", "days = 0", "days = 0", "disputes.days"),
        ("mixed_days = 14", 'mixed_days = "two weeks"', "two weeks", "relapses.mixed_days"),
        ("version = 1", f"version = {2**53}", "version =", f"version: must be at most {2**53 - 1}, which every reader"),
        ("version = 1", f"version = {10**400}", "version =", "write a smaller one"),
        ("in observe mode", "in \\u001b[2Jobserve mode", "title =", "title: holds the control character U+001B, which"),
        ("Exchange Online, in", "Exchange Online,\\tin", "title =", "title: holds the control character U+0009"),
        ('salt = "k7"', 'salt = "k\\u007f7"', "salt =", "salt: holds the control character U+007F"),
        ('owner = "postmaster"', 'owner = "post\u2028master"', "owner =", "owner: holds the control character U+2028"),
        ('owner = "postmaster"', 'owner = "post\u202emaster"', "owner =", "owner: holds the control character U+202E"),
        ('owner = "postmaster"', 'owner = "post\u2069master"', "owner =", "; take it out"),
        ("throttled for {minutes}", "throttled\\u0007 for {minutes}", "throttle =", "one line of printable ASCII"),
        ("version = 1", "version = = 1", "version = =", "not TOML"),
        ("version = 1", "version = 1\nversion = 2", "version = 2", "not TOML"),
    ],
)
def test_each_error_stands_on_its_line(old: str, new: str, at: str, told: str) -> None:
    """One at a time, so that each place is right by itself."""
    text = changed((old, new))
    [found] = found_in(text)
    assert found.severity == "error"
    assert told in found.text
    near = {"from_day = 60": -1, "from_day = 80": -1, "Exchange 2019": -1}.get(at, 0)  # the header of its entry
    assert found.line == line_with(text, at) + near


@pytest.mark.parametrize(
    ("more", "at", "told"),
    [
        (partner("a", "10.0.0.0/8") + partner("a", "10.0.0.0/9"), 2, "used twice"),
        (partner("a", "10.0.0.0/8") + partner("b", "10.0.0.0/8"), 2, "named by two"),
        (partner("a", "2001:db8::/32") + partner("b", "2001:0DB8:0::/32"), 2, "'2001:db8::/32' is named by two"),
        (partner("a", "192.0.2.7") + partner("b", "192.0.2.7/32"), 2, "'192.0.2.7/32' is named by two"),
        (partner("a", "10.1.2.3/8"), 1, "an address and not a range; write 10.0.0.0/8, or 10.1.2.3 for that one"),
        (partner("a", "10.0.0.0/8", tls="mx.example") + partner("b", tls="MX.example"), 2, "named by two"),
        (partner("a"), 1, "nobody can match"),
        (partner("a", "10.0.0.0/33"), 1, "10.0.0.0/33"),
        ('\n[[connectors]]\nname = "i2"\nkind = "internet"\nowner = "x"\n', 1, "only one may be"),
    ],
)
def test_clashing_connectors_stand_on_the_line_of_the_later_one(more: str, at: int, told: str) -> None:
    """The one that was added last is the one to look at."""
    text = SHIPPED + more
    errors = [found for found in found_in(text) if told in found.text]
    headers = [number for number, line in enumerate(text.splitlines(), start=1) if line == "[[connectors]]"]
    assert [found.line for found in errors] == [headers[at]]


def test_entries_that_cannot_be_read_do_not_move_the_places_of_the_others() -> None:
    """The contradictions of the others are told, each on its own line."""
    text = (
        changed(
            ("2023-08-01", '"soon"'),
            ("2023-12-01", "2023-09-01"),
            ("Microsoft Exchange 2013", "Microsoft Exchange 2010"),
        )
        + partner("a", "10.0.0.0/8").replace("partner", "friend")
        + partner("b", "10.0.0.0/33")
    )
    found = {one.text.split(":")[0]: one.line for one in found_in(text)}
    assert found == {
        "floors[1].effective": line_with(text, '"soon"'),
        "floors": line_with(text, "wave of December 2023") - 3,
        "connectors[2].kind": line_with(text, "friend"),
        "connectors": line_with(text, 'name = "b"') - 1,
    }


def test_a_text_that_cannot_be_shown_is_named_where_it_stands() -> None:
    """By its place in the document, also where an entry above it cannot be read; a name in any script can be shown."""
    more = partner("a", "10.0.0.0/8").replace("partner", "friend") + partner(
        "b", "10.1.0.0/16", tls="mx\\u0085.example"
    )
    text = changed(("The eight stages", "Die acht Stufen, \u05e9\u05dc\u05d1\u05d9\u05dd, \u9636\u6bb5")) + more
    text += '\n[[protected]]\ntitle = "Cl\u009binics"\ndomains = ["clinic.example"]\n'
    found = {one.text.partition(":")[0]: one.line for one in found_in(text)}
    assert found == {
        "connectors[2].kind": line_with(text, "friend"),
        "connectors[3].tls_names[1]": line_with(text, "tls_names"),
        "protected[1].title": line_with(text, "Cl\u009binics"),
    }
    with pytest.raises(PolicyError, match=r"protected\[1\]\.title: holds the control character U\+009B"):
        parse_policy(text.replace("friend", "partner"))


def test_a_day_in_quotes_is_a_day() -> None:
    """Here as for the enforcer."""
    assert found_in(changed(("2023-09-01", '"2023-09-01"'))) == []


def test_an_entry_that_protects_nobody_stands_on_its_own_line() -> None:
    """Also behind one that cannot be read."""
    text = SHIPPED + "".join(
        f"\n[[protected]]\n{entry}\n"
        for entry in ('titel = "a"', 'title = "b"\ndomains = ["b.example"]', 'title = "c"\nconnectors = ["hq"]')
    )
    headers = [number for number, line in enumerate(text.splitlines(), start=1) if line == "[[protected]]"]
    assert [(one.line, one.text[:12]) for one in found_in(text)] == [
        (headers[0], "protected[1]"),
        (headers[0] + 1, "protected[1]"),
        (headers[2], "protected: e"),
    ]


def test_a_document_without_later_keys_stays_without_them() -> None:
    """What is checked is what is handed in: a policy gets no cap because the shipped one has one."""
    begin, end = SHIPPED.index("# So that one wrong floor"), SHIPPED.index("# The stages. Days")
    text = SHIPPED[:begin] + SHIPPED[end:]
    checked = check_policy(text, load_catalogue())
    assert checked.findings == ()
    assert checked.policy == parse_policy(text)
    assert checked.policy.caps is None


def test_two_waves_on_one_day_stand_on_the_line_of_the_later_one() -> None:
    """Likewise."""
    text = changed(("2023-12-01", "2023-08-01"), ("Microsoft Exchange 2013", "Microsoft Exchange 2007"))
    [found] = [found for found in found_in(text) if "two waves" in found.text]
    assert found.line == line_with(text, "wave of December 2023") - 3


def test_whatever_parse_refuses_is_an_error_here() -> None:
    """Bounds of whole lists have no key of their own: the last word is that of `parse_policy`."""
    stages = "".join(
        f"\n[[stages]]\nfrom_day = {day}\nthrottle_minutes_per_hour = 0\nblock_minutes_per_hour = 60\n"
        for day in range(91, 140)
    )
    text = changed(("# The floors", stages + "# The floors"))
    with pytest.raises(PolicyError):
        parse_policy(text)
    [found] = found_in(text)
    assert found.severity == "error"
    assert "length" in found.text


def warnings_of(policy: Policy) -> list[str]:
    """What is told of a policy that can be used."""
    checked = check_policy(policy_text(policy), load_catalogue())
    assert not checked.errors
    return [found.text for found in checked.findings]


def _connectors(*ranges: str) -> tuple[Connector, ...]:
    return tuple(
        Connector(name=f"c{number}", kind="partner", owner="x", ranges=(text,), mode="enforce")
        for number, text in enumerate(ranges)
    )


def _observed(text: str) -> Connector:
    return Connector(name="seen", kind="partner", owner="x", ranges=(text,))


def _twice(*ranges: str) -> Connector:
    return Connector(name="twice", kind="partner", owner="x", ranges=ranges, mode="enforce")


def _caps(percent: int) -> Caps:
    return Caps(newly_blocked_per_day=5, newly_blocked_percent_of_open_cases=percent)


def _clinics(*domains: str, title: str = "a", at: tuple[str, ...] = ()) -> Protected:
    return Protected(title=title, domains=domains, connectors=at)


def _stages(*rows: tuple[int, int, int]) -> tuple[Stage, ...]:
    return tuple(
        Stage(from_day=day, throttle_minutes_per_hour=slow, block_minutes_per_hour=block) for day, slow, block in rows
    )


def _notices(**changes: object) -> Notices:
    return msgspec.convert({**msgspec.structs.asdict(policy_for().notices), **changes}, Notices)


def _wave(product: str, *builds: Build, day: int = 1) -> FloorWave:
    return FloorWave(product=product, effective=date(2026, 1, day), builds=builds, source="test")


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"connectors": ()}, ["mode: enforce, but no connector"]),
        ({"mode": "observe", "connectors": _connectors("10.0.0.0/8")}, ["its mode enforce does nothing"]),
        ({"open_ties": ()}, ["no case ever opens"]),
        ({"open_ties": ("connector", "untied")}, ["untied opens nothing"]),
        ({"connectors": _connectors("10.0.0.0/8", "11.0.0.0/8")}, []),
        ({"connectors": _connectors("10.0.0.0/8", "10.1.0.0/16")}, ["10.1.0.0/16 lies in 10.0.0.0/8 of c0"]),
        ({"connectors": _connectors("10.1.0.0/16", "10.0.0.0/8")}, ["10.1.0.0/16 lies in 10.0.0.0/8 of c1"]),
        (
            {"connectors": _connectors("10.0.0.0/8", "10.1.0.0/16", "10.1.1.0/24", "10.2.0.0/16")},
            ["10.1.0.0/16 lies in 10.0.0.0/8", "10.1.1.0/24 lies in 10.1.0.0/16", "10.2.0.0/16 lies in 10.0.0.0/8"],
        ),
        (
            {"connectors": _connectors("10.0.0.0/8", "10.0.0.0/9", "10.128.0.0/9")},
            ["10.0.0.0/8 is never reached", "10.0.0.0/9 lies in", "10.128.0.0/9 lies in"],
        ),
        (
            {"connectors": _connectors("2001:db8::/32", "2001:db8:1::/48", "10.0.0.0/8")},
            ["2001:db8:1::/48 lies in 2001:db8::/32"],
        ),
        (
            {"connectors": (*_connectors("10.0.0.0/8"), _observed("10.1.0.0/16"))},
            ["it is seen's, with mode observe and not enforce"],
        ),
        ({"connectors": _connectors("10.0.0.0/8", "10.1.0.0/16")}, ["it is c1's, with mode enforce"]),
        ({"connectors": (_twice("10.0.0.0/8", "10.0.0.0/8"),)}, ["twice: range 10.0.0.0/8 is there twice"]),
        ({"connectors": (_twice("2001:db8::/32", "2001:0db8::/32"),)}, ["range 2001:db8::/32 is there twice"]),
        ({"stages": _stages((0, 0, 0), (30, 5, 0), (40, 5, 0))}, ["stage 3 changes nothing"]),
        (
            {"stages": _stages((0, 0, 0), (30, 10, 0), (40, 5, 0))},
            ["stage 3 is milder than the one before it: from day 40"],
        ),
        ({"stages": _stages((0, 0, 0), (30, 10, 0), (40, 0, 0))}, ["stage 3 is milder"]),
        ({"stages": _stages((0, 0, 0), (30, 10, 0), (60, 0, 20), (70, 30, 10))}, ["stage 4 is milder"]),
        ({"stages": _stages((0, 0, 0), (30, 10, 0), (60, 10, 5), (70, 0, 10))}, []),
        ({"notices": _notices(before_throttling_days=29)}, []),
        ({"notices": _notices(before_throttling_days=30)}, ["mail is slowed 30 days after the opening: both"]),
        ({"notices": _notices(before_blocking_days=60)}, ["mail is refused 60 days after the opening: both"]),
        ({"stages": _stages((0, 0, 0)), "notices": _notices(before_throttling_days=365)}, []),
        ({"caps": None}, []),
        ({"caps": _caps(99)}, []),
        ({"caps": _caps(100)}, ["nobody ever waits"]),
        ({"relapses": Relapses(days=2), "release_hours": 48}, ["kept 48 hours"]),
        ({"relapses": Relapses(days=2), "release_hours": 47}, []),
        ({"relapses": Relapses(days=0), "release_hours": 48}, []),
        (
            {"protected": (_clinics("clinic.example"), _clinics("ex.clinic.example", title="b"))},
            ["ex.clinic.example of 'b'"],
        ),
        ({"protected": (_clinics("clinic.example"), _clinics("myclinic.example"))}, []),
        ({"protected": (_clinics("ex.clinic.example"), _clinics("clinic.example"))}, []),
        ({"protected": (_clinics(at=("branch",)), _clinics(at=("branch",)))}, ["branch of 'a' is never reached"]),
        ({"protected": (_clinics("branch"), _clinics(at=("branch",)))}, []),
        ({"stages": _stages((0, 0, 0), (30, 5, 0), (59, 0, 5))}, ["29 days after"]),
        ({"stages": _stages((0, 0, 0), (30, 5, 0), (60, 0, 5))}, []),
        ({"stages": _stages((0, 0, 0), (30, 0, 5))}, ["0 days after"]),
        ({"notices": _notices(needed_for_blocking=False)}, ["even where no notice"]),
        ({"notices": _notices(before_blocking_days=0)}, ["blocking is always late"]),
        ({"floors": (_wave("Microsoft Exchang 2016"),)}, ["did you mean Microsoft Exchange 2016?"]),
        ({"floors": (_wave(E2016, FLOOR_2016), _wave(E2016, NEWEST_2016, day=2))}, ["no public update reaches it"]),
        (
            {
                "connectors": (
                    Connector(
                        name="c", kind="partner", owner="x", ranges=("10.0.0.0/8", "10.1.0.0/16"), mode="enforce"
                    ),
                )
            },
            [],
        ),
        ({"floors": (_wave(E2016, PAID_2016),)}, [f"only the paid programme's ({PAID_2016})"]),
        ({"floors": (_wave(E2016, PUBLIC_2016),)}, []),
        ({"floors": (_wave(E2016), _wave(E2016, FLOOR_2016, day=2))}, ["is lower than that of 2026-01-01"]),
        ({"floors": (_wave(E2016, FLOOR_2016), _wave(E2016, day=2))}, []),
        ({"floors": (_wave(E2016, FLOOR_2016), _wave(E2007, day=2))}, []),
        ({"floors": (_wave("Postfix"),)}, ["known: Microsoft Exchange 2003"]),
        ({"floors": (_wave(E2016, OLDEST_2016),)}, ["accuses nobody: every known build reaches it"]),
        ({"floors": (_wave(E2007), _wave(E2007, day=2))}, ["changes nothing: that floor holds since 2026-01-01"]),
        (
            {"floors": (_wave(E2016, Build(15, 1, 2375, 99), Build(15, 1, 2507, 61)),)},
            ["no known build of its branch reaches 15.1.2375.99"],
        ),
    ],
)
def test_rules_that_never_hold_are_told(changes: dict[str, Any], told: list[str]) -> None:
    """They refuse no policy; each is told once, and nothing else is."""
    found = sorted(warnings_of(policy_for(**changes)))
    assert len(found) == len(told), found
    for one in told:
        assert sum(one in sentence for sentence in found) == 1, found

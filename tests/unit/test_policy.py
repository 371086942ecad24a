"""The policy document: what is read, what is refused, and what floors say of readings."""

from datetime import date
from hashlib import sha256
from pathlib import Path

import msgspec
import pytest

from shared.domain.build import Build
from shared.domain.floors import Floor, Standing
from shared.domain.policy import (
    Caps,
    Disputes,
    Pauses,
    Policy,
    PolicyError,
    Protected,
    Relapses,
    complaints_of,
    parse_policy,
    protected_by,
    shipped_policy_text,
)
from tests.support.scenario import E2007, E2016, FLOOR_2016, policy_for, reading


def test_the_shipped_policy_is_in_observe_with_eight_stages() -> None:
    """Nobody is harmed by the defaults, and the stages are Exchange Online's."""
    policy = parse_policy(shipped_policy_text())
    assert policy.mode == "observe"
    minutes = [(s.from_day, s.throttle_minutes_per_hour, s.block_minutes_per_hour) for s in policy.stages]
    assert minutes == [
        (0, 0, 0),
        (30, 5, 0),
        (40, 10, 0),
        (50, 20, 0),
        (60, 30, 5),
        (70, 0, 10),
        (80, 0, 20),
        (90, 0, 60),
    ]


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("from_day = 30", 'from_day = "soon"', "from_day"),
        ("from_day = 30", "from_day = 0", "must rise"),
        ("from_day = 0\nthrottle_minutes_per_hour = 0", "from_day = 0\nthrottle_minutes_per_hour = 5", "told first"),
        ("throttle_minutes_per_hour = 30", "throttle_minutes_per_hour = 58", "more than 60 minutes"),
        ("block_minutes_per_hour = 20", "block_minutes_per_hour = 0", "each later stage must block"),
        ("block_minutes_per_hour = 60", "block_minutes_per_hour = 61", "block_minutes_per_hour"),
        ('throttle = "450', 'throttle = "421', "replies.throttle"),
        ('throttle = "450 4', 'throttle = "550 5', "must begin with a 4xx"),
        ('mins/hr."\nblock', 'mins/hr.\\r\\n250 ok"\nblock', "replies.throttle"),
        ('builds = ["15.1.2507.61"]', 'builds = ["15.1.2507"]', "not a build"),
        ('builds = ["15.2.1544.36", "15.2.1748.39"]', 'builds = ["15.2.1748.39", "15.2.1544.36"]', "oldest first"),
        ('kind = "internet"', 'kind = "partner"', "nobody can match"),
        ('salt = "k7"', 'sallt = "k7"', "sallt"),
        ("version = 1", "version = 0", "version"),
        ("version = 1", "version = = 1", "not TOML"),
    ],
)
def test_a_wrong_policy_is_refused_with_the_key_that_is_wrong(old: str, new: str, complaint: str) -> None:
    """Each error names its place, and nothing is adopted."""
    text = shipped_policy_text()
    assert old in text
    with pytest.raises(PolicyError, match=complaint):
        parse_policy(text.replace(old, new, 1))


def test_a_policy_without_floors_is_told_what_it_lacks() -> None:
    """A torn file is one clear error."""
    with pytest.raises(PolicyError, match="cannot be read"):
        parse_policy("version = 1")


def test_contradictions_are_told_all_at_once() -> None:
    """A postmaster mends a policy in one round."""
    text = shipped_policy_text().replace("from_day = 30", "from_day = 0").replace('throttle = "450', 'throttle = "421')
    with pytest.raises(PolicyError, match=r"must rise.*replies\.throttle"):
        parse_policy(text)


def test_connectors_are_checked_one_by_one() -> None:
    """Two names alike, a range that is none, ranges on the internet, and two internets are told."""
    text = shipped_policy_text() + (
        '\n[[connectors]]\nname = "internet"\nkind = "internet"\nowner = "x"\nranges = ["10.0.0.0/33"]\n'
    )
    with pytest.raises(PolicyError, match=r"used twice.*only one.*everybody else.*10\.0\.0\.0/33"):
        parse_policy(text)


@pytest.mark.parametrize(
    ("first", "second", "complaint"),
    [
        ("2001:db8::25/128", "10.0.0.0/8", "known by their /64"),
        ("::ffff:192.0.2.0/120", "10.0.0.0/8", "write it as an IPv4 range"),
        ("10.0.0.0/8", "10.0.0.0/8", "named by two"),
    ],
)
def test_ranges_that_nobody_or_two_could_match_are_told(first: str, second: str, complaint: str) -> None:
    """A connector that silently never holds, or holds by chance, would make its mode a lie."""
    text = shipped_policy_text() + "".join(
        f'\n[[connectors]]\nname = "c{number}"\nkind = "partner"\nowner = "x"\nranges = ["{found}"]\n'
        for number, found in enumerate((first, second))
    )
    with pytest.raises(PolicyError, match=complaint):
        parse_policy(text)


def test_tls_names_of_two_connectors_are_told_whatever_their_case() -> None:
    """And an IPv6 range of a whole subnet is none of these mistakes."""
    text = shipped_policy_text() + "".join(
        f'\n[[connectors]]\nname = "c{n}"\nkind = "partner"\nowner = "x"\ntls_names = ["{n}"]\nranges = ["2001:db8:0:{i}::/64"]\n'
        for i, n in enumerate(("mx", "hq"))
    )
    assert parse_policy(text).connectors[-1].name == "chq"
    with pytest.raises(PolicyError, match="'mx' is named by two"):
        parse_policy(text.replace('"hq"', '"MX"'))


def test_two_waves_of_one_product_on_one_day_are_refused() -> None:
    """Which floor would hold on that day could not be said."""
    text = shipped_policy_text() + f'\n[[floors]]\nproduct = "{E2007}"\neffective = 2023-08-01\nsource = "x"\n'
    with pytest.raises(PolicyError, match="two waves"):
        parse_policy(text)


def test_a_floor_counts_from_its_day_and_the_newest_wave_holds() -> None:
    """Waves are dated; before the first there is no floor."""
    text = shipped_policy_text() + (
        f'\n[[floors]]\nproduct = "{E2016}"\neffective = 2027-01-01\nbuilds = ["15.1.2507.75"]\nsource = "x"\n'
    )
    policy = parse_policy(text)
    assert policy.floor_for(E2016, date(2026, 9, 7)) is None
    assert policy.floor_for(E2016, date(2026, 12, 31)) == Floor(product=E2016, builds=(FLOOR_2016,))
    assert policy.floor_for(E2016, date(2027, 1, 1)) == Floor(product=E2016, builds=(Build(15, 1, 2507, 75),))
    assert policy.floor_for("Exim", date(2027, 1, 1)) is None


_FLOOR_2019 = Floor(product="Microsoft Exchange 2019", builds=(Build(15, 2, 1544, 36), Build(15, 2, 1748, 39)))


@pytest.mark.parametrize(
    ("low", "high", "standing"),
    [
        ((15, 2, 1544, 35), (15, 2, 1544, 35), Standing.BELOW),
        ((15, 2, 1544, 36), (15, 2, 1544, 36), Standing.AT_OR_ABOVE),
        ((15, 2, 1544, 99), (15, 2, 1544, 99), Standing.AT_OR_ABOVE),
        ((15, 2, 1544, 4), (15, 2, 1544, 36), Standing.UNKNOWN),
        ((15, 2, 1748, 10), (15, 2, 1748, 38), Standing.BELOW),
        ((15, 2, 1258, 99), (15, 2, 1258, 99), Standing.BELOW),
        ((15, 2, 1600, 1), (15, 2, 1600, 1), Standing.BELOW),
        ((15, 2, 1749, 0), (15, 2, 1749, 0), Standing.AT_OR_ABOVE),
        ((15, 2, 1748, 39), (15, 2, 1748, 60), Standing.AT_OR_ABOVE),
    ],
)
def test_standing_is_below_only_when_the_whole_range_is(
    low: tuple[int, ...], high: tuple[int, ...], standing: Standing
) -> None:
    """A range that reaches the floor is unknown; its lower end at the floor is enough to acquit."""
    found = _FLOOR_2019.standing(reading("Microsoft Exchange 2019", Build(*low), Build(*high)))
    assert found is standing


def test_a_whole_product_is_below_even_without_a_build_and_a_build_floor_needs_one() -> None:
    """2007 shows no build in some lines; a floor of builds cannot judge such a line."""
    assert Floor(product=E2007).standing(reading(E2007, None)) is Standing.BELOW
    assert Floor(product=E2016, builds=(FLOOR_2016,)).standing(reading(E2016, None)) is Standing.UNKNOWN
    assert Floor(product=E2007).standing(reading(E2016)) is Standing.UNKNOWN


def test_digest_changes_with_any_change() -> None:
    """Edges compare policies by it."""
    policy = parse_policy(shipped_policy_text())
    other = parse_policy(shipped_policy_text().replace('salt = "k7"', 'salt = "k8"'))
    assert policy.digest != other.digest
    assert policy.digest == parse_policy(shipped_policy_text()).digest


# --- keys that came later --------------------------------------------------------------------------------------------

BEFORE_CAPS = (Path(__file__).parents[1] / "data" / "policy" / "before-caps.json").read_bytes()
"""A policy as a log of version 0.2 holds it: without caps, pauses, disputes, relapses and protected."""


def test_a_policy_of_an_older_log_keeps_bytes_and_digest() -> None:
    """Old heartbeats and logs name it by its digest, and another writer must find the same."""
    policy = msgspec.json.decode(BEFORE_CAPS, type=Policy)
    assert msgspec.json.encode(policy) == BEFORE_CAPS
    assert policy.digest == "4abedfdd2674bf336a754372036fbe21793a037149fa83c7a5d4db3fc99d0c93"


def test_what_an_older_policy_lacks_means_what_it_meant() -> None:
    """No cap, nobody protected, and the numbers of the design for what there was no act for."""
    policy = msgspec.json.decode(BEFORE_CAPS, type=Policy)
    assert (policy.caps, policy.protected) == (None, ())
    assert (policy.pauses, policy.disputes) == (Pauses(days_per_year=90), Disputes(days=14))
    assert policy.relapses == Relapses(days=30, mixed_days=14)


def test_the_shipped_policy_has_the_numbers_of_the_design() -> None:
    """Written out, so that they are seen."""
    policy = parse_policy(shipped_policy_text())
    assert policy.caps == Caps(newly_blocked_per_day=5, newly_blocked_percent_of_open_cases=1)
    assert (policy.pauses, policy.disputes, policy.relapses) == (Pauses(), Disputes(), Relapses())
    assert policy.protected == ()


def test_the_digest_is_that_of_the_bytes_that_readers_get() -> None:
    """Also where a key says what its absence would mean: edges hash what stands in the record."""
    for policy in (parse_policy(shipped_policy_text()), policy_for(protected=(CLINICS,)), policy_for(caps=None)):
        stored = msgspec.json.encode(policy)
        again = msgspec.json.decode(stored, type=Policy)
        assert again == policy
        assert again.digest == policy.digest == sha256(stored).hexdigest()


CLINICS = Protected(title="Clinics", domains=("clinic.example", "mx.county.example"))
BRANCH = Protected(title="The branch", domains=("branch.example",), connectors=("branch",))


@pytest.mark.parametrize(
    ("server_id", "connector", "title"),
    [
        ("clinic.example", "", "Clinics"),
        ("ex1.clinic.example", "", "Clinics"),
        ("ex1.clinic.example@192.0.2.7", "internet", "Clinics"),
        ("EX1.Clinic.Example@192.0.2.7", "internet", "Clinics"),
        ("a.b.clinic.example@internet", "internet", "Clinics"),
        ("mx.county.example@192.0.2.7", "", "Clinics"),
        ("county.example@192.0.2.7", "", ""),
        ("myclinic.example@192.0.2.7", "", ""),
        ("clinic.example.org@192.0.2.7", "", ""),
        ("ex@clinic.example", "", ""),
        ("ex07@branch", "branch", "The branch"),
        ("ex1.clinic.example@branch", "branch", "Clinics"),
        ("ex.branch.example@192.0.2.7", "internet", "The branch"),
        ("ex07@branch", "branch2", ""),
        ("ex07@branch", "", ""),
    ],
)
def test_who_is_protected(server_id: str, connector: str, title: str) -> None:
    """By the host's name, at a dot, or by the connector it is seen in; of several entries the first is named."""
    found = protected_by(policy_for(protected=(CLINICS, BRANCH)), server_id, connector)
    assert (found.title if found else "") == title


def test_nobody_is_protected_where_no_entry_is() -> None:
    """As in every older policy."""
    assert protected_by(policy_for(), "ex1.clinic.example", "branch") is None


@pytest.mark.parametrize(
    ("entry", "complaint"),
    [
        ("", "entry 1, 'x': names neither domains nor connectors, so it protects nobody"),
        ('domains = ["Clinic.example"]', "'Clinic.example': write a host name in lower case"),
        ('domains = [".clinic.example"]', "without a dot before or behind it"),
        ('domains = ["clinic.example."]', "without a dot before or behind it"),
        ('domains = [""]', "domain ''"),
        ('domains = ["clinic..example"]', "domain 'clinic..example'"),
        ('domains = ["clinic.example\\n"]', "write a host name"),
        ('connectors = ["internett"]', "no connector is named 'internett'; did you mean internet?"),
        ('connectors = ["hq"]', "no connector is named 'hq'; there are internet"),
    ],
)
def test_an_entry_that_would_protect_nobody_is_refused(entry: str, complaint: str) -> None:
    """Who is listed there relies on it."""
    text = shipped_policy_text() + f'\n[[protected]]\ntitle = "x"\n{entry}\n'
    with pytest.raises(PolicyError) as refused:
        parse_policy(text)
    assert complaint in str(refused.value)


def test_a_policy_without_connectors_says_so_to_who_protects_one() -> None:
    """There is none to name."""
    entry = Protected(title="x", connectors=("hq",))
    assert any("there are none" in one for one in complaints_of(policy_for(connectors=(), protected=(entry,))))

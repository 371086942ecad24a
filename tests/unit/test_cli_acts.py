"""The acts by the command line: what each asks for. State, log and law are a world in memory."""

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from services.cli import common
from shared.domain.answer import AnyRequest
from shared.domain.records import (
    AcknowledgeNotice,
    CorrectCase,
    DisputeCase,
    LiftStruck,
    PauseAccount,
    ResolveCase,
    ResumeAccount,
    SetExemption,
    SetMode,
    SignBlocking,
)
from tests.support.cli_shell import BRANCH, WHO, Shell, shell_over
from tests.support.scenario import E2007, E2016, FLOOR_2016, PEER, SERVER, reading

NEVER_SEEN = "never.seen.example@192.0.2.9"


@pytest.fixture
def shell(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Shell:
    """Lend one."""
    return shell_over(capsys, monkeypatch)


def fields(request: AnyRequest) -> dict[str, Any]:
    """The fields that are the act's own."""
    shared = {"id", "who", "why", "made_at", "as_owner"}
    return {name: value for name, value in msgspec.structs.asdict(request).items() if name not in shared}


def test_every_act_carries_who_why_when_and_an_id_of_its_own(shell: Shell) -> None:
    """The id can be given; the owner in whose name it is, too."""
    [request] = shell.asks("dispute", SERVER, "--id", "my-own-id-1", "--as-owner", "it")
    assert isinstance(request, DisputeCase)
    assert (request.id, request.who, request.why, request.as_owner) == ("my-own-id-1", "anna", "test", "it")
    assert request.made_at == shell.world.now
    first, second = shell.asks("dispute", SERVER)[0].id, shell.asks("dispute", SERVER)[0].id
    assert first != second


def test_who_is_the_login_name_unless_told(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the machine knows none, or an address is given, it must be told."""
    monkeypatch.setattr("getpass.getuser", lambda: "postmaster")
    shell.patchgate("dispute", SERVER)
    assert shell.bus.asked[0].who == "postmaster"
    assert shell.bus.asked[0].why == ""
    assert "no address" in shell.refused("dispute", SERVER, "--who", "anna@firm.example")

    def none() -> str:
        raise KeyError

    monkeypatch.setattr("getpass.getuser", none)
    assert common.login() == ""
    assert "who" in shell.refused("dispute", SERVER)


@pytest.mark.parametrize("by", ["number", "id", "address"])
@pytest.mark.parametrize(
    ("arguments", "kind", "more"),
    [
        (["dispute", "{}"], DisputeCase, {}),
        (["resolve", "{}", "upheld"], ResolveCase, {"outcome": "upheld"}),
        (["resolve", "{}", "rejected"], ResolveCase, {"outcome": "rejected"}),
        (["resolve", "{}", "runs-on"], ResolveCase, {"outcome": "runs-on"}),
        (["sign", "{}", "--stage", "6"], SignBlocking, {"stage": 6}),
        (["sign", "{}"], SignBlocking, {"stage": 5}),
        (["acknowledge", "{}"], AcknowledgeNotice, {}),
        (["correct", "{}"], CorrectCase, {}),
    ],
)
def test_a_case_is_named_by_its_number_its_server_or_an_address(
    shell: Shell, by: str, arguments: list[str], kind: type, more: dict[str, Any]
) -> None:
    """All three mean the same; `sign` takes the next stage that blocks."""
    number = shell.number()
    name = {"number": number, "id": SERVER, "address": PEER}[by]
    [request] = shell.asks(*(one.format(name) for one in arguments))
    assert type(request) is kind
    assert fields(request) == {"server": SERVER, "case": int(number), **more}


def test_the_next_stage_to_sign_is_told_of_a_case_that_is_held(shell: Shell) -> None:
    """Its way of before is kept, and goes on."""
    shell.patchgate("dispute", SERVER, *WHO)
    assert [fields(one)["stage"] for one in shell.asks("sign", SERVER)] == [5]


def test_of_several_cases_of_a_server_one_is_chosen(shell: Shell) -> None:
    """By product or by number; else the choices are named, and nothing is asked."""
    error = shell.refused("dispute", BRANCH, *WHO)
    for product in (E2016, E2007):
        number = shell.number(BRANCH, product)
        assert f"{number} ({product})" in error
        for arguments in ([BRANCH, "--product", product], [number]):
            [request] = shell.asks("dispute", *arguments)
            assert fields(request) == {"server": BRANCH, "case": int(number)}
    assert "no case about Nothing; it has" in shell.refused("dispute", BRANCH, "--product", "Nothing", *WHO)


def test_an_address_with_several_servers_names_them(shell: Shell) -> None:
    """One must be chosen; the id of one is no other's."""
    shell.world.open_case(name="second.alt.example", helo="second.alt.example")
    error = shell.refused("dispute", PEER, *WHO)
    assert f"2 servers are known by {PEER}; name one: {SERVER}, second.alt.example@{PEER}" in error
    assert [fields(one)["server"] for one in shell.asks("dispute", SERVER)] == [SERVER]


def test_several_are_asked_in_one_call(shell: Shell) -> None:
    """Each with an id of its own; the same one twice, or all under one id, is refused."""
    first, second = shell.number(), shell.number(BRANCH, E2007)
    asked = shell.asks("dispute", first, second)
    assert [fields(one)["case"] for one in asked] == [int(first), int(second)]
    assert len({one.id for one in asked}) == 2
    assert "named twice" in shell.refused("dispute", first, first, *WHO)
    assert "named twice" in shell.refused("dispute", first, SERVER, *WHO)
    assert "--id is of one request" in shell.refused("dispute", first, second, "--id", "my-own-id-1", *WHO)
    assert "one call takes 100" in shell.refused("dispute", *(str(number) for number in range(101)), *WHO)


def test_a_case_that_is_over_is_asked_for_by_its_number(shell: Shell) -> None:
    """It is found in the log, and the law says that it is not open any more."""
    number = shell.number()
    shell.world.see(reading(build=FLOOR_2016))
    shell.world.pass_time(timedelta(days=2))
    assert "has no case" in shell.refused("dispute", SERVER, *WHO)
    told = shell.patchgate("dispute", number, *WHO)
    assert told.code == 0
    assert f"Dispute of case {number} ({SERVER}): no effect (log record" in told.out
    assert "say --stage" not in told.out
    assert "name one with --stage" in shell.refused("sign", number, *WHO)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["dispute", "2"], "log record 2 opened no case"),
        (["dispute", "999999999999999"], "opened no case"),
        (["dispute", "9" * 5000], "no server 999"),
        (["dispute", NEVER_SEEN], "no server never.seen.example@192.0.2.9 is known"),
        (["dispute", "192.0.2.99"], "no server 192.0.2.99 is known"),
        (["dispute", "92.0.2.7"], "no server 92.0.2.7 is known"),  # the end of another address is not that one
        (["dispute", SERVER, "--id", "short"], "--id takes 8 to 64 of A-Z a-z 0-9 . _ : -"),
        (["dispute", SERVER, "--why", "w" * 501], "why"),
        (["dispute"], "Missing argument"),
        (["resolve", SERVER, "perhaps"], "perhaps"),
        (["sign", SERVER, "--stage", "51"], "'--stage': Input should be less than or equal to 50"),
        (["pause", "it"], "--days"),
        (["pause", "it", "--days", "0"], "greater than or equal to 1"),
        (["pause", "it", "--days", "367"], "less than or equal to 366"),
        (["pause", "nobody", "--days", "1"], "no connector is owned by 'nobody'"),
        (["pause", "postmaster", "--days", "1"], "the owners are it"),  # of the internet: whose servers are their own
        (["resume", "99999"], "no case 99999 is open"),
        (["exempt", SERVER, "--owner", "ben", "--why", "x"], "one of --until INSTANT, --days N and --lift"),
        (["exempt", SERVER, "--owner", "ben", "--why", "x", "--days", "1", "--lift"], "one of --until"),
        (["exempt", SERVER, "--why", "x", "--days", "1"], "--owner NAME and --why TEXT"),
        (["exempt", SERVER, "--owner", "ben", "--days", "1", "--why", ""], "--owner NAME and --why TEXT"),
        (["exempt", SERVER, "--owner", "ben", "--until", "2026-12-24T18:00"], "has no zone: write 2026-12-24T18:00Z"),
        (["exempt", SERVER, "--owner", "ben", "--until", "2026-12-24"], "no zone: write 2026-12-24T00:00Z for UTC"),
        (["exempt", SERVER, "--owner", "ben", "--until", "9999-12-31T23:59-23:00"], "beyond the calendar in UTC"),
        (["exempt", SERVER, "--owner", "ben", "--until", "soon"], "'soon' is no instant"),
        (["exempt", SERVER, "--owner", "ben", "--days", "367"], "less than or equal to 366"),
        (["exempt", "192.0.2.0/24", "--lift"], "192.0.2.0/24 is no address; one address is meant"),
        (["exempt", "2001:db8::/48", "--lift"], "2001:db8::/48 is no address"),
        (["mode", "watch"], "watch"),
        (["mode", "observe", "--connector", "c" * 41], "connector"),
        (["correct", NEVER_SEEN, "--lift"], "no server never.seen"),
    ],
)
def test_what_cannot_be_asked_is_one_sentence(shell: Shell, arguments: list[str], told: str) -> None:
    """What, where, what to do; nothing is published."""
    why = [] if "--why" in arguments else ["--why", "x"]
    assert told in shell.refused(*arguments, "--who", "anna", *why)


@pytest.mark.parametrize(
    ("name", "account"),
    [
        ("it", "it"),
        (SERVER, SERVER),
        (PEER, SERVER),
        (BRANCH, "it"),
        ("198.51.100.7", "it"),
    ],
)
def test_a_pause_is_of_an_account(shell: Shell, name: str, account: str) -> None:
    """An owner's name is one; a server in his connector is his; one on the internet is its own."""
    [paused] = shell.asks("pause", name, "--days", "5")
    assert isinstance(paused, PauseAccount)
    assert (paused.account, paused.days) == (account, 5)
    [resumed] = shell.asks("resume", name)
    assert isinstance(resumed, ResumeAccount)
    assert resumed.account == account


def test_a_pause_may_name_cases(shell: Shell) -> None:
    """Their accounts are meant; two of one account are one."""
    number = shell.number(BRANCH, E2007)
    assert [fields(one)["account"] for one in shell.asks("pause", number, shell.number(), "--days", "1")] == [
        "it",
        SERVER,
    ]
    assert "named twice" in shell.refused("pause", number, BRANCH, "--days", "1", *WHO)


@pytest.mark.parametrize(
    ("name", "kind", "target"),
    [
        (SERVER, "server", SERVER),
        ("mx.firm.example", "server", "mx.firm.example"),
        (PEER, "peer", PEER),
        ("2001:db8:12:34::25", "peer", "2001:db8:12:34::/64"),
        ("2001:db8:12:34::/64", "peer", "2001:db8:12:34::/64"),
        ("branch", "connector", "branch"),
        ("{case}", "server", SERVER),
    ],
)
def test_an_exemption_is_for_what_its_name_looks_like(shell: Shell, name: str, kind: str, target: str) -> None:
    """Server, address, connector, or a case's server; --days count from now, --until has its zone, --lift names nobody."""
    what = name.format(case=shell.number())
    who = ["--owner", "ben"]
    [request] = shell.asks("exempt", what, "--until", "2026-12-24T18:00+01:00", *who)
    until = datetime(2026, 12, 24, 17, tzinfo=UTC)
    assert fields(request) == {"kind": kind, "target": target, "owner": "ben", "until": until}
    [request] = shell.asks("exempt", what, "--days", "3", *who)
    assert isinstance(request, SetExemption)
    assert request.until == shell.world.now + timedelta(days=3)
    [request] = shell.asks("exempt", what, "--lift")
    assert fields(request) == {"kind": kind, "target": target, "owner": "anna", "until": None}


def test_a_connector_that_looks_like_a_number_and_is_no_case_is_told(shell: Shell) -> None:
    """A number is a case's."""
    assert "opened no case" in shell.refused("exempt", "42000", "--lift", *WHO)


def test_the_mode_of_all_or_of_a_connector(shell: Shell) -> None:
    """Both ways."""
    assert [fields(one) for one in shell.asks("mode", "observe")] == [{"connector": "", "mode": "observe"}]
    [request] = shell.asks("mode", "enforce", "--connector", "branch", "--yes")
    assert isinstance(request, SetMode)
    assert fields(request) == {"connector": "branch", "mode": "enforce"}


def test_a_correction_is_lifted_for_a_server(shell: Shell) -> None:
    """By its id, or by a case of it."""
    for name in (SERVER, PEER, shell.number()):
        [request] = shell.asks("correct", name, "--lift")
        assert isinstance(request, LiftStruck)
        assert request.server == SERVER

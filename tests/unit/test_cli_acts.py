"""The acts by the command line: what each asks for, and what it tells. State, log and law are a world in memory."""

from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import msgspec
import pytest

from services.cli import common
from services.cli.__main__ import run
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
from tests.support.cli_world import CliWorld, put_below
from tests.support.scenario import E2007, E2016, FLOOR_2016, NAME, PEER, SERVER, World, reading

BRANCH = f"{NAME}@branch"
WHO = ["--who", "anna", "--why", "test"]
NEVER_SEEN = "never.seen.example@192.0.2.9"


class Told(NamedTuple):
    """What a command did, and told."""

    code: int
    out: str
    err: str


class Shell:
    """Commands over a world with three cases: one on the internet, two (of one server) in the branch."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self.world = World()
        self.world.open_case()
        self.world.open_case(peer="198.51.100.7")
        self.world.open_case(reading(E2007, None), peer="198.51.100.7")
        self.bus = CliWorld(self.world)
        self._capsys = capsys

    def patchgate(self, *arguments: str) -> Told:
        """Run one command."""
        code = run(arguments)
        told = self._capsys.readouterr()
        return Told(code, told.out, told.err)

    def asks(self, *arguments: str) -> list[AnyRequest]:
        """What a command asks for, whatever the law says of it."""
        self.bus.asked.clear()
        self.patchgate(*arguments, *WHO)
        return self.bus.asked

    def number(self, server: str = SERVER, product: str = E2016) -> str:
        """The number of a case."""
        case = self.world.fold.servers[server].case_of(product)
        assert case is not None
        return str(case.opened_seq)

    def refused(self, *arguments: str) -> str:
        """The one line of a command that asks for nothing."""
        self.bus.asked.clear()
        told = self.patchgate(*arguments)
        assert told.code in {1, 2}
        assert told.err.startswith("patchgate: ")
        assert told.err.count("\n") == 1
        assert not told.out
        assert not self.bus.asked
        return told.err


@pytest.fixture
def shell(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Shell:
    """Lend one; the commands go by the world's clock."""
    made = Shell(capsys)
    put_below(monkeypatch, made.bus)
    for module in ("act_asking", "acts", "account", "explain"):
        monkeypatch.setattr(f"services.cli.{module}.open_clock", lambda _: Now(made.world))
    return made


class Now:
    """The world's clock."""

    def __init__(self, world: World) -> None:
        self._world = world

    def now(self) -> datetime:
        """Its instant."""
        return self._world.now


def fields(request: AnyRequest) -> dict[str, Any]:
    """The fields that are the act's own."""
    shared = {"id", "who", "why", "made_at", "as_owner"}
    return {name: value for name, value in msgspec.structs.asdict(request).items() if name not in shared}


# --- what is asked -------------------------------------------------------------------------------------------------


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
    [request] = shell.asks("mode", "enforce", "--connector", "branch")
    assert isinstance(request, SetMode)
    assert fields(request) == {"connector": "branch", "mode": "enforce"}


def test_a_correction_is_lifted_for_a_server(shell: Shell) -> None:
    """By its id, or by a case of it."""
    for name in (SERVER, PEER, shell.number()):
        [request] = shell.asks("correct", name, "--lift")
        assert isinstance(request, LiftStruck)
        assert request.server == SERVER


# --- the account ---------------------------------------------------------------------------------------------------


def test_an_account_is_a_statement(shell: Shell) -> None:
    """Before, during and after a pause; by the owner, his server or his case; for scripts."""
    assert "It is not paused." in (told := shell.patchgate("account", "it").out)
    assert "no pause in this year or the last" in told
    assert "2026: 0 of 90 days used, 90 left." in told
    shell.patchgate("pause", "it", "--days", "40", *WHO)
    told = shell.patchgate("account", BRANCH).out
    assert "Pause account of it. It is paused until 2027-01-03 00:00 UTC." in told
    assert "  2026-11-24 to 2027-01-02: 40 days used, running" in told
    assert "2026: 38 of 90 days used, 52 left." in told
    assert "2027: 2 of 90 days used, 88 left." in told
    shell.world.pass_time(timedelta(days=1))
    assert "paused already" in shell.patchgate("pause", "it", "--days", "1", *WHO).err
    assert "is over" in shell.patchgate("resume", "it", *WHO).out
    told = shell.patchgate("account", shell.number(BRANCH, E2007)).out
    assert "2 days used, 38 given back" in told
    assert "2026: 2 of 90 days used, 88 left." in told
    assert "2027: 0 of 90 days used, 90 left." in told
    found = msgspec.json.decode(shell.patchgate("account", "it", "--json").out)
    assert (found["account"], found["pauses"][0]["came_back"], found["years"][0]["left"]) == ("it", 38, 88)
    assert "no connector is owned by 'nobody'" in shell.refused("account", "nobody")


# --- what is told --------------------------------------------------------------------------------------------------


def test_done_is_told_with_the_record_and_the_laws_words(shell: Shell) -> None:
    """On stdout, code 0; and for scripts."""
    number = shell.number()
    told = shell.patchgate("dispute", number, *WHO)
    seq = next(
        record.seq
        for record, _ in reversed(shell.world.log)
        if record.event.__struct_config__.tag == "request-decided.v1"
    )
    assert told.code == 0, told
    assert told.out.startswith(f"Dispute of case {number} ({SERVER}): done (log record {seq}): mail passes")
    answer = msgspec.json.decode(shell.patchgate("resolve", number, "rejected", "--json", *WHO).out)
    assert answer["outcome"] == "done"
    assert answer["act"] == "resolve.v1"
    assert answer["what"] == f"Resolution (rejected) of case {number} ({SERVER})"
    assert answer["seq"] > seq


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["pause", SERVER, "--days", "2"], f"Pause of {SERVER} for 2 days: done (log record "),
        (["pause", "it", "--days", "1"], "Pause of it for 1 day: done (log record "),
        (["resume", "it"], "End of the pause of it: no effect (log record "),
        (
            ["exempt", SERVER, "--days", "3", "--owner", "ben"],
            f"Exemption until 2026-11-27 17:00 UTC of server {SERVER}: done",
        ),
        (["exempt", "branch", "--lift"], "End of the exemption of connector branch: no effect"),
        (["mode", "observe"], "Mode observe for the whole policy: done"),
        (["mode", "observe", "--connector", "branch"], "Mode observe for connector branch: done"),
        (["acknowledge", SERVER], f"({SERVER}): done (log record"),
        (["sign", SERVER], "Signature for stage 5 of case"),
        (["correct", SERVER], f"({SERVER}): done (log record"),
        (["correct", SERVER, "--lift"], f"End of the correction of {SERVER}: no effect"),
    ],
)
def test_each_act_tells_what_it_did(shell: Shell, arguments: list[str], told: str) -> None:
    """By the law itself, code 0."""
    done = shell.patchgate(*arguments, *WHO)
    assert (done.code, done.err) == (0, "")
    assert told in done.out


@pytest.mark.parametrize(
    "arguments",
    [
        ["pause", SERVER, "--days", "2"],
        ["resume", SERVER],
        ["dispute", SERVER],
        ["acknowledge", SERVER],
    ],
)
def test_an_owner_is_refused_what_is_not_his(shell: Shell, arguments: list[str]) -> None:
    """The law says so, on record; what is his own is done."""
    told = shell.patchgate(*arguments, "--as-owner", "it", *WHO)
    assert told.code == 1
    assert "refused (log record" in told.err
    assert shell.patchgate("dispute", shell.number(BRANCH), "--as-owner", "it", *WHO).code == 0


@pytest.mark.parametrize(
    "arguments",
    [
        ["exempt", BRANCH, "--days", "3", "--owner", "ben"],
        ["resolve", BRANCH, "upheld"],
        ["correct", BRANCH],
        ["mode", "observe"],
        ["sign", BRANCH],
    ],
)
def test_what_no_owner_may_do_cannot_be_asked_in_his_name(shell: Shell, arguments: list[str]) -> None:
    """The law refuses it whatever it is about, so the command has no such option; nothing is asked."""
    assert "No such option: --as-owner" in shell.refused(*arguments, "--as-owner", "it", *WHO)
    assert shell.patchgate(arguments[0], "--help").out.count("--as-owner") == 0


def test_no_effect_is_no_failure(shell: Shell) -> None:
    """Code 0: the world is as was asked."""
    told = shell.patchgate("resolve", SERVER, "rejected", *WHO)
    assert told.code == 0
    assert "no effect (log record" in told.out
    assert "no dispute of the case is open" in told.out


def test_refused_is_one_line_and_code_1(shell: Shell) -> None:
    """With the record and the reason; --json tells it on stdout as well."""
    shell.patchgate("dispute", SERVER, *WHO)
    told = shell.patchgate("dispute", SERVER, *WHO)
    assert (told.code, told.out) == (1, "")
    assert told.err.count("\n") == 1
    assert f"Dispute of case {shell.number()} ({SERVER}): refused (log record" in told.err
    told = shell.patchgate("dispute", SERVER, *WHO, "--json")
    assert told.code == 1
    assert msgspec.json.decode(told.out)["outcome"] == "refused"


def test_of_several_each_is_told(shell: Shell) -> None:
    """Those that went on stdout, the others in the one line of the error; a line of JSON each."""
    first, second = shell.number(), shell.number(BRANCH, E2007)
    shell.patchgate("dispute", first, *WHO)
    told = shell.patchgate("dispute", first, second, *WHO)
    assert told.code == 1
    assert told.out.startswith(f"Dispute of case {second}")
    assert f"Dispute of case {first} ({SERVER}): refused" in told.err
    lines = shell.patchgate("dispute", first, second, *WHO, "--json").out.splitlines()
    assert [msgspec.json.decode(line)["what"].split()[3] for line in lines] == [first, second]


def test_without_an_enforcer_the_request_stands_and_is_found_later(shell: Shell) -> None:
    """Code 1, with the id; `request` tells that it waits, then what became of it, then that it came once more."""
    shell.bus.away = True
    told = shell.patchgate("dispute", SERVER, "--id", "my-own-id-1", "--wait", "0", *WHO)
    assert (told.code, told.out) == (1, "")
    assert "not decided within 0 s" in told.err
    assert "counts for 24 hours" in told.err
    assert "`patchgate request my-own-id-1` tells" in told.err
    waits = shell.patchgate("request", "my-own-id-1")
    assert waits.code == 0
    assert "my-own-id-1: dispute.v1, asked by anna" in waits.out
    assert "not decided yet" in waits.out
    shell.world.take(shell.bus.asked[0])
    assert "Z: done (log record" in shell.patchgate("request", "my-own-id-1").out
    shell.world.take(shell.bus.asked[0])
    became = msgspec.json.decode(shell.patchgate("request", "my-own-id-1", "--json").out)
    assert (became["outcome"], became["again"], became["who"]) == ("done", 1, "anna")
    assert "asked 1 more time since" in shell.patchgate("request", "my-own-id-1").out
    assert "no request my-own-id stands in the log" in shell.refused("request", "my-own-id")


# --- explain CASE --------------------------------------------------------------------------------------------------


def test_a_case_is_explained_by_its_number(shell: Shell) -> None:
    """As its server is; with its history from its opening on, acts and what they brought, and no other case's."""
    number, other = shell.number(BRANCH, E2007), shell.number(BRANCH)
    shell.patchgate("dispute", number, *WHO)
    shell.patchgate("dispute", other, *WHO)
    told = shell.patchgate("explain", number)
    assert told == shell.patchgate("explain", BRANCH)
    told = shell.patchgate("explain", number, "--history")
    assert told.code == 0, told
    history = told.out[: told.out.index("Its server now:")]
    assert f"Case {number} about {E2007}, of {BRANCH}: it is open." in history
    assert f"case opened about {E2007} (log seq {number})" in history
    assert history.count("dispute asked by anna: done, mail passes") == 1
    assert E2016 not in history
    assert history.count("  held: its admin disputes it") == 1
    assert f"Case {number} about {E2007}: it" in told.out
    assert f"Case {other} about {E2016}: it" in told.out


def test_a_case_that_is_over_is_explained_up_to_its_end(shell: Shell) -> None:
    """What came later is another case's."""
    number = shell.number()
    shell.world.see(reading(build=FLOOR_2016))
    shell.world.pass_time(timedelta(days=2))
    shell.world.open_case()
    found = msgspec.json.decode(shell.patchgate("explain", number, "--json").out)
    assert (found["case"], found["server"], found["over"]) == (int(number), SERVER, True)
    kinds = [step["kind"] for step in found["steps"]]
    assert [kinds[0], kinds[-1]] == ["case-opened.v1", "case-ended.v1"]
    assert "case-released.v1" in kinds
    assert found["explanation"]["cases"][0]["opened_seq"] > found["steps"][-1]["seq"]
    assert "it is over" in shell.patchgate("explain", number).out


def test_a_number_that_is_no_case_may_be_a_queue_id(shell: Shell) -> None:
    """Digits only are rare in those; then both are told."""
    assert "no edge told of a refusal of 2 in the last 14 days" in (told := shell.refused("explain", "2"))
    assert "it is no case's number" in told
    assert "case's number" not in shell.refused("explain", "4bXk2P0qZ1z9")

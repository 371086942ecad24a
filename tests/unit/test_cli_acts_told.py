"""The acts by the command line: what they tell, of accounts and cases, too. State, log and law are a world in memory."""

from datetime import timedelta

import msgspec
import pytest

from tests.support.cli_shell import BRANCH, WHO, Shell, shell_over
from tests.support.scenario import E2007, E2016, FLOOR_2016, SERVER, reading


@pytest.fixture
def shell(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Shell:
    """Lend one."""
    return shell_over(capsys, monkeypatch)


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

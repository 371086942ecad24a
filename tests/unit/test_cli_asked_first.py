"""What lets mail be slowed or refused from then on is told first and asked for: `mode enforce` and `unfreeze`."""

from datetime import timedelta

import msgspec
import pytest

from services.cli.common import CommandError
from shared.domain.policy import Policy
from shared.domain.records import SetFreeze, SetMode
from tests.support.cli_shell import WHO, Shell, Typed, shell_over
from tests.support.scenario import policy_for

ENFORCE = ["mode", "enforce", *WHO]
UNFREEZE = ["unfreeze", *WHO]
QUESTIONS = [
    (ENFORCE, SetMode, "Enforce it?"),
    ([*ENFORCE, "--connector", "branch"], SetMode, "Enforce it?"),
    (UNFREEZE, SetFreeze, "Lift the freeze?"),
]


@pytest.fixture
def shell(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Shell:
    """A world that only observes."""
    return shell_over(capsys, monkeypatch, policy_for("observe"))


@pytest.mark.parametrize(("arguments", "kind", "question"), QUESTIONS)
def test_where_nobody_can_be_asked_a_yes_must_be_said(
    shell: Shell, arguments: list[str], kind: type, question: str
) -> None:
    """One sentence that names --yes, and nothing is asked for; with it nothing is told first."""
    assert "say --yes where nobody can be asked" in shell.refused(*arguments)
    told = shell.patchgate(*arguments, "--yes")
    assert (told.code, told.err) == (0, "")
    assert [type(one) for one in shell.bus.asked] == [kind]
    assert question not in told.out


@pytest.mark.parametrize(("arguments", "kind", "question"), QUESTIONS)
def test_at_a_terminal_a_no_sends_nothing_and_a_yes_does(
    shell: Shell, monkeypatch: pytest.MonkeyPatch, arguments: list[str], kind: type, question: str
) -> None:
    """The question is on stderr, where no script reads the answer."""
    for typed, code, asked in (("n\n", 1, []), ("", 1, []), ("y\n", 0, [kind])):
        monkeypatch.setattr("sys.stdin", Typed(typed))
        told = shell.patchgate(*arguments, "--json")
        assert told.code == code
        assert question in told.err
        assert ("nothing was changed" in told.err) is (not asked)
        assert [type(one) for one in shell.bus.asked] == asked
        assert told.out.count("\n") == len(asked)


@pytest.mark.parametrize("arguments", [["mode", "observe"], ["freeze"]])
def test_what_only_spares_is_done_at_once(shell: Shell, arguments: list[str]) -> None:
    """Without a question, and without a terminal."""
    told = shell.patchgate(*arguments, *WHO)
    assert (told.code, told.err) == (0, "")
    assert len(shell.bus.asked) == 1


def connectors(internet: str, branch: str, mode: str = "enforce") -> Policy:
    """A policy in *mode*, whose connectors have modes of their own."""
    policy = policy_for(mode)
    both = zip(policy.connectors, (internet, branch), strict=True)
    return msgspec.structs.replace(policy, connectors=tuple(msgspec.structs.replace(one, mode=of) for one, of in both))


@pytest.mark.parametrize(
    ("policy", "arguments", "told"),
    [
        (policy_for("observe"), [], ["Enforced from then on: internet, branch.", "begin at day 0: 3,"]),
        (connectors("observe", "enforce", "observe"), [], ["Enforced from then on: branch.", "begin at day 0: 2,"]),
        (connectors("enforce", "observe"), ["--connector", "branch"], ["then on: branch.", "begin at day 0: 2,"]),
        (connectors("observe", "observe", "observe"), [], ["Nothing begins yet", "mode of every connector is observe"]),
        (connectors("enforce", "observe", "observe"), ["--connector", "branch"], ["Nothing begins yet", "whole policy"]),
        (policy_for(), [], ["Nothing begins: that is enforced already."]),
        (policy_for(), ["--connector", "branch"], ["Nothing begins: that is enforced already."]),
        (policy_for(), ["--connector", "branhc"], ["Nothing begins: the policy names no connector 'branhc'."]),
    ],
)  # fmt: skip
def test_what_enforcing_begins_is_told(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    policy: Policy,
    arguments: list[str],
    told: list[str],
) -> None:
    """Where, how many open cases, and from which day on mail is slowed and refused; or why nothing begins."""
    shell = shell_over(capsys, monkeypatch, policy)
    monkeypatch.setattr("sys.stdin", Typed("n\n"))
    text = shell.patchgate(*ENFORCE, *arguments).err
    assert [one for one in told if one not in text] == [], text
    begins = "slowed from day 30 on, and refused from day 60 on at the earliest"
    assert (begins in text) is ("begin at day 0" in text)


def test_as_many_cases_begin_as_were_told(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    """The law counts them no other way."""
    monkeypatch.setattr("sys.stdin", Typed("y\n"))
    assert "begin at day 0: 3," in shell.patchgate(*ENFORCE).err
    assert sum(record.event.__struct_config__.tag == "clock-started.v1" for record, _ in shell.world.log) == 3


@pytest.mark.parametrize(
    ("stages", "told"),
    [
        ({"throttle_minutes_per_hour": 5}, "slowed from day 9 on."),
        ({"block_minutes_per_hour": 5}, "Their mail is refused from day 9 on at the earliest."),
        ({}, "No stage of the policy slows or refuses mail."),
    ],
)
def test_what_the_stages_never_do_is_not_told(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, stages: dict[str, int], told: str
) -> None:
    """Of a policy that reports, and has one stage more at most."""
    policy = policy_for("observe")
    reports = policy.stages[0]
    second = (msgspec.structs.replace(reports, from_day=9, **stages),) if stages else ()
    shell = shell_over(capsys, monkeypatch, msgspec.structs.replace(policy, stages=(reports, *second)))
    monkeypatch.setattr("sys.stdin", Typed("n\n"))
    assert told in shell.patchgate(*ENFORCE).err


def test_what_lifting_a_freeze_begins_is_told(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """How many cases were slowed and refused when it began."""
    shell = shell_over(capsys, monkeypatch)
    shell.world.pass_time(timedelta(days=35))
    shell.patchgate("freeze", *WHO)
    monkeypatch.setattr("sys.stdin", Typed("n\n"))
    text = shell.patchgate(*UNFREEZE).err
    assert "slows and refuses again at once, and every case ages again" in text
    assert "mail is slowed: 3; refused in a part of each hour: 0; refused always: 0." in text


def test_a_freeze_is_lifted_also_where_nothing_is_known(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    """No enforcer has written yet; the edges obey all the same."""

    async def nothing(*_: object, **__: object) -> None:
        raise CommandError("nothing is known yet")

    monkeypatch.setattr("services.cli.what_begins.live", nothing)
    monkeypatch.setattr("sys.stdin", Typed("y\n"))
    told = shell.patchgate(*UNFREEZE)
    assert told.code == 0
    assert "How many cases that meets is not known: nothing is known yet." in told.err

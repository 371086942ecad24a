"""`patchgate policy` without a broker: reading a file, its complaints, and the text of a policy in force."""

import tomllib
from pathlib import Path
from typing import Any

import msgspec
import pytest

from services.cli.__main__ import run
from services.cli.common import CommandError, request_of
from services.cli.policy_diff import Diffed, diffed
from services.cli.policy_text import policy_text
from shared.domain import events as e
from shared.domain.answer import Answer
from shared.domain.policy import (
    Caps,
    Connector,
    Disputes,
    Pauses,
    Protected,
    Relapses,
    parse_policy,
    shipped_policy_text,
)
from shared.domain.records import SetFreeze
from tests.support.cli_shell import Typed
from tests.support.scenario import START, World, policy_for


@pytest.mark.parametrize("mode", ["observe", "enforce"])
def test_the_text_of_a_policy_reads_back_to_the_same_policy(mode: str) -> None:
    """So that `show`, an editor and `adopt` follow each other; odd texts included."""
    odd = Connector(name="odd", kind="partner", owner='a "b" \\ ü', tls_names=("mx.example",))
    policy = policy_for(mode, version=7)
    policy = msgspec.structs.replace(policy, connectors=(*policy.connectors, odd))
    assert parse_policy(policy_text(policy)) == policy
    clinics = Protected(title="Clinics", domains=("clinic.example",), connectors=("odd",))
    policy = msgspec.structs.replace(policy, caps=None, protected=(clinics, clinics))
    assert parse_policy(policy_text(policy)) == policy


def test_the_text_of_a_policy_with_control_characters_is_toml() -> None:
    """An older patchgate may have adopted one: it is shown as it stands, and `check` then names what must go."""
    odd = Connector(name="odd", kind="partner", owner="a\x7f\t\x1bb", tls_names=("mx.example",))
    policy = policy_for("observe", version=7)
    text = policy_text(msgspec.structs.replace(policy, connectors=(*policy.connectors, odd)))
    assert tomllib.loads(text)["connectors"][-1]["owner"] == odd.owner
    assert [one for one in text if one != "\n" and not one.isprintable()] == []


def test_check_says_what_a_good_file_holds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In a sentence, and for scripts."""
    file = tmp_path / "policy.toml"
    file.write_text(policy_text(policy_for("enforce", version=3)))
    assert run(["policy", "check", str(file)]) == 0
    out = capsys.readouterr().out
    assert "enforced for internet, branch" in out
    assert out.splitlines()[-1].split()[:4] == ["8", "90", "0", "60"]
    assert out.count("100.0") == 4
    assert run(["policy", "check", str(file), "--json"]) == 0
    told = msgspec.json.decode(capsys.readouterr().out)
    assert (told["ok"], told["version"], told["enforced_connectors"]) == (True, 3, ["internet", "branch"])
    assert [[cost["retry_minutes"] for cost in stage["costs"]] for stage in told["mail"]] == [[5, 15, 30, 60]] * 8


_PLAIN: tuple[tuple[dict[str, Any], list[str]], ...] = (
    (
        {},
        [
            "Caps: on one UTC day at most 5 cases, or 1 in 100 of the open ones where that is more, begin to be refused; the others wait, first due first.",
            "Pauses: each owner has 90 days a calendar year.",
            "Disputes: a case stands at most 14 days while no operator decides.",
            "Relapses: below the floor again within 30 days after a release, a case goes on where it stood; seen below and at the floor by turns, it stands at most 14 days.",
            "Protected: nobody.",
        ],
    ),
    (
        {
            "caps": Caps(newly_blocked_per_day=7, newly_blocked_percent_of_open_cases=0),
            "pauses": Pauses(days_per_year=0),
            "disputes": Disputes(days=1),
            "relapses": Relapses(days=0),
            "protected": (
                Protected(
                    title="Clinics", domains=tuple(f"{name}.example" for name in "abcdef"), connectors=("branch",)
                ),
                Protected(title="The branch", connectors=("branch",)),
            ),
        },
        [
            "Caps: on one UTC day at most 7 cases begin to be refused; the others wait, first due first.",
            "Pauses: nobody may pause.",
            "Disputes: a case stands at most 1 day while no operator decides.",
            "Relapses: each new case begins at day 0; seen below and at the floor by turns, it stands at most 14 days.",
            "Protected: Clinics (a.example, b.example, c.example, d.example, e.example and 2 more); The branch (branch): each blocking step needs the signature of an operator.",
        ],
    ),
    ({"caps": None}, ["Caps: none; on one day as many cases may begin to be refused as fall due."]),
)


@pytest.mark.parametrize(("changes", "told"), _PLAIN)
def test_check_says_in_plain_words_how_fast_and_who_is_spared(
    changes: dict[str, Any], told: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A number of the policy is a sentence before it is signed for; scripts get the numbers."""
    file = tmp_path / "policy.toml"
    policy = policy_for("enforce", **changes)
    file.write_text(policy_text(policy))
    assert run(["policy", "check", str(file)]) == 0
    lines = capsys.readouterr().out.splitlines()
    begin = next(number for number, line in enumerate(lines) if line.startswith("Caps: "))
    assert lines[begin : begin + len(told)] == told
    assert run(["policy", "check", str(file), "--json"]) == 0
    answer = msgspec.json.decode(capsys.readouterr().out)
    assert answer.get("caps") == msgspec.to_builtins(policy.caps)
    assert answer["pauses"] == msgspec.to_builtins(policy.pauses)
    assert len(answer.get("protected", ())) == len(policy.protected)


def test_check_lists_every_error_with_file_and_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As compilers do, so that editors jump there; one line on stderr says why it cannot be used."""
    file = tmp_path / "policy.toml"
    file.write_text(shipped_policy_text().replace("salt =", "sallt =").replace("expire_days = 60", "expire_days = 0"))
    assert run(["policy", "check", str(file)]) == 1
    told = capsys.readouterr()
    assert [line.split(": ")[:3] for line in told.out.splitlines()] == [
        [f"{file}:1", "error", "salt"],
        [f"{file}:15", "error", "sallt"],
        [f"{file}:26", "error", "expire_days"],
    ]
    assert told.err == f"patchgate: {file}:1: salt: is missing (and 2 more: `patchgate policy check` lists them)\n"
    assert run(["policy", "check", str(file), "--json"]) == 1
    answer = msgspec.json.decode(capsys.readouterr().out)
    assert not answer["ok"]
    assert [found["line"] for found in answer["findings"]] == [1, 15, 26]


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("release_hours = 24", "release_hours = 0", "release_hours"),
        ("version = 1", "version =", "not TOML"),
        ("from_day = 30", "from_day = 45", "from_day must rise"),
        ("throttled for {minutes} mins/hr.", "throttled\\r\\nfor {minutes} mins/hr.", "replies.throttle"),
    ],
)
def test_check_and_adopt_refuse_a_bad_file_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], old: str, new: str, complaint: str
) -> None:
    """Before anything is sent: no broker is asked."""
    text = shipped_policy_text()
    assert old in text
    file = tmp_path / "policy.toml"
    file.write_text(text.replace(old, new, 1))
    for arguments in (
        ["policy", "check", str(file)],
        ["policy", "adopt", str(file), "--who", "a", "--why", "b", "--yes"],
    ):
        assert run(arguments) == 1
        error = capsys.readouterr().err
        assert complaint in error
        assert error.count("\n") == 1


def test_a_file_that_is_not_there_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With its name."""
    assert run(["policy", "check", str(tmp_path / "none.toml")]) == 1
    assert "none.toml cannot be read" in capsys.readouterr().err


def test_adopt_asks_for_a_yes_where_nobody_can_be_asked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A script must say that it means it."""
    file = tmp_path / "policy.toml"
    file.write_text(shipped_policy_text())
    assert run(["policy", "adopt", str(file), "--who", "a", "--why", "b"]) == 1
    assert "say --yes" in capsys.readouterr().err


def test_adopt_shows_what_would_change_and_a_no_sends_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The question comes behind the diff; without a broker nothing could have been sent."""
    found = diffed(policy_for(), policy_for(version=2), (), servers=7, refusals_a_day={})

    async def answer(*_: object) -> Diffed:
        return found

    monkeypatch.setattr("services.cli.policy._diff", answer)
    monkeypatch.setattr("sys.stdin", Typed("n\n"))
    file = tmp_path / "policy.toml"
    file.write_text(policy_text(policy_for(version=2)))
    assert run(["policy", "adopt", str(file), "--who", "a", "--why", "b"]) == 1
    told = capsys.readouterr().err
    assert told.index("7 servers compared") < told.index("Adopt it?") < told.index("nothing was changed")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [(["a", "b", "c"], "two with each other"), ([], "Missing argument"), (["{file}", "--on", "soon"], "is no day")],
)
def test_diff_takes_one_policy_or_two(
    arguments: list[str], told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Another number of them, or a day that is none, is a wrong command line."""
    file = tmp_path / "policy.toml"
    file.write_text(shipped_policy_text())
    assert run(["policy", "diff", *(one.format(file=file) for one in arguments)]) == 2
    assert told in capsys.readouterr().err


def test_a_request_is_checked_before_it_is_sent() -> None:
    """The enforcer would not be able to read it."""
    fields: dict[str, object] = {"id": "freeze-01", "why": "", "made_at": START, "frozen": True}
    assert request_of(SetFreeze, who="ops", **fields).frozen
    with pytest.raises(CommandError, match="who"):
        request_of(SetFreeze, who="", **fields)


def test_an_answer_tells_what_the_log_says() -> None:
    """Done, refused with the reason, or nothing yet."""
    world = World(policy_for("observe"))
    world.adopt(policy_for(version=2), "request-1")
    world.adopt(policy_for(version=2), "request-2")
    done, refused = (
        record
        for record, _ in world.log
        if isinstance(record.event, e.PolicyAdopted | e.RequestDecided) and record.cause
    )
    assert Answer.of("request-1", done) == Answer(id="request-1", outcome="done", seq=done.seq)
    told = Answer.of("request-2", refused)
    assert (told.outcome, told.seq) == ("refused", refused.seq)
    assert "must be above 2" in told.reason
    assert Answer.of("request-3", None).outcome == "none yet"

"""`audit verify` says what it proved and no more: of old rules, of a missing seal, of a head that was noted."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from services.cli.__main__ import run
from shared.domain import events as e
from shared.domain.fold import RULES
from shared.domain.verify import seal
from tests.support import golden
from tests.support.scenario import World, policy_for


@pytest.fixture(scope="module")
def stored() -> list[bytes]:
    """The records of a log of today's rules."""
    world = World(policy_for())
    world.open_case()
    return [one for _, one in world.log]


@pytest.fixture
def verify(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., Any]:
    """Run the command on these bytes; code, out, err, and JSON."""

    def of(content: bytes, *more: str) -> Any:
        file = tmp_path / "log.jsonl"
        file.write_bytes(content)
        code = run(["audit", "verify", str(file), *more])
        told = capsys.readouterr()
        assert run(["audit", "verify", str(file), *more, "--json"]) == code
        out = capsys.readouterr().out
        return SimpleNamespace(code=code, out=told.out, err=told.err, json=msgspec.json.decode(out) if out else None)

    return of


def sealed(stored: list[bytes]) -> bytes:
    """An export."""
    return b"\n".join([*stored, seal(len(stored), e.chain(stored[-1]))]) + b"\n"


# --- older rules -----------------------------------------------------------------------------------------------------


def test_a_log_of_older_rules_alone_is_whole_and_not_all_right(verify: Callable[..., Any]) -> None:
    """The verdict itself says that nothing was decided again, and from which record on."""
    count = len(golden.stored_of(1))
    found = verify(sealed(golden.stored_of(1)))
    assert found.code == 0
    verdict = found.out.splitlines()[-1]
    assert verdict == (
        f"Whole. Records 1 to {count} were decided by older rules (1; this patchgate has {RULES}) and were not decided again. "
        "Not one decision was: to have them decided again, audit with the patchgate that has those rules."
    )
    assert "All right" not in found.out
    assert (found.json["ok"], found.json["verdict"]) == (True, verdict)
    assert found.json["log"]["decided_again"] == 0
    assert found.json["log"]["other_rules"] > 900


def test_a_log_that_went_over_to_todays_rules_says_which_part_was_left_out(
    verify: Callable[..., Any], stored: list[bytes]
) -> None:
    """And where there is no such part, all is right."""
    old = len(golden.stored_of(1))
    found = verify(sealed([*golden.stored_of(1), *_epoch(golden.stored_of(1)[-1])]))
    verdict = found.out.splitlines()[-1]
    assert found.code == 0
    assert verdict.startswith(f"Whole. Records 1 to {old} were decided by older rules (1; this patchgate has {RULES}) ")
    found = verify(sealed(stored))
    assert (found.code, found.out.splitlines()[-1], found.json["verdict"]) == (0, "All right.", "All right.")


def _epoch(last: bytes) -> list[bytes]:
    """Today's rules take over."""
    before = e.decode_log(last)
    adopted = e.LogRecord(
        seq=before.seq + 1,
        at=before.at,
        due=None,
        h=before.h,
        prev=e.chain(last),
        cause=None,
        event=e.RulesAdopted(rules=RULES, version="today"),
    )
    return [e.encode_log(adopted)]


# --- head and seal ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cut", [0, 1, 30, -1], ids=["missing", "one byte", "half", "no line end"])
def test_a_missing_seal_is_called_so(cut: int, verify: Callable[..., Any], stored: list[bytes]) -> None:
    """No record is wrong, and no head is to be noted."""
    body, end = b"\n".join(stored) + b"\n", seal(len(stored), e.chain(stored[-1])) + b"\n"
    found = verify(body + end[:cut])
    assert found.code == 1
    assert found.err == (
        f"patchgate: audit: the export does not end with its seal: the {len(stored)} records that are there are right, and others may"
        " have been cut off behind them; export it again\n"
    )
    assert "Head:" not in found.out
    assert f"{len(stored)} records follow each other" in found.out
    assert (found.json["ok"], found.json["log"]["first_wrong_seq"]) == (False, None)
    assert found.json["log"]["records"] == len(stored)


def test_a_cut_or_wrong_last_record_is_still_named(verify: Callable[..., Any], stored: list[bytes]) -> None:
    """Cut off in it; changed, with and without a seal; nothing there at all."""
    found = verify(b"\n".join(stored)[:-20])
    assert f"the first wrong record is {len(stored)}: the export does not end with its seal" in found.err
    wrong = stored[-1].replace(b'"prev":"', b'"prev":"0', 1)
    found = verify(b"\n".join([*stored[:-1], wrong]) + b"\n")
    assert f"the first wrong record is {len(stored)}: its hash of the record before does not fit" in found.err
    assert "Head:" not in found.out
    found = verify(b"")
    assert (found.code, found.err) == (1, "patchgate: audit: there is no record\n")
    assert "Head:" not in found.out


def test_the_head_is_told_where_the_log_is_whole(verify: Callable[..., Any], stored: list[bytes]) -> None:
    """So that it can be noted."""
    assert f"Head: {e.chain(stored[-1])} (note it: " in verify(sealed(stored)).out


@pytest.mark.parametrize("place", [0, 2, -1])
def test_a_head_that_was_noted_is_found(place: int, verify: Callable[..., Any], stored: list[bytes]) -> None:
    """However it is spelled; that of the last record, too."""
    found = verify(sealed(stored), "--head", e.chain(stored[place]).upper())
    seq = e.decode_log(stored[place]).seq
    assert found.code == 0
    assert f"The head noted earlier is the hash of record {seq}.\n" in found.out
    assert found.json["log"]["noted_head_seq"] == seq


def test_a_log_without_the_noted_head_fails(verify: Callable[..., Any], stored: list[bytes]) -> None:
    """Written anew, or cut off before it: nothing else can tell."""
    noted = e.chain(stored[-1])
    found = verify(sealed(stored[:3]), "--head", noted)
    assert found.code == 1
    assert found.err == (
        f"patchgate: audit: no record has the noted head {noted}: the log was cut off before it or written anew, or is another one\n"
    )
    assert "All right" not in found.out
    assert (found.json["ok"], found.json["log"]["first_wrong_seq"]) == (False, None)
    assert found.json["log"]["noted_head_seq"] is None


@pytest.mark.parametrize("noted", ["", "abc", "g" * 64])
def test_a_head_that_is_none_is_refused(noted: str, verify: Callable[..., Any], stored: list[bytes]) -> None:
    """An empty variable of a script must not pass for "no head asked"."""
    found = verify(sealed(stored), "--head", noted)
    assert (found.code, found.out, found.err.count("\n")) == (2, "", 1)
    assert "64 hex digits" in found.err

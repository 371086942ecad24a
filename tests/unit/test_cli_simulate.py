"""How a made-up year is told: on the screen, as a picture, as a page; and what the command refuses."""

import json
import re
import xml.etree.ElementTree as ET
from datetime import date, timedelta
from functools import cache
from pathlib import Path

import pytest

from services.cli import __main__ as cli
from services.cli import progress
from services.cli.simulate import simulated
from services.cli.simulate_picture import page_of, picture_of
from services.cli.simulate_text import simulated_text, total
from shared.domain.policy import Policy, parse_policy, shipped_policy_text
from shared.domain.population import HABITS, first_day
from shared.domain.simulate import Simulated, everybody_enforced

BEGIN = date(2027, 1, 4)


def shipped() -> Policy:
    """The policy that ships, with everybody enforced."""
    return everybody_enforced(parse_policy(shipped_policy_text()))


@cache
def usual() -> Simulated:
    """A small year of the policy that ships."""
    return simulated(shipped(), seed=1, servers=150, days=120)


def test_the_screen_tells_each_group_and_the_days() -> None:
    """Days that were not reached are left out; the last one is always there."""
    text = "\n".join(simulated_text(usual()))
    for part in (
        "seed 1",
        "day 30",
        "day 90",
        "day 120",
        "lack notice or signature",
        *(habit.name for habit in HABITS),
    ):
        assert part in text
    assert "day 180" not in text
    assert "only observed" not in text


def test_the_picture_says_in_words_what_it_shows_and_needs_nothing_else() -> None:
    """It is well-formed, has a title and a description, knows light and dark, and names no address to fetch from."""
    drawn = picture_of(usual())
    root = ET.fromstring(drawn)  # noqa: S314 - our own
    space = "{http://www.w3.org/2000/svg}"
    assert root.find(f"{space}title") is not None
    described = root.find(f"{space}desc")
    assert described is not None
    last = total(usual().days[-1].groups.values())
    assert f"day 120: {last.warned} servers warned, {last.slowed} slowed, {last.refused} refused" in (
        described.text or ""
    )
    assert "prefers-color-scheme: dark" in drawn
    assert re.findall(r"https?://[^\"]+", drawn) == ["http://www.w3.org/2000/svg"]
    assert len([bar for bar in root.iter(f"{space}g") if bar.find(f"{space}title") is not None]) == 18 * 6


def test_the_page_holds_picture_and_tables() -> None:
    """Everything on the screen is in it, for whoever cannot see the picture."""
    page = page_of(usual())
    assert picture_of(usual()).strip() in page
    assert page.count("<table>") == 3
    assert "default-src &#x27;none&#x27;" in page
    assert "script" not in page


def run(*arguments: str) -> int:
    """The command."""
    return cli.run(["simulate", *arguments])


def test_the_command_tells_json_and_writes_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The same figures in all of them."""
    policy, page, picture = tmp_path / "policy.toml", tmp_path / "a.html", tmp_path / "a.svg"
    policy.write_text(shipped_policy_text(), encoding="utf-8")
    small = ("--servers", "30", "--days", "8", "--seed", "4", "--enforce")
    assert run(str(policy), *small, "--json", "--html", str(page), "--svg", str(picture)) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["seed"], told["servers"], len(told["days"])) == (4, 30, 8)
    assert page.read_text(encoding="utf-8").startswith("<!doctype html>")
    assert picture.read_text(encoding="utf-8").startswith("<svg")
    assert run(str(policy), *small, "--from", "2027-03-01") == 0
    assert "8 days from 2027-03-01 on, seed 4" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--servers", "0"), "--servers"),
        (("--days", "99999"), "--days"),
        (("--from", "tomorrow"), "'tomorrow' is no day"),
        (("--from", "9999-12-31"), "9999-12-31 is too late to begin on: all days must lie before the year 9900"),
        (("--from", "9899-12-31", "--days", "2"), "9899-12-31 is too late"),
        (("--svg", "/nowhere/at/all.svg"), "there is no directory /nowhere/at"),
    ],
)
def test_what_cannot_be_done_is_one_line_before_anything_is_done(
    arguments: tuple[str, ...], told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """And a policy that cannot be used is told as `check` tells it."""
    policy = tmp_path / "policy.toml"
    policy.write_text(shipped_policy_text(), encoding="utf-8")
    assert run(str(policy), *arguments) != 0
    found = capsys.readouterr()
    assert told in found.err
    assert found.err.count("\n") == 1
    assert found.out == ""


def test_a_bar_moves_while_somebody_watches(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With how much there is; and it is gone in the end."""
    monkeypatch.setattr(progress, "is_terminal", lambda: True)
    monkeypatch.setattr(progress, "_EVERY_S", 0.0)
    simulated(shipped(), seed=1, servers=2, days=3)
    told = capsys.readouterr().err
    assert "[##########....................] 1 of 3 days" in told
    assert told.endswith("\r\x1b[K")


def test_days_pass_as_told() -> None:
    """Begin and length are the asker's."""
    found = simulated(shipped(), seed=1, servers=5, days=3, begin=BEGIN)
    assert (found.begin, [day.day for day in found.days]) == (BEGIN, [1, 2, 3])
    assert BEGIN + timedelta(days=3) > first_day(shipped())


def test_the_page_in_docs_tells_the_habits_as_they_are() -> None:
    """Assumptions that are changed are changed there, too."""
    page = (Path(__file__).parents[2] / "docs" / "simulate.md").read_text(encoding="utf-8")
    for habit in HABITS:
        assert f"| {habit.name} | {habit.share} % | {habit.means} |" in page

"""Checks of a catalogue, imported files, and `patchgate catalogue`."""

import json
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from services.cli.__main__ import run
from services.cli.catalogue_text import shown_text
from shared.domain.catalogue_checks import problems_of
from shared.domain.catalogue_rows import FILES, CatalogueError, CatalogueRows, package_text, read_package_rows, rows_of
from shared.runtime import catalogue_files
from shared.runtime.catalogue_files import kind_of, load_catalogue_of, newest_day, put_in_place, texts_of

BUILDS = "exchange_builds.csv"
NEW_ROW = "Microsoft Exchange SE,RTM,Nov26SU,15.2.2562.60,15.02.2562.060,2026-11-10,KB1,made up,\n"


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty state directory that commands use."""
    monkeypatch.setenv("PATCHGATE_STATE_DIR", str(tmp_path / "state"))
    return tmp_path / "state"


def changed(name: str, old: str, new: str) -> CatalogueRows:
    """The rows that ship, with one piece of text replaced."""
    text = package_text(name)
    assert old in text
    return rows_of({one: package_text(one) for one in FILES} | {name: text.replace(old, new, 1)})


# --- checks ----------------------------------------------------------------------------------------------------------


def test_what_ships_has_no_problem() -> None:
    """All that must hold, holds, and each row names its source."""
    assert problems_of(read_package_rows()) == ()


@pytest.mark.parametrize(
    ("name", "old", "new", "problem"),
    [
        (BUILDS, "15.2.2562.53", "15.2.2562.17", "15.2.2562.17"),
        (BUILDS, "Microsoft Exchange SE,RTM,,", "Microsoft Exchange 2019,RTM,,", "by its numbers it is Microsoft Exchange SE"),
        (BUILDS, "Microsoft Exchange 2003,RTM,,6.5.6944", "Microsoft Exchange 1999,RTM,,6.5.6944", "no product at all"),
        (BUILDS, ",2026-10-02,", ",2016-10-02,", "came out before it"),
        (BUILDS, "Get-ExchangeBuildNumber; vendor page through ms-exchange-version-nse", "", "1 rows of exchange_builds.csv"),
        ("exchange_cves.csv", "8.3.342.4", "8.3.342.5", "which is not listed"),
        ("exchange_cves.csv", ",yes,2021-11-03,", ",no,,", "is exploited since one day in one branch"),
        ("exchange_cves.csv", "security bulletin MS13-105", "", "1 rows of exchange_cves.csv"),
        ("exchange_lifecycle.csv", "2026-10-31", "2020-10-31", "ends before its support does"),
        ("exchange_lifecycle.csv", "Microsoft Exchange 2010,", "Exchange 2010,", "has builds and no row"),
        ("other_mta_lifecycle.csv", "endoflife.date release data; Exim change log and advisories", "", "1 rows of other_mta"),
        ("facts.csv", "September 2026 SU v2", "", "1 rows of facts.csv"),
    ],
)  # fmt: skip
def test_what_must_not_be_is_told(name: str, old: str, new: str, problem: str) -> None:
    """Each broken invariant is a sentence that names what breaks it."""
    found = problems_of(changed(name, old, new))
    assert any(problem in one for one in found), found


# --- files -----------------------------------------------------------------------------------------------------------


def test_an_imported_file_stands_in_for_the_one_that_ships(state: Path) -> None:
    """With it a build is known that was newer than the data; the others are as shipped."""
    put_in_place(str(state), BUILDS, package_text(BUILDS) + NEW_ROW)
    catalogue = load_catalogue_of(str(state))
    assert str(catalogue.newest_fact) == "2026-11-10"
    assert texts_of(str(state))["exchange_cves.csv"] == package_text("exchange_cves.csv")


def test_an_imported_file_that_is_older_is_passed_over(state: Path) -> None:
    """After an upgrade of patchgate what ships may be newer."""
    put_in_place(str(state), BUILDS, "".join(package_text(BUILDS).splitlines(keepends=True)[:50]))
    assert texts_of(str(state))[BUILDS] == package_text(BUILDS)


def test_known_false_evidence_is_not_renewed_by_file(state: Path) -> None:
    """A table that protects others from us changes with the program."""
    text = package_text("false_evidence.csv")
    assert kind_of(text) is None
    put_in_place(str(state), "false_evidence.csv", text.partition("\n")[0] + "\n")
    assert texts_of(str(state))["false_evidence.csv"] == text


@pytest.mark.parametrize("content", [b"\xff\xfe", b"x" * 2000])
def test_an_unreadable_file_is_named(state: Path, content: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """What to do about it is said."""
    monkeypatch.setattr(catalogue_files, "FILE_BYTES_MAX", 1000)
    path = put_in_place(str(state), BUILDS, "")
    path.write_bytes(content)
    with pytest.raises(CatalogueError, match=r"exchange_builds\.csv .*delete it"):
        texts_of(str(state))


def test_the_file_before_stays(state: Path) -> None:
    """One step back is possible by hand."""
    put_in_place(str(state), BUILDS, "one")
    path = put_in_place(str(state), BUILDS, "two")
    assert (path.read_text(), path.with_suffix(".before").read_text()) == ("two", "one")


def test_newest_day_of_files_with_and_without_releases() -> None:
    """Support ends lie in the future and say nothing of a file's age."""
    assert newest_day(package_text(BUILDS)) == "2026-10-02"
    assert newest_day(package_text("exchange_lifecycle.csv")) == ""


# --- the command -----------------------------------------------------------------------------------------------------


def asked(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    """The JSON that a command prints."""
    assert run(["catalogue", *arguments, "--json"]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The one line of an error."""
    assert run(["catalogue", *arguments]) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    return error


def test_show_tells_where_the_data_ends_and_how_old_it_is(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Every subject with its last fact; a script gets the days."""
    assert not state.exists()
    assert run(["catalogue", "show"]) == 0
    shown = capsys.readouterr().out
    assert "Exchange builds: until 2026-10-02, " in shown
    assert "known exploited holes: until 2026-08-07, " in shown
    assert "Microsoft Exchange SE: 12 builds" in shown
    assert asked(capsys, "show")["facts"][0]["last_fact"] == "2026-10-02"


def test_check(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Fine as it ships; with a broken file the exit code is 1 and each problem stands there."""
    assert run(["catalogue", "check"]) == 0
    assert "everything holds" in capsys.readouterr().out
    assert asked(capsys, "check") == {"problems": []}
    put_in_place(str(state), BUILDS, package_text(BUILDS) + NEW_ROW.replace("made up", ""))
    assert run(["catalogue", "check"]) == 1
    assert "1 rows of exchange_builds.csv name no source" in capsys.readouterr().out


def test_import_takes_a_newer_file(state: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It is checked, put in force, and counts for what is asked next."""
    file = tmp_path / "new.csv"
    file.write_text(package_text(BUILDS) + NEW_ROW, encoding="utf-8")
    assert run(["catalogue", "import", str(file)]) == 0
    assert "1 rows are new, 0 are gone" in capsys.readouterr().out
    found = asked(capsys, "assess", "15.2.2562.53", "--on", "2026-11-24")
    assert [one["name"] for one in found["updates_missing"]] == ["RTM Nov26SU"]
    assert (state / "catalogue" / BUILDS).is_file()


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("a,b\n1,2\n", "has the header line of no file"),
        (package_text(BUILDS) + NEW_ROW + NEW_ROW, "15.2.2562.60 twice"),
        (package_text(BUILDS) + "P,CU1\n", "line 476 of exchange_builds.csv"),
        (package_text(BUILDS).replace("6.5.6944", "6.5.6945"), "1 rows of exchange_builds.csv are gone or changed"),
    ],
)  # fmt: skip
def test_import_refuses_with_a_reason(
    state: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, why: str
) -> None:
    """What is no catalogue, breaks an invariant, or forgets rows changes nothing."""
    file = tmp_path / "new.csv"
    file.write_text(text, encoding="utf-8")
    assert why in refused(capsys, "import", str(file))
    assert not state.exists()


def test_import_of_fewer_rows_must_be_meant(state: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Then it is taken."""
    file = tmp_path / "new.csv"
    lines = package_text(BUILDS).splitlines(keepends=True)
    file.write_text("".join([lines[0], *lines[2:]]), encoding="utf-8")
    assert run(["catalogue", "import", str(file), "--fewer"]) == 0
    assert "0 rows are new, 1 are gone" in capsys.readouterr().out
    assert state.exists()


@pytest.mark.usefixtures("state")
def test_assess_tells_everything_of_a_build(capsys: pytest.CaptureFixture[str]) -> None:
    """Padded or not; branch, updates and since when, holes, exploited ones, support, advice."""
    found = asked(capsys, "assess", "15.01.2507.044", "--on", "2026-11-24")
    assert (found["product"], found["build"], found["branch"]) == (
        "Microsoft Exchange 2016",
        "15.1.2507.44",
        "15.1.2507",
    )
    assert (found["update"], found["listed"], found["missing_since"]) == ("CU23 Nov24SUv2", True, "2025-08-12")
    assert (found["advice"], found["no_patch_any_more"]) == ("replace", True)
    assert (found["support_ended"], found["paid_programme_ends"]) == ("2025-10-14", "2026-10-31")
    assert len(found["updates_missing"]) == 12
    assert "CVE-2026-42897" in found["cves_exploited"]
    assert set(found["cves_exploited"]) <= set(found["cves_open"])
    assert asked(capsys, "assess", "15.2.2562.60", "--on", "2026-11-24")["newer_than_data"] is True


@pytest.mark.parametrize(
    ("arguments", "sentences"),
    [
        (["15.1.2507.44", "--on", "2026-11-24"], ["no patch exists any more", "since 2025-08-12", "exploited: CVE-2026-42897"]),
        (["15.2.2562.17", "--on", "2026-11-24"], ["Patch it.", "until 2026-10-02, 53 days before."]),
        (["15.2.2562.17", "--on", "2026-10-03"], ["until 2026-10-02, 1 day before."]),
        (["15.2.2562.17", "--on", "2026-10-02"], ["until 2026-10-02, the same day."]),
        (["15.2.2562.17", "--on", "2026-10-01"], ["until 2026-10-02, 1 day later."]),
        (["15.2.2562.17", "--on", "2026-09-30"], ["until 2026-10-02, 2 days later."]),
        (["15.2.2562.49", "--on", "2026-11-24"], ["Missing 1 update, 1 of them for security, since 2026-10-02: "]),
        (["15.2.2562.53"], ["Nothing is missing."]),
        (["15.2.2562.99"], ["cannot be told", "newer than the data"]),
        (["8.3.297.1"], ["SP3 RU8v3 or later", "and 3 more"]),
        (["8.3.83.6"], ["Missing 25 updates, 25 of them update rollups, since 2010-09-09: "]),
        (["15.1.2507.44", "--product", "microsoft exchange 2016"], ["Microsoft Exchange 2016"]),
        (["4.92", "--product", "exim"], ["never judged", "CVE-2019-16928", "without changing the number"]),
        (["9.0.1FP7", "--product", "HCL Domino"], ["Its line ended 2024-06-01."]),
        (["25.0.3a", "--product", "MDaemon"], ["not listed"]),
    ],
)  # fmt: skip
@pytest.mark.usefixtures("state")
def test_assess_in_sentences(capsys: pytest.CaptureFixture[str], arguments: list[str], sentences: list[str]) -> None:
    """For people."""
    assert run(["catalogue", "assess", *arguments]) == 0
    told = capsys.readouterr().out
    assert [one for one in sentences if one not in told] == [], told


@pytest.mark.parametrize(
    ("on", "told"),
    [
        ("2026-11-24", "until 2026-10-02, 53 days ago: old, look for a newer file; "),
        ("2026-10-03", "until 2026-10-02, 1 day ago; "),
        ("2026-10-02", "until 2026-10-02, today; "),
        ("2026-10-01", "until 2026-10-02, in 1 day; "),
        ("2026-09-30", "until 2026-10-02, in 2 days; "),
    ],
)
def test_show_tells_the_age_of_each_part_in_words(on: str, told: str) -> None:
    """Also where the clock of this machine lies behind the file."""
    text = shown_text(read_package_rows(), date.fromisoformat(on))
    assert f"Exchange builds: {told}not covered" in text, text


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["4.92"], "--product"),
        (["15.20.8813.22"], "Exchange Online"),
        (["15.1.2507.44", "--product", "Microsoft Exchange 2019"], "a build of Microsoft Exchange 2016, not of"),
        (["1.0", "--product", "Nobody's"], "nothing is known of Nobody's"),
        (["15.1.2507.44", "--on", "yesterday"], "write it as in 2026-11-24"),
    ],
)
@pytest.mark.usefixtures("state")
def test_assess_says_what_it_cannot_do(capsys: pytest.CaptureFixture[str], arguments: list[str], why: str) -> None:
    """One sentence: what, and what to do."""
    assert why in refused(capsys, "assess", *arguments)

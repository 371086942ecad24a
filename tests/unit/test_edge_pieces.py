"""How many pieces of evidence one name may show in an hour, and that no cure is lost by the bound."""

import pytest

from services.edge import novelty as module
from services.edge.core import EvidenceKey, may_cure, see
from services.edge.novelty import CURES_PER_NAME, PIECES_PER_NAME, Novelty
from shared.domain.build import Build
from shared.domain.catalogue import load_catalogue
from shared.domain.floors import Floor
from tests.support.decisions import NOON, PATCHED, decision, line_2007, line_of, shipped_policy, table_of
from tests.support.edge import Bench, later, message

OLD_BUILDS = [f"15.1.2507.{revision}" for revision in range(1, PIECES_PER_NAME + 4)]


def key(revision: int = 1, *, name: str = "a.example", tls_name: str = "") -> EvidenceKey:
    """The key of one build of one name."""
    build = Build(15, 1, 2507, revision)
    return EvidenceKey("192.0.2.9", name, "E", build, build, by_helo=True, by_dns=False, tls_name=tls_name)


def full() -> Novelty:
    """One name that has shown all it may."""
    novelty = Novelty()
    for revision in range(PIECES_PER_NAME):
        assert novelty.ask(key(revision), NOON, known_server=True) == "publish"
    return novelty


def test_a_name_with_another_build_each_mail_fills_nothing() -> None:
    """Beyond 16 pieces an hour they are counted only, though the server is known; the next hour starts anew."""
    bench = Bench(table_of([decision(block=60)]))
    for build in OLD_BUILDS:
        bench.gate.answer(message(line_of(build)))
    assert len(bench.outlet.evidence) == PIECES_PER_NAME
    assert bench.counts["evidence_too_many_pieces"] == 3
    bench.gate.answer(message(line_of(name="ex17.alt.example"), helo="ex17.alt.example"))
    bench.gate.answer(message(address="192.0.2.10"))
    assert len(bench.outlet.evidence) == PIECES_PER_NAME + 2
    bench.clock.utc = later(60)
    bench.gate.answer(message(line_of(OLD_BUILDS[-1])))
    assert len(bench.outlet.evidence) == PIECES_PER_NAME + 3


def test_a_cure_goes_out_at_once_beyond_the_bound() -> None:
    """The first patched line is published; another patched build adds nothing, another way to be tied does."""
    bench = Bench(table_of([decision(block=60)]))
    for build in OLD_BUILDS:
        bench.gate.answer(message(line_of(build)))
    bench.gate.answer(message(line_of(PATCHED)))
    assert PATCHED.replace("15.1.", "15.01.") in bench.outlet.evidence[-1][1].facts.own_lines[0]
    bench.gate.answer(message(line_of("15.1.2507.62")))
    assert len(bench.outlet.evidence) == PIECES_PER_NAME + 1
    bench.gate.answer(message(line_of(PATCHED), helo="elsewhere.example"))
    assert len(bench.outlet.evidence) == PIECES_PER_NAME + 2


def test_after_each_piece_that_is_none_the_next_cure_goes_out() -> None:
    """A cure that was told before an accusation does not stand for one after it."""
    novelty = Novelty()
    assert novelty.ask(key(61), NOON, known_server=True, cure=True) == "publish"
    for revision in range(PIECES_PER_NAME - 1):
        assert novelty.ask(key(revision), NOON, known_server=True) == "publish"
    assert novelty.ask(key(62), NOON, known_server=True, cure=True) == "publish"
    assert novelty.ask(key(63), NOON, known_server=True, cure=True) == "too_many_pieces"


def test_a_cure_among_the_first_pieces_counts_as_told() -> None:
    """With a cure as the last of its 16 pieces a name needs no further one."""
    novelty = full()
    novelty.lost(key(0))
    assert novelty.ask(key(61), NOON, known_server=True, cure=True) == "publish"
    assert novelty.ask(key(62), NOON, known_server=True, cure=True) == "too_many_pieces"


def test_a_lost_cure_is_published_by_the_next_message() -> None:
    """What the bound of the queue dropped takes neither place nor turn."""
    novelty = full()
    assert novelty.ask(key(61), NOON, known_server=True, cure=True) == "publish"
    novelty.lost(key(61))
    assert novelty.ask(key(1000), NOON, known_server=True) == "too_many_pieces"
    assert novelty.ask(key(62), NOON, known_server=True, cure=True) == "publish"


def test_a_lost_piece_gives_its_place_back() -> None:
    """It can be shown again, and no more than that."""
    novelty = full()
    novelty.lost(key(0))
    novelty.lost(key(0))
    assert novelty.ask(key(0), NOON, known_server=True) == "publish"
    assert novelty.ask(key(1000), NOON, known_server=True) == "too_many_pieces"


def test_cures_are_bounded_too() -> None:
    """A sender with a certificate for every mail is counted only, once it has shown more than one server has."""
    novelty = full()
    said = [
        novelty.ask(key(61, tls_name=f"{number}.example"), NOON, known_server=True, cure=True)
        for number in range(CURES_PER_NAME + 1)
    ]
    assert said == ["publish"] * CURES_PER_NAME + ["too_many_pieces"]


def test_counted_names_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """At the bound counting starts anew, and what is on its way then may still be lost or published."""
    monkeypatch.setattr(module, "PIECES_MAX", 1)
    novelty = full()
    assert novelty.ask(key(name="b.example"), NOON, known_server=True) == "publish"
    assert novelty.ask(key(1000), NOON, known_server=True) == "publish"
    novelty.lost(key(name="b.example"))
    novelty.published(key(1))
    assert len(novelty._pieces) == 1
    assert novelty.ask(key(1), NOON, known_server=True) == "known"


@pytest.mark.parametrize(
    ("line", "floors", "cures"),
    [
        (line_of(), [], False),
        (line_of(PATCHED), [], True),
        (line_of("15.1.2507.39"), [Build(15, 1, 2507, 39)], True),
        (line_of("15.1.2507.37"), [Build(15, 1, 2507, 39)], False),
        (line_2007(), [], False),
        (line_2007(), [Build(15, 1, 2507, 39)], False),
        ("from a by b (Postfix) with ESMTP id 1; Tue, 24 Nov 2026 11:59:00 +0000", [], False),
    ],
)
def test_what_may_cure(line: str, floors: list[Build], cures: bool) -> None:
    """A reading at or above the floor in force, or that of a case; never one below both, nor of what is not judged."""
    seen = see(message(line), load_catalogue(), now=NOON, edge="mx1")
    cases = [decision(floor=Floor(product="Microsoft Exchange 2016", builds=(build,))) for build in floors]
    assert may_cure(seen, cases, shipped_policy()) is cures


def test_without_a_policy_all_that_is_judged_may_cure() -> None:
    """Where no floor is known, a piece is taken for the milder thing."""
    seen = see(message(), load_catalogue(), now=NOON, edge="mx1")
    assert may_cure(seen, [], None)
    assert not may_cure(see(message("by x"), load_catalogue(), now=NOON, edge="mx1"), [], None)

"""Whatever is changed in an export is found, where it stands; what is true is found true wherever it ends."""

from datetime import timedelta
from functools import cache

from hypothesis import given, settings
from hypothesis import strategies as st

from shared.domain import events as e
from shared.domain.verify import Audit, seal, verify_export
from tests.support.scenario import E2007, FLOOR_2016, World, policy_for, reading

BYTE = st.integers(0, 255)
FRACTION = st.floats(0, 1, exclude_max=True)


@cache
def records() -> tuple[bytes, ...]:
    """The stored bytes of a log with a case that opens, holds, is throttled, blocked and released."""
    world = World(policy_for("observe"))
    world.open_case(reading(E2007, None))
    world.open_case(name="ex16.alt.example")
    world.adopt(policy_for(version=2))
    world.settle()
    world.pass_time(timedelta(hours=3), watched=False)
    world.pass_time(timedelta(days=40))
    world.settle()
    world.freeze("freeze-01", frozen=True)
    world.see(reading(build=FLOOR_2016), name="ex16.alt.example")
    return tuple(stored for _, stored in world.log)


def export(stored: tuple[bytes, ...]) -> bytes:
    """The whole file."""
    return b"".join(value + b"\n" for value in stored) + seal(len(stored), e.chain(stored[-1])) + b"\n"


def lines_of(content: bytes) -> list[bytes]:
    """As a file gives its lines."""
    return content.splitlines(keepends=True) if b"\r" not in content else _lines_at_newline_only(content)


def _lines_at_newline_only(content: bytes) -> list[bytes]:
    parts = content.split(b"\n")
    return [part + b"\n" for part in parts[:-1]] + ([parts[-1]] if parts[-1] else [])


def pick(fraction: float, count: int) -> int:
    """An index below *count*."""
    return int(fraction * count)


@settings(deadline=None, max_examples=300)
@given(FRACTION, FRACTION, st.integers(1, 255))
def test_one_changed_byte_of_a_record_is_found_there_or_at_the_next(where: float, at: float, flip: int) -> None:
    """The first wrong seq is the record's own, or that of the one whose hash it breaks."""
    stored = list(records())
    place = pick(where, len(stored))
    value = bytearray(stored[place])
    value[pick(at, len(value))] ^= flip
    lines = [*(v + b"\n" for v in stored), seal(len(stored), e.chain(stored[-1])) + b"\n"]
    lines[place] = bytes(value) + b"\n"
    report = verify_export(lines_of(b"".join(lines)))
    assert not report.ok
    assert report.first_wrong_seq is not None
    assert report.first_wrong_seq in (place + 1, place + 2)


@settings(deadline=None, max_examples=300)
@given(FRACTION, st.integers(1, 255))
def test_one_changed_byte_anywhere_in_an_export_is_found(at: float, flip: int) -> None:
    """Line ends and the seal included."""
    content = bytearray(export(records()))
    content[pick(at, len(content))] ^= flip
    assert not verify_export(lines_of(bytes(content))).ok


@settings(deadline=None, max_examples=100)
@given(FRACTION)
def test_an_export_cut_off_anywhere_is_not_right(at: float) -> None:
    """A half copy is no whole one."""
    content = export(records())
    assert not verify_export(lines_of(content[: pick(at, len(content))])).ok


@settings(deadline=None, max_examples=100)
@given(FRACTION, FRACTION, st.sampled_from(["missing", "doubled", "swapped"]))
def test_a_line_out_of_place_is_found(one: float, other: float, how: str) -> None:
    """Missing, doubled or swapped, whichever lines they are, the seal included."""
    lines = lines_of(export(records()))
    first, second = pick(one, len(lines)), pick(other, len(lines))
    if how == "missing":
        del lines[first]
    elif how == "doubled":
        lines.insert(second, lines[first])
    elif first == second:
        return
    else:
        lines[first], lines[second] = lines[second], lines[first]
    assert not verify_export(lines).ok


@settings(deadline=None, max_examples=100)
@given(FRACTION)
def test_a_true_log_is_true_wherever_a_step_ends(at: float) -> None:
    """An audit of a prefix finds it right, or names the consequence that is still to come."""
    stored = records()[: 2 + pick(at, len(records()) - 2)]
    audit = Audit()
    assert all(audit.take(value) for value in stored)
    report = audit.report()
    assert report.ok or report.what.startswith("the log ends where")


@settings(deadline=None, max_examples=200)
@given(st.lists(st.binary(max_size=40), max_size=5), FRACTION)
def test_any_bytes_give_a_report(junk: list[bytes], at: float) -> None:
    """Whatever a file holds, the audit ends with a sentence on one line."""
    lines = lines_of(export(records()))
    place = pick(at, len(lines))
    lines[place:place] = junk
    report = verify_export(lines)
    assert report.ok == (not any(junk) or not report.what)
    assert "\n" not in report.what

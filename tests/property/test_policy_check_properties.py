"""`policy check` and `parse_policy` agree on any text, and every finding stands on a line of it."""

from hypothesis import given, settings
from hypothesis import strategies as st

from shared.domain.catalogue import load_catalogue
from shared.domain.policy import PolicyError, parse_policy, shipped_policy_text
from shared.domain.policy_check import check_policy

LINES = shipped_policy_text().splitlines()
SPOILT = st.sampled_from(
    ["", "[", "x = 1", "version = 0", "[[floors]]", "[[stages]]", "[notices]", 'floors = "no"', "connectors = [1, {a = 2}]",
     "stages = {}", "replies.block = 5", "open_ties = [3]", 'builds = "15.1.2507.61"', "builds = [1, [2]]", "[replies.block.x]",
     '[[connectors]]\nname = "a"\nkind = "partner"\nowner = "o"\nranges = ["10.0.0.0/8", "x", 7]', "effective = 1", "salt = 2026-01-01"]
)  # fmt: skip
EDIT = st.tuples(st.integers(0, len(LINES) - 1), st.sampled_from(["put", "drop", "twice"]), SPOILT)


def edited(edits: list[tuple[int, str, str]]) -> str:
    """The shipped text with lines put, dropped and doubled."""
    lines = list(LINES)
    for place, kind, text in edits:
        lines[place] = {"put": text, "drop": "", "twice": f"{lines[place]}\n{lines[place]}"}[kind]
    return "\n".join(lines) + "\n"


@settings(max_examples=300, deadline=None)
@given(st.lists(EDIT, max_size=4))
def test_check_refuses_what_parse_refuses_and_takes_what_it_takes(edits: list[tuple[int, str, str]]) -> None:
    """But for floors that no known build reaches, which only the catalogue can tell; and no text makes it fail."""
    text = edited(edits)
    checked = check_policy(text, load_catalogue())
    try:
        parsed = parse_policy(text)
    except PolicyError:
        assert checked.policy is None
        assert checked.errors
    else:
        assert checked.policy == parsed or any("no known build reaches" in one.text for one in checked.errors)
    assert all(1 <= one.line <= text.count("\n") + 1 for one in checked.findings)

"""`policy check` and `parse_policy` agree on any text, and every finding stands on a line of it."""

import re
import tomllib

from hypothesis import given, settings
from hypothesis import strategies as st

from shared.domain.catalogue import load_catalogue
from shared.domain.policy import PolicyError, parse_policy, shipped_policy_text
from shared.domain.policy_check import check_policy

_TEXT = shipped_policy_text() + '\n[[protected]]\ntitle = "Clinics"\ndomains = ["clinic.example"]\n'
TOP, *TABLES = re.split(r"^(?=\[)", _TEXT, flags=re.MULTILINE)
SECTIONS = (
    "replies",
    "notices",
    "stages",
    "floors",
    "connectors",
    "caps",
    "pauses",
    "disputes",
    "relapses",
    "protected",
)
VALUES = st.sampled_from(
    [
        "3",
        '"no"',
        "true",
        "[]",
        "{}",
        "[1, {a = 2}]",
        "[[3]]",
        "{throttle = 4}",
        "2026-01-01",
        "2026-01-01T00:00:00",
        "2026-01-01T00:00:00+02:00",
        '["15.1", 7]',
        "-1",
        "61",
        str(2**53),
        r'"a\u001bb"',
        "0",
        '["internet", "internett"]',
    ]
)
KEYS = st.sampled_from(
    [*re.findall(r"^([a-z_]+) =", _TEXT, flags=re.MULTILINE), "ranges", "builds", "tls_names", "new"]
)
EDITS = st.lists(st.tuples(st.integers(0, len(TABLES)), KEYS, VALUES, st.booleans()), max_size=4)
REPLACED = st.dictionaries(st.sampled_from(SECTIONS), st.none() | VALUES, max_size=2)


def edited(edits: list[tuple[int, str, str, bool]], replaced: dict[str, str | None]) -> str:
    """The shipped text with values put or dropped, and sections left out or written as something else; always TOML."""
    tables = [TOP, *TABLES]
    for place, key, value, drop in edits:
        rest = re.sub(rf"^{key} = .*\n", "", tables[place], flags=re.MULTILINE)
        tables[place] = rest.rstrip("\n") + ("\n\n" if drop else f"\n{key} = {value}\n\n")
    top, kept = tables[0], [one for one in tables[1:] if one.split("]")[0].strip("[") not in replaced]
    scalars = [f"{name} = {value}\n" for name, value in replaced.items() if value is not None]
    return "".join((top, *scalars, *kept))


@settings(max_examples=300, deadline=None)
@given(EDITS, REPLACED)
def test_check_refuses_what_parse_refuses_and_takes_what_it_takes(
    edits: list[tuple[int, str, str, bool]], replaced: dict[str, str | None]
) -> None:
    """But for floors that no known build reaches, which only the catalogue can tell; and no text makes it fail."""
    text = edited(edits, replaced)
    assert tomllib.loads(text)
    checked = check_policy(text, load_catalogue())
    try:
        parsed = parse_policy(text)
    except PolicyError:
        assert checked.policy is None
        assert checked.errors
    else:
        unmet = any("no known build" in one.text or "is a build of" in one.text for one in checked.errors)
        assert unmet or (
            checked.policy is not None and checked.policy == parsed and checked.policy.digest == parsed.digest
        )
    assert all(1 <= one.line <= text.count("\n") + 1 for one in checked.findings)

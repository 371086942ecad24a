"""Where the keys of a TOML document stand."""

import tomllib

import pytest

from shared.domain.policy import shipped_policy_text
from shared.domain.policy_lines import Lines, Path

TEXT = """\
# a comment with [brackets
a = 1
b.c = "text with ] and # in it"
"q.x" = 'C:\\'
many = [
  "long", # the ] first
  "]two",
]
long = \"\"\"
[not.a.header]
x = 1 \\\"\"\" still in it
\"\"\"
[t]
k = {x = [1, 2], y = "}"}

[t.inner]
k = 1
[[rows]]
k = 1
  [rows.sub]
  k = 1
  [[rows.list]]
  k = 1
  [[rows.list]]
  k = 1
[[rows]]
n = '''
[[rows]]
'''
k = 2
"""


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (("a",), 2),
        (("b", "c"), 3),
        (("q.x",), 4),
        (("many",), 5),
        (("many", 1), 5),
        (("long",), 9),
        (("t",), 13),
        (("rows",), 18),
        (("t", "k"), 14),
        (("t", "k", "y"), 14),
        (("t", "inner", "k"), 17),
        (("rows", 0), 18),
        (("rows", 0, "k"), 19),
        (("rows", 0, "sub", "k"), 21),
        (("rows", 0, "list", 1, "k"), 25),
        (("rows", 1), 26),
        (("rows", 1, "k"), 30),
        (("nowhere",), 1),
        (("rows", 1, "nowhere"), 26),
        ((), 1),
    ],
)
def test_each_key_has_its_line_and_what_has_none_that_of_what_it_stands_in(path: Path, line: int) -> None:
    """Strings, comments and lists over several lines hide no key and make none."""
    assert tomllib.loads(TEXT)["rows"][1]["k"] == 2  # the text is what it is meant to be
    assert Lines(TEXT).line_of(path) == line


def test_the_lines_of_the_shipped_policy_hold_what_they_are_said_to_hold() -> None:
    """Each key of it, at whatever depth, with its line ends as Windows writes them, too."""
    for text in (shipped_policy_text(), shipped_policy_text().replace("\n", "\r\n")):
        lines, source = Lines(text), text.splitlines()
        found = 0
        for path in _paths(tomllib.loads(text)):
            if isinstance(path[-1], str) and not path[-1].isdigit():
                found += 1
                assert path[-1] in source[lines.line_of(path) - 1], path
        assert found > 50


def _paths(value: object, path: Path = ()) -> list[Path]:
    if isinstance(value, dict):
        inner = [(key, one) for key, one in value.items()]
    elif isinstance(value, list) and value and isinstance(value[0], dict):
        inner = list(enumerate(value))
    else:
        return [path]
    return [*([path] if path else []), *(found for key, one in inner for found in _paths(one, (*path, key)))]

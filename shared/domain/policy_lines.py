"""Where each key of a TOML document stands, and what it is called. Pure; the parser of the standard library keeps no lines."""

import re
from collections.abc import Iterator

Path = tuple[str | int, ...]
"""Keys and places in lists from the top on, such as ("stages", 3, "from_day")."""

# What may hold a bracket or a line end that is none of the document's own, the brackets, and line ends.
_TOKEN = re.compile(
    r'"""(?:\\.|[^\\])*?"""+' + r"|'''.*?'''+" + r'|"(?:\\.|[^"\\\n])*"' + r"|'[^'\n]*'|#[^\n]*|[\[\]{}]|\n", re.DOTALL
)
_PART = r'"(?:\\.|[^"\\\n])*"|' + r"'[^'\n]*'|[A-Za-z0-9_-]+"
_DOTTED = re.compile(rf"(?:{_PART})(?:\s*\.\s*(?:{_PART}))*")
_PARTS = re.compile(_PART)


def name_of(path: Path) -> str:
    """As people count: the entries of a list from 1."""
    name = ""
    for part in path:
        name += f"[{part + 1}]" if isinstance(part, int) else f".{part}" if name else part
    return name or "the document"


class Lines:
    """The line of each header and each key of *text*, which is valid TOML; of inline tables only the line they begin on."""

    def __init__(self, text: str) -> None:
        self._lines: dict[Path, int] = {(): 1}
        self._counts: dict[Path, int] = {}
        table: Path = ()
        for line, statement in _statements(text):
            found = _DOTTED.match(statement.lstrip("[ \t"))
            if found is None:  # cannot happen in valid TOML
                continue
            parts = [part.strip("\"'") for part in _PARTS.findall(found.group())]
            if statement.startswith("["):
                table = self._header(parts, line, is_list=statement.startswith("[["))
            else:
                self._lines.setdefault((*table, *parts), line)

    def line_of(self, path: Path) -> int:
        """The line of *path*, or of the nearest thing that it stands in; 1 for the document."""
        while path not in self._lines:
            path = path[:-1]
        return self._lines[path]

    def _header(self, parts: list[str], line: int, *, is_list: bool) -> Path:
        path: Path = ()
        for part in parts[:-1]:
            path = (*path, part)
            if path in self._counts:
                path = (*path, self._counts[path])
        path = (*path, parts[-1])
        self._lines.setdefault(path, line)
        if is_list:
            self._counts[path] = self._counts.get(path, -1) + 1
            path = (*path, self._counts[path])
            self._lines[path] = line
        return path


def _statements(text: str) -> Iterator[tuple[int, str]]:
    """Each header and each key with its value, and the line that it begins on."""
    begin, first, line, depth = 0, 1, 1, 0
    for token in _TOKEN.finditer(text + "\n"):
        found = token.group()
        depth += (found in "[{") - (found in "]}")
        line += found.count("\n")
        if found == "\n" and not depth:
            statement = text[begin : token.start()].strip()
            if statement and not statement.startswith("#"):
                yield first, statement
            begin, first = token.end(), line

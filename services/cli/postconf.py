"""What `postconf` says: of this machine's Postfix, or as it was printed elsewhere. Also a plain main.cf is read."""

import re
import shutil
import subprocess
from collections.abc import Mapping

from shared.domain.errors import ConfigError

_TIMEOUT_S = 10.0
_DEEPEST = 20  # `$name` in `$name`; Postfix refuses more than 100
_REFERENCE = re.compile(r"\$(?:(?P<bare>\w+)|\{(?P<braced>\w+)\}|\((?P<round>\w+)\))")


def is_here() -> bool:
    """Whether this machine has a `postconf`."""
    return shutil.which("postconf") is not None


def ask(args: list[str], *, may_fail: bool = False) -> str:
    """
    What `postconf` prints; may_fail: older ones do not know these options.

    Raises:
        ConfigError: it does not answer, or fails.
    """
    command = ["postconf", *args]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False)  # noqa: S603  (a list, no shell)
    except (OSError, subprocess.TimeoutExpired, UnicodeDecodeError) as error:
        raise ConfigError(f"{' '.join(command)} does not answer: {error}") from error
    if done.returncode and not may_fail:
        raise ConfigError(f"{' '.join(command)} failed: {done.stderr.strip()[:300]}")
    return done.stdout


def parameters(text: str) -> dict[str, str]:
    """Each `name = value` of *text*, the last one of a name; lines that begin with a blank go on with the one before."""
    found: dict[str, str] = {}
    name = ""
    for line in text.split("\n"):
        if line.lstrip().startswith("#") or not line.strip():
            continue
        if line[0].isspace() and name:
            found[name] = f"{found[name]} {line.strip()}".strip()
            continue
        name, equals, value = (part.strip() for part in line.partition("="))
        if equals and name:
            found[name] = value
        else:
            name = ""
    return found


def value_of(name: str, said: Mapping[str, str]) -> str | None:
    """The value of *name* with each `$name` in it filled in; None where it, or one that it names, is not known."""
    return _filled(said.get(name), said, _DEEPEST)


def _filled(text: str | None, said: Mapping[str, str], deeper: int) -> str | None:
    if text is None or "$" not in text:
        return text
    if not deeper:
        return None
    parts, end = [], 0
    for found in _REFERENCE.finditer(text):
        inner = _filled(said.get(found["bare"] or found["braced"] or found["round"]), said, deeper - 1)
        if inner is None:
            return None
        parts += [text[end : found.start()], inner]
        end = found.end()
    whole = "".join([*parts, text[end:]])
    return None if "$" in whole else whole  # a condition, such as ${name?value}

"""The first policy as text: the shipped one with its comments, in observe, with the names of this receiver."""

import re
import textwrap
from collections.abc import Iterator

from services.cli.init_found import Found
from shared.domain.errors import InvariantError
from shared.domain.policy import parse_policy, shipped_policy_text

_WIDTH = 118
_VALUE_MAX = 300  # of a parameter in a comment

_EXAMPLE = """\

# An example of a connector of yours: take away the # and name who it is, such as a branch office or a customer.
# Networks that are never judged stay out: nobody in them would ever match.
# [[connectors]]
# name = "branch"
# kind = "on-premises"
# owner = "it"
# ranges = ["192.0.2.0/24"]
# tls_names = ["mail.branch.example"]
# mode = "observe"
"""


def first_policy(found: Found, *, source: str) -> str:
    """The text. source: whose parameters were read, in words."""
    shipped = shipped_policy_text()
    version = parse_policy(shipped).version + 1
    body = shipped.partition("\n")[2]  # its first line says that it is the shipped one
    for key, value, why in (
        ("version", str(version), "One above the version that the enforcer begins with; raise it with each change."),
        ("title", f'"{found.receiver}: the eight stages of Exchange Online, in observe mode"', ""),
        ("receiver", f'"{found.receiver}"', f"From {found.receiver_from}." if found.receiver_from else ""),
    ):
        body = _with(body, key, value, why)
    return "".join(f"{line}\n" for line in _head(found, source)) + body + _EXAMPLE


def _with(text: str, key: str, value: str, why: str) -> str:
    line = f"# {why}\n{key} = {value}" if why else f"{key} = {value}"
    changed, count = re.subn(rf"^{key} = .*$", lambda _: line, text, count=1, flags=re.MULTILINE)
    if not count:  # cannot happen: a test writes one from the text that ships
        raise InvariantError(f"the shipped policy has no line {key}")
    return changed


def _head(found: Found, source: str) -> Iterator[str]:
    yield "# A first policy in observe mode, written by `patchgate init`: nobody is warned, slowed or refused."
    yield "# Change it, raise `version`, and hand it in: patchgate policy check FILE, then patchgate policy adopt FILE"
    yield "#"
    yield from _comment(f"Read from {_printable(source)}:")
    for name, value in found.read:
        if value:
            yield from _comment(f"  {name} = {_plain(value)}  ({_use(name, found)})")
    yield "#"
    yield "# Not in here, but in the settings of each edge:"
    for name, text in found.settings.items():
        yield from _comment(f"  {name}={text}")
    if found.notes:
        yield "#"
        yield "# Mind:"
    for note in found.notes:
        yield from _comment(f"- {_printable(note)}")
    yield ""


_USES = {
    "mynetworks": "never judged: PATCHGATE_NEVER_JUDGED",
    "mydestination": "your own names, as in patchgate look --own",
    "smtpd_milters": "where the edge comes in: patchgate recipe postfix",
    "relay_clientcerts": "see below",
    "smtpd_tls_ask_ccert": "whether tls_names of connectors can match",
    "smtpd_tls_req_ccert": "likewise",
}


def _use(name: str, found: Found) -> str:
    taken = (("receiver", found.receiver_from), ("PATCHGATE_EDGE", found.edge_from))
    uses = [what for what, source in taken if source.partition(" ")[0] == name]
    return _USES.get(name) or " and ".join(uses) or "not used"


def _comment(text: str) -> list[str]:
    bullet = re.match(r"[ -]*", text)
    indent = "# " + " " * (len(bullet.group()) + 2 if bullet else 2)
    return textwrap.wrap(
        text, _WIDTH, initial_indent="# ", subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )


def _plain(value: str) -> str:
    """A parameter's value as a comment shows it."""
    return _printable(value if len(value) <= _VALUE_MAX else f"{value[:_VALUE_MAX]} ...")


def _printable(text: str) -> str:
    """As a comment of TOML may hold it."""
    return "".join(one if one.isprintable() else "?" for one in text)

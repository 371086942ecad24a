"""
The lines that make a Postfix write into its log what `patchgate look` reads, and those that take them out again.

Of a header that a check names Postfix logs 200 bytes, which often end before the build; the text behind INFO it logs whole. So the
table repeats there what the server itself wrote: from its last `by` to the end, in brackets that tell whether it is all there.
"""

import shlex
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath

CHECKS = """\
/^Received:.*[[:space:]](by[[:space:]].*)$/ INFO patchgate [$1]
/^Received:[[:space:]]*(.*)$/ INFO patchgate [$1]
"""
"""A `regexp:` table, which each Postfix has. The second rule is for lines without `by`: a deeper one must not stand in for them."""

FILE_NAME = "patchgate_received"

_WIDTH = 110
_NESTED_AS_SHIPPED = ("$header_checks", "${header_checks}")


def recipe_postfix_log(current: Mapping[str, str]) -> str:
    """The recipe for one Postfix. current: its parameters as `postconf` prints them, empty where nothing is known of it."""
    path = str(PurePosixPath(current.get("config_directory") or "/etc/postfix") / FILE_NAME)
    old = current.get("header_checks", "").strip()
    own = f"regexp:{path}"
    lines = [
        "# The log of this Postfix tells the Received lines of each mail, for `patchgate look`; no mail is changed.",
        "",
    ]
    if own in old:
        lines += ["# header_checks names the table already; there is nothing to do."]
        old = old.replace(own, "").strip(" ,")
    else:
        lines += ["# Do:", f"cat > {shlex.quote(path)} <<'END'", *CHECKS.splitlines(), "END"]
        lines += [_edit("header_checks", f"{old}, {own}" if old else own)]
        lines += [_edit("nested_header_checks", old)] if _nested_as_shipped(current) else []
        lines += ["postfix reload"]
    lines += ["", "# Undo:", f"# {_edit('header_checks', old) if old else 'postconf -X header_checks'}"]
    lines += (
        ["# postconf -X nested_header_checks"]
        if _nested_as_shipped(current) or own in current.get("header_checks", "")
        else []
    )
    lines += [f"# rm {shlex.quote(path)}", "# postfix reload"]
    for warning in _warnings(current, old):
        lines += ["", *textwrap.wrap(f"Mind: {warning}", _WIDTH, initial_indent="# ", subsequent_indent="#   ")]
    return "\n".join(lines) + "\n"


def _edit(name: str, value: str) -> str:
    return f"postconf -e {shlex.quote(f'{name} = {value}'.strip())}"


def _nested_as_shipped(current: Mapping[str, str]) -> bool:
    """Whether the checks would also meet mails that are attached to others."""
    return current.get("nested_header_checks", "$header_checks").strip() in _NESTED_AS_SHIPPED


def _warnings(current: Mapping[str, str], old: str) -> Iterator[str]:
    yield (
        "each Received line becomes a line of the log, some 500 bytes long: about 2 kB a mail. It holds what Postfix logs of a mail anyway,"
        " the names of the servers on its way, and at times the recipient once more."
    )
    if old:
        yield (
            f"header_checks has tables already ({old}). They stay in front, so none is weakened, and the first that knows a header"
            " decides: a Received line that they name is not read. If they drop such lines (IGNORE) do not use this: a line from"
            " further down would be taken for the sender's own."
        )
    for name, value in sorted(current.items()):
        service, _, parameter = name.rpartition("/")
        of = f" of {service} in master.cf" if service else ""
        if parameter == "receive_override_options" and "no_header_body_checks" in value:
            yield f"receive_override_options{of} says no_header_body_checks: nothing is told of the mails that come there."
        if parameter == "smtpd_proxy_filter" and value:
            yield f"with smtpd_proxy_filter{of} the filter is the client of every mail: all of them count as your own."

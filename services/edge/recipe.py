"""
The lines that put an edge in front of a Postfix, and those that take it out again; with what to watch out for.

The text is a shell script whose prose is comments, so it can be read, piped or copied line by line. It changes one
parameter, keeps the milters that are there, and lets mail pass whenever the edge does not answer.
"""

import shlex
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath

from services.edge.settings import Endpoint

FAIL_OPEN = "protocol=6, default_action=accept, connect_timeout=2s, command_timeout=2s, content_timeout=3s"
"""Per milter (Postfix 3.0): a killed edge costs no time, a frozen one 2 to 3 s a message, none of them a mail."""

_OLDEST = (3, 0)
_DEFAULT_QUEUE = "/var/spool/postfix"
_WIDTH = 110


def recipe_postfix(current: Mapping[str, str], *, endpoint: Endpoint) -> str:
    """
    The recipe for one Postfix.

    Args:
        current: its parameters as `postconf` prints them, and those of services as `postconf -P` does
            (`submission/inet/smtpd_milters`); `smtp/inet/chroot` as `postconf -F` does. An empty one is a Postfix
            of which nothing is known: then nothing is kept, and the warnings are general.
        endpoint: where the edge listens.
    """
    own = "{ " + f"{_as_postfix_sees_it(endpoint, current)}, {FAIL_OPEN}" + " }"
    old = current.get("smtpd_milters", "").strip()
    lines = [
        "# patchgate in front of this Postfix: judged at the end of the headers, for all recipients of a message.",
        "",
    ]
    if own in old:
        lines += ["# smtpd_milters names this edge already; there is nothing to do."]
        old = old.replace(own, "").strip(" ,")
    else:
        lines += ["# Do:", _edit("smtpd_milters", f"{old}, {own}" if old else own), "postfix reload"]
    undo = _edit("smtpd_milters", old) if old else "postconf -X smtpd_milters"
    lines += ["", "# Undo:", f"# {undo}", "# postfix reload"]
    for warning in _warnings(current, endpoint):
        lines += ["", *_wrapped(f"Mind: {warning}")]
    return "\n".join(lines) + "\n"


def _edit(name: str, value: str) -> str:
    return f"postconf -e {shlex.quote(f'{name} = {value}')}"


def _queue_directory(current: Mapping[str, str]) -> PurePosixPath:
    return PurePosixPath(current.get("queue_directory") or _DEFAULT_QUEUE)


def _as_postfix_sees_it(endpoint: Endpoint, current: Mapping[str, str]) -> str:
    """A socket below the queue directory is named relative to it: so it is found inside a chroot and outside."""
    queue = _queue_directory(current)
    if endpoint.kind == "unix" and PurePosixPath(endpoint.host).is_relative_to(queue):
        return f"unix:{PurePosixPath(endpoint.host).relative_to(queue)}"
    return f"inet:[{endpoint.host}]:{endpoint.port}" if ":" in endpoint.host else str(endpoint)


def _warnings(current: Mapping[str, str], endpoint: Endpoint) -> Iterator[str]:
    queue = _queue_directory(current)
    if _version(current.get("mail_version", "")) < _OLDEST:
        yield f"Postfix {current['mail_version']} does not know settings per milter; 3.0 or newer is needed."
    if endpoint.kind == "unix" and not PurePosixPath(endpoint.host).is_relative_to(queue):
        chroot = current.get("smtp/inet/chroot", "")
        where = f"put the socket below {queue}, such as unix:{queue}/patchgate/edge.sock"
        if chroot == "y":
            yield f"smtpd runs in a chroot and cannot see {endpoint.host}: {where}."
        elif chroot != "n":
            yield f"where smtpd runs in a chroot (master.cf, fifth column) it cannot see {endpoint.host}: {where}."
    if not current:
        yield "postconf was not asked: soft_bounce = yes and smtpd_reject_footer change what senders see; look at both."
    if current.get("soft_bounce") == "yes":
        yield "soft_bounce = yes turns every 550 into 450: blocked mail would wait in the sender's queue and nobody be told."
    if current.get("smtpd_reject_footer"):
        yield "smtpd_reject_footer adds a text of yours to every reply, so the reply is longer than the policy says."
    if current.get("smtpd_milter_maps"):
        yield "smtpd_milter_maps can take clients out: those it names are never asked about."
    yield from _warnings_of_services(current)
    yield "after 10 refusals in one session Postfix slows down, after 20 it hangs up with 421 (smtpd_soft_error_limit, smtpd_hard_error_limit)."


def _warnings_of_services(current: Mapping[str, str]) -> Iterator[str]:
    for name, value in sorted(current.items()):
        service, _, parameter = name.rpartition("/")
        of = f" of {service} in master.cf" if service else ""
        if parameter == "smtpd_proxy_filter" and value:
            yield f"with smtpd_proxy_filter{of} no header reaches a milter: all of that mail passes, counted as pass_no_headers."
        if parameter == "receive_override_options" and "no_milters" in value:
            yield f"receive_override_options{of} says no_milters: nothing is asked there."
        if parameter == "smtpd_milters" and service:
            yield f"{service} in master.cf has smtpd_milters of its own ({value or 'none'}): the line above does not reach it."


def _version(text: str) -> tuple[int, ...]:
    """Major and minor; a version that is not known counts as new enough."""
    numbers = text.split(".")[:2]
    return tuple(int(number) for number in numbers) if text and all(map(str.isdigit, numbers)) else _OLDEST


def _wrapped(text: str) -> list[str]:
    lines, line = [], "#"
    for word in text.split():
        if len(line) + 1 + len(word) > _WIDTH:
            lines.append(line)
            line = "#  "
        line = f"{line} {word}"
    return [*lines, line]

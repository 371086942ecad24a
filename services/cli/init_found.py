"""What a Postfix says that a first policy and the settings need: who we are, who is never judged, which milters are there."""

import ipaddress
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec

from services.cli import postconf
from services.edge.recipe import FAIL_OPEN

NOBODY_KNOWN = "this mail server"
"""How the replies name us where Postfix has no name that the world knows."""

ALWAYS = ("127.0.0.0/8", "::1/128")
"""Never judged whatever Postfix says; as the edge has it without a setting."""

_LIST = re.compile(r"(?:[^\s,{]|\{(?:[^{}]|\{[^{}]*\})*\})+")
_HOST = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]*(?:\.[A-Za-z0-9][A-Za-z0-9-]*)+")
_RECEIVER_MAX = 60
_TABLE_BYTES_MAX = 1_000_000
_SHOWN = 120
_OUR_PORT = 11332
_OTHER_PORT = 11342  # rspamd takes 11332 to 11334

LOOKED_AT = (
    *("myhostname", "mydomain", "mydestination", "mynetworks"),
    *("relay_clientcerts", "smtpd_tls_ask_ccert", "smtpd_tls_req_ccert", "smtpd_milters"),
)
"""The parameters that are read, in the order in which they are told."""


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """
    What was made of a Postfix's parameters.

    receiver_from, edge_from: the parameter it came from, "" where none did. milter_socket: "" for the edge's usual one.
    read: each parameter that was looked at, with its value; None where that is not known.
    """

    receiver: str
    receiver_from: str
    edge: str
    edge_from: str
    never_judged: tuple[str, ...]
    milter_socket: str
    read: tuple[tuple[str, str | None], ...]
    notes: tuple[str, ...]

    @property
    def settings(self) -> dict[str, str]:
        """The settings that differ from what they are by themselves."""
        found = {"PATCHGATE_EDGE": self.edge} if self.edge_from else {}
        found["PATCHGATE_NEVER_JUDGED"] = ",".join(self.never_judged)
        return found | ({"PATCHGATE_MILTER_SOCKETS": self.milter_socket} if self.milter_socket else {})


def found_in(said: Mapping[str, str], *, own_machine: bool, made: frozenset[str] = frozenset()) -> Found:
    """
    What *said*, the parameters of a Postfix, tells.

    own_machine: it is that of this machine, so the files that it names are here. made: parameters that nobody set.
    """
    read = tuple((name, postconf.value_of(name, said)) for name in LOOKED_AT)
    known = {name: value for name, value in read if value is not None}
    receiver, receiver_from = _receiver(known)
    networks, unread = _networks(known.get("mynetworks", ""), own_machine=own_machine)
    about = (*_notes_of_networks(known, networks, unread, made), *_notes_of_clients(known))
    socket = _milter_socket(known.get("smtpd_milters", ""))
    name = known.get("myhostname", "")
    edge = name if _HOST.fullmatch(name) and len(name) <= _RECEIVER_MAX else ""
    return Found(
        receiver=receiver,
        receiver_from=receiver_from,
        edge=edge or "edge",
        edge_from="myhostname" if edge else "",
        never_judged=tuple(dict.fromkeys((*ALWAYS, *networks))),
        milter_socket=socket,
        read=read,
        notes=(*_notes_of_names(known, receiver_from), *about, *_notes_of_milters(known, socket)),
    )


def _receiver(known: Mapping[str, str]) -> tuple[str, str]:
    host = known.get("myhostname", "")
    parent = host.partition(".")[2]
    for name, source in (
        (known.get("mydomain", ""), "mydomain"),
        (parent, "myhostname without its first part"),
        (host, "myhostname"),
    ):
        if _HOST.fullmatch(name) and len(name) <= _RECEIVER_MAX and not name.lower().endswith(".localdomain"):
            return name.lower(), source
    return NOBODY_KNOWN, ""


# --- mynetworks ------------------------------------------------------------------------------------------------------


def _networks(text: str, *, own_machine: bool) -> tuple[list[str], list[str]]:
    """The networks of *text*, a list as mynetworks has it, and what of it could not be read."""
    networks, unread = [], []
    for word in _LIST.findall(text):
        found = [_network(word)] if _network(word) else _of_file(word) if own_machine else []
        networks += [one for one in found if one]
        if not found or "" in found:
            unread.append(word)
    return networks, unread


def _network(word: str) -> str:
    """As settings have it: no brackets, IPv4 in IPv6 folded; "" where it is none."""
    address, slash, bits = word.partition("/")
    try:
        network = ipaddress.ip_network(f"{address.strip('[]')}{slash}{bits}", strict=False)
    except ValueError:
        return ""
    mapped = network.network_address.ipv4_mapped if isinstance(network, ipaddress.IPv6Network) else None
    if mapped is not None:  # its prefix is 96 at least: a shorter one would cut into the ffff
        return str(ipaddress.ip_network((mapped, network.prefixlen - 96), strict=False))
    return str(network)


def _of_file(word: str) -> list[str]:
    """The networks of `/file` or `cidr:/file`, "" for each line that is none; empty where there is no such file."""
    path = word.removeprefix("cidr:")
    try:
        if not path.startswith("/") or Path(path).stat().st_size > _TABLE_BYTES_MAX:
            return []
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return []
    words = [line.split() for line in lines if line.strip() and not line.lstrip().startswith("#")]
    if path != word:  # of a table the first column
        return [_network(columns[0]) for columns in words]
    return [_network(one.strip(",")) for columns in words for one in columns]


# --- milters ---------------------------------------------------------------------------------------------------------


def _milter_socket(milters: str) -> str:
    """Where the edge should listen, if another milter has the usual place; "" for the usual one."""
    taken = f":{_OUR_PORT}" in milters and FAIL_OPEN not in milters
    return f"inet:127.0.0.1:{_OTHER_PORT}" if taken else ""


# --- what to look at -------------------------------------------------------------------------------------------------


def _notes_of_names(known: Mapping[str, str], receiver_from: str) -> Iterator[str]:
    if not receiver_from:
        host = _short(known.get("myhostname") or "not known")
        yield f'no name that the world knows was found (myhostname is {host}), so the replies speak of "{NOBODY_KNOWN}": put your domain into receiver.'


def _notes_of_networks(
    known: Mapping[str, str], networks: list[str], unread: list[str], made: frozenset[str]
) -> Iterator[str]:
    if "mynetworks" not in known:
        yield "mynetworks is not known: add your own networks and relays to PATCHGATE_NEVER_JUDGED, or save the whole output of `postconf` and not that of `postconf -n`."
    wide = [one for one in networks if one not in ALWAYS and not one.endswith(("/32", "/128"))]
    if "mynetworks" in made and wide:
        yield f"mynetworks is not set, so Postfix made it out of its interfaces: whoever shares {', '.join(wide)} with you is never judged."
    for network in networks:
        if network.endswith("/0"):
            yield f"mynetworks holds {network}, which is everybody: nothing will ever be judged."
    for word in unread:
        if word.startswith("!"):
            yield f"mynetworks takes {_short(word[1:])} out again; PATCHGATE_NEVER_JUDGED cannot, so mail from there is not judged either."
        else:
            yield f"mynetworks names {_short(word)}, which was not read: add what it holds to PATCHGATE_NEVER_JUDGED, else these hosts are judged."


def _notes_of_clients(known: Mapping[str, str]) -> Iterator[str]:
    if "yes" not in (known.get("smtpd_tls_ask_ccert"), known.get("smtpd_tls_req_ccert")):
        yield "smtpd_tls_ask_ccert is not yes: Postfix asks for no client certificate, so tls_names of a connector match nobody; ranges do."
    if certificates := known.get("relay_clientcerts"):
        yield f"relay_clientcerts ({_short(certificates)}) lets clients relay by the fingerprint of their certificate, which no milter is told: name your own servers among them in PATCHGATE_NEVER_JUDGED, those of others by range or by verified name in a connector."


def _notes_of_milters(known: Mapping[str, str], socket: str) -> Iterator[str]:
    milters = known.get("smtpd_milters", "")
    if socket:
        yield f"smtpd_milters ({_short(milters)}) has the edge's usual port {_OUR_PORT} already (rspamd's proxy?), so PATCHGATE_MILTER_SOCKETS names another."
    elif milters and FAIL_OPEN not in milters:
        yield f"smtpd_milters names others ({_short(milters)}): `patchgate recipe postfix` keeps them in front."


def _short(value: str) -> str:
    """What a sentence can hold of it."""
    return value if len(value) <= _SHOWN else f"{value[:_SHOWN]} ..."

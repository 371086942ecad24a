r"""
Which mail server wrote a line that no Exchange of 2007 or later wrote.

A server names itself in one of four places, and only these are read:

1. `by HOST (NAME VERSION)`: the first comment behind the host that is no address and no envelope sender;
2. `by HOST with NAME(VERSION)`: the words right behind `with` (or `via`);
3. `by HOST with PROTOCOL (NAME VERSION)`: the comments right behind the protocol, before `id` and `for`;
4. `(NAME ...)` where the line begins with a bracket and names no host.

What a client can say stands elsewhere: before `by`, behind `for`, inside `envelope-from`, behind the date. A comment counts
only if all of it has the form of the table. Every pattern is bounded; a comment above COMMENT_LENGTH_MAX is not read.
"""

import re
from collections.abc import Mapping
from typing import NamedTuple

from shared.domain.header_text import ByClause, comments_of

COMMENT_LENGTH_MAX = 200
"""Characters of a comment that is read; the longest of the forms below has 90. A longer one names nothing."""

_COMMENTS_MAX = 6  # comments looked at in one place; real lines have 4 at most

AFTER_BY = "after-by"
AFTER_WITH = "after-with"
AT_START = "at-start"

VERSION = "other-product"
NO_VERSION = "no-version-shown"
NUMBER_IS_NO_VERSION = "number-is-no-version"
FILTER = "filter-version"
WINDOWS_BUILD = "windows-build"
MAIL_READER = "mail-reader"
UNLISTED = "unlisted-product"

WINDOWS_SMTP = "Windows SMTP service"
"""Prints the build of Windows, never one of Exchange, even where Exchange 2000 or 2003 used it as its transport."""

_WINDOWS = {
    (5, 5): "NT 4",
    (5, 0): "2000",
    (5, 1): "XP",
    (6, 0, 2600): "XP",
    (6, 0, 3790): "Server 2003",
    (6, 0): "Server 2008",
    (7, 0): "Server 2008",
    (7, 5): "Server 2008 R2",
    (8, 0): "Server 2012",
    (8, 5): "Server 2012 R2",
    (10, 0, 14393): "Server 2016",
    (10, 0, 17763): "Server 2019",
    (10, 0, 20348): "Server 2022",
}


class Named(NamedTuple):
    """A product as a line names it. build: as the line has it, "" for none; form: the place; reason: a code of the docs."""

    product: str
    build: str
    form: str
    reason: str


class _Form(NamedTuple):
    product: str
    pattern: re.Pattern[str]
    reason: str = ""


def _form(product: str, pattern: str, reason: str = "") -> _Form:
    return _Form(product, re.compile(pattern, re.ASCII | re.IGNORECASE), reason)


_V = r"(?P<build>\d{1,5}(?:\.\d{1,10}){0,5}[a-z]?\d{0,3})"  # numbers with dots, a letter behind the last at most

_KERIO = r"(?P<build>\d{1,2}\.\d[\w.]{0,12}(?: patch \d{1,3})?(?: (?:beta|RC) ?\d{1,3})?)"

# Behind `by HOST`, or behind the protocol; the whole comment.
_COMMENTS = (
    _form("Postfix", r"Postfix(?:, from userid \d{1,10})?"),
    _form("Exim", r"Exim (?P<build>\d\.\d{1,3}[\w.+-]{0,40})(?: #\d{1,5})?(?: \([\w .+-]{1,40}\))?"),
    _form("Exim", r"Exim"),
    _form("Sentrion", rf"Sentrion-MTA-{_V}/[\w.-]{{1,40}}"),
    _form("Sendmail Switch", rf"Switch-{_V}/Switch-[\w.]{{1,20}}"),
    _form(
        "Sendmail",
        r"(?:AIX[\d.]{1,8}/(?:UCB )?|SGI-|\d{6}\.SGI\.)?"
        r"(?P<build>[58]\.\d{1,3}(?:\.\d{1,8}){0,2}[a-z]?\d{0,2}(?:\.(?:Alpha|Beta|Gamma)\d{0,3})?)"
        r"(?:\+Sun| \(PHNE_\d{1,8}\)|\+|-[\w.]{1,20})?/[^()]{1,80}",
    ),
    _form("Sendmail", r"SMI-(?P<build>8\.\d{1,2})/SMI-SVR4"),
    _form("Sendmail", r"(?P<build>4\.\d)/SMI-4\.\d"),
    _form("Sendmail", r"V?\d[\d.]{0,8} Build \d{1,6} \(Berkeley (?P<build>8\.[\d.]{1,12})\)/[\d.]{1,12}"),
    _form(
        "HCL Domino",
        r"(?:Lotus|IBM|HCL) Domino (?:Release|Version) (?P<build>\d{1,2}\.\d[\w.]{0,16}(?: (?:HF|FP|IF)\d{1,5}){0,2})"
        r"(?: \|[\w ,]{1,30})?(?: \(\w{1,10}\))?",
    ),
    _form("Lotus SMTP MTA", rf"Lotus SMTP MTA v{_V}(?: \([\d. -]{{1,30}}\))?"),
    _form("CommuniGate Pro", r"CommuniGate (?:Pro|SPEC) \w{2,12} (?P<build>\d[\w.]{0,16})(?: _\w{1,20}_)?"),
    _form("Kerio Connect", rf"Kerio Connect {_KERIO}"),
    _form("Kerio MailServer", rf"Kerio MailServer {_KERIO}"),
    _form("MDaemon", r"MDaemon(?:[. ]\w{2,10})?[. ]v(?P<build>\d{1,2}[\w.]{0,12}?)(?:\.[RTU])?"),
    _form("SecurityGateway", rf"SecurityGateway {_V}"),
    _form("IceWarp", rf"IceWarp {_V}(?: [\w.]{{1,12}}){{0,3}}"),
    _form("Merak", rf"Merak {_V}"),
    _form("Oracle Beehive", rf"Oracle Beehive Gateway v{_V}"),
    _form(
        "Oracle Communications Messaging Server",
        r"Oracle Communications Messaging (?:Exchange )?Server (?P<build>\d[\w.-]{0,24})(?:\([\d.]{1,20}\))?"
        r"(?: (?:32|64)bit)?(?: \(built [\w ;]{1,30}\))?",
    ),
    _form(
        "Sun Java System Messaging Server",
        r"Sun (?:Java(?:\(tm\))? System|ONE) Messaging (?:Server|Exchange) "
        r"(?P<build>\d[\w.]{0,10}(?:-[\d.]{1,8}| (?:HotFix|Patch|Update) [\w.]{1,10})?)(?: (?:32|64)bit)?(?: \(built [\w ;]{1,30}\))?",
    ),
    _form(
        "iPlanet Messaging Server",
        r"iPlanet Messaging Server (?P<build>\d\.\d{1,2}(?: (?:HotFix|Patch) [\d.]{1,8})?)(?: \(built [\w ;]{1,30}\))?",
    ),
    _form("Sun Internet Mail Server", r"Sun Internet Mail Server sims\.(?P<build>\d[\w.]{0,40})"),
    _form("InterMail", r"InterMail v[A-Z]{1,2}\.(?P<build>\d[\d.]{1,16})(?: [\d-]{1,40})?"),
    _form("PowerMTA", r"PowerMTA(?:\(TM\))? v(?P<build>\d{1,2}\.\d{1,3}(?:\.\d{1,3})?(?:[a-z]\d{1,3})?)"),
    _form("Ecelerity", rf"ecelerity {_V}(?: r\([^()]{{1,80}}\))?"),
    # The number is the address that it listens on (`KumoMTA {my_address}` in KumoCorp/kumomta, smtp_server.rs).
    _form("KumoMTA", r"KumoMTA(?: [\d.:a-f\[\]]{2,45})?", NUMBER_IS_NO_VERSION),
    _form("Haraka", r"Haraka(?:/(?P<build>\d{1,2}\.\d{1,3}[\w.-]{0,12}))?"),
    _form("qpsmtpd", r"qpsmtpd(?:/(?P<build>\d{1,2}\.\d{1,3}[\w.-]{0,12}))?"),
    _form("IMail", rf"SMTPD(?:32)?-{_V}"),
    _form("Clearswift", rf"Clearswift SMTPRS {_V}"),
    _form(
        "Microsoft Exchange 4.0",
        r"Microsoft Exchange Internet Mail Connector Version (?P<build>4\.0\.\d{1,6}\.\d{1,6})",
    ),
    _form(
        "Microsoft Exchange 5.0", r"Microsoft Exchange Internet Mail Service Version (?P<build>5\.0\.\d{1,6}\.\d{1,6})"
    ),
    _form(
        "Microsoft Exchange 5.5", r"Microsoft Exchange Internet Mail Service Version (?P<build>5\.5\.\d{1,6}\.\d{1,6})"
    ),
    _form("XMail", rf"\[XMail {_V} E?SMTP Server\]"),
    _form("RZmta", rf"RZmta {_V}(?: [A-Z]{{2,10}}){{0,3}}"),
    _form("", r"fetchmail-[\d.]{1,10}[\w.-]{0,20}", MAIL_READER),
    _form("qmail", r"qmail(?:-ldap)?-(?P<build>\d\.\d{1,3})"),
    _form("Post.Office", rf"Post\.Office MTA v{_V} release [\w() .-]{{1,30}} ID# [\w+-]{{1,40}}"),
    _form("Mercury", rf"Mercury(?:/32)? v?{_V}"),
    _form("ArGoSoft Mail Server", rf"ArGoSoft Mail Server[\w /.,-]{{0,60}} Version {_V}(?: \([\d.]{{1,16}}\))?"),
    _form("PMDF", r"PMDF V(?P<build>\d\.\d(?:-\w{1,4})?)(?: #\d{1,8})?"),
    _form("Netscape Messaging Server", rf"Netscape (?:Messaging|Mail) Server v?{_V}"),
    _form("NTMail", r"NTMail (?P<build>\d{1,2}\.\d\d?\.\d{1,4})(?:/[\w.]{1,30})?"),
    _form("AltaVista Mail", r"AltaVista Mail V(?P<build>\d\.\d\w?)(?:/[\w. ]{1,30})?"),
    _form("Smail", rf"/\\==/\\ Smail{_V}(?: #[\d.]{{1,8}})?"),
    _form("FirstClass", rf"FirstClass Mail Server v{_V} build [\d.]{{1,10}}"),
    _form("Tumbleweed MMS", rf"Tumbleweed MMS SMTP Relay \(MMS v{_V}\);?"),
    _form("LISTSERV", r"LISTSERV-TCP/IP release (?P<build>\d{1,2}\.\d\w?)"),
    _form("Mirapoint", rf"MOS {_V}(?:-\w{{1,8}})?"),
    _form("Cellopoint", rf"Cellopoint E-mail Firewall v{_V} Build \d{{1,6}}[\w ./-]{{0,60}}"),
    _form("Ptfp.Office MTA", rf"Ptfp\.Office MTA v{_V} release \([\w+-]{{1,20}}\) ID# [\w+-]{{1,40}}"),
    _form("JAMES", r"JAMES SMTP Server (?P<build>\d[\w.-]{0,20})"),
    _form("Postfix", r"Postfix [\w ./-]{1,20}", NO_VERSION),
    # Named, and no more.
    _form("Proofpoint", r"PPS"),
    _form("amavis", r"amavis(?:d-new|d)?, (?:port \d{1,5}|unix socket)", NUMBER_IS_NO_VERSION),
    _form("Zimbra", r"Zimbra"),
    _form("OpenSMTPD", r"OpenSMTPD"),
    _form("Halon", r"Halon"),
    _form("Axigen", r"Axigen"),
    _form("Stalwart", r"Stalwart(?: SMTP)?"),
    _form("Coremail", r"Coremail"),
    _form("Symantec Messaging Gateway", r"Symantec Messaging Gateway"),
    _form("Symantec Brightmail Gateway", r"Symantec Brightmail Gateway"),
    _form("Proxmox", r"Proxmox"),
    _form("Barracuda", r"Spam (?:& Virus )?Firewall|Barracuda [\w ]{1,40}"),
    _form("Mirapoint", r"Mirapoint(?: Messaging Server)?"),
    _form("Zmail", r"Zmail"),
    _form("Kopano", r"kopano-spooler"),
    _form("PGP Universal", r"PGP Universal service"),
    _form("sSMTP", r"sSMTP sendmail emulation"),
    _form("Totemo", r"Totemo SMTP Server"),
    _form("Nemesis", r"Nemesis"),
    _form("PP", r"PP"),
)

# Right behind `by HOST`: what stands between `with` and the first blank or bracket that is none of the form's own.
_WORDS = (
    _form(
        WINDOWS_SMTP,
        r"(?:over TLS secured channel )?with Microsoft SMTPSVC(?:\((?P<build>\d{1,2}\.\d{1,2}\.\d{1,6}\.\d{1,6}(?:\.\d{1,6})?)\))?(?= ?;| ?$)",
        WINDOWS_BUILD,
    ),
    _form("Microsoft Exchange 4.0", r"with Microsoft Exchange \(IMC (?P<build>4\.\d{1,2}\.\d{1,6}\.\d{1,6}) ?\)"),
    _form("Microsoft Exchange 5.0", r"with Internet Mail Service \((?P<build>5\.0\.\d{1,6}\.\d{1,6}) ?\)"),
    _form("Microsoft Exchange 5.5", r"with Internet Mail Service \((?P<build>5\.5\.\d{1,6}\.\d{1,6}) ?\)"),
    _form("GroupWise", r"with Novell_GroupWise(?![\w.])"),
    _form("NetMail", rf"with NetMail SMTP Agent \$Revision: {_V} \$"),
    _form("MailEnable", r"with MailEnable E?SMTPS?A?(?![\w.])"),
    _form("MailMarshal", r"with MailMarshal \(v(?P<build>\d{1,3}(?:,\d{1,6}){1,3})\)"),
    _form("Trustwave SEG", r"with Trustwave SEG \(v(?P<build>\d{1,3}(?:,\d{1,6}){1,3})\)"),
    _form("MailGates", rf"with MailGates ESMTP Server V{_V}\([\w:.-]{{1,40}}\)"),
    _form("SMTPBeamer", rf"with SMTPBeamer v{_V}(?= ?;| ?$)"),
    _form("csmap", rf"via csmap \(V{_V}\)"),
    _form("qmail-scanner", rf"(?:by uid \d{{1,10}} )?with qmail-scanner-{_V} \("),
)

# Lines without a host begin with one.
_STARTS = (
    _form(
        "qmail", r"qmail \d{1,10} invoked (?:by (?:uid \d{1,10}|alias)|from network|for bounce)", NUMBER_IS_NO_VERSION
    ),
    _form("nullmailer", r"nullmailer pid \d{1,10} invoked by uid \d{1,10}", NUMBER_IS_NO_VERSION),
    _form("eYou", rf"eyou anti_spam gateway {_V} ?"),
)

# A name and a version that no row has; words that begin other comments (TLS, addresses, who is logged in) are no names.
_UNLISTED = re.compile(
    r"(?!(?:using|version|authenticated|envelope|built|tls|ssl|cipher|from|helo|ehlo|port|ipv[46]|sender|no|user|uid|may|"
    r"misconfigured|not|unverified|verified|orcpt|peer|quiet|client|auth|account|rcpt|return|bits|id|for|by|with|via|as|on|"
    r"single|ip|host|proxied|unknown|localhost)\b)"
    r"(?P<product>[a-z][a-z0-9&+_']{1,30}(?:[ .-][a-z][a-z0-9&+_'-]{0,30}){0,6}?)"
    r"(?:(?:[ /]| v| V|/v| version | release )(?P<build>\d{1,4}(?:\.\d{1,10}){1,5}[a-z]{0,2}\d{0,3}(?:-\w{1,16})?)"
    r"|-v?(?P<after_dash>\d{1,4}(?:\.\d{1,10}){1,2}[a-z]{0,2}\d{0,3}))",  # with four numbers it could be an address
    re.ASCII | re.IGNORECASE,
)

# Comments whose text, or end, a client may have a say in: nothing behind them is read, but for an envelope sender in order.
_ENVELOPE_SENDER = re.compile(r"envelope-from <?(?:@[\w.-]{1,255})?>?", re.ASCII)
_CLIENT_COMMENT = re.compile(
    r"(?:-$|envelope-from|auth|sender|user|account|from|helo|ehlo|client|orcpt|rcpt)", re.ASCII | re.IGNORECASE
)

_WITH_PROTOCOL = re.compile(r" ?(?:with|via) [A-Za-z0-9][\w/.-]{0,60}(?=[ ;]|$)", re.ASCII)
_TLS_WORD = re.compile(r" tls [\w.-]{1,60}(?= )", re.ASCII)
_SLMAIL = re.compile(r"[^()]{0,120},SLmail V(?P<build>\d{1,2}\.\d{1,3})", re.ASCII)

_PROOFPOINT_HOSTS = ("pps.filterd", "ppops.net", "pphosted.com")
_PROOFPOINT_NUMBERS = re.compile(r"8\.1[678]\.\d{1,2}\.\d{1,3}/8\.1[678]\.\d{1,2}\.\d{1,3}\)", re.ASCII)


def product_of_line(line: str, by: ByClause | None) -> Named | None:
    """The product that a redacted line names, with its `by` clause as `by_clause_of` finds it; None: it names none."""
    if by is None:
        return _at_start(line)
    tail = line[by.end : by.clauses_end]
    comments = dict(comments_of(tail)) if "(" in tail else {}
    if by.name == "forcepoint" and tail.startswith(" Email with "):  # it writes its own name where the host belongs
        return Named("Forcepoint Email Security", "", AFTER_BY, NO_VERSION)
    # Sendmail 5 ends the host with a semicolon.
    place, named = _read_comments(tail, comments, 1 if tail.startswith("; (") else 0, AFTER_BY)
    if named is not None or place < 0:
        return _as_filter(named, tail, by.name) if named else None
    return _behind_with(line, tail, comments, place)


def windows_of(build: str) -> str:
    """The Windows whose SMTP service prints *build*, such as `Server 2003`; "" if the table has none."""
    numbers = tuple(int(number) for number in build.split(".")) if build else ()
    return _WINDOWS.get(numbers[:3]) or _WINDOWS.get(numbers[:2], "")


def _behind_with(line: str, tail: str, comments: Mapping[int, int], place: int) -> Named | None:
    begin = place + 1 if tail.startswith(" ", place) else place
    for form in _WORDS:
        found = form.pattern.match(tail, begin)
        if found is not None:
            return _named(form, found, AFTER_WITH)
    protocol = _WITH_PROTOCOL.match(tail, place)
    if protocol is None:
        return _of_slmail(line, tail, comments)
    return _read_comments(tail, comments, protocol.end(), AFTER_WITH)[1]


def _read_comments(tail: str, comments: Mapping[int, int], place: int, form: str) -> tuple[int, Named | None]:
    """The first comment from *place* on that names a product, and where reading stopped; -1 where it must stop."""
    for _ in range(_COMMENTS_MAX):
        word = _TLS_WORD.match(tail, place)
        begin = word.end() if word else place
        begin += tail.startswith(" ", begin)
        end = comments.get(begin)
        if end is None:
            return place, None
        comment = tail[begin + 1 : end - 1]
        named = _of_comment(comment, form)
        if named is not None:
            return end, named
        if _CLIENT_COMMENT.match(comment) and not _ENVELOPE_SENDER.fullmatch(comment):
            return -1, None
        place = end
    return -1, None


def _of_comment(comment: str, place: str) -> Named | None:
    if len(comment) > COMMENT_LENGTH_MAX:
        return None
    for form in _COMMENTS:
        found = form.pattern.fullmatch(comment)
        if found is not None:
            return _named(form, found, place)
    found = _UNLISTED.fullmatch(comment)
    if found is None:
        return None
    return Named(found["product"], found["build"] or found["after_dash"], place, UNLISTED)


def _as_filter(named: Named, tail: str, host: str) -> Named:
    """Proofpoint's filters carry the numbers of the Sendmail in them: no server of the sender's."""
    if named.product != "Sendmail":
        return named
    known = host.endswith(_PROOFPOINT_HOSTS)
    return (
        named._replace(product="Proofpoint", reason=FILTER)
        if known or _PROOFPOINT_NUMBERS.match(tail.lstrip(" ("))
        else named
    )


def _of_slmail(line: str, tail: str, comments: Mapping[int, int]) -> Named | None:
    """SLmail names itself in the last comment, behind `by HOST from NAME`."""
    if not comments or not tail.startswith(" from ") or line[:3].lower() != "by ":
        return None
    begin, end = list(comments.items())[-1]
    found = _SLMAIL.fullmatch(tail, begin + 1, end - 1)
    return Named("SLmail", found["build"], AFTER_BY, VERSION) if found else None


def _at_start(line: str) -> Named | None:
    if not line.startswith("("):
        return None
    end = dict(comments_of(line)).get(0, 0)
    if not 0 < end <= COMMENT_LENGTH_MAX:
        return None
    for form in _STARTS:
        found = form.pattern.fullmatch(line, 1, end - 1)
        if found is not None:
            return _named(form, found, AT_START)
    return None


def _named(form: _Form, found: re.Match[str], place: str) -> Named:
    build = found.groupdict().get("build") or ""
    return Named(form.product, build, place, form.reason or (VERSION if build else NO_VERSION))

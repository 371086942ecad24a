"""
How mail servers other than Exchange name themselves in their lines: tables, most common first, and no rule.

Each pattern is bounded and matches the whole of a text that `products.py` has found in one of the places where only the
server writes. Source: forms counted in public mail archives, 1996 to 2026; some of old servers from general knowledge.
"""

import re
from typing import NamedTuple

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


def windows_of(build: str) -> str:
    """The Windows whose SMTP service prints *build*, such as `Server 2003`; "" if the table has none."""
    numbers = tuple(int(number) for number in build.split(".")) if build else ()
    return _WINDOWS.get(numbers[:3]) or _WINDOWS.get(numbers[:2], "")


class Form(NamedTuple):
    """How a product names itself. pattern: of the whole text in its place; group `build` where it shows one. reason: if no usual one."""

    product: str
    pattern: re.Pattern[str]
    reason: str = ""


def form(product: str, pattern: str, reason: str = "") -> Form:
    """One row; letters may be of either case, and only those of ASCII are letters."""
    return Form(product, re.compile(pattern, re.ASCII | re.IGNORECASE), reason)


_V = r"(?P<build>\d{1,5}(?:\.\d{1,10}){0,5}[a-z]?\d{0,3})"  # numbers with dots, a letter behind the last at most

_KERIO = r"(?P<build>\d{1,2}\.\d[\w.]{0,12}(?: patch \d{1,3})?(?: (?:beta|RC) ?\d{1,3})?)"

# Behind `by HOST`, or behind the protocol; the whole comment.
COMMENTS = (
    form("Postfix", r"Postfix(?:, from userid \d{1,10})?"),
    form("Exim", r"Exim (?P<build>\d\.\d{1,3}[\w.+-]{0,40})(?: #\d{1,5})?(?: \([\w .+-]{1,40}\))?"),
    form("Exim", r"Exim"),
    form("Sentrion", rf"Sentrion-MTA-{_V}/[\w.-]{{1,40}}"),
    form("Sendmail Switch", rf"Switch-{_V}/Switch-[\w.]{{1,20}}"),
    form(
        "Sendmail",
        r"(?:AIX[\d.]{1,8}/(?:UCB )?|SGI-|\d{6}\.SGI\.)?"
        r"(?P<build>[58]\.\d{1,3}(?:\.\d{1,8}){0,2}[a-z]?\d{0,2}(?:\.(?:Alpha|Beta|Gamma)\d{0,3})?)"
        r"(?:\+Sun| \(PHNE_\d{1,8}\)|\+|-[\w.]{1,20})?/[^()]{1,80}",
    ),
    form("Sendmail", r"SMI-(?P<build>8\.\d{1,2})/SMI-SVR4"),
    form("Sendmail", r"(?P<build>4\.\d)/SMI-4\.\d"),
    form("Sendmail", r"V?\d[\d.]{0,8} Build \d{1,6} \(Berkeley (?P<build>8\.[\d.]{1,12})\)/[\d.]{1,12}"),
    form(
        "HCL Domino",
        r"(?:Lotus|IBM|HCL) Domino (?:Release|Version) (?P<build>\d{1,2}\.\d[\w.]{0,16}(?: (?:HF|FP|IF)\d{1,5}){0,2})"
        r"(?: \|[\w ,]{1,30})?(?: \(\w{1,10}\))?",
    ),
    form("Lotus SMTP MTA", rf"Lotus SMTP MTA v{_V}(?: \([\d. -]{{1,30}}\))?"),
    form("CommuniGate Pro", r"CommuniGate (?:Pro|SPEC) \w{2,12} (?P<build>\d[\w.]{0,16})(?: _\w{1,20}_)?"),
    form("Kerio Connect", rf"Kerio Connect {_KERIO}"),
    form("Kerio MailServer", rf"Kerio MailServer {_KERIO}"),
    form("MDaemon", r"MDaemon(?:[. ]\w{2,10})?[. ]v(?P<build>\d{1,2}[\w.]{0,12}?)(?:\.[RTU])?"),
    form("SecurityGateway", rf"SecurityGateway {_V}"),
    form("IceWarp", rf"IceWarp {_V}(?: [\w.]{{1,12}}){{0,3}}"),
    form("Merak", rf"Merak {_V}"),
    form("Oracle Beehive", rf"Oracle Beehive Gateway v{_V}"),
    form(
        "Oracle Communications Messaging Server",
        r"Oracle Communications Messaging (?:Exchange )?Server (?P<build>\d[\w.-]{0,24})(?:\([\d.]{1,20}\))?"
        r"(?: (?:32|64)bit)?(?: \(built [\w ;]{1,30}\))?",
    ),
    form(
        "Sun Java System Messaging Server",
        r"Sun (?:Java(?:\(tm\))? System|ONE) Messaging (?:Server|Exchange) "
        r"(?P<build>\d[\w.]{0,10}(?:-[\d.]{1,8}| (?:HotFix|Patch|Update) [\w.]{1,10})?)(?: (?:32|64)bit)?(?: \(built [\w ;]{1,30}\))?",
    ),
    form(
        "iPlanet Messaging Server",
        r"iPlanet Messaging Server (?P<build>\d\.\d{1,2}(?: (?:HotFix|Patch) [\d.]{1,8})?)(?: \(built [\w ;]{1,30}\))?",
    ),
    form("Sun Internet Mail Server", r"Sun Internet Mail Server sims\.(?P<build>\d[\w.]{0,40})"),
    form("InterMail", r"InterMail v[A-Z]{1,2}\.(?P<build>\d[\d.]{1,16})(?: [\d-]{1,40})?"),
    form("PowerMTA", r"PowerMTA(?:\(TM\))? v(?P<build>\d{1,2}\.\d{1,3}(?:\.\d{1,3})?(?:[a-z]\d{1,3})?)"),
    form("Ecelerity", rf"ecelerity {_V}(?: r\([^()]{{1,80}}\))?"),
    # The number is the address that it listens on (`KumoMTA {my_address}` in KumoCorp/kumomta, smtp_server.rs).
    form("KumoMTA", r"KumoMTA(?: [\d.:a-f\[\]]{2,45})?", NUMBER_IS_NO_VERSION),
    form("Haraka", r"Haraka(?:/(?P<build>\d{1,2}\.\d{1,3}[\w.-]{0,12}))?"),
    form("qpsmtpd", r"qpsmtpd(?:/(?P<build>\d{1,2}\.\d{1,3}[\w.-]{0,12}))?"),
    form("IMail", rf"SMTPD(?:32)?-{_V}"),
    form("Clearswift", rf"Clearswift SMTPRS {_V}"),
    form(
        "Microsoft Exchange 4.0",
        r"Microsoft Exchange Internet Mail Connector Version (?P<build>4\.0\.\d{1,6}\.\d{1,6})",
    ),
    form(
        "Microsoft Exchange 5.0", r"Microsoft Exchange Internet Mail Service Version (?P<build>5\.0\.\d{1,6}\.\d{1,6})"
    ),
    form(
        "Microsoft Exchange 5.5", r"Microsoft Exchange Internet Mail Service Version (?P<build>5\.5\.\d{1,6}\.\d{1,6})"
    ),
    form("XMail", rf"\[XMail {_V} E?SMTP Server\]"),
    form("RZmta", rf"RZmta {_V}(?: [A-Z]{{2,10}}){{0,3}}"),
    form("", r"fetchmail-[\d.]{1,10}[\w.-]{0,20}", MAIL_READER),
    form("qmail", r"qmail(?:-ldap)?-(?P<build>\d\.\d{1,3})"),
    form("Post.Office", rf"Post\.Office MTA v{_V} release [\w() .-]{{1,30}} ID# [\w+-]{{1,40}}"),
    form("Mercury", rf"Mercury(?:/32)? v?{_V}"),
    form("ArGoSoft Mail Server", rf"ArGoSoft Mail Server[\w /.,-]{{0,60}} Version {_V}(?: \([\d.]{{1,16}}\))?"),
    form("PMDF", r"PMDF V(?P<build>\d\.\d(?:-\w{1,4})?)(?: #\d{1,8})?"),
    form("Netscape Messaging Server", rf"Netscape (?:Messaging|Mail) Server v?{_V}"),
    form("NTMail", r"NTMail (?P<build>\d{1,2}\.\d\d?\.\d{1,4})(?:/[\w.]{1,30})?"),
    form("AltaVista Mail", r"AltaVista Mail V(?P<build>\d\.\d\w?)(?:/[\w. ]{1,30})?"),
    form("Smail", rf"/\\==/\\ Smail{_V}(?: #[\d.]{{1,8}})?"),
    form("FirstClass", rf"FirstClass Mail Server v{_V} build [\d.]{{1,10}}"),
    form("Tumbleweed MMS", rf"Tumbleweed MMS SMTP Relay \(MMS v{_V}\);?"),
    form("LISTSERV", r"LISTSERV-TCP/IP release (?P<build>\d{1,2}\.\d\w?)"),
    form("Mirapoint", rf"MOS {_V}(?:-\w{{1,8}})?"),
    form("Cellopoint", rf"Cellopoint E-mail Firewall v{_V} Build \d{{1,6}}[\w ./-]{{0,60}}"),
    form("Ptfp.Office MTA", rf"Ptfp\.Office MTA v{_V} release \([\w+-]{{1,20}}\) ID# [\w+-]{{1,40}}"),
    form("JAMES", r"JAMES SMTP Server (?P<build>\d[\w.-]{0,20})"),
    form("Postfix", r"Postfix [\w ./-]{1,20}", NO_VERSION),
    # Named, and no more.
    form("Proofpoint", r"PPS"),
    form("amavis", r"amavis(?:d-new|d)?, (?:port \d{1,5}|unix socket)", NUMBER_IS_NO_VERSION),
    form("Zimbra", r"Zimbra"),
    form("OpenSMTPD", r"OpenSMTPD"),
    form("Halon", r"Halon"),
    form("Axigen", r"Axigen"),
    form("Stalwart", r"Stalwart(?: SMTP)?"),
    form("Coremail", r"Coremail"),
    form("Symantec Messaging Gateway", r"Symantec Messaging Gateway"),
    form("Symantec Brightmail Gateway", r"Symantec Brightmail Gateway"),
    form("Proxmox", r"Proxmox"),
    form("Barracuda", r"Spam (?:& Virus )?Firewall|Barracuda [\w ]{1,40}"),
    form("Mirapoint", r"Mirapoint(?: Messaging Server)?"),
    form("Zmail", r"Zmail"),
    form("Kopano", r"kopano-spooler"),
    form("PGP Universal", r"PGP Universal service"),
    form("sSMTP", r"sSMTP sendmail emulation"),
    form("Totemo", r"Totemo SMTP Server"),
    form("Nemesis", r"Nemesis"),
    form("PP", r"PP"),
)

# Right behind `by HOST`: what stands between `with` and the first blank or bracket that is none of the form's own.
WORDS = (
    form(
        WINDOWS_SMTP,
        r"(?:over TLS secured channel )?with Microsoft SMTPSVC(?:\((?P<build>\d{1,2}\.\d{1,2}\.\d{1,6}\.\d{1,6}(?:\.\d{1,6})?)\))?(?= ?;| ?$)",
        WINDOWS_BUILD,
    ),
    form("Microsoft Exchange 4.0", r"with Microsoft Exchange \(IMC (?P<build>4\.\d{1,2}\.\d{1,6}\.\d{1,6}) ?\)"),
    form("Microsoft Exchange 5.0", r"with Internet Mail Service \((?P<build>5\.0\.\d{1,6}\.\d{1,6}) ?\)"),
    form("Microsoft Exchange 5.5", r"with Internet Mail Service \((?P<build>5\.5\.\d{1,6}\.\d{1,6}) ?\)"),
    form("GroupWise", r"with Novell_GroupWise(?![\w.])"),
    form("NetMail", rf"with NetMail SMTP Agent \$Revision: {_V} \$"),
    form("MailEnable", r"with MailEnable E?SMTPS?A?(?![\w.])"),
    form("MailMarshal", r"with MailMarshal \(v(?P<build>\d{1,3}(?:,\d{1,6}){1,3})\)"),
    form("Trustwave SEG", r"with Trustwave SEG \(v(?P<build>\d{1,3}(?:,\d{1,6}){1,3})\)"),
    form("MailGates", rf"with MailGates ESMTP Server V{_V}\([\w:.-]{{1,40}}\)"),
    form("SMTPBeamer", rf"with SMTPBeamer v{_V}(?= ?;| ?$)"),
    form("csmap", rf"via csmap \(V{_V}\)"),
    form("qmail-scanner", rf"(?:by uid \d{{1,10}} )?with qmail-scanner-{_V} \("),
)

# Lines without a host begin with one.
STARTS = (
    form(
        "qmail", r"qmail \d{1,10} invoked (?:by (?:uid \d{1,10}|alias)|from network|for bounce)", NUMBER_IS_NO_VERSION
    ),
    form("nullmailer", r"nullmailer pid \d{1,10} invoked by uid \d{1,10}", NUMBER_IS_NO_VERSION),
    form("eYou", rf"eyou anti_spam gateway {_V} ?"),
)

# A name and a version that no row has; words that begin other comments (TLS, addresses, who is logged in) are no names.
UNLISTED_COMMENT = re.compile(
    r"(?!(?:using|version|authenticated|envelope|built|tls|ssl|cipher|from|helo|ehlo|port|ipv[46]|sender|no|user|uid|may|"
    r"misconfigured|not|unverified|verified|orcpt|peer|quiet|client|auth|account|rcpt|return|bits|id|for|by|with|via|as|on|"
    r"single|ip|host|proxied|unknown|localhost)\b)"
    r"(?P<product>[a-z][a-z0-9&+_']{1,30}(?:[ .-][a-z][a-z0-9&+_'-]{0,30}){0,6}?)"
    r"(?:(?:[ /]| v| V|/v| version | release )(?P<build>\d{1,4}(?:\.\d{1,10}){1,5}[a-z]{0,2}\d{0,3}(?:-\w{1,16})?)"
    r"|-v?(?P<after_dash>\d{1,4}(?:\.\d{1,10}){1,2}[a-z]{0,2}\d{0,3}))",  # with four numbers it could be an address
    re.ASCII | re.IGNORECASE,
)

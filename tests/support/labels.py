"""
Labels for real lines, by form: one pattern a row of the tables that describe the forms, without any care where it stands.

That is what somebody with a search tool would write down. It is wrong where a client said the words; the slow reader is not.
"""

import re

HOSTED = re.compile(
    r"(?:^|\.)(?:outlook\.com|exchangelabs\.com|outlook\.cn|office365\.com|bigfish\.com)$", re.IGNORECASE
)

_EXCHANGE = re.compile(
    r"\sby\s+(?P<host>\S+)[^;]*?\bwith\s+(?:Microsoft\s+SMTP\s+Server|mapi|ShadowRedundancy)[^;]*?\sid\s+(?P<build>\d+\.\d+\.\d+\.\d+)"
)
_PROOFPOINT = re.compile(r"\((8\.1[678]\.\d+\.\d+)/\1\)|by \S+(?:pps\.filterd|ppops\.net|pphosted\.com) \((8\.[\d.]+)/")

# Product, and a pattern whose first group is the build. A row without a group: the product shows none.
_ROWS: tuple[tuple[str, str], ...] = (
    ("Microsoft Exchange 4.0", r"\(IMC (4\.[\d.]+)"),
    ("Microsoft Exchange 5.0", r"Internet Mail Service (?:Version |\()(5\.0\.[\d.]+)"),
    ("Microsoft Exchange 5.5", r"Internet Mail Service (?:Version |\()(5\.5\.[\d.]+)"),
    ("Windows SMTP service", r"with Microsoft SMTPSVC\(([\d.]+)\)"),
    ("Windows SMTP service", r"with Microsoft SMTPSVC;"),
    ("Exim", r"\(Exim (\d[^\s()]*)"),
    ("Exim", r"\(Exim\)"),
    ("Sentrion", r"\(Sentrion-MTA-([\d.]+)/"),
    ("Sendmail Switch", r"\(Switch-([\d.]+)/"),
    ("Sendmail", r"\((?:AIX[\d.]+/|SGI-|\d{6}\.SGI\.)?([58]\.\d+[\d.]*)(?:\+Sun| \(PHNE_\d+\))?/"),
    ("Sendmail", r"\(Berkeley (8[\d.]+)\)/"),
    ("HCL Domino", r"\((?:Lotus|IBM|HCL) Domino Release ([^\s()]+(?: HF\d+)?)"),
    ("CommuniGate Pro", r"\(CommuniGate \w+ SMTP ([\d.]+)"),
    ("Kerio Connect", r"\(Kerio Connect ([\d.]+(?: patch \d+)?)"),
    ("Kerio MailServer", r"\(Kerio MailServer ([\d.]+)"),
    ("MDaemon", r"\(MDaemon(?:[. ]PRO)?[. ]v([\d.]+\d[a-z]?)"),
    ("SecurityGateway", r"\(SecurityGateway ([\d.]+)"),
    ("IceWarp", r"\(IceWarp ([\d.]+)"),
    ("Merak", r"\(Merak ([\d.]+)"),
    ("Oracle Communications Messaging Server", r"\(Oracle Communications Messaging Server ([\d.]+)"),
    ("iPlanet Messaging Server", r"\(iPlanet Messaging Server ([\d.]+(?: (?:HotFix|Patch) [\d.]+)?)"),
    ("Sun Internet Mail Server", r"\(Sun Internet Mail Server sims\.(\S+?)\)"),
    ("InterMail", r"\(InterMail vM\.([\d.]+)"),
    ("PowerMTA", r"\(PowerMTA\(TM\) v([^\s()]+)"),
    ("Ecelerity", r"\(ecelerity ([\d.]+)"),
    ("KumoMTA", r"\(KumoMTA "),
    ("Haraka", r"\(Haraka/([\d.]+)"),
    ("qpsmtpd", r"\(qpsmtpd/([\d.]+)"),
    ("IMail", r"\(SMTPD(?:32)?-([\d.]+)\)"),
    ("Clearswift", r"\(Clearswift SMTPRS ([\d.]+)"),
    ("Trustwave SEG", r"with Trustwave SEG \(v([\d,]+)\)"),
    ("MailMarshal", r"with MailMarshal \(v([\d,]+)\)"),
    ("Proofpoint", r"\(PPS\)"),
    ("Postfix", r"\(Postfix(?:\)|, from)"),
    ("Zimbra", r"\(Zimbra\)"),
    ("OpenSMTPD", r"\(OpenSMTPD\)"),
    ("Halon", r"\(Halon\)"),
    ("Axigen", r"\(Axigen\)"),
    ("Coremail", r"\(Coremail\)"),
    ("Symantec Messaging Gateway", r"\(Symantec Messaging Gateway\)"),
    ("Proxmox", r"\(Proxmox\)"),
    ("Barracuda", r"\(Spam Firewall\)"),
    ("GroupWise", r"with Novell_GroupWise"),
    ("MailEnable", r"with MailEnable "),
    ("qmail", r"^ ?\(qmail \d+ invoked"),
    ("nullmailer", r"^ ?\(nullmailer pid"),
    ("amavis", r"\(amavis(?:d-new)?, port"),
)  # fmt: skip
_PATTERNS = [(product, re.compile(pattern)) for product, pattern in _ROWS]


def label_of(value: str) -> tuple[str, str] | None:
    """Product and build of one value; None where no row of the tables has its form."""
    line = re.sub(r"\s+", " ", value)
    exchange = _EXCHANGE.search(line)
    if exchange is not None:
        build = ".".join(str(int(number)) for number in exchange["build"].split("."))
        return ("Exchange Online" if HOSTED.search(exchange["host"]) else _year(build)), build
    found = _PROOFPOINT.search(line)
    if found is not None:
        return "Proofpoint", found[1] or found[2]
    for product, pattern in _PATTERNS:
        found = pattern.search(line)
        if found is not None:
            return product, found[1] if pattern.groups else ""
    return None


def _year(build: str) -> str:
    major, minor, third, _ = map(int, build.split("."))
    by_number = {8: "2007", 14: "2010", 150: "2013", 151: "2016"}
    if major == 15 and minor == 2:
        return f"Microsoft Exchange {'SE' if third >= 2562 else '2019'}"
    year = by_number.get(major if major < 15 else major * 10 + minor)
    return f"Microsoft Exchange {year}" if year else ""

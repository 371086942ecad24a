"""
A second reader of `Received` lines, slow and written apart from the first: a scanner and a grammar, no pattern for a whole line.

    line    = [comment] ["from" NAME rest] "by" HOST *(comment) *(clause) ";" date
    clause  = ("with" | "via" | "over" | "id" | "for" ...) words *(comment)

It reads from the left, where the first reader looks for the last `by` from the right, and it knows products by their words.
"""

from typing import NamedTuple

HOSTED = ("outlook.com", "exchangelabs.com", "partner.outlook.cn", "office365.com", "bigfish.com")
_CLAUSES = {"from", "by", "with", "via", "id", "for", "over"}


class Token(NamedTuple):
    """A piece of a line. kind: word, comment, quoted, angle or semicolon."""

    kind: str
    text: str


class SlowReading(NamedTuple):
    """What the slow reader finds; product and build are "" where there is none."""

    host: str
    product: str
    build: str


def tokens_of(line: str) -> list[Token]:
    """Cut a line into its pieces, character by character."""
    found: list[Token] = []
    place = 0
    while place < len(line):
        sign = line[place]
        if sign.isspace():
            place += 1
            continue
        if sign == ";":
            found.append(Token("semicolon", sign))
            place += 1
        elif sign == "(" and (closing := _closing(line, place)) is not None:
            found.append(Token("comment", " ".join(line[place + 1 : closing].split())))
            place = closing + 1
        elif sign in '<"' and (end := line.find(">" if sign == "<" else '"', place + 1)) > 0:
            found.append(Token("angle" if sign == "<" else "quoted", line[place + 1 : end]))
            place = end + 1
        else:
            end = place + 1
            while end < len(line) and not line[end].isspace() and line[end] not in ";(<":
                end += 1
            found.append(Token("word", line[place:end]))
            place = end
    return found


def _closing(line: str, opening: int) -> int | None:
    depth = 0
    for place in range(opening, len(line)):
        depth += (line[place] == "(") - (line[place] == ")")
        if depth == 0:
            return place
    return None


def read(value: str) -> SlowReading:
    """Read one header value."""
    tokens = tokens_of(value)
    place = _by(tokens)
    if place is None:
        return SlowReading("", *_without_host(tokens))
    host = tokens[place + 1].text.lower().rstrip(".")
    behind: list[Token] = []
    for token in tokens[place + 2 :]:
        if token.kind == "semicolon" and behind:
            break
        behind.append(token)
    product, build = _product(host, [token for token in behind if token.kind != "semicolon"])
    return SlowReading(host, product, build)


def _by(tokens: list[Token]) -> int | None:
    """The first word `by` that is no name after `from`, with a host behind it; one more if that is followed by `by` too."""
    found = None
    for place, token in enumerate(tokens[:-1]):
        if token.kind == "semicolon" and found is not None:
            break
        named = place and tokens[place - 1].text.lower() == "from"
        if token.kind == "word" and token.text.lower() == "by" and not named and tokens[place + 1].kind == "word":
            if tokens[place + 1].text.lower() == "uid" or "@" in tokens[place + 1].text:
                continue
            found = place
    return found


def _without_host(tokens: list[Token]) -> tuple[str, str]:
    words = tokens[0].text.split() if tokens and tokens[0].kind == "comment" else []
    if words[:1] in (["qmail"], ["nullmailer"]):
        return words[0], ""
    return ("eYou", words[3]) if words[:3] == ["eyou", "anti_spam", "gateway"] else ("", "")


def _product(host: str, behind: list[Token]) -> tuple[str, str]:
    if host == "forcepoint" and behind[:1] == [Token("word", "Email")]:
        return "Forcepoint Email Security", ""
    clauses = _clauses(behind)
    said = [token.text for token in clauses.get("with", [])]
    exchange = _exchange(host, behind, clauses)
    if exchange is not None:
        return exchange
    for token in behind:
        if token.kind != "comment":
            break
        product, build = _of_comment(token.text, host)
        if product:
            return product, build
    if "from" in clauses and behind and behind[-1].kind == "comment" and ",SLmail V" in behind[-1].text:
        return "SLmail", behind[-1].text.rpartition("V")[2]
    return _with_words(said, clauses, host)


def _clauses(behind: list[Token]) -> dict[str, list[Token]]:
    """The pieces behind each clause word; of two with one word the first counts."""
    clauses: dict[str, list[Token]] = {}
    current: list[Token] = []
    for token in behind:
        if token.kind == "word" and token.text.lower() in _CLAUSES:
            current = clauses.setdefault(token.text.lower(), [])
        else:
            current.append(token)
    return clauses


def _exchange(host: str, behind: list[Token], clauses: dict[str, list[Token]]) -> tuple[str, str] | None:
    with_ = clauses.get("with", [])
    words = [token.text for token in with_ if token.kind == "word"]
    hosted = any(host == end or host.endswith("." + end) for end in HOSTED)
    if hosted and words[:1] in (["HTTPS"], ["HTTP"]):
        return "Exchange Online", ""
    if words not in (["Microsoft", "SMTP", "Server"], ["mapi"], ["ShadowRedundancy"]):
        return None
    if not behind or behind[0].kind != "comment" or not _is_address(behind[0].text):
        return None
    numbers = [token.text for token in clauses.get("id", [])][:1]
    build = [int(number) for number in numbers[0].split(".")] if numbers and _is_numbers(numbers[0]) else []
    shown = ".".join(map(str, build))
    if hosted:
        return "Exchange Online", shown
    if not build:
        return ("Microsoft Exchange 2007", "") if words == ["mapi"] else ("", "")
    product = _generation(build)
    return product, shown if product else ""


def _generation(build: list[int]) -> str:
    if build[:2] == [15, 2]:
        return "Microsoft Exchange SE" if build[2] >= 2562 else "Microsoft Exchange 2019"
    year = {(8, 0): 2007, (8, 1): 2007, (8, 2): 2007, (8, 3): 2007, (14, 0): 2010, (14, 1): 2010, (14, 2): 2010}
    year |= {(14, 3): 2010, (15, 0): 2013, (15, 1): 2016}
    found = year.get((build[0], build[1]))
    return f"Microsoft Exchange {found}" if found else ""


# What stands behind `with`: the words, the product, which of the pieces holds the build, and what is cut off in front of it.
_WITH: tuple[tuple[str, str, int, str], ...] = (
    ("Microsoft SMTPSVC", "Windows SMTP service", 2, ""),
    ("Microsoft Exchange IMC ", "Microsoft Exchange 4.0", 2, "IMC "),
    ("Internet Mail Service 5.0", "Microsoft Exchange 5.0", 3, ""),
    ("Internet Mail Service 5.5", "Microsoft Exchange 5.5", 3, ""),
    ("MailMarshal v", "MailMarshal", 1, "v"),
    ("Trustwave SEG v", "Trustwave SEG", 2, "v"),
    ("Novell_GroupWise", "GroupWise", 9, ""),
    ("MailEnable ", "MailEnable", 9, ""),
    ("MailGates ESMTP Server V", "MailGates", 3, "V"),
    ("NetMail SMTP Agent $Revision: ", "NetMail", 4, ""),
    ("SMTPBeamer v", "SMTPBeamer", 1, "v"),
    ("qmail-scanner-", "qmail-scanner", 0, "qmail-scanner-"),
)


def _with_words(said: list[str], clauses: dict[str, list[Token]], host: str) -> tuple[str, str]:
    text = " ".join(said)
    for words, product, piece, front in _WITH:
        if text.startswith(words):
            build = said[piece].removeprefix(front) if piece < len(said) else ""
            return product, build
    via = [token.text for token in clauses.get("via", [])]
    if via[:1] == ["csmap"]:
        return "csmap", via[1][1:]
    for token in clauses.get("with", [])[1:]:
        if token.kind == "comment":
            product, build = _of_comment(token.text, host)
            if product:
                return product, build
    return "", ""


# The words that a comment begins with, and the product. A word that ends in a star may go on, as versions do.
_NAMES: tuple[tuple[str, str], ...] = (
    ("Postfix", "Postfix"), ("Postfix, from userid", "Postfix"), ("Exim", "Exim"), ("Lotus Domino Release", "HCL Domino"),
    ("IBM Domino Release", "HCL Domino"), ("HCL Domino Release", "HCL Domino"), ("Lotus SMTP MTA", "Lotus SMTP MTA"),
    ("CommuniGate Pro SMTP", "CommuniGate Pro"), ("CommuniGate SPEC SMTP", "CommuniGate Pro"),
    ("Kerio Connect", "Kerio Connect"), ("Kerio MailServer", "Kerio MailServer"), ("MDaemon PRO", "MDaemon"),
    ("SecurityGateway", "SecurityGateway"), ("IceWarp", "IceWarp"), ("Merak", "Merak"),
    ("Oracle Beehive Gateway", "Oracle Beehive"),
    ("Oracle Communications Messaging Server", "Oracle Communications Messaging Server"),
    ("iPlanet Messaging Server", "iPlanet Messaging Server"), ("InterMail", "InterMail"), ("PowerMTA(TM)", "PowerMTA"),
    ("ecelerity", "Ecelerity"), ("Netscape Mail Server", "Netscape Messaging Server"),
    ("Netscape Messaging Server", "Netscape Messaging Server"), ("PMDF", "PMDF"), ("NTMail", "NTMail"),
    ("AltaVista Mail", "AltaVista Mail"), ("FirstClass Mail Server", "FirstClass"),
    ("Microsoft Exchange Internet Mail Service Version", "Microsoft Exchange"), ("LISTSERV-TCP/IP release", "LISTSERV"),
    ("Cellopoint E-mail Firewall", "Cellopoint"), ("Ptfp.Office MTA", "Ptfp.Office MTA"), ("JAMES SMTP Server", "JAMES"),
    ("Tumbleweed MMS SMTP Relay (MMS", "Tumbleweed MMS"), ("RZmta", "RZmta"), ("[XMail", "XMail"), ("MOS", "Mirapoint"),
    ("PPS", "Proofpoint"), ("Zimbra", "Zimbra"), ("OpenSMTPD", "OpenSMTPD"), ("Halon", "Halon"), ("Axigen", "Axigen"),
    ("Coremail", "Coremail"), ("Symantec Messaging Gateway", "Symantec Messaging Gateway"), ("Proxmox", "Proxmox"),
    ("Spam Firewall", "Barracuda"), ("Mirapoint", "Mirapoint"), ("Zmail", "Zmail"), ("kopano-spooler", "Kopano"),
    ("PGP Universal service", "PGP Universal"), ("sSMTP sendmail emulation", "sSMTP"), ("Totemo SMTP Server", "Totemo"),
    ("Nemesis", "Nemesis"), ("PP", "PP"), ("KumoMTA", "KumoMTA"), ("amavisd-new,", "amavis"), ("amavis,", "amavis"),
)  # fmt: skip
_NO_VERSION = {"KumoMTA", "amavis", "Postfix"}
_NAME_THEN_NUMBER = {
    "Haraka/": "Haraka", "qpsmtpd/": "qpsmtpd", "SMTPD32-": "IMail", "SMTPD-": "IMail", "MDaemon.PRO.v": "MDaemon",
    "MDaemon.v": "MDaemon", "Sentrion-MTA-": "Sentrion", "Switch-": "Sendmail Switch", "qmail-ldap-": "qmail",
    "qmail-": "qmail", "/\\==/\\ Smail": "Smail", "Sun Internet Mail Server sims.": "Sun Internet Mail Server",
}  # fmt: skip


def _of_comment(text: str, host: str) -> tuple[str, str]:
    if text.startswith("fetchmail"):
        return "", ""
    for begin, product in _NAME_THEN_NUMBER.items():
        if text.startswith(begin):
            return product, text[len(begin) :].split("/", maxsplit=1)[0].removesuffix(".R").strip()
    for words, product in sorted(_NAMES, key=lambda pair: -len(pair[0])):
        if text == words or text.startswith(words + " "):
            rest = text[len(words) :].split()
            build = "" if product in _NO_VERSION else _version(rest)
            return (f"Microsoft Exchange {build[:3]}" if product == "Microsoft Exchange" else product), build
    sendmail = _sendmail(text)
    if sendmail:
        halves = text.split("/")
        is_filter = host.endswith(("pps.filterd", "ppops.net", "pphosted.com"))
        is_filter |= len(halves) == 2 and halves[0] == halves[1] and len(sendmail.split(".")) == 4
        return "Proofpoint" if is_filter else "Sendmail", sendmail
    return _unknown(text)


def _version(rest: list[str]) -> str:
    """The number behind a name: without a leading v, with what belongs to it as a second word."""
    if not rest or not any(sign.isdigit() for sign in rest[0]):
        return ""
    number = rest[0].split("/")[0].rstrip(",);").lstrip("vVM").lstrip(".")
    number = number.removesuffix("-GA")
    goes_on = rest[1:2] in (["patch"], ["Patch"], ["HotFix"]) and len(rest) > 2
    if goes_on:
        return f"{number} {rest[1]} {rest[2]}"
    return f"{number} {rest[1]}" if rest[1:2] and rest[1].startswith("HF") else number


def _sendmail(text: str) -> str:
    if "/" not in text:
        return ""
    if "(Berkeley " in text:
        return text.split("(Berkeley ")[1].split(")", maxsplit=1)[0]
    pieces = text.split("/")
    first = pieces[1] if pieces[0].startswith("AIX") else pieces[0]
    first = first.removeprefix("SGI-").split(".SGI.")[-1].split("+")[0].split()[0]
    return first if first[:2] in ("8.", "5.") and _is_numbers(first) else ""


def _unknown(text: str) -> tuple[str, str]:
    """A name that nobody listed, with a version as its last word, or behind a slash or dash."""
    begin, separator, number = text.rpartition(" ")
    if not separator:
        begin, separator, number = text.rpartition("/")
    if not separator or not number.lstrip("vV")[:1].isdigit():
        begin, separator, number = text.rpartition("-")
    number = number.lstrip("vV")
    if not begin[:1].isalpha() or "." not in number or not number[0].isdigit() or ":" in text or "[" in text:
        return "", ""
    if not all(sign.isalnum() or sign == "." for sign in number) or begin.split()[0].lower() in {
        "using",
        "from",
        "version",
    }:
        return "", ""
    return begin, number


def _is_numbers(text: str) -> bool:
    return all(piece.isdigit() for piece in text.split("."))


def _is_address(text: str) -> bool:
    inside = text.strip("[]() ")
    return bool(inside) and all(sign in "0123456789abcdefABCDEF:.%" for sign in inside)

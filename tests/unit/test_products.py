"""Lines that no Exchange of 2007 or later wrote: which product each names, and what names none. All names are made up."""

import pytest

from shared.domain.received import LineReading, read_line

DATE = "Tue, 4 Apr 2023 10:00:00 +0000"


def behind_by(text: str) -> LineReading:
    """The reading of a line whose host is followed by *text*."""
    return read_line(f"from c.example (c.example [192.0.2.6]) by mx.example {text}; {DATE}")


@pytest.mark.parametrize(
    ("text", "product", "build", "form", "reason"),
    [
        ("(SMI-8.6/SMI-SVR4) id x", "Sendmail", "8.6", "after-by", "other-product"),
        ("(4.1/SMI-4.1) id x", "Sendmail", "4.1", "after-by", "other-product"),
        ("(5.67b/IDA-1.5) id x", "Sendmail", "5.67b", "after-by", "other-product"),
        ("(8.11.6p2-20030924/8.11.6) id x", "Sendmail", "8.11.6p2", "after-by", "other-product"),
        ("(8.17.1.9/8.17.1.9/Debian-2) id x", "Sendmail", "8.17.1.9", "after-by", "other-product"),
        ("(8.16.0.43/8.16.0.42) with ESMTP id x", "Proofpoint", "8.16.0.43", "after-by", "filter-version"),
        ("(Sentrion-MTA-4.0.2/Switch-3.3.4) with ESMTP", "Sentrion", "4.0.2", "after-by", "other-product"),
        ("with esmtp (Exim 4.94.2+fixes) id 1r", "Exim", "4.94.2+fixes", "after-with", "other-product"),
        ("with esmtp (Exim 4.72 (FreeBSD)) id 1r", "Exim", "4.72", "after-with", "other-product"),
        ("(Lotus Domino Release 8.5.2FP1 HF29) with ESMTP", "HCL Domino", "8.5.2FP1 HF29", "after-by", "other-product"),
        ("(Lotus Domino Release 6.5.4 FP2) with ESMTP", "HCL Domino", "6.5.4 FP2", "after-by", "other-product"),
        ("(Lotus Domino Release 5.0.8 |June 18, 2001) with SMTP", "HCL Domino", "5.0.8", "after-by", "other-product"),
        ("(CommuniGate Pro PIPE 5.1c.3)", "CommuniGate Pro", "5.1c.3", "after-by", "other-product"),
        ("(Kerio Connect 8.0.0 RC2) with ESMTP", "Kerio Connect", "8.0.0 RC2", "after-by", "other-product"),
        ("with ESMTP (MDaemon.v2.7.SP4.R)", "MDaemon", "2.7.SP4", "after-with", "other-product"),
        ("(MDaemon PRO v9.5.2) with ESMTP", "MDaemon", "9.5.2", "after-by", "other-product"),
        ("(IceWarp 11.1.2.0 RHEL6 x64) with ESMTP", "IceWarp", "11.1.2.0", "after-by", "other-product"),
        (
            "(Oracle Communications Messaging Server 7u4-27.01(7.0.4.27.0) 64bit (built Aug 30 2012)) id <x>",
            "Oracle Communications Messaging Server",
            "7u4-27.01",
            "after-by",
            "other-product",
        ),
        (
            "(Sun Java System Messaging Server 6.2-3.04 (built Jul 15 2005)) id <x>",
            "Sun Java System Messaging Server",
            "6.2-3.04",
            "after-by",
            "other-product",
        ),
        ("(Post.Office MTA v3.5.3 release 223 ID# 0-64U) with ESMTP", "Post.Office", "3.5.3", "after-by", "other-product"),
        ("(Mercury/32 v4.01b)", "Mercury", "4.01b", "after-by", "other-product"),
        (
            "(ArGoSoft Mail Server Pro for WinNT/2000/XP, Version 1.8 (1.8.6.4))",
            "ArGoSoft Mail Server",
            "1.8",
            "after-by",
            "other-product",
        ),
        (
            "with SMTP (Microsoft Exchange Internet Mail Connector Version 4.0.995.52) id x",
            "Microsoft Exchange 4.0",
            "4.0.995.52",
            "ims",
            "not-in-catalogue",
        ),
        ("(Spam & Virus Firewall) with ESMTP id x", "Barracuda", "", "after-by", "no-version-shown"),
        ("(Postfix) with ESMTP id 4XyZ for <jo@a.example>", "Postfix", "", "after-by", "no-version-shown"),
        ("(Postfix, from userid 1000) id 4XyZ", "Postfix", "", "after-by", "no-version-shown"),
        ("with esmtps (TLS1.2:ECDHE_RSA_AES_256:256) (Exim 4.92) id 1r", "Exim", "4.92", "after-with", "other-product"),
        (
            "with esmtps  (TLS1.3) tls TLS_AES_256_GCM_SHA384 (Exim 4.97-RC0) (envelope-from <jo@a.example>) id 1r",
            "Exim",
            "4.97-RC0",
            "after-with",
            "other-product",
        ),
        ("with esmtp (Exim 3.35 #1 (Debian)) id 1r", "Exim", "3.35", "after-with", "other-product"),
        ("with esmtp (Exim 4.05) id 1r", "Exim", "4.05", "after-with", "other-product"),
        ("with esmtp (Exim) id 1r", "Exim", "", "after-with", "no-version-shown"),
        ("(8.14.4/8.14.4) with ESMTP id x", "Sendmail", "8.14.4", "after-by", "other-product"),
        ("(8.12.3/8.12.3/Debian -4) with UUCP id x", "Sendmail", "8.12.3", "after-by", "other-product"),
        ("(8.12.11.20060308/8.12.11) id x", "Sendmail", "8.12.11.20060308", "after-by", "other-product"),
        ("(8.13.8+Sun/8.13.8/Submit) id x", "Sendmail", "8.13.8", "after-by", "other-product"),
        ("(8.9.3 (PHNE_18979)/8.8.6) id x", "Sendmail", "8.9.3", "after-by", "other-product"),
        ("(AIX4.3/8.9.3/8.9.3) with ESMTP id x", "Sendmail", "8.9.3", "after-by", "other-product"),
        ("(980427.SGI.8.8.8/970903.SGI) id x", "Sendmail", "8.8.8", "after-by", "other-product"),
        ("(3.1 Build 2 (Berkeley 8.8.6)/8.8.6) id x", "Sendmail", "8.8.6", "after-by", "other-product"),
        ("(8.17.1.19/8.17.1.19) with ESMTP id x", "Proofpoint", "8.17.1.19", "after-by", "filter-version"),
        ("(PPS) with ESMTPS id x", "Proofpoint", "", "after-by", "no-version-shown"),
        ("(Sentrion-MTA-4.3.1/Sentrion-MTA-4.3.0) with ESMTP", "Sentrion", "4.3.1", "after-by", "other-product"),
        ("(Switch-3.1.4/Switch-3.1.0) with ESMTP", "Sendmail Switch", "3.1.4", "after-by", "other-product"),
        ("(Lotus Domino Release 8.5.3FP6) with ESMTP", "HCL Domino", "8.5.3FP6", "after-by", "other-product"),
        ("(IBM Domino Release 9.0.1FP7) with ESMTP", "HCL Domino", "9.0.1FP7", "after-by", "other-product"),
        ("(HCL Domino Release 12.0.1 HF11) with ESMTP", "HCL Domino", "12.0.1 HF11", "after-by", "other-product"),
        ("(Lotus Domino Release 5.0.9a (Intl)) with SMTP", "HCL Domino", "5.0.9a", "after-by", "other-product"),
        ("(CommuniGate Pro SMTP 6.2.14 _community_) with ESMTPS", "CommuniGate Pro", "6.2.14", "after-by", "other-product"),
        ("(Kerio Connect 9.3.1 patch 1) with ESMTPA", "Kerio Connect", "9.3.1 patch 1", "after-by", "other-product"),
        ("(Kerio MailServer 5.0.5)", "Kerio MailServer", "5.0.5", "after-by", "other-product"),
        ("(MDaemon PRO v25.0.3a) with ESMTP id md50", "MDaemon", "25.0.3a", "after-by", "other-product"),
        ("with SMTP (MDaemon.PRO.v7.2.0.R)", "MDaemon", "7.2.0", "after-with", "other-product"),
        ("(IPv6:2001:db8::1) (MDaemon PRO v24.5.1c) with ESMTPSA", "MDaemon", "24.5.1c", "after-by", "other-product"),
        ("(mx.example) (SecurityGateway 8.0.0) with ESMTP", "SecurityGateway", "8.0.0", "after-by", "other-product"),
        ("(IceWarp 11.4.0.5) with ASMTP id x", "IceWarp", "11.4.0.5", "after-by", "other-product"),
        ("(Merak 4.4.2) with ESMTP id x", "Merak", "4.4.2", "after-by", "other-product"),
        (
            "(Oracle Communications Messaging Server 8.1.0.1.20231214 64bit (built Dec 14 2023)) with ESMTPS id <x>",
            "Oracle Communications Messaging Server",
            "8.1.0.1.20231214",
            "after-by",
            "other-product",
        ),
        (
            "(iPlanet Messaging Server 5.2 HotFix 1.14 (built Mar 18 2003)) with ESMTP id <x>",
            "iPlanet Messaging Server",
            "5.2 HotFix 1.14",
            "after-by",
            "other-product",
        ),
        (
            "(Sun Java(tm) System Messaging Server 7u4-23.01 64bit (built Aug 11 2011)) id <x>",
            "Sun Java System Messaging Server",
            "7u4-23.01",
            "after-by",
            "other-product",
        ),
        ("(InterMail vM.7.08.04.00 201-2186) with ESMTP", "InterMail", "7.08.04.00", "after-by", "other-product"),
        ("(PowerMTA(TM) v3.5r15) id h1", "PowerMTA", "3.5r15", "after-by", "other-product"),
        ("(PowerMTA v5.0r8) id h1", "PowerMTA", "5.0r8", "after-by", "other-product"),
        (
            "(envelope-from <jo@a.example>) (ecelerity 4.4.0.19839 r(msys-ecelerity:tags/4.4.0.0^0)) with ESMTP id x",
            "Ecelerity",
            "4.4.0.19839",
            "after-by",
            "other-product",
        ),
        ("(KumoMTA 10.0.0.5) with ESMTP id x", "KumoMTA", "", "after-by", "number-is-no-version"),
        ("(Haraka/3.0.1) with ESMTPSA id x", "Haraka", "3.0.1", "after-by", "other-product"),
        ("(qpsmtpd/0.31) with ESMTP", "qpsmtpd", "0.31", "after-by", "other-product"),
        ("with ESMTP (SMTPD32-7.07) id x", "IMail", "7.07", "after-with", "other-product"),
        ("(Clearswift SMTPRS 5.6.0) with ESMTP id <x>", "Clearswift", "5.6.0", "after-by", "other-product"),
        ("with Trustwave SEG (v8,2,6,11305) id <x>", "Trustwave SEG", "8,2,6,11305", "after-with", "other-product"),
        ("with MailMarshal (v6,7,2,8378) id <x>", "MailMarshal", "6,7,2,8378", "after-with", "other-product"),
        ("with SMTP (Microsoft Exchange Internet Mail Service Version 5.5.2653.13) id x", "Microsoft Exchange 5.5", "5.5.2653.13", "ims", "not-in-catalogue"),
        ("with SMTP (Microsoft Exchange Internet Mail Service Version 5.0.1459.74) id x", "Microsoft Exchange 5.0", "5.0.1459.74", "ims", "not-in-catalogue"),
        ("with Internet Mail Service (5.5.2650.21 ) id <X>", "Microsoft Exchange 5.5", "5.5.2650.21", "ims", "not-in-catalogue"),
        ("with Microsoft Exchange (IMC 4.0.838.5) id <x>", "Microsoft Exchange 4.0", "4.0.838.5", "ims", "not-in-catalogue"),
        ("with Microsoft SMTPSVC(6.0.3790.4675)", "Windows SMTP service", "6.0.3790.4675", "after-with", "windows-build"),
        ("over TLS secured channel with Microsoft SMTPSVC(8.5.9600.16384)", "Windows SMTP service", "8.5.9600.16384", "after-with", "windows-build"),
        ("with Microsoft SMTPSVC(5.5.1877.197.19)", "Windows SMTP service", "5.5.1877.197.19", "after-with", "windows-build"),
        ("with Microsoft SMTPSVC", "Windows SMTP service", "", "after-with", "windows-build"),
        ("with Novell_GroupWise", "GroupWise", "", "after-with", "no-version-shown"),
        ("with MailEnable ESMTPA", "MailEnable", "", "after-with", "no-version-shown"),
        ("with NetMail SMTP Agent $Revision: 3.11 $ on Novell NetWare", "NetMail", "3.11", "after-with", "other-product"),
        ("(mx.example [192.0.2.9]:25) with ESMTP ([XMail 1.27 ESMTP Server]) id <x>", "XMail", "1.27", "after-with", "other-product"),
        ("(Zimbra) with ESMTPS id x", "Zimbra", "", "after-by", "no-version-shown"),
        ("(OpenSMTPD) with ESMTPS id x (TLSv1.3:TLS_AES_256:256:NO) for <jo@a.example>", "OpenSMTPD", "", "after-by", "no-version-shown"),
        ("(Spam Firewall) with ESMTP id x", "Barracuda", "", "after-by", "no-version-shown"),
        ("(Coremail) with SMTP id x", "Coremail", "", "after-by", "no-version-shown"),
        ("(mx.example [127.0.0.1]) (amavisd-new, port 10024) with ESMTP id x", "amavis", "", "after-by", "number-is-no-version"),
        ("(qmail-ldap-1.03) with SMTP", "qmail", "1.03", "after-by", "other-product"),
        ("with MailGates ESMTP Server V5.0(10981:0:AUTH_RELAY)", "MailGates", "5.0", "after-with", "other-product"),
        ("(Madeup Mail Server v3.2.1) with ESMTP", "Madeup Mail Server", "3.2.1", "after-by", "unlisted-product"),
        ("(madeupd/2.10) with ESMTP", "madeupd", "2.10", "after-by", "unlisted-product"),
        ("(madeup-3.1.4) with ESMTP", "madeup", "3.1.4", "after-by", "unlisted-product"),
        ("with SMTP (Madeup 0.8) id x", "Madeup", "0.8", "after-with", "unlisted-product"),
    ],
)  # fmt: skip
def test_product_named_behind_the_host(text: str, product: str, build: str, form: str, reason: str) -> None:
    """Each form names its product, with the build as the line has it, and is never judged."""
    reading = behind_by(text)
    assert (reading.product, reading.build, reading.form, reading.reason) == (product, build, form, reason)
    assert (reading.name, reading.judged) == ("mx.example", False)


@pytest.mark.parametrize(
    ("line", "product", "build", "reason"),
    [
        (f"(qmail 12300 invoked from network); {DATE}", "qmail", "", "number-is-no-version"),
        (f"(qmail 12300 invoked by uid 89); {DATE}", "qmail", "", "number-is-no-version"),
        (f"(nullmailer pid 39720 invoked by uid 0); {DATE}", "nullmailer", "", "number-is-no-version"),
        (f"(eyou anti_spam gateway 4.2.1 ); {DATE}", "eYou", "4.2.1", "other-product"),
        (f"by a.example from b (router,SLmail V2.6); {DATE}", "SLmail", "2.6", "other-product"),
        (f"by a.example from b (192.0.2.1::mail daemon; unverified,SLmail V2.6); {DATE}", "SLmail", "2.6", "other-product"),
        (r"by a.example (/\==/\ Smail3.1.28.1) from b with smtp id <x>; " + DATE, "Smail", "3.1.28.1", "other-product"),
        (f"by a.example; (5.65/1.37) id 00; {DATE}", "Sendmail", "5.65", "other-product"),
        (f"from b by Forcepoint Email with ESMTPS id x; {DATE}", "Forcepoint Email Security", "", "no-version-shown"),
        (f"from b by 01.ppops.net (8.14.4/8.14.4) with SMTP id x; {DATE}", "Proofpoint", "8.14.4", "filter-version"),
        (f"from b (::1) by x.outlook.com with HTTPS; {DATE}", "Exchange Online", "", "exchange-online"),
        (
            f"from b (192.0.2.1) by x.outlook.com (192.0.2.2) with Microsoft SMTP Server (version=TLS1_2, cipher=) via Frontend Transport; {DATE}",
            "Exchange Online",
            "",
            "exchange-online",
        ),
        (f"from b by localhost with IMAP (fetchmail-6.4.29) for jo (single-drop); {DATE}", None, "", "mail-reader"),
        (f"from b (::1) by x.example with HTTPS; {DATE}", None, "", "other-line"),
    ],
)  # fmt: skip
def test_product_named_elsewhere(line: str, product: str | None, build: str, reason: str) -> None:
    """Lines without a host, lines of old servers, and hosts that tell the product themselves."""
    reading = read_line(line)
    assert (reading.product, reading.build, reading.reason) == (product, build, reason)


@pytest.mark.parametrize(
    "text",
    [
        "with ESMTP id x",
        "with ESMTP/TLS/ECDHE-RSA-AES256-GCM-SHA384",
        "with SMTP (2.4.7)",
        "(using TLS: TLSv1.2, AES256-SHA) id x",
        "(version=TLS1.2) with ESMTP",
        "(unverified [192.0.2.1]) with ESMTP",
        "(host-192.0.2.1) with ESMTP",
        "(dsl-192.0.2.1) with ESMTP",
        "(Basler) with ESMTP id x",
        "with ESMTP id x (Exim 4.92)",
        "with esmtp id (8.14.4/8.14.4)",
        "for <jo@a.example> (Exim 4.92)",
        "(authenticated user jo) (Exim 4.92)",
        "(envelope-from <jo@a.example> x) (Exim 4.92)",
        f"({'x' * 200} Exim 4.92)",
        "(" * 7 + "x" + ")" * 7 + " (a)" * 7 + " (Exim 4.92)",
        "with Microsoft SMTPSVC(6.0.3790)",
        "with Microsoft SMTPSVC x",
        "from b (x,SLmail V2.6)",
    ],
)
def test_text_that_names_no_product(text: str) -> None:
    """TLS words, addresses, log-ins, and products where none of the servers writes its name."""
    reading = behind_by(text)
    assert (reading.product, reading.reason, reading.name) == (None, "other-line", "mx.example")


@pytest.mark.parametrize(
    ("text", "generation"),
    [
        ("with Microsoft SMTPSVC(6.0.3790.4675)", "Server 2003"),
        ("with Microsoft SMTPSVC(6.0.2600.5949)", "XP"),
        ("with Microsoft SMTPSVC(10.0.17763.1697)", "Server 2019"),
        ("with Microsoft SMTPSVC(9.9.9.9)", ""),
        ("with Microsoft SMTPSVC", ""),
        ("(192.0.2.5) with Microsoft SMTP Server id 15.2.2562.17", "SE"),
        ("(192.0.2.5) with Microsoft SMTP Server id 8.1.240.5", "2007"),
        ("with Internet Mail Service (5.5.2650.21) id <X>", "5.5"),
        ("(Postfix) with ESMTP", ""),
        ("with ESMTP", ""),
    ],
)
def test_generation(text: str, generation: str) -> None:
    """Of Exchange its own, of the Windows service the Windows it belongs to."""
    assert behind_by(text).generation == generation


@pytest.mark.parametrize(
    "sender",
    [
        r'"a\" ) by evil.example (Exim 1.1) ; \""@a.example',
        '"a@b) by evil.example (Exim 1.1) ; "@a.example',
        r'"x\\\") by evil.example (Exim 1.1) ; y"@a.example',
        '"a"."b) by evil.example (Exim 1.1) ;"@a.example',
        '"(((((" @a.example',
    ],
)
def test_quoted_sender_names_nothing(sender: str) -> None:
    """A client may put anything between the quotes of its address, escaped quotes and brackets too."""
    line = (
        f"from c (c [192.0.2.1]) by mx.example with esmtp (Exim 4.92) (envelope-from <{sender}>) id 1 for jo@x; {DATE}"
    )
    reading = read_line(line)
    assert (reading.name, reading.product, reading.build) == ("mx.example", "Exim", "4.92")

"""Made-up logs of a Postfix for `patchgate look`."""

OWN = "mx.own.example"
EXCHANGE = (
    "by {host} (192.0.2.7) with Microsoft SMTP Server? (version=TLS1_2, cipher=TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384)"
    " id {build}; Mon, 7 Sep 2026 08:00:00 +0000"
)


def smtpd(stamp: str, queue_id: str, client: str, *, program: str = "postfix/smtpd") -> str:
    """The line with which smtpd opens a mail."""
    return f"{stamp} mx {program}[123]: {queue_id}: client={client}\n"


def header(stamp: str, queue_id: str, value: str, *, helo: str = "ex.example") -> str:
    """What cleanup tells of a `Received` line by the table of the recipe."""
    shown = f"from {helo} {value}"[:200]
    context = f"from {helo}[192.0.2.7]; from=<a@alt.example> to=<b@own.example> proto=ESMTP helo=<{helo}>"
    return (
        f"{stamp} mx postfix/cleanup[124]: {queue_id}: info: header Received: {shown} {context}: patchgate [{value}]\n"
    )


def own_header(stamp: str, queue_id: str) -> str:
    """What cleanup tells of the line that this Postfix wrote."""
    return header(
        stamp, queue_id, f"by {OWN} (Postfix) with ESMTPS id {queue_id}??for <b@own.example>; Mon, 7 Sep 2026"
    )


def queued(stamp: str, queue_id: str) -> str:
    """The line with which qmgr takes a mail over."""
    return f"{stamp} mx postfix/qmgr[9]: {queue_id}: from=<a@alt.example>, size=1099, nrcpt=1 (queue active)\n"


def mail(stamp: str, queue_id: str, client: str, *values: str) -> str:
    """All lines of one mail whose sender's `Received` lines end in *values*."""
    told = [own_header(stamp, queue_id), *(header(stamp, queue_id, value) for value in values)] if values else []
    return "".join([smtpd(stamp, queue_id, client), *told, queued(stamp, queue_id)])

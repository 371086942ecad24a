"""How the report calls things, in English; for the screen. The page has its own words in each language."""

from services.cli.look.fleet import Server
from services.cli.look.report import Other

TIES = {
    "connector": "connector",
    "verified": "sure: DNS confirms the name",
    "helo": "likely: HELO says the same name",
    "domain": "weak: the same domain only",
    "untied": "no: anybody could write these lines",
}

CONTRADICTIONS = {
    "two-readings-at-once": "shows two builds that exclude each other at the same time: two servers behind one name, or made up",
    "build-went-back": "a later mail shows an older build: a second server, a restore, or made up",
    "same-name-elsewhere": "another peer is tied to this name: these lines are likely made up, or came through a relay",
}

WHY_NOT = {
    "no-floor": "the policy has no floor for this product",
    "not-below": "it is not below the floor",
    "not-sure": "its build is not known well enough",
    "untied": "its lines are tied to nobody",
    "not-seen-lately": "it was not seen for longer than the policy keeps a case",
    "too-few-hours": "it was seen in {hours}, and the policy asks for more",
}

UNDATED = "Without a day, for a date that cannot be read or is still to come: {mails}."

NO_LINES = "Of {mails} the log shows no line, so no product: `patchgate recipe postfix-log` makes Postfix tell them."

CANNOT_SHOW = (
    "A header shows what a server says of itself, and anybody can write one; only a tied name is held to be true.",
    "A gateway or provider in front hides the server behind it; what stands deeper in the headers is a hint at most.",
    "SMTP lines of Exchange lag behind the installed build at times: then a range is given, and only its whole counts.",
    "Exim and Sendmail are shown and never judged: distributions mend them without changing the number.",
)


def counted(amount: float, name: str) -> str:
    """The number with what it counts, one or more."""
    return f"{amount:,} {name}{'' if amount == 1 else 's'}"


def standing_of(server: Server) -> str:
    """Where the server stands, in one or two words."""
    if server.standing == "below":
        return "out of date" if server.reading.shown else "no longer supported"
    return {"unknown": "not sure", "at or above": "meets the policy", None: "not judged"}[server.standing]


def why_no_case(server: Server) -> str:
    """Why the policy would open no case for *server*."""
    return WHY_NOT[server.why_not].format(hours=counted(server.hours_below, "different hour"))


def known_of(other: Other) -> str:
    """What is known against a version of another product; "" for nothing."""
    known = other.known
    parts = []
    if known.ended is not None:
        parts.append(f"support ended {known.ended}")
    if known.exploited_fixed_later:
        parts.append(f"a later version ends {counted(len(known.exploited_fixed_later), 'hole')} known to be exploited")
    if parts and known.backported:
        parts.append("which a distribution may have mended under the same number")
    return ", ".join(parts)

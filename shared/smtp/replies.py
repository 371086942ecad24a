"""
SMTP replies that patchgate gives to a client, and the templates they come from.

The rules, checked when a reply is made, so that whoever holds an `SmtpReply` need not check again:

- one line, printable ASCII, at most 200 characters in all: code, space, enhanced status code, space, text;
- the code is 4yz or 5yz, not below 450, not above 559, and its second digit is one that SMTP knows (RFC 5321, 4.2);
- the enhanced status code (RFC 3463) has the class of the code.

421 is out of reach on purpose: it would tell the client that the whole session ends.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from shared.smtp.errors import ReplyTextError

MAX_REPLY_CHARS = 200
"""Longest reply, code included. RFC 5321, 4.5.3.1.5 allows 512 octets; logs and bounces show far less."""

_CODE_RANGE = range(450, 560)
_LONGEST_MINUTES = 60
_CODE = re.compile(r"[45][0-5][0-9]")
_ENHANCED = re.compile(r"[45]\.(?:0|[1-9][0-9]{0,2})\.(?:0|[1-9][0-9]{0,2})")  # RFC 3463, 2: no leading zeros
_UNPRINTABLE = re.compile(r"[^\x20-\x7e]")
_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
_PLACEHOLDERS = frozenset({"product", "receiver", "minutes"})


@dataclass(frozen=True, slots=True)
class SmtpReply:
    """
    One negative reply, such as ``450 4.7.230 Try later``.

    Raises:
        ReplyTextError: a rule at the top of this module is broken; the text says which.
    """

    code: int
    enhanced: str
    text: str

    def __post_init__(self) -> None:
        if not _CODE.fullmatch(str(self.code)) or self.code not in _CODE_RANGE:
            raise ReplyTextError(f"The reply code {self.code} cannot be used; use one from 450 to 459 or 500 to 559.")
        if not _ENHANCED.fullmatch(self.enhanced):
            raise ReplyTextError(
                f"{self.enhanced!a} is no enhanced status code; write one such as {self.code // 100}.7.1."
            )
        if self.enhanced[0] != str(self.code)[0]:
            raise ReplyTextError(
                f"Code {self.code} and status {self.enhanced} differ in class; both begin with 4 or with 5."
            )
        _check_text(self.text)
        if len(self.line) > MAX_REPLY_CHARS:
            raise ReplyTextError(
                f"The reply has {len(self.line)} characters; at most {MAX_REPLY_CHARS} fit, code and status included."
            )

    @property
    def line(self) -> str:
        """The whole reply without line end."""
        return f"{self.code} {self.enhanced} {self.text}"

    def __str__(self) -> str:
        return self.line


def parse_reply(line: str) -> SmtpReply:
    """
    Read ``450 4.7.230 text`` as a reply.

    Raises:
        ReplyTextError: it is not of this form or breaks a rule of this module.
    """
    code, _, rest = line.partition(" ")
    enhanced, _, text = rest.partition(" ")
    if not _CODE.fullmatch(code):
        raise ReplyTextError(f"{line[:MAX_REPLY_CHARS]!a} does not begin with a reply code from 450 to 559.")
    return SmtpReply(int(code), enhanced, text)


def render(template: str, *, product: str, receiver: str, minutes: int) -> SmtpReply:
    """
    Fill a template such as ``450 4.7.230 {product} is out of date; {receiver} waits {minutes} mins/hr.``.

    Args:
        template: the text with any of the placeholders product, receiver and minutes; no other braces.
        product: name of the sending product, as the sentence needs it.
        receiver: name of the receiving side.
        minutes: whole minutes of each hour, 0 to 60.

    Raises:
        ReplyTextError: unknown placeholder, stray brace, minutes out of range, or the result is no reply.
    """
    if not 0 <= minutes <= _LONGEST_MINUTES:
        raise ReplyTextError(
            f"{minutes} minutes of an hour cannot be; the value lies between 0 and {_LONGEST_MINUTES}."
        )
    _check_placeholders(template)
    values = {"product": product, "receiver": receiver, "minutes": str(minutes)}
    # One pass by hand: str.format would reach into attributes, and a brace inside a value must stay a brace.
    return parse_reply(_PLACEHOLDER.sub(lambda match: values[match[1]], template))


def check_reply_template(template: str, *, products: Iterable[str], receiver: str) -> None:
    """
    Check that a template gives a reply for each product, the longest number of minutes included.

    Raises:
        ReplyTextError: as `render`; the text names the product when the fault is not in the template alone.
    """
    _check_placeholders(template)
    for product in products:
        try:
            render(template, product=product, receiver=receiver, minutes=_LONGEST_MINUTES)
        except ReplyTextError as error:
            raise ReplyTextError(f"With product {product!a}: {error}") from error


def _check_text(text: str) -> None:
    if not text.strip():
        raise ReplyTextError("The reply has no text after its status code.")
    if found := _UNPRINTABLE.search(text):
        raise ReplyTextError(f"The reply text holds {found[0]!a}; only one line of printable ASCII can be sent.")


def _check_placeholders(template: str) -> None:
    for name in _PLACEHOLDER.findall(template):
        if name not in _PLACEHOLDERS:
            raise ReplyTextError(
                f"Unknown placeholder {{{name}}}; known are {{product}}, {{receiver}} and {{minutes}}."
            )
    rest = _PLACEHOLDER.sub("", template)
    if "{" in rest or "}" in rest:
        raise ReplyTextError("The template has a brace without its partner; braces only enclose a placeholder.")

"""Replies to a client: what may be said, and how templates become it."""

import pytest

from shared.smtp.errors import ReplyTextError
from shared.smtp.replies import MAX_REPLY_CHARS, SmtpReply, check_reply_template, parse_reply, render

THROTTLED = (
    "450 4.7.230 Connecting {product} server version is out-of-date; "
    "connection to {receiver} throttled for {minutes} mins/hr."
)
BLOCKED = (
    "550 5.7.230 Connecting {product} server version is out-of-date; "
    "connection to {receiver} blocked for {minutes} mins/hr."
)


def test_throttle_text_is_that_of_exchange_online() -> None:
    """With Exchange and Exchange Online the 450 is the known text, byte for byte."""
    reply = render(THROTTLED, product="Exchange", receiver="Exchange Online", minutes=10)
    assert reply.line == (
        "450 4.7.230 Connecting Exchange server version is out-of-date; "
        "connection to Exchange Online throttled for 10 mins/hr."
    )


def test_block_text_is_that_of_exchange_online() -> None:
    """With Exchange and Exchange Online the 550 is the known text, byte for byte."""
    reply = render(BLOCKED, product="Exchange", receiver="Exchange Online", minutes=10)
    assert reply.line == (
        "550 5.7.230 Connecting Exchange server version is out-of-date; "
        "connection to Exchange Online blocked for 10 mins/hr."
    )


def test_reply_reads_and_writes_the_same_line() -> None:
    """A line is split into code, status and text and comes back whole."""
    reply = parse_reply("450 4.7.230 Try later, please")
    assert (reply.code, reply.enhanced, reply.text) == (450, "4.7.230", "Try later, please")
    assert str(reply) == reply.line == "450 4.7.230 Try later, please"


@pytest.mark.parametrize("code", [450, 459, 500, 521, 550, 559])
def test_codes_in_range_are_taken(code: int) -> None:
    """Every code from 450 to 559 that SMTP's grammar knows can be used."""
    assert SmtpReply(code, f"{code // 100}.7.1", "text").code == code


@pytest.mark.parametrize("code", [0, 250, 421, 449, 460, 499, 560, 599, 1450])
def test_codes_out_of_range_are_refused(code: int) -> None:
    """421 would end the session, below 450 and above 559 nothing is ours, 46z to 49z is no SMTP."""
    with pytest.raises(ReplyTextError, match=f"code {code} cannot"):
        SmtpReply(code, f"{str(code)[0]}.7.1", "text")


@pytest.mark.parametrize(
    "enhanced", ["", "4", "4.7", "4.7.", "4.07.1", "4.7.1000", "4.1000.7", "4.7.1.1", "2.7.1", "4.7.1\n"]
)
def test_malformed_status_is_refused(enhanced: str) -> None:
    """Class, subject and detail are needed, without leading zeros and with three digits at most."""
    with pytest.raises(ReplyTextError, match="no enhanced status code"):
        SmtpReply(450, enhanced, "text")


@pytest.mark.parametrize("enhanced", ["4.0.0", "4.1.1", "4.7.230", "4.999.999"])
def test_well_formed_status_is_taken(enhanced: str) -> None:
    """Subject and detail run from 0 to 999."""
    assert SmtpReply(450, enhanced, "text").enhanced == enhanced


@pytest.mark.parametrize(("code", "enhanced"), [(450, "5.7.1"), (550, "4.7.1")])
def test_classes_must_agree(code: int, enhanced: str) -> None:
    """A temporary code with a permanent status would tell the client two things."""
    with pytest.raises(ReplyTextError, match="differ in class"):
        SmtpReply(code, enhanced, "text")


@pytest.mark.parametrize("text", ["a\nb", "a\r\n250 b", "a\tb", "a\0b", "a\x7fb", "münchen", "text\n"])
def test_text_is_one_line_of_printable_ascii(text: str) -> None:
    """Nothing can smuggle in a second line or a byte that a log cannot show."""
    with pytest.raises(ReplyTextError, match="printable ASCII"):
        SmtpReply(450, "4.7.1", text)


@pytest.mark.parametrize("line", ["450 4.7.1", "450 4.7.1 ", "450 4.7.1    "])
def test_text_must_say_something(line: str) -> None:
    """A status code alone tells an admin nothing."""
    with pytest.raises(ReplyTextError, match="no text"):
        parse_reply(line)


@pytest.mark.parametrize(
    "line", ["", "4.7.1 text", "450-4.7.1 text", "٤٥٠ 4.7.1 text", "4500 4.7.1 text", " 450 4.7.1 x"]
)
def test_line_without_code_is_refused(line: str) -> None:
    """A line that does not begin with three ASCII digits and a space is no reply."""
    with pytest.raises(ReplyTextError, match="does not begin with a reply code"):
        parse_reply(line)


def test_length_counts_the_whole_line() -> None:
    """200 characters pass, 201 do not, code and status counted."""
    room = MAX_REPLY_CHARS - len("450 4.7.1 ")
    assert len(SmtpReply(450, "4.7.1", "x" * room).line) == MAX_REPLY_CHARS
    with pytest.raises(ReplyTextError, match="201 characters"):
        SmtpReply(450, "4.7.1", "x" * (room + 1))


@pytest.mark.parametrize("name", ["n", "Product", "", "product.__class__", "product!r", "0"])
def test_unknown_placeholder_is_named(name: str) -> None:
    """The error names the placeholder, and nothing of Python can be reached through one."""
    with pytest.raises(ReplyTextError) as caught:
        check_reply_template("450 4.7.1 a {" + name + "} b", products=["Exchange"], receiver="us")
    assert "Unknown placeholder {" + name + "};" in str(caught.value)


@pytest.mark.parametrize("template", ["450 4.7.1 {", "450 4.7.1 }", "450 4.7.1 {{product}}", "450 4.7.1 {x{product}"])
def test_stray_braces_are_refused(template: str) -> None:
    """Braces only enclose a placeholder; there is no way to quote one."""
    with pytest.raises(ReplyTextError, match="brace"):
        render(template, product="Exchange", receiver="us", minutes=1)


def test_braces_in_a_value_stay_as_they_are() -> None:
    """A value is never taken for a template."""
    assert render("450 4.7.1 {product}", product="{receiver}", receiver="us", minutes=1).text == "{receiver}"


@pytest.mark.parametrize("minutes", [0, 60])
def test_minutes_of_an_hour_are_rendered(minutes: int) -> None:
    """Both ends of the range are legal."""
    assert render("450 4.7.1 {minutes} min", product="", receiver="", minutes=minutes).text == f"{minutes} min"


@pytest.mark.parametrize("minutes", [-1, 61])
def test_minutes_beyond_an_hour_are_refused(minutes: int) -> None:
    """An hour has 60 minutes."""
    with pytest.raises(ReplyTextError, match="minutes of an hour"):
        render("450 4.7.1 {minutes} min", product="", receiver="", minutes=minutes)


def test_template_is_checked_with_each_product() -> None:
    """A template that only the longest product breaks is found when the policy is loaded, and the product is named."""
    template = "450 4.7.1 {product} " + "x" * 170
    check_reply_template(template, products=["Exchange"], receiver="us")
    with pytest.raises(ReplyTextError, match="With product 'Exchange Server 2016': The reply has 201 characters"):
        check_reply_template(template, products=["Exchange", "Exchange Server 2016"], receiver="us")


def test_template_is_checked_with_the_longest_minutes() -> None:
    """The check uses two digits, so a text that fits with 5 minutes only is refused."""
    template = "450 4.7.1 {minutes}" + "x" * 189
    assert len(render(template, product="p", receiver="us", minutes=5).line) == MAX_REPLY_CHARS
    with pytest.raises(ReplyTextError, match="201 characters"):
        check_reply_template(template, products=["p"], receiver="us")


@pytest.mark.parametrize("template", [THROTTLED, BLOCKED])
def test_shipped_templates_pass(template: str) -> None:
    """The texts that design and seed give are legal templates."""
    check_reply_template(template, products=["Exchange"], receiver="Exchange Online")

"""The relay against a real SMTP server: every way in which it can answer becomes one answer, and no text of it is kept."""

import asyncio
from email.message import EmailMessage

import pytest
import structlog
from structlog.testing import capture_logs

from services.notifier.delivery import Answer
from services.notifier.relay import Relay
from services.notifier.settings import NotifierSettings, check
from shared.domain.errors import ConfigError
from tests.support.smtp_sink import SmtpSink

ADDRESS = "anna.secret@firm.example"


def _settings(relay: str, **changes: object) -> NotifierSettings:
    fields: dict[str, object] = {"relay": relay, "notice_from": "bounce@mx.example", "relay_timeout_s": 1.0, **changes}
    return NotifierSettings(**fields)  # type: ignore[arg-type]  # a test names fields by hand


def _mail() -> EmailMessage:
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = "bounce@mx.example", ADDRESS, "x"
    message.set_content("words\n")
    return message


async def _send(relay: str, recipient: str = ADDRESS, **changes: object) -> Answer:
    return await Relay(_settings(relay, **changes), structlog.get_logger()).send(_mail(), recipient)


async def test_a_250_is_delivered() -> None:
    """The envelope has our real address for bounces, and one recipient."""
    async with SmtpSink() as sink:
        assert await _send(sink.address) == Answer(kind="delivered", code=250, enhanced="2.0.0")
    assert [(mail.sender, mail.recipients) for mail in sink.mails] == [("bounce@mx.example", (ADDRESS,))]


@pytest.mark.parametrize("at", ["rcpt", "data"])
@pytest.mark.parametrize(
    ("reply", "answer"),
    [
        ("451 4.7.1 Greylisted, anna.secret", Answer(kind="later", code=451, enhanced="4.7.1")),
        ("450 busy", Answer(kind="later", code=450)),
        ("550 5.1.1 No such user", Answer(kind="refused", code=550, enhanced="5.1.1")),
        ("554 5.12345.1 odd", Answer(kind="refused", code=554)),
    ],
)
async def test_codes_of_one_mail(at: str, reply: str, answer: Answer) -> None:
    """4xx may pass later, 5xx is refused for good, at RCPT as at DATA; the enhanced status is taken where it is one."""
    async with SmtpSink() as sink:
        getattr(sink, at).append(reply)
        with capture_logs() as logs:
            assert await _send(sink.address) == answer
    assert "secret" not in repr(logs)


async def test_nobody_there_is_unreachable() -> None:
    """A closed port and a name that does not exist say nothing about the mail."""
    async with SmtpSink() as sink:
        closed = sink.address
    assert await _send(closed) == Answer(kind="unreachable")
    assert await _send("no-such-host.invalid:25") == Answer(kind="unreachable")


@pytest.mark.parametrize(
    ("replies", "answer"),
    [
        ([], Answer(kind="unreachable")),
        (["554 5.7.1 go away"], Answer(kind="unreachable", code=554, enhanced="5.7.1")),
        (["421 too busy"], Answer(kind="unreachable", code=421)),
        (["\x00\xff"], Answer(kind="unreachable")),
        (["220 hello", "500 what", "502 no"], Answer(kind="unreachable", code=502)),
        (["220 hello", "250 mx", "gibberish"], Answer(kind="unreachable")),
        (["220 hello", "250 mx", "250 from", "250 to", "354 go", "999 odd"], Answer(kind="unreachable")),
    ],
)
async def test_a_relay_that_refuses_us_is_no_refusal_of_the_mail(replies: list[str], answer: Answer) -> None:
    """Silence, a refusing greeting, garbage, or a refused EHLO: all notices wait until somebody has mended it."""
    left = iter(replies)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for reply in left:
            writer.write(f"{reply}\r\n".encode("latin-1"))
            await reader.readuntil(b"\r\n.\r\n" if reply.startswith("354") else b"\r\n")

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        assert await _send(f"127.0.0.1:{server.sockets[0].getsockname()[1]}", relay_timeout_s=0.3) == answer


async def test_without_the_starttls_that_is_asked_for_nothing_is_sent() -> None:
    """A relay that does not offer it gets neither password nor mail."""
    async with SmtpSink() as sink:
        answer = await _send(sink.address, relay_starttls=True, relay_user="u", relay_password="p")
        assert answer.kind == "unreachable"
        assert (await _send(sink.address, relay_starttls=True)).kind == "unreachable"
        assert not sink.attempts


async def test_a_login_that_is_refused_is_no_refusal_of_the_mail() -> None:
    """A relay that knows no login, or not ours, is something to mend."""
    async with SmtpSink() as sink:
        answer = await _send(sink.address, relay_user="u", relay_password="p")
    assert answer.kind == "unreachable"


async def test_an_address_that_the_relay_cannot_write_is_refused() -> None:
    """Without SMTPUTF8 it never could; it would keep all others waiting for two days, and its text is in no log."""
    async with SmtpSink(smtputf8=False) as sink:
        with capture_logs() as logs:
            assert await _send(sink.address, "sécret@firm.example") == Answer(kind="refused")
        assert not sink.attempts
    assert "cret" not in repr(logs)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"notice_from": ""}, "PATCHGATE_NOTICE_FROM"),
        ({"notice_from": "postmaster"}, "PATCHGATE_NOTICE_FROM"),
        ({"notice_from": "a@b\r\nBcc: c@d"}, "PATCHGATE_NOTICE_FROM"),
        ({"relay": "mx.example"}, "PATCHGATE_RELAY"),
        ({"relay": "mx.example:99999"}, "PATCHGATE_RELAY"),
        ({"relay_user": "u"}, "PATCHGATE_RELAY_STARTTLS"),
        ({"message_id_domain": "a b"}, "PATCHGATE_MESSAGE_ID_DOMAIN"),
        ({"receiver_name": "a\nb"}, "PATCHGATE_RECEIVER_NAME"),
        ({"whom_to_ask": "a\nb"}, "PATCHGATE_WHOM_TO_ASK"),
    ],
)
def test_settings_that_do_not_fit_are_named(changes: dict[str, object], named: str) -> None:
    """One line that says which variable, before anything is begun."""
    with pytest.raises(ConfigError, match=named):
        check(
            _settings(str(changes.get("relay", "127.0.0.1:25")), **{k: v for k, v in changes.items() if k != "relay"})
        )


def test_settings_that_fit() -> None:
    """The domain of our address serves for Message-IDs; an IPv6 relay stands in brackets."""
    settings = _settings("[::1]:2525")
    check(settings)
    assert settings.relay_address == ("::1", 2525)
    assert settings.id_domain == "mx.example"

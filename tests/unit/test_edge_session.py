"""What one milter connection has told, as the judgement sees it."""

import pytest

from services.edge.core import Scope
from services.edge.session import MilterSession
from shared.smtp.milter_events import Command, Connect, EndOfHeaders, Family, Macros, MailFrom


@pytest.mark.parametrize(
    ("told", "address"),
    [("192.0.2.7", "192.0.2.7"), ("IPv6:2001:db8::7", "2001:db8::7"), ("2001:db8::7", "2001:db8::7")],
)
@pytest.mark.parametrize("by_macro", [True, False])
def test_an_address_is_plain_however_the_mta_writes_it(told: str, address: str, by_macro: bool) -> None:
    """Postfix writes IPv6 as an SMTP literal, in the macro and in the connect event."""
    session = MilterSession(Scope())
    if by_macro:
        session.take(Macros(stage=Command.CONNECT, values={"client_addr": told}))
    session.take(Connect(hostname="x.example", family=Family.INET6, port=25, address="" if by_macro else told))
    session.take(MailFrom(sender="<a@x.example>"))
    message = session.take(EndOfHeaders())
    assert message is not None
    assert message.address == address

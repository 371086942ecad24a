import asyncio
import smtplib
import socket
import struct
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from services.edge import milter_server
from services.edge.core import MessageSeen, Scope
from services.edge.door import DoorServer, read_headers
from services.edge.milter_server import MilterServer
from services.edge.settings import Endpoint
from shared.domain.errors import ConfigError
from shared.messaging import probe
from shared.smtp.replies import SmtpReply
from tests.support import milter_client as mta
from tests.support.decisions import BY_NAME, PEER, decision, line_of, table_of
from tests.support.edge import Bench
from tests.support.edge_bus import until

BLOCKED = [decision(block=60)]
SCOPE = Scope(reply_addresses={"help@neu.example"}, submission_ports={"587"})


class Doors:
    """A milter server whose messages are kept, and answered by a real gate."""

    def __init__(self, stalled_s: float = 60.0) -> None:
        self.bench = Bench(table_of(BLOCKED))
        self.messages: list[MessageSeen] = []
        self.counts: Counter[str] = Counter()
        self.server = MilterServer(self.answer, SCOPE, self.counts, stalled_s=stalled_s)

    def answer(self, message: MessageSeen) -> SmtpReply | None:
        """Keep the message and ask the gate."""
        self.messages.append(message)
        return self.bench.gate.answer(message)


@asynccontextmanager
async def milter(tmp_path: Path, stalled_s: float = 60.0) -> AsyncIterator[tuple[Doors, str]]:
    """Open a milter on a Unix socket."""
    doors, path = Doors(stalled_s), str(tmp_path / "edge.sock")
    await doors.server.open(Endpoint("unix", path))
    try:
        yield doors, path
    finally:
        await doors.server.close()


class Client:
    """The MTA's end of one connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def ask(self, data: bytes) -> mta.Answer:
        """Send and read one answer."""
        self.writer.write(data)
        head = await asyncio.wait_for(self.reader.readexactly(4), 5)
        (answer,) = mta.parse_answers(head + await self.reader.readexactly(struct.unpack(">I", head)[0]))
        return answer

    async def closed(self) -> bool:
        """Tell whether the milter closes without another word."""
        return await asyncio.wait_for(self.reader.read(), 5) == b""


async def connected(path: str) -> Client:
    """Connect and negotiate."""
    client = Client(*await asyncio.open_unix_connection(path))
    assert (await client.ask(mta.options())).command == "O"
    return client


def mail(line: str | None = None, *, address: str = PEER, **envelope: object) -> bytes:
    """Give a session and a message of the old server."""
    session = mta.postfix_session(address=address, name=BY_NAME, resolve="FAIL")
    headers = [("Received", line or line_of()), ("Subject", "x")]
    return session + mta.postfix_message(headers, **envelope)  # type: ignore[arg-type]  # the helper's own arguments


async def test_old_server_gets_the_reply_at_the_end_of_the_headers(tmp_path: Path) -> None:
    """One message of a blocked server over a real Unix socket is answered with the policy's text."""
    async with milter(tmp_path) as (doors, path):
        answer = await (await connected(path)).ask(mail())
        assert answer.as_postfix_reads_it().startswith("550 5.7.230 ")
        (seen,) = doors.messages
        assert (seen.address, seen.helo, seen.client_resolve, seen.daemon_port) == (PEER, BY_NAME, "failed", "25")
        assert seen.received == (line_of(),)
        assert seen.queue_id == "4XyZ9q1Bz2"


async def test_messages_of_one_session_are_judged_one_by_one(tmp_path: Path) -> None:
    """Nothing of a message is left for the next: neither lines, protection, sender nor login."""
    async with milter(tmp_path) as (doors, path):
        client = await connected(path)
        await client.ask(mail(sender="<>", recipients=["<postmaster@neu.example>", "<b@neu.example>"]))
        client.writer.write(mta.ABORT)
        auth = mta.macros(b"M", {"{auth_authen}": "anna"}) + mta.mail() + mta.rcpt() + mta.macros(b"N", {"i": "q2"})
        await client.ask(auth + mta.header() + mta.END_OF_HEADERS)
        client.writer.write(mta.ABORT)
        await client.ask(mta.mail() + mta.rcpt() + mta.header() + mta.END_OF_HEADERS)
        first, second, third = doors.messages
        assert (first.null_sender, first.protected, first.auth) == (True, True, False)
        assert (second.null_sender, second.protected, second.auth, second.received) == (False, False, True, ())
        assert (third.auth, third.queue_id, third.address) == (False, "", PEER)


async def test_another_client_on_the_same_connection_is_another_client(tmp_path: Path) -> None:
    """After QUIT_NC nothing of the last client is left."""
    async with milter(tmp_path) as (doors, path):
        client = await connected(path)
        await client.ask(mta.macros(b"H", {"{cert_subject}": "plant.example"}) + mail(address=PEER))
        again = mta.connect("other.example", "198.51.100.1") + mta.mail() + mta.rcpt() + mta.END_OF_HEADERS
        await client.ask(mta.QUIT_NEW_CONNECTION + again)
        second = doors.messages[1]
        assert (second.address, second.helo, second.tls_name, second.has_headers) == ("198.51.100.1", "", "", False)


async def test_verified_tls_name_is_known(tmp_path: Path) -> None:
    """The CN that the MTA verified comes with HELO."""
    async with milter(tmp_path) as (doors, path):
        client = await connected(path)
        hello = mta.connect() + mta.macros(b"H", {"{cert_subject}": "plant.example"}) + mta.helo()
        await client.ask(hello + mta.postfix_message([("Subject", "x")]))
        assert doors.messages[0].tls_name == "plant.example"


async def test_nul_and_eight_bit_bytes_arrive(tmp_path: Path) -> None:
    """Odd bytes in every place are taken as they are, and the message is judged."""
    async with milter(tmp_path) as (doors, path):
        client = await connected(path)
        session = mta.connect("caf\xe9", PEER) + mta.helo("\xff\xfe")
        headers = mta.header(b"Received", b"\xff from \x80 by \xfe; \x85") + mta.header(b"X-\xff", b"\xff\xfe")
        answer = await client.ask(session + mta.mail() + mta.rcpt() + headers + mta.END_OF_HEADERS)
        assert answer.command == "a"
        assert doors.messages[0].helo == "\xff\xfe"


async def test_header_of_a_megabyte_and_ten_thousand_lines(tmp_path: Path) -> None:
    """Both come through the socket, are bounded, and the first lines still prove what they prove."""
    async with milter(tmp_path) as (doors, path):
        client = await connected(path)
        session = mta.postfix_session(address=PEER, name=BY_NAME, resolve="FAIL") + mta.mail() + mta.rcpt()
        lines = mta.header("Received", line_of()) + mta.header("X-Huge", "x" * 1_000_000)
        lines += mta.header("Received", "y" * 1_000_000) + mta.header("Received", "from a by b with SMTP; x") * 10_000
        answer = await asyncio.wait_for(client.ask(session + lines + mta.END_OF_HEADERS), 20)
        assert answer.command == "y"
        assert (len(doors.messages[0].received), max(map(len, doors.messages[0].received))) == (50, 2000)


async def test_bytes_one_at_a_time(tmp_path: Path) -> None:
    """How a stream is cut changes nothing."""
    async with milter(tmp_path) as (_, path):
        client = await connected(path)
        *slow, last = [bytes([byte]) for byte in mail()]
        for byte in slow:
            client.writer.write(byte)
            await client.writer.drain()
        assert (await client.ask(last)).command == "y"


@pytest.mark.parametrize("nonsense", [b"\0\0\0\0\0", b"\xff\xff\xff\xffX", mta.packet(b"Z"), mta.header()])
async def test_protocol_error_closes_and_is_counted(tmp_path: Path, nonsense: bytes) -> None:
    """What is no milter protocol, or out of place, ends the connection; the next one is served."""
    async with milter(tmp_path) as (doors, path):
        client = await connected(path)
        client.writer.write(nonsense)
        assert await client.closed()
        assert doors.counts["milter_protocol_errors"] == 1
        assert (await (await connected(path)).ask(mail())).command == "y"


async def test_peer_that_stops_within_a_packet_is_closed(tmp_path: Path) -> None:
    """Half a packet and then nothing: closed after the bound, counted once; between packets an MTA may wait."""
    async with milter(tmp_path, stalled_s=0.2) as (doors, path):
        waiting, stalled = await connected(path), await connected(path)
        stalled.writer.write(mail()[:-3])
        assert await stalled.closed()
        assert doors.counts["milter_protocol_errors"] == 1
        assert (await waiting.ask(mail())).command == "y"


async def test_peer_that_leaves_within_a_packet_is_counted(tmp_path: Path) -> None:
    """A connection that ends half-way is a protocol error of the MTA; one that ends between packets is none."""
    async with milter(tmp_path) as (doors, path):
        for cut in (0, 3):
            client = await connected(path)
            client.writer.write(mta.connect()[: len(mta.connect()) - cut])
            client.writer.write_eof()
            assert await client.closed()
            assert doors.counts["milter_protocol_errors"] == (1 if cut else 0)


async def test_connections_beyond_the_bound_are_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One too many is closed at once and counted; the others are served."""
    monkeypatch.setattr(milter_server, "CONNECTIONS_MAX", 1)
    async with milter(tmp_path) as (doors, path):
        first = await connected(path)
        second = Client(*await asyncio.open_unix_connection(path))
        assert await second.closed()
        assert doors.counts["milter_connections_beyond"] == 1
        assert (await first.ask(mail())).command == "y"


async def test_closing_lets_a_message_under_way_reach_its_answer(tmp_path: Path) -> None:
    """At stop the socket goes at once, the message under way is answered, and then the connection ends."""
    async with milter(tmp_path) as (doors, path):
        client = await connected(path)
        whole = mail()
        client.writer.write(whole[:-5])
        await until("the message has begun", lambda: any(link.session.in_message for link in doors.server.links))
        closing = asyncio.create_task(doors.server.close())
        await until("the socket is gone", lambda: not Path(path).exists())
        assert (await client.ask(whole[-5:])).command == "y"
        await asyncio.wait_for(closing, 2)
        assert await client.closed()


async def test_socket_of_a_killed_edge_is_taken_over_and_that_of_a_living_one_is_not(tmp_path: Path) -> None:
    """A dead socket is no obstacle, a living one is an error with its path."""
    path = tmp_path / "edge.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    async with milter(tmp_path):
        with pytest.raises(ConfigError, match=r"edge\.sock"):
            await Doors().server.open(Endpoint("unix", str(path)))


async def test_tcp_socket_answers_without_the_delayed_acknowledgement() -> None:
    """Over TCP twenty messages, each written in many pieces, take far less than 43 ms each."""
    doors, port = Doors(), probe.free_port()
    await doors.server.open(Endpoint("inet", "127.0.0.1", port))
    try:
        client = Client(*await asyncio.open_connection("127.0.0.1", port))
        await client.ask(mta.options())
        client.writer.write(mta.postfix_session(address=PEER, name=BY_NAME, resolve="FAIL"))
        began = asyncio.get_running_loop().time()
        for _ in range(20):
            assert (await client.ask(mta.postfix_message([("Received", line_of())]))).command == "y"
            client.writer.write(mta.ABORT)
        assert asyncio.get_running_loop().time() - began < 20 * 0.04
    finally:
        await doors.server.close()


# -- the plain door --------------------------------------------------------------------------------------------------


@asynccontextmanager
async def door(tmp_path: Path) -> AsyncIterator[tuple[Doors, int]]:
    """Open a plain SMTP door with a spool."""
    doors, port = Doors(), probe.free_port()
    doors.bench = Bench(table_of([decision(block=60, server=f"{BY_NAME}@127.0.0.1")]))
    server = DoorServer(doors.answer, SCOPE, doors.counts, name="mx1", spool=str(tmp_path / "spool"))
    await server.open(Endpoint("inet", "127.0.0.1", port))
    try:
        yield doors, port
    finally:
        await server.close()


def deliver(port: int, content: bytes, sender: str = "a@alt.example", to: str = "b@neu.example") -> tuple[int, bytes]:
    """Send one message; give the answer to DATA."""
    with smtplib.SMTP("127.0.0.1", port, local_hostname=BY_NAME, timeout=30) as client:
        client.ehlo()
        client.mail(sender)
        client.rcpt(to)
        return client.data(content)


async def test_door_gives_the_core_s_answers_and_keeps_what_it_accepts(tmp_path: Path) -> None:
    """The same verdicts as by milter; accepted mail is a file, refused mail is none."""
    old = f"Received: {line_of()}\r\nSubject: x\r\n\r\nhello\r\n".encode()
    async with door(tmp_path) as (doors, port):
        code, text = await asyncio.to_thread(deliver, port, old)
        assert (code, text[:8]) == (550, b"5.7.230 ")
        assert (await asyncio.to_thread(deliver, port, old, to="abuse@neu.example"))[0] == 250
        assert (await asyncio.to_thread(deliver, port, old, sender=""))[0] == 250
        assert (await asyncio.to_thread(deliver, port, b"Subject: y\r\n\r\nhello\r\n"))[0] == 250
        assert doors.counts["door_accepted"] == 3
        assert len(list((tmp_path / "spool").glob("*.eml"))) == 3
        assert doors.messages[0].helo == BY_NAME


async def test_door_survives_what_no_mta_would_send(tmp_path: Path) -> None:
    """A header of 1 MB, 10,000 Received lines, NUL and 8-bit bytes: each is answered, and judged by its first lines."""
    old = f"Received: {line_of()}\r\n".encode()
    odd = [
        old + b"X-Huge: " + b"x" * 1_000_000 + b"\r\n\r\nhello\r\n",
        old + b"X-Folded: " + b"x\r\n " * 300_000 + b"\r\n\r\nhello\r\n",
        old + b"Received: from a by b with SMTP; x\r\n" * 10_000 + b"\r\nhello\r\n",
        b"X-Odd: \x00\xff\xfe\r\n" + old + b"\r\n\x00\xff\r\n",
    ]
    async with door(tmp_path) as (doors, port):
        for content in odd:
            assert (await asyncio.to_thread(deliver, port, content))[0] == 550
        too_large = old + b"\r\n" + (b"x" * 998 + b"\r\n") * 11_000
        assert (await asyncio.to_thread(deliver, port, too_large))[0] == 552
        assert len(doors.messages) == 4


def test_headers_end_where_they_end() -> None:
    """Folded lines stay whole, a name's case does not matter, and nothing of the body counts."""
    received, found_any = read_headers(b"RECEIVED: one\r\n\ttwo\r\nX: y\r\nreceived : three\r\n\r\nReceived: body\r\n")
    assert (received.kept, found_any) == (["one\n\ttwo", "three"], True)
    assert read_headers(b"\r\nReceived: body\r\n")[1] is False
    assert read_headers(b"")[1] is False

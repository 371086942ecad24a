"""Mail in motion: a small MTA that speaks the milter protocol to the edges, and a real Postfix in front of one of them."""

import asyncio
import struct
import time
from contextlib import suppress
from email.message import EmailMessage
from pathlib import Path

from tests.faults.processes import HOST
from tests.faults.senders import Letter, Population
from tests.faults.truth import Answer
from tests.support import milter_client as mta
from tests.support.postfix import Postfix, SmtpClient

CONNECT_S = 2.0
ANSWER_S = 3.0
"""As the recipe for Postfix has them: beyond, its default action lets the mail pass."""
PACE_S = 0.08
POSTFIX_PACE_S = 0.6
_CODES = {"4": "defer", "5": "reject"}


class Traffic:
    """
    Sends to every edge until stopped. ports: edge -> its milter port. answers: since the last `take_answers`.

    Bounded by the pace: some tens of mails a second, taken after each fault.
    """

    def __init__(self, population: Population, ports: dict[str, int]) -> None:
        self._population = population
        self._ports = ports
        self._tasks: list[asyncio.Task[None]] = []
        self.answers: list[Answer] = []
        self.sent = 0

    def start(self) -> None:
        """Let mail flow."""
        self._tasks += [asyncio.create_task(self._flow(edge)) for edge in self._ports]

    async def stop(self) -> None:
        """No more mail."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def failed(self) -> BaseException | None:
        """What ended a flow of mail, which nothing may."""
        return next((task.exception() for task in self._tasks if task.done() and not task.cancelled()), None)

    def take_answers(self) -> list[Answer]:
        """What was answered since the last call."""
        taken, self.answers = self.answers, []
        return taken

    async def ask(self, edge: str, letter: Letter) -> Answer:
        """One mail through one edge; kept with the others."""
        began = time.time()
        outcome, text = await _ask(self._ports[edge], letter)
        answer = Answer(letter.mail, edge, began, time.time(), outcome, text)
        self.sent += 1
        self.answers.append(answer)
        return answer

    async def _flow(self, edge: str) -> None:
        while True:
            if self._population.live:
                await self.ask(edge, self._population.letter())
            await asyncio.sleep(PACE_S)


async def _ask(port: int, letter: Letter) -> tuple[str, str]:
    """Outcome and text; what a Postfix would pass by its default action is `away` or `late`."""
    try:
        async with asyncio.timeout(CONNECT_S):
            reader, writer = await asyncio.open_connection(HOST, port)
    except (OSError, TimeoutError):
        return "away", ""
    try:
        async with asyncio.timeout(ANSWER_S):
            return await _converse(reader, writer, letter)
    except TimeoutError:
        return "late", ""
    except (OSError, asyncio.IncompleteReadError):
        return "away", ""
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()


async def _converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, letter: Letter) -> tuple[str, str]:
    writer.write(mta.options())
    offer = await _packet(reader)
    if offer.command != "O":
        return f"{offer.command!r} to the offer", ""
    sender = letter.sender
    resolve = "OK" if sender.verified else "FAIL"
    headers = (("Received", letter.line), ("Subject", letter.mail.kind))
    writer.write(
        mta.postfix_session(address=sender.peer, name=sender.name, resolve=resolve)
        + mta.postfix_message(headers, sender=letter.mail_from, recipients=(letter.recipient,))
    )
    answer = await _packet(reader)
    writer.write(mta.QUIT)
    if answer.command in {"a", "c"}:
        return "accept", ""
    if answer.command == "y":
        text = answer.as_postfix_reads_it()
        return _CODES.get(text[:1], "a reply of no class"), text
    return f"{answer.command!r}", ""


async def _packet(reader: asyncio.StreamReader) -> mta.Answer:
    (length,) = struct.unpack(">I", await reader.readexactly(4))
    data = await reader.readexactly(length)
    return mta.Answer(chr(data[0]), data[1:])


class PostfixLane:
    """
    Mail through a real Postfix: what it took must arrive, what it refused must not.

    taken: ids that it answered with 250 and that have not arrived yet. strays: arrived, and not taken.
    """

    def __init__(self, instance: Postfix, population: Population, traffic: Traffic, edge: str) -> None:
        self._instance = instance
        self._population = population
        self._traffic = traffic
        self._edge = edge
        self._number = 0
        self._under_way = ""
        self._refused: set[str] = set()
        self.taken: set[str] = set()
        self.strays: list[str] = []
        self.delivered = 0
        self.refused = 0
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Let mail flow."""
        self._task = asyncio.create_task(self._flow())

    async def stop(self) -> None:
        """No more mail; what is under way ends first."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def failed(self) -> BaseException | None:
        """What ended the flow, which nothing may."""
        return self._task.exception() if self._task and self._task.done() and not self._task.cancelled() else None

    def collect(self) -> None:
        """Take what arrived out of the mailbox."""
        for file in Path(self._instance.mailbox).glob("*"):
            found = [line for line in file.read_bytes().splitlines() if line.startswith(b"Subject: ")]
            name = found[0].decode().removeprefix("Subject: ") if found else file.name
            if name == self._under_way:
                continue  # delivered before we heard that it was taken
            file.unlink()
            self.delivered += 1
            if name in self.taken:
                self.taken.discard(name)
            else:
                why = "was refused" if name in self._refused else "was not taken, or twice"
                self.strays.append(f"{name} arrived, and {why}")

    async def _flow(self) -> None:
        while True:
            if self._population.live:
                await self._send(self._population.letter())
            await asyncio.sleep(POSTFIX_PACE_S)

    async def _send(self, letter: Letter) -> None:
        self._number += 1
        name = self._under_way = f"mail-{self._number}"
        began = time.time()
        reply = await asyncio.to_thread(self._hand_over, name, letter)
        outcome = {"2": "accept", **_CODES}.get(reply[:1], reply)
        if outcome == "defer" and " 4.7.230 " not in reply:
            outcome = f"{reply!r} at the MTA"  # not our text: Postfix itself gave up, which no fault may bring about
        if outcome == "accept":
            self.taken.add(name)
        else:
            self._refused.add(name)
            self.refused += 1
        self._under_way = ""
        self._traffic.answers.append(Answer(letter.mail, self._edge, began, time.time(), outcome, reply))

    def _hand_over(self, name: str, letter: Letter) -> str:
        sender = letter.sender
        message = EmailMessage()
        message["Received"] = letter.line
        message["Subject"] = name
        message.set_content("hello")
        with SmtpClient(self._instance) as client:
            client.must(f"EHLO {sender.name}", "250")
            known = sender.name if sender.verified else "[UNAVAILABLE]"
            client.must(f"XCLIENT NAME={known} ADDR={sender.peer}", "220")
            client.must(f"EHLO {sender.name}", "250")
            return client.send(
                message.as_string().rstrip("\n"), letter.mail_from.strip("<>"), (letter.recipient.strip("<>"),)
            )

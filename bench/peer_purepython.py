"""
The least milter with purepythonmilter (asyncio); run by the Python of the peers' own environment: SOCKET.

Its own `run_server` listens on TCP only; here its connection handler is given a Unix socket, so that all compared ones
have the same way.
"""

import asyncio
import os
import sys

import purepythonmilter as ppm  # type: ignore[import-not-found] # it lives in the peers' environment
from purepythonmilter.server.milterserver import MilterServer  # type: ignore[import-not-found] # as above


async def heard_connect(command: ppm.Connect) -> None:
    """Hear the client."""


async def heard_helo(command: ppm.Helo) -> None:
    """Hear the name of HELO."""


async def heard_sender(command: ppm.MailFrom) -> None:
    """Hear the sender."""


async def heard_recipient(command: ppm.RcptTo) -> None:
    """Hear a recipient."""


async def heard_header(command: ppm.Header) -> None:
    """Hear a header."""


async def answer(command: ppm.EndOfHeaders) -> ppm.Accept:
    """Answer where patchgate answers."""
    del command
    return ppm.Accept()


async def serve(path: str) -> None:
    """Listen until killed."""
    milter = ppm.PurePythonMilter(
        name="null",
        hook_on_connect=heard_connect,
        hook_on_helo=heard_helo,
        hook_on_mail_from=heard_sender,
        hook_on_rcpt_to=heard_recipient,
        hook_on_header=heard_header,
        hook_on_end_of_headers=answer,
    )
    server = MilterServer(app_factory=milter._get_factory())  # noqa: SLF001  (there is no public way to a Unix socket)
    listening = await asyncio.start_unix_server(server.handle_connection, path)
    await listening.serve_forever()


if __name__ == "__main__":
    os.umask(0)  # the MTA is another user
    asyncio.run(serve(sys.argv[1]))

"""`patchgate contact`: who is told about a server. Addresses live in one compacted topic, and can be erased."""

import asyncio
import os
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Annotated, Any, Literal, TypeVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec
import typer
from aiokafka.errors import KafkaError
from rich.console import Console
from rich.table import Table

from shared.domain.errors import InputError, PatchgateError, RecordSchemaError, TransientError
from shared.domain.records import Contact
from shared.messaging import codec
from shared.messaging import topics as t
from shared.messaging.kafka import new_producer, new_reader, partitions_of, read_to_end, running
from shared.runtime.settings import CommonSettings, from_env

app = typer.Typer(no_args_is_help=True, help="Who is told about a server: names and addresses, kept in one place.")

ContactId = Annotated[
    str, typer.Argument(metavar="ID", help="Your short name: small letters, digits and -, at most 40.")
]
Result = TypeVar("Result")

_TAKES = {
    "id": "a contact's ID takes small letters, digits and -, at most 40, and begins with none of the last",
    "address": "ADDRESS takes one mail address, such as it@firm.example",
    "language": "--language takes en or de",
    "zone": "--zone takes the name of a time zone, such as Europe/Berlin",
}


@app.command(name="set")
def set_contact(
    contact_id: ContactId,
    address: Annotated[str, typer.Argument(metavar="ADDRESS", help="Where notices go.")],
    server: Annotated[str, typer.Option(help="For this server, by its id.")] = "",
    connector: Annotated[str, typer.Option(help="For servers of this connector without a contact of their own.")] = "",
    language: Annotated[Literal["en", "de"], typer.Option(help="Of the notices.")] = "en",
    zone: Annotated[str, typer.Option(help="The reader's time zone, such as Europe/Berlin.")] = "UTC",
) -> None:
    """Add a contact, or put it in place of the one with this ID."""
    fields = {"id": contact_id, "address": address, "server": server, "connector": connector, "language": language}
    _run(_set({**fields, "zone": zone}))
    typer.echo(f"Contact {contact_id} is set; notices that wait for one go out within moments.")


@app.command()
def erase(contact_id: ContactId) -> None:
    """Erase a contact. Kafka drops the address itself when it next compacts the topic, as a rule within hours."""
    _run(_erase(contact_id))
    typer.echo(f"Contact {contact_id} is erased.")


@app.command(name="list")
def list_contacts(as_json: Annotated[bool, typer.Option("--json", help="For scripts.")] = False) -> None:
    """Show all contacts."""
    stored = _run(_stored())
    contacts = [contact for contact in stored.values() if contact is not None]
    for contact_id, contact in stored.items():
        if contact is None:
            typer.echo(f"patchgate: contact {contact_id} cannot be read; set it anew, or erase it", err=True)
    if as_json:
        typer.echo(msgspec.json.encode(contacts).decode())
    elif contacts:
        _show(contacts)
    else:
        typer.echo("No contacts yet: `patchgate contact set ID ADDRESS --connector NAME`.")


def _show(contacts: list[Contact]) -> None:
    table = Table("contact", "address", "for", "language", "zone")
    for contact in contacts:
        scope = f"server {contact.server}" if contact.server else f"connector {contact.connector}"
        table.add_row(contact.id, contact.address, scope, contact.language, contact.zone)
    Console().print(table)


def checked(fields: dict[str, str]) -> Contact:
    """
    The contact of these fields.

    Raises:
        InputError: a field does not fit; says what it takes.
    """
    if bool(fields["server"]) == bool(fields["connector"]):
        raise InputError("name either --server ID or --connector NAME")
    try:
        ZoneInfo(fields["zone"])
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        if fields["zone"] != "UTC":  # which is known even where no zones are installed
            raise InputError(f"{_TAKES['zone']}; {fields['zone'][:64]!r} is not known here") from error
    for name, takes in _TAKES.items():
        try:
            msgspec.convert({"type": "contact.v1", "id": "x", "address": "a@b", name: fields[name]}, Contact)
        except msgspec.ValidationError as error:
            raise InputError(takes) from error
    return msgspec.convert({"type": "contact.v1", **fields}, Contact)


async def _set(fields: dict[str, str]) -> None:
    contact = checked(fields)
    await _write(contact.id, codec.encode(contact))


async def _erase(contact_id: str) -> None:
    if contact_id not in await _stored():
        raise InputError(f"there is no contact {contact_id}; see `patchgate contact list`")
    await _write(contact_id, None)


async def _write(contact_id: str, value: bytes | None) -> None:
    settings = from_env(CommonSettings, os.environ)
    topic = settings.topic_prefix + t.CONTACTS
    reader, producer = new_reader(settings.bootstrap), new_producer(settings.bootstrap)
    async with _answering(settings), running(reader), running(producer):
        await partitions_of(reader, topic)  # a producer would wait long for a topic that is not there
        await producer.send_and_wait(topic, value, key=contact_id.encode(), partition=0)


async def _stored() -> dict[str, Contact | None]:
    """All contacts by id; None for one that cannot be read."""
    settings = from_env(CommonSettings, os.environ)
    reader = new_reader(settings.bootstrap)
    found: dict[str, Contact | None] = {}
    async with _answering(settings), running(reader):
        async for record in read_to_end(reader, await partitions_of(reader, settings.topic_prefix + t.CONTACTS)):
            contact_id = (record.key or b"").decode("utf-8", "replace")
            if not record.value:
                found.pop(contact_id, None)
                continue
            try:
                found[contact_id] = codec.decode(t.CONTACTS, record.value)
            except RecordSchemaError:
                found[contact_id] = None
    return dict(sorted(found.items()))


@asynccontextmanager
async def _answering(settings: CommonSettings) -> AsyncIterator[None]:
    """Turn what the client library raises into one clear line."""
    try:
        yield
    except KafkaError as error:
        raise TransientError(
            f"Kafka at {settings.bootstrap} does not answer as it should ({type(error).__name__}); "
            "start it (`patchgate up`), or set PATCHGATE_BOOTSTRAP"
        ) from error


def _run(work: Coroutine[Any, Any, Result]) -> Result:
    try:
        return asyncio.run(work)
    except PatchgateError as error:
        typer.echo(f"patchgate: {error}", err=True)
        raise typer.Exit(1) from error

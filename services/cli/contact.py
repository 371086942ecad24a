"""`patchgate contact`: who is told about a server. Addresses live in one compacted topic, and can be erased."""

import asyncio
from typing import Annotated, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec
import typer
from rich.console import Console
from rich.table import Table

from services.cli import bus, common
from shared.domain.errors import RecordSchemaError
from shared.domain.records import Contact
from shared.messaging import codec
from shared.messaging import topics as t
from shared.messaging.kafka import new_producer, partitions_of, running

app = typer.Typer(no_args_is_help=True, help="Who is told about a server: names and addresses, kept in one place.")

ContactId = Annotated[
    str, typer.Argument(metavar="ID", help="Your short name: small letters, digits and -, at most 40.")
]

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
    contact = checked({**fields, "zone": zone})
    asyncio.run(_write(contact.id, codec.encode(contact)))
    typer.echo(f"Contact {contact_id} is set; notices that wait for one go out within moments.")


@app.command()
def erase(contact_id: ContactId) -> None:
    """Erase a contact. Kafka drops the address itself when it next compacts the topic, as a rule within hours."""
    if contact_id not in asyncio.run(_stored()):
        raise common.CommandError(f"there is no contact {contact_id}; see `patchgate contact list`")
    asyncio.run(_write(contact_id, None))
    typer.echo(f"Contact {contact_id} is erased.")


@app.command(name="list")
def list_contacts(as_json: common.AsJson = False) -> None:
    """Show all contacts."""
    stored = asyncio.run(_stored())
    contacts = [contact for contact in stored.values() if contact is not None]
    for contact_id, contact in stored.items():
        if contact is None:
            common.fail(f"contact {contact_id} cannot be read; set it anew, or erase it")
    if as_json:
        common.echo_json(contacts)
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
        CommandError: a field does not fit; says what it takes.
    """
    if bool(fields["server"]) == bool(fields["connector"]):
        raise common.CommandError("name either --server ID or --connector NAME")
    try:
        ZoneInfo(fields["zone"])
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        if fields["zone"] != "UTC":  # which is known even where no zones are installed
            raise common.CommandError(f"{_TAKES['zone']}; {fields['zone'][:64]!r} is not known here") from error
    for name, takes in _TAKES.items():
        if not fields[name].isprintable():
            raise common.CommandError(takes)
        try:
            msgspec.convert({"type": "contact.v1", "id": "x", "address": "a@b", name: fields[name]}, Contact)
        except msgspec.ValidationError as error:
            raise common.CommandError(takes) from error
    return msgspec.convert({"type": "contact.v1", **fields}, Contact)


async def _write(contact_id: str, value: bytes | None) -> None:
    settings = common.settings()
    topic = settings.topic_prefix + t.CONTACTS
    async with bus.reading(settings) as reader, running(producer := new_producer(settings.bootstrap)):
        await partitions_of(reader, topic)  # a producer would wait long for a topic that is not there
        await producer.send_and_wait(topic, value, key=contact_id.encode(), partition=0)


async def _stored() -> dict[str, Contact | None]:
    """All contacts by id; None for one that cannot be read."""
    table = await bus.table(common.settings(), t.CONTACTS)
    return {key.decode("utf-8", "replace"): _contact_of(value) for key, value in sorted(table.items())}


def _contact_of(value: bytes) -> Contact | None:
    try:
        contact: Contact = codec.decode(t.CONTACTS, value)
    except RecordSchemaError:
        return None
    return contact

"""
The file for a start while Kafka is away: the table of decisions as it was last seen, with a checksum inside.

First line: SHA-256 of the rest, hex. It is written beside and then put in place, so a crash leaves the old one or the
new one. One that is torn, or older than `stale_after`, is refused: mail then passes until Kafka is back.

How old it is, only a clock can tell that can be believed. So it keeps what the edge knew of the broker's time, which holds
until the machine boots again: an edge that starts from a file of an earlier boot only observes until Kafka is back.
"""

import os
from hashlib import sha256
from pathlib import Path

import msgspec

from shared.domain.errors import InputError, RecordSchemaError
from shared.messaging.decisions import DecisionTable
from shared.runtime.clock import boot_id

WRITE_EVERY_S = 60.0
"""Real seconds between two writings of a table that changed: a heartbeat changes it too, and keeps the file young."""


class ColdStartError(InputError):
    """The file cannot be used; the edge starts without a table, and mail passes until Kafka is back."""


class ColdStart(msgspec.Struct, frozen=True, kw_only=True):
    """
    The table's records in any order, and whether topic `control` said freeze.

    boot: in which boot of the machine it was written. broker_s: as in `DecisionSink`, in that boot.
    """

    records: tuple[tuple[bytes, bytes], ...]
    frozen: bool
    boot: str = ""
    broker_s: float | None = None

    @property
    def broker_s_now(self) -> float | None:
        """The same, if the machine has not booted since; else None."""
        return self.broker_s if self.boot and self.boot == boot_id() else None


def save(path: Path, content: ColdStart) -> None:
    """
    Put *content* in place of the file.

    Raises:
        OSError: it cannot be written; the old file stays.
    """
    body = msgspec.json.encode(content)
    fresh = path.with_name(path.name + ".new")
    path.parent.mkdir(parents=True, exist_ok=True)
    with fresh.open("wb") as file:
        file.write(sha256(body).hexdigest().encode() + b"\n" + body)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)


def load(path: Path) -> tuple[DecisionTable, ColdStart] | None:
    """
    The table of the file, and what else it keeps; None if there is no file.

    Raises:
        ColdStartError: torn, damaged, or not to be read by this version.
    """
    try:
        stored = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ColdStartError(f"the cold-start file {path} cannot be read: {error}") from error
    checksum, _, body = stored.partition(b"\n")
    if sha256(body).hexdigest().encode() != checksum:
        raise ColdStartError(
            f"the cold-start file {path} is torn or damaged (checksum); mail passes until Kafka is back"
        )
    table = DecisionTable()
    try:
        content = msgspec.json.decode(body, type=ColdStart)
        for key, value in content.records:
            table.apply(key, value)
    except (msgspec.MsgspecError, RecordSchemaError) as error:
        raise ColdStartError(f"the cold-start file {path} is of another version: {error}") from error
    return table, content

"""The readiness file of the enforcer: who leads, and how far it has come, as one line of JSON."""

from datetime import datetime

import msgspec

from shared.domain.errors import ConfigError
from shared.domain.evidence import UtcDatetime
from shared.runtime.readiness import ReadyFile


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """
    leader: whether this one leads. instance: its name. led_by: who leads; "" where no heartbeat has told yet.

    seq, h: of the newest commit; seq of a standby: of what it has read. warm: it has come to the end once, and follows since;
    behind: records that it had not read yet at its last look, offsets of marks and of records that are gone included.
    """

    leader: bool
    instance: str = ""
    led_by: str = ""
    seq: int = 0
    h: UtcDatetime | None = None
    warm: bool = True
    behind: int | None = 0


class Progress:
    """Rewrites the file at each sign of progress; a reader sees the old line or the new one, never a half."""

    def __init__(self, state_dir: str, instance: str = "") -> None:
        self._instance = instance
        self._file = ReadyFile(state_dir, "enforcer")

    def clear(self) -> None:
        """Remove what an earlier run left. Raises ConfigError."""
        self._file.clear()

    def waiting(self, *, led_by: str, warm: bool, seq: int, behind: int | None) -> None:
        """Ready, as the standby of another. behind: None before it is known. Raises ConfigError."""
        self._write(Status(leader=False, instance=self._instance, led_by=led_by, seq=seq, warm=warm, behind=behind))

    def leading(self, seq: int, h: datetime) -> None:
        """Ready, and committed up to *seq*. Raises ConfigError."""
        self._write(Status(leader=True, instance=self._instance, led_by=self._instance, seq=seq, h=h))

    def _write(self, status: Status) -> None:
        path = self._file.path
        fresh = path.with_name(path.name + ".new")
        try:
            fresh.write_bytes(msgspec.json.encode(status) + b"\n")
            fresh.replace(path)
        except OSError as error:
            raise ConfigError(f"{path} cannot be written: {error}; free space or set PATCHGATE_STATE_DIR") from error

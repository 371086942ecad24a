"""The readiness file of the enforcer: who leads, and how far it has come, as one line of JSON."""

from datetime import datetime

import msgspec

from shared.domain.errors import ConfigError
from shared.domain.evidence import UtcDatetime
from shared.runtime.readiness import ReadyFile


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """leader: false for a standby, which knows no more. seq, h: of the newest commit."""

    leader: bool
    seq: int = 0
    h: UtcDatetime | None = None


class Progress:
    """Rewrites the file at each sign of progress; a reader sees the old line or the new one, never a half."""

    def __init__(self, state_dir: str) -> None:
        self._file = ReadyFile(state_dir, "enforcer")

    def clear(self) -> None:
        """Remove what an earlier run left. Raises ConfigError."""
        self._file.clear()

    def waiting(self) -> None:
        """Ready, as the standby of another. Raises ConfigError."""
        self._write(Status(leader=False))

    def leading(self, seq: int, h: datetime) -> None:
        """Ready, and committed up to *seq*. Raises ConfigError."""
        self._write(Status(leader=True, seq=seq, h=h))

    def _write(self, status: Status) -> None:
        path = self._file.path
        fresh = path.with_name(path.name + ".new")
        try:
            fresh.write_bytes(msgspec.json.encode(status) + b"\n")
            fresh.replace(path)
        except OSError as error:
            raise ConfigError(f"{path} cannot be written: {error}; free space or set PATCHGATE_STATE_DIR") from error

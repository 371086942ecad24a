"""
The local file: freeze and exemptions that hold with the bus away. TOML, read again when its time of change moves.

    freeze = true                 # nothing is slowed or refused by this edge
    [exempt]
    servers = ["ex16.example@192.0.2.9"]
    peers = ["192.0.2.0/24"]
    connectors = ["plant"]

No file is as good as an empty one. One that cannot be read freezes: the mildest that it may have meant.
"""

import ipaddress
import tomllib
from pathlib import Path

import msgspec

from services.edge.core import Exemptions

MAX_BYTES = 1_000_000
"""A larger file is not read, which freezes."""

_LOOK_EVERY_S = 1.0


class _Document(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    freeze: bool = False
    exempt: Exemptions = Exemptions()


class LocalFile:
    """Looks at the file at most once a second. path: "" for none."""

    def __init__(self, path: str) -> None:
        self._path = Path(path) if path else None
        self._stamp: tuple[int, int] | None = None
        self._looked_at = float("-inf")
        self._document = _Document()
        self.error = ""

    @property
    def freeze(self) -> bool:
        """Whether nothing may be refused."""
        return self._document.freeze or bool(self.error)

    @property
    def exempt(self) -> Exemptions:
        """Who passes."""
        return self._document.exempt

    def refresh(self, moment: float) -> bool:
        """Look again if a second has passed since; *moment* is a monotonic time. Returns whether anything was read."""
        if self._path is None or moment - self._looked_at < _LOOK_EVERY_S:
            return False
        self._looked_at = moment
        try:
            return self._read(self._path)
        except FileNotFoundError:
            changed = self._stamp is not None or bool(self.error)
            self._stamp, self._document, self.error = None, _Document(), ""
            return changed
        except (OSError, ValueError, msgspec.ValidationError) as error:
            changed, self.error = (
                not self.error,
                f"the local file {self._path} cannot be read, so this edge is frozen: {error}",
            )
            return changed

    def _read(self, path: Path) -> bool:
        stat = path.stat()
        stamp = (stat.st_mtime_ns, stat.st_size)
        if stamp == self._stamp and not self.error:
            return False
        if stat.st_size > MAX_BYTES:
            raise ValueError(f"it has {stat.st_size} bytes; {MAX_BYTES} is the bound")
        document = msgspec.convert(tomllib.loads(path.read_text(encoding="utf-8")), _Document)
        for peer in document.exempt.peers:
            ipaddress.ip_network(peer, strict=False)
        self._document, self._stamp, self.error = document, stamp, ""
        return True

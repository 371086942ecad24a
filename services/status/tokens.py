"""
Who may ask over HTTP: a TOML file of tokens, kept as their SHA-256. It is read anew when it changes.

A file that cannot be used lets nobody in: one that is wrong after a token was taken out of it must not let that one in for ever.
"""

import hmac
import os
import tomllib
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from shared.domain.errors import ConfigError

TOKENS_MAX = 1_000
"""Entries of the file; a longer one is refused as a whole."""
FILE_BYTES_MAX = 1_000_000
TOKEN_CHARACTERS_MAX = 200
"""A longer one is nobody's, and is not even hashed."""

Role = Literal["viewer", "operator", "owner"]
"""viewer: reads. operator: asks for everything. owner: asks for what is his own, and reads that only."""


class Token(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One entry. name: stands as `who` in the log. owner: of the policy's connectors, for the role owner. sha256: hex."""

    name: Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9._-]{1,80}$(?!\n)")]
    role: Role
    sha256: Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}$(?!\n)")]
    owner: Annotated[str, msgspec.Meta(max_length=80)] = ""


class _File(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    tokens: Annotated[tuple[Token, ...], msgspec.Meta(max_length=TOKENS_MAX)]


def parse_tokens(text: str) -> tuple[Token, ...]:
    """
    Read the file's text.

    Raises:
        ConfigError: syntax, an unknown key, a wrong value, an owner too many or missing, or the same name or token twice.
    """
    try:
        tokens = msgspec.convert(tomllib.loads(text), _File).tokens
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"it is not TOML: {error}") from error
    except msgspec.ValidationError as error:
        raise ConfigError(f"{error}; an entry is what `patchgate token new` prints") from error
    for token in tokens:
        if bool(token.owner) != (token.role == "owner"):
            raise ConfigError(f"token {token.name}: `owner` belongs to the role owner, and only to that one")
    for what, values in (("name", [one.name for one in tokens]), ("sha256", [one.sha256 for one in tokens])):
        twice = next((value for value in values if values.count(value) > 1), None)
        if twice is not None:
            raise ConfigError(f"{what} {twice[:80]} stands in two entries; each token has its own")
    return tokens


class Tokens:
    """The tokens of one file, as it is now."""

    def __init__(self, path: str) -> None:
        self._path = Path(path)
        self._seen: tuple[int, int, int] | None = None
        self._tokens: tuple[Token, ...] = ()
        self._trouble = ""

    def find(self, text: str) -> Token | None:
        """
        The entry of a token; None where there is none. All are compared, in constant time.

        Raises:
            ConfigError: the file cannot be used as it is now.
        """
        self.refresh()
        digest = sha256(text[: TOKEN_CHARACTERS_MAX + 1].encode(errors="replace")).hexdigest()
        found = None
        for token in self._tokens:
            if hmac.compare_digest(token.sha256, digest) and len(text) <= TOKEN_CHARACTERS_MAX:
                found = token
        return found

    def refresh(self) -> None:
        """
        Read the file, if it is another than before.

        Raises:
            ConfigError: it cannot be used.
        """
        try:
            stat = self._path.stat()
            seen = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
            if seen != self._seen:
                self._tokens, self._trouble, self._seen = (), "", seen
                self._tokens = self._read()
        except OSError as error:
            self._tokens, self._trouble, self._seen = (), f"it cannot be read: {error.strerror}", None
        except ConfigError as error:
            self._trouble = str(error)
        if self._trouble:
            raise ConfigError(f"the tokens file {self._path} cannot be used, so nobody may ask: {self._trouble}")

    def _read(self) -> tuple[Token, ...]:
        with self._path.open("rb") as file:
            if os.fstat(file.fileno()).st_size > FILE_BYTES_MAX:
                raise ConfigError(f"it is larger than {FILE_BYTES_MAX} bytes")
            data = file.read(FILE_BYTES_MAX)
        try:
            return parse_tokens(data.decode())
        except UnicodeDecodeError as error:
            raise ConfigError("it is not UTF-8") from error

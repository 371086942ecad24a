"""Settings: the environment, read once in `__main__`, into a frozen Struct. A wrong one ends the start with one line."""

import re
from collections.abc import Mapping
from typing import TypeVar

import msgspec

from shared.domain.errors import ConfigError

PREFIX = "PATCHGATE_"
_SECRET_WORDS = ("password", "secret", "token")
_BROKER = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^\s:;/\[\]]+)(:\d{1,5})?")


class CommonSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """
    What every service takes, each from PATCHGATE_ and its name in capitals.

    bootstrap: host:port of the broker, several with commas (KAFKA_BOOTSTRAP_SERVERS serves as well).
    topic_prefix: put before every topic, group and transactional id. clock_file: a scaled clock, for demo and tests only.
    heartbeat_ms: real time between heartbeats and between marks. blind_after_s, stale_after_s: real time, see the policy page.
    """

    bootstrap: str = "127.0.0.1:19092"
    topic_prefix: str = "patchgate."
    state_dir: str = ".state"
    clock_file: str = ""
    log_json: bool = False
    heartbeat_ms: int = 5000
    blind_after_s: int = 3600
    stale_after_s: int = 21600
    clock_guard_s: int = 300


SettingsT = TypeVar("SettingsT", bound=CommonSettings)


def from_env(kind: type[SettingsT], environ: Mapping[str, str]) -> SettingsT:
    """
    Read *kind* from the environment; names that no field has are left to others.

    Raises:
        ConfigError: a value cannot be read; names the variable and what it takes.
    """
    values = {}
    for field in msgspec.structs.fields(kind):
        variable = PREFIX + field.name.upper()
        if variable in environ:
            values[field.name] = environ[variable]
    if "bootstrap" not in values and "KAFKA_BOOTSTRAP_SERVERS" in environ:
        values["bootstrap"] = environ["KAFKA_BOOTSTRAP_SERVERS"]
    if "bootstrap" in values:
        values["bootstrap"] = brokers(values["bootstrap"])
    try:
        return msgspec.convert(values, kind, strict=False)
    except msgspec.ValidationError as error:
        raise ConfigError(f"settings: {error}; fields are read from {PREFIX}NAME, such as {PREFIX}BOOTSTRAP") from error


def brokers(text: str) -> str:
    """
    Read a list of brokers, host:port with commas between; any of them will do to find the others.

    Raises:
        ConfigError: it is none.
    """
    found = [one.strip() for one in text.split(",")]
    for one in found:
        if not _BROKER.fullmatch(one):
            raise ConfigError(
                f"settings: {one!r} in the list of brokers {text!r} is no host:port; write host:port, several with commas "
                "(PATCHGATE_BOOTSTRAP or KAFKA_BOOTSTRAP_SERVERS)"
            )
    return ",".join(found)


def shown(settings: CommonSettings) -> dict[str, object]:
    """The settings for the log, secrets hidden."""
    return {
        field: "(hidden)" if value and any(word in field for word in _SECRET_WORDS) else value
        for field, value in msgspec.structs.asdict(settings).items()
    }

"""Settings come from the environment, once, and a wrong one is one clear line."""

import pytest

from shared.domain.errors import ConfigError
from shared.runtime.settings import CommonSettings, from_env, shown


class _Settings(CommonSettings, frozen=True, kw_only=True):
    relay_password: str = ""


def test_values_are_read_from_the_environment() -> None:
    """PATCHGATE_ and the field's name in capitals; foreign names are left to others."""
    found = from_env(CommonSettings, {"PATCHGATE_HEARTBEAT_MS": "100", "PATCHGATE_NOBODYS": "x", "HOME": "/"})
    assert found.heartbeat_ms == 100


def test_the_common_name_of_the_brokers_serves_as_well() -> None:
    """KAFKA_BOOTSTRAP_SERVERS, unless our own is set."""
    both = {"KAFKA_BOOTSTRAP_SERVERS": "a:1", "PATCHGATE_BOOTSTRAP": "b:2"}
    assert from_env(CommonSettings, {"KAFKA_BOOTSTRAP_SERVERS": "a:1"}).bootstrap == "a:1"
    assert from_env(CommonSettings, both).bootstrap == "b:2"


def test_a_wrong_value_names_the_field_and_where_it_is_read() -> None:
    """One line, before any listener opens."""
    with pytest.raises(ConfigError, match=r"heartbeat_ms.*PATCHGATE_NAME"):
        from_env(CommonSettings, {"PATCHGATE_HEARTBEAT_MS": "often"})


def test_secrets_are_not_shown() -> None:
    """The log of the start says that there is one, not which."""
    assert shown(_Settings(relay_password="s3cret"))["relay_password"] == "(hidden)"
    assert shown(_Settings())["relay_password"] == ""

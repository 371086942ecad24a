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


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ("a:1", "a:1"),
        ("a:1,b:2,c:3", "a:1,b:2,c:3"),
        (" a:1 , [::1]:2,192.0.2.7:3", "a:1,[::1]:2,192.0.2.7:3"),
        ("kafka", "kafka"),
    ],
)
def test_several_brokers_are_a_list_with_commas(given: str, read: str) -> None:
    """As many as there are, blanks or not; the clients get it without."""
    assert from_env(CommonSettings, {"PATCHGATE_BOOTSTRAP": given}).bootstrap == read


@pytest.mark.parametrize("given", ["", "a:1,", "a:1;b:2", "a:b", "kafka://a:1", "a:1 b:2", "::1:9092"])
def test_what_is_no_list_of_brokers_is_one_line(given: str) -> None:
    """It names what it cannot read, and where it stands, before any client is made."""
    with pytest.raises(ConfigError, match=r"is no host:port.*PATCHGATE_BOOTSTRAP") as error:
        from_env(CommonSettings, {"KAFKA_BOOTSTRAP_SERVERS": given})
    assert "\n" not in str(error.value)


def test_a_wrong_value_names_the_field_and_where_it_is_read() -> None:
    """One line, before any listener opens."""
    with pytest.raises(ConfigError, match=r"heartbeat_ms.*PATCHGATE_NAME"):
        from_env(CommonSettings, {"PATCHGATE_HEARTBEAT_MS": "often"})


def test_secrets_are_not_shown() -> None:
    """The log of the start says that there is one, not which."""
    assert shown(_Settings(relay_password="s3cret"))["relay_password"] == "(hidden)"
    assert shown(_Settings())["relay_password"] == ""

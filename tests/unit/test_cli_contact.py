"""`patchgate contact set`: what it takes, before any broker is asked."""

import pytest

from services.cli.common import CommandError
from services.cli.contact import checked

GOOD = {
    "id": "anna",
    "address": "anna@firm.example",
    "server": "",
    "connector": "branch",
    "language": "en",
    "zone": "UTC",
}


def test_good_fields_make_a_contact() -> None:
    """All of them arrive."""
    contact = checked({**GOOD, "language": "de", "zone": "Europe/Berlin"})
    assert (contact.id, contact.address, contact.connector) == ("anna", "anna@firm.example", "branch")
    assert (contact.language, contact.zone) == ("de", "Europe/Berlin")


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"id": "Anna Schmidt"}, "ID"),
        ({"id": "-x"}, "ID"),
        ({"address": "anna"}, "ADDRESS"),
        ({"address": "a b@c"}, "ADDRESS"),
        ({"address": "a@b\n"}, "ADDRESS"),
        ({"zone": "Mars/Olympus"}, "--zone"),
        ({"zone": "../../etc/passwd"}, "--zone"),
        ({"language": "fr"}, "--language"),
        ({"connector": ""}, "--server ID or --connector"),
        ({"server": "x"}, "--server ID or --connector"),
    ],
)
def test_what_does_not_fit_is_named(changes: dict[str, str], named: str) -> None:
    """One line that says which, and what it takes."""
    with pytest.raises(CommandError, match=named):
        checked({**GOOD, **changes})

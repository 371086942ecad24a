"""Whatever a Postfix says of itself, `patchgate init` makes a policy that can be adopted and settings that an edge takes."""

from hypothesis import given, settings
from hypothesis import strategies as st

from services.cli import postconf
from services.cli.init_found import LOOKED_AT, found_in
from services.cli.init_text import first_policy
from services.edge.settings import EdgeSettings
from shared.domain.catalogue import load_catalogue
from shared.domain.policy_check import check_policy
from shared.runtime.settings import from_env

WORDS = st.sampled_from(
    [
        "10.0.0.0/8",
        "[2001:db8::]/32",
        "[::ffff:192.0.2.0]/120",
        "::/0",
        "!10.1.1.1",
        "cidr:{{10.0.0.0/8 permit}}",
        "{ inet:localhost:11332,",
        "mx1.example.org",
        "localdomain",
        "$mydomain",
        "${x?{y}:{z}}",
        "yes",
        ",",
        "=",
        "#",
        '"',
        "\\",
    ]
)
VALUES = st.lists(WORDS | st.text(max_size=30), max_size=5).map(" ".join)


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(st.sampled_from(LOOKED_AT), VALUES), st.text(max_size=20))
def test_any_postfix_gives_a_policy_and_settings_that_are_taken(said: dict[str, str], source: str) -> None:
    """Also read back from what postconf would print."""
    printed = postconf.parameters("".join(f"{name} = {value}\n" for name, value in said.items()))
    for parameters in (said, printed):
        found = found_in(parameters, own_machine=False)
        assert check_policy(first_policy(found, source=source), load_catalogue()).findings == ()
        edge = from_env(EdgeSettings, found.settings)
        edge.check()
        assert len(edge.never_judged_networks) == len(found.never_judged)

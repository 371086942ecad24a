"""What `patchgate recipe postfix` prints: lines to add, lines that undo them, and what would change what senders see."""

import pytest

from services.edge.recipe import recipe_postfix
from services.edge.settings import Endpoint

INET = Endpoint("inet", "127.0.0.1", 11332)


def test_an_empty_postfix_gets_a_fail_open_milter_and_the_way_back() -> None:
    """Mail passes when the edge does not answer."""
    text = recipe_postfix({"mail_version": "3.7.11"}, endpoint=INET)
    assert "default_action=accept, connect_timeout=2s, command_timeout=2s, content_timeout=3s" in text
    assert "# postconf -X smtpd_milters" in text


def test_other_milters_stay_and_come_back_alone() -> None:
    """Ours is added behind; undoing leaves theirs."""
    text = recipe_postfix({"smtpd_milters": "inet:127.0.0.1:8891"}, endpoint=INET)
    assert "smtpd_milters = inet:127.0.0.1:8891, { inet:127.0.0.1:11332" in text
    assert "# postconf -e 'smtpd_milters = inet:127.0.0.1:8891'" in text


def test_it_is_not_added_twice() -> None:
    """Run again, it says that there is nothing to do."""
    first = recipe_postfix({}, endpoint=INET)
    own = first.partition("smtpd_milters = ")[2].partition("'")[0]
    assert "nothing to do" in recipe_postfix({"smtpd_milters": own}, endpoint=INET)


def test_a_socket_below_the_queue_is_named_as_a_chroot_sees_it() -> None:
    """Relative to the queue directory it is found inside and outside."""
    text = recipe_postfix({}, endpoint=Endpoint("unix", "/var/spool/postfix/patchgate/edge.sock"))
    assert "{ unix:patchgate/edge.sock" in text


@pytest.mark.parametrize(
    ("current", "warning"),
    [
        ({"soft_bounce": "yes"}, "soft_bounce = yes turns every 550 into 450"),
        ({"smtpd_reject_footer": "call us"}, "smtpd_reject_footer adds a text"),
        ({"smtpd_proxy_filter": "127.0.0.1:10025"}, "no header reaches a milter"),
        ({"smtp/inet/receive_override_options": "no_milters"}, "says no_milters"),
        ({"submission/inet/smtpd_milters": ""}, "does not reach it"),
        ({"smtpd_milter_maps": "cidr:/etc/x"}, "take clients out"),
        ({"mail_version": "2.11.1"}, "3.0 or newer"),
        ({}, "postconf was not asked"),
    ],
)
def test_it_warns_of_what_changes_the_promise(current: dict[str, str], warning: str) -> None:
    """Each only where it is so, or where nothing is known."""
    assert warning in " ".join(recipe_postfix(current, endpoint=INET).replace("#", " ").split())
    quiet = recipe_postfix({"mail_version": "3.7.11", "soft_bounce": "no"}, endpoint=INET)
    assert warning not in " ".join(quiet.replace("#", " ").split())


@pytest.mark.parametrize(("chroot", "word"), [("y", "cannot see"), ("", "where smtpd runs in a chroot")])
def test_a_socket_outside_the_queue_is_warned_of(chroot: str, word: str) -> None:
    """It cannot be seen from inside a chroot."""
    text = recipe_postfix({"smtp/inet/chroot": chroot}, endpoint=Endpoint("unix", "/run/edge.sock"))
    assert word in " ".join(text.replace("#", " ").split())
    free = recipe_postfix({"smtp/inet/chroot": "n"}, endpoint=Endpoint("unix", "/run/edge.sock"))
    assert word not in " ".join(free.replace("#", " ").split())

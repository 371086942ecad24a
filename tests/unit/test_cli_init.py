"""`patchgate init`: a first policy and settings, out of what a Postfix says of itself."""

import io
import subprocess
from pathlib import Path

import msgspec
import pytest

from services.cli import postconf
from services.cli.__main__ import run
from services.cli.init_found import ALWAYS, NOBODY_KNOWN, Found, found_in
from services.cli.init_text import first_policy
from services.edge.recipe import FAIL_OPEN
from services.edge.settings import EdgeSettings
from shared.domain import events as e
from shared.domain.catalogue import load_catalogue
from shared.domain.errors import ConfigError
from shared.domain.policy import Policy, parse_policy, shipped_policy_text
from shared.domain.policy_check import check_policy
from tests.support.scenario import World

MX = {
    "myhostname": "mx1.example.org",
    "mydomain": "example.org",
    "mydestination": "$myhostname, localhost.$mydomain, localhost",
    "mynetworks": "127.0.0.0/8 [::ffff:127.0.0.0]/104 [::1]/128, 10.0.0.0/8",
    "smtpd_tls_ask_ccert": "yes",
    "smtpd_milters": "",
}


def found(**changes: str | None) -> Found:
    """What is made of MX with changes; None: not said."""
    said = {name: value for name, value in {**MX, **changes}.items() if value is not None}
    return found_in(said, own_machine=True)


def mind(**changes: str | None) -> str:
    """What is told to look at."""
    return "\n".join(found(**changes).notes)


def read_of(text: str) -> Policy:
    """The policy, which must have nothing wrong or odd about it."""
    checked = check_policy(text, load_catalogue())
    assert checked.findings == ()
    assert checked.policy is not None
    return checked.policy


# --- who we are ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("host", "domain", "receiver", "source"),
    [
        ("mx1.example.org", "example.org", "example.org", "mydomain"),
        ("mx1.example.org", "Mail.Example.ORG", "mail.example.org", "mydomain"),
        ("mx1.example.org", None, "example.org", "myhostname without its first part"),
        ("mx1.example.org", "localdomain", "example.org", "myhostname without its first part"),
        ("example.org", "org", "example.org", "myhostname"),
        ("mx.home.localdomain", "home.localdomain", NOBODY_KNOWN, ""),
        ("vm", "localdomain", NOBODY_KNOWN, ""),
        (None, None, NOBODY_KNOWN, ""),
        ("mx1.example.org", 'exa"mple.org', "example.org", "myhostname without its first part"),
        (f"mx1.{'a' * 60}.example", None, NOBODY_KNOWN, ""),
    ],
)
def test_the_receiver_is_the_best_name_that_the_world_knows(
    host: str | None, domain: str | None, receiver: str, source: str
) -> None:
    """The replies name it; where there is none they say so in words, and init tells."""
    made = found(myhostname=host, mydomain=domain)
    assert (made.receiver, made.receiver_from) == (receiver, source)
    assert ("put your domain into receiver" in "\n".join(made.notes)) == (not source)


def test_the_edge_has_the_name_of_its_host() -> None:
    """Each edge needs one of its own; a name that no edge may have is left out."""
    assert found().settings["PATCHGATE_EDGE"] == "mx1.example.org"
    assert "PATCHGATE_EDGE" not in found(myhostname="mx_1").settings
    assert "PATCHGATE_EDGE" not in found(myhostname=f"mx1.{'a' * 60}.example").settings


# --- who is never judged ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mynetworks", "networks"),
    [
        ("", []),
        ("127.0.0.0/8 [::1]/128 [::ffff:127.0.0.0]/104", []),
        ("10.0.0.0/8, 192.0.2.7", ["10.0.0.0/8", "192.0.2.7/32"]),
        ("[2001:db8::]/32,[fe80::]/64", ["2001:db8::/32", "fe80::/64"]),
        ("[::ffff:192.0.2.0]/120", ["192.0.2.0/24"]),
        ("[::ffff:0:0]/95", ["::fffe:0:0/95"]),
        ("10.1.2.3/8 10.0.0.0/8", ["10.0.0.0/8"]),
    ],
)
def test_own_networks_are_never_judged(mynetworks: str, networks: list[str]) -> None:
    """As the edge's setting takes them, and this machine always."""
    made = found(mynetworks=mynetworks)
    assert list(made.never_judged) == [*ALWAYS, *networks]
    settings = EdgeSettings(never_judged=made.settings["PATCHGATE_NEVER_JUDGED"])
    assert [str(one) for one in settings.never_judged_networks] == list(made.never_judged)


def test_files_of_networks_are_read_on_their_own_machine_only(tmp_path: Path) -> None:
    """A list of words, or the first column of a cidr table; the file of that name on another machine is another one."""
    listed, table = tmp_path / "listed", tmp_path / "table"
    listed.write_text("# ours\n10.0.0.0/8, 192.0.2.0/24\n\n[2001:db8::]/32\n")
    table.write_text("# ours\n198.51.100.0/24 permit\n203.0.113.0/24\tOK for all\n")
    text = f"127.0.0.0/8 {listed} cidr:{table}"
    expected = ["10.0.0.0/8", "192.0.2.0/24", "2001:db8::/32", "198.51.100.0/24", "203.0.113.0/24"]
    here = found(mynetworks=text)
    assert list(here.never_judged) == [*ALWAYS, *expected]
    assert "not read" not in "\n".join(here.notes)
    away = found_in({**MX, "mynetworks": text}, own_machine=False)
    assert away.never_judged == ALWAYS
    assert [f"mynetworks names {one}, which" in "\n".join(away.notes) for one in (listed, f"cidr:{table}")] == [
        True
    ] * 2


def test_what_of_mynetworks_cannot_be_read_is_named(tmp_path: Path) -> None:
    """A table of another kind, a table with a line that is no network, a file too large, one that is not there."""
    odd, large = tmp_path / "odd", tmp_path / "large"
    odd.write_text("10.0.0.0/8 permit\nif 192.0.2.0/24\n")
    large.write_text("10.0.0.0/8\n" * 100_000)
    words = [
        "hash:/etc/networks",
        f"cidr:{odd}",
        str(large),
        "/no/such/file",
        "cidr:{{10.0.0.0/8 permit}, {10.1.1.1 x}}",
    ]
    made = found(mynetworks=" ".join(words))
    assert list(made.never_judged) == [*ALWAYS, "10.0.0.0/8"]
    told = [note for note in made.notes if "was not read" in note]
    assert len(told) == len(words)
    assert all(f"mynetworks names {word}, which was not read" in note for word, note in zip(words, told, strict=True))


@pytest.mark.parametrize(
    ("mynetworks", "told"),
    [
        (None, "mynetworks is not known: add your own networks"),
        ("$nowhere, 10.0.0.0/8", "mynetworks is not known: add your own networks"),
        ("0.0.0.0/0", "mynetworks holds 0.0.0.0/0, which is everybody: nothing will ever be judged"),
        ("[::]/0", "mynetworks holds ::/0, which is everybody"),
        ("!10.1.1.1 10.0.0.0/8", "mynetworks takes 10.1.1.1 out again; PATCHGATE_NEVER_JUDGED cannot, so"),
    ],
)
def test_networks_that_mean_more_or_less_than_they_look_are_told(mynetworks: str | None, told: str) -> None:
    """The list decides what is seen at all."""
    assert told in mind(mynetworks=mynetworks)


def test_networks_that_postfix_made_up_are_told() -> None:
    """With mynetworks_style = subnet whoever rents the next address is one of us."""
    text = "127.0.0.0/8 192.0.2.7/32 198.51.100.0/24 [::1]/128"
    made = found_in({**MX, "mynetworks": text}, own_machine=True, made=frozenset({"mynetworks"}))
    assert "whoever shares 198.51.100.0/24 with you is never judged" in "\n".join(made.notes)
    alone = found_in({**MX, "mynetworks": text[:24]}, own_machine=True, made=frozenset({"mynetworks"}))
    assert "whoever shares" not in "\n".join(alone.notes)
    assert "whoever shares" not in mind(mynetworks=text)


# --- clients and milters ---------------------------------------------------------------------------------------------


def test_an_ordinary_mx_has_nothing_to_mind() -> None:
    """So that what is told is worth reading."""
    assert found().notes == ()


def test_a_long_value_does_not_hide_what_to_do() -> None:
    """Of the value a part is told, of the sentence all."""
    told = mind(relay_clientcerts="hash:/" + "x" * 1000, mynetworks="hash:/" + "y" * 1000)
    assert "x" * 114 + " ...)" in told
    assert "x" * 115 not in told
    assert "y" * 115 not in told
    assert "in a connector." in told


def test_certificates_that_no_milter_sees_are_told() -> None:
    """A connector by TLS name would match nobody, and nobody would notice."""
    told = "tls_names of a connector match nobody"
    assert told in mind(smtpd_tls_ask_ccert="no")
    assert told in mind(smtpd_tls_ask_ccert=None)
    assert told not in mind(smtpd_tls_ask_ccert="no", smtpd_tls_req_ccert="yes")
    assert "(hash:/etc/postfix/certs) lets clients relay" in mind(relay_clientcerts="hash:/etc/postfix/certs")


@pytest.mark.parametrize(
    ("milters", "socket", "told"),
    [
        ("", "", ""),
        ("inet:localhost:8891", "", "names others (inet:localhost:8891)"),
        ("inet:localhost:11332", "inet:127.0.0.1:11342", "has the edge's usual port 11332 already"),
        (f"{{ inet:127.0.0.1:11332, {FAIL_OPEN} }}", "", ""),
    ],
)
def test_the_edge_gets_a_port_that_no_other_milter_has(milters: str, socket: str, told: str) -> None:
    """Rspamd's proxy listens where an edge does; an edge that is there already keeps its place."""
    made = found(smtpd_milters=milters)
    assert made.settings.get("PATCHGATE_MILTER_SOCKETS", "") == socket
    assert told in "\n".join(made.notes)
    assert bool(made.notes) == bool(told)


# --- the policy ------------------------------------------------------------------------------------------------------


def test_the_policy_is_the_shipped_one_in_observe_with_our_name() -> None:
    """Nothing wrong or odd about it, and the enforcer takes it after the one that it begins with."""
    policy = read_of(first_policy(found(), source="test"))
    shipped = parse_policy(shipped_policy_text())
    assert policy == msgspec.structs.replace(
        shipped,
        version=2,
        receiver="example.org",
        title="example.org: the eight stages of Exchange Online, in observe mode",
    )
    assert policy.mode == "observe"
    assert {one.mode for one in policy.connectors} == {"observe"}
    events = World(shipped).adopt(policy)
    assert [one.policy.version for one in events if isinstance(one, e.PolicyAdopted)] == [2]


def test_the_example_of_a_connector_can_be_used() -> None:
    """With the # taken away, as it says."""
    text = first_policy(found(), source="test")
    head, _, example = text.rpartition("# [[connectors]]")
    policy = read_of(f"{head}[[connectors]]{example.replace('# ', '')}")
    assert [one.name for one in policy.connectors] == ["internet", "branch"]


def test_the_longest_name_fits_into_the_replies() -> None:
    """The bound of a reply line holds with it."""
    name = f"{'a' * 52}.example"
    assert len(name) == 60
    assert read_of(first_policy(found(mydomain=name), source="test")).receiver == name


def test_comments_tell_where_each_value_came_from() -> None:
    """And nothing that a Postfix says can break the file."""
    text = first_policy(found(relay_clientcerts="hash:/x\x00\x1b\u2028" + "y" * 400), source="mx1\nversion = 9")
    assert read_of(text).version == 2
    lines = text.splitlines()
    assert "# Read from mx1?version = 9:" in lines
    assert "#   myhostname = mx1.example.org  (PATCHGATE_EDGE)" in lines
    assert "#   mydomain = example.org  (receiver)" in lines
    assert any(
        line.startswith("#   mydestination = mx1.example.org, localhost.example.org, localhost  (your")
        for line in lines
    )
    assert "#   PATCHGATE_NEVER_JUDGED=127.0.0.0/8,::1/128,10.0.0.0/8" in lines
    assert "# From mydomain." in lines
    assert "(hash:/x???yyy" in text
    assert "y" * 290 in text
    assert "y" * 291 not in text
    assert (
        "#   myhostname = vm  (not used)" in first_policy(found(myhostname="vm", mydomain=None), source="").splitlines()
    )


# --- what postconf prints --------------------------------------------------------------------------------------------


def test_parameters_are_read_as_postconf_and_main_cf_have_them() -> None:
    """The last one of a name counts; a line that begins with a blank goes on with the one before."""
    text = "a = 1\nb =\n# c = 3\n\nd=4,\n  5\n\t6\n  # not this\na = 2\nnothing\n  at all\ne = f = g\n"
    assert postconf.parameters(text) == {"a": "2", "b": "", "d": "4, 5 6", "e": "f = g"}
    assert postconf.parameters("  begins = with a blank\n") == {"begins": "with a blank"}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("plain", "plain"),
        ("$a, ${a}.$(b)", "1, 1.2-1"),
        ("$c", None),
        ("$nobody", None),
        ("${a?yes}", None),
        ("$$a", None),
        ("$loop", None),
    ],
)
def test_names_in_values_are_filled_in(text: str, value: str | None) -> None:
    """What names something unknown, itself, or a condition is not known: better nothing than half of it."""
    said = {"x": text, "a": "1", "b": "2-$a", "c": "$nobody", "loop": "$loop"}
    assert postconf.value_of("x", said) == value
    assert postconf.value_of("nobody", said) is None


def test_a_postconf_that_fails_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """In one sentence, with what it said."""

    def fails(*_: object, **__: object) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess([], 1, "half", "fatal: no main.cf\n")

    monkeypatch.setattr(subprocess, "run", fails)
    assert postconf.ask(["-x"], may_fail=True) == "half"
    with pytest.raises(ConfigError, match="postconf -x failed: fatal: no main"):
        postconf.ask(["-x"])

    def hangs(*_: object, **__: object) -> subprocess.CompletedProcess[str]:
        raise subprocess.TimeoutExpired("postconf", 10)

    monkeypatch.setattr(subprocess, "run", hangs)
    with pytest.raises(ConfigError, match="postconf -x does not answer"):
        postconf.ask(["-x"], may_fail=True)


# --- the command -----------------------------------------------------------------------------------------------------


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """What somebody saved on his MX."""
    file = tmp_path / "saved.txt"
    file.write_text("".join(f"{name} = {value}\n" for name, value in MX.items()))
    return file


def test_init_writes_the_file_and_says_what_else_to_do(
    saved: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Settings can be copied into a shell; nothing but the file is written."""
    file = tmp_path / "my policy.toml"
    assert run(["init", str(file), "--postconf", str(saved)]) == 0
    assert read_of(file.read_text()).receiver == "example.org"
    out = capsys.readouterr().out
    assert (
        "export PATCHGATE_EDGE=mx1.example.org\nexport PATCHGATE_NEVER_JUDGED=127.0.0.0/8,::1/128,10.0.0.0/8\n" in out
    )
    assert f"patchgate policy adopt '{file}' --who you" in out
    assert "# export PATCHGATE_NOTICE_FROM=postmaster@example.org" in out
    assert "Mind" not in out
    assert sorted(tmp_path.iterdir()) == [file, saved]
    assert run(["policy", "check", str(file)]) == 0


def test_init_reads_stdin_and_answers_scripts(
    saved: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in `ssh mx1 postconf | patchgate init --postconf - --json`."""
    monkeypatch.setattr("sys.stdin", io.StringIO(saved.read_text()))
    file = tmp_path / "policy.toml"
    assert run(["init", str(file), "--postconf", "-", "--json"]) == 0
    assert msgspec.json.decode(capsys.readouterr().out) == {
        "file": str(file),
        "receiver": "example.org",
        "settings": {
            "PATCHGATE_EDGE": "mx1.example.org",
            "PATCHGATE_NEVER_JUDGED": "127.0.0.0/8,::1/128,10.0.0.0/8",
        },
        "notes": [],
    }
    assert "# Read from standard input:" in file.read_text()


def test_init_never_overwrites_what_is_there(saved: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Not without --force; a link that leads nowhere is there, too."""
    file, link = tmp_path / "policy.toml", tmp_path / "link.toml"
    file.write_text("mine")
    link.symlink_to(tmp_path / "nowhere")
    for path in (file, link):
        assert run(["init", str(path), "--postconf", str(saved)]) == 1
        assert f"{path} is there already and stays as it is" in capsys.readouterr().err
    assert file.read_text() == "mine"
    assert link.is_symlink()
    assert run(["init", str(file), "--postconf", str(saved), "--force"]) == 0
    assert read_of(file.read_text()).version == 2


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "does not hold what `postconf` prints"),
        (b"hello\nthere = is\n", "does not hold what `postconf` prints"),
        (b"myhostname = \xff\n", "cannot be read"),
        (None, "cannot be read"),
    ],
)
def test_init_refuses_what_is_no_postconf(
    content: bytes | None, told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One sentence, and no file."""
    file = tmp_path / "saved.txt"
    if content is not None:
        file.write_bytes(content)
    assert run(["init", str(tmp_path / "policy.toml"), "--postconf", str(file)]) == 1
    error = capsys.readouterr().err
    assert told in error
    assert str(file) in error
    assert error.count("\n") == 1
    assert not (tmp_path / "policy.toml").exists()


def test_init_refuses_a_stdin_that_is_no_text(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As for a file."""
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"myhostname = \xff\n"), encoding="utf-8"))
    assert run(["init", str(tmp_path / "policy.toml"), "--postconf", "-"]) == 1
    assert "standard input cannot be read: " in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_init_says_where_it_cannot_write(saved: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """And leaves nothing half done."""
    for path in (tmp_path / "no" / "policy.toml", tmp_path):
        assert run(["init", str(path), "--postconf", str(saved), "--force"]) == 1
        assert f"{path} cannot be written" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == [saved]
    assert not (tmp_path.parent / f".{tmp_path.name}.new").exists()


def test_init_says_what_to_do_without_a_postfix(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Most policies are written beside the MX, not on it."""
    monkeypatch.setenv("PATH", str(tmp_path))
    assert run(["init", str(tmp_path / "policy.toml")]) == 1
    assert "save what `postconf` prints on your MX" in capsys.readouterr().err
    assert run(["init", "--postconf", "x", "--config-dir", "y"]) == 2

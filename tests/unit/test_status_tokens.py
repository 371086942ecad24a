"""The tokens of those who ask over HTTP: their file, and how often one may ask."""

from datetime import timedelta
from hashlib import sha256
from pathlib import Path

import msgspec
import pytest
import typer

from services.cli.__main__ import run
from services.cli.token import new_token
from services.status.rate import BURST, PER_S, Buckets
from services.status.tokens import TOKENS_MAX, Tokens, parse_tokens
from shared.domain.errors import ConfigError
from tests.support.scenario import START


def entry(name: str = "anna", role: str = "operator", digest: str = "0" * 64, more: str = "") -> str:
    """One entry of the file."""
    return f'[[tokens]]\nname = "{name}"\nrole = "{role}"\nsha256 = "{digest}"\n{more}'


@pytest.mark.parametrize(
    ("name", "role", "owner"),
    [("anna", "operator", ""), ("b.c-d_9", "viewer", ""), ("it", "owner", 'A "B" \x7f\\ GmbH ü')],
)
def test_what_token_new_prints_lets_that_token_in(tmp_path: Path, name: str, role: str, owner: str) -> None:
    """The entry reads back, and only the token itself is found by it."""
    made = new_token(name, role, owner)
    file = tmp_path / "tokens.toml"
    file.write_text(entry("other") + made.entry)
    tokens = Tokens(str(file))
    found = tokens.find(made.token)
    assert found is not None
    assert (found.name, found.role, found.owner) == (name, role, owner)
    assert made.token not in made.entry
    assert tokens.find(made.token + "x") is None
    assert tokens.find(found.sha256) is None
    assert tokens.find("") is None
    assert new_token(name, role, owner).token != made.token


def test_the_command_shows_the_token_once_and_its_entry(capsys: pytest.CaptureFixture[str]) -> None:
    """In words, and for scripts; the entry has the hash only."""
    assert run(["token", "new", "--name", "anna", "--role", "operator"]) == 0
    shown = capsys.readouterr().out
    assert "PATCHGATE_STATUS_TOKENS" in shown
    assert shown.count("pg_") == 1
    [token] = parse_tokens(shown[shown.index("[[tokens]]") :])
    assert (token.name, token.role) == ("anna", "operator")
    assert run(["token", "new", "--name", "anna", "--role", "viewer", "--json"]) == 0
    made = msgspec.json.decode(capsys.readouterr().out)
    assert parse_tokens(made["entry"])[0].sha256 == sha256(made["token"].encode()).hexdigest()
    assert run(["token", "new", "--name", "a@b", "--role", "viewer"]) == 2
    assert "no address" in capsys.readouterr().err


def test_a_token_that_is_too_long_is_nobodys(tmp_path: Path) -> None:
    """Even where its hash stands in the file."""
    long = "t" * 201
    file = tmp_path / "tokens.toml"
    file.write_text(entry(digest=sha256(long.encode()).hexdigest()))
    assert Tokens(str(file)).find(long) is None


@pytest.mark.parametrize(
    ("name", "role", "owner", "told"),
    [
        ("anna@firm.example", "viewer", "", "no address"),
        ("", "viewer", "", "--name"),
        ("n" * 81, "viewer", "", "--name"),
        ("ann\n", "viewer", "", "--name"),
        ("anna", "owner", "", "--owner NAME"),
        ("anna", "operator", "it", "--owner NAME"),
        ("anna", "owner", "o" * 81, "at most 80"),
    ],
)
def test_a_token_that_its_file_would_not_take_is_not_made(name: str, role: str, owner: str, told: str) -> None:
    """One sentence says what the option takes."""
    with pytest.raises(typer.BadParameter, match=told):
        new_token(name, role, owner)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[[tokens]", "not TOML"),
        ("", "tokens"),
        (entry(more='rule = "x"'), "unknown field `rule`"),
        (entry(role="admin"), "admin"),
        (entry(digest="abc"), "sha256"),
        (entry(name="a@b"), "name"),
        (entry(role="owner"), "token anna: `owner` belongs"),
        (entry(more='owner = "it"'), "token anna: `owner` belongs"),
        (entry() + entry(digest="1" * 64), "name anna stands in two"),
        (entry() + entry(name="b"), "sha256 0000"),
        ("".join(entry(f"n{n}", digest=f"{n:064x}") for n in range(TOKENS_MAX + 1)), "length <= 1000"),
    ],
)
def test_a_file_that_is_wrong_is_told(text: str, told: str) -> None:
    """With what is wrong."""
    with pytest.raises(ConfigError, match=told):
        parse_tokens(text)


def test_the_bound_of_entries_is_taken() -> None:
    """A thousand are no trouble."""
    assert len(parse_tokens("".join(entry(f"n{n}", digest=f"{n:064x}") for n in range(TOKENS_MAX)))) == TOKENS_MAX


def test_the_file_is_read_anew_when_it_changes(tmp_path: Path) -> None:
    """Whom it no longer names is not let in; nobody is while it cannot be used, and again once it can."""
    made, other = new_token("anna", "operator", ""), new_token("ben", "viewer", "")
    file = tmp_path / "tokens.toml"
    file.write_text(made.entry)
    tokens = Tokens(str(file))
    assert tokens.find(made.token) is not None
    put(file, other.entry)
    assert tokens.find(made.token) is None
    assert tokens.find(other.token) is not None
    put(file, other.entry + "[[tokens]]\n")
    for _ in range(2):
        with pytest.raises(ConfigError, match=r"tokens\.toml cannot be used, so nobody may ask"):
            tokens.find(other.token)
    put(file, other.entry)
    assert tokens.find(other.token) is not None
    file.unlink()
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        tokens.find(other.token)
    put(file, other.entry)
    assert tokens.find(other.token) is not None


def put(file: Path, text: str) -> None:
    """Put another file in its place, as editors do."""
    beside = file.with_suffix(".new")
    beside.write_text(text)
    beside.replace(file)


def test_a_file_that_is_too_large_is_refused(tmp_path: Path) -> None:
    """Before it is read into memory."""
    file = tmp_path / "tokens.toml"
    file.write_bytes(b"#" * 1_000_001)
    with pytest.raises(ConfigError, match="larger than 1000000 bytes"):
        Tokens(str(file)).refresh()
    file.write_bytes(b"\xff")
    with pytest.raises(ConfigError, match="not UTF-8"):
        Tokens(str(file)).refresh()


def test_a_token_may_ask_so_often_and_no_oftener() -> None:
    """A burst, then evenly; what was refused takes nothing; another token has a bucket of its own."""
    buckets = Buckets()
    assert [buckets.take("a", START) for _ in range(BURST)] == [0.0] * BURST
    assert buckets.take("a", START) == buckets.take("a", START) == 1 / PER_S
    assert buckets.take("b", START) == 0.0
    later = START + timedelta(seconds=1 / PER_S)
    assert buckets.take("a", later) == 0.0
    assert buckets.take("a", later) > 0
    assert buckets.take("a", START) > 0  # a clock that went back fills nothing
    long_after = START + timedelta(days=1)
    assert [buckets.take("a", long_after) for _ in range(BURST)] == [0.0] * BURST
    assert buckets.take("a", long_after) > 0

"""Kafka's jars: fetched once from a (local) Maven repository by the real jgo, and never taken unchecked."""

import hashlib
import re
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from jgo.maven import MavenContext

from shared.messaging import jars
from shared.messaging.jars import BrokerError

pytestmark = pytest.mark.broker


def _assert_one_line(error: pytest.ExceptionInfo[BrokerError], *words: str) -> None:
    text = str(error.value)
    assert "\n" not in text
    for word in words:
        assert re.search(word, text), f"{word!r} is not in {text!r}"


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[jars.Jar]:
    """Serve one jar from a Maven repository on this machine, and name it."""
    path = "org/example/thing/1.0/thing-1.0.jar"
    (tmp_path / "www" / path).parent.mkdir(parents=True)
    (tmp_path / "www" / path).write_bytes(b"the jar")
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(QuietHandler, directory=str(tmp_path / "www")))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    remote = {"here": f"http://127.0.0.1:{server.server_port}"}
    monkeypatch.setattr(jars, "_maven", lambda cache: MavenContext(repo_cache=cache, remote_repos=remote))
    yield jars.Jar(path, hashlib.sha256(b"the jar").hexdigest())
    server.shutdown()
    server.server_close()
    thread.join(10)


class QuietHandler(SimpleHTTPRequestHandler):
    stumbles = 0

    def do_GET(self) -> None:
        """Serve the file; while stumbles are left, serve something else."""
        if QuietHandler.stumbles and self.path.endswith(".jar"):
            QuietHandler.stumbles -= 1
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"half")
        else:
            super().do_GET()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name that the base class gives it
        """Say nothing: pytest's output is for the tests."""


def test_a_missing_jar_is_fetched_and_the_steps_are_told(tmp_path: Path, repository: jars.Jar) -> None:
    """A jar that arrives as pinned is kept under its path, nothing else stays, and the caller hears of it."""
    steps = list[tuple[int, int]]()
    files = jars.ensure(
        tmp_path / "cache", jars=[repository], progress=lambda _, done, total: steps.append((done, total))
    )
    assert [file.read_bytes() for file in files] == [b"the jar"]
    assert [file for file in (tmp_path / "cache").rglob("*") if file.is_file()] == files
    assert steps == [(0, 1), (1, 1)]


def test_what_arrives_damaged_is_fetched_again(
    tmp_path: Path, repository: jars.Jar, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two damaged transfers are got over by the third; after that we give up."""
    monkeypatch.setattr(QuietHandler, "stumbles", 2)
    (file,) = jars.ensure(tmp_path / "cache", jars=[repository])
    assert file.read_bytes() == b"the jar"


def test_a_fetched_jar_other_than_the_pinned_one_is_thrown_away(tmp_path: Path, repository: jars.Jar) -> None:
    """A jar that arrives with another checksum, or not at all, is not kept."""
    with pytest.raises(BrokerError) as error:
        jars.ensure(tmp_path / "cache", jars=[repository._replace(sha256="0" * 64)])
    _assert_one_line(error, "thing-1.0", "SHA-256", "thrown away")
    with pytest.raises(BrokerError) as error:
        jars.ensure(tmp_path / "cache", jars=[repository._replace(path="org/example/other/1.0/other-1.0.jar")])
    _assert_one_line(error, "other-1.0.jar cannot be fetched")
    assert list((tmp_path / "cache").rglob("*.jar")) == []


def test_a_cache_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    """A jar cache in the place of a file names it and the remedy."""
    (tmp_path / "cache").write_text("a file")
    with pytest.raises(BrokerError) as error:
        jars.ensure(tmp_path / "cache")
    _assert_one_line(error, "cache", "XDG_CACHE_HOME")


@pytest.mark.parametrize("text", ["", "no digest", "ab  x/y.jar\n"])
def test_a_damaged_list_of_jars_is_told(tmp_path: Path, text: str) -> None:
    """A list without well-formed lines never means 'nothing to check'."""
    (tmp_path / "jars.lock").write_text(text)
    with pytest.raises(BrokerError) as error:
        jars.pinned(tmp_path / "jars.lock")
    _assert_one_line(error, "damaged", "install")

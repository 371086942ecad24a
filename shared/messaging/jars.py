"""
Kafka's own jars, pinned: which files, their SHA-256, and how they come onto this machine.

The list is `jars.lock` beside this file, in the format of `sha256sum`, with paths as in a Maven repository, so
`(cd ~/.cache/patchgate/jars && sha256sum -c .../jars.lock)` checks it too. What is missing is fetched once, through the
`jgo` package; a file gets its final name only after its checksum was found right. Afterwards nothing here uses the
network: each start only hashes the files (43 MB in about 50 ms), so a damaged or exchanged jar never runs.

To pin another version: change `ENDPOINT`, run `python -m shared.messaging.jars`.
"""

import hashlib
import importlib
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

from shared.domain.errors import ConfigError

KAFKA_VERSION = "4.1.2"
# slf4j-jdk14 sends Kafka's log to java.util.logging, the one binding that bounds its files by itself.
ENDPOINT = f"org.apache.kafka:kafka_2.13:{KAFKA_VERSION}+org.slf4j:slf4j-jdk14:1.7.36"
LOCK_FILE = Path(__file__).with_name("jars.lock")
_FETCHERS = 4  # connections at once; more gain nothing on small files
_TRIES = 3  # of each file; a jar that fails so often is not a passing trouble
_RETRY_AFTER_S = 0.5

Progress = Callable[[str, int, int], None]
"""Told what is being done, how many steps of it are done, and of how many; called in the caller's thread."""


class BrokerError(ConfigError):
    """The embedded broker cannot run as asked; the text says what, where, and what the operator does."""


class Jar(NamedTuple):
    """One pinned file: its path in a Maven repository and its SHA-256 in hex."""

    path: str
    sha256: str


def no_progress(step: str, done: int, total: int) -> None:
    """Tell nobody: the default."""


def cache_dir() -> Path:
    """Where the jars are kept: `patchgate/jars` in XDG_CACHE_HOME, or in `~/.cache`."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(base) if base else Path.home() / ".cache") / "patchgate" / "jars"


def pinned(lock_file: Path = LOCK_FILE) -> list[Jar]:
    """
    Read the pinned files, in class-path order.

    Raises:
        BrokerError: the list is missing or a line of it is not `SHA-256, two blanks, path`.
    """
    try:
        lines = lock_file.read_text("ascii").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise BrokerError(
            f"the list of Kafka's jars {lock_file} cannot be read ({error}): install patchgate again"
        ) from error
    jars = [Jar(path, digest) for digest, _, path in (line.partition("  ") for line in lines)]
    if not jars or any(len(jar.sha256) != hashlib.sha256().digest_size * 2 or not jar.path for jar in jars):
        raise BrokerError(f"the list of Kafka's jars {lock_file} is damaged: install patchgate again")
    return jars


def ensure(
    directory: Path | None = None, *, jars: list[Jar] | None = None, progress: Progress = no_progress
) -> list[Path]:
    """
    Return the paths of all pinned jars, fetching what is missing and checking every one.

    Args:
        directory: the cache; default `cache_dir()`. Several processes may use it at once.
        jars: what to have; default the pinned list.
        progress: told about each jar that was fetched.

    Raises:
        BrokerError: no network at first use, a jar with a wrong checksum, or a cache that cannot be written.
    """
    directory = directory or cache_dir()
    jars = pinned() if jars is None else jars
    missing = [jar for jar in jars if not (directory / jar.path).is_file()]
    if missing:
        _fetch(missing, directory, progress)
    for jar in jars:
        _check(directory / jar.path, jar, "delete this file and start again: it is fetched anew")
    return [directory / jar.path for jar in jars]


def _check(file: Path, jar: Jar, remedy: str) -> None:
    try:
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
    except OSError as error:
        raise BrokerError(f"the jar {file} cannot be read ({error.strerror}): {remedy}") from error
    if digest != jar.sha256:
        raise BrokerError(f"the jar {file} has the SHA-256 {digest[:16]}..., pinned is {jar.sha256[:16]}...: {remedy}")


def _fetch(missing: list[Jar], directory: Path, progress: Progress) -> None:
    """Fetch into a directory of our own, check, and only then give each file its final name."""
    step = f"fetching Kafka {KAFKA_VERSION}"
    progress(step, 0, len(missing))
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="incoming-", dir=directory) as incoming:
            for done, jar in enumerate(_fetched(missing, Path(incoming)), start=1):
                (directory / jar.path).parent.mkdir(parents=True, exist_ok=True)
                (Path(incoming) / jar.path).replace(directory / jar.path)
                progress(step, done, len(missing))
    except OSError as error:
        raise BrokerError(
            f"Kafka's jars cannot be kept in {directory} ({error.strerror or error}): "
            "make it writable with 100 MB free, or set XDG_CACHE_HOME"
        ) from error


def _fetched(jars: list[Jar], incoming: Path) -> Iterator[Jar]:
    """Yield each jar once it lies below *incoming*, checked."""
    context = _maven(incoming)
    with ThreadPoolExecutor(_FETCHERS) as pool:
        fetches = [pool.submit(_fetch_one, jar, incoming, context) for jar in jars]
        try:
            for jar, fetch in zip(jars, fetches, strict=True):
                fetch.result()
                yield jar
        finally:
            pool.shutdown(cancel_futures=True)  # after the first failure the rest would only keep the operator waiting


def _fetch_one(jar: Jar, incoming: Path, context: Any) -> None:  # noqa: ANN401 - jgo's MavenContext, untyped
    """Fetch one jar; what arrives other than the pinned file counts as not arrived."""
    *group, artifact, version, _ = jar.path.split("/")
    for attempt in range(1, _TRIES + 1):
        try:
            context.project(".".join(group), artifact).at_version(version).artifact().resolve()
            _check(incoming / jar.path, jar, "it was thrown away; ask who changes files between you and Maven Central")
        except (OSError, RuntimeError, BrokerError) as error:  # requests: OSError; jgo: RuntimeError for "not found"
            (incoming / jar.path).unlink(missing_ok=True)
            if attempt == _TRIES:
                raise _fetch_failed(jar, error) from error
            time.sleep(_RETRY_AFTER_S * attempt)
        else:
            return


def _fetch_failed(jar: Jar, error: Exception) -> Exception:
    """Tell the network's failures (no errno: requests hides it) from the disk's, which pass as they are."""
    if isinstance(error, BrokerError) or (isinstance(error, OSError) and error.errno is not None):
        return error
    return BrokerError(
        f"{Path(jar.path).name} cannot be fetched ({type(error).__name__}): the first start needs the network, once "
        "(HTTPS_PROXY is obeyed); without one, set KAFKA_BOOTSTRAP_SERVERS to a Kafka of yours, "
        f"or copy {cache_dir()} from a machine that has it"
    )


def _maven(repository: Path) -> Any:  # noqa: ANN401 - jgo ships no types
    """Open a Maven repository cache; imported late, for all but the first start do without jgo."""
    try:
        maven = importlib.import_module("jgo.maven")
    except ImportError as error:
        raise BrokerError("the package jgo is missing: pip install 'patchgate[broker]'") from error
    return maven.MavenContext(repo_cache=repository)


def resolve_anew(endpoint: str = ENDPOINT) -> str:
    """Resolve *endpoint* with all it depends on and return the text of a new `jars.lock` (needs the network)."""
    with tempfile.TemporaryDirectory() as scratch:
        context = _maven(Path(scratch))
        wanted = [context.create_dependency(coordinate) for coordinate in endpoint.split("+")]
        inputs, others = context.resolver.resolve(wanted)
        artifacts = [d.artifact for d in [*inputs, *others] if d.scope in {None, "compile", "runtime"}]
        files = sorted({artifact.resolve() for artifact in artifacts})
        return "".join(
            f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.relative_to(scratch).as_posix()}\n"
            for file in files
        )


if __name__ == "__main__":
    LOCK_FILE.write_text(resolve_anew(), "ascii")

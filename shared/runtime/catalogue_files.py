"""
The catalogue in force: the files that ship, and in their place the newer ones that `patchgate catalogue import` has put beside.

Imported files lie in `<state dir>/catalogue`. One that is older than what ships, as after an upgrade, is passed over.
"""

import csv
import os
from collections.abc import Mapping
from pathlib import Path

from shared.domain.catalogue import BuildCatalogue, load_catalogue
from shared.domain.catalogue_rows import FILES, CatalogueError, package_text, rows_of

IMPORTABLE = tuple(name for name in FILES if name != "false_evidence.csv")
"""Files that an operator may renew. Known false evidence protects others from us: it changes with the program only."""

FILE_BYTES_MAX = 10_000_000
"""The largest file has 100 kB; a larger one than this is refused unread."""


def load_catalogue_of(state_dir: str) -> BuildCatalogue:
    """
    The catalogue in force on this machine; read once, at start.

    Raises:
        CatalogueError: it cannot be used; names the file, and deleting it gets the shipped one back.
    """
    if not any(imported_path(state_dir, name).is_file() for name in IMPORTABLE):
        return load_catalogue()  # one for the whole process: what is remembered of builds hangs on it
    return BuildCatalogue.from_rows(rows_of(texts_of(state_dir)))


def texts_of(state_dir: str) -> dict[str, str]:
    """
    The text of each file in force.

    Raises:
        CatalogueError: an imported one cannot be read.
    """
    texts = {}
    for name in FILES:
        texts[name] = package_text(name)
        path = imported_path(state_dir, name)
        if name in IMPORTABLE and path.is_file():
            imported = _read(path)
            if newest_day(imported) >= newest_day(texts[name]):
                texts[name] = imported
    return texts


def imported_path(state_dir: str, name: str) -> Path:
    """Where an imported file lies."""
    return Path(state_dir) / "catalogue" / name


def kind_of(text: str) -> str | None:
    """Which of IMPORTABLE has this header line; None for none."""
    header = text.partition("\n")[0].strip()
    return next((name for name in IMPORTABLE if package_text(name).partition("\n")[0].strip() == header), None)


def newest_day(text: str) -> str:
    """The latest release that a file lists, as in 2026-10-02; "" for a file that lists none."""
    days: list[Mapping[str, str]] = list(csv.DictReader(text.splitlines()))
    return max((row.get("released") or row.get("last_fact") or "" for row in days), default="")


def put_in_place(state_dir: str, name: str, text: str) -> Path:
    """
    Write an imported file as a whole; the one before stays beside it as `.before`.

    Raises:
        CatalogueError: the state directory cannot be written.
    """
    path = imported_path(state_dir, name)
    fresh = path.with_suffix(".new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh.write_text(text, encoding="utf-8")
        if path.is_file():
            os.replace(path, path.with_suffix(".before"))  # noqa: PTH105 - a whole file or none
        os.replace(fresh, path)  # noqa: PTH105
    except OSError as error:
        raise CatalogueError(
            f"{path} cannot be written ({error.strerror}); set PATCHGATE_STATE_DIR to a folder of yours"
        ) from error
    return path


def _read(path: Path) -> str:
    try:
        if path.stat().st_size > FILE_BYTES_MAX:
            raise CatalogueError(f"{path} has over {FILE_BYTES_MAX:,} bytes, so it is no catalogue; delete it")
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CatalogueError(f"{path} cannot be read ({error}); delete it to get back the one that ships") from error

"""The files of the contract: made, written, and compared with those in a folder."""

from pathlib import Path
from typing import Any

import msgspec

from shared.contract.asyncapi import contract_asyncapi
from shared.contract.compare import breaks, topic_breaks
from shared.contract.page import contract_page
from shared.contract.schema import ContractError, contract_schema

SCHEMA, ASYNCAPI, PAGE = "schema.json", "asyncapi.json", "records.md"
REMEDY = "run `patchgate contract --write docs/contract` and commit what it writes"


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """How a folder's files differ from the types. stale: names of files. breaks: sentences, each with what to do."""

    stale: tuple[str, ...]
    breaks: tuple[str, ...]


def contract_files() -> dict[str, str]:
    """
    Name to text of each file that is made.

    Raises:
        ContractError: the contract cannot be made from the types as they are.
    """
    schema = contract_schema()
    return {SCHEMA: _json(schema), ASYNCAPI: _json(contract_asyncapi()), PAGE: contract_page(schema)}


def compare(folder: Path) -> Comparison:
    """
    How the files in *folder* differ from what the types give; missing ones break nothing.

    Raises:
        ContractError: one cannot be read, or the contract cannot be made.
    """
    made = contract_files()
    stood = {name: _read(folder / name) for name in made}
    found: list[str] = []
    for name, rules in ((SCHEMA, breaks), (ASYNCAPI, topic_breaks)):
        text = stood[name]
        if text is not None:
            found += rules(_parsed(folder / name, text), msgspec.json.decode(made[name]))
    return Comparison(stale=tuple(name for name in made if stood[name] != made[name]), breaks=tuple(found))


def write(folder: Path) -> None:
    """
    Write all files.

    Raises:
        ContractError: the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in contract_files().items():
            (folder / name).write_text(text, encoding="utf-8")
    except OSError as error:
        raise ContractError(f"the contract cannot be written to {folder}: {error.strerror or error}") from error


def _json(value: Any) -> str:  # noqa: ANN401  (any JSON)
    return msgspec.json.format(msgspec.json.encode(value), indent=2).decode() + "\n"


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise ContractError(f"{path} cannot be read: {error}; put it back as it was committed") from error


def _parsed(path: Path, text: str) -> Any:  # noqa: ANN401  (any JSON)
    try:
        return msgspec.json.decode(text)
    except msgspec.MsgspecError as error:
        raise ContractError(f"{path} is no JSON: {error}; put it back as it was committed") from error

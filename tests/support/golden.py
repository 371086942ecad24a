"""The golden logs of `tests/data/golden`: what earlier code wrote, read back as it stands."""

import re
from pathlib import Path

import msgspec
import zstandard

from tests.data.golden.make import End

FOLDER = Path(__file__).parents[1] / "data" / "golden"


def known() -> list[int]:
    """The numbers of the rules of which there is one."""
    names = [re.fullmatch(r"rules-(\d+)\.jsonl\.zst", path.name) for path in FOLDER.iterdir()]
    return sorted(int(name.group(1)) for name in names if name)


def export_of(rules: int) -> list[bytes]:
    """The lines of its export, with their line ends and the seal."""
    return _content(f"rules-{rules}.jsonl.zst").splitlines(keepends=True)


def stored_of(rules: int) -> list[bytes]:
    """The stored bytes of its records."""
    return [line.removesuffix(b"\n") for line in export_of(rules)[:-1]]


def end_of(rules: int) -> End:
    """What the code that wrote it folded it to."""
    return msgspec.json.decode(_content(f"rules-{rules}.end.json.zst"), type=End)


def _content(name: str) -> bytes:
    return zstandard.ZstdDecompressor().decompress((FOLDER / name).read_bytes())

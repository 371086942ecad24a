"""`patchgate read`, run as a program of its own."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

EXAMPLES = Path(__file__).parents[1] / "data" / "received"
COMMAND = [sys.executable, "-m", "services.cli", "read"]


def read(text: bytes) -> list[dict[str, Any]]:
    """What the command prints for *text*."""
    done = subprocess.run(COMMAND, input=text, capture_output=True, check=True, timeout=60)
    assert done.stderr == b""
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_each_line_of_a_mail_is_told() -> None:
    """Judged lines have a range and its reason, others their own; the body is no head."""
    text = (EXAMPLES / "exchange-2016-lagging-smtp-and-mapi.txt").read_bytes().partition(b"\n\n")[2]
    exim = b"Received: from a by mx.example with esmtp (Exim 4.92) id 1; x\n"
    bare = b"Received: from a by mx.example with ESMTP; x\n"
    smtp, mapi, other, none = read(b"Subject: x\n" + text + exim + bare + b"\nReceived: by body (Postfix)\n")
    assert [one["index"] for one in (smtp, mapi, other, none)] == [0, 1, 2, 3]
    assert (smtp["product"], smtp["build"], smtp["reason"]) == (
        "Microsoft Exchange 2016",
        "15.1.2106.2",
        "smtp-lags-cu",
    )
    assert smtp["range"] == ["15.1.2106.2", "15.1.2106.13"]
    assert (mapi["form"], mapi["generation"]) == ("mapi", "2016")
    assert other == {
        "index": 2,
        "host": "mx.example",
        "product": "Exim",
        "generation": "",
        "build": "4.92",
        "range": None,
        "form": "after-with",
        "reason": "other-product",
    }
    assert (none["product"], none["build"], none["reason"]) == (None, None, "other-line")


def test_product_without_a_build_has_no_range() -> None:
    """Exchange 2007 names itself in a `mapi` line and shows no build."""
    text = (EXAMPLES / "exchange-2007-mapi-without-build.txt").read_bytes().partition(b"\n\n")[2]
    (line,) = read(text)
    assert (line["product"], line["build"], line["range"], line["reason"]) == (
        "Microsoft Exchange 2007",
        None,
        None,
        "no-build-shown",
    )


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        (b"", 0),
        (b"no header at all", 0),
        (b"\x00\xff" * 100_000, 0),
        (b"Received: " + b"(" * 3_000_000, 1),
        (b"Received: x\r" * 3, 3),
    ],
)
def test_bad_input_is_no_error(text: bytes, lines: int) -> None:
    """Empty, binary, endless, and CR only: an answer each, and never a traceback."""
    assert len(read(text)) == lines


def test_body_is_taken_to_its_end() -> None:
    """Who writes a large mail into the command sees no broken pipe."""
    assert len(read(b"Received: by a (Postfix)\n\n" + b"x" * 3_000_000)) == 1

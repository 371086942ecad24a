"""Mailboxes to header blocks: every mail once, whatever the mailbox, the cut and the packing."""

import bz2
import errno
import gzip
import io
import lzma
import mailbox
import sys
from itertools import pairwise
from pathlib import Path
from unittest.mock import Mock

import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.cli.common import CommandError
from services.cli.look import mailbox as door
from services.cli.look.sources import Piece, Trouble, kind_of, pieces_of
from services.cli.look.watched import spooled
from tests.support.mailboxes import mail, mbox

THREE = mbox(*(mail(f"ex{number}.example", "15.1.2507.39", number=number) for number in range(3)))


def _subjects(piece: Piece) -> list[str]:
    found = []
    for one in door.blocks_of(piece):
        assert isinstance(one, door.Block), one
        found.append(one.headers.split(b"Subject: ")[1].split(b"\n")[0].decode().strip())
    return found


def _all_of(path: Path) -> list[str]:
    return [
        subject
        for piece in pieces_of([str(path)])
        for subject in (_subjects(piece) if isinstance(piece, Piece) else [])
    ]


@pytest.mark.parametrize(
    "pack", [bytes, gzip.compress, lzma.compress, zstandard.compress], ids=["plain", "gz", "xz", "zst"]
)
def test_a_mailbox_is_read_however_it_is_packed(tmp_path: Path, pack: object) -> None:
    """Packing is told by the bytes; the name says nothing."""
    path = tmp_path / "old.dat"
    path.write_bytes(pack(THREE))  # type: ignore[operator]
    assert _all_of(path) == ["0", "1", "2"]


def test_lines_may_end_with_cr_lf(tmp_path: Path) -> None:
    """A mailbox from a Windows machine is read like any other."""
    path = tmp_path / "crlf.mbox"
    path.write_bytes(THREE.replace(b"\n", b"\r\n"))
    assert _all_of(path) == ["0", "1", "2"]


@pytest.mark.parametrize(
    "body",
    [
        "\nFrom here on all is well\nX: y\n",
        "\nFrom me 10:11\nno header follows\n",
        "x\nFrom a@b.example Mon Sep  7 08:00:00 2026\nSubject: forged\n",
    ],
    ids=["no-date", "no-header", "no-empty-line"],
)
def test_a_from_line_in_a_body_starts_no_mail(tmp_path: Path, body: str) -> None:
    """Only a line with a date, behind an empty line and before a header, does."""
    path = tmp_path / "quoted.mbox"
    path.write_bytes(
        mbox(mail("a.example", "15.1.2507.39", number=1) + body, mail("b.example", "15.1.2507.39", number=2))
    )
    assert _all_of(path) == ["1", "2"]


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.integers(0, 400), min_size=1, max_size=12),
    st.lists(st.integers(0, 6000), max_size=5),
    st.integers(1, 9000),
)
def test_cut_anywhere_every_mail_is_read_once(
    monkeypatch: pytest.MonkeyPatch, sizes: list[int], cuts: list[int], part: int
) -> None:
    """Pieces that meet at any byte give the mails of the whole, in order, none twice."""
    whole = mbox(*(mail("ex.example", "15.1.2507.39", number=n) + "y" * size + "\n" for n, size in enumerate(sizes)))
    monkeypatch.setattr(door, "HEADER_BYTES_MAX", 2_000)
    monkeypatch.setattr(door, "READ_BYTES", part)
    edges = sorted({0, len(whole), *(min(cut, len(whole)) for cut in cuts)})
    found = [
        block.headers.split(b"Subject: ")[1].split(b"\n")[0]
        for start, end in pairwise(edges)
        for block in door.stream_blocks(io.BytesIO(whole), "x", start, end)
        if isinstance(block, door.Block)
    ]
    assert found == [str(number).encode() for number in range(len(sizes))]


def test_a_stream_gives_the_same_as_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading in parts loses no mail and doubles none, wherever the parts meet."""
    many = mbox(
        *(mail("ex.example", "15.1.2507.39", number=number) + "z" * (number * 37 % 900) + "\n" for number in range(60))
    )
    path = tmp_path / "many.gz"
    path.write_bytes(gzip.compress(many))
    monkeypatch.setattr(door, "HEADER_BYTES_MAX", 2_000)
    for size in (700, 1_501, 4_096, 9_999):
        monkeypatch.setattr(door, "READ_BYTES", size)
        assert _all_of(path) == [str(number) for number in range(60)], size


def test_the_standard_library_finds_the_same_mails(tmp_path: Path) -> None:
    """The count of a plain mailbox is that of Python's own reader."""
    path = tmp_path / "plain.mbox"
    path.write_bytes(mbox(*(mail("ex.example", "15.1.2507.39", number=number) for number in range(40))))
    assert len(_all_of(path)) == len(mailbox.mbox(path))


def test_a_maildir_gives_new_and_cur_and_nothing_half_written(tmp_path: Path) -> None:
    """`tmp` holds mails that are not wholly there, and index files are no mails."""
    for part in ("cur", "new", "tmp"):
        (tmp_path / part).mkdir()
        (tmp_path / part / "1.M1.host").write_text(mail("ex.example", "15.1.2507.39", number=len(part) + ord(part[0])))
    (tmp_path / "cur" / "dovecot.index.cache").write_bytes(b"\x00index")
    assert sorted(_all_of(tmp_path)) == sorted([str(3 + ord("c")), str(3 + ord("n"))])


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", ""),
        (b"\n\n", "is empty"),
        (b"\x7fELF\x00\x01", "is a binary file"),
        (b"Received: x\rSubject: y\r\r", "CR alone"),
        (b"just some words\n", "no mail and no mailbox"),
        (gzip.compress(THREE)[:8], "cannot be read"),
        (bz2.compress(THREE), "is a binary file"),
    ],
    ids=["nothing", "blank", "binary", "cr-only", "text", "broken-gz", "bz2"],
)
def test_what_is_no_mail_is_told_with_its_place(tmp_path: Path, content: bytes, why: str) -> None:
    """Never a traceback, never silence; an empty file in a directory is nothing at all."""
    (tmp_path / "odd").write_bytes(content)
    found = list(pieces_of([str(tmp_path)]))
    if not content:
        assert found == []
        return
    [trouble] = found
    assert isinstance(trouble, Trouble)
    assert trouble.place.endswith("odd")
    assert why in trouble.why


def test_a_header_block_without_end_is_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A mail that is one header of any size costs a bounded part of memory, and is counted as cut."""
    monkeypatch.setattr(door, "HEADER_BYTES_MAX", 100_000)
    path = tmp_path / "mail"
    path.write_bytes(b"Subject: 1\nX: " + b"y" * 300_000)
    [piece] = pieces_of([str(path)])
    assert isinstance(piece, Piece)
    [block] = door.blocks_of(piece)
    assert isinstance(block, door.Block)
    assert block.cut
    assert len(block.headers) < 200_000


def test_kinds_are_told_by_first_bytes() -> None:
    """A mailbox, a mail, exported lines."""
    assert kind_of(THREE) == "mbox"
    assert kind_of(b"\xef\xbb\xbfReturn-Path: <x>\n") == "mail"
    assert kind_of(b'{"received": []}\n') == "jsonl"


def test_a_standard_input_that_finds_no_room_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is kept in a file while it is read, and a disk may be full."""
    full = Mock(buffer=Mock(read=Mock(side_effect=OSError(errno.ENOSPC, "No space left on device"))))
    monkeypatch.setattr(sys, "stdin", full)
    with pytest.raises(CommandError, match="set TMPDIR to a directory with room") as raised, spooled(["-"]):
        pass
    assert "standard input cannot be kept" in str(raised.value)

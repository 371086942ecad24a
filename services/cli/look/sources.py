"""
What the paths hold: files told apart by their first bytes, never by their names, and cut into pieces for all cores.

A large plain mbox is cut at message starts. What cannot be opened or read is a `Trouble`: told with its place, counted, and the
rest goes on.
"""

import gzip
import io
import lzma
import os
import re
import stat
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Literal, NamedTuple

import zstandard

if TYPE_CHECKING:
    from typing_extensions import Buffer  # of the standard library from Python 3.12 on

PIECE_BYTES = 64_000_000
"""A piece of a large mbox or log: a second or less of work, so that progress is seen and all cores have some."""

BATCH_FILES = 500
"""Single mails in one piece: a Maildir of a million must not be a million tasks."""

SNIFF_BYTES = 4096

Kind = Literal["mbox", "mail", "jsonl", "log", "rspamd"]

_MAGIC = {b"\x1f\x8b": "gz", b"\xfd7zXZ\x00": "xz", b"\x28\xb5\x2f\xfd": "zst"}
_HEADER_LINE = re.compile(rb"[!-9;-~]{1,76}[ \t]*:")
# What syslog puts in front of each line, or a line of Postfix whatever stands before it.
_LOG_LINE = re.compile(
    rb"[A-Z][a-z]{2} {1,2}\d{1,2} \d\d:\d\d:\d\d[. ]|\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d"
    rb"|-- (?:Logs begin|Journal begins|Boot )|[^\r\n]{1,120}[ /](?:smtpd|cleanup|qmgr|postscreen|smtp|anvil)\[\d+\]: "
)
_HISTORY = re.compile(rb'\{\s*(?:"version"\s*:\s*\d+\s*,\s*)?"rows"\s*:|\[\s*[{\]]')

UNREADABLE = (OSError, EOFError, ValueError, zlib.error, lzma.LZMAError, zstandard.ZstdError)
"""What a file that cannot be read, or breaks off, raises."""


CR_ALONE = "ends its lines with CR alone, which no mail server writes: convert it first, as with tr '\\r' '\\n'"


class Trouble(NamedTuple):
    """What could not be read. place: file, with the byte or line where it is known; why: one plain sentence."""

    place: str
    why: str


class Piece(NamedTuple):
    """
    A part of the work. paths: one file, or many small ones. start, end: bytes of the plain file; end 0 is all of it.

    size: bytes on disk that progress counts for it.
    """

    kind: Kind
    paths: tuple[str, ...]
    start: int
    end: int
    size: int


def pieces_of(paths: Sequence[str]) -> Iterator[Piece | Trouble]:
    """The work that *paths* are, files in the order of their names."""
    for path in paths:
        yield from _pieces_of_path(Path(path))


def _pieces_of_path(top: Path) -> Iterator[Piece | Trouble]:
    mails: list[tuple[str, int]] = []
    for found in _files_below(top):
        if isinstance(found, Trouble):
            yield found
            continue
        path, size = found
        try:
            with open_plain(path) as stream:
                first = stream.read(SNIFF_BYTES)
        except UNREADABLE as error:
            yield Trouble(path, f"cannot be read: {reason_of(error)}")
            continue
        kind = kind_of(first)
        if kind is None:
            yield Trouble(path, _why_unknown(first))
        elif kind == "mail":
            mails.append((path, size))
            if len(mails) == BATCH_FILES:
                yield _batch(mails)
                mails = []
        else:
            yield from _pieces_of_file(kind, path, size)
    if mails:
        yield _batch(mails)


def _batch(mails: list[tuple[str, int]]) -> Piece:
    return Piece("mail", tuple(path for path, _ in mails), 0, 0, sum(size for _, size in mails))


def _pieces_of_file(kind: Kind, path: str, size: int) -> Iterator[Piece]:
    if kind in {"jsonl", "rspamd"} or size <= PIECE_BYTES or compression_of(path):
        yield Piece(kind, (path,), 0, 0, size)
        return
    for start in range(0, size, PIECE_BYTES):
        end = min(size, start + PIECE_BYTES)
        yield Piece(kind, (path,), start, end, end - start)


def _files_below(top: Path) -> Iterator[tuple[str, int] | Trouble]:
    """Regular files with their sizes; links to directories are not followed, so no circle has us."""
    try:
        info = top.stat()
    except OSError as error:
        yield Trouble(str(top), f"cannot be read: {reason_of(error)}")
        return
    if not stat.S_ISDIR(info.st_mode):
        if stat.S_ISREG(info.st_mode):
            yield str(top), info.st_size
        else:
            yield Trouble(str(top), "is no regular file and no directory")
        return
    troubles: list[Trouble] = []

    def note(error: OSError) -> None:
        troubles.append(Trouble(str(error.filename), f"cannot be read: {reason_of(error)}"))

    for directory, inner, names in os.walk(top, onerror=note):
        inner.sort()
        if Path(directory).name == "tmp" and (Path(directory).parent / "cur").is_dir():
            continue  # of a Maildir: mails that are not wholly there
        yield from _links_out(Path(directory), inner, top)
        for name in sorted(names):
            yield from _file_in(Path(directory) / name)
        yield from troubles
        troubles.clear()
    yield from troubles


def _links_out(directory: Path, inner: Sequence[str], top: Path) -> Iterator[Trouble]:
    """The links in *directory* to directories that do not lie below *top*."""
    for name in inner:
        link = directory / name
        if link.is_symlink() and not link.resolve().is_relative_to(top.resolve()):
            yield Trouble(
                str(link), "is a link to a directory elsewhere, and is not followed: name that directory, too"
            )


def _file_in(path: Path) -> Iterator[tuple[str, int] | Trouble]:
    try:
        info = path.stat()
    except OSError as error:
        yield Trouble(str(path), f"cannot be read: {reason_of(error)}")
        return
    if stat.S_ISREG(info.st_mode) and info.st_size and not _is_index(path.name):
        yield str(path), info.st_size


def _is_index(name: str) -> bool:
    """Files that mail programs keep beside mails: Dovecot's indexes, Courier's and Cyrus's lists."""
    return name.startswith(
        ("dovecot", ".dovecot", "maildirsize", "maildirfolder", "courierimap", "cyrus.", "subscriptions")
    )


def kind_of(first: bytes) -> Kind | None:
    """What a file with these first bytes is; None where it is nothing that is known here."""
    text = first.lstrip(b"\xef\xbb\xbf\r\n")
    if not text or b"\x00" in text.partition(b"\n")[0] or (b"\r" in text and b"\n" not in text):
        return None
    if text.startswith((b"From ", b">From ")):
        return "mbox"
    if _HISTORY.match(text):
        return "rspamd"
    if text[:1] == b"{":
        return "jsonl"
    if _LOG_LINE.match(text):
        return "log"
    return "mail" if _HEADER_LINE.match(text) else _kind_of_cut(text)


def _kind_of_cut(text: bytes) -> Kind | None:
    """The kind by the second line, where the first may be cut, as by `tail -c`."""
    return "log" if _LOG_LINE.match(text.partition(b"\n")[2]) else None


def _why_unknown(first: bytes) -> str:
    if not first.strip():
        return "is empty"
    if b"\x00" in first:
        return "is a binary file"
    if b"\r" in first and b"\n" not in first:
        return CR_ALONE
    return "is no mail and no mailbox that is known here"


def compression_of(path: str) -> str:
    """`gz`, `xz`, `zst`, or "" for a plain file."""
    with open(path, "rb") as stream:  # noqa: PTH123  (thousands of paths as text: no object for each)
        first = stream.read(6)
    return next((name for magic, name in _MAGIC.items() if first.startswith(magic)), "")


def open_plain(path: str) -> BinaryIO:
    """
    The file's bytes, unpacked if it is packed.

    Raises:
        OSError: it cannot be opened. What is broken inside shows while reading.
    """
    packed = compression_of(path)
    if packed == "gz":
        return io.BufferedReader(gzip.open(path))
    if packed == "xz":
        return io.BufferedReader(lzma.open(path))
    stream = open(path, "rb")  # noqa: PTH123, SIM115  (as above; the caller closes it)
    if packed == "zst":
        return io.BufferedReader(_Zst(stream), _ZST_BUFFER)
    return stream


class _Zst(io.RawIOBase):
    """Frames of zstd, unpacked; the reader that the library has takes a frame that breaks off for a whole one."""

    def __init__(self, packed: BinaryIO) -> None:
        self._packed = packed
        self._frame = zstandard.ZstdDecompressor().decompressobj()
        self._begun = False
        self._plain = memoryview(b"")

    def readable(self) -> bool:
        """As files have it."""
        return True

    def readinto(self, into: "Buffer") -> int:
        """
        Fill *into*, or a part of it; 0 at the end.

        Raises:
            EOFError: the last frame is not whole.
        """
        while not self._plain:
            packed = self._frame.unused_data if self._frame.eof else b""
            packed = packed or self._packed.read(_ZST_PART)
            if not packed and self._begun and not self._frame.eof:
                raise EOFError("it ends before its end marker")
            if not packed:
                return 0
            if self._frame.eof:
                self._frame = zstandard.ZstdDecompressor().decompressobj()
            self._begun = True
            self._plain = memoryview(self._frame.decompress(packed))
        room = memoryview(into).cast("B")
        size = min(len(room), len(self._plain))
        room[:size] = self._plain[:size]
        self._plain = self._plain[size:]
        return size

    def close(self) -> None:
        """Close the packed file too."""
        self._packed.close()
        super().close()


_ZST_BUFFER = 131_072
_ZST_PART = 1_024  # packed bytes at a time: a bomb makes 32 MB of them, and no more


def lines_of(stream: BinaryIO, start: int, end: int | None, longest: int) -> Iterator[tuple[int, bytes, bool]]:
    """
    The lines that begin at byte *start* or later, without their ends: the byte where each begins, the line, and whether it is whole.

    end: no line that begins there or later is given, and nothing is read for one; None: up to the last one.
    longest: bytes of a line that are given; the rest of a longer one is passed over, whatever its length.
    """
    at = start
    if start:
        stream.seek(start - 1)
        at += _passed_over(stream, b"", start - 1, end) - 1
    while (end is None or at < end) and (line := stream.readline(longest)):
        beyond = _passed_over(stream, line, at + len(line), end)
        yield at, line.rstrip(b"\r\n"), not beyond
        at += len(line) + beyond


def _passed_over(stream: BinaryIO, line: bytes, at: int, end: int | None) -> int:
    """Bytes, read here, by which the line goes on behind *line*, which ends at byte *at*; not far beyond *end*."""
    passed = 0
    while (end is None or at + passed <= end) and not line.endswith(b"\n") and (line := stream.readline(_PASSED_BYTES)):
        passed += len(line)
    return passed


_PASSED_BYTES = 65_536  # at a time


def reason_of(error: BaseException) -> str:
    """The reason in plain words, without the path that stands beside it."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return str(error) or type(error).__name__

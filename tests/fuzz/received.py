"""
Fuzz the reader of `Received` lines: `python -m tests.fuzz.received -runs=100000` (all options of libFuzzer).

The first byte of an input says in which of three ways it is read; each is a promise that must hold:

1. as one header value: an answer with a reason, the same for the redacted line, and redaction is stable;
2. as what clients say (HELO, envelope sender, recipient) in lines of known products: product, build and host stay;
3. as several values of one mail: an own run within its bounds.

Besides, every so many inputs one is repeated to 1 MB, which must be read in time.

Seeds are the project's own examples. A broken promise ends the run with the input in a file, which reproduces it.
"""

import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import atheris  # type: ignore[import-untyped]  # it ships no types

with atheris.instrument_imports(include=["shared.domain"]):
    from shared.domain.catalogue import load_catalogue
    from shared.domain.header_text import LINE_LENGTH_MAX
    from shared.domain.received import OWN_RUN_LINES_MAX, read_line, read_own_run, redact

EXAMPLES = Path(__file__).parents[1] / "data" / "received"
MEGABYTE = 1_000_000
MEGABYTE_S = 0.010
"""CPU seconds for a value of 1 MB, without the instruments of the fuzzer."""

_TIMED_EVERY = 4096  # inputs: making and reading a megabyte takes as long as a hundred others
_SLOWER_BY_INSTRUMENTS = 10
_SEEDS = "seeds="
_DATE = "Tue, 4 Apr 2023 10:00:00 +0000"
_SERVERS: tuple[tuple[str | None, str, str], ...] = (
    ("Exim", "4.92", f"with esmtps (TLS1.3) (Exim 4.92) (envelope-from <ADDRESS>) id 1 for ADDRESS; {_DATE}"),
    ("Sendmail", "8.14.4", f"(8.14.4/8.14.4) with ESMTP id 1 for <ADDRESS>; {_DATE} (envelope-from ADDRESS)"),
    ("Ecelerity", "4.4.0", f"(envelope-from <ADDRESS>) (ecelerity 4.4.0 r(x:y)) with ESMTP id 1; {_DATE}"),
    (None, "", f"with ESMTP id 1 for <ADDRESS>; {_DATE} (envelope-from <ADDRESS>)"),
)
_NOT_PRINTABLE = re.compile(r"[^ -~]")
_QUOTED = str.maketrans({'"': '\\"', "\\": "\\\\"})

_runs = 0


def one_input(data: bytes) -> None:
    """Check one promise on one input; its first byte says which, so that the fuzzer works on each."""
    global _runs  # noqa: PLW0603 - libFuzzer calls a plain function
    _runs += 1
    text = data[1:].decode("latin-1")
    if _runs % _TIMED_EVERY == 0:
        in_time(text)
    elif data[:1] < b"@":
        read_any(text)
    elif data[:1] < b"X":
        client_says(text, _SERVERS[data[0] % len(_SERVERS)])
    else:
        run = read_own_run(text.split("\x00"), load_catalogue())
        check(len(run.lines) <= OWN_RUN_LINES_MAX, "an own run is bounded")


def read_any(text: str) -> None:
    """Any text gives an answer; what leaves the edge gives the same one."""
    reading = read_line(text)
    line = redact(text)
    check(bool(reading.reason), "an answer has a reason")
    check(len(line) <= LINE_LENGTH_MAX, "a redacted line is short")
    check(redact(line) == line, "redaction is stable")
    check(read_line(line) == reading, "the redacted line gives the same reading")


def client_says(text: str, server: tuple[str | None, str, str]) -> None:
    """HELO as it came, addresses as an MTA takes them: quoted, with what must be escaped escaped."""
    helo = printable(text[:300])
    address = f'"{helo[:64].translate(_QUOTED)}"@c.example'
    product, build, written = server
    reading = read_line(f"from x{helo} (c.example [192.0.2.1]) by mx.example {written.replace('ADDRESS', address)}")
    found = (reading.name, reading.product, reading.build)
    check(found == ("mx.example", product, build), f"client text changes nothing: {found}")


def in_time(text: str) -> None:
    """A megabyte of the input, repeated, is read at once."""
    value = text * (MEGABYTE // len(text)) if text else ""
    began = time.process_time()
    read_line(value)
    took = time.process_time() - began
    check(took < MEGABYTE_S * _SLOWER_BY_INSTRUMENTS, f"1 MB takes {took:.3f} s")


def printable(text: str) -> str:
    """*text* as SMTP can carry it in a command line."""
    return _NOT_PRINTABLE.sub("?", text)


def check(holds: bool, promise: str) -> None:
    """
    Hold *promise*.

    Raises:
        AssertionError: it is broken.
    """
    if not holds:
        raise AssertionError(promise)


def write_seeds(folder: Path) -> None:
    """One file a value of the examples, and one a whole example."""
    for path in sorted(EXAMPLES.glob("*.txt")):
        _, _, text = path.read_text(encoding="ascii").partition("\n\n")
        values = text.removeprefix("Received:").rstrip("\n").split("\nReceived:")
        for number, value in enumerate(values):
            (folder / f"{path.stem}-{number}").write_text(f"0{value}", encoding="ascii")
            (folder / f"{path.stem}-{number}-helo").write_text(f"A{value}", encoding="ascii")
        (folder / path.stem).write_text("x" + "\x00".join(values), encoding="ascii")


def main() -> int:
    """Run until the options end it; what the fuzzer collects is kept nowhere."""
    if sys.argv[-1].startswith(_SEEDS):
        atheris.Setup([sys.argv[0], "-max_len=8192", *sys.argv[1:-1], sys.argv[-1].removeprefix(_SEEDS)], one_input)
        atheris.Fuzz()  # ends the process
    # Hence a parent, which removes the folder, and ends the fuzzer when it is ended itself.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    with TemporaryDirectory(prefix="patchgate-fuzz-") as folder:
        write_seeds(Path(folder))
        return subprocess.call([sys.executable, "-m", "tests.fuzz.received", *sys.argv[1:], f"{_SEEDS}{folder}"])


if __name__ == "__main__":
    sys.exit(main())

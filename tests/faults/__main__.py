"""`python -m tests.faults`: run a campaign, or one fault again. Exit code 1 when something was violated, and the remains are kept."""

import argparse
import asyncio
import logging
import secrets
import shutil
import signal
import sys
import tempfile
from pathlib import Path

from tests.faults.campaign import Options, Report, run, summary
from tests.faults.table import BY_NAME, TABLE


def main() -> int:
    """Run, and tell; the exit code."""
    arguments = _parser().parse_args()
    if arguments.list:
        _tell("\n".join(f"{fault.name:<26} {fault.meaning}" for fault in TABLE))
        return 0
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # our own clients: their broker is away by intent
    seed = arguments.seed if arguments.seed is not None else secrets.randbelow(1_000_000)
    base = Path(tempfile.mkdtemp(prefix="patchgate-faults-"))
    options = Options(
        count=arguments.n,
        seed=seed,
        base=base,
        only=tuple(arguments.only),
        each=arguments.each,
        enforcers=arguments.enforcers,
    )
    _tell(f"seed {seed}: {arguments.n} faults; remains in {base}")
    try:
        report = asyncio.run(_until_told(options))
    except asyncio.CancelledError:
        _tell(f"ended by you; nothing is left running, and what was written is in {base}")
        return 130
    lines = summary(report)
    _tell("\n".join(lines))
    if arguments.report:
        arguments.report.write_text("\n".join([f"seed {seed}", *lines, *report.violations]) + "\n")
    if report.violations:
        _tell("\n".join(["VIOLATED:", *report.violations, f"logs of all processes are kept in {base}"]))
        return 1
    shutil.rmtree(base)
    return 0


async def _until_told(options: Options) -> Report:
    """The campaign, until it ends, or SIGTERM or SIGINT ends it in order."""
    task = asyncio.create_task(run(options, _tell))
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    return await task


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("-n", type=int, default=60, help="how many faults")
    parser.add_argument("--seed", type=int, help="of the first fault; the next one has the next number")
    parser.add_argument(
        "--only", nargs="+", default=(), choices=BY_NAME, metavar="FAULT", help="no other faults; these in turn"
    )
    parser.add_argument("--each", action="store_true", help="each fault of the table once, before any is drawn")
    parser.add_argument("--enforcers", type=int, default=2, choices=(1, 2), help="how many")
    parser.add_argument("--report", type=Path, help="write the summary there as well")
    parser.add_argument("--list", action="store_true", help="show the table, and do nothing")
    return parser


def _tell(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())

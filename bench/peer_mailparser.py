"""The standard library's `mailbox` with `mail-parser`, run by the Python of the peers' own environment: BOX; tells mails and seconds."""

import mailbox
import sys
import time

import mailparser  # type: ignore[import-not-found] # it lives in the peers' environment


def main() -> None:
    """Read of each mail what `look` reads: who wrote each `Received` line, with what, and when."""
    began, cpu = time.perf_counter(), time.process_time()
    hops = mails = 0
    box = mailbox.mbox(sys.argv[1], create=False)
    for key in box.iterkeys():
        mail = mailparser.parse_from_bytes(box.get_bytes(key))
        mails += 1
        hops += sum(bool(hop.get("by")) + bool(hop.get("with")) + bool(hop.get("date_utc")) for hop in mail.received)
    sys.stdout.write(f"{mails} {time.perf_counter() - began} {time.process_time() - cpu} {hops}\n")


if __name__ == "__main__":
    main()

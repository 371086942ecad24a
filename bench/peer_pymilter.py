"""The least milter with pymilter (libmilter's threads); run by the Python of the peers' own environment: SOCKET."""

import os
import sys

import Milter  # type: ignore[import-not-found] # it lives in the peers' environment


class Null(Milter.Base):  # type: ignore[misc] # as above
    """Hears what patchgate hears, answers where patchgate answers."""

    @Milter.noreply  # type: ignore[untyped-decorator] # as above
    def connect(self, *_: object) -> int:
        """Hear the client."""
        return int(Milter.CONTINUE)

    @Milter.noreply  # type: ignore[untyped-decorator] # as above
    def hello(self, *_: object) -> int:
        """Hear the name of HELO."""
        return int(Milter.CONTINUE)

    @Milter.noreply  # type: ignore[untyped-decorator] # as above
    def envfrom(self, *_: object) -> int:
        """Hear the sender."""
        return int(Milter.CONTINUE)

    @Milter.noreply  # type: ignore[untyped-decorator] # as above
    def envrcpt(self, *_: object) -> int:
        """Hear a recipient."""
        return int(Milter.CONTINUE)

    @Milter.noreply  # type: ignore[untyped-decorator] # as above
    def header(self, *_: object) -> int:
        """Hear a header."""
        return int(Milter.CONTINUE)

    def eoh(self) -> int:
        """Answer."""
        return int(Milter.ACCEPT)


if __name__ == "__main__":
    os.umask(0)  # the MTA is another user
    Milter.factory = Null
    Milter.runmilter("null", f"unix:{sys.argv[1]}")

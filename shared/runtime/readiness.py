"""The file that tells a supervisor that a service is ready, and by its age that the service still makes progress."""

from pathlib import Path

from shared.domain.errors import ConfigError


class ReadyFile:
    """`<state_dir>/ready/<service>`: absent until ready; its modification time is the last progress, in real time."""

    def __init__(self, state_dir: str, service: str) -> None:
        self.path = Path(state_dir) / "ready" / service

    def clear(self) -> None:
        """
        Remove what an earlier run left; call it at start.

        Raises:
            ConfigError: the directory cannot be written.
        """
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.path.unlink(missing_ok=True)
        except OSError as error:
            raise ConfigError(
                f"{self.path} cannot be written: {error}; set PATCHGATE_STATE_DIR to a directory of ours"
            ) from error

    def touch(self) -> None:
        """
        Ready, and still making progress.

        Raises:
            ConfigError: as `clear`.
        """
        try:
            self.path.touch()
        except OSError as error:
            raise ConfigError(
                f"{self.path} cannot be written: {error}; set PATCHGATE_STATE_DIR to a directory of ours"
            ) from error
